"""Gaussian twins have the class means and covariances of the data, and nothing else of them."""

from __future__ import annotations

import numpy as np
import pytest

from numerics.experiments import gaussian_twin


def test_means_and_covariances_are_the_data_s() -> None:
    """Over many twins, each entry within five standard errors; the data are far from Gaussian."""
    rng = np.random.default_rng(0)
    samples = rng.exponential(size=(9, 3)) * [1, 2, 3]
    labels = np.array([0, 1] * 4 + [1])
    draws = np.array([gaussian_twin(samples, labels, rng) for _ in range(4000)])
    for label in (0, 1):
        rows = samples[labels == label]
        found = draws[:, labels == label].reshape(-1, 3)
        deviations = found - rows.mean(axis=0)
        error = np.cov(rows.T).diagonal() ** 0.5 / np.sqrt(len(found))
        assert np.all(np.abs(deviations.mean(axis=0)) < 5 * error)
        products = deviations[:, :, None] * deviations[:, None, :]
        spread = products.std(axis=0) / np.sqrt(len(found))
        assert np.all(np.abs(products.mean(axis=0) - np.cov(rows.T)) < 5 * spread)


def test_the_twin_is_gaussian() -> None:
    rng = np.random.default_rng(0)
    samples = rng.choice([-1.0, 1.0], size=(400, 1))
    twin = gaussian_twin(samples, np.zeros(400, dtype=int), rng)
    kurtosis = np.mean(twin**4) / np.mean(twin**2) ** 2
    assert kurtosis == pytest.approx(3, abs=5 * np.sqrt(24 / 400))


def test_fewer_samples_than_dimensions() -> None:
    """A covariance of rank n - 1: the twin stays in the span of the data."""
    rng = np.random.default_rng(0)
    samples = rng.standard_normal((5, 50))
    twin = gaussian_twin(samples, np.zeros(5, dtype=int), rng)
    basis = np.linalg.svd(samples)[2][:5]
    np.testing.assert_allclose(twin @ basis.T @ basis, twin, atol=1e-12)
    assert np.linalg.matrix_rank(twin - samples.mean(axis=0)) == 4


def test_the_generator_alone_decides() -> None:
    samples, labels = np.random.default_rng(0).standard_normal((2100, 2)), np.zeros(2100, dtype=int)
    first, second, other = (gaussian_twin(samples, labels, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert np.array_equal(first, second)
    assert not np.allclose(first, other)


def test_a_class_of_one_is_refused() -> None:
    with pytest.raises(ValueError, match="class 1 has one"):
        gaussian_twin(np.eye(3), np.array([0, 0, 1]), np.random.default_rng(0))
