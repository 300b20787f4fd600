"""Distances between spectra and laws, outliers beyond a law's edges and their matching."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike

from numerics.arrays import Array

__all__ = [
    "Law",
    "OutlierMatch",
    "kolmogorov_distance",
    "levy_distance",
    "match_outliers",
    "outside_support",
    "wasserstein_distance",
]

#: Points on which a law's distribution function is taken as piecewise linear between eigenvalues.
_GRID = 8192


class Law(Protocol):
    """A probability law on the line with compact support, such as ``SpectralLaw``."""

    @property
    def edges(self) -> tuple[tuple[float, float], ...]:
        """(left, right) of every interval of the support, ascending."""
        ...

    @property
    def point(self) -> float | None:
        """Place of a point mass, if there is one."""
        ...

    def cumulative(self, x: ArrayLike, *, left: bool = False) -> Array:
        """Distribution function, or its limit from the left, at points, an array of any shape."""
        ...


def _spectrum(values: ArrayLike) -> Array:
    found = np.sort(np.array(values, dtype=np.float64).reshape(-1))
    if found.size == 0 or not np.all(np.isfinite(found)):
        raise ValueError("a spectrum must be finite and not empty")
    return found


def kolmogorov_distance(values: ArrayLike, law: Law, *, slack: float = 0.0) -> float:
    """sup_x |F_n(x) - F(x)| of eigenvalues to a law; either may have point masses.

    Args:
        values: (n,) array of eigenvalues, in any order.
        law: what they are compared with.
        slack: horizontal tolerance, F(x - slack) and F(x + slack) in place of F(x) on the near side: rounding splits
            the eigenvalues of a point mass to both sides of it.

    Raises:
        ValueError: no eigenvalues, or some that are not finite.
    """
    x = _spectrum(values)
    above = np.searchsorted(x, x, side="right") / x.size - law.cumulative(x + slack)
    below = law.cumulative(x - slack, left=True) - np.searchsorted(x, x, side="left") / x.size
    # Beyond the last eigenvalue F_n is 1 and before the first it is 0: covered, since F is between.
    if slack:
        return float(max(above.max(), below.max(), 0.0))
    return float(max(np.abs(above).max(), np.abs(below).max()))


def levy_distance(values: ArrayLike, law: Law) -> float:
    """The least e with F(x - e) - e <= F_n(x) <= F(x + e) + e for all x: small also where a point mass is smeared out.

    Args:
        values: (n,) array of eigenvalues, in any order.
        law: F.

    Raises:
        ValueError: no eigenvalues, or some that are not finite.
    """
    x = _spectrum(values)
    low, high = 0.0, 1.0
    if kolmogorov_distance(x, law, slack=np.finfo(np.float64).tiny) == 0:
        return 0.0
    for _ in range(60):
        middle = (low + high) / 2
        if kolmogorov_distance(x, law, slack=middle) <= middle:
            high = middle
        else:
            low = middle
    return high


def wasserstein_distance(values: ArrayLike, law: Law) -> float:
    """Integral of |F_n - F|, the distance of order 1, in units of the eigenvalues.

    By trapezoids between neighbouring points of a grid of 8192 and the eigenvalues.

    Args:
        values: (n,) array of eigenvalues, in any order.
        law: F.

    Raises:
        ValueError: no eigenvalues, or some that are not finite.
    """
    x = _spectrum(values)
    ends = [x[0], x[-1], *(edge for pair in law.edges for edge in pair)]
    ends += [] if law.point is None else [law.point]
    places = np.unique(np.concatenate([np.linspace(min(ends), max(ends), _GRID), x, ends]))
    if places.size == 1:
        return 0.0
    level = np.searchsorted(x, places[:-1], side="right") / x.size
    start, stop = level - law.cumulative(places[:-1]), level - law.cumulative(places[1:], left=True)
    return float((np.abs(start) + np.abs(stop)) / 2 @ np.diff(places))


def outside_support(
    values: ArrayLike, law: Law, margin: float, point_margin: float | None = None
) -> tuple[Array, Array]:
    """Eigenvalues outside a law's support by more than a margin, and the others; both descending.

    Args:
        values: (n,) array of eigenvalues, in any order.
        law: with the support.
        margin: about the edges of intervals.
        point_margin: about a point mass, by default the same.

    Raises:
        ValueError: no eigenvalues, or some that are not finite; a negative margin.
    """
    around = margin if point_margin is None else point_margin
    if not (margin >= 0 and around >= 0):
        raise ValueError(f"margins must not be negative, got {margin} and {around}")
    x = _spectrum(values)[::-1]
    held = np.zeros(x.size, dtype=np.bool_)
    for left, right in law.edges:
        held |= (x >= left - margin) & (x <= right + margin)
    if law.point is not None:
        held |= np.abs(x - law.point) <= around
    return x[~held], x[held]


def _on_side(values: Array, side: str, left: float, right: float) -> Array:
    """Those of descending values above, below or among the edges, from the outermost inwards."""
    if side == "above":
        return values[values >= right]
    if side == "below":
        return values[values <= left][::-1]
    return values[(values > left) & (values < right)]


@dataclass(frozen=True)
class OutlierMatch:
    """Predicted and measured isolated eigenvalues, paired.

    Attributes:
        pairs: (k, 2) array, predicted and measured, descending.
        missing: (r,) array, predicted ones without a partner.
        unexpected: (s,) array, measured ones without a partner.
    """

    pairs: Array
    missing: Array
    unexpected: Array

    @property
    def relative_errors(self) -> Array:
        """(measured - predicted) / |predicted| of every pair."""
        predicted, measured = self.pairs[:, 0], self.pairs[:, 1]
        return np.asarray((measured - predicted) / np.abs(predicted))


def match_outliers(predicted: ArrayLike, measured: ArrayLike, support: tuple[float, float]) -> OutlierMatch:
    """Pair isolated eigenvalues in their order, from the outermost inwards, on each side of a support by itself.

    Order is what interlacing keeps: crossing pairs would never be nearer.  Those within gaps of the support are paired
    from above.

    Args:
        predicted: (r,) array, eigenvalues of the law, in any order.
        measured: (s,) array, eigenvalues of a matrix, in any order.
        support: (left, right), the outer edges.
    """
    pairs: list[tuple[float, float]] = []
    missing: list[float] = []
    unexpected: list[float] = []
    theory, data = (np.sort(np.array(v, dtype=np.float64).reshape(-1))[::-1] for v in (predicted, measured))
    left, right = support
    for side in ("above", "among", "below"):
        ours, theirs = (_on_side(values, side, left, right) for values in (theory, data))
        common = min(ours.size, theirs.size)
        pairs += list(zip(ours[:common].tolist(), theirs[:common].tolist(), strict=True))
        missing += ours[common:].tolist()
        unexpected += theirs[common:].tolist()
    ordered = sorted(pairs, reverse=True)
    return OutlierMatch(np.array(ordered).reshape(-1, 2), np.array(missing), np.array(unexpected))
