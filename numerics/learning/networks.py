"""The networks that are compared: each with its exact kernel, and with random features of any width.

A network here is a DEQ, its iteration stopped after some steps, or an explicit network.  Samples are rows; a weight has
variance 1, and features are divided by sqrt(m), so that their inner products tend to the kernel.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

import numpy as np

from numerics.arithmetic import PointwiseActivation, elementwise
from numerics.arrays import Array
from numerics.kernels import GramBlock, with_dual
from numerics.matching import DEQKernels, DesignError, ExplicitNetwork, design, explicit_kernel, naive_layers
from numerics.networks import iterate_columns
from theory.activations import Activation
from theory.equations import DEQ
from theory.kernels import Kernel
from theory.named import MatchStatus

__all__ = ["NETWORKS", "Drawing", "RandomFeatures", "ReferenceNetwork", "network_named"]

#: Networks by name: the DEQ, the explicit network that matches it, one layer of its activation, and the DEQ's iteration
#: stopped after one step and after two.
NETWORKS = ("deq", "matched", "naive", "one-step", "two-steps")
_STEPS = {"deq": None, "one-step": 1, "two-steps": 2}
#: Relative residual that float32 still resolves at widths of thousands.
_FLOAT32_FLOOR = 1e-6


@dataclass(frozen=True)
class Drawing:
    """How a network is drawn.

    Attributes:
        width: m.
        dimension: p.
        dtype: "float64" or "float32", of weights and features; the weights are drawn in float64.
        tolerance: bound on the relative residual of every sample's equilibrium.
    """

    width: int
    dimension: int
    dtype: str = "float64"
    tolerance: float = 1e-5

    def weights(self, columns: int, scale: float, rng: np.random.Generator) -> Any:
        """Draw an (m, columns) array of normal entries, the same numbers in every dtype up to rounding.

        Args:
            columns: how many.
            scale: their standard deviation.
            rng: source of the entries.
        """
        found = rng.standard_normal((self.width, columns))
        found *= scale
        return found.astype(self.dtype, copy=False)


class RandomFeatures(Protocol):
    """Features of one draw of the weights."""

    def __call__(self, samples: Any) -> tuple[Any, float, int]:
        """Return the features of a (b, p) array, shape (b, m), the largest residual, and the most steps."""
        ...


class ReferenceNetwork(Protocol):
    """A network with its kernel and its features."""

    def kernel(self, gram: Array | GramBlock) -> Array:
        """Return the CK of infinite width at a Gram matrix, an (n, n) array, or at a block of one, an (r, c) array."""
        ...

    def draw(self, drawing: Drawing, rng: np.random.Generator) -> RandomFeatures:
        """Draw the weights and return the features."""
        ...


@dataclass(frozen=True)
class _Recurrent:
    """A DEQ, or its iteration stopped after some steps from h = 0."""

    exact: DEQKernels
    steps: int | None

    def kernel(self, gram: Array | GramBlock) -> Array:
        return self.exact.kernel(gram) if self.steps is None else self.exact.stopped(gram, self.steps)

    def draw(self, drawing: Drawing, rng: np.random.Generator) -> RandomFeatures:
        if self.steps is None and drawing.dtype == "float32" and drawing.tolerance < _FLOAT32_FLOOR:
            floor, asked = _FLOAT32_FLOOR, drawing.tolerance
            raise ValueError(f"float32 resolves residuals down to {floor:g}, and {asked:g} is asked for")
        recurrent_variance, input_variance = self.exact.variances
        recurrent = drawing.weights(drawing.width, np.sqrt(recurrent_variance / drawing.width), rng)
        inputs = drawing.weights(drawing.dimension, np.sqrt(input_variance), rng)
        return _RecurrentFeatures(self, drawing, self.exact.bias, recurrent, inputs)


@dataclass(frozen=True, eq=False)
class _RecurrentFeatures:
    """States of one draw of a DEQ.

    Attributes:
        network: what is drawn.
        drawing: how.
        bias: E[phi_0(tau_* xi)].  Found before there are threads: the precision of what certifies it is the process's.
        recurrent: (m, m) array, sigma_a A/sqrt(m).
        inputs: (m, p) array, sigma_b B.
    """

    network: _Recurrent
    drawing: Drawing
    bias: float
    recurrent: Any
    inputs: Any

    def __call__(self, samples: Any) -> tuple[Any, float, int]:
        phi, bias = elementwise(self.network.exact.deq.activation), self.bias
        drive = self.inputs @ samples.T

        def step(states: Any) -> Any:
            return _activated(phi, bias, self.recurrent @ states + drive)

        state = _activated(phi, bias, drive)
        if self.network.steps is None:
            found = iterate_columns(step, state, tolerance=self.drawing.tolerance)
            return _as_rows(found.value), found.residual, found.iterations
        for _ in range(self.network.steps - 1):
            state = step(state)
        return _as_rows(state), 0.0, self.network.steps


@dataclass(frozen=True)
class _Explicit:
    """An explicit network: activation and bias of each layer."""

    layers: tuple[tuple[Activation, float], ...]

    def kernel(self, gram: Array | GramBlock) -> Array:
        return explicit_kernel(gram, [(with_dual(activation), bias) for activation, bias in self.layers])

    def draw(self, drawing: Drawing, rng: np.random.Generator) -> RandomFeatures:
        # Samples have norm O(1): the first layer needs no division.
        first = [drawing.weights(drawing.dimension, 1.0, rng)]
        scale = 1 / np.sqrt(drawing.width)
        return _ExplicitFeatures(self, (*first, *(drawing.weights(drawing.width, scale, rng) for _ in self.layers[1:])))


@dataclass(frozen=True, eq=False)
class _ExplicitFeatures:
    """States of one draw of an explicit network.

    Attributes:
        network: what is drawn.
        weights: an (m, p) array, and (m, m) arrays divided by sqrt(m).
    """

    network: _Explicit
    weights: tuple[Any, ...]

    def __call__(self, samples: Any) -> tuple[Any, float, int]:
        state = samples.T
        for weight, (activation, bias) in zip(self.weights, self.network.layers, strict=True):
            state = _activated(elementwise(activation), bias, weight @ state)
        return _as_rows(state), 0.0, len(self.weights)


def network_named(network: str | ExplicitNetwork, deq: DEQ) -> ReferenceNetwork:
    """The network of a name beside a DEQ.

    Args:
        network: one of `NETWORKS`, or an explicit network of one's own.
        deq: the model that it stands beside.

    Raises:
        ValueError: an unknown name.
        DesignError: no explicit network matches the DEQ.
        EquilibriumError: the DEQ has no stable equilibrium.

    Example:
        >>> tanh = network_named("naive", DEQ("tanh"))
        >>> tanh.kernel(np.eye(2)).round(4).tolist()
        [[0.3943, 0.0], [0.0, 0.3943]]
    """
    if isinstance(network, ExplicitNetwork):
        return _explicit(network.pointwise())
    if network in _STEPS:
        return _Recurrent(DEQKernels(deq), _STEPS[network])
    if network == "naive":
        return _explicit(naive_layers(deq))
    if network == "matched":
        return _explicit(_matched(deq).pointwise())
    raise ValueError(f"the networks are {', '.join(NETWORKS)}, or an ExplicitNetwork, not {network!r}")


@lru_cache(maxsize=64)
def _matched(deq: DEQ) -> ExplicitNetwork:
    """The network of the family that suits the DEQ."""
    found = design(deq, kernel=Kernel.CK)
    if found.status is not MatchStatus.EXACT:
        raise DesignError(f"no explicit network matches {deq.activation.name} here: {found.reason}")
    return found.network


def _explicit(layers: list[tuple[PointwiseActivation, float]]) -> _Explicit:
    """The network of layers in float64, which are compiled again where they are needed."""
    return _Explicit(tuple((phi.source, bias) for phi, bias in layers if phi.source is not None))


def _as_rows(states: Any) -> Any:
    """Features of samples in rows, divided by sqrt(m)."""
    return states.T / np.sqrt(states.shape[0]).astype(states.dtype)


def _activated(phi: Callable[[Any], Any], bias: float, preactivations: Any) -> Any:
    """phi_0 - bias, in the dtype of the pre-activations."""
    # What overflows here is reported as a residual or a feature that is not finite.
    with np.errstate(over="ignore", invalid="ignore"):
        return phi(preactivations) - preactivations.dtype.type(bias)
