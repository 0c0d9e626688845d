"""LoRA in a model: linear layers with a pair beside them, and what becomes of the pairs when training is over."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sagecraft.artifact import is_artifact, keyed_hash, load
from sagecraft.errors import UserError
from sagecraft.models.adapter import ChangedWeights, LowRank, write_adapter
from sagecraft.models.load import hugging_face_name
from sagecraft.models.tensors import list_tensors
from sagecraft.training.lora import LoraConfig

if TYPE_CHECKING:
    from sagecraft.models.decoder import Decoder
    from sagecraft.models.foreign import ForeignDecoder

_A, _B = ".lora_A", ".lora_B"


class LoraLinear(nn.Linear):
    """y = W x + bias + scale · B · A · dropout(x), W and bias frozen.

    Attributes:
        key: what a dropout mask is drawn from besides the layer's name: see `begin_pass`.
    """

    def __init__(self, linear: nn.Linear, name: str, config: LoraConfig, seed: int) -> None:
        nn.Module.__init__(self)  # the weight stays where it is: Linear's own would allocate another
        self.name, self.scale, self.dropout = name, config.scale, config.dropout
        self.key: tuple[int, ...] = (seed,)
        self.out_features, self.in_features = linear.weight.shape
        self.weight, self.bias = linear.weight, linear.bias
        device, wide = linear.weight.device, torch.promote_types(linear.weight.dtype, torch.float32)
        self.lora_A = nn.Parameter(torch.empty(config.rank, self.in_features, device=device, dtype=wide))
        self.lora_B = nn.Parameter(torch.zeros(self.out_features, config.rank, device=device, dtype=wide))
        if device.type != "meta":
            self.lora_A.data.copy_(self.beginning())

    def beginning(self) -> Tensor:
        """What A begins with: Kaiming's uniform with slope √5, which is ±1/√in, as in peft and the paper's code."""
        generator = torch.Generator().manual_seed(keyed_hash(self.key[0], "lora", self.name) >> 1)
        bound = 1 / math.sqrt(self.in_features)
        return torch.empty(self.lora_A.shape).uniform_(-bound, bound, generator=generator)

    def forward(self, x: Tensor) -> Tensor:
        """[…, in] → […, out]."""
        given = self._dropped(x) if self.dropout and self.training else x
        # the factor goes to the small side: […, rank]
        return F.linear(x, self.weight, self.bias) + F.linear(F.linear(given, self.lora_A) * self.scale, self.lora_B)

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def _dropped(self, x: Tensor) -> Tensor:
        seed = keyed_hash(*self.key, "dropout", self.name) >> 1
        generator = torch.Generator(device=x.device).manual_seed(seed)
        kept = torch.empty_like(x).bernoulli_(1 - self.dropout, generator=generator)
        return x * kept.div_(1 - self.dropout)


def lora_layers(model: nn.Module) -> Iterator[LoraLinear]:
    """The layers with a pair."""
    return (module for module in model.modules() if isinstance(module, LoraLinear))


def add_lora(model: Decoder | ForeignDecoder, config: LoraConfig, seed: int, folder: Path) -> None:
    """Freezes a model and puts pairs beside its linear layers; they begin as no change.

    Args:
        model: gets the pairs, in float32 or wider whatever the type of its weights.
        config: which and how large.
        seed: of A, together with the layer's name.
        folder: the model's folder, for messages, and to know that every pair changes a weight stored there.

    Raises:
        UserError: a target is no linear layer of this model, or is its output head; or the rank is too large.
    """
    model.requires_grad_(False)
    linear = {name: module for name, module in model.named_modules() if type(module) is nn.Linear}
    head = {name for name, module in linear.items() if module is model.lm_head}
    chosen = [name for name in linear if name not in head]
    if config.targets is not None:
        chosen = _targeted(linear, head, config.targets, folder)
    stored = list_tensors(folder)
    for name in chosen:
        place, module = hugging_face_name(name), linear[name]
        if config.rank > min(module.weight.shape):
            raise UserError(
                f"lora.rank: {config.rank} is more than {place} has dimensions {list(module.weight.shape)}; lower it"
            )
        if f"{place}.weight" not in stored:
            raise UserError(
                f"{folder}: transformers calls a weight {place}, and the folder does not; LoRA is not supported for this "
                "family, train the full weights"
            )
        parent, _, last = name.rpartition(".")
        setattr(model.get_submodule(parent), last, LoraLinear(module, place, config, seed))


def _targeted(linear: Mapping[str, nn.Linear], head: set[str], targets: tuple[str, ...], folder: Path) -> list[str]:
    chosen = []
    for target in targets:
        found = [name for name in linear if hugging_face_name(name) == target or name.endswith(f".{target}")]
        if head & {*found, target}:
            raise UserError(
                f"lora.targets: {target!r} is the output head, which is not trained with LoRA; leave it out"
            )
        if not found:
            known = sorted({name.rpartition(".")[2] for name in linear if name not in head})
            near = difflib.get_close_matches(target, known, n=1, cutoff=0.4)
            hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known)}"
            raise UserError(f"lora.targets: {folder} has no linear layer {target!r}; {hint}")
        chosen += found
    return [name for name in linear if name in chosen]


def begin_pass(model: nn.Module, *key: int) -> None:
    """Says which pass begins: (seed, step, pass, group of processes), from which dropout draws."""
    for layer in lora_layers(model):
        layer.key = key


def save_adapter(folder: Path, pairs: Mapping[str, tuple[Tensor, Tensor]], config: LoraConfig, base: Path) -> None:
    """Writes trained pairs in peft's format.

    Args:
        folder: where to.
        pairs: name of the changed weight → A and B.
        config: what they were trained with.
        base: the folder they belong to; named by the hub's name if that is known, else by its own, without the path,
            which would make the artifact another one on another machine.
    """
    last = sorted({name.removesuffix(".weight").rpartition(".")[2] for name in pairs})
    origin = load(base).config if is_artifact(base) else {}
    name = str(origin.get("name", ""))
    write_adapter(
        folder,
        pairs,
        {
            "base_model_name_or_path": name if "/" in name else base.name,
            "r": config.rank,
            "lora_alpha": config.alpha,
            "lora_dropout": config.dropout,
            "target_modules": last if config.targets is None else sorted(config.targets),
            "use_rslora": config.rank_stabilised,
        },
    )


def merged_weights(
    pairs: Mapping[str, tuple[Tensor, Tensor]], config: LoraConfig, base: Path, dtype: torch.dtype
) -> Mapping[str, Tensor]:
    """The base's exact weights (not their copies in compute precision) with the pairs added, made one at a time."""
    changes = {
        name: LowRank(down.float().numpy(), up.float().numpy(), config.scale) for name, (down, up) in pairs.items()
    }
    return ChangedWeights(base, changes, dtype)


def pairs_of(weights: Mapping[str, Tensor]) -> dict[str, tuple[Tensor, Tensor]]:
    """Name of the changed weight in a checkpoint → A and B in float32, from what learned under Hugging Face names."""
    whole = {name: weight.float() for name, weight in weights.items()}  # each once: shards are gathered by all in order
    return {
        name.removesuffix(_A) + ".weight": (down, whole[name.removesuffix(_A) + _B])
        for name, down in whole.items()
        if name.endswith(_A)
    }
