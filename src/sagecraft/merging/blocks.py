"""What is done to one block of a tensor, in numpy: the plain twin of blocks.cpp.

A block is a part of a tensor that begins at a multiple of `CHUNK` elements. Whatever needs a sum gets it chunk by chunk (`chunk_totals`),
and chunks are added up in their order: so neither the size of blocks nor the number of threads, nor whether this or the native
way was taken, changes a byte.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from sagecraft.errors import UserError
from sagecraft.merging import sparsify
from sagecraft.merging.methods import Method, Numbers
from sagecraft.merging.sparsify import Mask
from sagecraft.models.tensors import TensorRecord

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]
    Totals = NDArray[np.float64]

#: Elements of one total: 64 additions in each of 16 lanes lose about 1e-6 in float32.
CHUNK = 1 << 10
_LANES = 16
FLOATS = {"F32": "float32", "BF16": "bfloat16", "F16": "float16"}
_EXPONENTS = {"F32": (np.uint32, 0x7F800000), "BF16": (np.uint16, 0x7F80), "F16": (np.uint16, 0x7C00)}


@dataclass(frozen=True)
class Stored:
    """A tensor of one source: its record and an open file."""

    record: TensorRecord
    handle: int

    @property
    def width(self) -> int:
        """Bytes of an element."""
        return np.dtype(_EXPONENTS[self.record.dtype][0]).itemsize


@dataclass(frozen=True)
class Group:
    """One tensor of all models.

    Attributes:
        name: of the tensor.
        stored: of each source, each model once.
        changes: for some sources, what is added to values read from an element on (adapters).
        models: sources that contribute, in order.
        base: source of the base, None without.
        reference: source that the summary's deltas are taken from.
    """

    name: str
    stored: tuple[Stored, ...]
    changes: tuple[Callable[[Floats, int], None] | None, ...]
    models: tuple[int, ...]
    base: int | None
    reference: int


@dataclass(frozen=True)
class View:
    """Which tensors a computation sees: `sources`, less `origin` if that is given, thinned out by `masks`."""

    sources: tuple[int, ...]
    origin: int | None
    masks: tuple[Mask, ...] = ()


class Engine(Protocol):
    """The two ways. A block is (first element, number of elements); totals are [chunks, figures]."""

    def merge(
        self, group: Group, view: View, method: Method, numbers: Numbers, dtype: str, block: tuple[int, int]
    ) -> tuple[NDArray[Any], Totals]:
        """The merged block as it is stored; totals of products of the deltas, conflicts of sign, squares of the merged delta."""

    def gram(self, group: Group, view: View, block: tuple[int, int]) -> Totals:
        """Totals of the products of all pairs, in the order (0,0) (0,1) … (1,1) …."""

    def sizes(self, group: Group, view: View, block: tuple[int, int]) -> Totals:
        """Totals of |x| for each tensor of the view, then of |x| where it is kept."""

    def upper(self, group: Group, view: View, block: tuple[int, int], counts: NDArray[np.uint32]) -> None:
        """Adds the histograms of the magnitudes' upper bits to `counts` [tensors, bins]."""

    def lower(
        self, group: Group, view: View, block: tuple[int, int], uppers: NDArray[np.uint32], counts: NDArray[np.uint32]
    ) -> None:
        """Adds the histograms of the other bits of the magnitudes whose upper bits are `uppers`."""

    def sample(self, group: Group, view: View, count: int, places: NDArray[np.int64], size: int) -> NDArray[np.uint32]:
        """Magnitudes [tensors, groups, size] of groups of neighbours, each from its place in a tensor of `count` elements on."""

    def between(
        self,
        group: Group,
        view: View,
        block: tuple[int, int],
        low: NDArray[np.uint32],
        high: NDArray[np.uint32],
        room: int,
    ) -> Between:
        """Magnitudes from `low` to `high` of each tensor, of which it keeps as many as there is room for."""


@dataclass(frozen=True)
class Between:
    """Magnitudes of one block that lie between two bounds.

    Attributes:
        above: of each tensor, how many are larger.
        inside: how many lie between, [chunks, tensors].
        magnitudes: of each tensor, the first of those that lie between; none if both bounds are the same number.
        places: their indices in the whole tensor.
    """

    above: NDArray[np.int64]
    inside: NDArray[np.int64]
    magnitudes: list[NDArray[np.uint32]]
    places: list[NDArray[np.int64]]


def chunk_totals(values: Floats) -> Totals:
    """Sum of each chunk: 16 lanes side by side in float32, then the lanes one after the other in float64."""
    count = -(-len(values) // CHUNK)
    padded = values
    if len(values) != count * CHUNK:
        padded = np.zeros(count * CHUNK, dtype=np.float32)
        padded[: len(values)] = values
    lanes = np.add.accumulate(padded.reshape(count, CHUNK // _LANES, _LANES), axis=1)[:, -1]
    return np.asarray(np.add.accumulate(lanes.astype(np.float64), axis=1)[:, -1])


def to_float(raw: NDArray[Any], dtype: str) -> Floats:
    """Stored values in float32."""
    if dtype == "F32":
        return raw.view(np.float32)
    if dtype == "F16":
        return raw.view(np.float16).astype(np.float32)
    wide = raw.astype(np.uint32)
    wide <<= np.uint32(16)
    return wide.view(np.float32)


def from_float(values: Floats, dtype: str) -> NDArray[Any]:
    """Stored form of float32 values: rounded to nearest, ties to even. Overflow becomes infinity."""
    if dtype == "F32":
        return values
    if dtype == "F16":
        with np.errstate(over="ignore"):
            return values.astype(np.float16)
    bits = values.view(np.uint32)
    rounded = bits + (((bits >> np.uint32(16)) & np.uint32(1)) + np.uint32(0x7FFF))
    return (rounded >> np.uint32(16)).astype(np.uint16)


def is_finite(raw: NDArray[Any], dtype: str) -> bool:
    """False if stored values hold NaN or infinity."""
    kind, exponent = _EXPONENTS[dtype]
    return not len(raw) or int((raw.view(kind) & kind(exponent)).max()) != exponent


def not_finite(record: TensorRecord, name: str) -> UserError:
    """A merge would spread it over everything."""
    return UserError(f"{record.file}: {name} holds NaN or infinity; the checkpoint is damaged, fetch it again")


def ends_early(record: TensorRecord, name: str) -> UserError:
    """The header was right when the plan was made."""
    return UserError(f"{record.file}: ends within {name}; the file changed or is damaged, fetch it again")


def too_large(name: str, dtype: str) -> UserError:
    """A merged value that the output's type cannot hold."""
    return UserError(f"{name}: a merged value is too large for {FLOATS[dtype]}; choose a wider out_dtype")


class Plain:
    """The way without a compiler, and for what the native one does not offer."""

    def read(self, group: Group, source: int, block: tuple[int, int]) -> Floats:
        """A block of one source in float32, its adapter added."""
        stored, (first, count) = group.stored[source], block
        raw = np.empty(count, dtype=_EXPONENTS[stored.record.dtype][0])
        view, at = raw.data.cast("B"), stored.record.start + first * raw.itemsize
        while len(view):  # a read may return less than asked for
            num_read = os.preadv(stored.handle, [view], at)
            if num_read <= 0:
                raise ends_early(stored.record, group.name)
            view, at = view[num_read:], at + num_read
        if not is_finite(raw, stored.record.dtype):
            raise not_finite(stored.record, group.name)
        values = to_float(raw, stored.record.dtype)
        change = group.changes[source]
        if change is not None:
            change(values, first)
        return values

    def values(self, group: Group, view: View, block: tuple[int, int]) -> list[Floats]:
        """The view's tensors, not thinned out."""
        read = {
            source: self.read(group, source, block) for source in {*view.sources, view.origin} if source is not None
        }
        if view.origin is None:
            return [read[source] for source in view.sources]
        return [read[source] - read[view.origin] for source in view.sources]

    def merge(
        self, group: Group, view: View, method: Method, numbers: Numbers, dtype: str, block: tuple[int, int]
    ) -> tuple[NDArray[Any], Totals]:
        """See `Engine`."""
        whole = self.values(group, View(tuple(range(len(group.stored))), None), block)
        kept = [
            sparsify.thin(whole[source] if view.origin is None else whole[source] - whole[view.origin], mask, block[0])
            for source, mask in zip(view.sources, view.masks, strict=True)
        ]
        base = None if group.base is None else whole[group.base]
        with np.errstate(over="ignore", invalid="ignore"):  # what overflows is found below, and is an error
            merged = method.function(base, kept, numbers)
            return self.round(group, whole, merged, dtype)

    def round(self, group: Group, whole: Sequence[Floats], merged: Floats, dtype: str) -> tuple[NDArray[Any], Totals]:
        """Rounds and measures a merged block."""
        stored = from_float(merged, dtype)
        if not is_finite(stored, dtype):
            raise too_large(group.name, dtype)
        reference = whole[group.reference]
        deltas = [whole[source] - reference for source in group.models]
        change = merged - reference
        conflicts = np.zeros(len(merged), dtype=np.float32)
        if len(deltas) > 1:
            lowest, highest = deltas[0], deltas[0]
            for delta in deltas[1:]:
                lowest, highest = np.minimum(lowest, delta), np.maximum(highest, delta)
            conflicts = ((lowest < 0) & (highest > 0)).astype(np.float32)
        return stored, np.stack([*_products(deltas), chunk_totals(conflicts), chunk_totals(change * change)], axis=1)

    def gram(self, group: Group, view: View, block: tuple[int, int]) -> Totals:
        """See `Engine`."""
        return np.stack(_products(self.values(group, view, block)), axis=1)

    def sizes(self, group: Group, view: View, block: tuple[int, int]) -> Totals:
        """See `Engine`."""
        values = self.values(group, view, block)
        kept = [sparsify.thin(value, mask, block[0]) for value, mask in zip(values, view.masks, strict=True)]
        return np.stack([chunk_totals(abs(value)) for value in (*values, *kept)], axis=1)

    def upper(self, group: Group, view: View, block: tuple[int, int], counts: NDArray[np.uint32]) -> None:
        """See `Engine`."""
        for row, value in zip(counts, self.values(group, view, block), strict=True):
            row += sparsify.upper_counts(value)

    def lower(
        self, group: Group, view: View, block: tuple[int, int], uppers: NDArray[np.uint32], counts: NDArray[np.uint32]
    ) -> None:
        """See `Engine`."""
        for row, upper, value in zip(counts, uppers, self.values(group, view, block), strict=True):
            row += sparsify.lower_counts(value, int(upper))

    def sample(self, group: Group, view: View, count: int, places: NDArray[np.int64], size: int) -> NDArray[np.uint32]:  # noqa: ARG002
        """See `Engine`."""
        groups = [self.values(group, view, (int(place), size)) for place in places]
        return sparsify.magnitude_bits(np.array(groups)).swapaxes(0, 1)

    def between(
        self,
        group: Group,
        view: View,
        block: tuple[int, int],
        low: NDArray[np.uint32],
        high: NDArray[np.uint32],
        room: int,
    ) -> Between:
        """See `Engine`."""
        above, inside, magnitudes, places = [], [], [], []
        for value, least, most in zip(self.values(group, view, block), low, high, strict=True):
            bits = sparsify.magnitude_bits(value)
            mask = (bits >= least) & (bits <= most)
            found = np.flatnonzero(mask)[: 0 if least == most else room]
            above.append(np.count_nonzero(bits > most))
            inside.append(np.add.reduceat(mask, range(0, block[1], CHUNK), dtype=np.int64))
            magnitudes.append(bits[found])
            places.append(found + block[0])
        return Between(np.array(above), np.stack(inside, axis=1), magnitudes, places)


def _products(values: Sequence[Floats]) -> list[Totals]:
    count = len(values)
    return [chunk_totals(values[left] * values[right]) for left in range(count) for right in range(left, count)]
