"""Parquet files: one document a row, columns known by name (`rows.py`). Streamed: memory holds a batch, not the file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sagecraft.corpus.readers.files import decode
from sagecraft.corpus.readers.found import Found
from sagecraft.corpus.readers.result import ReaderError
from sagecraft.corpus.readers.rows import TEXT_KEYS, document_of, listed, plain_name

#: Longest text of one row, in characters; the longest books are below 10 MB.
_MAX_TEXT_CHARS = 16 * 2**20
#: A batch is set to about this size, in bytes as the file states them, and to at most so many rows.
_BATCH_BYTES = 8 * 2**20
_MAX_BATCH_ROWS = 1024
#: All texts together may be this many times the file's size, and those of any file the floor: a dictionary lets one
#: long value stand for a million.
_MAX_RATIO = 100
_FLOOR_CHARS = 64 * 2**20
#: Errors after which the rest of a file is given up.
_MAX_ERRORS = 1000


def read_parquet_documents(path: Path, root: Path) -> Iterator[Found | ReaderError]:  # noqa: ARG001
    """Streams the documents of a Parquet file; a bad row yields its error and the rest is read."""
    import pyarrow as pa

    try:
        yield from _read(path)
    except ReaderError as error:
        yield error
    except (pa.ArrowException, OSError, MemoryError, ValueError) as error:
        first = str(error).split("\n", 1)[0][:200]
        yield ReaderError("bad-parquet", first or type(error).__name__)


def _read(path: Path) -> Iterator[Found | ReaderError]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not path.stat().st_size:
        raise ReaderError("empty", "the file holds nothing")
    with pq.ParquetFile(path, memory_map=True, pre_buffer=False) as probe:
        fields = list(probe.schema_arrow)
    names = [field.name for field in fields]
    if not any(plain_name(name) in TEXT_KEYS for name in names):
        raise ReaderError("no-text-column", f"no column is named {', '.join(TEXT_KEYS)}; it has {listed(names)}")
    # Strings come as a dictionary, so that a value which stands in many rows is in memory once.
    strings = [field.name for field in fields if pa.types.is_string(field.type) or pa.types.is_large_string(field.type)]
    columns = [field.name for field in fields if not _is_binary(field.type) or plain_name(field.name) in TEXT_KEYS]
    left = max(_FLOOR_CHARS, _MAX_RATIO * path.stat().st_size)
    number = errors = 0
    with pq.ParquetFile(path, memory_map=True, pre_buffer=False, read_dictionary=strings) as file:
        for batch in file.iter_batches(batch_size=_batch_rows(file.metadata), columns=columns, use_threads=False):
            for row in range(batch.num_rows):
                number += 1
                found = _row(batch, row, number)
                left -= len(found.result.text) if isinstance(found, Found) else 0
                if left < 0:
                    raise ReaderError(
                        "parquet-bomb", f"its texts are more than {_MAX_RATIO} times the file (row {number})"
                    )
                yield found
                errors += isinstance(found, ReaderError)
                if errors > _MAX_ERRORS:
                    raise ReaderError("too-many-bad-rows", f"gave up at row {number}")


def _is_binary(kind: Any) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind))


def _batch_rows(metadata: Any) -> int:
    stated = sum(metadata.row_group(number).total_byte_size for number in range(metadata.num_row_groups))
    return max(1, min(_MAX_BATCH_ROWS, _BATCH_BYTES * max(int(metadata.num_rows), 1) // max(int(stated), 1)))


def _row(batch: Any, row: int, number: int) -> Found | ReaderError:
    values: dict[str, Any] = {}
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        try:
            value = column[row].as_py()
            values[name] = decode(value) if isinstance(value, bytes) else value
        except (ValueError, OverflowError, ReaderError) as error:
            return ReaderError("bad-value", f"row {number}: column `{name}`: {str(error)[:200]}")
    found = document_of(values, number, "row")
    if isinstance(found, Found) and len(found.result.text) > _MAX_TEXT_CHARS:
        return ReaderError("text-too-long", f"row {number} has more than {_MAX_TEXT_CHARS // 2**20} Mi characters")
    return found
