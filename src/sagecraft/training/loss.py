"""Cross-entropy in chunks: the logits of the whole batch never exist.

With a vocabulary of 128k, logits of 8,192 tokens in float32 are 4.3 GB, and their gradient as much again. Here a chunk's logits
are made, turned into the gradient in place, and dropped; the backward pass only scales what was kept (arXiv:2410.10989
does the same in one kernel).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

#: Tokens whose logits exist at once: 256 × 49,152 float32 are 50 MB, which two cores handle from the cache's edge.
_CHUNK = 256


class _ChunkedCrossEntropy(torch.autograd.Function):
    """Sum of negative log-likelihoods; gradients of hidden states and weight are made in the forward pass."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        losses = torch.empty(hidden.shape[0], dtype=torch.float64 if hidden.dtype == torch.float64 else torch.float32)
        needs_weight = weight.requires_grad
        grad_hidden = torch.empty_like(hidden)
        grad_weight = torch.zeros_like(weight, dtype=losses.dtype) if needs_weight else None
        for start in range(0, hidden.shape[0], _CHUNK):
            part, wanted = hidden[start : start + _CHUNK], targets[start : start + _CHUNK, None]
            logits = (part @ weight.T).to(losses.dtype)
            normaliser = logits.logsumexp(-1, keepdim=True)
            losses[start : start + _CHUNK] = (normaliser - logits.gather(1, wanted))[:, 0]
            slope = logits.sub_(normaliser).exp_()  # softmax, in place
            slope.scatter_add_(1, wanted, -torch.ones_like(wanted, dtype=slope.dtype))
            slope = slope.to(hidden.dtype)
            torch.mm(slope, weight, out=grad_hidden[start : start + _CHUNK])
            if grad_weight is not None:
                grad_weight += slope.T @ part
        ctx.save_for_backward(grad_hidden, grad_weight)
        return losses.sum(), losses

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        grad_hidden, grad_weight = ctx.saved_tensors
        scale = upstream[0]
        weight_slope = None if grad_weight is None else (grad_weight * scale).to(grad_hidden.dtype)
        return grad_hidden * scale.to(grad_hidden.dtype), weight_slope, None


def cross_entropy_sum(hidden: Tensor, weight: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Sum of the tokens' losses, and each token's own.

    Args:
        hidden: [N, D], the states that predict.
        weight: [V, D], the output head.
        targets: [N], the token to predict at each.

    Returns:
        The sum (differentiable) and [N] losses in nats (for reports only: gradients do not flow through them).
    """
    if torch.is_grad_enabled() and (hidden.requires_grad or weight.requires_grad):
        total, losses = _ChunkedCrossEntropy.apply(hidden, weight, targets)  # type: ignore[no-untyped-call]
        return total, losses.detach()
    pieces = []
    for start in range(0, hidden.shape[0], _CHUNK):
        logits = hidden[start : start + _CHUNK] @ weight.T
        logits = logits if logits.dtype == torch.float64 else logits.float()
        wanted = targets[start : start + _CHUNK, None]
        pieces.append((logits.logsumexp(-1, keepdim=True) - logits.gather(1, wanted))[:, 0])
    losses = torch.cat(pieces)
    return losses.sum(), losses
