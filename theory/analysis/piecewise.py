"""Activations as smooth pieces between exact breakpoints.

Max, Min, Abs, sign, Heaviside and Piecewise are replaced by the branch that holds on each interval, so that every
later step (moments, derivatives, parity, quadrature) sees analytic expressions only.  Values at the breakpoints
themselves are dropped: they have measure zero.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations, pairwise

import sympy as sp

from theory.analysis.realline import UndecidedError, compare, enclosure, interior_point, sign_on, zeros
from theory.symbols import x

__all__ = [
    "DomainError",
    "Piece",
    "split",
]

#: More breakpoints than this are refused: every one costs an exact comparison.
MAX_PIECES = 200
_NONSMOOTH = (sp.Max, sp.Min, sp.Abs, sp.sign, sp.Heaviside, sp.Piecewise)


class DomainError(ValueError):
    """An expression that is not a finite real number for every real x, or whose pieces cannot be found."""


@dataclass(frozen=True)
class Piece:
    """A smooth expression on an open interval.

    Attributes:
        lower: left end, possibly -oo.
        upper: right end, possibly oo.
        expr: smooth expression in ``theory.symbols.x`` valid on (lower, upper).
    """

    lower: sp.Expr
    upper: sp.Expr
    expr: sp.Expr


def split(expr: sp.Expr) -> tuple[Piece, ...]:
    """Split an expression into smooth pieces that cover the real line, from left to right.

    Raises:
        DomainError: the expression has a pole, leaves the real numbers, has infinitely many kinks, or its kinks
            cannot be located exactly.

    Example:
        >>> split(sp.Max(x, 0))[1]
        Piece(lower=0, upper=oo, expr=x)
    """
    try:
        merged = tuple(_split_on(expr, -sp.oo, sp.oo))
        for piece in merged:
            _check_domain(piece.expr, piece.lower, piece.upper)
    except UndecidedError as undecided:
        raise DomainError(f"the activation cannot be split into smooth pieces: {undecided}") from undecided
    return merged


def _split_on(expr: sp.Expr, lower: sp.Expr, upper: sp.Expr) -> list[Piece]:
    """Pieces from the inside out: a node is rebuilt only from arguments that are smooth already."""
    if not _is_nonsmooth(expr):
        return [Piece(lower, upper, expr)]
    pieces: list[Piece] = []
    if isinstance(expr, sp.Piecewise):
        for left, right in _cells(_condition_zeros(expr, lower, upper), lower, upper):
            pieces += _split_on(_chosen(expr, left, right), left, right)
    else:
        for left, right, arguments in _refined(expr.args, lower, upper):
            if isinstance(expr, _NONSMOOTH):
                for start, end in _cells(_switch_zeros(expr, arguments, left, right), left, right):
                    pieces.append(Piece(start, end, _branch(expr, arguments, start, end)))
            else:
                pieces.append(Piece(left, right, expr.func(*arguments)))
    if len(pieces) > MAX_PIECES:
        raise UndecidedError(f"more than {MAX_PIECES} pieces")
    return list(_merge(pieces))


def _is_nonsmooth(expr: sp.Basic) -> bool:
    return any(isinstance(node, _NONSMOOTH) and node.has(x) for node in sp.preorder_traversal(expr))


def _cells(points: list[sp.Expr], lower: sp.Expr, upper: sp.Expr) -> list[tuple[sp.Expr, sp.Expr]]:
    return list(pairwise((lower, *points, upper)))


def _refined(
    expressions: tuple[sp.Expr, ...], lower: sp.Expr, upper: sp.Expr
) -> list[tuple[sp.Expr, sp.Expr, tuple[sp.Expr, ...]]]:
    """Intervals on which every one of some expressions is smooth, with the smooth expressions."""
    cells: list[tuple[sp.Expr, sp.Expr, tuple[sp.Expr, ...]]] = [(lower, upper, ())]
    for expr in expressions:
        cells = [
            (piece.lower, piece.upper, (*done, piece.expr))
            for left, right, done in cells
            for piece in _split_on(expr, left, right)
        ]
        if len(cells) > MAX_PIECES:
            raise UndecidedError(f"more than {MAX_PIECES} pieces")
    return cells


def _insert(points: list[sp.Expr], new: Iterable[sp.Expr]) -> None:
    """Add points to a list in increasing order, each once."""
    for point in new:
        position = 0
        for other in points:
            order = compare(point, other)
            if order == 0:
                break
            position += order > 0
        else:
            points.insert(position, point)


def _switch_zeros(node: sp.Expr, arguments: tuple[sp.Expr, ...], lower: sp.Expr, upper: sp.Expr) -> list[sp.Expr]:
    """Where a non-smooth node with smooth arguments may change its branch."""
    extremum = isinstance(node, sp.Max | sp.Min)
    switches = [a - b for a, b in combinations(arguments, 2)] if extremum else [arguments[0]]
    points: list[sp.Expr] = []
    for switch in switches:
        if sp.expand(switch) != 0:
            _insert(points, zeros(switch, lower, upper))
    return points


def _condition_zeros(node: sp.Expr, lower: sp.Expr, upper: sp.Expr) -> list[sp.Expr]:
    """Where the conditions of a Piecewise may change."""
    points: list[sp.Expr] = []
    for _, condition in node.args:
        for relation in condition.atoms(sp.core.relational.Relational):
            pieces = _split_on(relation.lhs - relation.rhs, lower, upper)
            _insert(points, (piece.lower for piece in pieces[1:]))
            for piece in pieces:
                if sp.expand(piece.expr) != 0:
                    _insert(points, zeros(piece.expr, piece.lower, piece.upper))
    return points


def _chosen(node: sp.Expr, lower: sp.Expr, upper: sp.Expr) -> sp.Expr:
    """The branch of a Piecewise whose condition holds on an interval."""
    for branch, condition in node.args:
        if _holds(condition, lower, upper):
            return branch
    raise UndecidedError(f"{node} has no value between {lower} and {upper}")


def _branch(node: sp.Expr, arguments: tuple[sp.Expr, ...], lower: sp.Expr, upper: sp.Expr) -> sp.Expr:
    """The smooth expression that a non-smooth node equals on an interval without breakpoints of its own."""
    if isinstance(node, sp.Max | sp.Min):
        want = 1 if isinstance(node, sp.Max) else -1
        best = arguments[0]
        for candidate in arguments[1:]:
            if sign_on(sp.expand(candidate - best), lower, upper) == want:
                best = candidate
        return best
    sign = sign_on(arguments[0], lower, upper)
    if isinstance(node, sp.Abs):
        return arguments[0] if sign >= 0 else -arguments[0]
    if isinstance(node, sp.sign):
        return sp.Integer(sign)
    return sp.Rational(1 + sign, 2)


def _holds(condition: sp.Basic, lower: sp.Expr, upper: sp.Expr) -> bool:
    if condition in (sp.true, sp.false):
        return condition is sp.true
    if isinstance(condition, sp.And):
        return all(_holds(part, lower, upper) for part in condition.args)
    if isinstance(condition, sp.Or):
        return any(_holds(part, lower, upper) for part in condition.args)
    if isinstance(condition, sp.Not):
        return not _holds(condition.args[0], lower, upper)
    if isinstance(condition, sp.core.relational.Relational):
        (difference,) = _split_on(condition.lhs - condition.rhs, lower, upper)
        sign = sign_on(difference.expr, lower, upper)
        if isinstance(condition, sp.StrictGreaterThan | sp.GreaterThan):
            return sign > 0 or (sign == 0 and isinstance(condition, sp.GreaterThan))
        if isinstance(condition, sp.StrictLessThan | sp.LessThan):
            return sign < 0 or (sign == 0 and isinstance(condition, sp.LessThan))
        return (sign == 0) == isinstance(condition, sp.Eq)
    raise UndecidedError(f"cannot decide the condition {condition}")


def _merge(pieces: list[Piece]) -> tuple[Piece, ...]:
    ordered = [pieces[0]]
    for piece in pieces[1:]:
        last = ordered[-1]
        if last.upper != piece.lower:
            raise UndecidedError(f"pieces do not meet at {last.upper}")
        if sp.expand(last.expr - piece.expr) == 0:
            ordered[-1] = Piece(last.lower, piece.upper, last.expr)
        else:
            ordered.append(piece)
    return tuple(ordered)


def _check_domain(expr: sp.Expr, lower: sp.Expr, upper: sp.Expr) -> None:
    """Raise unless all parts are finite and real on the closed interval (logarithms and roots may touch 0)."""
    if expr.has(sp.zoo, sp.nan, sp.oo, -sp.oo, sp.I):
        raise DomainError(f"{expr} is not a finite real number between {lower} and {upper}")
    for node in sp.postorder_traversal(expr):
        if isinstance(node, sp.Pow) and node.base.has(x):
            if node.exp.has(x):
                raise DomainError(f"{node} has x in the base and in the exponent, which is not supported")
            if node.exp.is_negative:
                _require_no_zero(node.base, lower, upper, f"{node} has a pole")
            if not node.exp.is_integer:
                _require_sign(node.base, lower, upper, f"{node} is not real")
        elif isinstance(node, sp.log) and node.has(x):
            _require_sign(node.args[0], lower, upper, f"{node} is not real")
        elif isinstance(node, sp.tan | sp.sec) and node.has(x):
            _require_tangent(node, lower, upper)
        elif isinstance(node, sp.csch | sp.coth | sp.cot | sp.csc) and node.has(x):
            raise DomainError(f"{node} has poles, so its Gaussian moments do not exist")


def _require_no_zero(expr: sp.Expr, lower: sp.Expr, upper: sp.Expr, complaint: str) -> None:
    roots = zeros(expr, lower, upper)
    if roots:
        raise DomainError(f"{complaint} at x = {roots[0]}")
    for end in (lower, upper):
        if end not in (sp.oo, -sp.oo) and compare(expr.subs(x, end), sp.S.Zero) == 0:
            raise DomainError(f"{complaint} at x = {end}")


def _require_sign(expr: sp.Expr, lower: sp.Expr, upper: sp.Expr, complaint: str) -> None:
    cuts = (lower, *zeros(expr, lower, upper), upper)
    for left, right in pairwise(cuts):
        if sign_on(expr, left, right) < 0:
            raise DomainError(f"{complaint} at x = {interior_point(left, right)}")


def _require_tangent(node: sp.Expr, lower: sp.Expr, upper: sp.Expr) -> None:
    low, high = enclosure(node.args[0], lower, upper)
    if compare(low, -sp.pi / 2) < 0 or compare(high, sp.pi / 2) > 0:
        raise DomainError(f"{node} has poles, so its Gaussian moments do not exist")
