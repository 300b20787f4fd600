"""SymPy expressions as straight-line programs over any arithmetic: float64 arrays, mpmath numbers, Arb balls.

A program is a list of elementary steps in which every common sub-expression occurs once.  No code is generated: the
steps call functions of the arithmetic, so text that a user typed is never compiled.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from operator import add, mul
from typing import Any, Protocol

import numpy as np
import sympy as sp

from theory.functions import sigmoid, softplus

__all__ = [
    "Arithmetic",
    "FloatArithmetic",
    "MpArithmetic",
    "Program",
    "UnsupportedExpressionError",
    "compile_program",
]


class UnsupportedExpressionError(ValueError):
    """An expression with a node that an arithmetic cannot evaluate."""


class Arithmetic(Protocol):
    """What a program needs of its numbers.

    Attributes:
        functions: one-argument functions by SymPy class.
    """

    functions: Mapping[type, Callable[[Any], Any]]

    def constant(self, value: sp.Expr) -> Any:
        """Return a number free of symbols, to the arithmetic's accuracy."""
        ...

    def power(self, base: Any, exponent: Fraction) -> Any:
        """Return base**exponent for a rational exponent (base > 0 unless it is an integer)."""
        ...

    def general_power(self, base: Any, exponent: Any) -> Any:
        """Return base**exponent for base > 0."""
        ...


@dataclass(frozen=True)
class _Step:
    operation: Callable[..., Any]
    arguments: tuple[int, ...]


@dataclass(frozen=True)
class Program:
    """A compiled tuple of expressions: ``program(*values)`` returns the tuple of their values.

    Attributes:
        constants: values of the constant slots, which come first.
        steps: the operations in order; step i writes slot len(constants) + number of inputs + i.
        outputs: slots of the results.
        exact: the constants as expressions.
    """

    constants: tuple[Any, ...]
    steps: tuple[_Step, ...]
    outputs: tuple[int, ...]
    exact: tuple[sp.Expr, ...] = ()

    def __post_init__(self) -> None:
        # Plain tuples (operation, first slot, second slot or -1): the loop over them is what most digits wait for.
        plan = tuple((step.operation, step.arguments[0], *(step.arguments[1:] or (-1,))) for step in self.steps)
        object.__setattr__(self, "_plan", plan)

    def __call__(self, *values: Any) -> tuple[Any, ...]:
        """Return the values of the expressions at the given values of the symbols, in their order."""
        slots = [*self.constants, *values]
        append = slots.append
        plan: tuple[tuple[Callable[..., Any], int, int], ...] = self.__dict__["_plan"]
        for operation, first, second in plan:
            append(operation(slots[first]) if second < 0 else operation(slots[first], slots[second]))
        return tuple([slots[i] for i in self.outputs])

    def renewed(self, arithmetic: Arithmetic) -> Program:
        """Return the program with its constants evaluated afresh: for an arithmetic whose precision has changed."""
        return replace(self, constants=tuple(arithmetic.constant(value) for value in self.exact))


def compile_program(expressions: Sequence[sp.Expr], symbols: Sequence[sp.Symbol], arithmetic: Arithmetic) -> Program:
    """Compile expressions in the given symbols.

    Args:
        expressions: what the program returns, in this order.
        symbols: its arguments, in this order.
        arithmetic: of the numbers that it will be given.

    Raises:
        UnsupportedExpressionError: a function the arithmetic does not have, or a symbol that is not given.
    """
    compiler = _Compiler(symbols, arithmetic)
    outputs = [compiler.slot(expression) for expression in expressions]
    return compiler.finish(outputs)


class _Compiler:
    """Numbers constants with negative slots while their count is still unknown, then renumbers."""

    def __init__(self, symbols: Sequence[sp.Symbol], arithmetic: Arithmetic) -> None:
        self._arithmetic = arithmetic
        self._inputs = len(symbols)
        self._slots: dict[sp.Expr, int] = {symbol: position for position, symbol in enumerate(symbols)}
        self._constants: list[sp.Expr] = []
        self._steps: list[_Step] = []

    def slot(self, expression: sp.Expr) -> int:
        known = self._slots.get(expression)
        if known is not None:
            return known
        place = self._constant(expression) if not expression.free_symbols else self._compound(expression)
        self._slots[expression] = place
        return place

    def _constant(self, expression: sp.Expr) -> int:
        self._constants.append(expression)
        return -len(self._constants)

    def _emit(self, operation: Callable[..., Any], *arguments: int) -> int:
        self._steps.append(_Step(operation, arguments))
        return self._inputs + len(self._steps) - 1

    def _compound(self, expression: sp.Expr) -> int:
        arithmetic = self._arithmetic
        if isinstance(expression, sp.Add | sp.Mul):
            operation = add if isinstance(expression, sp.Add) else mul
            place = self.slot(expression.args[0])
            for argument in expression.args[1:]:
                place = self._emit(operation, place, self.slot(argument))
            return place
        if isinstance(expression, sp.Pow):
            base = self.slot(expression.base)
            if expression.exp.is_Rational:
                exponent = Fraction(int(expression.exp.p), int(expression.exp.q))
                return self._emit(lambda value: arithmetic.power(value, exponent), base)
            return self._emit(arithmetic.general_power, base, self.slot(expression.exp))
        function = arithmetic.functions.get(type(expression))
        if function is None or len(expression.args) != 1:
            raise UnsupportedExpressionError(f"cannot evaluate {expression}")
        return self._emit(function, self.slot(expression.args[0]))

    def finish(self, outputs: Sequence[int]) -> Program:
        count = len(self._constants)

        def renumber(place: int) -> int:
            return -place - 1 if place < 0 else place + count

        steps = tuple(_Step(step.operation, tuple(map(renumber, step.arguments))) for step in self._steps)
        values = tuple(self._arithmetic.constant(value) for value in self._constants)
        return Program(values, steps, tuple(map(renumber, outputs)), tuple(self._constants))


def _special(name: str) -> Callable[[Any], Any]:
    """A function of scipy.special, which is imported at the first call: it would be a quarter of this one's import."""

    def function(value: Any) -> Any:
        return getattr(importlib.import_module("scipy.special"), name)(value)

    return function


class FloatArithmetic:
    """float64 scalars and arrays; overflow gives infinities without warnings where the caller sets errstate."""

    functions: Mapping[type, Callable[[Any], Any]] = {
        sp.exp: np.exp,
        sp.log: np.log,
        sp.sin: np.sin,
        sp.cos: np.cos,
        sp.tan: np.tan,
        sp.asin: np.arcsin,
        sp.atan: np.arctan,
        sp.asinh: np.arcsinh,
        sp.sinh: np.sinh,
        sp.cosh: np.cosh,
        sp.tanh: np.tanh,
        sp.sech: lambda value: 1 / np.cosh(value),
        sp.erf: _special("erf"),
        sp.erfc: _special("erfc"),
        sp.erfi: _special("erfi"),
        sigmoid: _special("expit"),
        softplus: lambda value: np.logaddexp(0, value),
    }

    def constant(self, value: sp.Expr) -> Any:
        """Return the number rounded to float64 from 30 digits."""
        number = complex(value.evalf(30))
        return number if number.imag else number.real

    def power(self, base: Any, exponent: Fraction) -> Any:
        """Return base**exponent, by a square root where the exponent is a half-integer."""
        if exponent.denominator == 1:
            return base**exponent.numerator if exponent > 0 else 1 / base**-exponent.numerator
        if exponent.denominator == 2:
            root = np.sqrt(base)
            return root**exponent.numerator if exponent > 0 else 1 / root**-exponent.numerator
        return base ** float(exponent)

    def general_power(self, base: Any, exponent: Any) -> Any:
        """Return base**exponent."""
        return base**exponent


class MpArithmetic:
    """mpmath numbers of a context, at the precision the context has when the program is compiled.

    Args:
        context: an ``mpmath.MPContext``; give one of your own, so that the caller's precision is left alone.
    """

    def __init__(self, context: Any) -> None:
        self._context = context
        mp = context

        def stable_sigmoid(value: Any) -> Any:
            small = mp.exp(-abs(value))
            return 1 / (1 + small) if value >= 0 else small / (1 + small)

        def stable_softplus(value: Any) -> Any:
            return mp.log1p(mp.exp(-abs(value))) + (value if value >= 0 else 0)

        self.functions: Mapping[type, Callable[[Any], Any]] = {
            sp.exp: mp.exp,
            sp.log: mp.log,
            sp.sin: mp.sin,
            sp.cos: mp.cos,
            sp.tan: mp.tan,
            sp.asin: mp.asin,
            sp.atan: mp.atan,
            sp.asinh: mp.asinh,
            sp.sinh: mp.sinh,
            sp.cosh: mp.cosh,
            sp.tanh: mp.tanh,
            sp.sech: mp.sech,
            sp.erf: mp.erf,
            sp.erfc: mp.erfc,
            sp.erfi: mp.erfi,
            sigmoid: stable_sigmoid,
            softplus: stable_softplus,
        }

    def constant(self, value: sp.Expr) -> Any:
        """Return the number at the context's precision and a few digits more."""
        mp = self._context
        if value.is_Rational:
            return mp.mpf(int(value.p)) / int(value.q)
        real, imaginary = value.evalf(mp.dps + 10).as_real_imag()
        parts = [mp.mpf(sp.Float(part)._mpf_) for part in (real, imaginary)]
        return mp.mpc(*parts) if parts[1] else parts[0]

    def power(self, base: Any, exponent: Fraction) -> Any:
        """Return base**exponent."""
        if exponent.denominator == 1:
            return base**exponent.numerator
        if exponent.denominator == 2:
            return self._context.sqrt(base) ** exponent.numerator
        return base ** (self._context.mpf(exponent.numerator) / exponent.denominator)

    def general_power(self, base: Any, exponent: Any) -> Any:
        """Return base**exponent."""
        return base**exponent
