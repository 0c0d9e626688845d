"""What endpoints answer, in the dialects they speak, as one form.

Dialects of OpenAI's chat completions that are read: a thought in `reasoning_content` (DeepSeek, older vLLM) or `reasoning`
(vLLM, Ollama, OpenRouter); content in parts; `refusal` beside the content; finish reasons of several makers; an error in a
reply of status 200 (OpenRouter); thoughts that are counted in `total_tokens` only (Gemini).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from sagecraft.inference.prices import Bill

#: Finish reasons that say the limit of tokens was reached, and that the reply was withheld.
_LENGTH = frozenset({"length", "max_tokens", "model_length"})
_WITHHELD = frozenset(
    {"content_filter", "refusal", "safety", "recitation", "blocklist", "prohibited_content", "spii", "sensitive"}
)
#: Codes of errors that say the question itself was refused: an outcome of the item, not a fault of the run.
_REFUSING = frozenset({"content_filter", "content_policy_violation", "invalid_prompt"})


class Reply(BaseModel):
    """What came back.

    Attributes:
        text: the message's content; what it says in refusing where it refuses.
        thought: what the endpoint reported apart as reasoning; None if nothing.
        finish: `stop`, `length`, `refusal`, or what else the endpoint says.
        bill: tokens read and written; None if it does not say.
        thought_tokens: of those written, tokens of a thought; None if it does not say.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    text: str
    thought: str | None = None
    finish: str = "stop"
    bill: Bill | None = None
    thought_tokens: int | None = Field(default=None, ge=0)


@dataclass(frozen=True)
class Failed:
    """Stands for the answer to something that got none."""

    why: str


class NoReplyError(Exception):
    """A reply of status 200 that holds no message.

    Attributes:
        bill: what it says that it cost; None if it says nothing.
        code: the error's own code or status, if it is one.
    """

    def __init__(self, message: str, bill: Bill | None = None, code: str | int | None = None) -> None:
        super().__init__(message)
        self.bill, self.code = bill, code


def reply_request(body: Mapping[str, Any]) -> dict[str, Any]:
    """What the record of a reply is keyed by: the whole of the request."""
    return {"mode": "reply", **body}


def parse(content: bytes) -> Reply:
    """Reads a chat completion.

    Raises:
        NoReplyError: it is none.
    """
    try:
        value = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise NoReplyError("the reply is not JSON") from error
    if not isinstance(value, dict):
        raise NoReplyError("the reply is no chat completion (not an object)")
    bill, thought_tokens = _usage(value.get("usage"))
    if value.get("error"):
        code, said = error_of(value)
        raise NoReplyError(f"an error in a reply of status 200: {said}", bill, code)
    choices = value.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        raise NoReplyError("the reply has no choices", bill)
    message = choices[0].get("message")
    if not isinstance(message, dict):
        raise NoReplyError("the reply has no message", bill)
    text, thought = _content(message.get("content"), bill)
    apart = message.get("reasoning_content") or message.get("reasoning")
    refusal = message.get("refusal")
    finish = _finish(choices[0].get("finish_reason"))
    if isinstance(refusal, str) and refusal:
        text, finish = text or refusal, "refusal"
    thought = apart if isinstance(apart, str) else thought
    return Reply(
        text=_whole(text),
        thought=None if thought is None else _whole(thought),
        finish=finish,
        bill=bill,
        thought_tokens=thought_tokens,
    )


def refusal_of(content: bytes) -> Reply | None:
    """A reply that stands for an error which refuses the question itself; None if it is another error."""
    try:
        code, message = error_of(json.loads(content))
    except (ValueError, RecursionError):
        return None
    return Reply(text=_whole(message), finish="refusal", bill=Bill()) if code in _REFUSING else None


def error_of(value: Any) -> tuple[str | int | None, str]:
    """Code and message of an error object, whatever stands there."""
    error = value.get("error", value) if isinstance(value, dict) else value
    if not isinstance(error, dict):
        return None, str(error)[:300]
    code: Any = error.get("code") or error.get("type")
    return code if isinstance(code, str | int) else None, str(error.get("message", ""))[:300]


def _whole(text: str) -> str:
    """Text that UTF-8 can hold: half of a character, which JSON can spell, becomes the sign for what cannot be shown."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _content(content: Any, bill: Bill | None) -> tuple[str, str | None]:
    """Text and thought of a message's content: a text, nothing, or parts."""
    if content is None:
        return "", None
    if isinstance(content, str):
        return content, None
    if not isinstance(content, list):
        raise NoReplyError("the reply's content is no text", bill)
    parts: dict[str, list[str]] = {"text": [], "thinking": []}
    for part in content:
        for kind, texts in parts.items():
            if isinstance(part, dict) and part.get("type") == kind and isinstance(part.get(kind), str):
                texts.append(part[kind])
    return "".join(parts["text"]), "".join(parts["thinking"]) or None


def _finish(reason: Any) -> str:
    if not isinstance(reason, str):
        return "stop"
    name = _whole(reason.lower())
    return "length" if name in _LENGTH else "refusal" if name in _WITHHELD else name


def _count(value: Any, name: str) -> int | None:
    """A count of tokens, or None where there is none that could be one."""
    found = value.get(name) if isinstance(value, dict) else None
    return found if isinstance(found, int) and not isinstance(found, bool) and 0 <= found < 1 << 40 else None


def _usage(usage: Any) -> tuple[Bill | None, int | None]:
    """The bill, and the tokens of a thought among those written."""
    prompt, written = _count(usage, "prompt_tokens"), _count(usage, "completion_tokens")
    if prompt is None or written is None:
        return None, None
    thought = _count(usage.get("completion_tokens_details"), "reasoning_tokens")
    total = _count(usage, "total_tokens")
    if total is not None and total > prompt + written:  # thoughts that stand in the total only
        thought = thought or total - prompt - written
        written = total - prompt
    cached = _count(usage.get("prompt_tokens_details"), "cached_tokens")
    if cached is None:
        cached = _count(usage, "prompt_cache_hit_tokens")  # DeepSeek
    thought = None if thought is None else min(thought, written)
    return Bill(prompt=prompt, cached=min(cached or 0, prompt), written=written), thought
