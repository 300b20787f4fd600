"""Stein's identities, against the means of a polynomial and its derivatives at every scale."""

from __future__ import annotations

import pytest
import sympy as sp

from theory.moments import RAW_MOMENTS, SLOPE_FORMS, SLOPE_MOMENTS, STEIN_FORMS
from theory.symbols import d1, d2, d22, mean, tau, variance, x

_C = sp.symbols("c:4", real=True)
F = sp.Add(*(c * x**k for k, c in enumerate(_C)))


def _mean(f: sp.Expr, power: int = 0) -> sp.Expr:
    """E[xi^power f(tau xi)]: E[xi^k] = (k - 1)!! for even k."""
    terms = sp.Poly(sp.expand(f), x).terms()
    return sp.Add(*(c * tau**k * sp.factorial2(k + power - 1) for (k,), c in terms if (k + power) % 2 == 0))


PHI = F - _mean(F)
MOMENTS = {
    mean: _mean(F),
    variance: _mean(PHI**2),
    d1: _mean(sp.diff(PHI, x)),
    d2: _mean(sp.diff(PHI, x, 2)),
    d22: _mean(sp.diff(PHI**2, x, 2)),
}
RAW = {symbol: _mean(F**j, k) for (k, j), symbol in RAW_MOMENTS.items()}
SLOPES = {
    SLOPE_MOMENTS["slope"]: _mean(sp.diff(F, x)),
    SLOPE_MOMENTS["xi slope"]: _mean(sp.diff(F, x), 1),
    SLOPE_MOMENTS["xi value slope"]: _mean(F * sp.diff(F, x), 1),
    mean: _mean(F),
}


@pytest.mark.parametrize("moment", MOMENTS, ids=str)
def test_moments_from_raw_ones(moment: sp.Symbol) -> None:
    assert sp.expand(STEIN_FORMS[moment].subs(RAW) - MOMENTS[moment]) == 0


@pytest.mark.parametrize("moment", SLOPE_FORMS, ids=str)
def test_moments_from_those_of_the_slope(moment: sp.Symbol) -> None:
    assert sp.expand(SLOPE_FORMS[moment].subs(SLOPES) - MOMENTS[moment]) == 0
