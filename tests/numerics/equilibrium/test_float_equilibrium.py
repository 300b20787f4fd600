"""What float64 says of an equilibrium is right to the bound it states, or refused: needles, hidden kinks, overflow."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import mpmath
import numpy as np
import pytest
import sympy as sp

from numerics.arithmetic import PointwiseActivation, pointwise
from numerics.equilibrium import (
    FloatEquilibrium,
    SweepLine,
    checked_moments,
    estimate_float,
    float_scale,
    reached_scale,
    solve_float,
    sweep,
)
from numerics.kernels import hermite_coefficients
from numerics.moments import FloatMoments, MomentAccuracyError, gaussian_moment, select_refinement
from theory.activations import resolve
from theory.equations import DEQ, EquilibriumError
from theory.symbols import x

R = sp.Rational
Function = Callable[[Any], Any]
#: In units of tau_0, ends of the integrals: more than 12 deviations where tau_* <= 3/2 tau_0.
_FAR = 18


def right_answer(phi: Function, places: list[float], width: float, weights: tuple[str, str, str]) -> dict[str, Any]:
    """tau_*, alpha_1, gamma_*^2 and E[phi] by plain mpmath, panels shrinking towards the places where phi is sharp."""
    with mpmath.workdps(25):
        a, b, tau0 = map(mpmath.mpf, weights)
        steps = [width * 4**k for k in range(40) if width * 4**k < 40]
        points = sorted({p + s * step for p in map(mpmath.mpf, places) for step in [0, *steps] for s in (1, -1)})

        # Fixed, and wide enough for every tau below: 48 nodes of Gauss and Legendre a panel, where phi is seen once.
        ends = [-_FAR * tau0, *(p for p in points if abs(p) < _FAR * tau0), _FAR * tau0]
        rule = mpmath.calculus.quadrature.GaussLegendre(mpmath.mp)
        nodes = [pair for low, high in pairwise(ends) for pair in rule.get_nodes(low, high, 5, mpmath.mp.prec)]
        values = [phi(x) for x, _ in nodes]

        def means(tau: Any) -> list[Any]:
            """E[phi], E[phi^2] and E[x phi] of x = tau xi."""
            weights = [w * mpmath.npdf(x / tau) / tau * f for (x, w), f in zip(nodes, values, strict=True)]
            return [
                mpmath.fsum(weights),
                mpmath.fdot(weights, values),
                mpmath.fdot(weights, [x for x, _ in nodes]),
            ]

        def variance(tau: Any) -> Any:
            first, second, _ = means(tau)
            return second - first**2

        tau = mpmath.findroot(
            lambda t: t**2 - a * variance(t) - b * tau0**2, mpmath.sqrt(b) * tau0 * mpmath.mpf("1.02")
        )
        bias, second, product = means(tau)
        slope = product / tau**2
        return {"tau": tau, "bias": bias, "gamma2": second - bias**2, "alpha1": slope**2 * b / (1 - a * slope**2)}


#: Text, the same for mpmath, where it is sharp and how narrow, and the parameters.
SHARP: list[tuple[str, Function, list[float], float, tuple[str, str, str]]] = [
    (
        "tanh(x) + exp(-((x - 0.7)/0.001)**2/2)",
        lambda x: mpmath.tanh(x) + mpmath.exp(-(((x - mpmath.mpf("0.7")) / mpmath.mpf("0.001")) ** 2) / 2),
        [0.7],
        1e-3,
        ("0.2", "0.8", "1"),
    ),
    (
        "sqrt((x - 0.3)**2 + 1e-8)",
        lambda x: mpmath.sqrt((x - mpmath.mpf("0.3")) ** 2 + mpmath.mpf("1e-8")),
        [0.3],
        1e-4,
        ("0.2", "0.8", "2"),
    ),
    (
        "1/(1 + 1e6*(x - 0.3)**2)",
        lambda x: 1 / (1 + mpmath.mpf(10) ** 6 * (x - mpmath.mpf("0.3")) ** 2),
        [0.3],
        1e-3,
        ("0.2", "0.8", "1"),
    ),
    (
        "x/2 + tanh(3000*(x + 1.1))/3",
        lambda x: x / 2 + mpmath.tanh(3000 * (x + mpmath.mpf("1.1"))) / 3,
        [-1.1],
        1e-4,
        ("0.5", "0.5", "1.5"),
    ),
]


@pytest.mark.parametrize(("text", "phi", "places", "width", "weights"), SHARP, ids=[case[0] for case in SHARP])
def test_what_quadrature_does_not_see_is_right_all_the_same(
    text: str, phi: Function, places: list[float], width: float, weights: tuple[str, str, str]
) -> None:
    right = right_answer(phi, places, width, weights)
    found = solve_float(DEQ(text, *map(float, weights)))
    for key, value in right.items():
        assert found.certified[key]
        assert abs(found[key] - value) <= found.errors[key] + 1e-14 * abs(value), key
        assert found.errors[key] <= 4e-16 * abs(float(value)), key
    (point,) = sweep(SweepLine(text, "tau0", *weights[:2]), weights[2:], 12, certified=False)
    assert float(point.decimals["alpha1"]) == pytest.approx(float(right["alpha1"]), rel=1e-11)


def test_the_reported_cases_have_their_values() -> None:
    """Of the cases file: 70-digit adaptive Gauss-Legendre, kinks split."""
    needle = solve_float(DEQ("tanh(x)+exp(-((x-0.7)/0.001)**2/2)", 0.2, 0.8, 1.0))
    assert needle["tau"] == pytest.approx(0.9350442374675641, rel=1e-15)
    assert needle.margins["ntk"] == pytest.approx(57, abs=0.5)
    assert "kappa2" not in needle.values
    assert "57.2" in needle.ntk_missing
    for tau0, alpha1 in ((1.0, 0.0515950), (2.0, 0.0131850)):
        found = solve_float(DEQ("sqrt((x-0.3)**2+1e-8)", 0.2, 0.8, tau0))
        assert found["alpha1"] == pytest.approx(alpha1, abs=6e-8)


def _overflowing(x: np.ndarray) -> np.ndarray:
    return np.log(1 + np.exp(x))


def test_overflow_is_a_refusal_and_not_a_root() -> None:
    """log(1 + exp(x)) as it is typed, of unknown formula: at tau_0 = 60 a nan is not a sign."""
    phi = PointwiseActivation("typed softplus", _overflowing, lambda x: np.exp(x) / (1 + np.exp(x)), ())
    with np.errstate(over="ignore", invalid="ignore"):
        for tau0 in (55.0, 60.0, 100.0):
            with pytest.raises(EquilibriumError, match="not finite"):
                estimate_float(phi, 0.2, 0.8, tau0)
        assert estimate_float(phi, 0.2, 0.8, 1.0)["tau"] == pytest.approx(
            solve_float(DEQ("softplus", 0.2, 0.8, 1.0))["tau"], rel=1e-12
        )


def test_an_equal_form_of_softplus_is_right_or_refused() -> None:
    for tau0, right in ((60.0, 55.5930), (100.0, 92.6560)):
        assert solve_float(DEQ("softplus", 0.2, 0.8, tau0))["tau"] == pytest.approx(right, abs=6e-5)


def test_a_function_without_formula_has_estimated_errors_that_hold() -> None:
    plain = pointwise("swish")
    unknown = PointwiseActivation("unknown", plain.value, plain.derivative, plain.breakpoints)
    right, found = solve_float(DEQ("swish", 0.2)), estimate_float(unknown, 0.2, 0.8, 1.0)
    assert not any(found.certified.values())
    assert found.reason
    assert found.values.keys() == right.values.keys()
    for key, value in found.values.items():
        assert abs(value - right[key]) <= found.errors[key] + right.errors[key], key
        assert found.errors[key] <= 1e-11


def test_a_function_without_formula_whose_quadrature_does_not_settle_is_refused() -> None:
    plain = pointwise("sqrt((x-0.3)**2+1e-8)")
    unknown = PointwiseActivation("hidden kink", plain.value, plain.derivative, ())
    with pytest.raises(EquilibriumError, match="settle to"):
        estimate_float(unknown, 0.2, 0.8, 1.0)
    with pytest.raises(EquilibriumError, match="settle in float64"):
        checked_moments(unknown, 0.9)


def test_no_verdict_rests_on_what_is_not_certified() -> None:
    values = {"tau": 1.0, "bias": 0.0, "alpha1": 0.5, "alpha2": 0.1, "alpha3": 0.1, "gamma2": 0.6}
    solution = FloatEquilibrium(values, {}, {}, dict.fromkeys(values, True) | {"bias": False}, "", "a reason")
    with pytest.raises(EquilibriumError, match=r"not certified.*a reason"):
        solution.checked()
    assert FloatEquilibrium(values, {}, {}, dict.fromkeys(values, True)).checked()["tau"] == 1.0


def test_moments_that_quadrature_misses_come_from_balls() -> None:
    """E[phi'^2] of the needle exp(-((x - c)/w)^2/2) is sqrt(pi)/(2 w) f(c) up to O(w^2), f the density of tau xi."""
    width, centre, scale = 1e-4, 0.37, 1.3
    phi = pointwise("exp(-((x - 0.37)/0.0001)**2/2)")
    density = np.exp(-((centre / scale) ** 2) / 2) / (scale * np.sqrt(2 * np.pi))
    found = checked_moments(phi, scale)
    assert found.slope_energy == pytest.approx(np.sqrt(np.pi) / (2 * width) * density, rel=1e-6)
    assert found.mean == pytest.approx(np.sqrt(2 * np.pi) * width * density, rel=1e-6)


def test_a_wrong_float_root_is_replaced_by_the_one_balls_see() -> None:
    """A narrow peak that one node happens to hit counts a thousandfold in quadrature."""
    deq = DEQ("30/(1 + 1e10*(x - 0.31)**2)", 0.2)
    # E[phi^2] = 900 pi/2 * 1e-5 f(0.31) and E[phi] = 30 pi * 1e-5 f(0.31) up to relative O(1e-5).
    tau = np.sqrt(0.8)
    for _ in range(50):
        density = np.exp(-((0.31 / tau) ** 2) / 2) / (tau * np.sqrt(2 * np.pi))
        tau = np.sqrt(0.8 + 0.2 * (450 * np.pi * 1e-5 * density - (30 * np.pi * 1e-5 * density) ** 2))
    assert reached_scale(pointwise(deq.activation), 0.2, 0.8, 1.0) == pytest.approx(tau, rel=1e-5)
    assert solve_float(deq)["tau"] == pytest.approx(tau, rel=1e-5)


def test_kernels_are_refused_where_quadrature_misses_the_activation() -> None:
    for text in ("1/(1+1e10*(x-0.3)**2)", "exp(-((x-0.7)/0.00001)**2/2)", "tanh(x) + exp(-((x-0.2)/0.00001)**2/2)"):
        with pytest.raises(MomentAccuracyError, match="narrow peaks"):
            select_refinement(pointwise(text), np.array([0.9, 1.0]))


@pytest.mark.parametrize("text", ["1/(1+1e6*(x-0.3)**2)", "exp(-((x-0.7)/0.001)**2/2)", "sqrt(Abs(x))"])
def test_what_needs_fine_panels_gets_them(text: str) -> None:
    """The energy at the chosen level against plain quadrature with the narrow part split off."""
    phi, scale = pointwise(text), 0.9
    level, error = select_refinement(phi, np.array([scale]))
    assert error < 1e-6
    found = gaussian_moment(lambda x: phi.value(x) ** 2, np.array([scale]), phi.breakpoints, refinement=level)
    with mpmath.workdps(30):
        centres = ("0.29", "0.299", "0.3", "0.301", "0.31", "0.69", "0.699", "0.7", "0.701", "0.71")
        places = sorted([-14, 0, 14, *(mpmath.mpf(centre) / scale for centre in centres)])
        function = sp.lambdify(x, resolve(text).expr, "mpmath")
        wanted = mpmath.quad(lambda y: function(mpmath.mpf(scale) * y) ** 2 * mpmath.npdf(y), places)
    assert found[0] == pytest.approx(float(wanted), rel=1e-6)


def test_kernels_are_refused_where_only_the_slope_is_missed() -> None:
    """A peak of height 1e-3 and width 1e-5 adds 1e-11 to E[phi^2] and 3e-2 to E[phi'^2]."""
    phi = pointwise("tanh(x) + exp(-((x-0.2)/0.00001)**2/2)/1000")
    level, error = select_refinement(phi, np.array([1.0]))
    assert error < 1e-7
    with pytest.raises(MomentAccuracyError, match="narrow peaks"):
        hermite_coefficients(phi, np.array([1.0]), 4, refinement=level)


def test_smooth_activations_pass_the_check_with_the_error_they_had() -> None:
    for name in ("tanh", "relu", "gelu", "sign", "elu"):
        scales = np.array([0.5, 1.0, 2.0])
        level, error = select_refinement(pointwise(name), scales)
        assert (level, error <= 1e-11) == (select_refinement(pointwise(name), scales, checked=False)[0], True)


def test_odd_activations_have_no_bias_at_all() -> None:
    assert solve_float(DEQ("sin(x)", 0.9, 0.8, 1.0))["bias"] == 0.0


def test_a_nan_on_the_way_is_an_error() -> None:
    plain = pointwise("x + x**3/100")
    cut = PointwiseActivation(
        "cut", lambda x: np.where(np.abs(x) < 30, plain.value(x), np.nan), plain.derivative, plain.breakpoints
    )
    with pytest.raises(EquilibriumError, match="not finite"):
        float_scale(FloatMoments(cut), 0.5, 0.5, 3.0, np.inf)
