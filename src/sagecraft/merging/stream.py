"""Merging block by block: weights are read by range, computed in float32 and written to their place at once.

The output's headers are known from the plan, so files are laid out first and blocks are written wherever they belong.
A tensor is never in memory as a whole, whatever its size; threads work on different blocks and cannot change a byte,
since every block's values depend on that block and on numbers measured per tensor in the order of blocks. The kernel is told
which ranges come next, so that the disk reads ahead of the arithmetic, and writes behind it.
"""

from __future__ import annotations

import json
import os
import resource
import struct
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sagecraft.errors import MachineError, UserError
from sagecraft.merging import native, sparsify
from sagecraft.merging.blocks import CHUNK, Engine, Group, Plain, Stored, View, ends_early
from sagecraft.merging.job import Job
from sagecraft.merging.journal import Journal
from sagecraft.merging.methods import Numbers, add_deltas
from sagecraft.merging.plan import COPIED, MergePlan, TensorPlan, output_bytes
from sagecraft.merging.ranks import Ranking
from sagecraft.merging.rows import Settings
from sagecraft.merging.sparsify import Mask
from sagecraft.merging.summary import TensorSummary, summarise
from sagecraft.models.adapter import load_adapter
from sagecraft.models.tensors import SHARD_BYTES, plan_shards, write_index

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Block = tuple[int, int]

#: Elements of a block: so many that Python's part (0.1 ms a block) does not count beside the arithmetic (2 ms at least). The
#: native way goes through it in pieces that stay in a core's cache.
BLOCK_ELEMENTS = 1 << 20
#: The plain way's temporaries should stay in the cache, and below the size from which the C library fetches fresh pages
#: for each array (an election took 6.9 ns an element, with 2^16 18.7 ns).
PLAIN_ELEMENTS = 1 << 14
#: Bytes that are compared and copied at a time.
_COPIED_BYTES = 1 << 20
#: Blocks of one tensor that are waited for or worked on at a time, for each thread.
_AHEAD = 2
#: Bytes of one write: for larger ones the kernel tidies up its memory first where that is in pieces (1 GB in 0.2 s, with 2 MiB 0.7 s).
_WRITTEN_BYTES = 1 << 18
#: Threads for each tensor that is worked on at a time: two tensors at least, so that no core waits for the last block of one, and
#: none for what Python does between two tensors.
_THREADS_PER_TENSOR = 4


def default_threads() -> int:
    """One a core this process may use, at most 16: beyond that the disk is the limit."""
    return max(1, min(16, len(os.sched_getaffinity(0))))


def default_block() -> int:
    """Elements of a block on this machine."""
    return BLOCK_ELEMENTS if native.available() else PLAIN_ELEMENTS


class Files:
    """Open files by path, for all threads."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._lock = threading.Lock()
        self._handles: dict[Path, int] = {}

    def open(self, path: Path, flags: int = os.O_RDONLY) -> int:
        """A handle, opened once."""
        with self._lock:
            if path not in self._handles:
                self._handles[path] = os.open(path, flags)
                self._stack.callback(os.close, self._handles[path])
            return self._handles[path]


@dataclass(frozen=True)
class Place:
    """Where a tensor of the result goes: a file and the first byte of its data."""

    file: Path
    start: int


def lay_out(
    folder: Path, tensors: Sequence[TensorPlan], shard_bytes: int, journal: Journal | None = None
) -> dict[str, Place]:
    """Creates the output's files with their headers and full sizes, and the index if there are several.

    What an interrupted merge left in whole files stays; the journal forgets the tensors of others.
    """
    rows = {row.name: row for row in tensors}
    sizes = {row.name: output_bytes(row) for row in tensors}
    shards = plan_shards(sizes, shard_bytes)
    places: dict[str, Place] = {}
    for file_name, shard in shards.items():
        header, found = _header(folder / file_name, [rows[name] for name in shard])
        places |= found
        num_bytes = len(header) + sum(sizes[name] for name in shard)
        if not _is_laid_out(folder / file_name, header, num_bytes):
            if journal:
                journal.forget(set(shard))
            try:
                with (folder / file_name).open("wb") as file:
                    file.write(header)
                    file.truncate(num_bytes)
            except OSError as error:
                error.filename = error.filename or str(folder / file_name)  # writing does not name its file
                raise
    write_index(folder, shards, sum(sizes.values()))
    return places


def _is_laid_out(path: Path, header: bytes, num_bytes: int) -> bool:
    if not path.is_file() or path.stat().st_size != num_bytes:
        return False
    with path.open("rb") as file:
        return file.read(len(header)) == header


def _header(path: Path, tensors: Sequence[TensorPlan]) -> tuple[bytes, dict[str, Place]]:
    """What stands before the data, and where each tensor goes."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for row in tensors:
        end = offset + output_bytes(row)
        header[row.name] = {"dtype": row.dtype, "shape": list(row.shape), "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)  # data begins at a multiple of 8, as the format's own library writes it
    starts = {row.name: 8 + len(text) + header[row.name]["data_offsets"][0] for row in tensors}
    return struct.pack("<Q", len(text)) + text, {name: Place(path, start) for name, start in starts.items()}


class Merger:
    """Merges the tensors of a plan; a fault of one tensor stops everything."""

    def __init__(
        self,
        job: Job,
        files: Files,
        engine: Engine,
        map_blocks: Callable[..., Iterator[Any]],
        map_tensors: Callable[..., Iterator[Any]],
        submit: Callable[..., Future[None]],
        block_elements: int,
    ) -> None:
        self.job = job
        self.files = files
        self.engine = engine
        self.map_blocks = map_blocks
        self.map_tensors = map_tensors
        self.submit = submit
        self.block_elements = -(-block_elements // CHUNK) * CHUNK
        adapters = {s.adapter: load_adapter(s.adapter) for s in job.sources if s.adapter is not None}
        self.changes = {s.label: adapters[s.adapter] for s in job.sources if s.adapter is not None}
        self.method = job.row

    def blocks(self, row: TensorPlan) -> list[Block]:
        """(first element, number of elements) of each block of a tensor."""
        size, total = self.block_elements, row.num_elements
        return [(start, min(size, total - start)) for start in range(0, total, size)]

    def group(self, row: TensorPlan) -> Group:
        """A tensor of all models, with its files open."""
        labels = list(row.records)
        changes = [self.changes.get(label, {}).get(row.origins[label][1]) for label in labels]
        return Group(
            row.name,
            tuple(Stored(record, self.files.open(record.file)) for record in row.records.values()),
            tuple(None if change is None else change.add_to for change in changes),
            tuple(map(labels.index, row.models)),
            None if row.base is None else labels.index(row.base),
            labels.index(row.reference),
        )

    def view(self, group: Group) -> View:
        """What the method sees of it, nothing thinned out."""
        sources = group.models
        if self.method.sees_base:
            assert group.base is not None
            sources = (group.base, *sources)
        if self.method.deltas == "never" or group.base is None:
            return View(sources, None, (Mask(),) * len(sources))
        return View(sources, group.base, (Mask(),) * len(sources))

    def each(self, row: TensorPlan, group: Group, work: Callable[[Block], Any]) -> Iterator[Any]:
        """Results of a tensor's blocks in their order; says to the kernel what is read next."""
        for stored in group.stored:
            os.posix_fadvise(
                stored.handle, stored.record.start, stored.record.end - stored.record.start, os.POSIX_FADV_WILLNEED
            )
        return self.map_blocks(work, self.blocks(row))

    def merge_all(self, rows: Sequence[TensorPlan], places: Mapping[str, Place]) -> Iterator[TensorSummary]:
        """Merges tensors and says so in their order; several at a time, unless they are in memory as a whole."""
        whole = any(self.method.is_whole(row.options) for row in rows)
        return (map if whole else self.map_tensors)(lambda row: self.merge(row, places[row.name]), rows)

    def merge(self, row: TensorPlan, place: Place) -> TensorSummary:
        """Merges one tensor into its place."""
        if not row.num_elements:
            return summarise(row, row.models, ())
        if row.dtype in COPIED:
            return self.copy(row, place)
        group = self.group(row)
        if self.method.is_whole(row.options):
            return self.merge_whole(row, group, place)
        view, numbers = self.measure(row, group)
        method = self.method
        if method.deltas == "with_base" and group.base is not None:
            method = replace(method, function=add_deltas, way="add")

        def work(block: Block) -> tuple[Future[None], NDArray[np.float64]]:
            merged, totals = self.engine.merge(group, view, method, numbers, row.dtype, block)
            return self.submit(self.write, place, block[0] * merged.itemsize, merged), totals

        def written() -> Iterator[NDArray[np.float64]]:
            for writing, totals in self.each(row, group, work):
                writing.result()
                yield totals

        return summarise(row, row.models, written())

    def write(self, place: Place, at: int, values: NDArray[Any]) -> None:
        """Writes a part of a tensor of the result that begins at byte `at` of it."""
        handle = self.files.open(place.file, os.O_RDWR)
        data, at = values.data.cast("B"), place.start + at
        try:
            while len(data):  # a write may take less than it was given
                num_written = os.pwrite(handle, data[:_WRITTEN_BYTES], at)
                data, at = data[num_written:], at + num_written
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(place.file)) from error

    def copy(self, row: TensorPlan, place: Place) -> TensorSummary:
        """Takes over what is no weight, such as a mask, if all models have the same."""
        for at in range(0, output_bytes(row), _COPIED_BYTES):
            size = min(_COPIED_BYTES, output_bytes(row) - at)
            parts = {
                label: _read(self.files.open(record.file), size, record.start + at)
                for label, record in row.records.items()
            }
            data = parts[row.reference]
            for label, other in parts.items():
                if len(other) != size:
                    raise ends_early(row.records[label], row.name)
                if other != data:
                    raise UserError(
                        f"{row.records[label].file}: {row.name} ({row.dtype}) is not that of {row.reference}; whole numbers "
                        "are not merged, take it out or make it the same"
                    )
            self.write(place, at, np.frombuffer(data, dtype=np.uint8))
        return summarise(row, row.models, ())

    def merge_whole(self, row: TensorPlan, group: Group, place: Place) -> TensorSummary:
        """A method that sees the whole tensor, as a matrix of its rows."""
        plain = Plain()
        assert self.method.whole is not None
        whole = plain.values(group, View(tuple(range(len(group.stored))), None), (0, row.num_elements))
        width = row.shape[-1] if row.shape else 1
        matrices = [values.reshape(-1, width) for values in whole]
        settings = Settings(
            row.weights,
            row.densities,
            row.epsilons,
            self._mask_keys(row),
            row.normalize,
            row.lambda_,
            row.sign_ties,
            row.rescale,
            row.options,
        )
        base = None if group.base is None else matrices[group.base]
        with np.errstate(over="ignore", invalid="ignore"):
            merged = self.method.whole(base, [matrices[source] for source in group.models], settings)
            values = np.ascontiguousarray(merged, dtype=np.float32).ravel()
            stored, totals = plain.round(group, whole, values, row.dtype)
        self.write(place, 0, stored)
        return summarise(row, row.models, iter([totals]))

    def measure(self, row: TensorPlan, group: Group) -> tuple[View, Numbers]:
        """What a method needs to know of a whole tensor: masks, rescaling, factors."""
        view = self.view(group)
        numbers = Numbers(row.weights, row.weights, row.normalize, row.lambda_, row.sign_ties, row.t)
        if self.method.factors is not None:
            gram = self._gram(row, group, view)
            return view, replace(numbers, scales=self.method.factors(gram, row.weights, row.options))
        if "scale" in self.method.parameters:
            return view, replace(numbers, scales=row.scales)
        if self.method.sparsify is None:
            return view, numbers
        view = replace(view, masks=self._masks(row, group, view))
        if row.rescale == "off":
            return view, numbers
        factors = [1 / density if density else 0.0 for density in row.densities]
        if row.rescale == "l1":
            factors = self._l1_factors(row, group, view)
        scales = tuple(weight * factor for weight, factor in zip(row.weights, factors, strict=True))
        return view, replace(numbers, scales=scales)

    def _gram(self, row: TensorPlan, group: Group, view: View) -> list[list[float]]:
        totals = add_up(self.each(row, group, lambda block: self.engine.gram(group, view, block)))
        count = len(view.sources)
        gram = [[0.0] * count for _ in range(count)]
        pairs = ((left, right) for left in range(count) for right in range(left, count))
        for (left, right), total in zip(pairs, totals, strict=True):
            gram[left][right] = gram[right][left] = float(total)
        return gram

    def _mask_keys(self, row: TensorPlan) -> tuple[int, ...]:
        """Of each model, from its own name for the tensor: where a layer ends up changes no draw."""
        return tuple(sparsify.mask_key(self.job.seed, *row.origins[label]) for label in row.models)

    def _masks(self, row: TensorPlan, group: Group, view: View) -> tuple[Mask, ...]:
        if self.method.sparsify == "random":
            pairs = zip(self._mask_keys(row), row.densities, strict=True)
            return tuple(sparsify.random_mask(key, density) for key, density in pairs)
        kept = [sparsify.num_kept(density, row.num_elements) for density in row.densities]
        cut = [0] * len(kept)
        if self.method.sparsify == "magnitude":  # one at least, as mergekit keeps of a small vector
            kept = [max(number, int(density > 0)) for number, density in zip(kept, row.densities, strict=True)]
        if self.method.sparsify == "band":
            spare = [row.num_elements - number for number in kept]
            shares = [sparsify.num_kept(gamma, row.num_elements) for gamma in row.gammas]
            cut = [min(pair) for pair in zip(spare, shares, strict=True)]
        ranking = Ranking(self.engine, group, row.num_elements, lambda work: self.each(row, group, work))
        upper = ranking.bounds(view, cut)
        lower = ranking.bounds(view, [above + number for above, number in zip(cut, kept, strict=True)])
        return tuple(Mask("band", upper=top, lower=bottom) for top, bottom in zip(upper, lower, strict=True))

    def _l1_factors(self, row: TensorPlan, group: Group, view: View) -> list[float]:
        """Σ|δ| over Σ|kept δ| for each model; 1 where nothing is kept."""
        totals = add_up(self.each(row, group, lambda block: self.engine.sizes(group, view, block)))
        whole, kept = totals.reshape(2, -1)
        return [float(a / b) if b else 1.0 for a, b in zip(whole, kept, strict=True)]


def _read(handle: int, size: int, at: int) -> bytes:
    """Bytes of a file from `at` on, fewer only where it ends: one read may return less than asked for."""
    data = b""
    while part := os.pread(handle, size - len(data), at + len(data)):
        data += part
    return data


def add_up(blocks: Iterator[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Adds chunks up, one after the other."""
    total: NDArray[np.float64] | None = None
    for block in blocks:
        rows = block if total is None else np.concatenate([total[None], block])
        total = np.add.accumulate(rows, axis=0)[-1]
    assert total is not None, "a tensor without elements has no sums"
    return total


@contextmanager
def merger(job: Job, num_threads: int, block_elements: int, engine: Engine | None = None) -> Iterator[Merger]:
    """A merger with its threads and open files; the native engine where there is one."""
    if engine is None:
        engine = native.Native() if native.available() else Plain()
    with ExitStack() as stack:
        files = Files(stack)
        if num_threads == 1:
            yield Merger(job, files, engine, map, map, at_once, block_elements)
            return
        num_tensors = max(2, num_threads // _THREADS_PER_TENSOR)
        blocks = stack.enter_context(ThreadPoolExecutor(num_threads))
        tensors = stack.enter_context(ThreadPoolExecutor(num_tensors))  # they wait for blocks and do little themselves
        # A file has one writer at a time: the kernel lets the others wait for it and burn a core meanwhile (13 % of the time)
        writer = stack.enter_context(ThreadPoolExecutor(1))
        try:
            yield Merger(
                job,
                files,
                engine,
                partial(map_ahead, blocks, _AHEAD * num_threads),
                partial(map_ahead, tensors, num_tensors),
                writer.submit,
                block_elements,
            )
        finally:
            for pool in (tensors, blocks, writer):  # what waits for another pool's work is told that there is none
                pool.shutdown(wait=False, cancel_futures=True)


def at_once(function: Callable[..., None], *arguments: Any) -> Future[None]:
    """What a pool's `submit` does, in this thread."""
    done: Future[None] = Future()
    function(*arguments)
    done.set_result(None)
    return done


def map_ahead(
    pool: ThreadPoolExecutor, num_ahead: int, function: Callable[[Any], Any], items: Iterable[Any]
) -> Iterator[Any]:
    """Results in order; works on a few items beyond the one that is awaited, so that results never pile up."""
    ahead: deque[Future[Any]] = deque()
    for item in items:
        ahead.append(pool.submit(function, item))
        if len(ahead) > num_ahead:
            yield ahead.popleft().result()
    while ahead:
        yield ahead.popleft().result()


def _allow_files(count: int) -> None:
    """Raises the limit of open files for so many inputs: five models of 191 shards each are more than the usual 1,024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # the limit is one of numbers, and a file takes the lowest that is free
    taken = max(int(path.name) for path in Path("/dev/fd").iterdir())
    wanted = taken + 2 * count + 64  # as many of the result, and a few in passing
    if soft != resource.RLIM_INFINITY and soft < wanted:
        limit = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))


def write_merged(
    job: Job,
    plan: MergePlan,
    folder: Path,
    tick: Callable[[TensorPlan], None],
    *,
    num_threads: int | None = None,
    block_elements: int | None = None,
    shard_bytes: int = SHARD_BYTES,
    engine: Engine | None = None,
    journal: Journal | None = None,
) -> list[TensorSummary]:
    """Writes the merged weights into `folder` and returns what was seen of each tensor.

    Args:
        job: what to merge.
        plan: its plan.
        folder: where the weights go.
        tick: is called with each finished tensor.
        num_threads: at work; by default one a core.
        block_elements: size of a block, rounded up to whole chunks.
        shard_bytes: largest size of a file of the result.
        engine: the native one by default, where it can be built.
        journal: names the tensors that an interrupted merge finished in this folder; they are not made again.

    Raises:
        UserError: a value is not finite, or too large for the output's type.
        MachineError: the disk has no room for the result.
    """
    _allow_files(len({record.file for row in plan.tensors for record in row.records.values()}))
    places = lay_out(folder, plan.tensors, shard_bytes, journal)
    done = journal.finished() if journal else {}
    free = os.statvfs(folder)
    if free.f_bavail * free.f_frsize < sum(output_bytes(row) for row in plan.tensors if row.name not in done):
        raise MachineError(f"{folder}: the result takes {plan.num_output_bytes:,} bytes, which are not free; make room")
    summaries = []
    with ExitStack() as stack:
        work = stack.enter_context(
            merger(job, num_threads or default_threads(), block_elements or default_block(), engine)
        )
        if journal:
            stack.enter_context(journal)
        merged = work.merge_all([row for row in plan.tensors if row.name not in done], places)
        for row in plan.tensors:
            summary = done.get(row.name)
            if summary is None:
                summary = next(merged)
                if journal:
                    journal.add(summary, work.files.open(places[row.name].file, os.O_RDWR))
            summaries.append(summary)
            tick(row)
    return summaries
