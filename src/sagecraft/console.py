"""What the terminal shows: plain lines, tables and progress, on standard error so that results can be piped.

On a terminal progress is a live bar; elsewhere (a log, CI, Slurm) it is a line every few seconds, since a bar in a
log file is noise.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

err = Console(stderr=True, highlight=False, soft_wrap=True)
out = Console(highlight=False, soft_wrap=True)

#: Seconds between two progress lines where there is no terminal.
_LINE_SECONDS = 10.0


def say(text: str, style: str | None = None) -> None:
    """Prints one line for the person who waits. `text` is taken literally: it may come from a stranger's file."""
    err.print(Text(text, style=style or ""))


def warn(text: str) -> None:
    """Prints a warning."""
    err.print(Text(f"warning: {text}", style="yellow"))


def emit(value: object) -> None:
    """Prints a result as JSON on standard output (`--json`)."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False, default=str) + "\n")


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Prints a table; columns of numbers are aligned to the right."""
    grid = Table(title=title, title_justify="left", show_edge=False, pad_edge=False)
    for position, column in enumerate(columns):
        numeric = all(isinstance(row[position], int | float) for row in rows)
        grid.add_column(column, justify="right" if numeric else "left")
    for row in rows:
        grid.add_row(*(Text(f"{cell:,.4g}" if isinstance(cell, float) else str(cell)) for cell in row))
    out.print(grid)


class Tick:
    """Handle of a running progress: `advance` it, and `note` what else is worth seeing (loss, rate)."""

    def __init__(self, label: str, total: float | None) -> None:
        self.label = label
        self.total = total
        self.done = 0.0
        self.detail = ""
        self._started = time.monotonic()
        self._last_line = self._started
        self._start_done = 0.0
        self._bar: Progress | None = None
        self._task: int | None = None

    def start_at(self, done: float) -> None:
        """Begins in the middle (a resumed run): what was done before does not count for the rate."""
        self.done = self._start_done = done
        self.advance(0)

    def advance(self, amount: float = 1, detail: str | None = None) -> None:
        """Moves on by `amount`; `detail` is shown at the end of the line."""
        self.done += amount
        if detail is not None:
            self.detail = detail
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=self.done, detail=self.detail)  # type: ignore[arg-type]
            return
        now = time.monotonic()
        if now - self._last_line >= _LINE_SECONDS:
            self._last_line = now
            say(self._line(now))

    def _line(self, now: float) -> str:
        rate = (self.done - self._start_done) / max(now - self._started, 1e-9)
        text = f"  {self.label}: {self.done:,.0f}"
        if self.total:
            left = (self.total - self.done) / rate if rate > 0 else float("inf")
            text += f"/{self.total:,.0f} ({100 * self.done / self.total:.0f} %), {rate:,.3g}/s"
            text += f", {left:,.0f} s left" if left != float("inf") else ""
        else:
            text += f", {rate:,.3g}/s"
        return f"{text}  {self.detail}".rstrip()


@contextmanager
def progress(label: str, total: float | None = None) -> Iterator[Tick]:
    """Shows how far a loop is, its rate and the time left.

    Example:
        with progress("reading", len(files)) as tick:
            for file in files:
                tick.advance(detail=file.name)
    """
    tick = Tick(label, total)
    if not err.is_terminal:
        yield tick
        return
    columns = (
        TextColumn("  {task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[detail]}"),
    )
    with Progress(*columns, console=err, transient=True) as bar:
        tick._bar = bar
        tick._task = int(bar.add_task(label, total=total, detail=""))
        yield tick
