"""Starts a recipe in several processes of this machine, one a device, and speaks with one exit code for all of them.

torchrun starts them as well, with the same variables. What is different here: the exit code is that of the run (2 for the
user's input, 75 for a run that stopped with a checkpoint) where torchrun has 1 for everything; signals go to the processes,
which may take as long as a checkpoint takes; a fault is one line and not a report of the launcher.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from types import FrameType

from sagecraft.errors import MachineError, SagecraftError, StoppedError, UserError

#: Seconds that the others get to find their own end when one process has failed: each then sees the same fault, or that
#: a connection is gone. Who still waits after that waits for ever.
_GRACE_SECONDS = 10.0


def num_devices() -> int:
    """Accelerators of this machine; 1 if it has none, since its processor is shared by all processes."""
    import torch

    return max(1, torch.cuda.device_count())


def start(command: Sequence[str], num_processes: int) -> None:
    """Runs `num_processes` copies of a command to their end.

    Args:
        command: program and arguments, the same for all.
        num_processes: how many; each finds its number in RANK and LOCAL_RANK.

    Raises:
        SagecraftError: one failed; it has said why, and the error has its exit code and no text.
        MachineError: one was killed.
    """
    if num_processes < 1:
        raise UserError(f"--processes {num_processes}: at least 1")
    shared = {**os.environ, **_rendezvous(num_processes)}
    processes = [
        subprocess.Popen(list(command), env={**shared, "RANK": str(rank), "LOCAL_RANK": str(rank)})
        for rank in range(num_processes)
    ]
    try:
        with _passed_on(processes):
            codes = _wait(processes)
    finally:
        for process in processes:
            process.kill()
            process.wait()
    _judge(codes)


def _rendezvous(num_processes: int) -> Mapping[str, str]:
    """Where the processes meet, and threads for each that add up to the cores."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    threads = os.environ.get("OMP_NUM_THREADS", str(max(1, cores // num_processes)))
    size = str(num_processes)
    return {
        "WORLD_SIZE": size,
        "LOCAL_WORLD_SIZE": size,
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "OMP_NUM_THREADS": threads,
    }


@contextlib.contextmanager
def _passed_on(processes: Sequence[subprocess.Popen[bytes]]) -> Iterator[None]:
    """Passes signals on. Ctrl-C reaches the processes by itself; this one waits for what they do about it."""

    def pass_on(number: int, _: FrameType | None) -> None:
        for process in processes:
            if number != signal.SIGINT and process.poll() is None:
                process.send_signal(number)

    before = {n: signal.signal(n, pass_on) for n in (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _wait(processes: Sequence[subprocess.Popen[bytes]]) -> list[int | None]:
    """Exit codes; None for one that had to be given up because another failed."""
    failed_at: float | None = None
    while True:
        codes = [process.poll() for process in processes]
        if all(code is not None for code in codes):
            return codes
        if failed_at is None and any(codes):
            failed_at = time.monotonic()
        if failed_at is not None and time.monotonic() - failed_at > _GRACE_SECONDS:
            return codes
        time.sleep(0.05)


def _judge(codes: Sequence[int | None]) -> None:
    """Raises what the run came to, if it did not end well."""
    failed = {rank: code for rank, code in enumerate(codes) if code}
    if not failed:
        return
    said = [code for code in failed.values() if code > 0]
    if StoppedError.exit_code in said:
        raise _SaidError(StoppedError.exit_code)
    # Who was killed is the cause: the others fail because they have lost it.
    killed = [(rank, -code) for rank, code in failed.items() if code < 0]
    if killed:
        rank, number = killed[0]
        raise MachineError(
            f"process {rank} of {len(codes)} was killed by {signal.Signals(number).name}"
            f"{' (out of memory?)' if number == signal.SIGKILL else ''}; run the same command again to go on"
        )
    raise _SaidError(2 if 2 in said else said[0])


class _SaidError(SagecraftError):
    """A fault that a process has already told the user of."""

    def __init__(self, exit_code: int) -> None:
        super().__init__("")
        self.exit_code = exit_code
