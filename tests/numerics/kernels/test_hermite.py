"""Hermite coefficients against mpmath and closed forms."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import factorial

import mpmath as mp
import numpy as np
import pytest
from numpy.typing import NDArray

from numerics.kernels import dual_by_quadrature, dual_by_series, hermite_coefficients
from numerics.moments import gaussian_moment, gaussian_rule, select_refinement, slope_energies

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Activation:
    value: Callable[[Array], Array]
    derivative: Callable[[Array], Array]
    breakpoints: tuple[float, ...]
    exact: Callable[[mp.mpf], mp.mpf]


RELU = Activation(lambda x: np.maximum(x, 0), lambda x: (x > 0) * 1.0, (0.0,), lambda x: max(x, mp.mpf(0)))
TANH = Activation(np.tanh, lambda x: 1 - np.tanh(x) ** 2, (), mp.tanh)
SHIFTED = Activation(
    lambda x: np.where(x < -0.3, -1.0, np.where(x < 1.7, x**2, np.sin(x))),
    lambda x: np.where(x < -0.3, 0.0, np.where(x < 1.7, 2 * x, np.cos(x))),
    (-0.3, 1.7),
    lambda x: mp.mpf(-1) if x < mp.mpf("-0.3") else (x * x if x < mp.mpf("1.7") else mp.sin(x)),
)
STEEP = Activation(lambda x: np.tanh(20 * x), lambda x: 20 / np.cosh(20 * x) ** 2, (), lambda x: mp.tanh(20 * x))


def reference(activation: Activation, tau: float, degree: int, power: int = 1) -> float:
    """E[phi(tau xi)^power he_degree(xi)] by mpmath's tanh-sinh at 22 digits, split finely."""
    with mp.workdps(22):
        scale = mp.mpf(tau)
        kinks = [mp.mpf(str(b)) / scale for b in activation.breakpoints]
        inside = [k for k in kinks if abs(k) < 15]
        edges = sorted(
            {mp.mpf(e) for e in range(-13, 14)} | set(inside) | {mp.mpf(e) / (1 + 4 * scale) for e in range(-10, 11)}
        )

        def integrand(u: mp.mpf) -> mp.mpf:
            # He_k by its recurrence, independent of the code under test.
            previous, polynomial = mp.mpf(0), mp.mpf(1)
            for k in range(degree):
                previous, polynomial = polynomial, u * polynomial - k * previous
            return activation.exact(scale * u) ** power * polynomial * mp.npdf(u)

        # Values at a jump belong to one side or the other; tanh-sinh never evaluates there.
        total = mp.quad(integrand, edges, maxdegree=5)
        return float(total / mp.sqrt(mp.factorial(degree)))


@pytest.mark.parametrize("activation", [RELU, TANH, SHIFTED], ids=["relu", "tanh", "jumps"])
@pytest.mark.parametrize("tau", [0.37, 1.1])
def test_coefficients_and_energy_agree_with_mpmath(activation: Activation, tau: float) -> None:
    scales = np.array([tau, 0.9, 2.0])
    found = hermite_coefficients(activation, scales, 12)
    for degree in (0, 1, 2, 5, 12):
        assert abs(found.coefficients[degree, 0] - reference(activation, tau, degree)) < 1e-13
    assert found.energy[0] == pytest.approx(reference(activation, tau, 0, 2), rel=1e-13)


def test_wide_scales_resolve_the_activation() -> None:
    """At tau = 40 tanh is nearly a jump in xi: the octaves of panels round the origin hold it."""
    found = hermite_coefficients(TANH, np.array([0.5, 40.0]), 5)
    for degree in (1, 3, 5):
        assert abs(found.coefficients[degree, 1] - reference(TANH, 40.0, degree)) < 1e-13


def test_refinement_is_raised_for_steep_activations_and_its_error_holds() -> None:
    scales = np.array([1.0])
    level, error = select_refinement(STEEP, scales)
    assert level > 0
    assert error <= 1e-13
    fine = hermite_coefficients(STEEP, scales, 5, refinement=level)
    coarse = hermite_coefficients(STEEP, scales, 5, refinement=0)
    exact = reference(STEEP, 1.0, 5)
    assert abs(fine.coefficients[5, 0] - exact) < 1e-13
    assert abs(coarse.coefficients[5, 0] - exact) > 1e-10


def test_gauss_hermite_is_what_the_panels_are_needed_for() -> None:
    x, w = np.polynomial.hermite_e.hermegauss(180)
    exact = 1 / np.sqrt(2 * np.pi)
    gauss_hermite = float(w @ np.maximum(x, 0)) / np.sqrt(2 * np.pi)
    panels = gaussian_moment(RELU.value, np.array([1.0]), RELU.breakpoints)[0]
    assert abs(gauss_hermite - exact) > 1e-4
    assert abs(panels - exact) < 2e-15


def test_high_degrees_of_relu_match_their_closed_form() -> None:
    """c_k(ReLU) = tau (-1)^(k/2 + 1) (k-3)!! / sqrt(2 pi k!) for even k >= 2, 0 for odd k >= 3."""
    found = hermite_coefficients(RELU, np.array([1.0, 2.5]), 256).coefficients
    log_factorial = np.cumsum(np.log(np.arange(1.0, 257.0)))
    for k in (2, 4, 10, 50, 100, 200, 256):
        log_double = float(np.sum(np.log(np.arange(1.0, k - 2.0, 2.0))))
        size = np.exp(log_double - log_factorial[k - 1] / 2) / np.sqrt(2 * np.pi)
        sign = (-1) ** (k // 2 + 1)
        np.testing.assert_allclose(found[k], sign * size * np.array([1.0, 2.5]), atol=3e-13)
    np.testing.assert_allclose(found[3:256:2], 0, atol=3e-13)


def test_tail_bounds_the_remainder_of_the_series() -> None:
    scales = np.array([0.6, 1.3])
    long = hermite_coefficients(SHIFTED, scales, 200)
    short = hermite_coefficients(SHIFTED, scales, 10)
    i, j = np.array([0]), np.array([1])
    for rho in (0.3, -0.5, 0.8):
        terms = long.coefficients[:, 0] * long.coefficients[:, 1] * rho ** np.arange(201)
        remainder = abs(terms[11:].sum())
        bound = short.truncation_bound(np.array([rho]), i, j)[0]
        assert remainder <= bound
        assert bound < 30 * short.energy.max() * abs(rho) ** 11


def test_monomials_have_finitely_many_coefficients() -> None:
    cube = Activation(lambda x: x**3, lambda x: 3 * x**2, (), lambda x: x**3)
    tau = np.array([0.7])
    found = hermite_coefficients(cube, tau, 6)
    expected = np.zeros(7)
    expected[1], expected[3] = 3 * 0.7**3, np.sqrt(factorial(3)) * 0.7**3
    np.testing.assert_allclose(found.coefficients[:, 0], expected, atol=1e-14)
    assert found.energy[0] == pytest.approx(15 * 0.7**6, rel=1e-14)
    assert found.tail(3)[0] < 1e-13


def test_bias_moves_only_the_mean() -> None:
    scales = np.array([0.5, 1.5])
    plain = hermite_coefficients(RELU, scales, 4)
    biased = hermite_coefficients(RELU, scales, 4, bias=0.25)
    np.testing.assert_allclose(biased.coefficients[0], plain.coefficients[0] - 0.25, atol=1e-15)
    np.testing.assert_allclose(biased.coefficients[1:], plain.coefficients[1:], atol=1e-15)


def test_zero_scale_is_a_constant() -> None:
    found = hermite_coefficients(TANH, np.array([0.0]), 3, bias=-0.5)
    np.testing.assert_allclose(found.coefficients[:, 0], [0.5, 0, 0, 0], atol=1e-15)


def test_the_weights_integrate_the_density() -> None:
    _, weight = gaussian_rule(np.array([0.3, 7.0]), (-1.0, 0.2))
    np.testing.assert_allclose(weight.sum(axis=1), 1.0, atol=5e-15)


def test_bad_input_is_refused() -> None:
    with pytest.raises(ValueError, match="order"):
        hermite_coefficients(RELU, np.array([1.0]), -1)
    with pytest.raises(ValueError, match="nonnegative"):
        hermite_coefficients(RELU, np.array([-1.0]), 3)
    with pytest.raises(ValueError, match="one-dimensional"):
        hermite_coefficients(RELU, np.array([[1.0]]), 3)
    with pytest.raises(ValueError, match="order must lie"):
        hermite_coefficients(RELU, np.array([1.0]), 3).tail(4)


def test_an_activation_that_overflows_is_an_error() -> None:
    pole = Activation(lambda x: np.where(np.abs(x) > 5, np.inf, x), np.ones_like, (), lambda x: x)
    with pytest.raises(FloatingPointError, match="not finite"):
        hermite_coefficients(pole, np.array([1.0]), 3)


@pytest.mark.parametrize("rho", [-1.0, -0.9999, -0.3, 0.0, 0.6, 0.99, 1 - 1e-6, 1 - 1e-12, 1.0])
@pytest.mark.parametrize("scales", [(1.0, 1.0), (0.3, 4.0)])
def test_two_dimensional_quadrature_matches_the_arc_cosine_kernel(rho: float, scales: tuple[float, float]) -> None:
    found, slope = dual_by_quadrature(RELU, *scales, rho)
    angle = mp.acos(rho)
    exact = mp.mpf(scales[0]) * scales[1] * (mp.sin(angle) + (mp.pi - angle) * rho) / (2 * mp.pi)
    assert abs(found - float(exact)) < 1e-13 * scales[0] * scales[1]
    assert abs(slope - float((mp.pi - angle) / (2 * mp.pi))) < 1e-12


@pytest.mark.parametrize("rho", [-0.99, 0.5, 0.999])
def test_two_dimensional_quadrature_matches_the_arcsine_law_of_a_jump(rho: float) -> None:
    sign = Activation(np.sign, np.zeros_like, (0.0,), mp.sign)
    found, _ = dual_by_quadrature(sign, 0.7, 1.9, rho)
    assert abs(found - 2 / np.pi * np.arcsin(rho)) < 1e-12


@pytest.mark.parametrize("name", ["odd", "even", "ReLU-like", "odd with a constant", "all", "line", "constant"])
@pytest.mark.parametrize("order", [0, 1, 2, 3, 8, 9])
def test_series_and_its_derivative(name: str, order: int) -> None:
    """Horner's rule with the vanishing degrees skipped, against the sums written out."""
    patterns = {
        "odd": lambda k: k % 2 == 1,
        "even": lambda k: k % 2 == 0,
        "ReLU-like": lambda k: k % 2 == 0 or k == 1,
        "odd with a constant": lambda k: k % 2 == 1 or k == 0,
        "all": lambda k: True,
        "line": lambda k: k <= 1,
        "constant": lambda k: k == 0,
    }
    used = [patterns[name](k) for k in range(order + 1)]
    rng = np.random.default_rng(order)
    left, right = (rng.standard_normal((order + 1, 3)) * np.array(used)[:, None] for _ in range(2))
    rho = np.array([-0.4, 0.0, 0.9])
    value, slope = dual_by_series(left, right, rho, order, used)
    products = left * right
    np.testing.assert_allclose(value, sum(products[k] * rho**k for k in range(order + 1)), atol=1e-13)
    expected = sum((k * products[k] * rho ** (k - 1) for k in range(1, order + 1)), np.zeros(3))
    np.testing.assert_allclose(slope, expected, atol=1e-13)
    again, zero = dual_by_series(left, right, rho, order, used, slope=False)
    np.testing.assert_array_equal(again, value)
    assert not zero.any()


def test_slope_tail_bounds_the_remainder_of_the_derivative() -> None:
    scales = np.array([0.6, 1.3])
    clipped = Activation(lambda x: np.clip(x, -1, 0.5), lambda x: ((x > -1) & (x < 0.5)) * 1.0, (-1.0, 0.5), mp.mpf)
    long, short = hermite_coefficients(clipped, scales, 200), hermite_coefficients(clipped, scales, 10)
    products = long.coefficients[:, 0] * long.coefficients[:, 1]
    tails = np.sqrt(np.prod(short.slope_tail(10)))
    for rho in (-0.7, 0.5, 0.9):
        remainder = abs(sum(k * products[k] * rho ** (k - 1) for k in range(11, 201)))
        assert 0 < remainder <= abs(rho) ** 10 * tails
    # And it is no larger than what the remainder's energy is: tanh has hardly any beyond degree 100.
    whole, part = hermite_coefficients(TANH, scales, 100), hermite_coefficients(TANH, scales, 6)
    rest = np.sum(np.arange(7, 101)[:, None] * whole.coefficients[7:] ** 2, axis=0)
    np.testing.assert_allclose(part.slope_tail(6)[0], rest[0], rtol=1e-10)
    # Parseval for phi': sum k c_k^2 = tau^2 P(-1 < tau xi < 1/2).
    chances = [float(mp.ncdf(0.5 / t) - mp.ncdf(-1 / t)) for t in scales]
    np.testing.assert_allclose(long.slope_energy, scales**2 * chances, rtol=1e-13)


def test_slope_energies_are_infinite_for_jumps_and_singular_slopes() -> None:
    scales = np.array([0.5, 2.0])
    root = Activation(
        lambda x: np.sqrt(np.abs(x)), lambda x: np.sign(x) / (2 * np.sqrt(np.abs(x))), (0.0,), lambda x: mp.sqrt(abs(x))
    )
    for phi in (SHIFTED, root):
        assert np.all(np.isinf(slope_energies(phi, scales)))
    np.testing.assert_allclose(slope_energies(RELU, scales), 0.5, rtol=1e-14)
    assert hermite_coefficients(RELU, np.array([0.0, 1.0]), 3).slope_energy[0] == 0
