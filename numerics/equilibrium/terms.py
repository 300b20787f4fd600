"""The coefficients of a cell's expansion, term by term, in balls: theory's responses compiled, and linear systems.

Theory sheet, section 8.  The coefficients of the pre-activations solve (I - Sigma2 D) l = Sigma2 rest + drive, those
of the adjoint kernels the same with Sigma2 transposed; gains D and rests are theory's, functions of the terms before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, MutableMapping, Sequence

import sympy as sp
from flint import arb, arb_mat
from numpy.polynomial.hermite_e import herme2poly

from numerics.arithmetic import BallArithmetic, compile_program
from numerics.moments import CertifiedMoments, HermiteBalls

__all__ = ["TermPrograms", "pair_moments", "solve_terms"]


class TermPrograms:
    """Expressions by term, as programs of the same symbols.

    Args:
        expressions: one or several of each term.
    """

    def __init__(self, expressions: Mapping[str, Sequence[sp.Expr]]) -> None:
        symbols = {s for several in expressions.values() for part in several for s in part.free_symbols}
        self._symbols = tuple(sorted(symbols, key=str))
        arithmetic = BallArithmetic()
        self._programs = {
            term: compile_program(list(several), self._symbols, arithmetic) for term, several in expressions.items()
        }

    def evaluate(self, term: str, inputs: Mapping[sp.Symbol, arb]) -> tuple[arb, ...]:
        """Return the values of a term's expressions; symbols that are not known yet do not occur in them.

        Args:
            term: which.
            inputs: values by symbol.

        Raises:
            KeyError: there is no such term.
        """
        program = self._programs[term].renewed(BallArithmetic())
        return tuple(map(arb, program(*(inputs.get(symbol, arb(0)) for symbol in self._symbols))))


def solve_terms(
    terms: Iterable[str],
    programs: TermPrograms,
    matrix: Sequence[Sequence[arb]],
    drive: Mapping[str, Sequence[arb]],
    inputs: Sequence[MutableMapping[sp.Symbol, arb]],
    symbol: Callable[[str], sp.Symbol],
) -> None:
    """Solve (I - matrix D) x = matrix rest + drive, one term after the other, and add what is found to the inputs.

    Args:
        terms: in the order in which they need each other.
        programs: gain and rest of each.
        matrix: R rows of R balls.
        drive: R balls of the terms that have one.
        inputs: by state, values by symbol.
        symbol: of a term.

    Raises:
        ZeroDivisionError: the matrix I - matrix D is not proved to be invertible.
    """
    count = len(inputs)
    for term in terms:
        gains, rests = zip(*(programs.evaluate(term, state) for state in inputs), strict=True)
        driven = drive.get(term, [arb(0)] * count)
        left = [[int(r == s) - matrix[r][s] * gains[s] for s in range(count)] for r in range(count)]
        right = [sum((w * rest for w, rest in zip(row, rests, strict=True)), driven[r]) for r, row in enumerate(matrix)]
        found = arb_mat(left).solve(arb_mat([[value] for value in right]))
        for r, state in enumerate(inputs):
            state[symbol(term)] = found[r, 0]


def pair_moments(
    moments: CertifiedMoments,
    tau: arb,
    series: HermiteBalls | None,
    limit: arb,
    mean_free: bool,
    orders: Iterable[tuple[int, int]],
) -> dict[tuple[int, int], arb]:
    """Enclose E[phi^(j)(u) phi^(k)(v)] of one state for some (j, k) up to 5.

    Args:
        moments: of its activation.
        tau: its scale.
        series: its Hermite coefficients, or None where u and v are independent: then it is E[phi^(j)] E[phi^(k)].
        limit: covariance of u and v.
        mean_free: whether E[phi] is 0.
        orders: the (j, k).

    Raises:
        UncertifiedError: a moment or a series that is not enclosed.
    """
    if series is not None:
        return {(j, k): series.pair_moment(j, k, limit / tau**2) for j, k in orders}
    asked = tuple(orders)
    raw = [moments.enclose(tau, [(k, 1)])[k, 1] for k in range(max(map(max, asked)) + 1)]
    # Stein's identity: E[phi^(j)(tau xi)] = E[He_j(xi) phi(tau xi)]/tau^j.
    hermite = [herme2poly([0] * j + [1]) for j in range(len(raw))]
    derivatives = [
        sum((int(c) * raw[k] for k, c in enumerate(polynomial)), arb(0)) / tau**j
        for j, polynomial in enumerate(hermite)
    ]
    if mean_free:
        derivatives[0] = arb(0)
    return {(j, k): derivatives[j] * derivatives[k] for j, k in asked}
