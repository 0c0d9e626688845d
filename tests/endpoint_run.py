"""A whole evaluation over a faulty endpoint, stopped on the way: is every item accounted for, and nothing paid twice?

python endpoint_run.py FOLDER [--items 4425] [--per-minute 3600] [--stops KILL,KILL,KILL] [--faults 0.05]

Prints figures as JSON. The endpoint is a process of its own, so it goes on replying, and counting, when a client dies.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import signal
import statistics
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter
from pathlib import Path
from typing import Any

from sagecraft import artifact

HERE = Path(__file__).parent
PROVIDERS = 'models: {"local:*": {price: {in: 2.0, cached_in: 0.5, out: 8.0, source: here, date: 2026-01-01}}}\n'


def questions(path: Path, num_items: int) -> None:
    words = ["mass", "age", "colour", "speed", "size", "spin", "charge"]
    rows = (
        {
            "question": f"Which {words[n % 7]} has sample {n}, {'measured twice, ' * (n % 9)}in the usual units?",
            **{letter: f"{words[(n + k) % 7]} number {n * (k + 1)}" for k, letter in enumerate("ABCD")},
            "answer": "ABCD"[n % 4],
        }
        for n in range(num_items)
    )
    artifact.write_jsonl(path, rows)


def resident(pid: int) -> float:
    """Resident memory in MB."""
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) / 1024 if found else 0.0


class Client:
    """One start of the evaluation, with the resident memory of both of its processes over time."""

    def __init__(self, folder: Path, url: str, per_minute: float, concurrency: int) -> None:
        command = [sys.executable, "-m", "sagecraft", "eval", "local:m", "--task", str(folder / "task.jsonl")]
        command += ["--mode", "generate", "--thinking", "off", "--base-url", url, "--out", str(folder / "out")]
        command += ["--providers", str(folder / "providers.yaml"), "--concurrency", str(concurrency)]
        command += ["--requests-per-minute", str(per_minute), "--timeout-seconds", "30", "--max-usd", "100"]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)
        self.megabytes: list[tuple[float, float, float]] = []
        self._watch = threading.Thread(target=self._sample, daemon=True)
        self._watch.start()

    def _sample(self) -> None:
        pid = self.process.pid
        while self.process.poll() is None:
            with contextlib.suppress(OSError, IndexError):
                asking = int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])
                self.megabytes.append((time.monotonic(), resident(pid), resident(asking)))
            time.sleep(0.2)

    def end(self, number: signal.Signals | None = None) -> tuple[int, str]:
        if number is not None:
            self.process.send_signal(number)
        _, said = self.process.communicate()
        self._watch.join(5)
        return self.process.returncode, said.decode()


def log_of(url: str) -> dict[str, Any]:
    with urllib.request.urlopen(url + "/log") as response:
        log: dict[str, Any] = json.load(response)
    return log


def per_minute(times: list[float]) -> float:
    """The median second's rate: starts, and the end, where a few late tries are waited for, are not the run's pace."""
    seconds = Counter(int(at - times[0]) for at in times)
    return 60.0 * statistics.median(seconds.values())


def measure(
    folder: Path, num_items: int, rate: float, stops: list[signal.Signals], faults: float, concurrency: int = 32
) -> dict[str, Any]:
    """Runs it all, with a stop after every equal share of the items."""
    folder.mkdir(parents=True, exist_ok=True)
    questions(folder / "task.jsonl", num_items)
    (folder / "providers.yaml").write_text(PROVIDERS)
    endpoint = subprocess.Popen(
        [sys.executable, str(HERE / "endpoints.py"), str(faults), "0.1"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert endpoint.stdout is not None
    url = endpoint.stdout.readline().strip()
    try:
        began = time.monotonic()
        codes = []
        for number, stop in enumerate(stops, start=1):
            client = Client(folder, url, rate, concurrency)
            while len(log_of(url)["counts"]) < num_items * number // (len(stops) + 1):
                assert client.process.poll() is None, client.end()
                time.sleep(0.1)
            codes.append(client.end(stop)[0])
        client = Client(folder, url, rate, concurrency)
        code, said = client.end()
        assert code == 0, said
        seconds = time.monotonic() - began
        return figures(folder, log_of(url), client, codes, seconds)
    finally:
        endpoint.communicate("")


def figures(folder: Path, log: dict[str, Any], last: Client, codes: list[int], seconds: float) -> dict[str, Any]:
    results = artifact.read_json(folder / "out/results.json")
    rows = list(artifact.read_jsonl(folder / "out/items.jsonl"))
    spent = results["spending"]
    times = log["times"]
    whys = Counter(
        row["failed"] for row in artifact.read_jsonl(folder / "out.replies/records.jsonl") if "failed" in row
    )
    busiest = max(sum(1 for other in times[n : n + 500] if other < start + 1) for n, start in enumerate(times))
    asking = [sizes for at, *sizes in last.megabytes if last.megabytes[0][0] + 2 < at < times[-1]]
    eighths = [asking[len(asking) * n // 8] for n in range(8)] if asking else []
    return {
        "items": len(rows),
        "different_items": len({row["id"] for row in rows}),
        "outcomes": dict(Counter(row["outcome"] for row in rows)),
        "exit_codes_of_stops": codes,
        "requests_at_server": sum(log["counts"].values()),
        "different_requests_at_server": len(log["counts"]),
        "requests_written_down": spent["num_requests"],
        "paid_at_server": sum(log["paid"].values()),
        "paid_twice_at_server": sum(count - 1 for count in log["paid"].values()),
        "maybe_paid_and_lost_as_told": spent["num_maybe_paid_and_lost"],
        "failures": spent["num_failures"] + spent["num_failures_maybe_billed"],
        "timeouts": whys["no reply within 30 s"],
        "requests_per_minute": per_minute(times),
        "most_requests_in_a_second": busiest,
        "most_at_once": log["most_at_once"],
        "usd": results["cost_usd"],
        "usd_at_most": spent["usd_at_most"],
        "megabytes_of_the_run_while_asking": [round(sizes[0], 1) for sizes in eighths],
        "megabytes_of_the_asking_process": [round(sizes[1], 1) for sizes in eighths],
        "seconds": round(seconds, 1),
        "seconds_as_told": results["seconds"],
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--items", type=int, default=4425)
    parser.add_argument("--per-minute", type=float, default=3600)
    parser.add_argument("--stops", default="KILL,KILL,KILL")
    parser.add_argument("--faults", type=float, default=0.05)
    given = parser.parse_args()
    stops = [signal.Signals[f"SIG{name}"] for name in given.stops.split(",") if name]
    found = measure(given.folder, given.items, given.per_minute, stops, given.faults)
    sys.stdout.write(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
