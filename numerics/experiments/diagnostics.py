"""What a data set is like, as far as the theory of high-dimensional equivalents asks: numbers, before any kernel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from numerics.arrays import EPS, Array
from numerics.data import MixtureStatistics

__all__ = ["DataDiagnostics", "diagnose"]

#: tr(C)^2/tr(C^2) is at most p: an estimate of more than so many times p tells of its own noise and of nothing else.
_BEYOND = 2.0


@dataclass(frozen=True)
class DataDiagnostics:
    """What the theory assumes of data, and how far these are from it.

    Attributes:
        dimension: p.
        sizes: (K,) array, samples of every class.
        effective_dimension: (K,) array, tr(C_a)^2/tr(C_a^2), between 1 and p; the theory takes it to be of order p.
            nan where the samples do not tell it, as with one that is far out.
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

    @property
    def effective_dimension_note(self) -> str:
        """A sentence where an effective dimension is not known; "" where all are."""
        unknown = int(np.isnan(self.effective_dimension).sum())
        if not unknown:
            return ""
        which = "" if self.sizes.size == 1 else f" of {unknown} of {self.sizes.size} classes"
        return (
            f"The effective dimension{which} cannot be estimated from these samples: they are too few, or some lie far "
            "out."
        )


def diagnose(
    samples: Array,
    labels: NDArray[np.intp],
    gram: Array,
    statistics: MixtureStatistics,
    classes: Sequence[str] | None = None,
) -> DataDiagnostics:
    """Return the diagnostics of samples.

    Args:
        samples: (n, p) array, a sample in each row, norms of order 1.
        labels: (n,) array of classes 0..K-1.
        gram: (n, n) array S = X X^T.
        statistics: of the samples, estimated.
        classes: their names for errors, 0..K-1 by default.

    Raises:
        ValueError: a class whose samples are all the same, but for rounding.
    """
    p, levels = statistics.dimension, _levels(statistics)
    norms, sizes = np.diagonal(gram), np.bincount(labels)
    # A mean of n_a samples is rounded by up to n_a units of the last digit.
    rounding = (np.maximum(sizes, 8) * EPS) ** 2 * (np.bincount(labels, norms) / sizes)
    flat = np.flatnonzero(~(levels > rounding))
    if flat.size:
        name = flat[0] if classes is None else classes[flat[0]]
        raise ValueError(
            f"the samples of class {name} are all the same, but for rounding; classes whose samples differ are accepted"
        )
    return DataDiagnostics(
        dimension=p,
        sizes=sizes,
        effective_dimension=_effective_dimensions(p, levels, np.diag(statistics.T)),
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


def _effective_dimensions(p: int, levels: Array, squares: Array) -> Array:
    """The estimate of tr C_a^2 has no bias, so it may fall on either side of what can be; nan where it is far off."""
    ratios = np.divide(p * levels**2, squares, out=np.full(levels.shape, np.inf), where=squares > 0)
    return np.where(ratios > _BEYOND * p, np.nan, np.clip(ratios, 1.0, p))


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
