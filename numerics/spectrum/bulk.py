"""Support and density of the spectrum of the noise, W^T W, from its population: no matrix, no random number.

Theory sheet, section 5.  Edges are the folds of the real solutions over the support's gaps.  With theta in
[0, pi] over an interval, sqrt(x) = middle - half cos(theta), the density times dx/dtheta is analytic in theta at both
edges, and its Chebyshev series gives density and distribution function everywhere.  Within an interval the density may
still have square-root edges, where classes or groups of directions that share nothing overlap, and cubic-root cusps,
where a gap has just closed.  There one series does not converge: the interval is halved towards such points until what
a piece may be wrong by is too small to matter.  The mass of every interval is known beforehand, from the gaps at its
sides; the integral of the series must agree with it and is then scaled to it.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol, TypeVar

import numpy as np
from numpy.polynomial.chebyshev import chebint, chebval
from numpy.typing import ArrayLike, NDArray
from scipy.fft import dct
from scipy.optimize import brentq

from numerics.arrays import Array
from numerics.spectrum.fixed_point import GapCurve, GapPoint, SpectralLawError, locate, refine_inside
from numerics.spectrum.population import CommutingCovariances, Population

__all__ = [
    "Bulk",
    "Distribution",
    "Gap",
    "Interval",
    "IntervalSolver",
    "isolate_spikes",
    "resolve_interval",
    "solve_bulk",
    "stretch",
]

Complex = NDArray[np.complex128]
#: Trial points for gaps, evenly over the range of the support, and as many again evenly in the logarithm.
_SCAN = 192
_DENSE_SCAN = 12
#: Nodes on a piece of an interval; where neither do, it is halved.
_NODES = (32, 64)
#: Last coefficients of a converged series relative to the largest density; and the mass, relative to the interval's,
#: that those of a piece may stand for where the density is not analytic.
_SERIES = 1e-9
_SLIVER = 1e-12
#: Halvings of [0, pi]: pieces of width 1e-14.
_DEEPEST = 48
#: Pieces of an interval: some fifty for each point where the density is not analytic.
_MOST_PIECES = 4000
#: Error of an interval's integral, relative to its mass.
_MASS = 1e-8
#: Shares of the spectrum that are the same (they are whole numbers over n).
_SAME = 1e-9
_RESTARTS = 60
#: Steps to a point of a gap, in logarithms of q.
_MARCH, _STRIDE = 400, 0.7
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

    def at(self, place: float) -> GapPoint:
        """The point at a place in the gap.

        Raises:
            ValueError: a place outside.
            SpectralLawError: it was not reached.
        """
        if not self.reach[0] < place < self.reach[1]:
            raise ValueError(f"{place:g} is not between {self.reach[0]:g} and {self.reach[1]:g}")
        curve, start = self.curve, self.curve.coordinate(self.curve.start)
        upwards = place > curve.start.z
        edge = self.upper if upwards else self.lower
        end = start
        for _ in range(_MARCH):
            if edge is not None:
                end = curve.coordinate(edge)
                break
            end += _STRIDE if upwards else -_STRIDE
            if (curve.at(end).z > place) == upwards:
                break
        sigma = brentq(lambda s: curve.at(s).z - place, start, end, xtol=1e-15, rtol=1e-14)
        return curve.at(float(sigma))


@dataclass(frozen=True)
class Interval:
    """An interval of the support.

    Attributes:
        left: lower edge.
        right: upper edge.
        mass: share of the spectrum on it, exact.
        mass_error: |integral of the density, before it was scaled, - mass|, at most 1e-8 of the mass.
        power: 2, or 1 where left = 0; x = y^power and y = left' + (right' - left') sin(theta/2)^2.
        breaks: (P + 1,) array, ascending from 0 to pi: ends of the pieces in theta.
        series: (N, P) array, Chebyshev coefficients of density(x) dx/dtheta on each piece.
    """

    left: float
    right: float
    mass: float
    mass_error: float
    power: int
    breaks: Array
    series: Array

    def _places(self, x: Array) -> tuple[Array, NDArray[np.intp], Array]:
        """Theta of points, the number of the piece that each lies in, and its place there, from -1 to 1."""
        low, high = self.left ** (1 / self.power), self.right ** (1 / self.power)
        y = np.clip(np.maximum(x, 0.0) ** (1 / self.power), low, high)
        # Accurate next to both edges, as an arc cosine is not.
        theta = 2 * np.arctan2(np.sqrt(y - low), np.sqrt(high - y))
        piece = np.clip(np.searchsorted(self.breaks, theta, side="right") - 1, 0, self.breaks.size - 2)
        start, stop = self.breaks[piece], self.breaks[piece + 1]
        return theta, piece, np.clip(2 * (theta - start) / (stop - start) - 1, -1, 1)

    def density(self, x: Array) -> Array:
        """Density at points, an array of any shape; 0 outside the open interval."""
        points = x.reshape(-1)
        inside = (points > self.left) & (points < self.right)
        theta, piece, place = self._places(points[inside])
        values = chebval(place, self.series[:, piece], tensor=False)
        factor = stretch(self.left, self.right, self.power, theta)[1]
        result = np.zeros(points.size)
        # A point within rounding of an edge has theta = 0 or pi, where dx/dtheta = 0: it is taken as the edge.
        result[inside] = np.divide(np.maximum(values, 0.0), factor, out=np.zeros(factor.size), where=factor > 0)
        return result.reshape(x.shape)

    def cumulative(self, x: Array) -> Array:
        """Mass at or below points, an array of any shape."""
        _, piece, place = self._places(x.reshape(-1))
        integrals = chebint(self.series, lbnd=-1) * np.diff(self.breaks) / 2
        before = np.concatenate([[0.0], np.cumsum(integrals.sum(axis=0))])
        values = before[piece] + chebval(place, integrals[:, piece], tensor=False)
        # At the edges and beyond 0 and the mass themselves, not sums that are equal to them up to rounding.
        values[x.reshape(-1) <= self.left] = 0.0
        values[x.reshape(-1) >= self.right] = self.mass
        return np.asarray(np.clip(values, 0, self.mass).reshape(x.shape))


@dataclass(frozen=True)
class Distribution:
    """A probability law on the half line, with a density on intervals.

    Attributes:
        intervals: of the support, ascending, the point 0 apart.
        mass_at_zero: share of the spectrum at 0.
    """

    intervals: tuple[Interval, ...]
    mass_at_zero: float

    def density(self, x: ArrayLike) -> Array:
        """Density of the continuous part at points, an array of any shape."""
        points = np.array(x, dtype=np.float64)
        return np.asarray(sum((part.density(points) for part in self.intervals), np.zeros(points.shape)))

    def cumulative(self, x: ArrayLike, *, left: bool = False) -> Array:
        """Distribution function, or its limit from the left, at points, an array of any shape; right to 1e-8."""
        points = np.array(x, dtype=np.float64)
        atom = self.mass_at_zero * ((points > 0) if left else (points >= 0))
        return np.asarray(sum((part.cumulative(points) for part in self.intervals), atom.astype(np.float64)))


@dataclass(frozen=True)
class Bulk(Distribution):
    """Limiting spectrum of W^T W.

    Attributes:
        population: what it was computed from.
        gaps: ascending, from the one that reaches minus infinity.
    """

    population: Population
    gaps: tuple[Gap, ...]


def stretch(left: float, right: float, power: int, theta: Array) -> tuple[Array, Array]:
    """x and dx/dtheta at a theta of any shape: x = y^power, y = left' + (right' - left') sin(theta/2)^2.

    In y = sqrt(x) the pole at x = 0, that the density has behind an edge near 0, is further away.  Where the edge is
    at 0 the density behaves like x^(-1/2) and x itself is the variable in which the series converges.
    """
    low, high = left ** (1 / power), right ** (1 / power)
    y = low + (high - low) * np.sin(theta / 2) ** 2
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
            made = resolve_interval(_Solver(population, left, right, search.scale), left, right, mass)
            if isinstance(made, GapPoint):
                if not search.add(made):
                    raise SpectralLawError(
                        f"the density vanishes at {made.z:.8g}, inside the support [{left}, {right}]"
                    )
                break
            intervals.append(made)
        else:
            return Bulk(tuple(intervals), search.mass_at_zero, population, gaps)
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


def _chebyshev(values: Array) -> Array:
    """Chebyshev coefficients of what has values at the nodes of `_nodes`, along the first axis."""
    count = values.shape[0]
    series = dct(values, type=2, axis=0) / count
    series[0] /= 2
    series[1::2] *= -1
    return np.asarray(series)


def _nodes(start: float, stop: float, count: int) -> Array:
    """Chebyshev's nodes between two numbers, ascending."""
    return start + (stop - start) * np.sin((np.arange(count) + 0.5) * np.pi / (2 * count)) ** 2


Stop = TypeVar("Stop", covariant=True)


class IntervalSolver(Protocol[Stop]):
    """The density on an interval, node by node."""

    power: int

    def solve(self, theta: Array, guesses: Complex | None) -> tuple[Complex, Array] | Stop:
        """Unknowns with positive imaginary parts, (N, U) array, and the density times dx/dtheta, at (N,) nodes.

        What else it returns says that there is no density at a node.
        """
        ...


class _Solver:
    """The density on an interval, node by node."""

    def __init__(self, population: Population, left: float, right: float, scale: float) -> None:
        self._held, self._shares = population.covariances, population.proportions / population.ratio
        self._left, self._right, self._scale = left, right, scale
        self.power = 1 if left == 0 else 2

    def solve(self, theta: Array, guesses: Complex | None) -> tuple[Complex, Array] | GapPoint:
        """q and the density times dx/dtheta, both at nodes; or one of them, where it turns out to lie in a gap."""
        places, factor = stretch(self._left, self._right, self.power, theta)
        q, missing = np.empty((theta.size, self._shares.size), np.complex128), np.arange(theta.size)
        if guesses is not None:
            q, solved = refine_inside(self._held, places, guesses)
            missing = np.flatnonzero(~solved)
        for node, placed in zip(missing, locate(self._held, places[missing], self._scale), strict=True):
            if placed is None:
                raise SpectralLawError(
                    f"the density at {places[node]:.10g} in [{self._left:.10g}, {self._right:.10g}] is not found"
                )
            if placed.outside is not None:
                return placed.outside
            q[node] = placed.q
        return q, factor * (q.imag @ self._shares) / np.pi


def resolve_interval(solver: IntervalSolver[Stop], left: float, right: float, mass: float) -> Interval | Stop:
    """The density on an interval, or what the solver returns where there is none.

    Args:
        solver: of the density.
        left: lower edge.
        right: upper edge.
        mass: share of the spectrum on it.

    Raises:
        SpectralLawError: the density is not resolved, or its integral is not the mass.
    """
    finished: list[tuple[float, Array]] = []
    largest = 0.0
    # Pieces still to do, the leftmost last, with the solution on the piece around each.
    waiting: list[tuple[float, float, _Guess | None]] = [(0.0, np.pi, None)]
    while waiting:
        start, stop, guess = waiting.pop()
        for count in _NODES:
            theta = _nodes(start, stop, count)
            found = solver.solve(theta, None if guess is None else guess.at(theta))
            if not isinstance(found, tuple):
                return found
            q, values = found
            guess = _Guess.through(start, stop, q)
            largest = largest or float(values.max())
            series = _chebyshev(values)
            # The last quarter, not the last term: odd and even terms may differ in size.
            tail = float(np.abs(series[3 * count // 4 :]).max())
            done = tail <= _SERIES * largest or tail * (stop - start) <= _SLIVER * mass
            if done:
                break
        if done or stop - start <= np.pi / 2**_DEEPEST:
            padded = np.zeros(_NODES[-1])
            padded[:count] = series
            finished.append((stop, padded))
        else:
            middle = (start + stop) / 2
            waiting += [(middle, stop, guess), (start, middle, guess)]
        if len(waiting) + len(finished) > _MOST_PIECES:
            raise SpectralLawError(
                f"the density on [{left:.10g}, {right:.10g}] is not resolved by {_MOST_PIECES} pieces"
            )
    breaks = np.array([0.0, *(stop for stop, _ in finished)])
    coefficients = np.array([series for _, series in finished]).T
    total = float(np.sum(chebint(coefficients, lbnd=-1).sum(axis=0) * np.diff(breaks) / 2))
    error = abs(total - mass)
    if error > _MASS * mass:
        raise SpectralLawError(
            f"the density on [{left:.10g}, {right:.10g}] has the mass {total:.10g}, not {mass:.10g}, as the gaps "
            "beside it say"
        )
    return Interval(left, right, mass, error, solver.power, breaks, coefficients * (mass / total))


@dataclass(frozen=True)
class _Guess:
    """Chebyshev series of Re q and Im q on a piece, to start Newton's method from at more nodes."""

    start: float
    stop: float
    series: Array
    smallest: Array

    @classmethod
    def through(cls, start: float, stop: float, q: Complex) -> _Guess:
        """Through values at the nodes of a piece."""
        return cls(start, stop, _chebyshev(np.concatenate([q.real, q.imag], axis=1)), q.imag.min(axis=0))

    def at(self, theta: Array) -> Complex:
        """Values at points of the piece; Im q kept positive, where the series of a function that is not smooth dips."""
        place = (2 * theta - self.start - self.stop) / (self.stop - self.start)
        real, imaginary = np.split(chebval(place, self.series).T, 2, axis=1)
        return np.asarray(real + 1j * np.maximum(imaginary, self.smallest))


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
