"""Bounds of Gaussian integrals over strips, tails and stretches, against the integrals themselves."""

from __future__ import annotations

import flint
import mpmath
import pytest
import sympy as sp
from flint import arb

from numerics.moments import PieceBounds
from tests.oracles import function_of
from theory.symbols import x

R = sp.Rational


def bounds_of(expr: sp.Expr) -> PieceBounds:
    return PieceBounds(expr, sp.diff(expr, x))


def number(ball: arb) -> mpmath.mpf:
    """The upper end."""
    return mpmath.mpf(ball.upper().str(20, radius=False)) * (1 + mpmath.mpf(10) ** -15)


@pytest.mark.parametrize("ratio", ["0.9", "0.95", "1", "1.05", "1.1"])
@pytest.mark.parametrize("side", [1, -1])
def test_tails_hold_at_every_scale_of_a_wide_ball(side: int, ratio: str) -> None:
    """A narrow bump just beyond a power of two, where the majorant begins for some of the scales only."""
    expr = sp.cos(side * x - R(42, 5)) ** 200
    with flint.ctx.workprec(64):
        found = bounds_of(expr).tail(side, arb(1, arb("0.1")), arb(7), 0)
        thin = bounds_of(expr).tail(side, arb(ratio), arb(7), 0)
    assert found is not None
    assert thin is not None
    scale = mpmath.mpf(ratio)

    def density(xi: mpmath.mpf) -> mpmath.mpf:
        return mpmath.cos(scale * xi - 8.4) ** 200 * mpmath.npdf(xi)

    peak = mpmath.mpf(8.4) / scale
    mass = mpmath.quad(density, [7, peak - 0.2, peak, peak + 0.2, peak + 1, peak + 4])
    assert mass <= number(thin[0])
    assert mass <= number(found[0])


LINES = [sp.tanh(x), sp.exp(x / 2) * sp.sin(x), 1 / (1 + x**2 / 2) + x, sp.log(2 + x**2), sp.exp(-(x**2)) * x**3]


@pytest.mark.parametrize("expr", LINES, ids=str)
@pytest.mark.parametrize(("scale", "power"), [("0.3", 0), ("2.5", 6)])
def test_line_integrals_bound_the_integrals_along_the_line(expr: sp.Expr, scale: str, power: int) -> None:
    """What the trapezoidal rule's error rests on: the integral of |xi^k f(tau xi)^j exp(-xi^2/2)| off the axis."""
    forms = [(expr, 1), (expr, 2), (sp.diff(expr, x), 2)]
    with flint.ctx.workprec(64):
        tables = bounds_of(expr).strips()
        assert len(tables) >= 4
        for table in (tables[0], tables[-1]):
            shift = (table.half_width / arb(scale)).lower().min(arb(3))
            for (form, order), bound in zip(forms, table.line_integral(arb(scale), shift, power), strict=True):
                height = mpmath.mpf(shift.str(30, radius=False))

                def size(
                    u: mpmath.mpf, form: sp.Expr = form, order: int = order, height: mpmath.mpf = height
                ) -> mpmath.mpf:
                    xi = mpmath.mpc(u, height)
                    value = abs(function_of(form)(xi * mpmath.mpf(scale))) ** order
                    return value * abs(xi) ** power * abs(mpmath.exp(-xi * xi / 2)) / mpmath.sqrt(2 * mpmath.pi)

                total = mpmath.quad(size, [-14, -6, -3, -1, 0, 1, 3, 6, 14], maxdegree=5)
                assert total <= number(bound)
