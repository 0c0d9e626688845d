from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sagecraft.errors import UserError
from sagecraft.evaluation.tasks import read_task


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
