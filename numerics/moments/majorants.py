"""Rigorous bounds of an activation off the real axis: how large it is, and where it is analytic.

Quadrature with proof needs two things of a smooth piece f.  On a bounded part of a strip |Im w| <= b, boxes are
evaluated in ball arithmetic: a finite value proves that f is analytic there and bounds it.  On what is left, the half
strips Re w >= X and Re w <= -X, the expression tree is followed with bounds that are functions of t = |Re w| - X >= 0:

    |f(w)| <= P(t) exp(B t + Q t^2),    P a polynomial with coefficients >= 0.

All numbers are Arb balls of low precision; every comparison is a certain one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import reduce

import sympy as sp
from flint import acb, arb

from numerics.arithmetic import ComplexBallArithmetic, compile_program, constant_ball, hull
from theory.functions import sigmoid, softplus
from theory.symbols import x

__all__ = [
    "Majorant",
    "half_strip_majorant",
    "poly_product",
]

_Poly = tuple[arb, ...]
_ONE: _Poly = (arb(1),)
#: Bounds on the real axis of functions that are bounded whatever their argument is.
_REAL_BOUNDS: dict[type, int] = {
    sp.tanh: 1, sp.sech: 1, sp.sin: 1, sp.cos: 1, sp.erf: 1, sp.erfc: 2, sp.atan: 2, sigmoid: 1,
}  # fmt: skip
#: What is positive on the real axis.
_POSITIVE = (sp.exp, sp.cosh, sp.sech, sp.erfc, sigmoid, softplus)
#: What keeps real numbers real (logarithms and roots where their arguments allow it).
_REAL_NODES = (
    sp.Add, sp.Mul, sp.Pow, sp.exp, sp.log, sp.sinh, sp.cosh, sp.asinh, softplus, *_REAL_BOUNDS,
)  # fmt: skip


@dataclass(frozen=True)
class Majorant:
    """The bound |f(w)| <= P(t) exp(linear t + quadratic t^2), t = |Re w| - start >= 0, on a half strip.

    Attributes:
        start: |Re w| from which it holds.
        poly: coefficients of P, constant first, all >= 0.
        linear: coefficient of t in the exponent.
        quadratic: coefficient of t^2 in the exponent.
    """

    start: arb
    poly: _Poly
    linear: arb
    quadratic: arb

    def supremum(self) -> arb | None:
        """Return an upper bound over all t >= 0, or None where the majorant is unbounded."""
        if not (self.linear <= 0 and self.quadratic <= 0):
            return None
        total = self.poly[0]
        for power, coefficient in enumerate(self.poly[1:], start=1):
            if coefficient.is_zero():
                continue
            if self.linear < 0:
                # t^n exp(-c t) <= (n/(e c))^n
                total += coefficient * (power / (arb.const_e() * -self.linear)) ** power
            elif self.quadratic < 0:
                # t^n exp(-c t^2) <= (n/(2 e c))^(n/2)
                total += coefficient * (power / (2 * arb.const_e() * -self.quadratic)).sqrt() ** power
            else:
                return None
        return total.upper()


@dataclass(frozen=True)
class _Range:
    """What is known of a sub-expression e on a half strip, each None where nothing is.

    Attributes:
        low, high: polynomials in t with low(t) <= Re e <= high(t).
        imag: polynomial with coefficients >= 0, |Im e| <= imag(t).
        size: majorant of |e| (its start is that of the half strip).
        ball: a complex ball that contains all values.
        floor: positive lower bound of |e|.
    """

    low: _Poly | None = None
    high: _Poly | None = None
    imag: _Poly | None = None
    size: Majorant | None = None
    ball: acb | None = None
    floor: arb | None = None


def half_strip_majorant(expr: sp.Expr, side: int, start: arb, half_width: arb) -> Majorant | None:
    """Return a majorant of a smooth expression on side * Re w >= start, |Im w| <= half_width, or None.

    A majorant also proves that the expression is analytic there.

    Args:
        expr: expression in ``theory.symbols.x`` without parameters.
        side: 1 for the right half strip, -1 for the left.
        start: positive.
        half_width: >= 0.
    """
    return _HalfStrip(side, start, half_width).range_of(expr).size


# --------------------------------------------------------------------------------------------------------------------
# polynomials in t


def _plus(first: _Poly, second: _Poly) -> _Poly:
    longer, shorter = (first, second) if len(first) >= len(second) else (second, first)
    return tuple(a + shorter[i] if i < len(shorter) else a for i, a in enumerate(longer))


def poly_product(first: _Poly, second: _Poly) -> _Poly:
    """Return the coefficients of the product of two polynomials, constant first."""
    result = [arb(0)] * (len(first) + len(second) - 1)
    for i, a in enumerate(first):
        for j, b in enumerate(second):
            result[i + j] += a * b
    return tuple(result)


def _trimmed(poly: _Poly | None) -> _Poly | None:
    """Drop exact zeros at the highest powers."""
    while poly is not None and len(poly) > 1 and poly[-1].is_zero():
        poly = poly[:-1]
    return poly


def _negated(poly: _Poly | None) -> _Poly | None:
    return None if poly is None else tuple(-a for a in poly)


def _nonnegative(poly: _Poly | None) -> bool:
    """Whether all coefficients are, which proves the polynomial >= 0 for t >= 0."""
    return poly is not None and all(bool(a >= 0) for a in poly)


def _positive(poly: _Poly | None) -> bool:
    return poly is not None and _nonnegative(poly) and bool(poly[0] > 0)


def _sizes(first: _Poly, second: _Poly) -> _Poly:
    """Coefficients that bound both polynomials in absolute value."""
    length = max(len(first), len(second))
    pad = [(p[i].abs_upper() if i < len(p) else arb(0)) for p in (first, second) for i in range(length)]
    return tuple(pad[i].max(pad[length + i]) for i in range(length))


def _disc(radius: arb, centre: acb | int = 0) -> acb:
    side = arb(0, radius.upper())
    return centre + acb(side, side)


def _multiplied(r: _Range, factor: arb) -> tuple[_Poly | None, _Poly | None, _Poly | None]:
    """Bounds of the real and imaginary parts of a range times a real number of known sign."""
    low, high = (r.low, r.high) if factor > 0 else (r.high, r.low)
    scaled = [None if poly is None else tuple(factor * a for a in poly) for poly in (low, high)]
    return scaled[0], scaled[1], None if r.imag is None else tuple(abs(factor) * a for a in r.imag)


def _slope(r: _Range) -> arb:
    """A bound of |Im e|/Re e, infinite where none is known."""
    if r.low is None or r.imag is None:
        return arb.pos_inf()
    ratio = arb(0)
    for power, coefficient in enumerate(r.imag):
        if coefficient.is_zero():
            continue
        if power >= len(r.low) or not r.low[power] > 0:
            return arb.pos_inf()
        ratio = ratio.max(coefficient / r.low[power])
    return ratio.upper()


def _complementary(expr: sp.Expr) -> sp.Expr | None:
    """A sum with c + c erf(u) or c - c erf(u) in it written with erfc, which is small where they cancel."""
    constant, rest = expr.as_coeff_Add()
    for term in sp.Add.make_args(rest):
        factor, node = term.as_coeff_Mul()
        if constant != 0 and isinstance(node, sp.erf) and abs(factor) == abs(constant):
            argument = node.args[0] if factor == -constant else -node.args[0]
            return rest - term + constant * sp.erfc(argument, evaluate=False)
    return None


def _exponential_rate(poly: _Poly) -> arb:
    """k with P(t) <= P(0) exp(k t): it is enough that n! c_n <= k^n c_0."""
    rate, factorial = arb(0), 1
    for power, coefficient in enumerate(poly[1:], start=1):
        factorial *= power
        if coefficient.is_zero():
            continue  # Arb's higher roots of 0 are not finite.
        rate = rate.max(((factorial * coefficient / poly[0]).abs_upper()).root(power).upper())
    return rate


# --------------------------------------------------------------------------------------------------------------------
# the recursion


class _HalfStrip:
    def __init__(self, side: int, start: arb, half_width: arb) -> None:
        self._start = start
        self._on_axis = bool(half_width.is_zero())
        self._real: dict[sp.Expr, bool] = {}
        position = (start, arb(1))
        line = position if side > 0 else (-start, arb(-1))
        self._known: dict[sp.Expr, _Range] = {
            x: self._settled(_Range(low=line, high=line, imag=(half_width,), size=None)),
        }

    def range_of(self, expr: sp.Expr) -> _Range:
        known = self._known.get(expr)
        if known is None:
            derived = self._derive(expr)
            if self._is_real(expr):
                at_least_zero = isinstance(expr, _POSITIVE) and not _nonnegative(derived.low)
                derived = replace(derived, imag=(arb(0),), low=(arb(0),) if at_least_zero else derived.low)
            known = self._settled(derived)
            self._known[expr] = known
        return known

    def _is_real(self, expr: sp.Expr) -> bool:
        """Whether the half strip is a half line on which an expression is proved real."""
        if not self._on_axis:
            return False
        if expr not in self._real:
            real = bool(expr.is_extended_real) if not expr.has(x) else all(map(self._is_real, expr.args))
            if real and isinstance(expr, sp.log):
                real = _positive(self.range_of(expr.args[0]).low)
            if real and isinstance(expr, sp.Pow) and expr.has(x) and not expr.exp.is_integer:
                real = _nonnegative(self.range_of(expr.base).low)
            self._real[expr] = real and (not expr.args or isinstance(expr, _REAL_NODES) or not expr.has(x))
        return self._real[expr]

    def _majorant(self, poly: _Poly, linear: arb | int = 0, quadratic: arb | int = 0) -> Majorant:
        return Majorant(self._start, poly, arb(linear), arb(quadratic))

    def _settled(self, r: _Range) -> _Range:
        """Complete what follows from the parts that are known."""
        r = replace(r, low=_trimmed(r.low), high=_trimmed(r.high), imag=_trimmed(r.imag))
        if r.ball is not None and not r.ball.is_finite():
            r = replace(r, ball=None)
        if r.ball is None and r.size is not None:
            top = r.size.supremum()
            if top is not None and top.is_finite():
                r = replace(r, ball=_disc(top))
        if r.ball is not None:
            real, imag, size = r.ball.real, r.ball.imag, r.ball.abs_upper()
            floor = r.ball.abs_lower()
            r = replace(
                r,
                low=(real.lower(),) if r.low is None else r.low,
                high=(real.upper(),) if r.high is None else r.high,
                imag=(imag.abs_upper(),) if r.imag is None else r.imag,
                size=self._majorant((size,)) if r.size is None else r.size,
                floor=floor if r.floor is None and floor > 0 else r.floor,
            )
        if r.size is None and r.low is not None and r.high is not None and r.imag is not None:
            r = replace(r, size=self._majorant(_plus(_sizes(r.low, r.high), r.imag)))
        if r.size is not None and r.size.linear <= 0 and r.size.quadratic <= 0:
            poly = r.size.poly
            r = replace(
                r,
                low=_negated(poly) if r.low is None else r.low,
                high=poly if r.high is None else r.high,
                imag=poly if r.imag is None else r.imag,
            )
        if r.floor is None and _positive(r.low) and r.low is not None:
            r = replace(r, floor=r.low[0].lower())
        if r.floor is None and _positive(_negated(r.high)) and r.high is not None:
            r = replace(r, floor=(-r.high[0]).lower())
        return r

    def _derive(self, expr: sp.Expr) -> _Range:
        if not expr.has(x):
            return _Range(ball=acb(constant_ball(expr)))
        if isinstance(expr, sp.Add):
            complement = _complementary(expr)
            if complement is not None:
                return self.range_of(complement)
            return reduce(self._sum, [self.range_of(part) for part in expr.args])
        if isinstance(expr, sp.Mul):
            return reduce(self._product, [self.range_of(part) for part in expr.args])
        if isinstance(expr, sp.Pow):
            if isinstance(expr.base, sigmoid) and not (expr.exp.is_Integer and expr.exp > 0):
                # sigmoid(w) = exp(-softplus(-w)), which has no zero.
                return self._exp(self.range_of(-expr.exp * softplus(-expr.base.args[0])))
            if expr.exp.is_Rational:
                return self._power(self.range_of(expr.base), Fraction(int(expr.exp.p), int(expr.exp.q)))
            if not expr.base.has(x):
                return self._exp(self._product(self.range_of(expr.exp), self.range_of(sp.log(expr.base))))
            return _Range()
        if not expr.args:
            return _Range()
        inner = self.range_of(expr.args[0])
        if inner.ball is not None:
            y = sp.Symbol("y")
            (value,) = compile_program([expr.func(y)], [y], ComplexBallArithmetic(analytic=True))(inner.ball)
            if value.is_finite():
                return _Range(ball=value, size=self._decaying(expr.func, inner))
        if isinstance(expr, sp.erf | sp.erfc):
            outer = self._error_function(expr)
        else:
            rule = self._rules().get(type(expr))
            outer = _Range() if rule is None else rule(inner)
        bound = _REAL_BOUNDS.get(type(expr))
        if bound is not None and self._settled(outer).size is None and self._is_real(expr):
            return _Range(ball=acb(arb(0, bound)))
        return outer

    def _decaying(self, function: type, inner: _Range) -> Majorant | None:
        """A decaying majorant of F(e) with F(0) = 0 from that of e: |F(e)| <= |e| sup |F'| over a disc round 0."""
        if function not in (sp.tanh, sp.erf, sp.sin, sp.atan, sp.sinh, sp.asinh) or inner.size is None:
            return None
        top = inner.size.supremum()
        if top is None or not inner.size.linear < 0:
            return None
        y = sp.Symbol("y")
        program = compile_program([sp.diff(function(y), y)], [y], ComplexBallArithmetic(analytic=True))
        (slope,) = program(_disc(top))
        return self._divided(inner.size, 1 / slope.abs_upper()) if slope.is_finite() else None

    def _rules(self) -> dict[type, Callable[[_Range], _Range]]:
        return {
            sp.exp: self._exp,
            sp.log: self._log,
            sp.sin: self._sine,
            sp.cos: self._sine,
            sp.sinh: lambda e: self._half(e, -1),
            sp.cosh: lambda e: self._half(e, 1),
            sp.sech: self._sech,
            sp.tanh: lambda e: self._odd(e, self._tanh_right),
            sp.asinh: lambda e: self._odd(e, self._asinh_right),
            sp.atan: lambda e: self._odd(e, self._atan_right),
            sigmoid: self._sigmoid,
            softplus: self._softplus,
        }

    def _sum(self, first: _Range, second: _Range) -> _Range:
        parts = [
            None if a is None or b is None else _plus(a, b)
            for a, b in ((first.low, second.low), (first.high, second.high), (first.imag, second.imag))
        ]
        size = None
        if first.size is not None and second.size is not None:
            a, b = first.size, second.size
            size = Majorant(self._start, _plus(a.poly, b.poly), a.linear.max(b.linear), a.quadratic.max(b.quadratic))
            if parts[0] is not None and parts[1] is not None and parts[2] is not None and size.linear <= 0:
                size = None
        ball = None if first.ball is None or second.ball is None else first.ball + second.ball
        floor = None
        for a_range, b_range in ((first, second), (second, first)):
            top = None if b_range.size is None else b_range.size.supremum()
            if a_range.floor is not None and top is not None and a_range.floor > top:
                floor = (a_range.floor - top).lower()
        return self._settled(_Range(parts[0], parts[1], parts[2], size=size, ball=ball, floor=floor))

    def _product(self, first: _Range, second: _Range) -> _Range:
        low, high, imag = self._rectangle(first, second)
        for factor, other in ((first, second), (second, first)):
            if (
                factor.ball is not None
                and factor.ball.imag.is_zero()
                and (factor.ball.real > 0 or factor.ball.real < 0)
            ):
                low, high, imag = _multiplied(other, factor.ball.real)
        size = None
        if first.size is not None and second.size is not None:
            a, b = first.size, second.size
            size = Majorant(self._start, poly_product(a.poly, b.poly), a.linear + b.linear, a.quadratic + b.quadratic)
        ball = None if first.ball is None or second.ball is None else first.ball * second.ball
        floor = None if first.floor is None or second.floor is None else (first.floor * second.floor).lower()
        return self._settled(_Range(low, high, imag, size, ball, floor))

    def _rectangle(self, first: _Range, second: _Range) -> tuple[_Poly | None, _Poly | None, _Poly | None]:
        """Bounds of the real and imaginary parts of a product whose factors' real parts have a sign."""
        sign = 1
        factors = []
        for r in (first, second):
            if r.low is None or r.high is None or r.imag is None:
                return None, None, None
            if _nonnegative(r.low):
                factors.append((r.low, r.high, r.imag))
            elif _nonnegative(_negated(r.high)):
                sign = -sign
                factors.append((tuple(-a for a in r.high), tuple(-a for a in r.low), r.imag))
            else:
                return None, None, None
        (low1, high1, imag1), (low2, high2, imag2) = factors
        crossed = poly_product(imag1, imag2)
        low = _plus(poly_product(low1, low2), tuple(-a for a in crossed))
        high = _plus(poly_product(high1, high2), crossed)
        imag = _plus(poly_product(high1, imag2), poly_product(imag1, high2))
        if not _nonnegative(imag):
            return None, None, None
        return (low, high, imag) if sign > 0 else (_negated(high), _negated(low), imag)

    def _power(self, e: _Range, exponent: Fraction) -> _Range:
        if exponent < 0:
            positive = self._settled(self._power(e, -exponent))
            if positive.floor is None:
                return _Range()
            if positive.ball is not None:
                return _Range(ball=1 / positive.ball)
            return _Range(ball=_disc(1 / positive.floor))
        if exponent.denominator == 1:
            if exponent.numerator == 1:
                return e
            if exponent.numerator % 2 == 0:
                return self._square(self._settled(self._power(e, exponent / 2)))
            return self._product(e, self._settled(self._power(e, exponent - 1)))
        root = arb(exponent.numerator) / exponent.denominator
        if e.ball is not None and e.ball.real > 0:
            return _Range(ball=e.ball.pow(acb(root), analytic=True))
        if e.size is None:
            return _Range()
        # |e|^q <= (1 + |e|)^n for q <= n.
        whole = exponent.numerator // exponent.denominator
        grown = reduce(poly_product, [_plus(e.size.poly, (arb(1),))] * (whole + 1))
        power = (e.size.poly[0] ** root,) if len(e.size.poly) == 1 and e.size.poly[0] > 0 else grown
        size = self._majorant(power, e.size.linear * root, e.size.quadratic * root)
        if not _positive(e.low) or e.low is None:
            at_least_zero = self._on_axis and _nonnegative(e.low) and e.imag == (arb(0),)
            return _Range(low=(arb(0),), size=size) if at_least_zero else _Range()
        least = e.low[0].lower()
        floor = (least**root).lower()
        # The argument of e^q lies within q atan(|Im e|/Re e).
        angle = (root * _slope(e).atan()).upper()
        if not angle < arb.pi() / 2:
            return _Range(size=size, floor=floor)
        share = least ** (root - whole) * angle.cos()
        low = tuple((share * a).lower() for a in reduce(poly_product, [e.low] * whole, _ONE))
        return _Range(size=size, floor=floor, low=low)

    def _square(self, e: _Range) -> _Range:
        """e^2, by Re e^2 = (Re e)^2 - (Im e)^2 where the product of e and e forgets that they are the same."""
        if e.ball is not None:
            tops = [part.abs_upper() ** 2 for part in (e.ball.real, e.ball.imag)]
            bottoms = [part.abs_lower() ** 2 for part in (e.ball.real, e.ball.imag)]
            real = hull(bottoms[0] - tops[1], tops[0] - bottoms[1])
            imag = 2 * e.ball.real * e.ball.imag
            size = None if e.size is None else self._squared(e.size)
            return _Range(ball=acb(real, imag), size=size, low=((bottoms[0] - tops[1]).lower(),))
        square = self._product(e, e)
        if square.low is None and e.imag is not None and len(e.imag) == 1:
            return replace(square, low=((-(e.imag[0] ** 2)).lower(),))
        return square

    def _squared(self, size: Majorant) -> Majorant:
        return self._majorant(poly_product(size.poly, size.poly), 2 * size.linear, 2 * size.quadratic)

    def _exp(self, e: _Range) -> _Range:
        top, size = e.high, None
        while top is not None and len(top) > 3 and top[-1] <= 0:
            top = top[:-1]
        if top is not None and len(top) <= 3:
            rates = [*top[1:], arb(0), arb(0)]
            size = self._majorant((top[0].exp(),), rates[0], rates[1])
        floor = None
        if e.low is not None and all(bool(a >= 0) for a in e.low[1:]):
            floor = e.low[0].exp().lower()
        low: _Poly | None = None
        if e.imag is not None and len(e.imag) == 1 and e.imag[0] < arb.pi() / 2:
            low = (arb(0),)
            if floor is not None and e.low is not None:
                # exp(y) >= 1 + y + y^2/2 + y^3/6
                share = floor * e.imag[0].cos()
                first, second = [*e.low[1:3], arb(0), arb(0)][:2]
                series = (arb(1), first, first**2 / 2 + second, first**3 / 6)
                low = tuple((share * a).lower() for a in series)
        return _Range(low=low, size=size, floor=floor)

    def _log(self, e: _Range) -> _Range:
        if not _positive(e.low) or e.low is None or e.size is None or not e.size.poly[0] > 0:
            return _Range()
        size = e.size
        high = (size.poly[0].log(), _exponential_rate(size.poly) + size.linear, size.quadratic)
        return _Range(low=(e.low[0].log(),), high=high, imag=((arb.pi() / 2).upper(),))

    def _sine(self, e: _Range) -> _Range:
        if e.imag is None or len(e.imag) > 3:
            return _Range()
        if len(e.imag) == 1:
            side, height = e.imag[0].cosh().upper(), e.imag[0].sinh().upper()
            return _Range(ball=acb(arb(0, side), arb(0, height)))
        rates = [*e.imag[1:], arb(0), arb(0)]
        return _Range(size=self._majorant((e.imag[0].exp(),), rates[0], rates[1]))

    def _scaled(self, e: _Range, factor: int) -> _Range:
        return self._product(e, self._settled(_Range(ball=acb(factor))))

    def _half(self, e: _Range, sign: int) -> _Range:
        up, down = self._settled(self._exp(e)), self._settled(self._exp(self._scaled(e, -1)))
        half = self._settled(_Range(ball=acb(1) / 2))
        return self._product(self._sum(up, self._scaled(down, sign)), half)

    def _decay(self, e: _Range) -> tuple[arb, Majorant] | None:
        """Bounds of |exp(-e)| below 1 where Re e > 0: its largest value, and a majorant."""
        if not _positive(e.low) or e.low is None:
            return None
        fall = self._exp(self._scaled(e, -1))
        largest = (-e.low[0]).exp().upper()
        if fall.size is None or not largest < 1:
            return None
        return largest, fall.size

    def _odd(self, e: _Range, right: Callable[[_Range], _Range]) -> _Range:
        if _positive(_negated(e.high)):
            return self._scaled(self._settled(right(self._scaled(e, -1))), -1)
        return right(e)

    def _tanh_right(self, e: _Range) -> _Range:
        decay = self._decay(self._scaled(e, 2))
        if decay is None:
            return _Range()
        # tanh e = 1 - 2u/(1 + u) with u = exp(-2e)
        return _Range(ball=_disc(2 * decay[0] / (1 - decay[0]), acb(1)))

    def _sigmoid(self, e: _Range) -> _Range:
        right, left = self._decay(e), self._decay(self._scaled(e, -1))
        if right is not None:
            return _Range(ball=_disc(right[0] / (1 - right[0]), acb(1)))
        if left is not None:
            return _Range(size=self._divided(left[1], 1 - left[0]))
        return _Range()

    def _divided(self, majorant: Majorant, by: arb) -> Majorant:
        return replace(majorant, poly=tuple((a / by).upper() for a in majorant.poly))

    def _softplus(self, e: _Range) -> _Range:
        right, left = self._decay(e), self._decay(self._scaled(e, -1))
        if right is not None and e.low is not None and e.high is not None and e.imag is not None:
            # softplus(e) = e + log(1 + u), |log(1 + u)| <= |u|/(1 - |u|)
            gap = (right[0] / (1 - right[0])).upper()
            return _Range(low=_plus(e.low, (-gap,)), high=_plus(e.high, (gap,)), imag=_plus(e.imag, (gap,)))
        if left is not None:
            return _Range(size=self._divided(left[1], 1 - left[0]))
        if e.imag == (arb(0),) and e.size is not None and e.size.linear >= 0 and e.size.quadratic >= 0:
            return _Range(low=(arb(0),), size=replace(e.size, poly=_plus(e.size.poly, (arb.const_log2(),))))
        return _Range()

    def _sech(self, e: _Range) -> _Range:
        for sign in (1, -1):
            decay = self._decay(self._scaled(e, sign))
            if decay is not None:
                return _Range(size=self._divided(decay[1], (1 - decay[0] ** 2) / 2))
        return _Range()

    def _erfc_size(self, argument: sp.Expr) -> Majorant | None:
        """|erfc(z)| <= |exp(-z^2)| where Re z >= 0 (integrate along the horizontal)."""
        if not _nonnegative(self.range_of(argument).low):
            return None
        return self._settled(self._exp(self.range_of(-(argument**2)))).size

    def _error_function(self, expr: sp.Expr) -> _Range:
        """erf or erfc of what has a real part of one sign."""
        for sign in (1, -1):
            size = self._erfc_size(sign * expr.args[0])
            if size is None:
                continue
            if isinstance(expr, sp.erfc) and sign > 0:
                return _Range(size=size)
            top = size.supremum()
            if top is not None:
                return _Range(ball=_disc(top, acb(2 if isinstance(expr, sp.erfc) else sign)))
        return _Range()

    def _asinh_right(self, e: _Range) -> _Range:
        if not _positive(e.low) or e.size is None:
            return _Range()
        if not (e.size.linear >= 0 and e.size.quadratic >= 0):
            # Off its cuts |asinh z| <= asinh |z| + pi/2: |sinh(a + ib)|^2 = sinh(a)^2 + sin(b)^2, and |b| <= pi/2.
            return self._sum(_Range(size=e.size), self._settled(_Range(ball=_disc((arb.pi() / 2).upper()))))
        # asinh(z) = log(z + sqrt(z^2 + 1)), where |z + sqrt(z^2 + 1)| <= 1 + 2 |z|.
        poly = _plus((arb(1),), tuple(2 * a for a in e.size.poly))
        high = (poly[0].log(), _exponential_rate(poly) + e.size.linear, e.size.quadratic)
        return _Range(low=(arb(0),), high=high, imag=((arb.pi() / 2).upper(),))

    def _atan_right(self, e: _Range) -> _Range:
        if not _positive(e.low) or e.low is None or not e.low[0] > 1:
            return _Range()
        # atan z = pi/2 - atan(1/z) for Re z > 0, and |atan u| <= atanh |u|
        return _Range(ball=_disc((1 / e.low[0].lower()).atanh(), acb(arb.pi() / 2)))
