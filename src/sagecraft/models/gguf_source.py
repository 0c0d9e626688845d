"""A GGUF file as tensors, configuration and tokenizer: the way in for quantised models.

transformers de-quantises, which also makes it the source that the saved folder is compared with. Its tokenizer
conversion forgets the pre-tokenizer that the file names (`tokenizer.ggml.pre`), so that is put right here.
"""

from __future__ import annotations

import contextlib
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sagecraft.errors import UserError
from sagecraft.models.gguf_header import read_header

#: `tokenizer.ggml.pre` → the pre-tokenizer in the form of tokenizer.json.
_BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
_PRE_TOKENIZERS: dict[str, dict[str, Any]] = {
    "smollm": {"type": "Sequence", "pretokenizers": [{"type": "Digits", "individual_digits": True}, _BYTE_LEVEL]},
    "gpt-2": _BYTE_LEVEL,
}
#: Keys of a loaded configuration that describe the loading, not the model.
_TRANSIENT = ("quantization_config", "_name_or_path", "_model_name_or_path", "transformers_version")


@dataclass(frozen=True)
class GgufModel:
    """A de-quantised model in memory: `model` is transformers' own, the oracle of the parity gate."""

    model: Any
    tensors: dict[str, Tensor]
    config: dict[str, Any]


def read_gguf(path: Path) -> GgufModel:
    """De-quantises to float32, exactly.

    Raises:
        UserError: the file is no GGUF, or of an architecture that transformers cannot read.
    """
    read_header(path)  # a stranger's file is held against its own numbers before anybody computes with it
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()
    try:
        # its de-quantiser draws a bar of its own, which nothing turns off
        with contextlib.redirect_stderr(io.StringIO()):
            model = AutoModelForCausalLM.from_pretrained(str(path.parent), gguf_file=path.name, dtype=torch.float32)
    except (OSError, MemoryError):
        raise
    except Exception as error:  # a cut file ends the readers in struct.error, IndexError, ValueError, KeyError, …
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise UserError(f"{path}: transformers cannot read this GGUF ({reason}); fetch it again") from error
    config = {key: value for key, value in model.config.to_diff_dict().items() if key not in _TRANSIENT}
    config["model_type"] = model.config.model_type
    config["architectures"] = [type(model).__name__]
    for key, value in config.items():
        if isinstance(value, float):  # GGUF stores float32: 9.999999747378752e-06 is 1e-05
            config[key] = float(f"{value:.7g}")
    tensors = dict(model.state_dict())
    if config.get("tie_word_embeddings", model.config.tie_word_embeddings):
        config["tie_word_embeddings"] = True
        tensors.pop("lm_head.weight", None)
    return GgufModel(model.eval(), tensors, config)


def save_gguf_tokenizer(path: Path, folder: Path) -> None:
    """Writes the file's tokenizer, chat template and stop tokens as a Hugging Face folder does."""
    from gguf import GGUFReader
    from transformers import AutoTokenizer

    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = AutoTokenizer.from_pretrained(str(path.parent), gguf_file=path.name)
    tokenizer.save_pretrained(str(folder))
    fields = {
        name: field.contents()
        for name, field in GGUFReader(path).fields.items()
        if name.startswith("tokenizer.") and len(field.data) < 3
    }
    tokenizer_path, config_path = folder / "tokenizer.json", folder / "tokenizer_config.json"
    value = json.loads(tokenizer_path.read_text(encoding="utf-8"))
    if fields.get("tokenizer.ggml.model") == "gpt2":
        name = fields.get("tokenizer.ggml.pre", "gpt-2")
        if name not in _PRE_TOKENIZERS:
            known = ", ".join(_PRE_TOKENIZERS)
            raise UserError(f"{path}: pre-tokenizer {name!r} is not known (known: {known}); use the model's own folder")
        value["pre_tokenizer"] = _PRE_TOKENIZERS[name]
    tokenizer_path.write_text(json.dumps(value, ensure_ascii=False, indent=2), encoding="utf-8")
    config = json.loads(config_path.read_text(encoding="utf-8"))
    config.pop("name_or_path", None)
    config["add_bos_token"] = bool(fields.get("tokenizer.ggml.add_bos_token", False))
    config_path.write_text(json.dumps(config, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    stops = fields.get("tokenizer.ggml.eos_token_id")
    if isinstance(stops, int):
        text = json.dumps({"eos_token_id": stops}, indent=2) + "\n"
        (folder / "generation_config.json").write_text(text, encoding="utf-8")
