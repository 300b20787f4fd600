"""Gaussian mixtures in high dimension: the population, its samples and their statistics J, t, T, psi, tau_0.

Columns of the data are x_i = mu_a / sqrt(p) + w_i with w_i ~ N(0, C_a / p) for a sample of class a (theory sheet,
section 1).  Other laws of w_i = C_a^(1/2) z_i / sqrt(p) with the same first two moments test universality.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from numerics.arrays import Array
from numerics.data.covariance import Covariance
from numerics.data.entry_laws import ENTRY_LAWS, FOURTH_MOMENTS, EntryLaw, draw_entries
from numerics.data.statistics import MixtureStatistics, StatisticsSource, estimate_statistics
from numerics.linalg import gram_matrix

__all__ = [
    "GaussianMixture",
    "MixtureSample",
    "class_scales",
    "class_sizes",
]


@dataclass(frozen=True)
class GaussianMixture:
    """Population of K Gaussian classes in dimension p, with the number of samples of each.

    Attributes:
        means: (K, p) array, class means mu_a (a sample's mean is mu_a / sqrt(p)).
        covariances: tuple of K Covariance, class covariances C_a (a sample's covariance is C_a / p).
        sizes: tuple of K int, samples n_a in each class, at least 1.
        noise: law of the entries of z_i in w_i = C_a^(1/2) z_i / sqrt(p); any but "gaussian" makes it a mixture with
            the same means and covariances whose classes are not normal.
    """

    means: Array
    covariances: tuple[Covariance, ...]
    sizes: tuple[int, ...]
    noise: EntryLaw = "gaussian"

    def __post_init__(self) -> None:
        if self.noise not in ENTRY_LAWS:
            raise ValueError(f"the noise is one of {', '.join(ENTRY_LAWS)}, not {self.noise!r}")
        means = np.array(self.means, dtype=np.float64)
        if means.ndim != 2 or 0 in means.shape or not np.all(np.isfinite(means)):
            raise ValueError(f"means must be a finite (K, p) array with K, p >= 1, got shape {means.shape}")
        classes, p = means.shape
        if len(self.covariances) != classes or len(self.sizes) != classes:
            raise ValueError(
                f"{classes} means need {classes} covariances and sizes, got {len(self.covariances)} and "
                f"{len(self.sizes)}"
            )
        wrong = [c.dimension for c in self.covariances if c.dimension != p]
        if wrong:
            raise ValueError(f"a covariance has dimension {wrong[0]}, the means have dimension {p}")
        if any(size < 1 for size in self.sizes):
            raise ValueError(f"every class needs at least one sample, got sizes {tuple(self.sizes)}")
        means.flags.writeable = False
        object.__setattr__(self, "means", means)
        object.__setattr__(self, "covariances", tuple(self.covariances))
        object.__setattr__(self, "sizes", tuple(int(size) for size in self.sizes))

    @classmethod
    def build(
        cls,
        means: ArrayLike,
        covariances: Sequence[ArrayLike | Covariance],
        sizes: Sequence[int],
        noise: EntryLaw = "gaussian",
    ) -> GaussianMixture:
        """Mixture from plain numbers and arrays.

        Args:
            means: (K, p) array, the class means mu_a.
            covariances: of each class: a scale, a (p,) diagonal, a (p, p) matrix, or a `Covariance`.
            sizes: number of samples of each class.
            noise: law of the entries of the whitened noise.

        Raises:
            ValueError: shapes that do not fit, a covariance that is not one, or a class without samples.
        """
        array = np.array(means, dtype=np.float64)
        if array.ndim != 2:
            raise ValueError(f"means must be a (K, p) array, got shape {array.shape}")
        p = array.shape[1]
        made = tuple(c if isinstance(c, Covariance) else Covariance(c, p) for c in covariances)
        return cls(array, made, tuple(sizes), noise)

    @classmethod
    def released_experiment(
        cls,
        p: int,
        ratio: float = 0.8,
        means: float = 8.0,
        cov_shift: float = 8.0,
        classes: int = 2,
        noise: EntryLaw = "gaussian",
    ) -> GaussianMixture:
        """The released code's experiment: mu_a = means e_{8a}, C_a = (1 + cov_shift a / sqrt(p)) I, a = 0..K-1.

        n is `ratio` p rounded to the nearest integer (ties to even); it is split equally, and what is left over
        goes one each to the first classes.

        Args:
            p: dimension.
            ratio: n/p.
            means: norm of the class means.
            cov_shift: see above.
            classes: K.
            noise: law of the entries of the whitened noise.

        Raises:
            ValueError: p, the number of classes or n out of range, or a covariance that would be negative.
        """
        if p < 1:
            raise ValueError(f"the dimension p must be at least 1, got {p}")
        if classes < 1:
            raise ValueError(f"the number of classes must be at least 1, got {classes}")
        if not (np.isfinite(ratio) and ratio > 0):
            raise ValueError(f"the ratio n/p must be positive and finite, got {ratio}")
        if p <= 8 * (classes - 1):
            raise ValueError(
                f"{classes} class means along the axes 0, 8, 16, ... need p of at least {8 * (classes - 1) + 1}, "
                f"got {p}"
            )
        n = round(ratio * p)
        if n < classes:
            raise ValueError(f"ratio * p = {ratio * p:g} samples are too few for {classes} classes")
        if not np.isfinite(means):
            raise ValueError(f"the norm of the means must be finite, got {means}")
        centres = np.zeros((classes, p))
        centres[np.arange(classes), 8 * np.arange(classes)] = means
        sizes = class_sizes(n, np.ones(classes))
        return cls.build(centres, class_scales(p, cov_shift, classes), sizes, noise)

    @property
    def dimension(self) -> int:
        """p."""
        return int(self.means.shape[1])

    @property
    def samples(self) -> int:
        """n, over all classes."""
        return sum(self.sizes)

    @property
    def classes(self) -> int:
        """K."""
        return int(self.means.shape[0])

    @property
    def tau0(self) -> float:
        """sqrt(tr C° / p), C° = sum_a (n_a / n) C_a."""
        mean_trace = sum(k * c.trace for k, c in zip(self.sizes, self.covariances, strict=True))
        return float(np.sqrt(mean_trace / self.samples / self.dimension))

    @property
    def trace_shifts(self) -> Array:
        """t_a = tr(C_a - C°) / sqrt(p), shape (K,)."""
        traces = np.array([c.trace for c in self.covariances])
        centre = np.dot(self.sizes, traces) / self.samples
        return np.asarray((traces - centre) / np.sqrt(self.dimension))

    @cached_property
    def trace_products(self) -> Array:
        """T_ab = tr(C_a C_b) / p with the covariances as they are, not centred, shape (K, K); not to be written to."""
        table = [[a.trace_product(b) for b in self.covariances] for a in self.covariances]
        found = np.array(table) / self.dimension
        found.flags.writeable = False
        return found

    @property
    def norm_energies(self) -> Array:
        """p E psi_i^2 of a sample of each class, psi_i = ||w_i||^2 - tr C_a/p, shape (K,); 2 T_aa if normal."""
        fourth = FOURTH_MOMENTS[self.noise]
        return np.array([c.square_norm_variance(fourth) for c in self.covariances]) / self.dimension

    def sample(self, rng: np.random.Generator) -> MixtureSample:
        """Draw the n samples, class after class."""
        p = self.dimension
        noise, data = np.empty((p, self.samples)), np.empty((p, self.samples))
        labels = np.repeat(np.arange(self.classes), self.sizes)
        # Class by class, in place: with thousands of samples in as many dimensions each array is gigabytes.
        for size, stop, mean, covariance in zip(
            self.sizes, np.cumsum(self.sizes), self.means, self.covariances, strict=True
        ):
            members = slice(stop - size, stop)
            noise[:, members] = covariance.colour(draw_entries(self.noise, (p, size), rng))
            noise[:, members] /= np.sqrt(p)
            np.add(noise[:, members], mean[:, None] / np.sqrt(p), out=data[:, members])
        return MixtureSample(self, data, labels, noise)


@dataclass(frozen=True)
class MixtureSample:
    """Samples of a mixture.

    Attributes:
        mixture: GaussianMixture, the population.
        data: (p, n) array, X, a sample in each column.
        labels: (n,) int array, class of each sample, 0..K-1.
        noise: (p, n) array, W = X less the means, from which psi is taken.
    """

    mixture: GaussianMixture
    data: Array
    labels: NDArray[np.intp]
    noise: Array

    def gram(self) -> Array:
        """S = X^T X, shape (n, n), symmetric to the last bit."""
        return gram_matrix(self.data)

    def permuted(self, permutation: NDArray[np.intp]) -> MixtureSample:
        """The same samples in another order: that of an (n,) array of their numbers."""
        return MixtureSample(
            self.mixture, self.data[:, permutation], self.labels[permutation], self.noise[:, permutation]
        )

    def statistics(self, source: StatisticsSource = "population") -> MixtureStatistics:
        """J, t, T, psi and both readings of tau_0, of the population or estimated from the labelled data alone.

        Raises:
            ValueError: an unknown source, or classes too small to estimate from.
        """
        if source == "estimated":
            return estimate_statistics(self.data, self.labels)
        if source != "population":
            raise ValueError(f'statistics come from the "population" or are "estimated", not {source!r}')
        p, n = self.data.shape
        indicator = np.zeros((n, self.mixture.classes))
        indicator[np.arange(n), self.labels] = 1.0
        level = np.array([c.trace for c in self.mixture.covariances]) / p
        psi = np.einsum("ij,ij->j", self.noise, self.noise) - level[self.labels]
        return MixtureStatistics(
            dimension=p,
            indicator=indicator,
            t=self.mixture.trace_shifts,
            T=self.mixture.trace_products,
            psi=psi,
            tau0_population=self.mixture.tau0,
            tau0_empirical=float(np.sqrt(np.einsum("ij,ij->", self.data, self.data) / n)),
        )


def class_scales(p: int, cov_shift: float, classes: int) -> tuple[float, ...]:
    """1 + cov_shift a / sqrt(p), a = 0..K-1: the factors of the classes' covariances in the released experiment.

    Raises:
        ValueError: a factor that would be negative.
    """
    if not (np.isfinite(cov_shift) and 1 + cov_shift * (classes - 1) / np.sqrt(p) >= 0):
        raise ValueError(f"1 + cov_shift a / sqrt(p) must not be negative, got cov_shift = {cov_shift}")
    return tuple(float(1 + cov_shift * a / np.sqrt(p)) for a in range(classes))


def class_sizes(samples: int, proportions: ArrayLike) -> tuple[int, ...]:
    """Whole class sizes n_a that add up to n, as near to n times the proportions as can be (largest remainders).

    Args:
        samples: n.
        proportions: (K,) array, positive; only their ratios matter.

    Raises:
        ValueError: proportions that are not positive, or a class that would be empty.
    """
    shares = np.array(proportions, dtype=np.float64)
    if shares.ndim != 1 or shares.size < 1 or not np.all(np.isfinite(shares)) or np.any(shares <= 0):
        raise ValueError("the proportions of the classes must be positive and finite")
    exact = samples * shares / shares.sum()
    sizes = np.floor(exact).astype(int)
    first = np.argsort(sizes - exact, kind="stable")[: samples - int(sizes.sum())]
    sizes[first] += 1
    if np.any(sizes < 1):
        raise ValueError(f"{samples} samples leave a class of proportions {tuple(shares.tolist())} empty")
    return tuple(int(size) for size in sizes)
