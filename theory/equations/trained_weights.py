"""Which weights of a cell are trained: what an NTK is asked for.

Theory sheet, section 8: the weights into state r contribute B^(r) L^(r) to the NTK, or the part of L^(r) whose weights
are trained, and the readout G of the state that is read out.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import sympy as sp

from theory.equations.coupled_model import CoupledDEQ, CoupledDEQError

__all__ = ["TRAINED", "TrainedWeights"]

#: Kinds of weights that an NTK may train beside the readout.
TRAINED = ("recurrent", "input", "bias")


@dataclass(frozen=True)
class TrainedWeights:
    """The weights of a cell that are trained, block by block.

    Attributes:
        recurrent: pairs (r, s) of the blocks of weights into state r from state s.
        input: states whose input weights are trained.
        bias: states whose biases are.
        readout: whether the readout is.

    Example:
        >>> cell = CoupledDEQ.loop(["relu", "tanh"], "1/2", "1/2")
        >>> sorted(TrainedWeights.of(cell, ["recurrent"]).recurrent)
        [(0, 1), (1, 0)]
    """

    recurrent: frozenset[tuple[int, int]] = frozenset()
    input: frozenset[int] = frozenset()
    bias: frozenset[int] = frozenset()
    readout: bool = True

    @classmethod
    def of(cls, cell: CoupledDEQ, trained: TrainedWeights | Iterable[str]) -> TrainedWeights:
        """Return what is trained, from itself or from kinds of weights, all those of each kind and the readout.

        Args:
            cell: whose weights.
            trained: of ``TRAINED``, or weights block by block.

        Raises:
            CoupledDEQError: a kind that there is not, or weights of a state that the cell has not.
        """
        if isinstance(trained, TrainedWeights):
            trained._check(len(cell.states))
            return trained
        kinds = frozenset(trained)
        unknown = sorted(kinds - set(TRAINED))
        if unknown:
            raise CoupledDEQError(f"the weights that can be trained are {', '.join(TRAINED)}, not {unknown[0]!r}")
        blocks = {(r, s) for r, row in enumerate(cell.sigma_a2) for s, value in enumerate(row) if value != 0}
        inputs = {r for r, state in enumerate(cell.states) if state.sigma_b2 != 0}
        biases = {r for r, state in enumerate(cell.states) if state.sigma_c2 != 0}
        chosen = (found if kind in kinds else () for kind, found in zip(TRAINED, (blocks, inputs, biases), strict=True))
        return cls(*map(frozenset, chosen))  # type: ignore[arg-type]

    def _check(self, count: int) -> None:
        beyond = [r for pair in (*self.recurrent, self.input, self.bias) for r in pair if r not in range(count)]
        if beyond:
            raise CoupledDEQError(f"weights can be trained of the states 0 to {count - 1}, not of {beyond[0]!r}")

    def variances(
        self, cell: CoupledDEQ
    ) -> tuple[tuple[tuple[sp.Expr, ...], ...], tuple[sp.Expr, ...], tuple[sp.Expr, ...]]:
        """Sigma2, sigma_b^2 and sigma_c^2 with 0 for what is not trained: what the part of L^(r) is made of.

        Args:
            cell: whose weights.
        """
        rows = tuple(
            tuple(value if (r, s) in self.recurrent else sp.S.Zero for s, value in enumerate(row))
            for r, row in enumerate(cell.sigma_a2)
        )
        inputs = tuple(state.sigma_b2 if r in self.input else sp.S.Zero for r, state in enumerate(cell.states))
        biases = tuple(state.sigma_c2 if r in self.bias else sp.S.Zero for r, state in enumerate(cell.states))
        return rows, inputs, biases
