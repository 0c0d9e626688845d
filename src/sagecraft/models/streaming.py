"""Models that do not fit into memory: weights are mapped from their files, converted when their turn comes, dropped after it.

Our model and transformers', with all layers, in the memory of one layer: of the embedding only the rows of the tokens
at hand are taken, and the head works through its rows in pieces. Every pass reads the folder, so it is for the parity
gate, which passes some tokens; weights of the type that computes are used where they lie, without a copy.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from safetensors import safe_open
from torch import Tensor, nn

from sagecraft.errors import MachineError
from sagecraft.models.config import parse_config, read_config
from sagecraft.models.decoder import Decoder
from sagecraft.models.load import Uninitialised, check_finite, check_tensors, empty_model, list_tensors
from sagecraft.models.tensors import TensorRecord

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    Records = Mapping[str, TensorRecord]

_LAYERS, _EMBEDDING, _HEAD, _NORM = "model.layers.", "model.embed_tokens.weight", "lm_head.weight", "model.norm."
#: Rows of the head that are converted at a time: 256 MB in float32 for the widest models there are.
_HEAD_ROWS = 4096


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
    """Our decoder, its weights on demand."""
    config, records = parse_config(read_config(folder), folder / "config.json"), list_tensors(folder)
    model = empty_model(config, dtype)
    check_tensors(folder, model, records)
    head = _EMBEDDING if config.tied_embeddings else _HEAD
    _on_demand((model.embed_tokens, model.layers, model.norm, model.lm_head), head, records, dtype)
    return model.eval()


def stream_oracle(folder: Path, dtype: torch.dtype) -> PreTrainedModel:
    """The same model as transformers computes it, its weights on demand."""
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.from_pretrained(str(folder), trust_remote_code=False, local_files_only=True)
    with torch.device("meta"), Uninitialised():
        model: Any = AutoModelForCausalLM.from_config(config, dtype=dtype, trust_remote_code=False)
    for module in model.modules():  # rotary frequencies and scales, which no file holds
        for name, buffer in module.named_buffers(recurse=False):
            setattr(module, name, torch.empty_like(buffer, device="cpu"))
    with Uninitialised():
        model.initialize_weights()  # computes them; the weights are not there yet
    head = _EMBEDDING if config.tie_word_embeddings else _HEAD
    inner = model.model
    _on_demand((inner.embed_tokens, inner.layers, inner.norm, model.lm_head), head, list_tensors(folder), dtype)
    oracle: PreTrainedModel = model.eval()
    return oracle


@contextmanager
def _mapped(records: Records, names: list[str]) -> Iterator[list[Tensor]]:
    """Tensors as they lie in their files, not copied; they must not be used after the context."""
    with ExitStack() as stack:
        readers = {
            file: stack.enter_context(safe_open(str(file), framework="pt"))
            for file in sorted({records[name].file for name in names})
        }
        yield [cast(Tensor, readers[records[name].file].get_tensor(name)) for name in names]


def _on_demand(parts: tuple[Any, Any, Any, Any], head_name: str, records: Records, dtype: torch.dtype) -> None:
    """Makes embedding, layers, last norm and head of a model on the meta device take their weights when they run."""
    embedding, layers, norm, head = parts
    room = _Room(dtype)
    _embed_on_demand(embedding, records, dtype)
    for index, layer in enumerate(layers):
        _fill_on_demand(layer, f"{_LAYERS}{index}.", records, room)
    _fill_on_demand(norm, _NORM, records, room)
    _score_on_demand(head, head_name, records, room)


class _Room:
    """Memory for converted weights, which the next layer takes over: fresh pages cost seven times the conversion."""

    def __init__(self, dtype: torch.dtype) -> None:
        self.dtype = dtype
        self._held: dict[str, Tensor] = {}

    def convert(self, value: Tensor, name: str) -> Tensor:
        """A tensor in the type of the computation, until the next of this name: itself if it has it."""
        if value.dtype == self.dtype:
            return value
        held = self._held.get(name)
        if held is None or held.shape != value.shape:
            held = self._held[name] = torch.empty_like(value, dtype=self.dtype)
        return held.copy_(value)


def _fill_on_demand(module: nn.Module, prefix: str, records: Records, room: _Room) -> None:
    """Its parameters are there while it runs; what it gives must be numbers."""
    empty = dict(module.named_parameters())
    held = ExitStack()

    def enter(module: nn.Module, _: Any) -> None:
        names = [prefix + name for name in empty]
        for name, value in zip(names, held.enter_context(_mapped(records, names)), strict=True):
            check_finite(value, records[name].file, name)
            own = name.removeprefix(prefix)
            _place(module, own, nn.Parameter(room.convert(value, own), requires_grad=False))

    def leave(module: nn.Module, _: Any, output: Any) -> None:
        for name, parameter in empty.items():
            _place(module, name, parameter)
        held.close()
        _check_values(output[0] if isinstance(output, tuple) else output, f"values behind {prefix[:-1]}")

    module.register_forward_pre_hook(enter)
    module.register_forward_hook(leave)


def _check_values(values: Tensor, what: str) -> None:
    if not bool(torch.isfinite(values).all()):
        raise MachineError(f"the model gives {what} that are not finite: its weights are too large; nothing was kept")


def _place(module: nn.Module, name: str, parameter: nn.Parameter) -> None:
    owner, _, leaf = name.rpartition(".")
    setattr(module.get_submodule(owner), leaf, parameter)


def _embed_on_demand(embedding: nn.Module, records: Records, dtype: torch.dtype) -> None:
    """Its table holds the tokens at hand alone, under other numbers, while it runs."""
    empty = embedding.weight

    def enter(module: nn.Module, arguments: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        tokens, places = torch.unique(arguments[0], return_inverse=True)
        with _mapped(records, [_EMBEDDING]) as (table,):
            rows = table[tokens].to(dtype)
        check_finite(rows, records[_EMBEDDING].file, _EMBEDDING)
        module.weight = nn.Parameter(rows, requires_grad=False)
        return (places, *arguments[1:])

    def leave(module: nn.Module, _: Any, __: Any) -> None:
        module.weight = empty

    embedding.register_forward_pre_hook(enter)
    embedding.register_forward_hook(leave)


def _score_on_demand(head: Any, name: str, records: Records, room: _Room) -> None:
    """It works through its rows in pieces."""

    def forward(hidden: Tensor) -> Tensor:
        pieces = []
        with _mapped(records, [name]) as (table,):
            for rows in torch.split(table, _HEAD_ROWS):
                check_finite(rows, records[name].file, name)
                pieces.append(nn.functional.linear(hidden, room.convert(rows, name)))
        scores = torch.cat(pieces, dim=-1)
        _check_values(scores, "logits")
        return scores

    head.forward = forward
