"""Every form of configuration that mergekit documents, written for four small models, gives a model that runs."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from pico import pico_model
from sagecraft.artifact import write_json
from sagecraft.merging.alignment import align
from sagecraft.merging.config import read_merge_config
from sagecraft.merging.finish import chat_template_text
from sagecraft.merging.merge import prepare
from sagecraft.merging.methods import METHODS
from sagecraft.merging.plan import make_plan
from sagecraft.merging.stream import write_merged
from sagecraft.models.load import load_model

EXAMPLES = sorted((Path(__file__).parents[2] / "golden" / "merges").glob("*.yml"))
#: Of those that stack layers: how many the result has.
NUM_LAYERS = {"stacked-layers": 6, "self-stacked-scaled": 6, "stacked-with-a-dummy": 6}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`base` of four layers, and fine-tunes `math`, `chat` and `code`."""
    root = tmp_path_factory.mktemp("examples")
    base = load_file(pico_model(root / "base", 0, num_hidden_layers=4, tie_word_embeddings=False) / "model.safetensors")
    for seed, name in enumerate(("math", "chat", "code"), start=1):
        shutil.copytree(root / "base", root / name)
        generator = torch.Generator().manual_seed(seed)
        tuned = {key: value + 0.01 * torch.randn(value.shape, generator=generator) for key, value in base.items()}
        save_file(tuned, root / name / "model.safetensors", metadata={"format": "pt"})
    return root


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_gives_a_model_that_runs(
    path: Path, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(models)
    job = prepare(read_merge_config(path), path).job
    plan = make_plan(job, 1000, 1)
    (tmp_path / "aligned").mkdir()
    write_merged(job, align(plan, tmp_path / "aligned"), tmp_path, lambda _: None, num_threads=1)
    plan.vocabulary.write(job, tmp_path, chat_template_text(job))
    write_json(tmp_path / "config.json", plan.config)
    weights = load_file(tmp_path / "model.safetensors")
    wanted = job.out_dtype
    assert {str(tensor.dtype) for tensor in weights.values()} == {f"torch.{wanted}"}
    model = load_model(tmp_path, "float32").model
    assert model.config.num_layers == NUM_LAYERS.get(path.stem, 4)
    with torch.inference_mode():
        logits = model.logits(model(torch.arange(12)[None]))
    assert torch.isfinite(logits).all()
    own = load_file(job.reference.folder / "model.safetensors")
    assert any(not torch.equal(own[name].to(tensor.dtype), tensor) for name, tensor in weights.items() if name in own)


def test_every_method_has_an_example() -> None:
    assert {read_merge_config(path).merge_method for path in EXAMPLES} == set(METHODS)
