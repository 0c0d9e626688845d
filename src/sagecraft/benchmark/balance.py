"""Which words of a class stand beside the right one: chosen so that neither how common, how like the rest nor how long a word is tells it.

As a ladder of values does for figures, the right word takes each rank among the four in turn. And a word that is often asked
for is often a wrong option too: otherwise whoever knows other items knows which words are right.
"""

from __future__ import annotations

import itertools
import random
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from sagecraft.benchmark.ladder import in_turn
from sagecraft.benchmark.words import NUM_OTHERS, ClassWord, WordClasses

#: How much a word that is an option too often weighs against a rank that is off by one.
_WEIGHT = 0.3
#: Of the ranks by number, likeness and length.
_RANK_WEIGHTS = (1.0, 1.5, 0.5)
_MAX_EXCESS = 2.0


class Balance:
    """Chooses other options for words; what it chose before decides what it chooses next.

    Attributes:
        seed: keys the ranks.
    """

    def __init__(self, seed: int, classes: WordClasses, asked: Iterable[str]) -> None:
        """Begins with nothing chosen.

        Args:
            seed: keys the ranks.
            classes: of words.
            asked: the words of all statements that may be left open, as often as they may be.
        """
        self.seed = seed
        self._classes = classes
        self._asked = Counter(asked)
        self._shown: Counter[str] = Counter()
        self._number = 0

    def three(self, word: ClassWord, rng: random.Random) -> tuple[str, ...] | None:
        """Three others that can stand beside each other, or None.

        Args:
            word: that is left open.
            rng: breaks ties.
        """
        groups = [
            group
            for group in itertools.combinations(word.others, NUM_OTHERS)
            if all(self._classes.are_one_class(*pair) for pair in itertools.combinations(group, 2))
        ]
        if not groups:
            return None
        wanted = [in_turn(self.seed, f"rank by {name}", self._number) for name in ("number", "likeness", "length")]
        rng.shuffle(groups)
        best = min(groups, key=lambda group: self._cost(word.text, group, wanted))
        self._number += 1
        self._shown.update(best)
        return best

    def one(self, word: ClassWord, rng: random.Random) -> str:
        """One other: a commoner and a rarer one in turn where there are both.

        Args:
            word: that is left open.
            rng: breaks ties.
        """
        is_up = in_turn(self.seed, "side", self._number) % 2 == 0
        count = self._classes.commonness
        fitting = [each for each in word.others if (count(each) >= count(word.text)) == is_up] or list(word.others)
        rng.shuffle(fitting)
        best = min(fitting, key=self._excess)
        self._number += 1
        self._shown[best] += 1
        return best

    def _cost(self, key: str, others: Sequence[str], wanted: Sequence[int]) -> float:
        texts = (key, *others)
        scores: tuple[Callable[[str], float], ...] = (
            lambda text: float(self._classes.commonness(text)),
            lambda text: self._classes.total_likeness(text, texts),
            lambda text: float(len(text)),
        )
        off = sum(
            weight * abs(sum(score(other) < score(key) for other in others) - rank)
            for score, rank, weight in zip(scores, wanted, _RANK_WEIGHTS, strict=True)
        )
        return off + _WEIGHT * sum(self._excess(other) for other in others)

    def _excess(self, word: str) -> float:
        """How far a word stands above its share of wrong options, which is three times its share of right ones."""
        return min(self._shown[word] / (NUM_OTHERS * (self._asked[word] + 0.5)), _MAX_EXCESS)
