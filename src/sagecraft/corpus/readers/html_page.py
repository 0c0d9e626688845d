"""Which part of an HTML page is the document, and what in that part does not belong to it.

Three dialects are known by their marks (LaTeXML, MediaWiki, anything else). In a page of any other make, the document
is the smallest element that holds nine tenths of the page's prose: running text outside links and outside what calls
itself a menu, a footer or a banner.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from sagecraft.corpus.readers.files import decode, read_bytes
from sagecraft.corpus.readers.mathml import local_name
from sagecraft.corpus.readers.result import ReaderError

#: Elements that never belong to the text. `math/tex` scripts are looked at before this.
_DROPPED_TAGS = frozenset((
    "script", "style", "nav", "footer", "aside", "noscript", "button", "input", "select", "textarea", "svg", "canvas",
    "iframe", "object", "embed", "template", "head", "link", "meta", "audio", "video", "map", "dialog", "menu", "datalist",
))  # fmt: skip
_DROPPED_ROLES = frozenset((
    "navigation", "banner", "contentinfo", "search", "complementary", "doc-endnotes", "doc-bibliography", "doc-toc",
    "doc-backlink", "alert", "alertdialog", "dialog", "menu", "menubar", "toolbar", "status",
))  # fmt: skip
#: An `<aside>` of these classes is a note of the text, not a box beside it.
_KEPT_ASIDES = frozenset(("admonition", "note", "tip", "warning", "example", "definition", "theorem"))
_LATEXML_CLASSES = frozenset((
    "ltx_page_navbar", "ltx_page_footer", "ltx_page_header", "ltx_page_logo", "ltx_bibliography", "ltx_TOC",
    "ltx_authors", "ltx_dates", "ltx_note_mark", "ltx_tag_note", "ltx_note_type", "ltx_acknowledgements", "ltx_ERROR",
    "ltx_role_thanks", "ltx_pagination", "ltx_page_column", "package-alerts", "ltx_role_footnotemark", "ltx_rdf",
    "ltx_index", "ltx_glossary", "ltx_role_newpage", "ltx_classification", "ltx_engrafo_author_container",
))  # fmt: skip
_WIKI_CLASSES = frozenset((
    "infobox", "navbox", "navbox-styles", "vertical-navbox", "mw-editsection", "mw-jump-link", "mw-references-wrap",
    "reflist", "refbegin", "references", "reference", "toc", "toccolours", "noprint", "hatnote", "rellink", "dablink",
    "metadata", "catlinks", "printfooter", "mw-cite-backlink", "sistersitebox", "side-box", "ambox", "tmbox", "mbox-small",
    "shortdescription", "mw-empty-elt", "mw-indicators", "authority-control", "portalbox", "portal", "portal-bar",
    "Inline-Template", "noexcerpt", "sidebar", "stub", "asbox", "geo-nondefault", "mw-kartographer-maplink",
    "nomobile", "mw-hidden-catlinks", "spoken-wikipedia", "error", "ext-phonos", "sr-only", "biota",
))  # fmt: skip
_WIKI_IDS = frozenset(
    ("toc", "coordinates", "siteSub", "contentSub", "jump-to-nav", "mw-navigation", "footer", "catlinks")
)
#: Words of class names by which pages of any make call what stands around the text.
_FURNITURE = frozenset((
    "nav", "navbar", "navigation", "menu", "breadcrumb", "breadcrumbs", "sidebar", "footer", "cookie", "cookies", "consent",
    "gdpr", "newsletter", "subscribe", "subscription", "social", "share", "sharing", "sharedaddy", "related", "recommended",
    "comments", "comment", "disqus", "advert", "advertisement", "adsbygoogle", "promo", "sponsored", "popup", "modal",
    "pagination", "pager", "skip", "masthead", "widget", "toolbar", "login", "signup", "toc", "tableofcontents",
    "headerlink", "anchorjs", "byline", "postmeta", "metadata", "tags", "taglist", "references", "bibliography", "footnotes",
    "reflist", "screenreader", "visuallyhidden", "copyright", "legal", "hidden",
))  # fmt: skip
_FURNITURE_IDS = frozenset((
    "header", "footer", "nav", "navbar", "navigation", "menu", "sidebar", "comments", "disqus_thread", "toc", "cookie-banner",
    "cookie-notice", "cookieconsent", "table-of-contents", "breadcrumbs", "share", "newsletter", "masthead", "search", "refs",
))  # fmt: skip
#: Classes that say something of the page and not of the element (`has-sidebar`, `no-footer`).
_ABOUT = re.compile(r"^(?:has|no|with|without|is|js|show|hide|use|is-not|not)[-_]", re.IGNORECASE)
_WORDS = re.compile(r"[a-z]+")
#: What calls itself furniture and holds more of the prose than this is the document after all.
_MAX_FURNITURE_SHARE = 0.4
#: Share of the prose that the document must hold; an abstract beside the body is well above the rest.
_MAIN_SHARE = 0.9
#: Shorter runs of text are labels and buttons.
_MIN_RUN_CHARS = 25
_CHARSET = re.compile(rb"charset\s*=\s*[\"']?\s*([A-Za-z0-9_.:\-]{1,40})", re.IGNORECASE)
_XML_DECLARATION = re.compile(r"\A\s*<\?xml[^>]*\?>")
_HEAD_BYTES = 4096
#: The parser's time grows with the square of a tag's attributes: 32,000 take 3 s. Shorter pages cannot hold that many.
_MAX_ATTRIBUTES = 5000
_MANY_CHARS = 50_000
#: A tree of small elements takes 40 bytes a character: more would take a worker's memory. Pictures inside do not count.
_MAX_CHARS = 16 * 2**20
_DATA_URI = re.compile("data:[a-z]+/[a-z0-9.+-]+;base64,[A-Za-z0-9+/=\\s]+")
_TAG = re.compile("<[A-Za-z]")
_TAG_STOP = re.compile("[<>\"']")
_CONTAINERS = frozenset((
    "body", "div", "section", "article", "main", "form", "center", "table", "tbody", "tr", "td", "span", "font", "header",
))  # fmt: skip
_ARTICLES = ("//main//article", "//article", "//main", "//*[@role='main']", "//*[@itemprop='articleBody']")


def classes_of(element: Any) -> list[str]:
    """Class names of an element."""
    return (element.get("class") or "").split()


def parse_html(path: Path) -> Any:
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
    if len(text) > _MAX_CHARS:
        text = _DATA_URI.sub("data:", text)
    if len(text) > _MAX_CHARS:
        raise ReaderError("too-large", f"more than {_MAX_CHARS // 2**20} Mi characters of markup")
    if len(text) >= _MANY_CHARS and _most_attributes(text) > _MAX_ATTRIBUTES:
        raise ReaderError("too-many-attributes", f"a tag has more than {_MAX_ATTRIBUTES} attributes")
    parser = lxml.html.HTMLParser(
        encoding="utf-8", no_network=True, huge_tree=False, remove_comments=True, remove_pis=True
    )
    try:
        root = lxml.html.document_fromstring(text.encode("utf-8", errors="replace"), parser=parser)
        limits = [entry.message for entry in parser.error_log if entry.type_name == "ERR_RESOURCE_LIMIT"]
    except (etree.LxmlError, ValueError, AssertionError) as error:
        raise ReaderError("bad-html", " ".join(str(error).split())[:200]) from error
    if any(
        "depth" not in message for message in limits
    ):  # the parser stops there, and the rest would be missing without a word
        raise ReaderError("too-large", "a run of text of more than 10 MB")
    return root


def _most_attributes(text: str) -> int:
    """Words outside quotation marks in the tag that has the most of them."""
    most = 0
    unclosed: set[str] = set()
    for opening in _TAG.finditer(text):
        position, words = opening.end(), 0
        while stop := _TAG_STOP.search(text, position):
            mark = stop.group()
            words += len(text[position : stop.start()].split())
            position = stop.end()
            if mark in "<>":
                break
            closing = text.find(mark, position) if mark not in unclosed else -1
            if closing < 0:
                unclosed.add(mark)  # nor is it found from further on
            else:
                position = closing + 1
        most = max(most, words)
    return most


class Page:
    """A page: its dialect, its main part, and what is dropped of it.

    Attributes:
        root: `<html>`.
        dialect: `latexml`, `mediawiki` or `plain`.
        main: the element that holds the document.
    """

    def __init__(self, root: Any) -> None:
        self.root = root
        self.dialect, self.main = "plain", root
        self._prose: dict[Any, int] = {}
        self._around_math = _around_math(root)
        self._total = 0
        marks = (
            ("latexml", "//article[contains(concat(' ', @class, ' '), ' ltx_document ')]"),
            ("mediawiki", "//*[contains(concat(' ', @class, ' '), ' mw-parser-output ')]"),
            ("mediawiki", "//body[contains(concat(' ', @class, ' '), ' mw-body-content ')]"),
            ("latexml", "//*[contains(concat(' ', @class, ' '), ' ltx_page_content ')]"),
        )
        for dialect, path in marks:
            if found := root.xpath(path):
                self.dialect, self.main = dialect, max(found, key=_size)
                return
        elements = [element for element in root.iter() if local_name(element)]
        self._prose = _weigh(elements, lambda node: _is_out(node, self._around_math))
        limit = _MAX_FURNITURE_SHARE * self._prose[root]
        first = self._prose
        self._prose = _weigh(
            elements, lambda node: _is_out(node, self._around_math) or (first[node] <= limit and _is_furniture(node))
        )
        self._total = self._prose[root]
        self.main = self._main()

    def _main(self) -> Any:
        for path in _ARTICLES:
            found = set(self.root.xpath(path))
            # A page of several articles (a list of teasers, a series) is taken as a whole.
            outer = [node for node in found if not any(other in found for other in node.iterancestors())]
            if len(outer) == 1 and 2 * self._prose.get(outer[0], 0) >= self._total:
                return outer[0]
        bodies = self.root.xpath("//body")
        element = bodies[0] if bodies else self.root
        while True:
            heaviest = max(element, key=lambda child: self._prose.get(child, 0), default=None)
            if heaviest is None or local_name(heaviest) not in _CONTAINERS:
                return element
            if not self._total or self._prose.get(heaviest, 0) < _MAIN_SHARE * self._total:
                return element
            element = heaviest

    def is_dropped(self, element: Any) -> bool:
        """True for navigation, page furniture and the second copies of formulas."""
        if _is_out(element, self._around_math):
            return True
        classes = classes_of(element)
        if self.dialect == "latexml":
            return not _LATEXML_CLASSES.isdisjoint(classes) or local_name(element) == "header"
        if self.dialect == "mediawiki":
            return not _WIKI_CLASSES.isdisjoint(classes) or element.get("id") in _WIKI_IDS
        if self._prose.get(element, 0) > _MAX_FURNITURE_SHARE * self._total:
            return False
        return _is_furniture(element) or _is_link_list(element)


def _weigh(elements: Sequence[Any], is_none: Callable[[Any], bool]) -> dict[Any, int]:
    """Characters of prose below every element, children before parents: one pass, whatever the nesting."""
    prose: dict[Any, int] = {}
    for element in reversed(elements):
        own = prose.get(element, 0)
        if local_name(element) not in ("a", "button", "label", "option", "title"):
            own += _run(element.text) + sum(_run(child.tail) for child in element)
        prose[element] = own = 0 if is_none(element) else own
        parent = element.getparent()
        if own and parent is not None:
            prose[parent] = prose.get(parent, 0) + own
    return prose


def _size(element: Any) -> int:
    return sum(len(text) for text in element.itertext())


def _run(text: str | None) -> int:
    length = len(text.strip()) if text else 0
    return length if length >= _MIN_RUN_CHARS else 0


def _around_math(root: Any) -> set[Any]:
    """The elements with a formula in them: the source of one is often in an element that is not shown."""
    found: set[Any] = set()
    for math in root.iter("math"):
        node = math
        while node is not None and node not in found:
            found.add(node)
            node = node.getparent()
    return found


def _is_out(element: Any, around_math: set[Any]) -> bool:
    """True for what no dialect counts as text."""
    name = local_name(element)
    if name in _DROPPED_TAGS:
        return not (name == "aside" and not _KEPT_ASIDES.isdisjoint(classes_of(element)))
    if element.get("role") in _DROPPED_ROLES:
        return True
    if element.get("hidden") is not None or "display:none" in (element.get("style") or "").replace(" ", "").lower():
        return element not in around_math
    return False


def _is_furniture(element: Any) -> bool:
    if local_name(element) in ("body", "html", "pre", "code"):
        return False
    if (element.get("id") or "").lower() in _FURNITURE_IDS:
        return True
    names = (name for name in classes_of(element) if not _ABOUT.match(name))
    return any(not _FURNITURE.isdisjoint(_WORDS.findall(name.lower())) for name in names)


def _is_link_list(element: Any) -> bool:
    """True for a list of three links and more with nothing to read beside them: a menu, whatever it calls itself."""
    if local_name(element) not in ("ul", "ol"):
        return False
    items = [child for child in element if local_name(child) == "li"]
    return len(items) >= 3 and all(_is_link(item) for item in items[:50])


def _is_link(item: Any) -> bool:
    inner = [child for child in item if local_name(child)]
    if not inner or (item.text or "").strip() or any((child.tail or "").strip(" \t\r\n·|,") for child in inner):
        return False
    links = list(item.iter("a"))
    return bool(links) and sum(_size(link) for link in links) >= 0.8 * _size(item) and _size(item) < 80
