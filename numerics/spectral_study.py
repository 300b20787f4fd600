"""Exact kernels' spectra against their limiting law, draw by draw.

What counts as isolated in a measured spectrum (`isolated_eigenvalues`): the unit is that of an edge's fluctuations,
(k n)^(-2/3) (`SpectralLaw.edge_fluctuation`, the larger of the outer two), in which eigenvalues next to an edge are one
or two apart and the first is beyond four with a probability of some 1 in 10,000.  An isolated eigenvalue is outside the
predicted support by more than four units, and between it and the rest is a gap of more than four: at a finite p the
whole edge may have moved further than it fluctuates.  From a point mass it must be further away than the measured
operator-norm distance of the kernel to its equivalent, by which any eigenvalue may have moved.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import threadpoolctl
from numpy.typing import NDArray

from numerics.equilibrium import FloatEquilibrium
from numerics.equivalents import DeterministicEquivalent
from numerics.experiments import Experiment
from numerics.ntk import implicit_kernels
from numerics.pointwise import pointwise
from numerics.spectra import eigenvalues, operator_norm
from numerics.spectral_distances import (
    OutlierMatch,
    kolmogorov_distance,
    levy_distance,
    match_outliers,
    outside_support,
    wasserstein_distance,
)
from numerics.spectral_law import EquivalentCoefficients, SpectralLaw
from theory.activations import Activation

__all__ = [
    "MARGIN_UNITS",
    "MeasuredSpectrum",
    "OutlierSummary",
    "isolated_eigenvalues",
    "isolation_margin",
    "measure",
    "predict",
    "summarise_outliers",
]

Array = NDArray[np.float64]

#: Units of an edge's fluctuations by which an isolated eigenvalue is away from the support, and from other eigenvalues.
MARGIN_UNITS = 4.0


@dataclass(frozen=True)
class MeasuredSpectrum:
    """Spectrum of one draw's exact kernel.

    Attributes:
        eigenvalues: (n,) array, descending.
        isolated: (k,) array of those outside the predicted support, descending.
        ks_distance: Kolmogorov distance of the others to the law.
        levy_distance: Levy distance of the others to the law.
        wasserstein_distance: of the others to the law, in units of the kernel.
        opnorm_error: ||K - Kbar||, the equivalent made from the same draw and the population's parameters.
        norm_residual: of the eigenpair that gave it.
        kernel_residual: largest residual of the entrywise fixed point.
    """

    eigenvalues: Array
    isolated: Array
    ks_distance: float
    levy_distance: float
    wasserstein_distance: float
    opnorm_error: float
    norm_residual: float
    kernel_residual: float


@dataclass(frozen=True)
class OutlierSummary:
    """Isolated eigenvalues over several draws.

    Attributes:
        mean: (k,) array, descending; those that at least half of the draws have on a side.
        standard_error: (k,) array, nan for a single draw.
        match: paired with the predicted ones.
    """

    mean: Array
    standard_error: Array
    match: OutlierMatch


def predict(
    experiment: Experiment, activation: Activation, kernel: str, p: int
) -> tuple[SpectralLaw, FloatEquilibrium]:
    """The law of one kernel in dimension p, and the equilibrium it is made from, at the population's tau_0.

    Raises:
        EquilibriumError: no stable equilibrium.
        ValueError: a mixture or kernel that does not exist.
        SpectralLawError: the law was not found to the accuracy asked for.
    """
    mixture = experiment.mixture(p)
    solution = experiment.solve(activation, mixture.tau0)
    return SpectralLaw.of(mixture, EquivalentCoefficients.from_values(solution.values, kernel)), solution


def measure(
    experiment: Experiment,
    activation: Activation,
    kernel: str,
    p: int,
    index: int,
    law: SpectralLaw,
    solution: FloatEquilibrium,
) -> MeasuredSpectrum:
    """Spectrum of the exact kernel of draw number `index`, compared with the law.

    Raises:
        KernelConvergenceError: an entry of the kernel has no stable fixed point.
    """
    with threadpoolctl.threadpool_limits(limits=1):
        rng = np.random.default_rng([experiment.seed, p, index])
        sample = experiment.mixture(p).sample(rng)
        gram = sample.gram()
        name = kernel.removeprefix("ntk-")
        found = implicit_kernels(
            gram,
            pointwise(activation),
            experiment.sigma_a2,
            experiment.sigma_b2,
            solution["bias"],
            kernels=(name,),
        )
        exact: Array = getattr(found, name)
        numbers = law.coefficients
        equivalent = DeterministicEquivalent.from_statistics(
            sample.statistics(),
            alpha1=numbers.linear,
            alpha2=numbers.variance,
            alpha3=numbers.square,
            gamma2=numbers.diagonal,
            tau0=law.population.tau0,
            gram=gram,
        )
        norm = operator_norm(exact - equivalent.dense(), rng)
        spectrum = eigenvalues(exact)[::-1]
    isolated, rest = isolated_eigenvalues(spectrum, law, norm.value)
    return MeasuredSpectrum(
        eigenvalues=spectrum,
        isolated=isolated,
        ks_distance=kolmogorov_distance(rest, law),
        levy_distance=levy_distance(rest, law),
        wasserstein_distance=wasserstein_distance(rest, law),
        opnorm_error=norm.value,
        norm_residual=norm.residual,
        kernel_residual=found.residual,
    )


def isolation_margin(law: SpectralLaw) -> float:
    """Four units of the fluctuations of the outer edge that fluctuates more, in units of the kernel."""
    return MARGIN_UNITS * max(law.edge_fluctuation("right"), law.edge_fluctuation("left"))


def isolated_eigenvalues(spectrum: Array, law: SpectralLaw, opnorm_error: float) -> tuple[Array, Array]:
    """Eigenvalues that count as isolated, and the others; both descending.

    Args:
        spectrum: (n,) array, in any order.
        law: predicted.
        opnorm_error: of the kernel to its equivalent.

    Raises:
        ValueError: a spectrum that is empty or not finite.
    """
    margin = isolation_margin(law)
    outside, _ = outside_support(spectrum, law, margin, opnorm_error)
    held = np.ones(outside.size, dtype=np.bool_)
    ordered = np.sort(spectrum)[::-1]
    for sign, edge in ((1, law.edges[-1][1]), (-1, law.edges[0][0])):
        beyond = sign * outside > sign * edge
        count = int(np.count_nonzero(beyond))
        # From the outermost inwards, with the first that is not outside.
        run = (ordered if sign > 0 else ordered[::-1])[: count + 1]
        wide = np.flatnonzero(-sign * np.diff(run) > margin)
        kept = int(wide[-1]) + 1 if wide.size else 0
        positions = np.flatnonzero(beyond)
        held[positions[kept:] if sign > 0 else positions[: count - kept]] = False
    isolated = outside[held]
    return isolated, np.setdiff1d(spectrum, isolated)[::-1]


def summarise_outliers(law: SpectralLaw, draws: Sequence[MeasuredSpectrum]) -> OutlierSummary:
    """Mean isolated eigenvalues, by rank from the outermost inwards on each side of the support.

    On a side as many are kept as half of the draws have; a draw where one of these has not come out of the bulk
    contributes its eigenvalue of the same rank, so that the mean is of the same quantity for every draw.

    Raises:
        ValueError: no draws.
    """
    if not draws:
        raise ValueError("at least one draw is needed")
    left, right = law.edges[0][0], law.edges[-1][1]
    columns: list[Array] = []
    for side in (1, -1):
        counts = [np.count_nonzero(d.isolated > right if side > 0 else d.isolated < left) for d in draws]
        kept = int(np.quantile(counts, 0.5, method="lower"))
        columns += [np.array([d.eigenvalues[rank if side > 0 else -1 - rank] for d in draws]) for rank in range(kept)]
    within = [d.isolated[(d.isolated >= left) & (d.isolated <= right)] for d in draws]
    for rank in range(min(values.size for values in within)):
        columns.append(np.array([values[rank] for values in within]))
    table = np.array(sorted(columns, key=lambda c: -float(c.mean()))).reshape(-1, len(draws))
    mean = table.mean(axis=1)
    error = table.std(axis=1, ddof=1) / np.sqrt(len(draws)) if len(draws) > 1 else np.full(mean.shape, np.nan)
    return OutlierSummary(mean, error, match_outliers(law.outlier_values, mean, (left, right)))
