"""Where a smooth piece of an activation is analytic, how large it is there, and what Gaussian integrals that bounds.

Two rigorous bounds come out, for g(xi) = xi^k f(tau xi)^j exp(-xi^2/2)/sqrt(2 pi):

* ``StripTable.line_integral``: of the integral of |g| along a line parallel to the real axis, which bounds the
  discretisation error of the trapezoidal rule (Trefethen and Weideman, SIAM Review 56 (2014), theorem 5.1);
* ``PieceBounds.tail``: of what lies beyond a point of the real axis.

Both are computed at the (low) precision that is set and rounded outwards.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import reduce

import sympy as sp
from flint import acb, arb

from numerics.arithmetic import ComplexBallArithmetic, Program, compile_program, hull
from numerics.budget import checkpoint
from numerics.moments.majorants import Majorant, half_strip_majorant, poly_product
from theory.symbols import x

__all__ = [
    "PieceBounds",
    "StripTable",
    "gaussian_tail",
]

#: How often a box is halved before it is taken to hold a singularity, and how often X is doubled.
_HALVINGS = 9
_DOUBLINGS = 26
#: Boxes after which a supremum is taken as it is bounded by then.
_MOST_BOXES = 2000
#: Boxes that cover a stretch of a strip; a strip that needs more lies along a branch cut, and a narrower one serves.
_MOST_COLUMNS = 8000
#: Widest and narrowest half strip that is tried, as powers of two.
_WIDEST, _NARROWEST = 4, -24
#: Widths, in 64ths of the widest, of the narrower strips: close to a singularity f is large.
_SHARES = (60, 52, 32, 12)
#: A box of the real axis or of the strip: left end, right end, bounds of |f| and of |f'|.
_Column = tuple[arb, arb, arb, arb]


@dataclass(frozen=True)
class StripTable:
    """Bounds of f and f' on the strip |Im w| <= half_width; its existence proves both analytic there.

    Attributes:
        half_width: b.
        columns: boxes that cover -start <= Re w <= start.
        outside: for the left and right half strips, majorants of f and f'.
    """

    half_width: arb
    columns: tuple[_Column, ...]
    outside: tuple[tuple[Majorant, Majorant], tuple[Majorant, Majorant]]

    def line_integral(self, scale: arb, shift: arb, power: int) -> tuple[arb, arb, arb]:
        """Bound the integrals of (1 + |xi|)^power |G| along Im xi = shift for G = f phi, f^2 phi and f'^2 phi.

        Args:
            scale: tau, at most half_width/shift.
            shift: a >= 0.
            power: highest power of xi that is needed.
        """
        total = [arb(0), arb(0), arb(0)]
        lift = (shift**2 / 2).exp()
        for left, right, value, slope in self.columns:
            nearest = arb(0) if not (left > 0 or right < 0) else (left / scale if left > 0 else -right / scale)
            nearest = nearest.lower().max(arb(0))
            farthest = (right / scale).abs_upper().max((left / scale).abs_upper())
            flat = (right - left) / scale * (1 + farthest + shift) ** power * (-(nearest * nearest) / 2).exp()
            mass = (flat / (2 * arb.pi()).sqrt()).upper()
            # Twice, as the column may hold the origin.
            mass = mass.min((2 * gaussian_tail(None, 1, scale, nearest, power, shift)).upper())
            for slot, bound in enumerate((value, value**2, slope**2)):
                total[slot] += lift * mass * bound
        for of_value, of_slope in self.outside:
            start = of_value.start / scale
            for slot, (majorant, order) in enumerate(((of_value, 1), (of_value, 2), (of_slope, 2))):
                total[slot] += lift * gaussian_tail(majorant, order, scale, start, power, shift)
        return total[0].upper(), total[1].upper(), total[2].upper()


def gaussian_tail(
    majorant: Majorant | None, order: int, scale: arb, start: arb, power: int, shift: arb, step: arb | None = None
) -> arb:
    """Bound the integral over xi >= start of (1 + xi + shift)^power F(scale xi)^order exp(-xi^2/2)/sqrt(2 pi).

    F is the majorant (1 where it is None), which must hold from scale * start on.  With a step h the bound also holds
    for h times the sum over any grid of that step.  Non-finite where the Gaussian does not win.

    Args:
        majorant: F.
        order: power of F.
        scale: tau.
        start: where the tail begins, in xi.
        power: see above.
        shift: see above.
        step: h, or None for the integral.
    """
    begin = arb(0)
    factor: tuple[arb, ...] = (arb(1),)
    linear = quadratic = arb(0)
    if majorant is not None:
        begin = scale * start - majorant.start
        # The powers of t = begin + scale u as a polynomial in u.
        poly = _shifted(majorant.poly, begin.nonnegative_part(), scale)
        for _ in range(order):
            factor = poly_product(factor, poly)
        linear, quadratic = order * majorant.linear, order * majorant.quadratic
        begin = begin.nonnegative_part()
    for _ in range(power):
        factor = poly_product(factor, (1 + start + shift, arb(1)))
    # The largest over begin, end by end: a ball round 0 would have a square that reaches below 0.
    ends = begin.lower().max(arb(0)), begin.upper()
    largest = (linear * ends[0]).max(linear * ends[1]) + (quadratic * ends[0] ** 2).max(quadratic * ends[1] ** 2)
    constant = (largest - start * start / 2).exp() / (2 * arb.pi()).sqrt()
    bends = [2 * quadratic * scale * end for end in ends]
    fall = (start - linear * scale - bends[0].max(bends[1])).lower()
    bend = arb(1) / 2 - quadratic * scale**2
    if not bend > 0:
        return arb.pos_inf()
    if not fall >= 0:
        # exp(-fall u - bend u^2) <= exp(fall^2/(2 bend)) exp(-bend u^2/2) where fall < 0
        constant *= (fall**2 / (2 * bend)).exp()
        bend /= 2
    total = arb(0)
    for n, coefficient in enumerate(factor):
        if fall > 1:
            value = arb(n).fac() / fall ** (n + 1)
            peak = (n / (arb.const_e() * fall)) ** n if n else arb(1)
        else:
            value = (arb(n + 1) / 2).gamma() / (2 * bend.sqrt() ** (n + 1))
            peak = (n / (2 * arb.const_e() * bend)).sqrt() ** n if n else arb(1)
        total += coefficient * (value if step is None else value + step * peak)
    result = (constant * total).upper()
    return result if result.is_finite() else arb.pos_inf()


def _shifted(poly: tuple[arb, ...], begin: arb, scale: arb) -> tuple[arb, ...]:
    """Coefficients in u of P(begin + scale u), by Horner."""
    result: tuple[arb, ...] = (poly[-1],)
    for coefficient in reversed(poly[:-1]):
        constant, *others = poly_product(result, (begin, scale))
        result = (constant + coefficient, *others)
    return result


class PieceBounds:
    """Bounds of one smooth expression and its derivative, at the precision set when it is made (64 bits will do).

    Args:
        value: the expression f in ``theory.symbols.x``.
        slope: its derivative.
    """

    def __init__(self, value: sp.Expr, slope: sp.Expr) -> None:
        self._exprs = (value, slope)
        self._program: Program = compile_program([value, slope], [x], ComplexBallArithmetic(analytic=True))
        self._half_lines: dict[tuple[int, int], tuple[Majorant | None, Majorant | None]] = {}
        self._strips: tuple[StripTable, ...] | None = None

    def strips(self) -> tuple[StripTable, ...]:
        """Return tables on strips of several widths, the widest nearly the widest on which f is found analytic."""
        if self._strips is None:
            widest = self._widest()
            if widest is None:
                self._strips = ()
            else:
                narrower = (self.table((widest.half_width * share / 64).mid()) for share in _SHARES)
                self._strips = (widest, *(table for table in narrower if table is not None))
        return self._strips

    def _widest(self) -> StripTable | None:
        exponent = 0
        best = self.table(arb(1))
        while best is None and exponent > _NARROWEST:
            exponent -= 1
            best = self.table(arb(2) ** exponent)
        if best is None:
            return None
        if exponent == 0:
            while exponent < _WIDEST:
                wider = self.table(arb(2) ** (exponent + 1))
                if wider is None:
                    break
                best, exponent = wider, exponent + 1
            else:
                return best
        low, high = best.half_width, 2 * best.half_width
        for _ in range(4):
            middle = ((low + high) / 2).mid()
            trial = self.table(middle)
            if trial is None:
                high = middle
            else:
                low, best = middle, trial
        return best

    def table(self, half_width: arb) -> StripTable | None:
        """Return the table on a strip, or None where f is not proved analytic on it."""
        if not self._finite_box(arb(0), arb(0), half_width):
            return None
        start = (4 * half_width).max(arb(1) / 4)
        if half_width < arb(1) / 16:
            start = 4 * half_width
        for _ in range(_DOUBLINGS):
            outside = tuple(
                tuple(half_strip_majorant(expr, side, start, half_width) for expr in self._exprs) for side in (-1, 1)
            )
            if all(part is not None for pair in outside for part in pair):
                break
            start = start * 2
        else:
            return None
        columns: list[_Column] = []
        for left, right in self._edges(start, half_width):
            cover = self._cover(left, right, half_width)
            if cover is None:
                return None
            columns.extend(cover)
        pairs = [(left, right) for left, right in outside if left is not None and right is not None]
        return StripTable(half_width, tuple(columns), (pairs[0], pairs[1]))

    @staticmethod
    def _edges(start: arb, half_width: arb) -> list[tuple[arb, arb]]:
        edges = [start]
        while edges[-1] > half_width:
            edges.append(edges[-1] / 2)
        points = [-edge for edge in edges] + [arb(0)] + edges[::-1]
        return list(itertools.pairwise(points))

    def _finite_box(self, left: arb, right: arb, top: arb) -> tuple[arb, arb] | None:
        bounds = self._box(left, right, arb(0), top)
        if bounds is not None:
            return bounds
        halves = [self._box(left, right, top * k / 16, top * (k + 1) / 16) for k in range(16)]
        if any(half is None for half in halves):
            return None
        return halves[0]

    def _box(self, left: arb, right: arb, bottom: arb, top: arb) -> tuple[arb, arb] | None:
        value, slope = self._program(acb(hull(left, right), hull(bottom, top)))
        if not (value.is_finite() and slope.is_finite()):
            return None
        return value.abs_upper().upper(), slope.abs_upper().upper()

    def _cover(self, left: arb, right: arb, top: arb) -> list[_Column] | None:
        """Columns between two abscissas; f takes conjugate values below the axis, so the upper half is enough."""
        done: list[_Column] = []
        pending = [(left, right, arb(0), top, 0)]
        while pending:
            checkpoint()
            a, b, bottom, height, depth = pending.pop()
            bounds = self._box(a, b, bottom, height)
            if bounds is not None:
                done.append((a, b, *bounds))
                continue
            if depth > 2 * _HALVINGS or len(done) > _MOST_COLUMNS:
                return None
            if b - a > height - bottom:
                middle = (a + b) / 2
                pending += [(a, middle, bottom, height, depth + 1), (middle, b, bottom, height, depth + 1)]
            else:
                middle = (bottom + height) / 2
                pending += [(a, b, bottom, middle, depth + 1), (a, b, middle, height, depth + 1)]
        return done

    def tail(
        self, side: int, scale: arb, start: arb, power: int, step: arb | None = None
    ) -> tuple[arb, arb, arb] | None:
        """Bound what lies beyond side * xi >= start on the real axis, for f phi, f^2 phi and f'^2 phi.

        Returns None where no majorant of f is found; where there is none of f' only, its bound is nan.
        """
        near = (scale * start).lower()
        first = -2
        while not scale.upper() * start <= arb(2) ** first:
            first += 1
        without_slope: tuple[int, Majorant] | None = None
        for exponent in range(first, first + _DOUBLINGS):
            of_value, of_slope = self._real_majorants(side, exponent)
            if of_value is not None and of_slope is not None:
                break
            if of_value is not None and without_slope is None:
                without_slope = exponent, of_value
        else:
            if without_slope is None:
                return None
            (exponent, of_value), of_slope = without_slope, None
        # From here on the majorants hold at every scale of the ball; the largest scales are past their start by then.
        beyond = start.max((arb(2) ** exponent / scale).upper())
        far = (scale * beyond).upper()
        total = [arb(0), arb(0), arb(0)]
        if far > near:
            flat = self._flat(side, near, far, gaussian_tail(None, 1, scale, start, power, arb(0), step))
            if flat is None:
                return None
            total = list(flat)
        for slot, (majorant, order) in enumerate(((of_value, 1), (of_value, 2), (of_slope, 2))):
            if majorant is None:
                total[slot] = arb.nan()
            else:
                total[slot] += gaussian_tail(majorant, order, scale, beyond, power, arb(0), step)
        return total[0].upper(), total[1].upper(), total[2].upper()

    def _real_majorants(self, side: int, exponent: int) -> tuple[Majorant | None, Majorant | None]:
        """Majorants of f and f' on the real half line from 2^exponent on."""
        key = side, exponent
        if key not in self._half_lines:
            value, slope = (half_strip_majorant(expr, side, arb(2) ** exponent, arb(0)) for expr in self._exprs)
            self._half_lines[key] = value, slope
        return self._half_lines[key]

    def _flat(self, side: int, near: arb, far: arb, mass: arb) -> tuple[arb, arb, arb] | None:
        """Suprema of |f|, f^2, f'^2 on a stretch of the real axis, times a mass."""
        ends = (near, far) if side > 0 else (-far, -near)
        columns = self._cover(ends[0], ends[1], arb(0))
        if columns is None:
            return None
        value, slope = arb(0), arb(0)
        for _, _, top, steepest in columns:
            value, slope = value.max(top), slope.max(steepest)
        return mass * value, mass * value**2, mass * slope**2

    def stretch(
        self, side: int, scale: arb, near: arb, far: arb, power: int, step: arb, mass_from: arb
    ) -> tuple[arb, arb, arb] | None:
        """Bound what lies between side * xi = near and far, with all the Gaussian mass beyond mass_from."""
        mass = gaussian_tail(None, 1, scale, mass_from, power, arb(0), step)
        return self._flat(side, (scale * near).lower(), (scale * far).upper(), mass)

    def supremum(self, low: arb, high: arb | None) -> arb | None:
        """Bound |f| on [low, high] to a few per cent, None standing for infinity; None where no bound is found."""
        outside = arb(0)
        if high is None:
            tail: tuple[arb, arb] | None = None
            for exponent in range(-2, _DOUBLINGS):
                start = arb(2) ** exponent
                if not start > low:
                    continue
                majorant = half_strip_majorant(self._exprs[0], 1, start, arb(0))
                top = None if majorant is None else majorant.supremum()
                if top is None or not top.is_finite():
                    if tail is not None:
                        break
                    continue
                settled = tail is not None and not top < tail[0] * arb("0.98")
                if tail is None or not settled:
                    tail = top, start
                if settled:
                    break
            if tail is None:
                return None
            outside, high = tail
        inside = self._tight_supremum(low, high, outside)
        return None if inside is None else outside.max(inside).upper()

    def _tight_supremum(self, low: arb, high: arb, reached: arb) -> arb | None:
        """Branch and bound: boxes are halved until none promises much more than what is reached anyway."""
        bounds = [reached]
        pending = [(low, high)]
        work = 0
        while pending:
            checkpoint()
            a, b = pending.pop()
            work += 1
            middle = ((a + b) / 2).mid()
            value = self._program(acb(hull(a, b)))[0]
            at_middle = self._program(acb(middle))[0].abs_lower()
            if at_middle > reached:
                reached = at_middle
            top = value.abs_upper()
            if top.is_finite() and (not top > reached * arb("1.03") + arb(2) ** -40 or work > _MOST_BOXES):
                bounds.append(top)
            elif work > 2 * _MOST_BOXES:
                return None
            else:
                pending += [(a, middle), (middle, b)]
        return reduce(lambda first, second: first.max(second), bounds)
