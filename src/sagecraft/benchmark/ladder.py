"""Other values for a figure: a ladder of four, each a step above the last, on which every rung could be the right one."""

from __future__ import annotations

import bisect
import math
import random
from collections import Counter
from collections.abc import Iterable

from sagecraft.artifact import keyed_hash
from sagecraft.literature.figures import Figure, decimals_of, digits_of, number_of

#: Between neighbouring rungs: far enough to be clearly another value, near enough to be thinkable.
_LEAST_STEP, _LARGEST_STEP = 1.25, 2.6
#: By how many significant digits options may differ: "12,766" stands out among "20,000" and "35,000".
_DIGITS_APART = 1
_STEPS = (1.3, 1.5, 1.7, 1.9, 2.2)
#: Years in which the scale of years grows by the factor e: neighbours are one to six years apart.
_YEARS = 6.0
NUM_RUNGS = 4
#: Values of other units are taken where those of the unit do not fill a rung.
_ANY_UNIT = ""
#: Texts, how often each occurs, and (value, number of the text) by value.
_Pool = tuple[list[str], list[int], list[tuple[float, int]]]


class Ladders:
    """Values that occur in the documents, by unit, each as often as it occurs.

    A set of values would be a hint: round values are common, so the right option would be the commonest of four. Drawn by
    how often they occur, the others are as common as it is.
    """

    def __init__(self) -> None:
        self._counts: dict[str, Counter[str]] = {}
        self.last_year = 2100
        self._sorted: dict[tuple[str, int, bool], _Pool] = {}

    def add(self, figures: Iterable[Figure]) -> None:
        """Counts figures."""
        for figure in figures:
            for unit in (figure.unit, _ANY_UNIT):
                self._counts.setdefault(unit, Counter())[figure.text] += 1
        self._sorted.clear()

    def commonness(self, unit: str, text: str) -> float:
        """How often a value occurs with a unit, beside the occurrence that made it an option.

        What was drawn because it occurs occurs at least once; to count that would tell it from what was computed.
        """
        return float(max(0, self._counts.get(unit, Counter())[text] - 1))

    def rungs(self, figure: Figure, rank: int, rng: random.Random) -> list[str] | None:
        """Three other values, `rank` of them smaller; None if the value could not stand at each of the four ranks.

        Where only some ranks were possible, the rank would tell: a small count would always be the smallest.
        """
        made = [self._at(figure, each, rng) for each in range(NUM_RUNGS)]
        return made[rank] if all(row is not None for row in made) else None

    def neighbour(self, figure: Figure, up: bool, rng: random.Random) -> str | None:
        """One other value, above or below; None unless there is one on both sides."""
        steps = [self._step(figure, figure.text, side, rng) for side in (False, True)]
        return steps[up] if None not in steps else None

    def _at(self, figure: Figure, rank: int, rng: random.Random) -> list[str] | None:
        made: list[str] = []
        for up, count in ((False, rank), (True, NUM_RUNGS - 1 - rank)):
            current = figure.text
            for _ in range(count):
                step = self._step(figure, current, up, rng)
                if step is None:
                    return None
                made.append(step)
                current = step
        return made

    def _step(self, figure: Figure, text: str, up: bool, rng: random.Random) -> str | None:
        """The next rung: a value that occurs, of the unit if there is one; else one in the same form."""
        low, high = (_LEAST_STEP, _LARGEST_STEP) if up else (1 / _LARGEST_STEP, 1 / _LEAST_STEP)
        here = self._measure(figure, text)
        if not here:  # a year that is still to come: everything that cannot be would be as near
            return None
        for unit in (figure.unit, _ANY_UNIT) if figure.scale != "year" else (figure.unit,):
            texts, weights, values = self._pool(unit, text)
            fitting = [
                n
                for n in _between(values, _value_of(figure, low * here), _value_of(figure, high * here), here)
                if low * here <= self._measure(figure, texts[n]) <= high * here
                and (figure.scale == "year" or abs(digits_of(texts[n]) - digits_of(figure.text)) <= _DIGITS_APART)
            ]
            if fitting:
                return texts[rng.choices(fitting, [weights[n] for n in fitting])[0]]
        for step in rng.sample(_STEPS, len(_STEPS)):  # small whole numbers need the one that rounds to another
            made = _made(figure, here * step if up else here / step)
            is_alike = figure.scale == "year" or abs(digits_of(made) - digits_of(figure.text)) <= _DIGITS_APART
            if is_alike and low * here <= self._measure(figure, made) <= high * here:
                return made
        return None

    def _measure(self, figure: Figure, text: str) -> float:
        """A value on the scale on which steps are ratios; 0, which no step reaches, for what cannot be.

        A large share moves by what is missing to the whole, a year by years.
        """
        value = number_of(text)
        if figure.scale == "year":
            return math.exp((value - 2000) / _YEARS) if 1000 <= value <= self.last_year else 0.0
        if figure.scale == "share" and number_of(figure.text) > 50:
            return 1 / (100 - value) if 0 < value < 100 else 0.0
        limit = {"share": 100.0, "mantissa": 9.999}.get(figure.scale, math.inf)
        least = 1.0 if figure.scale == "mantissa" else 0.0
        return value if least <= value <= limit else 0.0

    def _pool(self, unit: str, text: str) -> _Pool:
        """Values of a unit in the form of `text`: as many decimals, separators as it has them."""
        has_comma = "," in text
        key = (unit, decimals_of(text), has_comma)
        if key not in self._sorted:
            counts = self._counts.get(unit, Counter())
            # "950" and "1,250" may stand side by side, "1250" and "1,250" may not.
            fits = sorted(
                other
                for other in counts
                if decimals_of(other) == key[1] and (number_of(other) < 1000 or ("," in other) == has_comma)
            )
            values = sorted((number_of(other), n) for n, other in enumerate(fits))
            self._sorted[key] = fits, [counts[other] for other in fits], values
        return self._sorted[key]


def _value_of(figure: Figure, measure: float) -> float:
    """The value that has a measure on that scale."""
    if figure.scale == "year":
        return 2000 + _YEARS * math.log(measure) if measure > 0 else -math.inf
    if figure.scale == "share" and number_of(figure.text) > 50:
        return 100 - 1 / measure if measure > 0 else -math.inf
    return measure


def _between(values: list[tuple[float, int]], low: float, high: float, here: float) -> list[int]:
    """Numbers of the values from `low` to `high` and a little beyond, ascending; of all, where there is no measure `here`.

    To try all of them for each rung of each item took a time that grew with the square of the documents.
    """
    if not here:
        return list(range(len(values)))
    room = 1e-6 * (1 + abs(low) + abs(high)) if math.isfinite(low) and math.isfinite(high) else 0.0
    first, last = bisect.bisect_left(values, (low - room, -1)), bisect.bisect_right(values, (high + room, len(values)))
    return sorted(n for _, n in values[first:last])


def _made(figure: Figure, measure: float) -> str:
    """The text of a value on that scale."""
    value = _value_of(figure, measure)
    if figure.scale == "year":
        return f"{value:.0f}"
    if figure.scale == "share" and number_of(figure.text) > 50:
        return f"{value:.{decimals_of(figure.text)}f}"
    return in_form(figure.text, value)


def in_form(value: str, number: float) -> str:
    """`number` written like `value`: as many decimals, separators and about as many significant digits."""
    decimals = decimals_of(value)
    magnitude = len(str(int(number)))
    digits = digits_of(value)
    if not decimals and magnitude > digits:
        number = round(number, digits - magnitude)
    text = f"{number:,.{decimals}f}"
    return text if "," in value else text.replace(",", "")


def in_turn(seed: int, what: str, number: int) -> int:
    """A number from 0 to 3 that comes up once in each block of four."""
    order = random.Random(keyed_hash(seed, what, number // 4)).sample(range(4), 4)  # noqa: S311
    return order[number % 4]
