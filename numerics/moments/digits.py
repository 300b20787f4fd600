"""Gaussian moments of an activation to many digits with mpmath: closed forms where theory has them, else quadrature.

This is the plain path: every value is computed at two precisions and accepted when they agree.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import cached_property
from typing import Any

import mpmath
import sympy as sp

from numerics.arithmetic import MpArithmetic, Program, compile_program
from numerics.budget import OverBudgetError, checkpoint, share
from numerics.moments.values import MomentAccuracyError, MomentValues
from theory.activations import Activation
from theory.analysis import Piece
from theory.moments import RAW_MOMENTS, STEIN_FORMS, DivergentMomentError, GaussianMoments
from theory.symbols import d1, d2, d22, mean, tau, variance, x

__all__ = ["HighPrecisionMoments"]

#: Part of the processor time left that closed forms may take, before quadrature stands in.
_CLOSED_FORMS_SHARE = 0.25


class HighPrecisionMoments:
    """Moments of an activation without free parameters at any scale and precision.

    Attributes:
        activation: the activation.
    """

    def __init__(self, activation: Activation) -> None:
        self.activation = activation
        self._symbolic = GaussianMoments(activation)

    @cached_property
    def _closed(self) -> dict[tuple[int, int] | str, sp.Expr]:
        """The raw moments (and the slope energy) that have closed forms."""
        found: dict[tuple[int, int] | str, sp.Expr] = {}
        # What is not found in time is left to quadrature.
        with suppress(OverBudgetError), share(_CLOSED_FORMS_SHARE, interrupt=True):
            for key in RAW_MOMENTS:
                value = self._symbolic.moment(*key)
                if self._symbolic.is_closed(value):
                    found[key] = value
            if self.has_slope_energy:
                value = self._symbolic.slope_energy
                if self._symbolic.is_closed(value):
                    found["slope"] = value
        return found

    @cached_property
    def has_slope_energy(self) -> bool:
        """Whether E[phi'^2] is finite."""
        try:
            self._symbolic.require_slope_energy()
        except DivergentMomentError:
            return False
        return True

    def check_scale(self, scale: sp.Expr) -> None:
        """Raise DivergentMomentError when the second moment is infinite at a scale."""
        threshold = self.activation.threshold(2)
        if threshold is not sp.oo and bool(scale >= threshold):
            raise DivergentMomentError(
                f"the moments of {self.activation.name} exist only for tau < {threshold}, not at tau = {scale}"
            )

    def at(self, scale: Any, digits: int) -> MomentValues:
        """Return the moments at a scale, correct to about ``digits`` significant digits.

        Args:
            scale: tau > 0, an mpmath number (or anything mpmath converts exactly).
            digits: decimal digits asked for.

        Raises:
            MomentAccuracyError: the digits do not settle.
        """
        guard = 15 + 3 * abs(int(mpmath.log10(scale)))
        previous = self._evaluate(scale, digits + guard)
        for _ in range(4):
            guard += 10 + guard // 2
            values = self._evaluate(scale, digits + guard)
            if _agree(previous, values, digits):
                return values
            previous = values
        raise MomentAccuracyError(f"the moments of {self.activation.name} at tau = {scale} do not settle")

    def _evaluate(self, scale: Any, digits: int) -> MomentValues:
        context = mpmath.MPContext()
        context.dps = digits
        arithmetic = MpArithmetic(context)
        at_scale = context.mpf(scale)
        values: dict[tuple[int, int] | str, Any] = {}
        for key, expression in self._closed.items():
            (value,) = compile_program([expression], [tau], arithmetic)(at_scale)
            if context.isfinite(value):
                values[key] = context.re(value)
        missing = [key for key in RAW_MOMENTS if key not in values]
        if missing:
            table = _Integrand(self.activation.pieces, arithmetic, context)

            def integrand(power: int, order: int) -> Callable[[Any], Any]:
                return lambda xi: xi**power * table(at_scale * xi) ** order

            for key in missing:
                values[key] = _quadrature(context, self.activation, at_scale, integrand(*key))
        if self.has_slope_energy and "slope" not in values:
            slope = _Integrand(self.activation.slope_pieces, arithmetic, context)
            values["slope"] = _quadrature(context, self.activation, at_scale, lambda xi: slope(at_scale * xi) ** 2)
        inputs = [RAW_MOMENTS[key] for key in RAW_MOMENTS]
        forms = compile_program([STEIN_FORMS[s] for s in (mean, variance, d1, d2, d22)], [tau, *inputs], arithmetic)
        first, spread, slope1, slope2, square2 = forms(at_scale, *(values[key] for key in RAW_MOMENTS))
        return MomentValues(first, spread, slope1, slope2, square2, slope_energy=values.get("slope"))


class _Integrand:
    """A piecewise function of an mpmath number that remembers its values: several moments share the nodes."""

    def __init__(self, pieces: tuple[Piece, ...], arithmetic: MpArithmetic, context: Any) -> None:
        self._edges = [arithmetic.constant(piece.upper) for piece in pieces[:-1]]
        self._programs: list[Program] = [compile_program([piece.expr], [x], arithmetic) for piece in pieces]
        self._context = context
        self._known: dict[Any, Any] = {}

    def __call__(self, point: Any) -> Any:
        value = self._known.get(point)
        if value is None:
            position = sum(1 for edge in self._edges if point > edge)
            # Next to a kink a root's argument may be rounded to below 0: theory has checked that it is not.
            value = self._context.re(self._programs[position](point)[0])
            self._known[point] = value
        return value


def _quadrature(context: Any, activation: Activation, scale: Any, function: Callable[[Any], Any]) -> Any:
    """E[function(xi)] for a function that is smooth between the activation's breakpoints."""
    arithmetic = MpArithmetic(context)
    quadratic = arithmetic.constant(activation.growth.quadratic)
    decay = context.mpf(1) / 2 - 2 * max(quadratic, 0) * scale**2
    if decay <= 0:
        raise DivergentMomentError(f"the moments of {activation.name} do not exist at tau = {scale}")
    width = context.sqrt(context.log(10) * (context.dps + 10) / decay) + 10
    normal = 1 / context.sqrt(2 * context.pi)

    def integrand(xi: Any) -> Any:
        checkpoint()
        return function(xi) * context.exp(-(xi**2) / 2) * normal

    if not activation.breakpoints:
        value = _trapezoid(context, integrand, width)
        if value is not None:
            return value
    kinks = [arithmetic.constant(point) / scale for point in activation.breakpoints]
    return _tanh_sinh(context, integrand, width, kinks, 1 / scale)


def _trapezoid(context: Any, integrand: Callable[[Any], Any], width: Any) -> Any | None:
    """The trapezoidal rule over the line, which converges geometrically for an analytic integrand; None if it does not.

    Halving the step alone can be fooled by aliasing (cos(w xi) with w a multiple of 2 pi/h looks constant), so a grid
    shifted by an irrational part of a step has to agree as well.
    """
    tolerance = context.mpf(10) ** (5 - context.dps)
    step = context.mpf(7) / 16
    offset = (3 - context.sqrt(5)) / 2

    def grid(size: Any, shift: Any) -> tuple[Any, Any]:
        count = int(width / size) + 1
        terms = [integrand(size * (j + shift)) for j in range(-count, count + 1)]
        return size * context.fsum(terms), size * context.fsum(terms, absolute=True)

    previous, _ = grid(step, 0)
    for _ in range(_HALVINGS):
        midpoints, _ = grid(step, context.mpf(1) / 2)
        value = (previous + midpoints) / 2
        step /= 2
        if abs(value - previous) <= tolerance * max(1, abs(value)):
            shifted, size = grid(step, offset)
            if abs(value - shifted) <= tolerance * max(size, abs(value)):
                return value
        previous = value
    return None


#: Halvings of the trapezoidal rule's step before a singularity too close to the axis is assumed.
_HALVINGS = 9


def _tanh_sinh(context: Any, integrand: Callable[[Any], Any], width: Any, kinks: list[Any], octave: Any) -> Any:
    """Tanh-sinh panels that end at the kinks and grow by octaves of the activation's own scale."""
    edges = {context.mpf(0), width, -width, *kinks}
    reach = min(octave, context.mpf(2))
    while reach < width:
        edges |= {reach, -reach}
        reach = reach * 2 if reach < 1 else reach + 2
    points = sorted(edge for edge in edges if abs(edge) <= width)
    value, error = context.quad(integrand, points, error=True, maxdegree=12)
    if error > context.mpf(10) ** (-context.dps // 2) * max(1, abs(value)):
        raise MomentAccuracyError(f"quadrature of a moment did not converge (error {context.nstr(error, 3)})")
    return value


def _agree(first: MomentValues, second: MomentValues, digits: int) -> bool:
    tolerance = mpmath.mpf(10) ** -digits
    for name in ("mean", "variance", "d1", "d2", "d22", "slope_energy"):
        a, b = getattr(first, name), getattr(second, name)
        if a is None and b is None:
            continue
        if abs(a - b) > tolerance * max(abs(b), tolerance):
            return False
    return True
