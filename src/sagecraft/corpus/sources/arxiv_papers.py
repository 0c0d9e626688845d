"""What arXiv delivers as the source of a paper, told apart by its bytes, and where it is kept."""

from __future__ import annotations

import gzip
import tarfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sagecraft.corpus.licenses import may_republish
from sagecraft.corpus.sources.http import PassingError
from sagecraft.corpus.sources.items import ItemError, safe_path

#: A gzip may unpack to this many times its size, and any to the floor: figures in PostScript pack 20-fold.
_MAX_GZIP_RATIO = 200
_GZIP_FLOOR_BYTES = 64 * 2**20
_BLOCK_BYTES = 1 << 20
_HEAD_BYTES = 4096
#: A source that was withdrawn is a note of a few words that begins so.
_WITHDRAWN = b"%auto-ignore"
_MAX_WITHDRAWN_BYTES = 4096


def sniff(path: Path, max_bytes: int) -> str:
    """The suffix under which a source is kept; every byte of a gzip is checked.

    Args:
        path: the file as it came.
        max_bytes: of the packed file, from which the bound of the unpacked one follows.

    Returns:
        `.tar.gz`, `.tex.gz`, `.ps.gz`, `.html.gz`, `.pdf`, `.pdf.gz` or `.tex`.

    Raises:
        PassingError: damaged, empty, or an error page: it may come right when asked for again.
        ItemError: withdrawn, or of a kind that holds no text.
    """
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    if not head.strip():
        raise PassingError("empty", "the file holds nothing")
    if head.startswith(b"\x1f\x8b"):
        return _inside_gzip(path, max_bytes)
    if head.startswith(b"%PDF"):
        return _whole_pdf(path)
    if head.lstrip()[:1] == b"<":
        raise PassingError("html-instead", " ".join(head[:80].decode("utf-8", "replace").split()))
    if b"\0" in head:
        raise ItemError("unknown-format", f"begins with {head[:8]!r}", outcome="skipped")
    _refuse_withdrawn(head, path.stat().st_size)
    return ".tex"


def _inside_gzip(path: Path, max_bytes: int) -> str:
    limit = max(_GZIP_FLOOR_BYTES, _MAX_GZIP_RATIO * min(path.stat().st_size, max_bytes))
    head, size = b"", 0
    try:
        with gzip.open(path, "rb") as file:
            while block := file.read(_BLOCK_BYTES):
                head = head or block[:_HEAD_BYTES]
                size += len(block)
                if size > limit:
                    raise ItemError("gzip-bomb", f"unpacks to more than {limit / 2**20:.0f} MiB", outcome="skipped")
    except (EOFError, OSError, zlib.error) as error:
        raise PassingError("bad-gzip", str(error)) from error
    if not head.strip():
        raise PassingError("empty", "the gzip holds nothing")
    if _begins_tar(head):
        return ".tar.gz"
    for begin, suffix in ((b"%PDF", ".pdf.gz"), (b"%!", ".ps.gz"), (b"<", ".html.gz")):
        if head.lstrip().startswith(begin):
            return suffix
    if b"\0" in head:
        raise ItemError("unknown-format", f"a gzip of something that begins with {head[:8]!r}", outcome="skipped")
    _refuse_withdrawn(head, size)
    return ".tex.gz"


def _begins_tar(head: bytes) -> bool:
    try:
        tarfile.TarInfo.frombuf(head[:512], "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return False
    return True


def _whole_pdf(path: Path) -> str:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 65536))
        if b"%%EOF" not in file.read():
            raise PassingError("truncated-pdf", "no %%EOF at its end")
    return ".pdf"


def _refuse_withdrawn(head: bytes, size: int) -> None:
    if size <= _MAX_WITHDRAWN_BYTES and _WITHDRAWN in head:
        raise ItemError("withdrawn", "its authors withdrew it", outcome="absent")


def keep_paper(came: Path, suffix: str, files: Path, stem: str) -> str:
    """Moves a source to its place and returns its path relative to `files`.

    A PDF inside a gzip is unpacked, since nothing reads it packed; a plain TeX file gets a folder of its own, since a
    folder is what a LaTeX document is.
    """
    name = f"{stem}/{stem.rpartition('/')[2]}.tex" if suffix == ".tex" else f"{stem}{suffix.removesuffix('.gz')}"
    if suffix.endswith(".gz") and suffix != ".pdf.gz":
        name += ".gz"
    target = safe_path(files, name)
    target.parent.mkdir(parents=True, exist_ok=True)
    if suffix == ".pdf.gz":
        unpacked = came.with_name(f"{came.name}.unpacked")
        with gzip.open(came, "rb") as packed, unpacked.open("wb") as plain:
            while block := packed.read(_BLOCK_BYTES):
                plain.write(block)
        came.unlink()
        came = unpacked
    came.replace(target)
    return name


def paper_metadata(identifier: str, record: Mapping[str, Any], provenance: Mapping[str, str]) -> dict[str, Any]:
    """What the sidecar says of a paper: the record without its abstract, and what may be done with the text."""
    columns = ("title", "authors", "year", "categories", "license", "version", "doi", "journal")
    return {
        "id": f"arXiv:{identifier}",
        **{name: record[name] for name in columns if record.get(name) not in (None, "", [])},
        "url": f"https://arxiv.org/abs/{identifier}",
        "republish": may_republish(record["license"]),
        "provenance": dict(provenance),
    }
