"""Standard errors and bootstrap intervals of a mean whose items may hang together (questions on one article).

Items enter as cluster sums and sizes, and clusters that look alike are one row with a count: a resample is then one
multinomial draw over a handful of kinds instead of thousands of indices. 10,000 resamples of 4,425 right-or-wrong
answers on 885 articles take milliseconds, and the distribution is the same.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, Literal

from sagecraft.artifact import keyed_hash

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Interval = tuple[float, float]
Method = Literal["bca", "percentile", "studentised"]

#: Kinds of clusters up to which a multinomial draw is the faster one, and values drawn at a time beyond (16 MB).
_MAX_KINDS = 256
_DRAWS_AT_A_TIME = 2_000_000


@dataclass(frozen=True)
class Clusters:
    """Values added up by cluster, K kinds of clusters.

    Attributes:
        sums: (K,) sum of the values of such a cluster.
        sizes: (K,) its number of items.
        counts: (K,) how many clusters look like that.
    """

    sums: NDArray[np.float64]
    sizes: NDArray[np.float64]
    counts: NDArray[np.int64]

    @property
    def num_clusters(self) -> int:
        """G, the number of clusters."""
        return int(self.counts.sum())

    @property
    def num_items(self) -> int:
        """The number of items."""
        return int(self.counts @ self.sizes)

    @property
    def mean(self) -> float:
        """The mean over items."""
        return float(self.counts @ self.sums) / self.num_items


def gather(values: Sequence[float], clusters: Sequence[object] | None = None) -> Clusters:
    """Adds values up by cluster; without clusters each value is one of its own.

    Raises:
        ValueError: no values, or not one cluster a value.
    """
    import numpy as np

    if not len(values):
        raise ValueError("no values")
    sums = np.asarray(values, dtype=np.float64)
    sizes = np.ones(len(sums))
    if clusters is not None:
        if len(clusters) != len(values):
            raise ValueError(f"{len(clusters)} clusters for {len(values)} values")
        numbers: dict[object, int] = {}
        index = np.array([numbers.setdefault(cluster, len(numbers)) for cluster in clusters])
        sums = np.bincount(index, weights=sums).astype(np.float64)
        sizes = np.bincount(index).astype(np.float64)
    kinds, counts = np.unique(np.stack([sums, sizes], axis=1), axis=0, return_counts=True)
    return Clusters(kinds[:, 0].copy(), kinds[:, 1].copy(), counts)


def standard_error(values: Sequence[float], clusters: Sequence[object] | None = None) -> float:
    """Standard error of a mean, robust against items of one cluster hanging together.

    Miller (arXiv:2411.00640), equation 4, times G/(G − 1) for G clusters, which makes it the usual s/√n where every
    item is its own cluster (and statsmodels' `cov_type="cluster"` of a regression on a constant).
    """
    return standard_error_of(gather(values, clusters))


def standard_error_of(gathered: Clusters) -> float:
    """`standard_error` of values that were added up before; infinite for a single cluster, which says nothing."""
    if gathered.num_clusters < 2:
        return math.inf
    residuals = gathered.sums - gathered.mean * gathered.sizes
    correction = gathered.num_clusters / (gathered.num_clusters - 1)
    return math.sqrt(correction * float(gathered.counts @ residuals**2)) / gathered.num_items


def design_effect(values: Sequence[float], clusters: Sequence[object]) -> float | None:
    """How many times larger the variance of the mean is than if all items were independent; None if nothing varies.

    n items on articles with design effect D say as much as n / D independent ones (Kish, Survey Sampling, 1965).
    """
    alone = standard_error(values)
    return (standard_error(values, clusters) / alone) ** 2 if 0 < alone < math.inf else None


def bootstrap(
    values: Sequence[float],
    seed: int,
    *,
    clusters: Sequence[object] | None = None,
    method: Method = "bca",
    confidence: float = 0.95,
    num_resamples: int = 10_000,
) -> Interval:
    """Bootstrap interval of a mean; whole clusters are drawn where there are any.

    Pairs of models are compared by passing the differences of their values. Where all values are equal every resample
    is, too, and the interval has no width: near 0 and 1 a score interval (`statistics.wilson`) is the better one.

    Args:
        values: one an item.
        seed: key of the resamples.
        clusters: what each item belongs to; drawing single items of clusters gives intervals that are too narrow.
        method: `bca`, corrected for bias and skewness (Efron, JASA 82, 171, 1987); `percentile`; `studentised`,
            each resample in units of its own standard error (Hall, Ann. Stat. 16, 927, 1988).
        confidence: of the two-sided interval.
        num_resamples: 10,000 settle the ends to a few hundredths of the interval's width.
    """
    return bootstrap_of(gather(values, clusters), seed, method, confidence, num_resamples)


def bootstrap_of(
    gathered: Clusters, seed: int, method: Method = "bca", confidence: float = 0.95, num_resamples: int = 10_000
) -> Interval:
    """`bootstrap` of values that were added up before."""
    import numpy as np

    tails = [(1 - confidence) / 2, (1 + confidence) / 2]
    mean = gathered.mean
    if method == "studentised":
        return _studentised(gathered, seed, tails, num_resamples)
    means = resampled_means(gathered, seed, num_resamples)
    if method == "bca":
        rounding = 1e-12 * float(np.abs(means).max())  # a resample with the very mean counts as half below it
        below = float(np.mean(means < mean - rounding) + np.mean(means <= mean + rounding)) / 2
        if 0 < below < 1:  # else the resamples stand on one side, and the correction is not defined
            tails = _corrected(tails, NormalDist().inv_cdf(below), acceleration(gathered))
    low, high = np.quantile(means, tails)
    return float(low), float(high)


def resampled_means(gathered: Clusters, seed: int, num_resamples: int) -> NDArray[np.float64]:
    """Means of resampled clusters, shape (num_resamples,)."""
    import numpy as np

    drawn = _resampled(gathered, np.stack([gathered.sums, gathered.sizes], axis=1), seed, num_resamples)
    means: NDArray[np.float64] = drawn[:, 0] / drawn[:, 1]
    return means


def acceleration(gathered: Clusters) -> float:
    """BCa's acceleration by the jackknife: each cluster in turn is left out."""
    if gathered.num_clusters < 2:
        return 0.0
    total, size = gathered.counts @ gathered.sums, gathered.counts @ gathered.sizes
    left = (total - gathered.sums) / (size - gathered.sizes)
    shifts = gathered.counts @ left / gathered.num_clusters - left
    squares = float(gathered.counts @ shifts**2)
    return float(gathered.counts @ shifts**3) / (6 * squares**1.5) if squares > 0 else 0.0


def _corrected(tails: Sequence[float], bias: float, skew: float) -> list[float]:
    normal = NormalDist()
    shifted = [bias + normal.inv_cdf(tail) for tail in tails]
    return [normal.cdf(bias + z / (1 - skew * z)) for z in shifted]


def _studentised(gathered: Clusters, seed: int, tails: Sequence[float], num_resamples: int) -> Interval:
    """The interval of a bootstrapped t; resamples in which nothing varies have no t and are left out."""
    import numpy as np

    mean, error = gathered.mean, standard_error_of(gathered)
    sums, sizes = gathered.sums - mean * gathered.sizes, gathered.sizes  # centred: no digits are lost below
    columns = np.stack([sums, sizes, sums**2, sums * sizes, sizes**2], axis=1)
    total, size, squares, products, size_squares = _resampled(gathered, columns, seed, num_resamples).T
    shifts = total / size
    spread = squares - 2 * shifts * products + shifts**2 * size_squares
    correction = gathered.num_clusters / max(1, gathered.num_clusters - 1)
    errors = np.sqrt(np.maximum(correction * spread, 0)) / size
    varied = errors > 1e-9 * max(error, 1e-300)
    if not varied.any() or not math.isfinite(error):
        return mean, mean
    low, high = np.quantile(shifts[varied] / errors[varied], tails)
    return mean - float(high) * error, mean - float(low) * error


def _resampled(gathered: Clusters, columns: NDArray[np.float64], seed: int, num_resamples: int) -> NDArray[np.float64]:
    """Sums of columns (K, C) over clusters drawn with replacement, shape (num_resamples, C)."""
    import numpy as np

    total, kinds = gathered.num_clusters, len(gathered.counts)
    generator = np.random.Generator(np.random.PCG64(keyed_hash(seed, "bootstrap", total)))
    if kinds <= _MAX_KINDS:
        drawn = generator.multinomial(total, gathered.counts / total, size=num_resamples)
        return drawn.astype(np.float64) @ columns
    kind_of = np.repeat(np.arange(kinds), gathered.counts)
    parts = []
    at_a_time = max(1, _DRAWS_AT_A_TIME // total)
    for start in range(0, num_resamples, at_a_time):
        rows = min(at_a_time, num_resamples - start)
        chosen = kind_of[generator.integers(0, total, size=(rows, total))] + kinds * np.arange(rows)[:, None]
        counts = np.bincount(chosen.ravel(), minlength=rows * kinds).reshape(rows, kinds)
        parts.append(counts.astype(np.float64) @ columns)
    return np.concatenate(parts)
