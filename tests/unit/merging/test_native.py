"""The native way: machines without a compiler, files that end early, and both ways on odd sizes and values."""

from __future__ import annotations

import os
import platform
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from opened import opened
from sagecraft.errors import UserError
from sagecraft.merging import native, sparsify
from sagecraft.merging.blocks import Engine, Group, Plain, Stored, View, chunk_totals, from_float, to_float
from sagecraft.merging.methods import METHODS, Numbers, fused
from sagecraft.merging.sparsify import Bound, Mask
from sagecraft.models.kernels import builder
from sagecraft.models.tensors import TensorRecord

needs_compiler = pytest.mark.skipif(not native.available(), reason="no C++ compiler")
WIDTHS = {"F32": 4, "BF16": 2, "F16": 2}


def test_without_a_compiler_numpy_does_it(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(native, "_loaded", [])
    monkeypatch.setattr(builder.shutil, "which", lambda name: None)
    monkeypatch.setattr(native.console, "say", lambda text, style=None: said.append(text))
    assert not native.available()
    assert not native.available()
    assert said == [said[0]]
    assert "install g++" in said[0]


def group_of(folder: Path, count: int, dtypes: tuple[str, ...], scale: float = 1.0) -> Group:
    """Random tensors in files of their own; the first is the base."""
    rng = np.random.default_rng(0)
    stored = []
    for number, dtype in enumerate(dtypes):
        path = folder / str(number)
        values = (rng.normal(size=count) * scale).astype(np.float32)
        path.write_bytes(b"12345678" + from_float(values, dtype).tobytes())
        record = TensorRecord(path, dtype, (count,), 8, 8 + count * WIDTHS[dtype])
        stored.append(Stored(record, opened(path)))
    models = tuple(range(1, len(dtypes)))
    return Group("x", tuple(stored), (None,) * len(dtypes), models, 0, 0)


def merged(engine: Engine, group: Group, masks: tuple[Mask, ...], dtype: str) -> tuple[bytes, np.ndarray]:
    count = group.stored[0].record.num_elements
    numbers = Numbers((0.5, -0.3, 0.7), (0.5, -0.3, 1.1), normalize=True, lambda_=0.9)
    view = View(group.models, group.base, masks)
    stored, totals = engine.merge(group, view, METHODS["ties"], numbers, dtype, (0, count))
    return stored.tobytes(), totals


@needs_compiler
@pytest.mark.parametrize("count", [1, 15, 17, 1023, 1025, 66_000])
@pytest.mark.parametrize("dtype", ["F32", "BF16", "F16"])
@pytest.mark.parametrize("scale", [1.0, 1e-7])
def test_both_ways_on_odd_sizes_and_mixed_types(tmp_path: Path, count: int, dtype: str, scale: float) -> None:
    group = group_of(tmp_path, count, ("F16", "BF16", "F32", "F16"), scale)
    bits = int(sparsify.magnitude_bits(np.float32([scale]))[0])
    masks = (
        sparsify.random_mask(0x0123456789ABCDEF, 0.4),
        Mask("band", lower=Bound(bits // 2 * 2, 1030), upper=Bound(bits + (1 << 22), 500)),
        Mask(),
    )
    plain = merged(Plain(), group, masks, dtype)
    fast = merged(native.Native(), group, masks, dtype)
    assert plain[0] == fast[0]
    assert np.array_equal(plain[1], fast[1])


@needs_compiler
@pytest.mark.skipif(platform.machine() != "x86_64", reason="names a kind of that processor")
@pytest.mark.parametrize("dtype", ["F32", "BF16", "F16"])
def test_a_processor_without_mask_registers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dtype: str) -> None:
    flags = tuple("-march=x86-64" if flag == "-march=native" else flag for flag in native._FLAGS)
    monkeypatch.setattr(native, "_FLAGS", flags)
    monkeypatch.setattr(native, "_loaded", [])
    assert native.available()
    group = group_of(tmp_path, 1037, ("F16", "BF16", "F32", "F16"))
    masks = (sparsify.random_mask(5, 0.4), Mask("band", lower=Bound(0x3F000000, 1030), upper=Bound(0x3F800000)), Mask())
    plain, fast = (merged(engine, group, masks, dtype) for engine in (Plain(), native.Native()))
    assert plain[0] == fast[0]
    assert np.array_equal(plain[1], fast[1])


@needs_compiler
def test_every_float16_is_read_and_written_as_numpy_does(tmp_path: Path) -> None:
    raw = np.arange(1 << 16, dtype=np.uint16)
    raw = raw[(raw & 0x7C00) != 0x7C00]
    path = tmp_path / "x"
    path.write_bytes(raw.tobytes())
    record = TensorRecord(path, "F16", raw.shape, 0, raw.nbytes)
    group = Group("x", (Stored(record, opened(path)),), (None,), (0,), None, 0)
    for dtype in ("F16", "F32", "BF16"):
        one, view = Numbers((1.0,), (1.0,)), View((0,), None, (Mask(),))
        stored, _ = native.Native().merge(group, view, METHODS["passthrough"], one, dtype, (0, len(raw)))
        assert stored.tobytes() == from_float(to_float(raw, "F16"), dtype).tobytes()


@pytest.mark.parametrize("way", [Plain, pytest.param(native.Native, marks=needs_compiler)])
def test_a_file_that_ends_early(tmp_path: Path, way: type[Plain]) -> None:
    group = group_of(tmp_path, 3000, ("F32", "BF16"))
    short = group.stored[1]
    record = replace(short.record, shape=(3500,), end=8 + 7000)
    group = replace(group, stored=(group.stored[0], replace(short, record=record)))
    (tmp_path / "0").write_bytes(bytes(8 + 3500 * 4))
    with pytest.raises(UserError, match=r"/1: ends within x; the file changed or is damaged"):
        way().gram(group, View((1,), 0, (Mask(),)), (0, 3500))


def test_totals_are_right_and_independent_of_what_follows() -> None:
    values = np.random.default_rng(1).normal(size=5000).astype(np.float32)
    totals = chunk_totals(values)
    exact = [values[at : at + 1024].sum(dtype=np.float64) for at in range(0, 5000, 1024)]
    np.testing.assert_allclose(totals, exact, atol=1e-4)
    assert np.array_equal(chunk_totals(values[:2048]), totals[:2])


def rounded_once(x: np.float32, y: float, z: np.float32) -> np.float32:
    """x · y + z in fractions, rounded to the nearest float32, of two to the even one."""
    exact = Fraction(float(x)) * Fraction(y) + Fraction(float(z))
    guess = np.float32(float(exact))
    near = [guess, np.nextafter(guess, np.float32(-np.inf)), np.nextafter(guess, np.float32(np.inf))]
    return min(near, key=lambda value: (abs(Fraction(float(value)) - exact), int(value.view(np.uint32)) % 2))


def test_a_fused_step_is_rounded_once(tmp_path: Path) -> None:
    """Also where a sum in float64 lies in the middle of two float32 and the exact one beside it."""
    rng = np.random.default_rng(0)
    k = rng.integers(10, 20, 400)
    x = (1 + 2.0**-k).astype(np.float32)
    start = (1 + rng.integers(0, 100, 400) * 2.0**-23).astype(np.float32) * rng.choice([-1, 1], 400).astype(np.float32)
    weights = [float(np.float32(sign * 2.0**-24 * (1 - 2.0**-number))) for number in range(10, 20) for sign in (1, -1)]
    twice = 0
    for weight in weights:
        found = fused(x, weight, start)
        assert np.array_equal(found, [rounded_once(*each) for each in zip(x, [weight] * 400, start, strict=True)])
        twice += int((found != (start.astype(np.float64) + x.astype(np.float64) * weight).astype(np.float32)).sum())
    assert twice > 100
    if native.available():
        for number, values in enumerate((start, x)):
            (tmp_path / str(number)).write_bytes(values.tobytes())
        sources = [
            Stored(TensorRecord(tmp_path / str(n), "F32", (400,), 0, 1600), os.open(tmp_path / str(n), os.O_RDONLY))
            for n in range(2)
        ]
        group = Group("x", tuple(sources), (None, None), (0, 1), None, 0)
        for weight in weights:
            numbers = Numbers((1.0, weight), (1.0, weight))
            view = View((0, 1), None, (Mask(), Mask()))
            stored, _ = native.Native().merge(group, view, METHODS["linear"], numbers, "F32", (0, 400))
            assert stored.tobytes() == fused(x, weight, start).tobytes()
