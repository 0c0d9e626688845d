from __future__ import annotations

import csv
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sagecraft.errors import UserError
from sagecraft.evaluation.tasks import Item, read_task


def test_arc_of_the_hub_and_of_its_authors(tmp_path: Path) -> None:
    texts, digits = ["red", "green", "blue"], ["1", "2", "3"]
    hub = {"id": "a", "question": "Colour?", "choices": {"text": texts, "label": digits}, "answerKey": "3"}
    pairs = [{"text": text, "label": label} for text, label in zip(texts, "ABC", strict=True)]
    packed = {"id": "a", "question": {"stem": "Colour?", "choices": pairs}, "answerKey": "C"}
    (tmp_path / "hub.jsonl").write_text(json.dumps(hub))
    (tmp_path / "packed.jsonl").write_text(json.dumps(packed))
    pq.write_table(pa.Table.from_pylist([hub]), tmp_path / "hub.parquet")  # type: ignore[no-untyped-call]
    found = [read_task(tmp_path / name).items for name in ("hub.jsonl", "packed.jsonl", "hub.parquet")]
    assert found[0] == found[1] == found[2]
    assert found[0][0].options == ("red", "green", "blue")
    assert found[0][0].answer == 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"answerKey": "E"}, r"line 1, column answerKey: 'E' is none of the labels A, B"),
        (
            {"choices": {"text": ["x", "y"], "label": ["A"]}},
            "line 1, column choices: .* as many of `text` as of `label`",
        ),
        ({"choices": ["x", "y"]}, "line 1, column choices: with an answerKey"),
    ],
)
def test_bad_arc(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    good = {"question": "q", "choices": {"text": ["x", "y"], "label": ["A", "B"]}, "answerKey": "A"}
    (tmp_path / "a.jsonl").write_text(json.dumps({**good, **changes}))
    with pytest.raises(UserError, match=message):
        read_task(tmp_path / "a.jsonl")


def test_mmlu_without_a_header(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('"Which, of these?",one,two,three,four,B\nNext?,1,2,3,4,D\n')
    items = read_task(tmp_path / "a.csv").items
    assert [item.answer for item in items] == [1, 3]
    assert items[0].question == "Which, of these?"
    assert items[0].options == ("one", "two", "three", "four")
    (tmp_path / "a.csv").write_text("q?,1,2,3,4,B\nNext?,1,2,3,4,E\n")
    with pytest.raises(UserError, match="line 2, column answer: 'E'"):
        read_task(tmp_path / "a.csv")


def test_a_header_that_ends_with_an_option_is_a_header(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,question,A,B,C,D\n1,Which?,one,two,three,four\n")
    task = read_task(tmp_path / "a.csv")
    assert not task.keyed
    assert task.items[0].options == ("one", "two", "three", "four")


def test_tabs(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text("question\tA\tB\tanswer\nOne, two?\tx, y\tz\tB\n")
    item = read_task(tmp_path / "a.tsv").items[0]
    assert (item.question, item.options, item.answer) == ("One, two?", ("x, y", "z"), 1)


def test_mmlu_folder_of_the_hub(tmp_path: Path) -> None:
    row = {"question": "Which?", "subject": "logic", "choices": ["a", "b", "c", "d"], "answer": 2}
    (tmp_path / "logic").mkdir()
    for split in ("dev", "test"):
        table = pa.Table.from_pylist([{**row, "question": split}])
        pq.write_table(table, tmp_path / f"logic/{split}-00000-of-00001.parquet")  # type: ignore[no-untyped-call]
    for folder in (tmp_path, tmp_path / "logic"):
        items = read_task(folder).items
        assert [(item.question, item.topic, item.answer) for item in items] == [("test", "logic", 2)]
    (tmp_path / "virology").mkdir()
    pq.write_table(table, tmp_path / "virology/test-00000-of-00001.parquet")  # type: ignore[no-untyped-call]
    with pytest.raises(UserError, match=r"several sets \(logic, virology\); name the folder of one"):
        read_task(tmp_path)


def save(folder: Path, *rows: dict[str, Any], name: str = "a.jsonl") -> list[Item]:
    (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    return read_task(folder / name).items


def test_mmlu_pro(tmp_path: Path) -> None:
    options = [f"option {n}" for n in range(10)]
    row = {"question_id": 70, "question": "q?", "options": options, "answer": "I", "answer_index": 8, "cot_content": ""}
    more = {"category": "business", "src": "x"}
    item = save(tmp_path, row | more)[0]
    assert (item.id, item.options, item.key, item.topic) == ("70", tuple(options), "I", "business")
    filled = {**row, "options": ["x", "y", "z", "N/A", "N/A"], "answer": "B", "answer_index": 1}
    assert save(tmp_path, filled)[0].options == ("x", "y", "z")
    assert save(tmp_path, {**filled, "answer": "D", "answer_index": 3})[0].options == ("x", "y", "z", "N/A")
    with pytest.raises(UserError, match=r"line 1, column answer: 'A', but the index beside it is 8"):
        save(tmp_path, {**row, "answer": "A"})
    pq.write_table(pa.Table.from_pylist([row]), tmp_path / "test-00000-of-00001.parquet")  # type: ignore[no-untyped-call]
    assert read_task(tmp_path).items[0].key == "I"


def test_options_as_an_object_of_letters(tmp_path: Path) -> None:
    row = {"question": "q?", "options": {"B": "y", "A": "x"}, "answer": "y", "answer_idx": "B"}
    item = save(tmp_path, row)[0]
    assert (item.options, item.key) == (("x", "y"), "B")
    with pytest.raises(UserError, match="column options: expected letters from A on, found A, C"):
        save(tmp_path, {**row, "options": {"A": "x", "C": "y"}})


GPQA = [
    "Record ID,Question,Correct Answer,Incorrect Answer 1,Incorrect Answer 2,Incorrect Answer 3,Explanation,"
    "High-level domain,Subdomain".split(","),
    *(
        [f"rec{n}", f"How {n}?\n", "right\n", "wrong", "false", f"bad {n}", "Since.", "Physics", "x"]
        for n in range(200)
    ),
]


def test_options_apart_stand_in_an_order_of_their_own(tmp_path: Path) -> None:
    def table(rows: list[list[str]]) -> list[Item]:
        with (tmp_path / "gpqa.csv").open("w", newline="") as file:
            csv.writer(file).writerows(rows)
        return read_task(tmp_path / "gpqa.csv").items

    items = table(GPQA)
    assert all(item.options[item.answer or 0] == "right" for item in items)
    assert (items[7].id, items[7].question, items[7].topic) == ("rec7", "How 7?", "Physics")
    assert items[7].extra["explanation"] == "Since."
    counts = Counter(item.key for item in items)
    assert all(30 <= counts[letter] <= 70 for letter in "ABCD"), counts
    # the same order whatever row it is in
    assert [item.options for item in table([GPQA[0], *reversed(GPQA[1:])])][::-1] == [item.options for item in items]


def test_sciq(tmp_path: Path) -> None:
    row = {"question": "q?", "distractor3": "z", "distractor1": "x", "distractor2": "y", "correct_answer": "w"}
    item = save(tmp_path, row | {"support": "Because."})[0]
    assert sorted(item.options) == ["w", "x", "y", "z"]
    assert item.options[item.answer or 0] == "w"
    assert item.extra["support"] == item.extra["explanation"] == "Because."


def test_openbookqa_of_the_hub(tmp_path: Path) -> None:
    choices = {"text": ["x", "y", "z", "w"], "label": ["A", "B", "C", "D"]}
    item = save(tmp_path, {"id": "7-980", "question_stem": "The sun is", "choices": choices, "answerKey": "D"})[0]
    assert (item.id, item.question, item.key) == ("7-980", "The sun is", "D")


def test_truthfulqa_with_one_right_answer(tmp_path: Path) -> None:
    texts = ["true", *(f"false {n}" for n in range(3))]
    hub = {"question": "q?", "mc1_targets": {"choices": texts, "labels": [1, 0, 0, 0]}, "mc2_targets": {"choices": []}}
    packed = {"question": "q?", "mc1_targets": {text: int(text == "true") for text in texts}}
    items = save(tmp_path, hub, packed)
    assert items[0].options == items[1].options
    assert items[0].options[items[0].answer or 0] == "true"
    many = ["true", *(f"false {n}" for n in range(12))]
    cut = save(tmp_path, {"question": "q?", "mc1_targets": {text: int(text == "true") for text in many}})[0]
    assert len(cut.options) == 10
    assert cut.options[cut.answer or 0] == "true"
    assert cut.extra["options_left_out"] == 3
    with pytest.raises(UserError, match="column mc1_targets: expected texts, each with a label, of which one is 1"):
        save(tmp_path, {"question": "q?", "mc1_targets": {"x": 1, "y": 1}})


def test_the_public_set_without_a_key(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('question,A,B,C,D\n"Which, of these?",one,two,three,four\n')
    task = read_task(tmp_path / "a.csv")
    assert not task.keyed
    assert task.items[0].options == ("one", "two", "three", "four")
