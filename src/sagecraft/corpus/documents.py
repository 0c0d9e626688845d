"""Documents: the row that every reader, filter and stage of the corpus speaks of, and its Parquet files.

One file (`part-00000.parquet`, …) is one shard. Readers of a shard stream it in small batches, so memory is bounded
by the batch and not by the corpus.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from sagecraft.errors import UserError

_Row = TypeVar("_Row")

DOCUMENTS = "documents"
DROPPED = "dropped"
#: Licence of a document for which neither itself, its sidecar nor its source states one.
UNKNOWN_LICENSE = "unknown"
_BATCH_ROWS = 256
#: Characters of a shard at most: what a process holds of it before it is written.
_SHARD_CHARS = 32 * 2**20


@dataclass(frozen=True)
class Document:
    """One document of a corpus.

    Attributes:
        id: unique in the corpus.
        text: Markdown; mathematics stands as `$…$` and `$$…$$`.
        title: empty if nothing states one.
        authors: names, "First Last", in the order of the document.
        year: of publication; None if unknown.
        categories: subjects, as the source calls them.
        license: SPDX identifier where it could be recognised, else as stated, else `unknown`.
        source: path (as written in the recipe) or URL where it comes from.
        format: the reader that read it: latex, pdf, html, cnxml, jats, markdown, text, jsonl, parquet.
        withheld: True and False are decisions of whoever made the corpus; None leaves it to the withhold stage.
        extra: JSON object with everything else that was found.
    """

    id: str
    text: str
    title: str = ""
    authors: list[str] = field(default_factory=list)
    year: int | None = None
    categories: list[str] = field(default_factory=list)
    license: str = UNKNOWN_LICENSE
    source: str = ""
    format: str = "text"
    withheld: bool | None = None
    extra: str = "{}"


@dataclass(frozen=True)
class Dropped:
    """A document, or a file that did not become one, kept aside with the reason.

    Attributes:
        id: of the document, or the path of the file if it has none.
        source: path or URL where it comes from.
        reason: short and countable, such as `too-short`.
        detail: one line for the person who looks at it.
        text: its text as far as there was one.
    """

    id: str
    source: str
    reason: str
    detail: str = ""
    text: str = ""


def document_schema() -> Any:
    """The Arrow schema of `documents/*.parquet`."""
    import pyarrow as pa

    return pa.schema(
        [
            pa.field("id", pa.string(), nullable=False),
            pa.field("text", pa.large_string(), nullable=False),
            pa.field("title", pa.string(), nullable=False),
            pa.field("authors", pa.list_(pa.string()), nullable=False),
            pa.field("year", pa.int32()),
            pa.field("categories", pa.list_(pa.string()), nullable=False),
            pa.field("license", pa.string(), nullable=False),
            pa.field("source", pa.string(), nullable=False),
            pa.field("format", pa.string(), nullable=False),
            pa.field("withheld", pa.bool_()),
            pa.field("extra", pa.string(), nullable=False),
        ]
    )


def dropped_schema() -> Any:
    """The Arrow schema of `dropped/*.parquet`."""
    import pyarrow as pa

    columns = [(name, pa.string()) for name in ("id", "source", "reason", "detail")]
    return pa.schema([pa.field(name, kind, nullable=False) for name, kind in [*columns, ("text", pa.large_string())]])


def _write(path: Path, rows: list[dict[str, Any]], schema: Any) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    path.parent.mkdir(parents=True, exist_ok=True)
    # Everything that could differ between two runs is fixed: codec and level, format version, row groups.
    pq.write_table(
        pa.Table.from_pylist(rows, schema=schema),
        path,
        version="2.6",
        compression="zstd",
        compression_level=3,
        row_group_size=_BATCH_ROWS,
        store_schema=False,
    )


def write_documents(folder: Path, documents: Iterable[Document], name: str = "part-00000") -> int:
    """Writes one shard, `folder/documents/<name>.parquet`, and returns how many rows it has.

    Equal documents give equal bytes.
    """
    rows = [vars(document) for document in documents]  # asdict would copy deeply
    _write(folder / DOCUMENTS / f"{name}.parquet", rows, document_schema())
    return len(rows)


def write_dropped(folder: Path, dropped: Iterable[Dropped], name: str = "part-00000") -> int:
    """Writes one shard, `folder/dropped/<name>.parquet`, and returns how many rows it has."""
    rows = [vars(row) for row in dropped]
    _write(folder / DROPPED / f"{name}.parquet", rows, dropped_schema())
    return len(rows)


class Shards:
    """Writes documents and drops as they come, one Parquet file for every so many documents or 32 M characters."""

    def __init__(self, folder: Path, num_documents: int) -> None:
        self._documents: _Shard[Document] = _Shard(folder, num_documents, write_documents)
        self._dropped: _Shard[Dropped] = _Shard(folder, num_documents, write_dropped)

    def keep(self, document: Document) -> None:
        """Adds a document."""
        self._documents.add(document, len(document.text))

    def drop(self, dropped: Dropped) -> None:
        """Adds what was kept aside."""
        self._dropped.add(dropped, len(dropped.text))

    def flush(self, always: bool = False) -> None:
        """Writes what is left; `always` leaves an empty shard of documents where there was none."""
        self._documents.flush(always)
        self._dropped.flush(False)


class _Shard(Generic[_Row]):
    def __init__(self, folder: Path, num_rows: int, write: Callable[[Path, list[_Row], str], int]) -> None:
        self._folder = folder
        self._num_rows = num_rows
        self._write = write
        self._rows: list[_Row] = []
        self._num_chars = self._num_written = 0

    def add(self, row: _Row, num_chars: int) -> None:
        self._rows.append(row)
        self._num_chars += num_chars
        if len(self._rows) >= self._num_rows or self._num_chars >= _SHARD_CHARS:
            self.flush(False)

    def flush(self, always: bool) -> None:
        if self._rows or (always and not self._num_written):
            self._write(self._folder, self._rows, f"part-{self._num_written:05d}")
            self._num_written += 1
            self._rows, self._num_chars = [], 0


def _read(folder: Path, schema: Any, what: str) -> Iterator[dict[str, Any]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    for file in sorted(folder.glob("*.parquet")):
        try:
            with pq.ParquetFile(file) as shard:
                missing = [column for column in schema.names if column not in shard.schema_arrow.names]
                if missing:
                    raise UserError(f"{file}: not a shard of {what}, column `{missing[0]}` is missing; make it again")
                for batch in shard.iter_batches(batch_size=_BATCH_ROWS, columns=schema.names, use_threads=False):
                    # a folder that somebody made has columns of other types, which would break whoever reads them
                    columns = [
                        _typed(batch.column(field.name), field, f"{file}: not a shard of {what}") for field in schema
                    ]
                    yield from pa.RecordBatch.from_arrays(columns, schema=schema).to_pylist()
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError, UnicodeDecodeError) as error:
            first = str(error).split("\n", 1)[0]
            raise UserError(
                f"{file}: damaged Parquet ({first}); delete the artifact and run its stage again"
            ) from error


def _typed(column: Any, field: Any, where: str) -> Any:
    """A column in the type that it is to have."""
    import pyarrow as pa

    if column.null_count and not field.nullable:
        raise UserError(f"{where}, column `{field.name}` has empty rows; make it again")
    try:
        return column.cast(field.type)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise UserError(
            f"{where}, column `{field.name}` holds {column.type} and not {field.type}; make it again"
        ) from error


def read_documents(path: Path) -> Iterator[Document]:
    """Streams the documents of an artifact in order, shard by shard.

    Args:
        path: a folder that holds `documents/*.parquet`.

    Raises:
        UserError: there are none, or a shard is damaged or has columns of other types.
    """
    folder = path / DOCUMENTS
    if not folder.is_dir():
        raise UserError(f"{path}: holds no documents (no folder `{DOCUMENTS}`); make them with `sagecraft ingest`")
    for row in _read(folder, document_schema(), "documents"):
        yield Document(**row)


def read_dropped(path: Path) -> Iterator[Dropped]:
    """Streams what was kept aside, in order; nothing if nothing was dropped."""
    for row in _read(path / DROPPED, dropped_schema(), "dropped documents"):
        yield Dropped(**row)
