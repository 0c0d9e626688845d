"""How the layers of a model run while it learns: computed again in the backward pass, and compiled."""

from __future__ import annotations

import functools
import shutil
from typing import Any, Literal

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from sagecraft.errors import UserError
from sagecraft.models.decoder import Block, Decoder
from sagecraft.models.foreign import ForeignDecoder

Recompute = Literal["none", "layers"]


def layers_of(model: Decoder | ForeignDecoder) -> list[nn.Module]:
    """The layers of a model: what is gathered, computed again and compiled one at a time."""
    layers = model.layers if isinstance(model, Decoder) else model.inner.get_decoder().layers
    return list(layers)


def shape_layers(model: Decoder | ForeignDecoder, recompute: Recompute, compiled: bool) -> None:
    """Changes how each layer of a model runs, not what it computes.

    Args:
        model: its layers get another `forward`, so that hooks and names stay as they are.
        recompute: `layers` keeps a layer's input only and computes the rest again when its gradient is wanted
            (arXiv:1604.06174): a third more arithmetic for a fraction of the memory, the same gradients bit for bit.
        compiled: torch.compile of each layer but for its attention, whose pieces differ from pass to pass.

    Raises:
        UserError: compilation is wanted and there is no C++ compiler.
    """
    if compiled and not torch.cuda.is_available() and not (shutil.which("g++") or shutil.which("clang++")):
        raise UserError("compile: needs a C++ compiler (g++ or clang++), which is not installed; set it to false")
    for layer in layers_of(model):
        forward: Any = layer.forward
        if compiled:
            if isinstance(layer, Block):
                attention: Any = layer.self_attn
                attention._packed = torch.compiler.disable(attention._packed)  # type: ignore[no-untyped-call]
            forward = torch.compile(forward, dynamic=True)
        if recompute == "layers":
            # Nothing random runs in a layer but LoRA's dropout, which is keyed: there is no state to keep.
            forward = functools.partial(checkpoint, forward, use_reentrant=False, preserve_rng_state=False)
        layer.forward = forward
