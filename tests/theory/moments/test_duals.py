"""Closed forms of dual activations against textbook results, Price's theorem, the moments and brute force."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import mpmath as mp
import numpy as np
import pytest
import sympy as sp
from numpy.typing import NDArray

from theory.activations import Activation, registry
from theory.moments import GaussianMoments, bivariate_normal, correlation, dual_form, left_scale, right_scale, sine
from theory.symbols import tau, x

Array = NDArray[np.float64]

a, b, rho, s = left_scale, right_scale, correlation, sine
CLOSED = (
    "identity",
    "relu",
    "leaky_relu",
    "abs",
    "squared_relu",
    "threshold_linear",
    "hard_tanh",
    "relu6",
    "sparse_plus",
    "elu",
    "gelu",
    "erf",
    "sin",
    "cos",
    "snake",
    "gaussian",
    "x_gaussian",
    "exp_bump",
    "quadratic",
    "cubic",
    "sign",
    "threshold",
)
EXPRESSIONS = (
    "exp(x/2)*sin(x)",
    "sin(x + 1)",
    "erf(x + 1/2)",
    "x*Phi(x/2 + 1)",
    "x**2*erf(x)",
    "exp(x/3) + Max(x, 0)",
    "Piecewise((x, x < 1), (x**2, True))",
    "Piecewise((exp(x), x < 0), (1 + x, x < 2), (x**2 - x + 1, True))",
    "sign(x) + erf(x)",
)


def closed(text: str) -> Activation:
    return registry.resolve(text).with_parameters()


@lru_cache(maxsize=1000)
def plane(h: mp.mpf, k: mp.mpf, r: mp.mpf, c: mp.mpf) -> mp.mpf:
    """P(Y_1 < h, Y_2 < k), integrating its derivative by the correlation sin(t), the joint density at (h, k)."""

    def density(t: mp.mpf) -> mp.mpf:
        # (h^2 - 2 h k sin t + k^2)/(2 cos^2 t), without 0/0 at its end.
        apart = (h - k) / mp.cos(t) if h != k else mp.mpf(0)
        return mp.exp(-(apart**2 / 2 + h * k / (1 + mp.sin(t))))

    return mp.ncdf(h) * mp.ncdf(k) + mp.quad(density, [0, mp.atan2(r, c)]) / (2 * mp.pi)


def digits(expression: sp.Expr, values: dict[sp.Symbol, sp.Expr]) -> mp.mpf:
    """A closed form in digits, at the precision of the context."""
    function = sp.lambdify((), expression.subs(values), modules=[{"bivariate_normal": plane}, "mpmath"])
    return mp.mpf(mp.re(function()))


def equal(left: sp.Expr, right: sp.Expr) -> bool:
    return sp.simplify((left - right).subs(s, sp.sqrt(1 - rho**2))) == 0


def test_textbook_kernels() -> None:
    """Cho and Saul (2009) for kinks at 0, Williams (1997) for erf and the Gaussian, Sheppard (1899) for the sign."""
    angle = sp.acos(rho)
    expected = {
        "identity": a * b * rho,
        "relu": a * b * (s + (sp.pi - angle) * rho) / (2 * sp.pi),
        "squared_relu": a**2 * b**2 * (3 * s * rho + (sp.pi - angle) * (1 + 2 * rho**2)) / (2 * sp.pi),
        "abs": a * b * 2 / sp.pi * (s + rho * sp.asin(rho)),
        "sign": 1 - 2 * angle / sp.pi,
        "step": (sp.pi - angle) / (2 * sp.pi),
        "sin": sp.exp(-(a**2 + b**2) / 2) * sp.sinh(rho * a * b),
        "cos": sp.exp(-(a**2 + b**2) / 2) * sp.cosh(rho * a * b),
        "gaussian": 1 / sp.sqrt((1 + a**2) * (1 + b**2) - rho**2 * a**2 * b**2),
        "exp(x)": sp.exp((a**2 + b**2) / 2 + rho * a * b),
    }
    for text, kernel in expected.items():
        form = dual_form(closed(text))
        assert form is not None
        assert equal(form.value.rewrite(sp.acos).rewrite(sp.exp), kernel.rewrite(sp.acos).rewrite(sp.exp)), text
    arcsine = 2 / sp.pi * sp.asin(2 * rho * a * b / sp.sqrt((1 + 2 * a**2) * (1 + 2 * b**2)))
    found = dual_form(closed("erf"))
    assert found is not None
    # The two arguments of asin differ by how roots are written.
    with mp.workdps(30):
        point = {a: sp.Rational(7, 10), b: sp.Rational(13, 10), rho: sp.Rational(3, 5), s: sp.Rational(4, 5)}
        assert mp.almosteq(digits(found.value, point), digits(arcsine, point), 1e-28)


def test_polynomials_follow_from_wicks_theorem() -> None:
    """E[u^3 v^3] = 9 E[u^2] E[v^2] E[uv] + 6 E[uv]^3 and so on."""
    uv, t = rho * a * b, sp.Symbol("a", real=True)
    cubic = dual_form(Activation("cubic", x + t * x**3))
    assert cubic is not None
    wick = uv + 3 * t * uv * (a**2 + b**2) + t**2 * (9 * a**2 * b**2 * uv + 6 * uv**3)
    assert equal(cubic.value, wick)
    assert equal(cubic.slope, 1 + 3 * t * (a**2 + b**2) + 9 * t**2 * (a**2 * b**2 + 2 * uv**2))


@pytest.mark.parametrize("text", [*CLOSED, *EXPRESSIONS])
def test_slope_is_the_derivative_by_the_covariance(text: str) -> None:
    """Price's theorem; for an activation without jumps both sides are derived from different integrals."""
    form = dual_form(closed(text))
    assert form is not None
    with mp.workdps(20):
        first, second, middle = sp.Rational(3, 5), sp.Rational(7, 10), mp.mpf("-0.4")
        value = sp.lambdify(
            (rho, s),
            form.value.subs({a: first, b: second}),
            modules=[{"bivariate_normal": plane}, "mpmath"],
        )
        by_difference = mp.diff(lambda r: mp.re(value(r, mp.sqrt(1 - r**2))), middle, h=mp.mpf("1e-7"), relative=False)
        point = {a: first, b: second, rho: sp.Rational(-2, 5), s: sp.sqrt(sp.Rational(21, 25))}
        found = digits(form.slope, point)
        assert abs(found * first * second - by_difference) < 1e-9 * (1 + abs(by_difference))


#: E[f^2] of these is not elementary, though the dual at rho < 1 is.
NOT_ELEMENTARY = ("erf(x + 1/2)", "x*Phi(x/2 + 1)")


@pytest.mark.parametrize("text", [text for text in (*CLOSED, *EXPRESSIONS) if text not in NOT_ELEMENTARY])
def test_ends_and_middle_are_the_moments(text: str) -> None:
    """rho = 0 gives a product of means, rho = 1 at equal scales E[f^2] and E[f'^2]."""
    activation = closed(text)
    form = dual_form(activation)
    assert form is not None
    moments = GaussianMoments(activation)
    small = sp.Rational(1, 10**24)
    with mp.workdps(30):
        middle = {a: sp.Rational(3, 5), b: sp.Rational(7, 10), rho: sp.S.Zero, s: sp.S.One}
        means = [mp.mpf(sp.N(moments.mean.subs(tau, middle[scale]), 30)) for scale in (a, b)]
        assert abs(digits(form.value, middle) - means[0] * means[1]) < 1e-20
    with mp.workdps(50):
        # Some terms go to infinity as s does to 0, and their sum does not.
        end = {a: sp.Rational(3, 5), b: sp.Rational(3, 5), rho: sp.sqrt(1 - small**2), s: small}
        energy = mp.mpf(sp.N(moments.second_moment.subs(tau, end[a]), 30))
        assert abs(digits(form.value, end) - energy) < 1e-20
        if not activation.jumps:
            slopes = mp.mpf(sp.N(moments.slope_energy.subs(tau, end[a]), 30))
            assert abs(digits(form.slope, end) - slopes) < 1e-20


def rule(cuts: Array) -> tuple[Array, Array]:
    """Gauss-Legendre panels between the cuts, rows apart; weights include the normal density."""
    y, w = np.polynomial.legendre.leggauss(16)
    edges = np.sort(np.clip(cuts, -9, 9), axis=1)
    half, centre = np.diff(edges, axis=1)[:, :, None] / 2, (edges[:, 1:] + edges[:, :-1])[:, :, None] / 2
    points = (centre + half * y).reshape(len(cuts), -1)
    return points, (half * w).reshape(len(cuts), -1) * np.exp(-(points**2) / 2) / np.sqrt(2 * np.pi)


def brute_force(functions: list[Callable[[Array], Array]], edges: Array, p: float, q: float, r: float) -> float:
    """The double integral in float64, panels split at every kink, inner integrals at those in v."""

    def value(points: Array) -> Array:
        return np.choose(np.searchsorted(edges, points), [np.broadcast_to(f(points), points.shape) for f in functions])

    c = np.sqrt(1 - r**2)
    grid = np.linspace(-9, 9, 37)
    y, wy = rule(np.concatenate([grid, edges / p])[None, :])
    inner = np.concatenate([np.tile(grid, (y.size, 1)), (edges / q - r * y[0][:, None]) / c], axis=1)
    z, wz = rule(inner)
    return float(wy[0] @ (value(p * y[0]) * np.sum(wz * value(q * (r * y[0][:, None] + c * z)), axis=1)))


@pytest.mark.parametrize("text", [*CLOSED, *EXPRESSIONS])
def test_double_integrals(text: str) -> None:
    activation = closed(text)
    form = dual_form(activation)
    assert form is not None
    edges = np.array([float(point) for point in activation.breakpoints])
    for pieces, expression in ((activation.pieces, form.value), (activation.slope_pieces, form.slope)):
        if expression is form.slope and activation.jumps:
            continue
        functions = [sp.lambdify(x, piece.expr, ["scipy", "numpy"]) for piece in pieces]
        for p, q, r in ((1.25, 0.5, -0.8), (0.3, 0.3, 0.96)):
            exact = [sp.Rational(str(number)) for number in (p, q, r)]
            with mp.workdps(20):
                found = digits(expression, dict(zip((a, b, rho, s), [*exact, sp.sqrt(1 - exact[2] ** 2)], strict=True)))
            with np.errstate(over="ignore"):
                assert abs(float(found) - brute_force(functions, edges, p, q, r)) < 2e-12, (p, q, r)


def test_bivariate_normal_derivatives() -> None:
    """Its partial derivatives against differences of the integral that defines it."""
    h, k, r, c = sp.symbols("h k r c", real=True)
    point = {h: sp.Rational(1, 3), k: -sp.Rational(1, 2), r: sp.Rational(3, 5), c: sp.Rational(4, 5)}
    at = [mp.mpf(str(sp.N(point[name], 25))) for name in (h, k, r, c)]
    with mp.workdps(20):
        for place, name in enumerate((h, k, r)):

            def along(t: mp.mpf, place: int = place) -> mp.mpf:
                moved = [*at[:place], t, *at[place + 1 : 3]]
                return plane(*moved, mp.sqrt(1 - moved[2] ** 2))

            exact = digits(sp.diff(bivariate_normal(h, k, r, c), name), point)
            assert abs(exact - mp.diff(along, at[place], h=mp.mpf("1e-7"))) < 1e-10
    assert sp.diff(bivariate_normal(h, k, r, c), c) == 0


@pytest.mark.parametrize(
    "text",
    [
        "tanh",
        "swish",
        "Abs(x)**(3/2)",
        # Two steps in one term: an error function on part of the line, or two in a product.
        "Piecewise((erf(x), x < 1), (1, True))",
        "erf(x)**2",
        # Steps of complex arguments.
        "Piecewise((sin(x), x > 0), (0, True))",
        "sin(x)*erf(x)",
    ],
)
def test_activations_without_a_closed_form(text: str) -> None:
    assert dual_form(closed(text)) is None


def test_exponentials_that_meet_steps_are_marked() -> None:
    for text, tilted in (("elu", True), ("exp(x)", False), ("relu", False), ("x*exp(-x**2)*erf(x)", False)):
        form = dual_form(closed(text))
        assert form is not None
        assert form.tilted is tilted


def test_parameters_stay_symbols() -> None:
    slope = sp.Symbol("a", real=True)
    form = dual_form(registry.registered("leaky_relu"))
    assert form is not None
    # Half the plane in which u > 0 > v and its mirror image have slope a, both positive 1, both negative a^2.
    both = sp.Rational(1, 4) + sp.asin(rho) / (2 * sp.pi)
    assert equal(form.slope, both * (1 + slope**2) + 2 * slope * (sp.Rational(1, 2) - both))
