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


def told(kind: str, question: str, answer: str, ground: str = "") -> str | None:
    return grade(Candidate(kind, question, "the bell", answer, rule="x"), ground or answer, TITLE)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("The old clapper of bronze is kept there.", "open-pronoun"),
        ("The old clapper of bronze is kept in the tower and cleaned there.", None),
        ("There is an old clapper of bronze, and there are ropes of hemp.", None),
        ("A ring of bronze is then poured around the clapper.", "open-pronoun"),
        ("If the mould is dry, a ring of bronze is then poured.", None),
        ("After a week of frost the rope of hemp then breaks.", None),
        ("A third rope of hemp moves the clapper.", "open-pronoun"),
        ("Beside two ropes a third rope of hemp moves the clapper.", None),
        ("A third of all ropes break in frost.", None),
        ("Old ropes of hemp hide cracks that are missed in the initial survey.", "open-pronoun"),
        ("Old ropes of hemp keep the initial length of their strands.", None),
        ("A roof of old slate protects it from the rain and lets founders work.", "open-pronoun"),
        ("The tower is dry because a roof of old slate protects it from the rain.", None),
        ("A roof of old slate protects bells from the rain.", None),
    ],
)
def test_words_of_the_answer_that_point_at_nothing_in_it(answer: str, reason: str | None) -> None:
    assert told("account", "In the context of “Bells”, what is there to say about the casting?", answer) == reason


@pytest.mark.parametrize(
    ("kind", "question", "answer", "ground", "reason"),
    [
        ("cause", "What do old bells crack from?", "Old bells crack from frost of the valley.",
         "Old bells also crack from frost of the valley.", "narrowed"),
        ("cause", "What do old bells crack from?", "Old bells crack from frost of the valley.", "", None),
        ("cause", "What do old bells crack from?", "Old bells also crack from frost of the valley.",
         "Old bells also crack from frost of the valley.", None),
        ("account", "What is there to say of old bells?", "Old bells crack from frost of the valley.",
         "Old bells also crack from frost of the valley.", None),
        ("aim", "What do the authors of “On bells” study?", "The authors study the length of hemp ropes.",
         "We further study the length of hemp ropes.", "narrowed"),
        ("aim", "What do the authors of “On bells” study?", "The authors study the length of hemp ropes.",
         "We study the length of hemp ropes.", None),
    ],
)  # fmt: skip
def test_the_cause_is_not_one_of_several(
    kind: str, question: str, answer: str, ground: str, reason: str | None
) -> None:
    assert told(kind, question, answer, ground) == reason


@pytest.mark.parametrize(
    ("kind", "question", "answer", "reason"),
    [
        ("finding", "What does “On bells” say about the length of old ropes?", "The length of old ropes is considered.",
         "answer-in-question"),
        ("finding", "What does “On bells” say about the length of old ropes?",
         "The length of old ropes decides how often founders replace clappers.", None),
        ("finding", "What does “On bells” say about the length of old ropes?", "The length of old ropes is 30 metres.", None),
        ("derivation", "What does “On bells” infer from the fact that old bells of bronze from northern towers ring longer "
         "in frost than new bells of copper from southern towers?", "Old bells of bronze from northern towers ring longer in "
         "frost than new bells of copper from southern towers, challenging expectations.", "answer-in-question"),
        ("derivation", "What does “On bells” infer from the fact that old bells ring longer in frost?",
         "Old bells ring longer in frost, suggesting that cold air absorbs less sound.", None),
        ("relation", "What does the great bell contain?", "The great bell contains a clapper.", None),
        ("comparison", "“Old bells are ___ than new ones.” Which word belongs in the gap, “heavier” or “lighter”?",
         "The right word is “heavier”: Old bells are heavier than new ones.", None),
    ],
)  # fmt: skip
def test_an_answer_adds_some_words_to_its_question(kind: str, question: str, answer: str, reason: str | None) -> None:
    assert told(kind, question, answer, answer + " The right word is one.") == reason
