"""The one place where HTML is made and escaped.

A page is one file that needs nothing else: its style is inside, and a content security policy forbids it to fetch
anything. Everything handed to it is text from strangers and is escaped by the template; the exceptions are drawings,
which must come from `sagecraft.reporting.plots` and are checked, and the data of lists, which `reporting.browser` escapes.
It has no scripts but that of such a list, `browser.js`: the policy names its hash, lets no other run, and forbids it to
turn text into markup.
"""

from __future__ import annotations

import base64
import hashlib
import html
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from html.parser import HTMLParser
from importlib import resources
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

if TYPE_CHECKING:
    from jinja2 import Template

    from sagecraft.reporting.browser import Browser

#: What a cell may hold. Floats get four significant figures; None is shown as a dash.
Cell = str | int | float | bool | None

_MISSING = "–"
# Lone surrogates cannot be written as UTF-8 and control characters are not HTML: both come with damaged input. What turns
# the reading direction by force makes a text read as another; letters of such scripts turn it by themselves.
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")
_FIGURE = r"[<≤≈~$]? ?[+−-]?(\d[\d,]*)?\.?\d+(e[+−-]?\d+)?"
_NUMBER = re.compile(rf"{_FIGURE}( to {_FIGURE})?( ?(%|s|ms|min|h|points|×|USD|B|kB|MB|GB))?")
# A number is not parted from its unit, nor a p from its value, at the end of a line.
_TIE = re.compile(r"(?<=\d) (?=%|points\b|USD\b|min\b|s\b|h\b)|(?<=\bp) (?=[=<])|(?<=\bp [=<]) (?=\d)")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
# Neither <style>, which would reach the whole page, nor <title> and <desc>, inside which a browser reads HTML again.
_SVG_SHAPES = ("path", "line", "rect", "circle", "ellipse", "polyline", "polygon", "text", "tspan")
_SVG_TAGS = frozenset(("svg", "g", "defs", "use", "clippath", *_SVG_SHAPES))


class Page:
    """A page in the making: parts are added from top to bottom, then `render` gives the file's text.

    Example:
        page = Page("Corpus", "30 documents")
        page.heading("Licences")
        page.table(["license", "documents"], [["CC-BY-4.0", 28], ["CC0-1.0", 2]])
        artifact.write_text(path, page.render())
    """

    def __init__(self, title: str, subtitle: str = "") -> None:
        self.title = title
        self.subtitle = subtitle
        self._parts: list[dict[str, Any]] = []

    def heading(self, text: str, level: int = 2) -> None:
        """A section's heading; `level` 2 to 4 (1 is the page's title). Level 2 is listed in the contents."""
        if level not in (2, 3, 4):
            raise ValueError(f"level must be 2, 3 or 4, not {level}")
        self._add("heading", text=text, level=level)

    def paragraph(self, text: str) -> None:
        """Running text; an empty line in it starts a new paragraph."""
        for block in re.split(r"\n\s*\n", text):
            if block.strip():
                self._add("paragraph", text=_TIE.sub("\N{NO-BREAK SPACE}", block.strip()))

    def note(self, text: str) -> None:
        """A sentence that must not be missed."""
        self._add("note", text=_TIE.sub("\N{NO-BREAK SPACE}", text))

    def table(
        self,
        columns: Sequence[str],
        rows: Sequence[Sequence[Cell]],
        caption: str | None = None,
        numeric: Sequence[bool] | None = None,
        groups: Sequence[str] = (),
    ) -> None:
        """A table that scrolls inside its own box.

        Args:
            columns: the column headings.
            rows: one cell a column.
            caption: stands above the table.
            numeric: which columns are aligned to the right; by default those that hold nothing but numbers.
            groups: of each row; the reader can look at the rows of one group alone.

        Raises:
            ValueError: a row, or `numeric`, is not as long as `columns`; `groups` are not as many as the rows.
        """
        for number, row in enumerate(rows):
            if len(row) != len(columns):
                raise ValueError(f"row {number} has {len(row)} cells, the table has {len(columns)} columns")
        right = (
            list(numeric) if numeric is not None else [_is_numeric([row[n] for row in rows]) for n in _span(columns)]
        )
        if len(right) != len(columns):
            raise ValueError(f"numeric has {len(right)} entries, the table has {len(columns)} columns")
        if groups and len(groups) != len(rows):
            raise ValueError(f"groups has {len(groups)} entries, the table has {len(rows)} rows")
        cells = [[format_cell(cell) for cell in row] for row in rows]
        counted = Counter(groups) if len(set(groups)) > 1 else Counter[str]()
        numbers = {name: number for number, name in enumerate(counted)}
        self._add(
            "table",
            columns=list(columns),
            rows=cells,
            caption=caption or "",
            numeric=right,
            groups=list(counted.items()),
            members=[numbers[name] for name in groups] if counted else [],
            key="rows-" + hashlib.sha256(repr((columns, counted, cells)).encode()).hexdigest()[:8] if counted else "",
        )

    def figure(self, svg: str, caption: str) -> None:
        """A drawing of `sagecraft.reporting.plots`. Figures that follow each other stand side by side if they fit."""
        check_svg(svg)
        figure = {"svg": str(svg), "caption": caption}
        if self._parts and self._parts[-1]["kind"] == "figures":
            self._parts[-1]["figures"].append(figure)
        else:
            self._add("figures", figures=[figure])

    def metrics(self, cards: Sequence[tuple[str, Cell, str]]) -> None:
        """Summary cards: `(label, value, detail)` each."""
        self._add("metrics", cards=[(label, format_cell(value), detail) for label, value, detail in cards])

    def code(self, text: str) -> None:
        """Text as it is, in a monospaced font; long lines wrap."""
        self._add("code", text=text)

    def details(self, summary: str, build: Callable[[Page], None]) -> None:
        """A part that is folded until it is clicked; `build` fills it."""
        inner = Page("")
        build(inner)
        self._add("details", summary=summary, parts=inner._parts)

    def tokens(self, rows: Sequence[Mapping[str, Any]], sources: Sequence[tuple[str, int]]) -> None:
        """Rows of tokens, as `reporting.token_view` makes them; `(source, tokens)` each can be looked at alone."""
        self._add("tokens", rows=list(rows), sources=list(sources))

    def browser(self, browser: Browser) -> None:
        """A list that the reader filters, sorts and opens, as `reporting.browser` makes it."""
        self._add("browser", browser=browser)

    def links(self, links: Sequence[tuple[str, str]]) -> None:
        """A list of `(label, path)`; paths are relative to the page, so that a moved folder keeps its links.

        Raises:
            ValueError: a path is absolute or names a scheme.
        """
        self._add("links", links=[(label, _relative(path)) for label, path in links])

    def render(self) -> str:
        """The page as the text of one HTML file."""
        contents = _number_headings(self._parts)
        style, script = _source("page.css"), ""
        if _have(self._parts, "browser"):
            style, script = style + _source("browser.css"), _source("browser.js")
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        text = _template().render(
            page=self, parts=self._parts, contents=contents, css=style, script=script, script_sha256=digest
        )
        return _UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", text)

    def _add(self, kind: str, **values: Any) -> None:
        self._parts.append({"kind": kind, **values})


def format_cell(value: Cell) -> str:
    """Text of a cell: thousands with commas, floats with four significant figures, None as a dash."""
    if value is None:
        return _MISSING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        # 4 figures, but never an exponent for what is a plain count
        return f"{value:,.0f}" if 1e4 <= abs(value) < 1e15 else f"{value:,.4g}"
    return str(value)


def check_svg(svg: str) -> None:
    """Refuses what is not a plain drawing.

    Raises:
        ValueError: it does not start with `<svg`, or holds scripts, handlers, foreign elements or outside references.
    """
    if not svg.startswith("<svg"):
        raise ValueError("a figure must be a drawing of sagecraft.reporting.plots (it does not start with <svg)")
    checker = _SvgChecker()
    checker.feed(svg)
    checker.close()
    if checker.depth:
        raise ValueError("a figure's elements are not all closed")


class _SvgChecker(HTMLParser):
    """Reads a drawing the way a browser does and stops at the first thing that is not drawing."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=False)
        self.depth = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.depth += 1
        self._check(tag, attrs)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._check(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        self.depth -= 1
        if self.depth < 0:
            raise ValueError(f"a figure closes </{tag}> that it did not open")

    def handle_comment(self, data: str) -> None:
        raise ValueError(f"a figure holds a comment or a declaration: {data[:40]!r}")

    def handle_decl(self, decl: str) -> None:
        self.handle_comment(decl)

    def handle_pi(self, data: str) -> None:
        self.handle_comment(data)

    def unknown_decl(self, data: str) -> None:
        self.handle_comment(data)

    def handle_data(self, data: str) -> None:
        if self.depth == 0 and data.strip():
            raise ValueError("a figure holds text outside of the drawing")

    def _check(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in _SVG_TAGS:
            raise ValueError(f"a figure holds <{tag}>, which is not drawing")
        for name, value in attrs:
            text = html.unescape(value or "")
            outside = (name.endswith("href") and not text.startswith("#")) or "url(" in text.replace("url(#", "")
            if name.startswith("on") or outside:
                raise ValueError(f"a figure's <{tag}> has {name}={text[:40]!r}, which is not drawing")


def _span(items: Sequence[object]) -> range:
    return range(len(items))


def _is_numeric(cells: Sequence[Cell]) -> bool:
    """True if all cells that hold something are numbers, or read as one with its unit."""
    known = [cell for cell in cells if cell is not None and cell not in ("", _MISSING)]
    return bool(known) and all(
        not isinstance(cell, bool) and (isinstance(cell, int | float) or bool(_NUMBER.fullmatch(str(cell))))
        for cell in known
    )


def _relative(path: str) -> str:
    if not path or path.startswith(("/", "\\")) or _SCHEME.match(path.strip()) or _UNPRINTABLE.search(path):
        raise ValueError(f"{path!r}: a page links to relative paths only")
    return quote(path, safe="/#")


def _number_headings(parts: Sequence[dict[str, Any]]) -> list[tuple[str, str]]:
    """Gives each main heading an anchor and returns `(anchor, text)` in order."""
    contents: list[tuple[str, str]] = []
    for part in parts:
        if part["kind"] == "heading" and part["level"] == 2:
            part["anchor"] = f"section-{len(contents) + 1}"
            contents.append((part["anchor"], part["text"]))
    return contents


def _have(parts: Sequence[dict[str, Any]], kind: str) -> bool:
    """Whether a part of this kind is among them, or folded inside one."""
    return any(part["kind"] == kind or _have(part.get("parts", ()), kind) for part in parts)


@cache
def _source(name: str) -> str:
    return resources.files("sagecraft.reporting").joinpath(name).read_text(encoding="utf-8")


@cache
def _template() -> Template:
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(_source("page.jinja"))
