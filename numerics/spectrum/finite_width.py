r"""The limiting spectrum of conjugate kernels H^T H/m whose width m is of the order of n: bulk and point mass.

Theory sheet, section 9.  Given the layer below, the rows of H are equivalent to Gaussian ones.  In an explicit layer
they are independent, of covariance Sigma = a G + c I, G the kernel below.  In a DEQ the same A acts at every step, and
H = (I - s A/sqrt(m))^{-1} Y with s = d_1 sigma_a and independent rows of Y; that this is so is a conjecture.

With F the law of Sigma's eigenvalues, the law of H^T H/m follows from three scalar equations.  They are solved here by
their inverse, which is explicit: let w be a point of the upper half plane, m_F the Stieltjes transform of F, and

    g = (n/m) (1 + w m_F(w)),    mu = 2 (1 - g) / (1 - s^2 + 2 s^2 g + ((1 - s^2)^2 + 4 s^2 g)^{1/2}).

Then z = mu w is a point of the upper half plane where the law of H^T H/m has the Stieltjes transform m_F(w)/mu.  (In
the notation of the theory sheet w = -1/e~ and g = e mu(-e), and the cubic of mu is a quadratic where g is given.)  As
Im g > 0, the root is the principal one.  Layers are composed: a point z of G is the point w = a z + c of Sigma.  Below
all of them is W^T W of the data, whose transform `fixed_point` gives.

Where w lies in a gap of F and z moves upwards along the real axis with w, z lies in a gap of the law; edges are where
it turns (Silverstein and Choi, Journal of Multivariate Analysis 54, 1995, for s = 0).  The share of the spectrum above
a gap is that of F above w (Bai and Silverstein, Annals of Probability 27, 1999, for s = 0), so that the mass of every
interval is known beforehand and checks the density.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq, minimize_scalar

from numerics.arrays import Array
from numerics.spectrum.bulk import Bulk, Distribution, Gap, resolve_interval, stretch
from numerics.spectrum.fixed_point import SpectralLawError, refine_inside, resolvent_trace
from numerics.spectrum.population import Population

__all__ = ["FiniteWidthBulk", "Layer", "solve_finite_width", "stieltjes", "tied_factor"]

Complex = NDArray[np.complex128]
Field = NDArray[Any]
#: Residual of z, relative to its size.
_TOLERANCE = 1e-12
#: Where Newton's method stops improving, this residual is still good.
_ACCEPTED = 1e-9
_NEWTON_STEPS = 60
_HOMOTOPY_ROUNDS = 400
#: Homotopy from Im z of the order of the spectrum down to this share of it.
_LAST_HEIGHT = 1e-9
#: Points on the real solutions over each gap of the data's law, from both of its ends, among which z may turn.
_SCAN = 24
#: Logarithms of q between the last point looked at and the edge, or infinity.
_NEAREST, _FARTHEST = 1e-10, 30.0
#: Shares of the spectrum that are the same (they are whole numbers over n).
_SAME = 1e-9


def tied_factor(g: Field, feedback: float) -> tuple[Field, Field]:
    """mu, by which H^T H/m multiplies Sigma in its resolvent's equivalent (mu Sigma - z)^-1, and its derivative in g.

    Args:
        g: array, (1/m) tr Sigma (Sigma - z/mu)^-1.
        feedback: s = d_1 sigma_a; at 0 mu is 1 - g, as for independent rows.
    """
    s2 = feedback**2
    root = np.sqrt((1 - s2) ** 2 + 4 * s2 * g)
    below = 1 - s2 + 2 * s2 * g + root
    mu = 2 * (1 - g) / below
    return mu, -2 * (below + (1 - g) * (2 * s2 + 2 * s2 / root)) / below**2


@dataclass(frozen=True)
class Layer:
    """A layer, or a DEQ, as its Gaussian equivalent.

    Attributes:
        linear: a, coefficient of the kernel below in the rows' covariance.
        identity: c, that of the identity, not negative.
        ratio: n/m.
        feedback: s = d_1 sigma_a, between -1 and 1; 0 for an explicit layer.
    """

    linear: float
    identity: float
    ratio: float
    feedback: float = 0.0

    def __post_init__(self) -> None:
        if not (self.linear >= 0 and self.identity >= 0 and self.linear + self.identity > 0):
            raise ValueError(f"a and c must not be negative nor both 0, got {self.linear:g} and {self.identity:g}")
        if not (self.ratio > 0 and np.isfinite(self.ratio)):
            raise ValueError(f"n/m must be a positive number, got {self.ratio:g}")
        if not abs(self.feedback) < 1:
            raise ValueError(f"d_1 sigma_a must be between -1 and 1, got {self.feedback:g}")

    def image(self, w: Field, trace: Field, slope: Field) -> tuple[Field, Field, Field, Field]:
        """Where a point w of the rows' covariance goes.

        Args:
            w: array of points.
            trace: Stieltjes transform of the law of Sigma there.
            slope: its derivative.

        Returns:
            z, the Stieltjes transform of this layer's law there and its derivative in z, and dz/dw.
        """
        g, g_slope = self.ratio * (1 + w * trace), self.ratio * (trace + w * slope)
        mu, rate = tied_factor(g, self.feedback)
        mu_slope = rate * g_slope
        moved = mu + w * mu_slope
        found, found_slope = trace / mu, (slope / mu - trace * mu_slope / mu**2) / moved
        return mu * w, found, found_slope, moved


@dataclass(frozen=True)
class _Image:
    """A point of the data's law and where it goes.

    Attributes:
        z: the point of the last layer's law.
        trace: Stieltjes transform of that law there.
        slope: dz/d point.
        least: the least of the layers' own dz/dw, where they are real; nan where a root is not.
    """

    z: Field
    trace: Field
    slope: Field
    least: Field


def _image(layers: Sequence[Layer], point: Field, trace: Field, slope: Field) -> _Image:
    z, total, least = point, np.ones_like(point), np.full(point.shape, np.inf)
    for layer in layers:
        w = layer.linear * z + layer.identity
        z, trace, slope, moved = layer.image(w, trace / layer.linear, slope / layer.linear**2)
        total, least = total * moved * layer.linear, np.minimum(least, moved.real)
    return _Image(z, trace, total, least)


@dataclass(frozen=True)
class FiniteWidthBulk(Distribution):
    """Limiting spectrum of H^T H/m without its isolated eigenvalues.

    Attributes:
        population: of the data.
        layers: from the data upwards.
        gaps: (low, high) of the real axis without spectrum, ascending, infinite at both ends; 0 may be in the first.
    """

    population: Population
    layers: tuple[Layer, ...]
    gaps: tuple[tuple[float, float], ...]

    def stieltjes(self, z: Field) -> Complex:
        """lim (1/n) tr (H^T H/m - z)^{-1} at (N,) points of the upper half plane.

        Raises:
            ValueError: a point that is not in the upper half plane.
            SpectralLawError: the solution was lost on the way down from far above.
        """
        return _transform(self.population, self.layers, z, max(part.right for part in self.intervals))


def stieltjes(population: Population, layers: Sequence[Layer], z: Field) -> Complex:
    """lim (1/n) tr (H^T H/m - z)^{-1}, without the law's density, edges and masses.

    Args:
        population: of the data.
        layers: from the data upwards.
        z: (N,) points of the upper half plane.

    Raises:
        ValueError: no layers, one whose rows do not depend on the layer below, or a point that is not in the upper half
            plane.
        SpectralLawError: the solution was lost on the way down from far above.

    Example:
        >>> import numpy as np
        >>> from numerics.spectrum import Layer, Population, stieltjes
        >>> population = Population.isotropic([1.0], [[0.0]], [400], 800)
        >>> (found,) = stieltjes(population, [Layer(0.3, 0.1, 0.5)], np.array([1000j]))
        >>> print(f"{1000**2 * found.real:.3f}")  # the mean of the spectrum, a + c
        0.400
    """
    _check(layers)
    # No more than the order of the spectrum matters: that of Sigma's mean, spread by the width.
    scale = population.tau0**2 * (1 + np.sqrt(population.samples / population.dimension)) ** 2
    for layer in layers:
        scale = (layer.linear * scale + layer.identity) * ((1 + np.sqrt(layer.ratio)) / (1 - abs(layer.feedback))) ** 2
    return _transform(population, layers, z, float(scale))


def _check(layers: Sequence[Layer]) -> None:
    if not layers or any(layer.linear == 0 for layer in layers):
        raise ValueError("a network of finite width has a layer at least, and the kernel below counts in each")


def _transform(population: Population, layers: Sequence[Layer], z: Field, scale: float) -> Complex:
    places = np.asarray(z, dtype=np.complex128)
    if not np.all(places.imag > 0):
        raise ValueError("the Stieltjes transform is taken in the upper half plane, at Im z > 0")
    solver = _Solver(population, layers)
    return np.asarray(solver.trace(*solver.follow(places, scale)))


class _Solver:
    """Points (point of the data's law, q) for points z of the last layer's law."""

    def __init__(self, population: Population, layers: Sequence[Layer]) -> None:
        self._held, self._layers = population.covariances, layers

    def image(self, point: Complex, q: Complex) -> _Image:
        return _image(self._layers, point, *resolvent_trace(self._held, point, q))

    def trace(self, point: Complex, q: Complex) -> Complex:
        return np.asarray(self.image(point, q).trace)

    def newton(self, z: Complex, point: Complex, q: Complex) -> tuple[Complex, Complex, NDArray[np.bool_]]:
        """Newton's method, damped so that points stay in the upper half plane; and which points it solved."""
        point, q = point.copy(), q.copy()
        with np.errstate(all="ignore"):
            at = self.image(point, q)
            error = np.abs(at.z - z) / np.abs(z)
            step = (z - at.z) / at.slope
            active, damping = np.flatnonzero(~(error <= _TOLERANCE)), np.ones(z.size)
            for _ in range(_NEWTON_STEPS):
                if active.size == 0:
                    break
                trial = point[active] + damping[active] * step[active]
                upper = trial.imag > 0
                trial[~upper] = point[active][~upper]
                trial_q, solved = refine_inside(self._held, trial, q[active])
                found = self.image(trial, trial_q)
                new = np.abs(found.z - z[active]) / np.abs(z[active])
                better = upper & solved & (new < error[active])
                taken = active[better]
                point[taken], q[taken], error[taken] = trial[better], trial_q[better], new[better]
                step[taken] = (z[taken] - found.z[better]) / found.slope[better]
                damping[taken] = np.minimum(1.0, 4 * damping[taken])
                damping[active[~better]] /= 4
                active = active[(error[active] > _TOLERANCE) & (damping[active] > 1e-6)]
        return point, q, (error <= _ACCEPTED) & (point.imag > 0)

    def follow(self, z: Complex, scale: float) -> tuple[Complex, Complex]:
        """Follow the solution from far above, where it is known, down to points above or on the axis.

        Raises:
            SpectralLawError: it was lost on the way.
        """
        lift = 4 * scale + np.abs(z)
        high = z + 1j * lift
        # There the layers are affine up to terms in 1/z.
        point = high
        for layer in reversed(self._layers):
            point = ((1 - layer.feedback**2) * point - layer.identity) / layer.linear
        point = point.real + 1j * np.maximum(point.imag, 1e-3 * np.abs(point))
        q, known = refine_inside(self._held, point, np.repeat(-1 / point[:, None], self._held.proportions.size, axis=1))
        point, q, solved = self.newton(high, point, q)
        if not np.all(known & solved):
            raise SpectralLawError(f"no solution at z = {high[~(known & solved)][0]:.6g}, far above the axis")
        ratio, last = np.full(z.size, 0.25), np.where(z.imag > 0, 0.0, _LAST_HEIGHT * np.abs(z))
        active = np.arange(z.size)
        for _ in range(_HOMOTOPY_ROUNDS):
            lower = np.maximum(lift[active] * ratio[active], last[active])
            # Above the axis the last step is onto the point itself.
            lower[(z[active].imag > 0) & (lower < 0.1 * z[active].imag)] = 0.0
            new_point, new_q, solved = self.newton(z[active] + 1j * lower, point[active], q[active])
            good = active[solved]
            point[good], q[good], lift[good] = new_point[solved], new_q[solved], lower[solved]
            ratio[active] = np.where(solved, np.maximum(0.05, ratio[active] / 2), np.sqrt(ratio[active]))
            if np.any(ratio[active] > 1 - 1e-4):
                stuck = active[ratio[active] > 1 - 1e-4][0]
                raise SpectralLawError(f"the solution at {z[stuck]:.8g} was lost at a height of {lift[stuck]:.3g}")
            active = active[lift[active] > last[active]]
            if active.size == 0:
                return point, q
        raise SpectralLawError(f"{active.size} of {z.size} points were not reached from above")


class _OnInterval:
    """The density on an interval, for `resolve_interval`; the unknowns are the point and q."""

    def __init__(self, solver: _Solver, left: float, right: float, scale: float) -> None:
        self._solver, self._left, self._right, self._scale = solver, left, right, scale
        self.power = 1 if left == 0 else 2

    def solve(self, theta: Array, guesses: Complex | None) -> tuple[Complex, Array]:
        """As `bulk.IntervalSolver` says."""
        places, factor = stretch(self._left, self._right, self.power, theta)
        z, solver = places.astype(np.complex128), self._solver
        solved = np.zeros(z.size, dtype=np.bool_)
        if guesses is not None:
            near, known = refine_inside(solver._held, guesses[:, 0], guesses[:, 1:])
            point, q, solved = solver.newton(z, guesses[:, 0], np.where(known[:, None], near, guesses[:, 1:]))
        missing = np.flatnonzero(~solved)
        if missing.size:
            found = solver.newton(z[missing], *solver.follow(z[missing], self._scale))
            if guesses is None:
                point, q = np.empty(z.size, np.complex128), np.empty((z.size, found[1].shape[1]), np.complex128)
            if not np.all(found[2]):
                place = places[missing][~found[2]][0]
                raise SpectralLawError(
                    f"the density at {place:.10g} in [{self._left:.10g}, {self._right:.10g}] is not found"
                )
            point[missing], q[missing] = found[:2]
        return np.column_stack([point, q]), factor * solver.trace(point, q).imag / np.pi


@dataclass(frozen=True)
class _RealGap:
    """A gap of the law, and the share of the spectrum above it."""

    low: float
    high: float
    share_above: float


class _RealCurve:
    """The real solutions over one gap of the data's law, by the coordinate sigma of its `GapCurve`."""

    def __init__(self, gap: Gap, layers: Sequence[Layer]) -> None:
        self._gap, self._curve, self._layers = gap, gap.curve, layers
        start = gap.curve.coordinate(gap.curve.start)
        self._ends = [
            start + sign * _FARTHEST if edge is None else gap.curve.coordinate(edge)
            for sign, edge in ((-1, gap.lower), (1, gap.upper))
        ]
        self._start = start

    def at(self, sigma: float) -> _Image:
        known = self._curve.at(sigma)
        point, q = np.array([known.z]), known.q[None]
        with np.errstate(all="ignore"):
            return _image(self._layers, point, *resolvent_trace(self._curve.covariances, point, q))

    def rise(self, sigma: float) -> float:
        """The least of the layers' dz/dw; -inf where there is no real root."""
        value = float(self.at(sigma).least[0])
        return value if np.isfinite(value) else -np.inf

    def _places(self) -> Array:
        low, high = self._ends
        below, above = self._start - low, high - self._start
        near = [
            low + np.geomspace(_NEAREST * max(1.0, abs(low)), below, _SCAN),
            high - np.geomspace(_NEAREST * max(1.0, abs(high)), above, _SCAN),
        ]
        return np.unique(np.concatenate([*near, np.linspace(low, high, 2 * _SCAN + 2)[1:-1]]))

    def gaps(self) -> Iterator[_RealGap]:
        """Those parts over which z rises with the point, layer by layer."""
        places = self._places()
        rises = np.array([self.rise(sigma) for sigma in places])
        if not np.any(rises > 0):
            # A gap that is nearly closed lies between two of the places.
            k = int(np.argmax(rises))
            ends = places[max(k - 1, 0)], places[min(k + 1, places.size - 1)]
            best = minimize_scalar(lambda s: -self.rise(s), bounds=ends, method="bounded", options={"xatol": 1e-12})
            places, rises = np.insert(places, k, best.x), np.insert(rises, k, -best.fun)
            order = np.argsort(places)
            places, rises = places[order], rises[order]
        inside = rises > 0
        starts = np.flatnonzero(inside & ~np.r_[False, inside[:-1]])
        stops = np.flatnonzero(inside & ~np.r_[inside[1:], False])
        for start, stop in zip(starts, stops, strict=True):
            low = self._turn(places[start - 1], places[start]) if start else None
            high = self._turn(places[stop], places[stop + 1]) if stop + 1 < places.size else None
            yield _RealGap(
                self._end(0) if low is None else float(self.at(low).z[0]),
                self._end(1) if high is None else float(self.at(high).z[0]),
                self._share_above(places[stop] if high is None else high),
            )

    def _end(self, side: int) -> float:
        """z at an end of the gap where it rises on all the way: 0 stays where it is, if no layer adds the identity."""
        edge = (self._gap.lower, self._gap.upper)[side]
        return self._gap.reach[side] if edge is None else float(self.at(self._ends[side]).z[0])

    def _turn(self, one: float, other: float) -> float:
        """Where z turns, between a place where it rises and one where it does not."""
        return float(brentq(self.rise, one, other, xtol=1e-15, rtol=1e-14))

    def _share_above(self, sigma: float) -> float:
        """Share of the spectrum above the gap: that of the law below, or the rank's, where w < 0 < z."""
        known = self._curve.at(sigma)
        point, q = np.array([known.z]), known.q[None]
        trace, slope = resolvent_trace(self._curve.covariances, point, q)
        share = self._curve.share_above
        # Where z turns, the derivative of the transform, which is not used, is infinite.
        for layer in self._layers:
            w = layer.linear * point + layer.identity
            with np.errstate(all="ignore"):
                point, trace, slope, _ = layer.image(w, trace / layer.linear, slope / layer.linear**2)
            if w[0] <= 0 < point[0]:
                share = min(share, 1 / layer.ratio)
        return share


def _zero(bulk: Bulk, layers: Sequence[Layer]) -> tuple[float, bool]:
    """Share of the spectrum at 0, and whether the rest comes down to 0."""
    atom, touches = bulk.mass_at_zero, bulk.intervals[0].left == 0
    for layer in layers:
        rank = 1.0 if layer.identity > 0 else 1 - atom
        touches = abs(rank * layer.ratio - 1) < _SAME or (touches and layer.identity == 0 and rank * layer.ratio < 1)
        atom = 1 - min(rank, 1 / layer.ratio)
    return (0.0 if atom < _SAME else atom), touches


def solve_finite_width(bulk: Bulk, layers: Sequence[Layer]) -> FiniteWidthBulk:
    """Compute the support's edges, the density and the masses.

    Args:
        bulk: the law of the data's W^T W.
        layers: from the data upwards.

    Raises:
        ValueError: no layers, or one whose rows do not depend on the layer below.
        SpectralLawError: an edge, a density or a mass was not found to the accuracy asked for.
    """
    _check(layers)
    atom, touches = _zero(bulk, layers)
    found = [gap for below in bulk.gaps for gap in _RealCurve(below, layers).gaps()]
    # What has no spectrum above or all of it is met from both sides of 0.
    gaps = sorted((gap for gap in found if np.isfinite(gap.low) or np.isfinite(gap.high)), key=lambda gap: gap.high)
    solver = _Solver(bulk.population, layers)
    scale = gaps[-1].low
    intervals = []
    for below, above in pairwise(gaps):
        left = 0.0 if touches and below is gaps[0] else below.high
        if left == above.low:
            continue
        mass = min(below.share_above, 1 - atom) - above.share_above
        intervals.append(resolve_interval(_OnInterval(solver, left, above.low, scale), left, above.low, mass))
    return FiniteWidthBulk(
        tuple(intervals), atom, bulk.population, tuple(layers), tuple((gap.low, gap.high) for gap in gaps)
    )
