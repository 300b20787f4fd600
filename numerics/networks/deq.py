"""Finite-width networks: deep equilibrium models of m neurons, explicit networks, and their conjugate kernels.

A DEQ's state is the fixed point h = phi(sigma_a A h / sqrt(m) + sigma_b B x) with the same A and B at every step
(theory sheet, section 1); all samples are columns of one matrix and iterate together.  phi = phi_0 - bias, the bias
being E[phi_0(tau_* xi)] of the infinite-width equilibrium.  A fixed point that is not reached is an error.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from numerics.arithmetic import Pointwise, pointwise
from numerics.arrays import Array
from numerics.data import EntryLaw, draw_entries
from numerics.linalg import gram_matrix
from numerics.networks.iteration import FixedPoint, IterationMethod, in_batches, solve_fixed_point
from theory.equations import DEQ

__all__ = [
    "Equilibrium",
    "FiniteDEQ",
    "KernelAverage",
    "average_kernel",
]


@dataclass(frozen=True)
class Equilibrium:
    """Equilibrium of a finite DEQ on n samples.

    Attributes:
        states: (m, n) array, h.
        preactivations: (m, n) array, u = sigma_a A h / sqrt(m) + sigma_b B x at these states.
        residual: as for `FixedPoint`.
        iterations: evaluations of the map, the most for any sample.
        method: how it was found.
    """

    states: Array
    preactivations: Array
    residual: float
    iterations: int
    method: IterationMethod

    @property
    def ck(self) -> Array:
        """Conjugate kernel H^T H / m, shape (n, n)."""
        return np.asarray(gram_matrix(self.states) / self.states.shape[0])


@dataclass(frozen=True)
class FiniteDEQ:
    """A deep equilibrium model of finite width: h = phi(sigma_a A h / sqrt(m) + sigma_b B x).

    Attributes:
        phi: the activation, uncentred.
        bias: subtracted from phi.
        sigma_a2: variance of the recurrent weights, nonnegative.
        sigma_b2: variance of the input weights, nonnegative.
        recurrent: (m, m) array, A, entries of variance 1.
        inputs: (m, p) array, B, entries of variance 1.
    """

    phi: Pointwise
    bias: float
    sigma_a2: float
    sigma_b2: float
    recurrent: Array
    inputs: Array

    def __post_init__(self) -> None:
        m = self.recurrent.shape[0]
        if self.recurrent.shape != (m, m) or self.inputs.ndim != 2 or self.inputs.shape[0] != m or m < 1:
            raise ValueError(
                f"A must be (m, m) and B (m, p), got shapes {self.recurrent.shape} and {self.inputs.shape}"
            )
        for name, number in (("sigma_a2", self.sigma_a2), ("sigma_b2", self.sigma_b2)):
            if not (np.isfinite(number) and number >= 0):
                raise ValueError(f"{name} must be finite and not negative, got {number}")
        if not np.isfinite(self.bias):
            raise ValueError(f"the bias must be finite, got {self.bias}")

    @classmethod
    def draw(
        cls,
        deq: DEQ,
        bias: float,
        *,
        width: int,
        dimension: int,
        rng: np.random.Generator,
        law: EntryLaw = "gaussian",
    ) -> FiniteDEQ:
        """Network of m = `width` neurons on p = `dimension` inputs, A drawn before B.

        Args:
            deq: its activation and the weights' variances; the data bring their own scale.
            bias: subtracted from the activation.
            width: m.
            dimension: p.
            rng: source of the weights.
            law: of the weights' entries, of mean 0 and variance 1.

        Raises:
            ValueError: a width or dimension below 1, or an unknown law.
        """
        if width < 1 or dimension < 1:
            raise ValueError(f"the width and the dimension must be at least 1, got {width} and {dimension}")
        recurrent = draw_entries(law, (width, width), rng)
        inputs = draw_entries(law, (width, dimension), rng)
        return cls(pointwise(deq.activation), bias, float(deq.sigma_a2), float(deq.sigma_b2), recurrent, inputs)

    @property
    def width(self) -> int:
        """m."""
        return int(self.recurrent.shape[0])

    def activate(self, preactivations: Array) -> Array:
        """phi_0 - bias, elementwise on an array of any shape."""
        return np.asarray(self.phi.value(preactivations) - self.bias)

    def drive(self, data: Array) -> Array:
        """sigma_b B x for the columns of a (p, n) array, shape (m, n)."""
        return np.asarray(np.sqrt(self.sigma_b2) * (self.inputs @ data))

    def recur(self, states: Array) -> Array:
        """sigma_a A h / sqrt(m) for the columns of an (m, n) array, shape (m, n)."""
        return np.asarray(np.sqrt(self.sigma_a2 / self.width) * (self.recurrent @ states))

    def recur_back(self, vectors: Array) -> Array:
        """sigma_a A^T v / sqrt(m) for the columns of an (m, n) array, shape (m, n)."""
        return np.asarray(np.sqrt(self.sigma_a2 / self.width) * (self.recurrent.T @ vectors))

    def equilibrium(
        self,
        data: Array,
        *,
        method: IterationMethod = "anderson",
        tolerance: float = 1e-10,
        damping: float = 1.0,
        limit: int = 400,
    ) -> Equilibrium:
        """States of all samples, iterated from h = 0.

        Args:
            data: (p, n) array X, a sample in each column.
            method: as for `solve_fixed_point`, like the arguments that follow.
            tolerance: bound on the relative residual of every sample's state.
            damping: share of a plain step that is taken.
            limit: most evaluations of the map.

        Raises:
            ValueError: data of another dimension, or an argument out of range.
            NonConvergenceError: no equilibrium was reached.
        """
        if data.ndim != 2 or data.shape[0] != self.inputs.shape[1]:
            raise ValueError(f"data must have {self.inputs.shape[1]} rows, got shape {data.shape}")
        drive = self.drive(data)

        def solve(batch: slice) -> FixedPoint:
            part = drive[:, batch]

            def step(states: Array) -> Array:
                # What overflows here is reported as a residual that is not finite.
                with np.errstate(over="ignore", invalid="ignore"):
                    return self.activate(self.recur(states) + part)

            return solve_fixed_point(
                step, self.activate(part), method=method, tolerance=tolerance, damping=damping, limit=limit
            )

        found = in_batches(solve, *drive.shape)
        preactivations = self.recur(found.value) + drive
        return Equilibrium(found.value, preactivations, found.residual, found.iterations, method)


@dataclass(frozen=True)
class KernelAverage:
    """Average of a kernel over independent draws.

    Attributes:
        mean: (n, n) array.
        standard_error: (n, n) array, of the mean, entry by entry.
        draws: number of draws.
    """

    mean: Array
    standard_error: Array
    draws: int


def average_kernel(draw: Callable[[np.random.Generator], Array], draws: int, rng: np.random.Generator) -> KernelAverage:
    """Mean of `draws` kernels with the standard error of every entry, two arrays in memory at a time.

    Args:
        draw: one kernel, (n, n), from a generator.
        draws: how many, at least 2.
        rng: passed to every draw in turn.

    Raises:
        ValueError: fewer than two draws.
    """
    if draws < 2:
        raise ValueError(f"a standard error needs at least two draws, got {draws}")
    mean = draw(rng)
    squares = np.zeros_like(mean)
    # Welford's update: no difference of large numbers.
    for count in range(2, draws + 1):
        shift = draw(rng) - mean
        mean = mean + shift / count
        squares += (1 - 1 / count) * shift**2
    return KernelAverage(mean, np.sqrt(squares / (draws - 1) / draws), draws)
