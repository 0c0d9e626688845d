"""What a set of questions can show: smallest detectable differences, and how many questions a difference needs."""

from __future__ import annotations

import math
from collections.abc import Callable

from sagecraft.evaluation.distributions import normal_quantile

_NUM_STEPS = 60
_MAX_ITEMS = 10**9


def detectable_paired(
    num_items: int,
    discordant_share: float,
    power: float = 0.8,
    alpha: float = 0.05,
    design_effect: float = 1.0,
) -> float | None:
    """The smallest true difference of two accuracies on the same items that the exact McNemar test finds.

    Connor's approximation (Biometrics 43, 207, 1987) for d, with the step of one item by which the exact test is more
    cautious: n d − 1 = √n (z_α √ψ + z_β √(ψ − d²)), in which ψ is at least d, since no difference exceeds the share of
    items on which the models differ.

    Args:
        num_items: items both models answered.
        discordant_share: ψ, the share of items on which exactly one of them is right.
        power: probability of finding it.
        alpha: two-sided level of the test.
        design_effect: of the differences, where items hang together (`resampling.design_effect`); n is divided by it.

    Returns:
        The difference, 0 to 1; None if this test of so few items cannot find any.
    """
    if num_items < 1 or not 0 <= discordant_share <= 1:
        raise ValueError(f"n={num_items}, discordant share {discordant_share}")
    effective = num_items / max(1.0, design_effect)
    return _smallest(lambda d: _surplus_paired(effective, discordant_share, d, power, alpha))


def detectable_unpaired(
    num_items: int,
    other_items: int,
    accuracy: float,
    power: float = 0.8,
    alpha: float = 0.05,
    design_effect: float = 1.0,
) -> float | None:
    """The smallest true difference of accuracies that models show who answered different questions.

    The z test of two proportions with pooled variance under the null (Fleiss, Levin and Paik, Statistical Methods for
    Rates and Proportions, 2003, section 4.2, without correction for continuity), towards the side with more room.

    Args:
        num_items: questions of one model.
        other_items: questions of the other.
        accuracy: of the first.
        power: probability of finding it.
        alpha: two-sided level.
        design_effect: of the accuracies.

    Returns:
        The difference, 0 to 1; None if the room between the accuracy and 0 or 1 is too small to show any.
    """
    if num_items < 1 or other_items < 1 or not 0 <= accuracy <= 1:
        raise ValueError(f"n={num_items} and {other_items}, accuracy {accuracy}")
    share = 1.0 / max(1.0, design_effect)
    start = min(accuracy, 1 - accuracy)  # a difference up from p is one down from 1 − p
    return _smallest(
        lambda d: _surplus_unpaired(num_items * share, other_items * share, start, d, power, alpha), 1 - start
    )


def items_needed_paired(
    difference: float, discordant_share: float, power: float = 0.8, alpha: float = 0.05, design_effect: float = 1.0
) -> int | None:
    """How many items two models must share to show a true difference; None for a difference of 0.

    The inverse of `detectable_paired`, with the same arguments.
    """
    if not 0 <= abs(difference) <= 1 or not 0 <= discordant_share <= 1:
        raise ValueError(f"difference {difference}, discordant share {discordant_share}")
    return _fewest(
        difference,
        lambda n: _surplus_paired(n / max(1.0, design_effect), discordant_share, abs(difference), power, alpha),
    )


def items_needed_unpaired(
    difference: float, accuracy: float, power: float = 0.8, alpha: float = 0.05, design_effect: float = 1.0
) -> int | None:
    """How many questions each of two models must answer if they answer different ones; None for a difference of 0.

    Raises:
        ValueError: the accuracy and the difference leave the range from 0 to 1.
    """
    if not 0 <= accuracy <= 1 or not 0 <= accuracy + difference <= 1:
        raise ValueError(f"accuracy {accuracy}, difference {difference}")
    low = min(accuracy, accuracy + difference)

    def surplus(n: float) -> float:
        effective = n / max(1.0, design_effect)
        return _surplus_unpaired(effective, effective, low, abs(difference), power, alpha)

    return _fewest(difference, surplus)


def _surplus_paired(effective: float, share: float, difference: float, power: float, alpha: float) -> float:
    """Above 0 where the difference is found with more than this power."""
    share = max(share, difference)
    spread = normal_quantile(1 - alpha / 2) * math.sqrt(share)
    spread += normal_quantile(power) * math.sqrt(max(0.0, share - difference**2))
    return effective * difference - 1 - math.sqrt(effective) * spread


def _surplus_unpaired(first: float, second: float, low: float, difference: float, power: float, alpha: float) -> float:
    high = low + difference
    pooled = (first * low + second * high) / (first + second)
    null = pooled * (1 - pooled) * (1 / first + 1 / second)
    true = low * (1 - low) / first + high * (1 - high) / second
    spread = normal_quantile(1 - alpha / 2) * math.sqrt(max(0.0, null))
    return difference - spread - normal_quantile(power) * math.sqrt(max(0.0, true))


def _smallest(surplus: Callable[[float], float], highest: float = 1.0) -> float | None:
    """The difference from which on the surplus is positive, by bisection."""
    if surplus(highest) < 0:
        return None
    low, high = 0.0, highest
    for _ in range(_NUM_STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if surplus(middle) < 0 else (low, middle)
    return high


def _fewest(difference: float, surplus: Callable[[float], float]) -> int | None:
    """The least whole number from which on the surplus is positive; None beyond a thousand million."""
    if difference == 0 or surplus(_MAX_ITEMS) < 0:
        return None
    low, high = 0, _MAX_ITEMS
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if surplus(middle) < 0 else (low, middle)
    return high
