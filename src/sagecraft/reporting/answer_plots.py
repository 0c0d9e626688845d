"""Plots of answers: what became of them, does confidence say how often they are right, is one position preferred?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sagecraft.reporting.plots import _INK, _QUIET, _SERIES, _drawing, _figure, _need, _short

#: What can become of an answer, from the best to the worst, each with a colour that it keeps from plot to plot.
_OUTCOMES = {
    "correct": _SERIES[2],
    "wrong": _SERIES[1],
    "truncated": _SERIES[4],
    "unparsed": _SERIES[3],
    "refused": _SERIES[5],
    "failed": _QUIET,
}


def outcomes(names: Sequence[str], counts: Sequence[Mapping[str, int]]) -> str:
    """What became of the answers of each model or mode: one bar each, its parts adding up to all of them.

    Args:
        names: of the models or modes, from top to bottom.
        counts: outcome → number of answers, for each of them.

    Raises:
        ValueError: nothing to plot, or one without answers.
    """
    _need(names, "outcomes")
    if any(sum(found.values()) <= 0 for found in counts):
        raise ValueError("outcomes: a model without answers has no shares")

    def draw() -> Any:
        figure, axes = _figure(1.0 + 0.3 * len(names))
        places = list(range(len(names)))
        left = [0.0] * len(names)
        others = sorted({kind for found in counts for kind in found} - set(_OUTCOMES))
        for kind in [*_OUTCOMES, *others]:
            shares = [100 * found.get(kind, 0) / sum(found.values()) for found in counts]
            if any(shares):
                color = _OUTCOMES.get(kind, _INK)
                axes.barh(places, shares, left=left, height=0.62, color=color, alpha=0.8, label=_short(kind))
                left = [before + share for before, share in zip(left, shares, strict=True)]
        axes.set_yticks(places, [_short(name) for name in names])
        axes.tick_params(axis="y", length=0)
        axes.set_ylim(len(names) - 0.45, -0.55)
        axes.set_xlim(0, 100)
        axes.set_xlabel("share of questions (%)")
        axes.grid(axis="x")
        figure.legend(*axes.get_legend_handles_labels(), loc="outside upper center", ncols=3, handletextpad=0.4)
        return figure

    return _drawing(draw)


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
