from __future__ import annotations

import random

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from statsmodels.stats.contingency_tables import mcnemar as their_mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

from sagecraft.evaluation import resampling, statistics


def keyed(seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))


def test_wilson_is_scipys_and_statsmodels() -> None:
    generator = keyed(1)
    for number in range(1000):
        total = int(generator.integers(1, 5000 if number % 2 else 12))
        right = int(generator.integers(0, total + 1))
        confidence = (0.9, 0.95, 0.99)[number % 3]
        ours = statistics.wilson(right, total, confidence)
        theirs = scipy.stats.binomtest(right, total).proportion_ci(confidence, method="wilson")
        assert ours == pytest.approx((theirs.low, theirs.high), abs=1e-12)
        other = proportion_confint(right, total, alpha=1 - confidence, method="wilson")
        assert ours == pytest.approx(other, abs=1e-12)


def test_mcnemar_is_scipys_and_statsmodels() -> None:
    generator = keyed(2)
    for _ in range(1000):
        only_a, only_b = (int(value) for value in generator.integers(0, 300, 2) // generator.integers(1, 40, 2))
        ours = statistics.mcnemar(only_a, only_b)
        if only_a + only_b:
            assert ours == pytest.approx(scipy.stats.binomtest(only_a, only_a + only_b).pvalue, rel=1e-9)
        theirs = their_mcnemar([[5, only_a], [only_b, 3]], exact=True).pvalue if only_a + only_b else 1.0
        assert ours == pytest.approx(theirs, rel=1e-9)
        half = scipy.stats.binom.pmf(only_a, only_a + only_b, 0.5) * (0.5 if only_a == only_b else 1)
        assert statistics.mcnemar_mid_p(only_a, only_b) == pytest.approx(ours - half, rel=1e-9)
    assert statistics.mcnemar(2000, 2200) == pytest.approx(scipy.stats.binomtest(2000, 4200).pvalue, rel=1e-9)
    assert 0 <= statistics.mcnemar(0, 4425) < 1e-300


def by_enumeration(sums: list[int]) -> float:
    """Share of all patterns of signs with a total at least as far from 0."""
    signs = np.array(np.meshgrid(*[[-1, 1]] * len(sums))).reshape(len(sums), -1).T
    return float(np.mean(np.abs(signs @ np.array(sums)) >= abs(sum(sums))))


def test_mcnemar_by_cluster_counts_all_patterns_of_signs() -> None:
    generator = keyed(3)
    for _ in range(1000):
        num_clusters = int(generator.integers(1, 8))
        clusters = np.repeat(np.arange(num_clusters), generator.integers(1, 7, num_clusters))
        differences = generator.integers(-1, 2, len(clusters))
        sums = np.bincount(clusters, weights=differences).astype(int).tolist()
        ours = statistics.mcnemar_by_cluster(differences.tolist(), clusters.tolist())
        assert ours == pytest.approx(by_enumeration(sums), rel=1e-12)


def test_mcnemar_by_cluster_of_single_items_is_mcnemar() -> None:
    generator = keyed(4)
    for _ in range(200):
        only_a, only_b, both = (int(value) for value in generator.integers(0, 200, 3))
        differences = [-1] * only_a + [1] * only_b + [0] * both
        ours = statistics.mcnemar_by_cluster(differences, range(len(differences)))
        assert ours == pytest.approx(statistics.mcnemar(only_a, only_b), rel=1e-9)
    extreme = statistics.mcnemar_by_cluster([1] * 900 + [-1] * 100, [n // 5 for n in range(1000)])
    assert extreme == pytest.approx(statistics.mcnemar(20, 180), rel=1e-9)


def test_holm_is_statsmodels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gc.collect", lambda: 0)  # theirs collects garbage at each call: 80 ms of 81
    generator = keyed(5)
    for _ in range(1000):
        p_values = generator.random(int(generator.integers(1, 30))) ** 3
        p_values[: int(generator.integers(0, 3))] = 0.01  # ties
        theirs = multipletests(p_values, method="holm")[1]
        assert statistics.holm(p_values.tolist()) == pytest.approx(theirs.tolist(), abs=1e-12)
    assert statistics.holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20, unique=True))
def test_holm_does_not_depend_on_order(p_values: list[float]) -> None:
    adjusted = dict(zip(p_values, statistics.holm(p_values), strict=True))
    shuffled = random.Random(0).sample(p_values, len(p_values))
    assert statistics.holm(shuffled) == [adjusted[p] for p in shuffled]


def test_homogeneity_is_scipys() -> None:
    generator = keyed(6)
    for _ in range(1000):
        totals = generator.integers(1, 60, int(generator.integers(2, 9)))
        right = generator.binomial(totals, generator.uniform(0.1, 0.9))
        ours = statistics.homogeneity(right.tolist(), totals.tolist())
        if not 0 < right.sum() < totals.sum():
            assert ours is None
            continue
        assert ours is not None
        theirs = scipy.stats.chi2_contingency([right, totals - right], correction=False)
        assert ours["chi_square"] == pytest.approx(theirs.statistic, rel=1e-9, abs=1e-12)
        assert ours["degrees"] == theirs.dof
        assert ours["p_value"] == pytest.approx(theirs.pvalue, rel=1e-9)
        halved = statistics.homogeneity(right.tolist(), totals.tolist(), design_effect=2.0)
        assert halved is not None
        assert halved["chi_square"] == pytest.approx(ours["chi_square"] / 2)


def test_the_paired_interval_is_bonetts_and_prices() -> None:
    """Without clusters: p₁₂ and p₂₁ with one item added to each, (p₁₂ + p₂₁ − d²) / (n + 2) but for G/(G − 1)."""
    generator = keyed(7)
    for _ in range(1000):
        only_a, only_b, both = (int(value) for value in generator.integers(0, 80, 3))
        n = only_a + only_b + both
        if n == 0:
            continue
        ours = statistics.paired_interval([-1.0] * only_a + [1.0] * only_b + [0.0] * both)
        p_a, p_b = (only_a + 1) / (n + 2), (only_b + 1) / (n + 2)
        half = scipy.stats.norm.ppf(0.975) * np.sqrt((p_a + p_b - (p_b - p_a) ** 2) / (n + 1))
        expected = max(-1, p_b - p_a - half), min(1, p_b - p_a + half)
        assert ours == pytest.approx(expected, abs=1e-12)
    with pytest.raises(ValueError, match="no values"):
        statistics.paired_interval([])


def test_intervals_by_cluster_widen_with_what_hangs_together() -> None:
    alike = [True] * 40 + [False] * 20
    together, apart = [n // 5 for n in range(60)], [n % 12 for n in range(60)]
    narrow, wide = statistics.wilson_by_cluster(alike, apart), statistics.wilson_by_cluster(alike, together)
    assert narrow is not None
    assert wide is not None
    assert wide[1] - wide[0] > 1.5 * (narrow[1] - narrow[0])
    low, high = statistics.wilson(40, 60)
    assert narrow[0] < low < high < narrow[1]  # never narrower than for independent items
    all_right = statistics.wilson_by_cluster([True] * 60, together)
    assert all_right is not None
    # twelve articles, all right: Wilson's bound for 12 items, with Student's quantile for its normal one
    t2 = scipy.stats.t.ppf(0.975, 11) ** 2
    assert all_right == (pytest.approx(12 / (12 + t2)), 1.0)
    assert statistics.wilson_by_cluster([True, False], ["x", "x"]) is None


def clustered(
    generator: np.random.Generator, num_clusters: int, size: int, accuracy: float, correlation: float
) -> tuple[NDArray[np.float64], list[int]]:
    """Right or wrong with an intra-cluster correlation: each cluster has an accuracy of its own, drawn from a Beta."""
    spread = (1 - correlation) / correlation
    own = generator.beta(accuracy * spread, (1 - accuracy) * spread, num_clusters)
    values = generator.random((num_clusters, size)) < own[:, None]
    return values.ravel().astype(float), np.repeat(np.arange(num_clusters), size).tolist()


def test_wilson_covers() -> None:
    """Averaged over true accuracies, as benchmarks have them (at a single one the coverage of any interval jumps)."""
    generator = keyed(8)
    truths = generator.uniform(0.2, 0.98, 4000)
    inside = 0
    for truth, count in zip(truths, generator.binomial(150, truths), strict=True):
        low, high = statistics.wilson(int(count), 150)
        inside += low <= truth <= high
    assert 0.93 <= inside / 4000 <= 0.97


def test_intervals_of_clustered_items_cover_and_others_do_not() -> None:
    generator = keyed(9)
    inside = dict.fromkeys(("wilson", "by cluster", "bca", "bca of items"), 0)
    for number in range(400):
        values, clusters = clustered(generator, 60, 5, 0.7, 0.3)
        right = [value == 1 for value in values]
        by_cluster = statistics.wilson_by_cluster(right, clusters)
        assert by_cluster is not None
        for name, (low, high) in {
            "wilson": statistics.wilson(sum(right), len(right)),
            "by cluster": by_cluster,
            "bca": resampling.bootstrap(values.tolist(), number, clusters=clusters, num_resamples=1000),
            "bca of items": resampling.bootstrap(values.tolist(), number, num_resamples=1000),
        }.items():
            inside[name] += low <= 0.7 <= high
    assert 0.93 <= inside["by cluster"] / 400 <= 0.97
    assert 0.92 <= inside["bca"] / 400 <= 0.97
    assert inside["wilson"] / 400 < 0.88  # the reason for looking at articles
    assert inside["bca of items"] / 400 < 0.88


def test_tests_of_clustered_pairs_keep_their_level_and_others_do_not() -> None:
    """Two equal models that differ on a fifth of the questions, on some articles all in one direction."""
    generator = keyed(10)
    rejected, inside = {"mcnemar": 0, "by cluster": 0}, 0
    for _ in range(400):
        own = generator.dirichlet([0.23, 0.23, 1.87], 100)[np.repeat(np.arange(100), 5)]  # correlation 0.3
        draws = generator.random(500)
        differences = np.where(draws < own[:, 0], 1, np.where(draws < own[:, 0] + own[:, 1], -1, 0)).tolist()
        clusters = [n // 5 for n in range(500)]
        rejected["mcnemar"] += statistics.mcnemar(differences.count(-1), differences.count(1)) < 0.05
        rejected["by cluster"] += statistics.mcnemar_by_cluster(differences, clusters) < 0.05
        low, high = statistics.paired_interval(differences, clusters)
        inside += low <= 0 <= high
    assert rejected["by cluster"] / 400 <= 0.07
    assert rejected["mcnemar"] / 400 > 0.1
    assert 0.93 <= inside / 400 <= 0.98


def test_accuracy_by() -> None:
    rows = [{"topic": topic, "correct": n % 3 > 0, "article": f"{topic}{n // 4}"} for topic in "xy" for n in range(12)]
    rows.append({"topic": "", "correct": True, "article": "z"})
    found = statistics.accuracy_by(rows, "topic")
    assert list(found) == ["x", "y"]  # nameless rows are left out
    assert (found["x"]["n"], found["x"]["accuracy"]) == (12, pytest.approx(2 / 3))
    assert found["x"]["ci95"] == list(statistics.wilson(8, 12))
    assert found["x"]["ci95_by_article"][0] < found["x"]["ci95"][0]
    assert found["x"]["ci95_together"][0] < found["x"]["ci95_by_article"][0]
    bare = statistics.accuracy_by([{"topic": "x", "correct": True}, {"topic": "x", "correct": False}], "topic")
    assert "ci95_by_article" not in bare["x"]
    assert bare["x"]["ci95_together"] == bare["x"]["ci95"]  # of a single group
    two = statistics.accuracy_by([{"topic": name, "correct": n > 0} for name in "xy" for n in range(3)], "topic")
    assert two["x"]["ci95_together"] == list(statistics.wilson(2, 3, 0.975))


def test_nonsense_is_refused() -> None:
    with pytest.raises(ValueError, match="proportion"):
        statistics.wilson(3, 2)
