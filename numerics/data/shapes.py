"""Shapes of covariances by name, for any dimension: what a class of an experiment has besides its scale.

Nothing is normalised: tr C/p is that of the numbers given, and tau_0 follows from it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple, get_args

import numpy as np

from numerics.data.covariance import Covariance

__all__ = [
    "LARGEST_MATRIX",
    "MOST_ENTRIES",
    "SHAPES",
    "CovarianceShape",
    "ShapeKind",
    "class_covariances",
]

ShapeKind = Literal["isotropic", "diagonal", "toeplitz", "low-rank"]
SHAPES: tuple[ShapeKind, ...] = get_args(ShapeKind)
#: Largest dimension of a covariance that is a full matrix: its eigenvalues take minutes beyond.
LARGEST_MATRIX = 4096
#: Most entries of all classes' full matrices together, of which there are three copies at a time.
MOST_ENTRIES = 16 * LARGEST_MATRIX**2


class CovarianceShape(NamedTuple):
    """A covariance up to its dimension and a factor.

    Attributes:
        kind: "isotropic", I; "diagonal", the variances in equal runs of consecutive coordinates; "toeplitz",
            decay^|j - k|; "low-rank", I plus a strength on the last few axes.
        numbers: of the kind: none; the variances; the decay; the rank and the strength.
    """

    kind: ShapeKind = "isotropic"
    numbers: tuple[float, ...] = ()

    @property
    def text(self) -> str:
        """The kind and the numbers in one word, such as toeplitz:0.4."""
        return f"{self.kind}:{','.join(map(repr, self.numbers))}" if self.numbers else self.kind

    def covariance(self, dimension: int, scale: float = 1.0) -> Covariance:
        """`scale` times this shape in a dimension.

        Raises:
            ValueError: an unknown kind, numbers that the kind does not take, or a dimension that is too small or, for a
                full matrix, too large.
        """
        count = len(self.numbers)
        if self.kind == "isotropic" and count == 0:
            return Covariance(scale, dimension)
        if self.kind == "diagonal" and 1 <= count <= dimension:
            return Covariance(scale * np.array(self.numbers)[np.arange(dimension) * count // dimension])
        if self.kind == "toeplitz" and count == 1:
            if dimension > LARGEST_MATRIX:
                raise ValueError(
                    f"a Toeplitz covariance is a p x p matrix: p up to {LARGEST_MATRIX} is accepted, not {dimension}"
                )
            return Covariance.toeplitz(dimension, self.numbers[0], scale)
        if self.kind == "low-rank" and count == 2:
            rank, strength = self.numbers
            if not (rank == int(rank) and 1 <= rank <= dimension):
                raise ValueError(f"the rank of a low-rank covariance must be a whole number from 1 to p, not {rank:g}")
            variances = np.ones(dimension)
            variances[dimension - int(rank) :] += strength
            return Covariance(scale * variances)
        raise ValueError(
            "a covariance is isotropic, diagonal with from 1 to p variances, toeplitz with a decay, or low-rank with a "
            f"rank and a strength, not {self.kind!r} with {count} numbers"
        )


def class_covariances(
    shapes: Sequence[CovarianceShape], dimension: int, scales: Sequence[float]
) -> tuple[Covariance, ...]:
    """The covariance of every class: its shape, or the one there is for all, times its scale.

    Raises:
        ValueError: shapes that do not fit the number of classes, that are not covariances, or are too large.
    """
    classes = len(scales)
    if len(shapes) not in (1, classes):
        raise ValueError(f"{len(shapes)} covariances for {classes} classes: give one for all of them, or one for each")
    each = tuple(shapes) * (classes if len(shapes) == 1 else 1)
    matrices = sum(shape.kind == "toeplitz" for shape in each)
    if matrices * dimension**2 > MOST_ENTRIES:
        raise ValueError(
            f"{matrices} Toeplitz covariances of dimension {dimension} have {matrices * dimension**2:.3g} entries; "
            f"{MOST_ENTRIES:.3g} are accepted: fewer classes or a smaller dimension"
        )
    return tuple(shape.covariance(dimension, scale) for shape, scale in zip(each, scales, strict=True))
