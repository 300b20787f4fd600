"""Diagnostics of data against populations that are known, brute force, and draws."""

from __future__ import annotations

import numpy as np
import pytest

from numerics.data import Dataset, estimate_statistics
from numerics.experiments import DataDiagnostics, diagnose
from tests.numerics.experiments.low_dimensional import low_dimensional


def _diagnosed(data: Dataset) -> DataDiagnostics:
    statistics = estimate_statistics(data.samples.T, data.labels)
    return diagnose(data.samples, data.labels, data.gram(), statistics)


@pytest.mark.parametrize("decay", [0.0, 1.0, 2.0])
def test_the_effective_dimension_is_the_population_s(decay: float) -> None:
    p = 60
    variances = np.arange(1.0, p + 1) ** -decay
    found = _diagnosed(low_dimensional(2000, p, decay=decay, means=1.0)).effective_dimension
    np.testing.assert_allclose(found, variances.sum() ** 2 / np.sum(variances**2), rtol=0.1)


def test_means_carry_their_share_of_the_energy() -> None:
    found = _diagnosed(low_dimensional(2000, 50, means=0.5)).mean_energy_share
    assert found == pytest.approx(0.25 / 1.25, abs=0.01)
    assert _diagnosed(low_dimensional(2000, 50)).mean_energy_share < 0.002


@pytest.mark.parametrize("means", [0.0, 1.0])
def test_gaussian_samples_spread_as_gaussian_samples_do(means: float) -> None:
    found = _diagnosed(low_dimensional(4000, 40, decay=1.0, means=means))
    assert found.norm_spread == pytest.approx(found.gaussian_norm_spread, rel=0.08)
    assert _diagnosed(low_dimensional(500, 40, decay=1.0, sphere=True)).norm_spread < 1e-12
    other = _diagnosed(low_dimensional(4000, 400, norms=0.5))
    assert other.norm_spread > 3 * other.gaussian_norm_spread


def test_the_largest_correlation_is_found() -> None:
    data = low_dimensional(40, 5)
    lengths = np.linalg.norm(data.samples, axis=1)
    ratios = np.abs(data.gram()) / np.outer(lengths, lengths)
    np.fill_diagonal(ratios, 0)
    assert _diagnosed(data).largest_correlation == pytest.approx(ratios.max(), rel=1e-12)


def test_a_sample_of_norm_zero_has_no_correlation() -> None:
    samples = np.vstack([np.zeros(3), np.eye(3), np.eye(3)[:2], 2 * np.eye(3)[:2]])
    found = _diagnosed(Dataset.from_arrays(samples, [0, 0, 1, 1, 0, 1, 0, 1]))
    assert found.largest_correlation == pytest.approx(1.0)


def test_the_error_of_t_is_that_of_its_draws() -> None:
    found = [_diagnosed(low_dimensional(60, 30, decay=1.0, seed=seed)) for seed in range(300)]
    spread = np.std([one.t[0] for one in found])
    assert np.mean([one.t_error[0] for one in found]) == pytest.approx(spread, rel=0.15)


def test_a_class_without_spread_is_refused() -> None:
    samples = np.vstack([np.ones((5, 3)), np.random.default_rng(0).standard_normal((5, 3))])
    with pytest.raises(ValueError, match="class 0 are all the same"):
        _diagnosed(Dataset.from_arrays(samples, [0] * 5 + [1] * 5))
