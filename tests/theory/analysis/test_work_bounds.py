"""Work that is bounded by the size of what goes in, before SymPy begins."""

from __future__ import annotations

import mpmath
import pytest
import sympy as sp

from theory.activations import resolve
from theory.analysis import UndecidedError, compare, growth, tidying, zeros
from theory.functions import sigmoid, softplus
from theory.moments import GaussianExpectation, GaussianMoments
from theory.symbols import tau, x

LARGE = 10**10


def test_factoring_sees_no_power_of_high_degree(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[sp.Expr] = []
    factor = sp.factor

    def spy(expr: sp.Expr) -> sp.Expr:
        seen.append(expr)
        return factor(expr)

    monkeypatch.setattr(sp, "factor", spy)
    rate = sp.exp(sp.Rational(1, LARGE))
    for power in (sp.exp(LARGE * sp.pi), rate):
        expr = tau**2 * power + 2 * tau * power + power
        assert sp.expand(tidying.factored(expr) - expr) == 0
        assert tidying.factored(expr) == power * (tau + 1) ** 2
    assert all(tidying._degree(node) <= tidying.MAX_DEGREE for expr in seen for node in expr.atoms(sp.exp, sp.Pow))


def test_nearly_rational_constants_keep_their_closed_form() -> None:
    """E[f'^2] of exp(-(x + c)^2/2) cos x for c = 10^-5, against quadrature."""
    moments = GaussianMoments(resolve("exp(-(x+1/100000)**2/2)*cos(x)"))
    assert moments.is_closed(moments.slope_energy)
    shift = mpmath.mpf(1) / 100000

    def slope(u: mpmath.mpf) -> mpmath.mpf:
        return -mpmath.exp(-((u + shift) ** 2) / 2) * ((u + shift) * mpmath.cos(u) + mpmath.sin(u))

    right = mpmath.quad(lambda u: slope(0.9 * u) ** 2 * mpmath.npdf(u), mpmath.linspace(-10, 10, 21))
    assert abs(moments.slope_energy.subs(tau, sp.Rational(9, 10)).evalf(20) - sp.Float(str(right))) < 1e-12


def test_polynomials_of_high_degree_in_an_exponential_are_refused() -> None:
    with pytest.raises(UndecidedError):
        zeros(sp.exp(LARGE * x) + sp.exp(x) - 3)


def test_exponentials_of_constants_are_no_polynomials_in_one() -> None:
    with pytest.raises(UndecidedError):
        zeros(sp.erfc(x) + sp.exp(2) / (x**2 + 1) - 1)


def test_nested_functions_ask_for_each_bound_once() -> None:
    nested = x
    for _ in range(25):
        nested = sigmoid(nested)
    before = growth._bounds.cache_info().misses
    assert growth.upper_rate(nested, 1) == growth.Rate()
    assert growth._bounds.cache_info().misses - before <= 60


def test_nested_tanh_is_odd() -> None:
    assert resolve("tanh(" * 12 + "x" + ")" * 12).parity == -1


@pytest.mark.parametrize("argument", [sp.cos(1000), sp.sqrt(2) - 30, sp.Integer(-3000), sigmoid(sp.cos(3))])
def test_digits_of_sigmoid_and_softplus(argument: sp.Expr) -> None:
    with mpmath.workdps(40):
        u = mpmath.mpf(str(argument.evalf(45)))
        small = mpmath.exp(u) if u < -100 else None
        for function, right in (
            (sigmoid, 1 / (1 + mpmath.exp(-u))),
            (softplus, mpmath.log1p(mpmath.exp(u)) if small is None else small),
        ):
            found = mpmath.mpf(str(function(argument).evalf(30)))
            assert abs(found / right - 1) < mpmath.mpf(10) ** -27


def test_constants_with_cosines_are_compared() -> None:
    first, second = sigmoid(sp.cos(1000) + sp.E), sigmoid(sp.cos(1000) + 1)
    assert compare(first, second) == 1
    assert compare(second, first) == -1


def test_without_a_search_moments_stay_expectations() -> None:
    for text in ("exp(-x**2/2)", "Max(x, 0)", "x**2 + tanh(x)"):
        moments = GaussianMoments(resolve(text))
        moments.searching = False
        assert moments.second_moment.has(GaussianExpectation)
        assert moments.slope_energy.has(GaussianExpectation)
