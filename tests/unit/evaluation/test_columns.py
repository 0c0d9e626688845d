from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError
from typer.testing import CliRunner

from sagecraft.cli import app
from sagecraft.errors import UserError
from sagecraft.evaluation.config import QuestionsConfig
from sagecraft.evaluation.tasks import Task, read_task

GERMAN = {"Nr": "7", "Frage": "Was ist heiß?", "erstens": "Eis", "zweitens": "Feuer", "Lösung": "B", "Gebiet": "Physik"}
NAMES = {"id": "Nr", "question": "Frage", "options": "erstens,zweitens", "answer": "Lösung", "topic": "Gebiet"}


def read(path: Path, names: dict[str, Any], *rows: dict[str, Any]) -> Task:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return read_task(path, QuestionsConfig(columns=names).columns)


def test_columns_under_other_names_in_every_kind_of_file(tmp_path: Path) -> None:
    pq.write_table(pa.Table.from_pylist([GERMAN]), tmp_path / "a.parquet")  # type: ignore[no-untyped-call]
    (tmp_path / "a.csv").write_text(",".join(GERMAN) + "\n" + ",".join(GERMAN.values()) + "\n")
    (tmp_path / "a.json").write_text(json.dumps([GERMAN]))
    names = QuestionsConfig(columns=NAMES).columns
    for suffix in ("parquet", "csv", "json"):
        (item,) = read_task(tmp_path / f"a.{suffix}", names).items
        assert (item.id, item.question, item.options) == ("7", "Was ist heiß?", ("Eis", "Feuer")), suffix
        assert (item.key, item.topic, item.extra) == ("B", "Physik", {}), suffix


def test_letters_one_by_one_and_a_list_in_one_column(tmp_path: Path) -> None:
    single = {"question": "Frage", "A": "zweitens", "B": "erstens", "answer": "Lösung"}
    assert read(tmp_path / "a.jsonl", single, GERMAN).items[0].options == ("Feuer", "Eis")
    listed = {"question": "q?", "Auswahl": ["x", "y", "z"], "answer": 2}
    assert read(tmp_path / "a.jsonl", {"options": "Auswahl"}, listed).items[0].options == ("x", "y", "z")


def test_what_is_named_is_all_that_is_read_as_options(tmp_path: Path) -> None:
    row = {"question": "q?", "eins": "x", "zwei": "y", "C": 4.2, "choices": ["m", "n"], "key": "b"}
    item = read(tmp_path / "a.jsonl", {"options": ["eins", "zwei"], "answer": "key"}, row).items[0]
    assert (item.options, item.key) == (("x", "y"), "B")
    assert item.extra == {"C (column)": 4.2, "choices (column)": ["m", "n"]}


def test_a_column_of_ours_that_another_replaces_is_kept(tmp_path: Path) -> None:
    row = {"question": "not this one", "text": "q?", "A": "x", "B": "y", "answer": "A"}
    item = read(tmp_path / "a.jsonl", {"question": "text"}, row).items[0]
    assert (item.question, item.extra) == ("q?", {"question (column)": "not this one"})


def test_names_come_before_the_forms_of_public_sets(tmp_path: Path) -> None:
    row = {"prompt": "q?", "choices": {"text": ["x", "y"], "label": ["1", "2"]}, "answerKey": "2"}
    assert read(tmp_path / "a.jsonl", {"question": "prompt"}, row).items[0].key == "B"


def test_a_name_that_no_row_has_is_told_alone_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        read(tmp_path / "a.jsonl", {**NAMES, "question": "Fragen"}, *[GERMAN] * 30)
    assert str(caught.value).endswith(
        "no column 'Fragen', which was named for question; there is: Nr, Frage, erstens, zweitens, Lösung, "
        "Gebiet; did you mean 'Frage'?"
    )
    assert "\n" not in str(caught.value)  # the thirty rows without a question follow from it
    # an optional column, too: a key that is not found would make a set without one
    with pytest.raises(UserError, match="no column 'Loesung', which was named for answer"):
        read(tmp_path / "a.jsonl", {**NAMES, "answer": "Loesung"}, GERMAN)


def test_a_column_that_some_rows_have_is_enough(tmp_path: Path) -> None:
    without = {name: value for name, value in GERMAN.items() if name not in ("Gebiet", "Nr")}
    assert [item.topic for item in read(tmp_path / "a.jsonl", NAMES, without, GERMAN).items] == ["", "Physik"]


def test_names_are_part_of_what_a_task_is(tmp_path: Path) -> None:
    row = {"question": "q?", "text": "r?", "A": "x", "B": "y"}
    plain = read(tmp_path / "a.jsonl", {}, row)
    named = read(tmp_path / "a.jsonl", {"question": "text"}, row)
    assert plain.sha256 != named.sha256
    assert plain.items[0].digest != named.items[0].digest


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ({"qestion": "x"}, r"'qestion' is no column of ours; .* did you mean 'question'\?"),
        ({"options": "a,,b"}, "an empty name"),
        ({"question": ["a", "b"]}, "question: is one column, not 2"),
        ({"options": "a,b,c,d,e,f,g,h,i,j,k"}, "11 columns"),
        ({"options": "a,b", "A": "c"}, "named together with single letters"),
        ({"options": []}, "options: an empty name"),
    ],
)
def test_names_that_make_no_sense(names: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        QuestionsConfig(columns=names)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--column", "Frage"], "--column Frage: not of the form OURS=NAME"),
        (["--column", "question=a", "--column", "question=b"], "--column question=b: given twice"),
        (["--column", "questoin=a"], "did you mean 'question'?"),
    ],
)
def test_faulty_options(pico: Path, tmp_path: Path, options: list[str], message: str) -> None:
    task = ["--task", str(tmp_path / "a.csv"), "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(app, ["eval", str(pico), *task, *options])
    assert isinstance(done.exception, UserError)
    assert message in str(done.exception)
