"""Control variates: averages over the data whose means the mixture gives exactly.

What makes a witness scatter from draw to draw is mostly that the samples' norms and products do.  Let c be averages of
these, less their means.  Then tr(M (K - Kbar)) - b . c has the mean of tr(M (K - Kbar)) for every fixed b, of a wrong
theory as of the true one, and a far smaller scatter for the right b.  It is found by regression on the draws of the
other sizes, so that it is independent of the draws that it is used on.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np

from numerics.arrays import Array
from numerics.data import GaussianMixture, MixtureSample

__all__ = [
    "control_variates",
    "controlled",
]

#: Draws for each coefficient of the regression, at least.
_LEAST = 2


def control_variates(sample: MixtureSample, gram: Array) -> Array:
    """Return averages over the samples of each class and each pair of classes, less their means.

    In this order: of ||x_i||^2, of its squared deviation from its mean, of x_i . x_j and of (x_i . x_j)^2, i != j;
    those of pairs are multiplied by sqrt(n_a n_b), as the witnesses of two classes are.

    Args:
        sample: of a mixture with normal noise.
        gram: (n, n) array S of the samples.

    Returns:
        (K (K + 3),) array.
    """
    mixture = sample.mixture
    sizes, levels = np.array(mixture.sizes, dtype=np.float64), _levels(mixture)
    indicator = (sample.labels[:, None] == np.arange(len(sizes))).astype(np.float64)
    norms = np.diagonal(gram)
    deviations = norms - levels[sample.labels]
    products = indicator.T @ gram @ indicator - np.diag(indicator.T @ norms)
    squares = indicator.T @ gram**2 @ indicator - np.diag(indicator.T @ norms**2)
    pairs, scale = np.outer(sizes, sizes) - np.diag(sizes), np.sqrt(np.outer(sizes, sizes))
    upper = np.triu_indices(len(sizes))
    return np.concatenate(
        [
            indicator.T @ deviations / sizes,
            indicator.T @ deviations**2 / sizes - _norm_variances(mixture),
            ((products - _mean_products(mixture) * pairs) / scale)[upper],
            ((squares - _mean_squares(mixture) * pairs) / scale)[upper],
        ]
    )


def _levels(mixture: GaussianMixture) -> Array:
    """E ||x_i||^2 = (tr C_a + ||mu_a||^2)/p, (K,) array."""
    traces = np.array([covariance.trace for covariance in mixture.covariances])
    return np.asarray((traces + np.sum(mixture.means**2, axis=1)) / mixture.dimension)


def _norm_variances(mixture: GaussianMixture) -> Array:
    """Var ||x_i||^2 = (2 tr C_a^2 + 4 mu_a^T C_a mu_a)/p^2, (K,) array."""
    p = mixture.dimension
    return np.asarray(mixture.norm_energies / p + 4 * np.diagonal(_spreads(mixture)) / p**2)


def _mean_products(mixture: GaussianMixture) -> Array:
    """E[x_i . x_j] = mu_a . mu_b/p of two samples, (K, K) array."""
    return np.asarray(mixture.means @ mixture.means.T / mixture.dimension)


def _mean_squares(mixture: GaussianMixture) -> Array:
    """E[(x_i . x_j)^2] of two samples (``numerics.data.mean_squared_products``), (K, K) array."""
    p, spreads = mixture.dimension, _spreads(mixture)
    return np.asarray(mixture.trace_products / p + (spreads + spreads.T) / p**2 + _mean_products(mixture) ** 2)


def _spreads(mixture: GaussianMixture) -> Array:
    """mu_a^T C_b mu_a, (K, K) array."""
    found = np.empty((mixture.classes, mixture.classes))
    for a, b in product(range(mixture.classes), repeat=2):
        found[a, b] = mixture.covariances[b].quadratic_form(mixture.means[a])
    return found


def controlled(sizes: Sequence[int], values: Sequence[Array], controls: Sequence[Array]) -> list[Array]:
    """Take off the values what the control variates explain.

    Args:
        sizes: p, at least two of them.
        values: for each p a (draws, W) array.
        controls: for each p a (draws, C) array of means 0.

    Returns:
        For each p a (draws, W) array with the same means; the values as they are where the draws are too few to tell.
    """
    found = []
    spare = sum(map(len, values)) - max(map(len, values)) - len(values)
    if spare < _LEAST * controls[0].shape[1]:
        return list(values)
    for k in range(len(sizes)):
        others = [m for m in range(len(sizes)) if m != k]
        # Both scatter like 1/p.
        left, right = (
            np.concatenate([sizes[m] * (rows[m] - rows[m].mean(axis=0)) for m in others]) for rows in (controls, values)
        )
        found.append(values[k] - controls[k] @ np.linalg.lstsq(left, right, rcond=None)[0])
    return found
