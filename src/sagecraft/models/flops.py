"""Floating-point operations of training, in the three conventions that published figures use.

One run has a different utilisation in each, so a figure without its convention says nothing: 6,667 tokens/s of an 8B
model on an H100 are 39.0 % in `full` and 34.7 % in `causal`.

Letters: N parameters, L layers, d width, s sequence length. 6N is 2N forward and 4N backward.
"""

from __future__ import annotations

from collections.abc import Callable

from sagecraft.models.config import DecoderConfig


def flop_per_token_causal(config: DecoderConfig, sequence_length: int) -> float:
    """6N + 6·L·d·s, N without the input embedding: what causal attention needs (NVIDIA Megatron-Bridge)."""
    attention = 6 * config.num_layers * config.hidden_size * sequence_length
    return float(6 * config.num_parameters(embedding=False) + attention)


def flop_per_training_token(config: DecoderConfig, sequence_length: int, frozen: bool) -> float:
    """As `flop_per_token_causal`; weights that are `frozen` (LoRA) need no gradients of their own: 4N instead of 6N."""
    whole = flop_per_token_causal(config, sequence_length)
    return whole - (2.0 * config.num_parameters(embedding=False) if frozen else 0.0)


def flop_per_token_full(config: DecoderConfig, sequence_length: int) -> float:
    """6N + 12·L·d·s, N without the input embedding: attention counted as if every token saw all (torchtitan)."""
    attention = 12 * config.num_layers * config.hidden_size * sequence_length
    return float(6 * config.num_parameters(embedding=False) + attention)


def flop_per_token_all(config: DecoderConfig, sequence_length: int) -> float:
    """6·N_all + 12·L·d·s with the input embedding counted (llm-foundry)."""
    return flop_per_token_of_all(config.num_parameters(), config.num_layers, config.hidden_size, sequence_length)


def flop_per_token_of_all(num_parameters: int, num_layers: int, hidden_size: int, sequence_length: int) -> float:
    """As `flop_per_token_all`, for an architecture that `DecoderConfig` does not describe (MPT)."""
    return float(6 * num_parameters + 12 * num_layers * hidden_size * sequence_length)


#: name → (formula as printed, function)
CONVENTIONS: dict[str, tuple[str, Callable[[DecoderConfig, int], float]]] = {
    "causal": ("6N + 6·L·d·s, N without the input embedding", flop_per_token_causal),
    "full": ("6N + 12·L·d·s, N without the input embedding", flop_per_token_full),
    "all": ("6N + 12·L·d·s, N with the input embedding", flop_per_token_all),
}
#: The convention of `mfu` in clusters/*.yaml and of every figure that a plan prints.
CONVENTION = "causal"
