"""Tables as CSV beside a page: what a spreadsheet opens must not run what a stranger wrote."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterable, Sequence

from sagecraft.reporting.page import Cell

#: What begins a formula in one spreadsheet or another, behind blanks too, and in the wide forms of these signs.
_FORMULA = re.compile(r"\s*[=+\-@\uff1d\uff0b\uff0d\uff20\u2212]|[\t\r\n]")
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,3})?")
_UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")
#: Characters of a cell that every spreadsheet takes.
_MAX_CHARS = 32_000


def csv_text(rows: Iterable[Sequence[Cell]]) -> str:
    """Rows, the first of them the heading, as CSV (UTF-8, commas, line feeds).

    Numbers stay numbers, truth is 1 or 0, what is missing is empty. A text that a spreadsheet could take for a formula
    has an apostrophe in front; unprintable characters become U+FFFD; a text of more than 32,000 characters ends in "…".
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([_cell(cell) for cell in row] for row in rows)
    return text.getvalue()


def _cell(cell: Cell) -> str | int | float:
    if cell is None or (isinstance(cell, float) and not math.isfinite(cell)):
        return ""
    if isinstance(cell, bool):
        return int(cell)
    if isinstance(cell, int | float):
        return cell
    # the writer quotes no lone carriage return, at which readers end the row
    shown = cell[: _MAX_CHARS + 1].replace("\r\n", "\n").replace("\r", "\n")
    shown = _UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", shown)
    shown = shown if len(shown) <= _MAX_CHARS else shown[: _MAX_CHARS - 1] + "…"
    return f"'{shown}" if _FORMULA.match(shown) and not _NUMBER.fullmatch(shown) else shown
