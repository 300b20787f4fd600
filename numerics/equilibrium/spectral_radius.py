"""Balls of the spectral radius of a matrix of balls, by its strongly connected parts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from flint import acb_mat, arb
from scipy.sparse.csgraph import connected_components

from numerics.arithmetic import hull

__all__ = ["spectral_radius"]


def spectral_radius(matrix: Sequence[Sequence[arb]], factors: Sequence[arb]) -> arb:
    """Return a ball of the spectral radius of a matrix times a diagonal one: the largest of its parts.

    Args:
        matrix: (R, R) balls.
        factors: (R,) balls on the diagonal.

    Example:
        >>> spectral_radius([[arb(0), arb(1)], [arb(0), arb(3)]], [arb(5), arb("0.25")])
        0.750000000000000
    """
    product = [[weight * factor for weight, factor in zip(row, factors, strict=True)] for row in matrix]
    pattern = np.array([[not entry.is_zero() for entry in row] for row in product])
    count, labels = connected_components(pattern, directed=True, connection="strong")
    found = arb(0)
    for label in range(count):
        chosen = np.flatnonzero(labels == label)
        found = found.max(_radius_of_part([[product[r][s] for s in chosen] for r in chosen]))
    return found


def _radius_of_part(block: list[list[arb]]) -> arb:
    """Of an irreducible matrix: from its eigenvalues, or a bound where they are not told apart (Collatz, Wielandt)."""
    if len(block) == 1:
        return abs(block[0][0])
    found = arb(0)
    try:
        for value in acb_mat(block).eig(multiple=True):
            found = found.max(abs(value))
    except ValueError:
        sizes = np.array([[float(abs(entry).upper()) for entry in row] for row in block])
        v = [arb(float(value)) for value in np.linalg.matrix_power(np.eye(len(block)) + sizes, 64).sum(axis=1)]
        for row, weight in zip(block, v, strict=True):
            total = sum((abs(entry) * other for entry, other in zip(row, v, strict=True)), arb(0))
            found = found.max((total / weight).upper())
        return hull(arb(0), found)
    return found
