from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from sagecraft.training.schedule import OptimizerConfig, learning_rate_at


@st.composite
def configs(draw: Any) -> OptimizerConfig:
    warmup = draw(st.floats(0, 1))
    return OptimizerConfig(
        learning_rate=draw(st.sampled_from([1.0, 3e-4])),
        schedule=draw(st.sampled_from(["cosine", "linear", "wsd"])),
        warmup_ratio=warmup,
        decay_ratio=draw(st.floats(0, 1 - warmup)),
        min_learning_rate_ratio=draw(st.floats(0, 1)),
    )


@given(config=configs(), num_steps=st.integers(1, 300))
def test_any_schedule_rises_then_falls_and_moves_at_every_step(config: OptimizerConfig, num_steps: int) -> None:
    peak, floor = config.learning_rate, config.learning_rate * config.min_learning_rate_ratio
    rates = [learning_rate_at(config, step, num_steps) for step in range(num_steps)]
    warmup = max(1, round(config.warmup_ratio * num_steps))
    assert all(rate > 0 for rate in rates)
    assert max(rates) == rates[warmup - 1] == peak
    assert all(a < b for a, b in itertools.pairwise(rates[:warmup]))
    assert all(a >= b for a, b in itertools.pairwise(rates[warmup - 1 :]))
    assert all(rate >= floor * (1 - 1e-12) for rate in rates[warmup:])
    if warmup < num_steps and (config.schedule != "wsd" or round(config.decay_ratio * num_steps)):
        assert learning_rate_at(config, num_steps, num_steps) == pytest.approx(floor, abs=1e-12)


@given(config=configs(), num_steps=st.integers(10, 300), longer=st.integers(0, 300))
def test_wsd_stays_and_can_be_made_longer(config: OptimizerConfig, num_steps: int, longer: int) -> None:
    """Up to where the shorter run begins to fall, a longer one with as many steps of warm-up is the same."""
    warmup = max(1, round(config.warmup_ratio * num_steps))
    decay = min(round(config.decay_ratio * num_steps), num_steps - warmup)
    config = config.model_copy(update={"schedule": "wsd"})
    total = num_steps + longer
    other = config.model_copy(update={"warmup_ratio": warmup / total, "decay_ratio": 0.0})
    for step in range(num_steps - decay):
        assert learning_rate_at(config, step, num_steps) == learning_rate_at(other, step, total)
    for step in range(warmup, num_steps - decay):
        assert learning_rate_at(config, step, num_steps) == config.learning_rate
    if decay and config.min_learning_rate_ratio < 0.999:
        assert learning_rate_at(config, num_steps - decay, num_steps) < config.learning_rate


def test_wsd_falls_in_a_straight_line() -> None:
    config = OptimizerConfig(
        learning_rate=1.0, schedule="wsd", warmup_ratio=0.1, decay_ratio=0.3, min_learning_rate_ratio=0
    )
    rates = [learning_rate_at(config, step, 10) for step in range(10)]
    assert rates == pytest.approx([1, 1, 1, 1, 1, 1, 1, 0.75, 0.5, 0.25])


def test_parts_of_more_than_the_whole_are_refused() -> None:
    with pytest.raises(ValidationError, match=r"warmup_ratio 0\.9 and decay_ratio 0\.2 are more than all steps"):
        OptimizerConfig(schedule="wsd", warmup_ratio=0.9)
    assert OptimizerConfig(schedule="cosine", warmup_ratio=0.9).decay_ratio == 0.2
