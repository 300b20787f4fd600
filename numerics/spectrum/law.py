"""The limiting spectrum of an equivalent Gbar or Kbar from population parameters alone: bulk, outliers, alignment.

Theory sheet, section 5.  With S = X^T X = W^T W + ... and U = [J/sqrt(p), W^T M, psi, W^T u_k], where the u_k are
directions of spikes of the covariances, taken out of the bulk's W,

    Gbar = alpha_1 (W^T W + U Lambda U^T) + (gamma_*^2 - tau_0^2 alpha_1) I,

where Lambda holds the means, alpha_2/alpha_1 and alpha_3/alpha_1 (written out in ``core_matrix``).  U^T (W^T W - z)^-1
U tends to the matrix B(z) of ``_blocks``.  In a gap of the support B increases with z, so that every eigenvalue of

    H(z) = Lambda^-1 + B(z)

increases too and is zero once at most: the isolated eigenvalues are the zeros, told apart with their multiplicity, and
none is missed, since the number of negative eigenvalues at the two ends of a gap says how many there are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import threadpoolctl
from numpy.typing import ArrayLike
from scipy.optimize import brentq

from numerics.arrays import Array
from numerics.data import GaussianMixture
from numerics.display import MARK, PREDICTED, axes_or_new, html_table
from numerics.equivalents import identity_coefficient, without_rounding
from numerics.spectrum.bulk import Bulk, Distribution, isolate_spikes, solve_bulk
from numerics.spectrum.outliers import LimitTerms, Outlier, OutlierSystem, Side, point_outliers
from numerics.spectrum.population import Population
from theory.kernels import KernelCoefficients

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "LawOfKernel",
    "SpectralLaw",
    "phase_transition",
]


class LawOfKernel:
    """What is read from the law of a kernel's spectrum: an affine image of a distribution, and isolated eigenvalues.

    Attributes:
        population: of the data.
        coefficients: of the kernel at infinite width.
        bulk: the distribution, or None where it is the point 0.
        outliers: isolated eigenvalues, descending.
    """

    population: Population
    coefficients: KernelCoefficients[float]
    bulk: Distribution | None
    outliers: tuple[Outlier, ...]

    @property
    def slope(self) -> float:
        """Length of the image of a unit of the distribution."""
        return 1.0

    @property
    def shift(self) -> float:
        """Image of 0."""
        return 0.0

    @property
    def edges(self) -> tuple[tuple[float, float], ...]:
        """(left, right) of every interval of the support, ascending; a point where the bulk is one."""
        if self.bulk is None:
            return ((self.shift, self.shift),)
        slope = self.slope
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
        return self.bulk.density((points - self.shift) / self.slope) / self.slope

    def cumulative(self, x: ArrayLike, *, left: bool = False) -> Array:
        """Distribution function of the bulk, or its limit from the left, at points, an array of any shape.

        Right to 1e-8: the integral of the density over every interval agrees to that with the interval's mass, which
        is known exactly, and is scaled to it; below the spectrum it is 0, above 1 up to rounding.
        """
        points = np.array(x, dtype=np.float64) - self.shift
        if self.bulk is None:
            return ((points > 0) if left else (points >= 0)).astype(np.float64)
        return self.bulk.cumulative(points / self.slope, left=left)

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

    def __repr__(self) -> str:
        support = ", ".join(f"[{left:.6g}, {right:.6g}]" for left, right in self.edges)
        point = "" if self.point is None else f", the share {self.point_mass:.3g} at {self.point:.6g}"
        isolated = ", ".join(f"{value:.6g}" for value in self.outlier_values) or "none"
        return f"{type(self).__name__}(support {support}{point}; isolated: {isolated})"

    def _repr_html_(self) -> str:
        rows = [(f"{o.value:.6g}", str(o.multiplicity), f"{o.alignment.trace():.3f}") for o in self.outliers]
        return html_table(repr(self), ("isolated eigenvalue", "multiplicity", "alignment with the classes"), rows)

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the density, the point mass as a dotted line, and isolated eigenvalues as marks on the foot.

        Args:
            ax: Matplotlib axes; those of a new figure by default.
        """
        axes, places = axes_or_new(ax), self.density_points(1000)
        for left, right in self.edges:
            part = places[(places >= left) & (places <= right)]
            axes.plot(part, self.density(part), color=PREDICTED)
        if self.point is not None:
            axes.axvline(self.point, color=PREDICTED, ls=":", label=f"point mass {self.point_mass:.3g}")
        values = self.outlier_values
        axes.plot(values, np.zeros(values.size), "v", color=MARK, mfc="none", clip_on=False, label="isolated")
        axes.set(xlabel="eigenvalue", ylabel="density", ylim=(0, None))
        axes.legend()
        return axes


@dataclass(frozen=True, repr=False)
class SpectralLaw(LawOfKernel):
    """Limiting spectrum of an equivalent.

    Attributes:
        population: of the data, spikes of the covariances set apart.
        coefficients: of the kernel.
        bulk: of W^T W, or None where the coefficient of S is 0 and the bulk is the point `shift`.
        outliers: isolated eigenvalues, descending.
        limit: what the equivalent has beside the coefficients, or None where its entries off the diagonal tend to 0.
    """

    population: Population
    coefficients: KernelCoefficients[float]
    bulk: Bulk | None
    outliers: tuple[Outlier, ...]
    limit: LimitTerms | None = None

    @classmethod
    def of(
        cls,
        data: Population | GaussianMixture,
        coefficients: KernelCoefficients[float],
        bulk: Bulk | None = None,
        limit: LimitTerms | None = None,
    ) -> SpectralLaw:
        """Compute the law.

        Args:
            data: the mixture, or what the law needs of it.
            coefficients: of the kernel.
            bulk: where it is known already, of a population without spikes that differs in means, t and T at most.
            limit: what the equivalent has beside the coefficients, whose diagonal is then less by its constant.

        Raises:
            ValueError: a mixture that the law does not cover.
            SpectralLawError: something was not found to the accuracy asked for.
        """
        # Matrices are small and many here: threads would only wait for each other.
        with threadpoolctl.threadpool_limits(limits=1):
            population = Population.from_mixture(data) if isinstance(data, GaussianMixture) else data
            coefficients = without_rounding(coefficients, population.tau0)
            if coefficients.linear == 0:
                return cls(population, coefficients, None, point_outliers(population, coefficients, limit), limit)
            if bulk is None:
                bulk = solve_bulk(population)
                without_spikes = isolate_spikes(bulk)
                if without_spikes is not population:
                    population, bulk = without_spikes, solve_bulk(without_spikes)
            system = OutlierSystem(population, coefficients, limit)
            found = [outlier for gap in bulk.gaps for outlier in system.outliers(gap, bulk.gaps[-1].reach[0])]
            return cls(population, coefficients, bulk, tuple(sorted(found, key=lambda o: -o.value)), limit)

    @property
    def slope(self) -> float:
        """Coefficient of S."""
        return self.coefficients.linear

    @property
    def shift(self) -> float:
        """Image of 0: the diagonal less tau_0^2 times the coefficient of S."""
        return identity_coefficient(self.coefficients, self.population.tau0)

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
        system = OutlierSystem(self.population, self.coefficients, self.limit)
        levels = system.levels(edge)
        if not 1 <= rank <= levels.size:
            raise ValueError(f"rank must be from 1 to {levels.size}, got {rank}")
        index = system.negative + rank - 1 if side == "right" else system.negative - rank
        if not 0 <= index < levels.size:
            return -1.0
        return float(-levels[index] if side == "right" else levels[index])


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
