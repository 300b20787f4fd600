"""Finite-p experiments on the theorem: the exact infinite-width kernel against its equivalent, cell by cell.

A cell is one (p, index): one draw of the data.  Its random numbers depend on nothing but the root seed, p and the
index, and its linear algebra runs on one thread, so results are the same bytes whatever the number of workers and the
order of the cells.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import sympy as sp

from numerics.arrays import Array
from numerics.data import (
    CovarianceShape,
    EntryLaw,
    GaussianMixture,
    MixtureStatistics,
    Tau0Reading,
    class_covariances,
    class_scales,
    class_sizes,
    draw_entries,
)
from numerics.equilibrium import FloatEquilibrium, solve_float
from numerics.equivalents import DeterministicEquivalent
from numerics.kernels import implicit_kernels, with_dual
from numerics.networks import FiniteDEQ, implicit_ntks
from theory.activations import Activation
from theory.equations import DEQ, EquilibriumError, exact_numbers
from theory.kernels import Kernel

__all__ = [
    "Cell",
    "Experiment",
    "Network",
    "check_network",
    "equivalent_kernel",
    "exact_kernel",
    "exact_kernels",
    "experiment_question",
    "finite_kernel",
    "finite_kernels",
]

#: Bound on the relative residual of a finite network's states, far below the O(m^(-1/2)) distance that is measured.
_NETWORK_TOLERANCE = 1e-10


@dataclass(frozen=True)
class Experiment:
    """The released default experiment, with its numbers free (theory sheet, section 1).

    Attributes:
        activations: activations without free parameters.
        sigma_a2: variance of the recurrent weights.
        sigma_b2: variance of the input weights.
        ratio: n/p.
        means: norm of the class means, mu_a = means e_{8a}.
        cov_shift: C_a = (1 + cov_shift a/sqrt p) times the shape of class a.
        classes: number of classes K.
        reading: whether tau_0^2 is tr C/p ("population") or tr S/n ("empirical").
        seed: root of every random number.
        noise: law of the entries of the whitened noise.
        covariances: shape of every class's covariance, or one for all of them.
        proportions: share of the samples in every class, up to a factor; equal shares by default.

    Raises:
        EquilibriumError: a weight variance out of range.
    """

    activations: tuple[Activation, ...]
    sigma_a2: float = 0.2
    sigma_b2: float = 0.8
    ratio: float = 0.8
    means: float = 8.0
    cov_shift: float = 8.0
    classes: int = 2
    reading: Tau0Reading = "population"
    seed: int = 0
    noise: EntryLaw = "gaussian"
    covariances: tuple[CovarianceShape, ...] = (CovarianceShape(),)
    proportions: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        exact_numbers(self.sigma_a2, self.sigma_b2, 1)

    def mixture(self, p: int) -> GaussianMixture:
        """Return the data model in dimension p.

        Raises:
            ValueError: p, n or K for which there is none, or numbers of shapes or proportions that do not fit.
        """
        released = GaussianMixture.released_experiment(
            p,
            ratio=self.ratio,
            means=self.means,
            cov_shift=self.cov_shift,
            classes=self.classes,
            noise=self.noise,
        )
        shares = (1.0,) * self.classes if self.proportions is None else self.proportions
        if len(shares) != self.classes:
            raise ValueError(f"{len(shares)} proportions for {self.classes} classes: give one for each")
        made = class_covariances(self.covariances, p, class_scales(p, self.cov_shift, self.classes))
        return replace(released, covariances=made, sizes=class_sizes(released.samples, shares))

    def deq(self, activation: Activation, tau0: float) -> DEQ:
        """Return the DEQ of one activation at an input scale tau0 > 0.

        Raises:
            EquilibriumError: an input scale out of range.
        """
        return DEQ(activation, self.sigma_a2, self.sigma_b2, tau0)

    def solve(self, activation: Activation, tau0: float) -> FloatEquilibrium:
        """Return the coefficients of one activation at an input scale, those of the CK certified.

        Raises:
            EquilibriumError: no stable equilibrium, or coefficients that are not certified.
        """
        return solve_float(self.deq(activation, tau0)).checked()


def experiment_question(experiment: Experiment, activation: Activation, **others: Any) -> dict[str, Any]:
    """Return what the cells of an experiment depend on besides their keys, as `numerics.records.run_campaign` takes it.

    Args:
        experiment: all of its numbers count, but of its activations only the one that is studied.
        activation: the one that is studied.
        others: more of it, as plain JSON values by name.
    """
    numbers = {field.name: getattr(experiment, field.name) for field in fields(experiment)}
    return numbers | {"activations": [activation.name, sp.srepr(activation.expr)]} | others


@dataclass(frozen=True)
class Cell:
    """One draw of the data.

    Attributes:
        p: dimension.
        index: number of the draw, from 0.
    """

    p: int
    index: int


@dataclass(frozen=True)
class Network:
    """What a finite network is drawn by.

    Attributes:
        width: m, its neurons.
        weights: law of the entries of its weights.
    """

    width: int
    weights: EntryLaw = "gaussian"


def equivalent_kernel(
    kernel: Kernel, solution: FloatEquilibrium, statistics: MixtureStatistics, tau0: float, gram: Array
) -> DeterministicEquivalent:
    """Gbar or Kbar of a sample.

    Args:
        kernel: which kernel.
        solution: its coefficients.
        statistics: of the sample.
        tau0: the reading for which the coefficients were solved.
        gram: (n, n) array S.

    Raises:
        EquilibriumError: an NTK that does not exist.
    """
    solution.checked(kernel)
    return DeterministicEquivalent.from_statistics(statistics, solution.kernel(kernel), tau0=tau0, gram=gram)


def check_network(solution: FloatEquilibrium) -> None:
    """Raise unless networks of finite width converge to an equilibrium, as far as the infinite width tells.

    The spectral radius of a network's Jacobian tends to sigma_a sqrt(E[phi'(tau_* xi)^2]) (theory sheet, section 3).

    Args:
        solution: the equilibrium of the infinite width.

    Raises:
        EquilibriumError: sigma_a^2 E[phi'^2] is infinite, or not below 1.
    """
    energy = solution.margins.get("ntk")
    if energy is None:
        raise EquilibriumError(
            "networks of finite width do not converge: E[phi'^2] is infinite, since phi jumps or its slope is too "
            "singular; an activation without jumps is accepted, or the exact kernel"
        )
    if not energy < 1:
        raise EquilibriumError(
            f"networks of finite width do not converge: at tau_* = {solution['tau']:.6g} sigma_a^2 E[phi'^2] = "
            f"{energy:.6g}, and it must be below 1; a smaller sigma_a2 is accepted"
        )


def exact_kernel(kernel: Kernel, deq: DEQ, solution: FloatEquilibrium, gram: Array) -> tuple[Array, float]:
    """The infinite-width kernel of samples with this Gram matrix, and the largest residual of its entries.

    Args:
        kernel: which kernel.
        deq: at the samples' tau_0.
        solution: its equilibrium.
        gram: (n, n) array S.

    Raises:
        EquilibriumError: an NTK that does not exist.
        KernelConvergenceError: an entry has no stable fixed point.
    """
    found, residual = exact_kernels((kernel,), deq, solution, gram)
    return found[kernel], residual


def exact_kernels(
    kernels: Sequence[Kernel], deq: DEQ, solution: FloatEquilibrium, gram: Array
) -> tuple[Mapping[Kernel, Array], float]:
    """Several infinite-width kernels of the same samples, and the largest residual of their entries.

    Args:
        kernels: which.
        deq: as for `exact_kernel`, like the arguments that follow.
        solution: its equilibrium.
        gram: (n, n) array S.

    Raises:
        EquilibriumError: an NTK that does not exist.
        KernelConvergenceError: an entry has no stable fixed point.
    """
    for kernel in kernels:
        solution.checked(kernel)
    # At small p some pairs are nearly collinear: the closed form of the dual, where there is one, is quick there.
    phi = with_dual(deq.activation)
    weights = float(deq.sigma_a2), float(deq.sigma_b2)
    found = implicit_kernels(gram, phi, *weights, solution["bias"], kernels=kernels)
    return found.matrices, found.evidence.residual


def finite_kernel(
    kernel: Kernel,
    deq: DEQ,
    solution: FloatEquilibrium,
    data: Array,
    network: Network,
    rng: np.random.Generator,
) -> tuple[Array, float]:
    """The kernel of one finite network on a (p, n) array of samples, and the residual of its states.

    The weights are drawn from `rng`: A, B and, for an NTK, the readout.

    Raises:
        EquilibriumError: an NTK that does not exist, or networks that do not converge.
        NonConvergenceError: the network has no equilibrium that the iteration reaches.
    """
    found, residual = finite_kernels((kernel,), deq, solution, data, network, rng)
    return found[kernel], residual


def finite_kernels(
    kernels: Sequence[Kernel],
    deq: DEQ,
    solution: FloatEquilibrium,
    data: Array,
    network: Network,
    rng: np.random.Generator,
) -> tuple[Mapping[Kernel, Array], float]:
    """Several kernels of one finite network on the same (p, n) array of samples, and the largest residual.

    The weights are drawn from `rng`: A, B and, for an NTK, the readout.

    Raises:
        EquilibriumError: an NTK that does not exist, or networks that do not converge.
        NonConvergenceError: the network has no equilibrium that the iteration reaches.
    """
    for kernel in kernels:
        solution.checked(kernel)
    check_network(solution)
    drawn = FiniteDEQ.draw(
        deq,
        solution["bias"],
        width=network.width,
        dimension=data.shape[0],
        rng=rng,
        law=network.weights,
    )
    equilibrium = drawn.equilibrium(data, tolerance=_NETWORK_TOLERANCE)
    if not any(kernel.is_tangent for kernel in kernels):
        return {Kernel.CK: equilibrium.ck}, equilibrium.residual
    readout = draw_entries(network.weights, (network.width,), rng)
    found = implicit_ntks(drawn, data, equilibrium, readout, tolerance=_NETWORK_TOLERANCE)
    return found.matrices, found.residual
