"""What readouts learn: identities that the law must obey, limits, and simulations of the equivalents themselves."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.linalg import cholesky, eigh

from numerics.data import GaussianMixture
from numerics.spectrum import DenseCovariances, Learned, LearningLaw, Population, class_targets
from theory.kernels import KernelCoefficients

Array = NDArray[np.float64]
GENERAL = KernelCoefficients(0.4, 0.3, 0.2, 1.1)
#: Of an even activation: nothing of X^T X is left.
EVEN = KernelCoefficients(0.0, 0.3, 0.2, 1.1)
#: How many standard errors a mean of draws may be off: one in 15 million.
LEVEL = 5.2


def mixture(p: int = 400, sizes: tuple[int, int] = (130, 190)) -> GaussianMixture:
    means = np.zeros((2, p))
    means[0, 0], means[1, :2] = 1.5, (0.5, 1.8)
    slope = np.linspace(0.5, 1.5, p)
    return GaussianMixture.build(means, [slope, 1.2 * slope[::-1]], sizes)


@dataclass(frozen=True)
class Drawn:
    """Samples and what the equivalent's entries are made of."""

    x: Array
    label: NDArray[np.intp]
    delta: Array


def draw(data: GaussianMixture, counts: tuple[int, ...], rng: np.random.Generator) -> Drawn:
    label = np.repeat(np.arange(len(counts)), counts)
    variances = np.array([c.diagonal for c in data.covariances])
    noise = rng.standard_normal((label.size, data.dimension)) * np.sqrt(variances[label] / data.dimension)
    psi = (noise**2).sum(axis=1) - variances.sum(axis=1)[label] / data.dimension
    x = noise + data.means[label] / np.sqrt(data.dimension)
    return Drawn(x, label, data.trace_shifts[label] / np.sqrt(data.dimension) + psi)


def entries(data: GaussianMixture, numbers: KernelCoefficients[float], one: Drawn, other: Drawn) -> Array:
    """Entries off the diagonal of the equivalent, theory sheet, section 3."""
    found = numbers.linear * one.x @ other.x.T + numbers.variance * np.outer(one.delta, other.delta)
    return np.asarray(found + numbers.square * data.trace_products[np.ix_(one.label, other.label)] / data.dimension)


def identity(data: GaussianMixture, numbers: KernelCoefficients[float]) -> float:
    return numbers.diagonal - data.tau0**2 * numbers.linear


def scores(outputs: tuple[Array, Array], truth: tuple[Array, Array], labels: tuple[Array, Array]) -> list[float]:
    """Error and mean squared error, of fresh and of training samples."""
    return [
        value
        for out, true, label in zip(outputs, truth, labels, strict=True)
        for value in (float(np.mean(out * true <= 0)), float(np.mean((out - label) ** 2)))
    ]


def predicted(learned: Learned) -> list[float]:
    return [learned.test.error, learned.test.mse, learned.train.error, learned.train.mse]


def check_means(measured: list[list[float]], expected: list[float], finite: float) -> None:
    """Every mean of draws against a prediction, whose own error at this p is at most `finite` of it."""
    table = np.array(measured)
    error = table.std(axis=0, ddof=1) / np.sqrt(len(table))
    for k, value in enumerate(expected):
        assert abs(table[:, k].mean() - value) <= LEVEL * error[k] + finite * value + 1e-12, (
            k,
            table.mean(0),
            expected,
        )


@pytest.mark.parametrize("numbers", [GENERAL, EVEN], ids=["general", "even"])
def test_ridge_and_flow_against_draws_of_the_equivalent(numbers: KernelCoefficients[float]) -> None:
    data, rng, noise, ridge, time = mixture(), np.random.default_rng(5), 0.3, 0.3, 2.0
    law, shifts = LearningLaw(data, numbers, noise=noise), np.array([6.0, -9.0])
    in_ridge, in_time, of_others, leverages = [], [], [], []
    for _ in range(8):
        train, fresh = draw(data, data.sizes, rng), draw(data, (1300, 1900), rng)
        kernel = entries(data, numbers, train, train)
        kernel += identity(data, numbers) * np.eye(train.label.size)
        truth = tuple(1.0 - 2 * drawn.label for drawn in (fresh, train))
        labels = tuple(true + np.sqrt(noise) * rng.standard_normal(true.size) for true in truth)
        values, vectors = eigh(kernel)
        across, along = entries(data, numbers, fresh, train) @ vectors, vectors.T @ labels[1]
        # Fresh samples of other traces: delta moves, and the rest but for terms that vanish.
        moved = fresh.delta + (shifts - data.trace_shifts)[fresh.label] / np.sqrt(data.dimension)
        others = entries(data, numbers, replace(fresh, delta=moved), train) @ vectors
        shares = values / (values + ridge * numbers.diagonal), -np.expm1(-time / numbers.diagonal * values)
        leverages.append([np.mean((vectors**2 @ share)[train.label == a]) for share in shares for a in range(2)])
        for held, weights in (
            (in_ridge, along / (values + ridge * numbers.diagonal)),
            (in_time, along * -np.expm1(-time / numbers.diagonal * values) / values),
        ):
            held.append(scores((across @ weights, kernel @ (vectors @ weights)), truth, labels))
        moved_outputs = others @ (along / (values + ridge * numbers.diagonal)), kernel @ labels[1]
        of_others.append(scores(moved_outputs, truth, labels)[:2])
    check_means(in_ridge, predicted(law.ridge(ridge)), finite=0.05)
    check_means(in_time, predicted(law.flow(time)), finite=0.05)
    other = predicted(law.ridge(ridge, shifts))[:2]
    check_means(of_others, other, finite=0.05)
    assert abs(other[1] - law.ridge(ridge).test.mse) > 0.3 * other[1]
    check_means(leverages, [*law.ridge(ridge).leverage, *law.flow(time).leverage], finite=0.01)


def test_linear_and_quadratic_labels_against_draws_of_the_equivalent() -> None:
    data, rng = mixture(), np.random.default_rng(8)
    p, slope, norm, noise = data.dimension, np.zeros(data.dimension), 0.8, 0.1
    slope[:3], slope[10:60] = (0.5, -0.4, 0.3), 0.1
    law = LearningLaw(data, GENERAL, targets=[[0.3], [-0.2]], noise=noise, slope=slope, norm=norm)

    def labels(drawn: Drawn) -> Array:
        base = np.array([0.3, -0.2])[drawn.label] + np.sqrt(p) * (drawn.x @ slope)
        return np.asarray(base + norm * np.sqrt(p) * drawn.delta + np.sqrt(noise) * rng.standard_normal(base.size))

    measured = []
    for _ in range(8):
        train, fresh = draw(data, data.sizes, rng), draw(data, (1300, 1900), rng)
        kernel = entries(data, GENERAL, train, train) + identity(data, GENERAL) * np.eye(train.label.size)
        y = labels(train)
        values, vectors = eigh(kernel)
        across, along = entries(data, GENERAL, fresh, train) @ vectors, vectors.T @ y
        row = []
        for weights in (along / (values + 0.2 * law.unit), along * -np.expm1(-5 / law.unit * values) / values):
            row += [np.mean((across @ weights - labels(fresh)) ** 2), np.mean((kernel @ (vectors @ weights) - y) ** 2)]
        measured.append(row)
    expected = [one.mse for learned in (law.ridge(0.2), law.flow(5.0)) for one in (learned.test, learned.train)]
    check_means(measured, expected, finite=0.05)
    # Far from what a readout gets that sees neither slope nor norm.
    nothing = np.array([0.3**2, 0.2**2]) @ np.array(data.sizes) / data.samples
    assert expected[0] > 4 * (nothing + noise)
    with pytest.raises(ValueError, match="only mean squared errors"):
        law.ridge(0.2).test.class_errors  # noqa: B018
    with pytest.raises(ValueError, match="no multiple of"):
        LearningLaw(data, EVEN, slope=slope)


@pytest.mark.parametrize(("width", "feedback"), [(200, 0.0), (320, 0.6)])
def test_features_against_draws_of_gaussian_rows(width: int, feedback: float) -> None:
    data, rng, noise, ridge = mixture(), np.random.default_rng(6), 0.2, 0.05
    law, measured, leverages = LearningLaw(data, GENERAL, noise=noise), [], []
    count = data.samples
    for _ in range(8):
        train, fresh = draw(data, data.sizes, rng), draw(data, (260, 380), rng)
        both = Drawn(*(np.concatenate([getattr(train, k), getattr(fresh, k)]) for k in ("x", "label", "delta")))
        covariance = entries(data, GENERAL, both, both) + identity(data, GENERAL) * np.eye(both.label.size)
        rows = rng.standard_normal((width, both.label.size)) @ cholesky(covariance)
        # (I - s A/sqrt(m)) H = Y: the linear DEQ of section 9.
        weights = rng.standard_normal((width, width)) / np.sqrt(width)
        features = np.linalg.solve(np.eye(width) - feedback * weights, rows) / np.sqrt(width)
        truth = tuple(1.0 - 2 * drawn.label for drawn in (fresh, train))
        labels = tuple(true + np.sqrt(noise) * rng.standard_normal(true.size) for true in truth)
        inside = features[:, :count]
        gram = inside.T @ inside + ridge * GENERAL.diagonal / (1 - feedback**2) * np.eye(count)
        readout = inside @ np.linalg.solve(gram, labels[1])
        own = 1 - ridge * GENERAL.diagonal / (1 - feedback**2) * np.diagonal(np.linalg.inv(gram))
        leverages.append([own[train.label == a].mean() for a in range(2)])
        measured.append(scores((features[:, count:].T @ readout, inside.T @ readout), truth, labels))
    learned = law.features(ridge, width, feedback)
    check_means(measured, predicted(learned), finite=0.05)
    check_means(leverages, list(learned.leverage), finite=0.01)


def test_sum_of_squared_weights_is_the_derivative_of_the_energy() -> None:
    """||w||^2 = -d/d penalty of y^T A^-1 y, where y^T w comes from means and ||w||^2 from second moments."""
    data = mixture()
    counts, labels = np.array(data.sizes), class_targets(2)[:, 0]
    law = LearningLaw(data, GENERAL)

    def energy(ridge: float) -> float:
        learned = law.ridge(ridge)
        # Training residuals are the penalty times w.
        residual = labels - learned.train.mean[:, 0]
        return float(counts * labels @ residual) / (ridge * law.unit)

    step = 1e-5
    slope = (energy(0.2 + step) - energy(0.2 - step)) / (2 * step * law.unit)
    squares = law.ridge(0.2).train.mse * data.samples / (0.2 * law.unit) ** 2
    assert slope == pytest.approx(-squares, rel=1e-7)


@pytest.mark.parametrize("numbers", [GENERAL, EVEN], ids=["general", "even"])
def test_limits_of_width_and_time(numbers: KernelCoefficients[float]) -> None:
    law = LearningLaw(mixture(), numbers, noise=0.1)
    for feedback in (0.0, 0.7):
        wide, kernel = law.features(0.1, 10**12, feedback), law.ridge(0.1)
        np.testing.assert_allclose(predicted(wide), predicted(kernel), rtol=1e-6, atol=1e-12)
    late, unpenalised = law.flow(1e7), law.ridge(1e-9)
    np.testing.assert_allclose(predicted(late)[:2], predicted(unpenalised)[:2], rtol=1e-6)
    assert law.flow(1e-9).test.mse == pytest.approx(1.1, rel=1e-6)
    assert law.ridge(1e9).train.mse == pytest.approx(1.1, rel=1e-6)


def test_the_error_peaks_where_the_width_is_the_number_of_samples() -> None:
    law = LearningLaw(mixture(), GENERAL, noise=0.1)
    widths = np.array([80, 160, 240, 300, 320, 340, 400, 640, 1280])
    errors = [law.features(1e-6, int(width)).test.mse for width in widths]
    assert widths[np.argmax(errors)] == 320
    assert max(errors) > 20 * errors[-1]


def test_dense_covariances_give_the_same_law() -> None:
    data = mixture(p=16, sizes=(8, 10))
    reduced = Population.from_mixture(data)
    matrices = np.array([c.dense() for c in data.covariances])
    dense = replace(reduced, covariances=DenseCovariances(matrices, data.means.T.copy(), reduced.proportions))
    one, other = LearningLaw(reduced, GENERAL, noise=0.2), LearningLaw(dense, GENERAL, noise=0.2)
    np.testing.assert_allclose(predicted(one.ridge(0.1)), predicted(other.ridge(0.1)), rtol=1e-9)
    np.testing.assert_allclose(predicted(one.flow(1.0)), predicted(other.flow(1.0)), rtol=1e-9)


def test_three_classes_of_which_two_are_equal_are_told_apart_by_chance() -> None:
    p = 300
    means = np.zeros((3, p))
    means[2, 0] = 6.0
    law = LearningLaw(GaussianMixture.build(means, [np.ones(p)] * 3, (100, 100, 100)), GENERAL)
    learned = law.ridge(0.5).test
    errors = learned.class_errors
    np.testing.assert_allclose(errors[0], errors[1], atol=1e-5)
    # The first output is as likely as not to exceed the second; the third counts besides.
    assert errors[0] > 0.5
    rng = np.random.default_rng(1)
    sample = rng.multivariate_normal(learned.mean[0], learned.covariance[0], 40000)
    share = np.mean(sample.argmax(axis=1) != 0)
    assert abs(share - errors[0]) < LEVEL * 0.5 / 200


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda data: LearningLaw(data, GENERAL, targets=[[1.0]]), "2 rows"),
        (lambda data: LearningLaw(data, GENERAL, noise=-1.0), "variance"),
        (lambda data: LearningLaw(data, GENERAL).ridge(0.0), "positive"),
        (lambda data: LearningLaw(data, GENERAL).ridge(0.1, [1.0]), "one for each of 2 classes"),
        (lambda data: LearningLaw(data, GENERAL).flow(float("nan")), "positive"),
        (lambda data: LearningLaw(data, GENERAL).features(0.1, 0), "at least 1"),
        (lambda data: LearningLaw(data, GENERAL, targets=[[1.0], [2.0]]).ridge(0.1).test.error, "opposite signs"),
        (lambda data: class_targets(1), "two classes"),
        (lambda data: LearningLaw(data, KernelCoefficients(0.0, 0.0, 0.0, 0.0)), "learns nothing"),
    ],
)
def test_what_is_refused(build: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build(mixture(p=40, sizes=(20, 24)))  # type: ignore[operator]
