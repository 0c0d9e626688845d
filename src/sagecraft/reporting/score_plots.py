"""Plots of scores and their price: who gives most for the money?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from sagecraft.reporting.plots import _GRID, _INK, _QUIET, _SERIES, Interval, _drawing, _figure, _need, _short

#: `(model, cost in USD, accuracy, ci95)`; accuracies are shares, 0 to 1.
Point = tuple[str, float, float, Interval]


def pareto_front(points: Sequence[Point]) -> list[Point]:
    """Those that no other beats: nobody is as good for less, or better for as much. From the cheapest up."""
    front: list[Point] = []
    for point in sorted(points, key=lambda p: (p[1], -p[2])):
        if not front or point[2] > front[-1][2]:
            front.append(point)
    return front


def cost_value(points: Sequence[Point], points_per_decade: float) -> str:
    """Accuracy against cost on a logarithmic axis, with the Pareto front and lines of equal value.

    On a line of equal value, a price ten times as high is worth `points_per_decade` percentage points: of two models
    the one on the higher line gives more for its price.

    Args:
        points: at least one; costs must be above 0.
        points_per_decade: slope of the lines of equal value, above 0.

    Raises:
        ValueError: no points, a cost of 0 or less, or a slope that is not above 0.
    """
    _need(points, "cost_value")
    if any(cost <= 0 for _, cost, _, _ in points) or points_per_decade <= 0:
        raise ValueError("cost_value: costs and the slope must be above 0")

    def draw() -> Any:
        figure, axes = _figure(3.4)
        costs = [cost for _, cost, _, _ in points]
        left, right = min(costs) / 1.8, max(costs) * max(3.0, (max(costs) / min(costs)) ** 0.35)
        for offset in sorted({100 * a - points_per_decade * math.log10(c) for _, c, a, _ in points}):
            line = [offset + points_per_decade * math.log10(cost) for cost in (left, right)]
            axes.plot((left, right), line, color=_GRID, linewidth=1, zorder=0)
        front = pareto_front(points)
        stairs = [(cost, 100 * accuracy) for _, cost, accuracy, _ in front]
        axes.plot(*zip(*stairs, strict=True), color=_QUIET, linestyle=(0, (4, 3)), linewidth=1.2, zorder=1)
        for number, (name, cost, accuracy, (low, high)) in enumerate(points):
            color = _SERIES[number % len(_SERIES)]
            reach = [[100 * max(accuracy - low, 0)], [100 * max(high - accuracy, 0)]]
            axes.errorbar(cost, 100 * accuracy, reach, fmt="o", color=color, capsize=3, markersize=5, linewidth=1.2)
            place = (cost, 100 * accuracy)
            axes.annotate(_short(name), place, (6, 4), textcoords="offset points", fontsize=8.5, color=_INK)
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.xaxis.set_minor_formatter("")
        axes.set_xlim(left, right)
        axes.set_xlabel("cost of the evaluation (USD, logarithmic)")
        axes.set_ylabel("accuracy (%)")
        return figure

    return _drawing(draw)
