"""Dumps of wikis (`…-pages-articles.xml.bz2`, dumps.wikimedia.org): one pass, page by page, never unpacked on the disk."""

from __future__ import annotations

import bz2
import contextlib
import fnmatch
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Self
from urllib.parse import quote, urlsplit

from pydantic import BaseModel, ConfigDict, Field, model_validator

from sagecraft import artifact
from sagecraft.corpus.licenses import may_republish, normalize_license
from sagecraft.corpus.readers.mathml import local_name
from sagecraft.corpus.sources.context import Context
from sagecraft.corpus.sources.http import Expected, check_address, is_address
from sagecraft.corpus.sources.items import ItemError, Result, number_of, safe_path

NAME = "dump"
#: Text of a page, in characters; MediaWiki itself stops at 2 MiB.
_MAX_PAGE_CHARACTERS = 8 * 2**20
#: bzip2 packs dumps 4- to 6-fold; a bomb packs a million-fold.
_MAX_RATIO = 100
_RATIO_FLOOR_BYTES = 2**30
_MAX_DUMP_BYTES = 2**40
_PLAIN_NAME = re.compile(r"[^A-Za-z0-9._-]+")


class DumpConfig(BaseModel):
    """Pages of a wiki's dump, as Markdown. A dump is read in one pass: it asks nothing of the wiki's servers but the file."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    path: str = Field(min_length=1, description="`…-pages-articles.xml.bz2`: file, or address it is downloaded from")
    sha1: str | None = Field(
        default=None,
        pattern=r"^[0-9a-fA-F]{40}$",
        description="SHA-1 that the dump's own list states; not checked by default",
    )
    namespaces: list[int] = Field(default=[0], description="namespaces to take; 0 has the articles")
    categories: list[str] = Field(
        default=[],
        description="keep pages that name a category matching one of these patterns (`Physics`, `*of physics*`); all by default",
    )
    license: str = Field(default="CC-BY-SA-4.0", description="licence of the wiki's text; a dump does not state it")
    shard_pages: int = Field(
        default=5000, ge=1, description="pages in a file; a killed run goes on behind the last whole file"
    )
    min_interval_seconds: float = Field(default=1.0, ge=0.0, description="between two requests", exclude=True)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if is_address(self.path):
            check_address(self.path)
        return self


class Dump:
    """One dump; `local` is its file, if it is one."""

    def __init__(self, config: DumpConfig, context: Context, number: int, local: Path | None) -> None:
        """Prepares; nothing is sent yet. `number` tells several dumps of one harvest apart."""
        self.name = f"{NAME}{number}"
        self._config, self._context, self._local = config, context, local
        self._license = normalize_license(config.license)

    def list_items(self) -> None:
        """The dump is one item."""
        self._context.state.put_items(self.name, [(self.name, {"path": self._config.path})])

    def fetch(self, key: str, spec: dict[str, Any]) -> Iterator[Result]:
        """Writes the pages in files of `shard_pages`, each a result that is never made twice."""
        self._context.rules.check(self._license)
        file = self._local or self._download()
        finished = [result for result in self._context.state.results_of(key) if result.outcome == "kept"]
        # Pages read so far, counted from the beginning: a packed file has no better place to go on from.
        seen = max((int(result.metadata["_pages_read"]) for result in finished), default=0)
        number, rows, read, site = len(finished), [], 0, _Site()
        for read, page in enumerate(_pages(file, site), start=1):
            row = self._row(site, page) if read > seen else None
            if row is None:
                continue
            rows.append(row)
            if len(rows) == self._config.shard_pages:
                yield self._shard(key, site, number, rows, read)
                number, rows = number + 1, []
        if rows:
            yield self._shard(key, site, number, rows, read)
        if not read:
            raise ItemError("no-pages", f"{spec['path']}: no <page> in it; give a pages-articles dump")

    def _download(self) -> Path:
        target = self._context.scratch / f"{self.name}.xml.bz2"
        if not target.is_file():
            client = self._context.client([self._config.path], self._config.min_interval_seconds)
            digest = ("sha1", self._config.sha1) if self._config.sha1 else None
            client.download(self._config.path, target, self._context.scratch, Expected(_MAX_DUMP_BYTES, digest=digest))
        return target

    def _row(self, site: _Site, page: _Page) -> dict[str, Any] | None:
        """One line of a file; None for a page that is not wanted."""
        from sagecraft.corpus.readers.wikitext import categories_of, read_wikitext

        if page.namespace not in self._config.namespaces or page.is_redirect:
            return None
        if not self._is_wanted(categories_of(page.text, site.category_names)):
            return None
        wiki = read_wikitext(page.text, site.category_names, site.file_names)
        if not wiki.text:
            return None
        slug = page.title.replace(" ", "_")
        return {
            "id": f"{site.host}/{slug}",
            "title": page.title,
            "text": wiki.text,
            "categories": wiki.categories,
            "license": self._license,
            "version": page.revision,
            "url": f"{site.address}{quote(slug, safe='/:()')}",
            "templates_cut": wiki.num_templates_cut,
        }

    def _is_wanted(self, categories: list[str]) -> bool:
        patterns = self._config.categories
        return not patterns or any(fnmatch.fnmatchcase(name, pattern) for name in categories for pattern in patterns)

    def _shard(self, key: str, site: _Site, number: int, rows: list[dict[str, Any]], read: int) -> Result:
        folder = _PLAIN_NAME.sub("_", site.host).strip("._-") or "wiki"
        name = f"{folder}-{self.name}/pages-{number:05d}.jsonl"
        lines = "".join(json.dumps(row, ensure_ascii=False, sort_keys=True) + "\n" for row in rows)
        artifact.write_text(safe_path(self._context.files, name), lines)
        metadata = {
            "license": self._license,
            "republish": may_republish(self._license),
            "provenance": {"protocol": "dump", "url": self._config.path},
            "_pages_read": read,
        }
        return Result(f"{key}:{number:05d}", "kept", path=name, metadata=metadata)


@dataclass
class _Site:
    """What a dump says of its wiki, before the first page.

    Attributes:
        host: its name, which begins the identifiers of the pages.
        address: to which a page's title is added.
        category_names: what its language calls the namespace of categories.
        file_names: what its language calls the namespace of files.
    """

    host: str = "wiki"
    address: str = ""
    category_names: list[str] = field(default_factory=list)
    file_names: list[str] = field(default_factory=list)

    def learn(self, tag: str, node: Any) -> None:
        """Takes over one element of `<siteinfo>`."""
        if tag == "base":
            with contextlib.suppress(ValueError):  # no address: then its pages have none either
                self.host = urlsplit(_text(node)).hostname or self.host
                self.address = _text(node).rpartition("/")[0] + "/"
        elif tag == "namespace" and node.get("key") == "14":
            self.category_names.append(_text(node))
        elif tag == "namespace" and node.get("key") == "6":
            self.file_names.append(_text(node))


class _Page:
    """What a `<page>` of a dump says."""

    def __init__(self, node: Any) -> None:
        fields = {local_name(child): child for child in node}
        revision = {local_name(child): child for child in fields["revision"]} if "revision" in fields else {}
        self.title = _text(fields.get("title"))
        namespace, number = _text(fields.get("ns")), _text(revision.get("id"))
        self.namespace = number_of(namespace or "0")  # old dumps name none; negative ones hold no text
        self.revision = number_of(number)
        self.is_redirect = "redirect" in fields
        self.text = _text(revision.get("text"))[:_MAX_PAGE_CHARACTERS]


def _text(node: Any) -> str:
    return (node.text or "") if node is not None else ""


class _Bounded:
    """A packed file that refuses to unpack to more than a dump can."""

    def __init__(self, path: Path, file: IO[bytes]) -> None:
        self._file = file
        self._left = max(_RATIO_FLOOR_BYTES, _MAX_RATIO * path.stat().st_size)

    def read(self, size: int = -1) -> bytes:
        block = self._file.read(size)
        self._left -= len(block)
        if self._left < 0:
            raise ItemError("bomb", f"unpacks to more than {_MAX_RATIO} times its size", outcome="skipped")
        return block


def _pages(path: Path, site: _Site) -> Iterator[_Page]:
    """Streams the pages of a dump; `site` is filled on the way.

    Raises:
        ItemError: not packed as it says, not XML, or it declares entities.
    """
    from lxml import etree

    opener = bz2.open if path.suffix == ".bz2" else open
    try:
        with opener(path, "rb") as file:
            events = etree.iterparse(
                _Bounded(path, file), events=("start", "end"), resolve_entities=False, load_dtd=False, no_network=True,
                huge_tree=False, remove_comments=True, remove_pis=True,
            )  # fmt: skip
            for event, node in events:
                tag = local_name(node)
                if event == "start":
                    if tag == "mediawiki" and node.getroottree().docinfo.internalDTD is not None:
                        raise ItemError("xml-entities", "a dump declares none", outcome="skipped")
                elif tag in ("base", "namespace"):
                    site.learn(tag, node)
                elif tag == "page":
                    yield _Page(node)
                    node.clear()
                    while node.getprevious() is not None:
                        del node.getparent()[0]
    except (etree.XMLSyntaxError, OSError, EOFError) as error:
        raise ItemError("bad-dump", f"{path.name}: {' '.join(str(error).split())[:200]}") from error
