"""Plots of answers: does confidence say how often they are right, and is one position preferred?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sagecraft.reporting.plots import _INK, _QUIET, _SERIES, _drawing, _figure, _need


def reliability(bins: Sequence[Mapping[str, Any]]) -> str:
    """Accuracy against confidence, one dot a bin with its interval, its area as its share of the answers.

    Args:
        bins: rows of `evaluation.calibration.reliability`.
    """
    _need(bins, "reliability")

    def draw() -> Any:
        figure, axes = _figure(3.4)
        axes.plot([0, 100], [0, 100], color=_QUIET, linestyle=(0, (4, 3)), linewidth=1.1, zorder=0)
        axes.annotate("calibrated", (97, 93), color=_QUIET, fontsize=8, ha="right", va="top")
        confidence = [100 * row["confidence"] for row in bins]
        axes.vlines(
            confidence, [100 * row["ci95"][0] for row in bins], [100 * row["ci95"][1] for row in bins],
            color=_INK, linewidth=1.2,
        )  # fmt: skip
        most = max(row["n"] for row in bins)
        sizes = [12 + 88 * row["n"] / most for row in bins]
        axes.scatter(confidence, [100 * row["accuracy"] for row in bins], s=sizes, color=_SERIES[0], zorder=3)
        axes.set_xlim(0, 100)
        axes.set_ylim(0, 100)
        axes.set_xlabel("confidence (%)")
        axes.set_ylabel("accuracy (%)")
        axes.grid()
        return figure

    return _drawing(draw)


def positions(letters: Sequence[str], picks: Sequence[float], expected: Sequence[float]) -> str:
    """How often each position was picked, beside what an unbiased model's picks would be.

    Args:
        letters: of the positions.
        picks: answers that picked it.
        expected: answers of an unbiased model.
    """
    _need(letters, "positions")

    def draw() -> Any:
        figure, axes = _figure(2.7)
        places = list(range(len(letters)))
        axes.bar([p - 0.2 for p in places], picks, width=0.38, color=_SERIES[0], alpha=0.75, label="picked")
        axes.bar([p + 0.2 for p in places], expected, width=0.38, color=_QUIET, alpha=0.6, label="without a preference")
        axes.set_xticks(places, list(letters))
        axes.set_ylim(0, 1.12 * max([*picks, *expected, 1e-9]))
        axes.set_ylabel("answers")
        axes.grid(axis="y")
        figure.legend(*axes.get_legend_handles_labels(), loc="outside upper center", ncols=2)
        return figure

    return _drawing(draw)
