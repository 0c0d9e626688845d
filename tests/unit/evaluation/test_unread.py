from __future__ import annotations

import time

import pytest

from sagecraft.evaluation.extract import extract
from sagecraft.evaluation.unread import is_refusal, outcome_of_unread

OPTIONS = ("ice", "fire")


@pytest.mark.parametrize(
    "text",
    [
        "I cannot answer this question.",
        "I can't help with that.",
        "I\u2019m sorry, but I can\u2019t assist with that request.",
        "I'm not able to determine which option is right.",
        "I am unable to provide an answer",
        "Sorry, I won't answer that.",
        "Unfortunately, I cannot determine the answer from what is given.",
        "As an AI language model, I cannot choose.",
        "I must decline to answer.",
        "We cannot reliably determine this.",
        "I do not know",
        "I don't know the answer.",
        "I don't know which of them is hot, but it may be neither.",
        "I do not have enough information to decide.",
        "It is not possible to determine this from the text.",
        "Based on the given information, I cannot say.",
        "**I cannot answer.**",
        "The question cannot be answered.",
    ],
)  # fmt: skip
def test_refusals(text: str) -> None:
    assert extract(text, OPTIONS).letter is None
    assert is_refusal(text)


@pytest.mark.parametrize(
    "text",
    [
        "I cannot overstate how hot it is.",
        "I can't help but notice that it burns.",
        "I cannot help thinking of it.",
        "I cannot say enough about it.",
        "I don't know why people ask this.",
        "I do know it.",
        "One cannot answer without thinking. Let us think.",
        "Let us see. I cannot answer yet, so I go on.",
        "You cannot determine heat by looking.",
        "The fire cannot be put out.",
        "It is not possible to freeze it.",
        "I will answer.",
        "Sorry for the wait. Heat rises.",
        "x" * 400 + " I cannot answer",
        "",
    ],
)  # fmt: skip
def test_near_misses(text: str) -> None:
    assert not is_refusal(text)


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("I cannot overstate it. The answer is B", "B"),
        ("I cannot answer with certainty, but the answer is B.", "B"),
        ('I\'m sorry, but I cannot think it through. {"answer": "A"}', "A"),
    ],
)
def test_what_holds_an_answer_is_no_refusal(text: str, letter: str) -> None:
    assert extract(text, OPTIONS).letter == letter


@pytest.mark.parametrize(
    ("changes", "outcome"),
    [
        ({}, "unparsed"),
        ({"answer": "I cannot answer."}, "refused"),
        ({"finish": "refusal"}, "refused"),
        ({"finish": "refusal", "cut": True}, "refused"),
        ({"cut": True}, "truncated"),
        ({"cut": True, "answer": "I cannot answer"}, "truncated"),  # it may have come to another end
        ({"closed_by_us": True}, "truncated"),
    ],
)
def test_outcomes(changes: dict[str, object], outcome: str) -> None:
    value = {"finish": "stop", "cut": False, "closed_by_us": False, "answer": "well"}
    assert outcome_of_unread(value | changes) == outcome


@pytest.mark.parametrize("text", ["sorry, " * 200_000, "I " * 500_000, "as an ai " * 100_000, "\n" * 1_000_000])
def test_hostile_text_takes_bounded_time(text: str) -> None:
    start = time.process_time()
    assert not is_refusal(text)
    assert time.process_time() - start < 0.5
