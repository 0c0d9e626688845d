"""Layers that are stacked, and parameters at every level. Numbers beside a configuration are what mergekit 0.1.5 made of it."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from pico import pico_model
from sagecraft.errors import UserError
from sagecraft.merging.config import MergekitConfig
from sagecraft.merging.job import make_job
from sagecraft.merging.merge import merge_from_yaml
from sagecraft.merging.plan import MergePlan, make_plan
from sagecraft.merging.stream import write_merged
from sagecraft.models.adapter import write_adapter
from sagecraft.models.load import load_model

NUM_LAYERS = 6
UP, ATTENTION, NORM = "mlp.up_proj", "self_attn.q_proj", "input_layernorm"
EMBEDDING, LAST_NORM, HEAD = "model.embed_tokens.weight", "model.norm.weight", "lm_head.weight"


@pytest.fixture(scope="module")
def constants(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models whose tensors are constant: `one`, `zero`, and `layer`, whose layers are their numbers from 1."""
    root = tmp_path_factory.mktemp("constants")

    def own(name: str) -> float:
        match = re.search(r"layers\.(\d+)", name)
        return float(match.group(1)) + 1 if match else 100.0 if "embed" in name else 200.0

    values: dict[str, Callable[[str], float]] = {"one": lambda _: 1.0, "zero": lambda _: 0.0, "layer": own}
    pico_model(root / "one", 0, "float32", num_hidden_layers=NUM_LAYERS, tie_word_embeddings=False)
    for name in ("zero", "layer"):
        shutil.copytree(root / "one", root / name)
    for name, value in values.items():
        path = root / name / "model.safetensors"
        weights = {key: torch.full_like(tensor, value(key)) for key, tensor in load_file(path).items()}
        save_file(weights, path, metadata={"format": "pt"})
    return root


def planned(root: Path, value: dict[str, Any], adapters: dict[str, Path] | None = None) -> tuple[MergePlan, Any]:
    config = MergekitConfig.model_validate(value)
    job = make_job(config, {name: root / name for name in config.model_names}, adapters)
    return make_plan(job, 1000, 1), job


def merged(root: Path, out: Path, value: dict[str, Any], **more: Any) -> dict[str, torch.Tensor]:
    plan, job = planned(root, {"out_dtype": "float32", **value}, **more)
    out.mkdir()
    write_merged(job, plan, out, lambda _: None, num_threads=1)
    return load_file(out / "model.safetensors")


def layers(weights: dict[str, torch.Tensor], part: str) -> list[float]:
    """The constant of each layer's tensor, to five digits."""
    count = 1 + max(int(match.group(1)) for name in weights if (match := re.search(r"layers\.(\d+)", name)))
    tensors = [weights[f"model.layers.{n}.{part}.weight"] for n in range(count)]
    assert all(tensor.min() == tensor.max() for tensor in tensors)
    return [round(float(tensor.flatten()[0]), 5) for tensor in tensors]


def rest(weights: dict[str, torch.Tensor]) -> list[float]:
    return [round(float(weights[name].flatten()[0]), 5) for name in (EMBEDDING, LAST_NORM, HEAD)]


def source(model: str, first: int, last: int, **parameters: Any) -> dict[str, Any]:
    return {"model": model, "layer_range": [first, last], "parameters": parameters}


def linear(*slices: Any, **parameters: Any) -> dict[str, Any]:
    parts = [part if isinstance(part, dict) else {"sources": part} for part in slices]
    return {"merge_method": "linear", "slices": parts, "parameters": {"normalize": False, **parameters}}


def passthrough(*sources: dict[str, Any]) -> dict[str, Any]:
    return {"merge_method": "passthrough", "slices": [{"sources": [one]} for one in sources]}


LAYER_4_AND_1 = [{"filter": "layers.4.", "value": 0.2}, {"filter": "layers.1.", "value": 0.9}, {"value": 0.5}]
OBSERVED: dict[str, tuple[dict[str, Any], list[float], list[float]]] = {
    "stacked": (passthrough(source("layer", 0, 4), source("layer", 2, 6)), [1, 2, 3, 4, 3, 4, 5, 6], [100, 200, 200]),
    "two models": (passthrough(source("layer", 0, 2), source("one", 2, 6)), [1, 2, 1, 1, 1, 1], [100, 1, 1]),
    "head of another": (passthrough(source("layer", 0, 6), source("one", 6, 6)), [1, 2, 3, 4, 5, 6], [100, 1, 1]),
    "embedding of another": (
        passthrough(source("one", 0, 0), source("layer", 0, 6)),
        [1, 2, 3, 4, 5, 6],
        [1, 200, 200],
    ),
    "a gradient runs over each slice": (
        linear([source("one", 0, 3)], [source("one", 2, 6)], weight=[0, 1]),
        [0, 0.5, 1, 0, 0.33333, 0.66667, 1],
        [0, 0, 0],
    ),
    "a slice of one layer has a gradient's end": (
        linear([source("one", 0, 1)], [source("one", 1, 6)], weight=[0.25, 1]),
        [1, 0.25, 0.4375, 0.625, 0.8125, 1],
        [0.25, 0.25, 0.25],
    ),
    "the closest level counts": (
        linear(
            {"sources": [source("one", 0, 3, weight=0.1)], "parameters": {"weight": 0.2}},
            {"sources": [source("one", 2, 4)], "parameters": {"weight": 0.2}},
            [source("one", 2, 4)],
            weight=0.3,
        ),
        [0.1, 0.1, 0.1, 0.2, 0.2, 0.3, 0.3],
        [0.1, 0.3, 0.3],
    ),
    "a module's parameters come before the merge's": (
        {
            "merge_method": "linear",
            "modules": {"default": {"slices": [{"sources": [source("one", 0, 2)]}], "parameters": {"weight": 0.3}}},
            "parameters": {"normalize": False, "weight": 0.4},
        },
        [0.3, 0.3],
        [0.3, 0.3, 0.3],
    ),
    "filters name a model's own layers": (
        linear(
            [source("one", 0, 2), source("zero", 4, 6)],
            [source("zero", 0, 2), source("one", 4, 6)],
            weight=LAYER_4_AND_1,
        ),
        [0.5, 0.9, 0.2, 0.5],
        [0.5, 0.5, 0.5],
    ),
    "filters of what is no model's name the result's": (
        {
            "merge_method": "task_arithmetic",
            "base_model": "zero",
            "slices": [
                {"sources": [source("zero", 0, 2), source("one", 4, 6)]},
                {"sources": [source("one", 0, 2), source("zero", 4, 6)]},
            ],
            "parameters": {
                "weight": 1,
                "lambda": [*({"filter": f"layers.{n}.", "value": (n + 2) / 10} for n in range(6)), {"value": 1}],
            },
        },
        [0.2, 0.3, 0.4, 0.5],
        [1, 1, 1],
    ),
    "a base for each slice": (
        {
            "merge_method": "task_arithmetic",
            "slices": [
                {"sources": [source("zero", 0, 3), source("one", 0, 3, weight=0.5)], "base_model": "zero"},
                {"sources": [source("one", 3, 6), source("layer", 3, 6, weight=0.5)], "base_model": "one"},
            ],
        },
        [0.5, 0.5, 0.5, 2.5, 3, 3.5],
        [0.5, 100.5, 100.5],
    ),
    "a base with other layers": (
        {
            "merge_method": "task_arithmetic",
            "base_model": "layer",
            "slices": [{"sources": [source("layer", 0, 3), source("one", 3, 6, weight=0.5)]}],
        },
        [1, 1.5, 2],
        [50.5, 100.5, 100.5],
    ),
    "normalize by filter": (
        {
            **linear([source("one", 0, 2), source("zero", 4, 6)], weight=2),
            "parameters": {"weight": 2, "normalize": [{"filter": "layers.0.", "value": True}, {"value": False}]},
        },
        [0.5, 2],
        [2, 2, 2],
    ),
    "a gradient of switches": (
        {
            "merge_method": "linear",
            "models": [{"model": "one"}, {"model": "zero"}],
            "parameters": {"weight": 0.6, "normalize": [True, False, True]},
        },
        [0.5, 0.5, 0.5, 0.6, 0.6, 0.5],
        [0.5, 0.5, 0.5],
    ),
}


@pytest.mark.parametrize("case", OBSERVED)
def test_what_mergekit_makes_of_it(case: str, constants: Path, tmp_path: Path) -> None:
    value, wanted, others = OBSERVED[case]
    found = merged(constants, tmp_path / "out", value)
    assert layers(found, UP) == wanted
    assert rest(found) == others
    assert planned(constants, value)[0].config["num_hidden_layers"] == len(wanted)


def test_filters_without_a_fitting_value_leave_it_to_the_next_level(constants: Path, tmp_path: Path) -> None:
    value = linear(
        {
            "sources": [source("one", 0, 3, weight=[{"filter": "mlp", "value": 0.1}])],
            "parameters": {"weight": [{"filter": "self_attn", "value": [0.2, 0.4]}]},
        },
        weight=0.3,
    )
    found = merged(constants, tmp_path / "out", value)
    assert (layers(found, UP), layers(found, ATTENTION), layers(found, NORM)) == ([0.1] * 3, [0.2, 0.3, 0.4], [0.3] * 3)


def test_a_scale_by_filter(constants: Path, tmp_path: Path) -> None:
    scale = [{"filter": "q_proj", "value": 0.5}, {"filter": "up_proj", "value": 0}, {"value": 1}]
    found = merged(constants, tmp_path / "out", passthrough(source("layer", 0, 4, scale=scale)))
    assert (layers(found, UP), layers(found, ATTENTION), layers(found, NORM)) == (
        [0] * 4,
        [0.5, 1, 1.5, 2],
        [1, 2, 3, 4],
    )


def test_the_head_is_merged_from_all_sources_of_the_last_slice(constants: Path, tmp_path: Path) -> None:
    """Mergekit leaves out those beyond the number of the first slice's sources: 100 here."""
    value = linear([source("one", 1, 4)], [source("layer", 3, 6), source("one", 2, 5)], weight=0.5)
    found = merged(constants, tmp_path / "out", value)
    assert rest(found) == [0.5, 100.5, 100.5]


@pytest.fixture(scope="module")
def deep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`base`, and `a` and `b` beside it, of four layers."""
    root = tmp_path_factory.mktemp("deep")
    base = load_file(pico_model(root / "base", 0, "float32", num_hidden_layers=4) / "model.safetensors")
    for seed, name in enumerate("ab", start=1):
        shutil.copytree(root / "base", root / name)
        generator = torch.Generator().manual_seed(seed)
        noisy = {key: value + 0.01 * torch.randn(value.shape, generator=generator) for key, value in base.items()}
        save_file(noisy, root / name / "model.safetensors", metadata={"format": "pt"})
    return root


def dare(*ranges: tuple[int, int], **more: Any) -> dict[str, Any]:
    parts = [{"sources": [source("base", *r), source("a", *r), source("b", *r)]} for r in ranges]
    parameters = {"weight": 0.5, "density": 0.4}
    return {"merge_method": "dare_ties", "base_model": "base", "slices": parts, "parameters": parameters, **more}


def test_a_layer_is_thinned_out_alike_wherever_it_ends_up(deep: Path, tmp_path: Path) -> None:
    """Masks are keyed by the model's own name for a tensor: a stack has the layers of the merge of whole models."""
    whole = {**dare(), "slices": (), "models": [{"model": "a"}, {"model": "b"}]}
    straight = merged(deep, tmp_path / "whole", whole)
    stacked = merged(deep, tmp_path / "stacked", dare((0, 3), (1, 4)))
    own = [0, 1, 2, 1, 2, 3]
    for name, tensor in stacked.items():
        match = re.search(r"layers\.(\d+)", name)
        there = name.replace(f"layers.{match.group(1)}", f"layers.{own[int(match.group(1))]}") if match else name
        assert torch.equal(tensor, straight[there]), name
    other = merged(deep, tmp_path / "other", dare((0, 3), (1, 4), seed=1))
    assert not torch.equal(other["model.layers.0.mlp.up_proj.weight"], stacked["model.layers.0.mlp.up_proj.weight"])


@pytest.mark.parametrize("method", ["ties", "della", "slerp", "sce", "nuslerp"])
def test_methods_in_slices_are_those_of_whole_models(method: str, deep: Path, tmp_path: Path) -> None:
    pair = method in ("slerp", "nuslerp")
    needs = {"slerp": {"t": 0.3}, "sce": {}, "nuslerp": {"weight": 0.5}}
    parameters = needs.get(method, {"weight": 0.5, "density": 0.5})
    models = ["base", "a"] if pair else ["base", "a", "b"]
    base = {} if method == "nuslerp" else {"base_model": "base"}
    common = {"merge_method": method, "parameters": parameters, **base}
    whole = merged(deep, tmp_path / "whole", {**common, "models": [{"model": name} for name in models]})
    slices = [{"sources": [source(name, 2, 4) for name in models]}]
    part = merged(deep, tmp_path / "part", {**common, "slices": slices})
    for n in range(2):
        for name in (UP, ATTENTION, NORM):
            assert torch.equal(part[f"model.layers.{n}.{name}.weight"], whole[f"model.layers.{n + 2}.{name}.weight"])


def test_layers_of_one_model_merged_with_one_another(constants: Path, tmp_path: Path) -> None:
    value = linear([source("layer", 0, 3, weight=0.25), source("layer", 3, 6, weight=0.75)])
    plan, job = planned(constants, value)
    assert [one.label for one in job.models] == ["layer[0:3]", "layer[3:6]"]
    assert layers(merged(constants, tmp_path / "out", value), UP) == [3.25, 4.25, 5.25]
    assert plan.tensors[0].models == ("layer[0:3]", "layer[3:6]")


def test_a_stack_runs(deep: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Through the whole stage, with masks, a base, tied embeddings and the check beside transformers."""
    for name in ("base", "a", "b"):
        (tmp_path / name).symlink_to(deep / name)
    path = tmp_path / "merge.yml"
    path.write_text(yaml.safe_dump(dare((0, 3), (1, 4), out_dtype="bfloat16")))
    stats = merge_from_yaml(path, tmp_path / "out").stats
    said = " ".join(capsys.readouterr().err.split())
    assert "layers 0 to 2 from base[0, 3], a[0, 3], b[0, 3]; 3 to 5 from base[1, 4], a[1, 4], b[1, 4]" in said
    model = load_model(tmp_path / "out").model
    assert model.config.num_layers == 6
    assert "lm_head.weight" not in load_file(tmp_path / "out" / "model.safetensors")
    assert sorted(stats["delta_norms"]) == ["a", "b"]


def test_repeated_layers_that_write_nothing_change_nothing(deep: Path, tmp_path: Path) -> None:
    """Depth up-scaling: a stack with its repeated layers' outputs scaled to zero says what the model itself says."""
    silent = [{"filter": "o_proj", "value": 0}, {"filter": "down_proj", "value": 0}, {"value": 1}]
    value = passthrough(source("a", 0, 3), source("a", 1, 3, scale=silent), source("a", 3, 4))
    shutil.copytree(deep / "a", tmp_path / "out")
    merged(deep, tmp_path / "weights", value)
    shutil.copy(tmp_path / "weights" / "model.safetensors", tmp_path / "out")
    (tmp_path / "out" / "config.json").write_text(json.dumps(planned(deep, value)[0].config))
    ids = torch.arange(20)[None]
    with torch.inference_mode():
        models = [load_model(folder, "float32").model for folder in (tmp_path / "out", deep / "a")]
        found, wanted = (model.logits(model(ids)) for model in models)
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-6)


def test_an_adapter_follows_its_layer(constants: Path, tmp_path: Path) -> None:
    name = "model.layers.3.self_attn.q_proj.weight"
    write_adapter(tmp_path / "adapter", {name: (torch.ones(1, 32), torch.ones(32, 1))}, {"r": 1, "lora_alpha": 1})
    value = passthrough(source("zero", 2, 6), source("zero", 3, 4))
    found = merged(constants, tmp_path / "out", value, adapters={"zero": tmp_path / "adapter"})
    assert layers(found, ATTENTION) == [0, 1, 0, 0, 1]


def edited(root: Path, target: Path, **entries: Any) -> None:
    shutil.copytree(root, target)
    config = json.loads((target / "config.json").read_text())
    (target / "config.json").write_text(json.dumps({**config, **entries}))


KINDS = ["full_attention", "full_attention", "sliding_attention", "full_attention"]


def test_lists_of_layers_are_stacked(deep: Path, tmp_path: Path) -> None:
    edited(deep / "a", tmp_path / "a", layer_types=KINDS, no_rope_layers=[1, 1, 0, 1])
    edited(deep / "b", tmp_path / "b", layer_types=KINDS[::-1], no_rope_layers=[1, 0, 1, 1])
    config = planned(tmp_path, passthrough(source("a", 0, 3), source("a", 2, 4)))[0].config
    assert config["layer_types"] == [*KINDS[:3], *KINDS[2:]]
    assert config["no_rope_layers"] == [1, 1, 0, 0, 1]
    assert planned(tmp_path, passthrough(source("a", 0, 3), source("b", 0, 2)))[0].config["layer_types"] == [
        *KINDS[:3],
        *KINDS[:1:-1],
    ]
    assert (
        planned(tmp_path, linear([source("a", 0, 2), source("b", 2, 4)], weight=1))[0].config["layer_types"]
        == KINDS[:2]
    )
    for value in (
        linear([source("a", 0, 4), source("b", 0, 4)], weight=1),
        {"merge_method": "linear", "models": [{"model": "a"}, {"model": "b"}], "parameters": {"weight": 1}},
    ):
        with pytest.raises(UserError, match=r"layer_types differs: .*layers of one kind are merged with one another"):
            planned(tmp_path, value)


def test_layers_that_are_special_by_position(deep: Path, tmp_path: Path) -> None:
    edited(deep / "a", tmp_path / "a", sliding_window_pattern=2)
    with pytest.raises(UserError, match="sliding_window_pattern says by position which layers are special"):
        planned(tmp_path, passthrough(source("a", 0, 2), source("a", 1, 4)))
    assert planned(tmp_path, passthrough(source("a", 0, 2), source("a", 2, 4)))[0].config["num_hidden_layers"] == 4
    edited(deep / "a", tmp_path / "listed", sliding_window_pattern=2, layer_types=KINDS)
    assert planned(tmp_path, passthrough(source("listed", 1, 4)))[0].config["layer_types"] == KINDS[1:]


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (passthrough(source("a", 0, 5), source("b", 9, 9)), ["[0, 5] goes beyond its 4 layers", "[9, 9] goes beyond"]),
        (passthrough(source("a", 2, 2)), ["slices: no layer is left"]),
    ],
)
def test_ranges_are_compared_with_the_models(value: dict[str, Any], says: list[str], deep: Path) -> None:
    with pytest.raises(UserError) as caught:
        planned(deep, value)
    lines = str(caught.value).split("\n")
    assert len(lines) == len(says)
    assert all(part in line for part, line in zip(says, lines, strict=True))


def test_models_of_another_depth_give_layers_and_are_not_merged_whole(
    deep: Path, constants: Path, tmp_path: Path
) -> None:
    edited(constants / "one", tmp_path / "six")
    edited(deep / "a", tmp_path / "four", tie_word_embeddings=False)
    weights = load_file(tmp_path / "four" / "model.safetensors")
    save_file({**weights, HEAD: weights[EMBEDDING].clone()}, tmp_path / "four" / "model.safetensors")
    plan, _ = planned(tmp_path, passthrough(source("six", 0, 5), source("four", 1, 4)))
    assert plan.config["num_hidden_layers"] == 8
    models = [{"model": name, "parameters": {"weight": 1}} for name in ("six", "four")]
    with pytest.raises(UserError, match="num_hidden_layers differs: 6 in six, 4 in four"):
        planned(tmp_path, {"merge_method": "linear", "models": models})


def test_a_model_with_two_stacks_is_not_sliced(deep: Path, tmp_path: Path) -> None:
    edited(deep / "a", tmp_path / "a")
    weights = load_file(tmp_path / "a" / "model.safetensors")
    save_file({**weights, "vision.layers.0.w": torch.zeros(1)}, tmp_path / "a" / "model.safetensors")
    with pytest.raises(UserError, match=r"has 2 stacks of layers \(model\.layers\., vision\.layers\.\); slices need"):
        planned(tmp_path, passthrough(source("a", 0, 2)))


@pytest.mark.parametrize(("method", "kept"), [("ties", 1), ("breadcrumbs", 0), ("breadcrumbs_ties", 0)])
@pytest.mark.parametrize("density", [0.02, 0])
def test_the_least_that_is_kept_of_a_vector(method: str, kept: int, density: float, deep: Path, tmp_path: Path) -> None:
    """Two per cent of 32 elements are none; TIES keeps the largest, as mergekit was seen to, unless none are wanted."""
    models = [{"model": "a", "parameters": {"weight": 1, "density": density}}]
    found = merged(deep, tmp_path / "out", {"merge_method": method, "base_model": "base", "models": models})
    changed = found[LAST_NORM] != load_file(deep / "base" / "model.safetensors")[LAST_NORM]
    assert int(changed.sum()) == (kept if density else 0)


def test_chances_of_della_are_some(deep: Path) -> None:
    models = [{"model": "a", "parameters": {"weight": 1, "density": [0.5, 0.9]}}]
    value = {"merge_method": "della", "base_model": "base", "models": models}
    with pytest.raises(UserError, match=r"epsilon of a: density ± epsilon has to lie between 0 and 1; .* ± 0.15"):
        planned(deep, value)
    planned(deep, {**value, "parameters": {"epsilon": 0.05}})
