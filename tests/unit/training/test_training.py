from __future__ import annotations

import itertools
import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from pico import pico_model, pico_watcher, write_tokens
from sagecraft import artifact
from sagecraft.errors import MachineError, StoppedError, UserError
from sagecraft.models.load import load_model
from sagecraft.settings import dump
from sagecraft.tokens import pack, render
from sagecraft.tokens.loader import Loader
from sagecraft.tokens.packed import Packed
from sagecraft.training.checkpoint import load_checkpoint, save_checkpoint
from sagecraft.training.layers import shape_layers
from sagecraft.training.loop import Trainer
from sagecraft.training.loss import cross_entropy_sum
from sagecraft.training.optim import MasterAdamW
from sagecraft.training.parallel import ParallelConfig
from sagecraft.training.schedule import OptimizerConfig
from sagecraft.training.train import TrainConfig, run


def fit(config: TrainConfig, model: Path, loader: Loader, folder: Path) -> list[dict[str, Any]]:
    """Trains in float64 and returns one record a step."""
    watcher = pico_watcher(folder, loader.num_steps)
    loaded = load_model(model, "float64").model
    assert Trainer(config, loaded, loader, folder / "none", watcher).fit() == loader.num_steps
    return list(artifact.read_jsonl(watcher.metrics.path))


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


def test_accumulated_equals_large_batch(tmp_path: Path, pico: Path) -> None:
    tokens = write_tokens(tmp_path / "tokens", pico, [5, 30, 12, 60, 9, 31, 2, 40, 18, 25])
    losses = []
    for rows_per_pass in (1, 3, 8):
        config = TrainConfig(epochs=2, rows_per_step=8, rows_per_pass=rows_per_pass, compute_dtype="float64")
        loader = Loader(Packed.open(tokens), 8, 2, 0)
        losses.append([record["loss"] for record in fit(config, pico, loader, tmp_path)])
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
    assert len(list(artifact.read_jsonl(tmp_path / "killed.work/scratch/watch/metrics.jsonl"))) == kill_at
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
        save_checkpoint(tmp_path, step, {"x": torch.full((4,), float(step))}, {})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-00000002", "step-00000003"]
    newest = tmp_path / "step-00000003" / "part-00000.safetensors"
    newest.write_bytes(newest.read_bytes()[:-1])
    found = load_checkpoint(tmp_path)
    assert found is not None
    assert found.state["step"] == 2
    assert found["x"].tolist() == [2.0] * 4
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


def test_a_run_goes_on_over_a_damaged_checkpoint(tmp_path: Path) -> None:
    """Taken up at step 2, the run comes past the damaged step 3, replaces it and is not taken up behind it."""
    for step in (1, 2, 3):
        save_checkpoint(tmp_path, step, {"x": torch.full((4,), float(step))}, {})
    (tmp_path / "step-00000003" / "state.json").write_text("null")
    found = load_checkpoint(tmp_path)
    assert found is not None
    assert found.state["step"] == 2
    for step in (3, 4):
        save_checkpoint(tmp_path, step, {"x": torch.full((4,), 10.0 * step)}, {})
    found = load_checkpoint(tmp_path)
    assert found is not None
    assert found["x"].tolist() == [40.0] * 4
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-00000003", "step-00000004"]


def test_a_good_checkpoint_is_not_given_up_for_a_damaged_one(tmp_path: Path) -> None:
    for step in (2, 8):
        save_checkpoint(tmp_path, step, {"x": torch.zeros(4)}, {})
    (tmp_path / "step-00000008" / "part-00000.safetensors").write_bytes(b"")
    save_checkpoint(tmp_path, 3, {"x": torch.ones(4)}, {})
    save_checkpoint(tmp_path, 4, {"x": torch.ones(4)}, {})
    (tmp_path / "step-00000004" / "part-00000.safetensors").write_bytes(b"")
    found = load_checkpoint(tmp_path)
    assert found is not None
    assert found.state["step"] == 3


@pytest.mark.parametrize("poison", ["loss", "gradient"])
def test_a_loss_that_is_no_number_stops_the_run_and_names_the_step(
    poison: str, tmp_path: Path, pico: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = write_tokens(tmp_path / "tokens", pico, [33] * 8, row=33)
    forward = Trainer._forward_backward
    calls = itertools.count()

    def poisoned(self: Trainer, batch: Any, num_learned: int) -> tuple[float, torch.Tensor]:
        total, losses = forward(self, batch, num_learned)
        if next(calls) == 1:
            if poison == "loss":
                return total, losses * float("nan")
            next(iter(self.optimizer.gradients.values())).fill_(float("inf"))
        return total, losses

    monkeypatch.setattr(Trainer, "_forward_backward", poisoned)
    with pytest.raises(MachineError, match=rf"step 1: the loss .*{'nan' if poison == 'loss' else 'inf|nan'}") as caught:
        run(TrainConfig(rows_per_step=2), {"model": pico, "tokens": tokens}, tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_a_parameter_that_no_loss_has_reached_resumes(tmp_path: Path, pico: Path) -> None:
    """A step may have nothing to learn, and a foreign model may have weights that text does not reach."""
    first, second = (load_model(pico).model for _ in range(2))
    config = OptimizerConfig()
    masters = {name: p.detach().clone() for name, p in first.named_parameters()}
    before, after = MasterAdamW(first, config, dict(masters)), MasterAdamW(second, config, dict(masters))
    reached = next(iter(before.masters))
    before.gradients[reached] = torch.ones_like(before.masters[reached])
    before.step(1e-3)
    after.load_state(before.state())
    for optimizer in (before, after):
        for name, master in optimizer.masters.items():
            optimizer.gradients[name] = torch.full_like(master, 0.5)
        optimizer.step(1e-3)
    for name, master in before.masters.items():
        torch.testing.assert_close(after.masters[name], master, rtol=0, atol=0)


def test_tokens_beyond_the_embedding_are_refused(tmp_path: Path) -> None:
    model = pico_model(tmp_path / "small", vocab_size=300)  # its tokenizer has 320
    tokens = write_tokens(tmp_path / "tokens", model, [40] * 4)
    with pytest.raises(UserError, match="beyond the 300 rows"):
        run(TrainConfig(), {"model": model, "tokens": tokens}, tmp_path / "out")


def test_rows_longer_than_the_context_are_refused(tmp_path: Path, pico: Path) -> None:
    inputs = {"model": pico, "documents": tmp_path / "none", "conversations": tmp_path / "none"}
    with pytest.raises(UserError, match=r"pack\.sequence_length: 513 tokens .* 512"):
        pack.run(pack.PackConfig(sequence_length=513), inputs, tmp_path / "out")
    with pytest.raises(UserError, match=r"render\.sequence_length: 513 tokens .* 512"):
        render.run(render.RenderConfig(sequence_length=513), inputs, tmp_path / "out")


@pytest.mark.parametrize("name", ["SIGTERM", "SIGUSR1"])
def test_a_signal_ends_the_run_with_a_checkpoint(
    name: str, tmp_path: Path, pico: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = write_tokens(tmp_path / "tokens", pico, [20, 45, 31, 7, 64, 22, 50, 13, 40])
    inputs, config = {"model": pico, "tokens": tokens}, TrainConfig(epochs=2, rows_per_step=3)
    straight = run(config, inputs, tmp_path / "straight")
    step = Trainer.step

    def asked(self: Trainer, number: int) -> dict[str, Any]:
        if number == 2:
            os.kill(os.getpid(), signal.Signals[name])
        return step(self, number)

    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGUSR1)
    monkeypatch.setattr(Trainer, "step", asked)
    with pytest.raises(StoppedError, match=f"stopped by {name} after step 3 of .*run the same command again") as caught:
        run(config, inputs, tmp_path / "asked")
    assert caught.value.exit_code == 75
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGUSR1)) == before
    monkeypatch.setattr(Trainer, "step", step)
    assert run(config, inputs, tmp_path / "asked") == straight


def test_layers_computed_again_give_the_same_run_bit_for_bit(tmp_path: Path, pico: Path) -> None:
    tokens = write_tokens(tmp_path / "tokens", pico, [20, 45, 31, 7, 64, 22, 50, 13, 40])
    inputs = {"model": pico, "tokens": tokens}
    run(TrainConfig(), inputs, tmp_path / "kept")
    run(TrainConfig(activation_checkpointing="layers"), inputs, tmp_path / "again")
    assert weights_sha(tmp_path / "kept") == weights_sha(tmp_path / "again")


def test_layers_computed_again_keep_less(pico: Path) -> None:
    kept = []
    for recompute in ("none", "layers"):
        model, storages = load_model(pico).model.train(), {}

        def keep(tensor: torch.Tensor, storages: dict[int, int] = storages) -> torch.Tensor:
            storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        shape_layers(model, recompute, compiled=False)
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            hidden = model(torch.arange(200), boundaries=[0, 120, 200])
        kept.append(sum(storages.values()))
        hidden.sum().backward()
    assert kept[1] < 0.5 * kept[0]


@pytest.mark.soak
@pytest.mark.filterwarnings("ignore")  # torch's own, in its compiler
def test_compiled_layers_give_the_same_run(tmp_path: Path, pico: Path) -> None:
    tokens = write_tokens(tmp_path / "tokens", pico, [20, 45, 31, 7, 64, 22, 50, 13, 40])
    inputs, losses = {"model": pico, "tokens": tokens}, []
    for compiled in (False, True):
        config = TrainConfig(compute_dtype="float32", compile=compiled, activation_checkpointing="layers")
        run(config, inputs, tmp_path / f"{compiled}")
        losses.append([row["loss"] for row in artifact.read_jsonl(tmp_path / f"{compiled}" / "metrics.jsonl")])
    assert losses[1] == pytest.approx(losses[0], abs=1e-5)


def test_how_it_is_computed_is_in_no_fingerprint() -> None:
    """A run goes on with other layouts, recomputed or compiled layers; the plan and the other processes still see them."""
    plain = TrainConfig()
    other = TrainConfig(activation_checkpointing="layers", compile=True, parallel=ParallelConfig(tensor=2))
    assert other.model_dump(mode="json") == plain.model_dump(mode="json")
    assert TrainConfig.model_validate(dump(other)) == other
