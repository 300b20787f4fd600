"""The data that the ledger's statistical checks are run on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from numerics.arrays import Array
from numerics.data import Covariance, GaussianMixture
from numerics.equivalents import low_rank_core
from theory.claims import Statistic

__all__ = [
    "MIXTURES",
    "PopulationStatistics",
    "mixture",
    "population",
]

#: Names of the mixtures, and what they are.
MIXTURES = {
    "released": "two equal classes, n = 0.8 p, means of norm 2, C_a = (1 + 8a/sqrt p) I",
    "rich": "classes of n/3 and 2n/3 samples, n = 0.9 p, means of norm 1, C_1 = 3/2 Toeplitz(0.6^|i-j|), "
    "C_2 = (1 + 3/sqrt p) D with D's diagonal 0.9 and 2.1 in turn",
    "spiked": "the released one with C_2 = (1 + 8/sqrt p) I + 9 e_1 e_1^T, a spike of bounded strength",
    "far": "the released one with C_2 = 3/2 I: the traces differ by order p",
    "sheet": "the released one with C_a = (1 + 20a/sqrt p) I, the example of theory sheet section 5",
    "uneven": "classes of n/4 and 3n/4 samples, n = 0.8 p, means of norm 7/2 and 5/2, C_a = (1 + 6a/sqrt p) I",
}


@lru_cache(maxsize=32)
def mixture(name: str, p: int) -> GaussianMixture:
    """Return a mixture of ``MIXTURES`` in dimension p.

    The rich one has non-diagonal, non-commuting covariances of different spectra, unequal classes and both kinds of
    fluctuation of the norms, and tau_0^2 tends to 3/2, so that no two terms of the equivalents can stand in for each
    other.  The shift between its traces is small, so that the errors' series in p^(-1/2) is short.  The far one breaks
    an assumption of the theory.

    Raises:
        ValueError: an unknown name, or p below 16.
    """
    if name not in MIXTURES:
        raise ValueError(f"unknown data {name!r}: accepted are {', '.join(MIXTURES)}")
    if p < 16:
        raise ValueError(f"the {name} mixture needs p of at least 16, not {p}")
    released = GaussianMixture.released_experiment(p, 0.8, 2.0, 8.0)
    if name == "released":
        return released
    if name == "far":
        return replace(released, covariances=(released.covariances[0], Covariance(1.5, p)))
    if name == "spiked":
        spiked = np.full(p, 1 + 8 / np.sqrt(p))
        spiked[0] += 9.0
        return replace(released, covariances=(released.covariances[0], Covariance(spiked, p)))
    if name == "sheet":
        return GaussianMixture.released_experiment(p, 0.8, 2.0, 20.0)
    means = np.zeros((2, p))
    if name == "uneven":
        means[0, 0], means[1, 8] = 3.5, 2.5
        first = round(0.2 * p)
        return GaussianMixture.build(means, [1.0, 1 + 6 / np.sqrt(p)], [first, round(0.8 * p) - first])
    means[0, 0] = means[1, 8] = 1.0
    levels = np.where(np.arange(p) % 2 == 0, 0.9, 2.1) * (1 + 3 / np.sqrt(p))
    first = round(0.3 * p)
    covariances = [Covariance.toeplitz(p, 0.6, 1.5), Covariance(levels, p)]
    return GaussianMixture.build(means, covariances, [first, round(0.9 * p) - first])


@dataclass(frozen=True)
class PopulationStatistics:
    """What the equivalents need of a mixture besides the samples.

    Attributes:
        p: dimension.
        sizes: (K,) array, samples in each class.
        tau0: sqrt(tr C°/p).
        t: (K,) array.
        T: (K, K) array, not centred.
        T_centred: (K, K) array, tr(C_a° C_b°)/p.
        T_elementwise: (K, K) array, of the covariances' diagonals alone.
    """

    p: int
    sizes: Array
    tau0: float
    t: Array
    T: Array
    T_centred: Array
    T_elementwise: Array

    def core(self, second: float, third: float, changes: frozenset[Statistic]) -> Array:
        """C of theory sheet section 4 (shape (K+1, K+1)) for coefficients of t and psi and of T, with changes."""
        classes = self.t.size
        t = self.t[::-1] if Statistic.TRACE_SWAPPED in changes else self.t
        if Statistic.TRACE_ABSENT in changes:
            t = np.zeros(classes)
        T = self.T
        if Statistic.T_CENTRED in changes:
            T = self.T_centred
        if Statistic.T_ELEMENTWISE in changes:
            T = self.T_elementwise
        if Statistic.T_ABSENT in changes:
            T = np.zeros_like(T)
        if Statistic.T_CLASSES_SWAPPED in changes:
            T = T[::-1, ::-1]
        core = low_rank_core(second, third, replace(self, t=t, T=T))
        scale = np.ones(classes + 1)
        if Statistic.INDICATOR_BY_SAMPLES in changes:
            scale[:classes] = np.sqrt(self.p / self.sizes.sum())
        if Statistic.PSI_ABSENT in changes:
            scale[classes] = 0.0
        return np.asarray(scale[:, None] * core * scale)


@lru_cache(maxsize=32)
def population(name: str, p: int) -> PopulationStatistics:
    """Return the statistics of a mixture of ``MIXTURES``."""
    data = mixture(name, p)
    shares = np.array(data.sizes) / data.samples
    diagonals = np.stack([covariance.diagonal for covariance in data.covariances])
    T = data.trace_products
    # tr(C_a - C°)(C_b - C°), with C° the mean of the C_a, from the products alone.
    towards_mean = T @ shares
    centred = T - towards_mean[:, None] - towards_mean[None, :] + shares @ T @ shares
    return PopulationStatistics(
        p=p,
        sizes=np.array(data.sizes, dtype=np.float64),
        tau0=data.tau0,
        t=data.trace_shifts,
        T=T,
        T_centred=centred,
        T_elementwise=diagonals @ diagonals.T / p,
    )
