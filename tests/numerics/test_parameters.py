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
from numerics.equilibrium import (
    SweepLine,
    certify,
    find_equilibria,
    locate_stability_loss,
    solve,
    solve_float,
    solve_uncertified,
    sweep,
)
from numerics.kernels import explicit_ck, implicit_ck, implicit_kernels
from numerics.matching import design
from numerics.parameters import as_array, margin_text
from theory.activations import Activation, get
from theory.analysis import DomainError
from theory.equations import DEQ, EquilibriumError, exact_number, exact_numbers
from theory.grammar import ActivationSyntaxError
from theory.kernels import Kernel
from theory.matching import MatchStatus

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
    assert exact_numbers(0.2, "4/5", 1) == exact_numbers(0.2, None, 1) == (FIFTH, sp.Rational(4, 5), 1)
    for deq in (DEQ("tanh", 0.2, "4/5", 1), DEQ("tanh", 0.2)):
        assert (*deq.variances, deq.tau0) == (FIFTH, sp.Rational(4, 5), 1)
    with pytest.raises(EquilibriumError, match="sigma_a2 must be a number >= 0"):
        DEQ("tanh", -0.1, 1)
    with pytest.raises(EquilibriumError, match="sigma_b2 must be a number > 0"):
        DEQ("tanh", 1)
    with pytest.raises(EquilibriumError, match="tau0 must be a number > 0"):
        DEQ("tanh", 0.1, 1, 0.0)


def test_activations_are_names_texts_or_activations() -> None:
    assert DEQ("ReLU").activation == get("relu")
    assert DEQ("leaky_relu").activation == DEQ(get("leaky_relu")).activation == get("leaky_relu").with_parameters({})
    assert DEQ("x + x**2").activation.expr == Activation.from_text("x + x**2").expr
    assert DEQ(get("tanh")).activation is get("tanh")
    for read in (DEQ, pointwise):
        with pytest.raises(TypeError, match=r"^the activation must be a registered name, an expression in x"):
            read(np.tanh)  # type: ignore[arg-type]
        with pytest.raises(DomainError, match="no activation is named"):
            read("tanhh")
        with pytest.raises(ActivationSyntaxError):
            read("tanh(x")


def test_the_solvers_take_what_a_person_types() -> None:
    exact = certify(DEQ(get("tanh"), FIFTH, sp.Rational(4, 5), sp.Integer(1)))
    for found in (certify(DEQ("tanh", 0.2, 0.8, 1)), certify(DEQ("tanh(x)", "1/5", Decimal("0.8"), np.float64(1.0)))):
        assert [found.decimal(key) for key in exact.balls] == [exact.decimal(key) for key in exact.balls]
        assert (found.deq.sigma_a2, found.deq.tau0) == (FIFTH, 1)
    assert solve(DEQ("tanh", 0.2, 0.8, 1)).decimal("tau") == exact.decimal("tau")
    assert solve_uncertified(DEQ("tanh", 0.2, 0.8, 1)).decimal("tau") == exact.decimal("tau")
    (point,) = sweep(SweepLine("tanh", "sigma_a2"), [0.2], 15)
    assert point.decimals["tau"] == exact.decimal("tau")
    assert find_equilibria(DEQ("relu", 0.2, 0.8, 1)).complete
    assert locate_stability_loss(DEQ("x + x**2/2", 0, 0.8, 1)).sigma_a2 is not None
    assert design(DEQ("tanh", 0.2, 0.8, 1)).status is MatchStatus.EXACT
    with pytest.raises(EquilibriumError, match="sigma_a2 must be a finite number"):
        certify(DEQ("tanh", None, 0.8, 1))


def test_every_solution_gives_a_kernels_coefficients_by_its_name() -> None:
    """The same numbers as balls, to many digits and in float64; ReLU with sigma_a^2 = 2 has no NTK."""
    deq = DEQ("gelu", 0.2)
    balls, many, floats = certify(deq), solve(deq), solve_float(deq)
    for kernel in Kernel:
        for ball, number, value in zip(balls.kernel(kernel), many.kernel(kernel), floats.kernel(kernel), strict=True):
            assert value == pytest.approx(float(ball), rel=1e-14)
            assert value == pytest.approx(float(number), rel=1e-14)
    steep = DEQ("relu", 2, 0.8)
    for found in (certify(steep), solve(steep), solve_float(steep)):
        assert found.kernel(Kernel.CK)
        with pytest.raises(
            EquilibriumError, match=r"this DEQ has no ntk-all: sigma_a\^2 E\[phi'\^2\] = 1 is not below 1"
        ):
            found.kernel(Kernel.NTK_ALL)
    with pytest.raises(EquilibriumError, match=r"this DEQ has no ck: alpha1 is not certified: no proof was asked for"):
        solve_uncertified(deq).kernel(Kernel.CK)


def test_a_sweep_keeps_points_that_are_no_deq() -> None:
    line = SweepLine("tanh", "sigma_a2", tau0="1/2")
    assert line.at(0.25) == DEQ("tanh", 0.25, 0.75, 0.5)
    inside, outside = sweep(line, ["1/4", 1], 15)
    assert inside.decimals["alpha1"] == certify(line.at("1/4")).decimal("alpha1")
    assert (outside.value, outside.stable, outside.missing) == (1, False, "sigma_b2 must be a number > 0, not 0")
    with pytest.raises(EquilibriumError, match="sigma_a2 must be a finite number"):
        list(sweep(line, ["one"], 15))
    with pytest.raises(ValueError, match="unknown number 'tau': accepted are sigma_a2, sigma_b2, tau0"):
        SweepLine("tanh", "tau")


def test_kernels_take_lists_and_names() -> None:
    gram = [[1, 0.5], [0.5, 1]]
    right = implicit_ck(np.array(gram), pointwise("relu"), 0.2, 0.8, 0.3)
    assert np.array_equal(implicit_ck(gram, "relu", 0.2, 0.8, 0.3).kernel, right.kernel)  # type: ignore[arg-type]
    found = implicit_kernels(gram, get("relu"), 0.2, 0.8, 0.3, kernels=("ck",))  # type: ignore[arg-type]
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
    assert margin_text(certify(DEQ("relu", "19999999999/10000000000", 0.8, 1)).margins["ntk"]) == "1 - 5.0e-11"
    assert "= 1 is not below 1" in certify(DEQ("relu", 2, 0.8, 1)).ntk_missing
    assert "= 1 + 5.0e-11 is not below 1" in certify(DEQ("relu", "20000000001/10000000000", 0.8, 1)).ntk_missing
