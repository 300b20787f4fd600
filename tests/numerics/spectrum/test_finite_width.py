"""The law at a width of the order of n, against closed forms, its own equations solved otherwise, and simulations."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from numerics.arithmetic import pointwise
from numerics.data import GaussianMixture
from numerics.equilibrium import solve_float
from numerics.moments import FloatMoments
from numerics.networks import FiniteDEQ
from numerics.spectrum import (
    FiniteWidthBulk,
    FiniteWidthLaw,
    Layer,
    Population,
    SpectralLaw,
    deq_width_law,
    explicit_width_law,
    kolmogorov_distance,
    solve_bulk,
    solve_finite_width,
)
from theory.activations import resolve
from theory.equations import DEQ
from theory.kernels import Kernel, KernelCoefficients

Array = NDArray[np.float64]

#: 240 samples in 300 dimensions, without classes.
PLAIN = Population.isotropic([1.0], [[0.0]], [240], 300)
#: Two classes of very different size of the noise, so that the data's spectrum has a gap.
APART = Population.isotropic([0.1, 4.0], np.zeros((2, 2)), [100, 140], 1500)
#: What the resolvent is taken at: left of the spectrum, and above it.
POINTS = np.array([-0.1 + 1e-14j, 0.2 + 0.2j])


def tanh_layers(count: int, scale: float = 1.0) -> list[KernelCoefficients[float]]:
    """The kernels of a network of tanh layers on samples of norm 1, by their moments."""
    moments, linear, found = FloatMoments(pointwise(resolve("tanh"))), 1.0, []
    for _ in range(count):
        values = moments.at(scale)
        linear, scale = linear * values.d1**2, float(np.sqrt(values.variance))
        found.append(KernelCoefficients(linear, 0.0, 0.0, values.variance))
    return found


def marchenko_pastur(x: Array, ratio: float, level: float) -> Array:
    """Density for white rows of a variance, n/m > 0, without the point mass."""
    low, high = level * (1 - np.sqrt(ratio)) ** 2, level * (1 + np.sqrt(ratio)) ** 2
    inside = np.clip((high - x) * (x - low), 0, None)
    return np.asarray(np.sqrt(inside) / (2 * np.pi * level * ratio * x))


# --- closed forms and limits -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [100, 240, 2400])
def test_white_rows_give_the_law_of_marchenko_and_pastur(width: int) -> None:
    """An even activation, whose kernel has no multiple of X^T X."""
    law, ratio = explicit_width_law(PLAIN, [KernelCoefficients(0.0, 0.0, 0.0, 0.7)], [width]), 240 / width
    ((left, right),) = law.edges
    assert (left, right) == pytest.approx((0.7 * (1 - np.sqrt(ratio)) ** 2, 0.7 * (1 + np.sqrt(ratio)) ** 2), abs=1e-12)
    assert law.point_mass == pytest.approx(max(0.0, 1 - width / 240), abs=1e-12)
    x = np.linspace(left, right, 50)[1:-1]
    np.testing.assert_allclose(law.density(x), marchenko_pastur(x, ratio, 0.7), rtol=1e-7)


@pytest.mark.parametrize(("population", "error"), [(PLAIN, 1e-6), (APART, 2e-5)])
def test_a_huge_width_gives_the_law_of_infinite_width(population: Population, error: float) -> None:
    """The error is n/m, times what narrow intervals are shorter than their distance from 0."""
    (numbers,) = tanh_layers(1, population.tau0)
    law = explicit_width_law(population, [numbers], [population.samples * 10**6])
    infinite = SpectralLaw.of(population, numbers)
    assert len(law.edges) == len(infinite.edges)
    x = np.concatenate([np.linspace(left, right, 500) for left, right in infinite.edges])
    assert np.abs(law.cumulative(x) - infinite.cumulative(x)).max() < error


def test_without_feedback_a_deq_is_an_explicit_layer() -> None:
    """sigma_a -> 0: the deviation is of the order of s^2, and at 0 there is none."""
    deq = DEQ("tanh", 0, 1)
    explicit = explicit_width_law(PLAIN, tanh_layers(1), [480])
    same = deq_width_law(PLAIN, deq, solve_float(deq), 480)
    np.testing.assert_allclose(same.edges, explicit.edges, atol=1e-12)
    bulk, (layer,) = solve_bulk(PLAIN), explicit.layers
    deviations = []
    for s in (1e-2, 1e-3):
        changed = solve_finite_width(bulk, [Layer(layer.linear, layer.identity, layer.ratio, s)])
        deviations.append(abs(changed.intervals[-1].right - explicit.edges[-1][1]))
    assert deviations[1] == pytest.approx(1e-2 * deviations[0], rel=1e-3)


def test_the_mean_of_the_eigenvalues_is_the_diagonal() -> None:
    """tr (H^T H/m)/n tends to gamma_*^2 at every width."""
    deq = DEQ("relu", "4/5")
    solution = solve_float(deq)
    for width in (100, 240, 1000):
        law = deq_width_law(PLAIN, deq, solution, width)
        assert law.integrate(lambda x: x) == pytest.approx(solution["gamma2"], rel=1e-9)


# --- the equations of the theory sheet -------------------------------------------------------------------------------


def fixed_point(eigenvalues: Array, weights: Array, layer: Layer, z: complex) -> complex:
    """m(z) from the three scalar equations as they stand: the cubic's roots, and plain iteration far from the axis."""
    s2, e = layer.feedback**2, 0j
    for _ in range(20000):
        # mu = 1/(1/(1 + s^2 mu) - w (1 + s^2 mu)) at w = -e: mu (1 + e (1 + s^2 mu)^2) = 1 + s^2 mu.
        roots = np.roots([e * s2**2, 2 * e * s2, 1 + e - s2, -1.0]) if e else np.array([1 / (1 - s2)])
        # That which goes on from e = 0.
        mu = roots[np.argmin(np.abs(roots - 1 / (1 - s2 + e)))]
        tilde = -mu / z
        new = layer.ratio * weights @ (eigenvalues / (-z * (1 + tilde * eigenvalues)))
        if abs(new - e) < 1e-15:
            return complex(weights @ (1 / (-z * (1 + tilde * eigenvalues))))
        e = (e + new) / 2
    raise AssertionError("the iteration does not converge")


@pytest.mark.parametrize("ratio", [2.0, 0.5, 0.125])
@pytest.mark.parametrize("feedback", [0.0, 0.3, 0.6])
def test_the_equations_of_the_theory_sheet_hold(ratio: float, feedback: float) -> None:
    """Their sums over Sigma's eigenvalues are integrals over its law."""
    bulk = solve_bulk(PLAIN)
    part, angle = bulk.intervals[0], (np.arange(2000) + 0.5) * np.pi / 2000
    places = (part.left + part.right) / 2 - (part.right - part.left) / 2 * np.cos(angle)
    weights = part.density(places) * np.sin(angle)
    layer = Layer(0.3, 0.1, ratio, feedback)
    law = solve_finite_width(bulk, [layer])
    weights /= weights.sum()
    for z in (-1.0 + 1e-9j, 0.5 + 2.0j):
        (found,) = law.stieltjes(np.array([z]))
        assert found == pytest.approx(fixed_point(0.3 * places + 0.1, weights, layer, z), rel=1e-9)


def test_the_transform_is_that_of_the_density() -> None:
    for population, layer in ((PLAIN, Layer(0.3, 0.1, 1.0, 0.6)), (APART, Layer(0.3, 0.1, 0.01, 0.3))):
        law = solve_finite_width(solve_bulk(population), [layer])
        assert all(part.mass_error < 1e-9 for part in law.intervals)
        for z in (-0.1 + 1e-12j, 0.2 + 0.2j):
            assert law.stieltjes(np.array([z]))[0] == pytest.approx(integral(law, z), rel=1e-7)


def integral(law: FiniteWidthBulk, z: complex) -> complex:
    """Of 1/(x - z) over the density, by the rule that is exact for what is analytic in the angle."""
    total, nodes = law.mass_at_zero / -z, 4000
    for part in law.intervals:
        angle = (np.arange(nodes) + 0.5) * np.pi / nodes
        x = part.left + (part.right - part.left) * np.sin(angle / 2) ** 2
        slope = (part.right - part.left) * np.sin(angle) / 2
        total += np.sum(part.density(x) * slope / (x - z)) * np.pi / nodes
    return complex(total)


def test_a_gap_survives_where_the_width_is_large_and_closes_where_it_is_not() -> None:
    (numbers,) = tanh_layers(1, APART.tau0)
    assert [len(explicit_width_law(APART, [numbers], [width]).edges) for width in (24000, 240)] == [2, 1]
    assert explicit_width_law(APART, [numbers], [24000]).masses == pytest.approx((100 / 240, 140 / 240), abs=1e-9)


@pytest.mark.parametrize("width", [60, 240, 241, 480])
def test_the_rank_shows_at_zero(width: int) -> None:
    """n - m eigenvalues are 0 where m < n; the support comes down to 0 where m = n."""
    law = explicit_width_law(PLAIN, tanh_layers(1), [width])
    assert law.point_mass == pytest.approx(max(0.0, 1 - width / 240), abs=1e-12)
    assert (law.edges[0][0] == 0) is (width == 240)
    assert law.cumulative(law.edges[-1][1]) == pytest.approx(1, abs=1e-12)


# --- simulations -----------------------------------------------------------------------------------------------------


def test_two_layers_of_their_own_widths() -> None:
    width = (400, 200)
    rng = np.random.default_rng(5)
    data = rng.standard_normal((300, 240)) / np.sqrt(300)
    state = data
    for position, m in enumerate(width):
        weights = rng.standard_normal((m, state.shape[0]))
        state = np.tanh(weights @ state / (1 if position == 0 else np.sqrt(state.shape[0])))
    eigenvalues = np.linalg.eigvalsh(state.T @ state / width[-1])
    law = explicit_width_law(PLAIN, tanh_layers(2), width)
    assert kolmogorov_distance(eigenvalues, law, slack=1e-9) < 0.02
    # The same widths the other way round, and the law of Marchenko and Pastur over the kernel of infinite width.
    for wrong in (
        explicit_width_law(PLAIN, tanh_layers(2), width[::-1]),
        explicit_width_law(PLAIN, tanh_layers(2), (10**9, width[1])),
    ):
        assert kolmogorov_distance(eigenvalues, wrong, slack=1e-9) > 0.04


@pytest.mark.parametrize(
    ("name", "sigma_a2", "share"), [("tanh", "3/5", 1.0), ("relu", "4/5", 2.0), ("swish", "9/10", 0.5)]
)
def test_deqs_have_this_law_and_not_that_of_explicit_networks(name: str, sigma_a2: str, share: float) -> None:
    """One draw of p = 400: errors of 0.001 to 0.004 are expected, and 0.03 to 0.1 of the explicit law."""
    mixture = GaussianMixture.released_experiment(400, means=2.0, cov_shift=4.0)
    deq, width = DEQ(name, sigma_a2, tau0=mixture.tau0), round(share * mixture.samples)
    solution = solve_float(deq)
    rng = np.random.default_rng(11)
    sample = mixture.sample(rng)
    network = FiniteDEQ.draw(deq, solution["bias"], width=width, dimension=400, rng=rng)
    eigenvalues = np.linalg.eigvalsh(network.equilibrium(sample.data, tolerance=1e-7).ck)
    tied = deq_width_law(mixture, deq, solution, width)
    untied = explicit_width_law(mixture, [solution.kernel(Kernel.CK)], [width])
    measured = np.mean(1 / (eigenvalues - POINTS[:, None]), axis=1)
    right, wrong = (float(np.abs(measured / law.bulk.stieltjes(POINTS) - 1).max()) for law in (tied, untied))
    assert right < 0.012
    assert wrong > 2.5 * right
    assert kolmogorov_distance(eigenvalues, tied, slack=1e-9) < 0.02


def spiked(width: int, level: float, seed: int) -> tuple[FiniteWidthLaw, Array, Array]:
    """A linear layer on one class with a mean of norm `level`: law, and two draws' largest eigenvalues and cosines."""
    population = Population.isotropic([1.0], [[level**2]], [480], 600)
    law = explicit_width_law(population, [KernelCoefficients(1.0, 0.0, 0.0, 1.0)], [width])
    found, cosines = [], []
    for draw in range(4):
        rng = np.random.default_rng([seed, draw])
        mean = np.zeros(600)
        mean[0] = level
        data = (mean[:, None] + rng.standard_normal((600, 480))) / np.sqrt(600)
        state = rng.standard_normal((width, 600)) @ data
        values, vectors = np.linalg.eigh(state.T @ state / width)
        found.append(values[-1])
        cosines.append(np.sum(vectors[:, -1]) ** 2 / 480)
    return law, np.array(found), np.array(cosines)


@pytest.mark.parametrize("width", [300, 960])
def test_an_isolated_eigenvalue_moves_with_the_width(width: int) -> None:
    law, found, cosines = spiked(width, 3.0, 1)
    (outlier,) = law.outliers
    infinite = SpectralLaw.of(law.population, law.coefficients).outliers[0]
    assert found.mean() == pytest.approx(outlier.value, rel=0.03)
    assert cosines.mean() == pytest.approx(outlier.alignment[0, 0], abs=0.04)
    # What the width does is seen: at infinite width both are others.
    assert abs(found.mean() - infinite.value) > 0.07 * infinite.value
    assert infinite.alignment[0, 0] > cosines.mean() + 0.03


def test_an_isolated_eigenvalue_goes_through_two_odd_layers() -> None:
    """Mean of a class of norm 3; two layers of tanh, 500 and 300 neurons, four draws."""
    population = Population.isotropic([1.0], [[9.0]], [480], 600)
    law = explicit_width_law(population, tanh_layers(2), (500, 300))
    (outlier,) = law.outliers
    found, cosines = [], []
    for draw in range(4):
        rng = np.random.default_rng([7, draw])
        data = rng.standard_normal((600, 480)) / np.sqrt(600)
        data[0] += 3 / np.sqrt(600)
        state = np.tanh(rng.standard_normal((500, 600)) @ data)
        state = np.tanh(rng.standard_normal((300, 500)) @ state / np.sqrt(500))
        values, vectors = np.linalg.eigh(state.T @ state / 300)
        found.append(values[-1])
        cosines.append(np.sum(vectors[:, -1]) ** 2 / 480)
    assert np.mean(found) == pytest.approx(outlier.value, rel=0.04)
    assert np.mean(cosines) == pytest.approx(outlier.alignment[0, 0], abs=0.05)
    # The last layer alone moves it less far, and turns it less.
    (last,) = explicit_width_law(population, tanh_layers(2)[-1:], (300,)).outliers
    assert np.mean(found) > 1.08 * last.value
    assert last.alignment[0, 0] > np.mean(cosines) + 0.04


def test_what_layers_that_are_not_odd_add_is_said_to_be_missing() -> None:
    first, second = tanh_layers(2)
    bent = KernelCoefficients(second.linear, 0.01, 0.02, second.diagonal)
    assert "odd" in explicit_width_law(PLAIN, [first, bent], (480, 480)).missing
    assert explicit_width_law(PLAIN, [bent], (480,)).missing == ""


def test_a_narrow_network_swallows_an_eigenvalue() -> None:
    """Isolated at infinite width and at a width of 4000, not at 100: the threshold moves."""
    assert len(spiked(4000, 1.3, 0)[0].outliers) == 1
    law, found, _ = spiked(100, 1.3, 0)
    assert law.outliers == ()
    assert found.mean() == pytest.approx(law.edges[-1][1], rel=0.1)


# --- bad input -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "numbers",
    [(-0.1, 0.1, 1.0, 0.0), (0.0, 0.0, 1.0, 0.0), (1.0, 0.1, 0.0, 0.0), (1.0, 0.1, np.inf, 0.0), (1.0, 0.1, 1.0, 1.0)],
)
def test_numbers_that_no_layer_has_are_refused(numbers: tuple[float, float, float, float]) -> None:
    with pytest.raises(ValueError, match=r"must|between"):
        Layer(*numbers)


def test_a_network_that_cannot_be_is_refused() -> None:
    (numbers,) = tanh_layers(1)
    for coefficients, widths in (([], []), ([numbers], [10, 10]), ([numbers], [0])):
        with pytest.raises(ValueError, match="width"):
            explicit_width_law(PLAIN, coefficients, widths)
    with pytest.raises(ValueError, match="must have none either"):
        explicit_width_law(PLAIN, [KernelCoefficients(0.0, 0.0, 0.0, 0.7), numbers], [10, 10])
    with pytest.raises(ValueError, match="layer"):
        solve_finite_width(solve_bulk(PLAIN), [])
    with pytest.raises(ValueError, match="upper half plane"):
        explicit_width_law(PLAIN, [numbers], [100]).bulk.stieltjes(np.array([0.5]))
