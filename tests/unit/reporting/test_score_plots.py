from __future__ import annotations

import pytest

from sagecraft.reporting import score_plots
from sagecraft.reporting.page import check_svg

CI = (0.3, 0.9)
POINTS = [("dear", 9.0, 0.6, CI), ("cheap", 0.1, 0.5, CI), ("twin", 0.1, 0.45, CI), ("best", 3.0, 0.7, CI)]


def test_the_front_holds_those_that_nobody_beats() -> None:
    assert [name for name, *_ in score_plots.pareto_front(POINTS)] == ["cheap", "best"]
    same = [("a", 1.0, 0.5, CI), ("b", 2.0, 0.5, CI)]
    assert [name for name, *_ in score_plots.pareto_front(same)] == ["a"]


def test_the_drawing_is_the_same_bytes_and_its_lines_follow_the_slope() -> None:
    first = score_plots.cost_value(POINTS, 3.5)
    assert first == score_plots.cost_value(POINTS, 3.5)
    assert first != score_plots.cost_value(POINTS, 7.0)
    check_svg(first)


@pytest.mark.parametrize(("points", "slope"), [([], 3.5), ([("a", 0.0, 0.5, CI)], 3.5), (POINTS, 0.0)])
def test_what_has_no_place_on_a_logarithmic_axis_is_refused(points: list[score_plots.Point], slope: float) -> None:
    with pytest.raises(ValueError, match="cost_value"):
        score_plots.cost_value(points, slope)
