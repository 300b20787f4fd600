"""What counts as isolated in a measured spectrum."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from numerics.spectrum import (
    Population,
    SpectralLaw,
    count_isolated,
    isolated_eigenvalues,
    isolation_margin,
    support_bounds,
)
from theory.kernels import KernelCoefficients

Array = NDArray[np.float64]
GRAM = KernelCoefficients(1.0, 0.0, 0.0, 1.0)


def quantiles(law: SpectralLaw, count: int) -> Array:
    """A spectrum as even as the law allows."""
    left, right = law.edges[0]
    places = np.linspace(left, right, 20_001)
    return np.interp((np.arange(count) + 0.5) / count, law.cumulative(places), places)


@pytest.fixture(scope="module")
def law() -> SpectralLaw:
    return SpectralLaw.of(Population.isotropic([1.0], [[0.0]], [800], 1000), GRAM)


@pytest.fixture(scope="module")
def law_with_point() -> SpectralLaw:
    """Point mass 0.75 at 0, the rest on [1, 9]."""
    return SpectralLaw.of(Population.isotropic([1.0], [[0.0]], [4000], 1000), GRAM)


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


def test_eigenvalues_near_a_point_mass_are_not_isolated(law_with_point: SpectralLaw) -> None:
    spectrum = np.concatenate([quantiles(law_with_point, 1000), np.linspace(-0.2, 0.2, 2998), [20.0, -3.0]])
    assert isolated_eigenvalues(spectrum, law_with_point, 0.25)[0].tolist() == [20.0, -3.0]
    assert isolated_eigenvalues(spectrum, law_with_point, 3.5)[0].tolist() == [20.0]


def test_eigenvalues_between_a_point_mass_and_the_bulk_can_be_isolated(law_with_point: SpectralLaw) -> None:
    """Those of the point mass, on their other side, are no part of the gap before the bulk."""
    assert support_bounds(law_with_point) == (0.0, pytest.approx(9.0))
    spectrum = np.concatenate([quantiles(law_with_point, 1000), np.linspace(-0.05, 0.05, 2999), [0.4]])
    assert isolated_eigenvalues(spectrum, law_with_point, 0.1)[0].tolist() == [0.4]
    assert isolated_eigenvalues(spectrum, law_with_point, 0.5)[0].tolist() == []


def test_an_end_of_a_spectrum_is_enough(law: SpectralLaw) -> None:
    spectrum = np.sort(np.concatenate([quantiles(law, 797), [5.0, 4.0, -1.0]]))[::-1]
    for known in (4, 6, 300):
        assert count_isolated(spectrum[:known], "right", law, 0.0) == 2
        assert count_isolated(spectrum[::-1][:known], "left", law, 0.0) == 1
    # The ones known are all outside, and nothing is known of the next.
    assert count_isolated(spectrum[:2], "right", law, 0.0) == 1
