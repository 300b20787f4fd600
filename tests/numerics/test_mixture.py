"""Mixtures: their statistics against direct definitions and their samples against the population."""

from __future__ import annotations

import numpy as np
import pytest

from numerics.mixture import Covariance, GaussianMixture


def toeplitz(p: int, decay: float) -> np.ndarray:
    return decay ** np.abs(np.subtract.outer(np.arange(p), np.arange(p)))


def general_mixture(p: int = 12) -> GaussianMixture:
    means = np.zeros((3, p))
    means[1, 2], means[2, 5] = 3.0, -2.0
    covariances = [1.5, np.linspace(0.5, 2.0, p), toeplitz(p, 0.6)]
    return GaussianMixture.build(means, covariances, [5, 7, 4])


def test_statistics_are_their_definitions() -> None:
    mixture = general_mixture()
    p, n = 12, 16
    dense = [c.dense() for c in mixture.covariances]
    centre = sum(k * c for k, c in zip((5, 7, 4), dense, strict=True)) / n
    sample = mixture.sample(np.random.default_rng(3))
    statistics = sample.statistics()
    np.testing.assert_allclose(statistics.t, [np.trace(c - centre) / np.sqrt(p) for c in dense])
    expected = [[np.trace(a @ b) / p for b in dense] for a in dense]
    np.testing.assert_allclose(statistics.T, expected)
    # The released code's elementwise product would differ here: the Toeplitz class is not diagonal.
    assert not np.isclose(expected[2][2], np.sum(np.diag(dense[2]) ** 2) / p)
    assert statistics.tau0("population") == pytest.approx(np.sqrt(np.trace(centre) / p))
    gram = sample.gram()
    assert statistics.tau0("empirical") == pytest.approx(np.sqrt(np.trace(gram) / n))
    for i in range(n):
        a = sample.labels[i]
        w = sample.data[:, i] - mixture.means[a] / np.sqrt(p)
        assert statistics.psi[i] == pytest.approx(w @ w - np.trace(dense[a]) / p)
        np.testing.assert_array_equal(statistics.indicator[i], np.eye(3)[a])
    np.testing.assert_allclose(statistics.low_rank[:, :3], statistics.indicator / np.sqrt(p))
    assert statistics.low_rank.shape == (n, 4)


def test_samples_have_the_means_and_covariances() -> None:
    p, n = 6, 40_000
    means = np.zeros((2, p))
    means[1, 1] = 4.0
    mixture = GaussianMixture.build(means, [toeplitz(p, 0.7), np.linspace(1, 3, p)], [n, n])
    sample = mixture.sample(np.random.default_rng(5))
    for a in range(2):
        x = sample.data[:, sample.labels == a] * np.sqrt(p)
        # Standard errors are at most 3 sqrt(2/n) = 0.021.
        np.testing.assert_allclose(x.mean(axis=1), means[a], atol=0.06)
        np.testing.assert_allclose(np.cov(x), mixture.covariances[a].dense(), atol=0.12)


def test_released_experiment() -> None:
    mixture = GaussianMixture.released_experiment(400)
    assert mixture.sizes == (160, 160)
    assert mixture.means[0, 0] == 8 == mixture.means[1, 8]
    assert np.count_nonzero(mixture.means) == 2
    assert mixture.covariances[0].trace == pytest.approx(400)
    assert mixture.covariances[1].trace == pytest.approx(400 * (1 + 8 / 20))
    np.testing.assert_allclose(mixture.trace_shifts, [-4.0, 4.0])
    np.testing.assert_allclose(mixture.trace_products, [[1, 1.4], [1.4, 1.96]])
    assert mixture.tau0 == pytest.approx(np.sqrt(1.2))


def test_rounding_of_the_sizes() -> None:
    assert GaussianMixture.released_experiment(101).sizes == (41, 40)
    assert GaussianMixture.released_experiment(100, 0.25, classes=3).sizes == (9, 8, 8)


def test_same_seed_same_sample() -> None:
    mixture = general_mixture()
    first, second = (mixture.sample(np.random.default_rng(1)).data for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, mixture.sample(np.random.default_rng(2)).data)


def test_permuted_statistics_follow() -> None:
    sample = general_mixture().sample(np.random.default_rng(0))
    order = np.random.default_rng(1).permutation(16)
    before, after = sample.statistics(), sample.permuted(order).statistics()
    np.testing.assert_allclose(after.psi, before.psi[order], atol=1e-14)
    np.testing.assert_array_equal(after.indicator, before.indicator[order])


@pytest.mark.parametrize(
    ("value", "dimension", "message"),
    [
        (1.0, None, "needs the dimension"),
        (-1.0, 3, "must not be negative"),
        ([1.0, -1.0], None, "must not be negative"),
        ([[1.0, 0.5], [0.0, 1.0]], None, "symmetric"),
        ([[1.0, 2.0], [2.0, 1.0]], None, "semidefinite"),
        ([1.0, np.nan], None, "finite"),
        (np.ones((2, 3)), None, "shape"),
        ([1.0, 2.0], 3, "expected 3"),
    ],
)
def test_bad_covariances(value: object, dimension: int | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Covariance(value, dimension)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"p": 0}, "at least 1"),
        ({"p": 8}, "at least 9"),
        ({"p": 100, "ratio": 0.0}, "ratio"),
        ({"p": 100, "ratio": 0.01}, "too few"),
        ({"p": 100, "classes": 0}, "classes"),
        ({"p": 100, "cov_shift": -20.0}, "negative"),
        ({"p": 100, "means": np.inf}, "finite"),
    ],
)
def test_bad_experiments(arguments: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        GaussianMixture.released_experiment(**arguments)


def test_bad_mixtures() -> None:
    with pytest.raises(ValueError, match="2 means need"):
        GaussianMixture.build(np.zeros((2, 3)), [1.0], [1, 1])
    with pytest.raises(ValueError, match="at least one sample"):
        GaussianMixture.build(np.zeros((1, 3)), [1.0], [0])
    with pytest.raises(ValueError, match="expected 3"):
        GaussianMixture.build(np.zeros((1, 3)), [np.ones(4)], [1])
    with pytest.raises(ValueError, match="empirical"):
        general_mixture().sample(np.random.default_rng(0)).statistics().tau0("guessed")
