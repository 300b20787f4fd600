"""The claims on several states, biases and uncentred activations: supported, and wrong theories refuted."""

from __future__ import annotations

import dataclasses

import pytest

from numerics.ledger import PROFILES, Plan, coupled, registry, run_task
from theory.claims import CLAIMS, Verdict, VerdictKind, coupled_theories
from theory.equations import TRAINED, CoupledDEQ, State, TrainedWeights

SMALL = dataclasses.replace(PROFILES["quick"], rate_sizes=(100, 200, 400, 600), rate_draws=(4, 4, 4, 4))

CASES = {"states-rate": ("relu, tanh",), "uncentred-rate": ("relu",), "states-ntk-rate": ("relu, tanh",)}


@pytest.fixture(scope="module")
def found() -> tuple[list[Verdict], dict[str, bool]]:
    """Verdicts, and whether each wrong theory is refuted, of two of the cells at small sizes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(coupled, "_CASES", CASES)
        plan = Plan(SMALL, seed=0)
        checks = registry.checks_for(["states-rate"])
        results = {task.name: run_task(task) for task in registry.tasks_for(checks, plan)}
        verdicts = registry.judge(checks, plan, results, CLAIMS)
        return verdicts, {o.theory.identifier: o.refuted for o in checks[0].planted(plan, results)}


def test_the_theory_stands(found: tuple[list[Verdict], dict[str, bool]]) -> None:
    verdicts, _ = found
    assert [verdict.subject for verdict in verdicts if verdict.claim == "states-rate"] == [
        "relu, tanh: state 0",
        "relu, tanh: state 1",
    ]
    assert sum(verdict.claim == "uncentred-rate" for verdict in verdicts) == 1
    assert [verdict.subject for verdict in verdicts if verdict.claim == "states-ntk-rate"] == ["relu, tanh: NTK"]
    # On so few draws a ladder may be without power.
    assert VerdictKind.REFUTED not in {verdict.kind for verdict in verdicts}
    assert [verdict.kind for verdict in verdicts].count(VerdictKind.SUPPORTED) >= 2
    assert any("constant" in verdict.details["power"] for verdict in verdicts)


def test_every_wrong_theory_is_refuted(found: tuple[list[Verdict], dict[str, bool]]) -> None:
    _, refuted = found
    assert set(refuted) == set(coupled_theories()) - {"true"}
    # Those are seen by the default profile's draws and cells, not by these.
    unseen = {"no squares", "uncoupled", "other scale", "no part between states"}
    assert {name for name, caught in refuted.items() if not caught} <= unseen


def test_a_wrong_theory_concerns_what_it_changes() -> None:
    alone = CoupledDEQ([State("relu", "1/2", centred=False)], [["1/4"]])
    plain = CoupledDEQ([State("relu", "1/2")], [["1/4"]])
    theories = coupled_theories()
    assert {name for name, theory in theories.items() if theory.concerns(alone, 0)} == {
        "norms replaced",
        "no squares",
        "no sum",
        "no constant",
        "about 0",
    }
    assert not any(theory.concerns(plain, 0) for theory in theories.values())
    assert {name for name, theory in theories.items() if theory.concerns(plain, TrainedWeights.of(plain, TRAINED))} == {
        "no input part",
    }


def test_what_wrong_theories_leave_out_of_an_ntk() -> None:
    cell = CoupledDEQ.loop(["relu", "tanh"], "1/2", "1/2")
    trained = TrainedWeights.of(cell, TRAINED)
    theories = coupled_theories()
    assert theories["no input part"].trained(cell, trained).input == frozenset()
    assert theories["no part between states"].trained(cell, trained).recurrent == frozenset()
    assert theories["no input part"].concerns(cell, trained)
    assert not theories["no input part"].concerns(cell, 1)
    assert theories["other scale"].concerns(cell, 1)
