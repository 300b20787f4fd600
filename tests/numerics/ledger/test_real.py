"""Evidence on real data: the test of a bound, the claims on the data that are here, and runs where none are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from numerics.data import MissingDatasetError, load_dataset, missing_dataset
from numerics.experiments import Equivalent
from numerics.ledger import PROFILES, LedgerRun, Plan, Standing, UnknownClaimError
from numerics.ledger import real as module
from numerics.ledger.real import _Bounded, _on_data, _wrong_coefficients, gbar_task, missing_data
from theory.claims import CLAIMS, VerdictKind

REAL = ("real-gbar", "real-second-order", "released-pairs")


def _needs_data() -> None:
    try:
        load_dataset("mnist")
    except MissingDatasetError as error:
        pytest.skip(str(error))


def test_the_test_of_a_bound_keeps_its_level() -> None:
    rng = np.random.default_rng(0)
    kinds = [_Bounded(rng.normal(1, 0.1, 6).tolist(), 1.0, 0.05).kind for _ in range(4000)]
    for wrong in (VerdictKind.SUPPORTED, VerdictKind.REFUTED):
        assert kinds.count(wrong) / 4000 == pytest.approx(0.05, abs=0.015)
    assert _Bounded([1.0, 1.1, 0.9], 2.0, 0.01).kind is VerdictKind.SUPPORTED
    assert _Bounded([3.0, 3.1, 2.9], 2.0, 0.01).kind is VerdictKind.REFUTED


def test_wrong_formulas_are_those_that_samples_of_norm_1_show() -> None:
    names = set(_wrong_coefficients())
    assert {"extra-diagonal", "alpha_3 absent", "lambda_1 for alpha_1", "uncentred diagonal"} <= names
    # These change what belongs to the norms, to statistics or to powers of tau_0 alone.
    assert not names & {"alpha_2 absent", "centred-T", "tau_0 not squared on the diagonal"}
    assert len(names) >= 10


def test_without_data_claims_are_left_out_with_the_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "missing_dataset", lambda name: f"{name} is not on this machine: get it")
    run = LedgerRun(Plan(PROFILES["default"], 0))
    assert set(run.claims) | set(run.left_out) == set(CLAIMS)
    assert run.left_out["real-gbar"] == (
        "fashion-mnist is not on this machine: get it; mnist is not on this machine: get it"
    )
    assert "released-pairs" in run.claims
    with pytest.raises(UnknownClaimError, match="real-gbar: fashion-mnist is not on this machine"):
        LedgerRun(Plan(PROFILES["default"], 0), ("real-gbar",))
    small = LedgerRun(Plan(replace(PROFILES["quick"], left_out={}), 0), ("released-pairs",))
    assert {task.arguments["data"] for task in small.tasks} == {"mixture"}


def test_the_claims_on_the_data_that_are_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """On few and small draws of one set, at a level that they can decide; `make verify` has those of the profile."""
    name = next((name for name in module._SETS if not missing_dataset(name)), None)
    if name is None:
        pytest.skip("; ".join(map(missing_dataset, module._SETS)))
    assert not missing_data()
    small = {"_SETS": {name: module._SETS[name]}, "_SAMPLES": 120, "_DRAWS": 4, "PAIRS": {"relu": module.PAIRS["relu"]}}
    for attribute, value in small.items():
        monkeypatch.setattr(module, attribute, value)
    outcome = LedgerRun(Plan(replace(PROFILES["default"], level=0.01), 3), REAL).compute()
    assert outcome.standing is Standing.AS_EXPECTED
    assert outcome.planted
    assert all(one.refuted for one in outcome.planted)
    power = next(one.details["power"] for one in outcome.verdicts if one.claim == "real-second-order")
    assert max(power["linear"], power["diagonal"]) <= 0.05


def test_what_explains_the_error_of_gbar() -> None:
    _needs_data()
    images = gbar_task("mnist", "relu", "1/5", "4/5", 0, 0)
    mixture = gbar_task("mixture", "relu", "1/5", "4/5", 0, 0)
    assert max(images["dimensions"]) < 40 < 600 < min(mixture["dimensions"])
    assert images["with_means"] < images["error"]
    assert images["share"] > mixture["share"]


def test_the_diagonal_is_seen() -> None:
    rng = np.random.default_rng(0)
    samples = rng.standard_normal((60, 20)) / np.sqrt(20)
    on_data, exact = _on_data(samples, np.arange(60) % 2, "relu", ("1/5", "4/5"))
    other = on_data.matrix(Equivalent.KEPT_NORMS)
    assert module._diagonal_error(exact, 1.1 * np.diag(np.diag(exact))) == pytest.approx(0.1)
    assert module._diagonal_error(exact, other) < 0.02
