"""Writing a model as a Hugging Face folder: safetensors in shards, the tokenizer and its template beside them."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from sagecraft.artifact import write_json
from sagecraft.models.tensors import SHARD_BYTES, plan_shards, write_index
from sagecraft.models.tokenizer import copy_tokenizer

_NAMES = {torch.float32: "float32", torch.bfloat16: "bfloat16", torch.float16: "float16", torch.float64: "float64"}


def save_model(
    folder: Path,
    tensors: Mapping[str, Tensor],
    config: Mapping[str, Any],
    tokenizer_source: Path,
    *,
    chat_template: str | None = None,
    shard_bytes: int = SHARD_BYTES,
    shapes: Mapping[str, Tensor] | None = None,
) -> None:
    """Writes weights, configuration and tokenizer.

    Args:
        folder: where to write (a work folder: the caller makes the finish atomic).
        tensors: Hugging Face name → tensor; tied weights under one name.
        config: the Hugging Face configuration; its `dtype` is set to that of the tensors.
        tokenizer_source: folder whose tokenizer files are copied.
        chat_template: replaces the tokenizer's template.
        shard_bytes: a file is closed before it would pass this size.
        shapes: the same on the meta device, if `tensors` are made when asked for: each is then asked for once, in order.
    """
    folder.mkdir(parents=True, exist_ok=True)
    copy_tokenizer(tokenizer_source, folder, chat_template)
    shapes = tensors if shapes is None else shapes
    sizes = {name: tensor.numel() * tensor.element_size() for name, tensor in shapes.items()}
    shards = plan_shards(sizes, shard_bytes)
    for file_name, shard in shards.items():
        write_safetensors(folder / file_name, {name: tensors[name] for name in shard})
    write_index(folder, shards, sum(sizes.values()))
    dtypes = {tensor.dtype for tensor in shapes.values()}
    settings = dict(config)
    settings.pop("torch_dtype", None)
    settings["dtype"] = _NAMES[dtypes.pop()] if len(dtypes) == 1 else "float32"
    write_json(folder / "config.json", settings)


def write_safetensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Writes one file; a full disk is an `OSError`, as everywhere else."""
    try:
        save_file({n: t.detach().contiguous() for n, t in tensors.items()}, path, metadata={"format": "pt"})
    except SafetensorError as error:
        number = re.search(r"os error (\d+)", str(error))
        if number is None:
            raise
        raise OSError(int(number[1]), os.strerror(int(number[1])), str(path)) from error
    path.chmod(0o644)  # the library leaves files that only their owner can read
