from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from sagecraft.evaluation import statistics
from sagecraft.evaluation.calibration import softmax
from sagecraft.evaluation.evaluate import describe
from sagecraft.evaluation.summary import summarise

TOKENS = {"in": 5, "thought": 0, "out": 0}


def row(number: int, pick: str | None, key: str | None, options: list[dict[str, float]], **more: Any) -> dict[str, Any]:
    right = None if key is None else pick == key
    outcome = "unkeyed" if key is None else "failed" if pick is None else "correct" if right else "wrong"
    return {
        "id": f"q{number}", "topic": "xyz"[number % 3], "kind": "", "article": f"a{number // 4}", "key": key, "pick": pick,
        "correct": right, "outcome": outcome, "tokens": TOKENS,
        "options": [{"letter": "ABCD"[n], "text": f"t{n}", **scores} for n, scores in enumerate(options)], **more,
    }  # fmt: skip


def letters(num_items: int, seed: int = 0, keyed: bool = True) -> list[dict[str, Any]]:
    """A calibrated model in letter mode; every tenth item failed."""
    generator = np.random.Generator(np.random.PCG64(seed))
    rows = []
    for number in range(num_items):
        shares = generator.dirichlet([0.6] * 4)
        key = "ABCD"[generator.choice(4, p=shares)] if keyed else None
        if number % 10 == 9:
            rows.append(row(number, None, key, [{}] * 4))
            continue
        options = [{"share": float(share), "probability": float(share) / 2} for share in shares]
        rows.append(row(number, "ABCD"[int(shares.argmax())], key, options, mass=0.5, confidence=float(shares.max())))
    return rows


def test_letters() -> None:
    rows = letters(200)
    found, tokens = summarise("letter", rows, 0)
    right = sum(row["correct"] for row in rows)
    assert (found["n"], found["accuracy"]) == (200, right / 200)
    assert found["ci95"] == list(statistics.wilson(right, 200))
    assert found["num_articles"] == 50
    correct, articles = [row["correct"] for row in rows], [row["article"] for row in rows]
    assert found["ci95_by_article"] == list(statistics.wilson_by_cluster(correct, articles) or ())
    assert found["ci95_bootstrap"][0] < right / 200 < found["ci95_bootstrap"][1]
    effect = (found["standard_error_by_article"] / found["standard_error"]) ** 2
    assert found["design_effect"] == pytest.approx(effect)
    assert (found["num_answered"], found["accuracy_answered"]) == (180, right / 180)
    assert found["outcomes"]["failed"] == 20
    assert set(found["by_topic"]) == {"x", "y", "z"}
    assert found["by_topic_test"]["degrees"] == 2
    assert found["calibration"]["n"] == 180
    assert found["calibration"]["mean_mass"] == pytest.approx(0.5)
    assert found["position_bias"]["n"] == 180
    assert found["position_bias"]["degrees"] == 3
    differences = [entry["difference"] for entry in found["power"]["paired"]]
    assert differences == sorted(differences)
    assert tokens is not None
    assert tokens.prompt == 1000
    json.dumps(found, allow_nan=False)
    assert found == summarise("letter", rows, 0)[0]


def test_continuation_is_calibrated_by_its_sums() -> None:
    """The pick per character may be another one; an option that stands there twice is right under both letters."""
    rows = [
        row(
            0,
            "B",
            "B",
            [{"sum": -1.0}, {"sum": -2.0}],
            picks={"sum": "A", "per_char": "B", "per_byte": "B", "unconditional": "B"},
        ),
        row(
            1,
            "A",
            "A",
            [{"sum": -1.0}, {"sum": -3.0}],
            picks={"sum": "A", "per_char": "A", "per_byte": "A", "unconditional": "B"},
        ),
        row(
            2,
            "A",
            "B",
            [{"sum": -1.0}, {"sum": -3.0}],
            picks={"sum": "A", "per_char": "A", "per_byte": "A", "unconditional": "B"},
        ),
    ]
    for option in rows[2]["options"]:
        option["text"] = "same"
    found, _ = summarise("continuation", rows, 0)
    confidences = [max(softmax([-1.0, -2.0])), max(softmax([-1.0, -3.0]))]
    assert found["calibration"]["confidence"] == pytest.approx((confidences[0] + 2 * confidences[1]) / 3)
    assert found["calibration"]["accuracy"] == found["accuracy_sum"] == pytest.approx(2 / 3)
    assert found["accuracy_unconditional"] == pytest.approx(2 / 3)  # B each time: right, wrong, right
    assert "position_bias" not in found  # options are scored without their letters


def test_small_and_unkeyed_sets() -> None:
    found, _ = summarise("letter", letters(60, keyed=False), 0)
    assert (found["accuracy"], found["ci95"]) == (None, None)
    assert "calibration" not in found
    assert found["position_bias"]["n"] == 54
    assert "recall_spread" not in found["position_bias"]
    for rows in (letters(1), letters(2), [row(0, None, "A", [{}] * 4, article="")] * 2):
        found, _ = summarise("letter", rows, 0)
        json.dumps(found, allow_nan=False)
        assert found["accuracy"] is not None
    assert found["calibration"] is None
    assert found["position_bias"] is None
    assert found["accuracy_answered"] is None


def replies(outcomes: list[str], **more: Any) -> list[dict[str, Any]]:
    """Rows of generate mode; `right` and `wrong` have a pick."""
    found = []
    for number, outcome in enumerate(outcomes):
        pick = {"correct": "A", "wrong": "B"}.get(outcome)
        stage = {"stage": "none" if pick is None else "stated"} if outcome != "failed" else {}
        found.append({**row(number, pick, "A", [{}, {}]), "outcome": outcome, **stage, **more})
    return found


def test_outcomes_of_replies_are_never_folded() -> None:
    outcomes = ["correct"] * 3 + ["wrong"] * 2 + ["truncated", "unparsed", "refused", "failed", "truncated"]
    rows = replies(outcomes)
    rows[0] |= {"closed_by_us": True}
    rows[3] |= {"closed_by_us": True}
    rows[5] |= {"closed_by_us": True, "cut": True}
    rows[9] |= {"closed_by_us": True}
    found, _ = summarise("generate", rows, 0)
    expected = {"correct": 3, "failed": 1, "refused": 1, "truncated": 2, "unparsed": 1, "wrong": 2}
    assert found["outcomes"] == expected
    assert (found["accuracy"], found["n"]) == (0.3, 10)
    assert (found["accuracy_answered"], found["num_answered"]) == (0.6, 5)
    assert found["ci95_answered"] == list(statistics.wilson(3, 5))
    assert (found["num_cut"], found["num_thoughts_closed"], found["accuracy_of_thoughts_closed"]) == (1, 4, 0.25)
    assert (found["stages"]["stated"], found["stages"]["none"]) == (5, 4)  # what failed was never read
    assert summarise("generate", replies(["wrong"] * 4), 0)[0]["accuracy_of_thoughts_closed"] is None


def test_the_line_that_tells_the_result_says_what_was_not_read() -> None:
    much = describe(
        {
            "modes": {
                "generate": summarise("generate", replies(["correct"] * 97 + ["refused", "unparsed", "failed"]), 0)[0]
            },
            "perplexity": {},
        }
    )
    assert much.endswith("3.0 % without a readable answer: 1 unparsed, 1 refused, 1 failed; 100.0 % of those read")
    little = describe(
        {
            "modes": {"generate": summarise("generate", replies(["correct"] * 98 + ["refused"] * 2), 0)[0]},
            "perplexity": {},
        }
    )
    assert little.startswith("generate: 98.0 % of 100 (")
    assert "readable" not in little
    none = describe({"modes": {"generate": summarise("generate", replies(["truncated"] * 3), 0)[0]}, "perplexity": {}})
    assert none.endswith("100.0 % without a readable answer: 3 truncated")
