"""Accuracy against width: six models with a trained readout, as in the released code and as they should be.

In the released code no weight but those of the readout is a parameter of PyTorch: all six are random features.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from numerics.arrays import Array, Index
from numerics.data import Dataset, Preprocessing
from numerics.equilibrium import solve_float
from numerics.released.designs import PAIRS, released_design
from numerics.released.kernels import Measured
from numerics.released.main_networks import CENTRED_FOR, shadowed_scale
from theory.equations import DEQ

__all__ = ["Training", "accuracies"]

#: Names in the released code of the DEQ, of the matched network and of the naive one, by activation.
_MODELS = {"relu": ("inn", "l_relu_enn", "relu_enn"), "tanh": ("tanh_inn", "h_tanh_enn", "tanh_enn")}
_NETWORKS = ("deq", "matched", "naive")
_SIGMA_A2 = 0.2
_RIDGE, _BATCH, _DEQ_TOLERANCE, _DEQ_STEPS = 1e-2, 128, 1e-2, 25


@dataclass(frozen=True)
class Training:
    """How much is trained.

    Attributes:
        training: samples.
        test: samples.
        widths: of the networks.
        epochs: of the released readout.
        rate: its learning rate.
    """

    training: int
    test: int
    widths: tuple[int, ...]
    epochs: int
    rate: float


def accuracies(train: Dataset, test: Dataset, plan: Training, seed: Sequence[int]) -> Measured:
    """Test accuracies of the six models at every width, in percent, on one draw of samples and weights.

    Args:
        train: the training split as read.
        test: the test split as read.
        plan: sizes.
        seed: of the samples and of all weights.

    Raises:
        DatasetError: too few samples.
    """
    # scikit-learn takes half a second to import, which the ledger would pay for too.
    from sklearn.linear_model import RidgeClassifier

    from numerics.learning import NetworkFeatures

    rng = np.random.default_rng(seed)
    train, test = train.subsample(plan.training, rng), test.subsample(plan.test, rng)
    fitted = Preprocessing.fit(train, "center")
    proper = fitted.apply(train), fitted.apply(test)
    # As released each split is centred and scaled by itself.
    apart = train.normalise("center"), test.normalise("center")
    found: Measured = {}
    for width in plan.widths:
        released = _released_features(apart, width, rng, cifar=train.name == "cifar-10")
        for activation, names in _MODELS.items():
            for name, network in zip(names, _NETWORKS, strict=True):
                readout = _trained(*released[name], apart[0].labels, plan, rng)
                was = 100 * float(np.mean(readout == apart[1].labels))
                model = NetworkFeatures(
                    network, DEQ(activation, "1/5", "4/5"), width=width, random_state=int(rng.integers(2**31))
                )
                features = model.fit_transform(proper[0].samples)
                ridge = RidgeClassifier(alpha=_RIDGE * float(np.sum(features**2)) / len(features))
                ridge.fit(features, proper[0].labels)
                score = 100 * float(ridge.score(model.transform(proper[1].samples), proper[1].labels))
                found[f"{activation} {network}, m = {width}"] = was, score
    return found


def _released_features(
    data: tuple[Dataset, Dataset], width: int, rng: np.random.Generator, *, cifar: bool
) -> dict[str, tuple[Array, Array]]:
    """Features of both splits by model; those of explicit networks share their weights, as one seed makes them do."""
    p = data[0].p
    w, w1 = rng.standard_normal((p, width)), rng.standard_normal((p, width))
    w2 = rng.standard_normal((width, width))
    A, B = rng.standard_normal((width, width)), rng.standard_normal((p, width))
    sigma_a, sigma_b, root = np.sqrt(_SIGMA_A2), np.sqrt(1 - _SIGMA_A2), np.sqrt(width)
    a1, b1, a2, b2 = released_design("relu", PAIRS["relu"].accuracy_sigma_a2).parameters
    a, c = released_design("tanh", PAIRS["tanh"].accuracy_sigma_a2).parameters
    tau1 = shadowed_scale(a1, b1)
    centre = 1 / np.sqrt(2 * np.pi)
    bias = float(solve_float(DEQ("relu", *CENTRED_FOR)).checked()["bias"])

    def leaky(x: Array) -> Array:
        first = (np.maximum(a1 * (x @ w1), b1 * (x @ w1)) - (a1 - b1) * centre) / root
        second = first @ w2
        return np.asarray((np.maximum(a2 * second, b2 * second) - (a2 - b2) * centre * tau1) / root)

    def relus(x: Array) -> Array:
        first = np.maximum(sigma_b * (x @ w) - sigma_a * centre, 0) / root
        return np.asarray(np.maximum(first @ w2 - centre * tau1, 0) / root)

    def deq(x: Array, *, relu: bool) -> Array:
        drive, state = sigma_b * (x @ B), np.zeros((len(x), width))
        for _ in range(_DEQ_STEPS):
            inner = sigma_a * (state @ A) + drive
            following = (np.maximum(inner, 0) - bias if relu else np.tanh(inner)) / root
            moved = float(np.linalg.norm(following - state))
            state = following
            if moved < _DEQ_TOLERANCE * float(np.linalg.norm(state)):
                break
        return state

    models: dict[str, Callable[[Array], Array]] = {
        "inn": lambda x: deq(x, relu=True),
        "l_relu_enn": leaky,
        "relu_enn": relus,
        "tanh_inn": lambda x: deq(x, relu=False),
        "h_tanh_enn": lambda x: a * np.clip(x @ w, -c, c) / root,
        "tanh_enn": lambda x: np.tanh((sigma_b if cifar else sigma_a) * (x @ w)) / root,
    }
    return {name: (model(data[0].samples), model(data[1].samples)) for name, model in models.items()}


def _trained(features: Array, test: Array, labels: Index, plan: Training, rng: np.random.Generator) -> Array:
    """Labels that a linear readout predicts, trained by plain stochastic gradients of the cross-entropy."""
    n, width = features.shape
    classes = int(labels.max()) + 1
    bound = 1 / np.sqrt(width)
    weights, offset = rng.uniform(-bound, bound, (width, classes)), rng.uniform(-bound, bound, classes)
    wanted = np.eye(classes)[labels]
    for _ in range(plan.epochs):
        order = rng.permutation(n)
        for start in range(0, n - _BATCH + 1, _BATCH):
            rows = order[start : start + _BATCH]
            scores = features[rows] @ weights + offset
            scores -= scores.max(axis=1, keepdims=True)
            shares = np.exp(scores)
            slope = (shares / shares.sum(axis=1, keepdims=True) - wanted[rows]) / _BATCH
            weights -= plan.rate * (features[rows].T @ slope)
            offset -= plan.rate * slope.sum(axis=0)
    return np.asarray((test @ weights + offset).argmax(axis=1))
