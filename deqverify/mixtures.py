"""The data of the front door: a mixture of Gaussians in some dimension, its samples as rows."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from numbers import Integral, Real
from reprlib import repr as brief
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from numerics.arrays import Array
from numerics.data import ENTRY_LAWS, Covariance, EntryLaw, GaussianMixture, class_scales, class_sizes

__all__ = ["Mixture"]

# --- arguments, as the whole front door reads them -------------------------------------------------------------------


def _require(value: Any, kind: Any, accepted: str) -> None:
    """Refuse a value of another type, and say what is accepted."""
    if not isinstance(value, kind):
        raise TypeError(f"{accepted}, not {brief(value)}")


def _whole(value: Any, name: str, least: int = 1) -> int:
    """A whole number that is large enough."""
    message = f"{name} must be a whole number, at least {least}, not {brief(value)}"
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(message)
    if value < least:
        raise ValueError(message)
    return int(value)


def _generator(rng: np.random.Generator) -> np.random.Generator:
    _require(rng, np.random.Generator, "rng must be a numpy.random.Generator, such as np.random.default_rng(0)")
    return rng


# --- the data --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Mixture:
    """K Gaussian classes in dimension p: a row of class a has the mean mu_a and the covariance C_a.

    Rows have entries of order 1, as in scikit-learn; the theory's column x_i is a row divided by sqrt(p).

    Attributes:
        p: dimension.
        ratio: n/p, the number of samples over the dimension.
        means: (K, p) array of the mu_a; or one number, for K means of this norm along the axes 0, 8, 16, ....
        covariances: of each class a number (times the identity), a (p,) diagonal or a (p, p) matrix; None for
            (1 + cov_shift a/sqrt(p)) I of class a = 0..K-1.
        cov_shift: see above.
        classes: K, where the means are one number.
        proportions: share of each class, up to a factor; equal where it is None.
        noise: law of the whitened entries: "gaussian", "rademacher", ... (``numerics.data.ENTRY_LAWS``).

    Raises:
        TypeError: an argument of another type.
        ValueError: numbers or shapes that make no mixture.

    Example:
        >>> import numpy as np
        >>> X, y = Mixture(p=100, means=3, classes=2).sample(np.random.default_rng(0))
        >>> X.shape, np.bincount(y)
        ((80, 100), array([40, 40]))
    """

    p: int = 400
    ratio: float = 0.8
    means: ArrayLike = 2.0
    covariances: Sequence[ArrayLike] | None = None
    cov_shift: float = 8.0
    classes: int = 2
    proportions: Sequence[float] | None = None
    noise: EntryLaw = "gaussian"

    def __post_init__(self) -> None:
        for name in ("p", "classes"):
            _whole(getattr(self, name), name)
        for name in ("ratio", "cov_shift"):
            _require(getattr(self, name), Real, f"{name} must be a number")
        for name in ("covariances", "proportions"):
            given = getattr(self, name)
            _require(() if given is None else given, Collection, f"{name} must be a list with an entry for each class")
        try:
            means = np.asarray(self.means, dtype=np.float64)
        except (TypeError, ValueError):
            raise TypeError(
                f"means must be a number or a (K, {self.p}) array of numbers, not {brief(self.means)}"
            ) from None
        if means.ndim not in (0, 2) or (means.ndim == 2 and means.shape[1] != self.p):
            raise ValueError(f"means must be a number or a (K, {self.p}) array, not an array of shape {means.shape}")
        if means.ndim == 2:
            object.__setattr__(self, "classes", means.shape[0])
        if self.noise not in ENTRY_LAWS:
            raise ValueError(f"the noise is one of {', '.join(ENTRY_LAWS)}, not {self.noise!r}")
        object.__setattr__(self, "means", means if means.ndim else float(means))
        _ = self.population

    @property
    def population(self) -> GaussianMixture:
        """What the theory has: samples in columns, divided by sqrt(p); raises ValueError where there is none."""
        if isinstance(self.means, float):
            plain = GaussianMixture.released_experiment(
                self.p, ratio=self.ratio, means=self.means, cov_shift=0.0, classes=self.classes, noise=self.noise
            )
            means, samples = plain.means, plain.samples
        else:
            means, samples = np.asarray(self.means), round(self.ratio * self.p)
        given = class_scales(self.p, self.cov_shift, self.classes) if self.covariances is None else self.covariances
        shares = (1.0,) * self.classes if self.proportions is None else tuple(self.proportions)
        if len(shares) != self.classes or len(given) != self.classes:
            raise ValueError(
                f"{self.classes} classes need as many covariances and proportions, not {len(given)} and {len(shares)}"
            )
        covariances = tuple(Covariance(one, self.p) for one in given)
        return GaussianMixture(means, covariances, class_sizes(samples, shares), self.noise)

    @property
    def n(self) -> int:
        """Number of samples."""
        return self.population.samples

    @property
    def tau0(self) -> float:
        """Input scale sqrt(tr C/p), C the mean covariance over the samples."""
        return self.population.tau0

    def at(self, p: int) -> Mixture:
        """Return the mixture in another dimension.

        Raises:
            ValueError: means or covariances that are arrays, and so have a dimension of their own.
        """
        arrays = not isinstance(self.means, float) or any(np.ndim(one) for one in self.covariances or ())
        if p != self.p and arrays:
            raise ValueError(
                f"means or covariances that are arrays have the dimension {self.p} only; means given by their norm "
                "and covariances given by numbers exist in every dimension"
            )
        return replace(self, p=p)

    def sample(self, rng: np.random.Generator) -> tuple[Array, NDArray[np.intp]]:
        """Draw the samples as an (n, p) array of rows, and their classes as an (n,) array, class after class.

        Args:
            rng: gives the random numbers.
        """
        drawn = self.population.sample(_generator(rng))
        return np.sqrt(self.p) * drawn.data.T, drawn.labels

    def __repr__(self) -> str:
        means = f"{self.means:g}" if isinstance(self.means, float) else f"array of shape {np.shape(self.means)}"
        shift = f"cov_shift={self.cov_shift:g}" if self.covariances is None else "covariances given"
        law = "" if self.noise == "gaussian" else f", noise={self.noise!r}"
        return (
            f"Mixture(p={self.p}, n={self.n}, classes={self.classes}, means={means}, {shift}, "
            f"tau0={self.tau0:.6g}{law})"
        )
