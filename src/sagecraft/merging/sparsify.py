"""Which elements of a delta are kept: by a keyed hash (DARE) or by magnitude (TIES).

**The mask generator.** Element i of a tensor is kept if a 32-bit hash of (key, i) is smaller than density · 2³², where
key = keyed_hash(seed, "merge-mask", model label, tensor name), a 64-bit number. So every element has its own draw that depends on
nothing but these four things: not on threads, blocks, shards, the order of tensors, the machine or a library's version.

    k = low and high 32 bits of the key;  i = low and high 32 bits of the element's index (row-major)
    hash = mix(mix(i_low ^ k_low) + (k_high ^ (i_high · 0x9E3779B9)))           all modulo 2³²
    mix(x): x ^= x >> 16; x *= 0x7FEB352D; x ^= x >> 15; x *= 0x846CA68B; x ^= x >> 16

`mix` is the "lowbias32" finaliser found by C. Wellons's hash prospector (public domain), a bijection with avalanche
close to ideal; the second round, keyed with the other half, keeps the masks of two keys from being one sequence in
another order. 32-bit words, since vector units multiply those and not 64-bit ones.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from sagecraft.artifact import keyed_hash

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Bits = NDArray[np.uint32]
    Floats = NDArray[np.float32]

_WORD = 1 << 32
#: A magnitude's 31 bits are counted in two rounds: 12 upper bits (an exponent and a sixteenth of its octave), then the 19
#: others of the few elements in the bin that matters. So a place in their order is found exactly, in memory of a fixed size.
LOW_BITS = 19
NUM_UPPER, NUM_LOWER = 1 << 12, 1 << LOW_BITS


def mask_key(seed: int, label: str, tensor: str) -> int:
    """The 64-bit key of one tensor's mask."""
    return keyed_hash(seed, "merge-mask", label, tensor)


def _mix(words: Bits) -> Bits:
    """Scrambles in place."""
    words ^= words >> np.uint32(16)
    words *= np.uint32(0x7FEB352D)
    words ^= words >> np.uint32(15)
    words *= np.uint32(0x846CA68B)
    words ^= words >> np.uint32(16)
    return words


def hash_words(key: int, start: int, count: int) -> Bits:
    """The hashes of elements [start, start + count)."""
    high = start // _WORD
    border = (high + 1) * _WORD - start
    if count > border:  # the high word changes within the block
        return np.concatenate((hash_words(key, start, border), hash_words(key, start + border, count - border)))
    low = start % _WORD
    words = np.arange(count, dtype=np.uint32)
    words += np.uint32(low)
    words ^= np.uint32(key % _WORD)
    _mix(words)
    words += np.uint32((key // _WORD) ^ (high * 0x9E3779B9 % _WORD))
    return _mix(words)


@dataclass(frozen=True)
class Bound:
    """A place in the order of magnitudes: larger first, of equal ones the lower index first.

    Attributes:
        bits: of a magnitude; larger ones stand above the bound.
        end: of the elements that have this magnitude, those whose index is smaller stand above it too.
    """

    bits: int
    end: int = 0


#: Above all magnitudes, and below all.
TOP, BOTTOM = Bound(0x7FFFFFFF), Bound(0, 1 << 62)


@dataclass(frozen=True)
class Mask:
    """Which elements of a tensor are kept.

    Attributes:
        kind: `all`, `random` (the hash of `key` is below `limit`), or `band` (below `upper`, above `lower`).
        key: see `mask_key`.
        limit: density · 2³².
        lower: those that stand above it are kept …
        upper: … unless they stand above this one.
    """

    kind: Literal["all", "random", "band"] = "all"
    key: int = 0
    limit: int = 0
    lower: Bound = BOTTOM
    upper: Bound = TOP


def random_mask(key: int, density: float) -> Mask:
    """DARE's Bernoulli(density) mask."""
    limit = round(density * _WORD)
    return Mask() if limit >= _WORD else Mask("random", key, limit)


def num_kept(density: float, count: int) -> int:
    """How many are "the top density of count"; the small addend undoes the rounding of such as 0.29 · 100."""
    return min(count, math.floor(density * count + 1e-6))


def magnitude_bits(values: Floats) -> Bits:
    """Magnitudes as integers that sort like them."""
    bits: Bits = values.view(np.uint32) & np.uint32(0x7FFFFFFF)
    return bits


def upper_counts(values: Floats) -> NDArray[np.uint32]:
    """How many magnitudes have each value of their upper bits."""
    return np.bincount(magnitude_bits(values) >> np.uint32(LOW_BITS), minlength=NUM_UPPER).astype(np.uint32)


def lower_counts(values: Floats, upper: int) -> NDArray[np.uint32]:
    """Of the magnitudes whose upper bits are `upper`: how many have each value of the others."""
    bits = magnitude_bits(values)
    rest = bits[(bits >> np.uint32(LOW_BITS)) == np.uint32(upper)] & np.uint32(NUM_LOWER - 1)
    return np.bincount(rest, minlength=NUM_LOWER).astype(np.uint32)


def place(counts: NDArray[np.uint32], rank: int) -> tuple[int, int]:
    """The bin of the element of this rank (1: the largest), and how many stand in the bins above."""
    above = np.cumsum(counts[::-1], dtype=np.int64)
    at = int(np.searchsorted(above, rank))
    return len(counts) - 1 - at, int(above[at - 1]) if at else 0


def hash_mask(mask: Mask, first: int, count: int) -> NDArray[np.bool_]:
    """Which of the elements [first, first + count) a random mask keeps."""
    kept: NDArray[np.bool_] = hash_words(mask.key, first, count) < np.uint32(mask.limit)
    return kept


def above(bits: Bits, bound: Bound, first: int) -> NDArray[np.bool_]:
    """Which magnitudes stand above a bound; `first` is the index of the first."""
    found: NDArray[np.bool_] = bits > np.uint32(bound.bits)
    tied = min(max(bound.end - first, 0), len(bits))
    found[:tied] |= bits[:tied] == np.uint32(bound.bits)
    return found


def thin(values: Floats, mask: Mask, first: int) -> Floats:
    """The values with those that are not kept set to zero."""
    if mask.kind == "all":
        return values
    if mask.kind == "random":
        kept = hash_mask(mask, first, len(values))
    else:
        bits = magnitude_bits(values)
        kept = above(bits, mask.lower, first) & ~above(bits, mask.upper, first)
    return np.where(kept, values, np.float32(0))
