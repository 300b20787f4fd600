"""Majorants of random expressions against their values at random complex points: a bound that fails once is wrong."""

from __future__ import annotations

import cmath
import math

import flint
import numpy as np
import pytest
import sympy as sp
from flint import acb, arb
from scipy.special import wofz

from numerics.arithmetic import ComplexBallArithmetic, compile_program
from numerics.moments import Majorant, half_strip_majorant
from numerics.moments.majorants import _exponential_rate
from theory.functions import sigmoid, softplus
from theory.symbols import x

R = sp.Rational
_LEAVES = (x, x, x, 2 * x, -x, x / 3, x**2, R(1, 2), sp.S.One, -R(7, 3), sp.pi)
_FUNCTIONS = (
    *(
        sp.exp,
        sp.tanh,
        sp.erf,
        sp.erfc,
        sp.sin,
        sp.cos,
        sp.atan,
        sp.asinh,
        sp.sinh,
        sp.cosh,
        sp.sech,
        sigmoid,
        softplus,
        sp.log,
    ),
    *(lambda e: 1 / (1 + e**2), lambda e: sp.sqrt(1 + e**2), lambda e: (2 + e**2) ** R(1, 3), lambda e: e**3),
    *(sp.asinh, lambda e: sp.cos(e) ** 2, lambda e: 1 / (1 + sp.sin(e) ** 2), lambda e: (1 + e**2) ** R(3, 4)),
    *(lambda e: 1 + sp.erf(e), lambda e: sp.sqrt(sigmoid(e)), lambda e: 1 / sigmoid(e), lambda e: sp.exp(-sp.exp(e))),
    *(lambda e: sp.exp(-(e**2)), lambda e: 1 / (3 + sp.sin(e)), lambda e: (1 + e**2) ** -R(3, 2), lambda e: sp.exp(-e)),
)


def random_expression(rng: np.random.Generator, depth: int) -> sp.Expr:
    """An expression tree; most have singularities somewhere, which the majorants must notice."""
    kind = rng.integers(0, 4) if depth else 3
    if kind == 3:
        return _LEAVES[rng.integers(len(_LEAVES))]
    if kind == 0:
        return _FUNCTIONS[rng.integers(len(_FUNCTIONS))](random_expression(rng, depth - 1))
    first, second = (random_expression(rng, depth - 1) for _ in range(2))
    return first + second if kind == 1 else first * second


def log_bound(majorant: Majorant, distance: arb) -> arb:
    """log of the majorant at t, upper end."""
    total = arb(0)
    for coefficient in reversed(majorant.poly):
        total = total * distance + coefficient
    return (total.upper().log() + majorant.linear * distance + majorant.quadratic * distance * distance).upper()


@pytest.mark.parametrize("seed", range(4))
def test_majorants_of_random_expressions_hold(seed: int) -> None:
    rng = np.random.default_rng(seed)
    proved = 0
    with flint.ctx.workprec(80):
        for _ in range(250):
            expr = random_expression(rng, 4)
            if not expr.has(x) or expr.has(sp.zoo, sp.nan, sp.oo, sp.I):
                continue
            side = int(rng.choice((-1, 1)))
            start, width = arb(float(rng.choice((0.5, 2.0, 4.0, 11.0)))), arb(float(rng.choice((0.0, 0.1, 0.5, 1.5))))
            majorant = half_strip_majorant(expr, side, start, width)
            if majorant is None or not all(c.is_finite() for c in majorant.poly):
                continue
            # Principal values, without any refusal: an independent evaluation at points.
            (program,) = (compile_program([expr], [x], ComplexBallArithmetic(analytic=False)),)
            proved += 1
            for _ in range(12):
                distance = arb(
                    float(rng.choice((0.0, rng.exponential(0.3), rng.exponential(3.0), rng.exponential(20))))
                )
                height = width * float(rng.choice((-1.0, 1.0, rng.uniform(-1, 1))))
                (value,) = program(acb(side * (start + distance), height))
                if not value.is_finite() or value.abs_lower() == 0:
                    continue
                assert not value.abs_lower().log() > log_bound(majorant, distance), (expr, side, start, width, distance)
    assert proved >= 60


@pytest.mark.parametrize(
    "expr", [1 / (sp.exp(x) + 5 * sp.sin(x)), 1 / (x**2 + sp.cos(x)), sp.log(3 * x + sp.sin(x))], ids=str
)
@pytest.mark.parametrize("side", [1, -1])
def test_what_stays_away_from_zero_is_not_taken_farther_away(expr: sp.Expr, side: int) -> None:
    """A floor of |e| for the sum of a large and a small term, on a strip too wide for signs of real parts."""
    expr = expr.subs(x, side * x)
    with flint.ctx.workprec(64):
        majorant = half_strip_majorant(expr, side, arb(4), arb("1.7"))
        assert majorant is not None
        program = compile_program([expr], [x], ComplexBallArithmetic(analytic=False))
        for t in (0.0, 0.2, 1.0, 3.0):
            for height in np.linspace(-1.7, 1.7, 18):
                (value,) = program(acb(side * (4 + t), float(height)))
                assert not value.abs_lower().log() > log_bound(majorant, arb(t))


@pytest.mark.parametrize(
    ("expr", "side", "start", "width"),
    [
        (sp.log(x - 4), 1, 3, 0),  # a branch point inside
        (1 / (x - 5), 1, 3, 0),
        (1 / (1 + (x - 1) ** 2), 1, R(1, 10), 1),
        (sp.tanh(x - 1), 1, R(1, 100), 2),
        (sp.sqrt(x), -1, 1, 0),
        (sp.atan(x - 1), 1, R(1, 100), R(3, 2)),
        (sp.asinh(x - 1), 1, R(1, 100), R(3, 2)),
        (softplus(x - 1), 1, R(1, 100), 4),
        (sp.tan(x), 1, 1, 0),
        (sp.exp(x**3), 1, 1, 0),  # beats every Gaussian
        (1 / sp.cos(x), 1, 1, 0),
    ],
    ids=str,
)
def test_what_has_no_majorant_gets_none(expr: sp.Expr, side: int, start: sp.Expr, width: sp.Expr) -> None:
    with flint.ctx.workprec(64):
        found = half_strip_majorant(expr, side, arb(float(start)), arb(float(width)))
    assert found is None or not found.poly[0].is_finite()


def test_the_real_part_of_exp_turns_with_the_imaginary_part() -> None:
    """1 + exp(z) is nearer to 0 off the real axis."""
    expr = 1 / sp.sqrt(1 + sp.exp(x))
    with flint.ctx.workprec(64):
        majorant = half_strip_majorant(expr, 1, arb(0.5), arb(1.2))
        assert majorant is not None
        for height in (0.0, 0.6, 1.2):
            size = abs(1 / cmath.sqrt(1 + cmath.exp(0.5 + 1j * height)))
            assert size <= math.exp(float(log_bound(majorant, arb(0))))


@pytest.mark.parametrize("poly", [(1, 1), (2, 0, 5), (1, 0, 0, 7), (1, 0.1, 0, 0, 3), (3, 2, 1, 4, 1)])
def test_a_polynomial_stays_below_its_exponential(poly: tuple[float, ...]) -> None:
    with flint.ctx.workprec(64):
        rate = float(_exponential_rate(tuple(map(arb, poly))))
    t = np.geomspace(1e-6, 50, 2000)
    assert np.all(np.polyval(poly[::-1], t) <= poly[0] * np.exp(rate * t) * (1 + 1e-12))


@pytest.mark.parametrize("start", [0.5, 2.0, 5.0])
@pytest.mark.parametrize("width", [0.0, 0.7, 2.0])
def test_erfc_decays_as_its_majorant_says(start: float, width: float) -> None:
    """Against Faddeeva's function of another library: erfc(z) = exp(-z^2) w(i z)."""
    with flint.ctx.workprec(64):
        majorant = half_strip_majorant(sp.erfc(x), 1, arb(start), arb(width))
        assert majorant is not None
        assert majorant.quadratic < 0
        for t in (0.0, 0.3, 1.0, 4.0):
            for height in (-width, 0.0, width / 2, width):
                z = complex(start + t, height)
                size = abs(cmath.exp(-z * z) * wofz(1j * z))
                assert math.log(size) <= float(log_bound(majorant, arb(t))) + 1e-12


@pytest.mark.parametrize("poly", [(1,), (2, 0, 3), (0, 5), (1, 1, 1, 1)])
@pytest.mark.parametrize(("linear", "quadratic"), [(-0.5, 0.0), (0.0, -0.2), (-3.0, -1.0), (-0.01, 0.0)])
def test_suprema_are_reached_from_above(poly: tuple[int, ...], linear: float, quadratic: float) -> None:
    with flint.ctx.workprec(64):
        top = Majorant(arb(1), tuple(map(arb, poly)), arb(linear), arb(quadratic)).supremum()
    assert top is not None
    t = np.linspace(0, 1500, 400_001)
    values = np.polyval(poly[::-1], t) * np.exp(linear * t + quadratic * t * t)
    assert values.max() <= float(top) * (1 + 1e-12)
    assert float(top) <= len(poly) * 3 * values.max()


def test_growing_majorants_have_no_supremum() -> None:
    one = (arb(1),)
    for linear, quadratic in ((0.1, 0.0), (0.0, 0.1), (-1.0, 0.1), (0.1, -1.0)):
        assert Majorant(arb(1), one, arb(linear), arb(quadratic)).supremum() is None
    assert Majorant(arb(1), (arb(1), arb(1)), arb(0), arb(0)).supremum() is None
