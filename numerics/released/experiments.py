"""The released code's experiments: what each measures, on what, and what differs between released and corrected."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import threadpoolctl

from numerics.data import Dataset, load_dataset
from numerics.released.accuracy import Training, accuracies
from numerics.released.kernels import Measured, image_sample, kernel_errors, mixture_sample, pair_errors
from theory.kernels import Kernel

__all__ = ["EXPERIMENTS", "SCALES", "Mean", "ReleasedExperiment", "Row", "Scale", "measure_cell", "summarise"]


@dataclass(frozen=True)
class Scale:
    """Sizes of a run.

    Attributes:
        draws: of data and weights.
        dimension: p of the mixture.
        networks: finite networks that a released mean is over.
        width: neurons of each.
        images: n of two classes of images.
        training: samples of the accuracies.
        test: likewise.
        widths: of their networks.
        epochs: of the released readout.
    """

    draws: int
    dimension: int
    networks: int
    width: int
    images: int
    training: int
    test: int
    widths: tuple[int, ...]
    epochs: int


SCALES = {
    "quick": Scale(3, 100, 4, 500, 200, 800, 800, (32, 128), 10),
    "default": Scale(10, 400, 10, 1000, 400, 5000, 1500, (32, 128, 512), 100),
}


@dataclass(frozen=True)
class ReleasedExperiment:
    """An experiment.

    Attributes:
        title: what is compared, in a few words.
        scripts: files of the released code.
        quantity: what the numbers are; errors are operator norms over that of the kernel.
        dataset: name of a registered set, or "" for the mixture.
        differs: what differs between "as released" and "corrected", in a sentence.
        measure: of the scale, a generator and the seed that made it.
    """

    title: str
    scripts: str
    quantity: str
    dataset: str
    differs: str
    measure: Callable[[Scale, np.random.Generator, Sequence[int]], Measured]


def _digits() -> Dataset:
    """MNIST's 6 and 8, all of them centred and scaled together."""
    return load_dataset("mnist").select(("6", "8")).normalise("center")


def _kernels(kernel: Kernel, dataset: str, scale: Scale, rng: np.random.Generator, _: Sequence[int]) -> Measured:
    sample = image_sample(_digits(), scale.images, rng) if dataset else mixture_sample(scale.dimension, rng)
    found: Measured = {}
    for activation in ("relu", "tanh"):
        found |= kernel_errors(kernel, activation, sample, scale.networks, scale.width, rng)
    return found


def _pairs(dataset: str, scale: Scale, rng: np.random.Generator, _: Sequence[int]) -> Measured:
    sample = image_sample(_digits(), scale.images, rng) if dataset else mixture_sample(scale.dimension, rng)
    found: Measured = {}
    for activation in ("tanh", "relu"):
        found |= pair_errors(activation, sample, scale.networks, scale.width, rng)
    return found


def _accuracies(dataset: str, rate: float, scale: Scale, rng: np.random.Generator, seed: Sequence[int]) -> Measured:
    plan = Training(scale.training, scale.test, scale.widths, scale.epochs, rate)
    return accuracies(load_dataset(dataset), load_dataset(dataset, test=True), plan, seed)


_ERROR, _SCORE = "relative error", "test accuracy, %"
_SHARED = (
    "as released the DEQ and the network share A and B, so that their noise cancels in part (own weights shows the "
    "rest), and the network is what SLSQP reaches; corrected are exact kernels and the network that is proved to match"
)
_NETWORKS = "the kernel is a mean over finite networks, whose noise and bias stay in the error"
_IMAGES = (
    f"as released t is 0, psi is divided by p twice, T is centred, elementwise and p^2 too small, so that only the "
    f"linear term is left, and {_NETWORKS}; corrected is the exact kernel against Gbar, which images do not obey: "
    "second order and norms kept do"
)
_ACCURACY = (
    "as released the DEQ has sigma_a^2 = .2, but leaky ReLU is solved for .3, hard tanh for .1 and ReLU is centred for "
    ".1; the second layers are centred by the formula of hard tanh; the ReLU network is centred before its ReLU; "
    "each split is scaled by itself; one seed; only the readout trains; corrected are matched networks at .2, one "
    "scale and a ridge readout"
)
EXPERIMENTS: Mapping[str, ReleasedExperiment] = {
    "ck-mixture": ReleasedExperiment(
        "CK against Gbar, Gaussian mixture",
        "ck_gmm_matching.py",
        _ERROR,
        "",
        f"as released T is centred, and {_NETWORKS}; corrected is the exact kernel",
        partial(_kernels, Kernel.CK, ""),
    ),
    "ntk-mixture": ReleasedExperiment(
        "NTK against Kbar, Gaussian mixture",
        "gmm_NTK_matching.py",
        _ERROR,
        "",
        f"as released T is centred, and {_NETWORKS}; corrected is the exact kernel",
        partial(_kernels, Kernel.NTK_RECURRENT, ""),
    ),
    "ck-mnist": ReleasedExperiment(
        "CK against Gbar, MNIST 6 and 8",
        "ck_mnist_matching.py",
        _ERROR,
        "mnist",
        _IMAGES,
        partial(_kernels, Kernel.CK, "mnist"),
    ),
    "ntk-mnist": ReleasedExperiment(
        "NTK against Kbar, MNIST 6 and 8",
        "mnist_NTK_matching.py",
        _ERROR,
        "mnist",
        _IMAGES,
        partial(_kernels, Kernel.NTK_RECURRENT, "mnist"),
    ),
    "pairs-mixture": ReleasedExperiment(
        "DEQ against explicit network, Gaussian mixture",
        "gmm_one_layer_matching.py, gmm_twolayer_relu_matching.py",
        _ERROR,
        "",
        _SHARED,
        partial(_pairs, ""),
    ),
    "pairs-mnist": ReleasedExperiment(
        "DEQ against explicit network, MNIST 6 and 8",
        "mnist_one_layer_matching.py, mnist_two_layer_relu.py",
        _ERROR,
        "mnist",
        _SHARED,
        partial(_pairs, "mnist"),
    ),
    "accuracy-mnist": ReleasedExperiment(
        "accuracy against width, MNIST",
        "main.py",
        _SCORE,
        "mnist",
        f"{_ACCURACY}; tanh's weights have the variance .2 of the recurrent ones in place of .8",
        partial(_accuracies, "mnist", 1.0),
    ),
    "accuracy-fashion-mnist": ReleasedExperiment(
        "accuracy against width, Fashion-MNIST",
        "main.py",
        _SCORE,
        "fashion-mnist",
        f"{_ACCURACY}; tanh's weights have the variance .2 of the recurrent ones in place of .8",
        partial(_accuracies, "fashion-mnist", 1.0),
    ),
    "accuracy-cifar-10": ReleasedExperiment(
        "accuracy against width, CIFAR-10",
        "main.py",
        _SCORE,
        "cifar-10",
        f"{_ACCURACY}; its features of VGG16 were extracted with dropout active, and here are raw pixels on both sides",
        partial(_accuracies, "cifar-10", 0.1),
    ),
}


def measure_cell(scale: Scale, seed: int, cell: Mapping[str, Any]) -> dict[str, Any]:
    """Measure one draw of one experiment: ``rows`` of the subject, the figure as released and the corrected one.

    Args:
        scale: sizes.
        seed: root seed; with the experiment's place and the index it fixes the draw.
        cell: ``experiment``, a key of `EXPERIMENTS`, and ``index``, the number of the draw.

    Raises:
        MissingDatasetError: the data set is not on this machine.
    """
    name, index = cell["experiment"], cell["index"]
    own = [seed, list(EXPERIMENTS).index(name), index]
    with threadpoolctl.threadpool_limits(limits=1):
        found = EXPERIMENTS[name].measure(scale, np.random.default_rng(own), own)
    return {"rows": [[row, *pair] for row, pair in found.items()]}


@dataclass(frozen=True)
class Mean:
    """A mean over draws.

    Attributes:
        value: the mean.
        error: its standard error; nan for a single draw.
        draws: how many.
    """

    value: float
    error: float
    draws: int


@dataclass(frozen=True)
class Row:
    """What one experiment found of one subject.

    Attributes:
        name: the subject.
        released: as released, or None.
        corrected: or None.
    """

    name: str
    released: Mean | None
    corrected: Mean | None


def summarise(draws: Sequence[Mapping[str, Any]]) -> list[Row]:
    """Rows of means over the draws of one experiment.

    Args:
        draws: what `measure_cell` returned for each, at least one.

    Example:
        >>> (row,) = summarise([{"rows": [["relu", 1.0, None]]}, {"rows": [["relu", 3.0, None]]}])
        >>> row.released.value, row.released.error, row.corrected
        (2.0, 1.0, None)
    """
    subjects = zip(*(one["rows"] for one in draws), strict=True)
    return [Row(rows[0][0], _mean([row[1] for row in rows]), _mean([row[2] for row in rows])) for rows in subjects]


def _mean(values: Sequence[float | None]) -> Mean | None:
    known = [value for value in values if value is not None]
    if not known:
        return None
    error = float(np.std(known, ddof=1) / np.sqrt(len(known))) if len(known) > 1 else float("nan")
    return Mean(float(np.mean(known)), error, len(known))
