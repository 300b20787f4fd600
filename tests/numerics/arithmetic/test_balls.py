"""Arb balls: exact constants, correctly rounded digits, and refusals."""

from __future__ import annotations

from fractions import Fraction

import flint
import mpmath
import pytest
import sympy as sp
from flint import acb, arb

from numerics.arithmetic import (
    BallArithmetic,
    ComplexBallArithmetic,
    UnsupportedExpressionError,
    ball_from_text,
    ball_to_text,
    compile_program,
    constant_ball,
    contains_decimal,
    exact_bounds,
    hull,
    integer_power,
    proved_decimal,
    radius_text,
    rounded_decimal,
)
from theory.functions import sigmoid, softplus
from theory.symbols import x

R = sp.Rational
POLYNOMIAL = sp.Poly(x**5 - 3 * x - 1, x)

CONSTANTS = [
    R(1, 3),
    sp.sqrt(2) + sp.pi**2,
    sp.log(3) / 7,
    sp.exp(-R(7, 3)),
    sp.erf(R(2, 3)),
    sp.erfinv(R(1, 3)),
    sp.atan(2) - sp.asin(R(1, 3)),
    sp.tanh(sp.sqrt(3)),
    R(2, 3) ** R(4, 7),
    sp.cos(1) * sp.sin(3),
    sp.acosh(3),
    *sp.real_roots(POLYNOMIAL),
]


@pytest.mark.parametrize("constant", CONSTANTS, ids=str)
def test_constants_are_enclosed_tightly(constant: sp.Expr) -> None:
    with flint.ctx.workprec(250):
        ball = constant_ball(constant)
    low, high = exact_bounds(ball)
    with mpmath.workdps(100):
        value = (
            mpmath.mpf(constant.evalf(100)._mpf_) if not constant.is_Rational else mpmath.mpf(constant.p) / constant.q
        )
        bounds = [mpmath.mpf(end.numerator) / end.denominator for end in (low, high)]
        slack = abs(value) * mpmath.mpf(10) ** -98
        assert bounds[0] - slack <= value <= bounds[1] + slack
        assert bounds[1] - bounds[0] <= abs(value) * mpmath.mpf(10) ** -70


def test_algebraic_numbers_are_told_apart() -> None:
    roots = sp.real_roots(POLYNOMIAL)
    with flint.ctx.workprec(120):
        balls = [constant_ball(root) for root in roots]
        for ball in balls:
            assert (ball**5 - 3 * ball - 1).contains(0)
            assert float(ball.rel_accuracy_bits()) > 115
    assert len(balls) == 3
    assert balls[0] < balls[1] < balls[2]


def test_unknown_constants_are_refused() -> None:
    with pytest.raises(UnsupportedExpressionError, match="zeta"):
        constant_ball(sp.zeta(3))


@pytest.mark.parametrize(
    "function", [sp.exp, sp.tanh, sp.erf, sp.atan, sp.asinh, sigmoid, softplus, sp.sech, sp.sin], ids=str
)
@pytest.mark.parametrize("point", [R(-25), R(-3, 7), R(0), R(2), R(40)], ids=str)
def test_programs_agree_with_mpmath_on_both_sides_of_the_axis(function: type, point: sp.Expr) -> None:
    expr = function(x) * x + 1
    with flint.ctx.workprec(200):
        real = compile_program([expr], [x], BallArithmetic())(constant_ball(point))[0]
        (value,) = compile_program([expr], [x], ComplexBallArithmetic(analytic=True))(acb(constant_ball(point)))
        assert real.overlaps(value.real)
        assert value.imag.contains(0)
        assert real.rad() < (1 + abs(real)) * arb(10) ** -50
    with mpmath.workdps(60):
        expected = {sigmoid: lambda t: 1 / (1 + mpmath.exp(-t)), softplus: lambda t: mpmath.log1p(mpmath.exp(t))}
        at = mpmath.mpf(int(point.p)) / int(point.q)
        reference = expected.get(function, getattr(mpmath, function.__name__, None))(at) * at + 1
        low, high = (mpmath.mpf(end.numerator) / end.denominator for end in exact_bounds(real))
        slack = (1 + abs(reference)) * mpmath.mpf(10) ** -45
        assert low - slack <= reference <= high + slack


@pytest.mark.parametrize(
    ("expr", "box"),
    [
        (sp.log(1 + x**2), acb(arb(0, 0.1), arb(1, 0.1))),
        (sp.sqrt(1 + x**2), acb(arb(0, 0.1), arb(1.5, 0.1))),
        (sp.atan(x), acb(arb(0, 0.1), arb(1.5, 0.1))),
        (sp.asinh(x), acb(arb(0, 0.1), arb(1.5, 0.1))),
        (sp.tanh(x), acb(arb(0, 0.1), arb(1.57, 0.1))),
        (softplus(x), acb(arb(0, 0.1), arb(3.2, 0.2))),
        (sigmoid(x), acb(arb(0, 0.1), arb(3.1, 0.2))),
        ((1 + x**2) ** R(1, 3), acb(arb(0, 0.1), arb(1.2, 0.1))),
    ],
    ids=lambda value: str(value)[:20],
)
def test_singular_boxes_are_not_called_analytic(expr: sp.Expr, box: acb) -> None:
    (value,) = compile_program([expr], [x], ComplexBallArithmetic(analytic=True))(box)
    assert not value.is_finite()


def test_powers_of_balls_that_hold_zero_are_finite() -> None:
    for power in range(1, 6):
        value = integer_power(arb(0, 0.5), power)
        assert value.is_finite()
        assert value.contains(0)
    assert integer_power(arb(2), -3) == arb(1) / 8
    assert hull(arb(1), arb(3)).contains(arb(2))


def test_text_keeps_every_bit() -> None:
    with flint.ctx.workprec(400):
        ball = constant_ball(sp.pi * sp.sqrt(2))
    again = ball_from_text(ball_to_text(ball))
    assert again.mid() == ball.mid()
    assert again.contains(ball)
    assert again.rad() <= ball.rad() * arb("1.00001")


@pytest.mark.parametrize("digits", [1, 7, 40])
@pytest.mark.parametrize("value", ["2/3", "-123456789/1000", "1/7000000000000000000000000", "99999999999/100", "5/4"])
def test_decimals_are_correctly_rounded(value: str, digits: int) -> None:
    exact = Fraction(value)
    with flint.ctx.workprec(300):
        text, proved = rounded_decimal(constant_ball(R(value)), digits)
        assert proved
        assert contains_decimal(constant_ball(R(value)), text)
    mantissa, _, exponent = text.partition("e")
    unit = Fraction(10) ** (int(exponent or 0) - len(mantissa.partition(".")[2]))
    assert abs(Fraction(text) - exact) <= unit / 2
    shown = mantissa.lstrip("-").replace(".", "").lstrip("0")
    assert len(shown) == digits or Fraction(text) == int(exact)


def test_a_unit_in_the_last_digit_is_seen() -> None:
    with flint.ctx.workprec(300):
        ball = constant_ball(sp.sqrt(2))
    text, _ = rounded_decimal(ball, 60)
    assert contains_decimal(ball, text)
    for step in (-1, 1):
        wrong = text[:-1] + str((int(text[-1]) + step) % 10)
        assert not contains_decimal(ball, wrong)
    assert not contains_decimal(ball, "-" + text)
    assert not contains_decimal(ball, text + "e1")


def test_wide_balls_do_not_claim_digits() -> None:
    text, proved = rounded_decimal(arb(1.2345, 0.01), 5)
    assert not proved
    assert radius_text(arb(1, 0.01)) in {"1.0e-2", "1.1e-2"}
    assert text.startswith("1.2345")


def test_numbers_with_huge_exponents_keep_their_digits() -> None:
    with flint.ctx.workprec(300):
        tiny = (-(arb(10) ** 16)).exp()
        text, _ = rounded_decimal(tiny, 20)
        assert contains_decimal(tiny, text)
        assert (arb(text) / tiny - 1).abs_upper() < arb(10) ** -19
    mantissa, exponent = text.split("e")
    wrong = mantissa[:-1] + str((int(mantissa[-1]) + 1) % 10) + "e" + exponent
    assert not contains_decimal(tiny, wrong)


@pytest.mark.parametrize(
    ("ball", "digits", "expected"),
    [
        (arb(0), 5, "0"),
        (arb(0, 1e-9), 5, "0.0000"),
        (arb(0, 0.004), 5, "0.00"),
        (arb(1e-4, 2e-4), 5, "0.000"),
        (arb("0.12345", 1e-9), 5, "0.12345"),
        (arb("0.1232", 1e-4), 5, "0.123"),
        (arb("0.12345", 1e-4), 5, "0.12"),
        (arb("-2.5000001", 1e-9), 2, "-2.5"),
    ],
)
def test_only_proved_digits_are_written(ball: arb, digits: int, expected: str) -> None:
    assert proved_decimal(ball, digits) == expected


@pytest.mark.parametrize("ball", [arb(0, 0.06), arb(0.5, 0.6), arb("0.5", 0.2)])
def test_a_ball_without_a_digit_is_refused(ball: arb) -> None:
    with pytest.raises(ValueError, match="not one digit"):
        proved_decimal(ball, 5)


def test_even_powers_of_wide_balls_stay_above_0() -> None:
    for ball in (arb(0, 1), arb("0.15", "0.149"), arb(-2, "1.5"), arb(3, 3)):
        for exponent in (2, 4):
            power = BallArithmetic().power(ball, Fraction(exponent))
            assert power.lower() > -1e-6
            for end in (ball.lower(), ball.mid(), ball.upper()):
                assert power.contains(end**exponent) or power.overlaps(end**exponent)


def test_ends_of_a_ball_with_a_radius_beyond_all_fractions() -> None:
    ball = arb((1, -1), (1, -(10**30)))
    low, high = exact_bounds(ball)
    assert low < Fraction(1, 2) < high
    assert high - low < Fraction(1, 10**1000)
    assert rounded_decimal(ball, 5) == ("0.50000", True)
