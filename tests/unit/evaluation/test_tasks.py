from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sagecraft.errors import UserError
from sagecraft.evaluation.tasks import Item, choose, read_task


def save(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def row(**changes: Any) -> dict[str, Any]:
    return {"question": "Which is hot?", "A": "ice", "B": "fire", "answer": "B", **changes}


def jsonl(path: Path, *rows: dict[str, Any]) -> Path:
    return save(path, "\n".join(json.dumps(r) for r in rows) + "\n")


def test_all_forms_give_the_same_items(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(
        pa.Table.from_pylist([{"question": "Which is hot?", "choices": ["ice", "fire"], "answer": 1}]),
        tmp_path / "a.parquet",
    )
    arc = {
        "instruction": "Please choose the correct answer to the question: Which is hot?\n\n"
        "Answer1: ice Answer2: fire\n\nAnswer format: answer1/answer2",
        "answer": "answer2",
    }
    files = [
        tmp_path / "a.parquet",
        jsonl(tmp_path / "a.jsonl", row()),
        save(tmp_path / "bom.jsonl", "\ufeff" + json.dumps(row()) + "\n"),
        save(tmp_path / "bom.json", "\ufeff" + json.dumps([row()])),
        save(tmp_path / "a.csv", "question,A,B,answer\nWhich is hot?,ice,fire,b\n"),
        save(tmp_path / "mmlu.csv", "\ufeffquestion,choice0,choice1,answer\nWhich is hot?,ice,fire,1\n"),
        save(tmp_path / "list.csv", 'Question,choices,answer\nWhich is hot?,"[""ice"", ""fire""]",1.0\n'),
        save(tmp_path / "arc.json", json.dumps([arc])),
    ]
    for file in files:
        task = read_task(file)
        assert task.keyed
        assert [(i.question, i.options, i.answer) for i in task.items] == [("Which is hot?", ("ice", "fire"), 1)], file


def test_further_columns_are_kept(tmp_path: Path) -> None:
    item = read_task(
        jsonl(tmp_path / "a.jsonl", row(id="x", subject="heat", kind="taught", metadata={"page": 3}))
    ).items[0]
    assert (item.id, item.topic, item.kind, item.extra) == ("x", "heat", "taught", {"metadata": {"page": 3}})


def test_csv_line_numbers_count_lines_not_rows(tmp_path: Path) -> None:
    file = save(tmp_path / "a.csv", 'question,A,B,answer\n"Which\nis hot?",ice,fire,B\nNext?,1,2,E\n')
    with pytest.raises(
        UserError, match=r"a\.csv: line 4, column answer: 'E' is neither a letter A to B nor an index 0 to 1"
    ):
        read_task(file)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"answer": 2}, "column answer: 2 is neither"),
        ({"answer": True}, "column answer: True is neither"),
        ({"answer": float("inf")}, "column answer: inf is neither"),
        ({"answer": "fire"}, "column answer: 'fire' is neither"),
        ({"question": " "}, "column question: empty"),
        ({"question": ["x"]}, "column question: expected a text, found list"),
        ({"A": None}, "column A: empty"),
        ({"B": ""}, "1 options, 2 to 10 are needed"),
        ({"D": "steam"}, "column C: missing"),
        ({"choices": "ice"}, "column choices: not valid JSON"),
        ({"choices": [str(n) for n in range(11)]}, "11 options"),
        ({"answer": None}, "column answer: has none while earlier rows have"),
        ({"id": "00001"}, "column id: '00001' was given at"),
        ({"A": "x" * 200_000}, "column A: 200,000 characters"),
        ({"question": "half \ud83d a face"}, "column question: holds half a character"),
    ],
)
def test_bad_rows_name_file_line_and_column(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    file = jsonl(tmp_path / "a.jsonl", row(), row(**changes))
    with pytest.raises(UserError) as caught:
        read_task(file)
    assert str(caught.value).startswith(f"{file}: line 2")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.csv", "Which is hot?,ice,fire,B\n2?,a,b,A\n", "line 2, column question: missing"),
        ("a.csv", "question,A,A\n", "column A: stands there twice"),
        ("a.csv", "question,A,B\nx,y\n", "line 2: 2 columns, the header has 3"),
        ("a.csv", 'question,A,B\n"x,y,z\n', "not valid CSV"),
        ("a.csv", "", "no questions in it"),
        ("a.jsonl", "{oops\n", "line 1: not valid JSON"),
        ("a.jsonl", "[" * 100_000, "line 1: not valid JSON"),
        ("a.jsonl", "[1]\n", "expected a JSON object, found list"),
        ("a.json", '[{"instruction": "what?"}]', "entry 1, column instruction"),
        ("a.json", "{}", "expected a JSON list"),
        ("a.parquet", "no parquet", "not a Parquet file"),
        ("a.txt", "x", "unknown kind of file"),
    ],
)
def test_bad_files(tmp_path: Path, name: str, text: str, message: str) -> None:
    with pytest.raises(UserError, match="a") as caught:
        read_task(save(tmp_path / name, text))
    assert message in str(caught.value)


def test_not_utf8(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b'{"question": "\xff"}\n')
    with pytest.raises(UserError, match="not UTF-8"):
        read_task(tmp_path / "a.jsonl")


def test_a_set_without_key(tmp_path: Path) -> None:
    task = read_task(jsonl(tmp_path / "a.jsonl", row(answer=None), row(answer="")))
    assert not task.keyed
    assert [item.answer for item in task.items] == [None, None]


def test_a_folder_of_questions(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        jsonl(tmp_path / name / "questions.jsonl", row(id=name))
    task = read_task(tmp_path)
    assert [item.id for item in task.items] == ["one", "two"]
    with pytest.raises(UserError, match=r"neither items\.jsonl, nor questions"):
        read_task(tmp_path.joinpath("empty").mkdir() or tmp_path / "empty")


def test_choice_is_keyed_and_keeps_the_order() -> None:
    items = [Item(f"{n:03}", f"q{n}", ("a", "b"), 0) for n in range(100)]
    some = choose(items, 10, seed=1)
    assert [i.id for i in some] == sorted(i.id for i in some)
    assert choose(items, 10, seed=1) == some != choose(items, 10, seed=2)
    assert some != items[:10]
    assert {i.id for i in some} <= {i.id for i in choose(items, 20, seed=1)}


def test_real_sets(shared_data: Path) -> None:
    arc = read_task(shared_data / "bench-dev/ARC/ARC-Easy/test.json")
    assert len(arc.items) == 2376
    assert arc.items[0].options[0] == "Sunlight is the source of energy for nearly all ecosystems."
    assert arc.items[0].answer == 0
    assert len(read_task(shared_data / "bench-dev/mmlu/college_physics_test.csv").items) == 102
