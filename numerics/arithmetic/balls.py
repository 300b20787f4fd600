"""Arb balls (python-flint): arithmetic for compiled programs, and exact constants.

A ball [mid +/- rad] contains the number it stands for.  The working precision of python-flint is global to the process:
everything here computes at the precision the caller has set with ``flint.ctx.workprec`` and leaves it as it was.
Threads share it: where one sets another precision, the balls of the others become wider or narrower and still contain
their numbers.  Where a width matters, work in processes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

import sympy as sp
from flint import acb, arb, ctx, fmpq

from numerics.arithmetic.programs import UnsupportedExpressionError
from theory.functions import sigmoid, softplus

__all__ = [
    "BallArithmetic",
    "ComplexBallArithmetic",
    "constant_ball",
    "hull",
    "integer_power",
    "real_part",
]

#: Bits beyond the working precision with which an algebraic number is isolated.
_ROOT_BITS = 20


def _sigmoid(value: Any) -> Any:
    if value.real.mid() < 0:
        small = value.exp()
        return small / (1 + small)
    return 1 / (1 + (-value).exp())


def _softplus(value: Any) -> Any:
    if value.mid() > 0:
        return value + (-value).exp().log1p()
    return value.exp().log1p()


def _asin(value: arb) -> arb:
    """Of a number that is known to lie in [-1, 1], though its ball may reach beyond."""
    if abs(value) < 1:
        return value.asin()
    one = arb(1)
    return hull(value.lower().max(-one).min(one).asin(), value.upper().min(one).max(-one).asin())


def _complex_softplus(value: Any) -> Any:
    # Cut along the imaginary axis from +-i pi outwards, which leaves one connected domain round the real axis.
    real = value.real
    if not (real > 0 or real < 0 or abs(value.imag) < arb.pi()):
        return acb(arb.nan(), arb.nan())
    if real.mid() > 0:
        return value + (-value).exp().log1p()
    return value.exp().log1p()


_ENTIRE: dict[type, Callable[[Any], Any]] = {
    sp.exp: lambda value: value.exp(),
    sp.sin: lambda value: value.sin(),
    sp.cos: lambda value: value.cos(),
    sp.tan: lambda value: value.tan(),
    sp.sinh: lambda value: value.sinh(),
    sp.cosh: lambda value: value.cosh(),
    sp.tanh: lambda value: value.tanh(),
    sp.sech: lambda value: value.sech(),
    sp.erf: lambda value: value.erf(),
    sp.erfc: lambda value: value.erfc(),
    sp.erfi: lambda value: value.erfi(),
    sigmoid: _sigmoid,
}
_CONSTANT_FUNCTIONS: dict[type, Callable[[Any], Any]] = {
    **_ENTIRE,
    softplus: _softplus,
    sp.log: lambda value: value.log(),
    sp.atan: lambda value: value.atan(),
    sp.asin: lambda value: value.asin(),
    sp.acos: lambda value: value.acos(),
    sp.atanh: lambda value: value.atanh(),
    sp.asinh: lambda value: value.asinh(),
    sp.acosh: lambda value: value.acosh(),
    sp.erfinv: lambda value: value.erfinv(),
    sp.erfcinv: lambda value: value.erfcinv(),
    sp.LambertW: lambda value: value.lambertw(),
    sp.Abs: abs,
}
_CONSTANTS: dict[sp.Expr, Callable[[], Any]] = {
    sp.pi: arb.pi,
    sp.E: arb.const_e,
    sp.EulerGamma: arb.const_euler,
    sp.Catalan: arb.const_catalan,
    sp.GoldenRatio: lambda: (1 + arb(5).sqrt()) / 2,
    sp.I: lambda: acb(0, 1),
}


def constant_ball(value: sp.Expr) -> Any:
    """Return a ball that contains an exact number, at the current precision (complex where the number has an I).

    Raises:
        UnsupportedExpressionError: a constant that Arb cannot enclose.
    """
    if value.is_Rational:
        return arb(fmpq(int(value.p), int(value.q)))
    known = _CONSTANTS.get(value)
    if known is not None:
        return known()
    if isinstance(value, sp.Add | sp.Mul):
        parts = [constant_ball(part) for part in value.args]
        total = parts[0]
        for part in parts[1:]:
            total = total + part if value.is_Add else total * part
        return total
    if isinstance(value, sp.Pow):
        base = constant_ball(value.base)
        if value.exp.is_Rational:
            return _power(base, Fraction(int(value.exp.p), int(value.exp.q)))
        return (constant_ball(value.exp) * base.log()).exp()
    if isinstance(value, sp.ComplexRootOf):
        return _algebraic_ball(value)
    function = _CONSTANT_FUNCTIONS.get(type(value))
    if function is None or len(value.args) != 1:
        raise UnsupportedExpressionError(f"no ball arithmetic for the constant {value}")
    return function(constant_ball(value.args[0]))


def _algebraic_ball(root: Any) -> arb:
    """A ball round a real algebraic number: an interval on which its polynomial changes sign, from exact isolation."""
    if not root.is_real:
        raise UnsupportedExpressionError(f"no ball arithmetic for the constant {root}")
    bits = ctx.prec + _ROOT_BITS
    approximation = root.eval_rational(n=bits * 31 // 100 + 10)
    poly = root.poly
    reach = abs(approximation) * sp.Rational(1, 2**bits) + sp.Rational(1, 2 ** (2 * bits))
    low, high = approximation - reach, approximation + reach
    interval = root._get_interval()
    # SymPy's isolating interval holds this root and no other, so a change of sign inside it is this root.
    if not (interval.a <= low and high <= interval.b):
        low, high = max(low, interval.a), min(high, interval.b)
    if low > high or poly.eval(low) * poly.eval(high) > 0:
        raise UnsupportedExpressionError(f"the algebraic number {root} was not enclosed")
    return hull(constant_ball(sp.Rational(low)), constant_ball(sp.Rational(high)))


def integer_power(base: Any, exponent: int) -> Any:
    """Return base**exponent by multiplication: Arb's own power is not finite on balls that hold 0."""
    if exponent < 0:
        return 1 / integer_power(base, -exponent)
    result: Any = 1
    while exponent:
        if exponent & 1:
            result = base * result
        exponent >>= 1
        if exponent:
            base = base * base
    return result


def _is_wide(ball: arb) -> bool:
    """Whether a ball's ends differ notably."""
    return bool(1024 * ball.rad() > abs(ball.mid()))


def _power(base: Any, exponent: Fraction) -> Any:
    """base**exponent, the principal value."""
    if exponent.denominator == 1:
        return integer_power(base, exponent.numerator)
    if isinstance(base, arb) and not base >= 0:
        if base < 0:
            base = acb(base)
        elif not base.upper() > 0:
            return arb.nan()
    if exponent.denominator == 2:
        if isinstance(base, arb):
            # The base is known not to be negative (theory checks the domain), only its ball may reach below 0.
            base = base.nonnegative_part()
        return integer_power(base.sqrt(), exponent.numerator)
    if isinstance(base, arb):
        base = base.nonnegative_part()
        if exponent > 0 and not base > 0:
            # Monotone: the root of the upper end bounds it.
            top = base.upper() ** arb(fmpq(exponent.numerator, exponent.denominator))
            return hull(arb(0), top)
        return base ** arb(fmpq(exponent.numerator, exponent.denominator))
    return base.pow(acb(arb(fmpq(exponent.numerator, exponent.denominator))))


class BallArithmetic:
    """Arb balls for ``compile_program``, at the precision that is set when the program is compiled and when it runs.

    The expressions must be real: a ball that reaches out of the domain of a root or of asin is cut at its border.
    """

    functions: Mapping[type, Callable[[Any], Any]] = {
        **_ENTIRE,
        softplus: _softplus,
        sp.log: lambda value: value.log(),
        sp.atan: lambda value: value.atan(),
        sp.asinh: lambda value: value.asinh(),
        sp.asin: lambda value: _asin(value) if isinstance(value, arb) else value.asin(),
    }

    def constant(self, value: sp.Expr) -> Any:
        """Return a ball that contains the number."""
        return constant_ball(value)

    def power(self, base: Any, exponent: Fraction) -> Any:
        """Return base**exponent; a base that is not proved positive is cut at 0 for roots."""
        if exponent.denominator == 1 and exponent > 0 and exponent.numerator % 2 == 0 and _is_wide(base):
            # Multiplication would not know that both factors are the same number, and go below 0.
            low, high = (integer_power(end, exponent.numerator) for end in (base.abs_lower(), base.abs_upper()))
            return hull(low, high)
        return _power(base, exponent)

    def general_power(self, base: Any, exponent: Any) -> Any:
        """Return base**exponent for base > 0."""
        return (exponent * base.log()).exp()


class ComplexBallArithmetic:
    """Complex balls; where ``analytic`` is set, a ball that touches a branch cut gives a non-finite value.

    A finite value then proves that the expression is analytic on the ball and continues its values on the real axis.

    Args:
        analytic: whether branch cuts are refused.
    """

    def __init__(self, *, analytic: bool) -> None:
        self._analytic = analytic

        def inverse(name: str) -> Callable[[Any], Any]:
            def function(value: Any) -> Any:
                if analytic:
                    # atan and asinh are cut along the imaginary axis beyond i, asin along the real axis beyond 1.
                    across, along = (value.imag, value.real) if name == "asin" else (value.real, value.imag)
                    if across.contains(0) and not abs(along) < 1:
                        return acb(arb.nan(), arb.nan())
                return getattr(value, name)()

            return function

        self.functions: Mapping[type, Callable[[Any], Any]] = {
            **_ENTIRE,
            softplus: _complex_softplus if analytic else _complex_softplus_on_axis,
            sp.log: lambda value: value.log(analytic=analytic),
            sp.atan: inverse("atan"),
            sp.asinh: inverse("asinh"),
            sp.asin: inverse("asin"),
        }

    def constant(self, value: sp.Expr) -> Any:
        """Return a complex ball that contains the number."""
        return acb(constant_ball(value))

    def power(self, base: Any, exponent: Fraction) -> Any:
        """Return base**exponent."""
        if exponent.denominator == 1:
            return integer_power(base, exponent.numerator)
        if exponent.denominator == 2:
            return integer_power(base.sqrt(analytic=self._analytic), exponent.numerator)
        if not self._analytic and exponent > 0 and base.contains(0):
            bound = base.abs_upper() ** arb(fmpq(exponent.numerator, exponent.denominator))
            return acb(arb(0, bound), arb(0, bound))
        return base.pow(acb(arb(fmpq(exponent.numerator, exponent.denominator))), analytic=self._analytic)

    def general_power(self, base: Any, exponent: Any) -> Any:
        """Return base**exponent."""
        return (exponent * base.log(analytic=self._analytic)).exp()


def _complex_softplus_on_axis(value: Any) -> Any:
    return acb(_softplus(value.real)) if value.imag.is_zero() else _complex_softplus(value)


def real_part(value: Any) -> arb:
    """Return the real part of a ball, real or complex, that stands for a real number; nan where it cannot be one."""
    if not isinstance(value, acb):
        real: arb = value
        return real
    return value.real if value.imag.contains(0) else arb.nan()


def hull(first: arb, second: arb) -> arb:
    """Return a ball that contains both balls (and what lies between)."""
    low, high = first.lower().min(second.lower()), first.upper().max(second.upper())
    middle = ((low + high) / 2).mid()
    return arb(middle, (high - middle).abs_upper().max((middle - low).abs_upper()).upper())
