"""Training runs in several processes, as torchrun or `sagecraft launch` start them: many cases in one start.

python processes.py CASES.json

A case is `{"inputs", "config", "out"}`: process 0 runs them one after the other, the others assist. It leaves
`checkpoints/`, `watch/` and `weights.safetensors` in `out`. With `"dies_at": n` process 1 dies of SIGKILL while it writes
the checkpoint of step n.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from sagecraft.training.checkpoint import CheckpointWriter, Piece
from sagecraft.training.train import Job, TrainConfig, assist, prepare
from sagecraft.training.world import current, joined


def train(case: Mapping[str, Any]) -> None:
    """One case, in as many processes as there are."""
    config, out = TrainConfig.model_validate(case["config"]), Path(case["out"])
    inputs = {name: Path(value) for name, value in case["inputs"].items()}
    job = Job(config, inputs, out / "checkpoints", out / "watch", out, "cpt")
    ready = prepare(config, inputs)
    with current().together():
        job.call_others()
        trainer, _ = job.train(ready)
        save_file({name: value.contiguous() for name, value in trainer.weights().items()}, out / "weights.safetensors")


def main(path: Path) -> int:
    torch.set_num_threads(1)
    cases = json.loads(path.read_text(encoding="utf-8"))
    deaths = {case["out"]: case["dies_at"] for case in cases if "dies_at" in case}
    write = CheckpointWriter._write

    def deadly(self: CheckpointWriter, step: int, pieces: Mapping[str, Piece]) -> None:
        if current().rank == 1 and deaths.get(str(self.folder.parent)) == step:
            (self._part(step) / "part-00001.safetensors").write_bytes(b"half a fi")
            os.kill(os.getpid(), signal.SIGKILL)
        write(self, step, pieces)

    CheckpointWriter._write = deadly  # type: ignore[method-assign]
    with joined() as world:
        if not world.is_first:
            return assist()
        for case in cases:
            train(case)
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
