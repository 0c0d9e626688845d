"""Guesses at the right option that see nothing but the options, and of the question only which of its words they repeat.

What they pay is kept near nothing where options are drawn (`drafts`), by leaving items out (`baselines`), and reported.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sagecraft.literature.figures import digits_of

CHANCE = 0.25
_DIGITS = re.compile(r"\d[\d,]*(?:\.\d+)?")


@dataclass(frozen=True)
class Option:
    """An option, and what guessers who see only options can go by.

    Attributes:
        text: as it is shown.
        commonness: of its parts in the documents, larger is commoner.
        pattern: for each part of a pair whether it is the commoner word, or the larger value, of the two.
        values: its numbers.
        likeness: how like a word is to the other options, on average.
        overlap: of its words with those of the question, rare words weighing more.
    """

    text: str
    commonness: float = 0.0
    pattern: tuple[bool, ...] = ()
    values: tuple[float, ...] = ()
    likeness: float = 0.0
    overlap: float = 0.0


def numbers_of(option: Option) -> list[str]:
    """The numbers of an option, as they are written."""
    text = re.sub(r"\(\d\) ", "", option.text)
    return _DIGITS.findall(text)


def _digits(option: Option) -> float:
    return float(sum(digits_of(text) for text in numbers_of(option)))


def _leading(option: Option) -> float:
    return float(sum(int(text.lstrip("0.,")[:1] or 0) for text in numbers_of(option)))


def _ends_round(option: Option) -> float:
    return float(sum(text[-1] in "05" for text in numbers_of(option)))


def _centre(option: Option, options: Sequence[Option]) -> float:
    """How far the values are from the middle of all four, on a logarithmic scale."""
    distance = 0.0
    for place in range(len(option.values)):
        logs = [math.log(abs(other.values[place]) + 1e-12) for other in options]
        distance += abs(math.log(abs(option.values[place]) + 1e-12) - sum(logs) / len(logs))
    return distance


#: Guess → what it maximises. None of them sees the key; of the question, only which of its words an option repeats.
SCORES: dict[str, Callable[[Option, Sequence[Option]], float]] = {
    "longest": lambda option, _: float(len(option.text)),
    "shortest": lambda option, _: -float(len(option.text)),
    "commonest": lambda option, _: option.commonness,
    "rarest": lambda option, _: -option.commonness,
    "fewest digits": lambda option, _: -_digits(option),
    "most digits": lambda option, _: _digits(option),
    "ends in 0 or 5": lambda option, _: _ends_round(option),
    "ends in another digit": lambda option, _: -_ends_round(option),
    "smallest first digit": lambda option, _: -_leading(option),
    "middle value": lambda option, options: -_centre(option, options),
    "extreme value": _centre,
    "smallest": lambda option, _: -sum(option.values),
    "largest": lambda option, _: sum(option.values),
    "both common or large": lambda option, _: float(option.pattern == (True, True)),
    "both rare or small": lambda option, _: float(option.pattern == (False, False)),
    "first common, second rare": lambda option, _: float(option.pattern == (True, False)),
    "first rare, second common": lambda option, _: float(option.pattern == (False, True)),
    "most like the others": lambda option, _: option.likeness,
    "least like the others": lambda option, _: -option.likeness,
    "most words shared with the question": lambda option, _: option.overlap,
    "fewest words shared with the question": lambda option, _: -option.overlap,
}


def hits(options: Sequence[Option]) -> list[float]:
    """For each guess the probability that it is right, which is the first option; options that it cannot tell apart share it."""
    row = []
    for score in SCORES.values():
        values = [score(option, options) for option in options]
        best = max(values)
        row.append((values[0] == best) / values.count(best))
    return row
