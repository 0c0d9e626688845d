from __future__ import annotations

import itertools
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from sagecraft.errors import UserError
from sagecraft.inference.local import LocalEngine
from sagecraft.models.adapter import (
    CONFIG,
    WEIGHTS,
    ChangedWeights,
    LowRank,
    load_adapter,
    read_adapter,
    split_name,
    write_adapter,
)
from sagecraft.models.decoder import Decoder
from sagecraft.models.load import load_model
from sagecraft.models.save import save_model

#: peft 0.21 asks transformers 5.23 by a name that is on its way out.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")


def some_adapter(folder: Path, **changes: Any) -> Path:
    generator = torch.Generator().manual_seed(0)
    pair = torch.randn(4, 32, generator=generator), torch.randn(32, 4, generator=generator)
    write_adapter(folder, {"model.layers.0.self_attn.q_proj.weight": pair}, {"r": 4, "lora_alpha": 8, **changes})
    return folder


@pytest.mark.parametrize("rslora", [False, True])
def test_an_adapter_of_peft_changes_the_weights_as_peft_does(rslora: bool, tmp_path: Path, pico: Path) -> None:
    """With other ranks and alphas for some layers, stored by peft itself."""
    import peft
    from transformers import AutoModelForCausalLM

    inner = AutoModelForCausalLM.from_pretrained(str(pico), dtype=torch.float32)
    config = peft.LoraConfig(
        r=4,
        lora_alpha=10,
        target_modules="all-linear",
        use_rslora=rslora,
        rank_pattern={"q_proj": 2},
        alpha_pattern={"layers.1.mlp.up_proj": 30, "^model.layers.0.self_attn.k_proj": 1},
        init_lora_weights=False,
    )
    model = peft.get_peft_model(inner, config)
    model.save_pretrained(str(tmp_path / "adapter"))
    expected = model.merge_and_unload().state_dict()
    changes = load_adapter(tmp_path / "adapter")
    assert len(changes) == 14
    assert len({change.scale for change in changes.values()}) == 4
    before = load_file(pico / "model.safetensors")
    for name, value in ChangedWeights(pico, changes, torch.float32).items():
        torch.testing.assert_close(value, expected[name], rtol=0, atol=1e-6)
        assert torch.equal(value, before[name]) == (name not in changes)


@given(
    num_rows=st.integers(1, 40),
    width=st.sampled_from([1, 7, 600, 16384, 20000]),
    cuts=st.lists(st.floats(0, 1), max_size=4),
    seed=st.integers(0, 9),
)
@settings(deadline=None, max_examples=30)
def test_a_change_does_not_depend_on_blocks(num_rows: int, width: int, cuts: list[float], seed: int) -> None:
    rng = np.random.default_rng(seed)
    change = LowRank(rng.normal(size=(3, width)).astype("f4"), rng.normal(size=(num_rows, 3)).astype("f4"), 0.7)
    base = rng.normal(size=num_rows * width).astype("f4")
    whole = base.copy()
    change.add_to(whole, 0)
    expected = base.reshape(num_rows, width) + 0.7 * (change.up.astype("f8") @ change.down.astype("f8"))
    np.testing.assert_allclose(whole.reshape(num_rows, width), expected, rtol=1e-6, atol=1e-6)
    edges = sorted({0, len(base), *(round(cut * len(base)) for cut in cuts)})
    pieces = []
    for first, last in itertools.pairwise(edges):
        piece = base[first:last].copy()
        change.add_to(piece, first)
        pieces.append(piece)
    np.testing.assert_array_equal(np.concatenate(pieces), whole)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"peft_type": "LOHA"}, r"peft_type: 'LOHA' is not supported"),
        ({"use_dora": True}, "use_dora: True is not supported"),
        ({"modules_to_save": ["embed_tokens"]}, "modules_to_save: .'embed_tokens'. is not supported"),
        ({"bias": "all"}, "bias: 'all' is not supported"),
        ({"lora_bias": True}, "lora_bias: True"),
        ({"fan_in_fan_out": True}, "fan_in_fan_out: True"),
        ({"init_lora_weights": "pissa_niter_4"}, "init_lora_weights: 'pissa_niter_4' changes the base"),
        ({"a_key_of_next_year": {"x": 1}}, "a_key_of_next_year"),
        ({"alpha_pattern": {"(a+)+$": 3}}, "regular expression"),
        ({"r": "many"}, "r: 'many' is no positive number"),
        ({"lora_alpha": float("nan")}, "lora_alpha: nan"),
        ({"rank_pattern": [1]}, "rank_pattern: expected a mapping"),
    ],
)
def test_what_is_more_than_pairs_is_refused_by_name(changes: Mapping[str, Any], message: str, tmp_path: Path) -> None:
    folder = some_adapter(tmp_path)
    value = json.loads((folder / CONFIG).read_text())
    (folder / CONFIG).write_text(json.dumps({**value, **changes}))
    with pytest.raises(UserError, match=message) as caught:
        read_adapter(folder)
    assert "\n" not in str(caught.value)
    assert str(folder) in str(caught.value)


PREFIX = "base_model.model.model.layers.0.self_attn.q_proj"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop(f"{PREFIX}.lora_B.weight"), "has lora_A only"),
        (lambda t: t.update({"base_model.model.lm_head.weight": torch.ones(1)}), "lm_head.weight is not supported"),
        (lambda t: t.update({"base_model.model.e.lora_embedding_A": torch.ones(2, 2)}), "lora_embedding_A is not"),
        (lambda t: t.update({f"{PREFIX}.lora_B.weight": torch.ones(32, 5)}), "lora_A has rank 4, lora_B 5"),
        (lambda t: t.update({f"{PREFIX}.lora_A.weight": torch.ones(4, 32, dtype=torch.int8)}), "matrix of floats"),
        (lambda t: t.update({f"{PREFIX}.lora_A.weight": torch.full((4, 32), float("inf"))}), "not finite"),
        (lambda t: t.clear(), "holds no pair"),
    ],
)
def test_damaged_pairs_are_named(change: Any, message: str, tmp_path: Path) -> None:
    folder = some_adapter(tmp_path)
    tensors = load_file(folder / WEIGHTS)
    change(tensors)
    save_file(tensors, folder / WEIGHTS)
    with pytest.raises(UserError, match=message):
        load_adapter(folder)


def test_no_adapter_and_a_pickle(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no adapter_config\.json"):
        read_adapter(tmp_path)
    folder = some_adapter(tmp_path / "a")
    (folder / WEIGHTS).rename(folder / "adapter_model.bin")
    with pytest.raises(UserError, match="is a pickle, which is not read"):
        read_adapter(folder)
    (folder / CONFIG).write_text("[]")
    with pytest.raises(UserError, match="expected a JSON object"):
        read_adapter(folder)


def test_an_adapter_of_another_model_names_the_nearest_weight(tmp_path: Path, pico: Path) -> None:
    shapes = {name: tuple(p.shape) for name, p in load_file(pico / "model.safetensors").items()}
    adapter = read_adapter(some_adapter(tmp_path))
    assert adapter.faults(shapes, pico) == []
    name = "model.layers.0.self_attn.q_proj.weight"
    moved = {key.replace("layers", "blocks"): value for key, value in shapes.items()}
    assert "nearest: model.blocks.0.self_attn.q_proj.weight" in adapter.faults(moved, pico)[0]
    assert "belongs to another model" in adapter.faults({**shapes, name: (32, 64)}, pico)[0]
    assert load_model(pico).model.layers[0].self_attn.q_proj.weight.shape == (32, 32)


@pytest.mark.parametrize("foreign", [False, True])
def test_a_folder_loaded_with_an_adapter_is_the_merged_folder(foreign: bool, tmp_path: Path, pico: Path) -> None:
    base = pico
    if foreign:
        base = tmp_path / "foreign"
        shutil.copytree(pico, base)
        value = json.loads((base / "config.json").read_text())
        value["mlp_bias"], value["hidden_act"] = False, "gelu"  # not a form that our decoder covers
        (base / "config.json").write_text(json.dumps(value))
    adapter = some_adapter(tmp_path / "adapter")
    changes = load_adapter(adapter)
    whole = ChangedWeights(base, changes, torch.float32)
    save_model(tmp_path / "whole", whole, json.loads((base / "config.json").read_text()), base)
    engine, expected = LocalEngine(base, "float32", adapter), LocalEngine(tmp_path / "whole", "float32")
    assert isinstance(engine.model, Decoder) != foreign
    ids = [[5, 9, 200, 17]]
    assert engine.sequence_logprobs(ids) == expected.sequence_logprobs(ids)
    assert engine.sequence_logprobs(ids) != LocalEngine(base, "float32").sequence_logprobs(ids)
    assert engine.name == f"{base.name}+adapter"
    if not foreign:  # rounded once, from the file's float32
        loaded = load_model(base, "bfloat16", adapter).model.layers[0].self_attn.q_proj.weight
        assert torch.equal(loaded, whole["model.layers.0.self_attn.q_proj.weight"].bfloat16())
    with pytest.raises(UserError, match=r"which .* has not"):
        load_model(base, "float32", other_adapter(tmp_path / "other"))


def other_adapter(folder: Path) -> Path:
    write_adapter(folder, {"lm_head.weight": (torch.ones(2, 32), torch.ones(320, 2))}, {"r": 2, "lora_alpha": 2})
    return folder


def test_base_and_adapter_in_one_name(tmp_path: Path) -> None:
    for name in ("a", "a+b", "c+d"):
        (tmp_path / name).mkdir()
    assert split_name(f"{tmp_path / 'a'}") == (tmp_path / "a", None)
    assert split_name(f"{tmp_path / 'a+b'}") == (tmp_path / "a+b", None)
    assert split_name(f"{tmp_path / 'a'}+{tmp_path / 'c+d'}") == (tmp_path / "a", tmp_path / "c+d")
    assert split_name(f"{tmp_path / 'a+b'}+{tmp_path / 'c+d'}") == (tmp_path / "a+b", tmp_path / "c+d")
    assert split_name(f"{tmp_path / 'a'}+none") == (Path(f"{tmp_path / 'a'}+none"), None)
