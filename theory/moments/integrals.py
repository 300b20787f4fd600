"""Closed forms of Gaussian integrals of the family in ``theory.analysis.terms`` over intervals.

For J_k = integral of x^k exp(-A x^2 + l x) prod_i erf(a_i x + b_i) over (lower, upper), the derivative of
x^(k-1) exp(-A x^2 + l x) prod_i erf(a_i x + b_i), integrated, gives

  2 A J_k = (k - 1) J_{k-2} + l J_{k-1}
            + sum_i (2 a_i/sqrt(pi)) exp(-b_i^2) J_{k-1}[A + a_i^2, l - 2 a_i b_i, no i-th erf]
            - [x^(k-1) exp(-A x^2 + l x) prod_i erf(a_i x + b_i)] from lower to upper,

which lowers the power until J_0 is left, and J_0 is an error function (no erf), an error function again (one erf over
the whole line), an arcsine (two over the whole line) or an arctangent (one over half of it).  Everything else, such as
Owen's T function, is not elementary: the answer is then None.

Integrals are linear combinations of the few special values that the recurrence ends in, and are kept as such (special
value -> coefficient), so that only coefficients are ever expanded.  1/(2 A) is a symbol of its own until the end:
expanding would multiply out its powers.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from functools import lru_cache

import sympy as sp

from theory.analysis import Shape, TermSum, WorkLimitError, without_erf

__all__ = [
    "gaussian_integral",
    "half_line_power",
]

_Erfs = tuple[tuple[sp.Expr, sp.Expr], ...]
#: Closed forms with more terms than this are refused: nobody reads them, and SymPy takes minutes over them.
MAX_CLOSED_TERMS = 150
#: Special value -> coefficient.
_Combination = Mapping[sp.Expr, sp.Expr]


def gaussian_integral(terms: TermSum, lower: sp.Expr, upper: sp.Expr) -> sp.Expr | None:
    """Return E[f(xi); lower < xi < upper] for xi ~ N(0, 1), or None when it has no elementary closed form.

    On an unbounded interval the integral is taken to exist: the caller has checked the growth of f.

    Args:
        terms: f, as a sum of terms.
        lower: end of the interval, a number or -oo.
        upper: end of the interval, a number or oo.

    Raises:
        WorkLimitError: the closed form would be too long.
    """
    if len(terms.terms) > MAX_CLOSED_TERMS:
        raise WorkLimitError(f"more than {MAX_CLOSED_TERMS} terms")
    parts: list[tuple[sp.Expr, _Combination]] = []
    for shape, coefficient in terms.terms.items():
        curvature = sp.expand(sp.S.Half - shape.quadratic)
        value = _integral(shape.power, curvature, shape.linear, shape.erfs, lower, upper)
        if value is None:
            return None
        parts.append((coefficient, value))
    total = sp.Add(*(special * coefficient for special, coefficient in _combine(parts).items()))
    return _with_widths(total / sp.sqrt(2 * sp.pi))


def half_line_power(exponent: sp.Expr) -> sp.Expr:
    """Return E[xi^s; xi > 0] = 2^(s/2) Gamma((s + 1)/2)/(2 sqrt(pi)), for s > -1."""
    # expand_func brings Gamma's argument into (0, 1), so that values of different powers combine.
    return 2 ** (exponent / 2) * sp.expand_func(sp.gamma((exponent + 1) / 2)) / (2 * sp.sqrt(sp.pi))


def _combine(parts: list[tuple[sp.Expr, _Combination]]) -> _Combination:
    gathered: defaultdict[sp.Expr, list[sp.Expr]] = defaultdict(list)
    for weight, part in parts:
        for special, coefficient in part.items():
            gathered[special].append(weight * coefficient)
    combined: dict[sp.Expr, sp.Expr] = {}
    size = 0
    for special, pieces in gathered.items():
        coefficient = sp.expand(sp.Add(*pieces))
        size += len(sp.Add.make_args(coefficient))
        if size > MAX_CLOSED_TERMS:
            raise WorkLimitError(f"a closed form with more than {MAX_CLOSED_TERMS} terms")
        if coefficient != 0:
            combined[special] = coefficient
    return combined


#: The symbols that stand for 1/(2 A), where A is not a number, with the value of 2 A.
_PRECISIONS: dict[sp.Symbol, sp.Expr] = {}


@lru_cache(maxsize=1024)
def _width(curvature: sp.Expr) -> sp.Expr:
    """1/(2 A), the variance of the Gaussian exp(-A x^2): a number, or a symbol that ``_with_widths`` replaces."""
    precision = sp.factor(sp.together(2 * curvature))
    if precision.is_Rational:
        return 1 / precision
    symbol = sp.Dummy("w", positive=True)
    _PRECISIONS[symbol] = precision
    return symbol


def _with_widths(expr: sp.Expr) -> sp.Expr:
    """Put the values of the width symbols in: w^e becomes (2 A)^(-e), so that halves of powers stay together."""
    replaced = expr.replace(
        lambda node: node.is_Pow and node.base in _PRECISIONS, lambda node: _PRECISIONS[node.base] ** (-node.exp)
    )
    left = replaced.free_symbols & _PRECISIONS.keys()
    return replaced.xreplace({symbol: 1 / _PRECISIONS[symbol] for symbol in left})


@lru_cache(maxsize=8192)
def _integral(
    power: int, curvature: sp.Expr, linear: sp.Expr, erfs: _Erfs, lower: sp.Expr, upper: sp.Expr
) -> _Combination | None:
    """J_power of the module docstring, or None."""
    if curvature == 0:
        return _flat(power, linear, erfs, lower, upper)
    if power == 0:
        return _base(curvature, linear, erfs, lower, upper)
    width = _width(curvature)
    parts: list[tuple[sp.Expr, _Combination | None]] = [
        (-width, _boundary(power - 1, curvature, linear, erfs, lower, upper))
    ]
    if power >= 2:
        parts.append((width * (power - 1), _integral(power - 2, curvature, linear, erfs, lower, upper)))
    if linear != 0:
        parts.append((width * linear, _integral(power - 1, curvature, linear, erfs, lower, upper)))
    for position, (a, _) in enumerate(erfs):
        shape, factor = without_erf(Shape(power - 1, -curvature, linear, erfs), position)
        value = _integral(shape.power, -shape.quadratic, shape.linear, shape.erfs, lower, upper)
        parts.append((width * 2 * a / sp.sqrt(sp.pi) * factor, value))
    if any(value is None for _, value in parts):
        return None
    return _combine([(weight, value) for weight, value in parts if value is not None])


def _flat(power: int, linear: sp.Expr, erfs: _Erfs, lower: sp.Expr, upper: sp.Expr) -> _Combination | None:
    """The case without a Gaussian factor, on a bounded interval."""
    if erfs or lower is -sp.oo or upper is sp.oo:
        return None
    if linear == 0:
        return {sp.S.One: (upper ** (power + 1) - lower ** (power + 1)) / (power + 1)}
    ends: _Combination = {sp.exp(linear * upper): upper**power, sp.exp(linear * lower): -(lower**power)}
    if power == 0:
        return _combine([(1 / linear, ends)])
    rest = _flat(power - 1, linear, erfs, lower, upper)
    return None if rest is None else _combine([(1 / linear, ends), (-power / linear, rest)])


def _boundary(
    power: int, curvature: sp.Expr, linear: sp.Expr, erfs: _Erfs, lower: sp.Expr, upper: sp.Expr
) -> _Combination:
    values: defaultdict[sp.Expr, sp.Expr] = defaultdict(lambda: sp.S.Zero)
    for end, sign in ((upper, 1), (lower, -1)):
        if end in (sp.oo, -sp.oo):
            continue
        special = sp.exp(sp.expand(-curvature * end**2 + linear * end))
        for a, b in erfs:
            special *= sp.erf(sp.expand(a * end + b))
        values[special] += sign * end**power
    return values


def _base(curvature: sp.Expr, linear: sp.Expr, erfs: _Erfs, lower: sp.Expr, upper: sp.Expr) -> _Combination | None:
    """J_0: the integrals that the recurrence ends in."""
    whole = lower is -sp.oo and upper is sp.oo
    width = _width(curvature)
    mean = linear * width
    special = sp.exp(sp.expand(linear * mean / 2))
    mass = sp.sqrt(2 * sp.pi * width)
    if not erfs:
        return {special: mass} if whole else _truncated(mass, special, width, mean, lower, upper)
    actual_mean = sp.cancel(_with_widths(mean))
    centred = all(sp.cancel(a * actual_mean + b) == 0 for a, b in erfs)
    if centred and whole and len(erfs) % 2 == 1:
        return {}
    half = (lower is -sp.oo and sp.cancel(upper - actual_mean) == 0) or (
        upper is sp.oo and sp.cancel(lower - actual_mean) == 0
    )
    if len(erfs) == 1:
        ((a, b),) = erfs
        if whole:
            inner = (a * actual_mean + b) * sp.sqrt(_width(sp.expand(curvature + a**2)) / width)
            return {special * sp.erf(inner): mass}
        if centred and half:
            side = 1 if upper is sp.oo else -1
            return {special * sp.atan(a * sp.sqrt(2 * width)): side * mass / sp.pi}
    if len(erfs) == 2 and centred and (whole or half):
        (a, _), (b, _) = erfs
        ratio = 2 * a * b * sp.sqrt(_width(sp.expand(curvature + a**2)) * _width(sp.expand(curvature + b**2)))
        return {special * sp.asin(ratio): 2 * mass / sp.pi / (1 if whole else 2)}
    return None


def _truncated(
    mass: sp.Expr, special: sp.Expr, width: sp.Expr, mean: sp.Expr, lower: sp.Expr, upper: sp.Expr
) -> _Combination:
    """Mass of a Gaussian between the ends; erfc on half lines, where 1 - erf would cancel."""
    root = 1 / sp.sqrt(2 * width)

    def argument(distance: sp.Expr) -> sp.Expr:
        return sp.expand(root * distance)

    if upper is sp.oo:
        return {special * sp.erfc(argument(lower - mean)): mass / 2}
    if lower is -sp.oo:
        return {special * sp.erfc(argument(mean - upper)): mass / 2}
    near, far = special * sp.erf(argument(lower - mean)), special * sp.erf(argument(upper - mean))
    return _combine([(mass / 2, {far: sp.S.One}), (-mass / 2, {near: sp.S.One})])
