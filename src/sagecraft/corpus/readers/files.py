"""Bytes of a stranger's file to text: bounded in size, tolerant in encoding, never silent about what it changed."""

from __future__ import annotations

import codecs
import re
from pathlib import Path

from sagecraft.corpus.readers.result import ReaderError

#: Largest file a reader takes, in bytes. The longest books are below 10 MB; what is larger is data.
MAX_FILE_BYTES = 64 * 2**20
#: Share of NUL characters from which a file is taken for binary.
_MAX_NUL_SHARE = 0.01
_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_NAME = re.compile(r"[A-Za-z0-9_.:\-]{1,40}")


def read_bytes(path: Path) -> bytes:
    """The bytes of a file that is not too large.

    Raises:
        ReaderError: `too-large`, `empty` or `unreadable`.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ReaderError("unreadable", error.strerror or str(error)) from error
    if len(data) > MAX_FILE_BYTES:
        raise ReaderError("too-large", f"more than {MAX_FILE_BYTES // 2**20} MiB")
    if not data.strip():
        raise ReaderError("empty", "the file holds nothing")
    return data


def decode(data: bytes, declared: str | None = None) -> str:
    """Text of `data`: by its byte-order mark, as UTF-8, as it declares, else as Windows-1252.

    Args:
        data: the bytes.
        declared: encoding that the file itself states (`<meta charset>`).

    Raises:
        ReaderError: `binary`.
    """
    for mark, encoding in _BOMS:
        if data.startswith(mark):
            return _checked(data[len(mark) :].decode(encoding, errors="replace"))
    try:
        return _checked(data.decode("utf-8"))
    except UnicodeDecodeError:
        pass
    # cp1252 leaves five bytes undefined; they become U+FFFD, which the reader of the report can see.
    return _checked(data.decode(_known(declared) or "cp1252", errors="replace"))


def _known(declared: str | None) -> str | None:
    if declared is None or not _NAME.fullmatch(declared):
        return None
    try:
        info = codecs.lookup(declared)
    except LookupError:
        return None
    # Only encodings of text: Python also has `zlib`, `hex` and others that are none.
    return info.name if info._is_text_encoding and info.name != "utf-8" else None


def _checked(text: str) -> str:
    if text.count("\0") > _MAX_NUL_SHARE * len(text):
        raise ReaderError("binary", "NUL bytes: not a text file")
    return text.replace("\0", "")


def read_text(path: Path) -> str:
    """Text of a plain file."""
    return decode(read_bytes(path))
