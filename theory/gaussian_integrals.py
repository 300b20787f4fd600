"""Closed forms of Gaussian integrals of the family in ``theory.gaussian_terms`` over intervals.

For J_k = integral of x^k exp(-A x^2 + l x) prod_i erf(a_i x + b_i) over (lower, upper), integrating the derivative of
x^(k-1) exp(-A x^2 + l x) prod_i erf(a_i x + b_i) gives

  2 A J_k = (k - 1) J_{k-2} + l J_{k-1} + sum_i (2 a_i/sqrt(pi)) exp(-b_i^2) J_{k-1}[A + a_i^2, l - 2 a_i b_i, no i-th erf]
            - [x^(k-1) exp(-A x^2 + l x) prod_i erf(a_i x + b_i)] from lower to upper,

which lowers the power until J_0 is left, and J_0 is an error function (no erf), an error function again (one erf over
the whole line), an arcsine (two over the whole line) or an arctangent (one over half of it).  Everything else, such as
Owen's T function, is not elementary: the answer is then None.
"""

from __future__ import annotations

from functools import lru_cache

import sympy as sp

from theory.gaussian_terms import Shape, TermSum, without_erf

__all__ = ["gaussian_integral"]


def gaussian_integral(terms: TermSum, lower: sp.Expr, upper: sp.Expr) -> sp.Expr | None:
    """Return E[f(xi); lower < xi < upper] for xi ~ N(0, 1), or None when it has no elementary closed form.

    On an unbounded interval the integral is taken to exist: the caller has checked the growth of f.
    """
    total = sp.S.Zero
    for shape, coefficient in terms.terms.items():
        curvature = sp.expand(sp.S.Half - shape.quadratic)
        value = _integral(shape.power, curvature, shape.linear, shape.erfs, lower, upper)
        if value is None:
            return None
        total += coefficient * value
    return total / sp.sqrt(2 * sp.pi)


_Erfs = tuple[tuple[sp.Expr, sp.Expr], ...]


@lru_cache(maxsize=4096)
def _integral(
    power: int, curvature: sp.Expr, linear: sp.Expr, erfs: _Erfs, lower: sp.Expr, upper: sp.Expr
) -> sp.Expr | None:
    """J_power of the module docstring, or None."""
    if curvature == 0:
        return _flat(power, linear, erfs, lower, upper)
    if power == 0:
        return _base(curvature, linear, erfs, lower, upper)
    total = -_boundary(power - 1, curvature, linear, erfs, lower, upper)
    pieces: list[tuple[sp.Expr, sp.Expr | None]] = []
    if power >= 2:
        pieces.append((sp.Integer(power - 1), _integral(power - 2, curvature, linear, erfs, lower, upper)))
    if linear != 0:
        pieces.append((linear, _integral(power - 1, curvature, linear, erfs, lower, upper)))
    for position, (a, _) in enumerate(erfs):
        shape, factor = without_erf(Shape(power - 1, -curvature, linear, erfs), position)
        value = _integral(shape.power, -shape.quadratic, shape.linear, shape.erfs, lower, upper)
        pieces.append((2 * a / sp.sqrt(sp.pi) * factor, value))
    for weight, value in pieces:
        if value is None:
            return None
        total += weight * value
    return total / (2 * curvature)


def _flat(power: int, linear: sp.Expr, erfs: _Erfs, lower: sp.Expr, upper: sp.Expr) -> sp.Expr | None:
    """The case without a Gaussian factor, on a bounded interval."""
    if erfs or lower is -sp.oo or upper is sp.oo:
        return None
    if linear == 0:
        return (upper ** (power + 1) - lower ** (power + 1)) / (power + 1)
    ends = upper**power * sp.exp(linear * upper) - lower**power * sp.exp(linear * lower)
    if power == 0:
        return ends / linear
    rest = _flat(power - 1, linear, erfs, lower, upper)
    return None if rest is None else (ends - power * rest) / linear


def _boundary(
    power: int, curvature: sp.Expr, linear: sp.Expr, erfs: _Erfs, lower: sp.Expr, upper: sp.Expr
) -> sp.Expr:
    def at(end: sp.Expr) -> sp.Expr:
        if end in (sp.oo, -sp.oo):
            return sp.S.Zero
        value = end**power * sp.exp(-curvature * end**2 + linear * end)
        for a, b in erfs:
            value *= sp.erf(a * end + b)
        return value

    return at(upper) - at(lower)


def _base(curvature: sp.Expr, linear: sp.Expr, erfs: _Erfs, lower: sp.Expr, upper: sp.Expr) -> sp.Expr | None:
    """J_0: the integrals that the recurrence ends in."""
    whole = lower is -sp.oo and upper is sp.oo
    precision = sp.factor_terms(sp.expand(2 * curvature))
    mass = sp.sqrt(2 * sp.pi) / sp.sqrt(precision) * sp.exp(linear**2 / (4 * curvature))
    mean = linear / (2 * curvature)
    if not erfs:
        return mass if whole else mass * _probability(curvature, mean, lower, upper)
    centred = all(sp.expand(a * mean + b) == 0 for a, b in erfs)
    half = not whole and (
        (lower is -sp.oo and sp.expand(upper - mean) == 0) or (upper is sp.oo and sp.expand(lower - mean) == 0)
    )
    if centred and len(erfs) % 2 == 1 and whole:
        return sp.S.Zero
    if len(erfs) == 1:
        ((a, b),) = erfs
        if whole:
            return mass * sp.erf((a * mean + b) * sp.sqrt(precision) / sp.sqrt(sp.expand(precision + 2 * a**2)))
        if centred and half:
            side = 1 if upper is sp.oo else -1
            return side * mass * sp.atan(sp.sqrt(2) * a / sp.sqrt(precision)) / sp.pi
    if len(erfs) == 2 and centred and (whole or half):
        (a, _), (b, _) = erfs
        ratio = 2 * a * b / sp.sqrt(sp.expand(precision + 2 * a**2)) / sp.sqrt(sp.expand(precision + 2 * b**2))
        return mass * 2 * sp.asin(ratio) / sp.pi / (1 if whole else 2)
    return None


def _probability(curvature: sp.Expr, mean: sp.Expr, lower: sp.Expr, upper: sp.Expr) -> sp.Expr:
    """Mass of N(mean, 1/(2 curvature)) between the ends; erfc on half lines, where 1 - erf would cancel."""
    root = sp.sqrt(curvature)
    if upper is sp.oo:
        return sp.erfc(root * (lower - mean)) / 2
    if lower is -sp.oo:
        return sp.erfc(root * (mean - upper)) / 2
    return (sp.erf(root * (upper - mean)) - sp.erf(root * (lower - mean))) / 2
