"""The sentences follow from the numbers, at their edges too."""

from __future__ import annotations

import dataclasses

import pytest

from sagecraft.reporting.verdict import Comparison, nothing_compared, verdict

NONE_SHOWN = Comparison("sft", "base", 100, 0.45, 0.4, 0.05, (-0.03, 0.13), 15, 10, 0.42, 0.84, 0.142)


def told(comparison: Comparison | None, **changes: float | tuple[float, float]) -> str:
    changed = comparison and dataclasses.replace(comparison, **changes)  # type: ignore[arg-type]
    return verdict("base", "sft", {"base": {"domain": 20.0}, "sft": {"domain": 19.99}}, changed)


def test_no_gain() -> None:
    assert told(NONE_SHOWN) == (
        "From base to sft, domain perplexity stayed at 20.0. On 100 questions sft is right 45.0 % of the time, base 40.0 %: "
        "at this number a true difference under about 14 points would often be missed (paired p = 0.42, 0.84 after Holm's "
        "correction), so no gain in knowledge is shown."
    )


@pytest.mark.parametrize(("p_adjusted", "shown"), [(0.0499, True), (0.05, False)])
def test_the_corrected_p_decides(p_adjusted: float, shown: bool) -> None:
    text = told(NONE_SHOWN, p=0.01, p_adjusted=p_adjusted)
    assert ("which chance does not explain" in text) is shown
    assert ("no gain in knowledge is shown" in text) is not shown


def test_a_loss_has_its_interval_in_order() -> None:
    text = told(NONE_SHOWN, difference=-0.2, ci95=(-0.3, -0.1), p=1e-5, p_adjusted=1e-5)
    assert "a loss of 20.0 points (95 % interval 10.0 to 30.0, paired p < 0.001)" in text
    assert "became worse" in text


def test_the_very_same_answers() -> None:
    text = told(NONE_SHOWN, only_model=0, only_against=0, difference=0.0, p=1.0, p_adjusted=1.0, detectable=0.0)
    assert "right on the very same questions, so no change of knowledge is shown" in text


def test_unkeyed_questions() -> None:
    assert "were not asked the same keyed questions, so nothing is shown about knowledge" in told(None)


def test_nothing_to_compare() -> None:
    assert nothing_compared([]).startswith("No model was measured")
    assert nothing_compared(["base"]).startswith("Only the base model was measured")
    assert nothing_compared(["sft"]).startswith("The base model was not measured (sft only)")


@pytest.mark.parametrize(("general", "said"), [(25.0, True), (29.95, False), (33.0, False)])
def test_a_gain_on_all_text_is_not_put_down_to_the_field(general: float, said: bool) -> None:
    perplexity = {"base": {"domain": 20.0, "general": 30.0}, "sft": {"domain": 15.0, "general": general}}
    assert (
        "not all of the fall on domain text is due to the field" in verdict("base", "sft", perplexity, None)
    ) is said
