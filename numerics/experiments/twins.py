"""Gaussian twins: samples that share a data set's class means and covariances, and nothing else.

What an equivalent does on the data and not on the twin is owed to their law; what it does on both, to their means,
covariances and size.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from numerics.arrays import Array

__all__ = ["gaussian_twin"]

#: Samples that are drawn together.
_ROWS = 1024


def gaussian_twin(samples: Array, labels: NDArray[np.intp], rng: np.random.Generator) -> Array:
    """Draw samples N(m_a, Cov_a) with the sample mean and covariance of every class a, an (n, p) array.

    A draw is m_a + sum_k z_k (x_k - m_a)/sqrt(n_a - 1) over the class's samples, z independent N(0, 1): its covariance
    is the sample covariance, which may be singular and is never formed.

    Args:
        samples: (n, p) array, a sample in each row.
        labels: (n,) array of classes 0..K-1.
        rng: gives the random numbers.

    Raises:
        ValueError: a class with fewer than two samples.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> gaussian_twin(np.array([[1.0, 0.0], [3.0, 0.0]]), np.array([0, 0]), rng)[:, 1].tolist()
        [0.0, 0.0]
    """
    twin = np.empty(samples.shape)
    for label in np.unique(labels):
        (rows,) = np.nonzero(labels == label)
        if rows.size < 2:
            raise ValueError(f"a Gaussian twin needs at least two samples of every class, and class {label} has one")
        mean = samples[rows].mean(axis=0)
        factor = (samples[rows] - mean) / np.sqrt(rows.size - 1)
        for start in range(0, rows.size, _ROWS):
            part = rows[start : start + _ROWS]
            twin[part] = mean + rng.standard_normal((part.size, rows.size)) @ factor
    return twin
