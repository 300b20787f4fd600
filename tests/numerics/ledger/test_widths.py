"""The claims on spectra at finite width: supported, and wrong linear networks refuted."""

from __future__ import annotations

import dataclasses

import pytest

from numerics.ledger import PROFILES, Plan, PlantedOutcome, registry, run_task, widths
from theory.claims import CLAIMS, Verdict, VerdictKind, width_theories

SMALL = dataclasses.replace(PROFILES["quick"], law_sizes=(60, 100, 160), law_draws=(24, 12, 8))
#: s = sigma_a, no feedback, c without its second term, and what no other place of the formulas makes.
WRONG = (
    "width: s^2: d_1**2 dropped",
    "width: s^2: the whole dropped",
    "width: c: second term dropped",
    "width: Marchenko-Pastur over Gbar",
    "width: n and M exchanged",
    "width: tau_0 for tau_*",
)
#: No law: its covariance is not positive.
ABSURD = "width: a: the whole with the other sign"
CLAIM_NAMES = ["width-law-explicit", "width-law-deq", "width-law-tied-differs"]


@pytest.fixture(scope="module")
def found() -> tuple[list[Verdict], list[PlantedOutcome]]:
    theories = {name: width_theories()[name] for name in ("true", *WRONG, ABSURD)}
    plan = Plan(SMALL, seed=0)
    checks = registry.checks_for(CLAIM_NAMES)
    results = {task.name: run_task(task) for task in registry.tasks_for(checks, plan)}
    verdicts = registry.judge(checks, plan, results, CLAIM_NAMES)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(widths, "width_theories", lambda: theories)
        return verdicts, list(checks[0].planted(plan, results))


def test_the_laws_stand(found: tuple[list[Verdict], list[PlantedOutcome]]) -> None:
    verdicts, _ = found
    assert [(verdict.claim, verdict.kind) for verdict in verdicts] == [
        (claim, VerdictKind.SUPPORTED) for claim in CLAIM_NAMES
    ]
    assert all(verdict.kind is CLAIMS[verdict.claim].expected for verdict in verdicts)
    powers = [verdict.details["power"] for verdict in verdicts]
    assert set(powers[0]) == {"a", "c", "n/M"}
    assert set(powers[1]) == {"a", "c", "s^2", "n/M"}
    assert all(value < 1 for power in powers for value in power.values())


def test_wrong_linear_networks_are_refuted(found: tuple[list[Verdict], list[PlantedOutcome]]) -> None:
    _, outcomes = found
    assert {outcome.theory.identifier: outcome.refuted for outcome in outcomes} == dict.fromkeys(WRONG, True)


def test_your_own_activation_is_checked_on_a_network_of_its_own() -> None:
    plan = Plan(dataclasses.replace(SMALL, law_draws=(2, 2, 2)), seed=0, activations=("gelu",))
    (check,) = registry.checks_for(["width-law-deq"])
    subjects = {task.arguments["activations"][0]: task.arguments for task in check.tasks(plan)}
    assert subjects["gelu"]["sigma_a2"] == plan.sigma_a2
    assert subjects["gelu"]["shares"] == ["1"]
    assert check.planted(plan, {}) == ()
