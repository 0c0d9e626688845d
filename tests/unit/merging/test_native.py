"""The native way: machines without a compiler, files that end early, and both ways on odd sizes and values."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sagecraft.errors import UserError
from sagecraft.merging import native, sparsify
from sagecraft.merging.blocks import Engine, Group, Plain, Stored, Target, View, chunk_totals, from_float, to_float
from sagecraft.merging.methods import METHODS, Numbers
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
        stored.append(Stored(record, os.open(path, os.O_RDONLY)))
    models = tuple(range(1, len(dtypes)))
    return Group("x", tuple(stored), (None,) * len(dtypes), models, 0, 0)


def merged(engine: Engine, group: Group, masks: tuple[Mask, ...], out: Path, dtype: str) -> tuple[bytes, np.ndarray]:
    count = group.stored[0].record.num_elements
    out.write_bytes(bytes(count * WIDTHS[dtype]))
    target = Target(dtype, os.open(out, os.O_RDWR), 0)
    numbers = Numbers((0.5, -0.3, 0.7), (0.5, -0.3, 1.1), normalize=True, lambda_=0.9)
    view = View(group.models, group.base, masks)
    totals = engine.merge(group, view, METHODS["ties"], numbers, target, (0, count))
    return out.read_bytes(), totals


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
    plain = merged(Plain(), group, masks, tmp_path / "plain", dtype)
    fast = merged(native.Native(), group, masks, tmp_path / "fast", dtype)
    assert plain[0] == fast[0]
    assert np.array_equal(plain[1], fast[1])


@needs_compiler
def test_every_float16_is_read_and_written_as_numpy_does(tmp_path: Path) -> None:
    raw = np.arange(1 << 16, dtype=np.uint16)
    raw = raw[(raw & 0x7C00) != 0x7C00]
    path, out = tmp_path / "x", tmp_path / "out"
    path.write_bytes(raw.tobytes())
    record = TensorRecord(path, "F16", raw.shape, 0, raw.nbytes)
    group = Group("x", (Stored(record, os.open(path, os.O_RDONLY)),), (None,), (0,), None, 0)
    for dtype in ("F16", "F32", "BF16"):
        out.write_bytes(bytes(len(raw) * WIDTHS[dtype]))
        target = Target(dtype, os.open(out, os.O_RDWR), 0)
        one = Numbers((1.0,), (1.0,))
        native.Native().merge(group, View((0,), None, (Mask(),)), METHODS["passthrough"], one, target, (0, len(raw)))
        assert out.read_bytes() == from_float(to_float(raw, "F16"), dtype).tobytes()


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
