"""Settings of the stage `bench`."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from sagecraft.teaching.config import ModelConfig

Form = Literal["figure", "two-figures", "word-and-figure", "two-words", "word", "study", "term", "property"]


#: How a judge may answer: by the likelihood of an option or of its letter (models that run here), or by a reply.
Mode = Literal["continuation", "letter", "generate"]
#: What judges may take an item out for.
JudgeRule = Literal["unanswerable", "too-easy", "guessable-by-models", "not-one-right", "points-outside"]
JUDGE_RULES: tuple[JudgeRule, ...] = JudgeRule.__args__  # type: ignore[attr-defined]


class JudgeConfig(ModelConfig):
    """A model that answers every question: with its passage, without it, and from the options alone."""

    mode: Mode | None = Field(
        default=None,
        description="how it answers: by the likelihood of each option (continuation) or of its letter (letter), for a model "
        "that runs here, or by a reply (generate); null: continuation here, generate over an endpoint",
    )
    grades: bool | None = Field(
        default=None,
        description="whether it is also asked, with the passage, which options are right and whether the question stands alone; "
        "null: endpoints are",
    )


class JudgingConfig(BaseModel):
    """What the answers of judges decide. Only judges count that are above chance with the passage."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    rules: tuple[JudgeRule, ...] = Field(
        default=JUDGE_RULES,
        description="what takes an item out: no judge is right with the passage (unanswerable); of two judges or more all are right "
        "without it (too-easy), or from the options alone (guessable-by-models); by half or more of those that grade another "
        "option is right as well, or none (not-one-right), or the question needs its source (points-outside)",
    )
    min_answered: float = Field(
        default=0.8,
        gt=0,
        le=1,
        description="what the judges miss is held against an item where they, together, answer this share of the drafts with the "
        "passage; and a judge's word against one where it calls this share of them sound. Below, it says more of the judges",
    )


class ItemTeacherConfig(ModelConfig):
    """The model that writes items from passages, beside those of the rules."""

    items_per_passage: int = Field(default=2, ge=1, le=5, description="items wanted of a passage")
    passages_per_document: int = Field(
        default=3, ge=1, description="passages of a document that it is asked about, drawn by seed"
    )
    max_passages: int | None = Field(
        default=None, ge=1, description="passages asked about in all, drawn by seed; null: all of these"
    )


class BenchConfig(BaseModel):
    """What the benchmark holds."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    seed: int = Field(default=0, description="keys the choice of sentences, the other options and their order")
    items_per_document: int = Field(
        default=5, ge=1, description="at most this many from one document; the published benchmark has five an article"
    )
    max_items: int | None = Field(default=None, ge=1, description="at most this many in all; null takes what there is")
    forms: list[Form] = Field(
        default=["figure", "two-figures", "word-and-figure", "two-words", "word", "study", "term", "property"],
        min_length=1,
        description="what may be left open: a value; two values; a word with its opposite, or a name, and a value; two such "
        "words; a name; which of four studies reports a finding; the term of a gloss; a cell of a table",
    )
    min_words: int = Field(
        default=8, ge=4, description="shortest sentence to ask about, so that it says what the value is of"
    )
    max_words: int = Field(default=45, ge=8, description="longest sentence, so that the question can be read at once")
    baseline_points: float = Field(
        default=3.0,
        gt=0,
        le=75,
        description="how far from chance, in points, a guess by the options alone may be; items that favour one that is "
        "further go. Of fewer than 100 items nothing is taken out",
    )
    judges: tuple[JudgeConfig, ...] = Field(
        default=(), max_length=16, description="models that answer what was drafted, to find what is unfit to be asked"
    )
    judging: JudgingConfig = Field(default=JudgingConfig(), description="what the answers of judges decide")
    teacher: ItemTeacherConfig | None = Field(
        default=None, description="a model that writes items from passages, beside those of the rules"
    )
    max_usd: float | None = Field(
        default=None,
        gt=0,
        allow_inf_nan=False,
        exclude=True,  # what is made does not depend on it, so a run that goes on with another limit is the same run
        description="USD that teacher and judges together may cost, interrupted starts included; stops before it is passed. null: no "
        "limit but those of each model",
    )
