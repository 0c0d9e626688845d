"""One model behind an OpenAI-compatible chat endpoint (vLLM, Ollama, `sagecraft serve`, providers): requests and replies.

What is sent once and comes back once; patience, pace and money are in `asker.py`. The key comes from the environment, goes
only to the preset's own address (redirects are not followed), and is struck out of whatever comes back.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import httpx
from pydantic import SecretStr

from sagecraft import __version__
from sagecraft.chat.thinking import Switch
from sagecraft.errors import UserError
from sagecraft.inference.backoff import asked_wait
from sagecraft.inference.prices import Bill
from sagecraft.inference.providers import Preset, preset, with_budget
from sagecraft.inference.replies import NoReplyError, Reply, parse, refusal_of

#: Statuses of faults that may pass, beside those from 500 on.
_PASSING = frozenset({408, 409, 425, 429})
#: Statuses and codes that every request would get: key, model, address, account.
_HOPELESS = frozenset({401, 402, 403, 404, 405, 407})
_NO_MONEY = frozenset({"insufficient_quota", "insufficient_balance", "billing_hard_limit_reached"})
#: Largest reply that is read, in bytes: 8 MB is some two million tokens.
_MAX_REPLY_BYTES = 8 << 20
_CONNECT_SECONDS = 30.0
#: A shorter key is none that would have to be hidden ("EMPTY", "x"), and striking it out would garble replies.
_MIN_SECRET_CHARS = 6
#: Tokens that a message, and a request, take beside the text: roles and marks of the template, a date it may insert.
_MESSAGE_TOKENS, _REQUEST_TOKENS = 16, 64


class FaultError(Exception):
    """A request that brought no reply.

    Attributes:
        bill: what it cost; None if that is not known, and may be up to its worst case.
        passing: another try may do.
        wait: seconds the endpoint asked to wait.
    """

    def __init__(self, message: str, *, bill: Bill | None, passing: bool, wait: float | None = None) -> None:
        super().__init__(message)
        self.bill, self.passing, self.wait = bill, passing, wait


class _Bearer(httpx.Auth):
    """Adds the key when a request leaves, so that it stands in no client, request log or traceback before."""

    def __init__(self, key: SecretStr) -> None:
        self._key = key

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Adds the header."""
        if self._key.get_secret_value():
            request.headers["Authorization"] = f"Bearer {self._key.get_secret_value()}"
        yield request


class Endpoint:
    """One model of one provider. Send within `async with`, which holds the connections."""

    def __init__(self, model: str, base_url: str | None = None, providers: Path | None = None) -> None:
        """Looks everything up; nothing is sent yet.

        Args:
            model: `provider:model`.
            base_url: address of a server of your own, for providers that are your own hardware.
            providers: a file of presets and prices that overrides ours.

        Raises:
            UserError: an unknown provider, no address, or no key.
        """
        self.preset: Preset = preset(model, providers)
        self.name = model
        self.base_url = self._address(base_url)
        self._key = self._read_key()
        self._client: httpx.AsyncClient | None = None

    @property
    def identity(self) -> str:
        """What records of replies are keyed by."""
        return f"{self.base_url} {self.preset.model_name}"

    def _address(self, base_url: str | None) -> str:
        own = self.preset.provider
        if base_url is None:
            if own.base_url is None:
                raise UserError(f"{self.name}: no address; give base_url, such as http://127.0.0.1:8000/v1")
            base_url = own.base_url
        elif not own.own_hardware:  # the provider's key would be sent to a stranger's server
            raise UserError(
                f"base_url: {self.name} has its own address; use local:{self.preset.model_name} for another server"
            )
        parts = urlsplit(base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None:
            raise UserError(f"base_url: {base_url}: expected http(s)://host[:port]/v1 without a user name")
        return base_url.rstrip("/")

    def _read_key(self) -> SecretStr:
        variable = self.preset.provider.key_env
        key = os.environ.get(variable, "").strip()
        if self.preset.provider.needs_key and not key:
            raise UserError(f"{self.name}: the environment variable {variable} is not set; export the key first")
        if not key.isascii() or not key.isprintable():  # the transport would refuse it, and print it
            raise UserError(f"{self.name}: {variable} holds characters that no key has; export it again")
        return SecretStr(key)

    @property
    def _secret(self) -> str:
        """The key, if it has to be hidden."""
        key = self._key.get_secret_value()
        return key if len(key) >= _MIN_SECRET_CHARS else ""

    def connected(self, concurrency: int) -> Self:
        """With connections for so many requests at once, for `async with`."""
        limits = httpx.Limits(max_connections=concurrency, max_keepalive_connections=concurrency)
        self._client = httpx.AsyncClient(
            auth=_Bearer(self._key),
            headers={
                "User-Agent": f"sagecraft/{__version__}",
                "Accept-Encoding": "identity",
                "Content-Type": "application/json",
            },
            timeout=httpx.Timeout(None, connect=_CONNECT_SECONDS),  # the whole of a request has one limit of its own
            limits=limits,
            follow_redirects=False,
        )
        return self

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    def body(
        self, messages: Sequence[Mapping[str, str]], thinking: Switch | None, thought_tokens: int, answer_tokens: int
    ) -> dict[str, Any]:
        """The request, greedy where the model lets one choose: what a reply depends on, and all of it.

        An endpoint knows one limit only, and reasoning models think whether asked to or not: it is the sum of both.
        """
        asked = self.preset.asked(thinking)
        first = [] if asked.system is None else [{"role": "system", "content": asked.system}]
        body: dict[str, Any] = {
            "model": self.preset.model_name,
            "messages": [*first, *(dict(message) for message in messages)],
            self.preset.provider.max_tokens_name: thought_tokens + answer_tokens,
        }
        if self.preset.model.temperature and asked.temperature:
            body["temperature"] = 0.0
        return body | with_budget(asked.body, thought_tokens)

    def worst_case(self, body: Mapping[str, Any]) -> Bill:
        """The most that a request can be billed for: no tokenizer makes more tokens of a text than it has bytes."""
        prompt = _REQUEST_TOKENS
        for message in body["messages"]:
            prompt += _MESSAGE_TOKENS + len(message["content"].encode("utf-8", "surrogatepass"))
        written = body[self.preset.provider.max_tokens_name] + self.preset.model.extra_thought_tokens
        return Bill(prompt=prompt, written=written, known=False)

    async def send(self, body: Mapping[str, Any], timeout_seconds: float) -> Reply:
        """Sends once.

        Raises:
            FaultError: no reply, and what is known of it.
            UserError: every request would fail like this one (a wrong key, an unknown model, an empty account).
        """
        assert self._client is not None, "send within `async with endpoint.connected(…)`"
        url = f"{self.base_url}/chat/completions"
        try:
            async with (
                asyncio.timeout(timeout_seconds),
                self._client.stream("POST", url, content=json.dumps(body)) as response,  # ASCII: holds any text
            ):
                content = await self._read(response)
        except TimeoutError as error:
            raise FaultError(f"no reply within {timeout_seconds:g} s", bill=None, passing=True) from error
        except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            raise UserError(f"base_url: {self.base_url}: {error}") from error
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:  # nothing was sent
            raise FaultError(self._safe(f"{type(error).__name__} {error}"), bill=Bill(), passing=True) from error
        except httpx.RequestError as error:
            raise FaultError(self._safe(f"{type(error).__name__} {error}"), bill=None, passing=True) from error
        return self._judge(response, content)

    async def _read(self, response: httpx.Response) -> bytes:
        content = bytearray()
        async for block in response.aiter_bytes():
            content += block
            if len(content) > _MAX_REPLY_BYTES:
                raise FaultError("the reply is larger than 8 MB", bill=None, passing=True)
        return bytes(content.replace(self._secret.encode(), b"***")) if self._secret else bytes(content)

    def _judge(self, response: httpx.Response, content: bytes) -> Reply:
        """A reply, or what the response means."""
        status = response.status_code
        wait = asked_wait(response.headers, time.time())
        if status != 200:
            refused = refusal_of(content) if 400 <= status < 500 else None
            if refused is not None:
                return refused
            raise self._fault(status, content, Bill(), wait)
        try:
            return parse(content)
        except NoReplyError as error:
            if isinstance(error.code, int) and error.code >= 400:
                raise self._fault(error.code, content, error.bill or Bill(), wait) from error
            raise FaultError(self._safe(str(error)), bill=error.bill, passing=True) from error

    def _fault(self, status: int, content: bytes, bill: Bill, wait: float | None) -> Exception:
        """The fault of a status other than 200."""
        said = self._safe(content[:300].decode("utf-8", "replace"))
        if any(code in content.decode("utf-8", "replace") for code in _NO_MONEY):
            return UserError(f"{self.name}: HTTP {status}: {said}; the account is used up, top it up or wait")
        if status in _PASSING or status >= 500:
            return FaultError(f"HTTP {status}", bill=bill, passing=True, wait=wait)
        if status in _HOPELESS or status < 400:
            return UserError(
                f"{self.name}: HTTP {status}: {said}; check the model's name, the key in {self.preset.provider.key_env} "
                f"and the address {self.base_url}"
            )
        return FaultError(f"HTTP {status}: {said}", bill=bill, passing=False)

    def _safe(self, text: str) -> str:
        """One printable line without the key."""
        if self._secret:
            text = text.replace(self._secret, "***")
        return " ".join("".join(c if c.isprintable() else " " for c in text).split())
