"""Plots of a search: scores of candidates over what was varied, each seed a dot.

They are drawings as those of `sagecraft.reporting.plots` are, and made with its parts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sagecraft.reporting.plots import _INK, _QUIET, _SERIES, Interval, _drawing, _figure, _need, _short

#: Rows of one drawing that can still be read.
MAX_ROWS = 40


def scores_over_values(
    values: Sequence[float],
    scores: Sequence[Sequence[float]],
    ci95: Sequence[Interval],
    x_label: str,
    y_label: str = "accuracy (%)",
) -> str:
    """Scores over a number: a dot a seed, a line through the means, and their intervals.

    Args:
        values: what was varied.
        scores: for each value those of its seeds, in the unit of `y_label`.
        ci95: interval of each mean.
        x_label: of the horizontal axis.
        y_label: of the vertical axis.
    """
    _need(values, "scores_over_values")

    def draw() -> Any:
        figure, axes = _figure(2.9)
        order = sorted(range(len(values)), key=lambda index: values[index])
        places = [values[index] for index in order]
        means = [sum(scores[index]) / len(scores[index]) for index in order]
        axes.vlines(
            places, [ci95[index][0] for index in order], [ci95[index][1] for index in order],
            color=_INK, linewidth=1.2, alpha=0.6,
        )  # fmt: skip
        axes.plot(places, means, "-", color=_SERIES[0], linewidth=1.2)
        dots = [(values[index], score) for index in order for score in scores[index]]
        axes.plot([x for x, _ in dots], [y for _, y in dots], "o", color=_SERIES[0], ms=4.5, alpha=0.75)
        axes.set_xlabel(_short(x_label))
        axes.set_ylabel(y_label)
        axes.grid(axis="y")
        return figure

    return _drawing(draw)


def scores_by_row(
    names: Sequence[str],
    scores: Sequence[Sequence[float]],
    ci95: Sequence[Interval],
    chosen: int | None = None,
    x_label: str = "accuracy (%)",
) -> str:
    """Scores in rows from top to bottom: a dot a seed, and the interval of their mean.

    Args:
        names: of the rows, at most `MAX_ROWS`.
        scores: for each row those of its seeds.
        ci95: interval of each row's mean.
        chosen: the row that is set off.
        x_label: of the horizontal axis.
    """
    _need(names, "scores_by_row")

    def draw() -> Any:
        figure, axes = _figure(0.9 + 0.28 * len(names))
        rows = range(len(names))
        axes.hlines(rows, [low for low, _ in ci95], [high for _, high in ci95], color=_INK, linewidth=1.2, alpha=0.6)
        for row, group in enumerate(scores):
            color = _SERIES[1] if row == chosen else _SERIES[0]
            axes.plot(group, [row] * len(group), "o", color=color, ms=5, alpha=0.8)
        everything = [score for group in scores for score in group]
        axes.axvline(sum(everything) / len(everything), color=_QUIET, linestyle=(0, (4, 3)), linewidth=1.1, zorder=0)
        axes.set_yticks(rows, [_short(name) for name in names])
        axes.set_ylim(len(names) - 0.5, -0.5)
        axes.set_xlabel(x_label)
        axes.grid(axis="x")
        return figure

    return _drawing(draw)
