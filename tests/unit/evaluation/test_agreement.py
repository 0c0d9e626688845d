from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from statsmodels.stats.inter_rater import cohens_kappa as their_kappa

from sagecraft.evaluation.agreement import agreement, between, cohens_kappa


def rows(picks: str, keys: str | None = None) -> list[dict[str, Any]]:
    """One row a letter; `-` is an item without a pick."""
    return [
        {
            "id": f"q{number}",
            "pick": None if pick == "-" else pick,
            "correct": None if keys is None else pick == keys[number],
        }
        for number, pick in enumerate(picks)
    ]


def test_kappa_is_statsmodels() -> None:
    generator = np.random.Generator(np.random.PCG64(1))
    for _ in range(1000):
        num_items, num_options = int(generator.integers(5, 200)), int(generator.integers(2, 6))
        first = generator.integers(0, num_options, num_items)
        second = np.where(generator.random(num_items) < 0.5, first, generator.integers(0, num_options, num_items))
        table = np.zeros((num_options, num_options))
        np.add.at(table, (first, second), 1)
        kappa, error = cohens_kappa(first.tolist(), second.tolist())
        if kappa is None:
            assert (table > 0).sum() == 1
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of their other figures, where a variance is 0
            theirs = their_kappa(table)
        assert kappa == pytest.approx(theirs.kappa, abs=1e-12)
        expected = 0.0 if np.isnan(theirs.std_kappa) else theirs.std_kappa  # theirs where rounding leaves it below 0
        assert error == pytest.approx(expected, rel=1e-6, abs=1e-7)


def test_a_table_by_hand() -> None:
    keys = "ABCDABCD"
    found = agreement(rows("ABCAACC-", keys), rows("ABDABAC-", keys))
    assert (found["n"], found["num_same"]) == (8, 4)
    assert (found["both_right"], found["only_a"], found["only_b"], found["both_wrong"]) == (3, 2, 0, 3)
    assert found["same_wrong"] == 1  # both said A where D was right; two without a pick do not agree
    low, high = found["kappa_ci95"]
    assert low < found["kappa"] < high


def test_shared_items_only_and_sets_without_a_key() -> None:
    one, other = rows("ABCD"), rows("ABDD")[1:]
    found = agreement(one, other)
    assert (found["n"], found["num_same"]) == (3, 2)
    assert "both_right" not in found
    assert agreement(one, []) == {"n": 0}
    same = agreement(rows("AAA"), rows("AAA"))
    assert (same["agreement"], same["kappa"], same["kappa_ci95"]) == (1, None, None)


def test_every_two_modes() -> None:
    modes = {"letter": rows("ABC", "ABC"), "generate": rows("AB-", "ABC"), "continuation": rows("CCC", "ABC")}
    found = between(modes)
    assert [(row["a"], row["b"]) for row in found] == [
        ("letter", "generate"),
        ("letter", "continuation"),
        ("generate", "continuation"),
    ]
    assert [row["p_value"] for row in found] == [1, 0.5, 1]
    assert between({"letter": modes["letter"]}) == []
