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
import scipy.optimize
import sympy as sp

from numerics.float_moments import FloatMoments
from numerics.moments import HighPrecisionMoments, MomentValues
from numerics.pointwise import PointwiseActivation, pointwise
from numerics.programs import Arithmetic, FloatArithmetic, MpArithmetic, Program, compile_program
from theory import implicit
from theory.activations import Activation
from theory.symbols import alpha, d1, d2, d22, dd, gamma2, lambda_, sigma_a2, sigma_b2, tau, variance

__all__ = [
    "COEFFICIENTS",
    "EquilibriumError",
    "FloatEquilibrium",
    "ImplicitCoefficients",
    "check_parameters",
    "decimal_string",
    "solve",
    "solve_float",
]

#: The reported quantities in order: the recurrent NTK's are beta, the pre-activation NTK's eta, that of all theta.
COEFFICIENTS = (
    *("tau", "bias", "gamma2", "alpha1", "alpha2", "alpha3", "alpha4", "lambda1", "lambda2", "lambda3"),
    *("beta1", "beta2", "beta3", "kappa2"),
    *("eta1", "eta2", "eta3", "eta_diag"),
    *("theta1", "theta2", "theta3", "theta_diag"),
)
_NTK_KEYS = {
    "recurrent": ("beta1", "beta2", "beta3", "kappa2"),
    "preactivation": ("eta1", "eta2", "eta3", "eta_diag"),
    "all": ("theta1", "theta2", "theta3", "theta_diag"),
}


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
def _formulas() -> MappingProxyType[str, sp.Expr]:
    """Every coefficient as a function of the moments and the weight variances, from ``theory.implicit``."""
    ck = implicit.ck_coefficients()
    pre = implicit.preactivation_coefficients()
    known = {alpha[k]: ck[f"alpha{k}"] for k in alpha} | {lambda_[k]: pre[f"lambda{k}"] for k in lambda_}
    formulas: dict[str, sp.Expr] = {"gamma2": variance, **ck, **pre}
    for kind, keys in _NTK_KEYS.items():
        ntk = implicit.ntk_coefficients(kind)
        parts = (ntk.linear, ntk.variance, ntk.square, ntk.diagonal)
        for key, part in zip(keys, parts, strict=True):
            formulas[key] = part.subs(gamma2, variance).subs(known)
    margins = {"margin tau": implicit.stability_slope(), "margin ck": sigma_a2 * d1**2, "margin ntk": sigma_a2 * dd}
    return MappingProxyType(formulas | margins)


_INPUTS = (tau, variance, d1, d2, d22, dd, sigma_a2, sigma_b2)


def _compile(arithmetic: Arithmetic, *, with_ntk: bool) -> tuple[tuple[str, ...], Program]:
    needs_energy = {key for keys in _NTK_KEYS.values() for key in keys} | {"margin ntk"}
    keys = tuple(key for key in _formulas() if with_ntk or key not in needs_energy)
    return keys, compile_program([_formulas()[key] for key in keys], _INPUTS, arithmetic)


@cache
def _float_program(with_ntk: bool) -> tuple[tuple[str, ...], Program]:
    return _compile(FloatArithmetic(), with_ntk=with_ntk)


def _evaluate(
    compiled: tuple[tuple[str, ...], Program], scale: Any, moments: MomentValues, weights: tuple[Any, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Coefficients and margins from the moments at tau_*; an NTK's are dropped where its margin is not below 1."""
    keys, program = compiled
    energy = 0 if moments.slope_energy is None else moments.slope_energy
    numbers = program(scale, moments.variance, moments.d1, moments.d2, moments.d22, energy, *weights)
    found = dict(zip(keys, numbers, strict=True))
    margins = {key.removeprefix("margin "): found.pop(key) for key in list(found) if key.startswith("margin ")}
    if margins["ck"] >= 1:
        raise EquilibriumError(
            f"the CK's coefficients do not exist: sigma_a^2 E[phi']^2 = {float(margins['ck']):.6g} at tau_* = "
            f"{float(scale):.6g}, and it must be below 1; a smaller sigma_a2 would be accepted"
        )
    if margins.get("ntk", 0) >= 1:
        for ntk_keys in _NTK_KEYS.values():
            for key in ntk_keys:
                found.pop(key, None)
    ordered = {"tau": scale, "bias": moments.mean, **found}
    return {key: ordered[key] for key in COEFFICIENTS if key in ordered}, margins


def check_parameters(weight_a: Any, weight_b: Any, scale: Any) -> None:
    """Raise EquilibriumError unless sigma_a^2 >= 0, sigma_b^2 > 0 and tau_0 > 0."""
    if not weight_a >= 0:
        raise EquilibriumError(f"sigma_a2 must be a number >= 0, not {weight_a}")
    if not weight_b > 0:
        raise EquilibriumError(f"sigma_b2 must be a number > 0, not {weight_b}")
    if not scale > 0:
        raise EquilibriumError(f"tau0 must be a number > 0, not {scale}")


# --------------------------------------------------------------------------------------------------------------------
# float64


#: Ratio between neighbouring trial values of tau^2, and how far the search goes.
_MARCH_RATIO = 1.03
_MARCH_CHUNK = 128
_MARCH_CHUNKS = 16


def _float_root(response: Callable[[np.ndarray], np.ndarray], start: float, threshold: float) -> float:
    """The fixed point of tau^2 -> response(tau^2) that iteration from ``start`` moves towards.

    The sign of response(v) - v is followed from v = start in the direction it points, to its first change: there
    the response crosses the diagonal from above, so its slope is at most 1.
    """
    first = float(response(np.array([start]))[0]) - start
    if first == 0.0:
        return start
    upwards = first > 0
    low = start
    for chunk in range(_MARCH_CHUNKS):
        exponents = np.arange(1 + chunk * _MARCH_CHUNK, 1 + (chunk + 1) * _MARCH_CHUNK)
        trial = start * _MARCH_RATIO ** (exponents if upwards else -exponents)
        trial = trial[trial < threshold]
        if trial.size == 0:
            break
        gap = response(trial) - trial
        crossed = np.flatnonzero(~(gap > 0) if upwards else gap >= 0)
        if crossed.size:
            position = int(crossed[0])
            if not np.isfinite(gap[position]):
                break
            inner = low if position == 0 else float(trial[position - 1])
            return float(
                scipy.optimize.brentq(
                    lambda v: float(response(np.array([v]))[0]) - v,
                    inner,
                    float(trial[position]),
                    xtol=0.0 + 1e-300,
                    rtol=4 * np.finfo(np.float64).eps,
                    maxiter=200,
                )
            )
        low = float(trial[-1])
    bound = f" below tau = {np.sqrt(threshold):.6g}, where the moments cease to exist" if np.isfinite(threshold) else ""
    raise EquilibriumError(
        f"no stable equilibrium: tau^2 = sigma_a^2 Var phi(tau xi) + sigma_b^2 tau_0^2 has no solution reached from "
        f"tau_0{bound} (searched up to tau = {np.sqrt(low):.3g}); a smaller sigma_a2 would be accepted"
    )


def _float_scale(moments: FloatMoments, weight_a: float, weight_b: float, scale: float, threshold: float) -> float:
    def response(v: np.ndarray) -> np.ndarray:
        return np.asarray(weight_a * moments.variance(np.sqrt(v)) + weight_b * scale**2)

    return float(np.sqrt(_float_root(response, scale**2, threshold**2)))


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
    scale = _float_scale(moments, sigma_a2, sigma_b2, tau0, threshold)
    at_root = moments.at(scale)
    compiled = _float_program(with_ntk=at_root.slope_energy is not None)
    values, margins = _evaluate(compiled, scale, at_root, (sigma_a2, sigma_b2))
    _check_stability(margins["tau"], scale)
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
    limit = activation.threshold(2)
    threshold = np.inf if limit is sp.oo else float(limit)
    start = _float_scale(FloatMoments(pointwise(activation)), float(sigma_a2), float(sigma_b2), float(tau0), threshold)
    moments = HighPrecisionMoments(activation)
    context = mpmath.MPContext()
    scale, at_root, residual, arithmetic = _newton(moments, context, (sigma_a2, sigma_b2, tau0), start, digits)
    weights = (arithmetic.constant(sigma_a2), arithmetic.constant(sigma_b2))
    compiled = _compile(arithmetic, with_ntk=at_root.slope_energy is not None)
    values, margins = _evaluate(compiled, scale, at_root, weights)
    _check_stability(margins["tau"], scale)
    missing = ""
    if at_root.slope_energy is None:
        missing = "E[phi'^2] is infinite, so the NTKs do not exist"
    elif margins["ntk"] >= 1:
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
