from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from sagecraft.evaluation.calibration import reliability
from sagecraft.reporting import answer_plots
from sagecraft.reporting.page import check_svg

BINS = reliability([0.3, 0.5, 0.55, 0.9, 1.0], [False, True, False, True, True])
DRAWN: dict[str, Callable[[], str]] = {
    "reliability": lambda: answer_plots.reliability(BINS),
    "positions": lambda: answer_plots.positions("ABC", [5, 0, 2], [2.5, 2.5, 2.0]),
}


@pytest.mark.parametrize("name", DRAWN)
def test_a_drawing_is_the_same_bytes_and_fit_for_a_page(name: str) -> None:
    first = DRAWN[name]()
    assert first == DRAWN[name]()
    check_svg(first)
    assert not re.search(r"(?<!, )#(2b2f36|0072b2)", first)


def test_a_dot_stands_where_its_numbers_say() -> None:
    """Of two dots on the diagonal the line from one to the other has its slope."""
    bins = [{"confidence": c, "accuracy": c, "ci95": [c, c], "n": 5} for c in (0.2, 0.8)]
    moved = [{**bins[0], "accuracy": 0.5}, bins[1]]

    def places(rows: list[dict[str, object]]) -> list[tuple[float, float]]:
        _, _, dots = answer_plots.reliability(rows).partition("PathCollection")
        starts = re.findall(r'd="M ([\d.]+) ([\d.]+)[^"]*"[^>]*fill: var\(--plot-0', dots)
        return [(float(x), float(y)) for x, y in starts]

    (x0, y0), (x1, y1) = places(bins)
    (_, lifted), _ = places(moved)
    assert x1 > x0
    assert y1 < y0  # SVG counts from the top
    assert y0 - lifted == pytest.approx((y0 - y1) / 2, rel=0.01)


def test_nothing_to_plot_is_refused() -> None:
    for call in (lambda: answer_plots.reliability([]), lambda: answer_plots.positions([], [], [])):
        with pytest.raises(ValueError, match="nothing to plot"):
            call()


def test_outcomes_are_shares_of_each_models_own_answers() -> None:
    few = answer_plots.outcomes(["a", "b"], [{"correct": 1, "wrong": 1}, {"correct": 50, "wrong": 50, "refused": 0}])
    many = answer_plots.outcomes(["a", "b"], [{"correct": 500, "wrong": 500}, {"correct": 5, "wrong": 5}])
    assert few == many
    assert re.findall(r">(correct|wrong|refused)</text>", few) == ["correct", "wrong"]  # what nobody has is not named
    with pytest.raises(ValueError, match="without answers"):
        answer_plots.outcomes(["a"], [{"correct": 0}])
