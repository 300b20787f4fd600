"""Convergence of the kernels of several states to their equivalents, under the true theory and wrong ones.

Theory sheet, section 8.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from types import MappingProxyType
from typing import Any

import numpy as np
import sympy as sp
import threadpoolctl
from scipy.sparse.linalg import LinearOperator

from numerics.arrays import Array
from numerics.data import MixtureStatistics
from numerics.equilibrium import CertifiedStates, certify_states, certify_tangent, exchange_scales
from numerics.equivalents import DeterministicEquivalent, equivalent_parts
from numerics.experiments.experiment import Cell, Experiment
from numerics.experiments.ladders import Ladder
from numerics.kernels import CoupledKernels, coupled_kernels
from numerics.linalg import operator_norm, perturbed_norms
from theory.claims import CoupledTheory, coupled_theories
from theory.equations import TRAINED, CoupledDEQ, TrainedWeights
from theory.kernels import KernelCoefficients

__all__ = ["CellKernel", "CoupledStudy", "cell_equivalent", "cell_parts"]

#: Digits of the numbers that equivalents are made of.
_DIGITS = 15
#: A kernel of a cell: a state's CK by its number, or the NTK of the one that is read out by the weights trained.
CellKernel = int | TrainedWeights


@lru_cache(maxsize=64)
def _solved(deq: CoupledDEQ) -> CertifiedStates:
    return certify_states(deq, _DIGITS)


@lru_cache(maxsize=64)
def _numbers(cell: CoupledDEQ, kernel: CellKernel, other_scales: bool = False) -> Mapping[str, float]:
    """A kernel's numbers by key of section 8."""
    found = exchange_scales(_solved(cell)) if other_scales else _solved(cell)
    floats = certify_tangent(found, kernel).floats() if isinstance(kernel, TrainedWeights) else found.floats(kernel)
    return MappingProxyType(floats)


def _decorrelated(cell: CoupledDEQ, kernel: CellKernel) -> bool:
    """Whether a kernel tends to 0 off the diagonal."""
    return cell.decorrelated[cell.readout if isinstance(kernel, TrainedWeights) else kernel]


def _four(numbers: Mapping[str, float]) -> KernelCoefficients[float]:
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
    numbers = _numbers(cell, kernel, which.other_scales)
    if _decorrelated(cell, kernel):
        return DeterministicEquivalent.from_statistics(statistics, _four(numbers), tau0=tau0, gram=gram)
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
    numbers, tau0 = _numbers(cell, kernel), float(cell.tau0)
    if _decorrelated(cell, kernel):
        return equivalent_parts(_four(numbers), statistics, tau0, gram)
    names = {"constant": "g0", "linear": "gS", "sum": "gd", "variance": "gdd", "square": "gSS", "squares": "ge"}
    names["diagonal"] = "diagonal"
    zero = dict.fromkeys(names.values(), 0.0)
    return {
        name: DeterministicEquivalent.about_limit(statistics, zero | {key: numbers[key]}, tau0=tau0, gram=gram)
        for name, key in names.items()
    }


@dataclass(frozen=True, eq=False)
class _Draw:
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
        """One of the kernels, (n, n)."""
        if not isinstance(which, TrainedWeights):
            return np.asarray(self.exact.ck[which])
        if self.exact.ntk is None:
            raise ValueError("the NTK was not asked for")
        return self.exact.ntk

    def equivalent(self, which: CellKernel, theory: CoupledTheory) -> DeterministicEquivalent:
        """What a theory says of it."""
        return cell_equivalent(self.deq, which, self.statistics, self.gram, theory)


@dataclass(frozen=True)
class CoupledStudy:
    """How the errors of the equivalents of a cell's states fall with the dimension.

    Attributes:
        experiment: the data model; its activations and variances play no part.
        deq: the cell; its tau_0 is replaced by that of the data.
        sizes: dimensions p.
        draws: of each size.
        wrong: whether wrong theories are measured as well.
        trained: the weights whose NTK, of the state that is read out, is measured beside the CKs; None for none.
    """

    experiment: Experiment
    deq: CoupledDEQ
    sizes: tuple[int, ...] = (200, 400, 800, 1600)
    draws: int = 16
    wrong: bool = False
    trained: TrainedWeights | None = None

    @property
    def theories(self) -> tuple[CoupledTheory, ...]:
        """Those that are measured, the true one first."""
        true, *wrong = coupled_theories().values()
        concern = (t for t in wrong if any(t.concerns(self.deq, kernel) for kernel in self.kernels.values()))
        return (true, *concern) if self.wrong else (true,)

    def question(self) -> dict[str, Any]:
        """What the draws depend on besides their keys, as `numerics.records.run_campaign` takes it."""
        numbers = {
            field.name: getattr(self.experiment, field.name)
            for field in fields(self.experiment)
            if field.name not in ("activations", "sigma_a2", "sigma_b2")
        }
        states = [
            [sp.srepr(state.activation.expr), str(state.sigma_b2), str(state.sigma_c2), state.centred]
            for state in self.deq.states
        ]
        rows = [[str(value) for value in row] for row in self.deq.sigma_a2]
        found = numbers | {"states": states, "weights": rows, "theories": [t.identifier for t in self.theories]}
        if self.trained is None:
            return found
        kept = {name: sorted(getattr(self.trained, name)) for name in TRAINED}
        return found | {"readout": self.deq.readout, "trained": {**kept, "readout": self.trained.readout}}

    def cells(self) -> list[dict[str, Any]]:
        """What has to be measured, as plain JSON values: the longest first, so that workers end together."""
        return [{"p": size, "index": index} for size in reversed(self.sizes) for index in range(self.draws)]

    @property
    def kernels(self) -> dict[str, CellKernel]:
        """What is measured, by name: the states' CKs by their numbers, and "ntk"."""
        found: dict[str, CellKernel] = {str(state): state for state in range(len(self.deq.states))}
        return found if self.trained is None else found | {"ntk": self.trained}

    def _drawn(self, draw: Cell) -> _Draw:
        rng = np.random.default_rng([self.experiment.seed, draw.p, draw.index])
        sample = self.experiment.mixture(draw.p).sample(rng)
        gram, statistics = sample.gram(), sample.statistics()
        deq = self.deq.at(statistics.tau0(self.experiment.reading))
        means = [float(mean) for mean in _solved(deq).means]
        return _Draw(gram, statistics, deq, coupled_kernels(gram, deq, means, trained=self.trained), rng)

    def measure(self, cell: Mapping[str, Any]) -> dict[str, Any]:
        """The distances ||K - Kbar|| of one draw, by theory and kernel, as plain JSON values.

        Raises:
            EquilibriumError: no stable equilibrium, or no NTK.
            UncertifiedError: the numbers of the cell are not certified.
            KernelConvergenceError: an entry of a kernel has no stable fixed point.
        """
        draw = Cell(cell["p"], cell["index"])
        with threadpoolctl.threadpool_limits(limits=1):
            found = self._drawn(draw)
            errors: dict[str, list[float]] = {}
            residual = 0.0
            for theory in self.theories:
                norms = [
                    operator_norm(found.kernel(kernel) - found.equivalent(kernel, theory).dense(), found.rng)
                    for kernel in self.kernels.values()
                ]
                errors[theory.identifier] = [norm.value for norm in norms]
                residual = max(residual, *(norm.residual for norm in norms))
            sizes = [operator_norm(found.kernel(kernel), found.rng).value for kernel in self.kernels.values()]
        return {
            "p": draw.p,
            "n": len(found.gram),
            "index": draw.index,
            "errors": errors,
            "norms": sizes,
            "norm_residual": residual,
            "kernel_residual": found.exact.evidence.residual,
        }

    def measure_changes(self, draw: Cell, changes: Sequence[float]) -> dict[str, Any]:
        """The same distances by kernel, with the equivalents' numbers changed and by the theories that concern each.

        Args:
            draw: of the data.
            changes: relative changes of the equivalent's numbers, with which the norm is computed too.

        Raises:
            EquilibriumError, UncertifiedError, KernelConvergenceError: as of `measure`.
        """
        with threadpoolctl.threadpool_limits(limits=1):
            found = self._drawn(draw)
            return {name: self._changed(found, kernel, changes) for name, kernel in self.kernels.items()}

    def _changed(self, draw: _Draw, kernel: CellKernel, changes: Sequence[float]) -> dict[str, Any]:
        """Of one kernel."""
        true, *wrong = self.theories
        exact, equivalent = draw.kernel(kernel), draw.equivalent(kernel, true)
        error = exact - equivalent.dense()
        parts = cell_parts(draw.deq, kernel, draw.statistics, draw.gram)
        factors = [-change for change in changes]
        return {
            "error": operator_norm(error, draw.rng).value,
            "changed": perturbed_norms(error, parts, factors, draw.rng, span=equivalent.factor, full_rank=["linear"]),
            "wrong": {
                theory.identifier: operator_norm(exact - draw.equivalent(kernel, theory).dense(), draw.rng).value
                for theory in wrong
                if theory.concerns(draw.deq, kernel)
            },
        }

    def ladders(self, measured: Sequence[Mapping[str, Any]], theory: str = "true") -> tuple[Ladder, ...]:
        """What the measured draws say of the rate, a ladder for each kernel.

        Args:
            measured: what `measure` returned for every cell.
            theory: whose errors.
        """
        found = sorted(measured, key=lambda cell: (cell["p"], cell["index"]))
        ladders = []
        for k, kernel in enumerate(self.kernels.values()):
            rows = {size: [cell["errors"][theory][k] for cell in found if cell["p"] == size] for size in self.sizes}
            cells = tuple(_of_kernel(cell, k, theory) for cell in found)
            rng = np.random.default_rng([self.experiment.seed, self.draws])
            ladders.append(Ladder.of(rows, rng, activation=self._subject(kernel), cells=cells))
        return tuple(ladders)

    def _subject(self, kernel: CellKernel) -> str:
        """What a kernel is called."""
        state = self.deq.readout if isinstance(kernel, TrainedWeights) else kernel
        name = self.deq.states[state].activation.name
        name = name if len(self.deq.states) == 1 else f"state {state}: {name}"
        return f"{name}, NTK" if isinstance(kernel, TrainedWeights) else name


def _of_kernel(cell: Mapping[str, Any], kernel: int, theory: str) -> dict[str, Any]:
    """What was measured of one kernel in a draw."""
    kept = {key: cell[key] for key in ("p", "n", "index", "norm_residual", "kernel_residual")}
    return {"state": kernel, "error": cell["errors"][theory][kernel], "norm": cell["norms"][kernel]} | kept
