"""Explicit networks: three arithmetics against each other and against moments that no closed form went into."""

from __future__ import annotations

import mpmath
import pytest
import sympy as sp
from flint import arb

from numerics.arithmetic import exact_bounds
from numerics.matching import ExplicitLayer, ExplicitNetwork
from numerics.moments import HighPrecisionMoments
from theory.matching import hermite_family, named_family

TAU0 = sp.Rational(6, 5)
NETWORK = ExplicitNetwork(
    (
        ExplicitLayer(named_family("rational"), {"a": arb(5) / 4, "b": arb(1) / 4, "c": arb(-1) / 2, "w": arb(7) / 4}),
        ExplicitLayer(hermite_family((1, 2, 3)), {"c1": arb(1) / 2, "c2": arb(-1) / 4, "c3": arb(1) / 8}),
        ExplicitLayer(named_family("leaky_relu"), {"a": arb(3) / 2, "b": arb(1) / 8}),
        ExplicitLayer(named_family("erf"), {"a": arb(2), "w": arb(1) / 2}),
        ExplicitLayer(
            named_family("tail"),
            {"a": arb(1), "b": arb(1) / 4, "c": arb(-1) / 8, "d": arb(1) / 16, "v": arb(1) / 2, "g": arb(1) / 32},
        ),
    ),
    TAU0,
)


def by_quadrature(digits: int) -> list[dict[str, mpmath.mpf]]:
    """The recursion written out, on moments of each activation as a function of x."""
    mp = mpmath.mp
    state = {"a1": mp.mpf(1), "a2": mp.mpf(0), "a3": mp.mpf(0), "a4": mp.mpf(1), "tau2": (mp.mpf(6) / 5) ** 2}
    state |= {"b1": mp.mpf(1), "b2": mp.mpf(0), "b3": mp.mpf(0), "kappa2": state["tau2"]}
    found = []
    for activation in NETWORK.activations(digits + 10):
        m = HighPrecisionMoments(activation).at(mp.sqrt(state["tau2"]), digits)
        before = state
        state = {
            "a1": m.d1**2 * before["a1"],
            "a2": m.d1**2 * before["a2"] + m.d2**2 * before["a4"] ** 2 / 4,
            "a3": m.d1**2 * before["a3"] + m.d2**2 * before["a1"] ** 2 / 2,
            "a4": m.d22 / 2 * before["a4"],
            "tau2": m.variance,
        }
        state["b1"] = state["a1"] + m.d1**2 * before["b1"]
        state["b2"] = state["a2"] + m.d1**2 * before["b2"]
        state["b3"] = state["a3"] + m.d1**2 * before["b3"] + before["b1"] * m.d2**2 * before["a1"]
        state["kappa2"] = m.variance + before["kappa2"] * m.slope_energy
        found.append({"bias": m.mean, **state})
    return found


def test_balls_digits_and_floats_agree_with_quadrature() -> None:
    with mpmath.mp.workdps(40):
        wanted = by_quadrature(18)
        balls, digits, floats = NETWORK.ball_reports(30), NETWORK.mp_reports(30), NETWORK.float_reports()
        for i, layer in enumerate(wanted):
            for name, value in layer.items():
                ball = balls[i].bias if name == "bias" else balls[i].coefficients[name]
                low, high = (mpmath.mpf(end.numerator) / end.denominator for end in exact_bounds(arb(ball)))
                number = digits[i].bias if name == "bias" else digits[i].coefficients[name]
                rough = floats[i].bias if name == "bias" else floats[i].coefficients[name]
                size = 1 + abs(value)
                assert high - low < 1e-25 * size, (i, name)
                assert low - 1e-16 * size <= value <= high + 1e-16 * size, (i, name)
                assert abs(mpmath.mpf(number) - value) < 1e-16 * size, (i, name)
                assert abs(rough - value) < 1e-12 * size, (i, name)


def test_a_ball_of_parameters_gives_a_ball_of_kernels() -> None:
    def network(slope: arb) -> ExplicitNetwork:
        return ExplicitNetwork((ExplicitLayer(named_family("hard_tanh"), {"a": slope, "c": arb(1)}),), TAU0)

    wide = network(arb(1, "0.01")).kernel_balls("ntk-all", 20)
    for slope in ("0.991", "1.009"):
        for inside, outside in zip(network(arb(slope)).kernel_balls("ntk-all", 20), wide, strict=True):
            assert outside.contains(inside)
    assert not wide.linear.contains(network(arb("1.02")).kernel_balls("ntk-all", 20).linear)


def test_bad_networks() -> None:
    with pytest.raises(ValueError, match="at least one layer"):
        ExplicitNetwork((), TAU0)
    with pytest.raises(ValueError, match="has the parameters a, c, not a"):
        ExplicitLayer(named_family("hard_tanh"), {"a": arb(1)})
