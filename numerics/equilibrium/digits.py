"""Solve a DEQ's system of nonlinear equations to any number of digits.

Theory sheet, section 3.  The formulas are ``theory.equations``'; this module finds tau_* by Newton's method with the
precision doubled at every step, and evaluates them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import mpmath

from numerics.arithmetic import MpArithmetic, moment_threshold, pointwise
from numerics.equilibrium.float64 import _NEIGHBOURHOOD, reached_scale
from numerics.equilibrium.formulas import CompiledFormulas, check_stability, evaluate_formulas, kernel_of
from numerics.moments import HighPrecisionMoments, MomentValues
from numerics.parameters import margin_text
from theory.equations import DEQ, EquilibriumError
from theory.kernels import Kernel, KernelCoefficients

__all__ = [
    "ImplicitCoefficients",
    "decimal_string",
    "solve",
]


@dataclass(frozen=True)
class ImplicitCoefficients:
    """The solution of a DEQ's system to many digits.

    Attributes:
        deq: the DEQ.
        digits: significant digits asked for.
        values: mpmath numbers by key of ``COEFFICIENTS``; the NTKs' are absent where an NTK does not exist.
        margins: mpmath numbers that must be below 1: ``tau`` (sigma_a^2 d22/2, stability of tau_*), ``ck``
            (sigma_a^2 d1^2) and ``ntk`` (sigma_a^2 E[phi'^2], absent where E[phi'^2] is infinite).
        residual: |tau^2 - sigma_a^2 Var phi_0(tau xi) - sigma_b^2 tau_0^2| relative to tau^2, at working precision.
        ntk_missing: why the NTKs' coefficients are absent, or an empty string.
    """

    deq: DEQ
    digits: int
    values: Mapping[str, Any]
    margins: Mapping[str, Any]
    residual: Any
    ntk_missing: str

    def kernel(self, kernel: Kernel) -> KernelCoefficients[Any]:
        """Return the coefficients of a kernel, mpmath numbers.

        Raises:
            EquilibriumError: an NTK that does not exist.
        """
        return kernel_of(self.values, kernel, self.ntk_missing)

    def decimal(self, key: str) -> str | None:
        """Return a coefficient as a decimal string of ``digits`` significant digits, or None where it is absent."""
        value = self.values.get(key)
        return None if value is None else decimal_string(value, self.digits)


def decimal_string(value: Any, digits: int) -> str:
    """Return an mpmath number rounded to significant digits, in positional notation where that is short."""
    context = mpmath.MPContext()
    context.dps = digits + 10
    return str(context.nstr(context.mpf(value), digits, strip_zeros=False, min_fixed=-20, max_fixed=max(digits, 21)))


def solve(deq: DEQ, digits: int = 15, *, start: float | None = None) -> ImplicitCoefficients:
    """Solve the system to a number of significant digits.

    Newton's method on tau^2 - sigma_a^2 Var phi_0(tau xi) - sigma_b^2 tau_0^2 = 0, started from the float64 root, with
    the precision doubled at every step.  The residual is checked unsquared at the end.

    Args:
        deq: the DEQ.
        digits: significant decimal digits, >= 1.
        start: tau_* of the equilibrium that is meant, to a few digits; by default the one reached from tau_0.

    Raises:
        EquilibriumError: digits out of range, or no stable equilibrium reached from tau_0.
        MomentAccuracyError: a moment's digits do not settle.

    Example:
        >>> solve(DEQ("tanh", "1/5"), 20).decimal("alpha1")
        '0.34498763265979871208'
    """
    if digits < 1:
        raise EquilibriumError(f"digits must be at least 1, not {digits}")
    if start is None:
        floats = float(deq.sigma_a2), float(deq.sigma_b2), float(deq.tau0)
        start = reached_scale(pointwise(deq.activation), *floats, moment_threshold(deq.activation))
    moments = HighPrecisionMoments(deq.activation)
    context = mpmath.MPContext()
    scale, at_root, residual, arithmetic = _newton(moments, context, deq, start, digits)
    if not abs(float(scale) - start) <= _NEIGHBOURHOOD * start:
        raise EquilibriumError(
            f"Newton's method left the equilibrium that is meant, tau_* = {start:.6g}, for tau = {float(scale):.6g}"
        )
    weights = (arithmetic.constant(deq.sigma_a2), arithmetic.constant(deq.sigma_b2))
    resolution = context.mpf(10) ** -(digits + 5)
    values, margins = evaluate_formulas(CompiledFormulas.over(arithmetic), scale, at_root, weights, resolution)
    # An error e of the equation moves tau by e/(1 - slope): where two roots meet nothing is left of the digits.
    if (1 - margins["tau"]) ** 2 < resolution:
        raise EquilibriumError(
            f"no stable equilibrium is found: about tau = {float(scale):.6g} the slope sigma_a^2 E[(phi^2)'']/2 is 1 "
            f"to within {abs(float(1 - margins['tau'])):.1g}, so that rounding decides whether there is one; a smaller "
            "sigma_a2 would be accepted"
        )
    missing = ""
    if at_root.slope_energy is None:
        missing = "E[phi'^2] is infinite, so the NTKs do not exist"
    elif margins["ntk"] >= 1 - resolution:
        margin = margin_text(margins["ntk"], resolution=float(resolution))
        missing = f"sigma_a^2 E[phi'^2] = {margin} is not below 1, so the NTKs do not exist"
    return ImplicitCoefficients(
        deq=deq,
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
    moments: HighPrecisionMoments, context: Any, deq: DEQ, start: float, digits: int
) -> tuple[Any, MomentValues[Any], Any, MpArithmetic]:
    """tau_*, the moments there, the relative residual, and the arithmetic of the last precision."""
    correct, square = 10, None
    for _ in range(40):
        working = min(2 * correct, digits + 10)
        context.dps = working + 10
        arithmetic = MpArithmetic(context)
        weight_a, weight_b, scale0 = (arithmetic.constant(value) for value in (*deq.variances, deq.tau0))
        square = context.mpf(start) ** 2 if square is None else context.mpf(square)
        values = moments.at(context.sqrt(square), working)
        slope = weight_a * values.d22 / 2
        residual = square - weight_a * values.variance - weight_b * scale0**2
        check_stability(slope, context.sqrt(square))
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
