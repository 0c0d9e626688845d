"""Holds the freshly loaded kernels against their plain twins on a small problem, before anything trusts them."""

from __future__ import annotations

import torch
from torch import Tensor

from sagecraft.models.kernels.library import BuildError

#: Relative difference (of norms) that rounding to bf16 explains; a wrong kernel is off by more than a tenth.
_TOLERANCE = 0.03


def check() -> None:
    """Compares.

    Raises:
        BuildError: a kernel and its twin disagree.
    """
    generator = torch.Generator().manual_seed(0)
    with torch.inference_mode(False), torch.enable_grad():  # the first call may come from a model that only scores
        compared = [*_attention(generator)]
    for name, ours, plain in compared:
        difference = float((ours.double() - plain.double()).norm() / plain.double().norm())
        if not difference < _TOLERANCE:
            raise BuildError(
                f"{name} is off by {difference:.2g} from the plain computation; please report this machine"
            )


def _attention(generator: torch.Generator) -> list[tuple[str, Tensor, Tensor]]:
    from sagecraft.models.kernels import attention

    boundaries, angles = [0, 70, 71, 90], torch.randn(90, 1, 8, generator=generator).repeat(1, 1, 2)
    rotary = (angles.cos().bfloat16(), angles.sin().bfloat16())
    results = []
    for function in (attention.packed_attention_native, attention.packed_attention_plain):
        generator.manual_seed(1)
        inputs = [torch.randn(90, heads, 16, generator=generator).bfloat16().requires_grad_() for heads in (4, 2, 2)]
        mixed = function(inputs[0], inputs[1], inputs[2], rotary, boundaries)
        grads = torch.autograd.grad(mixed, inputs, torch.randn(mixed.shape, generator=generator).bfloat16())
        results.append([mixed.detach(), *grads])
    names = ("attention", "the gradient of attention's queries", "of its keys", "of its values")
    return [(name, ours, plain) for name, ours, plain in zip(names, *results, strict=True)]
