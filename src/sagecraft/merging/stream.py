"""Merging block by block: weights are read by range, computed in float32 and written to their place at once.

The output's headers are known from the plan, so files are laid out first and blocks are written wherever they belong.
A tensor is never in memory as a whole, whatever its size; threads work on different blocks and cannot change a byte,
since every block's values depend on that block and on numbers measured per tensor in the order of blocks.
"""

from __future__ import annotations

import json
import os
import struct
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sagecraft.errors import MachineError, UserError
from sagecraft.merging import sparsify
from sagecraft.merging.config import Job
from sagecraft.merging.methods import Numbers
from sagecraft.merging.plan import FLOATS, MergePlan, TensorPlan, output_bytes
from sagecraft.merging.sparsify import Cut
from sagecraft.merging.summary import BlockSums, TensorSummary, measure_block, summarise
from sagecraft.models.adapter import load_adapter
from sagecraft.models.tensors import SHARD_BYTES, TensorRecord, plan_shards, write_index

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

#: Elements of a block: 64 kB in float32, so that a block's temporaries stay in a core's cache and below the size from
#: which the C library fetches fresh pages for each array (an election took 6.9 ns an element, with 2^16 18.7 ns).
BLOCK_ELEMENTS = 1 << 14
_EXPONENTS = {"F32": (np.uint32, 0x7F800000), "BF16": (np.uint16, 0x7F80), "F16": (np.uint16, 0x7C00)}


def default_threads() -> int:
    """One a core this process may use, at most 16: beyond that the disk is the limit."""
    return max(1, min(16, len(os.sched_getaffinity(0))))


class Files:
    """Open files by path, read and written by range from any thread."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._handles: dict[Path, int] = {}
        self._lock = threading.Lock()

    def open(self, path: Path, flags: int = os.O_RDONLY) -> int:
        """A handle, opened once."""
        with self._lock:
            if path not in self._handles:
                self._handles[path] = os.open(path, flags)
                self._stack.callback(os.close, self._handles[path])
            return self._handles[path]

    def read(self, record: TensorRecord, name: str, start: int, count: int) -> Floats:
        """Elements [start, start + count) of a tensor in float32.

        Raises:
            UserError: a value is not finite; a merge would spread it over everything.
        """
        kind, exponent = _EXPONENTS[record.dtype]
        raw = np.empty(count, dtype=kind)
        view, at = raw.data.cast("B"), record.start + start * raw.itemsize
        handle = self.open(record.file)
        while len(view):  # a read may return less than asked for
            num_read = os.preadv(handle, [view], at)
            if num_read <= 0:
                raise UserError(f"{record.file}: ends within {name}; the file changed or is damaged, fetch it again")
            view, at = view[num_read:], at + num_read
        if count and int((raw & kind(exponent)).max()) == exponent:
            raise UserError(f"{record.file}: {name} holds NaN or infinity; the checkpoint is damaged, fetch it again")
        return _to_float(raw, record.dtype)

    def write(self, path: Path, data: memoryview, at: int) -> None:
        """Writes all of `data` at a position."""
        handle = self.open(path, os.O_RDWR)
        while len(data):
            num_written = os.pwrite(handle, data, at)
            data, at = data[num_written:], at + num_written


def _to_float(raw: NDArray[Any], dtype: str) -> Floats:
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


@dataclass(frozen=True)
class Place:
    """Where a tensor of the result goes: a file and the first byte of its data."""

    file: Path
    start: int


def lay_out(folder: Path, tensors: Sequence[TensorPlan], shard_bytes: int) -> dict[str, Place]:
    """Creates the output's files with their headers and full sizes, and the index if there are several."""
    rows = {row.name: row for row in tensors}
    sizes = {row.name: output_bytes(row) for row in tensors}
    shards = plan_shards(sizes, shard_bytes)
    places: dict[str, Place] = {}
    for file_name, shard in shards.items():
        places |= _create(folder / file_name, [rows[name] for name in shard])
    write_index(folder, shards, sum(sizes.values()))
    return places


def _create(path: Path, tensors: Sequence[TensorPlan]) -> dict[str, Place]:
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for row in tensors:
        end = offset + output_bytes(row)
        header[row.name] = {"dtype": row.dtype, "shape": list(row.shape), "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)  # data begins at a multiple of 8, as the format's own library writes it
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + offset)
    return {row.name: Place(path, 8 + len(text) + header[row.name]["data_offsets"][0]) for row in tensors}


class Merger:
    """Merges the tensors of a plan; a fault of one tensor stops everything."""

    def __init__(self, job: Job, files: Files, map_blocks: Callable[..., Iterator[Any]], block_elements: int) -> None:
        self.job = job
        self.files = files
        self.map_blocks = map_blocks
        self.block_elements = block_elements
        self.changes = {s.label: load_adapter(s.adapter) for s in job.sources if s.adapter is not None}

    def blocks(self, row: TensorPlan) -> list[tuple[int, int, int]]:
        """(number, start, count) of each block of a tensor."""
        size, total = self.block_elements, row.num_elements
        return [(start // size, start, min(size, total - start)) for start in range(0, total, size)]

    def read(self, row: TensorPlan, start: int, count: int) -> dict[str, Floats]:
        """A block of every model by label."""
        values = {label: self.files.read(record, row.name, start, count) for label, record in row.records.items()}
        for label, changes in self.changes.items():
            if row.name in changes:
                changes[row.name].add_to(values[label], start)
        return values

    def deltas(self, values: dict[str, Floats]) -> list[Floats]:
        """Differences of the models from the base (or from the reference, for the summary)."""
        origin = values[self.job.reference.label]
        return [values[source.label] - origin for source in self.job.models]

    def merge(self, row: TensorPlan, write: Callable[[memoryview, int], None]) -> TensorSummary:
        """Merges one tensor and hands its bytes, with their offset, to `write`."""
        numbers, cuts = self.measure(row)
        width = 4 if row.dtype == "F32" else 2

        def work(block: tuple[int, int, int]) -> BlockSums:
            with np.errstate(over="ignore", invalid="ignore"):  # what overflows is found below, and is an error
                return work_quietly(*block)

        def work_quietly(number: int, start: int, count: int) -> BlockSums:
            values = self.read(row, start, count)
            deltas = self.deltas(values)
            merged = self.combine(row, values, deltas, numbers, cuts, number, start)
            stored = from_float(merged, row.dtype)
            kind, exponent = _EXPONENTS[row.dtype]
            if count and int((stored.view(kind) & kind(exponent)).max()) == exponent:
                raise UserError(
                    f"{row.name}: a merged value is too large for {FLOATS[row.dtype]}; choose a wider out_dtype"
                )
            write(stored.data.cast("B"), start * width)
            return measure_block(deltas, merged - values[self.job.reference.label])

        return summarise(row, [source.label for source in self.job.models], self.map_blocks(work, self.blocks(row)))

    def combine(
        self,
        row: TensorPlan,
        values: dict[str, Floats],
        deltas: list[Floats],
        numbers: Numbers,
        cuts: Sequence[Cut | None],
        number: int,
        start: int,
    ) -> Floats:
        """The merged values of one block."""
        method = self.job.row
        base = values[self.job.base.label] if self.job.base else None
        if not method.deltas:
            tensors = [values[source.label] for source in self.job.models]
            merged: Floats = method.function(base, tensors, numbers)
            return merged
        sparse = [
            self.thin(row, model, delta, cut, number, start)
            for model, (delta, cut) in enumerate(zip(deltas, cuts, strict=True))
        ]
        result: Floats = method.function(base, sparse, numbers)
        return result

    def thin(self, row: TensorPlan, model: int, delta: Floats, cut: Cut | None, number: int, start: int) -> Floats:
        """A delta with the elements that are not kept set to zero."""
        density = row.densities[model]
        if self.job.row.sparsify is None or density >= 1:
            return delta
        if cut is not None:
            return delta * sparsify.keep_largest(delta, cut, number)
        key = sparsify.mask_key(self.job.seed, self.job.models[model].label, row.name)
        return delta * sparsify.keep_random(key, density, start, len(delta))

    def measure(self, row: TensorPlan) -> tuple[Numbers, list[Cut | None]]:
        """What a method needs to know of a whole tensor: cuts, rescaling, SLERP's angle."""
        job = self.job
        numbers = Numbers(row.weights, row.weights, job.normalize, job.lambda_, job.sign_ties, row.t)
        if "t" in job.row.parameters:
            return replace(numbers, cosine=self._cosine(row)), []
        cuts: list[Cut | None] = [None] * len(job.models)
        if job.row.sparsify == "magnitude" and row.num_elements and min(row.densities) < 1:
            cuts = self._cuts(row)
        if job.row.sparsify is None or job.rescale == "off":
            return numbers, cuts
        factors = [1 / density for density in row.densities]
        if job.rescale == "l1":
            factors = self._l1_factors(row, cuts)
        scales = tuple(weight * factor for weight, factor in zip(row.weights, factors, strict=True))
        return replace(numbers, scales=scales), cuts

    def _cosine(self, row: TensorPlan) -> float:
        """Cosine between base and the other model, summed in float64."""

        def work(block: tuple[int, int, int]) -> NDArray[np.float64]:
            values = self.read(row, block[1], block[2])
            left, right = (
                values[source.label].astype(np.float64) for source in (self.job.reference, self.job.models[0])
            )
            return np.array([(left * right).sum(), (left * left).sum(), (right * right).sum()])

        dot, left, right = sum(self.map_blocks(work, self.blocks(row)), np.zeros(3))
        return float(np.clip(dot / np.sqrt(left * right), -1, 1)) if left and right else 1.0

    def _cuts(self, row: TensorPlan) -> list[Cut | None]:
        """The k-th largest magnitude of each model's delta, exactly, in two passes over the blocks."""
        kept = [sparsify.num_kept(density, row.num_elements) for density in row.densities]

        def count(block: tuple[int, int, int]) -> list[NDArray[np.int64]]:
            return [sparsify.high_histogram(delta) for delta in self.deltas(self.read(row, *block[1:]))]

        totals = [np.zeros(sparsify.NUM_BINS, dtype=np.int64) for _ in kept]
        for histograms in self.map_blocks(count, self.blocks(row)):
            for total, histogram in zip(totals, histograms, strict=True):
                total += histogram
        bins = [sparsify.crucial_bin(total, max(k, 1)) for total, k in zip(totals, kept, strict=True)]

        def gather(block: tuple[int, int, int]) -> list[sparsify.Candidates]:
            deltas = self.deltas(self.read(row, *block[1:]))
            return [sparsify.candidates(delta, high) for delta, (high, _) in zip(deltas, bins, strict=True)]

        found = list(self.map_blocks(gather, self.blocks(row)))
        return [
            sparsify.find_cut(above, [candidates[model] for candidates in found], kept[model])
            for model, (_, above) in enumerate(bins)
        ]

    def _l1_factors(self, row: TensorPlan, cuts: Sequence[Cut | None]) -> list[float]:
        """Σ|δ| over Σ|kept δ| for each model; 1 where nothing is kept."""

        def work(block: tuple[int, int, int]) -> NDArray[np.float64]:
            deltas = self.deltas(self.read(row, *block[1:]))
            kept = [
                self.thin(row, model, delta, cut, block[0], block[1])
                for model, (delta, cut) in enumerate(zip(deltas, cuts, strict=True))
            ]
            return np.array([[abs(part).sum(dtype=np.float64) for part in parts] for parts in (deltas, kept)])

        whole, left = sum(self.map_blocks(work, self.blocks(row)), np.zeros((2, len(cuts))))
        return [float(a / b) if b else 1.0 for a, b in zip(whole, left, strict=True)]


@contextmanager
def merger(job: Job, num_threads: int, block_elements: int) -> Iterator[Merger]:
    """A merger with its threads and open files."""
    with ExitStack() as stack:
        files = Files(stack)
        if num_threads == 1:
            yield Merger(job, files, map, block_elements)
            return
        pool = stack.enter_context(ThreadPoolExecutor(num_threads))

        def map_blocks(function: Callable[[Any], Any], blocks: Sequence[Any]) -> Iterator[Any]:
            """Results in order; a few blocks ahead of the one that is awaited, so that results never pile up."""
            ahead: deque[Future[Any]] = deque()
            for block in blocks:
                ahead.append(pool.submit(function, block))
                if len(ahead) > 4 * num_threads:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()

        try:
            yield Merger(job, files, map_blocks, block_elements)
        finally:
            pool.shutdown(cancel_futures=True)


def write_merged(
    job: Job,
    plan: MergePlan,
    folder: Path,
    tick: Callable[[TensorPlan], None],
    *,
    num_threads: int | None = None,
    block_elements: int = BLOCK_ELEMENTS,
    shard_bytes: int = SHARD_BYTES,
) -> list[TensorSummary]:
    """Writes the merged weights into `folder` and returns what was seen of each tensor.

    Raises:
        UserError: a value is not finite, or too large for the output's type.
        MachineError: the disk has no room for the result.
    """
    free = os.statvfs(folder)
    if free.f_bavail * free.f_frsize < plan.num_output_bytes:
        raise MachineError(f"{folder}: the result takes {plan.num_output_bytes:,} bytes, which are not free; make room")
    places = lay_out(folder, plan.tensors, shard_bytes)
    summaries = []
    with merger(job, num_threads or default_threads(), block_elements) as work:
        for row in plan.tensors:
            place = places[row.name]

            def write(data: memoryview, offset: int, place: Place = place) -> None:
                work.files.write(place.file, data, place.start + offset)

            summaries.append(work.merge(row, write))
            tick(row)
    return summaries
