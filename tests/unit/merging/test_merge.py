"""The stage from its configuration to a model that runs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from sagecraft import artifact
from sagecraft.errors import MachineError, UserError
from sagecraft.merging.config import MergekitConfig
from sagecraft.merging.job import make_job
from sagecraft.merging.merge import MergeConfig, merge_from_yaml, run
from sagecraft.merging.plan import make_plan
from sagecraft.models import streaming
from sagecraft.models.adapter import ChangedWeights, load_adapter, write_adapter
from sagecraft.models.load import load_model
from sagecraft.models.save import save_model
from sagecraft.models.tokenizer import Tokenizer

Copy = Callable[..., Path]
MODELS = [{"model": "sft", "weight": 0.6, "density": 0.7}, {"model": "cpt", "weight": 0.4, "density": 0.5}]


def from_yaml(folder: Path, out: Path, **value: Any) -> artifact.Manifest:
    path = folder / "merge.yml"
    path.write_text(yaml.safe_dump(value), encoding="utf-8")
    return merge_from_yaml(path, out)


def linear(*names: str) -> dict[str, Any]:
    return {"merge_method": "linear", "models": [{"model": n, "parameters": {"weight": 1}} for n in names]}


def test_a_recipes_merge(family: Path, tmp_path: Path) -> None:
    inputs = {"base": family / "base", "sft": family / "a", "cpt": family / "b", "unused": tmp_path}
    config = MergeConfig.model_validate({"models": MODELS, "seed": 3})
    manifest = run(config, inputs, tmp_path / "out")
    assert (manifest.kind, manifest.stage) == ("model", "merge")
    assert sorted(manifest.inputs) == ["base", "cpt", "sft"]
    assert manifest.stats["num_parameters"] == sum(
        tensor.numel() for tensor in load_file(family / "a" / "model.safetensors").values()
    )
    loaded = load_model(tmp_path / "out")
    assert loaded.tokenizer.chat_template == Tokenizer.from_folder(family / "a").chat_template
    assert json.loads((tmp_path / "out" / "config.json").read_text())["dtype"] == "bfloat16"
    again = run(config, inputs, tmp_path / "again")
    assert again == manifest
    other = run(config.model_copy(update={"seed": 4}), inputs, tmp_path / "other")
    assert other.files["model.safetensors"] != manifest.files["model.safetensors"]


def test_a_recipes_merge_with_a_model_of_its_own(family: Path, tmp_path: Path) -> None:
    """The same weights as mergekit's form gives them, gradients and all."""
    models: list[dict[str, Any]] = [{"model": "sft", "weight": [0.2, 0.8]}, {"model": "chat", "gamma": 0.05}]
    parameters = {"density": 0.7, "lambda": [{"filter": "mlp", "value": 0.5}, {"value": 1}]}
    value = {"method": "breadcrumbs", "models": models, "roles": {"chat": "x"}, "parameters": parameters}
    inputs = {"base": family / "base", "sft": family / "a", "chat": family / "b"}
    run(MergeConfig.model_validate(value), inputs, tmp_path / "recipe")
    for name, folder in inputs.items():
        (tmp_path / name).symlink_to(folder)
    rows = [
        {"model": "sft", "parameters": {"weight": [0.2, 0.8]}},
        {"model": "chat", "parameters": {"weight": 1, "gamma": 0.05}},
    ]
    same = {"merge_method": "breadcrumbs", "base_model": "base", "models": rows, "parameters": parameters}
    from_yaml(tmp_path, tmp_path / "yaml", **same, out_dtype="bfloat16")
    assert (tmp_path / "recipe/model.safetensors").read_bytes() == (tmp_path / "yaml/model.safetensors").read_bytes()


def test_a_role_that_is_not_there(family: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no model for role 'cpt'; there are base, sft"):
        run(MergeConfig.model_validate({"models": MODELS}), {"base": family, "sft": family}, tmp_path / "out")


def test_the_summary_tells_what_was_done(family: Path, tmp_path: Path) -> None:
    inputs = {"base": family / "base", "sft": family / "a", "cpt": family / "b"}
    config = MergeConfig.model_validate({"models": MODELS, "method": "ties", "out_dtype": "float32"})
    manifest = run(config, inputs, tmp_path / "out")
    base, a, b, out = (load_file(folder / "model.safetensors") for folder in (*inputs.values(), tmp_path / "out"))
    rows = json.loads((tmp_path / "out" / "summary.json").read_text())["tensors"]
    assert [row["name"] for row in rows] == sorted(base)
    for row in rows:
        name = row["name"]
        left, right = (a[name] - base[name]).flatten(), (b[name] - base[name]).flatten()
        assert row["delta_norms"]["sft"] == pytest.approx(float(left.norm()), rel=1e-4)
        assert row["merged_delta_norm"] == pytest.approx(float((out[name] - base[name]).norm()), rel=1e-4)
        assert row["sign_conflict_share"] == pytest.approx(float((left * right < 0).float().mean()), abs=1e-6)
        cosine = float(torch.nn.functional.cosine_similarity(left, right, dim=0))
        assert row["cosines"]["sft | cpt"] == pytest.approx(cosine, abs=1e-5)
    total = sum(float((a[name] - base[name]).square().sum()) for name in base) ** 0.5
    assert manifest.stats["delta_norms"]["sft"] == pytest.approx(total, rel=1e-4)


def test_yaml_paths_are_those_of_the_file_or_the_working_directory(
    family: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "near").symlink_to(family / "a")
    monkeypatch.chdir(family)
    manifest = from_yaml(tmp_path, tmp_path / "out", **linear("near", "b"))
    assert sorted(manifest.inputs) == ["b", "near"]


def test_a_model_merged_with_itself_is_itself(family: Path, tmp_path: Path, copy: Copy) -> None:
    copy("a-16", "one")
    copy("a-16", "two")
    from_yaml(tmp_path, tmp_path / "out", **linear("one", "two"))
    found, wanted = (load_file(f / "model.safetensors") for f in (tmp_path / "out", family / "a-16"))
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("source", ["b", "b-16"])
def test_weights_that_are_not_finite(tmp_path: Path, copy: Copy, family: Path, bad: float, source: str) -> None:
    def spoil(weights: dict[str, torch.Tensor]) -> None:
        weights["model.layers.1.mlp.down_proj.weight"][3, 5] = bad

    folder = copy(source, "bad", spoil)
    copy("a", "good")
    with pytest.raises(UserError) as caught:
        from_yaml(tmp_path, tmp_path / "out", **linear("good", "bad"))
    text = str(caught.value)
    assert text.startswith(f"{folder / 'model.safetensors'}: model.layers.1.mlp.down_proj.weight holds NaN or infinity")
    assert "\n" not in text
    assert not (tmp_path / "out").exists()


def test_a_value_too_large_for_the_output(tmp_path: Path, copy: Copy) -> None:
    def enlarge(weights: dict[str, torch.Tensor]) -> None:
        weights["model.norm.weight"][0] = 1e6

    copy("a", "large", enlarge)
    with pytest.raises(UserError, match=r"model\.norm\.weight: a merged value is too large for float16"):
        from_yaml(tmp_path, tmp_path / "out", **linear("large"), out_dtype="float16")
    assert not (tmp_path / "out").exists()


def test_no_room_on_the_disk(family: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    full = os.statvfs(tmp_path)
    monkeypatch.setattr(
        os, "statvfs", lambda _: os.statvfs_result((full.f_bsize, full.f_frsize, 9, 9, 0, 9, 9, 9, 0, 9))
    )
    with pytest.raises(MachineError, match="make room"):
        from_yaml(family, tmp_path / "out", **linear("a", "b"))


def test_tokenizer_and_chat_template(tmp_path: Path, copy: Copy) -> None:
    for name, source in (("one", "a"), ("two", "b"), ("three", "c")):
        folder = copy(source, name)
        config = json.loads((folder / "tokenizer_config.json").read_text())
        config["chat_template"] = "{{ 1 }}" if name == "one" else "{{ 2 }}"
        (folder / "tokenizer_config.json").write_text(json.dumps(config))
    merge = linear("one", "two", "three")
    cases: list[tuple[dict[str, str], str]] = [
        ({}, "{{ 1 }}"),
        ({"tokenizer_source": "two"}, "{{ 2 }}"),
        ({"tokenizer_source": "union"}, "{{ 1 }}"),
        ({"chat_template": "auto"}, "{{ 2 }}"),
        ({"chat_template": "{{ 3 }}"}, "{{ 3 }}"),
    ]
    for number, (more, wanted) in enumerate(cases):
        from_yaml(tmp_path, tmp_path / f"out{number}", **merge, **more)
        assert Tokenizer.from_folder(tmp_path / f"out{number}").chat_template == wanted
    from_yaml(tmp_path, tmp_path / "chatml", **merge, chat_template="chatml")
    assert "<|im_start|>" in str(Tokenizer.from_folder(tmp_path / "chatml").chat_template)
    for more, says in (
        ({"tokenizer_source": "four"}, "model 'four' is no folder here"),
        ({"tokenizer_source": "base"}, "there is no base_model"),
        ({"chat_template": "chatlm"}, "'chatlm' is not auto, chatml"),
    ):
        with pytest.raises(UserError, match=says):
            from_yaml(tmp_path, tmp_path / "out", **merge, **more)


def test_a_result_that_does_not_run_is_not_delivered(tmp_path: Path, copy: Copy) -> None:
    """Finite weights whose activations overflow: the file is sound, the model is not."""

    def enlarge(weights: dict[str, torch.Tensor]) -> None:
        weights["model.layers.0.mlp.down_proj.weight"] *= 1e38
        weights["model.layers.0.mlp.up_proj.weight"] *= 1e20

    copy("a", "wild", enlarge)
    with pytest.raises(MachineError, match=r"values behind model\.layers\.0 that are not finite"):
        from_yaml(tmp_path, tmp_path / "out", **linear("wild"))
    assert not (tmp_path / "out").exists()


def test_the_check_holds_a_layer_at_a_time(
    family: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(streaming, "free_bytes", lambda: 0)
    stats = from_yaml(family, tmp_path / "out", **linear("a", "b")).stats
    said = capsys.readouterr().err
    assert "layer by layer" in said
    assert "it says" in said, "one token comes of the comparison itself"
    assert stats["parity_difference"] < stats["parity_tolerance"] == 1e-4


def test_sharded_inputs_and_inputs_of_several_types(family: Path, tmp_path: Path, copy: Copy) -> None:
    weights = load_file(copy("a-16", "sharded") / "model.safetensors")
    folder = tmp_path / "sharded"
    (folder / "model.safetensors").unlink()
    names = sorted(weights)
    shards = {"x.safetensors": names[::2], "y.safetensors": names[1::2]}
    for file, part in shards.items():
        save_file({name: weights[name] for name in part}, folder / file)
    index = {"weight_map": {name: file for file, part in shards.items() for name in part}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    copy("b", "wide")
    from_yaml(tmp_path, tmp_path / "out", **linear("wide", "sharded"), out_dtype="float32")
    wide, out = (load_file(tmp_path / name / "model.safetensors") for name in ("wide", "out"))
    for name in names:
        torch.testing.assert_close(out[name], (wide[name] + weights[name].float()) / 2)


@pytest.mark.parametrize(("tail", "method"), [("", "linear"), ("-16", "linear"), ("", "ties")])
def test_a_model_with_an_adapter_is_merged_like_its_merged_folder(
    tail: str, method: str, family: Path, tmp_path: Path
) -> None:
    """Mergekit's `base+adapter`, streamed, in a folder whose name has a plus too; the adapter is an input of its own."""
    base = tmp_path / "base+1"
    shutil.copytree(family / f"base{tail}", base)
    generator = torch.Generator().manual_seed(0)
    pairs = {
        f"model.layers.{layer}.{name}.weight": (
            torch.randn(3, width, generator=generator),
            torch.randn(height, 3, generator=generator) * 0.01,
        )
        for layer, name, height, width in ((0, "self_attn.k_proj", 16, 32), (1, "mlp.down_proj", 32, 64))
    }
    write_adapter(tmp_path / "adapter", pairs, {"r": 3, "lora_alpha": 5})
    save_model(
        tmp_path / "whole",
        ChangedWeights(base, load_adapter(tmp_path / "adapter"), torch.float32),
        json.loads((base / "config.json").read_text()),
        base,
    )
    others = {"base_model": str(base), "parameters": {"density": 0.5}} if method == "ties" else {}
    results = []
    for name in (str(tmp_path / "whole"), f"{base}+{tmp_path / 'adapter'}"):
        value = {**linear(name, str(family / f"a{tail}")), **others, "merge_method": method, "out_dtype": "float32"}
        out = tmp_path / f"out-{len(results)}"
        results.append((from_yaml(tmp_path, out, **value), (out / "model.safetensors").read_bytes()))
    assert results[0][1] == results[1][1]
    assert any("(adapter)" in name for name in results[1][0].inputs)
    config = MergekitConfig.model_validate(linear("x", "y"))
    folders = {"x": base, "y": base}
    plain, added = (make_plan(make_job(config, folders, a), 1, 1) for a in (None, {"x": tmp_path / "adapter"}))
    assert added.peak_bytes - plain.peak_bytes == 4 * sum(part.numel() for pair in pairs.values() for part in pair)
    assert load_file(tmp_path / "out-1" / "model.safetensors")["model.layers.1.mlp.down_proj.weight"].isfinite().all()


def test_an_adapter_that_does_not_fit_is_found_before_weights_are_read(family: Path, tmp_path: Path) -> None:
    names = ("model.layers.0.self_attn.q_prj.weight", "model.layers.1.self_attn.q_proj.weight")
    pairs = {name: (torch.ones(2, 32), torch.ones(8, 2)) for name in names}
    write_adapter(tmp_path / "adapter", pairs, {"r": 2, "lora_alpha": 2})
    (tmp_path / "none").mkdir()
    models = [f"{family / 'a'}+{tmp_path / 'adapter'}", f"{family / 'b'}+{tmp_path / 'none'}"]
    with pytest.raises(UserError) as caught:
        from_yaml(tmp_path, tmp_path / "out", **linear(*models))
    text = str(caught.value)
    assert "q_prj.weight, which" in text
    assert "nearest: model.layers.0.self_attn.q_proj.weight" in text
    assert "by a matrix [8, 32], but in" in text
    assert "no adapter_config.json" in text
    assert not (tmp_path / "out").exists()
