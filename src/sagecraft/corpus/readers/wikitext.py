r"""Wikitext, as dumps of wikis hold it: to Markdown with its formulas, without templates, notes and pictures.

A dump holds pages before their templates are worked out. The few templates that stand for words in a sentence are
replaced, the others are cut and counted: who needs every word takes the pages as HTML.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sagecraft.corpus.readers.blocks import (
    BREAK,
    Blocks,
    code_block,
    escape_text,
    inline_math,
    marked,
    raise_or_lower,
    table_block,
)
from sagecraft.corpus.readers.html import _DROPPED_WIKI_SECTIONS
from sagecraft.corpus.readers.mathml import tidy_tex

#: Longest page, in characters. MediaWiki stops at 2 MiB; articles above 1 MiB are lists and archives.
MAX_CHARACTERS = 2**20
#: The parser looks for the end of each element to the end of the page: 10,000 without one take it 4 s, twice as many 16.
_MAX_UNCLOSED = 2000
_OPENING = re.compile(r"<(?!(?:br|hr|li|p|td|tr|th)\b)[a-z][^<>]*(?<!/)>", re.IGNORECASE)
_NOTE = re.compile(r"<ref\b[^<>]*>", re.IGNORECASE)
_NOTE_END = re.compile(r"</ref\s*>", re.IGNORECASE)
_MAX_DEPTH = 40
_CATEGORY = ("category",)
_NOT_TEXT = ("file", "image", "media", "category")
#: Elements whose content is no text of the article.
_DROPPED_TAGS = frozenset(
    ("ref", "references", "gallery", "timeline", "score", "imagemap", "hr", "templatestyles", "graph", "mapframe")
)
_DISPLAY = re.compile(r"\$([^$]+)\$\s*([.,;]?)")
_ENVIRONMENTS = re.compile(r"\\(begin|end)\{(align|gather)\*?\}")
_SPACES = re.compile(r"\s+")


@dataclass(frozen=True)
class WikiPage:
    """A page: Markdown, the categories it names, and how many templates were cut."""

    text: str
    categories: list[str] = field(default_factory=list)
    num_templates_cut: int = 0


def read_wikitext(source: str, category_names: Iterable[str] = (), file_names: Iterable[str] = ()) -> WikiPage:
    """Converts one page.

    Args:
        source: wikitext.
        category_names: what the wiki's language calls the namespace of categories, besides `Category`.
        file_names: what it calls the namespace of files, besides `File`.

    Returns:
        The page; its text is empty for one that is too long or that the parser gives up.
    """
    import mwparserfromhell
    from mwparserfromhell.parser import ParserError

    if len(source) > MAX_CHARACTERS or len(_OPENING.findall(source)) - source.count("</") > _MAX_UNCLOSED:
        return WikiPage("")
    try:
        code = mwparserfromhell.parse(_without_notes(source))
    except (ParserError, RecursionError):
        return WikiPage("")
    categories = {*_CATEGORY, *(name.lower() for name in category_names)}
    walker = _Walker(categories, {*_NOT_TEXT, *categories, *(name.lower() for name in file_names)})
    walker.walk(code.nodes, 0)
    walker.end_line()
    walker.end_list()
    walker.out.drop_sections(_DROPPED_WIKI_SECTIONS)
    return WikiPage(walker.out.render(), list(dict.fromkeys(walker.categories)), walker.num_cut)


def categories_of(source: str, category_names: Iterable[str] = ()) -> list[str]:
    """Categories that a page names, without parsing it: a thousandth of the time."""
    names = "|".join(re.escape(name) for name in (*_CATEGORY, *category_names))
    found = re.findall(rf"\[\[\s*(?:{names})\s*:([^\[\]|]{{1,300}})", source, re.IGNORECASE)
    return list(dict.fromkeys(_SPACES.sub(" ", name.replace("_", " ")).strip() for name in found))


def _without_notes(source: str) -> str:
    """The page without `<ref>`, whose templates would be parsed for nothing: a fifth of the time of an article with 40."""
    pieces, position, is_open = [], 0, False
    for begin in _NOTE.finditer(source):
        if begin.start() < position or is_open:
            continue
        end = begin if begin.group().endswith("/>") else _NOTE_END.search(source, begin.end())
        is_open = end is None  # then none of the rest is closed either, and is not looked for again
        if end is not None:
            pieces.append(source[position : begin.start()])
            position = end.end()
    return "".join([*pieces, source[position:]])


class _Walker:
    """Walks the nodes of a page. `item` is the marks of the list item whose line is open, `lines` the list so far."""

    def __init__(self, category_names: set[str], not_text: set[str]) -> None:
        self.out = Blocks()
        self.categories: list[str] = []
        self.num_cut = 0
        self._category_names, self._not_text = category_names, not_text
        self._item = ""
        self._lines: list[str] = []
        self._handlers: dict[str, Callable[[Any, int], None]] = {
            "Text": lambda node, depth: self._text(str(node.value)),  # noqa: ARG005
            "Heading": self._heading,
            "Wikilink": self._wikilink,
            "ExternalLink": self._external_link,
            "Template": self._template,
            "Tag": self._tag,
            "HTMLEntity": lambda node, depth: self.out.add(escape_text(node.normalize() or "")),  # noqa: ARG005
        }

    def walk(self, nodes: Sequence[Any], depth: int) -> None:
        """Nodes in their order; comments and arguments of templates have no handler."""
        if depth > _MAX_DEPTH:
            return
        for node in nodes:
            handler = self._handlers.get(type(node).__name__)
            if handler is not None:
                handler(node, depth)

    def inline(self, code: Any, depth: int) -> str:
        """Inline text of a part, apart from the paragraph that is open."""
        if code is None:
            return ""
        inner = _Walker(self._category_names, self._not_text)
        inner.walk(code.nodes, depth + 1)
        self.num_cut += inner.num_cut
        self.categories += inner.categories
        inner.end_line()
        inner.end_list()
        return inner.out.render()

    # Lines

    def _text(self, text: str) -> None:
        first, *more = text.split("\n")
        self.out.add(escape_text(first))
        for line in more:
            if self._item:
                self.end_line()
            elif not line.strip():
                self.end_list()
                self.out.close()
            elif self._lines:
                self.end_list()
            self.out.add(" " + escape_text(line))

    def end_line(self) -> None:
        """Ends the line of a list item; an indented line is a paragraph, and a formula alone on it is displayed."""
        item, self._item = self._item, ""
        if not item:
            return
        text = self.out.take()
        if item[-1] in "*#" and text:
            mark = "1. " if item[-1] == "#" else "- "
            self._lines.append("  " * (len(item) - 1) + mark + text.replace("\n", " "))
            return
        self.end_list()
        alone = _DISPLAY.fullmatch(text)
        if alone:
            self.out.display(alone[1] + alone[2])
        else:
            self.out.block(f"**{text}**" if item[-1] == ";" and text else text)

    def end_list(self) -> None:
        """Ends a list of items."""
        lines, self._lines = self._lines, []
        if lines:
            left = self.out.take()
            self.out.block("\n".join(lines))
            self.out.add(left)

    # Nodes

    def _heading(self, node: Any, depth: int) -> None:
        self.end_line()
        self.end_list()
        self.out.close()
        self.out.heading(node.level, self.inline(node.title, depth))

    def _wikilink(self, node: Any, depth: int) -> None:
        target = str(node.title).strip()
        space, colon, name = target.partition(":")
        if colon and space.strip().lower() in self._category_names:
            self.categories.append(_SPACES.sub(" ", name.replace("_", " ")).strip())
        elif not (colon and space.strip().lower() in self._not_text):
            text = (
                self.inline(node.text, depth)
                if node.text is not None
                else escape_text(target.lstrip(":").partition("#")[0])
            )
            self.out.add(text)

    def _external_link(self, node: Any, depth: int) -> None:
        if node.title is not None:
            self.out.add(self.inline(node.title, depth))
        elif not node.brackets:
            self.out.add(escape_text(str(node.url)))

    def _template(self, node: Any, depth: int) -> None:
        handler = _TEMPLATES.get(_SPACES.sub(" ", str(node.name)).strip().lower())
        if handler is None:
            self.num_cut += 1
            return
        values = {str(p.name).strip(): self.inline(p.value, depth).strip() for p in node.params}
        self.out.add(handler(values))

    def _tag(self, node: Any, depth: int) -> None:
        tag = str(node.tag).strip().lower()
        if node.wiki_markup in ("*", "#", ":", ";"):
            self._begin_item(str(node.wiki_markup))
        elif tag in ("math", "chem", "ce"):
            self._math(node, tag)
        elif tag in _DROPPED_TAGS:
            return
        elif tag == "br":
            self.out.add(BREAK)
        elif tag in ("b", "strong", "i", "em"):
            self.out.add(marked(self.inline(node.contents, depth), "**" if tag in ("b", "strong") else "*"))
        elif tag in ("sub", "sup"):
            self.out.add(raise_or_lower(self.inline(node.contents, depth), raised=tag == "sup"))
        elif tag == "table":
            self._table(node, depth)
        elif tag in ("pre", "syntaxhighlight", "source"):
            self.end_line()
            self.end_list()
            self.out.block(code_block(str(node.contents or "")))
        elif tag == "nowiki":
            self.out.add(escape_text(str(node.contents or "")))
        elif node.contents is not None:
            self.walk(node.contents.nodes, depth + 1)

    def _begin_item(self, mark: str) -> None:
        # `** item` comes as two tags, `; term : text` as one in the middle of a line.
        if self._item and (text := self.out.take()):
            self.out.add(text)
            self.end_line()
        elif not self._item:
            if mark in ":;":
                self.end_list()
            if not self._lines or mark in ":;":
                self.out.close()
            else:
                self.out.take()
        self._item += mark

    def _math(self, node: Any, tag: str) -> None:
        tex = str(node.contents or "").strip()
        if tag != "math":
            tex = rf"\ce{{{tex}}}" if tex else ""
        tex = tidy_tex(_ENVIRONMENTS.sub(lambda found: rf"\{found[1]}{{{found[2]}ed}}", tex))
        display = node.has("display") and str(node.get("display").value).strip() == "block"
        if display and not self._item:
            self.end_list()
            self.out.display(tex)
        else:
            self.out.add(inline_math(tex))

    def _table(self, node: Any, depth: int) -> None:
        self.end_line()
        self.end_list()
        if node.contents is None:
            return
        rows = [node.contents]  # cells before the first mark of a row belong to a row of their own
        rows += [row.contents for row in _tags(node.contents, "tr") if row.contents is not None]
        cells = (
            [self.inline(cell.contents, depth).replace("\n", " ") for cell in _tags(row, "td", "th")] for row in rows
        )
        self.out.block(table_block([row for row in cells if row]))


def _tags(code: Any, *names: str) -> list[Any]:
    """Elements of these names right below."""
    return list(code.filter_tags(recursive=False, matches=lambda tag: str(tag.tag).strip().lower() in names))


def _first(values: dict[str, str]) -> str:
    return values.get("1", "")


def _second(values: dict[str, str]) -> str:
    return values.get("2", "")


def _convert(values: dict[str, str]) -> str:
    return " ".join(values.get(key, "") for key in ("1", "2")).strip()


def _value(values: dict[str, str]) -> str:
    """`{{val|1.23|0.04|e=5|ul=kg}}`: a number with its uncertainty, power of ten and unit."""
    number = _first(values) + (rf" \pm {values['2']}" if values.get("2") else "")
    power = rf" \times 10^{{{values['e'].replace('−', '-')}}}" if values.get("e") else ""
    unit = next((values[key] for key in ("u", "ul", "up", "upl") if values.get(key)), "")
    if power and values.get("2"):
        number = f"({number})"
    plain = number if not power and "\\" not in number else inline_math(number + power)
    return f"{plain} {unit}".strip()


def _fraction(values: dict[str, str]) -> str:
    parts = [values[key] for key in ("1", "2", "3") if values.get(key)]
    if len(parts) == 1:
        return f"1/{parts[0]}"
    return "/".join(parts) if len(parts) == 2 else (f"{parts[0]} {parts[1]}/{parts[2]}" if parts else "")


def _variable(values: dict[str, str]) -> str:
    name = _first(values)
    return inline_math(name) if name.isascii() and name.isalnum() else name


#: Templates of Wikipedia in English that stand for words in a sentence; names in lower case.
_TEMPLATES: dict[str, Callable[[dict[str, str]], str]] = {
    **dict.fromkeys(
        ("nowrap", "nobr", "em", "strong", "abbr", "tooltip", "math", "bigmath", "sic", "vanchor", "small"), _first
    ),
    **dict.fromkeys(
        ("quote", "blockquote", "bquote", "center", "resize", "visible anchor", "nobold", "noitalic"), _first
    ),
    **dict.fromkeys(("lang", "transl", "transliteration", "tlit"), _second),
    **dict.fromkeys(("convert", "cvt"), _convert),
    **dict.fromkeys(("frac", "sfrac", "fraction"), _fraction),
    **dict.fromkeys(("spaces", "space", "nbsp"), lambda values: " "),  # noqa: ARG005
    **dict.fromkeys(("snd", "spnd", "ndash", "spaced ndash"), lambda values: " – "),  # noqa: ARG005
    "val": _value,
    "mvar": _variable,
    "sub": lambda values: raise_or_lower(_first(values), raised=False),
    "sup": lambda values: raise_or_lower(_first(values), raised=True),
}
