"""The pool of workers on one machine: gives them tasks, watches them, and replaces those that hang or die.

A file that takes too long or takes its worker down is remembered and kept aside with its reason; its task is done
again without it. So every run ends, and with the same documents, whatever the files do.
"""

from __future__ import annotations

import json
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
_LOG_TAIL = 400


def worker_command(folder: Path, limits: LimitsConfig) -> list[str]:
    """What starts a worker."""
    return [sys.executable, "-m", "sagecraft.corpus.worker", str(folder), str(limits.worker_mib * 2**20)]


class _Worker:
    """One child and what it is doing."""

    def __init__(self, folder: Path, limits: LimitsConfig, log: Path) -> None:
        command = worker_command(folder, limits)
        self.log = log
        self._errors = log.open("wb")
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, bufsize=0
        )
        self.task: int | None = None
        self.item: int | None = None
        self.is_ready = False
        self.deadline = time.monotonic() + _START_SECONDS
        self._rest = b""

    @property
    def answers(self) -> IO[bytes]:
        assert self.process.stdout is not None
        return self.process.stdout

    def start(self, task: int, seconds: float) -> None:
        """Hands over a task."""
        assert self.process.stdin is not None
        self.task, self.item = task, None
        self.deadline = time.monotonic() + seconds
        try:
            self.process.stdin.write(f"{task}\n".encode())
        except BrokenPipeError:
            return  # it has died; its end is read from its answers

    def read(self) -> tuple[list[dict[str, Any]], bool]:
        """What it has said, and whether that was its last."""
        data = self.answers.read(1 << 16)
        *lines, self._rest = (self._rest + (data or b"")).split(b"\n")
        return [json.loads(line) for line in lines], not data

    def end(self) -> None:
        """Kills it if it lives, and closes what belongs to it."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout, self._errors):
            if pipe is not None:
                pipe.close()

    def last_words(self) -> str:
        """The end of what it printed on standard error, in one line."""
        text = self.log.read_text(encoding="utf-8", errors="replace").strip()
        return " ".join(text[-_LOG_TAIL:].split("\n")[-1].split())


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
        self._num_started = 0

    def run(self, tasks: list[int]) -> None:
        """Does all tasks; returns when their parts are there.

        Raises:
            UserError, MachineError: a fault that is not one file's.
        """
        self._queue = list(reversed(tasks))
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
                worker.end()
            self._selector.close()

    def _add_worker(self) -> None:
        self._num_started += 1
        logs = self._folder / "logs"
        logs.mkdir(exist_ok=True)
        worker = _Worker(self._folder, self._limits, logs / f"worker-{self._num_started:04d}.txt")
        self._workers.add(worker)
        self._selector.register(worker.answers, selectors.EVENT_READ, worker)

    def _wait(self) -> None:
        nearest = min(worker.deadline for worker in self._workers)
        for key, _ in self._selector.select(max(0.0, nearest - time.monotonic())):
            self._hear(key.data)
        now = time.monotonic()
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
                worker.item = answer["item"]
            elif "beat" in answer:
                self._beat()
            else:  # ready, or done with a task
                worker.is_ready, worker.task = True, None
        if is_over:
            worker.process.wait()
            self._lose(worker, *_cause_of_death(worker))
        elif worker.is_ready and worker.task is None:
            if self._queue:
                worker.start(self._queue.pop(), self._limits.document_seconds)
            else:
                worker.deadline = float("inf")

    def _lose(self, worker: _Worker, reason: str, detail: str) -> None:
        """Buries a worker; the item it was at is skipped, and its task goes back to the queue."""
        self._selector.unregister(worker.answers)
        self._workers.discard(worker)
        worker.end()
        if worker.task is None or worker.item is None:
            raise MachineError(f"a worker that reads documents ended before it began: {worker.last_words() or detail}")
        known = {skip.item for skip in load_skips(self._folder, worker.task)}
        if worker.item in known:
            raise MachineError(f"task {worker.task} ends its workers although the file was left out: {detail}")
        add_skip(self._folder, worker.task, Skip(item=worker.item, reason=reason, detail=detail))
        self._queue.append(worker.task)


def _cause_of_death(worker: _Worker) -> tuple[str, str]:
    code = worker.process.returncode
    if code == -signal.SIGKILL:
        return "reader-killed", "the system ended its worker, probably for its memory"
    if code < 0:
        return "reader-crashed", f"its worker ended by {signal.Signals(-code).name}"
    words = worker.last_words()
    return ("reader-memory" if "MemoryError" in words else "reader-crashed"), words or f"its worker ended with {code}"
