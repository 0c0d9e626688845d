"""What the terminal shows: plain lines, tables and progress, on standard error so that results can be piped.

On a terminal progress is a live bar; elsewhere (a log, CI, Slurm) it is a line every few seconds, since a bar in a
log file is noise.
"""

from __future__ import annotations

import functools
import json
import re
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

err = Console(stderr=True, highlight=False, soft_wrap=True)
out = Console(highlight=False, soft_wrap=True)

#: Seconds between two progress lines where there is no terminal.
_LINE_SECONDS = 10.0
#: Columns of a table where there is no terminal.
_UNFOLDED = 1000
#: Control characters except newline and tab (C0, DEL, C1: what escape sequences of terminals are made of), and the
#: marks that turn the direction of text around (CVE-2021-42574).
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def plain_text(text: str) -> str:
    """Text without control characters: a stranger's words cannot move the cursor, recolour or retitle a terminal."""
    return _CONTROL.sub("", text)


def say(text: str, style: str | None = None) -> None:
    """Prints one line for the person who waits. `text` is taken literally: it may come from a stranger's file."""
    err.print(Text(plain_text(text), style=style or ""))


@functools.cache
def say_once(text: str) -> None:
    """Prints a line the first time that this process has it: what every step of a run would say of the file they share."""
    say(text)


def warn(text: str) -> None:
    """Prints a warning."""
    say(f"warning: {text}", style="yellow")


def emit(value: object) -> None:
    """Prints a result as JSON on standard output (`--json`)."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False, default=str) + "\n")


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]], aside: bool = False) -> None:
    """Prints a table; columns of numbers are aligned to the right. `aside`: it is no result, so it is not for a pipe."""
    grid = Table(title=title, title_justify="left", show_edge=False, pad_edge=False)
    for position, column in enumerate(columns):
        numeric = all(isinstance(row[position], int | float) for row in rows)
        grid.add_column(column, justify="right" if numeric else "left")
    for row in rows:
        grid.add_row(*(Text(number(cell) if isinstance(cell, float) else plain_text(str(cell))) for cell in row))
    where = err if aside else out
    # in a pipe or a log a path that is folded to 80 columns cannot be copied
    (where if where.is_terminal else Console(file=where.file, width=_UNFOLDED)).print(grid)


def number(value: float) -> str:
    """Four significant figures, large ones whole, never with an exponent of ten that is positive."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def duration(seconds: float) -> str:
    """A time as a person says it: 12.3 s, 6 min 05 s, 3 h 20 min."""
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


class Tick:
    """Handle of a running progress: `advance` it, and `note` what else is worth seeing (loss, rate)."""

    def __init__(self, label: str, total: float | None, line_seconds: float, shows_rate: bool) -> None:
        self.label = label
        self.total = total
        self.line_seconds = line_seconds
        self.shows_rate = shows_rate
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
        now = time.monotonic()
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=self.done, pace=self._pace(now), detail=plain_text(self.detail))  # type: ignore[arg-type]
        elif now - self._last_line >= self.line_seconds:
            self._last_line = now
            share = f"/{self.total:,.0f} ({100 * self.done / self.total:.0f} %)" if self.total else ""
            say(f"  {self.label}: {self.done:,.0f}{share}, {self._pace(now)}  {self.detail}".rstrip())

    def _pace(self, now: float) -> str:
        """Rate and time left, of what was done since the start."""
        rate = (self.done - self._start_done) / max(now - self._started, 1e-9)
        parts = [f"{number(rate)}/s"] if self.shows_rate else []
        if self.total and rate > 0:
            parts.append(f"{duration(max(0.0, self.total - self.done) / rate)} left")
        return ", ".join(parts)


@contextmanager
def progress(
    label: str, total: float | None = None, line_seconds: float = _LINE_SECONDS, shows_rate: bool = True
) -> Iterator[Tick]:
    """Shows how far a loop is, its rate and the time left.

    Args:
        label: stands in front.
        total: what `advance` adds up to, if that is known.
        line_seconds: between two lines where there is no terminal.
        shows_rate: with how much is done a second; off where `detail` says a better rate.

    Example:
        with progress("reading", len(files)) as tick:
            for file in files:
                tick.advance(detail=file.name)
    """
    tick = Tick(label, total, line_seconds, shows_rate)
    if not err.is_terminal:
        yield tick
        return
    columns = (
        TextColumn("  {task.description}", markup=False),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        # markup off: a file may be called a[/b].tex
        TextColumn("{task.fields[pace]}", markup=False),
        TextColumn("{task.fields[detail]}", markup=False),
    )
    with Progress(*columns, console=err, transient=True) as bar:
        tick._bar = bar
        tick._task = int(bar.add_task(label, total=total, pace="", detail=""))
        yield tick
