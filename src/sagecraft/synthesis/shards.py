"""Work units: documents in, parts of finished questions out, in as many processes as there are.

A unit is a fixed number of documents in the order of the input, so what it holds does not depend on who makes it. Its part
is written beside and renamed: a part that is there is whole, and a killed run makes only those that are missing.
"""

from __future__ import annotations

import itertools
import multiprocessing
import multiprocessing.connection
import os
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sagecraft import artifact
from sagecraft.errors import MachineError

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
    return parts, counts


def _missing(units: Iterator[list[Document]], folder: Path, parts: list[Path]) -> Iterator[tuple[Path, list[Document]]]:
    for number, unit in enumerate(units):
        parts.append(folder / f"part-{number:06d}.jsonl")
        if not parts[-1].exists():
            yield parts[-1], unit


def _side_by_side(
    config: SynthConfig, benchmarks: Sequence[Path], work: Iterable[tuple[Path, list[Document]]], workers: int
) -> None:
    # "spawn": a fork would copy the locks of whatever threads the caller has.
    context = multiprocessing.get_context("spawn")
    waiting: deque[Future[None]] = deque()
    pool = ProcessPoolExecutor(workers, context, _start, (config, tuple(benchmarks)))
    try:
        for path, unit in work:
            waiting.append(pool.submit(_do, path, unit))
            while len(waiting) > workers * _WAITING:
                waiting.popleft().result()
        for future in waiting:
            future.result()
    except BrokenProcessPool as error:
        raise MachineError(
            "synth: a worker process died (killed, or out of memory); run the same command again, which goes on from "
            "there, with fewer `workers` if it was memory"
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


#: What a worker process was started with.
_STARTED: list[tuple[SynthConfig, Leaks | None]] = []


def _start(config: SynthConfig, benchmarks: tuple[Path, ...]) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _STARTED.append((config, _leaks(benchmarks)))


def _end_with_parent() -> None:
    """A process of a pool whose parent was killed would wait for work for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    multiprocessing.connection.wait([parent.sentinel])
    os._exit(1)


def _do(path: Path, unit: list[Document]) -> None:
    config, leaks = _STARTED[0]
    write_part(config, leaks, path, unit)


def _leaks(benchmarks: Sequence[Path]) -> Leaks | None:
    from sagecraft.evaluation.leaks import read_leaks

    return read_leaks(benchmarks) if benchmarks else None


def write_part(config: SynthConfig, leaks: Leaks | None, path: Path, unit: Iterable[Document]) -> None:
    """Everything that is decided within a document: its questions, their grades, leaks and limits.

    The file holds a line of counts and then one a question: `{"pair": …}` of those that passed, `{"drop": …}` of others.
    """
    from sagecraft.synthesis.pairs import pairs_of

    counts: dict[str, int] = {}
    lines = [artifact.canonical_json(row) for document in unit for row in pairs_of(config, document, leaks, counts)]
    artifact.write_text(path, "\n".join([artifact.canonical_json(counts), *lines]) + "\n")


def read_parts(parts: Sequence[Path]) -> Iterator[dict[str, Any]]:
    """The questions of all parts, in order, as `write_part` left them."""
    for part in parts:
        yield from itertools.islice(artifact.read_jsonl(part), 1, None)
