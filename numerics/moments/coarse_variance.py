"""Quick, rigorous and coarse: Var f(tau xi) and its derivative in tau^2 over a whole ball of scales, to a few digits.

The line is cut into panels.  On each, f is enclosed by one evaluation in balls, and the Gaussian's masses are exact:

  integral over a panel of w(xi) f(tau xi)^j phi(xi) lies in [f^j] times the integral of w phi,

as w is 1 or xi^2 - 1, which does not change its sign between cuts at -1 and 1.  The panel that leaves most open is
halved until as many as asked for were looked at.  Narrow spikes cost nothing: where they have no mass they need no
panels.  The number of evaluations does not depend on the activation, the accuracy does.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from itertools import count, pairwise

from flint import arb, ctx

from numerics.arithmetic import BallArithmetic, Program, compile_program, constant_ball, hull
from theory.activations import Activation
from theory.symbols import x

__all__ = [
    "TAIL_BITS",
    "coarse_variance",
]

#: Bits of the arithmetic, and of the tails that are left out.
_BITS = 53
TAIL_BITS = 24
#: Panels to begin with.
_FIRST_PANELS = 48
#: Left and right end in xi, f over the panel, and the integrals of phi and of (xi^2 - 1) phi.
_Panel = tuple[arb, arb, arb, arb, arb]


def coarse_variance(
    activation: Activation, squares: arb, reach: Callable[[arb], tuple[arb, tuple[arb, arb]]], panels: int
) -> tuple[arb, arb] | None:
    """Enclose Var f(tau xi) and d/dv Var, v = tau^2; None where f has no finite enclosure.

    With g = f - c for any constant c: d/dv Var = (E[(xi^2 - 1) g^2]/2 - E[g] E[(xi^2 - 1) g])/v.

    Args:
        activation: f, without free parameters.
        squares: ball of v.
        reach: gives, for a ball of scales, L and bounds of the integrals of (1 + |xi|)^2 |f(tau xi)|^j phi(xi), j = 1
            and 2, beyond +-L.
        panels: how many to look at; the time is in proportion.
    """
    with ctx.workprec(_BITS):
        scale = squares.sqrt()
        length, tails = reach(scale)
        cut = _refined(_Function(activation), scale, length, panels)
        if cut is None:
            return None
        total = sum((value * mass for _, _, value, mass, _ in cut), arb(0))
        centre = total.mid()
        first, second, first_bent, second_bent = (arb(0) for _ in range(4))
        for _, _, value, mass, bent in cut:
            g = value - centre
            square = g * g
            first, second = first + g * mass, second + square * mass
            first_bent, second_bent = first_bent + g * bent, second_bent + square * bent
        # Beyond L: |g| <= |f| + |c|, g^2 <= 2 f^2 + 2 c^2, |xi^2 - 1| <= (1 + |xi|)^2, and the Gaussian's own tail.
        outside = _tail(length)
        linear = (tails[0] + abs(centre) * outside).upper()
        quadratic = (2 * tails[1] + 2 * centre * centre * outside).upper()
        first, first_bent = first + arb(0, linear), first_bent + arb(0, linear)
        second, second_bent = second + arb(0, quadratic), second_bent + arb(0, quadratic)
        variance = second - first * first
        half = (second_bent / 2 - first * first_bent) / squares
        return (variance, half) if variance.is_finite() and half.is_finite() else None


class _Function:
    """f over balls of x, whatever pieces they meet."""

    def __init__(self, activation: Activation) -> None:
        arithmetic = BallArithmetic()
        self._programs: list[Program] = [compile_program([piece.expr], [x], arithmetic) for piece in activation.pieces]
        self._edges = [constant_ball(point) for point in activation.breakpoints]

    def __call__(self, points: arb) -> arb:
        """Enclose the values on a ball: every piece on its own part of it."""
        low, high = points.lower(), points.upper()
        image: arb | None = None
        for index, program in enumerate(self._programs):
            start = low if index == 0 else low.max(self._edges[index - 1].lower())
            end = high if index == len(self._edges) else high.min(self._edges[index].upper())
            if start > end:
                continue
            value = program(hull(start, end))[0]
            image = value if image is None else hull(image, value)
        return arb.nan() if image is None else image


def _refined(function: _Function, scale: arb, length: arb, most: int) -> list[_Panel] | None:
    """Panels over -L .. L, halved where they leave most open; None where some have no finite enclosure."""
    steps = [length.mid() * k / (_FIRST_PANELS // 2) for k in range(-(_FIRST_PANELS // 2), _FIRST_PANELS // 2 + 1)]
    cuts = sorted({*(float(step) for step in steps[1:-1]), -1.0, 1.0})
    ends = [-length.upper(), *map(arb, cuts), length.upper()]
    order = count()
    queue: list[tuple[float, int, _Panel]] = []

    def add(low: arb, high: arb) -> None:
        value = function(scale * hull(low, high))
        mass, bent = _mass(high, 0) - _mass(low, 0), _mass(high, 2) - _mass(low, 2)
        open_ = float("inf")
        if value.is_finite():
            open_ = float(value.rad() * (1 + abs(value).upper()) * (abs(mass) + abs(bent)).upper())
        heapq.heappush(queue, (-open_, next(order), (low, high, value, mass, bent)))

    for low, high in pairwise(ends):
        add(low, high)
    while len(queue) < most:
        _, _, (low, high, *_) = heapq.heappop(queue)
        middle = ((low + high) / 2).mid()
        add(low, middle)
        add(middle, high)
    cut = [panel for _, _, panel in queue]
    return cut if all(panel[2].is_finite() for panel in cut) else None


def _density(point: arb) -> arb:
    return (-(point * point) / 2).exp() / (2 * arb.pi()).sqrt()


def _tail(length: arb) -> arb:
    """Bound the integral of (1 + |xi|)^2 phi beyond +-L: (1 + xi)^2 <= 2 + 2 xi^2, and xi^2 phi has tail L phi + Q."""
    beyond = (length / arb(2).sqrt()).erfc() / 2
    return (2 * (4 * beyond + 2 * length * _density(length))).upper()


def _mass(point: arb, power: int) -> arb:
    """An antiderivative of phi (power 0), or of (xi^2 - 1) phi (power 2), which is -xi phi."""
    return (point / arb(2).sqrt()).erf() / 2 if power == 0 else -point * _density(point)
