"""Executors: Slurm's script is submitted to a stand-in that runs it, Ray runs for real in the long campaigns."""

import os
import stat
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


@pytest.mark.soak
@pytest.mark.filterwarnings("default")  # of Ray itself: one that is raised in its threads hangs it
def test_ray_runs_the_same_tasks(tmp_path, literature):
    ray = pytest.importorskip("ray")
    try:
        manifest = ingest(literature, tmp_path / "cluster", executor="ray", workers=2)
    finally:
        ray.shutdown()
    assert manifest == ingest(literature, tmp_path / "local")
