from __future__ import annotations

import csv
from pathlib import Path

import pytest

from sagecraft import artifact
from sagecraft.evaluation.config import EvaluateConfig
from sagecraft.evaluation.evaluate import run
from sagecraft.evaluation.predictions import predictions_csv
from sagecraft.evaluation.tasks import read_task


def test_a_set_without_key_gets_its_table_again_with_answers(pico: Path, tmp_path: Path) -> None:
    table = 'question,A,B,C\n"Which, of ""these""?",one,"two\nlines",three\n=1+1?,<b>,y,\n'
    (tmp_path / "set.csv").write_text(table)
    inputs = {"model": pico, "task": tmp_path / "set.csv"}
    run(EvaluateConfig(modes=("letter", "continuation"), dtype="float32"), inputs, tmp_path / "out")
    with (tmp_path / "out/predictions.csv").open(newline="") as file:
        found = list(csv.DictReader(file))
    with (tmp_path / "set.csv").open(newline="") as file:
        given = list(csv.DictReader(file))
    picks = [row["pick"] for row in artifact.read_jsonl(tmp_path / "out/items.jsonl") if row["mode"] == "letter"]
    assert [row.pop("answer") for row in found] == picks
    assert found == given
    again = read_task(tmp_path / "out/predictions.csv")  # scored by a keeper who reads it as a keyed set
    assert [item.key for item in again.items] == picks


def test_an_unread_reply_leaves_its_answer_empty() -> None:
    options = [{"letter": "A", "text": "x"}, {"letter": "B", "text": "y"}]
    text = predictions_csv([{"question": "q", "options": options, "pick": None}])
    assert text == "question,A,B,answer\nq,x,y,\n"


def test_the_table_has_the_names_of_the_set() -> None:
    options = [{"letter": letter, "text": letter.lower()} for letter in "ABC"]
    rows = [{"question": "q", "options": options, "pick": "C"}]
    named = predictions_csv(rows, {"question": "Frage", "options": ("eins", "zwei", "drei"), "answer": "Antwort"})
    assert named == "Frage,eins,zwei,drei,Antwort\nq,a,b,c,C\n"
    assert predictions_csv(rows, {"options": "Auswahl", "B": "zweitens"}).startswith("question,A,zweitens,C,answer\n")


def test_what_is_missing_is_told(pico: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "set.csv").write_text("question,A,B\n" + "".join(f"q{n}?,x,y\n" for n in range(5)))
    config = EvaluateConfig(modes=("letter",), dtype="float32", max_items=2)
    run(config, {"model": pico, "task": tmp_path / "set.csv"}, tmp_path / "out")
    told = "".join(capsys.readouterr())
    assert "predictions.csv: 2 of 5 questions, 0 without an answer" in " ".join(told.split())


def test_a_keyed_set_gets_none(pico: Path, tmp_path: Path) -> None:
    (tmp_path / "set.csv").write_text("question,A,B,answer\nq,x,y,A\n")
    run(EvaluateConfig(dtype="float32"), {"model": pico, "task": tmp_path / "set.csv"}, tmp_path / "out")
    assert not (tmp_path / "out/predictions.csv").exists()
