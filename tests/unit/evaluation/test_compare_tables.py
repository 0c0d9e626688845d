"""Tables and lists of a comparison: who is right, and what strangers wrote stays text."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from chromium import ask
from evaluations import evaluation
from sagecraft import artifact
from sagecraft.evaluation import compare_page
from sagecraft.evaluation.compare import CompareConfig, compare
from sagecraft.evaluation.compare_page import render
from sagecraft.evaluation.compare_tables import Item, gather, item_list, tables
from sagecraft.evaluation.compared import Evaluation, read

CONFIG = CompareConfig(num_resamples=200)
EVIL = "</script><img src=x onerror=\"document.title='owned'\"><b>"


def three(tmp_path: Path, names: tuple[str, ...] = ("one", "two", "three"), **changes: Any) -> list[Evaluation]:
    """Three models on 24 questions: the first has the first half right, the second every other one, the third a third."""
    folders = []
    for number, name in enumerate(names):
        right = [[n < 12, n % 2 == 0, n % 3 == 0][number] for n in range(24)]
        folder = evaluation(tmp_path / f"m{number}", name, right, [0.5, 0.0, "unknown"][number], **changes)
        rows = [
            {
                **row, "question": f"What is {n}?", "key": "A", "pick": "A" if row["correct"] else "BC"[n % 2],
                "topic": ["stars", "dust"][n % 2], "tokens": {"in": 5, "thought": 2, "out": 1},
                "options": [{"letter": letter, "text": f"{letter} of {n}"} for letter in "ABC"],
            }
            for n, row in enumerate(artifact.read_jsonl(folder / "items.jsonl"))
        ]  # fmt: skip
        artifact.write_jsonl(folder / "items.jsonl", rows)
        folders.append(folder)
    return read(folders, ())


def test_who_is_right() -> None:
    def of(*right: bool | None) -> str:
        names = ["a", "b", "c", "d"][: len(right)]
        rows = {name: {"correct": value} for name, value in zip(names, right, strict=True) if value is not None}
        return Item(rows).split(names)

    assert of(True, False) == "only a"
    assert of(False, True, True, True) == "all but a"
    assert of(False, False, True, False) == "only c"
    assert of(True, True, False, False) == "2 of 4"
    assert (of(True, True), of(False, False)) == ("all", "none")
    assert of(True, None, True) == "all"  # one that was not asked is neither right nor wrong
    assert of(None, True, False) == "only b"


def test_picks_alike() -> None:
    assert Item({"a": {"pick": "B"}, "b": {"pick": "B"}}).picks == "all alike"
    assert Item({"a": {"pick": "B"}, "b": {"pick": "C"}}).picks == "not alike"
    assert Item({"a": {"pick": None}, "b": {"pick": None}}).picks == "not alike"


def test_tables_hold_what_was_found(tmp_path: Path) -> None:
    found = three(tmp_path, ("one", "=cmd|' /C calc'!A0", "three"))
    read_back = {
        name: list(csv.DictReader(text.splitlines())) for name, text in tables(compare(found, CONFIG), found).items()
    }
    models, pairs, items = (read_back[f"{name}.csv"] for name in ("models", "pairs", "items"))
    assert [row["model"] for row in models] == ["one", "'=cmd|' /C calc'!A0", "three"]
    assert float(models[0]["accuracy"]) == 0.5
    assert (models[0]["cost_usd"], models[2]["cost_usd"]) == ("0.5", "unknown")
    assert (models[0]["correct"], models[0]["refused"], models[0]["tokens_thought"]) == ("12", "0", "300")
    assert next((row["a"], row["n"], row["only_a"]) for row in pairs) == ("one", "24", "6")
    assert float(pairs[0]["ci95_low"]) < float(pairs[0]["difference"]) < float(pairs[0]["ci95_high"])
    assert len(items) == 24
    assert (items[0]["right"], items[2]["right"], items[23]["right"]) == ("all", "all but three", "none")
    assert (items[1]["one"], items[1]["three"], items[1]["three: outcome"]) == ("A", "C", "wrong")


def test_questions_of_any_model_stand_in_the_list(tmp_path: Path) -> None:
    found = three(tmp_path)
    fewer = [found[0], Evaluation("less", found[1].results, found[1].rows[:3], {})]
    assert [len(item.rows) for item in gather(fewer)] == [2] * 3 + [1] * 21
    data = json.loads(item_list(fewer).data)
    assert len(data["rows"]) == 24
    assert "not asked" in data["texts"]


def test_the_page_names_whom_the_plots_of_cost_leave_out(tmp_path: Path) -> None:
    found = three(tmp_path)
    page = render(compare(found, CONFIG), found, CONFIG)
    assert "No costs are plotted: that of three is unknown" in page
    assert "two cost nothing by the prices configured" in page
    assert "Pareto" not in page  # a front of one
    assert "Lead of each row over each column" in page
    assert "Agreement of picks beyond chance" in page
    assert page == render(compare(found, CONFIG), found, CONFIG)


def test_against_the_first_there_is_no_matrix(tmp_path: Path) -> None:
    found, config = three(tmp_path), CompareConfig(num_resamples=200, against="first")
    assert "Lead of each row" not in render(compare(found, config), found, config)


@pytest.mark.parametrize(
    ("value", "shown", "count", "text"),
    [
        (-4.26, True, 4, "−4.3*"),
        (4.26, False, 4, "+4.3"),
        (-0.0, False, 4, "+0.0"),
        (4.26, True, 11, "+4"),  # of many models only what counts is written, and in whole points
        (4.26, False, 11, ""),
        (None, False, 4, ""),
    ],
)
def test_leads_in_a_matrix(value: float | None, shown: bool, count: int, text: str) -> None:
    assert compare_page._lead(value, shown, count) == text


def test_strangers_text_stays_text_and_lists_work(tmp_path: Path) -> None:
    found = three(tmp_path, (EVIL, "two", "three"), kind=EVIL)
    page = render(compare(found, CONFIG), found, CONFIG)
    script = """
      const lists = [...document.querySelectorAll(".browser")];
      const [models, pairs, items] = lists;
      const first = (list) => list.querySelector("tbody tr.entry").textContent;
      const heading = [...models.querySelectorAll("thead button")].find((b) => b.textContent.startsWith("accuracy"));
      const before = first(models);
      heading.click();
      const select = [...items.querySelectorAll("select")][0];
      select.value = [...select.options].find((o) => o.textContent.startsWith("only two")).value;
      select.dispatchEvent(new Event("change"));
      const status = items.querySelector(".status").textContent;
      items.querySelector("tbody tr.entry button").click();
      return {
        title: document.title, images: document.images.length, before, after: first(models), status,
        opened: items.querySelector("tr.open").textContent, pairs: pairs.querySelectorAll("tbody tr.entry").length,
      };"""
    seen = ask(page, tmp_path, script)
    assert (seen["title"], seen["images"], seen["pairs"]) == ("3 models compared", 0, 3)
    assert seen["before"].startswith("</script>")
    assert seen["after"].startswith("three")  # sorted by accuracy from below
    # right by the second alone: even, from 12 on, not divisible by 3
    assert seen["status"].startswith("1 to 4 of 4")
    assert "by two" in seen["opened"]
