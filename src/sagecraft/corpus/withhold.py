"""Withhold: sets documents aside from training, so that questions can be asked about literature the model never saw.

A document is withheld because it is named, because it says so itself, because the keyed draw fell on it, or because it
nearly repeats one that is withheld.
"""

from __future__ import annotations

import dataclasses
import difflib
import fnmatch
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from sagecraft import artifact, console
from sagecraft.artifact import Manifest, keyed_hash
from sagecraft.corpus.documents import Document, read_documents, write_documents
from sagecraft.errors import UserError

VERSION = 1
TRAINING = "training"
WITHHELD = "withheld"
#: Documents in a Parquet file, as ingest writes them.
_SHARD_DOCUMENTS = 2000


class WithholdConfig(BaseModel):
    """Which documents are kept from training."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    ids: list[str] = Field(
        default=[], description="identifiers or patterns (`reviews/*`) of documents to withhold; none by default"
    )
    flagged: bool = Field(
        default=True,
        description="respect the documents' own `withheld` flags, which are there because somebody decided",
    )
    fraction: float = Field(
        default=0.0,
        ge=0.0,
        lt=1.0,
        description="fraction (0 to 1) of the documents about which nothing is decided (all, with `flagged: false`), "
        "drawn by a keyed hash of their identifiers, at least one; none by default",
    )
    near_duplicates: float | None = Field(
        default=0.3,
        gt=0.0,
        le=1.0,
        description="share of 13-word shingles from which a document goes with a withheld one. Different articles "
        "share under 0.01, editions and preprints of one article over 0.5; null switches the rule off",
    )
    seed: int = Field(default=0, description="of the keyed draw")
    min_withheld: int = Field(
        default=1, ge=0, description="fewest withheld documents; without any, nothing can be measured. 0 allows none"
    )


@dataclasses.dataclass(frozen=True)
class _Decision:
    """Why a document is withheld."""

    rule: str
    detail: str = ""


def run(config: WithholdConfig, inputs: Mapping[str, Path], out: Path) -> Manifest:
    """Splits documents into training and withheld ones.

    Args:
        config: the rules.
        inputs: `documents`, an artifact of documents.
        out: the artifact: `training/documents/*.parquet`, `withheld/documents/*.parquet`, `withheld.jsonl`.

    Raises:
        UserError: a pattern matches nothing, nothing is withheld, or nothing is left to train on.
    """
    source = inputs["documents"]
    with artifact.build(
        out, kind="documents", stage="withhold", version=VERSION, config=config, inputs=inputs
    ) as build:
        num_documents, decisions = _decide(config, source)
        if config.near_duplicates is not None:
            _add_near_duplicates(source, decisions, config.near_duplicates)
        _check(config, source, num_documents, decisions)
        counts = {TRAINING: _Writer(build.path / TRAINING), WITHHELD: _Writer(build.path / WITHHELD)}
        rows = []
        for document in read_documents(source):
            decision = decisions.get(document.id)
            side = TRAINING if decision is None else WITHHELD
            counts[side].add(dataclasses.replace(document, withheld=decision is not None))
            if decision is not None:
                rows.append({"id": document.id, "rule": decision.rule, "detail": decision.detail})
        artifact.write_jsonl(build.path / "withheld.jsonl", rows)
        for side, writer in counts.items():
            writer.flush()
            build.stats[f"num_{side}"] = writer.num_documents
            build.stats[f"words_{side}"] = writer.num_words
        rules = sorted({row["rule"] for row in rows})
        build.stats["rules"] = {rule: sum(row["rule"] == rule for row in rows) for rule in rules}
        build.stats["num_documents"] = num_documents
    return build.manifest


def _decide(config: WithholdConfig, source: Path) -> tuple[int, dict[str, _Decision]]:
    """The rules that see one document at a time, and the keyed draw."""
    decisions: dict[str, _Decision] = {}
    ids: list[str] = []
    open_ids: list[str] = []
    matched: set[str] = set()
    for document in read_documents(source):
        ids.append(document.id)
        hit = [pattern for pattern in config.ids if _matches(document.id, pattern)]
        matched.update(hit)
        if hit:
            decisions[document.id] = _Decision("ids", hit[0])
        elif config.flagged and document.withheld:
            decisions[document.id] = _Decision("flagged")
        elif document.withheld is None or not config.flagged:
            open_ids.append(document.id)
    for pattern in config.ids:
        if pattern not in matched:
            near = difflib.get_close_matches(pattern, ids, n=1, cutoff=0.0)
            hint = f"; the nearest identifier is {near[0]!r}" if near else ""
            raise UserError(f"withhold.ids: {pattern!r} matches no document of {source}{hint}")
    for identifier in _draw(open_ids, config.fraction, config.seed):
        decisions[identifier] = _Decision("fraction")
    return len(ids), decisions


def _matches(identifier: str, pattern: str) -> bool:
    # An identifier may hold brackets, which are signs of a pattern: equal strings match in any case.
    return identifier == pattern or fnmatch.fnmatchcase(identifier, pattern)


def _draw(ids: list[str], fraction: float, seed: int) -> list[str]:
    """The documents with the smallest keyed hashes: adding documents later hardly changes who is drawn."""
    if not ids or not fraction:
        return []
    count = max(1, round(fraction * len(ids)))
    return sorted(ids, key=lambda identifier: (keyed_hash(seed, "withhold", identifier), identifier))[:count]


def _add_near_duplicates(source: Path, decisions: dict[str, _Decision], threshold: float) -> None:
    """Withholds what nearly repeats a withheld document, then what repeats that, until nothing is added.

    In the end no training document shares `threshold` of its shingles with any withheld one.
    """
    from sagecraft.corpus.overlap import ShingleIndex

    added = set(decisions)
    while added:
        index = ShingleIndex()
        for document in read_documents(source):
            if document.id in added:
                index.add(document.id, document.text)
        added = set()
        with console.progress("near-duplicates") as tick:
            for document in read_documents(source):
                tick.advance()
                if document.id in decisions or document.id in added:
                    continue
                other, share = index.nearest(document.text)
                if share >= threshold:
                    added.add(document.id)
                    decisions[document.id] = _Decision("near-duplicate", f"{other} ({share:.2f})")


def _check(config: WithholdConfig, source: Path, num_documents: int, decisions: Mapping[str, _Decision]) -> None:
    if not num_documents:
        raise UserError(f"{source}: holds no documents; ingest some first")
    if len(decisions) == num_documents:
        raise UserError(
            f"withhold: all {num_documents} documents are withheld and none is left to train on; "
            "lower withhold.fraction, narrow withhold.ids or raise withhold.near_duplicates"
        )
    if len(decisions) < config.min_withheld:
        raise UserError(
            f"withhold: {len(decisions)} of {num_documents} documents are withheld, at least {config.min_withheld} are "
            "needed; set withhold.fraction or withhold.ids (or withhold.min_withheld to 0)"
        )


class _Writer:
    """Writes one side in shards."""

    def __init__(self, folder: Path) -> None:
        self.num_documents = 0
        self.num_words = 0
        self._folder = folder
        self._num_shards = 0
        self._rows: list[Document] = []

    def add(self, document: Document) -> None:
        self._rows.append(document)
        self.num_documents += 1
        self.num_words += len(document.text.split())
        if len(self._rows) >= _SHARD_DOCUMENTS:
            self.flush()

    def flush(self) -> None:
        # An empty side is a folder with an empty shard: readers find what they look for.
        if self._rows or not self._num_shards:
            write_documents(self._folder, self._rows, f"part-{self._num_shards:05d}")
            self._num_shards += 1
            self._rows = []
