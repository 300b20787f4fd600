"""Finite-p experiments on the theorem: the exact infinite-width kernel against its equivalent, cell by cell.

A cell is one (p, seed): one draw of the data, every activation on it.  Its random numbers depend on nothing but the
root seed, p and the index, and its linear algebra runs on one thread, so results are the same bytes whatever the
number of workers and the order of the cells.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import joblib
import numpy as np
import sympy as sp
import threadpoolctl

from numerics.equilibrium import FloatEquilibrium, check_parameters, solve_float
from numerics.equivalents import DeterministicEquivalent
from numerics.kernels import implicit_ck
from numerics.mixture import GaussianMixture, Tau0Reading
from numerics.pointwise import pointwise
from numerics.spectra import operator_norm
from theory.activations import Activation

__all__ = ["Cell", "CellResult", "Experiment", "run_cells"]


@dataclass(frozen=True)
class Experiment:
    """The released default experiment, with its numbers free (theory sheet, section 1).

    Attributes:
        activations: activations without free parameters.
        sigma_a2: variance of the recurrent weights.
        sigma_b2: variance of the input weights.
        ratio: n/p.
        means: norm of the class means, mu_a = means e_{8a}.
        cov_shift: C_a = (1 + cov_shift a/sqrt p) I.
        classes: number of classes K.
        reading: whether tau_0^2 is tr C/p ("population") or tr S/n ("empirical").
        seed: root of every random number.

    Raises:
        EquilibriumError: a weight variance out of range.
    """

    activations: tuple[Activation, ...]
    sigma_a2: float = 0.2
    sigma_b2: float = 0.8
    ratio: float = 0.8
    means: float = 8.0
    cov_shift: float = 8.0
    classes: int = 2
    reading: Tau0Reading = "population"
    seed: int = 0

    def __post_init__(self) -> None:
        check_parameters(self.sigma_a2, self.sigma_b2, 1.0)

    def mixture(self, p: int) -> GaussianMixture:
        """Return the data model in dimension p.

        Raises:
            ValueError: p, n or K for which there is none.
        """
        return GaussianMixture.released_experiment(
            p, ratio=self.ratio, means=self.means, cov_shift=self.cov_shift, classes=self.classes
        )

    def solve(self, activation: Activation, tau0: float) -> FloatEquilibrium:
        """Return the coefficients of one activation at an input scale.

        Raises:
            EquilibriumError: no stable equilibrium.
        """
        limit = activation.threshold(2)
        threshold = np.inf if limit is sp.oo else float(limit)
        return solve_float(pointwise(activation), self.sigma_a2, self.sigma_b2, tau0, threshold=threshold)


@dataclass(frozen=True)
class Cell:
    """One draw of the data.

    Attributes:
        p: dimension.
        index: number of the draw, from 0.
    """

    p: int
    index: int


@dataclass(frozen=True)
class CellResult:
    """Distance of one exact kernel to its equivalent.

    Attributes:
        activation: name.
        p: dimension.
        n: number of samples.
        index: number of the draw.
        tau0: the input scale used.
        error: ||G* - Gbar|| in operator norm.
        norm_residual: ||M v - lambda v|| of the eigenpair that gave the norm.
        kernel_residual: largest residual of the entrywise fixed point.
        kernel_order: degree of the Hermite series.
        kernel_truncation: bound on what the series left out, entrywise.
        seconds: wall time.
    """

    activation: str
    p: int
    n: int
    index: int
    tau0: float
    error: float
    norm_residual: float
    kernel_residual: float
    kernel_order: int
    kernel_truncation: float
    seconds: float

    def record(self) -> dict[str, Any]:
        """Return the fields as plain JSON values, less the wall time, which no seed fixes."""
        fields = asdict(self)
        del fields["seconds"]
        return fields


def _run_cell(experiment: Experiment, cell: Cell) -> list[CellResult]:
    with threadpoolctl.threadpool_limits(limits=1):
        rng = np.random.default_rng([experiment.seed, cell.p, cell.index])
        sample = experiment.mixture(cell.p).sample(rng)
        gram, statistics = sample.gram(), sample.statistics()
        tau0 = statistics.tau0(experiment.reading)
        results = []
        for activation in experiment.activations:
            start = time.perf_counter()
            solution = experiment.solve(activation, tau0)
            kernel = implicit_ck(
                gram, pointwise(activation), experiment.sigma_a2, experiment.sigma_b2, solution["bias"]
            )
            equivalent = DeterministicEquivalent.from_statistics(
                statistics,
                alpha1=solution["alpha1"],
                alpha2=solution["alpha2"],
                alpha3=solution["alpha3"],
                gamma2=solution["gamma2"],
                tau0=tau0,
                gram=gram,
            )
            norm = operator_norm(kernel.kernel - equivalent.dense(), rng)
            results.append(
                CellResult(
                    activation=activation.name,
                    p=cell.p,
                    n=gram.shape[0],
                    index=cell.index,
                    tau0=tau0,
                    error=norm.value,
                    norm_residual=norm.residual,
                    kernel_residual=kernel.residual,
                    kernel_order=kernel.order,
                    kernel_truncation=kernel.truncation_bound,
                    seconds=time.perf_counter() - start,
                )
            )
    return results


def run_cells(experiment: Experiment, cells: Sequence[Cell], jobs: int = 1) -> Iterator[list[CellResult]]:
    """Yield the results of cells as they finish, largest first, in ``jobs`` processes.

    Raises:
        EquilibriumError: an activation has no stable equilibrium at some tau_0.
        KernelConvergenceError: an entry of the kernel has no stable fixed point.
    """
    ordered = sorted(cells, key=lambda cell: -cell.p)
    tasks = (joblib.delayed(_run_cell)(experiment, cell) for cell in ordered)
    yield from joblib.Parallel(n_jobs=jobs, return_as="generator_unordered")(tasks)
