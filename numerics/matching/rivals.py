"""What a matched network must beat: the simplest networks that stand beside a DEQ, and their exact kernels.

Nobody needs a matched network where one layer of the DEQ's own activation, that layer times a number, or the DEQ's
iteration stopped after a step or two is as near.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from numerics.arithmetic import PointwiseActivation
from numerics.arrays import Array
from numerics.equilibrium import solve_float
from numerics.kernels import GramBlock, explicit_kernels, implicit_kernels, stopped_kernel, with_dual
from theory.equations import DEQ
from theory.kernels import Kernel

__all__ = ["DEQKernels", "best_scalar", "explicit_kernel", "naive_layers"]


@dataclass(frozen=True)
class DEQKernels:
    """The exact kernels of one DEQ at any samples, its activation centred at the equilibrium of its tau_0.

    Attributes:
        deq: the model; its tau_0 is the root mean square norm of the samples it is meant for.

    Example:
        >>> DEQKernels(DEQ("tanh", "1/5")).kernel(np.eye(2)).round(4).tolist()
        [[0.3699, 0.0], [0.0, 0.3699]]
    """

    deq: DEQ

    @property
    def phi(self) -> PointwiseActivation:
        """The activation in float64, uncentred."""
        return with_dual(self.deq.activation)

    @property
    def bias(self) -> float:
        """E[phi_0(tau_* xi)], which centres it."""
        return _bias(self.deq)

    @property
    def variances(self) -> tuple[float, float]:
        """sigma_a^2 and sigma_b^2."""
        return float(self.deq.sigma_a2), float(self.deq.sigma_b2)

    def kernel(self, gram: Array | GramBlock, kernel: Kernel = Kernel.CK) -> Array:
        """The kernel of the equilibrium.

        Args:
            gram: (n, n) array S, or a block of one.
            kernel: which kernel.

        Returns:
            (n, n) array, or (r, c) array for a block.

        Raises:
            EquilibriumError: no stable equilibrium at tau_0.
            KernelConvergenceError: an entry has no stable fixed point, or the NTK does not exist.
        """
        return implicit_kernels(gram, self.phi, *self.variances, self.bias, kernels=(kernel,))[kernel]

    def stopped(self, gram: Array | GramBlock, steps: int) -> Array:
        """The CK of the iteration stopped after some steps from h = 0, with the equilibrium's centring.

        Args:
            gram: (n, n) array S, or a block of one.
            steps: how many, at least one.

        Returns:
            (n, n) array, or (r, c) array for a block.

        Raises:
            ValueError: no steps.
        """
        return stopped_kernel(gram, self.phi, *self.variances, self.bias, steps)


@lru_cache(maxsize=64)
def _bias(deq: DEQ) -> float:
    """E[phi_0(tau_* xi)] at the equilibrium."""
    return float(solve_float(deq).checked()["bias"])


def naive_layers(deq: DEQ) -> list[tuple[PointwiseActivation, float]]:
    """One layer of the DEQ's own activation, centred at tau_0: the DEQ without recurrence.

    Args:
        deq: the model.

    Returns:
        Activation and bias of the layer, as ``numerics.kernels.explicit_kernels`` takes them.

    Example:
        >>> ((phi, bias),) = naive_layers(DEQ("relu"))
        >>> phi.name, round(bias, 4)
        ('relu', 0.3989)
    """
    return [(with_dual(deq.activation), _bias(DEQ(deq.activation, 0, 1, deq.tau0)))]


def explicit_kernel(
    gram: Array | GramBlock,
    layers: list[tuple[PointwiseActivation, float]],
    kernel: Kernel = Kernel.CK,
    rates: Sequence[float] | None = None,
) -> Array:
    """The kernel of an explicit network that stands beside a DEQ's: its CK, or for any NTK that of all parameters.

    Args:
        gram: (n, n) array S, or a block of one.
        layers: activation and bias of each.
        kernel: of the DEQ.
        rates: learning rates of the weight matrices and of the readout, for an NTK; 1 by default.

    Returns:
        (n, n) array, or (r, c) array for a block.

    Raises:
        KernelConvergenceError: an NTK of an activation that jumps.
    """
    which = Kernel.NTK_ALL if kernel.is_tangent else Kernel.CK
    return explicit_kernels(gram, layers, kernels=(which,), rates=rates)[which]


def best_scalar(kernel: Array, target: Array) -> float:
    """The number c for which c times a kernel is nearest to a target in Frobenius norm.

    Args:
        kernel: (n, m) array, not zero.
        target: (n, m) array.

    Example:
        >>> best_scalar(np.eye(2), 3 * np.eye(2))
        3.0
    """
    return float(np.vdot(kernel, target) / np.vdot(kernel, kernel))
