"""Intervals of accuracies and tests between them. Everything is a pure function of plain numbers.

What is drawn is drawn by a key (`resampling`); distributions come from `distributions`. The tests hold all of it
against scipy and statsmodels, and its coverage against simulation; docs/statistics.md says when to trust what.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from sagecraft.evaluation import resampling
from sagecraft.evaluation.distributions import binomial_half, chi_square_tail, normal_quantile, t_quantile
from sagecraft.evaluation.resampling import Interval


def wilson(num_correct: int, num_items: int, confidence: float = 0.95) -> Interval:
    """Wilson's score interval of a proportion (JASA 22, 209, 1927): good at small n and near 0 and 1."""
    if not 0 <= num_correct <= num_items or num_items == 0:
        raise ValueError(f"{num_correct} of {num_items} is no proportion")
    return _score_interval(num_correct / num_items, num_items, normal_quantile(0.5 + confidence / 2))


def wilson_by_cluster(correct: Sequence[bool], clusters: Sequence[object], confidence: float = 0.95) -> Interval | None:
    """Wilson's interval of an accuracy whose items hang together; None for a single cluster, which says nothing.

    n gives way to n / design effect and the normal quantile to Student's with G − 1 degrees of freedom for G clusters
    (Franco, Little, Louis and Slud, J. Surv. Stat. Methodol. 7, 334, 2019). The design effect counts as at least 1;
    where all items are right, or none is, it cannot be told, and a cluster counts as one item. In simulations (10 to
    885 clusters, accuracies 0.5 to 0.98) it covers where bootstraps of few clusters, or near 0 and 1, do not.
    """
    gathered = resampling.gather([float(value) for value in correct], clusters)
    if gathered.num_clusters < 2:
        return None
    effect = resampling.design_effect([float(value) for value in correct], clusters)
    effective = gathered.num_clusters if effect is None else gathered.num_items / max(1.0, effect)
    return _score_interval(gathered.mean, effective, t_quantile(0.5 + confidence / 2, gathered.num_clusters - 1))


def _score_interval(share: float, effective: float, z: float) -> Interval:
    """The shares p with |share − p| ≤ z √(p (1 − p) / n)."""
    z2 = z * z
    centre = (share + z2 / (2 * effective)) / (1 + z2 / effective)
    half = z * math.sqrt(share * (1 - share) / effective + z2 / (4 * effective**2)) / (1 + z2 / effective)
    return (0.0 if share == 0 else centre - half), (1.0 if share == 1 else centre + half)


def mcnemar(only_a: int, only_b: int) -> float:
    """Two-sided exact McNemar test: the p-value of `only_a` against `only_b` discordant items."""
    total, smaller = only_a + only_b, min(only_a, only_b)
    if only_a == only_b:
        return 1.0
    tail, _ = _patterns(total, smaller)
    return min(1.0, 2 * tail / (1 << total))  # integers divide exactly rounded, whatever their size


def mcnemar_mid_p(only_a: int, only_b: int) -> float:
    """McNemar's test with mid-p: half of the observed table's probability is taken off the exact p-value.

    Less cautious than the exact test, and its error of the first kind still hardly ever exceeds the level (Fagerland,
    Lydersen and Laake, BMC Med. Res. Methodol. 13, 91, 2013). Reported beside the exact one; nothing is decided by it.
    """
    total, smaller = only_a + only_b, min(only_a, only_b)
    tail, observed = _patterns(total, smaller)
    if only_a == only_b:
        return 1 - observed / (1 << (total + 1))
    return (2 * tail - observed) / (1 << total)


def _patterns(total: int, smaller: int) -> tuple[int, int]:
    """How many of the 2^total patterns have at most, and have just, `smaller` heads; each count from the one before."""
    last = tail = 1
    for k in range(smaller):
        last = last * (total - k) // (k + 1)
        tail += last
    return tail, last


def mcnemar_by_cluster(differences: Sequence[int], clusters: Sequence[object]) -> float:
    """McNemar's exact test for items that hang together: the signs of whole clusters are flipped.

    If the two models are alike, exchanging their answers on any cluster changes nothing, so that all sign patterns of
    the clusters' sums are equally likely; the p-value is the share of patterns whose total is at least as far from 0.
    All 2^G of them are counted, by convolution. With one item a cluster this is McNemar's exact test.

    Args:
        differences: −1, 0 or 1 an item: only the first is right, none or both, only the second.
        clusters: what each item belongs to.
    """
    import numpy as np

    sums: Counter[object] = Counter()
    for difference, cluster in zip(differences, clusters, strict=True):
        sums[cluster] += difference
    observed = abs(sum(sums.values()))
    if observed == 0:
        return 1.0
    masses = np.ones(1)
    for size, count in sorted(Counter(abs(total) for total in sums.values() if total).items()):
        steps = np.zeros(2 * size * count + 1)
        steps[:: 2 * size] = binomial_half(count)
        masses = np.convolve(masses, steps)
    centre = len(masses) // 2
    return min(1.0, 2 * math.fsum(masses[centre + observed :]))


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down adjustment of p-values for having made several tests (Scand. J. Stat. 6, 65, 1979)."""
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for rank, index in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = largest
    return adjusted


def paired_interval(
    differences: Sequence[float], clusters: Sequence[object] | None = None, confidence: float = 0.95
) -> Interval:
    """Interval of a paired difference of accuracies that has a width even if the models never differed.

    Bonett and Price (J. Educ. Behav. Stat. 37, 479, 2012): two made-up items are added, one that only the first model
    has right and one that only the second has. Here the standard error is the cluster-robust one, the made-up items
    are clusters of their own, and with clusters the quantile is Student's with G − 1 degrees of freedom.

    Raises:
        ValueError: no items.
    """
    if not differences:
        raise ValueError("no values")
    owners: list[object] = [("item", key) for key in (range(len(differences)) if clusters is None else clusters)]
    gathered = resampling.gather([*differences, 1.0, -1.0], [*owners, "for a", "for b"])
    num_clusters = gathered.num_clusters - 2
    probability = 0.5 + confidence / 2
    quantile = normal_quantile(probability) if clusters is None else t_quantile(probability, max(1, num_clusters - 1))
    half = quantile * resampling.standard_error_of(gathered)
    return max(-1.0, gathered.mean - half), min(1.0, gathered.mean + half)


def homogeneity(correct: Sequence[int], totals: Sequence[int], design_effect: float = 1.0) -> dict[str, float] | None:
    """Pearson's χ² test of whether groups share one accuracy; None for a single group, or if all are right or wrong.

    Args:
        correct: right items of each group.
        totals: items of each group, above 0.
        design_effect: χ² is divided by it if above 1 (Rao and Scott, JASA 76, 221, 1981).

    Returns:
        `chi_square`, `degrees` and `p_value`; to be trusted where about 5 right and 5 wrong items a group are expected.
    """
    share = sum(correct) / sum(totals)
    degrees = len(totals) - 1
    if degrees < 1 or not 0 < share < 1:
        return None
    raw = math.fsum((k - n * share) ** 2 / (n * share * (1 - share)) for k, n in zip(correct, totals, strict=True))
    statistic = raw / max(1.0, design_effect)
    return {"chi_square": statistic, "degrees": degrees, "p_value": chi_square_tail(statistic, degrees)}


def articles_of(rows: Sequence[Mapping[str, Any]]) -> list[object] | None:
    """What the rows' items hang together by: their `article`, if all name one and there is more than one.

    None means that items count as independent. Where all stand on one article, how far articles differ cannot be told
    from them, so what is found holds for questions on that article. Where only some name theirs, those that do not may
    share one, and no clusters would be true.
    """
    articles = [row.get("article") for row in rows]
    return articles if all(articles) and len(set(articles)) > 1 else None


def accuracy_by(rows: Sequence[Mapping[str, Any]], column: str) -> dict[str, dict[str, Any]]:
    """Scores for each value of a column of keyed rows (rows without a value are left out).

    Returns:
        For each value `n`, `accuracy`, `ci95` (Wilson), `ci95_by_article` where all rows name their `article`, and
        `ci95_together`, the wider intervals (by article where named) that hold for all groups at once with 95 %, by
        Bonferroni's correction.
    """
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        if row[column]:
            groups.setdefault(str(row[column]), []).append(row)
    together = 1 - 0.05 / max(1, len(groups))
    found = {}
    for name, group in sorted(groups.items()):
        correct = [bool(row["correct"]) for row in group]
        found[name] = {
            "n": len(group),
            "accuracy": sum(correct) / len(group),
            "ci95": list(wilson(sum(correct), len(group))),
        }
        articles = articles_of(group)
        wide = None
        if articles is not None and (by_article := wilson_by_cluster(correct, articles)) is not None:
            found[name]["ci95_by_article"] = list(by_article)
            wide = wilson_by_cluster(correct, articles, together)
        found[name]["ci95_together"] = list(wide or wilson(sum(correct), len(group), together))
    return found
