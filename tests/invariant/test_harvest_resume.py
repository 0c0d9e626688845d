"""A harvest that is killed with SIGKILL at any moment ends with the bytes of one that was left alone."""

from __future__ import annotations

import gzip
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from faulty import FaultyServer, Request
from literature import page, record, tex
from sagecraft import artifact

NUM_PAGES, PAGE_SIZE, NUM_PAPERS = 12, 40, 30


@pytest.fixture
def server() -> Iterator[FaultyServer]:
    running = FaultyServer()
    names = [[f"2101.{number * PAGE_SIZE + n:05d}" for n in range(PAGE_SIZE)] for number in range(NUM_PAGES)]
    bodies = [
        page(
            *[record(name, f"Paper {name}") for name in part], token=f"t{number + 1}" if number + 1 < NUM_PAGES else ""
        )
        for number, part in enumerate(names)
    ]

    def oai(request: Request) -> None:
        request.reply(bodies[int(request.query.get("resumptionToken", "t0")[1:])])

    running.routes["/oai"] = oai
    for name in names[0][:NUM_PAPERS]:
        body = gzip.compress(tex(name) + name.encode() * 2000, mtime=0)
        running.routes[f"/e-print/{name}"] = lambda request, body=body: request.ranged(body, '"v1"')
    yield running
    running.close()


def command(server: FaultyServer, folder: Path, out: Path) -> list[str]:
    listed = "\n".join(f"2101.{n:05d}" for n in range(NUM_PAPERS))
    (folder / "list.txt").write_text(listed)
    (folder / "h.yml").write_text(
        f"contact: me@example.org\n"
        f"arxiv: {{base_url: {server.url}/oai, from: 2021-01-01, until: 2021-01-20, min_interval_seconds: 0.05}}\n"
        f"eprints: {{base_url: {server.url}/e-print, identifiers_file: list.txt, min_interval_seconds: 0.05}}\n"
    )
    return [sys.executable, "-m", "sagecraft", "harvest", str(folder / "h.yml"), "--out", str(out)]


def contents(out: Path) -> dict[str, str]:
    files = (path for path in out.rglob("*") if path.is_file() and path.name not in ("timing.json", "retrieved.json"))
    return {path.relative_to(out).as_posix(): artifact.sha256_file(path) for path in files}


@pytest.mark.soak
def test_killed_at_any_moment(server: FaultyServer, tmp_path: Path) -> None:
    straight = command(server, tmp_path, tmp_path / "straight")
    began = time.monotonic()
    subprocess.run(straight, check=True, capture_output=True)
    spent = time.monotonic() - began
    num_requests, num_killed = len(server.requests), 0
    server.requests.clear()
    arguments = command(server, tmp_path, tmp_path / "out")
    for number in range(12):
        process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(spent * (0.3 + artifact.keyed_hash("kill", number) / 2**64 * 0.4))
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            num_killed += 1
        process.wait()
    subprocess.run(arguments, check=True, capture_output=True)
    assert num_killed >= 2
    assert contents(tmp_path / "out") == contents(tmp_path / "straight")
    # a kill costs the request that it interrupted and no other
    assert num_requests <= len(server.requests) <= num_requests + num_killed
