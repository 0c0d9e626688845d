"""A polite client: one request at a time, never faster than it may, patient with servers that fail.

A fault that may pass (408, 425, 429, 5xx, cut or silent connections, wrong bytes) is tried again with a doubling,
keyed wait, or when the server says so (Retry-After). A body that was cut goes on where it stopped, if the server can
prove that it is still the same (Range with If-Range, RFC 9110, 13.1.5 and 14.2).
"""

from __future__ import annotations

import contextlib
import os
import re
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self, TypeVar
from urllib.parse import urljoin, urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from sagecraft import __version__, console
from sagecraft.artifact import digest_of, read_json, write_json
from sagecraft.corpus.sources.items import Clock, ItemError, number_of
from sagecraft.errors import MachineError
from sagecraft.inference.backoff import backoff_seconds, retry_after

if TYPE_CHECKING:
    import ssl

    import httpx

_T = TypeVar("_T")
_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504, 522, 524})
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MAX_REDIRECTS = 5
#: Seconds before a slow body is judged by its rate.
_GRACE_SECONDS = 30.0
_MAX_BACKOFF_SECONDS = 300.0
#: Largest page of a listing or an API, in bytes unpacked: 1000 records are about 3 MB.
MAX_PAGE_BYTES = 64 * 2**20
_CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-\d{1,18}/(\d{1,18}|\*)", re.ASCII)
_BLOCK_BYTES = 1 << 20
#: What a cut download must have brought for the attempt not to count.
_PROGRESS_BYTES = 1 << 20


def is_address(written: str) -> bool:
    """True for a web address, False for a path."""
    return written.startswith(("http://", "https://"))


def check_address(address: str) -> str:
    """A web address without a user name, a query or a fragment."""
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None:
        raise ValueError(f"{address!r} is no address of the form http(s)://host/path")
    if parts.query or parts.fragment:
        raise ValueError(f"{address!r} has a query; give the address alone")
    return address


Address = Annotated[str, AfterValidator(check_address)]


class HttpConfig(BaseModel):
    """How patiently servers are asked. Nothing here changes what arrives."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    timeout_seconds: float = Field(
        default=120.0, gt=0, description="longest silence of a server; pages of large listings take over a minute"
    )
    max_attempts: int = Field(
        default=6, ge=1, description="how often a request is tried before its item counts as failed"
    )
    max_wait_seconds: float = Field(
        default=3600.0,
        gt=0,
        description="longest wait that a server may ask for (Retry-After); asked for more, the run stops and is resumed later",
    )
    min_bytes_per_second: float = Field(
        default=100.0, ge=0, description="a body slower than this after 30 seconds is given up and tried again"
    )
    redirect_hosts: list[str] = Field(
        default=[],
        description="hosts that a server may redirect to, besides itself; e-prints and dumps need none",
    )


class PassingError(Exception):
    """A fault that may pass.

    Attributes:
        reason: short and countable.
        detail: one line for the person who looks.
        wait_seconds: what the server asked for.
        has_progressed: more of a file has arrived than ever before, so the server is not to be given up.
    """

    def __init__(self, reason: str, detail: str = "", wait_seconds: float | None = None) -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail
        self.wait_seconds = wait_seconds
        self.has_progressed = False


@dataclass(frozen=True)
class Expected:
    """What is known of a body beforehand; None is not checked.

    Attributes:
        max_bytes: larger bodies are refused, whatever they announce.
        num_bytes: its exact size.
        digest: name of a hash (`md5`, `sha1`, `sha256`) and its hexadecimal value.
        check: looks at the whole file; raises `PassingError` if it is not what it should be.
    """

    max_bytes: int
    num_bytes: int | None = None
    digest: tuple[str, str] | None = None
    check: Callable[[Path], None] | None = None


@dataclass(frozen=True)
class Reply:
    """What came back: the address that gave it (after redirects), its headers, and the body of a page."""

    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


class PoliteClient:
    """Asks one service. Its requests follow each other at `min_interval_seconds` at least, whatever host they go to."""

    def __init__(
        self, addresses: list[str], contact: str, config: HttpConfig, min_interval_seconds: float, clock: Clock
    ) -> None:
        """Prepares connections; nothing is sent yet.

        Args:
            addresses: of the service; redirects to their hosts are followed.
            contact: e-mail address or page of whoever harvests; servers write there before they block.
            config: patience.
            min_interval_seconds: between the beginnings of two requests.
            clock: time.
        """
        import httpx

        self._config, self._interval, self._clock = config, min_interval_seconds, clock
        self._hosts = {urlsplit(address).hostname for address in addresses} | set(config.redirect_hosts)
        self._secure = all(urlsplit(address).scheme == "https" for address in addresses)
        self._last = -float("inf")
        agent = {"User-Agent": f"sagecraft/{__version__} (harvest; contact {contact})"}
        # One connection: services that allow one request at a time count connections too.
        limits = httpx.Limits(max_connections=1, max_keepalive_connections=1)
        self._client = httpx.Client(
            headers=agent, timeout=config.timeout_seconds, follow_redirects=False, limits=limits, verify=_certificates()
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connections."""
        self._client.close()

    def page(self, url: str, params: Mapping[str, Any], read: Callable[[Reply], _T]) -> _T:
        """Gets a page and reads it.

        Args:
            url: the address.
            params: of the query.
            read: makes something of the reply; raises `PassingError` where it is not what such a page should be.

        Raises:
            ItemError: it did not come, whatever was tried, or the server refuses.
            MachineError: the server asks for a longer wait than allowed.
        """
        headers = {"Accept-Encoding": "gzip"}

        def once() -> _T:
            with self._open(url, params, headers) as response:
                raw = b"".join(self._blocks(response.iter_raw(), MAX_PAGE_BYTES))
                announced = _announced(response, 0)
                if announced is not None and announced != len(raw):
                    raise PassingError("truncated", f"{len(raw)} of {announced} bytes")
                body = _unpacked(raw, response.headers.get("Content-Encoding", "identity"))
                reply = Reply(str(response.url), dict(response.headers), body)
            return read(reply)

        return self._patiently(url, once)

    def download(self, url: str, target: Path, scratch: Path, expected: Expected) -> Reply:
        """Gets a file as it stands on the server; it appears at `target` when it is whole and checked.

        Args:
            url: the address.
            target: the file; its folder is made.
            scratch: folder for the part that has arrived; a later run goes on with it.
            expected: what it must be.

        Raises:
            ItemError: it did not come whole, is too large, or the server refuses.
            MachineError: the server asks for a longer wait than allowed.
        """
        part = scratch / f"{digest_of(url)[:32]}.part"
        most = 0

        def once() -> Reply:
            nonlocal most
            try:
                return self._piece(url, part, expected)
            except PassingError as fault:
                size, _ = _begun(part)
                fault.has_progressed = size >= most + _PROGRESS_BYTES
                most = max(most, size)
                raise

        reply = self._patiently(url, once)
        target.parent.mkdir(parents=True, exist_ok=True)
        with part.open("rb") as file:
            os.fsync(file.fileno())
        part.replace(target)
        _validator_file(part).unlink(missing_ok=True)
        return reply

    def _piece(self, url: str, part: Path, expected: Expected) -> Reply:
        start, validator = _begun(part)
        headers = {"Accept-Encoding": "identity"}
        if start:
            headers |= {"Range": f"bytes={start}-", "If-Range": validator}
        with self._open(url, {}, headers, allowed=frozenset({416})) as response:
            start = _where(response, start, part)
            if not start:
                _remember(response, part)
            announced = _announced(response, start)
            if announced is not None and announced > expected.max_bytes:
                raise _too_large(expected.max_bytes)
            with part.open("ab" if start else "wb") as file:
                for block in self._blocks(response.iter_raw(), expected.max_bytes - start):
                    file.write(block)
            reply = Reply(str(response.url), dict(response.headers))
        size = part.stat().st_size
        if announced is not None and size != announced:
            raise PassingError("truncated", f"{size} of {announced} bytes")
        try:
            _verify(part, size, expected)
        except PassingError:
            _forget(part)  # wrong bytes are no beginning of the right ones
            raise
        return reply

    def _blocks(self, blocks: Iterator[bytes], max_bytes: int) -> Iterator[bytes]:
        began, count = self._clock.monotonic(), 0
        for block in blocks:
            count += len(block)
            if count > max_bytes:
                raise _too_large(max_bytes)
            elapsed = self._clock.monotonic() - began
            if elapsed > _GRACE_SECONDS and count < elapsed * self._config.min_bytes_per_second:
                raise PassingError("too-slow", f"{count} bytes in {elapsed:.0f} s")
            yield block

    @contextmanager
    def _open(
        self, url: str, params: Mapping[str, Any], headers: Mapping[str, str], allowed: frozenset[int] = frozenset()
    ) -> Iterator[httpx.Response]:
        """Sends a request, follows redirects to hosts that are allowed, and refuses what is no success."""
        import httpx

        query: Mapping[str, Any] | None = params or None
        for _ in range(_MAX_REDIRECTS + 1):
            self._turn()
            try:
                with self._client.stream("GET", url, params=query, headers=headers) as response:
                    status = response.status_code
                    if status not in _REDIRECTS:
                        if status not in allowed:
                            self._refuse(response)
                        yield response
                        return
                    url, query = self._redirected(response), None
            except httpx.InvalidURL as error:
                raise ItemError("bad-address", str(error)) from error
            except httpx.RequestError as error:
                raise PassingError("connection", f"{type(error).__name__} {error}".strip()) from error
        raise ItemError("too-many-redirects", f"more than {_MAX_REDIRECTS}")

    def _turn(self) -> None:
        wait = self._last + self._interval - self._clock.monotonic()
        if wait > 0:
            self._clock.sleep(wait)
        self._last = self._clock.monotonic()

    def _refuse(self, response: httpx.Response) -> None:
        status = response.status_code
        if status in (200, 206):
            return
        if status in _PASSING:
            wait = retry_after(response.headers.get("Retry-After"), self._clock.now())
            raise PassingError(f"http-{status}", response.reason_phrase, wait)
        gone = status in (404, 410)
        raise ItemError(f"http-{status}", response.reason_phrase, outcome="absent" if gone else "failed")

    def _redirected(self, response: httpx.Response) -> str:
        location: str = response.headers.get("Location", "")
        try:
            target = urljoin(str(response.url), location)
            parts = urlsplit(target)
        except ValueError as error:
            raise ItemError("bad-redirect", f"to {location!r:.200}") from error
        if parts.scheme not in ("http", "https") or parts.hostname not in self._hosts or parts.username is not None:
            raise ItemError(
                "foreign-redirect", f"to {target!r:.200}; add its host to http.redirect_hosts if it is right"
            )
        if self._secure and parts.scheme != "https":
            raise ItemError("insecure-redirect", f"to {target!r:.200}")
        return target

    def _patiently(self, url: str, once: Callable[[], _T]) -> _T:
        attempt = 0
        while True:
            try:
                return once()
            except PassingError as fault:
                attempt = 1 if fault.has_progressed else attempt + 1
                if attempt >= self._config.max_attempts:
                    raise ItemError(fault.reason, f"{fault.detail} (tried {attempt} times)".strip()) from fault
                self._clock.sleep(self._wait(url, attempt, fault))

    def _wait(self, url: str, attempt: int, fault: PassingError) -> float:
        host = urlsplit(url).hostname
        if fault.wait_seconds is None:
            wait = min(backoff_seconds(attempt, url, max(self._interval, 1.0)), _MAX_BACKOFF_SECONDS)
        else:
            wait = fault.wait_seconds
        if wait > self._config.max_wait_seconds:
            raise MachineError(
                f"{host}: asks to be left alone for {wait:.0f} s; run the same command again after that, "
                "what has arrived is kept"
            )
        console.say(f"  {host}: {fault}; trying again in {wait:.0f} s", style="dim")
        return wait


@cache
def _certificates() -> ssl.SSLContext:
    """What servers are verified against: read once, since that takes 70 ms."""
    import httpx

    return httpx.create_ssl_context()


def _too_large(max_bytes: int) -> ItemError:
    return ItemError("too-large", f"more than {max_bytes / 2**20:.3g} MiB", outcome="skipped")


def _unpacked(raw: bytes, encoding: str) -> bytes:
    """The body behind a Content-Encoding. httpx would do it, but takes a gzip that stops half-way for a whole one."""
    if encoding == "identity":
        return raw
    if encoding not in ("gzip", "x-gzip"):
        raise PassingError("bad-encoding", f"Content-Encoding {encoding!r:.40} was not asked for")
    unpacker = zlib.decompressobj(wbits=31)
    try:
        body = unpacker.decompress(raw, MAX_PAGE_BYTES)
    except zlib.error as error:
        raise PassingError("bad-gzip", str(error)) from error
    if unpacker.unconsumed_tail:
        raise _too_large(MAX_PAGE_BYTES)
    if not unpacker.eof:
        raise PassingError("bad-gzip", "it stops before its end")
    return body


def _announced(response: httpx.Response, start: int) -> int | None:
    """Size of the whole file as the reply states it."""
    if response.status_code == 206:
        found = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
        return int(found[2]) if found and found[2] != "*" else None
    stated = number_of(response.headers.get("Content-Length", ""))
    return start + stated if stated is not None else None


def _where(response: httpx.Response, start: int, part: Path) -> int:
    """Where the body of a reply belongs: behind what is there, or at the beginning."""
    if response.status_code == 200:
        return 0
    found = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
    if response.status_code == 206 and start and found and int(found[1]) == start:
        return start
    _forget(part)
    raise PassingError("bad-range", f"asked for bytes from {start}, got HTTP {response.status_code}")


def _validator_file(part: Path) -> Path:
    return part.with_suffix(".json")


def _begun(part: Path) -> tuple[int, str]:
    """Bytes that have arrived and the mark by which the server can tell that the file is still the same."""
    with contextlib.suppress(OSError, KeyError):
        size = part.stat().st_size
        return size, str(read_json(_validator_file(part))["validator"])
    return 0, ""


def _remember(response: httpx.Response, part: Path) -> None:
    """Keeps the mark of a body that begins. A weak one does not promise equal bytes, so it is none (RFC 9110, 8.8.1)."""
    _forget(part)
    part.parent.mkdir(parents=True, exist_ok=True)
    tag = response.headers.get("ETag", "")
    validator = tag if tag.startswith('"') else response.headers.get("Last-Modified", "")
    if validator:
        write_json(_validator_file(part), {"validator": validator})


def _forget(part: Path) -> None:
    part.unlink(missing_ok=True)
    _validator_file(part).unlink(missing_ok=True)


def _verify(part: Path, size: int, expected: Expected) -> None:
    if expected.num_bytes is not None and size != expected.num_bytes:
        raise PassingError("wrong-size", f"{size} bytes instead of {expected.num_bytes}")
    if expected.digest is not None:
        verify_digest(part, *expected.digest)
    if expected.check is not None:
        expected.check(part)


def verify_digest(path: Path, name: str, value: str) -> None:
    """Compares a file with a stated hash.

    Raises:
        PassingError: it has another.
    """
    import hashlib

    digest = hashlib.new(name, usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
    if digest.hexdigest() != value.lower():
        raise PassingError("wrong-digest", f"{name} {digest.hexdigest()} instead of {value}")
