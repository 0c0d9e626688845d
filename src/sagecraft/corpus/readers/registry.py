"""Which reader reads which file: one literal dict, by suffix. LaTeX folders are found by their main file instead.

A reader is imported when the first file of its format is read: all of them take 0.2 s, and every worker pays.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

from sagecraft.corpus.readers.found import Found, Reader, single
from sagecraft.corpus.readers.result import ReaderError


def _many(module: str, function: str) -> Reader:
    """The reader of that name, of files that hold many documents."""

    def read(path: Path, root: Path) -> Iterator[Found | ReaderError]:
        reader: Reader = getattr(import_module(f"sagecraft.corpus.readers.{module}"), function)
        return reader(path, root)

    return read


def _one(module: str, function: str) -> Reader:
    """The reader of that name, of files that are one document."""

    def read(path: Path, root: Path) -> Iterator[Found | ReaderError]:
        return single(getattr(import_module(f"sagecraft.corpus.readers.{module}"), function))(path, root)

    return read


#: suffix → (name of the format, reader)
READERS: dict[str, tuple[str, Reader]] = {
    ".tex": ("latex", _one("latex", "read_latex")),
    ".html": ("html", _one("html", "read_html")),
    ".htm": ("html", _one("html", "read_html")),
    ".xhtml": ("html", _one("html", "read_html")),
    ".cnxml": ("cnxml", _one("cnxml", "read_cnxml")),
    ".nxml": ("jats", _one("jats", "read_jats")),
    ".xml": ("xml", _many("any_xml", "read_xml")),
    ".md": ("markdown", _one("recognised", "read_recognised")),
    ".markdown": ("markdown", _one("recognised", "read_recognised")),
    ".mmd": ("markdown", _one("recognised", "read_recognised")),
    ".pdf": ("pdf", _one("pdf", "read_pdf")),
    ".txt": ("text", _one("text", "read_plain")),
    ".jsonl": ("jsonl", _many("jsonl", "read_jsonl_documents")),
    ".ndjson": ("jsonl", _many("jsonl", "read_jsonl_documents")),
    ".jsonl.gz": ("jsonl", _many("jsonl", "read_jsonl_documents")),
    ".jsonl.zst": ("jsonl", _many("jsonl", "read_jsonl_documents")),
    ".json": ("jsonl", _many("jsonl", "read_json_documents")),
    ".parquet": ("parquet", _many("parquet", "read_parquet_documents")),
}


def suffix_of(path: Path) -> str:
    """The suffix by which a file's reader is looked up: lower case, `.gz` and `.zst` together with what is before."""
    packed = Path(path.name.lower())
    if packed.suffix in (".gz", ".zst"):
        return Path(packed.stem).suffix + packed.suffix
    return packed.suffix
