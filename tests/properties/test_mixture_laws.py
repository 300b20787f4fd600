"""Laws of the data: axes may be turned, and classes that are alike may be told apart, without any effect."""

from __future__ import annotations

import numpy as np
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from numerics.data import GaussianMixture, MixtureSample
from numerics.equivalents import DeterministicEquivalent
from numerics.spectrum import SpectralLaw
from theory.kernels import KernelCoefficients

Array = NDArray[np.float64]
P = 48

COEFFICIENTS = st.builds(
    KernelCoefficients,
    linear=st.sampled_from([0.2, 1.0]),
    variance=st.sampled_from([0.0, 0.1, 0.5]),
    square=st.sampled_from([0.05, 0.2]),
    diagonal=st.sampled_from([0.5, 2.0]),
)
SEEDS = st.integers(0, 2**32 - 1)
LEVELS = st.lists(st.sampled_from([0.3, 1.0, 1.5, 4.0]), min_size=2, max_size=2)
#: A law takes a tenth of a second, and shrinking hundreds of them.
UNSHRUNK = settings(max_examples=4, phases=(Phase.explicit, Phase.reuse, Phase.generate))


def diagonals(levels: list[float]) -> list[Array]:
    """Two classes: one variance, and two variances on halves."""
    return [np.full(P, levels[0]), np.repeat(np.array(levels), P // 2)]


def means(strength: float) -> Array:
    found = np.zeros((2, P))
    found[0, 3], found[1, 5] = strength, -strength / 2
    return found


def are_the_same(one: SpectralLaw, other: SpectralLaw) -> None:
    np.testing.assert_allclose(other.edges, one.edges, atol=1e-8)
    np.testing.assert_allclose(other.masses, one.masses, atol=1e-8)
    np.testing.assert_allclose(other.outlier_values, one.outlier_values, atol=1e-7)
    places = np.linspace(one.edges[0][0] + 0.01, one.edges[-1][1] - 0.01, 50)
    np.testing.assert_allclose(other.density(places), one.density(places), atol=1e-6)
    assert abs(other.point_mass - one.point_mass) < 1e-12


@UNSHRUNK
@given(
    SEEDS, LEVELS, st.sampled_from([0.0, 2.0, 4.0]), st.tuples(st.integers(10, 80), st.integers(10, 80)), COEFFICIENTS
)
def test_the_law_does_not_know_the_axes(
    seed: int, levels: list[float], strength: float, sizes: tuple[int, int], numbers: KernelCoefficients
) -> None:
    """X -> Q X: mu_a -> Q mu_a and C_a -> Q C_a Q^T; diagonal covariances become full ones."""
    rotation, _ = np.linalg.qr(np.random.default_rng(seed).standard_normal((P, P)))
    turned = [rotation @ np.diag(diagonal) @ rotation.T for diagonal in diagonals(levels)]
    plain = GaussianMixture.build(means(strength), diagonals(levels), sizes)
    moved = GaussianMixture.build(means(strength) @ rotation.T, [(c + c.T) / 2 for c in turned], sizes)
    np.testing.assert_allclose(moved.trace_shifts, plain.trace_shifts, atol=1e-10)
    np.testing.assert_allclose(moved.trace_products, plain.trace_products, atol=1e-10)
    assert abs(moved.tau0 - plain.tau0) < 1e-12
    are_the_same(SpectralLaw.of(plain, numbers), SpectralLaw.of(moved, numbers))


@UNSHRUNK
@given(LEVELS, st.sampled_from([0.0, 2.0, 4.0]), st.tuples(*[st.integers(5, 80)] * 3), COEFFICIENTS)
def test_equal_classes_are_one_class_to_the_law(
    levels: list[float], strength: float, sizes: tuple[int, int, int], numbers: KernelCoefficients
) -> None:
    """A class that is told as two of the same mean and covariance; the alignments add up to what they were."""
    first, second = diagonals(levels)
    one = GaussianMixture.build(means(strength), [first, second], (sizes[0] + sizes[1], sizes[2]))
    twice = GaussianMixture.build(means(strength)[[0, 0, 1]], [first, first, second], sizes)
    law, other = SpectralLaw.of(one, numbers), SpectralLaw.of(twice, numbers)
    are_the_same(law, other)
    # The same subspace of R^n holds the eigenvectors: the parts of a class add up to it.
    shares = np.sqrt(np.array(sizes[:2]) / sum(sizes[:2]))
    parts = np.array([[shares[0], 0], [shares[1], 0], [0, 1]])
    for ours, theirs in zip(law.outliers, other.outliers, strict=True):
        np.testing.assert_allclose(parts.T @ theirs.alignment @ parts, ours.alignment, atol=1e-6)


@settings(max_examples=15)
@given(SEEDS, LEVELS, st.tuples(*[st.integers(2, 12)] * 3), COEFFICIENTS)
def test_equal_classes_are_one_class_to_the_equivalent(
    seed: int, levels: list[float], sizes: tuple[int, int, int], numbers: KernelCoefficients
) -> None:
    """Gbar is the same matrix, however the samples of equal classes are labelled."""
    first, second = diagonals(levels)
    one = GaussianMixture.build(means(2.0), [first, second], (sizes[0] + sizes[1], sizes[2]))
    twice = GaussianMixture.build(means(2.0)[[0, 0, 1]], [first, first, second], sizes)
    told = twice.sample(np.random.default_rng(seed))
    alike = MixtureSample(one, told.data, np.array([0, 0, 1])[told.labels], told.noise)
    found = []
    for sample in (alike, told):
        equivalent = DeterministicEquivalent.from_statistics(
            sample.statistics(), numbers, tau0=sample.mixture.tau0, gram=sample.gram()
        )
        found.append(equivalent @ np.eye(sum(sizes)))
    np.testing.assert_allclose(found[1], found[0], atol=1e-12)
