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
from sagecraft.corpus.tasks import load_skips
from sagecraft.errors import MachineError

#: A worker whose reader of plain text does what the text says.
EVIL = """
import os, signal, sys, time
from pathlib import Path
from sagecraft.corpus.readers import registry
from sagecraft.corpus.readers.found import single
from sagecraft.corpus.readers.result import ReadResult
from sagecraft.corpus import tasks, worker

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
    if text.startswith("stop"):
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            os.kill(os.getpid(), number)
    return ReadResult(text=text)

rows_of, clean = registry.READERS[".jsonl"][1], tasks.clean

def rows(path, root):
    for found in rows_of(path, root):
        if "exit in reading" in found.result.text:
            os._exit(4)
        yield found

def cleaned(text):
    if "exit in cleaning" in text:
        os._exit(5)
    return clean(text)

tasks.clean = cleaned
registry.READERS[".jsonl"] = ("jsonl", rows)
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
        tmp_path,
        a="one two",
        b="crash now",
        c="three four",
        d="hang on",
        e="eat all",
        f="fail",
        g="five six",
        h="exit",
        i="stop",
    )
    kept, dropped = ingest(folder, tmp_path / "out")
    assert kept == ["lit/a", "lit/c", "lit/g", "lit/i"]
    assert dropped == {
        "lit/b": "reader-crashed",
        "lit/d": "reader-timeout",
        "lit/e": "reader-memory",
        "lit/f": "reader-failed",
        "lit/h": "reader-crashed",
    }


def test_a_row_that_ends_its_worker_costs_itself_and_one_that_cannot_be_read_what_is_behind(tmp_path, evil):
    texts = [
        "one text",
        "exit in cleaning",
        "two texts",
        "exit in cleaning too",
        "three",
        "exit in reading",
        "never read",
    ]
    folder = corpus(tmp_path, z="last one")
    (folder / "a.jsonl").write_text("\n".join(json.dumps({"id": f"r{n}", "text": t}) for n, t in enumerate(texts)))
    kept, dropped = ingest(folder, tmp_path / "out")
    assert kept == ["r0", "r2", "r4", "lit/z"]
    assert dropped == {"r1": "reader-crashed", "r3": "reader-crashed", "lit/a": "reader-crashed"}
    details = {row.id: row.detail for row in read_dropped(tmp_path / "out")}
    assert details["lit/a"].endswith("; 5 before it are kept, and none behind it is read")


def test_what_the_system_kills_is_named_so(tmp_path, evil):
    kept, dropped = ingest(corpus(tmp_path, a="one two", b="killed"), tmp_path / "out")
    assert kept == ["lit/a"]
    assert dropped == {"lit/b": "reader-killed"}


#: Begins a worker that only says what a real one would; `once` is true the first time.
ACTOR = """
import json, os, signal, sys, time
from pathlib import Path
flag = Path(__file__).with_suffix(".flag")
once = not flag.exists()
flag.touch()
def say(**answer):
    print(json.dumps(answer), flush=True)
"""


def act(tmp_path, monkeypatch, script, seconds=0.6, beat=lambda: None, tasks=(0,)):
    """Does tasks with actors for workers."""
    file = tmp_path / "actor.py"
    file.write_text(ACTOR + script)
    monkeypatch.setattr(pool, "worker_command", lambda folder, limits: [sys.executable, str(file)])
    folder = tmp_path / "plan"
    folder.mkdir()
    pool.Pool(folder, LimitsConfig(document_seconds=seconds), 1, beat).run(list(tasks))
    return {int(path.stem): load_skips(folder, int(path.stem)) for path in folder.glob("skips/*.json")}


SERVE = "say(ready=1)\nfor line in sys.stdin:\n    "


def test_a_worker_that_somebody_ends_between_documents_is_replaced(tmp_path, monkeypatch):
    script = "say(ready=1)\nif once: os._exit(9)\nfor line in sys.stdin: say(item=0); say(done=1)"
    assert act(tmp_path, monkeypatch, script, tasks=[0, 1]) == {}


def test_workers_that_always_end_between_documents_end_the_run(tmp_path, monkeypatch):
    with pytest.raises(MachineError, match=r"end without a document: its words"):
        act(tmp_path, monkeypatch, "say(ready=1)\nsys.stderr.write('its words')\nos._exit(9)")


def test_a_file_whose_worker_the_system_kills_has_a_second_chance(tmp_path, monkeypatch):
    script = SERVE + "say(item=4)\n    if once: os.kill(os.getpid(), signal.SIGKILL)\n    say(done=1)"
    assert act(tmp_path, monkeypatch, script) == {}


def test_what_is_at_work_may_take_longer_than_a_document(tmp_path, monkeypatch):
    script = SERVE + "say(item=0)\n    for _ in range(8): time.sleep(0.2); say(alive=1)\n    say(done=1)"
    assert act(tmp_path, monkeypatch, script) == {}


def test_time_in_which_the_run_stood_still_counts_for_no_file(tmp_path, monkeypatch):
    class Clock:
        jump = 0.0

        def monotonic(self):
            return time.monotonic() + self.jump

    clock = Clock()
    monkeypatch.setattr(pool, "time", clock)
    script = SERVE + "say(item=0); say(beat=1); time.sleep(0.4); say(done=1)"
    assert act(tmp_path, monkeypatch, script, 3.0, beat=lambda: setattr(clock, "jump", 1000.0)) == {}


def test_a_worker_that_does_not_start_in_time_ends_the_run_and_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(pool, "_START_SECONDS", 0.3)
    with pytest.raises(MachineError, match=r"before it began: it did not start within 0\.3 s"):
        act(tmp_path, monkeypatch, "time.sleep(60)")


def test_what_a_worker_prints_is_bounded_and_its_end_is_told(tmp_path, monkeypatch):
    script = SERVE + "say(item=0)\n    if once:\n        sys.stderr.write('x' * 3_000_000 + '\\nthe end')\n"
    script += "        sys.stderr.flush(); os._exit(3)\n    say(done=1)"
    ((skip,),) = act(tmp_path, monkeypatch, script).values()
    assert (skip.reason, skip.detail) == ("reader-crashed", "the end")
    assert [path.name for path in (tmp_path / "plan").iterdir()] == ["skips"]


def test_no_child_is_left_when_the_run_ends_early(tmp_path, monkeypatch):
    started = []
    popen = subprocess.Popen
    monkeypatch.setattr(pool.subprocess, "Popen", lambda *a, **k: started.append(popen(*a, **k)) or started[-1])

    def interrupt():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        act(tmp_path, monkeypatch, SERVE + "say(item=0); say(beat=1); time.sleep(60)", 30.0, beat=interrupt)
    assert [process.poll() for process in started] == [-signal.SIGKILL]


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
