"""What a comparison says of evaluations that were not made alike."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from evaluations import evaluation
from sagecraft import artifact
from sagecraft.errors import UserError
from sagecraft.evaluation.compare import CompareConfig, compare
from sagecraft.evaluation.compare_page import render
from sagecraft.evaluation.compared import Evaluation, read, shared_ids, unlike
from sagecraft.evaluation.config import EvaluateConfig

CONFIG = CompareConfig(num_resamples=200)


def with_manifest(folder: Path, **settings: Any) -> Path:
    """The same with the manifest that `sagecraft eval` writes, from which the configuration is read."""
    config = EvaluateConfig.model_validate(settings).model_dump(mode="json")
    manifest = artifact.Manifest(
        kind="evaluation", stage="evaluate", fingerprint="f", config=config, inputs={}, files={}, stats={}
    )
    artifact.write_json(folder / artifact.MANIFEST, manifest.model_dump(mode="json"))
    return folder


def read_two(tmp_path: Path, one: dict[str, Any], two: dict[str, Any], mode: str) -> list[Evaluation]:
    folders = [
        with_manifest(evaluation(tmp_path / name, name, [True, False] * 10, mode=mode), **settings)
        for name, settings in (("a", one), ("b", two))
    ]
    return read(folders, ())


@pytest.mark.parametrize(
    ("mode", "one", "two", "differing"),
    [
        ("letter", {"dtype": "float32"}, {"dtype": "bfloat16"}, ["dtype"]),
        ("letter", {"chat_template": True}, {}, ["chat_template"]),
        ("letter", {"thinking": "on"}, {"reply": {"answer_tokens": 5}}, []),  # letters are not written
        ("generate", {"thinking": "on"}, {"reply": {"answer_tokens": 5}}, ["thinking", "reply.answer_tokens"]),
        ("generate", {"chat_template": True}, {}, []),  # replies are always asked for through the template
        ("generate", {"endpoint": "openai:x", "dtype": "float32"}, {"endpoint": "openai:x"}, []),
        ("letter", {"seed": 1, "max_items": 20}, {"device_usd_per_hour": 3.0}, []),
        ("letter", {"questions": {"columns": {"question": "Frage"}}}, {"questions": {"shots": 5}}, ["questions.shots"]),
    ],
)
def test_settings_that_differ_are_named_where_they_matter(
    tmp_path: Path, mode: str, one: dict[str, Any], two: dict[str, Any], differing: list[str]
) -> None:
    found = read_two(tmp_path, one, two, mode)
    assert [row["setting"] for row in unlike(found)] == differing
    page = render(compare(found, CONFIG), found, CONFIG)
    assert ("Not measured alike: " in page) == bool(differing)
    assert all(name in page for name in differing)


def test_of_each_evaluation_the_first_of_the_modes_is_taken_and_said(tmp_path: Path) -> None:
    folders = [
        evaluation(tmp_path / "a", "a", [True] * 10, mode="letter"),
        evaluation(tmp_path / "b", "b", [False] * 10, mode="generate"),
    ]
    found = read(folders, ["generate", "letter"])
    assert [one.results["mode"] for one in found] == ["letter", "generate"]
    assert unlike(found) == [{"setting": "mode", "values": {"letter": ["a"], "generate": ["b"]}}]
    with pytest.raises(UserError, match="has no mode letter"):
        read(folders, ())


def test_every_mode_of_one_evaluation(tmp_path: Path) -> None:
    folder = evaluation(tmp_path / "a", "m", [True] * 10, mode="generate")
    results, rows = artifact.read_json(folder / "results.json"), list(artifact.read_jsonl(folder / "items.jsonl"))
    results["modes"]["generate+thinking"] = {**results["modes"]["generate"], "thinking": "on"}
    results["modes"]["generate"]["thinking"] = "off"
    artifact.write_json(folder / "results.json", results)
    thought = [{**row, "mode": "generate+thinking", "correct": False, "outcome": "wrong"} for row in rows]
    artifact.write_jsonl(folder / "items.jsonl", rows + thought)
    found = read([folder], ["all"])
    assert [one.name for one in found] == ["m, generate", "m, generate+thinking"]
    assert [sum(row["correct"] for row in one.rows) for one in found] == [10, 0]
    assert [one.settings["thinking"] for one in found] == ["off", "on"]


def test_questions_that_not_all_answered(tmp_path: Path) -> None:
    right = [n < 25 for n in range(40)]
    folders = [
        evaluation(tmp_path / "a", "a", right),
        evaluation(tmp_path / "b", "b", right[:30]),
        evaluation(tmp_path / "c", "c", [not value for value in right]),
    ]
    found = read(folders, ())
    assert shared_ids(found) == ([f"q{n}" for n in range(30)], 40)
    results = compare(found, CONFIG)
    assert [pair["n"] for pair in results["pairs"]] == [30, 40, 30]
    assert [m["n_shared"] for m in results["models"]] == [30, 30, 30]
    assert [m["accuracy_shared"] for m in results["models"]] == [25 / 30, 25 / 30, 5 / 30]
    # b has 25 of 30 right and a 25 of 40, and yet neither is ahead: on the questions of both they are equal
    assert results["reference"] == "a"
    page = render(results, found, CONFIG)
    assert "30 of 40 were answered by all (a 40, b 30, c 40)" in page
    assert "costs of runs do not compare" in page
    assert page.count("Accuracy against USD for the run") == 0


def test_nothing_in_common_between_some_is_refused(tmp_path: Path) -> None:
    folders = [evaluation(tmp_path / name, name, [True] * 4) for name in "ab"]
    items = [{**row, "id": f"other {row['id']}"} for row in artifact.read_jsonl(folders[1] / "items.jsonl")]
    artifact.write_jsonl(folders[1] / "items.jsonl", items)
    with pytest.raises(UserError, match="a, b: the two evaluations have no item in common"):
        compare(read(folders, ()), CONFIG)


def test_a_comparison_is_no_evaluation(tmp_path: Path) -> None:
    folder = with_manifest(evaluation(tmp_path / "a", "a", [True]))
    value = artifact.read_json(folder / artifact.MANIFEST)
    artifact.write_json(folder / artifact.MANIFEST, value | {"kind": "comparison"})
    with pytest.raises(UserError, match="holds comparison"):
        read([folder], ())


def test_topics_are_those_of_shared_questions(tmp_path: Path) -> None:
    folders = []
    for name, size in (("a", 30), ("b", 20)):
        folder = evaluation(tmp_path / name, name, [n % 3 == 0 for n in range(size)])
        rows = [{**row, "topic": "xy"[n % 2]} for n, row in enumerate(artifact.read_jsonl(folder / "items.jsonl"))]
        artifact.write_jsonl(folder / "items.jsonl", rows)
        folders.append(folder)
    found = read(folders, ())
    results = compare(found, CONFIG)
    assert [(row["topic"], row["n"]) for row in results["by_topic"]] == [("x", 10), ("y", 10)]
    assert results["by_topic"][0]["accuracy"] == {"a": 0.4, "b": 0.4}
    assert "Accuracy by topic" in render(results, found, CONFIG)


def test_what_a_model_saw_and_thought_is_not_held_in_memory(tmp_path: Path) -> None:
    long = {"prompt": "p" * 10**5, "thought": "t" * 10**5, "raw": "r" * 10**6, "question": "why?", "options": []}
    folders = [evaluation(tmp_path / name, name, [True] * 3, **long) for name in "ab"]
    one, two = read(folders, ())
    assert max(len(json.dumps(row)) for row in one.rows) < 1000
    assert all(a["options"] is b["options"] for a, b in zip(one.rows, two.rows, strict=True))


def test_examples_of_another_draw_are_others(tmp_path: Path) -> None:
    folders = []
    for name, shown in (("a", ["x", "y"]), ("b", ["x", "z"]), ("c", ["x", "y"])):
        folder = evaluation(tmp_path / name, name, [True, False])
        results = artifact.read_json(folder / "results.json")
        artifact.write_json(folder / "results.json", results | {"shots": {"n": 2, "file": "dev.csv", "ids": shown}})
        folders.append(folder)
    [row] = unlike(read(folders, ()))
    assert (row["setting"], list(row["values"].values())) == ("examples", [["a", "c"], ["b"]])


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("n", 0),
        ("accuracy", 7.0),
        ("ci95", [0.1]),
        ("outcomes", ["correct"]),
        ("tokens", {"in": -5}),
        ("cost_usd", "much"),
        ("cost_usd", float("nan")),
        ("outcomes", None),
    ],
)
def test_figures_that_were_edited_are_refused_by_name(tmp_path: Path, place: str, value: object) -> None:
    folder = evaluation(tmp_path / "a", "a", [True, False])
    results = artifact.read_json(folder / "results.json")
    results["modes"]["letter"][place] = value
    artifact.write_json(folder / "results.json", results)
    with pytest.raises(UserError, match=rf"results.json: {place}"):
        read([folder], ())


@pytest.mark.parametrize("change", [{"options": "ABC"}, {"options": ["A"]}, {"tokens": {"in": "five"}}, {"id": ["q"]}])
def test_rows_that_were_edited_are_refused_by_name(tmp_path: Path, change: dict[str, Any]) -> None:
    folder = evaluation(tmp_path / "a", "a", [True, False], **change)
    with pytest.raises(UserError, match=rf"items.jsonl: {next(iter(change))}"):
        read([folder], ())
