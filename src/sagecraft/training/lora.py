"""Settings of LoRA (arXiv:2106.09685): small pairs of matrices learn beside frozen weights."""

from __future__ import annotations

import math

from pydantic import BaseModel, ConfigDict, Field


class LoraConfig(BaseModel):
    """Which weights get a pair of matrices, and how large the pairs are.

    Attributes:
        rank: rows of A and columns of B; the change of a weight has no higher rank. Facts need more than a manner does.
        alpha: the change is (alpha / rank) · B · A, so that it keeps its size when the rank is changed.
        dropout: share of a pair's inputs that is set to zero in training, drawn by (seed, step, pass, layer).
        targets: last parts of the names of linear layers, as peft's `target_modules`; null is every linear layer but
            the output head (attention alone learns less, arXiv:2305.14314).
        rank_stabilised: alpha / √rank instead (arXiv:2312.03732, peft's `use_rslora`), which lets large ranks learn.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    rank: int = Field(default=16, ge=1)
    alpha: float = Field(default=32.0, gt=0, allow_inf_nan=False)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    targets: tuple[str, ...] | None = Field(default=None, min_length=1)
    rank_stabilised: bool = False

    @property
    def scale(self) -> float:
        """Factor of B · A."""
        return self.alpha / (math.sqrt(self.rank) if self.rank_stabilised else self.rank)
