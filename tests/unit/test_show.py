"""What `show` makes of the figures of a manifest."""

from sagecraft.show import said


def test_counts_begin_with_the_largest_and_end_with_how_many_are_left() -> None:
    assert said({"a": 1, "b": 12345}) == "b 12,345, a 1"
    many = said({f"reason-{n}": n for n in range(10)})
    assert many.startswith("reason-9 9, reason-8 8")
    assert many.endswith("reason-2 2, and 2 more (--json)")
    assert said({}) == "none"


def test_names_with_figures_of_their_own_take_a_line_each() -> None:
    years = {"1999": {"documents": 2, "words": 5000}, "2001": {"documents": 7, "words": 10}}
    assert said(years) == "2001: documents 7, words 10\n1999: documents 2, words 5,000"
    models = {"base": {"accuracy": 0.25, "ci95": [0.1, 0.5], "n": 8, "modes": {"letter": {"n": 8}}}, "cpt": {}}
    assert said(models) == "base: accuracy 0.25, ci95 [0.1, 0.5], n 8\ncpt: none"


def test_plain_values_stand_as_they_are_and_long_texts_are_folded() -> None:
    assert [said(value) for value in ("x y", True, None, 0.123456, 4096)] == ["x y", "true", "null", "0.1235", "4,096"]
    assert max(len(line) for line in said("word " * 100).splitlines()) <= 110
