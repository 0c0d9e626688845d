"""What the server understands of OpenAI's chat-completions form, and what it answers in it.

A parameter that would change the reply and is not supported is refused, never ignored.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from sagecraft.chat.messages import Message
from sagecraft.chat.thinking import Switch, switch_of

#: Tokens of a reply where the request names no limit: enough for a thought and an answer, and it ends.
DEFAULT_MAX_TOKENS = 1024
#: Parameters that change nothing about the reply.
_HARMLESS = frozenset(
    {"user", "metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key", "parallel_tool_calls"}
)
#: Parameters that are not supported ← values that ask for nothing.
_NEUTRAL: dict[str, tuple[Any, ...]] = {
    "n": (1,),
    "best_of": (1,),
    "frequency_penalty": (0,),
    "presence_penalty": (0,),
    "repetition_penalty": (1,),
    "top_k": (0, -1),
    "min_p": (0,),
    "logit_bias": ({},),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "response_format": ({"type": "text"},),
    "modalities": (["text"],),
    "tools": ([],),
    "tool_choice": ("none", "auto"),
    "echo": (False,),
}


class RequestError(Exception):
    """A request that cannot be served: becomes OpenAI's error object.

    Attributes:
        status: HTTP status.
        code: OpenAI's error code, for programs.
        param: the parameter at fault.
    """

    def __init__(self, message: str, *, status: int = 400, code: str | None = None, param: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.param = param

    def body(self) -> dict[str, Any]:
        """The JSON body."""
        kind = "invalid_request_error" if self.status < 500 else "server_error"
        return {"error": {"message": str(self), "type": kind, "param": self.param, "code": self.code}}


class _StreamOptions(BaseModel):
    model_config = ConfigDict(frozen=True)
    include_usage: bool = False


class _TemplateOptions(BaseModel):
    """The switch, under the names that other servers give it."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    enable_thinking: bool | None = None
    thinking: bool | Literal["on", "off"] | None = None


class ChatRequest(BaseModel):
    """Body of `POST /v1/chat/completions`.

    Attributes:
        model: name of the model; may be left out.
        messages: the turns; system messages only at the start.
        stream: send the reply as server-sent events while it is made.
        stream_options: `include_usage` adds a last event with the counts.
        temperature: None takes what suits the switch (0 without thought, 0.6 with it).
        top_p: None takes what suits the switch (1 without thought, 0.95 with it).
        max_tokens: tokens of the reply at most, thought included; OpenAI's old name.
        max_completion_tokens: the same; the newer name goes first.
        seed: the same seed and request give the same reply; without one, each reply is drawn anew.
        stop: the reply ends before the first of these texts.
        chat_template_kwargs: `enable_thinking` or `thinking` set the switch.
        thinking: the switch, without the detour.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    model: str | None = None
    messages: list[dict[str, Any]] = Field(min_length=1)
    stream: bool = False
    stream_options: _StreamOptions | None = None
    temperature: float | None = Field(default=None, ge=0, le=2, allow_inf_nan=False)
    top_p: float | None = Field(default=None, gt=0, le=1)
    max_tokens: int | None = Field(default=None, ge=1)
    max_completion_tokens: int | None = Field(default=None, ge=1)
    seed: int | None = None
    stop: str | list[str] | None = Field(default=None, max_length=256)
    chat_template_kwargs: _TemplateOptions = _TemplateOptions()
    thinking: bool | Literal["on", "off"] | None = None

    @model_validator(mode="before")
    @classmethod
    def _without_what_asks_for_nothing(cls, value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        return {
            name: entry
            for name, entry in value.items()
            if name not in _HARMLESS
            and not (name in _NEUTRAL and entry in _NEUTRAL[name])
            and not (entry is None and name != "messages")
        }

    @property
    def limit(self) -> int:
        """Tokens of the reply at most."""
        return self.max_completion_tokens or self.max_tokens or DEFAULT_MAX_TOKENS

    @property
    def stops(self) -> list[str]:
        """The stop texts as a list."""
        return [self.stop] if isinstance(self.stop, str) else list(self.stop or [])

    def chat_messages(self) -> list[Message]:
        """The turns as messages; system messages at the start become one.

        Raises:
            RequestError: a turn is no message; names it.
        """
        system: list[str] = []
        messages: list[Message] = []
        for position, turn in enumerate(self.messages):
            where = f"messages.{position}"
            try:
                message = Message.of(turn, where)
            except ValidationError as error:
                fault = error.errors(include_url=False)[0]
                key = ".".join(map(str, [where, *fault["loc"]]))
                raise RequestError(f"{key}: {fault['msg'].removeprefix('Value error, ')}", param=key) from error
            except ValueError as error:
                raise RequestError(str(error), param=str(error).partition(":")[0]) from error
            if message.role != "system":
                messages.append(message)
            elif messages:
                raise RequestError(f"{where}: a system message may only stand at the start", param=where)
            else:
                system.append(message.content)
        if not messages:
            raise RequestError("messages: there is nothing to reply to; add a user message", param="messages")
        return [Message(role="system", content="\n\n".join(system)), *messages] if system else messages

    def switch(self, messages: list[Message]) -> Switch | None:
        """State of the switch: as the request says, else as its system prompt says, else off."""
        options = self.chat_template_kwargs
        for value in (options.enable_thinking, options.thinking, self.thinking):
            if value is not None:
                return "on" if value in (True, "on") else "off"
        if messages[0].role == "system" and (written := switch_of(messages[0].content)[0]):
            return written
        return "off"


def parse_request(value: Any) -> ChatRequest:
    """Checks a request's body.

    Raises:
        RequestError: names the first parameter at fault.
    """
    if not isinstance(value, dict):
        raise RequestError("the body must be a JSON object")
    try:
        return ChatRequest.model_validate(value)
    except ValidationError as error:
        # Of the branches of a union the one that got furthest is the one that was meant.
        fault = max(error.errors(include_url=False), key=lambda one: len(one["loc"]))
        param = ".".join(str(part) for part in fault["loc"] if part not in ("str", "list[str]"))
        if fault["type"] == "extra_forbidden":
            message = f"{param}: not supported here; leave it out"
            raise RequestError(message, code="unsupported_parameter", param=param) from error
        raise RequestError(f"{param}: {fault['msg']}", param=param or None) from error


def usage(num_prompt: int, num_reply: int, num_thought: int) -> dict[str, Any]:
    """The token counts of a reply."""
    return {
        "prompt_tokens": num_prompt,
        "completion_tokens": num_reply,
        "total_tokens": num_prompt + num_reply,
        "completion_tokens_details": {"reasoning_tokens": num_thought},
    }
