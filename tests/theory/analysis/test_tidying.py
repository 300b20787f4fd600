"""Shorter forms are equal to what they are made of, and are those that one would write by hand."""

from __future__ import annotations

import pytest
import sympy as sp

from theory.analysis.tidying import (
    MAX_DEGREE,
    expand_outside,
    expanded_terms,
    factor_outside,
    factored,
    shortest,
    tidy,
    without_imaginary_unit,
)
from theory.symbols import tau

A, B, C = sp.symbols("a b c", positive=True)
PLACE = {tau: sp.Rational(7, 5), A: sp.Rational(2, 3), B: sp.Rational(5, 4), C: sp.Rational(9, 8)}
ROOT = sp.sqrt(1 + tau**2)


def _same(one: sp.Expr, other: sp.Expr) -> bool:
    return bool(abs(sp.N((one - other).subs(PLACE), 30, maxn=200, chop=True)) < 1e-25)


@pytest.mark.parametrize(
    ("long", "short"),
    [
        (A * sp.exp(-B) + tau * sp.exp(-B), (A + tau) * sp.exp(-B)),
        (A**2 * sp.exp(B) - sp.exp(B) * (A - 1) * (A + 1), sp.exp(B)),
        (sp.erf(A) + sp.erfc(A), sp.S.One),
        (tau**2 * sp.erfc(A) + tau**2 * sp.erf(A) + B, tau**2 + B),
        (tau**2 / ROOT + 1 / ROOT, ROOT),
        (tau**2 / (1 + tau**2) + 1 / (1 + tau**2), sp.S.One),
        (1 / (1 + tau**2) - 1 / (1 + tau**2) ** 2, tau**2 / (1 + tau**2) ** 2),
        (sp.exp(sp.I * A) + sp.exp(-sp.I * A), 2 * sp.cos(A)),
        (A, A),
        (sp.sqrt(2) * A * ROOT + sp.sqrt(2) * B * ROOT, sp.sqrt(2) * (A + B) * ROOT),
    ],
)
def test_by_hand(long: sp.Expr, short: sp.Expr) -> None:
    found = tidy(long)
    assert _same(found, long)
    assert found.count_ops() <= short.count_ops()


@pytest.mark.parametrize(
    "expr",
    [
        tau**2 * sp.erf(A) + sp.erfc(A) * tau + sp.exp(-A),
        ROOT * (A + 1 / ROOT) ** 3 + sp.erf(A / ROOT) * (B - ROOT),
        (A - B) / (B - A) ** 2 + 1 / (A + B),
        sp.Add(*(A**k * sp.exp(k * B) for k in range(130))),
        (A + B + C + tau) ** 9 + sp.exp(A),
        sp.sqrt(A + sp.sqrt(B + tau)) * (1 + A) / (A + sp.sqrt(B + tau)),
    ],
    ids=lambda expr: str(expr)[:40],
)
def test_other_forms_are_equal(expr: sp.Expr) -> None:
    assert _same(tidy(expr), expr)


@pytest.mark.parametrize(
    ("expr", "terms"),
    [
        (A, 1),
        (A + B, 2),
        ((A + B) * (A - C), 4),
        ((A + B) ** 3, 4),
        ((A + B + C) ** 2, 6),
        ((A + B) ** -2, 3),
        (sp.sqrt(A + B), 1),
        (A * (B + C) ** 2 + 1, 4),
        (sp.exp(A + B), 1),
    ],
)
def test_terms_when_multiplied_out(expr: sp.Expr, terms: int) -> None:
    assert expanded_terms(expr) == terms


def test_the_first_of_the_shortest() -> None:
    assert shortest(A + B + C, A + B, B + C) == A + B


def test_functions_are_left_as_they_are_inside() -> None:
    inside = sp.exp((A + B) * C)
    assert expand_outside((A + B) * inside) == A * inside + B * inside
    assert factor_outside(A * C + A * sp.exp(A * B + A * C)) == A * (C + sp.exp(A * B + A * C))


def test_steep_powers_are_factored_as_symbols() -> None:
    steep = sp.exp(10**10 * A)
    assert sp.expand(factored(steep**2 - steep) - steep**2 + steep) == 0
    assert factored(A**2 - B**2) == (A - B) * (A + B)
    assert factored(sp.exp(2 * MAX_DEGREE * A) - 1).is_Add
    assert factored(sp.exp(2 * A) - 1) == (sp.exp(A) - 1) * (sp.exp(A) + 1)


@pytest.mark.parametrize(
    ("expr", "expected"),
    [
        (sp.exp(sp.I * A * tau) + sp.exp(-sp.I * A * tau), 2 * sp.cos(A * tau)),
        ((sp.exp(sp.I * A) - sp.exp(-sp.I * A)) / (2 * sp.I), sp.sin(A)),
        (sp.exp(B + sp.I * A) + sp.exp(B - sp.I * A), 2 * sp.exp(B) * sp.cos(A)),
        (-sp.I * sp.erf(sp.I * A), sp.erfi(A)),
        (1 / (1 + sp.I * A) + 1 / (1 - sp.I * A), 2 / (1 + A**2)),
        (1 / (1 + sp.I * A) ** 2 + 1 / (1 - sp.I * A) ** 2, 2 * (1 - A**2) / (1 + A**2) ** 2),
        (A + B, A + B),
    ],
)
def test_conjugate_pairs_become_real(expr: sp.Expr, expected: sp.Expr) -> None:
    found = without_imaginary_unit(expr)
    assert not found.has(sp.I)
    assert _same(found, expected)
    assert _same(found, expr)


def test_the_complement_of_an_imaginary_error_function() -> None:
    """erfc(i a) = 1 - i erfi(a): the imaginary part goes with that of its conjugate."""
    assert without_imaginary_unit(sp.erfc(sp.I * A) + sp.erfc(-sp.I * A)) == 2
