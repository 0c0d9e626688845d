"""Which words of a class stand beside the right one: chosen so that neither how common, how like the rest nor how long a word is tells it.

As a ladder of values does for figures, the right word takes each rank among the four in turn. And a word that is often asked
for is often a wrong option too: otherwise whoever knows other items knows which words are right.
"""

from __future__ import annotations

import itertools
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from sagecraft.benchmark.ladder import in_turn
from sagecraft.benchmark.words import NUM_OTHERS, ClassWord, WordClasses

#: How much a word that is an option too often weighs against a rank that is off by one.
_WEIGHT = 1.5
#: Others that are tried together: of 18 there are 816 threes.
_MAX_CANDIDATES = 18
#: By how much the ranks by number, likeness and length may be off.
_MOST_OFF = (2, 1, 3)
_MISFIT = 1e9
#: So often may a word be the right one before it was a wrong one.
_MOST_ASKED = 6
_MAX_EXCESS = 2.0


@dataclass(frozen=True)
class _Facts:
    """Of the key, which is the first, and the candidates: number, length, excess; likeness and compatibility of two."""

    commonness: list[int]
    length: list[int]
    excess: list[float]
    likeness: list[list[float]]
    is_apart: list[list[bool]]

    def cost(self, group: Sequence[int], wanted: Sequence[int]) -> float:
        """How far the ranks of the key beside a group are from what is due; `_MISFIT` where they are too far."""
        first, second, third = group
        if not (self.is_apart[first][second] and self.is_apart[first][third] and self.is_apart[second][third]):
            return _MISFIT
        places = (0, *group)
        totals = [sum(self.likeness[one][other] for other in places) for one in places]
        ranks = (
            sum(self.commonness[place] < self.commonness[0] for place in group),
            sum(total < totals[0] for total in totals[1:]),
            sum(self.length[place] < self.length[0] for place in group),
        )
        off = [abs(rank - due) for rank, due in zip(ranks, wanted, strict=True)]
        if any(rank_off > most for rank_off, most in zip(off, _MOST_OFF, strict=True)):
            return _MISFIT
        return sum(off) + _WEIGHT * sum(self.excess[place] for place in group)


class Balance:
    """Chooses other options for words; what it chose before decides what it chooses next.

    Attributes:
        seed: keys the ranks.
    """

    def __init__(self, seed: int, classes: WordClasses) -> None:
        self.seed = seed
        self._classes = classes
        self._asked: Counter[str] = Counter()
        self._shown: Counter[str] = Counter()
        self._number = 0

    def three(self, word: ClassWord, rng: random.Random) -> tuple[str, ...] | None:
        """Three others that can stand beside each other, or None where the rank that is due cannot be had.

        What is due stays so until a word takes it: else the commonest word, which is often asked for, would always be right.

        Args:
            word: that is left open.
            rng: breaks ties.
        """
        if self._is_worn(word.text):
            return None
        # Of as many words as the key: else the shortest would be right more often.
        same = [other for other in word.others if other.count(" ") == word.text.count(" ")]
        candidates = rng.sample(same, min(_MAX_CANDIDATES, len(same)))
        wanted = [in_turn(self.seed, f"rank by {name}", self._number) for name in ("number", "likeness", "length")]
        facts = self._facts(word.text, candidates)
        groups = list(itertools.combinations(range(1, len(candidates) + 1), NUM_OTHERS))
        costs = [facts.cost(group, wanted) for group in groups]
        fitting = [place for place, cost in enumerate(costs) if cost < _MISFIT]
        if not fitting:
            return None
        best = tuple(candidates[place - 1] for place in groups[min(fitting, key=costs.__getitem__)])
        self._number += 1
        self._asked[word.text] += 1
        self._shown.update(best)
        return best

    def one(self, word: ClassWord, is_up: bool, rng: random.Random) -> str | None:
        """One other; None where there is none of the kind that is due.

        Args:
            word: that is left open.
            is_up: whether it shall be commoner than the key.
            rng: breaks ties.
        """
        if self._is_worn(word.text):
            return None
        count = self._classes.commonness
        fitting = [each for each in word.others if (count(each) >= count(word.text)) == is_up]
        if not fitting:
            return None
        rng.shuffle(fitting)
        best = min(fitting, key=self._excess)
        self._asked[word.text] += 1
        self._shown[best] += 1
        return best

    def _facts(self, key: str, candidates: Sequence[str]) -> _Facts:
        """What a choice among candidates goes by; the key is the first."""
        texts = (key, *candidates)
        likeness, are_one = self._classes.likeness, self._classes.are_one_class
        return _Facts(
            commonness=[self._classes.commonness(text) for text in texts],
            length=[len(text) for text in texts],
            excess=[0.0, *(self._excess(text) for text in candidates)],
            likeness=[[0.0 if one == other else likeness(one, other) for other in texts] for one in texts],
            is_apart=[[one != other and are_one(one, other) for other in texts] for one in texts],
        )

    def _is_worn(self, word: str) -> bool:
        """Whether a word was the right one more often than it was offered as a wrong one, of three for each right one."""
        return self._asked[word] > _MOST_ASKED + self._shown[word] / NUM_OTHERS

    def _excess(self, word: str) -> float:
        """How far a word stands above its share of wrong options, which is three times its share of right ones."""
        return min(self._shown[word] / (NUM_OTHERS * (self._asked[word] + 0.5)), _MAX_EXCESS)
