"""The theory's moments from the raw ones, by Stein's identities, over any arithmetic."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from flint import arb

from numerics.arithmetic import Arithmetic, BallArithmetic, Program, compile_program
from numerics.moments.values import Key, MomentValues
from theory.moments import RAW_MOMENTS, STEIN_FORMS
from theory.symbols import d1, d2, d22, mean, tau, variance

__all__ = [
    "moments_from_raw",
    "stein_balls",
    "stein_program",
]


def stein_program(arithmetic: Arithmetic) -> Program:
    """Compile mean, variance, d1, d2 and d22 as functions of tau and the raw moments, in ``RAW_MOMENTS``'s order."""
    forms = [STEIN_FORMS[moment] for moment in (mean, variance, d1, d2, d22)]
    return compile_program(forms, [tau, *RAW_MOMENTS.values()], arithmetic)


def moments_from_raw(program: Program, scale: Any, raw: Mapping[Key, Any]) -> MomentValues[Any]:
    """Return the theory's moments from the raw ones.

    Args:
        program: of ``stein_program``.
        scale: tau.
        raw: the raw moments, by key of ``theory.moments.RAW_MOMENTS``; E[phi'^2] by (0, 0), where there is one.
    """
    first, spread, slope, curvature, square = program(scale, *(raw[key] for key in RAW_MOMENTS))
    return MomentValues(first, spread, slope, curvature, square, raw.get((0, 0)))


def stein_balls(scale: arb, raw: Mapping[Key, arb]) -> MomentValues[arb]:
    """Return balls of the theory's moments, at the precision that is set.

    Args:
        scale: ball of tau.
        raw: balls of the raw moments, as in ``moments_from_raw``.
    """
    return moments_from_raw(_ball_program().renewed(BallArithmetic()), scale, raw)


@cache
def _ball_program() -> Program:
    return stein_program(BallArithmetic())
