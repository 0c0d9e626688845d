"""Tensors of unusual shapes and types through every method, both ways: none, one or very few elements, stored apart, mixed types."""

from __future__ import annotations

import resource
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from pico import pico_model
from sagecraft.errors import UserError
from sagecraft.merging import native, ranks
from sagecraft.merging.blocks import Plain
from sagecraft.merging.config import MergekitConfig
from sagecraft.merging.job import make_job
from sagecraft.merging.methods import METHODS
from sagecraft.merging.plan import make_plan
from sagecraft.merging.stream import write_merged

#: The last are around the size from which places of magnitudes are found by a sample.
SHAPES = {
    "none": (0,),
    "no.rows": (0, 3),
    "no.columns": (3, 0),
    "scalar": (),
    "one": (1,),
    "one.row": (1, 1),
    "rows.of.one": (5, 1),
    "one.long": (1, 1025),
    "cube": (2, 3, 4),
    "sample": (65_537,),
    "sample.odd": (65_791,),
}
NAMES = ("base", "a", "b")
SETTINGS: dict[str, dict[str, Any]] = {
    "slerp": {"t": 0.3},
    "nearswap": {"t": 0.01},
    "ties": {"density": 0.3, "rescale": "l1"},
    "della": {"density": 0.5, "epsilon": 0.2},
    "nuslerp": {"nuslerp_flatten": False},
    "model_stock": {"filter_wise": True},
    "sce": {"select_topk": 0.5},
}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base in bfloat16 and fine-tunes in float32 and float16."""
    root = tmp_path_factory.mktemp("shapes")
    for seed, (name, dtype) in enumerate(zip(NAMES, (torch.bfloat16, torch.float32, torch.float16), strict=True)):
        folder = pico_model(root / name)
        generator = torch.Generator().manual_seed(seed)
        values = {key: torch.randn(shape, generator=generator).to(dtype) for key, shape in SHAPES.items()}
        save_file(values, folder / "model.safetensors", metadata={"format": "pt"})
    return root


def job_of(root: Path, method: str, out_dtype: str | None = "float32") -> Any:
    row = METHODS[method]
    most = row.num_models[1]
    names = NAMES if row.base == "none" and most != 1 else NAMES[1:]
    settings = dict(SETTINGS.get(method, {}))
    if "weight" in row.parameters:
        settings["weight"] = 0.5
    value = {
        "merge_method": method,
        "base_model": None if row.base == "none" else "base",
        "models": [{"model": name} for name in names[:most]],
        "parameters": settings,
        "out_dtype": out_dtype,
    }
    return make_job(MergekitConfig.model_validate(value), {name: root / name for name in NAMES})


def merged(job: Any, out: Path, **options: Any) -> dict[str, torch.Tensor]:
    out.mkdir()
    write_merged(job, make_plan(job, 1, 1), out, lambda _: None, **options)
    return load_file(out / "model.safetensors")


@pytest.mark.parametrize("method", METHODS)
def test_every_method_takes_every_shape(method: str, models: Path, tmp_path: Path) -> None:
    job = job_of(models, method)
    plain = merged(job, tmp_path / "plain", engine=Plain(), num_threads=1, block_elements=1 << 14)
    assert {name: tuple(value.shape) for name, value in plain.items()} == SHAPES
    assert all(bool(torch.isfinite(value).all()) for value in plain.values())
    if native.available():
        fast = merged(job, tmp_path / "fast", engine=native.Native(), num_threads=2, block_elements=1 << 15)
        assert all(torch.equal(plain[name], fast[name]) for name in plain)


def test_types_that_differ_between_models_are_widened_exactly(models: Path, tmp_path: Path) -> None:
    found = merged(job_of(models, "task_arithmetic"), tmp_path / "out")
    base, a, b = (load_file(models / name / "model.safetensors") for name in NAMES)
    for name in SHAPES:
        start = base[name].float()
        delta = (a[name].float() - start) * 0.5 + (b[name].float() - start) * 0.5
        assert torch.equal(found[name], start + delta)


def test_without_a_type_each_tensor_keeps_that_of_the_base(models: Path, tmp_path: Path) -> None:
    """Of two types in one base: both, each in its place."""
    for name in NAMES:
        shutil.copytree(models / name, tmp_path / name)
    weights = load_file(tmp_path / "base/model.safetensors")
    weights["cube"] = weights["cube"].float()
    save_file(weights, tmp_path / "base/model.safetensors", metadata={"format": "pt"})
    found = merged(job_of(tmp_path, "linear", None), tmp_path / "out")
    assert {name: value.dtype for name, value in found.items()} == {
        name: value.dtype for name, value in weights.items()
    }


@pytest.mark.parametrize("engine", [Plain, native.Native] if native.available() else [Plain])
def test_a_bin_that_could_overflow_is_emptied(
    engine: type, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More than 2^32 equal magnitudes, as an embedding that no model changed has them, in small."""
    monkeypatch.setattr(ranks.Ranking, "_by_sample", lambda self, view, places: [None] * len(places))
    job = job_of(models, "ties")
    straight = merged(job, tmp_path / "straight", engine=engine())
    monkeypatch.setattr(ranks, "_MOST_COUNTED", 3000)
    emptied = merged(job, tmp_path / "emptied", engine=engine(), block_elements=1024)
    assert all(torch.equal(straight[name], emptied[name]) for name in straight)


def test_masks_and_positions_are_taken_over(models: Path, tmp_path: Path) -> None:
    """Whole numbers that older checkpoints hold: the same in all, else named."""
    masks = {"bias": torch.ones(3, 3, dtype=torch.bool).tril(), "position_ids": torch.arange(7)}
    for name in NAMES:
        shutil.copytree(models / name, tmp_path / name)
        weights = load_file(tmp_path / name / "model.safetensors")
        save_file(weights | masks, tmp_path / name / "model.safetensors", metadata={"format": "pt"})
    found = merged(job_of(tmp_path, "ties"), tmp_path / "out")
    assert all(torch.equal(found[name], value) for name, value in masks.items())
    assert make_plan(job_of(tmp_path, "ties"), 1, 1).config["dtype"] == "float32"
    weights["position_ids"] = torch.arange(7) + 1
    save_file(weights | {"bias": masks["bias"]}, tmp_path / "b/model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match=r"b/model.safetensors: position_ids \(I64\) is not that of"):
        merged(job_of(tmp_path, "ties"), tmp_path / "other")


def test_more_inputs_than_files_may_be_open(models: Path, tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    few = max(int(path.name) for path in Path("/dev/fd").iterdir()) + 50
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (few, hard))
        merged(job_of(models, "linear"), tmp_path / "out")
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] > few
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
