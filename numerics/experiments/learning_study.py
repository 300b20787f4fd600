"""What a DEQ, its matched explicit network, a naive one and a linear readout learn: predicted, and measured on draws.

Labels come from the classes.  A readout is ridge regression or gradient flow on the exact kernel of infinite width, or
ridge regression on the features of finite networks.  Cells are those of ``numerics.experiments.experiment``: their
random numbers depend on the root seed, p, the width and the index only, and all learners see the same samples.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import threadpoolctl
from numpy.typing import NDArray
from scipy.linalg import eigh
from scipy.optimize import minimize_scalar

from numerics.arrays import Array
from numerics.data import GaussianMixture, class_sizes
from numerics.equilibrium import solve_float
from numerics.experiments.experiment import Experiment, check_network
from numerics.experiments.pairs import designed
from numerics.kernels import GramBlock
from numerics.linalg import gram_matrix
from numerics.matching import DEQKernels, explicit_kernel, naive_layers
from numerics.networks import FiniteDEQ, FiniteExplicitNetwork
from numerics.spectrum import Learned, LearningLaw, Population, class_targets, deq_rows
from theory.activations import Activation
from theory.equations import DEQ
from theory.kernels import Kernel, KernelCoefficients

__all__ = ["LEARNERS", "Draw", "Fitted", "LearningStudy", "Readout", "Scores", "best_ridge"]

#: What learns: the DEQ, the explicit network with its kernel, one layer of its activation, and S alone.
LEARNERS = ("deq", "matched", "naive", "linear")
_NETWORK_TOLERANCE = 1e-8
#: Eigenvalues below this share of the largest count as it.
_ROUNDING = 1e-14
#: Logarithms of penalties among which the best is looked for.
_PENALTIES = (-6.0, 4.0)


@dataclass(frozen=True)
class Readout:
    """How a readout is found.

    Attributes:
        kind: ridge regression, or gradient flow from 0 on the squared error.
        value: the penalty, relative to tr(kernel)/n, or the time, in units of n/tr(kernel).

    Raises:
        ValueError: a value that is not positive.
    """

    kind: Literal["ridge", "time"]
    value: float

    def __post_init__(self) -> None:
        if not 0 < self.value < np.inf:
            raise ValueError(f"a {self.kind} must be a positive number, got {self.value:g}")

    def predict(self, law: LearningLaw) -> Learned:
        """What is learned on a kernel of infinite width."""
        return law.ridge(self.value) if self.kind == "ridge" else law.flow(self.value)

    def weights(self, values: Array) -> Array:
        """What the eigenvalues of a kernel, an array, become in its readout: f(x) = g(x)^T W y."""
        unit = values.mean()
        if self.kind == "ridge":
            return np.asarray(1 / (values + self.value * unit))
        positive = np.maximum(values, _ROUNDING * values.max())
        return np.asarray(-np.expm1(-self.value / unit * positive) / positive)


@dataclass(frozen=True)
class Scores:
    """Errors of a readout.

    Attributes:
        test_error: share of fresh samples put into a wrong class.
        test_mse: mean squared error on fresh samples.
        train_error: share of training samples put into a wrong class.
        train_mse: mean squared error on the training samples.
    """

    test_error: float
    test_mse: float
    train_error: float
    train_mse: float

    @classmethod
    def predicted(cls, learned: Learned) -> Scores:
        """Of the law of what is learned."""
        return cls(learned.test.error, learned.test.mse, learned.train.error, learned.train.mse)

    @classmethod
    def measured(cls, fresh: Array, train: Array, labels: tuple[NDArray[np.intp], NDArray[np.intp]]) -> Scores:
        """Of outputs (N, o) on fresh and (n, o) on training samples, and their classes."""
        numbers = []
        for outputs, label in zip((fresh, train), labels, strict=True):
            targets = class_targets(int(label.max()) + 1)
            chosen = (outputs[:, 0] <= 0).astype(np.intp) if outputs.shape[1] == 1 else outputs.argmax(axis=1)
            numbers += [float(np.mean(chosen != label)), float(np.mean((outputs - targets[label]) ** 2))]
        return cls(*numbers)


@dataclass(frozen=True)
class Fitted:
    """What a readout says of the samples of one draw.

    Attributes:
        fresh: (N, o) array, outputs on fresh samples.
        train: (n, o) array, outputs on training samples.
        leverage: how much of its own label is in a training sample's output, their mean.
    """

    fresh: Array
    train: Array
    leverage: float


@dataclass(frozen=True)
class Draw:
    """What the readouts say of one draw.

    Attributes:
        fitted: by learner, each of its readouts.
        labels: the classes of the fresh samples, (N,), and of the training samples, (n,).
    """

    fitted: Mapping[str, Sequence[Fitted]]
    labels: tuple[NDArray[np.intp], NDArray[np.intp]]


@dataclass(frozen=True)
class LearningStudy:
    """Learners on the data of one experiment in one dimension.

    Attributes:
        experiment: the data, of two classes or more, and the weights' variances.
        activation: of the DEQ.
        kernel: of the DEQ; an explicit network's NTK is that of all its weights.
        p: dimension.
        width: neurons of finite networks, whose conjugate kernel is learned on; None for the exact kernel.

    Raises:
        ValueError: one class, or finite networks with a kernel that is not the conjugate one.
    """

    experiment: Experiment
    activation: Activation
    kernel: Kernel
    p: int
    width: int | None = None

    def __post_init__(self) -> None:
        if self.experiment.classes < 2:
            raise ValueError("a classifier needs two classes at least")
        if self.width is not None and self.kernel is not Kernel.CK:
            raise ValueError("what is learned on the NTK of finite networks is not known: width is for the CK")

    @property
    def mixture(self) -> GaussianMixture:
        """The data."""
        return self.experiment.mixture(self.p)

    @property
    def deq(self) -> DEQ:
        """The model, at the data's tau_0."""
        return self.experiment.deq(self.activation, self.mixture.tau0)

    def coefficients(self, learner: str) -> KernelCoefficients[float]:
        """Of the equivalent of a learner's kernel at infinite width.

        Args:
            learner: one of ``LEARNERS``; the matched network has the DEQ's.

        Raises:
            EquilibriumError: no stable equilibrium, or coefficients that are not certified.
            ValueError: no such learner.
        """
        deq = self.deq
        if learner in ("deq", "matched"):
            return solve_float(deq).checked(self.kernel).kernel(self.kernel)
        if learner == "naive":
            single = DEQ(deq.activation, 0, 1, deq.tau0)
            which = Kernel.NTK_ALL if self.kernel.is_tangent else Kernel.CK
            return solve_float(single).checked(which).kernel(which)
        if learner == "linear":
            return KernelCoefficients(1.0, 0.0, 0.0, float(deq.tau0) ** 2)
        raise ValueError(f"a learner is one of {', '.join(LEARNERS)}, not {learner}")

    def law(self, learner: str) -> LearningLaw:
        """Of a learner's kernel at infinite width; raises as ``coefficients``."""
        return LearningLaw(self.mixture, self.coefficients(learner))

    def predict(self, learner: str, readout: Readout) -> Scores | None:
        """The asymptotic errors, or None where they are not known: in time or in several layers, at a finite width.

        Raises:
            EquilibriumError: as ``coefficients``.
            NoMatchError: no matched network.
            SpectralLawError: the law was not found to the accuracy asked for.
        """
        with threadpoolctl.threadpool_limits(limits=1):
            if self.width is None or learner == "linear":
                return Scores.predicted(readout.predict(self.law(learner)))
            if readout.kind == "time":
                return None
            if learner == "deq":
                deq = self.deq
                solution = solve_float(deq).checked(self.kernel)
                rows = deq_rows(Population.from_mixture(self.mixture), deq, solution, self.width)
                law = LearningLaw(rows.population, rows.coefficients)
                return Scores.predicted(law.features(readout.value, self.width, rows.feedback))
            if learner == "matched" and len(designed(self.deq, self.kernel).network.layers) > 1:
                return None
            return Scores.predicted(self.law(learner).features(readout.value, self.width))

    def measure(
        self, index: int, readouts: Mapping[str, Sequence[Readout]], tests: int, block: int = 2048
    ) -> dict[str, list[Scores]]:
        """Errors on one draw of the data (and of the networks).

        Args:
            index: number of the draw.
            readouts: for every learner.
            tests: fresh samples.
            block: fresh samples whose kernel is in memory at a time.

        Raises:
            EquilibriumError: as ``coefficients``, or networks that do not converge.
            NoMatchError: no matched network.
            KernelConvergenceError: an entry of an exact kernel has no stable fixed point.
            NonConvergenceError: a finite DEQ has no equilibrium that the iteration reaches.
        """
        drawn = self.draw(index, readouts, tests, block)
        return {
            learner: [Scores.measured(one.fresh, one.train, drawn.labels) for one in fitted]
            for learner, fitted in drawn.fitted.items()
        }

    def draw(self, index: int, readouts: Mapping[str, Sequence[Readout]], tests: int, block: int = 2048) -> Draw:
        """Outputs on one draw of the data (and of the networks); the arguments are those of `measure`.

        Raises:
            EquilibriumError: as ``coefficients``, or networks that do not converge.
            NoMatchError: no matched network.
            KernelConvergenceError: an entry of an exact kernel has no stable fixed point.
            NonConvergenceError: a finite DEQ has no equilibrium that the iteration reaches.
        """
        with threadpoolctl.threadpool_limits(limits=1):
            mixture, seed = self.mixture, [self.experiment.seed, self.p, index]
            rng = np.random.default_rng(seed if self.width is None else [*seed, self.width])
            train = mixture.sample(rng)
            fresh = replace(mixture, sizes=class_sizes(tests, mixture.sizes)).sample(rng)
            targets = class_targets(mixture.classes)[train.labels]
            fitted = {
                learner: _outputs(*self._kernels(learner, train.data, fresh.data, block, rng), targets, wanted)
                for learner, wanted in readouts.items()
            }
            return Draw(fitted, (fresh.labels, train.labels))

    def _kernels(
        self, learner: str, train: Array, fresh: Array, block: int, rng: np.random.Generator
    ) -> tuple[Array, Array]:
        """The kernel of the training samples, (n, n), and that of fresh samples with them, (N, n)."""
        if learner == "linear":
            return gram_matrix(train), fresh.T @ train
        deq = self.deq
        if self.width is not None:
            features = self._features(learner, self.width, np.hstack([train, fresh]), rng)
            inside, outside = np.split(features, [train.shape[1]], axis=1)
            return inside.T @ inside, outside.T @ inside
        exact = _ExactKernel(deq, self.kernel, learner)
        parts = [
            exact(GramBlock.of(fresh[:, start : start + block].T, train.T)) for start in range(0, fresh.shape[1], block)
        ]
        return exact(gram_matrix(train)), np.vstack(parts)

    def _features(self, learner: str, width: int, data: Array, rng: np.random.Generator) -> Array:
        """States of a finite network over sqrt(m), (m, samples)."""
        deq = self.deq
        if learner == "deq":
            solution = solve_float(deq).checked(self.kernel)
            check_network(solution)
            network = FiniteDEQ.draw(deq, solution["bias"], width=width, dimension=self.p, rng=rng)
            return np.asarray(network.equilibrium(data, tolerance=_NETWORK_TOLERANCE).states / np.sqrt(width))
        layers = naive_layers(deq) if learner == "naive" else designed(deq, self.kernel).network.pointwise()
        explicit = FiniteExplicitNetwork.draw(layers, width=width, dimension=self.p, rng=rng)
        return np.asarray(explicit.forward(data)[1][-1] / np.sqrt(width))


@dataclass(frozen=True)
class _ExactKernel:
    """A learner's kernel of infinite width, of a Gram matrix or of a block of one."""

    deq: DEQ
    kernel: Kernel
    learner: str

    def __call__(self, gram: Array | GramBlock) -> Array:
        if self.learner == "deq":
            return DEQKernels(self.deq).kernel(gram, self.kernel)
        if self.learner == "naive":
            return explicit_kernel(gram, naive_layers(self.deq), self.kernel)
        network = designed(self.deq, self.kernel).network
        return explicit_kernel(gram, network.pointwise(), self.kernel, network.float_rates())


def _outputs(kernel: Array, across: Array, targets: Array, readouts: Sequence[Readout]) -> list[Fitted]:
    """All readouts of a kernel, by one diagonalisation."""
    values, vectors = eigh(kernel)
    # Rounding makes eigenvalues 0 negative.
    values = np.maximum(values, 0.0)
    seen, along = across @ vectors, vectors.T @ targets
    found = []
    for readout in readouts:
        weights = readout.weights(values)
        held = values * weights
        found.append(
            Fitted(seen @ (weights[:, None] * along), vectors @ (held[:, None] * along), leverage=float(held.mean()))
        )
    return found


def best_ridge(law: LearningLaw) -> float:
    """The penalty with the least predicted test error, relative to tr(kernel)/n, between 1e-6 and 1e4."""

    def error(logarithm: float) -> float:
        return law.ridge(10.0**logarithm).test.error

    grid = np.linspace(*_PENALTIES, 41)
    best = int(np.argmin([error(value) for value in grid]))
    ends = grid[max(best - 1, 0)], grid[min(best + 1, grid.size - 1)]
    found = minimize_scalar(error, bounds=ends, method="bounded", options={"xatol": 1e-3})
    return float(10.0 ** (found.x if found.fun <= error(grid[best]) else grid[best]))
