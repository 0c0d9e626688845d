"""Further processes of an evaluation on one machine: each has the model for itself, and runs whole batches.

What a batch gives does not depend on who runs it: batches follow from the questions alone (`batches.py`), and records from their content
(`store.py`). With cards, each process has one. Without, the processor's threads are divided: little is won but that no process
waits for all threads at each product, where the system has other work. A product's last digits depend on its number of threads, so two
processes of one thread agree with one of two to about 1e-5 in float32, and with one of one thread in every byte.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from sagecraft.errors import MachineError, SagecraftError, StoppedError, UserError, from_system_error

if TYPE_CHECKING:
    from sagecraft.evaluation.config import EvaluateConfig
    from sagecraft.evaluation.score import Request

_FAULTS = {fault.exit_code: fault for fault in (MachineError, UserError, StoppedError)}


class Post(BaseModel):
    """What a process is told first.

    Attributes:
        config: of the evaluation.
        inputs: of the evaluation.
        store: folder of the store.
        number: of the process; 0 is the evaluation itself.
        threads: that it computes with.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    config: dict[str, Any]
    inputs: dict[str, Path]
    store: Path
    number: int
    threads: int


class Batch(BaseModel):
    """What it is told then, line by line.

    Attributes:
        mode: that asks.
        shared: as `LocalEngine.score` has it.
        bodies: of the requests.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    mode: str
    shared: int
    bodies: list[dict[str, Any]]


def device_of(number: int, num_processes: int) -> str | None:
    """The card of a process; None where there is none.

    Raises:
        UserError: there are cards, but fewer than processes.
    """
    import torch

    num_cards = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if num_cards == 0:
        return None
    if num_processes > num_cards:
        raise UserError(f"processes: {num_processes} need a card each, and this machine has {num_cards}; ask for fewer")
    return f"cuda:{number}"


class Helpers:
    """The further processes. They start when there is work for them, and end with `close`."""

    def __init__(self, config: EvaluateConfig, inputs: Mapping[str, Path], store: Path) -> None:
        """Prepares; nothing starts yet.

        Args:
            config: of the evaluation; `processes` counts the evaluation itself.
            inputs: of the evaluation.
            store: folder of the store that all write to.
        """
        self._config, self._inputs, self._store = config, inputs, store
        self._processes: list[subprocess.Popen[bytes]] = []

    def share(
        self,
        mode: str,
        shared: int,
        batches: Sequence[Sequence[Request]],
        here: Callable[[int], object],
        done: Callable[[int], object],
    ) -> None:
        """Runs batches, each in whichever process is free; all are in the store afterwards.

        Args:
            mode: that asks.
            shared: tokens that all requests begin with.
            batches: what is to be run.
            here: runs the batch of this number in this process.
            done: is told of each that has ended, by any process, in the order in which they end.

        Raises:
            SagecraftError: of any process; the others end their batch first.
        """
        numbers = iter(range(len(batches)))
        lock, told = threading.Lock(), threading.Lock()
        faults: list[BaseException] = []

        def work(run: Callable[[int], object]) -> None:
            while not faults:
                with lock:
                    number = next(numbers, None)
                if number is None:
                    return
                try:
                    run(number)
                except BaseException as fault:
                    faults.append(fault)
                    return
                with told:
                    done(number)

        with _threads_divided(self._config.processes):  # however few batches are left of a run that was killed
            wanted = min(self._config.processes, len(batches)) - 1
            self._start(wanted)
            away = [
                threading.Thread(target=work, args=(partial(self._away, process, mode, shared, batches),), daemon=True)
                for process in self._processes[:wanted]
            ]
            for thread in away:
                thread.start()
            work(here)
            for thread in away:
                thread.join()
        if faults:
            raise faults[0]

    def _away(
        self,
        process: subprocess.Popen[bytes],
        mode: str,
        shared: int,
        batches: Sequence[Sequence[Request]],
        number: int,
    ) -> None:
        _send(process, Batch(mode=mode, shared=shared, bodies=[request.body for request in batches[number]]))

    def _start(self, count: int) -> None:
        for number in range(len(self._processes) + 1, count + 1):
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "sagecraft.evaluation.processes"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                start_new_session=True,  # Ctrl-C is the evaluation's to deal with
            )
            self._processes.append(process)
            post = Post(
                config=self._config.model_dump(mode="json") | {"processes": self._config.processes},
                inputs={name: path.absolute() for name, path in self._inputs.items()},
                store=self._store.absolute(),
                number=number,
                threads=_threads(self._config.processes),
            )
            _tell(process, post)

    def close(self) -> None:
        """Ends them: at once, since what they have not written down is measured again."""
        for process in self._processes:
            process.kill()
        for process in self._processes:
            with contextlib.suppress(OSError):
                process.communicate()
        self._processes = []


@contextlib.contextmanager
def open_helpers(config: EvaluateConfig, inputs: Mapping[str, Path], store: Path) -> Iterator[Helpers | None]:
    """Helpers for a local model that is to have several processes; else None."""
    if config.endpoint is not None or config.processes == 1:
        yield None
        return
    helpers = Helpers(config, inputs, store)
    try:
        yield helpers
    finally:
        helpers.close()


def _tell(process: subprocess.Popen[bytes], what: BaseModel) -> None:
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError):  # what is read from it says why it ended
        process.stdin.write(json.dumps(what.model_dump(mode="json")).encode() + b"\n")  # ASCII: holds any text
        process.stdin.flush()


def _send(process: subprocess.Popen[bytes], batch: Batch) -> None:
    """Has a process run a batch, and waits for it."""
    assert process.stdout is not None
    _tell(process, batch)
    line = process.stdout.readline()
    if not line:
        raise MachineError(
            f"a process of the evaluation died (exit code {process.wait()}); finished batches are kept: run the same command "
            "again, with fewer --processes if memory was short"
        )
    news = json.loads(line)
    if "error" in news:
        raise _FAULTS.get(news["exit_code"], MachineError)(news["error"])


def _threads(num_processes: int) -> int:
    import torch

    return max(1, torch.get_num_threads() // num_processes)


@contextlib.contextmanager
def _threads_divided(num_processes: int) -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(_threads(num_processes))
    try:
        yield
    finally:
        torch.set_num_threads(before)


def serve(lines: IO[str], tell: Callable[[dict[str, Any]], object]) -> None:
    """The process itself: a post, then batches, until there are no more.

    Args:
        lines: what it is told.
        tell: is told of each batch that is in the store.
    """
    first = lines.readline()
    if not first:
        return
    import torch

    from sagecraft.evaluation.batches import measure_batch
    from sagecraft.evaluation.config import EvaluateConfig
    from sagecraft.evaluation.score import Request
    from sagecraft.evaluation.store import Store
    from sagecraft.evaluation.subject import open_subject

    post = Post.model_validate_json(first)
    torch.set_num_threads(post.threads)
    with ExitStack() as opened:
        config = EvaluateConfig.model_validate(post.config)
        subject = opened.enter_context(open_subject(config, post.inputs, post.number))
        kept = opened.enter_context(closing(Store(post.store, subject.identity)))
        for line in lines:
            batch = Batch.model_validate_json(line)
            measure = subject.modes[batch.mode].measure
            assert measure is not None, "only local models are asked in batches"
            measure_batch(subject.engine, measure, [Request("", body) for body in batch.bodies], batch.shared, kept)
            tell({"done": True})


def main() -> None:
    """Reads from standard input, tells on standard output."""

    def tell(news: dict[str, Any]) -> None:
        with contextlib.suppress(OSError):  # nobody reads it any more
            os.write(1, (json.dumps(news) + "\n").encode())

    try:
        serve(sys.stdin, tell)
    except SagecraftError as fault:
        tell({"error": str(fault), "exit_code": fault.exit_code})
    except (OSError, MemoryError, RuntimeError) as fault:
        known = from_system_error(fault)
        if known is None:
            raise
        tell({"error": str(known), "exit_code": known.exit_code})


if __name__ == "__main__":
    main()
