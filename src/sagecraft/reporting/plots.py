"""Plots: functions of plain numbers that return a drawing.

A drawing is a string that starts with `<svg`, the same bytes for the same numbers, and takes its colours from the page
it stands on (`--plot-ink`, `--plot-0`, …), so that it is right on white and on black. Its width is that of a phone's
screen and a half: two stand side by side on a desk, one shrinks to three quarters in the hand and can still be read.
The palette is that of Okabe and Ito (https://jfly.uni-koeln.de/color/), darkened where it was too faint on white.
"""

from __future__ import annotations

import hashlib
import itertools
import math
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

#: An interval `(low, high)` in the unit of its value.
Interval = tuple[float, float]

_WIDTH = 4.8  # inches of 96 CSS pixels: 461
_INK, _QUIET, _GRID = "#2b2f36", "#8a929d", "#e3e6ea"
_SERIES = ("#0072b2", "#d55e00", "#009e73", "#b5579a", "#a67c00", "#4f9fd0")
_VARIABLES = {
    _INK: "--plot-ink",
    _QUIET: "--plot-quiet",
    _GRID: "--plot-grid",
    **{color: f"--plot-{number}" for number, color in enumerate(_SERIES)},
}
_FONTS = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Liberation Sans', Arial, sans-serif"
_STYLE: dict[str, Any] = {
    # Laid out in a wide font, shown in the reader's own: text is never cut, can be selected and found.
    "font.family": ["DejaVu Sans"],
    "svg.fonttype": "none",
    "svg.hashsalt": "sagecraft",
    "text.parse_math": False,  # a `$` in a title is a dollar
    "font.size": 9,
    "axes.labelsize": 9,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": _QUIET,
    "axes.labelcolor": _INK,
    "axes.titlecolor": _INK,
    "axes.axisbelow": True,
    "axes.unicode_minus": True,
    "text.color": _INK,
    "xtick.color": _QUIET,
    "ytick.color": _QUIET,
    "xtick.labelcolor": _INK,
    "ytick.labelcolor": _INK,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "grid.color": _GRID,
    "grid.linewidth": 0.8,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "lines.linewidth": 1.6,
    "figure.constrained_layout.use": True,
}
_MAX_LABEL = 30
_MAX_POINTS = 400


def _drawing(draw: Callable[[], Any]) -> str:
    """Renders a figure as SVG: fixed ids, no dates, colours by name, nothing from outside."""
    import io

    import matplotlib as mpl

    with mpl.rc_context(_STYLE), warnings.catch_warnings():
        # The browser draws what the layout's font lacks.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        buffer = io.StringIO()
        draw().savefig(buffer, format="svg", transparent=True)
    return _tidy(buffer.getvalue())


def _tidy(svg: str) -> str:
    """What matplotlib writes → what can stand inside a page among others."""
    svg = svg[svg.index("<svg") :].strip() + "\n"
    svg = re.sub(r"<metadata>.*?</metadata>|<defs>\s*<style[^>]*>.*?</style>\s*</defs>|<!--.*?-->", "", svg, flags=re.S)
    # Ids are one name space in a page, and a reference into a folded part of it may not be drawn.
    mark = hashlib.sha256(svg.encode()).hexdigest()[:8]
    svg = re.sub(r"<[^>]*>", lambda tag: _tidy_tag(tag[0], mark), svg)
    svg = svg.replace("<svg ", '<svg style="stroke-linejoin: round; stroke-linecap: butt" ', 1)
    return re.sub(r"\n\s*\n+", "\n", svg)


def _tidy_tag(tag: str, mark: str) -> str:
    tag = re.sub(r'(\sid="|href="#|url\(#)', rf"\g<1>p{mark}-", tag)
    tag = tag.replace("'DejaVu Sans'", _FONTS)
    for color, variable in _VARIABLES.items():
        tag = tag.replace(color, f"var({variable}, {color})")
    return tag


def _figure(height: float, columns: int = 1, **options: Any) -> tuple[Any, Any]:
    """A figure and its axes, without pyplot: no state is shared."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(_WIDTH, height))
    FigureCanvasAgg(figure)
    return figure, figure.subplots(1, columns, **options)


def _short(label: str, most: int = _MAX_LABEL) -> str:
    text = " ".join(str(label).split())
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"


def three_figures(value: float) -> str:
    """A number with three significant figures: 30.0 is not 30, for it says that the tenth was measured."""
    return f"{value:,.0f}" if abs(value) >= 999.5 else f"{value:#.3g}".rstrip(".")


def _need(values: Sequence[object] | Mapping[str, Any], what: str) -> None:
    if not values:
        raise ValueError(f"{what}: nothing to plot")


def smooth(values: Sequence[float], window: int) -> list[float]:
    """Running mean over `window` values around each, of fewer at the ends.

    At the start, where a loss falls fast, only as many are taken from behind a value as there are before it.
    """
    sums = [0.0, *itertools.accumulate(values)]  # a mean of each window anew would take hours for a long run
    result = []
    for position in range(len(values)):
        before = min(window // 2, position)
        first, last = position - before, min(len(values), position + min(window // 2, max(before, 1)) + 1)
        result.append((sums[last] - sums[first]) / (last - first))
    return result


def _thin(points: Sequence[tuple[float, float]]) -> Sequence[tuple[float, float]]:
    """At most `_MAX_POINTS` of them, evenly spaced, the last among them: a page must not weigh megabytes."""
    step = max(1, math.ceil(len(points) / _MAX_POINTS))
    return points[(len(points) - 1) % step :: step]


def loss_curves(
    series: Mapping[str, Sequence[tuple[float, float]]], x_label: str = "step", y_label: str = "loss (nats per token)"
) -> str:
    """Training loss: raw points, and a running mean over a twentieth of the run.

    Args:
        series: name → `(step, loss)` in order; values that are not finite are left out.
        x_label: of the horizontal axis.
        y_label: of the vertical axis.
    """
    _need(series, "loss_curves")

    def draw() -> Any:
        figure, axes = _figure(2.9)
        for number, (name, points) in enumerate(series.items()):
            color = _SERIES[number % len(_SERIES)]
            kept = [(x, y) for x, y in points if math.isfinite(y)]
            if not kept:
                continue
            dots = _thin(kept)
            size = 5.0 if len(dots) < 100 else 3.2
            axes.plot(*zip(*dots, strict=True), ".", color=color, alpha=0.4, markersize=size, markeredgewidth=0)
            mean = smooth([y for _, y in kept], max(3, len(kept) // 20))
            line = _thin(list(zip([x for x, _ in kept], mean, strict=True)))
            axes.plot(*zip(*line, strict=True), color=color, label=_short(name))
        axes.set_xlabel(x_label)
        axes.set_ylabel(y_label)
        axes.grid(axis="y")
        if len(series) > 1:
            axes.legend()
        return figure

    return _drawing(draw)


def step_curve(points: Sequence[tuple[float, float]], y_label: str, dots: bool = False) -> str:
    """One value over the steps of a run: a line, or dots and their running mean.

    Args:
        points: `(step, value)` in order; values that are not finite are left out.
        y_label: of the vertical axis.
        dots: the values scatter, so they are dots and the line is their mean over a twentieth of the run.
    """
    _need(points, "step_curve")

    def draw() -> Any:
        figure, axes = _figure(2.4)
        kept = [(x, y) for x, y in points if math.isfinite(y)]
        if kept and dots:
            axes.plot(
                *zip(*_thin(kept), strict=True), ".", color=_SERIES[0], alpha=0.4, markersize=3.2, markeredgewidth=0
            )
            mean = smooth([y for _, y in kept], max(3, len(kept) // 20))
            kept = list(zip([x for x, _ in kept], mean, strict=True))
        if kept:
            axes.plot(*zip(*_thin(kept), strict=True), color=_SERIES[0])
        axes.set_ylim(bottom=0)
        axes.set_xlabel("step")
        axes.set_ylabel(y_label)
        axes.grid(axis="y")
        return figure

    return _drawing(draw)


def measured_curves(series: Mapping[str, Sequence[tuple[float, float]]], y_label: str, relative: bool = False) -> str:
    """Values that were measured now and then, each with its mark.

    Args:
        series: name → `(step, value)` in order.
        y_label: of the vertical axis.
        relative: values are divided by their series' first, so that series of different sizes can be compared.
    """
    _need(series, "measured_curves")

    def draw() -> Any:
        figure, axes = _figure(2.9)
        for number, (name, points) in enumerate(series.items()):
            first = points[0][1] if relative and points else 1.0
            kept = [(x, y / first) for x, y in points if first and math.isfinite(y / first)]
            if kept:
                color = _SERIES[number % len(_SERIES)]
                axes.plot(*zip(*_thin(kept), strict=True), "o-", color=color, markersize=4, label=_short(name))
        if relative:
            axes.axhline(1, color=_QUIET, linestyle=(0, (4, 3)), linewidth=1.1, zorder=0)
        axes.set_xlabel("step")
        axes.set_ylabel(y_label)
        axes.grid(axis="y")
        axes.legend()
        return figure

    return _drawing(draw)


def accuracy_bars(
    models: Sequence[str], accuracy: Sequence[float], ci95: Sequence[Interval], chance: float | None = None
) -> str:
    """Accuracy of each model with its 95 % interval, from top to bottom, and the line of chance.

    The bars lie, since names of models are long: standing, four of them overlap already.

    Args:
        models: their names.
        accuracy: shares, 0 to 1.
        ci95: intervals in the same unit.
        chance: what guessing gives, for instance 0.25.
    """
    _need(models, "accuracy_bars")

    def draw() -> Any:
        figure, axes = _figure(0.85 + 0.3 * len(models))
        places = list(range(len(models)))
        axes.barh(places, [100 * a for a in accuracy], height=0.62, color=_SERIES[0], alpha=0.75)
        for place, value, (low, high) in zip(places, accuracy, ci95, strict=True):
            reach = [[100 * max(value - low, 0)], [100 * max(high - value, 0)]]
            axes.errorbar(100 * value, place, xerr=reach, color=_INK, capsize=3, linewidth=1.2)
            axes.annotate(
                f"{100 * value:.1f}", (100 * high, place), (5, 0), textcoords="offset points", va="center", fontsize=8.5
            )
        if chance is not None:
            axes.axvline(100 * chance, color=_SERIES[1], linestyle=(0, (4, 3)), linewidth=1.2)
            axes.annotate(
                "chance", (100 * chance, 1), (0, 2), ("data", "axes fraction"), "offset points",
                color=_SERIES[1], ha="center", va="bottom", fontsize=8,
            )  # fmt: skip
        axes.set_yticks(places, [_short(model) for model in models])
        axes.tick_params(axis="y", length=0)
        axes.set_ylim(len(models) - 0.45, -0.55)
        axes.set_xlim(0, min(112, 100 * max([*(high for _, high in ci95), chance or 0]) * 1.14 + 2))
        axes.set_xticks([tick for tick in axes.get_xticks() if tick <= min(100, axes.get_xlim()[1])])
        axes.set_xlabel("accuracy (%)")
        axes.grid(axis="x")
        return figure

    return _drawing(draw)


def accuracy_by_group(
    groups: Sequence[str], models: Mapping[str, Sequence[tuple[float, Interval] | None]], chance: float | None = None
) -> str:
    """Accuracy in groups of questions: one row a group, one dot with its interval a model.

    Args:
        groups: names of the groups, from top to bottom.
        models: name → `(accuracy, ci95)` for each group, None where it was not measured.
        chance: what guessing gives.
    """
    _need(groups, "accuracy_by_group")
    _need(models, "accuracy_by_group")

    def draw() -> Any:
        figure, axes = _figure(0.9 + len(groups) * max(0.34, 0.15 * len(models)) + 0.1)
        spread = 0.62 / max(len(models), 1)
        for number, (name, values) in enumerate(models.items()):
            color = _SERIES[number % len(_SERIES)]
            offset = (number - (len(models) - 1) / 2) * spread
            rows = [(row + offset, *value) for row, value in enumerate(values) if value is not None]
            axes.hlines(
                [y for y, _, _ in rows], [100 * i[0] for _, _, i in rows], [100 * i[1] for _, _, i in rows],
                color=color, linewidth=1.4, alpha=0.6,
            )  # fmt: skip
            axes.plot(
                [100 * a for _, a, _ in rows], [y for y, _, _ in rows], "o", color=color, ms=4.5, label=_short(name)
            )
        if chance is not None:
            axes.axvline(100 * chance, color=_QUIET, linestyle=(0, (4, 3)), linewidth=1.1, zorder=0)
        axes.set_yticks(range(len(groups)), [_short(group) for group in groups])
        axes.set_ylim(len(groups) - 0.5, -0.5)
        axes.set_xlim(0, 100)
        axes.set_xlabel("accuracy (%)")
        axes.grid(axis="x")
        figure.legend(*axes.get_legend_handles_labels(), loc="outside upper center", ncols=4, handletextpad=0.2)
        return figure

    return _drawing(draw)


def differences(
    names: Sequence[str],
    values: Sequence[float],
    ci95: Sequence[Interval],
    against: str,
    shown: Sequence[bool] | None = None,
) -> str:
    """Differences of accuracy from one model, each with its interval, around the line of none.

    Args:
        names: of what is compared, from top to bottom.
        values: differences of shares, −1 to 1.
        ci95: intervals in the same unit.
        against: what the differences are from.
        shown: whether each is more than chance; what is not has an empty dot. By default all are filled.
    """
    _need(names, "differences")

    def draw() -> Any:
        figure, axes = _figure(0.9 + 0.34 * len(names))
        rows = range(len(names))
        axes.hlines(rows, [100 * low for low, _ in ci95], [100 * high for _, high in ci95], color=_INK, linewidth=1.4)
        for row, value, filled in zip(rows, values, shown or [True] * len(names), strict=True):
            axes.plot(100 * value, row, "o", color=_SERIES[0], ms=6, mfc=_SERIES[0] if filled else "none", mew=1.5)
            text = f"{100 * value:+.1f}".replace("-", "\N{MINUS SIGN}")
            axes.annotate(
                text, (100 * value, row), (0, 5), textcoords="offset points", ha="center", va="bottom", fontsize=8
            )
        axes.axvline(0, color=_SERIES[1], linestyle=(0, (4, 3)), linewidth=1.2, zorder=0)
        low, high = 100 * min(0.0, *(low for low, _ in ci95)), 100 * max(0.0, *(high for _, high in ci95))
        room = 0.08 * (high - low) + 0.5
        axes.set_xlim(low - room, high + room)
        axes.set_yticks(rows, [_short(name) for name in names])
        axes.set_ylim(len(names) - 0.5, -0.7)
        axes.set_xlabel(f"difference from {_short(against)} (points)")
        axes.grid(axis="x")
        return figure

    return _drawing(draw)


def perplexity_bars(models: Sequence[str], panels: Mapping[str, Sequence[float | None]]) -> str:
    """Perplexity of each model, one panel a text (domain, general), each with its own scale from zero.

    Args:
        models: their names, in the order of training.
        panels: name of the text → perplexity of each model, None where it was not measured.
    """
    _need(models, "perplexity_bars")
    _need(panels, "perplexity_bars")

    def draw() -> Any:
        figure, axes = _figure(2.7, len(panels), squeeze=False)
        for number, (name, values) in enumerate(panels.items()):
            panel = axes[0][number]
            shown = [(p, v) for p, v in enumerate(values) if v is not None and math.isfinite(v)]
            panel.bar(
                [p for p, _ in shown],
                [v for _, v in shown],
                width=0.62,
                color=_SERIES[number % len(_SERIES)],
                alpha=0.75,
            )
            for place, value in shown:
                panel.annotate(
                    three_figures(value),
                    (place, value),
                    (0, 2),
                    textcoords="offset points",
                    ha="center",
                    va="bottom",
                    fontsize=8,
                )
            panel.set_xticks(range(len(models)), [_short(model) for model in models])
            panel.tick_params(axis="x", length=0, rotation=0 if len(models) * len(panels) <= 8 else 40)
            panel.set_xlim(-0.6, len(models) - 0.4)
            panel.set_ylim(0, 1.12 * max([v for _, v in shown], default=1.0))
            panel.set_title(_short(name))
            panel.grid(axis="y")
        axes[0][0].set_ylabel("perplexity (lower is better)")
        return figure

    return _drawing(draw)


def _bars(
    labels: Sequence[str],
    values: Sequence[float],
    texts: Sequence[str],
    x_label: str,
    color: str,
    highest: float = math.inf,
) -> str:
    """Horizontal bars from top to bottom, each with its value written behind it; no tick stands above `highest`."""

    def draw() -> Any:
        figure, axes = _figure(0.75 + 0.27 * len(labels))
        places = range(len(labels))
        axes.barh(places, values, height=0.62, color=color, alpha=0.75)
        for place, value, text in zip(places, values, texts, strict=True):
            axes.annotate(text, (value, place), (4, 0), textcoords="offset points", va="center", fontsize=8.5)
        axes.set_yticks(places, [_short(label) for label in labels])
        axes.tick_params(axis="y", length=0)
        axes.set_ylim(len(labels) - 0.4, -0.6)
        # room for the text behind the longest bar: about 1.6 % of the axis a character, more beside long names
        room = 1 + (0.016 + 0.0006 * max(len(_short(label)) for label in labels)) * max(map(len, texts))
        axes.set_xlim(0, room * max([*values, 1e-9]))
        axes.set_xticks([tick for tick in axes.get_xticks() if tick <= min(highest, axes.get_xlim()[1])])
        axes.set_xlabel(x_label)
        axes.grid(axis="x")
        return figure

    return _drawing(draw)


def stage_timings(seconds: Mapping[str, float]) -> str:
    """How long each stage took, in the order given: seconds, or minutes if any took more than five of them."""
    _need(seconds, "stage_timings")
    divisor, unit = (60, "min") if max(seconds.values()) > 300 else (1, "s")
    values = [value / divisor for value in seconds.values()]
    return _bars(list(seconds), values, [f"{v:.3g} {unit}" for v in values], f"time ({unit})", _SERIES[0])


def source_shares(amounts: Mapping[str, float], unit: str = "tokens") -> str:
    """What a mixture consists of: amount and share of each source, the largest first."""
    _need(amounts, "source_shares")
    order = sorted(amounts.items(), key=lambda entry: (-entry[1], entry[0]))
    total = sum(amounts.values()) or 1
    texts = [f"{value:,.0f} ({100 * value / total:.1f} %)" for _, value in order]
    shares = [100 * value / total for _, value in order]
    return _bars([name for name, _ in order], shares, texts, f"share of {unit} (%)", _SERIES[2], 100)
