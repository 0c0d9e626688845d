"""Plots of scores and their price: who gives most for the money?"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

from sagecraft.reporting.plots import _GRID, _INK, _QUIET, _SERIES, Interval, _drawing, _figure, _need, _short

#: `(model, cost in USD, accuracy, ci95)`; accuracies are shares, 0 to 1.
Point = tuple[str, float, float, Interval]
#: `(left, top, right, bottom)` in CSS pixels of the axes.
_Box = tuple[float, float, float, float]

_HEIGHT = 3.6
# Pixels of the axes inside a figure of this size, and of a letter and a line of a label: names are placed by them.
_ACROSS, _DOWN = 395.0, 285.0
_LETTER, _LINE = 5.9, 11.0
_AROUND = 7.0
_MAX_LABEL = 22
#: Percentage points that a price ten times as high is worth, unless told: about what models of one family show.
POINTS_PER_DECADE = 3.5
_TICKS = [float(f"{digit}e{power}") for power in range(-12, 13) for digit in (1, 2, 5)]
#: Lines of equal value that are drawn, about.
_NUM_LINES = 7


def pareto_front(points: Sequence[Point]) -> list[Point]:
    """Those that no other beats: nobody is as good for less, or better for as much. From the cheapest up."""
    front: list[Point] = []
    for point in sorted(points, key=lambda p: (p[1], -p[2])):
        if not front or point[2] > front[-1][2]:
            front.append(point)
    return front


def caption(points: Sequence[Point], points_per_decade: float) -> str:
    """What the lines of `cost_value` mean."""
    best = ", ".join(name for name, *_ in pareto_front(points))
    return (
        f"Dashed, the Pareto front ({best}): no other is as good for less. Grey, lines of equal value: a price ten times "
        f"as high for {points_per_decade:g} points."
    )


def cost_value(
    points: Sequence[Point],
    points_per_decade: float,
    x_label: str = "cost of the evaluation (USD, logarithmic)",
    chance: float | None = None,
) -> str:
    """Accuracy against cost on a logarithmic axis, with the Pareto front and lines of equal value.

    On a line of equal value, a price ten times as high is worth `points_per_decade` percentage points: of two models
    the one on the higher line gives more for its price.

    Args:
        points: at least one; costs must be above 0.
        points_per_decade: slope of the lines of equal value, above 0.
        x_label: what the cost is of.
        chance: what guessing gives, a line.

    Raises:
        ValueError: no points, a cost of 0 or less, or a slope that is not above 0.
    """
    _need(points, "cost_value")
    if any(cost <= 0 for _, cost, _, _ in points) or points_per_decade <= 0:
        raise ValueError("cost_value: costs and the slope must be above 0")

    def draw() -> Any:
        figure, axes = _figure(_HEIGHT)
        axes.set_xscale("log")
        (left, right), (low, high) = _limits(points, chance)
        axes.set_xlim(left, right)
        axes.set_ylim(low, high)
        for offset in _offsets((left, right), (low, high), points_per_decade):
            line = [offset + points_per_decade * math.log10(cost) for cost in (left, right)]
            axes.plot((left, right), line, color=_GRID, linewidth=1, zorder=0)
        _stairs(axes, pareto_front(points))
        for number, (_, cost, accuracy, (lower, upper)) in enumerate(points):
            color = _SERIES[number % len(_SERIES)]
            reach = [[100 * max(accuracy - lower, 0)], [100 * max(upper - accuracy, 0)]]
            axes.errorbar(cost, 100 * accuracy, reach, fmt="o", color=color, capsize=3, markersize=5, linewidth=1.2)
        _name(axes, points)
        if chance is not None:
            axes.axhline(100 * chance, color=_QUIET, linestyle=(0, (1, 2)), linewidth=1.1)
            axes.annotate(
                "chance", (1, 100 * chance), (-2, 3), ("axes fraction", "data"), "offset points",
                color=_QUIET, ha="right", va="bottom", fontsize=8,
            )  # fmt: skip
        if right < 100 * left:  # else a plot of one factor of ten would have a single tick
            axes.set_xticks([tick for tick in _TICKS if left <= tick <= right])
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.xaxis.set_minor_formatter("")
        axes.set_xlabel(x_label)
        axes.set_ylabel("accuracy (%)")
        return figure

    return _drawing(draw)


def _stairs(axes: Any, front: Sequence[Point]) -> None:
    """The front as stairs: what a price buys is the best that costs as much or less."""
    places = [(cost, 100 * accuracy) for _, cost, accuracy, _ in front]
    costs, accuracies = zip(*places, (axes.get_xlim()[1], places[-1][1]), strict=True)
    axes.plot(
        costs, accuracies, drawstyle="steps-post", color=_QUIET, linestyle=(0, (4, 3)), linewidth=1.2, zorder=1
    )  # fmt: skip


def _limits(points: Sequence[Point], chance: float | None) -> tuple[Interval, Interval]:
    """Ends of both axes: a fifth of the costs' range to either side, or a factor of two, is room for the names."""
    costs = [cost for _, cost, _, _ in points]
    room = max(2.0, (max(costs) / min(costs)) ** 0.2)
    shares = [share for *_, interval in points for share in interval] + ([] if chance is None else [chance])
    spare = 6 * (max(shares) - min(shares)) + 1
    return (min(costs) / room, max(costs) * room), (100 * min(shares) - spare, 100 * max(shares) + spare)


def _offsets(costs: Interval, accuracies: Interval, slope: float) -> list[float]:
    """Accuracies at a cost of 1 of the lines of equal value that cross the plot, evenly apart."""
    lowest = accuracies[0] - slope * math.log10(costs[1])
    highest = accuracies[1] - slope * math.log10(costs[0])
    apart = slope * 2.0 ** round(math.log2((highest - lowest) / _NUM_LINES / slope))
    return [apart * step for step in range(math.ceil(lowest / apart), math.floor(highest / apart) + 1)]


def _name(axes: Any, points: Sequence[Point]) -> None:
    """Writes names beside their points, each where it covers least of the points, intervals and names so far."""
    (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()

    def down(share: float) -> float:
        return float((high - 100 * share) / (high - low)) * _DOWN

    across = [math.log(cost / left) / math.log(right / left) * _ACROSS for _, cost, _, _ in points]
    taken: list[_Box] = []
    for x, (_, _, accuracy, (lower, upper)) in zip(across, points, strict=True):
        taken += [(x - 2, down(upper), x + 2, down(lower)), (x - 5, down(accuracy) - 5, x + 5, down(accuracy) + 5)]
    front = [*pareto_front(points), None]
    for point, following in itertools.pairwise(front):
        assert point is not None
        ends = [_ACROSS if end is None else across[points.index(end)] for end in (point, following)]
        taken.append((ends[0], down(point[2]) - 1, ends[1], down(point[2]) + 1))
    order = sorted(zip(across, points, strict=True), key=lambda found: -found[1][2])
    for x, (name, cost, accuracy, (lower, upper)) in order:
        text = _short(name, _MAX_LABEL)
        width, y = _LETTER * len(text), down(accuracy)
        places = _places(down(upper) - y, down(lower) - y)
        best = min(places, key=lambda place: _covered(_box(x, y, width, place), taken))
        taken.append(_box(x, y, width, best))
        axes.annotate(
            text, (cost, 100 * accuracy), (0.75 * best[0], -0.75 * best[1]), textcoords="offset points",
            fontsize=8, color=_INK, ha=best[2], va="center",
        )  # fmt: skip


def _places(top: float, bottom: float) -> list[tuple[float, float, str]]:
    """Where a label may stand, the best first: offset to the right and down in pixels, and which end is held there.

    Args:
        top: of the interval, in pixels down from the point (so it is negative).
        bottom: of the interval.
    """
    heights = (-8.0, 8.0, 0.0, -18.0, 18.0, -29.0, 29.0)
    beside = [(side * _AROUND, height, ha) for height in heights for side, ha in ((1, "left"), (-1, "right"))]
    beyond = [(0.0, height, ha) for height in (top - 9, bottom + 9) for ha in ("center", "left", "right")]
    return [*beside, *beyond]


def _box(x: float, y: float, width: float, place: tuple[float, float, str]) -> _Box:
    across, below, held = place
    left = x + across - {"left": 0.0, "right": width, "center": width / 2}[held]
    return left, y + below - _LINE / 2, left + width, y + below + _LINE / 2


def _covered(box: _Box, taken: Sequence[_Box]) -> float:
    """Square pixels of what stands there already, or that lie outside of the axes."""
    left, top, right, bottom = box
    inside = max(0.0, min(right, _ACROSS) - max(left, 0.0)) * max(0.0, min(bottom, _DOWN) - max(top, 0.0))
    outside = (right - left) * (bottom - top) - inside
    return 4 * outside + sum(
        max(0.0, min(right, other[2]) - max(left, other[0])) * max(0.0, min(bottom, other[3]) - max(top, other[1]))
        for other in taken
    )
