from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from pico import pico_config, pico_model, pico_tokenizer, transformers_model
from sagecraft.errors import UserError
from sagecraft.models.config import parse_config, read_config
from sagecraft.models.decoder import Cache
from sagecraft.models.foreign import ForeignDecoder
from sagecraft.models.load import load_model
from sagecraft.models.save import save_model

FAMILIES: dict[str, dict[str, Any]] = {
    "llama": {},
    "llama-untied": {"tie_word_embeddings": False},
    "llama-3.1-rope": {
        "max_position_embeddings": 1024,
        "rope_parameters": {
            "rope_theta": 10000.0,
            "rope_type": "llama3",
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 64,
        },
    },
    "llama-bias": {"attention_bias": True},
    "mistral": {"model_type": "mistral", "architectures": ["MistralForCausalLM"], "sliding_window": None},
    "qwen2": {"model_type": "qwen2", "architectures": ["Qwen2ForCausalLM"]},
    "qwen3": {"model_type": "qwen3", "architectures": ["Qwen3ForCausalLM"], "head_dim": 16},
    "padded-vocabulary": {"vocab_size": 384},
    "one-key-head-wider-than-hidden": {"num_key_value_heads": 1, "head_dim": 24, "tie_word_embeddings": False},
    "mistral-window": {
        "model_type": "mistral",
        "architectures": ["MistralForCausalLM"],
        "sliding_window": 9,
    },
    "gemma": {"model_type": "gemma", "hidden_act": "gelu_pytorch_tanh", "architectures": ["GemmaForCausalLM"]},
    "gemma3": {
        "model_type": "gemma3_text",
        "architectures": ["Gemma3ForCausalLM"],
        "hidden_activation": "gelu_pytorch_tanh",
        "sliding_window": 9,
        "sliding_window_pattern": 2,
        "rope_parameters": None,
    },
    "window-wider-than-context": {
        "model_type": "mistral",
        "architectures": ["MistralForCausalLM"],
        "sliding_window": 512,
    },
}


@pytest.mark.parametrize("family", FAMILIES)
def test_logits_equal_transformers(family: str, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    folder = pico_model(tmp_path / "model", **FAMILIES[family])
    ours = load_model(folder, "float64").model
    theirs = AutoModelForCausalLM.from_pretrained(str(folder), dtype=torch.float64).eval()
    ids = torch.randint(0, 320, (2, 100), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        difference = (ours.logits(ours(ids)) - theirs(ids).logits).abs().max().item()
        spread = theirs(ids).logits.std().item()
    # rotary tables are float32 in both, and their roundings differ
    assert difference < 1e-6
    assert spread > 0.01, "logits that hardly vary would prove nothing"


WINDOWS = ["llama", "mistral-window", "gemma3"]


@pytest.mark.parametrize("family", WINDOWS)
def test_packed_equals_separate(family: str, tmp_path: Path) -> None:
    model = load_model(pico_model(tmp_path / "model", **FAMILIES[family]), "float64").model
    generator = torch.Generator().manual_seed(2)
    pieces = [torch.randint(0, 320, (n,), generator=generator) for n in (5, 1, 17, 40)]
    boundaries = [0, 5, 6, 23, 63]
    with torch.no_grad():
        packed = model(torch.cat(pieces), boundaries=boundaries)
        for piece, start in zip(pieces, boundaries, strict=False):
            alone = model(piece[None])[0]
            torch.testing.assert_close(packed[start : start + len(piece)], alone, rtol=0, atol=1e-9)


@pytest.mark.parametrize("family", WINDOWS)
def test_cache_equals_whole(family: str, tmp_path: Path) -> None:
    model = load_model(pico_model(tmp_path / "model", **FAMILIES[family]), "float64").model
    ids = torch.randint(0, 320, (1, 30), generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        whole = model(ids)
        cache = Cache(model.config.num_layers)
        parts = [model(ids[:, a:b], cache=cache) for a, b in ((0, 12), (12, 13), (13, 30))]
    torch.testing.assert_close(torch.cat(parts, dim=1), whole, rtol=0, atol=1e-9)


def test_number_of_parameters(tmp_path: Path) -> None:
    for name, overrides in FAMILIES.items():
        model = load_model(pico_model(tmp_path / name, **overrides)).model
        assert model.config.num_parameters() == sum(p.numel() for p in model.parameters()), name


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda data: b"", "0 bytes"),
        (lambda data: data[:-100], "promises"),
        (lambda data: b"\xff" * 8 + data[8:], "header of"),
        (lambda data: data[:8] + b"x" + data[9:], "not readable"),
        (lambda data: data.replace(b"[320,32]", b"[320,31]"), "disagree"),
    ],
)
def test_damaged_weights_are_one_clear_line(damage: Any, message: str, tmp_path: Path) -> None:
    folder = pico_model(tmp_path / "model")
    weights = folder / "model.safetensors"
    weights.write_bytes(damage(weights.read_bytes()))
    with pytest.raises(UserError, match=message) as caught:
        load_model(folder)
    assert "\n" not in str(caught.value)
    assert "model.safetensors" in str(caught.value)


def test_values_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    folder = pico_model(tmp_path / "model")
    tensors = load_file(folder / "model.safetensors")
    tensors["model.norm.weight"][0] = float("nan")
    save_file(tensors, folder / "model.safetensors")
    with pytest.raises(UserError, match=r"model\.norm\.weight holds values that are not finite"):
        load_model(folder)


def test_other_families_run_through_transformers(tmp_path: Path) -> None:
    model = load_model(transformers_model(tmp_path / "olmo", "olmo2"), "float64").model
    assert isinstance(model, ForeignDecoder)
    generator = torch.Generator().manual_seed(4)
    prefix = torch.randint(0, 320, (1, 30), generator=generator)
    more = torch.randint(0, 320, (3, 5), generator=generator)
    with torch.no_grad():
        cache = model.new_cache()
        first = model(prefix, cache=cache)
        later = model(more, cache=cache.fork())
        whole = model(torch.cat((prefix.expand(3, -1), more), dim=1))
        packed = model(torch.cat((prefix[0], more[0])), boundaries=[0, 30, 35])
        alone = model(more[:1])
    torch.testing.assert_close(first, whole[:1, :30], rtol=0, atol=1e-9)
    torch.testing.assert_close(later, whole[:, 30:], rtol=0, atol=1e-9)
    torch.testing.assert_close(packed[30:], alone[0], rtol=0, atol=1e-9)
    assert cache.length == 30


def test_unknown_families_are_refused_by_name(tmp_path: Path) -> None:
    folder = pico_model(tmp_path / "model")
    config = folder / "config.json"
    config.write_text(config.read_text().replace('"llama"', '"nonsense"'))
    with pytest.raises(UserError, match="nonsense"):
        load_model(folder)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_weights_in_shards_equal_transformers(dtype: str, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    folder = pico_model(tmp_path / "one", dtype=dtype, tie_word_embeddings=False)
    tensors = load_file(folder / "model.safetensors")
    save_model(tmp_path / "many", tensors, read_config(folder), folder, shard_bytes=9000)
    assert len(list((tmp_path / "many").glob("model-*.safetensors"))) > 3
    theirs = AutoModelForCausalLM.from_pretrained(str(tmp_path / "many"), dtype=torch.float32).eval()
    ours = load_model(tmp_path / "many").model
    ids = torch.arange(60)[None]
    with torch.no_grad():
        torch.testing.assert_close(ours.logits(ours(ids)), theirs(ids).logits, rtol=0, atol=1e-5)


def test_the_library_fills_in_a_window_that_the_file_does_not_name() -> None:
    config = pico_config(model_type="mistral", max_position_embeddings=8192)
    assert parse_config(config).sliding_window == 4096, "as transformers does where the key is missing"
    assert parse_config({**config, "sliding_window": None}).sliding_window is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rope_parameters": {"rope_type": "llama3", "factor": 8.0}}, "low_freq_factor"),
        ({"vocab_size": "many"}, "vocab_size"),
        ({"num_attention_heads": 0, "head_dim": None}, "num_attention_heads"),
        ({"num_key_value_heads": 3}, "4 heads cannot share 3"),
        ({"hidden_size": -32}, "hidden_size is -32"),
        ({"hidden_size": None, "head_dim": None}, "hidden_size"),
    ],
)
def test_a_nonsensical_configuration_is_one_line(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    folder = pico_model(tmp_path / "model")
    config = folder / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), **changes}))
    with pytest.raises(UserError, match=message) as caught:
        load_model(folder)
    assert str(caught.value).startswith(str(config))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("index", ["[]", "{}", '{"weight_map": {"a": 1}}', '{"weight_map": {"a": "../b"}}'])
def test_an_index_that_is_none_is_one_line(index: str, tmp_path: Path) -> None:
    folder = pico_model(tmp_path / "model")
    (folder / "model.safetensors.index.json").write_text(index)
    with pytest.raises(UserError, match=r"model\.safetensors\.index\.json"):
        load_model(folder)


def test_a_header_that_nests_without_end_is_one_line(tmp_path: Path) -> None:
    folder = pico_model(tmp_path / "model")
    text = b"[" * 200_000
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text)
    with pytest.raises(UserError, match="header is not readable"):
        load_model(folder)


def test_other_families_with_missing_weights_are_refused(tmp_path: Path) -> None:
    folder = transformers_model(tmp_path / "olmo", "olmo2")
    tensors = load_file(folder / "model.safetensors")
    del tensors["model.layers.1.mlp.up_proj.weight"]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match=r"model\.layers\.1\.mlp\.up_proj\.weight"):
        load_model(folder)


def test_heads_that_are_more_than_a_matrix_are_refused(tmp_path: Path) -> None:
    from transformers import CohereConfig, CohereForCausalLM

    config = CohereConfig(
        vocab_size=320, hidden_size=32, intermediate_size=64, num_hidden_layers=1, num_attention_heads=4,
        num_key_value_heads=2, logit_scale=0.25,
    )  # fmt: skip
    torch.manual_seed(0)
    CohereForCausalLM(config).save_pretrained(tmp_path / "cohere")
    pico_tokenizer(tmp_path / "cohere")
    with pytest.raises(UserError, match="caps, scales or shifts its logits"):
        load_model(tmp_path / "cohere")
