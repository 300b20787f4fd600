"""The distance between a kernel and its equivalent or its limit, in operator norm.

Theory sheet, section 4.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import threadpoolctl

from numerics.data import EntryLaw
from numerics.equivalents import equivalent_parts
from numerics.experiments.experiment import (
    Cell,
    Experiment,
    Network,
    equivalent_kernel,
    exact_kernels,
    finite_kernels,
)
from numerics.linalg import operator_norm, perturbed_norms
from theory.activations import Activation
from theory.kernels import Kernel

__all__ = [
    "KernelDistance",
    "distance_to_equivalent",
    "distance_to_limit",
    "distances_to_equivalent",
    "distances_to_limit",
]


@dataclass(frozen=True)
class KernelDistance:
    """Distance between two kernels of one draw.

    Attributes:
        activation: name.
        kernel: which kernel.
        p: dimension.
        n: number of samples.
        width: neurons of the finite network, or None where the kernel is the exact infinite-width one.
        index: number of the draw.
        error: ||G* - Gbar|| or ||G_m - G*|| in operator norm.
        norm_residual: ||M v - lambda v|| of the eigenpair that gave the norm.
        kernel_residual: largest residual of the infinite-width kernel's entrywise fixed point.
        network_residual: relative residual of the network's states and adjoint states, or None.
        changed: the error with a number of the equivalent changed, or with the infinite-width kernel multiplied, by
            what is changed (``linear``, ``variance``, ``square``, ``diagonal`` or ``kernel``), in the order of the
            relative changes that were asked for.
    """

    activation: str
    kernel: Kernel
    p: int
    n: int
    width: int | None
    index: int
    error: float
    norm_residual: float
    kernel_residual: float
    network_residual: float | None
    changed: Mapping[str, list[float]]

    def record(self) -> dict[str, Any]:
        """Return the fields as plain JSON values."""
        return asdict(self)


def distance_to_equivalent(
    experiment: Experiment, activation: Activation, kernel: Kernel, cell: Cell, changes: Sequence[float] = ()
) -> KernelDistance:
    """||G* - Gbar|| (K* - Kbar for an NTK) of one draw of the data.

    Args:
        experiment: the data model and the variances.
        activation: without free parameters.
        kernel: which kernel.
        cell: which draw, and at which dimension.
        changes: relative changes of the equivalent's numbers, with which the norm is computed too.

    Raises:
        EquilibriumError: no stable equilibrium, or an NTK that does not exist.
        KernelConvergenceError: an entry of the kernel has no stable fixed point.
    """
    return distances_to_equivalent(experiment, activation, (kernel,), cell, changes)[kernel]


def distances_to_equivalent(
    experiment: Experiment, activation: Activation, kernels: Sequence[Kernel], cell: Cell, changes: Sequence[float] = ()
) -> dict[Kernel, KernelDistance]:
    """Do as `distance_to_equivalent` for several kernels, of the same draw.

    Args:
        experiment: the data model and the variances.
        activation: without free parameters.
        kernels: which.
        cell: which draw, and at which dimension.
        changes: as for `distance_to_equivalent`.

    Raises:
        EquilibriumError: no stable equilibrium, or an NTK that does not exist.
        KernelConvergenceError: an entry of a kernel has no stable fixed point.
    """
    found = {}
    with threadpoolctl.threadpool_limits(limits=1):
        rng = np.random.default_rng([experiment.seed, cell.p, cell.index])
        sample = experiment.mixture(cell.p).sample(rng)
        gram, statistics = sample.gram(), sample.statistics()
        tau0 = statistics.tau0(experiment.reading)
        deq, solution = experiment.deq(activation, tau0), experiment.solve(activation, tau0)
        equivalents = {kernel: equivalent_kernel(kernel, solution, statistics, tau0, gram) for kernel in kernels}
        exact, residual = exact_kernels(kernels, deq, solution, gram)
        for kernel, equivalent in equivalents.items():
            error = exact[kernel] - equivalent.dense()
            norm = operator_norm(error, rng)
            changed: dict[str, list[float]] = {}
            if changes:
                parts: dict[str, Any] = dict(equivalent_parts(solution.kernel(kernel), statistics, tau0, gram))
                parts["linear"] = parts["linear"].dense()
                # A larger number makes the error smaller.
                factors = [-change for change in changes]
                span = statistics.low_rank
                changed = perturbed_norms(error, parts, factors, rng, span=span, full_rank=["linear"])
            found[kernel] = KernelDistance(
                activation.name,
                kernel,
                cell.p,
                len(gram),
                None,
                cell.index,
                norm.value,
                norm.residual,
                residual,
                None,
                changed,
            )
    return found


def distance_to_limit(
    experiment: Experiment,
    activation: Activation,
    kernel: Kernel,
    cell: Cell,
    width: int,
    weights: EntryLaw = "gaussian",
    changes: Sequence[float] = (),
) -> KernelDistance:
    """||G_m - G*||, one finite network of m = `width` neurons against the infinite-width kernel of the same samples.

    Data and weights are drawn anew for every width, so that errors at different widths are independent.

    Args:
        experiment: the data model and the variances.
        activation: without free parameters.
        kernel: which kernel.
        cell: which draw, and at which dimension.
        width: m.
        weights: law of the network's weights.
        changes: relative changes of the infinite-width kernel, with which the norm is computed too.

    Raises:
        EquilibriumError: no stable equilibrium, or an NTK that does not exist.
        KernelConvergenceError: an entry of the infinite-width kernel has no stable fixed point.
        NonConvergenceError: the network has no equilibrium that the iteration reaches.
    """
    return distances_to_limit(experiment, activation, (kernel,), cell, width, weights, changes)[kernel]


def distances_to_limit(
    experiment: Experiment,
    activation: Activation,
    kernels: Sequence[Kernel],
    cell: Cell,
    width: int,
    weights: EntryLaw = "gaussian",
    changes: Sequence[float] = (),
) -> dict[Kernel, KernelDistance]:
    """Do as `distance_to_limit` for several kernels, of the same network and samples.

    Args:
        experiment: the data model and the variances.
        activation: without free parameters.
        kernels: which.
        cell: which draw, and at which dimension.
        width: m.
        weights: law of the network's weights.
        changes: as for `distance_to_limit`.

    Raises:
        EquilibriumError: no stable equilibrium, or an NTK that does not exist.
        KernelConvergenceError: an entry of an infinite-width kernel has no stable fixed point.
        NonConvergenceError: the network has no equilibrium that the iteration reaches.
    """
    found = {}
    with threadpoolctl.threadpool_limits(limits=1):
        rng = np.random.default_rng([experiment.seed, cell.p, width, cell.index])
        sample = experiment.mixture(cell.p).sample(rng)
        gram = sample.gram()
        tau0 = sample.statistics().tau0(experiment.reading)
        deq, solution = experiment.deq(activation, tau0), experiment.solve(activation, tau0)
        limits, residual = exact_kernels(kernels, deq, solution, gram)
        network = Network(width, weights)
        finite, network_residual = finite_kernels(kernels, deq, solution, sample.data, network, rng)
        factors = [-change for change in changes]
        for kernel in kernels:
            limit = limits[kernel]
            error = finite[kernel] - limit
            norm = operator_norm(error, rng)
            changed = perturbed_norms(error, {"kernel": limit}, factors, rng, full_rank=["kernel"]) if changes else {}
            found[kernel] = KernelDistance(
                activation.name,
                kernel,
                cell.p,
                len(gram),
                width,
                cell.index,
                norm.value,
                norm.residual,
                residual,
                network_residual,
                changed,
            )
    return found
