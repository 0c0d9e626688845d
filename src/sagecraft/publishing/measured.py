"""The part of an evaluation's results.json that cards and reports tell."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sagecraft import artifact
from sagecraft.errors import UserError


class Scores(BaseModel):
    """Accuracy of all questions or of a group; what else an evaluation states stays with it."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    n: int = Field(default=0, ge=0)
    accuracy: float | None = Field(default=None, ge=0, le=1)
    ci95: tuple[float, float] | None = None


class Perplexity(BaseModel):
    """Perplexity on one text."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    perplexity: float = Field(gt=0)
    bits_per_byte: float | None = None
    num_tokens: int | None = None


class Results(Scores):
    """What was measured of one model."""

    mode: str = ""
    by_kind: dict[str, Scores] = {}
    by_topic: dict[str, Scores] = {}
    modes: dict[str, Scores] = {}
    perplexity: dict[Literal["domain", "general"], Perplexity] = {}
    cost_usd: float | Literal["unknown"] | None = None


def read_results(evaluation: Path) -> Results:
    """Reads and checks an evaluation's results.json.

    Raises:
        UserError: there is none, or a value cannot be what it says.
    """
    file = evaluation / "results.json"
    again = f"run the step again with --from {evaluation.name}"
    if not file.is_file():
        raise UserError(f"{file}: no such file; the evaluation is damaged, {again}")
    try:
        return Results.model_validate(artifact.read_json(file))
    except ValidationError as error:
        first = error.errors()[0]
        raise UserError(f"{file}: {'.'.join(map(str, first['loc']))}: {first['msg']}; {again}") from error
