"""What endpoints charge for tokens."""

from __future__ import annotations

import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Unknown = Literal["unknown"]


class Bill(BaseModel):
    """Tokens as an endpoint bills them.

    Attributes:
        prompt: read, those from its cache included.
        cached: of these, read from its cache.
        written: written, thoughts included.
        known: the endpoint said so; otherwise it is the most that the request can have cost.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    prompt: int = Field(default=0, ge=0)
    cached: int = Field(default=0, ge=0)
    written: int = Field(default=0, ge=0)
    known: bool = True

    def __add__(self, other: Bill) -> Bill:
        """Both; known if both are."""
        return Bill(
            prompt=self.prompt + other.prompt,
            cached=self.cached + other.cached,
            written=self.written + other.written,
            known=self.known and other.known,
        )


class Price(BaseModel):
    """Price of one model.

    Attributes:
        usd_per_million_in: USD per million tokens read; None if not known.
        usd_per_million_cached_in: USD per million tokens that the provider found in its cache; None: as others.
        usd_per_million_out: USD per million tokens written, thoughts included; None if not known.
        source: where it was read.
        date: when it was in force.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)
    usd_per_million_in: float | None = Field(default=None, ge=0, allow_inf_nan=False, alias="in")
    usd_per_million_cached_in: float | None = Field(default=None, ge=0, allow_inf_nan=False, alias="cached_in")
    usd_per_million_out: float | None = Field(default=None, ge=0, allow_inf_nan=False, alias="out")
    source: str = ""
    date: datetime.date | None = None

    @property
    def is_known(self) -> bool:
        """Both of the prices that every request needs are known."""
        return self.usd_per_million_in is not None and self.usd_per_million_out is not None

    def usd(self, bill: Bill) -> float:
        """USD of a bill; only for a price that is known."""
        assert self.usd_per_million_in is not None
        assert self.usd_per_million_out is not None
        cached_in = self.usd_per_million_cached_in
        cached_price = self.usd_per_million_in if cached_in is None else cached_in
        cached = min(bill.cached, bill.prompt)
        fresh = bill.prompt - cached
        read = fresh * self.usd_per_million_in + cached * cached_price
        return (read + bill.written * self.usd_per_million_out) / 1e6
