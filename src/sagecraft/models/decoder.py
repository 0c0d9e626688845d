"""The decoder: one definition for training and inference of the Llama, Mistral, Qwen and Gemma families.

Shape letters: N tokens of all sequences laid end to end, B batch, T tokens of a sequence, P tokens in the cache,
D width, H query heads, G key-value heads, K head size, V vocabulary.

Training lays sequences end to end ([N], no padding) with their `boundaries`; attention runs sequence by sequence,
so no document sees another, and positions start anew at each. Inference takes [B, T] and may have a cache; scoring lays
questions with their answers end to end ([N] with `branches.Branches` for boundaries).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from sagecraft.models.branches import Branches
from sagecraft.models.config import DecoderConfig
from sagecraft.models.kernels.attention import Boundaries, attend, packed_attention, rotate
from sagecraft.models.kernels.pointwise import add_rms_norm, gated, rms_norm


class RMSNorm(nn.Module):
    """Root-mean-square norm (arXiv:1910.07467); epsilon is added to the variance, in float32 or wider.

    Gemma's weights are stored as their distance from one (`from_one`), and multiply before the result is rounded.
    """

    def __init__(self, size: int, eps: float, from_one: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(size) if from_one else torch.ones(size))
        self.eps = eps
        self.from_one = from_one

    def forward(self, x: Tensor) -> Tensor:
        """Normalises the last axis."""
        return rms_norm(x, self.weight, self.eps, self.from_one)

    def after_adding(self, x: Tensor, added: Tensor) -> tuple[Tensor, Tensor]:
        """The sum and its norm, in one pass over memory."""
        return add_rms_norm(x, added, self.weight, self.eps, self.from_one)


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
        self.scale = config.query_scale  # None: one over the root of the head size
        self.window = config.sliding_window if layer in config.sliding_layers else None
        width, bias = config.hidden_size, config.attention_bias
        self.q_proj = nn.Linear(width, self.num_heads * self.head_size, bias=bias)
        self.k_proj = nn.Linear(width, self.num_groups * self.head_size, bias=bias)
        self.v_proj = nn.Linear(width, self.num_groups * self.head_size, bias=bias)
        # Llama's `attention_bias` covers the output projection too; Qwen 2's does not.
        self.o_proj = nn.Linear(self.num_heads * self.head_size, width, bias=bias and config.family != "qwen2")
        self.q_norm = _norm(config, self.head_size) if config.query_key_norm else nn.Identity()
        self.k_norm = _norm(config, self.head_size) if config.query_key_norm else nn.Identity()

    def forward(
        self, x: Tensor, rotary: tuple[Tensor, Tensor], boundaries: Boundaries | Branches | None, cache: Cache | None
    ) -> Tensor:
        """Attends within each sequence: x is [N, D] with boundaries, or [B, T, D]."""
        shape = x.shape[:-1]
        queries = self.q_norm(self.q_proj(x).view(*shape, self.num_heads, self.head_size))
        keys = self.k_norm(self.k_proj(x).view(*shape, self.num_groups, self.head_size))
        values = self.v_proj(x).view(*shape, self.num_groups, self.head_size)
        if isinstance(boundaries, Branches):
            queries, keys = rotate(queries, *rotary), rotate(keys, *rotary)
            mixed = boundaries.attend(self.layer, queries, keys, values, self.scale, self.window)
        elif boundaries is not None:
            mixed = self._packed(queries, keys, values, rotary, boundaries)
        else:
            queries, keys = rotate(queries, *rotary), rotate(keys, *rotary)
            mixed = self._batched(queries, keys, values, cache)
        projected: Tensor = self.o_proj(mixed.reshape(*shape, -1))
        return projected

    def _packed(
        self, queries: Tensor, keys: Tensor, values: Tensor, rotary: tuple[Tensor, Tensor], boundaries: Boundaries
    ) -> Tensor:
        """Causal attention sequence by sequence; [N, H, K] in and out. A method, so that compilation can leave it out."""
        return packed_attention(queries, keys, values, rotary, boundaries, self.scale, self.window)

    def _batched(self, queries: Tensor, keys: Tensor, values: Tensor, cache: Cache | None) -> Tensor:
        """Causal attention over the cache and the new tokens; [B, T, H, K] in and out."""
        queries, keys, values = (t.transpose(1, 2) for t in (queries, keys, values))
        if cache is not None:
            keys, values = cache.extend(self.layer, keys, values)
        return attend(queries, keys, values, self.scale, self.window).transpose(1, 2)


class FeedForward(nn.Module):
    """A gated unit (arXiv:2002.05202): SwiGLU, or Gemma's with the tanh form of GELU."""

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.activation = config.activation
        self.gate_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.up_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.down_proj = nn.Linear(config.intermediate_size, config.hidden_size, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """[…, D] → […, D]."""
        projected: Tensor = self.down_proj(gated(self.gate_proj(x), self.up_proj(x), self.activation))
        return projected


class Block(nn.Module):
    """One layer: attention and feed-forward part, each behind a norm and a residual connection.

    Gemma 3 has norms behind the two parts as well; a checkpoint then calls the one before the feed-forward part
    `pre_feedforward_layernorm`, and `post_attention_layernorm` is what its name says.
    """

    def __init__(self, config: DecoderConfig, layer: int) -> None:
        super().__init__()
        self.input_layernorm = _norm(config, config.hidden_size)
        self.self_attn = Attention(config, layer)
        self.post_attention_layernorm = _norm(config, config.hidden_size)
        self.mlp = FeedForward(config)
        self.post_norms = config.post_norms
        if config.post_norms:
            self.pre_feedforward_layernorm = _norm(config, config.hidden_size)
            self.post_feedforward_layernorm = _norm(config, config.hidden_size)

    def forward(
        self, x: Tensor, rotary: tuple[Tensor, Tensor], boundaries: Boundaries | Branches | None, cache: Cache | None
    ) -> Tensor:
        """[…, D] → […, D]."""
        if self.post_norms:
            x = x + self.post_attention_layernorm(self.self_attn(self.input_layernorm(x), rotary, boundaries, cache))
            behind: Tensor = x + self.post_feedforward_layernorm(self.mlp(self.pre_feedforward_layernorm(x)))
            return behind
        mixed = self.self_attn(self.input_layernorm(x), rotary, boundaries, cache)
        x, normed = self.post_attention_layernorm.after_adding(x, mixed)
        added: Tensor = x + self.mlp(normed)
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
        self.norm = _norm(config, config.hidden_size)
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

    def forward(
        self,
        input_ids: Tensor,
        boundaries: Boundaries | Branches | None = None,
        cache: Cache | None = None,
        positions: Tensor | None = None,
    ) -> Tensor:
        """Hidden states after the last norm.

        Args:
            input_ids: [N] together with `boundaries`, or [B, T].
            boundaries: 0 = b₀ < b₁ < … = N; sequence i is [bᵢ, bᵢ₊₁). Or questions with the answers that branch off them.
            cache: past keys and values; positions continue behind it (only for [B, T]).
            positions: [T], rising, instead of 0, 1, … (only for [B, T] without a cache).
        """
        if positions is not None:
            assert boundaries is None, "packed rows have positions of their own"
            assert cache is None, "a cache counts its own positions"
        elif isinstance(boundaries, Branches):
            positions = boundaries.positions
        elif boundaries is not None:
            # a tensor in main memory: as a list it would be a constant of a compiled layer, which each batch compiles anew
            boundaries = torch.as_tensor(boundaries, device="cpu")
            starts = boundaries.to(input_ids.device)
            steps = torch.arange(input_ids.shape[0], device=input_ids.device)
            positions = steps - starts[torch.searchsorted(starts, steps, right=True) - 1]
        else:
            past = cache.length if cache is not None else 0
            positions = torch.arange(past, past + input_ids.shape[1], device=input_ids.device)
        x: Tensor = self.embed_tokens(input_ids)
        if self.config.embedding_scale != 1.0:  # rounded to the embedding's type first, as Gemma was trained
            x = x * torch.tensor(self.config.embedding_scale, dtype=x.dtype, device=x.device)
        whole = local = rotary_table(self.config, positions, x.dtype)
        if self.config.local_rope_theta is not None:
            local = rotary_table(self.config.local(), positions, x.dtype)
        for index, layer in enumerate(self.layers):
            x = layer(x, local if index in self.config.sliding_layers else whole, boundaries, cache)
        normed: Tensor = self.norm(x)
        return normed

    def logits(self, hidden: Tensor) -> Tensor:
        """[…, D] → […, V], at least float32."""
        scores: Tensor = self.lm_head(hidden)
        return scores if scores.dtype == torch.float64 else scores.float()


def _norm(config: DecoderConfig, size: int) -> RMSNorm:
    return RMSNorm(size, config.norm_eps, from_one=config.norm_from_one)


def rotary_table(config: DecoderConfig, positions: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Cosine and sine [T, 1, K] of each position's angles, computed in float32."""
    exponents = torch.arange(0, config.head_size, 2, dtype=torch.float32, device=positions.device) / config.head_size
    frequencies = 1.0 / config.rope_theta**exponents / config.rope_factor
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
