"""Units of work: the same rows for any number of processes, and after a kill."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sagecraft.corpus.documents import Document, write_documents
from sagecraft.errors import MachineError
from sagecraft.synthesis import shards, synth
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
    assert synth.VERSION >= 6
