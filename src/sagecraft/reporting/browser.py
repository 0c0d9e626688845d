"""A list of many entries on a page: filtered, sorted, paged and opened by the reader, from data inside the page.

What is shown is text from strangers. It travels as JSON in a script element that no browser runs, with every character
that could end the element or turn the reading direction escaped, and `browser.js` puts it on the screen as text nodes.
Texts that recur (options, the words of a prompt around its question) stand in the data once. What would make the page
too large to open is cut in the middle, with the number of characters left out and the line of the file that has all.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from sagecraft.reporting.page import Cell

#: Bytes of one list. With its drawings a page stays below 20 MB, which a browser opens in about a second.
MAX_BYTES = 16_000_000
#: Characters of a text at most; of those that do not fit together, the next smaller ones.
_LIMITS = (20_000, 8_000, 3_000, 1_000, 400, 160)
#: Beyond so many different values a column is searched by text, not chosen from.
_MAX_CHOICES = 300
#: Behind `json.dumps` only these are left that a page, an HTML parser or a reader could take for something else.
_ESCAPED = re.compile("[<>&\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff\ufffe\uffff]")

Tone = Literal["good", "bad", "poor"]


@dataclass(frozen=True)
class Column:
    """A column of the list, or of a grid.

    Attributes:
        name: its heading.
        kind: `text`; `number`; or `choice`, a text with few values that the reader can filter by.
        minor: left out where the screen is narrow.
        hidden: a choice that is filtered by and not shown, which leaves room for others.
        tones: value → whether it is good news; the value is written all the same.
    """

    name: str
    kind: Literal["text", "number", "choice"] = "text"
    minor: bool = False
    hidden: bool = False
    tones: Mapping[str, Tone] = field(default_factory=dict)


@dataclass(frozen=True)
class Text:
    """A text of an opened entry, shown as it is.

    Attributes:
        label: its heading.
        pieces: shown one behind the other without a gap; a piece that recurs in other entries is kept once.
        folded: shown when asked for.
        searched: found by the text filter.
        running: a remark of ours, in the page's font.
    """

    label: str
    pieces: Sequence[str]
    folded: bool = False
    searched: bool = True
    running: bool = False


@dataclass(frozen=True)
class Grid:
    """A small table of an opened entry.

    Attributes:
        label: its heading.
        columns: its columns.
        rows: a cell a column.
        marks: what is special about each row, as words.
    """

    label: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]
    marks: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Entry:
    """One line of the list.

    Attributes:
        cells: one a column; None where there is none.
        parts: what is shown when it is opened.
        source: file beside the page that has all of it, and the line.
    """

    cells: Sequence[Cell]
    parts: Sequence[Text | Grid] = ()
    source: tuple[str, int] | None = None


@dataclass(frozen=True)
class Browser:
    """A list as data.

    Attributes:
        data: JSON, escaped so that it can stand inside a script element.
        label: what the list is of.
        instead: what a reader without scripts is told.
    """

    data: str
    label: str
    instead: str


def browser(
    label: str, columns: Sequence[Column], entries: Sequence[Entry], instead: str, max_bytes: int = MAX_BYTES
) -> Browser:
    """Makes the list; the caller hands it to `Page.browser`.

    Args:
        label: what the list is of, for instance "Every item".
        columns: of the list; the first one names the entry.
        entries: in the order of the file.
        instead: what a reader without scripts is told: where else the entries are.
        max_bytes: of the data: texts are cut, and beyond that entries left out, until it fits.

    Raises:
        ValueError: no columns, or an entry or a row of a grid is not as long as its columns.
    """
    if not columns:
        raise ValueError(f"{label}: a list needs columns")
    shown = list(entries)
    while True:
        pieces = {piece for entry in shown for part in entry.parts if isinstance(part, Text) for piece in part.pieces}
        for limit in _LIMITS:
            if sum(min(len(piece), limit) for piece in pieces) > max_bytes and shown:
                continue  # seen without writing gigabytes: a character takes a byte or more
            data = _Writer(limit).write(label, columns, shown, len(entries))
            if len(data.encode()) <= max_bytes or not shown:
                return Browser(data, label, instead)
        shown = shown[: len(shown) // 2]


def script_json(value: object) -> str:
    """JSON that can stand inside a script element: nothing in it ends the element, and nothing in it is unprintable."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return _ESCAPED.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


class _Writer:
    """Turns entries into the data that `browser.js` reads: texts by number, each once."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._numbers: dict[str, int] = {}
        self._texts: list[Any] = []
        self._forms: dict[str, int] = {}
        self._num_cut = 0

    def write(self, label: str, columns: Sequence[Column], entries: Sequence[Entry], total: int) -> str:
        rows = [
            [
                self._cells(columns, entry.cells),
                [self._part(part) for part in entry.parts],
                None if entry.source is None else [self._number(entry.source[0]), entry.source[1]],
            ]
            for entry in entries
        ]
        return script_json(
            {
                "label": label,
                "columns": [self._column(column, place, rows) for place, column in enumerate(columns)],
                "forms": [json.loads(form) for form in self._forms],
                "texts": self._texts,
                "rows": rows,
                "total": total,
                "limit": self.limit,
                "cut": self._num_cut,
            }
        )

    def _column(self, column: Column, place: int, rows: Sequence[Any]) -> dict[str, Any]:
        kind = column.kind
        if kind == "choice" and len({row[0][place] for row in rows}) > _MAX_CHOICES:
            kind = "text"
        looks = {"minor": column.minor, "hidden": column.hidden, "tones": dict(column.tones)}
        return {"name": column.name, "kind": kind, **looks}

    def _number(self, text: str) -> int:
        """The number of a text; it is cut in the middle if it is too long, since an answer often stands at the end."""
        if text not in self._numbers:
            self._numbers[text] = len(self._texts)
            if len(text) <= self.limit:
                self._texts.append(text)
            else:
                head, tail = self.limit * 2 // 3, self.limit - self.limit * 2 // 3
                self._texts.append([text[:head], len(text) - self.limit, text[-tail:]])
                self._num_cut += 1
        return self._numbers[text]

    def _cells(self, columns: Sequence[Column], cells: Sequence[Cell]) -> list[Any]:
        if len(cells) != len(columns):
            raise ValueError(f"an entry has {len(cells)} cells, the list has {len(columns)} columns")
        return [self._cell(column, cell) for column, cell in zip(columns, cells, strict=True)]

    def _cell(self, column: Column, cell: Cell) -> Any:
        if cell is None:
            return None
        if column.kind != "number":
            return self._number(str(cell))
        if not isinstance(cell, int | float):
            raise ValueError(f"column {column.name}: {cell!r} is no number")
        # five figures tell options apart, and are a third of what a double takes
        return cell if isinstance(cell, int) else float(f"{cell:.5g}") if math.isfinite(cell) else None

    def _part(self, part: Text | Grid) -> list[Any]:
        if isinstance(part, Text):
            form: dict[str, Any] = {"kind": "line" if part.running else "text", "label": part.label}
            form |= {"folded": part.folded, "searched": part.searched}
            return [self._form(form), [self._number(piece) for piece in part.pieces if piece]]
        form = {"kind": "grid", "label": part.label, "folded": False, "searched": True}
        form["columns"] = [{"name": column.name, "kind": column.kind} for column in part.columns]
        rows = [
            [self._cells(part.columns, row), [self._number(mark) for mark in marks]]
            for row, marks in zip(part.rows, part.marks, strict=True)
        ]
        return [self._form(form), rows]

    def _form(self, form: Mapping[str, Any]) -> int:
        return self._forms.setdefault(json.dumps(form), len(self._forms))
