"""CSV of an evaluation: a row an item and mode, a row a mode, numbers as numbers."""

from __future__ import annotations

import csv
import io

import pytest
from tests.asked_items import evaluation

from sagecraft.evaluation.item_tables import items_csv, summary_csv


def read(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline=""), strict=True))


def test_every_item_and_mode_has_a_row() -> None:
    results, rows = evaluation()
    table = read(items_csv(rows, results))
    assert [(cells["line"], cells["id"], cells["mode"]) for cells in table] == [
        (str(line), row["id"], row["mode"]) for line, row in enumerate(rows, start=1)
    ]
    for mode, summary in results["modes"].items():
        own = [cells for cells in table if cells["mode"] == mode]
        assert sum(int(cells["correct"]) for cells in own) / len(own) == pytest.approx(summary["accuracy"])
        assert sum(int(cells["tokens_in"]) for cells in own) == summary["tokens"]["in"]
    generated = [cells for cells in table if cells["mode"] == "generate"]
    assert sum(float(cells["cost_usd"]) for cells in generated) == pytest.approx(
        results["modes"]["generate"]["cost_usd"]
    )
    assert {cells["confidence"] for cells in generated} == {""}
    assert {cells["confidence"] for cells in table if cells["mode"] == "letter"} == {"0.7"}


def test_a_strangers_formula_stays_text_and_a_number_a_number() -> None:
    results, rows = evaluation(num_items=2, modes=("generate",))
    rows[0] |= {
        "id": "=HYPERLINK(1)",
        "topic": "@SUM(A1)",
        "article": "+1+1",
        "error": "-2+3|cmd",
        "key": "-5",
        "pick": "-7",
    }
    first, _ = read(items_csv(rows, results))
    assert (first["id"], first["topic"], first["article"], first["error"]) == (
        "'=HYPERLINK(1)",
        "'@SUM(A1)",
        "'+1+1",
        "'-2+3|cmd",
    )
    assert (first["key"], first["pick"]) == ("-5", "-7")


def test_every_mode_has_a_row() -> None:
    results, _ = evaluation()
    results["modes"]["generate"]["outcomes"]["lost"] = 3  # an outcome of later days has its column too
    table = read(summary_csv(results))
    assert [cells["mode"] for cells in table] == ["continuation", "letter", "generate"]
    for cells in table:
        mode = results["modes"][cells["mode"]]
        assert float(cells["accuracy"]) == mode["accuracy"]
        assert [float(cells["ci95_low"]), float(cells["ci95_high"])] == mode["ci95"]
        assert int(cells["wrong"]) == mode["outcomes"].get("wrong", 0)
        assert float(cells["p_guessing"]) == mode["guessing"]["p_value"]
        assert int(cells["tokens_in"]) == mode["tokens"]["in"]
    assert [cells["lost"] for cells in table] == ["0", "0", "3"]


def test_a_set_without_a_key_leaves_its_accuracy_empty() -> None:
    results, rows = evaluation(modes=("letter",), keyed=False)
    results["modes"]["letter"] |= {"tokens": "unknown", "cost_usd": "unknown"}
    (cells,) = read(summary_csv(results))
    assert (cells["accuracy"], cells["ci95_low"], cells["tokens_in"], cells["cost_usd"]) == ("", "", "", "unknown")
    assert {row["correct"] for row in read(items_csv(rows, results))} == {""}
