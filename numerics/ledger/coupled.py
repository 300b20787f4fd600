"""Evidence on several states, biases and uncentred activations: distances in operator norm against p.

Theory sheet, section 8.  The cells are fixed unless a user describes one: other weights and activations that a user
gives are of one centred state.  Each draw's kernels are compared with the equivalents of wrong theories as well, which
the test of the rate must refute.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from numerics.equilibrium import certify_states
from numerics.experiments import Cell, CoupledStudy, Experiment, check_rate
from numerics.ledger.checks import Check, Plan, PlantedOutcome, Results, Task, by_size, ladder
from numerics.ledger.rates import CHANGES, ladder_verdict
from theory.claims import Verdict, VerdictKind, coupled_theories
from theory.equations import TRAINED, CoupledDEQ, State, TrainedWeights

__all__ = ["CHECKS", "CLAIMS_ON_CELLS", "cell_claims", "coupled_task", "described_task"]

#: Norm of the class means, with which the next order of the expansion is small.
_MEANS = 3.0
_SEVERAL, _UNCENTRED, _TANGENT = "states-rate", "uncentred-rate", "states-ntk-rate"
#: Name of the NTK among a study's kernels.
_NTK = "ntk"


#: The claims that are about cells.
CLAIMS_ON_CELLS = (_SEVERAL, _UNCENTRED, _TANGENT)


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
        subject: what it is about.
        kernel: of the cell, by its name in ``CoupledStudy.kernels``.
        tasks: draws.
    """

    claim: str
    subject: str
    kernel: str
    tasks: list[Task]

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
    return _measured(_cells()[case], case in _CASES[_TANGENT], Cell(p, index), seed, wrong=True)


def described_task(cell: Mapping[str, Any], tangent: bool, p: int, index: int, seed: int) -> dict[str, Any]:
    """The same of a cell that a user describes, without wrong theories.

    Args:
        cell: its description (``CoupledDEQ.mapping``).
        tangent: whether its NTK is measured too.
        p: dimension.
        index: number of the draw.
        seed: root of the random numbers.
    """
    return _measured(CoupledDEQ.from_mapping(cell), tangent, Cell(p, index), seed, wrong=False)


def _measured(cell: CoupledDEQ, tangent: bool, draw: Cell, seed: int, *, wrong: bool) -> dict[str, Any]:
    trained = TrainedWeights.of(cell, TRAINED) if tangent else None
    return CoupledStudy(_experiment(seed), cell, wrong=wrong, trained=trained).measure_changes(draw, CHANGES)


def _experiment(seed: int) -> Experiment:
    return Experiment((), means=_MEANS, seed=seed)


def _ladders(plan: Plan) -> list[_Case]:
    if plan.cell is not None:
        return _of_described(plan, plan.cell)
    found = []
    for claim, cells in _CASES.items():
        for name in cells:
            states = range(len(_cells()[name].states))
            tasks = _tasks(plan, coupled_task, case=name)
            if claim == _TANGENT:
                found.append(_Case(claim, f"{name}: NTK", _NTK, tasks))
            else:
                subject = name if len(states) == 1 else f"{name}: state {{}}"
                found += [_Case(claim, subject.format(state), str(state), tasks) for state in states]
    return found


def _tasks(plan: Plan, function: Callable[..., dict[str, Any]], **arguments: Any) -> list[Task]:
    profile = plan.profile
    return ladder(function, {**arguments, "seed": plan.seed}, profile.rate_sizes, profile.rate_draws)


def _of_described(plan: Plan, cell: CoupledDEQ) -> list[_Case]:
    """A ladder for the CK of every state, and one for the NTK where there is one."""
    tangent = _TANGENT in cell_claims(plan, cell)
    tasks = _tasks(plan, described_task, cell=cell.mapping, tangent=tangent)
    names = [state.activation.name for state in cell.states]
    found = [
        _Case(_SEVERAL if plain else _UNCENTRED, f"state {state}: {names[state]}", str(state), tasks)
        for state, plain in enumerate(cell.decorrelated)
    ]
    return found + [_Case(_TANGENT, f"state {cell.readout}: {names[cell.readout]}, NTK", _NTK, tasks)] * tangent


def cell_claims(plan: Plan, cell: CoupledDEQ) -> tuple[str, ...]:
    """Return the claims that are about a cell.

    Args:
        plan: what is asked, at whose sizes the NTK has to exist.
        cell: the cell.

    Raises:
        EquilibriumError: it has no stable equilibrium at the tau_0 of the data.
        UncertifiedError: its numbers are not certified.
    """
    plain = cell.decorrelated
    found = [_SEVERAL] if any(plain) else []
    found += [] if all(plain) else [_UNCENTRED]
    return (*found, _TANGENT) if _has_tangent(cell, plan.profile.rate_sizes) else tuple(found)


@cache
def _has_tangent(cell: CoupledDEQ, sizes: tuple[int, ...]) -> bool:
    """Whether the NTK exists at the tau_0 of the data of every size."""
    scales = (_experiment(0).mixture(p).tau0 for p in sizes)
    margins = [certify_states(cell.at(scale)).margins.get("ntk") for scale in scales]
    return all(margin is not None and bool(margin < 1) for margin in margins)


def _verdicts(plan: Plan, results: Results) -> list[Verdict]:
    return [
        ladder_verdict(case.claim, case.subject, "", case.tasks, case.own(results), plan) for case in _ladders(plan)
    ]


def _planted(plan: Plan, results: Results) -> Sequence[PlantedOutcome]:
    """Every wrong theory, refuted where the test of the rate refutes it of some kernel; none for a user's own cell."""
    if plan.cell is not None:
        return []
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
