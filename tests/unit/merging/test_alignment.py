"""Models whose vocabularies differ are merged token by token: expected rows are worked out here, from the models' own files."""

from __future__ import annotations

import json
import subprocess
import sys
import tracemalloc
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from pico import other_vocabulary, pico_model
from sagecraft import artifact
from sagecraft.errors import MachineError, UserError
from sagecraft.merging import alignment
from sagecraft.merging.alignment import Alignment, RowMap, align
from sagecraft.merging.config import MergekitConfig
from sagecraft.merging.job import make_job
from sagecraft.merging.merge import MergeConfig, merge_from_yaml
from sagecraft.merging.plan import MergePlan, TensorPlan, make_plan
from sagecraft.merging.stream import write_merged
from sagecraft.merging.vocabulary import VocabularyPlan
from sagecraft.models.adapter import write_adapter
from sagecraft.models.load import load_model
from sagecraft.models.tensors import list_tensors
from sagecraft.models.tokenizer import Tokenizer

EMBEDDING, HEAD = "model.embed_tokens.weight", "lm_head.weight"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`base`, and fine-tunes `a0` and `b0` with untied heads; `a`, `b` are the same with shuffled ids and tokens of their own."""
    root = tmp_path_factory.mktemp("vocabularies")
    weights = load_file(pico_model(root / "base", 0, tie_word_embeddings=False) / "model.safetensors")
    for seed, name in enumerate(("a0", "b0"), start=1):
        generator = torch.Generator().manual_seed(seed)
        pico_model(root / name, 0, tie_word_embeddings=False)
        tuned = {key: value + 0.02 * torch.randn(value.shape, generator=generator) for key, value in weights.items()}
        save_file(tuned, root / name / "model.safetensors", metadata={"format": "pt"})
    other_vocabulary(root / "a0", root / "a", 1, ("<|x|>", "<|both|>"))
    other_vocabulary(root / "b0", root / "b", 2, ("<|both|>", "<|z|>"))
    return root


def merged(models: Path, out: Path, *names: str, **value: Any) -> Path:
    given = {"merge_method": "linear", "models": entries(*names), "out_dtype": "float32", **value}
    config = models / f"{out.name}.yml"
    config.write_text(yaml.safe_dump(given), encoding="utf-8")
    merge_from_yaml(config, out)
    return out


def written(folders: Mapping[str, Path], out: Path, **value: Any) -> Path:
    """Only the weights and the tokenizer of a merge; models are told by their labels."""
    config = MergekitConfig.model_validate({"out_dtype": "float32", **value})
    job = make_job(config, folders)
    plan = make_plan(job, 1000, 1)
    (out / "scratch").mkdir(parents=True)
    write_merged(job, align(plan, out / "scratch"), out, lambda _: None, num_threads=1)
    plan.vocabulary.write(job, out, None)
    return out


def entries(*names: str, **parameters: Any) -> list[dict[str, Any]]:
    return [{"model": name, "parameters": {"weight": 0.7 - 0.4 * n, **parameters}} for n, name in enumerate(names)]


def ids_of(folder: Path) -> dict[str, int]:
    value = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    return {**value["model"]["vocab"], **{row["content"]: row["id"] for row in value["added_tokens"]}}


def row(folder: Path, name: str, token: str) -> torch.Tensor:
    return load_file(folder / "model.safetensors")[name][ids_of(folder)[token]]


def logits(folder: Path, ids: list[int]) -> torch.Tensor:
    with torch.inference_mode():
        model = load_model(folder, "float32").model
        return model.logits(model(torch.tensor([ids])))[0]


def test_logits_of_shared_tokens_are_those_of_the_merge_without_shuffling(models: Path, tmp_path: Path) -> None:
    out = merged(models, tmp_path / "out", "a", "b", tokenizer={"source": "union"})
    a, b = (load_file(models / name / "model.safetensors") for name in ("a0", "b0"))
    plain = pico_model(tmp_path / "plain", 0, tie_word_embeddings=False)
    average = {name: (a[name].double() * 0.7 + b[name].double() * 0.3).float() for name in a}
    save_file(average, plain / "model.safetensors", metadata={"format": "pt"})
    text = "A star shines because hydrogen fuses into helium in its core."
    old, new = ids_of(plain), ids_of(out)
    wanted_ids = Tokenizer.from_folder(plain).encode(text)
    found_ids = Tokenizer.from_folder(out).encode(text)
    assert found_ids != wanted_ids
    shared = sorted(old)
    wanted = logits(plain, wanted_ids)[:, [old[token] for token in shared]]
    found = logits(out, found_ids)[:, [new[token] for token in shared]]
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)
    assert set(new) == {*old, "<|x|>", "<|both|>", "<|z|>"}
    for name in (EMBEDDING, HEAD):
        assert torch.equal(row(out, name, "<|x|>"), row(models / "a", name, "<|x|>"))
        assert torch.equal(row(out, name, "<|z|>"), row(models / "b", name, "<|z|>"))
    config = json.loads((out / "config.json").read_text(encoding="utf-8"))
    assert config["vocab_size"] == len(new) == 323
    summary = json.loads((out / "summary.json").read_text(encoding="utf-8"))["vocabulary"]
    assert (summary["action"], summary["num_rows"], summary["num_added"]) == ("aligned", 323, 1)


@pytest.mark.parametrize("method", ["dare_ties", "ties", "della"])
def test_shuffled_models_merge_to_the_bytes_of_ordered_ones(
    models: Path, tmp_path: Path, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Masks and elections belong to places of the result: with the base's vocabulary a model's own order makes no difference."""
    common = {"merge_method": method, "base_model": "base", "models": entries("x", "y", density=0.5)}
    folders = {"x": models / "a0", "y": models / "b0"}
    ordered = written({"base": models / "base", **folders}, tmp_path / "ordered", **common, tokenizer_source="base")
    shuffled = {label: other_vocabulary(folder, tmp_path / label, 7) for label, folder in folders.items()}
    monkeypatch.setattr(alignment, "_CHUNK_BYTES", 1000)
    found = written({"base": models / "base", **shuffled}, tmp_path / "found", **common, tokenizer_source="base")
    for name in ("model.safetensors", "tokenizer.json"):
        assert (found / name).read_bytes() == (ordered / name).read_bytes()
    assert any((found / "scratch").iterdir())


def test_rows_that_a_model_lacks(models: Path, tmp_path: Path) -> None:
    """Each rule, by what it does to a sum of deltas: 0.7 of a's and 0.3 of b's."""
    tokens = {
        "<|x|>": {"source": {"kind": "zero"}},
        "<|both|>": {"source": "b", "force": True},
        "<|like|>": {"source": {"kind": "model_token", "model": "a", "token": "<|im_end|>"}},
        "<|fifth|>": {"source": {"kind": "model_token", "model": "b", "token_id": 5}},
        "<|null|>": {"source": {"kind": "zero"}},
    }
    settings = {"source": "union", "tokens": tokens, "pad_to_multiple_of": 64}
    folders = {name: models / name for name in ("base", "a", "b")}
    common = {"merge_method": "task_arithmetic", "base_model": "base", "models": entries("a", "b")}
    out = written(folders, tmp_path / "out", **common, tokenizer=settings)
    weights = load_file(out / "model.safetensors")
    for name in (EMBEDDING, HEAD):
        assert weights[name].shape == (384, 32)

        def is_close(token: str, wanted: torch.Tensor, name: str = name) -> bool:
            return torch.allclose(row(out, name, token), wanted, rtol=1e-5, atol=1e-7)

        base, a, b = (row(models / folder, name, "<|im_start|>") for folder in ("base", "a", "b"))
        assert is_close("<|im_start|>", base + 0.7 * (a - base) + 0.3 * (b - base))
        assert is_close("<|x|>", 0.7 * row(models / "a", name, "<|x|>"))  # the base has zeros, and so has b
        assert is_close("<|both|>", row(models / "b", name, "<|both|>"))
        assert is_close("<|z|>", row(models / "b", name, "<|z|>"))  # one model has it: all deltas are zero
        assert is_close("<|like|>", row(models / "a", name, "<|im_end|>"))
        assert is_close("<|fifth|>", load_file(models / "b" / "model.safetensors")[name][5])
        assert is_close("<|null|>", torch.zeros(32))
        own = {folder: load_file(models / folder / "model.safetensors")[name].mean(0) for folder in ("base", "a", "b")}
        padding = own["base"] + 0.7 * (own["a"] - own["base"]) + 0.3 * (own["b"] - own["base"])
        assert torch.allclose(weights[name][326:], padding.expand(58, -1), rtol=1e-4, atol=1e-6)


def test_a_token_of_several_models_is_averaged_where_it_lacks(models: Path, tmp_path: Path) -> None:
    folders = {name: models / name for name in ("base", "a", "b")}
    common = {"merge_method": "task_arithmetic", "base_model": "base", "models": entries("a", "b")}
    out = written(folders, tmp_path / "out", **common, tokenizer_source="union")
    a, b = (row(models / name, EMBEDDING, "<|both|>") for name in "ab")
    base = (a + b) / 2
    wanted = base + 0.7 * (a - base) + 0.3 * (b - base)
    assert torch.allclose(row(out, EMBEDDING, "<|both|>"), wanted, rtol=1e-5, atol=1e-7)


def test_slices_bring_the_rows_of_all_their_models(models: Path, tmp_path: Path) -> None:
    """Embeddings come with the first slice and heads with the last; tokens that neither's model has come from the others."""
    slices = [{"sources": [{"model": name, "layer_range": layers}]} for name, layers in (("a", [0, 2]), ("b", [1, 2]))]
    folders = {name: models / name for name in ("a", "b")}
    out = written(folders, tmp_path / "out", merge_method="passthrough", slices=slices, tokenizer={"source": "union"})
    for token, first, last in (("e", "a", "b"), ("<|x|>", "a", "a"), ("<|z|>", "b", "b"), ("<|both|>", "a", "b")):
        assert torch.equal(row(out, EMBEDDING, token), row(models / first, EMBEDDING, token))
        assert torch.equal(row(out, HEAD, token), row(models / last, HEAD, token))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_padding_of_the_tokenizers_model_stays(tmp_path: Path, dtype: str) -> None:
    """Rows behind the tokens are those of the model whose tokenizer it is; other models' are left out."""
    for name, count in (("base", 330), ("tuned", 340)):
        pico_model(tmp_path / name, len(name), dtype, vocab_size=count, tie_word_embeddings=True)
    common = {"merge_method": "task_arithmetic", "base_model": "base", "models": entries("tuned"), "out_dtype": dtype}
    folders = {name: tmp_path / name for name in ("base", "tuned")}
    out = written(folders, tmp_path / "out", **common, tokenizer_source="base")
    found, base = (load_file(folder / "model.safetensors")[EMBEDDING] for folder in (out, tmp_path / "base"))
    assert found.shape == base.shape
    assert torch.equal(found[320:], base[320:])
    assert not torch.equal(found[:320], base[:320])


KILLED = """
import os, signal, sys
from pathlib import Path
from sagecraft.merging import alignment, merge, stream

def at(module, name, number):
    straight, count = getattr(module, name), 0
    def counted(*arguments, **more):
        nonlocal count
        count += 1
        if count == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return straight(*arguments, **more)
    setattr(module, name, counted)

at(*{"rows": (alignment, "_chunk", 3), "tensors": (stream.Merger, "merge", 3)}[sys.argv[3]])
merge.merge_from_yaml(Path(sys.argv[1]), Path(sys.argv[2]))
"""


def test_a_killed_merge_ends_with_the_same_bytes(models: Path, tmp_path: Path) -> None:
    common = {"merge_method": "dare_ties", "base_model": "base", "tokenizer": {"source": "union"}}
    straight = artifact.load(merged(models, tmp_path / "straight", "a", "b", **common))
    config, out = models / "straight.yml", tmp_path / "out"
    for where in ("rows", "tensors"):  # the second goes on where the first was killed
        command = [sys.executable, "-c", KILLED, str(config), str(out), where]
        assert subprocess.run(command, check=False, capture_output=True).returncode == -9
        assert not out.exists()
    assert merge_from_yaml(config, out) == straight
    assert [path.name for path in out.iterdir() if path.name.endswith(".bin")] == []


def test_rows_that_are_not_finite_name_the_models_own_file(models: Path, tmp_path: Path) -> None:
    other_vocabulary(models / "a0", tmp_path / "bad", 3)
    path = tmp_path / "bad" / "model.safetensors"
    weights = load_file(path)
    weights[HEAD][7, 3] = float("nan")
    save_file(weights, path, metadata={"format": "pt"})
    with pytest.raises(UserError, match=f"^{path}: {HEAD} holds NaN or infinity") as caught:
        merged(models, tmp_path / "out", "a0", str(tmp_path / "bad"), tokenizer={"source": "union"})
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_no_room_for_the_rows(models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        f_bavail, f_frsize = 1, 4096

    monkeypatch.setattr(alignment.os, "statvfs", lambda _: Full)
    with pytest.raises(MachineError, match="rows in the order of the vocabulary take"):
        merged(models, tmp_path / "out", "a", "b", tokenizer={"source": "union"})


def test_an_adapter_that_changes_rows_is_refused(models: Path, tmp_path: Path) -> None:
    write_adapter(tmp_path / "adapter", {HEAD: (torch.ones(1, 32), torch.ones(322, 1))}, {"r": 1, "lora_alpha": 1})
    with pytest.raises(UserError, match=r"changes lm_head\.weight, whose rows have to be aligned"):
        merged(
            models, tmp_path / "out", "base", f"{models / 'a'}+{tmp_path / 'adapter'}", tokenizer={"source": "union"}
        )


def test_memory_is_that_of_a_chunk_whatever_the_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two tables, the larger one of 16 MB, with rows in any order and a mean to be taken: the same 64 KB at a time."""
    monkeypatch.setattr(alignment, "_CHUNK_BYTES", 1 << 16)
    peaks = []
    for num_rows in (500, 1000, 4000):  # the first imports what it needs
        folder = tmp_path / str(num_rows)
        folder.mkdir()
        weights = {EMBEDDING: torch.randn(num_rows, 1024)}
        save_file(weights, folder / "model.safetensors")
        order = np.random.default_rng(0).permutation(num_rows)
        model = np.where(order % 7 == 0, alignment.MEAN, 0)
        rows = RowMap(("m",), 0, model, order, {}, np.arange(num_rows))
        record = list_tensors(folder)[EMBEDDING]
        how = Alignment("m", folder, {}, (), {"m": rows}, {"m": {EMBEDDING: record}}, (), {})
        row = TensorPlan(EMBEDDING, record.shape, "F32", {"m": record}, {}, None, ("m",), (1.0,), (1.0,))
        vocabulary = VocabularyPlan({}, num_rows, aligned=how)
        plan = MergePlan((row,), {}, vocabulary, (), 0, 0, 0)
        tracemalloc.start()
        found = align(plan, folder).tensors[0].records["m"]
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        values = torch.from_numpy(np.fromfile(found.file, np.float32).reshape(record.shape))
        taken = torch.from_numpy(np.flatnonzero(model == 0))
        assert torch.equal(values[taken], weights[EMBEDDING][torch.from_numpy(order)[taken]])
        assert torch.allclose(values[torch.from_numpy(model != 0)], weights[EMBEDDING].mean(0), atol=1e-6)
    assert peaks[2] < peaks[1] + 200_000 < 1 << 20


def test_a_recipe_may_unite_its_models(models: Path) -> None:
    given = {
        "method": "linear",
        "base": None,
        "models": [{"model": "a"}, {"model": "b"}],
        "roles": {"a": "x", "b": "y"},
    }
    config = MergeConfig.model_validate({**given, "tokenizer": "union"})
    assert config.wanted() == ["a", "b"]
    job = make_job(config.as_mergekit(), {name: models / name for name in "ab"})
    assert make_plan(job, 1000, 1).vocabulary.num_rows == 323
    assert (
        MergeConfig.model_validate({**given, "roles": {**given["roles"], "c": "z"}, "tokenizer": "c"}).wanted()[-1]
        == "c"
    )


def test_a_model_without_a_token_leaves_the_bases_row_to_the_others(models: Path, tmp_path: Path) -> None:
    """The base `a` and `b` have the token, `a0` has not: its delta is zero, whatever the average of the others is."""
    folders = {name: models / name for name in ("a", "b", "a0")}
    common = {"merge_method": "task_arithmetic", "base_model": "a", "models": entries("b", "a0")}
    out = written(folders, tmp_path / "out", **common, tokenizer_source="base")
    a, b = (row(models / name, HEAD, "<|both|>") for name in "ab")
    assert torch.allclose(row(out, HEAD, "<|both|>"), a + 0.7 * (b - a), rtol=1e-5, atol=1e-7)
    assert torch.equal(row(out, HEAD, "<|x|>"), row(models / "a", HEAD, "<|x|>"))
