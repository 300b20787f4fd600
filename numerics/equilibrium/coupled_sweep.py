"""A cell's numbers along a line of one entry of its description, each point solved by itself.

Theory sheet, section 8.  A point that has no numbers is kept, with the reason.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import sympy as sp

from numerics.budget import OverBudgetError
from numerics.equilibrium.coupled import CertifiedStates, certify_states
from numerics.equilibrium.coupled_float import FloatStates, solve_states
from numerics.moments import MomentAccuracyError, UncertifiedError
from theory.equations import CoupledDEQ, EquilibriumError, exact_number

__all__ = ["CellPoint", "sweep_cell"]


@dataclass(frozen=True)
class CellPoint:
    """One point of a sweep of a cell.

    Attributes:
        value: exact value of the entry that is swept.
        states: by state, its numbers as decimal strings by key of ``CertifiedStates``; none where there are none.
        margins: floats by key: ``tau``, ``ck`` and ``ntk``, as in ``CertifiedStates``.
        certified: whether every decimal is certified.
        missing: why there are no numbers, or why they are not certified, or an empty string.
    """

    value: sp.Expr
    states: tuple[Mapping[str, str], ...]
    margins: Mapping[str, float]
    certified: bool
    missing: str


def sweep_cell(
    cell: CoupledDEQ, entry: str, values: Sequence[Any], digits: int, *, certified: bool = True
) -> Iterator[CellPoint]:
    """Solve a cell at every value of one of its numbers, one at a time.

    Args:
        cell: the cell.
        entry: the number's name, as ``CoupledDEQ.number`` reads it.
        values: of that number.
        digits: significant digits; float64 gives at most ``FLOAT_DIGITS``.
        certified: whether the numbers are certified by interval arithmetic where that is possible, or those of float64.

    Raises:
        EquilibriumError: no such entry, or a value that is no number.

    Example:
        >>> from theory.equations import State
        >>> cell = CoupledDEQ([State("relu", "3/5", centred=False)], [[0]])
        >>> first, second = sweep_cell(cell, "sigma_a2[0][0]", ["2/5", 3], 6)
        >>> first.states[0]["tau"], second.missing[:38]
        ('0.866025', 'sigma_a2: no stable equilibrium is rea')
    """
    cell.number(entry)
    for given in values:
        value = exact_number(given, entry)
        try:
            yield _point(value, *_solved(cell.with_number(entry, value), digits, certified))
        except (EquilibriumError, MomentAccuracyError, OverBudgetError) as error:
            yield CellPoint(value, (), MappingProxyType({}), certified=False, missing=str(error))


def _solved(cell: CoupledDEQ, digits: int, certified: bool) -> tuple[CertifiedStates | FloatStates, str]:
    """The solution, and why it is not certified."""
    if not certified:
        return solve_states(cell, digits), ""
    try:
        return certify_states(cell, digits), ""
    except UncertifiedError as error:
        return solve_states(cell, digits), f"not certified: {error}"


def _point(value: sp.Expr, found: CertifiedStates | FloatStates, why: str) -> CellPoint:
    states = tuple(
        MappingProxyType({key: found.decimal(r, key) for key in balls}) for r, balls in enumerate(found.states)
    )
    margins = {key: float(ball) for key, ball in found.margins.items()}
    return CellPoint(value, states, MappingProxyType(margins), found.certified, why)
