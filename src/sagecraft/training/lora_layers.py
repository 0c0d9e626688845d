"""LoRA in a model: linear layers with a pair beside them, and what becomes of the pairs when training is over."""

from __future__ import annotations

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
from sagecraft.training.lora import LoraConfig, choose_layers

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
    head = next((name for name, module in linear.items() if module is model.lm_head), "lm_head")
    linear.pop(head, None)
    own = {hugging_face_name(name): name for name in linear}
    shapes = {name: tuple(linear[own[name]].weight.shape) for name in own}
    stored = list_tensors(folder)
    for name in choose_layers(config, shapes, hugging_face_name(head), folder):
        if f"{name}.weight" not in stored:
            raise UserError(
                f"{folder}: transformers calls a weight {name}, and the folder does not; LoRA is not supported for this "
                "family, train the full weights"
            )
        parent, _, last = own[name].rpartition(".")
        setattr(model.get_submodule(parent), last, LoraLinear(linear[own[name]], name, config, seed))


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
