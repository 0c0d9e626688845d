"""Simulated coverage of the intervals and level of the tests: the table of docs/statistics.md. Takes minutes."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from sagecraft.evaluation import resampling, statistics

pytestmark = pytest.mark.soak

NUM_RUNS = 2000
#: 93 to 97 %, with three standard errors of so many runs on either side.
LOW, HIGH = 0.93 - 3 * (0.93 * 0.07 / NUM_RUNS) ** 0.5, 0.97 + 3 * (0.97 * 0.03 / NUM_RUNS) ** 0.5


def clusters_of(generator: np.random.Generator, num_clusters: int) -> NDArray[np.int64]:
    """Articles of 2 to 8 questions, five on average."""
    return np.repeat(np.arange(num_clusters), generator.integers(2, 9, num_clusters))


def own_shares(
    generator: np.random.Generator, shares: list[float], correlation: float, num_clusters: int
) -> NDArray[np.float64]:
    """Probabilities of each outcome in each cluster, with an intra-cluster correlation, shape (clusters, outcomes)."""
    if correlation == 0:
        return np.tile(shares, (num_clusters, 1))
    return generator.dirichlet(np.array(shares) * (1 - correlation) / correlation, num_clusters)


@pytest.mark.parametrize("correlation", [0.0, 0.15, 0.4])
@pytest.mark.parametrize("accuracy", [0.3, 0.7, 0.9])
@pytest.mark.parametrize("num_clusters", [42, 150, 885])
def test_accuracy(num_clusters: int, accuracy: float, correlation: float) -> None:
    generator = np.random.Generator(np.random.PCG64(num_clusters))
    inside = {"by article": 0, "bca": 0, "independent": 0}
    for number in range(NUM_RUNS):
        clusters = clusters_of(generator, num_clusters)
        own = own_shares(generator, [accuracy, 1 - accuracy], correlation, num_clusters)
        right = generator.random(len(clusters)) < own[clusters, 0]
        labels = clusters.tolist()
        by_article = statistics.wilson_by_cluster(right.tolist(), labels)
        assert by_article is not None
        gathered = resampling.gather(right.astype(float).tolist(), labels)
        for name, (low, high) in {
            "by article": by_article,
            "bca": resampling.bootstrap_of(gathered, number, num_resamples=1000),
            "independent": statistics.wilson(int(right.sum()), len(right)),
        }.items():
            inside[name] += low <= accuracy <= high
    covered = {name: count / NUM_RUNS for name, count in inside.items()}
    print(num_clusters, accuracy, correlation, covered)  # noqa: T201 - the table of the page
    assert LOW <= covered["by article"] <= HIGH
    assert LOW - 0.01 <= covered["bca"] <= HIGH  # a little less for few articles: docs/statistics.md
    assert correlation == 0 or covered["independent"] < 0.92


@pytest.mark.parametrize("correlation", [0.0, 0.3])
@pytest.mark.parametrize(("discordant", "difference"), [(0.1, 0.0), (0.3, 0.0), (0.3, 0.1)])
@pytest.mark.parametrize("num_clusters", [42, 150, 885])
def test_difference(num_clusters: int, discordant: float, difference: float, correlation: float) -> None:
    generator = np.random.Generator(np.random.PCG64(num_clusters + 1))
    inside = {"by article": 0, "bootstrap": 0}
    found = {"by article": 0, "mcnemar": 0}
    shares = [(discordant + difference) / 2, (discordant - difference) / 2, 1 - discordant]
    for number in range(NUM_RUNS):
        clusters = clusters_of(generator, num_clusters)
        own = own_shares(generator, shares, correlation, num_clusters)[clusters]
        draws = generator.random(len(clusters))
        differences = np.where(draws < own[:, 0], 1, np.where(draws < own[:, 0] + own[:, 1], -1, 0)).tolist()
        labels = clusters.tolist()
        gathered = resampling.gather(differences, labels)
        for name, (low, high) in {
            "by article": statistics.paired_interval(differences, labels),
            "bootstrap": resampling.bootstrap_of(gathered, number, "percentile", num_resamples=1000),
        }.items():
            inside[name] += low <= difference <= high
        found["by article"] += statistics.mcnemar_by_cluster(differences, labels) < 0.05
        found["mcnemar"] += statistics.mcnemar(differences.count(-1), differences.count(1)) < 0.05
    covered = {name: count / NUM_RUNS for name, count in inside.items()}
    rejected = {name: count / NUM_RUNS for name, count in found.items()}
    print(num_clusters, discordant, difference, correlation, covered, rejected)  # noqa: T201 - the table of the page
    assert LOW <= covered["by article"] <= HIGH
    assert LOW - 0.02 <= covered["bootstrap"] <= HIGH
    if difference == 0:
        assert rejected["by article"] <= 0.065
        assert correlation == 0 or rejected["mcnemar"] > 0.1
