"""Mixtures: their statistics against direct definitions and their samples against the population."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from numerics.data import (
    ENTRY_LAWS,
    FOURTH_MOMENTS,
    Covariance,
    EntryLaw,
    GaussianMixture,
    MixtureStatistics,
    class_sizes,
    estimate_statistics,
)


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


@pytest.mark.parametrize("noise", ENTRY_LAWS)
def test_other_noise_has_the_same_first_two_moments_and_its_own_fourth(noise: EntryLaw) -> None:
    p, n = 5, 60_000
    means = np.zeros((1, p))
    means[0, 1] = 4.0
    covariance = Covariance.toeplitz(p, 0.6)
    sample = GaussianMixture.build(means, [covariance], [n], noise).sample(np.random.default_rng(7))
    x = sample.data * np.sqrt(p)
    np.testing.assert_allclose(x.mean(axis=1), means[0], atol=0.03)
    np.testing.assert_allclose(np.cov(x), covariance.dense(), atol=0.07)
    white = np.linalg.solve(np.linalg.cholesky(covariance.dense()), x - means.T)
    assert (white**4).mean() == pytest.approx(FOURTH_MOMENTS[noise], rel=0.25 if noise == "student" else 0.02)


@pytest.mark.parametrize("noise", ENTRY_LAWS)
@pytest.mark.parametrize(
    "covariance",
    [
        Covariance(1.7, 6),
        Covariance(np.linspace(0.5, 2.0, 6)),
        Covariance(toeplitz(6, 0.6)),
        Covariance.toeplitz(6, 0.6),
    ],
    ids=["isotropic", "diagonal", "symmetric root", "causal root"],
)
def test_the_norms_fluctuate_as_the_fourth_moment_says(noise: EntryLaw, covariance: Covariance) -> None:
    """Exact, from the moments of z^T R^T R z written out; the root matters but for Gaussian noise."""
    root = covariance.colour(np.eye(6))
    form = root.T @ root
    fourth = FOURTH_MOMENTS[noise]
    # E z_i z_j z_k z_l: 1 for two pairs, the fourth moment where all four are the same.
    square = sum(
        form[i, i] * form[j, j] + 2 * form[i, j] ** 2 if i != j else fourth * form[i, i] ** 2
        for i in range(6)
        for j in range(6)
    )
    expected = square - np.trace(form) ** 2
    assert covariance.square_norm_variance(fourth) == pytest.approx(expected, abs=1e-12)
    mixture = GaussianMixture.build(np.zeros((1, 6)), [covariance], [40_000], noise)
    np.testing.assert_allclose(mixture.norm_energies, [expected / 6], atol=1e-12)
    if noise != "student":
        psi = mixture.sample(np.random.default_rng(3)).statistics().psi
        # Var psi = E psi^2; its estimate has a relative standard error of about sqrt(8 / 40,000).
        assert 6 * np.mean(psi**2) == pytest.approx(expected / 6, rel=0.07, abs=1e-12)


def test_gaussian_noise_is_drawn_as_it_always_was() -> None:
    """The numbers of recorded runs: standard normals, class after class."""
    mixture = general_mixture()
    rng = np.random.default_rng(11)
    blocks = [c.colour(rng.standard_normal((12, k))) for c, k in zip(mixture.covariances, mixture.sizes, strict=True)]
    expected = np.hstack(blocks) / np.sqrt(12)
    np.testing.assert_array_equal(mixture.sample(np.random.default_rng(11)).noise, expected)


def test_named_covariances() -> None:
    np.testing.assert_allclose(Covariance.toeplitz(6, 0.6, 2.0).dense(), 2 * toeplitz(6, 0.6))
    U, strengths = np.random.default_rng(0).standard_normal((6, 2)), np.array([3.0, -0.01])
    made = Covariance.low_rank_plus_noise(U, strengths, 0.5).dense()
    expected = 0.5 * np.eye(6) + 3 * np.outer(U[:, 0], U[:, 0]) - 0.01 * np.outer(U[:, 1], U[:, 1])
    np.testing.assert_allclose(made, expected)
    with pytest.raises(ValueError, match=r"lie in \(-1, 1\)"):
        Covariance.toeplitz(6, 1.0)
    with pytest.raises(ValueError, match="r strengths"):
        Covariance.low_rank_plus_noise(U, [1.0])
    with pytest.raises(ValueError, match="semidefinite"):
        Covariance.low_rank_plus_noise(U, [-9.0, 1.0], 0.5)


def test_class_sizes_follow_the_proportions() -> None:
    assert class_sizes(10, [1, 1, 1]) == (4, 3, 3)
    assert class_sizes(100, [0.2, 0.3, 0.5]) == (20, 30, 50)
    assert class_sizes(11, [0.26, 0.74]) == (3, 8)
    for samples in range(3, 40):
        sizes = class_sizes(samples, [5, 2, 6])
        assert sum(sizes) == samples
        assert np.all(np.abs(np.array(sizes) - samples * np.array([5, 2, 6]) / 13) < 1)
    with pytest.raises(ValueError, match="empty"):
        class_sizes(3, [1, 1000])
    with pytest.raises(ValueError, match="positive"):
        class_sizes(3, [1, 0])


# --- statistics estimated from the data -----------------------------------------------------------


def brute_force_trace_of_square(x: np.ndarray) -> float:
    """Average of ((x_i - x_j).(x_k - x_l))^2 / 4 over all distinct i, j, k, l: unbiased for tr C^2 by inspection."""
    terms = [((x[:, i] - x[:, j]) @ (x[:, k] - x[:, m])) ** 2 for i, j, k, m in permutations(range(x.shape[1]), 4)]
    return float(np.mean(terms)) / 4


def test_estimates_are_their_definitions() -> None:
    rng = np.random.default_rng(4)
    p, labels = 7, np.array([1, 0, 0, 1, 0, 0, 1, 1, 0, 0, 1])
    data = rng.standard_t(5, (p, 11)) + 3 * labels
    found = estimate_statistics(data, labels)
    parts = [data[:, labels == a] for a in range(2)]
    cov = [np.cov(part) * p for part in parts]
    for a, part in enumerate(parts):
        assert found.T[a, a] == pytest.approx(brute_force_trace_of_square(part) * p, rel=1e-12)
    assert found.T[0, 1] == found.T[1, 0] == pytest.approx(np.trace(cov[0] @ cov[1]) / p)
    centre = (6 * np.trace(cov[0]) + 5 * np.trace(cov[1])) / 11
    np.testing.assert_allclose(found.t, [(np.trace(c) - centre) / np.sqrt(p) for c in cov])
    assert found.tau0("population") == pytest.approx(np.sqrt(centre / p))
    assert found.tau0("empirical") == pytest.approx(np.sqrt(np.sum(data**2) / 11))
    for a, k in ((0, 6), (1, 5)):
        gaps = parts[a] - parts[a].mean(axis=1, keepdims=True)
        np.testing.assert_allclose(
            found.psi[labels == a], np.sum(gaps**2, axis=0) * k / (k - 1) - np.trace(cov[a]) / p, atol=1e-12
        )
    assert found.source == "estimated"


@pytest.mark.parametrize("noise", ["gaussian", "rademacher", "student"])
def test_estimates_are_unbiased_for_any_noise(noise: EntryLaw) -> None:
    p, draws = 10, 4000
    means = np.zeros((2, p))
    means[1, 0] = 5.0
    mixture = GaussianMixture.build(means, [Covariance.toeplitz(p, 0.5), np.linspace(0.5, 2, p)], [5, 8], noise)
    rng = np.random.default_rng(12)
    samples = [mixture.sample(rng) for _ in range(draws)]
    truth = samples[0].statistics()
    estimates = [s.statistics("estimated") for s in samples]

    def numbers(statistics: MixtureStatistics) -> np.ndarray:
        return np.concatenate([statistics.T.ravel(), statistics.t, [statistics.tau0_population**2]])

    table = np.array([numbers(e) for e in estimates])
    error = table.std(axis=0) / np.sqrt(draws)
    assert np.all(np.abs(table.mean(axis=0) - numbers(truth)) < 4.5 * error)
    # The plug-in tr(S_a^2)/p is far outside the same bounds.
    plug_in = [np.sum(np.cov(s.data[:, :5]) ** 2) * p for s in samples]
    assert np.mean(plug_in) - truth.T[0, 0] > 20 * error[0]
    gaps = np.array([e.psi - s.statistics().psi for e, s in zip(estimates, samples, strict=True)])
    assert np.all(np.abs(gaps.mean(axis=0)) < 4.5 * gaps.std(axis=0) / np.sqrt(draws))


def test_estimates_approach_the_population() -> None:
    """The part V C V^T of the equivalent from estimates differs from the population's by O(p^(-1/2)) in norm."""
    gaps = []
    for p in (200, 800):
        sample = GaussianMixture.released_experiment(p).sample(np.random.default_rng(p))
        parts = []
        for source in ("population", "estimated"):
            statistics = sample.statistics(source)  # type: ignore[arg-type]
            V, t = statistics.low_rank, np.append(statistics.t, 1.0)
            core = np.outer(t, t)
            core[:2, :2] += statistics.T
            parts.append(V @ core @ V.T)
        gaps.append(np.linalg.norm(parts[0] - parts[1], 2))
    assert gaps[1] < 0.7 * gaps[0]


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
    with pytest.raises(ValueError, match="not 'cauchy'"):
        GaussianMixture.build(np.zeros((1, 3)), [1.0], [4], "cauchy")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="not 'guessed'"):
        general_mixture().sample(np.random.default_rng(0)).statistics("guessed")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="four samples"):
        estimate_statistics(np.ones((2, 6)), np.array([0, 0, 0, 1, 1, 1]))
    with pytest.raises(ValueError, match="n labels"):
        estimate_statistics(np.ones((2, 6)), np.zeros(5, dtype=int))


@pytest.mark.parametrize("value", [1.7, [0.5, 2.0, 3.0], [[2.0, 0.5, 0.0], [0.5, 1.0, 0.3], [0.0, 0.3, 1.5]]])
def test_the_quadratic_form_of_a_covariance(value: object) -> None:
    covariance, vector = Covariance(value, 3), np.array([1.0, -2.0, 0.5])
    assert covariance.quadratic_form(vector) == pytest.approx(vector @ covariance.dense() @ vector)
