"""Checkpoints of a run in progress: written whole or not at all, verified when read, the last two kept.

`step-00000042/`
    `part-00000.safetensors`   the pieces of weights and moments that process 0 holds; one such file a process
    `part-00000.json`          their place in the whole tensors, the file's size and its sha256
    `state.json`               step, history, and the sha256 of every `part-….json`

One form serves any number of processes: a piece is a rectangle of a named tensor, and who reads takes what it needs from
whichever files hold it. So a run of 64 processes goes on on 32, with other tensor degrees, or in one, and back.
`torch.distributed.checkpoint` does the same, but its index is a pickle, which whoever can write to the folder turns into
code that runs here; safetensors and JSON are data only.

Several processes, and one that computes on an accelerator, write in the background, from a copy in the memory of the
host: the run goes on meanwhile. The folder is renamed, and counts, once all have written. One process on a processor
writes at once: a copy would cost half of the run's memory to save a second every few minutes.
"""

from __future__ import annotations

import json
import math
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import safe_open
from torch import Tensor

from sagecraft import artifact, console
from sagecraft.errors import MachineError
from sagecraft.models.save import write_safetensors
from sagecraft.training.world import World, current

_KEPT = 2
_STATE = "state.json"


@dataclass(frozen=True)
class Piece:
    """A rectangle of a tensor that is spread over processes.

    Attributes:
        values: what this process holds.
        offset: where it begins, in every dimension of the whole.
        shape: of the whole.
    """

    values: Tensor
    offset: tuple[int, ...]
    shape: tuple[int, ...]


class CheckpointWriter:
    """Writes one checkpoint at a time, together with the other processes of the run."""

    def __init__(self, folder: Path, world: World | None = None, background: bool = False) -> None:
        self.folder = folder
        self.world = world or current()
        self.background = background
        self._pending: dict[str, Any] | None = None
        self._thread: threading.Thread | None = None
        self._fault: BaseException | None = None

    def save(self, step: int, tensors: Mapping[str, Tensor | Piece], state: dict[str, Any]) -> None:
        """Writes a checkpoint, or begins it if that is done in the background; all processes call it at the same step.

        What was begun counts once `advance` or `finish` has put it in place.
        """
        self.finish()
        if self.world.is_first:
            for old in self.folder.glob("*.part"):
                shutil.rmtree(old)
            self._part(step).mkdir(parents=True)
        self.world.barrier()  # nobody writes into a folder that is about to be cleared
        pieces = {name: value if isinstance(value, Piece) else _whole(value) for name, value in tensors.items()}
        self._pending, self._fault = {**state, "step": step}, None
        if self.background:
            pieces = {n: Piece(p.values.detach().to("cpu", copy=True), p.offset, p.shape) for n, p in pieces.items()}
            self._thread = threading.Thread(target=self._try, args=(step, pieces), daemon=True)
            self._thread.start()
        else:
            self._write(step, pieces)
            self.finish()

    def status(self) -> tuple[bool, bool]:
        """Of the checkpoint that was begun: has this process written its part, and did it fail."""
        written = self._pending is not None and (self._thread is None or not self._thread.is_alive())
        return written, self._fault is not None

    def advance(self, num_written: int, num_failed: int) -> None:
        """Puts the checkpoint in place once all have written; the counts are sums of `status` over the processes."""
        if num_failed:
            self._thread, self._pending = None, None
            if self._fault is not None:
                raise self._fault
            raise SystemExit(1)  # the one that failed says why
        if self._pending is not None and num_written == self.world.size:
            if self.world.is_first:
                self._commit(self._pending)
            self._thread, self._pending = None, None

    def finish(self) -> None:
        """Waits for the checkpoint that was begun and puts it in place; all processes call it."""
        if self._pending is None:
            return
        if self._thread is not None:
            self._thread.join()
        written, failed = self.world.total([float(flag) for flag in self.status()])
        self.advance(int(written), int(failed))
        self.world.barrier()  # nobody reads or leaves before it is in place

    def _part(self, step: int) -> Path:
        return self.folder / f"step-{step:08d}.part"

    def _try(self, step: int, pieces: Mapping[str, Piece]) -> None:
        try:
            self._write(step, pieces)
        except BaseException as error:
            self._fault = error

    def _write(self, step: int, pieces: Mapping[str, Piece]) -> None:
        """This process's file, then the JSON that makes it count."""
        path = self._part(step) / f"part-{self.world.rank:05d}.safetensors"
        write_safetensors(path, {name: piece.values for name, piece in pieces.items()})
        places = {name: {"offset": piece.offset, "shape": piece.shape} for name, piece in pieces.items()}
        index = {"sha256": artifact.sha256_file(path), "num_bytes": path.stat().st_size, "pieces": places}
        artifact.write_text(path.with_suffix(".json"), json.dumps(index))

    def _commit(self, state: dict[str, Any]) -> None:
        """Renames, and removes the older ones.

        Whatever stands at this step or behind it is a damaged one, since the run was taken up before it: it goes too.
        """
        part = self._part(state["step"])
        target = part.with_suffix("")
        names = [f"part-{rank:05d}.json" for rank in range(self.world.size)]
        value = {**state, "parts": {name: artifact.sha256_file(part / name) for name in names}}
        artifact.write_text(part / _STATE, json.dumps(value))
        for damaged in _finished(self.folder):
            if damaged.name >= target.name:
                shutil.rmtree(damaged)
        part.replace(target)
        for old in _finished(self.folder)[:-_KEPT]:
            shutil.rmtree(old)


class Checkpoint(Mapping[str, Tensor]):
    """A verified checkpoint: name → the whole tensor, read when asked for; `piece` reads a part of one.

    Attributes:
        state: what was saved beside the tensors, and `step`.
    """

    def __init__(self, path: Path, state: dict[str, Any]) -> None:
        self.path, self.state = path, state
        self._open = cache(lambda name: safe_open(str(path / name), framework="pt"))
        #: tensor → (file, offset, shape of the whole) of each of its pieces
        self._places: dict[str, list[tuple[str, tuple[int, ...], tuple[int, ...]]]] = {}
        for name in sorted(state["parts"]):
            index = json.loads((path / name).read_text(encoding="utf-8"))
            for tensor, place in index["pieces"].items():
                row = (name.replace(".json", ".safetensors"), tuple(place["offset"]), tuple(place["shape"]))
                self._places.setdefault(tensor, []).append(row)

    def __getitem__(self, name: str) -> Tensor:
        shape = self._places[name][0][2]
        return self.piece(name, (0,) * len(shape), shape)

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def piece(self, name: str, offset: Sequence[int], size: Sequence[int]) -> Tensor:
        """The rectangle of `size` at `offset` of a tensor, put together from the files that hold parts of it.

        Raises:
            KeyError: there is no such tensor.
            MachineError: the files do not hold all of it.
        """
        places = self._places[name]
        reader_of: Callable[[str], Any] = self._open
        if not tuple(size):
            return cast(Tensor, reader_of(places[0][0]).get_tensor(name))
        found: Tensor | None = None
        missing = math.prod(size)
        for file, start, _ in places:
            stored = reader_of(file).get_slice(name)
            axes = zip(offset, size, start, stored.get_shape(), strict=True)
            common = [(max(wanted, held), min(wanted + n, held + k)) for wanted, n, held, k in axes]
            if any(first >= last for first, last in common):
                continue
            values = stored[_within(common, start)]
            if found is None:
                found = torch.empty(tuple(size), dtype=values.dtype)
            found[_within(common, offset)] = values
            missing -= values.numel()
        if missing:
            raise MachineError(f"{self.path}: {name}: {missing:,} values are in no file; remove this checkpoint")
        return torch.empty(tuple(size)) if found is None else found


def _within(ranges: Sequence[tuple[int, int]], origin: Sequence[int]) -> tuple[slice, ...]:
    """Ranges of the whole tensor as slices of a piece that begins at `origin`."""
    return tuple(slice(first - start, last - start) for (first, last), start in zip(ranges, origin, strict=True))


def load_checkpoint(folder: Path, world: World | None = None) -> Checkpoint | None:
    """The newest checkpoint whose bytes are those that were written, or None. A damaged one is named and left alone.

    All processes call it; each verifies some of the files.
    """
    world = world or current()
    names = world.tell({"names": [path.name for path in reversed(_finished(folder))]})["names"]
    for name in names:
        path, reason, checkpoint = folder / name, "", None
        try:
            state = json.loads((path / _STATE).read_text(encoding="utf-8"))
            reason = _damage(path, state["parts"], world)
            checkpoint = Checkpoint(path, state)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            reason = reason or f"{type(error).__name__}: {error}"
        if reason:
            console.warn(f"{path}: damaged checkpoint ({reason}); trying the one before it")
        if not world.total([float(bool(reason))])[0]:
            return checkpoint
    return None


def _damage(path: Path, parts: Mapping[str, str], world: World) -> str:
    """What is wrong with this process's share of the files; empty if nothing is."""
    for number, (name, digest) in enumerate(sorted(parts.items())):
        if number % world.size != world.rank:
            continue
        if Path(name).name != name or artifact.sha256_file(path / name) != digest:
            return f"{name}: its bytes are not those that were written"
        index = json.loads((path / name).read_text(encoding="utf-8"))
        file = (path / name).with_suffix(".safetensors")
        if file.stat().st_size != index["num_bytes"] or artifact.sha256_file(file) != index["sha256"]:
            return f"{file.name}: its bytes are not those that were written"
    return ""


def _whole(tensor: Tensor) -> Piece:
    return Piece(tensor, (0,) * tensor.ndim, tuple(tensor.shape))


def _finished(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("step-*") if path.suffix != ".part")


def save_checkpoint(folder: Path, step: int, tensors: Mapping[str, Tensor | Piece], state: dict[str, Any]) -> None:
    """Writes one and waits for it."""
    writer = CheckpointWriter(folder)
    writer.save(step, tensors, state)
    writer.finish()
