r"""Power series of a kernel's entries in epsilon = p^{-1/2}, and what Gaussian expectations do to them.

Off the diagonal S_ij is of order epsilon, and so is delta_i = ||x_i||^2 - tau_0^2 (theory sheet, section 4): an entry
of a kernel is a polynomial in S_ij, delta_i and delta_j, ordered by its degree; an entry on the diagonal is one in
delta_i.  Kernels are combined entry by entry, so sums and products of series are all that a recursion needs, but for
one thing: the Gaussian expectation.  If (u_i, u_j) has variances tau^2 + T_i, tau^2 + T_j and covariance L, then

  E[f(u_i) g(u_j)] = exp(T_i D_i^2/2 + T_j D_j^2/2 + L D_i D_j) f g  at independent u_i, u_j of variance tau^2,

with D_i, D_j the derivatives of f and g: the heat equation d/dtau^2 E[f(tau xi)] = E[f''(tau xi)]/2 and Price's theorem
d/dL E[f(u_i) g(u_j)] = E[f'(u_i) g'(u_j)] together.  In Hermite coefficients it is the series
sum_k c_k(tau_i) c_k(tau_j) rho^k with c_k(tau_i) expanded about tau.  Derivatives are weak ones, so kinks are covered.

The same operator serves where L tends to q instead of 0: L - q is in its exponent, and the expectations are of u_i and
u_j with covariance q.  ``Moments`` says which of the two it is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import sympy as sp

from theory.symbols import d1, d2, d22, dd, tau_0, variance

__all__ = [
    "BASIS",
    "CENTRED",
    "GRAM",
    "ORDER",
    "EntrySeries",
    "ExpansionError",
    "Moments",
    "S_ij",
    "coefficient",
    "delta_i",
    "delta_j",
    "derivative_moment",
    "dual",
    "epsilon",
    "square_moment",
]

#: Entries are kept up to this order: a matrix with entries O(epsilon^3) has Frobenius norm O(n epsilon^3) = O(epsilon).
ORDER = 2
#: p^{-1/2}.
epsilon = sp.Symbol("epsilon", positive=True)
#: Entry of S = X^T X off the diagonal, order 1.
S_ij = sp.Symbol("S_ij", real=True)
#: Deviations of the squared norms, ||x_i||^2 - tau_0^2, order 1.
delta_i, delta_j = sp.symbols("delta_i delta_j", real=True)
_VARIABLES = (S_ij, delta_i, delta_j)
#: The symmetric functions of i and j that an entry off the diagonal can contain, by ascending order.
BASIS: tuple[sp.Expr, ...] = (
    S_ij,
    delta_i + delta_j,
    S_ij**2,
    delta_i * delta_j,
    delta_i**2 + delta_j**2,
    S_ij * (delta_i + delta_j),
)
#: Derivatives of phi and of its square under the expectation, as formal powers (see the module's first lines).
_D_i, _D_j = sp.symbols("D_i D_j")


class ExpansionError(ValueError):
    """A recursion whose expansion does not have the form assumed, with the term that is in the way."""


def derivative_moment(order: int) -> sp.Expr:
    """E[phi^{(order)}(tau xi)] of the unspecified centred activation: 0, d_1, d_2, d_3, ..."""
    return {0: sp.S.Zero, 1: d1, 2: d2}.get(order, sp.Symbol(f"d_{order}", real=True))


def square_moment(derivative: int, order: int) -> sp.Expr:
    """E[(f^2)^{(order)}(tau xi)], order even, of f = phi (``derivative`` 0: v, d_22, d_24) or phi' (1: d_d, d_d2)."""
    if derivative == 0:
        return {0: variance, 2: d22}.get(order, sp.Symbol(f"d_2{order}", real=True))
    return dd if order == 0 else sp.Symbol(f"d_d{order}", real=True)


@dataclass(frozen=True)
class Moments:
    """What the expectations of one activation's derivatives are called.

    Attributes:
        pair: from (m, k) to E[phi^(m)(u_i) phi^(k)(u_j)], u_i and u_j of variance tau^2 and the covariance's limit.
        square: from (d, m), m even, to E[((phi^(d))^2)^(m)(tau xi)].
        centred: whether u_i and u_j are independent and E[phi] is 0.
    """

    pair: Callable[[int, int], sp.Expr]
    square: Callable[[int, int], sp.Expr]
    centred: bool


#: Of an activation that is centred at tau, where correlations vanish.
CENTRED = Moments(lambda m, k: derivative_moment(m) * derivative_moment(k), square_moment, centred=True)


def _truncated(expr: sp.Expr, order: int) -> sp.Expr:
    polynomial = sp.Poly(expr, *_VARIABLES)
    kept = ((powers, factor) for powers, factor in polynomial.terms() if sum(powers) <= order)
    return sp.Add(*(factor * sp.prod(v**k for v, k in zip(_VARIABLES, powers, strict=True)) for powers, factor in kept))


def coefficient(expr: sp.Expr, term: sp.Expr) -> sp.Expr:
    """Coefficient of a term of ``BASIS``, of a power of delta_i or of 1 in a polynomial of the entries.

    Args:
        expr: polynomial in S_ij, delta_i, delta_j.
        term: monomial, or a sum of two that exchanging i and j turns into one another.

    Raises:
        ExpansionError: the two monomials have different coefficients: the kernel is not symmetric.
    """
    polynomial = sp.Poly(expr, *_VARIABLES)
    factors = {polynomial.coeff_monomial(monomial) for monomial in sp.Add.make_args(sp.expand(term))}
    if len(factors) > 1:
        raise ExpansionError(f"not symmetric in i and j: the parts of {term} have the coefficients {factors}")
    return factors.pop()


@dataclass(frozen=True)
class EntrySeries:
    """The entries of a symmetric n x n kernel up to a power of epsilon.

    Attributes:
        off_diagonal: entry (i, j), i != j, a polynomial in S_ij, delta_i, delta_j.
        diagonal: entry (i, i), a polynomial in delta_i.
        order: the highest power of epsilon that products and expectations keep.
    """

    off_diagonal: sp.Expr
    diagonal: sp.Expr
    order: int = ORDER

    def __add__(self, other: EntrySeries) -> EntrySeries:
        """Return the sum."""
        return replace(
            self, off_diagonal=self.off_diagonal + other.off_diagonal, diagonal=self.diagonal + other.diagonal
        )

    def scaled(self, factor: sp.Expr) -> EntrySeries:
        """Return a multiple; the factor is free of the entries."""
        return replace(self, off_diagonal=factor * self.off_diagonal, diagonal=factor * self.diagonal)

    def hadamard(self, other: EntrySeries) -> EntrySeries:
        """Return the entrywise product."""
        off_diagonal = _truncated(self.off_diagonal * other.off_diagonal, self.order)
        return replace(self, off_diagonal=off_diagonal, diagonal=_truncated(self.diagonal * other.diagonal, self.order))


#: S = X^T X itself.
GRAM = EntrySeries(S_ij, tau_0**2 + delta_i)


def _exponential(generator: sp.Expr, order: int) -> sp.Poly:
    """exp of the generator, whose every term is at least of order 1, up to epsilon^order."""
    factor = sp.Poly(generator, *_VARIABLES, _D_i, _D_j)
    total = power = factor.one
    for k in range(1, order + 1):
        product = power * factor
        kept = {powers: part / k for powers, part in product.terms() if sum(powers[: len(_VARIABLES)]) <= order}
        power = sp.Poly(kept, *factor.gens)
        total += power
    return total


def _expectation(operator: sp.Poly, moment: Callable[[int, int], sp.Expr]) -> sp.Expr:
    """Replace D_i^m D_j^k by a moment in every term."""
    terms = (
        factor * sp.prod(v**n for v, n in zip(_VARIABLES, powers, strict=True)) * moment(m, k)
        for (*powers, m, k), factor in operator.terms()
    )
    return sp.expand(sp.Add(*terms))


def dual(preactivation: EntrySeries, derivative: int = 0, moments: Moments = CENTRED) -> EntrySeries:
    """E[f(u_i) f(u_j)] for f = phi (``derivative`` 0) or f = phi' (1) and u ~ N(0, preactivation).

    The moments in the result are at tau^2 = the preactivation's diagonal at delta_i = 0, where phi is centred if it is,
    and at the limit of the preactivation's entries off the diagonal.

    Args:
        preactivation: the covariance of u.
        derivative: 0 or 1.
        moments: names of the expectations.

    Raises:
        ExpansionError: the preactivation's entries off the diagonal do not vanish with epsilon, and the moments are of
            independent u_i and u_j.
    """
    limit = coefficient(preactivation.off_diagonal, sp.S.One)
    if moments.centred and limit != 0:
        raise ExpansionError(f"the correlations must vanish with epsilon, unlike {preactivation.off_diagonal}")
    excess_i = preactivation.diagonal - coefficient(preactivation.diagonal, sp.S.One)
    excess_j = excess_i.subs(delta_i, delta_j)
    heat_i, heat_j = excess_i * _D_i**2 / 2, excess_j * _D_j**2 / 2
    order, cross = preactivation.order, (preactivation.off_diagonal - limit) * _D_i * _D_j
    off_diagonal = _expectation(
        _exponential(heat_i + heat_j + cross, order),
        lambda m, k: moments.pair(m + derivative, k + derivative),
    )
    diagonal = _expectation(_exponential(heat_i, order), lambda m, _: moments.square(derivative, m))
    return replace(preactivation, off_diagonal=off_diagonal, diagonal=diagonal)
