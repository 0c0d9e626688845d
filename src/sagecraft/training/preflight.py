"""Before training starts: one page of what it will do and take, and what should stop it now and not in an hour.

A plan (`planning`) says the same of runs whose text is not read yet, by the same functions.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sagecraft import console, hardware
from sagecraft.errors import MachineError, UserError
from sagecraft.training.watch import TEXTS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from sagecraft.tokens.packed import Packed
    from sagecraft.training.train import Prepared, TrainConfig

GIB = 2**30
#: Peak rate of pre-training: 6e-4 for 125 M parameters, falling with their cube root. It meets the table of GPT-3
#: (arXiv:2005.14165, table 2.1: 350 M 3e-4, 1.3 B 2e-4, 13 B 1e-4, 175 B 0.6e-4) within 45 %.
_PRETRAINING_RATE, _PRETRAINING_SIZE = 6e-4, 125e6
#: What is usual as a share of it. Continued pre-training: 2e-5 for 70 B (AstroMLab 2) is 0.27. Full fine-tuning: 2e-5
#: for 7 B (arXiv:2307.09288) is 0.13. LoRA: 2e-4 for 7 B and 1e-4 for 65 B (arXiv:2305.14314) are 1.3.
_USUAL_SHARE = {"cpt": 1 / 3, "sft": 1 / 8, "lora": 1.3}
#: So many times more, or less, is another order. Fine-tuning lower still is known to work (AstroMLab 2: 3e-7 for 70 B).
_TOO_HIGH, _TOO_LOW = 10.0, {"cpt": 10.0, "sft": 50.0, "lora": 50.0}
#: Repeating text more often brings little (arXiv:2305.16264).
_MAX_EPOCHS = 4
#: A schedule of fewer steps has no shape, and AdamW's means have not settled.
_MIN_STEPS = 10
#: Bytes a parameter of a checkpoint (master, two moments); two are kept while a third is written.
CHECKPOINT_BYTES, NUM_CHECKPOINTS = 12, 3


def usual_learning_rate(stage: str, num_parameters: int, lora: bool) -> float:
    """A peak learning rate as others took it, by the model's size and what is trained."""
    base = _PRETRAINING_RATE * math.cbrt(_PRETRAINING_SIZE / max(1, num_parameters))
    return base * _USUAL_SHARE["lora" if lora else stage]


def advice(
    stage: str,
    learning_rate: float,
    epochs: float,
    num_parameters: int,
    lora: bool,
    num_steps: int | None = None,
    rows_per_step: int = 1,
) -> list[str]:
    """What looks wrong in the settings of a run, each with its figure.

    Args:
        stage: `cpt` or `sft`.
        learning_rate: the peak.
        epochs: passes over the text.
        num_parameters: of the model.
        lora: only low-rank pairs are trained.
        num_steps: of the run; None is not known yet.
        rows_per_step: rows of one step.
    """
    found = []
    usual = usual_learning_rate(stage, num_parameters, lora)
    size = f"{num_parameters / 1e9:.3g} B" if num_parameters >= 1e8 else f"{num_parameters:,}"
    how = "LoRA" if lora else "all weights"
    ratio = learning_rate / usual
    if ratio > _TOO_HIGH or ratio < 1 / _TOO_LOW["lora" if lora else stage]:
        times = f"{ratio:,.0f} times what" if ratio > 1 else f"1/{1 / ratio:,.0f} of what"
        found.append(
            f"{stage}.optimizer.learning_rate: {learning_rate:g} is {times} is usual for {size} parameters ({how}): about {usual:.1g}"
        )
    if epochs > _MAX_EPOCHS:
        found.append(
            f"{stage}.epochs: {epochs:g} passes; beyond {_MAX_EPOCHS} the same text teaches little more and is learned by heart"
        )
    if num_steps is not None and num_steps < _MIN_STEPS:
        found.append(
            f"{stage}: only {num_steps:,} steps, too few for a schedule"
            + (f"; lower rows_per_step ({rows_per_step:,})" if rows_per_step > 1 else "; give more text or epochs")
        )
    return found


@dataclass(frozen=True)
class Need:
    """What a run takes.

    Attributes:
        memory_gib: of one device.
        seconds: of the steps.
        held_out_seconds: of measuring held-out text.
        model_gib: of the finished folder.
        checkpoints_gib: of those that stand at once.
    """

    memory_gib: float | None
    seconds: float
    held_out_seconds: float
    model_gib: float
    checkpoints_gib: float


def check_and_show(
    config: TrainConfig, ready: Prepared, inputs: Mapping[str, Path], out: Path, stage: str, scratch: Path
) -> None:
    """Prints the page; stops what cannot end well.

    Args:
        config: of the run.
        ready: model and rows.
        inputs: of the stage.
        out: the folder that is being made.
        stage: `cpt` or `sft`.
        scratch: checkpoints of an interrupted run, which take no more disk.

    Raises:
        UserError: conversations without a learned token, rows longer than the model's context.
        MachineError: the disk has no room for the model and its checkpoints.
    """
    packed, tokens = ready.loader.packed, inputs["tokens"]
    limit = ready.model.max_positions
    if packed.row_length > limit:
        raise UserError(
            f"{tokens}: rows of {packed.row_length:,} tokens are more than the model's context, {limit:,}; pack it again"
        )
    without = unlearned(packed)
    if without and stage == "sft":
        raise UserError(
            f"{tokens}: {len(without):,} conversation(s) without a learned token ({', '.join(without[:3])}"
            f"{', …' if len(without) > 3 else ''}); leave them out and render again"
        )
    need = needs(config, ready, sum(name in inputs for name in TEXTS))
    free = shutil.disk_usage(_existing(out)).free / GIB + _size_gib(scratch)
    wanted = need.model_gib + need.checkpoints_gib
    if wanted > free:
        raise MachineError(
            f"{out}: {wanted:.1f} GiB of disk are needed ({need.checkpoints_gib:.1f} of them for checkpoints), {free:.1f} "
            "are free; make room or choose another --out"
        )
    console.table(f"\n{stage}: before it starts", ["", ""], _page(config, ready, need, free, len(without)), aside=True)
    for warning in _warnings(config, ready, need, stage):
        console.warn(warning)


def needs(config: TrainConfig, ready: Prepared, num_texts: int) -> Need:
    """Memory, time and disk of a run that measures so many held-out texts."""
    import torch

    from sagecraft.models.decoder import Decoder
    from sagecraft.models.kernels.library import ready as ready_for
    from sagecraft.models.memory import training_gib
    from sagecraft.training.watch import flop_per_token
    from sagecraft.training.world import current

    loader, layout, world = ready.loader, ready.layout, current()
    learning = sum(p.numel() for p in ready.model.parameters() if p.requires_grad)
    whole = num_parameters(ready)
    memory = None
    if isinstance(ready.model, Decoder):
        memory = training_gib(
            ready.model.config,
            config.compute_dtype,
            config.rows_per_pass * loader.packed.row_length,
            1 if layout is None else layout.shards * layout.tensor,
            recompute=config.activation_checkpointing == "layers",
            num_learning=learning,
            tensor=1 if layout is None else layout.tensor,
            native=(layout is None or layout.tensor == 1)
            and ready_for(torch.empty(0, dtype=getattr(torch, config.compute_dtype), device=world.device)),
        )
    num_devices = world.size if world.device.type != "cpu" else 1
    rate = (
        hardware.matrix_tflops(config.compute_dtype, str(world.device)) * 1e12 * num_devices * hardware.TRAINING_SHARE
    )
    per_token = flop_per_token(ready, config.lora is not None) / rate
    seconds = per_token * loader.num_rows * loader.packed.row_length * (1 - share_padding(loader.packed))
    stored = 2.0 if config.save_dtype == "bfloat16" else 4.0
    keeps = seconds > 60 * config.checkpoint_minutes
    return Need(
        memory,
        seconds,
        per_token / 3 * num_texts * num_measured(config, loader.num_steps),
        stored * whole / GIB,
        CHECKPOINT_BYTES * NUM_CHECKPOINTS * learning / GIB if keeps else 0.0,
    )


def num_measured(config: TrainConfig, num_steps: int) -> int:
    """Held-out tokens of one text that a run scores, all measurements together."""
    every = config.watch.every_steps
    times = min(num_steps, 4) + 1 if every is None else num_steps // every + 1 + bool(num_steps % every)
    return times * config.watch.tokens


def num_parameters(ready: Prepared) -> int:
    """Parameters of the finished model, LoRA's pairs aside: they are merged."""
    if ready.model.lm_head.weight.requires_grad:
        return sum(p.numel() for p in ready.model.parameters())
    return sum(p.numel() for p in ready.model.parameters() if not p.requires_grad)


def share_padding(packed: Packed) -> float:
    """Share of the rows' places that no piece fills."""
    from sagecraft.tokens.packed import LENGTH

    return 1 - float(packed.pieces[:, LENGTH].sum()) / max(1, packed.tokens.size)


def unlearned(packed: Packed, chunk: int = 4096) -> list[str]:
    """Ids of documents or conversations of which no token is learned.

    Args:
        packed: the rows; read in chunks, since the mask of 1e9 tokens is a gigabyte.
        chunk: rows at once.
    """
    import numpy as np

    from sagecraft.tokens.packed import ITEM, LENGTH, ROW, START

    learned = np.zeros(len(packed.items), dtype=np.int64)
    for first in range(0, packed.num_rows, chunk):
        begin, end = np.searchsorted(packed.pieces[:, ROW], [first, first + chunk])
        pieces = packed.pieces[begin:end]
        sums = _running(packed.mask[first : first + chunk])
        row, start = pieces[:, ROW] - first, pieces[:, START]
        np.add.at(learned, pieces[:, ITEM], sums[row, start + pieces[:, LENGTH]] - sums[row, start])
    return [str(packed.items[int(number)]["id"]) for number in np.flatnonzero(learned == 0)]


def _running(mask: NDArray[np.uint8]) -> NDArray[np.int64]:
    """[R, L] → [R, L + 1], learned tokens before each place."""
    import numpy as np

    sums = np.zeros((mask.shape[0], mask.shape[1] + 1), dtype=np.int64)
    np.cumsum(mask, axis=1, out=sums[:, 1:])
    return sums


def _page(config: TrainConfig, ready: Prepared, need: Need, free: float, num_without: int) -> list[tuple[str, str]]:
    loader, packed, schedule = ready.loader, ready.loader.packed, config.optimizer
    epochs = loader.num_rows / max(1, packed.num_rows)
    learning = sum(p.numel() for p in ready.model.parameters() if p.requires_grad)
    whole, learned = num_parameters(ready), int(packed.mask.sum())
    tokens = packed.tokens.size * (1 - share_padding(packed))
    device = hardware.device_memory_gib(_device())
    rows = [
        ("model", f"{whole:,} parameters" + (f", {learning:,} of them learn (LoRA)" if config.lora else "")),
        ("text", f"{tokens:,.0f} tokens, {learned:,} of them learned, from {len(packed.items):,} items"),
        ("rows", f"{packed.num_rows:,} of {packed.row_length:,} tokens, {share_padding(packed):.1%} padding"),
        ("passes", f"{epochs:.3g} over the text, {epochs * tokens:,.0f} tokens in all"),
        ("steps", f"{loader.num_steps:,} of {config.rows_per_step:,} rows, {_per_step(ready):,.0f} tokens each"),
        (
            "learning rate",
            f"up to {schedule.learning_rate:g} in {max(1, round(schedule.warmup_ratio * loader.num_steps)):,} steps, then "
            f"{schedule.schedule} to {schedule.learning_rate * schedule.min_learning_rate_ratio:.2g}",
        ),
        ("memory", "not known for this architecture" if need.memory_gib is None else f"{need.memory_gib:.1f} of {device:.1f} GiB"),
        ("time", f"about {console.duration(need.seconds + need.held_out_seconds)}" + _of_which(need)),
        ("disk", f"{need.model_gib + need.checkpoints_gib:.1f} of {free:.1f} GiB, {need.checkpoints_gib:.1f} for checkpoints"),
    ]  # fmt: skip
    return rows + ([("without a target", f"{num_without:,} items of one token")] if num_without else [])


def _per_step(ready: Prepared) -> float:
    packed = ready.loader.packed
    return ready.loader.rows_per_step * packed.row_length * (1 - share_padding(packed))


def _of_which(need: Need) -> str:
    share = need.held_out_seconds / (need.seconds + need.held_out_seconds)
    return f", at most {share:.0%} of it on held-out text" if share else ""


def _warnings(config: TrainConfig, ready: Prepared, need: Need, stage: str) -> Sequence[str]:
    loader = ready.loader
    found = advice(
        stage,
        config.optimizer.learning_rate,
        config.epochs,
        num_parameters(ready),
        config.lora is not None,
        loader.num_steps,
        config.rows_per_step,
    )
    device = hardware.device_memory_gib(_device())
    if need.memory_gib is not None and need.memory_gib > device:
        found.append(
            f"{stage}: needs about {need.memory_gib:.1f} GiB of memory, {device:.1f} are there; lower rows_per_pass or "
            "sequence_length, set activation_checkpointing: layers, or train with LoRA"
        )
    return found


def _device() -> str:
    from sagecraft.training.world import current

    return str(current().device)


def _existing(path: Path) -> Path:
    """The nearest folder that is there already."""
    return next(folder for folder in (path, *path.resolve().parents) if folder.is_dir())


def _size_gib(folder: Path) -> float:
    return math.fsum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / GIB
