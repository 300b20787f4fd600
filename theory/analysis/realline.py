"""Exact questions about smooth expressions on intervals of the real line: signs, zeros, ranges.

Splitting an activation at its kinks needs the zeros of Max's differences and Abs's arguments, and a proof that
denominators do not vanish.  General solvers answer such questions with a hang or an unevaluated set; the
procedures here cover polynomials, products, polynomials in one exponential and monotone functions of any of
these, and otherwise refuse.  Parameters may be symbols: what their assumptions do not decide is refused too.
"""

from __future__ import annotations

from math import prod

import sympy as sp

from theory.analysis.tidying import factored
from theory.functions import sigmoid, softplus
from theory.symbols import x

__all__ = [
    "UndecidedError",
    "compare",
    "enclosure",
    "interior_point",
    "sign_on",
    "zeros",
]


class UndecidedError(ValueError):
    """An exact question that the procedures of this module cannot answer."""


#: Degree up to which zeros of polynomials are isolated.
_MAX_DEGREE = 64
#: Strictly increasing functions with their inverse and open range.
_MONOTONE: dict[type, tuple[sp.Lambda, sp.Expr, sp.Expr]] = {}


def _monotone_table() -> dict[type, tuple[sp.Lambda, sp.Expr, sp.Expr]]:
    if not _MONOTONE:
        y = sp.Dummy("y", real=True)
        oo = sp.oo
        _MONOTONE.update(
            {
                sp.exp: (sp.Lambda(y, sp.log(y)), sp.S.Zero, oo),
                sp.log: (sp.Lambda(y, sp.exp(y)), -oo, oo),
                sp.sinh: (sp.Lambda(y, sp.asinh(y)), -oo, oo),
                sp.asinh: (sp.Lambda(y, sp.sinh(y)), -oo, oo),
                sp.tanh: (sp.Lambda(y, sp.atanh(y)), -sp.S.One, sp.S.One),
                sp.atan: (sp.Lambda(y, sp.tan(y)), -sp.pi / 2, sp.pi / 2),
                sp.erf: (sp.Lambda(y, sp.erfinv(y)), -sp.S.One, sp.S.One),
                sigmoid: (sp.Lambda(y, sp.log(y / (1 - y))), sp.S.Zero, sp.S.One),
                softplus: (sp.Lambda(y, sp.log(sp.exp(y) - 1)), sp.S.Zero, oo),
            }
        )
    return _MONOTONE


def compare(left: sp.Expr, right: sp.Expr) -> int:
    """Return the sign of left - right, exactly.

    Raises:
        UndecidedError: the assumptions on the parameters do not determine it.

    Example:
        >>> compare(sp.sqrt(2), sp.Rational(3, 2))
        -1
    """
    if left == right:
        return 0
    if left in (sp.oo, -sp.oo) or right in (sp.oo, -sp.oo):
        return 1 if left is sp.oo or right is -sp.oo else -1
    difference = left - right
    if difference.is_Rational:
        return int(difference.p > 0) - int(difference.p < 0)
    if not difference.free_symbols:
        return _sign_of_number(difference)
    sign = _sign_by_structure(difference)
    if sign is not None:
        return sign
    if sp.expand(difference) == 0:
        return 0
    raise UndecidedError(f"cannot decide the order of {left} and {right}: give the parameters assumptions or values")


#: Constants that cancel to this many digits are taken to vanish: proofs by minimal polynomials can take for ever.
AGREEING_DIGITS = 150


def _sign_of_number(number: sp.Expr) -> int:
    value = number.evalf(15, maxn=AGREEING_DIGITS)
    if value.is_Rational:
        return int(value.p > 0) - int(value.p < 0)
    if not value.is_Float:
        raise UndecidedError(f"{number} is not a real number")
    # A value whose digits all cancelled is left with the precision of one bit.
    return 0 if value._prec <= 1 else 1 if value > 0 else -1


def _sign_by_structure(expr: sp.Expr) -> int | None:
    """Sign of an expression in parameters from its assumptions, its factors, or the monotonicity of exp."""
    if expr.is_positive:
        return 1
    if expr.is_negative:
        return -1
    if expr.is_zero:
        return 0
    outside = sp.factor_terms(expr)
    if outside.is_Mul:
        signs = [_sign_by_structure(factor) for factor in outside.args]
        return None if any(sign is None for sign in signs) else prod(sign for sign in signs if sign is not None)
    constant, rest = expr.as_coeff_Add()
    factor, core = rest.as_coeff_Mul()
    if isinstance(core, sp.exp) and constant != 0:
        # c + k exp(u) has the sign of k times that of exp(u) - (-c/k), which exp is monotone in.
        level = -constant / factor
        direction = 1 if factor > 0 else -1
        if level <= 0:
            return direction
        sign = _sign_by_structure(core.args[0] - sp.log(level))
        return None if sign is None else direction * sign
    return None


def interior_point(lower: sp.Expr, upper: sp.Expr) -> sp.Expr:
    """Return a simple point of the open interval (lower, upper), rational where the ends are numbers."""
    if lower is -sp.oo and upper is sp.oo:
        return sp.S.Zero
    if lower is -sp.oo:
        return (_floor(upper) if upper.is_number else upper) - 1
    if upper is sp.oo:
        return (_floor(lower) + 2) if lower.is_number else lower + 1
    middle = (lower + upper) / 2
    if middle.is_Rational or not middle.is_number:
        return middle
    width = _floor(1 / (upper - lower)) + 1
    return _floor(4 * width * middle) / (4 * width)


def _floor(number: sp.Expr) -> sp.Expr:
    """An integer at most 1 below a number, from its digits: proving which one is expensive for algebraic numbers."""
    return sp.Integer(number.p // number.q) if number.is_Rational else sp.Integer(sp.floor(number.evalf(30)))


def _sorted_within(points: list[sp.Expr], lower: sp.Expr, upper: sp.Expr) -> tuple[sp.Expr, ...]:
    inside: list[sp.Expr] = []
    for point in points:
        if compare(point, lower) <= 0 or compare(point, upper) >= 0:
            continue
        position = 0
        for other in inside:
            order = compare(point, other)
            if order == 0:
                break
            if order > 0:
                position += 1
        else:
            inside.insert(position, point)
    return tuple(inside)


def _polynomial_roots(poly: sp.Poly) -> list[sp.Expr]:
    degree = poly.degree()
    if degree == 1:
        slope, constant = poly.all_coeffs()
        if slope.is_zero is not False and compare(slope, sp.S.Zero) == 0:
            raise UndecidedError(f"the slope {slope} vanishes")
        return [sp.cancel(-constant / slope)]
    coefficients = poly.all_coeffs()
    if all(c.is_Rational for c in coefficients):
        return list(sp.real_roots(poly, multiple=True)) if degree <= _MAX_DEGREE else _refuse(poly.as_expr())
    if degree == 2:
        a, b, c = coefficients
        discriminant = sp.expand(b**2 - 4 * a * c)
        sign = compare(discriminant, sp.S.Zero)
        if sign < 0:
            return []
        root = sp.sqrt(discriminant)
        return [(-b - root) / (2 * a), (-b + root) / (2 * a)]
    if len(poly.terms()) == 2 and not poly.free_symbols_in_domain and (lowest := poly.monoms()[-1][0]) != degree:
        # a x^n + c x^m: zero (for m > 0), and the real roots of x^(n - m) = -c/a.
        target = -coefficients[degree - lowest] / coefficients[0]
        nonzero = [sp.S.Zero] if lowest else []
        if (degree - lowest) % 2 == 1:
            sign = compare(target, sp.S.Zero)
            return [*nonzero, sign * (sign * target) ** sp.Rational(1, degree - lowest)]
        if compare(target, sp.S.Zero) < 0:
            return nonzero
        root = target ** sp.Rational(1, degree - lowest)
        return [*nonzero, -root, root]
    return _refuse(poly.as_expr())


def _refuse(expr: sp.Expr) -> list[sp.Expr]:
    raise UndecidedError(
        f"cannot locate the real zeros of {expr} exactly (accepted are rational polynomials, polynomials in exp(x) and "
        "monotone functions of these: write other kinks out, as in Piecewise((x, x > 1), (0, True)))"
    )


def _invert_monotone(expr: sp.Expr) -> list[sp.Expr] | None:
    """Zeros of c + k F(g) with F strictly increasing, or None when expr is not of that form."""
    constant, rest = expr.as_independent(x, as_Add=True)
    factor, core = rest.as_independent(x, as_Add=False)
    if isinstance(core, sp.Pow) and core.exp.is_Rational and core.exp.is_positive and not constant.is_zero:
        target = -constant / factor
        numerator, denominator = core.exp.p, core.exp.q
        if denominator == 1 and numerator % 2 == 1:
            return list(zeros(core.base - sp.real_root(target, numerator)))
        sign = compare(target, sp.S.Zero)
        if sign < 0:
            return []
        magnitude = target ** sp.Rational(denominator, numerator)
        solutions = list(zeros(core.base - magnitude))
        return solutions + (list(zeros(core.base + magnitude)) if denominator == 1 else [])
    if isinstance(core, sp.cosh | sp.sech):
        cosine = -constant / factor if isinstance(core, sp.cosh) else -factor / constant
        if compare(cosine, sp.S.One) < 0:
            return []
        angle = sp.acosh(cosine)
        return [*zeros(core.args[0] - angle), *zeros(core.args[0] + angle)]
    if isinstance(core, sp.erfc):
        return _invert_monotone(constant + factor - factor * sp.erf(core.args[0]))
    entry = _monotone_table().get(type(core))
    if entry is None:
        return None
    inverse, low, high = entry
    target = -constant / factor
    if compare(target, low) <= 0 or compare(target, high) >= 0:
        return []
    return list(zeros(core.args[0] - inverse(target)))


def _exponential_polynomial(expr: sp.Expr) -> list[sp.Expr] | None:
    """Zeros of a polynomial in exp(r x), or None when expr is not one."""
    expr = sp.expand(expr.rewrite(sp.exp) if expr.has(sp.sinh, sp.cosh, sp.tanh, sp.sech, sigmoid) else expr)
    rates: list[sp.Expr] = []
    for node in expr.atoms(sp.exp):
        rate = node.args[0].coeff(x, 1)
        if sp.expand(node.args[0] - rate * x).has(x) or not rate.is_Rational:
            return None
        rates.append(rate)
    if not rates:
        return None
    unit = sp.gcd(rates) if len(rates) > 1 else abs(rates[0])
    if unit == 0 or any(abs(rate / unit) > _MAX_DEGREE for rate in rates):
        # Exponentials of constants alone; or a polynomial whose degree takes more memory than there is.
        return None
    u = sp.Dummy("u", positive=True)
    replaced = expr.replace(
        lambda node: isinstance(node, sp.exp),
        lambda node: u ** (node.args[0].coeff(x, 1) / unit) * sp.exp(node.args[0].subs(x, 0)),
    )
    if replaced.has(x):
        return None
    numerator = sp.numer(sp.together(replaced))
    if not numerator.is_polynomial(u):
        return None
    roots = [root for root in _polynomial_roots(sp.Poly(numerator, u)) if compare(root, sp.S.Zero) > 0]
    return [sp.log(root) / unit for root in roots]


def zeros(expr: sp.Expr, lower: sp.Expr = -sp.oo, upper: sp.Expr = sp.oo) -> tuple[sp.Expr, ...]:
    """Return every zero of a smooth expression in the open interval, in increasing order.

    Args:
        expr: smooth expression in ``theory.symbols.x``, not identically zero.
        lower: left end, possibly -oo.
        upper: right end, possibly oo.

    Raises:
        UndecidedError: the zeros cannot be found exactly, or there are infinitely many.

    Example:
        >>> zeros(x**2 - 2)
        (-sqrt(2), sqrt(2))
    """
    return _sorted_within(_zeros_on_line(expr, lower, upper), lower, upper)


def _zeros_on_line(expr: sp.Expr, lower: sp.Expr, upper: sp.Expr) -> list[sp.Expr]:
    if not expr.has(x):
        if expr.is_zero:
            raise UndecidedError("an expression that vanishes identically has no isolated zeros")
        return []
    if expr.is_polynomial(x):
        poly = sp.Poly(expr, x)
        if poly.degree() <= 0:
            return _zeros_on_line(sp.expand(expr), lower, upper)
        return _polynomial_roots(poly)
    if isinstance(expr, sp.Mul):
        return [root for factor in expr.args for root in _zeros_on_line_factor(factor, lower, upper)]
    if isinstance(expr, sp.Pow) and expr.exp.is_Rational:
        return _zeros_on_line_factor(expr, lower, upper)
    if _sign_from_bounds(expr, lower, upper) not in (None, 0):
        return []
    for attempt in (_invert_monotone, _exponential_polynomial):
        roots = attempt(expr)
        if roots is not None:
            return list(roots)
    if isinstance(expr, sp.erf | sp.tanh | sp.sinh | sp.asinh | sp.atan):
        return list(zeros(expr.args[0]))
    outside = sp.factor_terms(expr)
    if isinstance(outside, sp.Mul):
        return _zeros_on_line(outside, lower, upper)
    numerator, denominator = sp.fraction(sp.together(expr))
    if denominator.has(x):
        return _zeros_on_line(sp.expand(numerator), lower, upper)
    product = factored(numerator) if numerator.count_ops() < 60 else numerator
    if isinstance(product, sp.Mul | sp.Pow):
        return _zeros_on_line(product, lower, upper)
    return _refuse(expr)


def _zeros_on_line_factor(factor: sp.Expr, lower: sp.Expr, upper: sp.Expr) -> list[sp.Expr]:
    if not factor.has(x) or isinstance(factor, sp.exp):
        return []
    if isinstance(factor, sp.Pow) and not factor.exp.has(x):
        # A negative power has no zeros; that its base has none either is checked with the domain.
        return _zeros_on_line(factor.base, lower, upper) if factor.exp.is_positive else []
    return _zeros_on_line(factor, lower, upper)


def sign_on(expr: sp.Expr, lower: sp.Expr, upper: sp.Expr) -> int:
    """Return the sign of an expression that has no zero in the open interval (0 when it vanishes identically).

    Args:
        expr: smooth inside the interval, in ``theory.symbols.x``.
        lower: end of the interval, exact, or -oo.
        upper: end of the interval, exact, or oo.

    Raises:
        UndecidedError: the sign at an interior point cannot be decided.
    """
    bound = _sign_from_bounds(expr, lower, upper)
    if bound is not None:
        return bound
    return compare(expr.subs(x, interior_point(lower, upper)), sp.S.Zero)


def _sign_from_bounds(expr: sp.Expr, lower: sp.Expr, upper: sp.Expr) -> int | None:
    """Sign of expr on the whole open interval where assumptions or range arithmetic prove it, else None."""
    if expr.is_zero:
        return 0
    for end, direction in ((lower, 1), (upper, -1)):
        # Assumptions about irrational numbers are expensive, and the enclosure serves there.
        if end in (sp.oo, -sp.oo) or (end.is_number and not end.is_Rational):
            continue
        probe = expr.subs(x, end + direction * sp.Dummy("y", positive=True))
        if probe.is_positive:
            return 1
        if probe.is_negative:
            return -1
        break
    else:
        if expr.is_positive or expr.is_negative:
            return 1 if expr.is_positive else -1
    try:
        low, high = enclosure(expr, lower, upper)
        if compare(low, sp.S.Zero) > 0:
            return 1
        if compare(high, sp.S.Zero) < 0:
            return -1
    except UndecidedError:
        return None
    return None


_LINE = (-sp.oo, sp.oo)


def enclosure(expr: sp.Expr, lower: sp.Expr = -sp.oo, upper: sp.Expr = sp.oo) -> tuple[sp.Expr, sp.Expr]:
    """Return numbers (or infinities) between which the values of expr on [lower, upper] lie.

    Interval arithmetic over exact numbers: valid, not sharp.

    Args:
        expr: in ``theory.symbols.x``.
        lower: end of the interval, exact, or -oo.
        upper: end of the interval, exact, or oo.
    """
    if expr == x:
        return lower, upper
    if not expr.has(x):
        return expr, expr
    if isinstance(expr, sp.Add):
        low, high = sp.S.Zero, sp.S.Zero
        for term in expr.args:
            term_low, term_high = enclosure(term, lower, upper)
            low = -sp.oo if -sp.oo in (low, term_low) else low + term_low
            high = sp.oo if sp.oo in (high, term_high) else high + term_high
        return low, high
    if isinstance(expr, sp.Mul):
        bounds = (sp.S.One, sp.S.One)
        for factor in expr.args:
            bounds = _product(bounds, enclosure(factor, lower, upper))
        return bounds
    if isinstance(expr, sp.Pow) and expr.exp.is_Rational:
        return _power(enclosure(expr.base, lower, upper), expr.exp)
    if isinstance(expr, sp.sin | sp.cos):
        return -sp.S.One, sp.S.One
    if not expr.args:
        return _LINE
    inner = enclosure(expr.args[0], lower, upper)
    if isinstance(expr, sp.cosh | sp.sech):
        return (sp.S.One, sp.oo) if isinstance(expr, sp.cosh) else (sp.S.Zero, sp.S.One)
    if isinstance(expr, sp.erfc):
        low, high = _image(sp.erf, inner)
        return 1 - high, 1 - low
    if isinstance(expr, sp.tan):
        if compare(inner[0], -sp.pi / 2) > 0 and compare(inner[1], sp.pi / 2) < 0:
            return sp.tan(inner[0]), sp.tan(inner[1])
        return _LINE
    if isinstance(expr, sp.log) and compare(inner[0], sp.S.Zero) < 0:
        return _LINE
    if type(expr) in _monotone_table():
        return _image(type(expr), inner)
    return _LINE


def _image(function: type, bounds: tuple[sp.Expr, sp.Expr]) -> tuple[sp.Expr, sp.Expr]:
    _, low, high = _monotone_table()[function]
    left = low if bounds[0] is -sp.oo else function(bounds[0])
    right = high if bounds[1] is sp.oo else function(bounds[1])
    return (-sp.oo if left is sp.zoo else left), right


def _product(left: tuple[sp.Expr, sp.Expr], right: tuple[sp.Expr, sp.Expr]) -> tuple[sp.Expr, sp.Expr]:
    # 0 * oo = 0: a factor bounded by 0 keeps the product of finite values at 0.
    corners = [sp.S.Zero if a.is_zero or b.is_zero else a * b for a in left for b in right]
    low = high = corners[0]
    for corner in corners[1:]:
        low = corner if compare(corner, low) < 0 else low
        high = corner if compare(corner, high) > 0 else high
    return low, high


def _power(bounds: tuple[sp.Expr, sp.Expr], exponent: sp.Rational) -> tuple[sp.Expr, sp.Expr]:
    low, high = bounds
    if exponent < 0:
        positive = _power(bounds, -exponent)
        if compare(positive[0], sp.S.Zero) > 0 or compare(positive[1], sp.S.Zero) < 0:
            return (1 / positive[1], 1 / positive[0])
        if compare(positive[0], sp.S.Zero) == 0:
            return (sp.S.Zero if positive[1] is sp.oo else 1 / positive[1], sp.oo)
        return _LINE
    if exponent.q != 1:
        return (sp.S.Zero if compare(low, sp.S.Zero) < 0 else low**exponent, high**exponent)
    if exponent.p % 2 == 1:
        return low**exponent, high**exponent
    ends = sorted((low**exponent, high**exponent), key=lambda end: end is sp.oo)
    largest = ends[1] if ends[1] is sp.oo or compare(ends[1], ends[0]) >= 0 else ends[0]
    if compare(low, sp.S.Zero) <= 0 <= compare(high, sp.S.Zero):
        return sp.S.Zero, largest
    smallest = ends[0] if largest is ends[1] else ends[1]
    return smallest, largest
