"""The job script runs against stand-ins of Slurm's commands: what it starts, and what it does about each exit code."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sagecraft.launch.slurm import SlurmConfig, script, write
from sagecraft.settings import explained

FAKES = {
    # as srun does: the command once a task, each with its number; the highest exit code is its own
    "srun": """#!/usr/bin/env bash
while [ "${1#--}" != "$1" ]; do echo "srun $1" >> "$LOG"; shift; done
worst=0
for ((n = 0; n < SLURM_NTASKS; n++)); do
    SLURM_PROCID=$n SLURM_LOCALID=$((n % 2)) "$@"
    code=$?
    [ $code -gt $worst ] && worst=$code
done
exit $worst
""",
    "scontrol": """#!/usr/bin/env bash
if [ "$1" = show ]; then printf 'node-a\\nnode-b\\n'; else echo "scontrol $*" >> "$LOG"; fi
""",
}
#: What each process runs: it says who it is, and ends as it is told.
TASK = (
    "import os, sys; open(os.environ['LOG'], 'a').write(' '.join([os.environ[k] for k in "
    "('RANK', 'LOCAL_RANK', 'WORLD_SIZE', 'MASTER_ADDR')] + sys.argv[1:]) + '\\n'); sys.exit(int(os.environ['CODE']))"
)


@pytest.mark.parametrize(
    ("code", "expected", "requeued"), [(0, 0, False), (2, 2, False), (1, 1, False), (75, 0, True), (138, 0, True)]
)
def test_a_job_starts_everybody_and_queues_itself_again_when_there_is_more(
    code: int, expected: int, requeued: bool, tmp_path: Path
) -> None:
    for name, text in FAKES.items():
        (tmp_path / "bin").mkdir(exist_ok=True)
        (tmp_path / "bin" / name).write_text(text)
        (tmp_path / "bin" / name).chmod(0o755)
    place = tmp_path / "a folder"
    place.mkdir()
    command = [sys.executable, "-c", TASK, "my recipe.yaml", "--set", "a.b='$HOME'"]
    text = script(SlurmConfig(nodes=2, gpus_per_node=2), "run", command, place)
    job = tmp_path / "job.sh"
    job.write_text(text)
    subprocess.run(["bash", "-n", str(job)], check=True)
    log = tmp_path / "log"
    environment = {
        "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}",
        "LOG": str(log),
        "CODE": str(code),
        "SLURM_NTASKS": "4",
        "SLURM_JOB_ID": "4711",
        "SLURM_JOB_NODELIST": "node-[a-b]",
        "SLURM_CPUS_PER_TASK": "8",
    }
    done = subprocess.run(["bash", str(job)], env=environment, check=False, capture_output=True, text=True)
    assert done.returncode == expected, done.stderr
    lines = log.read_text().splitlines()
    assert lines[0] == "srun --kill-on-bad-exit=1"
    assert lines[1:5] == [f"{rank} {rank % 2} 4 node-a my recipe.yaml --set a.b='$HOME'" for rank in range(4)]
    assert ("scontrol requeue 4711" in lines) is requeued


def test_a_job_asks_for_what_it_was_told(tmp_path: Path) -> None:
    config = SlurmConfig(nodes=8, gpus_per_node=4, time="1-12:00:00", account="astro", warning_seconds=900)
    path = tmp_path / "job.sh"
    write(path, config, "run", ["sagecraft", "run", "r.yaml"])
    options = [line.removeprefix("#SBATCH --") for line in path.read_text().splitlines() if line.startswith("#SBATCH")]
    for wanted in ("nodes=8", "ntasks-per-node=4", "gpus-per-node=4", "time=1-12:00:00", "account=astro", "requeue"):
        assert wanted in options
    assert "signal=USR1@900" in options, "to the processes of the step, not to the script alone"
    assert not any(option.startswith("partition") for option in options)
    assert os.access(path, os.X_OK)


@pytest.mark.parametrize(
    ("key", "value"), [("account", "a\n#SBATCH --exclusive"), ("time", "soon"), ("partition", "a b")]
)
def test_values_that_would_change_the_script_are_refused(key: str, value: str) -> None:
    from sagecraft.errors import UserError

    with pytest.raises(UserError, match=f"launch: {key}"), explained(SlurmConfig, "launch"):
        SlurmConfig.model_validate({key: value})
