"""Where the tasks of a plan run: on this machine, or as datatrove's Slurm and Ray executors spread them.

Every executor does the same tasks with the same pool of watched workers, so the result is the same bytes; the plan's
folder must be visible to every machine that takes part.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from sagecraft.errors import MachineError, UserError

if TYPE_CHECKING:
    from sagecraft.corpus.tasks import Plan

Executor = Literal["local", "slurm", "ray"]
_POLL_SECONDS = 10.0
#: How often in a row Slurm must say that a job is over (a file system shows the last parts late), and may fail to answer.
_OVER_POLLS = 3
_SILENT_POLLS = 60


class LimitsConfig(BaseModel):
    """What a file may take of a worker before it is kept aside."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    document_seconds: float = Field(
        default=120.0, gt=0, description="time for one document, in seconds; a thesis of 2 MB takes about two"
    )
    worker_mib: int = Field(
        default=1024, ge=256, description="memory of a worker, in MiB; what needs more is kept aside"
    )


class SlurmConfig(BaseModel):
    """The job that Slurm is asked for."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    partition: str = Field(default="", description="partition to run in; required for `executor: slurm`")
    time: str = Field(default="04:00:00", description="time limit of a job, as Slurm writes it")
    qos: str = Field(default="", description="quality of service; the cluster's default if empty")
    setup: str = Field(default="", description="shell line before the job, such as `source /path/.venv/bin/activate`")
    sbatch: dict[str, str] = Field(default={}, description="further options of sbatch, such as {account: abc123}")


def run_all(
    folder: Path,
    plan: Plan,
    executor: Executor,
    limits: LimitsConfig,
    num_workers: int | None,
    slurm: SlurmConfig,
    beat: Callable[[], None],
) -> None:
    """Does what is unfinished of a plan.

    Args:
        folder: of the plan.
        plan: the plan.
        executor: where to run.
        limits: of the workers.
        num_workers: workers at a time; the cores of this machine by default (or what the cluster gives).
        slurm: the job to ask for.
        beat: called for every row where progress can be seen.
    """
    from sagecraft.corpus.pool import Pool
    from sagecraft.corpus.tasks import clear_abandoned, unfinished

    tasks = unfinished(folder, plan)
    if not tasks:
        return
    if executor == "local":
        clear_abandoned(folder)
        Pool(folder, limits, num_workers or num_cores(), beat).run(tasks)
        return
    step = _Rank(folder.absolute(), tasks, limits)
    if executor == "slurm":
        _run_slurm(folder, step, num_workers, slurm)
    else:
        _run_ray(folder, step, num_workers)
    left = unfinished(folder, plan)
    if left:
        raise MachineError(
            f"{len(left)} of {len(tasks)} tasks are unfinished; their logs are in {folder / 'datatrove'}; "
            "run the same command again to do the rest"
        )


def num_cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class _Rank:
    """A step of a datatrove pipeline: rank n does the n-th task. Pickled by value of its fields alone."""

    def __init__(self, folder: Path, tasks: list[int], limits: LimitsConfig) -> None:
        self.folder = folder
        self.tasks = tasks
        self.limits = limits

    def __call__(self, data: object = None, rank: int = 0, world_size: int = 1) -> None:  # noqa: ARG002 - datatrove's form
        from sagecraft.corpus.pool import Pool
        from sagecraft.corpus.tasks import part_folder

        task = self.tasks[rank]
        if not part_folder(self.folder, task).is_dir():
            Pool(self.folder, self.limits, 1, lambda: None).run([task])


def _common(folder: Path, step: _Rank, num_workers: int | None) -> Mapping[str, Any]:
    # datatrove remembers finished ranks by number; ours are remembered by their parts, and ranks change between runs.
    return {
        "pipeline": [step],
        "tasks": len(step.tasks),
        "workers": num_workers or -1,
        "logging_dir": str(folder / "datatrove"),
        "skip_completed": False,
    }


def _run_ray(folder: Path, step: _Rank, num_workers: int | None) -> None:
    try:
        import ray
        from datatrove.executor.ray import RayPipelineExecutor
    except ImportError as error:
        raise UserError(f"corpus.executor: ray needs a package: {error}; pip install 'sagecraft[ray]'") from error
    if not ray.is_initialized():
        ray.init(address=os.environ.get("RAY_ADDRESS"), include_dashboard=False, log_to_driver=False)
    memory_gb = max(1, round(step.limits.worker_mib / 1024 + 0.5))
    RayPipelineExecutor(**_common(folder, step, num_workers), mem_per_cpu_gb=memory_gb).run()


def _run_slurm(folder: Path, step: _Rank, num_workers: int | None, slurm: SlurmConfig) -> None:
    from sagecraft.corpus.tasks import part_folder

    executor = slurm_executor(folder, step, num_workers, slurm)
    for program in ("sbatch", "squeue"):
        if shutil.which(program) is None:
            raise UserError(
                f"corpus.executor: slurm needs `{program}`, which is not on PATH; run it on a cluster's node"
            )
    try:
        executor.run()
    except subprocess.CalledProcessError as error:
        said = " ".join(str(error.stderr or error.output or error).split())[:300]
        raise MachineError(f"sbatch refused the job: {said}; correct corpus.slurm") from error
    _wait_for_slurm(str(executor.job_id), lambda: all(part_folder(folder, task).is_dir() for task in step.tasks))


def _wait_for_slurm(job: str, is_done: Callable[[], bool]) -> None:
    """Returns when all is done or the job is over: the rest is said by whoever looks at what there is.

    Raises:
        MachineError: Slurm has not answered for ten minutes.
    """
    num_over = num_silent = 0
    while not is_done() and num_over < _OVER_POLLS:
        alive, words = _is_alive(job)
        num_over = num_over + 1 if alive is False else 0
        # One that fails once is a busy controller, not the end of the job.
        num_silent = num_silent + 1 if alive is None else 0
        if num_silent >= _SILENT_POLLS:
            raise MachineError(
                f"squeue fails: {words}; job {job} may go on; run the same command again when it is over"
            )
        time.sleep(_POLL_SECONDS)


def slurm_executor(folder: Path, step: _Rank, num_workers: int | None, slurm: SlurmConfig) -> Any:
    """Datatrove's executor for the job."""
    try:
        from datatrove.executor.slurm import SlurmPipelineExecutor
    except ImportError as error:
        raise UserError(f"corpus.executor: slurm needs a package: {error}; pip install 'sagecraft[slurm]'") from error
    if not slurm.partition:
        raise UserError("corpus.slurm.partition: missing; name the partition that the jobs shall run in")
    return SlurmPipelineExecutor(
        **_common(folder, step, num_workers),
        time=slurm.time,
        partition=slurm.partition,
        qos=slurm.qos,
        job_name="sagecraft-ingest",
        mem_per_cpu_gb=max(2, round(step.limits.worker_mib / 1024 + 1)),
        env_command=slurm.setup,
        sbatch_args=dict(slurm.sbatch),
    )


def _is_alive(job: str) -> tuple[bool | None, str]:
    """Whether a job waits or runs, None if Slurm does not say; and what it said."""
    found = subprocess.run(["squeue", "--noheader", "--job", job], capture_output=True, text=True, check=False)
    words = " ".join(found.stderr.split())[:300]
    if found.returncode == 0:
        return bool(found.stdout.strip()), words
    # What Slurm says of a job that it has forgotten.
    return (False if "invalid job id" in words.lower() else None), words
