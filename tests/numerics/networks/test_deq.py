"""Finite-width networks: fixed points, Jacobians and their limits, each against a path of its own."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy.optimize import root

import numerics.networks.deq
import numerics.networks.iteration
from numerics.arithmetic import PointwiseActivation, pointwise
from numerics.data import ENTRY_LAWS, FOURTH_MOMENTS, EntryLaw, draw_entries
from numerics.experiments import fit_rate
from numerics.kernels import explicit_kernels, implicit_kernels
from numerics.networks import (
    FiniteDEQ,
    FiniteExplicitNetwork,
    NonConvergenceError,
    explicit_ntk,
    implicit_ntks,
    solve_fixed_point,
)
from theory.activations import registered
from theory.equations import DEQ
from theory.kernels import Kernel

RELU, TANH = pointwise(registered("relu")), pointwise(registered("tanh"))
#: Smooth, neither odd nor homogeneous.
SMOOTH_TEXT = "tanh(x) + x*sigmoid(x)/2"
SMOOTH = pointwise(SMOOTH_TEXT)
RELU_BIAS = 0.4
A2, B2 = 0.3, 0.7


def samples(n: int, p: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((p, n)) / np.sqrt(p)


def relu_deq(width: int, p: int, seed: int, law: EntryLaw = "gaussian", sigma_a2: float = A2) -> FiniteDEQ:
    rng = np.random.default_rng(seed)
    return FiniteDEQ.draw(DEQ("relu", sigma_a2, B2), RELU_BIAS, width=width, dimension=p, rng=rng, law=law)


# --- fixed points --------------------------------------------------------------------------------


@pytest.mark.parametrize("sigma_a2", [0.2, 0.9])
def test_anderson_and_damped_reach_the_same_equilibrium_to_the_stated_residual(sigma_a2: float) -> None:
    network, data = relu_deq(150, 20, 1, sigma_a2=sigma_a2), samples(12, 20)
    found = [
        network.equilibrium(data, method="anderson", tolerance=1e-13),
        network.equilibrium(data, method="damped", tolerance=1e-13),
        network.equilibrium(data, method="damped", damping=0.6, tolerance=1e-13),
    ]
    for one in found:
        h = one.states
        u = np.sqrt(sigma_a2) * network.recurrent @ h / np.sqrt(150) + np.sqrt(B2) * network.inputs @ data
        np.testing.assert_allclose(one.preactivations, u, atol=1e-12)
        gap = np.linalg.norm(np.maximum(u, 0) - RELU_BIAS - h, axis=0) / np.linalg.norm(h, axis=0)
        assert gap.max() <= 1.01e-13 + 1e-15
        assert one.residual <= 1e-13
        np.testing.assert_allclose(h, found[0].states, atol=1e-11)
        np.testing.assert_allclose(one.ck, h.T @ h / 150, atol=1e-14)
        np.testing.assert_array_equal(one.ck, one.ck.T)


def test_equilibrium_is_the_root_that_another_solver_finds() -> None:
    network, data = relu_deq(12, 5, 3), samples(1, 5)
    A, drive = network.recurrent, np.sqrt(B2) * network.inputs @ data[:, 0]

    def gap(h: np.ndarray) -> np.ndarray:
        return np.maximum(np.sqrt(A2 / 12) * A @ h + drive, 0) - RELU_BIAS - h

    other = root(gap, np.zeros(12), tol=1e-13)
    assert other.success
    np.testing.assert_allclose(network.equilibrium(data, tolerance=1e-13).states[:, 0], other.x, atol=1e-10)


def test_every_sample_has_its_own_equilibrium() -> None:
    network, data = relu_deq(60, 8, 4), samples(6, 8)
    together = network.equilibrium(data, tolerance=1e-13).states
    alone = network.equilibrium(data[:, 2:4], tolerance=1e-13).states
    np.testing.assert_allclose(together[:, 2:4], alone, atol=1e-11)


def test_anderson_solves_an_affine_map_that_plain_iteration_does_not() -> None:
    """GMRES needs as many steps as dimensions: here the eigenvalues -3, 2, 0.5 and 0.2 are four."""
    rotation = np.linalg.qr(np.random.default_rng(0).standard_normal((4, 4)))[0]
    matrix, shift = rotation @ np.diag([-3.0, 2.0, 0.5, 0.2]) @ rotation.T, np.arange(8.0).reshape(4, 2)

    def step(x: np.ndarray) -> np.ndarray:
        return matrix @ x + shift

    found = solve_fixed_point(step, np.zeros((4, 2)), tolerance=1e-11, limit=12)
    np.testing.assert_allclose(found.value, np.linalg.solve(np.eye(4) - matrix, shift), atol=1e-9)
    assert found.iterations <= 8
    with pytest.raises(NonConvergenceError):
        solve_fixed_point(step, np.zeros((4, 2)), method="damped", limit=100)


def test_batches_of_samples_change_nothing_but_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three batches, the last one short: states and kernels are those of all samples at once, to the tolerance."""
    network, data = relu_deq(40, 12, 5), samples(11, 12)
    readout = np.random.default_rng(6).standard_normal(40)
    whole = network.equilibrium(data, tolerance=1e-13)
    kernels = implicit_ntks(network, data, whole, readout, tolerance=1e-13)
    monkeypatch.setattr(numerics.networks.iteration, "_BATCH", 40 * 4)
    shapes = []
    original = numerics.networks.iteration.solve_fixed_point

    def seen(step: object, start: np.ndarray, **others: object) -> object:
        shapes.append(start.shape)
        return original(step, start, **others)  # type: ignore[arg-type]

    monkeypatch.setattr(numerics.networks.deq, "solve_fixed_point", seen)
    parts = network.equilibrium(data, tolerance=1e-13)
    assert shapes == [(40, 4), (40, 4), (40, 3)]
    assert max(parts.residual, whole.residual) <= 1e-13
    np.testing.assert_allclose(parts.states, whole.states, atol=1e-12)
    again = implicit_ntks(network, data, parts, readout, tolerance=1e-13)
    np.testing.assert_allclose(again[Kernel.NTK_ALL], kernels[Kernel.NTK_ALL], atol=1e-11)


def test_non_convergence_says_its_numbers() -> None:
    rng = np.random.default_rng(0)
    chaotic = FiniteDEQ.draw(DEQ("tanh", 40, B2), 0.0, width=80, dimension=5, rng=rng)
    message = r"no fixed point in 50 steps .*\(80 neurons, 3 samples\).*asked for 1e-10"
    for method in ("damped", "anderson"):
        with pytest.raises(NonConvergenceError, match=message):
            chaotic.equilibrium(samples(3, 5), method=method, limit=50)
    exploding = FiniteDEQ.draw(DEQ("relu", 40, B2), 0.0, width=80, dimension=5, rng=rng)
    with pytest.raises(NonConvergenceError, match="no fixed point in"):
        exploding.equilibrium(samples(3, 5), method="damped", limit=5000)


def test_a_zero_sample_of_an_odd_activation_stays_at_zero() -> None:
    network = FiniteDEQ.draw(DEQ("tanh", A2, B2), 0.0, width=40, dimension=6, rng=np.random.default_rng(0))
    data = samples(3, 6)
    data[:, 1] = 0
    found = network.equilibrium(data)
    assert not found.states[:, 1].any()
    assert np.all(np.isfinite(implicit_ntks(network, data, found, np.ones(40))[Kernel.NTK_ALL]))


# --- Jacobians: finite differences of the fixed point itself ------------------------------------


def jacobian(function: Callable[[np.ndarray], np.ndarray], at: np.ndarray) -> np.ndarray:
    """Central differences of a vector function by a flat parameter vector."""
    step, columns = 1e-5, []
    for k in range(at.size):
        shift = np.zeros(at.size)
        shift[k] = step
        columns.append((function(at + shift) - function(at - shift)) / (2 * step))
    return np.array(columns).T


@pytest.mark.parametrize("method", ["anderson", "damped"])
def test_ntks_are_the_jacobians_of_the_fixed_point(method: str) -> None:
    m, n, p = 5, 3, 4
    rng = np.random.default_rng(8)
    A, B = rng.standard_normal((m, m)), rng.standard_normal((m, p))
    v, b = rng.standard_normal(m), rng.standard_normal(p)
    data, bias = 1.3 * samples(n, p, 2), 0.15

    def outputs(parts: dict[str, np.ndarray], *, as_preactivation: bool) -> np.ndarray:
        """Both scalar outputs written out, from a fixed point by plain iteration alone."""
        h = np.zeros((m, n))
        for _ in range(300):
            u = np.sqrt(A2 / m) * parts["A"] @ h + np.sqrt(B2) * parts["B"] @ data
            h = np.tanh(u) + u / (1 + np.exp(-u)) / 2 - bias
        if as_preactivation:
            return np.sqrt(A2 / m) * parts["v"] @ h + np.sqrt(B2) * parts["b"] @ data
        return parts["v"] @ h / np.sqrt(m)

    def kernel(trained: str, *, as_preactivation: bool = False) -> np.ndarray:
        parts = {"A": A, "B": B, "v": v, "b": b}
        shapes = [(name, parts[name].shape, parts[name].size) for name in trained]

        def function(theta: np.ndarray) -> np.ndarray:
            moved, start = dict(parts), 0
            for name, shape, size in shapes:
                moved[name] = theta[start : start + size].reshape(shape)
                start += size
            return outputs(moved, as_preactivation=as_preactivation)

        slopes = jacobian(function, np.concatenate([parts[name].ravel() for name in trained]))
        return slopes @ slopes.T

    network = FiniteDEQ(SMOOTH, bias, A2, B2, A, B)
    equilibrium = network.equilibrium(data, tolerance=1e-14, method="damped")
    found = implicit_ntks(network, data, equilibrium, v, tolerance=1e-14, method=method)  # type: ignore[arg-type]
    np.testing.assert_allclose(found[Kernel.NTK_RECURRENT], kernel("vA"), rtol=1e-8)
    np.testing.assert_allclose(found[Kernel.NTK_ALL], kernel("vAB"), rtol=1e-8)
    np.testing.assert_allclose(found[Kernel.NTK_PREACTIVATION], kernel("vbAB", as_preactivation=True), rtol=1e-8)
    np.testing.assert_allclose(found[Kernel.CK], kernel("v"), rtol=1e-8)


@pytest.mark.parametrize("rates", [None, (0.5, 0.0, 2.0, 1.5)])
def test_explicit_ntk_is_the_jacobian_of_the_network(rates: tuple[float, ...] | None) -> None:
    p, n = 4, 3
    rng = np.random.default_rng(9)
    weights = (rng.standard_normal((5, p)), rng.standard_normal((6, 5)), rng.standard_normal((3, 6)))
    layers = ((SMOOTH, 0.1), (TANH, -0.2), (SMOOTH, 0.3))
    v, data = rng.standard_normal(3), samples(n, p)

    def output(theta: np.ndarray) -> np.ndarray:
        z, start = data, 3
        for k, weight in enumerate(weights):
            W = theta[start : start + weight.size].reshape(weight.shape)
            start += weight.size
            u = W @ z / (1.0 if k == 0 else np.sqrt(z.shape[0]))
            z = np.tanh(u) + (0 if k == 1 else u / (1 + np.exp(-u)) / 2) - layers[k][1]
        return theta[:3] @ z / np.sqrt(3)

    slopes = jacobian(output, np.concatenate([v, *(W.ravel() for W in weights)]))
    found = explicit_ntk(FiniteExplicitNetwork(layers, weights), data, v, rates)
    *inner, last = rates or (1.0,) * 4
    own = np.repeat([last, *inner], [3, *(W.size for W in weights)])
    np.testing.assert_allclose(found, slopes @ (own[:, None] * slopes.T), rtol=1e-8)


# --- limits --------------------------------------------------------------------------------------


def average_kernel(
    draw: Callable[[np.random.Generator], np.ndarray], draws: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Mean of so many kernels, and the standard error of every entry."""
    kernels = np.array([draw(rng) for _ in range(draws)])
    return kernels.mean(axis=0), kernels.std(axis=0, ddof=1) / np.sqrt(draws)


def limiting_kernels(phi: PointwiseActivation, bias: float, gram: np.ndarray) -> dict[Kernel, np.ndarray]:
    """CK and NTKs of theory sheet section 2 for a smooth phi: plain iteration on Gauss-Hermite sums over every pair."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    weights = weights / weights.sum()
    first, second = nodes[:, None], nodes[None, :]

    def dual(function: Callable[[np.ndarray], np.ndarray], L: np.ndarray) -> np.ndarray:
        tau = np.sqrt(np.diagonal(L))
        rho = np.clip(L / np.outer(tau, tau), -1, 1)
        values = [
            weights
            @ (function(tau[i] * first) * function(tau[j] * (rho[i, j] * first + np.sqrt(1 - rho[i, j] ** 2) * second)))
            @ weights
            for i, j in np.ndindex(L.shape)
        ]
        return np.reshape(values, L.shape)

    G = np.zeros_like(gram)
    for _ in range(60):
        L = A2 * G + B2 * gram
        G = dual(lambda x: phi.value(x) - bias, L)
    slope = dual(phi.derivative, L)
    rest = 1 - A2 * slope
    return {
        Kernel.CK: G,
        Kernel.NTK_RECURRENT: G / rest,
        Kernel.NTK_PREACTIVATION: L / rest,
        Kernel.NTK_ALL: G + L * slope / rest,
    }


@pytest.mark.parametrize("law", ["gaussian", "rademacher", "student"])
def test_kernels_of_wide_networks_average_to_their_limits(law: EntryLaw) -> None:
    """Mean over draws within its standard errors of the limit, plus a bias of order 1/m that is bounded by 8/m."""
    m, draws, p = 500, 40, 30
    data = 1.2 * samples(4, p, 5)
    limits = limiting_kernels(SMOOTH, 0.15, data.T @ data)

    def draw(rng: np.random.Generator) -> np.ndarray:
        network = FiniteDEQ.draw(DEQ(SMOOTH_TEXT, A2, B2), 0.15, width=m, dimension=p, rng=rng, law=law)
        equilibrium = network.equilibrium(data, tolerance=1e-8)
        kernels = implicit_ntks(network, data, equilibrium, draw_entries(law, (m,), rng), tolerance=1e-8)
        return np.array([kernels[name] for name in limits])

    mean, error = average_kernel(draw, draws, np.random.default_rng(6))
    expected = np.array(list(limits.values()))
    assert error.max() < 0.04
    assert np.all(np.abs(mean - expected) <= 4.5 * error + 8 / m)
    # The test has power: kernels taken for one another are told apart.
    assert not np.all(np.abs(mean - np.roll(expected, 1, axis=0)) <= 4.5 * error + 8 / m)


def test_ck_approaches_its_limit_like_one_over_the_root_of_m() -> None:
    p, n, widths, draws = 30, 10, (64, 128, 256, 512), 24
    data = samples(n, p, 5)
    limit = implicit_kernels(data.T @ data, RELU, A2, B2, RELU_BIAS)[Kernel.CK]
    errors = [
        [
            np.linalg.norm(relu_deq(m, p, 1000 * m + k).equilibrium(data, tolerance=1e-8).ck - limit)
            for k in range(draws)
        ]
        for m in widths
    ]
    fit = fit_rate(widths, errors, np.random.default_rng(0), level=0.99).plain
    assert fit.interval[0] < -0.5 < fit.interval[1]
    assert fit.bootstrap[1] < -0.35
    assert fit.bootstrap[0] > -0.65


def test_explicit_ck_averages_to_its_limit() -> None:
    data = samples(4, 20)
    layers = ((SMOOTH, 0.1), (RELU, 0.3))
    limit = explicit_kernels(data.T @ data, layers)[Kernel.CK]
    m = 600
    mean, error = average_kernel(
        lambda rng: FiniteExplicitNetwork.draw(layers, width=m, dimension=20, rng=rng).ck(data),
        40,
        np.random.default_rng(1),
    )
    assert np.all(np.abs(mean - limit) <= 4.5 * error + 4 / m)
    assert error.max() < 0.02


# --- laws ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("law", ENTRY_LAWS)
def test_laws_are_standardised(law: EntryLaw) -> None:
    count = 400_000
    draws = draw_entries(law, (count,), np.random.default_rng(3))
    assert abs(draws.mean()) < 5 / np.sqrt(count)
    fourth = FOURTH_MOMENTS[law]
    assert abs((draws**2).mean() - 1) <= 5 * np.sqrt((fourth - 1) / count)
    # The eighth moment of Student's t is infinite, so its fourth is only roughly estimated.
    assert (draws**4).mean() == pytest.approx(fourth, rel=0.3 if law == "student" else 0.02)


def test_same_seed_same_network() -> None:
    first, second, third = relu_deq(9, 4, 1), relu_deq(9, 4, 1), relu_deq(9, 4, 2)
    np.testing.assert_array_equal(first.recurrent, second.recurrent)
    np.testing.assert_array_equal(first.inputs, second.inputs)
    assert not np.array_equal(first.recurrent, third.recurrent)


# --- bad input -----------------------------------------------------------------------------------


def test_bad_input() -> None:
    rng = np.random.default_rng(0)
    network, data = relu_deq(6, 4, 0), samples(3, 4)
    with pytest.raises(ValueError, match=r"A must be \(m, m\)"):
        FiniteDEQ(RELU, 0.0, A2, B2, np.ones((2, 3)), np.ones((2, 4)))
    with pytest.raises(ValueError, match="sigma_a2"):
        FiniteDEQ(RELU, 0.0, -1.0, B2, np.ones((2, 2)), np.ones((2, 4)))
    with pytest.raises(ValueError, match="bias"):
        FiniteDEQ(RELU, np.nan, A2, B2, np.ones((2, 2)), np.ones((2, 4)))
    for draw in (
        lambda **sizes: FiniteDEQ.draw(DEQ("relu", A2, B2), 0.0, rng=rng, **sizes),
        lambda **sizes: FiniteExplicitNetwork.draw([(RELU, 0.0)], rng=rng, **sizes),
    ):
        with pytest.raises(ValueError, match="at least 1"):
            draw(width=0, dimension=3)
    with pytest.raises(ValueError, match="not 'cauchy'"):
        draw_entries("cauchy", (2,), rng)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="4 rows"):
        network.equilibrium(samples(3, 5))
    with pytest.raises(ValueError, match="tolerance"):
        network.equilibrium(data, tolerance=0.0)
    with pytest.raises(ValueError, match="damping"):
        network.equilibrium(data, damping=0.0)
    with pytest.raises(ValueError, match="limit of 0"):
        network.equilibrium(data, limit=0)
    with pytest.raises(ValueError, match="newton"):
        network.equilibrium(data, method="newton")  # type: ignore[arg-type]
    equilibrium = network.equilibrium(data)
    with pytest.raises(ValueError, match="readout"):
        implicit_ntks(network, data, equilibrium, np.ones(5))
    with pytest.raises(ValueError, match="one layer is the least"):
        FiniteExplicitNetwork((), ())
    with pytest.raises(ValueError, match="cannot follow"):
        FiniteExplicitNetwork(((RELU, 0.0), (RELU, 0.0)), (np.ones((3, 2)), np.ones((3, 2))))
    explicit = FiniteExplicitNetwork(((RELU, 0.0),), (np.ones((3, 4)),))
    with pytest.raises(ValueError, match="4 rows"):
        explicit.ck(samples(3, 5))
    with pytest.raises(ValueError, match="readout"):
        explicit_ntk(explicit, data, np.ones(4))
