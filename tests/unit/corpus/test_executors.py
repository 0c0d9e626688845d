"""Executors: Slurm's script is submitted to a stand-in that runs it, Ray runs for real in the long campaigns."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from sagecraft.corpus import executors
from sagecraft.corpus.documents import read_documents
from sagecraft.corpus.executors import SlurmConfig
from sagecraft.corpus.filters import FilterConfig
from sagecraft.corpus.ingest import IngestConfig, run
from sagecraft.errors import MachineError, UserError

#: A Slurm of one machine: `sbatch` runs every task of an array at once and prints the job's number.
SBATCH = """#!{python}
import os, re, subprocess, sys
script = open(sys.argv[-1]).read()
open({log!r}, "a").write(" ".join(sys.argv[1:-1]) + "\\n" + script)
array = re.search(r"--array=0-(\\d+)", script)
if "merge_stats" not in script:
    for number in range(int(array.group(1)) + 1 if array else 1):
        environ = dict(os.environ, SLURM_ARRAY_TASK_ID=str(number), SLURM_NODELIST="here", RUN_OFFSET="0")
        subprocess.run(["bash", sys.argv[-1]], env=environ, check={check}, stdout=sys.stderr)
print("Submitted batch job 4711")
"""
SRUN = '#!/bin/bash\nwhile [[ "$1" == -* ]]; do if [[ "$1" == -n ]]; then shift; fi; shift; done\nexec "$@"\n'


def fake_slurm(tmp_path: Path, monkeypatch, script: str) -> Path:
    folder = tmp_path / "slurm"
    folder.mkdir()
    log = tmp_path / "submitted.txt"
    programs = {
        "sbatch": script,
        "srun": SRUN,
        "squeue": "#!/bin/bash\nexit 0\n",
        "scontrol": "#!/bin/bash\necho here\n",
    }
    for name, text in programs.items():
        (folder / name).write_text(text.replace("{python}", sys.executable).replace("{log!r}", repr(str(log))))
        (folder / name).chmod(stat.S_IRWXU)
    monkeypatch.setenv("PATH", f"{folder}:{Path(sys.executable).parent}:{os.environ['PATH']}")
    monkeypatch.setattr(executors, "_POLL_SECONDS", 0.05)
    return log


@pytest.fixture
def literature(tmp_path) -> Path:
    folder = tmp_path / "lit"
    folder.mkdir()
    for number in range(250):
        (folder / f"n{number:03d}.txt").write_text(f"text number {number}")
    return folder


def ingest(folder: Path, out: Path, **config):
    settings = IngestConfig(paths=[str(folder)], filters=FilterConfig(min_words=1), **config)
    return run(settings, {"path0": folder}, out)


def test_slurm_runs_the_same_tasks(tmp_path, monkeypatch, literature):
    pytest.importorskip("datatrove")
    log = fake_slurm(tmp_path, monkeypatch, SBATCH.replace("{check}", "True"))
    slurm = SlurmConfig(partition="cpu", time="00:30:00", setup="true # set up here", sbatch={"account": "abc123"})
    manifest = ingest(literature, tmp_path / "cluster", executor="slurm", slurm=slurm)
    assert manifest == ingest(literature, tmp_path / "local")
    script = log.read_text()
    for line in ("--partition=cpu", "--time=00:30:00", "--account=abc123", "--array=0-1", "true # set up here"):
        assert line in script
    assert len(list(read_documents(tmp_path / "cluster"))) == 250


def test_what_slurm_leaves_undone_is_said_and_done_later(tmp_path, monkeypatch, literature):
    pytest.importorskip("datatrove")
    fake_slurm(tmp_path, monkeypatch, "#!/bin/bash\necho Submitted batch job 7\n")
    with pytest.raises(MachineError, match=r"2 of 2 tasks are unfinished.*again"):
        ingest(literature, tmp_path / "out", executor="slurm", slurm=SlurmConfig(partition="cpu"))
    assert ingest(literature, tmp_path / "out") == ingest(literature, tmp_path / "straight")


def test_slurm_wants_a_partition(tmp_path, literature):
    pytest.importorskip("datatrove")
    with pytest.raises(UserError, match=r"corpus\.slurm\.partition"):
        ingest(literature, tmp_path / "out", executor="slurm")


def test_a_busy_controller_is_not_the_end_of_a_job(tmp_path, monkeypatch):
    answers = [
        (1, "Socket timed out"),
        (0, ""),
        (1, "Socket timed out"),
        (0, "7 R"),
        (0, "7 R"),
        (1, "Invalid job id specified"),
    ]
    said: list[str] = []

    def squeue(command, **_):
        code, words = answers[min(len(said), len(answers) - 1)]
        said.append(words)
        return subprocess.CompletedProcess(command, code, words if not code else "", words if code else "")

    monkeypatch.setattr(executors, "_POLL_SECONDS", 0.0)
    monkeypatch.setattr(executors.subprocess, "run", squeue)
    executors._wait_for_slurm("7", lambda: False)
    assert len(said) == len(answers) + executors._OVER_POLLS - 1
    executors._wait_for_slurm("7", lambda: True)
    answers[:] = [(1, "Unable to contact slurm controller")]
    with pytest.raises(MachineError, match=r"squeue fails: Unable to contact .* job 7 may go on"):
        executors._wait_for_slurm("7", lambda: False)


def test_a_machine_without_slurm_and_a_job_that_is_refused(tmp_path, monkeypatch, literature):
    pytest.importorskip("datatrove")
    slurm = SlurmConfig(partition="none")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match=r"slurm needs `sbatch`"):
        ingest(literature, tmp_path / "out", executor="slurm", slurm=slurm)
    fake_slurm(tmp_path, monkeypatch, "#!/bin/bash\necho 'invalid partition specified' >&2; exit 1\n")
    with pytest.raises(MachineError, match=r"sbatch refused the job.*correct corpus\.slurm"):
        ingest(literature, tmp_path / "out", executor="slurm", slurm=slurm)


@pytest.mark.soak
@pytest.mark.filterwarnings("default")  # of Ray itself: one that is raised in its threads hangs it
def test_ray_runs_the_same_tasks(tmp_path, literature):
    ray = pytest.importorskip("ray")
    try:
        manifest = ingest(literature, tmp_path / "cluster", executor="ray", workers=2)
    finally:
        ray.shutdown()
    assert manifest == ingest(literature, tmp_path / "local")
