"""Signs, zeros and ranges against values that are known, and against floats where a whole range is claimed."""

from __future__ import annotations

import pytest
import sympy as sp

from theory.analysis import UndecidedError, compare, enclosure, zeros
from theory.analysis.realline import interior_point, sign_on
from theory.functions import sigmoid, softplus
from theory.symbols import x

A, B = sp.symbols("a b", positive=True)
N = sp.Symbol("n", negative=True)
R = sp.Symbol("r", real=True)
THIRD, HALF = sp.Rational(1, 3), sp.Rational(1, 2)


# --- signs ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("left", "right", "sign"),
    [
        (sp.Integer(2), sp.Integer(3), -1),
        (HALF, THIRD, 1),
        (sp.sqrt(2), sp.Rational(3, 2), -1),
        (sp.pi, sp.Rational(22, 7), -1),
        (sp.sqrt(2) + sp.sqrt(3), sp.sqrt(5 + 2 * sp.sqrt(6)), 0),
        (sp.exp(1), sp.Rational(2718281828459045, 10**15), 1),
        (sp.oo, sp.Integer(7), 1),
        (-sp.oo, sp.Integer(7), -1),
        (sp.Integer(7), sp.oo, -1),
        (sp.Integer(7), -sp.oo, 1),
        (A, -B, 1),
        (N, A, -1),
        (2 * A * (B + 1), A * (B + 1), 1),
        (A * N, sp.S.Zero, -1),
        (N * N * A, sp.S.Zero, 1),
        ((R + 1) ** 2, R**2 + 2 * R + 1, 0),
        (sp.exp(A), sp.S.One, 1),
        (sp.exp(N), sp.S.One, -1),
        (2 * sp.exp(N), sp.Integer(2), -1),
        (sp.Integer(2), 2 * sp.exp(N), 1),
        (-3 * sp.exp(A), -sp.Integer(3), -1),
        (sp.exp(R), -sp.S.One, 1),
        (-sp.exp(R), sp.S.One, -1),
    ],
)
def test_order(left: sp.Expr, right: sp.Expr, sign: int) -> None:
    assert compare(left, right) == sign
    assert compare(right, left) == -sign


@pytest.mark.parametrize(("left", "right"), [(R, 0), (A, B), (sp.exp(A), 2), (sp.exp(N), HALF), (A * R, 0), (sp.I, 0)])
def test_an_order_that_nothing_decides_is_refused(left: sp.Expr, right: sp.Expr) -> None:
    with pytest.raises(UndecidedError):
        compare(sp.sympify(left), sp.sympify(right))


# --- zeros ---------------------------------------------------------------------------------------

ROOT_TWO = sp.sqrt(2)
ZEROS = [
    (x - 3, [3]),
    (A * x - B, [B / A]),
    ((x - 1) * (x + 2) * (2 * x - 1), [-2, HALF, 1]),
    (sp.expand((x - 1) ** 2 * (x + 2)), [-2, 1]),
    (x**2 + 1, []),
    (x**2 - A**2, [-A, A]),
    (x**2 - 2 * A * x + A**2 + 1, []),
    (sp.pi * x**2 - 4, [-2 / sp.sqrt(sp.pi), 2 / sp.sqrt(sp.pi)]),
    (sp.pi * x**3 + 8, [-2 / sp.cbrt(sp.pi)]),
    (sp.pi * x**4 - 16, [-2 / sp.pi ** sp.Rational(1, 4), 2 / sp.pi ** sp.Rational(1, 4)]),
    (sp.pi * x**4 + 16, []),
    (sp.pi * x**5 - 16 * x, [-2 / sp.pi ** sp.Rational(1, 4), 0, 2 / sp.pi ** sp.Rational(1, 4)]),
    (sp.exp(x) - 3, [sp.log(3)]),
    (sp.exp(x) + 3, []),
    (2 - sp.exp(3 * x + 1), [(sp.log(2) - 1) / 3]),
    (sp.exp(2 * x) - 3 * sp.exp(x) + 2, [0, sp.log(2)]),
    (sp.exp(x) - sp.exp(-x), [0]),
    (sp.exp(x / 2) - 2 * sp.exp(-x), [2 * sp.log(2) / 3]),
    (x * sp.exp(x) - x, [0]),
    (sp.log(x) + 2, [sp.exp(-2)]),
    (sp.sinh(x) - 1, [sp.asinh(1)]),
    (sp.asinh(x) - 1, [sp.sinh(1)]),
    (sp.tanh(x) - HALF, [sp.atanh(HALF)]),
    (sp.tanh(x) - 1, []),
    (sp.tanh(x) + 2, []),
    (sp.atan(x) + 1, [-sp.tan(1)]),
    (sp.atan(x) + 2, []),
    (sp.erf(x) - HALF, [sp.erfinv(HALF)]),
    (2 * sp.erfc(x) - 1, [sp.erfinv(HALF)]),
    (sp.erf(2 * x - 1), [HALF]),
    (sigmoid(x) - THIRD, [-sp.log(2)]),
    (softplus(x) - sp.log(3), [sp.log(2)]),
    (sp.cosh(x) - 2, [-sp.acosh(2), sp.acosh(2)]),
    (sp.cosh(x) - HALF, []),
    (sp.sech(x) - HALF, [-sp.acosh(2), sp.acosh(2)]),
    (sp.sqrt(x**2 + 1) - 2, [-sp.sqrt(3), sp.sqrt(3)]),
    ((x + 1) ** 3 - 8, [1]),
    ((x + 1) ** 4 - 16, [-3, 1]),
    ((x + 1) ** 4 + 16, []),
    (sp.sinh(x) ** 2 - 1, [-sp.asinh(1), sp.asinh(1)]),
    (sp.sinh(x) ** 3 - 8, [sp.asinh(2)]),
    (sp.sqrt(sp.exp(x) + 1) - 2, [sp.log(3)]),
    (x / (1 + x**2), [0]),
    ((x - 2) / (1 + sp.exp(x)), [2]),
    (1 / (1 + x**2), []),
    (x / (1 + x**2) - sp.Rational(2, 5), [HALF, 2]),
    (sp.exp(x), []),
    (sp.Integer(3), []),
]


@pytest.mark.parametrize(("expr", "expected"), ZEROS, ids=str)
def test_zeros(expr: sp.Expr, expected: list[sp.Expr]) -> None:
    found = zeros(expr)
    assert len(found) == len(expected)
    # Numbers for the parameters: 2 and 3.
    values = {A: 2, B: 3}
    for one, other in zip(found, expected, strict=True):
        assert abs(sp.N((one - other).subs(values), 30)) < 1e-25


def test_zeros_of_an_open_interval() -> None:
    cubic = sp.expand((x - 1) * (x - 2) * (x - 3))
    assert zeros(cubic, sp.S.One, sp.Integer(3)) == (2,)
    assert zeros(cubic, HALF, sp.Integer(3)) == (1, 2)
    assert zeros(cubic, sp.Rational(5, 2)) == (3,)
    assert zeros(x**2 - 2, sp.S.Zero) == (ROOT_TWO,)
    assert zeros(x**2 - 2, -sp.oo, sp.S.Zero) == (-ROOT_TWO,)


@pytest.mark.parametrize(
    "expr",
    [sp.S.Zero, sp.expand((x + 1) ** 2) - x**2 - 2 * x - 1, sp.sin(x), x + sp.exp(x), R * x - 1, x**3 - sp.pi * x + 1],
    ids=str,
)
def test_zeros_that_cannot_be_found_are_refused(expr: sp.Expr) -> None:
    with pytest.raises(UndecidedError):
        zeros(expr)


def test_polynomials_of_a_degree_that_takes_too_long_are_refused() -> None:
    assert zeros(x**64 - x - 1, sp.S.Zero)[0].is_algebraic
    with pytest.raises(UndecidedError, match="cannot locate"):
        zeros(x**65 - x - 1)
    assert zeros(sp.exp(64 * x) - 2) == (sp.log(2) / 64,)


# --- points and signs of intervals ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("lower", "upper"),
    [
        (-sp.oo, sp.oo), (-sp.oo, -sp.pi), (sp.pi, sp.oo), (sp.Integer(3), sp.oo), (-sp.oo, sp.Integer(-3)),
        (THIRD, HALF), (ROOT_TWO, sp.Rational(3, 2)), (sp.exp(1), sp.Rational(27183, 10**4)), (-sp.pi, ROOT_TWO - 4),
    ],
)  # fmt: skip
def test_an_interior_point_is_inside_and_rational(lower: sp.Expr, upper: sp.Expr) -> None:
    point = interior_point(lower, upper)
    assert point.is_Rational
    assert compare(lower, point) == compare(point, upper) == -1


def test_an_interior_point_between_parameters_is_inside() -> None:
    assert compare(interior_point(A, sp.oo), A) == compare(A, interior_point(-sp.oo, A)) == 1
    assert interior_point(A, 3 * A) == 2 * A


@pytest.mark.parametrize(
    ("expr", "lower", "upper", "sign"),
    [
        (sp.S.Zero, -sp.oo, sp.oo, 0),
        (x**2 + 1, -sp.oo, sp.oo, 1),
        (-sp.exp(x), -sp.oo, sp.oo, -1),
        (x - 2, sp.Integer(2), sp.oo, 1),
        (x - 2, -sp.oo, sp.Integer(2), -1),
        (x**2 - 2, -ROOT_TWO, ROOT_TWO, -1),
        (x**2 - 2, ROOT_TWO, sp.oo, 1),
        (x * (x - 1), sp.S.Zero, sp.S.One, -1),
        (sp.log(x), sp.S.Zero, sp.S.One, -1),
        (x - A, A, sp.oo, 1),
        (x - A, -sp.oo, A, -1),
        (sp.tanh(x) - 2, -sp.oo, sp.oo, -1),
        (sp.tan(x) - 2, -sp.S.One, sp.S.One, -1),
    ],
)
def test_sign_on_an_interval(expr: sp.Expr, lower: sp.Expr, upper: sp.Expr, sign: int) -> None:
    assert sign_on(expr, lower, upper) == sign


# --- ranges --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expr", "lower", "upper", "expected"),
    [
        (x, -1, 2, (-1, 2)),
        (3 - 2 * x, -1, 2, (-1, 5)),
        (3 - 2 * x, -1, sp.oo, (-sp.oo, 5)),
        (x**2, -1, 2, (0, 4)),
        (x**2, -3, 2, (0, 9)),
        (x**2, 1, 2, (1, 4)),
        (x**2, -2, -1, (1, 4)),
        (x**2, -sp.oo, 2, (0, sp.oo)),
        (x**2, 1, sp.oo, (1, sp.oo)),
        (x**2, -sp.oo, -1, (1, sp.oo)),
        (x**3, -1, 2, (-1, 8)),
        (1 / x, 1, 2, (HALF, 1)),
        (1 / x, -2, -1, (-1, -HALF)),
        (1 / x, 0, 2, (HALF, sp.oo)),
        (1 / x, 0, sp.oo, (0, sp.oo)),
        (1 / x, -1, 1, (-sp.oo, sp.oo)),
        (x**-2, 1, 2, (sp.Rational(1, 4), 1)),
        (sp.sqrt(x), 1, 4, (1, 2)),
        (sp.sqrt(x), -1, 4, (0, 2)),
        (1 / (1 + x**2), -1, 2, (sp.Rational(1, 5), 1)),
        (x * sp.exp(x), -1, 2, (-sp.exp(2), 2 * sp.exp(2))),
        (x * sp.exp(x), 0, sp.oo, (0, sp.oo)),
        (x * sp.exp(-x), 0, sp.oo, (0, sp.oo)),
        (x * (x + 2), -2, -1, (-2, 0)),
        (sp.sin(x), 0, 1, (-1, 1)),
        (sp.cosh(x), 0, 1, (1, sp.oo)),
        (sp.sech(x), 0, 1, (0, 1)),
        (sp.erfc(x), 0, sp.oo, (0, 1)),
        (sp.erfc(x), -sp.oo, 1, (1 - sp.erf(1), 2)),
        (sp.tan(x), -1, 1, (-sp.tan(1), sp.tan(1))),
        (sp.tan(x), -1, 2, (-sp.oo, sp.oo)),
        (sp.tan(x), -2, 1, (-sp.oo, sp.oo)),
        (sp.log(x), 1, 2, (0, sp.log(2))),
        (sp.log(x), 0, 1, (-sp.oo, 0)),
        (sp.log(x), -1, 1, (-sp.oo, sp.oo)),
        (sp.exp(x), -sp.oo, 1, (0, sp.exp(1))),
        (sp.tanh(x), -sp.oo, 1, (-1, sp.tanh(1))),
        (sp.atan(x), 0, sp.oo, (0, sp.pi / 2)),
        (sp.erf(x), -sp.oo, sp.oo, (-1, 1)),
        (sigmoid(x), 0, sp.oo, (sigmoid(0), 1)),
        (softplus(x), -sp.oo, 0, (0, softplus(0))),
        (sp.asinh(x), 1, sp.oo, (sp.asinh(1), sp.oo)),
        (sp.Function("f")(x), 0, 1, (-sp.oo, sp.oo)),
        (sp.Symbol("z", real=True) * 0 + 5, 0, 1, (5, 5)),
    ],
    ids=str,
)
def test_ranges(expr: sp.Expr, lower: sp.Expr, upper: sp.Expr, expected: tuple[sp.Expr, sp.Expr]) -> None:
    assert enclosure(expr, sp.sympify(lower), sp.sympify(upper)) == expected
