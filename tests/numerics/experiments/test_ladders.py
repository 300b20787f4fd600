"""Convergence studies: what is measured, in which order, and the verdict on what is claimed of it."""

from __future__ import annotations

import json

import numpy as np
import pytest

from numerics.experiments import ConvergenceStudy, Experiment, Ladder, RateClaim
from theory.activations import get
from theory.claims import RateVerdict, VerdictKind

SIZES = (100, 200, 400, 800, 1600, 3200)
WHITE = Experiment(activations=(), means=0.0, cov_shift=0.0, seed=3)


def _errors(power: float, floor: float = 0.0) -> dict[int, list[float]]:
    """A power law above a floor, with a scatter of 1 % that is no random number."""
    return {p: [(floor + p**power) * (1 + 0.01 * np.sin(7.0 * p + 3 * k)) for k in range(12)] for p in SIZES}


@pytest.mark.parametrize(
    ("power", "floor", "claim", "verdict"),
    [
        (-0.5, 0.0, RateClaim.RATE, RateVerdict.SUPPORTED),
        (-0.5, 0.0, RateClaim.BOUND, RateVerdict.SUPPORTED),
        (-1.0, 0.0, RateClaim.RATE, RateVerdict.REFUTED),
        (-1.0, 0.0, RateClaim.BOUND, RateVerdict.FASTER),
        (-0.5, 0.3, RateClaim.RATE, RateVerdict.REFUTED),
        (-0.5, 0.3, RateClaim.BOUND, RateVerdict.REFUTED),
        (-0.5, 0.3, RateClaim.NOTHING, RateVerdict.UNCLAIMED),
    ],
)
def test_the_verdict_depends_on_what_is_claimed(
    power: float, floor: float, claim: RateClaim, verdict: RateVerdict
) -> None:
    ladder = Ladder.of(_errors(power, floor), np.random.default_rng(0), claim=claim)
    assert ladder.verdict is verdict
    assert json.loads(json.dumps(ladder.record()))["verdict"] == verdict.value


def test_too_few_sizes_are_undecided() -> None:
    few = {p: row for p, row in _errors(-0.5).items() if p <= 200}
    assert Ladder.of(few, np.random.default_rng(0)).verdict is RateVerdict.UNDECIDED


def test_verdicts_on_rates_are_verdicts_on_claims() -> None:
    kinds = {verdict: verdict.kind for verdict in RateVerdict if verdict}
    assert kinds == {
        RateVerdict.SUPPORTED: VerdictKind.SUPPORTED,
        RateVerdict.FASTER: VerdictKind.SUPPORTED,
        RateVerdict.REFUTED: VerdictKind.REFUTED,
        RateVerdict.UNDECIDED: VerdictKind.UNDECIDED,
    }
    with pytest.raises(ValueError, match="not a valid"):
        _ = RateVerdict.UNCLAIMED.kind


def test_cells_are_the_longest_first_and_pairs_have_their_limit() -> None:
    relu = get("relu").with_parameters()
    against_p = ConvergenceStudy(WHITE, relu, sizes=(40, 60), draws=2)
    assert [(cell["p"], cell["width"], cell["index"]) for cell in against_p.cells()] == [
        (60, None, 0), (60, None, 1), (40, None, 0), (40, None, 1),
    ]  # fmt: skip
    pairs = ConvergenceStudy(WHITE, relu, sizes=(50, 90), draws=1, width_dimension=30, explicit=True)
    assert [(cell["p"], cell["width"]) for cell in pairs.cells()] == [(30, 90), (30, 50), (30, None)]


def test_a_linear_network_is_its_equivalent_at_every_size() -> None:
    """phi(x) = x: the errors are rounding, and that is what the study says."""
    study = ConvergenceStudy(WHITE, get("identity").with_parameters(), sizes=(40, 60, 80), draws=2)
    (ladder,) = study.ladders([study.measure(cell) for cell in reversed(study.cells())])
    assert ladder.sizes == (40, 60, 80)
    assert [(cell["p"], cell["index"]) for cell in ladder.cells] == [(p, k) for p in (40, 60, 80) for k in range(2)]
    assert ladder.verdict is RateVerdict.SUPPORTED
    assert "equal to within rounding" in ladder.report.sentence
