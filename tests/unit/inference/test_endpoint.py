"""One model behind an endpoint: addresses, keys, requests, and what comes back."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from endpoints import DIALECTS, FAULTS, Act, ChatServer, chat_server, openai
from sagecraft.errors import UserError
from sagecraft.inference.endpoint import Endpoint, FaultError
from sagecraft.inference.prices import Bill
from sagecraft.inference.replies import Reply

MESSAGES = [{"role": "user", "content": "hot?"}]


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with chat_server() as one:
        yield one


def send(server: ChatServer, model: str = "local:m", seconds: float = 5.0, thinking: Any = None) -> Reply:
    endpoint = Endpoint(model, server.url)

    async def once() -> Reply:
        async with endpoint.connected(1):
            return await endpoint.send(endpoint.body(MESSAGES, thinking, 60, 39), seconds)

    return asyncio.run(once())


def test_a_good_reply(server: ChatServer) -> None:
    reply = send(server)
    assert reply.text == '{"answer": "B", "explanation": "it burns"}'
    assert reply.bill == Bill(prompt=70, cached=30, written=20)
    expected = {"model": "m", "messages": MESSAGES, "max_tokens": 99, "temperature": 0.0}
    assert server.requests == [{"path": "/v1/chat/completions", **expected}]
    assert server.keys == [None]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_dialects(server: ChatServer, dialect: str) -> None:
    server.script = [Act(DIALECTS[dialect](thought="hm"))]
    reply = send(server)
    assert '"answer": "B"' in reply.text
    shown = {"deepseek", "vllm", "ollama"}
    counted = {"openai": 12, "deepseek": 12, "gemini": 12}
    assert reply.thought == ("hm" if dialect in shown else None)
    assert reply.thought_tokens == counted.get(dialect)
    assert reply.bill is not None
    assert (reply.bill.prompt, reply.bill.written) == (70, 20)
    assert reply.bill.cached == (30 if dialect in ("openai", "deepseek") else 0)


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_that_may_pass(server: ChatServer, fault: str) -> None:
    server.script = [FAULTS[fault]]
    with pytest.raises(FaultError) as caught:
        send(server, seconds=0.2 if fault == "silence" else 20)
    assert caught.value.passing
    free = fault.startswith(("429", "500", "503")) or fault == "error in a 200"
    assert caught.value.bill == (Bill() if free else None)
    assert caught.value.wait == (0.05 if fault == "429 retry-after" else None)


def test_a_reply_without_choices_that_says_what_it_cost(server: ChatServer) -> None:
    server.script = [Act({"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 6}})]
    with pytest.raises(FaultError) as caught:
        send(server)
    assert caught.value.bill == Bill(prompt=5, written=6)


def test_a_server_that_is_not_there_costs_nothing() -> None:
    endpoint = Endpoint("local:m", "http://127.0.0.1:9/v1")

    async def once() -> Reply:
        async with endpoint.connected(1):
            return await endpoint.send(endpoint.body(MESSAGES, None, 1, 1), 5)

    with pytest.raises(FaultError, match="ConnectError") as caught:
        asyncio.run(once())
    assert caught.value.bill == Bill()


@pytest.mark.parametrize("status", [401, 403, 404, 302])
def test_what_every_request_would_meet_is_the_users_and_never_shows_the_key(
    server: ChatServer, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    monkeypatch.setenv("SAGECRAFT_LOCAL_API_KEY", "sk-secret")
    server.script = [Act(b"bad key sk-secret\n\x1b[31mred", status, {"Location": server.url + "/elsewhere"})]
    with pytest.raises(UserError) as caught:
        send(server)
    assert server.keys == ["Bearer sk-secret"]
    assert f"HTTP {status}: bad key ***" in str(caught.value)
    assert not any(mark in str(caught.value) for mark in ("sk-secret", "\n", "\x1b"))
    assert len(server.requests) == 1


def test_a_refusal_of_one_request_is_its_own_fault(server: ChatServer) -> None:
    server.script = [Act(b'{"error": {"message": "too long"}}', 400)]
    with pytest.raises(FaultError, match=r"HTTP 400: .*too long") as caught:
        send(server)
    assert not caught.value.passing


@pytest.mark.parametrize("code", ["insufficient_quota", "insufficient_balance"])
def test_an_empty_account_is_not_waited_for(server: ChatServer, code: str) -> None:
    server.script = [Act({"error": {"code": code, "message": "pay"}}, 429)]
    with pytest.raises(UserError, match="account is used up"):
        send(server)


@pytest.mark.parametrize(
    "act",
    [
        Act(openai("", finish="content_filter")),
        Act(openai(None, finish="SAFETY")),
        Act({"choices": [{"message": {"content": None, "refusal": "I will not"}, "finish_reason": "stop"}]}),
        Act({"error": {"code": "content_filter", "message": "no"}}, 400),
        Act({"error": {"code": "content_policy_violation", "message": "no"}}, 400),
    ],
)
def test_refusals_of_the_question_are_replies(server: ChatServer, act: Act) -> None:
    server.script = [act]
    assert send(server).finish == "refusal"


def test_parts_hidden_thoughts_and_missing_counts(server: ChatServer) -> None:
    parts = [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "B"}, {"type": "image"}, 5]
    server.script = [
        Act({"choices": [{"message": {"content": parts}}]}),
        Act(DIALECTS["gemini"](None, finish="length")),
        Act({"choices": [{"message": {"content": "x"}}], "usage": {"prompt_tokens": -5, "completion_tokens": True}}),
    ]
    reply = send(server)
    assert (reply.text, reply.thought, reply.bill) == ("B", "hm", None)
    reply = send(server)
    assert (reply.text, reply.finish) == ("", "length")
    assert send(server).bill is None


def test_a_key_in_a_reply_is_struck_out(server: ChatServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAGECRAFT_LOCAL_API_KEY", "sk-secret")
    server.script = [Act(openai("your key is sk-secret"))]
    assert send(server).text == "your key is ***"


def test_no_object_shows_the_key(server: ChatServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAGECRAFT_LOCAL_API_KEY", "sk-secret")
    endpoint = Endpoint("local:m", server.url).connected(1)
    assert endpoint._client is not None
    shown = [repr(vars(one)) for one in (endpoint, endpoint._client, endpoint._client.auth)]
    assert "sk-secret" not in "".join(shown)
    assert "uthorization" not in str(endpoint._client.headers)


@pytest.mark.parametrize(
    ("model", "base_url", "message"),
    [
        ("nobody:m", None, "expected provider:model"),
        ("local:", "http://x/v1", "expected provider:model"),
        ("local:m", None, "no address"),
        ("local:m", "file:///etc/passwd", "expected http"),
        ("local:m", "http://user:word@host/v1", "without a user name"),
        ("openai:m", "http://127.0.0.1:1/v1", "has its own address"),
        ("openai:m", None, "OPENAI_API_KEY is not set"),
    ],
)
def test_bad_names(monkeypatch: pytest.MonkeyPatch, model: str, base_url: str | None, message: str) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(UserError) as caught:
        Endpoint(model, base_url)
    assert message in str(caught.value)


@pytest.mark.parametrize("key", ["sk-secret\r\n", " sk-secret "])
def test_the_space_around_a_key_is_not_the_key(key: str, server: ChatServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAGECRAFT_LOCAL_API_KEY", key)
    send(server)
    assert server.keys == ["Bearer sk-secret"]


@pytest.mark.parametrize("key", ["sk-sec\nret", "sk-sécret"])
def test_a_key_that_cannot_be_sent_is_refused_without_being_shown(
    key: str, server: ChatServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAGECRAFT_LOCAL_API_KEY", key)
    with pytest.raises(UserError, match="SAGECRAFT_LOCAL_API_KEY") as caught:
        Endpoint("local:m", server.url)
    assert "cret" not in str(caught.value)


def test_the_worst_case_holds_for_any_tokenizer(server: ChatServer) -> None:
    endpoint = Endpoint("local:m", server.url)
    body = endpoint.body([{"role": "user", "content": "é" * 100}], None, 60, 39)
    worst = endpoint.worst_case(body)
    assert worst.prompt >= 200  # a token a byte
    assert (worst.written, worst.known) == (99, False)


def test_a_reply_that_drips_is_given_up() -> None:
    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 X\r\nContent-Length: 1000\r\n\r\n")
        try:
            while True:
                writer.write(b" ")
                await asyncio.sleep(0.02)
                await writer.drain()
        except (ConnectionError, asyncio.CancelledError):
            writer.close()

    async def once() -> Reply:
        server = await asyncio.start_server(drip, "127.0.0.1", 0)
        endpoint = Endpoint("local:m", f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1")
        try:
            async with endpoint.connected(1):
                return await endpoint.send(endpoint.body(MESSAGES, None, 1, 1), 0.2)
        finally:
            server.close()

    with pytest.raises(FaultError, match=r"no reply within 0\.2 s"):
        asyncio.run(once())
