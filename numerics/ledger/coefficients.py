"""Evidence on the equivalents' coefficients, from witnesses: what it detects, and the wrong theories it refutes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from numerics.arrays import Array
from numerics.ledger.checks import Check, Plan, PlantedOutcome, PlantedSetting, Results, Task, by_size, ladder
from numerics.ledger.control_variates import controlled
from numerics.ledger.limits import (
    LimitTest,
    figures,
    limit_test,
    limit_tests,
    limit_verdict,
    power_of,
    predicted_test,
)
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
    witness_orders,
)
from theory.claims import (
    RELEASED_VARIANTS,
    Theory,
    Verdict,
    VerdictKind,
    released_variants,
    true_theory,
    wrong_theories,
)
from theory.equations import EquilibriumError
from theory.kernels import Kernel, KernelCoefficients

__all__ = [
    "CHECKS",
    "deq_cells",
    "deq_verdict",
    "pilot_cells",
    "planted_outcomes",
    "predicted_powers",
    "read_records",
    "theory_test",
    "theory_tests",
    "variant_verdict",
]

#: The data of all witness checks, and the layers of the explicit network.
_DATA = "rich"
_LAYERS = ("relu", "tanh")
#: The explicit network's kernels, by claim and in the records.
_EXPLICIT = ("explicit-ck", "explicit-ntk")
#: What the released variants are tried on.
_VARIANT_ACTIVATION = "relu"
#: Sizes and draws from which the power against wrong theories is predicted, before their own draws.
_PILOT = ((100, 130, 170, 240, 340), (24, 20, 16, 12, 10))

_NAMES, _ORDERS = witness_names(2), witness_orders(2)

#: An equivalent's coefficients from tau_0.
Coefficients = Callable[[float], KernelCoefficients[float]]


def _cells(
    plan: Plan, function: Callable[..., dict[str, Any]], arguments: Mapping[str, Any], data: str = _DATA
) -> list[Task]:
    profile = plan.profile
    steps = (
        (profile.witness_sizes, profile.witness_draws) if data == _DATA else (profile.limit_sizes, profile.limit_draws)
    )
    return ladder(function, {"data": data, **arguments, "seed": plan.seed}, *steps)


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
    if data != _DATA:
        # There the series is long: less scatter would show the terms that the fit leaves out.
        return limit_test(_NAMES, list(records), values, level=level)
    return limit_test(_NAMES, list(records), _less_controls(values, records), order=_ORDERS, level=level)


def _less_controls(values: Sequence[Array], records: Mapping[int, Sequence[WitnessRecord]]) -> list[Array]:
    """Residuals of each p, less what the control variates explain."""
    return controlled(list(records), values, [np.array([row.controls for row in rows]) for rows in records.values()])


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
    own = [task for activation in plan.witness_activations for task in deq_cells(plan, activation)]
    return own + [task for setting in plan.planted for task in (*pilot_cells(plan, setting), *_cells_of(plan, setting))]


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
    for setting in plan.planted:
        own, records = _plan_of(plan, setting), read_records(_cells_of(plan, setting), results)
        for kernel in Kernel:
            verdict = deq_verdict(kernel, setting.subject, kernel, setting.activation, own, records, setting.data)
            verdicts.append(replace(verdict, activation=""))
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
    return deq_cells(plan, _VARIANT_ACTIVATION)


def _judge_variants(plan: Plan, results: Results) -> list[Verdict]:
    return [variant_verdict(variant, plan, results) for variant in released_variants().values()]


def variant_verdict(variant: Theory, plan: Plan, results: Results) -> Verdict:
    """Decide whether a variant of the theory is right; needs the tasks of the variants' check."""
    records = read_records(_variant_tasks(plan), results)
    base = theory_test(true_theory(variant.kernel), _VARIANT_ACTIVATION, plan, records)
    test = theory_test(variant, _VARIANT_ACTIVATION, plan, records)
    change = test.limits - base.limits
    floor, detectable = float(np.max(np.abs(change))), base.detectable(change)
    evidence = f"{test.sentence()}; by the theory the norm of its error stays above {floor:.3g} as p grows"
    kind = VerdictKind.REFUTED if test.refuted else VerdictKind.SUPPORTED
    if not test.refuted and 1 < detectable < float("inf"):
        kind = VerdictKind.UNDECIDED
        evidence += ", which these draws are too few to see"
    details = figures(test) | {"floor": floor, "description": variant.description, "source": variant.source}
    details |= {"power": {"variant": None if np.isinf(detectable) else detectable}}
    claim, activation = f"variant-{variant.identifier}", _VARIANT_ACTIVATION
    return Verdict(claim, activation, kind, evidence, details, activation)


# --- wrong theories ------------------------------------------------------------------------------


def _cells_of(plan: Plan, setting: PlantedSetting) -> list[Task]:
    """The draws on which the wrong theories are tried."""
    return ladder(witness_cell, {**setting.arguments, "seed": plan.seed}, setting.sizes, setting.draws)


def pilot_cells(plan: Plan, setting: PlantedSetting) -> list[Task]:
    """Draws at small p, from which the power of those of `_cells_of` is predicted."""
    return ladder(witness_cell, {**setting.arguments, "seed": plan.seed}, *_PILOT)


def _plan_of(plan: Plan, setting: PlantedSetting) -> Plan:
    """The plan with a setting's weights."""
    return replace(plan, sigma_a2=setting.sigma_a2, sigma_b2=setting.sigma_b2)


def _all_residuals(
    theories: Sequence[Theory], setting: PlantedSetting, records: Mapping[int, Sequence[WitnessRecord]]
) -> dict[str, list[Array]]:
    """By theory, the residuals at each p; those without a real solution are left out."""
    found = {}
    for theory in theories:
        terms = partial(theory_terms, theory, setting.activation, *setting.weights)
        try:
            rows = [residuals(theory.kernel, terms(population(setting.data, p)), each) for p, each in records.items()]
        except EquilibriumError:
            continue
        found[theory.identifier] = rows
    return found


def theory_tests(
    theories: Sequence[Theory],
    setting: PlantedSetting,
    records: Mapping[int, Sequence[WitnessRecord]],
    level: float,
) -> dict[str, LimitTest]:
    """Test of many theories whether all witnesses of their equivalents vanish as p grows.

    Args:
        theories: right or wrong, of distinct names.
        setting: what the records are of.
        records: witnesses of the draws at every p.
        level: of the test of each theory.

    Returns:
        The tests by the theories' names; those without a real solution are left out.
    """
    found = _all_residuals(theories, setting, records)
    stacked = [np.stack(rows, axis=1) for rows in zip(*found.values(), strict=True)]
    flat = _less_controls([rows.reshape(len(rows), -1) for rows in stacked], records)
    values = [rows.reshape(whole.shape) for rows, whole in zip(flat, stacked, strict=True)]
    tests = limit_tests(_NAMES, list(records), values, order=_ORDERS, level=level)
    return dict(zip(found, tests, strict=True))


def predicted_powers(
    theories: Sequence[Theory],
    setting: PlantedSetting,
    pilot: Mapping[int, Sequence[WitnessRecord]],
    level: float,
) -> dict[str, float]:
    """The smallest part of each theory's error that a setting's draws are to see with probability 0.9.

    Args:
        theories: wrong ones, of distinct names.
        setting: its draws are not needed, only how many there will be.
        pilot: witnesses of other draws, at small p.
        level: of the test of each theory.

    Returns:
        By name; above 1 the draws have no power, and inf stands for an error that changes nothing.
    """
    right = [_named_true(kernel) for kernel in Kernel]
    limits = theory_tests([*right, *theories], setting, pilot, level)
    planned = setting.sizes, setting.draws
    bases = {}
    for theory in right:
        terms = partial(theory_terms, theory, setting.activation, *setting.weights)
        values = [residuals(theory.kernel, terms(population(setting.data, p)), rows) for p, rows in pilot.items()]
        ladder_of = list(pilot), _less_controls(values, pilot)
        bases[theory.kernel] = predicted_test(_NAMES, ladder_of, planned, order=_ORDERS, level=level)
    return {
        theory.identifier: bases[theory.kernel].detectable(
            limits[theory.identifier].limits - limits[_named_true(theory.kernel).identifier].limits
        )
        for theory in theories
        if theory.identifier in limits
    }


def _named_true(kernel: Kernel) -> Theory:
    """The true theory of a kernel, with a name that no other has."""
    return replace(true_theory(kernel), identifier=f"true {kernel}")


def planted_outcomes(plan: Plan, results: Results) -> list[PlantedOutcome]:
    """Put every wrong theory of the equivalents to the witness check, in each of the profile's settings.

    A setting in which the true theory is refuted refutes no other.
    """
    if not plan.planted:
        return []
    theories, level = list(wrong_theories().values()), plan.profile.level / len(plan.planted)
    right = [_named_true(kernel) for kernel in Kernel]
    tried: dict[str, list[PlantedOutcome]] = {theory.identifier: [] for theory in theories}
    for setting in plan.planted:
        records = read_records(_cells_of(plan, setting), results)
        tests = theory_tests([*right, *theories], setting, records, level)
        powers = predicted_powers(theories, setting, read_records(pilot_cells(plan, setting), results), level)
        for theory in theories:
            if theory.identifier in tests:
                base = tests[_named_true(theory.kernel).identifier]
                one = _outcome(theory, setting, base, tests[theory.identifier], powers[theory.identifier])
                tried[theory.identifier].append(one)
    return [_best(theory, tried[theory.identifier]) for theory in theories]


def _outcome(
    theory: Theory, setting: PlantedSetting, base: LimitTest, test: LimitTest, predicted: float
) -> PlantedOutcome:
    """What one setting says of a wrong theory."""
    refuted = test.refuted and not base.refuted
    name, score = f"{test.names[test.worst]}, {setting.activation}", float(test.scores[test.worst])
    return PlantedOutcome(theory, refuted, name, score, base.detectable(test.limits - base.limits), predicted)


def _best(theory: Theory, tried: Sequence[PlantedOutcome]) -> PlantedOutcome:
    """What all settings say of it; what has a real solution in none is refuted by that."""
    if not tried:
        return PlantedOutcome(theory, True, "none: no real solution", 0.0, 0.0, 0.0)
    seen = max(tried, key=lambda one: (one.refuted, abs(one.score)))
    least = min(one.detectable for one in tried), min(one.predicted for one in tried if one.predicted is not None)
    return replace(seen, detectable=least[0], predicted=least[1])


CHECKS = (
    Check(tuple(Kernel), _deq_tasks, _judge_deq, planted_outcomes),
    Check(_EXPLICIT, _explicit_cells, _judge_explicit),
    Check(tuple(f"variant-{name}" for name in RELEASED_VARIANTS), _variant_tasks, _judge_variants),
)
