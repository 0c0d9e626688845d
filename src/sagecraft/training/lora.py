"""Settings of LoRA (arXiv:2106.09685): small pairs of matrices learn beside frozen weights."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping, Sequence

from pydantic import BaseModel, ConfigDict, Field

from sagecraft.errors import UserError


class LoraConfig(BaseModel):
    """Which weights get a pair of matrices, and how large the pairs are.

    Attributes:
        rank: rows of A and columns of B; the change of a weight has no higher rank. Facts need more than a manner does.
        alpha: the change is (alpha / rank) · B · A, so that it keeps its size when the rank is changed.
        dropout: share of a pair's inputs that is set to zero in training, drawn by (seed, step, pass, layer).
        targets: last parts of the names of linear layers, as peft's `target_modules`; null is every linear layer but
            the output head (attention alone learns less, arXiv:2305.14314).
        rank_stabilised: alpha / √rank instead (arXiv:2312.03732, peft's `use_rslora`), which lets large ranks learn.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    rank: int = Field(default=16, ge=1)
    alpha: float = Field(default=32.0, gt=0, allow_inf_nan=False)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    targets: tuple[str, ...] | None = Field(default=None, min_length=1)
    rank_stabilised: bool = False

    @property
    def scale(self) -> float:
        """Factor of B · A."""
        return self.alpha / (math.sqrt(self.rank) if self.rank_stabilised else self.rank)


def choose_layers(config: LoraConfig, shapes: Mapping[str, Sequence[int]], head: str, model: object) -> list[str]:
    """Names of the layers that get a pair, in the order of the model.

    Args:
        config: what is wanted.
        shapes: name of each linear layer but the output head → [out, in].
        head: name of the output head.
        model: for messages.

    Raises:
        UserError: a target is no linear layer of this model, or is its output head; or the rank is too large.
    """
    chosen: set[str] = set()
    for target in config.targets or ():
        found = [name for name in shapes if _ends_with(name, target)]
        if _ends_with(head, target):
            raise UserError(
                f"lora.targets: {target!r} is the output head, which is not trained with LoRA; leave it out"
            )
        if not found:
            known = sorted({name.rpartition(".")[2] for name in shapes})
            near = difflib.get_close_matches(target, known, n=1, cutoff=0.4)
            hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known)}"
            raise UserError(f"lora.targets: {model} has no linear layer {target!r}; {hint}")
        chosen |= set(found)
    names = [name for name in shapes if config.targets is None or name in chosen]
    for name in names:
        if config.rank > min(shapes[name]):
            raise UserError(f"lora.rank: {config.rank} is more than {name} has, {list(shapes[name])}; lower it")
    return names


def _ends_with(name: str, target: str) -> bool:
    return name == target or name.endswith(f".{target}")
