"""One side of `merging.py` in a process of its own: does one merge, and its time and peak memory are measured from outside.

python merging_worker.py weights CONFIG OUT    sagecraft's plan, merge, tokenizer and configuration: what the peer does too
python merging_worker.py copy CONFIG OUT       reads every input once and writes the output's bytes once: the limit
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

#: Bytes of a read, and of a write.
_BLOCK, _WRITE = 1 << 20, 1 << 18


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
    """Blocks of 1 MiB, in order, by a thread for each core: reads all of every input, and writes the first one's bytes.

    Measured beside it: copy_file_range is no faster, and writes of 2 MiB are slower where memory is in pieces.
    """
    from sagecraft.merging.config import read_merge_config

    read = read_merge_config(config)
    names = dict.fromkeys([*([read.base_model] if read.base_model else []), *(row.model for row in read.models)])
    blocks = iter(_blocks([Path(name) for name in names], out))
    lock = threading.Lock()

    def work() -> None:
        buffer = memoryview(bytearray(_BLOCK))
        while True:
            with lock:
                block = next(blocks, None)
            if block is None:
                return
            source, target, at, size = block
            os.preadv(source, [buffer[:size]], at)
            for start in range(0, size if target is not None else 0, _WRITE):
                os.pwrite(target, buffer[start : min(start + _WRITE, size)], at + start)

    threads = [threading.Thread(target=work) for _ in range(len(os.sched_getaffinity(0)))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _blocks(folders: list[Path], out: Path) -> Iterator[tuple[int, int | None, int, int]]:
    """Handle to read, handle to write or None, first byte, number of bytes."""
    for folder in folders:
        for file in sorted(folder.glob("*.safetensors")):
            source = os.open(file, os.O_RDONLY)
            target = os.open(out / file.name, os.O_WRONLY | os.O_CREAT) if folder == folders[0] else None
            size = file.stat().st_size
            for at in range(0, size, _BLOCK):
                yield source, target, at, min(_BLOCK, size - at)


if __name__ == "__main__":
    side, config_path, out_path = sys.argv[1:4]
    Path(out_path).mkdir()
    {"weights": weights, "copy": copy}[side](Path(config_path), Path(out_path))
