"""The pool of workers on one machine: gives them tasks, watches them, and replaces those that hang or die.

A file that takes too long or takes its worker down is remembered and kept aside with its reason; its task is done
again without it. So every run ends, and with the same documents, whatever the files do.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from sagecraft.corpus.executors import LimitsConfig
from sagecraft.corpus.tasks import Skip, add_skip, load_skips
from sagecraft.errors import MachineError, UserError

#: A worker that has not said a word after so many seconds will not start.
_START_SECONDS = 120.0
_END_SECONDS = 30.0
#: How often the clock is looked at: a longer gap was no time of the workers (the run was stopped, the machine slept).
_TICK_SECONDS = 1.0
#: Workers that end for no reason of a file (somebody killed them) and are replaced.
_MAX_UNEXPLAINED = 8
_LOG_TAIL = 400
#: Rows of one file that may cost a worker before the rest of it is left out, too: each may take its whole time.
_MAX_SKIPS = 20


def worker_command(folder: Path, limits: LimitsConfig) -> list[str]:
    """What starts a worker."""
    return [sys.executable, "-m", "sagecraft.corpus.worker", str(folder), str(limits.worker_mib * 2**20)]


class _Worker:
    """One child and what it is doing."""

    def __init__(self, folder: Path, limits: LimitsConfig) -> None:
        self.process = subprocess.Popen(
            worker_command(folder, limits),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self._tasks: IO[bytes] = self.process.stdin
        self.answers: IO[bytes] = self.process.stdout
        self.errors: IO[bytes] = self.process.stderr
        # What it forked may hold the pipe open when it is gone.
        os.set_blocking(self.errors.fileno(), False)
        self.task: int | None = None
        self.item: int | None = None
        self.row = 0
        self.is_reading = True
        self.is_ready = False
        self.deadline = time.monotonic() + _START_SECONDS
        self._rest = self._printed = b""

    def start(self, task: int, seconds: float) -> None:
        """Hands over a task."""
        self.task, self.item = task, None
        self.deadline = time.monotonic() + seconds
        try:
            self._tasks.write(f"{task}\n".encode())
        except BrokenPipeError:
            return  # it has died; its end is read from its answers

    def read(self) -> tuple[list[dict[str, Any]], bool]:
        """What it has said, and whether that was its last."""
        data = self.answers.read(1 << 16)
        *lines, self._rest = (self._rest + (data or b"")).split(b"\n")
        return [json.loads(line) for line in lines], not data

    def read_errors(self) -> bool:
        """Keeps the end of what it has printed on standard error, however much that is; False if there will be no more."""
        while data := self.errors.read(1 << 16):
            self._printed = (self._printed + data)[-_LOG_TAIL:]
        return data is None

    def settle(self) -> None:
        """Waits for the end of one that said its last."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(_END_SECONDS)
        self.read_errors()

    def end(self) -> None:
        """Kills it if it lives, and closes what belongs to it."""
        self.kill()
        # One that hangs in the kernel (a dead network disk) ends when it can.
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(_END_SECONDS)
        for pipe in (self._tasks, self.answers, self.errors):
            pipe.close()

    def kill(self) -> None:
        """Kills it if it lives."""
        if self.process.poll() is None:
            self.process.kill()

    def last_words(self) -> str:
        """The last line that it printed on standard error."""
        return " ".join(self._printed.decode("utf-8", "replace").strip().split("\n")[-1].split())


class Pool:
    """Runs tasks on a number of workers."""

    def __init__(self, folder: Path, limits: LimitsConfig, num_workers: int, beat: Callable[[], None]) -> None:
        self._folder = folder
        self._limits = limits
        self._num_workers = num_workers
        self._beat = beat
        self._queue: list[int] = []
        self._workers: set[_Worker] = set()
        self._selector = selectors.DefaultSelector()
        self._num_unexplained = 0
        self._killed: set[tuple[int, int]] = set()
        self._looked = time.monotonic()

    def run(self, tasks: list[int]) -> None:
        """Does all tasks; returns when their parts are there.

        Raises:
            UserError, MachineError: a fault that is not one file's.
        """
        self._queue = list(reversed(tasks))
        self._looked = time.monotonic()
        with self._all_ended():
            while self._queue or any(worker.task is not None for worker in self._workers):
                while len(self._workers) < min(self._num_workers, len(self._queue) + self._num_busy()):
                    self._add_worker()
                self._wait()

    def _num_busy(self) -> int:
        return sum(worker.task is not None for worker in self._workers)

    @contextmanager
    def _all_ended(self) -> Iterator[None]:
        try:
            yield
        finally:
            for worker in self._workers:
                worker.kill()
            for worker in self._workers:
                worker.end()
            self._selector.close()

    def _add_worker(self) -> None:
        worker = _Worker(self._folder, self._limits)
        self._workers.add(worker)
        self._selector.register(worker.answers, selectors.EVENT_READ, worker)
        self._selector.register(worker.errors, selectors.EVENT_READ, worker)

    def _wait(self) -> None:
        nearest = min(worker.deadline for worker in self._workers)
        for key, _ in self._selector.select(max(0.0, min(nearest - time.monotonic(), _TICK_SECONDS))):
            if key.data not in self._workers:
                continue
            if key.fileobj is key.data.answers:
                self._hear(key.data)
            elif not key.data.read_errors():
                self._selector.unregister(key.fileobj)
        now = time.monotonic()
        stood_still = now - self._looked - _TICK_SECONDS
        self._looked = now
        if stood_still > _TICK_SECONDS:
            for worker in self._workers:
                worker.deadline += stood_still
        for worker in [worker for worker in self._workers if worker.deadline < now]:
            seconds = self._limits.document_seconds
            self._lose(worker, "reader-timeout", f"not read within {seconds:g} s (limits.document_seconds)")

    def _hear(self, worker: _Worker) -> None:
        answers, is_over = worker.read()
        for answer in answers:
            worker.deadline = time.monotonic() + self._limits.document_seconds
            if "fatal" in answer:
                raise (UserError if answer["code"] == UserError.exit_code else MachineError)(answer["fatal"])
            if "item" in answer:
                worker.item, worker.row, worker.is_reading = answer["item"], 0, True
            elif "read" in answer:
                worker.is_reading = False
            elif "beat" in answer:
                worker.row, worker.is_reading = worker.row + 1, True
                self._beat()
            elif "alive" not in answer:  # ready, or done with a task
                worker.is_ready, worker.task = True, None
        if is_over:
            worker.settle()
            self._lose(worker, *_cause_of_death(worker))
        elif worker.is_ready and worker.task is None:
            if self._queue:
                worker.start(self._queue.pop(), self._limits.document_seconds)
            else:
                worker.deadline = float("inf")

    def _lose(self, worker: _Worker, reason: str, detail: str) -> None:
        """Buries a worker; the item it was at is skipped, and its task goes back to the queue."""
        for key in [key for key in self._selector.get_map().values() if key.data is worker]:
            self._selector.unregister(key.fileobj)
        self._workers.discard(worker)
        worker.end()
        if not worker.is_ready:
            late = reason == "reader-timeout"
            detail = f"it did not start within {_START_SECONDS:g} s" if late else worker.last_words() or detail
            raise MachineError(f"a worker that reads documents ended before it began: {detail}")
        if worker.task is None or worker.item is None:
            self._num_unexplained += 1
            if self._num_unexplained > _MAX_UNEXPLAINED:
                raise MachineError(f"workers that read documents end without a document: {detail}")
            self._queue += [worker.task] if worker.task is not None else []
            return
        place = (worker.task, worker.item)
        if reason == "reader-killed" and place not in self._killed:
            # Memory that ran out may have been another's: the file gets a second chance.
            self._killed.add(place)
            self._queue.append(worker.task)
            return
        known = [skip for skip in load_skips(self._folder, worker.task) if skip.item == worker.item]
        if any(skip.is_rest and skip.row <= worker.row for skip in known):
            raise MachineError(f"task {worker.task} ends its workers although the file was left out: {detail}")
        is_rest = worker.is_reading or len(known) >= _MAX_SKIPS or worker.row in {skip.row for skip in known}
        skip = Skip(item=worker.item, row=worker.row, is_rest=is_rest, reason=reason, detail=detail)
        add_skip(self._folder, worker.task, skip)
        self._queue.append(worker.task)


def _cause_of_death(worker: _Worker) -> tuple[str, str]:
    code = worker.process.returncode
    if code == -signal.SIGKILL:
        return "reader-killed", "the system ended its worker, probably for its memory"
    if code < 0:
        return "reader-crashed", f"its worker ended by {signal.Signals(-code).name}"
    words = worker.last_words()
    return ("reader-memory" if "MemoryError" in words else "reader-crashed"), words or f"its worker ended with {code}"
