"""Units of work: the same rows for any number of processes, and after a kill."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest

from sagecraft.corpus.documents import Document, write_documents
from sagecraft.errors import MachineError
from sagecraft.synthesis import shards
from sagecraft.synthesis.shards import units_of
from sagecraft.synthesis.synth import SynthConfig, run

TOWNS = ["Erfurt", "Gotha", "Jena", "Weimar", "Apolda", "Suhl", "Gera", "Greiz", "Ilmenau", "Eisenach"]


def documents(folder: Path, count: int) -> Path:
    write_documents(folder, made(count))
    return folder


def made(count: int) -> Iterator[Document]:
    for number in range(count):
        town = f"{TOWNS[number % 10]} {number}"
        text = (
            f"The great bell of {town} was cast in {1400 + number}. The mass of the great bell of {town} is about {number}.4 tonnes. "
            f"The pitch of the great bell of {town} depends on its width. It is a surprise."
        )
        yield Document(
            id=f"bell-{number:03d}", text=text, title=f"The great bell of {town}", authors=["Ada Smith"], year=1990
        )


def test_units_are_of_so_many_documents_and_characters(monkeypatch: pytest.MonkeyPatch) -> None:
    counts: dict[str, int] = {}
    assert [len(unit) for unit in units_of(made(150), counts)] == [64, 64, 22]
    assert counts == {"num_documents": 150, "num_withheld_skipped": 0}
    monkeypatch.setattr(shards, "UNIT_CHARS", 1_000)
    sizes = [sum(len(document.text) for document in unit) for unit in units_of(made(150), counts)]
    assert len(sizes) > 20
    assert max(sizes) <= 1_000


def test_the_same_rows_for_any_number_of_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "UNIT_DOCUMENTS", 6)
    inputs = {"documents": documents(tmp_path / "d", 18)}
    one = run(SynthConfig(workers=1), inputs, tmp_path / "one")
    three = run(SynthConfig(workers=3), inputs, tmp_path / "three")
    assert one.files == three.files
    assert one.stats == three.stats
    assert one.stats["num_questions"] > 30


def test_a_killed_run_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "UNIT_DOCUMENTS", 6)
    inputs = {"documents": documents(tmp_path / "d", 18)}
    straight = run(SynthConfig(workers=1), inputs, tmp_path / "straight")
    asked: list[str] = []
    write_part = shards.write_part

    def dying(config: SynthConfig, leaks: None, path: Path, unit: list[Document]) -> None:
        if len(asked) == 2:
            raise MachineError("killed")
        asked.append(path.name)
        write_part(config, leaks, path, unit)

    monkeypatch.setattr(shards, "write_part", dying)
    with pytest.raises(MachineError, match="killed"):
        run(SynthConfig(workers=1), inputs, tmp_path / "out")
    asked.clear()
    resumed = run(SynthConfig(workers=1), inputs, tmp_path / "out")
    assert asked == ["part-000002.jsonl"]
    assert resumed.files == straight.files
    assert resumed.stats == straight.stats
    assert not (tmp_path / "out" / "scratch").exists()


def test_a_worker_ends_within_a_part_when_its_run_dies(tmp_path: Path) -> None:
    """It would go on writing where the run that goes on writes the same part."""
    command = [sys.executable, "-m", "sagecraft.synthesis.shards"]
    unit = {"path": str(tmp_path / "work" / "part-000000.jsonl"), "documents": [asdict(one) for one in made(3_000)]}
    with subprocess.Popen(command, stdin=subprocess.PIPE, encoding="utf-8") as worker:
        assert worker.stdin is not None
        for line in ({"config": SynthConfig().model_dump(mode="json"), "benchmarks": []}, unit):
            worker.stdin.write(json.dumps(line) + "\n")
        worker.stdin.close()
        assert worker.wait(30) == 0
    assert not list(tmp_path.iterdir())


#: The great bell of so many towns, no two of one name: what tells questions apart is a name, as in literature.
_SYLLABLES = [first + vowel for first in "bdfgklmnprstvz" for vowel in "aeiou"]


def towns(count: int) -> Iterator[Document]:
    """Documents of which no question repeats one of another."""
    for number in range(count):
        part = number
        name = ""
        for _ in range(3):
            part, rest = divmod(part, len(_SYLLABLES))
            name += _SYLLABLES[rest]
        town = f"{name.capitalize()}burg"
        text = (
            f"The great bell of {town} was cast in {1400 + number % 600}. The mass of the great bell of {town} is about {number}.4 tonnes. "
            f"The pitch of the great bell of {town} depends on its width. It is a surprise. A {name}bell is a bell that rings in {town}. "
            f"Because the tower of {town} is narrow, the bell of {town} swings slowly."
        )
        yield Document(
            id=f"bell-{number:06d}",
            text=text,
            title=f"Bells of {town}",
            authors=[f"Ada {name.capitalize()}"],
            year=1990,
        )


_RUN = """
import resource, sys
from pathlib import Path
from sagecraft.synthesis.synth import SynthConfig, run
manifest = run(SynthConfig(workers=2), {"documents": Path(sys.argv[1])}, Path(sys.argv[2]))
own, others = (resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
print(manifest.stats["num_questions"], own, others)
"""


def spent(source: Path, out: Path) -> tuple[int, int, int]:
    """Questions, and peak memory (KiB) of the stage and of its largest worker."""
    done = subprocess.run(
        [sys.executable, "-c", _RUN, str(source), str(out)], capture_output=True, text=True, check=True
    )
    questions, own, others = map(int, done.stdout.split())
    return questions, own, others


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_ten_times_the_documents_take_no_more_memory(tmp_path: Path) -> None:
    for name, count in (("few", 500), ("many", 5_000)):
        write_documents(tmp_path / name, towns(count))
    few = spent(tmp_path / "few", tmp_path / "one")
    many = spent(tmp_path / "many", tmp_path / "ten")
    assert 9.5 * few[0] < many[0] < 10.5 * few[0], "ten times the work, and not the same questions once more"
    assert many[1] < 1.3 * few[1]
    assert many[2] < 1.3 * few[2]


@pytest.mark.soak
def test_killed_without_warning_it_leaves_no_process_and_goes_on(tmp_path: Path) -> None:
    source = documents(tmp_path / "d", 640)
    spent(source, tmp_path / "straight")
    command = [sys.executable, "-c", _RUN, str(source), str(tmp_path / "out")]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        parts = tmp_path / "out.work" / "scratch" / "parts"
        deadline = time.monotonic() + 300
        while len(list(parts.glob("part-*"))) < 2 and time.monotonic() < deadline:
            time.sleep(0.05)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        process.kill()
    made = list(parts.glob("part-*"))
    assert 2 <= len(made) < 10
    assert len(children) == 2
    killed = time.monotonic()
    while any(Path(f"/proc/{child}").exists() for child in children):
        assert time.monotonic() < killed + 10, "a worker outlived its run"
        time.sleep(0.1)
    spent(source, tmp_path / "out")
    for name in ("conversations.jsonl", "dropped.jsonl", "manifest.json"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "straight" / name).read_bytes()
