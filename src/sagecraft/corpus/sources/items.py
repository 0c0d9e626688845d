"""What a harvest speaks of: items to get, what became of each, and names that cannot leave their folder."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Literal, Protocol

#: kept: its file is there. skipped: not wanted (licence, kind). absent: the server says there is none.
#: failed: may be there and did not arrive; it is tried again by the next run.
Outcome = Literal["kept", "skipped", "absent", "failed"]

_MAX_DIGITS = 18
_SAFE_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+=-]{0,150}")


class ItemError(Exception):
    """An item that cannot be had.

    Attributes:
        reason: short and countable, such as `http-500` or `bad-gzip`.
        detail: one line for the person who looks.
        outcome: `failed` is tried again by the next run, `absent` and `skipped` are not.
    """

    def __init__(self, reason: str, detail: str = "", outcome: Outcome = "failed") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail
        self.outcome = outcome


@dataclass(frozen=True)
class Result:
    """What became of an item, or of one part of it.

    Attributes:
        key: unique in the harvest.
        outcome: see `Outcome`.
        reason: short and countable; empty if kept.
        detail: one line for the person who looks.
        path: of its file, relative to the folder of files.
        metadata: what the sidecar says of that file.
    """

    key: str
    outcome: Outcome
    reason: str = ""
    detail: str = ""
    path: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)


def of_error(key: str, error: ItemError) -> Result:
    """The result of an item that could not be had."""
    return Result(key, error.outcome, error.reason, error.detail)


class Harvester(Protocol):
    """One source. `list_items` fills the state and goes on where it was killed; `fetch` gets one item.

    Attributes:
        name: begins the keys of its items.
    """

    name: str

    def list_items(self) -> None:
        """Finds out what there is, into the state."""

    def fetch(self, key: str, spec: dict[str, Any]) -> Iterator[Result]:
        """Gets one item; every result is kept as it comes."""


@dataclass(frozen=True)
class Clock:
    """Time, so that tests need not wait.

    Attributes:
        now: seconds since 1970.
        monotonic: seconds of a clock that nobody sets.
        sleep: waits so many seconds.
    """

    now: Callable[[], float] = time.time
    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


def number_of(text: str) -> int | None:
    """A whole number that a server writes; None for what is none, or has more digits than any count has."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= _MAX_DIGITS else None


def safe_path(root: Path, name: str) -> Path:
    """`root/name` for a name that a stranger chose.

    Raises:
        ItemError: `unsafe-name` if it is absolute, goes up, is hidden or has characters that no plain file name has.
    """
    parts = PurePosixPath(name).parts
    if not parts or "//" in name or any(not _SAFE_PART.fullmatch(part) for part in parts):
        raise ItemError("unsafe-name", f"{name!r:.120} is no plain relative path", outcome="skipped")
    path = root.joinpath(*parts)
    # What is there already could be a link; the folder is ours, but an archive may have been unpacked beside it.
    if not path.parent.resolve().is_relative_to(root.resolve()):
        raise ItemError("unsafe-name", f"{name!r:.120} leads out of its folder", outcome="skipped")
    return path
