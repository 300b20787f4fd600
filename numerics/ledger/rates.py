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
    Ladder,
    check_rate,
    distances_to_equivalent,
    distances_to_limit,
    fit_rate,
)
from numerics.ledger.checks import Check, Plan, Results, Task, by_size, ladder
from numerics.ledger.limits import power_list
from theory.activations import resolve
from theory.claims import RateVerdict, Verdict, VerdictKind
from theory.kernels import Kernel

__all__ = [
    "CHANGES",
    "CHECKS",
    "MAGNITUDES",
    "distance_task",
    "ladder_report",
    "ladder_verdict",
    "shown_power",
    "width_task",
]

#: Norms of the class means: the released experiment's, and one with which the next order of the expansion is small.
_RELEASED_MEANS, _SMALL_MEANS = 8.0, 2.0
#: Dimension of the data for finite networks, with n = 0.8 p.
_WIDTH_DIMENSION = 100
_NTKS = tuple(kernel for kernel in Kernel if kernel.is_tangent)
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
    kernels: Sequence[str],
    p: int,
    index: int,
    seed: int,
    sigma_a2: str,
    sigma_b2: str,
    means: float,
    reading: Tau0Reading = "population",
    noise: EntryLaw = "gaussian",
) -> dict[str, Any]:
    """Distances ||G* - Gbar|| (or K) of one draw of the released experiment's data, as plain values, by kernel.

    Args:
        activation: a name or an expression in x.
        kernels: names of the kernels.
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
    found = distances_to_equivalent(experiment, chosen, _kernels(kernels), Cell(p, index), CHANGES)
    return {kernel.value: distance.record() for kernel, distance in found.items()}


def _kernels(names: Sequence[str]) -> list[Kernel]:
    return [Kernel.read(name) for name in names]


def width_task(
    activation: str,
    kernels: Sequence[str],
    width: int,
    index: int,
    seed: int,
    sigma_a2: str,
    sigma_b2: str,
    weights: EntryLaw = "gaussian",
) -> dict[str, Any]:
    """Distances ||G_m - G*|| (or K) of one finite network from the exact kernels of the same data, by kernel.

    Args:
        activation: a name or an expression in x.
        kernels: names of the kernels.
        width: m.
        index: number of the draw.
        seed: root of the random numbers.
        sigma_a2: exact variance of the recurrent weights, as text.
        sigma_b2: exact variance of the input weights, as text.
        weights: law of the network's weights.
    """
    experiment, chosen = _experiment(activation, seed, sigma_a2, sigma_b2, _SMALL_MEANS, "population", "gaussian")
    cell = Cell(_WIDTH_DIMENSION, index)
    found = distances_to_limit(experiment, chosen, _kernels(kernels), cell, width, weights, CHANGES)
    return {kernel.value: distance.record() for kernel, distance in found.items()}


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


def _p_ladder(plan: Plan, **arguments: Any) -> list[Task]:
    profile = plan.profile
    arguments |= {**plan.weights, "seed": plan.seed}
    return ladder(distance_task, arguments, profile.rate_sizes, profile.rate_draws)


def _m_ladder(plan: Plan, **arguments: Any) -> list[Task]:
    arguments |= {**plan.weights, "seed": plan.seed}
    return ladder(width_task, arguments, plan.profile.widths, plan.profile.width_draws, size="width")


def _size_of(tasks: Sequence[Task]) -> str:
    """Name of the argument that is the size: of a finite network the width, else the dimension."""
    return "width" if "width" in tasks[0].arguments else "p"


#: What a ladder's errors (sizes, and one list for each) say of a claim, at a probability of a false alarm.
Judge = Callable[[list[int], list[list[float]], float], VerdictKind]


def _judge_rate(sizes: list[int], rows: list[list[float]], false_alarm: float) -> VerdictKind:
    return check_rate(sizes, rows, false_alarm=false_alarm, needs_power=False).verdict.kind


def _judge_rounding(sizes: list[int], rows: list[list[float]], false_alarm: float) -> VerdictKind:
    """Of kernels that are equal: any error above rounding refutes that."""
    return VerdictKind.SUPPORTED if max(map(max, rows)) <= ROUNDING else VerdictKind.REFUTED


def ladder_report(
    tasks: Sequence[Task], results: Results, plan: Plan, judge: Judge = _judge_rate, share: float = 1.0
) -> tuple[Ladder, dict[str, Any]]:
    """The errors of a ladder and the report on them, and the figures for the record.

    Args:
        tasks: of the ladder.
        results: of the tasks.
        plan: whose profile's level is the probability of a false alarm.
        judge: decides the claim; it is run on the errors of changed theories too, which it should refute.
        share: of that probability, where a claim has several ladders.
    """
    size, level = _size_of(tasks), share * plan.profile.level
    found = Ladder.of(
        by_size(tasks, lambda task: float(results[task.name]["error"]), size),
        np.random.default_rng([plan.seed, len(tasks)]),
        symbol="p" if size == "p" else "m",
        false_alarm=level,
        needs_power=False,
    )
    report, rows = found.report, [list(row) for row in found.errors]
    details: dict[str, Any] = {"symbol": found.symbol, "sizes": list(found.sizes), "errors": rows}
    details |= {"limits": report.limits, "level": level}
    if report.fit is not None:
        details |= {"slope": report.fit.plain.slope, "slope_interval": list(report.fit.plain.interval)}
    if report.check is not None:
        details |= {"amplitudes": list(report.check.amplitudes)}
    else:
        judge = _judge_rounding
    # What is not supported as it is says nothing by its changes.
    if judge(details["sizes"], rows, level) is VerdictKind.SUPPORTED:
        details |= _measured_power(tasks, results, judge, level)
    return found, details


def _measured_power(tasks: Sequence[Task], results: Results, judge: Judge, level: float) -> dict[str, Any]:
    """The smallest change of each number from which on the same draws refute every larger one, up or down."""
    size = _size_of(tasks)
    power: dict[str, float | None] = {}
    unseen = []
    for part in results[tasks[0].name]["changed"]:
        rows = {task.name: results[task.name]["changed"][part] for task in tasks}
        if all(abs(value - results[name]["error"]) < _NOTHING for name, row in rows.items() for value in row):
            power[part] = None
            continue
        refuted = []
        for k in range(len(CHANGES)):
            errors = by_size(tasks, lambda task, k=k, rows=rows: float(rows[task.name][k]), size)  # type: ignore[misc]
            refuted.append(judge(list(errors), list(errors.values()), level) is VerdictKind.REFUTED)
        either = [up and down for up, down in zip(refuted[::2], refuted[1::2], strict=True)]
        kept = next((k for k in range(len(either)) if all(either[k:])), None)
        if kept is None:
            unseen.append(part)
        else:
            power[part] = MAGNITUDES[kept]
    return {"power": power, "unseen": unseen}


def ladder_verdict(
    claim: str, subject: str, activation: str, tasks: Sequence[Task], results: Results, plan: Plan
) -> Verdict:
    """The verdict on a claim that the errors of a ladder fall like the size to the power -1/2.

    Args:
        claim: identifier of the claim.
        subject: what it was checked on.
        activation: the one that it is about, or "".
        tasks: of the ladder.
        results: of the tasks.
        plan: whose profile's level is the probability of a false alarm.
    """
    found, details = ladder_report(tasks, results, plan)
    why = f"{found.report.sentence}{shown_power(details)}"
    return Verdict(claim, subject, found.verdict.kind, why, details, activation)


def shown_power(details: Mapping[str, Any]) -> str:
    """What a ladder's verdict says of its power, to go after its sentence."""
    shown = power_list(details.get("power", {}), details.get("unseen", ()))
    return f"; on these draws would detect: {shown}" if shown else ""


# --- checks that are ladders ---------------------------------------------------------------------

#: Claim, subject, activation, kernel and tasks of a ladder.
Case = tuple[str, str, str, Kernel, list[Task]]


def _of_kernel(tasks: Sequence[Task], results: Results, kernel: Kernel) -> Results:
    """What the tasks say of one of their kernels."""
    return {task.name: results[task.name][kernel.value] for task in tasks}


def _shared(plan: Plan, kernel: Kernel, kernels: Sequence[Kernel]) -> list[str]:
    """The kernels of a task for one of them: all that need the same draws, unless one may not exist."""
    return [kernel.value] if plan.activations else [each.value for each in kernels]


def _ladder_check(claims: tuple[str, ...], cases: Callable[[Plan], list[Case]]) -> Check:
    """A check of some claims by ladders, each judged by the test of the rate."""
    return Check(
        claims,
        lambda plan: [task for *_, tasks in cases(plan) for task in tasks],
        lambda plan, results: [
            ladder_verdict(claim, subject, activation, tasks, _of_kernel(tasks, results, kernel), plan)
            for claim, subject, activation, kernel, tasks in cases(plan)
        ],
    )


def _ck_cases(plan: Plan) -> list[Case]:
    return [
        ("ck-rate", text, text, Kernel.CK, _p_ladder(plan, activation=text, kernels=["ck"], means=_RELEASED_MEANS))
        for text in plan.rate_activations
    ]


def _ntk_cases(plan: Plan) -> list[Case]:
    text = plan.rate_activations[0]
    return [
        (
            "ntk-rate",
            f"{text}, {kernel.removeprefix('ntk-')}",
            text,
            kernel,
            _small_means(plan, text, kernel),
        )
        for kernel in _NTKS
    ]


def _small_means(plan: Plan, activation: str, kernel: Kernel) -> list[Task]:
    """The ladder with small class means, of the first activation with all kernels."""
    kernels = (Kernel.CK, *_NTKS) if activation == plan.rate_activations[0] else (Kernel.CK,)
    return _p_ladder(plan, activation=activation, kernels=_shared(plan, kernel, kernels), means=_SMALL_MEANS)


def _finite_cases(plan: Plan) -> list[Case]:
    text, kernels = plan.rate_activations[0], (Kernel.CK, Kernel.NTK_RECURRENT, Kernel.NTK_ALL)
    found: list[Case] = []
    for kernel in kernels:
        tasks = _m_ladder(plan, activation=text, kernels=_shared(plan, kernel, kernels))
        claim, subject = "finite-width", text
        if kernel.is_tangent:
            claim, subject = "ntk-parameters", f"{text}, {kernel.removeprefix('ntk-')}"
        found.append((claim, subject, text, kernel, tasks))
    for law in _OTHER_LAWS:
        tasks = _m_ladder(plan, activation=text, kernels=["ck"], weights=law)
        found.append(("universality-weights", f"{text}, {law}", text, Kernel.CK, tasks))
    return found


def _noise_cases(plan: Plan) -> list[Case]:
    text = plan.rate_activations[0]
    return [
        (
            "universality-data",
            f"{text}, {law}",
            text,
            Kernel.CK,
            _p_ladder(plan, activation=text, kernels=["ck"], means=_SMALL_MEANS, noise=law),
        )
        for law in _OTHER_LAWS
    ]


# --- the corrected slope -------------------------------------------------------------------------


def _slope_ladders(plan: Plan) -> list[tuple[str, list[Task]]]:
    """(activation, tasks) of every ladder of the CK with small class means."""
    return [(text, _small_means(plan, text, Kernel.CK)) for text in plan.rate_activations]


def _slope_verdict(subject: str, tasks: Sequence[Task], results: Results, plan: Plan) -> Verdict:
    """Decide "ck-slope": the corrected slope's interval holds -1/2 and excludes 0, and the corrected line fits."""
    found, details = ladder_report(tasks, results, plan, _judge_slope)
    if found.report.fit is None:
        return Verdict("ck-slope", subject, found.verdict.kind, found.report.sentence, details, subject)
    kind, why, slopes = _slope_decision(details["sizes"], details["errors"], details["level"])
    return Verdict("ck-slope", subject, kind, f"{why}{shown_power(details)}", details | slopes, subject)


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


# --- the reading of tau_0 ------------------------------------------------------------------------


def _reading_tasks(plan: Plan, reading: Tau0Reading) -> list[Task]:
    # The population reading is the default: it shares its tasks with ck-rate.
    extra = {} if reading == "population" else {"reading": reading}
    return _p_ladder(plan, activation="relu", kernels=["ck"], means=_RELEASED_MEANS, **extra)


def _judge_reading(plan: Plan, results: Results) -> list[Verdict]:
    reports = {}
    for reading in ("population", "empirical"):
        tasks = _reading_tasks(plan, reading)
        reports[reading] = ladder_report(tasks, _of_kernel(tasks, results, Kernel.CK), plan, share=1 / 3)
    kinds = {found.verdict for found, _ in reports.values()}
    last = {reading: float(np.mean(details["errors"][-1])) for reading, (_, details) in reports.items()}
    shown = "; ".join(f"{reading}: {found.report.sentence}" for reading, (found, _) in reports.items())
    # Both readings are of the same draws.
    pairs = (reports[reading][1]["errors"][-1] for reading in ("population", "empirical"))
    test = ttest_rel(*pairs)
    faster = test.pvalue < plan.profile.level / 3
    evidence = (
        f"largest p: {last['population']:.3g} against {last['empirical']:.3g}, {test.statistic:+.1f} standard errors; "
        f"{shown}"
    )
    kind = VerdictKind.UNDECIDED
    if RateVerdict.REFUTED in kinds or (faster and test.statistic < 0):
        kind = VerdictKind.REFUTED
    elif kinds == {RateVerdict.SUPPORTED} and faster:
        kind = VerdictKind.SUPPORTED
    elif kinds == {RateVerdict.SUPPORTED}:
        evidence += "; which of them is nearer is not shown; missing: more draws"
    return [Verdict("tau0-reading", "relu", kind, evidence, reports["empirical"][1], "relu")]


CHECKS = (
    _ladder_check(("ck-rate",), _ck_cases),
    Check(
        ("ck-slope",),
        lambda plan: [task for _, tasks in _slope_ladders(plan) for task in tasks],
        lambda plan, results: [
            _slope_verdict(text, tasks, _of_kernel(tasks, results, Kernel.CK), plan)
            for text, tasks in _slope_ladders(plan)
        ],
    ),
    _ladder_check(("ntk-rate",), _ntk_cases),
    Check(
        ("tau0-reading",),
        lambda plan: [*_reading_tasks(plan, "population"), *_reading_tasks(plan, "empirical")],
        _judge_reading,
    ),
    _ladder_check(("finite-width", "ntk-parameters", "universality-weights"), _finite_cases),
    _ladder_check(("universality-data",), _noise_cases),
)
