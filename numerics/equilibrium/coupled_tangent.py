"""The NTK of a cell: the coefficients of its equivalent in Arb balls, for any weights that are trained.

Theory sheet, section 8.  What one state does to the coefficients is theory's (``theory.equations.tangent_response``);
the adjoint kernels of all states solve the linear equations of the pre-activations with Sigma2 transposed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Any

from flint import arb, ctx

from numerics.arithmetic import constant_ball
from numerics.equilibrium.coupled import CertifiedStates, is_narrow, state_moments
from numerics.equilibrium.terms import TermPrograms, pair_moments, solve_terms
from numerics.moments import UncertifiedError
from theory.equations import (
    TANGENT_PAIR_ORDERS,
    EquilibriumError,
    TrainedWeights,
    adjoint_symbol,
    incoming_symbol,
    pair_symbol,
    preactivation_symbol,
    tangent_response,
    trained_symbol,
)
from theory.kernels import KernelCoefficients

__all__ = ["TANGENT_KEYS", "CertifiedTangent", "certify_tangent"]

#: Keys of an NTK's numbers, in the notation of theory sheet section 8: those of the CK that an equivalent has.
TANGENT_KEYS = ("g0", "gS", "gd", "gdd", "gSS", "ge", "diagonal")
#: The same as terms of the expansion, in the order in which they are solved.
_KEY_TERMS = {"g0": "0", "diagonal": "tau2", "gS": "S", "gd": "d", "gSS": "SS", "gdd": "dd", "ge": "e"}
_TERMS = tuple(_KEY_TERMS.values())
#: The terms of which the unit vector of the readout is a part.
_CONSTANT = ("0", "tau2")


@dataclass(frozen=True)
class CertifiedTangent:
    """The numbers of a cell's NTK.

    Attributes:
        found: the cell's solution.
        trained: the weights that are trained.
        balls: Arb balls by key of ``TANGENT_KEYS``.
    """

    found: CertifiedStates
    trained: TrainedWeights
    balls: Mapping[str, arb]

    def floats(self) -> dict[str, float]:
        """Return the numbers in float64, by key."""
        return {key: float(ball) for key, ball in self.balls.items()}

    @property
    def coefficients(self) -> KernelCoefficients[arb]:
        """The four of section 4, where the readout's correlations vanish.

        Raises:
            EquilibriumError: they do not.
        """
        if not self.found.cell.decorrelated[self.found.cell.readout]:
            raise EquilibriumError(
                "the state that is read out, or one that leads to it, has a bias or a mean: its NTK has seven numbers"
            )
        return KernelCoefficients(*(self.balls[key] for key in ("gS", "gdd", "gSS", "diagonal")))


def certify_tangent(found: CertifiedStates, trained: TrainedWeights | Iterable[str]) -> CertifiedTangent:
    """Enclose the numbers of the NTK of the state that is read out.

    Args:
        found: the cell's solution.
        trained: weights block by block, or kinds of them (``theory.equations.TRAINED``), trained beside the readout.

    Raises:
        CoupledDEQError: weights that the cell does not have.
        EquilibriumError: there is no NTK.
        UncertifiedError: a number is not enclosed to the digits of the solution.

    Example:
        >>> from numerics.equilibrium.coupled import certify_states
        >>> from theory.equations import DEQ, CoupledDEQ
        >>> states = certify_states(CoupledDEQ.of(DEQ("relu", "1/5", "4/5")), 15)
        >>> round(certify_tangent(states, ["recurrent"]).floats()["gS"], 12)
        0.221606648199
    """
    chosen = TrainedWeights.of(found.cell, trained)
    margin = found.margins.get("ntk")
    if margin is None or not margin < 1:
        why = "E[phi'^2] of a state is infinite" if margin is None else (
            f"the spectral radius of Sigma2 diag(E[phi'^2]) is {float(margin):.6g}, and it must be below 1"
        )  # fmt: skip
        raise EquilibriumError(f"this cell has no NTK: {why}; its CKs exist")
    with ctx.workprec(found.precision):
        inputs = [dict(known) | pairs for known, pairs in zip(found.inputs, _further_moments(found), strict=True)]
        _solve_adjoint(found, inputs)
        kernels = [{term: balls[key] for key, term in _KEY_TERMS.items()} for balls in found.states]
        _add_trained(found, chosen, inputs, kernels)
        readout = kernels[found.cell.readout]
        balls = {}
        for key in TANGENT_KEYS:
            term = _KEY_TERMS[key]
            parts = (_contributions().evaluate(term, state)[0] for state in inputs)
            balls[key] = sum(parts, readout[term] if chosen.readout else arb(0))
    if not all(is_narrow(ball, found.digits) for ball in balls.values()):
        raise UncertifiedError(f"the NTK's numbers are not enclosed to {found.digits} digits; its margin may be near 1")
    return CertifiedTangent(found, chosen, MappingProxyType(balls))


def _further_moments(found: CertifiedStates) -> list[dict[Any, arb]]:
    """What the derivatives of the activations need beside what is known, by state."""
    every = []
    for r, state in enumerate(found.cell.states):
        known, series, free = found.inputs[r], found.series[r], found.cell.mean_free[r]
        tau, limit = found.states[r]["tau"], known[preactivation_symbol("0")]
        pairs = pair_moments(state_moments(state), tau, series, limit, free, TANGENT_PAIR_ORDERS)
        every.append({pair_symbol(*orders): value for orders, value in pairs.items()})
    return every


@cache
def _adjoint() -> TermPrograms:
    response = tangent_response()
    return TermPrograms({term: (response.gains[term], response.rests[term]) for term in _TERMS})


@cache
def _contributions() -> TermPrograms:
    return TermPrograms({term: (tangent_response().contributions[term],) for term in _TERMS})


def _solve_adjoint(found: CertifiedStates, inputs: Sequence[dict[Any, arb]]) -> None:
    """Add the coefficients of Y and B to the inputs."""
    cell = found.cell
    transposed = [[constant_ball(value) for value in column] for column in zip(*cell.sigma_a2, strict=True)]
    unit = [arb(int(r == cell.readout)) for r in range(len(cell.states))]
    solve_terms(_TERMS, _adjoint(), transposed, dict.fromkeys(_CONSTANT, unit), inputs, incoming_symbol)
    for state in inputs:
        for term in _TERMS:
            gain, rest = _adjoint().evaluate(term, state)
            state[adjoint_symbol(term)] = gain * state[incoming_symbol(term)] + rest


def _add_trained(
    found: CertifiedStates, chosen: TrainedWeights, inputs: Sequence[dict[Any, arb]], kernels: Sequence[dict[str, arb]]
) -> None:
    """Add the coefficients of M, the part of L whose weights are trained, to the inputs."""
    rows, of_input, of_bias = chosen.variances(found.cell)
    for r, state in enumerate(inputs):
        b, c = constant_ball(of_input[r]), constant_ball(of_bias[r])
        own = {"S": b, "tau2": b * constant_ball(found.cell.tau0**2) + c, "0": c}
        for term in _TERMS:
            parts = (constant_ball(weight) * kernel[term] for weight, kernel in zip(rows[r], kernels, strict=True))
            state[trained_symbol(term)] = sum(parts, own.get(term, arb(0)))
