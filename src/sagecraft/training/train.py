"""Stages `cpt` and `sft`: one configuration, one run; they differ in the tokens they get and their masks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from pydantic import BaseModel, ConfigDict, Field

from sagecraft import artifact, console, settings
from sagecraft.artifact import Manifest
from sagecraft.errors import UserError
from sagecraft.training.lora import LoraConfig
from sagecraft.training.parallel import Layout, ParallelConfig, arrange
from sagecraft.training.schedule import OptimizerConfig
from sagecraft.training.watch import WatchConfig
from sagecraft.training.world import current

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from sagecraft.models.decoder import Decoder
    from sagecraft.models.foreign import ForeignDecoder
    from sagecraft.models.load import Dtype, LoadedModel
    from sagecraft.models.parity import Parity
    from sagecraft.models.tokenizer import Tokenizer
    from sagecraft.tokens.loader import Loader
    from sagecraft.training.loop import Trainer
    from sagecraft.training.sharding import Gathered
    from sagecraft.training.watch import Watcher

VERSION = 3


class TrainConfig(BaseModel):
    """One training run.

    Attributes:
        optimizer: learning rate, schedule, AdamW.
        epochs: passes over the tokens; a fraction ends within a pass.
        rows_per_step: rows of one optimizer step.
        rows_per_pass: rows of one forward and backward pass of one process: less memory, same result up to rounding.
        compute_dtype: bfloat16 computes in bf16 on float32 master weights; float32 is the reference.
        save_dtype: of the finished folder. float32 keeps what bf16 would round away: an update of 1e-5 on a weight of
            0.05 is a tenth of bf16's step, and merging subtracts such models.
        checkpoint_minutes: a killed run repeats at most this much; 0 writes one at every step.
        seed: keys the order of the rows, and where LoRA begins.
        lora: trains low-rank pairs beside frozen weights; null trains the weights. The finished folder holds merged
            weights either way, and with LoRA the pairs as `adapter/` in peft's format.
        watch: held-out perplexity while it trains, and where its figures are shown.
        activation_checkpointing: `layers` keeps the input of each layer and computes the rest again in the backward pass:
            a third more arithmetic, a fraction of the memory, the same gradients bit for bit.
        compile: torch.compile of every layer; needs a C++ compiler, and pays on long runs of small models.
        parallel: how the run is spread over the processes that were started for it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    optimizer: OptimizerConfig = OptimizerConfig()
    epochs: float = Field(default=1.0, gt=0)
    rows_per_step: int = Field(default=4, ge=1)
    rows_per_pass: int = Field(default=4, ge=1)
    compute_dtype: Literal["bfloat16", "float32", "float64"] = "bfloat16"
    save_dtype: Literal["float32", "bfloat16"] = "float32"
    checkpoint_minutes: float = Field(default=5.0, ge=0)
    seed: int = 0
    lora: LoraConfig | None = None
    watch: WatchConfig = WatchConfig()
    # How it is computed changes what is computed by rounding at most: a run may go on with other values of these, and
    # they are in no fingerprint.
    activation_checkpointing: Literal["none", "layers"] = Field(default="none", exclude=True)
    compile: bool = Field(default=False, exclude=True)
    parallel: ParallelConfig = Field(default=ParallelConfig(), exclude=True)


def run(config: TrainConfig, inputs: Mapping[str, Path], out: Path, stage: str = "cpt") -> Manifest:
    """Trains `model` on `tokens` and writes a Hugging Face folder.

    Args:
        config: settings.
        inputs: `model` (a Hugging Face folder) and `tokens` (a tokens artifact); documents `domain` and `general`, whose
            perplexity is measured now and then, if they are given.
        out: the new model folder.
        stage: name of the stage, `cpt` or `sft`.

    Raises:
        UserError: tokens and model have different tokenizers, or nothing is to be learned.
    """
    from sagecraft.models.load import read_config
    from sagecraft.models.parity import check_folder, check_saved
    from sagecraft.models.save import save_model
    from sagecraft.training.preflight import check_and_show

    with artifact.build(
        out, kind="model", stage=stage, version=VERSION, config=config, inputs=inputs, resumable=True
    ) as build:
        ready = prepare(config, inputs)
        job = Job(config, inputs, build.scratch("checkpoints"), build.scratch("watch"), out, stage)
        check_and_show(config, ready, inputs, out, stage, job.checkpoints)
        build.stats.update(base_parity_difference=_gate(config, ready, inputs["model"]).stats()["parity_difference"])
        with current().together():
            job.call_others()
            trainer, watcher = job.train(ready)
            weights = _finished_weights(config, trainer, inputs["model"], build.path)
            base, shapes = read_config(inputs["model"]), getattr(weights, "shapes", None)
            save_model(build.path, weights, base, inputs["model"], chat_template=ready.chat_template, shapes=shapes)
        build.stats.update(epochs=config.epochs, **watcher.finish(build.path))
        del ready, trainer, watcher  # optimizer states and the copy that computed make room for the check
        # gathered weights went to their file one by one: nothing is left in memory to compare it with
        parity = check_saved(weights, inputs["model"], build.path) if shapes is None else check_folder(build.path)
        console.say(f"  {parity}")
        build.stats.update(parity.stats())
    return build.manifest


def _gate(config: TrainConfig, ready: Prepared, folder: Path) -> Parity:
    """Training starts from the model that transformers knows: compares the logits of both.

    LoRA has changed the model by now, and of a sharded one there are only shapes: there the folder is loaded for it.
    """
    from sagecraft.models.parity import check_folder, check_model

    whole = config.lora is None and ready.layout is None
    parity = check_model(ready.model, folder) if whole else check_folder(folder)
    console.say(f"  {parity}")
    return parity


@dataclass(frozen=True)
class Job:
    """What all processes of a run do together: one training stage, from the first step to the gathered weights.

    Attributes:
        config: settings.
        inputs: of the stage.
        checkpoints: scratch folder.
        watched: scratch folder of the records.
        out: the new model folder.
        stage: name of the stage.
    """

    config: TrainConfig
    inputs: Mapping[str, Path]
    checkpoints: Path
    watched: Path
    out: Path
    stage: str

    def call_others(self) -> None:
        """Process 0 hands the job to the processes that wait in `assist`."""
        paths = {name: str(getattr(self, name).absolute()) for name in ("checkpoints", "watched", "out")}
        inputs = {name: str(path.absolute()) for name, path in self.inputs.items()}
        current().tell({"config": settings.dump(self.config), "inputs": inputs, "stage": self.stage, **paths})

    def train(self, ready: Prepared) -> tuple[Trainer, Watcher]:
        """Trains to the end."""
        from sagecraft.training.loop import Trainer
        from sagecraft.training.watch import watcher_for

        sharding = None
        if ready.layout is not None:
            from sagecraft.training.sharding import Sharding

            sharding = Sharding(ready.layout, current(), self.inputs["model"])
        world = current()
        num_devices = world.size if world.device.type != "cpu" else 1
        watcher = watcher_for(
            self.config, ready, self.inputs, self.watched, self.out, self.stage, num_devices, world.is_first
        )
        trainer = Trainer(self.config, ready.model, ready.loader, self.checkpoints, watcher, sharding)
        trainer.fit()
        return trainer, watcher


def assist() -> int:
    """What every process but the first does: waits for jobs and does its part of them. Returns the exit code."""
    while "end" not in (said := current().tell()):
        paths = {name: Path(said[name]) for name in ("checkpoints", "watched", "out")}
        inputs = {name: Path(path) for name, path in said["inputs"].items()}
        job = Job(TrainConfig.model_validate(said["config"]), inputs, stage=said["stage"], **paths)
        trainer, _ = job.train(prepare(job.config, job.inputs))
        weights = trainer.weights()
        for name in weights:  # process 0 saves them; gathering each takes everybody
            weights[name]
    return int(said["end"])


def _finished_weights(config: TrainConfig, trainer: Trainer, base: Path, out: Path) -> Mapping[str, Tensor]:
    """What the new folder holds, in the precision to be saved; LoRA's pairs are also written on their own."""
    import torch

    dtype: torch.dtype = getattr(torch, config.save_dtype)
    weights = trainer.weights()
    if config.lora is None:
        if trainer.sharding is not None:
            return cast("Gathered", weights).to(dtype)
        return {name: weight.to(dtype) for name, weight in weights.items()}
    from sagecraft.training.lora_layers import merged_weights, pairs_of, save_adapter

    pairs = pairs_of(weights)
    save_adapter(out / "adapter", pairs, config.lora, base)
    return merged_weights(pairs, config.lora, base, dtype)


@dataclass(frozen=True)
class Prepared:
    """What a run trains on, checked: the pieces belong together.

    Attributes:
        model: exact weights, float32 or wider; with LoRA, exact pairs beside weights in compute precision.
        tokenizer: the model's.
        loader: the rows in their order.
        chat_template: to be written into the new checkpoint, if it has none of its own.
        layout: how several processes share the model; None is one process. The model is then on the meta device, if it
            can be read in pieces.
    """

    model: Decoder | ForeignDecoder
    tokenizer: Tokenizer
    loader: Loader
    chat_template: str | None
    layout: Layout | None = None


def prepare(config: TrainConfig, inputs: Mapping[str, Path]) -> Prepared:
    """Opens model and tokens.

    Raises:
        UserError: tokens and model have different tokenizers or templates, or nothing is to be learned.
    """
    from sagecraft.tokens.loader import Loader
    from sagecraft.tokens.packed import Packed
    from sagecraft.training.lora_layers import add_lora

    packed, stats = Packed.open(inputs["tokens"]), artifact.load(inputs["tokens"], "tokens").stats
    loaded, layout = _open(config, inputs["model"])
    if stats["tokenizer_sha256"] != loaded.tokenizer.sha256:
        raise UserError(f"{inputs['tokens']}: made with another tokenizer than {inputs['model']}; pack it again")
    if not stats["num_learned"]:
        raise UserError(f"{inputs['tokens']}: no token is to be learned; the conversations have no replies")
    num_rows = loaded.model.lm_head.weight.shape[0]
    if int(packed.tokens.max()) >= num_rows:
        raise UserError(
            f"{inputs['model']}: its tokenizer has tokens beyond the {num_rows:,} rows of its embedding, and the "
            "text uses them; take the tokenizer that belongs to the weights"
        )
    if config.lora is not None:
        add_lora(loaded.model, config.lora, config.seed, inputs["model"])
    chat_template = _template(inputs, loaded.tokenizer.chat_template, stats)
    loader = Loader(packed, config.rows_per_step, config.epochs, config.seed)
    return Prepared(loaded.model, loaded.tokenizer, loader, chat_template, layout)


def _open(config: TrainConfig, folder: Path) -> tuple[LoadedModel, Layout | None]:
    """The model, and how several processes share it: then without its weights, if each process can read its own pieces."""
    import torch

    from sagecraft.models.config import parse_config, read_config, supported
    from sagecraft.models.load import LoadedModel, empty_model, load_model
    from sagecraft.models.tokenizer import Tokenizer

    raw = read_config(folder)
    ours = parse_config(raw, folder / "config.json") if supported(raw) else None
    dtype: Dtype = "float64" if config.compute_dtype == "float64" else "float32"
    if config.lora is not None:  # frozen weights have no masters: they are read in the precision that computes
        dtype = config.compute_dtype
    layout = None
    if current().size > 1 or config.parallel != ParallelConfig():
        layout = arrange(config.parallel, current().size, ours)
    if layout is not None and layout.tensor > 1 and config.lora is not None:
        raise UserError("parallel.tensor: LoRA's pairs are not cut into tensors; set it to 1")
    if layout is None or ours is None:
        return load_model(folder, dtype), layout
    return LoadedModel(empty_model(ours, getattr(torch, dtype)), Tokenizer.from_folder(folder), folder), layout


def _template(inputs: Mapping[str, Path], own: str | None, stats: Mapping[str, Any]) -> str | None:
    """The chat template that the new checkpoint needs written into it: the one its conversations were rendered with."""
    from sagecraft.chat.template import ChatTemplate

    if "template_sha256" not in stats:
        return None
    template = ChatTemplate.from_folder(inputs["model"])
    if template.sha256 != stats["template_sha256"]:
        raise UserError(
            f"{inputs['tokens']}: rendered with another chat template than {inputs['model']} has; render again"
        )
    return template.text if own is None else None
