"""Solve a DEQ's system of nonlinear equations: tau_*, then every coefficient of its kernels' equivalents.

Theory sheet, section 3.  The formulas are ``theory.implicit``'s; this module finds tau_* and evaluates them, either in
float64 (``solve_float``, about 13 digits, a millisecond) or to any number of digits (``solve``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Any

import mpmath
import numpy as np
import sympy as sp

from numerics.float_moments import FloatMoments
from numerics.formulas import COEFFICIENTS, NTK_KEYS, CompiledFormulas
from numerics.moments import HighPrecisionMoments, MomentValues
from numerics.pointwise import PointwiseActivation, moment_threshold, pointwise
from numerics.programs import FloatArithmetic, MpArithmetic
from theory.activations import Activation

__all__ = [
    "COEFFICIENTS",
    "NTK_KEYS",
    "EquilibriumError",
    "FloatEquilibrium",
    "ImplicitCoefficients",
    "check_parameters",
    "decimal_string",
    "float_scale",
    "solve",
    "solve_float",
]


class EquilibriumError(ValueError):
    """Parameters for which there is no stable equilibrium, or which are out of range."""


@dataclass(frozen=True)
class ImplicitCoefficients:
    """The solution of a DEQ's system to many digits.

    Attributes:
        activation: the activation, without free parameters.
        sigma_a2: exact variance of the recurrent weights.
        sigma_b2: exact variance of the input weights.
        tau0: exact input scale tau_0.
        digits: significant digits asked for.
        values: mpmath numbers by key of ``COEFFICIENTS``; the NTKs' are absent where an NTK does not exist.
        margins: mpmath numbers that must be below 1: ``tau`` (sigma_a^2 d22/2, stability of tau_*), ``ck``
            (sigma_a^2 d1^2) and ``ntk`` (sigma_a^2 E[phi'^2], absent where E[phi'^2] is infinite).
        residual: |tau^2 - sigma_a^2 Var phi_0(tau xi) - sigma_b^2 tau_0^2| relative to tau^2, at working precision.
        ntk_missing: why the NTKs' coefficients are absent, or an empty string.
    """

    activation: Activation
    sigma_a2: sp.Expr
    sigma_b2: sp.Expr
    tau0: sp.Expr
    digits: int
    values: Mapping[str, Any]
    margins: Mapping[str, Any]
    residual: Any
    ntk_missing: str

    def decimal(self, key: str) -> str | None:
        """Return a coefficient as a decimal string of ``digits`` significant digits, or None where it is absent."""
        value = self.values.get(key)
        return None if value is None else decimal_string(value, self.digits)


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


def decimal_string(value: Any, digits: int) -> str:
    """Return an mpmath number rounded to significant digits, in positional notation where that is short."""
    context = mpmath.MPContext()
    context.dps = digits + 10
    return str(context.nstr(context.mpf(value), digits, strip_zeros=False, min_fixed=-20, max_fixed=max(digits, 21)))


@cache
def _float_formulas() -> CompiledFormulas:
    return CompiledFormulas.over(FloatArithmetic())


def _evaluate(
    compiled: CompiledFormulas, scale: Any, moments: MomentValues, weights: tuple[Any, Any], resolution: Any
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Coefficients and margins from the moments at tau_*; an NTK's are left out where its margin is not below 1.

    Margins nearer to 1 than the resolution count as 1: the coefficients divide by what is left, which is rounding.
    """
    has_energy = moments.slope_energy is not None
    energy = moments.slope_energy if has_energy else 0
    inputs = (scale, moments.variance, moments.d1, moments.d2, moments.d22, energy, *weights)
    margins = compiled.margins_at(inputs, with_energy=has_energy)
    _check_stability(margins["tau"], scale)
    if margins["ck"] >= 1 - resolution:
        raise EquilibriumError(
            f"the CK's coefficients do not exist: sigma_a^2 E[phi']^2 = {float(margins['ck']):.6g} at tau_* = "
            f"{float(scale):.6g}, and it must be below 1; a smaller sigma_a2 would be accepted"
        )
    found = compiled.coefficients_at(inputs, with_ntk=has_energy and bool(margins["ntk"] < 1 - resolution))
    ordered = {"tau": scale, "bias": moments.mean, **found}
    return {key: ordered[key] for key in COEFFICIENTS if key in ordered}, margins


def check_parameters(weight_a: Any, weight_b: Any, scale: Any) -> None:
    """Check that the parameters are in their ranges.

    Args:
        weight_a: sigma_a^2, a number or an exact expression.
        weight_b: sigma_b^2, likewise.
        scale: tau_0, likewise.

    Raises:
        EquilibriumError: not sigma_a^2 >= 0, sigma_b^2 > 0 and tau_0 > 0.
    """
    if not weight_a >= 0:
        raise EquilibriumError(f"sigma_a2 must be a number >= 0, not {weight_a}")
    if not weight_b > 0:
        raise EquilibriumError(f"sigma_b2 must be a number > 0, not {weight_b}")
    if not scale > 0:
        raise EquilibriumError(f"tau0 must be a number > 0, not {scale}")


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
_EPS = float(np.finfo(np.float64).eps)


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
            if abs(new - square) <= 4 * _EPS * square:
                break
            new = (near + far) / 2
        if abs(new - square) <= _EPS * square or new in (near, far):
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
    values, margins = _evaluate(_float_formulas(), scale, at_root, (sigma_a2, sigma_b2), 4 * _EPS)
    return FloatEquilibrium(MappingProxyType(values), MappingProxyType(margins))


def _check_stability(slope: Any, scale: Any) -> None:
    if not slope < 1:
        raise EquilibriumError(
            f"no stable equilibrium: at tau_* = {float(scale):.6g} the slope sigma_a^2 E[(phi^2)'']/2 is "
            f"{float(slope):.12g}, and it must be below 1; a smaller sigma_a2 would be accepted"
        )


# --------------------------------------------------------------------------------------------------------------------
# any precision


def solve(
    activation: Activation, sigma_a2: sp.Expr, sigma_b2: sp.Expr, tau0: sp.Expr, digits: int = 15
) -> ImplicitCoefficients:
    """Solve the system to a number of significant digits.

    Newton's method on tau^2 - sigma_a^2 Var phi_0(tau xi) - sigma_b^2 tau_0^2 = 0, started from the float64 root, with
    the precision doubled at every step.  The residual is checked unsquared at the end.

    Args:
        activation: the activation, without free parameters.
        sigma_a2: exact variance of the recurrent weights, >= 0.
        sigma_b2: exact variance of the input weights, > 0.
        tau0: exact input scale tau_0 > 0.
        digits: significant decimal digits, >= 1.

    Raises:
        EquilibriumError: parameters out of range, or no stable equilibrium reached from tau_0.
        MomentAccuracyError: a moment's digits do not settle.
    """
    check_parameters(sigma_a2, sigma_b2, tau0)
    if digits < 1:
        raise EquilibriumError(f"digits must be at least 1, not {digits}")
    floats = float(sigma_a2), float(sigma_b2), float(tau0)
    start = float_scale(FloatMoments(pointwise(activation)), *floats, moment_threshold(activation))
    moments = HighPrecisionMoments(activation)
    context = mpmath.MPContext()
    scale, at_root, residual, arithmetic = _newton(moments, context, (sigma_a2, sigma_b2, tau0), start, digits)
    weights = (arithmetic.constant(sigma_a2), arithmetic.constant(sigma_b2))
    resolution = context.mpf(10) ** -(digits + 5)
    values, margins = _evaluate(CompiledFormulas.over(arithmetic), scale, at_root, weights, resolution)
    # An error e of the equation moves tau by e/(1 - slope): where two roots meet nothing is left of the digits.
    if (1 - margins["tau"]) ** 2 < resolution:
        raise EquilibriumError(
            f"no stable equilibrium: at tau_* = {float(scale):.6g} the slope sigma_a^2 E[(phi^2)'']/2 is 1 to within "
            f"{float(1 - margins['tau']):.1g}, and it must be below 1; a smaller sigma_a2 would be accepted"
        )
    missing = ""
    if at_root.slope_energy is None:
        missing = "E[phi'^2] is infinite, so the NTKs do not exist"
    elif margins["ntk"] >= 1 - resolution:
        missing = f"sigma_a^2 E[phi'^2] = {float(margins['ntk']):.6g} is not below 1, so the NTKs do not exist"
    return ImplicitCoefficients(
        activation=activation,
        sigma_a2=sigma_a2,
        sigma_b2=sigma_b2,
        tau0=tau0,
        digits=digits,
        values=MappingProxyType({key: _plain(value) for key, value in values.items()}),
        margins=MappingProxyType({key: _plain(value) for key, value in margins.items()}),
        residual=_plain(residual),
        ntk_missing=missing,
    )


def _plain(value: Any) -> Any:
    """An mpmath number of the global context with all its digits."""
    return mpmath.mp.make_mpf(mpmath.mpf(value)._mpf_ if not hasattr(value, "_mpf_") else value._mpf_)


def _newton(
    moments: HighPrecisionMoments, context: Any, exact: tuple[sp.Expr, sp.Expr, sp.Expr], start: float, digits: int
) -> tuple[Any, MomentValues, Any, MpArithmetic]:
    """tau_*, the moments there, the relative residual, and the arithmetic of the last precision."""
    correct, square = 10, None
    for _ in range(40):
        working = min(2 * correct, digits + 10)
        context.dps = working + 10
        arithmetic = MpArithmetic(context)
        weight_a, weight_b, scale0 = (arithmetic.constant(value) for value in exact)
        square = context.mpf(start) ** 2 if square is None else context.mpf(square)
        values = moments.at(context.sqrt(square), working)
        slope = weight_a * values.d22 / 2
        residual = square - weight_a * values.variance - weight_b * scale0**2
        _check_stability(slope, context.sqrt(square))
        step = residual / (1 - slope)
        relative = abs(step) / square
        if relative <= context.mpf(10) ** -(digits + 5):
            return context.sqrt(square), values, abs(residual) / square, arithmetic
        square -= step
        if square <= 0:
            break
        # One step doubles the digits of the point it starts from.
        correct = max(correct, min(2 * int(-context.log10(relative)), working) - 2)
    raise EquilibriumError(
        "Newton's method for tau_* did not converge: the equilibrium is too close to losing stability"
    )
