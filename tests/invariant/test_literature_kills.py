"""Conversations and benchmarks that are killed with SIGKILL anywhere, and made again, have the bytes of a run left alone."""

from __future__ import annotations

import shutil
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from forked import Forks, contents, forks
from sagecraft import artifact
from sagecraft.corpus.documents import Document, write_documents

SEED = 0
STAGES = ("synth", "bench")
#: Documents, and those of a unit of work: four units.
COUNT, UNIT = 16, 4
PLACES = "Arn Brill Corv Dane Esk Fenn Gorm Hald Ilve Jarn Kesh Lorn Mott Nive Orle Pell".split()
THINGS = "wooden iron narrow covered double swing stone painted ancient floating hanging private lower upper long short".split()


def made(count: int) -> Iterator[Document]:
    """Documents that both stages make something of, no two alike."""
    for number in range(count):
        turn, rest = divmod(number, len(PLACES))
        place, thing = PLACES[rest] + "abcdefghij"[turn % 10] * (turn > 0) + str(turn // 10 or ""), THINGS[rest]
        text = (
            f"The {thing} bridge of {place} carries {117 + 7 * number} tonnes of freight on every working day of its season. "
            f"The great bell of {place} was cast in {1400 + number}. The pitch of the great bell of {place} depends on its width.\n\n"
            f"A {thing}wright is a builder who mends the {thing} bridge of {place} before the winter."
        )
        yield Document(
            id=f"place-{number:05d}", text=text, title=f"The bridge of {place}", authors=["Ada Pont"], year=1990
        )


@dataclass
class Runs:
    """A process that forks runs of both stages, and a run of each that nothing disturbed."""

    forks: Forks
    inputs: dict[str, str]
    events: dict[str, list[list[str]]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    def start(self, stage: str, name: str, workers: int = 1, **kill: Any) -> dict[str, Any]:
        """Makes `name`, or takes it up; `kill` as killed.py takes it."""
        config = {"workers": workers} if stage == "synth" else {}
        case = {"stage": stage, "inputs": self.inputs, "config": config, "unit": UNIT}
        return self.forks.start(name, {**case, **kill})

    def finish(self, stage: str, name: str, workers: int = 1) -> None:
        """Takes a run up to its end, which must be that of the undisturbed one."""
        code = self.start(stage, name, workers)["code"]
        assert code == 0, self.forks.said(name)
        self.check(stage, name)

    def check(self, stage: str, name: str) -> None:
        """Whether a finished run is the undisturbed one, and nothing stands beside it."""
        found, wanted = contents(self.forks.folder / name), contents(self.forks.folder / f"straight-{stage}")
        if stage == "synth":  # the configuration tells the number of processes
            assert found.pop("manifest.json")
            assert wanted.pop("manifest.json")
        assert found == wanted
        assert not (self.forks.folder / f"{name}.work").exists()
        shutil.rmtree(self.forks.folder / name)


def opened(folder: Path, count: int) -> Iterator[Runs]:
    write_documents(folder / "documents-in", made(count))
    write_documents(
        folder / "training", [Document(id="t", text="The tower of Brill was raised by masons from the hills.")]
    )
    with forks(folder, "literature") as forked:
        runs = Runs(forked, {"documents": str(folder / "documents-in"), "training": str(folder / "training")})
        for stage in STAGES:
            answer = runs.start(stage, f"straight-{stage}")
            assert answer["code"] == 0, forked.said(f"straight-{stage}")
            runs.events[stage], runs.seconds[stage] = answer["events"], answer["seconds"]
        yield runs


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    yield from opened(tmp_path_factory.mktemp("kills"), COUNT)


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    """Runs of some seconds."""
    yield from opened(tmp_path_factory.mktemp("many"), 1_500)


@pytest.mark.parametrize("stage", STAGES)
def test_killed_at_drawn_file_operations_it_ends_with_the_same_bytes(runs: Runs, stage: str) -> None:
    total = len(runs.events[stage])
    assert total > 10
    for draw in range(3):
        moment = artifact.keyed_hash(SEED, stage, draw) * total >> 64
        assert runs.start(stage, f"{stage}-{moment}", kill_at=moment)["code"] == -signal.SIGKILL
        runs.finish(stage, f"{stage}-{moment}")


def test_parts_that_are_there_are_not_made_again(runs: Runs) -> None:
    """Killed at the last part, the run that goes on opens a part to write once."""

    def renamed(event: list[str]) -> bool:
        return event[0] == "os.rename" and Path(event[-1]).name.startswith("part-")

    parts = [number for number, event in enumerate(runs.events["synth"]) if renamed(event)]
    assert len(parts) == COUNT // UNIT
    assert runs.start("synth", "last", kill_at=parts[-1])["code"] == -signal.SIGKILL
    events = runs.start("synth", "last")["events"]
    assert [Path(event[-1]).name for event in events if renamed(event)] == [f"part-{COUNT // UNIT - 1:06d}.jsonl"]
    runs.check("synth", "last")


@pytest.mark.soak
@pytest.mark.parametrize("stage", STAGES)
def test_killed_at_any_file_operation_it_ends_with_the_same_bytes(runs: Runs, stage: str) -> None:
    for moment in range(len(runs.events[stage])):
        assert runs.start(stage, f"{stage}-{moment}", kill_at=moment)["code"] == -signal.SIGKILL
        runs.finish(stage, f"{stage}-{moment}")


@pytest.mark.soak
@pytest.mark.parametrize("stage", STAGES)
def test_killed_by_the_clock_again_and_again_with_any_number_of_processes(many: Runs, stage: str) -> None:
    kills, left = 0, 12
    began = time.monotonic()
    while left and time.monotonic() - began < 900:
        workers = 1 + artifact.keyed_hash(SEED, stage, "workers", kills) % 3
        seconds = many.seconds[stage] * (0.02 + 0.6 * artifact.keyed_hash(SEED, stage, "clock", kills) / 2**64)
        if many.start(stage, "clock", workers, kill_after=seconds)["code"] == 0:
            many.check(stage, "clock")
        kills, left = kills + 1, left - 1
    many.finish(stage, "clock", 2)
    assert kills >= 5
