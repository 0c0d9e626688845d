"""Plots of distributions: columns over an ordered axis, bars of groups, and what a threshold keeps.

They are drawings as those of `sagecraft.reporting.plots` are, and made with its parts.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from sagecraft.reporting.plots import _INK, _QUIET, _SERIES, _bars, _drawing, _figure, _need, _short, _thin

#: Labels under columns that stand side by side without touching.
_MAX_TICKS = 9


def columns(
    labels: Sequence[str], series: Mapping[str, Sequence[float]], x_label: str, y_label: str = "share (%)"
) -> str:
    """Columns over an ordered axis (years, lengths): one or two series side by side.

    Args:
        labels: under the columns; of many, every so many is written.
        series: name → height of each column.
        x_label: of the horizontal axis.
        y_label: of the vertical axis.
    """
    _need(labels, "columns")
    _need(series, "columns")

    def draw() -> Any:
        figure, axes = _figure(2.5)
        width = 0.84 / len(series)
        for number, (name, heights) in enumerate(series.items()):
            offset = (number - (len(series) - 1) / 2) * width
            places = [place + offset for place in range(len(labels))]
            axes.bar(places, heights, width=width, color=_SERIES[number], alpha=0.75, label=_short(name))
        step = math.ceil(len(labels) / _MAX_TICKS)
        axes.set_xticks(range(0, len(labels), step), [_short(label) for label in labels[::step]])
        axes.set_xlim(-0.7, len(labels) - 0.3)
        axes.set_ylim(0)
        axes.set_xlabel(x_label)
        axes.set_ylabel(y_label)
        axes.grid(axis="y")
        if len(series) > 1:
            figure.legend(*axes.get_legend_handles_labels(), loc="outside upper center", ncols=4)
        return figure

    return _drawing(draw)


def group_bars(names: Sequence[str], shares: Sequence[float], texts: Sequence[str], x_label: str) -> str:
    """Horizontal bars of groups in the order given; they may overlap, so they need not add up to one.

    Args:
        names: of the groups.
        shares: 0 to 1.
        texts: written behind each bar.
        x_label: of the horizontal axis.
    """
    _need(names, "group_bars")
    return _bars(names, [100 * share for share in shares], texts, x_label, _SERIES[0], 100)


def compared_shares(
    names: Sequence[str], here: Sequence[float], there: Sequence[float], labels: tuple[str, str]
) -> str:
    """Shares of groups in two collections: a dot each, joined by a line.

    Args:
        names: of the groups, from top to bottom.
        here: share of each, 0 to 1.
        there: the same in the other collection.
        labels: names of the two.
    """
    _need(names, "compared_shares")

    def draw() -> Any:
        figure, axes = _figure(1.0 + 0.25 * len(names))
        rows = range(len(names))
        one, two = [100 * share for share in here], [100 * share for share in there]
        axes.hlines(rows, one, two, color=_QUIET, linewidth=1.4)
        for values, color, label, filled in ((two, _SERIES[1], labels[1], False), (one, _SERIES[0], labels[0], True)):
            axes.plot(values, rows, "o", color=color, ms=6, mfc=color if filled else "none", label=_short(label))
        axes.set_yticks(rows, [_short(name) for name in names])
        axes.set_ylim(len(names) - 0.5, -0.5)
        axes.set_xlim(0)
        axes.set_xlabel("share of documents (%)")
        axes.grid(axis="x")
        figure.legend(*axes.get_legend_handles_labels(), loc="outside upper center", ncols=2, handletextpad=0.2)
        return figure

    return _drawing(draw)


def threshold_curves(
    series: Mapping[str, Sequence[tuple[float, float]]], x_label: str, present: float | None, logarithmic: bool = False
) -> str:
    """What would be kept at each threshold, with the present one marked.

    Args:
        series: name → `(threshold, share kept)`, in ascending order.
        x_label: of the threshold.
        present: the threshold in use; None if the rule is off.
        logarithmic: of the horizontal axis.
    """
    _need(series, "threshold_curves")

    def draw() -> Any:
        figure, axes = _figure(2.5)
        for number, (name, points) in enumerate(series.items()):
            kept = _thin([(x, 100 * y) for x, y in points if x > 0 or not logarithmic])
            if kept:
                axes.plot(*zip(*kept, strict=True), drawstyle="steps-post", color=_SERIES[number], label=_short(name))
        if logarithmic:
            axes.set_xscale("log")
            axes.xaxis.set_major_formatter(lambda value, _: f"{value:,g}")
        axes.set_ylim(0, 104)
        if present is not None and (present > 0 or not logarithmic):
            axes.axvline(present, color=_INK, linestyle=(0, (4, 3)), linewidth=1.2)
        axes.set_xlabel(x_label)
        axes.set_ylabel("kept (%)")
        axes.grid()
        figure.legend(*axes.get_legend_handles_labels(), loc="outside upper center", ncols=4)
        return figure

    return _drawing(draw)
