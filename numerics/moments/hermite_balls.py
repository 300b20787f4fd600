"""Certified Hermite coefficients of an activation, and the bivariate moments that are series in them.

With c_n = E[f(tau xi) he_n(xi)], he_n the orthonormal Hermite polynomials, u and v of variance tau^2 and correlation
rho (theory sheet, sections 2 and 8)

  E[f^(j)(u) f^(k)(v)] = tau^-(j + k) sum_n rho^n w_n c_{n+j} c_{n+k},   w_n = sqrt((n+1) .. (n+j) (n+1) .. (n+k)),

because tau^n E[f^(n)(tau xi)] = sqrt(n!) c_n for weak derivatives: the series holds across kinks.  Since the sum of all
c_n^2 is E[f^2], what is left out is at most max_{n > N} |rho|^n w_n times what N terms leave of E[f^2].

The c_n come from Gauss-Legendre panels that end at the kinks, with one set of nodes for all n.  Two bounds make that
rigorous.  On a panel of half width h the rule of m >= 2 points errs by at most (64/15) h M r^-2m/(1 - r^-2), M a bound
of the integrand on the Bernstein ellipse of parameter r: each Chebyshev coefficient is at most 2 M r^-k, odd ones count
for nothing, and |T_k|, k >= 4, has an integral and a sum of at most 2/15 and 2 together (Trefethen, SIAM Review 50
(2008), section 4).  And Cauchy's estimate of the generating function on the circle of radius sqrt(n) gives

  |he_n(x + i y)| <= sqrt(n!) (e/n)^(n/2) exp(x^2/4 + |y| sqrt(n)).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache

import sympy as sp
from flint import acb, arb, ctx

from numerics.arithmetic import (
    BallArithmetic,
    ComplexBallArithmetic,
    Program,
    compile_program,
    constant_ball,
    hull,
    real_part,
)
from numerics.budget import checkpoint
from numerics.moments.certified import CertifiedMoments
from numerics.moments.enclosures import BOUND_BITS, UnboundedError, UncertifiedError
from theory.symbols import x

__all__ = ["MOST_TERMS", "HermiteBalls", "hermite_balls", "terms_needed"]

#: Most coefficients that are tried.
MOST_TERMS = 2500
#: Parameters of the ellipses that are tried.
_ELLIPSES = ("8", "5", "3.5", "2.5", "1.8", "1.35")
_HALF_WIDTH = 0.5
#: Panels narrower than 2^-bits by this many bits more are left out, and bounded.
_SLIVER_BITS = 8
#: Numbers of nodes are rounded up to a multiple, so that panels share rules.
_NODES_STEP = 8


@dataclass(frozen=True)
class HermiteBalls:
    """Hermite coefficients of one activation at one scale, in balls.

    Attributes:
        scale: tau.
        coefficients: c_0 .. c_N.
        energy: E[f(tau xi)^2], all c_n^2 together.
    """

    scale: arb
    coefficients: tuple[arb, ...]
    energy: arb

    def pair_moment(self, first: int, second: int, rho: arb) -> arb:
        """Enclose E[f^(j)(u) f^(k)(v)].

        Args:
            first: j.
            second: k.
            rho: the correlation, 0 <= rho < 1.

        Raises:
            UncertifiedError: the terms do not reach.
        """
        c, high, low = self.coefficients, max(first, second), min(first, second)
        total, power, last = arb(0), arb(1), len(c) - 1 - high
        for n in range(last + 1):
            total += power * _weight(n, first, second) * c[n + first] * c[n + second]
            power *= rho
        rest = (self.energy - sum((value * value for value in c[: last + 1 + low]), arb(0))).abs_upper()
        return (total + arb(0, (rest * self._largest(last + 1, high, low, rho)).upper())) / self.scale ** (
            first + second
        )

    @staticmethod
    def _largest(start: int, first: int, second: int, rho: arb) -> arb:
        """A bound of rho^n w_n over n >= start: the ratio of successive ones is below 1 from there on."""
        growth = ((1 + arb(first) / (start + 1)) * (1 + arb(second) / (start + 1))).sqrt()
        if not abs(rho) * growth < 1:
            raise UncertifiedError("the Hermite series needs more terms at this correlation")
        return (abs(rho) ** start * _weight(start, first, second)).upper()

    def centred(self) -> HermiteBalls:
        """Return those of f - E[f]."""
        mean, *others = self.coefficients
        return HermiteBalls(self.scale, (arb(0), *others), self.energy - mean * mean)


def _weight(n: int, first: int, second: int) -> arb:
    product = math.prod(range(n + 1, n + first + 1)) * math.prod(range(n + 1, n + second + 1))
    return arb(product).sqrt()


def terms_needed(rho: float, digits: int) -> int:
    """Return how many terms of a series reach a number of digits at a correlation, whatever the activation.

    They are ``MOST_TERMS`` at most, which smooth activations do with.
    """
    count = 8
    while rho > 0 and count * math.log10(rho) + 4 * math.log10(count) > -digits and count < MOST_TERMS:
        count += max(4, count // 8)
    return min(count, MOST_TERMS)


def hermite_balls(moments: CertifiedMoments, scale: arb, order: int) -> HermiteBalls:
    """Enclose the Hermite coefficients up to an order, at the precision that is set.

    Args:
        moments: of the activation.
        scale: ball of tau.
        order: the highest degree, at least 1.

    Raises:
        UncertifiedError: a bound is not found.
    """
    bits = ctx.prec
    # By Cauchy and Schwarz what lies beyond L adds at most sqrt(E[f^2; |xi| > L]) to a coefficient.
    start, (_, beyond) = moments.tails(scale, 2 * bits)
    energy = moments.enclose(scale, [(0, 2)])[0, 2]
    # Rounding errors of the three-term recurrence grow like exp(|x| sqrt(n)), which exp(-x^2/2) outlives by exp(n/2).
    with ctx.workprec(bits + 3 * order // 4 + 40):
        raw, errors = _sums(moments, scale, order, start.upper(), bits)
    error = (errors + beyond.sqrt()).upper()
    found, factorial, parity = [], arb(1), moments.activation.parity
    for n, value in enumerate(raw):
        factorial = factorial * n if n else factorial
        absent = bool(parity) and (-1) ** n != parity
        found.append(arb(0) if absent else +(value / factorial.sqrt() + arb(0, error)))
    if not all(value.is_finite() for value in found):
        raise UncertifiedError(f"the Hermite coefficients of {moments.activation.name} are not enclosed")
    return HermiteBalls(scale, tuple(found), energy)


@dataclass(frozen=True)
class _Panel:
    """An exact interval of xi on which one piece holds.

    Attributes:
        low: left end.
        high: right end.
        value: the piece over real balls.
        continued: over complex balls, not finite where it is not analytic.
    """

    low: arb
    high: arb
    value: Program
    continued: Program


def _sums(moments: CertifiedMoments, scale: arb, order: int, start: arb, bits: int) -> tuple[list[arb], arb]:
    """E[f He_n; |xi| < L] by the rules, and what they err by, relative to sqrt(n!)."""
    totals, error = [arb(0)] * (order + 1), arb(0)
    parity = moments.activation.parity
    for panel in _panels(moments, scale, start, bits, half=bool(parity)):
        nodes, missed = _rule(panel, scale, order, bits)
        error += missed
        _add(totals, panel, nodes, scale, parity)
    error += _slivers(moments, scale, order)
    factor = 2 if parity else 1
    return [factor * total for total in totals], factor * error


def _add(totals: list[arb], panel: _Panel, nodes: int, scale: arb, parity: int) -> None:
    """Add a panel's part of every sum.

    The weights stay outside of the recurrence, which would blow their radii up.
    """
    checkpoint()
    middle, half = (panel.low + panel.high) / 2, (panel.high - panel.low) / 2
    normal = half / (2 * arb.pi()).sqrt()
    for root, mass in _legendre(nodes, ctx.prec):
        point = middle + half * root
        weight = mass * normal * (-(point * point) / 2).exp() * real_part(panel.value(scale * point)[0])
        current, previous = arb(1), arb(0)
        for n in range(len(totals)):
            if not parity or (-1) ** n == parity:
                totals[n] += weight * current
            current, previous = point * current - n * previous, current


@cache
def _legendre(nodes: int, precision: int) -> tuple[tuple[arb, arb], ...]:
    with ctx.workprec(precision):
        found = [arb.legendre_p_root(nodes, k, weight=True) for k in range(nodes)]
    return tuple((root, weight) for root, weight in found)


def _panels(moments: CertifiedMoments, scale: arb, start: arb, bits: int, *, half: bool) -> Iterator[_Panel]:
    """Panels over -L .. L, or over 0 .. L, that end at kinks to within rounding."""
    activation = moments.activation
    low_end = arb(0) if half else -start
    # A kink is known to within its radius: nearer to it there is nothing to be seen.
    least = arb(2) ** -(bits + _SLIVER_BITS)
    for point in activation.breakpoints:
        least = least.max(4 * (constant_ball(point) / scale).rad())
    for piece in activation.pieces:
        low = low_end if piece.lower is -sp.oo else (constant_ball(piece.lower) / scale).mid().max(low_end)
        high = start if piece.upper is sp.oo else (constant_ball(piece.upper) / scale).mid().min(start)
        if not low < high:
            continue
        value = compile_program([piece.expr], [x], BallArithmetic())
        continued = compile_program([piece.expr], [x], ComplexBallArithmetic(analytic=True))
        count = max(1, math.ceil(float(high - low) / (2 * _HALF_WIDTH)))
        ends = [low, *((low + (high - low) * k / count).mid() for k in range(1, count)), high]
        for left, right in itertools.pairwise(ends):
            yield from _halved(_Panel(left, right, value, continued), scale, least)


def _halved(panel: _Panel, scale: arb, least: arb) -> Iterator[_Panel]:
    """A panel, cut until the piece is bounded on some ellipse round each part, or a part is too small to count."""
    pending = [panel]
    while pending:
        checkpoint()
        part = pending.pop()
        if part.high - part.low < least or any(_bound(part, scale, r, 1).is_finite() for r in _ELLIPSES[2:]):
            yield part
            continue
        middle = ((part.low + part.high) / 2).mid()
        pending += [replace(part, low=middle), replace(part, high=middle)]


def _rule(panel: _Panel, scale: arb, order: int, bits: int) -> tuple[int, arb]:
    """The fewest nodes that reach 2^-bits, and a bound of the error; no nodes where the panel is a sliver."""
    best, error = 0, arb(0)
    for ellipse in _ELLIPSES:
        bound, r = _bound(panel, scale, ellipse, order), arb(ellipse)
        if not bound.is_finite():
            continue
        size = max(0.0, float(bound.log())) if bound > 0 else 0.0
        count = math.ceil((bits * math.log(2) + size + 2) / (2 * math.log(float(ellipse))))
        count = max(_NODES_STEP, -(-count // _NODES_STEP) * _NODES_STEP)
        if not best or count < best:
            missed = arb(64) / 15 * bound * (panel.high - panel.low) / 2 / (r ** (2 * count) * (1 - r**-2))
            best, error = count, missed.upper()
    if not best:
        # A singular end of a piece, such as that of a root: what is left of it is bounded by its size.
        height = abs(real_part(panel.value(scale * hull(panel.low, panel.high))[0]))
        error = (height * (panel.high - panel.low) * _cramer(order)).upper()
        if not error.is_finite():
            raise UnboundedError("the activation is not bounded near an end of one of its pieces")
    return best, error


def _bound(panel: _Panel, scale: arb, ellipse: str, order: int) -> arb:
    """A bound of |f(tau z) he_n(z) exp(-z^2/2)|/sqrt(2 pi) on an ellipse round a panel, for all n up to the order."""
    r = arb(ellipse)
    middle, half = (panel.low + panel.high) / 2, (panel.high - panel.low) / 2
    reach, lift = half * (r + 1 / r) / 2, half * (r - 1 / r) / 2
    # At full precision: how far a panel is from a kink shows only in the last bits.
    size = acb(panel.continued(acb(arb(middle, reach.upper()), arb(0, lift.upper())) * scale)[0]).abs_upper()
    with ctx.workprec(BOUND_BITS):
        nearest = (abs(middle) - reach).lower().max(arb(0))
        grown = lift * arb(order).sqrt() + lift**2 / 2 - nearest**2 / 4
        return (size * _cramer(order) * grown.exp()).upper()


def _cramer(order: int) -> arb:
    """sqrt(n!) (e/n)^(n/2)/sqrt(2 pi) at n = order, the largest up to it."""
    n = arb(max(order, 1))
    return ((n + 1).lgamma() / 2 + n / 2 * (1 - n.log())).exp() / (2 * arb.pi()).sqrt()


def _slivers(moments: CertifiedMoments, scale: arb, order: int) -> arb:
    """What may lie between a kink and the end of a panel that stands for it."""
    activation, total = moments.activation, arb(0)
    for left, right in itertools.pairwise(activation.pieces):
        kink = constant_ball(left.upper) / scale
        place = scale * kink
        for piece in (left, right):
            total += abs(real_part(compile_program([piece.expr], [x], BallArithmetic())(place)[0])) * kink.rad()
    return (total * _cramer(order)).upper() if total != 0 else arb(0)
