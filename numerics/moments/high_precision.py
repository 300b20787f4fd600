"""Gaussian moments of an activation to many digits with mpmath: closed forms where theory has them, else quadrature.

This is the plain path: every value is computed at two precisions and accepted when they agree.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import mpmath
import sympy as sp

from numerics.arithmetic import MpArithmetic, Program, compile_program
from numerics.budget import checkpoint
from numerics.moments.closed_forms import find_closed_forms, has_slope_energy
from numerics.moments.stein import moments_from_raw, stein_program
from numerics.moments.values import Key, MomentAccuracyError, MomentValues, raw_moment_keys
from theory.activations import Activation
from theory.analysis import Piece
from theory.moments import DivergentMomentError
from theory.symbols import tau, x

__all__ = ["HighPrecisionMoments"]

#: Halvings of the trapezoidal rule's step before a singularity too close to the axis is assumed.
_HALVINGS = 9


class HighPrecisionMoments:
    """Moments of an activation without free parameters at any scale and precision.

    Attributes:
        activation: the activation.
    """

    def __init__(self, activation: Activation) -> None:
        self.activation = activation

    @cached_property
    def has_slope_energy(self) -> bool:
        """Whether E[phi'^2] is finite."""
        return has_slope_energy(self.activation)

    @cached_property
    def _keys(self) -> tuple[Key, ...]:
        return raw_moment_keys(with_slope_energy=self.has_slope_energy)

    @cached_property
    def _closed(self) -> dict[Key, sp.Expr]:
        return find_closed_forms(self.activation, self._keys)

    def check_scale(self, scale: sp.Expr) -> None:
        """Raise DivergentMomentError when the second moment is infinite at a scale."""
        threshold = self.activation.threshold(2)
        if threshold is not sp.oo and bool(scale >= threshold):
            raise DivergentMomentError(
                f"the moments of {self.activation.name} exist only for tau < {threshold}, not at tau = {scale}"
            )

    def at(self, scale: Any, digits: int) -> MomentValues[Any]:
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

    def _evaluate(self, scale: Any, digits: int) -> MomentValues[Any]:
        context = mpmath.MPContext()
        context.dps = digits
        arithmetic = MpArithmetic(context)
        at_scale = context.mpf(scale)
        values: dict[Key, Any] = {}
        for key, expression in self._closed.items():
            (value,) = compile_program([expression], [tau], arithmetic)(at_scale)
            if context.isfinite(value):
                values[key] = context.re(value)
        missing = [key for key in self._keys if key not in values]
        if missing:
            table = _Integrand(self.activation.pieces, arithmetic, context)
            slopes = _Integrand(self.activation.slope_pieces, arithmetic, context)

            def integrand(power: int, order: int) -> Callable[[Any], Any]:
                if order == 0:
                    return lambda xi: xi**power * slopes(at_scale * xi) ** 2
                return lambda xi: xi**power * table(at_scale * xi) ** order

            for key in missing:
                values[key] = _quadrature(context, self.activation, at_scale, integrand(*key))
        return moments_from_raw(stein_program(arithmetic), at_scale, values)


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


def _agree(first: MomentValues[Any], second: MomentValues[Any], digits: int) -> bool:
    tolerance = mpmath.mpf(10) ** -digits
    pairs = zip(first.known().values(), second.known().values(), strict=True)
    return all(abs(a - b) <= tolerance * max(abs(b), tolerance) for a, b in pairs)
