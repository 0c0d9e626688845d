from __future__ import annotations

import csv
import json
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sagecraft.errors import UserError
from sagecraft.evaluation import rows
from sagecraft.evaluation.tasks import read_task

GOOD = {"question": "Which is hot?", "A": "ice", "B": "fire", "answer": "B"}


def write_rows(path: Path, *found: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in found))
    return path


def faults_of(path: Path) -> list[str]:
    with pytest.raises(UserError) as caught:
        read_task(path)
    return str(caught.value).split("\n")


def test_all_faults_at_once_each_with_its_place(tmp_path: Path) -> None:
    bad = [{**GOOD, "answer": "C"}, {**GOOD, "question": ""}, {**GOOD, "B": 7.5, "A": []}]
    path = write_rows(tmp_path / "a.jsonl", GOOD, *bad, GOOD)
    path.write_text(path.read_text() + "{oops\n")
    assert [line.partition(": not")[0].partition(" is ")[0] for line in faults_of(path)] == [
        f"{path}: line 2, column answer: 'C'",
        f"{path}: line 3, column question: empty; every question needs its text and its options",
        f"{path}: line 4, column A: expected a text, found list",
        f"{path}: line 6",
    ]


def test_faults_are_counted_from_the_twentieth_on(tmp_path: Path) -> None:
    lines = faults_of(write_rows(tmp_path / "a.jsonl", *[{**GOOD, "answer": "C"}] * 1000))
    assert len(lines) == rows.MAX_FAULTS + 1
    assert lines[-1] == "… and 980 more"


def test_faults_of_several_files_name_each(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        write_rows(tmp_path / name / "questions.jsonl", {**GOOD, "id": name, "answer": 5})
    assert [line.partition(": line")[0] for line in faults_of(tmp_path)] == [
        str(tmp_path / name / "questions.jsonl") for name in ("one", "two")
    ]


def test_a_cell_of_a_megabyte_is_no_fault_where_it_is_not_asked_about(tmp_path: Path) -> None:
    article = "long, " * 170_000
    with (tmp_path / "a.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["question", "A", "B", "text"], ["q?", "x", "y", article]])
    before = csv.field_size_limit()
    assert read_task(tmp_path / "a.csv").items[0].extra["text"] == article
    assert csv.field_size_limit() == before


def test_semicolons_where_a_comma_is_the_decimal_point(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('question;A;B;answer\n"How much; and why?";1,5;2,5;B\n')
    item = read_task(tmp_path / "a.csv").items[0]
    assert (item.question, item.options, item.answer) == ("How much; and why?", ("1,5", "2,5"), 1)


def test_an_open_quote_is_told_where_its_row_begins(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("question,A,B\nq?,x,y\n" + '"open,x,y\n' + "q?,x,y\n" * 50)
    assert faults_of(tmp_path / "a.csv")[0].startswith(f"{tmp_path / 'a.csv'}: line 3: not valid CSV")


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.csv", "question,A,B,answer\nGröße?,x,y,A\n".encode("latin-1"), "line 2, column question: not UTF-8"),
        ("a.csv", b"question,A,B,note\nq?,x,y,\xff\n", "line 2, column note: not UTF-8"),
        ("a.csv", b"question,A,B,\xff\nq?,x,y,z\n", "line 1: not UTF-8"),
        ("a.csv", "question,A,B\nq?,x,y\n".encode("utf-16"), "is UTF-16, not UTF-8"),
        ("a.jsonl", b'{"question": "q?", "A": "\xff", "B": "y"}', "line 1: not UTF-8 (byte 26 of it)"),
        ("a.json", b'[{"question": "\xff"}]', "not UTF-8"),
        ("a.jsonl", b'{"question": "q?", "Question": "r?", "A": "x", "B": "y"}', "column question: stands there twice"),
        ("a.jsonl", b'{"question": "q?", "A": "x", "B": "y", "answer": 1e400}', "column answer: inf is neither"),
        ("a.jsonl", b'{"question": "q?", "A": "x", "B": "y", "answer": ' + b"9" * 4000 + b"}", "column answer: 999"),
        (
            "a.jsonl",
            b'{"question": "q?", "A": "x", "B": "y", "answer": ' + b"9" * 9000 + b"}",
            "line 1: not valid JSON",
        ),
        ("a.jsonl", b'{"question": "q?", "A": "x", "B": "y", "id": "' + b"x" * 2000 + b'"}', "column id: 2,000 char"),
        ("a.jsonl", b'{"question": ' + b"[" * 5000 + b"]" * 5000 + b"}", "line 1: not valid JSON"),
        ("a.jsonl", b'{"question": "q?", "A": "x", "B": "y", "answer": 2}', "(indices count from 0)"),
    ],
)
def test_bytes_and_values_of_strangers(tmp_path: Path, name: str, data: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(data)
    assert message in faults_of(tmp_path / name)[0]


def test_sizes_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_rows(tmp_path / "a.jsonl", GOOD, {**GOOD, "note": "x" * 500})
    monkeypatch.setattr(rows, "_MAX_LINE", 400)
    assert "line 2: longer than" in faults_of(path)[0]
    monkeypatch.setattr(rows, "_MAX_FILE_BYTES", 100)
    assert "too large for questions" in faults_of(path)[0]


def test_further_columns_of_any_kind_can_be_written_down(tmp_path: Path) -> None:
    import datetime

    table = pa.table(
        {
            "question": ["q?"],
            "A": ["x"],
            "B": ["y"],
            "when": [datetime.datetime(2020, 1, 2)],
            "image": [b"\x89PNG"],
            "nothing": [float("nan")],
            "deep": [[{"a": [1.5, None]}]],
        }
    )
    pq.write_table(table, tmp_path / "a.parquet")  # type: ignore[no-untyped-call]
    extra = read_task(tmp_path / "a.parquet").items[0].extra
    assert json.loads(json.dumps(extra, allow_nan=False)) == extra
    assert extra == {
        "when": "2020-01-02 00:00:00",
        "image": "<4 bytes>",
        "nothing": None,
        "deep": [{"a": [1.5, None]}],
    }
    half = write_rows(tmp_path / "a.jsonl", {**GOOD, "note": "\ud83d", "deep": json.loads("[" * 60 + "]" * 60)})
    json.dumps(read_task(half).items[0].extra, ensure_ascii=False).encode("utf-8")


@pytest.mark.parametrize("nested", [False, True])
def test_a_parquet_file_that_unpacks_to_gigabytes_is_refused_before_it_does(tmp_path: Path, nested: bool) -> None:
    num_rows, text = 20_000, "x" * (4 << 20)
    texts = pa.DictionaryArray.from_arrays(pa.array([0] * num_rows, pa.int32()), pa.array([text]))
    if nested:
        offsets = pa.array(range(num_rows + 1), pa.int32())
        texts = pa.ListArray.from_arrays(offsets, texts.cast(pa.dictionary(pa.int32(), pa.string())))
    columns: dict[str, Any] = {name: ["x"] * num_rows for name in ("question", "A", "B")}
    pq.write_table(pa.table({**columns, "note": texts}), tmp_path / "a.parquet")  # type: ignore[no-untyped-call]
    assert (tmp_path / "a.parquet").stat().st_size < 1 << 20
    held = pa.total_allocated_bytes()
    assert "row 1: 64 rows take more than 128 MB" in faults_of(tmp_path / "a.parquet")[0]
    assert pa.total_allocated_bytes() - held < 64 << 20


def test_a_parquet_file_says_how_large_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pq.write_table(pa.Table.from_pylist([GOOD] * 100), tmp_path / "a.parquet")  # type: ignore[no-untyped-call]
    monkeypatch.setattr(rows, "_MAX_UNPACKED", 100)
    assert "MB when unpacked" in faults_of(tmp_path / "a.parquet")[0]


def test_faults_of_a_large_file_take_no_long_time(tmp_path: Path) -> None:
    """What is looked at again for each row, or for each option, would take minutes here."""
    wide = {f"column number {n}": "x" for n in range(150)}
    started = time.process_time()
    assert faults_of(write_rows(tmp_path / "a.jsonl", *[wide] * 3000))[-1] == "… and 2,980 more"
    many = {"question": "q?", "options": ["N/A"] * 300_000, "answer": "A", "answer_index": 0}
    (tmp_path / "a.json").write_text(json.dumps([many]))
    assert read_task(tmp_path / "a.json").items[0].options == ("N/A", "N/A")
    text = "question: q?\n\n" + " ".join(f"Answer{n}: x" for n in range(1, 200_000))
    (tmp_path / "a.json").write_text(json.dumps([{"instruction": text, "answer": "answer1"}]))
    assert "11 options, 2 to 10 are needed" in faults_of(tmp_path / "a.json")[0]
    assert time.process_time() - started < 5


CELLS = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["A", "B", "1", "-1"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
NAMES = st.sampled_from(
    "question A b C choices choice0 choice1 answer answerKey target options id topic mc1_targets answer_index answer_idx "
    "question_stem correct_answer distractor1 instruction note \ud83d no\tte".split(" ")
)
ROWS = st.lists(st.dictionaries(NAMES, CELLS, max_size=7) | st.just(GOOD), min_size=1, max_size=4)


def _read_or_refused(path: Path) -> None:
    """Whatever a file holds, it is a task whose rows can be written down, or a few lines say what is wrong."""
    try:
        task = read_task(path)
    except UserError as error:
        lines = str(error).split("\n")
        assert len(lines) <= rows.MAX_FAULTS + 1
        assert all(line.startswith((str(path), "…")) for line in lines)
        return
    for item in task.items:
        assert item.question.strip()
        assert bool(item.target) != (2 <= len(item.options) <= 10)
        assert item.answer is None or 0 <= item.answer < len(item.options)
        json.dumps([item.id, item.topic, item.question, item.options, item.extra], ensure_ascii=False).encode("utf-8")
    assert len({item.id for item in task.items}) == len(task.items)


def _values(folder: Path, found: list[dict[str, Any]]) -> None:
    _read_or_refused(write_rows(folder / "a.jsonl", *found))
    (folder / "a.json").write_text(json.dumps(found))
    _read_or_refused(folder / "a.json")


def _bytes(folder: Path, data: st.DataObject, kind: str) -> None:
    """A good file with some bytes replaced."""
    path = folder / f"a{kind}"
    if kind == ".parquet":
        pq.write_table(pa.Table.from_pylist([GOOD] * 3), path)  # type: ignore[no-untyped-call]
        whole = path.read_bytes()
    elif kind in (".json", ".jsonl"):
        whole = json.dumps([GOOD, GOOD] if kind == ".json" else GOOD).encode()
    else:
        between = "\t" if kind == ".tsv" else ","
        whole = (between.join(GOOD) + "\n" + between.join(GOOD.values()) + "\n").encode()
    start = data.draw(st.integers(0, len(whole)))
    end = data.draw(st.integers(start, min(len(whole), start + 20)))
    path.write_bytes(whole[:start] + data.draw(st.binary(max_size=20)) + whole[end:])
    _read_or_refused(path)


KINDS = st.sampled_from([".csv", ".tsv", ".jsonl", ".json", ".parquet"])
FEW = settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
MANY = settings(max_examples=20_000, deadline=None, suppress_health_check=list(HealthCheck))


@FEW
@given(found=ROWS)
def test_whatever_the_values_are(tmp_path: Path, found: list[dict[str, Any]]) -> None:
    _values(tmp_path, found)


@FEW
@given(data=st.data(), kind=KINDS)
def test_whatever_the_bytes_are(tmp_path: Path, data: st.DataObject, kind: str) -> None:
    _bytes(tmp_path, data, kind)


@pytest.mark.soak
@MANY
@given(found=ROWS)
def test_many_values(tmp_path: Path, found: list[dict[str, Any]]) -> None:
    _values(tmp_path, found)


@pytest.mark.soak
@MANY
@given(data=st.data(), kind=KINDS)
def test_many_bytes(tmp_path: Path, data: st.DataObject, kind: str) -> None:
    _bytes(tmp_path, data, kind)
