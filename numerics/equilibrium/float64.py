"""Solve a DEQ's system of nonlinear equations: tau_*, then every coefficient of its kernels' equivalents.

Theory sheet, section 3.  The formulas are ``theory.equations.deq``'s; this module finds tau_* and evaluates them in
float64, checked against balls, in some milliseconds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np
import sympy as sp
from flint import arb, ctx

from numerics.arithmetic import (
    BallArithmetic,
    PointwiseActivation,
    UnsupportedExpressionError,
    constant_ball,
    moment_threshold,
    pointwise,
)
from numerics.arrays import EPS
from numerics.budget import stage
from numerics.equilibrium.formulas import CompiledFormulas, check_stability, evaluate_formulas, kernel_of
from numerics.equilibrium.interval_newton import Enclosure, enclose_coefficients
from numerics.moments import (
    BallMoments,
    FloatMoments,
    MomentValues,
    UncertifiedError,
    certified_moments,
    moment_balls,
)
from numerics.parameters import margin_text
from theory.activations import Activation
from theory.equations import DEQ, EquilibriumError, exact_numbers
from theory.kernels import COEFFICIENTS, NTK_COEFFICIENTS, Kernel, KernelCoefficients

__all__ = [
    "FloatEquilibrium",
    "checked_moments",
    "enclose_reached",
    "estimate_float",
    "float_scale",
    "ntk_missing",
    "reached_scale",
    "solve_float",
]


@dataclass(frozen=True)
class FloatEquilibrium:
    """The solution of a DEQ's system in float64.

    Attributes:
        values: coefficients by key of ``COEFFICIENTS`` (an NTK's absent where it does not exist).
        margins: as in ``ImplicitCoefficients``.
        errors: by key, how far a coefficient is from the true one at most; an estimate where it is not certified.
        certified: by key, whether a coefficient was checked against a ball that is proved to hold it.
        ntk_missing: why the NTKs' coefficients are absent, or an empty string.
        reason: why a coefficient is not certified, or an empty string.
    """

    values: Mapping[str, float]
    margins: Mapping[str, float]
    errors: Mapping[str, float] = field(default_factory=dict)
    certified: Mapping[str, bool] = field(default_factory=dict)
    ntk_missing: str = ""
    reason: str = ""

    def __getitem__(self, key: str) -> float:
        return self.values[key]

    def kernel(self, kernel: Kernel) -> KernelCoefficients[float]:
        """Return the coefficients of a kernel.

        Raises:
            EquilibriumError: an NTK that does not exist.
        """
        return kernel_of(self.values, kernel, self.ntk_missing)

    def checked(self, kernel: Kernel = Kernel.CK) -> FloatEquilibrium:
        """Return the solution itself where a kernel exists and its coefficients are certified.

        No verdict rests on others.

        Args:
            kernel: which kernel.

        Raises:
            EquilibriumError: an NTK that does not exist, or coefficients that are not certified.
        """
        self.kernel(kernel)
        wanted = [
            key for key in self.values if (key in NTK_COEFFICIENTS) == kernel.is_tangent or key in ("tau", "bias")
        ]
        if not all(self.certified.get(key, False) for key in wanted):
            raise EquilibriumError(
                f"the coefficients are not certified, and no verdict is given on such: {self.reason}; an activation "
                "that deqverify solve certifies would be accepted"
            )
        return self


# --------------------------------------------------------------------------------------------------------------------
# float64

#: Ratio between neighbouring trial values of tau^2; how many are tried at once, first and at most; and how many in all.
_MARCH_RATIO = 1.03
_FIRST_CHUNK = 16
_FIRST_BALLS = 2
_LAST_CHUNK = 128
_MARCH_LENGTH = 2048
_POLISH_STEPS = 100
#: To which a local minimum between points of the march is located, relative to their distance.
_DIP_TOLERANCE = 1e-7
#: Digits of the balls that float64 numbers are taken from, and bits for formulas of numbers with estimated errors.
_FLOAT_DIGITS = 15
_BITS = 80
#: An error relative to the number, or to the activation's variance, up to which a number without proof is given.
_ACCEPTED = 1e-8
#: Relative distance up to which quadrature and balls are taken to have found the same root.
_SAME = 1e-9
#: Relative distance from its start at which Newton's method has found another root.
_NEIGHBOURHOOD = 0.05
#: Keeps relative errors of 0 finite; far below any coefficient.
_TINY = 1e-30


class _NotFiniteError(EquilibriumError):
    """Moments that are not finite in float64: whether there is an equilibrium is not seen."""


class Moments(Protocol):
    """What is needed of moments to find tau_*: ``FloatMoments`` has it."""

    def variance(self, scales: np.ndarray) -> np.ndarray:
        """Return Var phi_0(tau xi) for every tau of an (n,) array."""
        ...

    def at(self, scale: float, level: int | None = None) -> MomentValues[float]:
        """Return the moments at a scale tau > 0."""
        ...

    def refinement(self, scales: np.ndarray) -> int:
        """Return the level of panel refinement that scales, an (n,) array, need."""
        ...


def _not_finite(square: float) -> _NotFiniteError:
    return _NotFiniteError(
        f"no stable equilibrium was found: in float64 the moments of the activation at tau = {np.sqrt(square):.6g} are "
        "not finite; smaller sigma_a2, sigma_b2 or tau0 would be accepted"
    )


def _bracket(
    response: Callable[[np.ndarray], np.ndarray], start: float, threshold: float, length: int = _FIRST_CHUNK
) -> tuple[float, float]:
    """Two values of tau^2, round the fixed point of ``response`` that iteration from ``start`` moves towards.

    The sign of response(v) - v is followed from v = start in the direction it points, to its first change: there
    the response crosses the diagonal from above, so its slope is at most 1.  The first value is the one on the side
    of ``start``.  ``length`` values are tried at once at first.
    """
    first = float(response(np.array([start]))[0]) - start
    if not np.isfinite(first):
        raise _not_finite(start)
    if first == 0.0:
        return start, start
    upwards = first > 0
    sign = 1.0 if upwards else -1.0

    def excess(v: np.ndarray) -> np.ndarray:
        """How far the response is from v, relative to v: positive until the first root."""
        return np.asarray(sign * (response(v) / v - 1))

    low, begin = start, 1
    seen, values = np.array([start]), np.array([abs(first) / start])
    while begin < _MARCH_LENGTH:
        exponents = np.arange(begin, begin + length)
        trial = start * _MARCH_RATIO ** (exponents if upwards else -exponents)
        trial = trial[trial < threshold]
        if trial.size == 0:
            break
        found = excess(trial)
        crossed = np.flatnonzero(~(found > 0) | np.isinf(found))
        passed = int(crossed[0]) if crossed.size else trial.size
        # The last two points of the chunk before: a dip may lie on the border.
        seen, values = np.append(seen[-2:], trial[:passed]), np.append(values[-2:], found[:passed])
        dip = _dip(excess, seen, values, from_start=begin == 1)
        if dip is not None:
            return dip
        if crossed.size:
            if np.isnan(found[passed]):
                raise _not_finite(float(trial[passed]))
            if np.isinf(found[passed]):
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


def float_scale(moments: Moments, weight_a: float, weight_b: float, scale: float, threshold: float) -> float:
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

    length = _FIRST_BALLS if isinstance(moments, BallMoments) else _FIRST_CHUNK
    near, far = _bracket(response, scale**2, threshold**2, length)
    if near == far:
        return float(np.sqrt(near))
    level = moments.refinement(np.sqrt(np.array([near, far])))
    upwards = far > near
    square = (near + far) / 2
    for _ in range(_POLISH_STEPS):
        values = moments.at(float(np.sqrt(square)), level)
        gap = weight_a * values.variance + weight_b * scale**2 - square
        if not np.isfinite(gap):
            raise _not_finite(square)
        if gap == 0.0:
            break
        if (gap > 0) == upwards:
            near = square
        else:
            far = square
        slope = weight_a * values.d22 / 2
        new = square + gap / (1 - slope) if np.isfinite(slope) and slope != 1 else np.nan
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


def checked_moments(phi: PointwiseActivation, scale: float) -> MomentValues[float]:
    """Return the moments of an activation at a scale in float64, by balls that are proved to hold them.

    Of a function whose formula is not known they are those of quadrature, if two levels of it agree.

    Args:
        phi: the activation.
        scale: tau > 0.

    Raises:
        EquilibriumError: nothing is proved, or the quadrature does not settle.
    """
    if phi.source is not None:
        try:
            return moment_balls(certified_moments(phi.source, True), scale).map(lambda ball: float(ball.mid()))
        except (UncertifiedError, UnsupportedExpressionError) as error:
            raise EquilibriumError(
                f"the moments of {phi.name} at tau = {scale:.6g} are not certified, and no verdict is given on such: "
                f"{error}; an activation that deqverify solve certifies would be accepted"
            ) from error
    values, errors = FloatMoments(phi).estimated(scale)
    pairs = zip(vars(values).values(), vars(errors).values(), strict=True)
    worst = max(_relative(value, error, values.variance) for value, error in pairs)
    if not worst <= _ACCEPTED:
        raise EquilibriumError(
            f"the moments of {phi.name} at tau = {scale:.6g} settle in float64 to {worst:.1g} only; an activation "
            "without narrow peaks or hidden kinks would be accepted"
        )
    return values


def _relative(value: Any, error: Any, size: float) -> float:
    """An error relative to the value, or to the size of the activation where that is larger."""
    return 0.0 if value is None else float(error / max(abs(value), size, _TINY))


def _leads_to(activation: Activation, weights: tuple[float, float, float], found: float, enclosure: Enclosure) -> bool:
    """Whether a proved root is the one that float64 found, or next to it and on its side of tau_0, as the balls see."""
    tau = enclosure.balls.get("tau")
    if tau is None:
        return False
    root, left = float(tau), float(1 - enclosure.margins["tau"])
    if abs(root - found) <= _SAME / min(left, 1.0) * found:
        return True
    weight_a, weight_b, scale = weights
    try:
        (response,) = weight_a * BallMoments(activation).variance(np.array([scale])) + weight_b * scale**2
    except (UncertifiedError, UnsupportedExpressionError):
        return False
    return bool((response - scale**2) * (root - scale) > 0 and (found - scale) * (root - scale) > 0)


def reached_scale(
    phi: PointwiseActivation, weight_a: float, weight_b: float, scale: float, threshold: float = np.inf
) -> float:
    """Return tau_* in float64, the root reached from tau_0, seen by quadrature and, where that errs, by balls.

    Args:
        phi: the activation.
        weight_a: sigma_a^2 >= 0.
        weight_b: sigma_b^2 > 0.
        scale: tau_0 > 0.
        threshold: tau below which E[phi^2] is finite, often infinite.

    Raises:
        EquilibriumError: no root is reached from tau_0, or neither way sees where.
    """
    plain = FloatMoments(phi)
    weights = (weight_a, weight_b, scale)
    try:
        found = float_scale(plain, *weights, threshold)
    except EquilibriumError as error:
        if phi.source is None or not (isinstance(error, _NotFiniteError) or _errs(plain, phi.source, scale)):
            raise
        try:
            return float_scale(BallMoments(phi.source), *weights, threshold)
        except (UncertifiedError, UnsupportedExpressionError):
            raise error from None
    if weight_a == 0 or phi.source is None or not _errs(plain, phi.source, found):
        return found
    try:
        return float_scale(BallMoments(phi.source), *weights, threshold)
    except UncertifiedError as error:
        raise EquilibriumError(
            f"no equilibrium is found: quadrature in float64 is proved to be wrong at tau = {found:.6g}, and {error}; "
            "a smoother activation would be accepted"
        ) from error


def _errs(plain: FloatMoments, activation: Activation, scale: float) -> bool:
    """Whether the variance by quadrature at a scale is proved to be wrong."""
    try:
        (right,) = BallMoments(activation).variance(np.array([scale]))
    except (UncertifiedError, UnsupportedExpressionError):
        return False
    value = float(plain.variance(np.array([scale]))[0])
    return not abs(value - right) <= _SAME * abs(right)


def enclose_reached(deq: DEQ, digits: int) -> tuple[float, Enclosure]:
    """Enclose the equilibrium that is reached from tau_0: tau_* in float64, and what is proved of it.

    Args:
        deq: the DEQ.
        digits: significant digits asked for.

    Raises:
        EquilibriumError: none is reached, or it is not stable.
    """
    phi, threshold = pointwise(deq.activation), moment_threshold(deq.activation)
    weights = float(deq.sigma_a2), float(deq.sigma_b2), float(deq.tau0)
    first: float | None = None
    refused: EquilibriumError | None = None
    try:
        with stage("looking for the equilibrium in float64"):
            first = float_scale(FloatMoments(phi), *weights, threshold)
        enclosure = enclose_coefficients(deq, digits, first)
        if _leads_to(deq.activation, weights, first, enclosure):
            return first, enclosure
    except EquilibriumError as error:
        refused = error
    # Rare: quadrature failed or missed something, or nothing can be proved here.  The balls see which root is meant.
    with stage("looking for the equilibrium in balls"):
        second = reached_scale(phi, *weights, threshold)
    if first is not None and abs(second - first) <= _SAME * first:
        if refused is not None:
            raise refused
        return first, enclosure
    return second, enclose_coefficients(deq, digits, second)


def solve_float(deq: DEQ) -> FloatEquilibrium:
    """Solve the system in float64, for sweeps and simulations, every coefficient with a bound of its error.

    The coefficients are those of balls that are proved to hold them, to float64's last bits.  What has no ball comes
    from quadrature, with estimated errors, and is refused where those are large.

    Args:
        deq: the DEQ.

    Raises:
        EquilibriumError: no stable equilibrium reached from tau_0, or numbers that are neither certified nor settle in
            float64.

    Example:
        >>> solve_float(DEQ("relu", "1/5"))["alpha1"]
        0.21052631578947367
    """
    phi = pointwise(deq.activation)
    numbers = deq.sigma_a2, deq.sigma_b2, deq.tau0
    scale, found = enclose_reached(deq, _FLOAT_DIGITS)
    if not found.balls:
        return _estimated(phi, numbers, scale, found.reason)
    undecided = next((found.notes[key] for key in sorted(NTK_COEFFICIENTS) if key in found.notes), "")
    missing = ntk_missing(deq.activation, found.margins) or ("" if "kappa2" in found.balls else undecided)
    wanted = [key for key in COEFFICIENTS if not (missing and key in NTK_COEFFICIENTS)]
    rest = [key for key in wanted if key not in found.balls]
    other = _estimated(phi, numbers, float(found.balls["tau"]), found.reason) if rest else None
    values, errors = {}, {}
    for key in wanted:
        if key in found.balls:
            values[key], errors[key] = _rounded(found.balls[key])
        elif other is not None and key in other.values:
            values[key], errors[key] = other.values[key], other.errors[key]
    margins = {key: float(ball.mid()) for key, ball in found.margins.items()}
    if other is not None:
        margins, missing = {**other.margins, **margins}, other.ntk_missing
    return FloatEquilibrium(
        MappingProxyType(values),
        MappingProxyType(margins),
        MappingProxyType(errors),
        MappingProxyType({key: key in found.balls for key in values}),
        missing,
        "" if other is None else found.reason or "a ball's radius does not reach float64's digits",
    )


def estimate_float(
    phi: PointwiseActivation, sigma_a2: Any, sigma_b2: Any, tau0: Any, *, threshold: float = np.inf
) -> FloatEquilibrium:
    """Do as ``solve_float`` for a function whose formula is not known: quadrature alone, and nothing is certified.

    Args:
        phi: the function and its derivative.
        sigma_a2: variance of the recurrent weights, >= 0.
        sigma_b2: variance of the input weights, > 0.
        tau0: input scale tau_0 > 0.
        threshold: tau beyond which the function's second moment is infinite.

    Raises:
        EquilibriumError: parameters out of range, no stable equilibrium reached from tau_0, or numbers that do not
            settle in float64.
    """
    numbers = exact_numbers(sigma_a2, sigma_b2, tau0)
    weights = float(numbers[0]), float(numbers[1]), float(numbers[2])
    scale = float_scale(FloatMoments(phi), *weights, threshold)
    return _estimated(phi, numbers, scale, "its formula is not known")


def _rounded(ball: arb) -> tuple[float, float]:
    """The float64 number next to a ball (0 where the ball holds 0), and how far the true one is from it at most."""
    value = 0.0 if ball.contains(0) else float(ball.mid())
    distance = float(abs(ball - arb(value)).upper())
    return value, float(np.nextafter(distance, np.inf)) if distance else 0.0


def ntk_missing(activation: Activation, margins: Mapping[str, arb]) -> str:
    """Return why an activation has no NTK, or an empty string where the margins do not exclude it.

    Args:
        activation: the activation, without free parameters.
        margins: balls by key, as in ``ImplicitCoefficients``.
    """
    margin = margins.get("ntk")
    if margin is not None and margin >= 1:
        return f"sigma_a^2 E[phi'^2] = {margin_text(margin)} is not below 1, so the NTKs do not exist"
    if activation.has_finite_slope_energy:
        return ""
    why = "phi jumps" if activation.jumps else "the slope of phi is too singular"
    return f"E[phi'^2] is infinite, since {why}, so the NTKs do not exist"


def _estimated(
    phi: PointwiseActivation, numbers: tuple[sp.Expr, sp.Expr, sp.Expr], scale: float, reason: str
) -> FloatEquilibrium:
    """The coefficients by quadrature, with estimated errors of the moments and of tau_* carried through the formulas.

    Raises:
        EquilibriumError: the equilibrium is not stable, or the errors are too large.
    """
    moments = FloatMoments(phi)
    values, errors = moments.estimated(scale)
    if not all(value is None or np.isfinite(value) for value in vars(values).values()):
        raise _not_finite(scale**2)
    weight_a, weight_b, scale0 = (float(value) for value in numbers)
    square = scale**2
    residual = abs(square - weight_a * values.variance - weight_b * scale0**2) + weight_a * errors.variance
    slope = weight_a * values.d22 / 2
    check_stability(slope, scale)
    reach = (residual + 4 * EPS * square) / (2 * scale * (1 - slope))
    values, errors = moments.estimated(scale, reach)
    balls = [
        None if value is None else arb(value, error)
        for value, error in zip(vars(values).values(), vars(errors).values(), strict=True)
    ]
    with ctx.workprec(_BITS):
        constants = tuple(constant_ball(value) for value in numbers[:2])
        found, margins = evaluate_formulas(
            _ball_formulas(), arb(scale, reach), MomentValues(*balls), constants, 4 * EPS
        )
    rounded = {key: (float(ball), float(ball.rad()) + EPS * abs(float(ball))) for key, ball in found.items()}
    worst = max(_relative(value, error, values.variance) for value, error in rounded.values())
    if not worst <= _ACCEPTED:
        raise EquilibriumError(
            f"the coefficients of {phi.name} are not certified ({reason}), and in float64 they settle to "
            f"{worst:.1g} only; an activation without narrow peaks or hidden kinks would be accepted"
        )
    missing = ""
    if values.slope_energy is None:
        missing = "E[phi'^2] is infinite, so the NTKs do not exist"
    elif "kappa2" not in found:
        margin = margin_text(margins["ntk"], resolution=4 * EPS)
        missing = f"sigma_a^2 E[phi'^2] = {margin} is not below 1, so the NTKs do not exist"
    return FloatEquilibrium(
        MappingProxyType({key: value for key, (value, _) in rounded.items()}),
        MappingProxyType({key: float(ball.mid()) for key, ball in margins.items()}),
        MappingProxyType({key: error for key, (_, error) in rounded.items()}),
        MappingProxyType(dict.fromkeys(rounded, False)),
        missing,
        reason,
    )


@cache
def _ball_formulas() -> CompiledFormulas:
    return CompiledFormulas.over(BallArithmetic())
