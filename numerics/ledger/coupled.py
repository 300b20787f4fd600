"""Evidence on several states, biases and uncentred activations: distances in operator norm against p.

Theory sheet, section 8.  The cells are fixed: the weights and activations that a user gives are of one centred state.
Each draw's kernels are compared with the equivalents of wrong theories as well, which the test of the rate must refute.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from numerics.experiments import Cell, CoupledStudy, Experiment, check_rate
from numerics.ledger.checks import Check, Plan, PlantedOutcome, Results, Task, by_size, ladder
from numerics.ledger.rates import CHANGES, ladder_verdict
from theory.claims import Verdict, VerdictKind, coupled_theories
from theory.equations import TRAINED, CoupledDEQ, State, TrainedWeights

__all__ = ["CHECKS", "coupled_task"]

#: Norm of the class means, with which the next order of the expansion is small.
_MEANS = 3.0
_SEVERAL, _UNCENTRED, _TANGENT = "states-rate", "uncentred-rate", "states-ntk-rate"
#: Name of the NTK among a study's kernels.
_NTK = "ntk"


@cache
def _cells() -> dict[str, CoupledDEQ]:
    """The cells that are tried, by name; those of theory sheet section 8, and one of everything together."""
    return {
        "relu, tanh": CoupledDEQ([State("relu", "1/2"), State("tanh", "1/2")], [["1/5", "3/10"], ["1/2", 0]]),
        "swish, relu": CoupledDEQ([State("swish", "4/5"), State("relu", 0)], [[0, "3/5"], ["9/10", 0]]),
        "relu": CoupledDEQ([State("relu", "3/5", "1/10", centred=False)], [["2/5"]]),
        "tanh": CoupledDEQ([State("tanh", "2/5", "1/5", centred=False)], [["3/5"]]),
        "relu, swish, tanh": CoupledDEQ(
            [State("relu", "1/2", "1/10", centred=False), State("swish", "2/5"), State("tanh", 0, "1/5")],
            [["1/10", "3/10", 0], ["2/5", 0, "1/5"], ["1/2", 0, "1/10"]],
        ),
    }


#: By claim, the cells that decide it.
_CASES = {
    _SEVERAL: ("relu, tanh", "swish, relu"),
    _UNCENTRED: ("relu", "tanh", "relu, swish, tanh"),
    _TANGENT: ("relu, tanh", "swish, relu", "relu, swish, tanh"),
}


@dataclass(frozen=True)
class _Case:
    """A ladder: the errors of one kernel of a cell.

    Attributes:
        claim: what it decides.
        cell: name of the cell.
        kernel: of the cell, by its name in ``CoupledStudy.kernels``.
        tasks: draws.
    """

    claim: str
    cell: str
    kernel: str
    tasks: list[Task]

    @property
    def subject(self) -> str:
        """What it is about."""
        if self.kernel == _NTK:
            return f"{self.cell}: NTK"
        return self.cell if len(_cells()[self.cell].states) == 1 else f"{self.cell}: state {self.kernel}"

    def own(self, results: Results) -> Results:
        """What the tasks say of the kernel."""
        return {task.name: results[task.name][self.kernel] for task in self.tasks}


def coupled_task(case: str, p: int, index: int, seed: int) -> dict[str, Any]:
    """Distances ||K - Kbar|| of a cell's kernels on one draw, as plain values, by the kernels' names.

    With each kernel's numbers changed too, and by wrong theories.

    Args:
        case: name of the cell.
        p: dimension.
        index: number of the draw.
        seed: root of the random numbers.
    """
    cell = _cells()[case]
    trained = TrainedWeights.of(cell, TRAINED) if case in _CASES[_TANGENT] else None
    study = CoupledStudy(Experiment((), means=_MEANS, seed=seed), cell, wrong=True, trained=trained)
    return study.measure_changes(Cell(p, index), CHANGES)


def _ladders(plan: Plan) -> list[_Case]:
    profile, found = plan.profile, []
    for claim, cells in _CASES.items():
        for name in cells:
            arguments = {"case": name, "seed": plan.seed}
            tasks = ladder(coupled_task, arguments, profile.rate_sizes, profile.rate_draws)
            states = map(str, range(len(_cells()[name].states)))
            kernels = [_NTK] if claim == _TANGENT else states
            found += [_Case(claim, name, kernel, tasks) for kernel in kernels]
    return found


def _verdicts(plan: Plan, results: Results) -> list[Verdict]:
    return [
        ladder_verdict(case.claim, case.subject, "", case.tasks, case.own(results), plan) for case in _ladders(plan)
    ]


def _planted(plan: Plan, results: Results) -> Sequence[PlantedOutcome]:
    """Every wrong theory, refuted where the test of the rate refutes it of some kernel."""
    return [_outcome(name, _ladders(plan), results, plan) for name in coupled_theories() if name != "true"]


def _outcome(theory: str, ladders: Sequence[_Case], results: Results, plan: Plan) -> PlantedOutcome:
    best = ("", False, -np.inf)
    for case in ladders:
        own = case.own(results)
        if any(theory not in own[task.name]["wrong"] for task in case.tasks):
            continue
        rows = by_size(case.tasks, lambda task, own=own: float(own[task.name]["wrong"][theory]))  # type: ignore[misc]
        true = by_size(case.tasks, lambda task, own=own: float(own[task.name]["error"]))  # type: ignore[misc]
        last = max(rows)
        gaps = np.subtract(rows[last], true[last])
        score = float(gaps.mean() / max(gaps.std(ddof=1) / np.sqrt(gaps.size), 1e-300)) if gaps.size > 1 else 0.0
        report = check_rate(list(rows), list(rows.values()), false_alarm=plan.profile.level, needs_power=False)
        refuted = report.verdict.kind is VerdictKind.REFUTED
        best = max(best, (case.subject, refuted, score), key=lambda one: one[1:])
    return PlantedOutcome(coupled_theories()[theory], best[1], best[0], best[2], float("inf"))


CHECKS = (
    Check(
        tuple(_CASES),
        lambda plan: [task for case in _ladders(plan) for task in case.tasks],
        _verdicts,
        _planted,
    ),
)
