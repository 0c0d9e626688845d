"""Error bars and tests for accuracies. Everything is a pure function; what is drawn is drawn by a key.

Counts are small integers and the tests exact where that is affordable, so no library is needed but numpy for the
resampling. The tests hold all of it against scipy.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from statistics import NormalDist
from typing import TYPE_CHECKING

from sagecraft.artifact import keyed_hash

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Interval = tuple[float, float]

#: Values drawn at a time while resampling: bounds the memory to about 16 MB.
_DRAWS_AT_A_TIME = 2_000_000


def wilson(num_correct: int, num_items: int, confidence: float = 0.95) -> Interval:
    """Wilson's score interval of a proportion (JASA 22, 209, 1927): good at small n and near 0 and 1."""
    if not 0 <= num_correct <= num_items or num_items == 0:
        raise ValueError(f"{num_correct} of {num_items} is no proportion")
    z2 = NormalDist().inv_cdf(0.5 + confidence / 2) ** 2
    share = num_correct / num_items
    centre = (share + z2 / (2 * num_items)) / (1 + z2 / num_items)
    half = math.sqrt(z2 * (share * (1 - share) / num_items + z2 / (4 * num_items**2))) / (1 + z2 / num_items)
    return (0.0 if num_correct == 0 else centre - half), (1.0 if num_correct == num_items else centre + half)


def bootstrap(values: Sequence[float], seed: int, confidence: float = 0.95, num_resamples: int = 10_000) -> Interval:
    """Percentile bootstrap interval of a mean; pairs of models are compared by passing their differences."""
    return clustered_bootstrap(values, range(len(values)), seed, confidence, num_resamples)


def clustered_bootstrap(
    values: Sequence[float],
    clusters: Sequence[object],
    seed: int,
    confidence: float = 0.95,
    num_resamples: int = 10_000,
) -> Interval:
    """Percentile bootstrap of a mean in which whole clusters are drawn.

    Questions on one article stand or fall together, so drawing single questions makes the interval too narrow.
    """
    import numpy as np

    if not values:
        raise ValueError("no values")
    groups: dict[object, list[float]] = {}
    for value, cluster in zip(values, clusters, strict=True):
        groups.setdefault(cluster, []).append(value)
    sums = np.array([math.fsum(group) for group in groups.values()])
    sizes = np.array([len(group) for group in groups.values()])
    means = np.concatenate(list(_resampled_means(sums, sizes, seed, num_resamples)))
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def _resampled_means(
    sums: NDArray[np.float64], sizes: NDArray[np.int64], seed: int, num_resamples: int
) -> Iterator[NDArray[np.float64]]:
    import numpy as np

    generator = np.random.Generator(np.random.PCG64(keyed_hash(seed, "bootstrap", len(sums))))
    at_a_time = max(1, _DRAWS_AT_A_TIME // len(sums))
    for start in range(0, num_resamples, at_a_time):
        drawn = generator.integers(0, len(sums), size=(min(at_a_time, num_resamples - start), len(sums)))
        yield sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1)


def mcnemar(only_a: int, only_b: int) -> float:
    """Two-sided exact McNemar test: the p-value of `only_a` against `only_b` discordant items."""
    total, smaller = only_a + only_b, min(only_a, only_b)
    if only_a == only_b:
        return 1.0
    tail = sum(math.comb(total, k) for k in range(smaller + 1))
    return min(1.0, 2 * tail / (1 << total))  # integers divide exactly rounded, whatever their size


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down adjustment of p-values for having made several tests (Scand. J. Stat. 6, 65, 1979)."""
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for rank, index in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = largest
    return adjusted


def minimum_detectable_difference(
    num_items: int, discordant_share: float, power: float = 0.8, alpha: float = 0.05
) -> float:
    """The smallest true difference of two paired accuracies that McNemar's test finds with this power.

    Connor's approximation (Biometrics 43, 207, 1987), n d² = (z_α √ψ + z_β √(ψ − d²))², solved for d.

    Args:
        num_items: items both models answered.
        discordant_share: ψ, the share of items on which exactly one of them is right.
        power: probability of finding it.
        alpha: two-sided level of the test.
    """
    if num_items < 1 or not 0 <= discordant_share <= 1:
        raise ValueError(f"n={num_items}, discordant share {discordant_share}")
    z_alpha, z_beta = NormalDist().inv_cdf(1 - alpha / 2), NormalDist().inv_cdf(power)
    low, high = 0.0, discordant_share  # a difference cannot exceed the share of discordant items
    for _ in range(60):
        middle = (low + high) / 2
        needed = z_alpha * math.sqrt(discordant_share) + z_beta * math.sqrt(max(0.0, discordant_share - middle**2))
        if num_items * middle**2 < needed**2:
            low = middle
        else:
            high = middle
    return high


def expected_calibration_error(
    confidences: Sequence[float], correct: Sequence[bool], num_bins: int = 10
) -> tuple[float, list[dict[str, float]]]:
    """ECE (arXiv:1706.04599) over bins of equal width, and the bins for a reliability plot."""
    bins: list[list[tuple[float, bool]]] = [[] for _ in range(num_bins)]
    for confidence, right in zip(confidences, correct, strict=True):
        bins[min(num_bins - 1, int(confidence * num_bins))].append((confidence, right))
    rows = [
        {
            "confidence": math.fsum(confidence for confidence, _ in group) / len(group),
            "accuracy": sum(right for _, right in group) / len(group),
            "n": len(group),
        }
        for group in bins
        if group
    ]
    total = len(confidences)
    return math.fsum(abs(row["confidence"] - row["accuracy"]) * row["n"] / total for row in rows), rows


def brier(probabilities: Sequence[Sequence[float]], answers: Sequence[int]) -> float:
    """Brier score of multi-class forecasts: mean squared distance to the truth, 0 to 2."""
    if not answers:
        raise ValueError("no forecasts")
    total = 0.0
    for row, answer in zip(probabilities, answers, strict=True):
        total += math.fsum((value - (index == answer)) ** 2 for index, value in enumerate(row))
    return total / len(answers)


def accuracy_by(rows: Sequence[Mapping[str, object]], column: str) -> dict[str, dict[str, object]]:
    """`n`, `accuracy` and `ci95` for each value of a column of keyed rows (rows without a value are left out)."""
    groups: dict[str, list[bool]] = {}
    for row in rows:
        if row[column]:
            groups.setdefault(str(row[column]), []).append(bool(row["correct"]))
    return {
        name: {"n": len(group), "accuracy": sum(group) / len(group), "ci95": list(wilson(sum(group), len(group)))}
        for name, group in sorted(groups.items())
    }
