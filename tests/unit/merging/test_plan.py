"""Everything that can be wrong with the models is found in headers and configurations, and said at once."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from sagecraft.errors import UserError
from sagecraft.merging.config import MergekitConfig
from sagecraft.merging.job import Job, make_job
from sagecraft.merging.plan import MergePlan, make_plan

Copy = Callable[..., Path]


def job_of(*folders: Path, **more: Any) -> Job:
    models = [{"model": folder.name, "parameters": {"weight": 1}} for folder in folders]
    config = MergekitConfig.model_validate({"merge_method": "linear", "models": models, **more})
    return make_job(config, {folder.name: folder for folder in folders})


def plan(*folders: Path, **more: Any) -> MergePlan:
    return make_plan(job_of(*folders, **more), 1000, 1)


def faults(*folders: Path, **more: Any) -> list[str]:
    with pytest.raises(UserError) as caught:
        plan(*folders, **more)
    return str(caught.value).split("\n")


def edit(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))


def test_a_sound_plan(family: Path) -> None:
    found = plan(family / "a", family / "b-16", out_dtype="bfloat16")
    assert [row.name for row in found.tensors] == sorted(load_file(family / "a" / "model.safetensors"))
    path = family / "b-16" / "model.safetensors"
    assert found.num_output_bytes == path.stat().st_size - header(path)
    assert (found.vocabulary.action, found.vocabulary.num_rows) == ("same", 320)
    assert found.config["dtype"] == "bfloat16"
    assert found.notes == ("weights are stored as float32 in a; bfloat16 in b-16; the result has bfloat16",)
    assert plan(family / "a", family / "b").notes == ()


def header(path: Path) -> int:
    return 8 + int(struct.unpack("<Q", path.read_bytes()[:8])[0])


def test_all_faults_at_once(family: Path, copy: Copy) -> None:
    def damage(weights: dict[str, torch.Tensor]) -> None:
        del weights["model.norm.weight"]
        weights["model.extra"] = torch.zeros(3)
        weights["model.layers.0.mlp.up_proj.weight"] = torch.zeros(63, 32)
        weights["model.layers.0.mlp.gate_proj.weight"] = torch.zeros(64, 32, dtype=torch.int32)

    folder = copy("b", "damaged", damage)
    edit(folder / "config.json", lambda config: config.update(num_hidden_layers=3))
    edit(folder / "tokenizer.json", lambda value: value["model"]["vocab"].pop("e"))
    found = faults(family / "a", folder, family / "c")
    for part in (
        "num_hidden_layers differs: 2 in a, 3 in damaged, 2 in c",
        "model.norm.weight is a tensor of a, c, but not of damaged",
        "model.extra is a tensor of damaged, but not of a, c",
        "1 tensors differ in shape, such as model.layers.0.mlp.up_proj.weight: [64, 32] in a, c; [63, 32] in damaged",
        "damaged: model.layers.0.mlp.gate_proj.weight is a tensor of type I32; only F32, BF16, F16 are merged",
        "(such as 'e')",
    ):
        assert sum(part in line for line in found) == 1, part
    assert len(found) == 6


def test_models_of_different_families_are_one_line(family: Path, copy: Copy) -> None:
    folder = copy("b", "other", lambda weights: weights.clear())
    edit(folder / "config.json", lambda config: config.update(model_type="mistral", hidden_size=7))
    (line,) = faults(family / "a", folder)
    assert (
        line == "config.json: model_type differs: 'llama' (a), 'mistral' (other); only models of one family are merged"
    )


def test_vocabularies_that_differ_are_refused_with_the_difference(family: Path, copy: Copy) -> None:
    folder = copy("b", "other")

    def change(value: dict[str, Any]) -> None:
        vocabulary = value["model"]["vocab"]
        vocabulary["a"], vocabulary["b"] = vocabulary["b"], vocabulary["a"]
        value["added_tokens"].append({**value["added_tokens"][0], "content": "<new>", "id": 320})

    edit(folder / "tokenizer.json", change)
    (line,) = faults(family / "a", folder)
    assert "1 tokens only here (such as '<new>'), 2 tokens with another id (such as 'a')" in line
    assert "write `tokenizer: {source: union}` (or base, or a model) to align rows by token" in line
    (folder / "tokenizer.json").unlink()
    (line,) = faults(family / "a", folder)
    assert "no tokenizer.json" in line


def test_differences_that_are_no_faults_are_noted(family: Path, copy: Copy) -> None:
    folder = copy("b", "other")
    edit(folder / "config.json", lambda config: config.update(max_position_embeddings=1024))
    edit(folder / "tokenizer_config.json", lambda config: config.update(eos_token="<|endoftext|>"))
    found = plan(family / "a", folder)
    assert found.notes == (
        "max_position_embeddings differs: 512 in a, 1024 in other; the result has that of a",
        "eos_token differs: '<|im_end|>' in a, '<|endoftext|>' in other",
        "'<|im_end|>' has another role: eos_token and pad_token in a, pad_token in other",
    )
    assert found.config["max_position_embeddings"] == 512


def test_a_tied_head_stored_twice_is_one(family: Path, copy: Copy) -> None:
    def store_head(weights: dict[str, torch.Tensor]) -> None:
        weights["lm_head.weight"] = weights["model.embed_tokens.weight"].clone()
        weights["model.layers.0.self_attn.rotary_emb.inv_freq"] = torch.zeros(4)

    found = plan(family / "a", copy("b", "twice", store_head))
    assert "lm_head.weight" not in [row.name for row in found.tensors]
    assert not any("inv_freq" in row.name for row in found.tensors)


def test_a_tied_and_an_untied_model_are_refused(family: Path, copy: Copy) -> None:
    def store_head(weights: dict[str, torch.Tensor]) -> None:
        weights["lm_head.weight"] = weights["model.embed_tokens.weight"].clone()

    folder = copy("b", "untied", store_head)
    edit(folder / "config.json", lambda config: config.update(tie_word_embeddings=False))
    found = faults(family / "a", folder)
    assert any("tie_word_embeddings differs" in line for line in found)
    assert any("lm_head.weight is a tensor of untied, but not of a" in line for line in found)


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda data: data[:-10], "where its header promises"),
        (lambda data: data[:5], "are no safetensors file"),
        (lambda data: struct.pack("<Q", 1 << 60) + data[8:], "header of"),
        (lambda data: data[:8] + b"x" + data[9:], "the header is not readable"),
        (lambda data: data.replace(b'"data_offsets":[0,', b'"data_offsets":[4,', 1), "disagree"),
    ],
)
def test_damaged_headers(copy: Copy, family: Path, damage: Callable[[bytes], bytes], says: str) -> None:
    folder = copy("b", "damaged")
    path = folder / "model.safetensors"
    path.write_bytes(damage(path.read_bytes()))
    (line,) = faults(family / "a", folder)
    assert says in line
    assert str(path) in line


def test_damage_of_several_models_is_told_together(copy: Copy, family: Path) -> None:
    folders = [copy("b", "one"), copy("c", "two")]
    for folder in folders:
        (folder / "model.safetensors").unlink()
    (folders[1] / "config.json").unlink()
    assert len(faults(family / "a", *folders)) == 3


def test_filters_that_leave_a_tensor_without_weight(family: Path) -> None:
    rows = [{"filter": "mlp", "value": 1}, {"filter": "self_attn", "value": 1}]
    models = [{"model": name, "parameters": {"weight": rows}} for name in "ab"]
    (first, second) = faults(family / "a", family / "b", models=models)
    assert first.startswith("weight of a: no filter fits model.")
    assert second.startswith("weight of b: no filter fits model.")


def test_many_faults_are_counted(family: Path, tmp_path: Path, copy: Copy) -> None:
    folder = copy("b", "empty")
    save_file({f"t{n:03}": torch.zeros(1) for n in range(50)}, folder / "model.safetensors")
    found = faults(family / "a", folder)
    assert any(line.startswith("50 tensors, such as t000, are of empty, but not of a") for line in found)
    assert any(line.startswith("20 tensors, such as model.") for line in found)


@pytest.mark.parametrize("key", ["head_dim", "num_key_value_heads", "tie_word_embeddings", "hidden_act"])
def test_what_an_older_configuration_leaves_out_is_noted(key: str, family: Path, copy: Copy) -> None:
    older = copy("b", "older")
    edit(older / "config.json", lambda config: config.pop(key))
    assert [note.split()[0] for note in plan(family / "a", older).notes] == [key]


@pytest.mark.parametrize("settings", [{}, {"merge_method": "task_arithmetic", "base_model": "base"}])
def test_weights_that_cancel_out_are_not_divided_by(family: Path, settings: dict[str, Any]) -> None:
    def found(normalize: object) -> MergePlan:
        models = [{"model": name, "parameters": {"weight": w}} for name, w in (("a", 0.5), ("b", -0.5))]
        config = {"merge_method": "linear", "models": models, "parameters": {"normalize": normalize}, **settings}
        folders = {name: family / name for name in ("a", "b", "base")}
        return make_plan(make_job(MergekitConfig.model_validate(config), folders), 1000, 1)

    assert found(False).tensors
    by_filter = [{"filter": "mlp.down_proj", "value": True}, {"value": False}]
    for normalize in (True, by_filter):
        with pytest.raises(UserError, match=r"^weight: the weights add up to 0, and normalize divides .* 0\.5, -0\.5;"):
            found(normalize)
