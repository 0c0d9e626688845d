"""JATS, the XML of PubMed Central and of journals: front matter, sections, formulas, tables and captions as Markdown.

Citations by number become authors and years, since the list of references is cut; footnotes stand where they are called.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sagecraft.corpus.readers.blocks import (
    BREAK,
    Blocks,
    aside,
    code_block,
    collapse,
    escape_text,
    inline_math,
    list_block,
    marked,
    quote_block,
    raise_or_lower,
)
from sagecraft.corpus.readers.jats_front import Front, References, child, named, plain
from sagecraft.corpus.readers.mathml import local_name, tidy_tex, to_latex
from sagecraft.corpus.readers.result import ReaderError, ReadResult
from sagecraft.corpus.readers.tables import Cell, cals_cell, cals_columns, own_rows, span_of, spanned_table
from sagecraft.corpus.readers.xml import parse_xml

#: Around the position of a cited work until the paragraph is closed. (Control characters: XML cannot hold them.)
_CITES = re.compile(
    "(?P<stop>[.,;:]?)(?P<raised>\x07?)(?P<open> ?[\\[(]\\s*)?(?P<cites>\x05\\d+\x06(?:\\s*[,;–—-]?\\s*\x05\\d+\x06)*)(?P<close>\\s*[\\])])?"
)
_BETWEEN = re.compile("\x06\\s*[–—-]\\s*\x05")
_MAX_RANGE = 20
#: Parts without text of the article; `fn-group` is read where its notes are called.
_DROPPED = frozenset((
    "ref-list", "ack", "fn-group", "bio", "notes", "supplementary-material", "inline-supplementary-material", "media",
    "graphic", "inline-graphic", "object-id", "sub-article", "response", "permissions", "attrib", "label", "related-article",
    "related-object", "processing-meta", "floats-wrap", "sec-meta", "kwd-group", "alt-text", "long-desc", "x", "title",
    "floats-group", "private-char", "history", "index-term", "tex-math-preamble", "trans-abstract", "textual-form",
))  # fmt: skip
_DROPPED_SECTIONS = re.compile(
    r"(?:[\dIVX]+(?:\.\d+)*\.?\s+)?(?:references|acknowledge?ments?|(?:conflicts?|declaration|competing|disclosure)s? (?:of |statement)?.*"
    r"(?:interests?|statement)|authors?[’']?s?[’']? contributions?|credit author.*|funding(?: (?:information|statement|sources?))?|"
    r"(?:electronic )?supplement(?:ary|al).{0,60}|supporting information|additional (?:information|files?)|"
    r"(?:data|code)(?: and (?:data|code|materials?))? availability.{0,30}|availability of data.{0,40}|ethics.{0,40}|"
    r"publisher[’']s note|abbreviations and acronyms|pre-publication history|consent for publication)",
    re.IGNORECASE,
)
_MARKS = {"italic": "*", "bold": "**", "sc": "", "monospace": "`", "underline": ""}
_LIST_STYLES = {"alpha-lower": "a", "alpha-upper": "A", "roman-lower": "i", "roman-upper": "I"}
#: A citation by names or by year says what it cites; one by number does not.
_NAMES_WORK = re.compile(r"[^\W\d_]{3}|\b(?:1[5-9]|20)\d\d[a-z]?\b")
_ONLY_DOI = re.compile(r"\**DOI:?\**:? *https?://\S+")
_TEX_BODY = re.compile(r"\\begin\{document\}(.*?)\\end\{document\}", re.DOTALL)


def read_jats(path: Path, root: Path) -> ReadResult:  # noqa: ARG001 - the signature of every reader
    """Reads an article, or the first one of a set.

    Raises:
        ReaderError: not XML, not an article, or without text.
    """
    tree = parse_xml(path)
    article = tree if local_name(tree) == "article" else next(named(tree, "article"), None)
    if article is None:
        raise ReaderError("not-jats", f"root element is <{local_name(tree)}>, and no <article> is in it")
    front = Front(article)
    walker = _Article(article)
    title = walker.line(front.title, skip=("xref", "fn"))
    if title:
        walker.out.heading(1, title)
    if front.abstract is not None:
        walker.out.heading(2, "Abstract")
        walker.section_body(front.abstract, 3)
    if front.keywords:
        walker.out.block(f"Keywords: {escape_text(', '.join(front.keywords))}")
    num_front = len(walker.out.done)
    walker.body()
    num_dropped = walker.out.drop_sections(_DROPPED_SECTIONS)
    if len(walker.out.done) <= num_front and front.abstract is None:
        raise ReaderError("no-text", "neither an abstract nor a body with text")
    text = walker.out.render()
    counts = walker.counts | {
        "citations": walker.references.num_cited,
        "citations_resolved": walker.references.num_resolved,
        "dropped_sections": num_dropped,
    }
    return ReadResult(
        text=text,
        title=title or None,
        authors=front.authors,
        year=front.year,
        categories=front.categories,
        license=front.license,
        identifier=front.identifier,
        counts={name: count for name, count in sorted(counts.items()) if count},
    )


class _Article:
    """Walks one article; `out` holds the Markdown so far."""

    def __init__(self, article: Any) -> None:
        self.out = Blocks()
        self.counts: dict[str, int] = {}
        self.references = References(article)
        self._article = article
        self._level = 2
        self._notes = {node.get("id"): node for node in named(article, "fn") if node.get("id")}
        self._handlers: dict[str, Callable[[Any], None]] = {
            "sec": self._section,
            "app": self._section,
            "p": self._paragraph,
            "list": self._list,
            "def-list": self._definitions,
            "disp-formula": self._formula,
            "table-wrap": self._table_wrap,
            "table": self._table,
            "fig": self._figure,
            "boxed-text": self._box,
            "statement": self._box,
            "disp-quote": lambda element: self.out.block(quote_block(self._nested(element))),
            "code": self._code,
            "preformat": self._code,
            "verse-group": self._verses,
            "glossary": self._section,
        }

    def body(self) -> None:
        """Body, appendices and what floats."""
        for part in ("body", "back", "floats-group"):
            element = child(self._article, part)
            if element is not None:
                self._blocks(element)

    # Blocks

    def _blocks(self, element: Any) -> None:
        self.out.add(escape_text(element.text or ""))
        for node in element:
            self._one(node)
            self.out.add(escape_text(node.tail or ""))
        self._close()

    def _close(self) -> None:
        """Ends the open paragraph, its citations written out."""
        text = self.out.take()
        if text and not _ONLY_DOI.fullmatch(text):
            self.out.done.append(self._settled(text))

    def _one(self, node: Any) -> None:
        name = local_name(node)
        if not name or name in _DROPPED:
            return
        if handler := self._handlers.get(name):
            self.counts[name] = self.counts.get(name, 0) + 1
            self._close()
            handler(node)
        elif name in (
            "alternatives",
            "fig-group",
            "table-wrap-group",
            "disp-formula-group",
            "app-group",
            "body",
            "speech",
        ):
            self._blocks(node)
        else:
            self.out.add(self._inline_of(node))

    def _nested(self, element: Any, skip: tuple[str, ...] = ()) -> str:
        """Markdown of an element's content, apart from the article."""
        outer, self.out = self.out, Blocks()
        self.out.add(escape_text(element.text or ""))
        for node in element:
            if local_name(node) not in skip:
                self._one(node)
            self.out.add(escape_text(node.tail or ""))
        self._close()
        text = self.out.render()
        self.out = outer
        return text

    def _section(self, element: Any) -> None:
        title = self.line(child(element, "title"))
        if not title and local_name(element) == "app":
            title = plain(child(element, "label"))
        self.out.heading(self._level, title)
        self.section_body(element, self._level + 1)

    def section_body(self, element: Any, level: int) -> None:
        """The content of a section, whose own sections have headings of this level."""
        outer, self._level = self._level, level
        self._blocks(element)
        self._level = outer

    def _paragraph(self, element: Any) -> None:
        self._blocks(element)

    def _list(self, element: Any) -> None:
        items = [self._nested(item, skip=("label",)) for item in element if local_name(item) == "list-item"]
        if title := self.line(child(element, "title")):
            self.out.block(f"**{title}**")
        kind = element.get("list-type") or "bullet"
        self.out.block(list_block(items, kind == "order" or kind in _LIST_STYLES, style=_LIST_STYLES.get(kind, "1")))

    def _definitions(self, element: Any) -> None:
        if title := self.line(child(element, "title")):
            self.out.block(f"**{title}**")
        for item in element:
            term, meaning = self.line(child(item, "term")), child(item, "def")
            if term and meaning is not None:
                self.out.block(f"**{term.strip('*')}**: {self._nested(meaning)}")

    def _formula(self, element: Any) -> None:
        latex = self._latex(element)
        label = plain(child(element, "label")).strip("()[] .")
        if latex:
            tag = rf" \tag{{{label}}}" if re.fullmatch(r"[\w.\-′']{1,10}", label) and r"\tag" not in latex else ""
            self.out.display(latex + tag)
        else:
            words = self.line(element, skip=("label",))
            self.counts["formulas_lost"] = self.counts.get("formulas_lost", 0) + (not words)
            self.out.block(words)

    def _latex(self, element: Any) -> str:
        """LaTeX of a formula: the author's TeX, else its MathML; empty if it is only text or a picture."""
        latex = ""
        for node in named(element, "tex-math"):
            body = _TEX_BODY.search(node.text or "")
            latex = " ".join(tidy_tex(body.group(1) if body else node.text or "").split())
            break
        if not latex:
            latex = r" \quad ".join(filter(None, (to_latex(node) for node in named(element, "math"))))
        self.counts["math"] = self.counts.get("math", 0) + bool(latex)
        return latex

    def _captioned(self, element: Any) -> str:
        """Label and caption: "Table 1: its title. Its caption."."""
        label = plain(child(element, "label")).rstrip(".: ")
        caption = child(element, "caption")
        pieces = []
        if caption is not None:
            title = self.line(child(caption, "title"))
            pieces = [title + ("" if title[-1:] in (*".!?:", "") else "."), self._nested(caption).replace("\n\n", " ")]
        text = " ".join(filter(None, pieces))
        return self._settled(f"{label}: {text}" if label and text else text)

    def _table_wrap(self, element: Any) -> None:
        self.out.block(self._captioned(element))
        holders = [element, *(node for node in element if local_name(node) == "alternatives")]
        tables = [node for holder in holders for node in holder if local_name(node) == "table"]
        for table in tables:
            self._table(table)
        if not tables and (latex := self._latex(element)):
            self.out.display(latex)
        foot = child(element, "table-wrap-foot")
        notes = list(foot) if foot is not None else []
        notes = [part for note in notes for part in (note if local_name(note) == "fn-group" else [note])]
        for note in (note for note in notes if local_name(note) in ("fn", "p")):
            label = plain(child(note, "label"))
            text = self._nested(note, skip=("label",)).replace("\n\n", " ")
            self.out.block(f"{label}: {text}" if label and text else text)

    def _table(self, element: Any) -> None:
        rows: list[list[Cell]] = []
        num_header_rows = 0
        for row in own_rows(element):
            columns = cals_columns(row)
            cells = [node for node in row if local_name(node) in ("td", "th", "entry")]
            if len(rows) == num_header_rows and local_name(row.getparent()) == "thead":
                num_header_rows += 1
            rows.append([self._cell(cell, columns) for cell in cells])
        self.out.block(spanned_table(rows, num_header_rows))

    def _cell(self, cell: Any, columns: dict[str, int]) -> Cell:
        text = self._nested(cell)
        if local_name(cell) == "entry":
            return cals_cell(cell, text, columns)
        return Cell(text, span_of(cell.get("colspan")), span_of(cell.get("rowspan")))

    def _figure(self, element: Any) -> None:
        caption = self._captioned(element)
        if not caption and (alt := plain(child(element, "alt-text"))):
            caption = f"{plain(child(element, 'label')).rstrip('.: ')}: {escape_text(alt)}".lstrip(": ")
        self.out.block(caption)

    def _box(self, element: Any) -> None:
        caption = child(element, "caption")
        titles = [child(element, "label"), child(element, "title"), child(caption, "title")]
        head = ". ".join(filter(None, (self.line(title).rstrip(".") for title in titles)))
        self.out.block(f"**{head}.**" if head else "")
        self._blocks(element)

    def _code(self, element: Any) -> None:
        self.out.block(code_block("".join(element.itertext())))

    def _verses(self, element: Any) -> None:
        lines = [self.line(line) for line in named(element, "verse-line")]
        self.out.block(quote_block("\n".join(lines)))

    # Inline

    def inline(self, element: Any, skip: tuple[str, ...] = ()) -> str:
        """Inline Markdown of an element's content, spaces as they stand; empty for None."""
        if element is None:
            return ""
        pieces = [escape_text(element.text or "")]
        for node in element:
            inner = "" if local_name(node) in skip else self._inline_of(node)
            pieces += [inner, escape_text(node.tail or "")]
        return "".join(pieces)

    def _inline_of(self, element: Any) -> str:
        name = local_name(element)
        if name in ("inline-formula", "disp-formula", "tex-math", "math"):
            holder = (
                element.getparent() if name in ("tex-math", "math") and element.getparent() is not None else element
            )
            latex = self._latex(element if name != "tex-math" else holder)
            words = "" if latex else self.inline(element, skip=("label", "alternatives"))
            self.counts["formulas_lost"] = self.counts.get("formulas_lost", 0) + (not latex and not words.strip())
            return inline_math(latex) if latex else words
        if name == "alternatives":
            return next((text for node in element if (text := self._inline_of(node))), "")
        if name == "break":
            return BREAK
        if name == "xref":
            return self._reference(element)
        if name == "fn":
            return aside(self._nested(element, skip=("label",)))
        if name in ("sup", "sub"):
            inner = self.inline(element)
            # A citation by a raised number is a citation, not an exponent.
            return f"\x07{inner}" if "\x05" in inner else raise_or_lower(inner, name == "sup")
        if not name or name in _DROPPED:
            return ""
        if name == "monospace":
            code = plain(element)
            return f"`{code}`" if code and "`" not in code else code
        return marked(self.inline(element), _MARKS.get(name, ""))

    def line(self, element: Any, skip: tuple[str, ...] = ()) -> str:
        """Inline Markdown on one line, citations written out."""
        return self._settled(collapse(self.inline(element, skip))).replace("\n", " ")

    def _reference(self, element: Any) -> str:
        text, kind = self.inline(element), element.get("ref-type")
        if kind == "fn":
            note = self._notes.pop(element.get("rid") or "", None)
            return aside(self._nested(note, skip=("label",))) if note is not None else ""
        if kind != "bibr":
            return text
        positions = self.references.positions(element.get("rid") or "")
        if not positions or _NAMES_WORK.search(text):
            return text
        return "".join(f"\x05{position}\x06" for position in positions)

    def _settled(self, text: str) -> str:
        """Citations by number, in brackets or raised, as authors and years; ranges of numbers are filled in."""
        return _CITES.sub(self._cited, text).replace("\x07", " ") if "\x05" in text else text

    def _cited(self, found: re.Match[str]) -> str:
        cites = found.group("cites")
        positions: list[int] = []
        stop, raised = found.group("stop"), found.group("raised")
        for part in _BETWEEN.sub("\x06-\x05", cites).split("\x06-\x05"):
            numbers = [int(number) for number in re.findall(r"\d+", part)]
            if positions and 1 < numbers[0] - positions[-1] <= _MAX_RANGE:
                positions += range(positions[-1] + 1, numbers[0])
            positions += numbers
        text = self.references.cite(positions)
        opening, closing = found.group("open") or "", found.group("close") or ""
        is_whole = bool(opening) == bool(closing)
        if not text:
            stated = ", ".join(str(position + 1) for position in positions)
            text = f"[{stated}]" if is_whole else f"{opening}{stated}{closing}"
        else:
            text = f"({text})" if is_whole else f"{opening}{text}{closing}"
        if raised:  # behind the full stop where it is raised, before it where it is not
            return f" {text}{stop}"
        before = stop or found.string[found.start() - 1 : found.start()]
        return (
            f"{stop}{' ' if before and not before.isspace() and is_whole else ''}{text.lstrip() if is_whole else text}"
        )
