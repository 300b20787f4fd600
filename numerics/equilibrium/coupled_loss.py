"""Where the slope at correlation 1 of a cell of one state reaches 1 as sigma_a^2 grows.

Theory sheet, section 8.  Along the branch of equilibria from sigma_a^2 = 0, v = tau^2 is the parameter:

    sigma_a^2(v) = (v - v_0)/E(v),    v_0 = sigma_b^2 tau_0^2 + sigma_c^2,    E(v) = E[phi(sqrt(v) xi)^2],

with phi centred or not, and chi = sigma_a^2 E[phi'^2] is 1 at a zero of

    N(v) = (v - v_0) E[phi'(sqrt(v) xi)^2] - E(v).

N is proved to have opposite signs at the ends of a small ball of v, so that a zero lies in it; sigma_a^2 there is
1/E[phi'^2] over the ball.  That it is the first is seen in float64 only, as for one centred state (``stability``).
"""

from __future__ import annotations

import math

import numpy as np
import scipy.optimize
from flint import arb, ctx

from numerics.arithmetic import BITS_PER_DIGIT, constant_ball, moment_threshold, pointwise
from numerics.equilibrium.stability import LossKind, StabilityLoss
from numerics.moments import FloatMoments, UncertifiedError, certified_moments
from theory.equations import CoupledDEQ, EquilibriumError

__all__ = ["locate_slope_loss"]

#: Step of log v along the branch, and how far it is followed.
_STEP = 0.03
_REACH = 16.0
_GUARD = 10


def locate_slope_loss(cell: CoupledDEQ, digits: int = 15) -> StabilityLoss:
    """Follow the equilibrium of one state from sigma_a^2 = 0 to where sigma_a^2 E[phi'^2] reaches 1.

    Args:
        cell: of one state, centred or not; its sigma_a^2 plays no part.
        digits: significant digits of sigma_a^2.

    Returns:
        The point, of kind ``NTK``; of kind ``NONE`` where none is met before the equilibrium is lost.

    Raises:
        EquilibriumError: several states.

    Example:
        >>> from theory.equations import State
        >>> loss = locate_slope_loss(CoupledDEQ([State("relu", "3/5", "1/10", centred=False)], [[0]]))
        >>> loss.kind.name
        'NONE'
    """
    only, *others = cell.states
    if others:
        raise EquilibriumError(f"the slope at correlation 1 is followed of one state, not of {len(cell.states)}")
    start = float((only.sigma_b2 * cell.tau0**2 + only.sigma_c2).evalf(25))
    moments = FloatMoments(pointwise(only.activation))
    why = "E[phi'^2] is infinite, so the NTKs do not exist"
    if not moments.has_slope_energy:
        return StabilityLoss(LossKind.NONE, None, None, True, digits, why)

    def parts(square: float) -> tuple[float, float, float]:
        """E, its derivative and E[phi'^2] at v."""
        at = moments.at(math.sqrt(square))
        mean = 0.0 if only.centred else at.mean
        return at.variance + mean**2, at.d22 / 2 + mean * at.d2, float(at.slope_energy or 0.0)

    def crossing(square: float) -> float:
        energy, _, slope = parts(square)
        return (square - start) * slope - energy

    none = StabilityLoss(LossKind.NONE, None, None, False, digits, "sigma_a^2 E[phi'^2] stays below 1 along the branch")
    before, limit = start, moment_threshold(only.activation) ** 2
    for count in range(1, int(_REACH / _STEP)):
        square = start * math.exp(_STEP * count)
        if square >= limit:
            return none
        energy, half, _ = parts(square)
        # The branch folds back where sigma_a^2(v) ceases to grow.
        if not np.isfinite(energy) or energy <= (square - start) * half:
            return none
        if crossing(square) > 0:
            near = float(scipy.optimize.brentq(crossing, before, square, xtol=1e-300, rtol=1e-14))
            return _certified(cell, near, digits)
        before = square
    return none


def _certified(cell: CoupledDEQ, near: float, digits: int) -> StabilityLoss:
    """The point next to a v in float64, with proof where that is found."""
    state, why = cell.states[0], "sigma_a^2 E[phi'^2], the slope at correlation 1, reaches 1"
    moments = certified_moments(state.activation)
    with ctx.workprec(int((digits + _GUARD) * 2 * BITS_PER_DIGIT) + 30):
        drive = constant_ball(state.sigma_b2 * cell.tau0**2 + state.sigma_c2)

        def crossing(at: arb) -> arb:
            raw = moments.enclose(at.sqrt(), [(0, 0), (0, 1), (0, 2)])
            mean = raw[0, 1] if state.centred else arb(0)
            value: arb = (at - drive) * raw[0, 0] - (raw[0, 2] - mean * mean)
            return value

        try:
            low, high = arb(near) * (1 - arb(10) ** -12), arb(near) * (1 + arb(10) ** -12)
            low, high = low.mid(), high.mid()
            first, second = crossing(low), crossing(high)
            if not (first < 0 and second > 0):
                raise UncertifiedError("it is not proved that the slope passes 1")
            while high - low > high * arb(10) ** -(digits + _GUARD):
                # Regula falsi with a margin on either side, which is kept only where the signs are proved.
                middle, reach = (low - first * (high - low) / (second - first)).mid(), (high - low) / 1000
                left, right = (middle - reach).mid().max(low), (middle + reach).mid().min(high)
                at_left, at_right = crossing(left), crossing(right)
                if not (at_left < 0 and at_right > 0):
                    raise UncertifiedError("the digits asked for are not reached")
                low, high, first, second = left, right, at_left, at_right
            box = low.union(high)
            weight = 1 / moments.enclose(box.sqrt(), [(0, 0)])[0, 0]
            if not weight.rad() < abs(weight.mid()) * arb(10) ** -(digits + 2):
                raise UncertifiedError("the digits asked for are not reached")
        except UncertifiedError as error:
            slope = FloatMoments(pointwise(state.activation)).at(math.sqrt(near)).slope_energy
            value, tau = 1 / float(slope or math.nan), math.sqrt(near)
            seen = arb(value, value * 1e-8), arb(tau, tau * 1e-6)
            return StabilityLoss(LossKind.NTK, *seen, False, digits, f"{why}; seen in float64, not certified: {error}")
        return StabilityLoss(LossKind.NTK, weight, box.sqrt(), True, digits, why)
