"""An engine behind any OpenAI-compatible chat endpoint (vLLM, Ollama, `sagecraft serve`, providers).

A request is tried again, with back-off, when the fault may pass: 408, 409, 425, 429, 5xx, time-outs, cut connections,
replies that are not what the protocol says. Anything else is the user's to mend. The key comes from the environment, goes
only to the preset's own address (redirects are not followed), and is struck out of every message.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import httpx
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sagecraft import console
from sagecraft.errors import MachineError, UserError
from sagecraft.inference.backoff import backoff_seconds, retry_after
from sagecraft.settings import read_yaml_mapping

_PRESETS = Path(__file__).parent / "providers.yaml"
_PASSING = frozenset({408, 409, 425, 429})
#: Largest reply that is read, in bytes: 8 MB is some two million tokens.
_MAX_REPLY_BYTES = 8 << 20
_MAX_WAIT_SECONDS = 120.0


class Provider(BaseModel):
    """Where and how a provider is asked (`providers.yaml` says what each field means)."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    base_url: str | None
    key_env: str
    needs_key: bool = True
    max_tokens_name: str = "max_tokens"
    plain_sampling: tuple[str, ...] = ()


class Reply(BaseModel):
    """What came back.

    Attributes:
        text: the message's content.
        thought: what the endpoint reported apart as reasoning; None if nothing.
        finish: `stop`, `length`, `content_filter`, …
        prompt_tokens: tokens read, as counted by the endpoint; None if it does not say.
        completion_tokens: tokens written, thoughts included.
        thought_tokens: of these, tokens of a thought.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    text: str
    thought: str | None = None
    finish: str = "stop"
    prompt_tokens: int | None = Field(default=None, ge=0)
    completion_tokens: int | None = Field(default=None, ge=0)
    thought_tokens: int | None = Field(default=None, ge=0)


class _PassingError(Exception):
    """A fault that may pass; `wait` is what the endpoint asked for, in seconds."""

    def __init__(self, message: str, wait: float | None = None) -> None:
        super().__init__(message)
        self.wait = wait


@cache
def providers() -> dict[str, Provider]:
    """The presets."""
    rows = read_yaml_mapping(_PRESETS, "expected a mapping of providers")
    try:
        return {name: Provider.model_validate(row) for name, row in rows.items()}
    except ValidationError as error:
        raise UserError(f"{_PRESETS}: {error.errors()[0]['msg']}") from error


class EndpointEngine:
    """One model of one provider. Holds connections: close it, or use it in a `with`."""

    def __init__(
        self,
        model: str,
        base_url: str | None = None,
        *,
        timeout_seconds: float = 300.0,
        max_attempts: int = 6,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Prepares the connection; nothing is sent yet.

        Args:
            model: `provider:model`.
            base_url: address of a server of your own, for the provider `local` only.
            timeout_seconds: longest silence of the endpoint; thinking models are silent for minutes.
            max_attempts: how often one request is tried.
            sleep: waits between attempts (tests pass their own).
        """
        provider, _, self.model = model.partition(":")
        known = providers()
        if provider not in known or not self.model:
            raise UserError(f"{model}: expected provider:model with a provider of {', '.join(sorted(known))}")
        self.name = model
        self._preset = known[provider]
        self.base_url = self._address(provider, base_url)
        key = os.environ.get(self._preset.key_env, "").strip()
        if self._preset.needs_key and not key:
            raise UserError(
                f"{model}: the environment variable {self._preset.key_env} is not set; export the key first"
            )
        if not key.isascii() or not key.isprintable():  # the transport would refuse it, and print it
            raise UserError(f"{model}: {self._preset.key_env} holds characters that no key has; export it again")
        self._key = key
        self._max_attempts, self._sleep = max_attempts, sleep
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._client = httpx.Client(headers=headers, timeout=timeout_seconds, follow_redirects=False)

    def _address(self, provider: str, base_url: str | None) -> str:
        if self._preset.base_url is not None:
            if base_url is not None:  # the provider's key would be sent to a stranger's server
                raise UserError(f"base_url: {provider} has its own address; use local:{self.model} for another server")
            return self._preset.base_url
        if base_url is None:
            raise UserError(f"{self.name}: no address; give base_url, such as http://127.0.0.1:8000/v1")
        parts = urlsplit(base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None:
            raise UserError(f"base_url: {base_url}: expected http(s)://host[:port]/v1 without a user name")
        return base_url.rstrip("/")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connections."""
        self._client.close()

    def body(self, messages: Sequence[Mapping[str, str]], max_tokens: int) -> dict[str, Any]:
        """The request, greedy where the model lets one choose: what a reply depends on, and all of it."""
        body: dict[str, Any] = {"model": self.model, "messages": [dict(message) for message in messages]}
        body[self._preset.max_tokens_name] = max_tokens
        if not self.model.startswith(self._preset.plain_sampling):
            body["temperature"] = 0.0
        return body

    def chat(self, messages: Sequence[Mapping[str, str]], max_tokens: int) -> Reply:
        """Asks for one reply.

        Raises:
            UserError: the endpoint refuses the request (a wrong key, an unknown model, …).
            MachineError: it failed at every attempt.
        """
        body = self.body(messages, max_tokens)
        for attempt in range(1, self._max_attempts + 1):
            try:
                return self._once(body)
            except _PassingError as fault:
                if attempt == self._max_attempts:
                    raise MachineError(
                        f"{self.name}: {fault} (attempt {attempt} of {attempt}); run the same command again later, "
                        "finished items are kept"
                    ) from fault
                wait = self._wait(attempt, fault.wait, body)
                console.say(f"  {self.name}: {fault}; trying again in {wait:.0f} s")
                self._sleep(wait)
        raise AssertionError("the loop returns or raises")

    def _wait(self, attempt: int, asked: float | None, body: Mapping[str, Any]) -> float:
        """Seconds to wait: what was asked for, or doubling from one second, spread so that runs do not march in step."""
        if asked is not None:
            return min(max(asked, 0.0), _MAX_WAIT_SECONDS)
        return min(backoff_seconds(attempt, json.dumps(body, sort_keys=True)), _MAX_WAIT_SECONDS)

    def _once(self, body: Mapping[str, Any]) -> Reply:
        try:
            with self._client.stream("POST", f"{self.base_url}/chat/completions", json=body) as response:
                content = b""
                for block in response.iter_bytes():
                    content += block
                    if len(content) > _MAX_REPLY_BYTES:
                        raise _PassingError("the reply is larger than 8 MB")
        except httpx.InvalidURL as error:
            raise UserError(f"base_url: {self.base_url}: {error}") from error
        except httpx.RequestError as error:
            raise _PassingError(self._safe(f"{type(error).__name__} {error}".strip())) from error
        if response.status_code in _PASSING or response.status_code >= 500:
            wait = retry_after(response.headers.get("Retry-After"), time.time())
            raise _PassingError(f"HTTP {response.status_code}", wait)
        if response.status_code != 200:
            said = self._safe(content[:300].decode("utf-8", "replace"))
            raise UserError(
                f"{self.name}: HTTP {response.status_code}: {said}; check the model's name, key and address"
            )
        return _parse(content)

    def _safe(self, text: str) -> str:
        """One printable line without the key."""
        if self._key:
            text = text.replace(self._key, "***")
        return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _parse(content: bytes) -> Reply:
    """Reads a chat completion."""
    try:
        value = json.loads(content)
        choice = value["choices"][0]
        message = choice["message"]
        text, thought = message.get("content"), message.get("reasoning_content") or message.get("reasoning")
        usage = value.get("usage") or {}
        details = usage.get("completion_tokens_details") or {}
        return Reply(
            text=text or message.get("refusal") or "",
            thought=thought if isinstance(thought, str) else None,
            finish=choice.get("finish_reason") or "stop",
            prompt_tokens=usage.get("prompt_tokens"),
            completion_tokens=usage.get("completion_tokens"),
            thought_tokens=details.get("reasoning_tokens"),
        )
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise _PassingError(f"the reply is no chat completion ({type(error).__name__})") from error
