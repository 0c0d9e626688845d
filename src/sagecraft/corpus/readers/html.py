r"""HTML pages: the article without the page around it, its mathematics as LaTeX.

Mathematics comes as MathML (with the author's TeX beside it or without), as LaTeXML's tables of equations (ar5iv), as
`math/tex` scripts, or as `\(…\)` in the text for a script to render.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sagecraft.corpus.readers.blocks import (
    BREAK,
    Blocks,
    begins_with_math,
    collapse,
    escape_text,
    inline_math,
    list_block,
    raise_or_lower,
    table_block,
)
from sagecraft.corpus.readers.html_page import Metadata, is_dropped, main_part, parse_html
from sagecraft.corpus.readers.mathml import is_display, local_name, tidy_tex, to_latex
from sagecraft.corpus.readers.result import ReaderError, ReadResult

#: Pages nested deeper than this are made by accident or malice; deeper text is kept without its structure.
_MAX_DEPTH = 100
_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_BLOCK_TAGS = frozenset((
    "p", "div", "section", "article", "main", "body", "figure", "figcaption", "details", "summary", "address",
    "center", "hgroup", "fieldset", "tbody", "dd", "dt", "html", "caption", "blockquote", "ul", "ol", "dl", "table",
    "pre", "hr",
))  # fmt: skip
_MARKS = {"b": "**", "strong": "**", "i": "*", "em": "*", "cite": "*", "dfn": "*", "var": "*"}
_DOLLAR_SCRIPT = re.compile(r"mathjax|katex", re.IGNORECASE)
_DOLLAR_MATH = re.compile(r"\$\$.+?\$\$|\$(?=\S)[^$\n]{1,500}?(?<=\S)\$", re.DOTALL)
_EQUATION_CLASSES = ("ltx_equation", "ltx_eqn_table", "ltx_equationgroup")


def read_html(path: Path, root: Path) -> ReadResult:  # noqa: ARG001 - the signature of every reader
    """Reads a page.

    Raises:
        ReaderError: the file cannot be read or holds no text.
    """
    page = parse_html(path)
    metadata = Metadata(page)
    scripts = " ".join(f"{node.get('src') or ''} {(node.text or '')[:2000]}" for node in page.iter("script"))
    reader = _Page(dollar_math=bool(_DOLLAR_SCRIPT.search(scripts)))
    part = main_part(page)
    reader.blocks(part, 0, outermost=True)
    text = reader.out.render()
    if not text.strip():
        raise ReaderError("no-text", f"<{local_name(part)}> holds no text")
    return ReadResult(
        text=text,
        title=metadata.title,
        authors=metadata.authors,
        year=metadata.year,
        categories=metadata.categories,
        license=metadata.license,
        identifier=metadata.identifier,
        counts={"math": reader.num_math, **({"flattened": reader.num_flattened} if reader.num_flattened else {})},
    )


class _Page:
    """Walks one page; `out` holds the Markdown so far."""

    def __init__(self, dollar_math: bool) -> None:
        self.out = Blocks(tex_delimiters=True)
        self.num_math = 0
        self.num_flattened = 0
        self._dollar_math = dollar_math
        self._handlers: dict[str, Callable[[Any, int], None]] = {
            "ul": self._list,
            "ol": self._list,
            "dl": self._definitions,
            "table": self._table,
            "pre": self._code,
            "blockquote": self._quote,
            "math": self._math,
            "figure": self._figure,
            "hr": lambda element, depth: self.out.close(),  # noqa: ARG005
        }

    def _text(self, text: str | None) -> str:
        if not text:
            return ""
        if not self._dollar_math or "$" not in text:
            return escape_text(text)
        pieces: list[str] = []
        end = 0
        for found in _DOLLAR_MATH.finditer(text):
            pieces += [escape_text(text[end : found.start()]), found.group()]
            end = found.end()
        return "".join([*pieces, escape_text(text[end:])])

    # Blocks

    def blocks(self, element: Any, depth: int, outermost: bool = False) -> None:
        """The content of an element: text, inline and block children in their order."""
        if depth > _MAX_DEPTH:
            self.num_flattened += 1
            self.out.add(escape_text(" ".join(element.itertext())))
            return
        if not outermost and local_name(element) in _BLOCK_TAGS:
            self.out.close()
        self.out.add(self._text(element.text))
        for child in element:
            self._one(child, depth + 1)
            self.out.add(self._text(child.tail))
        if local_name(element) in _BLOCK_TAGS:
            self.out.close()

    def _one(self, child: Any, depth: int) -> None:
        name = local_name(child)
        if name == "script" and (child.get("type") or "").startswith("math/tex"):
            self._tex_script(child)
        elif not name or is_dropped(child):
            return
        elif name in _HEADINGS:
            self.out.close()
            self.out.heading(_HEADINGS[name], self._nested_line(child, depth))
        elif name in self._handlers:
            self._handlers[name](child, depth)
        elif name in _BLOCK_TAGS or self._holds_blocks(child):
            self.blocks(child, depth)
        else:
            self.out.add(self._inline_of(child, depth))

    @staticmethod
    def _holds_blocks(element: Any) -> bool:
        """True for an inline element around blocks (`<a><div>`, a LaTeXML span around an equation)."""
        for node in element.iter():
            name = local_name(node)
            if node is not element and (
                name in _BLOCK_TAGS or name in _HEADINGS or (name == "math" and is_display(node))
            ):
                return True
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

    def _math(self, element: Any, depth: int) -> None:  # noqa: ARG002
        self.num_math += 1
        latex = to_latex(element)
        if is_display(element):
            self.out.display(latex)
        else:
            self.out.add(inline_math(latex))

    def _tex_script(self, element: Any) -> None:
        self.num_math += 1
        latex = collapse(tidy_tex(element.text or ""))
        if "mode=display" in element.get("type"):
            self.out.display(latex)
        else:
            self.out.add(inline_math(latex))

    def _list(self, element: Any, depth: int) -> None:
        self.out.close()
        items = [self._nested(item, depth) for item in element if local_name(item) == "li" and not is_dropped(item)]
        start = element.get("start") or "1"
        first = int(start) if re.fullmatch(r"\d{1,6}", start) else 1
        self.out.block(list_block(items, local_name(element) == "ol", first))

    def _definitions(self, element: Any, depth: int) -> None:
        self.out.close()
        term = ""
        for child in element.iter("dt", "dd"):
            if local_name(child) == "dt":
                term = self._nested_line(child, depth)
            elif meaning := self._nested(child, depth):
                self.out.block(f"**{term.strip('*')}**: {meaning}" if term else meaning)
                term = ""

    def _table(self, element: Any, depth: int) -> None:
        self.out.close()
        classes = (element.get("class") or "").split()
        if any(name in classes for name in _EQUATION_CLASSES):
            self._equation_rows(element)
            return
        rows: list[list[str]] = []
        num_header_rows = 0
        for row in element.iter("tr"):
            if row.xpath("ancestor::table[1]")[0] is not element:
                continue
            cells = [cell for cell in row if local_name(cell) in ("td", "th") and not is_dropped(cell)]
            if cells and len(rows) == num_header_rows and all(local_name(cell) == "th" for cell in cells):
                num_header_rows += 1
            rows.append([text for cell in cells for text in self._cell(cell, depth)])
        caption = next((child for child in element if local_name(child) == "caption"), None)
        if caption is not None:
            self.out.block(self._nested_line(caption, depth))
        if max((len(row) for row in rows), default=0) == 1:
            # One column is layout, not a table.
            for row in rows:
                self.out.block(row[0] if row else "")
            return
        self.out.block(table_block(rows, num_header_rows))

    def _cell(self, cell: Any, depth: int) -> list[str]:
        span = cell.get("colspan") or "1"
        width = min(int(span), 50) if re.fullmatch(r"\d{1,4}", span) else 1
        return [self._nested_line(cell, depth), *[""] * (width - 1)]

    def _equation_rows(self, element: Any) -> None:
        """LaTeXML lays equations out as tables: one row, one formula, its number in the last cell."""
        for row in element.iter("tr"):
            maths = list(row.iter("math"))
            self.num_math += len(maths)
            latex = " ".join(filter(None, (to_latex(math) for math in maths)))
            tags = [node for node in row.iter() if "ltx_tag" in (node.get("class") or "").split()]
            number = collapse(tags[0].text_content()).strip("()") if tags else ""
            tag = rf" \tag{{{number}}}" if re.fullmatch(r"[A-Za-z]?[\d.]+[a-z]?", number) else ""
            self.out.display(latex + tag if latex else "")

    def _code(self, element: Any, depth: int) -> None:  # noqa: ARG002
        code = element.text_content().strip("\n")
        self.out.block(f"```\n{code}\n```" if code.strip() and "```" not in code else "")

    def _quote(self, element: Any, depth: int) -> None:
        text = self._nested(element, depth)
        self.out.block("\n".join(f"> {line}".rstrip() for line in text.split("\n")) if text else "")

    def _figure(self, element: Any, depth: int) -> None:
        self.out.close()
        self.blocks(element, depth)
        self.out.close()

    # Inline

    def _inline(self, element: Any, depth: int) -> str:
        pieces = [self._text(element.text)]
        for child in element:
            pieces += [self._inline_of(child, depth + 1), self._text(child.tail)]
        return "".join(pieces)

    def _inline_of(self, element: Any, depth: int) -> str:
        name = local_name(element)
        if depth > _MAX_DEPTH:
            self.num_flattened += 1
            return escape_text(" ".join(element.itertext()))
        if name == "math":
            self.num_math += 1
            return inline_math(to_latex(element))
        if name == "script" and (element.get("type") or "").startswith("math/tex"):
            self.num_math += 1
            return inline_math(collapse(tidy_tex(element.text or "")))
        if not name or name == "img" or is_dropped(element):
            return ""
        if name == "br":
            return BREAK
        if name in ("sup", "sub"):
            return raise_or_lower(self._inline(element, depth), name == "sup")
        if name in ("code", "kbd", "samp", "tt"):
            code = " ".join(element.text_content().split())
            return f"`{code}`" if code and "`" not in code else code
        if name == "q":
            return f"“{self._inline(element, depth)}”"
        return _marked(self._inline(element, depth), _MARKS.get(name, ""))


def _marked(text: str, mark: str) -> str:
    """Text in emphasis marks, which must touch it; formulas and text that is marked already need none."""
    inner = text.strip()
    if not mark or not inner or begins_with_math(inner) or inner.startswith("*") or BREAK in inner:
        return text
    lead, tail = text[: len(text) - len(text.lstrip())], text[len(text.rstrip()) :]
    return f"{lead}{mark}{inner}{mark}{tail}"
