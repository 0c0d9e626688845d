"""Questions whose options stand in the literature side by side: terms of one glossary class, cells of one column."""

from __future__ import annotations

import dataclasses
import random
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sagecraft.artifact import keyed_hash
from sagecraft.benchmark.words import NUM_OTHERS
from sagecraft.corpus.documents import Document
from sagecraft.literature.glossary import Gloss
from sagecraft.literature.reading import Reading
from sagecraft.literature.tables import Column, Table, number_of

#: The longest option is at most so many times as long as the shortest: length is no hint.
_MAX_LENGTH_RATIO = 2.0
_STEM_CHARS = 5
_MAX_TERMS = 4_000
#: Terms of like glosses among which the others are drawn.
_NUM_LIKE = 6


@dataclass(frozen=True)
class Choice:
    """A question with its options.

    Attributes:
        document: it is of.
        form: `term` or `property`.
        question: whole.
        key: the right option.
        others: options that are wrong; more than three where there are.
        support: what it rests on, as it stands in the document.
        section: heading that it stands under, or title of the table.
        is_ordered: whether the options are numbers, so that the rank of the right one must not tell.
    """

    document: Document
    form: str
    question: str
    key: str
    others: tuple[str, ...]
    support: str
    section: str
    is_ordered: bool = False


class Terms:
    """Terms of all glossaries: others of the same class of thing, by the head noun of their glosses, or else of a like gloss."""

    def __init__(self) -> None:
        self._glosses: dict[str, Gloss] = {}
        self._by_head: dict[str, set[str]] = defaultdict(set)
        self._by_stem: dict[str, set[str]] = defaultdict(set)

    def add(self, glosses: Sequence[Gloss]) -> None:
        """Adds the glosses of a document."""
        for gloss in glosses:
            term = gloss.term.lower()
            if term in self._glosses or len(self._glosses) >= _MAX_TERMS:
                continue
            self._glosses[term] = gloss
            if gloss.head:
                self._by_head[gloss.head].add(term)
            for stem in stems(gloss.text):
                self._by_stem[stem].add(term)

    def others(self, gloss: Gloss) -> list[Gloss]:
        """Glosses whose terms can stand beside this one as options: of the same head, or those that share most with it."""
        near = [term for term in sorted(self._by_head.get(gloss.head or "", ())) if self._can_stand(gloss, term)]
        if len(near) < NUM_OTHERS:
            # What is rare in glosses tells more of what a thing is.
            shared: Counter[str] = Counter()
            for stem in sorted(stems(gloss.text)):
                terms = self._by_stem.get(stem, set())
                shared.update(dict.fromkeys(terms, 1 / (1 + len(terms))))
            likest = sorted(shared, key=lambda term: (-shared[term], term))
            near += [term for term in likest if term not in near and self._can_stand(gloss, term)][:_NUM_LIKE]
        return [self._glosses[term] for term in near]

    def _can_stand(self, gloss: Gloss, term: str) -> bool:
        """Whether a term is another thing's, is not told by the gloss, and is about as long."""
        other = self._glosses[term]
        return (
            term != gloss.term.lower()
            and not stems(" ".join((other.term, *other.aliases))) & stems(gloss.text)
            and not stems(other.term) >= stems(gloss.term)
            and not stems(gloss.term) >= stems(other.term)
            and max(len(other.term), len(gloss.term)) <= _MAX_LENGTH_RATIO * min(len(other.term), len(gloss.term))
        )


def stems(text: str) -> set[str]:
    """The beginnings of the words of a text: who shares them may speak of one thing."""
    return {word[:_STEM_CHARS] for word in re.findall(r"[^\W\d_]{4,}", text.lower())}


def terms_of(reading: Reading, terms: Terms) -> Iterator[Choice]:
    """“Which term …?” for each gloss with three others of its class."""
    document = dataclasses.replace(reading.document, text="")
    for gloss in reading.glossary:
        if gloss.holds_term or not gloss.has_one_sense or gloss.domain or len(gloss.text.split()) < 4:
            continue
        others = tuple(other.term for other in terms.others(gloss))
        if len(others) >= NUM_OTHERS:
            question = f"Which of these terms is defined as “{gloss.text}”?"
            yield Choice(document, "term", question, gloss.term, others, f"{gloss.term}: {gloss.text}", "Glossary")


def properties_of(reading: Reading, seed: int) -> Iterator[Choice]:
    """“What is the PROPERTY of THING?” for one keyed column of each row of a table, with other cells of the column."""
    document = dataclasses.replace(reading.document, text="")
    for table in reading.tables:
        rows = sorted(table.rows, key=lambda row: keyed_hash(seed, "row", reading.document.id, table.number, row.name))
        for row in rows:
            places = [place for place, column in enumerate(table.columns) if column.is_comparable and row.cells[place]]
            if not places or number_of(row.cells[places[0]]) is None:
                continue
            place = places[keyed_hash(seed, "column", reading.document.id, table.number, row.name) % len(places)]
            choice = _property(document, table, table.columns[place], place, row.name)
            if choice is not None:
                yield choice


def _property(document: Document, table: Table, column: Column, place: int, name: str) -> Choice | None:
    values = table.values(place)
    value = next((value for row, value in values if row.name == name), None)
    if value is None or len(values) < 4:
        return None
    text = next(row.cells[place] for row, _ in values if row.name == name)
    others = tuple(dict.fromkeys(column.with_unit(row.cells[place]) for row, other in values if _apart(other, value)))
    if len(others) < 3:
        return None
    title = f"the table “{table.title}”" if table.title else f"the table in “{table.section}”"
    question = f"According to {title}, what is the {column.name} of {name}?"
    support = f"{name}: {column.name} {column.with_unit(text)}"
    return Choice(
        document, "property", question, column.with_unit(text), others, support, table.title or table.section, True
    )


def _apart(one: object, other: object) -> bool:
    first, second = float(one), float(other)  # type: ignore[arg-type]
    return abs(first - second) > 0.1 * max(abs(first), abs(second))


def three_of(choice: Choice, rng: random.Random, rank: int) -> list[str]:
    """Three of the wrong options; of numbers `rank` smaller ones where there are so many."""
    if not choice.is_ordered:
        return rng.sample(choice.others, NUM_OTHERS)
    values = {text: _leading(text) for text in (choice.key, *choice.others)}
    below = [text for text in choice.others if values[text] < values[choice.key]]
    above = [text for text in choice.others if values[text] >= values[choice.key]]
    num_below = max(min(rank, len(below)), 3 - len(above))
    return rng.sample(below, num_below) + rng.sample(above, 3 - num_below)


def _leading(text: str) -> float:
    found = re.match(r"[−–-]?[\d,]+(?:\.\d+)?(?:\s*(?:×|\\times)\s*10\$?\^\{?[−–-]?\d+)?", text.replace("$", ""))
    value = number_of(found.group(0)) if found else None
    return float(value) if value is not None else 0.0
