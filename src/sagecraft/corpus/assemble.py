"""Assembling a corpus from the parts that workers left: shares, duplicates, final shards, and the audit.

Two passes over the parts in the order of the sources, by one process: the first decides what repeats what, the second
writes. What is held is a shard and some 230 bytes a document.
"""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterator
from pathlib import Path

from sagecraft.artifact import read_jsonl
from sagecraft.corpus.audit import Audit
from sagecraft.corpus.dedup import Check, dropped
from sagecraft.corpus.dedup_report import DuplicateAudit, audit_of
from sagecraft.corpus.documents import Document, Dropped, Shards, read_documents, read_dropped
from sagecraft.corpus.duplicates import decide
from sagecraft.corpus.facts import Facts, facts_of
from sagecraft.corpus.measure import MeasureWriter
from sagecraft.corpus.share import take_share
from sagecraft.corpus.stored import StoredDocuments
from sagecraft.corpus.tasks import FACTS, PartWriter, Plan, PlannedSource, marks_of, part_folder
from sagecraft.errors import UserError

_CUT = "cut"


def assemble(
    folder: Path, plan: Plan, out: Path, shard_documents: int, measures: MeasureWriter | None = None
) -> tuple[Audit, DuplicateAudit]:
    """Writes the documents and the drops of all parts.

    Args:
        folder: of the plan, with all its parts.
        plan: the plan.
        out: folder of the artifact.
        shard_documents: documents in a file.
        measures: writes the measures of every document that is kept.

    Returns:
        What was kept and dropped, and what was found of duplicates.

    Raises:
        UserError: a source without one document that can be used.
    """
    sources = [(planned, _folders(folder, plan, number)) for number, planned in enumerate(plan.sources)]
    corpus = StoredDocuments([part for _, parts in sources for part in parts])
    check = Check(plan.dedup, corpus)
    marks = itertools.chain.from_iterable(marks_of(part) for _, parts in sources for part in parts)
    decisions = decide(itertools.chain(marks, [check.marks]), plan.dedup, folder, check.texts)
    audit = Audit(check.result(decisions))
    decisions = decisions.of_first(len(corpus))
    names = corpus.ids(decisions.named())
    shards = Shards(out, shard_documents)
    positions = itertools.count()
    for planned, parts in sources:
        _check_source(folder, planned, parts)
        # As they come: what is dropped has its text with it, and may be most of a source.
        for row in _drops(folder, planned):
            shards.drop(row)
            audit.drop(row)
        for part in parts:
            for document, facts in _documents(part):
                duplicate = decisions.get(next(positions))
                if duplicate is None:
                    shards.keep(document)
                    audit.keep(document, facts, planned.source.label)
                    if measures is not None:
                        measures.add(document, facts, planned.source.label)
                else:
                    row = dropped(document, duplicate, names)
                    shards.drop(row)
                    audit.drop(row)
    shards.flush(always=True)
    return audit, audit_of(decisions, corpus, [planned.source.written for planned in plan.sources])


def _folders(folder: Path, plan: Plan, number: int) -> list[Path]:
    """Folders with the documents of a source: its parts, or one that holds the share that is taken of them."""
    planned = plan.sources[number]
    parts = [part_folder(folder, task) for task in planned.tasks]
    if planned.share == (0.0, 1.0):
        return parts
    total = sum(facts.num_chars for part in parts for facts in _facts(part))
    documents = itertools.chain.from_iterable(read_documents(part) for part in parts)
    cut = folder / _CUT / f"{number:05d}"
    shutil.rmtree(cut, ignore_errors=True)  # of a run that was killed in the middle of it
    cut.mkdir(parents=True)
    writer = PartWriter(cut, plan.dedup, number)
    for document in take_share(documents, total, planned.share):
        writer.keep(document, facts_of(document))
    writer.finish()
    return [cut]


def _facts(part: Path) -> Iterator[Facts]:
    return (Facts.model_validate(row) for row in read_jsonl(part / FACTS))


def _documents(part: Path) -> Iterator[tuple[Document, Facts]]:
    return zip(read_documents(part), _facts(part), strict=True)


def _drops(folder: Path, planned: PlannedSource) -> Iterator[Dropped]:
    """What listing, reading and filtering dropped of a source."""
    yield from planned.dropped
    for number in planned.tasks:
        yield from read_dropped(part_folder(folder, number))


def _check_source(folder: Path, planned: PlannedSource, parts: list[Path]) -> None:
    if any(True for part in parts for _ in _facts(part)):
        return
    first = itertools.islice(_drops(folder, planned), 3)
    examples = [f"{row.id}: {row.reason}" + (f" ({row.detail})" if row.detail else "") for row in first]
    seen = f"; dropped were {'; '.join(examples)}" if examples else ""
    raise UserError(f"{planned.source.written}: empty corpus: it holds no document that can be used{seen}"[:500])
