"""What a teacher is told of a passage, and what of its reply is taken."""

from __future__ import annotations

import re
from typing import Any

import pytest

from sagecraft.corpus.documents import Document
from sagecraft.evaluation.loose_json import records
from sagecraft.literature.reading import Reading
from sagecraft.synthesis.candidate import Candidate
from sagecraft.synthesis.teacher.config import TeacherConfig
from sagecraft.synthesis.teacher.questions import ask_about

TEXT = (
    "# Abstract\n\nBells of Erfurt are old.\n\n# Towers\n\nThe great bell of Erfurt hangs high. Its tower is of oak.\n"
)
READING = Reading(Document(id="bell", text=TEXT, title="On bells"), 0)
CONFIG = TeacherConfig(model="local:m", kinds=("cause", "number", "method"))
GOOD = {
    "kind": "cause",
    "question": "Why does the bell hang?",
    "answer": "The great bell hangs high.",
    "sentences": [1],
}


def read(value: dict[str, Any], config: TeacherConfig = CONFIG) -> Candidate | str:
    return ask_about(config, 0, READING.passages[1], READING.summary, 0).read(value)


def told(number: int, attempt: int = 0) -> str:
    *example, turn = ask_about(CONFIG, 0, READING.passages[number], READING.summary, attempt).turns
    assert [one["role"] for one in example] == ["user", "assistant"]
    return turn["content"]


def test_a_request_tells_where_its_passage_belongs() -> None:
    assert "The source is “On bells”, section “Abstract”.\nIts sentences, numbered:\n\n[1] Bells of" in told(0)
    assert "section “Towers”.\nWhat it is about: Bells of Erfurt are old.\nIts sentences, numbered:" in told(1)
    assert "[1] The great bell of Erfurt hangs high.\n[2] Its tower is of oak.\n" in told(1)


def test_what_is_asked_anew_is_asked_in_other_words() -> None:
    assert len({told(1, attempt) for attempt in range(5)}) == 5


def test_sentences_are_named_by_their_place_in_the_document() -> None:
    first = READING.passages[1].sentences[0].position
    for written, positions in (([1, 2], (first, first + 1)), ("[2], 1", (first, first + 1)), (2, (first + 1,))):
        found = read({**GOOD, "sentences": written})
        assert isinstance(found, Candidate)
        assert found.positions == positions
        assert found.scope == ""
    named = read({**GOOD, "question": "In the context of “On bells”, why does the bell hang?"})
    assert isinstance(named, Candidate)
    assert named.scope == "bell"


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"kind": "poem"}, "kind: 'poem' is none of"),
        ({"sentences": [0]}, "sentences: there are only the numbers 1 to 2"),
        ({"sentences": [1, 3]}, "sentences: there are only the numbers 1 to 2"),
        ({"sentences": []}, "sentences: Tuple should have at least 1 item"),
        ({"sentences": "none"}, "sentences: Value error, give numbers alone"),
        ({"question": "Why?"}, "question: String should have at least 10 characters"),
        ({"answer": None}, "answer: Input should be a valid string"),
        ({"question": "<question>"}, "it repeats the form"),
        ({"question": "How something is done or measured?"}, "it repeats what a kind asks"),
        ({"question": "Why is bronze harder than copper?"}, "it repeats the example"),
    ],
)
def test_what_is_wrong_is_said(changes: dict[str, Any], fault: str) -> None:
    found = read({**GOOD, **changes})
    assert isinstance(found, str)
    assert found.startswith(fault)


def test_where_one_kind_is_asked_for_it_need_not_be_named() -> None:
    found = read({**GOOD, "kind": "?"}, CONFIG.model_copy(update={"kinds": ("method",)}))
    assert isinstance(found, Candidate)
    assert found.kind == "method"


@pytest.mark.parametrize(
    "text",
    [
        '{"questions": [{"question": "Q1", "n": 1}, {"question": "Q2", "n": 2}]}',
        'Sure!\n```json\n[{"question": "Q1", "n": 1}, {"question": "Q2", "n": 2}]\n```',
        '{"questions": [{"question": "Q1", "n": 1}, {"question": "Q2", "n": 2}, {"question": "Q3',
        '{"questions": [{"question": "Q1", "n": 1,}, {"Question": "Q2", n: 2}]',
        "{'question': 'Q1', 'n': 1} and {'question': 'Q2', 'n': 2}",
    ],
)
def test_objects_are_found_wherever_they_stand(text: str) -> None:
    assert [(row["question"], int(row["n"])) for row in records(text, "question", cut=True)] == [("Q1", 1), ("Q2", 2)]


def test_hostile_replies_take_bounded_time() -> None:
    for text in ("{" * 64_000, '{"question": [' * 5_000, '{"a":{"b":' * 6_000, "[" * 64_000):
        assert records(text, "question", cut=True) == []


def test_the_example_would_be_taken() -> None:
    ask = ask_about(CONFIG, 0, READING.passages[1], READING.summary, 0)
    made = records(ask.turns[1]["content"], "question")
    assert [row["kind"] for row in made] == ["cause", "number"]
    for row in made:
        assert re.search(rf"^\[{row['sentences'][0]}\] ", ask.turns[0]["content"], re.MULTILINE)
        found = ask.read({**row, "question": f"Tell me: {row['question']}", "sentences": [1]})
        assert isinstance(found, Candidate)


def test_a_question_about_the_example_is_none_about_the_sentences() -> None:
    about = {**GOOD, "question": "Why would the great bell of Erfurt become a star?"}
    assert isinstance(read(about), Candidate)  # its passage speaks of Erfurt
    text = "# Stars\n\nStars burn hydrogen in their cores.\n"
    other = Reading(Document(id="star", text=text, title="On stars"), 0)
    assert ask_about(CONFIG, 0, other.passages[0], other.summary, 0).read(about) == (
        "it speaks of the example instead of the sentences"
    )
