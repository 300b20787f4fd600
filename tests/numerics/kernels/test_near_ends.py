"""Pairs of nearly parallel samples, and samples of any size: entries against mpmath, and the bounds that they report.

The references are those of ``near_ends.py``, which knows nothing of the float64 path.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import mpmath as mp
import numpy as np
import pytest

from numerics.arithmetic import pointwise
from numerics.equilibrium import solve_float
from numerics.kernels import implicit_kernels, with_dual
from tests.numerics.kernels.near_ends import BIAS, CASES, FILE, SETTINGS, SIGMA_A2, SIGMA_B2, pair, reference
from theory.activations import registry
from theory.equations import DEQ
from theory.kernels import Kernel

RECURRENT = (Kernel.CK, Kernel.NTK_RECURRENT)


GOLDEN = json.loads(FILE.read_text("utf-8"))["entries"]


def test_the_golden_values_are_those_of_the_reference() -> None:
    """One of them computed again; ``near_ends.py`` computes all."""
    case = CASES[1]
    (golden,) = [one for one in GOLDEN if one["activation"] == case.text and one["gap"] == 1e-15]
    with mp.workdps(30):
        value, slope = reference(case, pair(golden["gap"], golden["sign"], golden["size"]), SIGMA_A2, SIGMA_B2, BIAS)
        assert abs(value - mp.mpf(golden["entry"])) < mp.mpf(10) ** -26
        assert abs(slope - mp.mpf(golden["slope"])) < mp.mpf(10) ** -24
    assert len(GOLDEN) == len(CASES) * len(SETTINGS)


@pytest.mark.parametrize(
    "golden", GOLDEN, ids=lambda one: f"{one['activation']}-{one['gap']:g}-{one['sign']}-{one['size']:.8g}"
)
def test_nearly_parallel_pairs_are_within_their_bounds(golden: dict[str, Any]) -> None:
    gap, sa = golden["gap"], SIGMA_A2
    found = implicit_kernels(
        pair(gap, golden["sign"], golden["size"]),
        with_dual(registry.resolve(golden["activation"]).with_parameters()),
        sa,
        SIGMA_B2,
        BIAS,
        kernels=RECURRENT,
    )
    with mp.workdps(30):
        value, turn = mp.mpf(golden["entry"]), mp.mpf(golden["slope"])
        ntk = value / (1 - sa * turn)
    # One rounding of the result itself is not in the bounds.
    assert abs(found[Kernel.CK][0, 1] - value) <= found.evidence.truncation_bound + 2e-16
    allowed = (found.evidence.truncation_bound + abs(ntk) * sa * found.evidence.slope_bound) / (1 - sa * turn)
    assert abs(found[Kernel.NTK_RECURRENT][0, 1] - ntk) <= allowed + 4e-16
    # And they say something.
    assert found.evidence.truncation_bound < 1e-12
    assert (
        found.evidence.slope_bound < 2e-13 / np.sqrt(gap) + 1e-15 if gap > 1e-14 else found.evidence.slope_bound < 1e-6
    )


def test_the_entry_that_was_wrong_in_the_ninth_digit() -> None:
    """clip(x, -1/3, 2) + x/5 at its own equilibrium; the right value is from the two-dimensional quadrature."""
    deq = DEQ(CASES[0].text, 0.4)
    phi, bias = pointwise(deq.activation), solve_float(deq)["bias"]
    found = implicit_kernels(pair(1e-12), phi, 0.4, 0.6, bias, kernels=RECURRENT)
    error = abs(found[Kernel.NTK_RECURRENT][0, 1] - 1.02832720602)
    assert error < 1e-10
    assert error < found.evidence.slope_bound * 2


def sine_pair(first: float, second: float, inner: float, sa: float, sb: float, bias: float) -> list[mp.mpf]:
    """G_11, G_12 and G_22 for sin - bias: E[sin u sin v] = exp(-(a + b)/2) sinh(c) for variances a, b, covariance c."""
    a2, b2, shift = mp.mpf(sa), mp.mpf(sb), mp.mpf(bias)

    def energy(v: mp.mpf) -> mp.mpf:
        return (1 - mp.exp(-2 * v)) / 2 + shift**2

    def settled(step: Callable[[mp.mpf], mp.mpf]) -> mp.mpf:
        value = mp.mpf(0)
        for _ in range(3000):
            value = step(value)
        return value

    variances = [settled(lambda v, s=s: a2 * energy(v) + b2 * mp.mpf(s)) for s in (first, second)]
    damping = mp.exp(-sum(variances) / 2)
    cross = settled(lambda g: damping * mp.sinh(a2 * g + b2 * mp.mpf(inner)) + shift**2)
    return [energy(variances[0]), cross, energy(variances[1])]


@pytest.mark.parametrize("bias", [0.0, 1e-18, 1e-12, 0.1])
@pytest.mark.parametrize("norm", [0.0, 1e-40, 1e-30, 1e-12])
def test_samples_of_norm_zero_and_nearly(norm: float, bias: float) -> None:
    """Whatever the bias is, every entry is right relative to sqrt(G_ii G_jj)."""
    inner = 0.5 * np.sqrt(norm)
    gram = np.array([[1.0, 0.0, inner], [0.0, 0.0, 0.0], [inner, 0.0, norm]])
    phi = pointwise(registry.registered("sin").with_parameters())
    found = implicit_kernels(gram, phi, 0.9, 0.8, bias)[Kernel.CK]
    with mp.workdps(60):
        for i, j in ((0, 1), (0, 2), (1, 2)):
            exact = sine_pair(gram[i, i], gram[j, j], gram[i, j], 0.9, 0.8, bias)
            # The fixed points of slope 0.9 magnify rounding tenfold.
            sizes = (exact[0], mp.sqrt(exact[0] * exact[2]), exact[2])
            for value, right, size in zip((found[i, i], found[i, j], found[j, j]), exact, sizes, strict=True):
                assert abs(value - right) <= 2e-11 * size


def scaled(gram: np.ndarray, factors: list[float]) -> np.ndarray:
    """S of samples multiplied by factors, where that may underflow."""
    with np.errstate(all="ignore"):
        return np.asarray(gram * np.array(factors)[:, None] * np.array(factors))


@pytest.mark.parametrize("name", ["relu", "leaky_relu"])
@pytest.mark.parametrize("size", [1e-150, 1e-100, 1e-8, 1e30, 1e140])
def test_homogeneous_kernels_of_samples_of_any_size(name: str, size: float) -> None:
    """K(c x, y) = c K(x, y), and the caller's error settings change nothing."""
    gram = np.array([[1.0, 0.3, 0.2, 0.1], [0.3, 0.5, 0.5, 0.4], [0.2, 0.5, 1.0, 0.999], [0.1, 0.4, 0.999, 4.0]])
    phi = pointwise(registry.registered(name).with_parameters())
    plain = implicit_kernels(gram, phi, 0.4, 0.6, 0.0, kernels=Kernel)
    factors = [1.0, 1.0, size, size]
    with np.errstate(all="raise"):
        found = implicit_kernels(scaled(gram, factors), phi, 0.4, 0.6, 0.0, kernels=Kernel)
    for kernel in Kernel:
        with np.errstate(under="ignore"):
            expected = scaled(plain[kernel], factors)
        np.testing.assert_allclose(found[kernel], expected, rtol=1e-13, atol=0)


@pytest.mark.parametrize("size", [1e-160, 1e-200, 1e-320])
@pytest.mark.parametrize("name", ["relu", "tanh", "hard_tanh", "elu"])
def test_samples_whose_norm_underflows_leave_the_others_alone(name: str, size: float) -> None:
    """Their squared norm has few digits or none left; no entry is further off than sqrt(G_ii G_jj)."""
    gram = np.array([[1.0, 0.3, 0.2], [0.3, 0.5, 0.5], [0.2, 0.5, 1.0]])
    phi = pointwise(registry.registered(name).with_parameters())
    with np.errstate(all="raise"):
        kernel = Kernel.NTK_RECURRENT
        found = implicit_kernels(scaled(gram, [1.0, 1.0, size]), phi, 0.4, 0.6, 0.0, kernels=(kernel,))[kernel]
    two = implicit_kernels(gram[:2, :2], phi, 0.4, 0.6, 0.0, kernels=(kernel,))[kernel]
    np.testing.assert_allclose(found[:2, :2], two, rtol=1e-13)
    assert np.all(np.abs(found[2]) <= 10 * size)


def test_many_steep_nearly_parallel_pairs_agree_with_the_series() -> None:
    """tanh(100 (x - 0.3)) of pairs on both sides of where the long series gives up: G is smooth in rho there."""
    phi = pointwise(registry.resolve("tanh(100*(x - 3/10))").with_parameters())
    rho = 1 - 0.02 * np.arange(1, 6) ** 2 / 25
    found = []
    for r in rho:
        report = implicit_kernels(np.array([[1.0, r], [r, 1.0]]), phi, 0.0, 1.0, 0.0)
        assert report.evidence.truncation_bound < 1e-11
        found.append(report[Kernel.CK][0, 1])
    # sign(x - 0.3) up to the width of the step: P(one is above and the other below 0.3), by the angle's integral.
    for r, value in zip(rho, found, strict=True):
        nodes, weights = np.polynomial.legendre.leggauss(60)
        angles = np.arccos(r) * (nodes + 1) / 2
        apart = np.sum(weights * np.exp(-(0.09) / (1 + np.cos(angles)))) * np.arccos(r) / 4 / np.pi
        assert value == pytest.approx(1 - 4 * apart, abs=0.04)
