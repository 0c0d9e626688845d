"""Local sources: walking files, folders and archives, choosing readers, and giving every document its identity.

The order is that of the sorted paths. A file outside the root of its source (reached through a link) is never opened.
"""

from __future__ import annotations

import fnmatch
import json
import os
import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import BaseModel, ConfigDict

from sagecraft.artifact import is_artifact, is_work
from sagecraft.corpus.documents import DOCUMENTS, UNKNOWN_LICENSE, Document, Dropped
from sagecraft.corpus.licenses import normalize_license
from sagecraft.corpus.readers.found import Found
from sagecraft.corpus.readers.jsonl import Lines, cut_lines, read_lines
from sagecraft.corpus.readers.registry import READERS, suffix_of
from sagecraft.corpus.readers.result import ReaderError
from sagecraft.corpus.readers.rows import arxiv_year
from sagecraft.corpus.sidecar import Override, read_sidecar
from sagecraft.corpus.sources.archives import ARCHIVE_SUFFIXES, Budget, archive_suffix, sniff, unpack
from sagecraft.errors import UserError

#: Files that accompany documents and are none themselves.
_NOT_DOCUMENTS = (
    "metadata.jsonl", "questions.jsonl", "instructions.jsonl", "readme*", "license*", "licence*", "refs.bib", "*.bbl",
    "*.bib", ".*", "*.collection.xml", "manifest.json", "timing.json", "*.lock",
)  # fmt: skip
#: Begins a document of its own; figures (`standalone`) and chapters (`subfiles`) are parts of another.
_DOCUMENT_CLASS = re.compile(
    rb"^[^%\n]*\\document(?:class|style)\b(?!\s*(?:\[[^\]]*\])?\s*\{(?:standalone|subfiles)\})", re.MULTILINE
)
_HEAD_BYTES = 1 << 16
#: Archives in archives: a bulk tar holds papers that are archives themselves; what is deeper is a trap.
_MAX_ARCHIVE_DEPTH = 3
#: A name whose suffix is none (`2401.01234v2`, `paper`, `paper.gz`): its first bytes say what it is.
_NO_SUFFIX = re.compile(r"|\.\d+(?:v\d+)?|.*\.gz")
_COLLECTION = "*.collection.xml"
#: What to do with files that people have and no reader reads.
_ADVICE = {
    (".csv", ".tsv", ".xlsx", ".xls", ".ods"): "save its rows as .jsonl or .parquet, with a column `text`",
    (".doc", ".docx", ".odt", ".rtf", ".epub", ".rst", ".org"): "convert it to .md or .html, for instance with pandoc",
    (".ps", ".eps", ".dvi", ".djvu"): "convert it to .pdf, or better find its source",
}


@dataclass(frozen=True)
class Source:
    """One entry of the corpus.

    Attributes:
        written: the path as it stands in the recipe, for the record.
        path: the file or folder.
        label: begins the identifiers of documents that state none.
        license: of documents that state none.
        is_unpacked: it came out of an archive; one with a main file is a submission, in which all belongs to the paper.
    """

    written: str
    path: Path
    label: str
    license: str | None = None
    is_unpacked: bool = False

    @property
    def root(self) -> Path:
        """The folder that no file of the source may be outside of."""
        return self.path if self.path.is_dir() else self.path.parent

    def location(self, path: Path) -> str:
        """Where a file is, in the words of the recipe: the same on every machine."""
        if self.path.is_file():
            return self.written
        return f"{self.written.rstrip('/')}/{_shown(path.relative_to(self.root).as_posix())}"


class Item(BaseModel):
    """One thing to read: a file, a folder of LaTeX, or an archive.

    Attributes:
        path: the file; of a LaTeX folder its main file.
        format: a name of `READERS`, or `archive`.
        suffix: chooses the reader, or the way to unpack.
        name: the rest of the identifier behind the source's label, unique within the source.
        folder: of LaTeX: what the document may read.
        override: what a sidecar states.
        num_bytes: size of what is to be read, for an even spread over workers.
        lines: a piece of a file of rows; all of it by default.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    path: Path
    format: str
    suffix: str
    name: str
    folder: Path | None = None
    override: Override | None = None
    num_bytes: int = 0
    lines: Lines | None = None


@dataclass(frozen=True)
class Listing:
    """What a source holds, in order.

    Attributes:
        items: what to read.
        dropped: what cannot be read, by its name alone.
        defaults: what collections say of their modules.
    """

    items: list[Item]
    dropped: list[Dropped]
    defaults: dict[str, dict[str, Any]]


def list_source(source: Source) -> Listing:
    """Walks a source without reading its documents.

    Raises:
        UserError: a sidecar that is wrong.
    """
    found: list[Item] = []
    dropped: list[Dropped] = []
    overrides: dict[Path, Override] = {}
    defaults: dict[str, dict[str, Any]] = {}
    for entry in _walk(source, overrides, defaults):
        if isinstance(entry, Dropped):
            dropped.append(entry)
        else:
            found.append(entry)
    stems = Counter(item.name for item in found)
    files = {_relative(source, item.path) for item in found}
    folders = {str(parent) for name in files for parent in PurePosixPath(name).parents}
    items = []
    for item in sorted(found, key=lambda item: item.path.as_posix()):
        # `a.txt` and `a.md`; `a.txt` and `a.txt.md`; `a.zip`, which may hold `x.txt`, and `a/x.txt`
        own = _relative(source, item.path)
        is_taken = (
            stems[item.name] > 1 or item.name in files - {own} or (item.format == "archive" and item.name in folders)
        )
        name = own if is_taken else item.name
        override = overrides.get(item.path) or overrides.get(item.folder or item.path)
        items.append(item.model_copy(update={"name": name, "override": override}))
    return Listing(items, dropped, defaults)


def cut_item(item: Item, num_bytes: int) -> Iterator[Item]:
    """A large file of rows in pieces, so that many workers read it; anything else as it is."""
    if item.suffix not in (".jsonl", ".ndjson") or item.num_bytes <= 2 * num_bytes:
        yield item
        return
    for lines in cut_lines(item.path, num_bytes):
        yield item.model_copy(update={"lines": lines, "num_bytes": lines.end - lines.start})


def read_item(
    source: Source, item: Item, defaults: dict[str, dict[str, Any]], scratch: Path, alive: Callable[[], None]
) -> Iterator[Document | Dropped]:
    """Streams the documents of one item, and what could not become one.

    Args:
        source: where it was listed.
        item: what to read.
        defaults: of its listing.
        scratch: a folder that does not exist yet, for what comes out of an archive; it is gone afterwards.
        alive: called while an archive is unpacked, which may take longer than any document.
    """
    if item.format == "archive":
        yield from _read_archive(source, item, scratch, Budget.of(item.path, alive), 1)
    else:
        yield from _read_file(source, item, defaults)


def _read_file(source: Source, item: Item, defaults: dict[str, dict[str, Any]]) -> Iterator[Document | Dropped]:
    if item.lines is not None:
        rows = read_lines(item.path, item.lines)
    else:
        rows = READERS[item.suffix][1](item.path, item.folder or source.root)
    for found in rows:
        if isinstance(found, ReaderError):
            yield Dropped(_join(source.label, item.name), source.location(item.path), found.reason, found.detail)
        else:
            yield _document(source, item, found, defaults)


def _read_archive(
    source: Source, item: Item, scratch: Path, budget: Budget, depth: int
) -> Iterator[Document | Dropped]:
    """Unpacks an archive and reads it like a folder; archives inside it are read the same way."""
    label, where = _join(source.label, item.name), source.location(item.path)
    if depth > _MAX_ARCHIVE_DEPTH:
        yield Dropped(label, where, "archive-too-deep", f"archives in archives, more than {_MAX_ARCHIVE_DEPTH} deep")
        return
    inner = Source(where, scratch, label, source.license, is_unpacked=True)
    try:
        unpack(item.path, item.suffix, scratch, budget)
        listing = list_source(inner)
        yield from listing.dropped
        yield from (Dropped(_join(label, name), f"{where}/{name}", why) for name, why in budget.refused.items())
        budget.refused.clear()
        for each in listing.items:
            part = _inherit(each, item, alone=len(listing.items) == 1)
            if part.format == "archive":
                rows = _read_archive(inner, part, scratch.with_name(f"{scratch.name}+"), budget, depth + 1)
            else:
                rows = _read_file(inner, part, listing.defaults)
            for row in rows:
                # The folder it was unpacked into is another in every run.
                yield replace(row, detail=row.detail.replace(str(scratch), where)) if isinstance(row, Dropped) else row
    except ReaderError as error:
        yield Dropped(label, where, error.reason, error.detail)
    except UserError as error:
        yield Dropped(label, where, "bad-sidecar", str(error).replace(str(scratch), where))
    finally:
        if scratch.exists():
            shutil.rmtree(scratch)


def _inherit(part: Item, archive: Item, alone: bool) -> Item:
    """What is stated of an archive holds for its only document; of several it can only be said what they share."""
    stated = archive.override
    if stated is not None and not alone:
        stated = Override(license=stated.license, categories=stated.categories, withheld=stated.withheld)
    changes: dict[str, Any] = {"override": part.override or stated}
    return part.model_copy(update=changes | ({"name": ""} if alone else {}))


def _walk(
    source: Source, overrides: dict[Path, Override], defaults: dict[str, dict[str, Any]]
) -> Iterator[Item | Dropped]:
    if source.path.is_file():
        overrides.update(read_sidecar(source.path.parent))
        yield _item(source, source.path) or _no_reader(source, source.path)
        return
    folders = [_start(source)]
    while folders:
        folder = folders.pop()
        overrides.update(read_sidecar(folder))
        main = _main_file(folder)
        if main is not None and (source.is_unpacked or folder in overrides or not _all_papers(folder)):
            yield from _latex_folder(source, folder, main)
            continue
        for path in sorted(folder.iterdir()):
            if _shown(path.name) != path.name:
                name = _join(source.label, _relative(source, path))
                yield Dropped(name, source.location(path), "bad-name", "its name is not UTF-8; rename it")
            elif path.is_symlink() and not _is_inside(path, source):
                yield Dropped(
                    _join(source.label, _relative(source, path)),
                    source.location(path),
                    "outside-root",
                    "a link out of the source's folder, not followed",
                )
            elif path.is_dir() and not path.is_symlink() and not path.name.startswith("."):
                if is_artifact(path):
                    name = _join(source.label, _relative(source, path))
                    yield Dropped(
                        name, source.location(path), "artifact", "made by sagecraft; name it in paths to read it"
                    )
                elif not is_work(path):
                    folders.append(path)
            elif fnmatch.fnmatch(path.name, _COLLECTION) and path.is_file():
                yield from _collect(source, path, defaults)
            elif path.is_file() and not _is_companion(path):
                yield _item(source, path) or _no_reader(source, path)


def _start(source: Source) -> Path:
    """Where to begin: of an artifact its documents, and not what it has kept aside."""
    if not is_artifact(source.path):
        return source.path
    inner = source.path / DOCUMENTS
    if not inner.is_dir():
        raise UserError(f"{source.written}: an artifact without documents of its own; name a folder inside it")
    return inner


def _main_file(folder: Path) -> Path | None:
    """The main file of a folder that holds LaTeX itself; sources deeper down belong to their own folders."""
    if not any(folder.glob("*.tex")):
        return None
    from sagecraft.corpus.readers.latex import find_main

    found = find_main(folder)
    return folder / found.name if found is not None and found.parent == folder.resolve() else None


def _all_papers(folder: Path) -> bool:
    """A folder of several papers of one file each: every source begins a document, and none names another."""
    files = [path for path in sorted(folder.glob("*.tex")) if path.is_file() and not path.is_symlink()]
    if len(files) < 2 or not all(_is_main(path) for path in files):
        return False
    texts = [path.read_bytes() for path in files]
    names = [re.compile(rb"\{(?:\./)?" + re.escape(path.stem.encode()) + rb"(?:\.tex)?\}") for path in files]
    return not any(name.search(text) for n, name in enumerate(names) for m, text in enumerate(texts) if n != m)


def _latex_folder(source: Source, folder: Path, main: Path) -> Iterator[Item | Dropped]:
    """A folder with a main file is one document. What else stands in it is not lost without a word."""
    if not _is_inside(main, source):
        yield Dropped(_join(source.label, _relative(source, main)), source.location(main), "outside-root", "")
        return
    name = _relative(source, folder) if folder != source.path else ""
    size = sum(file.stat().st_size for file in folder.glob("*.tex") if file.is_file())
    yield Item(path=main, format="latex", suffix=".tex", name=name, folder=folder, num_bytes=size)
    parts: list[bytes] = []
    for other in sorted(folder.rglob("*")):
        if other == main or other.is_symlink() or not other.is_file():
            continue
        reason = "archive-in-paper" if archive_suffix(other) else "second-main-file" if _is_main(other) else None
        if reason is None and not source.is_unpacked and _is_stray(other, main, parts):
            reason = "file-in-paper"
        if reason is not None:
            detail = f"{main.name} makes its folder one document; move this out of it or name it in paths"
            yield Dropped(_join(source.label, _relative(source, other)), source.location(other), reason, detail)


def _is_stray(path: Path, main: Path, parts: list[bytes]) -> bool:
    """Is a file a document of its own: no figure or input that the paper names, not its printed form, no companion?

    Args:
        path: the file.
        main: of the folder.
        parts: the paper's sources, read when the first file asks for them.
    """
    suffix = suffix_of(path)
    if (
        suffix not in READERS
        or suffix == ".tex"
        or _is_companion(path)
        or any(part.startswith(".") for part in path.relative_to(main.parent).parts)
    ):
        return False
    if suffix == ".pdf" and path.stem == main.stem:
        return False
    if not parts:
        parts += [file.read_bytes() for file in sorted(main.parent.rglob("*.tex")) if file.is_file()]
    return not any(path.stem.encode() in part for part in parts)


def _is_main(path: Path) -> bool:
    if path.suffix != ".tex":
        return False
    with path.open("rb") as file:
        return _DOCUMENT_CLASS.search(file.read(_HEAD_BYTES)) is not None


def _collect(source: Source, path: Path, defaults: dict[str, dict[str, Any]]) -> Iterator[Dropped]:
    """Takes over what a collection says of its modules."""
    from sagecraft.corpus.readers.cnxml import read_collection

    try:
        defaults.update(read_collection(path))
    except ReaderError as error:
        yield Dropped(_relative(source, path), source.location(path), error.reason, error.detail)


def _is_companion(path: Path) -> bool:
    return any(fnmatch.fnmatchcase(path.name.lower(), pattern) for pattern in _NOT_DOCUMENTS)


def _is_inside(path: Path, source: Source) -> bool:
    return path.resolve().is_relative_to(source.root.resolve())


def _item(source: Source, path: Path) -> Item | None:
    suffix = archive_suffix(path) or suffix_of(path)
    name = _relative(source, path)
    if suffix not in READERS and suffix not in ARCHIVE_SUFFIXES:
        found = sniff(path) if _NO_SUFFIX.fullmatch(suffix) else None
        if found is None or (found not in READERS and found not in (".gz", ".tar")):
            return None
        name = name.removesuffix(".gz") if found == ".gz" else name
        suffix = found
    else:
        name = name[: len(name) - len(suffix)]
    kind = READERS[suffix][0] if suffix in READERS else "archive"
    return Item(path=path, format=kind, suffix=suffix, name=name, num_bytes=path.stat().st_size)


def _no_reader(source: Source, path: Path) -> Dropped:
    name = _join(source.label, _relative(source, path))
    suffix = suffix_of(path)
    advice = next((f"; {text}" for suffixes, text in _ADVICE.items() if suffix in suffixes), "")
    return Dropped(name, source.location(path), "no-reader", f"no reader for `{suffix or path.name}`{advice}")


def _relative(source: Source, path: Path) -> str:
    return _shown(path.relative_to(source.root).as_posix())


def _shown(name: str) -> str:
    """A file's name as text: bytes that are not UTF-8 as `\\xe9`."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _join(label: str, name: str) -> str:
    return f"{label}/{name}" if name else label


def _document(source: Source, item: Item, found: Found, defaults: dict[str, dict[str, Any]]) -> Document:
    """Puts together, from weak to strong: the source's defaults, the collection's, the reader's, the sidecar's word."""
    result = found.result
    default = defaults.get(result.identifier or "", {})
    extra = {**found.extra, **({"counts": result.counts} if result.counts else {})}
    kind = found.format or item.format
    own_id = result.identifier if kind in ("jsonl", "parquet", "cnxml") else None
    if result.identifier and own_id is None:
        extra["identifier"] = result.identifier
    fallback = _join(source.label, item.name) + (f"#{found.row}" if found.row is not None else "")
    stated_license = result.license or default.get("license") or source.license
    values: dict[str, Any] = {
        "id": own_id or fallback,
        "title": result.title or "",
        "authors": list(result.authors),
        "year": result.year or arxiv_year(result.identifier) or arxiv_year(PurePosixPath(fallback).name),
        "categories": list(result.categories) or default.get("categories", []),
        "license": normalize_license(stated_license) if stated_license else UNKNOWN_LICENSE,
        "withheld": found.withheld,
    }
    if item.override is not None:
        stated = item.override.stated()
        if found.row is not None:
            stated.pop("id", None)  # one identifier for all rows of a file would make them duplicates
        values |= stated
        extra |= item.override.extra
    return Document(
        text=result.text,
        source=source.location(item.path),
        format=kind,
        extra=json.dumps(extra, ensure_ascii=False, sort_keys=True, default=str),
        **values,
    )
