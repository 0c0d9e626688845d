"""The architecture of a decoder, read from and written to a Hugging Face `config.json`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from sagecraft.artifact import read_json
from sagecraft.errors import UserError

#: `model_type` → does our own decoder cover it. Others run through transformers.
FAMILIES = ("llama", "mistral", "qwen2", "qwen3")


class RopeScaling(BaseModel):
    """Frequency scaling of Llama 3.1 (Llama 3 report, arXiv:2407.21783): long wavelengths are stretched by `factor`."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    factor: float
    low_freq_factor: float
    high_freq_factor: float
    original_max_position_embeddings: int


class DecoderConfig(BaseModel):
    """A pre-norm decoder with rotary positions, grouped-query attention and a gated feed-forward part."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    family: Literal["llama", "mistral", "qwen2", "qwen3"]
    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_layers: int
    num_heads: int
    num_key_value_heads: int
    head_size: int
    max_positions: int
    norm_eps: float
    rope_theta: float
    rope_scaling: RopeScaling | None = None
    tied_embeddings: bool = False
    attention_bias: bool = Field(False, description="q, k and v have a bias (Qwen 2)")
    query_key_norm: bool = Field(False, description="RMSNorm on each head of q and k (Qwen 3)")

    @model_validator(mode="after")
    def _sizes(self) -> DecoderConfig:
        for name in ("vocab_size", "hidden_size", "intermediate_size", "num_layers", "num_heads", "head_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}")
        if self.num_key_value_heads < 1 or self.num_heads % self.num_key_value_heads:
            raise ValueError(f"{self.num_heads} heads cannot share {self.num_key_value_heads} key-value heads")
        return self

    def num_parameters(self, embedding: bool = True) -> int:
        """Number of parameters; without the input embedding if asked (the head, tied or not, is counted once)."""
        width, inner = self.hidden_size, self.intermediate_size
        queries, keys = self.num_heads * self.head_size, self.num_key_value_heads * self.head_size
        attention = width * (queries + 2 * keys) + queries * width
        if self.attention_bias:
            attention += queries + 2 * keys + (width if self.family != "qwen2" else 0)
        attention += 2 * self.head_size if self.query_key_norm else 0
        layer = attention + 3 * width * inner + 2 * width
        table = self.vocab_size * width
        tables = table if (self.tied_embeddings or not embedding) else 2 * table
        return self.num_layers * layer + width + tables


def read_config(folder: Path) -> dict[str, Any]:
    """`config.json` of a model folder.

    Raises:
        UserError: no such folder, no such file, or not JSON.
    """
    path = folder / "config.json"
    if not path.is_file():
        raise UserError(f"{folder}: not a model folder (no config.json); expected a Hugging Face folder")
    value = read_json(path)
    if not isinstance(value, dict):
        raise UserError(f"{path}: expected a JSON object")
    return value


def check_context(folder: Path, num_tokens: int, key: str) -> None:
    """Refuses rows that are longer than the context a model was made for.

    Raises:
        UserError: names `key`, the setting that asks for such rows.
    """
    config = read_config(folder)
    limit = (config.get("text_config") or config).get("max_position_embeddings")
    if isinstance(limit, int) and num_tokens > limit:
        raise UserError(f"{key}: {num_tokens:,} tokens are more than the context of {folder}, {limit:,}; lower it")


def supported(config: Mapping[str, Any]) -> bool:
    """True if our own decoder computes this architecture exactly; otherwise transformers is used."""
    if config.get("model_type") not in FAMILIES:
        return False
    rope = _rope(config)
    if rope.get("rope_type", rope.get("type", "default")) not in ("default", "llama3"):
        return False
    mistral = config.get("model_type") == "mistral"
    window = config.get("sliding_window", 4096 if mistral else None)  # transformers' default where the key is missing
    uses_window = config.get("use_sliding_window", mistral)
    if window and uses_window and window < config.get("max_position_embeddings", 0):
        return False
    return config.get("hidden_act", "silu") == "silu" and not config.get("mlp_bias", False)


def parse_config(config: Mapping[str, Any], source: Path | str = "config.json") -> DecoderConfig:
    """The part of a Hugging Face configuration that decides the computation."""
    if not supported(config):
        raise UserError(f"{source}: architecture {config.get('model_type')!r} is not one of {', '.join(FAMILIES)}")
    family = config["model_type"]
    rope = _rope(config)
    try:
        scaling = None
        if rope.get("rope_type", rope.get("type")) == "llama3":
            scaling = RopeScaling(**{name: rope[name] for name in RopeScaling.model_fields})
        heads = config["num_attention_heads"]
        return DecoderConfig(
            family=family,
            vocab_size=config["vocab_size"],
            hidden_size=config["hidden_size"],
            intermediate_size=config["intermediate_size"],
            num_layers=config["num_hidden_layers"],
            num_heads=heads,
            num_key_value_heads=config.get("num_key_value_heads") or heads,
            head_size=config.get("head_dim") or config["hidden_size"] // heads,
            max_positions=config.get("max_position_embeddings", 2048),
            norm_eps=config.get("rms_norm_eps", 1e-6),
            rope_theta=rope.get("rope_theta") or config.get("rope_theta") or 10000.0,
            rope_scaling=scaling,
            tied_embeddings=bool(config.get("tie_word_embeddings", False)),
            attention_bias=bool(config.get("attention_bias", family == "qwen2")),
            query_key_norm=family == "qwen3",
        )
    except KeyError as error:
        raise UserError(f"{source}: key {error.args[0]!r} is missing; fetch the model again") from error
    except ValidationError as error:
        fault = error.errors()[0]
        raise UserError(f"{source}: {fault['loc'][0] if fault['loc'] else 'architecture'}: {fault['msg']}") from error
    except (TypeError, ZeroDivisionError) as error:
        raise UserError(f"{source}: hidden_size or num_attention_heads is no positive number ({error})") from error


def _rope(config: Mapping[str, Any]) -> dict[str, Any]:
    """Rotary settings: `rope_parameters` (transformers 5) or `rope_scaling` (before)."""
    return dict(config.get("rope_parameters") or config.get("rope_scaling") or {})
