"""Models that do not fit into memory: a layer's weights are read when its turn comes and dropped after it.

Slow (every pass reads the folder), so it is for the parity gate, which passes a few hundred tokens: ours and
transformers' model, with all layers, in the memory of the embeddings, the head and one layer.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from sagecraft.models.config import parse_config, read_config
from sagecraft.models.decoder import Decoder
from sagecraft.models.load import check_tensors, empty_model, fill, list_tensors, parameters_by_file_name
from sagecraft.models.tensors import TensorRecord

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_LAYERS = "model.layers."


def free_bytes() -> int:
    """Memory a program may take: what is free, and file contents in memory that are given up when needed (Linux)."""
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    path = Path("/proc/meminfo")
    if not path.is_file():
        return free
    rows = dict(line.split(":", 1) for line in path.read_text(encoding="utf-8").splitlines() if ":" in line)
    return max(free, 1024 * int(rows.get("MemAvailable", "0").split()[0]))


def fits(folder: Path, dtype: torch.dtype) -> bool:
    """Whether one more copy of a folder's weights, and a tenth for what a pass needs, fits into memory."""
    return 1.1 * dtype.itemsize * sum(row.num_elements for row in list_tensors(folder).values()) < free_bytes()


def stream_model(folder: Path, dtype: torch.dtype) -> Decoder:
    """Our decoder, its layers on demand."""
    config, records = parse_config(read_config(folder), folder / "config.json"), list_tensors(folder)
    model = empty_model(config, dtype)
    check_tensors(folder, model, records)
    for module in (model.embed_tokens, model.norm, model.lm_head):
        module.to_empty(device="cpu")
    if config.tied_embeddings:
        model.lm_head.weight = model.embed_tokens.weight
    fill({n: p for n, p in parameters_by_file_name(model).items() if not n.startswith(_LAYERS)}, records)
    _on_demand(model.layers, records)
    return model.eval()


def stream_oracle(folder: Path, dtype: torch.dtype) -> PreTrainedModel:
    """The same model as transformers computes it, its layers on demand."""
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.from_pretrained(str(folder), trust_remote_code=False, local_files_only=True)
    with torch.device("meta"):
        model: Any = AutoModelForCausalLM.from_config(config, dtype=dtype, trust_remote_code=False)
    for module in model.modules():  # rotary frequencies and scales, which no file holds
        for name, buffer in module.named_buffers(recurse=False):
            setattr(module, name, torch.empty_like(buffer, device="cpu"))
    model.initialize_weights()  # computes them; on the weights, which are not there yet, it costs nothing
    for module in (model.model.embed_tokens, model.model.norm, model.lm_head):
        for name, parameter in module.named_parameters(recurse=False):
            setattr(module, name, nn.Parameter(torch.empty_like(parameter, device="cpu"), requires_grad=False))
    model.tie_weights()
    fill({n: p for n, p in model.named_parameters() if not n.startswith(_LAYERS)}, list_tensors(folder))
    _on_demand(model.model.layers, list_tensors(folder))
    oracle: PreTrainedModel = model.eval()
    return oracle


def _on_demand(layers: nn.ModuleList, records: Mapping[str, TensorRecord]) -> None:
    """Each layer, empty now, is filled before it runs and emptied after it."""
    for index, layer in enumerate(layers):

        def enter(module: nn.Module, _: Any, prefix: str = f"{_LAYERS}{index}.") -> None:
            module.to_empty(device="cpu")
            fill({prefix + name: parameter for name, parameter in module.named_parameters()}, records)

        def leave(module: nn.Module, _: Any, __: Any) -> None:
            module.to("meta")

        layer.register_forward_pre_hook(enter)
        layer.register_forward_hook(leave)
