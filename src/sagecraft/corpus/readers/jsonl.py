"""JSON lines (`.jsonl`, `.jsonl.gz`): one document a line, under the key names that such files use."""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from sagecraft.corpus.readers.files import decode
from sagecraft.corpus.readers.found import Found
from sagecraft.corpus.readers.markdown import list_of, names_of, year_of
from sagecraft.corpus.readers.result import ReaderError, ReadResult

#: Longest line, in bytes; a longer one is dropped, and its rest skipped without being kept in memory.
MAX_LINE_BYTES = 16 * 2**20
#: A gzip file may unpack to this many times its size (text packs 3- to 10-fold), and any file to the floor.
_MAX_GZIP_RATIO = 100
_GZIP_FLOOR_BYTES = 64 * 2**20
#: Errors after which the rest of a file is given up: it is not a file of documents.
_MAX_ERRORS = 1000

_TEXT_KEYS = ("text", "abstract", "summary", "content", "body")
_ID_KEYS = ("id", "identifier", "arxiv_id", "doi")
_AUTHOR_KEYS = ("authors", "author")
_CATEGORY_KEYS = ("categories", "category", "subjects")
_YEAR_KEYS = ("year", "date", "published", "publication_date")
_LICENSE_KEYS = ("license", "licence")
_ARXIV_NEW = re.compile(r"(?:arxiv:)?(\d\d)(?:0[1-9]|1[0-2])\.\d{4,5}(?:v\d+)?", re.IGNORECASE)


def read_jsonl_documents(path: Path, root: Path) -> Iterator[Found | ReaderError]:  # noqa: ARG001
    """Streams the documents of a JSON-lines file; a bad line yields its error and the rest is read."""
    errors = 0
    try:
        with _open(path) as file:
            for number, line in _lines(file):
                if isinstance(line, bytes) and not line.strip():
                    continue
                found = line if isinstance(line, ReaderError) else _document(line, number)
                yield found
                errors += isinstance(found, ReaderError)
                if errors > _MAX_ERRORS:
                    yield ReaderError("too-many-bad-lines", f"gave up at line {number}")
                    return
    except (OSError, EOFError, zlib.error) as error:
        yield ReaderError("unreadable", str(error) or type(error).__name__)
    except ReaderError as error:
        yield error


def _open(path: Path) -> IO[bytes] | _Bounded:
    if path.suffix != ".gz":
        return path.open("rb")
    limit = max(_GZIP_FLOOR_BYTES, _MAX_GZIP_RATIO * path.stat().st_size)
    return _Bounded(path, limit)


class _Bounded(gzip.GzipFile):
    """A gzip file that refuses to unpack to more than a limit."""

    def __init__(self, path: Path, limit: int) -> None:
        super().__init__(path, "rb")
        self._left = limit

    def readline(self, size: int | None = -1) -> bytes:
        line = super().readline(-1 if size is None else size)
        self._left -= len(line)
        if self._left < 0:
            raise ReaderError("gzip-bomb", f"unpacks to more than {_MAX_GZIP_RATIO} times its size")
        return line


def _lines(file: IO[bytes] | _Bounded) -> Iterator[tuple[int, bytes | ReaderError]]:
    number = 0
    while line := file.readline(MAX_LINE_BYTES + 1):
        number += 1
        if len(line) <= MAX_LINE_BYTES:
            yield number, line
            continue
        while line and not line.endswith(b"\n"):
            line = file.readline(2**20)
        yield number, ReaderError("line-too-long", f"line {number} has more than {MAX_LINE_BYTES // 2**20} MiB")


def _document(line: bytes, number: int) -> Found | ReaderError:
    try:
        row = json.loads(decode(line))
    except (ValueError, RecursionError) as error:
        return ReaderError("bad-json", f"line {number}: {str(error)[:200]}")
    except ReaderError as error:
        return ReaderError(error.reason, f"line {number}: {error.detail}")
    if not isinstance(row, dict):
        return ReaderError("bad-json", f"line {number}: {type(row).__name__} instead of an object")
    text = _take(row, _TEXT_KEYS)
    if not isinstance(text, str) or not text.strip():
        return ReaderError("no-text", f"line {number}: none of {', '.join(_TEXT_KEYS)} holds text")
    identifier = _take(row, _ID_KEYS)
    identifier = str(identifier).strip() or None if isinstance(identifier, str | int) else None
    title = row.pop("title", None)
    license_name = _take(row, _LICENSE_KEYS)
    withheld = row.pop("withheld", None)
    if not isinstance(withheld, bool | None):
        return ReaderError("bad-value", f"line {number}: withheld is {withheld!r:.40}, neither true, false nor null")
    result = ReadResult(
        text=text,
        title=" ".join(title.split()) if isinstance(title, str) else None,
        authors=names_of(_take(row, _AUTHOR_KEYS)),
        year=year_of(_take(row, _YEAR_KEYS)) or _arxiv_year(identifier),
        categories=list_of(_take(row, _CATEGORY_KEYS)),
        license=license_name if isinstance(license_name, str) else None,
        identifier=identifier,
    )
    return Found(
        result, row=number, withheld=withheld, extra={key: value for key, value in row.items() if value is not None}
    )


def _take(row: dict[str, Any], keys: tuple[str, ...]) -> object:
    """Takes the first key that is there and not empty out of the row."""
    for key in keys:
        if row.get(key) not in (None, "", []):
            return row.pop(key)
    return None


def _arxiv_year(identifier: str | None) -> int | None:
    """Year of an arXiv identifier of the form of 2007 and later (YYMM.number)."""
    found = _ARXIV_NEW.fullmatch(identifier) if identifier else None
    return 2000 + int(found.group(1)) if found else None
