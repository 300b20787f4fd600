"""A scale tau beyond which a DEQ has no equilibrium, proved from how the activation behaves at infinity.

Theory sheet, section 3: tau^2 = sigma_a^2 Var phi(tau xi) + sigma_b^2 tau_0^2.
"""

from __future__ import annotations

from dataclasses import dataclass

import sympy as sp
from flint import arb, ctx

from numerics.arithmetic import UnsupportedExpressionError, constant_ball, real_part
from numerics.budget import OverBudgetError, share, stage
from numerics.moments import CertifiedMoments, PieceBounds, UncertifiedError
from theory.activations import Activation
from theory.analysis import GrowthError, Piece, UndecidedError, limit_at
from theory.equations import DEQ
from theory.functions import sigmoid, softplus
from theory.symbols import x

__all__ = [
    "Asymptote",
    "LargestScale",
    "asymptote",
    "largest_scale",
]

#: How often a scale is doubled in search of a bound.
_DOUBLINGS = 120
#: Part of the processor time left that each rule may take.
_RULE_SHARE = 0.3


@dataclass(frozen=True)
class Asymptote:
    """An activation that stays within a bounded distance of a line on either side: |phi(x) - a_+- x| <= distance.

    Attributes:
        left: a_-, slope for x -> -oo.
        right: a_+, slope for x -> oo.
        distance: upper bound of the distance, for all x.
        share: Var h(xi) of h(x) = a_+- x, so that Var phi(tau xi) = share tau^2 + O(tau).
    """

    left: arb
    right: arb
    distance: arb
    share: arb


@dataclass(frozen=True)
class LargestScale:
    """Where equilibria are excluded.

    Attributes:
        bound: every equilibrium has tau <= bound; None where no bound is proved.
        reason: the proof's idea, or why there is none.
    """

    bound: arb | None
    reason: str


def asymptote(activation: Activation) -> Asymptote | None:
    """Return the lines that an activation follows, at the current precision, or None where it is not proved to."""
    distance, slopes = arb(0), []
    for pieces in _halves(activation):
        slope, rest = _line_and_rest(pieces[-1].expr)
        slopes.append(slope)
        for piece in pieces:
            ends = _right_half(piece)
            if ends is None:
                continue
            found = _supremum(rest if ends[1] is None else piece.expr - slope * x, *ends)
            if found is None:
                return None
            distance = distance.max(found)
    left, right = -constant_ball(slopes[0]), constant_ball(slopes[1])
    step = right - left
    share = (left * left + right * right) / 2 - step * step / (2 * arb.pi())
    return Asymptote(left, right, distance.upper(), share)


def _halves(activation: Activation) -> tuple[tuple[Piece, ...], tuple[Piece, ...]]:
    """The pieces of phi(-x) and of phi(x): either half line is treated as the right one."""
    mirrored = tuple(Piece(-p.upper, -p.lower, p.expr.subs(x, -x)) for p in reversed(activation.pieces))
    return mirrored, activation.pieces


def _terms(expr: sp.Expr) -> list[sp.Expr]:
    """Summands that say how an expression behaves for x -> oo: powers of x apart from what decays."""
    terms = sp.Add.make_args(sp.expand(_decaying(expr)))
    rational = sp.Add(*(term for term in terms if term.is_rational_function(x)))
    others = [term for term in terms if not term.is_rational_function(x)]
    return [*sp.Add.make_args(sp.apart(sp.together(rational), x)), *others]


def _line_and_rest(expr: sp.Expr) -> tuple[sp.Expr, sp.Expr]:
    """The coefficient of x and what is left, after saturating functions are written with decaying ones."""
    terms = _terms(expr)
    linear = [term for term in terms if not (term / x).has(x)]
    return sp.Add(*(term / x for term in linear)), sp.Add(*(term for term in terms if term not in linear))


def _right_half(piece: Piece) -> tuple[arb, arb | None] | None:
    """The ends of the part of a piece with x >= 0 (None for oo), or None where it has none."""
    low = arb(0) if piece.lower is -sp.oo else constant_ball(piece.lower).lower().max(arb(0))
    high = None if piece.upper is sp.oo else constant_ball(piece.upper).upper()
    return None if high is not None and high <= 0 else (low, high)


def _supremum(expr: sp.Expr, low: arb, high: arb | None) -> arb | None:
    try:
        # The slope plays no part: a constant in its place cannot spoil the boxes.
        return PieceBounds(expr, sp.S.Zero).supremum(low, high)
    except UnsupportedExpressionError:
        return None


def _decaying(expr: sp.Expr) -> sp.Expr:
    """Write functions that saturate for x -> oo as limit and decaying rest, so that what is linear cancels exactly."""

    def sign(argument: sp.Expr) -> int:
        try:
            limit = limit_at(argument, 1)
        except (GrowthError, UndecidedError):
            return 0
        return 1 if limit is sp.oo else -1 if limit is -sp.oo else 0

    def rewrite(node: sp.Expr) -> sp.Expr:
        u = node.args[0]
        way = sign(u)
        if way == 0:
            return node
        if isinstance(node, sp.tanh):
            return way * (1 - 2 * sigmoid(-2 * way * u))
        if isinstance(node, sp.erf):
            return way * (1 - sp.erfc(way * u))
        if isinstance(node, sp.erfc):
            return node if way > 0 else 2 - sp.erfc(-u)
        if way < 0:
            return node
        return 1 - sigmoid(-u) if isinstance(node, sigmoid) else u + softplus(-u)

    return expr.replace(lambda node: isinstance(node, sp.tanh | sp.erf | sp.erfc | sigmoid | softplus), rewrite)


def largest_scale(deq: DEQ, moments: CertifiedMoments) -> LargestScale:
    """Return a bound of all equilibria, by the first of these that applies.

    * Homogeneity, phi(c x) = c^d phi(x): Var = c tau^(2 d).
    * Lines at infinity: sqrt(Var) = sqrt(share) tau + O(distance).
    * A Lipschitz constant L with sigma_a^2 L^2 < 1: Var <= L^2 tau^2.
    * A polynomial closed form of Var: Cauchy's bound of its roots.
    * A power of x above 1 that dominates on one side: Var outgrows tau^2.

    Args:
        deq: the DEQ.
        moments: its activation's moments in balls.
    """
    with ctx.workprec(96):
        weight = constant_ball(deq.sigma_a2)
        source = constant_ball(deq.sigma_b2) * constant_ball(deq.tau0) ** 2
        if weight.is_zero():
            return LargestScale(source.sqrt().upper(), "sigma_a2 = 0")
        for rule in (_by_homogeneity, _by_lines, _by_lipschitz, _by_polynomial, _by_powers):
            try:
                with share(_RULE_SHARE, interrupt=True), stage("looking for a bound of all equilibria"):
                    found = rule(deq.activation, moments, weight, source)
            except OverBudgetError:
                continue
            if found is not None and found.bound is not None and found.bound.is_finite():
                return found
    return LargestScale(None, f"the growth of {deq.activation.name} gives no bound of the equilibria")


def _by_homogeneity(activation: Activation, moments: CertifiedMoments, weight: arb, source: arb) -> LargestScale | None:
    degree = activation.homogeneity
    if degree is None or not degree.is_Rational or degree == 1:
        return None
    raw = moments.enclose(arb(1), [(0, 1), (0, 2)])
    factor = weight * (raw[0, 2] - raw[0, 1] * raw[0, 1])
    if not factor > 0:
        return None
    power = constant_ball(degree)
    if degree < 1:
        # v = f v^d + s with v >= 2 s and v^(1-d) >= 2 f is impossible but for equality.
        square = (2 * source).max((2 * factor) ** (1 / (1 - power))).upper()
    else:
        square = (factor ** (-1 / (power - 1))).upper()
    return LargestScale(square.sqrt().upper(), f"the activation is homogeneous of degree {degree}")


def _by_lines(activation: Activation, _moments: CertifiedMoments, weight: arb, source: arb) -> LargestScale | None:
    lines = asymptote(activation)
    if lines is None:
        return None
    rate = (weight * lines.share.nonnegative_part()).sqrt()
    far = weight.sqrt() * lines.distance
    if rate < 1:
        # tau <= sqrt(sigma_a^2) (sqrt(share) tau + distance) + sqrt(sigma_b^2) tau_0
        return LargestScale(((far + source.sqrt()) / (1 - rate)).upper(), "the activation follows lines at infinity")
    if rate > 1:
        # tau >= sqrt(sigma_a^2) (sqrt(share) tau - distance)
        return LargestScale(
            (far / (rate - 1)).max(source.sqrt()).upper(), "the activation follows lines at infinity, too steep ones"
        )
    return None


def _by_lipschitz(activation: Activation, _moments: CertifiedMoments, weight: arb, source: arb) -> LargestScale | None:
    constant = activation.lipschitz
    if constant is None or not constant.is_finite:
        return None
    room = 1 - weight * constant_ball(constant) ** 2
    if not room > 0:
        return None
    return LargestScale((source / room).sqrt().upper(), "sigma_a^2 times the squared Lipschitz constant is below 1")


def _by_polynomial(activation: Activation, moments: CertifiedMoments, weight: arb, source: arb) -> LargestScale | None:
    coefficients = moments.variance_polynomial()
    if coefficients is None:
        return None
    # F(v) = v - sigma_a^2 Var(v) - source, constant first.
    try:
        terms = [-weight * real_part(constant_ball(c)) for c in coefficients]
    except (UnsupportedExpressionError, UncertifiedError):
        return None
    terms += [arb(0)] * (2 - len(terms))
    terms[0] -= source
    terms[1] += 1
    while len(terms) > 1 and terms[-1].is_zero():
        terms.pop()
    leading = abs(terms[-1])
    if not leading > 0:
        return None
    ratio = arb(0)
    for term in terms[:-1]:
        ratio = ratio.max((abs(term) / leading).upper())
    return LargestScale((1 + ratio).sqrt().upper(), "the variance is a polynomial in tau^2")


def _by_powers(activation: Activation, _moments: CertifiedMoments, weight: arb, _source: arb) -> LargestScale | None:
    for pieces in _halves(activation):
        bound = _power_bound(pieces[-1], weight)
        if bound is not None:
            return LargestScale(bound, "the activation grows faster than a line")
    return None


def _power_bound(piece: Piece, weight: arb) -> arb | None:
    """A scale T beyond which sigma_a^2 Var > tau^2, from phi = a x^d + r with d > 1 on the last piece.

    Var >= P(A) P(B) inf (phi_B - phi_A)^2 for disjoint events.  With xi in [1, 2] on A and in [3, 4] on B the
    difference is at least |a| tau^d (3^d - 2^d) - 2 sup |r|, and |r(x)| <= sum |c_i| (4 tau)^q_i + R there.  Divided
    by tau^d, what is subtracted falls with tau, so that one T decides for all larger scales.
    """
    powers: dict[sp.Rational, sp.Expr] = {}
    others = []
    for term in _terms(piece.expr):
        factor, power = term.as_independent(x, as_Add=False)
        exponent = sp.S.Zero if power == 1 else power.exp if power.is_Pow and power.base == x else sp.S.One
        if power in (sp.S.One, x**exponent) and exponent.is_Rational and exponent >= 0:
            powers[exponent] = powers.get(exponent, sp.S.Zero) + factor
        else:
            others.append(term)
    degree = max(powers, default=sp.S.Zero)
    ends = _right_half(piece)
    if degree <= 1 or ends is None:
        return None
    rest = arb(0) if not others else _supremum(sp.Add(*others), *ends)
    steep = abs(real_part(constant_ball(powers.pop(degree))))
    if rest is None or not steep > 0:
        return None
    below, height = (
        [(constant_ball(q), abs(real_part(constant_ball(c)))) for q, c in powers.items()],
        constant_ball(degree),
    )
    root = arb(2).sqrt()
    near, far = ((arb(b) / root).erf() - (arb(a) / root).erf() for a, b in ((1, 2), (3, 4)))
    share = (weight * near * far).sqrt() / 2
    scale = ends[0].max(arb(1)).upper()
    for _ in range(_DOUBLINGS):
        lost = sum((2 * c * arb(4) ** q * scale ** (q - height) for q, c in below), 2 * rest * scale**-height)
        if steep * (arb(3) ** height - arb(2) ** height) - lost > scale ** (1 - height) / share:
            return scale
        scale = (2 * scale).upper()
    return None
