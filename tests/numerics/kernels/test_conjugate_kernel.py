"""Kernels against closed forms, independent quadrature and high-precision iteration."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import mpmath as mp
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import erf

from numerics.arithmetic import pointwise
from numerics.data import GaussianMixture
from numerics.kernels import KernelConvergenceError, dual_by_quadrature, explicit_ck, implicit_ck, with_dual
from theory.activations import registry

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Activation:
    value: Callable[[Array], Array]
    derivative: Callable[[Array], Array]
    breakpoints: tuple[float, ...]


RELU = Activation(lambda x: np.maximum(x, 0), lambda x: (x > 0) * 1.0, (0.0,))
TANH = Activation(np.tanh, lambda x: 1 - np.tanh(x) ** 2, ())
ERF = Activation(erf, lambda x: 2 / np.sqrt(np.pi) * np.exp(-(x**2)), ())
SIGN = Activation(np.sign, np.zeros_like, (0.0,))
SWISH = Activation(
    lambda x: x / (1 + np.exp(-x)),
    lambda x: (1 + np.exp(-x) + x * np.exp(-x)) / (1 + np.exp(-x)) ** 2,
    (),
)
SQUARE = Activation(lambda x: x**2, lambda x: 2 * x, ())


def awkward_data() -> Array:
    """Nine samples: duplicates, antipodes, collinear, nearly equal, far apart in norm, and zero."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((30, 9)) / np.sqrt(30)
    x[:, 1] = x[:, 0]
    x[:, 2] = -x[:, 0]
    x[:, 3] = 3 * x[:, 0]
    x[:, 4] = x[:, 0] + 1e-4 * x[:, 5]
    x[:, 6] = 0.2 * x[:, 0] + 0.01 * x[:, 5]
    x[:, 7] *= 6
    x[:, 8] = 0
    return x


def arc_cosine(gram: Array) -> Array:
    """E[relu(u) relu(v)] (Cho and Saul 2009)."""
    norms = np.sqrt(np.diag(gram))
    width = np.outer(norms, norms)
    rho = np.clip(gram / np.where(width > 0, width, 1), -1, 1)
    angle = np.arccos(rho)
    return width * (np.sin(angle) + (np.pi - angle) * rho) / (2 * np.pi)


def gram_of(x: Array) -> Array:
    product = x.T @ x
    return np.asarray((product + product.T) / 2)


def test_explicit_relu_is_the_arc_cosine_kernel_for_any_correlation() -> None:
    gram = gram_of(awkward_data())
    found = explicit_ck(gram, [(RELU, 0.0), (RELU, 0.0)])
    # The closed form loses half the digits near rho = 1; what is left is its own rounding error.
    np.testing.assert_allclose(found.kernel, arc_cosine(arc_cosine(gram)), atol=1e-11, rtol=1e-11)
    assert found.quadrature_pairs > 0
    assert found.variances.shape == (2, 9)


def test_explicit_erf_is_the_arcsine_kernel() -> None:
    gram = gram_of(awkward_data())
    stretch = np.sqrt(1 + 2 * np.diag(gram))
    expected = 2 / np.pi * np.arcsin(2 * gram / np.outer(stretch, stretch))
    found = explicit_ck(gram, [(ERF, 0.0)])
    np.testing.assert_allclose(found.kernel, expected, atol=5e-12)
    assert np.all(np.abs(found.kernel - expected) <= found.truncation_bound + 1e-13)


def test_explicit_sign_and_a_bias() -> None:
    x = np.random.default_rng(1).standard_normal((8, 12))
    x[:, 3] = x[:, 7]
    gram = gram_of(x)
    norms = np.sqrt(np.diag(gram))
    rho = np.clip(gram / np.outer(norms, norms), -1, 1)
    np.fill_diagonal(rho, 1)
    rho[3, 7] = rho[7, 3] = 1
    found = explicit_ck(gram, [(SIGN, 0.25)])
    # (sign(u) - b)(sign(v) - b) has mean E[sign u sign v] + b^2.
    np.testing.assert_allclose(found.kernel, 2 / np.pi * np.arcsin(rho) + 0.0625, atol=1e-11)


def implicit_relu_reference(gram: Array, sa: float, sb: float, bias: float) -> Array:
    """Plain iteration of the kernel map from G = 0 in 40 digits, with phi = relu - bias."""
    n = gram.shape[0]
    kernel = mp.matrix(n, n)
    with mp.workdps(40):

        def mean(v: mp.mpf) -> mp.mpf:
            return mp.sqrt(v / (2 * mp.pi))

        for _ in range(60):
            cov = mp.matrix(n, n)
            for i in range(n):
                for j in range(n):
                    cov[i, j] = sa * kernel[i, j] + sb * mp.mpf(float(gram[i, j]))
            for i in range(n):
                for j in range(i + 1):
                    width = mp.sqrt(cov[i, i] * cov[j, j])
                    rho = max(min(cov[i, j] / width, mp.mpf(1)), mp.mpf(-1)) if width else mp.mpf(0)
                    angle = mp.acos(rho)
                    dual = width * (mp.sin(angle) + (mp.pi - angle) * rho) / (2 * mp.pi)
                    dual += bias**2 - bias * (mean(cov[i, i]) + mean(cov[j, j]))
                    kernel[i, j] = kernel[j, i] = dual
    return np.array([[float(kernel[i, j]) for j in range(n)] for i in range(n)])


@pytest.mark.parametrize(("sa", "bias"), [(0.2, 0.37), (0.9, 0.2)])
def test_implicit_relu_matches_high_precision_iteration(sa: float, bias: float) -> None:
    gram = gram_of(awkward_data())
    found = implicit_ck(gram, RELU, sa, 0.8, bias)
    expected = implicit_relu_reference(gram, sa, 0.8, bias)
    np.testing.assert_allclose(found.kernel, expected, atol=2e-11, rtol=1e-11)
    assert found.converged
    assert found.coincident_pairs == 1
    assert found.residual < 1e-12
    assert found.stability < 1


@pytest.mark.parametrize("activation", [TANH, SWISH], ids=["tanh", "swish"])
def test_implicit_entries_solve_their_equation_by_tensor_gauss_hermite(activation: Activation) -> None:
    """Smooth activations: a 160 x 160 Gauss-Hermite product is an independent right side."""
    rng = np.random.default_rng(2)
    x = rng.standard_normal((5, 6)) / np.sqrt(5)
    gram = gram_of(x)
    sa, sb, bias = 0.5, 0.5, 0.1
    found = implicit_ck(gram, activation, sa, sb, bias)
    cov = sa * found.kernel + sb * gram
    np.testing.assert_allclose(np.diag(cov), found.variances, rtol=1e-12)
    nodes, weights = np.polynomial.hermite_e.hermegauss(160)
    weights = weights / np.sqrt(2 * np.pi)
    for i in range(6):
        for j in range(6):
            lower = np.linalg.cholesky(cov[np.ix_([i, j], [i, j])] + 1e-300 * np.eye(2)) if i != j else None
            if lower is None:
                u = v = np.sqrt(cov[i, i]) * nodes[:, None] + 0 * nodes[None, :]
            else:
                u = lower[0, 0] * nodes[:, None] + 0 * nodes[None, :]
                v = lower[1, 0] * nodes[:, None] + lower[1, 1] * nodes[None, :]
            product = (activation.value(u) - bias) * (activation.value(v) - bias)
            assert abs(weights @ product @ weights - found.kernel[i, j]) < 1e-10


@pytest.mark.parametrize("name", ["relu", "hard_tanh", "tanh", "elu"])
def test_any_correlation_down_to_the_last_bits(name: str) -> None:
    """One layer on two samples, plain and with the closed form, against two-dimensional quadrature."""
    activation = registry.registered(name).with_parameters()
    correlations = [0.0, 0.3, -0.9, 0.99, 1 - 1e-6, 1 - 1e-12, 1.0, -1 + 1e-12, -1.0]
    for first, second in ((1.0, 1.0), (0.5, 2.0)):
        expected = [
            dual_by_quadrature(pointwise(activation), first, second, rho, bias=0.1, refinement=1)[0]
            for rho in correlations
        ]
        for phi in (pointwise(activation), with_dual(activation)):
            for rho, value in zip(correlations, expected, strict=True):
                mixed = rho * first * second
                gram = np.array([[first**2, mixed], [mixed, second**2]])
                found = explicit_ck(gram, [(phi, 0.1)])
                assert abs(found.kernel[0, 1] - value) < 2e-12, (rho, type(phi))
                assert abs(found.kernel[0, 1] - value) <= found.truncation_bound + 2e-14


def test_many_near_pairs_of_images() -> None:
    """A common background puts most correlations above 0.8: interpolation and closed form give the same kernels."""
    rng = np.random.default_rng(6)
    background = np.abs(rng.standard_normal(50))
    x = (background[:, None] + rng.uniform(0.01, 0.6, 150) * rng.standard_normal((50, 150))) / np.sqrt(50)
    gram = gram_of(x * rng.uniform(0.6, 1.5, 150))
    activation = registry.registered("prelu").with_parameters()
    plain, closed = (implicit_ck(gram, phi, 0.3, 0.7, 0.2) for phi in (pointwise(activation), with_dual(activation)))
    assert plain.quadrature_pairs > 5000
    np.testing.assert_allclose(plain.kernel, closed.kernel, atol=2e-12)
    covariance = 0.3 * plain.kernel + 0.7 * gram
    again = explicit_ck(covariance, [(with_dual(activation), 0.2)]).kernel
    np.testing.assert_allclose(again, plain.kernel, atol=1e-11)


def test_true_error_stays_within_the_reported_bound() -> None:
    """A loose tolerance makes the truncation visible: entries must still be within the bound."""
    gram = gram_of(np.random.default_rng(4).standard_normal((40, 60)) / np.sqrt(40))
    exact = implicit_ck(gram, RELU, 0.4, 0.6, 0.3).kernel
    loose = implicit_ck(gram, RELU, 0.4, 0.6, 0.3, tolerance=1e-5)
    error = np.abs(loose.kernel - exact).max()
    allowance = loose.truncation_bound + 2 * loose.residual * exact.diagonal().max()
    assert 1e-9 < error <= allowance < 3e-5
    assert loose.order < 20


def test_diagonal_is_the_closed_form_of_relu() -> None:
    """Without a bias tau_i^2 = sigma_b^2 S_ii / (1 - sigma_a^2/2)."""
    gram = gram_of(awkward_data())
    found = implicit_ck(gram, RELU, 0.6, 0.8, 0.0)
    np.testing.assert_allclose(found.variances, 0.8 * np.diag(gram) / 0.7, rtol=2e-12, atol=1e-16)
    np.testing.assert_allclose(np.diag(found.kernel), found.variances / 2, rtol=2e-12, atol=1e-16)


def test_diagonal_takes_the_first_of_two_roots() -> None:
    """phi = x^2: v = 3 s v^2 + d has the stable root (1 - sqrt(1 - 12 s d))/(6 s)."""
    gram = np.diag([0.5, 1.0])
    s, sb = 0.1, 0.8
    found = implicit_ck(gram, SQUARE, s, sb, 0.0)
    drive = sb * np.diag(gram)
    expected = (1 - np.sqrt(1 - 12 * s * drive)) / (6 * s)
    np.testing.assert_allclose(found.variances, expected, rtol=1e-11)


def test_no_equilibrium_is_an_error_with_numbers() -> None:
    with pytest.raises(KernelConvergenceError, match=r"sigma_a\^2 = 0.5"):
        implicit_ck(np.eye(2), SQUARE, 0.5, 0.8, 0.0)
    with pytest.raises(KernelConvergenceError):
        implicit_ck(np.eye(2), RELU, 2.5, 0.8, 0.0)


def test_extreme_norms_and_a_single_sample() -> None:
    gram = np.diag([1e-12, 1.0, 1e6])
    found = implicit_ck(gram, TANH, 0.2, 0.8, 0.0)
    # tanh saturates: E[tanh^2] = 1 - E[sech^2] ~ 1 - 2/(tau sqrt(2 pi)).
    tau = np.sqrt(found.variances[2])
    assert found.kernel[2, 2] == pytest.approx(1 - 2 / (tau * np.sqrt(2 * np.pi)), abs=1e-8)
    assert found.kernel[0, 0] == pytest.approx(1e-12, rel=1e-6)
    assert implicit_ck(np.ones((1, 1)), TANH, 0.2, 0.8, 0.0).kernel.shape == (1, 1)


def test_all_samples_alike() -> None:
    found = implicit_ck(np.ones((40, 40)), RELU, 0.2, 0.8, 0.3)
    assert np.ptp(found.kernel) == 0
    assert found.coincident_pairs == 40 * 39 // 2


def test_blocks_of_rows_fit_together() -> None:
    """More samples than one block of rows holds: the same as a small problem, entry by entry."""
    sample = GaussianMixture.released_experiment(1000).sample(np.random.default_rng(0))
    gram = sample.gram()
    full = implicit_ck(gram, RELU, 0.2, 0.8, 0.3)
    assert np.array_equal(full.kernel, full.kernel.T)
    some = np.array([0, 1, 317, 390, 654, 655, 799])
    part = implicit_ck(gram[np.ix_(some, some)], RELU, 0.2, 0.8, 0.3)
    np.testing.assert_allclose(full.kernel[np.ix_(some, some)], part.kernel, atol=2e-12)


def test_bad_input() -> None:
    eye = np.eye(2)
    for arguments, message in (
        ((np.zeros((2, 3)), RELU, 0.2, 0.8, 0.0), "square"),
        ((np.array([[1.0, 0.5], [0.0, 1.0]]), RELU, 0.2, 0.8, 0.0), "symmetric"),
        ((np.array([[1.0, 2.0], [2.0, 1.0]]), RELU, 0.2, 0.8, 0.0), "semidefinite"),
        ((-eye, RELU, 0.2, 0.8, 0.0), "nonnegative"),
        ((eye, RELU, -0.2, 0.8, 0.0), "sigma_a2"),
        ((eye, RELU, 0.2, np.nan, 0.0), "sigma_b2"),
        ((eye, RELU, 0.2, 0.8, np.inf), "bias"),
        ((eye, RELU, 0.2, 0.8, 0.0, 0.0), "tolerance"),
    ):
        with pytest.raises(ValueError, match=message):
            implicit_ck(*arguments)
    with pytest.raises(ValueError, match="at least one layer"):
        explicit_ck(eye, [])
