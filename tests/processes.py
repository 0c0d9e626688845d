"""Training runs in several processes, as torchrun or `sagecraft launch` start them: many cases in one start.

python processes.py CASES.json

A case is `{"name", "inputs", "config", "out", "kill_at"}`; process 0 runs them one after the other, the others assist.
`kill_at` kills process 1 with SIGKILL before that step.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import torch

from sagecraft.training.loop import Trainer
from sagecraft.training.train import TrainConfig, assist, run
from sagecraft.training.world import current, joined


def main(path: Path) -> int:
    torch.set_num_threads(1)
    cases = json.loads(path.read_text(encoding="utf-8"))
    kills = {case["out"]: case["kill_at"] for case in cases if "kill_at" in case}
    step = Trainer.step

    def deadly(self: Trainer, number: int) -> dict[str, Any]:
        place = str(self.writer.folder).split(".work")[0]
        if current().rank == 1 and kills.get(place) == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return step(self, number)

    Trainer.step = deadly  # type: ignore[method-assign]
    with joined() as world:
        if not world.is_first:
            return assist()
        for case in cases:
            inputs = {name: Path(value) for name, value in case["inputs"].items()}
            run(TrainConfig.model_validate(case["config"]), inputs, Path(case["out"]))
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
