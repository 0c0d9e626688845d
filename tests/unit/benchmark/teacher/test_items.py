"""Items as models write them: what is read, what is wrong, and what rules drop."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from sagecraft.benchmark.teacher import questions
from sagecraft.benchmark.teacher.checks import why_not
from sagecraft.benchmark.teacher.questions import Written, ask_about, read_item
from sagecraft.corpus.documents import Document
from sagecraft.evaluation.loose_json import records
from sagecraft.literature.passages import Passage, passages_of

TEXT = (
    "# Looms\n\nThe loom of Gera was built of oak in 1712 and weighs 640 kilograms. "
    "Its shuttle is thrown by hand, because the cloth of Gera is too narrow for a spring. "
    "A dry winter makes the warp of the loom brittle.\n"
)
PASSAGE = next(iter(passages_of(Document(id="loom", text=TEXT, title="On looms"))))
GOOD: dict[str, Any] = {
    "question": "Why is the shuttle of the loom of Gera thrown by hand?",
    "options": {
        "A": "The spring is too weak for its wool",
        "B": "The cloth is too narrow for a spring",
        "C": "The frame is too short for a pedal",
        "D": "The warp is too loose for a wheel",
    },
    "answer": "B",
    "explanation": "The cloth is too narrow for a spring to throw the shuttle.",
    "sentences": [2],
}


def read(passage: Passage = PASSAGE, **changes: Any) -> Written | str:
    return read_item(passage, {**GOOD, **changes})


def written(**changes: Any) -> Written:
    found = read(**changes)
    assert isinstance(found, Written), found
    return found


def test_a_good_item_is_read_and_passes() -> None:
    item = written()
    assert item.options[0] == "The cloth is too narrow for a spring"
    assert item.support == "Its shuttle is thrown by hand, because the cloth of Gera is too narrow for a spring."
    assert why_not(item) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"answer": "b"},
        {"answer": "(B)"},
        {"answer": "B. The cloth is too narrow for a spring"},
        {"answer": "The cloth is too narrow for a spring."},
        {"options": list(GOOD["options"].values())},
        {"options": [f"{letter}. {text}" for letter, text in GOOD["options"].items()]},
        {"options": [{"letter": letter, "text": text} for letter, text in GOOD["options"].items()]},
        {"sentences": "[2]"},
    ],
)
def test_items_are_read_as_models_write_them(changes: dict[str, Any]) -> None:
    assert written(**changes) == written()


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"answer": "E"}, "none of the letters"),
        ({"answer": "B. The warp is too loose for a wheel"}, "none of the letters"),
        ({"options": ["one", "two", "three"]}, "options"),
        ({"options": {"A": "oak", "B": "Oak.", "C": "elm", "D": "ash"}}, "say the same"),
        ({"options": ["A", "B", "C", "D"]}, "letters without their texts"),
        ({"sentences": [4]}, "only the numbers 1 to 3"),
        ({"sentences": []}, "sentences"),
        ({"question": "<question>"}, "question"),
        ({"explanation": "<why>, as the form has it"}, None),
        ({"question": "Why is bronze harder than copper?"}, "repeats the example"),
        ({"question": "Why was the loom of Erfurt built of oak?"}, "speaks of the example"),
    ],
)
def test_what_is_wrong_is_said(changes: dict[str, Any], fault: str | None) -> None:
    found = read(**changes)
    if fault is None:
        assert isinstance(found, Written)
    else:
        assert isinstance(found, str)
        assert fault in found


def units(*texts: str) -> dict[str, Any]:
    made = dict(zip("ABCD", texts, strict=True))
    return {
        "question": "How much does the loom of Gera weigh?",
        "options": made,
        "answer": "A",
        "explanation": "The loom weighs 640 kilograms.",
        "sentences": [1],
    }


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (units("640 kilograms", "480 kilograms", "870 kilograms", "310 kilograms"), None),
        (units("About 640 kg", "About 480 kg", "About 870 kg", "About 310 kg"), None),
        (units("640 kilograms", "480 grams", "870 tonnes", "310 grams"), "unlike-options"),
        ({**units("$m$", "$n$", "$p$", "$q$"), "explanation": "It is so by the loom."}, "key-not-in-support"),
        (units("640 kilograms", "very little", "870 kilograms", "310 kilograms"), "unlike-options"),
        (units("650 kilograms", "480 kilograms", "870 kilograms", "310 kilograms"), "key-not-in-support"),
        ({**units("640 kilograms", "480 kilograms", "870 kilograms", "310 kilograms"), "sentences": [3]}, "key-not-in-support"),
        ({"question": "Why is the shuttle thrown by hand, according to the passage?"}, "points-outside"),
        ({"question": "Why is the shuttle in Figure 3 thrown by hand in Gera?"}, "points-outside"),
        ({"question": "Why is it thrown by hand in the town?"}, "not-alone"),
        ({"question": "Why do you throw the shuttle of the loom of Gera?"}, "not-alone"),
        ({"question": "The shuttle of the loom of Gera is thrown by hand."}, "no-question"),
        ({"question": "What is done in Gera where the cloth is too narrow for a spring?"}, "question-shows-key"),
        ({"question": "The shuttle of the loom of Gera is thrown with a:"}, "grammar-hint"),
        ({"question": "Why was the shuttle of Gera thrown by hand in 1713?"}, "number-not-in-passage"),
        (
            {"options": {**GOOD["options"], "B": "The cloth of Gera is too narrow for a spring, so that a hand has to throw the shuttle"}},
            "unlike-options",
        ),
        ({"options": {**GOOD["options"], "D": "All of the above, taken together"}}, "option-of-options"),
        ({"answer": "D"}, "key-not-in-support"),
    ],
)  # fmt: skip
def test_rules_drop_what_gives_itself_away(changes: dict[str, Any], reason: str | None) -> None:
    assert why_not(written(**changes)) == reason


def test_the_example_would_be_taken() -> None:
    made = yaml.safe_load((Path(questions.__file__).parent / "prompts" / "example.yaml").read_text(encoding="utf-8"))
    text = f"# {made['title']}\n\n{' '.join(made['sentences'])}"
    passage = next(iter(passages_of(Document(id="bells", text=text, title=made["title"]))))
    for item in made["reply"]["items"]:
        found = read_item(passage, {**item, "question": item["question"].replace("?", " at all?")})
        assert isinstance(found, Written)
        assert why_not(found) is None
        assert read_item(passage, item) == "it repeats the example instead of asking about the sentences"


def test_a_request_tells_where_its_passage_belongs_and_asks_anew_in_other_words() -> None:
    first, again = (ask_about(PASSAGE, "It is about looms.", 2, attempt).turns[-1]["content"] for attempt in (0, 1))
    assert "The source is “On looms”, section “Looms”.\nWhat it is about: It is about looms." in first
    assert "[3] A dry winter" in first
    assert "Write 2 questions" in first
    assert again == first + "\n\n(This is attempt 2; keep to the form.)"


@pytest.mark.parametrize(
    "text",
    [
        json.dumps({"items": [GOOD]}),
        f"Sure!\n```json\n[{json.dumps(GOOD)}]\n```",
        json.dumps({"items": [GOOD, GOOD]})[:-40],
    ],
)
def test_objects_are_found_wherever_they_stand(text: str) -> None:
    found = [read_item(PASSAGE, value) for value in records(text, "question", False)]
    assert found[0] == written()
