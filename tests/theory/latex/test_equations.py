"""The theory's equations as they are printed, general and for activations, at two widths."""

from __future__ import annotations

from functools import cache

import pytest
import sympy as sp

from tests.latex_checks import (
    check_conditions,
    check_constants,
    check_equilibrium,
    check_moments,
    check_ntk,
    check_system,
    check_systems,
)
from theory.activations import Activation, registry
from theory.equations import deq
from theory.kernels import NTK_KINDS
from theory.latex import activation_moments, activation_system, general_sets, name_long_constants
from theory.moments import DivergentMomentError, GaussianMoments

WIDTHS = (23_500, 39_000)

ACTIVATIONS = {name: registry.registered(name).with_parameters({}) for name in registry.registered_names()} | {
    text: Activation.from_text(text)
    for text in (
        "Piecewise((tanh(x), x < 0), (x, True))",
        "2*x + sin(3*x)*exp(-Abs(x))",
        "x*Phi(2*x - 1)/3",
        "Max(x, 2*x - 1, -x/7)",
        "3*Max(x, 0)",
        "(x**5 - 10*x**3)/100 + erf(x/2)**3",
        "Piecewise((exp(x) - 1, x < 0), (log(1 + x), True))",
        "cos(x)/(1 + x**2) + sin(3*x)*exp(-x**2/7)/5",
        "Heaviside(x + 5)*Max(x, -4) - pi*Abs(x)/10",
        "0.12345678901234567891*x + sqrt(2/pi)*tanh(x)",
    )
}


@pytest.mark.parametrize("available", WIDTHS)
def test_the_general_equations(available: int) -> None:
    texts = {name: each.latex(available) for name, each in general_sets().items()}
    check_equilibrium(texts["equilibrium"])
    check_conditions(texts["conditions"])
    check_systems(texts["solution"], texts["system"], texts["preactivation"])
    for kind in NTK_KINDS:
        check_ntk(texts[f"ntk-{kind}"], kind)
    assert len(texts) == 5 + len(NTK_KINDS)


def test_every_numbered_equation_has_its_own_label() -> None:
    text = "".join(each.latex(39_000) for each in general_sets().values())
    labels = [part.partition("}")[0] for part in text.split(r"\label{")[1:]]
    assert len(labels) == len(set(labels)) == 11


_Moments = tuple[dict[str, sp.Expr], dict[sp.Symbol, sp.Expr]]


@cache
def _prepared(name: str) -> tuple[Activation, dict[sp.Symbol, sp.Rational], _Moments]:
    """An activation as it is written, its named constants, its moments by theory."""
    named, constants = name_long_constants(ACTIVATIONS[name])
    moments = GaussianMoments(named)
    values = {each: getattr(moments, each) for each in ("second_moment", "square_second_derivative")}
    try:
        values["slope_energy"] = moments.slope_energy
    except DivergentMomentError:
        assert not named.has_finite_slope_energy
    return named, constants, (values, dict(deq.moment_definitions(moments)))


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_every_formula_of_an_activation_reads_back(name: str) -> None:
    named, constants, (values, definitions) = _prepared(name)
    for available in WIDTHS:
        found = activation_moments("m", named, values, definitions, available, constants).latex(available)
        moments, _, where = found.partition("\nwhere\n")
        check_moments(moments, ACTIVATIONS[name], constants)
        check_constants(where, constants)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_the_system_of_an_activation_holds_at_its_solution(name: str) -> None:
    _, constants, (_, definitions) = _prepared(name)
    check_system(activation_system("s", definitions).latex(39_000), ACTIVATIONS[name], constants)


def test_what_vanishes_by_symmetry_is_not_carried_along() -> None:
    _, _, (_, definitions) = _prepared("abs")
    text = activation_system("s", definitions).latex(39_000)
    assert r"\alpha_{*,1} &= 0," in text
    assert r"\alpha_{*,3} &= \frac{\sigma_b^4}{\pi\tau_*^2}," in text


def test_displays_are_punctuated() -> None:
    for name, each in general_sets().items():
        rows = [row for row in each.latex(39_000).splitlines() if not row.startswith(("\\begin", "\\end"))]
        ends = [row.partition(r"\label")[0].removesuffix(r"\\").removesuffix(r"\\[3pt]").strip()[-1] for row in rows]
        assert ends == [","] * (len(rows) - 1) + ["."], name


def test_an_activation_by_cases_is_not_repeated() -> None:
    named, constants, (values, definitions) = _prepared("Piecewise((tanh(x), x < 0), (x, True))")
    text = activation_moments("m", named, values, definitions, 39_000, constants).latex(39_000)
    assert r"\frac{1}{\tau_*}\,\mathbb{E}[\xi\phi_0(\tau_*\xi)]" in text
    assert text.count(r"\begin{cases}") == 4  # phi_0, its mean, its second moment, the energy of its slope
