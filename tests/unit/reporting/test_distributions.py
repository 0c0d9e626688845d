"""Plots of distributions: the same bytes for the same numbers, fit to stand in a page, and right in what they draw."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from sagecraft.reporting import distributions
from sagecraft.reporting.page import check_svg

ODD = '$x_y$ <b>"q"</b> url(http://evil.example) onload=x 日本 \\frac{'
CURVE = [(1.0, 1.0), (10.0, 0.5), (100.0, 0.0)]
DRAWN: dict[str, Callable[[], str]] = {
    "columns": lambda: distributions.columns([str(n) for n in range(1990, 2026)], {"documents": [1.0] * 36, ODD: [2.0] * 36}, ODD),
    "bars": lambda: distributions.group_bars(["a", ODD], [0.7, 0.6], ["70%", "60%"], "share"),
    "compared": lambda: distributions.compared_shares(["a", ODD], [0.1, 0.2], [0.3, 0.0], ("here", ODD)),
    "curves": lambda: distributions.threshold_curves({"documents": CURVE, "words": CURVE}, ODD, 5.0, logarithmic=True),
    "off": lambda: distributions.threshold_curves({"documents": [(0.0, 1.0), *CURVE]}, "x", None),
    "empty": lambda: distributions.threshold_curves({"documents": []}, "x", 3.0, logarithmic=True),
}  # fmt: skip


@pytest.mark.parametrize("name", DRAWN)
def test_a_drawing_is_the_same_bytes_and_fit_for_a_page(name: str) -> None:
    first, second = DRAWN[name](), DRAWN[name]()
    assert first == second
    check_svg(first)
    assert "evil.example" not in re.sub(r">[^<]*<", "><", first)


def test_many_columns_have_few_labels() -> None:
    labels = re.findall(r">(\d{4})<", DRAWN["columns"]())
    assert labels[0] == "1990"
    assert len(labels) <= 9


def test_the_present_threshold_is_drawn_only_if_there_is_one() -> None:
    assert "stroke-dasharray" in DRAWN["curves"]()
    assert "stroke-dasharray" not in DRAWN["off"]()


@pytest.mark.parametrize("draw", [distributions.group_bars, distributions.compared_shares])
def test_nothing_to_draw_is_an_error(draw: Callable[..., str]) -> None:
    with pytest.raises(ValueError, match="nothing to plot"):
        draw([], [], [], "x")
