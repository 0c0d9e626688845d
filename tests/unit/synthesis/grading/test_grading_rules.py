"""Graders on planted faults, each beside a case that it must let pass."""

from __future__ import annotations

import pytest

from sagecraft.synthesis.candidate import Candidate
from sagecraft.synthesis.grading.rules import grade
from sagecraft.synthesis.reasoning import thought

GROUND = "The mass of the great bell is about 13.5 tonnes, and it hangs in the north tower."
TITLE = "On bells"
GOOD = Candidate(
    "number", "What is the mass of the great bell?", "the mass of the great bell",
    "The mass of the great bell is about 13.5 tonnes.", "about 13.5 tonnes",
)  # fmt: skip


def changed(**values: str | None) -> Candidate:
    return Candidate(**{**GOOD.__dict__, **values})


def test_a_good_pair_passes() -> None:
    assert grade(GOOD, GROUND, TITLE) is None


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
        ({"question": "What is the mass of the great bell of Montr\\'eal?"}, "markup"),
        (
            {"answer": "The mass of the great bell is the mass of the great bell is the mass of the great bell."},
            "repetition",
        ),
        ({"question": "what is the mass of the great bell?"}, "form"),
        ({"question": "What is the mass (of the great bell?"}, "unbalanced"),
        ({"question": "Tell me about the mass of the great bell never."}, "form"),
        ({"question": "What is its mass in the tower?"}, "pronoun"),
        ({"question": "What is the mass of the bell of 13.5 tonnes?"}, "answer-in-question"),
    ],
)
def test_each_fault_is_named(fault: dict[str, str | None], reason: str) -> None:
    assert grade(changed(**fault), GROUND, TITLE) == reason


@pytest.mark.parametrize(
    ("fault", "ground", "reason"),
    [
        ({}, "Figure 3 shows that the mass of the great bell is about 13.5 tonnes.", "figure-text"),
        ({}, "The mass of the great bell is about 13.5 tonnes, as the horizontal axis tells.", "figure-text"),
        ({}, "Suppose that the mass of the great bell is about 13.5 tonnes.", "hypothetical"),
        ({"question": "What is the mass of a bell of bronze?"}, GROUND, "hypothetical"),
        ({}, "Calculate the pitch if the mass of the great bell is about 13.5 tonnes.", "exercise"),
        ({"kind": "consequence", "question": "What happens as time goes on?"}, GROUND, "empty-condition"),
        ({"kind": "relation", "question": "What do models of the bell indicate?"}, GROUND, "plural-evidence"),
        ({"answer": "They hang in the north tower: the great bell of about 13.5 tonnes."}, GROUND, "open-pronoun"),
        ({"kind": "definition", "answer": "The great bell is an important bell of about 13.5 tonnes."},
         "The great bell is an important bell of about 13.5 tonnes.", "weak-definition"),
        ({"answer": "The mass has two reasons: 1) the great bell is about 13.5 tonnes."},
         "The mass has two reasons: 1) the great bell is about 13.5 tonnes.", "cut-list"),
        ({"question": "What do the authors say of the bell?"}, "The authors say: " + GROUND, "leak"),
    ],
)  # fmt: skip
def test_what_the_source_gives_away(fault: dict[str, str], ground: str, reason: str) -> None:
    assert grade(changed(**fault), ground, TITLE) == reason


@pytest.mark.parametrize(
    ("values", "ground"),
    [
        ({"kind": "relation", "question": "What do the authors of “On bells” find about the great bell?",
          "answer": "The authors find that the mass of the great bell is about 13.5 tonnes."}, GROUND),
        ({"kind": "relation", "question": "According to “On bells”, what do measurements show?"}, GROUND),
        ({"kind": "consequence", "question": "What happens when the great bell is struck?"}, GROUND),
        ({"kind": "definition", "answer": "The great bell is a vessel of bronze.", "key": None},
         "The great bell is a vessel of bronze."),
        ({"kind": "definition", "answer": "Tuning is a method of shaping the rim by which the pitch falls.", "key": None},
         "Tuning is a method of shaping the rim by which the pitch falls."),
        ({"answer": "The great bells hang in the north tower, and they weigh about 13.5 tonnes."},
         "The great bells hang in the north tower, and they weigh about 13.5 tonnes."),
        ({"kind": "critique", "question": "Someone says: “The mass of the great bell is 99 tonnes.” What is wrong?",
          "answer": "The mass is not 99 tonnes: it is about 13.5 tonnes."}, GROUND),
        ({"thought": "Two bells of 13.5 tonnes make 27.", "answer": "Together they have a mass of 27 tonnes."}, GROUND),
    ],
)  # fmt: skip
def test_what_must_pass(values: dict[str, str], ground: str) -> None:
    assert grade(changed(**values), ground, TITLE) is None


def test_thought_quotes_its_ground_and_varies() -> None:
    made = {thought(GOOD, GROUND, seed=0, name=str(i)) for i in range(40)}
    assert len(made) > 20
    assert all(GROUND in one and "about 13.5 tonnes" in one and GOOD.focus in one for one in made)
    assert thought(GOOD, GROUND, 0, "a") == thought(GOOD, GROUND, 0, "a")
    braces = changed(key="$x_{1}$", focus="the {focus} of $a_{b}$")
    assert "the {focus} of $a_{b}$" in thought(braces, GROUND, 0, "a")
