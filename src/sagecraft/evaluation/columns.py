"""What the columns of a file of questions are called: the names that are known, and a user's own for them."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from itertools import islice
from typing import Any

from sagecraft.errors import UserError

LETTERS = "ABCDEFGHIJ"
#: Names that mean the same in upper and lower case.
KNOWN = ("question", "answer", "choices", "id", "topic", "subject", "kind", "article")
#: What a column of a file can be said to be.
TARGETS = ("question", "options", "answer", "target", "id", "topic", "kind", "article", "explanation", *LETTERS)
NUMBERED_CHOICE = re.compile(r"choice_?(\d{1,2})")

#: Our name of a column → the file's; of `options` also several, in the order of their letters.
Names = Mapping[str, str | tuple[str, ...]]


def normal(name: str) -> str:
    """`question`, `Question ` and `A`, `a` mean the same; other names stay as they are."""
    name = name.encode("utf-8", "replace").decode("utf-8").strip()
    if len(name) == 1 and name.upper() in LETTERS:
        return name.upper()
    low = name.lower()
    return low if low in KNOWN or NUMBERED_CHOICE.fullmatch(low) else name


def normalised(cells: Iterable[tuple[Any, Any]], place: str) -> dict[str, Any]:
    """A row with normal names.

    Raises:
        UserError: two of them are the same.
    """
    row: dict[str, Any] = {}
    for name, value in cells:
        if (ours := normal(str(name))) in row:
            raise UserError(f"{place}, column {ours}: stands there twice; rename one")
        row[ours] = value
    return row


def is_whole(text: str) -> bool:
    """Whether a text holds no half characters (lone surrogates), which cannot be written down."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def near(name: str, there: Iterable[str]) -> str:
    """The names there are, and the nearest of them, for a message."""
    return _near(name, tuple(str(other)[:60] for other in islice(there, 200)))


@lru_cache(maxsize=256)  # every row of a file may ask
def _near(name: str, known: tuple[str, ...]) -> str:
    found = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"; did you mean {found[0]!r}?" if found else ""
    return f"there is: {', '.join(known[:12])[:300]}{hint}"


def check_names(names: Names) -> dict[str, str | tuple[str, ...]]:
    """Names as they are used: several options in one text are taken apart.

    Raises:
        ValueError: something is named that is not read, or twice.
    """
    found: dict[str, str | tuple[str, ...]] = {}
    for ours, given in names.items():
        if ours not in TARGETS:
            raise ValueError(f"{ours!r} is no column of ours; {near(ours, TARGETS)}")
        parts = tuple(given.split(",")) if isinstance(given, str) and ours == "options" else given
        parts = parts[0] if isinstance(parts, tuple) and len(parts) == 1 else parts
        if isinstance(parts, tuple) and ours != "options":
            raise ValueError(f"{ours}: is one column, not {len(parts)}")
        if not all(part.strip() for part in ([parts] if isinstance(parts, str) else parts)) or not parts:
            raise ValueError(f"{ours}: an empty name")
        if len(parts) > len(LETTERS) and isinstance(parts, tuple):
            raise ValueError(f"{ours}: {len(parts)} columns (limit {len(LETTERS)})")
        found[ours] = parts
    if "options" in found and found.keys() & set(LETTERS):
        raise ValueError("options: named together with single letters; leave one out")
    return found


class Columns:
    """A user's names for the columns of a file.

    Args:
        names: our name → the file's, as `check_names` returned them.
    """

    def __init__(self, names: Names) -> None:
        self._sources: dict[str, str] = {}
        for target, given in names.items():
            if target == "options":
                options = [given] if isinstance(given, str) else list(given)
                targets = ["choices"] if len(options) == 1 else list(LETTERS)
                self._sources |= {ours: normal(source) for ours, source in zip(targets, options, strict=False)}
            elif isinstance(given, str):
                self._sources[target] = normal(given)
        self._all_options = "options" in names
        self._unseen = dict(self._sources)
        self._there: dict[str, None] = {}

    def rename(self, row: dict[str, Any]) -> dict[str, Any]:
        """A row under our names; what stood under one of them keeps its cell as `… (column)`, so that nothing is lost."""
        if not self._sources:
            return row
        if self._unseen:
            self._unseen = {ours: source for ours, source in self._unseen.items() if source not in row}
            self._there.update(dict.fromkeys(list(row)[:100]))
        moved = set(self._sources.values())
        rest = {
            f"{name} (column)" if self._taken(name) else name: cell for name, cell in row.items() if name not in moved
        }
        return {ours: row[source] for ours, source in self._sources.items() if source in row} | rest

    def _taken(self, name: str) -> bool:
        """Whether a column that was not named would be read as one that was."""
        if name in self._sources:
            return True
        others = self._sources.keys() & {*LETTERS, "choices"}
        is_option = name in LETTERS or bool(NUMBERED_CHOICE.fullmatch(name))
        return bool(others) and (name == "choices" or (self._all_options and is_option))

    def faults(self, file: str) -> list[str]:
        """The names that no row had."""
        return [
            f"{file}: no column {source!r}, which was named for {ours}; {near(source, self._there)}"
            for ours, source in self._unseen.items()
            if self._there
        ]
