"""Tangent kernels against naive recursions, closed forms, Monte Carlo and their own bounds."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable

import mpmath as mp
import numpy as np
import pytest
from numpy.typing import NDArray

from numerics.arithmetic import pointwise
from numerics.data import GaussianMixture
from numerics.kernels import (
    KERNELS,
    ImplicitKernels,
    KernelConvergenceError,
    explicit_ck,
    explicit_kernels,
    implicit_ck,
    implicit_kernels,
    with_dual,
)
from theory.activations import registry

Array = NDArray[np.float64]
#: E[phi(u) phi(v)] and E[phi'(u) phi'(v)] from var u, cov(u, v) and var v.
Layer = Callable[[float, float, float], tuple[float, float]]

RELU, TANH, SWISH, HARD_TANH, ERF, SIGN = (
    pointwise(registry.registered(name).with_parameters())
    for name in ("relu", "tanh", "swish", "hard_tanh", "erf", "sign")
)


def awkward_gram() -> Array:
    """Eight samples: duplicates, antipodes, collinear, nearly equal, far apart in norm, and zero."""
    x = np.random.default_rng(0).standard_normal((30, 8)) / np.sqrt(30)
    x[:, 4] = x[:, 0] + 1e-3 * x[:, 5]
    x[:, 6] *= 6
    x[:, 7] = 0
    gram = x.T @ x
    gram = (gram + gram.T) / 2
    # To the last bit, so that an exact computation sees what is meant.
    first, factors = gram[0].copy(), np.array([1.0, 1.0, -1.0, 4.0])
    gram[:4, 4:] = np.outer(factors, first[4:])
    gram[4:, :4] = gram[:4, 4:].T
    gram[:4, :4] = np.outer(factors, factors) * first[0]
    return np.asarray(gram)


def relu_layer(bias: float) -> Layer:
    """The arc-cosine kernels for relu - bias, in the precision of mpmath's context."""

    def layer(a: mp.mpf, c: mp.mpf, b: mp.mpf) -> tuple[mp.mpf, mp.mpf]:
        width = mp.sqrt(a * b)
        rho = max(min(c / width, mp.mpf(1)), mp.mpf(-1)) if width else mp.mpf(0)
        angle = mp.acos(rho)
        value = width * (mp.sin(angle) + (mp.pi - angle) * rho) / (2 * mp.pi)
        means = (mp.sqrt(a) + mp.sqrt(b)) / mp.sqrt(2 * mp.pi)
        return value - bias * means + mp.mpf(bias) ** 2, (mp.pi - angle) / (2 * mp.pi)

    return layer


def tensor_layer(phi: object, bias: float) -> Layer:
    """A product of Gauss-Hermite rules, for smooth phi."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(120)
    weights = weights / np.sqrt(2 * np.pi)

    def layer(a: float, c: float, b: float) -> tuple[float, float]:
        slant = c / np.sqrt(a)
        u = np.sqrt(a) * nodes[:, None] + 0 * nodes[None, :]
        v = slant * nodes[:, None] + np.sqrt(max(b - slant**2, 0)) * nodes[None, :]
        value = (phi.value(u) - bias) * (phi.value(v) - bias)  # type: ignore[attr-defined]
        slope = phi.derivative(u) * phi.derivative(v)  # type: ignore[attr-defined]
        return float(weights @ value @ weights), float(weights @ slope @ weights)

    return layer


def naive_kernels(gram: Array, layer: Layer, sa: float, sb: float, steps: int) -> dict[str, list[list[float]]]:
    """The recursions of an ever deeper weight-tied network, entry by entry, for G and the three NTKs.

    K_recurrent: gradients by A and the readout;  K_preactivation: likewise for pre-activations;  of K_all, the
    derivative of a hidden layer obeys K_h <- Gdot (sigma_a^2 G + sigma_b^2 S + sigma_a^2 K_h).
    """
    n = len(gram)
    names = ("ck", "recurrent", "preactivation", "hidden")
    state = {name: [[mp.mpf(0)] * n for _ in range(n)] for name in names}
    for _ in range(steps):
        previous = {name: [row[:] for row in state[name]] for name in names}
        g = previous["ck"]
        for i in range(n):
            for j in range(i + 1):
                covariance = [sa * g[k][m] + sb * float(gram[k, m]) for k, m in ((i, i), (i, j), (j, j))]
                value, slope = layer(*covariance)
                entries = {
                    "ck": value,
                    "recurrent": value + sa * slope * previous["recurrent"][i][j],
                    "preactivation": covariance[1] + sa * slope * previous["preactivation"][i][j],
                    "hidden": slope * (covariance[1] + sa * previous["hidden"][i][j]),
                }
                for name, entry in entries.items():
                    state[name][i][j] = state[name][j][i] = entry
    state["all"] = [[state["ck"][i][j] + state["hidden"][i][j] for j in range(n)] for i in range(n)]
    return state


@pytest.mark.parametrize("dual", [False, True], ids=["interpolated", "closed"])
def test_relu_matches_the_naive_recursion_in_25_digits(dual: bool) -> None:
    gram, bias, sa, sb = awkward_gram(), 0.37, 0.3, 0.8
    phi = with_dual(registry.registered("relu")) if dual else RELU
    found = implicit_kernels(gram, phi, sa, sb, bias)
    with mp.workdps(25):
        expected = naive_kernels(gram, relu_layer(bias), sa, sb, 40)
    for name in KERNELS:
        exact = np.array([[float(entry) for entry in row] for row in expected[name]])
        kernel = getattr(found, name)
        scale = np.sqrt(np.outer(np.diag(exact), np.diag(exact)))
        assert np.max(np.abs(kernel - exact) / scale) < 2e-12, name
        assert np.array_equal(kernel, kernel.T)
        np.testing.assert_array_equal(kernel[0], kernel[1])
    assert found.quadrature_pairs > 0
    assert found.coincident_pairs == 1
    assert found.margin == pytest.approx(sa / 2)


@pytest.mark.parametrize("phi", [TANH, SWISH], ids=["tanh", "swish"])
def test_smooth_activations_match_the_naive_recursion(phi: object) -> None:
    x = np.random.default_rng(2).standard_normal((4, 4)) / 2
    x[:, 1] = x[:, 0] + 0.05 * x[:, 2]
    gram = np.asarray(x.T @ x)
    found = implicit_kernels(gram, phi, 0.4, 0.6, 0.1)  # type: ignore[arg-type]
    expected = naive_kernels(gram, tensor_layer(phi, 0.1), 0.4, 0.6, 40)
    for name in KERNELS:
        np.testing.assert_allclose(getattr(found, name), np.array(expected[name], dtype=float), atol=2e-11)


def test_explicit_relu_kernels_match_the_closed_recursion() -> None:
    """K_l = G_l + K_{l-1} Gdot_l with K_0 = S, three layers, in 25 digits."""
    gram = awkward_gram()
    biases = (0.3, 0.0, 0.2)
    found = explicit_kernels(gram, [(RELU, bias) for bias in biases])
    n = len(gram)
    with mp.workdps(25):
        g = [[mp.mpf(float(gram[i, j])) for j in range(n)] for i in range(n)]
        k = [row[:] for row in g]
        for bias in biases:
            layer = relu_layer(bias)
            pairs = [[layer(g[i][i], g[i][j], g[j][j]) for j in range(n)] for i in range(n)]
            k = [[pairs[i][j][0] + k[i][j] * pairs[i][j][1] for j in range(n)] for i in range(n)]
            g = [[pairs[i][j][0] for j in range(n)] for i in range(n)]
    np.testing.assert_allclose(found.ck, np.array(g, dtype=float), atol=5e-12, rtol=5e-12)
    np.testing.assert_allclose(found.ntk, np.array(k, dtype=float), atol=5e-11, rtol=1e-10)
    np.testing.assert_allclose(found.ck, explicit_ck(gram, [(RELU, bias) for bias in biases]).kernel, atol=1e-14)
    assert len(found.orders) == 3
    assert found.variances.shape == (3, 8)


def test_a_weight_tied_deep_network_tends_to_the_recurrent_kernel() -> None:
    """The NTK of the recursion stopped at depth l, from the naive path, comes closer by sigma_a^2 Gdot a layer."""
    gram = np.array([[1.0, 0.3], [0.3, 0.8]])
    exact = implicit_kernels(gram, TANH, 0.4, 0.6, 0.0, kernels=("recurrent",)).recurrent
    assert exact is not None
    errors = []
    for steps in (4, 8):
        stopped = np.array(naive_kernels(gram, tensor_layer(TANH, 0.0), 0.4, 0.6, steps)["recurrent"], dtype=float)
        errors.append(np.abs(stopped - exact).max())
    assert 0 < errors[1] < 0.4**4 * errors[0]


def test_monte_carlo() -> None:
    """Draws of (u, v) of the covariance found: both sides of the equation for G, and the slope behind the NTKs."""
    gram = np.array([[1.0, 0.6], [0.6, 1.4]])
    bias = 0.2
    found = implicit_kernels(gram, HARD_TANH, 0.4, 0.6, bias)
    assert found.ck is not None
    assert found.recurrent is not None
    covariance = 0.4 * found.ck + 0.6 * gram
    rng = np.random.default_rng(11)
    draws = np.linalg.cholesky(covariance) @ rng.standard_normal((2, 400_000))
    for function, expected in (
        (lambda z: HARD_TANH.value(z) - bias, found.ck[0, 1]),
        (HARD_TANH.derivative, (1 - found.ck[0, 1] / found.recurrent[0, 1]) / 0.4),
    ):
        products = function(draws[0]) * function(draws[1])
        error = products.std() / np.sqrt(products.size)
        assert abs(products.mean() - expected) < 4 * error
        assert error < 0.004 * expected


@pytest.mark.parametrize("tolerance", [1e-5, 1e-6, 1e-7, 1e-8])
def test_bounds_hold_when_the_tolerance_is_loose(tolerance: float) -> None:
    gram = GaussianMixture.released_experiment(300).sample(np.random.default_rng(4)).gram()
    for phi in (HARD_TANH, RELU):
        exact = implicit_kernels(gram, phi, 0.4, 0.6, 0.1)
        loose = implicit_kernels(gram, phi, 0.4, 0.6, 0.1, tolerance=tolerance)
        slopes = [1 - kernels.ck / kernels.recurrent for kernels in (exact, loose)]  # type: ignore[operator]
        off = ~np.eye(len(gram), dtype=bool)
        error = np.abs(slopes[0] - slopes[1])[off].max()
        assert 1e-5 * tolerance < error <= loose.slope_bound
        # No pair left the series here, whose order is chosen by both bounds.
        assert loose.quadrature_pairs == 0
        assert loose.slope_bound <= tolerance / 2 * loose.margin
        change = np.abs(exact.recurrent - loose.recurrent)[off]  # type: ignore[operator]
        scale = np.abs(exact.ck).max()  # type: ignore[arg-type]
        allowed = loose.truncation_bound + 2 * loose.residual * scale
        size = np.abs(exact.recurrent)[off] * loose.slope_bound  # type: ignore[operator, arg-type]
        assert np.all(change <= (allowed + size) / (1 - exact.margin))
        assert loose.order < exact.order


def test_the_order_is_that_of_the_solution_not_of_the_guess() -> None:
    """Strong recurrence takes rho far from where it starts; the bound is met where it ends."""
    for rho in np.linspace(0.02, 0.9, 45):
        found = implicit_kernels(np.array([[1.0, rho], [rho, 1.0]]), RELU, 1.6, 0.3, 0.3, tolerance=1e-7)
        energy = (found.variances[0] - 0.3) / 1.6
        assert found.truncation_bound * (1 - found.stability) <= 0.5e-7 * energy * (1 + 1e-9)


def test_only_what_is_asked_for_is_computed() -> None:
    gram = awkward_gram()
    full = implicit_kernels(gram, RELU, 0.3, 0.7, 0.2)
    for name in KERNELS:
        one = implicit_kernels(gram, RELU, 0.3, 0.7, 0.2, kernels=(name,))
        np.testing.assert_array_equal(getattr(one, name), getattr(full, name))
        assert all(getattr(one, other) is None for other in KERNELS if other != name)
    np.testing.assert_array_equal(implicit_ck(gram, RELU, 0.3, 0.7, 0.2).kernel, full.ck)
    for wrong in (("ck", "ntk"), ()):
        with pytest.raises(ValueError, match="ck, recurrent, preactivation, all"):
            implicit_kernels(gram, RELU, 0.3, 0.7, 0.2, kernels=wrong)


def kernels_of(found: ImplicitKernels) -> list[Array]:
    kernels = [getattr(found, name) for name in KERNELS]
    assert all(kernel is not None for kernel in kernels)
    return kernels


@pytest.mark.parametrize("phi", [RELU, TANH, HARD_TANH], ids=["relu", "tanh", "hard_tanh"])
def test_tangent_kernels_are_covariances(phi: object) -> None:
    gram = GaussianMixture.released_experiment(150).sample(np.random.default_rng(5)).gram()
    for kernel in kernels_of(implicit_kernels(gram, phi, 0.5, 0.5, 0.1)):  # type: ignore[arg-type]
        assert np.array_equal(kernel, kernel.T)
        assert np.linalg.eigvalsh(kernel)[0] > -1e-12 * np.trace(kernel)


def test_without_recurrence_they_are_those_of_one_layer() -> None:
    gram = awkward_gram()
    found = implicit_kernels(gram, RELU, 0.0, 0.6, 0.2)
    one = explicit_kernels(0.6 * gram, [(RELU, 0.2)])
    for kernel, expected in ((found.ck, one.ck), (found.recurrent, one.ck), (found.all, one.ntk)):
        np.testing.assert_allclose(kernel, expected, atol=1e-13)
    np.testing.assert_allclose(found.preactivation, 0.6 * gram, atol=1e-15)


def test_a_jump_has_a_conjugate_kernel_only() -> None:
    gram = np.array([[1.0, 0.2], [0.2, 1.0]])
    ck = implicit_kernels(gram, SIGN, 0.3, 0.7, 0.0, kernels=("ck",))
    assert ck.ck is not None
    assert ck.margin == np.inf
    covariance = 0.3 * ck.ck + 0.7 * gram
    assert ck.ck[0, 1] == pytest.approx(2 / np.pi * np.arcsin(covariance[0, 1] / covariance[0, 0]), abs=1e-12)
    for call in (lambda: implicit_kernels(gram, SIGN, 0.3, 0.7, 0.0), lambda: explicit_kernels(gram, [(SIGN, 0.0)])):
        with pytest.raises(KernelConvergenceError, match="infinite"):
            call()


def test_a_slope_without_a_second_moment_is_told_from_a_kink() -> None:
    """sqrt|x| is continuous, and E[phi'^2] is infinite all the same."""
    root = pointwise(registry.resolve("sqrt(Abs(x))"))
    gram = np.array([[1.0, 0.2], [0.2, 1.0]])
    assert implicit_kernels(gram, root, 0.1, 0.9, 0.8, kernels=("ck",)).margin == np.inf
    with pytest.raises(KernelConvergenceError, match="too singular"):
        implicit_kernels(gram, root, 0.1, 0.9, 0.8)


def test_beyond_the_margin_the_sample_is_named() -> None:
    """At sigma_a^2 = 2 tanh has stable variances, but small pre-activations have sigma_a^2 E[phi'^2] > 1."""
    gram = np.diag([4.0, 400.0, 0.01])
    with pytest.raises(KernelConvergenceError, match=r"sample 2 has no tangent kernel.*smaller sigma_a\^2"):
        implicit_kernels(gram, TANH, 2.0, 1.0, 0.0)
    assert implicit_kernels(gram, TANH, 2.0, 1.0, 0.0, kernels=("ck",)).margin > 1


def test_bad_input() -> None:
    eye = np.eye(2)
    with pytest.raises(ValueError, match="at least one layer"):
        explicit_kernels(eye, [])
    with pytest.raises(ValueError, match="symmetric"):
        implicit_kernels(np.array([[1.0, 0.5], [0.0, 1.0]]), RELU, 0.2, 0.8, 0.0)
    with pytest.raises(ValueError, match="sigma_a2"):
        implicit_kernels(eye, RELU, -0.2, 0.8, 0.0)


def test_memory_stays_below_two_arrays_and_the_result() -> None:
    """CK and recurrent NTK: with S itself that is under four n x n arrays."""
    n = 900
    x = np.random.default_rng(0).standard_normal((n, n)) / np.sqrt(n)
    gram = x.T @ x
    gram = (gram + gram.T) / 2
    tracemalloc.start()
    try:
        implicit_kernels(gram, TANH, 0.2, 0.8, 0.0, kernels=("ck", "recurrent"))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 3 * 8 * n * n
