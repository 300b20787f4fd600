"""The algebra of terms against SymPy's: read, added, multiplied, dilated and differentiated."""

from __future__ import annotations

import pytest
import sympy as sp

from theory.analysis import terms
from theory.analysis.terms import Shape, TermSum, WorkLimitError, as_terms, without_erf
from theory.symbols import x

A = sp.Symbol("a", positive=True)
PLACE = {x: sp.Rational(3, 7), A: sp.Rational(5, 4)}
MEMBERS = [
    sp.Integer(5),
    x,
    (x + 2) ** 3 - A * x,
    sp.exp(-A * x**2 + 2 * x - 1),
    x**2 * sp.exp(3 * x),
    sp.sin(2 * x + 1),
    sp.cos(2 * x + 1),
    sp.sinh(A * x + 1),
    sp.cosh(A * x - 1),
    sp.erf(2 * x + 1),
    sp.erf(1 - 2 * x),
    sp.erfc(A * x + 1),
    sp.erfc(1 - x),
    x * sp.erf(x) * sp.erf(2 * x - 1) + sp.exp(-(x**2)),
    (x + sp.erf(x)) ** 2,
]
OTHERS = [
    sp.log(x), sp.sqrt(x), 1 / x, x**A, sp.exp(x**3), sp.exp(sp.exp(x)), sp.sin(x**2), sp.erf(x**2), sp.erf(sp.exp(x)),
    x + sp.log(x), x * sp.log(x), sp.log(x) ** 2,
]  # fmt: skip


def _expression(total: TermSum) -> sp.Expr:
    return sp.Add(
        *(
            c * x**s.power * sp.exp(s.quadratic * x**2 + s.linear * x) * sp.Mul(*(sp.erf(a * x + b) for a, b in s.erfs))
            for s, c in total.terms.items()
        )
    )


def _read(expr: sp.Expr) -> TermSum:
    found = as_terms(expr)
    assert found is not None
    return found


def _same(total: TermSum, expr: sp.Expr) -> bool:
    return bool(abs(sp.N((_expression(total) - expr).subs(PLACE), 30, maxn=200, chop=True)) < 1e-25)


@pytest.mark.parametrize("expr", MEMBERS, ids=str)
def test_members_are_read(expr: sp.Expr) -> None:
    found = _read(expr)
    assert _same(found, expr)
    assert _same(found.derivative(), sp.diff(expr, x))
    assert _same(found.dilated(A), expr.subs(x, A * x))
    assert _same(found.times_power_of_x(3), x**3 * expr)
    assert _same(found.power(3), expr**3)
    assert _same(found.power(0), sp.S.One)


@pytest.mark.parametrize("expr", OTHERS, ids=str)
def test_others_are_none(expr: sp.Expr) -> None:
    assert as_terms(expr) is None


@pytest.mark.parametrize("left", MEMBERS[2:], ids=str)
def test_sums_and_products(left: sp.Expr) -> None:
    for right in (MEMBERS[3], MEMBERS[9]):
        assert _same(_read(left) + _read(right), left + right)
        assert _same(_read(left) * _read(right), left * right)


def test_equal_functions_have_equal_terms() -> None:
    assert _read(sp.erf(x) * sp.erf(2 * x)).terms == _read(sp.erf(2 * x) * sp.erf(x)).terms
    assert _read(sp.erf(-x)).terms == _read(-sp.erf(x)).terms
    assert (_read(sp.erf(1 - x)) + _read(sp.erf(x - 1))).terms == {}
    assert (_read(sp.exp(x)) * _read(sp.exp(-x))).terms == TermSum.constant(sp.S.One).terms


def test_an_error_function_becomes_the_density_of_its_derivative() -> None:
    """d/dx erf(a x + b) = (2 a/sqrt(pi)) exp(-(a x + b)^2), here at the second of two."""
    shape = Shape(1, sp.S(-2), sp.S(3), ((sp.S(1), sp.S(5)), (sp.S(2), sp.S(7))))
    replaced, factor = without_erf(shape, 1)
    assert (replaced.power, replaced.erfs) == (1, ((1, 5),))
    whole = replaced.quadratic * x**2 + replaced.linear * x + sp.log(factor)
    assert sp.expand(whole - (-2 * x**2 + 3 * x - (2 * x + 7) ** 2)) == 0


def test_more_terms_than_are_worth_it_are_refused() -> None:
    powers = [(Shape(k, sp.S.Zero, sp.S.Zero, ()), sp.S.One) for k in range(terms.MAX_TERMS + 1)]
    largest = TermSum(powers[:-1])
    assert len(largest.terms) == terms.MAX_TERMS
    with pytest.raises(WorkLimitError, match="300 terms"):
        TermSum(powers)
    hundred = TermSum(powers[:100])
    assert len((hundred * hundred).terms) == 199
    with pytest.raises(WorkLimitError, match="10000 products"):
        hundred * TermSum(powers[:101])
    assert as_terms((x + 1) ** terms.MAX_TERMS) is None
