"""A DEQ beside explicit networks: the one designed to have its kernel, and a naive one of the DEQ's own activation.

If the theory is right the kernels of the DEQ and of the matched network have one equivalent, so that their distance in
operator norm is of order p^(-1/2) (``numerics.matching.designs``); the naive network, one layer of the same activation,
keeps a floor.  Cells are those of ``numerics.experiments.experiment``: their random numbers depend on the root seed, p,
the width and the index only.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import threadpoolctl

from numerics.arithmetic import PointwiseActivation, pointwise
from numerics.arrays import Array
from numerics.equilibrium import solve_float
from numerics.experiments.experiment import (
    Cell,
    Experiment,
    Network,
    equivalent_kernel,
    exact_kernel,
    finite_kernel,
)
from numerics.kernels import explicit_kernels
from numerics.linalg import operator_norm
from numerics.matching import Design, DesignError, design
from numerics.networks import FiniteExplicitNetwork, explicit_ntk
from theory.activations import Activation
from theory.equations import DEQ
from theory.kernels import Kernel
from theory.named import MatchStatus

__all__ = [
    "NoMatchError",
    "PairDistance",
    "designed",
    "distance_to_explicit",
]

Layers = list[tuple[PointwiseActivation, float]]
#: Learning rates of the weights; None for one rate.
Rates = tuple[float, ...] | None
#: Digits of a design: its error must be far below that of a kernel's entries.
_DIGITS = 18


class NoMatchError(ValueError):
    """A DEQ whose kernel no explicit network that could be designed has."""


@dataclass(frozen=True)
class PairDistance:
    """Distances between the kernel of a DEQ and those of two explicit networks, on one draw of the data.

    Attributes:
        activation: name.
        kernel: which kernel.
        p: dimension.
        n: number of samples.
        width: neurons of each network, or None where the kernels are the exact infinite-width ones.
        index: number of the draw.
        family: of the matched network.
        matched: ||G_DEQ - G_explicit|| in operator norm, of the matched network.
        naive: the same of one layer of the DEQ's activation.
        floor: what the theory predicts ``naive`` to tend to, the distance of the two equivalents on this draw.
    """

    activation: str
    kernel: Kernel
    p: int
    n: int
    width: int | None
    index: int
    family: str
    matched: float
    naive: float
    floor: float

    def record(self) -> dict[str, Any]:
        """Return the fields as plain JSON values."""
        return asdict(self)


def distance_to_explicit(
    experiment: Experiment, activation: Activation, kernel: Kernel, cell: Cell, width: int | None = None
) -> PairDistance:
    """Compare the kernels of one draw, of infinite or of finite networks of equal width.

    Raises:
        EquilibriumError: no stable equilibrium, or an NTK that does not exist.
        NoMatchError: no explicit network matches, or none was found.
        KernelConvergenceError: an entry of an infinite-width kernel has no stable fixed point.
        NonConvergenceError: a finite DEQ has no equilibrium that the iteration reaches.
    """
    with threadpoolctl.threadpool_limits(limits=1):
        seed = [experiment.seed, cell.p, cell.index] if width is None else [experiment.seed, cell.p, width, cell.index]
        rng = np.random.default_rng(seed)
        sample = experiment.mixture(cell.p).sample(rng)
        tau0 = sample.statistics().tau0(experiment.reading)
        deq, solution = experiment.deq(activation, tau0), experiment.solve(activation, tau0)
        found = designed(deq, kernel)
        phi, gram = pointwise(activation), sample.gram()
        # One layer is the DEQ without recurrence, its NTK that of all parameters.
        single = solve_float(DEQ(activation, 0, 1, tau0)).checked()
        networks = [(found.network.pointwise(), found.network.float_rates()), ([(phi, single["bias"])], None)]
        statistics = sample.statistics()
        equivalents = [
            equivalent_kernel(which, numbers, statistics, tau0, gram).dense()
            for which, numbers in ((kernel, solution), (_of_explicit(kernel), single))
        ]
        if width is None:
            own = exact_kernel(kernel, deq, solution, gram)[0]
            others = [_exact_explicit(kernel, gram, *network) for network in networks]
        else:
            own = finite_kernel(kernel, deq, solution, sample.data, Network(width), rng)[0]
            others = [_finite_explicit(kernel, *network, sample.data, width, rng) for network in networks]
        pairs = [(own, others[0]), (own, others[1]), (equivalents[0], equivalents[1])]
        matched, other, floor = (operator_norm(left - right, rng).value for left, right in pairs)
    return PairDistance(
        activation.name, kernel, cell.p, own.shape[0], width, cell.index, found.family, matched, other, floor
    )


@lru_cache(maxsize=64)
def designed(deq: DEQ, kernel: Kernel) -> Design:
    """The explicit network that has a DEQ's kernel.

    Args:
        deq: the model.
        kernel: which kernel.

    Raises:
        NoMatchError: no explicit network matches, or none was found.
    """
    name = deq.activation.name
    try:
        found = design(deq, kernel=kernel, digits=_DIGITS)
    except DesignError as error:
        raise NoMatchError(f"no explicit network was designed for {name}: {error}") from error
    if found.status is not MatchStatus.EXACT:
        raise NoMatchError(f"no explicit network has the kernel {kernel} of {name} here: {found.reason}")
    return found


def _exact_explicit(kernel: Kernel, gram: Array, layers: Layers, rates: Rates) -> Array:
    which = _of_explicit(kernel)
    return explicit_kernels(gram, layers, kernels=(which,), rates=rates)[which]


def _of_explicit(kernel: Kernel) -> Kernel:
    """The kernel of an explicit network that is compared with one of a DEQ: its only NTK is that of all parameters."""
    return Kernel.NTK_ALL if kernel.is_tangent else Kernel.CK


def _finite_explicit(
    kernel: Kernel, layers: Layers, rates: Rates, data: Array, width: int, rng: np.random.Generator
) -> Array:
    network = FiniteExplicitNetwork.draw(layers, width=width, dimension=data.shape[0], rng=rng)
    return network.ck(data) if kernel == "ck" else explicit_ntk(network, data, rng.standard_normal(width), rates)
