"""Which solution of a cell's equations is meant: the proof that iteration of tau^2 from tau_0^2 tends to it.

It is a contraction, in weights found by floats, that holds the start.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from flint import arb, ctx

from numerics.arithmetic import constant_ball, hull
from numerics.budget import OverBudgetError, checkpoint, share, stage
from numerics.moments import CertifiedMoments, UncertifiedError, stein_balls
from theory.equations import CoupledDEQ, State
from theory.moments import RAW_MOMENTS

__all__ = ["is_followed"]

#: Precision in bits of the proof, which bounds slopes.
_BITS = 40
#: Stretches of the box on which it bounds slopes.
_STRETCHES = 24
#: Part of the processor time left that it may take.
_SHARE = 0.5


def is_followed(cell: CoupledDEQ, moments: Sequence[CertifiedMoments], taus: Sequence[arb]) -> bool | None:
    """Return True where iteration of tau^2 from tau_0^2 is proved to tend to a solution, None where no proof is found.

    Args:
        cell: the cell.
        moments: of the states' activations.
        taus: (R,) balls of the solution's scales.
    """
    try:
        with (
            share(_SHARE, interrupt=True),
            stage("proving which solution is reached"),
            ctx.workprec(_BITS),
        ):
            return True if _contracts(cell, moments, [tau**2 for tau in taus]) else None
    except (OverBudgetError, UncertifiedError):
        return None


def _contracts(cell: CoupledDEQ, moments: Sequence[CertifiedMoments], squares: Sequence[arb]) -> bool:
    """Find weights v with |T'| v < v on {|a - a_*| <= reach v, a at or above what enters}, which holds the start.

    The Jacobian of the map is Sigma2 diag(V_1), so that K v < v with K its bound on the set makes the set invariant
    and the map a contraction in the norm max |.|/v.
    """
    matrix = [[constant_ball(value) for value in row] for row in cell.sigma_a2]
    start = constant_ball(cell.tau0**2)
    drive = [constant_ball(state.sigma_b2 * cell.tau0**2 + state.sigma_c2) for state in cell.states]
    floors = [entry.min(start).lower() for entry in drive]
    count = len(squares)
    slopes = [
        abs(_slopes(one, state, square)) for one, state, square in zip(moments, cell.states, squares, strict=True)
    ]
    for _ in range(4):
        bounds = [[weight * slope for weight, slope in zip(row, slopes, strict=True)] for row in matrix]
        v = _weights_of(bounds)
        if v is None:
            return False
        reach = arb(0)
        for square, weight in zip(squares, v, strict=True):
            reach = reach.max((abs(square - start) / weight).upper())
        boxes = [
            hull(floor.max((square - reach * weight).lower()), (square + reach * weight).upper())
            for floor, square, weight in zip(floors, squares, v, strict=True)
        ]
        slopes = [_largest_slope(one, state, box) for one, state, box in zip(moments, cell.states, boxes, strict=True)]
        rows = [sum((matrix[r][s] * slopes[s] * v[s] for s in range(count)), arb(0)) for r in range(count)]
        if all(row < weight for row, weight in zip(rows, v, strict=True)):
            return True
    return False


def _weights_of(bounds: list[list[arb]]) -> list[arb] | None:
    """Exact positive weights that a matrix shrinks, by floats; the caller proves it."""
    floats = np.array([[float(entry.upper()) for entry in row] for row in bounds])
    if not np.all(np.isfinite(floats)):
        return None
    radius = float(np.max(np.abs(np.linalg.eigvals(floats))))
    if not radius < 1:
        return None
    found = np.linalg.solve((1 + radius) / 2 * np.eye(len(floats)) - floats, np.ones(len(floats)))
    return [arb(float(value)) for value in found] if np.all(found > 0) else None


def _slopes(moments: CertifiedMoments, state: State, square: arb) -> arb:
    """V_1 over a ball of tau^2; of a centred phi the mean moves along."""
    scale = square.sqrt()
    raw = moments.enclose(scale, tuple(RAW_MOMENTS))
    if state.centred:
        return stein_balls(scale, raw).d22 / 2
    return (raw[2, 2] - raw[0, 2]) / (2 * square)


def _largest_slope(moments: CertifiedMoments, state: State, box: arb) -> arb:
    """A bound of |V_1| over a wide ball of tau^2, stretch by stretch."""
    low, width = box.lower(), (box.upper() - box.lower()) / _STRETCHES
    if not low > 0:
        raise UncertifiedError("a variance may vanish")
    largest = arb(0)
    for k in range(_STRETCHES):
        checkpoint()
        largest = largest.max(abs(_slopes(moments, state, hull(low + k * width, low + (k + 1) * width))).upper())
    return largest
