"""Distances between spectra and laws: against SciPy, closed forms and brute force."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from numerics.spectrum import (
    kolmogorov_distance,
    levy_distance,
    match_outliers,
    outside_support,
    wasserstein_distance,
)

Array = NDArray[np.float64]


@dataclass(frozen=True)
class UniformWithAtom:
    """The share `atom` at 0, the rest evenly on [1, 2]."""

    atom: float = 0.0

    @property
    def edges(self) -> tuple[tuple[float, float], ...]:
        return ((1.0, 2.0),)

    @property
    def point(self) -> float | None:
        return 0.0 if self.atom else None

    def cumulative(self, x: ArrayLike, *, left: bool = False) -> Array:
        points = np.array(x, dtype=np.float64)
        step = (points > 0) if left else (points >= 0)
        return np.asarray(self.atom * step + (1 - self.atom) * np.clip(points - 1, 0, 1))


UNIFORM = UniformWithAtom()


@pytest.fixture
def spectrum() -> Array:
    return np.random.default_rng(0).uniform(0.8, 2.1, 37)


def test_kolmogorov_is_scipys(spectrum: Array) -> None:
    expected = stats.kstest(spectrum, lambda x: np.clip(x - 1, 0, 1)).statistic
    assert kolmogorov_distance(spectrum, UNIFORM) == pytest.approx(expected, abs=1e-15)


def test_kolmogorov_with_point_masses() -> None:
    law = UniformWithAtom(0.5)
    exact = np.concatenate([np.zeros(50), 1 + (np.arange(50) + 0.5) / 50])
    assert kolmogorov_distance(exact, law) == pytest.approx(0.005)
    # Rounding to both sides of the atom costs half of it, and the slack forgives it.
    shaken = exact + np.where(np.arange(100) % 2, 1e-13, -1e-13)
    assert kolmogorov_distance(shaken, law) == pytest.approx(0.25)
    assert kolmogorov_distance(shaken, law, slack=1e-12) == pytest.approx(0.005, abs=1e-9)
    assert kolmogorov_distance([3.0], law) == 1.0
    assert kolmogorov_distance([-1.0], law) == 1.0


def test_levy_is_the_side_of_the_largest_square() -> None:
    """A shift by e of the uniform law is at the distance e/2; an atom moved by e, at e."""
    shifted = 1.2 + (np.arange(20_000) + 0.5) / 20_000
    assert levy_distance(shifted, UNIFORM) == pytest.approx(0.1, abs=1e-4)
    assert kolmogorov_distance(shifted, UNIFORM) == pytest.approx(0.2, abs=1e-4)
    moved = np.concatenate([np.full(10_000, 0.03), 1 + (np.arange(10_000) + 0.5) / 10_000])
    assert levy_distance(moved, UniformWithAtom(0.5)) == pytest.approx(0.03, abs=1e-4)


def test_wasserstein_is_the_area_between(spectrum: Array) -> None:
    x = np.linspace(0.7, 2.2, 1_500_001)
    level = np.searchsorted(np.sort(spectrum), x, side="right") / spectrum.size
    area = np.abs(level - UNIFORM.cumulative(x)).mean() * 1.5
    assert wasserstein_distance(spectrum, UNIFORM) == pytest.approx(area, rel=1e-5)
    law = UniformWithAtom(0.25)
    moved = np.concatenate([np.full(1000, -0.5), 1 + (np.arange(3000) + 0.5) / 3000])
    assert wasserstein_distance(moved, law) == pytest.approx(0.125, abs=1e-4)
    assert wasserstein_distance([0.0], UniformWithAtom(1.0)) == pytest.approx(0.0, abs=1e-12)


def test_outside_support() -> None:
    values = [-0.4, 0.05, 0.9, 0.97, 1.5, 2.02, 2.3]
    out, held = outside_support(values, UniformWithAtom(0.5), 0.05)
    assert out.tolist() == [2.3, 0.9, -0.4]
    assert held.tolist() == [2.02, 1.5, 0.97, 0.05]
    out, _ = outside_support(values, UniformWithAtom(0.5), 0.05, point_margin=0.4)
    assert out.tolist() == [2.3, 0.9]
    out, _ = outside_support(values, UNIFORM, 0.05)
    assert out.tolist() == [2.3, 0.9, 0.05, -0.4]


def test_outliers_are_paired_from_the_outermost_inwards() -> None:
    match = match_outliers([5.0, 3.0, 0.5, 1.4], [4.8, 3.3, 2.4, 0.4, 0.1], (1.0, 2.0))
    np.testing.assert_allclose(match.pairs, [[5, 4.8], [3, 3.3], [0.5, 0.1]])
    assert match.missing.tolist() == [1.4]
    assert sorted(match.unexpected.tolist()) == [0.4, 2.4]
    np.testing.assert_allclose(match.relative_errors, [-0.04, 0.1, -0.8])
    nothing = match_outliers([], [], (0.0, 1.0))
    assert nothing.pairs.shape == (0, 2)
    assert nothing.relative_errors.size == 0


def test_bad_input() -> None:
    for values in ([], [np.nan], [np.inf, 1.0]):
        with pytest.raises(ValueError, match="finite and not empty"):
            kolmogorov_distance(values, UNIFORM)
        with pytest.raises(ValueError, match="finite and not empty"):
            wasserstein_distance(values, UNIFORM)
    with pytest.raises(ValueError, match="margins"):
        outside_support([1.0], UNIFORM, -1.0)
