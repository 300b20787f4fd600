"""Where to look for a cell's solution, in float64: iteration from tau_0, and Newton's method for the limits.

Theory sheet, section 8; nothing here is proved.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import sympy as sp
from flint import arb, ctx

from numerics.arithmetic import moment_threshold, pointwise
from numerics.arrays import Array
from numerics.budget import checkpoint
from numerics.moments import MOST_TERMS, CertifiedMoments, FloatMoments, hermite_balls, terms_needed
from theory.equations import CoupledDEQ, CoupledDEQError, State

__all__ = ["float_weights", "hermite_energies", "no_equilibrium", "reached_scales", "rough_limits"]

_MOST_STEPS = 400
_NEWTON_STEPS = 60
#: Precision in bits of the Hermite coefficients.
_BITS = 90


def float_weights(cell: CoupledDEQ) -> tuple[Array, Array, Array]:
    """Return Sigma2, sigma_b^2 tau_0^2 + sigma_c^2 and sigma_c^2 in float64, of shapes (R, R), (R,), (R,)."""

    def floats(values: Iterable[sp.Expr]) -> list[float]:
        return [float(value.evalf(25)) for value in values]

    matrix = np.array([floats(row) for row in cell.sigma_a2])
    drive = np.array(floats(state.sigma_b2 * cell.tau0**2 + state.sigma_c2 for state in cell.states))
    return matrix, drive, np.array(floats(state.sigma_c2 for state in cell.states))


def no_equilibrium(why: str) -> CoupledDEQError:
    """Return the error of a cell without a stable equilibrium, which names the key and says why."""
    return CoupledDEQError(
        f"sigma_a2: no stable equilibrium is reached from tau_0: {why}; smaller variances would be accepted"
    )


def reached_scales(cell: CoupledDEQ) -> Array:
    """Return the scales tau_r that iteration from tau_0 tends to, (R,).

    Args:
        cell: the cell.

    Raises:
        CoupledDEQError: it tends to none that is stable.
    """
    matrix, drive, _ = float_weights(cell)
    moments = [FloatMoments(pointwise(state.activation)) for state in cell.states]
    limits = np.array([moment_threshold(state.activation) for state in cell.states]) ** 2
    squares = np.full(len(drive), float((cell.tau0**2).evalf(25)))
    # Far above any equilibrium of use, and far below overflow.
    ceiling = 1e12 * max(1.0, float(drive.max()), float(squares[0]))
    for step in range(_MOST_STEPS):
        checkpoint()
        if not np.all(squares < np.minimum(limits, ceiling)) or np.any(squares <= 0):
            raise no_equilibrium("the variances leave the range in which the moments are finite")
        energies, slopes = np.transpose([
            _energy(one, state, float(np.sqrt(square)))
            for one, state, square in zip(moments, cell.states, squares, strict=True)
        ])  # fmt: skip
        with np.errstate(all="ignore"):
            new = matrix @ energies + drive
        if not np.all(np.isfinite(new)) or not np.all(np.isfinite(slopes)):
            raise no_equilibrium("the variances grow beyond all bounds")
        gap = new - squares
        jacobian = matrix * slopes
        stable = np.max(np.abs(np.linalg.eigvals(jacobian))) < 1
        if np.max(np.abs(gap) / new) < 1e-13:
            if not stable:
                raise no_equilibrium("the spectral radius of Sigma2 diag(d22/2) is not below 1")
            return np.asarray(np.sqrt(new))
        # Newton's step only where iteration has all but arrived: it must not choose another solution.
        near = stable and step > 2 and np.max(np.abs(gap) / new) < 1e-4
        squares = squares + np.linalg.solve(np.eye(len(drive)) - jacobian, gap) if near else new
    raise no_equilibrium(f"iteration has not settled after {_MOST_STEPS} steps")


def _energy(moments: FloatMoments, state: State, scale: float) -> tuple[float, float]:
    """E[phi^2], and its derivative in tau^2."""
    at = moments.at(scale)
    if state.centred:
        return at.variance, at.d22 / 2
    # A product overflows to infinity where Python's power raises OverflowError.
    return at.variance + at.mean * at.mean, at.d22 / 2 + at.mean * at.d2


def rough_limits(cell: CoupledDEQ, scales: Array, energies: Callable[[int], Array]) -> Array:
    """Return the limits q_r in float64, (R,): by Newton's method from 0, below the solution of a convex map.

    Args:
        cell: the cell.
        scales: (R,) array of tau_r.
        energies: the squares c_n^2 of every state's Hermite coefficients up to an order, (R, order + 1).
    """
    matrix, _, biases = float_weights(cell)
    plain = np.array(cell.uncorrelated)
    if plain.all():
        return np.zeros(len(scales))
    order = 64
    while True:
        found = _solve_limits(matrix, biases, plain, scales**2, energies(order))
        needed = terms_needed(float(np.max(found / scales**2)), 16)
        if needed <= order:
            return found
        order = min(max(2 * order, needed), MOST_TERMS)


def hermite_energies(cell: CoupledDEQ, moments: Sequence[CertifiedMoments], scales: Array, order: int) -> Array:
    """Return the squares c_n^2 of the Hermite coefficients by balls, (R, order + 1).

    Args:
        cell: the cell.
        moments: of the states' activations.
        scales: (R,) array of tau_r.
        order: the highest n.

    Raises:
        UncertifiedError: a bound is not found.
    """
    rows = []
    with ctx.workprec(_BITS):
        for state, one, scale in zip(cell.states, moments, scales, strict=True):
            found = hermite_balls(one, arb(float(scale)), order)
            balls = found.centred() if state.centred else found
            rows.append([float(value.mid()) ** 2 for value in balls.coefficients])
    return np.array(rows)


def _solve_limits(matrix: Array, biases: Array, plain: Array, squares: Array, energies: Array) -> Array:
    degrees = np.arange(energies.shape[1])
    found = np.zeros(len(squares))
    for _ in range(_NEWTON_STEPS):
        powers = (found / squares)[:, None] ** degrees
        duals = np.sum(energies * powers, axis=1)
        slopes = np.sum(degrees[1:] * energies[:, 1:] * powers[:, :-1], axis=1) / squares
        jacobian = np.where(plain, 0.0, matrix * np.where(plain, 0.0, slopes))
        gap = np.where(plain, 0.0, matrix @ duals + biases - found)
        step = np.linalg.solve(np.eye(len(squares)) - jacobian, gap)
        found = np.clip(found + step, 0.0, squares)
        if np.max(np.abs(step) / squares) < 1e-14:
            break
    return found
