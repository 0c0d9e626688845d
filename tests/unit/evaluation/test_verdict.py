"""The sentences on top follow the figures."""

from __future__ import annotations

from typing import Any

import pytest
from tests.asked_items import evaluation

from sagecraft.evaluation.verdict import verdict


def mode(accuracy: float | None = 0.5, p: float = 0.001, **changes: Any) -> dict[str, Any]:
    kept: dict[str, Any] = {
        "n": 100, "accuracy": accuracy, "ci95": [0.4, 0.6], "guessing": {"accuracy": 0.25, "p_value": p},
        "outcomes": {"correct": 50, "wrong": 50}, "cost_usd": 0.0,
    }  # fmt: skip
    return {**kept, **changes}


def results(**modes: dict[str, Any]) -> dict[str, Any]:
    return {"model": "m", "mode": next(iter(modes)), "modes": modes}


@pytest.mark.parametrize(
    ("accuracy", "p", "told"),
    [
        (0.5, 0.0001, "this is better than guessing, which gives 25.0 % (p < 0.001)."),
        (0.1, 0.01, "this is worse than guessing, which gives 25.0 % (p = 0.01)."),
        (0.3, 0.3, "this cannot be told from guessing, which gives 25.0 % (p = 0.3)."),
    ],
)
def test_against_guessing(accuracy: float, p: float, told: str) -> None:
    text = verdict(results(letter=mode(accuracy, p)))
    assert text.startswith(
        f"m answers {100 * accuracy:.1f} % of 100 questions right (letter, 95 % interval 40.0 to 60.0): "
    )
    assert told in text
    assert "Every question has a readable answer. No price is set for this device" in text


def test_without_a_key_or_a_guess() -> None:
    assert "This set has no key" in verdict(results(letter=mode(None, guessing=None)))
    assert "guessing" not in verdict(results(generate=mode(guessing=None)))


def test_other_modes_thought_failures_and_cost() -> None:
    silent = {"correct": 40, "wrong": 40, "truncated": 15, "failed": 5}
    found = results(letter=mode(), generate=mode(0.2, 0.5, outcomes=silent, cost_usd=1.25, accuracy_answered=0.5))
    found["thinking_difference"] = {"difference": 0.05, "p_value": 0.02}
    text = verdict(found)
    assert "In other modes: generate 20.0 % (not told from guessing)." in text
    assert "With thought it is 5.0 points more (p = 0.02)." in text
    assert (
        "Without a readable answer, and so not right: 20 of 100 in generate (15 truncated, 5 failed; of those read, 50.0 % are right)."
        in text
    )
    assert text.endswith("It cost 1.2500 USD.")
    found["thinking_difference"] = {"difference": -0.05, "p_value": 0.2}
    found["modes"]["generate"]["cost_usd"] = "unknown"
    assert "Thought makes no difference that this set shows (5.0 points, p = 0.2)." in verdict(found)
    assert verdict(found).endswith("What it cost is not known.")


def test_it_reads_what_a_run_writes() -> None:
    made, _ = evaluation()
    assert verdict(made).startswith("a model answers ")
    assert "truncated) " not in verdict(made)
