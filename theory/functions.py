"""Smooth elementary functions that SymPy lacks, kept whole.

Written out, sigmoid(x) = 1/(1 + exp(-x)) and softplus(x) = log(1 + exp(x)) overflow in floating point and
hide their symmetries: sigmoid(x) - 1/2 is odd, softplus(x) - x/2 is even.  As functions of their own they
differentiate into one another and every evaluator can use a stable form.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import sympy as sp

__all__ = [
    "sigmoid",
    "softplus",
]

#: Bits beyond the precision that is asked for, and arguments beyond which SymPy chooses them itself.
_GUARD_BITS = 24
_MOST_ARGUMENT = 100_000
#: Arguments that the guard bits are enough for.
_SMALL_ARGUMENT = 4


def _evaluated(form: Callable[[sp.Expr], sp.Expr], argument: sp.Expr, prec: int) -> sp.Expr:
    """Evaluate a function written with exp, the argument first.

    Handed over as a whole, SymPy evaluates the argument again and again, at every level of nested functions.  By
    ``rewrite`` it would go into the argument as well, and make cosines there complex.
    """
    value = argument._evalf(prec + _GUARD_BITS)
    if value.is_Float and abs(value) < _MOST_ARGUMENT:
        if abs(value) > _SMALL_ARGUMENT:
            # 1 + exp(u) loses the bits that exp(u) is below 1.
            value = argument._evalf(prec + _GUARD_BITS + 2 * int(abs(value)))
        return form(value)._evalf(prec)
    return form(argument)._eval_evalf(prec)


class _Positive(sp.Function):
    """A function that is real and positive on the real line, written by its name."""

    def _eval_is_extended_real(self) -> bool | None:
        real: bool | None = self.args[0].is_extended_real
        return real

    def _eval_is_positive(self) -> bool | None:
        return True if self.args[0].is_real else None

    def _latex(self, printer: Any, exp: str | None = None) -> str:
        body = rf"\operatorname{{{type(self).__name__}}}\left({printer._print(self.args[0])}\right)"
        return body if exp is None else rf"{body}^{{{exp}}}"


class sigmoid(_Positive):  # noqa: N801 - SymPy's convention: function classes are lower case
    """Logistic function 1/(1 + exp(-x))."""

    nargs = 1

    @classmethod
    def eval(cls, arg: sp.Expr) -> sp.Expr | None:
        if arg.is_zero:
            return sp.S.Half
        if arg is sp.S.Infinity:
            return sp.S.One
        if arg is sp.S.NegativeInfinity:
            return sp.S.Zero
        return None

    def _eval_evalf(self, prec: int) -> Any:
        return _evaluated(lambda u: 1 / (1 + sp.exp(-u)), self.args[0], prec)

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        return self * (1 - self)

    def _eval_rewrite(self, rule: Any, args: Any, **hints: Any) -> Any:
        if rule is sp.exp:
            return 1 / (1 + sp.exp(-args[0]))
        if rule is sp.tanh:
            return (1 + sp.tanh(args[0] / 2)) / 2
        return None


class softplus(_Positive):  # noqa: N801 - SymPy's convention: function classes are lower case
    """Softplus log(1 + exp(x)), the integral of the logistic function."""

    nargs = 1

    @classmethod
    def eval(cls, arg: sp.Expr) -> sp.Expr | None:
        if arg.is_zero:
            return sp.log(2)
        if arg is sp.S.Infinity:
            return sp.S.Infinity
        if arg is sp.S.NegativeInfinity:
            return sp.S.Zero
        return None

    def _eval_evalf(self, prec: int) -> Any:
        return _evaluated(lambda u: sp.log(1 + sp.exp(u)), self.args[0], prec)

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        return sigmoid(self.args[0])

    def _eval_rewrite(self, rule: Any, args: Any, **hints: Any) -> Any:
        if rule in (sp.exp, sp.log):
            return sp.log(1 + sp.exp(args[0]))
        return None
