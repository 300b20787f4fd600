"""Samples of two Gaussian classes whose effective dimension, means and norms are chosen: stand-ins for images."""

from __future__ import annotations

import numpy as np

from numerics.arrays import Array
from numerics.data import Dataset

__all__ = ["low_dimensional"]


def low_dimensional(
    n: int, p: int, *, decay: float = 0.0, means: float = 0.0, norms: float = 0.0, sphere: bool = False, seed: int = 0
) -> Dataset:
    """Draw a data set with the mean of ||x||^2 equal to 1.

    Args:
        n: samples.
        p: dimension.
        decay: variance k^-decay of coordinate k: the larger, the smaller the effective dimension.
        means: distance of the classes' means from 0, against a noise of norm 1.
        norms: standard deviation of the logarithm of a factor on every sample.
        sphere: whether every sample has norm 1.
        seed: of the draw.
    """
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 2
    variances = np.arange(1.0, p + 1) ** -decay
    samples: Array = rng.standard_normal((n, p)) * np.sqrt(variances / variances.sum())
    samples[:, 1] += means * (2 * labels - 1)
    samples *= np.exp(norms * rng.standard_normal((n, 1)))
    if sphere:
        samples /= np.linalg.norm(samples, axis=1, keepdims=True)
    return Dataset.from_arrays(samples, labels, name="synthetic").normalise("none")
