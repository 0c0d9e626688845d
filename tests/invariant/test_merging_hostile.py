"""Damaged and hostile models and configurations: each is one line that names the file, before anything is written."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import struct
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from pico import pico_model
from sagecraft.artifact import keyed_hash
from sagecraft.errors import MachineError, SagecraftError, UserError, from_os_error
from sagecraft.merging import finish, stream
from sagecraft.merging.merge import merge_from_yaml
from sagecraft.models.save import save_model

Header = dict[str, Any]
Damage = Callable[[Path], object]
SHARDED = {"model_type": "llama", "tie_word_embeddings": True}
#: A tensor in the middle of the file, and the first of it.
NORM = "model.layers.0.input_layernorm.weight"
WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`base`, `a`, `b`, and `b` in shards."""
    root = tmp_path_factory.mktemp("models")
    for seed, name in enumerate(("base", "a", "b")):
        pico_model(root / name, seed, "bfloat16")
    config = json.loads((root / "b/config.json").read_text())
    save_model(root / "sharded", load_file(root / "b" / WEIGHTS), config, root / "b", shard_bytes=30_000)
    return root


@pytest.fixture
def victim(models: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(models / "b", tmp_path / "victim"))


@pytest.fixture
def sharded(models: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(models / "sharded", tmp_path / "victim"))


def configuration(models: Path, last: Path, method: str = "dare_ties", **more: Any) -> dict[str, Any]:
    entries = [{"model": str(path), "parameters": {"weight": 0.5, "density": 0.4}} for path in (models / "a", last)]
    return {"merge_method": method, "base_model": str(models / "base"), "models": entries, "seed": 1, **more}


def refusal(folder: Path, value: dict[str, Any] | str, out: Path | None = None) -> list[str]:
    """The lines that a merge is refused with; nothing of it may be left."""
    out = out or folder / "out"
    path = folder / "merge.yml"
    before = {*out.parent.iterdir(), path}
    path.write_text(value if isinstance(value, str) else json.dumps(value), encoding="utf-8")
    began = time.process_time()
    with pytest.raises(UserError) as caught:
        merge_from_yaml(path, out)
    assert time.process_time() - began < 5
    assert {*out.parent.iterdir(), path} == before
    lines = str(caught.value).split("\n")
    assert all(line.strip() and len(line) < 1500 for line in lines)
    return lines


def whole(change: Callable[[bytes], bytes]) -> Damage:
    """Changes the file's bytes."""
    return lambda folder: (folder / WEIGHTS).write_bytes(change((folder / WEIGHTS).read_bytes()))


def text(change: Callable[[bytes], bytes]) -> Damage:
    """Changes the header's bytes; its length stays true."""

    def changed(data: bytes) -> bytes:
        end = 8 + struct.unpack("<Q", data[:8])[0]
        header = change(data[8:end])
        return struct.pack("<Q", len(header)) + header + data[end:]

    return whole(changed)


def entry(**changes: Any) -> Damage:
    """Changes one tensor's entry."""
    return header(lambda value: value[NORM].update(changes))


def header(change: Callable[[Header], object]) -> Damage:
    """Changes the parsed header."""

    def changed(raw: bytes) -> bytes:
        value = json.loads(raw)
        change(value)
        return json.dumps(value).encode()

    return text(changed)


def shift(start: int, end: int) -> Damage:
    def moved(value: Header) -> None:
        value[NORM]["data_offsets"] = [value[NORM]["data_offsets"][0] + start, value[NORM]["data_offsets"][1] + end]

    return header(moved)


def renamed(name: str) -> Damage:
    return header(lambda value: value.update({name: value.pop(NORM)}))


FILES: dict[str, tuple[Damage, str]] = {
    "empty": (whole(lambda data: b""), "0 bytes are no safetensors file"),
    "cut in the length": (whole(lambda data: data[:5]), "5 bytes are no safetensors file"),
    "cut in the header": (whole(lambda data: data[:200]), "in a file of 200"),
    "cut in the data": (whole(lambda data: data[:-1]), "where its header promises"),
    "longer": (whole(lambda data: data + b"\0"), "where its header promises"),
    "length 0": (whole(lambda data: bytes(8) + data[8:]), "the header is not readable"),
    "length 2^64 - 1": (whole(lambda data: b"\xff" * 8 + data[8:]), "header of 18,446,744,073,709,551,615 bytes"),
    "length 2^63": (whole(lambda data: struct.pack("<Q", 1 << 63) + data[8:]), "header of 9,223,372,036,854,775,808"),
    "length of the file": (whole(lambda data: struct.pack("<Q", len(data)) + data[8:]), "header of"),
    "zeros": (whole(lambda data: bytes(len(data))), "the header is not readable"),
    "a page of HTML": (whole(lambda data: b"<!DOCTYPE html>" + data), "header of"),
    "no JSON": (text(lambda raw: raw[:-9]), "the header is not readable"),
    "a list": (text(lambda raw: b"[" + raw + b"]"), "it is no JSON object"),
    "nothing": (text(lambda raw: b"null"), "it is no JSON object"),
    "deep lists": (text(lambda raw: b"[" * 200_000), "the header is not readable"),
    "deep objects": (text(lambda raw: b'{"a":' * 200_000), "the header is not readable"),
    "UTF-16": (text(lambda raw: raw.decode().encode("utf-16")), "the header is not readable"),
    "no UTF-8": (text(lambda raw: raw.replace(b"norm", b"n\xffrm", 1)), "the header is not readable"),
    "an entry twice": (
        text(lambda raw: b'{"model.norm.weight":0,' + raw[1:]),
        "'model.norm.weight' stands in it twice",
    ),
    "a number of 5,000 digits": (text(lambda raw: raw.replace(b"[0,", b"[" + b"9" * 5000 + b",", 1)), "not readable"),
    "infinite": (text(lambda raw: raw.replace(b"[0,", b"[Infinity,", 1)), "'inf' for a size or an offset"),
    "not a number": (text(lambda raw: raw.replace(b"[0,", b"[NaN,", 1)), "'nan' for a size or an offset"),
    "a fraction": (text(lambda raw: raw.replace(b"[0,", b"[0.0,", 1)), "'0.0' for a size or an offset"),
    "true": (text(lambda raw: raw.replace(b"[0,", b"[false,", 1)), "'False' for a size or an offset"),
    "text": (text(lambda raw: raw.replace(b"[0,", b'["0",', 1)), "'0' for a size or an offset"),
    "starts before the data": (shift(-(1 << 40), 0), "for a size or an offset"),
    "ends before it starts": (entry(data_offsets=[100, 10]), "disagree"),
    "overlaps": (shift(-2, -2), "overlap or leave a gap"),
    "leaves a gap": (shift(2, 2), "overlap or leave a gap"),
    "ends behind the file": (shift(1 << 40, 1 << 40), "overlap or leave a gap"),
    "ends beyond 2^63": (entry(data_offsets=[0, 1 << 64]), "for a size or an offset"),
    "longer than its shape": (shift(0, 2), "shape and byte range disagree"),
    "three offsets": (entry(data_offsets=[0, 1, 2]), "has not dtype, shape and two data_offsets"),
    "no offsets": (entry(data_offsets=None), "has not dtype, shape and two data_offsets"),
    "no shape": (header(lambda value: value[NORM].pop("shape")), "has not dtype, shape and two data_offsets"),
    "an entry that is a number": (header(lambda value: value.update({NORM: 7})), "has not dtype"),
    "an entry that is a text": (header(lambda value: value.update({NORM: "dtype"})), "has not dtype"),
    "a shape of text": (entry(shape="32"), "the shape of"),
    "a negative shape": (entry(shape=[-32]), "'-32' for a size or an offset"),
    "two negative sizes": (entry(shape=[-4, -8]), "'-4' for a size or an offset"),
    "a size of 2^63": (entry(shape=[1 << 63]), "for a size or an offset"),
    "sizes whose product is 0 modulo 2^64": (entry(shape=[1 << 32, 1 << 32], data_offsets=[0, 0]), "disagree"),
    "33 dimensions": (entry(shape=[32] + [1] * 32), "no list of at most 32 sizes"),
    "a type that is a list": (entry(dtype=["BF16"]), "is no text"),
    "an unknown type": (entry(dtype="F5\x1b[31m"), "unknown type 'F5\\x1b[31m'"),
    "another type": (entry(dtype="F32"), "shape and byte range disagree"),
    "float64": (entry(dtype="F64", shape=[8]), "differ in shape"),
    "float8": (entry(dtype="F8_E4M3", shape=[64]), "differ in shape"),
    "a line in a name": (renamed("model\nerror: all is well"), "is no name of a tensor"),
    "an escape in a name": (renamed("\x1b]0;title\x07"), "is no name of a tensor"),
    "half a character in a name": (renamed("\ud800"), "is no name of a tensor"),
    "a long name": (renamed("a" * 100_000), "is no name of a tensor"),
    "a shape that the others have not": (
        entry(shape=[8, 4]),
        "differ in shape, such as model.layers.0.input_layernorm.weight",
    ),
    "a header of 40 MB": (text(lambda raw: raw + b" " * 40_000_000), "header of 40,0"),
}


@pytest.mark.parametrize("case", FILES)
def test_a_damaged_file(case: str, models: Path, victim: Path, tmp_path: Path) -> None:
    damage, says = FILES[case]
    damage(victim)
    lines = refusal(tmp_path, configuration(models, victim))
    assert len(lines) == 1 or case.startswith("float"), lines  # their types are a second fault
    assert says in lines[0]
    assert str(victim) in lines[0]


def put_index(value: object) -> Damage:
    return lambda folder: (folder / INDEX).write_text(value if isinstance(value, str) else json.dumps(value))


def mapped(change: Callable[[dict[str, str]], object]) -> Damage:
    """Changes the map of tensors to files."""

    def changed(folder: Path) -> None:
        value = json.loads((folder / INDEX).read_text())
        change(value["weight_map"])
        (folder / INDEX).write_text(json.dumps(value))

    return changed


def first_shard(folder: Path) -> Path:
    return min(folder.glob("*.safetensors"))


def replaced(make: Callable[[Path], object]) -> Damage:
    """Puts something else in the first shard's place."""

    def changed(folder: Path) -> None:
        path = first_shard(folder)
        path.unlink()
        make(path)

    return changed


def other_name(name: str) -> Damage:
    return mapped(lambda files: files.update({NORM: name}))


def doubled(folder: Path) -> None:
    """A tensor of the first shard stands in the last one too."""
    last = max(folder.glob("*.safetensors"))
    name, value = next(iter(load_file(first_shard(folder)).items()))
    save_file({**load_file(last), name: value}, last)


def pickled(folder: Path) -> None:
    (folder / INDEX).unlink()
    for path in folder.glob("*.safetensors"):
        path.rename(folder / f"pytorch_{path.stem}.bin")


FOLDERS: dict[str, tuple[Damage, str]] = {
    "no JSON": (put_index("{"), "not valid JSON"),
    "deep": (put_index("[" * 200_000), "not valid JSON"),
    "a list": (put_index([]), "no weight_map"),
    "empty": (put_index({"weight_map": {}}), "no weight_map"),
    "no map": (put_index({"weight_map": ["model.safetensors"]}), "no weight_map"),
    "numbers for names": (put_index({"weight_map": {"a": 1}}), "no weight_map"),
    "the folder above": (other_name("../b/model.safetensors"), "'../b/model.safetensors', which is not a file of this"),
    "an absolute path": (other_name("/etc/passwd"), "'/etc/passwd', which is not a file of this folder"),
    "the folder itself": (other_name("."), "'.', which is not a file of this folder"),
    "no name": (other_name(""), "'', which is not a file of this folder"),
    "a name with a zero": (other_name("a\0b"), "'a\\x00b', which is not a file of this folder"),
    "half a character": (other_name("\ud800"), "restore the index"),
    "an endless name": (other_name("a" * 1_000_000), "which is not a file of this folder"),
    "a shard that is not there": (replaced(lambda path: None), "which is not a file of this folder"),
    "a pipe": (replaced(os.mkfifo), "which is not a file of this folder"),
    "a device": (replaced(lambda path: path.symlink_to("/dev/zero")), "which is not a file of this folder"),
    "a folder": (replaced(lambda path: path.mkdir()), "which is not a file of this folder"),
    "a link to itself": (replaced(lambda path: path.symlink_to(path.name)), "which is not a file of this folder"),
    "another shard": (mapped(lambda files: files.update({NORM: max(files.values())})), "restore the index"),
    "a tensor in no shard": (
        mapped(lambda files: files.update({"x": max(files.values())})),
        "'x' (and 0 more) is in no",
    ),
    "a tensor in two shards": (doubled, "delete the shard of another model"),
    "one file beside shards": (lambda folder: save_file({"a": torch.zeros(1)}, folder / WEIGHTS), "out of date"),
    "pickles": (pickled, "is a pickle"),
    "no weights": (lambda folder: [path.unlink() for path in folder.glob("model*")], "no model.safetensors and no"),
}


@pytest.mark.parametrize("case", FOLDERS)
def test_a_damaged_folder(case: str, models: Path, sharded: Path, tmp_path: Path) -> None:
    damage, says = FOLDERS[case]
    damage(sharded)
    (line,) = refusal(tmp_path, configuration(models, sharded))
    assert says in line
    assert str(sharded) in line


def put(key: str, value: object) -> Damage:
    def changed(folder: Path) -> None:
        path = folder / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))

    return changed


CONFIGS: dict[str, tuple[Damage, str]] = {
    "none": (lambda folder: (folder / "config.json").unlink(), "no config.json"),
    "a list": (lambda folder: (folder / "config.json").write_text("[]"), "expected a JSON object"),
    "deep": (lambda folder: (folder / "config.json").write_text('{"a":' * 100_000), "not valid JSON"),
    "a long number": (lambda folder: (folder / "config.json").write_text('{"a":' + "1" * 5000 + "}"), "not valid JSON"),
    "large": (
        lambda folder: (folder / "config.json").write_text(" " * 20_000_000),
        "20,000,000 bytes are no configuration",
    ),
    "another family": (put("model_type", "gpt_neox"), "model_type differs"),
    "no family": (put("model_type", None), "model_type differs"),
    "a family that is a list": (put("model_type", ["llama"]), "model_type: expected a text"),
    "a million layers": (put("num_hidden_layers", 10**6), "more than any model has"),
    "infinitely many layers": (put("num_hidden_layers", float("inf")), "more than any model has"),
    "layers in words": (put("num_hidden_layers", "two"), "num_hidden_layers differs"),
    "no width": (put("hidden_size", 0), "hidden_size differs"),
    "rotary settings in a list": (put("rope_parameters", [1]), "rope_parameters: expected a mapping"),
    "layer types in a text": (put("layer_types", "full_attention"), "layer_types: expected a list"),
}


@pytest.mark.parametrize("case", CONFIGS)
def test_a_damaged_configuration(case: str, models: Path, victim: Path, tmp_path: Path) -> None:
    damage, says = CONFIGS[case]
    damage(victim)
    (line,) = refusal(tmp_path, configuration(models, victim))
    assert says in line
    assert str(victim) in line


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("hidden_size", 0),
        ("hidden_size", 10**400),
        ("num_attention_heads", "four"),
        ("num_hidden_layers", 9000),
        ("head_dim", -8),
        ("num_key_value_heads", 3),
        ("rope_parameters", {"rope_theta": "wide", "rope_type": "default"}),
        ("vocab_size", 1 << 39),
        ("rms_norm_eps", "small"),
    ],
)
def test_a_configuration_that_is_wrong_in_all_models(key: str, value: object, models: Path, tmp_path: Path) -> None:
    """What all share is found by its own sense, before any weight is read."""
    for name in ("base", "a", "b"):
        put(key, value)(Path(shutil.copytree(models / name, tmp_path / "all" / name)))
    lines = refusal(tmp_path, configuration(tmp_path / "all", tmp_path / "all/b"))
    assert "config.json" in lines[0]


def nested(levels: int) -> str:
    """Nine aliases of nine aliases of …."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, levels)]
    return "\n".join(lines)


def inherited(levels: int) -> str:
    """Mappings that take in the one before twice."""
    lines = ["a0: &a0 {x: 1}"]
    lines += [f"a{n}: &a{n} {{<<: [*a{n - 1}, *a{n - 1}]}}" for n in range(1, levels)]
    return "\n".join(lines)


MODELS = "models: [{model: NAME, parameters: {weight: 1}}]\n"
TEXTS: dict[str, tuple[str, str]] = {
    "nothing": ("", "expected a mapping with merge_method and models"),
    "a list": ("- a\n- b\n", "expected a mapping with merge_method and models"),
    "a word": ("linear", "expected a mapping with merge_method and models"),
    "no YAML": ("models: [", "not valid YAML"),
    "control characters": ("models: \x00\x1b[31m", "not valid YAML"),
    "tags": ("models: !!python/object/apply:os.system [id]", "not valid YAML"),
    "deep": ("[" * 100_000, "not valid YAML"),
    "long": ("# " + "a" * 3_000_000, "characters are too many"),
    "a bomb": (nested(9) + "\nmerge_method: linear\nmodels: *a8\n", "values, aliases counted"),
    "a bomb of mappings": (inherited(40) + "\nmerge_method: linear\n", "values, aliases counted"),
    "an alias of itself": ("merge_method: linear\nmodels: &a [*a]\n", "stands inside of what it names"),
    "a mapping of itself": ("&a {merge_method: *a}", "stands inside of what it names"),
    "a line in a name": (
        f"merge_method: linear\n{MODELS}".replace("NAME", '"x\\nerror: all is well"'),
        "control characters",
    ),
    "an escape in a name": (
        f"merge_method: linear\n{MODELS}".replace("NAME", '"\\e]0;title\\a"'),
        "control characters",
    ),
    "a zero in a name": (f"merge_method: linear\n{MODELS}".replace("NAME", '"a\\0b"'), "control characters"),
    "an endless name": (f"merge_method: linear\n{MODELS}".replace("NAME", "a" * 100_000), "at most 4096 characters"),
    "pluses": (f"merge_method: linear\n{MODELS}".replace("NAME", "+" * 4_000), "name an adapter"),
    "an endless key": ("merge_method: linear\n" + "k" * 100_000 + ": 1\n" + MODELS, "not valid YAML"),
    "a long key": ("merge_method: linear\n? " + "k" * 100_000 + "\n: 1\n" + MODELS, "kkk"),
    "an endless value": ("merge_method: linear\nseed: " + "k" * 100_000 + "\n" + MODELS, "seed"),
    "an endless method": ("merge_method: " + "k" * 100_000 + "\n" + MODELS, "merge_method"),
    "a key that is a list": ("merge_method: linear\n? [a, b]\n: 1\n" + MODELS, "not valid YAML"),
    "a key that is a number": ("merge_method: linear\n1: 1\n" + MODELS, "keys should be strings"),
    "2,000 models": (
        "merge_method: linear\nmodels:\n" + "- {model: NAME, parameters: {weight: 1}}\n" * 2_000,
        "at most 500 items",
    ),
    "2,000 names": (
        "merge_method: linear\nmodels:\n" + "".join(f"- {{model: n{n}}}\n" for n in range(2_000)),
        "at most 500 items",
    ),
    "400 models": (
        "merge_method: linear\nmodels:\n" + "".join(f"- {{model: n{n}}}\n" for n in range(400)),
        "and 300 more faults",
    ),
    "400 times a model": (
        "merge_method: linear\nmodels:\n" + "- {model: NAME, parameters: {weight: 1}}\n" * 400,
        "NAME is listed more than once",
    ),
}


@pytest.mark.parametrize("case", TEXTS)
def test_a_hostile_text(case: str, tmp_path: Path) -> None:
    text, says = TEXTS[case]
    lines = refusal(tmp_path, text)
    assert says in "\n".join(lines)
    assert all(line.startswith(str(tmp_path)) for line in lines)
    assert all(line.isprintable() for line in lines)
    assert len(lines) <= 101


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        (None, [], "expected a JSON object"),
        ("peft_type", "A" * 10_000, "is not supported; only LORA is"),
        ("r", True, "r: True is no positive number"),
        ("lora_alpha", 10**400, "lora_alpha: 1000000000"),
        ("lora_alpha", float("nan"), "lora_alpha: nan is no positive number"),
        ("alpha_pattern", {"q_proj": 10**400}, "expected a mapping of names to positive numbers"),
        ("alpha_pattern", {"(a+)+$": 1}, "is a regular expression"),
        ("rank_pattern", [1], "expected a mapping"),
        ("bias", ["a"] * 100_000, "is not supported"),
        ("\x1b]0;title\x07", 1, "is not supported"),
    ],
)
def test_a_hostile_adapter(key: str | None, value: object, says: str, models: Path, tmp_path: Path) -> None:
    from sagecraft.models.adapter import write_adapter

    pair = (torch.ones(2, 32), torch.ones(32, 2))
    write_adapter(tmp_path / "lora", {"model.layers.0.self_attn.q_proj.weight": pair}, {"r": 2, "lora_alpha": 4})
    path = tmp_path / "lora/adapter_config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps(value if key is None else config | {key: value}))
    shutil.copytree(models / "b", tmp_path / "b")
    found = configuration(models, tmp_path / "b")
    found["models"][1]["model"] += f"+{tmp_path / 'lora'}"
    (line,) = refusal(tmp_path, found)
    assert says in line
    assert str(path) in line


def test_nan_and_infinity_name_tensor_and_model(models: Path, victim: Path, tmp_path: Path) -> None:
    for bad in ("nan", "inf", "-inf"):
        weights = load_file(models / "b" / WEIGHTS)
        weights["model.norm.weight"][-1] = float(bad)
        save_file(weights, victim / WEIGHTS)
        for method in ("dare_ties", "ties", "linear", "slerp", "della"):
            value = configuration(models, victim, method)
            for row in value["models"]:
                row["parameters"] = {} if method == "slerp" else {"weight": 0.5}
            if method == "slerp":
                value["models"], value["parameters"] = value["models"][1:], {"t": 0.5}
            (line,) = refusal(tmp_path, value)
            assert line == (
                f"{victim / WEIGHTS}: model.norm.weight holds NaN or infinity; the checkpoint is damaged, fetch it again"
            )


def occupied(folder: Path) -> Path:
    (folder / "out").mkdir()
    (folder / "out/thesis.tex").write_text("important")
    return folder / "out"


def is_a_file(folder: Path) -> Path:
    (folder / "out").write_text("important")
    return folder / "out"


PLACES: dict[str, tuple[Callable[[Path], Path], str]] = {
    "taken": (occupied, "exists and is not an artifact of sagecraft"),
    "a file": (is_a_file, "is a file"),
    "an input": (lambda folder: folder / "victim", "victim"),
    "the folder of an input": (lambda folder: folder, "choose another --out"),
    "below a file": (lambda folder: is_a_file(folder) / "model", "is no folder"),
    "no name": (lambda folder: folder / "..", "needs the name of a folder"),
}


@pytest.mark.parametrize("case", PLACES)
def test_where_the_result_cannot_go(case: str, models: Path, victim: Path, tmp_path: Path) -> None:
    make, says = PLACES[case]
    out = make(tmp_path)
    path = tmp_path / "merge.yml"
    path.write_text(json.dumps(configuration(models, victim)))
    before = {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}
    with pytest.raises((SagecraftError, OSError)) as caught:
        merge_from_yaml(path, out)
    fault = from_os_error(caught.value) if isinstance(caught.value, OSError) else caught.value
    assert says in str(fault)
    assert "\n" not in str(fault)
    assert {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()} == before


def test_a_full_disk_leaves_what_is_finished_and_says_what_to_do(models: Path, tmp_path: Path) -> None:
    """The command itself, with no room for a file of the result's size."""
    path = tmp_path / "merge.yml"
    path.write_text(json.dumps(configuration(models, models / "b")))
    command = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000)); "
        "from sagecraft.cli import main; sys.argv = ['sagecraft', 'merge', *sys.argv[1:]]; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", command, str(path), str(tmp_path / "out")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1, done.stderr
    errors = [line for line in done.stderr.splitlines() if line.startswith("error")]
    assert len(errors) == 1
    assert "model.safetensors: a file of this size is not allowed here" in errors[0]
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


def test_an_input_that_changes_while_it_is_merged(
    models: Path, victim: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    merge, count = stream.Merger.merge, 0

    def changing(self: stream.Merger, row: Any, place: Any) -> Any:
        nonlocal count
        count += 1
        if count == 3:
            weights = load_file(victim / WEIGHTS)
            weights["model.norm.weight"] *= 2
            save_file(weights, tmp_path / "changed")
            (tmp_path / "changed").replace(victim / WEIGHTS)
        return merge(self, row, place)

    monkeypatch.setattr(stream.Merger, "merge", changing)
    monkeypatch.setattr(finish, "check", lambda folder, plan: None)
    path = tmp_path / "merge.yml"
    path.write_text(json.dumps(configuration(models, victim)))
    with pytest.raises(MachineError, match="victim: changed while merge read it; run the same command again"):
        merge_from_yaml(path, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    merge_from_yaml(path, tmp_path / "out")  # what the first left is not used
    monkeypatch.setattr(stream.Merger, "merge", merge)
    merge_from_yaml(path, tmp_path / "fresh")
    assert (tmp_path / "out" / WEIGHTS).read_bytes() == (tmp_path / "fresh" / WEIGHTS).read_bytes()


def test_an_input_that_changes_between_the_plan_and_its_hash(
    models: Path, victim: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same tensors in another order: each is of the right size at the wrong place."""
    show = finish.show_plan

    def showing(*arguments: Any) -> None:
        show(*arguments)
        weights = load_file(victim / WEIGHTS)
        shapes = {name: value.shape for name, value in weights.items()}
        (first, second) = [name for name, shape in shapes.items() if "mlp.gate" in name or "mlp.up" in name][:2]
        order = {first: second, second: first}
        data = (victim / WEIGHTS).read_bytes()
        for name, other in order.items():
            data = data.replace(f'"{name}":'.encode(), f'"\0{other}":'.encode())
        (victim / WEIGHTS).write_bytes(data.replace(b'"\0', b'"'))

    monkeypatch.setattr(finish, "show_plan", showing)
    path = tmp_path / "merge.yml"
    path.write_text(json.dumps(configuration(models, victim)))
    with pytest.raises(MachineError, match="changed while the merge was planned"):
        merge_from_yaml(path, tmp_path / "out")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["merge.yml", "victim"]


#: Pieces that readers of JSON, YAML and headers trip over.
NASTY = (
    b"", b"\0", b"\xff", b"{", b"}", b"[", b"]", b'"', b":", b",", b"-", b"0", b"9", b"1e999", b"NaN", b"null", b"true", b"[]", b"{}", b'""',
    b"-1", b"18446744073709551616", b"0.5", b'"\\ud800"', b"\n", b"\x1b[31m", b"*a", b"&a", b"!!python/name:os", b"<<", b"../", b"/dev/zero",
    b"F64", b"BF16", b"U8", b"data_offsets", b"linear", b"ties", b"model",
)  # fmt: skip


def mutated(data: bytes, rng: random.Random) -> bytes:
    """A few bytes, words or stretches changed."""
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(data) + 1)
        match rng.randrange(5):
            case 0:
                data = data[:at] + rng.choice(NASTY) + data[at + rng.randrange(8) :]
            case 1:
                data = data[:at] + bytes([rng.randrange(256)]) + data[at + 1 :]
            case 2:
                data = data[: at - rng.randrange(1, 40)] + data[at:]
            case 3:
                other = rng.randrange(len(data) + 1)
                data = data[:at] + data[other : other + rng.randrange(60)] + data[at:]
            case _:
                words = list(re.finditer(rb'"[^"]*"|-?\d+(\.\d+)?|true|false|null', data))
                if words:
                    word = rng.choice(words)
                    new = rng.choice((rng.choice(NASTY), rng.choice(words).group()))
                    data = data[: word.start()] + new + data[word.end() :]
    return data


def check_mutant(models: Path, folder: Path, number: int) -> str:
    """Merges with one file broken: lines for a person, or a sound result."""
    rng = random.Random(keyed_hash(0, "mutant", number))
    shutil.copytree(models / "sharded", folder / "victim")
    yaml = folder / "merge.yml"
    yaml.write_text(json.dumps(configuration(models, folder / "victim"), indent=1))
    names = (INDEX, "config.json", "tokenizer.json", "tokenizer_config.json", "generation_config.json", "merge.yml")
    name = rng.choice(("header", "header", *names))
    path = yaml if name == "merge.yml" else folder / "victim" / name
    if name == "header":
        path = rng.choice(sorted((folder / "victim").glob("*.safetensors")))
        data = path.read_bytes()
        end = 8 + struct.unpack("<Q", data[:8])[0]
        new = mutated(data[8:end], rng) if rng.random() < 0.9 else data[8:end]
        length = len(new) if rng.random() < 0.9 else rng.choice((0, 1, end, len(data), 1 << 40, (1 << 64) - 1))
        path.write_bytes(struct.pack("<Q", length) + new + data[end:])
    elif path.exists():
        path.write_bytes(mutated(path.read_bytes(), rng))
    before = {file for file in folder.rglob("*") if "victim" not in file.parts}
    try:
        merge_from_yaml(yaml, folder / "out")
    except SagecraftError as error:
        lines = str(error).split("\n")
        assert all(line.strip() and line.isprintable() and len(line) < 2000 for line in lines), lines
        assert {file for file in folder.rglob("*") if "victim" not in file.parts} == before
        return type(error).__name__
    found = {}
    for file in (folder / "out").glob("*.safetensors"):
        found |= load_file(file)
    assert found
    assert all(bool(torch.isfinite(value).all()) for value in found.values())
    return "merged"


def check_mutants(models: Path, folder: Path, numbers: range) -> None:
    seen = Counter[str]()
    for number in numbers:
        (folder / str(number)).mkdir()
        try:
            seen[check_mutant(models, folder / str(number), number)] += 1
        except BaseException as error:
            error.add_note(f"mutant {number}")
            raise
        shutil.rmtree(folder / str(number))
    assert seen["UserError"] > len(numbers) // 3, seen


def test_some_mutants(models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the check of the result, which takes longest."""
    monkeypatch.setattr(finish, "check", lambda folder, plan: None)
    check_mutants(models, tmp_path, range(12))


@pytest.mark.soak
@pytest.mark.parametrize("hundred", range(20))
def test_many_mutants(hundred: int, models: Path, tmp_path: Path) -> None:
    check_mutants(models, tmp_path, range(1000 + 100 * hundred, 1100 + 100 * hundred))
