"""The methods of whole tensors, against what their papers say of small cases."""

from __future__ import annotations

import numpy as np
import pytest

from sagecraft.merging import geometry, rows
from sagecraft.merging.geometry import Options
from sagecraft.merging.rows import Settings

RNG = np.random.default_rng(0)
BASE = RNG.normal(size=(6, 40)).astype(np.float32)
TUNES = [BASE + 0.1 * RNG.normal(size=BASE.shape).astype(np.float32) for _ in range(3)]


def test_ram_averages_what_is_shared_and_keeps_what_is_not() -> None:
    base = np.zeros((1, 4), dtype=np.float32)
    tensors = [np.array([[1, 2, 0, 0]], dtype=np.float32), np.array([[3, 0, 0, 4]], dtype=np.float32)]
    settings = Settings((1, 1), options=Options(r=0.5, alpha=0.8))
    assert rows.ram(base, tensors, settings).tolist() == [[2, 2, 0, 4]]
    # each has one shared and one unique element: the overlap of 1 counts as 0.8
    np.testing.assert_allclose(rows.ramplus_tl(base, tensors, settings), [[2, 2.8, 0, 5.6]], rtol=1e-6)


def test_sce_weighs_by_squares_of_the_selected() -> None:
    base = np.zeros((1, 3), dtype=np.float32)
    tensors = [np.array([[1, 2, 0]], dtype=np.float32), np.array([[3, -1, 0]], dtype=np.float32)]
    weights = np.array([5, 10]) / 15
    merged = rows.sce(base, tensors, Settings((1, 1)))
    # the sign of the second is that of 2 − 1, and only the first model agrees
    wanted = [(weights[0] * 1 + weights[1] * 3), 2, 0]
    np.testing.assert_allclose(merged, [wanted], rtol=1e-6, atol=1e-7)
    # the largest variance alone: (2 + 1)² / 4 at the second element
    chosen = rows.sce(base, tensors, Settings((1, 1), options=Options(select_topk=1 / 3)))
    assert chosen.tolist() == [[0, 2, 0]]


@pytest.mark.parametrize("rescale", ["inverse_density", "l1", "off"])
def test_della_keeps_large_elements_more_often(rescale: str) -> None:
    base = np.zeros((200, 500), dtype=np.float32)
    delta = RNG.normal(size=base.shape).astype(np.float32)
    settings = Settings((1.0,), (0.5,), (0.3,), (12345,), rescale=rescale)  # type: ignore[arg-type]
    merged = rows.della_linear(base, [delta], settings)
    kept = merged != 0
    assert abs(kept.mean() - 0.5) < 4 * (0.25 / kept.size) ** 0.5
    order = np.argsort(abs(delta), axis=1)
    by_rank = np.take_along_axis(kept, order, axis=1).mean(axis=0)
    np.testing.assert_allclose(by_rank.reshape(10, -1).mean(axis=1), np.linspace(0.23, 0.77, 10), atol=0.02)
    if rescale == "l1":
        assert abs(merged).sum() == pytest.approx(abs(delta).sum(), rel=1e-5)
    if rescale == "inverse_density":  # unbiased at every rank
        assert merged.sum() == pytest.approx(delta.sum(), abs=5 * delta.size**0.5)


def test_arcee_fusion_takes_outliers_whole() -> None:
    merged = rows.arcee_fusion(BASE, TUNES[:1], Settings((1.0,)))
    changed = merged != BASE
    np.testing.assert_array_equal(merged[changed], (BASE + (TUNES[0] - BASE))[changed])
    assert 0 < changed.mean() < 0.25


def test_nuslerp_by_rows_and_columns_is_slerp_of_each() -> None:
    for row_wise in (True, False):  # in mergekit's words the first axis is that of rows
        options = Options(nuslerp_flatten=False, nuslerp_row_wise=not row_wise)
        merged = rows.nuslerp(None, TUNES[:2], Settings((3, 1), options=options))
        left, right = (t if row_wise else t.T for t in TUNES[:2])
        for number, (a, b) in enumerate(zip(left.astype(float), right.astype(float), strict=True)):
            cosine = a @ b / np.linalg.norm(a) / np.linalg.norm(b)
            p, q = geometry.slerp_coefficients(cosine, 0.25)
            found = merged[number] if row_wise else merged[:, number]
            np.testing.assert_allclose(found, p * a + q * b, atol=1e-6)


def test_model_stock_by_rows_is_that_of_each_row() -> None:
    merged = rows.model_stock(BASE, TUNES, Settings((1, 1, 1)))
    for number in range(len(BASE)):
        deltas = [(t[number] - BASE[number]).astype(float) for t in TUNES]
        cosines = [a @ b / np.linalg.norm(a) / np.linalg.norm(b) for i, a in enumerate(deltas) for b in deltas[i + 1 :]]
        cosine = np.mean(cosines)
        share = 3 * cosine / (1 + 2 * cosine)
        np.testing.assert_allclose(merged[number], BASE[number] + share * np.mean(deltas, axis=0), atol=1e-6)
