"""Tokens and what they cost."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from sagecraft.inference.prices import Price

Unknown = Literal["unknown"]


class Tokens(BaseModel):
    """Tokens of one request, or of many.

    Attributes:
        prompt: read by the model (`in` in the files).
        thought: written inside a thought.
        answer: written outside it (`out` in the files).
    """

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)
    prompt: int = Field(default=0, ge=0, alias="in")
    thought: int = Field(default=0, ge=0)
    answer: int = Field(default=0, ge=0, alias="out")

    def as_dict(self) -> dict[str, int]:
        """The form of the files: `in`, `thought`, `out`."""
        return {"in": self.prompt, "thought": self.thought, "out": self.answer}


def add_up(rows: Iterable[Mapping[str, Any] | None]) -> Tokens | None:
    """The sum of `tokens` columns; None if a reply came without a count, since a part of a bill is no bill."""
    prompt = thought = answer = 0
    for row in rows:
        if row is None:
            return None
        prompt, thought, answer = prompt + row["in"], thought + row["thought"], answer + row["out"]
    return Tokens(prompt=prompt, thought=thought, answer=answer)


def endpoint_cost(tokens: Tokens | None, price: Price | None) -> float | Unknown:
    """USD of an endpoint's tokens; thoughts are paid like answers."""
    if tokens is None or price is None or price.usd_per_million_in is None or price.usd_per_million_out is None:
        return "unknown"
    written = tokens.thought + tokens.answer
    return (tokens.prompt * price.usd_per_million_in + written * price.usd_per_million_out) / 1e6


def local_cost(seconds: float, usd_per_device_hour: float) -> float:
    """USD of the hours that the device was busy."""
    return seconds / 3600 * usd_per_device_hour
