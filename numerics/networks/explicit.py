"""Finite explicit networks with random weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from numerics.arithmetic import Pointwise
from numerics.arrays import Array
from numerics.data import EntryLaw, draw_entries
from numerics.linalg import gram_matrix

__all__ = ["FiniteExplicitNetwork"]


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
