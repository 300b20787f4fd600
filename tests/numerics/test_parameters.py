"""What library calls may be given: names, texts and numbers of any kind, or one sentence."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Any

import mpmath
import numpy as np
import pytest
import sympy as sp

from numerics.arithmetic import pointwise
from numerics.equilibrium import certify, find_equilibria, locate_stability_loss, solve, solve_uncertified, sweep
from numerics.kernels import explicit_ck, implicit_ck, implicit_kernels
from numerics.matching import design
from numerics.parameters import as_activation, as_array, exact_parameters, margin_text
from theory.activations import Activation, registered
from theory.analysis import DomainError
from theory.equations import EquilibriumError, exact_number
from theory.grammar import ActivationSyntaxError

FIFTH = sp.Rational(1, 5)


@pytest.mark.parametrize(
    "value",
    [
        0.2,
        "0.2",
        "1/5",
        Fraction(1, 5),
        Decimal("0.2"),
        np.float64(0.2),
        np.float32(0.2),
        sp.Float(0.2),
        FIFTH,
        mpmath.mpf("0.2"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_float_is_the_decimal_that_it_prints(value: Any) -> None:
    assert exact_number(value, "sigma_a2") == FIFTH


def test_other_exact_numbers_stay_what_they_are() -> None:
    assert exact_number(1, "tau0") == exact_number(np.int64(1), "tau0") == 1
    assert exact_number(sp.sqrt(2) / 3, "tau0") == sp.sqrt(2) / 3
    assert exact_number("sqrt(2)/3", "tau0") == sp.sqrt(2) / 3
    assert exact_number(1e-300, "tau0") == sp.Rational(1, 10**300)


@pytest.mark.parametrize(
    "value", [None, float("nan"), float("inf"), sp.oo, sp.nan, True, [1], "tanh(1", 1j, sp.I, sp.Symbol("y"), "one"]
)
def test_what_is_no_number_is_one_sentence(value: Any) -> None:
    with pytest.raises(EquilibriumError, match=r"^sigma_b2 must be a finite number, such as 0\.2"):
        exact_number(value, "sigma_b2")


def test_ranges_are_checked_with_the_kind() -> None:
    assert exact_parameters(0.2, "4/5", 1) == (FIFTH, sp.Rational(4, 5), 1)
    with pytest.raises(EquilibriumError, match="sigma_a2 must be a number >= 0"):
        exact_parameters(-0.1, 1, 1)
    with pytest.raises(EquilibriumError, match="tau0 must be a number > 0"):
        exact_parameters(0.1, 1, 0.0)


def test_activations_are_names_texts_or_activations() -> None:
    assert as_activation("ReLU") == registered("relu")
    assert as_activation("leaky_relu") == registered("leaky_relu").with_parameters({})
    assert as_activation("x + x**2").expr == Activation.from_text("x + x**2").expr
    assert as_activation(registered("tanh")) is registered("tanh")
    with pytest.raises(TypeError, match=r"^the activation must be a registered name, an expression in x"):
        as_activation(np.tanh)  # type: ignore[arg-type]
    with pytest.raises(DomainError, match="no activation is named"):
        as_activation("tanhh")
    with pytest.raises(ActivationSyntaxError):
        as_activation("tanh(x")


def test_the_solvers_take_what_a_person_types() -> None:
    exact = certify(registered("tanh"), FIFTH, sp.Rational(4, 5), sp.Integer(1))
    for found in (certify("tanh", 0.2, 0.8, 1), certify("tanh(x)", "1/5", Decimal("0.8"), np.float64(1.0))):
        assert [found.decimal(key) for key in exact.balls] == [exact.decimal(key) for key in exact.balls]
        assert (found.sigma_a2, found.tau0) == (FIFTH, 1)
    assert solve("tanh", 0.2, 0.8, 1).decimal("tau") == exact.decimal("tau")
    assert solve_uncertified("tanh", 0.2, 0.8, 1).decimal("tau") == exact.decimal("tau")
    (point,) = sweep("tanh", [(0.2, (0.2, 0.8, 1))], 15)  # type: ignore[list-item]
    assert point.decimals["tau"] == exact.decimal("tau")
    assert find_equilibria("relu", 0.2, 0.8, 1).complete
    assert locate_stability_loss("x + x**2/2", 0.8, 1).sigma_a2 is not None
    assert design("tanh", 0.2, 0.8, 1).status == "exact"
    with pytest.raises(EquilibriumError, match="sigma_a2 must be a finite number"):
        certify("tanh", None, 0.8, 1)


def test_kernels_take_lists_and_names() -> None:
    gram = [[1, 0.5], [0.5, 1]]
    right = implicit_ck(np.array(gram), pointwise("relu"), 0.2, 0.8, 0.3)
    assert np.array_equal(implicit_ck(gram, "relu", 0.2, 0.8, 0.3).kernel, right.kernel)  # type: ignore[arg-type]
    found = implicit_kernels(gram, registered("relu"), 0.2, 0.8, 0.3, kernels=("ck",))  # type: ignore[arg-type]
    assert np.array_equal(found.ck, right.kernel)  # type: ignore[arg-type]
    single = explicit_ck(gram, [("relu", 0.3)])  # type: ignore[arg-type, list-item]
    # E[relu(u) relu(v)] at rho = 1/2 is (sqrt(1 - rho^2) + rho (pi - arccos rho))/(2 pi); the means are 1/sqrt(2 pi).
    dual = (np.sqrt(0.75) + 0.5 * (np.pi - np.pi / 3)) / (2 * np.pi)
    assert single.kernel[0, 1] == pytest.approx(dual - 0.6 / np.sqrt(2 * np.pi) + 0.09, rel=1e-10)
    for bad in ([[1, 0.5], [0.5]], "gram", [[1j]], None):
        with pytest.raises(ValueError, match=r"^the Gram matrix must be an array of real numbers"):
            as_array(bad, "the Gram matrix")


def test_a_margin_next_to_one_is_told_from_one() -> None:
    assert margin_text(0.25) == "0.25"
    assert margin_text(1.15) == "1.15"
    assert margin_text(1.0) == "1"
    assert margin_text(mpmath.mpf(1) - mpmath.mpf("5e-11")) == "1 - 5.0e-11"
    assert margin_text(1 + 2.0**-40) == "1 + 9.1e-13"
    assert margin_text(mpmath.mpf(1) - mpmath.mpf("5e-11"), resolution=1e-9) == "1"
    assert margin_text(certify("relu", "19999999999/10000000000", 0.8, 1).margins["ntk"]) == "1 - 5.0e-11"
    assert "= 1 is not below 1" in certify("relu", 2, 0.8, 1).ntk_missing
    assert "= 1 + 5.0e-11 is not below 1" in certify("relu", "20000000001/10000000000", 0.8, 1).ntk_missing
