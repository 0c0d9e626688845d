"""Training that is killed with SIGKILL anywhere, and resumed, ends with the bytes of a run that was left alone."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from forked import Forks, contents, forks
from pico import write_tokens
from sagecraft import artifact
from sagecraft.training.checkpoint import load_checkpoint
from sagecraft.training.schedule import OptimizerConfig
from sagecraft.training.train import TrainConfig

SEED = 0
#: Two and a half epochs of rows with several pieces, a checkpoint at every step.
CONFIG = TrainConfig(
    optimizer=OptimizerConfig(learning_rate=1e-3), epochs=2.5, rows_per_step=3, rows_per_pass=2, checkpoint_minutes=0
)
LENGTHS = [20, 45, 31, 7, 64, 22, 50, 13, 40, 28, 33]


@dataclass
class Runs:
    """A process that forks training runs, and one run that nothing disturbed.

    Attributes:
        events: its file operations, in order.
        seconds: how long it took.
    """

    forks: Forks
    inputs: dict[str, str]
    events: list[list[str]]
    seconds: float

    @property
    def folder(self) -> Path:
        """Where the runs are."""
        return self.forks.folder

    def start(self, name: str, **kill: Any) -> dict[str, Any]:
        """Runs, or takes up, the run of this name; `kill` as killed.py takes it."""
        return self.forks.start(name, {"inputs": self.inputs, "config": CONFIG.model_dump(mode="json"), **kill})

    def finish(self, name: str) -> str:
        """Takes a run up to its end, which must be that of the undisturbed one. Returns what it said."""
        code = self.start(name)["code"]
        said = self.forks.said(name)
        assert code == 0, said
        assert contents(self.folder / name) == contents(self.folder / "straight")
        assert not (self.folder / f"{name}.work").exists()
        return said

    def moments(self, kind: str) -> list[int]:
        """Numbers of the file operations inside checkpoints, or of the final save and what follows it."""
        in_checkpoint = [n for n, event in enumerate(self.events) if "/scratch/checkpoints" in event[1]]
        return in_checkpoint if kind == "checkpoint" else list(range(in_checkpoint[-1] + 1, len(self.events)))


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, pico: Path) -> Iterator[Runs]:
    folder = tmp_path_factory.mktemp("kills")
    tokens = write_tokens(folder / "tokens", pico, LENGTHS)
    with forks(folder) as forked:
        made = Runs(forked, {"model": str(pico), "tokens": str(tokens)}, [], 0.0)
        answer = made.start("straight")
        assert answer["code"] == 0, forked.said("straight")
        made.events, made.seconds = answer["events"], answer["seconds"]
        yield made


def kill(runs: Runs, name: str, kind: str, number: int) -> None:
    """Starts a run, or takes one up, and kills it at a keyed moment of this kind."""
    draw = artifact.keyed_hash(SEED, "kill", kind, number)
    if kind != "clock":
        moments = runs.moments(kind)
        assert runs.start(name, kill_at=moments[draw % len(moments)])["code"] == -signal.SIGKILL
        return
    seconds = runs.seconds * (0.05 + 0.9 * draw / 2**64)
    while runs.start(name, kill_after=seconds)["code"] != -signal.SIGKILL:  # it was faster than the undisturbed one
        shutil.rmtree(runs.folder / name)
        seconds /= 2


@pytest.mark.parametrize("kind", ["checkpoint", "save"])
def test_killed_inside_a_checkpoint_or_the_final_save(kind: str, runs: Runs) -> None:
    kill(runs, f"short-{kind}", kind, 0)
    runs.finish(f"short-{kind}")


#: Eight inside a checkpoint, four inside the final save, eight by the clock.
MOMENTS = (
    [("checkpoint", n) for n in range(1, 9)] + [("save", n) for n in range(1, 5)] + [("clock", n) for n in range(8)]
)


@pytest.mark.soak
@pytest.mark.parametrize(("kind", "number"), MOMENTS)
def test_killed_at_twenty_moments(kind: str, number: int, runs: Runs) -> None:
    """Every second one is killed again on its way."""
    name = f"kill-{kind}-{number}"
    kill(runs, name, kind, number)
    if number % 2:
        kill(runs, name, "clock", 100 + number)
    runs.finish(name)


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def flip_a_bit(path: Path) -> None:
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 4
    path.write_bytes(raw)


def empty(path: Path) -> None:
    path.write_bytes(b"")


DAMAGES: dict[str, Callable[[Path], None]] = {
    "truncated": cut_short,
    "flipped bit": flip_a_bit,
    "empty": empty,
    "missing": Path.unlink,
}
FILES = ("*.safetensors", "part-*.json", "state.json")


@pytest.fixture(scope="module")
def interrupted(runs: Runs) -> Path:
    """The work folder of a run that died while it wrote its sixth checkpoint: two whole ones stand there."""
    part = next(n for n, event in enumerate(runs.events) if "step-00000006.part" in event[1])
    assert runs.start("interrupted", kill_at=part + 2)["code"] == -signal.SIGKILL
    return runs.folder / "interrupted.work"


def damaged_copy(runs: Runs, interrupted: Path, name: str) -> Path:
    """A copy to damage. Returns its folder of checkpoints."""
    shutil.copytree(interrupted, runs.folder / f"{name}.work")
    return runs.folder / f"{name}.work" / "scratch" / "checkpoints"


def check_damage(runs: Runs, interrupted: Path, damage: str, pattern: str, capsys: pytest.CaptureFixture[str]) -> None:
    name = f"{damage}-{pattern}".translate(str.maketrans(" *.", "---"))
    checkpoints = damaged_copy(runs, interrupted, name)
    (broken,) = (checkpoints / "step-00000005").glob(pattern)
    DAMAGES[damage](broken)
    before = contents(checkpoints)
    found = load_checkpoint(checkpoints)
    assert found is not None
    assert found.state["step"] == 4
    assert "step-00000005: damaged" in capsys.readouterr().err.replace("\n", "")
    assert contents(checkpoints) == before, "nothing is deleted"
    said = runs.finish(name).replace("\n", "")
    assert "step-00000005: damaged" in said
    assert "resumed at step 4" in said


def test_a_flipped_bit_in_a_checkpoint_is_named_and_the_one_before_taken(
    runs: Runs, interrupted: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    check_damage(runs, interrupted, "flipped bit", "*.safetensors", capsys)


@pytest.mark.soak
@pytest.mark.parametrize("pattern", FILES)
@pytest.mark.parametrize("damage", DAMAGES)
def test_any_damage_of_any_file_is_named_and_the_one_before_taken(
    damage: str, pattern: str, runs: Runs, interrupted: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if (damage, pattern) == ("flipped bit", "*.safetensors"):
        pytest.skip("is in the short tests")
    check_damage(runs, interrupted, damage, pattern, capsys)


@pytest.mark.soak
def test_without_a_whole_checkpoint_the_run_starts_again(
    runs: Runs, interrupted: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoints = damaged_copy(runs, interrupted, "none-left")
    for step in (4, 5):
        for path in (checkpoints / f"step-{step:08d}").iterdir():
            path.unlink()
    assert load_checkpoint(checkpoints) is None
    said = runs.finish("none-left").replace("\n", "")
    assert "step-00000004: damaged" in said
    assert "step-00000005: damaged" in said
    assert "resumed" not in said
