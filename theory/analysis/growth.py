"""How fast smooth expressions grow: which Gaussian moments exist, and limits at infinity.

A rate (q, l, d, e) stands for exp(q x^2 + l |x|) |x|^d log(|x|)^e, ordered lexicographically.  Sums take the largest
rate, products add rates, powers multiply them, so an upper and a lower rate follow from the expression tree.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import sympy as sp

from theory.analysis.realline import UndecidedError, compare, enclosure
from theory.functions import sigmoid, softplus
from theory.symbols import x

__all__ = [
    "GrowthError",
    "Rate",
    "limit_at",
    "upper_rate",
]


class GrowthError(ValueError):
    """An expression that grows faster than every exp(c x^2), or whose growth cannot be bounded."""


@dataclass(frozen=True)
class Rate:
    """The rate exp(quadratic x^2 + linear |x|) |x|^degree log(|x|)^logarithm.

    Attributes:
        quadratic: coefficient q of x^2.
        linear: coefficient l of |x|.
        degree: power d of |x|.
        logarithm: power e of log|x|.
    """

    quadratic: sp.Expr = sp.S.Zero
    linear: sp.Expr = sp.S.Zero
    degree: sp.Expr = sp.S.Zero
    logarithm: sp.Expr = sp.S.Zero

    @property
    def parts(self) -> tuple[sp.Expr, sp.Expr, sp.Expr, sp.Expr]:
        """The four exponents, in order of precedence."""
        return self.quadratic, self.linear, self.degree, self.logarithm

    def sign(self) -> int:
        """Return 1 where the rate tends to infinity, -1 where it tends to zero, 0 where it is constant."""
        for part in self.parts:
            order = compare(part, sp.S.Zero)
            if order:
                return order
        return 0

    def exceeds(self, other: Rate) -> bool:
        """Return whether the quotient by another rate is known to tend to infinity."""
        try:
            return self.over(other).sign() > 0
        except UndecidedError:
            return False

    def joined(self, other: Rate) -> Rate:
        """Return a rate that neither exceeds: the larger one, or the largest of each part where that is undecided."""
        try:
            return self if self.over(other).sign() >= 0 else other
        except UndecidedError:
            return Rate(*(a if a == b else sp.Max(a, b) for a, b in zip(self.parts, other.parts, strict=True)))

    def over(self, other: Rate) -> Rate:
        """Return the rate of a quotient."""
        return Rate(*(a - b for a, b in zip(self.parts, other.parts, strict=True)))

    def times(self, other: Rate) -> Rate:
        """Return the rate of a product."""
        return Rate(*(a + b for a, b in zip(self.parts, other.parts, strict=True)))

    def raised(self, exponent: sp.Expr) -> Rate:
        """Return the rate of a power."""
        return Rate(*(exponent * part for part in self.parts))


_CONSTANT = Rate()
#: Bounds and limits that are remembered: they ask for one another at every level of nested functions.
_REMEMBERED = 4096
#: Bounds (lower or None, upper or None) of the rate of |expr|; None where nothing is known.
_Bounds = tuple[Rate | None, Rate | None]


def upper_rate(expr: sp.Expr, direction: int) -> Rate:
    """Return a rate that |expr| does not exceed as x -> direction * oo.

    Raises:
        GrowthError: no such rate is found.

    Example:
        >>> upper_rate(x**2 * sp.exp(x), 1)
        Rate(quadratic=0, linear=1, degree=2, logarithm=0)
    """
    try:
        upper = _bounds(expr, direction)[1]
    except UndecidedError as undecided:
        raise GrowthError(f"cannot bound the growth of {expr}: {undecided}") from undecided
    if upper is None:
        raise GrowthError(f"{expr} grows faster than every exp(c x^2), or its growth cannot be bounded")
    return upper


@lru_cache(maxsize=_REMEMBERED)
def _bounds(expr: sp.Expr, direction: int) -> _Bounds:
    if not expr.has(x):
        return (_CONSTANT, _CONSTANT) if expr.is_zero is False else (None, _CONSTANT)
    if expr == x:
        rate = Rate(degree=sp.S.One)
        return rate, rate
    if isinstance(expr, sp.Add):
        return _sum_bounds(expr, direction)
    if isinstance(expr, sp.Mul):
        lower: Rate | None = _CONSTANT
        upper: Rate | None = _CONSTANT
        for factor in expr.args:
            low, high = _bounds(factor, direction)
            lower = None if lower is None or low is None else lower.times(low)
            upper = None if upper is None or high is None else upper.times(high)
        return lower, upper
    if isinstance(expr, sp.Pow) and expr.exp.is_Rational:
        low, high = _bounds(expr.base, direction)
        raised = tuple(None if rate is None else rate.raised(expr.exp) for rate in (low, high))
        return (raised[0], raised[1]) if expr.exp.is_positive else (raised[1], raised[0])
    return _function_bounds(expr, direction)


def _sum_bounds(expr: sp.Expr, direction: int) -> _Bounds:
    parts = [_bounds(term, direction) for term in expr.args]
    upper: Rate | None = parts[0][1]
    for _, high in parts[1:]:
        upper = None if upper is None or high is None else upper.joined(high)
    for position, (low, _) in enumerate(parts):
        others = [high for index, (_, high) in enumerate(parts) if index != position]
        if low is not None and all(high is not None and low.exceeds(high) for high in others):
            return low, upper
    probe = expr.subs(x, direction * sp.Dummy("y", positive=True))
    if all(term.is_nonnegative for term in probe.args):
        known = [low for low, _ in parts if low is not None]
        best = known[0] if known else None
        for low in known[1:]:
            best = low if best is not None and low.exceeds(best) else best
        return best, upper
    return (_CONSTANT if _stays_away_from_zero(expr, direction) else None), upper


def _stays_away_from_zero(expr: sp.Expr, direction: int) -> bool:
    """Whether range arithmetic proves a sum bounded away from 0 on a half line."""
    try:
        low, high = enclosure(expr, *((sp.S.Zero, sp.oo) if direction > 0 else (-sp.oo, sp.S.Zero)))
        return compare(low, sp.S.Zero) > 0 or compare(high, sp.S.Zero) < 0
    except UndecidedError:
        return False


def _exponential_rate(argument: sp.Expr, direction: int) -> _Bounds:
    """Bounds of the rate of exp(argument)."""
    if argument.is_polynomial(x):
        poly = sp.Poly(argument, x)
        if poly.degree() > 2:
            falls = compare(poly.LC() * direction ** poly.degree(), sp.S.Zero) < 0
            return (None, Rate(quadratic=-sp.oo)) if falls else (None, None)
        rate = Rate(poly.coeff_monomial(x**2), direction * poly.coeff_monomial(x))
        return rate, rate
    polynomial, rest = _polynomial_part(argument)
    if polynomial != 0:
        first, second = _exponential_rate(polynomial, direction), _exponential_rate(rest, direction)
        low, high = (None if a is None or b is None else a.times(b) for a, b in zip(first, second, strict=True))
        if high is not None:
            return low, high
    low, high = _bounds(argument, direction)
    if high is not None and high.sign() <= 0:
        return _CONSTANT, _CONSTANT
    if not _is_bounded_above(argument, direction):
        return None, None
    return None, _CONSTANT if low is None or _limit_sign(argument, direction) >= 0 else _decay(low)


def _polynomial_part(argument: sp.Expr) -> tuple[sp.Expr, sp.Expr]:
    """The terms of a sum that are powers of x up to the second, and the rest; (0, argument) where one is empty."""
    terms = sp.Add.make_args(argument)
    powers = [term for term in terms if term.has(x) and term.is_polynomial(x) and sp.degree(term, x) <= 2]
    rest = sp.Add(*(term for term in terms if term not in powers))
    return (sp.Add(*powers), rest) if powers and rest.has(x) else (sp.S.Zero, argument)


def _is_bounded_above(expr: sp.Expr, direction: int) -> bool:
    """Whether an expression is known to stay below a constant as x -> direction * oo."""
    if _limit_sign(expr, direction) < 0:
        return True
    try:
        start = sp.S.Zero
        return enclosure(expr, *((start, sp.oo) if direction > 0 else (-sp.oo, start)))[1].is_finite is True
    except UndecidedError:
        return False


def _decay(low: Rate) -> Rate:
    """A rate of exp(-g) for g of at least the given rate, g -> oo."""
    quadratic, linear, degree, _ = low.parts
    if quadratic != 0 or linear != 0 or compare(degree, sp.Integer(2)) > 0:
        return Rate(quadratic=-sp.oo)
    return Rate(linear=-sp.oo) if compare(degree, sp.S.One) > 0 else _CONSTANT


@lru_cache(maxsize=_REMEMBERED)
def _limit_sign(argument: sp.Expr, direction: int) -> int:
    """Sign of the infinite limit of an argument, 0 when the limit is finite or unknown."""
    try:
        limit = limit_at(argument, direction)
    except GrowthError:
        return 0
    return 1 if limit is sp.oo else -1 if limit is -sp.oo else 0


def _function_bounds(expr: sp.Expr, direction: int) -> _Bounds:
    argument = expr.args[0]
    if isinstance(expr, sp.exp):
        return _exponential_rate(argument, direction)
    if isinstance(expr, sp.sinh | sp.cosh | sp.sech):
        sign = _limit_sign(argument, direction)
        if isinstance(expr, sp.sech):
            low, high = (None, None) if sign == 0 else _exponential_rate(-sign * argument, direction)
            return low, _CONSTANT if high is None else high
        if sign == 0:
            size = _bounds(argument, direction)[1]
            if size is None or size.sign() > 0:
                return None, None
            return None, size if isinstance(expr, sp.sinh) else _CONSTANT
        return _exponential_rate(sign * argument, direction)
    if isinstance(expr, sp.erfc) and argument.is_polynomial(x) and _limit_sign(argument, direction) > 0:
        low, high = _exponential_rate(-sp.expand(argument**2), direction)
        decay = _bounds(argument, direction)[0]
        if high is not None and decay is not None:
            return (None if low is None else low.over(decay)), high.over(decay)
    if isinstance(expr, sigmoid | softplus):
        sign = _limit_sign(argument, direction)
        if sign < 0:
            low, high = _exponential_rate(argument, direction)
            return low, (_CONSTANT if high is None else high)
        if isinstance(expr, softplus):
            low, high = _bounds(argument, direction)
            if high is None or high.sign() <= 0:
                return None, high if high is None else _CONSTANT
            return (low if sign > 0 else None), high
        return (_CONSTANT if sign > 0 else None), _CONSTANT
    if isinstance(expr, sp.log):
        return _logarithm_bounds(argument, direction)
    if isinstance(expr, sp.asinh):
        # |asinh u| <= |u|, and asinh |u| <= log(1 + 2 |u|); it tends to infinity with |u|.
        size = _bounds(argument, direction)[1]
        if size is None or size.sign() <= 0:
            return None, size
        return (_CONSTANT if _limit_sign(argument, direction) else None), _logarithm_of(size)
    if isinstance(expr, sp.tanh | sp.erf | sp.atan):
        return (_CONSTANT if _limit_sign(argument, direction) else None), _CONSTANT
    if isinstance(expr, sp.sin | sp.cos | sp.erfc | sp.tan):
        return None, _CONSTANT
    return None, None


def _logarithm_bounds(argument: sp.Expr, direction: int) -> _Bounds:
    low, high = _bounds(argument, direction)
    if low is None or high is None:
        return None, None
    return None, _logarithm_of(low).joined(_logarithm_of(high))


def _logarithm_of(rate: Rate) -> Rate:
    """A rate that |log f| does not exceed where f has this rate."""
    leading = next((i for i, part in enumerate(rate.parts) if part != 0), None)
    if leading is None:
        return _CONSTANT
    return (Rate(degree=sp.Integer(2)), Rate(degree=sp.S.One), Rate(logarithm=sp.S.One), Rate(logarithm=sp.S.One))[
        leading
    ]


def limit_at(expr: sp.Expr, direction: int) -> sp.Expr:
    """Return the limit of a smooth expression as x -> direction * oo, possibly infinite.

    Raises:
        GrowthError: the limit does not exist or is not found by comparing rates.

    Example:
        >>> limit_at(x * sp.exp(-x), 1)
        0
    """
    if not expr.has(x):
        return expr
    if expr == x:
        return direction * sp.oo
    if expr.is_polynomial(x):
        poly = sp.Poly(expr, x)
        return compare(poly.LC() * direction ** poly.degree(), sp.S.Zero) * sp.oo
    upper = _bounds(expr, direction)[1]
    if upper is not None and upper.sign() < 0:
        return sp.S.Zero
    if isinstance(expr, sp.Add):
        return _limit_of_sum(expr, direction)
    if isinstance(expr, sp.Mul):
        limits = [limit_at(factor, direction) for factor in expr.args]
        if any(value.is_zero for value in limits) and any(value.is_infinite for value in limits):
            raise GrowthError(f"cannot find the limit of {expr}")
        return sp.Mul(*limits)
    if isinstance(expr, sp.Pow) and not expr.exp.has(x):
        inner = limit_at(expr.base, direction)
        if expr.exp.is_negative and inner.is_zero:
            raise GrowthError(f"cannot find the limit of {expr}")
        return inner**expr.exp
    if isinstance(expr, sp.sin | sp.cos | sp.tan):
        inner = limit_at(expr.args[0], direction)
        if inner.is_infinite:
            raise GrowthError(f"{expr} has no limit")
        return expr.func(inner)
    if isinstance(expr, sp.Function):
        return expr.func(limit_at(expr.args[0], direction))
    raise GrowthError(f"cannot find the limit of {expr}")


def _limit_of_sum(expr: sp.Expr, direction: int) -> sp.Expr:
    bounds = [_bounds(term, direction) for term in expr.args]
    for position, (low, _) in enumerate(bounds):
        others = [high for index, (_, high) in enumerate(bounds) if index != position]
        if low is not None and all(high is not None and low.exceeds(high) for high in others):
            return limit_at(expr.args[position], direction)
    limits = [limit_at(term, direction) for term in expr.args]
    if sp.oo in limits and -sp.oo in limits:
        raise GrowthError(f"cannot find the limit of {expr}")
    return sp.Add(*limits)
