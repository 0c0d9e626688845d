"""A streamed merge is the whole merge: blocks, threads, shards and the order of tensors change no byte of a tensor."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from pico import pico_model
from sagecraft.merging import native
from sagecraft.merging.blocks import Plain
from sagecraft.merging.config import MergekitConfig
from sagecraft.merging.job import make_job
from sagecraft.merging.journal import Journal
from sagecraft.merging.methods import METHODS as TABLE
from sagecraft.merging.plan import make_plan
from sagecraft.merging.stream import write_merged
from sagecraft.merging.summary import TensorSummary
from sagecraft.models.save import save_model
from sagecraft.models.tensors import list_tensors

METHODS: dict[str, dict[str, Any]] = {
    "linear": {},
    "slerp": {"t": 0.4},
    "task_arithmetic": {},
    "ties": {"density": 0.4, "rescale": "l1"},
    "dare_linear": {"density": 0.4, "rescale": "l1"},
    "dare_ties": {"density": 0.4},
    "breadcrumbs_ties": {"density": 0.4, "gamma": 0.1},
    "model_stock": {},
    "nuslerp": {},
    "multislerp": {},
    "nearswap": {"t": 0.02},
}
#: Those of two models.
PAIRS = ("slerp", "nearswap")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("models")
    for seed, name in enumerate(("base", "a", "b")):
        pico_model(root / name, seed, "bfloat16")
    return root


def merged(root: Path, out: Path, method: str, **options: Any) -> dict[str, torch.Tensor]:
    found, _ = merged_and_seen(root, out, method, **options)
    return found


def merged_and_seen(
    root: Path, out: Path, method: str, out_dtype: str | None = None, **options: Any
) -> tuple[dict[str, torch.Tensor], list[TensorSummary]]:
    names = ["a"] if method in PAIRS else ["a", "b"]
    weight = {"weight": 0.5} if "weight" in TABLE[method].parameters else {}
    config = MergekitConfig.model_validate(
        {
            "merge_method": method,
            "base_model": "base",
            "models": [{"model": name} for name in names],
            "parameters": {**METHODS[method], **weight},
            "out_dtype": out_dtype,
        }
    )
    job = make_job(config, {name: root / name for name in ("base", "a", "b")})
    out.mkdir()
    seen = write_merged(job, make_plan(job, 1, 1), out, lambda _: None, **options)
    found: dict[str, torch.Tensor] = {}
    for file in sorted(out.glob("*.safetensors")):
        found |= load_file(file)
    assert set(list_tensors(out)) == set(found)  # the index and the headers are sound
    return found, seen


@pytest.mark.parametrize("method", METHODS)
def test_blocks_threads_and_shards(models: Path, tmp_path: Path, method: str) -> None:
    whole = merged(models, tmp_path / "whole", method, num_threads=1, block_elements=1 << 20)
    ways: list[dict[str, int]] = [
        {"num_threads": 1, "block_elements": 999},
        {"num_threads": 3, "block_elements": 1024},
        {"num_threads": 2, "block_elements": 512, "shard_bytes": 20_000},
    ]
    for number, way in enumerate(ways):
        streamed = merged(models, tmp_path / str(number), method, **way)
        assert set(streamed) == set(whole)
        assert all(torch.equal(streamed[name], whole[name]) for name in whole), way
    assert len(list((tmp_path / "2").glob("model-*-of-*.safetensors"))) > 2


@pytest.fixture(scope="module", params=[("bfloat16", None), ("float32", "float16"), ("float16", "float32")])
def tiny_values(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str | None]:
    """Models of one type, with values that are subnormal in it, and the type of the result."""
    stored, out_dtype = request.param
    root = tmp_path_factory.mktemp(stored)
    for seed, name in enumerate(("base", "a", "b")):
        folder = pico_model(root / name, seed, stored)
        weights = load_file(folder / "model.safetensors")
        weights["model.layers.0.mlp.up_proj.weight"] *= 1e-38 if stored == "bfloat16" else 1e-6
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return root, out_dtype


@pytest.mark.skipif(not native.available(), reason="no C++ compiler")
@pytest.mark.parametrize("method", METHODS)
def test_the_native_way_is_the_plain_way(tiny_values: tuple[Path, str | None], tmp_path: Path, method: str) -> None:
    """Bytes of the weights and figures of the summary, whatever the blocks."""
    root, dtype = tiny_values
    one = {"num_threads": 1, "block_elements": 1 << 20}
    plain, figures = merged_and_seen(root, tmp_path / "plain", method, dtype, engine=Plain(), **one)
    for number, block in enumerate((1024, 1 << 18)):
        out = tmp_path / str(number)
        fast, seen = merged_and_seen(root, out, method, dtype, engine=native.Native(), block_elements=block)
        for name, value in plain.items():
            assert torch.equal(value.view(torch.uint8), fast[name].view(torch.uint8)), name
        assert seen == figures


def test_the_order_of_tensors_and_the_shards_of_inputs(models: Path, tmp_path: Path) -> None:
    for name in ("base", "a", "b"):
        weights = load_file(models / name / "model.safetensors")
        config = {"model_type": "llama", "tie_word_embeddings": True}
        backwards = dict(sorted(weights.items(), reverse=True))
        save_model(tmp_path / "sharded" / name, backwards, config, models / name, shard_bytes=9000)
        assert len(list((tmp_path / "sharded" / name).glob("*.safetensors"))) > 3
    straight = merged(models, tmp_path / "1", "dare_ties")
    sharded = merged(tmp_path / "sharded", tmp_path / "2", "dare_ties")
    assert all(torch.equal(straight[name], sharded[name]) for name in straight)


def test_a_tensor_more_or_less_changes_no_other(models: Path, tmp_path: Path) -> None:
    shutil.copytree(models, tmp_path / "fewer")
    for name in ("base", "a", "b"):
        path = tmp_path / "fewer" / name / "model.safetensors"
        weights = load_file(path)
        del weights["model.embed_tokens.weight"]
        save_file(weights, path)
    full = merged(models, tmp_path / "1", "dare_ties")
    fewer = merged(tmp_path / "fewer", tmp_path / "2", "dare_ties")
    assert len(fewer) == len(full) - 1
    assert all(torch.equal(fewer[name], full[name]) for name in fewer)


def test_dare_keeps_the_expected_delta(models: Path, tmp_path: Path) -> None:
    """Rescaled by 1/density, the mean over many seeds is the full delta (arXiv:2311.03099, section 3.2)."""
    name = "model.layers.0.self_attn.q_proj.weight"
    base, a = (load_file(models / m / "model.safetensors")[name].float() for m in ("base", "a"))
    total = torch.zeros_like(base)
    num_seeds, density = 60, 0.4
    for seed in range(num_seeds):
        config = MergekitConfig.model_validate(
            {
                "merge_method": "dare_linear",
                "base_model": "base",
                "models": [{"model": "a", "parameters": {"weight": 1, "density": density}}],
                "out_dtype": "float32",
                "seed": seed,
            }
        )
        job = make_job(config, {n: models / n for n in ("base", "a")})
        out = tmp_path / str(seed)
        out.mkdir()
        write_merged(job, make_plan(job, 1, 1), out, lambda _: None, num_threads=1)
        total += load_file(out / "model.safetensors")[name] - base
    error = (total / num_seeds - (a - base)) / (a - base).abs()
    expected = ((1 - density) / density / num_seeds) ** 0.5
    moved = error[(a - base) != 0]
    assert abs(float(moved.std()) / expected - 1) < 0.1
    assert abs(float(moved.mean())) < 4 * expected / moved.numel() ** 0.5


def test_a_journal_without_its_files_is_forgotten(models: Path, tmp_path: Path) -> None:
    straight = merged(models, tmp_path / "straight", "dare_ties")
    rows = merged_and_seen(models, tmp_path / "first", "dare_ties", journal=Journal(tmp_path / "journal"))[1]
    assert set(Journal(tmp_path / "journal").finished()) == {row.name for row in rows}
    again = merged(models, tmp_path / "second", "dare_ties", journal=Journal(tmp_path / "journal"))
    assert all(torch.equal(again[name], straight[name]) for name in straight)
