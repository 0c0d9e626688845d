"""Work units: documents in, parts of finished questions out, in as many processes as there are.

A unit is a fixed number of documents in the order of the input, so what it holds does not depend on who makes it. Its part
is written beside and renamed: a part that is there is whole, and a killed run makes only those that are missing.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from sagecraft import artifact, console
from sagecraft.errors import MachineError, SagecraftError, UserError, from_os_error

if TYPE_CHECKING:
    from sagecraft.corpus.documents import Document
    from sagecraft.corpus.overlap import Leaks
    from sagecraft.synthesis.synth import SynthConfig

#: Documents of a unit, and characters of which it takes no further one: fifty books would not fit.
UNIT_DOCUMENTS = 64
UNIT_CHARS = 8_000_000
#: Units that wait for a process, for each that is worked on: a process finds work at once, and few documents are held.
_WAITING = 2


def units_of(documents: Iterable[Document], counts: dict[str, int]) -> Iterator[list[Document]]:
    """Documents in units, without those withheld.

    Args:
        documents: in the order of the input.
        counts: takes the number of documents, and of those that a benchmark is made of and nothing may be taught from.
    """
    unit: list[Document] = []
    num_chars = 0
    counts |= {"num_documents": 0, "num_withheld_skipped": 0}
    for document in documents:
        if document.withheld:
            counts["num_withheld_skipped"] += 1
            continue
        counts["num_documents"] += 1
        if unit and (len(unit) == UNIT_DOCUMENTS or num_chars + len(document.text) > UNIT_CHARS):
            yield unit
            unit, num_chars = [], 0
        unit.append(document)
        num_chars += len(document.text)
    if unit:
        yield unit


def make_parts(
    config: SynthConfig, documents: Path, benchmarks: Sequence[Path], folder: Path
) -> tuple[list[Path], dict[str, int]]:
    """The parts of all units, those that a killed run left among them, and counts.

    Args:
        config: of the stage.
        documents: the artifact.
        benchmarks: files of questions that must not be taught.
        folder: where the parts stand.

    Raises:
        MachineError: a process died.
    """
    from sagecraft.corpus.documents import read_documents

    counts: dict[str, int] = {}
    parts: list[Path] = []
    missing = _missing(units_of(read_documents(documents), counts), folder, parts)
    first = list(itertools.islice(missing, 2))
    workers = config.workers or len(os.sched_getaffinity(0))
    work = itertools.chain(first, missing)
    if workers == 1 or len(first) < 2:
        leaks = _leaks(benchmarks)
        for path, unit in work:
            write_part(config, leaks, path, unit)
    else:
        _side_by_side(config, benchmarks, work, workers)
    for part in parts:
        for name, count in next(artifact.read_jsonl(part)).items():
            counts[name] = counts.get(name, 0) + count
    if failed := counts.get("num_rules_failed"):
        console.say(f"  {failed:,} times a rule broke on a document: see `rule-failed` in dropped.jsonl, and report it")
    return parts, counts


def _missing(units: Iterator[list[Document]], folder: Path, parts: list[Path]) -> Iterator[tuple[Path, list[Document]]]:
    for number, unit in enumerate(units):
        parts.append(folder / f"part-{number:06d}.jsonl")
        if not parts[-1].exists():
            yield parts[-1], unit


def _side_by_side(
    config: SynthConfig, benchmarks: Sequence[Path], work: Iterable[tuple[Path, list[Document]]], workers: int
) -> None:
    started = [_Worker(config, benchmarks) for _ in range(workers)]
    idle: SimpleQueue[_Worker] = SimpleQueue()
    for worker in started:
        idle.put(worker)
    pool = ThreadPoolExecutor(workers)  # each thread waits for one process
    waiting: deque[Future[None]] = deque()
    try:
        for path, unit in work:
            waiting.append(pool.submit(_give, idle, path, unit))
            while len(waiting) > workers * _WAITING:
                waiting.popleft().result()
        for future in waiting:
            future.result()
    finally:
        for worker in started:
            worker.end()
        pool.shutdown(cancel_futures=True)


def _give(idle: SimpleQueue[_Worker], path: Path, unit: list[Document]) -> None:
    worker = idle.get()
    try:
        worker.do(path, unit)
    finally:
        idle.put(worker)


class _Worker:
    """A process that makes parts. It ends with its input, in the middle of a part, so it outlives no caller, however that dies."""

    def __init__(self, config: SynthConfig, benchmarks: Sequence[Path]) -> None:
        command = [sys.executable, "-m", "sagecraft.synthesis.shards"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8")
        self._say({"config": config.model_dump(mode="json"), "benchmarks": [str(path) for path in benchmarks]})

    def _say(self, value: Mapping[str, Any]) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it died: no answer will come, which is what is looked at
            self._process.stdin.write(json.dumps(value) + "\n")
            self._process.stdin.flush()

    def do(self, path: Path, unit: list[Document]) -> None:
        """Has a part made.

        Raises:
            MachineError: the process died, or could not write.
            UserError: a file of questions cannot be read.
        """
        assert self._process.stdout is not None
        self._say({"path": str(path), "documents": [asdict(document) for document in unit]})
        answer = self._process.stdout.readline()
        if not answer:
            raise MachineError(
                f"synth: a worker process died (exit code {self._process.wait()}; killed, or out of memory?); run the same command "
                "again, which goes on from there, with fewer `workers` if it was memory"
            )
        told = json.loads(answer)
        if fault := told.get("fault"):
            raise (UserError if told["code"] == UserError.exit_code else MachineError)(fault)

    def end(self) -> None:
        """Ends the process, whatever it does."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            with contextlib.suppress(BrokenPipeError):
                stream.close()


def _serve() -> None:
    """A worker process: a line of what it works with, then a line a unit; an answer to each unit."""
    from sagecraft.corpus.documents import Document
    from sagecraft.synthesis.synth import SynthConfig

    answers, sys.stdout = sys.stdout, sys.stderr  # what a library prints is no answer
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes and is meant for the run
    told = json.loads(sys.stdin.readline())
    config = SynthConfig.model_validate(told["config"])
    units: SimpleQueue[str] = SimpleQueue()
    threading.Thread(target=_listen, args=(units,), daemon=True).start()
    leaks: Leaks | None = None
    is_ready = False
    while True:
        unit = json.loads(units.get())
        answer: dict[str, Any] = {}
        try:
            leaks, is_ready = leaks if is_ready else _leaks([Path(name) for name in told["benchmarks"]]), True
            write_part(config, leaks, Path(unit["path"]), (Document(**row) for row in unit["documents"]))
        except SagecraftError as error:
            answer = {"fault": str(error), "code": error.exit_code}
        except OSError as error:
            fault = from_os_error(error)
            answer = {"fault": str(fault), "code": fault.exit_code}
        with contextlib.suppress(BrokenPipeError):  # the run was killed, and this process will be told
            print(json.dumps(answer), file=answers, flush=True)


def _listen(units: SimpleQueue[str]) -> None:
    """Takes units, and ends the process at once where the run has died: it may stand up again, and make the same part."""
    for line in sys.stdin:
        units.put(line)
    os._exit(0)


def _leaks(benchmarks: Sequence[Path]) -> Leaks | None:
    from sagecraft.evaluation.leaks import read_leaks

    return read_leaks(benchmarks) if benchmarks else None


def write_part(config: SynthConfig, leaks: Leaks | None, path: Path, unit: Iterable[Document]) -> None:
    """Everything that is decided within a document: its questions, their grades, leaks and limits.

    The file holds a line of counts and then one a question: `{"pair": …}` of those that passed, `{"drop": …}` of others.
    """
    from sagecraft.synthesis.pairs import pairs_of

    counts: Counter[str] = Counter()
    put_part(path, (row for document in unit for row in pairs_of(config, document, leaks, counts)), counts)


def put_part(path: Path, rows: Iterable[Mapping[str, Any]], counts: Mapping[str, int]) -> None:
    """Writes a part: rows of `pairs.judged`, and the counts, which are whole once the rows are."""
    lines = [artifact.canonical_json(row) for row in rows]
    artifact.write_text(path, "\n".join([artifact.canonical_json(counts), *lines]) + "\n")


def read_parts(parts: Sequence[Path]) -> Iterator[dict[str, Any]]:
    """The questions of all parts, in order, as `write_part` left them."""
    for part in parts:
        yield from itertools.islice(artifact.read_jsonl(part), 1, None)


if __name__ == "__main__":
    _serve()
