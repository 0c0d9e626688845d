"""The three conventions against figures that others published with them (shared/performance-figures.md)."""

from __future__ import annotations

import pytest

from sagecraft.models.flops import (
    flop_per_token_all,
    flop_per_token_causal,
    flop_per_token_full,
    flop_per_token_of_all,
)
from sagecraft.planning.architecture import known_models

LLAMA = {size: known_models()[f"meta-llama/Llama-3.1-{size}"] for size in ("8B", "70B", "405B")}


@pytest.mark.parametrize(("size", "published"), [("8B", 744e12 / 14_451), ("70B", 448.8e9), ("405B", 2_523.97e9)])
def test_causal_is_what_megatron_bridge_counts(size: str, published: float) -> None:
    assert flop_per_token_causal(LLAMA[size], 8192) == pytest.approx(published, rel=1e-3)


@pytest.mark.parametrize(("tokens_per_second", "utilisation"), [(6_667, 0.390), (5_762, 0.337)])
def test_full_is_what_torchtitan_counts(tokens_per_second: float, utilisation: float) -> None:
    found = tokens_per_second * flop_per_token_full(LLAMA["8B"], 8192) / 989e12
    assert found == pytest.approx(utilisation, abs=6e-4)


@pytest.mark.parametrize(
    ("num_parameters", "layers", "width", "published"),
    [(64_862_437_376, 80, 8192, 405.45e9), (6_658_859_008, 32, 4096, 43.17e9)],
)
def test_all_is_what_llm_foundry_counts(num_parameters: int, layers: int, width: int, published: float) -> None:
    assert flop_per_token_of_all(num_parameters, layers, width, 2048) == pytest.approx(published, rel=1e-3)


def test_conventions_differ_by_the_causal_half_and_the_embedding() -> None:
    config = LLAMA["8B"]
    causal, full, everything = (
        f(config, 8192) for f in (flop_per_token_causal, flop_per_token_full, flop_per_token_all)
    )
    assert full - causal == 6 * 32 * 4096 * 8192
    assert everything - full == 6 * 128_256 * 4096
    assert 6_667 * causal / 989e12 == pytest.approx(0.347, abs=1e-3)


def test_parameters_are_those_of_the_model_cards() -> None:
    assert LLAMA["8B"].num_parameters() == 8_030_261_248
    assert LLAMA["70B"].num_parameters() == 70_553_706_496
    assert known_models()["smollm2-135m-instruct"].num_parameters() == 134_515_008
