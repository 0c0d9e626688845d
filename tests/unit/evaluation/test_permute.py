from __future__ import annotations

import json
from pathlib import Path

import pytest

from sagecraft import artifact
from sagecraft.errors import UserError
from sagecraft.evaluation.config import EvaluateConfig
from sagecraft.evaluation.evaluate import run
from sagecraft.evaluation.permute import summarise_orders, variants
from sagecraft.evaluation.tasks import Item


def items(num_items: int = 40, num_options: int = 4) -> list[Item]:
    return [
        Item(f"q{n}", "?", tuple(f"option {index}" for index in range(num_options)), n % num_options)
        for n in range(num_items)
    ]


def test_cyclic_orders_put_the_key_once_at_each_position() -> None:
    for num_options in (2, 4, 10):
        item = items(3, num_options)[1]
        asked = variants([item], "cyclic", 0)
        assert sorted([item.answer, *(variant.item.answer for variant in asked)]) == list(range(num_options))  # type: ignore[type-var]
        for variant in asked:
            assert variant.item.answer is not None
            assert variant.item.options[variant.item.answer] == item.options[1]
            assert variant.item.id == item.id


def test_shuffled_orders_depend_on_seed_and_item_only() -> None:
    some = items()
    forward = {v.item.id: v.order for v in variants(some, "shuffle", 1)}
    assert forward == {v.item.id: v.order for v in variants(some[::-1], "shuffle", 1)}
    assert forward != {v.item.id: v.order for v in variants(some, "shuffle", 2)}
    assert (0, 1, 2, 3) not in forward.values()
    assert len(set(forward.values())) > 10
    assert variants(some, "none", 1) == []


def test_a_model_that_says_a_scores_chance_over_cyclic_orders() -> None:
    some = [Item(f"q{n}", "?", ("a", "b", "c", "d"), 0) for n in range(10)]  # every key is A: unpermuted it scores 1
    asked = variants(some, "cyclic", 0)

    def row(item: Item, pick: str) -> dict[str, object]:
        assert item.answer is not None
        return {"id": item.id, "pick": pick, "key": item.letters[item.answer], "options": item.options, "article": ""}

    always_a = summarise_orders([row(i, "A") for i in some], [row(v.item, "A") for v in asked], asked)
    assert always_a["accuracy"] == 0.25
    assert always_a["consistency"] == 0
    assert always_a["bias"]["p_value"] < 1e-3
    knowing = [row(v.item, v.item.letters[v.item.answer or 0]) for v in asked]
    right = summarise_orders([row(i, "A") for i in some], knowing, asked)
    assert right["accuracy"] == right["consistency"] == right["share_all_right"] == 1


def test_a_run_measures_every_order(pico: Path, tmp_path: Path) -> None:
    rows = [{"id": f"q{n}", "question": f"{n}?", "A": "x", "B": "y", "C": f"z{n}", "answer": "C"} for n in range(4)]
    artifact.write_jsonl(tmp_path / "task.jsonl", rows)
    inputs = {"model": pico, "task": tmp_path / "task.jsonl"}
    config = EvaluateConfig(modes=("letter", "continuation"), dtype="float32", permutations="cyclic")
    run(config, inputs, tmp_path / "out")
    results = json.loads((tmp_path / "out/results.json").read_text())
    others = list(artifact.read_jsonl(tmp_path / "out/permutations.jsonl"))
    assert len(others) == 8
    assert {row["mode"] for row in others} == {"letter"}
    for row in others:
        assert [option["text"] for option in row["options"]][row["order"].index(2)] == f"z{row['id'][1:]}"
        assert f"{row['key']}. z{row['id'][1:]}" in row["prompt"]
    found = results["modes"]["letter"]["permutations"]
    assert (found["n"], found["num_presentations"]) == (4, 12)
    asked = [row for row in artifact.read_jsonl(tmp_path / "out/items.jsonl") if row["mode"] == "letter"]
    assert found["accuracy"] == sum(bool(row["correct"]) for row in [*asked, *others]) / 12
    assert results["modes"]["letter"]["tokens"]["in"] == sum(row["tokens"]["in"] for row in [*asked, *others])
    assert "permutations" not in results["modes"]["continuation"]
    assert "in every order" in (tmp_path / "out/report.html").read_text()

    again = tmp_path / "again"
    run(config, inputs, again)
    assert (again / "permutations.jsonl").read_bytes() == (tmp_path / "out/permutations.jsonl").read_bytes()


def test_orders_need_a_mode_that_shows_options(pico: Path, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("question,A,B,answer\nq,x,y,A\n")
    with pytest.raises(UserError, match="permutations: continuation shows no options"):
        run(EvaluateConfig(permutations="shuffle"), {"model": pico, "task": tmp_path / "t.csv"}, tmp_path / "out")
