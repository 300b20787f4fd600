"""Moments in float64: against closed forms, and None where E[phi'^2] is infinite."""

from __future__ import annotations

import numpy as np
import pytest
import sympy as sp
from scipy.special import gamma

from numerics.arithmetic import pointwise
from numerics.equilibrium import solve_float
from numerics.moments import FloatMoments
from theory.activations import Activation, registered, registered_names
from theory.kernels import NTK_COEFFICIENTS


def activation(text: str) -> Activation:
    return (registered(text) if text in registered_names() else Activation.from_text(text)).with_parameters()


@pytest.mark.parametrize("name", registered_names())
def test_slope_energy_is_finite_where_theory_says_so(name: str) -> None:
    phi = activation(name)
    moments = FloatMoments(pointwise(phi))
    assert moments.has_slope_energy == phi.has_finite_slope_energy
    assert moments.has_jumps == bool(phi.jumps)
    assert (moments.at(0.7).slope_energy is None) == (not phi.has_finite_slope_energy)


@pytest.mark.parametrize(
    ("text", "finite"),
    [
        ("sqrt(Abs(x))", False),
        ("sqrt(Abs(x - 3))/50 + tanh(x)", False),
        ("Abs(x)**(2/5)", False),
        ("sqrt(Max(x, 0))", False),
        ("sqrt(Abs(x))*x", True),
        ("Abs(x)**(3/5)", True),
        ("Abs(x + 2)**(2/3)", True),
        ("x*log(Abs(x))", True),
        ("100*Max(x - 1, 0)", True),
        ("tanh(10000*x) + Abs(x)", True),
        ("sqrt(Abs(x)) + sign(x)", False),
    ],
)
def test_singular_slopes(text: str, finite: bool) -> None:
    phi = activation(text)
    moments = FloatMoments(pointwise(phi))
    assert phi.has_finite_slope_energy is finite
    assert moments.has_slope_energy is finite
    assert (moments.at(1.2).slope_energy is not None) is finite
    assert moments.has_jumps == bool(phi.jumps)


@pytest.mark.parametrize(
    "degree", [sp.Rational(1, 3), sp.Rational(1, 2), sp.Rational(3, 5), sp.Rational(3, 4)], ids=str
)
@pytest.mark.parametrize("scale", [1e-3, 0.8, 30.0])
def test_powers_have_the_moments_of_the_gamma_function(degree: sp.Rational, scale: float) -> None:
    q = float(degree)

    def absolute(power: float) -> float:
        """E|xi|^power."""
        return float(2 ** (power / 2) * gamma((power + 1) / 2) / np.sqrt(np.pi))

    found = FloatMoments(pointwise(activation(f"Abs(x)**({degree})"))).at(scale)
    size = scale**q
    assert found.mean == pytest.approx(size * absolute(q), rel=1e-11)
    assert found.variance == pytest.approx(size**2 * (absolute(2 * q) - absolute(q) ** 2), rel=1e-11)
    assert found.d2 == pytest.approx(size / scale**2 * q * absolute(q), rel=1e-9)
    if degree > sp.Rational(1, 2):
        assert found.slope_energy == pytest.approx(size**2 / scale**2 * q * q * absolute(2 * q - 2), rel=1e-9)
    else:
        assert found.slope_energy is None


def test_without_slope_energy_there_is_no_ntk() -> None:
    found = solve_float(pointwise(activation("sqrt(Abs(x))")), 0.2, 0.8, 1.0)
    assert "ntk" not in found.margins
    assert not NTK_COEFFICIENTS & set(found.values)
    # v = s (E|xi| - E[|xi|^(1/2)]^2) sqrt(v) + b, with E|xi|^q from the gamma function.
    share = np.sqrt(2 / np.pi) - 2**0.5 * gamma(0.75) ** 2 / np.pi
    root = (0.2 * share + np.sqrt((0.2 * share) ** 2 + 3.2)) / 2
    assert found["tau"] == pytest.approx(root, rel=1e-10)
