"""A job script for Slurm that asks for its end in time, writes a checkpoint, queues itself again and goes on.

Slurm starts one process a device itself (`srun`), with no launcher between: the signal that it sends before the time limit
reaches every process of the run, and their exit code is the job's. 75 says that a checkpoint was written and more is to do.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from sagecraft.artifact import write_text
from sagecraft.errors import StoppedError


class SlurmConfig(BaseModel):
    """What a job asks for.

    Attributes:
        nodes: machines.
        gpus_per_node: devices of each; a process is started for each.
        time: limit of one job, as Slurm writes it (1-00:00:00 or 08:00:00); the run takes as many jobs as it needs.
        account: whose allocation; null leaves it to Slurm.
        partition: queue; null leaves it to Slurm.
        cpus_per_gpu: cores for each process.
        warning_seconds: how long before the limit the run is asked to write its last checkpoint.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    nodes: int = Field(default=1, ge=1)
    gpus_per_node: int = Field(default=8, ge=1)
    time: str = Field(default="24:00:00", pattern=r"^(\d+-)?\d+(:\d+){0,2}$")
    account: str | None = Field(default=None, pattern=r"^[\w.@+-]+$")
    partition: str | None = Field(default=None, pattern=r"^[\w.@,+-]+$")
    cpus_per_gpu: int = Field(default=8, ge=1)
    warning_seconds: int = Field(default=600, ge=60)


def script(config: SlurmConfig, name: str, command: Sequence[str], folder: Path) -> str:
    """The text of the job script.

    Args:
        config: what the job asks for.
        name: of the job.
        command: what each process runs.
        folder: where it is run.
    """
    options = {
        "job-name": name,
        "nodes": config.nodes,
        "ntasks-per-node": config.gpus_per_node,
        "gpus-per-node": config.gpus_per_node,
        "cpus-per-task": config.cpus_per_gpu,
        "time": config.time,
        "signal": f"USR1@{config.warning_seconds}",
        "open-mode": "append",
        "output": f"{name}-%j.log",
        "account": config.account,
        "partition": config.partition,
    }
    head = "\n".join(f"#SBATCH --{key}={value}" for key, value in options.items() if value is not None)
    return f"""#!/usr/bin/env bash
{head}
#SBATCH --requeue
# Written by sagecraft launch. Submit with sbatch; a run that is not done when its time is up queues itself again.
set -uo pipefail
cd {shlex.quote(str(folder))} || exit 1

MASTER_ADDR=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
MASTER_PORT=$((20000 + SLURM_JOB_ID % 20000))
export MASTER_ADDR MASTER_PORT WORLD_SIZE=$SLURM_NTASKS OMP_NUM_THREADS=${{SLURM_CPUS_PER_TASK:-1}}

# One process a device, no launcher between: Slurm's signal reaches all of them, and a dead one ends the step.
srun --kill-on-bad-exit=1 bash -c 'RANK=$SLURM_PROCID LOCAL_RANK=$SLURM_LOCALID exec "$@"' run {shlex.join(command)}
code=$?

# StoppedError with a checkpoint, or by the signal (128 + 10) between two trainings: there is more to do.
if [ "$code" -eq {StoppedError.exit_code} ] || [ "$code" -eq 138 ]; then
    scontrol requeue "$SLURM_JOB_ID"
    exit
fi
exit "$code"
"""


def write(path: Path, config: SlurmConfig, name: str, command: Sequence[str]) -> None:
    """Writes the script, to be run in the folder in which it is written from."""
    write_text(path, script(config, name, command, Path.cwd()))
    path.chmod(0o755)
