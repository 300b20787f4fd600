"""Evidence on rates: distances in operator norm against p, and of finite networks against their width m."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import sympy as sp

from numerics.convergence import RateReport, fit_rate, report_rate
from numerics.experiments import Cell, Experiment, KernelName, distance_to_equivalent, distance_to_limit
from numerics.ledger.checks import Check, Plan, Results, Task
from numerics.mixture import Tau0Reading
from numerics.weight_laws import EntryLaw
from theory.claims import Verdict, VerdictKind
from theory.registry import resolve

__all__ = [
    "FINITE_CHECK",
    "NTK_RATE_CHECK",
    "RATE_CHECK",
    "READING_CHECK",
    "UNIVERSALITY_CHECK",
    "distance_task",
    "slope_verdict",
    "width_task",
]

#: Norms of the class means: the released experiment's, and one with which the next order of the expansion is small.
_RELEASED_MEANS, _SMALL_MEANS = 8.0, 2.0
#: Dimension of the data for finite networks, with n = 0.8 p.
_WIDTH_DIMENSION = 100
_NTK_NAMES: tuple[KernelName, ...] = ("ntk-recurrent", "ntk-preactivation", "ntk-all")
_OTHER_LAWS: tuple[EntryLaw, ...] = ("rademacher", "student")
#: The corrected line of a slope is rejected where its lack of fit is less probable than this.
_SIGNIFICANCE = 0.01


def distance_task(
    activation: str,
    kernel: KernelName,
    p: int,
    index: int,
    seed: int,
    sigma_a2: str,
    sigma_b2: str,
    means: float,
    reading: Tau0Reading = "population",
    noise: EntryLaw = "gaussian",
) -> dict[str, Any]:
    """Distance ||G* - Gbar|| (or K) of one draw of the released experiment's data, as plain values.

    Args:
        activation: a name or an expression in x.
        kernel: which kernel.
        p: dimension.
        index: number of the draw.
        seed: root of the random numbers.
        sigma_a2: exact variance of the recurrent weights, as text.
        sigma_b2: exact variance of the input weights, as text.
        means: norm of the class means.
        reading: of tau_0.
        noise: law of the entries of the whitened noise.
    """
    experiment, chosen = _experiment(activation, seed, sigma_a2, sigma_b2, means, reading, noise)
    return distance_to_equivalent(experiment, chosen, kernel, Cell(p, index)).record()


def width_task(
    activation: str,
    kernel: KernelName,
    width: int,
    index: int,
    seed: int,
    sigma_a2: str,
    sigma_b2: str,
    weights: EntryLaw = "gaussian",
) -> dict[str, Any]:
    """Distance ||G_m - G*|| (or K) of one finite network from the exact kernel of the same data, as plain values.

    Args:
        activation: a name or an expression in x.
        kernel: which kernel.
        width: m.
        index: number of the draw.
        seed: root of the random numbers.
        sigma_a2: exact variance of the recurrent weights, as text.
        sigma_b2: exact variance of the input weights, as text.
        weights: law of the network's weights.
    """
    experiment, chosen = _experiment(activation, seed, sigma_a2, sigma_b2, _SMALL_MEANS, "population", "gaussian")
    return distance_to_limit(experiment, chosen, kernel, Cell(_WIDTH_DIMENSION, index), width, weights).record()


def _experiment(
    activation: str,
    seed: int,
    sigma_a2: str,
    sigma_b2: str,
    means: float,
    reading: Tau0Reading,
    noise: EntryLaw,
) -> tuple[Experiment, Any]:
    chosen = resolve(activation).with_parameters({})
    weight_a, weight_b = float(sp.Rational(sigma_a2)), float(sp.Rational(sigma_b2))
    found = Experiment((chosen,), weight_a, weight_b, means=means, reading=reading, seed=seed, noise=noise)
    return found, chosen


# --- ladders -------------------------------------------------------------------------------------


def _common(plan: Plan) -> dict[str, Any]:
    return {"seed": plan.seed, "sigma_a2": plan.sigma_a2, "sigma_b2": plan.sigma_b2}


def _p_ladder(plan: Plan, **arguments: Any) -> list[Task]:
    return [
        Task("distance", {**arguments, **_common(plan), "p": p, "index": index}, cost=float(p) ** 2)
        for p in plan.profile.rate_sizes
        for index in range(plan.profile.rate_draws)
    ]


def _m_ladder(plan: Plan, **arguments: Any) -> list[Task]:
    return [
        Task("width distance", {**arguments, **_common(plan), "width": m, "index": index}, cost=float(m) ** 2)
        for m in plan.profile.widths
        for index in range(plan.profile.width_draws)
    ]


def _errors(tasks: Sequence[Task], results: Results, size: str) -> tuple[list[int], list[list[float]]]:
    rows: dict[int, list[float]] = {}
    for task in tasks:
        rows.setdefault(int(task.arguments[size]), []).append(float(results[task.name]["error"]))
    return list(rows), list(rows.values())


def _report(tasks: Sequence[Task], results: Results, size: str, seed: int) -> tuple[RateReport, dict[str, Any]]:
    sizes, rows = _errors(tasks, results, size)
    symbol = "p" if size == "p" else "m"
    report = report_rate(sizes, rows, np.random.default_rng([seed, len(tasks)]), symbol=symbol)
    details: dict[str, Any] = {"symbol": symbol, "sizes": sizes, "errors": rows, "limits": report.limits}
    if report.fit is not None:
        details |= {"slope": report.fit.plain.slope, "slope_interval": list(report.fit.plain.interval)}
    if report.check is not None:
        details |= {"amplitudes": list(report.check.amplitudes)}
    return report, details


def _verdict(claim: str, subject: str, report: RateReport, details: Mapping[str, Any]) -> Verdict:
    return Verdict(claim, subject, VerdictKind(report.verdict), report.sentence, details)


# --- the DEQ's kernels against their equivalents -------------------------------------------------


def _rate_ladders(plan: Plan) -> list[tuple[str, str, list[Task]]]:
    """(claim, subject, tasks) of every ladder of the CK in p."""
    found = []
    for text in plan.rate_activations:
        found.append(("ck-rate", text, _p_ladder(plan, activation=text, kernel="ck", means=_RELEASED_MEANS)))
        found.append(("ck-slope", text, _p_ladder(plan, activation=text, kernel="ck", means=_SMALL_MEANS)))
    return found


def _ntk_ladders(plan: Plan) -> list[tuple[str, list[Task]]]:
    """(subject, tasks) of every NTK's ladder in p."""
    text = plan.rate_activations[0]
    return [
        (
            f"{text}, {kernel.removeprefix('ntk-')}",
            _p_ladder(plan, activation=text, kernel=kernel, means=_SMALL_MEANS),
        )
        for kernel in _NTK_NAMES
    ]


def _judge_rates(plan: Plan, results: Results) -> list[Verdict]:
    verdicts = []
    for claim, subject, tasks in _rate_ladders(plan):
        if claim == "ck-slope":
            sizes, rows = _errors(tasks, results, "p")
            verdicts.append(slope_verdict(subject, sizes, rows, plan.seed))
        else:
            verdicts.append(_verdict(claim, subject, *_report(tasks, results, "p", plan.seed)))
    return verdicts


def slope_verdict(subject: str, sizes: Sequence[int], errors: Sequence[Sequence[float]], seed: int) -> Verdict:
    """Decide "ck-slope": the corrected slope's interval holds -1/2 and excludes 0, and the corrected line fits."""
    details: dict[str, Any] = {"symbol": "p", "sizes": list(sizes), "errors": [list(row) for row in errors]}
    if len(sizes) < 3:
        why = "needs at least three sizes p"
        return Verdict("ck-slope", subject, VerdictKind.UNDECIDED, why, details)
    report = report_rate(sizes, errors, np.random.default_rng([seed, len(sizes)]))
    if report.fit is None:
        return Verdict("ck-slope", subject, VerdictKind(report.verdict), report.sentence, details)
    line = fit_rate(sizes, errors, np.random.default_rng([seed, len(sizes)])).corrected
    if line is None:
        return Verdict("ck-slope", subject, VerdictKind.UNDECIDED, "needs at least three sizes p", details)
    low, high = line.interval
    fit = "no size to spare for a test of fit"
    if not math.isnan(line.lack_of_fit):
        fit = f"lack of fit probability {line.lack_of_fit:.2f}"
    shown = (
        f"corrected slope {line.slope:.3f} [{low:.3f}, {high:.3f}] (uncorrected {report.fit.plain.slope:.3f}), {fit}"
    )
    details |= {"slope": line.slope, "slope_interval": [low, high]}
    if not high < 0:
        return Verdict("ck-slope", subject, VerdictKind.UNDECIDED, f"{shown}: the interval does not exclude 0", details)
    holds = low <= -0.5 <= high and not line.lack_of_fit < _SIGNIFICANCE
    return Verdict("ck-slope", subject, VerdictKind.SUPPORTED if holds else VerdictKind.REFUTED, shown, details)


RATE_CHECK = Check(
    ("ck-rate", "ck-slope"),
    lambda plan: [task for _, _, tasks in _rate_ladders(plan) for task in tasks],
    _judge_rates,
)

NTK_RATE_CHECK = Check(
    ("ntk-rate",),
    lambda plan: [task for _, tasks in _ntk_ladders(plan) for task in tasks],
    lambda plan, results: [
        _verdict("ntk-rate", subject, *_report(tasks, results, "p", plan.seed)) for subject, tasks in _ntk_ladders(plan)
    ],
)


# --- the reading of tau_0 ------------------------------------------------------------------------


def _reading_tasks(plan: Plan, reading: Tau0Reading) -> list[Task]:
    # The population reading is the default: it shares its tasks with ck-rate.
    extra = {} if reading == "population" else {"reading": reading}
    return _p_ladder(plan, activation="relu", kernel="ck", means=_RELEASED_MEANS, **extra)


def _judge_reading(plan: Plan, results: Results) -> list[Verdict]:
    reports = {}
    for reading in ("population", "empirical"):
        tasks = _reading_tasks(plan, reading)
        reports[reading] = _report(tasks, results, "p", plan.seed)
    kinds = {report.verdict for report, _ in reports.values()}
    last = {reading: float(np.mean(details["errors"][-1])) for reading, (_, details) in reports.items()}
    shown = "; ".join(f"{reading}: {report.sentence}" for reading, (report, _) in reports.items())
    faster = last["empirical"] < last["population"]
    kind = VerdictKind.SUPPORTED if kinds == {"supported"} and faster else VerdictKind.REFUTED
    if "undecided" in kinds:
        kind = VerdictKind.UNDECIDED
    evidence = f"largest p: {last['population']:.3g} against {last['empirical']:.3g}; {shown}"
    return [Verdict("tau0-reading", "relu", kind, evidence, reports["empirical"][1])]


READING_CHECK = Check(
    ("tau0-reading",),
    lambda plan: [*_reading_tasks(plan, "population"), *_reading_tasks(plan, "empirical")],
    _judge_reading,
)


# --- finite networks -----------------------------------------------------------------------------


def _finite_ladders(plan: Plan) -> list[tuple[str, str, list[Task]]]:
    text = plan.rate_activations[0]
    found = [("finite-width", text, _m_ladder(plan, activation=text, kernel="ck"))]
    for kernel in ("ntk-recurrent", "ntk-all"):
        ladder = _m_ladder(plan, activation=text, kernel=kernel)
        found.append(("ntk-parameters", f"{text}, {kernel.removeprefix('ntk-')}", ladder))
    for law in _OTHER_LAWS:
        ladder = _m_ladder(plan, activation=text, kernel="ck", weights=law)
        found.append(("universality-weights", f"{text}, {law}", ladder))
    return found


FINITE_CHECK = Check(
    ("finite-width", "ntk-parameters", "universality-weights"),
    lambda plan: [task for _, _, tasks in _finite_ladders(plan) for task in tasks],
    lambda plan, results: [
        _verdict(claim, subject, *_report(tasks, results, "width", plan.seed))
        for claim, subject, tasks in _finite_ladders(plan)
    ],
)


# --- other laws of the data ----------------------------------------------------------------------


def _universality_ladders(plan: Plan) -> list[tuple[str, list[Task]]]:
    text = plan.rate_activations[0]
    return [
        (f"{text}, {law}", _p_ladder(plan, activation=text, kernel="ck", means=_SMALL_MEANS, noise=law))
        for law in _OTHER_LAWS
    ]


UNIVERSALITY_CHECK = Check(
    ("universality-data",),
    lambda plan: [task for _, tasks in _universality_ladders(plan) for task in tasks],
    lambda plan, results: [
        _verdict("universality-data", subject, *_report(tasks, results, "p", plan.seed))
        for subject, tasks in _universality_ladders(plan)
    ],
)
