"""Near-equal questions, and what tells questions apart."""

from __future__ import annotations

import pytest

from sagecraft.synthesis.repeats import Questions

TITLE = "The casting and the tuning of the great church bells of the old towns along the river"


def repeats(*asked: str, scopes: tuple[str, ...] = (), title: str = TITLE) -> list[bool]:
    questions = Questions()
    for number, question in enumerate(asked):
        questions.add(question, None, title, "bells", scopes[number] if scopes else "", order=number)
    return [bool(one) for one in questions.repeats()]


@pytest.mark.parametrize(
    ("one", "two", "same"),
    [
        ("What is the mass of the great bell of Moscow?", "What was the mass of the great bell in Moscow?", True),
        ("What is the mass of the great bell of Moscow?", "What is the mass of the Great Bell of Moscow?", True),
        ("What is the mass of the great bell of Moscow?", "What is the height of the great bell of Moscow?", False),
        ("What is the mass of the great bell of Moscow?", "When was the great bell of Moscow cast?", False),
        # One word of eight differs, but it is a name, or a number.
        ("How are long bronze bells of great mass cast in the old pits of Erfurt?",
         "How are long bronze bells of great mass cast in the old pits of Gotha?", False),
        ("How are long bronze bells of great mass cast in the old pits of 1497?",
         "How are long bronze bells of great mass cast in the old pits of 1498?", False),
        ("How are long bronze bells of great mass cast in the old deep pits?",
         "How are long bronze bells of great mass cast in the old pits?", True),
        # The title is no part of what is asked.
        (f"What do the authors of “{TITLE}” measure?", f"What do the authors of “{TITLE}” conclude?", False),
        (f"In the context of “{TITLE}”, what is a bell?", f"On the subject of “{TITLE}”: what is a bell?", True),
    ],
)  # fmt: skip
def test_near_equal(one: str, two: str, same: bool) -> None:
    assert repeats(one, two) == [False, same]


def test_scopes_are_apart() -> None:
    asked = "What is the mass of the great bell of Moscow?"
    assert repeats(asked, asked, scopes=("", "bells")) == [False, False]
    assert repeats(asked, asked, scopes=("bells", "bells")) == [False, True]


def test_the_first_in_order_is_kept_whatever_comes_first() -> None:
    questions = Questions()
    asked = "What is the mass of the great bell of Moscow?"
    for order in (5, 3, 9):
        questions.add(asked, None, TITLE, "bells", "", order)
    assert list(questions.repeats()) == [True, False, True]
    assert list(questions.order()) == [1, 0, 2]


def test_many_of_one_question_leave_one() -> None:
    asked = [f"What is the mass of the great bell of Moscow{'?' if n % 2 else ' then?'}" for n in range(300)]
    assert repeats(*asked).count(False) == 1
    assert repeats() == []


def test_cells_of_a_table_are_questions_of_their_own() -> None:
    questions = Questions()
    for order, (colour, key) in enumerate([("red", "3000"), ("blue", "9000"), ("blue", "9000")]):
        asked = f"Concerning “{TITLE}”: what is the usual melting point in the oven of the towns for a glass of {colour} colour?"
        questions.add(asked, key, TITLE, "bells", "bells", order)
    assert list(questions.repeats()) == [False, False, True]
