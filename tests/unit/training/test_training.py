from __future__ import annotations

import itertools
import json
import random
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from sagecraft import artifact
from sagecraft.errors import UserError
from sagecraft.models.load import load_model
from sagecraft.models.tokenizer import Tokenizer
from sagecraft.tokens.loader import Loader
from sagecraft.tokens.packed import Packed, TokenItem, write_packed
from sagecraft.training.checkpoint import load_checkpoint, save_checkpoint
from sagecraft.training.loop import Trainer
from sagecraft.training.loss import cross_entropy_sum
from sagecraft.training.schedule import OptimizerConfig, learning_rate_at
from sagecraft.training.train import TrainConfig, run


def write_tokens(folder: Path, model: Path, lengths: list[int], row: int = 32) -> Path:
    """A tokens artifact of keyed random tokens, made as the pack stage makes it."""
    rng = random.Random(0)
    items = [
        TokenItem(f"d{n}", "domain" if n % 3 else "general", [rng.randrange(3, 320) for _ in range(k)], [True] * k)
        for n, k in enumerate(lengths)
    ]
    config = TrainConfig()
    with artifact.build(
        folder, kind="tokens", stage="pack", version=1, config=config, inputs={"model": model}
    ) as build:
        build.stats.update(write_packed(build.path, items, row, pad_id=0))
        build.stats["tokenizer_sha256"] = Tokenizer.from_folder(model).sha256
    return folder


def weights_sha(folder: Path) -> str:
    return artifact.sha256_file(folder / "model.safetensors")


def test_chunked_loss_equals_pytorch() -> None:
    torch.manual_seed(0)
    hidden = torch.randn(600, 16, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(50, 16, dtype=torch.float64, requires_grad=True)
    targets = torch.randint(0, 50, (600,))
    total, losses = cross_entropy_sum(hidden, weight, targets)
    (total / 7).backward()
    ours = hidden.grad, weight.grad
    hidden.grad = weight.grad = None
    expected = F.cross_entropy(hidden @ weight.T, targets, reduction="none")
    (expected.sum() / 7).backward()
    torch.testing.assert_close(losses, expected.detach())
    torch.testing.assert_close(ours, (hidden.grad, weight.grad))


def test_follows_transformers_in_float64(tmp_path: Path, pico: Path) -> None:
    """100 steps of our loop and of a plain loop around transformers and torch's AdamW give the same losses."""
    from transformers import AutoModelForCausalLM

    tokens = write_tokens(tmp_path / "tokens", pico, [33] * 16, row=33)
    optimizer = OptimizerConfig(learning_rate=1e-3)
    config = TrainConfig(optimizer=optimizer, epochs=25, rows_per_step=4, compute_dtype="float64")
    loader = Loader(Packed.open(tokens), 4, 25, 0)
    assert loader.num_steps == 100
    history = Trainer(config, load_model(pico, "float64").model, loader, tmp_path / "none").fit("test")
    model = AutoModelForCausalLM.from_pretrained(str(pico), dtype=torch.float64)
    groups = [
        {"params": [p for p in model.parameters() if p.ndim >= 2], "weight_decay": optimizer.weight_decay},
        {"params": [p for p in model.parameters() if p.ndim < 2], "weight_decay": 0.0},
    ]
    adamw = torch.optim.AdamW(groups, betas=(0.9, 0.95), eps=1e-8)
    for step in range(100):
        ids = torch.tensor(loader.packed.tokens[loader.rows(step)]).long()
        logits = model(ids).logits[:, :-1]
        loss = F.cross_entropy(logits.reshape(-1, logits.shape[-1]), ids[:, 1:].reshape(-1))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for group in adamw.param_groups:
            group["lr"] = learning_rate_at(optimizer, step, 100)
        adamw.step()
        adamw.zero_grad()
        assert history[step]["loss"] == pytest.approx(loss.item(), abs=1e-6), step  # the record rounds to 1e-6
    assert history[-1]["loss"] < history[0]["loss"] - 1


def test_accumulated_equals_large_batch(tmp_path: Path, pico: Path) -> None:
    tokens = write_tokens(tmp_path / "tokens", pico, [5, 30, 12, 60, 9, 31, 2, 40, 18, 25])
    losses = []
    for rows_per_pass in (1, 3, 8):
        config = TrainConfig(epochs=2, rows_per_step=8, rows_per_pass=rows_per_pass, compute_dtype="float64")
        loader = Loader(Packed.open(tokens), 8, 2, 0)
        trainer = Trainer(config, load_model(pico, "float64").model, loader, tmp_path / "none")
        losses.append([record["loss"] for record in trainer.fit("test")])
    assert losses[0] == pytest.approx(losses[2], abs=2e-6)
    assert losses[1] == pytest.approx(losses[2], abs=2e-6)


class Killed(Exception):
    """Stands in for SIGKILL."""


@pytest.mark.parametrize("kill_at", [1, 4, 7])
def test_resumed_equals_straight(kill_at: int, tmp_path: Path, pico: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = write_tokens(tmp_path / "tokens", pico, [20, 45, 31, 7, 64, 22, 50, 13, 40])
    config = TrainConfig(epochs=2.5, rows_per_step=3, rows_per_pass=2, checkpoint_minutes=0)
    inputs = {"model": pico, "tokens": tokens}
    straight = run(config, inputs, tmp_path / "straight")
    step = Trainer.step

    def dies(self: Trainer, number: int) -> dict[str, Any]:
        if number == kill_at:
            raise Killed
        return step(self, number)

    monkeypatch.setattr(Trainer, "step", dies)
    with pytest.raises(Killed):
        run(config, inputs, tmp_path / "killed")
    assert not (tmp_path / "killed").exists()
    monkeypatch.setattr(Trainer, "step", step)
    resumed = run(config, inputs, tmp_path / "killed")
    assert resumed == straight
    assert weights_sha(tmp_path / "killed") == weights_sha(tmp_path / "straight")
    assert (tmp_path / "killed/metrics.jsonl").read_bytes() == (tmp_path / "straight/metrics.jsonl").read_bytes()
    assert not (tmp_path / "killed" / "scratch").exists()


def test_bf16_compute_keeps_float32_masters(tmp_path: Path, pico: Path) -> None:
    """Updates far below bf16's step of a weight must add up."""
    tokens = write_tokens(tmp_path / "tokens", pico, [33] * 8, row=33)
    optimizer = OptimizerConfig(learning_rate=1e-7, weight_decay=0)
    config = TrainConfig(optimizer=optimizer, epochs=2, rows_per_step=4)
    run(config, {"model": pico, "tokens": tokens}, tmp_path / "out")
    before, after = load_model(pico).model, load_model(tmp_path / "out").model
    moved = (after.layers[0].mlp.up_proj.weight - before.layers[0].mlp.up_proj.weight).abs()
    assert (moved > 0).float().mean() > 0.9
    assert moved.max() < 1e-5


def test_damaged_checkpoint_is_named_and_the_last_good_one_taken(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for step in (1, 2, 3):
        save_checkpoint(tmp_path, step, {"x": torch.full((4,), float(step))}, {"history": []})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-00000002", "step-00000003"]
    newest = tmp_path / "step-00000003" / "tensors.safetensors"
    newest.write_bytes(newest.read_bytes()[:-1])
    found = load_checkpoint(tmp_path)
    assert found is not None
    assert found[1]["step"] == 2
    assert found[0]["x"].tolist() == [2.0] * 4
    assert "step-00000003" in capsys.readouterr().err
    assert newest.exists(), "nothing is deleted"


def test_another_tokenizer_is_refused(tmp_path: Path, pico: Path) -> None:
    tokens = write_tokens(tmp_path / "tokens", pico, [20])
    manifest = tokens / "manifest.json"
    value = json.loads(manifest.read_text())
    value["stats"]["tokenizer_sha256"] = "0" * 64
    manifest.write_text(json.dumps(value))
    with pytest.raises(UserError, match="another tokenizer"):
        run(TrainConfig(), {"model": pico, "tokens": tokens}, tmp_path / "out")


@pytest.mark.parametrize("schedule", ["cosine", "linear", "wsd"])
def test_schedules_rise_and_fall_to_the_floor(schedule: Any) -> None:
    config = OptimizerConfig(learning_rate=1.0, schedule=schedule, warmup_ratio=0.1, min_learning_rate_ratio=0.1)
    rates = [learning_rate_at(config, step, 100) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[9] == max(rates) == 1.0
    assert all(a >= b for a, b in itertools.pairwise(rates[9:]))
    assert 0.1 <= rates[-1] < 0.16
    if schedule == "wsd":
        assert rates[80] == 1.0
