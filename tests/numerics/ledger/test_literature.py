"""What the literature says of matching networks: every verdict, and that each could have come out otherwise."""

from __future__ import annotations

import pytest
import sympy as sp

from numerics.ledger import PROFILES, LedgerRun, Plan, Standing, literature
from theory.claims import CLAIMS, VerdictKind

CLAIMED = tuple(claim for check in literature.CHECKS for claim in check.claims)


def test_every_claim_stands_as_expected() -> None:
    outcome = LedgerRun(Plan(PROFILES["quick"], 0), CLAIMED).compute()
    assert outcome.standing is Standing.AS_EXPECTED
    assert {verdict.claim for verdict in outcome.verdicts} == set(CLAIMED)
    assert {CLAIMS[claim].expected for claim in CLAIMED} == {VerdictKind.DERIVED, VerdictKind.REFUTED}
    subjects = {verdict.subject for verdict in outcome.verdicts if verdict.claim == "leaky-pairs"}
    assert subjects == {"swish", "elu"}


def test_a_wrong_rate_is_not_derived(monkeypatch: pytest.MonkeyPatch) -> None:
    first, last = literature.two_rates()
    monkeypatch.setattr(literature, "two_rates", lambda: (first / 2, last))
    assert literature.rates_task() == {"count": 4, "failed": ["square", "diagonal"]}


def test_a_quadratic_network_is_not_excluded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without recurrence the DEQ of a quadratic polynomial is one layer of it."""
    assert literature.quadratic_task("x + x**2/2")["proved"]
    monkeypatch.setattr(literature, "_WEIGHTS", ("0", "1"))
    assert not literature.quadratic_task("x + x**2/2")["proved"]


def test_a_pair_of_leaky_relus_is_found_where_there_is_one() -> None:
    found = literature.leaky_task("relu")
    assert not found["proved"]
    assert found["bound"] == 0


def test_released_parameters_solve_the_equations_of_their_own_variance(monkeypatch: pytest.MonkeyPatch) -> None:
    found = literature.parameters_task("tanh")
    assert found["own error"] < 1e-5 < 1e-3 < found["error"]
    monkeypatch.setattr(literature, "_WEIGHTS", (str(sp.Rational(found["solved for"])), "9/10"))
    assert literature.parameters_task("tanh")["error"] == pytest.approx(found["own error"])
