"""Cross-entropy in chunks: the logits of the whole batch never exist.

With a vocabulary of 128k, logits of 8,192 tokens in float32 are 4.3 GB, and their gradient as much again. Here a chunk's logits
are made, turned into the gradient in place, and dropped; the backward pass only scales what was kept (arXiv:2410.10989
does the same in one kernel).
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from sagecraft.models.kernels.library import ready
from sagecraft.models.kernels.pointwise import softmax_losses

#: Bytes of logits that exist at once: 2,730 tokens of a vocabulary of 49,152 in bf16. A second chunk needs a float32 gradient
#: of the head (113 MB for 49,152 × 576) and passes over it, so smaller chunks would save neither memory nor time.
_CHUNK_BYTES = 1 << 28


class _ChunkedCrossEntropy(torch.autograd.Function):
    """Sum of negative log-likelihoods; gradients of hidden states and weight are made in the forward pass."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, targets: Tensor, z_weight: float) -> tuple[Tensor, Tensor]:
        losses = hidden.new_empty(hidden.shape[0], dtype=_wide(hidden.dtype))
        grad_hidden, grad_weight, penalty = torch.empty_like(hidden), None, losses.new_zeros(())
        chunk = _chunk(hidden, weight)
        for start in range(0, hidden.shape[0], chunk):
            part, here = hidden[start : start + chunk], slice(start, start + chunk)
            scores = part @ weight.T
            losses[here], normalisers = softmax_losses(scores, targets[here], slopes=True, z_weight=z_weight)
            penalty += z_weight * normalisers.square().sum()
            torch.mm(scores, weight, out=grad_hidden[here])
            if weight.requires_grad:
                share = scores.T @ part
                if grad_weight is None:
                    grad_weight = share if chunk >= hidden.shape[0] else share.to(losses.dtype)
                else:
                    grad_weight += share
            del scores  # before the next chunk's are made
        ctx.save_for_backward(grad_hidden, grad_weight)
        return losses.sum() + penalty, losses

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        grad_hidden, grad_weight = ctx.saved_tensors
        scale = upstream[0]
        if grad_weight is not None:
            out = (
                grad_weight
                if grad_weight.dtype == grad_hidden.dtype
                else torch.empty_like(grad_weight, dtype=grad_hidden.dtype)
            )
            grad_weight = torch.mul(grad_weight, scale, out=out)
        return grad_hidden * scale.to(grad_hidden.dtype), grad_weight, None, None


def cross_entropy_sum(hidden: Tensor, weight: Tensor, targets: Tensor, z_weight: float = 0.0) -> tuple[Tensor, Tensor]:
    """Sum of the tokens' losses, and each token's own.

    Args:
        hidden: [N, D], the states that predict.
        weight: [V, D], the output head.
        targets: [N], the token to predict at each.
        z_weight: adds this times the squared logarithm of each token's normaliser to the sum (arXiv:2204.02311,
            section 5), which keeps scores from drifting.

    Returns:
        The sum (differentiable) and [N] losses in nats (for reports only: gradients do not flow through them).
    """
    if torch.is_grad_enabled() and (hidden.requires_grad or weight.requires_grad):
        total, losses = _ChunkedCrossEntropy.apply(hidden, weight, targets, z_weight)  # type: ignore[no-untyped-call]
        return total, losses.detach()
    pieces, total, chunk = [hidden.new_empty(0, dtype=_wide(hidden.dtype))], 0.0, _chunk(hidden, weight)
    for start in range(0, hidden.shape[0], chunk):
        scores = hidden[start : start + chunk] @ weight.T
        losses, normalisers = softmax_losses(scores, targets[start : start + chunk], slopes=False)
        pieces.append(losses)
        total += z_weight * normalisers.square().sum()
    losses = torch.cat(pieces)
    return losses.sum() + total, losses


def _wide(dtype: torch.dtype) -> torch.dtype:
    return torch.float64 if dtype == torch.float64 else torch.float32


def _chunk(hidden: Tensor, weight: Tensor) -> int:
    """Tokens of one chunk, all of about the same size: the plain way holds each score three times, in float32 or wider."""
    size = 2 if ready(hidden, weight) else 3 * _wide(hidden.dtype).itemsize
    most = max(1, _CHUNK_BYTES // (size * weight.shape[0]))
    num_chunks = max(1, math.ceil(hidden.shape[0] / most))
    return max(1, math.ceil(hidden.shape[0] / num_chunks))
