"""Dedup: drops documents that repeat another one, within and across sources.

`marks` says what of a document is compared, `duplicates` how it is decided, this is the command around them. Ingest
uses the same parts.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from sagecraft import artifact, console
from sagecraft.artifact import Manifest
from sagecraft.corpus.documents import Document, Dropped, Shards, read_documents
from sagecraft.errors import UserError

if TYPE_CHECKING:
    from sagecraft.corpus.duplicates import Decisions, Duplicate
    from sagecraft.corpus.marks import Marks
    from sagecraft.corpus.stored import StoredDocuments

VERSION = 2
#: Documents marked together; between 64 and 1,024 the speed is the same within a fifth.
_MARK_DOCUMENTS = 256
_SHARD_DOCUMENTS = 2000
#: Chance with which a pair of exactly the threshold's similarity is compared at all.
_RECALL_AT_THRESHOLD = 0.99
#: What a check plants: copies that are to be found, and texts that are to be kept apart.
_COPIES, _APART = (0.85, 1.0), (0.3, 0.6)


class DedupConfig(BaseModel):
    """What counts as a duplicate. Documents of the same text, apart from case and spaces, always do."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    near: float | None = Field(
        default=0.7,
        gt=0.0,
        le=1.0,
        description="Jaccard similarity of the shingles of two texts (shared over all, 0 to 1) from which one is dropped. "
        "Of 14,238 abstracts of different papers two pairs are above 0.4 and none above 0.6; null switches the rule off",
    )
    shingle_words: int = Field(
        default=5, ge=1, le=50, description="words in a row that are compared as one; shorter ones meet by chance"
    )
    num_hashes: int = Field(
        default=96,
        ge=8,
        le=1024,
        description="MinHash functions at most, two bytes a document each. More estimate similarity better; pairs near the "
        "threshold are compared exactly anyway",
    )
    rows: int | None = Field(
        default=None,
        ge=1,
        description="hashes that must agree for two texts to be compared. By default the most with which a pair at the "
        "threshold is compared with a chance of 99 %: 4 for the defaults above",
    )
    versions: bool = Field(
        default=True,
        description="of documents of one arXiv identifier or DOI keep the newest version; without it only equal `id`s are "
        "duplicates",
    )
    formats: bool = Field(
        default=True,
        description="of documents of one title that were read from different formats, such as the PDF and the LaTeX of a "
        "paper, keep one; they must agree in 0.3 of their shingles (without `near` nothing is compared)",
    )
    seed: int = Field(default=0, description="of the hash functions and of the planted copies")
    check: int = Field(
        default=0,
        ge=0,
        le=10_000,
        description="plant so many edited copies of documents, and as many texts that are to be kept apart, and report how "
        "many are found; they are not written",
    )

    @model_validator(mode="after")
    def _check_rows(self) -> Self:
        if self.rows is not None and self.rows > self.num_hashes:
            raise ValueError(f"rows is {self.rows}, more than num_hashes ({self.num_hashes}); lower it")
        if self.check and self.near is None:
            raise ValueError("check measures the search for near-duplicates, which `near: null` switches off")
        return self

    @property
    def bands(self) -> tuple[int, int]:
        """Number of bands, and hashes in each."""
        from sagecraft.corpus.minhash import bands_for

        assert self.near is not None, "nothing is compared"
        if self.rows is not None:
            return self.num_hashes // self.rows, self.rows
        return bands_for(self.near, self.num_hashes, _RECALL_AT_THRESHOLD)


def run(config: DedupConfig, inputs: Mapping[str, Path], out: Path) -> Manifest:
    """Drops the duplicates of one or several artifacts of documents.

    Args:
        config: what counts as one.
        inputs: artifacts of documents, those that are preferred first.
        out: the artifact: `documents/*.parquet`, `dropped/*.parquet`, `report.html`.

    Raises:
        UserError: an input holds no documents, or no document is long enough to plant a copy of.
    """
    from sagecraft.corpus.dedup_report import audit_of, write_report
    from sagecraft.corpus.duplicates import decide
    from sagecraft.corpus.stored import StoredDocuments

    folders = list(inputs.values())
    with artifact.build(out, kind="documents", stage="dedup", version=VERSION, config=config, inputs=inputs) as build:
        scratch = build.scratch("marks")
        corpus = StoredDocuments(folders)
        check = Check(config, corpus)
        parts = _write_marks(config, folders, scratch, len(corpus))
        decisions = decide(_read_marks(parts, check), config, scratch, check.texts)
        build.stats.update(check.result(decisions))
        decisions = decisions.of_first(len(corpus))
        _write(build.path, folders, decisions, corpus)
        audit = audit_of(decisions, corpus, [path.name for path in folders])
        build.stats.update(audit.stats())
        write_report(build.path / "report.html", audit, build.stats)
    return build.manifest


def _write_marks(config: DedupConfig, folders: Sequence[Path], scratch: Path, total: int) -> list[Path]:
    """Marks all documents, a file for so many."""
    from sagecraft.corpus.marks import mark

    paths: list[Path] = []
    with console.progress("marking", total) as tick:
        for source, folder in enumerate(folders):
            documents = read_documents(folder)
            while batch := list(itertools.islice(documents, _MARK_DOCUMENTS)):
                paths.append(scratch / f"{len(paths):06d}.npz")
                mark(batch, config, source).write(paths[-1])
                tick.advance(len(batch))
    return paths


def _read_marks(paths: Sequence[Path], check: Check) -> Iterator[Marks]:
    from sagecraft.corpus.marks import Marks

    for path in paths:
        yield Marks.read(path)
        path.unlink()
    yield check.marks


def _write(out: Path, folders: Sequence[Path], decisions: Decisions, corpus: StoredDocuments) -> None:
    shards = Shards(out, _SHARD_DOCUMENTS)
    names = corpus.ids(decisions.named())
    documents = itertools.chain.from_iterable(read_documents(folder) for folder in folders)
    for position, document in enumerate(documents):
        duplicate = decisions.get(position)
        if duplicate is None:
            shards.keep(document)
        else:
            shards.drop(dropped(document, duplicate, names))
    shards.flush(always=True)


def dropped(document: Document, duplicate: Duplicate, names: Mapping[int, str]) -> Dropped:
    """The row that is kept aside.

    Args:
        document: the duplicate.
        duplicate: why it is one.
        names: position → identifier, of the documents that `duplicate` names.
    """
    parts = [f"repeats {names[duplicate.twin]}", duplicate.detail]
    if duplicate.kept != duplicate.twin:
        parts.append(f"kept is {names[duplicate.kept]}")
    return Dropped(document.id, document.source, duplicate.reason, "; ".join(filter(None, parts)), document.text)


class Check:
    """Plants edited copies of documents behind the corpus and sees which of them the search finds.

    They rank behind everything else, so none is kept in the place of a document and nothing else changes.
    """

    def __init__(self, config: DedupConfig, corpus: StoredDocuments) -> None:
        from sagecraft.corpus.marks import as_guests, mark
        from sagecraft.corpus.planted import Planted, plant_all

        self._corpus = corpus
        self._planted: list[Planted] = []
        self._wanted = config.check
        if config.check:
            positions = _draw(len(corpus), 2 * config.check, config.seed)
            texts = list(corpus.texts(positions))
            for part, wanted in ((0, _COPIES), (1, _APART)):
                found = plant_all(texts[part::2], wanted, config.shingle_words, (config.seed, "check", part))
                self._planted += [dataclasses.replace(each, base=positions[part::2][each.base]) for each in found]
            if not self._planted:
                raise UserError("check: no document is long enough to plant a copy of it; leave --check out")
        documents = [Document(id=f"planted/{n}", text=planted.text) for n, planted in enumerate(self._planted)]
        self.marks = as_guests(mark(documents, config))

    def texts(self, positions: Sequence[int]) -> Iterator[str]:
        """Texts of documents and of planted copies, whose positions follow."""
        yield from self._corpus.texts([position for position in positions if position < len(self._corpus)])
        for position in positions:
            if position >= len(self._corpus):
                yield self._planted[position - len(self._corpus)].text

    def result(self, decisions: Decisions) -> dict[str, Any]:
        """How many of the copies were found and of the others kept apart, of those whose original is kept."""
        if not self._planted:
            return {}
        tallies = {name: [0, 0] for name in ("copies", "apart")}
        for number, planted in enumerate(self._planted):
            if planted.base in decisions:
                continue
            duplicate = decisions.get(len(self._corpus) + number)
            is_copy = planted.jaccard >= _COPIES[0]
            right = duplicate is not None if is_copy else duplicate is None or duplicate.twin != planted.base
            tally = tallies["copies" if is_copy else "apart"]
            tally[0] += right
            tally[1] += 1
        (found, copies), (kept, apart) = tallies["copies"], tallies["apart"]
        return {
            "planted_copies": copies,
            "planted_copies_found": found,
            "recall": round(found / copies, 4) if copies else None,
            "planted_apart": apart,
            "planted_kept_apart": kept,
            "kept_apart": round(kept / apart, 4) if apart else None,
        }


def _draw(size: int, count: int, seed: int) -> list[int]:
    """So many positions below `size`, or all of them if there are no more; ascending."""
    if count >= size:
        return list(range(size))
    drawn: set[int] = set()
    for number in itertools.count():
        drawn.add(artifact.keyed_hash(seed, "check", number) % size)
        if len(drawn) == count:
            return sorted(drawn)
    raise AssertionError("counting has no end")
