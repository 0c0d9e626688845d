from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from sagecraft import console


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that stands until a test moves it."""
    now = [100.0]
    monkeypatch.setattr(console.time, "monotonic", lambda: now[0])
    return now


def screen(monkeypatch: pytest.MonkeyPatch, name: str, **settings: Any) -> io.StringIO:
    text = io.StringIO()
    monkeypatch.setattr(console, name, Console(file=text, highlight=False, soft_wrap=True, width=80, **settings))
    return text


def test_in_a_pipe_progress_is_a_line_with_rate_and_time_left(
    clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    text = screen(monkeypatch, "err")
    with console.progress("cpt", 500_000) as tick:
        tick.start_at(100_000)  # resumed: what was done before does not count for the rate
        clock[0] += 5
        tick.advance(10_000)
        assert text.getvalue() == ""
        clock[0] += 5
        tick.advance(15_000, "loss 3.2")
    assert text.getvalue() == "  cpt: 125,000/500,000 (25 %), 2,500/s, 2 min 30 s left  loss 3.2\n"


def test_on_a_terminal_the_bar_says_them_too(clock: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    text = screen(monkeypatch, "err", force_terminal=True)
    monkeypatch.setattr(console.err, "width", 200)
    with console.progress("documents", 4) as tick:
        clock[0] += 2
        tick.advance(1, "a[/b].tex\x1b[31m")  # a file's name is no markup, and no control sequence
        tick._bar.refresh()  # type: ignore[union-attr]
    shown = text.getvalue()
    assert "0.5/s, 6.0 s left" in shown
    assert "a[/b].tex[31m" in shown


def test_a_table_in_a_pipe_is_not_folded(monkeypatch: pytest.MonkeyPatch) -> None:
    text = screen(monkeypatch, "out")
    path = "/data/" + "a folder with spaces/" * 9
    console.table("steps", ["path", "rate"], [[path, 12345.678], ["x", 0.00123456]])
    assert path in text.getvalue()
    assert "12,346" in text.getvalue()
    assert "0.001235" in text.getvalue()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (59.94, "59.9 s"), (59.96, "1 min 00 s"), (3599.4, "59 min 59 s"), (3599.6, "1 h 00 min"), (1e5, "27 h 46 min")],
)  # fmt: skip
def test_durations(seconds: float, text: str) -> None:
    assert console.duration(seconds) == text


def test_what_every_step_would_say_is_said_once(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(console, "say", said.append)
    for text in ("of the questions of a test", "of the others", "of the questions of a test"):
        console.say_once(text)
    assert said == ["of the questions of a test", "of the others"]
