"""The report of a run, on small made-up artifacts of the true form."""

from __future__ import annotations

import json
import math
import random
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from sagecraft import artifact
from sagecraft.corpus.documents import Document, write_documents
from sagecraft.errors import UserError
from sagecraft.evaluation.statistics import accuracy_by, wilson
from sagecraft.publishing.run_report import STEPS, ReportConfig, run

HOSTILE = '<script>alert("x")</script>'
NUM_ITEMS = 144


class NoConfig(BaseModel):
    pass


def make(
    folder: Path,
    step: str,
    kind: str,
    stats: dict[str, Any],
    files: Mapping[str, Sequence[dict[str, Any]] | dict[str, Any]],
    inputs: Mapping[str, Path] | None = None,
) -> Path:
    out = folder / step
    with artifact.build(
        out, kind=kind, stage=step.split("-")[0], version=1, config=NoConfig(), inputs=inputs or {}
    ) as build:
        for name, content in files.items():
            if isinstance(content, dict):
                artifact.write_json(build.path / name, content)
            else:
                artifact.write_jsonl(build.path / name, list(content))
        build.stats.update(stats)
    return out


def documents(prefix: str, number: int, title: str = "") -> list[Document]:
    return [
        Document(
            id=f"{prefix}-{n}",
            text="star " * (50 + n),
            title=title or f"{prefix} article {n}",
            license="CC-BY-4.0",
            source=f"{prefix}-{n}.md",
            format="markdown",
        )
        for n in range(number)
    ]


def corpus(folder: Path, step: str, number: int) -> Path:
    stats = {
        "num_documents": number,
        "num_words": 61 * number,
        "licenses": {"CC-BY-4.0": number},
        "formats": {"markdown": number - 1, "latex": 1},
        "dropped": {"too-short": 2},
    }
    return make(folder, step, "documents", stats, {"rows.jsonl": [{"step": step}]})


def withhold(folder: Path, source: Path) -> Path:
    out = folder / "withhold"
    with artifact.build(
        out, kind="documents", stage="withhold", version=1, config=NoConfig(), inputs={"documents": source}
    ) as build:
        write_documents(build.path / "training", documents("taught", 22))
        write_documents(build.path / "withheld", documents("withheld", 8, f"Dark {HOSTILE} matter"))
        build.stats.update(rules={"flagged": 8}, num_training=22, num_withheld=8)
    return out


def metrics(num_steps: int, sources: Mapping[str, tuple[float, float]], seed: int) -> list[dict[str, Any]]:
    draw = random.Random(seed)
    rows = []
    for step in range(num_steps):
        done = 1 - math.exp(-3 * step / num_steps)
        losses = {name: a + (b - a) * done + draw.gauss(0, 0.06) for name, (a, b) in sources.items()}
        rows.append(
            {
                "step": step,
                "loss": sum(losses.values()) / len(losses),
                "loss_by_source": losses,
                "learning_rate": 2e-4,
                "gradient_norm": 1.0,
                "num_tokens": 8192,
                "num_learned": 8000,
            }
        )
    return rows


def items(num_right: int, seed: int, mode: str = "continuation") -> list[dict[str, Any]]:
    draw = random.Random(seed)
    right = set(draw.sample(range(NUM_ITEMS), num_right))
    rows = []
    for n in range(NUM_ITEMS):
        key = "ABCD"[n % 4]
        rows.append(
            {
                "id": f"q{n:03d}",
                "mode": mode,
                "topic": ["cosmology", "instrumentation", "space science", HOSTILE][n % 4],
                "kind": "withheld" if n % 3 else "taught",
                "article": f"withheld-{n % 8}",
                "key": key,
                "question": f"What is the mass of object {n} in $M_\\odot$? {HOSTILE if n % 20 == 0 else ''}",
                "options": [{"letter": letter, "text": f"{n + i} solar masses"} for i, letter in enumerate("ABCD")],
                "pick": key if n in right else "ABCD"[(n + 1) % 4],
                "correct": n in right,
                "outcome": "answered",
            }
        )
    return rows


def evaluation(
    folder: Path, role: str, num_right: int, perplexity: tuple[float, float] | None, seed: int = 3, **inputs: Path
) -> Path:
    rows = items(num_right, seed)
    scores = {
        "n": NUM_ITEMS,
        "accuracy": num_right / NUM_ITEMS,
        "ci95": list(wilson(num_right, NUM_ITEMS)),
        "by_kind": accuracy_by(rows, "kind"),
        "by_topic": accuracy_by(rows, "topic"),
        "tokens": "unknown",
        "cost_usd": 0.0,
    }
    texts = {} if perplexity is None else dict(zip(("domain", "general"), perplexity, strict=True))
    results = {
        "model": role,
        "mode": "continuation",
        **scores,
        "modes": {"continuation": scores},
        "perplexity": {
            name: {"perplexity": value, "num_tokens": 20000, "bits_per_byte": 1.1} for name, value in texts.items()
        },
        "seconds": 12.5,
    }
    files = {"results.json": results, "items.jsonl": rows}
    return make(folder, f"evaluate-{role}", "evaluation", {}, files, inputs)


def conversations(number: int) -> list[dict[str, Any]]:
    return [
        {
            "id": f"pair-{n}",
            "messages": [
                {"role": "user", "content": f"What is a pulsar? {HOSTILE}"},
                {
                    "role": "assistant",
                    "content": "A rotating neutron star.",
                    "thinking": f"The text says so. {HOSTILE}",
                },
            ],
            "thinking": "on" if n % 2 else "off",
            "kind": "definition",
            "source": "synth",
            "license": "CC-BY-4.0",
            "lineage": [{"document": f"taught-{n}", "sentence": 3}],
        }
        for n in range(number)
    ]


def whole_run(folder: Path) -> dict[str, Path]:
    """All steps, in the order in which a recipe makes them."""
    made: dict[str, Path] = {}
    base = {"name": "pico", "title": "Pico 135M", "license": "Apache-2.0", "quantisation": "Q4_1"}
    made["fetch"] = make(folder, "fetch", "model", base, {"config.json": {"a": 1}})
    made["ingest"] = corpus(folder, "ingest", 30)
    made["ingest-replay"] = corpus(folder, "ingest-replay", 12)
    made["ingest-held-out"] = corpus(folder, "ingest-held-out", 11)
    made["withhold"] = withhold(folder, made["ingest"])
    (folder / "task.jsonl").write_text("{}\n")
    asked = {"num_items": 77, "dropped_by_reason": {"in-training": 2, "passage-in-training": 3, "no-options": 9}}
    sides = {"documents": made["withhold"] / "withheld", "training": made["withhold"] / "training"}
    made["bench"] = make(folder, "bench", "benchmark", asked, {"items.jsonl": [{"id": "bench-1"}]}, sides)
    found = {"num_documents_hit": 2, "num_hits": 3}
    taken = {"documents": made["withhold"] / "training", "benchmark": folder / "task.jsonl"}
    made["decontaminate"] = make(folder, "decontaminate", "documents", found, {"hits.jsonl": [{"item": "q1"}]}, taken)
    none = {"num_documents_hit": 0, "num_hits": 0}
    taken = {"documents": made["ingest-replay"], "benchmark": folder / "task.jsonl"}
    made["decontaminate-replay"] = make(
        folder, "decontaminate-replay", "documents", none, {"hits.jsonl": [{"item": "none"}]}, taken
    )
    sources = {"documents": made["decontaminate"], "general": made["decontaminate-replay"], "model": made["fetch"]}
    made["mix"] = make(folder, "mix", "mixture", {}, {"mixture.json": {"a": 1}}, sources)
    packed = {"tokens_by_source": {"domain": 48000, "general": 12000}, "num_learned": 59000}
    rows = [{"id": f"taught-{n}", "source": "domain", "num_tokens": 9, "lineage": [f"taught-{n}"]} for n in range(22)]
    sources["mixture"] = made["mix"]
    made["pack"] = make(folder, "pack", "tokens", packed, {"items.jsonl": rows}, sources)
    rows = metrics(160, {"domain": (3.1, 2.5), "general": (2.9, 2.85)}, 1)
    taken = {"model": made["fetch"], "tokens": made["pack"]}
    made["cpt"] = make(folder, "cpt", "model", {}, {"metrics.jsonl": rows}, taken)
    taken = {"documents": made["decontaminate"], "benchmark": folder / "task.jsonl"}
    dropped = {"dropped_by_reason": {"in-benchmark": 4}}
    made["synth"] = make(folder, "synth", "conversations", dropped, {"conversations.jsonl": conversations(40)}, taken)
    rendered = {"tokens_by_source": {"synth/on": 5200, "synth/off": 3100, "general/plain": 2900}, "num_learned": 6000}
    rows = [{"id": "pair-1", "source": "synth/on", "num_tokens": 9, "lineage": ["taught-1"]}]
    taken = {"conversations": made["synth"], "model": made["cpt"]}
    made["render"] = make(folder, "render", "tokens", rendered, {"items.jsonl": rows}, taken)
    rows = metrics(80, {"synth/on": (1.9, 0.8), "synth/off": (2.1, 1.0), "general/plain": (1.5, 1.4)}, 2)
    taken = {"model": made["cpt"], "tokens": made["render"]}
    made["sft"] = make(folder, "sft", "model", {}, {"metrics.jsonl": rows}, taken)
    taken = {"base": made["fetch"], "sft": made["sft"]}
    made["merge"] = make(folder, "merge", "model", {}, {"config.json": {"b": 1}}, taken)
    scores = {
        "base": (55, (21.3, 31.2)),
        "cpt": (57, (15.2, 31.6)),
        "sft": (60, (16.1, 32.4)),
        "merged": (59, (15.9, 31.8)),
    }
    models = {"base": "fetch", "cpt": "cpt", "sft": "sft", "merged": "merge"}
    for number, (role, (right, perplexity)) in enumerate(scores.items()):
        made[f"evaluate-{role}"] = evaluation(folder, role, right, perplexity, number, model=made[models[role]])
    assert tuple(made) == STEPS
    return made


@pytest.fixture(scope="module")
def steps(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return whole_run(tmp_path_factory.mktemp("run"))


def report(inputs: Mapping[str, Path], out: Path, **config: Any) -> tuple[dict[str, Any], str]:
    run(ReportConfig(**config), inputs, out)
    results = json.loads((out / "results.json").read_text())
    return results, (out / "report.html").read_text()


@pytest.fixture(scope="module")
def whole(steps: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], str]:
    return report(steps, tmp_path_factory.mktemp("whole") / "report")


def test_a_whole_run(whole: tuple[dict[str, Any], str]) -> None:
    results, page = whole
    assert list(results["models"]) == ["base", "cpt", "sft", "merged"]
    merged = results["models"]["merged"]
    assert merged["accuracy"] == 59 / 144
    assert merged["ci95"] == list(wilson(59, 144))
    assert merged["perplexity"] == {"domain": 15.9, "general": 31.8}
    assert [c["model"] for c in results["comparisons"]] == ["cpt", "sft", "merged"]
    assert set(results["comparisons_by_kind"]) == {"taught", "withheld"}
    assert results["chance"] == 0.25
    assert results["corpora"]["ingest"]["num_documents"] == 30
    assert len(results["withheld"]) == 8
    assert results["not_run"] == []
    assert page.count("<svg") == 11
    assert "Not run" not in page
    assert results["verdict"].startswith(
        "From base to merged, domain perplexity fell from 21.3 to 15.9 (−25 %) and general perplexity rose from 31.2 to "
        "31.8 (+1.9 %). On 144 questions merged is right 41.0 % of the time, base 38.2 %:"
    )
    assert "no gain in knowledge is shown" in results["verdict"]


def test_lineage_names_steps_and_the_folders_inside_them(
    steps: dict[str, Path], whole: tuple[dict[str, Any], str]
) -> None:
    lineage = whole[0]["lineage"]
    assert lineage["withhold"]["inputs"] == {"documents": "ingest"}
    assert lineage["decontaminate"]["inputs"]["documents"] == "withhold/training"
    texts = {"documents": "decontaminate", "general": "decontaminate-replay", "mixture": "mix", "model": "fetch"}
    assert lineage["pack"]["inputs"] == texts
    assert lineage["merge"]["inputs"] == {"base": "fetch", "sft": "sft"}
    assert re.fullmatch(r"outside \([0-9a-f]{12}\)", lineage["synth"]["inputs"]["benchmark"])
    assert lineage["cpt"]["digest"] == artifact.load(steps["cpt"]).digest
    assert lineage["evaluate-base"]["digest"] == artifact.load(steps["evaluate-base"]).digest


def test_the_page_explains_its_words(whole: tuple[dict[str, Any], str]) -> None:
    page = whole[1]
    for words in (
        "after continued pre-training", "the model that was started from", "the likeliest per character counts",
        "Each model against base, on the same questions, with 95 % intervals. Shown to differ: none.",
        "merged against base by kind of question", "mean loss, first quarter", "text that this run trained none of them on",
    ):  # fmt: skip
        assert words in page, words
    assert "none of them was trained on" not in page  # what the base model read is not known


def test_a_training_set_of_many_sources_is_a_short_plot(steps: dict[str, Path], tmp_path: Path) -> None:
    many = {f"kind{n:02d}/{state}": 100 * (n + 1) for n in range(16) for state in ("on", "off")}
    rendered = make(tmp_path, "render", "tokens", {"tokens_by_source": many, "num_learned": 9}, {"items.jsonl": []})
    _, page = report({"withhold": steps["withhold"], "render": rendered}, tmp_path / "report")
    assert ">kind15</text>" in page
    assert ">4 others</text>" in page
    assert "kind15/on" not in page
    assert "50 % stand in conversations with a thought" in page


def test_a_title_that_tells_the_quantisation_is_not_told_it_again(tmp_path: Path) -> None:
    title = {"title": "Pico, de-quantised from Q4_1", "license": "Apache-2.0", "quantisation": "Q4_1"}
    _, page = report({"fetch": make(tmp_path, "fetch", "model", title, {"config.json": {"a": 1}})}, tmp_path / "report")
    assert "<h1>From Pico to a specialist</h1>" in page
    assert "Pico, de-quantised from Q4_1, licence Apache-2.0" in page


def test_an_accuracy_of_nothing_is_told(tmp_path: Path) -> None:
    inputs = {
        "evaluate-base": evaluation(tmp_path, "base", 0, None, 1),
        "evaluate-sft": evaluation(tmp_path, "sft", 50, None, 2),
    }
    assert "; base: 0.0 %" in report(inputs, tmp_path / "report")[1]


def test_nothing_from_the_artifacts_is_markup(steps: dict[str, Path], tmp_path: Path) -> None:
    _, page = report(steps, tmp_path / "report", title=f"Run {HOSTILE}", max_items_shown=144, max_rows_shown=40)
    assert "<script" not in page
    assert page.count("&lt;script&gt;alert") > 100
    assert re.findall(r"(?:src|href|action|data)=\"(?!#|data:,\")[^\"]*\"", page) == ['href="results.json"']
    assert not re.search(r"@import|url\((?!#)", page)


def test_results_are_the_same_bytes_and_hold_no_times(steps: dict[str, Path], tmp_path: Path) -> None:
    report(steps, tmp_path / "a")
    first = (tmp_path / "a" / "results.json").read_bytes()
    assert b"seconds" not in first
    # the same again, but for another duration: it changes the page only
    timing = steps["cpt"] / artifact.TIMING
    before = timing.read_text()
    timing.write_text('{"seconds": 987.5}')
    try:
        _, page = report(steps, tmp_path / "c")
    finally:
        timing.write_text(before)
    assert "16.5 min" in page
    assert (tmp_path / "c" / "results.json").read_bytes() == first


def test_what_was_measured_while_it_trained_is_drawn(steps: dict[str, Path], tmp_path: Path) -> None:
    stopped = {"step": 3, "num_steps": 9, "general_loss": 3.25, "max_general_loss": 3.0}
    measured = [
        {"step": step, "general": {"perplexity": 20.0 + step, "nats_per_token": 3.0, "num_tokens": 90}}
        for step in (0, 3)
    ]
    files = {"metrics.jsonl": metrics(3, {"domain": (3.1, 2.5)}, 1), "held_out.jsonl": measured}
    cpt = make(tmp_path, "cpt", "model", {"stopped": stopped}, files, {})
    results, page = report({"cpt": cpt}, tmp_path / "report")
    assert results["training"]["cpt"]["stopped"] == stopped
    assert "Continued pre-training: Training was stopped after step 3 of 9" in page
    assert "perplexity of held-out text while it trained" in page
    assert (
        page.count("<svg")
        == report(
            {"cpt": make(tmp_path, "cpt2", "model", {}, {"metrics.jsonl": files["metrics.jsonl"]}, {})}, tmp_path / "b"
        )[1].count("<svg")
        + 1
    )


def test_steps_left_out_are_named(steps: dict[str, Path], tmp_path: Path) -> None:
    wanted = ("ingest", "withhold", "evaluate-base", "evaluate-sft", "sft")
    results, page = report({name: steps[name] for name in wanted}, tmp_path / "report")
    assert list(results["models"]) == ["base", "sft"]
    assert results["verdict"].startswith("From base to sft, domain perplexity fell")
    named = " ".join(results["not_run"])
    for words in ("Continued pre-training", "Nothing was merged", "No conversations", "replayed", "held out"):
        assert words in named
        assert words in page
    assert "Fine-tuning was not run" not in named


@pytest.mark.parametrize(
    ("wanted", "sentence"),
    [
        (["ingest"], "No model was measured, so nothing is shown"),
        (["ingest", "evaluate-base"], "Only the base model was measured, so nothing is shown"),
        (["ingest", "evaluate-merged"], "The base model was not measured (merged only), so nothing is shown"),
    ],
)
def test_too_little_to_compare(steps: dict[str, Path], tmp_path: Path, wanted: list[str], sentence: str) -> None:
    results, page = report({name: steps[name] for name in wanted}, tmp_path / "report")
    assert results["verdict"].startswith(sentence)
    assert results["comparisons"] == []
    assert sentence in page


def verdict_of(tmp_path: Path, before: int, after: int, perplexity: tuple[float, float] | None = (10.0, 20.0)) -> str:
    old = None if perplexity is None else (20.0, 20.0)
    inputs = {
        "evaluate-base": evaluation(tmp_path, "base", before, old, 1),
        "evaluate-sft": evaluation(tmp_path, "sft", after, perplexity, 2),
    }
    verdict: str = report(inputs, tmp_path / "report")[0]["verdict"]
    return verdict


def test_a_gain_is_said_to_be_one(tmp_path: Path) -> None:
    verdict = verdict_of(tmp_path, 50, 100)
    assert "a gain of 34.7 points (95 % interval " in verdict
    assert "which chance does not explain." in verdict
    assert "general perplexity stayed at 20.0" in verdict
    assert "paired p = 0.008" in verdict  # all of the 8 articles gained: 2 of 2^8 patterns of signs are as far from 0


def test_a_loss_is_said_to_be_one(tmp_path: Path) -> None:
    verdict = verdict_of(tmp_path, 100, 50, (30.0, 25.0))
    assert "a loss of 34.7 points" in verdict
    assert "its answers became worse" in verdict
    assert (
        "domain perplexity rose from 20.0 to 30.0 (+50 %) and general perplexity rose from 20.0 to 25.0 (+25 %)"
        in verdict
    )


def test_no_difference_and_no_better_than_guessing(tmp_path: Path) -> None:
    verdict = verdict_of(tmp_path, 38, 36, None)
    assert "Perplexity was not measured before and after" in verdict
    assert "neither a gain nor a loss of knowledge is shown" in verdict
    assert "Neither can be told from guessing (25.0 %)." in verdict


def test_traces_of_withheld_documents_are_counted(steps: dict[str, Path], tmp_path: Path) -> None:
    rows = [{"id": "a", "lineage": ["withheld-3"]}, {"id": "b", "lineage": ["taught-1"]}]
    leaking = make(tmp_path, "pack", "tokens", {}, {"items.jsonl": rows})
    checks = report(
        {
            "withhold": steps["withhold"],
            "bench": steps["bench"],
            "pack": leaking,
            "synth": steps["synth"],
            "render": steps["render"],
        },
        tmp_path / "report",
    )[0]["checks"]
    traced = {row["step"]: row["result"] for row in checks if "lineage names a withheld" in row["check"]}
    assert traced == {"pack": 1, "render": 0}
    assert {"step": "synth", "check": "questions dropped since the benchmark asks them too", "result": 4} in checks
    left = "questions left out since they or their passage stand in a training document"
    assert {"step": "bench", "check": left, "result": 5} in checks


def test_faults_name_the_file(steps: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"inputs\.bake: no step of a run"):
        run(ReportConfig(), {"bake": steps["fetch"]}, tmp_path / "a")
    results = {"n": 3, "accuracy": 7.0, "mode": "letter"}
    broken = make(tmp_path, "evaluate-base", "evaluation", {}, {"results.json": results, "items.jsonl": []})
    with pytest.raises(UserError, match=r"results\.json: accuracy: .*less than or equal to 1"):
        run(ReportConfig(), {"evaluate-base": broken}, tmp_path / "b")
    broken = make(tmp_path, "cpt", "model", {}, {"metrics.jsonl": [{"step": 0}]})
    with pytest.raises(UserError, match=r"metrics\.jsonl:1: has no step or no loss"):
        run(ReportConfig(), {"cpt": broken}, tmp_path / "c")
    assert not any((tmp_path / name).exists() for name in "abc")
