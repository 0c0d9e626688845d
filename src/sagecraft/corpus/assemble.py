"""Assembling a corpus from the parts that workers left: shares, duplicates, final shards, and the audit.

One pass over the parts in the order of the sources, by one process; what it holds is a shard and a few bytes a document.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from sagecraft.artifact import read_jsonl
from sagecraft.corpus.documents import Document, Dropped, Shards, read_documents, read_dropped
from sagecraft.corpus.facts import Facts, facts_of
from sagecraft.corpus.ingest_report import Audit
from sagecraft.corpus.share import take_share
from sagecraft.corpus.tasks import FACTS, Plan, PlannedSource, part_folder
from sagecraft.errors import UserError


def assemble(folder: Path, plan: Plan, out: Path, shard_documents: int) -> Audit:
    """Writes the documents and the drops of all parts.

    Args:
        folder: of the plan, with all its parts.
        plan: the plan.
        out: folder of the artifact.
        shard_documents: documents in a file.

    Raises:
        UserError: a source without one document that can be used.
    """
    audit = Audit()
    shards = Shards(out, shard_documents)
    for source in plan.sources:
        num_kept = 0
        examples: list[str] = []
        for row, facts in _rows(folder, source):
            if isinstance(row, Document):
                num_kept += 1
                shards.keep(row)
                audit.keep(row, facts or facts_of(row))
                continue
            if len(examples) < 3:
                examples.append(f"{row.id}: {row.reason}" + (f" ({row.detail})" if row.detail else ""))
            shards.drop(row)
            audit.drop(row)
        if not num_kept:
            seen = f"; dropped were {'; '.join(examples)}" if examples else ""
            raise UserError(f"{source.source.written}: empty corpus: it holds no document that can be used{seen}"[:500])
    shards.flush()
    return audit


def _rows(folder: Path, planned: PlannedSource) -> Iterator[tuple[Document | Dropped, Facts | None]]:
    """Documents with their facts (None where a share has cut the document), and drops."""
    for dropped in planned.dropped:
        yield dropped, None
    if planned.share == (0.0, 1.0):
        yield from _documents(folder, planned)
        for dropped in _drops(folder, planned):
            yield dropped, None
        return
    total = sum(facts.num_chars for _, facts in _documents(folder, planned))
    for document in take_share((document for document, _ in _documents(folder, planned)), total, planned.share):
        yield document, None
    for dropped in _drops(folder, planned):
        yield dropped, None


def _documents(folder: Path, planned: PlannedSource) -> Iterator[tuple[Document, Facts]]:
    for number in planned.tasks:
        part = part_folder(folder, number)
        facts = (Facts.model_validate(row) for row in read_jsonl(part / FACTS))
        yield from zip(read_documents(part), facts, strict=True)


def _drops(folder: Path, planned: PlannedSource) -> Iterator[Dropped]:
    for number in planned.tasks:
        yield from read_dropped(part_folder(folder, number))
