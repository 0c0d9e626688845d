r"""HTML pages: the article without the page around it, its mathematics as LaTeX.

`html_page` finds the document in the page, `html_math` the formulas, `html_meta` what the page says of itself and
`html_latexml` knows the papers that LaTeXML made; here the tree is walked and Markdown written.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sagecraft.corpus.readers import html_latexml
from sagecraft.corpus.readers.blocks import (
    BREAK,
    TEX_DISPLAY,
    TEX_INLINE,
    Blocks,
    aside,
    code_block,
    escape_text,
    inline_math,
    list_block,
    marked,
    quote_block,
    raise_or_lower,
)
from sagecraft.corpus.readers.html_math import Formula, formula_of
from sagecraft.corpus.readers.html_meta import Metadata, latexml_authors
from sagecraft.corpus.readers.html_notes import Notes
from sagecraft.corpus.readers.html_page import Page, classes_of, parse_html
from sagecraft.corpus.readers.mathml import is_display, local_name
from sagecraft.corpus.readers.result import ReaderError, ReadResult
from sagecraft.corpus.readers.tables import Cell, span_of, spanned_table

#: Pages nested deeper than this are made by accident or malice; deeper text is kept without its structure.
_MAX_DEPTH = 100
_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_BLOCK_TAGS = frozenset((
    "p", "div", "section", "article", "main", "body", "figure", "figcaption", "details", "summary", "address", "form",
    "center", "hgroup", "fieldset", "tbody", "dd", "dt", "html", "caption", "blockquote", "ul", "ol", "dl", "table",
    "pre", "hr", "header", "aside", "mjx-container",
))  # fmt: skip
_MARKS = {"b": "**", "strong": "**", "i": "*", "em": "*", "cite": "*", "dfn": "*", "var": "*"}
_DOLLAR_SCRIPT = re.compile(r"mathjax|katex", re.IGNORECASE)
_TEX_SPAN = re.compile(rf"{TEX_INLINE.pattern}|{TEX_DISPLAY.pattern}", re.DOTALL)
_DOLLAR_MATH = re.compile(rf"\$\$.+?\$\$|\$(?=\S)[^$\n]{{1,500}}?(?<=\S)\$|{_TEX_SPAN.pattern}", re.DOTALL)
#: Sections that hold no text of the document: lists of other works, thanks.
_DROPPED_SECTIONS = re.compile(
    r"(?:[\dIVX]+(?:\.\d+)*\.?\s+)?(?:references?(?: and notes)?|bibliography|works cited|literature cited|acknowledge?ments?|"
    r"external links|see also|further reading|notes and references|related (?:posts|articles)|references cited)",
    re.IGNORECASE,
)
_DROPPED_WIKI_SECTIONS = re.compile(
    rf"{_DROPPED_SECTIONS.pattern}|notes|footnotes|citations|sources|explanatory notes|gallery|einzelnachweise|literatur|weblinks|"
    r"siehe auch|références|voir aussi|liens externes|notes et références|referencias|véase también|enlaces externos|"
    r"bibliografía|note|voci correlate|collegamenti esterni|bibliografia|примечания|литература|ссылки|см\. также",
    re.IGNORECASE,
)


def read_html(path: Path, root: Path) -> ReadResult:  # noqa: ARG001 - the signature of every reader
    """Reads a page.

    Raises:
        ReaderError: the file cannot be read or holds no text.
    """
    page = Page(parse_html(path))
    metadata = Metadata(page)
    walker = _Walker(page)
    if page.dialect == "mediawiki" and metadata.title:
        walker.out.heading(1, escape_text(metadata.title))  # it stands outside of the text
    walker.blocks(page.main, 0, outermost=True)
    sections = _DROPPED_WIKI_SECTIONS if page.dialect == "mediawiki" else _DROPPED_SECTIONS
    num_dropped = walker.out.drop_sections(sections)
    text = walker.out.render()
    if len(walker.out.done) <= len(walker.out.headings):
        raise ReaderError("no-text", f"<{local_name(page.main)}> holds no text")
    title, authors = metadata.title, metadata.authors
    if page.dialect == "latexml":
        title = walker.title or title
        authors = authors or latexml_authors(page.main)
    counts = walker.counts | {"dropped_sections": num_dropped}
    return ReadResult(
        text=text,
        title=title,
        authors=authors,
        year=metadata.year,
        categories=metadata.categories,
        license=metadata.license,
        identifier=metadata.identifier,
        counts={"math": walker.num_math, **{name: count for name, count in sorted(counts.items()) if count}},
    )


def fragment_to_markdown(markup: str) -> str:
    """Markdown of a piece of HTML that stands in another text."""
    import lxml.html
    from lxml import etree

    try:
        root = lxml.html.document_fromstring(f"<html><body><div>{markup}</div></body></html>")
    except (etree.LxmlError, ValueError, AssertionError):
        return ""
    walker = _Walker(Page(root))
    walker.blocks(root, 0, outermost=True)
    return walker.out.render()


class _Walker:
    """Walks one page; `out` holds the Markdown so far.

    Attributes:
        num_math: formulas that were written.
        title: of a LaTeXML paper, with its mathematics.
    """

    def __init__(self, page: Page) -> None:
        scripts = " ".join(f"{node.get('src') or ''} {(node.text or '')[:2000]}" for node in page.root.iter("script"))
        self.out = Blocks(tex_delimiters=True)
        self.num_math = 0
        self.title = ""
        self._counts: dict[str, int] = {}
        self._page = page
        self._dollar_math = bool(_DOLLAR_SCRIPT.search(scripts))
        self._notes = Notes(page.root)
        self._bibliography = html_latexml.Bibliography(page.root)
        self._tag_of = html_latexml.tag_of if page.dialect == "latexml" else local_name
        self._handlers: dict[str, Callable[[Any, int], None]] = {
            "ul": self._list,
            "ol": self._list,
            "dl": self._definitions,
            "table": self._table,
            "pre": self._code,
            "blockquote": self._quote,
            "hr": lambda element, depth: self.out.close(),  # noqa: ARG005
        }

    @property
    def counts(self) -> dict[str, int]:
        """How it fared, for the record of the document."""
        found = self._bibliography
        return self._counts | {"citations": found.num_cited, "citations_resolved": found.num_resolved}

    def _count(self, name: str) -> None:
        self._counts[name] = self._counts.get(name, 0) + 1

    def _text(self, text: str | None) -> str:
        if not text:
            return ""
        if "$" not in text and "\\" not in text:
            return escape_text(text)
        # What stands between delimiters is a formula already: its dollar signs are its own.
        rule = _DOLLAR_MATH if self._dollar_math else _TEX_SPAN
        pieces: list[str] = []
        end = 0
        for found in rule.finditer(text):
            self.num_math += 1
            tex = found.group()
            pieces += [escape_text(text[end : found.start()]), rf"\[{tex[2:-2]}\]" if tex.startswith("$$") else tex]
            end = found.end()
        return "".join([*pieces, escape_text(text[end:])])

    # Blocks

    def blocks(self, element: Any, depth: int, outermost: bool = False) -> None:
        """The content of an element: text, inline and block children in their order."""
        if depth > _MAX_DEPTH:
            self._count("flattened")
            self.out.add(escape_text(" ".join(element.itertext())))
            return
        is_block = local_name(element) in _BLOCK_TAGS
        if not outermost and is_block:
            self.out.close()
        self.out.add(self._text(element.text))
        for child in element:
            self._one(child, depth + 1)
            self.out.add(self._text(child.tail))
        if is_block:
            self.out.close()

    def _one(self, child: Any, depth: int) -> None:
        formula = formula_of(child)
        if formula is not None:
            self._formula(formula)
            return
        name = self._tag_of(child)
        if not name or self._page.is_dropped(child) or self._notes.is_told(child):
            return
        if name in _HEADINGS:
            self._heading(child, _HEADINGS[name], depth)
        elif name in self._handlers:
            self._handlers[name](child, depth)
        elif self._special(child, name, depth):
            return
        elif name in _BLOCK_TAGS or self._holds_blocks(child):
            self.blocks(child, depth)
        else:
            self.out.add(self._inline_of(child, depth))

    def _special(self, element: Any, name: str, depth: int) -> bool:
        """Blocks that are known by their class; True if this was one."""
        classes = classes_of(element)
        if name == "header":
            # The headings of an article stand in its header, beside a date and buttons.
            for heading in self._headings(element):
                self._heading(heading, _HEADINGS[local_name(heading)], depth)
            return True
        if "ltx_note" in classes or (name == "mark" and "ltx_role_footnote" in classes):
            self.out.add(self._note(element, depth))
            return True
        if "ltx_keywords" in classes:
            self.out.block(f"Keywords: {self._nested_line(element, depth)}")
            return True
        return False

    def _headings(self, element: Any) -> list[Any]:
        """Headings of a header, not those inside another heading: each level of nesting would double the work."""
        found: list[Any] = []
        pending = list(reversed(element))
        while pending:
            node = pending.pop()
            if local_name(node) in _HEADINGS:
                found.append(node)
            elif local_name(node) and not self._page.is_dropped(node):
                pending += reversed(node)
        return found

    def _heading(self, element: Any, level: int, depth: int) -> None:
        classes = classes_of(element)
        line = self._nested_line(element, depth).rstrip("¶§").strip()
        if "ltx_title_document" in classes:
            self.title = line
        elif "ltx_title_abstract" in classes:
            level, line = 2, line.strip(" .:*—")
        elif "ltx_runin" in classes or "ltx_title_theorem" in classes or "ltx_title_proof" in classes:
            self.out.lead(f"**{line.replace('**', '').rstrip('.')}.** " if line else "")
            return
        self.out.close()
        self.out.heading(level, line)

    @staticmethod
    def _holds_blocks(element: Any) -> bool:
        """True for an inline element around blocks (`<a><div>`, a LaTeXML span around an equation)."""
        for node in element.iter():
            name = html_latexml.tag_of(node)
            if node is not element and (
                name in _BLOCK_TAGS or name in _HEADINGS or (name == "math" and is_display(node))
            ):
                return "ltx_note" not in classes_of(element)
        return False

    def _nested(self, element: Any, depth: int) -> str:
        """Markdown of an element's content, apart from the page."""
        outer, self.out = self.out, Blocks(tex_delimiters=True)
        self.blocks(element, depth, outermost=True)
        text = self.out.render()
        self.out = outer
        return text

    def _nested_line(self, element: Any, depth: int) -> str:
        return " ".join(self._nested(element, depth).split())

    def _formula(self, formula: Formula) -> None:
        self._tally(formula)
        if formula.display:
            self.out.display(formula.latex)
        else:
            self.out.add(inline_math(formula.latex))

    def _tally(self, formula: Formula) -> None:
        self.num_math += bool(formula.latex)
        if formula.lost:
            self._count("formulas_lost")

    def _list(self, element: Any, depth: int) -> None:
        self.out.close()
        items = []
        for item in element:
            if self._tag_of(item) == "li" and not self._page.is_dropped(item):
                items.append(self._item(item, depth))
            elif self._tag_of(item) in ("ul", "ol"):  # a list inside a list without an item around it
                items.append(self._nested_list(item, depth))
        start = element.get("start") or "1"
        first = int(start) if re.fullmatch(r"\d{1,6}", start) else 1
        style = element.get("type") if element.get("type") in ("a", "A", "i", "I") else "1"
        self.out.block(list_block(items, self._tag_of(element) == "ol", first, style))

    def _item(self, item: Any, depth: int) -> str:
        tag = next((node for node in item if "ltx_tag_item" in classes_of(node)), None)
        if tag is not None and tag.getparent() is item:
            tag.text, tag[:] = "", []  # the bullet or number that LaTeXML writes out
        return self._nested(item, depth)

    def _nested_list(self, element: Any, depth: int) -> str:
        outer, self.out = self.out, Blocks(tex_delimiters=True)
        self._list(element, depth + 1)
        text = self.out.render()
        self.out = outer
        return text

    def _definitions(self, element: Any, depth: int) -> None:
        self.out.close()
        term = ""
        for child in self._terms(element):
            if local_name(child) == "dt":
                term = self._nested_line(child, depth)
            elif meaning := self._nested(child, depth):
                # An indented formula of a wiki page is a definition without a term.
                lone = re.fullmatch(r"\$([^$]+)\$\s*([.,;]?)", meaning) if not term else None
                if lone:
                    self.out.display(lone.group(1) + lone.group(2))
                else:
                    self.out.block(f"**{term.strip('*').rstrip(':')}**: {meaning}" if term else meaning)
                term = ""

    @staticmethod
    def _terms(element: Any) -> list[Any]:
        """Terms and meanings of this list, also those in a `<div>` each."""
        found: list[Any] = []
        for child in element:
            if local_name(child) in ("dt", "dd"):
                found.append(child)
            elif local_name(child) == "div":
                found += [node for node in child if local_name(node) in ("dt", "dd")]
        return found

    def _table(self, element: Any, depth: int) -> None:
        self.out.close()
        if not {"ltx_eqn_table", "ltx_equation", "ltx_equationgroup"}.isdisjoint(classes_of(element)):
            latex, num_math = html_latexml.equation(element)
            self.num_math += num_math
            self.out.display(latex)
            return
        caption = next((child for child in element if local_name(child) == "caption"), None)
        if caption is not None:
            self.out.block(self._nested_line(caption, depth))
        trows = self._rows(element, 0)
        cells = [
            [node for node in row if self._tag_of(node) in ("td", "th") and not self._page.is_dropped(node)]
            for row in trows
        ]
        if element.get("role") == "presentation" or self._is_layout(cells):
            for row in cells:
                for cell in row:
                    self.blocks(cell, depth)
                    self.out.close()
            return
        num_header_rows = 0
        for row, nodes in zip(trows, cells, strict=True):
            if not nodes or not (self._tag_of(row.getparent()) == "thead" or all(map(_is_header, nodes))):
                break
            num_header_rows += 1
        self.out.block(spanned_table([[self._cell(node, depth) for node in row] for row in cells], num_header_rows))

    def _rows(self, element: Any, level: int) -> list[Any]:
        """The rows of this table and not of those inside its cells."""
        rows: list[Any] = []
        for child in element:
            name = self._tag_of(child)
            if name == "tr":
                rows.append(child)
            elif name in ("thead", "tbody", "tfoot") and level < 3:
                rows += self._rows(child, level + 1)
        return rows

    @staticmethod
    def _is_layout(rows: list[list[Any]]) -> bool:
        """True for a table that only places things: one column, or cells with headings, paragraphs or tables."""
        if max((len(row) for row in rows), default=0) <= 1:
            return True
        for row in rows:
            for cell in row:
                names = [local_name(node) for node in cell.iter()]
                if not _HEADINGS.keys().isdisjoint(names) or names.count("p") > 3 or "pre" in names:
                    return True
        return False

    def _cell(self, cell: Any, depth: int) -> Cell:
        return Cell(self._nested_line(cell, depth), span_of(cell.get("colspan")), span_of(cell.get("rowspan")))

    def _code(self, element: Any, depth: int) -> None:  # noqa: ARG002
        lines = [node for node in element.iter() if "ltx_listingline" in classes_of(node)]
        numbers = {"ltx_tag_listingline", "lineno", "linenos", "gutter", "ltx_listing_data"}
        for node in list(element.iter()):
            if local_name(node) and not numbers.isdisjoint(classes_of(node)):
                node.text, node[:] = "", []
        code = "\n".join(line.text_content().rstrip() for line in lines) if lines else element.text_content()
        self.out.block(code_block(code))

    def _quote(self, element: Any, depth: int) -> None:
        self.out.block(quote_block(self._nested(element, depth)))

    # Inline

    def _note(self, element: Any, depth: int) -> str:
        if not {"ltx_role_footnote", "ltx_role_endnote", "ltx_role_footnotetext"}.isdisjoint(classes_of(element)):
            content = html_latexml.note_text(element)
            return aside(self._nested_line(content, depth)) if content is not None else ""
        return ""

    def _inline(self, element: Any, depth: int) -> str:
        pieces = [self._text(element.text)]
        for child in element:
            pieces += [self._inline_of(child, depth + 1), self._text(child.tail)]
        return "".join(pieces)

    def _inline_of(self, element: Any, depth: int) -> str:
        if depth > _MAX_DEPTH:
            self._count("flattened")
            return escape_text(" ".join(element.itertext()))
        formula = formula_of(element)
        if formula is not None:
            self._tally(formula)
            return inline_math(formula.latex)
        name, classes = local_name(element), classes_of(element)
        if not name or name == "img" or self._page.is_dropped(element):
            return ""
        if name == "br":
            return BREAK
        if "ltx_note" in classes:
            return self._note(element, depth)
        if name == "cite" and "ltx_cite" in classes:
            return self._citation(element, depth)
        if name in ("a", "sup") and (target := self._notes.target_of(element)) is not None:
            return aside(self._nested_line(target, depth))
        if name == "a" and self._notes.is_mark(element):
            return ""
        if name in ("sup", "sub"):
            return raise_or_lower(self._inline(element, depth), name == "sup")
        if name in ("code", "kbd", "samp", "tt"):
            code = " ".join(element.text_content().split())
            return f"`{code}`" if code and "`" not in code else code
        if name == "q":
            return f"“{self._inline(element, depth)}”"
        mark = next((html_latexml.FONTS[name] for name in classes if name in html_latexml.FONTS), _MARKS.get(name, ""))
        return marked(self._inline(element, depth), mark)

    def _citation(self, element: Any, depth: int) -> str:
        resolved = self._bibliography.citation(element)
        return escape_text(resolved) if resolved else self._inline(element, depth)


def _is_header(cell: Any) -> bool:
    return local_name(cell) == "th" or "ltx_th_column" in classes_of(cell)
