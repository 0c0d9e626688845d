"""The place of the k-th largest magnitude of a tensor, exactly, without ever holding the tensor.

A sample tells between which two magnitudes it very likely lies; one pass counts what is larger and keeps the few elements
between. Where that does not hold (a sample that misleads, or very many elements between) two histograms find the place,
whatever the values. The sample has no influence on what is found.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sagecraft.artifact import keyed_hash
from sagecraft.merging import sparsify
from sagecraft.merging.blocks import CHUNK, Between, Engine, Group, Plain, View
from sagecraft.merging.sparsify import Bound

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Bits = NDArray[np.uint32]
    Block = tuple[int, int]

_LARGEST = 0x7FFFFFFF
#: Elements that are counted in one array of 32-bit numbers: all could be in one bin, as those of an embedding that no model changed.
_MOST_COUNTED = 1 << 31
#: Elements that are neighbours are alike, so the sample takes many small groups, whose spread tells its error.
_GROUP_SIZE, _LEAST_GROUPS, _MOST_GROUPS = 256, 256, 1 << 13
#: One group for so many elements: 1/64 of the tensor is looked at.
_ELEMENTS_PER_GROUP = 64 * _GROUP_SIZE
#: Smaller tensors are sorted whole.
_SMALL = _GROUP_SIZE * _LEAST_GROUPS
#: Magnitudes are counted by so many bits before the few in the bin that matters are sorted.
_BIN_BITS = 16
#: Standard errors to each side of the guess: it fails once in 16,000 times, which costs time only.
_NUM_ERRORS = 4.0


@dataclass(frozen=True)
class Ranking:
    """One tensor of all models, and how its blocks are gone through.

    Attributes:
        engine: of the arithmetic.
        group: the tensor.
        num_elements: of it.
        each: calls a function with every block, (first element, number of elements), and returns the results in order.
    """

    engine: Engine
    group: Group
    num_elements: int
    each: Callable[[Callable[[Block], Any]], Iterator[Any]]

    def bounds(self, view: View, ranks: Sequence[int]) -> list[Bound]:
        """For each tensor of the view: the place behind its `rank` largest magnitudes."""
        trivial = {0: sparsify.TOP, self.num_elements: sparsify.BOTTOM}
        found = [trivial.get(rank) for rank in ranks]
        for find in (self._by_sample, self._by_histograms):
            open_ = [m for m, bound in enumerate(found) if bound is None]
            if open_:
                part = View(tuple(view.sources[m] for m in open_), view.origin)
                for m, bound in zip(open_, find(part, [ranks[m] for m in open_]), strict=True):
                    found[m] = bound
        return [bound for bound in found if bound is not None]

    def _by_sample(self, view: View, ranks: Sequence[int]) -> Sequence[Bound | None]:
        """None for those that it does not find."""
        low, high, share = self._guess(view, ranks)
        seen = self._between(view, low, high, share)
        found: list[Bound | None] = []
        for m, rank in enumerate(ranks):
            above = sum(int(each.above[m]) for each in seen)
            inside = np.concatenate([each.inside[:, m] for each in seen])
            rest = rank - above
            if not 0 < rest <= inside.sum():
                found.append(None)
            elif low[m] == high[m]:
                found.append(self._tied(view, m, int(low[m]), rest, inside))
            elif any(len(each.magnitudes[m]) < each.inside[:, m].sum() for each in seen):
                found.append(None)  # there was no room for all
            else:
                magnitudes = np.concatenate([each.magnitudes[m] for each in seen])
                places = np.concatenate([each.places[m] for each in seen])
                bits = ordered_at(magnitudes, [rest - 1])[0]
                equal = places[magnitudes == bits]
                tied = rest - int((magnitudes > bits).sum())
                found.append(Bound(bits, self.num_elements if tied == len(equal) else int(equal[tied - 1]) + 1))
        return found

    def _guess(self, view: View, ranks: Sequence[int]) -> tuple[Bits, Bits, float]:
        """Magnitudes on both sides of each place, and which share of the elements to expect between at most."""
        count = len(ranks)
        if self.num_elements <= _SMALL:
            return np.zeros(count, dtype=np.uint32), np.full(count, _LARGEST, dtype=np.uint32), 1.0
        num_groups = min(_MOST_GROUPS, max(_LEAST_GROUPS, self.num_elements // _ELEMENTS_PER_GROUP))
        step = self.num_elements // num_groups
        # a random place in each stretch: at equal distances all groups could stand in the same columns of a matrix
        random = np.random.default_rng(keyed_hash(0, "merge-sample", self.group.name))
        places = np.arange(num_groups) * step + random.integers(0, step - _GROUP_SIZE, num_groups, endpoint=True)
        sample = self.engine.sample(self.group, view, self.num_elements, places, _GROUP_SIZE)
        low, high, widest = [], [], 0.0
        for row, rank in zip(sample, ranks, strict=True):
            size, wanted = row.size, rank / self.num_elements
            guess = ordered_at(row.ravel(), [min(int(wanted * size), size - 1)])[0]
            error = float((row > guess).mean(axis=1).std()) / math.sqrt(num_groups)
            margin = _NUM_ERRORS * error + 8 / size
            widest = max(widest, margin)
            first, last = math.floor((wanted - margin) * size), math.ceil((wanted + margin) * size)
            largest, smallest = ordered_at(row.ravel(), [max(first, 0), min(last, size - 1)])
            low.append(smallest if last < size else 0)
            high.append(largest if first >= 0 else _LARGEST)
        return np.array(low, dtype=np.uint32), np.array(high, dtype=np.uint32), min(1.0, 8 * widest)

    def _between(self, view: View, low: Bits, high: Bits, share: float) -> list[Between]:
        def work(block: Block) -> Between:
            room = math.ceil(share * block[1])
            return self.engine.between(self.group, view, block, low, high, room)

        return list(self.each(work))

    def _by_histograms(self, view: View, ranks: Sequence[int]) -> list[Bound]:
        """Counts the upper bits of all magnitudes, then the others of the bins that matter; a third time what equals the bound."""
        engine, group, count = self.engine, self.group, len(ranks)
        upper = self._count((count, sparsify.NUM_UPPER), lambda block, out: engine.upper(group, view, block, out))
        bins = [sparsify.place(counts, rank) for counts, rank in zip(upper, ranks, strict=True)]
        numbers = np.array([number for number, _ in bins], dtype=np.uint32)
        lower = self._count(
            (count, sparsify.NUM_LOWER), lambda block, out: engine.lower(group, view, block, numbers, out)
        )
        bits, rests, whole = [], [], []
        for counts, rank, (number, above) in zip(lower, ranks, bins, strict=True):
            low, more = sparsify.place(counts, rank - above)
            bits.append((number << sparsify.LOW_BITS) | low)
            rests.append(rank - above - more)
            whole.append(rests[-1] == counts[low])
        if all(whole):
            return [Bound(value, self.num_elements) for value in bits]
        equal = np.array(bits, dtype=np.uint32)
        inside = np.concatenate([each.inside for each in self._between(view, equal, equal, 0.0)])
        return [self._tied(view, m, bits[m], rests[m], inside[:, m]) for m in range(count)]

    def _count(self, shape: tuple[int, int], work: Callable[[Block, Bits], None]) -> NDArray[np.int64]:
        """Histograms [tensors, bins]: each thread counts in arrays of its own, which are emptied before a bin could overflow."""
        spare: deque[tuple[Bits, int]] = deque()
        made: list[Bits] = []
        full: list[NDArray[np.int64]] = []

        def counted(block: Block) -> None:
            try:
                counts, held = spare.pop()
            except IndexError:
                counts, held = np.zeros(shape, dtype=np.uint32), 0
                made.append(counts)
            if held + block[1] > _MOST_COUNTED:
                full.append(counts.astype(np.int64))
                counts[:], held = 0, 0
            work(block, counts)
            spare.append((counts, held + block[1]))

        for _ in self.each(counted):
            pass
        total: NDArray[np.int64] = np.sum(made, axis=0, dtype=np.int64)
        for counts in full:
            total += counts
        return total

    def _tied(self, view: View, model: int, bits: int, number: int, inside: NDArray[np.int64]) -> Bound:
        """Behind the first `number` elements of this magnitude, of which each chunk has so many."""
        passed = np.cumsum(inside)
        if number == passed[-1]:
            return Bound(bits, self.num_elements)
        chunk = int(np.searchsorted(passed, number))
        number -= int(passed[chunk - 1]) if chunk else 0
        first = chunk * CHUNK
        part = View((view.sources[model],), view.origin)
        values = Plain().values(self.group, part, (first, min(CHUNK, self.num_elements - first)))[0]
        return Bound(bits, first + int(np.flatnonzero(sparsify.magnitude_bits(values) == bits)[number - 1]) + 1)


def ordered_at(magnitudes: Bits, places: Sequence[int]) -> list[int]:
    """The magnitudes at these places (0: the largest) of the order, by counting: numpy's sort takes four times as long."""
    least = magnitudes.min()
    bins = magnitudes - least
    bins >>= np.uint32(max(int(bins.max()).bit_length() - _BIN_BITS, 0))
    above = np.cumsum(np.bincount(bins)[::-1])
    found = []
    for place in places:
        at = int(np.searchsorted(above, place, side="right"))
        inside = np.sort(magnitudes[bins == len(above) - 1 - at])
        found.append(int(inside[-1 - place + (int(above[at - 1]) if at else 0)]))
    return found
