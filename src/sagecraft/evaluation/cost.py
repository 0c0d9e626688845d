"""Tokens and what they cost."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from sagecraft.inference.prices import Bill, Price, Unknown

#: Tokens on which prices are compared: the published comparison's axis is the price of 0.1 million.
_COMPARED_TOKENS = 100_000


class Tokens(BaseModel):
    """Tokens of one request, or of many.

    Attributes:
        prompt: read by the model (`in` in the files).
        cached: of these, read from the provider's cache.
        thought: written inside a thought.
        answer: written outside it (`out` in the files).
    """

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)
    prompt: int = Field(default=0, ge=0, alias="in")
    cached: int = Field(default=0, ge=0)
    thought: int = Field(default=0, ge=0)
    answer: int = Field(default=0, ge=0, alias="out")

    def as_dict(self) -> dict[str, int]:
        """The form of the files: `in`, `cached`, `thought`, `out`."""
        return {"in": self.prompt, "cached": self.cached, "thought": self.thought, "out": self.answer}

    @property
    def total(self) -> int:
        """Read and written."""
        return self.prompt + self.thought + self.answer


def add_up(rows: Iterable[Mapping[str, Any] | None]) -> Tokens | None:
    """The sum of `tokens` columns; None if a reply came without a count, since a part of a bill is no bill."""
    prompt = cached = thought = answer = 0
    for row in rows:
        if row is None:
            return None
        prompt, thought, answer = prompt + row["in"], thought + row["thought"], answer + row["out"]
        cached += row.get("cached", 0)
    return Tokens(prompt=prompt, cached=cached, thought=thought, answer=answer)


def endpoint_cost(tokens: Tokens | None, price: Price | None) -> float | Unknown:
    """USD of an endpoint's tokens; thoughts are paid like answers."""
    if tokens is None or price is None or not price.is_known:
        return "unknown"
    return price.usd(Bill(prompt=tokens.prompt, cached=tokens.cached, written=tokens.thought + tokens.answer))


def local_cost(seconds: float, usd_per_device_hour: float) -> float:
    """USD of the hours that the device was busy."""
    return seconds / 3600 * usd_per_device_hour


def usd_per_100k_tokens(cost: float | Unknown, tokens: Tokens | None) -> float | None:
    """USD of 0.1 million tokens as this run mixed those read and those written; None if not known."""
    if isinstance(cost, str) or tokens is None or tokens.total == 0:
        return None
    return cost / tokens.total * _COMPARED_TOKENS
