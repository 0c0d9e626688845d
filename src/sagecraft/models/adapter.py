"""LoRA adapters (arXiv:2106.09685) in peft's format: read with every claim checked, written, and added to weights.

An adapter changes a weight W [out, in] by scale · B · A with A [rank, in] and B [out, rank]. Whatever else peft's format can
say (DoRA, changed base weights, whole modules beside the pairs) is refused by its name: leaving it out would give another model.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sagecraft.artifact import read_json, write_json
from sagecraft.errors import UserError
from sagecraft.models.tensors import TensorRecord, list_tensors, read_header, shown

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray
    from torch import Tensor

    Floats = NDArray[np.float32]

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
#: What peft puts before the name of a module of the base model.
_PREFIX = "base_model.model."
_KEY = re.compile(r"base_model\.model\.(?P<module>.+)\.lora_(?P<side>[AB])\.weight")
_FLOATS = ("F64", "F32", "BF16", "F16")
#: Keys of adapter_config.json that are read, and those that say nothing about what the pairs mean.
_READ = ("peft_type", "r", "lora_alpha", "use_rslora", "rank_pattern", "alpha_pattern", "init_lora_weights")
_HARMLESS = (
    "auto_mapping",
    "base_model_name_or_path",
    "ensure_weight_tying",
    "eva_config",
    "exclude_modules",
    "inference_mode",
    "layers_pattern",
    "layers_to_transform",
    "lora_dropout",
    "megatron_config",
    "megatron_core",
    "peft_version",
    "qalora_group_size",
    "revision",
    "runtime_config",
    "target_modules",
    "task_type",
)
#: Ways to begin that leave the base as it is; others (PiSSA, OLoRA, LoftQ, CorDA, LoRA-GA) belong to a changed base.
_BEGINNINGS = (True, False, "gaussian", "eva", "orthogonal", "mica")
#: A pattern that is a name, which peft takes for the end of a module's; `.` stands for itself.
_NAME = re.compile(r"\^?[\w.\-]+")
_MAX_LISTED = 20
#: More than any rank or alpha; numbers beyond it would not fit into a float.
_MOST = 1e9
#: Elements of a weight that are changed at once: a block of a merge, so that a block takes two tiles at most.
_TILE = 1 << 14


@dataclass(frozen=True)
class LowRank:
    """The change of one weight.

    Attributes:
        down: A [rank, in].
        up: B [out, rank].
        scale: factor of their product.
    """

    down: Floats
    up: Floats
    scale: float

    def add_to(self, values: Floats, start: int) -> None:
        """Adds the change to elements [start, start + n) of the flattened weight, in place.

        The product is made in tiles of whole rows that depend on the weight's shape only, summed in float64 and rounded
        once: a weight that is changed block by block has the bytes of one that is changed as a whole.
        """
        num_rows, width = self.up.shape[0], self.down.shape[1]
        height = max(1, _TILE // width)
        end = start + len(values)
        for top in range(start // width // height * height, num_rows, height):
            first = top * width
            if first >= end:
                break
            tile = self._rows(top, min(top + height, num_rows)).reshape(-1)
            low, high = max(first, start), min(first + len(tile), end)
            values[low - start : high - start] += tile[low - first : high - first]

    def added_to(self, weight: Tensor) -> Tensor:
        """A weight [out, in] of any type with the change added, in float32."""
        import torch

        value = weight.detach().to("cpu", torch.float32, copy=True).contiguous()
        self.add_to(value.numpy().reshape(-1), 0)
        return value

    def _rows(self, first: int, last: int) -> Floats:
        import numpy as np

        product = self.up[first:last].astype(np.float64) @ self.down.astype(np.float64)
        product *= self.scale
        return product.astype(np.float32)


@dataclass(frozen=True)
class Adapter:
    """An adapter as its headers describe it; no weights are read yet.

    Attributes:
        folder: where it is.
        pairs: name of the changed weight → records of A and B, and the scale of their product.
    """

    folder: Path
    pairs: Mapping[str, tuple[TensorRecord, TensorRecord, float]]

    def faults(self, shapes: Mapping[str, Sequence[int]], base: Path) -> list[str]:
        """What does not fit a base whose weights have these shapes: a line each."""
        found = []
        for name, (down, up, _) in self.pairs.items():
            if name not in shapes:
                found.append(f"{self.folder}: changes {name}, which {base} has not{_nearest(name, shapes)}")
            elif tuple(shapes[name]) != (up.shape[0], down.shape[1]):
                found.append(
                    f"{self.folder}: changes {name} by a matrix {[up.shape[0], down.shape[1]]}, but in {base} it is "
                    f"{list(shapes[name])}; the adapter belongs to another model"
                )
        if len(found) > _MAX_LISTED:
            found[_MAX_LISTED:] = [f"{self.folder}: and {len(found) - _MAX_LISTED} more weights that do not fit"]
        return found


def _nearest(name: str, known: Mapping[str, Any]) -> str:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f" (nearest: {near[0]})" if near else ""


def split_name(name: str) -> tuple[Path, Path | None]:
    """`base+adapter` as mergekit writes it, or a folder alone; folders may have a plus in their names."""
    if "+" in name and not Path(name).expanduser().exists():
        parts = name.split("+")
        for cut in range(1, len(parts)):
            base, adapter = (Path("+".join(part)).expanduser() for part in (parts[:cut], parts[cut:]))
            if base.is_dir() and adapter.is_dir():
                return base, adapter
    return Path(name).expanduser(), None


def read_adapter(folder: Path) -> Adapter:
    """Reads configuration and headers of an adapter.

    Raises:
        UserError: no adapter, a damaged one, or one that says more than pairs of matrices; all faults of its settings.
    """
    if not (folder / CONFIG).is_file():
        raise UserError(f"{folder}: no {CONFIG}; expected an adapter in peft's format")
    config = read_json(folder / CONFIG)
    if not isinstance(config, dict):
        raise UserError(f"{folder / CONFIG}: expected a JSON object")
    faults = list(_config_faults(config))
    if faults:
        raise UserError("\n".join(f"{folder / CONFIG}: {fault}" for fault in faults))
    if not (folder / WEIGHTS).is_file():
        pickle = (folder / "adapter_model.bin").is_file()
        hint = "; adapter_model.bin is a pickle, which is not read: save it as safetensors" if pickle else ""
        raise UserError(f"{folder}: no {WEIGHTS}{hint}")
    return Adapter(folder, _pairs(folder / WEIGHTS, read_header(folder / WEIGHTS), config))


def _is_size(value: object) -> bool:
    return type(value) in (int, float) and 0 <= value < _MOST  # type: ignore[operator]


def _config_faults(config: Mapping[str, Any]) -> Iterator[str]:
    if str(config.get("peft_type")).upper() != "LORA":
        yield f"peft_type: {shown(config.get('peft_type'))} is not supported; only LORA is"
        return
    for key in ("r", "lora_alpha"):
        value = config.get(key, 8)
        if not _is_size(value):
            yield f"{key}: {shown(value)} is no positive number"
    for key in ("rank_pattern", "alpha_pattern"):
        value = config.get(key) or {}
        if not isinstance(value, dict) or not all(map(_is_size, value.values())):
            yield f"{key}: expected a mapping of names to positive numbers"
            continue
        for pattern in value:
            if key == "alpha_pattern" and not _NAME.fullmatch(pattern):
                yield f"alpha_pattern: {shown(pattern)} is a regular expression; only names of modules are supported"
    if config.get("init_lora_weights", True) not in _BEGINNINGS:
        yield (
            f"init_lora_weights: {shown(config['init_lora_weights'])} changes the base model, and this adapter belongs to the "
            "changed one; convert it to plain LoRA with peft (path_initial_model_for_weight_conversion)"
        )
    for key, value in config.items():
        if key not in (*_READ, *_HARMLESS) and value not in (None, False, "none", "", [], {}):
            yield f"{shown(key)[1:-1]}: {shown(value)} is not supported; only plain LoRA pairs are"


def _pairs(
    path: Path, records: Mapping[str, TensorRecord], config: Mapping[str, Any]
) -> dict[str, tuple[TensorRecord, TensorRecord, float]]:
    sides: dict[str, dict[str, TensorRecord]] = {}
    for name, record in records.items():
        match = _KEY.fullmatch(name)
        if match is None:
            raise UserError(f"{path}: {name} is not supported; only lora_A and lora_B of linear layers are")
        if record.dtype not in _FLOATS or len(record.shape) != 2:
            raise UserError(f"{path}: {name} is {record.dtype} {list(record.shape)}; a matrix of floats is expected")
        sides.setdefault(match["module"], {})[match["side"]] = record
    if not sides:
        raise UserError(f"{path}: holds no pair of lora_A and lora_B")
    pairs = {}
    for module, pair in sorted(sides.items()):
        if set(pair) != {"A", "B"}:
            raise UserError(f"{path}: {module} has lora_{next(iter(pair))} only; the file is not whole")
        rank = pair["A"].shape[0]
        if pair["B"].shape[1] != rank or rank == 0:
            raise UserError(f"{path}: {module}: lora_A has rank {rank}, lora_B {pair['B'].shape[1]}")
        pairs[f"{module}.weight"] = (pair["A"], pair["B"], _scale(config, module, rank))
    return pairs


def _scale(config: Mapping[str, Any], module: str, rank: int) -> float:
    """Alpha / rank, or alpha / √rank (rank-stabilised, arXiv:2312.03732)."""
    alpha = config.get("lora_alpha", 8)
    for pattern, value in (config.get("alpha_pattern") or {}).items():
        name = pattern.removeprefix("^")
        if module == name or (pattern == name and module.endswith(f".{name}")):
            alpha = value
            break
    return float(alpha) / (math.sqrt(rank) if config.get("use_rslora") else rank)


def load_adapter(folder: Path) -> dict[str, LowRank]:
    """The changes of an adapter: name of the weight → pair, in float32.

    Raises:
        UserError: see `read_adapter`; or a value is not finite.
    """
    import torch
    from safetensors import safe_open

    found = {}
    adapter = read_adapter(folder)
    with safe_open(str(folder / WEIGHTS), framework="pt") as reader:
        for name, (_, _, scale) in adapter.pairs.items():
            keys = (f"{_PREFIX}{name.removesuffix('.weight')}.lora_{side}.weight" for side in "AB")
            pair = [reader.get_tensor(key).to(torch.float32) for key in keys]
            if not all(bool(torch.isfinite(matrix).all()) for matrix in pair):
                raise UserError(f"{folder / WEIGHTS}: the pair of {name} is not finite; the adapter is damaged")
            found[name] = LowRank(pair[0].numpy(), pair[1].numpy(), scale)
    return found


def write_adapter(folder: Path, pairs: Mapping[str, tuple[Tensor, Tensor]], settings: Mapping[str, Any]) -> None:
    """Writes an adapter as peft does.

    Args:
        folder: where to.
        pairs: name of the changed weight → A and B.
        settings: keys of adapter_config.json besides those that are the same for every plain LoRA.
    """
    from sagecraft.models.save import write_safetensors

    folder.mkdir(parents=True, exist_ok=True)
    tensors: dict[str, Tensor] = {}
    for name, (down, up) in pairs.items():
        module = f"{_PREFIX}{name.removesuffix('.weight')}"
        tensors |= {f"{module}.lora_A.weight": down, f"{module}.lora_B.weight": up}
    write_safetensors(folder / WEIGHTS, tensors)
    common = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "bias": "none",
        "fan_in_fan_out": False,
        "inference_mode": True,
        "init_lora_weights": True,
        "modules_to_save": None,
        "use_dora": False,
    }
    write_json(folder / CONFIG, {**common, **settings})


class ChangedWeights(Mapping[str, "Tensor"]):
    """The weights of a folder with an adapter's changes added, each made when it is asked for: none stays in memory."""

    def __init__(self, folder: Path, changes: Mapping[str, LowRank], dtype: torch.dtype) -> None:
        self.records = list_tensors(folder)
        self.changes = changes
        self.dtype = dtype

    def __getitem__(self, name: str) -> Tensor:
        from safetensors import safe_open

        with safe_open(str(self.records[name].file), framework="pt") as reader:
            value: Tensor = reader.get_tensor(name)
        if name in self.changes:
            value = self.changes[name].added_to(value)
        return value.to(self.dtype)

    def __iter__(self) -> Iterator[str]:
        return iter(self.records)

    def __len__(self) -> int:
        return len(self.records)
