"""What strong models write when they are asked for objects, behind the endpoint protocol, and what must come of each."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from endpoints import Act, chat_server, deepseek, openai
from sagecraft.corpus.documents import Document
from sagecraft.literature.reading import Reading
from sagecraft.synthesis.grading.rules import grade
from sagecraft.synthesis.teacher.config import TeacherConfig
from sagecraft.synthesis.teacher.questions import SCHEMA, ask_about
from sagecraft.teaching.asking import Answer, ask_all
from sagecraft.teaching.writers import open_writer

SENTENCES = (
    "A bell is a hollow vessel of bronze that rings when it is struck.",
    r"The pitch $\nu$ of a bell grows as $\nu \propto \frac{t}{d^{2}}$ with the thickness $t$ and the diameter $d$.",
    "The largest bell of Minden has a mass of 9.2 tonnes and a diameter of 2.56 m.",
    "Founders add tin to copper because tin atoms hinder the layers of the crystal from sliding.",
)

DEFINED = {
    "kind": "definition",
    "question": "What is a bell?",
    "focus": "a bell",
    "answer": "A bell is a hollow vessel of bronze that rings when it is struck.",
    "sentences": [1],
}
WEIGHED = {
    "kind": "number",
    "question": "What is the mass of the largest bell of Minden?",
    "focus": "its mass",
    "answer": "The largest bell of Minden has a mass of 9.2 tonnes.",
    "sentences": [3],
}
ALLOYED = {
    "kind": "cause",
    "question": "Why do founders add tin to copper?",
    "focus": "tin",
    "answer": "Founders add tin to copper because tin atoms hinder the layers of the crystal from sliding.",
    "sentences": [4],
}
PITCHED = {
    "kind": "relation",
    "question": r"How does the pitch $\nu$ of a bell depend on its thickness $t$ and diameter $d$?",
    "focus": "the pitch",
    "answer": r"The pitch $\nu$ of a bell grows as $\nu \propto \frac{t}{d^{2}}$ with the thickness $t$ and the diameter $d$.",
    "sentences": [2],
}


def put(row: dict[str, Any], **fields: Any) -> str:
    return json.dumps({**row, **fields}, ensure_ascii=False)


def all_of(*rows: str) -> str:
    return '{"questions": [' + ", ".join(rows) + "]}"


def raw(text: str) -> str:
    """The formulas of a text as models forget to escape them."""
    return text.replace("\\\\", "\\")


D, W, A, P = put(DEFINED), put(WEIGHED), put(ALLOYED), put(PITCHED)
ONE, BOTH = all_of(D), all_of(D, W)
KEPT_D, KEPT_W, KEPT_A, KEPT_P = (f"{row['kind']} {row['sentences']}" for row in (DEFINED, WEIGHED, ALLOYED, PITCHED))

#: name → reply, and what comes of it: "kind [sentences]" of what is taught, then " reason" of what the rules drop; or the fault.
TABLE: dict[str, tuple[Any, list[str] | str]] = {
    "plain": (BOTH, [KEPT_D, KEPT_W]),
    "fenced": (f"```json\n{BOTH}\n```", [KEPT_D, KEPT_W]),
    "fenced without a name": (f"```\n{BOTH}\n```", [KEPT_D, KEPT_W]),
    "fence that is not closed": (f"```json\n{ONE}", [KEPT_D]),
    "prose around it": (f"Certainly! Here are the questions you asked for:\n\n{BOTH}\n\nLet me know if …", [KEPT_D, KEPT_W]),
    "braces in the prose": (f"I follow the form {{kind, question}} and use {{braces}}:\n{ONE}", [KEPT_D]),
    "thought in tags": (f"<think>The form is {{\"questions\": []}}. I take a bell.</think>\n{ONE}", [KEPT_D]),
    "thought apart": (deepseek(ONE, "I take a bell."), [KEPT_D]),
    "draft in the thought": (f"<think>Perhaps {W}</think>{ONE}", [KEPT_D]),
    "list at the top": (f"[{D}, {W}]", [KEPT_D, KEPT_W]),
    "two objects": (f"{D}\n{W}", [KEPT_D, KEPT_W]),
    "two whole replies": (f"{ONE}\n\n{all_of(W)}", [KEPT_D, KEPT_W]),
    "one object": (W, [KEPT_W]),
    "numbered objects": (f"1. {D}\n2. {W}", [KEPT_D, KEPT_W]),
    "by number": (f'{{"1": {D}, "2": {W}}}', [KEPT_D, KEPT_W]),
    "another wrapper": (f'{{"result": {{"qa_pairs": [{D}, {W}]}}}}', [KEPT_D, KEPT_W]),
    "numbered list in prose": ("1. **What is a bell?** A bell is a hollow vessel.\n2. **How heavy is it?** 9.2 tonnes.", "it holds no object"),
    "trailing commas": ('{"questions": [' + D[:-1] + ",}, " + W[:-1] + ",},],}", [KEPT_D, KEPT_W]),
    "comments": ('{"questions": [ // two\n' + D + ", " + W + "]}", [KEPT_D, KEPT_W]),
    "missing comma": (all_of(f"{D} {W}"), [KEPT_D, KEPT_W]),
    "missing bracket": ('{"questions": [' + D + ", " + W, [KEPT_D, KEPT_W]),
    "single quotes": (str({"questions": [WEIGHED]}), [KEPT_W]),
    "keys without quotes": (re.sub(r'"(kind|question|focus|answer|sentences)":', r"\1:", D), [KEPT_D]),
    "keys in capitals": (D.replace('"question"', '"Question"').replace('"answer"', '"Answer"'), [KEPT_D]),
    "curly quotes": (re.sub(r'"([^"]*)"', r"“\1”", D), [KEPT_D]),
    "line breaks in texts": (all_of(D.replace("hollow vessel", "hollow\nvessel")), [KEPT_D]),
    "quotes in texts": (put(DEFINED, question="What is meant by a bell?", answer='A "bell" is a hollow vessel of bronze.').replace('\\"', '"'), [KEPT_D]),
    "escaped": (json.dumps(json.loads(put(DEFINED, question="What is a bell – of bronze?"))), [KEPT_D]),
    "escapes in broken JSON": (json.dumps(json.loads(put(DEFINED, question="What is a bell – of bronze?")))[:-1] + ",}", [KEPT_D]),
    "formulas escaped": (P, [KEPT_P]),
    "formulas as they stand": (raw(P), [KEPT_P]),
    "formulas as they stand, broken": (raw(P)[:-1] + ",}", [KEPT_P]),
    "formulas escaped twice": (P.replace("\\\\", "\\\\\\\\"), [KEPT_P]),
    "formulas in round brackets": (re.sub(r"\$([^$]+)\$", r"\\\\( \1 \\\\)", P), [KEPT_P]),
    "formulas in round brackets as they stand": (re.sub(r"\$([^$]+)\$", r"\\( \1 \\)", raw(P)), [KEPT_P]),
    "many formulas": (all_of(*(put(PITCHED, focus=f"{n} " + "$x^{2}_{3}$ " * 12) for n in range(6))), [KEPT_P] * 6),
    "unicode": (put(DEFINED, question="What is a bell — hollow, of bronze, 100 % “struck”?", answer=f"{DEFINED['answer']}\u200b"), [KEPT_D]),
    "bold": (put(DEFINED, answer="A **bell** is a hollow vessel of bronze that rings when it is struck."), [KEPT_D]),
    "marks of sentences": (put(WEIGHED, answer="The largest bell of Minden has a mass of 9.2 tonnes [3]."), [KEPT_W]),
    "sentences as text": (put(WEIGHED, sentences="[1], 3"), ["number [1, 3]"]),
    "sentences as texts": (put(WEIGHED, sentences=["[1]", "sentence 3"]), ["number [1, 3]"]),
    "sentences as a range": (put(WEIGHED, sentences="1-3"), ["number [1, 2, 3]"]),
    "sentences quoted": (put(WEIGHED, sentences=[SENTENCES[2]]), [KEPT_W]),
    "sentences quoted in part": (put(WEIGHED, sentences=["The largest bell of Minden has a mass"]), [KEPT_W]),
    "sentences quoted with their numbers": (put(WEIGHED, sentences=[f"[3] {SENTENCES[2]}"]), [KEPT_W]),
    "sentences as objects": (put(WEIGHED, sentences=[{"number": 3}]), [KEPT_W]),
    "sentence that is none": (put(WEIGHED, sentences=[9]), "sentences: there are only the numbers 1 to 4"),
    "sentence 0": (put(WEIGHED, sentences=[0]), "sentences: there are only the numbers 1 to 4"),
    "wrong sentence": (put(WEIGHED, sentences=[1]), ["number [1] number-not-in-source"]),
    "quotation that is none": (put(WEIGHED, sentences=["The bell has 9.2 tonnes."]), "sentences: Value error, give numbers alone, such as [1, 3]"),
    "no sentences": (put(WEIGHED, sentences=[]), "sentences: Tuple should have at least 1 item"),
    "kind that was not offered": (put(ALLOYED, kind="Cause"), [KEPT_A]),
    "kind by another name": (put(ALLOYED, kind="Explanation"), [KEPT_A]),
    "kind with another spelling": (put(ALLOYED, kind="what_if"), ["what-if [4]"]),
    "two kinds": (put(ALLOYED, kind="cause/relation"), [KEPT_A]),
    "kind that is none": (put(ALLOYED, kind="haiku"), "kind: 'haiku' is none of"),
    "one good and one bad": (all_of(put(ALLOYED, kind="haiku"), W), [KEPT_W]),
    "more than the source says": (put(WEIGHED, answer="The largest bell of Minden, cast by monks, has a mass of 9.2 tonnes."), ["number [3] word-not-in-source"]),
    "another number": (put(WEIGHED, answer="The largest bell of Minden has a mass of 9200 kg."), ["number [3] number-not-in-source"]),
    "according to the passage": (put(WEIGHED, question="According to the passage, what is the mass of the largest bell of Minden?"), [KEPT_W]),
    "based on the given text": (put(WEIGHED, answer="Based on the given text, the largest bell of Minden has a mass of 9.2 tonnes."), [KEPT_W]),
    "as stated in sentence 3": (put(WEIGHED, answer="The largest bell of Minden has a mass of 9.2 tonnes, as stated in sentence 3."), [KEPT_W]),
    "what the passage says": (put(WEIGHED, question="What mass does the passage give for the largest bell of Minden?"), ["number [3] leak"]),
    "what the text says": (put(WEIGHED, question="What mass does the text give for the largest bell of Minden?"), ["number [3] leak"]),
    "what sentence 3 says": (put(WEIGHED, question="Which mass is named in sentence 3 for the bell of Minden?"), ["number [3] leak"]),
    "as far as the sentences say": (put(ALLOYED, question="Why is tin added to copper, as far as the sentences say?"), ["cause [4] leak"]),
    "what this study says": (put(WEIGHED, question="What is the mass of the largest bell in this study?"), ["number [3] leak"]),
    "question without an object": (put(WEIGHED, question="What is its mass?"), ["number [3] pronoun"]),
    "refusal in words": ("I'm sorry, but I can't help with that.", "it holds no object"),
    "refusal by the endpoint": (openai("No.", finish="content_filter"), "it was refused"),
    "nothing": ("", "it is empty"),
    "an empty list": ('{"questions": []}', "it holds no object"),
    "the form": ('{"questions": [{"kind": "cause", "question": "<question>", "focus": "", "answer": "<answer>", "sentences": [1]}]}', "answer: String should"),
    "the example": (put(DEFINED, question="Why is bronze harder than copper?"), "it repeats the example"),
    "cut off in the second": (openai(BOTH[:-60], finish="length"), [KEPT_D]),
    "cut off in the first": (openai(ONE[:-40], finish="length"), "it was cut off"),
    "cut off in a formula": (openai(all_of(W, P)[:-70], finish="length"), [KEPT_W]),
    "answer of half a sentence": (put(WEIGHED, answer="9.2 tonnes"), ["number [3] answer-length"]),
    "list in the answer": (put(WEIGHED, answer="- a mass of 9.2 tonnes\n- a diameter of 2.56 m"), ["number [3] markup"]),
    "schema repeated": ('{"type": "object", "properties": {"questions": {"type": "array"}}}', "it holds no object"),
}  # fmt: skip


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Answer[Any], Reading]]:
    """Every row of the table asked at once, each about a document of its own."""
    config = TeacherConfig(model="local:wise", thought_tokens=0)

    def otherwise(body: dict[str, Any], before: int) -> Act:
        name = re.findall(r"“On bells: ([^”]+)”", body["messages"][-1]["content"])[0]
        reply = TABLE[name][0]
        return Act(openai(reply) if isinstance(reply, str) else reply)

    readings = {
        name: Reading(Document(id=name, text="# Bells\n\n" + " ".join(SENTENCES) + "\n", title=f"On bells: {name}"), 0)
        for name in TABLE
    }
    asks = [ask_about(config, 0, reading.passages[0], reading.summary, 0) for reading in readings.values()]
    with chat_server(otherwise) as server:
        here = config.model_copy(update={"base_url": server.url})
        with open_writer(here, None, tmp_path_factory.mktemp("replies"), "table") as writer:
            found = ask_all(writer, asks, SCHEMA, 0, "table")
    return {name: (answer, readings[name]) for name, answer in zip(TABLE, found, strict=True)}


@pytest.mark.parametrize("name", TABLE)
def test_what_comes_of_a_reply(name: str, answers: dict[str, tuple[Answer[Any], Reading]]) -> None:
    answer, reading = answers[name]
    expected = TABLE[name][1]
    if isinstance(expected, str):
        assert answer.failed
        assert answer.fault is not None
        assert answer.fault.startswith(expected)
        return
    sentences = {sentence.position: n for n, sentence in enumerate(reading.passages[0].sentences, start=1)}
    assert len(sentences) == len(SENTENCES)
    told = []
    for candidate in answer.objects:
        ground = " ".join(SENTENCES[sentences[position] - 1] for position in candidate.positions)
        reason = candidate.drop or grade(candidate, ground, reading.document.title)
        numbers = [sentences[position] for position in candidate.positions]
        told.append(f"{candidate.kind} {numbers}" + (f" {reason}" if reason else ""))
        assert not re.search(r"[\t\r\n\f\b]|\*\*|\\\(", f"{candidate.question} {candidate.answer}")
    assert told == expected
    if name.startswith(("formulas", "many")):
        assert answer.objects[0].question == PITCHED["question"]
        assert answer.objects[0].answer == PITCHED["answer"]


def test_a_graded_answer_rests_on_the_sentence_of_its_figure(tmp_path: Path) -> None:
    reading = Reading(Document(id="b", text="# Bells\n\n" + " ".join(SENTENCES) + "\n", title="On bells"), 0)
    config = TeacherConfig(model="local:wise")
    for is_graded, numbers in ((False, [0]), (True, [0, 2])):
        ask = ask_about(config, 0, reading.passages[0], reading.summary, 0, is_graded)
        found = ask.read({**WEIGHED, "sentences": [1]})
        assert not isinstance(found, str)
        first = reading.passages[0].sentences[0].position
        assert [position - first for position in found.positions] == numbers
