from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.special
import scipy.stats
from numpy.typing import NDArray

from sagecraft.evaluation import calibration


def keyed(seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))


def answers(generator: np.random.Generator, num_items: int, shift: float = 0.0) -> tuple[list[float], list[bool]]:
    """Confidences, and answers that are right that often, or `shift` less."""
    confidences = generator.uniform(0.3, 0.95, num_items)
    return confidences.tolist(), (generator.random(num_items) < confidences - shift).tolist()


def test_bins_and_errors_by_hand() -> None:
    confidences, correct = [0.9, 0.9, 0.5, 1.0], [True, False, True, True]
    wide = calibration.reliability(confidences, correct)
    assert [(row["n"], row["low"], row["high"]) for row in wide] == [(1, 0.5, 0.5), (3, 0.9, 1.0)]
    expected = 0.25 * 0.5 + 0.75 * abs((0.9 + 0.9 + 1.0) / 3 - 2 / 3)
    assert calibration.calibration_error(wide) == pytest.approx(expected)
    assert [row["n"] for row in calibration.reliability([0.1, 0.2, 0.3, 0.4], [True] * 4, 2, "mass")] == [2, 2]
    assert [row["n"] for row in calibration.reliability([0.5] * 9, [True] * 9, 3, "mass")] == [9]  # equal ones stay
    massed = calibration.reliability(np.linspace(0, 1, 1000).tolist(), [True] * 1000, 10, "mass")
    assert [row["n"] for row in massed] == [100] * 10


def test_equal_width_bins_are_numpys() -> None:
    generator = keyed(1)
    for _ in range(1000):
        confidences, correct = answers(generator, int(generator.integers(1, 300)), 0.2)
        counts, _ = np.histogram(confidences, bins=10, range=(0, 1))
        right, _ = np.histogram(confidences, bins=10, range=(0, 1), weights=np.array(correct, dtype=float))
        mean = scipy.stats.binned_statistic(confidences, confidences, "sum", bins=10, range=(0, 1)).statistic
        error = np.abs(right - mean).sum() / len(confidences)
        rows = calibration.reliability(confidences, correct)
        assert [row["n"] for row in rows] == [count for count in counts if count]
        assert calibration.calibration_error(rows) == pytest.approx(error, abs=1e-12)


def test_brier_and_its_parts() -> None:
    assert calibration.brier([[1.0, 0.0], [0.0, 1.0]], [0, 0]) == pytest.approx(1.0)
    assert calibration.brier([[0.25] * 4], [2]) == pytest.approx(0.75)
    generator = keyed(2)
    for _ in range(1000):
        confidences, correct = answers(generator, int(generator.integers(1, 200)), 0.1)
        shares = generator.dirichlet([1] * 4, 20)
        right = generator.integers(0, 4, 20)
        ours = calibration.brier(shares.tolist(), right.tolist())
        assert ours == pytest.approx(((shares - np.eye(4)[right]) ** 2).sum(axis=1).mean())
        parts = calibration.brier_parts(confidences, correct)
        assert parts["score"] == pytest.approx(np.mean((np.array(confidences) - correct) ** 2))
        rest = _within(confidences, correct)
        assert parts["within_bins"] == pytest.approx(rest, abs=1e-12)
        assert 0 <= parts["resolution"] <= parts["uncertainty"] + 1e-12


def _within(confidences: list[float], correct: list[bool]) -> float:
    """Variance of confidence inside bins less twice its covariance with being right (Stephenson et al., 2008)."""
    order = np.argsort(confidences, kind="stable")
    values, right = np.array(confidences)[order], np.array(correct, dtype=float)[order]
    rest, start = 0.0, 0
    for row in calibration.reliability(confidences, correct, bins="mass"):
        part, hits = values[start : start + row["n"]], right[start : start + row["n"]]
        start += row["n"]
        rest += part.var() * len(part) - 2 * ((part - part.mean()) * (hits - hits.mean())).sum()
    return float(rest / len(values))


def test_discrimination_is_scipys() -> None:
    generator = keyed(3)
    for _ in range(1000):
        confidences, correct = answers(generator, int(generator.integers(2, 80)))
        confidences = [round(value, 1) for value in confidences]  # ties
        right = [c for c, hit in zip(confidences, correct, strict=True) if hit]
        wrong = [c for c, hit in zip(confidences, correct, strict=True) if not hit]
        ours = calibration.discrimination(confidences, correct)
        if not right or not wrong:
            assert ours is None
            continue
        assert ours == pytest.approx(_pairs_won(np.array(right), np.array(wrong)))
    once = scipy.stats.mannwhitneyu(right, wrong).statistic / (len(right) * len(wrong))
    assert calibration.discrimination(confidences, correct) == pytest.approx(once)


def _pairs_won(right: NDArray[np.float64], wrong: NDArray[np.float64]) -> float:
    return float(np.mean((right[:, None] > wrong) + 0.5 * (right[:, None] == wrong)))


def test_softmax_is_scipys() -> None:
    generator = keyed(4)
    for _ in range(1000):
        logs = generator.normal(0, 300, int(generator.integers(2, 11)))
        assert calibration.softmax(logs.tolist()) == pytest.approx(scipy.special.softmax(logs).tolist())


def mean_errors(shift: float, num_runs: int = 200) -> tuple[float, float]:
    generator = keyed(5)
    plain, debiased = [], []
    for _ in range(num_runs):
        rows = calibration.reliability(*answers(generator, 400, shift), bins="mass")
        plain.append(calibration.calibration_error(rows))
        debiased.append(calibration.debiased_calibration_error(rows))
    return float(np.mean(plain)), float(np.mean(debiased))


def test_the_debiased_error_is_nearer_to_the_truth_where_bias_matters() -> None:
    """The figures of docs/statistics.md; around a gap of one standard error a bin it takes off a little too much."""
    for shift, most in ((0.0, 0.65), (0.3, 1.0)):
        plain, debiased = mean_errors(shift)
        assert abs(debiased - shift) < most * abs(plain - shift)
    plain, debiased = mean_errors(0.0)
    assert 0.04 < plain < 0.08
    assert mean_errors(0.1)[1] == pytest.approx(0.1, abs=0.01)
    assert mean_errors(0.3)[1] == pytest.approx(0.3, abs=0.004)


def test_what_a_calibrated_model_would_show() -> None:
    generator = keyed(6)
    p_values, upper = [], []
    for number in range(100):
        confidences, correct = answers(generator, 150)
        found = calibration.if_calibrated(confidences, correct, number)
        p_values.append(found["p_value"])
        error = calibration.calibration_error(calibration.reliability(confidences, correct))
        upper.append(error > found["upper95"])
    assert np.mean(upper) <= 0.1
    assert scipy.stats.kstest(p_values, "uniform").pvalue > 0.01
    confidences, correct = answers(generator, 400, 0.2)
    found = calibration.if_calibrated(confidences, correct, 0)
    assert found["p_value"] == pytest.approx(1 / 2001)
    assert found == calibration.if_calibrated(confidences, correct, 0)
    assert found != calibration.if_calibrated(confidences, correct, 1)


def test_a_mode_as_a_whole() -> None:
    generator = keyed(7)
    shares = generator.dirichlet([0.5] * 4, 500)
    right = np.array([generator.choice(4, p=row) for row in shares])  # as its shares say
    correct = (shares.argmax(axis=1) == right).tolist()
    found = calibration.calibration(shares.tolist(), right.tolist(), correct, 0)
    assert found["n"] == sum(row["n"] for row in found["bins"]) == 500
    assert found["confidence"] == pytest.approx(found["accuracy"], abs=0.05)
    assert found["ece_debiased"] <= found["ece_equal_mass"] < 0.1
    assert found["ece_if_calibrated"]["p_value"] > 0.01
    assert found["brier"] < found["brier_guessing"] == pytest.approx(0.75)
    assert found["discrimination"] > 0.6
    assert not any(math.isnan(value) for value in found["brier_parts"].values())
