"""One side of `dedup.py` in a process of its own: reads documents, drops near-duplicates, writes what stays, and prints its times.

Runs under the interpreter that has the side, so it imports nothing else. Input: JSON on standard input; output: JSON.
The clock starts when everything is imported.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path
from typing import Any


def cpu_seconds() -> float:
    """Of this process and of its children that have ended."""
    uses = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(use.ru_utime + use.ru_stime for use in uses)


def sagecraft(task: dict[str, Any]) -> list[float]:
    """`sagecraft dedup` on an artifact of documents, in this process alone."""
    import numpy  # noqa: F401  (imports are not timed)
    import pyarrow.parquet  # noqa: F401

    from sagecraft.corpus import dedup, dedup_report, duplicates  # noqa: F401
    from sagecraft.reporting import page  # noqa: F401

    started, spent = time.perf_counter(), cpu_seconds()
    dedup.run(dedup.DedupConfig(), {"documents0": Path(task["documents"])}, Path(task["out"]))
    return [time.perf_counter() - started, cpu_seconds() - spent]


def datatrove(task: dict[str, Any]) -> list[float]:
    """The four steps of datatrove, from JSONL to JSONL, with so many workers as there are cores.

    Workers are forked: that is the fastest way here, and their CPU time is known.
    """
    from datatrove.executor import LocalPipelineExecutor
    from datatrove.pipeline.dedup.minhash import (
        MinhashConfig,
        MinhashDedupBuckets,
        MinhashDedupCluster,
        MinhashDedupFilter,
        MinhashDedupSignature,
    )
    from datatrove.pipeline.readers import JsonlReader
    from datatrove.pipeline.writers import JsonlWriter

    config = MinhashConfig(num_buckets=task["buckets"], hashes_per_bucket=task["rows"])
    work, workers = Path(task["work"]), task["cores"]

    def execute(name: str, steps: list[Any], tasks: int) -> None:
        LocalPipelineExecutor(
            steps,
            tasks=tasks,
            workers=min(tasks, workers),
            logging_dir=str(work / "logs" / name),
            start_method="fork",
        ).run()

    def reader() -> Any:
        return JsonlReader(task["documents"])

    started, spent = time.perf_counter(), cpu_seconds()
    signatures, buckets, removed = (str(work / name) for name in ("signatures", "buckets", "removed"))
    execute("signatures", [reader(), MinhashDedupSignature(signatures, config=config)], workers)
    execute("buckets", [MinhashDedupBuckets(signatures, buckets, config=config)], config.num_buckets)
    execute("clusters", [MinhashDedupCluster(buckets, removed, config=config)], 1)
    kept, gone = (JsonlWriter(str(work / name), compression=None) for name in ("kept", "gone"))
    execute("filter", [reader(), MinhashDedupFilter(removed, exclusion_writer=gone), kept], workers)
    return [time.perf_counter() - started, cpu_seconds() - spent]


def main() -> None:
    """Does the task that standard input describes."""
    task = json.loads(sys.stdin.read())
    sides = {"sagecraft": sagecraft, "datatrove": datatrove}
    print(json.dumps(sides[task["side"]](task)))


if __name__ == "__main__":
    main()
