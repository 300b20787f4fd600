"""Activations as float64 functions, elementwise."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Protocol

import numpy as np
import sympy as sp

from numerics.arithmetic.programs import FloatArithmetic, Program, compile_program
from numerics.arrays import Array
from theory.activations import Activation, resolve
from theory.analysis import Piece
from theory.symbols import x

__all__ = [
    "Pointwise",
    "PointwiseActivation",
    "as_pointwise",
    "elementwise",
    "moment_threshold",
    "pointwise",
]


@dataclass(frozen=True)
class PointwiseActivation:
    """An activation in float64, uncentred.

    Attributes:
        name: name of the activation.
        value: phi_0, elementwise on arrays (of any shape).
        derivative: the almost-everywhere derivative, elementwise on arrays (of any shape); at a breakpoint the one from
            the right.
        breakpoints: kinks and jumps, ascending.
        source: the activation it was compiled from, by which what float64 finds is checked; None for a function of
            unknown origin.
    """

    name: str
    value: Callable[[Array], Array]
    derivative: Callable[[Array], Array]
    breakpoints: tuple[float, ...]
    source: Activation | None = field(default=None, kw_only=True, compare=False, repr=False)


def pointwise(activation: Activation | str) -> PointwiseActivation:
    """Compile an activation without free parameters; a text is a registered name or an expression in x.

    Raises:
        TypeError: neither an activation nor a text.
        ValueError: parameters are left: substitute them with ``Activation.with_parameters`` first.
        UnsupportedExpressionError: a function that float64 evaluation does not have.
    """
    if not isinstance(activation, Activation):
        activation = resolve(activation).with_parameters()
    if activation.parameters:
        left = ", ".join(parameter.symbol.name for parameter in activation.parameters)
        raise ValueError(f"{activation.name} has free parameters ({left}): give them values first")
    return _compiled(activation)


@lru_cache(maxsize=64)
def _compiled(activation: Activation) -> PointwiseActivation:
    """The activation's functions, which do not change."""
    breakpoints = tuple(float(point.evalf(25)) for point in activation.breakpoints)
    return PointwiseActivation(
        activation.name,
        _assembled(activation.pieces, breakpoints),
        _assembled(activation.slope_pieces, breakpoints),
        breakpoints,
        source=activation,
    )


@lru_cache(maxsize=64)
def elementwise(activation: Activation) -> Callable[[Any], Any]:
    """Compile an activation for large arrays: float32 stays float32, and pieces are chosen without gathering.

    Args:
        activation: without free parameters.

    Returns:
        phi_0, elementwise on floating-point arrays, of their dtype.

    Raises:
        ValueError: parameters are left.
        UnsupportedExpressionError: a function that float64 evaluation does not have.

    Example:
        >>> elementwise(resolve("relu"))(np.array([-1, 2], dtype=np.float32))
        array([0., 2.], dtype=float32)
    """
    plain = pointwise(activation)
    if _is_singular(activation.pieces):
        return lambda values: plain.value(values).astype(values.dtype, copy=False)
    arithmetic = FloatArithmetic()
    programs: list[Program] = [compile_program([piece.expr], [x], arithmetic) for piece in activation.pieces]

    def evaluate(values: Any) -> Any:
        # A piece may overflow where it is not taken.
        with np.errstate(all="ignore"):
            found = programs[0](values)[0]
            for edge, program in zip(plain.breakpoints, programs[1:], strict=True):
                found = np.where(values < edge, found, program(values)[0])
        return np.broadcast_to(np.asarray(found, dtype=values.dtype), values.shape)

    return evaluate


def as_pointwise(phi: Any) -> Any:
    """Return what kernels evaluate: an activation or its text compiled, anything else as it is.

    Args:
        phi: an ``Activation``, a registered name, an expression in x, or elementwise functions already.
    """
    return pointwise(phi) if isinstance(phi, Activation | str) else phi


def moment_threshold(activation: Activation) -> float:
    """Return the tau below which E[phi_0(tau xi)^2] is finite, in float64 (inf when always)."""
    limit = activation.threshold(2)
    return math.inf if limit is sp.oo else float(limit)


def _assembled(pieces: tuple[Piece, ...], breakpoints: tuple[float, ...]) -> Callable[[Array], Array]:
    """A function that evaluates each piece on its own interval only (elsewhere it may overflow or be undefined)."""
    arithmetic = FloatArithmetic()
    programs: list[Program] = [compile_program([piece.expr], [x], arithmetic) for piece in pieces]
    edges = np.asarray(breakpoints)
    singular = _is_singular(pieces)

    def evaluate(values: Array) -> Array:
        points = np.asarray(values, dtype=np.float64)
        # Saturating functions overflow on the way to the right limit: 1/cosh(1000) is 1/inf = 0.  What overflows to nan
        # is seen by those who sum the values.
        with np.errstate(all="ignore"):
            if len(programs) == 1:
                return np.broadcast_to(np.asarray(programs[0](points)[0], dtype=np.float64), points.shape)
            if singular:
                # x log|x| and its like have no value at the breakpoint itself: take the neighbouring number's.
                points = np.where(np.isin(points, edges), np.nextafter(points, np.inf), points)
            result = np.empty(points.shape)
            owner = np.searchsorted(edges, points, side="right")
            for position, program in enumerate(programs):
                mask = owner == position
                result[mask] = program(points[mask])[0]
        return result

    return evaluate


def _is_singular(pieces: tuple[Piece, ...]) -> bool:
    """Whether a piece may have no value at a breakpoint."""
    return len(pieces) > 1 and any(piece.expr.has(sp.log, sp.Pow) for piece in pieces)


class Pointwise(Protocol):
    """What is needed of an activation: numerics.arithmetic.PointwiseActivation satisfies it."""

    @property
    def value(self) -> Callable[[Array], Array]:
        """phi_0, elementwise on arrays of any shape, uncentred."""
        ...

    @property
    def derivative(self) -> Callable[[Array], Array]:
        """Derivative of phi_0 almost everywhere, elementwise on arrays of any shape."""
        ...

    @property
    def breakpoints(self) -> tuple[float, ...]:
        """Kinks and jumps of phi_0, ascending."""
        ...
