from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from sagecraft import artifact
from sagecraft.corpus.documents import Document, write_documents
from sagecraft.errors import UserError
from sagecraft.evaluation.config import EvaluateConfig, PerplexityConfig, ReplyConfig
from sagecraft.evaluation.evaluate import describe, run
from sagecraft.evaluation.inputs import resolve_model
from sagecraft.models.adapter import ChangedWeights, load_adapter, write_adapter
from sagecraft.models.save import save_model

HOSTILE = "<script>alert(1)</script>\x00\x1b[31m \u202e & 'quotes'"


def write_task(path: Path, num_items: int = 8, keyed: bool = True) -> Path:
    rows = [
        {
            "id": f"q{n}",
            "question": f"What orbits star {n}? {HOSTILE if n == 1 else ''}",
            "A": "a planet",
            "B": "a galaxy",
            "C": f"helium {n}",
            "D": "space",
            **({"answer": "ABCD"[n % 4]} if keyed else {}),
            "topic": f"topic {n % 2}",
            "kind": "withheld" if n % 3 else "taught",
            "article": f"article {n // 2}",
        }
        for n in range(num_items)
    ]
    artifact.write_jsonl(path, rows)
    return path


@pytest.fixture
def task(tmp_path: Path) -> Path:
    return write_task(tmp_path / "questions.jsonl")


def results_of(folder: Path) -> Any:
    return json.loads((folder / "results.json").read_text())


def test_all_modes_and_texts(pico: Path, task: Path, tmp_path: Path) -> None:
    text = tmp_path / "text"
    write_documents(text, [Document(f"d{n}", "A planet orbits its star. " * 9) for n in range(5)])
    config = EvaluateConfig(
        modes=("continuation", "letter", "generate"),
        dtype="float32",
        reply=ReplyConfig(thought_tokens=4, answer_tokens=4),
        perplexity=PerplexityConfig(tokens=200, window=64),
        device_usd_per_hour=3600.0,
    )
    manifest = run(config, {"model": pico, "task": task, "domain": text, "general": text}, tmp_path / "out")
    results = results_of(tmp_path / "out")
    assert (results["model"], results["mode"], results["n"]) == ("model", "continuation", 8)
    assert set(results["modes"]) == {"continuation", "letter", "generate"}
    assert results["accuracy"] == results["modes"]["continuation"]["accuracy"]
    low, high = results["ci95"]
    assert 0 <= low <= results["accuracy"] <= high <= 1
    assert results["num_articles"] == 4
    assert results["by_kind"]["withheld"]["n"] + results["by_kind"]["taught"]["n"] == 8
    assert results["by_topic"]["topic 0"]["n"] == 4
    assert results["perplexity"]["domain"]["num_tokens"] == 200
    assert results["perplexity"]["domain"] == results["perplexity"]["general"]
    assert sum(mode["cost_usd"] for mode in results["modes"].values()) <= results["seconds"] + 0.001
    assert results["example_prompt"].startswith("Question: What orbits star 0?")
    assert sum(results["modes"]["generate"]["outcomes"].values()) == 8
    assert manifest.stats["accuracy"] == results["accuracy"]
    rows = list(artifact.read_jsonl(tmp_path / "out/items.jsonl"))
    assert len(rows) == 24
    assert all(
        {"prompt", "options", "pick", "key", "correct", "outcome", "topic", "kind"} <= row.keys() for row in rows
    )
    assert all("raw" in row for row in rows if row["mode"] == "generate")
    assert not (tmp_path / "out/store").exists()
    assert "continuation: " in describe(results)


def test_both_states_of_the_switch_side_by_side(pico: Path, task: Path, tmp_path: Path) -> None:
    config = EvaluateConfig(
        modes=("letter", "generate"),
        thinking="both",
        permutations="shuffle",
        reply=ReplyConfig(thought_tokens=4, answer_tokens=4),
    )
    run(config, {"model": pico, "task": task}, tmp_path / "out")
    results = results_of(tmp_path / "out")
    assert list(results["modes"]) == ["letter", "generate", "generate+thinking"]
    assert [mode.get("thinking") for mode in results["modes"].values()] == [None, "off", "on"]
    assert (results["thinking_difference"]["n"], results["thinking_difference"]["b"]) == (8, "generate+thinking")
    rows = {row["mode"]: row for row in artifact.read_jsonl(tmp_path / "out/items.jsonl") if row["id"] == "q0"}
    assert "detailed thinking off" in rows["generate"]["prompt"]
    assert "detailed thinking on" in rows["generate+thinking"]["prompt"]
    others = [row["mode"] for row in artifact.read_jsonl(tmp_path / "out/permutations.jsonl")]
    assert others.count("generate+thinking") == 8
    # each state alone gives the same rows
    run(
        config.model_copy(update={"thinking": "off", "modes": ("generate",)}),
        {"model": pico, "task": task},
        tmp_path / "off",
    )
    both = [row for row in artifact.read_jsonl(tmp_path / "out/items.jsonl") if row["mode"] == "generate"]
    assert both == list(artifact.read_jsonl(tmp_path / "off/items.jsonl"))


def test_hostile_text_is_data_on_the_page(pico: Path, task: Path, tmp_path: Path) -> None:
    run(EvaluateConfig(modes=("continuation", "letter")), {"model": pico, "task": task}, tmp_path / "out")
    page = (tmp_path / "out/report.html").read_text(encoding="utf-8")
    assert "<script>alert(1)" not in page
    assert r"\u003cscript\u003ealert(1)" in page
    assert not re.search(r"[\x00\x1b\u202e]", page)
    kept = artifact.read_json(tmp_path / "out/manifest.json")["files"]
    assert {"items.csv", "summary.csv", "items.jsonl", "results.json"} == set(kept)


def test_a_set_without_key_gives_picks(pico: Path, tmp_path: Path) -> None:
    task = write_task(tmp_path / "unkeyed.jsonl", keyed=False)
    run(EvaluateConfig(modes=("continuation", "letter")), {"model": pico, "task": task}, tmp_path / "out")
    results = results_of(tmp_path / "out")
    assert (results["accuracy"], results["ci95"]) == (None, None)
    assert results["outcomes"] == {"unkeyed": 8}
    assert sum(results["picks"].values()) == 8
    assert "no key" in describe(results)


def test_a_question_too_long_fails_alone_and_is_shown(pico: Path, tmp_path: Path) -> None:
    task = tmp_path / "t.jsonl"
    rows = [{"question": q, "choices": ["x", "y"], "answer": 0} for q in ("Short?", "Long " * 1000 + "?")]
    artifact.write_jsonl(task, rows)
    run(EvaluateConfig(), {"model": pico, "task": task}, tmp_path / "out")
    results = results_of(tmp_path / "out")
    assert results["n"] == 2
    assert results["outcomes"]["failed"] == 1


def test_max_items_draws_by_seed(pico: Path, task: Path, tmp_path: Path) -> None:
    def drawn(seed: int) -> list[str]:
        run(EvaluateConfig(max_items=3, seed=seed), {"model": pico, "task": task}, tmp_path / f"out{seed}")
        return [row["id"] for row in artifact.read_jsonl(tmp_path / f"out{seed}/items.jsonl")]

    assert len(drawn(0)) == 3
    assert len({tuple(drawn(seed)) for seed in range(4)}) > 1


def test_a_store_serves_other_runs(pico: Path, task: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = {"model": pico, "task": task}
    run(EvaluateConfig(), inputs, tmp_path / "one", store=tmp_path / "store")
    from sagecraft.inference.local import LocalEngine

    def refuse(*_: object) -> None:
        raise AssertionError("measured again")

    monkeypatch.setattr(LocalEngine, "score", refuse)
    run(EvaluateConfig(max_items=5), inputs, tmp_path / "two", store=tmp_path / "store")
    one = {row["id"]: row for row in artifact.read_jsonl(tmp_path / "one/items.jsonl")}
    assert all(one[row["id"]] == row for row in artifact.read_jsonl(tmp_path / "two/items.jsonl"))
    with pytest.raises(AssertionError, match="measured again"):
        run(EvaluateConfig(dtype="float32"), inputs, tmp_path / "three", store=tmp_path / "store")


@pytest.mark.parametrize(
    ("settings", "names", "message"),
    [
        ({}, ("model",), "inputs.task: missing"),
        ({}, ("task",), "model: give either"),
        ({"endpoint": "local:x"}, ("task", "model"), "model: give either"),
        ({"endpoint": "local:x"}, ("task",), "continuation needs the probabilities of given tokens"),
        ({"endpoint": "local:x", "modes": ("generate",)}, ("task", "domain"), "inputs.domain: perplexity needs"),
        ({"base_url": "http://127.0.0.1:1/v1"}, ("task", "model"), "base_url: only used together with endpoint"),
        ({"endpoint": "local:m", "processes": 2}, ("task",), "processes: only for a model that runs here"),
        ({"thinking": "both"}, ("task", "model"), "thinking: both states are asked in mode generate only"),
        ({}, ("task", "model", "models"), "inputs.models: evaluation takes"),
    ],
)
def test_what_does_not_fit_together(
    pico: Path, task: Path, tmp_path: Path, settings: dict[str, Any], names: tuple[str, ...], message: str
) -> None:
    inputs = {name: task if name == "task" else pico for name in names}
    with pytest.raises(UserError) as caught:
        run(EvaluateConfig(**settings), inputs, tmp_path / "out")
    assert message in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_yaml_switches_and_bad_settings() -> None:
    assert EvaluateConfig.model_validate({"thinking": False}).thinking == "off"
    assert EvaluateConfig.model_validate({"thinking": True}).thinking == "on"
    assert EvaluateConfig.model_validate({"modes": "letter"}).modes == ("letter",)
    assert EvaluateConfig.model_validate({"thinking": "both"}).thinking == "both"
    for bad in ({"modes": ["letter", "letter"]}, {"modes": []}, {"mode": "letter"}, {"thinking": "maybe"}):
        with pytest.raises(ValidationError):
            EvaluateConfig.model_validate(bad)


def test_model_names(pico: Path, tmp_path: Path) -> None:
    assert resolve_model(str(pico)) == ({"model": pico}, None)
    assert resolve_model("openai:gpt-4o") == ({}, "openai:gpt-4o")
    for bad in ("nowhere", str(tmp_path / "x.gguf")):
        with pytest.raises(UserError, match=re.escape(bad)):
            resolve_model(bad)


def test_a_folder_with_an_adapter_is_measured_as_its_merged_folder(pico: Path, task: Path, tmp_path: Path) -> None:
    """Also out of one store of measurements, which tells a folder with and without an adapter apart."""
    generator = torch.Generator().manual_seed(0)
    pair = torch.randn(4, 32, generator=generator), torch.randn(32, 4, generator=generator)
    write_adapter(tmp_path / "lora", {"model.layers.0.self_attn.q_proj.weight": pair}, {"r": 4, "lora_alpha": 8})
    whole = ChangedWeights(pico, load_adapter(tmp_path / "lora"), torch.float32)
    save_model(tmp_path / "whole", whole, json.loads((pico / "config.json").read_text()), pico)
    inputs, _ = resolve_model(f"{pico}+{tmp_path / 'lora'}")
    assert inputs == {"model": pico, "adapter": tmp_path / "lora"}
    found = []
    for number, given in enumerate(({"model": pico}, inputs, {"model": tmp_path / "whole"})):
        out = tmp_path / f"out-{number}"
        run(EvaluateConfig(dtype="float32"), {**given, "task": task}, out, store=tmp_path / "store")
        found.append((out / "items.jsonl").read_text())
    assert found[1] == found[2] != found[0]
    assert results_of(tmp_path / "out-1")["model"] == f"{pico.name}+lora"
    with pytest.raises(UserError, match=r"inputs\.adapter: an adapter is added to a model folder"):
        run(EvaluateConfig(endpoint="a:b", modes=("generate",)), {"task": task, "adapter": tmp_path}, tmp_path / "no")
