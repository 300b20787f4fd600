"""Verdicts on the claims of ``theory.claims`` from derivations and experiments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import sympy as sp

from numerics.convergence import RateCheck, RateFit, check_rate, fit_rate
from numerics.equilibrium import EquilibriumError
from numerics.experiments import CellResult, Experiment
from theory.activations import Activation
from theory.claims import Verdict, VerdictKind
from theory.implicit import ck_coefficients, preactivation_coefficients
from theory.symbols import sigma_a2, sigma_b2

__all__ = ["RateEvidence", "equilibrium_verdict", "forms_verdict", "rate_evidence", "rate_verdict", "slope_verdict"]


def forms_verdict() -> Verdict:
    """Decide "forms" by algebra on the two solved systems."""
    alphas, lambdas = ck_coefficients(), preactivation_coefficients()
    differences = [
        lambdas["lambda1"] - (sigma_a2 * alphas["alpha1"] + sigma_b2),
        lambdas["lambda2"] - sigma_a2 * alphas["alpha2"],
        lambdas["lambda3"] - sigma_a2 * alphas["alpha3"],
    ]
    wrong = [k for k, difference in enumerate(differences, start=1) if sp.cancel(sp.together(difference)) != 0]
    kind = VerdictKind.REFUTED if wrong else VerdictKind.DERIVED
    evidence = f"differs for index {wrong}" if wrong else "all three differences cancel to 0 symbolically"
    return Verdict("forms", "any activation", kind, evidence)


def equilibrium_verdict(experiment: Experiment, activation: Activation, tau0: float) -> Verdict:
    """Decide "equilibrium" for one activation at an input scale."""
    try:
        solution = experiment.solve(activation, tau0)
    except EquilibriumError as error:
        return Verdict("equilibrium", activation.name, VerdictKind.REFUTED, str(error))
    margins = solution.margins
    evidence = (
        f"tau_* = {solution['tau']:.6f} at tau_0 = {tau0:.6f}; slope {margins['tau']:.4f} and sigma_a^2 E[phi']^2 "
        f"{margins['ck']:.4f} are below 1"
    )
    if not margins.get("ntk", 1.0) < 1:
        evidence += "; the NTK does not exist"
    return Verdict("equilibrium", activation.name, VerdictKind.SUPPORTED, evidence)


@dataclass(frozen=True)
class RateEvidence:
    """Errors of one activation over the ladder, and what they say of the rate.

    Attributes:
        activation: name.
        sizes: p, ascending.
        errors: one row of errors (one entry a seed) for each size.
        fit: slope of log error against log p with confidence intervals, or None with too little data.
        check: test of p^(-1/2) with corrections of relative size p^(-1/2), or None with too little data.
    """

    activation: str
    sizes: tuple[int, ...]
    errors: tuple[tuple[float, ...], ...]
    fit: RateFit | None
    check: RateCheck | None


def rate_evidence(activation: str, results: Sequence[CellResult], seed: int, *, level: float = 0.95) -> RateEvidence:
    """Gather the errors of one activation and fit their rate.

    Args:
        activation: name.
        results: results of any activations, in any order.
        seed: fixes the bootstrap's random numbers.
        level: confidence level of the intervals.
    """
    chosen = sorted((r for r in results if r.activation == activation), key=lambda r: (r.p, r.index))
    sizes = tuple(sorted({result.p for result in chosen}))
    errors = tuple(tuple(r.error for r in chosen if r.p == p) for p in sizes)
    fit = check = None
    if len(sizes) >= 2 and sum(map(len, errors)) >= 3:
        fit = fit_rate(sizes, errors, np.random.default_rng([seed, len(chosen)]), level=level)
    if len(sizes) >= 2 and max(map(len, errors)) >= 2 and max(max(row) for row in errors) > _ROUNDING:
        check = check_rate(sizes, errors)
    return RateEvidence(activation, sizes, errors, fit, check)


def rate_verdict(evidence: RateEvidence) -> Verdict:
    """Decide "ck-rate": p^(-1/2) times a series in p^(-1/2) fits the errors, and leaves no floor."""
    fit, check = evidence.fit, evidence.check
    exact = _exact(evidence, "ck-rate")
    if exact is not None:
        return exact
    if fit is None or check is None:
        missing = "needs at least two sizes p and two seeds"
        return Verdict("ck-rate", evidence.activation, VerdictKind.UNDECIDED, missing)
    low, high = fit.plain.interval
    shown = f"slope over the ladder {fit.plain.slope:.3f} [{low:.3f}, {high:.3f}]"
    if check.compatible:
        return Verdict(
            "ck-rate",
            evidence.activation,
            VerdictKind.SUPPORTED,
            f"{shown}; p^(-1/2) ({_series(check.amplitudes)}) fits (probability {check.lack_of_fit:.2f}), "
            "no floor seen",
        )
    failures = (
        (check.fits, f"p^(-1/2) ({_series(check.amplitudes)}) does not fit (probability {check.lack_of_fit:.1e})"),
        (check.decays, "the leading amplitude is not positive"),
        (check.floor_free, "a floor {:.3g} [{:.3g}, {:.3g}] is left".format(check.floor, *check.floor_interval)),
    )
    reasons = "; ".join(reason for held, reason in failures if not held)
    return Verdict("ck-rate", evidence.activation, VerdictKind.REFUTED, f"{shown}; {reasons}")


def slope_verdict(evidence: RateEvidence) -> Verdict:
    """Decide "ck-slope": the corrected slope's interval holds -1/2 and excludes 0, and the corrected line fits."""
    exact = _exact(evidence, "ck-slope")
    if exact is not None:
        return exact
    line = None if evidence.fit is None else evidence.fit.corrected
    if evidence.fit is None or line is None:
        return Verdict("ck-slope", evidence.activation, VerdictKind.UNDECIDED, "needs at least three sizes p")
    low, high = line.interval
    shown = (
        f"corrected slope {line.slope:.3f} [{low:.3f}, {high:.3f}] (uncorrected {evidence.fit.plain.slope:.3f}), "
        f"lack of fit probability {line.lack_of_fit:.2f}"
    )
    if not high < 0:
        return Verdict(
            "ck-slope", evidence.activation, VerdictKind.UNDECIDED, f"{shown}: the interval does not exclude 0"
        )
    fits = not line.lack_of_fit < _SIGNIFICANCE
    kind = VerdictKind.SUPPORTED if low <= -0.5 <= high and fits else VerdictKind.REFUTED
    return Verdict("ck-slope", evidence.activation, kind, shown)


#: A curve is rejected where its lack of fit is less probable than this.
_SIGNIFICANCE = 0.01

#: Errors below this are rounding: the kernel's own tolerance is 1e-12 an entry.
_ROUNDING = 1e-8


def _exact(evidence: RateEvidence, claim: str) -> Verdict | None:
    largest = max((error for row in evidence.errors for error in row), default=1.0)
    if largest > _ROUNDING:
        return None
    shown = f"kernel and equivalent are equal to within rounding at every p (largest distance {largest:.1e})"
    return Verdict(claim, evidence.activation, VerdictKind.SUPPORTED, shown)


def _series(amplitudes: tuple[float, ...]) -> str:
    powers = ("", " p^(-1/2)", " p^(-1)", " p^(-3/2)")
    return " ".join(f"{value:+.3g}{power}" for value, power in zip(amplitudes, powers, strict=False))
