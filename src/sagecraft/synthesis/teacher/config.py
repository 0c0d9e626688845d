"""Settings of the models that synthesis asks."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from sagecraft.synthesis.grading.model import ThresholdsConfig
from sagecraft.teaching.config import ModelConfig

#: Kinds that a teacher may be asked for: those that take reading.
Asked = Literal[
    "definition", "number", "cause", "comparison", "method", "purpose", "consequence", "relation", "critique", "what-if",
    "derivation",
]  # fmt: skip
ASKED: tuple[Asked, ...] = Asked.__args__  # type: ignore[attr-defined]


class TeacherConfig(ModelConfig):
    """The model that writes questions and answers from passages."""

    kinds: tuple[Asked, ...] = Field(default=ASKED, min_length=1, description="kinds of question it is asked for")
    questions_per_passage: int = Field(default=3, ge=1, le=10, description="questions wanted of a passage")
    max_passages: int | None = Field(default=None, ge=1, description="passages asked about, drawn by seed; null: all")
    summarise_from: int | None = Field(
        default=None,
        ge=2,
        description="passages from which a document is long: the teacher then writes a summary of it, stretch by stretch, which is told "
        "with each passage instead of the document's own sentences; null: never",
    )
    thoughts: bool = Field(
        default=False,
        description="ask it, without the source, for the way to each of its questions whose answer is a quantity or a letter; kept "
        "where its result agrees. With a grader also for the way to answers in prose, kept where the grader finds the result the same",
    )
    exercises_share: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="share of the exercises that give a result and no way to it whose way it is asked for; kept where its result "
        "agrees with theirs",
    )


class GraderConfig(ModelConfig):
    """The model that grades what the teacher wrote: another one, since a model finds its own sentences good."""

    thresholds: ThresholdsConfig = Field(default=ThresholdsConfig(), description="the least grades, of five, that pass")
