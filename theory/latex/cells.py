r"""The equations of several states as sets that are typeset together (theory sheet, section 8).

The index r is that of a state, s that of one which it receives from.  Right sides are what ``theory.equations`` derives
of one state, ``state_response``, in the field's short names for its moments.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import sympy as sp

from theory.equations import (
    centred_moments,
    pair_symbol,
    preactivation_symbol,
    square_symbol,
    state_response,
)
from theory.latex.equations import Equation, EquationSet
from theory.latex.forms import StateSum
from theory.symbols import d1, d2, d22, tau_0

__all__ = ["CENTRED_SYMBOLS", "GENERAL_SYMBOLS", "coupled_sets"]

#: LaTeX of a state's numbers, by key of ``CertifiedStates``: of a state whose correlations vanish, and of any.
CENTRED_SYMBOLS = MappingProxyType(
    {
        "tau": r"\tau_r",
        "gamma2": r"\gamma_r^2",
        **{f"alpha{k}": rf"\alpha_{{{k},r}}" for k in range(1, 5)},
        **{f"lambda{k}": rf"\lambda_{{{k},r}}" for k in range(1, 4)},
    }
)
GENERAL_SYMBOLS = MappingProxyType(
    {
        "tau": r"\tau_r",
        "q": "q_r",
        **{f"g{term}": f"g_{{{term},r}}" for term in ("0", "S", "d", "dd", "SS", "e")},
        "diagonal": r"\mathbb{E}[\phi_r(\tau_r\xi)^2]",
    }
)
#: The terms in the order in which their equations are solved, and those that the input drives.
_TERMS = ("S", "4", "d", "5", "dd", "SS", "e")
_DRIVEN = ("S", "4")
#: Index of the centred states' coefficients, by term.
_CENTRED_TERMS = MappingProxyType({"S": "1", "4": "4", "dd": "2", "SS": "3"})
#: Partial derivatives of F(a, b, l) = E[phi(u) phi(v)] by how often it is differentiated in a, b and l.
_DERIVATIVES = MappingProxyType({"l": (0, 0, 1), "a": (1, 0, 0), "ll": (0, 0, 2), "al": (1, 0, 1), "aa": (2, 0, 0)})


def coupled_sets(*, centred: bool) -> dict[str, EquationSet]:
    r"""Return the equations of R states, by name.

    Args:
        centred: whether every state is centred and none has a bias: then the coefficients are alpha and lambda, as
            for one state; otherwise the expansion is about the limits q_r off the diagonal.

    Example:
        >>> print(coupled_sets(centred=True)["coupled-kernel"].latex(39_000).splitlines()[1])
        \alpha_{1,r} &= d_{1,r}^2\lambda_{1,r}, \\
    """
    sets = [
        EquationSet("coupled-equilibrium", _equilibrium(centred=centred)),
        EquationSet("coupled-moments", _moments(centred=centred), end=","),
        EquationSet("coupled-kernel", _kernel(centred=centred)),
        EquationSet("coupled-preactivation", _preactivation(centred=centred)),
    ]
    return {each.name: each for each in sets}


def _named(text: str) -> sp.Symbol:
    """A symbol that is written as it stands."""
    return sp.Symbol(text, positive=True)


def _drive(term: str) -> sp.Expr:
    return _named(r"\sigma_{b,r}^2") if term in _DRIVEN else sp.S.Zero


def _equilibrium(*, centred: bool) -> tuple[Equation, ...]:
    bias = sp.S.Zero if centred else _named(r"\sigma_{c,r}^2")
    energy = _named(r"\mathbb{E}[\phi_s(\tau_s\xi)^2]")
    scale = Equation(r"\tau_r^2", StateSum(energy) + _named(r"\sigma_{b,r}^2") * tau_0**2 + bias)
    return (scale,) if centred else (scale, Equation("q_r", StateSum(_named("F_{s}")) + bias))


def _moments(*, centred: bool) -> tuple[Equation, ...]:
    """What the short names stand for."""
    slope = Equation("V_{1,r}", _named(r"\mathbb{E}[(\phi_r^2)''(\tau_r\xi)]") / 2)
    if centred:
        means = [Equation(f"d_{{{k},r}}", _mean("'" * k)) for k in (1, 2)]
        return (*means, slope, Equation(r"\gamma_r^2", _named(r"\mathbb{E}[\phi_r(\tau_r\xi)^2]")))
    pairs = [Equation("F_r", _pair(0, 0))]
    pairs += [Equation(f"F_{{{name},r}}", _pair_moment(*orders)) for name, orders in _DERIVATIVES.items()]
    return (*pairs, slope, Equation("V_{2,r}", _named(r"\mathbb{E}[(\phi_r^2)''''(\tau_r\xi)]") / 4))


def _mean(primes: str) -> sp.Symbol:
    return _named(rf"\mathbb{{E}}[\phi_r{primes}(\tau_r\xi)]")


def _pair(j: int, k: int) -> sp.Symbol:
    return _named(rf"\mathbb{{E}}[\phi_r{chr(39) * j}(u)\,\phi_r{chr(39) * k}(v)]")


def _orders(a: int, b: int, covariance: int) -> tuple[int, int, sp.Rational]:
    """The moment that a derivative of F is, and its factor: d/da is half the second derivative in u (Price)."""
    return 2 * a + covariance, 2 * b + covariance, sp.Rational(1, 2 ** (a + b))


def _pair_moment(a: int, b: int, covariance: int) -> sp.Expr:
    j, k, factor = _orders(a, b, covariance)
    return factor * _pair(j, k)


def _names(state: str, *, centred: bool) -> Mapping[sp.Symbol, sp.Expr]:
    """The response's symbols in the names that are printed, of the state r or s."""
    found: dict[sp.Symbol, sp.Expr] = {}
    if centred:
        means = {d1: _named(f"d_{{1,{state}}}"), d2: _named(f"d_{{2,{state}}}"), d22: 2 * _named(f"V_{{1,{state}}}")}
        found = {symbol: value.xreplace(means) for symbol, value in centred_moments().items()}
        letters = {term: rf"\lambda_{{{index},{state}}}" for term, index in _CENTRED_TERMS.items()}
        # What vanishes where the limits do.
        found |= {preactivation_symbol(term): sp.S.Zero for term in ("d", "e")}
    else:
        for name, derivative in _DERIVATIVES.items():
            j, k, factor = _orders(*derivative)
            found[pair_symbol(j, k)] = _named(f"F_{{{name},{state}}}") / factor
        found |= {square_symbol(2 * k): 2**k * _named(f"V_{{{k},{state}}}") for k in (1, 2)}
        letters = {term: f"l_{{{term},{state}}}" for term in _TERMS}
    return found | {preactivation_symbol(term): _named(letter) for term, letter in letters.items()}


def _image(term: str, state: str, *, centred: bool) -> sp.Expr:
    return sp.expand(state_response().image(term).xreplace(dict(_names(state, centred=centred))))


def _kernel(*, centred: bool) -> tuple[Equation, ...]:
    """The coefficients of a state's kernel from those of its pre-activations' covariance."""
    if centred:
        return tuple(
            Equation(CENTRED_SYMBOLS[f"alpha{index}"], _image(term, "r", centred=True))
            for term, index in _CENTRED_TERMS.items()
            if term != "4"
        )
    return tuple(Equation(f"g_{{{term},r}}", _image(term, "r", centred=False)) for term in _TERMS)


def _preactivation(*, centred: bool) -> tuple[Equation, ...]:
    """The coefficients of the pre-activations' covariances, where the states meet."""
    if not centred:
        return tuple(Equation(f"l_{{{term},r}}", StateSum(_named(f"g_{{{term},s}}")) + _drive(term)) for term in _TERMS)
    rows = []
    for term, index in _CENTRED_TERMS.items():
        inner = _image(term, "s", centred=True) if term == "4" else _named(rf"\alpha_{{{index},s}}")
        rows.append(Equation(rf"\lambda_{{{index},r}}", StateSum(inner) + _drive(term)))
    return tuple(rows)
