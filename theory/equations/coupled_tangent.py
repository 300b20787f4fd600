"""The NTKs of several states expanded: what adjoint kernels and products do to the entries' coefficients.

Theory sheet, section 8.  With Gdot^(r)_ij = E[phi_r'(u_i) phi_r'(u_j)] and the adjoint kernels, entry by entry,

  B^(r) = Gdot^(r) Y^(r),   Y^(r) = 1[r is read out] + sum_q sigma_qr^2 B^(q),

the NTK is G of the state that is read out plus sum_r B^(r) M^(r), M^(r) the part of L^(r) whose weights are trained.
The coefficient of every monomial of B is gain y + rest, y the same one's of Y and rest a function of those before it:
with D = diag(E[phi'(u) phi'(v)]) the states meet in one linear system for all monomials,

  y = (I - Sigma2^T D)^{-1} (1[constant] e + Sigma2^T rest),

e the unit vector of the readout: the resolvent of the derivative maps.  On the diagonal D holds E[phi'^2].  Where every
state is centred and none has a bias M^(r) has no constant, and with d_1, d_2 by state, entry by entry,

  y_0 = (I - Sigma2^T D)^{-1} e,       y_1 = (I - Sigma2^T D)^{-1} Sigma2^T (d_2^2 lambda_1 y_0),
  theta_k = alpha_k + (d_1^2 y_0) . m_k   (k = 1, 2),
  theta_3 = alpha_3 + (d_1^2 y_0) . m_3 + (d_2^2 lambda_1 y_0 + d_1^2 y_1) . m_1,

m_k the coefficients of M.  For one state these are those of ``theory.equations.ntk_coefficients``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType

import sympy as sp

from theory.equations.coupled import (
    COUPLED_TERMS,
    DIAGONAL_TERMS,
    coefficients_by_term,
    covariance_series,
    dropped_terms,
    indexed,
    linear_parts,
    moments_of,
)
from theory.equations.expansion import DroppedTerm
from theory.equations.orders import EntrySeries, dual

__all__ = [
    "TANGENT_PAIR_ORDERS",
    "TangentResponse",
    "adjoint_symbol",
    "incoming_symbol",
    "slope_energy_symbol",
    "tangent_response",
    "trained_symbol",
]

#: The (j, k) of the E[phi^(j)(u) phi^(k)(v)] that NTKs need beside those of ``PAIR_ORDERS``.
TANGENT_PAIR_ORDERS = ((3, 3), (4, 2), (5, 1))


def incoming_symbol(term: str, state: int | None = None) -> sp.Symbol:
    """The coefficient of a term of Y, by its name in ``COUPLED_TERMS`` and ``DIAGONAL_TERMS``."""
    return sp.Symbol(indexed(f"y_{term}", state), real=True)


def adjoint_symbol(term: str, state: int | None = None) -> sp.Symbol:
    """The coefficient of a term of B."""
    return sp.Symbol(indexed(f"b_{term}", state), real=True)


def trained_symbol(term: str, state: int | None = None) -> sp.Symbol:
    """The coefficient of a term of M."""
    return sp.Symbol(indexed(f"m_{term}", state), real=True)


def slope_energy_symbol(state: int | None = None) -> sp.Symbol:
    """E[phi'(tau xi)^2]."""
    return moments_of(state).square(1, 0)


def _series(unknown: Callable[[str], sp.Symbol]) -> EntrySeries:
    """A kernel with unknown coefficients."""

    def named(terms: Mapping[str, sp.Expr]) -> sp.Expr:
        return sp.Add(*(unknown(name) * term for name, term in terms.items()))

    return EntrySeries(named(COUPLED_TERMS), named(DIAGONAL_TERMS))


@dataclass(frozen=True)
class TangentResponse:
    """What one state does to the coefficients of its incoming adjoint kernel, and what it adds to the NTK.

    Attributes:
        gains: by term, the factor of the same term of Y in B; that of "tau2" is E[phi'^2].
        rests: by term, what the terms of Y before it and the pre-activations' add.
        contributions: by term, the coefficient of B M, in ``adjoint_symbol`` and ``trained_symbol``.
        dropped: everything by which B M differs from its equivalent, in the same symbols.
    """

    gains: Mapping[str, sp.Expr]
    rests: Mapping[str, sp.Expr]
    contributions: Mapping[str, sp.Expr]
    dropped: tuple[DroppedTerm, ...]


@cache
def tangent_response() -> TangentResponse:
    """Derive what one state does to the coefficients of an NTK.

    Raises:
        ExpansionError: a coefficient that is not linear in its own term's.

    Example:
        >>> tangent_response().gains["S"], tangent_response().rests["S"]
        (P_11, P_22*l_S*y_0)
        >>> tangent_response().contributions["S"]
        b_0*m_S + b_S*m_0
    """
    slopes = dual(covariance_series(None), derivative=1, moments=moments_of(None))
    gains, rests = linear_parts(slopes.hadamard(_series(incoming_symbol)), incoming_symbol)
    product = _series(adjoint_symbol).hadamard(_series(trained_symbol))
    return TangentResponse(gains, rests, MappingProxyType(coefficients_by_term(product)), dropped_terms(product))
