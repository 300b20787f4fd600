"""Pre-processing: what it does to one split, and that no other split has a say in it."""

from __future__ import annotations

import numpy as np
import pytest

from numerics.data import Dataset, DatasetError, Preprocessing
from numerics.named import NORMALISATIONS, Normalisation


def _splits() -> tuple[Dataset, Dataset]:
    """Correlated samples that are off centre, of three classes."""
    rng = np.random.default_rng(0)
    samples = rng.standard_normal((90, 6)) @ rng.standard_normal((6, 6)) + 5 * rng.standard_normal(6)
    return Dataset.from_arrays(samples, [0, 1, 2] * 30).split(0.6, rng)


def _square_norms(data: Dataset) -> np.ndarray:
    return np.asarray(np.linalg.norm(data.samples, axis=1) ** 2)


# --- one split -------------------------------------------------------------------------------------------------------


def test_none_is_one_number() -> None:
    data = _splits()[0]
    scaled = data.normalise("none")
    ratio = scaled.samples / data.samples
    assert ratio == pytest.approx(ratio[0, 0], rel=1e-14)
    assert _square_norms(scaled).mean() == pytest.approx(1, rel=1e-14)


def test_centring_leaves_differences_but_for_one_number() -> None:
    data = _splits()[0]
    scaled = data.normalise("center")
    assert np.abs(scaled.samples.mean(axis=0)).max() < 1e-15
    assert _square_norms(scaled).mean() == pytest.approx(1, rel=1e-14)
    ratio = (scaled.samples[1:] - scaled.samples[0]) / (data.samples[1:] - data.samples[0])
    assert ratio == pytest.approx(ratio[0, 0], rel=1e-10)


def test_every_sample_gets_norm_1_and_keeps_its_direction() -> None:
    data = _splits()[0]
    scaled, centred = data.normalise("sample"), data.normalise("center")
    assert _square_norms(scaled) == pytest.approx(1, rel=1e-14)
    ratio = scaled.samples / centred.samples
    assert ratio == pytest.approx(np.broadcast_to(ratio[:, :1], ratio.shape), rel=1e-10)
    assert ratio.min() > 0


def test_what_was_done_is_recorded() -> None:
    train, test = _splits()
    fitted = Preprocessing.fit(train, "sample", classes=["2", "0"], components=3)
    words = ("classes 2, 0", "centred", "whitened to 3 principal components", "every sample scaled to norm 1")
    assert fitted.apply(train).preprocessing == ("training part of a split at 0.6", *words)
    assert fitted.apply(test).preprocessing == ("test part of a split at 0.6", *words)
    scale = Preprocessing.fit(train, "none").scale
    assert train.normalise("none").preprocessing[1:] == (f"divided by {scale:.6g}",)


def test_whitening_is_that_of_the_singular_values() -> None:
    """U of X - mean = U D V^T, times sqrt(n), up to signs."""
    train = _splits()[0]
    fitted = Preprocessing.fit(train, "center", components=4)
    left = np.linalg.svd(train.samples - train.samples.mean(axis=0), full_matrices=False)[0][:, :4]
    found = fitted.apply(train).samples * fitted.scale / np.sqrt(train.n)
    assert np.abs(found.T @ left) == pytest.approx(np.eye(4), abs=1e-12)
    assert fitted.scale == pytest.approx(2, rel=1e-12)
    largest = fitted.whitening[np.abs(fitted.whitening).argmax(axis=0), np.arange(4)]  # type: ignore[index]
    assert np.all(largest > 0)


# --- another split ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", NORMALISATIONS)
@pytest.mark.parametrize("components", [None, 3])
def test_the_test_split_gets_the_numbers_of_the_training_split(how: Normalisation, components: int | None) -> None:
    train, test = _splits()
    fitted = Preprocessing.fit(train, how, classes=["0", "2"], components=components)
    alone = fitted.apply(test.select(["0", "2"])).samples
    # Another test split does not change what is done to the samples that both have.
    changed = np.array(test.samples)
    changed[test.labels == 2] *= 100
    other = fitted.apply(test.transformed(changed))
    assert np.array_equal(other.samples[other.labels == 0], alone[other.labels == 0])
    # The same map sends a training sample, as part of a test split, to where it goes in training.
    together = test.transformed(np.vstack([train.samples[: test.n - 2], test.samples[-2:]]))
    relabelled = Dataset(together.samples, train.labels[: test.n], train.classes)
    assert fitted.apply(relabelled).samples[:20] == pytest.approx(fitted.apply(train).samples[:20], rel=1e-13)


def test_the_test_split_is_not_centred_by_itself() -> None:
    train, test = _splits()
    shifted = test.transformed(test.samples + 1)
    fitted = Preprocessing.fit(train, "center")
    difference = fitted.apply(shifted).samples - fitted.apply(test).samples
    assert difference == pytest.approx(1 / fitted.scale, rel=1e-10)


def test_the_classes_keep_the_order_of_training() -> None:
    train, test = _splits()
    fitted = Preprocessing.fit(train, classes=["2", "0"])
    assert fitted.apply(test).classes == ("2", "0")


# --- what is refused -------------------------------------------------------------------------------------------------


def test_what_cannot_be_done() -> None:
    train, test = _splits()
    fitted = Preprocessing.fit(train)
    with pytest.raises(DatasetError, match="normalised by none, center, sample, not 'unit'"):
        train.normalise("unit")  # type: ignore[arg-type]
    with pytest.raises(DatasetError, match="data has 2 features; 6 are accepted"):
        fitted.apply(test.transformed(test.samples[:, :2]))
    with pytest.raises(DatasetError, match="no class '2'"):
        fitted.apply(test.select(["0", "1"]))
    with pytest.raises(DatasetError, match="7 principal components are asked for; 1 to 6 are accepted"):
        Preprocessing.fit(train, components=7)
    with pytest.raises(DatasetError, match="0 principal components"):
        Preprocessing.fit(train, components=0)


def test_components_without_variance_are_refused() -> None:
    train = _splits()[0]
    flat = train.transformed(train.samples[:, :2] @ np.ones((2, 5)))
    with pytest.raises(DatasetError, match="2 principal components are asked for; 1 to 1 are accepted"):
        Preprocessing.fit(flat, components=2)


@pytest.mark.parametrize("how", ["none", "center"])
def test_zeros_cannot_be_scaled(how: Normalisation) -> None:
    zeros = Dataset.from_arrays(np.zeros((4, 2)), [0, 1] * 2)
    with pytest.raises(DatasetError, match="samples that differ can be scaled"):
        zeros.normalise(how)


def test_a_sample_at_the_mean_has_no_direction() -> None:
    """The mean of -.7, 1.1 and four times .2 is not .2 in float64: the difference is rounding, and is not scaled up."""
    samples = [[value, 1.0] for value in (0.2 - 0.9, 0.2 + 0.9, 0.2, 0.2, 0.2, 0.2)]
    data = Dataset.from_arrays(samples, [0, 1] * 3)
    assert data.normalise("center").samples[2, 0] != 0
    with pytest.raises(DatasetError, match="sample 2 has norm 0 once it is centred"):
        data.normalise("sample")


@pytest.mark.parametrize("n", [40, 20_000])
@pytest.mark.parametrize("value", [0.1, 1 / 3, 1e-200])
def test_the_same_sample_again_and_again_is_not_scaled_up(n: int, value: float) -> None:
    """NumPy's mean of equal numbers is off by rounding that grows with their number."""
    data = Dataset.from_arrays(np.full((n, 7), value), np.arange(n) % 2)
    with pytest.raises(DatasetError, match="all samples are the same, but for rounding; samples that differ"):
        data.normalise("center")
    with pytest.raises(DatasetError, match="all samples are the same"):
        Preprocessing.fit(data, "none", components=1)
    with pytest.raises(DatasetError, match="all samples are the same"):
        data.normalise("sample")
    assert data.normalise("none").tau0 == pytest.approx(1)


def test_small_differences_about_a_large_mean_are_data() -> None:
    samples = np.random.default_rng(0).standard_normal((50, 3))
    found = Dataset.from_arrays(1e12 + samples, [0, 1] * 25).normalise("center").samples
    assert found == pytest.approx(Dataset.from_arrays(samples, [0, 1] * 25).normalise("center").samples, abs=1e-3)


@pytest.mark.parametrize("how", NORMALISATIONS)
@pytest.mark.parametrize("components", [None, 3])
@pytest.mark.parametrize("unit", [2.0**-900, 2.0**-700, 2.0**200])
def test_the_unit_of_the_samples_is_of_no_account(how: Normalisation, components: int | None, unit: float) -> None:
    """Also where their squares are outside float64; at powers of two to the last bits."""
    data = _splits()[0]
    other = data.transformed(unit * data.samples)
    assert other.tau0 == unit * data.tau0
    expected, found = (Preprocessing.fit(each, how, components=components).apply(each) for each in (data, other))
    assert found.samples == pytest.approx(expected.samples, rel=1e-12, abs=1e-14)


def test_numbers_that_float64_does_not_hold_to_all_digits_are_refused() -> None:
    data = _splits()[0]
    with pytest.raises(DatasetError, match=r"all samples are zero or below 2\.23e-308"):
        data.transformed(1e-315 * data.samples).normalise("center")


def test_a_sample_off_the_principal_components_has_no_direction() -> None:
    """In any unit: along the component it is rounding."""
    samples = np.vstack([np.outer(np.arange(-5.0, 6), [3.0, 1, 2]), [[-1.0, 3.0, 0.0]], [[1.0, -3.0, 0.0]]])
    for unit in (1.0, 1e30, 1e-30):
        data = Dataset.from_arrays(unit * samples[[0, 1, 2, 3, 4, 6, 7, 8, 9, 10, 11, 12]], [0, 1] * 6)
        fitted = Preprocessing.fit(data, "sample", components=1)
        with pytest.raises(DatasetError, match="sample 10 has norm 0 once it is centred"):
            fitted.apply(data)
