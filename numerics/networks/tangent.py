"""Neural tangent kernels of finite networks, through the exact Jacobian.

A DEQ's output is v^T h(x) / sqrt(m) with readout v.  Implicit differentiation of h = phi(u), u = sigma_a A h / sqrt(m)
+ sigma_b B x, gives dh = (I - sigma_a D A / sqrt(m))^{-1} D (sigma_a dA h / sqrt(m) + sigma_b dB x), D = diag phi'(u).
So with

    g = D y,    (I - sigma_a A^T D / sqrt(m)) y = v    for each sample,    Q_ij = g_i . g_j / m,

the gradients by A and by B contribute sigma_a^2 Q_ij G_ij and sigma_b^2 Q_ij S_ij.  With L = sigma_a^2 G + sigma_b^2 S
the three NTKs of theory sheet section 2 are, entry by entry,

    NTK_RECURRENT       G + sigma_a^2 Q G    v and A trained, B frozen;
    NTK_PREACTIVATION   L + sigma_a^2 Q L    v, b, A and B trained, where the output is one more pre-activation,
                                             sigma_a v^T h / sqrt(m) + sigma_b b^T x;
    NTK_ALL             G + Q L              v, A and B trained.

As m grows Q -> Gdot / (1 - sigma_a^2 Gdot), which gives the three expressions of the theory sheet.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from numerics.arrays import Array
from numerics.linalg import gram_matrix
from numerics.networks.deq import FiniteDEQ, NetworkState
from numerics.networks.explicit import FiniteExplicitNetwork
from numerics.networks.iteration import FixedPoint, IterationMethod, in_batches, solve_fixed_point
from numerics.parameters import learning_rates
from theory.kernels import Kernel

__all__ = [
    "FiniteKernels",
    "explicit_ntk",
    "implicit_ntks",
]


@dataclass(frozen=True, eq=False)
class FiniteKernels:
    """Kernels of one finite DEQ on n samples.

    Attributes:
        matrices: (n, n) array of every kernel: G = H^T H / m and the three NTKs; ``kernels[Kernel.CK]`` is short for
            ``kernels.matrices[Kernel.CK]``.
        residual: relative residual of the equilibrium or of the adjoint equation, whichever is larger.
        iterations: products with A or A^T, over both.
    """

    matrices: Mapping[Kernel, Array]
    residual: float
    iterations: int

    def __getitem__(self, kernel: Kernel) -> Array:
        """Return the (n, n) array of a kernel."""
        return self.matrices[kernel]


def implicit_ntks(
    network: FiniteDEQ,
    data: Array,
    state: NetworkState,
    readout: Array,
    *,
    method: IterationMethod = "anderson",
    tolerance: float = 1e-10,
    limit: int = 400,
) -> FiniteKernels:
    """CK and the three NTKs of a finite DEQ at its equilibrium.

    The derivative of phi is the almost-everywhere one: an activation that jumps has no NTK.

    Args:
        network: the DEQ.
        data: (p, n) array X, a sample in each column.
        state: the equilibrium of this network on these samples.
        readout: (m,) array v, entries of variance 1.
        method: how the adjoint equation is iterated, as for `solve_fixed_point`.
        tolerance: bound on the relative residual of the adjoint equation.
        limit: most products with A^T.

    Raises:
        ValueError: shapes that do not fit.
        NonConvergenceError: the adjoint equation was not solved: the Jacobian's spectral radius is near or past 1.
    """
    m, n = state.states.shape
    if m != network.width or data.shape[1] != n or readout.shape != (m,):
        raise ValueError(
            f"a width of {network.width} with data of shape {data.shape} needs states of shape "
            f"{(network.width, data.shape[1])} and {network.width} readout weights, got {(m, n)} and {readout.shape}"
        )
    slopes = network.phi.derivative(state.preactivations)

    def solve(batch: slice) -> FixedPoint:
        part = slopes[:, batch]
        source = np.broadcast_to(readout[:, None], part.shape)
        return solve_fixed_point(
            lambda vectors: source + network.recur_back(part * vectors),
            np.array(source),
            method=method,
            tolerance=tolerance,
            limit=limit,
        )

    adjoint = in_batches(solve, m, n)
    sensitivity = gram_matrix(slopes * adjoint.value) / m
    ck = state.ck
    covariance = network.sigma_a2 * ck + network.sigma_b2 * gram_matrix(data)
    matrices = {
        Kernel.CK: ck,
        Kernel.NTK_RECURRENT: ck + network.sigma_a2 * sensitivity * ck,
        Kernel.NTK_PREACTIVATION: covariance + network.sigma_a2 * sensitivity * covariance,
        Kernel.NTK_ALL: ck + sensitivity * covariance,
    }
    return FiniteKernels(
        MappingProxyType(matrices),
        residual=max(state.residual, adjoint.residual),
        iterations=state.iterations + adjoint.iterations,
    )


def explicit_ntk(
    network: FiniteExplicitNetwork, data: Array, readout: Array, rates: Sequence[float] | None = None
) -> Array:
    """NTK of v^T z_L / sqrt(m) with the readout v and every W_l trained, shape (n, n).

    Backpropagation: g_L = D_L v, g_{l-1} = D_{l-1} W_l^T g_l / sqrt(m_{l-1}); the kernel is
    r_L Z_L^T Z_L / m + sum_l r_{l-1} (g_l . g_l / m) (z_{l-1} . z_{l-1} / m_{l-1}), the last factor being S for the
    first layer, and r_{l-1} the learning rate of W_l.

    Args:
        network: the explicit network.
        data: (p, n) array X.
        readout: (m_L,) array v.
        rates: of W_1, W_2, ... and of the readout, 0 where they are frozen; 1 by default.

    Raises:
        ValueError: shapes that do not fit, another number of rates, or a negative one.
    """
    *inner, last = learning_rates(rates, len(network.layers))
    preactivations, states = network.forward(data)
    m = states[-1].shape[0]
    if readout.shape != (m,):
        raise ValueError(f"{m} readout weights are needed, got an array of shape {readout.shape}")
    kernel = last * gram_matrix(states[-1]) / m
    gradient = np.broadcast_to(readout[:, None], states[-1].shape)
    for layer in reversed(range(len(states))):
        phi, _ = network.layers[layer]
        gradient = phi.derivative(preactivations[layer]) * gradient
        below = gram_matrix(data if layer == 0 else states[layer - 1])
        kernel = kernel + inner[layer] * gram_matrix(gradient) / m * (network.scale(layer) ** 2 * below)
        gradient = network.scale(layer) * (network.weights[layer].T @ gradient)
    return np.asarray(kernel)
