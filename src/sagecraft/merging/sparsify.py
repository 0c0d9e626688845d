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
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sagecraft.artifact import keyed_hash

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Bits = NDArray[np.uint32]
    Mask = NDArray[np.bool_]
    Floats = NDArray[np.float32]

_WORD = 1 << 32
#: A magnitude's 31 bits are looked at in two parts: 12 high bits (an exponent and a sixteenth of its octave) in a
#: histogram that is small beside a block, then the 19 low ones of the few elements in the bin that matters.
_LOW_BITS = 19
NUM_BINS = 1 << 12


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


def keep_random(key: int, density: float, start: int, count: int) -> Mask:
    """DARE's Bernoulli(density) mask of elements [start, start + count)."""
    threshold = round(density * _WORD)
    if threshold >= _WORD:
        return np.ones(count, dtype=np.bool_)
    kept: Mask = hash_words(key, start, count) < np.uint32(threshold)
    return kept


@dataclass(frozen=True)
class Cut:
    """Where the largest magnitudes of a tensor begin.

    Attributes:
        threshold: bits of the k-th largest magnitude; larger ones are all kept.
        ties_kept: how many of the elements that equal it are kept, lowest index first, so that exactly k remain.
        ties_before: number of such elements before each block.
    """

    threshold: int
    ties_kept: int
    ties_before: tuple[int, ...]


def num_kept(density: float, count: int) -> int:
    """How many are "the top density of count"; the small addend undoes the rounding of such as 0.29 · 100."""
    return min(count, math.floor(density * count + 1e-6))


def magnitude_bits(delta: Floats) -> Bits:
    """|delta| as integers that sort like the magnitudes."""
    bits: Bits = delta.view(np.uint32) & np.uint32(0x7FFFFFFF)
    return bits


def high_histogram(delta: Floats) -> NDArray[np.int64]:
    """How many magnitudes have each value of their upper bits."""
    return np.bincount(magnitude_bits(delta) >> np.uint32(_LOW_BITS), minlength=NUM_BINS)


def crucial_bin(histogram: NDArray[np.int64], kept: int) -> tuple[int, int]:
    """The upper bits of the k-th largest magnitude (k ≥ 1), and how many elements lie above that bin."""
    above = np.cumsum(histogram[::-1])
    place = int(np.searchsorted(above, kept))
    return len(histogram) - 1 - place, int(above[place - 1]) if place else 0


#: Distinct magnitudes of one block that lie in the crucial bin, and how often each occurs.
Candidates = tuple["Bits", "NDArray[np.int32]"]


def candidates(delta: Floats, high: int) -> Candidates:
    """The magnitudes of a block whose upper bits are `high`."""
    bits = magnitude_bits(delta)
    values, counts = np.unique(bits[(bits >> np.uint32(_LOW_BITS)) == np.uint32(high)], return_counts=True)
    return values, counts.astype(np.int32)


def find_cut(num_above: int, blocks: Sequence[Candidates], kept: int) -> Cut:
    """The exact cut: the k-th largest magnitude and the elements that equal it, block by block."""
    values, places = np.unique(np.concatenate([values for values, _ in blocks]), return_inverse=True)
    counts = np.bincount(places, weights=np.concatenate([counts for _, counts in blocks])).astype(np.int64)
    wanted = kept - num_above
    place, above = crucial_bin(counts, max(wanted, 1))
    threshold = int(values[place])
    ties = [int(counts[values == threshold].sum()) for values, counts in blocks]
    before = np.cumsum([0, *ties[:-1]])
    return Cut(threshold, wanted - above, tuple(int(number) for number in before))


def keep_largest(delta: Floats, cut: Cut, block: int) -> Mask:
    """TIES's mask of the largest magnitudes in one block of a tensor."""
    bits = magnitude_bits(delta)
    kept: Mask = bits > np.uint32(cut.threshold)
    left = cut.ties_kept - cut.ties_before[block]
    if left > 0:
        ties = np.flatnonzero(bits == np.uint32(cut.threshold))
        kept[ties[:left]] = True
    return kept
