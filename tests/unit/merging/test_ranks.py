"""The k-th largest magnitude against a plain sort, on values that are easy, coarse, lopsided or meant to mislead the sample."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from opened import opened
from sagecraft.merging import native, ranks
from sagecraft.merging.blocks import Group, Plain, Stored, View
from sagecraft.merging.ranks import Ranking
from sagecraft.merging.sparsify import Bound, above, magnitude_bits
from sagecraft.models.tensors import TensorRecord

COUNT = 150_001
ENGINES = [Plain]
if native.available():
    ENGINES.append(native.Native)


def values_of(kind: str) -> np.ndarray:
    rng = np.random.default_rng(3)
    normal = rng.normal(size=COUNT)
    match kind:
        case "normal":
            values = normal
        case "coarse":  # a handful of magnitudes, so that a place lies among many equal ones
            values = np.round(normal * 2) / 2
        case "two levels":  # the place lies at the border of two large classes
            values = np.where(np.arange(COUNT) % 2, 1.0, -2.0)
        case "hardly changed":
            values = np.where(rng.random(COUNT) < 0.01, normal, 0.0)
        case "rows":
            values = normal * np.repeat(rng.lognormal(0, 2, size=-(-COUNT // 1000)), 1000)[:COUNT]
        case "constant":
            values = np.full(COUNT, 0.25)
        case _:
            raise AssertionError(kind)
    return values.astype(np.float32)


def group_of(folder: Path, arrays: list[np.ndarray]) -> Group:
    stored = []
    for number, values in enumerate(arrays):
        path = folder / str(number)
        path.write_bytes(values.tobytes())
        stored.append(Stored(TensorRecord(path, "F32", values.shape, 0, values.nbytes), opened(path)))
    every = tuple(range(len(arrays)))
    return Group("x", tuple(stored), (None,) * len(arrays), every, None, 0)


def ranking_of(engine: type, group: Group, count: int, block: int) -> Ranking:
    blocks = [(start, min(block, count - start)) for start in range(0, count, block)]
    return Ranking(engine(), group, count, lambda work: map(work, blocks))


def kept(values: np.ndarray, bound: Bound) -> np.ndarray:
    return np.flatnonzero(above(magnitude_bits(values), bound, 0))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("kind", ["normal", "coarse", "two levels", "hardly changed", "rows", "constant"])
@pytest.mark.parametrize("count", [COUNT, 3000])
def test_the_largest_are_found_and_of_equal_ones_the_first(tmp_path: Path, engine: type, kind: str, count: int) -> None:
    values = values_of(kind)[:count]
    order = np.argsort(-abs(values), kind="stable")
    wanted = [0, 1, count // 4, count // 2, count - 1, count]
    group = group_of(tmp_path, [values] * len(wanted))
    view = View(tuple(range(len(wanted))), None)
    found = ranking_of(engine, group, count, 40 * 1024).bounds(view, wanted)
    for rank, bound in zip(wanted, found, strict=True):
        assert np.array_equal(kept(values, bound), np.sort(order[:rank])), rank


@pytest.mark.parametrize("engine", ENGINES)
def test_a_sample_that_misleads_costs_time_only(tmp_path: Path, engine: type, monkeypatch: pytest.MonkeyPatch) -> None:
    values = values_of("normal")
    group = group_of(tmp_path, [values])
    ranking = ranking_of(engine, group, COUNT, 1 << 16)
    straight = ranking.bounds(View((0,), None), [COUNT // 3])
    one = np.array([1], dtype=np.uint32)
    monkeypatch.setattr(Ranking, "_guess", lambda *_: (one, one + 1, 0.1))  # far below the place
    assert ranking.bounds(View((0,), None), [COUNT // 3]) == straight
    monkeypatch.setattr(Ranking, "_guess", lambda *_: (one * 0, one * 0x7FFFFFFF, 0.001))  # no room for all of these
    assert ranking.bounds(View((0,), None), [COUNT // 3]) == straight


def test_the_sample_finds_the_place_without_histograms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Ranking, "_by_histograms", None)
    for kind in ("normal", "coarse", "rows", "constant"):
        group = group_of(tmp_path, [values_of(kind)])
        ranking_of(ENGINES[-1], group, COUNT, 1 << 16).bounds(View((0,), None), [COUNT // 3])


@pytest.mark.skipif(not native.available(), reason="no C++ compiler")
@pytest.mark.parametrize("count", [1, 15, 17, 1025, 70_000])
def test_both_ways_keep_the_same_elements_between(tmp_path: Path, count: int) -> None:
    rng = np.random.default_rng(5)
    arrays = [rng.normal(size=count).astype(np.float32) for _ in range(3)]
    group = group_of(tmp_path, arrays)
    view = View((1, 2), 0)
    low, high = np.array([0, 0x3F800000], dtype=np.uint32), np.array([0x3F800000, 0x3F800000], dtype=np.uint32)
    plain, fast = (engine.between(group, view, (0, count), low, high, 5) for engine in (Plain(), native.Native()))
    for name in ("above", "inside"):
        assert np.array_equal(getattr(plain, name), getattr(fast, name))
    for name in ("magnitudes", "places"):
        for ours, theirs in zip(getattr(plain, name), getattr(fast, name), strict=True):
            assert np.array_equal(ours, theirs)
    if count > ranks._GROUP_SIZE:
        places = np.array([0, count - 256])
        samples = [engine.sample(group, view, count, places, 256) for engine in (Plain(), native.Native())]
        assert np.array_equal(*samples)
