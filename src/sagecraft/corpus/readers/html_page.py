"""What an HTML page says of itself, and which part of it is the document."""

from __future__ import annotations

import re
from typing import Any

from sagecraft.corpus.readers.blocks import collapse
from sagecraft.corpus.readers.files import decode, read_bytes
from sagecraft.corpus.readers.markdown import year_of
from sagecraft.corpus.readers.mathml import local_name
from sagecraft.corpus.readers.result import ReaderError

#: Elements that never belong to the text. `math/tex` scripts and `<header>`s inside articles are looked at first.
DROPPED_TAGS = frozenset((
    "script", "style", "nav", "header", "footer", "aside", "noscript", "form", "button", "input", "select",
    "textarea", "svg", "canvas", "iframe", "object", "embed", "template", "head", "link", "meta", "audio", "video",
    "map", "dialog",
))  # fmt: skip
DROPPED_ROLES = frozenset(("navigation", "banner", "contentinfo", "search", "complementary", "doc-endnotes"))
#: Classes of what is around the text: MediaWiki, LaTeXML (ar5iv), KaTeX and MathJax twins of formulas.
DROPPED_CLASSES = frozenset((
    "navbox", "vertical-navbox", "mw-editsection", "mw-jump-link", "mw-references-wrap", "reflist", "references",
    "reference", "toc", "noprint", "hatnote", "metadata", "catlinks", "printfooter", "mw-cite-backlink",
    "sistersitebox", "ambox", "ltx_page_navbar", "ltx_page_footer", "ltx_page_header", "ltx_bibliography",
    "ltx_TOC", "ltx_dates", "ltx_note_mark", "ltx_tag_note", "katex-html", "MathJax", "MathJax_Preview",
    "mwe-math-fallback-image-inline", "mwe-math-fallback-image-display", "breadcrumb", "breadcrumbs", "cookie",
    "sidebar", "advertisement", "share-buttons",
))  # fmt: skip
_CHARSET = re.compile(rb"charset\s*=\s*[\"']?\s*([A-Za-z0-9_.:\-]{1,40})", re.IGNORECASE)
_XML_DECLARATION = re.compile(r"\A\s*<\?xml[^>]*\?>")
_HEAD_BYTES = 4096
_MAIN = (
    "//*[contains(concat(' ', @class, ' '), ' mw-parser-output ')]",
    "//article[contains(concat(' ', @class, ' '), ' ltx_document ')]",
    "//main//article",
    "//article",
    "//main",
    "//*[@role='main']",
    "//*[@id='mw-content-text' or @id='content' or @id='main']",
    "//body",
)
_TITLES = ("citation_title", "dc.title", "dcterms.title", "og:title")
_AUTHORS = ("citation_author", "dc.creator", "dcterms.creator", "author")
_DATES = ("citation_publication_date", "citation_date", "citation_year", "dc.date", "dcterms.date", "dcterms.issued",
          "article:published_time", "date")  # fmt: skip
_LICENSES = ("dcterms.license", "dc.rights", "dcterms.rights", "license", "citation_license")
_IDENTIFIERS = ("citation_arxiv_id", "citation_doi", "dc.identifier", "dcterms.identifier")
_SUBJECTS = ("citation_keywords", "dc.subject", "dcterms.subject", "keywords")


def parse_html(path: Any) -> Any:
    """The root of a page; nothing is fetched, no entity of the document's own is expanded.

    Raises:
        ReaderError: empty, binary, or not HTML at all.
    """
    import lxml.html
    from lxml import etree

    data = read_bytes(path)
    declared = _CHARSET.search(data[:_HEAD_BYTES])
    text = decode(data, declared.group(1).decode("ascii") if declared else None)
    text = _XML_DECLARATION.sub("", text)
    parser = lxml.html.HTMLParser(
        encoding="utf-8", no_network=True, huge_tree=False, remove_comments=True, remove_pis=True
    )
    try:
        root = lxml.html.document_fromstring(text.encode("utf-8", errors="replace"), parser=parser)
    except (etree.LxmlError, ValueError, AssertionError) as error:
        raise ReaderError("bad-html", " ".join(str(error).split())[:200]) from error
    return root


def main_part(root: Any) -> Any:
    """The element that holds the document: an article in the main part, else the largest thing that is named so."""
    for path in _MAIN:
        found = root.xpath(path)
        if found:
            # A page of several articles (a list of teasers, a series) is taken as a whole.
            outer = [node for node in found if not any(other in found for other in node.iterancestors())]
            if len(outer) == 1 or path in (_MAIN[0], "//body"):
                return outer[0]
    return root


def is_dropped(element: Any) -> bool:
    """True for navigation, page furniture and the second copies of formulas."""
    if local_name(element) in DROPPED_TAGS or element.get("role") in DROPPED_ROLES:
        return True
    if element.get("hidden") is not None or "display:none" in (element.get("style") or "").replace(" ", ""):
        return not any(local_name(node) == "math" for node in element.iter())
    return bool(DROPPED_CLASSES.intersection((element.get("class") or "").split()))


class Metadata:
    """`<meta>`, `<link>` and `<title>` of a page."""

    def __init__(self, root: Any) -> None:
        self._values: dict[str, list[str]] = {}
        for meta in root.iter("meta"):
            name = (meta.get("name") or meta.get("property") or "").strip().lower()
            if name and (content := collapse(meta.get("content") or "")):
                self._values.setdefault(name, []).append(content)
        self._root = root

    def _first(self, names: tuple[str, ...]) -> str | None:
        return next((self._values[name][0] for name in names if name in self._values), None)

    @property
    def title(self) -> str | None:
        """From the metadata, else the first `<h1>`, else `<title>`."""
        if stated := self._first(_TITLES):
            return stated
        heading = next((h1 for h1 in self._root.iter("h1") if collapse(h1.text_content())), None)
        if heading is not None and not any(True for _ in heading.iter("math")):
            return collapse(heading.text_content())
        return collapse(self._root.findtext(".//title") or "") or None

    @property
    def authors(self) -> list[str]:
        """Names, "Last, First" turned round."""
        name = next((name for name in _AUTHORS if name in self._values), None)
        names = self._values[name] if name else []
        return [" ".join(reversed(author.split(", ", 1))) if author.count(",") == 1 else author for author in names]

    @property
    def year(self) -> int | None:
        """Year of publication."""
        return year_of(self._first(_DATES))

    @property
    def categories(self) -> list[str]:
        """Keywords."""
        name = next((name for name in _SUBJECTS if name in self._values), None)
        values = self._values[name] if name else []
        return [part.strip() for value in values for part in re.split(r"[;,]", value) if part.strip()]

    @property
    def license(self) -> str | None:
        """From the metadata or a link of relation `license`."""
        if stated := self._first(_LICENSES):
            return stated
        links = self._root.xpath("//*[contains(concat(' ', @rel, ' '), ' license ')]/@href")
        return str(links[0]) if links else None

    @property
    def identifier(self) -> str | None:
        """DOI, arXiv identifier or the like."""
        return self._first(_IDENTIFIERS)
