"""Evidence on spectra: bulk, isolated eigenvalues and their phase transition, from exact kernels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
import sympy as sp

from numerics.equilibrium import FloatEquilibrium
from numerics.experiments import Experiment, measure, predict
from numerics.ledger.checks import Check, Plan, PlantedOutcome, Results, Task, by_size, ladder
from numerics.ledger.limits import LimitTest, limit_test, limit_verdict, power_of
from numerics.ledger.spectral_witnesses import (
    Setting,
    SpectrumRecord,
    law_of,
    ranks_of,
    spectral_residuals,
    spectrum_cell,
    spectrum_names,
    spectrum_walls,
)
from numerics.spectrum import SpectralLaw, phase_transition
from theory.activations import Activation, resolve
from theory.claims import Theory, Verdict, VerdictKind, planted_spectral_errors, true_theory
from theory.kernels import Kernel

__all__ = [
    "CHECKS",
    "planted_spectra",
    "side_task",
    "transition_task",
]

#: The data of the isolated eigenvalues, and of the bulk: the sheet's shift of 20/sqrt(p) makes a long series in
#: p^(-1/2), too long for the traces, which scatter so little.
_DATA = ("sheet", "uneven")
_BULK_DATA = ("uneven",)
#: What the wrong theories are tried on, data in which the classes differ in everything: alpha_1 shows in ReLU's bulk,
#: alpha_2 and alpha_3 in isolated eigenvalues where alpha_1 is small.
_PLANTED_DATA = "uneven"
_PLANTED_ACTIVATIONS = ("relu", "Abs(x) + x/5")
#: Relative change of a coefficient by which its effect on the spectrum is found.
_CHANGE = 0.01
#: The mean's norm below and above the transition, in units of the critical one.
_SIDES = (0.6, 1.5)
_TRANSITION_DRAWS = 6


# --- bulk and outliers ---------------------------------------------------------------------------


def _setting(plan: Plan, data: str, activation: str) -> Setting:
    return Setting(data, activation, **plan.float_weights)


def _cells(plan: Plan, data: str, activation: str) -> list[Task]:
    common = {**vars(_setting(plan, data, activation)), "seed": plan.seed}
    return ladder(spectrum_cell, common, plan.profile.spectrum_sizes, plan.profile.spectrum_draws, cost=3.0)


def _spectrum_tasks(plan: Plan) -> list[Task]:
    tasks = [task for data in _DATA for task in _cells(plan, data, plan.rate_activations[0])]
    return tasks + [task for text in _PLANTED_ACTIVATIONS for task in _cells(plan, _PLANTED_DATA, text)]


def _records(plan: Plan, results: Results, data: str, activation: str) -> dict[int, list[SpectrumRecord]]:
    return by_size(_cells(plan, data, activation), lambda task: SpectrumRecord.from_json(results[task.name]))


def _test(
    laws: Mapping[int, SpectralLaw],
    setting: Setting,
    records: Mapping[int, Sequence[SpectrumRecord]],
    ranks: tuple[int, int],
    level: float,
    *,
    bulk: bool,
) -> LimitTest:
    values = [spectral_residuals(laws[p], setting, p, rows, ranks, bulk=bulk) for p, rows in records.items()]
    names = spectrum_names(ranks, bulk=bulk)
    return limit_test(names, list(records), values, order=min(2, len(records) - 2), level=level)


def _laws(theory: Theory, setting: Setting, sizes: Sequence[int], part: str = "") -> dict[int, SpectralLaw]:
    return {p: law_of(theory, setting, p, part, _CHANGE if part else 0.0) for p in sizes}


def _power(
    test: LimitTest,
    setting: Setting,
    records: Mapping[int, Sequence[SpectrumRecord]],
    ranks: tuple[int, int],
    *,
    bulk: bool,
) -> dict[str, float | None]:
    """Smallest relative change of each number that is detected with probability 0.9; None where it has no effect."""

    def changed(part: str) -> LimitTest:
        laws = _laws(true_theory("ck"), setting, list(records), part)
        return _test(laws, setting, records, ranks, test.level, bulk=bulk)

    return power_of(test, changed, _CHANGE)


def _judge_spectrum(plan: Plan, results: Results) -> list[Verdict]:
    verdicts = []
    for data in _DATA:
        setting = _setting(plan, data, plan.rate_activations[0])
        records = _records(plan, results, data, setting.activation)
        laws = _laws(true_theory("ck"), setting, list(records))
        verdicts.append(_outliers(setting, records, laws, plan))
        verdicts += [_bulk(setting, records, laws, plan)] if data in _BULK_DATA else []
    return verdicts


def _subject(setting: Setting) -> str:
    return f"{setting.activation}, {setting.data} data"


def _outliers(
    setting: Setting, records: Mapping[int, Sequence[SpectrumRecord]], laws: Mapping[int, SpectralLaw], plan: Plan
) -> Verdict:
    # An eigenvalue may leave the bulk within the ladder: those that are out at every p are compared.
    ranks = ranks_of(list(laws.values()))
    if not any(ranks):
        why = "no isolated eigenvalue is predicted at every p of the ladder"
        return Verdict("outliers", _subject(setting), VerdictKind.UNDECIDED, why, {}, setting.activation)
    test = _test(laws, setting, records, ranks, plan.profile.level, bulk=False)
    power = _power(test, setting, records, ranks, bulk=False)
    last = max(records)
    differences = spectral_residuals(laws[last], setting, last, records[last], ranks, bulk=False)
    measured = np.array([[*r.largest[: ranks[0]], *r.smallest[: ranks[1]]] for r in records[last]])
    errors = measured.std(axis=0, ddof=1) / np.sqrt(len(measured))
    predicted, means = (measured - differences)[0], measured.mean(axis=0)
    shown = ", ".join(
        f"{name}: predicted {predicted[k]:.4g}, measured {means[k]:.4g} +- {errors[k]:.1g}"
        for k, name in enumerate(test.names)
    )
    before = f"at p = {last}, {shown}; "
    return limit_verdict("outliers", _subject(setting), test, power, activation=setting.activation, before=before)


def _bulk(
    setting: Setting, records: Mapping[int, Sequence[SpectrumRecord]], laws: Mapping[int, SpectralLaw], plan: Plan
) -> Verdict:
    test = _test(laws, setting, records, (0, 0), plan.profile.level, bulk=True)
    power = _power(test, setting, records, (0, 0), bulk=True)
    means = ", ".join(f"{np.mean([row.ks for row in rows]):.3g}" for rows in records.values())
    before = f"Kolmogorov distance {means} at p = {', '.join(map(str, records))}; "
    verdict = limit_verdict("bulk", _subject(setting), test, power, activation=setting.activation, before=before)
    last = max(records)
    return replace(verdict, details={**verdict.details, "spectrum": _picture(laws[last], last, records[last])})


def _picture(law: SpectralLaw, p: int, records: Sequence[SpectrumRecord]) -> dict[str, Any]:
    """Measured and predicted densities, as means over bins, and isolated eigenvalues, for a report to draw."""
    walls = spectrum_walls(law)
    widths = np.diff(walls)
    shares = np.diff(law.cumulative(walls))
    counts = np.sum([record.counts for record in records], axis=0)
    ranks = ranks_of([law])
    isolated = [[*record.largest[: ranks[0]], *record.smallest[: ranks[1]]] for record in records]
    return {
        "p": p,
        "draws": len(records),
        "walls": walls.tolist(),
        "measured": (counts / (len(records) * law.population.samples * widths)).tolist(),
        "predicted": (shares / widths).tolist(),
        "isolated": [float(value) for row in isolated for value in row],
        "outliers": law.outlier_values.tolist(),
    }


def planted_spectra(plan: Plan, results: Results) -> list[PlantedOutcome]:
    """Put every wrong theory of the spectrum to the checks of bulk and outliers; needs their tasks."""
    return [_planted_outcome(theory, plan, results) for theory in planted_spectral_errors().values()]


def _planted_outcome(theory: Theory, plan: Plan, results: Results) -> PlantedOutcome:
    level = plan.profile.level / len(_PLANTED_ACTIVATIONS)
    tried = []
    for text in _PLANTED_ACTIVATIONS:
        setting, records = _setting(plan, _PLANTED_DATA, text), _records(plan, results, _PLANTED_DATA, text)
        true, wrong = (_laws(one, setting, list(records)) for one in (true_theory("ck"), theory))
        counts = ranks_of(list(true.values())), ranks_of(list(wrong.values()))
        ranks = max(right for right, _ in counts), max(left for _, left in counts)
        base = _test(true, setting, records, ranks, level, bulk=True)
        test = _test(wrong, setting, records, ranks, level, bulk=True)
        detectable = base.detectable(test.limits - base.limits)
        score = float(test.scores[test.worst])
        tried.append(PlantedOutcome(theory, test.refuted, f"{test.names[test.worst]}, {text}", score, detectable))
    seen = max(tried, key=lambda one: abs(one.score))
    return replace(seen, detectable=min(one.detectable for one in tried))


# --- the phase transition ------------------------------------------------------------------------


def _experiment(activation: str, sigma_a2: str, sigma_b2: str, means: float, seed: int) -> Experiment:
    chosen = resolve(activation).with_parameters({})
    weight_a, weight_b = float(sp.Rational(sigma_a2)), float(sp.Rational(sigma_b2))
    return Experiment((chosen,), weight_a, weight_b, means=means, cov_shift=0.0, seed=seed)


@lru_cache(maxsize=64)
def _law(
    activation: str, sigma_a2: str, sigma_b2: str, means: float, p: int
) -> tuple[Activation, SpectralLaw, FloatEquilibrium]:
    setting = _experiment(activation, sigma_a2, sigma_b2, means, 0)
    return setting.activations[0], *predict(setting, setting.activations[0], Kernel.CK, p)


def transition_task(activation: str, sigma_a2: str, sigma_b2: str, p: int) -> dict[str, Any]:
    """Norm of the means at which an eigenvalue leaves the bulk, without a shift of the covariances."""

    def law(means: float) -> SpectralLaw:
        return _law(activation, sigma_a2, sigma_b2, means, p)[1]

    return {"critical": phase_transition(law, 0.05, 20.0)}


def _critical_task(plan: Plan) -> Task:
    arguments = {"activation": plan.rate_activations[0], **plan.weights, "p": max(plan.profile.spectrum_sizes)}
    return Task(transition_task, arguments, cost=1e7)


def side_task(
    activation: str, sigma_a2: str, sigma_b2: str, p: int, index: int, seed: int, factor: float
) -> dict[str, Any]:
    """Count the isolated eigenvalues right of the bulk, predicted and measured, at a multiple of the critical norm."""
    critical = transition_task(activation, sigma_a2, sigma_b2, p)["critical"]
    chosen, law, solution = _law(activation, sigma_a2, sigma_b2, factor * critical, p)
    setting = _experiment(activation, sigma_a2, sigma_b2, factor * critical, seed)
    found = measure(setting, chosen, Kernel.CK, p, index, law, solution)
    right = law.edges[-1][1]
    return {
        "predicted": int(np.count_nonzero(law.outlier_values > right)),
        "isolated": int(np.count_nonzero(found.isolated > right)),
    }


def _side_tasks(plan: Plan, factor: float) -> list[Task]:
    arguments = {**_critical_task(plan).arguments, "seed": plan.seed, "factor": factor}
    return ladder(side_task, arguments, [arguments["p"]], [_TRANSITION_DRAWS], cost=3.0)


def _judge_transition(plan: Plan, results: Results) -> Sequence[Verdict]:
    critical = float(results[_critical_task(plan).name]["critical"])
    counts = {factor: [int(results[task.name]["isolated"]) for task in _side_tasks(plan, factor)] for factor in _SIDES}
    below, above = (counts[factor] for factor in _SIDES)
    base = int(results[_side_tasks(plan, _SIDES[0])[0].name]["predicted"])
    holds = all(count <= base for count in below) and all(count > base for count in above)
    low, high = 1 / _SIDES[1], 1 / _SIDES[0]
    why = (
        f"predicted at ||mu|| = {critical:.4g}; isolated eigenvalues on the right in {_TRANSITION_DRAWS} draws: "
        f"{below} at {_SIDES[0]} times that, {above} at {_SIDES[1]} times; a critical norm below {low:.2g} or above "
        f"{high:.2g} times the predicted one would be seen"
    )
    kind = VerdictKind.SUPPORTED if holds else VerdictKind.REFUTED
    details = {"critical": critical, "power": {"critical norm": max(1 - low, high - 1)}}
    activation = plan.rate_activations[0]
    return [Verdict("transition", activation, kind, why, details, activation)]


CHECKS = (
    Check(("outliers", "bulk"), _spectrum_tasks, _judge_spectrum, planted_spectra),
    Check(
        ("transition",),
        lambda plan: [_critical_task(plan), *(task for factor in _SIDES for task in _side_tasks(plan, factor))],
        _judge_transition,
    ),
)
