from __future__ import annotations

import math
import time
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.stats
from numpy.typing import NDArray
from statsmodels.regression.linear_model import OLS

from sagecraft.evaluation import resampling
from sagecraft.evaluation.resampling import Clusters


def drawn(generator: np.random.Generator, binary: bool | None = None) -> tuple[list[float], list[int]]:
    """Values and clusters of uneven sizes, some of them alike."""
    num_clusters = int(generator.integers(2, 30))
    sizes = generator.integers(1, 8, num_clusters)
    clusters = np.repeat(np.arange(num_clusters), sizes)
    binary = bool(generator.random() < 0.7) if binary is None else binary
    if binary:
        values = (generator.random(len(clusters)) < generator.beta(2, 1, num_clusters)[clusters]).astype(float)
    else:
        values = generator.normal(0, 1, len(clusters)) + generator.normal(0, 1, num_clusters)[clusters]
    order = generator.permutation(len(values))
    return values[order].tolist(), clusters[order].tolist()


def test_standard_errors_are_statsmodels() -> None:
    generator = np.random.Generator(np.random.PCG64(4))
    for _ in range(1000):
        values, clusters = drawn(generator)
        fit = OLS(np.array(values), np.ones(len(values))).fit(cov_type="cluster", cov_kwds={"groups": clusters})
        assert resampling.standard_error(values, clusters) == pytest.approx(fit.bse[0], rel=1e-9, abs=1e-12)
        alone = scipy.stats.sem(values)
        assert resampling.standard_error(values) == pytest.approx(alone, rel=1e-9, abs=1e-15)
        effect = resampling.design_effect(values, clusters)
        assert (effect is None) == (alone < 1e-15)
        assert effect is None or effect == pytest.approx((fit.bse[0] / alone) ** 2, rel=1e-8)


def test_the_clustered_error_is_millers() -> None:
    """Equation 4 of arXiv:2411.00640, word for word, but for the correction that our docstring names."""
    generator = np.random.Generator(np.random.PCG64(5))
    values, clusters = drawn(generator, binary=True)
    n, mean = len(values), sum(values) / len(values)
    cross = sum(
        (values[i] - mean) * (values[j] - mean)
        for i in range(n)
        for j in range(n)
        if i != j and clusters[i] == clusters[j]
    )
    squared = sum((value - mean) ** 2 for value in values) / n**2 + cross / n**2
    count = len(set(clusters))
    assert resampling.standard_error(values, clusters) ** 2 == pytest.approx(squared * count / (count - 1))


def ratio(sums: NDArray[np.float64], sizes: NDArray[np.float64], axis: int = -1) -> NDArray[np.float64]:
    return np.asarray(sums.sum(axis=axis) / sizes.sum(axis=axis))


def test_intervals_are_scipys() -> None:
    """On the same resamples, scipy makes the same percentile and BCa intervals of them: 1,000 random clustered sets."""
    generator = np.random.Generator(np.random.PCG64(6))
    num_degenerate = 0
    for number in range(1000):
        values, clusters = drawn(generator)
        gathered = resampling.gather(values, clusters)
        data = tuple(np.repeat(part, gathered.counts) for part in (gathered.sums, gathered.sizes))
        confidence = (0.8, 0.9, 0.95)[number % 3]
        means = resampling.resampled_means(gathered, number, 100)
        distances = np.abs(means - gathered.mean)
        whole = all(value in (0, 1) for value in values)
        rounded = not whole and distances.min() < 1e-12  # scipy compares to the last bit, we do not
        if rounded or means.min() >= gathered.mean or means.max() <= gathered.mean:
            num_degenerate += 1  # all resamples on one side: scipy warns there, and gives nothing
            continue
        for method in ("percentile", "bca"):
            theirs = scipy.stats.bootstrap(
                data, ratio, n_resamples=0, bootstrap_result=SimpleNamespace(bootstrap_distribution=means),
                paired=True, vectorized=True, confidence_level=confidence, method="BCa" if method == "bca" else method,
            ).confidence_interval  # fmt: skip
            ours = resampling.bootstrap_of(gathered, number, method, confidence, 100)  # type: ignore[arg-type]
            assert ours == pytest.approx((theirs.low, theirs.high), abs=1e-9)
    assert num_degenerate < 100


@pytest.mark.parametrize("max_kinds", [0, 256])
def test_both_ways_of_drawing_have_the_moments_of_a_bootstrap(max_kinds: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exact moments of a resampled sum: G times the mean, G times the variance over clusters."""
    monkeypatch.setattr(resampling, "_MAX_KINDS", max_kinds)
    values, clusters = drawn(np.random.Generator(np.random.PCG64(7)), binary=True)
    gathered = resampling.gather(values, clusters)
    sums = resampling._resampled(gathered, gathered.sums[:, None], 3, 20_000)[:, 0]
    all_sums = np.repeat(gathered.sums, gathered.counts)
    count = len(all_sums)
    assert sums.mean() == pytest.approx(all_sums.sum(), abs=4 * math.sqrt(count * all_sums.var() / 20_000))
    assert sums.var() == pytest.approx(count * all_sums.var(), rel=0.05)
    assert len(np.unique(sums)) > 10


def test_the_studentised_interval_is_that_of_its_definition() -> None:
    values, clusters = drawn(np.random.Generator(np.random.PCG64(8)), binary=False)
    gathered = resampling.gather(values, clusters)
    low, high = resampling.bootstrap_of(gathered, 1, "studentised", num_resamples=4000)
    error, generator, shifts = resampling.standard_error_of(gathered), np.random.Generator(np.random.PCG64(9)), []
    for _ in range(4000):
        chosen = generator.integers(0, gathered.num_clusters, gathered.num_clusters)
        again = Clusters(gathered.sums[chosen], gathered.sizes[chosen], np.ones(len(chosen), dtype=np.int64))
        shifts.append((again.mean - gathered.mean) / resampling.standard_error_of(again))
    upper, lower = np.quantile(shifts, [0.975, 0.025])
    assert (low, high) == pytest.approx((gathered.mean - upper * error, gathered.mean - lower * error), abs=0.2 * error)


def test_draws_are_keyed() -> None:
    values, clusters = drawn(np.random.Generator(np.random.PCG64(10)))
    for method in ("bca", "percentile", "studentised"):
        one = resampling.bootstrap(values, 1, clusters=clusters, method=method, num_resamples=500)  # type: ignore[arg-type]
        same = resampling.bootstrap(values, 1, clusters=clusters, method=method, num_resamples=500)  # type: ignore[arg-type]
        other = resampling.bootstrap(values, 2, clusters=clusters, method=method, num_resamples=500)  # type: ignore[arg-type]
        assert one == same != other


def test_equal_values_and_single_clusters() -> None:
    for method in ("bca", "percentile", "studentised"):
        assert resampling.bootstrap([1.0] * 9, 0, method=method) == (1, 1)  # type: ignore[arg-type]
        assert resampling.bootstrap([0.0, 1.0], 0, clusters=["a", "a"], method=method) == (0.5, 0.5)  # type: ignore[arg-type]
    assert resampling.standard_error([0.0, 1.0], ["a", "a"]) == math.inf
    assert resampling.design_effect([1.0, 1.0], ["a", "b"]) is None
    with pytest.raises(ValueError, match="no values"):
        resampling.bootstrap([], 0)
    with pytest.raises(ValueError, match="3 clusters for 2 values"):
        resampling.gather([1.0, 2.0], "abc")


def test_twenty_models_take_seconds() -> None:
    """10,000 resamples of 4,425 questions on 885 articles for 20 models; single draws of indices took half a minute."""
    generator = np.random.Generator(np.random.PCG64(11))
    answers = (generator.random((20, 4425)) < 0.8).astype(float)
    clusters = np.repeat(np.arange(885), 5).tolist()
    started = time.process_time()
    for row in answers:
        resampling.bootstrap(row.tolist(), 0, clusters=clusters)
    assert time.process_time() - started < 10
