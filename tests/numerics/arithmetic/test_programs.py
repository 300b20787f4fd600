"""Straight-line programs against SymPy's own evaluation."""

from __future__ import annotations

from typing import ClassVar

import mpmath
import numpy as np
import pytest
import sympy as sp

from numerics.arithmetic import FloatArithmetic, MpArithmetic, UnsupportedExpressionError, compile_program, pointwise
from theory.activations import Activation, registry
from theory.functions import sigmoid, softplus
from theory.symbols import tau, x

EXPRESSIONS = [
    sp.exp(-(x**2)) * sp.sin(3 * x) + sp.pi,
    sp.sqrt(x**2 + 1) ** 3 / (2 + sp.cos(x)),
    (x**2 + 2) ** sp.Rational(-5, 2) + (x**2 + 1) ** sp.Rational(1, 3),
    sp.erf(x) * sp.erfc(x) + sp.erfi(x / 2),
    sigmoid(3 * x) + softplus(-x) * sp.tanh(x),
    sp.sech(x) + sp.sinh(x) - sp.cosh(x) + sp.atan(x) + sp.asinh(x) + sp.asin(x / 7) + sp.log(x**2 + 2),
    sp.CRootOf(x**5 - x - 1, 0) * x,
]


@pytest.mark.parametrize("expression", EXPRESSIONS, ids=str)
def test_values_agree_with_sympy(expression: sp.Expr) -> None:
    points = [sp.Rational(-9, 4), sp.Rational(1, 3), sp.Rational(5, 2)]
    context = mpmath.MPContext()
    context.dps = 40
    precise = compile_program([expression], [x], MpArithmetic(context))
    rough = compile_program([expression], [x], FloatArithmetic())
    for point in points:
        wanted = expression.subs(x, point).evalf(50)
        (found,) = precise(context.mpf(int(point.p)) / int(point.q))
        assert abs(sp.Float(str(found), 45) - wanted) < sp.Float("1e-36")
        (value,) = rough(np.array([float(point)]))
        assert float(value[0]) == pytest.approx(float(wanted), rel=1e-13)


def test_common_subexpressions_are_computed_once() -> None:
    calls = []

    class Counting(FloatArithmetic):
        functions: ClassVar = {sp.exp: lambda value: calls.append(value) or np.exp(value)}

    program = compile_program([sp.exp(x) + 1, sp.exp(x) * tau], [x, tau], Counting())
    assert program(0.0, 3.0) == (2.0, 3.0)
    assert len(calls) == 1


def test_unknown_functions_and_symbols_are_refused() -> None:
    with pytest.raises(UnsupportedExpressionError, match="gamma"):
        compile_program([sp.gamma(x)], [x], FloatArithmetic())
    with pytest.raises(UnsupportedExpressionError):
        compile_program([x + tau], [x], FloatArithmetic())


@pytest.mark.parametrize("name", registry.registered_names())
def test_pointwise_activations_and_slopes(name: str) -> None:
    """Values against SymPy's expression, slopes against central differences, both off the breakpoints."""
    activation = registry.registered(name).with_parameters()
    compiled = pointwise(activation)
    points = np.array([-2.3, -0.71, 0.3, 1.7, 6.5])
    values = compiled.value(points)
    for point, value in zip(points, values, strict=True):
        wanted = activation.expr.subs(x, sp.Rational(str(point)))
        assert float(value) == pytest.approx(float(wanted.evalf(30)), rel=1e-13, abs=1e-15)
    step = 1e-5
    slopes = (compiled.value(points + step) - compiled.value(points - step)) / (2 * step)
    assert compiled.derivative(points) == pytest.approx(slopes, rel=1e-6, abs=1e-8)


def test_far_away_values_are_finite() -> None:
    for name in ("tanh", "sigmoid", "softplus", "swish", "mish", "elu", "gelu"):
        compiled = pointwise(registry.registered(name).with_parameters())
        far = np.array([-1e4, 1e4])
        assert np.all(np.isfinite(compiled.value(far)))
        assert np.all(np.isfinite(compiled.derivative(far)))


def test_a_singular_breakpoint_gives_finite_values() -> None:
    """x log|x| has no value at 0 itself, where a quadrature node may lie: its neighbour's value is taken."""
    compiled = pointwise(Activation("xlogx", x * sp.log(sp.Abs(x))))
    points = np.array([-1.0, 0.0, 1.0])
    assert compiled.value(points) == pytest.approx(np.zeros(3), abs=1e-300)
    assert np.all(np.isfinite(compiled.derivative(points)))


def test_free_parameters_are_refused() -> None:
    with pytest.raises(ValueError, match="free parameters"):
        pointwise(registry.registered("leaky_relu"))


def test_shapes_are_kept() -> None:
    constant = pointwise(Activation("one", sp.Integer(1) + 0 * x))
    assert constant.value(np.zeros((2, 3))).shape == (2, 3)
