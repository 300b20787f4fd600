"""A kernel's entries as polynomials in S_ij, delta_i and delta_j of any degree, nothing dropped and nothing averaged.

Theory sheet, sections 2 to 4.  ``theory.equations.expansion`` keeps what survives in operator norm where the samples
are high-dimensional; there S_ij^2 may be replaced by its mean T_ab/p.  Where the effective dimension tr(C)^2/tr(C^2) is
small, as for images, it may not, and the entries themselves are the equivalent: to second degree

  G_ij = alpha_1 S_ij + alpha_2 delta_i delta_j + alpha_3 S_ij^2 + alpha_{1,1,0} S_ij (delta_i + delta_j) + ...,

with the same alpha_1, alpha_2, alpha_3, and an odd activation, whose alpha_2 and alpha_3 are 0, needs the third.  The
recursions are those of the expansion: an ansatz with every monomial is put in and matched.  The equation of each
coefficient is linear in it, with the same gain for all, and what else it contains has a lower degree.

Where the norms spread as much as the correlations, a power series in delta_i converges slowly, if at all.  Then every
sample keeps its own tau_i: with the moments d_k(tau_i) = E[phi^(k)(tau_i xi)] an entry is

  G_ij = sum_k u_k L_ij^k/k!,   u_k = d_k(tau_i) d_k(tau_j),   L_ij = sigma_a^2 G_ij + sigma_b^2 S_ij,

a power series in S_ij and in u_0, which is of second order, since phi is centred at tau_*.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType

import sympy as sp

from theory.equations.orders import (
    EntrySeries,
    ExpansionError,
    S_ij,
    delta_i,
    delta_j,
    derivative_moment,
    dual,
    square_moment,
)
from theory.kernels import Kernel
from theory.symbols import alpha, dd, lambda_, sigma_a2, sigma_b2, tau, tau_0, variance

__all__ = [
    "EntrywiseExpansion",
    "KeptNormsExpansion",
    "Monomial",
    "entry_moments",
    "expand_entries",
    "expand_with_kept_norms",
    "monomials",
    "pair_moment",
]

#: Powers of S_ij, delta_i and delta_j; the second is at least the third and stands for the exchanged one too.
Monomial = tuple[int, int, int]
#: Coefficients that have a name already.
_NAMED: Mapping[str, Mapping[Monomial, sp.Symbol]] = {
    letter: {(1, 0, 0): named[1], (0, 1, 1): named[2], (2, 0, 0): named[3]}
    for letter, named in (("alpha", alpha), ("lambda", lambda_))
}
_LETTERS = {
    Kernel.CK: "alpha",
    Kernel.NTK_RECURRENT: "beta",
    Kernel.NTK_PREACTIVATION: "eta",
    Kernel.NTK_ALL: "theta",
}
#: Degrees beyond it are slow to derive, and of no use where their terms count.
_HIGHEST = 8
_Definitions = dict[sp.Symbol, sp.Expr]


@dataclass(frozen=True)
class EntrywiseExpansion:
    """The entries of a kernel to a total degree in S_ij, delta_i and delta_j.

    Attributes:
        kernel: which kernel.
        degree: the highest total degree.
        off_diagonal: by monomial, the symbol of its coefficient in entry (i, j), i != j; those that vanish are absent.
        diagonal: symbols of the coefficients of 1, delta_i, delta_i^2, ... in entry (i, i).
        definitions: what each symbol is, in terms of moments at tau_*, tau, the weights' variances and symbols before.
    """

    kernel: Kernel
    degree: int
    off_diagonal: Mapping[Monomial, sp.Symbol]
    diagonal: tuple[sp.Symbol, ...]
    definitions: Mapping[sp.Symbol, sp.Expr]


@dataclass(frozen=True)
class KeptNormsExpansion:
    """The entries of a kernel as a series in S_ij and u_0, every sample with moments at its own tau_i.

    Attributes:
        kernel: which kernel.
        degree: the highest total degree, in which S_ij counts 1 and u_0 2.
        off_diagonal: by powers of S_ij and u_0, the symbol of the coefficient in entry (i, j), i != j.
        diagonal: entry (i, i), exactly, in the moments at tau_i and tau = tau_i.
        definitions: what each symbol is, in terms of ``pair_moment``, the weights' variances and symbols before.
    """

    kernel: Kernel
    degree: int
    off_diagonal: Mapping[tuple[int, int], sp.Symbol]
    diagonal: sp.Expr
    definitions: Mapping[sp.Symbol, sp.Expr]


def monomials(degree: int, *, norms: bool = True) -> Iterator[Monomial]:
    """Yield the monomials that entries off the diagonal can have, by ascending degree.

    Powers of delta_i alone are not among them: where u_j has the variance tau_*^2 and no correlation, phi is centred.

    Args:
        degree: the highest total degree.
        norms: whether the delta_i may differ from 0.

    Example:
        >>> list(monomials(2))
        [(1, 0, 0), (2, 0, 0), (1, 1, 0), (0, 1, 1)]
    """
    for total in range(1, degree + 1):
        for s in range(total, -1, -1):
            for b in range((total - s) // 2 + 1) if norms or s == total else ():
                if s or b:
                    yield s, total - s - b, b


def entry_moments(degree: int) -> Mapping[sp.Symbol, tuple[int, int, int]]:
    """Return what the moments' symbols of an expansion mean: (k, power, order) is E[((phi^(k))^power)^(order)(tau xi)].

    Args:
        degree: of the expansion.

    Example:
        >>> [(str(symbol), meaning) for symbol, meaning in entry_moments(1).items()][:2]
        [('d_1', (0, 1, 1)), ('d_2', (0, 1, 2))]
    """
    found = {derivative_moment(k): (0, 1, k) for k in range(1, 2 * degree + 2)}
    return found | {square_moment(k, 2 * m): (k, 2, 2 * m) for k in (0, 1) for m in range(degree + 1)}


@cache
def expand_entries(kernel: Kernel, degree: int, *, norms: bool = True) -> EntrywiseExpansion:
    """Expand the entries of a kernel of the DEQ.

    Args:
        kernel: which kernel.
        degree: the highest total degree in S_ij, delta_i and delta_j, from 1 to 8.
        norms: whether the delta_i may differ from 0; without them high degrees are quick to derive.

    Raises:
        ValueError: a degree out of range.
        ExpansionError: entries off the diagonal that do not vanish with S_ij and the delta_i.

    Example:
        >>> expand_entries(Kernel.CK, 1).definitions[alpha[1]]
        d_1**2*sigma_b^2/(-d_1**2*sigma_a^2 + 1)
    """
    _check_degree(degree)
    definitions: _Definitions = {}
    ck, preactivation = _conjugate(degree, definitions, norms=norms)
    series = ck if kernel is Kernel.CK else _tangent(kernel, ck, preactivation, definitions)
    letter = _LETTERS[kernel]
    names = {monomial: _name(letter, monomial) for monomial in monomials(degree, norms=norms)}
    diagonal = tuple(_diagonal_name(letter, k) for k in range(degree + 1 if norms else 1))
    kept = _named(series, names, diagonal, definitions)
    return EntrywiseExpansion(kernel, degree, MappingProxyType(kept), diagonal, MappingProxyType(definitions))


def _check_degree(degree: int) -> None:
    if not 1 <= degree <= _HIGHEST:
        raise ValueError(f"the degree must be from 1 to {_HIGHEST}, not {degree}")


def _name(letter: str, monomial: Monomial) -> sp.Symbol:
    own = sp.Symbol(f"{letter}_{{{','.join(map(str, monomial))}}}", real=True)
    return _NAMED.get(letter, {}).get(monomial, own)


def _diagonal_name(letter: str, power: int) -> sp.Symbol:
    return sp.Symbol(f"{letter}_{{ii,{power}}}", real=True)


def _term(monomial: Monomial) -> sp.Expr:
    s, a, b = monomial
    exchanged = S_ij**s * delta_i**b * delta_j**a if a != b else sp.S.Zero
    return S_ij**s * delta_i**a * delta_j**b + exchanged


def _ansatz(names: Mapping[Monomial, sp.Symbol]) -> sp.Expr:
    return sp.Add(*(symbol * _term(monomial) for monomial, symbol in names.items()))


def _solve(
    unknowns: Mapping[sp.Symbol, tuple[int, ...]], image: sp.Poly, definitions: _Definitions
) -> dict[sp.Symbol, sp.Expr]:
    """Solve unknown = its coefficient in the image, in turn; return those that vanish, to be left out."""
    vanishing: dict[sp.Symbol, sp.Expr] = {}
    for unknown, powers in unknowns.items():
        equation = sp.Poly(image.coeff_monomial(powers).subs(vanishing), unknown)
        rest = equation.coeff_monomial(1)
        if rest == 0:
            vanishing[unknown] = sp.S.Zero
        else:
            definitions[unknown] = rest / (1 - equation.coeff_monomial(unknown))
    return vanishing


def _off_diagonal(expr: sp.Expr) -> sp.Poly:
    """An entry off the diagonal as a polynomial, which has no power of delta_i alone."""
    polynomial = sp.Poly(expr, S_ij, delta_i, delta_j)
    for (s, a, b), factor in polynomial.terms():
        if s == 0 and 0 in (a, b) and factor != 0:
            raise ExpansionError(f"delta_i^{a} delta_j^{b} has the coefficient {factor} off the diagonal, not 0")
    return polynomial


def _scales(degree: int, definitions: _Definitions, *, norms: bool) -> sp.Expr:
    """tau_i^2 as a polynomial in delta_i, from tau_i^2 = sigma_a^2 E[phi(u_i)^2] + sigma_b^2 ||x_i||^2."""
    if not norms:
        return tau**2
    names = {alpha[4] if k == 1 else sp.Symbol(f"tau_{{ii,{k}}}", real=True): (k,) for k in range(1, degree + 1)}
    ansatz = tau**2 + sp.Add(*(symbol * delta_i**k for symbol, (k,) in names.items()))
    energy = dual(EntrySeries(sp.S.Zero, ansatz, degree)).diagonal
    zero = _solve(names, sp.Poly(sigma_a2 * energy + sigma_b2 * (tau_0**2 + delta_i), delta_i), definitions)
    return ansatz.subs(zero)


def _conjugate(degree: int, definitions: _Definitions, *, norms: bool) -> tuple[EntrySeries, EntrySeries]:
    """G and L = sigma_a^2 G + sigma_b^2 S."""
    scales = _scales(degree, definitions, norms=norms)
    names, preactivations = (
        {monomial: _name(letter, monomial) for monomial in monomials(degree, norms=norms)}
        for letter in ("alpha", "lambda")
    )
    preactivation = EntrySeries(_ansatz(preactivations), scales, degree)
    image = dual(preactivation)
    entries = _off_diagonal(image.off_diagonal)
    for monomial, symbol in names.items():
        _solve_pair(symbol, preactivations[monomial], entries.coeff_monomial(monomial), monomial, definitions)
    return EntrySeries(_ansatz(names), image.diagonal, degree), preactivation


def _solve_pair(
    entry: sp.Symbol, preactivation: sp.Symbol, image: sp.Expr, powers: tuple[int, ...], definitions: _Definitions
) -> None:
    """Solve entry = image, which contains preactivation = sigma_a^2 entry (+ sigma_b^2 where it is that of S_ij)."""
    drive = sigma_b2 if powers[0] == sum(powers) == 1 else sp.S.Zero
    equation = sp.Poly(image, preactivation)
    gain, rest = (equation.coeff_monomial(preactivation**k) for k in (1, 0))
    definitions[entry] = (rest + gain * drive) / (1 - sigma_a2 * gain)
    definitions[preactivation] = sigma_a2 * entry + drive


def _tangent(kernel: Kernel, ck: EntrySeries, preactivation: EntrySeries, definitions: _Definitions) -> EntrySeries:
    """K = G + sigma_a^2 Gdot K, P = L + sigma_a^2 Gdot P, or G + Gdot P."""
    slopes = dual(preactivation, derivative=1)
    source = ck if kernel is Kernel.NTK_RECURRENT else preactivation
    which = kernel if kernel is not Kernel.NTK_ALL else Kernel.NTK_PREACTIVATION
    norms, letter = delta_i in preactivation.diagonal.free_symbols, _LETTERS[which]
    names = {monomial: _name(letter, monomial) for monomial in monomials(ck.order, norms=norms)}
    powers = {_diagonal_name(letter, k): (k,) for k in range(ck.order + 1 if norms else 1)}
    diagonal = sp.Add(*(symbol * delta_i**k for symbol, (k,) in powers.items()))
    ansatz = EntrySeries(_ansatz(names), diagonal, ck.order)
    image = source + slopes.hadamard(ansatz).scaled(sigma_a2)
    zero = _solve({symbol: m for m, symbol in names.items()}, _off_diagonal(image.off_diagonal), definitions)
    zero |= _solve(powers, sp.Poly(image.diagonal, delta_i), definitions)
    solved = EntrySeries(ansatz.off_diagonal.subs(zero), ansatz.diagonal.subs(zero), ck.order)
    return ck + slopes.hadamard(solved) if kernel is Kernel.NTK_ALL else solved


def _named(
    series: EntrySeries,
    names: Mapping[Monomial, sp.Symbol],
    diagonal: tuple[sp.Symbol, ...],
    definitions: _Definitions,
) -> dict[Monomial, sp.Symbol]:
    """Give every coefficient of a series its symbol, unless it is one that is defined already."""
    entries, energies = _off_diagonal(series.off_diagonal), sp.Poly(series.diagonal, delta_i)
    kept = {}
    for monomial, symbol in names.items():
        value = entries.coeff_monomial(monomial)
        if value != 0:
            kept[monomial] = symbol
            definitions.setdefault(symbol, value)
    for k, symbol in enumerate(diagonal):
        definitions.setdefault(symbol, energies.coeff_monomial((k,)))
    return kept


# --- with every sample's own scale ---------------------------------------------------------------


def pair_moment(order: int) -> sp.Symbol:
    """u_k = E[phi^(k)(tau_i xi)] E[phi^(k)(tau_j xi)] of a pair of samples.

    Example:
        >>> pair_moment(2)
        u_2
    """
    return sp.Symbol(f"u_{order}", real=True)


@cache
def expand_with_kept_norms(kernel: Kernel, degree: int) -> KeptNormsExpansion:
    """Expand the entries of a kernel of the DEQ in S_ij, every sample with moments at its own tau_i.

    Args:
        kernel: which kernel.
        degree: the highest total degree, in which S_ij counts 1 and u_0 2; from 1 to 8.

    Raises:
        ValueError: a degree out of range.

    Example:
        >>> found = expand_with_kept_norms(Kernel.CK, 2)
        >>> found.definitions[found.off_diagonal[0, 1]]
        1/(-sigma_a^2*u_1 + 1)
    """
    _check_degree(degree)
    definitions: _Definitions = {}
    powers = [(s - 2 * m, m) for s in range(1, degree + 1) for m in range(s // 2 + 1)]
    covariance = _series("lambda", powers)
    image = sp.Poly(_price_series(covariance, degree, 0), S_ij, pair_moment(0))
    for power in powers:
        entry, preactivation = _pair_name("alpha", power), _pair_name("lambda", power)
        _solve_pair(entry, preactivation, image.coeff_monomial(power), power, definitions)
    names = _kept_entries(kernel, powers, covariance, definitions)
    return KeptNormsExpansion(
        kernel, degree, MappingProxyType(names), _exact_diagonal(kernel), MappingProxyType(definitions)
    )


def _pair_name(letter: str, powers: tuple[int, int]) -> sp.Symbol:
    return sp.Symbol(f"{letter}_{{{powers[0]},u^{powers[1]}}}", real=True)


def _series(letter: str, powers: list[tuple[int, int]]) -> sp.Expr:
    return sp.Add(*(_pair_name(letter, power) * S_ij ** power[0] * pair_moment(0) ** power[1] for power in powers))


def _truncated(expr: sp.Expr, degree: int) -> sp.Expr:
    u_0 = pair_moment(0)
    terms = sp.Poly(expr, S_ij, u_0).terms()
    return sp.Add(*(factor * S_ij**s * u_0**m for (s, m), factor in terms if s + 2 * m <= degree))


def _price_series(covariance: sp.Expr, degree: int, derivative: int) -> sp.Expr:
    """sum_k u_{k + derivative} L^k/k!, Price's theorem once for every power of L."""
    total, power = pair_moment(derivative), sp.S.One
    for k in range(1, degree + 1):
        power = _truncated(power * covariance / k, degree)
        total += pair_moment(k + derivative) * power
    return total


def _kept_entries(
    kernel: Kernel, powers: list[tuple[int, int]], covariance: sp.Expr, definitions: _Definitions
) -> dict[tuple[int, int], sp.Symbol]:
    """The symbols of G itself, of K = G + sigma_a^2 Gdot K, of P = L + sigma_a^2 Gdot P, or of G + Gdot P."""
    letter = _LETTERS[kernel]
    names = {power: _pair_name(letter, power) for power in powers}
    if kernel is Kernel.CK:
        return names
    degree, ck, u_0 = max(s + 2 * m for s, m in powers), _series("alpha", powers), pair_moment(0)
    slopes = _price_series(covariance, degree, 1)
    tangent = kernel if kernel is not Kernel.NTK_ALL else Kernel.NTK_PREACTIVATION
    ansatz = _series(_LETTERS[tangent], powers)
    product = _truncated(slopes * ansatz, degree)
    source = ck if kernel is Kernel.NTK_RECURRENT else covariance
    unknowns = {_pair_name(_LETTERS[tangent], power): power for power in powers}
    _solve(unknowns, sp.Poly(source + sigma_a2 * product, S_ij, u_0), definitions)
    if kernel is Kernel.NTK_ALL:
        whole = sp.Poly(ck + product, S_ij, u_0)
        definitions |= {symbol: whole.coeff_monomial(power) for power, symbol in names.items()}
    return names


def _exact_diagonal(kernel: Kernel) -> sp.Expr:
    """The fixed points of theory sheet section 2 where i = j: G_ii = v, L_ii = tau_i^2, Gdot_ii = d_d."""
    gain = 1 - sigma_a2 * dd
    match kernel:
        case Kernel.CK:
            return variance
        case Kernel.NTK_RECURRENT:
            return variance / gain
        case Kernel.NTK_PREACTIVATION:
            return tau**2 / gain
        case Kernel.NTK_ALL:
            return variance + tau**2 * dd / gain
