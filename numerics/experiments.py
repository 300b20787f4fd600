"""Finite-p experiments on the theorem: the exact infinite-width kernel against its equivalent, cell by cell.

A cell is one (p, index): one draw of the data.  Its random numbers depend on nothing but the root seed, p and the
index, and its linear algebra runs on one thread, so results are the same bytes whatever the number of workers and the
order of the cells.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import sympy as sp
import threadpoolctl
from numpy.typing import NDArray

from numerics.duals import with_dual
from numerics.equilibrium import NTK_KEYS, EquilibriumError, FloatEquilibrium, check_parameters, solve_float
from numerics.equivalents import DeterministicEquivalent
from numerics.finite_ntk import implicit_ntks
from numerics.mixture import GaussianMixture, MixtureStatistics, Tau0Reading
from numerics.networks import FiniteDEQ
from numerics.ntk import implicit_kernels
from numerics.pointwise import pointwise
from numerics.spectra import operator_norm
from numerics.weight_laws import EntryLaw, draw_entries
from theory.activations import Activation

__all__ = [
    "NETWORK_TOLERANCE",
    "Cell",
    "Experiment",
    "KernelDistance",
    "KernelName",
    "distance_to_equivalent",
    "distance_to_limit",
    "equivalent_of",
    "exact_kernel",
]

#: One of ``theory.theories.KERNELS``.
KernelName = Literal["ck", "ntk-recurrent", "ntk-preactivation", "ntk-all"]
Array = NDArray[np.float64]
#: Bound on the relative residual of a finite network's states, far below the O(m^(-1/2)) distance that is measured.
NETWORK_TOLERANCE = 1e-10


@dataclass(frozen=True)
class Experiment:
    """The released default experiment, with its numbers free (theory sheet, section 1).

    Attributes:
        activations: activations without free parameters.
        sigma_a2: variance of the recurrent weights.
        sigma_b2: variance of the input weights.
        ratio: n/p.
        means: norm of the class means, mu_a = means e_{8a}.
        cov_shift: C_a = (1 + cov_shift a/sqrt p) I.
        classes: number of classes K.
        reading: whether tau_0^2 is tr C/p ("population") or tr S/n ("empirical").
        seed: root of every random number.
        noise: law of the entries of the whitened noise.

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

    def __post_init__(self) -> None:
        check_parameters(self.sigma_a2, self.sigma_b2, 1.0)

    def mixture(self, p: int) -> GaussianMixture:
        """Return the data model in dimension p.

        Raises:
            ValueError: p, n or K for which there is none.
        """
        return GaussianMixture.released_experiment(
            p,
            ratio=self.ratio,
            means=self.means,
            cov_shift=self.cov_shift,
            classes=self.classes,
            noise=self.noise,
        )

    def solve(self, activation: Activation, tau0: float) -> FloatEquilibrium:
        """Return the coefficients of one activation at an input scale.

        Raises:
            EquilibriumError: no stable equilibrium.
        """
        limit = activation.threshold(2)
        threshold = np.inf if limit is sp.oo else float(limit)
        return solve_float(pointwise(activation), self.sigma_a2, self.sigma_b2, tau0, threshold=threshold)


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
    """

    activation: str
    kernel: KernelName
    p: int
    n: int
    width: int | None
    index: int
    error: float
    norm_residual: float
    kernel_residual: float
    network_residual: float | None

    def record(self) -> dict[str, Any]:
        """Return the fields as plain JSON values."""
        return asdict(self)


def distance_to_equivalent(
    experiment: Experiment, activation: Activation, kernel: KernelName, cell: Cell
) -> KernelDistance:
    """||G* - Gbar|| (K* - Kbar for an NTK) of one draw of the data.

    Raises:
        EquilibriumError: no stable equilibrium, or an NTK that does not exist.
        KernelConvergenceError: an entry of the kernel has no stable fixed point.
    """
    with threadpoolctl.threadpool_limits(limits=1):
        rng = np.random.default_rng([experiment.seed, cell.p, cell.index])
        sample = experiment.mixture(cell.p).sample(rng)
        gram, statistics = sample.gram(), sample.statistics()
        tau0 = statistics.tau0(experiment.reading)
        solution = experiment.solve(activation, tau0)
        equivalent = equivalent_of(kernel, solution, statistics, tau0, gram)
        exact, residual = exact_kernel(kernel, experiment, activation, solution, gram)
        norm = operator_norm(exact - equivalent.dense(), rng)
    return KernelDistance(
        activation.name, kernel, cell.p, gram.shape[0], None, cell.index, norm.value, norm.residual, residual, None
    )


def distance_to_limit(
    experiment: Experiment,
    activation: Activation,
    kernel: KernelName,
    cell: Cell,
    width: int,
    weights: EntryLaw = "gaussian",
) -> KernelDistance:
    """||G_m - G*||, one finite network of m = `width` neurons against the infinite-width kernel of the same samples.

    Data and weights are drawn anew for every width, so that errors at different widths are independent.

    Raises:
        EquilibriumError: no stable equilibrium, or an NTK that does not exist.
        KernelConvergenceError: an entry of the infinite-width kernel has no stable fixed point.
        NonConvergenceError: the network has no equilibrium that the iteration reaches.
    """
    with threadpoolctl.threadpool_limits(limits=1):
        rng = np.random.default_rng([experiment.seed, cell.p, width, cell.index])
        sample = experiment.mixture(cell.p).sample(rng)
        gram = sample.gram()
        solution = experiment.solve(activation, sample.statistics().tau0(experiment.reading))
        phi = pointwise(activation)
        limit, residual = exact_kernel(kernel, experiment, activation, solution, gram)
        network = FiniteDEQ.draw(
            phi,
            solution["bias"],
            experiment.sigma_a2,
            experiment.sigma_b2,
            width=width,
            dimension=cell.p,
            rng=rng,
            law=weights,
        )
        equilibrium = network.equilibrium(sample.data, tolerance=NETWORK_TOLERANCE)
        if kernel == "ck":
            finite, network_residual = equilibrium.ck, equilibrium.residual
        else:
            readout = draw_entries(weights, (width,), rng)
            kernels = implicit_ntks(network, sample.data, equilibrium, readout, tolerance=NETWORK_TOLERANCE)
            finite, network_residual = getattr(kernels, kernel.removeprefix("ntk-")), kernels.residual
        norm = operator_norm(finite - limit, rng)
    return KernelDistance(
        activation.name,
        kernel,
        cell.p,
        gram.shape[0],
        width,
        cell.index,
        norm.value,
        norm.residual,
        residual,
        network_residual,
    )


def equivalent_of(
    kernel: KernelName, solution: FloatEquilibrium, statistics: MixtureStatistics, tau0: float, gram: Array
) -> DeterministicEquivalent:
    """Return Gbar or Kbar of one draw: the coefficients of S, delta_i delta_j and S_ij^2, and the diagonal value.

    Raises:
        EquilibriumError: an NTK that does not exist.
    """
    keys = ("alpha1", "alpha2", "alpha3", "gamma2") if kernel == "ck" else NTK_KEYS[kernel.removeprefix("ntk-")]
    _check_existence(kernel, solution)
    first, second, third, diagonal = (solution[key] for key in keys)
    return DeterministicEquivalent.from_statistics(
        statistics, alpha1=first, alpha2=second, alpha3=third, gamma2=diagonal, tau0=tau0, gram=gram
    )


def _check_existence(kernel: KernelName, solution: FloatEquilibrium) -> None:
    if kernel != "ck" and NTK_KEYS["recurrent"][0] not in solution.values:
        energy = solution.margins.get("ntk")
        reason = "E[phi'^2] is infinite" if energy is None else f"sigma_a^2 E[phi'^2] = {energy:.6g} is not below 1"
        raise EquilibriumError(f"the NTKs do not exist, for {reason}")


def exact_kernel(
    kernel: KernelName, experiment: Experiment, activation: Activation, solution: FloatEquilibrium, gram: Array
) -> tuple[Array, float]:
    """Return the infinite-width kernel and the largest residual of its entries.

    Raises:
        EquilibriumError: an NTK that does not exist.
        KernelConvergenceError: an entry of the kernel has no stable fixed point.
    """
    _check_existence(kernel, solution)
    name = kernel.removeprefix("ntk-")
    # At small p some pairs are nearly collinear: the closed form of the dual, where there is one, is quick there.
    phi = with_dual(activation)
    found = implicit_kernels(gram, phi, experiment.sigma_a2, experiment.sigma_b2, solution["bias"], kernels=(name,))
    return getattr(found, name), found.residual
