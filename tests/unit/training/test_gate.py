"""Training starts from what transformers computes and ends with it; its Gemma is transformers' Gemma."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from pico import pico_model, transformers_model, write_tokens
from sagecraft.errors import MachineError
from sagecraft.models import load, save
from sagecraft.models.decoder import Decoder
from sagecraft.models.foreign import load_with_transformers
from sagecraft.models.load import load_model, parameters_by_file_name
from sagecraft.models.parity import without_narrowing
from sagecraft.training.lora import LoraConfig
from sagecraft.training.loss import cross_entropy_sum
from sagecraft.training.train import TrainConfig, run


@pytest.fixture(scope="module")
def gemma(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Gemma 3 with one layer of each kind and a window shorter than its documents."""
    folder = tmp_path_factory.mktemp("gemma") / "model"
    return transformers_model(folder, "gemma3_text", sliding_window=12, sliding_window_pattern=2)


def test_gemma_packed_learns_what_transformers_learns_from_each_document(gemma: Path) -> None:
    ours = load_model(gemma, "float64").model
    theirs = load_with_transformers(gemma, torch.float64)
    lengths = [30, 7, 41, 2]
    ids = torch.randint(0, 320, (sum(lengths),), generator=torch.Generator().manual_seed(5))
    boundaries = [0, *itertools.accumulate(lengths)]
    predicts = torch.ones(len(ids), dtype=torch.bool)
    predicts[torch.tensor(boundaries[1:]) - 1] = False
    hidden = ours(ids, boundaries=boundaries)
    packed, losses = cross_entropy_sum(hidden[predicts], ours.lm_head.weight, ids.roll(-1)[predicts])
    packed.backward()
    with without_narrowing():
        alone = [
            F.cross_entropy(theirs(input_ids=row[None], use_cache=False).logits[0, :-1], row[1:], reduction="none")
            for row in torch.split(ids, lengths)
        ]
        torch.cat(alone).sum().backward()
    torch.testing.assert_close(losses, torch.cat(alone).detach(), rtol=0, atol=1e-11)
    expected = dict(theirs.named_parameters())
    found = parameters_by_file_name(ours)
    assert found.keys() == expected.keys()
    for name, parameter in found.items():
        slope = expected[name].grad
        torch.testing.assert_close(parameter.grad, slope, rtol=0, atol=1e-10 * float(slope.abs().max()), msg=name)


def test_gemma_trains_and_its_manifest_says_how_near_it_is(gemma: Path, tmp_path: Path) -> None:
    tokens = write_tokens(tmp_path / "tokens", gemma, [33] * 8, row=33)
    manifest = run(TrainConfig(epochs=2), {"model": gemma, "tokens": tokens}, tmp_path / "out")
    assert isinstance(load_model(tmp_path / "out").model, Decoder)
    assert manifest.stats["last_loss"] < manifest.stats["first_loss"]
    assert manifest.stats["base_parity_difference"] < manifest.stats["parity_tolerance"] == 1e-4
    assert manifest.stats["parity_difference"] < 1e-4
    assert manifest.stats["parity_positions"] > 200
    assert manifest.stats["parity_farthest"] == 511


def test_a_fault_in_loading_stops_before_the_first_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pico = pico_model(tmp_path / "model", rms_norm_eps=0.05)
    tokens = write_tokens(tmp_path / "tokens", pico, [33] * 8, row=33)
    read = load.parse_config
    monkeypatch.setattr(load, "parse_config", lambda *given: read(*given).model_copy(update={"norm_eps": 0.04}))
    with pytest.raises(MachineError, match="nothing was kept"):
        run(TrainConfig(), {"model": pico, "tokens": tokens}, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert not list((tmp_path / "out.work").rglob("step-*"))


@pytest.mark.parametrize("lora", [None, LoraConfig(rank=2)])
@pytest.mark.parametrize("save_dtype", ["float32", "bfloat16"])
def test_a_fault_in_saving_keeps_nothing(
    lora: LoraConfig | None, save_dtype: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One matrix of the folder is not what was trained: both loads of the folder agree, and only the trained weights know."""
    pico = pico_model(tmp_path / "model")
    tokens = write_tokens(tmp_path / "tokens", pico, [33] * 8, row=33)
    write = save.write_safetensors

    def damaged(path: Path, tensors: Mapping[str, Tensor]) -> None:
        name = "model.layers.1.self_attn.k_proj.weight"
        write(path, {**tensors, name: tensors[name].roll(8, 0)} if name in tensors else tensors)

    config = TrainConfig.model_validate({"lora": lora, "save_dtype": save_dtype})
    monkeypatch.setattr(save, "write_safetensors", damaged)
    with pytest.raises(MachineError, match="nothing was kept"):
        run(config, {"model": pico, "tokens": tokens}, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    monkeypatch.setattr(save, "write_safetensors", write)
    assert run(config, {"model": pico, "tokens": tokens}, tmp_path / "out").stats["parity_difference"] < 1e-4
