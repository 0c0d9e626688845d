"""The pool of workers: whatever a file does to its reader, the run ends with the same documents."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sagecraft.corpus import pool
from sagecraft.corpus.documents import read_documents, read_dropped
from sagecraft.corpus.executors import LimitsConfig
from sagecraft.corpus.filters import FilterConfig
from sagecraft.corpus.ingest import IngestConfig, run
from sagecraft.errors import MachineError

#: A worker whose reader of plain text does what the text says.
EVIL = """
import os, signal, sys, time
from pathlib import Path
from sagecraft.corpus.readers import registry
from sagecraft.corpus.readers.found import single
from sagecraft.corpus.readers.result import ReadResult
from sagecraft.corpus import worker

def read(path, root):
    text = path.read_text()
    if text.startswith("hang"):
        time.sleep(600)
    if text.startswith("crash"):
        os.kill(os.getpid(), signal.SIGSEGV)
    if text.startswith("killed"):
        os.kill(os.getpid(), signal.SIGKILL)
    if text.startswith("eat"):
        hoard = [bytearray(64 << 20) for _ in range(64)]
    if text.startswith("fail"):
        raise KeyError("a bug of a reader")
    if text.startswith("exit"):
        os._exit(3)
    return ReadResult(text=text)

registry.READERS[".txt"] = ("text", single(read))
worker.main(Path(sys.argv[1]), int(sys.argv[2]))
"""


@pytest.fixture
def evil(monkeypatch, tmp_path):
    script = tmp_path / "evil.py"
    script.write_text(EVIL)
    monkeypatch.setattr(
        pool,
        "worker_command",
        lambda folder, limits: [sys.executable, str(script), str(folder), str(limits.worker_mib * 2**20)],
    )


def corpus(tmp_path: Path, **texts: str) -> Path:
    folder = tmp_path / "lit"
    folder.mkdir()
    for name, text in texts.items():
        (folder / f"{name}.txt").write_text(text)
    return folder


def ingest(folder: Path, out: Path, **config):
    config.setdefault("limits", LimitsConfig(document_seconds=3.0, worker_mib=512))
    settings = IngestConfig(paths=[str(folder)], filters=FilterConfig(min_words=1), **config)
    run(settings, {"path0": folder}, out)
    return [row.id for row in read_documents(out)], {row.id: row.reason for row in read_dropped(out)}


def test_a_reader_that_hangs_crashes_or_eats_memory_costs_its_file_alone(tmp_path, evil):
    folder = corpus(
        tmp_path, a="one two", b="crash now", c="three four", d="hang on", e="eat all", f="fail", g="five six", h="exit"
    )
    kept, dropped = ingest(folder, tmp_path / "out")
    assert kept == ["lit/a", "lit/c", "lit/g"]
    assert dropped == {
        "lit/b": "reader-crashed",
        "lit/d": "reader-timeout",
        "lit/e": "reader-memory",
        "lit/f": "reader-failed",
        "lit/h": "reader-crashed",
    }


def test_what_the_system_kills_is_named_so(tmp_path, evil):
    kept, dropped = ingest(corpus(tmp_path, a="one two", b="killed"), tmp_path / "out")
    assert kept == ["lit/a"]
    assert dropped == {"lit/b": "reader-killed"}


def test_a_worker_that_never_starts_ends_the_run_with_its_words(tmp_path, monkeypatch):
    command = [sys.executable, "-c", "raise SystemExit('no such thing')"]
    monkeypatch.setattr(pool, "worker_command", lambda folder, limits: command)
    with pytest.raises(MachineError, match="no such thing"):
        ingest(corpus(tmp_path, a="one two"), tmp_path / "out")


def _many(tmp_path: Path) -> Path:
    return corpus(tmp_path, **{f"n{number:03d}": f"text number {number}" for number in range(450)})


def _bytes(out: Path) -> dict[str, bytes]:
    names = sorted(path for path in out.rglob("*") if path.is_file() and path.suffix != ".html")
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in names if path.name != "timing.json"}


def test_one_worker_and_three_leave_the_same_bytes(tmp_path):
    folder = _many(tmp_path)
    ingest(folder, tmp_path / "one", workers=1)
    ingest(folder, tmp_path / "three", workers=3)
    assert _bytes(tmp_path / "one") == _bytes(tmp_path / "three")
    assert "workers" not in json.loads((tmp_path / "one/manifest.json").read_text())["config"]


def test_killed_in_the_middle_it_does_the_unfinished_tasks_only(tmp_path, monkeypatch):
    folder, out = _many(tmp_path), tmp_path / "out"
    ingest(folder, tmp_path / "straight")
    code = (
        "from pathlib import Path; from sagecraft.corpus.ingest import *; from sagecraft.corpus.filters import *\n"
        "from sagecraft.corpus.executors import LimitsConfig\n"
        f"run(IngestConfig(paths=[{str(folder)!r}], filters=FilterConfig(min_words=1), workers=1,"
        "limits=LimitsConfig(document_seconds=3.0, worker_mib=512)),"
        f"{{'path0': Path({str(folder)!r})}}, Path({str(out)!r}))"
    )
    child = subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
    deadline = time.monotonic() + 60
    while (
        not (parts := list(out.parent.glob("out.work/**/parts/[0-9][0-9][0-9][0-9][0-9]")))
        and time.monotonic() < deadline
    ):
        time.sleep(0.005)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    assert parts
    assert not out.exists()
    done: list[list[int]] = []
    finish = pool.Pool.run

    def spy(self, tasks):
        done.append(tasks)
        finish(self, tasks)

    monkeypatch.setattr(pool.Pool, "run", spy)
    ingest(folder, out)
    finished = {int(part.name) for part in parts}
    assert not finished & {task for tasks in done for task in tasks}
    assert _bytes(out) == _bytes(tmp_path / "straight")
