"""Solving the equilibrium system: closed forms, the naive path, and refusals."""

from __future__ import annotations

import math

import mpmath
import pytest
import sympy as sp

from numerics.arithmetic import pointwise
from numerics.equilibrium import decimal_string, float_scale, solve, solve_float
from numerics.moments import FloatMoments
from theory.activations import Activation, registry
from theory.equations import DEQ, EquilibriumError
from theory.kernels import COEFFICIENTS

R = sp.Rational
DEFAULT = (R(1, 5), R(4, 5), R(1))


def test_relu_has_the_closed_form_of_the_theory_sheet() -> None:
    """tau_*^2 = sigma_b^2 tau_0^2/(1 - sigma_a^2 (1/2 - 1/(2 pi))), alpha_1 = (sigma_b^2/4)/(1 - sigma_a^2/4)."""
    a, b, scale = R(3, 10), R(7, 10), R(5, 4)
    solution = solve(DEQ(registry.registered("relu"), a, b, scale), 45)
    with mpmath.workdps(60):
        tau2 = mpmath.mpf("0.7") * mpmath.mpf("1.25") ** 2 / (1 - mpmath.mpf("0.3") * (0.5 - 1 / (2 * mpmath.pi)))
        alpha1 = mpmath.mpf("0.7") / 4 / (1 - mpmath.mpf("0.3") / 4)
        d2 = 1 / mpmath.sqrt(2 * mpmath.pi * tau2)
        d22 = 1 - 1 / mpmath.pi
        alpha4 = mpmath.mpf("0.7") / (1 - mpmath.mpf("0.3") * d22 / 2)
        expected = {
            "tau": mpmath.sqrt(tau2),
            "bias": mpmath.sqrt(tau2 / (2 * mpmath.pi)),
            "gamma2": tau2 * (0.5 - 1 / (2 * mpmath.pi)),
            "alpha1": alpha1,
            "alpha4": alpha4,
            "alpha2": d2**2 * alpha4**2 / 4 / (1 - mpmath.mpf("0.3") / 4),
            "alpha3": d2**2 * (mpmath.mpf("0.3") * alpha1 + mpmath.mpf("0.7")) ** 2 / 2 / (1 - mpmath.mpf("0.3") / 4),
        }
        for key, value in expected.items():
            assert abs(solution.values[key] / value - 1) < mpmath.mpf(10) ** -45, key


def test_tanh_gives_the_published_digits() -> None:
    """The values that the first issue of the project states for tanh at (0.2, 0.8, 1)."""
    solution = solve(DEQ(registry.registered("tanh"), *DEFAULT), 27)
    assert solution.decimal("tau") == "0.934871610924772745783223576"
    assert solution.decimal("alpha1") == "0.344987632659798712080705117"
    assert solution.decimal("gamma2") == "0.369924644565398361620852515"  # ...514569: rounded up
    assert [solution.decimal(key) for key in ("bias", "alpha2", "alpha3")] == ["0.0"] * 3


def test_tanh_against_findroot_and_plain_quadrature() -> None:
    """The whole system written out anew with mpmath.quad and mpmath.findroot, sharing no code."""
    solution = solve(DEQ(registry.registered("swish").with_parameters(), *DEFAULT), 20)
    with mpmath.workdps(30):
        points = [-14, -7, -3, 0, 3, 7, 14]

        def phi(x: mpmath.mpf) -> mpmath.mpf:
            return x / (1 + mpmath.exp(-x))

        def mean(f, tau):
            return mpmath.quad(lambda z: f(tau * z) * mpmath.npdf(z), points)

        def gap(tau):
            return tau**2 - (mean(lambda x: phi(x) ** 2, tau) - mean(phi, tau) ** 2) / 5 - mpmath.mpf(4) / 5

        tau = mpmath.findroot(gap, 0.92)
        slope = mean(lambda x: mpmath.diff(phi, x), tau)
        alpha1 = slope**2 * mpmath.mpf("0.8") / (1 - slope**2 / 5)
        energy = mean(lambda x: mpmath.diff(phi, x) ** 2, tau)
        gamma2 = (tau**2 - mpmath.mpf("0.8")) * 5
        assert abs(solution.values["tau"] - tau) < mpmath.mpf(10) ** -19
        assert abs(solution.values["alpha1"] - alpha1) < mpmath.mpf(10) ** -15
        assert abs(solution.values["kappa2"] - gamma2 / (1 - energy / 5)) < mpmath.mpf(10) ** -13


@pytest.mark.parametrize("name", ["relu", "gelu", "elu", "softsign", "hard_shrink", "snake", "exp_bump", "softplus"])
def test_float_and_high_precision_agree(name: str) -> None:
    activation = registry.registered(name).with_parameters()
    exact = solve(DEQ(activation, *DEFAULT), 20)
    rough = solve_float(DEQ(activation, 0.2, 0.8, 1.0))
    assert rough.values.keys() == exact.values.keys()
    for key, value in rough.values.items():
        assert value == pytest.approx(float(exact.values[key]), rel=2e-12, abs=1e-14), key


def test_a_tiny_input_scale_sees_a_line() -> None:
    """For tau_0 -> 0 tanh is linear: gamma^2 -> tau^2."""
    solution = solve(DEQ(registry.registered("tanh"), R(1, 5), R(4, 5), R("1/1000000")), 12)
    assert abs(solution.values["gamma2"] / solution.values["tau"] ** 2 - 1) < mpmath.mpf(10) ** -11
    assert solution.residual < mpmath.mpf(10) ** -12


def test_a_large_input_scale_sees_a_sign() -> None:
    """gamma^2 = 1 - E sech^2(tau xi), the density of xi expanded at 0: sech^2 has the even moments below."""
    solution = solve(DEQ(registry.registered("tanh"), R(1, 5), R(4, 5), R(5)), 12)
    tau, pi = solution.values["tau"], mpmath.pi
    moments = [2, pi**2 / 6, 7 * pi**4 / 120, 31 * pi**6 / 672]
    terms = [m * (-1 / (2 * tau**2)) ** k / math.factorial(k) for k, m in enumerate(moments)]
    # The series is asymptotic: its error is below the next term, int u^8 sech^2 u du / (384 tau^8) in all.
    assert abs(solution.values["gamma2"] - 1 + mpmath.fsum(terms) / (tau * mpmath.sqrt(2 * pi))) < 4e-6
    assert solution.residual < mpmath.mpf(10) ** -12


def test_without_recurrence_the_input_passes_once() -> None:
    """sigma_a -> 0: one hidden layer, tau_*^2 = sigma_b^2 tau_0^2 and alpha_1 = d1^2 sigma_b^2."""
    solution = solve(DEQ(registry.registered("erf"), R(0), R(9, 10), R(2)), 30)
    with mpmath.workdps(40):
        tau2 = mpmath.mpf("0.9") * 4
        slope = 2 / mpmath.sqrt(mpmath.pi * (1 + 2 * tau2))
        assert abs(solution.values["tau"] ** 2 - tau2) < mpmath.mpf(10) ** -29
        assert abs(solution.values["alpha1"] - slope**2 * mpmath.mpf("0.9")) < mpmath.mpf(10) ** -29


def test_a_jump_leaves_the_ck_and_takes_the_ntk() -> None:
    solution = solve(DEQ(registry.registered("sign"), *DEFAULT), 15)
    assert solution.decimal("alpha1") is not None
    assert solution.decimal("kappa2") is None
    assert "infinite" in solution.ntk_missing


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ((R(-1, 5), R(4, 5), R(1)), "sigma_a2 must be a number >= 0"),
        ((R(1, 5), R(0), R(1)), "sigma_b2 must be a number > 0"),
        ((R(1, 5), R(4, 5), R(0)), "tau0 must be a number > 0"),
        ((R(5), R(4, 5), R(1)), "no stable equilibrium"),
    ],
)
def test_bad_parameters_are_refused(weights: tuple[sp.Rational, ...], message: str) -> None:
    with pytest.raises(EquilibriumError, match=message):
        solve(DEQ(registry.registered("relu"), *weights), 15)
    with pytest.raises(EquilibriumError, match=message):
        solve_float(DEQ(registry.registered("relu"), *map(float, weights)))


def test_digits_below_one_are_refused() -> None:
    with pytest.raises(EquilibriumError, match="digits must be at least 1"):
        solve(DEQ(registry.registered("relu"), *DEFAULT), 0)


def test_the_callers_precision_is_left_alone() -> None:
    with mpmath.workdps(17):
        before = mpmath.mp.prec
        solve(DEQ(registry.registered("gelu"), *DEFAULT), 40)
        assert mpmath.mp.prec == before


def test_decimal_strings_keep_their_digits() -> None:
    with mpmath.workdps(60):
        third = mpmath.mpf(1) / 3
    assert decimal_string(third, 30) == "0.333333333333333333333333333333"
    assert decimal_string(mpmath.mpf(1) / 2, 4) == "0.5000"


def test_every_key_is_reported_where_all_kernels_exist() -> None:
    assert tuple(solve(DEQ(registry.registered("relu"), *DEFAULT), 15).values) == COEFFICIENTS


@pytest.mark.parametrize("power", [6, 9, 12])
def test_two_roots_about_to_meet_are_not_stepped_over(power: int) -> None:
    """phi = x + x^2/2: Var phi(tau xi) = v + v^2/2, so the roots of v = a (v + v^2/2) + b meet at (1 - a)^2 = 2 a b."""
    a = R(1, 5)
    fold = (1 - a) ** 2 / (2 * a)
    b = fold * (1 - R(1, 10**power))
    expected = float(((1 - a) - sp.sqrt((1 - a) ** 2 - 2 * a * b)) / a)
    phi = pointwise(Activation.from_text("x + x**2/2"))
    for start in (R(1, 2), R(1)):
        found = float_scale(FloatMoments(phi), float(a), float(b / start**2), float(start), math.inf)
        # An error e of the equation moves a root by sqrt(e) there.
        assert found**2 == pytest.approx(expected, rel=3e-8 if power == 12 else 1e-9)
    with pytest.raises(EquilibriumError, match="was found"):
        float_scale(FloatMoments(phi), float(a), float(fold * (1 + R(1, 10**power))), 1.0, math.inf)


def test_an_ntk_whose_margin_is_exactly_one_does_not_exist() -> None:
    """ReLU: E[phi'^2] = 1/2, so that sigma_a^2 = 2 makes kappa_*^2 = gamma_*^2/0."""
    relu, parameters = registry.registered("relu"), (R(2), R(4, 5), R(1))
    solution = solve(DEQ(relu, *parameters), 15)
    assert solution.decimal("alpha1") == "0.400000000000000"
    assert solution.decimal("kappa2") is None
    assert "is not below 1" in solution.ntk_missing
    assert "kappa2" not in solve_float(DEQ(relu, *map(float, parameters))).values


def test_where_two_roots_meet_there_is_no_stable_equilibrium() -> None:
    """phi = max(x, 0)^2: Var = 5 v^2/4, and v = v^2/16 + 4 has the double root 8."""
    with pytest.raises(EquilibriumError, match="no stable equilibrium: at tau_"):
        solve(DEQ(registry.registered("squared_relu"), R(1, 20), R(1), R(2)), 15)


@pytest.mark.parametrize("digits", range(5, 40))
def test_a_margin_of_exactly_one_is_no_tangent_kernel_at_any_precision(digits: int) -> None:
    """Max(x, 0) + x: E[phi'^2] = 5/2, which rounds to either side."""
    found = solve(
        DEQ(Activation.from_text("Max(x, 0) + x"), sp.Rational(2, 5), sp.Rational(3, 5), sp.Rational(1, 2)), digits
    )
    assert found.ntk_missing == "sigma_a^2 E[phi'^2] = 1 is not below 1, so the NTKs do not exist"
    assert "theta1" not in found.values
