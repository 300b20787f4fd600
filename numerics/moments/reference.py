"""Moments at a float64 scale from balls that are proved to hold them.

Quadrature in float64 is judged by two of its levels; what is narrower than their nodes are apart is seen by neither.
These are the numbers against which it is checked.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
from flint import arb, ctx

from numerics.arithmetic import UnsupportedExpressionError
from numerics.arrays import EPS, Array
from numerics.moments.certified import CertifiedMoments, certified_moments
from numerics.moments.enclosures import UncertifiedError
from numerics.moments.stein import stein_balls
from numerics.moments.values import Key, MomentValues
from theory.activations import Activation

__all__ = [
    "BallMoments",
    "moment_balls",
    "reference_energy",
    "reference_slope_energy",
]

#: Bits that are tried, one after another, until a ball is narrow enough.
_BALL_BITS = (80, 120, 200, 400)
#: Relative radius of a variance from which Newton's method on balls starts, and of an energy that is compared.
_VARIANCE = 1e-11
#: Keeps relative radii of 0 finite; far below any moment.
_TINY = 1e-30


class BallMoments:
    """Moments as ``FloatMoments`` has them, by the midpoints of balls: slower, and blind to nothing.

    Args:
        activation: the activation, without free parameters.
    """

    def __init__(self, activation: Activation) -> None:
        self._moments: CertifiedMoments = certified_moments(activation, False)

    def refinement(self, scales: Array) -> int:
        """Return 0: nothing is refined, whatever the scales, an (n,) array."""
        return 0

    def variance(self, scales: Array) -> Array:
        """Return Var phi_0(tau xi) for every tau of an (n,) array."""
        return np.array([self._variance(float(scale)) for scale in scales])

    def _variance(self, scale: float) -> float:
        exact = arb(scale)
        closed = self._moments.closed_forms_at(exact)
        for bits in _precisions(scale):
            with ctx.workprec(bits):
                raw = self._moments.enclose(exact, ((0, 1), (0, 2)), closed=closed)
                variance = raw[0, 2] - raw[0, 1] * raw[0, 1]
            if variance.rad() <= _VARIANCE * abs(variance.mid()) or (variance.contains(0) and variance.rad() < _TINY):
                return _midpoint(variance)
        raise UncertifiedError("the variance is not enclosed")

    def at(self, scale: float, level: int | None = None) -> MomentValues[float]:
        """Return the moments at a scale tau > 0, E[phi'^2] left out."""
        return moment_balls(self._moments, scale).map(_midpoint)


def _precisions(scale: float) -> Iterator[int]:
    """The bits that are tried at a scale: moments at a small one cancel."""
    lost = int(6 * max(0.0, -np.log2(scale)))
    return (bits + lost for bits in _BALL_BITS)


def _midpoint(ball: arb) -> float:
    return float(ball.mid())


def moment_balls(moments: CertifiedMoments, scale: float) -> MomentValues[arb]:
    """Balls of the theory's moments at a float64 scale, relative radii below float64's rounding where that is reached.

    Args:
        moments: of the activation.
        scale: tau > 0.

    Raises:
        UncertifiedError: an enclosure was not found, with the reason.
    """
    exact = arb(scale)
    closed = moments.closed_forms_at(exact)
    for bits in _precisions(scale):
        with ctx.workprec(bits):
            values = stein_balls(exact, moments.enclose(exact, closed=closed))
        if all(ball.rad() < EPS / 16 * (abs(ball.mid()) + _TINY) for ball in values.known().values()):
            return values
    if not values.variance.is_finite() or values.variance.rad() > EPS * abs(values.variance.mid()):
        raise UncertifiedError("the variance is not enclosed")
    return values


@lru_cache(maxsize=4096)
def reference_energy(activation: Activation, scale: float, bias: float) -> tuple[float, float] | None:
    """Return E[(phi_0(tau xi) - bias)^2] and E[phi_0(tau xi)^2] to ten digits, or None where nothing is proved.

    Args:
        activation: the activation, without free parameters.
        scale: tau > 0.
        bias: subtracted from phi_0.
    """
    for bits, raw in _enclosures(certified_moments(activation, False), scale, ((0, 1), (0, 2))):
        with ctx.workprec(bits):
            energy = raw[0, 2] - 2 * arb(bias) * raw[0, 1] + arb(bias) * arb(bias)
        if energy.rad() <= _VARIANCE * abs(energy.mid()) + EPS * abs(raw[0, 2].mid()):
            return _midpoint(energy), _midpoint(raw[0, 2])
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
    for _, raw in _enclosures(certified_moments(activation, True), scale, ((0, 0),)):
        if raw[0, 0].rad() <= _VARIANCE * abs(raw[0, 0].mid()):
            return _midpoint(raw[0, 0])
    return None


def _enclosures(moments: CertifiedMoments, scale: float, keys: tuple[Key, ...]) -> Iterator[tuple[int, dict[Key, arb]]]:
    """Raw moments at a scale at more and more bits; the end where they have no enclosure."""
    exact = arb(scale)
    try:
        closed = moments.closed_forms_at(exact)
        for bits in _BALL_BITS:
            yield bits, moments.enclose(exact, keys, closed=closed, precision=bits)
    except (UncertifiedError, UnsupportedExpressionError):
        return
