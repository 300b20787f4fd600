"""Eigenvalues and operator norms of symmetric matrices and operators."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import eigvalsh
from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh

from numerics.arrays import Array

__all__ = [
    "ExtremeEigenvalues",
    "OperatorNorm",
    "SpectrumConvergenceError",
    "eigenvalues",
    "extreme_eigenvalues",
    "operator_norm",
]

#: Below this size a dense solve is quicker than Lanczos, which also needs more than one dimension to work in.
_DENSE = 48


class SpectrumConvergenceError(RuntimeError):
    """Lanczos did not reach the tolerance asked for."""


@dataclass(frozen=True)
class OperatorNorm:
    """Operator norm of a symmetric matrix, with the evidence.

    Attributes:
        value: float, the norm, |eigenvalue|.
        eigenvalue: float, eigenvalue of largest modulus, signed.
        vector: (n,) array, its unit eigenvector.
        residual: float, ||M v - eigenvalue v||, within which an eigenvalue is known to lie.
    """

    value: float
    eigenvalue: float
    vector: Array
    residual: float

    def __float__(self) -> float:
        return self.value


@dataclass(frozen=True)
class ExtremeEigenvalues:
    """The outermost eigenvalues of a symmetric operator on one side.

    Attributes:
        values: (k,) array, from the outermost inwards.
        residuals: (k,) array, ||M v - value v||, within which an eigenvalue is known to lie.
    """

    values: Array
    residuals: Array


def _check_matrix(matrix: Array) -> None:
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or matrix.shape[0] < 1:
        raise ValueError(f"a square matrix is needed, got shape {matrix.shape}")
    if not np.all(np.isfinite(matrix)):
        raise ValueError("the matrix has entries that are not finite")
    asymmetry = float(np.abs(matrix - matrix.T).max())
    if asymmetry > 1e-10 * max(float(np.abs(matrix).max()), 1e-300):
        raise ValueError(f"the matrix is not symmetric: entries differ from the transpose's by {asymmetry:.3g}")


def operator_norm(
    operator: Array | LinearOperator,
    rng: np.random.Generator,
    *,
    tolerance: float = 1e-10,
    max_iterations: int | None = None,
) -> OperatorNorm:
    """Largest modulus of an eigenvalue of a real symmetric matrix or operator, by Lanczos.

    Args:
        operator: (n, n) array or LinearOperator, Symmetric; a matrix is checked, an operator is trusted.
        rng: numpy.random.Generator, gives the start vector, so that the result is the same for the same seed.
        tolerance: float, relative accuracy asked of ARPACK.
        max_iterations: int, optional, limit on Lanczos restarts, 10 n by default.

    Raises:
        ValueError: not square, not finite, or not symmetric.
        SpectrumConvergenceError: the tolerance was not reached.
    """
    n = operator.shape[0]
    if not isinstance(operator, LinearOperator):
        _check_matrix(operator)
        if not operator.any():
            return OperatorNorm(0.0, 0.0, np.eye(n)[0], 0.0)
    elif operator.shape[0] != operator.shape[1]:
        raise ValueError(f"a square operator is needed, got shape {operator.shape}")
    if n < _DENSE:
        dense = operator @ np.eye(n)
        values, vectors = np.linalg.eigh((dense + dense.T) / 2)
        best = int(np.argmax(np.abs(values)))
        eigenvalue, vector = float(values[best]), vectors[:, best]
    else:
        start = rng.standard_normal(n)
        try:
            found, basis = eigsh(operator, k=1, which="LM", v0=start, tol=tolerance, maxiter=max_iterations)
        except ArpackNoConvergence as error:
            raise SpectrumConvergenceError(
                f"Lanczos did not find the largest eigenvalue of a {n} x {n} operator to {tolerance:g}: {error}; "
                "allow more iterations or a larger tolerance"
            ) from error
        eigenvalue, vector = float(found[0]), basis[:, 0]
    residual = float(np.linalg.norm(operator @ vector - eigenvalue * vector))
    return OperatorNorm(abs(eigenvalue), eigenvalue, vector, residual)


def eigenvalues(matrix: Array) -> Array:
    """All eigenvalues of a real symmetric matrix, ascending, shape (n,).

    Raises:
        ValueError: not square, not finite, or not symmetric.
    """
    _check_matrix(matrix)
    return np.asarray(eigvalsh(matrix, check_finite=False))


def extreme_eigenvalues(
    operator: Array | LinearOperator,
    count: int,
    rng: np.random.Generator,
    *,
    largest: bool = True,
    tolerance: float = 1e-10,
    max_iterations: int | None = None,
) -> ExtremeEigenvalues:
    """The largest or the smallest eigenvalues of a real symmetric operator, with their multiplicities, by Lanczos.

    Args:
        operator: (n, n) matrix or operator, only multiplied with; it is trusted to be symmetric.
        count: how many, below n.
        rng: gives the start vector.
        largest: which end.
        tolerance: residual asked of ARPACK, relative to each eigenvalue.
        max_iterations: limit on Lanczos restarts, 10 n by default.

    Raises:
        ValueError: a count out of range.
        SpectrumConvergenceError: the tolerance was not reached.
    """
    n = operator.shape[0]
    if not 1 <= count < n:
        raise ValueError(f"from 1 to {n - 1} eigenvalues of a {n} x {n} operator can be asked for, not {count}")
    which, start = "LA" if largest else "SA", rng.standard_normal(n)
    try:
        found, vectors = eigsh(operator, k=count, which=which, v0=start, tol=tolerance, maxiter=max_iterations)
    except ArpackNoConvergence as error:
        raise SpectrumConvergenceError(
            f"Lanczos did not find the {count} {'largest' if largest else 'smallest'} eigenvalues of a {n} x {n} "
            f"operator to {tolerance:g}: {error}; allow a larger tolerance"
        ) from error
    order = np.argsort(found)[::-1] if largest else np.argsort(found)
    values, vectors = found[order], vectors[:, order]
    return ExtremeEigenvalues(values, np.linalg.norm(operator @ vectors - values * vectors, axis=0))
