from __future__ import annotations

import numpy as np
import pytest

from sagecraft.merging import sparsify


@pytest.mark.parametrize("density", [0.1, 0.5, 0.7, 0.999])
def test_the_density_is_met(density: float) -> None:
    count = 1_000_000
    for tensor in ("x", "y"):
        kept = keep(sparsify.mask_key(0, "model", tensor), density, count)
        error = abs(kept.mean() - density) / np.sqrt(density * (1 - density) / count)
        assert error < 4  # standard errors


def test_draws_look_independent() -> None:
    """Neighbours, rows, and masks of other models, tensors and seeds: no correlation beyond chance."""
    count = 1_000_000
    keys = [sparsify.mask_key(*key) for key in ((0, "m", "t"), (0, "m", "u"), (0, "n", "t"), (1, "m", "t"))]
    masks = [keep(key, 0.5, count) * 2.0 - 1 for key in keys]
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


def keep(key: int, density: float, count: int) -> np.ndarray:
    return sparsify.hash_mask(sparsify.random_mask(key, density), 0, count)


def test_of_equal_magnitudes_those_before_the_end_stand_above() -> None:
    values = np.array([1, -2, 2, -2, 2, 3, 0.5], dtype=np.float32)
    two = int(sparsify.magnitude_bits(values)[1])
    mask = sparsify.Mask("band", lower=sparsify.Bound(two, 13))
    assert sparsify.thin(values, mask, 10).tolist() == [0, -2, 2, 0, 0, 3, 0]
    mask = sparsify.Mask("band", upper=sparsify.Bound(two, 2))
    assert sparsify.thin(values, mask, 0).tolist() == [1, 0, 2, -2, 2, 0, 0.5]


def test_a_place_in_a_histogram() -> None:
    counts = np.array([5, 0, 3, 1], dtype=np.uint32)
    assert [sparsify.place(counts, rank) for rank in (1, 2, 4, 5, 9)] == [(3, 0), (2, 1), (2, 1), (0, 4), (0, 4)]
