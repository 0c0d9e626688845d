from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from sagecraft.errors import UserError
from sagecraft.merging.config import MergekitConfig, read_merge_config
from sagecraft.merging.job import make_job
from sagecraft.merging.layout import depths
from sagecraft.merging.merge import MergeConfig, merge_from_yaml
from sagecraft.merging.parameters import value_at
from sagecraft.settings import dump

SLICE = {"sources": [{"model": "a", "layer_range": [0, 2]}, {"model": "base", "layer_range": [0, 2]}]}
TIES = {
    "merge_method": "ties",
    "base_model": "base",
    "models": [
        {"model": "base"},
        {"model": "a", "parameters": {"weight": 0.5, "density": 0.5}},
        {"model": "b", "parameters": {"weight": [0, 1], "density": [{"filter": "mlp", "value": 0.2}, {"value": 1}]}},
    ],
    "parameters": {"normalize": True, "lambda": 0.9, "int8_mask": True},
    "dtype": "bfloat16",
}


def read(folder: Path, value: object) -> MergekitConfig:
    path = folder / "merge.yml"
    path.write_text(value if isinstance(value, str) else yaml.safe_dump(value), encoding="utf-8")
    return read_merge_config(path)


def fault(folder: Path, value: object) -> str:
    with pytest.raises(UserError) as caught:
        read(folder, value)
    return str(caught.value)


def test_mergekits_form_is_read(tmp_path: Path) -> None:
    config = read(tmp_path, TIES)
    assert config.parameters.lambda_ == 0.9
    assert config.models[2].parameters.weight == (0, 1)
    job = make_job(config, {"base": tmp_path, "a": tmp_path, "b": tmp_path})
    assert [source.label for source in job.models] == ["a", "b"]  # the base contributes no delta
    assert (job.out_dtype, job.tokenizer.label) == ("bfloat16", "base")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"merge_metod": "ties"}, "merge_metod: unknown key; did you mean 'merge_method'?"),
        ({"base_modle": "x"}, "base_modle: unknown key; did you mean 'base_model'?"),
        ({"parameters": {"normalise": True}}, "parameters.normalise: unknown key; did you mean 'normalize'?"),
        ({"parameters": {"lamda": 1}}, "parameters.lamda: unknown key; did you mean 'lambda'?"),
        ({"models": [{"model": "a", "parameter": {}}]}, "models[0].parameter: unknown key; did you mean 'parameters'?"),
        (
            {"models": [{"model": "a", "parameters": {"weight": 1, "desnity": 0.5}}]},
            "models[0].parameters.desnity: unknown key; did you mean 'density'?",
        ),
        (
            {"models": [{"model": "a", "parameters": {"weight": 1, "normalize": True}}]},
            "models[0].parameters.normalize: is not a parameter of one model",
        ),
        ({"merge_method": "dare_tie"}, "merge_method 'dare_tie' is unknown; did you mean 'dare_ties'?"),
        ({"merge_method": "dela"}, "merge_method 'dela' is unknown; did you mean 'della'?"),
        ({"slices": [SLICE]}, "models: give either models (whole) or slices (of layers), not both"),
        ({"models": []}, "models: give either models (whole) or slices (of layers), not neither"),
        ({"dtype": "int4"}, "dtype: input should be 'float32', 'bfloat16' or 'float16' (found 'int4')"),
        ({"base_model": None}, "base_model: is missing; ties needs one"),
        ({"parameters": {"t": 0.5}}, "parameters.t: ties does not read it; it reads weight, "),
        ({"parameters": {"rescale": "l2"}}, "parameters.rescale: expected 'inverse_density', 'l1' or 'off', a list"),
        ({"models": [{"model": "a", "parameters": {"density": 0.5}}]}, "models[0].parameters.weight: is missing for a"),
        ({"models": [{"model": "a", "parameters": {"weight": True}}]}, "parameters.weight: expected a number, a list"),
        ({"models": [{"model": "a", "parameters": {"weight": 1, "density": -0.1}}]}, "-0.1 is not within [0, 1]"),
        ({"models": [{"model": "a", "parameters": {"weight": "much"}}]}, "found 'much'"),
        ({"parameters": {"normalize": "perhaps"}}, "parameters.normalize: expected true or false, a list"),
        ({"parameters": {"normalize": [{"filter": 3, "value": True}]}}, "filter 3 is no part of a tensor's name"),
        ({"parameters": {"lambda": [1, [2]]}}, "parameters.lambda: expected a number, a list of numbers"),
        ({"modules": {"text": {}, "vision": {}}}, "modules: text, vision: only one module, default, is merged"),
        (
            {"modules": {"default": {"slices": [SLICE]}}},
            "models: give either models (whole) or slices (of layers), not both",
        ),
        ({"modules": {"default": {"silces": []}}}, "modules.default.silces: unknown key; did you mean 'slices'?"),
        ({"modules": {"default": {"parameters": {"t": 1}}}}, "modules.default.parameters.t: ties does not read it"),
        (
            {"models": [{"model": "a", "parameters": {"weight": 1, "density": [{"value": [0.5, 1.5]}]}}]},
            "models[0].parameters.density: ",
        ),
        (
            {"models": [{"model": "a", "parameters": {"weight": [{"fliter": "mlp", "value": 1}]}}]},
            "key 'fliter' is unknown here; valid: filter, value",
        ),
        ({"models": [{"model": "base", "parameters": {"weight": 1}}]}, "is the base, whose delta is zero"),
        ({"models": [{"model": "base"}]}, "models: ties takes at least 1 besides the base, found 0"),
        (
            {"models": [{"model": "a", "parameters": {"weight": 1}}] * 2},
            "models: a is listed more than once",
        ),
    ],
)
def test_faults_are_named(tmp_path: Path, change: dict[str, object], says: str) -> None:
    text = fault(tmp_path, {**TIES, **change})
    assert says in text
    assert all(line.startswith(str(tmp_path / "merge.yml")) for line in text.split("\n"))


def test_all_faults_of_form_at_once(tmp_path: Path) -> None:
    text = fault(tmp_path, {**TIES, "seeed": 1, "dtype": "x", "parameters": {"nromalize": True}})
    assert len(text.split("\n")) == 3


@pytest.mark.parametrize("text", ["- a\n", "a: [", "", "\x00"])
def test_what_is_no_configuration(tmp_path: Path, text: str) -> None:
    assert str(tmp_path / "merge.yml") in fault(tmp_path, text)


def test_slerp_takes_two_models_and_t(tmp_path: Path) -> None:
    slerp = {"merge_method": "slerp", "base_model": "base", "models": [{"model": "base"}, {"model": "a"}]}
    assert "parameters.t: is missing" in fault(tmp_path, slerp)
    assert read(tmp_path, {**slerp, "parameters": {"t": 0.5}}).parameters.t == 0.5
    more = {**slerp, "models": [{"model": "a"}, {"model": "b"}], "parameters": {"t": 0.5}}
    assert "slerp takes exactly 1 besides the base, found 2" in fault(tmp_path, more)


def test_rescale_takes_yamls_booleans(tmp_path: Path) -> None:
    each = ("inverse_density", "off")
    for written, meant in (("true", each[0]), ("false", "off"), ("off", "off"), ("l1", "l1"), ("[true, false]", each)):
        text = yaml.safe_dump({**TIES, "parameters": {}}) + f"parameters: {{rescale: {written}}}\n"
        assert read(tmp_path, text.replace("parameters: {}\n", "", 1)).parameters.rescale == meant


def test_gradients_and_filters() -> None:
    names = ["model.embed_tokens.weight", "model.norm.weight", *(f"model.layers.{n}.mlp.w" for n in range(5))]
    deep = depths(names)
    assert [deep[name] for name in names] == [0, 0, 0, 0.25, 0.5, 0.75, 1]
    gradient = (0.0, 1.0, 0.0)
    assert [value_at(gradient, name, deep[name]) for name in names[2:]] == [0, 0.5, 1, 0.5, 0]
    rows = MergekitConfig.model_validate(
        {
            "merge_method": "linear",
            "models": [{"model": "a"}],
            "parameters": {"weight": [{"filter": "mlp", "value": [2, 4]}, {"filter": "*", "value": 7}]},
        }
    ).parameters.weight
    assert value_at(rows, "model.layers.2.mlp.w", 0.5) == 3
    assert value_at(rows, "model.norm.weight", 0.0) == 7
    assert value_at(rows[:1], "model.norm.weight", 0.0) is None  # type: ignore[index]
    assert depths(["model.layers.0.mlp.w", "lm_head.weight"]) == {"model.layers.0.mlp.w": 1, "lm_head.weight": 0}


def test_values_that_are_no_numbers_change_in_steps() -> None:
    """As mergekit's do: of `[true, false, true]` over six layers, the fourth and fifth are without."""
    gradient = (True, False, True)
    assert [value_at(gradient, "", n / 5) for n in range(6)] == [True, True, True, False, False, True]


def test_numbers_in_quotes_and_one_filter_without_a_list(tmp_path: Path) -> None:
    models = [{"model": "a", "parameters": {"weight": "1e-1"}}, {"model": "b"}]
    more = {"normalize": 0, "weight": {"filter": "*", "value": "2"}}
    config = read(tmp_path, {**TIES, "models": models, "parameters": more})
    assert config.models[0].parameters.weight == 0.1
    assert config.parameters.normalize is False
    assert value_at(config.parameters.weight, "x", 0) == 2


PASS: dict[str, Any] = {"merge_method": "passthrough", "slices": [{"sources": [{"model": "a", "layer_range": [0, 2]}]}]}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ([{"sources": [{"model": "a"}]}], "slices[0].sources[0].layer_range: is missing"),
        ([{"sources": [{"model": "a", "layer_range": [2, 1]}]}], "layer_range: [2, 1] is no range"),
        ([{"sources": [{"model": "a", "layer_range": [-2, 1]}]}], "layer_range: [-2, 1] is no range"),
        ([{"sources": []}], "slices[0].sources: tuple should have at least 1 item"),
        (
            [{"sources": [{"model": "a", "layer_ranges": [0, 1]}]}],
            "layer_ranges: unknown key; did you mean 'layer_range'?",
        ),
        ([{"sorces": []}], "slices[0].sorces: unknown key; did you mean 'sources'?"),
        ([{**PASS["slices"][0], "dtype": "float16"}], "dtype: is not a key of a slice; it holds for the whole merge"),
        ([{**PASS["slices"][0], "merge_method": "linear"}], "merge_method: is not a key of a slice"),
        ([{**PASS["slices"][0], "parameters": {"t": 1}}], "slices[0].parameters.t: passthrough does not read it"),
        (
            [{**PASS["slices"][0], "parameters": {"scael": 1}}],
            "slices[0].parameters.scael: unknown key; did you mean 'scale'",
        ),
        (
            [{"sources": [{"model": "a", "layer_range": [0, 1], "parameters": {"t": 1}}]}],
            "t: is not a parameter of one model",
        ),
        (
            [{"sources": [{"model": m, "layer_range": r} for m, r in (("a", [0, 2]), ("b", [2, 3]))]}],
            "[0, 2] of a, [2, 3] of b: the sources of a slice are merged layer by layer",
        ),
        (
            [{"sources": [{"model": m, "layer_range": [0, 2]} for m in "ab"]}],
            "slices[0].sources: passthrough takes exactly 1, found 2",
        ),
    ],
)
def test_faults_of_slices(tmp_path: Path, change: list[Any], says: str) -> None:
    assert says in fault(tmp_path, {**PASS, "slices": change})


def test_the_base_of_a_slice_need_not_be_listed(tmp_path: Path) -> None:
    def ties(*ranges: list[int]) -> dict[str, Any]:
        sources = [{"model": m, "layer_range": r} for m, r in zip("abc", ranges, strict=False)]
        parameters = {"weight": 1, "density": 0.5}
        return {
            "merge_method": "ties",
            "base_model": "base",
            "slices": [{"sources": sources}],
            "parameters": parameters,
        }

    config = read(tmp_path, ties([1, 3], [1, 3]))
    (part,) = make_job(config, dict.fromkeys(config.model_names, tmp_path)).parts
    assert part.base is not None
    assert (part.base.label, part.base.layers, len(part.models)) == ("base", (1, 3), 2)
    assert "those of the base base are not said; list it with its own" in fault(tmp_path, ties([1, 3], [2, 4]))


def test_the_long_form_of_one_module(tmp_path: Path) -> None:
    modules = {"default": {"slices": PASS["slices"]}}
    assert read(tmp_path, {"merge_method": "passthrough", "modules": modules}).stretches[0].entries == (
        read(tmp_path, PASS).stretches[0].entries
    )


def test_models_that_are_no_folders(tmp_path: Path) -> None:
    value = {"merge_method": "linear", "parameters": {"weight": 1}}
    (tmp_path / "m.yml").write_text(yaml.safe_dump({**value, "models": [{"model": "org/x"}, {"model": "y+lora"}]}))
    with pytest.raises(UserError) as caught:
        merge_from_yaml(tmp_path / "m.yml", tmp_path / "out")
    first, second = str(caught.value).split("\n")
    assert "sagecraft model fetch org/x" in first
    assert "sagecraft model fetch y --out" in second
    (tmp_path / "y").mkdir()
    with pytest.raises(UserError, match=r"y\+lora'?: no folder 'lora' here; name an adapter in peft's format"):
        merge_from_yaml(tmp_path / "m.yml", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_recipes_section() -> None:
    value = {
        "models": [{"model": "sft", "weight": 0.7, "density": 0.6}, {"model": "chat"}],
        "base": "cpt",
        "roles": {"chat": "org/chat"},
        "parameters": {"lambda": 1.2},
    }
    config = MergeConfig.model_validate(value)
    assert config.wanted() == ["cpt", "sft", "chat"]
    inner = config.as_mergekit()
    assert (inner.merge_method, inner.parameters.lambda_, inner.tokenizer_source) == ("dare_ties", 1.2, "sft")
    assert [entry.parameters.weight for entry in inner.models] == [0.7, 1]
    assert MergeConfig.model_validate(dump(config)) == config
    moved = config.model_copy(update={"roles": {"chat": "elsewhere"}})
    assert moved.model_dump() == config.model_dump()  # the fingerprint is that of what is merged
    slerp = MergeConfig.model_validate({"method": "slerp", "models": [{"model": "sft"}], "parameters": {"t": 0.3}})
    assert slerp.as_mergekit().parameters.t == 0.3
    crumbs = {"method": "breadcrumbs", "models": [{"model": "sft", "gamma": [0, 0.1]}]}
    assert MergeConfig.model_validate(crumbs).as_mergekit().models[0].parameters.gamma == (0, 0.1)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"method": "linear", "base": None, "models": [{"model": "sft", "density": 0.5}]}, "linear does not read it"),
        ({"roles": {"sft": "x"}}, "roles: 'sft' is what the recipe itself makes"),
        ({"roles": {"../x": "x"}, "models": [{"model": "../x"}]}, "'../x' is no name of letters"),
        ({"roles": {"chat": "x"}}, "roles: 'chat' is named, but no model of the merge"),
        ({"parameters": {"eps": 1}}, "parameters.eps: dare_ties does not read it"),
    ],
)
def test_faults_of_a_recipes_section(change: dict[str, object], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        MergeConfig.model_validate({"models": [{"model": "sft"}], **change})
