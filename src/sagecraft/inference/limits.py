"""The settings of how an endpoint is asked; `pace.py` keeps them."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

#: Orders to whoever asks: send nothing more; and drop what is under way as well.
STOP, DROP = b"s", b"d"
#: Said to whoever stopped a run.
STOPPED = "stopped; finished items are kept, run the same command again to go on"


class LimitsConfig(BaseModel):
    """How an endpoint is asked; nothing here changes what it is asked, so results do not depend on it."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    concurrency: int = Field(default=8, ge=1, le=1024, description="requests under way at once")
    requests_per_minute: float | None = Field(
        default=None, gt=0, allow_inf_nan=False, description="requests sent a minute at most; null: no limit"
    )
    tokens_per_minute: float | None = Field(
        default=None,
        gt=0,
        allow_inf_nan=False,
        description="tokens a minute at most, counted as providers do: those read and the limit of those written, "
        "corrected once the reply says how many they were; null: no limit",
    )
    timeout_seconds: float = Field(
        default=600.0, gt=0, allow_inf_nan=False, description="longest wait for one reply; thinking takes minutes"
    )
    max_attempts: int = Field(
        default=8, ge=1, description="how often one request is sent if it fails in ways that may pass; 8 wait 2 minutes"
    )
    max_usd: float | None = Field(
        default=None,
        gt=0,
        allow_inf_nan=False,
        description="USD that asking may cost, interrupted starts included; stops before it is passed. null: no limit",
    )
