"""Control variates: their means are 0, taking them off keeps the mean, and the scatter falls."""

from __future__ import annotations

import numpy as np
import pytest

from numerics.arrays import Array
from numerics.data import Covariance, GaussianMixture
from numerics.ledger import control_variates, controlled, limit_test, predicted_test


def _three_classes(p: int) -> GaussianMixture:
    """Means and covariances that are all different, and a class of few samples."""
    means = np.zeros((3, p))
    means[0, :2], means[1, 1:4], means[2, 3] = (2.0, 1.0), (1.5, -1.0, 2.0), -2.5
    diagonal = np.linspace(0.5, 2.5, p)
    return GaussianMixture.build(means, [Covariance.toeplitz(p, 0.5, 1.2), Covariance(diagonal), 0.7], [7, 4, 3])


def test_their_means_are_0() -> None:
    """18 averages over 4000 draws: the largest of as many normal scores is above 4.5 in one of 8000 runs."""
    mixture, rng = _three_classes(20), np.random.default_rng(11)
    rows = np.array([control_variates(sample, sample.gram()) for sample in (mixture.sample(rng) for _ in range(4000))])
    assert rows.shape[1] == 3 * (3 + 3)
    scores = rows.mean(axis=0) / (rows.std(axis=0, ddof=1) / np.sqrt(len(rows)))
    assert np.abs(scores).max() < 4.5


SIZES, DRAWS = (100, 200, 400, 800), (20, 16, 14, 12)


def _draws(rng: np.random.Generator) -> tuple[list[Array], list[Array]]:
    """Values that follow two of three controls up to a hundredth of their scatter."""
    values, controls = [], []
    for p, count in zip(SIZES, DRAWS, strict=True):
        known = rng.standard_normal((count, 3)) / p
        rest = 0.01 * rng.standard_normal((count, 2)) / p
        values.append(0.3 * p**-0.5 + known[:, :2] @ np.array([[2.0, -1.0], [0.5, 3.0]]) + rest)
        controls.append(known)
    return values, controls


def test_taking_them_off_keeps_the_mean_and_not_the_scatter() -> None:
    values, controls = _draws(np.random.default_rng(5))
    for p, before, after in zip(SIZES, values, controlled(SIZES, values, controls), strict=True):
        assert np.all(after.std(axis=0) < 0.02 * before.std(axis=0))
        assert after.mean(axis=0) == pytest.approx(np.full(2, 0.3 * p**-0.5), abs=0.02 / p)


def test_a_draw_is_not_corrected_by_itself() -> None:
    """Coefficients come from the other sizes: what is changed in one draw changes that draw by as much."""
    values, controls = _draws(np.random.default_rng(6))
    before = controlled(SIZES, values, controls)[0]
    values[0][3] += 0.4
    after = controlled(SIZES, values, controls)[0]
    assert after[3] == pytest.approx(before[3] + 0.4)
    assert np.delete(after, 3, axis=0) == pytest.approx(np.delete(before, 3, axis=0))


def test_with_few_draws_nothing_is_taken_off() -> None:
    values, controls = ([rows[:2] for rows in part] for part in _draws(np.random.default_rng(7)))
    for kept, given in zip(controlled(SIZES, values, controls), values, strict=True):
        assert np.array_equal(kept, given)


def test_errors_are_predicted_from_small_sizes() -> None:
    rng = np.random.default_rng(8)

    def values(sizes: tuple[int, ...], draws: tuple[int, ...]) -> list[Array]:
        return [0.2 * p**-0.5 + rng.standard_normal((k, 3)) / p for p, k in zip(sizes, draws, strict=True)]

    pilot, planned = ((60, 90, 130, 200), (60, 50, 40, 30)), ((200, 400, 800, 1600), (60, 50, 40, 30))
    foreseen = predicted_test("abc", (pilot[0], values(*pilot)), planned)
    found = limit_test("abc", planned[0], values(*planned))
    assert foreseen.errors == pytest.approx(found.errors, rel=0.5)
    assert foreseen.critical == pytest.approx(found.critical, rel=0.05)
    with pytest.raises(ValueError, match="at least 4 sizes"):
        predicted_test("abc", (pilot[0], values(*pilot)), ((200, 400), (9, 9)))


def test_the_level_is_kept_without_what_is_taken_off() -> None:
    """As many controls as two classes have, and draws as in the quick profile: coefficients that err, not the level."""
    sizes, draws = (120, 200, 300, 600, 1200), (12, 16, 14, 14, 8)
    rng, level, runs, refuted, raw = np.random.default_rng(9), 0.05, 400, 0, []
    mixing = rng.standard_normal((10, 8))
    for _ in range(runs):
        controls = [rng.standard_normal((k, 10)) / p for p, k in zip(sizes, draws, strict=True)]
        values = [
            0.3 * p**-0.5 - 0.5 / p + (known @ mixing + 0.5 * rng.standard_normal((len(known), 8)) / p)
            for p, known in zip(sizes, controls, strict=True)
        ]
        test = limit_test([f"w{k}" for k in range(8)], sizes, controlled(sizes, values, controls), level=level)
        refuted += test.refuted
        raw.append(test.limits / test.errors)
    assert 0.93 < float(np.std(raw)) < 1.07
    # The level, within four standard errors of the count.
    assert refuted / runs < level + 4 * np.sqrt(level / runs)
    assert refuted > 0
