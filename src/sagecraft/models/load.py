"""Hugging Face folders as running models: safetensors only, headers checked first, every tensor accounted for."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import torch
from safetensors import safe_open
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from sagecraft.errors import UserError
from sagecraft.models.adapter import LowRank, load_adapter, read_adapter
from sagecraft.models.config import DecoderConfig, parse_config, read_config, supported
from sagecraft.models.decoder import Decoder
from sagecraft.models.foreign import ForeignDecoder
from sagecraft.models.tensors import TensorRecord, list_tensors
from sagecraft.models.tokenizer import Tokenizer

__all__ = ["LoadedModel", "list_tensors", "load_model", "read_config"]

Dtype = Literal["float64", "float32", "bfloat16"]


@dataclass(frozen=True)
class LoadedModel:
    """A model with its tokenizer."""

    model: Decoder | ForeignDecoder
    tokenizer: Tokenizer
    path: Path


def hugging_face_name(name: str) -> str:
    """Name of a model's parameter in a Hugging Face checkpoint."""
    if name.startswith("inner."):  # transformers' own model inside a ForeignDecoder
        return name.removeprefix("inner.")
    return name if name.startswith("lm_head.") else f"model.{name}"


def load_model(path: Path, dtype: Dtype = "float32", adapter: Path | None = None) -> LoadedModel:
    """Loads a model folder for inference or training.

    Args:
        path: the folder.
        dtype: of the weights in memory.
        adapter: a LoRA adapter in peft's format, added to the weights.

    Raises:
        UserError: the folder is no model, its weights are damaged, or do not fit its architecture; or the adapter is none
            for it.
    """
    raw = read_config(path)
    records = list_tensors(path)
    if not supported(raw):
        foreign = ForeignDecoder.load(path, getattr(torch, dtype))
        _change(parameters_by_file_name(foreign), path, adapter)
        return LoadedModel(foreign.eval(), Tokenizer.from_folder(path), path)
    config = parse_config(raw, path / "config.json")
    model = empty_model(config, getattr(torch, dtype))
    check_tensors(path, model, records)
    model.to_empty(device="cpu")
    if config.tied_embeddings:  # to_empty gave the two names storage of their own
        model.lm_head.weight = model.embed_tokens.weight
    parameters = parameters_by_file_name(model)
    fill(parameters, records, _changes(parameters, path, adapter))
    return LoadedModel(model.eval(), Tokenizer.from_folder(path), path)


def empty_model(config: DecoderConfig, dtype: torch.dtype) -> Decoder:
    """A decoder on the meta device: shapes without weights."""
    with torch.device("meta"), Uninitialised():
        return Decoder(config).to(dtype)


class Uninitialised(TorchFunctionMode):
    """Leaves out torch's random initial values: on the meta device they are nothing, but load its compiler, for 0.9 s."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        settings = dict(kwargs or {})
        if getattr(func, "__module__", None) == "torch.nn.init":
            return settings["tensor"] if "tensor" in settings else args[0]
        return func(*args, **settings)


def parameters_by_file_name(model: nn.Module) -> dict[str, nn.Parameter]:
    """Parameters under their Hugging Face names, tied ones once; a LoRA pair, which no model's folder holds, is none."""
    return {
        hugging_face_name(name): parameter
        for name, parameter in model.named_parameters()
        if not name.endswith((".lora_A", ".lora_B"))
    }


def check_tensors(path: Path, model: Decoder, records: Mapping[str, TensorRecord]) -> None:
    """Refuses a folder whose tensors are not those of the architecture, by name and shape."""
    wanted = {name: tuple(parameter.shape) for name, parameter in parameters_by_file_name(model).items()}
    stored = {name: record for name, record in records.items() if not name.endswith("rotary_emb.inv_freq")}
    if model.config.tied_embeddings:
        stored.pop("lm_head.weight", None)
    missing, spare = sorted(set(wanted) - set(stored)), sorted(set(stored) - set(wanted))
    if missing:
        raise UserError(f"{path}: tensor {missing[0]} (and {len(missing) - 1} more) is missing; fetch the model again")
    if spare:
        raise UserError(f"{path}: tensor {spare[0]} (and {len(spare) - 1} more) does not belong to this architecture")
    for name, shape in wanted.items():
        if stored[name].shape != shape:
            raise UserError(f"{path}: {name} has shape {stored[name].shape}, config.json asks for {shape}")


def _changes(parameters: Mapping[str, nn.Parameter], path: Path, adapter: Path | None) -> Mapping[str, LowRank]:
    if adapter is None:
        return {}
    faults = read_adapter(adapter).faults({name: value.shape for name, value in parameters.items()}, path)
    if faults:
        raise UserError("\n".join(faults))
    return load_adapter(adapter)


@torch.no_grad()
def _change(parameters: Mapping[str, nn.Parameter], path: Path, adapter: Path | None) -> None:
    for name, change in _changes(parameters, path, adapter).items():
        parameters[name].copy_(change.added_to(parameters[name]))


@torch.no_grad()
def fill(
    parameters: Mapping[str, nn.Parameter],
    records: Mapping[str, TensorRecord],
    changes: Mapping[str, LowRank] | None = None,
) -> None:
    """Copies tensors by name, file by file, so that peak memory is the parameters and one tensor; adds `changes`."""
    by_file: dict[Path, list[str]] = {}
    for name in parameters:
        by_file.setdefault(records[name].file, []).append(name)
    for file, names in by_file.items():
        with safe_open(str(file), framework="pt") as reader:
            for name in names:
                value = cast(Tensor, reader.get_tensor(name))
                check_finite(value, file, name)
                change = (changes or {}).get(name)
                parameters[name].copy_(value if change is None else change.added_to(value))


def check_finite(value: Tensor, file: Path, name: str) -> None:
    """Refuses a stored tensor with NaN or infinity: they come through as the largest or smallest, in one fast reading."""
    if value.numel() and not all(map(math.isfinite, (float(end) for end in torch.aminmax(value)))):
        raise UserError(f"{file}: {name} holds values that are not finite; the checkpoint is damaged")
