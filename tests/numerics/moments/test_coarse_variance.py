"""Coarse enclosures against closed forms and quadrature."""

from __future__ import annotations

import mpmath
import pytest
from flint import arb

from numerics.moments import TAIL_BITS, certified_moments, coarse_variance
from theory.activations import resolve


def _coarse(text: str, squares: arb) -> tuple[arb, arb]:
    activation = resolve(text).with_parameters({})
    moments = certified_moments(activation, False)
    found = coarse_variance(activation, squares, lambda scales: moments.tails(scales, TAIL_BITS), 600)
    assert found is not None
    return found


@pytest.mark.parametrize("square", ["0.01", "1", "30"])
def test_relu(square: str) -> None:
    variance, half = _coarse("relu", arb(square))
    exact = (1 - 1 / arb.pi()) / 2
    assert variance.overlaps(exact * arb(square))
    assert half.overlaps(exact)
    assert variance.rad() < 0.05 * arb(square)
    assert half.rad() < 0.1


def test_steps_are_sharp() -> None:
    """On steps a panel's enclosure is exact: a formula that is off by a millionth would be seen."""
    variance, half = _coarse("Heaviside(x - 1/2) + 3*Heaviside(x + 1)", arb(1))
    # P(tau xi > c), and its derivative in tau^2, at tau = 1; the values are 0, 3 and 4.
    (upper, upper_bent), (lower, lower_bent) = (
        ((c / arb(2).sqrt()).erfc() / 2, c / 2 * (-c * c / 2).exp() / (2 * arb.pi()).sqrt())
        for c in (arb("0.5"), arb(-1))
    )
    mean, mean_bent = upper + 3 * lower, upper_bent + 3 * lower_bent
    assert variance.overlaps(7 * upper + 9 * lower - mean * mean)
    assert half.overlaps(7 * upper_bent + 9 * lower_bent - 2 * mean * mean_bent)
    assert variance.rad() < 1e-6
    assert half.rad() < 1e-6


def test_over_a_ball_of_scales() -> None:
    """A square: Var (tau xi)^2 = 2 tau^4, whose derivative in tau^2 is 4 tau^2."""
    variance, half = _coarse("x**2", arb(1, 0.05))
    for square in ("0.95", "1", "1.05"):
        assert variance.contains(2 * arb(square) ** 2)
        assert half.contains(4 * arb(square))
    assert variance.rad() < 1
    assert half.rad() < 1.5


def test_a_jump_and_a_kink() -> None:
    variance, half = _coarse("Heaviside(x - 1/2) + Abs(x + 1)", arb(1))

    def f(u: mpmath.mpf) -> mpmath.mpf:
        return (u > 0.5) + abs(u + 1)

    def moment(power: int, order: int) -> mpmath.mpf:
        return mpmath.quad(lambda u: u**power * f(u) ** order * mpmath.npdf(u), [-12, -1, 0.5, 12])

    m, s = moment(0, 1), moment(0, 2)
    assert variance.overlaps(arb(str(s - m * m)))
    assert half.overlaps(arb(str((moment(2, 2) - s) / 2 - m * (moment(2, 1) - m))))
    assert half.rad() < 0.2


def test_a_needle_costs_no_accuracy() -> None:
    """exp(-((x - 0.7)/0.001)^2/2) beside tanh: between both neighbours 1 and 0.87 of v the derivative is known."""
    variance, half = _coarse("tanh(x) + exp(-((x-0.7)/0.001)**2/2)", arb("0.937", "0.063"))
    assert variance.rad() < 0.1
    assert half > 0
    assert half < 1
