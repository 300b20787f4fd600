"""A cell's equations solved in float64, without proof: where none is found, and along sweeps.

Theory sheet, section 8.  Every moment is taken with panels of two widths and series of two lengths.  How far these are
apart, and what rounding may do, is the radius of a ball: an estimate, no bound.  The formulas are those of the
certified solution, evaluated in these balls, so that each number comes with what the estimates make of it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
from flint import arb, ctx

from numerics.arithmetic import pointwise, rounded_decimal
from numerics.arrays import EPS, Array
from numerics.budget import checkpoint
from numerics.equilibrium.coupled_equations import SquareMoments
from numerics.equilibrium.coupled_numbers import CellMoments, evaluate_cell
from numerics.equilibrium.coupled_start import float_weights, reached_scales, rough_limits
from numerics.equilibrium.sweeps import FLOAT_DIGITS
from numerics.moments import (
    FloatMoments,
    HermiteFloats,
    MomentAccuracyError,
    UncertifiedError,
    hermite_floats,
    select_refinement,
    terms_needed,
)
from theory.equations import PAIR_ORDERS, SQUARE_ORDERS, CoupledDEQ, EquilibriumError

__all__ = ["FloatStates", "solve_states"]

#: Digits to which the longer series are summed; the shorter ones have this share of their terms.
_SERIES_DIGITS = 20
_SHORTER = 0.75
#: Relative step of the scales by which it is estimated how fast the moments change.
_STEP = 1e-6
#: Rounding of a moment relative to the sizes that its sum adds up.
_ROUNDING = 64 * EPS
#: Variances and moments must be known to this, relative: else float64 has not seen the activation.
_SETTLED = 1e-8
#: Terms beyond those needed, of derivatives.
_EXTRA = 8
_BITS = 64


@dataclass(frozen=True)
class FloatStates:
    """The solution of a cell's equations in float64.

    Attributes:
        cell: the cell.
        digits: significant digits asked for, at most ``FLOAT_DIGITS``.
        states: balls of each state by key, as in ``CertifiedStates``; their radii are estimates.
        margins: likewise.
        certified: that nothing is proved.
        followed: that it is not known whether tau_0 leads to this solution.
    """

    cell: CoupledDEQ
    digits: int
    states: tuple[Mapping[str, arb], ...]
    margins: Mapping[str, arb]
    certified: ClassVar[bool] = False
    followed: ClassVar[None] = None

    def floats(self, state: int) -> dict[str, float]:
        """Return a state's numbers in float64, by key."""
        return {key: float(ball.mid()) for key, ball in self.states[state].items()}

    def decimal(self, state: int, key: str) -> str:
        """Return a state's number to ``digits`` significant digits, or to those that its estimated error leaves.

        Raises:
            KeyError: there is no such key.
        """
        ball = self.states[state][key]
        if ball.contains(0):
            return "0"
        known = max(1, int(0.30103 * ball.rel_accuracy_bits()))
        return rounded_decimal(ball.mid(), min(self.digits, known))[0]


def solve_states(cell: CoupledDEQ, digits: int = FLOAT_DIGITS) -> FloatStates:
    """Solve a cell's equations in float64, without proof.

    Args:
        cell: the cell.
        digits: significant decimal digits, >= 1; of more than ``FLOAT_DIGITS`` that many are found.

    Raises:
        EquilibriumError: digits out of range, or no stable equilibrium is reached from tau_0.
        MomentAccuracyError: the moments are not known to enough digits.

    Example:
        >>> from theory.equations import DEQ
        >>> found = solve_states(CoupledDEQ.of(DEQ("relu", "2/5", "3/5"), sigma_c2="1/10", centred=False))
        >>> found.decimal(0, "q")
        '0.174235889263'
    """
    if digits < 1:
        raise EquilibriumError(f"digits must be at least 1, not {digits}")
    scales = reached_scales(cell)
    moments = [FloatMoments(pointwise(state.activation)) for state in cell.states]
    levels = [
        select_refinement(one.phi, np.array([scale]))[0] for one, scale in zip(moments, scales, strict=True)
    ]  # fmt: skip
    with ctx.workprec(_BITS):
        given = _estimated(cell, moments, scales, levels)
        try:
            found = evaluate_cell(cell, given)
        except (UncertifiedError, ZeroDivisionError) as error:
            raise MomentAccuracyError(f"float64 has too few digits: {error}") from error
    states = tuple(map(MappingProxyType, found.states))
    return FloatStates(cell, min(digits, FLOAT_DIGITS), states, MappingProxyType(found.margins))


@dataclass(frozen=True)
class _Sample:
    """Moments of R states at given scales.

    Attributes:
        limits: q_r, (R,).
        squares: E[(phi_r^2)^(m)] for m = 0, 2, 4, (R, 3).
        pairs: those of ``PAIR_ORDERS``, (R, 6).
        energies: E[phi_r'^2], (R,), or of no length where one is infinite.
    """

    limits: Array
    squares: Array
    pairs: Array
    energies: Array

    @property
    def slopes(self) -> Array:
        """F_l by state, (R,)."""
        return np.asarray(self.pairs[:, PAIR_ORDERS.index((1, 1))])


def _sample(
    cell: CoupledDEQ, moments: Sequence[FloatMoments], scales: Array, levels: Sequence[int], share: float
) -> _Sample:
    """The moments with panels of given levels and a share of the terms that series need."""

    def series(order: int) -> list[HermiteFloats]:
        checkpoint()
        found = []
        for state, one, scale, level in zip(cell.states, moments, scales, levels, strict=True):
            floats = hermite_floats(one, float(scale), order, level)
            found.append(floats.centred() if state.centred else floats)
        return found

    limits = rough_limits(cell, scales, lambda n: np.array([one.coefficients**2 for one in series(n)]))
    rho = limits / scales**2
    found = series(int(share * terms_needed(float(np.max(rho)), _SERIES_DIGITS)) + _EXTRA)
    energies: list[float] = []
    if all(one.has_slope_energy for one in moments):
        values = [one.at(float(scale), level) for one, scale, level in zip(moments, scales, levels, strict=True)]
        energies = [float(value.slope_energy or 0.0) for value in values]
    return _Sample(
        limits,
        np.array([[one.square_derivative(m) for m in SQUARE_ORDERS] for one in found]),
        np.array([[one.pair_moment(j, k, r) for j, k in PAIR_ORDERS] for one, r in zip(found, rho, strict=True)]),
        np.array(energies),
    )


def _estimated(cell: CoupledDEQ, moments: Sequence[FloatMoments], scales: Array, levels: Sequence[int]) -> CellMoments:
    """The moments in balls whose radii are estimates."""
    matrix, drive, _ = float_weights(cell)
    finer = [level + 1 for level in levels]
    best = _sample(cell, moments, scales, finer, 1.0)
    coarse = _sample(cell, moments, scales, levels, _SHORTER)
    shifted = _sample(cell, moments, scales * (1 + _STEP), finer, 1.0)
    squares = scales**2
    gap = np.abs(matrix @ best.squares[:, 0] + drive - squares)
    if not np.all(gap <= _SETTLED * squares):
        raise _unsettled("variances")
    errors = _amplified(matrix * best.squares[:, 1] / 2, gap + _ROUNDING * squares)
    reach = float(np.max(errors / squares)) / 2

    def radii(name: str, sizes: Array) -> Array:
        value, other, moved = (getattr(one, name) for one in (best, coarse, shifted))
        if not np.all(np.abs(value - other) <= _SETTLED * sizes):
            raise _unsettled("moments")
        return np.asarray(np.abs(value - other) + np.abs(value - moved) * (reach / _STEP) + _ROUNDING * sizes)

    energy = best.squares[:, :1]
    of_squares = energy * [math.sqrt(math.factorial(m)) for m in SQUARE_ORDERS] / scales[:, None] ** SQUARE_ORDERS
    degrees = [j + k for j, k in PAIR_ORDERS]
    of_pairs = np.abs(best.pairs) + energy * np.sqrt([math.factorial(n) for n in degrees]) / scales[:, None] ** degrees
    plain = np.array(cell.uncorrelated)
    limits = _amplified(matrix * np.where(plain, 0.0, best.slopes), radii("limits", squares))
    squared = _balls(best.squares, radii("squares", np.abs(best.squares) + of_squares))
    pairs = _balls(best.pairs, np.where(best.pairs == 0, 0.0, radii("pairs", of_pairs)))
    return CellMoments(
        _balls(scales, errors / (2 * scales)),
        _balls(best.limits, np.where(plain, 0.0, limits)),
        [SquareMoments(tuple(row)) for row in squared],
        [dict(zip(PAIR_ORDERS, row, strict=True)) for row in pairs],
        _balls(best.energies, radii("energies", best.energies)),
    )


def _unsettled(what: str) -> MomentAccuracyError:
    return MomentAccuracyError(
        f"float64 does not settle on the {what} of the states: a smoother activation, or correlations off the diagonal "
        "further from 1, would be accepted"
    )


def _amplified(jacobian: Array, errors: Array) -> Array:
    """What errors of x -> f(x) make of its fixed point, (R,), f with an (R, R) Jacobian."""
    return np.asarray(np.abs(np.linalg.inv(np.eye(len(errors)) - jacobian)) @ errors)


def _balls(values: Array, radii: Array) -> Any:
    """Balls in (nested) lists of the arrays' shape.

    Raises:
        MomentAccuracyError: a number that is not finite.
    """
    if not (np.all(np.isfinite(values)) and np.all(np.isfinite(radii))):
        raise MomentAccuracyError("a moment is not finite in float64")
    ball = np.vectorize(lambda value, radius: arb(float(value), float(radius)), otypes=[object])
    return ball(values, radii).tolist() if values.size else []
