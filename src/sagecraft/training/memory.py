"""Keeps what a step frees for the next one."""

from __future__ import annotations

import ctypes
import platform

#: mallopt's names for its settings (malloc.h).
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_LARGEST = (1 << 31) - 1
#: Blocks up to here stay. The logits of a chunk are larger, and of another size in every step: kept too, they found no place
#: among the old ones, and a run of 20 steps grew from 3.4 to 4.7 GiB.
_KEPT = 1 << 27
#: The most that older C libraries accept.
_ACCEPTED = 1 << 25


def keep_freed_memory() -> None:
    """Tells the C library not to give memory back to the system.

    Every step allocates the same activations and gradients. By default glibc returns blocks above 32 MB at once and the
    end of the heap when it is free, and each of their pages costs the next step a fault and a clearing: 440,000 of them
    in a step of 2,048 tokens of a 135M model, a tenth of its time. Other C libraries are left as they are.
    """
    if platform.libc_ver()[0] == "glibc":
        library = ctypes.CDLL(None)
        # any setting ends the library's own adapting, so one of the two must take
        if library.mallopt(_MMAP_THRESHOLD, _KEPT) or library.mallopt(_MMAP_THRESHOLD, _ACCEPTED):
            library.mallopt(_TRIM_THRESHOLD, _LARGEST)
