"""Settings of the optimizer, and the learning rate of each step."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class OptimizerConfig(BaseModel):
    """How weights move.

    Attributes:
        learning_rate: the peak. 2e-4 suits a 135M model and 1e6 tokens; AstroMLab 2 used 2e-5 for 70B.
        min_learning_rate_ratio: where the schedule ends, as a share of the peak.
        warmup_ratio: share of the steps in which the rate rises from zero (AstroMLab 2: 0.03).
        schedule: `cosine`, `linear`, or `wsd` (warm up, stay, fall in the last fifth: arXiv:2404.06395).
        beta1: decay of the mean of gradients.
        beta2: decay of the mean of squares; 0.95 follows changes faster than Adam's 0.999.
        eps: keeps the division finite.
        weight_decay: pulls matrices (not norms) towards zero, per step and learning rate.
        clip_norm: gradients longer than this are shortened to it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    learning_rate: float = Field(default=2e-4, gt=0)
    min_learning_rate_ratio: float = Field(default=0.1, ge=0, le=1)
    warmup_ratio: float = Field(default=0.03, ge=0, le=1)
    schedule: Literal["cosine", "linear", "wsd"] = "cosine"
    beta1: float = Field(default=0.9, ge=0, lt=1)
    beta2: float = Field(default=0.95, ge=0, lt=1)
    eps: float = Field(default=1e-8, gt=0)
    weight_decay: float = Field(default=0.1, ge=0)
    clip_norm: float = Field(default=1.0, gt=0)


def learning_rate_at(config: OptimizerConfig, step: int, num_steps: int) -> float:
    """The learning rate of a step (counted from 0) of `num_steps`."""
    warmup = max(1, round(config.warmup_ratio * num_steps))
    if step < warmup:
        return config.learning_rate * (step + 1) / warmup
    position = (step - warmup) / max(1, num_steps - warmup)
    floor = config.min_learning_rate_ratio
    if config.schedule == "cosine":
        share = floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * position))
    elif config.schedule == "linear":
        share = 1 - (1 - floor) * position
    else:
        share = 1 - (1 - floor) * max(0.0, (position - 0.8) / 0.2)
    return config.learning_rate * share
