"""Learners on drawn data: what is predicted holds for exact kernels, and the linear one has a path of its own."""

from __future__ import annotations

from dataclasses import astuple, replace

import numpy as np
import pytest

from numerics.experiments import LEARNERS, Experiment, LearningStudy, Readout, Scores, best_ridge
from numerics.spectrum import class_targets
from theory.activations import resolve
from theory.kernels import Kernel

#: How many standard errors a mean of draws may be off: one in 15 million.
LEVEL = 5.2
DATA = Experiment(activations=(), means=3.0, cov_shift=8.0)


def study(p: int = 200, kernel: Kernel = Kernel.CK, width: int | None = None, name: str = "relu") -> LearningStudy:
    return LearningStudy(DATA, resolve(name), kernel, p, width)


def test_predictions_hold_for_exact_kernels_and_all_learners_see_the_same_samples() -> None:
    held, readouts = study(), [Readout("ridge", 0.2), Readout("time", 3.0)]
    draws = [held.measure(index, dict.fromkeys(LEARNERS, readouts), tests=600) for index in range(6)]
    again = held.measure(0, {"naive": readouts[:1]}, tests=600)
    assert again["naive"][0] == draws[0]["naive"][0]
    for learner in LEARNERS:
        for number, readout in enumerate(readouts):
            table = np.array([astuple(draw[learner][number]) for draw in draws])
            error = table.std(axis=0, ddof=1) / np.sqrt(len(draws))
            predicted = np.array(astuple(held.predict(learner, readout) or pytest.fail("nothing predicted")))
            # Theory is of order p^(-1/2) away: a tenth at p = 200.
            assert np.all(np.abs(table.mean(axis=0) - predicted) <= LEVEL * error + 0.1 * predicted + 2e-3), learner
    # The matched network has the DEQ's kernel up to p^(-1/2); a naive one of order 1 away.
    far, near = (
        np.mean([abs(draw[other][0].test_mse - draw["deq"][0].test_mse) for draw in draws])
        for other in ("naive", "matched")
    )
    assert far > 3 * near


def test_leverages_are_predicted_and_sum_to_the_degrees_of_freedom() -> None:
    held, readout = study(p=80), Readout("ridge", 0.4)
    drawn = held.draw(0, {"linear": [readout]}, tests=20)
    (found,) = drawn.fitted["linear"]
    x = held.mixture.sample(np.random.default_rng([DATA.seed, 80, 0])).data
    gram = x.T @ x
    n = len(gram)
    hat = gram @ np.linalg.inv(gram + 0.4 * np.trace(gram) / n * np.eye(n))
    assert found.leverage == pytest.approx(np.trace(hat) / n, rel=1e-10)
    assert found.train.shape == (n, 1)
    assert found.fresh.shape == (20, 1)
    predicted = readout.predict(held.law("linear"))
    assert found.leverage == pytest.approx(predicted.leverage @ predicted.train.shares, rel=0.05)


def test_the_linear_learner_is_ridge_regression_on_the_samples() -> None:
    held = study(p=60)
    (found,) = held.measure(0, {"linear": [Readout("ridge", 0.3)]}, tests=200)["linear"]
    rng = np.random.default_rng([DATA.seed, 60, 0])
    mixture = DATA.mixture(60)
    train, fresh = mixture.sample(rng), replace(mixture, sizes=(100, 100)).sample(rng)
    targets = class_targets(2)[:, 0]
    x = train.data
    penalty = 0.3 * np.sum(x**2) / x.shape[1]
    weights = np.linalg.solve(x @ x.T + penalty * np.eye(60), x @ targets[train.labels])
    outputs = fresh.data.T @ weights
    assert found.test_mse == pytest.approx(np.mean((outputs - targets[fresh.labels]) ** 2), rel=1e-10)
    assert found.test_error == np.mean(np.sign(outputs) != targets[fresh.labels])


def test_features_of_narrow_networks_are_predicted() -> None:
    held, readout = study(p=120, width=60), Readout("ridge", 0.05)
    learners = ("deq", "naive")
    draws = [held.measure(index, {key: [readout] for key in learners}, tests=400) for index in range(8)]
    for learner in learners:
        table = np.array([draw[learner][0].test_mse for draw in draws])
        predicted = held.predict(learner, readout)
        assert predicted is not None
        wide = study(p=120).predict(learner, readout)
        assert wide is not None
        error = table.std(ddof=1) / np.sqrt(len(draws))
        assert abs(table.mean() - predicted.test_mse) <= LEVEL * error + 0.1 * predicted.test_mse
        assert table.mean() - wide.test_mse > LEVEL * error
    assert held.predict("deq", Readout("time", 1.0)) is None
    assert held.predict("linear", Readout("time", 1.0)) is not None


def test_the_best_ridge_is_the_least_of_a_scan() -> None:
    law = study().law("deq")
    errors = {ridge: law.ridge(ridge).test.error for ridge in np.geomspace(1e-6, 1e4, 101)}
    best = best_ridge(law)
    assert law.ridge(best).test.error <= min(errors.values()) * (1 + 1e-9)
    assert min(errors.values()) < 0.99 * errors[1e-6]


def test_what_is_refused() -> None:
    with pytest.raises(ValueError, match="two classes"):
        LearningStudy(replace(DATA, classes=1), resolve("relu"), Kernel.CK, 100)
    with pytest.raises(ValueError, match="CK"):
        study(kernel=Kernel.NTK_ALL, width=100)
    with pytest.raises(ValueError, match="positive"):
        Readout("ridge", 0.0)
    with pytest.raises(ValueError, match="a learner is one of"):
        study().coefficients("cubic")
    assert Scores.measured(np.ones((2, 1)), np.ones((2, 1)), (np.array([0, 1]), np.array([0, 1]))).test_error == 0.5
