"""How fast this machine multiplies matrices."""

from __future__ import annotations

import time
from functools import cache

_SIZE = 2048
_SMALL = 512
_REPETITIONS = 5
#: Time for one precision. Emulated bf16 is a hundred times slower than native: then fewer or smaller products are done.
_BUDGET_SECONDS = 2.2


@cache
def matrix_tflops(dtype: str) -> float:
    """Best rate of a 2048³ product in `dtype` (`bfloat16` or `float32`), in 10¹² FLOP per second.

    The best and not the median, since other work on the machine can only slow a product down. It takes the time it has: a machine that would need more than a second a product is measured on a 512³ one.
    """
    import torch

    def product(size: int) -> float:
        left = torch.ones(size, size, dtype=getattr(torch, dtype))
        right = torch.ones(size, size, dtype=getattr(torch, dtype))
        began = time.perf_counter()
        _ = left @ right
        return time.perf_counter() - began

    product(_SMALL)  # the first call sets up threads and kernels
    small = min(product(_SMALL) for _ in range(3))
    size = _SIZE if small * (_SIZE / _SMALL) ** 3 < _BUDGET_SECONDS / 2 else _SMALL
    began = time.perf_counter()
    seconds: list[float] = []
    while len(seconds) < _REPETITIONS and (not seconds or time.perf_counter() - began < _BUDGET_SECONDS / 2):
        seconds.append(product(size))
    return 2 * size**3 / min(seconds) / 1e12
