"""A server on this machine that fails in the ways servers fail, and time that passes only when it is told to."""

from __future__ import annotations

import contextlib
import gzip
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from sagecraft.corpus.sources.items import Clock


class Request:
    """What a client asked, and ways to answer it badly or well."""

    def __init__(self, handler: BaseHTTPRequestHandler) -> None:
        parts = urlsplit(handler.path)
        self.path, self.query = parts.path, dict(parse_qsl(parts.query))
        self.headers = handler.headers
        self._handler = handler

    def reply(self, body: bytes | str = b"", status: int = 200, **headers: str) -> None:
        data = body.encode() if isinstance(body, str) else body
        self._begin(status, {"Content-Length": str(len(data)), **_dashed(headers)})
        if self._handler.command != "HEAD":
            self._handler.wfile.write(data)

    def truncated(self, body: bytes, at: int, status: int = 200, **headers: str) -> None:
        """Announces all of the body, sends `at` bytes and hangs up."""
        self._begin(status, {"Content-Length": str(len(body)), **_dashed(headers)})
        self._handler.wfile.write(body[:at])
        self._hang_up()

    def unannounced(self, blocks: Iterator[bytes]) -> None:
        """Sends blocks without a length, for ever if there are so many."""
        self._begin(200, {"Connection": "close"})
        with contextlib.suppress(OSError):
            for block in blocks:
                self._handler.wfile.write(block)
        self._hang_up()

    def ranged(self, body: bytes, etag: str) -> None:
        """Serves ranges as RFC 9110 has it."""
        wanted = self.headers.get("Range")
        if wanted is None or self.headers.get("If-Range") != etag:
            self.reply(body, ETag=etag)
            return
        start = int(wanted.removeprefix("bytes=").rstrip("-"))
        self.reply(body[start:], 206, ETag=etag, Content_Range=f"bytes {start}-{len(body) - 1}/{len(body)}")

    def reset(self) -> None:
        """Resets the connection (RST) without a word."""
        self._handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._hang_up()

    def _begin(self, status: int, headers: dict[str, str]) -> None:
        self._handler.send_response(status)
        for name, value in headers.items():
            self._handler.send_header(name, value)
        self._handler.end_headers()

    def _hang_up(self) -> None:
        with contextlib.suppress(OSError):
            self._handler.wfile.flush()
            self._handler.connection.shutdown(socket.SHUT_RDWR)
        self._handler.close_connection = True


def _dashed(headers: dict[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}


Answer = Callable[[Request], None]


class FaultyServer:
    """Answers by path; a list of answers is used up one by one, the last one stays.

    Attributes:
        routes: path → answer or answers.
        requests: all that were asked.
    """

    def __init__(self) -> None:
        self.routes: dict[str, Answer | list[Answer]] = {}
        self.requests: list[Request] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                request = Request(self)
                outer.requests.append(request)
                found = outer.routes.get(request.path)
                if isinstance(found, list):
                    found = found.pop(0) if len(found) > 1 else found[0]
                if found is None:
                    request.reply(b"no such page", 404)
                else:
                    found(request)

            do_HEAD = do_GET  # noqa: N815

            def log_message(self, *args: Any) -> None:
                pass

        class Quiet(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *args: Any) -> None:
                pass  # clients hang up here on purpose

        self._server = Quiet(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def paths(self) -> list[str]:
        return [request.path for request in self.requests]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def gzipped(data: bytes) -> bytes:
    return gzip.compress(data, mtime=0)


class FakeTime:
    """Time that passes only in sleeps, and by `step` at every look at the clock."""

    def __init__(self, step: float = 0.0) -> None:
        self.seconds, self.step = 1_800_000_000.0, step
        self.sleeps: list[float] = []
        self.clock = Clock(lambda: self.seconds, self._look, self._sleep)

    def _look(self) -> float:
        self.seconds += self.step
        return self.seconds

    def _sleep(self, seconds: float) -> None:
        assert seconds >= 0
        self.sleeps.append(seconds)
        self.seconds += seconds
