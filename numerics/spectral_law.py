"""The limiting spectrum of an equivalent Gbar or Kbar from population parameters alone: bulk, outliers, alignment.

Theory sheet, section 5.  With S = X^T X = W^T W + ... and U = [J/sqrt(p), W^T M, psi, W^T u_k], where the u_k are
directions of spikes of the covariances, taken out of the bulk's W,

    Gbar = alpha_1 (W^T W + U Lambda U^T) + (gamma_*^2 - tau_0^2 alpha_1) I,

where Lambda holds the means, alpha_2/alpha_1 and alpha_3/alpha_1 (written out in ``_core``).  U^T (W^T W - z)^-1 U
tends to the matrix B(z) of ``_blocks``.  In a gap of the support B increases with z, so that every eigenvalue of

    H(z) = Lambda^-1 + B(z)

increases too and is zero once at most: the isolated eigenvalues are the zeros, told apart with their multiplicity, and
none is missed, since the number of negative eigenvalues at the two ends of a gap says how many there are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import threadpoolctl
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq

from numerics.equilibrium import NTK_KEYS
from numerics.fixed_point import GapPoint, SpectralLawError
from numerics.mixture import GaussianMixture
from numerics.spectral_bulk import Bulk, Gap, isolate_spikes, solve_bulk
from numerics.spectral_population import Population

__all__ = ["EquivalentCoefficients", "Outlier", "Side", "SpectralLaw", "phase_transition"]

Array = NDArray[np.float64]
Side = Literal["right", "left"]

#: Below this share of the diagonal a coefficient, times its power of tau_0, is rounding: alpha_1 is 0 where the
#: activation is even (the bulk is then a point), alpha_2 and alpha_3 where it is odd.
_ROUNDING = 1e-12
#: Isolated eigenvalues closer than this, relative to the spectrum, are one with a multiplicity.
_SAME = 1e-9
#: Points nearer to 0 than this, relative to the spectrum, end a gap that reaches 0.
_NEAR_ZERO = 1e-9
_MARCH = 200

#: Keys of a solved equilibrium, by kernel: coefficients of S, of delta_i delta_j, of S squared entrywise; the diagonal.
KERNEL_KEYS: Mapping[str, tuple[str, str, str, str]] = {
    "ck": ("alpha1", "alpha2", "alpha3", "gamma2"),
    **{f"ntk-{kind}": keys for kind, keys in NTK_KEYS.items()},
}


@dataclass(frozen=True)
class EquivalentCoefficients:
    """The four numbers that an activation and the weights enter an equivalent by, solved at the population's tau_0.

    Attributes:
        linear: coefficient of S: alpha_1, or an NTK's, not negative.
        variance: of the fluctuations of the norms: alpha_2.
        square: of S squared entry by entry: alpha_3.
        diagonal: value on the diagonal: gamma_*^2, or an NTK's.

    Raises:
        ValueError: a coefficient that is not finite, or a negative one of S.
    """

    linear: float
    variance: float
    square: float
    diagonal: float

    def __post_init__(self) -> None:
        numbers = (self.linear, self.variance, self.square, self.diagonal)
        if not all(np.isfinite(number) for number in numbers):
            raise ValueError(f"the coefficients must be finite, got {numbers}")
        if self.linear < 0:
            raise ValueError(f"the coefficient of S must not be negative, got {self.linear}")

    @classmethod
    def from_values(cls, values: Mapping[str, float], kernel: str = "ck") -> EquivalentCoefficients:
        """Pick one kernel's from the values of a solved equilibrium.

        Raises:
            ValueError: an unknown kernel, or an NTK that does not exist.
        """
        if kernel not in KERNEL_KEYS:
            raise ValueError(f"the kernel is one of {', '.join(KERNEL_KEYS)}, not {kernel!r}")
        if any(key not in values for key in KERNEL_KEYS[kernel]):
            raise ValueError(f"this equilibrium has no {kernel}: sigma_a^2 E[phi'^2] is infinite or not below 1")
        return cls(*(values[key] for key in KERNEL_KEYS[kernel]))

    def offset(self, tau0: float) -> float:
        """The diagonal less tau_0^2 times the coefficient of S, exactly 0 where these differ by rounding.

        Of a kernel it is not negative: E phi(x) phi(y) is a power series in the correlation whose coefficients are not.
        """
        found = self.diagonal - tau0**2 * self.linear
        return found if abs(found) > _ROUNDING * abs(self.diagonal) else 0.0

    def without_rounding(self, tau0: float) -> EquivalentCoefficients:
        """The same with coefficients that are 0 up to rounding set to 0."""

        def kept(value: float, power: int) -> float:
            return value if abs(value) * tau0**power > _ROUNDING * abs(self.diagonal) else 0.0

        return EquivalentCoefficients(kept(self.linear, 2), kept(self.variance, 4), kept(self.square, 4), self.diagonal)


@dataclass(frozen=True)
class Outlier:
    """An isolated eigenvalue.

    Attributes:
        value: its limit.
        multiplicity: its multiplicity.
        alignment: (K, K) array, (j_a . P j_b) for j_a = J_a / sqrt(n_a) and P the projection on its eigenvectors; the
            diagonal is the squared cosine to each class, the trace that to the span of all.
    """

    value: float
    multiplicity: int
    alignment: Array


@dataclass(frozen=True)
class SpectralLaw:
    """Limiting spectrum of an equivalent.

    Attributes:
        population: of the data, spikes of the covariances set apart.
        coefficients: of the kernel.
        bulk: of W^T W, or None where the coefficient of S is 0 and the bulk is the point `shift`.
        outliers: isolated eigenvalues, descending.
    """

    population: Population
    coefficients: EquivalentCoefficients
    bulk: Bulk | None
    outliers: tuple[Outlier, ...]

    @classmethod
    def of(
        cls, data: Population | GaussianMixture, coefficients: EquivalentCoefficients, bulk: Bulk | None = None
    ) -> SpectralLaw:
        """Compute the law.

        Args:
            data: the mixture, or what the law needs of it.
            coefficients: of the kernel.
            bulk: where it is known already, of a population without spikes that differs in means, t and T at most.

        Raises:
            ValueError: a mixture that the law does not cover.
            SpectralLawError: something was not found to the accuracy asked for.
        """
        # Matrices are small and many here: threads would only wait for each other.
        with threadpoolctl.threadpool_limits(limits=1):
            population = Population.from_mixture(data) if isinstance(data, GaussianMixture) else data
            coefficients = coefficients.without_rounding(population.tau0)
            if coefficients.linear == 0:
                return cls(population, coefficients, None, _point_outliers(population, coefficients))
            if bulk is None:
                bulk = solve_bulk(population)
                without_spikes = isolate_spikes(bulk)
                if without_spikes is not population:
                    population, bulk = without_spikes, solve_bulk(without_spikes)
            system = _OutlierSystem(population, coefficients)
            found = [outlier for gap in bulk.gaps for outlier in system.outliers(gap, bulk.gaps[-1].reach[0])]
            return cls(population, coefficients, bulk, tuple(sorted(found, key=lambda o: -o.value)))

    @property
    def shift(self) -> float:
        """Image of 0: the diagonal less tau_0^2 times the coefficient of S."""
        return self.coefficients.offset(self.population.tau0)

    @property
    def edges(self) -> tuple[tuple[float, float], ...]:
        """(left, right) of every interval of the support, ascending; a point where the bulk is one."""
        if self.bulk is None:
            return ((self.shift, self.shift),)
        slope = self.coefficients.linear
        return tuple((slope * i.left + self.shift, slope * i.right + self.shift) for i in self.bulk.intervals)

    @property
    def masses(self) -> tuple[float, ...]:
        """Share of the spectrum on every interval of `edges`."""
        return (1.0,) if self.bulk is None else tuple(part.mass for part in self.bulk.intervals)

    @property
    def point_mass(self) -> float:
        """Share of the spectrum at the point `shift`: 1 - p/n where n > p, 1 where the bulk is a point."""
        return 1.0 if self.bulk is None else self.bulk.mass_at_zero

    @property
    def point(self) -> float | None:
        """Place of the point mass, if there is one."""
        return self.shift if self.point_mass > 0 else None

    @property
    def outlier_values(self) -> Array:
        """Isolated eigenvalues, a descending array in which each stands as often as its multiplicity."""
        return np.repeat([o.value for o in self.outliers], [o.multiplicity for o in self.outliers])

    def density(self, x: ArrayLike) -> Array:
        """Density of the continuous part at points, an array of any shape."""
        points = np.array(x, dtype=np.float64)
        if self.bulk is None:
            return np.zeros(points.shape)
        slope = self.coefficients.linear
        return self.bulk.density((points - self.shift) / slope) / slope

    def cumulative(self, x: ArrayLike, *, left: bool = False) -> Array:
        """Distribution function of the bulk, or its limit from the left, at points, an array of any shape.

        Right to 1e-8: the integral of the density over every interval agrees to that with the interval's mass, which
        is known exactly, and is scaled to it; below the spectrum it is 0, above 1 up to rounding.
        """
        points = np.array(x, dtype=np.float64) - self.shift
        if self.bulk is None:
            return ((points > 0) if left else (points >= 0)).astype(np.float64)
        return self.bulk.cumulative(points / self.coefficients.linear, left=left)

    def integrate(self, function: Callable[[Array], Array], nodes: int = 512) -> float:
        """Integral of a smooth function over bulk and point mass; isolated eigenvalues have no mass in the limit.

        Args:
            function: elementwise on arrays, smooth next to the support.
            nodes: on every interval.
        """
        total = 0.0 if self.point is None else self.point_mass * float(function(np.array([self.point]))[0])
        if self.bulk is None:
            return total
        # In the angle of x = middle - half cos(angle) the integrand is smooth and periodic, edges included.
        angle = (np.arange(nodes) + 0.5) * np.pi / nodes
        for left, right in self.edges:
            half = (right - left) / 2
            places = (left + right) / 2 - half * np.cos(angle)
            total += float(np.sum(function(places) * self.density(places) * np.sin(angle)) * half * np.pi / nodes)
        return total

    def density_points(self, count: int = 400) -> Array:
        """An array of about `count` points, shared among the intervals by width and crowded towards their ends."""
        widths = np.array([right - left for left, right in self.edges])
        numbers = np.maximum(16, np.round(count * widths / max(widths.sum(), np.finfo(np.float64).tiny))).astype(int)
        angles = [np.linspace(0, np.pi, number) for number in numbers]
        parts = zip(self.edges, angles, strict=True)
        return np.concatenate([left + (right - left) * (1 - np.cos(angle)) / 2 for (left, right), angle in parts])

    def edge_fluctuation(self, side: Side) -> float:
        """Scale of the fluctuations of the extreme eigenvalues about an outer edge, of order n^(-2/3).

        With the density near the edge E at (k/pi) sqrt(E - x) it is (k n)^(-2/3), the unit of the Tracy-Widom law.  At
        a hard edge or where the bulk is a point there is none, and it is 0.
        """
        if self.bulk is None:
            return 0.0
        left, right = self.edges[-1] if side == "right" else self.edges[0]
        if side == "left" and self.bulk.intervals[0].left == 0:
            return 0.0
        near = 1e-4 * (right - left)
        level = float(self.density(right - near if side == "right" else left + near))
        return float((np.pi * level / np.sqrt(near) * self.population.samples) ** (-2 / 3))

    def margin(self, side: Side = "right", rank: int = 1) -> float:
        """How far the `rank`-th isolated eigenvalue beyond an outer edge is from merging: positive where it exists.

        It is an eigenvalue of H at the edge: only its sign and its continuity mean anything.

        Raises:
            ValueError: a bulk that is a point, a side that ends at 0 in a point mass, or a rank out of range.
        """
        gaps = () if self.bulk is None else self.bulk.gaps
        edge = None if not gaps else gaps[-1].lower if side == "right" else gaps[0].upper
        if edge is None:
            raise ValueError(f"the bulk has no edge on the {side} for an isolated eigenvalue to leave")
        system = _OutlierSystem(self.population, self.coefficients)
        levels = system.levels(edge)
        if not 1 <= rank <= levels.size:
            raise ValueError(f"rank must be from 1 to {levels.size}, got {rank}")
        index = system.negative + rank - 1 if side == "right" else system.negative - rank
        if not 0 <= index < levels.size:
            return -1.0
        return float(-levels[index] if side == "right" else levels[index])


class _OutlierSystem:
    """Lambda and B(z): what the isolated eigenvalues solve."""

    def __init__(self, population: Population, coefficients: EquivalentCoefficients) -> None:
        self.population = population
        self.coefficients = coefficients
        core = _core(population, coefficients)
        self.inverse = np.linalg.inv(core)
        self.inverse = (self.inverse + self.inverse.T) / 2
        #: Negative eigenvalues of H at infinity.
        self.negative = int(np.count_nonzero(np.linalg.eigvalsh(core) < 0))

    def levels(self, point: GapPoint) -> Array:
        """Eigenvalues of H, evened out, at a point of a gap, ascending."""
        blocks, _ = self._blocks(point.q, np.zeros_like(point.q))
        return np.asarray(np.linalg.eigvalsh(self._scaled(blocks)[0]))

    def _scaled(self, blocks: Array) -> tuple[Array, Array]:
        """E H E and the diagonal of E > 0: the same signs and zeros, without loss where B is huge, as beside a pole."""
        scale = 1 / np.sqrt(1 + np.abs(np.diagonal(self.inverse)) + np.abs(np.diagonal(blocks)))
        return scale[:, None] * (self.inverse + blocks) * scale, scale

    def _blocks(self, q: Array, rates: Array) -> tuple[Array, Array]:
        """B and its derivative when q moves at `rates`.

        The limit of U^T Q U is block diagonal.  J^T Q J / p: (n_a/p) q_a on the diagonal.  M^T W Q W^T M: M^T (I - R) M
        over the bulk's directions.  psi^T Q psi: (n_a/p) q_a times p E psi_i^2.  u^T W Q W^T u: the n_a samples of
        class a have the variance lambda_a / p along u, independent of the rest of W.
        """
        held, shares = self.population, self.population.proportions
        blocks, change = np.zeros_like(self.inverse), np.zeros_like(self.inverse)
        classes, spikes = held.classes, held.spike_values.shape[0]
        means = slice(classes, 2 * classes)
        form, form_change = held.covariances.mean_form(q, rates)
        for matrix, values, mean_part in ((blocks, q, form), (change, rates, form_change)):
            weighted = shares * values
            matrix[means, means] = mean_part
            rest = [weighted @ held.norm_energies] if self.inverse.shape[0] == 2 * classes + spikes + 1 else []
            diagonal = np.concatenate([weighted, np.diagonal(mean_part), held.spike_values @ weighted, rest])
            np.fill_diagonal(matrix, diagonal)
        return blocks, change

    def outliers(self, gap: Gap, scale: float) -> list[Outlier]:
        """Isolated eigenvalues in one gap."""
        near_zero = _NEAR_ZERO * scale
        ends = [self._end(gap, upwards, near_zero) for upwards in (False, True)]
        (low, below), (high, above) = ends
        roots = [self._root(gap, index, low, high) for index in range(above, below)]
        groups: list[list[GapPoint]] = []
        for root in sorted(roots, key=lambda point: point.z):
            if groups and root.z - groups[-1][-1].z <= _SAME * scale:
                groups[-1].append(root)
            else:
                groups.append([root])
        return [self._outlier(group) for group in groups]

    def _count(self, point: GapPoint) -> int:
        return int(np.count_nonzero(self.levels(point) < 0))

    def _end(self, gap: Gap, upwards: bool, near_zero: float) -> tuple[float, int]:
        """Coordinate of an end of a gap, and the number of negative eigenvalues of H there."""
        curve, edge = gap.curve, gap.upper if upwards else gap.lower
        if edge is not None:
            return curve.coordinate(edge), self._count(edge)
        infinite = np.isinf(gap.reach[upwards])
        sigma = curve.coordinate(curve.start)
        for _ in range(_MARCH):
            point = curve.at(sigma)
            count = self._count(point)
            if count == self.negative if infinite else abs(point.z) < near_zero:
                return sigma, count
            sigma += 0.7 if upwards else -0.7
        raise SpectralLawError(
            f"the gap from {gap.reach[0]:.6g} to {gap.reach[1]:.6g} could not be followed to its end"
        )

    def _root(self, gap: Gap, index: int, low: float, high: float) -> GapPoint:
        """Where the eigenvalue of H with this index is zero."""

        def level(sigma: float) -> float:
            return float(self.levels(gap.curve.at(sigma))[index])

        sigma = float(brentq(level, low, high, xtol=1e-15, rtol=1e-14))
        return gap.curve.at(sigma)

    def _outlier(self, group: list[GapPoint]) -> Outlier:
        """Value and alignment: the residue of (Gbar - z)^-1 between the classes' indicator vectors.

        (A - z)^-1 = Q - Q U H^-1 U^T Q has at a zero of H with null vectors N the residue
        -Q U N (N^T B' N)^-1 N^T U^T Q, and U^T Q j_a tends to B e_a / sqrt(n_a/p).
        """
        point = group[len(group) // 2]
        held = self.population
        _, theta = held.covariances.evaluate(point.q)
        coupling = point.q[:, None] ** 2 * theta * held.proportions
        rates = np.asarray(np.linalg.solve(np.eye(point.q.size) - coupling, point.q**2))
        blocks, change = self._blocks(point.q, rates)
        matrix, scale = self._scaled(blocks)
        levels, vectors = np.linalg.eigh(matrix)
        kernel = scale[:, None] * vectors[:, np.argsort(np.abs(levels))[: len(group)]]
        seen = (blocks[:, : held.classes] / np.sqrt(held.proportions)).T @ kernel
        alignment = seen @ np.linalg.solve(kernel.T @ change @ kernel, seen.T)
        value = self.coefficients.linear * (point.z - held.tau0**2) + self.coefficients.diagonal
        return Outlier(value, len(group), (alignment + alignment.T) / 2)


def _core(population: Population, coefficients: EquivalentCoefficients) -> Array:
    """Lambda, in units of the coefficient of S; the row of psi is left out where alpha_2 = 0."""
    classes, spikes = population.classes, population.spike_values.shape[0]
    linear = coefficients.linear
    variance, square = coefficients.variance / linear, coefficients.square / linear
    has_psi = variance != 0
    size = 2 * classes + spikes + has_psi
    core = np.zeros((size, size))
    first, means, special = slice(0, classes), slice(classes, 2 * classes), slice(2 * classes, 2 * classes + spikes)
    t = population.t
    core[first, first] = population.mean_gram + variance * np.outer(t, t) + square * population.T
    core[first, means] = core[means, first] = np.eye(classes)
    core[special, first] = population.spike_means
    core[first, special] = population.spike_means.T
    core[special, special] = np.eye(spikes)
    if has_psi:
        core[first, -1] = core[-1, first] = variance * t
        core[-1, -1] = variance
    return core


def _point_outliers(population: Population, coefficients: EquivalentCoefficients) -> tuple[Outlier, ...]:
    """Isolated eigenvalues where the coefficient of S is 0: those of V C V^T; V^T V tends to a diagonal matrix."""
    held, t = population, population.t
    core = np.empty((held.classes + 1, held.classes + 1))
    core[:-1, :-1] = coefficients.variance * np.outer(t, t) + coefficients.square * held.T
    core[:-1, -1] = core[-1, :-1] = coefficients.variance * t
    core[-1, -1] = coefficients.variance
    root = np.sqrt(np.append(held.proportions, held.proportions @ held.norm_energies))
    values, vectors = np.linalg.eigh(root[:, None] * core * root)
    scale = float(np.abs(values).max())
    groups: list[list[int]] = []
    for index in np.flatnonzero(np.abs(values) > _ROUNDING * max(scale, abs(coefficients.diagonal)))[::-1]:
        if groups and values[groups[-1][-1]] - values[index] <= _SAME * scale:
            groups[-1].append(int(index))
        else:
            groups.append([int(index)])
    found = []
    for group in groups:
        seen = vectors[:-1, group]
        found.append(Outlier(coefficients.diagonal + float(values[group].mean()), len(group), seen @ seen.T))
    return tuple(found)


def phase_transition(
    law_at: Callable[[float], SpectralLaw], low: float, high: float, *, side: Side = "right", rank: int = 1
) -> float:
    """Parameter at which the `rank`-th isolated eigenvalue leaves the bulk, between two where it has and has not.

    Args:
        law_at: the law as a function of a parameter, such as the norm of the means or the shift of the covariances.
        low: one end of the search.
        high: the other.
        side: of the bulk on which the eigenvalue leaves.
        rank: 1 for the outermost eigenvalue.

    Raises:
        ValueError: the number of isolated eigenvalues beyond the edge is the same at both ends, as far as `rank` goes.
    """
    ends = [law_at(value).margin(side, rank) for value in (low, high)]
    if np.sign(ends[0]) == np.sign(ends[1]):
        state = "has left" if ends[0] > 0 else "has not left"
        raise ValueError(f"eigenvalue {rank} on the {side} {state} the bulk at both ends, {low:g} and {high:g}")

    return float(
        brentq(
            lambda value: law_at(value).margin(side, rank), low, high, xtol=1e-12 * max(abs(low), abs(high)), rtol=1e-12
        )
    )
