from __future__ import annotations

import math
import random

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from sagecraft.evaluation import statistics


@given(
    st.integers(1, 5000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), st.sampled_from([0.9, 0.95, 0.99])
)
def test_wilson_is_scipys(counts: tuple[int, int], confidence: float) -> None:
    ours = statistics.wilson(*counts, confidence)
    theirs = scipy.stats.binomtest(*counts).proportion_ci(confidence, method="wilson")
    assert ours == pytest.approx((theirs.low, theirs.high), abs=1e-12)


@given(st.integers(0, 400), st.integers(0, 400))
def test_mcnemar_is_the_binomial_test(only_a: int, only_b: int) -> None:
    expected = scipy.stats.binomtest(only_a, only_a + only_b, 0.5).pvalue if only_a + only_b else 1.0
    assert statistics.mcnemar(only_a, only_b) == pytest.approx(expected, rel=1e-9, abs=1e-300)


def test_mcnemar_of_large_counts() -> None:
    assert statistics.mcnemar(2000, 2200) == pytest.approx(scipy.stats.binomtest(2000, 4200).pvalue, rel=1e-9)
    assert 0 <= statistics.mcnemar(0, 4425) < 1e-300


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_holm_against_its_definition(p_values: list[float]) -> None:
    ordered = sorted(p_values)
    adjusted = dict(zip(ordered, statistics.holm(ordered), strict=True))
    for rank in range(len(ordered)):
        expected = max(min(1.0, (len(ordered) - j) * ordered[j]) for j in range(rank + 1))
        assert statistics.holm(ordered)[rank] == expected
    shuffled = random.Random(0).sample(p_values, len(p_values))
    if len(set(p_values)) == len(p_values):
        assert statistics.holm(shuffled) == [adjusted[p] for p in shuffled]


def test_wilson_covers() -> None:
    """Averaged over true accuracies, as benchmarks have them (at a single one the coverage of any interval jumps)."""
    generator = np.random.Generator(np.random.PCG64(7))
    truths = generator.uniform(0.2, 0.95, 4000)
    inside = 0
    for truth, count in zip(truths, generator.binomial(150, truths), strict=True):
        low, high = statistics.wilson(int(count), 150)
        inside += low <= truth <= high
    assert 0.93 <= inside / 4000 <= 0.97


def test_bootstraps_cover_and_only_whole_clusters_do_where_items_hang_together() -> None:
    generator = np.random.Generator(np.random.PCG64(3))
    inside = {"items": 0, "clusters": 0, "independent": 0}
    num_runs = 300
    for run in range(num_runs):
        # 60 articles of 5 questions: a question follows its article in 60 % of cases
        articles = generator.random(60) < 0.6
        follows = generator.random((60, 5)) < 0.6
        values = np.where(follows, articles[:, None], generator.random((60, 5)) < 0.6).astype(float).ravel().tolist()
        clusters = np.repeat(np.arange(60), 5).tolist()
        independent = (generator.random(300) < 0.6).astype(float).tolist()
        for name, interval in {
            "items": statistics.bootstrap(values, run, num_resamples=500),
            "clusters": statistics.clustered_bootstrap(values, clusters, run, num_resamples=500),
            "independent": statistics.bootstrap(independent, run, num_resamples=500),
        }.items():
            inside[name] += interval[0] <= 0.6 <= interval[1]
    assert 0.91 <= inside["independent"] / num_runs <= 0.98
    assert 0.91 <= inside["clusters"] / num_runs <= 0.98
    assert inside["items"] / num_runs < 0.9  # the reason for drawing articles


def test_bootstrap_is_keyed_and_close_to_scipys() -> None:
    values = [float(random.Random(n).random() < 0.7) for n in range(200)]
    ours = statistics.bootstrap(values, seed=1)
    uneven = [n * n / 7 for n in range(200)]
    assert ours == statistics.bootstrap(values, seed=1)
    assert statistics.bootstrap(uneven, seed=1) != statistics.bootstrap(uneven, seed=2)
    theirs = scipy.stats.bootstrap(
        (np.array(values),), np.mean, n_resamples=10_000, method="percentile", rng=np.random.default_rng(0)
    ).confidence_interval
    assert ours == pytest.approx((theirs.low, theirs.high), abs=0.011)


@settings(max_examples=20)
@given(st.integers(50, 5000), st.floats(0.05, 0.6))
def test_detectable_difference_solves_its_equation(num_items: int, share: float) -> None:
    found = statistics.minimum_detectable_difference(num_items, share)
    assert 0 < found <= share
    if found < share * 0.999:
        z_alpha, z_beta = scipy.stats.norm.ppf(0.975), scipy.stats.norm.ppf(0.8)
        needed = (z_alpha * math.sqrt(share) + z_beta * math.sqrt(share - found**2)) ** 2 / found**2
        assert needed == pytest.approx(num_items, rel=1e-6)
    assert statistics.minimum_detectable_difference(4 * num_items, share) < found


def test_power_by_simulation() -> None:
    num_items, share = 400, 0.3
    difference = statistics.minimum_detectable_difference(num_items, share)
    generator = np.random.Generator(np.random.PCG64(5))
    rows = generator.multinomial(num_items, [(share + difference) / 2, (share - difference) / 2, 1 - share], size=2000)
    found = np.mean([statistics.mcnemar(int(a), int(b)) < 0.05 for a, b, _ in rows])
    assert 0.74 <= found <= 0.83  # the exact test is a little more careful than its approximation


def test_calibration() -> None:
    error, bins = statistics.expected_calibration_error([0.9, 0.9, 0.5, 1.0], [True, False, True, True])
    assert error == pytest.approx(0.25 * 0.5 + 0.75 * abs((0.9 + 0.9 + 1.0) / 3 - 2 / 3))
    assert [row["n"] for row in bins] == [1, 3]
    assert statistics.brier([[1.0, 0.0], [0.0, 1.0]], [0, 0]) == pytest.approx(1.0)
    assert statistics.brier([[0.25] * 4], [2]) == pytest.approx(0.75)


def test_accuracy_by_leaves_nameless_rows_out() -> None:
    rows = [{"topic": "x", "correct": True}, {"topic": "x", "correct": False}, {"topic": "", "correct": True}]
    assert statistics.accuracy_by(rows, "topic")["x"]["accuracy"] == 0.5
    assert list(statistics.accuracy_by(rows, "topic")) == ["x"]


def test_nonsense_is_refused() -> None:
    with pytest.raises(ValueError, match="proportion"):
        statistics.wilson(3, 2)
    with pytest.raises(ValueError, match="no values"):
        statistics.bootstrap([], 0)
