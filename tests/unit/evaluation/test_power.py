from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
from statsmodels.stats.proportion import power_proportions_2indep

from sagecraft.evaluation import power, statistics


def exact_power(num_items: int, share: float, difference: float, alpha: float = 0.05) -> float:
    """Power of the exact McNemar test: over all numbers of discordant items, by scipy's binomial distributions."""
    counts = np.arange(num_items + 1)
    critical = scipy.stats.binom.ppf(alpha / 2, counts, 0.5)  # the largest count in the tail, or one more
    critical -= scipy.stats.binom.cdf(critical, counts, 0.5) > alpha / 2
    one_way = (1 + difference / share) / 2
    found = scipy.stats.binom.cdf(critical, counts, one_way) + scipy.stats.binom.cdf(critical, counts, 1 - one_way)
    return float(scipy.stats.binom.pmf(counts, num_items, share) @ found)


def test_the_paired_difference_is_found_by_the_exact_test_with_this_power() -> None:
    generator = np.random.Generator(np.random.PCG64(1))
    for _ in range(300):
        num_items, share = int(generator.integers(40, 3000)), float(generator.uniform(0.05, 0.6))
        wanted, alpha = float(generator.uniform(0.6, 0.95)), float(generator.choice([0.05, 0.01]))
        difference = power.detectable_paired(num_items, share, wanted, alpha)
        assert difference is not None
        if difference < share and num_items * share > 60:  # never less than promised, and hardly more
            assert -0.001 < exact_power(num_items, share, difference, alpha) - wanted < 0.03
    assert exact_power(4425, 0.1, power.detectable_paired(4425, 0.1) or 0) == pytest.approx(0.8, abs=0.01)


def test_the_paired_difference_by_simulation() -> None:
    difference = power.detectable_paired(400, 0.3)
    assert difference is not None
    generator = np.random.Generator(np.random.PCG64(5))
    shares = [(0.3 + difference) / 2, (0.3 - difference) / 2, 0.7]
    rows = generator.multinomial(400, shares, size=2000)
    found = np.mean([statistics.mcnemar(int(a), int(b)) < 0.05 for a, b, _ in rows])
    assert 0.77 <= found <= 0.84


def test_the_unpaired_difference_has_statsmodels_power() -> None:
    generator = np.random.Generator(np.random.PCG64(2))
    checked = 0
    for _ in range(1000):
        first, second = (int(n) for n in generator.integers(50, 4000, 2))
        accuracy, wanted = float(generator.uniform(0.05, 0.95)), float(generator.uniform(0.6, 0.95))
        difference = power.detectable_unpaired(first, second, accuracy, wanted)
        if difference is None:
            continue
        low = min(accuracy, 1 - accuracy)
        # their sample 2 is our first; one side only, since a finding of the wrong sign is none
        theirs = power_proportions_2indep(
            difference, low, second, first / second, alpha=0.025, alternative="larger", return_results=False
        )
        assert theirs == pytest.approx(wanted, abs=1e-9)
        checked += 1
    assert checked > 800


@pytest.mark.parametrize("effect", [1.0, 2.5])
def test_numbers_of_items_are_the_inverse(effect: float) -> None:
    generator = np.random.Generator(np.random.PCG64(3))
    for _ in range(1000):
        difference, share = (float(value) for value in generator.uniform(0.01, 0.5, 2))
        needed = power.items_needed_paired(difference, share, design_effect=effect)
        assert needed is not None
        enough = power.detectable_paired(needed, share, design_effect=effect)
        fewer = power.detectable_paired(needed - 1, share, design_effect=effect)
        assert enough is not None
        assert enough <= difference + 1e-12
        assert fewer is None or fewer > difference - 1e-12
        accuracy = float(generator.uniform(0, 1 - difference))
        each = power.items_needed_unpaired(difference, accuracy, design_effect=effect)
        assert each is not None
        if accuracy < 0.5:
            found = power.detectable_unpaired(each, each, accuracy, design_effect=effect)
            assert found is not None
            assert found <= difference + 1e-9


def test_what_cannot_be_shown() -> None:
    assert power.detectable_paired(5, 0.2) is None  # 2 / 2^5 is above 0.05
    assert statistics.mcnemar(0, 5) > 0.05 > statistics.mcnemar(0, 6)
    few = power.detectable_paired(144, 0.0)  # models that never differed: the difference itself is then all of ψ
    assert few is not None
    assert 0.04 < few < 0.09
    assert power.items_needed_paired(0.0, 0.3) is None
    assert power.detectable_unpaired(3, 3, 0.9) is None
    clustered, alone = power.detectable_paired(500, 0.2, design_effect=3.0), power.detectable_paired(500, 0.2)
    assert clustered is not None
    assert alone is not None
    assert clustered > 1.5 * alone
    for call in (
        lambda: power.detectable_paired(0, 0.1),
        lambda: power.detectable_unpaired(10, 10, 1.1),
        lambda: power.items_needed_paired(2.0, 0.1),
        lambda: power.items_needed_unpaired(0.5, 0.8),
    ):
        with pytest.raises(ValueError, match=r"accuracy|share"):
            call()
