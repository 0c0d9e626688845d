"""A model folder as a GGUF file (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md), checked against it.

Weights stream tensor by tensor, so that memory holds one of them. llama.cpp rotates neighbouring values of a head
where Hugging Face checkpoints rotate its two halves: for the `llama` architecture the rows of the q and k projections
are put into that order.
"""

from __future__ import annotations

import json
import math
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from sagecraft.errors import MachineError, UserError
from sagecraft.models.config import DecoderConfig, RopeScaling, parse_config, read_config
from sagecraft.models.tensors import TensorRecord, list_tensors
from sagecraft.models.tokenizer import Tokenizer

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

GgufType = Literal["f32", "f16", "bf16", "q8_0"]

#: Largest difference of logits from the original that passes, by type: root mean square over all probe positions and
#: tokens, as a share of the logits' own spread. Seen on SmolLM2-135M (float32): 0, 0.010, 0.065, 0.043; with the rows
#: of q and k left unpermuted 1.0. The largest single difference is no measure here: on a row of random tokens rounding
#: to bf16 moves one logit by 1.25 spreads while 98 % of the likeliest tokens stay the same.
TOLERANCES: dict[GgufType, float] = {"f32": 1e-4, "f16": 0.03, "bf16": 0.15, "q8_0": 0.15}

#: Our families ← llama.cpp's architectures; only `llama` has the permuted rows.
_ARCHITECTURES = {"llama": "llama", "mistral": "llama", "qwen2": "qwen2", "qwen3": "qwen3"}
_LAYER_NAMES = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
_OTHER_NAMES = {
    "model.embed_tokens.weight": "token_embd.weight",
    "model.norm.weight": "output_norm.weight",
    "lm_head.weight": "output.weight",
}
#: Regular expressions of pre-tokenizers ← the name llama.cpp knows them by.
_LETTERS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
_REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_SPLITS = {f"{_LETTERS}{{1,3}}{_REST}": "llama-bpe", f"{_LETTERS}{_REST}": "qwen2"}
_ROPE_FACTORS = "rope_freqs.weight"


@dataclass(frozen=True)
class Match:
    """How far a file's logits are from its original's (see TOLERANCES), over how many positions."""

    difference: float
    num_positions: int


def export(folder: Path, target: Path, kind: GgufType, name: str) -> Match:
    """Writes `target` and compares it with the folder.

    Args:
        folder: a Hugging Face folder of a family that our decoder covers.
        target: the file to write; it is removed again if the check fails.
        kind: type of the matrices; vectors are always float32.
        name: what the model is called.

    Raises:
        UserError: the model or its tokenizer has no GGUF form here.
        MachineError: the file does not compute what the folder does.
    """
    try:
        write(folder, target, kind, name)
        check_tokenizer(folder, target)
        return check(folder, target, kind)
    except Exception:
        target.unlink(missing_ok=True)
        raise


def write(folder: Path, target: Path, kind: GgufType, title: str) -> None:
    """Writes the file: metadata, tokenizer, then the tensors one by one."""
    import numpy as np
    from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, GGUFWriter

    config = parse_config(read_config(folder), folder / "config.json")
    if config.family not in _ARCHITECTURES or config.sliding_layers or config.rope_factor != 1.0:
        raise UserError(
            f"{folder}: Gemma, sliding windows and linear rotary scaling cannot be written as GGUF; "
            "publish without --gguf"
        )
    records = _tensors(folder, config)
    writer = GGUFWriter(target, _ARCHITECTURES[config.family])
    _add_architecture(writer, config, title, kind)
    _add_tokenizer(writer, Tokenizer.from_folder(folder), config.vocab_size)
    types = {name: _type_of(record.shape, kind) for name, record in records.items()}
    for name, record in records.items():
        block, size = GGML_QUANT_SIZES[types[name]]
        # shapes are given in values, so the element type must not look like raw bytes
        writer.add_tensor_info(
            gguf_name(name), record.shape, np.dtype(np.float32), record.num_elements // block * size, types[name]
        )
    factors = rope_factors(config)
    if factors is not None:
        writer.add_tensor_info(_ROPE_FACTORS, factors.shape, factors.dtype, factors.nbytes, GGMLQuantizationType.F32)
    try:
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        for name, values in _weights(records, config):
            writer.write_tensor_data(_quantise(name, values, types[name]))
        if factors is not None:
            writer.write_tensor_data(factors)
    finally:
        writer.close()


def gguf_name(name: str) -> str:
    """llama.cpp's name of a tensor."""
    if name in _OTHER_NAMES:
        return _OTHER_NAMES[name]
    prefix, layer, rest = name.removeprefix("model.").split(".", 2)
    part, _, suffix = rest.rpartition(".")
    if prefix != "layers" or part not in _LAYER_NAMES:
        raise UserError(f"tensor {name}: has no place in a GGUF of this architecture")
    return f"blk.{layer}.{_LAYER_NAMES[part]}.{suffix}"


def permute(weight: Tensor, num_heads: int) -> Tensor:
    """Rows of a q or k projection (or its bias) in llama.cpp's order: (half, pair) of each head becomes (pair, half)."""
    halves = weight.reshape(num_heads, 2, weight.shape[0] // num_heads // 2, *weight.shape[1:])
    return halves.transpose(1, 2).reshape(weight.shape)


def rope_factors(config: DecoderConfig) -> np.ndarray[Any, Any] | None:
    """What llama.cpp divides each rotary frequency by (Llama 3.1's scaling), or None."""
    import numpy as np

    scaling = config.rope_scaling
    if scaling is None:
        return None
    factors = [
        _factor(config.rope_theta ** (-2 * pair / config.head_size), scaling) for pair in range(config.head_size // 2)
    ]
    return np.array(factors, dtype=np.float32)


def _factor(frequency: float, scaling: RopeScaling) -> float:
    turns = scaling.original_max_position_embeddings * frequency / (2 * math.pi)
    smooth = (turns - scaling.low_freq_factor) / (scaling.high_freq_factor - scaling.low_freq_factor)
    smooth = min(max(smooth, 0.0), 1.0)
    return 1 / ((1 - smooth) / scaling.factor + smooth)


def _tensors(folder: Path, config: DecoderConfig) -> dict[str, TensorRecord]:
    """The tensors in the order of the model; what others compute from them is left out."""
    records = {n: r for n, r in list_tensors(folder).items() if not n.endswith("rotary_emb.inv_freq")}
    if config.tied_embeddings:
        records.pop("lm_head.weight", None)

    def place(name: str) -> tuple[int, str]:
        parts = name.split(".")
        return (int(parts[2]), name) if name.startswith("model.layers.") else (-1, name)

    return {name: records[name] for name in sorted(records, key=place)}


def _weights(records: dict[str, TensorRecord], config: DecoderConfig) -> Iterator[tuple[str, Tensor]]:
    """Each tensor in float32, q and k permuted where the architecture asks for it."""
    from safetensors import safe_open

    heads = {"q_proj": config.num_heads, "k_proj": config.num_key_value_heads}
    permuted = _ARCHITECTURES[config.family] == "llama"
    for name, record in records.items():
        with safe_open(str(record.file), framework="pt") as reader:
            values = reader.get_tensor(name).float()
        module = name.split(".")[-2]
        if permuted and module in heads:
            values = permute(values, heads[module])
        yield name, values


def _type_of(shape: tuple[int, ...], kind: GgufType) -> Any:
    from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

    wanted = GGMLQuantizationType[kind.upper()]
    if len(shape) == 1:
        return GGMLQuantizationType.F32
    # llama.cpp's own rule: a row that is no whole number of blocks stays in half precision
    return wanted if shape[-1] % GGML_QUANT_SIZES[wanted][0] == 0 else GGMLQuantizationType.F16


def _quantise(name: str, values: Tensor, kind: Any) -> Any:
    import numpy as np
    from gguf import quants

    with np.errstate(over="ignore"):
        data = quants.quantize(values.contiguous().numpy(), kind)
    if data.dtype.kind == "f" and not np.isfinite(data).all():
        raise UserError(f"{name}: holds values that {kind.name} cannot; choose --gguf bf16 or f32")
    return data


def _add_architecture(writer: Any, config: DecoderConfig, name: str, kind: GgufType) -> None:
    from gguf import LlamaFileType

    named = {"f32": "ALL_F32", "f16": "MOSTLY_F16", "bf16": "MOSTLY_BF16", "q8_0": "MOSTLY_Q8_0"}
    writer.add_name(name)
    writer.add_file_type(LlamaFileType[named[kind]])
    writer.add_quantization_version(2)
    writer.add_vocab_size(config.vocab_size)
    writer.add_context_length(config.max_positions)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(config.head_size)
    writer.add_value_length(config.head_size)
    writer.add_rope_dimension_count(config.head_size)
    writer.add_rope_freq_base(config.rope_theta)
    writer.add_layer_norm_rms_eps(config.norm_eps)


def _add_tokenizer(writer: Any, tokenizer: Tokenizer, num_rows: int) -> None:
    """Vocabulary, merges, special tokens and chat template."""
    path = tokenizer.folder / "tokenizer.json"
    stored = json.loads(path.read_text(encoding="utf-8"))
    model = stored.get("model") or {}
    if model.get("type", "BPE") != "BPE" or model.get("byte_fallback"):
        raise UserError(f"{path}: only byte-level BPE tokenizers are written to GGUF; publish without --gguf")
    tokens, types = vocabulary(stored, num_rows)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre_tokenizer_name(stored.get("pre_tokenizer"), path))
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_merges([m if isinstance(m, str) else " ".join(m) for m in model.get("merges", [])])
    ids = {token: index for index, token in enumerate(tokens)}
    for key, add in (
        ("bos_token", writer.add_bos_token_id),
        ("unk_token", writer.add_unk_token_id),
    ):
        value = tokenizer.config.get(key)
        text = value.get("content") if isinstance(value, dict) else value
        if isinstance(text, str) and text in ids:
            add(ids[text])
    writer.add_eos_token_id(tokenizer.eos_id)
    writer.add_pad_token_id(tokenizer.pad_id)
    writer.add_add_bos_token(tokenizer.bos_id is not None)
    if tokenizer.tool_template is not None:
        named = {"default": tokenizer.chat_template, "tool_use": tokenizer.tool_template}
        writer.add_chat_template([{"name": name, "template": text} for name, text in named.items()])
    elif tokenizer.chat_template is not None:
        writer.add_chat_template(tokenizer.chat_template)


def vocabulary(stored: dict[str, Any], num_rows: int) -> tuple[list[str], list[int]]:
    """Text and kind of each row of the embedding table, from `tokenizer.json`; rows without a token are unused."""
    from gguf import TokenType

    texts = {index: text for text, index in stored["model"]["vocab"].items()}
    kinds = dict.fromkeys(texts, TokenType.NORMAL)
    for token in stored.get("added_tokens", []):
        texts[token["id"]] = token["content"]
        kinds[token["id"]] = TokenType.CONTROL if token.get("special") else TokenType.USER_DEFINED
    if max(texts) >= num_rows:
        raise UserError(f"tokenizer.json: token {max(texts)} has no row in the model's table of {num_rows:,}")
    rows = range(num_rows)
    return [texts.get(n, f"[PAD{n}]") for n in rows], [int(kinds.get(n, TokenType.UNUSED)) for n in rows]


def pre_tokenizer_name(value: Any, path: Path) -> str:
    """The name by which llama.cpp knows a pre-tokenizer.

    Raises:
        UserError: it is not one of those known here; a wrong one would cut text differently without a word.
    """
    steps = (value.get("pretokenizers") if value and value.get("type") == "Sequence" else [value]) or [None]
    kinds = [step.get("type") if isinstance(step, dict) else None for step in steps]
    if kinds == ["ByteLevel"] and not steps[0].get("add_prefix_space") and steps[0].get("use_regex", True):
        return "gpt-2"
    if kinds == ["Digits", "ByteLevel"] and steps[0].get("individual_digits") and steps[1].get("use_regex", True):
        return "smollm"
    if kinds == ["Split", "ByteLevel"] and not steps[1].get("use_regex", True):
        pattern = steps[0].get("pattern", {}).get("Regex")
        if pattern in _SPLITS:
            return _SPLITS[pattern]
    known = ", ".join(["gpt-2", "smollm", *_SPLITS.values()])
    raise UserError(f"{path}: pre-tokenizer is none of {known}; publish without --gguf")


def check(folder: Path, target: Path, kind: GgufType) -> Match:
    """Compares the file, read and computed by transformers, with the folder, computed by our decoder in float32.

    transformers knows nothing of Llama 3.1's rotary factors in a GGUF, so there its settings come from the folder;
    all else (names, order of rows, head counts, norms, base frequency, vocabulary) is the file's own word.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM
    from transformers.utils import logging

    from sagecraft.models.load import load_model
    from sagecraft.models.parity import our_logits, rows_for, their_logits

    logging.disable_progress_bar()
    ours = load_model(folder)
    scaling = parse_config(read_config(folder), folder / "config.json").rope_scaling
    with tempfile.TemporaryDirectory(prefix="sagecraft-gguf-") as place:
        # apart from the folder's own config.json, which transformers would read instead of the file's
        alone = Path(place) / "model.gguf"
        try:
            alone.hardlink_to(target.resolve())
        except OSError:
            shutil.copyfile(target, alone)
        settings = AutoConfig.from_pretrained(place, gguf_file=alone.name)
        settings.head_dim = _head_size(target)  # the file states it; transformers assumes 128 for qwen3
        if scaling is not None:
            settings.rope_parameters = {
                "rope_type": "llama3",
                "rope_theta": settings.rope_parameters["rope_theta"],
                **scaling.model_dump(),
            }
        try:
            theirs = AutoModelForCausalLM.from_pretrained(
                place, gguf_file=alone.name, config=settings, dtype=torch.float32
            )
        except (ValueError, KeyError, RuntimeError) as error:
            raise MachineError(f"{target}: transformers cannot read it back ({error}); nothing was kept") from error
    theirs.eval()
    # not the row over the whole context: there a type's rounding goes far (q8_0: 0.139 for 0.043) and says little
    rows = [row for row in rows_for(ours.model, ours.tokenizer) if row.is_plain]
    match = compare(our_logits(ours.model, rows), their_logits(theirs, rows))
    if not match.difference <= TOLERANCES[kind]:
        raise MachineError(
            f"{target}: logits differ from the original's by {match.difference:.3g} of their spread, "
            f"{TOLERANCES[kind]:g} is allowed for {kind}; nothing was kept"
        )
    return match


def compare(ours: Sequence[Tensor], theirs: Sequence[Tensor]) -> Match:
    """How far logits [T, V] of the same rows are apart; the row where they differ most counts."""
    worst = 0.0
    for one, two in zip(ours, theirs, strict=True):
        share = ((one.double() - two.double()).pow(2).mean().sqrt() / one.double().std()).item()
        worst = max(worst, share) if not math.isnan(share) else math.nan
    return Match(worst, sum(map(len, ours)))


def _head_size(target: Path) -> int:
    from gguf import GGUFReader

    fields = GGUFReader(target).fields
    return int(fields[f"{fields['general.architecture'].contents()}.attention.key_length"].contents())


def check_tokenizer(folder: Path, target: Path) -> None:
    """Reads vocabulary and merges back; where the pre-tokenizer can be rebuilt, compares token ids of the probe text."""
    from gguf import GGUFReader

    from sagecraft.models.gguf_source import save_gguf_tokenizer
    from sagecraft.models.parity import PROBE

    fields = GGUFReader(target).fields
    original = Tokenizer.from_folder(folder)
    tokens = fields["tokenizer.ggml.tokens"].contents()
    known = [original.token_text(index) for index in range(len(tokens))]
    wrong = [n for n, (ours, theirs) in enumerate(zip(known, tokens, strict=True)) if ours and ours != theirs]
    if wrong:
        raise MachineError(f"{target}: token {wrong[0]} reads back as {tokens[wrong[0]]!r}; nothing was kept")
    if fields["tokenizer.ggml.pre"].contents() not in ("smollm", "gpt-2"):
        return
    with tempfile.TemporaryDirectory(prefix="sagecraft-gguf-") as place:
        save_gguf_tokenizer(target, Path(place))
        rebuilt = Tokenizer.from_folder(Path(place))
        if rebuilt.encode(PROBE) != original.encode(PROBE):
            raise MachineError(f"{target}: its tokenizer cuts the probe text differently; nothing was kept")
