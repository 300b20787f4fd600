"""All checks of the ledger, and the claims that each decides."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any

from numerics.kernels import KernelConvergenceError
from numerics.ledger.assumptions import ASSUMPTION_CHECK, UNSTABLE_CHECK, past_the_fold_task
from numerics.ledger.checks import Check, Plan, Results, Task, with_power
from numerics.ledger.coefficients import DEQ_CHECK, EXPLICIT_CHECK, VARIANT_CHECK
from numerics.ledger.rates import (
    FINITE_CHECK,
    NTK_RATE_CHECK,
    RATE_CHECK,
    READING_CHECK,
    UNIVERSALITY_CHECK,
    distance_task,
    width_task,
)
from numerics.ledger.spectra import SPECTRUM_CHECK, TRANSITION_CHECK, side_task, transition_task
from numerics.ledger.spectral_witnesses import spectrum_cell
from numerics.ledger.system import (
    EQUILIBRIUM_CHECK,
    PROOF_CHECK,
    TIED_CHECK,
    equilibrium_task,
    proof_task,
    tied_layers_task,
)
from numerics.ledger.twins import FEW_CHECK, few_task
from numerics.ledger.witnesses import explicit_witness_cell, witness_cell
from numerics.moments import MomentAccuracyError
from numerics.networks import NonConvergenceError
from numerics.parameters import EquilibriumError
from numerics.spectrum import SpectralLawError
from theory.claims import CLAIMS, Verdict, VerdictKind

__all__ = [
    "CHECKS",
    "TASKS",
    "checks_for",
    "failures",
    "judge",
    "run_task",
    "tasks_for",
]

CHECKS: tuple[Check, ...] = (
    PROOF_CHECK,
    EQUILIBRIUM_CHECK,
    TIED_CHECK,
    DEQ_CHECK,
    EXPLICIT_CHECK,
    VARIANT_CHECK,
    RATE_CHECK,
    NTK_RATE_CHECK,
    READING_CHECK,
    FINITE_CHECK,
    UNIVERSALITY_CHECK,
    FEW_CHECK,
    SPECTRUM_CHECK,
    TRANSITION_CHECK,
    ASSUMPTION_CHECK,
    UNSTABLE_CHECK,
)


def checks_for(claims: Iterable[str]) -> tuple[Check, ...]:
    """Return the checks that decide some claims, in the ledger's order."""
    wanted = set(claims)
    return tuple(check for check in CHECKS if wanted & set(check.claims))


def tasks_for(checks: Iterable[Check], plan: Plan) -> list[Task]:
    """Return what the checks need computed, each task once, the longest first."""
    found = {task.name: task for check in checks for task in check.tasks(plan)}
    return sorted(found.values(), key=lambda task: (-task.cost, task.name))


def failures(checks: Iterable[Check], plan: Plan, results: Results) -> list[str]:
    """Return why tasks of the checks could not be done, each reason once."""
    found = (results[task.name].get("failure") for check in checks for task in check.tasks(plan))
    return list(dict.fromkeys(reason for reason in found if reason))


def judge(checks: Iterable[Check], plan: Plan, results: Results, claims: Iterable[str]) -> list[Verdict]:
    """Return the verdicts on some claims, in the ledger's order; what could not be computed is undecided.

    So is what a test without power supports (`numerics.ledger.with_power`).
    """
    wanted = set(claims)
    verdicts: list[Verdict] = []
    for check in checks:
        failed = failures([check], plan, results)
        if failed:
            verdicts += [Verdict(claim, "", VerdictKind.UNDECIDED, failed[0]) for claim in check.claims]
        else:
            verdicts += map(with_power, check.judge(plan, results))
    order = {claim: position for position, claim in enumerate(CLAIMS)}
    return sorted((verdict for verdict in verdicts if verdict.claim in wanted), key=lambda one: order[one.claim])


TASKS: Mapping[str, Callable[..., dict[str, Any]]] = MappingProxyType(
    {
        "proof": proof_task,
        "equilibrium": equilibrium_task,
        "tied layers": tied_layers_task,
        "witness": witness_cell,
        "explicit witness": explicit_witness_cell,
        "distance": distance_task,
        "width distance": width_task,
        "few": few_task,
        "spectrum": spectrum_cell,
        "transition": transition_task,
        "transition side": side_task,
        "past the fold": past_the_fold_task,
    }
)


def run_task(task: Task) -> dict[str, Any]:
    """Do a task's work; what the theory's assumptions rule out is returned as ``failure``, not raised.

    Raises:
        KeyError: there is no such function.
    """
    function = TASKS[task.function]
    try:
        return function(**task.arguments)
    except (
        EquilibriumError,
        KernelConvergenceError,
        MomentAccuracyError,
        NonConvergenceError,
        SpectralLawError,
    ) as error:
        return {"failure": str(error)}
