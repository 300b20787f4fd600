"""Kernels against their equivalents, and DEQs against the networks that stand for them: released beside corrected."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from numerics.arithmetic import pointwise
from numerics.arrays import Array
from numerics.data import Dataset, GaussianMixture, MixtureStatistics, estimate_statistics
from numerics.equilibrium import solve_float
from numerics.equivalents import DeterministicEquivalent
from numerics.experiments import Equivalent, EquivalentsOnData, exact_kernel
from numerics.linalg import gram_matrix, operator_norm
from numerics.matching import DEQKernels, design, explicit_kernel
from numerics.networks import FiniteExplicitNetwork
from numerics.released.designs import PAIRS, released_design
from numerics.released.formulas import ReleasedDEQ, released_image_statistics, released_mixture_statistics
from theory.equations import DEQ
from theory.kernels import Kernel

__all__ = ["Measured", "Sample", "image_sample", "kernel_errors", "mixture_sample", "pair_errors"]

#: By what is measured, as released and corrected; None where there is no such figure.
Measured = dict[str, tuple[float | None, float | None]]
_WEIGHTS = ("1/5", "4/5")
_FLOAT_WEIGHTS = (0.2, 0.8)


@dataclass(frozen=True, eq=False)
class Sample:
    """Data of one draw.

    Attributes:
        data: (p, n) array X, of norms about 1.
        labels: (n,) array of classes.
        statistics: as they should be.
        released: as the released code has them.
        images: whether they are images.
    """

    data: Array
    labels: NDArray[np.intp]
    statistics: MixtureStatistics
    released: MixtureStatistics
    images: bool


def mixture_sample(p: int, rng: np.random.Generator) -> Sample:
    """Draw the released code's Gaussian mixture.

    Args:
        p: dimension.
        rng: gives the random numbers.
    """
    drawn = GaussianMixture.released_experiment(p).sample(rng)
    statistics = drawn.statistics()
    labels = statistics.indicator.argmax(axis=1)
    return Sample(drawn.data, labels, statistics, released_mixture_statistics(statistics), images=False)


def image_sample(data: Dataset, n: int, rng: np.random.Generator) -> Sample:
    """Draw images of two classes.

    Args:
        data: centred images of norms about 1.
        n: how many.
        rng: gives the random numbers.
    """
    drawn = data.subsample(n, rng)
    statistics = estimate_statistics(drawn.samples.T, drawn.labels)
    released = released_image_statistics(drawn.samples, drawn.labels, statistics)
    return Sample(drawn.samples.T, drawn.labels, statistics, released, images=True)


def kernel_errors(
    kernel: Kernel, activation: str, sample: Sample, networks: int, width: int, rng: np.random.Generator
) -> Measured:
    """||K - Kbar||/||K||, with the mean over finite networks and the released statistics, and with neither.

    Args:
        kernel: the CK or the recurrent NTK.
        activation: registered name.
        sample: the data.
        networks: how many the mean is over.
        width: neurons of each.
        rng: gives the weights, and the start vectors of the norms.

    Raises:
        EquilibriumError: no stable equilibrium, or an NTK that does not exist.
        KernelConvergenceError: an entry of the exact kernel has no stable fixed point.
    """
    gram, tau0 = gram_matrix(sample.data), sample.statistics.tau0_empirical
    deq = DEQ(activation, *_WEIGHTS, tau0)
    phi, solution = pointwise(deq.activation), solve_float(deq).checked(kernel)

    def bar(statistics: MixtureStatistics) -> Array:
        coefficients = solution.kernel(kernel)
        return DeterministicEquivalent.from_statistics(statistics, coefficients, tau0=tau0, gram=gram).dense()

    p = sample.data.shape[0]
    estimate = _mean(
        networks,
        lambda: ReleasedDEQ(
            phi,
            solution["bias"],
            _FLOAT_WEIGHTS,
            rng.standard_normal((width, width)),
            rng.standard_normal((width, p)),
            sample.data,
        ).kernel(kernel),
    )
    exact = exact_kernel(kernel, deq, solution, gram)[0]
    corrected = _relative(exact, bar(sample.statistics), rng)
    found: Measured = {activation: (_relative(estimate, bar(sample.released), rng), corrected)}
    if sample.images:
        on_data = EquivalentsOnData(gram, sample.statistics, sample.labels, solution, phi, _FLOAT_WEIGHTS, kernel)
        for each, name in ((Equivalent.SECOND_ORDER, "second order"), (Equivalent.KEPT_NORMS, "norms kept")):
            found[f"{activation}, {name}"] = None, _relative(exact, on_data.matrix(each), rng)
    return found


def pair_errors(activation: str, sample: Sample, networks: int, width: int, rng: np.random.Generator) -> Measured:
    """||G - G'||/||G|| of a DEQ and the network that stands for it.

    As released both share their weights; with weights of their own the rest of their noise shows.  Corrected are exact
    kernels, and networks that are proved to match.

    Args:
        activation: "relu" or "tanh", of the DEQ.
        sample: the data.
        networks: how many the means are over.
        width: neurons of each layer.
        rng: gives the weights, and the start vectors of the norms.

    Raises:
        EquilibriumError: no stable equilibrium.
        DesignError: no network matches.
    """
    gram, tau0, p = gram_matrix(sample.data), sample.statistics.tau0_empirical, sample.data.shape[0]
    deq = DEQ(activation, *_WEIGHTS, tau0)
    phi, solution = pointwise(deq.activation), solve_float(deq).checked()
    pair = PAIRS[activation]
    layers = released_design(activation, _WEIGHTS[0], round(tau0, 6)).layers

    def both() -> Array:
        """The DEQ's kernel, the explicit network's of the same weights, and that of others."""
        recurrent, inputs = rng.standard_normal((width, width)), rng.standard_normal((width, p))
        own = ReleasedDEQ(phi, solution["bias"], _FLOAT_WEIGHTS, recurrent, inputs, sample.data).kernel(Kernel.CK)
        shared = FiniteExplicitNetwork(layers, (inputs, recurrent)[: pair.layers]).ck(sample.data)
        redrawn = FiniteExplicitNetwork.draw(layers, width=width, dimension=p, rng=rng).ck(sample.data)
        return np.array([own, shared, redrawn])

    own, shared, redrawn = _mean(networks, both)
    exact = DEQKernels(deq).kernel(gram)
    matched = design(deq, family=pair.family, layers=pair.layers).network.pointwise()
    name = f"{activation} by {pair.layers} x {pair.family}"
    return {
        name: (_relative(own, shared, rng), _relative(exact, explicit_kernel(gram, matched), rng)),
        f"{name}, own weights": (_relative(own, redrawn, rng), None),
    }


def _mean(count: int, draw: Callable[[], Array]) -> Array:
    total = draw()
    for _ in range(count - 1):
        total += draw()
    return np.asarray(total / count)


def _relative(kernel: Array, other: Array, rng: np.random.Generator) -> float:
    return operator_norm(kernel - other, rng).value / operator_norm(kernel, rng).value
