"""Random features: scikit-learn's checks, and their inner products against the exact kernels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import check_estimator

import numerics.matching.rivals
from numerics.equilibrium import solve_float
from numerics.learning import NETWORKS, NetworkFeatures, network_named
from numerics.matching import design
from numerics.networks import FiniteDEQ, FiniteExplicitNetwork, NonConvergenceError
from theory.equations import DEQ

_DEQ = DEQ("relu", "3/5")


def _samples(n: int = 30, p: int = 12) -> Any:
    rows = np.random.default_rng(5).standard_normal((n, p))
    return rows / np.sqrt(np.mean(np.sum(rows**2, axis=1)))


@pytest.mark.parametrize("network", NETWORKS)
def test_it_is_an_estimator(network: str) -> None:
    check_estimator(NetworkFeatures(network, _DEQ, width=12), on_skip=None)


def test_single_precision_is_an_estimator() -> None:
    check_estimator(NetworkFeatures(width=12, dtype="float32", n_jobs=2, block=7), on_skip=None)


@pytest.mark.parametrize("network", NETWORKS)
def test_threads_certify_nothing(network: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The precision of balls is the process's: two threads that solve at once leave each other's behind."""
    fitted = NetworkFeatures(network, _DEQ, width=12, n_jobs=2, block=7).fit(_samples())
    numerics.matching.rivals._bias.cache_clear()
    monkeypatch.setattr(numerics.matching.rivals, "solve_float", None)
    assert fitted.transform(_samples()).shape[1] == 12


@pytest.mark.parametrize("network", NETWORKS)
def test_inner_products_tend_to_the_kernel(network: str) -> None:
    X, draws = _samples(), 12
    kernels = []
    for seed in range(draws):
        features = NetworkFeatures(network, _DEQ, width=700, random_state=seed).fit_transform(X)
        kernels.append(features @ features.T)
    error = np.std(kernels, axis=0, ddof=1) / np.sqrt(draws)
    gap = np.abs(np.mean(kernels, axis=0) - network_named(network, _DEQ).kernel(X @ X.T))
    # The bias of a finite width is O(1/m), and error here O(1/sqrt(m draws)).
    assert np.mean(gap / error) < 1.3
    # The kernels of the DEQ, the matched network and two steps are too near to each other for these draws.
    near = {"deq", "matched", "two-steps"}
    for other in set(NETWORKS) - {network} - (near if network in near else set()):
        wrong = network_named(other, _DEQ).kernel(X @ X.T)
        assert np.mean(np.abs(np.mean(kernels, axis=0) - wrong) / error) > 1.6


def test_weights_are_those_of_the_seed_alone() -> None:
    X = _samples(50)
    features = NetworkFeatures("deq", _DEQ, width=40, random_state=3)
    expected = features.fit_transform(X)
    for change in ({"block": 7}, {"n_jobs": 2, "block": 16}):
        found = clone(features).set_params(**change).fit_transform(X)
        np.testing.assert_allclose(found, expected, atol=1e-14)
    again = clone(features).set_params(n_jobs=2).fit_transform(X)
    assert np.array_equal(again, expected)
    single = clone(features).set_params(dtype="float32").fit_transform(X)
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, expected, atol=3e-5)
    other = clone(features).set_params(random_state=4).fit_transform(X)
    assert np.abs(other - expected).max() > 0.1


def test_features_are_the_states_of_the_networks() -> None:
    """The same numbers through `numerics.networks`, with the same order of drawing."""
    X = _samples()
    bias = solve_float(_DEQ).checked()["bias"]
    deq = FiniteDEQ.draw(_DEQ, bias, width=50, dimension=12, rng=np.random.default_rng(8))
    found = NetworkFeatures("deq", _DEQ, width=50, random_state=8, tolerance=1e-10).fit(X).solve(X)
    np.testing.assert_allclose(found.values, deq.equilibrium(X.T).states.T / np.sqrt(50), atol=1e-9)
    assert 0 < found.residual <= 1e-10
    two = NetworkFeatures("two-steps", _DEQ, width=50, random_state=8).fit_transform(X)
    first = deq.activate(deq.drive(X.T))
    np.testing.assert_allclose(two, deq.activate(deq.recur(first) + deq.drive(X.T)).T / np.sqrt(50), atol=1e-13)
    matched = design(_DEQ).network
    plain = FiniteExplicitNetwork.draw(matched.pointwise(), width=50, dimension=12, rng=np.random.default_rng(8))
    for network in ("matched", matched):
        explicit = NetworkFeatures(network, _DEQ, width=50, random_state=8).fit_transform(X)
        np.testing.assert_allclose(explicit, plain.forward(X.T)[1][-1].T / np.sqrt(50), atol=1e-13)


def test_training_samples_give_the_scale() -> None:
    X = _samples()
    features = NetworkFeatures("naive", _DEQ, width=20).fit(100 * X)
    np.testing.assert_allclose(features.transform(100 * X), NetworkFeatures("naive", _DEQ, width=20).fit_transform(X))
    # A test sample's norm is its own: the scale is not found again.
    assert np.linalg.norm(features.transform(200 * X)) > 1.5 * np.linalg.norm(features.transform(100 * X))


def test_what_is_refused() -> None:
    X = _samples()
    with pytest.raises(ValueError, match="the networks are deq, matched, naive"):
        NetworkFeatures("other").fit(X)
    with pytest.raises(TypeError, match="deq must be a DEQ"):
        NetworkFeatures("deq", "tanh").fit(X)  # type: ignore[arg-type]
    for wrong in ({"dtype": "float16"}, {"width": 0}, {"block": 0}):
        with pytest.raises(ValueError, match="a dtype of float64 or float32"):
            NetworkFeatures(**wrong).fit(X)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="float32 resolves residuals"):
        NetworkFeatures(dtype="float32", tolerance=1e-9).fit(X)
    for seed in (-1, None, "0", True):
        with pytest.raises(TypeError, match="random_state must be an integer"):
            NetworkFeatures(random_state=seed).fit(X)  # type: ignore[arg-type]
    with pytest.raises(NonConvergenceError, match="no fixed point"):
        # Narrow networks near the edge of stability may have none.
        NetworkFeatures("deq", DEQ("relu", "9/5", "1/10"), width=200).fit(X).transform(X)


def test_names_and_pipelines() -> None:
    X = _samples()
    pipeline = make_pipeline(NetworkFeatures(width=3))
    pipeline.fit(X)
    assert list(pipeline.get_feature_names_out()) == ["networkfeatures0", "networkfeatures1", "networkfeatures2"]
