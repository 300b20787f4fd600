"""Stable forms: equal to what was typed at every point, and what they are for the usual spellings."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest
import sympy as sp

from numerics.arithmetic import pointwise
from tests.oracles import function_of
from theory.activations import Activation, registered, registered_names
from theory.analysis import DomainError, stable_form
from theory.functions import sigmoid, softplus
from theory.grammar import parse_activation
from theory.symbols import x

R = sp.Rational

KNOWN = {
    "(exp(2*x)-1)/(exp(2*x)+1)": sp.tanh(x),
    "(exp(x)-exp(-x))/(exp(x)+exp(-x))": sp.tanh(x),
    "1 - 2/(1+exp(2*x))": sp.tanh(x),
    "2/(1+exp(-x)) - 1": sp.tanh(x / 2),
    "sinh(x)/(1+cosh(x))": sp.tanh(x / 2),
    "1/(1+exp(-x))": sigmoid(x),
    "exp(x)/(1+exp(x))": sigmoid(x),
    "exp(x)/(exp(x)+exp(-2*x))": sigmoid(3 * x),
    "1/(1+2*exp(x-1))": sigmoid(1 - x - sp.log(2)),
    "exp(x) - exp(2*x)/(1+exp(x))": sigmoid(x),
    "exp(-x**2)/(1+exp(-x**2))": sigmoid(-(x**2)),
    "x/(1+exp(-x))": x * sigmoid(x),
    "2/(exp(x)+exp(-x))": sp.sech(x),
    "1/cosh(x)": sp.sech(x),
    "sinh(x)/cosh(x)**2": sp.tanh(x) * sp.sech(x),
    "exp(-x)/(1+exp(-x))**2": sp.sech(x / 2) ** 2 / 4,
    "log(1+exp(x))": softplus(x),
    "-log(1+exp(-x))": -softplus(-x),
    "log(sigmoid(x))": -softplus(-x),
    "log(exp(3*x)+exp(2*x))": 2 * x + softplus(x),
    "log(cosh(x))": softplus(2 * x) / 2 + softplus(-2 * x) / 2 - sp.log(2),
    "log(1+tanh(x))": sp.log(2) - softplus(-2 * x),
    "log(x+sqrt(x**2+1))": sp.asinh(x),
    "exp(-softplus(x))": sigmoid(-x),
    "exp(x-softplus(x))": sigmoid(x),
    "exp(-softplus(x)/2)": sp.sqrt(sigmoid(-x)),
    "x*tanh(log(1+exp(x)))": x * sp.tanh(softplus(x)),
    "cosh(x)/exp(x)": R(1, 2) + sp.exp(-2 * x) / 2,
}
OTHERS = [
    "log(exp(2*x+1)+exp(-x))",
    "log(exp(x)+exp(x**2/9))",
    "-log(sqrt(4*x**2+3)-2*x)",
    "x*((1+exp(x))**2-1)/((1+exp(x))**2+1)",
    "(1+exp(-x)+x*exp(-x))/(1+exp(-x))**2",
    "log(1+exp(x)+exp(2*x))",
    "log((1+exp(x))/(2+exp(x)))",
    "log((1+2*exp(x)+exp(3*x))/(1+exp(x)))",
    "log(3*exp(-2*x)/(1+exp(x)))",
    "(2+exp(3*x))/(1+exp(x))",
    "(1+exp(x)+exp(2*x))/(1+exp(2*x))",
    "3/(2+5*exp(-x/3))-1",
    "1/(1+exp(-x)+exp(-3*x))",
    "exp(x-softplus(x)/3)",
    "exp(softplus(2*x+1)/2-x/5)",
    "exp(x)*sinh(x)*(sin(exp(x))+1)/(3+exp(2*x))",
    "Max(log(1+exp(x)),1)-1/(1+exp(-x))",
    "Piecewise((1/(1+exp(-x)),x>0),(log(1+exp(x)),True))",
    "(exp(2*softplus(x))-1)/(exp(2*softplus(x))+1)",
    "1/(1+exp(exp(x)))",
    "(pi*exp(x)-sqrt(2))/(exp(x)+E)**2",
    "(exp(x/2)-1)**3/(1+exp(x/2))**5",
    "sinh(x)**3/cosh(2*x)**2",
    "x-2*x/(1+exp(2*x))",
    "log(exp(x)/(1+exp(x))**3)",
    "log(2*x+sqrt(4*x**2+5))",
]


@pytest.mark.parametrize("text", [*KNOWN, *OTHERS])
def test_a_stable_form_has_the_values_of_what_was_typed(text: str) -> None:
    expr = parse_activation(text)
    found = stable_form(expr)
    assert found != expr
    with mpmath.workdps(80):
        typed, stable = function_of(expr), function_of(found)
        for point in ("-31.7", "-7.3", "-1.9", "-0.4", "0.31", "1.7", "6.1", "24.9"):
            value = typed(mpmath.mpf(point))
            assert abs(stable(mpmath.mpf(point)) - value) <= mpmath.mpf(10) ** -50 * (1 + abs(value)), point


@pytest.mark.parametrize("text", KNOWN)
def test_the_usual_spellings_are_the_named_functions(text: str) -> None:
    assert sp.expand(stable_form(parse_activation(text)) - KNOWN[text]) == 0


@pytest.mark.parametrize("text", ["1/(exp(x)-1)", "x/(exp(x)-1)", "log(tanh(x))", "1/sinh(x)", "log(exp(x)-1)"])
def test_poles_are_not_rewritten_away(text: str) -> None:
    assert stable_form(parse_activation(text)) == parse_activation(text)
    with pytest.raises(DomainError):
        Activation.from_text(text)


def test_a_removable_singularity_stays_in_the_domain() -> None:
    """(e^2 - 1)/(e - 1) = e + 1 has no value at 0."""
    with pytest.raises(DomainError):
        Activation.from_text("(exp(2*x)-1)/(exp(x)-1)")


@pytest.mark.parametrize("name", registered_names())
def test_registered_activations_are_stable_as_they_are(name: str) -> None:
    assert registered(name).stable == registered(name).expr


@pytest.mark.parametrize(
    "text", ["(exp(2*x)-1)/(exp(2*x)+1)", "log(1+exp(x))/(1+x**2)", "log(cosh(x))/(1+x**2)", "1/(1+2*exp(3*x)+exp(x))"]
)
def test_nothing_overflows_in_float64(text: str) -> None:
    phi = pointwise(Activation.from_text(text))
    points = np.array([-1e6, -800.0, -400.0, 400.0, 800.0, 1e6])
    with np.errstate(all="raise", under="ignore"):
        values = np.concatenate([phi.value(points), phi.derivative(points)])
    assert np.all(np.isfinite(values))
    assert np.all(np.abs(values) <= 1.1)


def test_what_was_typed_is_what_is_shown() -> None:
    phi = Activation.from_text("1/(1+exp(-x))")
    assert phi.expr == 1 / (1 + sp.exp(-x))
    assert phi.pieces[0].expr == sigmoid(x)
