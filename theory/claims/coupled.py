"""Wrong theories of several states, biases and uncentred activations, as data beside the true one.

Theory sheet, section 8.  A theory gives the equivalent of a kernel from a cell: it may take the numbers of another
cell, put other norms in the place of delta, or leave a term out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from types import MappingProxyType

from theory.equations import CoupledDEQ, State, TrainedWeights
from theory.kernels import Kernel

__all__ = ["CoupledTheory", "coupled_theories"]


def _same(cell: CoupledDEQ) -> CoupledDEQ:
    return cell


def _transposed(cell: CoupledDEQ) -> CoupledDEQ:
    return CoupledDEQ(cell.states, list(zip(*cell.sigma_a2, strict=True)), cell.tau0, cell.readout)


def _with_states(cell: CoupledDEQ, change: Callable[[State], State]) -> CoupledDEQ:
    return CoupledDEQ(map(change, cell.states), cell.sigma_a2, cell.tau0, cell.readout)


def _centred_without_bias(cell: CoupledDEQ) -> CoupledDEQ:
    return _with_states(cell, lambda state: State(state.activation, state.sigma_b2))


def _without_bias(cell: CoupledDEQ) -> CoupledDEQ:
    return _with_states(cell, lambda state: State(state.activation, state.sigma_b2, centred=state.centred))


def _exchanged(cell: CoupledDEQ) -> CoupledDEQ:
    """Each state with the activation of the next: its moments, at its own scale."""
    states = cell.states
    moved = [
        State(other.activation, state.sigma_b2, state.sigma_c2, centred=state.centred)
        for state, other in zip(states, [*states[1:], states[0]], strict=True)
    ]
    return CoupledDEQ(moved, cell.sigma_a2, cell.tau0, cell.readout)


def _uncoupled(cell: CoupledDEQ) -> CoupledDEQ:
    """Only each state's weights on itself."""
    rows = [[value if r == s else 0 for s, value in enumerate(row)] for r, row in enumerate(cell.sigma_a2)]
    states = [State(s.activation, s.sigma_b2 or 1, s.sigma_c2, centred=s.centred) for s in cell.states]
    return CoupledDEQ(states, rows, cell.tau0, cell.readout)


def _all_of_them(cell: CoupledDEQ, trained: TrainedWeights) -> TrainedWeights:
    return trained


def _without_input(cell: CoupledDEQ, trained: TrainedWeights) -> TrainedWeights:
    return replace(trained, input=frozenset())


def _within_states(cell: CoupledDEQ, trained: TrainedWeights) -> TrainedWeights:
    return replace(trained, recurrent=frozenset((r, s) for r, s in trained.recurrent if r == s))


@dataclass(frozen=True)
class CoupledTheory:
    """One theory of the equivalents of a cell's kernels: the states' CKs, and the NTK of the one that is read out.

    Attributes:
        identifier: short name.
        description: what it says, or what is wrong with it, in words.
        cell: from the cell to the one whose numbers are taken.
        own_norms: whether delta is ||x_i||^2 - tau_0^2 itself, or t_a/sqrt(p) + psi_i.
        absent: keys of coefficients that are taken to be 0.
        several: whether it is wrong of several states only.
        other_scales: whether every state's moments are taken at the scale of the next one.
        trained: from the weights that are trained to those whose parts of the NTK are taken.
        kernel: whose equivalent.
        source: where it comes from.
    """

    identifier: str
    description: str
    cell: Callable[[CoupledDEQ], CoupledDEQ] = _same
    own_norms: bool = True
    absent: frozenset[str] = frozenset()
    several: bool = False
    other_scales: bool = False
    trained: Callable[[CoupledDEQ, TrainedWeights], TrainedWeights] = _all_of_them
    kernel: Kernel = Kernel.CK
    source: str = "planted"

    def concerns(self, cell: CoupledDEQ, kernel: int | TrainedWeights) -> bool:
        """Return whether it says something else than the theory does of a kernel.

        Args:
            cell: the cell.
            kernel: number of a state, for its CK, or the weights that are trained, for the NTK.
        """
        if isinstance(kernel, TrainedWeights) and self.trained(cell, kernel) != kernel:
            return True
        decorrelated = cell.decorrelated[cell.readout if isinstance(kernel, TrainedWeights) else kernel]
        if self.other_scales:
            return len(cell.states) > 1 and all(cell.decorrelated)
        if self.several:
            return self.cell(cell) != cell
        if self.absent or not self.own_norms:
            return not decorrelated
        return self.cell(cell) != cell and not decorrelated


@cache
def coupled_theories() -> Mapping[str, CoupledTheory]:
    """The true theory, and wrong ones that a check must refute, by identifier.

    Example:
        >>> coupled_theories()["no squares"].description
        'the term of delta_i^2 + delta_j^2 left out'
    """
    theories = (
        CoupledTheory("true", "the theory"),
        CoupledTheory("norms replaced", "t_a/sqrt(p) + psi_i for delta_i next to 1 1^T", own_norms=False),
        CoupledTheory("no squares", "the term of delta_i^2 + delta_j^2 left out", absent=frozenset({"ge"})),
        CoupledTheory("no sum", "the term of delta_i + delta_j left out", absent=frozenset({"gd"})),
        CoupledTheory("no constant", "the term of 1 1^T left out", absent=frozenset({"g0"})),
        CoupledTheory("about 0", "centred and without bias: the expansion about 0", _centred_without_bias),
        CoupledTheory("no bias", "the biases left out", _without_bias),
        CoupledTheory("transposed", "Sigma2 transposed", _transposed, several=True),
        CoupledTheory("exchanged", "each state's moments of the next one's activation", _exchanged, several=True),
        CoupledTheory("uncoupled", "each state's weights on itself alone", _uncoupled, several=True),
        CoupledTheory("other scale", "each state's moments at the next one's tau", several=True, other_scales=True),
        CoupledTheory(
            "no input part",
            "of the NTK, the part of the input weights left out",
            trained=_without_input,
            kernel=Kernel.NTK_ALL,
        ),
        CoupledTheory(
            "no part between states",
            "of the NTK, the parts of the weights between different states left out",
            trained=_within_states,
            kernel=Kernel.NTK_ALL,
        ),
    )
    return MappingProxyType({theory.identifier: theory for theory in theories})
