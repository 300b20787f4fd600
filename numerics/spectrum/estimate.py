"""The spectrum of a kernel too large to diagonalise, next to its law.

The eigenvalues at both ends come from ARPACK, each with its residual, down to some of the bulk's.  The distribution of
the others is that of stochastic Lanczos quadrature.  Its steps are a per cent high, but what is asked is how far it is
from the law: so that the law's own continuous part F is taken off before its values at the nodes are joined by straight
lines, and put back after.  An isolated eigenvalue within a gap of the support is one if some probe has found it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from numerics.arrays import Array
from numerics.linalg import ExtremeEigenvalues, LanczosSpectrum, extreme_eigenvalues, lanczos_spectrum
from numerics.spectrum.distances import outside_support
from numerics.spectrum.isolation import count_isolated, isolation_margin, support_bounds
from numerics.spectrum.law import LawOfKernel
from numerics.spectrum.outliers import Side

__all__ = [
    "BulkEstimate",
    "EstimatedSpectrum",
    "estimate_spectrum",
]

_STEPS, _PROBES = 128, 16
#: Residuals at the ends, and of what is found within gaps, are this part of the distance that makes isolated.
_ACCURACY = 20.0
#: Eigenvalues asked for beyond those predicted at an end, and the fewest beyond the isolated ones that are enough.
_MORE, _ENOUGH = 4, 3
#: Points on which the estimated distribution is kept, and the density.
_GRID, _POINTS = 4096, 400


@dataclass(frozen=True)
class BulkEstimate:
    """What stochastic Lanczos quadrature says of a bulk, and how well.

    Attributes:
        places: (N,) array, ascending.
        density: (N,) array, the density there, smoothed.
        smoothing: standard deviation of the normal law that it is smoothed with, of the order of the nodes' distance.
        ks_standard_error: of the estimated distribution function where it is furthest from the law, over the probes.
        ks_resolution: half of a node's largest weight: a bound on what is not seen between the nodes.
        end_residual: largest ||K v - lambda v|| of the eigenpairs at the two ends.
        steps: Lanczos steps of each probe.
        probes: random start vectors.
    """

    places: Array
    density: Array
    smoothing: float
    ks_standard_error: float
    ks_resolution: float
    end_residual: float
    steps: int
    probes: int


@dataclass(frozen=True)
class EstimatedSpectrum:
    """A spectrum of which only the ends are known eigenvalue by eigenvalue.

    Attributes:
        upper: (k,) array, the largest eigenvalues, descending.
        lower: (l,) array, the smallest, ascending.
        isolated: (j,) array of those that count as isolated, descending.
        rest: (n - j,) array, ascending: as many values as there are other eigenvalues, with the estimated distribution
            function.
        bulk: how that was estimated.
    """

    upper: Array
    lower: Array
    isolated: Array
    rest: Array
    bulk: BulkEstimate


def estimate_spectrum(
    kernel: Array,
    law: LawOfKernel,
    opnorm_error: float,
    rng: np.random.Generator,
    *,
    steps: int = _STEPS,
    probes: int = _PROBES,
) -> EstimatedSpectrum:
    """Estimate the spectrum of a kernel that is only multiplied with.

    Args:
        kernel: (n, n) array, symmetric.
        law: predicted.
        opnorm_error: of the kernel to its equivalent.
        rng: gives the random vectors.
        steps: of Lanczos, for each probe.
        probes: at least 2.

    Raises:
        SpectrumConvergenceError: eigenvalues at an end were not found.
    """
    quadrature = lanczos_spectrum(kernel, rng, steps=steps, probes=probes)
    margin = isolation_margin(law)
    # Where the bulk is a point it has no edges that fluctuate, and an eigenvalue moves by the error of the kernel.
    reach = (margin or opnorm_error) / _ACCURACY
    dropped = np.zeros(quadrature.nodes.shape, dtype=np.bool_)
    ends, isolated = [], []
    sides: tuple[tuple[Side, int], ...] = (("right", 1), ("left", -1))
    for side, sign in sides:
        found, count = _end(kernel, side, law, opnorm_error, quadrature, reach, rng)
        ends.append(found)
        isolated.append(found.values[:count])
        if count:
            dropped |= sign * quadrature.nodes > sign * found.values[count - 1 : count + 1].mean()
    among = _among(quadrature, law, opnorm_error, reach)
    for value in among:
        dropped |= np.abs(quadrature.nodes - value) <= _ACCURACY * reach / 2
    isolated.append(among)
    upper, lower = ends
    outside = np.sort(np.concatenate(isolated))[::-1]
    residual = float(max(upper.residuals.max(), lower.residuals.max()))
    rest, bulk = _bulk(quadrature.without(dropped), law, kernel.shape[0] - outside.size, residual)
    return EstimatedSpectrum(upper.values, lower.values, outside, rest, bulk)


def _end(
    kernel: Array,
    side: Side,
    law: LawOfKernel,
    opnorm_error: float,
    quadrature: LanczosSpectrum,
    reach: float,
    rng: np.random.Generator,
) -> tuple[ExtremeEigenvalues, int]:
    """The outermost eigenvalues on a side, and how many of them are isolated."""
    left, right = support_bounds(law)
    predicted = law.outlier_values
    count = _MORE + int(np.count_nonzero(predicted > right if side == "right" else predicted < left))
    size = abs(float(quadrature.nodes.max() if side == "right" else quadrature.nodes.min()))
    while True:
        count = min(count, kernel.shape[0] - 1)
        found = extreme_eigenvalues(kernel, count, rng, largest=side == "right", tolerance=reach / max(size, reach))
        isolated = count_isolated(found.values, side, law, opnorm_error)
        # Several that are not isolated: the gap before them was the innermost.
        if count - isolated >= _ENOUGH or count == kernel.shape[0] - 1:
            return found, isolated
        count *= 2


def _among(quadrature: LanczosSpectrum, law: LawOfKernel, opnorm_error: float, reach: float) -> Array:
    """Eigenvalues within the gaps of the support that some probe has found."""
    left, right = support_bounds(law)
    found = quadrature.found(reach)
    if found.size == 0:
        return found
    outside, _ = outside_support(found, law, isolation_margin(law), opnorm_error)
    return outside[(outside > left) & (outside < right)]


def _bulk(quadrature: LanczosSpectrum, law: LawOfKernel, size: int, end_residual: float) -> tuple[Array, BulkEstimate]:
    """Values with the estimated distribution function of the bulk, and the account of it."""

    def continuous(x: Array) -> Array:
        return law.cumulative(x) - (0.0 if law.point is None else law.point_mass * (x >= law.point))

    nodes, levels = quadrature.nodes, quadrature.levels()
    held = nodes[quadrature.weights > 0]
    low, high = min(held.min(), support_bounds(law)[0]), max(held.max(), support_bounds(law)[1])
    places = np.unique(np.concatenate([np.linspace(low, high, _GRID), held]))
    excess = np.array(
        [np.interp(places, row, level - continuous(row)) for row, level in zip(nodes, levels, strict=True)]
    )
    estimate = np.clip(continuous(places) + excess.mean(axis=0), 0, 1)
    gap = np.maximum(np.abs(estimate - law.cumulative(places)), np.abs(estimate - law.cumulative(places, left=True)))
    error = excess[:, np.argmax(gap)].std(ddof=1) / np.sqrt(len(excess))
    rest = np.interp((np.arange(size) + 0.5) / size, np.maximum.accumulate(estimate), places)
    smoothing = float(held.max() - held.min()) / nodes.shape[1] or np.finfo(np.float64).tiny
    points = np.linspace(low - 3 * smoothing, high + 3 * smoothing, _POINTS)
    return rest, BulkEstimate(
        places=points,
        density=quadrature.density(points, smoothing),
        smoothing=smoothing,
        ks_standard_error=float(error),
        ks_resolution=float(quadrature.weights.max() / 2),
        end_residual=end_residual,
        steps=nodes.shape[1],
        probes=nodes.shape[0],
    )
