from __future__ import annotations

import itertools

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


def test_names_cover_neither_points_nor_each_other() -> None:
    """Labels of eight models as the published comparison has them: where they stand, nothing else does."""
    crowd = [
        (f"a model of number {n}", 0.05 * 200 ** (n / 7), 0.86 - 0.004 * (n % 3), (0.84 - 0.004 * (n % 3), 0.875))
        for n in range(8)
    ]
    taken: list[tuple[float, float, float, float]] = []
    places: list[tuple[float, float, float, float]] = []
    original = score_plots._covered

    def covered(box: tuple[float, float, float, float], known: list[tuple[float, float, float, float]]) -> float:
        taken[:] = known
        return original(box, known)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(score_plots, "_covered", covered)
        score_plots.cost_value(crowd, 3.5)
    places = taken[-7:]  # names so far when the last one was placed
    for index, place in enumerate(places):
        assert original(place, [other for other in places if other is not place]) < 60, index


def test_lines_of_equal_value_are_evenly_apart_and_a_handful() -> None:
    for costs, accuracies, slope in [
        ((0.05, 10.0), (78.0, 87.0), 3.5),
        ((1.0, 2.0), (0.0, 100.0), 0.1),
        ((0.01, 1.0), (50.0, 50.1), 30.0),
    ]:
        lines = score_plots._offsets(costs, accuracies, slope)
        assert 3 <= len(lines) <= 12
        assert all(later - line == pytest.approx(lines[1] - lines[0]) for line, later in itertools.pairwise(lines))


def test_the_caption_names_the_front() -> None:
    assert "(cheap, best)" in score_plots.caption(POINTS, 3.5)
    assert "for 3.5 points" in score_plots.caption(POINTS, 3.5)
