"""Closed forms of an activation's raw moments: found within a budget, and compiled for balls."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import lru_cache

import sympy as sp
from flint import arb, ctx

from numerics.arithmetic import BallArithmetic, Program, UnsupportedExpressionError, compile_program, real_part
from numerics.budget import OverBudgetError, share, stage
from numerics.moments.values import Key
from theory.activations import Activation
from theory.moments import DivergentMomentError, GaussianMoments
from theory.symbols import tau

__all__ = [
    "ClosedForms",
    "find_closed_forms",
    "has_slope_energy",
]

#: Part of the processor time left that the search for closed forms may take, before quadrature stands in.
_SHARE = 0.25
#: Precision in bits at which a closed form has to show some digits to be used.
_PROBE = 2048
#: Precisions whose compiled closed forms are kept.
_REMEMBERED = 12


def has_slope_energy(activation: Activation) -> bool:
    """Return whether E[phi'(tau xi)^2] is finite at the scales at which the second moment is."""
    try:
        GaussianMoments(activation).require_slope_energy()
    except DivergentMomentError:
        return False
    return True


def find_closed_forms(activation: Activation, keys: Iterable[Key]) -> dict[Key, sp.Expr]:
    """Return those of the moments that theory has in closed form, as expressions in tau.

    What is not found in a share of the time left is left to quadrature, and so is what would come after it.

    Args:
        activation: the activation, without free parameters.
        keys: the raw moments in question, in the order in which they are looked for.
    """
    symbolic = GaussianMoments(activation)
    found: dict[Key, sp.Expr] = {}
    with suppress(OverBudgetError), share(_SHARE, interrupt=True):
        for key in keys:
            with stage(f"looking for closed forms of the moments of {activation.name}"):
                value = symbolic.slope_energy if key[1] == 0 else symbolic.moment(*key)
            if symbolic.is_closed(value):
                found[key] = value
    return found


class ClosedForms:
    """Closed forms in tau that are evaluated in balls.

    Args:
        expressions: by key.

    Attributes:
        expressions: the same.
    """

    def __init__(self, expressions: Mapping[Key, sp.Expr]) -> None:
        self.expressions = dict(expressions)
        self._compiled = lru_cache(maxsize=_REMEMBERED)(self._compile)

    def _compile(self, precision: int) -> dict[Key, Program]:
        """Programs whose constants have a precision; a form that Arb cannot evaluate has none."""
        arithmetic, programs = BallArithmetic(), {}
        with ctx.workprec(precision):
            for key, expression in self.expressions.items():
                with suppress(UnsupportedExpressionError):
                    programs[key] = compile_program([expression], [tau], arithmetic)
        return programs

    def programs(self, chosen: frozenset[Key] | None = None) -> dict[Key, Program]:
        """Return programs of tau for the precision that is set, of all forms or of those chosen."""
        programs = self._compiled(ctx.prec)
        return {key: program for key, program in programs.items() if chosen is None or key in chosen}

    def useful_at(self, scale: arb) -> frozenset[Key]:
        """Return the keys of those that show digits at a scale: no removable singularity, no hopeless cancellation."""
        with ctx.workprec(_PROBE):
            values = {key: real_part(program(scale)[0]) for key, program in self.programs().items()}
        return frozenset(
            key for key, value in values.items() if value.is_finite() and (value.is_zero() or not value.contains(0))
        )
