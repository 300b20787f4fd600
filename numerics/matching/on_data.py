"""Among the networks that match a DEQ at tau_0, the one whose exact kernel is nearest on the samples at hand.

At tau_0 all of them have the DEQ's four numbers; off it, at the norms and correlations of data that are no mixture of
many dimensions, they differ.  Beside them stand, always, the networks that need no design: see ``rivals``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from numerics.arrays import Array
from numerics.budget import OverBudgetError, checkpoint, share, spent, stage
from numerics.display import html_table
from numerics.kernels import check_gram
from numerics.matching.boxes import FamilyBox
from numerics.matching.designs import LAYER_COUNTS, DesignError, UndecidedDesignError, design
from numerics.matching.explicit_network import ExplicitNetwork
from numerics.matching.rivals import DEQKernels, best_scalar, explicit_kernel, naive_layers
from numerics.parameters import as_array
from theory.equations import DEQ
from theory.kernels import Kernel
from theory.named import MatchStatus, RateChoice

__all__ = ["LARGEST_ON_DATA", "DataDesign", "KernelFit", "design_for_data"]

#: Samples from which a kernel's nearness is told, at most: their pairs are hundreds of thousands.
LARGEST_ON_DATA = 2000
#: Part of the processor time left that matched networks may take, and of that what one of them may.
_MATCHED_SHARE, _NETWORK_SHARE = 0.7, 0.5


@dataclass(frozen=True)
class KernelFit:
    """How near the kernel of one network is to a DEQ's on some samples.

    Attributes:
        name: family and number of the layers, or what the network is.
        frobenius: ||K - K_DEQ||_F / ||K_DEQ||_F.
        operator: the same in operator norm.
        network: the matched network, or None for one that is not designed.
        scalar: the number that the kernel is multiplied by.
    """

    name: str
    frobenius: float
    operator: float
    network: ExplicitNetwork | None = None
    scalar: float = 1.0


@dataclass(frozen=True)
class DataDesign:
    """The networks that match a DEQ at its tau_0, by how near their kernels are on some samples.

    Attributes:
        deq: the model, at the tau_0 of the data.
        kernel: which kernel.
        samples: number of samples whose pairs were compared.
        fits: matched networks, the nearest in Frobenius norm first; at least one.
        rivals: networks that were not designed.
        left_out: by family and number of layers, why it has no network here.
    """

    deq: DEQ
    kernel: Kernel
    samples: int
    fits: tuple[KernelFit, ...]
    rivals: tuple[KernelFit, ...]
    left_out: tuple[tuple[str, str], ...]

    @property
    def chosen(self) -> KernelFit:
        """The nearest matched network."""
        return self.fits[0]

    @property
    def network(self) -> ExplicitNetwork:
        """Its layers and their parameters."""
        network = self.chosen.network
        assert network is not None  # noqa: S101
        return network

    @property
    def sentence(self) -> str:
        """What was chosen, by how much, and whether a network that needs no design is nearer."""
        best, rival = self.chosen, min(self.rivals, key=lambda fit: fit.frobenius)
        pairs = f"the pairs of {self.samples} samples"
        text = f"{best.name} is nearest: its kernel is {best.frobenius:.3g} off over {pairs}"
        if len(self.fits) > 1:
            second = self.fits[1]
            text += f", {second.name} {second.frobenius:.3g}"
        if rival.frobenius <= best.frobenius:
            return f"{text}; {rival.name} is nearer still, {rival.frobenius:.3g}, and needs no design"
        return f"{text}; of what needs no design {rival.name} is nearest, {rival.frobenius:.3g}"

    def rows(self) -> list[tuple[str, str, str]]:
        """Name and both errors of every network as texts, the matched ones first."""
        return [(fit.name, f"{fit.frobenius:.3g}", f"{fit.operator:.3g}") for fit in (*self.fits, *self.rivals)]

    def __repr__(self) -> str:
        return f"DataDesign({self.deq.activation.name}, {self.kernel}: {self.sentence})"

    def _repr_html_(self) -> str:
        return html_table(self.sentence, ("network", "Frobenius error", "operator norm error"), self.rows())


def design_for_data(
    deq: DEQ, gram: ArrayLike, *, kernel: Kernel = Kernel.CK, own: FamilyBox | None = None, digits: int = 15
) -> DataDesign:
    """Choose among the networks that match a DEQ the one whose exact kernel is nearest on some samples.

    Every family of `LAYER_COUNTS` with every number of layers that it offers is tried, with all its solutions; for an
    NTK all weights at one learning rate, and the constructive families with a rate for each weight matrix besides.

    Args:
        deq: the model, with tau_0 the samples' root mean square norm.
        gram: (n, n) array S of samples whose norm is O(1), n from 2 to 2000.
        kernel: which kernel; for an NTK the iteration that is stopped has no row.
        own: layers of one's own families beside the named ones, and where to look for their parameters.
        digits: significant digits of the parameters.

    Raises:
        ValueError: too few or too many samples, or a Gram matrix that cannot be one.
        DesignError: no family matches.
        EquilibriumError: the DEQ has no stable equilibrium.
        KernelConvergenceError: an entry has no stable fixed point, or the NTK does not exist.
        OverBudgetError: the processor time, where it is limited, was spent before one network was compared.

    Example:
        >>> rows = np.random.default_rng(0).standard_normal((40, 10)) / np.sqrt(10)
        >>> found = design_for_data(DEQ("tanh", "4/5"), rows @ rows.T)
        >>> found.chosen.name, found.rivals[0].name
        ('1 x erf', 'naive')
    """
    gram = _checked(gram)
    exact = DEQKernels(deq)
    with stage(f"computing the DEQ's kernel on {len(gram)} samples"):
        target = exact.kernel(gram, kernel)
    with share(_MATCHED_SHARE):
        fits, left_out = _compared(deq, gram, kernel, target, own, digits)
    if not fits:
        raise DesignError(f"no family matches {deq.activation.name} here: {left_out[0][0]}: {left_out[0][1]}")
    fits.sort(key=lambda fit: fit.frobenius)
    with stage(f"comparing networks that need no design on {len(gram)} samples"):
        rivals = tuple(_rivals(exact, gram, kernel, target))
    return DataDesign(deq, kernel, len(gram), tuple(fits), rivals, tuple(left_out))


def _compared(
    deq: DEQ, gram: Array, kernel: Kernel, target: Array, own: FamilyBox | None, digits: int
) -> tuple[list[KernelFit], list[tuple[str, str]]]:
    """All networks that match, and why there are no others; one that is slow leaves time for the next."""
    fits, left_out = list[KernelFit](), list[tuple[str, str]]()
    for name, question in _questions(kernel, own):
        if fits and spent():
            left_out.append((name, "no processor time was left"))
            continue
        checkpoint()
        try:
            with share(_NETWORK_SHARE, interrupt=True), stage(f"comparing {name} on {len(gram)} samples"):
                found, reason = _designs(deq, kernel, digits, question)
                fits += [_fit(f"{name}{which}", _kernel(gram, one, kernel), target, one) for which, one in found]
        except OverBudgetError as error:
            reason = str(error)
        if reason:
            left_out.append((name, reason))
    if not fits:
        checkpoint()
    return fits, left_out


def _questions(kernel: Kernel, own: FamilyBox | None) -> Iterator[tuple[str, dict[str, Any]]]:
    """The families to try, by name, and how `design` is asked for them."""
    one = {"rates": RateChoice.ONE} if kernel.is_tangent else {}
    for family, counts in LAYER_COUNTS.items():
        for layers in sorted(counts):
            yield f"{layers} x {family}", {"family": family, "layers": layers} | one
    if kernel.is_tangent:
        # Odd layers have the same answers at any rates.
        for family in ("rational", "hermite"):
            yield f"{family} at a rate per layer", {"family": family, "rates": RateChoice.PER_LAYER}
    if own is not None:
        yield " then ".join(family.name for family in own.families), {"own": own}


def _checked(value: ArrayLike) -> Array:
    """A Gram matrix, refused where it cannot be one."""
    gram = as_array(value, "the Gram matrix")
    if gram.ndim != 2 or not 2 <= len(gram) <= LARGEST_ON_DATA:
        raise ValueError(
            f"the Gram matrix of 2 to {LARGEST_ON_DATA} samples is accepted, not an array of shape {gram.shape}"
        )
    if not check_gram(gram).max() > 0:
        raise ValueError("the Gram matrix must have a diagonal of squared norms that are not all 0")
    return gram


def _designs(
    deq: DEQ, kernel: Kernel, digits: int, question: dict[str, Any]
) -> tuple[list[tuple[str, ExplicitNetwork]], str]:
    """Every network of a family that matches, with what tells it from the others; or why there is none."""
    try:
        found = design(deq, kernel=kernel, digits=digits, **question)
    except (UndecidedDesignError, ArithmeticError) as error:
        return [], str(error)
    one = len(found.branches) == 1
    networks = [("" if one else f", solution {k}", network) for k, network in enumerate(found.branches, start=1)]
    return networks, "" if found.status is MatchStatus.EXACT else found.reason


def _kernel(gram: Array, network: ExplicitNetwork, kernel: Kernel) -> Array:
    return explicit_kernel(gram, network.pointwise(), kernel, network.float_rates())


def _rivals(exact: DEQKernels, gram: Array, kernel: Kernel, target: Array) -> Iterator[KernelFit]:
    """The networks that need no design."""
    naive = explicit_kernel(gram, naive_layers(exact.deq), kernel)
    yield _fit("naive", naive, target)
    scalar = best_scalar(naive, target)
    yield _fit(f"naive times {scalar:.4g}", scalar * naive, target, scalar=scalar)
    if kernel is Kernel.CK:
        for steps, name in ((1, "DEQ after one step"), (2, "DEQ after two steps")):
            yield _fit(name, exact.stopped(gram, steps), target)


def _fit(
    name: str, kernel: Array, target: Array, network: ExplicitNetwork | None = None, scalar: float = 1.0
) -> KernelFit:
    """Both errors of a kernel, relative to the target."""
    error = kernel - target
    frobenius = float(np.linalg.norm(error) / np.linalg.norm(target))
    norms = (float(np.abs(np.linalg.eigvalsh(matrix)).max()) for matrix in (error, target))
    return KernelFit(name, frobenius, next(norms) / next(norms), network, scalar)
