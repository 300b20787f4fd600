"""Gaussian moments of an activation in float64: Gauss-Legendre panels that end at its kinks."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from numerics.hermite import gaussian_rule, select_refinement
from numerics.moments import MomentValues
from numerics.pointwise import PointwiseActivation
from numerics.programs import FloatArithmetic, Program, compile_program
from theory.stein import RAW_MOMENTS, SLOPE_FORMS, SLOPE_MOMENTS, STEIN_FORMS
from theory.symbols import d1, d2, d22, mean, tau

__all__ = ["FloatMoments"]

Array = NDArray[np.float64]

#: A jump is told from a kink by comparing values this far (relatively) to either side of a breakpoint.
_SIDE = 1e-9
#: Scales that are evaluated together.
_CHUNK = 64


class FloatMoments:
    """Moments of one activation at any scale.

    Attributes:
        phi: the activation.
        has_jumps: whether it is discontinuous, so that E[phi'^2] is infinite.
    """

    def __init__(self, phi: PointwiseActivation) -> None:
        self.phi = phi
        edges = np.asarray(phi.breakpoints)
        side = _SIDE * (1 + np.abs(edges))
        heights = np.abs(phi.value(edges + side) - phi.value(edges - side))
        steepness = np.abs(phi.derivative(edges + side)) + np.abs(phi.derivative(edges - side))
        self.has_jumps = bool(np.any(heights > 4 * side * steepness + 1e-6))

    def variance(self, scales: Array) -> Array:
        """Return Var phi_0(tau xi) for every tau in a vector."""
        result = np.empty(scales.shape)
        # Scales of one size share panels; the panels of a large scale would be wasted on a small one.
        order = np.argsort(scales)
        for start in range(0, scales.size, _CHUNK):
            part = order[start : start + _CHUNK]
            chosen = scales[part]
            xi, weight = gaussian_rule(chosen, self.phi.breakpoints, refinement=self.refinement(chosen))
            values = self.phi.value(chosen[:, None] * xi)
            # Overflow at a scale that the march tries out gives nan, which it takes for the end of the moments.
            with np.errstate(over="ignore", invalid="ignore"):
                centred = values - np.sum(weight * values, axis=1)[:, None]
                result[part] = np.sum(weight * centred**2, axis=1)
        return result

    def refinement(self, scales: Array) -> int:
        """Return the level of panel refinement that a range of scales needs."""
        return select_refinement(self.phi, scales)[0]

    def at(self, scale: float, level: int | None = None) -> MomentValues:
        """Return the moments at a scale tau > 0, with panels of a level known beforehand or chosen here."""
        if level is None:
            level = self.refinement(np.array([scale]))
        xi, weight = gaussian_rule(np.array([scale]), self.phi.breakpoints, refinement=level)
        # Panels without width have no weight; at a kink between them the slope may be infinite.
        kept = weight[0] > 0
        xi, weight = xi[0][kept], weight[0][kept]
        values, slopes = self.phi.value(scale * xi), self.phi.derivative(scale * xi)
        first = float(weight @ values)
        centred = values - first
        raw = {key: float(weight @ (xi ** key[0] * values ** key[1])) for key in RAW_MOMENTS}
        # The variance of the centred values does not cancel; Stein's form of it would.
        spread = float(weight @ centred**2)
        if self.has_jumps:
            slope, curvature, square = _stein_program()(scale, *(raw[key] for key in RAW_MOMENTS))
            return MomentValues(first, spread, float(slope), float(curvature), float(square), None)
        slope_moments = {
            "slope": float(weight @ slopes),
            "xi slope": float(weight @ (xi * slopes)),
            "xi value slope": float(weight @ (xi * values * slopes)),
        }
        slope, curvature, square = _slope_program()(scale, first, *(slope_moments[key] for key in SLOPE_MOMENTS))
        return MomentValues(first, spread, float(slope), float(curvature), float(square), float(weight @ slopes**2))


@cache
def _stein_program() -> Program:
    symbols = [tau, *(RAW_MOMENTS[key] for key in RAW_MOMENTS)]
    return compile_program([STEIN_FORMS[s] for s in (d1, d2, d22)], symbols, FloatArithmetic())


@cache
def _slope_program() -> Program:
    symbols = [tau, mean, *(SLOPE_MOMENTS[key] for key in SLOPE_MOMENTS)]
    return compile_program([SLOPE_FORMS[s] for s in (d1, d2, d22)], symbols, FloatArithmetic())
