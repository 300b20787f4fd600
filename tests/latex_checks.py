"""What printed LaTeX must satisfy: every formula is read back and evaluated against quadrature, or against the system.

Each check takes LaTeX as it was printed and raises AssertionError where it is wrong.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np
import pytest
import sympy as sp

from tests.latex_reader import equations, evaluate, gaussian_mean
from theory.activations import Activation
from theory.equations import NTK_KEYS, deq
from theory.latex import COEFFICIENT_SYMBOLS
from theory.symbols import alpha, d1, d2, d22, dd, lambda_, mean, sigma_a2, sigma_b2, tau, tau_0, variance, x

__all__ = [
    "TAU",
    "check_conditions",
    "check_constants",
    "check_equilibrium",
    "check_moments",
    "check_ntk",
    "check_system",
    "check_systems",
    "quadrature",
]

#: Where formulas in tau_* are evaluated, and a second place, where what lies behind kinks far out is seen as well.
TAU, _WIDE = 0.83, 1.7

_SYMBOLS = {
    "d1": d1, "d2": d2, "d22": d22, "dd": dd, "mean": mean, "variance": variance,
    r"\tau_*": tau, r"\tau_0": tau_0,
    **{rf"\alpha_*,{k}": alpha[k] for k in alpha},
    **{rf"\lambda_*,{k}": lambda_[k] for k in lambda_},
}  # fmt: skip


def _plain(symbol: str) -> str:
    """A name as the reader knows it."""
    return symbol.replace("{", "").replace("}", "")


def _bare(text: str) -> str:
    """The right side of an equation without its label and punctuation."""
    return text.partition(r"\label")[0].strip(" ,.\n")


# --- the equations of the theory -------------------------------------------------------------------------------------


def environment() -> dict[str, Any]:
    """Moments at which every denominator is positive, and variances."""
    return {
        "d1": 0.6, "d2": -0.35, "d22": 0.8, "dd": 0.5, "mean": 0.2, "variance": 0.4,
        r"\sigma_a": np.sqrt(0.3), r"\sigma_b": np.sqrt(0.7), r"\tau_*": TAU, r"\tau_0": 1.1, r"\gamma_*": np.sqrt(0.4),
    }  # fmt: skip


def check_equilibrium(text: str) -> None:
    """The equation of tau_*."""
    ((left, sign, right),) = equations(text)
    assert (left, sign) == (r"\tau_*^2", "=")
    assert evaluate(right, environment()) == pytest.approx(0.3 * 0.4 + 0.7 * 1.1**2)


def check_conditions(text: str) -> None:
    """What must be below 1."""
    found = equations(text)
    assert [(sign, _bare(right)) for _, sign, right in found] == [("<", "1")] * 3
    assert [evaluate(left, environment()) for left, _, _ in found] == pytest.approx([0.12, 0.108, 0.15])


def check_systems(solution: str, system: str, preactivation: str) -> None:
    """The solution solves both forms of the system, and is the one that theory derives (theory sheet, section 3)."""
    known = environment()
    for left, _, right in equations(solution):
        known[_plain(left)] = evaluate(right, known)
    assert {r"\alpha_*,4", r"\lambda_*,3"} <= known.keys()
    for text, count in ((system, 4), (preactivation, 3)):
        found = equations(text)
        assert len(found) == count
        for left, sign, right in found:
            assert sign == "="
            assert evaluate(right, known) == pytest.approx(known[_plain(left)], rel=1e-14)
    values = {symbol: known[name] for name, symbol in _SYMBOLS.items() if name in known}
    values |= {sigma_a2: 0.3, sigma_b2: 0.7}
    for key, expr in (deq.ck_coefficients() | deq.preactivation_coefficients()).items():
        assert known[_plain(COEFFICIENT_SYMBOLS[key])] == pytest.approx(float(expr.subs(values)), rel=1e-13)
    alphas = [known[rf"\alpha_*,{k}"] for k in (1, 2, 3)]
    lambdas = [known[rf"\lambda_*,{k}"] for k in (1, 2, 3)]
    assert lambdas == pytest.approx([0.3 * alphas[0] + 0.7, 0.3 * alphas[1], 0.3 * alphas[2]], rel=1e-14)


def check_ntk(text: str, kind: str) -> None:
    """Differences of the entrywise formula in S and delta_i delta_j (theory sheet, section 2)."""
    known = environment() | {rf"\alpha_*,{k}": 0.1 * k + 0.2 for k in range(1, 5)}
    known |= {rf"\lambda_*,{k}": 0.05 * k + 0.4 for k in range(1, 4)}
    rows = equations(text)
    assert [left for left, _, _ in rows] == [COEFFICIENT_SYMBOLS[key] for key in NTK_KEYS[kind]]
    printed = [evaluate(right, known) for _, _, right in rows]
    al = [known[rf"\alpha_*,{k}"] for k in (1, 2, 3)]
    la = [known[rf"\lambda_*,{k}"] for k in (1, 2, 3)]
    weight = 0.3

    def kernel(g: float, gram: float, gdot: float) -> float:
        whole = 1 / (1 - weight * gdot)
        return {"recurrent": g * whole, "preactivation": gram * whole, "all": g + gram * gdot * whole}[kind]

    def entry(s: float, q: float) -> float:
        g = al[0] * s + al[1] * q + al[2] * s**2
        gram = la[0] * s + la[1] * q + la[2] * s**2
        slopes = known["d1"] ** 2 + known["d2"] ** 2 * la[0] * s
        return kernel(g, gram, slopes)

    h = 1e-4
    linear = (entry(h, 0) - entry(-h, 0)) / (2 * h)
    square = (entry(h, 0) + entry(-h, 0)) / (2 * h**2)
    diagonal = kernel(known[r"\gamma_*"] ** 2, TAU**2, known["dd"])
    assert printed == pytest.approx([linear, entry(0, 1.0), square, diagonal], rel=2e-6)


# --- activations -----------------------------------------------------------------------------------------------------

_LEFT = {
    r"\mathbb{E}[\phi_0(\tau_*\xi)]": "mean",
    r"\mathbb{E}[\phi_0(\tau_*\xi)^2]": "second moment",
    r"\operatorname{Var}[\phi_0(\tau_*\xi)]": "variance",
    r"\mathbb{E}[\phi'(\tau_*\xi)]": "d1",
    r"\mathbb{E}[\phi''(\tau_*\xi)]": "d2",
    r"\mathbb{E}[(\phi_0^2)''(\tau_*\xi)]": "second moment''",
    r"\mathbb{E}[(\phi^2)''(\tau_*\xi)]": "d22",
    r"\mathbb{E}[\phi'(\tau_*\xi)^2]": "dd",
}
#: Close enough that a piece that ends in the wrong place is seen.
_AT = np.linspace(-9.03, 9.01, 400)


def _function(expr: sp.Expr) -> Any:
    return sp.lambdify(x, expr.rewrite(sp.Piecewise), ["scipy", {"sigmoid": _sigmoid, "softplus": _soft}])


def _sigmoid(value: Any) -> Any:
    return 1 / (1 + np.exp(-value))


def _soft(value: Any) -> Any:
    return np.log1p(np.exp(-np.abs(value))) + np.maximum(value, 0)


@cache
def quadrature(activation: Activation, scale: float = TAU) -> Mapping[str, float]:
    """The moments at a scale from the activation as it was given, by Stein's identities, not theory's integration."""
    written = _function(activation.expr)
    kinks = [float(point) / scale for point in activation.breakpoints]

    @np.errstate(invalid="ignore")  # a piece is evaluated outside its interval too, and then left out
    def function(argument: Any) -> Any:
        return written(argument)

    def raw(power: int, order: int) -> float:
        return gaussian_mean(lambda xi: xi**power * (function(scale * xi) + 0 * xi) ** order, kinks)

    def slope_energy() -> float:
        total = 0.0
        for piece in activation.slope_pieces:
            slope = _function(piece.expr)
            low, high = float(piece.lower) / scale, float(piece.upper) / scale

            def inside(xi: Any, slope: Any = slope, low: float = low, high: float = high) -> Any:
                # A piece may not even exist outside its interval.
                where = np.clip(xi, low, high)
                return np.where((xi > low) & (xi < high), (slope(scale * where) + 0 * xi) ** 2, 0.0)

            total += gaussian_mean(inside, kinks)
        return total

    first = raw(0, 1)
    second = (raw(2, 1) - first) / scale**2
    square = (raw(2, 2) - raw(0, 2)) / scale**2
    return {
        "mean": first, "second moment": raw(0, 2), "variance": raw(0, 2) - first**2,
        "d1": raw(1, 1) / scale, "d2": second, "second moment''": square, "d22": square - 2 * first * second,
        "dd": np.inf if not activation.has_finite_slope_energy else slope_energy(),
    }  # fmt: skip


def check_constants(text: str, constants: Mapping[sp.Symbol, sp.Rational]) -> None:
    """The values of named constants, to the last digit."""
    found = {left: sp.Rational(_bare(right)) for left, _, right in equations(text)}
    assert found == {str(symbol): value for symbol, value in constants.items()}


@np.errstate(invalid="ignore")
def check_moments(text: str, activation: Activation, constants: Mapping[sp.Symbol, sp.Rational]) -> None:
    """An activation and its moments; a formula that goes through phi_0 means the one that is printed."""
    first, *rest = equations(text)
    assert first[0] == r"\phi_0(x)"
    assert {"mean", "variance", "d1", "d2", "d22", "dd"} <= {_LEFT[left] for left, _, _ in rest}
    named = {symbol.name: float(value) for symbol, value in constants.items()}
    for scale in (TAU, _WIDE):
        measured = quadrature(activation, scale)
        kinks = [0.0, *(float(point) / scale for point in activation.breakpoints)]
        known: dict[str, Any] = named | {r"\tau_*": scale, "kinks": kinks} | measured

        def phi_0(argument: Any, known: dict[str, Any] = known) -> Any:
            return evaluate(first[2], known | {"x": argument})

        assert phi_0(_AT) == pytest.approx(_function(activation.expr)(_AT) + 0 * _AT, rel=1e-12, abs=1e-13)
        size = max(1.0, abs(measured["second moment"]))
        for left, sign, right in rest:
            found = complex(evaluate(right, known | {r"\phi_0": phi_0}))
            assert sign == "="
            assert found.imag == pytest.approx(0, abs=1e-12)
            assert found.real == pytest.approx(measured[_LEFT[left]], rel=1e-10, abs=2e-11 * size), (left, right)


@np.errstate(invalid="ignore")
def check_system(text: str, activation: Activation, constants: Mapping[sp.Symbol, sp.Rational]) -> None:
    """At the moments by quadrature the coefficients are known; every equation must hold with them."""
    known: dict[str, Any] = environment() | quadrature(activation)
    weight_a, weight_b = 0.05, 0.7
    known |= {r"\sigma_a": np.sqrt(weight_a), r"\sigma_b": np.sqrt(weight_b)}
    # tau_0 is such that TAU is the equilibrium.
    known[r"\tau_0"] = np.sqrt((TAU**2 - weight_a * known["variance"]) / weight_b)
    known |= {symbol.name: float(value) for symbol, value in constants.items()}
    known["kinks"] = [0.0, *(float(point) / TAU for point in activation.breakpoints)]
    values = {symbol: known[key] for key, symbol in _SYMBOLS.items() if key in known}
    values |= {sigma_a2: weight_a, sigma_b2: weight_b}
    for key, expr in deq.ck_coefficients().items():
        known[_plain(COEFFICIENT_SYMBOLS[key])] = float(expr.subs(values))
    found = equations(text)
    assert [left for left, _, _ in found] == [r"\tau_*^2", *(COEFFICIENT_SYMBOLS[f"alpha{k}"] for k in range(1, 5))]
    for left, sign, right in found:
        expected = TAU**2 if left == r"\tau_*^2" else known[_plain(left)]
        assert sign == "="
        assert complex(evaluate(right, known)).real == pytest.approx(expected, rel=1e-9, abs=1e-10), (left, right)
