"""What an HTML page says of itself: `<meta>` (Highwire, Dublin Core, Open Graph), JSON-LD of schema.org, `rel=license`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from sagecraft.corpus.readers.blocks import collapse
from sagecraft.corpus.readers.html_page import Page, classes_of
from sagecraft.corpus.readers.mathml import local_name
from sagecraft.corpus.readers.rows import arxiv_year, list_of, names_of, year_of

_TITLES = ("citation_title", "dc.title", "dcterms.title", "og:title", "twitter:title")
_AUTHORS = ("citation_author", "citation_authors", "dc.creator", "dcterms.creator", "author", "article:author",
            "parsely-author", "byl")  # fmt: skip
_DATES = ("citation_publication_date", "citation_date", "citation_online_date", "citation_year", "dc.date",
          "dcterms.date", "dcterms.issued", "article:published_time", "date", "pubdate", "parsely-pub-date")  # fmt: skip
_LICENSES = ("dcterms.license", "dc.rights", "dcterms.rights", "dc.rights.license", "license", "citation_license")
_IDENTIFIERS = (
    "citation_arxiv_id",
    "citation_doi",
    "dc.identifier",
    "dcterms.identifier",
    "prism.doi",
    "bepress_citation_doi",
)
_SUBJECTS = ("citation_keywords", "dc.subject", "dcterms.subject", "keywords", "news_keywords", "article:tag")
_ARTICLE_TYPES = re.compile(r"Article|Posting|Report|CreativeWork|LearningResource|Chapter|Thesis|WebPage|Book")
#: JSON-LD larger than this is a data set.
_MAX_JSON_CHARS = 200_000
_MAX_JSON_NODES = 200
_ARXIV_ID = re.compile(r"(?:arXiv:|\[)((?:\d{4}\.\d{4,5}|[a-z\-]+(?:\.[A-Z]{2})?/\d{7})(?:v\d+)?)", re.IGNORECASE)
_WATERMARK = re.compile(r"\[([a-z\-]+(?:\.[A-Za-z\-]+)?)\]")
_NOT_A_NAME = re.compile(
    r"\d|@|https?:|\b(?:university|institute|department|observatory|editors?|staff|admin)\b", re.IGNORECASE
)


class Metadata:
    """The record of one page."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self._root = page.root
        self._values: dict[str, list[str]] = {}
        for meta in self._root.iter("meta"):
            name = (meta.get("name") or meta.get("property") or "").strip().lower()
            if name and (content := collapse(meta.get("content") or "")):
                self._values.setdefault(name, []).append(content)
        self._schema = next(_schema_articles(self._root), {})

    def _first(self, names: tuple[str, ...]) -> str | None:
        return next((self._values[name][0] for name in names if name in self._values), None)

    def _stated(self, *keys: str) -> str | None:
        """A string of the JSON-LD, or the name of an object."""
        for key in keys:
            value = self._schema.get(key)
            value = value[0] if isinstance(value, list) and value else value
            value = (value.get("name") or value.get("@id") or value.get("url")) if isinstance(value, dict) else value
            if isinstance(value, str) and collapse(value):
                return collapse(value)
        return None

    @property
    def title(self) -> str | None:
        """From the metadata, the first `<h1>` of the main part or of the page, else `<title>` without the site's name."""
        is_wiki = self._page.dialect == "mediawiki"  # its `headline` is a description
        if stated := self._first(_TITLES[:3]) or (None if is_wiki else self._stated("headline")):
            return stated
        for part in (self._page.main, self._root):
            heading = next((h1 for h1 in part.iter("h1") if collapse(h1.text_content())), None)
            if heading is not None and not any(True for _ in heading.iter("math")):
                return _without_marks(heading)
        stated = self._first(_TITLES[3:]) or self._stated("name")
        title = stated or collapse(self._root.findtext(".//title") or "")
        return _without_site(title, self._first(("og:site_name", "application-name"))) or None

    @property
    def authors(self) -> list[str]:
        """Names, "Last, First" turned round."""
        if self._page.dialect == "mediawiki":
            return []  # "Contributors to …" names nobody
        name = next((name for name in _AUTHORS if name in self._values), None)
        names = [part for value in self._values.get(name or "", []) for part in re.split(r";|\n", value)]
        names = names or names_of(self._schema.get("author") or self._schema.get("creator"))
        names = names or [collapse(node.text_content()) for node in self._root.xpath("//a[@rel='author']")][:20]
        turned = [" ".join(reversed(author.split(", ", 1))) if author.count(",") == 1 else author for author in names]
        return [
            " ".join(author.split())
            for author in dict.fromkeys(turned)
            if author.strip() and not author.startswith("http")
        ]

    @property
    def year(self) -> int | None:
        """Year of publication: stated, by the first `<time>` of the text, or by an arXiv identifier."""
        stated = self._first(_DATES) or self._stated("datePublished", "dateCreated")
        times = (node.get("datetime") for node in self._page.main.iter("time") if node.get("datetime"))
        return year_of(stated) or arxiv_year(self.identifier) or year_of(next(times, None))

    @property
    def categories(self) -> list[str]:
        """Keywords, or the categories of a wiki page or of an arXiv watermark."""
        name = next((name for name in _SUBJECTS if name in self._values), None)
        values = self._values[name] if name else []
        found = [part.strip() for value in values for part in re.split(r"[;,]", value) if part.strip()]
        found = found or list_of(self._schema.get("keywords"))
        links = self._root.xpath("//*[@id='mw-normal-catlinks']//li")
        found = found or [collapse(link.text_content()) for link in links]
        subject = _WATERMARK.search(self._watermark())
        return found or ([subject.group(1)] if subject else [])

    @property
    def license(self) -> str | None:
        """From the metadata, a link of relation `license`, JSON-LD, or the bar above a paper."""
        if stated := self._first(_LICENSES):
            return stated
        for link in self._root.xpath("//*[contains(concat(' ', @rel, ' '), ' license ')]/@href"):
            if link.strip() and not link.startswith(("#", "javascript")):
                return str(link).strip()
        if stated := self._stated("license"):
            return stated
        bar = self._root.xpath("//*[@id='license-tr']")
        return collapse(bar[0].text_content()).removeprefix("License:").strip() or None if bar else None

    @property
    def identifier(self) -> str | None:
        """DOI, arXiv identifier or the like."""
        if stated := self._first(_IDENTIFIERS):
            return re.sub(r"^(?:doi:\s*|https?://(?:dx\.)?doi\.org/)", "", stated)
        if self._page.dialect == "latexml":
            canonical = next(iter(self._root.xpath("//link[@rel='canonical']/@href")), "")
            title = self._root.findtext(".//title") or ""
            found = _ARXIV_ID.search(self._watermark()) or _ARXIV_ID.search(title)
            found = found or re.search(r"/(?:html|abs)/(\d{4}\.\d{4,5})", canonical)
            return found.group(1) if found else None
        return None

    def _watermark(self) -> str:
        marks = self._root.xpath("//*[@id='watermark-tr']")
        return collapse(marks[0].text_content()) if marks else ""


def latexml_authors(main: Any) -> list[str]:
    """Names of `ltx_personname`s, without their notes and marks; several may stand in one, with commas between them."""
    names: list[str] = []
    for person in main.iter():
        if local_name(person) and "ltx_personname" in classes_of(person):
            for part in re.split(r"[,;\n]|\band\b|&", _person(person)):
                name = " ".join(part.split()).strip(" .*†‡§¶")
                if 1 < len(name.split()) <= 6 and not _NOT_A_NAME.search(name):
                    names.append(name)
    return list(dict.fromkeys(names))


def _person(element: Any) -> str:
    pieces = [element.text or ""]
    for child in element:
        name, classes = local_name(child), " ".join(classes_of(child))
        if name == "br":
            pieces.append("\n")
        elif name not in ("sup", "math") and "ltx_note" not in classes and "ltx_contact" not in classes:
            pieces.append(_person(child))
        else:
            pieces.append(" , " if name in ("sup", "math") else "")
        pieces.append(child.tail or "")
    return "".join(pieces)


def _schema_articles(root: Any) -> Iterator[dict[str, Any]]:
    """The objects of JSON-LD scripts that describe an article."""
    for script in root.xpath("//script[@type='application/ld+json']"):
        text = script.text or ""
        if len(text) > _MAX_JSON_CHARS:
            continue
        try:
            pending = [json.loads(text)]
        except (ValueError, RecursionError):
            continue
        for _ in range(_MAX_JSON_NODES):
            if not pending:
                break
            node = pending.pop(0)
            if isinstance(node, list):
                pending += node
            elif isinstance(node, dict):
                pending += node.get("@graph", []) if isinstance(node.get("@graph"), list) else []
                if _ARTICLE_TYPES.search(str(node.get("@type", ""))[:200]):
                    yield node


def _without_marks(heading: Any) -> str:
    """A heading's text without buttons and the sign that links to it."""
    words = heading.xpath(".//text()[not(ancestor::button or ancestor::style or ancestor::script)]")
    return collapse("".join(words)).rstrip("¶§#").strip()


def _without_site(title: str, site: str | None) -> str:
    if site and len(title) > len(site):
        title = re.sub(rf"\s*[|–—·:\-]\s*{re.escape(site)}$", "", title)
    # "Title - Site", "Title | Site": what wiki and blog software writes.
    return re.sub(r"\s+[|–—-]\s+(?:[A-Z]\w+pedia|Wikibooks|Wikiversity|Wikisource)$", "", title).strip()
