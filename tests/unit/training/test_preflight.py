"""What is said, warned of and refused before training starts."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pico import pico_model, write_tokens
from sagecraft import artifact
from sagecraft.errors import MachineError, UserError
from sagecraft.models.tokenizer import Tokenizer
from sagecraft.tokens.packed import Packed, TokenItem, write_packed
from sagecraft.training import preflight
from sagecraft.training.lora import LoraConfig
from sagecraft.training.preflight import advice, needs, unlearned, usual_learning_rate
from sagecraft.training.train import TrainConfig, prepare, run


def conversations(folder: Path, model: Path, learned: list[int], row: int = 16) -> Path:
    """A tokens artifact: conversation n has eight tokens, the last `learned[n]` of them learned."""
    items = [
        TokenItem(f"c{n}", "talk", [3 + n] * 8, [False] * (8 - count) + [True] * count)
        for n, count in enumerate(learned)
    ]
    with artifact.build(
        folder, kind="tokens", stage="render", version=1, config=TrainConfig(), inputs={"model": model}
    ) as build:
        build.stats.update(write_packed(build.path, items, row, pad_id=0))
        build.stats["tokenizer_sha256"] = Tokenizer.from_folder(model).sha256
    return folder


@pytest.fixture(autouse=True)
def quiet_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight.hardware, "matrix_tflops", lambda dtype, device: 1e-5)


def test_the_page_has_the_figures(tmp_path: Path, pico: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tokens = write_tokens(tmp_path / "tokens", pico, [20, 45, 31, 7, 64, 22, 50, 13, 40])
    run(TrainConfig(rows_per_step=3, epochs=2), {"model": pico, "tokens": tokens}, tmp_path / "out")
    said = capsys.readouterr()
    assert said.out == "", "a page for the person who waits is no result"
    stats = artifact.load(tokens).stats
    for figure in (
        "28,832 parameters",
        f"{stats['num_learned']:,} of them learned, from 9 items",
        f"{stats['num_rows']:,} of 32 tokens, {stats['share_padding']:.1%} padding",
        "2 over the text",
        "7 of 3 rows",
        "up to 0.0002 in 1 steps, then cosine to 2e-05",
        "GiB",
    ):
        assert figure in said.err, figure
    assert "cpt: only 7 steps, too few for a schedule; lower rows_per_step (3)" in said.err


def test_a_conversation_without_a_learned_token_is_refused_by_name(tmp_path: Path, pico: Path) -> None:
    tokens = conversations(tmp_path / "tokens", pico, [3, 0, 5, 0, 2])
    assert unlearned(Packed.open(tokens), chunk=1) == unlearned(Packed.open(tokens)) == ["c1", "c3"]
    with pytest.raises(UserError, match=r"2 conversation\(s\) without a learned token \(c1, c3\)"):
        run(TrainConfig(), {"model": pico, "tokens": tokens}, tmp_path / "out", "sft")
    assert not (tmp_path / "out.work").exists(), "nothing was begun"


def test_learned_tokens_are_counted_over_all_pieces(tmp_path: Path, pico: Path) -> None:
    """Of a document that is cut, one piece may have nothing to learn; of a document of one token there is nothing."""
    tokens = write_tokens(tmp_path / "tokens", pico, [70, 1, 40, 33])
    packed = Packed.open(tokens)
    assert unlearned(packed) == ["d1"]
    mask = np.array(packed.mask)
    mask[0] = 0
    assert set(unlearned(dataclasses.replace(packed, mask=mask))) >= {"d1"}


def test_rows_longer_than_the_context_are_refused(tmp_path: Path, pico: Path) -> None:
    tokens = write_tokens(tmp_path / "tokens", pico, [20] * 20)
    short = pico_model(tmp_path / "short", max_position_embeddings=16)
    with pytest.raises(UserError, match="rows of 32 tokens are more than the model's context, 16"):
        run(TrainConfig(), {"model": short, "tokens": tokens}, tmp_path / "out")


def test_a_full_disk_stops_before_the_first_step(tmp_path: Path, pico: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = write_tokens(tmp_path / "tokens", pico, [20] * 20)
    usage = shutil.disk_usage(tmp_path)._replace(free=500_000)
    monkeypatch.setattr(preflight.shutil, "disk_usage", lambda path: usage)
    inputs = {"model": pico, "tokens": tokens}
    with pytest.raises(MachineError, match="GiB of disk are needed"):
        run(TrainConfig(checkpoint_minutes=0), inputs, tmp_path / "out")
    made = run(TrainConfig(checkpoint_minutes=60), inputs, tmp_path / "out")
    assert made.stats["num_steps"] > 0, "a run shorter than the time between checkpoints needs no room for them"


def test_memory_beyond_the_machine_is_a_warning(
    tmp_path: Path, pico: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tokens = write_tokens(tmp_path / "tokens", pico, [20] * 20)
    monkeypatch.setattr(preflight.hardware, "device_memory_gib", lambda device: 0.25)
    run(TrainConfig(), {"model": pico, "tokens": tokens}, tmp_path / "out")
    assert "GiB of memory, 0.2 are there; lower rows_per_pass" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("stage", "rate", "size", "lora"),
    [
        ("cpt", 2e-5, 70e9, False),  # AstroMLab 2
        ("sft", 3e-7, 70e9, False),
        ("sft", 2e-5, 7e9, False),  # Llama 2's chat models
        ("sft", 2e-4, 7e9, True),  # QLoRA
        ("sft", 1e-4, 65e9, True),
        ("cpt", 2e-4, 0.135e9, False),  # recipes/quickstart.yaml
        ("sft", 5e-5, 0.135e9, False),
    ],
)
def test_published_learning_rates_are_not_warned_of(stage: str, rate: float, size: float, lora: bool) -> None:
    assert advice(stage, rate, 1, int(size), lora) == []


@pytest.mark.parametrize(
    ("stage", "rate", "size", "lora", "expected"),
    [
        ("cpt", 2e-2, 0.135e9, False, "103 times what is usual for 0.135 B parameters (all weights): about 0.0002"),
        ("cpt", 1e-3, 70e9, False, "41 times"),
        ("cpt", 1e-6, 0.135e9, False, "1/195 of what is usual"),
        ("sft", 2e-2, 7e9, True, "98 times what is usual for 7 B parameters (LoRA): about 0.0002"),
        ("sft", 3e-7, 0.135e9, False, "1/244 of"),
    ],
)
def test_a_learning_rate_of_another_order_is_said_with_its_figure(
    stage: str, rate: float, size: float, lora: bool, expected: str
) -> None:
    (line,) = advice(stage, rate, 1, int(size), lora)
    assert line.startswith(f"{stage}.optimizer.learning_rate: {rate:g} is ")
    assert expected in line


@pytest.mark.parametrize(("size", "published"), [(125e6, 6e-4), (350e6, 3e-4), (1.3e9, 2e-4), (13e9, 1e-4), (175e9, 0.6e-4)])  # fmt: skip
def test_the_rule_meets_the_published_table(size: float, published: float) -> None:
    assert 1 / 1.45 < usual_learning_rate("cpt", int(size), lora=False) * 3 / published < 1.45


def test_many_passes_and_few_steps_are_said() -> None:
    assert advice("sft", 5e-5, 5, 135_000_000, False, 9, 64) == [
        "sft.epochs: 5 passes; beyond 4 the same text teaches little more and is learned by heart",
        "sft: only 9 steps, too few for a schedule; lower rows_per_step (64)",
    ]
    assert advice("sft", 5e-5, 4, 135_000_000, False, 10, 64) == []


def test_lora_needs_less_and_says_how_much_learns(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = pico_model(tmp_path / "model", hidden_size=256, intermediate_size=512, head_dim=64)
    tokens = write_tokens(tmp_path / "tokens", model, [20] * 20)
    inputs = {"model": model, "tokens": tokens}

    def needed(**settings: Any) -> preflight.Need:
        config = TrainConfig(checkpoint_minutes=0, **settings)
        return needs(config, prepare(config, inputs), 2)

    whole, pairs = needed(), needed(lora=LoraConfig(rank=2))
    assert pairs.memory_gib is not None
    assert whole.memory_gib is not None
    assert pairs.memory_gib < whole.memory_gib
    assert pairs.checkpoints_gib < whole.checkpoints_gib / 5
    assert pairs.model_gib == pytest.approx(whole.model_gib)
    assert 0.5 < pairs.seconds / whole.seconds < 0.9
    assert whole.held_out_seconds > 0
    run(TrainConfig(lora=LoraConfig(rank=2)), inputs, tmp_path / "out")
    assert "of them learn (LoRA)" in capsys.readouterr().err
