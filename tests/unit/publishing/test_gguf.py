from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pico import pico_model, pico_tokenizer, transformers_model
from sagecraft.errors import MachineError, UserError
from sagecraft.publishing import gguf
from sagecraft.publishing.gguf import TOLERANCES, export, pre_tokenizer_name, vocabulary

LLAMA_3_ROPE = {
    "rope_theta": 10000.0, "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}  # fmt: skip
SHAPES: dict[str, dict[str, Any]] = {
    "tied": {},
    "untied": {"tie_word_embeddings": False},
    "llama-3.1": {"rope_parameters": LLAMA_3_ROPE},
    "mistral": {"model_type": "mistral", "architectures": ["MistralForCausalLM"]},
    "qwen2": {"model_type": "qwen2", "architectures": ["Qwen2ForCausalLM"], "attention_bias": True},
    "qwen3": {"model_type": "qwen3", "architectures": ["Qwen3ForCausalLM"]},
}


@pytest.mark.parametrize("shape", SHAPES)
def test_transformers_computes_from_the_file_what_we_compute_from_the_folder(shape: str, tmp_path: Path) -> None:
    model = pico_model(tmp_path / "model", **SHAPES[shape])
    assert export(model, tmp_path / "m.gguf", "f32", "pico").difference < 1e-6


@pytest.mark.parametrize("kind", TOLERANCES)
def test_each_type_is_smaller_and_within_its_tolerance(kind: Any, tmp_path: Path) -> None:
    match = export(pico_model(tmp_path / "model"), tmp_path / "m.gguf", kind, "pico")
    assert match.difference <= TOLERANCES[kind]
    assert (match.difference == 0) == (kind == "f32")
    size = {"f32": 4, "f16": 2, "bf16": 2, "q8_0": 1.0625}[kind]
    num_weights = 320 * 32 + 2 * (2 * 32 * 32 + 2 * 16 * 32 + 3 * 64 * 32)
    assert 0 < (tmp_path / "m.gguf").stat().st_size - size * num_weights < 25_000


def test_equal_models_give_equal_bytes(tmp_path: Path) -> None:
    for name in "ab":
        export(pico_model(tmp_path / name), tmp_path / f"{name}.gguf", "q8_0", "pico")
    assert (tmp_path / "a.gguf").read_bytes() == (tmp_path / "b.gguf").read_bytes()


@pytest.mark.parametrize("kind", TOLERANCES)
def test_the_check_finds_rows_in_the_wrong_order(kind: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # weights as large as a trained model's: with pico's small ones attention hardly matters
    model = _loud(tmp_path / "model")
    export(model, tmp_path / "right.gguf", kind, "pico")
    monkeypatch.setattr(gguf, "permute", lambda weight, num_heads: weight)
    with pytest.raises(MachineError, match="nothing was kept"):
        export(model, tmp_path / "wrong.gguf", kind, "pico")
    assert not (tmp_path / "wrong.gguf").exists()


def _loud(folder: Path) -> Path:
    from safetensors.torch import load_file, save_file

    pico_model(folder)
    tensors = load_file(folder / "model.safetensors")
    loud = {name: value * (8 if "self_attn" in name else 1) for name, value in tensors.items()}
    save_file(loud, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def test_values_too_large_for_half_precision_are_refused(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    model = pico_model(tmp_path / "model")
    tensors = load_file(model / "model.safetensors")
    tensors["model.layers.0.mlp.up_proj.weight"][0, 0] = 1e5
    save_file(tensors, model / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match="choose --gguf bf16"):
        export(model, tmp_path / "m.gguf", "f16", "pico")
    assert not (tmp_path / "m.gguf").exists()


def test_metadata_special_tokens_and_template_travel(tmp_path: Path) -> None:
    from gguf import GGUFReader

    model = pico_model(tmp_path / "model")
    export(model, tmp_path / "m.gguf", "f32", "a name")
    fields = {name: field.contents() for name, field in GGUFReader(tmp_path / "m.gguf").fields.items()}
    config = json.loads((model / "tokenizer_config.json").read_text())
    assert fields["general.name"] == "a name"
    assert fields["tokenizer.chat_template"] == config["chat_template"]
    assert fields["tokenizer.ggml.pre"] == "gpt-2"
    tokens = fields["tokenizer.ggml.tokens"]
    assert tokens[fields["tokenizer.ggml.eos_token_id"]] == "<|im_end|>"
    assert tokens[fields["tokenizer.ggml.bos_token_id"]] == "<|im_start|>"
    assert fields["tokenizer.ggml.add_bos_token"] is False
    assert fields["tokenizer.ggml.token_type"][tokens.index("<|im_end|>")] == 3
    assert fields["llama.rope.freq_base"] == 10000.0


BYTES = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True}
DIGITS = {"type": "Digits", "individual_digits": True}


def test_pre_tokenizers_are_known_by_what_they_do(tmp_path: Path) -> None:
    where = tmp_path / "tokenizer.json"
    assert pre_tokenizer_name(BYTES, where) == "gpt-2"
    assert pre_tokenizer_name({"type": "Sequence", "pretokenizers": [DIGITS, BYTES]}, where) == "smollm"
    for pattern, name in gguf._SPLITS.items():
        split = {"type": "Split", "pattern": {"Regex": pattern}}
        steps = [split, {**BYTES, "use_regex": False}]
        assert pre_tokenizer_name({"type": "Sequence", "pretokenizers": steps}, where) == name
    for unknown in (None, {"type": "Metaspace"}, {"type": "Sequence", "pretokenizers": [BYTES, DIGITS]}):
        with pytest.raises(UserError, match="without --gguf"):
            pre_tokenizer_name(unknown, where)


def test_rows_without_a_token_are_unused_and_tokens_without_a_row_refused(tmp_path: Path) -> None:
    stored = json.loads((pico_tokenizer(tmp_path) / "tokenizer.json").read_text())
    tokens, types = vocabulary(stored, 330)
    assert len(tokens) == len(types) == 330
    assert len(set(tokens)) == 330
    assert types[-1] == 5
    with pytest.raises(UserError, match="no row"):
        vocabulary(stored, 100)


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("gemma", {}),
        ("gemma3_text", {"sliding_window": 24}),
        ("mistral", {"sliding_window": 24}),
        ("llama", {"rope_parameters": {"rope_type": "linear", "factor": 4.0, "rope_theta": 1e4}}),
    ],
)
def test_what_the_format_would_lose_is_refused(kind: str, changes: dict[str, Any], tmp_path: Path) -> None:
    folder = transformers_model(tmp_path / "model", kind, **changes)
    with pytest.raises(UserError, match="publish without --gguf"):
        export(folder, tmp_path / "m.gguf", "f32", "model")
    assert not (tmp_path / "m.gguf").exists()
