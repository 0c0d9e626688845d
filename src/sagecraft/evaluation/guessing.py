"""What guessing gives on a set of questions, and whether an accuracy can be told from it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: Questions for which the distribution is worked out whole; of more, the normal one is as good (at 20,000: p to 0.01).
_MAX_EXACT = 20_000
#: Counts as unlikely as the one seen belong to the tail, rounding aside.
_TIE = 1 + 1e-7


def chances(rows: Sequence[Mapping[str, Any]]) -> list[float] | None:
    """The chance of each question (rows of `items.jsonl`) to be guessed right; None if something is not to be guessed.

    An option that stands there twice is right under both letters (`score.outcome_of`).
    """
    found = []
    for row in rows:
        options = [option["text"] for option in row["options"]]
        keyed = {option["letter"]: option["text"] for option in row["options"]}.get(row["key"])
        if not options or keyed is None:
            return None
        found.append(options.count(keyed) / len(options))
    return found


def against_guessing(rows: Sequence[Mapping[str, Any]], design_effect: float = 1.0) -> dict[str, float] | None:
    """Compares the right answers with those of guessing.

    The number right of a guesser is a sum of independent draws (Poisson's binomial). It is worked out whole, and the
    two-sided p-value adds up all numbers no likelier than the one seen; where questions hang together, and for very
    many, the normal distribution is used, with the variance times the design effect and a correction for continuity.

    Args:
        rows: of `items.jsonl`, of one mode.
        design_effect: of the accuracy (`resampling.design_effect`); below 1 it is taken as 1.

    Returns:
        `accuracy`, what guessing gives, and `p_value` that guessing gives a number as far from it; None for a set
        without a key, or whose answers are not chosen.
    """
    each = chances(rows)
    if each is None:
        return None
    num_right = sum(row["correct"] is True for row in rows)
    expected = math.fsum(each)
    return {"accuracy": expected / len(each), "p_value": p_value(num_right, each, design_effect)}


def p_value(num_right: int, each: Sequence[float], design_effect: float = 1.0) -> float:
    """Two-sided p-value of a number of hits, of draws with these chances."""
    if design_effect <= 1 and len(each) <= _MAX_EXACT:
        masses = poisson_binomial(each)
        return min(1.0, float(masses[masses <= masses[num_right] * _TIE].sum()))
    spread = math.sqrt(math.fsum(chance * (1 - chance) for chance in each) * max(1.0, design_effect))
    distance = max(0.0, abs(num_right - math.fsum(each)) - 0.5)
    if spread == 0:
        return 1.0 if distance == 0 else 0.0
    return 2 * NormalDist().cdf(-distance / spread)


def poisson_binomial(each: Sequence[float]) -> NDArray[np.float64]:
    """Probabilities of 0, 1, …, n hits, shape (n + 1,): the binomial distributions of equal chances, folded together."""
    import numpy as np

    whole = np.ones(1)
    for chance, count in sorted(Counter(each).items()):
        whole = np.convolve(whole, _binomial(count, chance))
    masses: NDArray[np.float64] = whole / whole.sum()
    return masses


def _binomial(num_trials: int, chance: float) -> NDArray[np.float64]:
    import numpy as np

    if chance >= 1:
        return np.concatenate([np.zeros(num_trials), np.ones(1)])
    hits = np.arange(num_trials + 1)
    logs = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, num_trials + 1)))])
    masses: NDArray[np.float64] = np.exp(
        logs[-1] - logs - logs[::-1] + hits * math.log(chance) + (num_trials - hits) * math.log1p(-chance)
    )
    return masses
