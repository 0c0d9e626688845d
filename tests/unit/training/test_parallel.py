"""Runs of 2 and 4 processes are held against runs of one: the same rows, losses and weights, also across kills."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import processes
from pico import pico_model, transformers_model, write_tokens
from sagecraft.errors import MachineError, UserError
from sagecraft.launch import local
from sagecraft.models.config import parse_config, read_config
from sagecraft.training.checkpoint import Checkpoint, load_checkpoint
from sagecraft.training.parallel import Layout, ParallelConfig, arrange

WORKER = Path(processes.__file__)
#: 14 rows, of which an epoch and a seventh takes 16: steps of 5 reach over the edge of an epoch, and leave one row for
#: the last, so that all processes but one are idle in it.
LENGTHS = [20, 45, 31, 7, 64, 22, 50, 13, 40, 33, 12, 18, 29, 30]
MODELS: dict[str, dict[str, Any]] = {
    "tied": {},
    "untied": {"tie_word_embeddings": False},
    "bias": {"model_type": "qwen2"},
    "bias-everywhere": {"attention_bias": True, "tie_word_embeddings": False},
    "norms": {"model_type": "qwen3"},
}
#: name → (processes, model, what differs from BASE)
CASES: dict[str, tuple[int, str, dict[str, Any]]] = {
    "FSDP 2": (2, "tied", {}),
    "FSDP 2, float32": (2, "untied", {"compute_dtype": "float32"}),
    "FSDP 2, recomputed": (2, "tied", {"activation_checkpointing": "layers"}),
    "FSDP 2, bf16": (2, "untied", {"compute_dtype": "bfloat16"}),
    "FSDP 2, LoRA": (2, "tied", {"lora": {"rank": 4}}),
    "TP 2, biases, z-loss": (2, "bias", {"parallel": {"tensor": 2}, "optimizer": {"z_loss": 0.01}}),
    "TP 2, tied": (2, "tied", {"parallel": {"tensor": 2}, "compute_dtype": "float32"}),
    "TP 2, norms of heads": (2, "norms", {"parallel": {"tensor": 2}}),
    "TP 2, four norms a layer": (2, "gemma3_text", {"parallel": {"tensor": 2}}),
    "FSDP 2, through transformers": (2, "olmo2", {}),
    "FSDP 4": (4, "untied", {}),
    "HSDP 2 x 2": (4, "tied", {"parallel": {"replicas": 2}}),
    "FSDP 2 x TP 2": (4, "tied", {"parallel": {"tensor": 2}}),
    "HSDP 2 x TP 2": (4, "bias-everywhere", {"parallel": {"replicas": 2, "tensor": 2}}),
}
BASE: dict[str, Any] = {
    "epochs": 16 / 14,
    "rows_per_step": 5,
    "rows_per_pass": 1,
    "compute_dtype": "float64",
    "optimizer": {"learning_rate": 2e-3, "clip_norm": 0.5},
}
#: Goes through checkpoints at every step, and is killed in the third.
KILLED = {"parallel": {"tensor": 2}, "checkpoint_minutes": 0}
TOLERANCE = {"float64": 1e-6, "float32": 1e-5, "bfloat16": 5e-3}  # records round to 1e-6


def settings(changes: Mapping[str, Any]) -> dict[str, Any]:
    return {**BASE, **changes, "optimizer": {**BASE["optimizer"], **changes.get("optimizer", {})}}


def spawn(folder: Path, num_processes: int, cases: list[dict[str, Any]]) -> None:
    file = folder / f"cases-{num_processes}.json"
    file.write_text(json.dumps(cases))
    local.start([sys.executable, str(WORKER), str(file)], num_processes)


class Runs:
    """All runs of this file, made once: each start of several processes takes seconds to import torch."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.models = {name: pico_model(folder / name, **changes) for name, changes in MODELS.items()}
        self.models |= {kind: transformers_model(folder / kind, kind) for kind in ("gemma3_text", "olmo2")}
        self.tokens = write_tokens(folder / "tokens", self.models["tied"], LENGTHS)
        killed = self.case("killed", "tied", KILLED)
        with pytest.raises(MachineError, match="process 1 of 4 was killed by SIGKILL") as caught:
            spawn(folder, 4, [{**killed, "dies_at": 3}])
        self.fault = str(caught.value)
        for name in ("resumed on 4", "resumed on 2", "resumed on 1", "damaged"):
            shutil.copytree(folder / "killed", folder / name)
        many = {n: [self.case(k, m, change) for k, (p, m, change) in CASES.items() if p == n] for n in (2, 4)}
        spawn(
            folder, 4, [*many[4], self.case("straight on 4", "tied", KILLED), self.case("resumed on 4", "tied", KILLED)]
        )
        spawn(folder, 2, [*many[2], self.case("resumed on 2", "tied", {"checkpoint_minutes": 0})])
        processes.train(self.case("resumed on 1", "tied", {}))

    def case(self, name: str, model: str, changes: Mapping[str, Any]) -> dict[str, Any]:
        inputs = {"model": str(self.models[model]), "tokens": str(self.tokens)}
        return {"inputs": inputs, "config": settings(changes), "out": str(self.folder / name)}

    def alone(self, name: str, model: str, changes: Mapping[str, Any]) -> Path:
        """The same run in one process."""
        config = {key: value for key, value in changes.items() if key != "parallel"}
        case = self.case(f"{name} alone", model, config)
        if not Path(case["out"]).exists():
            processes.train(case)
        return Path(case["out"])


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    return Runs(tmp_path_factory.mktemp("parallel"))


def records(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "watch" / "metrics.jsonl").read_text().splitlines()]


def assert_same_run(one: Path, other: Path, tolerance: float) -> None:
    ours, theirs = records(one), records(other)
    assert len(ours) == len(theirs) == 4
    assert ours[-1]["num_tokens"] <= 32, "one row is left for the last step: the other processes are idle in it"
    for a, b in zip(ours, theirs, strict=True):
        assert {k: a[k] for k in ("step", "num_tokens", "num_learned")} == {
            k: b[k] for k in ("step", "num_tokens", "num_learned")
        }
        for key in ("loss", "gradient_norm", "z_loss"):
            assert a.get(key, 0.0) == pytest.approx(b.get(key, 0.0), abs=tolerance, rel=tolerance), (key, a["step"])
        assert a["loss_by_source"] == pytest.approx(b["loss_by_source"], abs=tolerance)
    left, right = (load_file(out / "weights.safetensors") for out in (one, other))
    assert sorted(left) == sorted(right)
    for name, weight in left.items():
        torch.testing.assert_close(weight.double(), right[name].double(), atol=tolerance, rtol=0, msg=name)


@pytest.mark.parametrize("name", CASES)
def test_several_processes_make_the_run_of_one(name: str, runs: Runs) -> None:
    _, model, changes = CASES[name]
    alone = runs.alone(name, model, changes)
    assert_same_run(alone, runs.folder / name, TOLERANCE[settings(changes)["compute_dtype"]])
    losses = [record["loss"] for record in records(alone)]
    assert losses[0] > 4
    assert len(set(losses)) == len(losses)


def test_a_process_that_dies_in_a_checkpoint_leaves_the_one_before(runs: Runs) -> None:
    names = sorted(path.name for path in (runs.folder / "killed" / "checkpoints").iterdir())
    assert names == ["step-00000001", "step-00000002", "step-00000003.part"]
    assert "run the same command again" in runs.fault


def test_resumed_in_as_many_processes_is_straight_bit_for_bit(runs: Runs) -> None:
    straight, resumed = runs.folder / "straight on 4", runs.folder / "resumed on 4"
    assert (straight / "weights.safetensors").read_bytes() == (resumed / "weights.safetensors").read_bytes()
    assert (straight / "watch/metrics.jsonl").read_bytes() == (resumed / "watch/metrics.jsonl").read_bytes()


@pytest.mark.parametrize("number", [2, 1])
def test_resumed_in_fewer_processes_loses_and_repeats_nothing(number: int, runs: Runs) -> None:
    """4 processes with tensor parallelism go on as 2 without, or as one; the rows of each step are those of the plan."""
    assert_same_run(runs.folder / "straight on 4", runs.folder / f"resumed on {number}", 1e-6)


def test_any_rectangle_is_read_from_the_pieces(runs: Runs) -> None:
    found = load_checkpoint(runs.folder / "damaged" / "checkpoints")
    assert found is not None
    assert found.state["step"] == 2
    name = "master.layers.0.mlp.down_proj.weight"
    whole = found[name]
    assert whole.shape == (32, 64)
    assert len(found._places[name]) == 4
    torch.testing.assert_close(found.piece(name, (3, 20), (21, 30)), whole[3:24, 20:50], rtol=0, atol=0)


def test_damage_in_any_file_is_named_and_the_checkpoint_before_is_taken(
    runs: Runs, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = runs.folder / "damaged" / "checkpoints"
    file = folder / "step-00000002" / "part-00003.safetensors"
    raw = bytearray(file.read_bytes())
    raw[-5] ^= 1
    file.write_bytes(raw)
    found = load_checkpoint(folder)
    assert isinstance(found, Checkpoint)
    assert found.state["step"] == 1
    assert "part-00003.safetensors: its bytes are not those" in capsys.readouterr().err
    assert file.exists(), "nothing is deleted"


def test_layouts_that_do_not_divide_are_refused_by_key(pico: Path) -> None:
    model = parse_config(read_config(pico))
    assert arrange(ParallelConfig(tensor=2, replicas=2), 8, model) == Layout(replicas=2, shards=2, tensor=2)
    with pytest.raises(UserError, match=r"parallel: tensor 2 × replicas 1 does not divide the 3 process"):
        arrange(ParallelConfig(tensor=2), 3, model)
    with pytest.raises(UserError, match=r"parallel\.tensor: 4 does not divide the model's 2 key-value heads"):
        arrange(ParallelConfig(tensor=4), 4, model)
    with pytest.raises(UserError, match=r"parallel\.tensor: this family runs through transformers"):
        arrange(ParallelConfig(tensor=2), 2, None)
