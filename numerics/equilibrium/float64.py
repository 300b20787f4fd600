"""Solve a DEQ's system of nonlinear equations: tau_*, then every coefficient of its kernels' equivalents.

Theory sheet, section 3.  The formulas are ``theory.equations.deq``'s; this module finds tau_* and evaluates them,
either in float64 (``solve_float``, about 13 digits, a millisecond) or to any number of digits (``solve``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType

import numpy as np

from numerics.arithmetic import FloatArithmetic, PointwiseActivation
from numerics.arrays import EPS
from numerics.equilibrium.formulas import CompiledFormulas, evaluate_formulas
from numerics.equilibrium.parameters import EquilibriumError, check_parameters
from numerics.moments import FloatMoments
from theory.kernels import Kernel, KernelCoefficients

__all__ = [
    "FloatEquilibrium",
    "float_scale",
    "solve_float",
]


@dataclass(frozen=True)
class FloatEquilibrium:
    """The solution of a DEQ's system in float64.

    Attributes:
        values: coefficients by key of ``COEFFICIENTS`` (an NTK's absent where it does not exist).
        margins: as in ``ImplicitCoefficients``.
    """

    values: Mapping[str, float]
    margins: Mapping[str, float]

    def __getitem__(self, key: str) -> float:
        return self.values[key]

    def kernel(self, kernel: Kernel) -> KernelCoefficients[float]:
        """Return the coefficients of a kernel.

        Raises:
            EquilibriumError: an NTK that does not exist.
        """
        self.check_existence(kernel)
        return KernelCoefficients.of(self.values, kernel)

    def check_existence(self, kernel: Kernel) -> None:
        """Raise EquilibriumError for an NTK that does not exist."""
        if kernel.keys[0] not in self.values:
            energy = self.margins.get("ntk")
            reason = "E[phi'^2] is infinite" if energy is None else f"sigma_a^2 E[phi'^2] = {energy:.6g} is not below 1"
            raise EquilibriumError(f"the NTKs do not exist, for {reason}")


@cache
def _float_formulas() -> CompiledFormulas:
    return CompiledFormulas.over(FloatArithmetic())


# --------------------------------------------------------------------------------------------------------------------
# float64

#: Ratio between neighbouring trial values of tau^2; how many are tried at once, first and at most; and how many in all.
_MARCH_RATIO = 1.03
_FIRST_CHUNK = 16
_LAST_CHUNK = 128
_MARCH_LENGTH = 2048
_POLISH_STEPS = 100
#: To which a local minimum between points of the march is located, relative to their distance.
_DIP_TOLERANCE = 1e-7


def _bracket(response: Callable[[np.ndarray], np.ndarray], start: float, threshold: float) -> tuple[float, float]:
    """Two values of tau^2, round the fixed point of ``response`` that iteration from ``start`` moves towards.

    The sign of response(v) - v is followed from v = start in the direction it points, to its first change: there
    the response crosses the diagonal from above, so its slope is at most 1.  The first value is the one on the side
    of ``start``.
    """
    first = float(response(np.array([start]))[0]) - start
    if first == 0.0:
        return start, start
    upwards = first > 0
    sign = 1.0 if upwards else -1.0

    def excess(v: np.ndarray) -> np.ndarray:
        """How far the response is from v, relative to v: positive until the first root."""
        return np.asarray(sign * (response(v) / v - 1))

    low, begin, length = start, 1, _FIRST_CHUNK
    seen, values = np.array([start]), np.array([abs(first) / start])
    while begin < _MARCH_LENGTH:
        exponents = np.arange(begin, begin + length)
        trial = start * _MARCH_RATIO ** (exponents if upwards else -exponents)
        trial = trial[trial < threshold]
        if trial.size == 0:
            break
        found = excess(trial)
        crossed = np.flatnonzero(~(found > 0) if upwards else found <= 0)
        passed = int(crossed[0]) if crossed.size else trial.size
        # The last two points of the chunk before: a dip may lie on the border.
        seen, values = np.append(seen[-2:], trial[:passed]), np.append(values[-2:], found[:passed])
        dip = _dip(excess, seen, values, from_start=begin == 1)
        if dip is not None:
            return dip
        if crossed.size:
            if not np.isfinite(found[passed]):
                break
            return float(seen[-1]), float(trial[passed])
        low = float(trial[-1])
        begin, length = begin + length, min(2 * length, _LAST_CHUNK)
    bound = f" below tau = {np.sqrt(threshold):.6g}, where the moments cease to exist" if np.isfinite(threshold) else ""
    raise EquilibriumError(
        f"no stable equilibrium was found: tau^2 = sigma_a^2 Var phi(tau xi) + sigma_b^2 tau_0^2 has no solution seen "
        f"on the way from tau_0{bound} (searched up to tau = {np.sqrt(low):.3g}); a smaller sigma_a2 would be accepted"
    )


def _dip(
    excess: Callable[[np.ndarray], np.ndarray], points: np.ndarray, values: np.ndarray, *, from_start: bool
) -> tuple[float, float] | None:
    """A bracket of the first of two roots that lie between neighbouring points, or None.

    Just before a stable and an unstable root meet, the points of the march miss both; but then the values have a local
    minimum there, lower than it is deep, which is looked at closely.
    """
    falls = np.append(from_start, values[1:] < values[:-1])
    rises = np.append(values[:-1] <= values[1:], False)
    lows = [k for k in np.flatnonzero(falls & rises).tolist() if 2 * values[k] <= values[max(k - 1, 0) : k + 3].max()]
    if not lows:
        return None
    from scipy.optimize import minimize_scalar  # slow to import, and seldom needed

    for position in lows:
        left, right = float(points[max(position - 1, 0)]), float(points[position + 1])
        middle, reach = (left + right) / 2, (right - left) / 2
        # In units of the interval, whose width sets the tolerance.
        lowest = minimize_scalar(
            lambda t: float(excess(np.array([middle + t * reach]))[0]),  # noqa: B023
            bounds=(-1, 1),
            method="bounded",
            options={"xatol": _DIP_TOLERANCE},
        )
        if lowest.fun <= 0:
            return left, middle + float(lowest.x) * reach
    return None


def float_scale(moments: FloatMoments, weight_a: float, weight_b: float, scale: float, threshold: float) -> float:
    """Return tau_* in float64, the root reached from tau_0 = ``scale``.

    Newton's method on tau^2 inside the bracket, which halves it where it would leave.

    Args:
        moments: of the activation.
        weight_a: sigma_a^2 >= 0.
        weight_b: sigma_b^2 > 0.
        scale: tau_0 > 0.
        threshold: tau below which E[phi^2] is finite, often infinite.

    Raises:
        EquilibriumError: no root is reached from tau_0.
    """

    def response(v: np.ndarray) -> np.ndarray:
        return np.asarray(weight_a * moments.variance(np.sqrt(v)) + weight_b * scale**2)

    near, far = _bracket(response, scale**2, threshold**2)
    if near == far:
        return float(np.sqrt(near))
    level = moments.refinement(np.sqrt(np.array([near, far])))
    upwards = far > near
    square = (near + far) / 2
    for _ in range(_POLISH_STEPS):
        values = moments.at(float(np.sqrt(square)), level)
        gap = weight_a * values.variance + weight_b * scale**2 - square
        if gap == 0.0:
            break
        if (gap > 0) == upwards:
            near = square
        else:
            far = square
        slope = weight_a * values.d22 / 2
        new = square + gap / (1 - slope) if slope != 1 else np.nan
        if not min(near, far) < new < max(near, far):
            # On an end of the bracket Newton's method has converged, up to rounding.
            if abs(new - square) <= 4 * EPS * square:
                break
            new = (near + far) / 2
        if abs(new - square) <= EPS * square or new in (near, far):
            square = new
            break
        square = new
    return float(np.sqrt(square))


def solve_float(
    phi: PointwiseActivation, sigma_a2: float, sigma_b2: float, tau0: float, *, threshold: float = np.inf
) -> FloatEquilibrium:
    """Solve the system in float64, for sweeps and simulations (relative error about 1e-12 away from thresholds).

    Args:
        phi: the activation.
        sigma_a2: variance of the recurrent weights, >= 0.
        sigma_b2: variance of the input weights, > 0.
        tau0: input scale tau_0 > 0.
        threshold: tau beyond which the second moment of the activation is infinite.

    Raises:
        EquilibriumError: parameters out of range, or no stable equilibrium reached from tau_0.
    """
    check_parameters(sigma_a2, sigma_b2, tau0)
    moments = FloatMoments(phi)
    scale = float_scale(moments, sigma_a2, sigma_b2, tau0, threshold)
    at_root = moments.at(scale)
    values, margins = evaluate_formulas(_float_formulas(), scale, at_root, (sigma_a2, sigma_b2), 4 * EPS)
    return FloatEquilibrium(MappingProxyType(values), MappingProxyType(margins))


# --------------------------------------------------------------------------------------------------------------------
# any precision
