"""lm-evaluation-harness's side of `evaluation.py`, run by the interpreter that has it.

python evaluation_peer.py MODEL QUESTIONS MODE DTYPE BATCH[,BATCH…]    prints seconds of each batch size, peak memory, and log-likelihoods
                                                                       with the last one, as JSON
"""

from __future__ import annotations

import json
import resource
import sys
import time
from typing import Any


def main() -> None:
    """Scores every question."""
    model, questions, mode, dtype, batches = sys.argv[1:6]
    from lm_eval import simple_evaluate
    from lm_eval.models.huggingface import HFLM

    task: dict[str, Any] = {
        "task": "questions",
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": questions}},
        "test_split": "test",
        "output_type": "multiple_choice",
        "doc_to_text": f"{{{{{mode}}}}}",
        "doc_to_choice": "choices" if mode == "continuation" else "letters",
        "doc_to_target": "answer",
        "target_delimiter": " ",
        "metric_list": [{"metric": "acc"}],
    }
    seconds, results = {}, {}
    for batch in batches.split(","):
        engine = HFLM(pretrained=model, dtype=dtype, batch_size=int(batch), device="cpu")
        started = time.perf_counter()
        results = simple_evaluate(model=engine, tasks=[task], log_samples=True, bootstrap_iters=0)
        seconds[batch] = time.perf_counter() - started
    samples = sorted(results["samples"]["questions"], key=lambda sample: sample["doc_id"])
    scores = [[float(pair[0]) for pair in sample["filtered_resps"]] for sample in samples]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    print(json.dumps({"seconds": seconds, "peak_mb": peak, "scores": scores}))


if __name__ == "__main__":
    main()
