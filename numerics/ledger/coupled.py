"""Evidence on several states, biases and uncentred activations: distances in operator norm against p.

Theory sheet, section 8.  The cells are fixed: the weights and activations that a user gives are of one centred state.
Each draw's kernels are compared with the equivalents of wrong theories as well, which the test of the rate must refute.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

from numerics.experiments import Cell, CoupledStudy, Experiment, check_rate
from numerics.ledger.checks import Check, Plan, PlantedOutcome, Results, Task, by_size, ladder
from numerics.ledger.rates import CHANGES, ladder_verdict
from theory.claims import Verdict, VerdictKind, coupled_theories
from theory.equations import CoupledDEQ, State

__all__ = ["CHECKS", "coupled_task"]

#: Norm of the class means, with which the next order of the expansion is small.
_MEANS = 3.0
_SEVERAL, _UNCENTRED = "states-rate", "uncentred-rate"


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
_CASES = {_SEVERAL: ("relu, tanh", "swish, relu"), _UNCENTRED: ("relu", "tanh", "relu, swish, tanh")}


def coupled_task(case: str, state: int, p: int, index: int, seed: int) -> dict[str, Any]:
    """Distance ||G - Gbar|| of one state on one draw, with its numbers changed and by wrong theories, as plain values.

    Args:
        case: name of the cell.
        state: its number.
        p: dimension.
        index: number of the draw.
        seed: root of the random numbers.
    """
    study = CoupledStudy(Experiment((), means=_MEANS, seed=seed), _cells()[case], wrong=True)
    return study.measure_state(state, Cell(p, index), CHANGES)


def _ladders(plan: Plan, claim: str) -> list[tuple[str, int, list[Task]]]:
    """Cell, state and tasks of every ladder of a claim."""
    profile = plan.profile
    return [
        (
            case,
            state,
            ladder(
                coupled_task, {"case": case, "state": state, "seed": plan.seed}, profile.rate_sizes, profile.rate_draws
            ),
        )
        for case in _CASES[claim]
        for state in range(len(_cells()[case].states))
    ]


def _subject(case: str, state: int) -> str:
    cell = _cells()[case]
    return case if len(cell.states) == 1 else f"{case}: state {state}"


def _verdicts(plan: Plan, results: Results) -> list[Verdict]:
    return [
        ladder_verdict(claim, _subject(case, state), "", tasks, results, plan)
        for claim in _CASES
        for case, state, tasks in _ladders(plan, claim)
    ]


def _planted(plan: Plan, results: Results) -> Sequence[PlantedOutcome]:
    """Every wrong theory, refuted where the test of the rate refutes it of some state."""
    ladders = [found for claim in _CASES for found in _ladders(plan, claim)]
    return [_outcome(name, ladders, results, plan) for name in coupled_theories() if name != "true"]


def _outcome(
    theory: str, ladders: Sequence[tuple[str, int, list[Task]]], results: Results, plan: Plan
) -> PlantedOutcome:
    best = ("", False, -np.inf)
    for case, state, tasks in ladders:
        if any(theory not in results[task.name]["wrong"] for task in tasks):
            continue
        rows = by_size(tasks, lambda task: float(results[task.name]["wrong"][theory]))
        true = by_size(tasks, lambda task: float(results[task.name]["error"]))
        last = max(rows)
        gaps = np.subtract(rows[last], true[last])
        score = float(gaps.mean() / max(gaps.std(ddof=1) / np.sqrt(gaps.size), 1e-300)) if gaps.size > 1 else 0.0
        report = check_rate(list(rows), list(rows.values()), false_alarm=plan.profile.level, needs_power=False)
        refuted = report.verdict.kind is VerdictKind.REFUTED
        best = max(best, (_subject(case, state), refuted, score), key=lambda one: one[1:])
    return PlantedOutcome(coupled_theories()[theory], best[1], best[0], best[2], float("inf"))


CHECKS = (
    Check(
        (_SEVERAL, _UNCENTRED),
        lambda plan: [task for claim in _CASES for *_, tasks in _ladders(plan, claim) for task in tasks],
        _verdicts,
        _planted,
    ),
)
