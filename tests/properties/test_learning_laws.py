"""Laws that what is learned obeys exactly, whatever the kernel and the mixture: splits, scales, derivatives, limits."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from numerics.spectrum import LearningLaw, Population
from theory.kernels import KernelCoefficients

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Problem:
    """Isotropic classes, a kernel that is positive, labels and how much of them is noise."""

    scales: Array
    gram: Array
    sizes: Array
    coefficients: KernelCoefficients[float]
    targets: Array
    noise: float
    ridge: float

    def population(self) -> Population:
        return Population.isotropic(self.scales, self.gram, self.sizes, 300)

    def law(self) -> LearningLaw:
        return LearningLaw(self.population(), self.coefficients, self.targets, self.noise)


@st.composite
def problems(draw: st.DrawFn) -> Problem:
    classes = draw(st.integers(1, 4))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    means = rng.standard_normal((classes, 3)) * rng.uniform(0, 2)
    numbers = rng.uniform(0, 1, 3) * (rng.random(3) < 0.8)
    numbers[0] += 0.05
    return Problem(
        scales=1 + 0.3 * rng.uniform(-1, 1, classes),
        gram=means @ means.T,
        sizes=rng.integers(5, 400, classes),
        # The diagonal leaves a multiple of the identity, as that of every nonlinear activation does.
        coefficients=KernelCoefficients(*numbers, 1.4 * numbers[0] + rng.uniform(0.01, 1)),
        targets=rng.standard_normal((classes, 1)),
        noise=float(rng.uniform(0, 1)),
        ridge=float(10 ** rng.uniform(-3, 2)),
    )


def scores(problem: Problem) -> Array:
    """Mean squared errors by ridge, by time, and at a finite width with and without tied weights."""
    law = problem.law()
    found = [law.ridge(problem.ridge), law.flow(1 / problem.ridge)]
    found += [law.features(problem.ridge, 150, feedback) for feedback in (0.0, 0.6)]
    return np.array([[one.test.mse, one.train.mse] for one in found])


@settings(deadline=None, max_examples=15)
@given(problems())
def test_a_class_may_be_taken_for_two(problem: Problem) -> None:
    """Samples of one class under two names: nothing else than the names changes."""
    twice = np.r_[0, np.arange(problem.sizes.size)]
    whole = replace(problem, sizes=np.r_[10, problem.sizes[1:]])
    split = replace(
        whole,
        scales=problem.scales[twice],
        gram=problem.gram[np.ix_(twice, twice)],
        sizes=np.r_[3, 7, whole.sizes[1:]],
        targets=problem.targets[twice],
    )
    np.testing.assert_allclose(scores(split), scores(whole), rtol=1e-8, atol=1e-12)


@settings(deadline=None, max_examples=15)
@given(problems(), st.floats(0.1, 10))
def test_scales_of_kernel_and_labels_go_through(problem: Problem, factor: float) -> None:
    """Penalties and times are relative to the kernel; errors are squares of the labels."""
    base = scores(problem)
    kernel = KernelCoefficients(*(factor * value for value in vars(problem.coefficients).values()))
    np.testing.assert_allclose(scores(replace(problem, coefficients=kernel)), base, rtol=1e-8, atol=1e-12)
    louder = replace(problem, targets=factor * problem.targets, noise=factor**2 * problem.noise)
    np.testing.assert_allclose(scores(louder), factor**2 * base, rtol=1e-8, atol=1e-12)


@settings(deadline=None, max_examples=15)
@given(problems())
def test_squares_are_derivatives_and_errors_are_in_order(problem: Problem) -> None:
    """The mean of w^2 is minus the derivative of the energy; more penalty or less time leaves more training error."""
    law, sizes = problem.law(), problem.sizes
    labels, count = problem.targets[:, 0], problem.sizes.sum()

    def energy(ridge: float) -> float:
        """Of labels without noise, which y^T w would need the trace for."""
        learned = LearningLaw(problem.population(), problem.coefficients, problem.targets).ridge(ridge)
        return float(sizes * labels @ (labels - learned.train.mean[:, 0])) / (ridge * law.unit)

    ridge, step = problem.ridge, 1e-4 * problem.ridge
    slope = (energy(ridge + step) - energy(ridge - step)) / (2 * step * law.unit)
    clean = LearningLaw(problem.population(), problem.coefficients, problem.targets).ridge(ridge)
    np.testing.assert_allclose(-slope, clean.train.mse * count / (ridge * law.unit) ** 2, rtol=1e-5)
    in_ridge = [law.ridge(value).train.mse for value in np.geomspace(1e-3, 1e3, 7)]
    in_time = [law.flow(value).train.mse for value in np.geomspace(1e-2, 1e3, 6)]
    assert np.all(np.diff(in_ridge) > 0)
    assert np.all(np.diff(in_time) < 1e-14)
    assert np.all(np.diff(in_time)[:2] < 0)
    assert min(in_time) >= 0
    power = float(sizes @ labels**2 / count) + problem.noise
    assert in_ridge[-1] < power
    assert in_time[0] < power
    for learned in (law.ridge(ridge), law.flow(1 / ridge), law.features(ridge, 150, 0.6)):
        for outputs in (learned.test, learned.train):
            assert np.all(outputs.covariance > -1e-9 * power)
        # Noise of the labels is never learned away.
        assert learned.test.mse > problem.noise


@settings(deadline=None, max_examples=15)
@given(problems())
def test_infinite_width_is_the_limit(problem: Problem) -> None:
    law, ridge = problem.law(), max(problem.ridge, 0.01)
    base = law.ridge(ridge)
    wide = law.features(ridge, 10**11, 0.5)
    np.testing.assert_allclose([wide.test.mse, wide.train.mse], [base.test.mse, base.train.mse], rtol=1e-5)
