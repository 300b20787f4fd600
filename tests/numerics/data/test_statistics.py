"""E[(x_i . x_j)^2] with means: brute force, its own formula from the population, and labels that do not fit."""

from __future__ import annotations

import numpy as np
import pytest

from numerics.data import estimate_statistics, mean_squared_products

P = 12
SIZES = (7, 11)


def _draw(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
    """Samples of two classes with means and covariances of their own, and their second moments M_a/p."""
    labels = np.repeat([0, 1], SIZES)
    means = np.vstack([np.full(P, 0.3), np.linspace(-1, 1, P)])
    scales = np.vstack([np.linspace(0.2, 1.5, P), np.full(P, 0.8)])
    samples = (means[labels] + scales[labels] * rng.standard_normal((sum(SIZES), P))) / np.sqrt(P)
    return samples, labels, [(np.diag(s**2) + np.outer(m, m)) / P for m, s in zip(means, scales, strict=True)]


def test_it_is_the_mean_over_pairs_of_different_samples() -> None:
    samples, labels, _ = _draw(np.random.default_rng(0))
    gram = samples @ samples.T
    found = mean_squared_products(gram, labels)
    for a in range(2):
        for b in range(2):
            pairs = [
                gram[i, j] ** 2 for i in range(18) for j in range(18) if i != j and labels[i] == a and labels[j] == b
            ]
            assert found[a, b] == pytest.approx(np.mean(pairs), rel=1e-12)


def test_it_estimates_the_second_moments_product_without_bias() -> None:
    """tr(M_a M_b)/p^2, of which T_ab/p without the means is far off."""
    rng = np.random.default_rng(1)
    moments = _draw(rng)[2]
    draws = []
    for _ in range(2000):
        samples, labels, _ = _draw(rng)
        draws.append(mean_squared_products(samples @ samples.T, labels))
    expected = np.array([[np.sum(a * b) for b in moments] for a in moments])
    error = np.std(draws, axis=0, ddof=1) / np.sqrt(len(draws))
    assert np.all(np.abs(np.mean(draws, axis=0) - expected) < 4 * error)
    assert np.all(error < 0.03 * expected)


def test_it_is_symmetric_to_the_last_bit() -> None:
    samples, labels, _ = _draw(np.random.default_rng(2))
    found = mean_squared_products(samples @ samples.T, labels)
    assert np.array_equal(found, found.T)


@pytest.mark.parametrize("labels", [[0, 0], [0, 0, -1], [0, 0, 1]])
def test_labels_that_do_not_fit_are_refused(labels: list[int]) -> None:
    with pytest.raises(ValueError, match=r"labels from 0 on|at least two samples"):
        mean_squared_products(np.eye(3), np.array(labels))


def test_classes_that_are_too_small_are_told_in_plain_numbers() -> None:
    labels = np.array([0, 0, 0, 1, 1, 1, 1])
    with pytest.raises(ValueError, match=r"at least four samples to estimate from, and the smallest has 3$"):
        estimate_statistics(np.eye(7), labels)
    with pytest.raises(ValueError, match=r"at least two samples to estimate from, and the smallest has 1$"):
        mean_squared_products(np.eye(3), np.array([0, 0, 1]))
