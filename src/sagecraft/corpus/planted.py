"""Planted copies: texts edited until they resemble their original as much as wanted, to measure a search for duplicates.

The similarity of a copy is measured on sets of word n-grams as strings, apart from the hashes that are under test.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass

from sagecraft.artifact import keyed_hash
from sagecraft.corpus.overlap import ngrams

#: Ways to edit: other words in place of some, words put in, words left out, sentences (and then parts of them) moved.
EDITS = ("substitution", "insertion", "deletion", "order")
_SENTENCE_END = re.compile(r"[.!?][\"')\]]*$")


@dataclass(frozen=True)
class Planted:
    """A copy of a text.

    Attributes:
        base: number of the text it was made from.
        edit: how.
        text: the copy.
        jaccard: of the n-grams of the two.
    """

    base: int
    edit: str
    text: str
    jaccard: float


def true_jaccard(one: str, two: str, num_words: int) -> float:
    """Shared word n-grams over all of two texts; 0.0 if there are none."""
    a, b = set(ngrams(one, num_words)), set(ngrams(two, num_words))
    return len(a & b) / len(a | b) if a or b else 0.0


class Editor:
    """Edits one text in one way; what is edited by a smaller count is edited by a larger one too."""

    def __init__(self, text: str, edit: str, donors: Sequence[str], key: Sequence[object]) -> None:
        """Draws what could be edited, in which order.

        Args:
            text: the original.
            edit: one of `EDITS`.
            donors: words to put in, of other texts.
            key: what the draws depend on.
        """
        self._words = text.split()
        self._edit = edit
        places = range(1 if edit == "order" else 0, len(self._words))
        draws = {place: keyed_hash(*key, "place", place) for place in places}
        # Ends of sentences first: few moves are what an editor does, many are what nothing but a shuffle does.
        inside = {place for place in places if edit == "order" and not _SENTENCE_END.search(self._words[place - 1])}
        self._places = sorted(places, key=lambda place: (place in inside, draws[place]))
        self._ranks = {0: keyed_hash(*key, "place", 0), **draws}
        self._donors = {place: donors[draw % len(donors)] for place, draw in draws.items()}

    @property
    def num_places(self) -> int:
        """Most edits there can be."""
        return len(self._places)

    def edited(self, count: int) -> str:
        """The text after edits at `count` places."""
        words, chosen = self._words, set(self._places[:count])
        if self._edit == "order":
            cuts = [0, *sorted(chosen), len(words)]
            pieces = [(self._ranks[start], words[start:end]) for start, end in itertools.pairwise(cuts)]
            moved = sorted(pieces) if pieces != sorted(pieces) else pieces[::-1]
            return " ".join(word for _, piece in moved for word in piece)
        if self._edit == "deletion":
            return " ".join(word for place, word in enumerate(words) if place not in chosen)
        donors = self._donors
        if self._edit == "substitution":
            return " ".join(donors[place] if place in chosen else word for place, word in enumerate(words))
        return " ".join(f"{donors[place]} {word}" if place in chosen else word for place, word in enumerate(words))


def plant(
    text: str, wanted: tuple[float, float], edit: str, donors: Sequence[str], num_words: int, key: Sequence[object]
) -> tuple[str, float] | None:
    """A copy of a text with a similarity to it within `wanted`, and that similarity.

    Args:
        text: the original.
        wanted: from and to; where in between is drawn.
        edit: one of `EDITS`.
        donors: words to put in.
        num_words: words of the n-grams that are compared.
        key: what the draws depend on.

    Returns:
        None if the text is too short for a copy of that similarity.
    """
    editor = Editor(text, edit, donors, key)
    low, high = wanted
    aim = low + (high - low) * (keyed_hash(*key, "aim") / 2**64)
    fewest, most = 0, editor.num_places
    # The most edits that leave the copy at least as similar as aimed at.
    while most - fewest > 1:
        middle = (fewest + most) // 2
        is_close = true_jaccard(text, editor.edited(middle), num_words) >= aim
        fewest, most = (middle, most) if is_close else (fewest, middle)
    for count in (fewest, most):
        copy = editor.edited(count)
        similarity = true_jaccard(text, copy, num_words)
        if count and low <= similarity <= high and similarity < 1.0:
            return copy, similarity
    return None


def plant_all(
    texts: Sequence[str], wanted: tuple[float, float], num_words: int, key: Sequence[object]
) -> list[Planted]:
    """One copy of each text that is long enough; ways of editing in turn, words put in from the next text."""
    planted: list[Planted] = []
    for number, text in enumerate(texts):
        edit = EDITS[number % len(EDITS)]
        donors = texts[(number + 1) % len(texts)].split()
        if donors and (found := plant(text, wanted, edit, donors, num_words, (*key, number))):
            planted.append(Planted(number, edit, *found))
    return planted
