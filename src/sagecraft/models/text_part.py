"""The text part of a model that also sees pictures, as a model of its own: Gemma 3 from 4B is published so.

The language model is whole in such a folder, under names with a prefix and with its configuration in `text_config`;
training, merging and evaluation of text need nothing else of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sagecraft.artifact import write_json
from sagecraft.errors import UserError
from sagecraft.models.config import read_config
from sagecraft.models.tensors import DTYPE_BYTES, SHARD_BYTES, list_tensors, plan_shards, write_index
from sagecraft.models.tokenizer import copy_tokenizer

#: `model_type` of the whole → class of its text part.
_WHOLES = {"gemma3": "Gemma3ForCausalLM"}
#: Prefix of a tensor's name in the whole → in the part; written by transformers before and since 4.52.
_PREFIXES = {
    "language_model.model.": "model.",
    "language_model.lm_head.": "lm_head.",
    "model.language_model.": "model.",
    "lm_head.": "lm_head.",
}
_SHARED_KEYS = ("bos_token_id", "eos_token_id", "pad_token_id", "tie_word_embeddings", "dtype", "torch_dtype")


def has_text_part(config: Mapping[str, Any]) -> bool:
    """Whether `take_text_part` makes a text model of a folder with this configuration."""
    return config.get("model_type") in _WHOLES and isinstance(config.get("text_config"), Mapping)


def take_text_part(source: Path, folder: Path) -> None:
    """Writes the text model of `source` to `folder`, tensors as they are, one in memory at a time.

    Raises:
        UserError: `source` holds no tensors of a language model.
    """
    from safetensors import safe_open

    from sagecraft.models.save import write_safetensors

    config, records = read_config(source), list_tensors(source)
    renamed = {new: name for name in records if (new := _text_name(name)) is not None}
    if not renamed:
        raise UserError(f"{source}: no tensor is named as a language model's ({', '.join(_PREFIXES)}); fetch it again")
    text = {key: config[key] for key in _SHARED_KEYS if key in config} | dict(config["text_config"])
    copy_tokenizer(source, folder)
    write_json(folder / "config.json", {**text, "architectures": [_WHOLES[config["model_type"]]]})
    sizes = {new: records[old].num_elements * DTYPE_BYTES[records[old].dtype] for new, old in renamed.items()}
    shards = plan_shards(sizes, SHARD_BYTES)
    for file_name, names in shards.items():
        tensors = {}
        for name in names:
            with safe_open(str(records[renamed[name]].file), framework="pt") as reader:
                tensors[name] = reader.get_tensor(renamed[name])
        write_safetensors(folder / file_name, tensors)
    write_index(folder, shards, sum(sizes.values()))


def _text_name(name: str) -> str | None:
    """A tensor's name in the text model; None if it belongs to the pictures."""
    for prefix, new in _PREFIXES.items():
        if name.startswith(prefix):
            return new + name.removeprefix(prefix)
    return None
