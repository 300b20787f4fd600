"""Closed forms of truncated Gaussian integrals against quadrature, and where there is none."""

from __future__ import annotations

from typing import Any

import pytest
import sympy as sp
from mpmath import mp

from theory.analysis import Shape, TermSum, WorkLimitError, as_terms
from theory.moments import integrals
from theory.moments.integrals import gaussian_integral, half_line_power
from theory.symbols import x

HALF, THIRD = sp.S.Half, sp.Rational(1, 3)
WHOLE, RIGHT, LEFT = (-sp.oo, sp.oo), (sp.S.Zero, sp.oo), (-sp.oo, sp.S.Zero)
FROM, UNTO, BETWEEN = (-THIRD, sp.oo), (-sp.oo, HALF), (-sp.S.One, sp.Integer(2))
INTEGRANDS = [
    (sp.S.One, FROM),
    (x**2, WHOLE),
    (x**5, WHOLE),
    (x, FROM),
    (x**3, FROM),
    (x**2, UNTO),
    (x**3, UNTO),
    (x**4, BETWEEN),
    (sp.exp(x / 3), WHOLE),
    (x**3 * sp.exp(x / 3), WHOLE),
    (x**2 * sp.exp(x / 3 - x**2), FROM),
    (x**2 * sp.exp(x**2 / 4 - x), UNTO),
    (x * sp.exp(x**2 / 4 - x), BETWEEN),
    (sp.exp(x**2 / 2), BETWEEN),
    (x**3 * sp.exp(x**2 / 2), BETWEEN),
    (sp.exp(x**2 / 2 + 2 * x), BETWEEN),
    (x**3 * sp.exp(x**2 / 2 - x / 3), BETWEEN),
    (sp.erf(2 * x), WHOLE),
    (sp.erf(2 * x + 1), WHOLE),
    (sp.erf(2 * x + 1) * sp.exp(x / 2 - x**2), WHOLE),
    (x**3 * sp.erf(2 * x), WHOLE),
    (x**2 * sp.erf(x / 2 - 1), WHOLE),
    (sp.erf(2 * x), RIGHT),
    (sp.erf(2 * x), LEFT),
    (x**2 * sp.erf(x / 2), RIGHT),
    (x**3 * sp.erf(3 * x), LEFT),
    (x * sp.erf(x + 1), FROM),
    (x * sp.erf(x - 1), UNTO),
    (x * sp.erf(x / 2), BETWEEN),
    (sp.erf(x) * sp.erf(2 * x), WHOLE),
    (sp.erf(x) * sp.erf(2 * x), RIGHT),
    (sp.erf(x) * sp.erf(2 * x), LEFT),
    (x**2 * sp.erf(x) ** 2, WHOLE),
    (x**2 * sp.erf(x) ** 2, RIGHT),
    (x * sp.erf(x) ** 2 * sp.exp(-(x**2)), WHOLE),
    (sp.erf(x) ** 3, WHOLE),
    (sp.cos(2 * x), WHOLE),
    (x * sp.sin(2 * x), WHOLE),
    (sp.sinh(x) * x, FROM),
]


def _closed(f: sp.Expr, interval: tuple[sp.Expr, sp.Expr]) -> sp.Expr | None:
    terms = as_terms(f)
    assert terms is not None
    return gaussian_integral(terms, *interval)


def _quadrature(f: sp.Expr, interval: tuple[sp.Expr, sp.Expr]) -> Any:
    density = sp.lambdify(x, f * sp.exp(-(x**2) / 2) / sp.sqrt(2 * sp.pi), "mpmath")
    low, high = (mp.mpf(-40 if end is -sp.oo else 40 if end is sp.oo else sp.N(end, 40)) for end in interval)
    return mp.quad(density, [low, *(mp.mpf(k) for k in range(-10, 11, 2) if low < k < high), high])


@pytest.mark.parametrize(("f", "interval"), INTEGRANDS, ids=str)
def test_closed_forms_are_the_integrals(f: sp.Expr, interval: tuple[sp.Expr, sp.Expr]) -> None:
    found = _closed(f, interval)
    assert found is not None
    with mp.workdps(25):
        assert abs(sp.N(found, 40, chop=True) - _quadrature(f, interval)) < mp.mpf(10) ** -20


def test_parameters_may_be_symbols() -> None:
    """E[exp(a xi)] = exp(a^2/2), E[xi^2 exp(-a xi^2)] = (1 + 2a)^(-3/2), and a mass between symbols."""
    a = sp.Symbol("a", positive=True)
    assert sp.simplify(_closed(sp.exp(a * x), WHOLE) - sp.exp(a**2 / 2)) == 0
    assert sp.simplify(_closed(x**2 * sp.exp(-a * x**2), WHOLE) - (1 + 2 * a) ** sp.Rational(-3, 2)) == 0
    assert sp.simplify(_closed(sp.S.One, (-a, a)) - sp.erf(a / sp.sqrt(2))) == 0
    assert sp.simplify(_closed(x, (a, 2 * a)) - (sp.exp(-(a**2) / 2) - sp.exp(-2 * a**2)) / sp.sqrt(2 * sp.pi)) == 0
    assert sp.simplify(_closed(sp.erf(a * x) ** 2, WHOLE) - 2 * sp.asin(2 * a**2 / (1 + 2 * a**2)) / sp.pi) == 0


@pytest.mark.parametrize(
    ("f", "interval"),
    [
        (sp.erf(x), FROM),
        (sp.erf(x + 1), RIGHT),
        (sp.erf(x), BETWEEN),
        (sp.erf(x) * sp.erf(2 * x), FROM),
        (sp.erf(x + 1) * sp.erf(2 * x), WHOLE),
        (sp.erf(x) ** 3, RIGHT),
        (sp.erf(x) ** 4, WHOLE),
        (sp.erf(x) * sp.exp(x), RIGHT),
        (sp.erf(x) * sp.exp(x**2 / 2), BETWEEN),
        (x * sp.erf(x) * sp.erf(2 * x), FROM),
    ],
    ids=str,
)
def test_what_is_not_elementary_has_no_closed_form(f: sp.Expr, interval: tuple[sp.Expr, sp.Expr]) -> None:
    assert _closed(f, interval) is None


@pytest.mark.parametrize("exponent", [0, 1, 2, 3, HALF, -HALF, sp.Rational(7, 3)])
def test_powers_on_a_half_line(exponent: sp.Expr) -> None:
    found = half_line_power(sp.sympify(exponent))
    with mp.workdps(25):
        # xi = u^2 removes the singularity at 0.
        s = mp.mpf(sp.N(exponent, 40))
        value = mp.quad(lambda u: 2 * u ** (2 * s + 1) * mp.exp(-(u**4) / 2) / mp.sqrt(2 * mp.pi), [0, 1, 2, 4])
        assert abs(sp.N(found, 40) - value) < mp.mpf(10) ** -18


def test_closed_forms_that_nobody_reads_are_refused() -> None:
    most = integrals.MAX_CLOSED_TERMS
    powers = [(Shape(0, sp.S.Zero, sp.Integer(k), ()), sp.S.One) for k in range(most + 1)]
    assert gaussian_integral(TermSum(powers[:-1]), *WHOLE) is not None
    with pytest.raises(WorkLimitError, match=f"more than {most} terms"):
        gaussian_integral(TermSum(powers), *WHOLE)
    with pytest.raises(WorkLimitError, match="a closed form with more than"):
        gaussian_integral(TermSum(powers[:100]), *BETWEEN)
