"""The kernels of a cell on drawn data, and their equivalents under the true theory and wrong ones.

Theory sheet, section 8.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType

import numpy as np
from scipy.sparse.linalg import LinearOperator

from numerics.arrays import Array
from numerics.data import MixtureStatistics
from numerics.equilibrium import CertifiedStates, certify_states, certify_tangent, exchange_scales
from numerics.equivalents import DeterministicEquivalent, equivalent_parts
from numerics.experiments.experiment import Cell, Experiment
from numerics.kernels import CoupledKernels, coupled_kernels
from theory.claims import CoupledTheory, coupled_theories
from theory.equations import CoupledDEQ, TrainedWeights
from theory.kernels import KernelCoefficients

__all__ = [
    "CellDraw",
    "CellKernel",
    "cell_equivalent",
    "cell_numbers",
    "cell_parts",
    "draw_cell",
    "four_coefficients",
    "tends_to_zero",
]

#: Digits of the numbers that equivalents are made of.
_DIGITS = 15
#: A kernel of a cell: a state's CK by its number, or the NTK of the one that is read out by the weights trained.
CellKernel = int | TrainedWeights


@lru_cache(maxsize=64)
def _solved(deq: CoupledDEQ) -> CertifiedStates:
    return certify_states(deq, _DIGITS)


@lru_cache(maxsize=64)
def cell_numbers(cell: CoupledDEQ, kernel: CellKernel, other_scales: bool = False) -> Mapping[str, float]:
    """A kernel's numbers by key of theory sheet section 8, in float64.

    Args:
        cell: the cell.
        kernel: number of a state, for its CK, or the weights that are trained, for the NTK.
        other_scales: a wrong theory: every state's moments taken at the scale of the next one.

    Raises:
        EquilibriumError: no stable equilibrium, or no NTK.
        UncertifiedError: the numbers of the cell are not certified.
    """
    found = exchange_scales(_solved(cell)) if other_scales else _solved(cell)
    floats = certify_tangent(found, kernel).floats() if isinstance(kernel, TrainedWeights) else found.floats(kernel)
    return MappingProxyType(floats)


def tends_to_zero(cell: CoupledDEQ, kernel: CellKernel) -> bool:
    """Whether a kernel tends to 0 off the diagonal."""
    return cell.decorrelated[cell.readout if isinstance(kernel, TrainedWeights) else kernel]


def four_coefficients(numbers: Mapping[str, float]) -> KernelCoefficients[float]:
    """The numbers of section 4 among those of section 8, where the kernel tends to 0 off the diagonal."""
    return KernelCoefficients(*(numbers[key] for key in ("gS", "gdd", "gSS", "diagonal")))


def cell_equivalent(
    cell: CoupledDEQ,
    kernel: CellKernel,
    statistics: MixtureStatistics,
    gram: Array,
    theory: CoupledTheory | None = None,
) -> DeterministicEquivalent:
    """The equivalent of a kernel of a cell, that of section 4 where it tends to 0 off the diagonal.

    Args:
        cell: the cell, at the tau_0 of the data.
        kernel: number of a state, for its CK, or the weights that are trained, for the NTK.
        statistics: of the sample.
        gram: (n, n) array S.
        theory: the true one where left out.

    Raises:
        ValueError: shapes that do not fit.
        EquilibriumError: no stable equilibrium, or no NTK.
        UncertifiedError: the numbers of the cell are not certified.
    """
    which = coupled_theories()["true"] if theory is None else theory
    cell, tau0 = which.cell(cell), float(cell.tau0)
    if isinstance(kernel, TrainedWeights):
        kernel = which.trained(cell, kernel)
    numbers = cell_numbers(cell, kernel, which.other_scales)
    if tends_to_zero(cell, kernel):
        return DeterministicEquivalent.from_statistics(statistics, four_coefficients(numbers), tau0=tau0, gram=gram)
    kept = dict(numbers) | dict.fromkeys(which.absent, 0.0)
    if "g0" in which.absent:
        # What is subtracted on the diagonal goes with it.
        kept["diagonal"] -= numbers["g0"]
    delta = np.diagonal(gram) - tau0**2 if which.own_norms else statistics.low_rank @ np.append(statistics.t, 1.0)
    return DeterministicEquivalent.about_limit(statistics, kept, delta, tau0=tau0, gram=gram)


def cell_parts(
    cell: CoupledDEQ, kernel: CellKernel, statistics: MixtureStatistics, gram: Array
) -> dict[str, LinearOperator]:
    """What each number contributes to a kernel's equivalent, by name, as ``numerics.equivalents.equivalent_parts``.

    Args:
        cell: the cell, at the tau_0 of the data.
        kernel: number of a state, for its CK, or the weights that are trained, for the NTK.
        statistics: of the sample.
        gram: (n, n) array S.

    Raises:
        EquilibriumError, UncertifiedError: as for ``cell_equivalent``.
    """
    numbers, tau0 = cell_numbers(cell, kernel), float(cell.tau0)
    if tends_to_zero(cell, kernel):
        return equivalent_parts(four_coefficients(numbers), statistics, tau0, gram)
    names = {"constant": "g0", "linear": "gS", "sum": "gd", "variance": "gdd", "square": "gSS", "squares": "ge"}
    names["diagonal"] = "diagonal"
    zero = dict.fromkeys(names.values(), 0.0)
    return {
        name: DeterministicEquivalent.about_limit(statistics, zero | {key: numbers[key]}, tau0=tau0, gram=gram)
        for name, key in names.items()
    }


@dataclass(frozen=True, eq=False)
class CellDraw:
    """The data of one draw and a cell's kernels on them.

    Attributes:
        gram: (n, n) array S.
        statistics: of the sample.
        deq: the cell at the data's tau_0.
        exact: its kernels.
        rng: for norms.
    """

    gram: Array
    statistics: MixtureStatistics
    deq: CoupledDEQ
    exact: CoupledKernels
    rng: np.random.Generator

    def kernel(self, which: CellKernel) -> Array:
        """One of the kernels, an (n, n) array.

        Raises:
            ValueError: the NTK, where it was not asked for.
        """
        if not isinstance(which, TrainedWeights):
            return np.asarray(self.exact.ck[which])
        if self.exact.ntk is None:
            raise ValueError("the NTK was not asked for")
        return self.exact.ntk

    def equivalent(self, which: CellKernel, theory: CoupledTheory | None = None) -> DeterministicEquivalent:
        """What a theory, the true one where left out, says of it."""
        return cell_equivalent(self.deq, which, self.statistics, self.gram, theory)


def draw_cell(experiment: Experiment, deq: CoupledDEQ, draw: Cell, trained: TrainedWeights | None = None) -> CellDraw:
    """Draw data, and compute a cell's exact kernels on them.

    Args:
        experiment: the data model; its activations and variances play no part.
        deq: the cell; its tau_0 is replaced by that of the data.
        draw: which.
        trained: the weights whose NTK is computed as well; None for none.

    Raises:
        EquilibriumError: no stable equilibrium.
        UncertifiedError: the numbers of the cell are not certified.
        KernelConvergenceError: an entry of a kernel has no stable fixed point, or there is no NTK.
    """
    rng = np.random.default_rng([experiment.seed, draw.p, draw.index])
    sample = experiment.mixture(draw.p).sample(rng)
    gram, statistics = sample.gram(), sample.statistics()
    found = deq.at(statistics.tau0(experiment.reading))
    means = [float(mean) for mean in _solved(found).means]
    return CellDraw(gram, statistics, found, coupled_kernels(gram, found, means, trained=trained), rng)
