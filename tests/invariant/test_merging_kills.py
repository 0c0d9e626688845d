"""A merge that is killed or stopped anywhere, and started again, ends with the bytes of one that was left alone."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from forked import Forks, contents, forks
from pico import pico_model
from sagecraft.artifact import _work as work_of
from sagecraft.artifact import keyed_hash
from sagecraft.errors import UserError
from sagecraft.lock import locked
from sagecraft.merging import alignment, finish
from sagecraft.merging.journal import Journal
from sagecraft.merging.merge import merge_from_yaml
from sagecraft.merging.summary import TensorSummary

SEED = 0
#: Blocks of TIES: two histograms and the merge of every tensor, a fourth pass where magnitudes are equal.
METHOD = "ties"


@dataclass
class Merges:
    """A process that forks merges, and one merge that nothing disturbed: how many file operations it did, and seconds."""

    forks: Forks
    yaml: Path
    events: list[list[str]]
    seconds: float

    def start(self, name: str, **case: Any) -> dict[str, Any]:
        """Merges into the folder of this name, or takes a merge up."""
        return self.forks.start(name, {"merge": str(self.yaml), **case})

    def out(self, name: str) -> Path:
        """Where the result goes."""
        return self.forks.folder / name

    def finish(self, name: str, **case: Any) -> str:
        """Takes a merge up to its end; what it said."""
        code = self.start(name, **case)["code"]
        said = self.forks.said(name)
        assert code == 0, said
        assert contents(self.out(name)) == contents(self.out("straight"))
        assert not work_of(self.out(name)).exists()
        return said

    def journal(self, name: str) -> int:
        """Tensors that an interrupted merge noted."""
        path = work_of(self.out(name)) / "scratch/journal/tensors.jsonl"
        return len(path.read_bytes().splitlines()) if path.exists() else 0

    def moments(self, part: str) -> list[int]:
        """Numbers of the file operations up to the last tensor's, or behind it: tokenizer, check, manifest, renaming."""
        last = max(n for n, event in enumerate(self.events) if "/scratch/" in event[1] and event[0] == "open")
        return list(range(last + 1)) if part == "weights" else list(range(last + 1, len(self.events)))


@pytest.fixture(scope="module")
def merges(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Merges]:
    root = tmp_path_factory.mktemp("merges")
    for seed, name in enumerate(("base", "a", "b")):
        pico_model(root / name, seed, "bfloat16")
    yaml = root / "merge.yml"
    entries = [{"model": name, "parameters": {"weight": 0.5, "density": 0.4}} for name in "ab"]
    yaml.write_text(json.dumps({"merge_method": METHOD, "base_model": "base", "models": entries}))
    with forks(root) as forked:
        made = Merges(forked, yaml, [], 0.0)
        answer = made.start("straight")
        assert answer["code"] == 0, forked.said("straight")
        made.events, made.seconds = answer["events"], answer["seconds"]
        yield made


def test_killed_within_a_tensor_it_goes_on_with_other_threads_and_without_its_kernel(merges: Merges) -> None:
    assert merges.start("tensor", kill_at_block=12, noted=True)["code"] == -signal.SIGKILL
    assert not merges.out("tensor").exists()
    noted = merges.journal("tensor")
    assert 0 < noted <= 12
    said = merges.finish("tensor", threads=3, plain=True)
    assert f"an interrupted merge made {noted} tensors; it goes on with the next" in said


def test_killed_behind_the_weights_nothing_is_merged_again(merges: Merges) -> None:
    """In the check, which takes longer than the merge."""
    moments = merges.moments("finish")
    assert merges.start("check", kill_at=moments[len(moments) // 2])["code"] == -signal.SIGKILL
    assert not merges.out("check").exists()
    # a merge of the first block would kill this one too
    assert merges.start("check", kill_at_block=0)["code"] == 0
    assert contents(merges.out("check")) == contents(merges.out("straight"))


def test_stopped_by_the_keyboard_it_says_so_and_goes_on(merges: Merges) -> None:
    code = merges.start("stopped", kill_at_block=12, noted=True, signal=signal.SIGINT)["code"]
    said = merges.forks.said("stopped")
    assert code == 1
    assert "stopped; run the same command again to go on" in said
    assert "Traceback" not in said
    assert not merges.out("stopped").exists()
    assert merges.journal("stopped") > 0
    assert "an interrupted merge made" in merges.finish("stopped")


def test_what_the_journal_names_is_not_there(merges: Merges, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that a power cut took, or a file system without links: rows are aligned anew for its tensors, too."""
    assert merges.start("lost", kill_at_block=12, noted=True)["code"] == -signal.SIGKILL
    for file in (work_of(merges.out("lost")) / "scratch/weights").iterdir():
        file.unlink()
    aligned = []

    def align(plan: Any, folder: Path, done: Any = ()) -> Any:
        aligned.append(dict(done))
        return plan

    monkeypatch.setattr(alignment, "align", align)
    monkeypatch.setattr(finish, "check", lambda folder, plan: None)
    merge_from_yaml(merges.yaml, merges.out("lost"))
    assert aligned == [{}]
    weights = "model.safetensors"
    assert (merges.out("lost") / weights).read_bytes() == (merges.out("straight") / weights).read_bytes()


@pytest.mark.soak
def test_terminated_it_is_as_if_killed(merges: Merges) -> None:
    """There is nothing to tidy up: what is finished is noted all the while."""
    assert merges.start("terminated", kill_at_block=12, noted=True, signal=signal.SIGTERM)["code"] == -signal.SIGTERM
    assert not merges.out("terminated").exists()
    assert "an interrupted merge made" in merges.finish("terminated")


@pytest.mark.parametrize("what", ["weights", pytest.param("density", marks=pytest.mark.soak)])
def test_what_changed_since_is_not_used(what: str, merges: Merges, tmp_path: Path) -> None:
    """Weights of the same size and time, or another setting: the merge begins afresh."""
    for name in ("base", "a", "b"):
        shutil.copytree(merges.yaml.parent / name, tmp_path / name)
    yaml = tmp_path / "merge.yml"
    value = json.loads(merges.yaml.read_text())
    yaml.write_text(json.dumps(value))
    case, out = {"merge": str(yaml)}, merges.out(f"changed-{what}")
    assert merges.forks.start(out.name, {**case, "kill_at_block": 12})["code"] == -signal.SIGKILL
    if what == "density":
        value["models"][0]["parameters"]["density"] = 0.5
        yaml.write_text(json.dumps(value))
    else:
        path = tmp_path / "b/model.safetensors"
        times = path.stat()
        save_file({name: -tensor for name, tensor in load_file(path).items()}, path, metadata={"format": "pt"})
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert merges.forks.start(out.name, case)["code"] == 0
    assert "an interrupted merge" not in merges.forks.said(out.name)
    assert merges.forks.start(f"{out.name}-fresh", case)["code"] == 0
    assert contents(out) == contents(merges.out(f"{out.name}-fresh"))


def test_a_second_merge_into_the_same_folder_waits_for_nothing(merges: Merges) -> None:
    out = merges.out("shared")
    with locked(out.with_name("shared.lock"), "taken"), pytest.raises(UserError, match="another sagecraft writes it"):
        merge_from_yaml(merges.yaml, out)
    assert not out.exists()
    assert not work_of(out).exists()


MOMENTS = [("weights", n) for n in range(8)] + [("finish", n) for n in range(8)] + [("block", n) for n in range(8)]


@pytest.mark.soak
@pytest.mark.parametrize(("kind", "number"), [*MOMENTS, *(("clock", n) for n in range(16))])
def test_killed_at_forty_moments(kind: str, number: int, merges: Merges) -> None:
    """Every second one is killed again on its way, and goes on with another number of threads."""
    name = f"kill-{kind}-{number}"
    for draw in range(1 + number % 2):
        key = keyed_hash(SEED, "kill", kind, number, draw)
        if kind == "block":
            kill = {"kill_at_block": key % 40}
        elif kind == "clock":
            kill = {"kill_after": merges.seconds * (0.05 + 0.9 * key / 2**64)}
        else:
            moments = merges.moments(kind)
            kill = {"kill_at": moments[key % len(moments)]}
        code = merges.start(name, **kill)["code"]
        assert code in (0, -signal.SIGKILL), merges.forks.said(name)  # 0: the second was through before
        assert merges.out(name).exists() == (code == 0) or kind == "finish"
    merges.finish(name, threads=1 + number % 3, plain=number % 4 == 3)


def test_a_line_of_the_journal_stands_for_bytes_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before a tensor is noted, its file is synced: a power cut leaves no line without its bytes."""
    written = tmp_path / "weights"
    handle = os.open(written, os.O_RDWR | os.O_CREAT)
    seen: list[tuple[int, int]] = []
    sync = os.fdatasync

    def fdatasync(number: int) -> None:
        sync(number)
        lines = (tmp_path / "journal").read_bytes().splitlines()
        seen.append((written.stat().st_size, len(lines)))

    monkeypatch.setattr(os, "fdatasync", fdatasync)
    with Journal(tmp_path / "journal") as journal:
        for n in range(50):
            os.pwrite(handle, b"x", n)
            journal.add(TensorSummary(f"t{n}", 1, {}, 0.0, 0.0, {}), handle)
    os.close(handle)
    assert len(Journal(tmp_path / "journal").finished()) == 50
    assert seen
    assert all(lines < size for size, lines in seen)


@pytest.mark.parametrize(
    "tail", [b'{"name": "t9"', b"\0" * 4096, b"\0" * 4096 + b"\n", b"[]\n", b'{"name": 1}\n', b"\xff\n"]
)
def test_a_torn_journal_counts_up_to_its_last_whole_line(tail: bytes, tmp_path: Path) -> None:
    with Journal(tmp_path / "journal") as journal:
        handle = os.open(tmp_path / "weights", os.O_RDWR | os.O_CREAT)
        for n in range(3):
            journal.add(TensorSummary(f"t{n}", 1, {}, 0.0, 0.0, {}), handle)
    os.close(handle)
    with (tmp_path / "journal").open("ab") as file:
        file.write(tail)
    with Journal(tmp_path / "journal") as journal:
        assert list(journal.finished()) == ["t0", "t1", "t2"]
    assert len((tmp_path / "journal").read_bytes().splitlines()) == 3


def test_a_full_disk_stops_the_merge_and_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(number: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fdatasync", full)
    handle = os.open(tmp_path / "weights", os.O_RDWR | os.O_CREAT)
    journal = Journal(tmp_path / "journal")
    with pytest.raises(OSError, match="No space"), journal:
        journal.add(TensorSummary("t", 1, {}, 0.0, 0.0, {}), handle)
    os.close(handle)
    assert Journal(tmp_path / "journal").finished() == {}
