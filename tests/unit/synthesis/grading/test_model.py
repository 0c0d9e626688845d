"""Grades by a model: what it is asked, and what its grades do."""

from __future__ import annotations

import json

import pytest
from pydantic import ValidationError

from sagecraft.synthesis.grading.model import Grades, ThresholdsConfig, messages, read_grades

GOOD = {"correct": 5, "alone": 5, "pertinent": 4, "overall": 4}


def asked(name: str, seed: int = 0) -> list[dict[str, str]]:
    return messages(
        name, "The bell has a mass of 11 tonnes.", "What is the mass of the bell?", "It is 11 tonnes.", seed
    )


def test_a_grader_sees_the_source_and_two_examples_one_of_them_bad() -> None:
    made = asked("a")
    assert [message["role"] for message in made] == ["system", "user", "assistant", "user", "assistant", "user"]
    assert made[-1]["content"].startswith("Source: The bell has a mass of 11 tonnes.")
    overall = {json.loads(message["content"])["overall"] >= 4 for message in made if message["role"] == "assistant"}
    assert overall == {True, False}
    assert made == asked("a")


def test_examples_and_their_order_are_drawn_for_each_question() -> None:
    shown = {tuple(message["content"] for message in asked(str(n))[1:5]) for n in range(200)}
    assert len(shown) == 18  # three good, three bad, two orders
    assert {asked(str(n))[1]["content"] for n in range(9)} != {asked(str(n), seed=1)[1]["content"] for n in range(4)}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, None),
        ({"correct": 3}, "graded-correct-3"),
        ({"alone": 1}, "graded-alone-1"),
        ({"pertinent": 2}, "graded-pertinent-2"),
        ({"overall": 2}, "graded-overall-2"),
        ({"alone": 2, "overall": 1}, "graded-alone-2"),
    ],
)
def test_the_first_grade_below_its_threshold_is_the_reason(changes: dict[str, int], reason: str | None) -> None:
    assert ThresholdsConfig().reason(Grades(**{**GOOD, **changes})) == reason
    assert ThresholdsConfig(correct=1, alone=1, pertinent=1, overall=1).reason(Grades(**{**GOOD, **changes})) is None


def test_grades_are_whole_numbers_from_one_to_five() -> None:
    assert read_grades(GOOD) == Grades(**GOOD)
    assert read_grades({**GOOD, "why": "plain"}) == Grades(**GOOD)
    for fault in ({"correct": 6}, {"correct": 0}, {"correct": "good"}, {"correct": 4.5}):
        assert str(read_grades({**GOOD, **fault})).startswith("correct: ")
    assert str(read_grades({"correct": 5})).startswith("alone: ")
    with pytest.raises(ValidationError):
        ThresholdsConfig(correct=6)
