"""The polite client against a server that fails in every way."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterator
from email.utils import formatdate
from pathlib import Path

import pytest

from faulty import FakeTime, FaultyServer, Request, gzipped
from sagecraft.corpus.sources.http import Expected, HttpConfig, PassingError, PoliteClient, Reply, check_address
from sagecraft.corpus.sources.items import ItemError, number_of
from sagecraft.errors import MachineError

BODY = bytes(range(256)) * 40
LIMIT = 1 << 20
Make = Callable[..., PoliteClient]


@pytest.fixture
def make(server: FaultyServer, time: FakeTime) -> Iterator[Make]:
    made: list[PoliteClient] = []

    def client(interval: float = 0.0, **settings: object) -> PoliteClient:
        config = HttpConfig.model_validate({"timeout_seconds": 5, "max_attempts": 3} | settings)
        made.append(PoliteClient([server.url], "me@example.org", config, interval, time.clock))
        return made[-1]

    yield client
    for one in made:
        one.close()


def body_of(client: PoliteClient, url: str) -> bytes:
    return client.page(url, {}, lambda reply: reply.body)


def fetch(client: PoliteClient, server: FaultyServer, tmp_path: Path, **expected: object) -> bytes:
    target = tmp_path / "target"
    client.download(f"{server.url}/file", target, tmp_path / "parts", Expected(**({"max_bytes": LIMIT} | expected)))  # type: ignore[arg-type]
    assert not list((tmp_path / "parts").iterdir()), "nothing is left of the parts"
    return target.read_bytes()


def test_requests_keep_their_distance_and_name_a_contact(make: Make, server: FaultyServer, time: FakeTime) -> None:
    server.routes["/"] = lambda request: request.reply("page")
    client = make(interval=3.0)
    for _ in range(3):
        assert body_of(client, f"{server.url}/") == b"page"
    assert time.sleeps == [3.0, 3.0]
    assert "me@example.org" in server.requests[0].headers["User-Agent"]


def test_retry_after_in_seconds_and_as_a_date(make: Make, server: FaultyServer, time: FakeTime) -> None:
    date = formatdate(time.seconds + 7 + 90, usegmt=True)
    server.routes["/"] = [
        lambda request: request.reply("busy", 503, Retry_After="7"),
        lambda request: request.reply("busy", 429, Retry_After=date),
        lambda request: request.reply("page"),
    ]
    assert body_of(make(), f"{server.url}/") == b"page"
    assert time.sleeps == [7.0, 90.0]


def test_backs_off_twice_as_long_each_time_and_always_alike(make: Make, server: FaultyServer, time: FakeTime) -> None:
    server.routes["/"] = lambda request: request.reply("busy", 503)
    with pytest.raises(ItemError, match=r"http-503: Service Unavailable \(tried 4 times\)"):
        body_of(make(max_attempts=4), f"{server.url}/")
    assert len(server.requests) == 4
    assert [0.5 * 2**n <= wait <= 1.5 * 2**n for n, wait in enumerate(time.sleeps)] == [True] * 3
    first, time.sleeps = time.sleeps, []
    with pytest.raises(ItemError):
        body_of(make(max_attempts=4), f"{server.url}/")
    assert time.sleeps == first


def test_a_longer_wait_than_allowed_ends_the_run(make: Make, server: FaultyServer, time: FakeTime) -> None:
    server.routes["/"] = lambda request: request.reply("busy", 503, Retry_After="90000")
    with pytest.raises(MachineError, match=r"127\.0\.0\.1: asks to be left alone for 90000 s; run the same"):
        body_of(make(), f"{server.url}/")
    assert not time.sleeps
    assert len(server.requests) == 1


def test_nonsense_in_retry_after_is_no_reason_to_stop(make: Make, server: FaultyServer) -> None:
    server.routes["/"] = [
        lambda request: request.reply("busy", 503, Retry_After="soon"),
        lambda request: request.reply("page"),
    ]
    assert body_of(make(), f"{server.url}/") == b"page"


def test_what_is_not_there_is_asked_for_once(make: Make, server: FaultyServer, tmp_path: Path) -> None:
    with pytest.raises(ItemError, match="http-404") as caught:
        fetch(make(), server, tmp_path)
    assert caught.value.outcome == "absent"
    assert len(server.requests) == 1


def test_a_cut_body_goes_on_where_it_stopped(make: Make, server: FaultyServer, tmp_path: Path) -> None:
    server.routes["/file"] = [
        lambda request: request.truncated(BODY, 3000, ETag='"one"'),
        lambda request: request.ranged(BODY, '"one"'),
    ]
    assert fetch(make(), server, tmp_path) == BODY
    assert server.requests[1].headers["Range"] == "bytes=3000-"
    assert server.requests[1].headers["If-Range"] == '"one"'


def test_a_later_run_goes_on_with_the_part(make: Make, server: FaultyServer, tmp_path: Path) -> None:
    server.routes["/file"] = lambda request: request.truncated(
        BODY, 3000, Last_Modified="Fri, 01 Jan 2021 00:00:00 GMT"
    )
    with pytest.raises(ItemError, match="connection"):
        fetch(make(max_attempts=1), server, tmp_path)
    server.routes["/file"] = lambda request: request.ranged(BODY, "Fri, 01 Jan 2021 00:00:00 GMT")
    assert fetch(make(), server, tmp_path) == BODY
    assert server.requests[1].headers["Range"] == "bytes=3000-"


def test_a_long_download_over_a_poor_line_arrives(make: Make, server: FaultyServer, tmp_path: Path) -> None:
    """Each attempt brings a megabyte: ten are needed, and three in vain would be too many."""
    body = BODY * 1000

    def answer(request: Request) -> None:
        start = int(request.headers.get("Range", "bytes=0-").removeprefix("bytes=").rstrip("-"))
        end = f"bytes {start}-{len(body) - 1}/{len(body)}"
        status, headers = (206, {"Content_Range": end}) if start else (200, {})
        request.truncated(body[start:], 1 << 20, status, ETag='"long"', **headers)

    server.routes["/file"] = answer
    assert fetch(make(max_attempts=3), server, tmp_path, max_bytes=1 << 25) == body
    assert len(server.requests) == 10
    server.routes["/file"] = lambda request: request.truncated(body, 1 << 20)
    with pytest.raises(ItemError, match="tried 3 times"):
        fetch(make(max_attempts=3), server, tmp_path, max_bytes=1 << 25)


@pytest.mark.parametrize("mark", [{}, {"ETag": 'W/"weak"'}])
def test_without_proof_of_sameness_it_starts_over(
    mark: dict[str, str], make: Make, server: FaultyServer, tmp_path: Path
) -> None:
    server.routes["/file"] = [
        lambda request: request.truncated(BODY, 3000, **mark),
        lambda request: request.reply(BODY),
    ]
    assert fetch(make(), server, tmp_path) == BODY
    assert "Range" not in server.requests[1].headers


def test_a_file_that_changed_is_taken_whole(make: Make, server: FaultyServer, tmp_path: Path) -> None:
    server.routes["/file"] = [
        lambda request: request.truncated(b"old" * 5000, 3000, ETag='"old"'),
        lambda request: request.ranged(BODY, '"new"'),
    ]
    assert fetch(make(), server, tmp_path) == BODY


@pytest.mark.parametrize("status", [206, 416])
def test_a_range_that_was_not_asked_for_is_not_used(
    status: int, make: Make, server: FaultyServer, tmp_path: Path
) -> None:
    wrong = f"bytes 0-{len(BODY) - 1}/{len(BODY)}"
    server.routes["/file"] = [
        lambda request: request.truncated(BODY, 3000, ETag='"one"'),
        lambda request: request.reply(BODY, status, Content_Range=wrong),
        lambda request: request.ranged(BODY, '"one"'),
    ]
    assert fetch(make(), server, tmp_path) == BODY
    assert "Range" not in server.requests[2].headers


def test_a_length_that_is_too_short_is_found_by_the_hash(make: Make, server: FaultyServer, tmp_path: Path) -> None:
    digest = ("sha256", hashlib.sha256(BODY).hexdigest())
    server.routes["/file"] = [
        lambda request: request.reply(BODY, Content_Length="100", Connection="close"),
        lambda request: request.reply(BODY),
    ]
    assert fetch(make(), server, tmp_path, digest=digest) == BODY
    server.routes["/file"] = lambda request: request.reply(BODY[:-1])
    with pytest.raises(ItemError, match=r"wrong-digest: sha256 .* instead of"):
        fetch(make(), server, tmp_path, digest=digest)
    with pytest.raises(ItemError, match="wrong-size"):
        fetch(make(), server, tmp_path, num_bytes=len(BODY))


def test_wrong_bytes_are_no_beginning_of_the_right_ones(make: Make, server: FaultyServer, tmp_path: Path) -> None:
    server.routes["/file"] = [
        lambda request: request.reply(BODY[:-5] + b"wrong", ETag='"one"'),
        lambda request: request.ranged(BODY, '"one"'),
    ]
    assert fetch(make(), server, tmp_path, digest=("sha256", hashlib.sha256(BODY).hexdigest())) == BODY
    assert "Range" not in server.requests[1].headers


def test_a_page_packed_wrongly_or_cut_is_asked_for_again(make: Make, server: FaultyServer) -> None:
    packed = gzipped(b"a page " * 100)
    server.routes["/"] = [
        lambda request: request.reply(b"\x1f\x8b\x08" + b"nonsense" * 9, Content_Encoding="gzip"),
        lambda request: request.truncated(packed, 20, Content_Encoding="gzip"),
        lambda request: request.reply(packed, Content_Encoding="gzip"),
    ]
    assert body_of(make(), f"{server.url}/") == b"a page " * 100


def test_a_gzip_that_ends_early_without_a_length_is_found(make: Make, server: FaultyServer) -> None:
    """The length is right for what was sent, so only the packed stream can tell."""
    packed = gzipped(BODY)
    server.routes["/"] = [
        lambda request: request.reply(packed[: len(packed) // 2], Content_Encoding="gzip"),
        lambda request: request.reply(packed, Content_Encoding="gzip"),
    ]
    assert body_of(make(), f"{server.url}/") == BODY


def test_connections_that_are_reset_or_say_nothing(make: Make, server: FaultyServer) -> None:
    server.routes["/"] = [Request.reset, Request.reset, lambda request: request.reply("page")]
    assert body_of(make(), f"{server.url}/") == b"page"


def test_a_trickle_is_given_up(server: FaultyServer) -> None:
    slow = FakeTime(step=10.0)
    config = HttpConfig(max_attempts=2, min_bytes_per_second=100)
    server.routes["/"] = lambda request: request.unannounced(itertools.repeat(b"drop"))
    with (
        PoliteClient([server.url], "me@example.org", config, 0.0, slow.clock) as client,
        pytest.raises(ItemError, match=r"too-slow: \d+ bytes in \d+ s \(tried 2 times\)"),
    ):
        body_of(client, f"{server.url}/")


def test_an_endless_body_is_refused(make: Make, server: FaultyServer, tmp_path: Path) -> None:
    server.routes["/file"] = lambda request: request.unannounced(itertools.repeat(b"x" * 65536))
    with pytest.raises(ItemError, match="too-large: more than 1 MiB") as caught:
        fetch(make(), server, tmp_path)
    assert caught.value.outcome == "skipped"
    assert len(server.requests) == 1
    server.routes["/file"] = lambda request: request.reply(b"x", Content_Length=str(10 * LIMIT))
    with pytest.raises(ItemError, match="too-large"):
        fetch(make(), server, tmp_path)


def test_redirects_lead_to_allowed_hosts_only(make: Make, server: FaultyServer) -> None:
    server.routes |= {
        "/here": lambda request: request.reply(status=301, Location="/there"),
        "/there": lambda request: request.reply("page"),
        "/away": lambda request: request.reply(status=302, Location=server.url.replace("127.0.0.1", "localhost") + "/there"),
        "/file": lambda request: request.reply(status=302, Location="file:///etc/passwd"),
        "/bad": lambda request: request.reply(status=302, Location="http://[127.0.0.1/x"),
        "/round": lambda request: request.reply(status=307, Location="/round"),
    }  # fmt: skip
    assert body_of(make(), f"{server.url}/here") == b"page"
    with pytest.raises(ItemError, match="foreign-redirect: to 'http://localhost"):
        body_of(make(), f"{server.url}/away")
    assert server.paths().count("/there") == 1
    assert body_of(make(redirect_hosts=["localhost"]), f"{server.url}/away") == b"page"
    with pytest.raises(ItemError, match="foreign-redirect: to 'file"):
        body_of(make(), f"{server.url}/file")
    with pytest.raises(ItemError, match="bad-redirect"):
        body_of(make(), f"{server.url}/bad")
    with pytest.raises(ItemError, match="too-many-redirects"):
        body_of(make(), f"{server.url}/round")


def test_a_page_that_is_not_what_it_should_be_is_asked_for_again(make: Make, server: FaultyServer) -> None:
    def read(reply: Reply) -> bytes:
        if reply.body.startswith(b"<html"):
            raise PassingError("html-instead")
        return reply.body

    server.routes["/"] = [
        lambda request: request.reply("<html>Our servers are tired</html>"),
        lambda request: request.reply("page"),
    ]
    assert make().page(f"{server.url}/", {}, read) == b"page"


@pytest.mark.parametrize(
    "address",
    ["ftp://example.org", "example.org/oai", "https://user@example.org", "https://example.org/?verb=x", "https://"],
)
def test_what_is_no_address(address: str) -> None:
    with pytest.raises(ValueError, match=r"is no address|has a query"):
        check_address(address)


def test_numbers_that_servers_write() -> None:
    assert [number_of(text) for text in ("7", "0", "", "-1", "²", "٣", "1e3", "9" * 5000)] == [7, 0, *[None] * 6]
