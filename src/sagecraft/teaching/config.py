"""Settings of a model that a stage asks."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from sagecraft.chat.thinking import Switch
from sagecraft.inference.limits import LimitsConfig


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
