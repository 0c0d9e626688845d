"""Graders on planted faults, and near-equal questions."""

from __future__ import annotations

import pytest

from sagecraft.synthesis.candidate import Candidate
from sagecraft.synthesis.dedup import QuestionIndex
from sagecraft.synthesis.grade import grade
from sagecraft.synthesis.reasoning import thought

GROUND = "The mass of the great bell is about 13.5 tonnes, and it hangs in the north tower."
GOOD = Candidate(
    "number", "What is the mass of the great bell?", "the mass of the great bell",
    "The mass of the great bell is about 13.5 tonnes.", "about 13.5 tonnes",
)  # fmt: skip


def changed(**values: str) -> Candidate:
    return Candidate(**{**GOOD.__dict__, **values})


def test_a_good_pair_passes() -> None:
    assert grade(GOOD, GROUND) is None


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ({"question": "What?"}, "question-length"),
        ({"answer": "Yes."}, "answer-length"),
        ({"question": "What is the mass of the bell in this paper?"}, "leak"),
        ({"answer": "The mass of the great bell (Table 12) is about 13.5 tonnes."}, "leak"),
        ({"answer": "The mass of the great bell (see The Tower) is about 13.5 tonnes."}, "leak"),
        ({"answer": "The mass of the great bell is about 14.5 tonnes."}, "number-not-in-source"),
        ({"answer": "The mass of the great whale is about 13.5 tonnes."}, "word-not-in-source"),
        ({"question": "Каков вес большого колокола в северной башне старого города?"}, "language"),
        ({"question": "What is the \\textbf{mass} of the great bell?"}, "markup"),
        (
            {"answer": "The mass of the great bell is the mass of the great bell is the mass of the great bell."},
            "repetition",
        ),
        ({"question": "what is the mass of the great bell?"}, "form"),
        ({"question": "What is the mass (of the great bell?"}, "unbalanced"),
        ({"question": "What is its mass in the tower?"}, "pronoun"),
        ({"question": "What is the mass of the bell of 13.5 tonnes?"}, "answer-in-question"),
    ],
)
def test_each_fault_is_named(fault: dict[str, str], reason: str) -> None:
    assert grade(changed(**fault), GROUND) == reason


def test_near_equal_questions() -> None:
    index = QuestionIndex()
    assert index.add("What is the mass of the great bell of Moscow?")
    assert not index.add("What was the mass of the great bell in Moscow?")
    assert index.add("What is the height of the great bell of Moscow?")
    assert index.add("When was the great bell of Moscow cast?")


def test_thought_quotes_its_ground_and_varies() -> None:
    made = {thought(GOOD, GROUND, seed=0, name=str(i)) for i in range(40)}
    assert len(made) > 20
    assert all(GROUND in one and "about 13.5 tonnes" in one and GOOD.focus in one for one in made)
    assert thought(GOOD, GROUND, 0, "a") == thought(GOOD, GROUND, 0, "a")
    braces = changed(key="$x_{1}$", focus="the {focus} of $a_{b}$")
    assert "the {focus} of $a_{b}$" in thought(braces, GROUND, 0, "a")
