r"""Tables: `tabular` and its kin to Markdown tables.

Cells are set by the interpreter as it meets `&` and `\\`, so that macros which stand for half a row work.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

#: A row's cells beyond this are joined: `\multicolumn{999999}` must not fill the memory.
MAX_COLUMNS = 200


@dataclass
class Table:
    """A table while its cells are read.

    Attributes:
        start: Where in the output the current cell begins.
        span: Columns that the current cell takes.
        inner: Whether it stands in a cell of another table, where it becomes plain text.
        before: Captions and whatever else stands above.
        after: Notes that stand below.
        tail: Rows that a table over many pages states before the others and prints last.
        mark: Rows and captions there were when the last of its heads or feet ended; None where it has none.
    """

    start: int
    inner: bool = False
    rows: list[list[str]] = field(default_factory=list)
    row: list[str] = field(default_factory=list)
    span: int = 1
    before: list[str] = field(default_factory=list)
    after: list[str] = field(default_factory=list)
    tail: list[list[str]] = field(default_factory=list)
    mark: tuple[int, int] | None = None

    def end_part(self, name: str) -> None:
        r"""`\endfirsthead`, `\endhead`, `\endfoot`, `\endlastfoot`: what is printed on every page is kept once."""
        num_rows, num_before = self.mark or (0, 0)
        if name == "endlastfoot":
            self.tail = self.rows[num_rows:]
            del self.rows[num_rows:]
        elif name == "endfoot" or (name == "endhead" and self.mark is not None):
            del self.rows[num_rows:]
            del self.before[num_before:]
        self.mark = len(self.rows), len(self.before)

    def end_cell(self, text: str) -> None:
        """Adds the text of the current cell to the row."""
        cell = " ".join(text.split())
        if len(self.row) < MAX_COLUMNS:
            self.row.append(cell)
            self.row.extend([""] * min(self.span - 1, MAX_COLUMNS - len(self.row)))
        elif cell:
            self.row[-1] += " " + cell
        self.span = 1

    def end_row(self) -> None:
        """Adds the current row, unless it is empty."""
        if any(self.row):
            self.rows.append(self.row)
        self.row = []

    def text(self) -> str:
        """The table as Markdown; one column becomes lines, an inner table one line."""
        self.rows += self.tail
        self.tail = []
        if self.inner:
            return " ".join(cell for row in self.rows for cell in row if cell)
        width = max((len(row) for row in self.rows), default=0)
        while width > 1 and not any(len(row) >= width and row[width - 1] for row in self.rows):
            width -= 1
        if width <= 1:
            body = "\n".join(row[0] for row in self.rows)
        else:
            rows = [[escape_bars(cell) for cell in row[:width]] + [""] * (width - len(row)) for row in self.rows]
            lines = ["| " + " | ".join(row) + " |" for row in rows]
            lines.insert(1, "|" + " --- |" * width)
            body = "\n".join(lines)
        return "\n\n".join(piece for piece in [*self.before, body, *self.after] if piece)


_BAR = re.compile(r"(\\?)\|(?=([A-Za-z])?)")


def _bar(match: re.Match[str]) -> str:
    return ("\\Vert" if match[1] else "\\vert") + (" " if match[2] else "")


def escape_bars(cell: str) -> str:
    r"""Bars that are not column marks: `\|` in text, `\vert` in mathematics, where `\|` means another sign."""
    if "|" not in cell:
        return cell
    parts = cell.replace("\\$", "\0").split("$")
    for index, part in enumerate(parts):
        if index % 2:
            parts[index] = _BAR.sub(_bar, part)
        else:
            parts[index] = part.replace("|", "\\|")
    return "$".join(parts).replace("\0", "\\$")
