"""Evidence on the equivalents' coefficients, from witnesses: what it detects, and the wrong theories it refutes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import sympy as sp

from numerics.ledger.checks import Check, Plan, Results, Task
from numerics.ledger.limits import LimitTest, figures, limit_test, power_list
from numerics.ledger.populations import population
from numerics.ledger.witnesses import (
    Numbers,
    WitnessRecord,
    equivalent_numbers,
    explicit_numbers,
    residuals,
    witness_names,
)
from theory.claims import Statistic, Theory, Verdict, VerdictKind, planted_errors, released_variants, true_theory
from theory.equations import KERNELS

__all__ = [
    "DEQ_CHECK",
    "EXPLICIT_CHECK",
    "VARIANT_CHECK",
    "PlantedOutcome",
    "coefficient_power",
    "deq_cells",
    "planted_outcomes",
    "read_records",
    "theory_test",
    "variant_verdict",
]

#: The data of all witness checks, and the layers of the explicit network.
_DATA = "rich"
_LAYERS = ("relu", "tanh")
#: A coefficient below this is 0, computed with rounding.
_ROUNDING = 1e-12
#: Names of an equivalent's four numbers, as reports call them.
_PARTS = ("linear", "variance", "square", "diagonal")
#: What the released variants and the planted errors are tried on: all its coefficients differ from 0.
_PLANTED_ACTIVATION = "relu"


def _cells(plan: Plan, function: str, arguments: Mapping[str, Any], data: str = _DATA) -> list[Task]:
    profile = plan.profile
    counts = profile.witness_draws if data == _DATA else profile.limit_draws
    return [
        Task(function, {"data": data, **arguments, "p": p, "index": index, "seed": plan.seed}, cost=float(p) ** 2)
        for p, draws in zip(profile.witness_sizes, counts, strict=True)
        for index in range(draws)
    ]


def deq_cells(plan: Plan, activation: str, data: str = _DATA) -> list[Task]:
    """Return the draws of a DEQ's kernels, at the profile's sizes."""
    weights = {"sigma_a2": float(sp.Rational(plan.sigma_a2)), "sigma_b2": float(sp.Rational(plan.sigma_b2))}
    return _cells(plan, "witness", {"activation": activation, **weights}, data)


def _explicit_cells(plan: Plan) -> list[Task]:
    return _cells(plan, "explicit witness", {"activations": list(_LAYERS)})


def read_records(tasks: Sequence[Task], results: Results) -> dict[int, list[WitnessRecord]]:
    """Return the witnesses of the draws by p."""
    found: dict[int, list[WitnessRecord]] = {}
    for task in tasks:
        found.setdefault(int(task.arguments["p"]), []).append(WitnessRecord.from_json(results[task.name]))
    return found


def _test(
    kernel: str,
    numbers: Callable[[float], Numbers],
    records: Mapping[int, Sequence[WitnessRecord]],
    level: float,
    changes: frozenset[Statistic] = frozenset(),
    data: str = _DATA,
) -> LimitTest:
    values = []
    for p, rows in records.items():
        statistics = population(data, p)
        values.append(residuals(kernel, numbers(statistics.tau0), statistics, rows, changes))
    return limit_test(witness_names(2), list(records), values, level=level)


def theory_test(
    theory: Theory,
    activation: str,
    plan: Plan,
    records: Mapping[int, Sequence[WitnessRecord]],
    data: str = _DATA,
) -> LimitTest:
    """Test whether all witnesses of a theory's equivalent vanish as p grows.

    Args:
        theory: right or wrong.
        activation: what the records are of.
        plan: its weight variances and level.
        records: witnesses of the draws at every p.
        data: the mixture that they are of.
    """
    weights = float(sp.Rational(plan.sigma_a2)), float(sp.Rational(plan.sigma_b2))

    def numbers(tau0: float) -> Numbers:
        return equivalent_numbers(theory, activation, *weights, tau0)

    return _test(theory.kernel, numbers, records, plan.profile.level, theory.statistics, data)


def coefficient_power(
    test: LimitTest,
    kernel: str,
    numbers: Callable[[float], Numbers],
    records: Mapping[int, Sequence[WitnessRecord]],
    data: str = _DATA,
) -> dict[str, float | None]:
    """Smallest relative change of each number that is detected with probability 0.9; None where the number is 0.

    Args:
        test: of the numbers as they are.
        kernel: key of the records' kernels.
        numbers: the equivalent's four, from tau_0.
        records: witnesses of the draws at every p.
        data: the mixture that they are of.
    """
    found: dict[str, float | None] = {}
    for position, part in enumerate(_PARTS):

        def changed(tau0: float, position: int = position) -> Numbers:
            old = list(numbers(tau0))
            diagonal = old[3] + tau0**2 * old[0]
            if position == 3:
                old[3] += diagonal
            else:
                old[position] *= 2
                old[3] = diagonal - tau0**2 * old[0]
            return old[0], old[1], old[2], old[3]

        apart = [np.subtract(changed(tau0), numbers(tau0)) for tau0 in (population(data, p).tau0 for p in records)]
        if np.abs(apart).max() < _ROUNDING:
            found[part] = None
            continue
        moved = _test(kernel, changed, records, test.level, data=data)
        found[part] = test.detectable(moved.limits - test.limits)
    return found


def _verdict(claim: str, subject: str, test: LimitTest, power: Mapping[str, float | None]) -> Verdict:
    kind = VerdictKind.REFUTED if test.refuted else VerdictKind.SUPPORTED
    why = f"{test.sentence()}; would detect: {power_list(power)}"
    return Verdict(claim, subject, kind, why, figures(test) | {"power": dict(power)})


# --- the DEQ's kernels ---------------------------------------------------------------------------


def _deq_tasks(plan: Plan) -> list[Task]:
    return [task for activation in plan.witness_activations for task in deq_cells(plan, activation)]


def _judge_deq(plan: Plan, results: Results) -> list[Verdict]:
    weights = float(sp.Rational(plan.sigma_a2)), float(sp.Rational(plan.sigma_b2))
    verdicts = []
    for activation in plan.witness_activations:
        records = read_records(deq_cells(plan, activation), results)
        for kernel in KERNELS:
            if any(kernel not in record.kernels for rows in records.values() for record in rows):
                why = "the NTKs do not exist: sigma_a^2 E[phi'^2] is not below 1"
                verdicts.append(Verdict(kernel, activation, VerdictKind.UNDECIDED, why))
                continue
            theory = true_theory(kernel)
            test = theory_test(theory, activation, plan, records)

            def numbers(tau0: float, theory: Theory = theory, activation: str = activation) -> Numbers:
                return equivalent_numbers(theory, activation, *weights, tau0)

            verdicts.append(_verdict(kernel, activation, test, coefficient_power(test, kernel, numbers, records)))
    return verdicts


DEQ_CHECK = Check(KERNELS, _deq_tasks, _judge_deq)


# --- explicit networks ---------------------------------------------------------------------------


def _judge_explicit(plan: Plan, results: Results) -> list[Verdict]:
    records = read_records(_explicit_cells(plan), results)
    verdicts = []
    for kernel in ("explicit-ck", "explicit-ntk"):

        def numbers(tau0: float, kernel: str = kernel) -> Numbers:
            return explicit_numbers(kernel, _LAYERS, tau0)

        test = _test(kernel, numbers, records, plan.profile.level)
        verdicts.append(
            _verdict(kernel, " then ".join(_LAYERS), test, coefficient_power(test, kernel, numbers, records))
        )
    return verdicts


EXPLICIT_CHECK = Check(("explicit-ck", "explicit-ntk"), _explicit_cells, _judge_explicit)


# --- released variants and planted errors --------------------------------------------------------


def _variant_tasks(plan: Plan) -> list[Task]:
    return deq_cells(plan, _PLANTED_ACTIVATION)


def _judge_variants(plan: Plan, results: Results) -> list[Verdict]:
    return [variant_verdict(variant, plan, results) for variant in released_variants().values()]


def variant_verdict(variant: Theory, plan: Plan, results: Results) -> Verdict:
    """Decide whether a variant of the theory is right; needs the tasks of ``VARIANT_CHECK``."""
    records = read_records(_variant_tasks(plan), results)
    base = theory_test(true_theory(variant.kernel), _PLANTED_ACTIVATION, plan, records)
    test = theory_test(variant, _PLANTED_ACTIVATION, plan, records)
    change = test.limits - base.limits
    floor = float(np.max(np.abs(change)))
    evidence = f"{test.sentence()}; by the theory the norm of its error stays above {floor:.3g} as p grows"
    kind = VerdictKind.REFUTED if test.refuted else VerdictKind.SUPPORTED
    if not test.refuted and floor > 0 and base.detectable(change) > 1:
        kind = VerdictKind.UNDECIDED
        evidence += ", which these draws are too few to see"
    details = figures(test) | {"floor": floor, "description": variant.description, "source": variant.source}
    details |= {"power": {"variant": base.detectable(change) if floor > 0 else None}}
    return Verdict(f"variant-{variant.identifier}", _PLANTED_ACTIVATION, kind, evidence, details)


VARIANT_CHECK = Check(
    tuple(f"variant-{identifier}" for identifier in released_variants()), _variant_tasks, _judge_variants
)


@dataclass(frozen=True)
class PlantedOutcome:
    """What the witness check says of a wrong theory.

    Attributes:
        theory: the wrong theory.
        refuted: whether it is refuted, as it must be.
        witness: the functional that says so.
        score: its limit in standard errors.
        detectable: smallest fraction of the error that would be detected with probability 0.9.
    """

    theory: Theory
    refuted: bool
    witness: str
    score: float
    detectable: float


def planted_outcomes(plan: Plan, results: Results) -> list[PlantedOutcome]:
    """Put every wrong theory of ``theory.claims.variants`` to the witness check; needs the tasks of ``VARIANT_CHECK``."""
    records = read_records(_variant_tasks(plan), results)
    bases = {kernel: theory_test(true_theory(kernel), _PLANTED_ACTIVATION, plan, records) for kernel in KERNELS}
    outcomes = []
    for theory in planted_errors().values():
        test = theory_test(theory, _PLANTED_ACTIVATION, plan, records)
        change = test.limits - bases[theory.kernel].limits
        detectable = bases[theory.kernel].detectable(change) if np.any(change != 0) else float("inf")
        outcomes.append(
            PlantedOutcome(theory, test.refuted, test.names[test.worst], float(test.scores[test.worst]), detectable)
        )
    return outcomes
