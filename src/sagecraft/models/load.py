"""Hugging Face folders as running models: safetensors only, headers checked first, every tensor accounted for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, cast

import torch
from safetensors import safe_open
from torch import Tensor, nn

from sagecraft.errors import UserError
from sagecraft.models.config import DecoderConfig, parse_config, read_config, supported
from sagecraft.models.decoder import Decoder
from sagecraft.models.tensors import TensorRecord, list_tensors
from sagecraft.models.tokenizer import Tokenizer

__all__ = ["LoadedModel", "ModelLike", "list_tensors", "load_model", "read_config"]

Dtype = Literal["float64", "float32", "bfloat16"]


class ModelLike(Protocol):
    """What engines and training need of a model."""

    def __call__(self, input_ids: Tensor, boundaries: Any = None, cache: Any = None) -> Tensor:
        """Hidden states; see `Decoder.forward`."""
        ...

    def logits(self, hidden: Tensor) -> Tensor:
        """[…, D] → […, V]."""
        ...


@dataclass(frozen=True)
class LoadedModel:
    """A model with its tokenizer."""

    model: Decoder
    tokenizer: Tokenizer
    path: Path

    @property
    def config(self) -> DecoderConfig:
        """The architecture."""
        return self.model.config


def hugging_face_name(name: str) -> str:
    """Name of a decoder's parameter in a Hugging Face checkpoint."""
    return name if name.startswith("lm_head.") else f"model.{name}"


def load_model(path: Path, dtype: Dtype = "float32") -> LoadedModel:
    """Loads a model folder for inference or training.

    Raises:
        UserError: the folder is no model, its architecture is not ours, its weights are damaged or do not fit it.
    """
    raw = read_config(path)
    if not supported(raw):
        raise UserError(
            f"{path / 'config.json'}: model_type {raw.get('model_type')!r} (or its options) is not covered by "
            "sagecraft's decoder; it can be evaluated through an endpoint, not trained here"
        )
    config = parse_config(raw, path / "config.json")
    records = list_tensors(path)
    with torch.device("meta"):
        model = Decoder(config)
    _check(path, model, records)
    model.to_empty(device="cpu")
    if config.tied_embeddings:  # to_empty gave the two names storage of their own
        model.lm_head.weight = model.embed_tokens.weight
    model.to(getattr(torch, dtype))
    _fill(model, records)
    return LoadedModel(model.eval(), Tokenizer.from_folder(path), path)


def parameters_by_file_name(model: nn.Module) -> dict[str, nn.Parameter]:
    """Parameters under their Hugging Face names, tied ones once."""
    return {hugging_face_name(name): parameter for name, parameter in model.named_parameters()}


def _check(path: Path, model: Decoder, records: dict[str, TensorRecord]) -> None:
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


@torch.no_grad()
def _fill(model: Decoder, records: dict[str, TensorRecord]) -> None:
    """Copies file by file, so that peak memory is the model and one tensor."""
    parameters = parameters_by_file_name(model)
    by_file: dict[Path, list[str]] = {}
    for name in parameters:
        by_file.setdefault(records[name].file, []).append(name)
    for file, names in by_file.items():
        with safe_open(str(file), framework="pt") as reader:
            for name in names:
                value = cast(Tensor, reader.get_tensor(name))
                if not torch.isfinite(value).all():
                    raise UserError(f"{file}: {name} holds values that are not finite; the checkpoint is damaged")
                parameters[name].copy_(value)
