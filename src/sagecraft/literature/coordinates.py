"""Coordinate terms: which words stand in the places of which, learned from the literature itself by counting.

Words that stand between the same neighbours are of one class, as those that "and", "or" and commas join, whatever the field:
the distributional hypothesis (Harris 1954), with positive pointwise mutual information and the cosine (Turney & Pantel 2010,
arXiv:1003.1141). What a word is like is counted too: whether it has degrees, is a verb, is a unit, and whether it is of a
topic, that is, comes in few documents often (residual inverse document frequency, Church & Gale 1995). No model, no list of
a field.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

#: Words that are told apart; what comes later counts as a sign. A word takes 18 bits of a code.
_MAX_WORDS = 2**18 - 8
#: Different pairs of word and surroundings that are kept; beyond it those seen once are forgotten. 16 bytes each.
_MAX_PAIRS = 6_000_000
_BUFFER = 1_000_000
_MASK = 2**18 - 1
#: Rarer words have too few neighbours to tell their class: in fewer documents than this they have none.
_MIN_DOCUMENTS = 5
#: Words of one class that are kept for a word.
_NUM_NEAR = 250
_LEFT, _RIGHT, _BOTH, _LISTED = range(4)
_START, _END, _NUMBER, _SIGN = range(4)
_JOINED = frozenset(["and", "or", ",", "/"])
_TOKEN = re.compile(r"#+|[^\W\d_](?:[\w’'-]*\w)?|\d[\d.,]*|\S")
_DEGREES = frozenset(
    ["very", "more", "most", "highly", "extremely", "relatively", "less", "least", "so", "too", "quite", "as"]
)
#: A verb in its base form stands behind one of these.
_BEFORE_VERBS = frozenset(
    ["to", "we", "can", "may", "will", "could", "not", "would", "they", "might", "must", "should"]
)


@dataclass(frozen=True)
class Token:
    """A word, a number, a formula (of `#`) or a sign, with its place in the text."""

    text: str
    start: int
    end: int

    @property
    def is_word(self) -> bool:
        """Whether it begins with a letter."""
        return self.text[:1].isalpha()


def tokens_of(text: str) -> list[Token]:
    """The tokens of a sentence; a formula is one."""
    masked = re.sub(r"\$[^$]*\$", lambda found: "#" * len(found.group(0)), text)
    return [Token(found.group(0), found.start(), found.end()) for found in _TOKEN.finditer(masked)]


def inside(tokens: list[Token], place: int) -> str:
    """The word at a place as it stands inside a sentence, where only names are capitalised; "" outside."""
    if not 0 <= place < len(tokens):
        return ""
    text = tokens[place].text
    return text.lower() if place == 0 and text[1:].islower() else text


@dataclass
class _Counts:
    """What is counted of words, by number."""

    words: list[str] = field(default_factory=list)
    numbers: dict[str, int] = field(default_factory=dict)
    all: Counter[int] = field(default_factory=Counter)
    documents: Counter[int] = field(default_factory=Counter)
    graded: Counter[int] = field(default_factory=Counter)
    verbal: Counter[int] = field(default_factory=Counter)
    counted: Counter[int] = field(default_factory=Counter)

    def number(self, text: str) -> int:
        """The number of a token; new words get one."""
        if not text[:1].isalpha():
            return _NUMBER if text[:1].isdigit() or text[:1] == "#" else _SIGN
        found = self.numbers.get(text)
        if found is None:
            if len(self.words) >= _MAX_WORDS:
                return _SIGN
            found = self.numbers[text] = len(self.words) + _SIGN + 1
            self.words.append(text)
        return found


class Coordinates:
    """Counts words with what stands beside them; bounded in words and in pairs."""

    def __init__(self) -> None:
        self._counts = _Counts()
        self._buffer: list[int] = []
        self._codes: npt.NDArray[np.int64] = np.zeros(0, dtype=np.int64)
        self._times: npt.NDArray[np.int64] = np.zeros(0, dtype=np.int64)

    def add(self, sentences: Iterable[str]) -> None:
        """Counts the sentences of one document."""
        seen: set[int] = set()
        for sentence in sentences:
            seen |= self._add(tokens_of(sentence))
        self._counts.documents.update(seen)
        if len(self._buffer) > _BUFFER:
            self._flush()

    def _add(self, tokens: list[Token]) -> set[int]:
        counts = self._counts
        numbers = [counts.number(inside(tokens, place)) for place in range(len(tokens))]
        for place, word in enumerate(numbers):
            if word <= _SIGN:
                continue
            counts.all[word] += 1
            before = tokens[place - 1].text.lower() if place else ""
            left = numbers[place - 1] if place else _START
            right = numbers[place + 1] if place + 1 < len(numbers) else _END
            counts.graded[word] += before in _DEGREES
            counts.verbal[word] += before in _BEFORE_VERBS
            counts.counted[word] += left == _NUMBER
            self._buffer += (_code(_LEFT, word, left), _code(_RIGHT, word, right), _code(_BOTH, word, left, right))
            other = _next_listed(tokens, place)
            if other is not None and numbers[other] > _SIGN:
                self._buffer += (_code(_LISTED, word, numbers[other]), _code(_LISTED, numbers[other], word))
        return {word for word in numbers if word > _SIGN}

    def classes(self) -> Classes:
        """What was counted, as classes."""
        self._flush()
        return Classes(self._counts, self._codes, self._times)

    def _flush(self) -> None:
        codes = np.concatenate([self._codes, np.array(self._buffer, dtype=np.int64)])
        times = np.concatenate([self._times, np.ones(len(self._buffer), dtype=np.int64)])
        self._buffer.clear()
        self._codes, places = np.unique(codes, return_inverse=True)
        self._times = np.bincount(places, weights=times, minlength=len(self._codes)).astype(np.int64)
        if len(self._codes) > _MAX_PAIRS:
            is_kept = self._times > 1
            self._codes, self._times = self._codes[is_kept], self._times[is_kept]


def _next_listed(tokens: list[Token], place: int) -> int | None:
    """The place of the word that "and", "or", a comma, a stroke or ", and" joins to the one at `place`."""
    for length in (1, 2):
        between = [token.text for token in tokens[place + 1 : place + 1 + length]]
        is_joined = len(between) == length and between[-1] in _JOINED and set(between[:-1]) <= {","}
        if is_joined and place + 1 + length < len(tokens) and tokens[place + 1 + length].text not in _JOINED:
            return place + 1 + length
    return None


def _code(kind: int, word: int, one: int, other: int = 0) -> int:
    return (word << 2 | kind) << 36 | one << 18 | other


class Classes:
    """Which words are of one class, and what each is like."""

    def __init__(self, counts: _Counts, codes: npt.NDArray[np.int64], times: npt.NDArray[np.int64]) -> None:
        self._counts = counts
        self._codes, self._times = codes, times
        self._near: dict[str, dict[str, float]] = {}
        self._weigh(times)

    def commonness(self, word: str) -> int:
        """How often a word occurs."""
        return self._counts.all[self._number(word)]

    def is_known(self, word: str) -> bool:
        """Whether a word occurs in enough documents to have a class."""
        return self._counts.documents[self._number(word)] >= _MIN_DOCUMENTS

    def graded(self, word: str) -> float:
        """Share of a word's occurrences behind "very", "more", "so" and the like."""
        return self._share(self._counts.graded, word)

    def verbal(self, word: str) -> float:
        """Share of a word's occurrences behind words that come before verbs."""
        return self._share(self._counts.verbal, word)

    def counted(self, word: str) -> float:
        """Share of a word's occurrences behind a number: large for units."""
        return self._share(self._counts.counted, word)

    def num_before(self, one: str, other: str) -> int:
        """How often one word stands right before another."""
        return self._num(_RIGHT, one, other)

    def num_listed(self, one: str, other: str) -> int:
        """How often "and", "or", a comma or a stroke joins two words."""
        return self._num(_LISTED, one, other)

    def num_shared(self, one: str, other: str) -> int:
        """How many words are joined with both of two words in lists."""
        return len(self._listed(one) & self._listed(other))

    def likeness(self, one: str, other: str) -> float:
        """The cosine of the surroundings of two words, 0 to 1; 0 of words that are not among the likest."""
        return self._likenesses(one).get(other, 0.0)

    def others(self, word: str, least: float) -> list[str]:
        """The words that are at least so like a word, the likest first."""
        return [other for other, value in self._likenesses(word).items() if value >= least]

    def _number(self, word: str) -> int:
        return self._counts.numbers.get(word, -1)

    def _listed(self, word: str) -> set[int]:
        number = self._number(word)
        if number < 0:
            return set()
        ends = [_code(_LISTED, number, 0), _code(_LISTED, number, _MASK, _MASK)]
        first, last = np.searchsorted(self._codes, ends)
        return {int(code) >> 18 & _MASK for code in self._codes[first:last]}

    def _share(self, counter: Counter[int], word: str) -> float:
        return counter[self._number(word)] / max(1, self.commonness(word))

    def _num(self, kind: int, one: str, other: str) -> int:
        first, second = self._number(one), self._number(other)
        if min(first, second) < 0:
            return 0
        code = _code(kind, first, second)
        place = int(np.searchsorted(self._codes, code))
        return int(self._times[place]) if place < len(self._codes) and int(self._codes[place]) == code else 0

    def _weigh(self, times: npt.NDArray[np.int64]) -> None:
        """Rows (words) and columns (surroundings) with their positive information, each row of length 1, by row and by column."""
        is_known = np.zeros(len(self._counts.words) + _SIGN + 1, dtype=bool)
        for word, count in self._counts.documents.items():
            is_known[word] = count >= _MIN_DOCUMENTS
        rows = self._codes >> 38
        is_kept = is_known[rows]
        rows, counts = rows[is_kept], times[is_kept].astype(np.float64)
        around = self._codes[is_kept] & ((1 << 38) - 1)
        _, columns, num_words = np.unique(around, return_inverse=True, return_counts=True)
        is_shared = num_words[columns] > 1
        rows, columns, counts = rows[is_shared], columns[is_shared], counts[is_shared]
        of_row, of_column = np.bincount(rows, weights=counts), np.bincount(columns, weights=counts)
        information = np.log(counts * counts.sum() / (of_row[rows] * of_column[columns]))
        # What is seen once or twice is mostly chance.
        values = np.maximum(information, 0.0) * np.minimum(1.0, np.sqrt(counts) / 1.5)
        lengths = np.sqrt(np.bincount(rows, weights=values**2, minlength=1))
        values /= np.maximum(lengths[rows], 1e-9)
        order = np.argsort(columns, kind="stable")
        self._rows, self._row_values = rows[order], values[order]
        self._column_starts = np.searchsorted(columns[order], np.arange(int(columns.max(initial=-1)) + 2))
        order = np.argsort(rows, kind="stable")
        self._columns, self._column_values = columns[order], values[order]
        self._row_starts = np.searchsorted(rows[order], np.arange(len(is_known) + 1))

    def _likenesses(self, word: str) -> dict[str, float]:
        """The likest words with their likeness, the likest first; worked out once a word."""
        if word not in self._near:
            number = self._number(word)
            self._near[word] = self._computed(number) if number >= 0 else {}
        return self._near[word]

    def _computed(self, number: int) -> dict[str, float]:
        first, last = self._row_starts[number : number + 2]
        total = np.zeros(len(self._row_starts) - 1)
        for column, value in zip(self._columns[first:last], self._column_values[first:last], strict=True):
            begin, end = self._column_starts[column : column + 2]
            total[self._rows[begin:end]] += value * self._row_values[begin:end]
        total[number] = 0.0
        total = np.round(total, 6)
        best = np.argsort(-total, kind="stable")[:_NUM_NEAR]
        return {self._counts.words[each - _SIGN - 1]: float(total[each]) for each in best if total[each] > 0}
