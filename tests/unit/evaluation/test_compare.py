from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import scipy.stats

from evaluations import evaluation, rows
from sagecraft import artifact
from sagecraft.errors import UserError
from sagecraft.evaluation.compare import CompareConfig, paired, run

A = rows([n % 2 == 0 for n in range(100)])
B = rows([n % 2 == 0 or n < 30 for n in range(100)])


def test_pairs() -> None:
    found = paired(A, B)
    assert (found.n, found.only_a, found.only_b) == (100, 0, 15)
    assert found.difference == pytest.approx(0.15)
    assert found.ci95[0] < 0.15 < found.ci95[1]
    assert found.p_value == pytest.approx(scipy.stats.binomtest(0, 15).pvalue)
    back = paired(B, A)
    assert (back.difference, back.p_value) == (pytest.approx(-0.15), found.p_value)


def test_only_shared_items_count_and_articles_are_drawn_whole() -> None:
    assert paired(A[:40], B[20:]).n == 20
    alone, together = paired(A, B), paired([{**row, "article": f"a{n // 10}"} for n, row in enumerate(A)], B)
    assert together.ci95[1] - together.ci95[0] > alone.ci95[1] - alone.ci95[0]


def by_article(right: list[bool], size: int = 10) -> list[dict[str, Any]]:
    picked = [{**row, "pick": "A" if row["correct"] else "B"} for row in rows(right)]
    return [{**row, "article": f"a{n // size}"} for n, row in enumerate(picked)]


def test_articles_decide_which_test_is_made() -> None:
    worse, better = [n % 2 == 0 for n in range(100)], [n % 2 == 0 or n < 30 for n in range(100)]
    found = paired(by_article(worse), by_article(better))
    assert (found.test, paired(A, B).test) == ("mcnemar_by_article", "mcnemar")
    # 15 questions gained, all on three of ten articles: 2 of 2^3 patterns of signs are as far from 0
    assert (found.p_value, found.p_mcnemar) == (pytest.approx(0.25), pytest.approx(2 / 2**15))
    assert found.design_effect > 2
    assert (found.both_right, found.only_b, found.both_wrong, found.same_wrong) == (50, 15, 35, 35)
    assert found.p_mid < found.p_mcnemar
    alone = paired(A, B)
    assert found.detectable is not None
    assert alone.detectable is not None
    assert found.detectable > alone.detectable
    assert found.items_needed is not None
    assert alone.items_needed is not None
    assert found.items_needed > alone.items_needed
    assert alone.kappa is None  # rows that tell no picks


def test_too_few_articles_show_nothing() -> None:
    found = paired(by_article([False] * 100, 20), by_article([True] * 100, 20))
    assert found.p_value == pytest.approx(2 / 2**5)
    assert found.detectable is None
    assert paired(by_article([False] * 120, 20), by_article([True] * 120, 20)).detectable is not None


def test_models_that_never_differ_have_an_interval() -> None:
    found = paired(A, A)
    assert (found.difference, found.p_value, found.ci95_bootstrap) == (0, 1, (0, 0))
    assert found.ci95[0] < -0.02 < 0.02 < found.ci95[1]
    assert found.items_needed is None
    assert found.standard_error == 0


def test_what_cannot_be_compared() -> None:
    with pytest.raises(UserError, match="no item in common"):
        paired(A, [])
    with pytest.raises(UserError, match="item q0: the two evaluations mean different questions"):
        paired(A, rows([True], digest="other"))
    with pytest.raises(UserError, match="item q0: has no key"):
        paired(A, [{**row, "correct": None} for row in A])


def test_run(tmp_path: Path) -> None:
    right = [row["correct"] for row in A]
    inputs = {
        "0": evaluation(tmp_path / "a", "base", right),
        "1": evaluation(tmp_path / "b", "base", [row["correct"] for row in B], cost=0.0),
        "2": evaluation(tmp_path / "c", "<b>tuned</b>", right, cost="unknown"),
    }
    run(CompareConfig(num_resamples=500), inputs, tmp_path / "out")
    results = json.loads((tmp_path / "out/results.json").read_text())
    assert [m["name"] for m in results["models"]] == ["base", "base (2)", "<b>tuned</b>"]
    assert results["models"][0]["usd_per_100k_tokens"] == 50.0  # of 1,000 tokens: cached ones are among those read
    assert results["models"][2]["usd_per_100k_tokens"] == "unknown"
    assert [(p["a"], p["b"], p["significant"]) for p in results["pairs"]] == [
        ("base", "base (2)", True),
        ("base", "<b>tuned</b>", False),
        ("base (2)", "<b>tuned</b>", True),
    ]
    assert all(p["p_holm"] >= p["p_value"] for p in results["pairs"])
    page = (tmp_path / "out/report.html").read_text()
    assert "<b>tuned" not in page
    assert "base (2) is better" in page
    assert results["verdict"][0] == "base (2) (65.0 %) is ahead of all 2 others by more than chance."
    assert results["reference"] == "base (2)"
    visible = [pair["detectable"] for pair in results["pairs"]]
    apart = paired(A, B, alpha=0.05 / 3).detectable
    assert visible[0] == apart  # of three tests: what is found whatever the others show
    before = (tmp_path / "out/results.json").read_bytes()
    run(CompareConfig(num_resamples=500), inputs, tmp_path / "again")
    assert (tmp_path / "again/results.json").read_bytes() == before
    run(CompareConfig(against="first", num_resamples=500), inputs, tmp_path / "first")
    assert len(json.loads((tmp_path / "first/results.json").read_text())["pairs"]) == 2


def test_bad_inputs(tmp_path: Path) -> None:
    one, empty = evaluation(tmp_path / "a", "base", [True]), tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(UserError, match="at least two"):
        run(CompareConfig(), {"0": one}, tmp_path / "out")
    with pytest.raises(UserError, match="not an evaluation"):
        run(CompareConfig(), {"0": one, "1": empty}, tmp_path / "out")
    with pytest.raises(UserError, match="has no mode generate"):
        run(CompareConfig(modes=("generate",)), {"0": one, "1": one}, tmp_path / "out")
    artifact.write_jsonl(one / "items.jsonl", rows([True], mode="generate"))
    with pytest.raises(UserError, match="has no row of mode letter"):
        run(CompareConfig(), {"0": one, "1": one}, tmp_path / "out")
    artifact.write_jsonl(one / "items.jsonl", [{"id": "q0", "mode": "letter", "correct": True}])
    with pytest.raises(UserError, match=r"items.jsonl: digest: field required; run `sagecraft eval` again"):
        run(CompareConfig(), {"0": one, "1": one}, tmp_path / "out")
    (one / "results.json").write_text("[]")
    with pytest.raises(UserError, match="not an evaluation's results"):
        run(CompareConfig(), {"0": one, "1": one}, tmp_path / "out")
