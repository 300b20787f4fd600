"""Convergence of the kernels of several states to their equivalents, under the true theory and wrong ones.

Theory sheet, section 8.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import sympy as sp
import threadpoolctl

from numerics.experiments.cell_kernels import CellDraw, CellKernel, cell_parts, draw_cell
from numerics.experiments.experiment import Cell, Experiment
from numerics.experiments.ladders import Ladder
from numerics.linalg import operator_norm, perturbed_norms
from theory.claims import CoupledTheory, coupled_theories
from theory.equations import TRAINED, CoupledDEQ, TrainedWeights

__all__ = ["CoupledStudy"]


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

    def _drawn(self, draw: Cell) -> CellDraw:
        return draw_cell(self.experiment, self.deq, draw, self.trained)

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

    def _changed(self, draw: CellDraw, kernel: CellKernel, changes: Sequence[float]) -> dict[str, Any]:
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
