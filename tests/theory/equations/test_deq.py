"""The DEQ's system: the theory sheet's equations against independent expansions."""

from __future__ import annotations

import pytest
import sympy as sp

from theory.activations import registry
from theory.equations import deq
from theory.moments import GaussianMoments
from theory.symbols import alpha, d1, d2, d22, dd, gamma2, lambda_, sigma_a2, sigma_b2, tau, tau_0, variance


def test_solved_coefficients_satisfy_every_equation() -> None:
    solved = {alpha[k]: deq.ck_coefficients()[f"alpha{k}"] for k in alpha}
    solved |= {lambda_[k]: deq.preactivation_coefficients()[f"lambda{k}"] for k in lambda_}
    for equation in (*deq.ck_equations().values(), *deq.preactivation_equations().values()):
        assert sp.cancel(sp.together((equation.lhs - equation.rhs).subs(solved))) == 0


def test_both_forms_agree() -> None:
    ck, pre = deq.ck_coefficients(), deq.preactivation_coefficients()
    assert sp.cancel(sp.together(pre["lambda1"] - sigma_a2 * ck["alpha1"] - sigma_b2)) == 0
    assert sp.cancel(sp.together(pre["lambda2"] - sigma_a2 * ck["alpha2"])) == 0
    assert sp.cancel(sp.together(pre["lambda3"] - sigma_a2 * ck["alpha3"])) == 0


def test_recurrent_ntk_is_the_theory_sheets() -> None:
    """Section 3 gives beta in closed form; it is derived here from G/(1 - sigma_a^2 Gdot)."""
    ntk = deq.ntk_coefficients("recurrent")
    gap = 1 - sigma_a2 * d1**2
    expected = (
        alpha[1] / gap,
        alpha[2] / gap,
        alpha[3] / gap + sigma_a2 * d2**2 * alpha[1] * lambda_[1] / gap**2,
        gamma2 / (1 - sigma_a2 * dd),
    )
    for found, wanted in zip((ntk.linear, ntk.variance, ntk.square, ntk.diagonal), expected, strict=True):
        assert sp.cancel(sp.together(found - wanted)) == 0


def test_ntk_of_all_parameters_is_the_recurrent_one_plus_the_input_weights_part() -> None:
    """K_all = G + L Gdot/(1 - s Gdot) = K_recurrent + sigma_b^2 S Gdot/(1 - s Gdot), as L = s G + sigma_b^2 S.

    Its coefficients follow by expanding h(g) = g/(1 - s g) about g = d1^2 (or dd on the diagonal).
    """
    whole, recurrent = deq.ntk_coefficients("all"), deq.ntk_coefficients("recurrent")
    on_shell = {lambda_[1]: sigma_a2 * alpha[1] + sigma_b2, lambda_[2]: sigma_a2 * alpha[2]}
    on_shell |= {lambda_[3]: sigma_a2 * alpha[3]}
    gap = 1 - sigma_a2 * d1**2
    extra = (sigma_b2 * d1**2 / gap, sp.S.Zero, sigma_b2 * d2**2 * lambda_[1] / gap**2)
    for found, base, more in zip(
        (whole.linear, whole.variance, whole.square),
        (recurrent.linear, recurrent.variance, recurrent.square),
        extra,
        strict=True,
    ):
        assert sp.cancel(sp.together((found - base - more).subs(on_shell))) == 0


def test_unknown_ntk_is_refused() -> None:
    with pytest.raises(ValueError, match="accepted are recurrent"):
        deq.ntk_coefficients("full")


def test_stability_slope_is_the_derivative_of_the_tau_equation() -> None:
    """Against SymPy's own derivative of the closed-form variance, for ReLU, sin, ELU and a cubic."""
    for name in ("relu", "sin", "elu", "cubic"):
        moments = GaussianMoments(registry.registered(name).with_parameters())
        definitions = deq.moment_definitions(moments)
        derivative = sp.diff(moments.variance, tau) / (2 * tau)
        slope = deq.stability_slope().subs(d22, definitions[d22]) / sigma_a2
        difference = (derivative - slope).subs(tau, sp.Rational(7, 9))
        assert abs(difference.evalf(40)) < sp.Float("1e-35"), name


def test_tau_equation_of_relu_has_the_closed_solution() -> None:
    equation = deq.tau_equation()
    relu = GaussianMoments(registry.registered("relu")).variance
    root = sigma_b2 * tau_0**2 / (1 - sigma_a2 * (sp.S.Half - 1 / (2 * sp.pi)))
    residual = (equation.lhs - equation.rhs).subs(variance, relu)
    assert sp.simplify(sp.expand(residual).subs(tau, sp.sqrt(root))) == 0
