"""Tables with cells that span columns and rows, as HTML, CALS and JATS have them, to Markdown."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from sagecraft.corpus.readers.blocks import MAX_CELLS, table_block
from sagecraft.corpus.readers.latex_tables import MAX_COLUMNS
from sagecraft.corpus.readers.mathml import local_name

#: A cell that spans rows stands in each of them up to this length: a row of Markdown says no other way what it
#: belongs to. Longer ones stand once, or one cell could fill the memory.
_MAX_REPEATED_CHARS = 80


@dataclass(frozen=True)
class Cell:
    """A cell and how many columns and rows it takes."""

    text: str
    columns: int = 1
    rows: int = 1


def span_of(value: str | None) -> int:
    """A span as attributes state it; 1 for what is no number."""
    return (
        min(max(int(value), 1), MAX_COLUMNS) if value and value.isascii() and value.isdigit() and len(value) < 6 else 1
    )


def own_rows(table: Any) -> list[Any]:
    """The rows of a table and not those of tables inside its cells, which are read with their cells."""
    found: list[Any] = []
    pending = list(reversed(table))
    while pending:
        node = pending.pop()
        if local_name(node) in ("tr", "row"):
            found.append(node)
        elif local_name(node) in ("tgroup", "thead", "tbody", "tfoot"):
            pending += reversed(node)
    return found


def cals_columns(row: Any) -> dict[str, int]:
    """The columns of the row's `tgroup` by name."""
    group = next((node for node in row.iterancestors() if local_name(node) == "tgroup"), None)
    # They stand first, and no more of them count than a table has columns.
    specs = [node for node in islice(group, MAX_COLUMNS) if local_name(node) == "colspec"] if group is not None else []
    return {spec.get("colname") or "": number for number, spec in enumerate(specs)}


def cals_cell(entry: Any, text: str, columns: dict[str, int]) -> Cell:
    """A cell of CALS: columns by the names of the first and the last, rows by how many more it takes."""
    first, last = columns.get(entry.get("namest") or ""), columns.get(entry.get("nameend") or "")
    width = last - first + 1 if first is not None and last is not None and last >= first else 1
    more = entry.get("morerows") or "0"
    return Cell(text, min(width, MAX_COLUMNS), span_of(str(int(more) + 1)) if re.fullmatch(r"\d{1,4}", more) else 1)


def spanned_table(rows: Sequence[Sequence[Cell]], num_header_rows: int = 1) -> str:
    """The table as Markdown, every cell in its column.

    In the header, a cell over several columns names each of them; in the body it stands once. A cell over several rows
    stands in each of them in the body, and once in the header.
    """
    lines: list[list[str]] = []
    pending: dict[int, tuple[int, str]] = {}
    num_cells = 0
    for number, row in enumerate(rows):
        if num_cells > MAX_CELLS:
            lines.append([cell.text for cell in row[:MAX_COLUMNS]])
            continue
        is_header = number < num_header_rows
        line: list[str] = []
        following: dict[int, tuple[int, str]] = {}
        cells = iter(row)
        cell = next(cells, None)
        while len(line) < MAX_COLUMNS and (cell is not None or any(column >= len(line) for column in pending)):
            column = len(line)
            if column in pending:
                left, text = pending.pop(column)
                line.append("" if is_header else text)
                if left > 1:
                    following[column] = (left - 1, text)
            elif cell is None:
                line.append("")
            else:
                _place(cell, line, following, is_header)
                cell = next(cells, None)
        pending = following
        num_cells += len(line)
        lines.append(line)
    return table_block(lines, num_header_rows)


def _place(cell: Cell, line: list[str], following: dict[int, tuple[int, str]], is_header: bool) -> None:
    """Adds a cell to its row, and what it leaves to the rows below to `following`."""
    for offset in range(min(cell.columns, MAX_COLUMNS - len(line))):
        if cell.rows > 1:
            below = cell.text if not offset and len(cell.text) <= _MAX_REPEATED_CHARS else ""
            following[len(line)] = (cell.rows - 1, below)
        line.append(cell.text if is_header or not offset else "")
