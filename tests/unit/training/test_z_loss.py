from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from pico import pico_watcher, write_tokens
from sagecraft import artifact
from sagecraft.models.load import load_model
from sagecraft.tokens.loader import Loader
from sagecraft.tokens.packed import Packed
from sagecraft.training import loss as module
from sagecraft.training.loop import Trainer
from sagecraft.training.loss import cross_entropy_sum
from sagecraft.training.schedule import OptimizerConfig
from sagecraft.training.train import TrainConfig

Z = 0.03


def plain(hidden: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """The definition, by torch's own operators and derivatives."""
    scores = hidden @ weight.T
    return F.cross_entropy(scores, targets, reduction="sum") + Z * scores.logsumexp(-1).square().sum()


@pytest.mark.parametrize("chunk_bytes", [1, 1 << 27])
@pytest.mark.parametrize("frozen", [False, True])
def test_value_and_gradient_are_autograd_s(chunk_bytes: int, frozen: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_CHUNK_BYTES", chunk_bytes)
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(37, 16, dtype=torch.float64, generator=generator, requires_grad=True)
    weight = torch.randn(50, 16, dtype=torch.float64, generator=generator).requires_grad_(not frozen)
    targets = torch.randint(0, 50, (37,), generator=generator)
    total, losses = cross_entropy_sum(hidden, weight, targets, Z)
    (total / 7).backward()
    ours = hidden.grad, weight.grad
    hidden.grad = weight.grad = None
    expected = plain(hidden, weight, targets)
    (expected / 7).backward()
    torch.testing.assert_close(total, expected, rtol=0, atol=1e-11)
    torch.testing.assert_close(ours[0], hidden.grad, rtol=0, atol=1e-12)
    assert frozen == (ours[1] is None)
    if not frozen:
        torch.testing.assert_close(ours[1], weight.grad, rtol=0, atol=1e-12)
    torch.testing.assert_close(losses.sum(), F.cross_entropy(hidden @ weight.T, targets, reduction="sum").detach())
    with torch.no_grad():
        torch.testing.assert_close(cross_entropy_sum(hidden, weight, targets, Z)[0], expected, rtol=0, atol=1e-11)


def test_bf16_stays_near_the_definition() -> None:
    """With native kernels where there are some: what is computed in bf16 differs by its rounding only."""
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(64, 32, generator=generator).bfloat16().requires_grad_()
    weight = torch.randn(96, 32, generator=generator).bfloat16().requires_grad_()
    targets = torch.randint(0, 96, (64,), generator=generator)
    total, _ = cross_entropy_sum(hidden, weight, targets, Z)
    total.backward()
    wide = hidden.detach().double().requires_grad_(), weight.detach().double().requires_grad_()
    expected = plain(*wide, targets)
    expected.backward()
    torch.testing.assert_close(total.double(), expected, rtol=5e-3, atol=0)
    for ours, theirs in ((hidden.grad, wide[0].grad), (weight.grad, wide[1].grad)):
        assert ours is not None
        assert theirs is not None
        assert (ours.double() - theirs).norm() < 0.01 * theirs.norm()


def test_a_step_records_it_apart_and_passes_do_not_matter(tmp_path: Path, pico: Path) -> None:
    tokens = write_tokens(tmp_path / "tokens", pico, [20, 45, 31, 7, 64, 22])

    def records(z_loss: float, rows_per_pass: int) -> list[dict[str, float]]:
        optimizer = OptimizerConfig(learning_rate=1e-2, z_loss=z_loss)
        config = TrainConfig(
            optimizer=optimizer, rows_per_step=3, rows_per_pass=rows_per_pass, epochs=4, compute_dtype="float64"
        )
        loader = Loader(Packed.open(tokens), 3, 4, 0)
        watcher = pico_watcher(tmp_path / f"{z_loss}-{rows_per_pass}", loader.num_steps)
        Trainer(config, load_model(pico, "float64").model, loader, tmp_path / "none", watcher).fit()
        return list(artifact.read_jsonl(watcher.metrics.path))

    whole, parts, without = records(0.1, 3), records(0.1, 1), records(0.0, 3)
    assert [row["z_loss"] for row in whole] == pytest.approx([row["z_loss"] for row in parts], abs=2e-9)
    assert [row["loss"] for row in whole] == pytest.approx([row["loss"] for row in parts], abs=2e-6)
    assert whole[0]["loss"] == without[0]["loss"], "the recorded loss is without it"
    assert "z_loss" not in without[0]
    assert whole[-1]["z_loss"] < 0.8 * whole[0]["z_loss"]
    # a start near uniform scores: the logarithm of 320 words' normaliser is about ln 320
    assert whole[0]["z_loss"] == pytest.approx(0.1 * torch.tensor(320.0).log().item() ** 2, rel=0.1)
