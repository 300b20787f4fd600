"""What an activation is like, derived from its pieces: parity, homogeneity, jumps, growth, Lipschitz constant."""

from __future__ import annotations

from itertools import pairwise

import sympy as sp

from theory.analysis import (
    GrowthError,
    Piece,
    Rate,
    UndecidedError,
    compare,
    enclosure,
    expanded_terms,
    limit_at,
    upper_rate,
    zeros,
)
from theory.functions import sigmoid, softplus
from theory.symbols import x

__all__ = [
    "boundary_value",
    "derivative",
    "fold_reflections",
    "growth_in_words",
    "growth_rate",
    "homogeneity_degree",
    "jumps",
    "lipschitz_constant",
    "parity",
    "reflect",
    "vanishes",
]

Pieces = tuple[Piece, ...]
#: Expressions with more terms than this are not multiplied out to see that they vanish.
MAX_VANISHING_TERMS = 300
#: Slopes with more terms than this, multiplied out, are not searched for their largest value.
MAX_SLOPE_TERMS = 100
#: Points at which an expression is evaluated to see that it does not vanish.
_PROBES = (sp.Rational(3, 7), sp.Rational(17, 11), sp.Rational(31, 13))
_PARAMETER_PROBES = (sp.Rational(5, 7), sp.Rational(7, 9), sp.Rational(11, 13), sp.Rational(13, 17))
_EVEN_OR_ODD = (sp.tanh, sp.atan, sp.erf, sp.asinh, sp.sinh, sp.cosh, sp.sin, sp.cos, sp.sech, sigmoid, softplus)


def fold_reflections(expr: sp.Expr) -> sp.Expr:
    """Write sigmoid(-u) as 1 - sigmoid(u) and softplus(-u) as softplus(u) - u, so that reflections cancel.

    Arguments are brought to one form first: tanh of a sum is odd only to the eye otherwise.
    """
    expr = expr.replace(
        lambda node: isinstance(node, _EVEN_OR_ODD) and node.args[0].has(sp.Add),
        lambda node: node.func(sp.factor_terms(sp.expand(node.args[0]))),
    )

    def fold(node: sp.Expr) -> sp.Expr:
        argument = node.args[0]
        if not argument.could_extract_minus_sign():
            return node
        return 1 - sigmoid(-argument) if isinstance(node, sigmoid) else softplus(-argument) + argument

    return expr.replace(lambda node: isinstance(node, sigmoid | softplus), fold)


def reflect(expr: sp.Expr) -> sp.Expr:
    """Return f(-x), with the reflections of sigmoid and softplus folded back."""
    # subs with simultaneous=True would put a complex symbol in for a while, about which SymPy ponders.
    return fold_reflections(expr.xreplace({x: -x}))


def vanishes(expr: sp.Expr) -> bool:
    """Return whether an expression is proved to vanish identically (False also where no proof is found)."""
    folded = fold_reflections(expr)
    if expanded_terms(folded) <= MAX_VANISHING_TERMS:
        folded = sp.expand(folded)
    if folded == 0:
        return True
    parameters = sorted(folded.free_symbols - {x}, key=lambda symbol: symbol.name)
    values = {symbol: _PARAMETER_PROBES[i % len(_PARAMETER_PROBES)] for i, symbol in enumerate(parameters)}
    for probe in _PROBES:
        value = folded.subs(values).subs(x, probe).evalf(20, maxn=60)
        if not value.is_number or value.is_real is False or abs(value) > sp.Rational(1, 10**12):
            return False
    numerator = sp.numer(sp.together(folded.rewrite(sp.exp))) if folded.count_ops() < 200 else sp.S.One
    if numerator.count_ops() < 400 and sp.expand(numerator) == 0:
        return True
    return bool(folded.count_ops() < 40 and sp.simplify(folded) == 0)


def parity(pieces: Pieces) -> int:
    """Return 1 for an even function, -1 for an odd one, 0 for neither (or not proved)."""
    mirrored = tuple(Piece(-piece.upper, -piece.lower, reflect(piece.expr)) for piece in reversed(pieces))
    try:
        if any(compare(a.upper, b.upper) != 0 for a, b in zip(pieces[:-1], mirrored[:-1], strict=True)):
            return 0
    except UndecidedError:
        return 0
    for sign in (1, -1):
        if all(vanishes(a.expr - sign * b.expr) for a, b in zip(pieces, mirrored, strict=True)):
            return sign
    return 0


def homogeneity_degree(pieces: Pieces) -> sp.Expr | None:
    """Return d when f(c x) = c^d f(x) for all c > 0, else None (also for the zero function)."""
    if any(piece.lower not in (-sp.oo, 0) or piece.upper not in (sp.oo, 0) for piece in pieces):
        return None
    degrees: set[sp.Expr] = set()
    for piece in pieces:
        if piece.expr == 0:
            continue
        degree = sp.cancel(sp.expand(x * sp.diff(piece.expr, x)) / piece.expr)
        if degree.has(x):
            return None
        degrees.add(degree)
    return degrees.pop() if len(degrees) == 1 else None


def derivative(expr: sp.Expr) -> sp.Expr:
    """Return the derivative in x, with sqrt(-x) where SymPy's own has (-x)**(3/2)/x, which has no value at 0."""

    def merged(product: sp.Expr) -> sp.Expr:
        powers = {
            f.base: f.exp for f in product.args if isinstance(f, sp.Pow) and f.base.has(x) and not f.exp.is_integer
        }
        factors = []
        for factor in product.args if powers else ():
            base, power = factor.as_base_exp()
            if base in powers:
                continue
            # One that differs from a root's argument by a constant only.
            same = next((root for root in powers if power.is_integer and not sp.cancel(base / root).has(x)), None)
            if same is None or not base.has(x):
                factors.append(factor)
            else:
                powers[same] += power
                factors.append(sp.cancel(base / same) ** power)
        return sp.Mul(*factors, *(root**power for root, power in powers.items())) if powers else product

    return sp.diff(expr, x).replace(lambda node: isinstance(node, sp.Mul) and node.has(x), merged)


def boundary_value(expr: sp.Expr, point: sp.Expr, side: int) -> sp.Expr:
    """Return the one-sided limit of a smooth expression at a finite point.

    Args:
        expr: in ``theory.symbols.x``, smooth on that side of the point.
        point: exact and finite.
        side: +1 from the right, -1 from the left.
    """
    value = expr.subs(x, point)
    if not value.has(sp.nan, sp.zoo, sp.oo, -sp.oo):
        return value
    return sp.limit(expr, x, point, "+" if side > 0 else "-")


def jumps(pieces: Pieces, order: int = 0) -> tuple[tuple[sp.Expr, sp.Expr], ...]:
    """Return (position, height) of every jump of the order-th derivative at a breakpoint."""
    positions = []
    for left, right in pairwise(pieces):
        below = boundary_value(sp.diff(left.expr, x, order), left.upper, -1)
        above = boundary_value(sp.diff(right.expr, x, order), left.upper, 1)
        if above.has(sp.oo, -sp.oo) or below.has(sp.oo, -sp.oo):
            positions.append((left.upper, sp.oo))
            continue
        height = sp.expand(above - below)
        continuous = vanishes(height) if height.free_symbols else compare(height, sp.S.Zero) == 0
        if not continuous:
            positions.append((left.upper, height))
    return tuple(positions)


def growth_rate(pieces: Pieces) -> Rate:
    """Return a rate that |f| does not exceed in either direction.

    Raises:
        GrowthError: f grows faster than every exp(c x^2), so no Gaussian moment exists.
    """
    left = upper_rate(pieces[0].expr, -1)
    right = upper_rate(pieces[-1].expr, 1)
    return left.joined(right)


def growth_in_words(rate: Rate) -> str:
    """Say in a few words how fast a function with this growth rate may grow."""
    try:
        sign = rate.sign()
    except UndecidedError:
        return f"grows at most like exp({rate.quadratic}*x^2 + {rate.linear}*|x|)*|x|^({rate.degree})"
    if sign <= 0:
        return "tends to 0" if sign < 0 else "bounded"
    if rate.quadratic != 0:
        return f"grows at most like exp({rate.quadratic}*x^2) up to slower factors: moments exist for small tau only"
    if rate.linear != 0:
        return f"grows at most like exp({rate.linear}*|x|) up to slower factors"
    if rate.degree != 0:
        power = (
            "linearly"
            if rate.degree == 1
            else f"like |x|^{rate.degree if rate.degree.is_Integer else f'({rate.degree})'}"
        )
        return f"grows at most {power}" + (" up to logarithms" if rate.logarithm != 0 else "")
    return "grows at most logarithmically"


def lipschitz_constant(pieces: Pieces) -> sp.Expr | None:
    """Return sup |f'| exactly (oo when f is not Lipschitz), or None where it is not found exactly."""
    if jumps(pieces):
        return sp.oo
    for attempt in (_slope_bound, _slope_supremum):
        try:
            constant = attempt(pieces)
        except (GrowthError, UndecidedError):
            continue
        if constant is not None:
            return constant
    return None


def _slope_bound(pieces: Pieces) -> sp.Expr | None:
    """sup |f'| where range arithmetic gives a bound that the slope reaches at a likely point, as for sin(x)."""
    best, reached = sp.S.Zero, sp.S.Zero
    for piece in pieces:
        slope = sp.diff(piece.expr, x)
        for bound in enclosure(slope, piece.lower, piece.upper):
            best = sp.Abs(bound) if compare(sp.Abs(bound), best) > 0 else best
        if not best.is_finite:
            return None
        for point in _likely_extremes(slope):
            if compare(piece.lower, point) <= 0 and compare(point, piece.upper) <= 0:
                size = sp.Abs(boundary_value(slope, point, 1 if point != piece.upper else -1))
                reached = size if size.is_finite and compare(size, reached) > 0 else reached
    return best if compare(reached, best) == 0 else None


def _likely_extremes(slope: sp.Expr) -> tuple[sp.Expr, ...]:
    """0, and the points where the argument of a sine or cosine is a multiple of pi/2."""
    points = [sp.S.Zero]
    for node in slope.atoms(sp.sin, sp.cos):
        argument = node.args[0]
        rate = sp.diff(argument, x)
        if not rate.has(x) and rate != 0:
            points.extend((k * sp.pi / 2 - argument.subs(x, 0)) / rate for k in range(4))
    return tuple(dict.fromkeys(points))


def _slope_supremum(pieces: Pieces) -> sp.Expr:
    """sup |f'| from the slopes at the ends of the pieces and at the zeros of f''."""
    candidates: list[sp.Expr] = []
    for piece in pieces:
        slope = sp.diff(piece.expr, x)
        for end, side in ((piece.lower, 1), (piece.upper, -1)):
            infinite = end in (sp.oo, -sp.oo)
            candidates.append(limit_at(slope, -side) if infinite else boundary_value(slope, end, side))
        if expanded_terms(slope) > MAX_SLOPE_TERMS:
            raise UndecidedError("the slope has too many terms to find where it is largest")
        bend = sp.factor_terms(sp.expand(sp.diff(slope, x)))
        if bend != 0:
            points = zeros(bend, piece.lower, piece.upper)
            if any(point.has(sp.CRootOf) for point in points):
                raise UndecidedError("the slope is largest at a root without a formula")
            candidates.extend(slope.subs(x, point) for point in points)
    best = sp.S.Zero
    for candidate in candidates:
        size = sp.Abs(candidate)
        if size.is_infinite:
            return sp.oo
        try:
            best = size if compare(size, best) > 0 else best
        except UndecidedError:
            best = sp.Max(size, best)
    return best
