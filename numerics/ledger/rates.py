"""Evidence on rates: distances in operator norm against p, and of finite networks against their width m."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import sympy as sp
from scipy.stats import ttest_rel

from numerics.data import EntryLaw, Tau0Reading
from numerics.experiments import (
    ROUNDING,
    Cell,
    Experiment,
    KernelName,
    RateReport,
    check_rate,
    distance_to_equivalent,
    distance_to_limit,
    fit_rate,
    report_rate,
)
from numerics.ledger.checks import Check, Plan, Results, Task
from numerics.ledger.limits import power_list
from theory.activations import resolve
from theory.claims import Verdict, VerdictKind

__all__ = [
    "CHANGES",
    "FINITE_CHECK",
    "MAGNITUDES",
    "NTK_RATE_CHECK",
    "RATE_CHECK",
    "READING_CHECK",
    "UNIVERSALITY_CHECK",
    "distance_task",
    "ladder_report",
    "shown_power",
    "width_task",
]

#: Norms of the class means: the released experiment's, and one with which the next order of the expansion is small.
_RELEASED_MEANS, _SMALL_MEANS = 8.0, 2.0
#: Dimension of the data for finite networks, with n = 0.8 p.
_WIDTH_DIMENSION = 100
_NTK_NAMES: tuple[KernelName, ...] = ("ntk-recurrent", "ntk-preactivation", "ntk-all")
_OTHER_LAWS: tuple[EntryLaw, ...] = ("rademacher", "student")
#: The bootstrap plays no part in the decision.
_FEW_RESAMPLES = 10
#: Relative changes of an equivalent's numbers, or of the kernel that is compared with, that a ladder is tried on.
MAGNITUDES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
CHANGES = tuple(sign * size for size in MAGNITUDES for sign in (1, -1))
#: Probability of lack of fit below which a line is not taken at its word.
_NO_FIT = 0.01
#: A change of all errors below this is rounding: the number that is changed is 0.
_NOTHING = 1e-9


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
    return distance_to_equivalent(experiment, chosen, kernel, Cell(p, index), CHANGES).record()


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
    cell = Cell(_WIDTH_DIMENSION, index)
    return distance_to_limit(experiment, chosen, kernel, cell, width, weights, CHANGES).record()


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


def _rows(tasks: Sequence[Task], size: str, value: Callable[[Task], float]) -> tuple[list[int], list[list[float]]]:
    rows: dict[int, list[float]] = {}
    for task in tasks:
        rows.setdefault(int(task.arguments[size]), []).append(value(task))
    return list(rows), list(rows.values())


#: What a ladder's errors (sizes, and one list for each) say of a claim, at a probability of a false alarm.
Judge = Callable[[list[int], list[list[float]], float], VerdictKind]


def _judge_rate(sizes: list[int], rows: list[list[float]], false_alarm: float) -> VerdictKind:
    return VerdictKind(check_rate(sizes, rows, false_alarm=false_alarm, needs_power=False).verdict)


def _judge_rounding(sizes: list[int], rows: list[list[float]], false_alarm: float) -> VerdictKind:
    """Of kernels that are equal: any error above rounding refutes that."""
    return VerdictKind.SUPPORTED if max(map(max, rows)) <= ROUNDING else VerdictKind.REFUTED


def ladder_report(
    tasks: Sequence[Task], results: Results, size: str, plan: Plan, judge: Judge = _judge_rate, share: float = 1.0
) -> tuple[RateReport, dict[str, Any]]:
    """The report on a ladder, and the figures for the record.

    Args:
        tasks: of the ladder.
        results: of the tasks.
        size: name of the argument that is the size, p or width.
        plan: whose profile's level is the probability of a false alarm.
        judge: decides the claim; it is run on the errors of changed theories too, which it should refute.
        share: of that probability, where a claim has several ladders.
    """
    sizes, rows = _rows(tasks, size, lambda task: float(results[task.name]["error"]))
    symbol, level = "p" if size == "p" else "m", share * plan.profile.level
    rng = np.random.default_rng([plan.seed, len(tasks)])
    report = report_rate(sizes, rows, rng, symbol=symbol, false_alarm=level, needs_power=False)
    details: dict[str, Any] = {"symbol": symbol, "sizes": sizes, "errors": rows, "limits": report.limits}
    details |= {"level": level}
    if report.fit is not None:
        details |= {"slope": report.fit.plain.slope, "slope_interval": list(report.fit.plain.interval)}
    if report.check is not None:
        details |= {"amplitudes": list(report.check.amplitudes)}
    else:
        judge = _judge_rounding
    # What is not supported as it is says nothing by its changes.
    if judge(sizes, rows, level) is VerdictKind.SUPPORTED:
        details |= _measured_power(tasks, results, size, judge, level)
    return report, details


def _measured_power(tasks: Sequence[Task], results: Results, size: str, judge: Judge, level: float) -> dict[str, Any]:
    """The smallest change of each number from which on the same draws refute every larger one, up or down."""
    power: dict[str, float | None] = {}
    unseen = []
    for part in results[tasks[0].name]["changed"]:
        rows = {task.name: results[task.name]["changed"][part] for task in tasks}
        if all(abs(value - results[name]["error"]) < _NOTHING for name, row in rows.items() for value in row):
            power[part] = None
            continue
        refuted = [
            judge(*_rows(tasks, size, lambda task, k=k, rows=rows: float(rows[task.name][k])), level)  # type: ignore[misc]
            is VerdictKind.REFUTED
            for k in range(len(CHANGES))
        ]
        either = [up and down for up, down in zip(refuted[::2], refuted[1::2], strict=True)]
        kept = next((k for k in range(len(either)) if all(either[k:])), None)
        if kept is None:
            unseen.append(part)
        else:
            power[part] = MAGNITUDES[kept]
    return {"power": power, "unseen": unseen}


def _verdict(claim: str, subject: str, report: RateReport, details: Mapping[str, Any]) -> Verdict:
    return Verdict(claim, subject, VerdictKind(report.verdict), f"{report.sentence}{shown_power(details)}", details)


def shown_power(details: Mapping[str, Any]) -> str:
    """What a ladder's verdict says of its power, to go after its sentence."""
    shown = power_list(details.get("power", {}), details.get("unseen", ()))
    return f"; on these draws would detect: {shown}" if shown else ""


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
            verdicts.append(_slope_verdict(subject, tasks, results, plan))
        else:
            verdicts.append(_verdict(claim, subject, *ladder_report(tasks, results, "p", plan)))
    return verdicts


def _slope_verdict(subject: str, tasks: Sequence[Task], results: Results, plan: Plan) -> Verdict:
    """Decide "ck-slope": the corrected slope's interval holds -1/2 and excludes 0, and the corrected line fits."""
    report, details = ladder_report(tasks, results, "p", plan, _judge_slope)
    if report.fit is None:
        return Verdict("ck-slope", subject, VerdictKind(report.verdict), report.sentence, details)
    kind, why, found = _slope_decision(details["sizes"], details["errors"], details["level"])
    return Verdict("ck-slope", subject, kind, f"{why}{shown_power(details)}", details | found)


def _slope_decision(
    sizes: Sequence[int], rows: Sequence[Sequence[float]], false_alarm: float
) -> tuple[VerdictKind, str, dict[str, Any]]:
    """The verdict, why, and the slope with its interval.

    The corrected line is one next order short of the truth: where it does not fit, its slope is no evidence.
    """
    level = 1 - false_alarm
    fit = fit_rate(sizes, rows, np.random.default_rng(0), level=level, resamples=_FEW_RESAMPLES)
    line = fit.corrected
    if line is None:
        return VerdictKind.UNDECIDED, "needs at least three sizes p", {}
    low, high = line.interval
    fitted = "no size to spare for a test of fit"
    if not math.isnan(line.lack_of_fit):
        fitted = f"lack of fit probability {line.lack_of_fit:.2g}"
    shown = (
        f"corrected slope {line.slope:.3f} [{low:.3f}, {high:.3f}] ({100 * level:.4g} %; uncorrected "
        f"{fit.plain.slope:.3f}), {fitted}"
    )
    found = {"slope": line.slope, "slope_interval": [low, high]}
    if line.lack_of_fit < _NO_FIT:
        return VerdictKind.UNDECIDED, f"{shown}: the line does not fit; missing: larger sizes", found
    if not low <= -0.5 <= high:
        return VerdictKind.REFUTED, shown, found
    if not high < 0:
        return VerdictKind.UNDECIDED, f"{shown}: the interval does not exclude 0; missing: more draws", found
    return VerdictKind.SUPPORTED, shown, found


def _judge_slope(sizes: list[int], rows: list[list[float]], false_alarm: float) -> VerdictKind:
    return _slope_decision(sizes, rows, false_alarm)[0]


RATE_CHECK = Check(
    ("ck-rate", "ck-slope"),
    lambda plan: [task for _, _, tasks in _rate_ladders(plan) for task in tasks],
    _judge_rates,
)
NTK_RATE_CHECK = Check(
    ("ntk-rate",),
    lambda plan: [task for _, tasks in _ntk_ladders(plan) for task in tasks],
    lambda plan, results: [
        _verdict("ntk-rate", subject, *ladder_report(tasks, results, "p", plan))
        for subject, tasks in _ntk_ladders(plan)
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
        reports[reading] = ladder_report(tasks, results, "p", plan, share=1 / 3)
    kinds = {report.verdict for report, _ in reports.values()}
    last = {reading: float(np.mean(details["errors"][-1])) for reading, (_, details) in reports.items()}
    shown = "; ".join(f"{reading}: {report.sentence}" for reading, (report, _) in reports.items())
    # Both readings are of the same draws.
    pairs = (reports[reading][1]["errors"][-1] for reading in ("population", "empirical"))
    test = ttest_rel(*pairs)
    faster = test.pvalue < plan.profile.level / 3
    evidence = (
        f"largest p: {last['population']:.3g} against {last['empirical']:.3g}, {test.statistic:+.1f} standard errors; "
        f"{shown}"
    )
    kind = VerdictKind.UNDECIDED
    if "refuted" in kinds or (faster and test.statistic < 0):
        kind = VerdictKind.REFUTED
    elif kinds == {"supported"} and faster:
        kind = VerdictKind.SUPPORTED
    elif kinds == {"supported"}:
        evidence += "; which of them is nearer is not shown; missing: more draws"
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
        _verdict(claim, subject, *ladder_report(tasks, results, "width", plan))
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
        _verdict("universality-data", subject, *ladder_report(tasks, results, "p", plan))
        for subject, tasks in _universality_ladders(plan)
    ],
)
