"""Whole comparisons on digits, with a network of a wrong slope planted in the place of the matched one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from flint import arb
from sklearn.datasets import load_digits

from numerics.learning import study_features, study_kernels
from numerics.matching import ExplicitLayer, ExplicitNetwork, design
from theory.claims import VerdictKind
from theory.equations import DEQ

_DEQ = DEQ("relu", "4/5")


def _split(training: int, seed: int = 0) -> tuple[tuple[Any, Any], tuple[Any, Any]]:
    X, y = load_digits(return_X_y=True)
    X = X - X.mean(axis=0)
    X = X / np.linalg.norm(X, axis=1, keepdims=True)
    order = np.random.default_rng(seed).permutation(len(y))
    first, second = order[:training], order[training:]
    return (X[first], y[first]), (X[second], y[second])


def _wrong_slope() -> ExplicitNetwork:
    """The matched network with both slopes of its first layer made equal: a linear first layer."""
    network = design(_DEQ).network
    first = network.layers[0]
    a, b = first.parameters["a"], first.parameters["b"]
    wrong = ExplicitLayer(first.family, {"a": a, "b": arb(float(b) + 0.97 * (float(a) - float(b)))})
    return replace(network, layers=(wrong, *network.layers[1:]))


def test_exact_kernels_of_the_matched_network_are_equivalent_and_a_wrong_slope_is_not() -> None:
    # A margin that 1,500 test samples can decide; that of the protocol needs more.
    training, testing = _split(297)
    found = study_kernels(_DEQ, training, testing, np.random.default_rng(0), margin=0.004)
    assert set(found.accuracies) == {"deq", "matched", "naive", "one-step", "two-steps"}
    assert found.testing == 1500
    assert all(0.85 < accuracy < 1 for accuracy in found.accuracies.values())
    assert found.tests["matched"].equivalent
    assert not found.tests["naive"].equivalent
    assert found.verdict.kind is VerdictKind.SUPPORTED
    planted = study_kernels(
        _DEQ, training, testing, np.random.default_rng(0), margin=0.004, matched=_wrong_slope(), networks=()
    )
    assert not planted.tests["matched"].equivalent
    assert planted.verdict.kind is not VerdictKind.SUPPORTED


def test_features_are_compared_over_draws() -> None:
    training, testing = _split(297)
    found = study_features(_DEQ, training, testing, np.random.default_rng(1), width=48, draws=4, dtype="float32")
    assert set(found.accuracies) == {"deq", "redrawn", "matched", "naive"}
    assert all(values.shape == (4,) for values in found.accuracies.values())
    assert 0 < found.residual <= 1e-5
    assert found.tests["matched"].margin < found.tests["matched"].far
    again = study_features(_DEQ, training, testing, np.random.default_rng(1), width=48, draws=4, dtype="float32")
    assert all(np.array_equal(again.accuracies[name], values) for name, values in found.accuracies.items())
    with pytest.raises(ValueError, match="3 draws of the weights or more"):
        study_features(_DEQ, training, testing, np.random.default_rng(1), width=8, draws=2)
