"""Ingest: literature in many formats to clean documents, each drop with its reason.

For every source in turn: read, clean, filter, take its share, drop what was there before, write shards. Memory is
bounded by a shard and 16 bytes a document for the duplicates.
"""

from __future__ import annotations

import dataclasses
import hashlib
import re
import unicodedata
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from sagecraft import artifact, console
from sagecraft.artifact import Manifest
from sagecraft.corpus.documents import Document, Dropped, write_documents, write_dropped
from sagecraft.errors import UserError

if TYPE_CHECKING:
    from sagecraft.corpus.sources.files import Source

VERSION = 1


class SourceConfig(BaseModel):
    """One source of the corpus and what to take of it."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    path: str = Field(min_length=1, description="file or folder")
    share: tuple[float, float] = Field(
        default=(0.0, 1.0),
        description="part of the source's text to take, from and to as fractions of its characters, cut between "
        "paragraphs; [0, 0.5] and [0.5, 1] have nothing in common. All of it by default.",
    )
    license: str | None = Field(
        default=None, description="licence of documents that state none themselves; unknown by default"
    )

    @model_validator(mode="after")
    def _check_share(self) -> Self:
        first, last = self.share
        if not 0.0 <= first < last <= 1.0:
            raise ValueError(f"share must be two fractions with 0 <= from < to <= 1, not [{first:g}, {last:g}]")
        return self


class IngestConfig(BaseModel):
    """What to read and what to keep of it."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    paths: list[str | SourceConfig] = Field(
        min_length=1, description="files and folders, or {path, share, license} each; read in this order"
    )
    min_words: int = Field(
        default=50, ge=0, description="shortest document, in words; below 50 there are stubs and empty pages"
    )
    max_non_text_share: float = Field(
        default=0.25,
        ge=0.0,
        le=1.0,
        description="largest share of characters that are no text, outside mathematics, code and tables; "
        "prose has under 0.02, damaged or binary text over 0.4",
    )
    licenses: list[str] | None = Field(
        default=None,
        description="allow-list of licences (`CC-BY-4.0`, `CC-BY-*`); everything is kept by default, since what may be "
        "trained on is the user's to say",
    )
    shard_documents: int = Field(
        default=2000, ge=1, description="documents in a Parquet file; 2000 papers take about 0.5 GB of memory"
    )


def run(config: IngestConfig, inputs: Mapping[str, Path], out: Path) -> Manifest:
    """Reads `config.paths` into an artifact of documents.

    Args:
        config: what to keep.
        inputs: `path0`, `path1`, …: where the paths of the configuration are, in their order.
        out: the artifact: `documents/*.parquet`, `dropped/*.parquet`, `report.html`.

    Raises:
        UserError: a source without one readable document, or a sidecar that is wrong.
    """
    from sagecraft.corpus.ingest_report import Audit, write_report

    with artifact.build(out, kind="documents", stage="ingest", version=VERSION, config=config, inputs=inputs) as build:
        audit = Audit()
        writer = _Shards(build.path, config.shard_documents)
        seen = _Seen()
        with console.progress("documents") as tick:
            for row in _all_rows(config, _sources(config, inputs)):
                drop = seen.check(row) if isinstance(row, Document) else row
                if drop is None and isinstance(row, Document):
                    writer.keep(row)
                    audit.keep(row)
                    tick.advance(detail=row.id)
                elif drop is not None:
                    writer.drop(drop)
                    audit.drop(drop)
        writer.flush()
        build.stats.update(audit.stats())
        write_report(build.path / "report.html", audit, config)
    return build.manifest


def _sources(config: IngestConfig, inputs: Mapping[str, Path]) -> list[tuple[Source, tuple[float, float]]]:
    from sagecraft.corpus.sources.files import Source

    sources: list[tuple[Source, tuple[float, float]]] = []
    labels: set[str] = set()
    for number, entry in enumerate(config.paths):
        stated = SourceConfig(path=entry) if isinstance(entry, str) else entry
        path = inputs[f"path{number}"]
        if not path.exists():
            raise UserError(f"{stated.path}: no such file or folder; correct paths[{number}]")
        stem = path.name.split(".")[0] if path.is_file() else path.resolve().name
        # Two folders of one name must not give their documents the same identifiers. Shares of one source do: they
        # are told apart by what they take.
        label = stem if path.is_dir() else (path.resolve().parent.name)
        same = [source.label for source, _ in sources if source.path == path]
        if same:
            label = same[0]
        else:
            base, count = label, 1
            while label in labels:
                count += 1
                label = f"{base}-{count}"
        labels.add(label)
        sources.append((Source(stated.path, path, label, stated.license), stated.share))
    return sources


def _all_rows(config: IngestConfig, sources: list[tuple[Source, tuple[float, float]]]) -> Iterator[Document | Dropped]:
    for source, share in sources:
        drops: list[str] = []
        num_kept = 0
        for row in _rows_of(config, source, share):
            if isinstance(row, Document):
                num_kept += 1
            elif len(drops) < 3:
                drops.append(f"{row.id}: {row.reason}" + (f" ({row.detail})" if row.detail else ""))
            yield row
        if not num_kept:
            seen = f"; dropped were {'; '.join(drops)}" if drops else ""
            raise UserError(f"{source.written}: empty corpus: it holds no document that can be used{seen}"[:500])


def _rows_of(config: IngestConfig, source: Source, share: tuple[float, float]) -> Iterator[Document | Dropped]:
    from sagecraft.corpus.share import take_share

    if share == (0.0, 1.0):
        yield from _filtered(config, source)
        return
    # Where a share is cut depends on the length of everything: the source is read twice instead of being held.
    total = sum(len(row.text) for row in _filtered(config, source) if isinstance(row, Document))
    drops: list[Dropped] = []

    def documents() -> Iterator[Document]:
        for row in _filtered(config, source):
            if isinstance(row, Document):
                yield row
            else:
                drops.append(row)

    for document in take_share(documents(), total, share):
        yield from drops
        drops.clear()
        yield document
    yield from drops


def _filtered(config: IngestConfig, source: Source) -> Iterator[Document | Dropped]:
    from sagecraft.corpus import filters
    from sagecraft.corpus.clean import clean
    from sagecraft.corpus.sources.files import read_source

    for row in read_source(source):
        if isinstance(row, Dropped):
            yield row
            continue
        title = clean(row.title)
        document = dataclasses.replace(row, title=title, text=with_title(title, clean(row.text)))
        drop = (
            filters.not_licensed(document, config.licenses)
            or filters.too_short(document, config.min_words)
            or filters.non_text(document, config.max_non_text_share)
        )
        if drop is None:
            yield document
        else:
            yield Dropped(document.id, document.source, drop.reason, drop.detail, document.text)


def with_title(title: str, text: str) -> str:
    """The text with its title as first heading, unless it opens with the title already."""
    wanted = _letters(title)
    if not wanted or wanted in _letters(text[: 3 * len(title) + 300]):
        return text
    return f"# {' '.join(title.split())}\n\n{text}"


def _letters(text: str) -> str:
    return "".join(character for character in text.casefold() if character.isalnum())


def text_hash(text: str) -> bytes:
    """Hash of a text that does not see case, spaces and compatibility forms of characters."""
    plain = re.sub(r"\s+", " ", unicodedata.normalize("NFKC", text).casefold()).strip()
    return hashlib.blake2b(plain.encode("utf-8", errors="replace"), digest_size=16).digest()


class _Seen:
    """Exact duplicates: the same text, or the same identifier, as an earlier document."""

    def __init__(self) -> None:
        self._texts: dict[bytes, str] = {}
        self._ids: set[str] = set()

    def check(self, document: Document) -> Dropped | None:
        """Why `document` is a duplicate; None if it is new, and remembered from then on."""
        key = text_hash(document.text)
        reason, detail = "", ""
        if key in self._texts:
            reason, detail = "duplicate-text", f"the same text as {self._texts[key]}"
        elif document.id in self._ids:
            reason, detail = "duplicate-id", "an earlier document of other text has this identifier"
        if reason:
            return Dropped(document.id, document.source, reason, detail, document.text)
        self._texts[key] = document.id
        self._ids.add(document.id)
        return None


class _Shards:
    """Writes documents and drops as they come, one Parquet file for every so many."""

    def __init__(self, folder: Path, size: int) -> None:
        self._folder = folder
        self._size = size
        self._documents: list[Document] = []
        self._dropped: list[Dropped] = []
        self._num_documents = self._num_dropped = 0

    def keep(self, document: Document) -> None:
        self._documents.append(document)
        if len(self._documents) >= self._size:
            self._flush_documents()

    def drop(self, dropped: Dropped) -> None:
        self._dropped.append(dropped)
        if len(self._dropped) >= self._size:
            self._flush_dropped()

    def flush(self) -> None:
        if self._documents:
            self._flush_documents()
        if self._dropped:
            self._flush_dropped()

    def _flush_documents(self) -> None:
        write_documents(self._folder, self._documents, f"part-{self._num_documents:05d}")
        self._documents = []
        self._num_documents += 1

    def _flush_dropped(self) -> None:
        write_dropped(self._folder, self._dropped, f"part-{self._num_dropped:05d}")
        self._dropped = []
        self._num_dropped += 1
