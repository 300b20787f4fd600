"""Deterministic equivalents: the operator against its formula, and against the exact kernel."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray

from numerics.data import GaussianMixture, MixtureSample, MixtureStatistics
from numerics.equivalents import DeterministicEquivalent, low_rank_core
from numerics.kernels import implicit_kernels
from numerics.linalg import operator_norm
from numerics.moments import gaussian_moment
from theory.kernels import Kernel, KernelCoefficients

Array = NDArray[np.float64]
SA, SB = 0.2, 0.8


@dataclass(frozen=True)
class Activation:
    value: Callable[[Array], Array]
    derivative: Callable[[Array], Array]
    breakpoints: tuple[float, ...]


RELU = Activation(lambda x: np.maximum(x, 0), lambda x: (x > 0) * 1.0, (0.0,))
TANH = Activation(np.tanh, lambda x: 1 - np.tanh(x) ** 2, ())


def coefficients(phi: Activation, tau0: float) -> tuple[dict[str, float], float]:
    """alpha_1..3, gamma_*^2 and the bias by plain iteration (theory sheet, section 3)."""
    v = SB * tau0**2

    def moment(function: Callable[[Array], Array], degree: int) -> float:
        return float(gaussian_moment(function, np.array([np.sqrt(v)]), phi.breakpoints, degree=degree)[0])

    for _ in range(200):
        bias = moment(phi.value, 0)
        v = SA * (moment(lambda x: phi.value(x) ** 2, 0) - bias**2) + SB * tau0**2
    bias = moment(phi.value, 0)
    gamma2 = moment(lambda x: (phi.value(x) - bias) ** 2, 0)
    d1 = moment(phi.value, 1) / np.sqrt(v)
    d2 = moment(phi.value, 2) * np.sqrt(2) / v
    d22 = moment(lambda x: (phi.value(x) - bias) ** 2, 2) * np.sqrt(2) / v
    alpha4 = SB / (1 - SA * d22 / 2)
    alpha1 = d1**2 * SB / (1 - SA * d1**2)
    alpha2 = d2**2 * alpha4**2 / 4 / (1 - SA * d1**2)
    alpha3 = d2**2 * (SA * alpha1 + SB) ** 2 / 2 / (1 - SA * d1**2)
    return {"alpha1": alpha1, "alpha2": alpha2, "alpha3": alpha3, "gamma2": gamma2}, bias


def test_reference_coefficients_are_the_closed_forms_of_relu() -> None:
    found, bias = coefficients(RELU, 1.3)
    share = 1 / 2 - 1 / (2 * np.pi)
    v = SB * 1.3**2 / (1 - SA * share)
    assert bias == pytest.approx(np.sqrt(v / (2 * np.pi)), rel=1e-13)
    assert found["gamma2"] == pytest.approx(v * share, rel=1e-12)
    assert found["alpha1"] == pytest.approx((SB / 4) / (1 - SA / 4), rel=1e-12)
    # d2 = 1/(tau sqrt(2 pi)); (phi^2)'' = 2 phi'^2 + 2 phi phi'' with phi(0) = -bias: d22 = 1 - 1/pi.
    alpha4 = SB / (1 - SA * (1 - 1 / np.pi) / 2)
    alpha2 = alpha4**2 / (8 * np.pi * v) / (1 - SA / 4)
    assert found["alpha2"] == pytest.approx(alpha2, rel=1e-12)


def small() -> tuple[MixtureSample, MixtureStatistics]:
    mixture = GaussianMixture.build(np.eye(3, 20) * 3, [1.0, np.linspace(0.5, 1.5, 20), 1.7 * np.eye(20)], [6, 5, 4])
    sample = mixture.sample(np.random.default_rng(1))
    return sample, sample.statistics()


@pytest.mark.parametrize("held", ["gram", "data"])
def test_operator_is_the_formula(held: str) -> None:
    sample, statistics = small()
    gram, p = sample.gram(), 20
    given = {"gram": gram} if held == "gram" else {"data": sample.data}
    operator = DeterministicEquivalent.from_statistics(
        statistics, KernelCoefficients(0.3, 0.2, 0.5, 0.7), tau0=1.1, **given
    )
    j, t, psi = statistics.indicator, statistics.t, statistics.psi
    expected = 0.3 * gram + (0.7 - 1.1**2 * 0.3) * np.eye(15)
    expected += j @ (0.2 * np.outer(t, t) + 0.5 * statistics.T) @ j.T / p
    expected += 0.2 * (np.outer(j @ t, psi) + np.outer(psi, j @ t)) / np.sqrt(p)
    expected += 0.2 * np.outer(psi, psi)
    np.testing.assert_allclose(operator.dense(), expected, atol=1e-14)
    np.testing.assert_allclose(operator @ np.eye(15), expected, atol=1e-14)
    vector = np.arange(15.0)
    np.testing.assert_allclose(operator @ vector, expected @ vector, atol=1e-12)
    np.testing.assert_allclose(operator.T @ vector, expected @ vector, atol=1e-12)
    norm = operator_norm(operator, np.random.default_rng(0)).value
    assert norm == pytest.approx(np.linalg.norm(expected, 2))


def test_core_is_symmetric_with_the_right_rank() -> None:
    _, statistics = small()
    core = low_rank_core(0.4, 0.0, statistics)
    # alpha_3 = 0 leaves (J t/sqrt(p) + psi) times its transpose.
    assert np.linalg.matrix_rank(core) == 1
    np.testing.assert_array_equal(core, core.T)


def test_bad_input() -> None:
    sample, statistics = small()
    v, gram = statistics.low_rank, sample.gram()
    with pytest.raises(ValueError, match="exactly one"):
        DeterministicEquivalent(1.0, np.eye(4), v, 0.0)
    with pytest.raises(ValueError, match="exactly one"):
        DeterministicEquivalent(1.0, np.eye(4), v, 0.0, gram=gram, data=sample.data)
    with pytest.raises(ValueError, match="core"):
        DeterministicEquivalent(1.0, np.eye(3), v, 0.0, gram=gram)
    with pytest.raises(ValueError, match="gram"):
        DeterministicEquivalent(1.0, np.eye(4), v, 0.0, gram=gram[:3, :3])
    with pytest.raises(ValueError, match="columns"):
        DeterministicEquivalent(1.0, np.eye(4), v, 0.0, data=sample.data[:, :3])
    with pytest.raises(ValueError, match="finite"):
        DeterministicEquivalent(np.nan, np.eye(4), v, 0.0, gram=gram)


@cache
def error(name: str, p: int, seed: int, reading: str, variant: str = "") -> float:
    """||G* - Gbar|| on the released experiment."""
    phi = {"relu": RELU, "tanh": TANH}[name]
    sample = GaussianMixture.released_experiment(p).sample(np.random.default_rng([seed, p]))
    statistics, gram = sample.statistics(), sample.gram()
    tau0 = statistics.tau0("population" if reading == "population" else "empirical")
    alphas, bias = coefficients(phi, tau0)
    if variant == "diagonal":
        alphas["gamma2"] -= tau0**4 * alphas["alpha3"]
    numbers = KernelCoefficients.of(alphas, Kernel.CK)
    equivalent = DeterministicEquivalent.from_statistics(statistics, numbers, tau0=tau0, gram=gram)
    kernel = implicit_kernels(gram, phi, SA, SB, bias)[Kernel.CK]
    return operator_norm(kernel - equivalent.dense(), np.random.default_rng(0)).value


@pytest.mark.parametrize(
    ("name", "reading", "expected"),
    [
        ("relu", "population", 0.404),
        ("relu", "empirical", 0.152),
        ("tanh", "population", 0.934),
        ("tanh", "empirical", 0.653),
    ],
)
def test_errors_at_p_800_are_those_of_the_theory_sheet(name: str, reading: str, expected: float) -> None:
    """Section 6 gives one value each; the scatter between samples is about 2 per cent."""
    mean = np.mean([error(name, 800, seed, reading) for seed in range(3)])
    assert mean == pytest.approx(expected, rel=0.06)


@pytest.mark.parametrize("name", ["relu", "tanh"])
@pytest.mark.parametrize("reading", ["population", "empirical"])
def test_error_falls_with_p(name: str, reading: str) -> None:
    means = [np.mean([error(name, p, seed, reading) for seed in range(3)]) for p in (200, 400, 800)]
    assert means[0] > 1.1 * means[1] > 1.2 * means[2]


def test_the_extra_diagonal_term_of_the_older_code_is_worse() -> None:
    right = [error("relu", 800, seed, "population") for seed in range(3)]
    wrong = [error("relu", 800, seed, "population", "diagonal") for seed in range(3)]
    assert np.mean(wrong) > np.mean(right) + 0.05
