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


def test_the_effective_dimension_is_the_ratio_of_what_is_estimated() -> None:
    """tr(C)^2/tr(C^2), of the sample covariances' traces and the estimate of T."""
    data = low_dimensional(300, 40, decay=1.0, means=1.0)
    statistics = estimate_statistics(data.samples.T, data.labels)
    traces = [np.trace(np.cov(data.samples[data.labels == place].T)) for place in (0, 1)]
    # A sample x has covariance C/p, and T_aa = tr(C_a^2)/p.
    expected = data.p * np.square(traces) / np.diag(statistics.T)
    np.testing.assert_allclose(_diagnosed(data).effective_dimension, expected, rtol=1e-9)


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
    with pytest.raises(
        ValueError, match="class 0 are all the same, but for rounding; classes whose samples differ are"
    ):
        _diagnosed(Dataset.from_arrays(samples, [0] * 5 + [1] * 5))


@pytest.mark.parametrize("size", [20, 600])
def test_a_class_of_one_point_is_refused_by_its_name_and_rounding_is_no_spread(size: int) -> None:
    points = np.repeat([0.1, 0.7], size)[:, None] * np.ones(7)
    data = Dataset.from_arrays(points, np.repeat(["cat", "dog"], size))
    statistics = estimate_statistics(data.samples.T, data.labels)
    assert np.any(statistics.tau0_population**2 + statistics.t / np.sqrt(7) > 0)
    with pytest.raises(ValueError, match="class cat are all the same, but for rounding"):
        diagnose(data.samples, data.labels, data.gram(), statistics, data.classes)


def test_small_differences_within_a_class_are_spread() -> None:
    samples = 1 + 1e-9 * np.random.default_rng(0).standard_normal((400, 5))
    found = _diagnosed(Dataset.from_arrays(samples, [0, 1] * 200)).effective_dimension
    np.testing.assert_allclose(found, 5, rtol=0.05)


@pytest.mark.parametrize("factor", [30.0, 1e4])
def test_an_effective_dimension_that_samples_do_not_tell_is_not_told(factor: float) -> None:
    """One sample far out makes the estimate of tr(C)^2 exceed p times that of tr(C^2)."""
    data = low_dimensional(100, 50)
    samples = np.array(data.samples)
    samples[3] *= factor
    found = _diagnosed(data.transformed(samples))
    assert np.isnan(found.effective_dimension).tolist() == [False, True]
    assert found.effective_dimension_note.startswith("The effective dimension of 1 of 2 classes cannot be estimated")
    assert _diagnosed(data).effective_dimension_note == ""


def test_isotropic_samples_have_an_effective_dimension_although_its_estimate_exceeds_p() -> None:
    found = _diagnosed(low_dimensional(400, 60)).effective_dimension
    assert found.max() == 60
