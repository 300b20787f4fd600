"""Gram matrices of samples, whole or the block between two sets of samples, and what cannot be one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from numerics.arrays import Array
from numerics.parameters import as_array

__all__ = ["GramBlock", "check_block", "check_gram"]


@dataclass(frozen=True, eq=False)
class GramBlock:
    """Inner products of some samples with others, such as of test samples with training samples.

    Together they are r + c samples, of which this is the block off the diagonal of the Gram matrix.

    Attributes:
        inner: (r, c) array, x_i . y_j.
        rows: (r,) array, ||x_i||^2.
        columns: (c,) array, ||y_j||^2.
    """

    inner: Array
    rows: Array
    columns: Array

    @classmethod
    def of(cls, first: Any, second: Any) -> GramBlock:
        """Return the block of two sets of samples.

        Args:
            first: (r, p) array, a sample in each row.
            second: (c, p) array.

        Raises:
            ValueError: they are no such arrays of numbers.
        """
        left, right = as_array(first, "the samples"), as_array(second, "the samples")
        if left.ndim != 2 or right.ndim != 2 or left.shape[1] != right.shape[1]:
            raise ValueError(
                f"two sets of samples must be (r, p) and (c, p) arrays, got shapes {left.shape} and {right.shape}"
            )
        norms = (np.einsum("ij,ij->i", samples, samples) for samples in (left, right))
        return cls(left @ right.T, *norms)

    @property
    def squared_norms(self) -> Array:
        """Of all samples, those of the rows first, shape (r + c,)."""
        return np.concatenate([self.rows, self.columns])


def check_gram(gram: Array) -> Array:
    """Return the diagonal of a matrix that can be a Gram matrix, up to rounding.

    Args:
        gram: (n, n) array S.

    Raises:
        ValueError: it is not square, not finite, not symmetric, or has an entry above the product of two norms.
    """
    if gram.ndim != 2 or gram.shape[0] != gram.shape[1] or gram.shape[0] < 1:
        raise ValueError(f"the Gram matrix must be square and not empty, got shape {gram.shape}")
    diagonal = np.diagonal(gram).astype(np.float64)
    if not np.all(np.isfinite(gram)) or np.any(diagonal < 0):
        raise ValueError("the Gram matrix must be finite with a nonnegative diagonal")
    norms = np.sqrt(diagonal)
    scale = float(diagonal.max())
    for start in range(0, gram.shape[0], 256):
        # Each pair once: rows from the diagonal on, which tiles are made of, and the columns that mirror them.
        upper, lower = gram[start : start + 256, start:], gram[start:, start : start + 256].T
        if np.any(np.abs(upper - lower) > 1e-10 * scale):
            raise ValueError("the Gram matrix must be symmetric")
        limit = np.outer(norms[start : start + 256], norms[start:]) * (1 + 1e-9) + 1e-12 * scale
        if np.any(np.abs(upper) > limit):
            raise ValueError("the Gram matrix is not positive semidefinite: |S_ij|^2 > S_ii S_jj for some entry")
    return diagonal


def check_block(block: GramBlock) -> None:
    """Refuse what cannot be a block of a Gram matrix.

    Args:
        block: of two sets of samples.

    Raises:
        ValueError: shapes that do not fit, what is not finite, or an entry above the product of two norms.
    """
    shape = block.rows.size, block.columns.size
    if block.inner.shape != shape or block.rows.ndim != 1 or block.columns.ndim != 1 or 0 in shape:
        raise ValueError(
            "a block of a Gram matrix has a squared norm for each row and each column, got shapes "
            f"{block.inner.shape}, {block.rows.shape} and {block.columns.shape}"
        )
    norms = block.squared_norms
    if not (np.all(np.isfinite(block.inner)) and np.all(np.isfinite(norms)) and np.all(norms >= 0)):
        raise ValueError("a block of a Gram matrix must be finite, with squared norms that are not negative")
    # What rounding may add, as for a whole matrix.
    slack, width = 1e-12 * float(norms.max()), np.sqrt(block.columns)
    for start in range(0, shape[0], 256):
        limit = np.outer(np.sqrt(block.rows[start : start + 256]), width) * (1 + 1e-9) + slack
        if np.any(np.abs(block.inner[start : start + 256]) > limit):
            raise ValueError("this is no block of a Gram matrix: |S_ij|^2 > S_ii S_jj for some entry")
