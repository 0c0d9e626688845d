"""Heat maps: a quantity over two axes, in steps of one colour that are told apart on white and on black.

They are drawings as those of `sagecraft.reporting.plots` are, and made with its parts.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from sagecraft.reporting.plots import _SERIES, _drawing, _figure, _need, _short

#: From little to much, and from −1 over 0 to 1: light in the middle or at the low end (after ColorBrewer's forms).
_RISING = ("#eef3f8", "#d3e2f0", "#b0cde4", "#86b3d5", "#5a97c4", "#367ab0", "#1f5d94", "#123f70")
_TWO_WAYS = ("#8c3a00", "#c65d14", "#e59a5f", "#f4d3b8", "#f3f3f1", "#c3d8ea", "#7db0d6", "#2f7fb8", "#0b4f86")
_MISSING = "#9aa1a9"
#: Columns that a heat map of this width can show: of more, neighbours are averaged.
MAX_COLUMNS = 60


def heat_map(
    rows: Sequence[str],
    columns: Sequence[str],
    values: Sequence[Sequence[float | None]],
    label: str,
    *,
    limits: tuple[float, float] | None = None,
    two_ways: bool = False,
    texts: Sequence[Sequence[str]] | None = None,
) -> str:
    """A cell for each row and column.

    Args:
        rows: names, from top to bottom.
        columns: names; of many, every so many is written.
        values: a list of each row; None is a cell without a value.
        label: of the quantity.
        limits: of the colours; by default from 0, or from −1 with `two_ways`, to the largest value.
        two_ways: the middle of the limits is neutral.
        texts: written into the cells.
    """
    _need(rows, "heat_map")
    _need(columns, "heat_map")

    def draw() -> Any:
        import numpy as np
        from matplotlib.colors import BoundaryNorm, ListedColormap

        figure, axes = _figure(0.95 + 0.21 * len(rows))
        grid = np.array([[math.nan if value is None else value for value in row] for row in values], dtype=float)
        high = float(np.nanmax(np.abs(grid))) if np.isfinite(grid).any() else 1.0
        low, high = limits or (-1.0 if two_ways else 0.0, high or 1.0)
        high = high if high > low else low + (abs(low) or 1.0)
        shades = _TWO_WAYS if two_ways else _RISING
        colors = ListedColormap(list(shades)).with_extremes(bad=_MISSING)
        edges = [low + (high - low) * step / len(shades) for step in range(len(shades) + 1)]
        mesh = axes.pcolormesh(np.ma.masked_invalid(grid), cmap=colors, norm=BoundaryNorm(edges, len(shades)))
        if texts is not None:
            _write(axes, texts, grid, colors, mesh.norm)
        step = math.ceil(len(columns) / (12 if texts is None else MAX_COLUMNS))
        axes.set_xticks([place + 0.5 for place in range(0, len(columns), step)], [_short(c) for c in columns[::step]])
        axes.set_yticks([place + 0.5 for place in range(len(rows))], [_short(name) for name in rows])
        axes.tick_params(length=0)
        axes.invert_yaxis()
        axes.spines[:].set_visible(False)
        bar = figure.colorbar(mesh, ax=axes, location="top", fraction=0.05, aspect=40, pad=0.02)
        bar.set_label(label, labelpad=3)
        ends = (low, (low + high) / 2, high)
        bar.set_ticks(ends, labels=[f"{end:.3g}".replace("-", "\N{MINUS SIGN}") for end in ends])
        bar.outline.set_visible(False)
        return figure

    return _drawing(draw)


def _write(axes: Any, texts: Sequence[Sequence[str]], grid: Any, colors: Any, norm: Any) -> None:
    """Texts in the middle of cells, dark or white after the cell, which has one colour on every page."""
    size = 8.0 if max(map(len, texts)) <= 10 else 6.5
    for row, line in enumerate(texts):
        for column, text in enumerate(line):
            red, green, blue = colors(norm(grid[row, column]))[:3]
            light = 0.3 * red + 0.59 * green + 0.11 * blue > 0.55 and math.isfinite(grid[row, column])
            color = "#101418" if light else "#ffffff"
            axes.text(column + 0.5, row + 0.5, text, ha="center", va="center", fontsize=size, color=color)


def layer_lines(series: Mapping[str, Sequence[float | None]], columns: Sequence[str], y_label: str) -> str:
    """Lines over the layers, one a model.

    Args:
        series: name → a value a column; None where there is none.
        columns: names of the places from left to right.
        y_label: of the vertical axis, which begins at nought.
    """
    _need(series, "layer_lines")

    def draw() -> Any:
        figure, axes = _figure(2.7)
        for number, (name, values) in enumerate(series.items()):
            points = [(place, value) for place, value in enumerate(values) if value is not None]
            axes.plot(
                [place for place, _ in points], [value for _, value in points],
                color=_SERIES[number % len(_SERIES)], marker="o" if len(points) < 40 else "", ms=3,
                label=_short(name),
                linestyle=("-", "--", ":")[number // len(_SERIES) % 3],
            )  # fmt: skip
        step = math.ceil(len(columns) / 12)
        axes.set_xticks(range(0, len(columns), step), [_short(name) for name in columns[::step]])
        axes.set_ylim(0)
        axes.set_ylabel(y_label)
        axes.set_xlabel("layer")
        axes.grid(axis="y")
        # 60 characters a line of the legend, its lines of colour with them
        fitting = max(1, min(3, 60 // (6 + max(len(_short(name)) for name in series))))
        figure.legend(*axes.get_legend_handles_labels(), loc="outside upper center", ncols=fitting, handletextpad=0.4)
        return figure

    return _drawing(draw)
