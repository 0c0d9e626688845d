"""Runs that are killed: each in a fork of a process that has imported everything, so that twenty cost little.

python killed.py models (or literature, which needs no torch), then a JSON object a line on standard input: `{"inputs", "config",
"out", "log"}` for training, with `stage` for `synth` and `bench` (and `unit` for another number of documents in a unit of work),
`{"merge", "out", "log"}` (the YAML file) for a merge and, to be killed with SIGKILL, `kill_at` (the number of the file
operation in the run's folders before which it dies), `kill_at_block` (of the merge) or `kill_after` (seconds); `signal`
stands for another signal, `noted` waits for the journal's first line. A merge takes `threads`, and `plain` if it should go without its native kernel. Answers `{"code", "seconds", "events"}`, a line each: the exit code, negative for a signal, and every file operation.
"""

from __future__ import annotations

import importlib
import itertools
import json
import os
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import Any

#: What is imported before the first fork; the parity gate's import (transformers') takes longest.
PREPARED = {
    "models": [
        "torch", "transformers.models.auto.modeling_auto", "sagecraft.cli", "sagecraft.merging.stream", "sagecraft.training.loop",
        "sagecraft.training.preflight", "sagecraft.training.watch", "sagecraft.training.train",
    ],
    "literature": [
        "matplotlib.backends.backend_svg", "sagecraft.reporting.synthesis_page", "sagecraft.synthesis.page", "sagecraft.synthesis.pairs",
        "sagecraft.benchmark.baselines", "sagecraft.benchmark.build", "sagecraft.benchmark.drafts",
    ],
}  # fmt: skip
#: Audit events of the interpreter that change files or precede a change, and the arguments that are paths.
OPERATIONS = {
    "open": 1,
    "os.rename": 2,
    "os.mkdir": 1,
    "os.rmdir": 1,
    "os.remove": 1,
    "os.chmod": 1,
    "shutil.rmtree": 1,
}


def note_operations(out: str, kill_at: int | None, events: Path) -> None:
    """Notes every file operation in the run's folders, and dies before the one with this number."""
    handle = os.open(events, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    count = 0

    def hook(name: str, arguments: tuple[Any, ...]) -> None:
        nonlocal count
        if name not in OPERATIONS:
            return
        paths = [
            os.fsdecode(path) for path in arguments[: OPERATIONS[name]] if isinstance(path, str | bytes | os.PathLike)
        ]
        if not any(path.startswith(out) for path in paths):
            return
        if count == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        count += 1
        os.write(handle, (json.dumps([name, *paths]) + "\n").encode())

    sys.addaudithook(hook)


def train(case: dict[str, Any]) -> None:
    """Trains."""
    from sagecraft.training.train import TrainConfig, run

    torch = importlib.import_module("torch")
    torch.set_num_threads(1)
    inputs = {name: Path(value) for name, value in case["inputs"].items()}
    run(TrainConfig.model_validate(case["config"]), inputs, Path(case["out"]))


def make(case: dict[str, Any]) -> None:
    """Makes conversations, or a benchmark."""
    from sagecraft.benchmark import build
    from sagecraft.benchmark.config import BenchConfig
    from sagecraft.synthesis import shards, synth

    inputs = {name: Path(value) for name, value in case["inputs"].items()}
    if case["stage"] == "bench":
        build.run(BenchConfig.model_validate(case["config"]), inputs, Path(case["out"]))
    else:
        shards.UNIT_DOCUMENTS = case.get("unit", shards.UNIT_DOCUMENTS)
        synth.run(synth.SynthConfig.model_validate(case["config"]), inputs, Path(case["out"]))


def merge(case: dict[str, Any]) -> None:
    """Merges by the command, and dies in the middle of the block with the number `kill_at_block`."""
    from sagecraft import cli
    from sagecraft.merging import native, stream
    from sagecraft.merging.blocks import Plain

    importlib.import_module("torch").set_num_threads(1)
    if case.get("plain"):
        native.available = lambda: False  # type: ignore[assignment]
    if "threads" in case:
        stream.default_threads = lambda: case["threads"]  # type: ignore[assignment]
    engine: Any = Plain if case.get("plain") else native.Native
    straight, count = engine.merge, itertools.count()

    def counted(*arguments: Any) -> Any:
        if next(count) == case.get("kill_at_block"):
            journal, deadline = Path(case["out"] + ".work/scratch/journal/tensors.jsonl"), time.monotonic() + 30
            while "noted" in case and not journal.read_bytes() and time.monotonic() < deadline:
                time.sleep(0.01)
            os.kill(os.getpid(), case.get("signal", signal.SIGKILL))
            time.sleep(1)  # a signal that is handled reaches the main thread
        return straight(*arguments)

    engine.merge = counted
    sys.argv = ["sagecraft", "merge", case["merge"], case["out"]]
    cli.main()


def child(case: dict[str, Any], events: Path) -> None:
    """The run itself; never returns."""
    code = 1
    try:
        handle = os.open(case["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(handle, 1)
        os.dup2(handle, 2)
        note_operations(case["out"], case.get("kill_at"), events)
        job = merge if "merge" in case else make if "stage" in case else train
        job(case)
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0
    except BaseException:  # a test looks for it in the log
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def main() -> None:
    """Takes one case after the other."""
    for module in PREPARED[sys.argv[1]]:
        importlib.import_module(module)
    # a shell that put the tests into the background has them ignore it
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for line in sys.stdin:
        case = json.loads(line)
        events = Path(case["log"] + ".events")
        began = time.monotonic()
        pid = os.fork()
        if pid == 0:
            child(case, events)
        if "kill_after" in case:
            time.sleep(case["kill_after"])
            os.kill(pid, case.get("signal", signal.SIGKILL))  # not waited for yet, so the number is still this child's
        _, status = os.waitpid(pid, 0)
        done = [json.loads(row) for row in events.read_text().splitlines()]
        seconds, code = time.monotonic() - began, os.waitstatus_to_exitcode(status)
        sys.stdout.write(json.dumps({"code": code, "seconds": seconds, "events": done}) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
