"""The equations of several states, biases and uncentred activations solved: Krawczyk's test in Arb balls.

Theory sheet, section 8.  The variances tau_r^2 solve R coupled equations; given them, the limits q_r of the entries off
the diagonal solve R more, where they do not vanish.  The other coefficients follow (``coupled_numbers``).

Which solution is meant: tau is the one that iteration from tau_r = tau_0 tends to, as for one state.  It is proved by a
contraction that holds the start.  For q there is nothing to choose: its map is monotone and convex on [0, tau^2],
starts at or above 0 and ends at or below tau^2, strictly where the input comes in, so that there is exactly one fixed
point short of tau^2, and iteration from 0 rises to it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
import sympy as sp
from flint import arb, ctx

from numerics.arithmetic import (
    BITS_PER_DIGIT,
    RootNotCertifiedError,
    certify_root,
    radius_text,
    rounded_decimal,
)
from numerics.arrays import Array
from numerics.budget import share, stage
from numerics.equilibrium.coupled_branch import is_followed
from numerics.equilibrium.coupled_equations import LimitEquations, ScaleEquations, square_moments
from numerics.equilibrium.coupled_numbers import CellMoments, evaluate_cell, weight_balls
from numerics.equilibrium.coupled_start import hermite_energies, reached_scales, rough_limits
from numerics.equilibrium.terms import pair_moments
from numerics.moments import (
    MOST_TERMS,
    CertifiedMoments,
    HermiteBalls,
    UnboundedError,
    UncertifiedError,
    certified_moments,
    hermite_balls,
    terms_needed,
)
from theory.equations import (
    PAIR_ORDERS,
    CoupledDEQ,
    EquilibriumError,
    State,
)

__all__ = [
    "CertifiedStates",
    "certify_states",
    "exchange_scales",
    "is_narrow",
    "state_moments",
]

#: Decimal digits by which a ball's relative radius is to be smaller than asked for.
_MARGIN = 3
_FIRST_GUARD = 12
_ATTEMPTS = 5
#: Precision in bits of bounds.
_ROUGH_BITS = 90
#: Part of the processor time left that proofs may take.
_PROOF_SHARE = 0.75
_Balls = dict[str, arb]


@dataclass(frozen=True)
class CertifiedStates:
    """The certified solution of a cell's equations.

    Attributes:
        cell: the cell.
        digits: significant digits asked for; the balls are at least a thousand times narrower than the last one.
        states: Arb balls of each state, by key: ``tau``, ``GENERAL_KEYS``, and ``CENTRED_KEYS`` where its
            correlations vanish.
        means: balls of what is subtracted from each activation, E[phi_0(tau_r xi)]; 0 where a state is not centred.
        margins: what is below 1, as balls: spectral radii of Sigma2 diag(V_1) (``tau``), of Sigma2 diag(F_l) (``ck``)
            and of Sigma2 diag(E[phi'^2]) (``ntk``, absent where that is infinite; not necessarily below 1).
        inputs: by state, moments and the pre-activations' coefficients by theory's symbols.
        series: by state, its Hermite coefficients, or None where its correlations vanish.
        precision: of the balls, in bits.
        certified: that everything is proved.
    """

    cell: CoupledDEQ
    digits: int
    states: tuple[Mapping[str, arb], ...]
    means: tuple[arb, ...]
    margins: Mapping[str, arb]
    inputs: tuple[Mapping[sp.Symbol, arb], ...]
    series: tuple[HermiteBalls | None, ...]
    precision: int
    certified: ClassVar[bool] = True

    @cached_property
    def followed(self) -> bool | None:
        """True where it is proved that iteration from tau_0 tends to these scales, None where no proof was found."""
        moments = [state_moments(state) for state in self.cell.states]
        return is_followed(self.cell, moments, [balls["tau"] for balls in self.states])

    def floats(self, state: int) -> dict[str, float]:
        """Return a state's numbers in float64, by key."""
        return {key: float(ball) for key, ball in self.states[state].items()}

    def __repr__(self) -> str:
        lines = [f"CertifiedStates({len(self.states)} states certified to {self.digits} digits)"]
        for r, balls in enumerate(self.states):
            keys = ("tau", "alpha1", "alpha2", "alpha3", "gamma2") if "alpha1" in balls else ("tau", "q", "g0", "gS")
            lines.append(f"  {r}: " + ", ".join(f"{key} = {self.decimal(r, key)}" for key in keys))
        return "\n".join(lines)

    def decimal(self, state: int, key: str) -> str:
        """Return ``digits`` significant digits of a state's number.

        Raises:
            KeyError: there is no such key.
        """
        ball = self.states[state][key]
        return rounded_decimal(arb(0) if ball.contains(0) else ball, self.digits)[0]

    def radius(self, state: int, key: str) -> str:
        """Return the radius of a state's ball, rounded up to two digits.

        Raises:
            KeyError: there is no such key.
        """
        return radius_text(self.states[state][key])


def certify_states(cell: CoupledDEQ, digits: int = 15) -> CertifiedStates:
    """Solve a cell's equations with proof, to a number of significant digits.

    Args:
        cell: the cell.
        digits: significant decimal digits, >= 1.

    Raises:
        EquilibriumError: digits out of range, or no stable equilibrium is reached from tau_0.
        UncertifiedError: nothing could be proved, and why.

    Example:
        >>> from theory.equations import DEQ
        >>> found = certify_states(CoupledDEQ.of(DEQ("relu", "2/5", "3/5"), sigma_c2="1/10", centred=False), 20)
        >>> found.decimal(0, "q")
        '0.17423588926322111198'
    """
    if digits < 1:
        raise EquilibriumError(f"digits must be at least 1, not {digits}")
    scales = reached_scales(cell)
    with share(_PROOF_SHARE, interrupt=True), stage("certifying the solution of the cell"):
        moments = [state_moments(state) for state in cell.states]
        limits = rough_limits(cell, scales, partial(hermite_energies, cell, moments, scales))
        last = UncertifiedError("the cell's solution is not certified")
        kept: _Solution | None = None
        for attempt in range(_ATTEMPTS):
            working = digits + _FIRST_GUARD * 2**attempt
            try:
                with ctx.workprec(int(working * BITS_PER_DIGIT) + 30):
                    kept = _Certifier(cell, moments, working).run(scales, limits)
            except UnboundedError:
                raise
            except (UncertifiedError, RootNotCertifiedError) as error:
                last = UncertifiedError(str(error))
                continue
            if all(is_narrow(ball, digits) for state in kept.states for ball in state.values()):
                break
            if kept.cut:
                last = UncertifiedError(
                    f"a correlation off the diagonal, {kept.cut:.6g}, is too near to 1 for the terms of its series"
                )
                kept = None
                break
        else:
            kept = None
    if kept is None:
        raise last
    return _certified(cell, digits, kept)


def _certified(cell: CoupledDEQ, digits: int, solution: _Solution) -> CertifiedStates:
    return CertifiedStates(
        cell,
        digits,
        tuple(map(MappingProxyType, solution.states)),
        tuple(solution.means),
        MappingProxyType(solution.margins),
        tuple(map(MappingProxyType, solution.inputs)),
        tuple(solution.series),
        solution.precision,
    )


def exchange_scales(found: CertifiedStates) -> CertifiedStates:
    """Return a wrong theory's numbers: the moments of every state taken at the scale of the next one.

    Args:
        found: the solution of a cell whose correlations all vanish.

    Raises:
        EquilibriumError: a state's correlations do not vanish, or the wrong numbers are those of no equilibrium.
        UncertifiedError: a moment is not enclosed.

    Example:
        >>> cell = CoupledDEQ([State("erf", "1/2"), State("erf", 1)], [[0, "1/4"], ["1/4", 0]])
        >>> right = certify_states(cell)
        >>> exchange_scales(right).decimal(0, "alpha1") == right.decimal(0, "alpha1")
        False
    """
    cell = found.cell
    if not all(cell.decorrelated):
        raise EquilibriumError("scales are exchanged only of states whose correlations all vanish")
    moments = [state_moments(state) for state in cell.states]
    with ctx.workprec(found.precision):
        taus = [balls["tau"] for balls in found.states]
        places, nothing = [*taus[1:], taus[0]], np.zeros(len(taus))
        solution = _Certifier(cell, moments, found.digits).numbers(taus, places, nothing, nothing)
    return _certified(cell, found.digits, solution)


def state_moments(state: State) -> CertifiedMoments:
    """Moments, with E[phi'^2] where it has an enclosure."""
    found = certified_moments(state.activation)
    try:
        found.enclose(arb(1), [(0, 0)], precision=_ROUGH_BITS) if found.has_slope_energy else None
    except UncertifiedError:
        return certified_moments(state.activation, False)
    return found


def is_narrow(ball: arb, digits: int) -> bool:
    """Whether a ball is a thousand times narrower than the last of some digits; about 0, of the digits of 1."""
    size = arb(1) if ball.contains(0) else abs(ball.mid())
    return bool(ball.is_finite() and ball.rad() <= size * arb(10) ** -(digits + _MARGIN))


# --- balls --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Solution:
    """Numbers of each state, means, margins, the correlation whose series was cut short, or 0, and what they are of."""

    states: list[_Balls]
    means: list[arb]
    margins: _Balls
    cut: float
    inputs: list[dict[Any, arb]]
    series: list[HermiteBalls | None]
    precision: int


class _Certifier:
    """One cell at one precision, that which is set."""

    def __init__(self, cell: CoupledDEQ, moments: Sequence[CertifiedMoments], digits: int) -> None:
        self._cell, self._moments, self._digits = cell, moments, digits
        self._matrix = weight_balls(cell)
        self._cut = 0.0

    def run(self, scales: Array, limits: Array) -> _Solution:
        """Every state's balls, and the margins.

        Raises:
            UncertifiedError, RootNotCertifiedError: something is not proved.
            EquilibriumError: the equilibrium is not stable.
        """
        taus = list(certify_root(ScaleEquations(self._cell, self._moments, self._matrix), [arb(t) for t in scales], ()))
        return self.numbers(taus, taus, scales, limits)

    def numbers(self, taus: Sequence[arb], places: Sequence[arb], scales: Array, limits: Array) -> _Solution:
        """The same from the scales.

        Args:
            taus: tau_r.
            places: where each state's moments are taken: tau_r, but for a wrong theory.
            scales: places in float64, (R,).
            limits: rough limits q_r, (R,).

        Raises:
            UncertifiedError, RootNotCertifiedError, EquilibriumError: as for ``run``.
        """
        states = self._cell.states
        squares = [
            square_moments(one, state, scale, curvature=True)
            for one, state, scale in zip(self._moments, states, places, strict=True)
        ]
        series, crossed = self._limits(places, scales, limits)
        pairs = [
            pair_moments(*arguments, PAIR_ORDERS)
            for arguments in zip(self._moments, places, series, crossed, self._cell.mean_free, strict=True)
        ]
        given = CellMoments(taus, crossed, squares, pairs, self._slope_energies(places))
        found = evaluate_cell(self._cell, given)
        means = [
            one.enclose(tau, [(0, 1)])[0, 1] if state.centred else arb(0)
            for one, state, tau in zip(self._moments, states, places, strict=True)
        ]
        return _Solution(found.states, means, found.margins, self._cut, found.inputs, series, ctx.prec)

    def _limits(self, taus: Sequence[arb], scales: Array, limits: Array) -> tuple[list[HermiteBalls | None], list[arb]]:
        """The Hermite series and the limits q of each state; no series and 0 where the covariance vanishes."""
        plain = self._cell.uncorrelated
        chosen = [r for r, vanishing in enumerate(plain) if not vanishing]
        series: list[HermiteBalls | None] = [None] * len(taus)
        found = [arb(0)] * len(taus)
        if not chosen:
            return series, found
        for r in chosen:
            rho = float(limits[r] / scales[r] ** 2)
            order = terms_needed(rho, self._digits)
            self._cut = max(self._cut, rho if order == MOST_TERMS else 0.0)
            balls = hermite_balls(self._moments[r], taus[r], order + 8)
            series[r] = balls.centred() if self._cell.states[r].centred else balls
        means = [
            arb(0) if free else one.enclose(tau, [(0, 1)])[0, 1]
            for free, one, tau in zip(self._cell.mean_free, self._moments, taus, strict=True)
        ]
        system = LimitEquations(self._cell, series, means, self._matrix, chosen)
        for r, limit in zip(chosen, certify_root(system, [arb(limits[r]) for r in chosen], ()), strict=True):
            if not (limit < taus[r] ** 2 and limit > 0):
                raise UncertifiedError("a limit off the diagonal is not proved to lie between 0 and tau^2")
            found[r] = limit
        return series, found

    def _slope_energies(self, taus: Sequence[arb]) -> list[arb]:
        """E[phi'^2] of all states; none where one is infinite."""
        if not all(one.has_slope_energy for one in self._moments):
            return []
        return [one.enclose(tau, [(0, 0)])[0, 0] for one, tau in zip(self._moments, taus, strict=True)]
