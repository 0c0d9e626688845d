"""Norm, gated unit and softmax losses: native operators and their plain twins.

Shape letters: D width, I width of the gated unit, N tokens, V vocabulary; leading axes are free.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from sagecraft.models.kernels.library import fake, native, operator, ready


def rms_norm(x: Tensor, weight: Tensor, eps: float, from_one: bool = False) -> Tensor:
    """Root-mean-square norm of the last axis (arXiv:1910.07467); epsilon is added to the mean square.

    Args:
        x: […, D].
        weight: [D].
        eps: keeps a row of zeros finite.
        from_one: the weight is stored as its distance from one and multiplies before the result is rounded (Gemma).
    """
    if ready(x, weight):
        normed: Tensor = _norm(x, weight, eps, from_one)[0]
        return normed
    return rms_norm_plain(x, weight, eps, from_one)


def rms_norm_plain(x: Tensor, weight: Tensor, eps: float, from_one: bool = False) -> Tensor:
    """The same with torch's operators; computed in float32 or wider."""
    wide = x if x.dtype == torch.float64 else x.float()
    scale = torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + eps)
    if from_one:
        return (wide * scale * (1.0 + weight.to(wide.dtype))).to(x.dtype)
    return weight * (wide * scale).to(x.dtype)


def add_rms_norm(x: Tensor, added: Tensor, weight: Tensor, eps: float, from_one: bool = False) -> tuple[Tensor, Tensor]:
    """The sum of two [..., D], and its norm: one pass forward, and one backward where the sum's two gradients meet."""
    if x.shape == added.shape and ready(x, added, weight):
        total, normed, _ = _add_norm(x, added, weight, eps, from_one)
        return total, normed
    total = x + added
    return total, rms_norm(total, weight, eps, from_one)


def gated(gate: Tensor, up: Tensor, activation: str) -> Tensor:
    """A gated unit (arXiv:2002.05202): `silu` or `gelu_tanh` of gate […, I], times up […, I]."""
    if ready(gate, up):
        mixed: Tensor = _gated(gate, up, activation == "gelu_tanh")
        return mixed
    return gated_plain(gate, up, activation)


def gated_plain(gate: Tensor, up: Tensor, activation: str) -> Tensor:
    """The same with torch's operators."""
    return (F.silu(gate) if activation == "silu" else F.gelu(gate, approximate="tanh")) * up


def softmax_losses(scores: Tensor, targets: Tensor, slopes: bool, z_weight: float = 0.0) -> tuple[Tensor, Tensor]:
    """Negative log-likelihoods of targets [N], and the logarithms of the normalisers, both [N] and at least float32.

    Args:
        scores: [N, V]; with `slopes` they become the gradient of Σ loss + z_weight × normaliser², in their own precision.
        targets: [N].
        slopes: whether a gradient is wanted; otherwise the scores stay.
        z_weight: of the squared normaliser, which keeps scores from drifting (arXiv:2204.02311, section 5).
    """
    if scores.is_contiguous() and ready(scores):
        losses, normalisers = _softmax_losses(scores, targets, slopes, z_weight)
        return losses, normalisers
    return softmax_losses_plain(scores, targets, slopes, z_weight)


def softmax_losses_plain(scores: Tensor, targets: Tensor, slopes: bool, z_weight: float = 0.0) -> tuple[Tensor, Tensor]:
    """The same with torch's operators."""
    wide = scores if scores.dtype == torch.float64 else scores.float()
    wanted = targets[:, None]
    normalisers = wide.logsumexp(-1, keepdim=True)
    losses = normalisers - wide.gather(1, wanted)
    if slopes:
        slope = (wide - normalisers).exp_()
        if z_weight:
            slope *= 1 + 2 * z_weight * normalisers
        slope.scatter_add_(1, wanted, -torch.ones_like(wanted, dtype=slope.dtype))
        scores.copy_(slope)
    return losses[:, 0], normalisers[:, 0]


@operator("rms_norm")
def _norm(x: Tensor, weight: Tensor, eps: float, from_one: bool) -> tuple[Tensor, Tensor]:
    """[…, D] normed, and each row's factor, which the gradient needs."""
    x, weight = x.contiguous(), weight.contiguous()
    size = x.shape[-1]
    normed, scales = torch.empty_like(x), torch.empty(x.shape[:-1])
    native().norm_forward(
        x.data_ptr(), None, weight.data_ptr(), x.numel() // size, size, eps, from_one, None, normed.data_ptr(),
        scales.data_ptr(), torch.get_num_threads(),
    )  # fmt: skip
    return normed, scales


@fake("rms_norm")
def _(x: Tensor, weight: Tensor, eps: float, from_one: bool) -> tuple[Tensor, Tensor]:
    return torch.empty_like(x), x.new_empty(x.shape[:-1], dtype=torch.float32)


@operator("add_rms_norm")
def _add_norm(x: Tensor, added: Tensor, weight: Tensor, eps: float, from_one: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Sum and normed […, D], and each row's factor."""
    x, added, weight = x.contiguous(), added.contiguous(), weight.contiguous()
    size = x.shape[-1]
    total, normed, scales = torch.empty_like(x), torch.empty_like(x), torch.empty(x.shape[:-1])
    native().norm_forward(
        x.data_ptr(), added.data_ptr(), weight.data_ptr(), x.numel() // size, size, eps, from_one, total.data_ptr(),
        normed.data_ptr(), scales.data_ptr(), torch.get_num_threads(),
    )  # fmt: skip
    return total, normed, scales


@fake("add_rms_norm")
def _(x: Tensor, added: Tensor, weight: Tensor, eps: float, from_one: bool) -> tuple[Tensor, Tensor, Tensor]:
    return torch.empty_like(x), torch.empty_like(x), x.new_empty(x.shape[:-1], dtype=torch.float32)


@operator("rms_norm_backward")
def _norm_backward(
    grad: Tensor, residual: Tensor | None, x: Tensor, weight: Tensor, scales: Tensor, from_one: bool
) -> tuple[Tensor, Tensor]:
    """Gradients of x, with that of its other use added, and of the weight."""
    grad, x, weight = grad.contiguous(), x.contiguous(), weight.contiguous()
    residual = residual.contiguous() if residual is not None else None
    size = x.shape[-1]
    grad_x, grad_weight = torch.empty_like(x), torch.empty_like(weight)
    native().norm_backward(
        grad.data_ptr(), residual.data_ptr() if residual is not None else None, x.data_ptr(), weight.data_ptr(),
        scales.data_ptr(), x.numel() // size, size, from_one, grad_x.data_ptr(), grad_weight.data_ptr(),
        torch.get_num_threads(),
    )  # fmt: skip
    return grad_x, grad_weight


@fake("rms_norm_backward")
def _(grad: Tensor, residual: Tensor | None, x: Tensor, weight: Tensor, *_rest: Any) -> tuple[Tensor, Tensor]:
    return torch.empty_like(x), torch.empty_like(weight)


def _save_norm(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    ctx.from_one = inputs[3]
    ctx.save_for_backward(inputs[0], inputs[1], output[1])
    ctx.set_materialize_grads(False)


def _backward_norm(ctx: Any, grad: Tensor, _grad_scales: Tensor | None) -> tuple[Tensor | None, ...]:
    return (*_norm_backward(grad, None, *ctx.saved_tensors, ctx.from_one), None, None)


def _save_add_norm(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor, Tensor]) -> None:
    ctx.from_one = inputs[4]
    ctx.save_for_backward(output[0], inputs[2], output[2])
    ctx.set_materialize_grads(False)


def _backward_add_norm(
    ctx: Any, grad_total: Tensor | None, grad: Tensor | None, _grad_scales: Tensor | None
) -> tuple[Tensor | None, ...]:
    if grad is None:  # only the sum was used
        return grad_total, grad_total, None, None, None
    grad_x, grad_weight = _norm_backward(grad, grad_total, *ctx.saved_tensors, ctx.from_one)
    return grad_x, grad_x, grad_weight, None, None


torch.library.register_autograd("sagecraft::rms_norm", _backward_norm, setup_context=_save_norm)
torch.library.register_autograd("sagecraft::add_rms_norm", _backward_add_norm, setup_context=_save_add_norm)


@operator("gated")
def _gated(gate: Tensor, up: Tensor, gelu: bool) -> Tensor:
    gate, up = gate.contiguous(), up.contiguous()
    mixed = torch.empty_like(gate)
    native().gated_forward(
        gate.data_ptr(), up.data_ptr(), gate.numel(), gelu, mixed.data_ptr(), torch.get_num_threads()
    )
    return mixed


@fake("gated")
def _(gate: Tensor, up: Tensor, gelu: bool) -> Tensor:
    return torch.empty_like(gate)


@operator("gated_backward")
def _gated_backward(grad: Tensor, gate: Tensor, up: Tensor, gelu: bool) -> tuple[Tensor, Tensor]:
    grad, gate, up = grad.contiguous(), gate.contiguous(), up.contiguous()
    grad_gate, grad_up = torch.empty_like(gate), torch.empty_like(up)
    native().gated_backward(
        grad.data_ptr(), gate.data_ptr(), up.data_ptr(), gate.numel(), gelu, grad_gate.data_ptr(), grad_up.data_ptr(),
        torch.get_num_threads(),
    )  # fmt: skip
    return grad_gate, grad_up


@fake("gated_backward")
def _(grad: Tensor, gate: Tensor, up: Tensor, gelu: bool) -> tuple[Tensor, Tensor]:
    return torch.empty_like(gate), torch.empty_like(up)


def _save_gated(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.gelu = inputs[2]
    ctx.save_for_backward(inputs[0], inputs[1])


def _backward_gated(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    return (*_gated_backward(grad, *ctx.saved_tensors, ctx.gelu), None)


torch.library.register_autograd("sagecraft::gated", _backward_gated, setup_context=_save_gated)


@operator("softmax_losses", mutates=("scores",))
def _softmax_losses(scores: Tensor, targets: Tensor, slopes: bool, z_weight: float) -> tuple[Tensor, Tensor]:
    targets = targets.contiguous()
    num_tokens, size = scores.shape
    if num_tokens and not 0 <= int(targets.min()) <= int(targets.max()) < size:
        raise IndexError(f"a target is not in the vocabulary of {size}")
    losses, normalisers = torch.empty(num_tokens), torch.empty(num_tokens)
    native().softmax_losses(
        scores.data_ptr(), targets.data_ptr(), num_tokens, size, slopes, z_weight, losses.data_ptr(),
        normalisers.data_ptr(), torch.get_num_threads(),
    )  # fmt: skip
    return losses, normalisers


@fake("softmax_losses")
def _(scores: Tensor, targets: Tensor, slopes: bool, z_weight: float) -> tuple[Tensor, Tensor]:
    losses = scores.new_empty(scores.shape[0], dtype=torch.float32)
    return losses, torch.empty_like(losses)
