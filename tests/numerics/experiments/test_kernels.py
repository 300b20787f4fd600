"""The exact kernels of a DEQ on rows of data, against the arc-cosine recursion with the centring in closed form."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from numerics.experiments import exact_kernels
from theory.equations import DEQ, EquilibriumError
from theory.kernels import Kernel

Array = NDArray[np.float64]
A2, B2, TAU0 = 0.3, 0.8, 1.25


def relu_kernels(gram: Array) -> tuple[Array, Array]:
    """G and the recurrent NTK by plain iteration of the arc-cosine kernel of relu - bias."""
    # tau^2 = A2 Var relu(tau xi) + B2 TAU0^2, where Var relu(xi) = 1/2 - 1/(2 pi) and E[relu(xi)] = 1/sqrt(2 pi).
    tau = np.sqrt(B2 * TAU0**2 / (1 - A2 * (1 / 2 - 1 / (2 * np.pi))))
    bias = tau / np.sqrt(2 * np.pi)
    kernel, angle = np.zeros_like(gram), np.zeros_like(gram)
    for _ in range(80):
        covariance = A2 * kernel + B2 * gram
        scales = np.sqrt(np.diag(covariance))
        width = np.outer(scales, scales)
        angle = np.arccos(np.clip(covariance / width, -1, 1))
        raw = width * (np.sin(angle) + (np.pi - angle) * np.cos(angle)) / (2 * np.pi)
        kernel = raw - bias * np.add.outer(scales, scales) / np.sqrt(2 * np.pi) + bias**2
    return kernel, kernel / (1 - A2 * (np.pi - angle) / (2 * np.pi))


def rows() -> Array:
    return np.asarray(np.random.default_rng(0).standard_normal((5, 9)) * TAU0 / 3)


def test_kernels_of_rows_are_those_of_the_recursion() -> None:
    samples = rows()
    deq = DEQ("relu", "3/10", "4/5", "5/4")
    found = exact_kernels(deq, samples, kernels=(Kernel.CK, "ntk-recurrent"))
    expected = relu_kernels(samples @ samples.T)
    for kernel, values in zip((Kernel.CK, Kernel.NTK_RECURRENT), expected, strict=True):
        # arccos loses half of the digits on the diagonal.
        np.testing.assert_allclose(found[kernel], values, atol=1e-7)
        assert np.abs(np.triu(found[kernel] - values, 1)).max() < 1e-12
    assert found.evidence.residual < 1e-12
    assert repr(found).startswith("ExactKernels(ck, ntk-recurrent; n = 5, residual ")
    from_gram = exact_kernels(deq, gram=samples @ samples.T)
    np.testing.assert_array_equal(from_gram[Kernel.CK], found[Kernel.CK])


def test_bad_input() -> None:
    deq = DEQ("relu")
    for arguments in ({}, {"samples": rows(), "gram": np.eye(5)}):
        with pytest.raises(TypeError, match=r"either the samples, an \(n, p\) array, or gram"):
            exact_kernels(deq, **arguments)
    with pytest.raises(ValueError, match=r"a sample in each row, not of shape \(9,\)"):
        exact_kernels(deq, rows()[0])
    with pytest.raises(ValueError, match="with infinite or undefined numbers"):
        exact_kernels(deq, np.full((2, 2), np.nan))
    with pytest.raises(EquilibriumError):
        exact_kernels(DEQ("relu", 3), rows())
