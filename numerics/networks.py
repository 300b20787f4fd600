"""Finite-width networks: deep equilibrium models of m neurons, explicit networks, and their conjugate kernels.

A DEQ's state is the fixed point h = phi(sigma_a A h / sqrt(m) + sigma_b B x) with the same A and B at every step
(theory sheet, section 1); all samples are columns of one matrix and iterate together.  phi = phi_0 - bias, the bias
being E[phi_0(tau_* xi)] of the infinite-width equilibrium.  A fixed point that is not reached is an error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from numerics.hermite import Pointwise
from numerics.symmetric import gram_matrix
from numerics.weight_laws import EntryLaw, draw_entries

__all__ = [
    "Equilibrium",
    "FiniteDEQ",
    "FiniteExplicitNetwork",
    "FixedPoint",
    "IterationMethod",
    "KernelAverage",
    "NonConvergenceError",
    "average_kernel",
    "in_batches",
    "solve_fixed_point",
]

Array = NDArray[np.float64]
#: "damped" is x <- x + damping (f(x) - x); "anderson" mixes the last few steps, which is GMRES where f is affine.
IterationMethod = Literal["anderson", "damped"]

#: Steps that Anderson's method mixes.
_MEMORY = 6
#: Anderson's history is dropped after so many steps without a smaller residual: it can mislead across kinks.
_PATIENCE = 12
#: Numbers that are iterated at once: Anderson's history is twelve times their size.
_BATCH = 1 << 22
#: Directions of Anderson's history weaker than this, relative to its strongest, are noise.
_NEGLIGIBLE = 1e-13


class NonConvergenceError(RuntimeError):
    """A fixed point was not reached to the tolerance asked for."""


@dataclass(frozen=True)
class FixedPoint:
    """A fixed point of a map on columns, with the evidence for it.

    Attributes:
        value: (m, n) array, x.
        residual: largest over columns of ||f(x) - x|| / max(||f(x)||, ||x||), at `value` itself.
        iterations: evaluations of f.
    """

    value: Array
    residual: float
    iterations: int


def solve_fixed_point(
    step: Callable[[Array], Array],
    start: Array,
    *,
    method: IterationMethod = "anderson",
    tolerance: float = 1e-10,
    damping: float = 1.0,
    limit: int = 400,
) -> FixedPoint:
    """Fixed point of a map that acts on every column of an (m, n) array by itself.

    Args:
        step: f, from (m, n) arrays to (m, n) arrays.
        start: (m, n) array, the first guess.
        method: how to iterate.
        tolerance: bound on the residual, relative to each column's norm, in [1e-15, 1).
        damping: share of a plain step that is taken, in (0, 1].
        limit: most evaluations of f.

    Raises:
        ValueError: an argument out of range.
        NonConvergenceError: the residual is not within the tolerance after `limit` evaluations, or not finite.
    """
    if not 1e-15 <= tolerance < 1:
        raise ValueError(f"the tolerance must lie in [1e-15, 1), got {tolerance}")
    if not 0 < damping <= 1:
        raise ValueError(f"the damping must lie in (0, 1], got {damping}")
    if limit < 1:
        raise ValueError(f"at least one iteration is needed, got a limit of {limit}")
    if method == "anderson":
        iterates = _anderson(step, start, damping)
    elif method == "damped":
        iterates = _damped(step, start, damping)
    else:
        raise ValueError(f'the method is "anderson" or "damped", not {method!r}')
    residuals: list[float] = []
    for current, image in iterates:
        residuals.append(_relative_residual(current, image))
        if residuals[-1] <= tolerance:
            return FixedPoint(current, residuals[-1], len(residuals))
        if not np.isfinite(residuals[-1]) or len(residuals) == limit:
            break
    raise NonConvergenceError(
        f"no fixed point in {len(residuals)} steps of the {method} iteration ({start.shape[0]} neurons, "
        f"{start.shape[1]} samples): the relative residual went from {residuals[0]:.3g} to {residuals[-1]:.3g} "
        f"(smallest {np.nanmin(residuals):.3g}, asked for {tolerance:.3g}); more steps, a smaller sigma_a^2 or a wider "
        "network may converge"
    )


def in_batches(solve: Callable[[slice], FixedPoint], rows: int, columns: int) -> FixedPoint:
    """Solve columns that do not depend on each other a few at a time, so that memory does not grow with their number.

    Args:
        solve: the fixed point of some columns, an array of that many.
        rows: m.
        columns: n, of all of them.

    Returns:
        All columns, the largest residual and the most iterations of any batch.
    """
    size = max(1, _BATCH // rows)
    parts = [solve(slice(start, min(start + size, columns))) for start in range(0, columns, size)]
    return FixedPoint(
        np.hstack([part.value for part in parts]),
        max(part.residual for part in parts),
        max(part.iterations for part in parts),
    )


def _relative_residual(current: Array, image: Array) -> float:
    with np.errstate(over="ignore", invalid="ignore"):
        gap = np.linalg.norm(image - current, axis=0)
        size = np.maximum(np.linalg.norm(image, axis=0), np.linalg.norm(current, axis=0))
        return float(np.max(gap / np.where(size == 0, 1.0, size), initial=0.0))


def _damped(step: Callable[[Array], Array], start: Array, damping: float) -> Iterator[tuple[Array, Array]]:
    current = start
    while True:
        image = step(current)
        yield current, image
        current = current + damping * (image - current)


def _anderson(step: Callable[[Array], Array], start: Array, damping: float) -> Iterator[tuple[Array, Array]]:
    """Anderson's method (type II), a mixture of its own for every column.

    The next point is the one that the plain damped steps would reach from the affine combination of the last points
    whose residual f(x) - x is least.
    """
    m, n = start.shape
    # Differences of consecutive points and residuals: a sample, a slot of the history, a neuron.
    moves, changes = np.zeros((n, _MEMORY, m)), np.zeros((n, _MEMORY, m))
    current = start
    before: tuple[Array, Array] | None = None
    best, since, slot = np.inf, 0, 0
    while True:
        image = step(current)
        yield current, image
        residual = image - current
        size = float(np.linalg.norm(residual))
        best, since = (size, 0) if size < best else (best, since + 1)
        if since >= _PATIENCE:
            changes[...] = 0.0
            moves[...] = 0.0
            before, since = None, 0
        if before is not None:
            moves[:, slot] = (current - before[0]).T
            changes[:, slot] = (residual - before[1]).T
            slot = (slot + 1) % _MEMORY
        before = current, residual
        normal = changes @ changes.transpose(0, 2, 1)
        target = changes @ residual.T[:, :, None]
        mix = np.linalg.pinv(normal, rcond=_NEGLIGIBLE, hermitian=True) @ target
        correction = ((moves + damping * changes).transpose(0, 2, 1) @ mix)[:, :, 0].T
        current = current + damping * residual - correction


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
        phi: Pointwise,
        bias: float,
        sigma_a2: float,
        sigma_b2: float,
        *,
        width: int,
        dimension: int,
        rng: np.random.Generator,
        law: EntryLaw = "gaussian",
    ) -> FiniteDEQ:
        """Network of m = `width` neurons on p = `dimension` inputs, A drawn before B.

        Args:
            phi: the activation, uncentred.
            bias: subtracted from phi.
            sigma_a2: variance of the recurrent weights.
            sigma_b2: variance of the input weights.
            width: m.
            dimension: p.
            rng: source of the weights.
            law: of the weights' entries, of mean 0 and variance 1.

        Raises:
            ValueError: a width or dimension below 1, a variance out of range, or an unknown law.
        """
        if width < 1 or dimension < 1:
            raise ValueError(f"the width and the dimension must be at least 1, got {width} and {dimension}")
        recurrent = draw_entries(law, (width, width), rng)
        return cls(phi, bias, sigma_a2, sigma_b2, recurrent, draw_entries(law, (width, dimension), rng))

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
class FiniteExplicitNetwork:
    """An explicit network: z_l = phi_l(W_l z_{l-1} / sqrt(m_{l-1})), z_0 = x, the first layer without 1/sqrt(p).

    Samples have norm O(1) (theory sheet, section 1), so W_1 x needs no normalisation.

    Attributes:
        layers: (phi_l, bias_l) in order; the activation of layer l is phi_l - bias_l.
        weights: (m_l, m_{l-1}) arrays W_l in order, m_0 = p, entries of variance 1.
    """

    layers: tuple[tuple[Pointwise, float], ...]
    weights: tuple[Array, ...]

    def __post_init__(self) -> None:
        if not self.layers or len(self.layers) != len(self.weights):
            raise ValueError(
                f"every layer needs a weight matrix, and one layer is the least: got {len(self.layers)} layers and "
                f"{len(self.weights)} matrices"
            )
        for below, above in zip(self.weights, self.weights[1:], strict=False):
            if above.shape[1] != below.shape[0]:
                raise ValueError(f"weights of shapes {below.shape} and {above.shape} cannot follow each other")

    @classmethod
    def draw(
        cls,
        layers: Sequence[tuple[Pointwise, float]],
        *,
        width: int,
        dimension: int,
        rng: np.random.Generator,
        law: EntryLaw = "gaussian",
    ) -> FiniteExplicitNetwork:
        """Network with `width` neurons in each of its layers on `dimension` inputs, W_1 drawn first.

        Args:
            layers: activation (uncentred) and what is subtracted from it, for each hidden layer.
            width: m.
            dimension: p.
            rng: source of the weights.
            law: of the weights' entries, of mean 0 and variance 1.

        Raises:
            ValueError: no layer, a width or dimension below 1, or an unknown law.
        """
        if width < 1 or dimension < 1:
            raise ValueError(f"the width and the dimension must be at least 1, got {width} and {dimension}")
        columns = [dimension] + [width] * (len(layers) - 1)
        return cls(tuple(layers), tuple(draw_entries(law, (width, k), rng) for k in columns))

    def scale(self, layer: int) -> float:
        """Factor of W_l: 1 for the first layer, 1/sqrt(m_{l-1}) for the others (layers counted from 0)."""
        return 1.0 if layer == 0 else 1 / float(np.sqrt(self.weights[layer].shape[1]))

    def forward(self, data: Array) -> tuple[tuple[Array, ...], tuple[Array, ...]]:
        """Pre-activations and states of every layer, each an (m_l, n) array, for a (p, n) array of samples.

        Raises:
            ValueError: data of another dimension.
        """
        if data.ndim != 2 or data.shape[0] != self.weights[0].shape[1]:
            raise ValueError(f"data must have {self.weights[0].shape[1]} rows, got shape {data.shape}")
        preactivations, states = [], []
        current = data
        for position, ((phi, bias), weight) in enumerate(zip(self.layers, self.weights, strict=True)):
            preactivations.append(self.scale(position) * (weight @ current))
            current = np.asarray(phi.value(preactivations[-1]) - bias)
            states.append(current)
        return tuple(preactivations), tuple(states)

    def ck(self, data: Array) -> Array:
        """Conjugate kernel Z_L^T Z_L / m_L of a (p, n) array of samples, shape (n, n)."""
        last = self.forward(data)[1][-1]
        return np.asarray(gram_matrix(last) / last.shape[0])


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
