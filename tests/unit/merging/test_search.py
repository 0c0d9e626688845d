"""Searches: what is tried, how it is judged, and that a killed one goes on."""

from __future__ import annotations

import json
import math
import random
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from sagecraft import artifact
from sagecraft.corpus.documents import Document, write_documents
from sagecraft.errors import UserError
from sagecraft.evaluation import evaluate
from sagecraft.evaluation.statistics import mcnemar
from sagecraft.merging import merge, search
from sagecraft.merging.candidates import make_candidates
from sagecraft.merging.search_page import render
from sagecraft.merging.spread import Scored, against, by_setting, choose_best, choose_median, spread, verdicts

HERE = Path("merge.yml")
DARE: dict[str, Any] = {
    "merge_method": "dare_ties",
    "base_model": "models/base",
    "models": [
        {"model": "models/chat.v1", "parameters": {"weight": 0.7, "density": 0.5}},
        {"model": "other/domain", "parameters": {"weight": 0.3, "density": 0.5}},
    ],
    "seed": 4,
}


def labels(value: dict[str, Any], *sweeps: str, seeds: int | None = None) -> list[str]:
    return [candidate.label for candidate in make_candidates(value, HERE, sweeps, seeds)]


def test_seeds_count_up_from_the_configurations() -> None:
    assert labels(DARE, seeds=3) == ["seed 4", "seed 5", "seed 6"]


def test_ranges_lists_and_grids() -> None:
    found = make_candidates(DARE, HERE, ["weight=0.3..0.9:4", "density=0.3,0.5"], 2)
    assert len(found) == 16
    assert [c.label for c in found[:3]] == [
        "weight=0.3, density=0.3, seed 4",
        "weight=0.3, density=0.3, seed 5",
        "weight=0.3, density=0.5, seed 4",
    ]
    assert {dict(c.setting)["weight"] for c in found} == {0.3, 0.5, 0.7, 0.9}  # not 0.7000000000000001
    assert len(make_candidates(DARE, HERE, ["lambda=.5..1e0"], None)) == 5


def test_a_value_for_all_replaces_those_of_single_models() -> None:
    config = make_candidates(DARE, HERE, ["weight=0.2,0.4"], None)[0].config
    assert config.parameters.weight == 0.2
    assert [entry.parameters.weight for entry in config.models] == [None, None]
    assert [entry.parameters.density for entry in config.models] == [0.5, 0.5]


@pytest.mark.parametrize("name", ["chat.v1", "models/chat.v1"])
def test_a_value_of_one_model(name: str) -> None:
    first = make_candidates(DARE, HERE, [f"models.{name}.weight=0.1,0.2"], None)[0]
    assert [entry.parameters.weight for entry in first.config.models] == [0.1, 0.3]
    assert first.setting == ((f"models.{name}.weight", 0.1),)
    assert DARE["models"][0]["parameters"]["weight"] == 0.7  # what was read stays as it is


def test_a_sweep_reaches_into_slices() -> None:
    sources = [{"model": name, "layer_range": [0, 2], "parameters": {"weight": 1.0}} for name in ("x", "y")]
    sliced = {"merge_method": "linear", "slices": [{"sources": sources, "parameters": {"weight": 2.0}}] * 2}
    one = make_candidates(sliced, HERE, ["models.y.weight=0.25,0.5"], None)[0].config
    assert [[source.parameters.weight for source in part.sources] for part in one.slices] == [[1.0, 0.25]] * 2
    everybody = make_candidates(sliced, HERE, ["weight=0.25,0.5"], None)[0].config
    assert everybody.parameters.weight == 0.25
    assert [part.parameters.weight for part in everybody.slices] == [None, None]
    assert {source.parameters.weight for part in everybody.slices for source in part.sources} == {None}


def test_a_swept_parameter_need_not_stand_in_the_file() -> None:
    slerp = {"merge_method": "slerp", "base_model": "a", "models": [{"model": "b"}]}
    assert labels(slerp, "t=0..1:3") == ["t=0", "t=0.5", "t=1"]


@pytest.mark.parametrize(
    ("sweep", "message"),
    [
        ("weigth=0.1,0.2", "unknown parameter 'weigth'; did you mean 'weight'?"),
        ("t=0.1,0.2", "dare_ties does not read t; it reads weight"),
        ("weight", "expected PARAMETER=FROM..TO"),
        ("weight=0.3-0.9", "expected FROM..TO, FROM..TO:POINTS or numbers"),
        ("weight=0.3..0.9:1", "a range has 2 to 256 points"),
        ("weight=0.3..0.3", "two different ends"),
        ("weight=0.5", "at least two different values"),
        ("weight=0.5,0.50", "at least two different values"),
        ("weight=nan,1", "expected FROM..TO"),
        ("density=0.5..1.5:3", "density: 1.5 is not within [0, 1]"),
        ("models.chat.weight=0.1,0.2", "no model is called 'chat'; there are models/chat.v1, other/domain"),
        ("models.chat.v1.lambda=0.1,0.2", "it belongs under the `parameters`"),
        ("weight=0..1:200 density=0.1..1:200", "40,000 candidates: at most 256"),
        ("weight=0.1,0.2 weight=0.3,0.4", "--sweep weight: is given twice"),
        ("models.domain.weight=1,2 models.other/domain.weight=3,4", "models.domain.weight: is given twice"),
    ],
)
def test_faults_of_sweeps(sweep: str, message: str) -> None:
    with pytest.raises(UserError, match=re.escape(message)):
        make_candidates(DARE, HERE, sweep.split(), None)


def test_seeds_of_a_method_that_draws_nothing() -> None:
    ties = {**DARE, "merge_method": "ties"}
    with pytest.raises(
        UserError, match="--seeds: ties draws nothing at random, so that seeds change nothing; these draw: dare"
    ):
        make_candidates(ties, HERE, ["lambda=0.5,1"], 5)
    with pytest.raises(UserError, match="the search has 1 candidate: give --seeds 5"):
        make_candidates(ties, HERE, [], None)


def test_all_faults_at_once() -> None:
    with pytest.raises(UserError) as caught:
        make_candidates(DARE, HERE, ["wieght=1,2", "t=0,1"], 0)
    assert len(str(caught.value).split("\n")) == 3


def scored(name: str, right: Sequence[int], article: bool = False, **more: Any) -> Scored:
    rows = [
        {"id": f"q{n}", "digest": str(n), "correct": bool(c), "article": f"a{n // 4}" if article else ""}
        for n, c in enumerate(right)
    ]
    return Scored(name, rows, digest=more.pop("digest", name), **more)


def drawn(seed: int, chance: float, number: int = 200) -> list[int]:
    generator = random.Random(seed)
    return [int(generator.random() < chance) for _ in range(number)]


def test_noise_is_told_from_differences() -> None:
    noise = spread([scored(str(n), drawn(n, 0.5)) for n in range(6)])
    assert noise["p_value"] > 0.05
    assert 0 < noise["chance_lead"] < noise["chance_range"]
    # six binomial scores of 200 questions range over 2.53 standard deviations of 3.54 points
    assert noise["chance_range"] == pytest.approx(2.53 * 0.0354, rel=0.15)
    apart = spread([scored(str(n), drawn(n, 0.3 + 0.1 * n)) for n in range(6)])
    assert apart["p_value"] < 0.001
    assert apart["max"] - apart["min"] > apart["chance_range"]


def test_equals_are_seldom_called_different_and_their_best_leads_as_foretold() -> None:
    found = []
    for trial in range(80):
        generator = random.Random(trial)
        chances = [generator.random() for _ in range(100)]
        rows = [[int(generator.random() < chance) for chance in chances] for _ in range(5)]
        found.append(spread([scored(str(number), row) for number, row in enumerate(rows)]))
    assert sum(row["p_value"] < 0.05 for row in found) <= 10  # 4 on average, more than 10 once in 700
    leads = [
        sum(values) / len(found)
        for values in zip(*((r["chance_lead"], r["max"] - r["mean"]) for r in found), strict=True)
    ]
    assert leads[0] == pytest.approx(leads[1], rel=0.15)


def test_of_two_candidates_the_test_is_mcnemars() -> None:
    a, b = drawn(1, 0.5), drawn(2, 0.62)
    only_a, only_b = (
        sum(x > y for x, y in pairs) for pairs in (list(zip(a, b, strict=True)), list(zip(b, a, strict=True)))
    )
    assert spread([scored("a", a), scored("b", b)])["p_value"] == pytest.approx(mcnemar(only_a, only_b), abs=0.03)


def test_questions_of_one_article_are_dealt_together() -> None:
    whole = [[right for right in drawn(seed, 0.5, 50) for _ in range(4)] for seed in (5, 11)]
    single = spread([scored(str(n), row) for n, row in enumerate(whole)])
    together = spread([scored(str(n), row, article=True) for n, row in enumerate(whole)])
    assert together["chance_range"] > 1.6 * single["chance_range"]  # 2 for 4 questions that hang together
    assert together["p_value"] > single["p_value"]


def test_what_hangs_together_is_decided_as_in_comparisons() -> None:
    """Questions that are all on one article, or of which one names none, count as independent (`articles_of`)."""
    scores = [drawn(seed, chance, 40) for seed, chance in ((5, 0.3), (11, 0.7))]
    alone = [scored(str(n), row) for n, row in enumerate(scores)]
    expected = spread(alone)
    assert expected["p_value"] < 0.05

    def said(articles: Sequence[str]) -> list[Scored]:
        return [
            replace(one, rows=[{**row, "article": name} for row, name in zip(one.rows, articles, strict=True)])
            for one in alone
        ]

    assert spread(said(["one"] * 40)) == expected
    assert spread(said(["", *(f"a{n // 4}" for n in range(39))])) == expected
    assert spread(said([f"a{n // 4}" for n in range(40)])) != expected
    assert by_setting(said(["one"] * 40)) == by_setting(alone)


def test_equal_models_count_once() -> None:
    row = drawn(1, 0.5)
    found = spread([scored(str(n), row, digest="same") for n in range(4)])
    assert (found["num_candidates"], found["num_different"], found["p_value"]) == (4, 1, 1.0)


def test_the_best_and_the_median() -> None:
    rows = [scored("a", [1, 0, 0]), scored("b", [1, 1, 0], perplexity=9.0), scored("c", [1, 0, 1], perplexity=8.0)]
    assert choose_best(rows) == 2  # as good as b by accuracy, better by perplexity
    assert choose_median([*rows, scored("d", [0, 0, 0])]) == 0  # of two in the middle the lower
    by = by_setting([scored("1", [1, 0, 0, 1], setting="w=1"), scored("2", [1, 1, 1, 1], setting="w=1")])
    assert [(row["setting"], row["mean"], row["min"], row["max"]) for row in by] == [("w=1", 0.75, 0.5, 1.0)]
    assert by[0]["sd"] == pytest.approx(math.sqrt(2 * 0.25**2))


def test_the_comparison_and_what_is_said() -> None:
    best, base = scored("seed 3", [1] * 40), scored("base", [0] * 20 + [1] * 20)
    pairs = against(best, [base, scored("b", [1] * 40)])
    assert [(pair["than"], pair["only_a"], pair["only_b"], pair["significant"]) for pair in pairs] == [
        ("base", 0, 20, True),
        ("b", 0, 0, False),
    ]
    assert pairs[0]["p_holm"] == pytest.approx(2 * pairs[0]["p_value"])
    found = {
        "spread": spread([scored(str(n), drawn(n, 0.5)) for n in range(6)]),
        "best": best.facts(),
        "confirm": {"models": [best.facts()], "pairs": pairs},
    }
    said = verdicts(found)
    assert said[0].startswith("The spread lies within noise: best and worst of 6 candidates differ by ")
    assert "Quote 100.0 % (91.2 to 100.0), from the 40 questions that had no part in choosing." in said[1]
    assert "Against base: +50.0 points" in said[2]
    assert said[2].endswith("better.")
    assert said[3] == "Against b: both have the same questions right."


def write_task(path: Path, number: int = 24, keyed: bool = True) -> Path:
    rows = [
        {
            "id": f"q{n}",
            "question": f"What orbits star {n}?",
            "choices": ["a planet", f"dust {n}", "<b>helium</b>", f"space {n % 5}"],
            **({"answer": n % 4} if keyed else {}),
            "article": f"article {n // 3}",
        }
        for n in range(number)
    ]
    artifact.write_jsonl(path, rows)
    return path


def write_config(path: Path, family: Path, **more: Any) -> Path:
    value = {
        "merge_method": "dare_linear",
        "base_model": str(family / "base"),
        "models": [{"model": str(family / name), "parameters": {"weight": 2.0, "density": 0.5}} for name in "ab"],
        "out_dtype": "float32",
    }
    path.write_text(yaml.safe_dump(value | more), encoding="utf-8")
    return path


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Merges are not run beside transformers and evaluations draw no pages; returns the names of what is merged."""
    monkeypatch.setattr("sagecraft.merging.finish.check", lambda *_: None)
    monkeypatch.setattr("sagecraft.evaluation.report.render", lambda *_: "")
    merged: list[str] = []
    real = merge.merge_prepared

    def counted(prepared: merge.Prepared, out: Path) -> artifact.Manifest:
        merged.append(out.name)
        return real(prepared, out)

    monkeypatch.setattr(merge, "merge_prepared", counted)
    return merged


def test_a_search_that_is_killed_goes_on_and_ends_with_the_same(
    family: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quick: list[str]
) -> None:
    config, task, text = write_config(tmp_path / "m.yml", family), write_task(tmp_path / "q.jsonl"), tmp_path / "text"
    write_documents(text, [Document(f"d{n}", "A planet orbits its star. " * 9) for n in range(3)])
    measure = {"perplexity": {"tokens": 100, "window": 32}}

    def searched(out: Path, seeds: int) -> dict[str, Any]:
        quick.clear()
        return search.search_from_yaml(config, out, seeds, [], {"task": task, "text": text}, measure, False)

    out, again = tmp_path / "one" / "out", tmp_path / "two" / "out"
    straight = searched(out, 2)
    real = evaluate.run

    def killed(*args: Any, **more: Any) -> artifact.Manifest:
        if len(quick) == 2:
            raise KeyboardInterrupt
        return real(*args, **more)

    monkeypatch.setattr(evaluate, "run", killed)
    with pytest.raises(KeyboardInterrupt):
        searched(again, 2)
    assert not again.exists()
    assert not search.search_folder(again).exists()
    monkeypatch.setattr(evaluate, "run", real)
    resumed = searched(again, 2)
    assert quick[0] == "out"  # the candidates were there, the last one not yet evaluated
    assert resumed == straight
    first, second = search.search_folder(out), search.search_folder(again)
    assert artifact.load(second) == artifact.load(first)
    assert not (first / "models").exists()
    assert searched(out, 2) == straight
    assert quick == []  # everything was there

    best = straight["best"]
    expected = min(straight["candidates"], key=lambda row: (-row["accuracy"], row["perplexity"]))
    assert best["name"] == expected["name"]
    seed = int(best["name"].removeprefix("seed "))
    alone = merge.merge_from_yaml(write_config(tmp_path / "one.yml", family, seed=seed), tmp_path / "alone" / "out")
    assert artifact.load(out) == alone  # the best is what a merge of its configuration gives
    assert len({row["model_digest"] for row in straight["candidates"]}) == 2

    wider = searched(out, 3)
    assert [row["name"] for row in wider["candidates"]] == [f"seed {n}" for n in range(3)]
    assert wider["candidates"][:2] == straight["candidates"]
    assert sum(name.startswith("seed-") for name in quick) <= 2  # the new one, and the median


def test_the_two_halves_and_what_is_kept(family: Path, tmp_path: Path) -> None:
    config, task = write_config(tmp_path / "m.yml", family), write_task(tmp_path / "q.jsonl")
    found = search.search_from_yaml(config, tmp_path / "out", None, ["lambda=0.1,3"], {"task": task}, {}, True)
    folder = search.search_folder(tmp_path / "out")
    halves = [list(artifact.read_jsonl(folder / f"{name}.jsonl")) for name in ("select", "confirm")]
    assert [len(half) for half in halves] == [12, 12]
    articles = [{row["article"] for row in half} for half in halves]
    assert not articles[0] & articles[1]
    assert {row["id"] for half in halves for row in half} == {f"q{n}" for n in range(24)}
    assert {row["n"] for row in found["candidates"]} == {row["n"] for row in found["confirm"]["models"]} == {12}
    roles = [row["role"] for row in found["confirm"]["models"]]
    assert roles == ["chosen", "base", "input", "input", "median candidate"]
    kept = sorted((folder / "models").iterdir())
    assert {artifact.load(path).digest for path in kept} == {row["model_digest"] for row in found["candidates"]}
    assert artifact.is_finished(folder, artifact.load(folder).fingerprint)
    assert json.loads((folder / "search.json").read_text(encoding="utf-8")) == found
    assert yaml.safe_load(found["best"]["config"])["merge_method"] == "dare_linear"
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert page == render(found)
    assert "<svg" in page
    assert "<script" not in page
    assert "http" not in page.replace("http-equiv", "").replace("http://www.w3.org", "")


def test_everything_is_checked_before_anything_runs(family: Path, tmp_path: Path) -> None:
    unkeyed = write_task(tmp_path / "q.jsonl", keyed=False)
    config = write_config(tmp_path / "m.yml", family)
    (tmp_path / "text").mkdir()
    inputs = {"task": unkeyed, "text": tmp_path / "text"}
    with pytest.raises(UserError) as caught:
        search.search_from_yaml(config, tmp_path / "out", 2, ["desnity=0.1,0.2"], inputs, {}, False)
    lines = str(caught.value).split("\n")
    assert [("desnity" in line, "has no answers" in line, "holds no documents" in line) for line in lines] == [
        (True, False, False),
        (False, True, False),
        (False, False, True),
    ]
    few = write_task(tmp_path / "few.jsonl", 12)
    with pytest.raises(UserError, match="12 questions are too few"):
        search.search_from_yaml(config, tmp_path / "out", 2, [], {"task": few}, {}, False)
    taken = tmp_path / "taken"
    taken.mkdir()
    (taken / "thesis.tex").write_text("years", encoding="utf-8")
    task = write_task(tmp_path / "keyed.jsonl")
    with pytest.raises(UserError, match="taken: exists and is not an artifact"):
        search.search_from_yaml(config, taken, 2, [], {"task": task}, {}, False)
    with pytest.raises(UserError, match="--task: is missing"):
        search.search_from_yaml(config, tmp_path / "out", 2, [], {"task": None}, {}, False)
    assert sorted(path.name for path in tmp_path.iterdir() if "out" in path.name) == []


def test_a_weight_that_is_divided_out(family: Path, tmp_path: Path) -> None:
    models = [{"model": str(family / name), "parameters": {"weight": 1.0}} for name in "ab"]
    path = tmp_path / "m.yml"
    path.write_text(yaml.safe_dump({"merge_method": "linear", "models": models}), encoding="utf-8")
    task = write_task(tmp_path / "q.jsonl")
    with pytest.raises(UserError, match=r"divides by the sum of the weights.*for instance models\.b\.weight"):
        search.search_from_yaml(path, tmp_path / "out", None, ["weight=0.2,0.4"], {"task": task}, {}, False)
