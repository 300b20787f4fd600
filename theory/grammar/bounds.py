"""What the parser may build: real, finite constants and expressions of bounded size.

SymPy evaluates eagerly, and a tower of powers can take for ever.  ``Bounds`` says beforehand whether
an operation is small, and afterwards whether its result is.
"""

from __future__ import annotations

import ast
from math import comb
from typing import Any

import sympy as sp
from sympy.core.evalf import PrecisionExhausted

from theory.grammar.lexing import Source

__all__ = [
    "MAX_EXP_ARGUMENT",
    "Bounds",
]

#: Size and denominator of a numeric exponent of ``**``.
MAX_EXPONENT = 64
MAX_ROOT = 12
#: Degree, and number of terms, of an expression if powers and products were multiplied out.
MAX_DEGREE = 128
MAX_TERMS = 5000
#: Terms and degree of a sum in one parameter of known sign and nothing else: asked for the sign of such
#: a sum, SymPy isolates the roots of its derivative.
MAX_PARAMETER_TERMS = 4
MAX_PARAMETER_DEGREE = 4
#: Bits of the numerator and the denominator of an exact number.
MAX_BITS = 1000
#: Height and number of parts of a constant (SymPy's time for its digits doubles with every level).
MAX_HEIGHT = 12
MAX_PARTS = 60
#: Parts of all constants of a text, together, each part of a part counted again.
MAX_PARTS_TOGETHER = 1500
#: Functions and powers around a part that SymPy does not know to be real, such as log(x), that part
#: included: the search for an imaginary part takes several times longer with every level.
MAX_OPEN_LEVELS = 3
#: Parts of what a call of a named activation becomes, each part of a part counted again.
MAX_EXPANDED = 600
#: Decimal magnitude of a constant, and size of a constant argument of exp.
MAX_MAGNITUDE = 300
MAX_EXP_ARGUMENT = 690


class Bounds:
    """The limits, applied to the parts of one text; remembers what it has measured."""

    def __init__(self, source: Source) -> None:
        self._fail = source.fail
        self._sizes: dict[sp.Basic, tuple[int, int]] = {}
        self._values: dict[sp.Expr, sp.Expr] = {}
        self._weights: dict[sp.Basic, tuple[int, int]] = {}
        self._levels: dict[sp.Basic, int] = {}
        self._parts_together = 0

    def settle(self, expression: sp.Expr, where: ast.expr) -> None:
        """A finished part must not be known to be non-real and, if constant, must have a value."""
        if not expression.free_symbols:
            self.value(expression, where)
        elif expression.is_extended_real is False:
            self._fail(where, "this is not real for any x", "values must be real")

    def enter(self, argument: sp.Expr, where: ast.expr) -> None:
        """Refuse to put a further function or power around what may not be real, if there are many."""
        if self._open_levels(argument) >= MAX_OPEN_LEVELS:
            what = "a part that may not be real, such as log(x), is nested too deeply"
            self._fail(where, what, f"at most {MAX_OPEN_LEVELS - 1} functions may stand around it")

    def expanded(self, expression: sp.Expr, where: ast.expr) -> None:
        """Refuse a call that has become too long: its text may hold its argument several times."""
        if self._weigh(expression)[1] > MAX_EXPANDED:
            what = "this call is too long when it is written out"
            self._fail(where, what, f"at most {MAX_EXPANDED} parts are read")

    def value(self, constant: sp.Expr, where: ast.expr) -> sp.Expr:
        """Value of a constant: itself if rational, else 15 digits for comparisons of size only."""
        if constant not in self._values:
            self.measure(constant, where)
            self._values[constant] = self._evaluate(constant, where)
        return self._values[constant]

    def _evaluate(self, constant: sp.Expr, where: ast.expr) -> sp.Expr:
        if constant.is_Rational:
            return constant
        try:
            value = constant.evalf(15, strict=True)
        except PrecisionExhausted:
            value = sp.nan
        if not value.is_Float:
            what = "the value of this constant cannot be determined"
            self._fail(where, what, "write it in a simpler form (if it is zero, as 0)")
        if not sp.Rational(1, 10**MAX_MAGNITUDE) < abs(value) < 10**MAX_MAGNITUDE:
            what = "this constant is too large or too small"
            self._fail(where, what, f"sizes run from 1e-{MAX_MAGNITUDE} to 1e{MAX_MAGNITUDE}")
        return value

    def sign(self, constant: sp.Expr, where: ast.expr) -> int:
        value = self.value(constant, where)
        return 0 if value == 0 else 1 if value > 0 else -1

    def measure(self, expression: Any, where: ast.expr) -> tuple[int, int]:
        """Degree and number of terms if multiplied out; refuses what is too large or not real."""
        known = self._sizes.get(expression)
        if known is not None:
            return known
        if expression.is_Rational:
            if max(int(abs(expression.p)), int(expression.q)).bit_length() > MAX_BITS:
                what = "a number grows too long"
                self._fail(where, what, f"exact numbers have up to {MAX_BITS} bits")
            size = (0, 1)
        elif expression in (sp.nan, sp.zoo, sp.oo, -sp.oo):
            self._fail(where, "this value is not finite", "values must be real and finite")
        elif expression is sp.I:
            self._fail(where, "this value is not real", "values must be real and finite")
        elif expression.is_Atom:
            size = (int(expression.is_Symbol), 1)
        elif expression.is_Pow:
            base, exponent = expression.args
            self.measure(exponent, where)
            if base.is_negative and base.is_number and not exponent.is_Integer:
                self._fail(where, "this value is not real", "values must be real and finite")
            size = self.grow(self.measure(base, where), base, exponent, where)
        else:
            size = self._combine(expression, where)
        if size[0] > MAX_DEGREE or size[1] > MAX_TERMS:
            what = "the expression is too large when multiplied out"
            accepted = f"degrees run to {MAX_DEGREE} and at most {MAX_TERMS} terms are allowed"
            self._fail(where, what, accepted)
        if size[0] == 0:
            height, parts = self._weigh(expression)
            if height > MAX_HEIGHT or parts > MAX_PARTS:
                what = "this constant is nested too deeply or too long"
                accepted = f"constants have up to {MAX_HEIGHT} levels and {MAX_PARTS} parts"
                self._fail(where, what, accepted)
            self._parts_together += parts if parts > 1 else 0
            if self._parts_together > MAX_PARTS_TOGETHER:
                what = "the constants up to here are too many"
                self._fail(where, what, "write fewer, or decimals instead of sqrt(2) or exp(1)")
        self._sizes[expression] = size
        return size

    def _combine(self, expression: Any, where: ast.expr) -> tuple[int, int]:
        parts = expression.args
        if isinstance(expression, sp.Piecewise):
            parts = tuple(branch.expr for branch in parts)
        degrees, terms = [0], [1]
        for part in parts:
            degree, count = self.measure(part, where)
            degrees.append(degree)
            terms.append(count)
        if expression.is_Add:
            self._one_parameter(expression, max(degrees), where)
            return max(degrees), sum(terms) - 1
        if expression.is_Mul:
            product = 1
            for count in terms:
                product *= count
            return sum(degrees), product
        if isinstance(expression, sp.Abs | sp.Max | sp.Min | sp.Piecewise):
            return max(degrees), max(terms)
        return int(bool(expression.free_symbols)), 1

    def _one_parameter(self, total: Any, degree: int, where: ast.expr) -> None:
        """A sum in one parameter alone, if its sign is known, must be short."""
        free = total.free_symbols
        if len(free) != 1 or not any(
            symbol.is_extended_nonnegative or symbol.is_extended_nonpositive for symbol in free
        ):
            return
        if len(total.args) > MAX_PARAMETER_TERMS or degree > MAX_PARAMETER_DEGREE:
            what = f"a sum in {free.pop().name} alone is too long"
            accepted = f"up to {MAX_PARAMETER_TERMS} terms of degree {MAX_PARAMETER_DEGREE} are read"
            self._fail(where, what, accepted)

    def _weigh(self, expression: Any) -> tuple[int, int]:
        """Height and number of parts of an expression."""
        if expression not in self._weights:
            weights = [self._weigh(part) for part in expression.args]
            height = 1 + max((high for high, _ in weights), default=0)
            self._weights[expression] = height, 1 + sum(count for _, count in weights)
        return self._weights[expression]

    def _open_levels(self, expression: Any) -> int:
        """Levels of functions and powers not known to be real; 0 for what is known to be."""
        if expression not in self._levels:
            levels = max((self._open_levels(part) for part in expression.args), default=0)
            if isinstance(expression, sp.Function) or expression.is_Pow:
                further = 0 if isinstance(expression, sp.Piecewise) else 1
                levels = 0 if expression.is_extended_real else levels + further
            self._levels[expression] = levels
        return self._levels[expression]

    def grow(self, size: tuple[int, int], base: sp.Expr, exponent: sp.Expr, where: ast.expr) -> tuple[int, int]:
        """Size of a power, refused before it is built when too large."""
        degree, terms = size
        if not exponent.is_Rational:
            return (degree and 1, 1)
        steps = int(sp.ceiling(abs(exponent)))
        grown = (degree * steps, 1)
        if exponent.is_Integer and terms > 1 and steps <= MAX_DEGREE:
            grown = (degree * steps, comb(terms + steps - 1, steps))
        if steps > MAX_DEGREE or grown[0] > MAX_DEGREE or grown[1] > MAX_TERMS:
            what = "the power is too large when multiplied out"
            accepted = f"degrees run to {MAX_DEGREE} and at most {MAX_TERMS} terms are allowed"
            self._fail(where, what, accepted)
        return grown

    def exponent(self, exponent: sp.Expr, where: ast.expr) -> None:
        """A numeric exponent: small, and a fraction only with a small denominator."""
        large = abs(self.value(exponent, where)) > MAX_EXPONENT
        if large or (exponent.is_Rational and int(exponent.q) > MAX_ROOT):
            what = "the exponent is too large or too fine a fraction"
            accepted = f"it runs to {MAX_EXPONENT} in size, with denominators up to {MAX_ROOT}"
            self._fail(where, what, accepted)
