"""A worker: a child process that does tasks of a plan until its input ends.

It reads numbers of tasks, a line each, and answers in JSON lines: the item it begins, a beat for every row, the end of
the task, or a fault that ends the whole run. It has a limit on its memory and dies with its parent; what hangs or
crashes it is for the parent to see (`pool.py`).
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
import signal
import sys
import time
from pathlib import Path
from typing import TextIO

from sagecraft.errors import SagecraftError, from_os_error

_PR_SET_PDEATHSIG = 1
_ALIVE_SECONDS = 0.5


def main(folder: Path, max_bytes: int) -> None:
    """Serves tasks.

    Args:
        folder: of the plan.
        max_bytes: memory it may take.
    """
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)  # whatever a library prints does not mix with the answers
    _limit(max_bytes)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # They reach the whole group of processes and are meant for the run. Its parent ends a worker; a worker that
        # ended by itself would be counted against the file it is at.
        signal.signal(number, signal.SIG_IGN)

    from sagecraft.corpus.tasks import load_plan, run_task

    parent = _Parent(answers)
    try:
        plan = load_plan(folder)
        parent.say(ready=1)
        for line in sys.stdin:
            run_task(folder, plan, int(line), parent)
            parent.say(done=1)
    except SagecraftError as error:
        parent.say(fatal=str(error), code=error.exit_code)
    except OSError as error:
        fault = from_os_error(error)
        parent.say(fatal=str(fault), code=fault.exit_code)


class _Parent:
    """Tells the parent how a task gets on (`tasks.Watch`)."""

    def __init__(self, answers: TextIO) -> None:
        self._answers = answers
        self._said = time.monotonic()

    def say(self, **answer: object) -> None:
        self._answers.write(json.dumps(answer) + "\n")
        self._said = time.monotonic()

    def item(self, number: int) -> None:
        self.say(item=number)

    def read(self) -> None:
        self.say(read=1)

    def row(self) -> None:
        self.say(beat=1)

    def alive(self) -> None:
        if time.monotonic() - self._said > _ALIVE_SECONDS:
            self.say(alive=1)


def _limit(max_bytes: int) -> None:
    """Memory: RLIMIT_DATA counts what a process writes to, not the address space that libraries reserve."""
    resource.setrlimit(resource.RLIMIT_DATA, (max_bytes, max_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
