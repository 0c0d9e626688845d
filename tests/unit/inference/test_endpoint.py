"""The endpoint engine against a server in a thread that misbehaves on demand."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from sagecraft import artifact
from sagecraft.errors import MachineError, UserError
from sagecraft.evaluation.evaluate import EvaluateConfig, run
from sagecraft.inference.endpoint import EndpointEngine, providers

MESSAGES = [{"role": "user", "content": "hot?"}]
USAGE = {"prompt_tokens": 7, "completion_tokens": 5, "completion_tokens_details": {"reasoning_tokens": 3}}
GOOD = {
    "choices": [{"message": {"content": '{"answer": "B"}', "reasoning_content": "hm"}, "finish_reason": "stop"}],
    "usage": USAGE,
}


class Server(ThreadingHTTPServer):
    """Gives out `script` one entry a request; then `GOOD`. An entry is a status with headers, raw bytes, or an act."""

    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.script: list[Any] = []
        self.requests: list[dict[str, Any]] = []
        self.keys: list[str | None] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.requests.append({"path": self.path, **json.loads(body)})
        self.server.keys.append(self.headers["Authorization"])
        entry = self.server.script.pop(0) if self.server.script else GOOD
        status, headers = 200, {}
        if isinstance(entry, tuple):
            status, headers, entry = entry
        if entry == "silence":
            time.sleep(1.0)
            return
        content = entry if isinstance(entry, bytes) else json.dumps(entry).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content) + (100 if headers.get("X-Cut") else 0)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as one:
        thread = threading.Thread(target=one.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        yield one
        one.shutdown()


@pytest.fixture
def waits() -> list[float]:
    return []


@pytest.fixture
def engine(server: Server, waits: list[float]) -> Iterator[EndpointEngine]:
    with EndpointEngine("local:m", server.url, timeout_seconds=0.3, sleep=waits.append) as one:
        yield one


def test_a_good_reply(engine: EndpointEngine, server: Server) -> None:
    reply = engine.chat(MESSAGES, 99)
    assert (reply.text, reply.thought, reply.finish) == ('{"answer": "B"}', "hm", "stop")
    assert (reply.prompt_tokens, reply.completion_tokens, reply.thought_tokens) == (7, 5, 3)
    expected = {"model": "m", "messages": MESSAGES, "max_tokens": 99, "temperature": 0.0}
    assert server.requests == [{"path": "/v1/chat/completions", **expected}]
    assert server.keys == [None]


@pytest.mark.parametrize(
    "fault",
    [
        (429, {}, b""),
        (500, {}, b"oops"),
        (503, {}, b"<html>"),
        "silence",
        b"not json",
        b"[" * 100_000,
        {"choices": []},
        {"choices": [{"message": None}]},
        {"choices": [{"message": {"content": 5}}]},
        {"choices": [{"message": {"content": "x"}}], "usage": {"prompt_tokens": -5}},
        (200, {"X-Cut": "yes"}, b'{"choices": '),
    ],
    ids=str,
)
def test_passing_faults_are_tried_again(engine: EndpointEngine, server: Server, waits: list[float], fault: Any) -> None:
    server.script = [fault, fault]
    assert engine.chat(MESSAGES, 9).text == '{"answer": "B"}'
    assert len(server.requests) == 3
    assert 0.5 <= waits[0] <= 1.5 < 3.0 >= waits[1] >= 1.0


def test_retry_after_is_obeyed_within_reason(engine: EndpointEngine, server: Server, waits: list[float]) -> None:
    server.script = [
        (429, {"Retry-After": "7"}, b""),
        (503, {"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}, b""),
        (429, {"Retry-After": "999999"}, b""),
        (429, {"Retry-After": "soon"}, b""),
    ]
    engine.chat(MESSAGES, 9)
    assert waits[:3] == [7.0, 0.0, 120.0]
    assert 4 <= waits[3] <= 12


def test_attempts_are_bounded(engine: EndpointEngine, server: Server, waits: list[float]) -> None:
    server.script = [(500, {}, b"")] * 99
    with pytest.raises(MachineError, match=r"local:m: HTTP 500 \(attempt 6 of 6\)"):
        engine.chat(MESSAGES, 9)
    assert (len(server.requests), len(waits)) == (6, 5)


def test_a_server_that_is_not_there(waits: list[float]) -> None:
    engine = EndpointEngine("local:m", "http://127.0.0.1:9/v1", max_attempts=2, sleep=waits.append)
    with engine, pytest.raises(MachineError, match="ConnectError"):
        engine.chat(MESSAGES, 9)


@pytest.mark.parametrize("status", [400, 401, 404, 302])
def test_refusals_are_the_users_and_never_show_the_key(
    server: Server, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    monkeypatch.setenv("SAGECRAFT_LOCAL_API_KEY", "sk-secret")
    server.script = [(status, {"Location": server.url + "/elsewhere"}, b"bad key sk-secret\n\x1b[31mred")]
    with EndpointEngine("local:m", server.url) as engine, pytest.raises(UserError) as caught:
        engine.chat(MESSAGES, 9)
    assert server.keys == ["Bearer sk-secret"]
    assert f"HTTP {status}: bad key ***" in str(caught.value)
    assert not any(mark in str(caught.value) for mark in ("sk-secret", "\n", "\x1b"))
    assert len(server.requests) == 1


def test_large_replies_are_not_read_whole(engine: EndpointEngine, server: Server) -> None:
    server.script = [b" " * (9 << 20)]
    assert engine.chat(MESSAGES, 9).text == '{"answer": "B"}'


@pytest.mark.parametrize(
    ("model", "base_url", "message"),
    [
        ("nobody:m", None, "expected provider:model"),
        ("local:", "http://x/v1", "expected provider:model"),
        ("local:m", None, "no address"),
        ("local:m", "file:///etc/passwd", "expected http"),
        ("local:m", "http://user:word@host/v1", "without a user name"),
        ("openai:m", "http://127.0.0.1:1/v1", "openai has its own address"),
        ("openai:m", None, "OPENAI_API_KEY is not set"),
    ],
)
def test_bad_names(monkeypatch: pytest.MonkeyPatch, model: str, base_url: str | None, message: str) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(UserError) as caught:
        EndpointEngine(model, base_url)
    assert message in str(caught.value)


def test_presets_and_reasoning_models(monkeypatch: pytest.MonkeyPatch) -> None:
    assert {"openai", "deepseek", "gemini", "anthropic", "local"} <= providers().keys()
    monkeypatch.setenv("OPENAI_API_KEY", "x")
    with EndpointEngine("openai:o3") as engine:
        assert engine.body(MESSAGES, 9) == {"model": "o3", "messages": MESSAGES, "max_completion_tokens": 9}
    with EndpointEngine("openai:gpt-4o") as engine:
        assert engine.body(MESSAGES, 9)["temperature"] == 0.0


def test_an_evaluation_over_an_endpoint_pays_nothing_twice(server: Server, tmp_path: Path) -> None:
    task = tmp_path / "t.jsonl"
    artifact.write_jsonl(task, [{"question": f"Hot {n}?", "A": "ice", "B": "fire", "answer": "B"} for n in range(6)])
    prices = tmp_path / "prices.yaml"
    prices.write_text('"local:m": {in: 1000000, out: 2000000}\n')
    config = EvaluateConfig(modes=("generate",), endpoint="local:m", base_url=server.url, thinking="on")
    server.script = [GOOD, GOOD, GOOD, (401, {}, b"quota")]
    with pytest.raises(UserError, match="HTTP 401"):
        run(config, {"task": task, "prices": prices}, tmp_path / "out")
    run(config, {"task": task, "prices": prices}, tmp_path / "out")
    assert len(server.requests) == 7  # three, the refused one, the other three
    results = json.loads((tmp_path / "out/results.json").read_text())
    assert (results["accuracy"], results["cost_usd"]) == (1.0, 6 * (7 + 2 * 5))
    assert results["tokens"] == {"in": 42, "thought": 18, "out": 12}
    assert server.requests[0]["messages"][0] == {"role": "system", "content": "detailed thinking on"}
    assert server.requests[0]["max_tokens"] == 1024 + 256


@pytest.mark.parametrize("key", ["sk-secret\r\n", " sk-secret "])
def test_the_space_around_a_key_is_not_the_key(key: str, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAGECRAFT_LOCAL_API_KEY", key)
    with EndpointEngine("local:m", server.url) as engine:
        engine.chat(MESSAGES, 9)
    assert server.keys == ["Bearer sk-secret"]


@pytest.mark.parametrize("key", ["sk-sec\nret", "sk-sécret"])
def test_a_key_that_cannot_be_sent_is_refused_without_being_shown(
    key: str, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAGECRAFT_LOCAL_API_KEY", key)
    with pytest.raises(UserError, match="SAGECRAFT_LOCAL_API_KEY") as caught:
        EndpointEngine("local:m", server.url)
    assert "cret" not in str(caught.value)
