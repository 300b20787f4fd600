"""Measured spectra against the law: what counts as isolated, and the comparison of one draw."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from numerics.experiments import Experiment
from numerics.kernels import implicit_ck
from numerics.pointwise import pointwise
from numerics.spectral_law import EquivalentCoefficients, SpectralLaw
from numerics.spectral_population import Population
from numerics.spectral_study import isolated_eigenvalues, isolation_margin, measure, predict, summarise_outliers
from theory.registry import resolve

Array = NDArray[np.float64]
RELU = resolve("relu")


def quantiles(law: SpectralLaw, count: int) -> Array:
    """A spectrum as even as the law allows."""
    left, right = law.edges[0]
    places = np.linspace(left, right, 20_001)
    return np.interp((np.arange(count) + 0.5) / count, law.cumulative(places), places)


@pytest.fixture(scope="module")
def law() -> SpectralLaw:
    population = Population.isotropic([1.0], [[0.0]], [800], 1000)
    return SpectralLaw.of(population, EquivalentCoefficients(1.0, 0.0, 0.0, 1.0))


def test_eigenvalues_well_outside_are_isolated(law: SpectralLaw) -> None:
    spectrum = np.concatenate([quantiles(law, 797), [5.0, 4.0, -1.0]])
    isolated, rest = isolated_eigenvalues(spectrum, law, 0.0)
    assert isolated.tolist() == [5.0, 4.0, -1.0]
    assert rest.size == 797
    assert np.all(np.diff(rest) <= 0)


def test_a_bulk_that_has_moved_is_not_a_set_of_outliers(law: SpectralLaw) -> None:
    """All of it moved beyond the margin: the eigenvalues outside are contiguous with the others."""
    shift = 1.5 * isolation_margin(law)
    for sign in (1, -1):
        moved = np.concatenate([quantiles(law, 799) + sign * shift, [6.0 * sign]])
        assert isolated_eigenvalues(moved, law, 0.0)[0].tolist() == [6.0 * sign]


def test_eigenvalues_near_a_point_mass_are_not_isolated() -> None:
    population = Population.isotropic([1.0], [[0.0]], [400], 100)
    law = SpectralLaw.of(population, EquivalentCoefficients(1.0, 0.0, 0.0, 1.0))
    spectrum = np.concatenate([quantiles(law, 100), np.linspace(-0.2, 0.2, 298), [20.0, -3.0]])
    assert isolated_eigenvalues(spectrum, law, 0.25)[0].tolist() == [20.0, -3.0]
    assert isolated_eigenvalues(spectrum, law, 3.5)[0].tolist() == [20.0]


def test_a_draw_is_compared_with_the_law() -> None:
    experiment = Experiment((RELU,), means=3.0, cov_shift=4.0, seed=5)
    law, solution = predict(experiment, RELU, "ck", 300)
    draws = [measure(experiment, RELU, "ck", 300, index, law, solution) for index in range(3)]
    gram = experiment.mixture(300).sample(np.random.default_rng([5, 300, 1])).gram()
    kernel = implicit_ck(gram, pointwise(RELU), 0.2, 0.8, solution["bias"]).kernel
    np.testing.assert_allclose(draws[1].eigenvalues, np.linalg.eigvalsh(kernel)[::-1], atol=1e-9)
    assert all(0 < draw.levy_distance <= draw.ks_distance < 0.2 for draw in draws)
    assert all(draw.wasserstein_distance < draw.opnorm_error < 0.5 for draw in draws)
    summary = summarise_outliers(law, draws)
    np.testing.assert_allclose(summary.mean, np.mean([draw.eigenvalues[:2] for draw in draws], axis=0))
    spread = np.std([draw.eigenvalues[:2] for draw in draws], axis=0, ddof=1)
    np.testing.assert_allclose(summary.standard_error, spread / np.sqrt(3))
    np.testing.assert_allclose(summary.match.pairs[:, 0], law.outlier_values)
    assert np.all(np.abs(summary.match.relative_errors) < 0.1)
    alone = summarise_outliers(law, draws[:1])
    assert np.all(np.isnan(alone.standard_error))
    with pytest.raises(ValueError, match="at least one draw"):
        summarise_outliers(law, [])


def test_the_same_draw_gives_the_same_numbers() -> None:
    experiment = Experiment((RELU,), seed=2)
    law, solution = predict(experiment, RELU, "ntk-recurrent", 80)
    one, other = (measure(experiment, RELU, "ntk-recurrent", 80, 0, law, solution) for _ in range(2))
    assert one.eigenvalues.tobytes() == other.eigenvalues.tobytes()
    assert one.opnorm_error == other.opnorm_error
