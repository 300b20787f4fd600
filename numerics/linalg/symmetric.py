"""Gram matrices, symmetric to the last bit, with one large array in memory."""

from __future__ import annotations

from numerics.arrays import Array

__all__ = [
    "gram_matrix",
    "symmetrise",
]

#: Rows and columns of a tile, so that its mirror image is read and written within the cache.
_TILE = 512


def symmetrise(matrix: Array) -> Array:
    """Replace an (n, n) array A by (A + A^T)/2, in place, and return it."""
    n = matrix.shape[0]
    for top in range(0, n, _TILE):
        rows = slice(top, top + _TILE)
        for left in range(top, n, _TILE):
            columns = slice(left, left + _TILE)
            mean = (matrix[rows, columns] + matrix[columns, rows].T) / 2
            matrix[rows, columns] = mean
            matrix[columns, rows] = mean.T
    return matrix


def gram_matrix(columns: Array) -> Array:
    """Z^T Z of an (m, n) array Z, shape (n, n), symmetric to the last bit."""
    return symmetrise(columns.T @ columns)
