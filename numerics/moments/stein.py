"""The theory's moments from the raw ones, by Stein's identities, in balls."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache

import sympy as sp
from flint import arb

from numerics.arithmetic import BallArithmetic, Program, compile_program
from numerics.moments.node_sums import Key
from theory.moments import RAW_MOMENTS, STEIN_FORMS
from theory.symbols import d1, d2, d22, mean, tau, variance

__all__ = ["stein_balls"]


def stein_balls(scale: arb, raw: Mapping[Key, arb]) -> dict[sp.Symbol, arb]:
    """Return balls of the theory's moments (mean, variance, d1, d2, d22).

    Args:
        scale: ball of tau.
        raw: balls of the raw moments, by key of ``theory.moments.RAW_MOMENTS``.
    """
    forms: Iterable[sp.Symbol] = (mean, variance, d1, d2, d22)
    program = _stein_forms(tuple(forms)).renewed(BallArithmetic())
    return dict(zip(forms, program(scale, *(raw[key] for key in RAW_MOMENTS)), strict=True))


@cache
def _stein_forms(forms: tuple[sp.Symbol, ...]) -> Program:
    inputs = [tau, *(RAW_MOMENTS[key] for key in RAW_MOMENTS)]
    return compile_program([STEIN_FORMS[form] for form in forms], inputs, BallArithmetic())
