"""Spectra of a cell's kernels against their limiting law.

Theory sheet, sections 5 and 8.  Of a kernel that tends to 0 off the diagonal the law is that of section 5, with the
kernel's own numbers.  Else there are directions more, 1 and delta, and the largest eigenvalue is of order n.
"""

from __future__ import annotations

from dataclasses import replace

import threadpoolctl
from scipy.sparse.linalg import aslinearoperator

from numerics.experiments.cell_kernels import (
    CellKernel,
    cell_numbers,
    draw_cell,
    four_coefficients,
    tends_to_zero,
)
from numerics.experiments.experiment import Cell, Experiment
from numerics.experiments.spectral_study import MeasuredSpectrum, compare_spectrum, population_of
from numerics.linalg import operator_norm
from numerics.spectrum import LimitTerms, SpectralLaw
from theory.equations import CoupledDEQ, TrainedWeights

__all__ = ["measure_cell", "predict_cell"]


def predict_cell(experiment: Experiment, cell: CoupledDEQ, kernel: CellKernel, p: int) -> SpectralLaw:
    """The law of a kernel of a cell in dimension p, at the population's tau_0.

    Args:
        experiment: the data model.
        cell: its tau_0 is replaced by that of the data.
        kernel: number of a state, for its CK, or the weights that are trained, for the NTK.
        p: dimension.

    Raises:
        EquilibriumError: no stable equilibrium, or no NTK.
        UncertifiedError: the numbers of the cell are not certified.
        ValueError: a mixture that does not exist, or covariances that do not commute in a large dimension.
        SpectralLawError: the law was not found to the accuracy asked for.
    """
    with threadpoolctl.threadpool_limits(limits=1):
        mixture = experiment.mixture(p)
        found = cell.at(mixture.tau0)
        numbers = cell_numbers(found, kernel)
        coefficients, limit = four_coefficients(numbers), None
        if not tends_to_zero(found, kernel):
            limit = LimitTerms(numbers["g0"], numbers["gd"], numbers["ge"])
            coefficients = replace(coefficients, diagonal=numbers["diagonal"] - numbers["g0"])
        return SpectralLaw.of(population_of(mixture), coefficients, limit=limit)


def measure_cell(
    experiment: Experiment, cell: CoupledDEQ, kernel: CellKernel, p: int, index: int, law: SpectralLaw
) -> MeasuredSpectrum:
    """Spectrum of a kernel of a cell on draw number `index`, compared with the law.

    Args:
        experiment: the data model, with the population's reading of tau_0.
        cell: its tau_0 is replaced by that of the data.
        kernel: as for ``predict_cell``.
        p: dimension.
        index: number of the draw.
        law: predicted for it.

    Raises:
        EquilibriumError, UncertifiedError: as for ``predict_cell``.
        KernelConvergenceError: an entry of the kernel has no stable fixed point.
    """
    with threadpoolctl.threadpool_limits(limits=1):
        trained = kernel if isinstance(kernel, TrainedWeights) else None
        draw = draw_cell(experiment, cell, Cell(p, index), trained)
        matrix = draw.kernel(kernel)
        norm = operator_norm(aslinearoperator(matrix) - draw.equivalent(kernel), draw.rng)
        return compare_spectrum(matrix, law, norm, draw.rng, kernel_residual=draw.exact.evidence.residual)
