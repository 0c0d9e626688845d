"""Questions from tables: a cell, which of several things has the most of a property, their order, a quotient, a difference.

What is computed is computed with fractions, and its way stands in the thought.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from functools import cached_property

from sagecraft.artifact import keyed_hash
from sagecraft.literature import english
from sagecraft.literature.reading import Reading
from sagecraft.literature.tables import Column, Row, Table
from sagecraft.synthesis.candidate import Candidate, Rule, fill, quoted

#: Questions a table of each sort, about eighty in all: short facts, many of a sort, teach less than prose.
_MAX_CELLS, _MAX_PAIRS, _MAX_RATIOS, _MAX_DIFFERENCES, _MAX_MOST, _MAX_ORDERS = 35, 20, 9, 5, 11, 4
#: Pairs that one thing takes part in.
_MAX_OF_ROW = 6
#: Rows and tables that are looked at, and characters of the text that tells names from nouns: time grows with their products.
_MAX_ROWS, _MAX_TABLES, _MAX_CHARS = 120, 64, 100_000
#: Values closer than this are no clear order: tables round.
_CLEAR = Fraction(23, 20)
_MAX_FACTOR = 1000
#: Cells of more words tell a story and are no property.
_MAX_CELL_WORDS = 14
#: Names of rows that are parts of no sentence.
_NO_NAME = re.compile(r"^\W|[<>≥≤=:;?]|\b(?:or|and|than|other|its)\b|^[\d.,]+$")
#: Units whose zero is arbitrary: a quotient says nothing.
_NO_RATIO = re.compile(r"^(?:°.*|degrees?|%|percent|pH|dB|mag.*)$|=|^$")
#: A caption that tells whose properties these are.
_WHOSE = re.compile(
    r"\b(?:properties|characteristics|parameters|features|facts|data) (?:of|for|about) (?:the )?([\w -]+)$",
    re.IGNORECASE,
)
_PLAIN_UNIT = re.compile(r"^[A-Za-zµ/ -]{1,24}$")

_CELL = (
    "In the context of {topic}, what is the {column} of {thing}?",
    "On the subject of {topic}: which {column} does {thing} have?",
    "Concerning {topic}, what is given as the {column} of {thing}?",
    "Which {column} is listed for {thing} in the context of {topic}?",
    "When it comes to {topic}, what can be said about the {column} of {thing}?",
)
_MORE = (
    "In the context of {topic}, which has the {most} {column}: {a} or {b}?",
    "On the subject of {topic}: comparing {a} with {b}, which has the {most} {column}?",
    "Concerning {topic}, is it {a} or {b} that has the {most} {column}?",
    "How do {a} and {b} compare in their {column}, in the context of {topic}, and which has the {most} one?",
)
_MOST = (
    "In the context of {topic}, which of {things} has the {most} {column}?",
    "Concerning {topic}: of {things}, which has the {most} {column}?",
    "On the subject of {topic}, which one has the {most} {column} among {things}?",
    "Looking at {topic}, which of the following has the {most} {column}: {things}?",
)
_ORDER = (
    "In the context of {topic}, put {things} in order of {column}, from the smallest to the greatest.",
    "Concerning {topic}, how do {things} rank by {column}, from the smallest to the greatest?",
    "On the subject of {topic}: order {things} by {column}, beginning with the smallest.",
    "Sort {things} by their {column}, the smallest first, in the context of {topic}.",
)
_RATIO = (
    "In the context of {topic}, by what factor is the {column} of {a} greater than that of {b}?",
    "Concerning {topic}, how many times as great as the {column} of {b} is that of {a}?",
    "On the subject of {topic}: what is the ratio of the {column} of {a} to that of {b}?",
    "Compare {a} with {b} in the context of {topic}: the {column} of the first is how many times that of the second?",
)
_DIFFERENCE = (
    "In the context of {topic}, by how many {unit} does the {column} of {a} exceed that of {b}?",
    "Concerning {topic}, what is the difference in {column} between {a} and {b}, in {unit}?",
    "On the subject of {topic}: how much greater, in {unit}, is the {column} of {a} than that of {b}?",
    "Subtract the {column} of {b} from that of {a}, in the context of {topic}. How many {unit} remain?",
)


class TableWords:
    """A table with the words that its questions need.

    Args:
        reading: its document.
        table: the table.
    """

    def __init__(self, reading: Reading, table: Table) -> None:
        table = replace(table, rows=table.rows[:_MAX_ROWS])
        self.reading, self.table, self._text = reading, table, reading.document.text[:_MAX_CHARS]
        self.topic = quoted(reading.document.title or table.title)
        owner = self._owner()
        self.names = {row.name: self._of(owner, self._thing(row.name)) for row in table.rows}
        # Two columns of one name (a length in two units): neither question would have one answer.
        names = [column.name for column in table.columns]
        self.columns = [
            (number, column)
            for number, column in enumerate(table.columns)
            if names.count(column.name) == 1 and self.topic and not _NO_NAME.search(column.name)
        ]

    @cached_property
    def _is_common(self) -> bool:
        """Whether the rows are common nouns, which the text writes small, and no names."""
        small = [self._is_small(row.name) for row in self.table.rows if row.name[:1].isupper()]
        return len(small) > 0 and sum(small) >= 0.3 * len(small)

    def _is_small(self, name: str) -> bool:
        first = name.split(" (")[0].lower()
        return re.search(rf"(?<![\w-]){re.escape(first)}s?(?![\w-])", self._text) is not None

    def _owner(self) -> str:
        """What the caption says has these properties, where that is another thing than the rows are: "ring system"; else empty."""
        found = _WHOSE.search(self.table.title)
        label = self.table.label.lower()
        if not found or not label:
            return ""
        whose = re.sub(r"ies$", "y", found.group(1).lower())
        whose = whose if whose.endswith("ss") else whose.removesuffix("s")
        is_other = label.removesuffix("s").split()[-1] not in whose and not re.search(r" (?:and|of) ", whose)
        return whose if is_other and not any(row.name.lower() in whose for row in self.table.rows) else ""

    def _of(self, owner: str, thing: str) -> str:
        return f"the {owner} of {thing}" if owner and thing else thing

    def _small(self, word: str) -> str:
        """A word of a row's name in small letters, unless the text knows it as a name."""
        return word if self.reading.names.lower_first(word) == word else word.lower()

    def _thing(self, name: str) -> str:
        """A row's name within a sentence; empty if it cannot stand there."""
        label = self.table.label.lower()
        if not re.search(r"[^\W\d_]{2}", name) or _NO_NAME.search(name) or english.PRONOUN.search(label):
            return ""
        if " of " in label:
            return f"the {label} {quoted(name)}"
        is_word = re.match(r"[A-Z][a-z’-]+(?: [A-Za-z][a-z’-]+)*(?: \(|$)", name) is not None
        if self._is_common and is_word:
            head, bracket, rest = name.partition(" (")
            name = re.sub(r"\b[A-Z][a-z’-]{2,}", lambda word: self._small(word.group(0)), head) + bracket + rest
        if name[0].isupper() and self._takes_article(name):
            name = f"the {name}"
        elif label and len(label.split()) <= 3 and not set(re.findall(r"[a-z]+", name.lower())) & set(label.split()):
            return f"the {label} {name}"
        if (
            name[0].islower()
            and not name.startswith("the ")
            and [column.name for column in self.table.columns] == ["value"]
        ):
            return f"the {name}"
        # "white dwarf" would need an article, which its name does not tell.
        is_countable = name[0].islower() and not name.startswith("the ") and not name.endswith("s")
        return "" if is_countable and self.table.is_transposed else name

    def _takes_article(self, name: str) -> bool:
        text = self._text
        with_article, alone = (
            len(re.findall(rf"{before}{re.escape(name)}\b(?! [A-Z])", text)) for before in (r"\b[Tt]he ", r"(?<!\| )\b")
        )
        return with_article > 1 and 2 * with_article > alone

    def pick(self, forms: Sequence[str], *parts: str) -> str:
        """One of several wordings."""
        seed, document = self.reading.seed, self.table.document
        return forms[keyed_hash(seed, "table-form", document, str(self.table.number), *parts) % len(forms)]

    def order(self, *parts: str) -> int:
        """A hash that draws and sorts."""
        return keyed_hash(self.reading.seed, "table", self.table.document, str(self.table.number), *parts)

    def value(self, place: int, row: Row) -> str:
        """A cell with its unit; empty if two powers of ten would stand in a row."""
        told = self.table.columns[place].with_unit(row.cells[place])
        return "" if told.count("×") > row.cells[place].count("×") > 0 else told

    def ground(self, place: int, *rows: Row) -> tuple[str, ...]:
        """The rows as far as they matter."""
        column, title = self.table.columns[place], self.table.title or self.table.section
        return tuple(f"{title}: {row.name} – {column.name}: {self.value(place, row)}." for row in rows)

    def numbers(self, place: int) -> list[tuple[Row, Fraction]]:
        """Rows of a column with positive values."""
        return [
            (row, value)
            for row, value in self.table.values(place)
            if value > 0 and self.names[row.name] and self.value(place, row)
        ]

    def pairs(self, place: int, largest: Fraction | None = None) -> list[tuple[Row, Row, Fraction, Fraction]]:
        """Pairs of rows whose values differ clearly, the greater first, in a random order."""
        found = []
        for (one, first), (other, second) in itertools.combinations(self.numbers(place), 2):
            quotient = max(first, second) / min(first, second)
            if quotient >= _CLEAR and (largest is None or quotient <= largest):
                pair = (one, other, first, second) if first > second else (other, one, second, first)
                found.append(pair)
        name = self.table.columns[place].name
        return sorted(found, key=lambda pair: self.order("pair", name, pair[0].name, pair[1].name))


def read_tables(reading: Reading) -> Iterator[TableWords]:
    """The tables of a document with the words that its questions need."""
    for table in reading.tables[:_MAX_TABLES]:
        yield TableWords(reading, table)


def _drawn(
    told: TableWords, most: int, largest: Fraction | None, allowed: Callable[[Column], bool]
) -> Iterator[tuple[int, Column, tuple[Row, Row, Fraction, Fraction]]]:
    """Pairs of a table over all its columns in turn, each row in a few only."""
    queues = [
        (place, column, iter(told.pairs(place, largest)))
        for place, column in told.columns
        if column.is_comparable and allowed(column) and not english.is_plural(column.name)
    ]
    taken: Counter[str] = Counter()
    count = 0
    while queues and count < most:
        for queue in list(queues)[: most - count]:
            place, column, pairs = queue
            pair = next((pair for pair in pairs if all(taken[row.name] < _MAX_OF_ROW for row in pair[:2])), None)
            if pair is None:
                queues.remove(queue)
                continue
            taken.update(row.name for row in pair[:2])
            count += 1
            yield place, column, pair


#: "Jupiter (95)": the number in brackets is of another property, and reads as a part of the name.
_COUNTED = re.compile(r"[^\W\d]\s*\(\d+\)$")


def cells(reading: Reading) -> Iterator[Candidate]:
    """What a property of a thing is."""
    for told in read_tables(reading):
        found = []
        for place, column in told.columns:
            for row in told.table.rows:
                cell, thing = told.value(place, row), told.names[row.name]
                if _COUNTED.search(cell):
                    continue
                if thing and cell and len(cell.split()) <= _MAX_CELL_WORDS and thing.lower() not in cell.lower():
                    found.append((told.order("cell", column.name, row.name), place, column, row, cell, thing))
        for _, place, column, row, cell, thing in sorted(found, key=lambda one: one[0])[:_MAX_CELLS]:
            is_number = column.is_number or re.match(r"[~<>$+−–-]? ?\d", cell) is not None
            be = "are" if english.is_plural(column.name) else "is"
            link = be if len(cell.split()) <= 4 or is_number else f"{be}:"
            question = fill(told.pick(_CELL, column.name, row.name), topic=told.topic, column=column.name, thing=thing)
            if be == "are":
                question = re.sub(
                    r"\b(what|which|Which)( [\w ]+)? is (the |given|listed)", r"\1\2 are \3", question, count=1
                )
            yield Candidate(
                kind="number" if is_number else "relation",
                question=question,
                focus=f"the {column.name} of {thing}",
                answer=f"The {column.name} of {thing} {link} {cell.rstrip('.')}.",
                key=cell,
                rule="table-cell",
                scope=reading.document.id,
                ground=told.ground(place, row),
            )


def comparisons(reading: Reading) -> Iterator[Candidate]:
    """Which of two has more, or less, of a property."""
    for told in read_tables(reading):
        for place, column, (more, less, _, _) in _drawn(told, _MAX_PAIRS, None, lambda _: True):
            names = (more.name, less.name)
            pick = told.order("compare", column.name, *names)
            asked, other = (more, less) if pick % 2 else (less, more)
            most = "greater" if asked is more else "smaller"
            a, b = (asked, other) if pick // 2 % 2 else (other, asked)
            thing = told.names
            question = fill(
                told.pick(_MORE, "compare", column.name, *names), topic=told.topic, column=column.name, most=most,
                a=thing[a.name], b=thing[b.name],
            )  # fmt: skip
            yield Candidate(
                kind="comparison",
                question=question,
                focus=f"whether {thing[a.name]} or {thing[b.name]} has the {most} {column.name}",
                answer=f"{_capital(thing[asked.name])} has the {most} {column.name}: it is {told.value(place, asked)}, "
                f"and that of {thing[other.name]} is {told.value(place, other)}.",
                key=told.value(place, asked),
                rule="table-comparison",
                scope=reading.document.id,
                ground=told.ground(place, a, b),
            )


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]


def _listed(things: Sequence[str]) -> str:
    return f"{', '.join(things[:-1])} and {things[-1]}"


def _groups(
    told: TableWords, what: str, most: int, sizes: Sequence[int]
) -> Iterator[tuple[int, Column, list[tuple[Row, Fraction]]]]:
    """Some rows whose values are clearly apart, in a random order, over all columns in turn."""
    usable = [
        (place, column) for place, column in told.columns if column.is_comparable and not english.is_plural(column.name)
    ]
    seen: set[tuple[int, frozenset[str]]] = set()
    for number in range(most):
        if not usable:
            return
        place, column = usable[number % len(usable)]
        size = sizes[number // len(usable) % len(sizes)]
        drawn = sorted(told.numbers(place), key=lambda one: told.order(what, str(number), column.name, one[0].name))
        group: list[tuple[Row, Fraction]] = []
        for row, value in drawn:
            if len(group) < size and all(max(value, old) / min(value, old) >= _CLEAR for _, old in group):
                group.append((row, value))
        key = (place, frozenset(row.name for row, _ in group))
        if len(group) >= 3 and key not in seen:
            seen.add(key)
            yield place, column, group


def superlatives(reading: Reading) -> Iterator[Candidate]:
    """Which of several things has the most, or the least, of a property."""
    for told in read_tables(reading):
        for place, column, group in _groups(told, "most", _MAX_MOST, (4, 3, 5)):
            names = [row.name for row, _ in group]
            is_most = told.order("most", column.name, *names) % 2 == 0
            row, _ = (max if is_most else min)(group, key=lambda one: one[1])
            most, thing = "greatest" if is_most else "smallest", told.names[row.name]
            things = _listed([told.names[name] for name in names])
            others = [
                f"{told.names[other.name]} has {told.value(place, other)}" for other, _ in group if other is not row
            ]
            yield Candidate(
                kind="superlative",
                question=fill(told.pick(_MOST, "most", column.name, *names), topic=told.topic, column=column.name, most=most, things=things),
                focus=f"which of {things} has the {most} {column.name}",
                answer=f"{_capital(thing)} has the {most} {column.name}, {told.value(place, row)}; {_listed(others)}.",
                key=told.value(place, row),
                rule="table-most",
                scope=reading.document.id,
                ground=told.ground(place, *(row for row, _ in group)),
            )  # fmt: skip


def orders(reading: Reading) -> Iterator[Candidate]:
    """Several things in the order of a property."""
    for told in read_tables(reading):
        for place, column, group in _groups(told, "order", _MAX_ORDERS, (3, 4)):
            names = [row.name for row, _ in group]
            things = _listed([told.names[name] for name in names])
            ranked = [row for row, _ in sorted(group, key=lambda one: one[1])]
            values = [f"{told.names[row.name]} ({told.value(place, row)})" for row in ranked]
            given = "; ".join(f"{told.names[row.name]}: {told.value(place, row)}" for row, _ in group)
            yield Candidate(
                kind="comparison",
                question=fill(told.pick(_ORDER, "order", column.name, *names), topic=told.topic, column=column.name, things=things),
                focus=f"the order of {things} by {column.name}",
                answer=f"From the smallest {column.name} to the greatest: {', '.join(values[:-1])} and {values[-1]}.",
                rule="table-order",
                scope=reading.document.id,
                ground=told.ground(place, *(row for row, _ in group)),
                thought=f"I need the {column.name} of each. {given}. The smallest is {values[0]}, the greatest {values[-1]}.",
            )  # fmt: skip


def ratios(reading: Reading) -> Iterator[Candidate]:
    """How many times a value another is, with the division in the thought."""
    for told in read_tables(reading):
        pairs = _drawn(
            told, _MAX_RATIOS, Fraction(_MAX_FACTOR),
            lambda column: "=" in column.unit or not _NO_RATIO.match(column.unit),
        )  # fmt: skip
        for place, column, (more, less, high, low) in pairs:
            a, b = told.names[more.name], told.names[less.name]
            one, other = told.value(place, more), told.value(place, less)
            factor = rounded(high / low)
            yield Candidate(
                kind="derivation",
                question=fill(told.pick(_RATIO, "ratio", column.name, more.name, less.name), topic=told.topic, column=column.name, a=a, b=b),
                focus=f"the {column.name} of {a} divided by that of {b}",
                answer=f"The {column.name} of {a} is about {factor} times that of {b}: {one} against {other}.",
                key=factor,
                rule="table-ratio",
                scope=reading.document.id,
                ground=told.ground(place, more, less),
                thought=f"The {column.name} of {a} is {one}, that of {b} is {other}. Both are in the same unit, so it cancels in the "
                f"quotient: {more.cells[place]} / {less.cells[place]} = {factor}, rounded to two digits.",
            )  # fmt: skip


def rounded(value: Fraction) -> str:
    """A positive number with two significant digits, without exponent."""
    return (
        f"{float(f'{float(value):.1e}'):.10f}".rstrip("0").rstrip(".")
        if value < 10
        else f"{float(f'{float(value):.1e}'):,.0f}"
    )


def differences(reading: Reading) -> Iterator[Candidate]:
    """By how much a value exceeds another, with the subtraction in the thought."""
    for told in read_tables(reading):
        pairs = _drawn(told, _MAX_DIFFERENCES, Fraction(20), lambda column: _PLAIN_UNIT.match(column.unit) is not None)
        for place, column, (more, less, high, low) in pairs:
            cells = (more.cells[place], less.cells[place])
            if any("$" in cell or "×" in cell for cell in cells):
                continue
            a, b = told.names[more.name], told.names[less.name]
            digits = max(len(cell.partition(".")[2]) for cell in cells)
            left = f"{float(high - low):,.{digits}f}"
            if Fraction(left.replace(",", "")) != high - low:
                continue
            told_unit = column.with_unit("2").removeprefix("2 ")
            yield Candidate(
                kind="derivation",
                question=fill(
                    told.pick(_DIFFERENCE, "difference", column.name, more.name, less.name), topic=told.topic, column=column.name, a=a, b=b, unit=told_unit,
                ),
                focus=f"the {column.name} of {a} less that of {b}",
                answer=f"The difference is {left} {told_unit}: the {column.name} of {a} is {told.value(place, more)}, and that of {b} is {told.value(place, less)}.",
                key=f"{left} {told_unit}",
                rule="table-difference",
                scope=reading.document.id,
                ground=told.ground(place, more, less),
                thought=f"The {column.name} of {a} is {told.value(place, more)}, that of {b} is {told.value(place, less)}. "
                f"The difference: {cells[0]} − {cells[1]} = {left}.",
            )  # fmt: skip


RULES: dict[str, Rule] = {
    "table-cell": cells,
    "table-comparison": comparisons,
    "table-most": superlatives,
    "table-order": orders,
    "table-ratio": ratios,
    "table-difference": differences,
}
