"""What is done to samples before a kernel sees them, fitted to one split and applied with its numbers to others."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from numerics.arrays import EPS, Array
from numerics.data.dataset import Dataset
from numerics.data.limits import DatasetError
from numerics.data.norms import lengths, root_mean_square
from numerics.data.wording import counted
from numerics.linalg import gram_matrix
from numerics.named import NORMALISATIONS, Normalisation

__all__ = ["Preprocessing"]

#: Centred samples are rounding, and no data, up to so much of what they were.
_ROUNDING = 8 * EPS
#: The smallest number that float64 holds to all its digits.
_SMALLEST = float(np.finfo(np.float64).tiny)


@dataclass(frozen=True, eq=False)
class Preprocessing:
    """Classes chosen, centring, whitening, the norm per sample and scaling, in this order, all fitted to one data set.

    Attributes:
        classes: names of the classes that are kept.
        normalisation: "none", "center" or "sample" (see ``Dataset.normalise``).
        mean: (p,) array that is subtracted, zero for "none" without whitening.
        whitening: (p, k) array V diag(lambda)^(-1/2) of the k largest principal components; None where samples keep
            their coordinates.
        scale: by which all are divided; 1 where every sample is scaled to norm 1.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> data = Dataset.from_arrays(rng.standard_normal((40, 5)) + 3, [0, 1] * 20)
        >>> train, test = data.split(0.5, rng)
        >>> fitted = Preprocessing.fit(train, "center")
        >>> round(fitted.scale, 3), round(fitted.apply(train).tau0, 3), round(fitted.apply(test).tau0, 3)
        (2.145, 1.0, 0.985)
        >>> fitted.apply(test).preprocessing
        ('test part of a split at 0.5', 'centred', 'divided by 2.14483')
    """

    classes: tuple[str, ...]
    normalisation: Normalisation
    mean: Array
    whitening: Array | None
    scale: float

    @classmethod
    def fit(
        cls,
        training: Dataset,
        normalisation: Normalisation = "center",
        *,
        classes: Iterable[str | int] | None = None,
        components: int | None = None,
    ) -> Preprocessing:
        """Take every number from the training split.

        Args:
            training: the data set that the numbers come from.
            normalisation: "none", "center" or "sample" (see ``Dataset.normalise``).
            classes: names of those that are kept; all by default.
            components: k, to whiten: samples are centred and become their coordinates along the k principal components
                of all classes together, each divided by its standard deviation.

        Raises:
            DatasetError: an unknown normalisation or class, more components than the samples have, or samples that
                cannot be scaled.
        """
        if normalisation not in NORMALISATIONS:
            raise DatasetError(f"samples are normalised by {', '.join(NORMALISATIONS)}, not {normalisation!r}")
        chosen = training if classes is None else training.select(classes)
        centred = normalisation != "none" or components is not None
        mean = _mean(chosen.samples) if centred else np.zeros(chosen.p)
        _check_spread(chosen.samples, mean)
        whitening = None if components is None else _whitening(chosen.samples - mean, components)
        unscaled = cls(chosen.classes, normalisation, mean, whitening, 1.0)
        scale = 1.0 if normalisation == "sample" else root_mean_square(unscaled._placed(chosen.samples))
        return cls(chosen.classes, normalisation, mean, whitening, scale)

    def apply(self, data: Dataset) -> Dataset:
        """The data set with all of it done, by the numbers of the split that this was fitted to.

        Args:
            data: of the same features; the split that this was fitted to, or another.

        Raises:
            DatasetError: other features, a class that is missing, or a sample of norm 0 that should get norm 1.
        """
        if data.p != len(self.mean):
            raise DatasetError(
                f"{data.name} has {counted(data.p, 'feature')}; {len(self.mean)} are accepted, as in the training split"
            )
        chosen = data.select(self.classes)
        placed = self._placed(chosen.samples)
        if self.normalisation != "sample":
            return chosen.transformed(placed / self.scale, *self._words())
        norms = lengths(placed)
        # Below this the direction is rounding.
        flat = np.flatnonzero(norms <= np.maximum(_ROUNDING * self._gain * lengths(chosen.samples), _SMALLEST))
        if flat.size:
            raise DatasetError(
                f"sample {flat[0]} has norm 0 once it is centred; samples with a direction can be scaled to 1"
            )
        return chosen.transformed(placed / norms[:, None], *self._words())

    def _placed(self, samples: Array) -> Array:
        """Centred and whitened, not yet scaled."""
        centred = samples - self.mean
        return centred if self.whitening is None else np.asarray(centred @ self.whitening)

    @property
    def _gain(self) -> float:
        """The most that whitening makes of rounding."""
        return 1.0 if self.whitening is None else float(lengths(self.whitening.T).max())

    def _words(self) -> list[str]:
        """What was done, in order."""
        words = ["centred"] if self.normalisation != "none" or self.whitening is not None else []
        if self.whitening is not None:
            words.append(f"whitened to {self.whitening.shape[1]} principal components")
        words.append(
            "every sample scaled to norm 1" if self.normalisation == "sample" else f"divided by {self.scale:.6g}"
        )
        return words


def _mean(samples: Array) -> Array:
    """The mean, right to its last digits for any number of samples: NumPy's adds row to row."""
    first = samples.mean(axis=0)
    return np.asarray(first + (samples - first).mean(axis=0))


def _check_spread(samples: Array, mean: Array) -> None:
    """Refuse samples of which centring leaves nothing, or rounding."""
    before = root_mean_square(samples)
    if before < _SMALLEST:
        raise DatasetError(f"all samples are zero or below {_SMALLEST:.3g}; samples that differ can be scaled")
    if root_mean_square(samples - mean) <= max(_ROUNDING * before, _SMALLEST):
        raise DatasetError("all samples are the same, but for rounding; samples that differ can be scaled")


def _whitening(centred: Array, components: int) -> Array:
    """V diag(lambda)^(-1/2), lambda the largest eigenvalues of X^T X/n, V their eigenvectors with signs fixed."""
    scale = root_mean_square(centred)
    values, vectors = np.linalg.eigh(gram_matrix(centred / scale) / len(centred))
    rank = int(np.sum(values > len(values) * EPS * values[-1]))
    if not 1 <= components <= rank:
        raise DatasetError(f"{components} principal components are asked for; 1 to {rank} are accepted here")
    values, vectors = values[::-1][:components], vectors[:, ::-1][:, :components]
    largest = vectors[np.abs(vectors).argmax(axis=0), np.arange(components)]
    return np.asarray(vectors * np.sign(largest) / np.sqrt(values) / scale)
