"""The architecture of a decoder, read from and written to a Hugging Face `config.json`."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from sagecraft.artifact import read_json
from sagecraft.errors import UserError

Family = Literal["llama", "mistral", "qwen2", "qwen3", "gemma", "gemma3_text"]

#: `model_type` of what our own decoder covers, and the values that transformers takes for keys that a configuration
#: leaves out, as those made from a GGUF and those inside a `text_config` do. Other types run through transformers.
FAMILIES: Mapping[str, Mapping[str, Any]] = {
    "llama": {
        "vocab_size": 32000, "hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32,
        "num_attention_heads": 32, "max_position_embeddings": 2048,
    },
    "mistral": {
        "vocab_size": 32000, "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32,
        "num_attention_heads": 32, "num_key_value_heads": 8, "max_position_embeddings": 131072, "sliding_window": 4096,
    },
    "qwen2": {
        "vocab_size": 151936, "hidden_size": 4096, "intermediate_size": 22016, "num_hidden_layers": 32,
        "num_attention_heads": 32, "num_key_value_heads": 32, "max_position_embeddings": 32768, "sliding_window": 4096,
    },
    "qwen3": {
        "vocab_size": 151936, "hidden_size": 4096, "intermediate_size": 22016, "num_hidden_layers": 32,
        "num_attention_heads": 32, "num_key_value_heads": 32, "max_position_embeddings": 32768, "sliding_window": 4096,
        "head_dim": 128,
    },
    "gemma": {
        "vocab_size": 256000, "hidden_size": 3072, "intermediate_size": 24576, "num_hidden_layers": 28,
        "num_attention_heads": 16, "num_key_value_heads": 16, "max_position_embeddings": 8192, "head_dim": 256,
        "tie_word_embeddings": True, "hidden_act": "gelu_pytorch_tanh",
    },
    "gemma3_text": {
        "vocab_size": 262208, "hidden_size": 2304, "intermediate_size": 9216, "num_hidden_layers": 26,
        "num_attention_heads": 8, "num_key_value_heads": 4, "max_position_embeddings": 131072, "head_dim": 256,
        "tie_word_embeddings": True, "hidden_activation": "gelu_pytorch_tanh", "query_pre_attn_scalar": 256,
        "sliding_window": 4096, "sliding_window_pattern": 6,
    },
}  # fmt: skip
#: Bytes of a config.json; the largest known, with thousands of class labels, has some hundred thousand.
_MAX_BYTES = 16 << 20
#: What an entry of config.json is, if it is there: what reads it later may take that for granted.
_KINDS: Mapping[str, type] = {
    "model_type": str, "architectures": list, "layer_types": list, "text_config": dict, "rope_parameters": dict,
    "rope_scaling": dict,
}  # fmt: skip
#: Names that families use for the number of layers, and more layers than any model has: a loop over 1e9 would never end.
_LAYERS, _MAX_LAYERS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers"), 10_000
#: Entries that are positive whole numbers if they are there.
_COUNTS = (
    "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads",
    "head_dim", "max_position_embeddings", "sliding_window_pattern",
)  # fmt: skip
_MAY_BE_NULL, _MAX_COUNT = ("num_key_value_heads", "head_dim", "sliding_window_pattern"), 1 << 40
_COMMON = {"rms_norm_eps": 1e-6, "tie_word_embeddings": False, "hidden_act": "silu", "max_window_layers": 28}


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
    family: Family
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
    query_key_norm: bool = Field(False, description="RMSNorm on each head of q and k (Qwen 3, Gemma 3)")
    rope_factor: float = Field(1.0, description="all frequencies are divided by it (linear scaling; Gemma 3 from 4B)")
    sliding_window: int | None = Field(
        None, description="tokens that the sliding layers see, the token itself included"
    )
    sliding_layers: tuple[int, ...] = Field((), description="layers, from 0, that see only the window")
    local_rope_theta: float | None = Field(None, description="base of the sliding layers, never scaled (Gemma 3)")
    activation: Literal["silu", "gelu_tanh"] = Field("silu", description="of the feed-forward part's gate")
    norm_from_one: bool = Field(False, description="norm weights are stored as their distance from one (Gemma)")
    post_norms: bool = Field(False, description="norms behind attention and feed-forward part too (Gemma 3)")
    embedding_scale: float = Field(1.0, description="multiplies the embeddings, not the head (Gemma)")
    query_scale: float | None = Field(None, description="of attention's scores; None is 1/sqrt(head_size)")

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
        layer = attention + 3 * width * inner + (4 if self.post_norms else 2) * width
        table = self.vocab_size * width
        tables = table if (self.tied_embeddings or not embedding) else 2 * table
        return self.num_layers * layer + width + tables

    def local(self) -> DecoderConfig:
        """The rotary settings of the sliding layers, where they have their own."""
        assert self.local_rope_theta is not None
        return self.model_copy(update={"rope_theta": self.local_rope_theta, "rope_scaling": None, "rope_factor": 1.0})


def read_config(folder: Path) -> dict[str, Any]:
    """`config.json` of a model folder.

    Raises:
        UserError: no such folder, no such file, not JSON, or an entry is not what it should be.
    """
    path = folder / "config.json"
    if not path.is_file():
        raise UserError(f"{folder}: not a model folder (no config.json); expected a Hugging Face folder")
    if path.stat().st_size > _MAX_BYTES:
        raise UserError(f"{path}: {path.stat().st_size:,} bytes are no configuration; fetch the model again")
    value = read_json(path)
    if not isinstance(value, dict):
        raise UserError(f"{path}: expected a JSON object")
    for key, kind in _KINDS.items():
        if value.get(key) is not None and not isinstance(value[key], kind):
            raise UserError(
                f"{path}: {key}: expected a {_WORDS[kind]}, found {_shown(value[key])}; fetch the model again"
            )
    for key in _LAYERS:
        if isinstance(value.get(key), int | float) and not value[key] <= _MAX_LAYERS:
            raise UserError(
                f"{path}: {key}: {_shown(value[key])} layers are more than any model has; fetch the model again"
            )
    return value


_WORDS: Mapping[type, str] = {str: "text", list: "list", dict: "mapping"}


def _shown(value: object) -> str:
    text = reprlib.repr(value)
    return text if len(text) <= 100 else f"{text[:100]}…"


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
    family = config.get("model_type")
    if not isinstance(family, str) or family not in FAMILIES:
        return False
    whole, local = _rope(config)
    kind = whole.get("rope_type", whole.get("type", "default"))
    if kind not in ("default", "llama3", "linear") or whole.get("partial_rotary_factor", 1) != 1:
        return False
    if local is not None and local.get("rope_type", "default") != "default":
        return False
    values = _COMMON | dict(FAMILIES[family]) | dict(config)
    act = values["hidden_activation" if family == "gemma3_text" else "hidden_act"]
    if family == "gemma" and act == "gelu":  # an old word for the tanh form, which transformers reads so too
        act = "gelu_pytorch_tanh"
    if act != ("gelu_pytorch_tanh" if family.startswith("gemma") else "silu"):
        return False
    extras = ("mlp_bias", "use_bidirectional_attention", "attn_logit_softcapping", "final_logit_softcapping")
    kinds = config.get("layer_types") or ()
    return not any(config.get(name) for name in extras) and all(
        kind in ("full_attention", "sliding_attention") for kind in kinds
    )


def parse_config(config: Mapping[str, Any], source: Path | str = "config.json") -> DecoderConfig:
    """The part of a Hugging Face configuration that decides the computation."""
    if not supported(config):
        raise UserError(f"{source}: architecture {config.get('model_type')!r} is not one of {', '.join(FAMILIES)}")
    family = config["model_type"]
    values = _COMMON | dict(FAMILIES[family]) | dict(config)
    for name in _COUNTS:
        value = values.get(name, 1)  # what is missing is told below
        if value is None and name in _MAY_BE_NULL:
            continue
        if type(value) is not int or not 0 < value < _MAX_COUNT:
            raise UserError(
                f"{source}: {name} is {_shown(value)}; expected a positive whole number, fetch the model again"
            )
    try:
        return DecoderConfig(**_sizes(values), **_positions(config, values), **_family_traits(family, values))
    except KeyError as error:
        raise UserError(f"{source}: key {error.args[0]!r} is missing; fetch the model again") from error
    except ValidationError as error:
        fault = error.errors()[0]
        raise UserError(f"{source}: {fault['loc'][0] if fault['loc'] else 'architecture'}: {fault['msg']}") from error
    except IndexError as error:
        raise UserError(f"{source}: layer_types is shorter than num_hidden_layers; fetch the model again") from error
    except (TypeError, ValueError, ZeroDivisionError) as error:
        raise UserError(
            f"{source}: a window or a rotary setting is no number ({error}); fetch the model again"
        ) from error


def _sizes(values: Mapping[str, Any]) -> dict[str, Any]:
    heads = values["num_attention_heads"]
    return {
        "family": values["model_type"],
        "vocab_size": values["vocab_size"],
        "hidden_size": values["hidden_size"],
        "intermediate_size": values["intermediate_size"],
        "num_layers": values["num_hidden_layers"],
        "num_heads": heads,
        "num_key_value_heads": values.get("num_key_value_heads") or heads,
        "head_size": values.get("head_dim") or values["hidden_size"] // heads,
        "norm_eps": values["rms_norm_eps"],
        "tied_embeddings": bool(values["tie_word_embeddings"]),
    }


def _positions(config: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Context, rotary frequencies and windows."""
    whole, local = _rope(config)
    kind = whole.get("rope_type", whole.get("type"))
    window, layers = _windows(values)
    scaling = {name: whole[name] for name in RopeScaling.model_fields} if kind == "llama3" else None
    return {
        "max_positions": values["max_position_embeddings"],
        "rope_theta": whole["rope_theta"],
        "rope_scaling": scaling,
        "rope_factor": whole["factor"] if kind == "linear" else 1.0,
        "local_rope_theta": local["rope_theta"] if local is not None else None,
        "sliding_window": window,
        "sliding_layers": layers,
    }


def _family_traits(family: str, values: Mapping[str, Any]) -> dict[str, Any]:
    # Qwen 2 has its biases whatever the file says, Mistral has none.
    bias = family == "qwen2" or (family != "mistral" and bool(values.get("attention_bias", False)))
    traits: dict[str, Any] = {"attention_bias": bias, "query_key_norm": family in ("qwen3", "gemma3_text")}
    if family.startswith("gemma"):
        traits.update(activation="gelu_tanh", norm_from_one=True, embedding_scale=values["hidden_size"] ** 0.5)
    if family == "gemma3_text":
        traits.update(post_norms=True, query_scale=values["query_pre_attn_scalar"] ** -0.5)
    return traits


def _windows(values: Mapping[str, Any]) -> tuple[int | None, tuple[int, ...]]:
    """The window and the layers that have it, as transformers fills in what the file leaves open."""
    family, window, count = values["model_type"], values.get("sliding_window"), values["num_hidden_layers"]
    if family in ("llama", "gemma") or (family.startswith("qwen") and not values.get("use_sliding_window", False)):
        window = None
    if window is None or (family != "gemma3_text" and window >= values["max_position_embeddings"]):
        return None, ()  # Gemma 3's sliding layers have rotary settings of their own, however wide the window
    if family == "mistral":
        return window, tuple(range(count))
    if values.get("layer_types"):
        kinds = values["layer_types"]
        return window, tuple(n for n in range(count) if kinds[n] == "sliding_attention")
    if family == "gemma3_text":
        return window, tuple(n for n in range(count) if (n + 1) % values["sliding_window_pattern"])
    return window, tuple(range(values["max_window_layers"], count))


def _rope(config: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """Rotary settings of the layers that see all, and of those that see a window where these have their own.

    From `rope_parameters` (transformers 5) or `rope_theta`, `rope_scaling` and `rope_local_base_freq` (before).
    """
    stated = dict(config.get("rope_parameters") or {})
    if config.get("model_type") != "gemma3_text":
        return {"rope_theta": config.get("rope_theta") or 10000.0} | (
            dict(config.get("rope_scaling") or {}) or stated
        ), None
    for name in ("full_attention", "sliding_attention"):
        if not isinstance(stated.get(name) or {}, dict):
            raise UserError(f"config.json: rope_parameters.{name}: expected a mapping; fetch the model again")
    whole = {"rope_theta": config.get("rope_theta") or 1_000_000.0} | dict(stated.get("full_attention") or {})
    local = {"rope_theta": config.get("rope_local_base_freq") or 10_000.0} | dict(stated.get("sliding_attention") or {})
    return whole | dict(config.get("rope_scaling") or {}), local
