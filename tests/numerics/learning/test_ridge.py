"""Kernel ridge classification with exact kernels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.utils.estimator_checks import check_estimator

from numerics.learning import NETWORKS, ExactKernelClassifier, network_named
from theory.equations import DEQ

#: With closed forms of the dual: the checks have samples in the plane, whose correlations are near 1.
_DEQ = DEQ("relu", "3/5")


# The network only gives the kernel: the others are asked in a soak.
@pytest.mark.parametrize("network", ["deq", *(pytest.param(name, marks=pytest.mark.soak) for name in NETWORKS[1:])])
def test_it_is_an_estimator(network: str) -> None:
    check_estimator(ExactKernelClassifier(network, _DEQ), on_skip=None)


def _digits(count: int) -> tuple[Any, Any, Any, Any]:
    X, y = load_digits(return_X_y=True)
    return X[:count], y[:count], X[count : count + 300], y[count : count + 300]


@pytest.mark.parametrize("classes", [2, 10])
def test_it_is_kernel_ridge(classes: int) -> None:
    """The solution from the square kernel of all samples, with NumPy alone."""
    X, y, test, truth = _digits(300)
    if classes == 2:
        X, y = X[y < 2], y[y < 2]
        test, truth = test[truth < 2], truth[truth < 2]
    found = ExactKernelClassifier("deq", _DEQ, ridge=0.03, block=40).fit(X, y)
    rows = np.vstack([X, test]) / np.sqrt(np.mean(np.sum(X**2, axis=1)))
    kernel = network_named("deq", _DEQ).kernel(rows @ rows.T)
    n = len(X)
    targets = np.where(y[:, None] == np.arange(classes), 1.0, -1.0)
    alpha = 0.03 * np.trace(kernel[:n, :n]) / n
    decision = kernel[n:, :n] @ np.linalg.solve(kernel[:n, :n] + alpha * np.eye(n), targets)
    expected = decision[:, 1] if classes == 2 else decision
    np.testing.assert_allclose(found.decision_function(test), expected, atol=1e-9)
    assert np.array_equal(found.predict(test), decision.argmax(axis=1))
    assert np.mean(found.predict(test) == truth) > 0.8
    assert found.alpha_ == pytest.approx(alpha)


def test_what_is_refused() -> None:
    X, y, *_ = _digits(20)
    with pytest.raises(ValueError, match="ridge > 0"):
        ExactKernelClassifier(ridge=0.0).fit(X, y)
    with pytest.raises(ValueError, match="two classes or more"):
        ExactKernelClassifier().fit(X, np.zeros(20, dtype=int))
