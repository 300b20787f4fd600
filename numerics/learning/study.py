"""A DEQ, its matched network and the networks beside them as classifiers of one data set, and what the tests say."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.linear_model import RidgeClassifier

from numerics.arrays import Array
from numerics.learning.equivalence import (
    FEWEST_DRAWS,
    MARGIN,
    EquivalenceTest,
    EquivalenceVerdict,
    compare_draws,
    compare_predictions,
    judge_equivalence,
)
from numerics.learning.features import NetworkFeatures
from numerics.learning.networks import NETWORKS
from numerics.learning.ridge import ExactKernelClassifier
from numerics.matching import ExplicitNetwork
from theory.equations import DEQ

__all__ = ["FeatureStudy", "KernelStudy", "study_features", "study_kernels"]

_SEEDS = 2**63


@dataclass(frozen=True, eq=False)
class KernelStudy:
    """Kernel ridge with the exact kernels of several networks.

    Attributes:
        training: number of training samples.
        testing: number of test samples.
        accuracies: by network, over the test samples.
        seconds: by network, to fit and to predict.
        tests: by network, against the DEQ.
        verdict: on the matched network, with the naive one as control.
    """

    training: int
    testing: int
    accuracies: Mapping[str, float]
    seconds: Mapping[str, float]
    tests: Mapping[str, EquivalenceTest]
    verdict: EquivalenceVerdict


@dataclass(frozen=True, eq=False)
class FeatureStudy:
    """Ridge readouts of random features of several networks of one width.

    Attributes:
        width: m.
        training: number of training samples.
        testing: number of test samples.
        accuracies: by network, an (r,) array over the draws of weights; "redrawn" is the DEQ with other weights.
        seconds: by network, of the features of all samples in one draw, the mean.
        residual: largest relative residual of an equilibrium.
        tests: by network, against the DEQ.
        verdict: on the matched network, with the naive one as control.
    """

    width: int
    training: int
    testing: int
    accuracies: Mapping[str, Array]
    seconds: Mapping[str, float]
    residual: float
    tests: Mapping[str, EquivalenceTest]
    verdict: EquivalenceVerdict


def study_kernels(
    deq: DEQ,
    training: tuple[Any, Any],
    testing: tuple[Any, Any],
    rng: np.random.Generator,
    *,
    matched: ExplicitNetwork | str = "matched",
    networks: Sequence[str] = NETWORKS,
    ridge: float = 1e-2,
    margin: float = MARGIN,
) -> KernelStudy:
    """Train kernel ridge with each network's exact kernel, and test whether the matched one is equivalent to the DEQ.

    Args:
        deq: the model.
        training: (n, p) array of samples in rows, and (n,) array of labels.
        testing: the same of the test samples.
        rng: resamples the test samples.
        matched: the network that is claimed to be equivalent, by default the one that suits the DEQ.
        networks: which to compare beside; the DEQ, the matched and the naive one always.
        ridge: the penalty, as for `ExactKernelClassifier`.
        margin: of the difference in accuracy, a share.

    Raises:
        ValueError: samples or labels that do not fit.
        DesignError: no explicit network matches the DEQ.
        EquilibriumError: the DEQ has no stable equilibrium.
    """
    predictions, seconds = {}, {}
    for name in _named(networks):
        start = time.perf_counter()
        classifier = ExactKernelClassifier(matched if name == "matched" else name, deq, ridge=ridge)
        predictions[name] = classifier.fit(*training).predict(testing[0])
        seconds[name] = time.perf_counter() - start
    truth = np.asarray(testing[1])
    others = {name: labels for name, labels in predictions.items() if name != "deq"}
    tests = compare_predictions(predictions["deq"], others, truth, rng, margin=margin)
    return KernelStudy(
        len(training[1]),
        truth.size,
        {name: float(np.mean(labels == truth)) for name, labels in predictions.items()},
        seconds,
        tests,
        judge_equivalence(tests["matched"], tests["naive"]),
    )


def study_features(
    deq: DEQ,
    training: tuple[Any, Any],
    testing: tuple[Any, Any],
    rng: np.random.Generator,
    *,
    width: int,
    draws: int = 10,
    matched: ExplicitNetwork | str = "matched",
    networks: Sequence[str] = ("deq", "matched", "naive"),
    ridge: float = 1e-2,
    **options: Any,
) -> FeatureStudy:
    """Train a ridge readout on random features of each network, draw after draw, and test for equivalence.

    Every network has weights of its own in every draw; nothing is shared between the DEQ and the others.

    Args:
        deq: the model.
        training: (n, p) array of samples in rows, and (n,) array of labels.
        testing: the same of the test samples.
        rng: gives the seeds of all weights, and resamples.
        width: m.
        draws: how often all weights are drawn, 3 times or more.
        matched: the network that is claimed to be equivalent, by default the one that suits the DEQ.
        networks: which to compare; the DEQ, the matched and the naive one always.
        ridge: the penalty, relative to the features' mean squared norm over the training samples.
        options: of `NetworkFeatures`: tolerance, dtype, block, n_jobs.

    Raises:
        ValueError: samples or labels that do not fit, or fewer than 3 draws.
        NonConvergenceError: a sample has no equilibrium that the iteration reaches.
    """
    if draws < FEWEST_DRAWS:
        raise ValueError(f"{FEWEST_DRAWS} draws of the weights or more are accepted, not {draws}")
    names = _named(networks)
    predictions: dict[str, list[Any]] = {name: [] for name in (*names, "redrawn")}
    seconds: dict[str, list[float]] = {name: [] for name in predictions}
    residual = 0.0
    for _ in range(draws):
        for name in predictions:
            network = {"matched": matched, "redrawn": "deq"}.get(name, name)
            seed = int(rng.integers(_SEEDS))
            features = NetworkFeatures(network, deq, width=width, random_state=seed, **options).fit(training[0])
            start = time.perf_counter()
            solved = [features.solve(samples) for samples in (training[0], testing[0])]
            seconds[name].append(time.perf_counter() - start)
            residual = max(residual, *(part.residual for part in solved))
            predictions[name].append(_read_out(solved[0].values, training[1], ridge).predict(solved[1].values))
    truth = np.asarray(testing[1])
    labels = {name: np.array(found) for name, found in predictions.items()}
    others = {name: found for name, found in labels.items() if name not in ("deq", "redrawn")}
    tests = compare_draws(labels["deq"], labels["redrawn"], others, truth, rng)
    return FeatureStudy(
        width,
        len(training[1]),
        truth.size,
        {name: (found == truth).mean(axis=1) for name, found in labels.items()},
        {name: float(np.mean(found)) for name, found in seconds.items()},
        residual,
        tests,
        judge_equivalence(tests["matched"], tests["naive"]),
    )


def _named(networks: Sequence[str]) -> list[str]:
    """The networks asked for, with the three that a verdict needs."""
    return list(dict.fromkeys(("deq", "matched", "naive", *networks)))


def _read_out(features: Any, labels: Any, ridge: float) -> RidgeClassifier:
    """A ridge readout without intercept, which is kernel ridge with the features' inner products."""
    alpha = ridge * float(np.einsum("ij,ij->", features, features, dtype=np.float64)) / len(features)
    return RidgeClassifier(alpha=alpha, fit_intercept=False).fit(features, labels)
