"""Gaussian moments of an activation in float64: Gauss-Legendre panels that end at its kinks."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np

from numerics.arithmetic import FloatArithmetic, PointwiseActivation, Program, compile_program
from numerics.arrays import EPS, Array
from numerics.moments.quadrature import gaussian_rule, select_refinement
from numerics.moments.stein import moments_from_raw, stein_program
from numerics.moments.values import MomentValues
from theory.moments import RAW_MOMENTS, SLOPE_FORMS, SLOPE_MOMENTS
from theory.symbols import d1, d2, d22, mean, tau

__all__ = ["FloatMoments"]

#: A jump is told from a kink by comparing values this far (relatively) to either side of a breakpoint, and a slope
#: that behaves like |distance|^p there by comparing slopes this far and this much nearer.
_SIDE = 1e-9
_NEARER = 1e-3
#: E[phi'^2] is infinite from p = -1/2 down; a smaller |p| than the second is no singularity (log has p = -0.04 here).
_INFINITE_ENERGY = -0.4999
_SINGULAR = -0.01
#: Panels towards a singular slope halve this often: at 0 as often as it takes, elsewhere to the last bits.
_HALVINGS_AT_ZERO = 240
_HALVINGS = 44
#: Scales that are evaluated together.
_CHUNK = 64
#: Rounding of a sum relative to the sum of its terms' sizes: of the terms, of phi in each, and of adding them up.
_ROUNDING = 64 * EPS
#: Relative step of tau by which it is estimated how fast the moments change.
_STEP = 1e-4


class FloatMoments:
    """Moments of one activation at any scale.

    Attributes:
        phi: the activation.
        has_jumps: whether it is discontinuous.
        has_slope_energy: whether E[phi'^2] is finite: no jumps, and no slope that is singular like 1/sqrt or worse.
    """

    def __init__(self, phi: PointwiseActivation) -> None:
        self.phi = phi
        edges = np.asarray(phi.breakpoints)
        side = _SIDE * (1 + np.abs(edges))
        heights = np.abs(phi.value(edges + side) - phi.value(edges - side))
        steepness = np.abs(phi.derivative(edges + side)) + np.abs(phi.derivative(edges - side))
        # A steep slope next to a breakpoint explains a difference of values, unless it is singular itself.
        rates = np.minimum(self._slope_rate(edges, 1), self._slope_rate(edges, -1))
        self.has_jumps = bool(np.any(heights > 4 * side * steepness / np.minimum(1 + rates, 1) + 1e-6))
        self.has_slope_energy = not self.has_jumps and not np.any(rates <= _INFINITE_ENERGY)
        self._singular = edges[rates < _SINGULAR]

    def _slope_rate(self, edges: Array, way: int) -> Array:
        """The p of phi' ~ |distance|^p to one side of every breakpoint."""
        side = _SIDE * (1 + np.abs(edges))
        distances, slopes = [], []
        for reach in (side, _NEARER * side):
            point = edges + way * reach
            distances.append(np.abs(point - edges))
            slopes.append(np.abs(self.phi.derivative(point)))
        with np.errstate(divide="ignore", invalid="ignore"):
            rates = np.log(slopes[1] / slopes[0]) / np.log(distances[1] / distances[0])
        return np.nan_to_num(rates, nan=0.0, posinf=0.0, neginf=0.0)

    def variance(self, scales: Array) -> Array:
        """Return Var phi_0(tau xi) for every tau of an (n,) array."""
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

    def _graded_edges(self, scale: float) -> Array | None:
        """Ends of panels that shrink towards the breakpoints with singular slopes, (1, m), or None without any."""
        ends = []
        for edge in self._singular:
            count = _HALVINGS if edge else _HALVINGS_AT_ZERO
            distances = (1 + abs(edge)) * 0.5 ** np.arange(count)
            ends += [edge - distances, edge + distances]
        return np.concatenate(ends)[None, :] / scale if ends else None

    def refinement(self, scales: Array) -> int:
        """Return the level of panel refinement that scales, an (n,) array of standard deviations, need."""
        return select_refinement(self.phi, scales, checked=False)[0]

    def at(self, scale: float, level: int | None = None) -> MomentValues[float]:
        """Return the moments at a scale tau > 0, with panels of a level known beforehand or chosen here."""
        if level is None:
            level = self.refinement(np.array([scale]))
        xi, weight = self.nodes(scale, level)
        values, slopes = self.phi.value(scale * xi), self.phi.derivative(scale * xi)
        with np.errstate(over="ignore", invalid="ignore"):
            return self._summed(scale, xi, weight, values, slopes)

    def nodes(self, scale: float, level: int) -> tuple[Array, Array]:
        """Return nodes and weights for a scale tau > 0 with panels of a level, both of shape (M,)."""
        xi, weight = gaussian_rule(
            np.array([scale]), self.phi.breakpoints, extra_edges=self._graded_edges(scale), refinement=level
        )
        # Panels without width have no weight; at a kink between them the slope may be infinite.
        kept = weight[0] > 0
        return xi[0][kept], weight[0][kept]

    def _summed(self, scale: float, xi: Array, weight: Array, values: Array, slopes: Array) -> MomentValues[float]:
        """The moments from values and slopes at the nodes; not finite where those overflow."""
        # NumPy's floats become infinite where Python's raise OverflowError.
        first = np.float64(weight @ values)
        centred = values - first
        # The variance of the centred values does not cancel; Stein's form of it would.
        spread = float(weight @ centred**2)
        if not self.has_slope_energy:
            raw = {(k, j): np.float64(weight @ (xi**k * values**j)) for k, j in RAW_MOMENTS}
            return replace(moments_from_raw(_stein_program(), scale, raw), variance=spread).map(float)
        slope_moments = {
            "slope": np.float64(weight @ slopes),
            "xi slope": np.float64(weight @ (xi * slopes)),
            "xi value slope": np.float64(weight @ (xi * values * slopes)),
        }
        slope, curvature, square = _slope_program()(scale, first, *(slope_moments[key] for key in SLOPE_MOMENTS))
        return MomentValues(
            float(first), spread, float(slope), float(curvature), float(square), float(weight @ slopes**2)
        )

    def estimated(self, scale: float, reach: float = 0.0) -> tuple[MomentValues[float], MomentValues[float]]:
        """Return the moments at a scale tau > 0 and estimates of their errors: of the quadrature, of rounding, of tau.

        The quadrature's is how far one more halving of the panels moves a moment.  That is no bound: what is narrower
        than the nodes are apart is seen by neither.

        Args:
            scale: tau.
            reach: error of tau itself.
        """
        level = self.refinement(np.array([scale]))
        values, finer = self.at(scale, level), self.at(scale, level + 1)
        errors = _spread(values, finer)
        rounding = self._rounding(scale, level)
        changes = _spread(self.at(scale * (1 + _STEP), level), self.at(scale * (1 - _STEP), level))
        share = reach / (_STEP * scale)
        total: list[Any] = [
            None if error is None or change is None else error + size + share * change
            for error, size, change in zip(errors, rounding, changes, strict=True)
        ]
        return finer, MomentValues(*total)

    def _rounding(self, scale: float, level: int) -> tuple[float, ...]:
        """Rounding errors of mean, variance, d1, d2, d22 and E[phi'^2], from the sizes of the terms in their sums."""
        xi, weight = self.nodes(scale, level)
        sizes, slopes = np.abs(self.phi.value(scale * xi)), np.abs(self.phi.derivative(scale * xi))
        first, second = float(weight @ sizes), float(weight @ sizes**2)
        if self.has_slope_energy:
            terms = [weight @ slopes, weight @ (np.abs(xi) * slopes) / scale]
            terms.append(2 * (weight @ (np.abs(xi) * sizes * slopes) / scale + first * terms[1]))
            energy = float(weight @ slopes**2)
        else:
            terms = [weight @ (np.abs(xi) * sizes) / scale, weight @ ((xi**2 + 1) * sizes) / scale**2]
            terms.append(weight @ ((xi**2 + 1) * sizes**2) / scale**2 + 2 * first * terms[1])
            energy = 0.0
        return tuple(_ROUNDING * float(size) for size in (first, second, *terms, energy))


def _spread(first: MomentValues[float], second: MomentValues[float]) -> list[float | None]:
    """Distances of two evaluations, moment by moment."""
    pairs = zip(vars(first).values(), vars(second).values(), strict=True)
    return [None if a is None or b is None else abs(a - b) for a, b in pairs]


@cache
def _stein_program() -> Program:
    return stein_program(FloatArithmetic())


@cache
def _slope_program() -> Program:
    symbols = [tau, mean, *SLOPE_MOMENTS.values()]
    return compile_program([SLOPE_FORMS[s] for s in (d1, d2, d22)], symbols, FloatArithmetic())
