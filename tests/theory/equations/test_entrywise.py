"""Entries as polynomials: true of exact pairs to the degree claimed, for every kernel, and equal to the four numbers.

The exact pairs are made without solving: the preactivations' variances tau^2 + T_i, tau^2 + T_j and covariance L give
G by Isserlis' theorem, and L = sigma_a^2 G + sigma_b^2 S gives S and the norms, all exact polynomials in epsilon.
"""

from __future__ import annotations

from functools import cache
from math import factorial
from typing import Any

import pytest
import sympy as sp
from mpmath import mp

from theory.equations import entrywise, kernel_coefficients
from theory.equations.entrywise import (
    EntrywiseExpansion,
    entry_moments,
    expand_entries,
    expand_with_kept_norms,
    monomials,
    pair_moment,
)
from theory.equations.orders import S_ij, delta_i, delta_j, derivative_moment, epsilon
from theory.kernels import Kernel
from theory.symbols import alpha, d1, sigma_a2, sigma_b2, tau, tau_0, x

WEIGHTS = {sigma_a2: sp.Rational(1, 5), sigma_b2: sp.Rational(3, 4)}
TAU2 = sp.Rational(9, 10)
#: T_i, T_j and L over epsilon; any numbers will do.
DIRECTIONS = {
    "general": (sp.Rational(1, 2), -sp.Rational(1, 3), sp.Rational(2, 5)),
    "equal norms": (sp.S.Zero, sp.S.Zero, sp.Rational(2, 5)),
}
PHI = {"general": x + x**2 / 10 + x**3 / 20, "odd": x - x**3 / 12}


@cache
def _isserlis(m: int, n: int, at: tuple[sp.Expr, sp.Expr, sp.Expr]) -> sp.Expr:
    """E[u^m v^n] for variances at[0], at[1] and covariance at[2], as a sum over the number of mixed pairs."""

    def pairs(k: int) -> sp.Expr:
        return sp.factorial2(k - 1)

    terms = (
        sp.binomial(m, k) * sp.binomial(n, k) * factorial(k) * at[2] ** k
        * pairs(m - k) * at[0] ** ((m - k) // 2) * pairs(n - k) * at[1] ** ((n - k) // 2)
        for k in range(min(m, n) + 1)
        if (m - k) % 2 == 0 and (n - k) % 2 == 0
    )  # fmt: skip
    return sp.expand(sp.Add(*terms))


def _pair(f: sp.Expr, g: sp.Expr, at: tuple[sp.Expr, sp.Expr, sp.Expr]) -> sp.Expr:
    left, right = sp.Poly(f, x), sp.Poly(g, x)
    return sp.expand(sp.Add(*(a * b * _isserlis(m, n, at) for (m,), a in left.terms() for (n,), b in right.terms())))


def _mean(f: sp.Expr, variance: sp.Expr) -> sp.Expr:
    return _pair(f, sp.S.One, (variance, sp.S.Zero, sp.S.Zero))


def _centred(name: str) -> sp.Expr:
    return PHI[name] - _mean(PHI[name], TAU2)


@cache
def _values(name: str, kernel: Kernel, degree: int, norms: bool) -> dict[sp.Symbol, Any]:
    """Exact values of all coefficients of a polynomial activation."""
    phi = _centred(name)
    values: dict[sp.Symbol, Any] = {**WEIGHTS, tau: sp.sqrt(TAU2)}
    for symbol, (derivative, power, order) in entry_moments(degree).items():
        values[symbol] = _mean(sp.diff(sp.diff(phi, x, derivative) ** power, x, order), TAU2)
    for symbol, expr in expand_entries(kernel, degree, norms=norms).definitions.items():
        values[symbol] = expr.subs(values)
    return values


class _Pair:
    """Two samples: their kernels and their data as polynomials in epsilon."""

    def __init__(self, name: str, direction: str) -> None:
        phi, (T_i, T_j, L) = _centred(name), DIRECTIONS[direction]
        slope = sp.diff(phi, x)
        a, b = WEIGHTS[sigma_a2], WEIGHTS[sigma_b2]
        self.variances = [TAU2 + T_i * epsilon, TAU2 + T_j * epsilon]
        self.L = L * epsilon
        self.G, self.Gdot = (_pair(f, f, (*self.variances, self.L)) for f in (phi, slope))
        self.G_ii, self.Gdot_ii = _mean(phi**2, self.variances[0]), _mean(slope**2, self.variances[0])
        tau02 = (TAU2 - a * _mean(phi**2, TAU2)) / b
        self.data = {S_ij: (self.L - a * self.G) / b}
        for delta, variance in zip((delta_i, delta_j), self.variances, strict=True):
            self.data[delta] = (variance - a * _mean(phi**2, variance)) / b - tau02


def _polynomial(found: EntrywiseExpansion, values: dict[sp.Symbol, Any], *, diagonal: bool) -> sp.Expr:
    if diagonal:
        return sp.Add(*(values[symbol] * delta_i**k for k, symbol in enumerate(found.diagonal)))
    return entrywise._ansatz(found.off_diagonal).subs(values)


def _defect(
    name: str,
    direction: str,
    kernel: Kernel,
    degree: int,
    *,
    norms: bool = True,
    diagonal: bool = False,
    wrong: sp.Symbol | None = None,
) -> list[sp.Expr]:
    """Coefficients by power of epsilon of exact entry less polynomial, an NTK's times 1 - sigma_a^2 Gdot."""
    pair, found = _Pair(name, direction), expand_entries(kernel, degree, norms=norms)
    values = dict(_values(name, kernel, degree, norms))
    if wrong is not None:
        values[wrong] += sp.Rational(1, 1000)
    G, L, Gdot = (pair.G_ii, pair.variances[0], pair.Gdot_ii) if diagonal else (pair.G, pair.L, pair.Gdot)
    gap = 1 - WEIGHTS[sigma_a2] * Gdot if kernel.is_tangent else sp.S.One
    exact = {
        Kernel.CK: G, Kernel.NTK_RECURRENT: G, Kernel.NTK_PREACTIVATION: L, Kernel.NTK_ALL: G * gap + L * Gdot,
    }[kernel]  # fmt: skip
    entry = _polynomial(found, values, diagonal=diagonal).subs(pair.data, simultaneous=True)
    polynomial = sp.Poly(sp.expand(exact - gap * entry), epsilon)
    return [polynomial.coeff_monomial(epsilon**k) for k in range(degree + 2)]


@pytest.mark.parametrize("name", PHI)
@pytest.mark.parametrize("diagonal", [False, True], ids=["off diagonal", "diagonal"])
@pytest.mark.parametrize("degree", [1, 2, 3])
@pytest.mark.parametrize("kernel", Kernel)
def test_entries_are_exact_to_the_degree(kernel: Kernel, degree: int, diagonal: bool, name: str) -> None:
    *lower, rest = _defect(name, "general", kernel, degree, diagonal=diagonal)
    assert lower == [0] * (degree + 1)
    assert rest != 0


@pytest.mark.parametrize("kernel", Kernel)
def test_equal_norms_allow_high_degrees(kernel: Kernel) -> None:
    assert _defect("general", "equal norms", kernel, 5, norms=False)[:-1] == [0] * 6
    assert _defect("general", "equal norms", kernel, 5, norms=False)[-1] != 0


@pytest.mark.parametrize("kernel", Kernel)
def test_a_coefficient_that_is_off_is_seen(kernel: Kernel) -> None:
    found = expand_entries(kernel, 3)
    for wrong in found.off_diagonal.values():
        assert any(_defect("general", "general", kernel, 3, wrong=wrong)[:-1]), wrong
    for wrong in found.diagonal:
        assert any(_defect("general", "general", kernel, 3, wrong=wrong, diagonal=True)[:-1]), wrong


@pytest.mark.parametrize("kernel", Kernel)
def test_the_four_numbers_are_among_the_coefficients(kernel: Kernel) -> None:
    found = expand_entries(kernel, 2)
    solved: dict[sp.Symbol, sp.Expr] = {}
    for symbol, expr in found.definitions.items():
        solved[symbol] = expr.subs(solved)
    ours = [solved[found.off_diagonal[each]] for each in ((1, 0, 0), (0, 1, 1), (2, 0, 0))]
    for one, other in zip([*ours, solved[found.diagonal[0]]], kernel_coefficients(kernel), strict=True):
        assert sp.cancel(sp.together(one - other)) == 0


def test_without_recurrence_it_is_the_hermite_series() -> None:
    """sigma_a = 0 and equal norms: the coefficient of S^k is c_k^2/tau_0^(2k), here of an exponential."""
    found = expand_entries(Kernel.CK, 5, norms=False)
    # E[phi^(k)(xi)] = e^(1/2) of phi = exp less its mean, for every k.
    known = {sigma_a2: 0, sigma_b2: 1} | {symbol: sp.exp(sp.Rational(1, 2)) for symbol in entry_moments(5)}
    for symbol, expr in found.definitions.items():
        known[symbol] = expr.subs(known)
    for (power, _, _), symbol in found.off_diagonal.items():
        assert known[symbol] == sp.E / factorial(power)


def test_halving_the_entries_divides_the_error_by_sixteen() -> None:
    first, second = (
        abs(sp.N(sum(c * sp.Rational(1, 2**k) ** power for power, c in enumerate(_long_defect())))) for k in (10, 11)
    )
    assert abs(first / second - 16) < mp.mpf("0.1")


def _long_defect() -> list[sp.Expr]:
    pair, found = _Pair("general", "general"), expand_entries(Kernel.CK, 3)
    entry = _polynomial(found, _values("general", Kernel.CK, 3, True), diagonal=False)
    polynomial = sp.Poly(sp.expand(pair.G - entry.subs(pair.data, simultaneous=True)), epsilon)
    return polynomial.all_coeffs()[::-1]


def test_odd_activations_have_odd_entries_alone() -> None:
    values = _values("odd", Kernel.CK, 3, True)
    for (s, _, _), symbol in expand_entries(Kernel.CK, 3).off_diagonal.items():
        assert (values[symbol] == 0) == (s % 2 == 0), symbol
    assert values[alpha[1]] == (d1**2 * sigma_b2 / (1 - sigma_a2 * d1**2)).subs(values)


def test_monomials_are_those_of_a_symmetric_centred_kernel() -> None:
    assert set(monomials(3)) - set(monomials(2)) == {(3, 0, 0), (2, 1, 0), (1, 2, 0), (1, 1, 1), (0, 2, 1)}
    assert list(monomials(3, norms=False)) == [(1, 0, 0), (2, 0, 0), (3, 0, 0)]


def test_a_degree_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="from 1 to 8"):
        expand_entries(Kernel.CK, 0)


def test_without_centring_there_is_no_expansion(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(entrywise.ExpansionError, match="off the diagonal"):
        entrywise._off_diagonal(S_ij + tau_0 * delta_i)


# --- every sample's own scale --------------------------------------------------------------------


def _kept_error(kernel: Kernel, degree: int, step: int, *, wrong: sp.Symbol | None = None) -> Any:
    """Exact entry less the series at epsilon = 2^-step, to many digits."""
    eps = sp.Rational(1, 2**step)
    pair, phi, found = _Pair("general", "general"), _centred("general"), expand_with_kept_norms(kernel, degree)
    G, L, Gdot, S = (sp.N(value.subs(epsilon, eps), 60) for value in (pair.G, pair.L, pair.Gdot, pair.data[S_ij]))
    a = WEIGHTS[sigma_a2]
    exact = {
        Kernel.CK: G,
        Kernel.NTK_RECURRENT: G / (1 - a * Gdot),
        Kernel.NTK_PREACTIVATION: L / (1 - a * Gdot),
        Kernel.NTK_ALL: G + L * Gdot / (1 - a * Gdot),
    }[kernel]
    values: dict[sp.Symbol, Any] = dict(WEIGHTS)
    for k in range(degree + 2):
        moments = [_mean(sp.diff(phi, x, k), variance).subs(epsilon, eps) for variance in pair.variances]
        values[pair_moment(k)] = sp.N(sp.prod(moments), 60)
    for symbol, expr in found.definitions.items():
        values[symbol] = expr.subs(values)
        if symbol == wrong:
            values[symbol] += sp.Rational(1, 1000)
    u_0 = values[pair_moment(0)]
    return exact - sp.Add(*(values[symbol] * S**s * u_0**m for (s, m), symbol in found.off_diagonal.items()))


@pytest.mark.parametrize("degree", [1, 2, 3, 4])
@pytest.mark.parametrize("kernel", Kernel)
def test_series_with_kept_norms_is_exact_to_the_degree(kernel: Kernel, degree: int) -> None:
    first, second = (_kept_error(kernel, degree, step) for step in (20, 21))
    assert abs(first / second - 2 ** (degree + 1)) < sp.Rational(1, 1000)


@pytest.mark.parametrize("kernel", Kernel)
def test_a_coefficient_of_the_series_that_is_off_is_seen(kernel: Kernel) -> None:
    for wrong in expand_with_kept_norms(kernel, 3).off_diagonal.values():
        first, second = (_kept_error(kernel, 3, step, wrong=wrong) for step in (20, 21))
        assert abs(first / second) < 15, wrong


@pytest.mark.parametrize("kernel", Kernel)
def test_equal_norms_make_the_two_expansions_one(kernel: Kernel) -> None:
    """delta = 0: tau_i = tau_j = tau_*, where u_0 = 0 and u_k = d_k^2."""
    plain, kept = expand_entries(kernel, 4, norms=False), expand_with_kept_norms(kernel, 4)
    values = _values("general", kernel, 4, False)
    own: dict[sp.Symbol, Any] = {**WEIGHTS, pair_moment(0): sp.S.Zero}
    own |= {pair_moment(k): values[derivative_moment(k)] ** 2 for k in range(1, 6)}
    for symbol, expr in kept.definitions.items():
        own[symbol] = expr.subs(own)
    for (power, _, _), symbol in plain.off_diagonal.items():
        assert own[kept.off_diagonal[power, 0]] == values[symbol]
    diagonal = kept.diagonal.subs(values)
    assert sp.simplify(diagonal - values[plain.diagonal[0]]) == 0
