"""Dual activations in closed form: E[f(u) f(v)] and E[f'(u) f'(v)] for normal u and v of any correlation.

For (u, v) ~ N(0, [[a^2, rho a b], [rho a b, b^2]]) (theory sheet, section 2) they are derived in three steps.

1. f is a sum of terms x^k exp(q x^2 + l x), some of them times a step 1{alpha x + beta + w > 0} with w a normal
   variable of its own: a change of pieces is a step without w, and erf(z) = 2 P(z + w > 0) - 1 with w ~ N(0, 1/2).
2. The exponentials of two terms change the law of (u, v) into another normal law.
3. Under it, integration by parts (Stein's identity) lowers the powers,

     E[u g] = E[u] E[g] + sum over the variables y of cov(u, y) E[dg/dy],

   where the derivative of a step is a delta function: the density of its argument at 0 times the same expectation
   given that this argument is 0.  What is left is the probability that at most two normal variables are positive: an
   arcsine where they are centred (Sheppard's formula), the bivariate normal distribution function elsewhere.

Kinks at 0 give the arc-cosine kernels, erf the arcsine kernel, sines and exponentials exponentials of rho.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import sympy as sp

from theory.activations import Activation
from theory.analysis import TermSum, WorkLimitError

__all__ = [
    "DualForm",
    "bivariate_normal",
    "correlation",
    "dual_form",
    "left_scale",
    "right_scale",
    "sine",
]

#: Standard deviation of u.
left_scale = sp.Symbol("tau_i", positive=True)
#: Standard deviation of v.
right_scale = sp.Symbol("tau_j", positive=True)
#: Correlation of u and v.
correlation = sp.Symbol("rho", real=True)
#: sqrt(1 - rho^2), a symbol of its own: near |rho| = 1 floats would cancel in it.
sine = sp.Symbol("s", nonnegative=True)
#: Products of more terms than this, or of higher degree, are refused: their closed forms fill pages.
MAX_PRODUCTS = 400
MAX_DEGREE = 16


class bivariate_normal(sp.Function):  # type: ignore[misc]  # noqa: N801 - SymPy's convention; its classes are Any
    """P(Y_1 < h, Y_2 < k) for standard normal variables of correlation r, with c = sqrt(1 - r^2) as fourth argument."""

    nargs = 4

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        """Return a partial derivative; the fourth argument depends on the third, whose derivative is the total one."""
        h, k, r, c = self.args
        if argindex == 3:
            return sp.exp(-(h**2 - 2 * r * h * k + k**2) / (2 * c**2)) / (2 * sp.pi * c)
        if argindex == 4:
            return sp.S.Zero
        own, other = (h, k) if argindex == 1 else (k, h)
        return sp.exp(-(own**2) / 2) / sp.sqrt(2 * sp.pi) * sp.erfc((r * own - other) / (sp.sqrt(2) * c)) / 2


@dataclass(frozen=True)
class DualForm:
    """Closed forms of a dual activation, in `left_scale`, `right_scale`, `correlation` and `sine`.

    Attributes:
        value: E[f(u) f(v)].
        slope: dE[f(u) f(v)]/dcov(u, v), which is E[f'(u) f'(v)] (Price's theorem), for f with jumps in the weak
            sense; infinite at |rho| = 1 then.
        tilted: whether an exponential meets a step, so that the terms may be far larger than their sum.
    """

    value: sp.Expr
    slope: sp.Expr
    tilted: bool


@dataclass(frozen=True)
class _Step:
    """1{slope x + offset + w > 0}, w ~ N(0, noise)."""

    slope: sp.Expr
    offset: sp.Expr
    noise: sp.Expr


@dataclass(frozen=True)
class _Term:
    """coefficient x^power exp(quadratic x^2 + linear x), times the step if there is one."""

    coefficient: sp.Expr
    power: int
    quadratic: sp.Expr
    linear: sp.Expr
    step: _Step | None


@dataclass(frozen=True)
class _Law:
    """A normal law; variables 0 and 1 are u and v, those after them the arguments of steps.

    Attributes:
        mean: expectations.
        covariance: rows of the covariance matrix.
    """

    mean: tuple[sp.Expr, ...]
    covariance: tuple[tuple[sp.Expr, ...], ...]

    def density(self, y: int) -> sp.Expr:
        """Return the density of variable y at 0."""
        variance = self.covariance[y][y]
        # Not multiplied out: as variances vanish with 1 - rho^2, floats would cancel.
        return sp.exp(-(self.mean[y] ** 2) / (2 * variance)) / sp.sqrt(2 * sp.pi * variance)

    def given_zero(self, y: int) -> _Law:
        """Return the law of the other variables given that variable y, the last or last but one, is 0."""
        kept = [k for k in range(len(self.mean)) if k != y]
        variance = self.covariance[y][y]
        return _Law(
            tuple(_reduced(self.mean[k] - self.covariance[k][y] * self.mean[y] / variance) for k in kept),
            tuple(
                tuple(
                    _reduced(self.covariance[k][m] - self.covariance[k][y] * self.covariance[y][m] / variance)
                    for m in kept
                )
                for k in kept
            ),
        )


def dual_form(activation: Activation) -> DualForm | None:
    """Return the closed forms of an activation's dual, or None where the method has none.

    It covers sums of polynomials, exponentials of polynomials of degree two, sines and cosines, piecewise between
    any breakpoints, and error functions (one in a term) on the whole line.  For exp(q x^2) with q > 0 the form holds
    where the expectation is finite.

    Example:
        >>> from theory.activations import resolve
        >>> dual_form(resolve("erf")).value
        2*asin(rho*tau_i*tau_j/(sqrt(tau_i**2 + 1/2)*sqrt(tau_j**2 + 1/2)))/pi
    """
    if activation.terms is None:
        return None
    breakpoints = activation.breakpoints
    try:
        terms = _stepped(activation.terms, breakpoints)
        slopes = None if activation.jumps else _stepped([part.derivative() for part in activation.terms], breakpoints)
        if terms is None or (_has_steps(terms) and any(term.linear.is_real is not True for term in terms)):
            return None
        value = _dual(terms)
        slope = _price(value) if slopes is None else _dual(slopes)
    except WorkLimitError:
        return None
    return DualForm(value, slope, _has_steps(terms) and any(_grows(term) for term in terms))


def _has_steps(terms: list[_Term]) -> bool:
    return any(term.step is not None for term in terms)


def _grows(term: _Term) -> bool:
    return term.linear != 0 or term.quadratic.is_nonpositive is not True


def _price(value: sp.Expr) -> sp.Expr:
    """The derivative of a dual by the covariance of u and v."""
    derivative = sp.diff(value, correlation) - correlation / sine * sp.diff(value, sine)
    return _expanded(derivative.subs(1 - correlation**2, sine**2) / (left_scale * right_scale))


def _stepped(pieces: Iterable[TermSum], breakpoints: tuple[sp.Expr, ...]) -> list[_Term] | None:
    """The first piece on the whole line, and at every breakpoint the change to the next as a step.

    Returns:
        The terms, or None when one of them has two steps.
    """
    terms: list[_Term] = []
    before = TermSum.constant(sp.S.Zero)
    for position, piece in enumerate(pieces):
        change = piece + TermSum.constant(-sp.S.One) * before
        step = _Step(sp.S.One, -breakpoints[position - 1], sp.S.Zero) if position else None
        before = piece
        for shape, coefficient in change.terms.items():
            plain = shape.power, shape.quadratic, shape.linear
            if not shape.erfs:
                terms.append(_Term(coefficient, *plain, step))
            elif len(shape.erfs) == 1 and step is None:
                ((slope, offset),) = shape.erfs
                terms.append(_Term(-coefficient, *plain, None))
                terms.append(_Term(2 * coefficient, *plain, _Step(slope, offset, sp.S.Half)))
            else:
                return None
    return terms


def _dual(terms: list[_Term]) -> sp.Expr:
    """E[f(u) f(v)] of a sum of terms."""
    if len(terms) ** 2 > MAX_PRODUCTS or max((term.power for term in terms), default=0) > MAX_DEGREE:
        raise WorkLimitError("a dual activation with too many terms")
    products = (left.coefficient * right.coefficient * _product(left, right) for left in terms for right in terms)
    total = _expanded(sp.Add(*products))
    if total.has(sp.I):
        # A real function written in complex exponentials: what is imaginary cancels.
        total = sp.expand(total, power_base=False, power_exp=False).as_real_imag()[0]
    return total


def _expanded(expr: sp.Expr) -> sp.Expr:
    """Products multiplied out, but nothing inside functions, roots and denominators."""
    kept = {node for node in expr.atoms(sp.Pow) if node.base.is_Add and not (node.exp.is_Integer and node.exp > 0)}
    kept |= expr.atoms(sp.exp, sp.erfc, sp.asin, bivariate_normal)
    names = {node: sp.Dummy() for node in kept}
    return sp.expand(expr.xreplace(names)).xreplace({name: node for node, name in names.items()})


@lru_cache(maxsize=4096)
def _moment(law: _Law, first: int, second: int) -> sp.Expr:
    """E[u^first v^second; all further variables positive]."""
    if not first and not second:
        return _all_positive(law)
    lead = 0 if first else 1
    powers = [first, second]
    powers[lead] -= 1
    parts = [law.mean[lead] * _moment(law, *powers)]
    for other in (0, 1):
        if powers[other]:
            lowered = powers.copy()
            lowered[other] -= 1
            parts.append(law.covariance[lead][other] * powers[other] * _moment(law, *lowered))
    for y in range(2, len(law.mean)):
        if law.covariance[lead][y] != 0:
            parts.append(law.covariance[lead][y] * law.density(y) * _moment(law.given_zero(y), *powers))
    return _expanded(sp.Add(*(part for part in parts if part != 0)))


def _all_positive(law: _Law) -> sp.Expr:
    """The probability that the variables after the first two are positive."""
    levels = [law.mean[y] / sp.sqrt(law.covariance[y][y]) for y in range(2, len(law.mean))]
    if not levels:
        return sp.S.One
    if len(levels) == 1:
        return sp.S.Half if levels[0] == 0 else sp.erfc(-levels[0] / sp.sqrt(2)) / 2
    (first, mixed), (_, second) = (row[2:] for row in law.covariance[2:])
    together = mixed / sp.sqrt(first * second)
    if levels[0] == 0 and levels[1] == 0:
        return sp.Rational(1, 4) + sp.asin(together) / (2 * sp.pi)
    apart = sp.sqrt(_reduced((first * second - mixed**2) / (first * second)))
    return bivariate_normal(*levels, together, apart)


def _product(left: _Term, right: _Term) -> sp.Expr:
    """E[left(u) right(v)] for terms without their coefficients."""
    a, b, rho = left_scale, right_scale, correlation
    p, q = left.quadratic, right.quadratic
    shrink = _reduced(1 - 2 * p * a**2 - 2 * q * b**2 + 4 * p * q * a**2 * b**2 * sine**2)
    uu = _reduced(a**2 * (1 - 2 * q * b**2 * sine**2) / shrink)
    vv = _reduced(b**2 * (1 - 2 * p * a**2 * sine**2) / shrink)
    uv = _reduced(rho * a * b / shrink)
    mean = (_reduced(uu * left.linear + uv * right.linear), _reduced(uv * left.linear + vv * right.linear))
    weight = sp.exp(_reduced((left.linear * mean[0] + right.linear * mean[1]) / 2)) / sp.sqrt(shrink)
    # Coefficients of u, v and the noise in every variable.
    rows = [(sp.S.One, sp.S.Zero), (sp.S.Zero, sp.S.One)]
    offsets, noises = [sp.S.Zero, sp.S.Zero], [sp.S.Zero, sp.S.Zero]
    for step, direction in ((left.step, rows[0]), (right.step, rows[1])):
        if step is not None:
            rows.append((step.slope * direction[0], step.slope * direction[1]))
            offsets.append(step.offset)
            noises.append(step.noise)
    law = _Law(
        tuple(_reduced(x * mean[0] + y * mean[1] + offset) for (x, y), offset in zip(rows, offsets, strict=True)),
        tuple(
            tuple(
                _reduced(x * z * uu + (x * t + y * z) * uv + y * t * vv + (noises[i] if i == j else 0))
                for j, (z, t) in enumerate(rows)
            )
            for i, (x, y) in enumerate(rows)
        ),
    )
    return weight * _moment(law, left.power, right.power)


@lru_cache(maxsize=4096)
def _reduced(expr: Any) -> sp.Expr:
    """A rational function in lowest terms with rho^2 written as 1 - s^2."""
    numerator, denominator = sp.fraction(sp.together(expr))
    relation = correlation**2 + sine**2 - 1
    parts = [sp.rem(sp.expand(part), relation, correlation) for part in (numerator, denominator)]
    return sp.factor_terms(sp.cancel(parts[0] / parts[1]))
