from __future__ import annotations

import numpy as np
import pytest

from sagecraft.merging import sparsify


@pytest.mark.parametrize("density", [0.1, 0.5, 0.7, 0.999])
def test_the_density_is_met(density: float) -> None:
    count = 1_000_000
    for tensor in ("x", "y"):
        kept = sparsify.keep_random(sparsify.mask_key(0, "model", tensor), density, 0, count)
        error = abs(kept.mean() - density) / np.sqrt(density * (1 - density) / count)
        assert error < 4  # standard errors


def test_draws_look_independent() -> None:
    """Neighbours, rows, and masks of other models, tensors and seeds: no correlation beyond chance."""
    count = 1_000_000
    keys = [sparsify.mask_key(*key) for key in ((0, "m", "t"), (0, "m", "u"), (0, "n", "t"), (1, "m", "t"))]
    masks = [sparsify.keep_random(key, 0.5, 0, count) * 2.0 - 1 for key in keys]
    for left in range(len(masks)):
        for right in range(left):
            assert abs((masks[left] * masks[right]).mean()) < 5 / np.sqrt(count)
    for lag in (1, 2, 16, 64, 576, 4096):
        assert abs((masks[0][lag:] * masks[0][:-lag]).mean()) < 5 / np.sqrt(count - lag)


def test_hashes_are_spread_evenly() -> None:
    counts = np.bincount(sparsify.hash_words(7, 0, 1 << 20) >> np.uint32(20), minlength=1 << 12)
    chi_squared = ((counts - 256) ** 2 / 256).sum()
    assert abs(chi_squared - 4095) < 5 * np.sqrt(2 * 4095)


def test_a_hash_depends_on_its_element_only() -> None:
    whole = sparsify.hash_words(123456789 << 20, 2**32 - 50, 100)  # across the border of the low word
    parts = [sparsify.hash_words(123456789 << 20, 2**32 - 50 + at, 10) for at in range(0, 100, 10)]
    assert np.array_equal(whole, np.concatenate(parts))
    assert len(np.unique(whole)) == 100


def test_known_values() -> None:
    """Pinned: these numbers may never change, or old merges cannot be made again."""
    assert sparsify.hash_words(0x0123456789ABCDEF, 0, 4).tolist() == [3833571298, 1263670817, 2738817501, 753338120]


def test_exactly_k_are_kept_even_on_a_coarse_grid() -> None:
    rng = np.random.default_rng(0)
    for scale in (1e-9, 1, 1e9):
        for values in (rng.integers(-3, 4, 1000), rng.normal(size=1000), np.zeros(1000)):
            delta = (values * scale).astype(np.float32)
            for density in (0.001, 0.29, 0.5, 1.0):
                kept = cut(delta, density, 64)
                assert kept.sum() == round(density * 1000)
                assert np.abs(delta[kept]).min() >= np.abs(delta[~kept]).max(initial=0)


def test_of_equal_magnitudes_the_first_are_kept() -> None:
    delta = np.array([1, -2, 2, -2, 2, 3, 0.5], dtype=np.float32)
    assert cut(delta, 3 / 7, 2).tolist() == [False, True, True, False, False, True, False]


def cut(delta: np.ndarray, density: float, size: int) -> np.ndarray:
    """The streamed cut over blocks of `size`."""
    blocks = [delta[at : at + size] for at in range(0, len(delta), size)]
    kept = sparsify.num_kept(density, len(delta))
    high, above = sparsify.crucial_bin(sum(sparsify.high_histogram(block) for block in blocks), max(kept, 1))
    found = sparsify.find_cut(above, [sparsify.candidates(block, high) for block in blocks], kept)
    return np.concatenate([sparsify.keep_largest(block, found, n) for n, block in enumerate(blocks)])
