from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from sagecraft.evaluation.distributions import binomial_half, chi_square_tail, normal_quantile, t_quantile


def test_quantiles_of_students_t_are_scipys() -> None:
    generator = np.random.Generator(np.random.PCG64(1))
    probabilities = np.concatenate([generator.uniform(0.001, 0.999, 900), 10.0 ** -generator.uniform(3, 5, 100)])
    degrees = generator.integers(1, 5000, 1000)
    degrees[:300] = generator.integers(1, 12, 300)
    ours = [t_quantile(float(p), int(nu)) for p, nu in zip(probabilities, degrees, strict=True)]
    np.testing.assert_allclose(ours, scipy.stats.t.ppf(probabilities, degrees), rtol=1e-7, atol=1e-9)
    assert t_quantile(0.975, 10**7) == pytest.approx(normal_quantile(0.975), abs=1e-6)
    for bad in ((0.0, 3), (0.5, 0)):
        with pytest.raises(ValueError, match="degrees of freedom"):
            t_quantile(*bad)


def test_tails_of_chi_square_are_scipys() -> None:
    generator = np.random.Generator(np.random.PCG64(2))
    degrees = generator.integers(1, 40, 1000)
    values = generator.exponential(1.5, 1000) * degrees
    ours = [chi_square_tail(float(x), int(nu)) for x, nu in zip(values, degrees, strict=True)]
    np.testing.assert_allclose(ours, scipy.stats.chi2.sf(values, degrees), rtol=1e-10)
    assert (chi_square_tail(0, 1), chi_square_tail(0, 4), chi_square_tail(-1.0, 5)) == (1, 1, 1)
    with pytest.raises(ValueError, match="degrees"):
        chi_square_tail(1.0, 0)


def test_fair_coins_are_scipys() -> None:
    for count in range(1000):
        expected = scipy.stats.binom.pmf(np.arange(count + 1), count, 0.5)
        np.testing.assert_allclose(binomial_half(count), expected, rtol=1e-9)
    masses = binomial_half(4425)
    assert (masses == masses[::-1]).all()
    assert masses.sum() == pytest.approx(1, abs=1e-11)
