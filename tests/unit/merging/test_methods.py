"""Every method against a slow reference written from its paper, element by element."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file

from sagecraft.artifact import keyed_hash
from sagecraft.merging.config import MergekitConfig
from sagecraft.merging.geometry import slerp_coefficients
from sagecraft.merging.job import make_job
from sagecraft.merging.methods import METHODS, Numbers, elect
from sagecraft.merging.plan import make_plan
from sagecraft.merging.stream import write_merged

WEIGHTS = {"a": 0.5, "b": 0.3, "c": 0.4}
DENSITIES = {"a": 0.6, "b": 0.25, "c": 1.0}
LAMBDA = 0.9
#: Two tensors are compared element by element in Python; a matrix and a vector.
CHECKED = ("model.layers.1.self_attn.k_proj.weight", "model.norm.weight")


def merged(family: Path, tmp_path: Path, value: dict[str, Any], **options: Any) -> dict[str, torch.Tensor]:
    config = MergekitConfig.model_validate({"out_dtype": "float32", **value})
    names = [entry.model for entry in config.models] + ([config.base_model] if config.base_model else [])
    job = make_job(config, {name: family / name for name in names})
    out = tmp_path / "weights"
    out.mkdir()
    write_merged(job, make_plan(job, 1000, 1), out, lambda _: None, **{"block_elements": 1000, **options})
    return load_file(out / "model.safetensors")


def entries(**parameters: dict[str, float]) -> list[dict[str, Any]]:
    return [{"model": n, "parameters": {key: row[n] for key, row in parameters.items()}} for n in WEIGHTS]


def read(family: Path, name: str, tensor: str) -> list[float]:
    return load_file(family / name / "model.safetensors")[tensor].flatten().double().tolist()


def close(found: torch.Tensor, wanted: list[float]) -> None:
    torch.testing.assert_close(found.flatten().double(), torch.tensor(wanted).double(), rtol=0, atol=2e-7)


def hash_of(key: int, index: int) -> int:
    """The mask generator of sparsify.py in whole numbers of Python."""

    def mix(x: int) -> int:
        x ^= x >> 16
        x = x * 0x7FEB352D % 2**32
        x ^= x >> 15
        x = x * 0x846CA68B % 2**32
        return x ^ (x >> 16)

    low, high = index % 2**32, index // 2**32
    return mix((mix(low ^ (key % 2**32)) + ((key // 2**32) ^ (high * 0x9E3779B9 % 2**32))) % 2**32)


def random_mask(seed: int, label: str, tensor: str, density: float, count: int) -> list[bool]:
    key = keyed_hash(seed, "merge-mask", label, tensor)
    return [hash_of(key, n) < density * 2**32 for n in range(count)]


def magnitude_mask(delta: list[float], density: float) -> list[bool]:
    order = sorted(range(len(delta)), key=lambda n: (-abs(delta[n]), n))
    kept = set(order[: math.floor(density * len(delta) + 1e-6)])
    return [n in kept for n in range(len(delta))]


def sparse_deltas(family: Path, tensor: str, method: str, rescale: str, seed: int = 0) -> dict[str, list[float]]:
    base = read(family, "base", tensor)
    found = {}
    for name in WEIGHTS:
        delta = [x - b for x, b in zip(read(family, name, tensor), base, strict=True)]
        density = DENSITIES[name]
        if method.startswith("dare"):
            mask = random_mask(seed, name, tensor, density, len(delta))
        else:
            mask = magnitude_mask(delta, density)
        kept = [d if keep else 0.0 for d, keep in zip(delta, mask, strict=True)]
        factor = {
            "off": 1.0,
            "inverse_density": 1 / density,
            "l1": math.fsum(map(abs, delta)) / math.fsum(map(abs, kept)),
        }[rescale]
        found[name] = [d * factor for d in kept]
    return found


def elected(deltas: dict[str, list[float]], place: int, normalize: bool) -> float:
    parts = {name: WEIGHTS[name] * delta[place] for name, delta in deltas.items()}
    total = sum(parts.values())
    agreeing = {name: part for name, part in parts.items() if part * total > 0}
    divisor = sum(WEIGHTS[name] for name in agreeing) if normalize else 1.0
    return sum(agreeing.values()) / divisor if agreeing else 0.0


@pytest.mark.parametrize("normalize", [True, False])
def test_linear(family: Path, tmp_path: Path, normalize: bool) -> None:
    found = merged(
        family,
        tmp_path,
        {"merge_method": "linear", "models": entries(weight=WEIGHTS), "parameters": {"normalize": normalize}},
    )
    for tensor in CHECKED:
        rows = zip(*(read(family, name, tensor) for name in WEIGHTS), strict=True)
        divisor = sum(WEIGHTS.values()) if normalize else 1.0
        close(
            found[tensor],
            [sum(w * x for w, x in zip(WEIGHTS.values(), row, strict=True)) / divisor for row in rows],
        )


def test_slerp(family: Path, tmp_path: Path) -> None:
    found = merged(
        family,
        tmp_path,
        {"merge_method": "slerp", "base_model": "base", "models": [{"model": "a"}], "parameters": {"t": 0.3}},
    )
    for tensor in CHECKED:
        left, right = read(family, "base", tensor), read(family, "a", tensor)
        dot = sum(x * y for x, y in zip(left, right, strict=True))
        cosine = dot / math.sqrt(sum(x * x for x in left) * sum(y * y for y in right))
        angle = math.acos(cosine)
        p, q = math.sin(0.7 * angle) / math.sin(angle), math.sin(0.3 * angle) / math.sin(angle)
        if cosine > 0.9995:
            p, q = 0.7, 0.3
        close(found[tensor], [p * x + q * y for x, y in zip(left, right, strict=True)])


def test_slerp_keeps_the_norm_of_unit_vectors_and_meets_its_ends() -> None:
    for cosine in (-0.9, 0.0, 0.5, 0.999):
        p, q = slerp_coefficients(cosine, 0.37)
        assert p * p + q * q + 2 * p * q * cosine == pytest.approx(1)
        assert slerp_coefficients(cosine, 0.0) == pytest.approx((1, 0))
        assert slerp_coefficients(cosine, 1.0) == pytest.approx((0, 1))
    assert slerp_coefficients(1.0, 0.25) == (0.75, 0.25)


@pytest.mark.parametrize("normalize", [True, False])
def test_task_arithmetic(family: Path, tmp_path: Path, normalize: bool) -> None:
    found = merged(
        family,
        tmp_path,
        {
            "merge_method": "task_arithmetic",
            "base_model": "base",
            "models": entries(weight=WEIGHTS),
            "parameters": {"lambda": LAMBDA, "normalize": normalize},
        },
    )
    divisor = sum(WEIGHTS.values()) if normalize else 1.0
    for tensor in CHECKED:
        base = read(family, "base", tensor)
        tuned = {name: read(family, name, tensor) for name in WEIGHTS}
        close(
            found[tensor],
            [
                b + LAMBDA * sum(WEIGHTS[name] * (tuned[name][n] - b) for name in WEIGHTS) / divisor
                for n, b in enumerate(base)
            ],
        )


@pytest.mark.parametrize("method", ["ties", "dare_ties", "dare_linear"])
@pytest.mark.parametrize("rescale", ["off", "inverse_density", "l1"])
@pytest.mark.parametrize("normalize", [True, False])
def test_sparse_methods(family: Path, tmp_path: Path, method: str, rescale: str, normalize: bool) -> None:
    found = merged(
        family,
        tmp_path,
        {
            "merge_method": method,
            "base_model": "base",
            "models": entries(weight=WEIGHTS, density=DENSITIES),
            "parameters": {"lambda": LAMBDA, "normalize": normalize, "rescale": rescale},
            "seed": 5,
        },
    )
    for tensor in CHECKED:
        deltas = sparse_deltas(family, tensor, method, rescale, seed=5)
        wanted = []
        for n, b in enumerate(read(family, "base", tensor)):
            if method == "dare_linear":
                mixed = sum(WEIGHTS[name] * deltas[name][n] for name in WEIGHTS)
                mixed /= sum(WEIGHTS.values()) if normalize else 1
            else:
                mixed = elected(deltas, n, normalize)
            wanted.append(b + LAMBDA * mixed)
        close(found[tensor], wanted)


def test_passthrough_is_a_copy(family: Path, tmp_path: Path) -> None:
    found = merged(family, tmp_path, {"merge_method": "passthrough", "models": [{"model": "b"}]})
    for name, value in load_file(family / "b" / "model.safetensors").items():
        assert torch.equal(found[name], value)


def test_defaults_are_the_tables(family: Path, tmp_path: Path) -> None:
    value = {"merge_method": "ties", "base_model": "base", "models": entries(weight=WEIGHTS, density=DENSITIES)}
    for method, row in METHODS.items():
        if row.sparsify is None:
            continue
        plain = merged(family, tmp_path / method, {**value, "merge_method": method})
        stated = {"normalize": row.normalize, "rescale": row.rescale, "lambda": 1}
        written = merged(family, tmp_path / f"{method}2", {**value, "merge_method": method, "parameters": stated})
        assert all(torch.equal(plain[name], written[name]) for name in plain)


@pytest.fixture(autouse=True)
def _folders(tmp_path: Path) -> None:
    for name in METHODS:
        (tmp_path / name).mkdir()
        (tmp_path / f"{name}2").mkdir()


def test_a_tied_election_leaves_the_base_or_elects_plus() -> None:
    base = np.zeros(4, dtype=np.float32)
    deltas = [np.array([1, 1, -1, 0], dtype=np.float32), np.array([-1, 2, -1, 0], dtype=np.float32)]
    numbers = Numbers(weights=(1, 1), scales=(1, 1), normalize=True)
    assert elect(base, deltas, numbers).tolist() == [0, 1.5, -1, 0]
    positive = Numbers(weights=(1, 1), scales=(1, 1), normalize=True, sign_ties="positive")
    assert elect(base, deltas, positive).tolist() == [1, 1.5, -1, 0]


def test_a_negative_weight_turns_its_delta_round() -> None:
    base = np.zeros(2, dtype=np.float32)
    deltas = [np.array([1, 1], dtype=np.float32), np.array([3, -3], dtype=np.float32)]
    numbers = Numbers(weights=(1, -0.5), scales=(1, -0.5))
    assert elect(base, deltas, numbers).tolist() == [-1.5, 2.5]


def test_bfloat16_rounds_to_nearest_even(family: Path, tmp_path: Path) -> None:
    value = {"merge_method": "linear", "models": entries(weight=WEIGHTS)}
    wide = merged(family, tmp_path, value)
    for name in ("bfloat16", "float16"):
        (tmp_path / name).mkdir()
        narrow = merged(family, tmp_path / name, {**value, "out_dtype": name})
        for key, tensor in wide.items():
            assert torch.equal(narrow[key], tensor.to(getattr(torch, name)))


def test_types_are_kept_without_a_word(family: Path, tmp_path: Path) -> None:
    models = [{"model": f"{name}-16", "parameters": {"weight": 1}} for name in WEIGHTS]
    found = merged(family, tmp_path, {"merge_method": "linear", "models": models, "out_dtype": None})
    assert {tensor.dtype for tensor in found.values()} == {torch.bfloat16}


def test_parameters_per_tensor_reach_the_tensors(family: Path, tmp_path: Path) -> None:
    text = """
    merge_method: linear
    models:
      - {model: a, parameters: {weight: [{filter: self_attn, value: [1, 0]}, {filter: mlp, value: 1}, {value: 0}]}}
      - {model: b, parameters: {weight: [{filter: self_attn, value: [0, 1]}, {filter: mlp, value: 0}, {value: 1}]}}
    """
    found = merged(family, tmp_path, yaml.safe_load(text))
    a, b = (load_file(family / name / "model.safetensors") for name in "ab")
    for name, tensor in found.items():
        from_a = "mlp" in name or ("self_attn" in name and "layers.0" in name)
        assert torch.equal(tensor, (a if from_a else b)[name]), name
