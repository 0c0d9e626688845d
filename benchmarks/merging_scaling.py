"""Time and memory of a merge over the size of the model, the disk's own rate, and what follows for models that do not fit here.

`merging.py --scaling` calls this. A point is DARE-TIES of a base and one fine-tune: median time and largest memory of three runs, with
the inputs in the page cache as far as they fit, beside reading both and writing one (`copy`).
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import merging
import numpy as np

#: Bytes a parameter: two bf16 inputs and the output here; five inputs and the output there.
BYTES_HERE, BYTES_THERE = 6, 12
#: Parameters of a Llama 70 B.
LARGE = 70.6e9
DISK_BYTES = 2_000_000_000
REPEATS = 3


def measure(folder: Path) -> dict[str, Any]:
    """All sizes, one after the other: each model is deleted before the next is made."""
    points = []
    for size in merging.SIZES:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        merging.make_family(folder / size, size, 1)
        config = merging.write_config(folder, "dare_ties", folder / size, 1)
        sides = {
            side: merging.median([merging.run_side(side, config, folder / "out") for _ in range(REPEATS)])
            for side in ("weights", "copy")
        }
        count = sum(int(np.prod(shape)) for _, shape in merging.shapes(size))
        points.append(
            {
                "parameters": count,
                "seconds": sides["weights"]["seconds"],
                "all_seconds": sides["weights"]["all_seconds"],
                "cpu_seconds": sides["weights"]["cpu_seconds"],
                "peak_mb": sides["weights"]["peak_mb"],
                "copy_seconds": sides["copy"]["seconds"],
            }
        )
        print("scaling", size, json.dumps(points[-1]), file=sys.stderr, flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return {"points": points, **fits(points), "disk": disk_rates(folder / "disk"), **extrapolated(points)}


def fits(points: list[dict[str, Any]]) -> dict[str, float]:
    """Straight lines through the points: slopes a billion parameters, what remains at zero, and how much of the scatter they explain."""
    sizes = np.array([point["parameters"] / 1e9 for point in points])
    seconds = np.array([point["seconds"] for point in points])
    slope, start = np.polyfit(sizes, seconds, 1)
    residual = seconds - (slope * sizes + start)
    memory_slope, memory = np.polyfit(sizes, [point["peak_mb"] for point in points], 1)
    return {
        "seconds_per_billion": float(slope),
        "start_seconds": float(start),
        "r_squared": float(1 - residual.var() / seconds.var()),
        "mb_per_billion": float(memory_slope),
        "start_mb": float(memory),
    }


def disk_rates(path: Path) -> dict[str, float]:
    """Bytes a second that this disk writes (to the medium) and reads (not from the page cache), in one file and in order."""
    block = np.random.default_rng(0).bytes(1 << 20)
    started = time.perf_counter()
    with path.open("wb", buffering=0) as file:
        for _ in range(DISK_BYTES >> 20):
            file.write(block)
        os.fdatasync(file.fileno())
        written = time.perf_counter() - started
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    started = time.perf_counter()
    with path.open("rb", buffering=0) as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_SEQUENTIAL)
        while file.read(1 << 22):
            pass
    read = time.perf_counter() - started
    path.unlink()
    size = DISK_BYTES >> 20 << 20
    return {"write_bytes_per_second": size / written, "read_bytes_per_second": size / read}


def extrapolated(points: list[dict[str, Any]]) -> dict[str, float]:
    """The rate at which bytes pass here, and hours for five checkpoints of 70 B at that rate."""
    rate = BYTES_HERE * 1e9 / fits(points)["seconds_per_billion"]
    return {"bytes_per_second": rate, "five_70b_hours": LARGE * BYTES_THERE / rate / 3600}


def hours_on_disk(result: dict[str, Any], read: float, write: float) -> float:
    """The same where disks give and take so many bytes a second: they and the arithmetic overlap, the slower counts."""
    return max(result["five_70b_hours"], LARGE * (10 / read + 2 / write) / 3600)


def lines(result: dict[str, Any]) -> list[str]:
    """The table and what follows from it."""
    disk = result["disk"]
    here = (disk["read_bytes_per_second"], disk["write_bytes_per_second"])
    rows = [
        f"{p['parameters'] / 1e9:6.2f} B: {p['seconds']:6.2f} s (CPU {p['cpu_seconds']:.2f} s), {p['peak_mb']:5.0f} MB, "
        f"reading and writing alone {p['copy_seconds']:.2f} s"
        for p in result["points"]
    ]
    return [
        *rows,
        f"line: {result['start_seconds']:.2f} s + {result['seconds_per_billion']:.2f} s a billion parameters (R² {result['r_squared']:.4f}); "
        f"{result['start_mb']:.0f} MB {result['mb_per_billion']:+.1f} MB a billion; {result['bytes_per_second'] / 1e9:.1f} GB/s",
        f"this disk reads {here[0] / 1e9:.2f} GB/s and writes {here[1] / 1e9:.2f} GB/s",
        f"five checkpoints of 70 B ({LARGE * BYTES_THERE / 1e9:.0f} GB): {result['five_70b_hours']:.2f} h at the rate measured, "
        f"{hours_on_disk(result, *here):.2f} h on this disk, {hours_on_disk(result, 1e9, 1e9):.2f} h at 1 GB/s",
    ]


def draw(result: dict[str, Any], path: Path) -> None:
    """Time and memory over the size, with the straight line, into an SVG or PNG file."""
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot as plt

    sizes = np.array([point["parameters"] / 1e9 for point in result["points"]])
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    ends = np.array([0, sizes.max()])
    line = result["start_seconds"] + result["seconds_per_billion"] * ends
    label = f"{result['start_seconds']:.1f} s + {result['seconds_per_billion']:.2f} s a billion"
    left.plot(ends, line, "--", color="0.6", label=label)
    left.plot(sizes, [point["seconds"] for point in result["points"]], "o", color="tab:blue", label="merge")
    left.plot(
        sizes,
        [point["copy_seconds"] for point in result["points"]],
        "s",
        color="tab:orange",
        label="reading and writing alone",
    )
    left.set(xlabel="billion parameters", ylabel="seconds", ylim=(0, None), title="time")
    left.legend(frameon=False)
    peaks = [point["peak_mb"] for point in result["points"]]
    right.plot(sizes, peaks, "o-", color="tab:blue")
    right.set(xlabel="billion parameters", ylabel="MB", ylim=(0, 1.5 * max(peaks)), title="largest resident set")
    for axes in (left, right):
        axes.grid(alpha=0.3)
        axes.set_xlim(0, None)
    figure.suptitle("DARE-TIES of a base and one fine-tune, bf16")
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
    plt.close(figure)
