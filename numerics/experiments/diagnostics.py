"""What a data set is like, as far as the theory of high-dimensional equivalents asks: numbers, before any kernel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from numerics.arrays import Array
from numerics.data import MixtureStatistics

__all__ = ["DataDiagnostics", "diagnose"]


@dataclass(frozen=True)
class DataDiagnostics:
    """What the theory assumes of data, and how far these are from it.

    Attributes:
        dimension: p.
        sizes: (K,) array, samples of every class.
        effective_dimension: (K,) array, tr(C_a)^2/tr(C_a^2), between 1 and p; the theory takes it to be of order p.
        mean_energy_share: share of sum ||x_i||^2 that the class means carry; of order 1/p in the theory.
        norm_spread: standard deviation of ||x_i||^2 over its mean; of order p^(-1/2) in the theory.
        gaussian_norm_spread: the same of Gaussian samples with these class means and covariances.
        largest_correlation: largest |x_i . x_j|/(||x_i|| ||x_j||) of two samples.
        t: (K,) array, tr(C_a - C°)/sqrt(p); of order 1 in the theory.
        t_error: (K,) array, its standard error.
    """

    dimension: int
    sizes: NDArray[np.intp]
    effective_dimension: Array
    mean_energy_share: float
    norm_spread: float
    gaussian_norm_spread: float
    largest_correlation: float
    t: Array
    t_error: Array


def diagnose(samples: Array, labels: NDArray[np.intp], gram: Array, statistics: MixtureStatistics) -> DataDiagnostics:
    """Return the diagnostics of samples.

    Args:
        samples: (n, p) array, a sample in each row, norms of order 1.
        labels: (n,) array of classes 0..K-1.
        gram: (n, n) array S = X X^T.
        statistics: of the samples, estimated.

    Raises:
        ValueError: a class whose samples are all the same.
    """
    p, levels = statistics.dimension, _levels(statistics)
    if not levels.min() > 0:
        raise ValueError(f"the samples of class {int(np.argmin(levels))} are all the same: they have no covariance")
    squares = np.diag(statistics.T)
    # The estimate of tr C_a^2 has no bias, so it may fall on either side of what can be.
    effective = np.divide(p * levels**2, squares, out=np.full(levels.shape, float(p)), where=squares > 0)
    norms, sizes = np.diagonal(gram), np.bincount(labels)
    return DataDiagnostics(
        dimension=p,
        sizes=sizes,
        effective_dimension=np.clip(effective, 1.0, p),
        mean_energy_share=max(0.0, 1 - statistics.tau0_population**2 / statistics.tau0_empirical**2),
        norm_spread=float(norms.std() / norms.mean()),
        gaussian_norm_spread=_gaussian_spread(samples, labels, norms, statistics),
        largest_correlation=_largest_correlation(gram, norms),
        t=statistics.t,
        t_error=_t_errors(statistics, sizes),
    )


def _levels(statistics: MixtureStatistics) -> Array:
    """tr C_a/p."""
    return np.asarray(statistics.tau0_population**2 + statistics.t / np.sqrt(statistics.dimension))


def _gaussian_spread(samples: Array, labels: NDArray[np.intp], norms: Array, statistics: MixtureStatistics) -> float:
    """From Var ||x||^2 = 2 tr(C^2)/p^2 + 4 m^T C m/p in a Gaussian class of mean m, and from the classes' levels."""
    classes = statistics.T.shape[0]
    shares = np.bincount(labels) / labels.size
    within, means = np.empty(classes), np.empty(classes)
    for a in range(classes):
        rows = samples[labels == a]
        along = rows @ rows.mean(axis=0)
        within[a] = 2 * statistics.T[a, a] / statistics.dimension + 4 * np.var(along, ddof=1)
        means[a] = norms[labels == a].mean()
    between = shares @ (means - norms.mean()) ** 2
    return float(np.sqrt(max(shares @ within + between, 0.0)) / norms.mean())


def _largest_correlation(gram: Array, norms: Array) -> float:
    """Row by row, so that no second matrix is needed."""
    scales, largest = np.sqrt(norms), 0.0
    for i, row in enumerate(gram[1:], 1):
        if scales[i] > 0:
            others = scales[:i]
            ratios = np.divide(np.abs(row[:i]), others, out=np.zeros(i), where=others > 0)
            largest = max(largest, float(ratios.max()) / scales[i])
    return float(largest)


def _t_errors(statistics: MixtureStatistics, sizes: NDArray[np.intp]) -> Array:
    """t_a = sqrt(p) (level_a - sum_b pi_b level_b), the levels being independent means of ||w_i||^2."""
    weights = np.eye(sizes.size) - sizes / sizes.sum()
    groups = [statistics.psi[column > 0] for column in statistics.indicator.T]
    variances = np.array([np.var(group, ddof=1) / group.size for group in groups])
    return np.asarray(np.sqrt(statistics.dimension * (weights**2 @ variances)))
