"""Settings of the models that synthesis asks."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from sagecraft.chat.thinking import Switch
from sagecraft.inference.limits import LimitsConfig
from sagecraft.synthesis.grading.model import ThresholdsConfig

#: Kinds that a teacher may be asked for: those that take reading.
Asked = Literal[
    "definition", "number", "cause", "comparison", "method", "purpose", "consequence", "relation", "critique", "what-if",
    "derivation",
]  # fmt: skip
ASKED: tuple[Asked, ...] = Asked.__args__  # type: ignore[attr-defined]


class ModelConfig(BaseModel):
    """A model that is asked for objects, and how."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    model: str = Field(
        description="a Hugging Face folder, folder+adapter, a GGUF file, or provider:model of an endpoint"
    )
    base_url: str | None = Field(default=None, description="address of the endpoint, where it is a server of your own")
    thinking: Switch | None = Field(
        default=None, description="on or off, for models with a switch; null leaves it to the model"
    )
    thought_tokens: int = Field(
        default=1024,
        ge=0,
        description="tokens of a thought at most; an endpoint that does not think may use them to answer",
    )
    answer_tokens: int = Field(default=1024, ge=16, description="tokens of an answer at most")
    structure: Literal["prompt", "json_schema"] = Field(
        default="prompt",
        description="how objects are asked for: in words, or also by `response_format` with the schema, which not every endpoint takes",
    )
    repair_attempts: int = Field(
        default=1,
        ge=0,
        le=8,
        description="how often a reply that cannot be used is sent back with what is wrong with it",
    )
    limits: LimitsConfig = Field(
        default=LimitsConfig(),
        exclude=True,  # what is made does not depend on it, so a run that goes on with another limit is the same run
        description="pace, patience and money for an endpoint",
    )

    @field_validator("thinking", mode="before")
    @classmethod
    def _yaml_switch(cls, value: object) -> object:
        """YAML reads a bare `on` and `off` as booleans."""
        return {True: "on", False: "off"}[value] if isinstance(value, bool) else value


class TeacherConfig(ModelConfig):
    """The model that writes questions and answers from passages."""

    kinds: tuple[Asked, ...] = Field(default=ASKED, min_length=1, description="kinds of question it is asked for")
    questions_per_passage: int = Field(default=3, ge=1, le=10, description="questions wanted of a passage")
    max_passages: int | None = Field(default=None, ge=1, description="passages asked about, drawn by seed; null: all")
    thoughts: bool = Field(
        default=False,
        description="ask it, without the source, for the way to each of its questions whose answer is a quantity or a letter; "
        "kept where its result agrees",
    )


class GraderConfig(ModelConfig):
    """The model that grades what the teacher wrote: another one, since a model finds its own sentences good."""

    thresholds: ThresholdsConfig = Field(default=ThresholdsConfig(), description="the least grades, of five, that pass")
