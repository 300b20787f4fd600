"""Operator norms and eigenvalues."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse.linalg import aslinearoperator

from numerics.linalg import SpectrumConvergenceError, eigenvalues, extreme_eigenvalues, operator_norm


def symmetric(n: int, seed: int = 0) -> np.ndarray:
    a = np.random.default_rng(seed).standard_normal((n, n))
    return (a + a.T) / np.sqrt(2 * n)


@pytest.mark.parametrize("n", [1, 2, 47, 48, 200])
@pytest.mark.parametrize("sign", [1, -1])
def test_norm_is_the_largest_singular_value(n: int, sign: int) -> None:
    matrix = sign * (symmetric(n) + np.eye(n))
    found = operator_norm(matrix, np.random.default_rng(1))
    assert found.value == pytest.approx(np.linalg.norm(matrix, 2), rel=1e-10)
    assert np.sign(found.eigenvalue) == sign or n == 1
    assert found.residual < 1e-6
    assert float(found) == found.value


def test_operators_and_seeds() -> None:
    matrix = symmetric(120)
    operator = aslinearoperator(matrix)
    first = operator_norm(operator, np.random.default_rng(7))
    again = operator_norm(operator, np.random.default_rng(7))
    assert first.value == again.value
    assert first.value == pytest.approx(np.linalg.norm(matrix, 2), rel=1e-10)


def test_lanczos_that_stops_short_is_an_error() -> None:
    # A thousand nearly equal eigenvalues: one restart cannot be enough.
    matrix = np.diag(1 + 1e-6 * np.linspace(0, 1, 1000))
    with pytest.raises(SpectrumConvergenceError, match="did not find"):
        operator_norm(matrix, np.random.default_rng(0), tolerance=1e-14, max_iterations=1)


def test_zero_matrix() -> None:
    assert operator_norm(np.zeros((60, 60)), np.random.default_rng(0)).value == 0


def test_eigenvalues_ascend_and_match_a_known_spectrum() -> None:
    # The second-difference matrix has eigenvalues 2 - 2 cos(pi k/(n+1)).
    n = 50
    matrix = 2 * np.eye(n) - np.eye(n, k=1) - np.eye(n, k=-1)
    expected = 2 - 2 * np.cos(np.pi * np.arange(1, n + 1) / (n + 1))
    np.testing.assert_allclose(eigenvalues(matrix), expected, atol=1e-13)


@pytest.mark.parametrize("solve", [eigenvalues, lambda m: operator_norm(m, np.random.default_rng(0))])
def test_bad_matrices(solve: object) -> None:
    assert callable(solve)
    with pytest.raises(ValueError, match="square"):
        solve(np.zeros((2, 3)))
    with pytest.raises(ValueError, match="not symmetric"):
        solve(np.array([[1.0, 2.0], [0.0, 1.0]]))
    with pytest.raises(ValueError, match="finite"):
        solve(np.array([[np.nan]]))


# --- both ends of a spectrum ---------------------------------------------------------------------


@pytest.mark.parametrize("largest", [True, False])
def test_extreme_eigenvalues_are_those_of_the_full_solution(largest: bool) -> None:
    matrix = symmetric(300)
    exact = np.linalg.eigvalsh(matrix)
    expected = exact[::-1][:5] if largest else exact[:5]
    for operator in (matrix, aslinearoperator(matrix)):
        found = extreme_eigenvalues(operator, 5, np.random.default_rng(1), largest=largest)
        np.testing.assert_allclose(found.values, expected, atol=1e-9)
        assert found.residuals.max() < 1e-8
    loose = extreme_eigenvalues(matrix, 5, np.random.default_rng(1), largest=largest, tolerance=0.05)
    assert loose.residuals.max() > 1e-8
    # An eigenvalue is as near as the residual says.
    assert np.all(np.abs(np.subtract.outer(loose.values, exact)).min(axis=1) <= loose.residuals)


def test_multiple_extreme_eigenvalues_are_found_as_often_as_they_are() -> None:
    basis, _ = np.linalg.qr(np.random.default_rng(0).standard_normal((120, 120)))
    matrix = (basis * np.concatenate([[3.0, 3.0, 3.0], np.linspace(0, 1, 117)])) @ basis.T
    found = extreme_eigenvalues(matrix, 4, np.random.default_rng(1))
    np.testing.assert_allclose(found.values, [3, 3, 3, 1], atol=1e-9)


def test_extreme_eigenvalues_that_cannot_be_found_are_errors() -> None:
    with pytest.raises(ValueError, match="from 1 to 5"):
        extreme_eigenvalues(np.eye(6), 6, np.random.default_rng(0))
    with pytest.raises(SpectrumConvergenceError, match="3 smallest"):
        extreme_eigenvalues(
            np.diag(1 + 1e-9 * np.arange(400.0)), 3, np.random.default_rng(0), largest=False, max_iterations=1
        )
