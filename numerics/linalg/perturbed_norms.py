"""Operator norms of a matrix with changes of several sizes added to it, from one small subspace.

By Rayleigh and Ritz, the norm of E + f D on a subspace is at most that on the whole space, and close to it where the
subspace holds the outer eigenvectors of E and of some E + f D.  It is as good as exact for f = 0, for these f, and
where D is a multiple of I.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh

from numerics.arrays import Array
from numerics.linalg.eigenvalues import SpectrumConvergenceError

__all__ = ["perturbed_norms"]

#: Up to this size the subspace is the whole space.
_DENSE = 64
#: Eigenvectors taken of E and of every E + f D, half of them at either end, and to what accuracy: the norms are then
#: right to its square.
_OUTER = 8
_TOLERANCE = 1e-3
#: The f, as shares of the largest in modulus.
_SHARES = (-1.0, -0.2, 0.2, 1.0)


def perturbed_norms(
    error: Array,
    changes: Mapping[str, Array | LinearOperator],
    factors: Sequence[float],
    rng: np.random.Generator,
    *,
    span: Array | None = None,
    full_rank: Sequence[str] = (),
) -> dict[str, list[float]]:
    """Return ||error + f change|| by name of the change, in the order of the factors.

    Args:
        error: (n, n) array, symmetric.
        changes: by name, symmetric (n, n) matrices or operators.
        factors: f.
        rng: gives Lanczos its start vectors.
        span: (n, r) array, directions that hold the range of changes of low rank.
        full_rank: names of the changes whose range is the whole space: E + f D is looked at for some f.

    Raises:
        SpectrumConvergenceError: eigenvectors were not found.
    """
    largest = max(map(abs, factors), default=0.0)
    full = [(changes[name], share * largest) for name in full_rank for share in _SHARES if largest]
    basis = _basis(error, full, rng, span)
    core = _projected(error, basis)
    return {
        name: [_norm(core + factor * projected) for factor in factors]
        for name, projected in ((name, _projected(change, basis)) for name, change in changes.items())
    }


def _basis(
    error: Array, full: Sequence[tuple[Array | LinearOperator, float]], rng: np.random.Generator, span: Array | None
) -> Array:
    n = error.shape[0]
    if n <= _DENSE:
        return np.eye(n)
    columns = [] if span is None else [span, error @ span]
    sums: Iterator[NDArray[Any]] = (_sum(error, change, factor) for change, factor in full)
    for matrix in chain([error], sums):
        start = np.asarray(rng.standard_normal(n), dtype=matrix.dtype)
        try:
            _, vectors = eigsh(matrix, k=_OUTER, which="BE", v0=start, tol=_TOLERANCE)
        except ArpackNoConvergence as failure:
            raise SpectrumConvergenceError(f"the outer eigenvectors of a {n} x {n} matrix were not found") from failure
        columns.append(vectors)
    directions = np.column_stack(columns)
    # Columns of unit length: the factorisation drops nothing that matters.
    return np.asarray(np.linalg.qr(directions / np.linalg.norm(directions, axis=0))[0])


def _sum(error: Array, change: Array | LinearOperator, factor: float) -> NDArray[np.float32]:
    """E + f D in single precision: the directions need no more, and hundreds of products are twice as quick."""
    dense = change @ np.eye(len(error)) if isinstance(change, LinearOperator) else change
    return np.asarray(error + factor * dense, dtype=np.float32)


def _projected(matrix: Array | LinearOperator, basis: Array) -> Array:
    small = basis.T @ np.asarray(matrix @ basis)
    return np.asarray((small + small.T) / 2)


def _norm(matrix: Array) -> float:
    return float(np.abs(np.linalg.eigvalsh(matrix)).max())
