"""Spectra of kernels against their limiting law, draw by draw.

The kernel is the exact infinite-width one, or that of a finite network.  Up to MOST_DIAGONALISED samples all of its
eigenvalues are computed, beyond it is left as it is and its spectrum estimated (`numerics.spectrum.estimate`).  What
counts as isolated is said in `numerics.spectrum.isolation`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import threadpoolctl
from scipy.sparse.linalg import aslinearoperator

from numerics.arrays import Array
from numerics.data import GaussianMixture
from numerics.equilibrium import FloatEquilibrium
from numerics.equivalents import identity_coefficient
from numerics.experiments.experiment import (
    Experiment,
    Network,
    equivalent_kernel,
    exact_kernel,
    finite_kernel,
)
from numerics.linalg import OperatorNorm, eigenvalues, gram_matrix, operator_norm
from numerics.spectrum import (
    BulkEstimate,
    DenseCovariances,
    FiniteWidthLaw,
    LawOfKernel,
    OutlierMatch,
    Population,
    SpectralLaw,
    deq_width_law,
    estimate_spectrum,
    isolated_eigenvalues,
    kolmogorov_distance,
    levy_distance,
    match_outliers,
    support_bounds,
    wasserstein_distance,
)
from theory.activations import Activation
from theory.equations import EquilibriumError
from theory.kernels import Kernel

__all__ = [
    "LARGEST_DENSE",
    "MOST_DIAGONALISED",
    "MeasuredSpectrum",
    "OutlierSummary",
    "compare_spectrum",
    "measure",
    "population_of",
    "predict",
    "summarise_outliers",
]

#: Samples up to which a kernel is diagonalised: minutes of one core and a few gigabytes.
MOST_DIAGONALISED = 8192
#: Largest dimension for covariances without a common eigenbasis: thousands of matrices of that size are inverted.
LARGEST_DENSE = 400
#: What rounding makes of an eigenvalue 0, relative to the diagonal.
_ROUNDING = 1e-9


@dataclass(frozen=True)
class MeasuredSpectrum:
    """Spectrum of one draw's kernel.

    Attributes:
        eigenvalues: array, descending, all n of them, or those at the two ends where the rest is estimated.
        ends: how many of these are the largest of the spectrum, and how many the smallest; both n where all are known.
        isolated: (k,) array of those outside the predicted support, descending.
        ks_distance: Kolmogorov distance of the others to the law.
        levy_distance: Levy distance of the others to the law.
        wasserstein_distance: of the others to the law, in units of the kernel.
        opnorm_error: ||K - Kbar||, the equivalent made from the same draw and the population's parameters.
        norm_residual: of the eigenpair that gave it.
        kernel_residual: largest residual of the entrywise fixed point, or None for a finite network.
        network_residual: relative residual of the network's states and adjoint states, or None.
        estimate: how the rest was estimated, or None where all eigenvalues are known.
    """

    eigenvalues: Array
    ends: tuple[int, int]
    isolated: Array
    ks_distance: float
    levy_distance: float
    wasserstein_distance: float
    opnorm_error: float
    norm_residual: float
    kernel_residual: float | None
    network_residual: float | None
    estimate: BulkEstimate | None

    def record(self) -> dict[str, Any]:
        """Return the fields as plain JSON values."""
        return _plain(self) | {"estimate": None if self.estimate is None else _plain(self.estimate)}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> MeasuredSpectrum:
        """The spectrum that gave a record."""
        found: dict[str, Any] = {name: np.array(record[name]) for name in ("eigenvalues", "isolated")}
        if record["estimate"] is not None:
            arrays = {name: np.array(record["estimate"][name]) for name in ("places", "density")}
            found["estimate"] = BulkEstimate(**{**record["estimate"], **arrays})
        return cls(**{**record, **found, "ends": tuple(record["ends"])})


def _plain(instance: Any) -> dict[str, Any]:
    """Fields of a dataclass, arrays as lists."""
    found = {field.name: getattr(instance, field.name) for field in fields(instance)}
    return {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in found.items()}


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
    experiment: Experiment, activation: Activation, kernel: Kernel, p: int
) -> tuple[SpectralLaw, FloatEquilibrium]:
    """The law of one kernel in dimension p, and the equilibrium it is made from, at the population's tau_0.

    Raises:
        EquilibriumError: no stable equilibrium, an NTK that does not exist there, or coefficients that are not
            certified, or that no kernel has.
        ValueError: a mixture or kernel that does not exist, or covariances that do not commute in a large dimension.
        SpectralLawError: the law was not found to the accuracy asked for.
    """
    with threadpoolctl.threadpool_limits(limits=1):
        mixture = experiment.mixture(p)
        solution = experiment.solve(activation, mixture.tau0)
        coefficients = solution.checked(kernel).kernel(kernel)
        offset = identity_coefficient(coefficients, mixture.tau0)
        if offset < 0:
            raise EquilibriumError(
                f"the coefficients of {activation.name} are wrong: with alpha_1 = {coefficients.linear:.6g} and the "
                f"diagonal {coefficients.diagonal:.6g} the spectrum would reach {offset:.3g}, below 0"
            )
        return SpectralLaw.of(population_of(mixture), coefficients), solution


def population_of(mixture: GaussianMixture) -> Population:
    """What the law needs of a mixture.

    Raises:
        ValueError: covariances that do not commute in a large dimension.
    """
    population, p = Population.from_mixture(mixture), mixture.dimension
    if isinstance(population.covariances, DenseCovariances) and p > LARGEST_DENSE:
        raise ValueError(
            f"the classes' covariances have no common eigenvectors, for which p up to {LARGEST_DENSE} is accepted, "
            f"not {p}; covariances of one shape, or diagonal ones, have them"
        )
    return population


def predict_network(
    experiment: Experiment, activation: Activation, kernel: Kernel, p: int, width: int
) -> tuple[LawOfKernel, FloatEquilibrium]:
    """The law of one kernel of finite networks, and the equilibrium of infinite width.

    Conjugate kernels have a law of the width's own; that of NTKs is not known, and is the one of infinite width here.

    Args:
        experiment: the data and the weights' variances.
        activation: of the DEQ.
        kernel: which one.
        p: dimension.
        width: of the networks.

    Raises:
        EquilibriumError: as for ``predict``.
        ValueError: as for ``predict``, or a width below 1.
        SpectralLawError: the law was not found to the accuracy asked for.
    """
    law, solution = predict(experiment, activation, kernel, p)
    if kernel is not Kernel.CK:
        return law, solution
    mixture = experiment.mixture(p)
    return deq_width_law(mixture, experiment.deq(activation, mixture.tau0), solution, width), solution


def measure(
    experiment: Experiment,
    activation: Activation,
    kernel: Kernel,
    p: int,
    index: int,
    law: LawOfKernel,
    solution: FloatEquilibrium,
    *,
    network: Network | None = None,
    most_diagonalised: int = MOST_DIAGONALISED,
) -> MeasuredSpectrum:
    """Spectrum of the kernel of draw number `index`, compared with the law.

    The samples of a draw are the same for the exact kernel and for networks of any width.

    Args:
        experiment: the data and the weights' variances.
        activation: of the DEQ.
        kernel: which one.
        p: dimension.
        index: number of the draw.
        law: predicted for it.
        solution: the equilibrium the law was made from.
        network: what to draw a finite network by; None for the exact kernel.
        most_diagonalised: with more samples than this the spectrum is estimated.

    Raises:
        EquilibriumError: an NTK that does not exist.
        KernelConvergenceError: an entry of the exact kernel has no stable fixed point.
        NonConvergenceError: the network has no equilibrium that the iteration reaches.
        SpectrumConvergenceError: eigenvalues that Lanczos did not find.
    """
    with threadpoolctl.threadpool_limits(limits=1):
        rng = np.random.default_rng([experiment.seed, p, index])
        sample = experiment.mixture(p).sample(rng)
        statistics, data = sample.statistics(), sample.data
        del sample  # and with it the noise: arrays of p n and n n numbers are gigabytes here
        gram = gram_matrix(data)
        kernel_residual = network_residual = None
        deq = experiment.deq(activation, law.population.tau0)
        if network is None:
            del data
            matrix, kernel_residual = exact_kernel(kernel, deq, solution, gram)
        else:
            matrix, network_residual = finite_kernel(kernel, deq, solution, data, network, rng)
            del data
        equivalent = equivalent_kernel(kernel, solution, statistics, law.population.tau0, gram)
        norm = operator_norm(aslinearoperator(matrix) - equivalent, rng)
        del gram, equivalent
        return compare_spectrum(
            matrix,
            law,
            norm,
            rng,
            kernel_residual=kernel_residual,
            network=network,
            network_residual=network_residual,
            most_diagonalised=most_diagonalised,
        )


def compare_spectrum(
    matrix: Array,
    law: LawOfKernel,
    norm: OperatorNorm,
    rng: np.random.Generator,
    *,
    kernel_residual: float | None = None,
    network: Network | None = None,
    network_residual: float | None = None,
    most_diagonalised: int = MOST_DIAGONALISED,
) -> MeasuredSpectrum:
    """The spectrum of a kernel beside its law.

    Args:
        matrix: (n, n) array, the kernel.
        law: predicted for it.
        norm: that of the kernel less its equivalent.
        rng: for estimates.
        kernel_residual: largest residual of the entrywise fixed point, or None.
        network: what a finite network was drawn by; None for an exact kernel.
        network_residual: of its states, or None.
        most_diagonalised: with more samples than this the spectrum is estimated.

    Raises:
        SpectrumConvergenceError: eigenvalues that Lanczos did not find.
    """
    # At infinite width eigenvalues of the point mass are off by as much as the kernel; at a finite one by rounding.
    smear = norm.value if isinstance(law, SpectralLaw) else _ROUNDING * law.coefficients.diagonal
    n = matrix.shape[0]
    if n <= most_diagonalised:
        spectrum = eigenvalues(matrix)[::-1]
        if network is not None and isinstance(law, FiniteWidthLaw):
            # H^T H/m is of rank m at most: what the others differ from 0 by is rounding.
            spectrum[network.width :] = 0.0
        ends, estimate = (n, n), None
        isolated, rest = isolated_eigenvalues(spectrum, law, smear)
    else:
        found = estimate_spectrum(matrix, law, smear, rng)
        spectrum = np.concatenate([found.upper, found.lower[::-1]])
        ends, estimate = (found.upper.size, found.lower.size), found.bulk
        isolated, rest = found.isolated, found.rest
    return MeasuredSpectrum(
        eigenvalues=spectrum,
        ends=ends,
        isolated=isolated,
        ks_distance=kolmogorov_distance(rest, law),
        levy_distance=levy_distance(rest, law),
        wasserstein_distance=wasserstein_distance(rest, law),
        opnorm_error=norm.value,
        norm_residual=norm.residual,
        kernel_residual=kernel_residual,
        network_residual=network_residual,
        estimate=estimate,
    )


def summarise_outliers(law: LawOfKernel, draws: Sequence[MeasuredSpectrum]) -> OutlierSummary:
    """Mean isolated eigenvalues, by rank from the outermost inwards on each side of the support.

    On a side as many are kept as half of the draws have; a draw where one of these has not come out of the bulk
    contributes its eigenvalue of the same rank, so that the mean is of the same quantity for every draw.

    Raises:
        ValueError: no draws.
    """
    if not draws:
        raise ValueError("at least one draw is needed")
    left, right = support_bounds(law)
    columns: list[Array] = []
    for side in (0, 1):
        counts = [np.count_nonzero(d.isolated < left if side else d.isolated > right) for d in draws]
        kept = min(int(np.quantile(counts, 0.5, method="lower")), *(d.ends[side] for d in draws))
        columns += [np.array([d.eigenvalues[-1 - rank if side else rank] for d in draws]) for rank in range(kept)]
    within = [d.isolated[(d.isolated >= left) & (d.isolated <= right)] for d in draws]
    for rank in range(min(values.size for values in within)):
        columns.append(np.array([values[rank] for values in within]))
    table = np.array(sorted(columns, key=lambda c: -float(c.mean()))).reshape(-1, len(draws))
    mean = table.mean(axis=1)
    error = table.std(axis=1, ddof=1) / np.sqrt(len(draws)) if len(draws) > 1 else np.full(mean.shape, np.nan)
    return OutlierSummary(mean, error, match_outliers(law.outlier_values, mean, support_bounds(law)))
