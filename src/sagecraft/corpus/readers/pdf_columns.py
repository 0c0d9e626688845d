"""Lines of pages in reading order: columns, what stands over all of them, notes on the margin."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter

from sagecraft.corpus.readers.pdf_chars import Word
from sagecraft.corpus.readers.pdf_lines import Line, line_of, rows_of

#: A column must hold at least so many lines beside lines of its neighbour, and be filled to this share of its width.
_LEAST_PAIRS = 5
_LEAST_FILL = 0.55
_MAX_SPLITS = 2


def in_reading_order(pages: list[list[Line]]) -> list[Line]:
    """All lines of a document, column by column; every line learns its column and its edges."""
    gutters = [find_gutter(page) for page in pages]
    known = [gutter for gutter in gutters if gutter is not None]
    ordered: list[Line] = []
    column = 0
    for index, page in enumerate(pages):
        gutter = gutters[index]
        if gutter is None and len(known) >= max(1, 0.3 * len(pages)):
            gutter = _usual_gutter(gutters, index)
            gutter = gutter if gutter is not None and _has_side(page, gutter) else None
        for lines in _columns(page, gutter, 0):
            for line in _finish_column(lines):
                line.column = column
                ordered.append(line)
            column += 1
    return ordered


def _usual_gutter(gutters: list[float | None], index: int) -> float | None:
    """That of the nearest page of the same side (left pages and right pages may have other margins)."""
    same = [other for other in range(len(gutters)) if gutters[other] is not None and (other - index) % 2 == 0]
    others = same or [other for other in range(len(gutters)) if gutters[other] is not None]
    return gutters[min(others, key=lambda other: (abs(other - index), other))] if others else None


def _has_side(page: list[Line], gutter: float) -> bool:
    """True if lines of prose fill one side of the gutter."""
    left = min((line.x0 for line in page), default=0.0)
    right = max((line.x1 for line in page), default=0.0)
    full = [line for line in page if line.x1 <= gutter and line.x1 - line.x0 > 0.8 * (gutter - left)]
    full += [line for line in page if line.x0 >= gutter and line.x1 - line.x0 > 0.8 * (right - gutter)]
    return len(full) >= 3


def find_gutter(lines: list[Line]) -> float | None:
    """The middle of the empty strip between two columns of prose; None if there is one column."""
    if len(lines) < 2 * _LEAST_PAIRS:
        return None
    left, right = min(line.x0 for line in lines), max(line.x1 for line in lines)
    if right - left < 100:
        return None
    start, num_bins = left, int((right - left) / 2) + 1
    cover = [0] * (num_bins + 1)
    for line in lines:
        cover[int((line.x0 - start) / 2)] += 1
        cover[min(int((line.x1 - start) / 2) + 1, num_bins)] -= 1
    total = 0
    for index in range(num_bins):
        total += cover[index]
        cover[index] = total
    best: tuple[int, int, float] | None = None
    first, last = int(0.2 * num_bins), int(0.8 * num_bins)
    for level in sorted(set(cover[first:last]))[:4]:
        for begin, end in _strips(cover, first, last, level):
            middle = start + (begin + end + 1.0)
            if 2.0 * (end - begin + 1) >= 6.0 and _is_gutter(lines, middle, left, right):
                candidate = (-level, end - begin, middle)
                best = max(best, candidate) if best else candidate
        if best:
            break
    return best[2] if best else None


def _strips(cover: list[int], first: int, last: int, level: int) -> list[tuple[int, int]]:
    strips: list[tuple[int, int]] = []
    begin = None
    for index in range(first, last + 1):
        inside = index < last and cover[index] <= level
        if inside and begin is None:
            begin = index
        elif not inside and begin is not None:
            strips.append((begin, index - 1))
            begin = None
    return strips


def _is_gutter(lines: list[Line], middle: float, left: float, right: float) -> bool:
    sides = ([line for line in lines if line.x1 <= middle], [line for line in lines if line.x0 >= middle])
    if min(map(len, sides)) < _LEAST_PAIRS:
        return False
    for side, width in zip(sides, (middle - left, right - middle), strict=True):
        # By characters: displayed formulas come in many small pieces.
        sizes = [(line.x1 - line.x0, sum(len(w.text) for w in line.words)) for line in side]
        if sum(n for wide, n in sizes if wide >= _LEAST_FILL * width) < 0.5 * sum(n for _, n in sizes):
            return False
    heights = sorted(line.y for line in sides[1])
    pairs = sum(_count_between(heights, line.y - line.size, line.y + line.size) > 0 for line in sides[0])
    return pairs >= _LEAST_PAIRS


def _count_between(values: list[float], low: float, high: float) -> int:
    return bisect_right(values, high) - bisect_left(values, low)


def _columns(lines: list[Line], gutter: float | None, depth: int) -> list[list[Line]]:
    """Bands of the page from top to bottom: what crosses the gutter, then what is left of it, then what is right of it."""
    if gutter is None:
        return [part for part in _with_margin(lines) if part]
    bands: list[tuple[bool, list[Line]]] = []
    heights = (sorted(x.y for x in lines if x.x1 <= gutter), sorted(x.y for x in lines if x.x0 >= gutter))
    for line in sorted(lines, key=lambda line: (-line.y, line.x0)):
        on_right = line.x0 + line.x1 > 2 * gutter
        # A formula too wide for its column has lines of the other column beside it; what is set over both has none.
        beside = _count_between(heights[not on_right], line.y - 0.8 * line.size, line.y + 0.8 * line.size)
        crosses = line.x0 < gutter < line.x1 and not beside
        if bands and bands[-1][0] and not beside:
            crosses = crosses or _is_last_line(bands[-1][1][-1], line)
        if not bands or bands[-1][0] != crosses:
            bands.append((crosses, []))
        bands[-1][1].append(line)
    columns: list[list[Line]] = []
    for crosses, band in _settle(bands):
        if crosses:
            columns.append(band)
            continue
        left = [line for line in band if line.x0 + line.x1 <= 2 * gutter]
        for side in (left, [line for line in band if line.x0 + line.x1 > 2 * gutter]):
            inner = find_gutter(side) if depth + 1 < _MAX_SPLITS else None
            columns += _columns(side, inner, depth + 1)
    return columns


def _is_last_line(above: Line, line: Line) -> bool:
    """True if a line goes on under a line over both columns, so that it is short only because its paragraph ends."""
    close = 0 < above.y - line.y < 1.6 * line.size and abs(above.size - line.size) < 0.04 * line.size
    return close and abs(above.x0 - line.x0) < 0.3 * line.size


def _with_margin(lines: list[Line]) -> list[list[Line]]:
    """A column, and what stands on the margins beside its lines (notes of the kind that reviews and textbooks have)."""
    span = max((line.x1 for line in lines), default=0.0) - min((line.x0 for line in lines), default=0.0)
    wide = [line for line in lines if line.x1 - line.x0 > 0.5 * span]
    if len(wide) < 2 * _LEAST_PAIRS:
        return [lines]
    right = Counter(round(line.x1 / 2) for line in wide).most_common(1)[0][0] * 2.0
    left = Counter(round(line.x0 / 2) for line in wide).most_common(1)[0][0] * 2.0
    beside = [
        line
        for line in lines
        if (line.x0 > right + 0.5 * line.size or line.x1 < left - 0.5 * line.size)
        and any(len(word.text) > 2 and word.text[0].isalpha() for word in line.words)  # numbers belong to their line
    ]
    if len(beside) > 0.5 * len(lines):
        return [lines]
    members = set(map(id, beside))
    return [[line for line in lines if id(line) not in members], beside]


def _settle(bands: list[tuple[bool, list[Line]]]) -> list[tuple[bool, list[Line]]]:
    """Rows of one side only that stand between full-width rows belong to these (short last lines, centred titles)."""
    settled: list[tuple[bool, list[Line]]] = []
    for index, (crosses, band) in enumerate(bands):
        inner = 0 < index < len(bands) - 1
        joins = not crosses and inner and len(rows_of(band)) <= 2 and len(band) <= 3
        if settled and settled[-1][0] and (joins or crosses):
            settled[-1][1].extend(band)
        else:
            settled.append((crosses, list(band)))
    return settled


def _finish_column(lines: list[Line]) -> list[Line]:
    """Joins the pieces of each row of a column to one line and writes down the column's edges."""
    done: list[Line] = []
    for row in rows_of(lines):
        words: list[Word] = []
        breaks: list[int] = []
        for piece in row:
            if words:
                breaks.append(len(words))
            words = words + piece.words
        line = line_of(words, row[0].page)
        line.breaks = breaks
        done.append(line)
    lefts = Counter(round(line.x0) for line in done if line.x1 - line.x0 > 5 * line.size)
    edge = min(
        (x for x, count in lefts.items() if count >= 0.25 * max(lefts.values())), default=min(x.x0 for x in done)
    )
    rights = sorted(line.x1 for line in done)
    for line in done:
        line.left, line.right = float(edge), rights[int(0.9 * (len(rights) - 1))]
    return done
