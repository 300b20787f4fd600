"""Spectra estimated without diagonalising, against the full eigensolution of the same kernels."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from numerics.experiments import Experiment, MeasuredSpectrum, measure, predict
from numerics.linalg import LanczosSpectrum, lanczos_spectrum
from numerics.spectrum import Population, SpectralLaw, estimate_spectrum, isolation_margin
from theory.activations import resolve
from theory.kernels import Kernel, KernelCoefficients

Array = NDArray[np.float64]

#: Activation, kernel, and the data: two isolated eigenvalues; none near; a point mass (n > p); a point alone.
CASES = {
    "two outliers": ("relu", Kernel.CK, 700, {"means": 2.0, "cov_shift": 20.0}),
    "odd": ("tanh", Kernel.CK, 500, {"means": 3.0, "cov_shift": 4.0}),
    "point mass": ("relu", Kernel.NTK_ALL, 250, {"means": 3.0, "cov_shift": 4.0, "ratio": 2.0}),
    "even": ("cos(x)", Kernel.CK, 500, {"means": 2.0, "cov_shift": 8.0}),
}


@pytest.mark.parametrize("case", CASES)
def test_an_estimated_spectrum_is_that_of_the_diagonalised_kernel(case: str) -> None:
    name, kernel, p, fields = CASES[case]
    experiment = Experiment((), seed=3, **fields)  # type: ignore[arg-type]
    activation = resolve(name).with_parameters({})
    law, solution = predict(experiment, activation, kernel, p)
    full, found = (
        measure(experiment, activation, kernel, p, 0, law, solution, most_diagonalised=most)  # type: ignore[arg-type]
        for most in (8192, 16)
    )
    estimate = found.estimate
    assert estimate is not None
    assert full.estimate is None
    # The ends are eigenvalues to within their residuals, and the isolated ones far better.
    upper, lower = found.ends
    reach = estimate.end_residual + 1e-9
    assert reach < max(isolation_margin(law), full.opnorm_error) / 10
    assert upper >= 4 <= lower
    assert np.abs(np.subtract.outer(found.eigenvalues, full.eigenvalues)).min(axis=1).max() <= reach
    assert found.isolated.size == full.isolated.size
    np.testing.assert_allclose(found.isolated, full.isolated, atol=1e-8)
    assert found.opnorm_error == full.opnorm_error
    # The distances, within four standard errors of the distribution function anywhere: sqrt(F (1 - F) 2 / (n probes)).
    error = 4 * np.sqrt(0.5 / (full.eigenvalues.size * estimate.probes))
    assert estimate.ks_standard_error < error
    assert abs(found.ks_distance - full.ks_distance) < error
    assert abs(found.levy_distance - full.levy_distance) < error
    width = full.eigenvalues[full.isolated.size] - full.eigenvalues[-1]
    assert abs(found.wasserstein_distance - full.wasserstein_distance) < error * width
    area = np.trapezoid(estimate.density, estimate.places)
    assert area == pytest.approx(1, abs=0.02)


def test_a_wrong_law_is_as_far_from_the_estimate_as_from_the_spectrum() -> None:
    """A distance that is not small: the law's own shape, put back after interpolation, does not hide it."""
    experiment = Experiment((), means=2.0, seed=1)
    activation = resolve("relu")
    law, solution = predict(experiment, activation, Kernel.CK, 500)
    coefficients = replace(law.coefficients, linear=1.5 * law.coefficients.linear)
    wrong = SpectralLaw.of(experiment.mixture(500), coefficients)
    full, found = (
        measure(experiment, activation, Kernel.CK, 500, 0, wrong, solution, most_diagonalised=most)
        for most in (8192, 16)
    )
    assert full.ks_distance > 0.2
    assert found.ks_distance == pytest.approx(full.ks_distance, abs=0.02)


def test_an_isolated_eigenvalue_within_a_gap_is_found() -> None:
    """Two intervals of the support with an eigenvalue between them, and one beyond each end."""
    law = SpectralLaw.of(
        Population.isotropic([1.0, 100.0], np.zeros((2, 2)), [200, 100], 3000),
        KernelCoefficients(1.0, 0.0, 0.0, 34.0),
    )
    (left, middle), (start, right) = law.edges
    spectrum = np.concatenate(
        [
            np.linspace(left, middle, 198),
            np.linspace(start, right, 99),
            [(middle + start) / 2, right + 40.0, left - 20.0],
        ]
    )
    basis, _ = np.linalg.qr(np.random.default_rng(0).standard_normal((300, 300)))
    found = estimate_spectrum((basis * spectrum) @ basis.T, law, 0.1, np.random.default_rng(1))
    np.testing.assert_allclose(found.isolated, np.sort(spectrum[-3:])[::-1], atol=1e-6)
    assert found.rest.size == 297
    # They are left out of the others.
    assert left - 0.1 < found.rest.min()
    assert found.rest.max() < right + 0.1
    assert np.interp((middle + start) / 2, found.bulk.places, found.bulk.density) < 1e-6


def test_more_eigenvalues_are_asked_for_where_many_are_isolated(monkeypatch: pytest.MonkeyPatch) -> None:
    law = SpectralLaw.of(Population.isotropic([1.0], [[0.0]], [400], 500), KernelCoefficients(1.0, 0.0, 0.0, 1.0))
    left, right = law.edges[0]
    spikes = right + np.arange(1, 13)
    matrix = np.diag(np.concatenate([np.linspace(left, right, 388), spikes]))
    asked = []
    original = sys.modules["numerics.spectrum.estimate"].extreme_eigenvalues

    def counted(operator: Array, count: int, rng: np.random.Generator, **others: object) -> object:
        asked.append(count)
        return original(operator, count, rng, **others)  # type: ignore[arg-type]

    monkeypatch.setattr(sys.modules["numerics.spectrum.estimate"], "extreme_eigenvalues", counted)
    found = estimate_spectrum(matrix, law, 0.1, np.random.default_rng(1))
    assert asked == [4, 8, 16, 4]
    np.testing.assert_allclose(found.isolated, spikes[::-1], atol=1e-6)


def test_the_same_seed_gives_the_same_bytes_and_a_record_reads_back() -> None:
    experiment = Experiment((), means=2.0, seed=1)
    law, solution = predict(experiment, resolve("relu"), Kernel.CK, 200)
    one, other = (
        measure(experiment, resolve("relu"), Kernel.CK, 200, 0, law, solution, most_diagonalised=16) for _ in range(2)
    )
    assert one.record() == other.record()
    assert MeasuredSpectrum.from_record(one.record()).record() == one.record()


# --- the quadrature ------------------------------------------------------------------------------


def test_levels_are_halfway_up_steps_that_hold_the_probes_own_distribution() -> None:
    """Chebyshev, Markov and Stieltjes: at a node the distribution function is between the two ends of the step."""
    values = np.random.default_rng(0).standard_normal((80, 80))
    matrix = values + values.T
    found = lanczos_spectrum(matrix, np.random.default_rng(1), steps=9, probes=3)
    probes = np.random.default_rng(1).standard_normal((80, 3))
    probes /= np.linalg.norm(probes, axis=0)
    exact, vectors = np.linalg.eigh(matrix)
    shares = (vectors.T @ probes) ** 2
    for probe in range(3):
        for node, level, weight in zip(found.nodes[probe], found.levels()[probe], found.weights[probe], strict=True):
            below = shares[exact < node, probe].sum()
            assert level - weight / 2 - 1e-12 <= below <= level + weight / 2 + 1e-12


def test_nodes_can_be_left_out() -> None:
    spectrum = LanczosSpectrum(9, np.array([[1.0, 2.0], [1.0, 3.0]]), np.array([[0.25, 0.75], [0.5, 0.5]]), np.ones(4))
    left = spectrum.without(spectrum.nodes > 2.5)
    assert left.weights.tolist() == [[0.25, 0.75], [1.0, 0.0]]
    assert left.levels().tolist() == [[0.125, 0.625], [0.5, 1.0]]
    with pytest.raises(ValueError, match="no nodes left"):
        spectrum.without(spectrum.nodes >= 1)
