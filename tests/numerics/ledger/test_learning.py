"""The claims on what readouts learn: supported, and wrong theories refuted."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from numerics.experiments import NoMatchError
from numerics.ledger import PROFILES, Plan, PlantedOutcome, learning, registry, run_task
from theory.claims import CLAIMS, LEARNING_CLAIMS, Verdict, VerdictKind, learning_theories

SMALL = dataclasses.replace(
    PROFILES["quick"],
    spectrum_sizes=(120, 200, 320),
    spectrum_draws=(7, 6, 5),
    law_sizes=(50, 80, 120),
    law_draws=(20, 12, 8),
)
CLAIM_NAMES = ["learning-ck", "learning-features"]


@pytest.fixture(scope="module")
def found() -> tuple[list[Verdict], dict[str, PlantedOutcome]]:
    plan = Plan(SMALL, seed=0)
    checks = registry.checks_for(CLAIM_NAMES)
    results = {task.name: run_task(task) for task in registry.tasks_for(checks, plan)}
    outcomes = [outcome for check in checks for outcome in check.planted(plan, results)]
    return registry.judge(checks, plan, results, CLAIM_NAMES), {one.theory.identifier: one for one in outcomes}


def test_the_laws_stand(found: tuple[list[Verdict], dict[str, PlantedOutcome]]) -> None:
    verdicts, _ = found
    assert [(verdict.claim, verdict.kind) for verdict in verdicts] == [
        (claim, VerdictKind.SUPPORTED) for claim in CLAIM_NAMES
    ]
    assert all(verdict.kind is CLAIMS[verdict.claim].expected for verdict in verdicts)
    ck, features = (verdict.details["power"] for verdict in verdicts)
    assert ck["penalty"] < 0.3
    assert set(features) == {"linear", "variance", "square", "diagonal", "penalty", "s^2"}
    # tanh is odd: of what it does not have nothing is seen.
    assert features["variance"] is None
    assert features["s^2"] < 1


def test_wrong_theories_are_refuted(found: tuple[list[Verdict], dict[str, PlantedOutcome]]) -> None:
    _, outcomes = found
    assert set(outcomes) == {name for claim in CLAIM_NAMES for name in learning_theories(claim)} - {"true"}
    for name in (
        *("t left out of training and of fresh samples", "fresh samples centred class by class, t = 0"),
        *("alpha_2 absent", "alpha_2 negative", "no subtraction on the diagonal"),
    ):
        assert outcomes[f"learning-ck: {name}"].refuted, name
    assert outcomes["learning-features: width infinite"].refuted
    assert outcomes["learning-features: weights drawn anew at every step, s = 0"].refuted
    # What these few draws do not refute is wrong all the same: its limits are others.
    assert all(np.isfinite(one.detectable) for one in outcomes.values())


def test_a_matched_network_is_told_from_a_naive_one(monkeypatch: pytest.MonkeyPatch) -> None:
    profile = dataclasses.replace(SMALL, spectrum_sizes=(100, 140, 200, 320), spectrum_draws=(8, 6, 5, 4))
    # Far from the naive network.
    plan = Plan(profile, seed=0, sigma_a2="1/2")
    (check,) = registry.checks_for(["learning-matched"])
    results = {task.name: run_task(task) for task in check.tasks(plan)}
    (verdict,) = registry.judge([check], plan, results, CLAIMS)
    assert verdict.kind is VerdictKind.SUPPORTED
    (outcome,) = check.planted(plan, results)
    assert outcome.refuted
    # Were the naive network the matched one, it would be refuted.
    monkeypatch.setattr(learning, "_less_deq", _of("naive"))
    (wrong,) = registry.judge([check], plan, results, CLAIMS)
    assert wrong.kind is VerdictKind.REFUTED


def _of(learner: str) -> object:
    right = learning._less_deq
    return lambda plan, results, activation, _: dataclasses.replace(
        right(plan, results, activation, learner), learner="matched"
    )


def test_your_own_activation_is_checked_on_its_own() -> None:
    plan = Plan(SMALL, seed=0, sigma_a2="1/3", activations=("gelu",))
    for claim in LEARNING_CLAIMS:
        (check,) = registry.checks_for([claim])
        arguments = [task.arguments for task in check.tasks(plan)]
        assert {one["activation"] for one in arguments} == {"gelu"}
        assert {one["sigma_a2"] for one in arguments} == {"1/3"}
        assert {one["narrow"] for one in arguments} == {claim == "learning-features"}
        assert check.planted(plan, {}) == ()


def test_a_network_that_does_not_match_leaves_the_claim_open(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise NoMatchError("no explicit network matches")

    monkeypatch.setattr(learning._Case, "study", refuse)
    plan = Plan(SMALL, seed=0)
    (check,) = registry.checks_for(["learning-matched"])
    results = {task.name: run_task(task) for task in check.tasks(plan)}
    (verdict,) = registry.judge([check], plan, results, CLAIMS)
    assert verdict.kind is VerdictKind.UNDECIDED
    assert verdict.evidence == "no explicit network matches"


def test_a_wrong_theory_says_something_else() -> None:
    """The numbers of every wrong theory differ from the true one's by 1 % of the largest at least, of some DEQ."""
    for claim in LEARNING_CLAIMS:
        theories = dict(learning_theories(claim))
        true = theories.pop("true")
        narrow = claim == "learning-features"
        cases = [learning._Case(name, "1/2", "1/2", narrow=narrow) for name in ("relu", "Abs(x) + x/5")]
        for name, theory in theories.items():
            gaps = [
                np.abs(np.subtract(*(learning._predicted(one, case, "deq", 0, 200) for one in (true, theory)))).max()
                for case in cases
            ]
            assert max(gaps) > 0.01, name
