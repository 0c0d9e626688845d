"""Sources: walking files and folders, choosing readers, and giving every document its identity.

The order is that of the sorted paths. A file outside the root of its source (reached through a link) is never opened.
"""

from __future__ import annotations

import fnmatch
import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sagecraft.corpus.documents import UNKNOWN_LICENSE, Document, Dropped
from sagecraft.corpus.licenses import normalize_license
from sagecraft.corpus.readers.cnxml import read_collection
from sagecraft.corpus.readers.found import Found
from sagecraft.corpus.readers.latex import find_main
from sagecraft.corpus.readers.registry import READERS, suffix_of
from sagecraft.corpus.readers.result import ReaderError
from sagecraft.corpus.sidecar import Override, read_sidecar

#: Files that accompany documents and are none themselves.
_NOT_DOCUMENTS = (
    "metadata.jsonl", "questions.jsonl", "instructions.jsonl", "readme*", "license*", "licence*", "refs.bib", "*.bbl",
    "*.bib", ".*", "*.collection.xml", "manifest.json", "timing.json",
)  # fmt: skip
_DOCUMENT_CLASS = re.compile(rb"^[^%\n]*\\document(?:class|style)\b", re.MULTILINE)
_HEAD_BYTES = 1 << 16
_COLLECTION = "*.collection.xml"


@dataclass(frozen=True)
class Source:
    """One entry of the corpus.

    Attributes:
        written: the path as it stands in the recipe, for the record.
        path: the file or folder.
        label: begins the identifiers of documents that state none.
        license: of documents that state none.
    """

    written: str
    path: Path
    label: str
    license: str | None = None

    @property
    def root(self) -> Path:
        """The folder that no file of the source may be outside of."""
        return self.path if self.path.is_dir() else self.path.parent


@dataclass(frozen=True)
class _Item:
    """A file to read: `name` is the path relative to the root without what every file of its kind has in common."""

    path: Path
    format: str
    name: str
    folder: Path | None = None


def read_source(source: Source) -> Iterator[Document | Dropped]:
    """Streams what a source holds, in order: documents, and what could not become one.

    Raises:
        UserError: a sidecar that is wrong.
    """
    items: list[_Item] = []
    overrides: dict[Path, Override] = {}
    defaults: dict[str, dict[str, Any]] = {}
    for entry in _walk(source, overrides, defaults):
        if isinstance(entry, Dropped):
            yield entry
        else:
            items.append(entry)
    stems = Counter(item.name for item in items)
    for item in sorted(items, key=lambda item: item.path.as_posix()):
        named = item.name if stems[item.name] == 1 else _relative(source, item.path)
        override = overrides.get(item.path) or overrides.get(item.folder or item.path)
        for found in READERS[suffix_of(item.path)][1](item.path, item.folder or source.root):
            if isinstance(found, ReaderError):
                yield Dropped(_join(source.label, named), _location(source, item.path), found.reason, found.detail)
            else:
                yield _document(source, item, named, found, override, defaults)


def _walk(
    source: Source, overrides: dict[Path, Override], defaults: dict[str, dict[str, Any]]
) -> Iterator[_Item | Dropped]:
    if source.path.is_file():
        overrides.update(read_sidecar(source.path.parent))
        yield _item(source, source.path) or _no_reader(source, source.path)
        return
    folders = [source.path]
    while folders:
        folder = folders.pop()
        overrides.update(read_sidecar(folder))
        main = _main_file(folder)
        if main is not None:
            yield from _latex_folder(source, folder, main)
            continue
        for path in sorted(folder.iterdir()):
            if path.is_symlink() and not _is_inside(path, source):
                yield Dropped(
                    _join(source.label, _relative(source, path)),
                    _location(source, path),
                    "outside-root",
                    "a link out of the source's folder, not followed",
                )
            elif path.is_dir() and not path.is_symlink() and not path.name.startswith("."):
                folders.append(path)
            elif fnmatch.fnmatch(path.name, _COLLECTION) and path.is_file():
                yield from _collect(source, path, defaults)
            elif path.is_file() and not _is_companion(path):
                yield _item(source, path) or _no_reader(source, path)


def _main_file(folder: Path) -> Path | None:
    """The main file of a folder that holds LaTeX itself; sources deeper down belong to their own folders."""
    if not any(folder.glob("*.tex")):
        return None
    found = find_main(folder)
    return folder / found.name if found is not None and found.parent == folder.resolve() else None


def _latex_folder(source: Source, folder: Path, main: Path) -> Iterator[_Item | Dropped]:
    """A folder with a main file is one document. A second main file in it is not lost without a word."""
    if not _is_inside(main, source):
        yield Dropped(_join(source.label, _relative(source, main)), _location(source, main), "outside-root", "")
        return
    yield _Item(main, "latex", _relative(source, folder) if folder != source.path else "", folder)
    for other in sorted(folder.glob("*.tex")):
        if other != main and not other.is_symlink() and other.is_file():
            with other.open("rb") as file:
                begins_document = _DOCUMENT_CLASS.search(file.read(_HEAD_BYTES)) is not None
            if begins_document:
                detail = f"{main.name} is the folder's document; give this one a folder of its own or name it in paths"
                name = _join(source.label, _relative(source, other))
                yield Dropped(name, _location(source, other), "second-main-file", detail)


def _collect(source: Source, path: Path, defaults: dict[str, dict[str, Any]]) -> Iterator[Dropped]:
    """Takes over what a collection says of its modules."""
    try:
        defaults.update(read_collection(path))
    except ReaderError as error:
        yield Dropped(_relative(source, path), _location(source, path), error.reason, error.detail)


def _is_companion(path: Path) -> bool:
    return any(fnmatch.fnmatchcase(path.name.lower(), pattern) for pattern in _NOT_DOCUMENTS)


def _is_inside(path: Path, source: Source) -> bool:
    return path.resolve().is_relative_to(source.root.resolve())


def _item(source: Source, path: Path) -> _Item | None:
    suffix = suffix_of(path)
    if suffix not in READERS:
        return None
    name = _relative(source, path)
    return _Item(path, READERS[suffix][0], name[: len(name) - len(suffix)])


def _no_reader(source: Source, path: Path) -> Dropped:
    name = _join(source.label, _relative(source, path))
    return Dropped(name, _location(source, path), "no-reader", f"no reader for `{suffix_of(path) or path.name}`")


def _relative(source: Source, path: Path) -> str:
    return path.relative_to(source.root).as_posix()


def _join(label: str, name: str) -> str:
    return f"{label}/{name}" if name else label


def _location(source: Source, path: Path) -> str:
    """Where a file is, in the words of the recipe: the same on every machine."""
    return source.written if source.path.is_file() else f"{source.written.rstrip('/')}/{_relative(source, path)}"


def _document(
    source: Source,
    item: _Item,
    name: str,
    found: Found,
    override: Override | None,
    defaults: dict[str, dict[str, Any]],
) -> Document:
    """Puts together, from weak to strong: the source's defaults, the collection's, the reader's, the sidecar's word."""
    result = found.result
    default = defaults.get(result.identifier or "", {})
    extra = {**found.extra, **({"counts": result.counts} if result.counts else {})}
    own_id = result.identifier if item.format in ("jsonl", "cnxml") else None
    if result.identifier and own_id is None:
        extra["identifier"] = result.identifier
    fallback = _join(source.label, name) + (f"#{found.row}" if found.row is not None else "")
    stated_license = result.license or default.get("license") or source.license
    values: dict[str, Any] = {
        "id": own_id or fallback,
        "title": result.title or "",
        "authors": list(result.authors),
        "year": result.year,
        "categories": list(result.categories) or default.get("categories", []),
        "license": normalize_license(stated_license) if stated_license else UNKNOWN_LICENSE,
        "withheld": found.withheld,
    }
    if override is not None:
        stated = override.stated()
        if found.row is not None:
            stated.pop("id", None)  # one identifier for all rows of a file would make them duplicates
        values |= stated
        extra |= override.extra
    return Document(
        text=result.text,
        source=_location(source, item.path),
        format=item.format,
        extra=json.dumps(extra, ensure_ascii=False, sort_keys=True, default=str),
        **values,
    )
