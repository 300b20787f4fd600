"""A cell's numbers by key from its states' moments: theory's linear equations, term by term, and what is below 1.

Theory sheet, section 8.  The coefficients are linear, term by term, in what theory derives of one state
(``theory.equations.state_response``).  Nothing is solved for tau and q here, and nothing said of whether the moments
are proved: they are balls either way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from flint import arb

from numerics.arithmetic import constant_ball
from numerics.equilibrium.coupled_equations import SquareMoments
from numerics.equilibrium.coupled_start import no_equilibrium
from numerics.equilibrium.spectral_radius import spectral_radius
from numerics.equilibrium.terms import TermPrograms, solve_terms
from numerics.moments import UncertifiedError
from theory.equations import (
    SQUARE_ORDERS,
    CoupledDEQ,
    pair_symbol,
    preactivation_symbol,
    slope_energy_symbol,
    square_symbol,
    state_response,
)

__all__ = ["CENTRED_KEYS", "GENERAL_KEYS", "CellMoments", "CellNumbers", "evaluate_cell", "weight_balls"]

#: Keys of a state whose correlations vanish, in the notation of theory sheet section 3; alpha_4 is lambda_4.
CENTRED_KEYS = (
    *("gamma2", "alpha1", "alpha2", "alpha3", "alpha4"),
    *("lambda1", "lambda2", "lambda3", "lambda4"),
)
#: Keys of any state, in the notation of section 8.
GENERAL_KEYS = ("q", "g0", "gS", "gd", "gdd", "gSS", "ge", "diagonal")
#: The linear terms in the order in which they are solved, and what drives them.
_TERMS = ("S", "4", "d", "5", "SS", "dd", "e")
_DRIVEN = ("S", "4")
_Balls = dict[str, arb]


@dataclass(frozen=True)
class CellMoments:
    """What is known of R states before the linear equations.

    Attributes:
        taus: tau_r.
        limits: q_r.
        squares: E[phi_r^2] and its derivatives, all three.
        pairs: E[phi_r^(j)(u) phi_r^(k)(v)] by (j, k), those of ``PAIR_ORDERS``.
        energies: E[phi_r'^2]; none where one is infinite.
    """

    taus: Sequence[arb]
    limits: Sequence[arb]
    squares: Sequence[SquareMoments]
    pairs: Sequence[Mapping[tuple[int, int], arb]]
    energies: Sequence[arb]


@dataclass(frozen=True)
class CellNumbers:
    """Numbers of each state by key, margins by key, and by state what they are of, by theory's symbols."""

    states: list[_Balls]
    margins: _Balls
    inputs: list[dict[Any, arb]]


def weight_balls(cell: CoupledDEQ) -> list[list[arb]]:
    """Return Sigma2, R rows of R balls, at the precision that is set."""
    return [[constant_ball(value) for value in row] for row in cell.sigma_a2]


def evaluate_cell(cell: CoupledDEQ, moments: CellMoments) -> CellNumbers:
    """Return every state's numbers, and the spectral radii that must be below 1.

    Args:
        cell: the cell.
        moments: of its states.

    Raises:
        EquilibriumError: a spectral radius is not below 1.
        UncertifiedError: the balls do not tell whether it is.
    """
    matrix = weight_balls(cell)
    margins = _margins(matrix, moments)
    inputs: list[dict[Any, arb]] = [
        {square_symbol(m): value for m, value in zip(SQUARE_ORDERS, square.values, strict=True)}
        | {pair_symbol(*orders): value for orders, value in pair.items()}
        | {preactivation_symbol("0"): limit, preactivation_symbol("tau2"): tau**2}
        for square, pair, limit, tau in zip(
            moments.squares, moments.pairs, moments.limits, moments.taus, strict=True
        )
    ]  # fmt: skip
    for state, energy in zip(inputs, moments.energies, strict=False):
        state[slope_energy_symbol()] = energy
    # The pre-activations' coefficients, added to the inputs: (I - Sigma2 D) l = Sigma2 rest + drive.
    weights = [constant_ball(state.sigma_b2) for state in cell.states]
    solve_terms(_TERMS, _programs(), matrix, dict.fromkeys(_DRIVEN, weights), inputs, preactivation_symbol)
    states = [_named(cell.decorrelated[r], tau, inputs[r]) for r, tau in enumerate(moments.taus)]
    return CellNumbers(states, margins, inputs)


def _margins(matrix: Sequence[Sequence[arb]], moments: CellMoments) -> _Balls:
    found = {
        "tau": spectral_radius(matrix, [one.slope for one in moments.squares]),
        "ck": spectral_radius(matrix, [pair[1, 1] for pair in moments.pairs]),
    }
    names = {"tau": "Sigma2 diag(d22/2)", "ck": "Sigma2 diag(E[phi'(u) phi'(v)])"}
    for key, name in names.items():
        if found[key] >= 1:
            raise no_equilibrium(f"the spectral radius of {name} is {float(found[key]):.6g}, not below 1")
        if not found[key] < 1:
            raise UncertifiedError(f"whether the spectral radius of {name} is below 1 is not decided")
    if moments.energies:
        found["ntk"] = spectral_radius(matrix, moments.energies)
    return found


def _named(decorrelated: bool, tau: arb, inputs: Mapping[Any, arb]) -> _Balls:
    """One state's numbers by key."""
    solved = {term: inputs[preactivation_symbol(term)] for term in _TERMS}
    kernel = {}
    for term in ("S", "d", "dd", "SS", "e"):
        gain, rest = _programs().evaluate(term, inputs)
        kernel[term] = gain * solved[term] + rest
    diagonal = inputs[square_symbol(0)]
    found = {"tau": tau, "q": inputs[preactivation_symbol("0")], "g0": inputs[pair_symbol(0, 0)]}
    found |= {f"g{term}": value for term, value in kernel.items()} | {"diagonal": diagonal}
    if decorrelated:
        alphas = (diagonal, kernel["S"], kernel["dd"], kernel["SS"], solved["4"])
        lambdas = (solved["S"], solved["dd"], solved["SS"], solved["4"])
        found |= dict(zip(CENTRED_KEYS, (*alphas, *lambdas), strict=True))
    return found


@cache
def _programs() -> TermPrograms:
    """The gains and rests of theory's response."""
    response = state_response()
    return TermPrograms({term: (response.gains[term], response.rests[term]) for term in _TERMS})
