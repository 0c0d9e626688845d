"""JSON lines (`.jsonl`, also packed by gzip or Zstandard) and JSON arrays: one document a line or element."""

from __future__ import annotations

import gzip
import io
import json
import math
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Self

from sagecraft.corpus.readers.files import decode, read_text
from sagecraft.corpus.readers.found import Found
from sagecraft.corpus.readers.result import ReaderError
from sagecraft.corpus.readers.rows import document_of

#: Longest line, in bytes; a longer one is dropped, and its rest skipped without being kept in memory.
MAX_LINE_BYTES = 16 * 2**20
#: A packed file may unpack to this many times its size (text packs 3- to 10-fold), and any file to the floor.
_MAX_RATIO = 100
_FLOOR_BYTES = 64 * 2**20
#: Errors after which the rest of a file is given up if they are most of it: it is not a file of documents.
_MAX_ERRORS = 1000


def read_jsonl_documents(path: Path, root: Path) -> Iterator[Found | ReaderError]:  # noqa: ARG001
    """Streams the documents of a JSON-lines file; a bad line yields its error and the rest is read."""
    yield from _documents(path, None)


@dataclass(frozen=True)
class Lines:
    """Whole lines of a file: bytes from `start` to `end`; the first of them is line `number`."""

    start: int
    end: int
    number: int


def read_lines(path: Path, lines: Lines) -> Iterator[Found | ReaderError]:
    """Streams the documents of a piece of a JSON-lines file that is not packed."""
    return _documents(path, lines)


def cut_lines(path: Path, num_bytes: int) -> Iterator[Lines]:
    """Cuts a file into pieces of so many bytes, each to the end of its last line."""
    start, number = 0, 1
    with path.open("rb") as file:
        while block := file.read(num_bytes):
            count = block.count(b"\n")
            while block and not block.endswith(b"\n"):
                block = file.readline(2**20)  # of a line without an end nothing is held
                count += block.endswith(b"\n")
            yield Lines(start, file.tell(), number)
            start, number = file.tell(), number + count


def _documents(path: Path, piece: Lines | None) -> Iterator[Found | ReaderError]:
    errors = 0
    first = 1 if piece is None else piece.number
    try:
        with _open(path) as file:
            for number, line in _lines(file, piece):
                if isinstance(line, bytes) and not line.strip():
                    continue
                found = line if isinstance(line, ReaderError) else _document(line, number)
                yield found
                errors += isinstance(found, ReaderError)
                if errors > _MAX_ERRORS and 2 * errors > number - first:
                    yield ReaderError("too-many-bad-lines", f"gave up at line {number}")
                    return
    except (OSError, EOFError, zlib.error) as error:
        yield ReaderError("unreadable", str(error) or type(error).__name__)
    except ReaderError as error:
        yield error


def read_json_documents(path: Path, root: Path) -> Iterator[Found | ReaderError]:  # noqa: ARG001
    """The documents of a JSON file: an array of objects, or one object."""
    try:
        value = json.loads(read_text(path))
    except ReaderError as error:
        yield error
        return
    except (ValueError, RecursionError) as error:
        yield ReaderError("bad-json", str(error)[:200])
        return
    if isinstance(value, dict):
        value = [value]
    if not isinstance(value, list):
        yield ReaderError("bad-json", f"{type(value).__name__} instead of an array of objects")
        return
    for number, row in enumerate(value, start=1):
        yield _checked(row, number, "element")
        if number == _MAX_ERRORS and not any(isinstance(item, dict) for item in value):
            yield ReaderError("too-many-bad-lines", f"gave up at element {number}")
            return


def _open(path: Path) -> IO[bytes] | _Bounded:
    if path.suffix not in (".gz", ".zst"):
        return path.open("rb")
    limit = max(_FLOOR_BYTES, _MAX_RATIO * path.stat().st_size)
    if path.suffix == ".gz":
        return _Bounded(gzip.GzipFile(path, "rb"), limit)
    import pyarrow as pa

    return _Bounded(io.BufferedReader(pa.CompressedInputStream(str(path), "zstd")), limit)


class _Bounded:
    """A packed file that refuses to unpack to more than a limit."""

    def __init__(self, file: Any, limit: int) -> None:
        self._file = file
        self._left = limit

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def readline(self, size: int) -> bytes:
        line: bytes = self._file.readline(size)
        self._left -= len(line)
        if self._left < 0:
            raise ReaderError("gzip-bomb", f"unpacks to more than {_MAX_RATIO} times its size")
        return line


def _lines(file: IO[bytes] | _Bounded, piece: Lines | None) -> Iterator[tuple[int, bytes | ReaderError]]:
    number = 0
    left = math.inf
    if piece is not None and not isinstance(file, _Bounded):
        file.seek(piece.start)
        number, left = piece.number - 1, piece.end - piece.start
    while left > 0 and (line := file.readline(MAX_LINE_BYTES + 1)):
        number += 1
        left -= len(line)
        if len(line) <= MAX_LINE_BYTES:
            yield number, line
            continue
        while line and not line.endswith(b"\n"):
            line = file.readline(2**20)
            left -= len(line)
        yield number, ReaderError("line-too-long", f"line {number} has more than {MAX_LINE_BYTES // 2**20} MiB")


def _document(line: bytes, number: int) -> Found | ReaderError:
    try:
        row = json.loads(decode(line))
    except (ValueError, RecursionError) as error:
        return ReaderError("bad-json", f"line {number}: {str(error)[:200]}")
    except ReaderError as error:
        return ReaderError(error.reason, f"line {number}: {error.detail}")
    return _checked(row, number, "line")


def _checked(row: object, number: int, where: str) -> Found | ReaderError:
    if not isinstance(row, dict):
        return ReaderError("bad-json", f"{where} {number}: {type(row).__name__} instead of an object")
    return document_of(row, number, where)
