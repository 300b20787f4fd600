"""Invariances of the infinite-width kernels that hold for any data."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from numerics.arithmetic import PointwiseActivation, pointwise
from numerics.kernels import explicit_kernels, hermite_coefficients, implicit_kernels, with_dual
from numerics.linalg import eigenvalues
from theory.activations import registry
from theory.kernels import Kernel

Array = NDArray[np.float64]


RELU = with_dual(registry.registered("relu"))
TANH = pointwise(registry.registered("tanh"))
CLIP = with_dual(registry.resolve("clip(x, -1/2, 1)"))
ACTIVATIONS = st.sampled_from([RELU, TANH, CLIP])
SEEDS = st.integers(0, 2**32 - 1)
# Below 1/2 every activation above has a stable equilibrium: |phi'| <= 1.
VARIANCES = st.floats(0.0, 0.5)
BIASES = st.floats(-0.5, 0.5)


def data(seed: int, dimension: int = 8, samples: int = 6) -> Array:
    """Samples of norms between about 0.3 and 2, one pair nearly alike."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((dimension, samples)) / np.sqrt(dimension)
    x *= rng.uniform(0.3, 2.0, samples)
    x[:, 1] = x[:, 0] + 0.3 * x[:, 2]
    return x


def gram_of(x: Array) -> Array:
    product = x.T @ x
    return np.asarray((product + product.T) / 2)


@given(SEEDS, ACTIVATIONS, VARIANCES, BIASES)
def test_rotation_of_the_data_leaves_the_spectrum_alone(
    seed: int, phi: PointwiseActivation, sigma_a2: float, bias: float
) -> None:
    x = data(seed)
    rotation, _ = np.linalg.qr(np.random.default_rng(seed + 1).standard_normal((8, 8)))
    first = implicit_kernels(gram_of(x), phi, sigma_a2, 0.8, bias)[Kernel.CK]
    second = implicit_kernels(gram_of(rotation @ x), phi, sigma_a2, 0.8, bias)[Kernel.CK]
    np.testing.assert_allclose(eigenvalues(second), eigenvalues(first), atol=1e-10)


@given(SEEDS, ACTIVATIONS, VARIANCES, BIASES)
def test_permutation_of_the_samples_permutes_the_kernel(
    seed: int, phi: PointwiseActivation, sigma_a2: float, bias: float
) -> None:
    gram = gram_of(data(seed))
    order = np.random.default_rng(seed + 1).permutation(6)
    straight = implicit_kernels(gram, phi, sigma_a2, 0.8, bias)[Kernel.CK]
    permuted = implicit_kernels(gram[np.ix_(order, order)], phi, sigma_a2, 0.8, bias)[Kernel.CK]
    np.testing.assert_allclose(permuted, straight[np.ix_(order, order)], atol=1e-11)


@given(SEEDS, VARIANCES, BIASES, st.floats(0.01, 100.0))
def test_relu_kernel_scales_with_the_data(seed: int, sigma_a2: float, bias: float, factor: float) -> None:
    """relu(c x) = c relu(x): S -> c S takes tau_0^2 and G to c times themselves, the bias to sqrt(c)."""
    gram = gram_of(data(seed))
    plain = implicit_kernels(gram, RELU, sigma_a2, 0.8, bias)[Kernel.CK]
    scaled = implicit_kernels(factor * gram, RELU, sigma_a2, 0.8, np.sqrt(factor) * bias)[Kernel.CK]
    np.testing.assert_allclose(scaled, factor * plain, atol=1e-11 * factor)


@given(SEEDS, ACTIVATIONS, BIASES)
def test_without_recurrence_it_is_the_one_layer_network(seed: int, phi: PointwiseActivation, bias: float) -> None:
    gram = gram_of(data(seed))
    explicit = explicit_kernels(0.8 * gram, [(phi, bias)])[Kernel.CK]
    np.testing.assert_allclose(implicit_kernels(gram, phi, 0.0, 0.8, bias)[Kernel.CK], explicit, atol=1e-12)
    # And it is reached continuously: phi^2 is below 16 here, so G moves by less than a multiple of it.
    nearby = implicit_kernels(gram, phi, 1e-7, 0.8, bias)[Kernel.CK]
    assert 0 < np.abs(nearby - explicit).max() < 1e-5


@given(SEEDS, ACTIVATIONS, VARIANCES, BIASES)
def test_kernel_is_a_covariance(seed: int, phi: PointwiseActivation, sigma_a2: float, bias: float) -> None:
    kernel = implicit_kernels(gram_of(data(seed)), phi, sigma_a2, 0.8, bias)[Kernel.CK]
    diagonal = np.diag(kernel)
    assert np.array_equal(kernel, kernel.T)
    assert np.all(np.abs(kernel) <= np.sqrt(np.outer(diagonal, diagonal)) + 1e-12)
    assert eigenvalues(kernel)[0] > -1e-11 * diagonal.sum()


@given(SEEDS, ACTIVATIONS, VARIANCES, BIASES)
def test_iterating_the_explicit_layer_leads_to_the_implicit_kernel(
    seed: int, phi: PointwiseActivation, sigma_a2: float, bias: float
) -> None:
    """Weight-tied layers with input injection, G_l = layer(sigma_a^2 G_{l-1} + sigma_b^2 S)."""
    gram = gram_of(data(seed))
    implicit = implicit_kernels(gram, phi, sigma_a2, 0.8, bias)[Kernel.CK]
    again = explicit_kernels(sigma_a2 * implicit + 0.8 * gram, [(phi, bias)])[Kernel.CK]
    np.testing.assert_allclose(again, implicit, atol=1e-10)
    start = np.zeros_like(gram)
    for _ in range(4):
        start = explicit_kernels(sigma_a2 * start + 0.8 * gram, [(phi, bias)])[Kernel.CK]
    # The map contracts by at most sigma_a^2 Lip(phi)^2 <= 1/2 in each step.
    before = np.abs(implicit).max()
    assert np.abs(start - implicit).max() <= 2 * before * max(sigma_a2, 1e-12) ** 4 + 1e-10


@given(st.floats(0.05, 5.0), ACTIVATIONS)
def test_stein_the_first_coefficient_is_the_mean_slope(tau: float, phi: PointwiseActivation) -> None:
    """c_1(tau) = E[xi phi(tau xi)] = tau E[phi'(tau xi)]."""
    scale = np.array([tau])
    series = hermite_coefficients(phi, scale, 1)
    slope = PointwiseActivation("slope", phi.derivative, np.zeros_like, phi.breakpoints)
    mean_slope = hermite_coefficients(slope, scale, 0).coefficients[0, 0]
    assert abs(series.coefficients[1, 0] - tau * mean_slope) < 1e-12


@given(SEEDS, ACTIVATIONS, st.floats(0.01, 0.5), BIASES)
def test_tangent_kernels_follow_the_samples(seed: int, phi: PointwiseActivation, sigma_a2: float, bias: float) -> None:
    """A permutation permutes them, a repeated sample repeats its row, and all are covariances."""
    gram = gram_of(data(seed))
    order = np.append(np.random.default_rng(seed + 1).permutation(6), 0)
    straight = implicit_kernels(gram, phi, sigma_a2, 0.8, bias, kernels=Kernel)
    shuffled = implicit_kernels(gram[np.ix_(order, order)], phi, sigma_a2, 0.8, bias, kernels=Kernel)
    for name in Kernel:
        kernel, other = straight[name], shuffled[name]
        np.testing.assert_allclose(other, kernel[np.ix_(order, order)], atol=2e-11)
        np.testing.assert_allclose(other[6], other[np.nonzero(order == 0)[0][0]], atol=2e-11)
        assert np.array_equal(kernel, kernel.T)
        assert eigenvalues(kernel)[0] > -1e-11 * np.trace(kernel)
    assert 0 <= straight.evidence.margin <= sigma_a2 * (1 + 1e-12)


@given(SEEDS, ACTIVATIONS, st.floats(0.01, 0.5), BIASES)
def test_the_three_tangent_kernels_are_tied_together(
    seed: int, phi: PointwiseActivation, sigma_a2: float, bias: float
) -> None:
    """K_recurrent = G + sigma_a^2 Gdot K_recurrent, and sigma_a^2 K_all = K_preactivation - sigma_b^2 S."""
    gram = gram_of(data(seed))
    ck, recurrent, preactivation, of_all = implicit_kernels(
        gram, phi, sigma_a2, 0.8, bias, kernels=Kernel
    ).matrices.values()
    np.testing.assert_allclose(sigma_a2 * of_all, preactivation - 0.8 * gram, atol=1e-12)
    covariance = sigma_a2 * ck + 0.8 * gram
    np.testing.assert_allclose(recurrent * covariance, preactivation * ck, atol=1e-12)
