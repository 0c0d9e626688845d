"""Causal attention over sequences laid end to end, with rotary positions: the native operator and its plain twin.

Shape letters: N tokens, H query heads, G key-value heads, K head size, S sequences.
"""

from __future__ import annotations

import importlib.util
import itertools
import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from sagecraft.models.kernels.library import fake, has_products, native, operator, ready

Boundaries = Sequence[int] | Tensor


def packed_attention(
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    rotary: tuple[Tensor, Tensor],
    boundaries: Boundaries,
    scale: float | None = None,
    window: int | None = None,
) -> Tensor:
    """Attends within each sequence to what came before.

    Args:
        queries: [N, H, K], not turned yet.
        keys: [N, G, K], not turned yet; H is a multiple of G.
        values: [N, G, K].
        rotary: cosine and sine of each token's angles, [N, 1, K].
        boundaries: 0 = b₀ < b₁ < … = N; sequence i is [bᵢ, bᵢ₊₁). A tensor keeps a compiled model from being compiled
            anew for every batch.
        scale: of the scores, above zero; one over the root of K if None.
        window: tokens that a token sees, itself included; all before it if None.

    Returns:
        [N, H, K].
    """
    if queries.shape[-1] % 2 == 0 and ready(queries, keys, values, *rotary) and has_products():
        return packed_attention_native(queries, keys, values, rotary, boundaries, scale, window)
    if queries.device.type == "cuda" and queries.dtype in (torch.bfloat16, torch.float16) and _has_varlen():
        return packed_attention_varlen(queries, keys, values, rotary, boundaries, scale, window)
    return packed_attention_plain(queries, keys, values, rotary, boundaries, scale, window)


def rotate(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Applies rotary positions to [..., T, heads, K] (halves, as in Hugging Face checkpoints)."""
    first, second = x.chunk(2, dim=-1)
    return x * cosine + torch.cat((-second, first), dim=-1) * sine


def attend(queries: Tensor, keys: Tensor, values: Tensor, scale: float | None, window: int | None) -> Tensor:
    """The last tokens of a sequence, [B, H, T, K], look at all of it up to themselves, or a window of it."""
    num_new, num_all = queries.shape[2], keys.shape[2]
    past = num_all - num_new
    narrow = window is not None and num_all > window
    mask = None
    if narrow or (num_new > 1 and past):
        mask = torch.ones(num_new, num_all, dtype=torch.bool, device=queries.device).tril(past)
        mask = mask.triu(past - window + 1) if narrow and window is not None else mask
    causal = num_new > 1 and mask is None
    return F.scaled_dot_product_attention(
        queries, keys, values, attn_mask=mask, is_causal=causal, scale=scale, enable_gqa=True
    )


def packed_attention_native(
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    rotary: tuple[Tensor, Tensor],
    boundaries: Boundaries,
    scale: float | None = None,
    window: int | None = None,
) -> Tensor:
    """The same in one operator, for what `ready` accepts."""
    starts = boundaries if isinstance(boundaries, Tensor) else torch.tensor(boundaries)
    scale = scale if scale is not None else 1 / math.sqrt(queries.shape[-1])
    mixed: Tensor = _attend(queries, keys, values, *rotary, starts, scale, window or 0)[0]
    return mixed


def _has_varlen() -> bool:
    return importlib.util.find_spec("torch.nn.attention.varlen") is not None  # torch 2.10 and newer


def packed_attention_varlen(
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    rotary: tuple[Tensor, Tensor],
    boundaries: Boundaries,
    scale: float | None = None,
    window: int | None = None,
) -> Tensor:
    """The same by the flash attention that torch has for cards: one call, however many sequences."""
    from torch.nn.attention.varlen import varlen_attn

    starts = torch.as_tensor(boundaries, dtype=torch.int32, device=queries.device)
    longest = int((starts[1:] - starts[:-1]).max())
    back = -1 if window is None else window - 1  # counted without the token itself
    mixed = varlen_attn(
        rotate(queries, *rotary), rotate(keys, *rotary), values, starts, starts, longest, longest,
        scale=scale, window_size=(back, 0), enable_gqa=True,
    )  # fmt: skip
    assert isinstance(mixed, Tensor), "no auxiliary output was asked for"
    return mixed


def packed_attention_plain(
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    rotary: tuple[Tensor, Tensor],
    boundaries: Boundaries,
    scale: float | None = None,
    window: int | None = None,
) -> Tensor:
    """The same with torch's operators, sequence by sequence.

    Cut with `split`, not by slices: the gradient of each slice would be a tensor of all N tokens (with 31 sequences
    in 2,048 tokens a layer took 1.13 times as long), that of `split` is one concatenation.
    """
    starts = boundaries.tolist() if isinstance(boundaries, Tensor) else boundaries
    lengths = [end - start for start, end in itertools.pairwise(starts)]
    queries, keys = rotate(queries, *rotary), rotate(keys, *rotary)
    pieces = []
    for parts in zip(*(torch.split(t, lengths) for t in (queries, keys, values)), strict=True):
        q, k, v = (part.transpose(0, 1).unsqueeze(0) for part in parts)
        pieces.append(attend(q, k, v, scale, window).squeeze(0).transpose(0, 1))
    return torch.cat(pieces)


@operator("packed_attention")
def _attend(
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    cosine: Tensor,
    sine: Tensor,
    boundaries: Tensor,
    scale: float,
    window: int,
) -> tuple[Tensor, Tensor]:
    """[N, H, K] mixed values, and [H, N] logarithms of the normalisers, which the gradient needs."""
    held = [t.contiguous() for t in (queries, keys, values, cosine, sine, boundaries)]
    (num_tokens, num_heads, head_size), num_groups = queries.shape, keys.shape[1]
    mixed = torch.empty_like(held[0])
    normalisers = torch.empty(num_heads, num_tokens)
    done = native().attention_forward(
        *(t.data_ptr() for t in held), len(boundaries) - 1, num_heads, num_groups, head_size, scale, window,
        mixed.data_ptr(), normalisers.data_ptr(), torch.get_num_threads(),
    )  # fmt: skip
    _assure(done)
    return mixed, normalisers


def _assure(done: int) -> None:
    if not done:
        raise RuntimeError("attention: no memory for its workspace, or a matrix product that this processor lacks")


@fake("packed_attention")
def _(
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    cosine: Tensor,
    sine: Tensor,
    boundaries: Tensor,
    scale: float,
    window: int,
) -> tuple[Tensor, Tensor]:
    return torch.empty_like(queries), queries.new_empty(queries.shape[1], queries.shape[0], dtype=torch.float32)


@operator("packed_attention_backward")
def _attend_backward(
    grad: Tensor,
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    cosine: Tensor,
    sine: Tensor,
    boundaries: Tensor,
    mixed: Tensor,
    normalisers: Tensor,
    scale: float,
    window: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of queries, keys and values as they were before they were turned."""
    held = [t.contiguous() for t in (queries, keys, values, cosine, sine, boundaries)]
    grad, (num_heads, head_size), num_groups = grad.contiguous(), queries.shape[1:], keys.shape[1]
    grads = tuple(torch.empty_like(t) for t in held[:3])
    done = native().attention_backward(
        *(t.data_ptr() for t in held), len(boundaries) - 1, num_heads, num_groups, head_size, scale, window,
        mixed.data_ptr(), normalisers.data_ptr(), grad.data_ptr(), *(t.data_ptr() for t in grads), torch.get_num_threads(),
    )  # fmt: skip
    _assure(done)
    return grads[0], grads[1], grads[2]


@fake("packed_attention_backward")
def _(grad: Tensor, queries: Tensor, keys: Tensor, values: Tensor, *_rest: Any) -> tuple[Tensor, Tensor, Tensor]:
    return torch.empty_like(queries), torch.empty_like(keys), torch.empty_like(values)


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    *tensors, ctx.scale, ctx.window = inputs
    ctx.save_for_backward(*tensors, *output)


def _backward(ctx: Any, grad: Tensor, _grad_normalisers: Tensor) -> tuple[Tensor | None, ...]:
    grads = _attend_backward(grad, *ctx.saved_tensors, ctx.scale, ctx.window)
    return (*grads, None, None, None, None, None)


torch.library.register_autograd("sagecraft::packed_attention", _backward, setup_context=_save)
