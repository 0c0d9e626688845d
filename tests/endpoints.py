"""A chat endpoint on this machine that speaks the dialects of several makers and misbehaves on demand.

In a thread for unit tests (`ChatServer`), or as a process of its own that outlives the clients which are killed:

python endpoints.py FAULT_SHARE SECONDS    prints its address; GET /log returns what was asked and paid, as JSON
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from sagecraft.artifact import keyed_hash

ANSWER = '{"answer": "B", "explanation": "it burns"}'


@dataclass
class Act:
    """What the server does with one request.

    Attributes:
        content: the body of the response, as JSON or bytes.
        status: its status.
        headers: beside the length.
        delay: seconds before it is sent.
        sent: bytes that are sent before the connection is cut; None sends all.
        silent: nothing is ever sent.
        good: it is a reply that one would pay for twice if one asked again.
    """

    content: Any = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    delay: float = 0.0
    sent: int | None = None
    silent: bool = False
    good: bool = True


def openai(text: str | None = ANSWER, thought: str | None = None, finish: str = "stop", **usage: Any) -> dict[str, Any]:
    """As OpenAI has it: thoughts are hidden, and counted."""
    counts = {"prompt_tokens": 70, "completion_tokens": 20, "total_tokens": 90, **usage}
    counts.setdefault("completion_tokens_details", {"reasoning_tokens": 12 if thought else 0})
    counts.setdefault("prompt_tokens_details", {"cached_tokens": 30})
    message = {"role": "assistant", "content": text, "refusal": None}
    return {"id": "x", "choices": [{"index": 0, "message": message, "finish_reason": finish}], "usage": counts}


def deepseek(text: str = ANSWER, thought: str | None = "hm", finish: str = "stop") -> dict[str, Any]:
    """As DeepSeek has it."""
    reply = openai(text, thought, finish, prompt_cache_hit_tokens=30, prompt_tokens_details=None)
    reply["choices"][0]["message"] = {"role": "assistant", "content": text, "reasoning_content": thought}
    return reply


def vllm(text: str = ANSWER, thought: str | None = "hm", finish: str = "stop") -> dict[str, Any]:
    """As vLLM has it with a parser for reasoning: no count of its own for thoughts."""
    reply = openai(text, thought, finish, completion_tokens_details=None, prompt_tokens_details=None)
    reply["choices"][0]["message"] = {"role": "assistant", "content": text, "reasoning": thought, "tool_calls": []}
    return reply


def ollama(text: str = ANSWER, thought: str | None = "hm", finish: str = "stop") -> dict[str, Any]:
    """As Ollama has it."""
    reply = vllm(text, thought, finish)
    reply["usage"] = {"prompt_tokens": 70, "completion_tokens": 20, "total_tokens": 90}
    return reply


def gemini(text: str | None = ANSWER, thought: str | None = "hm", finish: str = "stop") -> dict[str, Any]:
    """As Gemini's compatible endpoint has it: thoughts are counted in the total only; without an answer, no content."""
    message = {"role": "assistant"} | ({} if text is None else {"content": text})
    usage = {"prompt_tokens": 70, "completion_tokens": 8, "total_tokens": 90 if thought else 78}
    return {"choices": [{"index": 0, "message": message, "finish_reason": finish}], "usage": usage}


def anthropic(text: str = ANSWER, thought: str | None = None, finish: str = "stop") -> dict[str, Any]:
    """As Anthropic's compatible endpoint has it: thoughts are neither shown nor counted apart."""
    message = {"role": "assistant", "content": text}
    usage = {"prompt_tokens": 70, "completion_tokens": 20, "total_tokens": 90}
    return {"choices": [{"index": 0, "message": message, "finish_reason": finish}], "usage": usage}


DIALECTS: dict[str, Callable[..., dict[str, Any]]] = {
    "openai": openai,
    "deepseek": deepseek,
    "vllm": vllm,
    "ollama": ollama,
    "gemini": gemini,
    "anthropic": anthropic,
}

_WHOLE = json.dumps(openai()).encode()
#: Ways to fail that may pass, by name.
FAULTS: dict[str, Act] = {
    "429": Act(b"slow down", 429),
    "429 retry-after": Act(b"slow down", 429, {"Retry-After": "0.05"}),
    "500": Act(b"oops", 500),
    "503 page": Act(b"<html>", 503),
    "silence": Act(silent=True),
    "cut": Act(_WHOLE, sent=len(_WHOLE) // 2),
    "cut at once": Act(_WHOLE, sent=0),
    "no choices": Act({"choices": []}),
    "no message": Act({"choices": [{"message": None}]}),
    "wrong type": Act({"choices": [{"message": {"content": 5}}]}),
    "a list": Act([]),
    "not JSON": Act(b"{'choices'"),
    "nested": Act(b"[" * 100_000),
    "error in a 200": Act({"error": {"code": 502, "message": "upstream"}}),
    "huge": Act(b" " * (9 << 20)),
}
FAULTS = {name: replace(act, good=False) for name, act in FAULTS.items()}


class ChatServer:
    """Answers requests with `script`, one act each, then with what `otherwise` says.

    Attributes:
        script: acts that are used up first.
        otherwise: body and how often it came before → act.
        requests: bodies, with path and key, if `keeps` them.
        counts: digest of a body → how often it came.
        paid: digest of a body → how often a good reply to it was made, whether anybody was there to read it or not.
        most_at_once: requests that were under way at the same time.
    """

    def __init__(self, otherwise: Callable[[dict[str, Any], int], Act] | None = None, keeps: bool = True) -> None:
        self.script: list[Act] = []
        self.otherwise = otherwise or (lambda body, before: Act(openai()))
        self.requests: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.counts: Counter[str] = Counter()
        self.paid: Counter[str] = Counter()
        self.times: list[float] = []
        self.at_once = self.most_at_once = 0
        self._keeps = keeps
        self._loop = asyncio.new_event_loop()
        self._server: asyncio.Server | None = None
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        self._ready.wait(10)

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/v1"

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._server = self._loop.run_until_complete(asyncio.start_server(self._connection, "127.0.0.1", 0))
        self._ready.set()
        self._loop.run_forever()
        self._server.close()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while await self._one(reader, writer):
                pass
        writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request; whether another may follow."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        first, *lines = head.split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        raw = await reader.readexactly(int(headers.get("content-length", 0)))
        if first.startswith("GET"):
            return await self._send(writer, Act(self.log()))
        digest = hashlib.sha256(raw).hexdigest()
        before = self.counts[digest]
        self.counts[digest] += 1
        self.times.append(self._loop.time())
        if self._keeps:
            self.requests.append({"path": first.split()[1], **json.loads(raw)})
            self.keys.append(headers.get("authorization"))
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            act = self.script.pop(0) if self.script else self.otherwise(json.loads(raw), before)
            await asyncio.sleep(act.delay)
            if act.status == 200 and act.good:
                self.paid[digest] += 1
            if act.silent:
                await reader.read(1)  # until the client gives up
                return False
            return await self._send(writer, act)
        finally:
            self.at_once -= 1

    async def _send(self, writer: asyncio.StreamWriter, act: Act) -> bool:
        content = act.content if isinstance(act.content, bytes) else json.dumps(act.content).encode()
        head = [f"HTTP/1.1 {act.status} X", f"Content-Length: {len(content)}"]
        head += [f"{name}: {value}" for name, value in act.headers.items()]
        data = "\r\n".join([*head, "", ""]).encode() + content[: act.sent]
        if act.sent == 0:
            return False
        writer.write(data)
        await writer.drain()
        return act.sent is None

    def log(self) -> dict[str, Any]:
        """What was asked and paid."""
        return {"counts": self.counts, "paid": self.paid, "times": self.times, "most_at_once": self.most_at_once}


@contextlib.contextmanager
def chat_server(otherwise: Callable[[dict[str, Any], int], Act] | None = None) -> Iterator[ChatServer]:
    server = ChatServer(otherwise)
    try:
        yield server
    finally:
        server.close()


def faulty(share: float, seconds: float) -> Callable[[dict[str, Any], int], Act]:
    """Good replies after `seconds`, and this share of faults, drawn by body and number of the try."""
    kinds = [kind for kind in FAULTS if kind not in ("huge", "nested", "silence")]

    def act(body: dict[str, Any], before: int) -> Act:
        digest = hashlib.sha256(json.dumps(body).encode()).hexdigest()
        if keyed_hash("silence", digest) / 2**64 < share / 50 and not before:  # each costs a whole time-out
            return FAULTS["silence"]
        if keyed_hash("fault", digest, before) / 2**64 < share:
            return FAULTS[kinds[keyed_hash("kind", digest, before) % len(kinds)]]
        picks = "ABCD"[keyed_hash("pick", digest) % 4]
        delay = seconds * (0.5 + keyed_hash("delay", digest, before) / 2**64)
        return Act(openai(f'{{"answer": "{picks}", "explanation": "so it is"}}'), delay=delay)

    return act


def main() -> None:
    server = ChatServer(faulty(float(sys.argv[1]), float(sys.argv[2])), keeps=False)
    sys.stdout.write(server.url + "\n")
    sys.stdout.flush()
    sys.stdin.read()


if __name__ == "__main__":
    main()
