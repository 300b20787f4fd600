"""Stochastic Lanczos quadrature against full eigensolutions."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.sparse.linalg import LinearOperator, aslinearoperator

from numerics.data import GaussianMixture
from numerics.equivalents import DeterministicEquivalent, EquivalentCoefficients
from numerics.linalg import lanczos_spectrum
from numerics.spectrum import SpectralLaw

Array = NDArray[np.float64]


def matrix(n: int, seed: int = 0) -> Array:
    values = np.random.default_rng(seed).standard_normal((n, n))
    return (values + values.T) / np.sqrt(2 * n)


def test_moments_of_each_probe_are_exact_to_degree_2m_minus_1() -> None:
    a = matrix(60)
    spectrum = lanczos_spectrum(a, np.random.default_rng(1), steps=7, probes=3)
    probes = np.random.default_rng(1).standard_normal((60, 3))
    probes /= np.linalg.norm(probes, axis=0)
    moved = probes
    for degree in range(16):
        exact = np.sum(probes * moved, axis=0)
        found = np.sum(spectrum.weights * spectrum.nodes**degree, axis=1)
        if degree <= 13:
            np.testing.assert_allclose(found, exact, atol=1e-11)
        elif degree == 14:
            assert np.abs(found - exact).max() > 1e-6
        moved = a @ moved


def test_all_steps_find_all_eigenvalues() -> None:
    a = matrix(40)
    spectrum = lanczos_spectrum(aslinearoperator(a), np.random.default_rng(2), steps=99, probes=2)
    exact = np.linalg.eigvalsh(a)
    np.testing.assert_allclose(spectrum.nodes, [exact, exact], atol=1e-10)
    np.testing.assert_allclose(spectrum.extreme(3), exact[::-1][:3], atol=1e-9)
    np.testing.assert_allclose(spectrum.weights.sum(axis=1), 1)


def test_traces_are_within_their_standard_errors() -> None:
    a = matrix(400)
    spectrum = lanczos_spectrum(a, np.random.default_rng(3), steps=30, probes=12)
    exact = np.linalg.eigvalsh(a)
    for function in (np.exp, np.square, lambda x: 1 / (4 - x)):
        value, error = spectrum.integrate(function)
        assert abs(value - function(exact).mean()) < 3 * error
        assert error < 0.05
    assert np.isnan(lanczos_spectrum(a, np.random.default_rng(3), steps=5, probes=1).integrate(np.exp)[1])


def test_an_invariant_subspace_ends_the_run() -> None:
    a = np.diag([1.0] * 30 + [3.0] * 10 + [0.0] * 10)
    spectrum = lanczos_spectrum(a, np.random.default_rng(4), steps=20, probes=6)
    assert np.all(spectrum.weights >= 0)
    np.testing.assert_allclose(spectrum.weights.sum(axis=1), 1, atol=1e-12)
    value, error = spectrum.integrate(np.square)
    assert abs(value - (30 + 90) / 50) < 4 * error
    np.testing.assert_allclose(spectrum.extreme(5), [3, 1, 0], atol=1e-9)


def test_the_equivalent_is_never_formed_and_its_law_is_found() -> None:
    mixture = GaussianMixture.released_experiment(900, means=4, cov_shift=4)
    sample = mixture.sample(np.random.default_rng(5))
    statistics = sample.statistics()
    numbers = {"alpha1": 0.4, "alpha2": 0.05, "alpha3": 0.05, "gamma2": 1.0}
    tau0 = statistics.tau0_population
    operator = DeterministicEquivalent.from_statistics(statistics, **numbers, tau0=tau0, data=sample.data)
    assert isinstance(operator, LinearOperator)
    spectrum = lanczos_spectrum(operator, np.random.default_rng(6), steps=50, probes=10)
    exact = np.linalg.eigvalsh(operator.dense())
    np.testing.assert_allclose(spectrum.extreme(2), exact[::-1][:2], rtol=1e-8)
    law = SpectralLaw.of(mixture, EquivalentCoefficients(0.4, 0.05, 0.05, 1.0))
    places = np.linspace(law.edges[0][0], law.edges[0][1], 200)
    smoothed = np.searchsorted(exact, places) / exact.size
    assert np.abs(spectrum.cumulative(places, 0.01) - smoothed).max() < 0.03
    assert np.abs(spectrum.cumulative(places, 0.01) - law.cumulative(places)).max() < 0.03
    inner = places[20:-20]
    assert np.abs(spectrum.density(inner, 0.05) / law.density(inner) - 1).max() < 0.25


def test_smoothed_density_is_the_derivative_of_the_smoothed_distribution() -> None:
    spectrum = lanczos_spectrum(matrix(50), np.random.default_rng(7), steps=10, probes=2)
    x = np.linspace(-1, 1, 9)
    slopes = (spectrum.cumulative(x + 1e-5, 0.1) - spectrum.cumulative(x - 1e-5, 0.1)) / 2e-5
    np.testing.assert_allclose(spectrum.density(x, 0.1), slopes, rtol=1e-6)
    assert spectrum.cumulative(spectrum.nodes.max() + 1e-9) == pytest.approx(1)
    assert spectrum.cumulative(spectrum.nodes.min() - 1e-9) == 0


def test_bad_input() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="square"):
        lanczos_spectrum(np.ones((2, 3)), rng)
    with pytest.raises(ValueError, match="at least one step"):
        lanczos_spectrum(np.eye(3), rng, steps=0)
    with pytest.raises(ValueError, match="at least one step"):
        lanczos_spectrum(np.eye(3), rng, probes=0)
    with pytest.raises(FloatingPointError, match="not finite"):
        lanczos_spectrum(np.full((3, 3), np.nan), rng)
    with pytest.raises(ValueError, match="positive"):
        lanczos_spectrum(np.eye(3), rng).density(0.0, 0.0)
