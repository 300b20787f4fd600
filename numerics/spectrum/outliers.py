"""Isolated eigenvalues of the equivalents, from the population alone.

Theory sheet, section 5.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

from numerics.arrays import Array
from numerics.spectrum.bulk import Gap
from numerics.spectrum.fixed_point import GapPoint, SpectralLawError
from numerics.spectrum.population import Population
from theory.kernels import KernelCoefficients

__all__ = [
    "LimitTerms",
    "Outlier",
    "OutlierSystem",
    "Side",
    "core_matrix",
    "moved_blocks",
    "norm_core",
    "point_outliers",
    "resolvent_blocks",
]

Side = Literal["right", "left"]
#: Real or complex.
Field = NDArray[Any]
#: Isolated eigenvalues closer than this, relative to the spectrum, are one with a multiplicity.
_SAME = 1e-9
#: Points nearer to 0 than this, relative to the spectrum, end a gap that reaches 0.
_NEAR_ZERO = 1e-9
_MARCH = 200


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
class LimitTerms:
    """What an equivalent about a limit of its entries has beside the four coefficients.

    Theory sheet, section 8:  g_0 1 1^T + g_d (delta 1^T + 1 delta^T) + g_e (1 (delta^2)^T + delta^2 1^T).  The diagonal
    of the four coefficients is then E[phi^2] - g_0.

    Attributes:
        constant: g_0.
        sum: g_d.
        squares: g_e.
    """

    constant: float
    sum: float
    squares: float


class OutlierSystem:
    """Lambda and B(z): what the isolated eigenvalues solve.

    Args:
        population: of the data.
        coefficients: of the kernel, that of S positive.
        limit: what it has beside them.

    Raises:
        SpectralLawError: delta 1^T + 1 delta^T without a term of delta delta^T, where Lambda has no inverse.
    """

    def __init__(
        self, population: Population, coefficients: KernelCoefficients[float], limit: LimitTerms | None = None
    ) -> None:
        self.population = population
        self.coefficients = coefficients
        core = core_matrix(population, coefficients, limit)
        if limit is not None and limit.sum != 0 and coefficients.variance == 0:
            raise SpectralLawError("the kernel has a term of delta_i + delta_j, but none of delta_i delta_j")
        self.inverse = np.linalg.inv(core)
        self.inverse = (self.inverse + self.inverse.T) / 2
        #: Negative eigenvalues of H at infinity.
        self.negative = int(np.count_nonzero(np.linalg.eigvalsh(core) < 0))

    def levels(self, point: GapPoint) -> Array:
        """Eigenvalues of H, evened out, at a point of a gap, ascending."""
        blocks = resolvent_blocks(self.population, point.q, self.inverse.shape[0])
        return np.asarray(np.linalg.eigvalsh(self._scaled(blocks)[0]))

    def _scaled(self, blocks: Array) -> tuple[Array, Array]:
        """E H E and the diagonal of E > 0: the same signs and zeros, without loss where B is huge, as beside a pole."""
        scale = 1 / np.sqrt(1 + np.abs(np.diagonal(self.inverse)) + np.abs(np.diagonal(blocks)))
        return scale[:, None] * (self.inverse + blocks) * scale, scale

    def _blocks(self, q: Array, rates: Array) -> tuple[Array, Array]:
        """B and its derivative when q moves at `rates`."""
        size = self.inverse.shape[0]
        return resolvent_blocks(self.population, q, size), moved_blocks(self.population, q, q, rates, size)

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


def resolvent_blocks(population: Population, q: Field, size: int) -> Field:
    """B = lim U^T (W^T W - D_z)^-1 U, block diagonal, where D_z has the value z_a on the samples of class a.

    J^T Q J / p: (n_a/p) q_a on the diagonal.  M^T W Q W^T M: M^T (I - R) M over the bulk's directions.  psi^T Q psi:
    (n_a/p) q_a times p E psi_i^2.  u^T W Q W^T u: the n_a samples of class a have the variance lambda_a / p along u,
    independent of the rest of W.

    Args:
        population: of the data.
        q: (..., K) array, solution of the fixed point.
        size: number of columns of U, K + the directions of M + spikes, or one more with psi.
    """
    return _blocks_of(population, q, population.covariances.mean_form(q), size)


def moved_blocks(population: Population, q: Field, other: Field, rates: Field, size: int) -> Field:
    """U^T Q D Q' U for a D that is a multiple of the identity on the samples of each class, block diagonal.

    With Q' = Q it is the derivative of B when q moves at `rates`, the derivative of q along D; in general Q and Q'
    belong to the solutions q and q', and `rates` solves the same equation with q_a q'_a for q_a^2 and R C R' for R C R.

    Args:
        population: of the data.
        q: (..., K) array.
        other: (..., K) array, q'.
        rates: (..., K) array.
        size: number of columns of U.
    """
    return _blocks_of(population, rates, population.covariances.moved_mean_form(q, other, rates), size)


def _blocks_of(population: Population, values: Field, mean_part: Field, size: int) -> Field:
    classes, spikes = population.classes, population.spike_values.shape[0]
    means = classes + population.covariances.directions
    weighted = population.proportions * values
    blocks = np.zeros((*values.shape[:-1], size, size), np.result_type(values, mean_part))
    each = np.arange(size)
    blocks[..., each[:classes], each[:classes]] = weighted
    blocks[..., classes:means, classes:means] = mean_part
    special = each[means : means + spikes]
    blocks[..., special, special] = weighted @ population.spike_values.T
    if size == means + spikes + 1:
        blocks[..., -1, -1] = weighted @ population.norm_energies
    return blocks


def core_matrix(
    population: Population,
    coefficients: KernelCoefficients[float],
    limit: LimitTerms | None = None,
    *,
    psi: bool = False,
) -> Array:
    """Lambda, in units of the coefficient of S.

    Args:
        population: of the data.
        coefficients: of the kernel.
        limit: what is kept besides of a kernel expanded about a limit.
        psi: keep the row of psi, which is left out where nothing multiplies it.
    """
    classes, spikes = population.classes, population.spike_values.shape[0]
    directions = population.covariances.directions
    norms = norm_core(population, coefficients, limit) / coefficients.linear
    has_psi = psi or bool(np.any(norms[-1]))
    size = classes + directions + spikes + has_psi
    core = np.zeros((size, size))
    first, means = slice(0, classes), slice(classes, 2 * classes)
    special = slice(classes + directions, classes + directions + spikes)
    core[first, first] = population.mean_gram + norms[:-1, :-1]
    core[first, means] = core[means, first] = np.eye(classes)
    core[special, first] = population.spike_means
    core[first, special] = population.spike_means.T
    core[special, special] = np.eye(spikes)
    if has_psi:
        core[first, -1] = core[-1, first] = norms[:-1, -1]
        core[-1, -1] = norms[-1, -1]
    return core


def norm_core(
    population: Population, coefficients: KernelCoefficients[float], limit: LimitTerms | None = None
) -> Array:
    """The middle factor between [J/sqrt(p), psi] and itself of all but S, (K+1, K+1).

    About a limit 1 has the weight sqrt(p) in J/sqrt(p), so that the means of delta and delta^2 over a class count
    beside it with their parts of order 1/p, ||mu_a||^2/p and (t_a^2 + p E[psi_i^2])/p: they move the eigenvalue of
    order n by O(1).  What else they have of that order vanishes in the limit.  The other isolated eigenvalues are those
    of what is left orthogonal to 1, where delta delta^T has the coefficient g_dd - g_d^2/g_0.
    """
    t, one = population.t, np.ones(population.classes)
    core = np.empty((t.size + 1, t.size + 1))
    core[:-1, :-1] = coefficients.variance * np.outer(t, t) + coefficients.square * population.T
    core[:-1, -1] = coefficients.variance * t
    core[-1, -1] = coefficients.variance
    if limit is not None:
        root = np.sqrt(population.dimension)
        beside = limit.sum * (root * t + np.diagonal(population.mean_gram))
        beside += limit.squares * (t**2 + population.norm_energies)
        core[:-1, :-1] += population.dimension * limit.constant * np.outer(one, one)
        core[:-1, :-1] += np.outer(one, beside) + np.outer(beside, one)
        core[:-1, -1] += root * limit.sum
    core[-1, :-1] = core[:-1, -1]
    return core


#: Below this share of the diagonal a coefficient, times its power of tau_0, is rounding: alpha_1 is 0 where the
#: activation is even (the bulk is then a point), alpha_2 and alpha_3 where it is odd.
_ROUNDING = 1e-12


def point_outliers(
    population: Population, coefficients: KernelCoefficients[float], limit: LimitTerms | None = None
) -> tuple[Outlier, ...]:
    """Isolated eigenvalues where the coefficient of S is 0: those of V C V^T; V^T V tends to a diagonal matrix."""
    held, core = population, norm_core(population, coefficients, limit)
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
