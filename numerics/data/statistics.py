"""The statistics of a sample that the theory speaks of, known from the population or estimated from the data.

Theory sheet, sections 1 and 6: tau_0, t, T and psi.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from numerics.arrays import Array

__all__ = [
    "MixtureStatistics",
    "StatisticsSource",
    "Tau0Reading",
    "estimate_statistics",
    "mean_squared_products",
]

#: Which tau_0: "population" is sqrt(tr C° / p), "empirical" is sqrt(tr S / n), which includes ||mu||^2 / p.
Tau0Reading = Literal["population", "empirical"]
#: Where t, T, psi and tr C° / p come from: the mixture, or the labelled samples alone.
StatisticsSource = Literal["population", "estimated"]


@dataclass(frozen=True)
class MixtureStatistics:
    """What the deterministic equivalents need of the data, besides S (theory sheet, section 1).

    Attributes:
        dimension: int, p.
        indicator: (n, K) array, J, 1 where sample i is of class a.
        t: (K,) array, tr(C_a - C°) / sqrt(p).
        T: (K, K) array, tr(C_a C_b) / p, not centred.
        psi: (n,) array, ||w_i||^2 - tr C_a / p.
        tau0_population: float, sqrt(tr C° / p).
        tau0_empirical: float, sqrt(tr S / n).
        source: whether t, T, psi and tr C° / p are the population's or estimated from labelled data.
    """

    dimension: int
    indicator: Array
    t: Array
    T: Array
    psi: Array
    tau0_population: float
    tau0_empirical: float
    source: StatisticsSource = "population"

    def tau0(self, reading: Tau0Reading) -> float:
        """tau_0 in the reading named; both are consistent, the empirical one converges faster.

        Raises:
            ValueError: another reading than "population" and "empirical".
        """
        if reading == "population":
            return self.tau0_population
        if reading == "empirical":
            return self.tau0_empirical
        raise ValueError(f'tau_0 is read as "population" or "empirical", not {reading!r}')

    @property
    def low_rank(self) -> Array:
        """V = [J / sqrt(p), psi], shape (n, K + 1)."""
        return np.column_stack([self.indicator / np.sqrt(self.dimension), self.psi])


def estimate_statistics(data: Array, labels: NDArray[np.intp]) -> MixtureStatistics:
    """J, t, T, psi and tau_0 from labelled samples alone, without bias for t, T, tau_0^2 and psi.

    With S_a the sample covariance of class a (divisor n_a - 1), tr S_a and, for two classes, tr(S_a S_b) are unbiased.
    Within a class tr(S_a^2) is not.  There the average of ((x_i - x_j) . (x_k - x_l))^2 / 4 over distinct samples is,
    for any law; it is a combination of tr(S_a^2), (tr S_a)^2 and sum_i ||x_i - mean||^4 (Himeno and Yamada, 2014).

    Args:
        data: (p, n) array X.
        labels: (n,) array of classes 0..K-1.

    Raises:
        ValueError: labels that do not fit, or a class with fewer than four samples.
    """
    if data.ndim != 2 or labels.shape != data.shape[1:] or labels.size < 1 or labels.min() < 0:
        raise ValueError(f"(p, n) data need n labels from 0 on, got shapes {data.shape} and {labels.shape}")
    p, n = data.shape
    sizes = np.bincount(labels)
    classes = sizes.size
    if sizes.min() < 4:
        raise ValueError(
            f"every class needs at least four samples to estimate from, and the smallest has {int(sizes.min())}"
        )
    indicator = np.zeros((n, classes))
    indicator[np.arange(n), labels] = 1.0
    centred = data - (data @ indicator / sizes) @ indicator.T
    squares = np.einsum("ij,ij->j", centred, centred)
    # tr C_a / p, and tr(C_a C_b) / p^2 until the end.
    levels = indicator.T @ squares / (sizes - 1)
    gram = centred.T @ centred
    table = indicator.T @ gram**2 @ indicator / np.outer(sizes - 1, sizes - 1)
    for a, k in enumerate(sizes):
        fourth = float(np.sum(squares[labels == a] ** 2))
        table[a, a] = (
            (k - 1)
            / (k * (k - 2) * (k - 3))
            * ((k - 1) * (k - 2) * table[a, a] + levels[a] ** 2 - k / (k - 1) * fourth)
        )
    centre = float(sizes @ levels) / n
    return MixtureStatistics(
        dimension=p,
        indicator=indicator,
        t=(levels - centre) * np.sqrt(p),
        T=(table + table.T) * (p / 2),
        # E ||x_i - mean||^2 = (1 - 1/n_a) tr C_a / p.
        psi=squares * (sizes / (sizes - 1))[labels] - levels[labels],
        tau0_population=float(np.sqrt(centre)),
        tau0_empirical=float(np.sqrt(np.einsum("ij,ij->", data, data) / n)),
        source="estimated",
    )


def mean_squared_products(gram: Array, labels: NDArray[np.intp]) -> Array:
    """E[(x_i . x_j)^2] of two samples of each pair of classes, means included, without bias: shape (K, K).

    With means mu_a/sqrt(p) and covariances C_a/p it is tr(M_a M_b)/p^2 of the second moments M_a = C_a + mu_a mu_a^T,
    that is T_ab/p + (mu_a^T C_b mu_a + mu_b^T C_a mu_b + (mu_a . mu_b)^2)/p^2.  Where ||mu_a|| = O(1) the rest
    vanishes beside T_ab/p (theory sheet, section 4); means that carry a share of the energy have ||mu_a||^2 = O(p).

    Args:
        gram: (n, n) array S = X X^T.
        labels: (n,) array of classes 0..K-1.

    Raises:
        ValueError: labels that do not fit, or a class with fewer than two samples.

    Example:
        >>> mean_squared_products(np.array([[9.0, 2.0], [2.0, 9.0]]), np.array([0, 0])).tolist()
        [[4.0]]
    """
    if labels.shape != gram.shape[:1] or labels.size < 1 or labels.min() < 0:
        raise ValueError(f"(n, n) Gram matrices need n labels from 0 on, got shapes {gram.shape} and {labels.shape}")
    sizes = np.bincount(labels)
    if sizes.min() < 2:
        raise ValueError(
            f"every class needs at least two samples to estimate from, and the smallest has {int(sizes.min())}"
        )
    indicator = (labels[:, None] == np.arange(sizes.size)).astype(np.float64)
    sums = indicator.T @ np.square(gram) @ indicator - indicator.T @ (np.diagonal(gram)[:, None] ** 2 * indicator)
    found = sums / (np.outer(sizes, sizes) - np.diag(sizes))
    return np.asarray((found + found.T) / 2)
