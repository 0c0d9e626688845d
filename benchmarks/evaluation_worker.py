"""sagecraft's side of `evaluation.py`.

python evaluation_worker.py MODEL QUESTIONS MODE DTYPE    prints seconds, peak memory and log-likelihoods as JSON

`whole_seconds` are those with the likelihoods of options without their questions, which `sagecraft eval` adds in the mode continuation.
"""

from __future__ import annotations

import json
import math
import resource
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sagecraft.evaluation import score
from sagecraft.evaluation.batches import measure_in_batches
from sagecraft.evaluation.config import EvaluateConfig
from sagecraft.evaluation.store import Store
from sagecraft.evaluation.tasks import read_task
from sagecraft.evaluation.unconditional import with_unconditional
from sagecraft.inference.local import LocalEngine


def main() -> None:
    """Scores every question."""
    model, questions, mode, dtype = sys.argv[1:5]
    config = EvaluateConfig.model_validate({"dtype": dtype, "modes": [mode]})
    engine = LocalEngine(Path(model), config.dtype)
    make, measure = {
        "continuation": (score.continuation_request, score.measure_continuation),
        "letter": (score.letter_request, score.measure_letter),
    }[mode]
    items = read_task(Path(questions)).items
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder), "model")

        def ask(requests: Sequence[score.Request]) -> list[Any]:
            return measure_in_batches(engine, measure, requests, store, lambda: None)

        requests = [make(engine, item, config) for item in items]
        values = ask(requests)
        seconds = time.perf_counter() - started
        if mode == "continuation":
            values = with_unconditional(engine, requests, values, config, ask)
    whole_seconds = time.perf_counter() - started
    if mode == "continuation":
        scores = [value["sums"] for value in values]
    else:
        scores = [[math.log(mass) for mass in value["masses"]] for value in values]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    print(json.dumps({"seconds": seconds, "whole_seconds": whole_seconds, "peak_mb": peak, "scores": scores}))


if __name__ == "__main__":
    main()
