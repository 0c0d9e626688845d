"""One process and several, straight, killed and resumed: the same bytes."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from sagecraft import artifact
from sagecraft.errors import MachineError
from sagecraft.evaluation import batches
from sagecraft.evaluation.config import EvaluateConfig, ReplyConfig
from sagecraft.evaluation.evaluate import run
from sagecraft.evaluation.processes import Helpers

CONFIG = EvaluateConfig(
    modes=("continuation", "letter", "generate"), reply=ReplyConfig(thought_tokens=4, answer_tokens=4)
)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """A product's last digits depend on its threads, which processes divide."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def inputs(pico: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    monkeypatch.setattr(batches, "_BATCH_TOKENS", 256)
    monkeypatch.setattr(batches, "_BATCH_REPLIES", 8)
    rows = [
        {"question": f"What is star {n}?{' Say why.' * (n % 5)}", "choices": ["a planet", f"{n} 1"], "answer": n % 2}
        for n in range(24)
    ]
    artifact.write_jsonl(tmp_path / "task.jsonl", rows)
    return {"model": pico, "task": tmp_path / "task.jsonl"}


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Modes of the batches that helpers ran."""
    modes: list[str] = []
    original = Helpers._away

    def noting(self: Helpers, process: Any, mode: str, shared: int, batches: Sequence[Any], number: int) -> None:
        original(self, process, mode, shared, batches, number)
        modes.append(mode)

    monkeypatch.setattr(Helpers, "_away", noting)
    return modes


def items(folder: Path) -> bytes:
    return (folder / "items.jsonl").read_bytes()


def test_two_processes_write_what_one_does(inputs: dict[str, Path], sent: list[str], tmp_path: Path) -> None:
    config = CONFIG.model_copy(update={"dtype": "float32"})
    run(config, inputs, tmp_path / "one")
    run(config.model_copy(update={"processes": 2}), inputs, tmp_path / "two")
    assert set(sent) == {"continuation", "letter", "generate"}
    assert items(tmp_path / "one") == items(tmp_path / "two")
    assert artifact.read_json(tmp_path / "one/manifest.json") == artifact.read_json(tmp_path / "two/manifest.json")


def test_a_process_that_dies_ends_the_run_and_the_next_start_goes_on(
    inputs: dict[str, Path], sent: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(CONFIG, inputs, tmp_path / "one")
    start = Helpers._start
    killed: list[subprocess.Popen[bytes]] = []

    def killing(self: Helpers, count: int) -> None:
        start(self, count)
        if len(sent) >= 2 and not killed:
            killed.append(self._processes[0])
            killed[0].kill()

    monkeypatch.setattr(Helpers, "_start", killing)
    config = CONFIG.model_copy(update={"processes": 2})
    with pytest.raises(MachineError, match="a process of the evaluation died"):
        run(config, inputs, tmp_path / "two")
    assert not (tmp_path / "two").exists()
    run(CONFIG, inputs, tmp_path / "two")
    assert killed[0].returncode == -9
    assert items(tmp_path / "one") == items(tmp_path / "two")
