"""Shapes of covariances: the matrices that they stand for, and experiments that are made of them."""

from __future__ import annotations

import json

import numpy as np
import pytest

from numerics.data import LARGEST_MATRIX, CovarianceShape, GaussianMixture, class_covariances
from numerics.experiments import Experiment

ISOTROPIC = CovarianceShape()


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        (ISOTROPIC, np.eye(5)),
        (CovarianceShape("diagonal", (0.9, 2.1)), np.diag([0.9, 0.9, 0.9, 2.1, 2.1])),
        (CovarianceShape("diagonal", (1.0, 2.0, 3.0, 4.0, 0.0)), np.diag([1.0, 2.0, 3.0, 4.0, 0.0])),
        (CovarianceShape("low-rank", (2.0, -0.5)), np.diag([1.0, 1.0, 1.0, 0.5, 0.5])),
        (
            CovarianceShape("toeplitz", (-0.4,)),
            [[(-0.4) ** abs(j - k) for k in range(5)] for j in range(5)],
        ),
    ],
)
def test_a_shape_is_its_matrix_times_a_scale(shape: CovarianceShape, expected: np.ndarray) -> None:
    made = shape.covariance(5, 1.5)
    np.testing.assert_allclose(made.dense(), 1.5 * np.array(expected), rtol=1e-15)
    # Nothing is normalised.
    assert made.trace == pytest.approx(1.5 * np.trace(expected))


@pytest.mark.parametrize(
    ("shape", "text"),
    [
        (ISOTROPIC, "isotropic"),
        (CovarianceShape("diagonal", (0.9, 2.0)), "diagonal:0.9,2.0"),
        (CovarianceShape("toeplitz", (0.4,)), "toeplitz:0.4"),
    ],
)
def test_a_shape_in_one_word(shape: CovarianceShape, text: str) -> None:
    assert shape.text == text


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        (CovarianceShape("isotropic", (2.0,)), "not 'isotropic' with 1 numbers"),
        (CovarianceShape("diagonal"), "not 'diagonal' with 0 numbers"),
        (CovarianceShape("diagonal", (1.0,) * 9), "not 'diagonal' with 9 numbers"),
        (CovarianceShape("diagonal", (1.0, -1.0)), "must not be negative"),
        (CovarianceShape("toeplitz", (1.0,)), r"lie in \(-1, 1\)"),
        (CovarianceShape("toeplitz", (0.1, 0.2)), "not 'toeplitz' with 2 numbers"),
        (CovarianceShape("low-rank", (2.0,)), "not 'low-rank' with 1 numbers"),
        (CovarianceShape("low-rank", (1.5, 3.0)), "whole number from 1 to p, not 1.5"),
        (CovarianceShape("low-rank", (9.0, 3.0)), "whole number from 1 to p, not 9"),
        (CovarianceShape("low-rank", (1.0, -1.5)), "must not be negative"),
        (CovarianceShape("spiked", (9.0,)), "a covariance is isotropic, diagonal"),  # type: ignore[arg-type]
    ],
)
def test_numbers_that_do_not_fit_are_refused(shape: CovarianceShape, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        shape.covariance(8)


def test_a_matrix_that_is_too_large_is_refused_before_it_is_made() -> None:
    with pytest.raises(ValueError, match=f"p up to {LARGEST_MATRIX} is accepted, not 25000"):
        CovarianceShape("toeplitz", (0.4,)).covariance(25_000)


def test_many_matrices_are_refused_together() -> None:
    toeplitz = CovarianceShape("toeplitz", (0.4,))
    with pytest.raises(ValueError, match="64 Toeplitz covariances of dimension 4000 have"):
        class_covariances((toeplitz,), 4000, (1.0,) * 64)
    # Shapes that are not matrices do not count.
    assert len(class_covariances((toeplitz, *[ISOTROPIC] * 63), 500, (1.0,) * 64)) == 64


# --- experiments ---------------------------------------------------------------------------------


def test_the_default_experiment_is_the_released_one_to_the_last_bit() -> None:
    """Recorded runs stay valid: the same mixture, and the same samples of it."""
    ours = Experiment((), classes=3, means=5.0, cov_shift=3.0).mixture(101)
    theirs = GaussianMixture.released_experiment(101, classes=3, means=5.0, cov_shift=3.0)
    assert ours.sizes == theirs.sizes
    first, second = (mixture.sample(np.random.default_rng(2)) for mixture in (ours, theirs))
    assert first.data.tobytes() == second.data.tobytes()


def test_classes_have_their_shapes_scales_and_shares() -> None:
    shapes = (CovarianceShape("toeplitz", (0.5,)), CovarianceShape("diagonal", (1.0, 3.0)))
    experiment = Experiment((), cov_shift=6.0, covariances=shapes, proportions=(0.25, 0.75))
    mixture = experiment.mixture(100)
    assert mixture.sizes == (20, 60)
    np.testing.assert_allclose(mixture.covariances[0].dense(), shapes[0].covariance(100).dense())
    np.testing.assert_allclose(mixture.covariances[1].dense(), 1.6 * shapes[1].covariance(100).dense())
    assert mixture.tau0**2 == pytest.approx(0.25 * 1 + 0.75 * 1.6 * 2)
    # One shape is for all classes.
    one = Experiment((), cov_shift=6.0, covariances=shapes[:1], classes=3).mixture(100)
    np.testing.assert_allclose(one.covariances[2].dense(), 2.2 * shapes[0].covariance(100).dense())


def test_an_experiment_is_plain_json() -> None:
    """Campaigns name their records after it."""
    experiment = Experiment((), covariances=(CovarianceShape("toeplitz", (0.5,)),), proportions=(0.5, 0.5))
    assert json.loads(json.dumps([experiment.covariances, experiment.proportions])) == [
        [["toeplitz", [0.5]]],
        [0.5, 0.5],
    ]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"covariances": (ISOTROPIC,) * 3}, "3 covariances for 2 classes: give one for all"),
        ({"covariances": ()}, "0 covariances for 2 classes"),
        ({"proportions": (1.0,)}, "1 proportions for 2 classes: give one for each"),
        ({"proportions": (1.0, -1.0)}, "must be positive"),
        ({"proportions": (1.0, 1000.0)}, "empty"),
    ],
)
def test_experiments_that_do_not_fit_are_refused(fields: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Experiment((), **fields).mixture(100)  # type: ignore[arg-type]
