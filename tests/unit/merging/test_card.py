"""A merge tells what it is: a card, a configuration that can be run again, a page."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file

from pico import transformers_model
from sagecraft import artifact
from sagecraft.merging import card
from sagecraft.merging.config import MergekitConfig, read_merge_config
from sagecraft.merging.job import make_job
from sagecraft.merging.merge import MergeConfig, merge_from_yaml, run
from sagecraft.models import streaming
from sagecraft.models.adapter import write_adapter
from sagecraft.publishing.publish import PublishConfig
from sagecraft.publishing.publish import run as publish

HOSTILE = "<img src=x onerror=alert(1)>|`*_$"


def merge(folder: Path, out: Path, **value: Any) -> artifact.Manifest:
    path = folder / "merge.yml"
    path.write_text(yaml.safe_dump(value), encoding="utf-8")
    return merge_from_yaml(path, out)


def front(out: Path) -> dict[str, Any]:
    value: dict[str, Any] = yaml.safe_load((out / "README.md").read_text(encoding="utf-8").split("---\n")[1])
    return value


@pytest.fixture
def models(family: Path, tmp_path: Path) -> Path:
    """Plain folders `base`, `a` and `b`, the first of which says its licence in a card."""
    for name in ("base", "a", "b"):
        shutil.copytree(family / name, tmp_path / name)
    (tmp_path / "base" / "README.md").write_text("---\nlicense: apache-2.0\n---\ntext", encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize("method", ["dare_ties", "della", "model_stock", "ramplus_tl"])
def test_the_configuration_of_a_card_makes_the_same_bytes(method: str, models: Path) -> None:
    entries = [{"model": "a"}, {"model": "b"}]
    if method != "model_stock":
        entries = [{"model": n, "parameters": {} if method == "ramplus_tl" else {"weight": [0.2, 0.9]}} for n in "ab"]
    made = merge(models, models / "out", merge_method=method, base_model="base", models=entries, seed=7)
    text = (models / "out" / "README.md").read_text(encoding="utf-8")
    stated = text.split("```yaml\n")[1].split("\n```")[0]
    full = yaml.safe_load(stated)
    assert full == yaml.safe_load((models / "out" / "merge.yml").read_text())
    assert full["seed"] == 7
    if method == "dare_ties":
        wanted = {"normalize": False, "lambda": 1.0, "rescale": "inverse_density", "sign_ties": "none", "density": 1.0}
        assert full["parameters"] == wanted
    (models / "again.yml").write_text(stated, encoding="utf-8")
    again = merge_from_yaml(models / "again.yml", models / "again")
    assert again.files["model.safetensors"] == made.files["model.safetensors"]


def test_what_a_card_tells_of_models(models: Path) -> None:
    shutil.copytree(models / "a", models / "models--some-lab--their-model" / "snapshots" / "0a1b")
    pairs = {"model.layers.0.self_attn.q_proj.weight": (torch.ones(2, 32), torch.ones(32, 2) * 0.01)}
    write_adapter(models / "adapter", pairs, {"r": 2, "lora_alpha": 2})
    names = ["models--some-lab--their-model/snapshots/0a1b", "b+adapter"]
    entries = [{"model": name, "parameters": {"weight": 1}} for name in names]
    made = merge(models, models / "out", merge_method="task_arithmetic", base_model="base", models=entries)
    text = (models / "out" / "README.md").read_text(encoding="utf-8")
    assert front(models / "out") == {
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        "base_model": ["some-lab/their-model"],
        "base_model_relation": "merge",
        "tags": ["merge", "sagecraft", "task_arithmetic"],
    }  # no licence, for they do not all state one
    assert "licences are not all known" in text
    for label, digest in made.inputs.items():
        assert digest[:12] in text, label
    assert f"| b+adapter | — | not recorded | {made.inputs['b+adapter'][:12]} | " in text
    assert "| base | — | apache-2.0 |" in text
    assert "64 positions" in text


def test_a_licence_that_all_state_is_the_results(models: Path) -> None:
    for name, text in (("a", "license: Apache-2.0"), ("b", "license: other\nlicense_name: apache-2.0")):
        (models / name / "README.md").write_text(f"---\n{text}\n---\n", encoding="utf-8")
    value = {"merge_method": "slerp", "base_model": "a", "models": [{"model": "b"}], "parameters": {"t": 0.5}}
    made = merge(models, models / "out", **value)
    assert card.agreed_license({"a": {"license": "x"}, "b": {"license": "x"}}) == "x"
    assert card.agreed_license({"a": {"license": "x"}, "b": {}}) == ""
    assert made.stats["models"]["b"]["license"] == "apache-2.0"
    assert made.stats["license"] == "Apache-2.0"
    assert front(models / "out")["license"] == "apache-2.0"


@pytest.mark.parametrize(
    "text", ["---\n{", "---\nlicense: [a]\n---\n", "---\n- a\n---\n", "---", "\ud800", "---\n&a [*a\n---\n"]
)
def test_a_card_that_cannot_be_read_states_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / "README.md").write_text(text, encoding="utf-8", errors="surrogatepass")
    assert card.read_facts("x", tmp_path, {}) == {}


def test_models_of_a_recipe_are_traced_to_each_other(family: Path, tmp_path: Path) -> None:
    with artifact.build(
        tmp_path / "tuned",
        kind="model",
        stage="sft",
        version=1,
        config=PublishConfig(),
        inputs={"model": family / "base"},
    ) as build:
        for file in (family / "a").iterdir():
            shutil.copyfile(file, build.path / file.name)
    config = MergeConfig.model_validate({"models": [{"model": "sft"}, {"model": "cpt"}]})
    inputs = {"base": family / "base", "sft": tmp_path / "tuned", "cpt": family / "b"}
    made = run(config, inputs, tmp_path / "out")
    assert made.stats["models"]["sft"] == {"stage": "sft", "made_of": "base"}
    assert "| sft | sft of base | not recorded |" in (tmp_path / "out" / "README.md").read_text(encoding="utf-8")


def test_names_of_strangers_are_text(models: Path) -> None:
    hostile = models / HOSTILE
    shutil.copytree(models / "a", hostile)
    (hostile / "README.md").write_text(f"---\nlicense: '{HOSTILE}'\n---\n", encoding="utf-8")
    far = models / ("d" * 120) / ("e" * 120)
    shutil.copytree(models / "b", far)
    entries = [{"model": str(path), "parameters": {"weight": 0.5}} for path in (hostile, far)]
    merge(models, models / "out", merge_method="ties", base_model="base", models=entries)
    page = (models / "out" / "merge.html").read_text(encoding="utf-8")
    assert "<img" not in page
    assert "&lt;img src=x onerror=alert(1)&gt;" in page
    assert str(far) in page, "the configuration has it whole"
    text = (models / "out" / "README.md").read_text(encoding="utf-8")
    outside_of_code = "".join(text.split("```")[::2])
    assert "<img" not in outside_of_code.replace("\\<img", "")
    assert "\\|\\`\\*\\_\\$" in outside_of_code


def test_a_published_merge_tells_the_same_without_paths(models: Path) -> None:
    entries = [{"model": str(models / name), "parameters": {"weight": 0.5, "density": 0.5}} for name in "ab"]
    made = merge(
        models, models / "run" / "out", merge_method="dare_ties", base_model=str(models / "base"), models=entries
    )
    publish(PublishConfig(name="Pico"), {"model": models / "run" / "out"}, models / "published")
    text = (models / "published" / "README.md").read_text(encoding="utf-8")
    steps = json.loads((models / "published" / "lineage.json").read_text(encoding="utf-8"))
    assert str(models) not in text
    assert str(models) not in json.dumps(steps)
    assert f"a: from outside ({made.inputs[str(models / 'a')][:12]})" in text
    assert "- model: a\n" in text
    assert "which were shortened" in text
    assert steps[-1]["inputs"]["base"] == {"step": "outside", "digest": made.inputs[str(models / "base")]}


def test_figures_of_the_page_are_those_of_the_weights(models: Path) -> None:
    """Held against numpy: root mean squares and the cosine of the whole model, as the page's words have them."""
    entries = [{"model": name, "parameters": {"weight": 0.5}} for name in "ab"]
    merge(
        models, models / "out", merge_method="linear", models=[*entries, {"model": "base", "parameters": {"weight": 1}}]
    )
    flat = {
        name: np.concatenate([value.float().numpy().ravel() for _, value in sorted(load_file(path).items())])
        for name, path in ((name, models / name / "model.safetensors") for name in ("base", "a", "b", "out"))
    }
    reference = flat["a"].astype(np.float64)  # without a base: the first model
    change = {name: value - reference for name, value in flat.items()}
    page = (models / "out" / "merge.html").read_text(encoding="utf-8")
    size = float(np.sqrt(np.mean(change["out"] ** 2)))
    assert f'<dd class="value">{size:.4g}</dd>' in page
    cosine = float(change["b"] @ change["base"] / np.linalg.norm(change["b"]) / np.linalg.norm(change["base"]))
    assert f"b and base have {cosine:.2f}" in page


def test_short_names() -> None:
    labels = ["/x/a", "/y/a", "b+/z/lora", "owner/model", "/"]
    assert list(card.short_names(labels).values()) == ["a", "a (2)", "b+lora", "model", "/"]


def test_the_folders_name_is_no_part_of_it(models: Path) -> None:
    """The same merge elsewhere is the same bytes, card and all."""
    value = {"merge_method": "slerp", "base_model": "a", "models": [{"model": "b"}], "parameters": {"t": 0.5}}
    first = merge(models, models / "one", **value)
    assert merge(models, models / "two", **value) == first


@pytest.mark.parametrize(
    "path", sorted((Path(__file__).parents[2] / "golden" / "merges").glob("*.yml")), ids=lambda p: p.stem
)
def test_every_form_can_be_written_out(path: Path) -> None:
    """What is written is read as the same merge, and has nothing more to fill in."""
    config = read_merge_config(path)
    folders = {name: Path(name) for name in config.model_names}
    full = card.full_configuration(config, make_job(config, folders))
    again = MergekitConfig.model_validate(yaml.safe_load(card.as_yaml(full)))
    assert card.full_configuration(again, make_job(again, folders)) == full
    assert (again.models, again.slices, again.vocabulary) == (config.models, config.slices, config.vocabulary)


def test_a_family_that_only_transformers_computes_is_loaded_whole_or_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    transformers_model(tmp_path / "olmo", "olmo2")
    value = {"merge_method": "passthrough", "models": [{"model": "olmo", "parameters": {"scale": 1.0}}]}
    made = merge(tmp_path, tmp_path / "out", **value)
    assert made.stats["parity_difference"] < made.stats["parity_tolerance"]
    assert "it says" in capsys.readouterr().err
    monkeypatch.setattr(streaming, "free_bytes", lambda: 0)
    made = merge(tmp_path, tmp_path / "unrun", **value)
    assert "parity_difference" not in made.stats
    assert "not run for a test: olmo2" in capsys.readouterr().err
    assert "was not run" in (tmp_path / "unrun" / "README.md").read_text(encoding="utf-8")
