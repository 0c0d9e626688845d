"""The few distributions that the statistics need, so that a report can be written where scipy is not installed.

The tests hold each of them against scipy.
"""

from __future__ import annotations

import math
from functools import cache, lru_cache
from statistics import NormalDist
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: Nodes of the quadrature and steps of the bisection: both are at the precision of a double.
_NUM_NODES, _NUM_STEPS = 96, 80


def normal_quantile(probability: float) -> float:
    """The value below which a standard normal variable lies with this probability."""
    return NormalDist().inv_cdf(probability)


@cache
def _quadrature() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    import numpy as np

    nodes, weights = np.polynomial.legendre.leggauss(_NUM_NODES)
    return nodes, weights


@lru_cache(maxsize=256)
def t_quantile(probability: float, degrees: int) -> float:
    """The value below which Student's t with `degrees` (1 or more) lies with this probability, 0 < p < 1.

    With x = √ν tan θ the distribution function is the integral of cos^(ν−1) θ, which is smooth: Gauss-Legendre
    quadrature is exact to rounding, and bisection inverts it.
    """
    import numpy as np

    if degrees < 1 or not 0 < probability < 1:
        raise ValueError(f"p={probability}, {degrees} degrees of freedom")
    nodes, weights = _quadrature()
    scale = math.exp(math.lgamma((degrees + 1) / 2) - math.lgamma(degrees / 2)) / math.sqrt(math.pi)
    # The integrand has a width of 1/√ν: the search ends where nothing is left of it, so that the nodes resolve it.
    low, high = 0.0, min(math.pi / 2, 12 / math.sqrt(degrees))
    wanted = abs(probability - 0.5) / scale
    for _ in range(_NUM_STEPS):
        angle = (low + high) / 2
        area = angle / 2 * float(weights @ np.cos(angle / 2 * (nodes + 1)) ** (degrees - 1))
        low, high = (angle, high) if area < wanted else (low, angle)
    return math.copysign(math.sqrt(degrees) * math.tan((low + high) / 2), probability - 0.5)


def chi_square_tail(value: float, degrees: int) -> float:
    """The probability that χ² with `degrees` (1 or more) exceeds a value; by the recurrence of the gamma function."""
    if degrees < 1:
        raise ValueError(f"{degrees} degrees of freedom")
    half = max(0.0, value) / 2
    order = 0.5 if degrees % 2 else 1.0
    tail = math.erfc(math.sqrt(half)) if degrees % 2 else math.exp(-half)
    while order < degrees / 2:
        tail += math.exp(order * math.log(half) - half - math.lgamma(order + 1)) if half > 0 else 0.0
        order += 1
    return min(1.0, tail)


def binomial_half(num_trials: int) -> NDArray[np.float64]:
    """Probabilities of 0, 1, …, n heads of n fair coins, shape (n + 1,); they are symmetric to the last bit."""
    import numpy as np

    logs = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, num_trials + 1)))])
    masses = np.exp(logs[-1] - (logs + logs[::-1]) - num_trials * math.log(2))
    # logs of thousands of factors add up to an error of 1e-11, the same for all
    whole: NDArray[np.float64] = masses / masses.sum()
    return whole
