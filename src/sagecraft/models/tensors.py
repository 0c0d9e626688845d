"""What is stored where in safetensors files: headers read and checked before any byte of weights, shards planned."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sagecraft.artifact import read_json, write_json
from sagecraft.errors import UserError

#: Bytes of one element by safetensors dtype.
DTYPE_BYTES = {
    "F64": 8,
    "F32": 4,
    "F16": 2,
    "BF16": 2,
    "I64": 8,
    "I32": 4,
    "I16": 2,
    "I8": 1,
    "U8": 1,
    "BOOL": 1,
    "F8_E4M3": 1,
    "F8_E5M2": 1,
    "U16": 2,
    "U32": 4,
    "U64": 8,
}
#: Hugging Face's customary size of a shard.
SHARD_BYTES = 5_000_000_000
SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
#: Weights in other programs' formats, all of them pickles.
_PICKLES = ("pytorch_model*.bin", "*.bin", "*.pth", "*.pt", "*.ckpt")
#: Bytes of a file's name on common file systems.
_MAX_NAME = 255
#: A file of 100,000 experts' tensors has a header of some 13 MB; parsed, a header takes some ten times its size in memory.
_MAX_HEADER_BYTES = 32 << 20
#: The largest models' indexes have some 10 MB.
_MAX_INDEX_BYTES = 64 << 20
#: Dimensions of a tensor, and the largest size of one: what numpy and the format's own library can count.
_MAX_DIMENSIONS, _MAX_SIZE = 32, (1 << 63) - 1
#: Characters of a stranger's name that a message shows.
_SHOWN = 100


@dataclass(frozen=True)
class TensorRecord:
    """One stored tensor: bytes [start, end) of `file`, absolute."""

    file: Path
    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int

    @property
    def num_elements(self) -> int:
        """Number of values."""
        count = 1
        for size in self.shape:
            count *= size
        return count


def read_header(path: Path) -> dict[str, TensorRecord]:
    """The tensors of one file.

    Raises:
        UserError: the file is empty, cut short, or its header lies about offsets, sizes or types.
    """
    advice = "the file is damaged; fetch or write it again"
    size = path.stat().st_size
    if size < 8:
        raise UserError(f"{path}: {size} bytes are no safetensors file; {advice}")
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        if length > min(size - 8, _MAX_HEADER_BYTES):
            raise UserError(f"{path}: header of {length:,} bytes in a file of {size:,}; {advice}")
        raw = file.read(length)
    try:
        header = json.loads(raw.decode(), object_pairs_hook=_without_doubles)
        if not isinstance(header, dict):
            raise ValueError("it is no JSON object")
        header.pop("__metadata__", None)
        records = {name: _record(path, name, entry, 8 + length) for name, entry in header.items()}
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: the header is not readable ({error}); {advice}") from error
    _check_ranges(path, records, 8 + length, size, advice)
    return records


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object; of two entries with one name, readers of the file would not agree which one counts."""
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        double = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise ValueError(f"{shown(double)} stands in it twice")
    return found


def shown(value: object) -> str:
    """What a stranger wrote, for a message: quoted, on one line, and not longer than a line should be."""
    text = repr(value[: _SHOWN + 1] if isinstance(value, str) else value)
    return text if len(text) <= _SHOWN + 2 else f"{text[:_SHOWN]}…"


def _record(path: Path, name: str, entry: Any, first: int) -> TensorRecord:
    """One entry of a header whose data begins at byte `first`; ValueError says what is wrong with it."""
    if not name.isprintable() or len(name) > 1000:
        raise ValueError(f"{shown(name)} is no name of a tensor")
    try:
        dtype, shape, (start, end) = entry["dtype"], entry["shape"], entry["data_offsets"]
    except (KeyError, TypeError, ValueError):
        raise ValueError(f"{shown(name)} has not dtype, shape and two data_offsets") from None
    if not isinstance(dtype, str):
        raise ValueError(f"the dtype of {shown(name)} is no text")
    if not isinstance(shape, list) or len(shape) > _MAX_DIMENSIONS:
        raise ValueError(f"the shape of {shown(name)} is no list of at most {_MAX_DIMENSIONS} sizes")
    for number in (*shape, start, end):
        if type(number) is not int or not 0 <= number <= _MAX_SIZE:  # True is an int, but no size
            raise ValueError(f"{shown(name)} has {shown(str(number))} for a size or an offset")
    return TensorRecord(path, dtype, tuple(shape), first + start, first + end)


def _check_ranges(path: Path, records: dict[str, TensorRecord], first: int, size: int, advice: str) -> None:
    """Every range is as long as its shape says, follows the one before it, and ends inside the file."""
    at = first
    for name, record in sorted(records.items(), key=lambda item: (item[1].start, item[1].end)):
        if record.dtype not in DTYPE_BYTES:
            raise UserError(f"{path}: {name}: unknown type {shown(record.dtype)}; known are {', '.join(DTYPE_BYTES)}")
        if record.end - record.start != record.num_elements * DTYPE_BYTES[record.dtype]:
            raise UserError(f"{path}: {name}: shape and byte range disagree; {advice}")
        if record.start != at:
            raise UserError(f"{path}: {name}: byte ranges overlap or leave a gap; {advice}")
        at = record.end
    if at != size:
        raise UserError(f"{path}: holds {size:,} bytes where its header promises {at:,}; {advice}")


def list_tensors(folder: Path) -> dict[str, TensorRecord]:
    """All tensors of a model folder, from `model.safetensors` or the shards that its index names.

    Raises:
        UserError: none of both, or one that is damaged; index and shards, or the folder's files, contradict each other.
    """
    index_path = folder / INDEX
    single = folder / SINGLE
    if index_path.is_file():
        weight_map = _read_index(index_path)
        found = _list_shards(index_path, weight_map)
        if single.is_file() and SINGLE not in weight_map.values():
            # programs differ in which of the two they take
            raise UserError(f"{folder}: holds {SINGLE} and an index of other files; delete the one that is out of date")
        return found
    if single.is_file():
        return read_header(single)
    others = [file.name for pattern in _PICKLES for file in sorted(folder.glob(pattern))]
    if others:
        raise UserError(
            f"{folder}: no {SINGLE}; {shown(others[0])} is a pickle, which can run code and is not read: convert it where "
            "you trust it, with AutoModelForCausalLM.from_pretrained(…).save_pretrained(…, safe_serialization=True) of transformers"
        )
    raise UserError(f"{folder}: no {SINGLE} and no {INDEX}; fetch the model again, with its weights in safetensors")


def _read_index(path: Path) -> dict[str, str]:
    """Tensor → file."""
    if path.stat().st_size > _MAX_INDEX_BYTES:
        raise UserError(f"{path}: {path.stat().st_size:,} bytes are no index; restore the index")
    index = read_json(path)
    weight_map = index.get("weight_map") if isinstance(index, dict) else None
    if not isinstance(weight_map, dict) or not weight_map or not all(isinstance(v, str) for v in weight_map.values()):
        raise UserError(f"{path}: no weight_map of tensors to files; restore the index")
    return weight_map


def _list_shards(index_path: Path, weight_map: Mapping[str, str]) -> dict[str, TensorRecord]:
    found: dict[str, TensorRecord] = {}
    for shard in sorted(set(weight_map.values())):
        path = index_path.parent / shard
        # a name with a folder in it could lead anywhere, and only a file has a size that can be checked
        if len(shard) > _MAX_NAME or Path(shard).name != shard or not path.is_file():
            raise UserError(
                f"{index_path}: names {shown(shard)}, which is not a file of this folder; fetch that shard again"
            )
        for name, record in read_header(path).items():
            if name in found:
                raise UserError(
                    f"{index_path}: {name} is in {found[name].file.name} and in {shard}; delete the shard of another model"
                )
            if weight_map.get(name, shard) != shard:
                raise UserError(
                    f"{index_path}: {name} is in {shard}, not in {shown(weight_map[name])}; restore the index"
                )
            found[name] = record
    missing = sorted(set(weight_map) - set(found))
    if missing:
        raise UserError(
            f"{index_path}: {shown(missing[0])} (and {len(missing) - 1} more) is in no shard; fetch the shards again"
        )
    return found


def plan_shards(sizes: Mapping[str, int], shard_bytes: int = SHARD_BYTES) -> dict[str, list[str]]:
    """File name → the tensors in it, in order; a file is closed before it would pass `shard_bytes`."""
    shards: list[list[str]] = [[]]
    filled = 0
    for name, size in sizes.items():
        if shards[-1] and filled + size > shard_bytes:
            shards.append([])
            filled = 0
        shards[-1].append(name)
        filled += size
    if len(shards) == 1:
        return {SINGLE: shards[0]}
    return {f"model-{n:05d}-of-{len(shards):05d}.safetensors": shard for n, shard in enumerate(shards, start=1)}


def write_index(folder: Path, shards: Mapping[str, Sequence[str]], num_bytes: int) -> None:
    """Writes the index that names the file of each tensor; one file needs none."""
    if len(shards) > 1:
        weight_map = {name: file for file, shard in shards.items() for name in shard}
        write_json(folder / INDEX, {"metadata": {"total_size": num_bytes}, "weight_map": weight_map})
