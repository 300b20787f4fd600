"""Proofs that no network of two hidden layers has a given kernel, whatever its activations.

The layer recursion leaves two inequalities, (1) and (3) of ``theory.matching.two_layers``, between the target and what
the first layer can be: its V = E[phi_1^2]/tau_0^2 and D = E[phi_1'^2] at given q = E[(phi_1^2)'']/2 and chi^2 =
(c_2/c_1)^2.  Every multiplier gives a lower bound of k_0, which is evaluated in balls on a covering of all that is left
free.

CK.  Inequality (2) of ``theory.matching.two_layers`` with the multiplier theta of the best layer; free is s.

NTK.  With L = tau_0^2 e^2 and F = tau_0^4 f^2, inequality (3) is k_0 >= L (2V + D) + F (3 V^2/2 + V D).  For V in an
interval [V_1, V_2], with D >= 2V - 1, V D >= V_1 D + (2 V_1 - 1)(V - V_1) and V^2 >= 2 V_1 V - V_1^2; a multiplier
mu for V <= V_2 (or V >= V_1 where it is negative) and one, m, for q leave

  sum_k (A + (B - m) k) c_k^2 - m sum_k sqrt((k+1)(k+2)) c_k c_{k+2} + m q - mu V_2 - const,

which separates into odd and even k.  From some row K on the tridiagonal forms are diagonally dominant, so their pivots
are at least the element beside them, |m| sqrt((K-1)K)/2, and backward recursion bounds the others.  Free are V, and
X = e^2 chi^2/tau_0^2 (or q where E[phi_1'] = 0, up to 2 k_0/L: there D >= q/2 - V/4).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache

import sympy as sp
from flint import arb, ctx
from scipy.optimize import brentq, minimize

from numerics.arithmetic import BallArithmetic, Program, compile_program, hull
from theory.kernels import KernelCoefficients
from theory.matching import TARGETS, chi2, rational_layer, rational_width, two_layers, weighted_bound
from theory.symbols import tau_0

__all__ = [
    "MOST_PARTS",
    "ck_is_forbidden",
    "ntk_is_forbidden",
    "width_of_rational",
]

#: Widths b = w/tau_0 of the best layer that are considered: q runs from far below 0 to 1 - 6e-10.
_WIDTHS = (1e-3, 1e5)
#: Precision that survives the cancellation at the largest width; floats would overflow there.
_BITS = 700
#: Intervals narrower than this part of the whole, on which no bound is found, end the attempt.
_SMALLEST = 2.0**-40
MOST_PARTS = 3000
_ROWS = 40
#: The multiplier m stays this far from B/2, where the forms cease to be positive.
_INSIDE = 0.49999


@cache
def _response() -> Program:
    with ctx.workprec(_BITS):
        return compile_program([rational_layer()[1]], [rational_width], BallArithmetic())


def width_of_rational(response: float) -> float:
    """Return the b = w/tau_0 for which the layer x/(1 + x^2/w^2), with slope E[phi'] = 1, has the given q < 1.

    Raises:
        ValueError: no b in reach has it (q too near to 1, or far below 0).
    """

    def gap(width: float) -> float:
        with ctx.workprec(_BITS):
            return float(_response()(arb(width))[0] - arb(response))

    low, high = _WIDTHS
    if not gap(low) < 0 < gap(high):
        raise ValueError(f"no rational layer in reach has the response q = {response:.6g}")
    return float(brentq(gap, low, high, xtol=1e-12))


def _covered(box: Sequence[arb], holds: Callable[[Sequence[arb]], bool], parts: int) -> bool:
    """Whether a property of boxes is proved on a box, cutting it where it fails on the whole.

    The attempt ends where the property fails at a point: then there is nothing to prove.
    """
    pending = [tuple(box)]
    for _ in range(parts):
        if not pending:
            return True
        part = pending.pop()
        if holds(part):
            continue
        middle = tuple(side.mid() for side in part)
        widths = [float(side.rad() / whole.rad()) for side, whole in zip(part, box, strict=True)]
        # The side to cut is one whose width alone is the trouble, else the widest.
        sides = sorted(range(len(box)), key=lambda i: -widths[i])
        chosen = next((i for i in sides if len(box) > 1 and holds((*part[:i], middle[i], *part[i + 1 :]))), None)
        if widths[sides[0]] < _SMALLEST or (chosen is None and not holds(middle)):
            return False
        cut = sides[0] if chosen is None else chosen
        for half in (hull(part[cut].lower(), middle[cut]), hull(middle[cut], part[cut].upper())):
            pending.append((*part[:cut], half, *part[cut + 1 :]))
    return not pending


def ck_is_forbidden(target: KernelCoefficients[arb], tau0: arb, parts: int = MOST_PARTS) -> bool:
    """Return whether inequality (1) is proved to fail for every first layer (False also where no proof is found).

    Args:
        target: balls of k_1, k_2, k_3, k_0.
        tau0: ball of tau_0.
        parts: boxes that the covering may look at.
    """
    k1, k2, k3, k0 = target
    if not (k3 > 0 and k1 >= 0 and k2 > 0 and 2 * k2 < k3):
        return False
    ratio = 2 * k2 / k3
    try:
        width = width_of_rational(float(ratio.mid()) ** 0.5)
    except ValueError:
        return False
    with ctx.workprec(_BITS):
        theta, inverse, curvature = compile_program(weighted_bound(), [rational_width], BallArithmetic())(arb(width))
    first, second = tau0**2 * k1, tau0**4 * k3
    if not k1 > 0:
        # Then e = 0, so s does not occur; the bound without chi serves every chi.
        energy = (inverse - 2 * theta * ratio.sqrt()).max(arb(1)) if k1.is_zero() else arb(1)
        return bool(second * energy**2 > k0)

    def fails(box: Sequence[arb]) -> bool:
        # q falls with s.
        low, high = box[0].lower().max(arb(0)), box[0].upper()
        response = ((ratio - low) / (1 - low)).nonnegative_part().sqrt()
        energy = (inverse - 2 * theta * response + curvature * low * second / first).max(arb(1))
        return bool(first * energy + second * (1 - high) * energy**2 > k0)

    return _covered([hull(arb(0), ratio.upper())], fails, parts)


# --------------------------------------------------------------------------------------------------------------------
# NTK

_X = sp.Symbol("X", nonnegative=True)


@cache
def _ntk_forms() -> tuple[sp.Expr, sp.Expr, sp.Expr]:
    """L, F and F q^2 of inequality (3) in X."""
    forms = two_layers("ntk-all")
    at = {chi2: _X * tau_0**2 / forms.slope2}
    curvature2 = forms.curvature2.subs(at)
    product = sp.cancel(curvature2 * forms.response2.subs(at))
    return tau_0**2 * forms.slope2, sp.cancel(tau_0**4 * curvature2), sp.cancel(tau_0**4 * product)


def ntk_is_forbidden(target: KernelCoefficients[arb], tau0: arb, parts: int = MOST_PARTS) -> bool:
    """Return whether inequality (3) is proved to fail for every first layer (False also where no proof is found).

    Args:
        target: balls of k_1, k_2, k_3, k_0, none of them negative.
        tau0: ball of tau_0.
        parts: boxes that each covering may look at.
    """
    k1, k2, k3, k0 = target
    if not (k1 >= 0 and k2 > 0 and k3 > 0):
        return False
    if k1 > 0:
        return _sloped_fails(target, tau0, None, parts)
    # First layers with chi^2 <= far, and the others: both proofs need far in between.
    far = None if k1.is_zero() else (k0 / (tau0**2 * k1.upper())).root(3).mid().max(arb(1))
    return _sloped_fails(target, tau0, far, parts) and _flat_fails(target, tau0, far, parts)


def _sloped_fails(target: KernelCoefficients[arb], tau0: arb, far: arb | None, parts: int = MOST_PARTS) -> bool:
    """First layers with E[phi_1'] = 1, and chi^2 <= far where that is given."""
    k1, k2, k3, k0 = target
    program = compile_program(_ntk_forms(), [*TARGETS, tau_0, _X], BallArithmetic())

    def problem(part: arb) -> _Problem:
        inside = part.max(arb(0))
        linear, quadratic, product = (arb(value).nonnegative_part() for value in program(*target, tau0, inside))
        low = (product / quadratic.upper()).nonnegative_part().sqrt().lower()
        high = (product / quadratic).sqrt().upper() if quadratic > 0 else None
        # chi^2 = tau_0^4 X/L grows with X and falls with L, and only its lower end counts.
        share = arb(0) if linear.is_zero() else (inside.lower() * tau0**4 / linear.upper()).max(arb(0))
        linear, quadratic, share = (part.lower().max(arb(0)) for part in (linear, quadratic, share))
        return _Problem(linear, quadratic, share, 1, low, high)

    # Where f^2 < 0 or f^2 q^2 < 0 there is no network.
    reach = arb(0) if k1.is_zero() else k2.upper().min((k3 / 4).upper())
    if far is not None:
        reach = reach.min((far * k1 / (3 * tau0**2)).upper())
    return _fails(problem, hull(arb(0), reach), k0, parts)


def _flat_fails(target: KernelCoefficients[arb], tau0: arb, far: arb | None, parts: int) -> bool:
    """First layers with E[phi_1'] = 0, or chi^2 >= far, in the gauge c_2 = tau_0: then c_1^2 <= tau_0^2/far.

    There tau_0^4 k_3 = 4 L + 5/2 F (c_1/c_2)^4, and 5/2 F <= k_0, which leaves L little less than for c_1 = 0.
    """
    _, k2, _, k0 = target
    forms = two_layers("ntk-all", flat=True)
    program = compile_program(
        [tau_0**2 * forms.slope2, tau_0**4 * forms.curvature2], [*TARGETS, tau_0, forms.Q2], BallArithmetic()
    )
    linear = arb(program(*target, tau0, arb(1))[0])
    if far is not None:
        linear -= k0 / (4 * far**2)
    if tau0**4 * k2 < linear:
        return True
    if not linear > 0:
        return False

    def problem(part: arb) -> _Problem:
        low, high = part.lower().max(arb(0)), part.upper()
        # f^2 falls with q^2.
        quadratic = arb(program(*target, tau0, high**2)[1]).nonnegative_part()
        return _Problem(linear.lower(), quadratic.lower().max(arb(0)), arb(0), 2, low, high)

    return _fails(problem, hull(arb(0), (2 * k0 / linear).upper()), k0, parts)


def _fails(problem: Callable[[arb], _Problem], free: arb, limit: arb, parts: int) -> bool:
    """Whether every first layer is proved to need more than a limit, whatever X or q, V, and the sign of q."""
    whole = problem(free)
    top = arb(1)
    if not whole.linear + whole.quadratic > 0:
        return False
    while not _plain_bound(whole, top) > limit:
        top *= 2

    def holds(box: Sequence[arb]) -> bool:
        *side, energy = box
        case = problem(side[0] if side else free)
        low = energy.lower().max(arb(1))
        return all(_exceeds(replace(case, sign=sign), low, energy.upper(), limit) for sign in (1, -1))

    energies = hull(arb(1), top)
    return _covered([energies] if free.upper().is_zero() else [free, energies], holds, parts)


@dataclass(frozen=True)
class _Problem:
    """Least L (2V + D) + F (3 V^2/2 + V D) over first layers with c_start = 1 (tau_0 = 1) and sign q in [low, high].

    Attributes:
        linear: least L.
        quadratic: least F.
        share: least chi^2 (of no use for start = 2).
        start: 1, or 2 where c_1 = 0.
        low: least |q|.
        high: largest |q|, or None without an upper end.
        sign: of q.
    """

    linear: arb
    quadratic: arb
    share: arb
    start: int
    low: arb
    high: arb | None
    sign: int = 1

    def nearest(self, multiplier: float) -> arb:
        """The q that makes the bound lowest."""
        return self.sign * (self.low if self.high is None or multiplier * self.sign >= 0 else self.high)


def _plain_bound(problem: _Problem, energy: arb) -> arb:
    """The bound for V >= energy that D >= 2V - 1 alone gives."""
    return problem.linear * (4 * energy - 1) + problem.quadratic * (7 * energy**2 / 2 - energy)


def _exceeds(problem: _Problem, low: arb, high: arb, limit: arb) -> bool:
    """Whether every first layer with V in [low, high] needs more than a limit, by multipliers found in float64."""
    if _plain_bound(problem, low) > limit:
        return True
    linear, quadratic, share = float(problem.linear), float(problem.quadratic), max(float(problem.share), 0.0)
    begin, end = float(low), float(high)
    base = linear + quadratic * begin
    spread = 2 * linear + quadratic * (5 * begin - 1)
    const = quadratic * begin * (7 * begin / 2 - 1)
    goal = float(limit.upper()) * (1 + 1e-12)

    def negative(point: Sequence[float]) -> tuple[float, list[float]]:
        m, mu = (base * float(part) for part in point)
        response, energy = float(problem.nearest(m)), end if mu >= 0 else begin
        own, _, attained, total = _minimiser(spread + mu, base, share, problem.start, m)
        return -(total + m * response - mu * energy - const) / base, [attained - response, energy - own]

    # Without an upper end the bound must not fall with |q|.
    least = 0.0 if problem.high is None and problem.sign > 0 else -3.99
    most = 0.0 if problem.high is None and problem.sign < 0 else _INSIDE
    for margins, sides in (((least, most), (0.0, None)), ((max(least, -_INSIDE), most), (1 / 4 - spread / base, 0.0))):
        # Most boxes are far from critical, and any multiplier will do.
        point = min(([m, 0.0] for m in (*margins, sum(margins) / 2)), key=lambda start: negative(start)[0])
        if -negative(point)[0] * base <= goal:
            bounds, options = [margins, sides], {"maxiter": 30}
            point = list(minimize(negative, point, jac=True, method="L-BFGS-B", bounds=bounds, options=options).x)
        if -negative(point)[0] * base > goal:
            return bool(_bound(problem, low, high, *(arb(base * float(part)) for part in point)) > limit)
    return False


def _minimiser(spread: float, base: float, share: float, start: int, m: float) -> tuple[float, float, float, float]:
    """V, D and q of the first layer that makes the two forms least, and their least value, in float64."""
    pivots = {}
    for last in (_ROWS, _ROWS + 1):
        pivot = spread + (base - m) * last
        pivots[last] = pivot
        for k in range(last - 2, 1, -2):
            pivot = spread + (base - m) * k - m * m * ((k + 1) * (k + 2)) / (4 * pivot)
            pivots[k] = pivot
    energy = slopes = cross = 0.0
    for begin, size in ((start, 1.0), (2, share**0.5 if start == 1 else 0.0)):
        value = size
        for k in range(begin, _ROWS, 2):
            energy += value**2
            slopes += k * value**2
            edge = ((k + 1) * (k + 2)) ** 0.5
            following = m * edge * value / (2 * pivots[k + 2])
            cross += edge * value * following
            value = following
    return energy, slopes, slopes + cross, spread * energy + (base - m) * slopes - m * cross


def _bound(problem: _Problem, low: arb, high: arb, m: arb, mu: arb) -> arb:
    """The lower bound of k_0 for V in an interval and two multipliers; -1 where it does not apply."""
    linear, quadratic, start = problem.linear, problem.quadratic, problem.start
    base = linear + quadratic * low
    spread = 2 * linear + quadratic * (5 * low - 1) + mu
    size = abs(m)
    # Rows k >= K are dominant when spread + (base - m) k >= |m| (k + 1/2).
    if not (base - m >= size and spread >= size / 2):
        return arb(-1)
    pivots = {}
    for last in (_ROWS, _ROWS + 1):
        pivot = size * arb((last - 1) * last).sqrt() / 2
        # Row 1 is fixed to c_1 = 1 for start = 1, and there for c_1 near 0 otherwise.
        for k in range(last - 2, 1 if start == 1 else 0, -2):
            pivot = spread + (base - m) * k - (m**2 * ((k + 1) * (k + 2)) / (4 * pivot) if not m.is_zero() else 0)
            if not pivot > 0:
                return arb(-1)
            pivots[k] = pivot
    forms = spread + (base - m) * start - m**2 * ((start + 1) * (start + 2)) / (4 * pivots[start + 2])
    forms += problem.share * pivots[2] if start == 1 else 0
    return forms + m * problem.nearest(float(m)) - mu * (high if mu >= 0 else low) - quadratic * low * (7 * low / 2 - 1)
