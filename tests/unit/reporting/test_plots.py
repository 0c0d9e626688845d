"""Plots: the same bytes for the same numbers, fit to stand in a page."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from sagecraft.reporting import answer_plots, heat_maps, plots, score_plots
from sagecraft.reporting.page import check_svg

MODELS = ["base", "cpt"]
ODD = '$x_y$ <b>"q"</b> url(http://evil.example) onload=x 日本 \\frac{'
DRAWN: dict[str, Callable[[], str]] = {
    "loss": lambda: plots.loss_curves({"a": [(0, 3.0), (1, 2.0), (2, float("nan"))], ODD: [(0, 1.0)], "none": []}),
    "bars": lambda: plots.accuracy_bars([*MODELS, ODD], [0.3, 0.0, 1.0], [(0.2, 0.4), (0.0, 0.2), (0.8, 1.0)], 0.25),
    "groups": lambda: plots.accuracy_by_group(["x", ODD], {"base": [(0.4, (0.3, 0.5)), None]}, 0.25),
    "perplexity": lambda: plots.perplexity_bars(MODELS, {"domain": [20.0, 15.0], ODD: [30.0, None]}),
    "timings": lambda: plots.stage_timings({"cpt": 412.0, "merge": 0.0, ODD: 3.0}),
    "shares": lambda: plots.source_shares({"domain": 80.0, ODD: 0.0}),
    "cost": lambda: score_plots.cost_value([("a", 0.001, 0.4, (0.3, 0.5)), (ODD, 2.0, 0.6, (0.5, 0.7))], 3.5, ODD, 0.25),
    "outcomes": lambda: answer_plots.outcomes(["a", ODD], [{"correct": 3, ODD: 1}, {"failed": 2, "refused": 0}]),
    "heat": lambda: heat_maps.heat_map(["a", ODD], ["1", "2"], [[None, 0.1], [0.9, None]], ODD, texts=[["", ODD], ["x", ""]]),
    "differences": lambda: plots.differences(["cpt", ODD], [0.03, -0.1], [(-0.02, 0.08), (-0.2, 0.0)], "base"),
}  # fmt: skip


@pytest.mark.parametrize("name", DRAWN)
def test_a_drawing_is_the_same_bytes_and_fit_for_a_page(name: str) -> None:
    first, second = DRAWN[name](), DRAWN[name]()
    assert first == second
    assert first.startswith("<svg")
    check_svg(first)
    assert "evil.example" not in re.sub(r">[^<]*<", "><", first)
    # colours come from the page, with a plain one where there is none
    assert not re.search(r"(?<!, )#(2b2f36|0072b2)", first)
    assert "var(--plot-ink, #2b2f36)" in first


def test_ids_of_two_drawings_differ() -> None:
    first, second = (set(re.findall(r'\sid="([^"]+)"', DRAWN[name]())) for name in ("loss", "bars"))
    assert first
    assert second
    assert first.isdisjoint(second)


def test_references_lead_to_ids_of_the_same_drawing() -> None:
    svg = DRAWN["loss"]()
    ids = set(re.findall(r'\sid="([^"]+)"', svg))
    used = set(re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', svg))
    assert used
    assert {a or b for a, b in used} <= ids


def test_labels_are_there_as_text() -> None:
    svg = plots.accuracy_bars(["base & co", "$cpt$"], [0.382, 0.5], [(0.3, 0.46), (0.4, 0.6)], 0.25)
    for text in ("base &amp; co", "$cpt$", "38.2", "50.0", "chance"):
        assert f">{text}</text>" in svg


def test_long_runs_stay_small() -> None:
    svg = plots.loss_curves({"domain": [(n, 3 - n / 20_000) for n in range(20_000)]})
    assert len(svg) < 120_000


def test_smoothing_keeps_a_constant_and_follows_a_fall() -> None:
    assert plots.smooth([2.0] * 9, 5) == [2.0] * 9
    falling = plots.smooth([10.0, 5.0, 4.0, 4.0, 4.0, 4.0], 4)
    assert falling[0] == pytest.approx(7.5)
    assert falling[-1] == 4.0
    assert plots.smooth([], 3) == []


def test_nothing_to_plot_is_the_callers_fault() -> None:
    with pytest.raises(ValueError, match="nothing to plot"):
        plots.differences([], [], [], "base")


@pytest.mark.parametrize(
    ("value", "text"),
    [(30.04, "30.0"), (9.996, "10.0"), (20.64, "20.6"), (1234.5, "1,234"), (150.2, "150"), (0.5, "0.500")],
)
def test_three_figures_keep_their_zeros(value: float, text: str) -> None:
    assert plots.three_figures(value) == text


def test_a_difference_below_nothing_has_a_true_minus() -> None:
    svg = plots.differences(["sft", "merged"], [0.042, -0.014], [(-0.02, 0.1), (-0.08, 0.05)], "base")
    for text in ("+4.2", "−1.4", "difference from base (points)"):
        assert f">{text}</text>" in svg


def test_a_difference_that_is_not_shown_has_an_empty_dot() -> None:
    values, intervals = [0.042, -0.014], [(0.02, 0.06), (-0.08, 0.05)]
    filled = [plots.differences(["sft", "merged"], values, intervals, "base", shown) for shown in (None, [True, False])]
    # matplotlib writes a marker's filling into its style
    assert [
        svg.count("fill: none; stroke: var(--plot-0") + svg.count("fill-opacity: 0; stroke: var(--plot-0")
        for svg in filled
    ] == [0, 1]
