"""Settings of the optimizer, and the learning rate of each step."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class OptimizerConfig(BaseModel):
    """How weights move.

    Attributes:
        learning_rate: the peak. 2e-4 suits a 135M model and 1e6 tokens; AstroMLab 2 used 2e-5 for 70B.
        min_learning_rate_ratio: where the schedule ends, as a share of the peak.
        warmup_ratio: share of the steps in which the rate rises from zero (AstroMLab 2: 0.03).
        schedule: `cosine` and `linear` fall from the peak on; `wsd` (warm up, stay, fall: arXiv:2404.06395) stays until the
            last `decay_ratio`, so that a run can be made longer without having begun otherwise.
        decay_ratio: share of the steps in which `wsd` falls, in a straight line.
        beta1: decay of the mean of gradients.
        beta2: decay of the mean of squares; 0.95 follows changes faster than Adam's 0.999.
        eps: keeps the division finite.
        weight_decay: pulls matrices (not norms) towards zero, per step and learning rate.
        clip_norm: gradients longer than this are shortened to it.
        z_loss: times the squared logarithm of each token's normaliser, added to its loss: keeps scores from drifting in
            long runs (PaLM, arXiv:2204.02311: 1e-4). The recorded loss is without it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    learning_rate: float = Field(default=2e-4, gt=0)
    min_learning_rate_ratio: float = Field(default=0.1, ge=0, le=1)
    warmup_ratio: float = Field(default=0.03, ge=0, le=1)
    schedule: Literal["cosine", "linear", "wsd"] = "cosine"
    decay_ratio: float = Field(default=0.2, ge=0, le=1)
    beta1: float = Field(default=0.9, ge=0, lt=1)
    beta2: float = Field(default=0.95, ge=0, lt=1)
    eps: float = Field(default=1e-8, gt=0)
    weight_decay: float = Field(default=0.1, ge=0)
    clip_norm: float = Field(default=1.0, gt=0)
    z_loss: float = Field(default=0.0, ge=0, le=1)

    @model_validator(mode="after")
    def _parts(self) -> OptimizerConfig:
        if self.schedule == "wsd" and self.warmup_ratio + self.decay_ratio > 1:
            raise ValueError(
                f"warmup_ratio {self.warmup_ratio:g} and decay_ratio {self.decay_ratio:g} are more than all steps together"
            )
        return self


def learning_rate_at(config: OptimizerConfig, step: int, num_steps: int) -> float:
    """The learning rate of a step (counted from 0) of `num_steps`.

    Every step moves: the first is above zero, and the floor, which may be zero, would be that of the step after the last.
    """
    warmup = max(1, round(config.warmup_ratio * num_steps))
    if step < warmup:
        return config.learning_rate * ((step + 1) / warmup)  # in this order the last one is the peak itself
    floor = config.min_learning_rate_ratio
    position = (step - warmup) / max(1, num_steps - warmup)
    if config.schedule == "cosine":
        share = floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * position))
    elif config.schedule == "linear":
        share = 1 - (1 - floor) * position
    else:
        decay = min(round(config.decay_ratio * num_steps), num_steps - warmup)
        share = 1 - (1 - floor) * max(0, step + 1 - (num_steps - decay)) / (decay + 1)
    return config.learning_rate * share
