"""Files that a test opens by number; `tests/unit/merging/conftest.py` closes them behind each test."""

from __future__ import annotations

import os
from pathlib import Path

_handles: list[int] = []


def opened(path: Path) -> int:
    """A handle that is closed behind the test."""
    _handles.append(os.open(path, os.O_RDONLY))
    return _handles[-1]


def close_all() -> None:
    """Closes what was opened."""
    while _handles:
        os.close(_handles.pop())
