"""Proofs that no network of two hidden layers has a given kernel, whatever its activations.

The layer recursion leaves two inequalities, (1) and (3) of ``theory.matching``, between the target and what the first
layer can be: its V = E[phi_1^2]/tau_0^2 and D = E[phi_1'^2] at given q = E[(phi_1^2)'']/2 and chi^2 = (c_2/c_1)^2.
Both are linear programmes in the squares and products of the first layer's Hermite coefficients, so every multiplier
gives a lower bound.  Here the bound is evaluated in balls on a covering of all admissible chi^2.

CK.  Inequality (2) of ``theory.matching`` with the multiplier theta of the rational layer.

NTK.  In units of tau_0, with c_1 = 1, V = 1 + v and D = 1 + d for v = sum_{k>=2} c_k^2, d = sum_{k>=2} k c_k^2 >= 2 v,

  k_0 >= e^2 (2V + D) + f^2 (3V^2/2 + V D) >= 3 e^2 + 5/2 f^2 + (2 e^2 + 4 f^2) v + (e^2 + f^2) d + 7/2 f^2 v^2

and v^2 >= 2 v_0 v - v_0^2.  With a multiplier m for q = 1 + sqrt(6) c_3 + sum_{k>=2} (k c_k^2 + sqrt((k+1)(k+2))
c_k c_{k+2}) the minimum over all c_k is that of two tridiagonal forms, A + (B - m) k on the diagonal and
m sqrt((k+1)(k+2))/2 beside it.  From some row K on they are diagonally dominant, so their pivots are at least the
element beside them, m sqrt((K-1)K)/2, and backward recursion bounds the others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import sympy as sp
from flint import arb, ctx
from scipy.optimize import brentq, minimize_scalar

from numerics.balls import BallArithmetic, hull
from numerics.programs import Program, compile_program
from theory.matching import TARGETS, chi2, rational_layer, rational_width, two_layers, weighted_bound
from theory.symbols import tau_0

__all__ = ["ck_is_forbidden", "ntk_is_forbidden", "width_of_rational"]

#: Widths b = w/tau_0 of rational layers that are considered: q runs from far below 0 to 1 - 6e-4.
_WIDTHS = (1e-3, 100.0)
#: Precision that survives the cancellation of b^8 at the largest width; floats would overflow there.
_BITS = 200
#: Intervals of chi^2 narrower than this part of the whole, on which no bound is found, end the attempt.
_SMALLEST = 2.0**-14
_MOST_PARTS = 400
_ROWS = 40

Balls = Sequence[arb]


@cache
def _response() -> Program:
    with ctx.workprec(_BITS):
        return compile_program([rational_layer()[1]], [rational_width], BallArithmetic())


def width_of_rational(response: float) -> float:
    """Return the b = w/tau_0 for which the rational layer with slope E[phi'] = 1 has the given q < 1.

    Raises:
        ValueError: no b in reach has it (q too near to 1, or far below 0).
    """

    def gap(width: float) -> float:
        with ctx.workprec(_BITS):
            return float(_response()(arb(width))[0]) - response

    low, high = _WIDTHS
    if not gap(low) < 0 < gap(high):
        raise ValueError(f"no rational layer in reach has the response q = {response:.6g}")
    return float(brentq(gap, low, high, xtol=1e-12))


def _covered(low: arb, high: arb, holds: Callable[[arb], bool]) -> bool:
    """Whether a property of balls is proved on an interval, cutting it where it fails on the whole."""
    pending = [hull(low, high)]
    smallest = (high - low).upper() * _SMALLEST
    for _ in range(_MOST_PARTS):
        if not pending:
            return True
        part = pending.pop()
        if holds(part):
            continue
        if part.rad() < smallest:
            return False
        middle = part.mid()
        pending += [hull(part.lower(), middle), hull(middle, part.upper())]
    return not pending


def ck_is_forbidden(target: Balls, tau0: arb) -> bool:
    """Return whether inequality (1) is proved to fail for every first layer (False also where no proof is found).

    Args:
        target: balls of k_1, k_2, k_3, k_0.
        tau0: ball of tau_0.
    """
    k1, k2, k3, k0 = target
    if not (k3 > 0 and k1 >= 0 and k2 > 0 and 2 * k2 < k3):
        return False
    ratio = 2 * k2 / k3
    try:
        width = width_of_rational(float(ratio.mid()) ** 0.5)
    except ValueError:
        return False
    theta, inverse, curvature = compile_program(weighted_bound(), [rational_width], BallArithmetic())(arb(width))
    first, second = tau0**2 * k1, tau0**4 * k3
    if not k1 > 0:
        # Then e = 0, so s does not occur; the bound without chi serves every chi.
        energy = (inverse - 2 * theta * ratio.sqrt()).max(arb(1)) if k1.is_zero() else arb(1)
        return bool(second * energy**2 > k0)

    def fails(share: arb) -> bool:
        inside = share.max(arb(0)).min(arb(1))
        response = ((ratio - inside) / (1 - inside)).nonnegative_part().sqrt()
        energy = (inverse - 2 * theta * response + curvature * inside * second / first).max(arb(1))
        return bool(first * energy + second * (1 - inside) * energy**2 > k0)

    return _covered(arb(0), ratio.upper().min(arb(1) - arb("1e-9")), fails)


@cache
def _ntk_reduction() -> tuple[sp.Expr, sp.Expr, sp.Expr]:
    """e^2, f^2 and f^2 q^2 of inequality (3)."""
    found = two_layers("ntk-all")
    return found.slope2, found.curvature2, sp.cancel(found.curvature2 * found.response2)


def ntk_is_forbidden(target: Balls, tau0: arb) -> bool:
    """Return whether inequality (3) is proved to fail for every first layer (False also where no proof is found).

    Args:
        target: balls of k_1, k_2, k_3, k_0, with k_1 > 0.
        tau0: ball of tau_0.
    """
    k1, k2, k3, k0 = target
    if not (k1 > 0 and k2 > 0 and k3 > 0):
        return False
    program = compile_program(_ntk_reduction(), [*TARGETS, tau_0, chi2], BallArithmetic())
    # Where f^2 < 0 or f^2 q^2 < 0 there is no network.
    limits = (3 * tau0**2 * k2 / k1, 3 * tau0**2 * k3 / (4 * k1))
    reach = limits[0].upper().min(limits[1].upper())

    def fails(part: arb) -> bool:
        share = part.max(arb(0))
        slope2, curvature2, product = (arb(value).nonnegative_part() for value in program(*target, tau0, share))
        low = (product / curvature2.upper()).nonnegative_part().sqrt().lower()
        high = (product / curvature2).sqrt().upper() if curvature2 > 0 else None
        at = (tau0**2 * slope2, tau0**4 * curvature2, share)
        return all(_exceeds(at, low, high, sign, k0) for sign in (1, -1))

    return _covered(arb(0), reach, fails)


def _exceeds(at: tuple[arb, arb, arb], low: arb, high: arb | None, sign: int, limit: arb) -> bool:
    """Whether the tridiagonal bound exceeds a limit for all q with sign q in [low, high] (high None: no upper end)."""
    linear, quadratic, share = (float(ball.mid()) for ball in at)
    # The multiplier must be admissible on the whole ball.
    scale = float((at[0] + at[1]).lower())
    if not scale > 0:
        return False

    def nearest(multiplier: float) -> arb:
        """The q that makes the bound lowest."""
        return sign * (low if high is None or multiplier * sign >= 0 else high)

    # Without an upper end the bound must not fall with |q|.
    begin = 0.0 if high is None and sign > 0 else -3.99 * scale
    end = 0.0 if high is None and sign < 0 else 0.499 * scale
    for tangent in (_cubic_energy(float(low)), 0.0):

        def negative(m: float, v: float = tangent) -> float:
            return -float(_tridiagonal(linear, quadratic, share, float(nearest(m)), m, v, number=float))

        found = minimize_scalar(negative, bounds=(begin, end), method="bounded", options={"xatol": 1e-4 * scale})
        if -found.fun <= float(limit.mid()):
            continue
        multiplier = float(found.x)
        bound = _tridiagonal(*at, nearest(multiplier), arb(multiplier), arb(tangent), number=arb)
        if bound > limit:
            return True
    return False


def _cubic_energy(response: float) -> float:
    """v of the first layer x + g He_3 with a given q: a good place for the tangent of v^2."""
    inside = 6 + 12 * (response - 1)
    return float(((max(inside, 0.0) ** 0.5 - 6**0.5) / 6) ** 2)


def _tridiagonal(
    linear: Any, quadratic: Any, share: Any, response: Any, multiplier: Any, tangent: Any, *, number: Callable[..., Any]
) -> Any:
    """The lower bound of k_0 for one multiplier, in floats or balls; -1 where the recursion does not apply.

    Args:
        linear: tau_0^2 e^2.
        quadratic: tau_0^4 f^2.
        share: chi^2.
        response: q.
        multiplier: m.
        tangent: v_0.
        number: makes a number of the arithmetic.
    """
    spread = 2 * linear + quadratic * (4 + 7 * tangent)
    growth = linear + quadratic
    size = abs(multiplier)
    # Rows k >= K are dominant when spread + (growth - m) k >= |m| (k + 1/2).
    if not (growth - multiplier >= size and spread >= size / 2):
        return number(-1)
    pivots = {}
    for last in (_ROWS, _ROWS + 1):
        pivot = size * number((last - 1) * last) ** number(0.5) / 2
        for k in range(last - 2, 1, -2):
            pivot = spread + (growth - multiplier) * k - multiplier**2 * ((k + 1) * (k + 2)) / (4 * pivot)
            pivots[k] = pivot
            if not pivot > 0:
                return number(-1)
    start = 3 * linear + quadratic * (5 - 7 * tangent**2) / 2
    return start + share * pivots[2] - 3 * multiplier**2 / (2 * pivots[3]) + multiplier * (response - 1)
