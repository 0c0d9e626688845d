"""Signals that ask a run to stop: it finishes its step, writes a checkpoint and leaves."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

#: What schedulers and operators send before they end a job: Slurm's `--signal=USR1@300`, and everybody's SIGTERM.
_ASKING = (signal.SIGTERM, signal.SIGUSR1)


class Asked:
    """Which signal came, if one did."""

    def __init__(self) -> None:
        self.name = ""

    def __bool__(self) -> bool:
        return bool(self.name)


@contextlib.contextmanager
def asked_to_stop() -> Iterator[Asked]:
    """Notes the signals instead of dying of them; outside of the block they kill as ever."""
    asked = Asked()
    if threading.current_thread() is not threading.main_thread():  # only that may have handlers
        yield asked
        return

    def note(number: int, _: FrameType | None) -> None:
        asked.name = signal.Signals(number).name

    before = {number: signal.signal(number, note) for number in _ASKING}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
