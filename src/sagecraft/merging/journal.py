"""Which tensors of a result are on the disk: what lets a merge that was killed go on with the next one."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

from sagecraft.merging.summary import TensorSummary


class Journal:
    """A file with a line for each finished tensor, written once the tensor's bytes are on the disk.

    A thread of its own waits for the disk, so that the arithmetic does not: while it waits, finished tensors gather, and the next
    wait is for all of them. Leaving the context waits for the last.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._finished: dict[str, TensorSummary] | None = None
        self._waiting: list[tuple[TensorSummary, int]] = []
        self._news = threading.Condition()
        self._closing = False
        self._fault: OSError | None = None
        self._thread = threading.Thread(target=self._sync, name="journal", daemon=True)

    def finished(self) -> dict[str, TensorSummary]:
        """What an interrupted merge finished; a line that was cut short ends it."""
        if self._finished is None:
            self._finished = {}
            lines = self.path.read_bytes().split(b"\n")[:-1] if self.path.is_file() else []
            for line in lines:
                try:
                    row = TensorSummary(**json.loads(line))
                except (ValueError, TypeError):
                    break
                self._finished[row.name] = row
        return self._finished

    def forget(self, names: set[str]) -> None:
        """Takes tensors out whose bytes are gone."""
        self._finished = {name: row for name, row in self.finished().items() if name not in names}

    def add(self, summary: TensorSummary, handle: int) -> None:
        """Notes a tensor whose bytes were written to `handle`."""
        with self._news:
            if self._fault is not None:
                raise self._fault
            self._waiting.append((summary, handle))
            self._news.notify()

    def __enter__(self) -> Self:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._write(list(self.finished().values()), "wb")
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._news:
            self._closing = True
            self._news.notify()
        self._thread.join()
        if self._fault is not None and kind is None:
            raise self._fault

    def _sync(self) -> None:
        while True:
            with self._news:
                self._news.wait_for(lambda: self._waiting or self._closing)
                rows, self._waiting = self._waiting, []
            if not rows:
                return
            try:
                for handle in {handle for _, handle in rows}:
                    os.fdatasync(handle)  # the bytes first, then the lines that vouch for them
                self._write([summary for summary, _ in rows], "ab")
            except OSError as error:  # a full or broken disk: the next tensor, or the end, reports it
                self._fault = error
                return

    def _write(self, rows: list[TensorSummary], mode: str) -> None:
        with self.path.open(mode) as file:
            file.write(b"".join(json.dumps(vars(row)).encode() + b"\n" for row in rows))
            file.flush()
            os.fsync(file.fileno())
