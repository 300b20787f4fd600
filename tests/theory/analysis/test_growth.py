"""Rates and limits at infinity, against those that one reads off by hand."""

from __future__ import annotations

import pytest
import sympy as sp

from theory.analysis.growth import GrowthError, Rate, limit_at, upper_rate
from theory.functions import sigmoid, softplus
from theory.symbols import x

A, B = sp.symbols("a b", positive=True)
HALF = sp.S.Half


def _rate(quadratic: object = 0, linear: object = 0, degree: object = 0, logarithm: object = 0) -> Rate:
    return Rate(*(sp.sympify(part) for part in (quadratic, linear, degree, logarithm)))


CONSTANT, DEGREE_1, LOGARITHM = _rate(), _rate(degree=1), _rate(logarithm=1)
FASTEST_DECAY = _rate(quadratic=-sp.oo)


@pytest.mark.parametrize(
    ("expr", "right", "left"),
    [
        (sp.S.Zero, CONSTANT, CONSTANT),
        (sp.Integer(7), CONSTANT, CONSTANT),
        (x, DEGREE_1, DEGREE_1),
        (x**2 * sp.exp(x), _rate(0, 1, 2), _rate(0, -1, 2)),
        (x**3 + x, _rate(degree=3), _rate(degree=3)),
        (x + sp.exp(x), _rate(0, 1), DEGREE_1),
        (sp.exp(2 * x**2 - 3 * x), _rate(2, -3), _rate(2, 3)),
        (sp.exp(-A * x**2 + B * x), _rate(-A, B), _rate(-A, -B)),
        (sp.exp(-(x**4)), FASTEST_DECAY, FASTEST_DECAY),
        (sp.exp(x + sp.sin(x)), _rate(0, 1), _rate(0, -1)),
        (sp.exp(sp.tanh(x)), CONSTANT, CONSTANT),
        (sp.exp(-sp.sqrt(x**2 + 1)), CONSTANT, CONSTANT),
        (sp.exp(-((x**2 + 1) ** sp.Rational(3, 4))), _rate(linear=-sp.oo), _rate(linear=-sp.oo)),
        (sp.exp(-((x**2 + 1) ** sp.Rational(3, 2))), FASTEST_DECAY, FASTEST_DECAY),
        (sp.sqrt(x**2 + 1), DEGREE_1, DEGREE_1),
        (1 / (x**2 + 1), _rate(degree=-2), _rate(degree=-2)),
        (x / (1 + sp.exp(x)), _rate(0, -1, 1), DEGREE_1),
        (1 / (2 + sp.sin(x)), CONSTANT, CONSTANT),
        (1 / (x + sp.sin(x)), _rate(degree=-1), _rate(degree=-1)),
        (x * sp.sin(x), DEGREE_1, DEGREE_1),
        (sp.tanh(x), CONSTANT, CONSTANT),
        (sp.sinh(2 * x), _rate(0, 2), _rate(0, 2)),
        (sp.cosh(A * x + 1), _rate(0, A), _rate(0, A)),
        (sp.sech(3 * x), _rate(0, -3), _rate(0, -3)),
        (sp.sech(sp.sin(x)), CONSTANT, CONSTANT),
        (sp.sinh(sp.exp(-(x**2))), _rate(-1), _rate(-1)),
        (sp.cosh(sp.exp(-(x**2))), CONSTANT, CONSTANT),
        (sp.erfc(2 * x), _rate(-4, 0, -1), CONSTANT),
        (x**2 * sp.erfc(x), _rate(-1, 0, 1), _rate(degree=2)),
        (sigmoid(2 * x), CONSTANT, _rate(0, -2)),
        (sigmoid(-x), _rate(0, -1), CONSTANT),
        (softplus(x), DEGREE_1, _rate(0, -1)),
        (softplus(x**2), _rate(degree=2), _rate(degree=2)),
        (softplus(sp.sin(x)), CONSTANT, CONSTANT),
        (sp.log(x**2 + 1), LOGARITHM, LOGARITHM),
        (sp.log(1 + sp.exp(x)), DEGREE_1, CONSTANT),
        (sp.log(sp.exp(x**2) + 1), _rate(degree=2), _rate(degree=2)),
        (sp.log(2 + sp.tanh(x)), CONSTANT, CONSTANT),
        (sp.log(x**2 + 1) ** 3, _rate(logarithm=3), _rate(logarithm=3)),
        (sp.asinh(x), LOGARITHM, LOGARITHM),
        (sp.asinh(sp.exp(-x)), _rate(0, -1), DEGREE_1),
        (1 / sp.asinh(x), CONSTANT, CONSTANT),
    ],
    ids=str,
)
def test_rates(expr: sp.Expr, right: Rate, left: Rate) -> None:
    assert upper_rate(expr, 1) == right
    assert upper_rate(expr, -1) == left


@pytest.mark.parametrize(
    "expr",
    [sp.exp(x**3), sp.exp(sp.exp(x)), sp.cosh(x**2 + x**3), 1 / sp.sin(x), sp.log(sp.sin(x)), sp.exp(x * sp.sin(x)),
     sp.sinh(x * sp.sin(x)), 1 / (1 + sp.sin(x)), sp.gamma(x)],
    ids=str,
)  # fmt: skip
def test_growth_without_a_bound_is_refused(expr: sp.Expr) -> None:
    with pytest.raises(GrowthError):
        upper_rate(expr, 1)


@pytest.mark.parametrize(
    ("expr", "right", "left"),
    [
        (sp.Integer(7), 7, 7),
        (x, sp.oo, -sp.oo),
        (3 * x**2 - 1, sp.oo, sp.oo),
        (-2 * x**3 + x, -sp.oo, sp.oo),
        (x * sp.exp(-x), 0, -sp.oo),
        (sp.exp(x) - x**2, sp.oo, -sp.oo),
        (sp.exp(x) + 3, sp.oo, 3),
        (x / (1 + x**2), 0, 0),
        (1 / (2 + sp.exp(-x)), HALF, 0),
        (sp.tanh(2 * x) + 3, 4, 2),
        (2 * sp.atan(-x), -sp.pi, sp.pi),
        (sp.erf(x) * (1 + sp.exp(-(x**2))), 1, -1),
        (sp.sin(sp.exp(-(x**2))), 0, 0),
        (sp.cos(1 / (1 + x**2)), 1, 1),
        (sp.sqrt(4 + sp.exp(-(x**2))), 2, 2),
        (x**2 + x * sp.sin(x), sp.oo, sp.oo),
        (sp.exp(-x) * sp.sin(x) + sp.exp(-2 * x), 0, sp.oo),
        (sp.log(1 + x**2), sp.oo, sp.oo),
        (A * x - B, sp.oo, -sp.oo),
        (sp.sin(x), None, None),
        (x * sp.sin(x), None, None),
        (sp.sqrt(x**2 + 1) - x, None, sp.oo),
        (x**2 / (1 + x**2), None, None),
        (1 / (1 - sp.tanh(x)), None, HALF),
    ],
    ids=str,
)
def test_limits(expr: sp.Expr, right: object, left: object) -> None:
    for direction, expected in ((1, right), (-1, left)):
        if expected is None:
            with pytest.raises(GrowthError):
                limit_at(expr, direction)
        else:
            assert limit_at(expr, direction) == expected


@pytest.mark.parametrize("place", range(4))
def test_the_first_exponent_that_differs_decides(place: int) -> None:
    parts = [sp.S.Zero] * 4
    parts[place] = sp.S.One
    larger = Rate(*parts)
    assert larger.sign() == 1
    assert CONSTANT.over(larger).sign() == -1
    assert CONSTANT.sign() == 0
    later = Rate(*(sp.Integer(9 if position > place else 0) for position in range(4)))
    assert larger.exceeds(later)
    assert not later.exceeds(larger)
    assert not larger.exceeds(larger)
    assert larger.joined(later) == later.joined(larger) == larger


def test_rates_are_multiplied_and_raised() -> None:
    one, other = _rate(1, 2, 3, 4), _rate(-1, A, HALF, 0)
    assert one.times(other) == _rate(0, 2 + A, sp.Rational(7, 2), 4)
    assert one.over(other) == _rate(2, 2 - A, sp.Rational(5, 2), 4)
    assert one.raised(HALF) == _rate(HALF, 1, sp.Rational(3, 2), 2)


def test_rates_whose_order_is_open_are_both_bounded() -> None:
    one, other = _rate(0, A, 1), _rate(0, B, 0)
    assert not one.exceeds(other)
    assert not other.exceeds(one)
    assert one.joined(other) == _rate(0, sp.Max(A, B), 1)
