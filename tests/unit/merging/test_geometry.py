"""Factors from inner products, against the same worked out with the vectors themselves."""

from __future__ import annotations

import numpy as np
import pytest

from sagecraft.merging.geometry import Options, karcher, model_stock, multislerp, nuslerp, slerp, slerp_coefficients

RNG = np.random.default_rng(1)
VECTORS = RNG.normal(size=(3, 50)) + np.linspace(0, 3, 50)
GRAM = (VECTORS @ VECTORS.T).tolist()
WEIGHTS = (0.5, 0.3, 0.4)


def test_multislerp_projects_onto_the_tangent_at_the_mean() -> None:
    shares = np.array(WEIGHTS) / sum(WEIGHTS)
    norms = np.linalg.norm(VECTORS, axis=1)
    units = VECTORS / norms[:, None]
    mean = shares @ units
    mean /= np.linalg.norm(mean)
    step = shares @ (units - (units @ mean)[:, None] * mean)
    length = np.linalg.norm(step)
    wanted = (np.cos(length) * mean + np.sin(length) * step / max(length, 1e-300)) * (shares @ norms)
    np.testing.assert_allclose(np.array(multislerp(GRAM, WEIGHTS, Options())) @ VECTORS, wanted, atol=1e-9)


def test_the_karcher_mean_is_where_the_angles_balance() -> None:
    point = np.array(karcher(GRAM, (1, 1, 1), Options(max_iter=50, tol=1e-12))) @ VECTORS
    norms = np.linalg.norm(VECTORS, axis=1)
    assert np.linalg.norm(point) == pytest.approx(norms.mean())
    unit = point / np.linalg.norm(point)
    pull = np.zeros(50)
    for vector in VECTORS / norms[:, None]:
        across = vector - (vector @ unit) * unit
        pull += np.arccos(vector @ unit) * across / np.linalg.norm(across)
    assert np.linalg.norm(pull) < 1e-9


def test_of_two_all_spherical_means_are_slerp() -> None:
    pair = VECTORS[:2] / np.linalg.norm(VECTORS[:2], axis=1)[:, None]
    gram = (pair @ pair.T).tolist()
    middle = slerp_coefficients(gram[0][1], 0.5)
    assert slerp(gram, (), Options(t=0.5)) == pytest.approx(middle)
    assert nuslerp(gram, (2, 2), Options()) == pytest.approx(middle)
    assert karcher(gram, (1, 1), Options(max_iter=100, tol=1e-14)) == pytest.approx(middle)
    assert multislerp(gram, (1, 1), Options()) == pytest.approx(middle)


def test_model_stock_trusts_what_agrees() -> None:
    assert model_stock(np.eye(3).tolist(), (), Options()) == (0, 0, 0)  # at right angles: nothing but noise
    assert model_stock(np.ones((2, 2)).tolist(), (), Options()) == pytest.approx((0.5, 0.5))
    half = [[1.0, 0.5], [0.5, 1.0]]
    assert model_stock(half, (), Options()) == pytest.approx((1 / 3, 1 / 3))  # t = 2·½ / (1 + ½)


def test_tensors_of_zeros_have_no_direction() -> None:
    zero = [[0.0, 0.0], [0.0, 4.0]]
    assert slerp(zero, (), Options(t=0.25)) == (0.75, 0.25)
    assert model_stock(zero, (), Options()) == (0, 0)
    assert karcher(zero, (1, 1), Options()) == pytest.approx((0, 1))
    assert karcher([[0.0]], (1,), Options()) == (0.0,)
