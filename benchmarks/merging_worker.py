"""One side of `merging.py` in a process of its own: does one merge, and its time and peak memory are measured from outside.

python merging_worker.py weights CONFIG OUT    sagecraft's plan, merge, tokenizer and configuration: what the peer does too
python merging_worker.py copy CONFIG OUT       reads every input once and writes the output's bytes once: the limit
"""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path


def weights(config: Path, out: Path) -> None:
    """`sagecraft merge` without the hashes of its manifest and without the check that runs the result."""
    from sagecraft.artifact import write_json
    from sagecraft.merging.config import read_merge_config
    from sagecraft.merging.job import make_job
    from sagecraft.merging.plan import make_plan
    from sagecraft.merging.stream import default_block, default_threads, write_merged
    from sagecraft.models.tokenizer import copy_tokenizer

    read = read_merge_config(config)
    job = make_job(read, {name: Path(name) for name in read.model_names})
    plan = make_plan(job, default_block(), default_threads())
    write_merged(job, plan, out, lambda _: None)
    copy_tokenizer(job.tokenizer.folder, out, None)
    write_json(out / "config.json", plan.config)


def copy(config: Path, out: Path) -> None:
    """A thread for each core: reads in blocks of 1 MiB, and writes one output's worth of them."""
    from sagecraft.merging.config import read_merge_config

    read = read_merge_config(config)
    names = read.model_names
    files = [file for name in names for file in sorted(Path(name).glob("*.safetensors"))]
    first = set(Path(next(iter(names))).glob("*.safetensors"))
    lock = threading.Lock()

    def work() -> None:
        block = bytearray(1 << 20)
        while True:
            with lock:
                if not files:
                    return
                file = files.pop(0)
            to = (out / file.name).open("wb", buffering=0) if file in first else None
            with file.open("rb", buffering=0) as source:
                while count := source.readinto(block):
                    if to:
                        to.write(memoryview(block)[:count])
            if to:
                to.close()

    threads = [threading.Thread(target=work) for _ in range(len(os.sched_getaffinity(0)))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    side, config_path, out_path = sys.argv[1:4]
    Path(out_path).mkdir()
    {"weights": weights, "copy": copy}[side](Path(config_path), Path(out_path))
