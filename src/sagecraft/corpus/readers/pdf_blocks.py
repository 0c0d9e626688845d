"""Lines in reading order to blocks: paragraphs, headings, captions, notes, tables, formulas."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sagecraft.corpus.readers.blocks import table_block
from sagecraft.corpus.readers.pdf_lines import END, RAISED, Line, text_of

_CAPTION = re.compile(
    r"(?:Extended Data |Supplementary )?(?:Fig(?:ure|\.)?|FIG(?:URE|\.)?|Tab(?:le|\.)|TABLE|Plate|Scheme|Algorithm|Listing|Box)"
    r"\s*[A-Z]?\d+(?:\.\d+)*[a-z]?\b"
)
# `A` without a sign behind it is an article more often than a number.
_NUMBERING = re.compile(
    r"(?:Appendix\s+)?((?:\d{1,2}|[B-Z]|A(?=[.:])|(?<=Appendix )A)(?:\.\d{1,2}){0,3})[.:]?\s+(?=\S)|([IVX]{1,5})\.\s+(?=\S)"
)
_SUBSECTION = re.compile(r"(?:\d{1,2}|[A-Z])(?:\.\d{1,2}){1,3}\.?\s+[^\W\d_]")
_KNOWN_HEADINGS = re.compile(
    r"(?:abstract|summary|introduction|background|methods?|results|discussions?|conclusions?|references|bibliography|"
    r"literature cited|acknowledge?ments?|appendix|appendices|keywords)\W*",
    re.IGNORECASE,
)
_BULLET = re.compile(r"[•◦▪‣·∙*–—-]\s|\(?(?:\d{1,2}|[a-z]|[ivx]{1,4})[.)]\s")
_BRACKETED = re.compile(r"\[\d{1,3}\]\s*\S")
_EQUATION_NUMBER = re.compile(r"\([A-Z]?\d{1,3}(?:\.\d{1,3})?[a-z]?\)\s*$")
_SYMBOLS = frozenset("=+−<>≤≥∼≈∝×÷±∑∏∫∂∇∞√∈∀∃→⟨⟩·∗/")
_LEADERS = re.compile(r"(?:\.\s?){6,}\s*\d{0,4}\s*$|(?:\s\.){4,}\s*\d{0,4}\s*$")
_NOTE_MARK = re.compile(rf"^{RAISED}([^{END}]{{1,4}}){END}\s*|^(\d{{1,2}}|[*†‡§¶])\s+(?=\S)")
_TERMINAL = re.compile(r"[.!?:][\"'”’)\]]*$")


@dataclass(slots=True)
class Block:
    """Lines that belong together.

    Attributes:
        kind: `body`, `heading`, `caption`, `note`, `table`, `math`, `contents`, `fragment`, and
            `placed` for a note that stands where its mark was.
        lines: in their order.
        level: of a heading.
    """

    kind: str
    lines: list[Line]
    level: int = 0

    @property
    def size(self) -> float:
        """Font size of most of its lines."""
        return Counter(round(line.size, 1) for line in self.lines).most_common(1)[0][0]

    @property
    def bold(self) -> bool:
        """All of it is bold."""
        return all(line.share("bold") > 0.8 for line in self.lines)

    @property
    def indented(self) -> bool:
        """Its first line begins to the right of the edge of its column."""
        first = self.lines[0]
        return first.x0 > first.left + 0.6 * first.size


@dataclass(frozen=True)
class Measures:
    """What is usual in a document.

    Attributes:
        size: font size of running text, in points.
        leading: distance of its lines, by font size (rounded to a tenth).
        indents: paragraphs begin with an indented line.
    """

    size: float
    leading: dict[float, float]
    indents: bool

    def lead(self, size: float) -> float:
        """Distance of lines of a size."""
        return self.leading.get(round(size, 1), 1.25 * size)


def measure(lines: Sequence[Line]) -> Measures:
    """Finds the usual sizes and distances of a document."""
    sizes: Counter[float] = Counter()
    steps: dict[float, Counter[float]] = {}
    indented = 0
    for before, line in zip([None, *lines], lines, strict=False):
        sizes[round(line.size, 1)] += sum(len(word.text) for word in line.words)
        if before is not None and before.column == line.column and abs(before.size - line.size) < 0.05 * line.size:
            step = before.y - line.y
            if 0.9 * line.size < step < 3.0 * line.size:
                steps.setdefault(round(line.size, 1), Counter())[round(step, 1)] += 1
            full = before.x1 > before.right - 2.0 * before.size
            if (
                full is False
                and 0.6 * line.size < line.x0 - line.left < 4 * line.size
                and before.x0 - before.left < 0.3 * line.size
            ):
                indented += 1
    size = max(sizes, key=lambda value: (sizes[value], value)) if sizes else 10.0
    leading = {key: max(found, key=lambda value: (found[value], -value)) for key, found in steps.items()}
    return Measures(size, leading, indented >= max(2, len(lines) / 150))


def make_blocks(lines: Sequence[Line], usual: Measures) -> list[Block]:
    """Cuts the lines of a document into blocks and says what each is."""
    blocks: list[Block] = []
    for kind, run in _runs(lines):
        if kind != "text":
            blocks.append(Block(kind, run))
            continue
        current: list[Line] = []
        for line in run:
            if current and _begins(current, line, usual):
                blocks.append(_judge(current, usual))
                current = []
            current.append(line)
        if current:
            blocks.append(_judge(current, usual))
    _complete_captions(blocks)
    _notes(blocks, usual)
    return blocks


def _complete_captions(blocks: list[Block]) -> None:
    """A label on a line of its own goes with the text under it."""
    index = 0
    while index + 1 < len(blocks):
        label, follower = blocks[index], blocks[index + 1]
        alone = (
            label.kind == "caption"
            and len(label.lines) == 1
            and _CAPTION.fullmatch(label.lines[0].plain().rstrip(".: "))
        )
        same = label.lines[-1].column == follower.lines[0].column
        close = label.lines[-1].y - follower.lines[0].y < 2.5 * label.size
        if alone and same and close and follower.kind == "body":
            label.lines = label.lines + follower.lines
            del blocks[index + 1]
        index += 1


def _runs(lines: Sequence[Line]) -> list[tuple[str, list[Line]]]:
    """Lines of tables, of formulas and of contents pages are taken together; the rest is text."""
    kinds = ["contents" if _LEADERS.search(line.plain()) else "math" if is_math(line) else "text" for line in lines]
    _spread_math(kinds, lines)
    _spread_contents(kinds, lines)
    start = 0
    while start < len(lines):
        end = start
        while (
            end < len(lines)
            and lines[end].breaks
            and lines[end].column == lines[start].column
            and kinds[end] != "contents"
        ):
            end += 1
        formulas = kinds[start:end].count("math")
        if end - start >= 3 and formulas < 0.5 * (end - start) and _is_tabular(lines[start:end]):
            kinds[start:end] = ["table"] * (end - start)
        start = max(end, start + 1)
    runs: list[tuple[str, list[Line]]] = []
    for kind, line in zip(kinds, lines, strict=True):
        if runs and runs[-1][0] == kind and (kind == "text" or runs[-1][1][-1].column == line.column):
            runs[-1][1].append(line)
        else:
            runs.append((kind, [line]))
    return runs


def _spread_math(kinds: list[str], lines: Sequence[Line]) -> None:
    """Limits, lone digits and the like above and below a formula belong to it."""
    for order in (range(1, len(lines)), range(len(lines) - 2, -1, -1)):
        step = order.step
        for index in order:
            line, near = lines[index], lines[index - step]
            if kinds[index] == "text" and kinds[index - step] == "math" and near.column == line.column:
                text = line.plain()
                beside = abs(near.y - line.y) < 1.5 * max(line.size, near.size)
                if beside and len(text) < 30 and not re.search(r"[^\W\d_]{3,}", text):
                    kinds[index] = "math"


def _spread_contents(kinds: list[str], lines: Sequence[Line]) -> None:
    """Beside lines with leaders: titles that take two lines, and lines whose page number stands apart without leaders."""
    for index in range(len(lines) - 2, 0, -1):
        if kinds[index] == "contents":
            continue
        before, after = kinds[index - 1] == "contents", "contents" in kinds[index + 1 : index + 3]
        cells = lines[index].cells()
        numbered = len(cells) > 1 and "".join(word.text for word in cells[-1]).isdigit()
        if (before and after) or (numbered and (before or after)):
            kinds[index] = "contents"


def _is_tabular(lines: Sequence[Line]) -> bool:
    """Rows of a table have short cells; displayed formulas with their numbers and justified prose have not."""
    numbered = sum(bool(_EQUATION_NUMBER.search(line.plain())) and len(line.breaks) == 1 for line in lines)
    wide = sum(
        max(cell[-1].x1 - cell[0].x0 for cell in line.cells()) > 0.75 * (line.right - line.left) for line in lines
    )
    return numbered <= 0.3 * len(lines) and wide <= 0.5 * len(lines)


def is_math(line: Line) -> bool:
    """True for a line that is (a part of) a displayed formula: hardly a word, and signs or letters of formulas."""
    if line.share("bold") > 0.8:
        return False
    text = line.plain()
    largest = max(word.size for word in line.words)
    words = re.findall(r"[^\W\d_]{3,}", " ".join(word.text for word in line.words if word.size > 0.88 * largest))
    maths = line.share("math")
    moved = sum(len(w.text) for w in line.words if w.size < 0.88 * line.size) / max(
        1, sum(len(w.text) for w in line.words)
    )
    letters = sum(map(len, words)) / max(1, len(text.replace(" ", "")))
    signs = sum(character in _SYMBOLS for character in text)
    if maths + moved > 0.35 and letters < 0.5:
        return True
    return letters < 0.25 and (signs >= 2 or maths > 0.15) and len(text) > 2


def _begins(current: list[Line], line: Line, usual: Measures) -> bool:
    """True if a line does not go on with the block before it."""
    last = current[-1]
    if line.column != last.column or abs(line.size - last.size) > 0.06 * last.size:
        return True
    if (line.share("bold") > 0.8) != (last.share("bold") > 0.8) and (len(current) > 1 or not _run_in(last)):
        return True
    if (line.share("italic") > 0.55) != (last.share("italic") > 0.55) and _ends_sentence(last):
        return True
    step = last.y - line.y
    widest = usual.lead(line.size)
    if 0 < step < 2.0 * widest and _in_mid_sentence(last, line):
        return False  # a tall formula in the line pushes it down
    if len(current) > 1:
        widest = min(widest, 1.05 * (current[0].y - last.y) / (len(current) - 1)) if widest > 2 * line.size else widest
    if step <= 0 or step > 1.22 * widest + 0.5:
        return True
    first = line.words[0]
    if line.size < 0.95 * usual.size and first.size < 0.88 * line.size and first.y > line.y + 0.1 * line.size:
        return True  # a note begins with its mark
    if _CAPTION.match(line.plain()) and _TERMINAL.search(last.plain()) and line.size < 0.97 * usual.size:
        return True
    offset, before = line.x0 - line.left, last.x0 - last.left
    if 0.6 * line.size < offset < 5 * line.size and before < 0.4 * line.size and _ends_sentence(last):
        return True
    text = line.plain()
    if _SUBSECTION.match(text) and len(current) < 3 and _NUMBERING.match(current[0].plain()):
        return True  # a heading under a heading
    if _BRACKETED.match(text) and (_BRACKETED.match(current[0].plain()) or _ends_sentence(last)):
        return True
    in_list = _BULLET.match(current[0].plain()) and abs(current[0].x0 - line.x0) < 0.3 * line.size
    if _BULLET.match(text) and (in_list or _ends_sentence(last) or offset > 0.6 * line.size):
        return True
    short = last.x1 < last.right - 0.2 * (last.right - last.left)
    return short and _ends_sentence(last) and text[:1].isupper()


def _in_mid_sentence(last: Line, line: Line) -> bool:
    text, following = last.plain().rstrip(), line.plain()
    full = last.x1 > last.right - last.size and line.x0 < line.left + 0.4 * line.size
    return full and following[:1].islower() and not _TERMINAL.search(text)


def _run_in(line: Line) -> bool:
    """A line that begins bold and goes on in another weight, with the heading on the paragraph's first line."""
    return line.share("bold") < 0.99


def _ends_sentence(line: Line) -> bool:
    return bool(_TERMINAL.search(line.plain().rstrip())) or line.x1 < line.right - 0.35 * (line.right - line.left)


def _judge(lines: list[Line], usual: Measures) -> Block:
    text = " ".join(line.plain() for line in lines)
    if _CAPTION.match(text) and _is_caption(lines, text, usual):
        return Block("caption", lines)
    if _is_heading(lines, text, usual):
        return Block("heading", lines)
    if not re.search(r"[^\W\d_]{3,}", text) and len(text) < 40:
        return Block("fragment", lines)
    return Block("body", lines)


def _is_caption(lines: list[Line], text: str, usual: Measures) -> bool:
    """A sentence may begin with `Figure 3 shows`; a caption has a sign after its number, another size or a bold label."""
    found = _CAPTION.match(text)
    assert found is not None
    after = text[found.end() :].lstrip()
    other = abs(lines[0].size - usual.size) > 0.04 * usual.size
    return (
        not after
        or after[0] in ".:|—–-"
        or lines[0].words[0].bold
        or (other and (after[:1].isupper() or not after[:1].isalpha()))
    )


def _is_heading(lines: list[Line], text: str, usual: Measures) -> bool:
    if len(lines) > 4 or len(text) > 220 or not re.search(r"[^\W\d_]{2,}", text) or text[-1:] in ",;":
        return False
    size = max(line.size for line in lines)
    bold = all(line.share("bold") > 0.8 for line in lines)
    if _KNOWN_HEADINGS.fullmatch(re.sub(_NUMBERING, "", text).strip()) and size > 0.85 * usual.size:
        return True
    found = _NUMBERING.match(text)
    body = text[found.end() :] if found else text
    if not body or not (body[0].isupper() or body[0].isdigit() or found):
        return False
    if size >= 1.12 * usual.size and not text.endswith(".") and len(text) >= 4:
        return True
    if bold and size > 0.9 * usual.size and not text.endswith((".", ":")) and len(text) > 3:
        return True
    letters = [character for character in body if character.isalpha()]
    capital = len(letters) >= 4 and sum(character.isupper() for character in letters) > 0.85 * len(letters)
    if capital and len(lines) <= 2 and size > 0.85 * usual.size and not any(character.isdigit() for character in body):
        return True
    italic = all(line.share("italic") > 0.55 for line in lines)  # the number is often upright
    own = body[0].isupper() and not _TERMINAL.search(text) and len(text) < 120
    alone = lines[-1].x1 < lines[-1].right - 0.1 * (lines[-1].right - lines[-1].left)
    return bool(found) and own and alone and size > 0.85 * usual.size and (italic or len(lines) == 1)


def _notes(blocks: list[Block], usual: Measures) -> None:
    """Small blocks at the foot of a column that begin with a mark are footnotes."""
    last_of_column: dict[int, int] = {}
    for index, block in enumerate(blocks):
        last_of_column[block.lines[-1].column] = index
    for index in range(len(blocks) - 1, -1, -1):
        block = blocks[index]
        foot = last_of_column[block.lines[-1].column] == index
        small = block.size < 0.95 * usual.size and block.kind in ("body", "fragment", "math")
        if foot and small and _NOTE_MARK.match(block.lines[0].text()):
            block.kind = "note"
            if index and blocks[index - 1].lines[-1].column == block.lines[0].column:
                last_of_column[block.lines[-1].column] = index - 1


def note_of(block: Block) -> tuple[str, str]:
    """Mark and text of the first line of a note."""
    text = block.lines[0].text()
    found = _NOTE_MARK.match(text)
    assert found is not None
    return (found[1] or found[2]).strip(), text[found.end() :]


def set_levels(blocks: list[Block]) -> None:
    """Sets the levels of headings, the title aside: by their numbers; without one, that of numbered headings of the same looks, else by size."""
    headings = [block for block in blocks if block.kind == "heading"]
    by_looks: dict[tuple[object, ...], Counter[int]] = {}
    for block in headings:
        depth = numbering_depth(block.lines[0].plain())
        if depth:
            block.level = depth + 1
            by_looks.setdefault(_looks(block), Counter())[block.level] += 1
    sizes = sorted({block.size for block in headings if not block.level}, reverse=True)
    for block in headings:
        if block.level:
            continue
        known = by_looks.get(_looks(block))
        if known:
            block.level = max(known, key=lambda level: (known[level], -level))
        elif by_looks:
            block.level = 2
        else:
            block.level = min(2 + sizes.index(block.size), 4)


def _looks(block: Block) -> tuple[object, ...]:
    text = "".join(line.plain() for line in block.lines)
    return (block.size, block.bold, text.upper() == text, block.lines[0].share("italic") > 0.5)


def numbering_depth(text: str) -> int:
    """1 for `3 Methods`, 2 for `3.1 Data`, …; 0 without a number."""
    found = _NUMBERING.match(text)
    if not found:
        return 0
    return 1 + found[1].count(".") if found[1] else 1


# ---- text of blocks ----


def table_text(block: Block, finish: Callable[[str], str]) -> tuple[str, bool]:
    """A Markdown table where every cell falls under one column, else the lines as they stand.

    Returns:
        The text, and whether it became a table.
    """
    rows = [
        [(cell[0].x0, cell[-1].x1, text_of(cell, line.y, line.size)) for cell in line.cells()] for line in block.lines
    ]
    spans: list[list[float]] = []
    for x0, x1 in sorted((x0, x1) for row in rows for x0, x1, _ in row):
        if spans and x0 < spans[-1][1] - 1.0:
            spans[-1][1] = max(spans[-1][1], x1)
        else:
            spans.append([x0, x1])
    full = sum(len(row) >= max(2, len(spans) - 1) for row in rows)
    if len(spans) < 2 or full < 0.7 * len(rows):
        return "\n".join(finish("  ".join(text for _, _, text in row)) for row in rows), False
    cells = [[""] * len(spans) for _ in rows]
    for row, line in zip(rows, cells, strict=True):
        for x0, _, text in row:
            place = next(index for index, (start, stop) in enumerate(spans) if start <= x0 <= stop)
            line[place] = f"{line[place]} {finish(text)}".strip()
    return table_block(cells), True
