"""The server: one model behind OpenAI's chat-completions form, and a page to talk to it.

The engine holds one model and one stream at a time, so requests form a queue in front of one worker thread. A client
that goes away takes its generation with it, whether it runs or waits.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import json
import re
import secrets
import time
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response, StreamingResponse

from sagecraft import console
from sagecraft.assistant.protocol import ChatRequest, RequestError, parse_request, usage
from sagecraft.assistant.reply import Reply, suggested_sampling
from sagecraft.chat.masks import encode_prompt
from sagecraft.chat.thinking import Kind
from sagecraft.errors import MachineError, SagecraftError, UserError

if TYPE_CHECKING:
    from types import FrameType

    from starlette.types import Receive, Scope, Send

    from sagecraft.inference.protocol import Engine

#: A request's body at most: some hundred thousand tokens of text, far past any context served here.
MAX_BODY_BYTES = 1 << 20
#: Requests that wait or run at once; the next is told to come back later.
MAX_PENDING = 16
#: How often a reply that is not streamed looks whether its client is still there.
_POLL_SECONDS = 0.25
_FIELDS: dict[Kind, str] = {"thought": "reasoning_content", "answer": "content"}


class Generation:
    """A reply made on the worker thread and read on the event loop."""

    def __init__(self, reply: Reply, num_prompt: int) -> None:
        self.reply = reply
        self.num_prompt = num_prompt
        self._loop = asyncio.get_running_loop()
        self._queue: asyncio.Queue[tuple[Kind, str] | BaseException | None] = asyncio.Queue()
        self._turn: Future[None] | None = None

    def enqueue(self, thread: ThreadPoolExecutor, when_done: Callable[[], None]) -> None:
        """Waits for the worker thread; `when_done` is called when the reply has ended or left the queue."""
        self._turn = thread.submit(self.work)
        self._turn.add_done_callback(lambda _: when_done())

    def work(self) -> None:
        """Runs on the worker thread until the reply ends or nobody wants it any more."""
        try:
            for part in self.reply:
                self._put(part)
        except BaseException as error:  # carried to the reader, which raises it
            self._put(error)
        finally:
            self._put(None)

    def _put(self, item: tuple[Kind, str] | BaseException | None) -> None:
        # The loop is closed when the server was stopped in mid-reply: then nobody reads.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._queue.put_nowait, item)

    async def parts(self) -> AsyncIterator[tuple[Kind, str]]:
        """The parts of the reply as they come."""
        while (item := await self._queue.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item

    def cancel(self) -> None:
        """Nobody wants the rest: the worker goes on to the next request, and one that only waits leaves the queue."""
        self.reply.abandon()
        if self._turn is not None and self._turn.cancel():
            self._put(None)

    def usage(self) -> dict[str, Any]:
        """Token counts so far."""
        return usage(self.num_prompt, self.reply.num_tokens, self.reply.num_thought_tokens)


class Worker:
    """The queue in front of the engine."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="sagecraft-engine")
        self._pending: set[Generation] = set()

    @property
    def num_pending(self) -> int:
        """Replies that run or wait."""
        return len(self._pending)

    async def start(self, request: ChatRequest) -> Generation:
        """Checks a request and puts its reply into the queue.

        Raises:
            RequestError: it cannot be served.
        """
        self._refuse_if_full()
        reply, num_prompt = await asyncio.to_thread(self._prepare, request)
        self._refuse_if_full()  # others may have come while this one was prepared
        generation = Generation(reply, num_prompt)
        self._pending.add(generation)
        generation.enqueue(self._thread, lambda: self._pending.discard(generation))
        return generation

    def _refuse_if_full(self) -> None:
        if self.num_pending >= MAX_PENDING:
            raise RequestError(f"{MAX_PENDING} requests are waiting; try again later", status=429, code="busy")

    def _prepare(self, request: ChatRequest) -> tuple[Reply, int]:
        engine = self.engine
        if request.model is not None and request.model != engine.name:
            message = f"model {request.model!r} is not served here; this is {engine.name!r}"
            raise RequestError(message, status=404, code="model_not_found", param="model")
        messages = request.chat_messages()
        switch = request.switch(messages)
        try:
            ids = encode_prompt(engine.tokenizer, engine.template, messages, switch)
        except UserError as error:
            raise RequestError(str(error), param="messages") from error
        limit = engine.max_positions
        if len(ids) >= limit:
            message = f"the messages make {len(ids):,} tokens, the model takes {limit:,}; shorten them"
            raise RequestError(message, code="context_length_exceeded", param="messages")
        sampling = suggested_sampling(
            switch,
            max_tokens=request.limit,
            temperature=request.temperature,
            top_p=request.top_p,
            seed=secrets.randbits(63) if request.seed is None else request.seed,
        )
        return Reply(engine, ids, sampling, request.stops), len(ids)

    def cancel_all(self) -> None:
        """Ends what runs and what waits, so that every client gets its end at once."""
        for generation in list(self._pending):
            generation.cancel()

    def close(self) -> None:
        """Ends everything and waits for the thread."""
        self.cancel_all()
        self._thread.shutdown(wait=True, cancel_futures=True)


class EventStream(StreamingResponse):
    """Server-sent events whose end, however it comes, ends the generation behind them."""

    def __init__(self, generation: Generation, events: AsyncIterator[str]) -> None:
        super().__init__(events, media_type="text/event-stream", headers={"Cache-Control": "no-store"})
        self._generation = generation

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends the events; a client that left before the first one is noticed too."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._generation.cancel()


def create_app(engine: Engine, allowed_hosts: Sequence[str] = ("*",)) -> FastAPI:
    """The application for one model.

    Args:
        engine: the model; whoever opened it closes it.
        allowed_hosts: values of the Host header that are answered; naming them keeps a stranger's page from reaching
            a server on this machine under a name of its own (DNS rebinding).
    """
    from starlette.middleware.trustedhost import TrustedHostMiddleware

    worker = Worker(engine)
    worker.engine.template.dialect  # noqa: B018  a template that cannot be read is found now, not by a client

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        worker.close()

    # FastAPI's own documentation pages load scripts from a foreign server.
    app = FastAPI(title="sagecraft", docs_url=None, redoc_url=None, openapi_url=None, lifespan=lifespan)
    app.state.worker = worker
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(allowed_hosts))
    _add_errors(app)
    _add_routes(app, worker)
    return app


def serve(model: Path, host: str = "127.0.0.1", port: int = 8000) -> None:
    """Serves until it is interrupted.

    Args:
        model: a Hugging Face folder, `folder+adapter`, or a GGUF file.
        host: address to listen on.
        port: port to listen on; 0 takes a free one.

    Raises:
        UserError: the port cannot be one; no such model.
        MachineError: the address cannot be listened on.
    """
    import socket

    import uvicorn

    from sagecraft.inference.engine import open_engine

    if not 0 <= port <= 65535:
        raise UserError(f"--port {port}: a port is a number from 0 to 65535")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        advice = "is it in use? choose another --port or --host"
        raise MachineError(f"{host}:{port}: cannot listen there ({error.strerror or error}); {advice}") from error
    with listener, open_engine(model) as engine:
        local = host in ("127.0.0.1", "localhost")
        app = create_app(engine, ("127.0.0.1", "localhost") if local else ("*",))
        name = f"[{host}]" if ":" in host else host
        console.say(f"{engine.name} on http://{name}:{listener.getsockname()[1]}/ (Ctrl-C stops)")

        class Server(uvicorn.Server):
            def handle_exit(self, sig: int, frame: FrameType | None) -> None:
                app.state.worker.cancel_all()  # streams end well, instead of being cut off after the grace time
                super().handle_exit(sig, frame)

        config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=2, server_header=False)
        with contextlib.suppress(KeyboardInterrupt):  # Ctrl-C is how a server ends
            Server(config).run(sockets=[listener])


def _add_errors(app: FastAPI) -> None:
    from starlette.exceptions import HTTPException

    @app.exception_handler(RequestError)
    async def refuse(_: Request, error: RequestError) -> JSONResponse:
        headers = {"Retry-After": "5"} if error.status == 429 else None
        return JSONResponse(error.body(), error.status, headers)

    @app.exception_handler(HTTPException)
    async def not_here(_: Request, error: HTTPException) -> JSONResponse:
        return JSONResponse(RequestError(error.detail, status=error.status_code).body(), error.status_code)

    @app.exception_handler(Exception)
    async def broken(_: Request, error: Exception) -> JSONResponse:
        return JSONResponse(_fault(error).body(), 500)


def _add_routes(app: FastAPI, worker: Worker) -> None:
    page, headers = _page()
    born = int(time.time())

    @app.get("/")
    async def index() -> HTMLResponse:
        return HTMLResponse(page, headers=headers)

    @app.get("/health")
    async def health() -> dict[str, Any]:
        return {"status": "ok", "model": worker.engine.name, "pending": worker.num_pending}

    @app.get("/v1/models")
    async def models() -> dict[str, Any]:
        entry = {"id": worker.engine.name, "object": "model", "created": born, "owned_by": "sagecraft"}
        return {"object": "list", "data": [entry | {"context_length": worker.engine.max_positions}]}

    @app.post("/v1/chat/completions")
    async def complete(request: Request) -> Response:
        asked = parse_request(await _body(request))
        generation = await worker.start(asked)
        head = {
            "id": f"chatcmpl-{secrets.token_hex(12)}",
            "created": int(time.time()),
            "model": worker.engine.name,
        }
        if asked.stream:
            wants_usage = asked.stream_options is not None and asked.stream_options.include_usage
            events = _events(generation, {**head, "object": "chat.completion.chunk"}, wants_usage)
            return EventStream(generation, events)
        return await _whole(request, generation, {**head, "object": "chat.completion"})


async def _body(request: Request) -> Any:
    """The body as JSON, read no further than the limit.

    JSON is asked for by its content type: a browser then lets no foreign page send a request without asking first.
    """
    if request.headers.get("content-type", "").split(";")[0].strip().lower() != "application/json":
        raise RequestError("send the body with `Content-Type: application/json`", status=415)
    data = bytearray()
    async for block in request.stream():
        data += block
        if len(data) > MAX_BODY_BYTES:
            raise RequestError(f"the body is over {MAX_BODY_BYTES:,} bytes; shorten it", status=413, code="too_large")
    try:
        value = json.loads(data.decode("utf-8"))
        json.dumps(value, ensure_ascii=False).encode("utf-8")  # half a surrogate pair is JSON, but no text
        return value
    except (ValueError, RecursionError) as error:
        raise RequestError(f"the body is not JSON ({error})") from error


async def _whole(request: Request, generation: Generation, head: dict[str, Any]) -> Response:
    """The reply in one piece; stops making it when the client has gone."""
    watch = asyncio.create_task(_cancel_when_gone(request, generation))
    try:
        async for _ in generation.parts():
            pass
    except Exception as error:
        raise _fault(error) from error
    finally:
        watch.cancel()
        generation.cancel()
    reply = generation.reply
    if reply.finish_reason is None:  # a program would keep half a reply as a whole one
        raise RequestError("the server stops; the reply was not finished, ask again", status=503)
    message = {"role": "assistant", "content": reply.answer, "reasoning_content": reply.thought}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": reply.finish_reason}
    return JSONResponse({**head, "choices": [choice], "usage": generation.usage()})


async def _cancel_when_gone(request: Request, generation: Generation) -> None:
    while not await request.is_disconnected():
        await asyncio.sleep(_POLL_SECONDS)
    generation.cancel()


async def _events(generation: Generation, head: dict[str, Any], wants_usage: bool) -> AsyncIterator[str]:
    """The reply as server-sent events."""

    def event(delta: dict[str, Any], finish_reason: str | None = None) -> str:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return _event({**head, "choices": [choice]} | ({"usage": None} if wants_usage else {}))

    try:
        yield event({"role": "assistant", "content": ""})
        async for kind, text in generation.parts():
            yield event({_FIELDS[kind]: text})
        yield event({}, generation.reply.finish_reason)
        if wants_usage:
            yield _event({**head, "choices": [], "usage": generation.usage()})
    except Exception as error:
        yield _event(_fault(error).body())
    yield "data: [DONE]\n\n"


def _fault(error: Exception) -> RequestError:
    """What the client hears of a reply that broke off; an error that nobody foresaw is told to the terminal, not to it."""
    if isinstance(error, SagecraftError):
        return RequestError(str(error), status=500)
    console.warn(f"a reply broke off: {type(error).__name__}: {error}")
    return RequestError("the reply broke off by a fault of the server", status=500)


def _event(value: dict[str, Any]) -> str:
    return f"data: {json.dumps(value, ensure_ascii=False)}\n\n"


def _page() -> tuple[str, dict[str, str]]:
    """The page and its headers: it may run its own script and style (by hash) and talk to this server, no more."""
    text = resources.files("sagecraft.assistant").joinpath("web/index.html").read_text(encoding="utf-8")

    def hashes(tag: str) -> str:
        found = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        digests = (base64.b64encode(hashlib.sha256(inner.encode()).digest()).decode() for inner in found)
        return " ".join(f"'sha256-{digest}'" for digest in digests)

    policy = (
        f"default-src 'none'; script-src {hashes('script')}; style-src {hashes('style')}; connect-src 'self'; "
        "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return text, {
        "Content-Security-Policy": policy,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-store",
    }
