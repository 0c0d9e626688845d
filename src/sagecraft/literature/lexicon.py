"""Word lists of general English in `lexicon.yaml`, beside those of grammar in `english.yaml`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import yaml

LISTS: dict[str, Any] = yaml.safe_load(Path(__file__).with_name("lexicon.yaml").read_text(encoding="utf-8"))


def word_list(name: str) -> frozenset[str]:
    """The words of a list; those in quotation marks hold spaces."""
    return frozenset(shlex.split(LISTS[name]))
