"""What an evaluation measures, and how: the keys of a recipe's section `evaluate`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from sagecraft.evaluation.columns import check_names
from sagecraft.inference.limits import LimitsConfig

if TYPE_CHECKING:
    from sagecraft.chat.thinking import Switch

ModeName = Literal["continuation", "letter", "generate"]
#: What the pass with thought is called where both states are asked; the one without keeps the mode's own name.
WITH_THOUGHT = "generate+thinking"


class ReplyConfig(BaseModel):
    """Room for a reply; a thought and an answer have budgets of their own."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    thought_tokens: int = Field(
        default=1024, ge=1, description="tokens a thought may take before it is closed and the answer asked for"
    )
    answer_tokens: int = Field(
        default=256, ge=1, description="tokens of an answer: a JSON object with two sentences takes about 100"
    )


class PerplexityConfig(BaseModel):
    """How running text is scored."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    tokens: int = Field(
        default=20_000, ge=1, description="scored tokens of each text: 20,000 give perplexity to about 2 %"
    )
    window: int = Field(
        default=1024, ge=2, description="tokens of a window, the first being context only; at most the model's context"
    )


class QuestionsConfig(BaseModel):
    """How a file of questions is read, and what is shown before each."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    columns: dict[str, str | tuple[str, ...]] = Field(
        default={},
        description="what columns are called in the file, where they have names of their own: {question: Frage, "
        "options: [a, b, c, d], answer: key}; also A to J, target, id, topic, kind, article, explanation",
    )
    shots: int = Field(
        default=0,
        ge=0,
        le=64,
        description="solved questions shown before each, the same for all; from the input `shots`, or from the split dev, "
        "validation or train beside the task",
    )
    shots_by_topic: bool = Field(
        default=False,
        description="show questions of the same topic, where there are enough; their beginning is then not shared by all, "
        "so local models take longer",
    )

    @field_validator("columns", mode="after")
    @classmethod
    def _known(cls, value: dict[str, str | tuple[str, ...]]) -> dict[str, str | tuple[str, ...]]:
        return check_names(value)


class EvaluateConfig(BaseModel):
    """What is measured, and how."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    modes: tuple[ModeName, ...] = Field(
        default=("continuation",),
        min_length=1,
        description="ways to ask, each on the same items; the first is the one on top of results.json. continuation "
        "is the default because it needs no instruction following, so base and tuned models compare",
    )
    thinking: Literal["on", "off", "both"] | None = Field(
        default="off",
        description="state of the switch in generate mode; both asks without thought (mode generate in the results) and "
        "with it (generate+thinking); null (on the command line: none) leaves it to the model",
    )
    chat_template: bool = Field(
        default=False,
        description="put continuation and letter prompts into the chat template; off, since it moves scores and base "
        "models have none",
    )
    questions: QuestionsConfig = Field(
        default=QuestionsConfig(), description="names of columns, and examples shown before each question"
    )
    max_items: int | None = Field(default=None, ge=1, description="questions at most, drawn by seed; null takes all")
    permutations: Literal["none", "cyclic", "shuffle"] = Field(
        default="none",
        description="letter and generate modes ask again with the options in every rotation (cyclic, which cancels a "
        "preference for a position) or in one other order drawn by seed and item (shuffle, which only shows it)",
    )
    seed: int = Field(default=0, description="key of everything drawn: items, documents, orders, resamples")
    dtype: Literal["float32", "bfloat16"] = Field(
        default="bfloat16", description="arithmetic of a local model; bfloat16 is what models are served in"
    )
    reply: ReplyConfig = Field(default=ReplyConfig(), description="room for what is written, in generate mode")
    perplexity: PerplexityConfig = Field(default=PerplexityConfig(), description="how much running text is scored")
    device_usd_per_hour: float = Field(
        default=0.0, ge=0, description="USD an hour of the device that runs a local model; 0: it is paid for anyway"
    )
    endpoint: str | None = Field(
        default=None, description="provider:model of an OpenAI-compatible endpoint, instead of the input `model`"
    )
    base_url: str | None = Field(
        default=None, description="address of the endpoint, where it is a server of your own (local, vllm, ollama)"
    )
    limits: LimitsConfig = Field(
        default=LimitsConfig(),
        exclude=True,  # results do not depend on it, so a run that goes on with another pace is the same run
        description="pace, patience and money for an endpoint",
    )
    processes: int = Field(
        default=1,
        ge=1,
        le=64,
        exclude=True,  # as the limits
        description="processes that ask a local model, each with the model for itself and, where there are cards, one of them",
    )

    @field_validator("thinking", mode="before")
    @classmethod
    def _yaml_switch(cls, value: object) -> object:
        """YAML reads a bare `on` and `off` as booleans; the command line cannot write null."""
        return {True: "on", False: "off"}[value] if isinstance(value, bool) else None if value == "none" else value

    @field_validator("modes", mode="before")
    @classmethod
    def _one_mode(cls, value: object) -> object:
        return [value] if isinstance(value, str) else value

    @field_validator("modes")
    @classmethod
    def _different(cls, value: tuple[ModeName, ...]) -> tuple[ModeName, ...]:
        if len(set(value)) != len(value):
            raise ValueError("a mode stands there twice")
        return value

    @property
    def switch(self) -> Switch | None:
        """State of the switch in one pass."""
        assert self.thinking != "both", "a pass has one state"
        return self.thinking

    @property
    def passes(self) -> dict[str, tuple[ModeName, EvaluateConfig]]:
        """Name in the results → mode and settings of each time that the items are asked: a mode, or a state of the switch."""
        found: dict[str, tuple[ModeName, EvaluateConfig]] = {}
        for mode in self.modes:
            if mode == "generate" and self.thinking == "both":
                found[mode] = mode, self.model_copy(update={"thinking": "off"})
                found[WITH_THOUGHT] = mode, self.model_copy(update={"thinking": "on"})
            else:
                found[mode] = mode, self
        return found
