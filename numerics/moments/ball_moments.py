"""Moments of an activation at a float64 scale from balls that are proved to hold them.

Quadrature in float64 is judged by two of its levels; what is narrower than their nodes are apart is seen by neither.
These are the numbers against which it is checked.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import sympy as sp
from flint import arb, ctx

from numerics.arithmetic import UnsupportedExpressionError
from numerics.arrays import EPS
from numerics.moments.certified import CertifiedMoments, UncertifiedError, certified_moments
from numerics.moments.node_sums import Key
from numerics.moments.stein import stein_balls
from numerics.moments.values import MomentValues
from theory.activations import Activation
from theory.moments import RAW_MOMENTS
from theory.symbols import d1, d2, d22, mean, variance

__all__ = [
    "MOMENTS",
    "BallMoments",
    "moment_balls",
    "reference_energy",
    "reference_slope_energy",
]

#: The moments that an equilibrium is made of, E[phi'^2] apart, in the order of ``MomentValues``.
MOMENTS = (mean, variance, d1, d2, d22)
#: Bits that are tried, one after another, until a ball is narrow enough.
_BALL_BITS = (80, 120, 200, 400)
#: Relative radius of a variance from which Newton's method on balls starts, and of an energy that is compared.
_VARIANCE = 1e-11
#: Keeps relative radii of 0 finite; far below any moment.
_TINY = 1e-30


class BallMoments:
    """Moments as ``FloatMoments`` has them, by the midpoints of balls: slower, and blind to nothing."""

    def __init__(self, activation: Activation) -> None:
        self._moments: CertifiedMoments = certified_moments(activation, False)

    def refinement(self, scales: np.ndarray) -> int:
        """Return 0: nothing is refined."""
        return 0

    def variance(self, scales: np.ndarray) -> np.ndarray:
        """Return Var phi_0(tau xi) for every tau of an (n,) array."""
        return np.array([self._variance(float(scale)) for scale in scales])

    def _variance(self, scale: float) -> float:
        exact = arb(scale)
        self._moments.choose_closed_forms(exact)
        for bits in _BALL_BITS:
            with ctx.workprec(bits + int(6 * max(0.0, -np.log2(scale)))):
                raw = self._moments.values(exact, ((0, 1), (0, 2)))
                found = raw[0, 2] - raw[0, 1] * raw[0, 1]
            if found.rad() <= _VARIANCE * abs(found.mid()) or (found.contains(0) and found.rad() < _TINY):
                return float(found.mid())
        raise UncertifiedError("the variance is not enclosed")

    def at(self, scale: float, level: int | None = None) -> MomentValues:
        """Return the moments at a scale tau > 0, E[phi'^2] left out."""
        found = moment_balls(self._moments, scale)
        first, spread, slope, curvature, square = (float(found[key].mid()) for key in MOMENTS)
        return MomentValues(first, spread, slope, curvature, square, None)


def moment_balls(moments: CertifiedMoments, scale: float) -> dict[sp.Symbol | str, arb]:
    """Balls of the theory's moments at a float64 scale, relative radii below float64's rounding where that is reached.

    Raises:
        UncertifiedError: an enclosure was not found, with the reason.
    """
    exact = arb(scale)
    moments.choose_closed_forms(exact)
    found: dict[sp.Symbol | str, arb] = {}
    for bits in _BALL_BITS:
        with ctx.workprec(bits + int(6 * max(0.0, -np.log2(scale)))):
            raw = moments.values(exact)
            found = {**stein_balls(exact, {key: raw[key] for key in RAW_MOMENTS})}
            if (0, 0) in raw:
                found["energy"] = raw[0, 0]
        if all(ball.rad() < EPS / 16 * (abs(ball.mid()) + _TINY) for ball in found.values()):
            return found
    if not found[variance].is_finite() or found[variance].rad() > EPS * abs(found[variance].mid()):
        raise UncertifiedError("the variance is not enclosed")
    return found


@lru_cache(maxsize=4096)
def reference_energy(activation: Activation, scale: float, bias: float) -> tuple[float, float] | None:
    """Return E[(phi_0(tau xi) - bias)^2] and E[phi_0(tau xi)^2] to ten digits, or None where nothing is proved.

    Args:
        activation: the activation, without free parameters.
        scale: tau > 0.
        bias: subtracted from phi_0.
    """
    for bits in _BALL_BITS:
        raw = _raw(activation, scale, bits, ((0, 1), (0, 2)), with_energy=False)
        if raw is None:
            return None
        with ctx.workprec(bits):
            energy = raw[0, 2] - 2 * arb(bias) * raw[0, 1] + arb(bias) * arb(bias)
        if energy.rad() <= _VARIANCE * abs(energy.mid()) + EPS * abs(raw[0, 2].mid()):
            return float(energy.mid()), float(raw[0, 2].mid())
    return None


@lru_cache(maxsize=4096)
def reference_slope_energy(activation: Activation, scale: float) -> float | None:
    """Return E[phi_0'(tau xi)^2] to ten digits, or None where it is infinite or nothing is proved.

    Args:
        activation: the activation, without free parameters.
        scale: tau > 0.
    """
    if not activation.has_finite_slope_energy:
        return None
    for bits in _BALL_BITS:
        raw = _raw(activation, scale, bits, ((0, 0),), with_energy=True)
        if raw is None:
            return None
        if raw[0, 0].rad() <= _VARIANCE * abs(raw[0, 0].mid()):
            return float(raw[0, 0].mid())
    return None


def _raw(
    activation: Activation, scale: float, bits: int, keys: tuple[Key, ...], *, with_energy: bool
) -> dict[Key, arb] | None:
    """Raw moments at a scale, or None where they have no enclosure."""
    moments = certified_moments(activation, with_energy)
    exact = arb(scale)
    try:
        moments.choose_closed_forms(exact)
        with ctx.workprec(bits):
            return moments.values(exact, keys)
    except (UncertifiedError, UnsupportedExpressionError):
        return None
