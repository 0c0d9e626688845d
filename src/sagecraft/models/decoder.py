"""The decoder: one definition for training and inference of the Llama, Mistral and Qwen families.

Shape letters: N tokens of all sequences laid end to end, B batch, T tokens of a sequence, P tokens in the cache,
D width, H query heads, G key-value heads, K head size, V vocabulary.

Training lays sequences end to end ([N], no padding) with their `boundaries`; attention runs sequence by sequence,
so no document sees another, and positions start anew at each. Inference takes [B, T] and may have a cache.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sagecraft.models.config import DecoderConfig


class RMSNorm(nn.Module):
    """Root-mean-square norm (arXiv:1910.07467); epsilon is added to the variance, in float32 or wider."""

    def __init__(self, size: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """Normalises the last axis."""
        wide = x if x.dtype == torch.float64 else x.float()
        scale = torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + self.eps)
        normed: Tensor = self.weight * (wide * scale).to(x.dtype)
        return normed


class Cache:
    """Keys and values of past tokens, a pair [B, G, P, K] a layer."""

    def __init__(self, num_layers: int) -> None:
        self.layers: list[tuple[Tensor, Tensor] | None] = [None] * num_layers

    @property
    def length(self) -> int:
        """Number of tokens held."""
        first = self.layers[0]
        return 0 if first is None else first[0].shape[2]

    def extend(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Adds [B, G, T, K] and returns everything held for the layer."""
        past = self.layers[layer]
        if past is not None:
            keys = torch.cat((past[0].expand(keys.shape[0], -1, -1, -1), keys), dim=2)
            values = torch.cat((past[1].expand(values.shape[0], -1, -1, -1), values), dim=2)
        self.layers[layer] = (keys, values)
        return keys, values

    def fork(self) -> Cache:
        """A cache that starts with the same tokens and grows on its own (tensors are shared, not copied)."""
        copy = Cache(len(self.layers))
        copy.layers = list(self.layers)
        return copy


class Attention(nn.Module):
    """Grouped-query attention (arXiv:2305.13245) with rotary positions (arXiv:2104.09864)."""

    def __init__(self, config: DecoderConfig, layer: int) -> None:
        super().__init__()
        self.layer = layer
        self.num_heads, self.num_groups, self.head_size = (
            config.num_heads,
            config.num_key_value_heads,
            config.head_size,
        )
        width, bias = config.hidden_size, config.attention_bias
        self.q_proj = nn.Linear(width, self.num_heads * self.head_size, bias=bias)
        self.k_proj = nn.Linear(width, self.num_groups * self.head_size, bias=bias)
        self.v_proj = nn.Linear(width, self.num_groups * self.head_size, bias=bias)
        # Llama's `attention_bias` covers the output projection too; Qwen 2's does not.
        self.o_proj = nn.Linear(self.num_heads * self.head_size, width, bias=bias and config.family != "qwen2")
        self.q_norm = RMSNorm(self.head_size, config.norm_eps) if config.query_key_norm else nn.Identity()
        self.k_norm = RMSNorm(self.head_size, config.norm_eps) if config.query_key_norm else nn.Identity()

    def forward(
        self, x: Tensor, rotary: tuple[Tensor, Tensor], boundaries: Sequence[int] | None, cache: Cache | None
    ) -> Tensor:
        """Attends within each sequence: x is [N, D] with boundaries, or [B, T, D]."""
        shape = x.shape[:-1]
        queries = self.q_norm(self.q_proj(x).view(*shape, self.num_heads, self.head_size))
        keys = self.k_norm(self.k_proj(x).view(*shape, self.num_groups, self.head_size))
        values = self.v_proj(x).view(*shape, self.num_groups, self.head_size)
        queries, keys = rotate(queries, *rotary), rotate(keys, *rotary)
        if boundaries is not None:
            mixed = self._packed(queries, keys, values, boundaries)
        else:
            mixed = self._batched(queries, keys, values, cache)
        projected: Tensor = self.o_proj(mixed.reshape(*shape, -1))
        return projected

    def _packed(self, queries: Tensor, keys: Tensor, values: Tensor, boundaries: Sequence[int]) -> Tensor:
        """Causal attention sequence by sequence; [N, H, K] in and out.

        Cut with `split`, not by slices: the gradient of each slice would be a tensor of all N tokens (with 31 sequences
        in 2,048 tokens a layer took 1.13 times as long), that of `split` is one concatenation.
        """
        lengths = [end - start for start, end in itertools.pairwise(boundaries)]
        pieces = []
        for parts in zip(*(torch.split(t, lengths) for t in (queries, keys, values)), strict=True):
            q, k, v = (part.transpose(0, 1).unsqueeze(0) for part in parts)
            mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
            pieces.append(mixed.squeeze(0).transpose(0, 1))
        return torch.cat(pieces)

    def _batched(self, queries: Tensor, keys: Tensor, values: Tensor, cache: Cache | None) -> Tensor:
        """Causal attention over the cache and the new tokens; [B, T, H, K] in and out."""
        queries, keys, values = (t.transpose(1, 2) for t in (queries, keys, values))
        if cache is not None:
            keys, values = cache.extend(self.layer, keys, values)
        num_new, num_all = queries.shape[2], keys.shape[2]
        mask = None
        if 1 < num_new < num_all:  # new tokens see the whole cache and, among themselves, the past
            mask = torch.ones(num_new, num_all, dtype=torch.bool, device=queries.device).tril(num_all - num_new)
        causal = num_new > 1 and mask is None
        mixed = F.scaled_dot_product_attention(queries, keys, values, attn_mask=mask, is_causal=causal, enable_gqa=True)
        return mixed.transpose(1, 2)


class FeedForward(nn.Module):
    """SwiGLU (arXiv:2002.05202)."""

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.up_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.down_proj = nn.Linear(config.intermediate_size, config.hidden_size, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """[…, D] → […, D]."""
        projected: Tensor = self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))
        return projected


class Block(nn.Module):
    """One layer: attention and feed-forward part, each behind a norm and a residual connection."""

    def __init__(self, config: DecoderConfig, layer: int) -> None:
        super().__init__()
        self.input_layernorm = RMSNorm(config.hidden_size, config.norm_eps)
        self.self_attn = Attention(config, layer)
        self.post_attention_layernorm = RMSNorm(config.hidden_size, config.norm_eps)
        self.mlp = FeedForward(config)

    def forward(
        self, x: Tensor, rotary: tuple[Tensor, Tensor], boundaries: Sequence[int] | None, cache: Cache | None
    ) -> Tensor:
        """[…, D] → […, D]."""
        x = x + self.self_attn(self.input_layernorm(x), rotary, boundaries, cache)
        added: Tensor = x + self.mlp(self.post_attention_layernorm(x))
        return added


class Decoder(nn.Module):
    """Token ids to hidden states; `logits` turns hidden states into scores.

    The names of the parameters are Hugging Face's without the leading `model.`, so that loading is a renaming.
    """

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.config = config
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(Block(config, layer) for layer in range(config.num_layers))
        self.norm = RMSNorm(config.hidden_size, config.norm_eps)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        if config.tied_embeddings:
            self.lm_head.weight = self.embed_tokens.weight

    @property
    def max_positions(self) -> int:
        """The longest context it was made for, in tokens."""
        return self.config.max_positions

    def new_cache(self) -> Cache:
        """An empty cache."""
        return Cache(self.config.num_layers)

    def forward(self, input_ids: Tensor, boundaries: Sequence[int] | None = None, cache: Cache | None = None) -> Tensor:
        """Hidden states after the last norm.

        Args:
            input_ids: [N] together with `boundaries`, or [B, T].
            boundaries: 0 = b₀ < b₁ < … = N; sequence i is [bᵢ, bᵢ₊₁).
            cache: past keys and values; positions continue behind it (only for [B, T]).
        """
        if boundaries is not None:
            starts = torch.tensor(boundaries, device=input_ids.device)
            steps = torch.arange(input_ids.shape[0], device=input_ids.device)
            positions = steps - starts[torch.searchsorted(starts, steps, right=True) - 1]
        else:
            past = cache.length if cache is not None else 0
            positions = torch.arange(past, past + input_ids.shape[1], device=input_ids.device)
        x: Tensor = self.embed_tokens(input_ids)
        rotary = rotary_table(self.config, positions, x.dtype)
        for layer in self.layers:
            x = layer(x, rotary, boundaries, cache)
        normed: Tensor = self.norm(x)
        return normed

    def logits(self, hidden: Tensor) -> Tensor:
        """[…, D] → […, V], at least float32."""
        scores: Tensor = self.lm_head(hidden)
        return scores if scores.dtype == torch.float64 else scores.float()


def rotary_table(config: DecoderConfig, positions: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Cosine and sine [T, 1, K] of each position's angles, computed in float32."""
    exponents = torch.arange(0, config.head_size, 2, dtype=torch.float32, device=positions.device) / config.head_size
    frequencies = 1.0 / config.rope_theta**exponents
    scaling = config.rope_scaling
    if scaling is not None:
        wavelengths = 2 * math.pi / frequencies
        turns = scaling.original_max_position_embeddings / wavelengths
        smooth = (turns - scaling.low_freq_factor) / (scaling.high_freq_factor - scaling.low_freq_factor)
        smooth = smooth.clamp(0, 1)  # 0: stretched by the factor, 1: as it was, between: a blend
        frequencies = (1 - smooth) * frequencies / scaling.factor + smooth * frequencies
    angles = positions.float()[:, None] * frequencies[None, :]
    angles = torch.cat((angles, angles), dim=-1)[:, None, :]
    return angles.cos().to(dtype), angles.sin().to(dtype)


def rotate(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Applies rotary positions to [..., T, heads, K] (halves, as in Hugging Face checkpoints)."""
    first, second = x.chunk(2, dim=-1)
    return x * cosine + torch.cat((-second, first), dim=-1) * sine
