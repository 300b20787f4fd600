"""Evidence on spectra: bulk, isolated eigenvalues and their phase transition, from exact kernels."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import sympy as sp

from numerics.convergence import fit_rate
from numerics.equilibrium import FloatEquilibrium
from numerics.experiments import Experiment
from numerics.ledger.checks import Check, Plan, Results, Task
from numerics.ledger.vanishing import figures, limit_test
from numerics.spectral_law import SpectralLaw, phase_transition
from numerics.spectral_study import measure, predict
from theory.activations import Activation
from theory.claims import Verdict, VerdictKind
from theory.registry import resolve

__all__ = ["SPECTRUM_CHECK", "TRANSITION_CHECK", "side_task", "spectrum_task", "transition_task"]

#: Means and covariance shift whose classes the outliers show (theory sheet, section 5).
_MEANS, _SHIFT = 2.0, 20.0
#: The mean's norm below and above the transition, in units of the critical one.
_SIDES = (0.6, 1.5)
_TRANSITION_DRAWS = 6


def _setting(activation: str, sigma_a2: str, sigma_b2: str, means: float, shift: float, seed: int) -> Experiment:
    chosen = resolve(activation).with_parameters({})
    weight_a, weight_b = float(sp.Rational(sigma_a2)), float(sp.Rational(sigma_b2))
    return Experiment((chosen,), weight_a, weight_b, means=means, cov_shift=shift, seed=seed)


@lru_cache(maxsize=64)
def _law(
    activation: str, sigma_a2: str, sigma_b2: str, means: float, shift: float, p: int
) -> tuple[Activation, SpectralLaw, FloatEquilibrium]:
    setting = _setting(activation, sigma_a2, sigma_b2, means, shift, 0)
    return setting.activations[0], *predict(setting, setting.activations[0], "ck", p)


def spectrum_task(
    activation: str, sigma_a2: str, sigma_b2: str, means: float, shift: float, p: int, index: int, seed: int
) -> dict[str, Any]:
    """Spectrum of one draw's exact CK against the law, as plain values.

    ``predicted`` and ``measured`` are paired by rank from the outermost inwards, on the right and then on the left.

    Args:
        activation: a name or an expression in x.
        sigma_a2: exact variance of the recurrent weights, as text.
        sigma_b2: exact variance of the input weights, as text.
        means: norm of the class means.
        shift: C_a = (1 + shift a/sqrt p) I.
        p: dimension.
        index: number of the draw.
        seed: root of the random numbers.
    """
    chosen, law, solution = _law(activation, sigma_a2, sigma_b2, means, shift, p)
    setting = _setting(activation, sigma_a2, sigma_b2, means, shift, seed)
    found = measure(setting, chosen, "ck", p, index, law, solution)
    left, right = law.edges[0][0], law.edges[-1][1]
    above = sorted((value for value in law.outlier_values if value > right), reverse=True)
    below = sorted(value for value in law.outlier_values if value < left)
    spectrum = found.eigenvalues
    measured = [*spectrum[: len(above)], *spectrum[::-1][: len(below)]]
    return {
        "predicted": [float(value) for value in (*above, *below)],
        "measured": [float(value) for value in measured],
        "sides": ["right"] * len(above) + ["left"] * len(below),
        "isolated_right": int(np.count_nonzero(found.isolated > right)),
        "ks": found.ks_distance,
    }


# --- bulk and outliers ---------------------------------------------------------------------------


def _spectrum_tasks(plan: Plan) -> list[Task]:
    common = {"sigma_a2": plan.sigma_a2, "sigma_b2": plan.sigma_b2, "means": _MEANS, "shift": _SHIFT, "seed": plan.seed}
    return [
        Task("spectrum", {**common, "activation": plan.rate_activations[0], "p": p, "index": index}, cost=3.0 * p**2)
        for p in plan.profile.spectrum_sizes
        for index in range(plan.profile.rate_draws)
    ]


def _judge_spectrum(plan: Plan, results: Results) -> list[Verdict]:
    rows: dict[int, list[Any]] = {}
    for task in _spectrum_tasks(plan):
        rows.setdefault(int(task.arguments["p"]), []).append(results[task.name])
    subject = plan.rate_activations[0]
    return [_outliers(subject, rows, plan), _bulk(subject, rows, plan)]


def _outliers(subject: str, rows: dict[int, list[Any]], plan: Plan) -> Verdict:
    # An eigenvalue may leave the bulk within the ladder: those that are out at every p are compared.
    common = {side: min(records[0]["sides"].count(side) for records in rows.values()) for side in ("right", "left")}
    names = [f"{side} {rank + 1}" for side, count in common.items() for rank in range(count)]
    if not names:
        why = "no isolated eigenvalue is predicted at every p of the ladder"
        return Verdict("outliers", subject, VerdictKind.UNDECIDED, why)

    def chosen(record: Any, key: str) -> list[float]:
        ranks = {side: iter(range(count)) for side, count in common.items()}
        pairs = zip(record["sides"], record[key], strict=True)
        return [float(value) for side, value in pairs if next(ranks[side], None) is not None]

    differences = [
        np.array([np.subtract(chosen(record, "measured"), chosen(record, "predicted")) for record in records])
        for records in rows.values()
    ]
    test = limit_test(names, list(rows), differences, order=min(2, len(rows) - 2), level=plan.profile.level)
    last = max(rows)
    predicted, measured = (np.array([chosen(r, key) for r in rows[last]]) for key in ("predicted", "measured"))
    errors = measured.std(axis=0, ddof=1) / np.sqrt(len(measured))
    shown = ", ".join(
        f"{name}: predicted {predicted[0, k]:.4g}, measured {measured[:, k].mean():.4g} +- {errors[k]:.1g}"
        for k, name in enumerate(names)
    )
    kind = VerdictKind.REFUTED if test.refuted else VerdictKind.SUPPORTED
    details = figures(test)
    return Verdict("outliers", subject, kind, f"at p = {last}, {shown}; {test.sentence()}", details)


def _bulk(subject: str, rows: dict[int, list[Any]], plan: Plan) -> Verdict:
    errors = [[float(record["ks"]) for record in records] for records in rows.values()]
    fit = fit_rate(list(rows), errors, np.random.default_rng([plan.seed, 11]), level=0.99)
    low, high = fit.plain.interval
    kind = VerdictKind.SUPPORTED if high < 0 else VerdictKind.UNDECIDED
    means = ", ".join(f"{np.mean(row):.3g}" for row in errors)
    why = (
        f"Kolmogorov distance {means} at p = {', '.join(map(str, rows))}: slope {fit.plain.slope:.2f} "
        f"[{low:.2f}, {high:.2f}] (99 %)"
    )
    details = {"symbol": "p", "sizes": list(rows), "errors": errors, "slope": fit.plain.slope}
    return Verdict("bulk", subject, kind, why, details | {"slope_interval": [low, high]})


SPECTRUM_CHECK = Check(("outliers", "bulk"), _spectrum_tasks, _judge_spectrum)


# --- the phase transition ------------------------------------------------------------------------


def transition_task(activation: str, sigma_a2: str, sigma_b2: str, p: int) -> dict[str, Any]:
    """Norm of the means at which an eigenvalue leaves the bulk, without a shift of the covariances."""

    def law(means: float) -> SpectralLaw:
        return _law(activation, sigma_a2, sigma_b2, means, 0.0, p)[1]

    return {"critical": phase_transition(law, 0.05, 20.0)}


def _critical_task(plan: Plan) -> Task:
    weights = {"sigma_a2": plan.sigma_a2, "sigma_b2": plan.sigma_b2}
    sizes = {"p": max(plan.profile.spectrum_sizes)}
    return Task("transition", {"activation": plan.rate_activations[0], **weights, **sizes}, cost=1e7)


def side_task(
    activation: str, sigma_a2: str, sigma_b2: str, p: int, index: int, seed: int, factor: float
) -> dict[str, Any]:
    """Do as ``spectrum_task`` with means of a multiple of the critical norm."""
    critical = transition_task(activation, sigma_a2, sigma_b2, p)["critical"]
    return spectrum_task(activation, sigma_a2, sigma_b2, factor * critical, 0.0, p, index, seed)


def _side_tasks(plan: Plan, factor: float) -> list[Task]:
    arguments = {**_critical_task(plan).arguments, "seed": plan.seed, "factor": factor}
    p = float(arguments["p"])
    return [Task("transition side", {**arguments, "index": k}, cost=3 * p**2) for k in range(_TRANSITION_DRAWS)]


def _judge_transition(plan: Plan, results: Results) -> Sequence[Verdict]:
    critical = float(results[_critical_task(plan).name]["critical"])
    counts = {
        factor: [int(results[task.name]["isolated_right"]) for task in _side_tasks(plan, factor)] for factor in _SIDES
    }
    predicted = {factor: len(results[_side_tasks(plan, factor)[0].name]["predicted"]) for factor in _SIDES}
    below, above = (counts[factor] for factor in _SIDES)
    base = predicted[_SIDES[0]]
    holds = all(count <= base for count in below) and all(count > base for count in above)
    why = (
        f"predicted at ||mu|| = {critical:.4g}; isolated eigenvalues on the right in {_TRANSITION_DRAWS} draws: "
        f"{below} at {_SIDES[0]} times that, {above} at {_SIDES[1]} times"
    )
    kind = VerdictKind.SUPPORTED if holds else VerdictKind.REFUTED
    return [Verdict("transition", plan.rate_activations[0], kind, why, {"critical": critical})]


TRANSITION_CHECK = Check(
    ("transition",),
    lambda plan: [_critical_task(plan), *(task for factor in _SIDES for task in _side_tasks(plan, factor))],
    _judge_transition,
)
