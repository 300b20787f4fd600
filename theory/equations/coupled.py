"""The expansion for several states, biases and activations that are not centred.

Theory sheet, section 8.  Of R states coupled by Sigma2 = (sigma_rs^2), entry by entry,

  L^(r) = sum_s sigma_rs^2 G^(s) + sigma_{b,r}^2 S + sigma_{c,r}^2 1 1^T,
  G^(r)_ij = E[phi_r(u_i) phi_r(u_j)],   u ~ N(0, L^(r)).

Off the diagonal L^(r)_ij tends to some q_r, which is 0 where everything is centred and no state has a bias.  An ansatz
with every symmetric monomial of S_ij, delta_i, delta_j up to order 2 is put into the recursion.  What one state's
expectation does to the coefficients is ``state_response``; the states meet in linear equations only, so that with
D = diag(E[phi'(u) phi'(v)]) the coefficients of each monomial solve (I - Sigma2 D) l = Sigma2 rest + drive.

Next to 1 1^T, whose norm is n, more has to be kept than in section 4: an entry of order epsilon^2 is a matrix of norm
O(1) where it is no sum of nearly uncorrelated parts.  So (delta_i + delta_j) and (delta_i^2 + delta_j^2) stay where
their coefficients do not vanish, and delta stays what it is: with t_a/sqrt(p) + psi_i in its place an entry is wrong by
O(epsilon^2) times the coefficient of delta_i + delta_j.  ``dropped`` lists what may go.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType

import sympy as sp

from theory.equations.expansion import DroppedTerm, NormArgument, T_ii, T_ij, norm_i, norm_j
from theory.equations.orders import (
    GRAM,
    ORDER,
    EntrySeries,
    ExpansionError,
    Moments,
    S_ij,
    coefficient,
    delta_i,
    delta_j,
    derivative_moment,
    dual,
    epsilon,
    square_moment,
)

__all__ = [
    "COUPLED_TERMS",
    "DIAGONAL_TERMS",
    "PAIR_ORDERS",
    "SQUARE_ORDERS",
    "CoupledExpansion",
    "CoupledSymbols",
    "StateResponse",
    "centred_moments",
    "coefficients_by_term",
    "covariance_series",
    "dropped_terms",
    "expand_coupled",
    "indexed",
    "kept_orders",
    "linear_parts",
    "moments_of",
    "pair_symbol",
    "preactivation_symbol",
    "square_symbol",
    "state_response",
]

#: The monomials of entries off the diagonal by the names of their coefficients, ascending in order.
COUPLED_TERMS: Mapping[str, sp.Expr] = MappingProxyType(
    {
        "0": sp.S.One,
        "S": S_ij,
        "d": delta_i + delta_j,
        "SS": S_ij**2,
        "dd": delta_i * delta_j,
        "e": delta_i**2 + delta_j**2,
        "Sd": S_ij * (delta_i + delta_j),
    }
)
#: Those of entries on the diagonal: tau_i^2 = tau_*^2 + l_4 delta_i + l_5 delta_i^2.
DIAGONAL_TERMS: Mapping[str, sp.Expr] = MappingProxyType({"tau2": sp.S.One, "4": delta_i, "5": delta_i**2})
#: The (j, k) of the E[phi^(j)(u) phi^(k)(v)] that the coefficients need.
PAIR_ORDERS = ((0, 0), (1, 1), (2, 0), (2, 2), (3, 1), (4, 0))
#: The m of the E[(phi^2)^(m)(tau xi)] that they need.
SQUARE_ORDERS = (0, 2, 4)


def indexed(name: str, state: int | None) -> str:
    """The name of a symbol of one state, or the name itself without one."""
    return name if state is None else f"{name}^({state})"


def pair_symbol(j: int, k: int, state: int | None = None) -> sp.Symbol:
    """E[phi^(j)(u) phi^(k)(v)] at (u, v) ~ N(0, [[tau^2, q], [q, tau^2]]), which is symmetric in j and k.

    Theory sheet, section 8: F is that of (0, 0), F_l of (1, 1), F_a half of (2, 0), F_ll of (2, 2), F_ab a quarter of
    it, F_al half of (3, 1), F_aa a quarter of (4, 0).

    Example:
        >>> pair_symbol(1, 3), pair_symbol(0, 0, 2)
        (P_31, P_00^(2))
    """
    high, low = max(j, k), min(j, k)
    return sp.Symbol(indexed(f"P_{high}{low}", state), real=True)


def square_symbol(order: int, state: int | None = None) -> sp.Symbol:
    """E[(phi^2)^(order)(tau xi)]; V_1 and V_2 of theory sheet section 8 are half of order 2, a quarter of order 4."""
    return sp.Symbol(indexed(f"Q_{order}", state), real=True)


def preactivation_symbol(term: str, state: int | None = None) -> sp.Symbol:
    """The coefficient of a term of the pre-activations' covariance, by its name in the two tables of terms.

    That of the term "0" is q, the limit off the diagonal.
    """
    return sp.Symbol(indexed({"0": "q", "tau2": "tau^2"}.get(term, f"l_{term}"), state), real=True)


def moments_of(state: int | None) -> Moments:
    """The names of a state's expectations, E[phi'(tau xi)^2] and its derivatives among them."""

    def square(derivative: int, order: int) -> sp.Expr:
        return square_symbol(order, state) if derivative == 0 else sp.Symbol(indexed(f"R_{order}", state), real=True)

    return Moments(lambda j, k: pair_symbol(j, k, state), square, centred=False)


def covariance_series(state: int | None) -> EntrySeries:
    """L with unknown coefficients."""
    off_diagonal = sp.Add(*(preactivation_symbol(name, state) * term for name, term in COUPLED_TERMS.items()))
    diagonal = sp.Add(*(preactivation_symbol(name, state) * term for name, term in DIAGONAL_TERMS.items()))
    return EntrySeries(off_diagonal, diagonal)


@dataclass(frozen=True)
class StateResponse:
    """What the expectation of one state does to the coefficients of its pre-activations' covariance.

    The coefficient of a term of G is gain l + rest, l the same term's of L and rest a function of the terms before it.

    Attributes:
        gains: by term of ``COUPLED_TERMS`` and ``DIAGONAL_TERMS``; 0 for the constant ones, which are not linear.
        rests: by term, in ``preactivation_symbol``, ``pair_symbol`` and ``square_symbol``.
    """

    gains: Mapping[str, sp.Expr]
    rests: Mapping[str, sp.Expr]

    def image(self, term: str) -> sp.Expr:
        """The coefficient of a term of G."""
        return self.gains[term] * preactivation_symbol(term) + self.rests[term]


@cache
def state_response() -> StateResponse:
    """Derive what one state does to its pre-activations' coefficients.

    Raises:
        ExpansionError: a coefficient that is not linear in its own term's.

    Example:
        >>> state_response().gains["S"], state_response().rests["SS"]
        (P_11, P_22*l_S**2/2)
    """
    return StateResponse(*linear_parts(dual(covariance_series(None), moments=moments_of(None)), preactivation_symbol))


def coefficients_by_term(kernel: EntrySeries) -> dict[str, sp.Expr]:
    """A kernel's coefficients by the names of both tables of terms."""
    found = {name: coefficient(kernel.off_diagonal, term) for name, term in COUPLED_TERMS.items()}
    return found | {name: coefficient(kernel.diagonal, term) for name, term in DIAGONAL_TERMS.items()}


def linear_parts(
    kernel: EntrySeries, unknown: Callable[[str], sp.Symbol]
) -> tuple[Mapping[str, sp.Expr], Mapping[str, sp.Expr]]:
    """Split every coefficient into a factor of the same term's unknown and a rest, both by term.

    Args:
        kernel: whose coefficients.
        unknown: symbol of a term.

    Raises:
        ExpansionError: a coefficient that is not linear in its own term's.
    """
    gains, rests = {}, {}
    for name, value in coefficients_by_term(kernel).items():
        own = sp.Poly(value, unknown(name))
        if own.degree() > 1:
            raise ExpansionError(f"the coefficient of {name} is not linear in {unknown(name)}: {value}")
        gains[name], rests[name] = own.coeff_monomial(unknown(name)), own.coeff_monomial(1)
    return MappingProxyType(gains), MappingProxyType(rests)


# --- R states together ----------------------------------------------------------------------------


@dataclass(frozen=True)
class CoupledSymbols:
    """The data of R coupled states as symbols.

    Attributes:
        sigma_a2: (R, R) matrix Sigma2; row r receives from column s.
        sigma_b2: (R, 1) matrix of the input weights' variances.
        sigma_c2: (R, 1) matrix of the biases' variances.
    """

    sigma_a2: sp.ImmutableMatrix
    sigma_b2: sp.ImmutableMatrix
    sigma_c2: sp.ImmutableMatrix

    @staticmethod
    def of(count: int) -> CoupledSymbols:
        """Return the symbols for a number of states."""

        def symbol(letter: str, *index: int) -> sp.Symbol:
            return sp.Symbol(f"sigma_{letter},{','.join(map(str, index))}^2", nonnegative=True)

        return CoupledSymbols(
            sp.ImmutableMatrix(count, count, lambda r, s: symbol("a", r, s)),
            sp.ImmutableMatrix(count, 1, lambda r, _: symbol("b", r)),
            sp.ImmutableMatrix(count, 1, lambda r, _: symbol("c", r)),
        )


@dataclass(frozen=True)
class CoupledExpansion:
    """The entries of the kernels of R coupled states to order epsilon^2, and what their equivalents drop.

    Attributes:
        kernels: G^(r), in the pre-activations' coefficients and the moments.
        equations: by term, the equations of the pre-activations' coefficients, a state in each.
        dropped: by state, everything by which G^(r) differs from its equivalent.
    """

    kernels: tuple[EntrySeries, ...]
    equations: Mapping[str, tuple[sp.Eq, ...]]
    dropped: tuple[tuple[DroppedTerm, ...], ...]


@cache
def expand_coupled(count: int) -> CoupledExpansion:
    """Expand the fixed point of R coupled states.

    Args:
        count: R, at least 1.

    Example:
        >>> [str(term.argument.name) for term in expand_coupled(1).dropped[0]][:2]
        ['DIAGONAL_FACTOR', 'HADAMARD_SQUARE']
    """
    symbols = CoupledSymbols.of(count)
    covariances = [covariance_series(state) for state in range(count)]
    kernels = tuple(dual(covariance, moments=moments_of(state)) for state, covariance in enumerate(covariances))
    ones = EntrySeries(sp.S.One, sp.S.One)
    equations: dict[str, list[sp.Eq]] = {name: [] for name in (*COUPLED_TERMS, *DIAGONAL_TERMS)}
    for r in range(count):
        image = GRAM.scaled(symbols.sigma_b2[r]) + ones.scaled(symbols.sigma_c2[r])
        for s in range(count):
            image = image + kernels[s].scaled(symbols.sigma_a2[r, s])
        for name, term in COUPLED_TERMS.items():
            equations[name].append(sp.Eq(preactivation_symbol(name, r), coefficient(image.off_diagonal, term)))
        for name, term in DIAGONAL_TERMS.items():
            equations[name].append(sp.Eq(preactivation_symbol(name, r), coefficient(image.diagonal, term)))
    found = {name: tuple(rows) for name, rows in equations.items()}
    return CoupledExpansion(kernels, MappingProxyType(found), tuple(map(dropped_terms, kernels)))


def dropped_terms(kernel: EntrySeries) -> tuple[DroppedTerm, ...]:
    """The difference between a kernel and its equivalent, whose delta is that of the samples themselves."""
    at = {name: coefficient(kernel.off_diagonal, term) for name, term in COUPLED_TERMS.items()}
    limit = coefficient(kernel.diagonal, sp.S.One)
    equivalent = at["S"] * delta_i + 2 * at["d"] * delta_i + (at["dd"] + 2 * at["e"]) * delta_i**2 + limit
    rest = kernel.diagonal - equivalent
    terms = (
        DroppedTerm(at["Sd"] * COUPLED_TERMS["Sd"], 2, NormArgument.DIAGONAL_FACTOR),
        DroppedTerm(at["SS"] * (S_ij**2 - epsilon**2 * T_ij), 2, NormArgument.HADAMARD_SQUARE),
        DroppedTerm(coefficient(rest, delta_i) * delta_i, 1, NormArgument.DIAGONAL),
        DroppedTerm(
            coefficient(rest, delta_i**2) * delta_i**2 - at["SS"] * epsilon**2 * T_ii, 2, NormArgument.DIAGONAL
        ),
    )
    remainder = DroppedTerm(sp.Order(epsilon ** (ORDER + 1)), ORDER + 1, NormArgument.FROBENIUS)
    return (*(entry for entry in terms if entry.term != 0), remainder)


def kept_orders() -> Mapping[str, DroppedTerm]:
    """The parts that may not be dropped, by name, and the order that the best argument leaves to their norms.

    "norms" is what putting t_a/sqrt(p) + psi_i for delta_i in the term delta_i + delta_j would be wrong by.

    Example:
        >>> {name: entry.norm_order for name, entry in kept_orders().items()}
        {'0': -2, 'd': -1, 'dd': 0, 'e': 0, 'norms': 0}
    """
    orders = {"0": 0, "d": 1, "dd": 2, "e": 2}
    found = {name: DroppedTerm(COUPLED_TERMS[name], order, NormArgument.FROBENIUS) for name, order in orders.items()}
    found["norms"] = DroppedTerm(delta_i + delta_j - norm_i - norm_j, 2, NormArgument.FROBENIUS)
    return MappingProxyType(found)


def centred_moments(state: int | None = None) -> Mapping[sp.Symbol, sp.Expr]:
    """What the moments are where phi is centred and u and v are independent: products of d_1, d_2, ...

    Args:
        state: index, or None for the symbols without one.
    """

    def own(expr: sp.Expr) -> sp.Expr:
        renamed = {s: sp.Symbol(indexed(s.name, state), **s.assumptions0) for s in expr.free_symbols}
        return expr.xreplace(renamed)

    found = {
        pair_symbol(j, k, state): own(derivative_moment(j) * derivative_moment(k)) for j in range(7) for k in range(7)
    }
    found |= {square_symbol(m, state): own(square_moment(0, m)) for m in SQUARE_ORDERS}
    return MappingProxyType({preactivation_symbol("0", state): sp.S.Zero, **found})
