"""Marks: what has to be known of a document to find its duplicates, in about 230 bytes instead of its text.

Workers mark the documents they read; `duplicates.decide` compares the marks of all of them. Marks are arrays, one row a
document, so ten million of them are a few files and not ten million objects.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
import unicodedata
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from sagecraft.corpus import minhash
from sagecraft.corpus.documents import Document
from sagecraft.corpus.sources.arxiv_ids import normalise_id

if TYPE_CHECKING:
    from sagecraft.corpus.dedup import DedupConfig

#: Version of an identifier that states none: the newest, as with arXiv's identifiers.
UNSTATED = np.iinfo(np.int32).max
#: Version of a PDF that states none.
PRINTED = 0
_DOI = re.compile(r"(?:doi:\s*|https?://(?:dx\.)?doi\.org/)?(10\.\d{4,9}/\S+)", re.IGNORECASE)
#: arXiv's own DOIs name the identifier.
_ARXIV_DOI = re.compile(r"10\.48550/arxiv\.", re.IGNORECASE)
#: The version at the end of an arXiv identifier (`v2`) and of the DOIs of other servers (`/v2`, `.v2`, `-v2`).
_ARXIV_VERSION = re.compile(r"(?<=\d)v(\d{1,3})$", re.IGNORECASE)
_DOI_VERSION = re.compile(r"[./\-]v(\d{1,3})$", re.IGNORECASE)
#: What a file's name has around the identifier of the paper.
_AROUND = re.compile(r"^arxiv[-_]|(?:\.(?:tar|gz|tgz|pdf|html?|tex|xml))+$", re.IGNORECASE)
#: Where readers and sidecars leave identifiers that are not the document's own.
_STATED_IN = ("identifier", "arxiv_id", "arxiv", "eprint", "doi")
OWN, STATED, TITLE = 0, 1, 2
#: A title of fewer letters and digits is no name of one work ("Introduction", "Lecture notes").
_TITLE_CHARS = 20
_FORMULA = re.compile(r"\$[^$\s]")


@dataclass(frozen=True)
class Marks:
    """Marks of a run of documents in their order: n documents, m identifiers.

    Attributes:
        texts: (n,) hash of the text (see `text_hash`).
        keys: (m,) hash of an identifier without its version, or of a title.
        key_rows: (m,) the document it belongs to.
        kinds: (m,) `OWN`, the document's own identifier; `STATED`, by it or by the folder it lies in; `TITLE`.
        versions: (m,) its version, `UNSTATED` if it has none (`PRINTED` if it is a PDF).
        words: (n,) number of words, as `overlap.words_of` counts.
        withheld: (n,) whether somebody withheld it from training.
        formulas: (n,) whether it holds mathematics.
        formats: (n,) hash of the format it was read from.
        sources: (n,) number of its source in the order of preference.
        signatures: (n, num_hashes) MinHash signature.
    """

    texts: minhash.UInt64
    keys: minhash.UInt64
    key_rows: npt.NDArray[np.int32]
    kinds: npt.NDArray[np.int8]
    versions: npt.NDArray[np.int32]
    words: npt.NDArray[np.int32]
    withheld: npt.NDArray[np.bool_]
    formulas: npt.NDArray[np.bool_]
    formats: minhash.UInt32
    sources: npt.NDArray[np.int32]
    signatures: minhash.UInt16

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def num_bytes(self) -> int:
        """What they take."""
        return sum(getattr(self, name).nbytes for name in self.__dataclass_fields__)

    def write(self, path: Path) -> None:
        """Writes one file (`.npz`, arrays only)."""
        with path.open("wb") as file:
            np.savez(file, **{name: getattr(self, name) for name in self.__dataclass_fields__})

    @classmethod
    def read(cls, path: Path) -> Marks:
        """Reads what `write` wrote."""
        with np.load(path, allow_pickle=False) as arrays:
            return cls(**{name: arrays[name] for name in cls.__dataclass_fields__})


def join(parts: Sequence[Marks]) -> Marks:
    """The marks of several runs as one, in their order."""
    starts = np.cumsum([0, *(len(part) for part in parts)])
    rows = [part.key_rows + np.int32(start) for part, start in zip(parts, starts, strict=False)]
    arrays = {name: np.concatenate([getattr(part, name) for part in parts]) for name in Marks.__dataclass_fields__}
    return Marks(**(arrays | {"key_rows": np.concatenate(rows)}))


def as_guests(marks: Marks) -> Marks:
    """The same documents ranked behind all others, so that none of them is ever kept in the place of another."""
    last = np.full(len(marks), np.iinfo(np.int32).max, dtype=np.int32)
    no = np.zeros(len(marks), dtype=np.bool_)
    return dataclasses.replace(marks, sources=last, formulas=no, withheld=no)


def text_hash(text: str) -> bytes:
    """Hash (16 bytes) of a text that does not see case, spaces and compatibility forms of characters."""
    plain = unicodedata.normalize("NFKC", text).casefold().encode("utf-8", errors="replace")
    # Leaving spaces out instead of making each run of them one is ten times faster.
    return hashlib.blake2b(plain.translate(None, b" \t\n\r\x0b\x0c"), digest_size=16).digest()


def identifier_of(name: str) -> tuple[str, int] | None:
    """The work that an arXiv identifier or DOI names, without its version, and the version.

    `2404.12345v2`, `arXiv:2404.12345v2` and `10.48550/arXiv.2404.12345v2` are one.

    Returns:
        None if it is neither.
    """
    name = name.strip()
    if (doi := _DOI.fullmatch(name)) and not _ARXIV_DOI.match(doi[1]):
        version = _DOI_VERSION.search(doi[1])
        key = doi[1][: version.start()] if version else doi[1]
        return f"doi:{key.casefold()}", int(version[1]) if version else UNSTATED
    name = _ARXIV_DOI.sub("", doi[1]) if doi else name
    if (key := normalise_id(name)) is None:
        return None
    version = _ARXIV_VERSION.search(name.removesuffix(".pdf"))
    return f"arxiv:{key}", int(version[1]) if version else UNSTATED


def identifiers(document: Document, versions: bool) -> list[tuple[str, int, bool]]:
    """Identifiers of a document: (key, version, whether it is the document's own).

    Its own is the whole `id`. Others are stated in `extra` or are a part of the path that the `id` is
    (`papers/2404.12345v2/main`); several documents may state one of those, such as the sections of a paper.
    """
    if not versions:
        return [(f"id:{document.id}", UNSTATED, True)]
    if whole := identifier_of(document.id):
        found, names = {whole[0]: (whole[1], True)}, []
    else:
        # The folder or the file may be named after the paper.
        found = {f"id:{document.id}": (UNSTATED, True)}
        names = [_AROUND.sub("", part) for part in document.id.split("/")[-2:]]
    if document.extra != "{}":
        names += _stated(document.extra)
    for name in names:
        other = identifier_of(name) if any(map(str.isdigit, name)) else None
        if other is None:
            continue
        version, own = found.get(other[0], (UNSTATED, False))
        # The version may be in the folder's name only, while the file states the bare identifier.
        found[other[0]] = (other[1] if version == UNSTATED else version, own)
    return [(key, version, own) for key, (version, own) in found.items()]


def _stated(extra: str) -> list[str]:
    try:
        value = json.loads(extra)
    except ValueError:  # documents that others made
        return []
    values = [value.get(name) for name in _STATED_IN] if isinstance(value, dict) else []
    return [name for name in values if isinstance(name, str)]


def _standing(document: Document, version: int) -> int:
    """A version that nobody states is the newest; what was printed, and has lost its formulas, goes behind any other."""
    return PRINTED if version == UNSTATED and document.format == "pdf" else version


def _keys(document: Document, versions: bool) -> Iterator[tuple[str, int, int]]:
    """Identifiers and title of a document: (key, version, kind)."""
    for key, version, own in identifiers(document, versions):
        yield key, version, OWN if own else STATED
    title = "".join(filter(str.isalnum, document.title.casefold()))
    if len(title) >= _TITLE_CHARS:
        yield f"title:{title}", UNSTATED, TITLE


def _hash64(data: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little")


def mark(documents: Sequence[Document], config: DedupConfig, source: int = 0) -> Marks:
    """Marks documents.

    A run of some hundred documents at a time is fastest; the marks do not depend on how the documents are cut into runs.

    Args:
        documents: in their order.
        config: how.
        source: number of their source; the lower is preferred.
    """
    texts = [document.text for document in documents]
    named = [(row, *entry) for row, document in enumerate(documents) for entry in _keys(document, config.versions)]
    words, bounds = minhash.word_hashes(texts)
    signatures = np.zeros((len(texts), 0), dtype=np.uint16)
    if config.near is not None:
        shingles = minhash.shingle_hashes(words, bounds, config.shingle_words)
        num_bands, num_rows = config.bands
        signatures = minhash.signatures(*shingles, num_bands * num_rows, config.seed)
    return Marks(
        texts=np.array([int.from_bytes(text_hash(text)[:8], "little") for text in texts], dtype=np.uint64),
        keys=np.array([_hash64(key.encode("utf-8", "replace")) for _, key, _, _ in named], dtype=np.uint64),
        key_rows=np.array([row for row, *_ in named], dtype=np.int32),
        kinds=np.array([kind for *_, kind in named], dtype=np.int8),
        versions=np.array([_standing(documents[row], version) for row, _, version, _ in named], dtype=np.int32),
        words=np.diff(bounds).astype(np.int32),
        withheld=np.array([document.withheld is True for document in documents], dtype=np.bool_),
        # The exponents of a PDF are read off its page; its formulas are lost.
        formulas=np.array(
            [row.format != "pdf" and bool(_FORMULA.search(row.text)) for row in documents], dtype=np.bool_
        ),
        formats=np.array([zlib.crc32(document.format.encode()) for document in documents], dtype=np.uint32),
        sources=np.full(len(texts), source, dtype=np.int32),
        signatures=signatures,
    )
