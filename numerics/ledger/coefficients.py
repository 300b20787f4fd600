"""Evidence on the equivalents' coefficients, from witnesses: what it detects, and the wrong theories it refutes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from numerics.ledger.checks import Check, Plan, PlantedOutcome, Results, Task, by_size, ladder
from numerics.ledger.limits import LimitTest, figures, limit_test, limit_verdict, power_of
from numerics.ledger.populations import PopulationStatistics, population
from numerics.ledger.witnesses import (
    EquivalentTerms,
    WitnessRecord,
    coefficients_of,
    explicit_coefficients,
    explicit_witness_cell,
    residuals,
    terms_of,
    theory_terms,
    witness_cell,
    witness_names,
)
from theory.claims import (
    RELEASED_VARIANTS,
    Theory,
    Verdict,
    VerdictKind,
    planted_errors,
    released_variants,
    true_theory,
)
from theory.kernels import Kernel, KernelCoefficients

__all__ = [
    "CHECKS",
    "deq_cells",
    "deq_verdict",
    "planted_outcomes",
    "read_records",
    "theory_test",
    "variant_verdict",
]

#: The data of all witness checks, and the layers of the explicit network.
_DATA = "rich"
_LAYERS = ("relu", "tanh")
#: The explicit network's kernels, by claim and in the records.
_EXPLICIT = ("explicit-ck", "explicit-ntk")
#: What the released variants and the planted errors are tried on: all its coefficients differ from 0.
_PLANTED_ACTIVATION = "relu"

#: An equivalent's coefficients from tau_0.
Coefficients = Callable[[float], KernelCoefficients[float]]


def _cells(
    plan: Plan, function: Callable[..., dict[str, Any]], arguments: Mapping[str, Any], data: str = _DATA
) -> list[Task]:
    counts = plan.profile.witness_draws if data == _DATA else plan.profile.limit_draws
    return ladder(function, {"data": data, **arguments, "seed": plan.seed}, plan.profile.witness_sizes, counts)


def deq_cells(plan: Plan, activation: str, data: str = _DATA) -> list[Task]:
    """Return the draws of a DEQ's kernels, at the profile's sizes."""
    return _cells(plan, witness_cell, {"activation": activation, **plan.float_weights}, data)


def _explicit_cells(plan: Plan) -> list[Task]:
    return _cells(plan, explicit_witness_cell, {"activations": list(_LAYERS)})


def read_records(tasks: Sequence[Task], results: Results) -> dict[int, list[WitnessRecord]]:
    """Return the witnesses of the draws by p."""
    return by_size(tasks, lambda task: WitnessRecord.from_json(results[task.name]))


def _test(
    kernel: str,
    terms: Callable[[PopulationStatistics], EquivalentTerms],
    records: Mapping[int, Sequence[WitnessRecord]],
    level: float,
    data: str = _DATA,
) -> LimitTest:
    values = [residuals(kernel, terms(population(data, p)), rows) for p, rows in records.items()]
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

    Raises:
        EquilibriumError: a wrong theory's equation of tau has no root near the right one.
    """
    weights = plan.float_weights
    terms = partial(theory_terms, theory, activation, weights["sigma_a2"], weights["sigma_b2"])
    return _test(theory.kernel, terms, records, plan.profile.level, data)


def deq_verdict(
    claim: str,
    subject: str,
    kernel: Kernel,
    activation: str,
    plan: Plan,
    records: Mapping[int, Sequence[WitnessRecord]],
    data: str = _DATA,
) -> Verdict:
    """The verdict on the equivalent of a DEQ's kernel.

    Args:
        claim: identifier of the claim.
        subject: what it was checked on.
        kernel: which kernel.
        activation: what the records are of.
        plan: its weight variances and level.
        records: witnesses of the draws at every p.
        data: the mixture that they are of.
    """
    weights = plan.float_weights
    coefficients = partial(coefficients_of, true_theory(kernel), activation, weights["sigma_a2"], weights["sigma_b2"])
    return _verdict(claim, subject, kernel, coefficients, plan, records, data, activation=activation)


def _verdict(
    claim: str,
    subject: str,
    kernel: str,
    coefficients: Coefficients,
    plan: Plan,
    records: Mapping[int, Sequence[WitnessRecord]],
    data: str = _DATA,
    *,
    activation: str,
) -> Verdict:
    """The verdict on an equivalent with these coefficients; the power is found by doubling each."""

    def test(part: str = "") -> LimitTest:
        def terms(statistics: PopulationStatistics) -> EquivalentTerms:
            found = coefficients(statistics.tau0)
            return terms_of(replace(found, **{part: 2 * getattr(found, part)}) if part else found, statistics)

        return _test(kernel, terms, records, plan.profile.level, data)

    true = test()
    return limit_verdict(claim, subject, true, power_of(true, test), activation=activation)


# --- the DEQ's kernels ---------------------------------------------------------------------------


def _deq_tasks(plan: Plan) -> list[Task]:
    return [task for activation in plan.witness_activations for task in deq_cells(plan, activation)]


def _judge_deq(plan: Plan, results: Results) -> list[Verdict]:
    verdicts = []
    for activation in plan.witness_activations:
        records = read_records(deq_cells(plan, activation), results)
        for kernel in Kernel:
            if any(kernel not in record.kernels for rows in records.values() for record in rows):
                why = "the NTKs do not exist: sigma_a^2 E[phi'^2] is not below 1"
                verdicts.append(Verdict(kernel, activation, VerdictKind.UNDECIDED, why, activation=activation))
            else:
                verdicts.append(deq_verdict(kernel, activation, kernel, activation, plan, records))
    return verdicts


# --- explicit networks ---------------------------------------------------------------------------


def _judge_explicit(plan: Plan, results: Results) -> list[Verdict]:
    records = read_records(_explicit_cells(plan), results)
    verdicts = []
    for kernel in _EXPLICIT:
        coefficients = partial(explicit_coefficients, kernel, _LAYERS)
        verdicts.append(_verdict(kernel, " then ".join(_LAYERS), kernel, coefficients, plan, records, activation=""))
    return verdicts


# --- released variants and planted errors --------------------------------------------------------


def _variant_tasks(plan: Plan) -> list[Task]:
    return deq_cells(plan, _PLANTED_ACTIVATION)


def _judge_variants(plan: Plan, results: Results) -> list[Verdict]:
    return [variant_verdict(variant, plan, results) for variant in released_variants().values()]


def variant_verdict(variant: Theory, plan: Plan, results: Results) -> Verdict:
    """Decide whether a variant of the theory is right; needs the tasks of the variants' check."""
    records = read_records(_variant_tasks(plan), results)
    base = theory_test(true_theory(variant.kernel), _PLANTED_ACTIVATION, plan, records)
    test = theory_test(variant, _PLANTED_ACTIVATION, plan, records)
    change = test.limits - base.limits
    floor, detectable = float(np.max(np.abs(change))), base.detectable(change)
    evidence = f"{test.sentence()}; by the theory the norm of its error stays above {floor:.3g} as p grows"
    kind = VerdictKind.REFUTED if test.refuted else VerdictKind.SUPPORTED
    if not test.refuted and 1 < detectable < float("inf"):
        kind = VerdictKind.UNDECIDED
        evidence += ", which these draws are too few to see"
    details = figures(test) | {"floor": floor, "description": variant.description, "source": variant.source}
    details |= {"power": {"variant": None if np.isinf(detectable) else detectable}}
    claim, activation = f"variant-{variant.identifier}", _PLANTED_ACTIVATION
    return Verdict(claim, activation, kind, evidence, details, activation)


def planted_outcomes(plan: Plan, results: Results) -> list[PlantedOutcome]:
    """Put every wrong theory of the equivalents to the witness check; needs the tasks of the variants' check."""
    records = read_records(_variant_tasks(plan), results)
    bases = {kernel: theory_test(true_theory(kernel), _PLANTED_ACTIVATION, plan, records) for kernel in Kernel}
    outcomes = []
    for theory in planted_errors().values():
        test = theory_test(theory, _PLANTED_ACTIVATION, plan, records)
        detectable = bases[theory.kernel].detectable(test.limits - bases[theory.kernel].limits)
        outcomes.append(
            PlantedOutcome(theory, test.refuted, test.names[test.worst], float(test.scores[test.worst]), detectable)
        )
    return outcomes


CHECKS = (
    Check(tuple(Kernel), _deq_tasks, _judge_deq),
    Check(_EXPLICIT, _explicit_cells, _judge_explicit),
    Check(tuple(f"variant-{name}" for name in RELEASED_VARIANTS), _variant_tasks, _judge_variants, planted_outcomes),
)
