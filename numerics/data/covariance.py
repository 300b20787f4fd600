"""Covariances of a class, kept in the cheapest of three forms: a scale, a diagonal, or a full matrix."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from numerics.arrays import Array

__all__ = ["Covariance"]


class Covariance:
    """Covariance of one class: a multiple of the identity, a diagonal, or a full matrix.

    Args:
        value: float, (p,) array or (p, p) array, the scale c of c I_p, the diagonal, or the matrix.
        dimension: int, optional, p; needed for a scale, and checked otherwise.
        root: (p, p) array R with R R^T = C that colours the noise, where one is known; C^(1/2) by default.

    Raises:
        ValueError: wrong shape, entries that are not finite, or a matrix that is not symmetric positive semidefinite.
    """

    def __init__(self, value: ArrayLike, dimension: int | None = None, *, root: Array | None = None) -> None:
        array = np.array(value, dtype=np.float64)
        if not np.all(np.isfinite(array)):
            raise ValueError("a covariance must have finite entries")
        if array.ndim == 0:
            if dimension is None:
                raise ValueError("an isotropic covariance needs the dimension p as well as its scale")
        elif array.ndim > 2 or (array.ndim == 2 and array.shape[0] != array.shape[1]):
            raise ValueError(
                f"a covariance is a scale, a (p,) diagonal or a (p, p) matrix, not an array of shape {array.shape}"
            )
        elif dimension is not None and array.shape[0] != dimension:
            raise ValueError(f"the covariance is for dimension {array.shape[0]}, expected {dimension}")
        self.dimension: int = array.shape[0] if array.ndim else int(dimension or 0)
        if self.dimension < 1:
            raise ValueError(f"the dimension p must be at least 1, got {self.dimension}")
        self._value = array
        self._root = self._square_root(array) if root is None else root
        self._value.flags.writeable = False

    @staticmethod
    def _square_root(array: Array) -> Array:
        """C^(1/2), symmetric: the roots of a diagonal, or a matrix."""
        if array.ndim < 2:
            if np.any(array < 0):
                raise ValueError("the variances of a covariance must not be negative")
            return np.sqrt(array)
        scale = float(np.abs(array).max())
        if not np.allclose(array, array.T, rtol=0, atol=1e-12 * scale):
            raise ValueError("a covariance matrix must be symmetric")
        values, vectors = np.linalg.eigh(array)
        if values[0] < -1e-10 * max(scale, float(values[-1])):
            raise ValueError(
                f"a covariance matrix must be positive semidefinite; its smallest eigenvalue is {values[0]:.3g}"
            )
        return np.asarray((vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T)

    @classmethod
    def toeplitz(cls, dimension: int, decay: float, scale: float = 1.0) -> Covariance:
        """scale decay^|j - k|, the covariance of a stationary first-order autoregression, coloured causally by it.

        Args:
            dimension: p.
            decay: between -1 and 1.
            scale: variance of every entry.

        Raises:
            ValueError: a decay outside (-1, 1), or a negative scale.
        """
        if not -1 < decay < 1:
            raise ValueError(f"the decay of a Toeplitz covariance must lie in (-1, 1), got {decay}")
        distance = np.abs(np.subtract.outer(np.arange(dimension), np.arange(dimension)))
        if scale < 0:
            raise ValueError(f"the scale of a covariance must not be negative, got {scale}")
        value = scale * decay**distance
        # The autoregression's own root, which also costs far less than C^(1/2).
        return cls(value, dimension, root=np.asarray(np.linalg.cholesky(value)) if scale > 0 else np.zeros_like(value))

    @classmethod
    def low_rank_plus_noise(cls, directions: ArrayLike, strengths: ArrayLike, noise: float = 1.0) -> Covariance:
        """noise I + U diag(strengths) U^T, a spiked covariance.

        Args:
            directions: (p, r) array U; its columns need not be orthonormal.
            strengths: (r,) array.
            noise: variance in every direction.

        Raises:
            ValueError: shapes that do not fit, or a matrix that is not positive semidefinite.
        """
        U, spikes = np.array(directions, dtype=np.float64), np.array(strengths, dtype=np.float64)
        if U.ndim != 2 or spikes.shape != U.shape[1:]:
            raise ValueError(f"(p, r) directions need r strengths, got arrays of shapes {U.shape} and {spikes.shape}")
        product = (U * spikes) @ U.T
        return cls(noise * np.eye(U.shape[0]) + (product + product.T) / 2)

    @property
    def trace(self) -> float:
        """tr C."""
        if self._value.ndim == 0:
            return float(self._value) * self.dimension
        return float(self._value.sum() if self._value.ndim == 1 else np.trace(self._value))

    @property
    def diagonal(self) -> Array:
        """Diagonal of C, shape (p,)."""
        if self._value.ndim == 2:
            return np.diagonal(self._value).copy()
        return np.broadcast_to(self._value, (self.dimension,)).copy()

    def trace_product(self, other: Covariance) -> float:
        """tr(C C') with another covariance of the same dimension: a matrix product, not an elementwise one.

        Raises:
            ValueError: another dimension.
        """
        if other.dimension != self.dimension:
            raise ValueError(f"dimensions differ: {self.dimension} and {other.dimension}")
        if self._value.ndim == 2 and other._value.ndim == 2:
            return float(np.sum(self._value * other._value.T))
        return float(self.diagonal @ other.diagonal)

    def quadratic_form(self, vector: Array) -> float:
        """v^T C v for a (p,) array v."""
        applied = self._value @ vector if self._value.ndim == 2 else self._value * vector
        return float(vector @ applied)

    def square_norm_variance(self, fourth_moment: float) -> float:
        """Var ||C^(1/2) z||^2 for independent entries of z with mean 0, variance 1 and this fourth moment.

        With R the root that colours the noise it is 2 tr C^2 + (E z^4 - 3) sum_j (R^T R)_jj^2, since
        ||R z||^2 = z^T R^T R z.
        """
        levels = self.diagonal if self._root.ndim < 2 else np.einsum("ij,ij->j", self._root, self._root)
        # Not negative but for rounding: it is 0 for entries +-1 of independent coordinates.
        return max(2 * self.trace_product(self) + (fourth_moment - 3) * float(levels @ levels), 0.0)

    def colour(self, noise: Array) -> Array:
        """C^(1/2) Z for a (p, n) array Z of white noise."""
        if self._root.ndim == 2:
            return np.asarray(self._root @ noise)
        return np.asarray((self._root[:, None] if self._root.ndim else self._root) * noise)

    def dense(self) -> Array:
        """C as a (p, p) array."""
        return self._value.copy() if self._value.ndim == 2 else np.diag(self.diagonal)
