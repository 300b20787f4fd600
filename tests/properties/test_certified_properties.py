"""Certified solutions for random parameters: the balls hold plain values, and obey exact laws of scaling."""

from __future__ import annotations

from fractions import Fraction

import flint
import sympy as sp
from flint import arb
from hypothesis import assume, given
from hypothesis import strategies as st

from numerics.arithmetic import constant_ball, contains_decimal, exact_bounds, rounded_decimal
from numerics.equilibrium import certify, solve
from tests.numerics.equilibrium.test_certified import off_by
from tests.tiers import examples
from theory.activations import Activation, registered
from theory.equations import DEQ, EquilibriumError

R = sp.Rational
#: Quick on both paths.
NAMES = st.sampled_from(["relu", "elu", "gelu", "erf", "hard_tanh", "sin", "tanh", "swish", "softsign", "atan"])
RATIONALS = st.fractions(min_value="1/50", max_value="3/4", max_denominator=60)
SCALES = st.fractions(min_value="1/20", max_value=4, max_denominator=30)


def exact(value: object) -> sp.Rational:
    return R(str(value))


@given(NAMES, RATIONALS, RATIONALS, SCALES, st.integers(4, 12))
@examples(8)
def test_balls_contain_plain_values(name: str, a: object, b: object, scale: object, digits: int) -> None:
    phi = registered(name).with_parameters()
    parameters = (exact(a), exact(b), exact(scale))
    try:
        plain = solve(DEQ(phi, *parameters), 2 * digits)
    except EquilibriumError:
        assume(False)
    found = certify(DEQ(phi, *parameters), digits)
    for key, ball in found.balls.items():
        text = plain.decimal(key)
        assert text is not None
        with flint.ctx.workprec(200):
            assert ball.overlaps(arb(text) * arb(1, arb(10) ** -(2 * digits - 2)) + arb(0, arb(10) ** -(2 * digits)))
        shown = found.decimal(key)
        assert shown is not None
        assert found.contains(key, shown)
        if not ball.contains(0):
            for units in (-1, 1):
                assert not found.contains(key, off_by(shown, units)), key
    if "tau" in found.balls:
        assert found.followed


@given(st.sampled_from(["tanh", "gelu", "swish", "elu"]), RATIONALS, SCALES)
@examples(6)
def test_stretching_the_argument_moves_the_variances(name: str, a: object, factor: object) -> None:
    """phi(c x) with variances s has the pre-activations of phi with c^2 s, divided by c."""
    stretch, weight = exact(factor), exact(a) / 5
    base = registered(name).with_parameters()
    x = sp.Symbol("x", real=True)
    stretched = Activation("stretched", base.expr.subs(x, stretch * x))
    first = certify(DEQ(stretched, weight / stretch**2, R(1, 2) / stretch**2, R(1)), 18)
    second = certify(DEQ(base, weight, R(1, 2), R(1)), 18)
    with flint.ctx.workprec(120):
        assert (first["tau"] * constant_ball(stretch)).overlaps(second["tau"])
        # The kernel G is the same function of the data, and so is its NTK.
        for key in ("gamma2", "bias", "alpha1", "alpha2", "alpha3", "beta1", "kappa2"):
            assert first[key].overlaps(second[key]), key


@given(st.fractions(min_value=-1000, max_value=1000, max_denominator=10**9), st.integers(1, 30))
def test_decimals_round_to_nearest(value: Fraction, digits: int) -> None:
    number = exact(value)
    with flint.ctx.workprec(200):
        ball = constant_ball(number)
    text, _ = rounded_decimal(ball, digits)
    assert contains_decimal(ball, text)
    low, high = exact_bounds(ball)
    assert low <= value <= high
