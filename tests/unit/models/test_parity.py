"""The parity gate passes models that transformers itself made, and finds each of the faults that conversions have had."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from pico import pico_model, pico_tokenizer, transformers_model
from sagecraft.errors import MachineError, UserError
from sagecraft.models import parity, streaming
from sagecraft.models.config import FAMILIES, parse_config, read_config
from sagecraft.models.decoder import Decoder, RMSNorm
from sagecraft.models.load import load_model, parameters_by_file_name
from sagecraft.models.parity import check_conversion, check_folder, check_model

_LLAMA3 = {
    "rope_theta": 10000.0, "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}  # fmt: skip
#: Name → `model_type` and what differs from `pico.transformers_model`'s sizes.
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("llama", {}),
    "llama-tied-large-epsilon": ("llama", {"tie_word_embeddings": True, "rms_norm_eps": 0.1}),
    "llama-3.1": ("llama", {"rope_parameters": _LLAMA3}),
    "llama-linear-rope": ("llama", {"rope_parameters": {"rope_type": "linear", "factor": 4.0, "rope_theta": 5000.0}}),
    "llama-bias": ("llama", {"attention_bias": True}),
    "llama-three-groups-wide-heads": ("llama", {"num_attention_heads": 6, "num_key_value_heads": 3, "hidden_size": 48,
                                                "head_dim": 10}),
    "llama-padded-vocabulary": ("llama", {"vocab_size": 384, "tie_word_embeddings": True}),
    "mistral": ("mistral", {"sliding_window": None}),
    "mistral-window": ("mistral", {"sliding_window": 24}),
    "qwen2": ("qwen2", {}),
    "qwen2-some-windows": ("qwen2", {"use_sliding_window": True, "sliding_window": 24, "max_window_layers": 1}),
    "qwen3": ("qwen3", {"head_dim": 12}),
    "gemma": ("gemma", {"head_dim": 16}),
    "gemma3": ("gemma3_text", {"sliding_window": 24, "sliding_window_pattern": 2, "query_pre_attn_scalar": 20}),
    "gemma3-linear-rope-untied": ("gemma3_text", {
        "sliding_window": 24, "layer_types": ["full_attention", "sliding_attention"], "tie_word_embeddings": False,
        "rope_parameters": {"full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1e6},
                            "sliding_attention": {"rope_type": "default", "rope_theta": 1e4}}}),
}  # fmt: skip


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    place, made = tmp_path_factory.mktemp("parity"), dict[str, Path]()

    def get(name: str) -> Path:
        if name not in made:
            made[name] = transformers_model(place / name, MODELS[name][0], **MODELS[name][1])
        return made[name]

    return get


@pytest.mark.parametrize("name", MODELS)
def test_logits_equal_transformers(name: str, folders: Callable[[str], Path]) -> None:
    folder = folders(name)
    found = check_folder(folder, "float64")
    assert found.relative < 1e-11, "float64 leaves no room"
    assert found.farthest == 511
    assert found.num_positions > 200
    loaded = load_model(folder).model
    assert isinstance(loaded, Decoder), "a family of our own must not run through transformers"
    assert check_model(loaded, folder).relative < 1e-4
    assert check_folder(folder, "bfloat16").relative < 0.04, "native kernels, where there are any"


def test_other_families_are_compared_where_positions_count_from_nought(tmp_path: Path) -> None:
    folder = transformers_model(tmp_path / "olmo", "olmo2")
    found = check_folder(folder, "float64")
    assert found.relative < 1e-11
    assert found.farthest < 200
    loaded = load_model(folder).model
    with torch.no_grad():
        loaded.lm_head.weight[5] += 0.01
    with pytest.raises(MachineError, match="nothing was kept"):
        check_model(loaded, folder)


@pytest.mark.parametrize("family", FAMILIES)
def test_keys_that_are_left_out_are_read_as_transformers_reads_them(family: str) -> None:
    from transformers import AutoConfig

    assert parse_config({"model_type": family}) == parse_config(AutoConfig.for_model(family).to_dict())


def test_too_large_for_memory_goes_layer_by_layer(
    folders: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaming, "free_bytes", lambda: 1000)
    for name in ("llama-3.1", "gemma3", "qwen2"):
        found = check_folder(folders(name), "float64")
        assert found.by_layer
        assert found.relative < 1e-11
        assert check_model(load_model(folders(name), "float64").model, folders(name)).by_layer
    model = streaming.stream_model(folders("llama"), torch.float32)
    assert all(parameter.is_meta for parameter in model.layers.parameters()), "layers must be dropped after a pass"


@pytest.mark.parametrize("name", MODELS)
def test_one_pass_a_layer_at_a_time_gives_what_the_whole_model_gives(name: str, folders: Callable[[str], Path]) -> None:
    opening = [5, 17, 9]
    found, next_token = parity.check_by_layer(folders(name), opening)
    assert found.relative < 1e-4
    assert found.num_positions == 64
    assert found.farthest == 511
    model = load_model(folders(name)).model
    with torch.inference_mode():
        assert next_token == int(model.logits(model(torch.tensor([opening])))[0, -1].argmax())
    streamed = streaming.stream_model(folders(name), torch.float32)
    cache = streamed.new_cache()
    with torch.inference_mode():
        whole = model.logits(model(torch.tensor([opening])))[0, -1]
        streamed(torch.tensor([opening[:2]]), cache=cache)
        last = streamed.logits(streamed(torch.tensor([opening[2:]]), cache=cache))[0, -1]
    torch.testing.assert_close(last, whole, rtol=1e-4, atol=1e-5)
    assert all(parameter.is_meta for parameter in streamed.parameters()), "nothing is kept"


def test_a_fault_shows_in_few_tokens_too(folders: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    right = parity.stream_model

    def wrong(folder: Path, dtype: torch.dtype) -> Decoder:
        model = right(folder, dtype)
        model.config = model.config.model_copy(update={"rope_theta": model.config.rope_theta * 1.05})
        return model

    monkeypatch.setattr(parity, "stream_model", wrong)
    with pytest.raises(MachineError, match="nothing was kept"):
        parity.check_by_layer(folders("llama"), [1, 2])


def test_weights_that_are_no_numbers_are_found_in_any_part(folders: Callable[[str], Path], tmp_path: Path) -> None:
    import shutil

    for name in ("model.embed_tokens.weight", "model.layers.1.mlp.up_proj.weight", "lm_head.weight"):
        made = shutil.copytree(folders("llama"), tmp_path / name)
        tensors = load_file(made / "model.safetensors")
        tensors[name][:] = float("inf")
        save_file(tensors, made / "model.safetensors", metadata={"format": "pt"})
        with pytest.raises(UserError, match=f"{name} holds values that are not finite"):
            parity.check_by_layer(made, [1])


Fault = Callable[[Decoder], None]


def _split_heads_wrongly(model: Decoder) -> None:
    """The published pipeline's bug: rows of the keys' heads dealt out as if they were interleaved."""
    weight = model.layers[0].self_attn.k_proj.weight
    groups = model.config.num_key_value_heads
    weight.data = weight.data.view(-1, groups, weight.shape[1]).transpose(0, 1).reshape(weight.shape).contiguous()


def _forget_the_one(model: Decoder) -> None:
    for module in model.modules():
        if isinstance(module, RMSNorm):
            module.from_one = False


def _change_config(**changes: Any) -> Fault:
    def fault(model: Decoder) -> None:
        model.config = model.config.model_copy(update=changes)

    return fault


def _transpose(model: Decoder) -> None:
    weight = model.layers[1].self_attn.q_proj.weight
    weight.data = weight.data.T.contiguous()


def _untie(model: Decoder) -> None:
    model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.detach().roll(1, 0))


def _small_epsilon(model: Decoder) -> None:
    model.layers[1].post_attention_layernorm.eps = 1e-6


def _epsilon_outside_the_root(model: Decoder) -> None:
    class Outside(RMSNorm):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.weight * x / (x.pow(2).mean(-1, keepdim=True).sqrt() + self.eps)

    model.norm.__class__ = Outside


def _wide_window(model: Decoder) -> None:
    for layer in model.layers:
        layer.self_attn.window = None


def _plain_scale(model: Decoder) -> None:
    model.layers[0].self_attn.scale = None


def _drop_bias(model: Decoder) -> None:
    model.layers[0].self_attn.v_proj.bias.data.zero_()


def _drop_head_norm(model: Decoder) -> None:
    model.layers[0].self_attn.q_norm = torch.nn.Identity()


def _one_padding_row(model: Decoder) -> None:
    model.lm_head.weight.data[383] += 0.01


def _exact_gelu(model: Decoder) -> None:
    model.layers[0].mlp.activation = "silu"


FAULTS: dict[str, tuple[str, Fault]] = {
    "epsilon": ("llama-tied-large-epsilon", _small_epsilon),
    "epsilon-outside-the-root": ("llama-tied-large-epsilon", _epsilon_outside_the_root),
    "key-heads": ("llama-three-groups-wide-heads", _split_heads_wrongly),
    "rope-theta": ("llama", _change_config(rope_theta=10500.0)),
    "rope-scaling": ("llama-3.1", _change_config(rope_scaling=None)),
    "linear-rope": ("llama-linear-rope", _change_config(rope_factor=1.0)),
    "transposed-matrix": ("llama", _transpose),
    "norm-from-one": ("gemma", _forget_the_one),
    "embedding-scale": ("gemma", _change_config(embedding_scale=1.0)),
    "untied-head": ("llama-padded-vocabulary", _untie),
    "padding-row": ("llama-padded-vocabulary", _one_padding_row),
    "window": ("mistral-window", _wide_window),
    "local-rope": ("gemma3", _change_config(local_rope_theta=1e6)),
    "query-scale": ("gemma3", _plain_scale),
    "activation": ("gemma", _exact_gelu),
    "bias": ("qwen2", _drop_bias),
    "head-norm": ("qwen3", _drop_head_norm),
}


@pytest.mark.parametrize("name", FAULTS)
def test_faults_are_found(name: str, folders: Callable[[str], Path]) -> None:
    family, fault = FAULTS[name]
    model = load_model(folders(family)).model
    assert isinstance(model, Decoder)
    fault(model)
    with pytest.raises(MachineError, match="nothing was kept") as caught:
        check_model(model, folders(family))
    assert "\n" not in str(caught.value)


def test_rotary_scaling_counts_at_its_distances(
    folders: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A base 1 % off moves the row over the whole context most: that row is there for a reason."""
    model = load_model(folders("llama-3.1"), "float64").model
    model.config = model.config.model_copy(update={"rope_theta": 10100.0})
    rows = parity.rows_for(model, load_model(folders("llama-3.1")).tokenizer)
    ours, theirs = parity.our_logits(model, rows), parity.oracle_logits(folders("llama-3.1"), rows, torch.float64)
    moved = [parity.compare([one], [two], torch.float64)[1] for one, two in zip(ours, theirs, strict=True)]
    assert rows[2].farthest == 511
    assert moved[2] > 2 * max(moved[:2])


@pytest.mark.parametrize("stored", ["bfloat16", "float16"])
def test_what_was_saved_is_what_was_trained(stored: str, tmp_path: Path) -> None:
    """A float32 model and its rounded folder: no difference but the rounding; one weight changed afterwards is found."""
    model = load_model(pico_model(tmp_path / "model")).model
    rounded = tmp_path / "rounded"
    library = load_file(tmp_path / "model/model.safetensors")
    with torch.no_grad():
        for name, parameter in parameters_by_file_name(model).items():
            parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)) * 1e-3)
            library[name] = parameter.detach().clone()
    pico_tokenizer(rounded)
    (rounded / "config.json").write_text((tmp_path / "model/config.json").read_text())
    save_file({n: t.to(getattr(torch, stored)) for n, t in library.items()}, rounded / "model.safetensors",
              metadata={"format": "pt"})  # fmt: skip
    before = {name: parameter.detach().clone() for name, parameter in parameters_by_file_name(model).items()}
    assert check_model(model, rounded).relative < 1e-4
    for name, parameter in parameters_by_file_name(model).items():
        assert torch.equal(parameter, before[name]), "the trained weights come back unrounded"
    with torch.no_grad():
        model.layers[1].mlp.up_proj.weight[3] += 0.05
    with pytest.raises(MachineError, match="nothing was kept"):
        check_model(model, rounded)


@pytest.mark.parametrize("fault", ["shifted-rows", "swapped-layers", "epsilon"])
def test_faults_of_a_conversion_are_found(fault: str, folders: Callable[[str], Path], tmp_path: Path) -> None:
    """The folder loads and both sides agree on it, but it is not what it was made from."""
    from transformers import AutoModelForCausalLM

    name = "llama-tied-large-epsilon"
    source = AutoModelForCausalLM.from_pretrained(str(folders(name)), dtype=torch.float32).eval()
    made = pico_tokenizer(tmp_path / "made")
    tensors, config = load_file(folders(name) / "model.safetensors"), read_config(folders(name))
    (made / "config.json").write_text(json.dumps(config))
    save_file(tensors, made / "model.safetensors", metadata={"format": "pt"})
    assert check_conversion(source, made).relative < 1e-4
    if fault == "shifted-rows":
        tensors["model.embed_tokens.weight"] = tensors["model.embed_tokens.weight"].roll(1, 0)
    elif fault == "swapped-layers":
        one, two = "model.layers.0.mlp.up_proj.weight", "model.layers.1.mlp.up_proj.weight"
        tensors[one], tensors[two] = tensors[two], tensors[one]
    else:
        (made / "config.json").write_text(json.dumps({**config, "rms_norm_eps": 0.09}))
    save_file(tensors, made / "model.safetensors", metadata={"format": "pt"})
    assert check_folder(made).relative < 1e-4
    with pytest.raises(MachineError, match="nothing was kept"):
        check_conversion(source, made)


@pytest.mark.parametrize("broken", [0, 1])
def test_a_model_that_gives_no_numbers_has_no_parity(broken: int, folders: Callable[[str], Path]) -> None:
    good = torch.randn(3, 8, generator=torch.Generator().manual_seed(0))
    sides = [[good], [good.clone()]]
    assert parity.compare(sides[0], sides[1], torch.float32) == (0.0, 0.0)
    sides[broken] = [torch.full((3, 8), float("nan"))]
    rows = [parity.Probe([1, 2, 3])]
    with pytest.raises(MachineError, match="nothing was kept"):
        parity._judge(Path("model"), rows, (sides[0], sides[1]), torch.float32, False)


def test_logits_of_other_sizes_are_a_fault() -> None:
    with pytest.raises(MachineError, match="shape"):
        parity.compare([torch.zeros(3, 8)], [torch.zeros(3, 9)], torch.float32)


def test_a_tokenizer_of_another_model_is_the_users(tmp_path: Path) -> None:
    folder = transformers_model(tmp_path / "small", "llama", vocab_size=100)
    with pytest.raises(UserError, match="tokens beyond the 100 rows"):
        check_folder(folder)


def test_a_window_that_is_too_long_to_be_crossed_is_said(
    folders: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    crossed = check_folder(folders("mistral-window"))
    assert "window" not in capsys.readouterr().err
    monkeypatch.setattr(parity, "_WINDOW_FLOP", 1e6)
    short = check_folder(folders("mistral-window"))
    assert "the window of 24 tokens is too long" in capsys.readouterr().err
    assert short.num_positions == crossed.num_positions - 64
