from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagecraft.evaluation.extract import extract

OPTIONS = ("ice", "fire", "about 37 seconds", "steam")


@pytest.mark.parametrize(
    ("text", "letter", "stage"),
    [
        ('{"answer": "B", "explanation": "hot"}', "B", "json"),
        ('```json\n{"Answer": "b"}\n```', "B", "json"),
        ('{"answer": "B. fire"}', "B", "json"),
        ('{"answer": "(C)"}', "C", "json"),
        ('{"answer": "About 37 Seconds"}', "C", "json"),
        ('first {"answer": "A"} no, {"answer": "D"}', "D", "json"),
        ('{"answer": "B", "explanation": "it is cut off he', "B", "json"),
        ("{'answer': 'B'}", "B", "json"),
        ("The answer is B.", "B", "phrase"),
        ("**Answer:** (C)", "C", "phrase"),
        ("The answer is A? No, the answer is D because it is hot", "D", "phrase"),
        ("The correct answer is option A because ice melts", "A", "phrase"),
        ("The answer is: **B**", "B", "phrase"),
        ("Answer: A\n\nExplanation: ice melts.", "A", "phrase"),
        ("**Answer:** A\nIce it is", "A", "phrase"),
        ("The answer is A ice, which melts", "A", "phrase"),
        ("The correct option is B.", "B", "phrase"),
        ("B", "B", "letter"),
        ("**C**", "C", "letter"),
        ("(d)", "D", "letter"),
        ("B. fire\nsince it burns", "B", "letter"),
        ("Let me see.\nIt burns.\nC)", "C", "letter"),
        ("The answer is A star of class G", None, "none"),
        ("the answer is a matter of taste", None, "none"),
        ("a", None, "none"),
        ("I do not know", None, "none"),
        ('{"answer": "A star"}', None, "none"),
        ('{"answer": 1}', None, "none"),
        ("The answer is E.", None, "none"),
        ('{"answer": "E"} but the answer is B', "B", "phrase"),
        ("", None, "none"),
    ],
)
def test_stages(text: str, letter: str | None, stage: str) -> None:
    found = extract(text, OPTIONS)
    assert (found.letter, found.stage) == (letter, stage)


def test_a_lone_letter_in_a_cut_reply_is_no_answer() -> None:
    assert extract("First I look at\nA", OPTIONS, cut=True).letter is None
    assert extract('{"answer": "B", "expl', OPTIONS, cut=True).letter == "B"


@pytest.mark.parametrize(
    "text",
    [
        "[" * 1_000_000,
        '{"a":' * 200_000,
        "{" * 1_000_000,
        "answer " + " " * 1_000_000,
        "answer: " * 130_000,
        '"answer"' * 130_000,
        '{"answer": ' + "9" * 1_000_000 + "}",
        "\x00\u202e<script>alert(1)</script>" * 30_000,
        "(" * 1_000_000,
        "answer is " + "(*_" * 300_000,
        "\n" * 1_000_000,
    ],
)
def test_hostile_text_takes_bounded_time(text: str) -> None:
    assert extract(text, OPTIONS).letter is None


@given(st.text(max_size=400), st.booleans())
def test_any_text_gives_a_letter_of_the_options_or_none(text: str, cut: bool) -> None:
    found = extract(text, OPTIONS, cut)
    assert found.letter in (None, "A", "B", "C", "D")
    assert (found.letter is None) == (found.stage == "none")


@pytest.mark.parametrize(
    "form", ["Answer: {}\n\nExplanation: so it is", "The answer is {}\nIt is hot", "answer: {} since"]
)
def test_no_letter_is_harder_to_read_than_another(form: str) -> None:
    assert [extract(form.format(letter), OPTIONS).letter for letter in "ABCD"] == list("ABCD")
