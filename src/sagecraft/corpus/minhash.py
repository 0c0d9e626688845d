"""MinHash: how alike texts are, from two bytes a hash function, and which of them are worth comparing (banding).

Words are those of `overlap.words_of`: case-folded runs of letters and digits. Mathematics takes part as its tokens
(`$\\alpha_2 \\sim 10^{-3}$` is `alpha 2 sim 10 3`), so two texts that differ in their formulas differ here. Words never
exist as Python strings: a text is an array of code points, and everything up to the signature is arithmetic on arrays.
14,238 abstracts take 0.3 CPU seconds that way, a third of it for the signatures; cutting them into words by the regular
expression alone took 0.8.

Sources: A. Z. Broder, "On the resemblance and containment of documents" (1997), for MinHash; J. Leskovec,
A. Rajaraman, J. Ullman, "Mining of Massive Datasets", section 3.4, for banding.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache

import numpy as np
import numpy.typing as npt

from sagecraft.artifact import keyed_hash

UInt64 = npt.NDArray[np.uint64]
UInt32 = npt.NDArray[np.uint32]
UInt16 = npt.NDArray[np.uint16]
Int64 = npt.NDArray[np.int64]

#: Characters hashed at a time: 8 bytes each stay within a second-level cache.
_BLOCK_CHARS = 1 << 17
#: Shingles that go through all hash functions together, for the same reason.
_BLOCK_SHINGLES = 1 << 16
_WORD_KEY = np.uint64(keyed_hash("minhash", "word") | 1)
_SHINGLE_KEY = np.uint64(keyed_hash("minhash", "shingle") | 1)
_BAND_KEY = np.uint64(keyed_hash("minhash", "band") | 1)
_FOLD_KEY = np.uint32(keyed_hash("minhash", "fold") & 0xFFFFFFFF | 1)
_LARGEST = np.uint32(0xFFFFFFFF)


@cache
def _is_word() -> npt.NDArray[np.bool_]:
    """For every code point, whether it is a letter or digit."""
    points = np.arange(0x110000, dtype=np.uint32)
    return np.char.isalnum(points.view("U1"))


@cache
def _powers() -> tuple[UInt64, UInt64]:
    """Powers of the word key and of its inverse (mod 2^64), for a block and the line breaks around it."""
    size = _BLOCK_CHARS + 2
    tables = []
    for base in (int(_WORD_KEY), pow(int(_WORD_KEY), -1, 1 << 64)):
        factors = np.full(size, base, dtype=np.uint64)
        factors[0] = 1
        tables.append(np.cumprod(factors, dtype=np.uint64))
    return tables[0], tables[1]


def _mix(values: UInt64) -> UInt64:
    """Stafford's variant 13 of the 64-bit finaliser of MurmurHash3, in place: each bit depends on each bit."""
    shifted = values >> np.uint64(30)
    values ^= shifted
    values *= np.uint64(0xBF58476D1CE4E5B9)
    np.right_shift(values, np.uint64(27), out=shifted)
    values ^= shifted
    values *= np.uint64(0x94D049BB133111EB)
    np.right_shift(values, np.uint64(31), out=shifted)
    values ^= shifted
    return values


def _pieces(texts: Sequence[str]) -> Iterator[tuple[int, str]]:
    """Number of a text and a case-folded piece of it; only a text longer than a block has several.

    A piece ends at a space where there is one in its last half, so a word is cut only if it is longer than that.
    """
    for number, text in enumerate(texts):
        folded = text.casefold()
        start = 0
        while len(folded) - start > _BLOCK_CHARS:
            end = folded.rfind(" ", start + _BLOCK_CHARS // 2, start + _BLOCK_CHARS)
            end = end if end > 0 else start + _BLOCK_CHARS
            yield number, folded[start:end]
            start = end
        yield number, folded[start:] if start else folded


def _blocks(texts: Sequence[str]) -> Iterator[list[tuple[int, str]]]:
    block: list[tuple[int, str]] = []
    size = 0
    for number, piece in _pieces(texts):
        if block and size + len(piece) + 1 > _BLOCK_CHARS:
            yield block
            block, size = [], 0
        block.append((number, piece))
        size += len(piece) + 1
    if block:
        yield block


def word_hashes(texts: Sequence[str]) -> tuple[UInt64, Int64]:
    """Hashes of the words of texts, one behind the other, and where each text begins.

    A word's hash is a polynomial of its code points, taken from prefix sums over the whole block.

    Returns:
        hashes (num_words,) and bounds (len(texts) + 1,): the words of text i are `hashes[bounds[i]:bounds[i + 1]]`.
    """
    powers, inverses = _powers()
    counts = np.zeros(len(texts) + 1, dtype=np.int64)
    parts: list[UInt64] = []
    for block in _blocks(texts):
        # A line break before, between and behind: each word has an edge on both sides.
        joined = "\n" + "\n".join(piece for _, piece in block) + "\n"
        codes = np.frombuffer(joined.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
        is_word = _is_word()[codes]
        edges = np.flatnonzero(is_word[1:] != is_word[:-1])
        before, last = edges[0::2], edges[1::2]
        sums = np.multiply(codes, is_word, dtype=np.uint64)
        sums *= powers[: len(sums)]
        np.cumsum(sums, out=sums)
        parts.append((sums[last] - sums[before]) * inverses[before])
        begins = np.cumsum([0, *(len(piece) + 1 for _, piece in block)])
        per_piece = np.diff(np.searchsorted(before, begins))
        np.add.at(counts, np.array([number for number, _ in block]) + 1, per_piece)
    hashes = np.concatenate(parts) if parts else np.zeros(0, dtype=np.uint64)
    return _mix(hashes), np.cumsum(counts)


def shingle_hashes(words: UInt64, bounds: Int64, num_words: int) -> tuple[UInt64, Int64]:
    """Hashes of all runs of `num_words` words of texts (`overlap.ngrams`), in their order, with repetitions.

    Args:
        words: hashes of the words of all texts (`word_hashes`).
        bounds: (n + 1,) where each text begins.
        num_words: words of a shingle.

    Returns:
        hashes (num_shingles,) and bounds (n + 1,) as before. A text of fewer words has none.
    """
    size = len(words) - num_words + 1
    if size <= 0:
        return np.zeros(0, dtype=np.uint64), np.zeros_like(bounds)
    runs = words[:size].copy()
    for offset in range(1, num_words):
        runs *= _SHINGLE_KEY
        runs += words[offset : offset + size]
    lengths = np.diff(bounds)
    whole = np.ones(size + num_words, dtype=np.bool_)
    for missing in range(1, num_words):
        # A run that begins in the last words of a text would end in the next one.
        whole[bounds[1:][lengths >= missing] - missing] = False
    counts = np.maximum(lengths - num_words + 1, 0)
    return _mix(runs[whole[:size]]), np.concatenate([[0], np.cumsum(counts)])


@cache
def _hash_functions(num_hashes: int, seed: int) -> tuple[list[np.uint32], list[np.uint32]]:
    values = [keyed_hash(seed, "minhash", number) for number in range(num_hashes)]
    return [np.uint32(v & 0xFFFFFFFF | 1) for v in values], [np.uint32(v >> 32) for v in values]


def signatures(shingles: UInt64, bounds: Int64, num_hashes: int, seed: int) -> UInt16:
    """MinHash signatures of texts.

    Hash function k is `a_k · x + b_k` mod 2^32 on the upper half of the shingle's hash; its smallest value over the text
    is folded to 16 bits, so that two different minima agree with a chance of 2^-16, which is far below the sampling
    error of any number of functions one would take.

    One pass with as many bins as hashes and optimal densification (one-permutation hashing) was measured beside
    this: see docs/dedup.md for why it is not used.

    Args:
        shingles: hashes of all texts (`shingle_hashes`).
        bounds: (n + 1,) where each text begins.
        num_hashes: hash functions.
        seed: keys them.

    Returns:
        (n, num_hashes). The row of a text without shingles is the same for all such texts and says nothing.
    """
    num_texts = len(bounds) - 1
    smallest = np.full((num_hashes, num_texts), _LARGEST, dtype=np.uint32)
    factors, offsets = _hash_functions(num_hashes, seed)
    values = (shingles >> np.uint64(32)).astype(np.uint32)
    filled = np.flatnonzero(np.diff(bounds))
    starts = bounds[:-1][filled]
    work = np.empty(min(_BLOCK_SHINGLES, len(values)), dtype=np.uint32)
    for begin in range(0, len(values), _BLOCK_SHINGLES):
        block = values[begin : begin + _BLOCK_SHINGLES]
        first = int(np.searchsorted(starts, begin, side="right")) - 1
        last = int(np.searchsorted(starts, begin + len(block), side="left"))
        rows = filled[first:last]
        cuts = np.maximum(starts[first:last] - begin, 0)
        hashed = work[: len(block)]
        for number in range(num_hashes):
            np.multiply(block, factors[number], out=hashed)
            hashed += offsets[number]
            least = np.minimum.reduceat(hashed, cuts)
            # A text that began in the block before has a minimum already.
            smallest[number, rows] = np.minimum(smallest[number, rows], least)
    smallest *= _FOLD_KEY
    smallest >>= np.uint32(16)
    return np.ascontiguousarray(smallest.astype(np.uint16).T)


def bands_for(threshold: float, num_hashes: int, recall: float) -> tuple[int, int]:
    """How to cut a signature into bands: (number of bands, hashes in a band).

    Two texts are compared if they agree in all hashes of one band. At Jaccard s that happens with the chance
    1 - (1 - s^rows)^bands. Taken is the largest `rows`, which brings the fewest vain comparisons, that still finds a pair
    at the threshold with the chance `recall`; one row a band if none does.
    """
    for rows in range(num_hashes, 1, -1):
        bands = num_hashes // rows
        if 1.0 - (1.0 - threshold**rows) ** bands >= recall:
            return bands, rows
    return num_hashes, 1


def band_keys(band: UInt16) -> UInt64:
    """A 64-bit key of each row of one band, (n, rows) → (n,)."""
    keys = band[:, 0].astype(np.uint64)
    for column in range(1, band.shape[1]):
        keys *= _BAND_KEY
        keys += band[:, column]
    return _mix(keys)


def jaccard(one: UInt64, two: UInt64) -> float:
    """Shared shingles over all shingles, of two sets given as sorted arrays without repetitions; 0.0 if both are empty."""
    shared = len(np.intersect1d(one, two, assume_unique=True))
    together = len(one) + len(two) - shared
    return shared / together if together else 0.0


def shingle_sets(texts: Sequence[str], num_words: int) -> list[UInt64]:
    """The set of shingle hashes of each text, sorted, without repetitions: for exact Jaccard and containment."""
    hashes, bounds = shingle_hashes(*word_hashes(texts), num_words)
    return [np.unique(hashes[bounds[i] : bounds[i + 1]]) for i in range(len(texts))]
