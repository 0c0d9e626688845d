"""Guessing: held against scipy and against simulation."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
from scipy import stats

from sagecraft.evaluation.guessing import against_guessing, chances, p_value, poisson_binomial


def row(options: list[str], key: str | None, correct: bool) -> dict[str, Any]:
    texts = [{"letter": letter, "text": text} for letter, text in zip("ABCDEFGHIJ", options, strict=False)]
    return {"options": texts, "key": key, "correct": correct}


def test_equal_chances_are_the_binomial_test() -> None:
    generator = random.Random(0)
    for _ in range(300):
        n, k = generator.randint(1, 400), generator.randint(2, 10)
        right = generator.randint(0, n)
        expected = stats.binomtest(right, n, 1 / k).pvalue
        assert p_value(right, [1 / k] * n) == pytest.approx(expected, rel=1e-6, abs=1e-12)


def test_unlike_chances_follow_poissons_binomial() -> None:
    each = [0.2] * 5 + [0.5] * 3 + [1.0] * 2
    masses = poisson_binomial(each)
    slow = np.ones(1)
    for chance in each:
        slow = np.convolve(slow, [1 - chance, chance])
    assert masses == pytest.approx(slow, abs=1e-14)
    assert masses[:2] == pytest.approx([0, 0])  # two are always right


def test_the_normal_distribution_is_close_where_it_takes_over() -> None:
    n = 20_000
    for right in (5_000, 5_060, 5_120, 5_180, 4_850):
        assert p_value(right, [0.25] * (n + 1)) == pytest.approx(p_value(right, [0.25] * n), abs=0.01)
    assert p_value(40, [0.25] * 100, design_effect=4.0) > 10 * p_value(40, [0.25] * 100)


def test_p_values_are_uniform_or_careful_under_guessing() -> None:
    generator = np.random.default_rng(0)
    each = [0.25] * 100 + [0.5] * 44
    hits = (generator.random((2_000, len(each))) < np.array(each)).sum(1)
    small = sum(p_value(int(right), each) < 0.05 for right in hits) / len(hits)
    assert 0.03 < small < 0.055


def test_what_guessing_gives() -> None:
    rows = [row(["x", "y", "z", "y"], "B", True), row(["x", "y"], "A", False)]
    assert chances(rows) == [0.5, 0.5]  # y stands there twice
    found = against_guessing(rows)
    assert found is not None
    assert found == {"accuracy": 0.5, "p_value": pytest.approx(1.0)}
    assert against_guessing([row(["x", "y"], None, False)]) is None
    assert against_guessing([row([], "12", False)]) is None
