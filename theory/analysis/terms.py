"""The family of functions whose truncated Gaussian moments have closed forms, as an algebra.

A member is a finite sum of terms  c x^k exp(q x^2 + l x) prod_i erf(a_i x + b_i)  with k a natural number and
c, q, l, a_i, b_i free of x (complex where sines and cosines are written as exponentials).  Sums, products, derivatives
and dilations stay in the family, so an activation in it brings its square and the square of its derivative along.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import sympy as sp

from theory.symbols import x

__all__ = [
    "MAX_TERMS",
    "Shape",
    "TermSum",
    "WorkLimitError",
    "as_terms",
    "without_erf",
]

#: A sum with more terms than this, or a product that multiplies more pairs, is refused: its integral would be
#: a page long and take minutes.
MAX_TERMS = 300
MAX_PAIRS = 10_000


class WorkLimitError(ArithmeticError):
    """A member of the family with more terms than are worth integrating in closed form."""


@dataclass(frozen=True)
class Shape:
    """What a term looks like, apart from its coefficient: x^power exp(quadratic x^2 + linear x) prod erf(a x + b).

    Attributes:
        power: exponent k >= 0 of x.
        quadratic: coefficient q of x^2 in the exponential.
        linear: coefficient l of x in the exponential (complex for sines and cosines).
        erfs: pairs (a, b), sorted, a with its sign fixed where it is known, one for each factor erf(a x + b).
    """

    power: int
    quadratic: sp.Expr
    linear: sp.Expr
    erfs: tuple[tuple[sp.Expr, sp.Expr], ...]


class TermSum:
    """An immutable sum of terms, coefficient by shape.

    Raises:
        WorkLimitError: (by every operation) the result has too many terms.
    """

    __slots__ = ("terms",)

    def __init__(self, terms: Iterable[tuple[Shape, sp.Expr]]) -> None:
        gathered: defaultdict[Shape, list[sp.Expr]] = defaultdict(list)
        for shape, coefficient in terms:
            gathered[shape].append(coefficient)
        if len(gathered) > MAX_TERMS:
            raise WorkLimitError(f"more than {MAX_TERMS} terms")
        self.terms: Mapping[Shape, sp.Expr] = MappingProxyType(
            {shape: value for shape, parts in gathered.items() if (value := sp.expand(sp.Add(*parts))) != 0}
        )

    @staticmethod
    def constant(value: sp.Expr) -> TermSum:
        """Return the constant function with the given value."""
        return TermSum([(_ONE, value)])

    def __add__(self, other: TermSum) -> TermSum:
        return TermSum([*self.terms.items(), *other.terms.items()])

    def __mul__(self, other: TermSum) -> TermSum:
        if len(self.terms) * len(other.terms) > MAX_PAIRS:
            raise WorkLimitError(f"more than {MAX_PAIRS} products of terms")
        return TermSum(
            (_multiply(left, right), a * b) for left, a in self.terms.items() for right, b in other.terms.items()
        )

    def power(self, exponent: int) -> TermSum:
        """Return the function raised to a natural power."""
        result, base = TermSum.constant(sp.S.One), self
        while exponent:
            if exponent & 1:
                result = result * base
            exponent >>= 1
            if exponent:
                base = base * base
        return result

    def times_power_of_x(self, exponent: int) -> TermSum:
        """Return the function multiplied by x**exponent."""
        return TermSum((Shape(s.power + exponent, s.quadratic, s.linear, s.erfs), c) for s, c in self.terms.items())

    def dilated(self, scale: sp.Expr) -> TermSum:
        """Return the function x -> f(scale x)."""
        return TermSum(
            (
                Shape(
                    s.power,
                    s.quadratic * scale**2,
                    s.linear * scale,
                    tuple((a * scale, b) for a, b in s.erfs),
                ),
                c * scale**s.power,
            )
            for s, c in self.terms.items()
        )

    def derivative(self) -> TermSum:
        """Return the derivative with respect to x."""
        parts: list[tuple[Shape, sp.Expr]] = []
        for s, c in self.terms.items():
            if s.power:
                parts.append((Shape(s.power - 1, s.quadratic, s.linear, s.erfs), c * s.power))
            if s.quadratic != 0:
                parts.append((Shape(s.power + 1, s.quadratic, s.linear, s.erfs), 2 * c * s.quadratic))
            if s.linear != 0:
                parts.append((s, c * s.linear))
            for position, (a, _b) in enumerate(s.erfs):
                shape, factor = without_erf(s, position)
                parts.append((shape, c * factor * 2 * a / sp.sqrt(sp.pi)))
        return TermSum(parts)


_ONE = Shape(0, sp.S.Zero, sp.S.Zero, ())


def without_erf(shape: Shape, position: int) -> tuple[Shape, sp.Expr]:
    """Replace the factor erf(a x + b) at a position by exp(-(a x + b)^2); return the shape and the constant factor."""
    a, b = shape.erfs[position]
    rest = shape.erfs[:position] + shape.erfs[position + 1 :]
    replaced = Shape(shape.power, sp.expand(shape.quadratic - a**2), sp.expand(shape.linear - 2 * a * b), rest)
    return replaced, sp.exp(-(b**2))


def _multiply(left: Shape, right: Shape) -> Shape:
    return Shape(
        left.power + right.power,
        _sum(left.quadratic, right.quadratic),
        _sum(left.linear, right.linear),
        _sorted_erfs(left.erfs + right.erfs) if left.erfs and right.erfs else left.erfs or right.erfs,
    )


def _sum(left: sp.Expr, right: sp.Expr) -> sp.Expr:
    return right if left == 0 else left if right == 0 else sp.expand(left + right)


def _sorted_erfs(erfs: Iterable[tuple[sp.Expr, sp.Expr]]) -> tuple[tuple[sp.Expr, sp.Expr], ...]:
    return tuple(sorted(erfs, key=lambda pair: (sp.default_sort_key(pair[0]), sp.default_sort_key(pair[1]))))


def as_terms(expr: sp.Expr) -> TermSum | None:
    """Write a smooth expression in ``theory.symbols.x`` as a sum of terms.

    Returns:
        The sum, or None when the expression is not in the family or has too many terms to be integrated.
    """
    try:
        return _read(expr)
    except WorkLimitError:
        return None


def _read(expr: sp.Expr) -> TermSum | None:
    if not expr.has(x):
        return TermSum.constant(expr)
    if expr == x:
        return TermSum([(Shape(1, sp.S.Zero, sp.S.Zero, ()), sp.S.One)])
    if isinstance(expr, sp.Add | sp.Mul):
        return _combined(expr)
    if isinstance(expr, sp.Pow):
        if not (expr.exp.is_Integer and expr.exp.is_positive):
            return None
        base = _read(expr.base)
        return None if base is None else base.power(int(expr.exp))
    if isinstance(expr, sp.exp):
        return _exponential(expr.args[0])
    if isinstance(expr, sp.sin | sp.cos | sp.sinh | sp.cosh):
        return _trigonometric(expr)
    if isinstance(expr, sp.erf | sp.erfc):
        return _error_function(expr)
    return None


def _combined(expr: sp.Expr) -> TermSum | None:
    total = TermSum.constant(sp.S.Zero if isinstance(expr, sp.Add) else sp.S.One)
    for argument in expr.args:
        part = _read(argument)
        if part is None:
            return None
        total = total + part if isinstance(expr, sp.Add) else total * part
    return total


def _polynomial_coefficients(argument: sp.Expr, degree: int) -> list[sp.Expr] | None:
    """Coefficients (constant first) of a polynomial in x of at most the given degree, else None."""
    if not argument.is_polynomial(x):
        return None
    poly = sp.Poly(argument, x)
    if poly.degree() > degree:
        return None
    coefficients = [sp.expand(c) for c in reversed(poly.all_coeffs())]
    return coefficients + [sp.S.Zero] * (degree + 1 - len(coefficients))


def _exponential(argument: sp.Expr) -> TermSum | None:
    coefficients = _polynomial_coefficients(argument, 2)
    if coefficients is None:
        return None
    constant, linear, quadratic = coefficients
    return TermSum([(Shape(0, quadratic, linear, ()), sp.exp(constant))])


def _trigonometric(expr: sp.Expr) -> TermSum | None:
    coefficients = _polynomial_coefficients(expr.args[0], 1)
    if coefficients is None:
        return None
    constant, linear = coefficients
    circular = isinstance(expr, sp.sin | sp.cos)
    even = isinstance(expr, sp.cos | sp.cosh)
    unit = sp.I if circular else sp.S.One
    weight = sp.S.Half if even or not circular else 1 / (2 * sp.I)
    minus = weight if even else -weight
    return TermSum(
        [
            (Shape(0, sp.S.Zero, unit * linear, ()), weight * sp.exp(unit * constant)),
            (Shape(0, sp.S.Zero, -unit * linear, ()), minus * sp.exp(-unit * constant)),
        ]
    )


def _error_function(expr: sp.Expr) -> TermSum | None:
    coefficients = _polynomial_coefficients(expr.args[0], 1)
    if coefficients is None:
        return None
    intercept, slope = coefficients
    sign = sp.S.One
    if slope.could_extract_minus_sign():
        slope, intercept, sign = -slope, -intercept, -sign
    term = (Shape(0, sp.S.Zero, sp.S.Zero, ((slope, intercept),)), sign)
    if isinstance(expr, sp.erfc):
        return TermSum([(_ONE, sp.S.One), (term[0], -sign)])
    return TermSum([term])
