"""Does a model's confidence say how often it is right? Reliability, calibration error, Brier score.

Plain numbers in, plain numbers out: `reliability` gives the bins that a plot draws.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import TYPE_CHECKING, Any, Literal

from sagecraft.artifact import keyed_hash
from sagecraft.evaluation.statistics import wilson

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Bins = Literal["width", "mass"]

#: Simulated sets for what a calibrated model would show: 2,000 settle a p-value of 0.05 to half a point.
_NUM_SIMULATIONS = 2_000


def softmax(logs: Sequence[float]) -> list[float]:
    """Shares of options from their log-likelihoods (natural log)."""
    highest = max(logs)
    masses = [math.exp(value - highest) for value in logs]
    total = math.fsum(masses)
    return [mass / total for mass in masses]


def reliability(
    confidences: Sequence[float], correct: Sequence[bool], num_bins: int = 10, bins: Bins = "width"
) -> list[dict[str, Any]]:
    """Bins of a reliability plot; empty ones are left out.

    Args:
        confidences: 0 to 1, one an item.
        correct: whether the item was right.
        num_bins: at most so many.
        bins: `width`, equal parts of the scale; `mass`, equal numbers of items (equal confidences stay together).

    Returns:
        For each bin `low` and `high` (of its confidences), mean `confidence`, `accuracy`, `ci95` (Wilson) and `n`.
    """
    order = sorted(range(len(confidences)), key=lambda index: confidences[index])
    rows = []
    for group in _bins(order, confidences, num_bins, bins):
        right = sum(bool(correct[index]) for index in group)
        rows.append(
            {
                "low": confidences[group[0]],
                "high": confidences[group[-1]],
                "confidence": math.fsum(confidences[index] for index in group) / len(group),
                "accuracy": right / len(group),
                "ci95": list(wilson(right, len(group))),
                "n": len(group),
            }
        )
    return rows


def _bins(order: Sequence[int], confidences: Sequence[float], num_bins: int, bins: Bins) -> list[list[int]]:
    """Indices in the order of their confidences, cut into bins."""
    groups: dict[int, list[int]] = {}
    number = 0
    for rank, index in enumerate(order):
        if bins == "width":
            number = min(num_bins - 1, int(confidences[index] * num_bins))
        elif rank == 0 or confidences[index] != confidences[order[rank - 1]]:
            number = rank * num_bins // len(order)
        groups.setdefault(number, []).append(index)
    return [group for _, group in sorted(groups.items())]


def calibration_error(rows: Sequence[dict[str, Any]]) -> float:
    """ECE (Naeini et al., AAAI 2015; arXiv:1706.04599): mean distance of confidence and accuracy over bins.

    Biased upwards: the accuracy of a bin of n items scatters by up to 0.5/√n around its confidence even for a perfectly
    calibrated model, and distances do not cancel. `debiased_calibration_error` and `if_calibrated` say by how much.
    """
    total: int = sum(row["n"] for row in rows)
    return math.fsum(abs(row["confidence"] - row["accuracy"]) * row["n"] for row in rows) / total


def debiased_calibration_error(rows: Sequence[dict[str, Any]]) -> float:
    """ECE less what its scatter adds to it (Kumar, Liang and Ma, arXiv:1909.10155), never below 0.

    A bin's gap is taken as normal around the one observed, with the variance of its accuracy; the mean of the absolute
    value of such a variable (the folded normal's) exceeds the gap by what is taken off. They draw it, here it is
    computed. Some bias stays where the true gap is small beside its scatter.
    """
    total = sum(row["n"] for row in rows)
    normal = NormalDist()
    error = 0.0
    for row in rows:
        gap = abs(row["confidence"] - row["accuracy"])
        spread = math.sqrt(row["accuracy"] * (1 - row["accuracy"]) / row["n"])
        if spread > 0:
            z = gap / spread
            folded = spread * math.sqrt(2 / math.pi) * math.exp(-z * z / 2) + gap * (1 - 2 * normal.cdf(-z))
            gap -= folded - gap
        error += gap * row["n"] / total
    return max(0.0, error)


def if_calibrated(
    confidences: Sequence[float], correct: Sequence[bool], seed: int, num_bins: int = 10, bins: Bins = "width"
) -> dict[str, float]:
    """What ECE would be if the confidences were true (Bröcker and Smith, Weather Forecast. 22, 651, 2007).

    Answers are drawn with the confidences as their probabilities, by a key.

    Returns:
        `mean` and `upper95` of ECE over such sets, and `p_value`, the share of them (the real one included) whose ECE
        is at least the observed one.
    """
    import numpy as np

    order = sorted(range(len(confidences)), key=lambda index: confidences[index])
    groups = _bins(order, confidences, num_bins, bins)
    probabilities = np.asarray([confidences[index] for group in groups for index in group], dtype=np.float64)
    starts = np.cumsum([0, *(len(group) for group in groups[:-1])])
    observed = np.asarray([bool(correct[index]) for group in groups for index in group], dtype=np.float64)
    generator = np.random.Generator(np.random.PCG64(keyed_hash(seed, "calibrated", len(probabilities))))

    def error(residuals: NDArray[np.float64]) -> float:
        return float(np.abs(np.add.reduceat(residuals, starts)).sum()) / len(probabilities)

    simulated = np.array(
        [error((generator.random(len(probabilities)) < probabilities) - probabilities) for _ in range(_NUM_SIMULATIONS)]
    )
    as_large = int((simulated >= error(observed - probabilities) - 1e-12).sum())
    return {
        "mean": float(simulated.mean()),
        "upper95": float(np.quantile(simulated, 0.95)),
        "p_value": (1 + as_large) / (1 + _NUM_SIMULATIONS),
    }


def brier(probabilities: Sequence[Sequence[float]], answers: Sequence[int]) -> float:
    """Brier score of multi-class forecasts (Mon. Weather Rev. 78, 1, 1950): mean squared distance to the truth, 0 to 2.

    Equal shares of k options give 1 − 1/k, whatever the answers.
    """
    if not answers:
        raise ValueError("no forecasts")
    total = 0.0
    for row, answer in zip(probabilities, answers, strict=True):
        total += math.fsum((value - (index == answer)) ** 2 for index, value in enumerate(row))
    return total / len(answers)


def brier_parts(
    confidences: Sequence[float], correct: Sequence[bool], num_bins: int = 10, bins: Bins = "mass"
) -> dict[str, float]:
    """The Brier score of the confidence in the pick, 0 to 1, and what it consists of.

    Murphy (J. Appl. Meteorol. 12, 595, 1973), with the rest that bins leave (Stephenson, Coelho and Jolliffe, Weather
    Forecast. 23, 752, 2008): `score` = `reliability` − `resolution` + `uncertainty` + `within_bins`, exactly.

    Returns:
        `reliability`: mean squared gap of confidence and accuracy (0 is best); `resolution`: variance of accuracy over
        the bins (more is better); `uncertainty`: p (1 − p) of the accuracy, not the model's doing; `within_bins`:
        variance of confidence inside bins less twice its covariance with being right.
    """
    rows = reliability(confidences, correct, num_bins, bins)
    total = len(confidences)
    share = sum(map(bool, correct)) / total
    score = math.fsum((c - bool(right)) ** 2 for c, right in zip(confidences, correct, strict=True)) / total
    reliable = math.fsum(row["n"] * (row["confidence"] - row["accuracy"]) ** 2 for row in rows) / total
    resolved = math.fsum(row["n"] * (row["accuracy"] - share) ** 2 for row in rows) / total
    uncertain = share * (1 - share)
    return {
        "score": score,
        "reliability": reliable,
        "resolution": resolved,
        "uncertainty": uncertain,
        "within_bins": score - reliable + resolved - uncertain,
    }


def discrimination(confidences: Sequence[float], correct: Sequence[bool]) -> float | None:
    """Probability that a right answer has more confidence than a wrong one (area under the ROC curve; ties half).

    0.5 says that confidence tells nothing; None if all answers are right, or all wrong.
    """
    import numpy as np

    right = np.asarray([bool(value) for value in correct])
    num_right, num_wrong = int(right.sum()), int((~right).sum())
    if num_right == 0 or num_wrong == 0:
        return None
    _, place, counts = np.unique(np.asarray(confidences, dtype=np.float64), return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[place]  # equal confidences share their mean rank
    return float((ranks[right].sum() - num_right * (num_right + 1) / 2) / (num_right * num_wrong))


def calibration(
    shares: Sequence[Sequence[float]],
    answers: Sequence[int],
    correct: Sequence[bool],
    seed: int,
    num_bins: int = 10,
) -> dict[str, Any]:
    """All of it for one mode; the confidence of an item is the share of its pick, the largest.

    Args:
        shares: of each item's options, adding up to 1.
        answers: index of the right option.
        correct: whether the likeliest option is right.
        seed: keys the simulated sets.
        num_bins: bins of each kind.

    Returns:
        `n`, mean `confidence`, `accuracy`, `ece` (equal width), `ece_equal_mass`, `ece_debiased` (equal mass),
        `ece_if_calibrated` (see `if_calibrated`), `brier` (over options, 0 to 2) and `brier_guessing`, `brier_parts`,
        `discrimination`, and the bins: `bins`, `bins_equal_mass`.
    """
    confidences = [max(row) for row in shares]
    wide = reliability(confidences, correct, num_bins, "width")
    massed = reliability(confidences, correct, num_bins, "mass")
    return {
        "n": len(confidences),
        "confidence": math.fsum(confidences) / len(confidences),
        "accuracy": sum(map(bool, correct)) / len(confidences),
        "ece": calibration_error(wide),
        "ece_equal_mass": calibration_error(massed),
        "ece_debiased": debiased_calibration_error(massed),
        "ece_if_calibrated": if_calibrated(confidences, correct, seed, num_bins),
        "brier": brier(shares, answers),
        "brier_guessing": math.fsum(1 - 1 / len(row) for row in shares) / len(shares),
        "brier_parts": brier_parts(confidences, correct, num_bins),
        "discrimination": discrimination(confidences, correct),
        "bins": wide,
        "bins_equal_mass": massed,
    }
