"""The error rates of the equivalence tests on synthetic predictions, and what is planted in them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.stats import binom, binomtest, norm

from numerics.learning import EquivalenceTest, compare_draws, compare_predictions, judge_equivalence
from theory.claims import VerdictKind


def _pair(n: int, better: float, worse: float, rng: np.random.Generator) -> tuple[Any, Any, Any]:
    """Truth, and two models: the first is right where the second errs with one probability, and the reverse."""
    u = rng.random(n)
    truth = np.zeros(n, dtype=int)
    return truth, ((u >= better) & (u < better + worse)).astype(int), (u < better).astype(int)


def _accepted(n: int, better: float, worse: float, count: int, **options: Any) -> tuple[float, float]:
    """How often equivalence is accepted, and the power that is stated, on average."""
    rng = np.random.default_rng([n, round(1e6 * better)])
    found = []
    for _ in range(count):
        truth, reference, other = _pair(n, better, worse, rng)
        tests = compare_predictions(reference, {"other": other}, truth, rng, resamplings=200, **options)
        found.append(tests["other"])
    return float(np.mean([test.equivalent for test in found])), float(np.mean([test.power for test in found]))


@pytest.mark.parametrize(
    ("n", "better", "worse"),
    [
        (500, 0.0025, 0.0),  # often nobody errs: a bootstrap alone accepts 29 % of these
        (2000, 0.0025, 0.0),
        (4000, 0.0035, 0.001),
        (10_000, 0.001, 0.0035),
    ],
)
def test_level_holds_at_the_margin(n: int, better: float, worse: float) -> None:
    """Models whose accuracies differ by exactly the margin are accepted in at most 5 %, but for chance."""
    count = 300
    accepted, _ = _accepted(n, better, worse, count, limit=1.0)
    assert accepted * count <= binom.ppf(0.999, count, 0.05)


def test_a_bootstrap_alone_would_not_hold_it() -> None:
    """What the score test is for: where no sample showed a difference the interval is a point."""
    truth = np.zeros(500, dtype=int)
    test = compare_predictions(truth, {"other": truth}, truth, np.random.default_rng(0))["other"]
    assert (test.low, test.high) == (0, 0)
    assert test.score > 0.05
    assert not test.equivalent
    assert test.power == 0


def test_power_is_about_what_is_stated() -> None:
    accepted, stated = _accepted(10_000, 0.004, 0.004, 150, limit=1.0)
    assert 0.5 < stated < 0.9
    assert accepted == pytest.approx(stated, abs=0.12)


@pytest.mark.parametrize("level", [0.05, 0.01])
def test_the_interval_and_the_power_have_the_level(level: float) -> None:
    """Of many samples both are those of a normal mean; twice the level would be 10 to 30 % off."""
    rng = np.random.default_rng(5)
    truth, reference, other = _pair(50_000, 0.03, 0.03, rng)
    error = float(np.sqrt(np.mean(np.square((reference == truth) * 1.0 - (other == truth))) / truth.size))
    quantile = float(norm.ppf(1 - level))
    margin = (quantile + 0.6) * error
    found = compare_predictions(
        reference, {"other": other}, truth, rng, margin=margin, level=level, resamplings=20_000
    )["other"]
    assert (found.difference - found.low) / error == pytest.approx(quantile, rel=0.05)
    assert (found.high - found.difference) / error == pytest.approx(quantile, rel=0.05)
    assert found.power == pytest.approx(2 * norm.cdf(0.6) - 1, abs=0.05)


def test_score_test_is_that_of_the_likelihood() -> None:
    """Against the constrained maximum found on a grid."""
    rng = np.random.default_rng(1)
    truth, reference, other = _pair(3000, 0.004, 0.002, rng)
    test = compare_predictions(reference, {"other": other}, truth, rng, resamplings=100)["other"]
    b, c, n = np.count_nonzero(other), np.count_nonzero(reference), 3000
    p_values = []
    for delta, first, second in ((0.0025, b, c), (0.0025, c, b)):
        q = np.linspace(1e-8, 0.02, 400_001)
        rest = 1 - 2 * q - delta
        best = q[np.argmax(first * np.log(q + delta) + second * np.log(q) + (n - first - second) * np.log(rest))]
        z = (first - second - n * delta) / np.sqrt(n * (2 * best + delta - delta**2))
        p_values.append(0.5 * (1 + np.vectorize(__import__("math").erf)(z / np.sqrt(2))))
    assert test.score == pytest.approx(max(p_values), rel=1e-3)


def test_disagreement_has_its_exact_bounds() -> None:
    rng = np.random.default_rng(2)
    truth = np.zeros(2000, dtype=int)
    other = truth.copy()
    other[:7] = 1
    # Both wrong, and on different labels: a disagreement without a difference in accuracy.
    wrong, also_wrong = truth + 1, truth + 1
    also_wrong[:7] = 2
    for reference, found in ((truth, other), (wrong, also_wrong)):
        test = compare_predictions(reference, {"other": found}, truth, rng)["other"]
        interval = binomtest(7, 2000).proportion_ci(0.9, "exact")
        assert (test.disagreement_low, test.disagreement_high) == pytest.approx((interval.low, interval.high))
    assert test.difference == 0
    none = compare_predictions(truth, {"other": truth}, truth, rng)["other"]
    assert none.disagreement_high == pytest.approx(1 - 0.05 ** (1 / 2000))
    # As accurate, and yet another function.
    flipped = np.where(rng.random(20_000) < 0.02, 2, 1)
    test = compare_predictions(np.ones(20_000), {"other": flipped}, np.zeros(20_000), rng)["other"]
    assert test.different
    assert not test.equivalent


def test_models_share_their_resamplings() -> None:
    rng = np.random.default_rng(3)
    truth, reference, other = _pair(1000, 0.01, 0.01, rng)
    tests = compare_predictions(reference, {"first": other, "second": other.copy()}, truth, rng, resamplings=100)
    assert tests["first"] == tests["second"]


# --- draws of features -----------------------------------------------------------------------------------------------


def _draws(r: int, n: int, shift: float, noise: float, rng: np.random.Generator) -> tuple[Any, ...]:
    """Truth and the predictions of the DEQ, of the DEQ drawn anew and of another whose error rate is shifted."""
    hard = 0.3 * rng.random(n)

    def model(by: float) -> Any:
        chance = hard + by + noise * rng.standard_normal((r, 1))
        return (rng.random((r, n)) < np.clip(chance, 0, 1)).astype(int)

    return np.zeros(n, dtype=int), model(0.0), model(0.0), model(shift)


def _noise(n: int, noise: float) -> float:
    rng = np.random.default_rng(9)
    _, first, second, _ = _draws(2000, n, 0.0, noise, rng)
    return float(np.std(first.mean(axis=1) - second.mean(axis=1)))


@pytest.mark.parametrize(("r", "n", "noise"), [(5, 300, 0.01), (12, 300, 0.01), (40, 300, 0.01), (40, 300, 0.0)])
def test_level_holds_for_draws(r: int, n: int, noise: float) -> None:
    """A model whose mean accuracy is off by what a DEQ drawn anew varies by is accepted in at most 5 %."""
    rng, count, margin = np.random.default_rng([r, n]), 150, _noise(n, noise)
    found = []
    for _ in range(count):
        truth, reference, redrawn, other = _draws(r, n, margin, noise, rng)
        found.append(compare_draws(reference, redrawn, {"o": other}, truth, rng, resamplings=200, limit=1.0)["o"])
    assert sum(test.equivalent for test in found) <= binom.ppf(0.999, count, 0.05)
    assert sum(test.different for test in found) <= binom.ppf(0.999, count, 0.05)
    # The margin is below the truth in all but 2.5 %, and the bound for a difference above it.
    assert sum(test.margin > margin for test in found) <= binom.ppf(0.999, count, 0.025)
    assert sum(test.far < margin for test in found) <= binom.ppf(0.999, count, 0.025)


def test_draws_have_power_and_tell_a_planted_difference() -> None:
    rng, margin = np.random.default_rng(4), _noise(300, 0.01)
    truth, reference, redrawn, same = _draws(60, 300, 0.0, 0.01, rng)
    _, _, _, worse = _draws(60, 300, 6 * margin, 0.01, np.random.default_rng(5))
    tests = compare_draws(reference, redrawn, {"same": same, "worse": worse}, truth, rng, limit=0.05)
    assert tests["same"].equivalent
    assert tests["same"].power > 0.5
    assert tests["worse"].different
    assert judge_equivalence(tests["same"], tests["worse"]).kind is VerdictKind.SUPPORTED


# --- the verdict -----------------------------------------------------------------------------------------------------


def _test(kind: str) -> EquivalenceTest:
    low, high, disagreement = {"same": (-0.001, 0.001, 0.001), "vague": (-0.01, 0.01, 0.001),
                               "far": (0.004, 0.006, 0.02), "other": (-0.001, 0.001, 0.02)}[kind]  # fmt: skip
    score = 0.01 if kind == "same" else 0.5
    return EquivalenceTest(
        (low + high) / 2, low, high, 0.0025, 0.0025, score, disagreement, 0.9 * disagreement, 1.1 * disagreement,
        0.005, 0.05, 0.8,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("matched", "control", "kind", "reason"),
    [
        ("same", "far", VerdictKind.SUPPORTED, "the control is not"),
        ("same", "vague", VerdictKind.SUPPORTED, "the control is not"),
        ("same", "same", VerdictKind.UNDECIDED, "the control passes the same test"),
        ("vague", "far", VerdictKind.UNDECIDED, "equivalence is not shown"),
        ("far", "far", VerdictKind.REFUTED, "the matched network differs"),
        ("other", "far", VerdictKind.REFUTED, "the matched network differs"),
    ],
)
def test_verdicts(matched: str, control: str, kind: VerdictKind, reason: str) -> None:
    found = judge_equivalence(_test(matched), _test(control))
    assert found.kind is kind
    assert reason in found.evidence
    assert "points" in found.evidence


def test_what_is_refused() -> None:
    rng, labels = np.random.default_rng(0), np.zeros(10)
    with pytest.raises(ValueError, match="must all have the shape"):
        compare_predictions(labels, {"other": labels[1:]}, labels, rng)
    with pytest.raises(ValueError, match="3 rows or more"):
        compare_draws(labels[None], labels[None], {}, labels, rng)
    for wrong in ({"margin": 0.0}, {"level": 0.5}, {"limit": -0.1}, {"resamplings": 10}):
        with pytest.raises(ValueError, match="a margin in"):
            compare_predictions(labels, {"other": labels}, labels, rng, **wrong)  # type: ignore[arg-type]
