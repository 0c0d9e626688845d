"""Settings of the stage `bench`."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Form = Literal["figure", "two-figures", "word-and-figure", "two-words", "term", "property"]


class BenchConfig(BaseModel):
    """What the benchmark holds."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    seed: int = Field(default=0, description="keys the choice of sentences, the other options and their order")
    items_per_document: int = Field(
        default=5, ge=1, description="at most this many from one document; the published benchmark has five an article"
    )
    max_items: int | None = Field(default=None, ge=1, description="at most this many in all; null takes what there is")
    forms: list[Form] = Field(
        default=["figure", "two-figures", "word-and-figure", "two-words", "term", "property"],
        min_length=1,
        description="what may be left open: a value; two values; a word with its opposite and a value; two such words; the "
        "term of a gloss; a cell of a table",
    )
    min_words: int = Field(
        default=8, ge=4, description="shortest sentence to ask about, so that it says what the value is of"
    )
    max_words: int = Field(default=45, ge=8, description="longest sentence, so that the question can be read at once")
    baseline_points: float = Field(
        default=2.0,
        gt=0,
        le=75,
        description="how far from chance, in points, a guess by the options alone may be; items that favour one that is "
        "further go. Of fewer than 100 items nothing is taken out",
    )
