"""Convergence of the kernels of several states to their equivalents, under the true theory and wrong ones.

Theory sheet, section 8.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any

import numpy as np
import sympy as sp
import threadpoolctl
from scipy.sparse.linalg import LinearOperator

from numerics.arrays import Array
from numerics.data import MixtureStatistics
from numerics.equilibrium import CertifiedStates, certify_states
from numerics.equivalents import DeterministicEquivalent, equivalent_parts
from numerics.experiments.experiment import Cell, Experiment
from numerics.experiments.ladders import Ladder
from numerics.kernels import coupled_kernels
from numerics.linalg import operator_norm, perturbed_norms
from theory.claims import CoupledTheory, coupled_theories
from theory.equations import CoupledDEQ
from theory.kernels import Kernel, KernelCoefficients

__all__ = ["CoupledStudy", "state_equivalent", "state_parts"]

#: Digits of the numbers that equivalents are made of.
_DIGITS = 15


@lru_cache(maxsize=64)
def _solved(deq: CoupledDEQ) -> CertifiedStates:
    return certify_states(deq, _DIGITS)


def state_equivalent(
    found: CertifiedStates, state: int, statistics: MixtureStatistics, gram: Array, theory: CoupledTheory | None = None
) -> DeterministicEquivalent:
    """The equivalent of one state's conjugate kernel, that of section 4 where it tends to 0 off the diagonal.

    Args:
        found: the numbers of the cell, at the tau_0 of the data.
        state: its number.
        statistics: of the sample.
        gram: (n, n) array S.
        theory: the true one where left out.

    Raises:
        ValueError: shapes that do not fit.
    """
    which = coupled_theories()["true"] if theory is None else theory
    numbers, tau0 = found.floats(state), float(found.cell.tau0)
    if found.cell.decorrelated[state]:
        coefficients = KernelCoefficients.of(numbers, Kernel.CK)
        return DeterministicEquivalent.from_statistics(statistics, coefficients, tau0=tau0, gram=gram)
    kept = numbers | dict.fromkeys(which.absent, 0.0)
    if "g0" in which.absent:
        # What is subtracted on the diagonal goes with it.
        kept["diagonal"] -= numbers["g0"]
    delta = np.diagonal(gram) - tau0**2 if which.own_norms else statistics.low_rank @ np.append(statistics.t, 1.0)
    return DeterministicEquivalent.about_limit(statistics, kept, delta, tau0=tau0, gram=gram)


def state_parts(
    found: CertifiedStates, state: int, statistics: MixtureStatistics, gram: Array
) -> dict[str, LinearOperator]:
    """What each number contributes to a state's equivalent, by name, as ``numerics.equivalents.equivalent_parts``.

    Args:
        found: the numbers of the cell, at the tau_0 of the data.
        state: its number.
        statistics: of the sample.
        gram: (n, n) array S.
    """
    numbers, tau0 = found.floats(state), float(found.cell.tau0)
    if found.cell.decorrelated[state]:
        return equivalent_parts(KernelCoefficients.of(numbers, Kernel.CK), statistics, tau0, gram)
    names = {"constant": "g0", "linear": "gS", "sum": "gd", "variance": "gdd", "square": "gSS", "squares": "ge"}
    names["diagonal"] = "diagonal"
    zero = dict.fromkeys(names.values(), 0.0)
    return {
        name: DeterministicEquivalent.about_limit(statistics, zero | {key: numbers[key]}, tau0=tau0, gram=gram)
        for name, key in names.items()
    }


@dataclass(frozen=True)
class CoupledStudy:
    """How the errors of the equivalents of a cell's states fall with the dimension.

    Attributes:
        experiment: the data model; its activations and variances play no part.
        deq: the cell; its tau_0 is replaced by that of the data.
        sizes: dimensions p.
        draws: of each size.
        wrong: whether wrong theories are measured as well.
    """

    experiment: Experiment
    deq: CoupledDEQ
    sizes: tuple[int, ...] = (200, 400, 800, 1600)
    draws: int = 16
    wrong: bool = False

    @property
    def theories(self) -> tuple[CoupledTheory, ...]:
        """Those that are measured, the true one first."""
        every = tuple(coupled_theories().values())
        return tuple(t for t in every if len(self.deq.states) > 1 or not t.several) if self.wrong else every[:1]

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
        return numbers | {"states": states, "weights": rows, "theories": [t.identifier for t in self.theories]}

    def cells(self) -> list[dict[str, Any]]:
        """What has to be measured, as plain JSON values: the longest first, so that workers end together."""
        return [{"p": size, "index": index} for size in reversed(self.sizes) for index in range(self.draws)]

    def measure(self, cell: Mapping[str, Any]) -> dict[str, Any]:
        """The distances ||G - Gbar|| of one draw, by theory and state, as plain JSON values.

        Raises:
            EquilibriumError: no stable equilibrium.
            UncertifiedError: the numbers of the cell are not certified.
            KernelConvergenceError: an entry of a kernel has no stable fixed point.
        """
        draw = Cell(cell["p"], cell["index"])
        with threadpoolctl.threadpool_limits(limits=1):
            rng = np.random.default_rng([self.experiment.seed, draw.p, draw.index])
            sample = self.experiment.mixture(draw.p).sample(rng)
            gram, statistics = sample.gram(), sample.statistics()
            deq = self.deq.at(statistics.tau0(self.experiment.reading))
            true = _solved(deq)
            exact = coupled_kernels(gram, deq, [float(mean) for mean in true.means])
            errors: dict[str, list[float]] = {}
            residual = 0.0
            for theory in self.theories:
                found = _solved(theory.cell(deq))
                norms = [
                    operator_norm(kernel - state_equivalent(found, r, statistics, gram, theory).dense(), rng)
                    for r, kernel in enumerate(exact.ck)
                ]
                errors[theory.identifier] = [norm.value for norm in norms]
                residual = max(residual, *(norm.residual for norm in norms))
            sizes = [operator_norm(kernel, rng).value for kernel in exact.ck]
        return {
            "p": draw.p,
            "n": len(gram),
            "index": draw.index,
            "errors": errors,
            "norms": sizes,
            "norm_residual": residual,
            "kernel_residual": exact.evidence.residual,
        }

    def measure_state(self, state: int, draw: Cell, changes: Sequence[float]) -> dict[str, Any]:
        """The distance of one state's kernel on one draw, as plain JSON values.

        Args:
            state: its number.
            draw: of the data.
            changes: relative changes of the equivalent's numbers, with which the norm is computed too.

        Raises:
            EquilibriumError, UncertifiedError, KernelConvergenceError: as of `measure`.
        """
        with threadpoolctl.threadpool_limits(limits=1):
            rng = np.random.default_rng([self.experiment.seed, draw.p, draw.index])
            sample = self.experiment.mixture(draw.p).sample(rng)
            gram, statistics = sample.gram(), sample.statistics()
            deq = self.deq.at(statistics.tau0(self.experiment.reading))
            true = _solved(deq)
            exact = coupled_kernels(gram, deq, [float(mean) for mean in true.means]).ck[state]
            equivalent = state_equivalent(true, state, statistics, gram)
            error = exact - equivalent.dense()
            parts = state_parts(true, state, statistics, gram)
            factors = [-change for change in changes]
            changed = perturbed_norms(error, parts, factors, rng, span=equivalent.factor, full_rank=["linear"])
            wrong = {}
            for theory in self.theories[1:]:
                if theory.concerns(deq, state):
                    other = state_equivalent(_solved(theory.cell(deq)), state, statistics, gram, theory)
                    wrong[theory.identifier] = operator_norm(exact - other.dense(), rng).value
        return {"error": operator_norm(error, rng).value, "changed": changed, "wrong": wrong}

    def ladders(self, measured: Sequence[Mapping[str, Any]], theory: str = "true") -> tuple[Ladder, ...]:
        """What the measured draws say of the rate, a ladder for each state.

        Args:
            measured: what `measure` returned for every cell.
            theory: whose errors.
        """
        found = sorted(measured, key=lambda cell: (cell["p"], cell["index"]))
        ladders = []
        for r, state in enumerate(self.deq.states):
            rows = {size: [cell["errors"][theory][r] for cell in found if cell["p"] == size] for size in self.sizes}
            cells = tuple(_of_state(cell, r, theory) for cell in found)
            rng = np.random.default_rng([self.experiment.seed, self.draws])
            name = state.activation.name if len(self.deq.states) == 1 else f"state {r}: {state.activation.name}"
            ladders.append(Ladder.of(rows, rng, activation=name, cells=cells))
        return tuple(ladders)


def _of_state(cell: Mapping[str, Any], state: int, theory: str) -> dict[str, Any]:
    """What was measured of one state in a draw."""
    kept = {key: cell[key] for key in ("p", "n", "index", "norm_residual", "kernel_residual")}
    return {"state": state, "error": cell["errors"][theory][state], "norm": cell["norms"][state]} | kept
