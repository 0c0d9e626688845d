"""Which reader reads which file: one literal dict, by suffix. LaTeX folders are found by their main file instead."""

from __future__ import annotations

from pathlib import Path

from sagecraft.corpus.readers.any_xml import read_xml
from sagecraft.corpus.readers.cnxml import read_cnxml
from sagecraft.corpus.readers.found import Reader, single
from sagecraft.corpus.readers.html import read_html
from sagecraft.corpus.readers.jats import read_jats
from sagecraft.corpus.readers.jsonl import read_json_documents, read_jsonl_documents
from sagecraft.corpus.readers.latex import read_latex
from sagecraft.corpus.readers.parquet import read_parquet_documents
from sagecraft.corpus.readers.pdf import read_pdf
from sagecraft.corpus.readers.recognised import read_recognised
from sagecraft.corpus.readers.text import read_plain

#: suffix → (name of the format, reader)
READERS: dict[str, tuple[str, Reader]] = {
    ".tex": ("latex", single(read_latex)),
    ".html": ("html", single(read_html)),
    ".htm": ("html", single(read_html)),
    ".xhtml": ("html", single(read_html)),
    ".cnxml": ("cnxml", single(read_cnxml)),
    ".nxml": ("jats", single(read_jats)),
    ".xml": ("xml", read_xml),
    ".md": ("markdown", single(read_recognised)),
    ".markdown": ("markdown", single(read_recognised)),
    ".mmd": ("markdown", single(read_recognised)),
    ".pdf": ("pdf", single(read_pdf)),
    ".txt": ("text", single(read_plain)),
    ".jsonl": ("jsonl", read_jsonl_documents),
    ".ndjson": ("jsonl", read_jsonl_documents),
    ".jsonl.gz": ("jsonl", read_jsonl_documents),
    ".jsonl.zst": ("jsonl", read_jsonl_documents),
    ".json": ("jsonl", read_json_documents),
    ".parquet": ("parquet", read_parquet_documents),
}


def suffix_of(path: Path) -> str:
    """The suffix by which a file's reader is looked up: lower case, `.gz` and `.zst` together with what is before."""
    packed = Path(path.name.lower())
    if packed.suffix in (".gz", ".zst"):
        return Path(packed.stem).suffix + packed.suffix
    return packed.suffix
