"""Equal forms of an activation that no arithmetic overflows or cancels on.

(exp(2x) - 1)/(exp(2x) + 1) is inf/inf in floating point from x = 355 on, and its interval over a large box is the whole
line; as tanh(x) it is neither.  What is rewritten is found by algebra, not by its spelling:

* a rational function of one exponential e = exp(u).  With S = e/(e + c) = sigmoid(u - log c) and T = c/(e + c) = 1 - S,
  which are sigmoids, a quotient P(e)/(e + c)^n is a polynomial in S and T, and any other P(e)/Q(e) is a quotient of
  homogeneous polynomials in S and T, whose denominator is bounded below;
* the logarithm of a rational function of one exponential, by log(e + c) = log c + softplus(u - log c);
* log(a + sqrt(a^2 + c)) = log(c)/2 + asinh(a/sqrt(c)), and exp(c softplus(w)) = sigmoid(-w)^(-c).

A quotient is rewritten only where its denominators are proved to have no zero, so that the equality holds on the whole
line.  All else is left as it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import gcd, lcm

import sympy as sp

from theory.analysis.realline import UndecidedError, compare
from theory.functions import sigmoid, softplus
from theory.symbols import x

__all__ = ["stable_form"]

#: Quotients of a higher degree in the exponential, and longer expressions, are left as they are.
MAX_DEGREE = 40
MAX_OPERATIONS = 600
_UNEVALUATED = (sp.Max, sp.Min)
_EXPONENTIAL = (sp.exp, sp.sinh, sp.cosh)
_BOUNDED = (sp.tanh, sp.sech, sigmoid)


def stable_form(expr: sp.Expr) -> sp.Expr:
    """Return an expression equal to ``expr`` for every real x that can be evaluated without overflow on the way.

    Args:
        expr: in ``theory.symbols.x`` and parameters, non-smooth functions included.

    Example:
        >>> stable_form(sp.log(1 + sp.exp(x)))
        softplus(x)
    """
    if expr.count_ops() > MAX_OPERATIONS or not (expr.has(*_EXPONENTIAL, sp.log)):
        return expr
    return _stable(expr)


def _stable(expr: sp.Expr) -> sp.Expr:
    if not expr.args or not expr.has(x):
        return expr
    form = _quotient(expr)
    if form is not None:
        return form
    if isinstance(expr, sp.Piecewise):
        return sp.Piecewise(*((_stable(branch), condition) for branch, condition in expr.args), evaluate=False)
    arguments = [_stable(argument) for argument in expr.args]
    changed = any(new != old for new, old in zip(arguments, expr.args, strict=True))
    if changed:
        expr = expr.func(*arguments, evaluate=False) if isinstance(expr, _UNEVALUATED) else expr.func(*arguments)
    if isinstance(expr, sp.log):
        return _logarithm(expr)
    if isinstance(expr, sp.exp):
        return _exponential(expr)
    form = _quotient(expr) if changed else None
    return expr if form is None else form


# --------------------------------------------------------------------------------------------------------------------
# rational functions of one exponential


@dataclass(frozen=True)
class _Fraction:
    """P(e)/Q(e)."""

    numerator: sp.Poly
    denominator: sp.Poly


class _NotRationalError(ValueError):
    """An expression that is no rational function of one exponential, or not proved to be without poles."""


class _Field:
    """The rational functions of e = exp(u), u without constant term; what else depends on x is a coefficient.

    Args:
        expr: the expression whose exponentials decide u.
        kinds: functions that are written as rational functions of exponentials.
        opaque: whether other functions of x may stand in the coefficients of numerators.
    """

    def __init__(self, expr: sp.Expr, kinds: tuple[type, ...], *, opaque: bool) -> None:
        self._kinds, self._opaque = kinds, opaque
        self.e = sp.Dummy("e", positive=True)
        self.symbols: dict[sp.Expr, sp.Dummy] = {}
        cores = [self._split(node)[1] for node in _outermost(expr, kinds)]
        if not cores:
            raise _NotRationalError
        self.has_exponentials = next(_outermost(expr, _EXPONENTIAL), None) is not None
        first = cores[0]
        ratios = [_ratio(core, first) for core in cores]
        unit = sp.Rational(gcd(*(int(r.p) for r in ratios)), lcm(*(int(r.q) for r in ratios)))
        self.u = unit * first
        if self.u.could_extract_minus_sign():
            self.u = -self.u

    @staticmethod
    def _split(node: sp.Expr) -> tuple[sp.Expr, sp.Expr]:
        """The argument of a function as constant and core; those written with exp(2 w) count as exp(w)."""
        constant, core = sp.expand(node.args[0]).as_independent(x, as_Add=True)
        return constant, core

    def fraction(self, expr: sp.Expr) -> _Fraction:
        """Return an expression as P(e)/Q(e), all its denominators proved to have no zero on the line."""
        if isinstance(expr, self._kinds):
            return self._of_function(expr)
        if isinstance(expr, sp.Add | sp.Mul):
            total = self.fraction(expr.args[0])
            for argument in expr.args[1:]:
                other = self.fraction(argument)
                if isinstance(expr, sp.Mul):
                    total = self._checked(total.numerator * other.numerator, total.denominator * other.denominator)
                else:
                    crossed = total.numerator * other.denominator + other.numerator * total.denominator
                    total = self._checked(crossed, total.denominator * other.denominator)
            return total
        if isinstance(expr, sp.Pow) and expr.exp.is_Integer and abs(expr.exp) <= MAX_DEGREE:
            base, power = self.fraction(expr.base), int(expr.exp)
            if power > 0:
                return self._checked(base.numerator**power, base.denominator**power)
            if _sign(base.numerator) is None:
                raise _NotRationalError
            return self._checked(base.denominator**-power, base.numerator**-power)
        if expr.has(x):
            if not self._opaque:
                raise _NotRationalError
            expr = self.symbols.setdefault(expr, sp.Dummy(f"c{len(self.symbols)}", real=True))
        return _Fraction(sp.Poly(expr, self.e), sp.Poly(1, self.e))

    def _checked(self, numerator: sp.Poly, denominator: sp.Poly) -> _Fraction:
        if max(numerator.degree(), denominator.degree()) > MAX_DEGREE:
            raise _NotRationalError
        return _Fraction(numerator, denominator)

    def _of_function(self, node: sp.Expr) -> _Fraction:
        constant, core = self._split(node)
        count = _ratio(core, self.u)
        if not count.is_Integer or abs(count) > MAX_DEGREE:
            raise _NotRationalError
        power, factor = abs(int(count)), sp.exp(constant)
        # F = factor e^count, as a fraction.
        up, down = (factor * self.e**power, sp.S.One) if count > 0 else (factor, self.e**power)
        numerator, denominator = {
            sp.exp: (up, down),
            sp.cosh: (up**2 + down**2, 2 * up * down),
            sp.sinh: (up**2 - down**2, 2 * up * down),
            sp.tanh: (up**2 - down**2, up**2 + down**2),
            sp.sech: (2 * up * down, up**2 + down**2),
            sigmoid: (up, up + down),
        }[type(node)]
        return _Fraction(sp.Poly(numerator, self.e), sp.Poly(denominator, self.e))

    def restored(self, expr: sp.Expr) -> sp.Expr:
        """Put back what was hidden in coefficients, each in its own stable form."""
        return expr.xreplace({symbol: _stable(node) for node, symbol in self.symbols.items()})


def _outermost(expr: sp.Expr, kinds: tuple[type, ...]) -> Iterator[sp.Expr]:
    """Functions of given kinds that depend on x, outside of all functions."""
    if type(expr) in kinds:
        if expr.has(x):
            yield expr
    elif isinstance(expr, sp.Add | sp.Mul) or (isinstance(expr, sp.Pow) and expr.exp.is_Integer):
        for argument in expr.args:
            yield from _outermost(argument, kinds)


def _ratio(core: sp.Expr, unit: sp.Expr) -> sp.Rational:
    """The rational r with core = r unit."""
    parts, units = core.as_coefficients_dict(), unit.as_coefficients_dict()
    if set(parts) != set(units):
        raise _NotRationalError
    ratios = {parts[key] / units[key] for key in parts}
    ratio = ratios.pop()
    if ratios or not ratio.is_Rational or ratio == 0:
        raise _NotRationalError
    return ratio


def _sign(poly: sp.Poly) -> int | None:
    """Sign of a polynomial with no positive root on the positive half line, None where that is not proved."""
    coefficients = poly.coeffs()
    try:
        signs = {compare(coefficient, sp.S.Zero) for coefficient in coefficients if not coefficient.is_zero}
    except UndecidedError:
        return None
    if len(signs) == 1:
        return signs.pop()
    if not signs or not (poly.domain.is_ZZ or poly.domain.is_QQ):
        return None
    _, without_zero = poly.terms_gcd()
    return None if without_zero.count_roots(0, None) else compare(without_zero.LC(), sp.S.Zero)


def _is_quotient(expr: sp.Expr) -> bool:
    """Whether exponentials are divided by, or several factors multiplied, so that oo/oo or 0 oo may stand there."""
    if (
        isinstance(expr, sp.Mul)
        and sum(next(_outermost(part, _EXPONENTIAL), None) is not None for part in expr.args) > 1
    ):
        return True
    if isinstance(expr, sp.Pow) and expr.exp.is_Integer:
        inside = next(_outermost(expr.base, _EXPONENTIAL), None) is not None
        return inside and (bool(expr.exp.is_negative) or _is_quotient(expr.base))
    return isinstance(expr, sp.Add | sp.Mul) and any(_is_quotient(argument) for argument in expr.args)


def _quotient(expr: sp.Expr) -> sp.Expr | None:
    """The stable form of a sum, product or power with exponentials in a denominator, or None where there is none."""
    if not _is_quotient(expr):
        return None
    inside, outside = [expr], []
    if isinstance(expr, sp.Add | sp.Mul):
        inside = [part for part in expr.args if next(_outermost(part, _EXPONENTIAL), None) is not None]
        outside = [part for part in expr.args if part not in inside]
        if isinstance(expr, sp.Add):
            inside += [part for part in outside if not part.has(x)]
            outside = [part for part in outside if part.has(x)]
    core = expr.func(*inside) if len(inside) > 1 else inside[0]
    try:
        field = _Field(core, _EXPONENTIAL, opaque=True)
        fraction = field.fraction(core)
        quotient = field.restored(_written(fraction, field))
    except (_NotRationalError, sp.PolynomialError):
        return None
    return expr.func(quotient, *(_stable(part) for part in outside)) if outside else quotient


def _lowest(poly: sp.Poly) -> tuple[int, sp.Poly]:
    """(k, R) with P = e^k R and R(0) not 0."""
    (power,), rest = poly.terms_gcd()
    return int(power), rest


def _written(fraction: _Fraction, field: _Field) -> sp.Expr:
    """P(e)/Q(e) in sigmoids of u, or in tanh and sech."""
    factor, numerator, denominator = _cancelled(fraction)
    if numerator.is_zero:
        return sp.S.Zero
    below, denominator = _lowest(denominator)
    above, numerator = _lowest(numerator)
    shift, e, u = above - below, field.e, field.u
    if denominator.degree() == 0:
        scale = factor / denominator.LC()
        return sp.Add(*(scale * c * sp.exp((shift + i) * u) for (i,), c in numerator.terms()))
    step = gcd(*(i for (i,) in denominator.monoms()))
    reduced = sp.Poly({(i // step,): c for (i,), c in denominator.terms()}, e)
    offset, count = _binomial(reduced), reduced.degree()
    parts: dict[int, dict[tuple[int], sp.Expr]] = {}
    for (i,), c in numerator.terms():
        parts.setdefault((shift + i) % step, {})[((shift + i) // step,)] = c
    if offset is None or any(2 * residue not in (0, step) for residue in parts):
        quotient = _Homogeneous(u, sp.S.One, denominator.degree(), denominator)
        return factor * quotient.written({i: c for (i,), c in numerator.terms()}, shift)
    total = []
    w = sp.expand(step * u - sp.log(offset))
    for residue, terms in parts.items():
        # sqrt(E)/(E + c) = sech(w/2)/(2 sqrt(c)) takes the odd powers of e.
        odd = int(residue != 0)
        power = _Homogeneous(w, offset, count - odd, None)
        value = power.written({i: c for (i,), c in terms.items()}, 0, step * u)
        total.append(value * sp.sech(w / 2) / (2 * sp.sqrt(offset)) if odd else value)
    return factor / reduced.LC() * sp.Add(*total)


def _cancelled(fraction: _Fraction) -> tuple[sp.Expr, sp.Poly, sp.Poly]:
    """Factor, numerator and denominator without common divisor."""
    factor, numerator, denominator = fraction.numerator.cancel(fraction.denominator)
    return factor, numerator, denominator


def _binomial(poly: sp.Poly) -> sp.Expr | None:
    """c > 0 where a polynomial is a multiple of (E + c)^m, else None."""
    degree, monic = poly.degree(), poly.as_expr() / poly.LC()
    offset = sp.cancel(sp.Poly(monic, poly.gen).coeff_monomial(poly.gen ** (degree - 1)) / degree)
    try:
        if compare(offset, sp.S.Zero) <= 0:
            return None
    except UndecidedError:
        return None
    return offset if sp.expand(monic - (poly.gen + offset) ** degree) == 0 else None


class _Homogeneous:
    """Quotients by Q(E), as polynomials in S = sigmoid(w) and T = sigmoid(-w), where E = c exp(w).

    Args:
        w: argument.
        offset: c.
        degree: of Q.
        denominator: Q, or None for (E + c)^degree.
    """

    def __init__(self, w: sp.Expr, offset: sp.Expr, degree: int, denominator: sp.Poly | None) -> None:
        self._w, self._offset, self._degree = w, offset, degree
        self._denominator = denominator

    def written(self, terms: dict[int, sp.Expr], shift: int, exponent: sp.Expr | None = None) -> sp.Expr:
        """Sum of c_i E^(i + shift), by power i, over Q(E); with ``exponent`` the logarithm of E where it is not w."""
        exponent = self._w if exponent is None else exponent
        low, high = min(terms) + shift, max(terms) + shift - self._degree
        # E^low at -oo and E^high at oo: a power between the two leaves a bounded function.
        if low >= high:
            outside = max(high, min(low, 0))
            bounded = self._bounded({i + shift - outside: c for i, c in terms.items()})
            return sp.exp(outside * exponent) * bounded
        e = sp.Dummy("e", positive=True)
        numerator = sp.Poly({(i + shift - low,): c for i, c in terms.items()}, e)
        divisor = self._divisor(e)
        whole, rest = numerator.div(divisor)
        polynomial = sp.Add(*(c * sp.exp((low + i) * exponent) for (i,), c in whole.terms()))
        if rest.is_zero:
            return polynomial
        return polynomial + self.written({i: c for (i,), c in rest.terms()}, low, exponent)

    def _divisor(self, e: sp.Expr) -> sp.Poly:
        if self._denominator is None:
            return sp.Poly((e + self._offset) ** self._degree, e)
        return sp.Poly(self._denominator.as_expr().xreplace({self._denominator.gen: e}), e)

    def _bounded(self, terms: dict[int, sp.Expr]) -> sp.Expr:
        """The same for powers between 0 and the degree of Q."""
        if self._denominator is None:
            return self._product(terms)
        below = {i: c for (i,), c in self._denominator.terms()}
        return self._sum(terms, self._degree) / self._sum(below, self._degree)

    def _sum(self, terms: dict[int, sp.Expr], degree: int) -> sp.Expr:
        """Sum of c_i E^i over (E + c)^degree."""
        rising, falling = sigmoid(self._w), sigmoid(-self._w)
        return sp.Add(
            *(c * self._offset ** (i - degree) * rising**i * falling ** (degree - i) for i, c in terms.items())
        )

    def _product(self, terms: dict[int, sp.Expr]) -> sp.Expr:
        """Sum of c_i E^i over (E + c)^degree, factor by factor where the numerator is rational."""
        e = sp.Dummy("e", positive=True)
        poly = sp.Poly({(i,): c for i, c in terms.items()}, e)
        rising, rest = _lowest(poly)
        falling = self._degree - rising - rest.degree()
        total = self._offset**-falling
        factors = [(rest, 1)]
        if rest.domain.is_ZZ or rest.domain.is_QQ:
            coefficient, factors = rest.factor_list()
            total *= coefficient
        for factor, multiplicity in factors:
            if factor.degree() == 1:
                value = _blend(factor.nth(0) / self._offset, factor.nth(1), self._w)
            else:
                value = self._sum({i: c for (i,), c in factor.terms()}, factor.degree())
            total *= value**multiplicity
        both = min(rising, falling)
        half = sp.sech(self._w / 2) / 2
        return total * half ** (2 * both) * sigmoid(self._w) ** (rising - both) * sigmoid(-self._w) ** (falling - both)


def _blend(left: sp.Expr, right: sp.Expr, w: sp.Expr) -> sp.Expr:
    """left*sigmoid(-w) + right*sigmoid(w), shorter where that loses no digits."""
    if sp.expand(left + right) == 0:
        return right * sp.tanh(w / 2)
    if left.is_zero or right.is_zero:
        return right * sigmoid(w) + left * sigmoid(-w)
    difference = right - left
    if left.is_number and right.is_number and (left * right).is_positive:
        # Of one sign: the smaller one and what is added to it.
        return left + difference * sigmoid(w) if (difference * right).is_positive else right - difference * sigmoid(-w)
    return left * sigmoid(-w) + right * sigmoid(w)


# --------------------------------------------------------------------------------------------------------------------
# logarithms and powers


def _logarithm(expr: sp.Expr) -> sp.Expr:
    """The stable form of a logarithm."""
    argument = expr.args[0]
    form = _area_sine(argument)
    if form is not None:
        return form
    try:
        field = _Field(argument, (*_EXPONENTIAL, *_BOUNDED), opaque=False)
        form = _log_of_fraction(field.fraction(argument), field)
    except (_NotRationalError, sp.PolynomialError):
        form = _log_of_two(argument)
    return expr if form is None else form


def _area_sine(argument: sp.Expr) -> sp.Expr | None:
    """log(a + sqrt(a^2 + c)), c > 0."""
    for term in sp.Add.make_args(argument):
        factor, root = term.as_independent(x, as_Add=False)
        if not (isinstance(root, sp.Pow) and root.exp == sp.S.Half):
            continue
        rest = argument - term
        constant = sp.expand(factor**2 * root.base - rest**2)
        try:
            if (
                constant.has(x)
                or not rest.has(x)
                or compare(constant, sp.S.Zero) <= 0
                or compare(factor, sp.S.Zero) <= 0
            ):
                continue
        except UndecidedError:
            continue
        return sp.log(constant) / 2 + sp.asinh(sp.expand(rest / sp.sqrt(constant)))
    return None


def _log_of_two(argument: sp.Expr) -> sp.Expr | None:
    """log(a exp(f) + b exp(g)) for any f and g."""
    if not isinstance(argument, sp.Add) or len(argument.args) != 2:
        return None
    logarithms = []
    for term in argument.args:
        factor, power = term.as_independent(x, as_Add=False)
        if power != 1 and not isinstance(power, sp.exp):
            return None
        if factor.is_positive is not True:
            return None
        logarithms.append(sp.log(factor) + (power.args[0] if power != 1 else 0))
    if any(isinstance(part, sp.exp) for part in argument.atoms(sp.exp) if part.args[0].has(sp.exp)):
        return None
    first, second = logarithms
    return second + softplus(sp.expand(first - second))


def _log_of_fraction(fraction: _Fraction, field: _Field) -> sp.Expr | None:
    """log(P(e)/Q(e)) in softplus, None where it is bounded as it stands."""
    factor, numerator, denominator = _cancelled(fraction)
    signs = _sign(numerator), _sign(denominator)
    try:
        if None in signs or compare(factor, sp.S.Zero) * (signs[0] or 0) * (signs[1] or 0) <= 0:
            return None
    except UndecidedError:
        return None
    factor = abs(factor)
    above, numerator = _lowest(numerator * (signs[0] or 1))
    below, denominator = _lowest(denominator * (signs[1] or 1))
    slope, degree, u = above - below, numerator.degree() - denominator.degree(), field.u
    if slope == 0 and degree == 0 and not field.has_exponentials:
        return None
    if numerator.degree() and denominator.degree():
        # E^slope at -oo and E^(slope + degree) at oo; the rest is bounded, and bounded away from 0.
        top, bottom = (_over_power(poly, u) for poly in (numerator, denominator))
        return (slope + degree) * softplus(u) - slope * softplus(-u) + sp.log(factor * top / bottom)
    sign, poly = (1, numerator) if numerator.degree() else (-1, denominator)
    constant = sp.log(factor) + (-sp.log(denominator.LC()) if sign > 0 else sp.log(numerator.LC()))
    return _log_of_polynomial(poly, sign, slope, constant, u)


def _over_power(poly: sp.Poly, u: sp.Expr) -> sp.Expr:
    """P(e)/(e + 1)^n, n the degree of P."""
    quotient = _Homogeneous(u, sp.S.One, poly.degree(), None)
    return quotient.written({i: c for (i,), c in poly.terms()}, 0)


def _log_of_polynomial(poly: sp.Poly, sign: int, slope: int, constant: sp.Expr, u: sp.Expr) -> sp.Expr:
    """sign log P(e) + slope u + constant."""
    content, factors = poly.LC(), [(poly, 1)]
    if poly.domain.is_ZZ or poly.domain.is_QQ:
        content, factors = poly.factor_list()
        if any(_sign(factor) is None for factor, _ in factors):
            content, factors = sp.S.One, [(poly, 1)]
    elif poly.degree() > 0:
        content, factors = sp.S.One, [(poly, 1)]
    total, constant = [], constant + sign * sp.log(content)
    left = sp.Integer(slope)
    for factor, multiplicity in factors:
        step = gcd(*(i for (i,) in factor.monoms()))
        reduced = sp.Poly({(i // step,): c for (i,), c in factor.terms()}, factor.gen)
        offset = _binomial(reduced)
        weight = sp.Integer(sign * multiplicity * reduced.degree())
        if offset is None:
            step, offset, weight = 1, sp.S.One, sp.Integer(sign * multiplicity * factor.degree())
            total.append(sign * multiplicity * sp.log(_over_power(factor, u)))
        else:
            constant += sign * multiplicity * sp.log(reduced.LC())
        w = sp.expand(step * u - sp.log(offset))
        # softplus(w) = w + softplus(-w): as much of it is turned round as takes the linear term away.
        turned = max(sp.S.Zero, min(sp.S.One, -left / (weight * step)))
        left += turned * weight * step
        constant += (1 - turned) * weight * sp.log(offset)
        total.append(weight * ((1 - turned) * softplus(w) + turned * softplus(-w)))
    return sp.Add(constant, left * u, *total)


def _exponential(expr: sp.Expr) -> sp.Expr:
    """exp(s w + c softplus(w) + rest) as exp(rest) times powers of sigmoids."""
    for term in sp.Add.make_args(expr.args[0]):
        power, node = term.as_independent(x, as_Add=False)
        if not isinstance(node, softplus) or not power.is_Rational:
            continue
        w, rest = node.args[0], expr.args[0] - term
        constant, core = sp.expand(rest).as_independent(x, as_Add=True)
        offset, unit = sp.expand(w).as_independent(x, as_Add=True)
        try:
            share = _ratio(core, unit)
            remainder = constant - share * offset
        except _NotRationalError:
            share, remainder = sp.S.Zero, rest
        low, high = min(sp.S.Zero, -power), max(sp.S.Zero, -power)
        # exp(s w) T^(-c) = exp((s - a) w) S^a T^(-c - a) for every a.
        inner = max(low, min(high, share))
        outside = _exponential_of(remainder + sp.expand((share - inner) * w))
        return outside * sigmoid(w) ** inner * sigmoid(-w) ** (-power - inner)
    return expr


def _exponential_of(argument: sp.Expr) -> sp.Expr:
    result = sp.exp(argument)
    return _exponential(result) if isinstance(result, sp.exp) and result.has(x) else result
