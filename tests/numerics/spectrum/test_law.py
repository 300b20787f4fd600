"""The spectral law: closed forms, and simulations of the equivalent that it is the limit of."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import threadpoolctl
from numpy.typing import NDArray
from scipy.integrate import quad
from scipy.linalg import eigvalsh

from numerics.data import Covariance, EntryLaw, GaussianMixture
from numerics.equilibrium import solve_float
from numerics.equivalents import DeterministicEquivalent, check_coefficients
from numerics.spectrum import (
    CommutingCovariances,
    DenseCovariances,
    GapCurve,
    Population,
    SpectralLaw,
    SpectralLawError,
    isolate_spikes,
    kolmogorov_distance,
    locate,
    phase_transition,
    solve_bulk,
)
from theory.activations import resolve
from theory.equations import DEQ
from theory.kernels import Kernel, KernelCoefficients

Array = NDArray[np.float64]
#: S itself: alpha_1 = 1, nothing else, and a diagonal that cancels the shift for tau_0 = 1.
GRAM = KernelCoefficients(1.0, 0.0, 0.0, 1.0)
GENERAL = KernelCoefficients(0.4, 0.3, 0.2, 1.1)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Many small eigenproblems: threads would wait for each other."""
    with threadpoolctl.threadpool_limits(limits=1):
        yield


def one_class(ratio: float, energy: float = 0.0, p: int = 1000) -> Population:
    """C = I, ||mu||^2 = energy."""
    return Population.isotropic([1.0], [[energy]], [round(ratio * p)], p)


def equivalent(mixture: GaussianMixture, numbers: KernelCoefficients, seed: int) -> tuple[Array, Array, Array]:
    """Eigenvalues of a draw of Gbar, descending, its eigenvectors, and the classes' unit indicator vectors."""
    sample = mixture.sample(np.random.default_rng(seed))
    statistics = sample.statistics()
    matrix = DeterministicEquivalent.from_statistics(
        statistics,
        numbers,
        tau0=statistics.tau0_population,
        gram=sample.gram(),
    ).dense()
    values, vectors = np.linalg.eigh(matrix)
    indicator = statistics.indicator / np.sqrt(statistics.indicator.sum(axis=0))
    return values[::-1], vectors[:, ::-1], indicator


# --- the bulk -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ratio", [0.1, 0.8, 0.999, 1.0, 2.0, 7.0])
def test_one_isotropic_class_is_marchenko_and_pastur(ratio: float) -> None:
    law = SpectralLaw.of(one_class(ratio), GRAM)
    left, right = (1 - np.sqrt(ratio)) ** 2, (1 + np.sqrt(ratio)) ** 2
    assert law.edges[0] == pytest.approx((left, right), abs=1e-12)
    x = np.linspace(left, right, 203)[1:-1]
    expected = np.sqrt((x - left) * (right - x)) / (2 * np.pi * ratio * x)
    np.testing.assert_allclose(law.density(x), expected, rtol=1e-8, atol=1e-11)
    assert law.point_mass == pytest.approx(max(0.0, 1 - 1 / ratio), abs=1e-15)
    assert law.density(np.array([left - 1e-3, right + 1e-3, -5.0])).tolist() == [0, 0, 0]
    assert law.cumulative(right + 1) == pytest.approx(1, abs=1e-12)
    # The distribution function is the density's integral.
    places = left + (right - left) * np.array([0.01, 0.2, 0.5, 0.9, 0.99])
    step = 1e-5 * (right - left)
    slopes = (law.cumulative(places + step) - law.cumulative(places - step)) / (2 * step)
    np.testing.assert_allclose(slopes, law.density(places), rtol=1e-5)


def test_an_atom_shows_in_the_distribution_function() -> None:
    law = SpectralLaw.of(one_class(4.0), GRAM)
    assert law.point == 0.0
    assert law.cumulative(0.0) == pytest.approx(0.75)
    assert law.cumulative(0.0, left=True) == 0.0
    assert law.cumulative(-1e-9) == 0.0


def test_two_scales_few_samples_make_an_interval_a_class() -> None:
    """With n far below p the samples are nearly orthogonal, and class a has its eigenvalues near its own scale."""
    law = SpectralLaw.of(Population.isotropic([1.0, 100.0], np.zeros((2, 2)), [100, 40], 1600), GRAM)
    assert len(law.edges) == 2
    assert law.masses == pytest.approx((100 / 140, 40 / 140), abs=1e-12)
    assert law.edges[0][0] < 1 - law.population.tau0**2 + 1 < law.edges[0][1]


def blocks(p: int, sizes: list[int], *levels: tuple[float, ...]) -> GaussianMixture:
    """Classes without means, of diagonal covariances with levels on equal blocks."""
    diagonals = [np.repeat(np.array(each, dtype=np.float64), p // len(each)) for each in levels]
    return GaussianMixture.build(np.zeros((len(sizes), p)), diagonals, sizes)


def marchenko_pastur_mass(x: float, ratio: float, scale: float) -> float:
    """Nonzero eigenvalues up to x of scale G^T G / d, G of shape (d, ratio d), over d: its density in closed form."""
    left, right = scale * (1 - np.sqrt(ratio)) ** 2, scale * (1 + np.sqrt(ratio)) ** 2
    middle, half = (left + right) / 2, (right - left) / 2

    def integrand(angle: float) -> float:
        return float((half * np.sin(angle)) ** 2 / (2 * np.pi * scale * (middle - half * np.cos(angle))))

    end = float(np.arccos(np.clip((middle - x) / half, -1, 1)))
    return float(quad(integrand, 0, end, epsabs=1e-13, epsrel=1e-13)[0])


@pytest.mark.parametrize("sizes", [(33, 5), (5, 33), (20, 20), (33, 21)])
def test_classes_that_share_nothing_overlap_with_edges_inside_the_support(sizes: tuple[int, int]) -> None:
    """W^T W is then block diagonal: two laws of Marchenko and Pastur, one of which ends where the other goes on."""
    bulk = solve_bulk(Population.from_mixture(blocks(60, list(sizes), (0, 0, 1), (0, 4, 0))))
    n, d, p = sum(sizes), 20, 60
    assert bulk.mass_at_zero == pytest.approx(1 - sum(min(size, d) for size in sizes) / n, abs=1e-15)
    for x in (0.05, 0.2, 0.9, 1.7, 1.75, 2.5, 4.0, 8.0):
        parts = [
            marchenko_pastur_mass(x, size / d, level * d / p) * d / n for size, level in zip(sizes, (1, 4), strict=True)
        ]
        assert bulk.cumulative(x) == pytest.approx(bulk.mass_at_zero + sum(parts), abs=1e-9)
    assert bulk.cumulative(9.0) == pytest.approx(1, abs=1e-14)


@pytest.mark.parametrize(
    "mixture",
    [
        # Gaps that have nearly closed, or just: cubic-root cusps.
        blocks(150, [5, 5, 5], (4, 1, 1), (1, 1, 1), (1, 1, 1)),
        blocks(150, [174, 174, 41], (0.3, 0.3, 1), (4, 0.3, 0.3), (0.3, 0.3, 1)),
        blocks(100, [58, 156, 128], (0.3,), (4, 0), (1,)),
        # Nearly nothing shared.
        blocks(60, [33, 30, 9], (1, 0), (0, 1), (2, 1e-4)),
        # Square blocks of a triangle: the density goes to infinity faster than x^(-1/2).
        blocks(60, [30, 30], (1, 0), (1, 1)),
        blocks(60, [20, 20, 20], (1, 0, 0), (1, 1, 0), (1, 1, 1)),
    ],
)
def test_the_distribution_function_has_the_moments_that_free_probability_gives(mixture: GaussianMixture) -> None:
    """With shares c_a = n_a/n: m_1 = sum c_a tr C_a/p, m_2 = sum c_a (tr C_a/p)^2 + n/p sum c_a c_b tr C_a C_b/p."""
    bulk = solve_bulk(Population.from_mixture(mixture))
    assert all(part.mass_error <= 1e-8 * part.mass for part in bulk.intervals)
    right = bulk.intervals[-1].right
    assert bulk.cumulative(right) == pytest.approx(1, abs=1e-14)
    # Moments of x in [0, R] from F alone: R^k - k int x^(k-1) F, in the angle that F is smooth in at 0 and R.
    nodes, weights = np.polynomial.legendre.leggauss(16)
    walls = np.linspace(0, np.pi / 2, 2001)
    angle = (walls[:-1, None] + np.diff(walls)[:, None] * (nodes + 1) / 2).ravel()
    measure = np.tile(weights, 2000) * np.repeat(np.diff(walls), 16) / 2 * right * np.sin(2 * angle)
    x = right * np.sin(angle) ** 2
    level = bulk.cumulative(x)
    moments = right - measure @ level, right**2 - 2 * (measure * x) @ level
    shares, p = np.array(mixture.sizes) / mixture.samples, mixture.dimension
    traces = np.array([c.diagonal.sum() for c in mixture.covariances]) / p
    products = np.array([[a.diagonal @ b.diagonal for b in mixture.covariances] for a in mixture.covariances]) / p
    first, second = shares @ traces, shares @ traces**2 + mixture.samples / p * shares @ products @ shares
    assert moments == pytest.approx((first, second), rel=1e-8)


def test_masses_of_intervals_are_numbers_of_eigenvalues() -> None:
    """Exact separation, on a simulation with three intervals and a null space."""
    p = 200
    rng = np.random.default_rng(1)
    levels = rng.permutation(np.repeat([0.0, 1.0, 30.0], [40, 100, 60]))
    mixture = GaussianMixture.build(np.zeros((2, p)), [levels, 1.2 * levels], [900, 1100])
    bulk = solve_bulk(Population.from_mixture(mixture))
    spectrum = np.linalg.eigvalsh(mixture.sample(rng).gram())
    assert bulk.mass_at_zero == pytest.approx(1 - 160 / 2000)
    assert len(bulk.intervals) == 2
    for part in bulk.intervals:
        inside = np.count_nonzero((spectrum > 0.97 * part.left) & (spectrum < 1.03 * part.right))
        assert inside == round(part.mass * 2000)
        assert part.mass_error < 1e-8


@pytest.mark.parametrize(
    ("supports", "sizes", "rank", "square"),
    [
        ([(0, 50), (50, 100)], [30, 90], 80, False),
        ([(0, 50), (50, 100)], [50, 90], 100, True),
        ([(0, 50), (40, 100)], [45, 90], 100, False),
        ([(0, 30), (0, 100)], [80, 20], 50, False),
        ([(0, 100), (0, 100)], [60, 40], 100, True),
        ([(0, 100), (0, 100)], [60, 30], 90, False),
    ],
)
def test_rank_of_the_noise(supports: list[tuple[int, int]], sizes: list[int], rank: int, square: bool) -> None:
    p = 100
    diagonals = np.zeros((len(sizes), p))
    for row, (start, stop) in zip(diagonals, supports, strict=True):
        row[start:stop] = 1.5
    mixture = GaussianMixture.build(np.zeros((len(sizes), p)), list(diagonals), sizes)
    population = Population.from_mixture(mixture)
    noise = mixture.sample(np.random.default_rng(0)).noise
    assert population.rank() == (rank, square)
    assert np.linalg.matrix_rank(noise) == rank
    bulk = solve_bulk(population)
    assert bulk.mass_at_zero == pytest.approx(1 - rank / sum(sizes))
    assert (bulk.intervals[0].left == 0) == square


def test_density_is_that_of_a_simulation_with_any_covariances() -> None:
    """Two covariances that do not commute; the Kolmogorov distance of a random spectrum is O(log n / n)."""
    p = 48
    mixture = GaussianMixture.build(np.zeros((2, p)), [Covariance.toeplitz(p, 0.7), np.linspace(0.2, 3, p)], [40, 50])
    population = Population.from_mixture(mixture)
    assert isinstance(population.covariances, DenseCovariances)
    law = SpectralLaw.of(population, KernelCoefficients(1.0, 0.0, 0.0, population.tau0**2))
    rng = np.random.default_rng(2)
    pooled = np.concatenate([np.linalg.eigvalsh(mixture.sample(rng).gram()) for _ in range(40)])
    assert kolmogorov_distance(pooled, law, slack=1e-9) < 0.008
    # Taking the mean covariance for both classes is not the same, and the test can tell.
    mean = (40 * mixture.covariances[0].dense() + 50 * mixture.covariances[1].dense()) / 90
    blurred = SpectralLaw.of(
        GaussianMixture.build(np.zeros((1, p)), [mean], [90]),
        KernelCoefficients(1.0, 0.0, 0.0, law.population.tau0**2),
    )
    assert kolmogorov_distance(pooled, blurred, slack=1e-9) > 0.012


def test_matrices_with_a_common_basis_are_reduced_and_give_the_same_law() -> None:
    p = 40
    rng = np.random.default_rng(3)
    basis, _ = np.linalg.qr(rng.standard_normal((p, p)))
    first, second = np.repeat([1.0, 4.0], [30, 10]), np.repeat([2.0, 1.0, 3.0], [20, 10, 10])
    means = rng.standard_normal((2, p)) * 0.5
    mixture = GaussianMixture.build(means, [(basis * first) @ basis.T, (basis * second) @ basis.T], [25, 35])
    reduced = Population.from_mixture(mixture)
    assert isinstance(reduced.covariances, CommutingCovariances)
    assert reduced.covariances.weights.size == 3
    matrices = np.array([c.dense() for c in mixture.covariances])
    dense = DenseCovariances(matrices, means.T, reduced.proportions)
    q = np.array([[-0.3 + 0.2j, -0.2 + 0.1j]])
    for ours, theirs in zip(reduced.covariances.evaluate(q), dense.evaluate(q), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-13)
    real = np.array([-0.9, -0.8])
    assert reduced.covariances.negative(real) == dense.negative(real) > 0
    rates = np.array([0.3, 0.7])
    np.testing.assert_allclose(reduced.covariances.mean_form(real), dense.mean_form(real), atol=1e-12)
    other = np.array([[0.2 - 0.1j, 0.4 + 0.3j]])
    np.testing.assert_allclose(reduced.covariances.joint(q, other), dense.joint(q, other), atol=1e-12)
    np.testing.assert_allclose(dense.joint(q, q), dense.evaluate(q)[1], atol=1e-12)
    for one, two, moved in ((real, real, rates), (q, other, other)):
        ours, theirs = (held.moved_mean_form(one, two, moved) for held in (reduced.covariances, dense))
        np.testing.assert_allclose(ours, theirs, atol=1e-12)
    np.testing.assert_allclose(
        (dense.mean_form(real + 1e-6 * rates) - dense.mean_form(real - 1e-6 * rates)) / 2e-6,
        dense.moved_mean_form(real, real, rates),
        rtol=1e-6,
        atol=1e-8,
    )


def test_every_point_located_satisfies_the_published_equations() -> None:
    """delta_a = tr C_a Qt / p with Qt = (sum_b c_b C_b / (1 + delta_b) - z)^-1, written out with matrices."""
    p = 12
    mixture = GaussianMixture.build(np.zeros((2, p)), [np.linspace(0.5, 2, p), Covariance.toeplitz(p, 0.5)], [8, 20])
    held = Population.from_mixture(mixture).covariances
    places = np.array([-1.0, 0.5, 1.5, 3.0, 30.0])
    for placed in locate(held, places, 20.0):
        assert placed is not None
        z, q = placed.z, placed.q
        delta = -1 / (z * q) - 1
        matrices = [c.dense() for c in mixture.covariances]
        weighted = sum(n / p * c / (1 + d) for n, c, d in zip(mixture.sizes, matrices, delta, strict=True))
        resolvent = np.linalg.inv(weighted - z * np.eye(p))
        np.testing.assert_allclose([np.trace(c @ resolvent) / p for c in matrices], delta, rtol=1e-8)
        assert (placed.outside is not None) == (z in (-1.0, 30.0))


def test_an_edge_is_where_the_real_solution_stops_being_stable() -> None:
    held = one_class(0.8).covariances
    (placed,) = locate(held, np.array([9.0]), 9.0)
    assert placed is not None
    assert placed.outside is not None
    curve = GapCurve(held, placed.outside)
    assert curve.share_above == 0
    assert curve.edge(upwards=False).z == pytest.approx((1 + np.sqrt(0.8)) ** 2, rel=1e-13)
    with pytest.raises(SpectralLawError, match="no edge"):
        curve.edge(upwards=True)


# --- isolated eigenvalues -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("ratio", "energy"), [(0.8, 2.0), (0.8, 1.2), (2.0, 3.0), (0.1, 9.0), (1.0, 1.5)])
def test_one_mean_is_the_spiked_model(ratio: float, energy: float) -> None:
    """A rank-one signal of strength s = ratio ||mu||^2 (Benaych-Georges and Nadakuditi, 2012, noise variance 1/p)."""
    law = SpectralLaw.of(one_class(ratio, energy), GRAM)
    s = ratio * energy
    (outlier,) = law.outliers
    assert outlier.value == pytest.approx((1 + s) * (ratio + s) / s, rel=1e-12)
    assert outlier.multiplicity == 1
    assert outlier.alignment[0, 0] == pytest.approx(1 - ratio * (1 + s) / (s * (s + ratio)), rel=1e-9)


@pytest.mark.parametrize("ratio", [0.3, 3.0])
def test_the_mean_leaves_the_bulk_at_the_known_threshold(ratio: float) -> None:
    found = phase_transition(lambda m: SpectralLaw.of(one_class(ratio, m**2), GRAM), 0.05, 5.0)
    assert found == pytest.approx(ratio**-0.25, rel=1e-9)
    with pytest.raises(ValueError, match="has left"):
        phase_transition(lambda m: SpectralLaw.of(one_class(ratio, m**2), GRAM), 2.0, 5.0)


def test_a_spiked_covariance() -> None:
    """Baik, Ben Arous and Peche: population eigenvalue l gives c l + w l/(l - 1) if l > 1 + 1/sqrt(c), w = 1 - 1/p."""
    p, ratio = 1000, 0.8
    for level, isolated in ((3.0, True), (1.6, False)):
        diagonal = np.ones(p)
        diagonal[7] = level
        mixture = GaussianMixture.build(np.zeros((1, p)), [diagonal], [800])
        law = SpectralLaw.of(mixture, KernelCoefficients(1.0, 0.0, 0.0, mixture.tau0**2))
        assert law.outlier_values.size == isolated
        assert len(law.edges) == 1
        if isolated:
            expected = ratio * level + (1 - 1 / p) * level / (level - 1)
            assert law.outlier_values[0] == pytest.approx(expected, rel=1e-9)
            assert law.population.spike_values.tolist() == [[level]]


def test_values_of_the_theory_sheet() -> None:
    """Section 5: ReLU, means of norm 2, C_a = (1 + 20 a/sqrt(p)) I, n = 0.8 p."""
    for p, expected in ((800, 3.0011), (1600, 3.1243)):
        mixture = GaussianMixture.released_experiment(p, means=2, cov_shift=20)
        solution = solve_float(DEQ(resolve("relu"), 0.2, 0.8, mixture.tau0))
        law = SpectralLaw.of(mixture, solution.kernel(Kernel.CK))
        assert law.outlier_values[0] == pytest.approx(expected, abs=5e-5)


def zscores(mixture: GaussianMixture, numbers: KernelCoefficients, seeds: int) -> tuple[SpectralLaw, Array, Array]:
    """The law, and outliers' deviations over seeds in standard errors, and the same for the alignments' traces."""
    law = SpectralLaw.of(mixture, numbers)
    above = [o for o in law.outliers if o.value > law.edges[-1][1]]
    ranks = np.cumsum([0] + [o.multiplicity for o in above])
    values, aligned = [], []
    for seed in range(seeds):
        spectrum, vectors, indicator = equivalent(mixture, numbers, seed)
        shares = np.sum((indicator.T @ vectors) ** 2, axis=0)
        # Above the bulk by rank, elsewhere the nearest.
        parts = [np.arange(start, start + o.multiplicity) for start, o in zip(ranks, above, strict=False)]
        parts += [np.argsort(np.abs(spectrum - o.value))[: o.multiplicity] for o in law.outliers[len(above) :]]
        values.append([spectrum[part].mean() for part in parts])
        aligned.append([shares[part].sum() for part in parts])
    scores = []
    for table, theory in (
        (np.array(values), [o.value for o in law.outliers]),
        (np.array(aligned), [o.alignment.trace() for o in law.outliers]),
    ):
        error = table.std(axis=0, ddof=1) / np.sqrt(seeds)
        scores.append((table.mean(axis=0) - theory) / error)
    return law, scores[0], scores[1]


def spread_means(p: int, norms: list[float]) -> Array:
    means = np.zeros((len(norms), p))
    means[np.arange(len(norms)), 5 * np.arange(len(norms))] = norms
    return means


def test_outliers_and_alignments_of_a_general_mixture() -> None:
    """Three classes, unequal covariances and sizes: all terms of the equivalent at once, against draws of it."""
    p = 500
    far = np.ones(p)
    far[p // 2 :] = 1.8
    covariances = [np.ones(p), far, np.full(p, 1 + 6 / np.sqrt(p))]
    mixture = GaussianMixture.build(spread_means(p, [5.0, 4.0, 0.0]), covariances, [160, 120, 120])
    law, values, aligned = zscores(mixture, GENERAL, 16)
    assert law.outlier_values.size == 2
    assert np.all(np.abs(values) < 3.5)
    assert np.all(np.abs(aligned) < 3.5)


@pytest.mark.parametrize("noise", ["rademacher", "uniform"])
@pytest.mark.parametrize("decay", [0.0, 0.6])
def test_the_law_of_the_noise_enters_through_the_norms(noise: EntryLaw, decay: float) -> None:
    """Where alpha_2 is large the largest outlier is psi's; the Gaussian prediction is far from it."""
    p = 500
    covariances = [Covariance.toeplitz(p, decay), Covariance.toeplitz(p, decay, 1 + 6 / np.sqrt(p))]
    numbers = KernelCoefficients(0.4, 1.5, 0.2, 1.1)
    mixture = GaussianMixture.build(spread_means(p, [5.0, 0.0]), covariances, [200, 200], noise)
    law, values, aligned = zscores(mixture, numbers, 16)
    assert law.outlier_values.size == 2
    assert np.all(np.abs(values) < 3.5)
    assert np.all(np.abs(aligned) < 3.5)
    plain = SpectralLaw.of(replace(mixture, noise="gaussian"), numbers)
    assert plain.outlier_values[0] > 1.05 * law.outlier_values[0]


def test_a_double_outlier_is_found_twice() -> None:
    p = 400
    mixture = GaussianMixture.build(spread_means(p, [2.5, 2.5]), [1.0, 1.0], [200, 200])
    law, values, aligned = zscores(mixture, KernelCoefficients(1.0, 0.0, 0.0, 1.0), 16)
    (outlier,) = law.outliers
    assert outlier.multiplicity == 2
    np.testing.assert_allclose(outlier.alignment, outlier.alignment[0, 0] * np.eye(2), atol=1e-9)
    assert np.all(np.abs(values) < 3.5)
    assert np.all(np.abs(aligned) < 3.5)


def test_negative_coefficients_send_outliers_below_the_bulk() -> None:
    p = 400
    mixture = GaussianMixture.build(spread_means(p, [1.0, 0.0]), [1.0, 1 + 12 / np.sqrt(p)], [120, 120])
    law, values, _ = zscores(mixture, KernelCoefficients(0.5, 0.2, -3.0, 4.0), 16)
    assert law.outlier_values[-1] < law.edges[0][0]
    assert np.all(np.abs(values) < 3.5)


def test_more_samples_than_dimensions() -> None:
    p = 250
    mixture = GaussianMixture.build(spread_means(p, [3.0, 2.0]), [1.0, 1 + 6 / np.sqrt(p)], [300, 300])
    law, values, aligned = zscores(mixture, KernelCoefficients(0.4, 0.1, 0.1, 1.1), 12)
    assert law.point_mass == pytest.approx(1 - 250 / 600)
    assert law.point == law.shift
    # One of them lies between the point mass and the bulk.
    assert law.shift < law.outlier_values[-1] < law.edges[0][0]
    assert np.all(np.abs(values) < 3.5)
    assert np.all(np.abs(aligned) < 3.5)


def test_a_spike_and_a_mean_in_the_same_direction_mix() -> None:
    p = 500
    first, second = np.ones(p), np.ones(p)
    first[0], second[0] = 5.0, 4.0
    means = np.zeros((2, p))
    means[0, 0], means[1, 0] = 2.0, -1.5
    mixture = GaussianMixture.build(means, [first, second], [250, 150])
    law, values, aligned = zscores(mixture, KernelCoefficients(1.0, 0.05, 0.1, 2.0), 16)
    assert law.population.spike_values.tolist() == [[5.0, 4.0]]
    np.testing.assert_allclose(np.abs(law.population.spike_means), [[2.0, 1.5]], atol=1e-12)
    assert np.all(np.abs(values) < 3.5)
    assert np.all(np.abs(aligned) < 3.5)


def test_an_even_activation_has_a_point_for_a_bulk() -> None:
    p = 400
    mixture = GaussianMixture.build(spread_means(p, [2.0, 2.0]), [1.0, 1 + 8 / np.sqrt(p)], [150, 170])
    solution = solve_float(DEQ(resolve("cos(x)"), 0.2, 0.8, mixture.tau0))
    numbers = solution.kernel(Kernel.CK)
    law, values, aligned = zscores(mixture, numbers, 16)
    assert law.bulk is None
    assert law.edges == ((numbers.diagonal, numbers.diagonal),)
    assert law.masses == (1.0,)
    assert law.point_mass == 1
    assert law.outlier_values.size == 2
    assert law.cumulative([numbers.diagonal - 1e-6, numbers.diagonal]).tolist() == [0, 1]
    assert np.all(np.abs(values) < 3.5)
    assert np.all(np.abs(aligned) < 3.5)
    with pytest.raises(ValueError, match="no edge"):
        law.margin()


def test_the_covariance_shift_at_which_an_outlier_leaves() -> None:
    """At the transition the outlier is on the edge, and on the two sides it is there and not."""

    def law(shift: float) -> SpectralLaw:
        level = [1.0, 1 + shift / 20]
        numbers = KernelCoefficients(0.4, 0.1, 0.0, 1.1)
        return SpectralLaw.of(Population.isotropic(level, np.zeros((2, 2)), [160, 160], 400), numbers)

    found = phase_transition(law, 0.0, 10.0)
    below, at, above = (law(found * factor) for factor in (1 - 1e-3, 1 + 1e-6, 1 + 1e-3))
    assert above.outlier_values.size == below.outlier_values.size + 1
    assert at.outlier_values[0] == pytest.approx(at.edges[-1][1], rel=1e-6)


def test_the_edge_fluctuates_in_its_own_unit() -> None:
    """The largest eigenvalue of W^T W in units of (k n)^(-2/3) has the mean -1.21 of the Tracy-Widom law."""
    p, n = 300, 240
    law = SpectralLaw.of(one_class(n / p, 0.0, p), GRAM)
    # For this law k is known: (1 + sqrt c) (1 + 1/sqrt c)^(1/3) / p^(2/3) is the scale (Johnstone, 2001).
    c = n / p
    expected = (1 + np.sqrt(c)) * (1 + 1 / np.sqrt(c)) ** (1 / 3) * p ** (-2 / 3)
    assert law.edge_fluctuation("right") == pytest.approx(expected, rel=1e-3)
    rng = np.random.default_rng(4)
    tops = [eigvalsh(w.T @ w, subset_by_index=[n - 1, n - 1])[0] for w in rng.standard_normal((60, p, n)) / np.sqrt(p)]
    scores = (np.array(tops) - law.edges[0][1]) / law.edge_fluctuation("right")
    assert scores.mean() == pytest.approx(-1.21, abs=0.6)
    assert scores.std() == pytest.approx(1.27, abs=0.5)


# --- the family of parameters -------------------------------------------------------------------------------------


def test_splitting_a_class_changes_nothing() -> None:
    mixture = GaussianMixture.build(spread_means(300, [2.0, 0.0]), [1.0, 1.5], [120, 100])
    split = GaussianMixture.build(mixture.means[[0, 1, 1]], [1.0, 1.5, 1.5], [120, 30, 70])
    one, other = SpectralLaw.of(mixture, GENERAL), SpectralLaw.of(split, GENERAL)
    np.testing.assert_allclose(one.edges, other.edges, rtol=1e-10)
    np.testing.assert_allclose(one.outlier_values, other.outlier_values, rtol=1e-9)
    for ours, theirs in zip(one.outliers, other.outliers, strict=True):
        shares = np.sqrt([0.3, 0.7])
        merge = np.block([[np.ones((1, 1)), np.zeros((1, 2))], [np.zeros((1, 1)), shares[None]]])
        np.testing.assert_allclose(merge @ theirs.alignment @ merge.T, ours.alignment, atol=1e-8)


def test_isotropic_populations_need_no_vectors() -> None:
    mixture = GaussianMixture.released_experiment(400, means=3, cov_shift=5, classes=3)
    scales = [1 + 5 * a / 20 for a in range(3)]
    direct = Population.isotropic(scales, 9 * np.eye(3), mixture.sizes, 400)
    reduced = Population.from_mixture(mixture)
    assert isinstance(reduced.covariances, CommutingCovariances)
    assert reduced.covariances.values.shape == (1, 3)
    for name in ("mean_gram", "t", "T", "tau0", "proportions"):
        np.testing.assert_allclose(getattr(direct, name), getattr(reduced, name), atol=1e-12)
    np.testing.assert_allclose(
        SpectralLaw.of(direct, GENERAL).outlier_values, SpectralLaw.of(mixture, GENERAL).outlier_values, rtol=1e-10
    )
    huge = SpectralLaw.of(Population.isotropic(scales, 9 * np.eye(3), [4 * 10**8] * 3, 15 * 10**8), GENERAL)
    assert huge.outlier_values.size > 0


def test_density_points_cover_the_support() -> None:
    law = SpectralLaw.of(Population.isotropic([1.0, 100.0], np.zeros((2, 2)), [100, 40], 1600), GENERAL)
    points = law.density_points(400)
    assert abs(points.size - 400) <= 20
    assert all(b >= a for a, b in pairwise(points))
    for left, right in law.edges:
        assert left in points
        assert right in points


def test_few_directions_of_their_own_are_spikes_many_are_not() -> None:
    p = 400
    few, many = np.ones(p), np.ones(p)
    few[:3], many[:60] = 40.0, 40.0
    means = np.zeros((1, p))
    spiked = Population.from_mixture(GaussianMixture.build(means, [few], [300]))
    assert isolate_spikes(solve_bulk(spiked)).spike_values.shape == (3, 1)
    broad = Population.from_mixture(GaussianMixture.build(means, [many], [300]))
    bulk = solve_bulk(broad)
    assert len(bulk.intervals) == 2
    assert isolate_spikes(bulk) is broad


def test_bad_input() -> None:
    with pytest.raises(ValueError, match="finite"):
        check_coefficients(KernelCoefficients(np.nan, 0, 0, 1))
    with pytest.raises(ValueError, match="negative"):
        check_coefficients(KernelCoefficients(-0.1, 0, 0, 1))
    with pytest.raises(ValueError, match="do not fit"):
        Population.isotropic([1.0, 2.0], [[0.0]], [3, 4], 5)
    with pytest.raises(ValueError, match="negative"):
        Population.isotropic([-1.0], [[0.0]], [3], 5)
    with pytest.raises(ValueError, match="all be zero"):
        Population.from_mixture(GaussianMixture.build(np.ones((1, 3)), [0.0], [4]))
    law = SpectralLaw.of(one_class(0.8), GRAM)
    with pytest.raises(ValueError, match="rank must be"):
        law.margin(rank=0)
    with pytest.raises(ValueError, match="no edge on the left"):
        SpectralLaw.of(one_class(2.0), GRAM).margin("left")
