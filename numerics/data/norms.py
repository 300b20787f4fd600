"""Norms of samples whose squares may lie outside float64."""

from __future__ import annotations

from typing import Any

import numpy as np

from numerics.arrays import Array

__all__ = ["lengths", "root_mean_square"]


def lengths(samples: Array) -> Array:
    """||x|| of every sample.

    Args:
        samples: (n, p) array of finite numbers.

    Returns:
        (n,) array.

    Example:
        >>> lengths(np.array([[3e-200, 4e-200], [0.0, 2.0]])).tolist()
        [5e-200, 2.0]
    """
    scaled, exponents = _near_one(samples, axis=1)
    return np.asarray(np.ldexp(np.sqrt(np.einsum("ij,ij->i", scaled, scaled)), exponents))


def root_mean_square(samples: Array) -> float:
    """The root of the mean of ||x||^2.

    Args:
        samples: (n, p) array of finite numbers.

    Example:
        >>> root_mean_square(np.array([[3e200, 4e200], [0.0, 5e200]]))
        5e+200
    """
    scaled, exponent = _near_one(samples)
    return float(np.ldexp(np.sqrt(np.einsum("ij,ij->", scaled, scaled) / len(samples)), exponent))


def _near_one(samples: Array, axis: int | None = None) -> tuple[Array, Any]:
    """Samples with entries up to 1, and the power of two that takes them back: nothing is rounded."""
    largest = np.maximum(samples.max(axis, keepdims=True), -samples.min(axis, keepdims=True))
    exponents = np.frexp(largest)[1]
    return np.ldexp(samples, -exponents), exponents.ravel() if axis else exponents.item()
