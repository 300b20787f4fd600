"""All checks of the ledger, as the modules of evidence declare them, and their tasks and verdicts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from numerics.experiments import NoMatchError
from numerics.kernels import KernelConvergenceError
from numerics.ledger import (
    assumptions,
    coefficients,
    coupled,
    learning,
    literature,
    rates,
    real,
    spectra,
    system,
    twins,
    widths,
)
from numerics.ledger.checks import Check, Plan, Results, Task, with_power
from numerics.moments import MomentAccuracyError, UncertifiedError
from numerics.networks import NonConvergenceError
from numerics.spectrum import SpectralLawError
from theory.claims import CLAIMS, Verdict, VerdictKind
from theory.equations import EquilibriumError

__all__ = [
    "CHECKS",
    "checks_for",
    "failures",
    "judge",
    "run_cell",
    "run_task",
    "tasks_for",
]

#: A module of evidence belongs here; its ``CHECKS`` say which claims it decides.
_EVIDENCE = (system, coefficients, rates, coupled, twins, spectra, widths, learning, assumptions, literature, real)
CHECKS: tuple[Check, ...] = tuple(check for module in _EVIDENCE for check in module.CHECKS)


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


def run_cell(cell: Mapping[str, Any]) -> dict[str, Any]:
    """Do the work of a task that is given as plain values (`Task.cell`), in whatever process."""
    return run_task(Task.from_cell(cell))


def run_task(task: Task) -> dict[str, Any]:
    """Do a task's work; what the theory's assumptions rule out is returned as ``failure``, not raised."""
    try:
        return task.function(**task.arguments)
    except (
        EquilibriumError,
        KernelConvergenceError,
        MomentAccuracyError,
        NoMatchError,
        NonConvergenceError,
        SpectralLawError,
        UncertifiedError,
    ) as error:
        return {"failure": str(error)}
