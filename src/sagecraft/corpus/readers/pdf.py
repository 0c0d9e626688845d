"""PDF: a stranger's file is opened in a child process that has limits and can be killed.

The library that parses PDF is C++ and has been made to crash, hang and swallow memory by crafted files. So one small process
(the server, `pdf_child`) loads it once and forks itself for every file; the copy sets limits on itself, reads that file, and
ends. A fresh interpreter for each file would take 100 ms of processor time, a fork takes 2. What the copy says comes back as JSON of a
bounded size; the server is killed, with the copy, when the time is over.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib.util
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sagecraft.corpus.readers.pdf_protocol import DIED, FAULT, FRAME, JOB
from sagecraft.corpus.readers.result import ReaderError, ReadResult
from sagecraft.errors import UserError

_END_MARK, _HEAD_BYTES, _TAIL_BYTES = b"%%EOF", 1024, 1 << 16


@dataclass(frozen=True)
class Limits:
    """What one PDF may cost.

    Attributes:
        file_bytes: largest file that is opened.
        pages: most pages; they take 0.37 MiB each until the document is put together.
        page_chars: most characters that are read of one page.
        chars: most characters in all; the longest theses have 2 million.
        memory_bytes: address space of the child.
        cpu_seconds: processor time, and as much again for each 4 MiB of the file; 30 pages take one second.
        wall_factor: deadline, in units of the processor time, for machines that are busy with other things.
        output_bytes: longest answer.
    """

    file_bytes: int = 256 * 2**20
    pages: int = 2000
    page_chars: int = 200_000
    chars: int = 20_000_000
    memory_bytes: int = 768 * 2**20
    cpu_seconds: int = 40
    wall_factor: float = 2.5
    output_bytes: int = 64 * 2**20


LIMITS = Limits()


def read_pdf(path: Path, root: Path, limits: Limits = LIMITS) -> ReadResult:  # noqa: ARG001 - the signature of every reader
    """Reads a PDF with a text layer to Markdown. Displayed mathematics stays the characters that are printed.

    Raises:
        ReaderError: `pdf-encrypted`, `pdf-damaged`, `pdf-timeout`, `pdf-too-large`, `pdf-no-encoding`, `no-text`, `unreadable`.
    """
    size = _check_file(path, limits)
    cpu_seconds = limits.cpu_seconds * (1 + size // (4 * 2**20))
    job = {**asdict(limits), "path": str(path.resolve()), "cpu_seconds": min(cpu_seconds, 10 * limits.cpu_seconds)}
    with _LOCK:
        kind, number, payload = _ask(job, limits)
    if kind == DIED:
        raise _death(number)
    try:
        told = json.loads(payload)
    except ValueError as error:
        raise ReaderError("pdf-damaged", "the reader gave no answer that can be read") from error
    if kind == FAULT:
        raise ReaderError(str(told["reason"]), str(told["detail"]))
    return ReadResult(**told)


def _check_file(path: Path, limits: Limits) -> int:
    """Size of the file, if it is a whole PDF by its first and last bytes."""
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _TAIL_BYTES))
            tail = file.read(_TAIL_BYTES)
    except OSError as error:
        raise ReaderError("unreadable", error.strerror or str(error)) from error
    if size > limits.file_bytes:
        raise ReaderError(
            "pdf-too-large", f"{size / 2**20:.0f} MiB, at most {limits.file_bytes / 2**20:.0f} are opened"
        )
    if b"%PDF-" not in head:
        raise ReaderError("pdf-damaged", "it does not begin like a PDF")
    if _END_MARK not in tail:
        raise ReaderError("pdf-damaged", "it is cut off: the mark at its end is missing")
    return size


def _death(number: int) -> ReaderError:
    """The reader ended by a signal (negative number) or with an exit code."""
    name = signal.Signals(-number).name if -number in signal.valid_signals() else str(number)
    if -number == signal.SIGXCPU:
        return ReaderError("pdf-timeout", "it took more processor time than a PDF of its size may")
    return ReaderError("pdf-damaged", f"its reader ended by {name}: a fault, or more memory than it may take")


class _Server:
    """The process that forks itself for every file."""

    def __init__(self) -> None:
        if importlib.util.find_spec("pypdfium2_raw") is None:
            raise UserError("reading PDF needs pypdfium2; install it with `pip install 'sagecraft[corpus]'`")
        # Its own session, so that it can be killed with the copy that is at work; no environment but what finds the library.
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _BOOT, json.dumps([entry for entry in sys.path if entry])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            bufsize=0,
            env={key: os.environ[key] for key in ("LD_LIBRARY_PATH", "SYSTEMROOT") if key in os.environ},
        )
        self.owner = os.getpid()

    def ask(self, job: dict[str, Any], deadline: float, output_bytes: int) -> tuple[int, int, bytes]:
        """Sends a job and waits for its answer.

        Raises:
            TimeoutError: no answer until `deadline`.
            EOFError: the server is gone.
        """
        assert self.process.stdin is not None
        data = json.dumps(job).encode()
        try:
            self.process.stdin.write(JOB.pack(len(data)) + data)
        except OSError as error:
            raise EOFError from error
        kind, number, length = FRAME.unpack(self._read(FRAME.size, deadline))
        if length > output_bytes:
            raise EOFError
        return kind, number, self._read(length, deadline)

    def _read(self, length: int, deadline: float) -> bytes:
        assert self.process.stdout is not None
        descriptor = self.process.stdout.fileno()
        parts: list[bytes] = []
        while length:
            ready, _, _ = select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                raise TimeoutError
            part = os.read(descriptor, min(length, 1 << 20))
            if not part:
                raise EOFError
            parts.append(part)
            length -= len(part)
        return b"".join(parts)

    @property
    def usable(self) -> bool:
        """False once it has ended, and in a fork of the process that started it, whose pipe it is not."""
        return self.owner == os.getpid() and self.process.poll() is None

    def end(self) -> None:
        """Kills the server and what it forked; a fork of its owner only lets go of it."""
        if self.owner == os.getpid():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        else:
            self.process.returncode = 0
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()


#: What the child runs: the search path of the parent first, since an isolated interpreter knows only its own.
_BOOT = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from sagecraft.corpus.readers.pdf_child import serve; serve()"
_LOCK = threading.Lock()
_SERVERS: list[_Server] = []


def _server() -> _Server:
    if _SERVERS and not _SERVERS[0].usable:
        _end_server()
    if not _SERVERS:
        _SERVERS.append(_Server())
    return _SERVERS[0]


@atexit.register
def _end_server() -> None:
    while _SERVERS:
        _SERVERS.pop().end()


def _ask(job: dict[str, Any], limits: Limits) -> tuple[int, int, bytes]:
    deadline = time.monotonic() + limits.wall_factor * job["cpu_seconds"]
    try:
        return _server().ask(job, deadline, limits.output_bytes)
    except TimeoutError as error:
        _end_server()
        raise ReaderError("pdf-timeout", f"no answer in {limits.wall_factor * job['cpu_seconds']:.0f} s") from error
    except EOFError as error:
        _end_server()
        raise ReaderError("pdf-damaged", "the reader ended without a word") from error
    except BaseException:
        # An interrupt may come in the middle of an answer: what is left of it must not be taken for the next one.
        _end_server()
        raise
