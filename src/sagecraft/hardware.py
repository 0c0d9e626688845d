"""What this machine has: memory, cores, and the rate at which it multiplies matrices."""

from __future__ import annotations

import os
import resource
import sys
import time
from functools import cache
from pathlib import Path

_SIZE = 2048
_SMALL = 512
_REPETITIONS = 5
#: Time for one precision. Emulated bf16 is a hundred times slower than native: then fewer or smaller products are done.
_BUDGET_SECONDS = 2.2

#: Share of the matrix rate that training is expected to reach. Our trainer on layers of SmolLM2-135M's shape, 2 × 256
#: tokens, one thread of an AMD EPYC with AVX512-bf16, between two measurements of the product: 0.40 to 0.46.
TRAINING_SHARE = 0.43


@cache
def matrix_tflops(dtype: str, device: str = "cpu") -> float:
    """Best rate of a 2048³ product in `dtype` (`bfloat16`, `float32`, `float64`), in 10¹² FLOP per second.

    The best and not the median, since other work on the machine can only slow a product down. It takes the time it has: a machine that would need more than a second a product is measured on a 512³ one.
    """
    import torch

    def product(size: int) -> float:
        left = torch.ones(size, size, dtype=getattr(torch, dtype), device=device)
        right = torch.ones(size, size, dtype=getattr(torch, dtype), device=device)
        if device != "cpu":
            torch.cuda.synchronize(device)
        began = time.perf_counter()
        _ = left @ right
        if device != "cpu":  # a product is only queued there
            torch.cuda.synchronize(device)
        return time.perf_counter() - began

    product(_SMALL)  # the first call sets up threads and kernels
    small = min(product(_SMALL) for _ in range(3))
    size = _SIZE if small * (_SIZE / _SMALL) ** 3 < _BUDGET_SECONDS / 2 else _SMALL
    began = time.perf_counter()
    seconds: list[float] = []
    while len(seconds) < _REPETITIONS and (not seconds or time.perf_counter() - began < _BUDGET_SECONDS / 2):
        seconds.append(product(size))
    return 2 * size**3 / min(seconds) / 1e12


def machine_memory_gib() -> float:
    """Memory of this machine, or of the container or job if that is less, in GiB."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limits = [int(text) for text in _limits("memory.max", "memory/memory.limit_in_bytes") if text.isdigit()]
    return min([total, *limits]) / 2**30


def device_memory_gib(device: str) -> float:
    """Memory of the device that computes: a card's, or this machine's."""
    if device == "cpu":
        return machine_memory_gib()
    import torch

    return float(torch.cuda.get_device_properties(device).total_memory) / 2**30


def peak_memory_gib(device: str) -> float:
    """The most that this process has held so far: of the card's memory, or of the machine's."""
    if device != "cpu":
        import torch

        return torch.cuda.max_memory_allocated(device) / 2**30
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**30 if sys.platform == "darwin" else 2**20)  # macOS counts bytes, Linux kibibytes


def machine_cores() -> float:
    """Cores that this process may use: those it is bound to, or the share of a container (`docker run --cpus 2`)."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quotas = [text.split() for text in _limits("cpu.max")]
    return min([cores, *(int(quota) / int(period) for quota, period in quotas if quota.isdigit())])


def _limits(*names: str) -> list[str]:
    """What the control groups of this process say, from its own to the root (Linux; elsewhere nothing)."""
    groups, root = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")
    inside = (
        [line.split("::/")[1] for line in groups.read_text().splitlines() if "::/" in line] if groups.exists() else []
    )
    folders = {root, *(folder for path in inside for folder in (root / path, *(root / path).parents))}
    files = [folder / name for folder in folders if folder.is_relative_to(root) for name in names]
    return [file.read_text(encoding="ascii").strip() for file in files if file.is_file()]
