"""sagecraft's side of `evaluation.py`.

python evaluation_worker.py MODEL QUESTIONS MODE DTYPE BATCH    prints seconds, peak memory and log-likelihoods as JSON
"""

from __future__ import annotations

import json
import math
import resource
import sys
import tempfile
import time
from pathlib import Path

from sagecraft.evaluation import score
from sagecraft.evaluation.batches import measure_in_batches
from sagecraft.evaluation.config import EvaluateConfig
from sagecraft.evaluation.store import Store
from sagecraft.evaluation.tasks import read_task
from sagecraft.inference.local import LocalEngine


def main() -> None:
    """Scores every question."""
    model, questions, mode, dtype, _ = sys.argv[1:6]
    config = EvaluateConfig.model_validate({"dtype": dtype, "modes": [mode]})
    engine = LocalEngine(Path(model), config.dtype)
    make, measure = {
        "continuation": (score.continuation_request, score.measure_continuation),
        "letter": (score.letter_request, score.measure_letter),
    }[mode]
    items = read_task(Path(questions)).items
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        requests = [make(engine, item, config) for item in items]
        values = measure_in_batches(engine, measure, requests, Store(Path(folder), "model"), lambda: None)
    seconds = time.perf_counter() - started
    if mode == "continuation":
        scores = [value["sums"] for value in values]
    else:
        scores = [[math.log(mass) for mass in value["masses"]] for value in values]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    print(json.dumps({"seconds": seconds, "peak_mb": peak, "scores": scores}))


if __name__ == "__main__":
    main()
