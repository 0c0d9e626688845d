"""Several processes, one exit code. The processes here are small scripts: training in several has its own tests."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from sagecraft.errors import MachineError, SagecraftError, UserError
from sagecraft.launch import local


def python(text: str) -> list[str]:
    return [sys.executable, "-c", text]


def test_every_process_knows_its_number_and_the_meeting_place(tmp_path: Path) -> None:
    names = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "OMP_NUM_THREADS")
    text = f"import os; open(r'{tmp_path}/' + os.environ['RANK'], 'w').write(' '.join(os.environ[k] for k in {names}))"
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)}
    local.start(python(text), 3)
    assert {number: signal.getsignal(number) for number in before} == before
    for rank in range(3):
        found = (tmp_path / str(rank)).read_text().split()
        assert found[:4] == [str(rank), str(rank), "3", "127.0.0.1"]
        assert int(found[4]) >= 1


@pytest.mark.parametrize(("codes", "expected"), [([0, 2], 2), ([1, 2], 2), ([1, 1], 1), ([75, 75], 75), ([75, 1], 75)])
def test_the_exit_code_is_that_of_the_run(codes: list[int], expected: int) -> None:
    with pytest.raises(SagecraftError) as caught:
        local.start(python(f"import os, sys; sys.exit({codes}[int(os.environ['RANK'])])"), 2)
    assert caught.value.exit_code == expected
    assert str(caught.value) == "", "the processes have said it"


def test_who_waits_for_a_dead_one_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "_GRACE_SECONDS", 0.5)
    text = "import os, signal, time; os.environ['RANK'] == '1' and os.kill(os.getpid(), signal.SIGKILL); time.sleep(60)"
    began = time.monotonic()
    with pytest.raises(MachineError, match=r"process 1 of 2 was killed by SIGKILL \(out of memory\?\); run the same"):
        local.start(python(text), 2)
    assert time.monotonic() - began < 30


def test_signals_reach_every_process() -> None:
    text = "import os, signal, sys, time; signal.signal(signal.SIGUSR1, lambda *_: sys.exit(75)); time.sleep(60)"
    timer = threading.Timer(1.5, os.kill, (os.getpid(), signal.SIGUSR1))
    timer.start()
    with pytest.raises(SagecraftError) as caught:
        local.start(python(text), 2)
    timer.join()
    assert caught.value.exit_code == 75


def test_no_process_is_refused() -> None:
    with pytest.raises(UserError, match="--processes 0: at least 1"):
        local.start(["true"], 0)


def test_the_command_line_writes_a_job_and_starts_nothing(tmp_path: Path) -> None:
    job = tmp_path / "job.sh"
    command = [sys.executable, "-m", "sagecraft", "launch", "recipes/astrosage-70b.yaml", "--slurm", str(job)]
    command += ["--nodes", "8", "--account", "mine", "--set", "cpt.parallel.tensor=8"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "64 processes on 8 node(s); submit it with: sbatch" in done.stderr
    assert "-m sagecraft run recipes/astrosage-70b.yaml --set cpt.parallel.tensor=8" in job.read_text()
