"""The way that packed attention takes on a card, with a stand-in for torch's kernel: no card is needed, its arguments count."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from torch import Tensor

from sagecraft.models.kernels import attention


def stand_in(
    query: Tensor, key: Tensor, value: Tensor, cu_seq_q: Tensor, cu_seq_k: Tensor, max_q: int, max_k: int, **how: Any
) -> Tensor:
    """What torch's documentation says of `varlen_attn`, written out with masks."""
    assert cu_seq_q.dtype == cu_seq_k.dtype == torch.int32
    assert how["enable_gqa"]
    back, ahead = how["window_size"]
    scale = how["scale"] if how["scale"] is not None else query.shape[-1] ** -0.5
    key, value = (t.repeat_interleave(query.shape[1] // key.shape[1], dim=1) for t in (key, value))
    pieces = []
    for start, end in itertools.pairwise(cu_seq_q.tolist()):
        assert end - start <= max_q == max_k
        scores = torch.einsum("qhk,shk->hqs", query[start:end], key[start:end]) * scale
        distance = torch.arange(end - start)[:, None] - torch.arange(end - start)[None, :]
        seen = (distance >= -ahead) & ((distance <= back) if back >= 0 else torch.tensor(True))
        weights = scores.masked_fill(~seen, -torch.inf).softmax(-1)
        pieces.append(torch.einsum("hqs,shk->qhk", weights, value[start:end]))
    return torch.cat(pieces)


@pytest.mark.parametrize("window", [None, 1, 3])
@pytest.mark.parametrize("scale", [None, 0.3])
def test_a_card_gets_the_same_attention(
    window: int | None, scale: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch.nn.attention.varlen

    monkeypatch.setattr(torch.nn.attention.varlen, "varlen_attn", stand_in)
    generator = torch.Generator().manual_seed(0)
    queries, keys, values = (torch.randn(12, heads, 8, generator=generator, dtype=torch.float64) for heads in (4, 2, 2))
    angles = torch.randn(12, 1, 8, generator=generator, dtype=torch.float64)
    rotary, boundaries = (angles.cos(), angles.sin()), [0, 1, 6, 12]
    expected = attention.packed_attention_plain(queries, keys, values, rotary, boundaries, scale, window)
    found = attention.packed_attention_varlen(queries, keys, values, rotary, boundaries, scale, window)
    torch.testing.assert_close(found, expected)
