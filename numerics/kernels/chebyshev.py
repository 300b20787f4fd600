"""A smooth function of one variable at many points, from its values at a few, with the accuracy checked."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.fft import dct

from numerics.arrays import Array

__all__ = ["at_many_points"]

#: Nodes that are tried; more would not be much cheaper than the points themselves.
_NODES = (12, 20, 32)
#: Fewer points than this are taken as they are.
_FEW = 96
#: The last quarter of a resolved series is rounding, relative to the largest value in its row.
_RESOLVED = 4 * float(np.finfo(np.float64).eps)
#: Columns that differ more in size are not interpolated: the small ones would have the rounding errors of the large.
_SPREAD = 8.0


def at_many_points(function: Callable[[Array], Array], points: Array) -> Array:
    """Return a function's values at all points.

    Where there are many, it is interpolated at Chebyshev nodes in log(x), provided that the series has converged to
    rounding there; otherwise it is evaluated at all of them.

    Args:
        function: from (n,) positive points to (rows, n) values.
        points: (m,) array.
    """
    if points.size < _FEW or not points.min() > 0:
        return function(points)
    low, high = np.log(points.min()), np.log(points.max())
    half = (high - low) / 2
    if half == 0:
        return np.repeat(function(points[:1]), points.size, axis=1)
    for nodes in _NODES:
        angles = (np.arange(nodes) + 0.5) * np.pi / nodes
        values = function(np.exp((low + high) / 2 + half * np.cos(angles)))
        columns = np.abs(values).max(axis=0)
        if not np.all(np.isfinite(values)) or columns.max() > _SPREAD * columns.min():
            break
        series = dct(values, type=2, axis=1) / nodes
        series[:, 0] /= 2
        size = np.abs(values).max(axis=1)
        if np.all(np.abs(series[:, 3 * nodes // 4 :]).max(axis=1) <= _RESOLVED * size.max()):
            return np.asarray(series @ _polynomials((np.log(points) - (low + high) / 2) / half, nodes))
    return function(points)


def _polynomials(t: Array, count: int) -> Array:
    """T_0 .. T_(count-1) at points of [-1, 1], shape (count, n)."""
    found = np.empty((count, t.size))
    found[0], found[1] = 1.0, t
    for k in range(2, count):
        found[k] = 2 * t * found[k - 1] - found[k - 2]
    return found
