r"""What LaTeXML makes of a paper (ar5iv, arXiv's own pages): tables of equations, citations, notes, run-in titles."""

from __future__ import annotations

import re
from typing import Any

from sagecraft.corpus.readers.blocks import collapse
from sagecraft.corpus.readers.html_math import tex_text
from sagecraft.corpus.readers.html_page import classes_of
from sagecraft.corpus.readers.latex_cite import from_entry, from_label
from sagecraft.corpus.readers.mathml import local_name, to_latex

_NUMBER = re.compile(r"[A-Za-z]{0,3}\.?[\d.]+[a-z]?'?|[A-Z]|\*")
_NUMBER_CLASSES = frozenset(("ltx_tag_equation", "ltx_tag_equationgroup", "ltx_eqn_eqno"))

#: Class → the tag whose handler reads it: inside running text LaTeXML writes tables as spans.
TAGS = {
    "ltx_tabular": "table",
    "ltx_eqn_table": "table",
    "ltx_thead": "thead",
    "ltx_tbody": "tbody",
    "ltx_tr": "tr",
    "ltx_td": "td",
    "ltx_listing": "pre",
    "ltx_itemize": "ul",
    "ltx_enumerate": "ol",
    "ltx_item": "li",
    "ltx_quote": "blockquote",
}
#: Class → emphasis mark.
FONTS = {"ltx_font_bold": "**", "ltx_font_italic": "*", "ltx_font_slanted": "*", "ltx_emph": "*"}


def tag_of(element: Any) -> str:
    """The tag of an element, or the one that its LaTeXML class stands for."""
    name = local_name(element)
    if name in ("span", "div"):
        for class_name in classes_of(element):
            if class_name in TAGS:
                return TAGS[class_name]
    return name


def equation(element: Any) -> tuple[str, int]:
    r"""An equation, or a group of them, and how many formulas it holds.

    Several rows become `aligned`, with their numbers in one `\tag` behind it, since `aligned` takes none inside.
    """
    rows: list[list[str]] = []
    numbers: list[str] = []
    num_math = 0
    for row in _rows(element):
        cells: list[str] = []
        for cell in row:
            # Cells of a row are read to the end here; a table of equations inside a table does not occur.
            latex = [to_latex(node) for node in cell.iter() if local_name(node) == "math"]
            num_math += len(latex)
            if not latex and not _numbers(cell) and (words := collapse(cell.text_content())):
                latex = [rf"\text{{{tex_text(words)}}}"]
            if not latex and not cells:
                continue
            cells.append(" ".join(filter(None, latex)))
        while cells and not cells[-1]:
            cells.pop()
        if cells:
            rows.append(cells)
        numbers += _numbers(row)
    if not num_math:
        return "", 0
    lone = numbers or _numbers(element)
    tag = rf" \tag{{{_range(list(dict.fromkeys(lone)))}}}" if lone else ""
    if len(rows) <= 1:
        return (" ".join(cell for row in rows for cell in row) or _loose(element)) + tag, num_math
    body = r" \\ ".join(" & ".join(row) for row in rows)
    return rf"\begin{{aligned}} {body} \end{{aligned}}{tag}", num_math


def _rows(element: Any) -> list[Any]:
    rows = [node for node in element.iter() if local_name(node) == "tr" or "ltx_eqn_row" in classes_of(node)]
    return rows or [element]


def _loose(element: Any) -> str:
    return " ".join(filter(None, (to_latex(node) for node in element.iter() if local_name(node) == "math")))


def _numbers(element: Any) -> list[str]:
    tags = [node for node in element.iter() if not _NUMBER_CLASSES.isdisjoint(classes_of(node))]
    texts = [collapse(node.text_content()).strip("()[] ") for node in tags]
    return [text for text in texts if _NUMBER.fullmatch(text)]


def _range(numbers: list[str]) -> str:
    """`2`, `2–4` for numbers in a row, else `2, 5`."""
    plain = [int(number) for number in numbers if number.isascii() and number.isdigit() and len(number) < 6]
    if len(plain) == len(numbers) > 1 and plain == list(range(plain[0], plain[0] + len(plain))):
        return f"{numbers[0]}–{numbers[-1]}"
    return ", ".join(numbers[:20])


class Bibliography:
    """The items of a bibliography, looked up when a citation by number asks for one.

    Attributes:
        num_cited: citations by number that were met.
        num_resolved: those that became authors and year.
    """

    def __init__(self, root: Any) -> None:
        self._items: dict[str, Any] = {}
        for node in root.iter():
            if local_name(node) and "ltx_bibitem" in classes_of(node) and node.get("id"):
                self._items[node.get("id")] = node
        self._labels: dict[str, str] = {}
        self.num_cited = self.num_resolved = 0

    def citation(self, cite: Any) -> str | None:
        """A citation by number as authors and years; None if it names authors already or nothing is known."""
        links = [node for node in cite.iter("a") if (node.get("href") or "").rpartition("#")[2] in self._items]
        text = collapse(cite.text_content())
        if not links or re.search(r"[A-Za-z]{3}", text):
            return None
        labels = [self._label((link.get("href") or "").rpartition("#")[2]) for link in links]
        self.num_cited += len(labels)
        self.num_resolved += sum(map(bool, labels))
        known = list(dict.fromkeys(filter(None, labels)))
        if known and text[:1] not in "[(" and len(known) == 1:
            authors, _, year = known[0].rpartition(" ")
            return f"{authors} ({year})"  # the work itself is spoken of
        return f"({'; '.join(known)})" if known else None

    def _label(self, key: str) -> str:
        if key not in self._labels:
            self._labels[key] = _label_of(self._items[key])
        return self._labels[key]


def _label_of(item: Any) -> str:
    tags = [collapse(node.text_content()) for node in item.iter() if "ltx_tag_bibitem" in classes_of(node)]
    reference = next((found for tag in tags if (found := from_label(tag))), None)
    if reference is None:
        blocks = [collapse(node.text_content()) for node in item.iter() if "ltx_bibblock" in classes_of(node)]
        reference = from_entry(" ".join(blocks)[:2000])
    return f"{reference.authors} {reference.year}" if reference else ""


def note_text(element: Any) -> Any:
    """The element with the text of a note, or None for a mark without text."""
    return next((node for node in element.iter() if "ltx_note_content" in classes_of(node)), None)
