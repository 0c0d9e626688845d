"""Words of a page to lines; running heads, page numbers and line numbers go. `pdf_columns` puts the lines in order."""

from __future__ import annotations

import itertools
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from sagecraft.corpus.readers.pdf_chars import WORD_GAP, Word

#: Mark the beginning and the end of what stands raised or lowered, until a block is finished. (Text holds no control characters.)
RAISED, LOWERED, END = "\x11", "\x12", "\x13"
_NO_MARKS = {ord(mark): None for mark in (RAISED, LOWERED, END)}
#: Widest space inside a line, in units of the font size. Justified narrow columns reach 1.0; gutters begin at 1.2.
_WIDEST_SPACE = 1.15
#: Rows at the head and at the foot of a page among which running heads and page numbers are looked for.
_HEAD_ROWS, _FOOT_ROWS = 2, 3
_SAME_HEIGHT = 4.0
#: Smallest size of a drop cap, in points.
_LEAST_DROP_CAP = 14.0
_NUMBER = re.compile(r"\d{1,4}|[ivxlc]{1,6}")


@dataclass(slots=True)
class Line:
    """Words on one baseline, in one column.

    Attributes:
        words: from left to right.
        x0: left end.
        x1: right end.
        y: baseline of most of it.
        size: font size of most of it.
        page: index of its page.
        column: number of its column in the reading order of the whole document.
        left: left edge of its column.
        right: right edge of its column.
        breaks: positions in `words` before which there is a gap wider than a space.
    """

    words: list[Word]
    x0: float
    x1: float
    y: float
    size: float
    page: int = 0
    column: int = 0
    left: float = 0.0
    right: float = 0.0
    breaks: list[int] = field(default_factory=list)
    _text: str | None = None
    _plain: str | None = None

    def share(self, kind: str) -> float:
        """Share of the characters whose words are `bold`, `math` or `italic`."""
        total = sum(len(word.text) for word in self.words)
        return sum(len(word.text) for word in self.words if getattr(word, kind)) / total if total else 0.0

    def cells(self) -> list[list[Word]]:
        """The words, cut at the wide gaps."""
        bounds = [0, *self.breaks, len(self.words)]
        return [self.words[first:last] for first, last in itertools.pairwise(bounds)]

    def text(self) -> str:
        """The line as text, raised and lowered parts marked. Its words do not change once it has been asked for."""
        if self._text is None:
            self._text = text_of(self.words, self.y, self.size)
        return self._text

    def plain(self) -> str:
        """The line as text, without marks. Rules ask for it eight times a line."""
        if self._plain is None:
            self._plain = self.text().translate(_NO_MARKS)
        return self._plain


def text_of(words: Sequence[Word], y: float, size: float) -> str:
    """Words as text; what stands above or below the baseline in a smaller size is marked."""
    parts: list[str] = []
    before: Word | None = None
    mark = ""
    for word in words:
        shift = word.y - y
        now = ""
        if word.size < 0.88 * size:
            now = RAISED if shift > 0.15 * size else LOWERED if shift < -0.07 * size else ""
        gap = word.x0 - before.x1 if before is not None else 0.0
        apart = before is not None and (word.spaced or gap > WORD_GAP * min(max(word.size, before.size), size))
        if mark and (now != mark or apart):
            parts.append(END)
            mark = ""
        if apart:
            parts.append(" ")
        if now and not mark:
            parts.append(now)
            mark = now
        parts.append(word.text)
        before = word
    return "".join([*parts, END if mark else ""])


def segments(words: Iterable[Word], page: int) -> list[Line]:
    """Joins words to pieces of lines that no wide gap interrupts, first in the order of the page's content, then by place."""
    found: list[Line] = []
    run: list[Word] = []
    for word in words:
        if run and not _follows(run, word):
            found.append(line_of(run, page))
            run = []
        run.append(word)
    if run:
        found.append(line_of(run, page))
    return [piece for row in rows_of(found) for piece in _merge_row(row)]


def _follows(run: list[Word], word: Word) -> bool:
    last = run[-1]
    size = max(last.size, word.size)
    gap = word.x0 - last.x1
    if not -0.5 * size < gap < _WIDEST_SPACE * size:
        return False
    big = max(run[-6:], key=lambda other: other.size)
    shift = abs(word.y - big.y)
    if shift <= 0.1 * size:
        return True
    # Off the baseline: raised or lowered, in a smaller size; or the first full-size word after such ones.
    small, full = sorted((word.size, big.size))
    return shift < 0.6 * full and (small < 0.88 * full or word.math or last.math)


def line_of(words: list[Word], page: int) -> Line:
    """Words on one baseline as a line: its size and its height are those of most of it."""
    sizes: dict[float, int] = {}
    for word in words:
        sizes[word.size] = sizes.get(word.size, 0) + len(word.text)
    # The largest size that more than a letter or two have: a formula may be made of indices for its greater part.
    least = 0.25 * sum(sizes.values())
    size = max(value for value, count in sizes.items() if count >= least) if len(sizes) > 1 else words[0].size
    heights: dict[float, int] = {}
    for word in words:
        if word.size == size:
            heights[word.y] = heights.get(word.y, 0) + len(word.text)
    y = max(heights, key=lambda value: (heights[value], value)) if len(heights) > 1 else next(iter(heights))
    return Line(words, min([w.x0 for w in words]), max([w.x1 for w in words]), y, size, page)


def rows_of(lines: Iterable[Line]) -> list[list[Line]]:
    """Lines that share a baseline, from the head of the page to its foot; inside a row from left to right."""
    rows: list[list[Line]] = []
    for line in sorted(lines, key=lambda line: (-line.y, line.x0)):
        if rows and rows[-1][0].y - line.y < 0.3 * min(line.size, rows[-1][0].size):
            rows[-1].append(line)
        else:
            rows.append([line])
    for row in rows:
        row.sort(key=lambda line: line.x0)
    return rows


def _merge_row(row: list[Line]) -> list[Line]:
    merged: list[Line] = []
    for piece in row:
        last = merged[-1] if merged else None
        size = max(piece.size, last.size) if last else 0.0
        # A long piece is a line of a column: what is beside it is one of the next column, however narrow the gutter is.
        long = last is not None and max(piece.x1 - piece.x0, last.x1 - last.x0) > 12 * size
        widest = (0.5 if long else 0.9) * size
        if last and -0.6 * size < piece.x0 - last.x1 < widest and abs(piece.y - last.y) < 0.1 * size:
            merged[-1] = line_of(last.words + piece.words, piece.page)
        else:
            merged.append(piece)
    return merged


# ---- what is no text of the document ----


def without_line_numbers(words: list[Word]) -> tuple[list[Word], int]:
    """Leaves out the line numbers of a manuscript: numbers in the margin that count the lines down the page."""
    groups: defaultdict[int, list[Word]] = defaultdict(list)
    for word in words:
        if word.text.isdigit() and len(word.text) <= 4:
            groups[round(word.x1 / 3)].append(word)
            groups[-1 - round(word.x0 / 3)].append(word)
    if not groups:
        return words, 0
    others = [word for word in words if not word.text.isdigit()]
    span = max(word.y for word in words) - min(word.y for word in words)
    dropped: set[int] = set()
    for group in groups.values():
        group.sort(key=lambda word: -word.y)
        if len(group) >= 4 and group[0].y - group[-1].y > 0.5 * span and _counts_lines(group, others):
            dropped |= set(map(id, group))
    return [word for word in words if id(word) not in dropped], len(dropped)


def _counts_lines(group: list[Word], others: list[Word]) -> bool:
    """Numbers that go up by one, or by five, and have the text on one side only."""
    steps = Counter(int(below.text) - int(above.text) for above, below in itertools.pairwise(group))
    step, count = steps.most_common(1)[0]
    if step not in (1, 5) or count < 0.8 * (len(group) - 1) or (step == 1 and len(group) < 6):
        return False
    left, right = min(word.x0 for word in group), max(word.x1 for word in group)
    before, behind = sum(word.x0 < right for word in others), sum(word.x1 > left for word in others)
    return min(before, behind) <= 0.05 * len(others)


def join_drop_caps(words: list[Word]) -> int:
    """Puts large first letters, which reach down over several lines, back in front of the line that they begin."""
    num_joined = 0
    for index in range(len(words) - 1, -1, -1):
        large = words[index]
        if len(large.text) != 1 or not large.text.isupper() or large.size < _LEAST_DROP_CAP:
            continue
        # The top of the letter is at that of its line: the letter is 0.7 of its size high, the line's capitals too.
        top = large.y + 0.7 * large.size
        hosts = [
            (abs(top - word.y - 0.7 * word.size), place)
            for place, word in enumerate(words[index + 1 : index + 40])
            if large.size > 1.7 * word.size and -0.3 * word.size < word.x0 - large.x1 < 1.5 * word.size
        ]
        distance, place = min(hosts, default=(large.size, 0))
        if distance < 0.3 * large.size:
            host = words[index + 1 + place]
            host.text, host.x0 = large.text + host.text, large.x0
            del words[index]
            num_joined += 1
    return num_joined


def without_running_heads(pages: list[list[Line]]) -> tuple[list[list[Line]], int]:
    """Leaves out heads, feet and page numbers.

    A piece of text at the head or the foot is one of them if it stands at the same height on other pages (numbers in it may
    differ), or if its row begins or ends with a number that counts the pages.
    """
    edges = [_edge_rows(page) for page in pages]
    drop = _repeated(edges) | _numbered(edges)
    return [[line for line in page if id(line) not in drop] for page in pages], len(drop)


def _edge_rows(page: list[Line]) -> dict[str, list[list[Line]]]:
    rows = rows_of(page)
    if len(rows) < 3:
        return {"foot": rows[1:]}
    most = len(rows) // 3  # what fills a short page is its text
    return {"head": rows[: min(_HEAD_ROWS, most)], "foot": rows[: -min(_FOOT_ROWS, most) - 1 : -1]}


def _key(line: Line) -> str:
    return re.sub(r"\d+", "#", "".join(line.plain().casefold().split()))


def _repeated(edges: list[dict[str, list[list[Line]]]]) -> set[int]:
    places: defaultdict[tuple[str, str], list[Line]] = defaultdict(list)
    for page in edges:
        for zone, rows in page.items():
            for line in (line for row in rows for line in row):
                places[zone, _key(line)].append(line)
    drop: set[int] = set()
    for (_, key), lines in places.items():
        if not any(character.isalpha() for character in key):
            continue  # numbers alone are judged by what they count
        for line in lines:
            near = {other.page for other in lines if abs(other.y - line.y) <= _SAME_HEIGHT}
            if len(near) >= (2 if len(edges) < 20 else 3):
                drop.add(id(line))
    return drop


def _numbered(edges: list[dict[str, list[list[Line]]]]) -> set[int]:
    """Rows that carry the page's number: the offset from the page's index is the same on most pages."""
    numbers: list[tuple[int, list[Line], int]] = []
    for index, page in enumerate(edges):
        for rows in page.values():
            for row in rows[:2]:
                numbers += [(value - index, row, index) for value in _page_numbers(row)]
    offsets: Counter[int] = Counter()
    offsets.update(offset for offset, _ in {(offset, index) for offset, _, index in numbers})
    if not offsets:
        return set()
    best, count = max(offsets.items(), key=lambda item: (item[1], -abs(item[0])))
    if count < max(2, 0.4 * len(edges)):
        return set()
    return {id(line) for offset, row, _ in numbers if offset == best for line in row}


def _page_numbers(row: list[Line]) -> set[int]:
    """Numbers at either end of a row, and of the whole row if it is `- 3 -` or `Page 3 of 7`."""
    text = " ".join(line.plain() for line in row)
    words = re.findall(r"[\w.,/-]+", text)
    if not words or len(text) > 150:
        return set()
    ends = {words[0], words[-1], *(words if len(words) <= 4 else ())}
    return {_value(word) for word in ends if _NUMBER.fullmatch(word)}


def _value(text: str) -> int:
    if text.isdigit():
        return int(text)
    total, before = 0, 0
    for digit in reversed([{"i": 1, "v": 5, "x": 10, "l": 50, "c": 100}[letter] for letter in text]):
        total += digit if digit >= before else -digit
        before = max(before, digit)
    return total
