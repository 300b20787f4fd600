"""Support and density of the spectrum of the noise, W^T W, from its population: no matrix, no random number.

Theory sheet, section 5.  Edges are the folds of the real solutions over the support's gaps.  With theta in
[0, pi] over an interval, sqrt(x) = middle - half cos(theta), the density times dx/dtheta is an even analytic function
of theta, so its cosine series converges geometrically and gives density and distribution function everywhere.  The
mass of every interval is known beforehand, from the gaps at its sides, and checked.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.fft import dct

from numerics.arrays import Array
from numerics.spectrum.fixed_point import GapCurve, GapPoint, SpectralLawError, locate, refine_inside
from numerics.spectrum.population import CommutingCovariances, Population

__all__ = [
    "Bulk",
    "Gap",
    "Interval",
    "isolate_spikes",
    "solve_bulk",
]

Complex = NDArray[np.complex128]
#: Trial points for gaps, evenly over the range of the support, and as many again evenly in the logarithm.
_SCAN = 192
_DENSE_SCAN = 12
#: Nodes on an interval, doubled until the series has converged.
_FIRST_NODES = 32
_LAST_NODES = 4096
#: Last coefficients of a converged series, relative to the largest; those put up with at the most nodes; and the
#: error of an interval's mass, relative.
_SERIES = 1e-9
_COARSE = 1e-3
_MASS = 1e-5
#: Shares of the spectrum that are the same (they are whole numbers over n).
_SAME = 1e-9
_RESTARTS = 60
#: An interval with no more eigenvalues than this, and no more than this share of the rank, is made of spikes.
_SPIKES = 16
_SPIKE_SHARE = 0.02


@dataclass(frozen=True)
class Gap:
    """An open interval without spectrum, or a side of the support.

    Attributes:
        curve: the real solutions over it.
        lower: the edge at its lower end; None at 0 or at minus infinity.
        upper: the edge at its upper end; None at 0 or at infinity.
        reach: (low, high), its ends: infinite for the outer gaps.
    """

    curve: GapCurve
    lower: GapPoint | None
    upper: GapPoint | None
    reach: tuple[float, float]


@dataclass(frozen=True)
class Interval:
    """An interval of the support.

    Attributes:
        left: lower edge.
        right: upper edge.
        mass: share of the spectrum on it, exact.
        mass_error: |integral of the density - mass|.
        truncation: last quarter of the series relative to its largest term; above 1e-9 where 4096 terms do not do, as
            next to a gap that is nearly open.
        power: 2, or 1 where left = 0; x = y^power and y = middle - half cos(theta).
        series: (N,) array a_k, density(x) dx/dtheta = sum_k a_k cos(k theta).
    """

    left: float
    right: float
    mass: float
    mass_error: float
    truncation: float
    power: int
    series: Array

    def _angle(self, x: Array) -> Array:
        low, high = self.left ** (1 / self.power), self.right ** (1 / self.power)
        y = np.maximum(x, 0.0) ** (1 / self.power)
        return np.asarray(np.arccos(np.clip((low + high - 2 * y) / (high - low), -1, 1)))

    def density(self, x: Array) -> Array:
        """Density at points, an array of any shape; 0 outside the open interval."""
        points = x.reshape(-1)
        inside = (points > self.left) & (points < self.right)
        theta = self._angle(points[inside])
        values = np.cos(np.outer(theta, np.arange(self.series.size))) @ self.series
        stretch = _stretch(self.left, self.right, self.power, theta)[1]
        result = np.zeros(points.size)
        # A point within rounding of an edge has theta = 0 or pi, where dx/dtheta = 0: it is taken as the edge.
        result[inside] = np.divide(np.maximum(values, 0.0), stretch, out=np.zeros(stretch.size), where=stretch > 0)
        return result.reshape(x.shape)

    def cumulative(self, x: Array) -> Array:
        """Mass at or below points, an array of any shape."""
        theta = self._angle(x.reshape(-1))
        k = np.arange(1, self.series.size)
        values = self.series[0] * theta + np.sin(np.outer(theta, k)) @ (self.series[1:] / k)
        return np.asarray(np.clip(values, 0, self.mass).reshape(x.shape))


@dataclass(frozen=True)
class Bulk:
    """Limiting spectrum of W^T W.

    Attributes:
        population: what it was computed from.
        intervals: of the support, ascending, the point 0 apart.
        mass_at_zero: share of the spectrum at 0.
        gaps: ascending, from the one that reaches minus infinity.
    """

    population: Population
    intervals: tuple[Interval, ...]
    mass_at_zero: float
    gaps: tuple[Gap, ...]

    def density(self, x: ArrayLike) -> Array:
        """Density of the continuous part at points, an array of any shape."""
        points = np.array(x, dtype=np.float64)
        return np.asarray(sum((part.density(points) for part in self.intervals), np.zeros(points.shape)))

    def cumulative(self, x: ArrayLike, *, left: bool = False) -> Array:
        """Distribution function, or its limit from the left, at points, an array of any shape."""
        points = np.array(x, dtype=np.float64)
        atom = self.mass_at_zero * ((points > 0) if left else (points >= 0))
        return np.asarray(sum((part.cumulative(points) for part in self.intervals), atom.astype(np.float64)))


def _stretch(left: float, right: float, power: int, theta: Array) -> tuple[Array, Array]:
    """x and dx/dtheta of x = y^power, y = middle - half cos(theta).

    In y = sqrt(x) the pole at x = 0, that the density has behind an edge near 0, is further away.  Where the edge is
    at 0 the density behaves like x^(-1/2) and x itself is the variable in which the series converges.
    """
    low, high = left ** (1 / power), right ** (1 / power)
    y = (low + high) / 2 - (high - low) / 2 * np.cos(theta)
    return y**power, power * y ** (power - 1) * (high - low) / 2 * np.sin(theta)


def solve_bulk(population: Population) -> Bulk:
    """Compute the support's edges, the density and the masses.

    A gap too narrow for the trial points, about 1/200 of the range, shows when the density is zero at a node of the
    series, and only then; every gap reported is certified by a real solution, and every interval's mass is checked.

    Raises:
        SpectralLawError: an edge, a density or a mass was not found to the accuracy asked for.
    """
    search = _Support(population)
    search.scan()
    for _ in range(_RESTARTS):
        gaps = search.gaps()
        intervals: list[Interval] = []
        for below, above in search.neighbours(gaps):
            left, right = below.reach[1], above.reach[0]
            mass = below.curve.share_above - above.curve.share_above
            mass -= search.mass_at_zero if left == 0 else 0.0
            made = _interval(population, left, right, mass, search.scale)
            if isinstance(made, GapPoint):
                if not search.add(made):
                    raise SpectralLawError(
                        f"the density vanishes at {made.z:.8g}, inside the support [{left}, {right}]"
                    )
                break
            intervals.append(made)
        else:
            return Bulk(population, tuple(intervals), search.mass_at_zero, gaps)
    raise SpectralLawError(f"the support has more than {_RESTARTS} gaps that the first look did not show")


class _Support:
    """The gaps found so far, one curve each, told apart by the share of the spectrum above them."""

    def __init__(self, population: Population) -> None:
        self.covariances = population.covariances
        rank, self.touches_zero = population.rank()
        if rank <= 0:
            raise SpectralLawError("the noise has rank 0: there is no bulk")
        self.share_positive = rank / population.samples
        self.mass_at_zero = 1 - self.share_positive
        _, theta = self.covariances.evaluate(np.zeros(population.classes))
        # tr C_a^2/p is at most p times the share of the largest eigenvalue's square: doubling finds the rest.
        self.scale = 4 * float(np.sqrt(theta.max())) * (1 + np.sqrt(population.ratio)) ** 2
        self.curves: list[GapCurve] = []
        self._edges: dict[tuple[float, bool], GapPoint] = {}

    def add(self, point: GapPoint) -> bool:
        """Take in a point outside the support; whether it lies in a gap not known yet."""
        curve = GapCurve(self.covariances, point)
        if any(abs(curve.share_above - known.share_above) < _SAME for known in self.curves):
            return False
        self.curves.append(curve)
        self.curves.sort(key=lambda c: -c.share_above)
        return True

    def _try(self, place: float) -> GapCurve | None:
        (placed,) = locate(self.covariances, np.array([place]), self.scale)
        return None if placed is None or placed.outside is None else GapCurve(self.covariances, placed.outside)

    def _find(self, place: float, factor: float, share: float, where: str) -> None:
        """Add the gap with `share` of the spectrum above it, going from `place` on by factors."""
        for _ in range(_RESTARTS):
            curve = self._try(place)
            if curve is not None and abs(curve.share_above - share) < _SAME:
                self.add(curve.start)
                return
            place *= factor
        raise SpectralLawError(f"no point {where} the support was found, up to z = {place:.3g}")

    def scan(self) -> None:
        """Find the gap above the support, the one below, the one beside an eigenvalue 0, and others."""
        self._find(self.scale, 2.0, 0.0, "above")
        self.scale = self._edge(self.curves[0], upwards=False).z
        self._find(-self.scale, 2.0, 1.0, "below")
        if self.mass_at_zero > 0 and not self.touches_zero:
            self._find(self.scale / 4, 0.25, self.share_positive, "between 0 and the rest of")
        count = _SCAN if isinstance(self.covariances, CommutingCovariances) else _DENSE_SCAN
        places = [np.linspace(0, self.scale, count + 2)[1:-1], np.geomspace(1e-6, 1, count + 2)[1:-1] * self.scale]
        for placed in locate(self.covariances, np.concatenate(places), self.scale):
            if placed is not None and placed.outside is not None:
                self.add(placed.outside)

    def _edge(self, curve: GapCurve, *, upwards: bool) -> GapPoint:
        key = (curve.share_above, upwards)
        if key not in self._edges:
            self._edges[key] = curve.edge(upwards=upwards)
        return self._edges[key]

    def gaps(self) -> tuple[Gap, ...]:
        """The gaps with their edges, ascending."""
        made = []
        for position, curve in enumerate(self.curves):
            beside_zero = position == 1 and self._zero_is_isolated
            ends_at_zero = position == 0 and (self.mass_at_zero > 0 or self.touches_zero)
            lower = None if position == 0 or beside_zero else self._edge(curve, upwards=False)
            last = position == len(self.curves) - 1
            upper = None if last or ends_at_zero else self._edge(curve, upwards=True)
            low = lower.z if lower else 0.0 if beside_zero else -np.inf
            high = upper.z if upper else 0.0 if ends_at_zero else np.inf
            made.append(Gap(curve, lower, upper, (low, high)))
        return tuple(made)

    @property
    def _zero_is_isolated(self) -> bool:
        return self.mass_at_zero > 0 and not self.touches_zero

    def neighbours(self, gaps: tuple[Gap, ...]) -> list[tuple[Gap, Gap]]:
        """Pairs of gaps with an interval of the support between them."""
        pairs = list(pairwise(gaps))
        return pairs[1:] if self._zero_is_isolated else pairs


def _cosines(values: Array) -> Array:
    """Coefficients a_k of sum_k a_k cos(k theta) through values at theta = (j + 1/2) pi / N, along the first axis."""
    series = dct(values, type=2, axis=0) / values.shape[0]
    series[0] /= 2
    return np.asarray(series)


def _at_nodes(series: Array, nodes: int) -> Array:
    """Values of a cosine series at N' >= N nodes."""
    padded = np.zeros((nodes, *series.shape[1:]))
    padded[: series.shape[0]] = series / 2
    padded[0] *= 2
    return np.asarray(dct(padded, type=3, axis=0))


def _interval(population: Population, left: float, right: float, mass: float, scale: float) -> Interval | GapPoint:
    """The density on an interval, or a point of it that turns out to lie in a gap."""
    held, shares = population.covariances, population.proportions / population.ratio
    nodes, power = _FIRST_NODES, 1 if left == 0 else 2
    guesses: Complex | None = None
    while nodes <= _LAST_NODES:
        theta = (np.arange(nodes) + 0.5) * np.pi / nodes
        places, stretch = _stretch(left, right, power, theta)
        if guesses is None:
            q, missing = np.empty((nodes, shares.size), np.complex128), np.arange(nodes)
        else:
            q, solved = refine_inside(held, places, guesses)
            missing = np.flatnonzero(~solved)
        for node, placed in zip(missing, locate(held, places[missing], scale), strict=True):
            if placed is None:
                raise SpectralLawError(
                    f"the density at {places[node]:.10g} in [{left:.10g}, {right:.10g}] is not found"
                )
            if placed.outside is not None:
                return placed.outside
            q[node] = placed.q
        series = _cosines(stretch * (q.imag @ shares)) / np.pi
        # The last quarter, not the last term: odd and even terms may differ in size.
        tail = float(np.abs(series[3 * nodes // 4 :]).max() / np.abs(series).max())
        if tail <= (_SERIES if nodes < _LAST_NODES else _COARSE):
            error = abs(np.pi * float(series[0]) - mass)
            if error > _MASS * mass:
                raise SpectralLawError(
                    f"the density on [{left:.10g}, {right:.10g}] has the mass {np.pi * float(series[0]):.10g}, not "
                    f"{mass:.10g}, as the gaps beside it say"
                )
            return Interval(left, right, mass, error, tail, power, series)
        nodes *= 2
        guesses = _at_nodes(_cosines(q.real), nodes) + 1j * _guess_imaginary(q.imag, nodes)
    raise SpectralLawError(
        f"the density on [{left:.10g}, {right:.10g}] is not resolved by {_LAST_NODES} nodes: the covariances have "
        "eigenvalues that are nearly, but not quite, apart"
    )


def _guess_imaginary(imaginary: Array, nodes: int) -> Array:
    """Im q at more nodes: Im q sin(theta) is the even function."""
    sine, finer = (np.sin((np.arange(count) + 0.5) * np.pi / count) for count in (imaginary.shape[0], nodes))
    values = _at_nodes(_cosines(sine[:, None] * imaginary), nodes) / finer[:, None]
    return np.asarray(np.maximum(values, 1e-3 * np.abs(values).max() * finer[:, None]))


def isolate_spikes(bulk: Bulk) -> Population:
    """The population with directions that make intervals of a few eigenvalues by themselves counted as spikes.

    A covariance with one large eigenvalue gives the law at its finite p an interval of mass 1/n; the eigenvalue in it
    is an outlier of the bulk without it.  In the limit the two descriptions agree; the latter also tells how it mixes
    with the means.
    """
    population = bulk.population
    held = population.covariances
    if not isinstance(held, CommutingCovariances):
        return population
    most = min(_SPIKES, _SPIKE_SHARE * population.samples * (1 - bulk.mass_at_zero))
    rows: list[int] = []
    for part in bulk.intervals:
        if part.mass * population.samples > max(most, 1) + 0.5 or len(bulk.intervals) == 1:
            continue
        (below,) = [g for g in bulk.gaps if g.reach[1] == part.left]
        (above,) = [g for g in bulk.gaps if g.reach[0] == part.right]
        flipped = held.negative_rows(below.curve.start.q) != held.negative_rows(above.curve.start.q)
        if abs(held.weights @ flipped - part.mass * population.ratio) < _SAME:
            rows += np.flatnonzero(flipped).tolist()
    if not rows or held.weights[rows].sum() > held.weights.sum() / 5:
        return population
    return population.with_spikes(np.array(rows, dtype=np.intp))
