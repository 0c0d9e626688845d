"""What is stored where in safetensors files: headers read and checked before any byte of weights, shards planned."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

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
INDEX = "model.safetensors.index.json"
#: A header of a 405B model is about 1 MB; a larger claim than this is a broken or hostile file.
_MAX_HEADER_BYTES = 100 << 20


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
        header = json.loads(raw)
        header.pop("__metadata__", None)
        records = {
            name: TensorRecord(
                path,
                entry["dtype"],
                tuple(int(n) for n in entry["shape"]),
                8 + length + int(entry["data_offsets"][0]),
                8 + length + int(entry["data_offsets"][1]),
            )
            for name, entry in header.items()
        }
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
        raise UserError(f"{path}: the header is not readable ({type(error).__name__}: {error}); {advice}") from error
    _check_ranges(path, records, 8 + length, size, advice)
    return records


def _check_ranges(path: Path, records: dict[str, TensorRecord], first: int, size: int, advice: str) -> None:
    """Every range is as long as its shape says, follows the one before it, and ends inside the file."""
    at = first
    for name, record in sorted(records.items(), key=lambda item: (item[1].start, item[1].end)):
        if record.dtype not in DTYPE_BYTES:
            raise UserError(f"{path}: {name}: unknown type {record.dtype!r}; {advice}")
        if (
            min(record.shape, default=0) < 0
            or record.end - record.start != record.num_elements * DTYPE_BYTES[record.dtype]
        ):
            raise UserError(f"{path}: {name}: shape and byte range disagree; {advice}")
        if record.start != at:
            raise UserError(f"{path}: {name}: byte ranges overlap or leave a gap; {advice}")
        at = record.end
    if at != size:
        raise UserError(f"{path}: holds {size:,} bytes where its header promises {at:,}; {advice}")


def list_tensors(folder: Path) -> dict[str, TensorRecord]:
    """All tensors of a model folder, from `model.safetensors` or the shards that its index names."""
    index_path = folder / INDEX
    single = folder / "model.safetensors"
    if index_path.is_file():
        index = read_json(index_path)
        weight_map = index.get("weight_map") if isinstance(index, dict) else None
        if (
            not isinstance(weight_map, dict)
            or not weight_map
            or not all(isinstance(v, str) for v in weight_map.values())
        ):
            raise UserError(f"{index_path}: no weight_map of tensors to files; restore the index")
        found: dict[str, TensorRecord] = {}
        for shard in sorted(set(weight_map.values())):
            path = folder / shard
            if Path(shard).name != shard or not path.is_file():
                raise UserError(f"{index_path}: names {shard!r}, which is not a file of this folder")
            found.update(read_header(path))
        missing = sorted(set(weight_map) - set(found))
        if missing:
            raise UserError(f"{index_path}: {missing[0]} (and {len(missing) - 1} more) is in no shard")
        return found
    if single.is_file():
        return read_header(single)
    others = [file.name for file in folder.glob("*.bin")]
    hint = f"; {others[0]} is a pickle, which is not read: convert it to safetensors" if others else ""
    raise UserError(f"{folder}: no model.safetensors and no index of shards{hint}")


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
        return {"model.safetensors": shards[0]}
    return {f"model-{n:05d}-of-{len(shards):05d}.safetensors": shard for n, shard in enumerate(shards, start=1)}


def write_index(folder: Path, shards: Mapping[str, Sequence[str]], num_bytes: int) -> None:
    """Writes the index that names the file of each tensor; one file needs none."""
    if len(shards) > 1:
        weight_map = {name: file for file, shard in shards.items() for name in shard}
        write_json(folder / INDEX, {"metadata": {"total_size": num_bytes}, "weight_map": weight_map})
