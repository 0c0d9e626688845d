from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from sagecraft.evaluation.harness import HarnessConfig, _mode
from sagecraft.evaluation.harness_rows import drop_options_unless_all, metric_of, rows_of
from sagecraft.evaluation.summary import summarise


def scored(doc_id: int, lls: list[float], target: Any, **metrics: float) -> dict[str, Any]:
    options = ["ten words", "b"] + [f"option {n}" for n in range(len(lls) - 2)]
    return {
        "doc_id": doc_id,
        "doc": {"question": f"Question {doc_id}?", "article": "x1", "kind": "k"},
        "doc_hash": f"hash {doc_id}",
        "target": target,
        "arguments": [(f"Q{doc_id}\nAnswer:", f" {option}") for option in options],
        "resps": [[(ll, False)] for ll in lls],
        "filtered_resps": [(ll, False) for ll in lls],
        "filter": "none",
        "metrics": list(metrics),
        **metrics,
    }


def wrote(doc_id: int, reply: str, taken: Any, target: str, filter_: str = "strict", **metrics: Any) -> dict[str, Any]:
    return {
        "doc_id": doc_id,
        "doc": {"problem": "2 + 2"},
        "doc_hash": str(doc_id),
        "target": target,
        "arguments": [("2 + 2 =", {"until": ["\n"], "max_gen_toks": 8})],
        "resps": [[reply]],
        "filtered_resps": [taken],
        "filter": filter_,
        "metrics": list(metrics),
        **metrics,
    }


def rows(samples: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return rows_of("group", "leaf", samples, " ", len)


@pytest.mark.parametrize(
    ("metrics", "chosen"),
    [
        ({"acc": 1.0, "acc_norm": 0.0}, "acc_norm"),
        ({"acc": 1.0}, "acc"),
        (
            {"inst_level_strict_acc": [True, False], "prompt_level_strict_acc": False, "prompt_level_loose_acc": True},
            "prompt_level_strict_acc",
        ),
        ({"bleu": 31.2, "pass@1": 1}, "pass@1"),
        ({"exact_match": np.float64(1.0)}, "exact_match"),
        ({"acc": np.bool_(True), "acc_norm": np.float32(0.5)}, "acc"),
        ({"bleu": 31.2}, None),
        ({"bypass": 1}, None),
    ],
)
def test_the_metric_that_says_right_or_wrong(metrics: dict[str, Any], chosen: str | None) -> None:
    assert metric_of([wrote(0, "", "", "", **metrics)]) == chosen


def test_a_metric_counts_only_if_it_is_binary_for_all() -> None:
    assert metric_of([wrote(0, "", "", "", acc=1.0, f1=1.0), wrote(1, "", "", "", acc=0.5, f1=0.0)]) == "f1"


def test_scored_options() -> None:
    first, second = rows(
        [scored(0, [-9.0, -2.0], 0, acc=0.0, acc_norm=1.0), scored(1, [-9.0, -0.5], [1], acc=1.0, acc_norm=1.0)]
    )
    assert (first["pick"], first["key"], first["correct"], first["outcome"]) == (
        "A",
        "A",
        True,
        "correct",
    )  # per character
    assert (second["pick"], second["key"], second["correct"]) == ("B", "B", True)
    assert [option["text"] for option in first["options"]] == ["ten words", "b"]
    assert first["options"][0]["per_char"] == pytest.approx(-1.0)
    assert first["id"] == "leaf/0"
    assert first["mode"] == "group"
    assert first["topic"] == "leaf"
    assert (first["question"], first["article"], first["kind"]) == ("Question 0?", "x1", "k")
    assert first["tokens"] == {"in": len("Q0\nAnswer:") + len(" ten words") + len(" b"), "thought": 0, "out": 0}
    assert first["digest"] != second["digest"]
    assert first["extra"]["metrics"] == {"acc": 0.0, "acc_norm": 1.0}


def test_by_the_sum_where_the_metric_is_acc() -> None:
    (row,) = rows([scored(0, [-9.0, -2.0], 0, acc=0.0)])
    assert (row["pick"], row["correct"], row["outcome"]) == ("B", False, "wrong")


def test_the_key_may_be_a_text() -> None:
    assert rows([scored(0, [-9.0, -2.0], "b", acc=1.0)])[0]["key"] == "B"


def test_figures_of_numpy_become_plain() -> None:
    (row,) = rows([wrote(0, "4", "4", "4", exact_match=np.float64(1.0), lengths=[1, 2])])
    assert row["correct"] is True
    assert json.loads(json.dumps(row))["extra"]["metrics"] == {"exact_match": 1.0}


def test_mutual_information_doubles_the_options() -> None:
    sample = scored(0, [-9.0, -2.0, -1.0, -1.0], 1, acc=1.0, acc_mutual_info=1.0)
    assert [option["sum"] for option in rows([sample])[0]["options"]] == [-9.0, -2.0]


def test_written_answers() -> None:
    samples = [
        wrote(0, "it is 4", "4", "4", exact_match=1.0),
        wrote(0, "it is 4", "it is 4", "4", "loose", exact_match=0.0),
        wrote(1, "hm", "[invalid]", "4", exact_match=0.0),
        wrote(2, "5", ["5"], "4", exact_match=0.0),
    ]
    right, unread, wrong = rows(samples)
    assert (right["pick"], right["raw"], right["correct"], right["options"]) == ("4", "it is 4", True, [])
    assert (unread["pick"], unread["outcome"], unread["correct"]) == (None, "unparsed", False)
    assert (wrong["pick"], wrong["outcome"]) == ("5", "wrong")
    assert wrong["tokens"] == {"in": len("2 + 2 ="), "thought": 0, "out": 1}


def test_a_set_without_a_key_keeps_its_picks() -> None:
    (row,) = rows([scored(0, [-9.0, -2.0], 0, bypass=0)])
    assert (row["key"], row["pick"], row["correct"], row["outcome"]) == (None, "A", None, "unkeyed")


def test_more_options_than_letters() -> None:
    many = [scored(0, [-1.0 * (30 - n) for n in range(30)], 29, acc=1.0), scored(1, [-1.0, -2.0], 1, acc=0.0)]
    found = rows(many)
    assert (found[0]["pick"], found[0]["options"]) == ("option 27", [])
    drop_options_unless_all(found)
    assert (found[1]["key"], found[1]["pick"], found[1]["options"]) == ("b", "ten words", [])
    summary, tokens = summarise("group", found, 0)
    assert summary["accuracy"] == 0.5
    assert summary["by_topic"]["leaf"]["n"] == 2
    assert tokens is not None


def test_eighteen_options_have_letters() -> None:
    (row,) = rows([scored(0, [-1.0 * (18 - n) for n in range(18)], 17, acc=1.0)])
    assert (row["pick"], row["key"], row["correct"], len(row["options"])) == ("R", "R", True, 18)
    mode = _mode("leaf", [row], HarnessConfig(tasks=("leaf",)), 1.0)
    assert mode["guessing"]["accuracy"] == pytest.approx(1 / 18)
    assert mode["picks"] == {"R": 1}
