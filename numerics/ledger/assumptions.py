"""Evidence on the theory's limits: what happens to its statements where their assumptions are strained or broken."""

from __future__ import annotations

from typing import Any

import sympy as sp

from numerics.equilibrium import find_equilibria, locate_stability_loss
from numerics.ledger.checks import Check, Plan, Results, Task
from numerics.ledger.coefficients import coefficient_power, deq_cells, read_records, theory_test
from numerics.ledger.limits import figures, power_list
from numerics.ledger.witnesses import coefficients_of
from theory.activations import registered
from theory.claims import Theory, Verdict, VerdictKind, true_theory
from theory.kernels import KernelCoefficients

__all__ = [
    "ASSUMPTION_CHECK",
    "UNSTABLE_CHECK",
    "past_the_fold_task",
]

#: Claim, activation and data of every test of the CK's equivalent.
_CASES = (("limit-spike", "relu", "spiked"), ("limit-jump", "sign", "released"), ("limit-traces", "relu", "far"))


def _judge(plan: Plan, results: Results) -> list[Verdict]:
    verdicts = []
    for claim, activation, data in _CASES:
        records = read_records(deq_cells(plan, activation, data), results)
        theory = true_theory("ck")
        test = theory_test(theory, activation, plan, records, data)

        def coefficients(
            tau0: float, theory: Theory = theory, activation: str = activation
        ) -> KernelCoefficients[float]:
            weights = float(sp.Rational(plan.sigma_a2)), float(sp.Rational(plan.sigma_b2))
            return coefficients_of(theory, activation, *weights, tau0)

        power = coefficient_power(test, "ck", coefficients, records, data)
        kind = VerdictKind.REFUTED if test.refuted else VerdictKind.SUPPORTED
        why = f"{test.sentence()}; would detect: {power_list(power)}"
        if claim == "limit-jump":
            missing = all("ntk-all" not in record.kernels for rows in records.values() for record in rows)
            kind = kind if missing else VerdictKind.REFUTED
            why += f"; NTKs {'absent' if missing else 'present'}"
        verdicts.append(Verdict(claim, f"{activation}, {data} data", kind, why, figures(test) | {"power": power}))
    return verdicts


ASSUMPTION_CHECK = Check(
    tuple(claim for claim, _, _ in _CASES),
    lambda plan: [task for _, activation, data in _CASES for task in deq_cells(plan, activation, data)],
    _judge,
)
#: Relative distance from the fold, on either side, at which all equilibria are isolated.
_STEP = sp.Rational(1, 1000)


def past_the_fold_task() -> dict[str, Any]:
    """Locate the cubic's loss of stability, and count its equilibria just before and just after."""
    cubic, weight_b, scale0 = registered("cubic").with_parameters({}), sp.Rational(4, 5), sp.S.One
    loss = locate_stability_loss(cubic, weight_b, scale0, 20)
    text = loss.decimal()
    if text is None:
        return {"kind": loss.kind}
    fold = sp.Rational(text)
    found = {"kind": loss.kind, "certified": loss.certified, "sigma_a2": text}
    for name, factor in (("before", 1 - _STEP), ("after", 1 + _STEP)):
        roots = find_equilibria(cubic, fold * factor, weight_b, scale0)
        found[name] = {"complete": roots.complete, "stable": [root.stable for root in roots.equilibria]}
    return found


_FOLD = Task("past the fold", {}, cost=1e7)


def _judge_unstable(plan: Plan, results: Results) -> list[Verdict]:
    found = results[_FOLD.name]
    proved = found["kind"] == "fold" and found["certified"]
    proved = proved and found["before"]["complete"] and found["after"]["complete"]
    holds = proved and found["before"]["stable"] == [True, False] and found["after"]["stable"] == []
    why = f"{found}"
    if proved:
        why = (
            f"the slope reaches 1 at sigma_a^2 = {found['sigma_a2']}, certified; 0.1 % below it the equilibria are one "
            f"stable and one unstable, 0.1 % above it there are {len(found['after']['stable'])}, with proof that no "
            "other exists"
        )
    kind = VerdictKind.CERTIFIED if holds else VerdictKind.REFUTED if proved else VerdictKind.UNDECIDED
    return [Verdict("limit-unstable", "cubic", kind, why)]


UNSTABLE_CHECK = Check(("limit-unstable",), lambda plan: [_FOLD], _judge_unstable)
