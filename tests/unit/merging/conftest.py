from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from opened import close_all
from pico import pico_model

NUM_FINE_TUNES = 3


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    close_all()


@pytest.fixture(scope="session")
def family(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `base` and fine-tunes `a`, `b`, `c` in float32, and the same in bfloat16 as `base-16`, …."""
    root = tmp_path_factory.mktemp("family")
    for dtype, tail in (("float32", ""), ("bfloat16", "-16")):
        base = pico_model(root / f"base{tail}", 0, dtype)
        weights = load_file(base / "model.safetensors")
        for seed, name in enumerate("abc", start=1):
            generator = torch.Generator().manual_seed(seed)
            folder = root / f"{name}{tail}"
            shutil.copytree(base, folder)
            tuned = {
                key: (value.float() + 0.01 * torch.randn(value.shape, generator=generator)).to(value.dtype)
                for key, value in weights.items()
            }
            save_file(tuned, folder / "model.safetensors", metadata={"format": "pt"})
    return root


@pytest.fixture
def copy(family: Path, tmp_path: Path) -> Callable[..., Path]:
    """Copies a model of the family, with tensors changed or other configuration entries."""

    def make(name: str, target: str, change: Callable[[dict[str, torch.Tensor]], None] | None = None) -> Path:
        folder = tmp_path / target
        shutil.copytree(family / name, folder)
        if change is not None:
            weights = load_file(folder / "model.safetensors")
            change(weights)
            save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
        return folder

    return make
