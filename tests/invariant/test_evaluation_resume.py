"""A run that was killed and started again gives the bytes of a straight one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from sagecraft import artifact
from sagecraft.corpus.documents import Document, write_documents
from sagecraft.evaluation import batches
from sagecraft.evaluation.config import EvaluateConfig, PerplexityConfig, ReplyConfig
from sagecraft.evaluation.evaluate import run
from sagecraft.inference.local import LocalEngine

CONFIG = EvaluateConfig(
    modes=("continuation", "letter", "generate"),
    reply=ReplyConfig(thought_tokens=6, answer_tokens=6),
    perplexity=PerplexityConfig(tokens=4000, window=128),
)
KILLED = """
import sys
from pathlib import Path
from sagecraft.evaluation.config import EvaluateConfig
from sagecraft.evaluation.evaluate import run
config = EvaluateConfig.model_validate_json(sys.argv[1])
run(config, {name: Path(path) for name, path in (pair.split("=") for pair in sys.argv[3:])}, Path(sys.argv[2]))
"""


@pytest.fixture
def inputs(pico: Path, tmp_path: Path) -> dict[str, Path]:
    rows = [
        {"id": f"q{n}", "question": f"What is star {n}?", "choices": ["a planet", f"{n} 1", "helium"], "answer": n % 3}
        for n in range(12)
    ]
    artifact.write_jsonl(tmp_path / "task.jsonl", rows)
    write_documents(tmp_path / "text", [Document(f"d{n}", f"A planet {n} orbits its star. " * 40) for n in range(9)])
    return {"model": pico, "task": tmp_path / "task.jsonl", "domain": tmp_path / "text"}


def contents(folder: Path) -> tuple[bytes, dict[str, object]]:
    """items.jsonl, and results.json without its times."""
    results = json.loads((folder / "results.json").read_text())
    assert results.pop("seconds") > 0
    return (folder / "items.jsonl").read_bytes(), results


def test_interrupted_anywhere(inputs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "_BATCH_TOKENS", 128)
    monkeypatch.setattr(batches, "_BATCH_REPLIES", 2)  # fewer calls than between two stops, closed thoughts too
    run(CONFIG, inputs, tmp_path / "straight")
    expected = contents(tmp_path / "straight")
    calls = {"left": 0}

    def failing(name: str) -> None:
        original = getattr(LocalEngine, name)

        def wrapped(*args: object, **kwargs: object) -> object:
            calls["left"] -= 1
            if calls["left"] < 0:
                raise KeyboardInterrupt
            return original(*args, **kwargs)

        monkeypatch.setattr(LocalEngine, name, wrapped)

    for name in ("score", "write_each", "sequence_logprobs"):
        failing(name)
    num_stops = 0
    while not (tmp_path / "resumed").exists():
        calls["left"] = 3
        try:
            run(CONFIG, inputs, tmp_path / "resumed")
        except KeyboardInterrupt:
            num_stops += 1
    assert num_stops >= 4  # within continuation, letter, generate and perplexity
    assert contents(tmp_path / "resumed") == expected


def test_killed(inputs: dict[str, Path], tmp_path: Path) -> None:
    arguments = [f"{name}={path}" for name, path in inputs.items()]
    environment = {**os.environ, "OMP_NUM_THREADS": str(os.environ.get("OMP_NUM_THREADS", "1"))}
    out = tmp_path / "killed"
    records = tmp_path / "killed.work/scratch/store/records.jsonl"
    command = [sys.executable, "-c", KILLED, CONFIG.model_dump_json(), str(out), *arguments]
    child = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while child.poll() is None and time.monotonic() < deadline:
        if records.is_file() and records.stat().st_size > 500:
            child.send_signal(signal.SIGKILL)
        time.sleep(0.002)
    child.wait()
    assert child.returncode == -signal.SIGKILL
    assert not out.exists()
    assert subprocess.run(command, env=environment, check=False).returncode == 0
    assert (
        subprocess.run([*command[:4], str(tmp_path / "straight"), *arguments], env=environment, check=False).returncode
        == 0
    )
    assert contents(out) == contents(tmp_path / "straight")


def scores_of(row: dict[str, Any]) -> list[float]:
    return [value for option in row["options"] for name, value in option.items() if name in ("sum", "probability")]


@pytest.mark.parametrize("tokens", [1, 64, 100_000])
def test_order_number_and_batches_of_items_change_no_score(
    tokens: int, inputs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In float32, where the last digits of a product depend on how many rows it has."""
    config = CONFIG.model_copy(update={"dtype": "float32", "modes": ("continuation", "letter")})
    run(config, inputs, tmp_path / "all")
    lines = (inputs["task"]).read_text().splitlines()
    turned = tmp_path / "turned.jsonl"
    turned.write_text("\n".join(reversed(lines[3:])) + "\n")
    monkeypatch.setattr(batches, "_BATCH_TOKENS", tokens)
    run(config, {**inputs, "task": turned}, tmp_path / "some")
    known = {(row["id"], row["mode"]): row for row in artifact.read_jsonl(tmp_path / "all/items.jsonl")}
    rows = list(artifact.read_jsonl(tmp_path / "some/items.jsonl"))
    assert len(rows) == 9 * 2
    for row in rows:
        same = known[row["id"], row["mode"]]
        assert row["pick"] == same["pick"]
        assert scores_of(row) == pytest.approx(scores_of(same), abs=1e-4)
        assert row["prompt"] == same["prompt"]
