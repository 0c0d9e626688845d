r"""Building Markdown from a tree of elements: paragraphs, headings, lists, tables and mathematics.

A reader walks its tree, adds inline text as it meets it and closes blocks; spaces are set here, in one place.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

#: Stands for a line break that the author asked for, until spaces are collapsed. (A control character: text cannot hold it.)
BREAK = "\x1e"
#: Stand for the dollar signs of inline formulas until the paragraph is closed, so that neighbours can be joined.
_MATH_OPEN, _MATH_CLOSE = "\x02", "\x03"
_MARKERS = str.maketrans("", "", BREAK + _MATH_OPEN + _MATH_CLOSE)
#: `**unit****s**`: emphasis that ends and begins again inside a word.
_EMPHASIS_SEAM = re.compile(r"(?<=\w)\*{4}(?=\w)")
_SPACE = re.compile(r"[ \t\r\n\f\v]+")
# None scans past a second opening: a page of openings without an end costs no more than another.
TEX_INLINE = re.compile(r"\\\(((?:(?!\\\().)+?)\\\)", re.DOTALL)
TEX_DISPLAY = re.compile(r"(?<!\\)\\\[((?:(?!(?<!\\)\\\[).)+?)\\\]", re.DOTALL)
_BEGIN_DISPLAY = re.compile(
    r"\\begin\{(equation|align|gather|multline|eqnarray)(\*?)\}((?:(?!\\begin\{\1).)+?)\\end\{\1\2\}", re.DOTALL
)


def escape_text(text: str) -> str:
    """Text of a page as Markdown: a dollar sign is not the beginning of a formula."""
    return text.translate(_MARKERS).replace("$", r"\$")


def inline_math(latex: str) -> str:
    """A formula in running text; nothing for an empty one."""
    return f"{_MATH_OPEN}{latex}{_MATH_CLOSE}" if latex else ""


def begins_with_math(text: str) -> bool:
    """True if inline text opens with a formula."""
    return text.startswith(("$", _MATH_OPEN, r"\("))


def collapse(text: str) -> str:
    """One space for every run of them; the breaks that were asked for become line ends."""
    # Two formulas side by side would read as the beginning of a display: `$a$$b$`.
    text = _SPACE.sub(" ", text).replace(_MATH_CLOSE + _MATH_OPEN, " ").replace(r"\$" + _MATH_OPEN, r"\$ $")
    text = text.replace(_MATH_OPEN, "$").replace(_MATH_CLOSE, "$")
    text = _EMPHASIS_SEAM.sub("", text)
    return re.sub(rf" ?{BREAK} ?", "\n", text).strip()


class Blocks:
    r"""Markdown in the making.

    Attributes:
        done: finished blocks.
        tex_delimiters: convert `\(…\)` and `\[…\]` in text (pages that are rendered by a script).
    """

    def __init__(self, tex_delimiters: bool = False) -> None:
        self.done: list[str] = []
        self.tex_delimiters = tex_delimiters
        self._inline: list[str] = []

    def add(self, text: str) -> None:
        """Adds inline text to the open paragraph."""
        self._inline.append(text)

    def take(self) -> str:
        """Closes the open paragraph and hands its text over instead of keeping it as a block."""
        text = collapse("".join(self._inline))
        self._inline = []
        if self.tex_delimiters:
            text = _BEGIN_DISPLAY.sub(_environment, text)
            text = TEX_DISPLAY.sub(lambda found: f"\n\n$${found.group(1).strip()}$$\n\n", text)
            text = TEX_INLINE.sub(lambda found: f"${found.group(1).strip()}$", text)
            text = re.sub(r" *\n\n *", "\n\n", text).strip()
        return text

    def close(self) -> None:
        """Ends the open paragraph."""
        if text := self.take():
            self.done.append(text)

    def block(self, text: str) -> None:
        """Adds a block that is Markdown already."""
        self.close()
        if text.strip():
            self.done.append(text)

    def heading(self, level: int, title: str) -> None:
        """Adds a heading of level 1 to 6."""
        if title := collapse(title):
            self.block(f"{'#' * min(max(level, 1), 6)} " + title.replace("\n", " "))

    def display(self, latex: str) -> None:
        """Adds a formula on a line of its own."""
        if latex:
            self.block(f"$${latex}$$")

    def render(self) -> str:
        """The whole text, blank lines between blocks."""
        self.close()
        return "\n\n".join(self.done)


def _environment(found: re.Match[str]) -> str:
    name = {"equation": "", "align": "aligned", "eqnarray": "aligned", "gather": "gathered", "multline": "gathered"}
    body, inner = found.group(3).strip(), name[found.group(1)]
    return rf"\[\begin{{{inner}}} {body} \end{{{inner}}}\]" if inner else rf"\[{body}\]"


def list_block(items: Sequence[str], ordered: bool, start: int = 1) -> str:
    """A Markdown list; items may hold several blocks, which are indented."""
    lines = []
    for number, item in enumerate((item for item in items if item.strip()), start=start):
        mark = f"{number}. " if ordered else "- "
        lines.append(mark + item.strip().replace("\n", "\n" + " " * len(mark)))
    return re.sub(r"\n +(?=\n)", "\n", "\n".join(lines))


def table_block(rows: Sequence[Sequence[str]], num_header_rows: int = 1) -> str:
    """A Markdown table; header rows are merged to one, short rows are filled up."""
    cells = [[_SPACE.sub(" ", cell.replace("|", r"\|")).strip() for cell in row] for row in rows]
    cells = [row for row in cells if any(row)]
    width = max((len(row) for row in cells), default=0)
    if not width:
        return ""
    cells = [row + [""] * (width - len(row)) for row in cells]
    num_header_rows = min(num_header_rows, len(cells) - 1)
    header = [" ".join(filter(None, column)) for column in zip(*cells[:num_header_rows], strict=True)] or [""] * width
    lines = [header, ["---"] * width, *cells[num_header_rows:]]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def raise_or_lower(text: str, raised: bool) -> str:
    """Superscript or subscript in running text as mathematics; `st`, `nd`, `rd`, `th` of ordinals stay letters."""
    text = collapse(text)
    if not text or (raised and text in ("st", "nd", "rd", "th", "TM", "®", "™")):
        return text
    if "$" in text or "\\" in text:
        inner = text.replace("$", "")
    elif text.isalpha() and len(text) > 1:
        inner = rf"\text{{{text}}}"
    else:
        inner = text.replace("−", "-").replace("–", "-").replace("%", r"\%").replace("#", r"\#").replace("&", r"\&")
    return inline_math(f"{'^' if raised else '_'}{{{inner}}}")
