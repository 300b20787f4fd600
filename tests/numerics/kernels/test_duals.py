"""Dual activations at any correlation: closed forms, interpolation and quadrature against one another."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import mpmath as mp
import numpy as np
import pytest
from numpy.typing import NDArray

from numerics.arithmetic import pointwise
from numerics.kernels import (
    ClosedDual,
    DualActivation,
    InterpolatedDual,
    LongSeriesDual,
    PairDual,
    QuadratureDual,
    UnresolvedDualError,
    bivariate_normal_cdf,
    dual_by_quadrature,
    resolving_edges,
    slow_dual,
    with_dual,
)
from theory.activations import registry

Array = NDArray[np.float64]

CORRELATIONS = (-1.0, -0.7, 0.0, 0.95, 1 - 1e-6, 1 - 1e-12, 1.0)
ZERO, ONE = np.array([0]), np.array([1])


def activation(name: str) -> DualActivation:
    found = with_dual(registry.resolve(name).with_parameters())
    assert isinstance(found, DualActivation)
    return found


def has_dual(name: str) -> bool:
    return isinstance(with_dual(registry.registered(name).with_parameters()), DualActivation)


@pytest.mark.parametrize("name", [name for name in registry.registered_names() if has_dual(name)])
def test_every_closed_form_of_the_registry_by_quadrature(name: str) -> None:
    """Both values, at scales where the kinks are hit, and no further off than reported."""
    phi, bias = activation(name), 0.1
    scales = np.array([0.8, 0.8]) if name in ("threshold", "hard_tanh", "exp_bump") else np.array([0.7, 1.4])
    dual = ClosedDual(phi, scales, bias, 1)
    jumps = bool(registry.registered(name).with_parameters().jumps)
    for rho in CORRELATIONS:
        pair = dual.at(ZERO, ONE)
        at = np.array([rho])
        (value, slope), (error, turn) = pair.evaluate(at), pair.errors(at)
        expected, turned = dual_by_quadrature(phi, scales[0], scales[1], rho, bias=bias, refinement=1)
        # Quadrature has rounding errors of its own.
        assert abs(value[0] - expected) <= error[0] + 1e-15, (rho, "value")
        if not jumps:
            assert error[0] < 2e-12
            assert abs(slope[0] - turned * scales[0] * scales[1]) <= turn[0] + 2e-15, (rho, "slope")


def test_slope_of_a_jump_is_the_derivative_of_the_value() -> None:
    phi = activation("hard_shrink")
    dual = ClosedDual(phi, np.array([0.9, 0.6]), 0.0, 1).at(ZERO, ONE)
    step = 1e-6
    for rho in (-0.8, 0.1, 0.6):
        (up, _), (down, _) = (dual.evaluate(np.array([rho + shift])) for shift in (step, -step))
        assert dual.evaluate(np.array([rho]))[1][0] == pytest.approx(float((up - down)[0]) / (2 * step), rel=1e-8)


def test_near_the_ends_kinks_off_zero_keep_their_digits() -> None:
    """From 1 - rho = 1e-9 on the closed form cancels; the value is integrated from the end instead."""
    dual = ClosedDual(activation("hard_tanh"), np.array([0.8, 0.8, 0.81]), 0.0, 1)
    for gap in (3e-9, 3e-10, 1e-11, 1e-13):
        for j in (1, 2):
            for sign in (1, -1):
                rho = sign * (1 - gap)
                value, _ = dual.at(ZERO, np.array([j])).evaluate(np.array([rho]))
                expected, _ = dual_by_quadrature(activation("hard_tanh"), 0.8, (0.8, 0.81)[j - 1], rho, refinement=1)
                assert abs(value[0] - expected) < 4e-13


def test_bivariate_normal_distribution_function() -> None:
    """Against the integral of its derivative by the correlation, in 30 digits."""
    rng = np.random.default_rng(3)
    levels = rng.normal(size=(2, 40)) * 2
    levels[:, :6] = [[0, 0, 1.5, 1.5, -1.5, 0], [0, 2, 0, 1.5, 1.5, -1]]
    r = rng.uniform(-1, 1, 40)
    c = np.sqrt((1 - r) * (1 + r))
    # Near the ends: rho = cos t of a small angle, which c still knows.
    c[-8:] = 10.0 ** -np.arange(1, 9)
    r[-8:] = np.sqrt(1 - c[-8:] ** 2) * np.where(np.arange(8) % 2, -1, 1)
    levels[1, -8:] = levels[0, -8:] * np.sign(r[-8:]) + c[-8:]
    found = bivariate_normal_cdf(levels[0], levels[1], r, c)
    with mp.workdps(30):
        for position in range(40):
            h, k = (mp.mpf(float(level)) for level in levels[:, position])
            # c carries the digits near the ends.
            turn = mp.asin(mp.mpf(float(c[position])))
            angle = mp.sign(r[position]) * (mp.pi / 2 - turn)

            def density(t: mp.mpf, h: mp.mpf = h, k: mp.mpf = k) -> mp.mpf:
                return mp.exp(-(h**2 - 2 * h * k * mp.sin(t) + k**2) / (2 * mp.cos(t) ** 2))

            cuts = [angle * part for part in (0, mp.mpf(1) / 2, mp.mpf(9) / 10, mp.mpf(99) / 100, 1)]
            exact = mp.ncdf(h) * mp.ncdf(k) + mp.quad(density, cuts) / (2 * mp.pi)
            assert abs(found[position] - exact) < 2e-15, position
    assert bivariate_normal_cdf(np.array(0.0), np.array(0.0), np.array(0.5), np.sqrt(0.75)) == pytest.approx(1 / 3)


def random_pairs(
    dual: PairDual, n: int, seed: int
) -> tuple[tuple[Array, Array], tuple[Array, Array], tuple[Array, ...]]:
    rng = np.random.default_rng(seed)
    i, j = (rng.integers(0, n, 300) for _ in range(2))
    i.sort()
    rho = np.concatenate([np.cos(rng.uniform(0, np.pi, 280)), [1, -1, 0, *(1 - 10.0 ** -np.arange(1, 18))]])
    pair = dual.at(i, j)
    return pair.evaluate(rho), pair.errors(rho), (i, j, rho)


@pytest.mark.parametrize("name", ["relu", "erf", "gelu", "squared_relu"])
def test_interpolation_and_closed_form_agree_within_the_reported_error(name: str) -> None:
    phi = activation(name)
    scales = np.exp(np.random.default_rng(1).uniform(-0.3, 0.3, 50))
    scales[7] = 0.0
    for count in (50, 12):
        part = scales[:count]
        interpolated = InterpolatedDual(phi, part, 0.2, 1e-12)
        found, error, (i, j, rho) = random_pairs(interpolated, count, 2)
        exact = ClosedDual(phi, part, 0.2, 1).at(i, j).evaluate(rho)
        positive = (part[i] > 0) & (part[j] > 0)
        assert interpolated.error <= 1e-12
        for k in (0, 1):
            off = np.abs(found[k] - exact[k])[positive]
            assert np.all(off <= error[k][positive] + 1e-14)
            assert off.max() < 5e-13


@pytest.mark.parametrize("name", ["tanh", "elu", "swish"])
def test_interpolation_of_activations_without_a_closed_form(name: str) -> None:
    phi = pointwise(registry.registered(name).with_parameters())
    scales = np.exp(np.random.default_rng(1).uniform(-0.1, 0.1, 30))
    found, error, (i, j, rho) = random_pairs(InterpolatedDual(phi, scales, 0.2, 1e-12), 30, 4)
    for k in (0, 50, 100, 281, 282, 284, 290, 294):
        value, slope = dual_by_quadrature(phi, scales[i[k]], scales[j[k]], rho[k], bias=0.2, refinement=1)
        assert abs(found[0][k] - value) <= error[0][k] + 1e-15
        assert abs(found[1][k] - slope * scales[i[k]] * scales[j[k]]) <= error[1][k] + 1e-14
        assert error[0][k] < 2e-12


def test_interpolation_over_widely_different_scales() -> None:
    """Norms a factor of 30 apart, by the closed form of the arcsine kernel."""
    phi = activation("erf")
    scales = np.exp(np.linspace(-1.7, 1.7, 40))
    interpolated = InterpolatedDual(pointwise(registry.registered("erf")), scales, 0.0, 1e-9)
    found, error, (i, j, rho) = random_pairs(interpolated, 40, 6)
    exact = ClosedDual(phi, scales, 0.0, 2).at(i, j).evaluate(rho)
    assert np.all(np.abs(found[0] - exact[0]) <= error[0])
    assert 1e-16 < np.abs(found[0] - exact[0]).max() < 1e-9


def test_interpolation_refuses_what_it_cannot_do() -> None:
    scales = np.array([0.5, 1.0])
    for name, message in (("hard_tanh", "elsewhere than at 0"), ("sign", "jumps")):
        with pytest.raises(UnresolvedDualError, match=message):
            InterpolatedDual(activation(name), scales, 0.0, 1e-12)
    with pytest.raises(UnresolvedDualError, match="no scale"):
        InterpolatedDual(activation("relu"), np.zeros(3), 0.0, 1e-12)
    with pytest.raises(UnresolvedDualError, match="leave"):
        InterpolatedDual(activation("sin"), np.array([1e-3, 40.0]), 0.0, 1e-13)


def test_quadrature_of_pairs() -> None:
    """The last resort, for a jump and a kink off 0, where the closed form is at hand to compare."""
    scales = np.array([0.8, 1.1, 0.8])
    for name in ("hard_shrink", "hard_tanh"):
        phi = activation(name)
        i, j = np.array([0, 0, 0, 1]), np.array([1, 2, 2, 2])
        rho = np.array([0.3, 0.97, 1.0, -0.999])
        exact = ClosedDual(phi, scales, 0.1, 1).at(i, j).evaluate(rho)[0]
        quadrature = partial(QuadratureDual, phi, scales, 0.1, 1)
        for dual in (quadrature(), LongSeriesDual(phi, scales, 0.1, 1, 1e-12, quadrature)):
            pair = dual.at(i, j)
            np.testing.assert_allclose(pair.evaluate(rho)[0], exact, atol=5e-13)
            assert np.all(pair.own_errors(rho)[0] < 1e-12)


def test_the_fastest_way_is_taken() -> None:
    scales = np.array([0.5, 1.0])

    def kind(text: str, largest: float = 1.0, *, plain: bool = False) -> type:
        found = registry.resolve(text).with_parameters()
        compiled = pointwise(found)
        phi = replace(compiled, source=None) if plain else compiled
        dual = slow_dual(phi, scales * largest, 0.0, 1, 1e-12)
        return type(dual.beyond if isinstance(dual, LongSeriesDual) else dual)

    assert kind("relu") is ClosedDual
    assert kind("relu", plain=True) is InterpolatedDual
    assert kind("tanh") is InterpolatedDual
    assert kind("hard_tanh") is ClosedDual
    # Where its terms cancel it is left.
    assert kind("hard_tanh", 1e6) is QuadratureDual
    assert kind("hard_tanh", plain=True) is QuadratureDual
    # Exponentials and a kink at 0: terms of size exp(tau^2) would cancel.
    assert kind("elu") is InterpolatedDual
    # A kink elsewhere leaves the closed form, as long as they are not too large.
    shifted = "Piecewise((x, x > 1/2), (exp(x - 1/2) - 1/2, True))"
    assert kind(shifted, 0.5) is ClosedDual
    assert kind(shifted, 6.0) is QuadratureDual
    assert kind("tanh(x) + Max(x - 1, 0)") is QuadratureDual


def test_steep_places_get_narrow_panels_and_no_others() -> None:
    """tanh(100 (x - 0.3)) at |rho| = 1 against 30 digits, with far fewer nodes than narrow panels everywhere."""
    phi = pointwise(registry.resolve("tanh(100*(x - 3/10))").with_parameters())
    edges = resolving_edges(phi, 1.0)
    assert 10 < edges.size < 60
    assert np.abs(edges - 0.3).min() < 0.02
    with mp.workdps(30):
        place = mp.mpf(3) / 10
        near = {place + sign * mp.mpf(2) ** -k for k in range(9) for sign in (-1, 1)}
        cuts = sorted({mp.mpf(k) for k in range(-10, 11)} | near | {-point for point in near})
        for rho in (1, -1):
            exact = mp.quad(
                lambda x, rho=rho: mp.tanh(100 * (x - place)) * mp.tanh(100 * (rho * x - place)) * mp.npdf(x), cuts
            )
            assert abs(dual_by_quadrature(phi, 1.0, 1.0, rho, edges=edges)[0] - exact) < 2e-15


def test_steep_places_inside_by_brute_force() -> None:
    """tanh(20 (x - 0.3)) at an inner correlation, by a product of narrow panels everywhere."""
    phi = pointwise(registry.resolve("tanh(20*(x - 3/10))").with_parameters())
    ends = np.linspace(-9, 9, 145)
    nodes, weights = np.polynomial.legendre.leggauss(12)
    x = ((ends[1:] + ends[:-1])[:, None] / 2 + nodes / 16).ravel()
    w = np.tile(weights / 16, 144) * np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi)
    exact = np.sum(
        w[:, None] * w * np.tanh(20 * (0.9 * x[:, None] - 0.3)) * np.tanh(20 * (0.54 * x[:, None] + 0.72 * x - 0.3))
    )
    found, _ = dual_by_quadrature(phi, 0.9, 0.9, 0.6, edges=resolving_edges(phi, 1.0))
    assert abs(found - exact) < 2e-13
