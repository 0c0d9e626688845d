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

from sagecraft.benchmark.words import NUM_OTHERS, ClassWord, WordClasses

#: How much a word that is an option too often weighs against a rank that is off by one.
_WEIGHT = 1.5
#: Others that are tried together: of 18 there are 816 threes.
_MAX_CANDIDATES = 18
#: So much oftener than the mean, and so many times, a rank may be taken.
_MOST_OVER, _SLACK = 1.15, 4
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

    def ranks(self, group: Sequence[int]) -> tuple[int, int, int]:
        """The ranks of the key beside a group by number, likeness and length."""
        places = (0, *group)
        totals = [sum(self.likeness[one][other] for other in places) for one in places]
        return (
            sum(self.commonness[place] < self.commonness[0] for place in group),
            sum(total < totals[0] for total in totals[1:]),
            sum(self.length[place] < self.length[0] for place in group),
        )

    def cost(self, group: Sequence[int], dues: Sequence[Sequence[float]]) -> float:
        """What the ranks of the key beside a group cost; `_MISFIT` or more where one was taken too often."""
        first, second, third = group
        if not (self.is_apart[first][second] and self.is_apart[first][third] and self.is_apart[second][third]):
            return _MISFIT
        due = sum(of_rank[rank] for of_rank, rank in zip(dues, self.ranks(group), strict=True))
        return due + _WEIGHT * sum(self.excess[place] for place in group)


class Balance:
    """Chooses other options for words; what it chose before decides what it chooses next."""

    def __init__(self, classes: WordClasses) -> None:
        self._classes = classes
        self._asked: Counter[str] = Counter()
        self._shown: Counter[str] = Counter()
        self._ranks = [[0] * (NUM_OTHERS + 1) for _ in range(3)]

    def three(self, word: ClassWord, rng: random.Random) -> tuple[str, ...] | None:
        """Three others that can stand beside each other, or None where the ranks that can be had were taken too often.

        Else the commonest word, which is often asked for, would be right more often than not.

        Args:
            word: that is left open.
            rng: breaks ties.
        """
        if self._is_worn(word.text):
            return None
        # Of as many words as the key: else the shortest would be right more often.
        same = [other for other in word.others if other.count(" ") == word.text.count(" ")]
        candidates = rng.sample(same, min(_MAX_CANDIDATES, len(same)))
        facts = self._facts(word.text, candidates)
        dues = [self._dues(ranks) for ranks in self._ranks]
        groups = list(itertools.combinations(range(1, len(candidates) + 1), NUM_OTHERS))
        costs = [facts.cost(group, dues) for group in groups]
        fitting = [place for place, cost in enumerate(costs) if cost < _MISFIT / 2]
        if not fitting:
            return None
        group = groups[min(fitting, key=costs.__getitem__)]
        best = tuple(candidates[place - 1] for place in group)
        for ranks, rank in zip(self._ranks, facts.ranks(group), strict=True):
            ranks[rank] += 1
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

    @staticmethod
    def _dues(ranks: Sequence[int]) -> tuple[float, ...]:
        """What each rank costs by how often it was taken; `_MISFIT` for those that were taken too often."""
        mean = sum(ranks) / len(ranks)
        return tuple(_MISFIT if count > _MOST_OVER * mean + _SLACK else (count - mean) / (mean + 1) for count in ranks)

    def _is_worn(self, word: str) -> bool:
        """Whether a word was the right one more often than it was offered as a wrong one, of three for each right one."""
        return self._asked[word] > _MOST_ASKED + self._shown[word] / NUM_OTHERS

    def _excess(self, word: str) -> float:
        """How far a word stands above its share of wrong options, which is three times its share of right ones."""
        return min(self._shown[word] / (NUM_OTHERS * (self._asked[word] + 0.5)), _MAX_EXCESS)
