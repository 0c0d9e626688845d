r"""Building Markdown from a tree of elements: paragraphs, headings, lists, tables and mathematics.

A reader walks its tree, adds inline text as it meets it and closes blocks; spaces are set here, in one place.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import zip_longest

from sagecraft.corpus.readers.latex_tables import escape_bars

#: Stands for a line break that the author asked for, until spaces are collapsed. (A control character: text cannot hold it.)
BREAK = "\x1e"
#: Parts a worked example or an exercise from the text behind it; a rule that no reader of sentences takes for a heading.
END_OF_PART = "* * *"
#: Stand for the dollar signs of inline formulas until the paragraph is closed, so that neighbours can be joined.
_MATH_OPEN, _MATH_CLOSE = "\x02", "\x03"
_MARKERS = str.maketrans("", "", BREAK + _MATH_OPEN + _MATH_CLOSE)
#: `**unit****s**`: emphasis that ends and begins again inside a word.
_EMPHASIS_SEAM = re.compile(r"(?<=\w)\*{4}(?=\w)")
#: A larger table is written as it is: its short rows are not filled up, its spans not spread.
MAX_CELLS = 1_000_000
_SPACE = re.compile(r"[ \t\r\n\f\v]+")
# None scans past a second opening: a page of openings without an end costs no more than another.
TEX_INLINE = re.compile(r"\\\(((?:(?!\\\().)+?)\\\)", re.DOTALL)
TEX_DISPLAY = re.compile(r"(?<!\\)\\\[((?:(?!(?<!\\)\\\[).)+?)\\\]", re.DOTALL)
_BEGIN_DISPLAY = re.compile(
    r"\\begin\{(equation|displaymath|align|flalign|gather|multline|eqnarray)(\*?)\}((?:(?!\\begin\{\1).)+?)\\end\{\1\2\}",
    re.DOTALL,
)


def escape_text(text: str) -> str:
    """Text of a page as Markdown: a dollar sign is not the beginning of a formula."""
    return text.translate(_MARKERS).replace("$", r"\$")


def dollar_math(text: str) -> str:
    r"""Text with formulas between `\(…\)` and `\[…\]` as `$…$` and `$$…$$`."""
    if "\\(" in text:
        text = TEX_INLINE.sub(lambda found: f"${found.group(1).strip()}$", text)
    if "\\[" in text:
        text = TEX_DISPLAY.sub(lambda found: f"$${found.group(1).strip()}$$", text)
    return text


def inline_math(latex: str) -> str:
    """A formula in running text; nothing for an empty one."""
    return f"{_MATH_OPEN}{latex}{_MATH_CLOSE}" if latex else ""


def begins_with_math(text: str) -> bool:
    """True if inline text opens with a formula."""
    return text.startswith(("$", _MATH_OPEN, r"\("))


def marked(text: str, mark: str) -> str:
    """Text in emphasis marks, which must touch it; formulas and text that is marked already need none."""
    inner = text.strip()
    if not mark or not inner or begins_with_math(inner) or inner.startswith("*") or BREAK in inner:
        return text
    lead, tail = text[: len(text) - len(text.lstrip())], text[len(text.rstrip()) :]
    return f"{lead}{mark}{inner}{mark}{tail}"


def aside(text: str) -> str:
    """A footnote where it is called: in brackets, its full stop aside."""
    text = collapse(text).replace("\n", " ").rstrip(".")
    return f" ({text})" if text else ""


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
        headings: which of them are headings: position → level.
        tex_delimiters: convert `\(…\)` and `\[…\]` in text (pages that are rendered by a script).
    """

    def __init__(self, tex_delimiters: bool = False) -> None:
        self.done: list[str] = []
        self.headings: dict[int, int] = {}
        self.tex_delimiters = tex_delimiters
        self._inline: list[str] = []
        self._lead = ""

    def lead(self, text: str) -> None:
        """Text that the next paragraph begins with, whatever elements stand between: a title that runs in."""
        self.close()
        self._lead = text

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
            self.done.append(self._lead + text)
            self._lead = ""

    def block(self, text: str) -> None:
        """Adds a block that is Markdown already."""
        self.close()
        if text.strip():
            self.done += [self._lead.strip(), text] if self._lead else [text]
            self._lead = ""

    def heading(self, level: int, title: str) -> None:
        """Adds a heading of level 1 to 6."""
        if title := collapse(title):
            level = min(max(level, 1), 6)
            self.block(f"{'#' * level} " + title.replace("\n", " "))
            self.headings[len(self.done) - 1] = level

    def drop_sections(self, titles: re.Pattern[str]) -> int:
        """Takes out the sections whose titles match, with all below them, and returns how many there were."""
        self.close()
        kept: list[str] = []
        headings: dict[int, int] = {}
        dropped, num_dropped = 0, 0
        for position, block in enumerate(self.done):
            level = self.headings.get(position, 0)
            if level and (not dropped or level <= dropped):
                dropped = level if titles.fullmatch(block.lstrip("# ").strip(" *:.")) else 0
                num_dropped += bool(dropped)
            if not dropped:
                if level:
                    headings[len(kept)] = level
                kept.append(block)
        self.done, self.headings = kept, headings
        return num_dropped

    def display(self, latex: str) -> None:
        """Adds a formula on a line of its own."""
        if latex:
            self.block(f"$${latex}$$")

    def render(self) -> str:
        """The whole text, blank lines between blocks."""
        self.close()
        return "\n\n".join(self.done)


def _environment(found: re.Match[str]) -> str:
    return rf"\[{inside_display(found.group())}\]"


def inside_display(tex: str) -> str:
    """A display environment as it stands between two dollar signs: `align` is `aligned` there, `equation` nothing."""
    found = _BEGIN_DISPLAY.fullmatch(tex)
    if not found:
        return tex
    body, name = found.group(3).strip(), found.group(1)
    inner = "gathered" if name in ("gather", "multline") else "aligned"
    if name == "eqnarray":  # three columns, the relation in the middle
        body = re.sub(r"&([^&\\]{0,20}|\s*\\[a-z]+\s*)&", r"& \1", body)
    body = re.sub(r"\\label\{[^{}]*\}", "", body).strip()
    return body if name in ("equation", "displaymath") else rf"\begin{{{inner}}} {body} \end{{{inner}}}"


def list_block(items: Sequence[str], ordered: bool, start: int = 1, style: str = "1") -> str:
    """A Markdown list; items may hold several blocks, which are indented.

    Args:
        items: Markdown of each.
        ordered: whether they are counted.
        start: the first number.
        style: how they are counted: `1`, `a`, `A`, `i` or `I`. Markdown has numbers only: `(b)` is written out.
    """
    lines = []
    for number, item in enumerate((item for item in items if item.strip()), start=start):
        mark = "- " if not ordered else f"{number}. " if style == "1" else f"- ({_counted(number, style)}) "
        indent = 2 if mark.startswith("-") else len(mark)
        lines.append(mark + item.strip().replace("\n", "\n" + " " * indent))
    return re.sub(r"\n +(?=\n)", "\n", "\n".join(lines))


def _counted(number: int, style: str) -> str:
    if style in "aA":
        mark = chr(ord("a") + (number - 1) % 26) * ((number - 1) // 26 + 1)
    else:
        steps = ((100, "c"), (90, "xc"), (50, "l"), (40, "xl"), (10, "x"), (9, "ix"), (5, "v"), (4, "iv"), (1, "i"))
        mark, left = "", number
        for value, letters in steps:
            mark += letters * (left // value)
            left %= value
    return mark.upper() if style.isupper() else mark


def table_block(rows: Sequence[Sequence[str]], num_header_rows: int = 1) -> str:
    """A Markdown table; header rows are merged to one, short rows are filled up."""
    cells = [[escape_bars(_SPACE.sub(" ", cell.replace("\n", " "))).strip() for cell in row] for row in rows]
    cells = [row for row in cells if any(row)]
    width = max((len(row) for row in cells), default=0)
    if not width:
        return ""
    if width * len(cells) <= MAX_CELLS:
        cells = [row + [""] * (width - len(row)) for row in cells]
    num_header_rows = min(num_header_rows, len(cells) - 1)
    header = [" ".join(filter(None, column)) for column in zip_longest(*cells[:num_header_rows], fillvalue="")] or [
        ""
    ] * width
    lines = [header, ["---"] * width, *cells[num_header_rows:]]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def quote_block(text: str) -> str:
    """A quotation; nothing for an empty one."""
    return "\n".join(f"> {line}".rstrip() for line in text.split("\n")) if text.strip() else ""


def code_block(code: str) -> str:
    """Code between fences; code that holds a fence itself gets a longer one."""
    code = code.strip("\n")
    fence = "`" * max([2, *(len(run) for run in re.findall("`{3,}", code))]) + "`"
    return f"{fence}\n{code}\n{fence}" if code.strip() else ""


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
