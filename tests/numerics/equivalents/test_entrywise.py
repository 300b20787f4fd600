"""Entrywise equivalents against closed forms, and against exact kernels: their error falls at the order they claim."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from numerics.arithmetic import pointwise
from numerics.arrays import Array
from numerics.equilibrium import solve_float
from numerics.equivalents import DeterministicEquivalent, EntryPolynomial, KeptNorms, entry_polynomial, kept_norms
from numerics.experiments import exact_kernels
from numerics.kernels import preactivation_variances
from theory.equations import DEQ
from theory.kernels import Kernel, KernelCoefficients

WEIGHTS = (0.3, 0.6)
ACTIVATIONS = ("relu", "tanh", "swish")
N = 12


def _deq(activation: str) -> DEQ:
    return DEQ(activation, "0.3", "0.6", 1)


def _gram(size: float, *, norms: float | None = None) -> Array:
    """A Gram matrix with entries of this size off the diagonal, and norms that differ from 1 by as much."""
    rng = np.random.default_rng(3)
    off = rng.uniform(-1, 1, (N, N))
    gram = size * (off + off.T) / 2
    gram[np.diag_indices(N)] = 1 + (size if norms is None else norms) * rng.uniform(-1, 1, N)
    return np.asarray(gram)


def _exact(activation: str, kernel: Kernel, gram: Array) -> Array:
    return exact_kernels(_deq(activation), gram=gram, kernels=(kernel,))[kernel]


def _polynomial(activation: str, kernel: Kernel, degree: int, *, norms: bool = True) -> EntryPolynomial:
    deq = _deq(activation)
    solved = solve_float(deq)
    return entry_polynomial(
        pointwise(deq.activation), solved["tau"], solved["bias"], WEIGHTS, kernel, degree=degree, norms=norms
    )


def _kept(activation: str, kernel: Kernel, gram: Array, degree: int) -> KeptNorms:
    deq = _deq(activation)
    phi, bias = pointwise(deq.activation), solve_float(deq)["bias"]
    scales = np.sqrt(preactivation_variances(np.diagonal(gram).copy(), phi, *WEIGHTS, bias))
    return kept_norms(phi, scales, bias, WEIGHTS, kernel, degree=degree)


def _largest(matrix: Array, *, diagonal: bool) -> float:
    chosen = np.eye(len(matrix), dtype=bool) if diagonal else ~np.eye(len(matrix), dtype=bool)
    return float(np.abs(matrix[chosen]).max())


def _orders(errors: list[float]) -> float:
    """The exponent of errors at sizes that halve."""
    return float(np.log2(errors[0] / errors[1]))


@pytest.mark.parametrize("degree", [1, 2, 3])
@pytest.mark.parametrize("kernel", Kernel)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_errors_fall_at_the_order_that_is_claimed(activation: str, kernel: Kernel, degree: int) -> None:
    found = _polynomial(activation, kernel, degree)
    for diagonal in (False, True):
        errors = []
        for size in (0.02, 0.01):
            gram = _gram(size)
            errors.append(_largest(_exact(activation, kernel, gram) - found.matrix(gram, 1.0), diagonal=diagonal))
        assert _orders(errors) > degree + 0.7


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_a_coefficient_that_is_off_is_seen(activation: str) -> None:
    """Off by a hundredth of alpha_1's size: the error falls at the order of its monomial, no faster."""
    found = _polynomial(activation, Kernel.CK, 3)
    for monomial, factor in found.off_diagonal.items():
        wrong = replace(found, off_diagonal={**found.off_diagonal, monomial: factor + 0.05})
        errors = []
        for size in (0.02, 0.01):
            gram = _gram(size)
            errors.append(_largest(_exact(activation, Kernel.CK, gram) - wrong.matrix(gram, 1.0), diagonal=False))
        assert _orders(errors) < sum(monomial) + 0.3


def test_without_recurrence_it_is_the_arc_cosine_kernel_s_series() -> None:
    """ReLU: E[phi phi] = tau^2 (1 + pi rho/2 + rho^2/2 + rho^4/24 + ...)/(2 pi), S = tau^2 rho."""
    tau, bias = 0.8, 0.8 / np.sqrt(2 * np.pi)
    deq = DEQ("relu")
    found = entry_polynomial(pointwise(deq.activation), tau, bias, (0.0, 1.0), degree=5, norms=False)
    series = {1: 1 / 4, 2: 1 / (4 * np.pi * tau**2), 3: 0.0, 4: 1 / (48 * np.pi * tau**6), 5: 0.0}
    for (power, _, _), factor in found.off_diagonal.items():
        assert factor == pytest.approx(series[power], rel=1e-9, abs=1e-12)
    assert found.diagonal == (pytest.approx(tau**2 * (1 / 2 - 1 / (2 * np.pi))),)


@pytest.mark.parametrize("kernel", Kernel)
def test_the_four_numbers_are_those_of_the_equilibrium(kernel: Kernel) -> None:
    found, solved = _polynomial("swish", kernel, 2), solve_float(_deq("swish")).kernel(kernel)
    ours = [found.off_diagonal[each] for each in ((1, 0, 0), (0, 1, 1), (2, 0, 0))]
    assert [*ours, found.diagonal[0]] == pytest.approx(list(solved), rel=1e-10)


def test_the_second_order_equivalent_is_the_formula() -> None:
    """Across the blocks' border too, and symmetric to the last bit."""
    n = 300
    X = np.random.default_rng(0).standard_normal((n, 50)) / np.sqrt(50)
    gram = X @ X.T
    delta = np.diagonal(gram) - 1.1**2
    expected = 2 * gram + 3 * np.outer(delta, delta) + 5 * gram**2
    np.fill_diagonal(expected, 7)
    found = EntryPolynomial.of_four(KernelCoefficients(2.0, 3.0, 5.0, 7.0)).matrix(gram, 1.1)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-14 * np.abs(expected).max())
    assert np.array_equal(found, found.T)
    own = EntryPolynomial.of_four(KernelCoefficients(2.0, 3.0, 5.0, 7.0)).matrix(gram)
    assert not np.allclose(own, found)


@pytest.mark.parametrize("degree", [2, 3])
@pytest.mark.parametrize("kernel", Kernel)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_kept_norms_errors_fall_at_the_order_that_is_claimed(activation: str, kernel: Kernel, degree: int) -> None:
    errors = []
    for size in (0.02, 0.01):
        gram = _gram(size)
        errors.append(
            _largest(
                _exact(activation, kernel, gram) - _kept(activation, kernel, gram, degree).matrix(gram), diagonal=False
            )
        )
    assert _orders(errors) > degree + 0.7


@pytest.mark.parametrize("kernel", Kernel)
def test_kept_norms_need_small_correlations_alone(kernel: Kernel) -> None:
    """Of an odd activation d_0 is 0 at every scale: norms from .4 to 1.6 cost nothing."""
    errors, polynomials = [], []
    for size in (0.04, 0.02):
        gram = _gram(size, norms=0.6)
        exact = _exact("tanh", kernel, gram)
        errors.append(_largest(exact - _kept("tanh", kernel, gram, 3).matrix(gram), diagonal=False))
        polynomials.append(_largest(exact - _polynomial("tanh", kernel, 3).matrix(gram, 1.0), diagonal=False))
    assert _orders(errors) > 4.5
    assert _orders(polynomials) < 1.5


@pytest.mark.parametrize("kernel", Kernel)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_kept_norms_have_the_exact_diagonal(activation: str, kernel: Kernel) -> None:
    gram = _gram(0.1, norms=0.5)
    exact = np.diagonal(_exact(activation, kernel, gram))
    np.testing.assert_allclose(_kept(activation, kernel, gram, 1).diagonal, exact, rtol=1e-10)


def test_kept_norms_are_symmetric_and_take_any_size() -> None:
    n = 300
    X = np.random.default_rng(0).standard_normal((n, 60)) / np.sqrt(60)
    gram = X @ X.T
    found = _kept("relu", Kernel.CK, gram, 3).matrix(gram)
    assert np.array_equal(found, found.T)
    few = [0, 100, 256, 299]
    part = gram[np.ix_(few, few)]
    np.testing.assert_allclose(_kept("relu", Kernel.CK, part, 3).matrix(part), found[np.ix_(few, few)], rtol=1e-12)


def test_kept_norms_of_a_sample_of_norm_zero_are_finite() -> None:
    gram = np.diag([0.0, 1.0])
    assert np.array_equal(_kept("tanh", Kernel.CK, gram, 3).matrix(gram)[0], [0, 0])


def test_gbar_with_means_is_the_formula() -> None:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((20, 9)) / 3
    gram, indicator = X @ X.T, np.eye(2)[rng.integers(0, 2, 20)]
    products = np.array([[0.4, 0.1], [0.1, 0.3]])
    delta = np.diagonal(gram) - 0.9**2
    expected = 2 * gram + 3 * np.outer(delta, delta) + 5 * indicator @ products @ indicator.T
    expected += (7 - 2 * 0.9**2) * np.eye(20)
    four = KernelCoefficients(2.0, 3.0, 5.0, 7.0)
    found = DeterministicEquivalent.with_means(indicator, products, four, tau0=0.9, gram=gram)
    np.testing.assert_allclose(found.dense(), expected, rtol=1e-12)


def test_the_variances_are_those_of_the_exact_kernel() -> None:
    gram, deq = _gram(0.1, norms=0.5), _deq("relu")
    bias = solve_float(deq)["bias"]
    found = preactivation_variances(np.diagonal(gram).copy(), pointwise(deq.activation), *WEIGHTS, bias)
    np.testing.assert_array_equal(found, exact_kernels(deq, gram=gram).variances)
