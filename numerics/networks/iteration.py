"""Fixed points of finite networks: plain, damped and Anderson-accelerated iteration, with a stated residual."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from numerics.arrays import Array

__all__ = [
    "FixedPoint",
    "IterationMethod",
    "NonConvergenceError",
    "in_batches",
    "iterate_columns",
    "solve_fixed_point",
]

#: "damped" is x <- x + damping (f(x) - x); "anderson" mixes the last few steps, which is GMRES where f is affine.
IterationMethod = Literal["anderson", "damped"]
#: Steps that Anderson's method mixes.
_MEMORY = 6
#: Anderson's history is dropped after so many steps without a smaller residual: it can mislead across kinks.
_PATIENCE = 12
#: Numbers that are iterated at once: Anderson's history is twelve times their size.
_BATCH = 1 << 22
#: Directions of Anderson's history weaker than this, relative to its strongest, are noise.
_NEGLIGIBLE = 1e-13


class NonConvergenceError(RuntimeError):
    """A fixed point was not reached to the tolerance asked for."""


@dataclass(frozen=True)
class FixedPoint:
    """A fixed point of a map on columns, with the evidence for it.

    Attributes:
        value: (m, n) array, x.
        residual: largest over columns of ||f(x) - x|| / max(||f(x)||, ||x||), at `value` itself.
        iterations: evaluations of f.
    """

    value: Array
    residual: float
    iterations: int


def solve_fixed_point(
    step: Callable[[Array], Array],
    start: Array,
    *,
    method: IterationMethod = "anderson",
    tolerance: float = 1e-10,
    damping: float = 1.0,
    limit: int = 400,
) -> FixedPoint:
    """Fixed point of a map that acts on every column of an (m, n) array by itself.

    Args:
        step: f, from (m, n) arrays to (m, n) arrays.
        start: (m, n) array, the first guess.
        method: how to iterate.
        tolerance: bound on the residual, relative to each column's norm, in [1e-15, 1).
        damping: share of a plain step that is taken, in (0, 1].
        limit: most evaluations of f.

    Raises:
        ValueError: an argument out of range.
        NonConvergenceError: the residual is not within the tolerance after `limit` evaluations, or not finite.
    """
    if not 1e-15 <= tolerance < 1:
        raise ValueError(f"the tolerance must lie in [1e-15, 1), got {tolerance}")
    if not 0 < damping <= 1:
        raise ValueError(f"the damping must lie in (0, 1], got {damping}")
    if limit < 1:
        raise ValueError(f"at least one iteration is needed, got a limit of {limit}")
    if method == "anderson":
        iterates = _anderson(step, start, damping)
    elif method == "damped":
        iterates = _damped(step, start, damping)
    else:
        raise ValueError(f'the method is "anderson" or "damped", not {method!r}')
    residuals: list[float] = []
    for current, image in iterates:
        residuals.append(_relative_residual(current, image))
        if residuals[-1] <= tolerance:
            return FixedPoint(current, residuals[-1], len(residuals))
        if not np.isfinite(residuals[-1]) or len(residuals) == limit:
            break
    raise NonConvergenceError(
        f"no fixed point in {len(residuals)} steps of the {method} iteration ({start.shape[0]} neurons, "
        f"{start.shape[1]} samples): the relative residual went from {residuals[0]:.3g} to {residuals[-1]:.3g} "
        f"(smallest {np.nanmin(residuals):.3g}, asked for {tolerance:.3g}); more steps, a smaller sigma_a^2 or a wider "
        "network may converge"
    )


def iterate_columns(step: Callable[[Any], Any], start: Any, *, tolerance: float, limit: int = 400) -> FixedPoint:
    """Fixed point by plain iteration, of every column by itself: what a column is does not depend on the others.

    For random recurrent weights of large width no method that sees the map alone does better asymptotically: the
    Jacobian's eigenvalues fill a disc about 0, of whose polynomials z^k is the smallest.

    Args:
        step: f, from (m, n) arrays to (m, n) arrays, of float32 or float64.
        start: (m, n) array, the first guess.
        tolerance: bound on the residual, relative to each column's norm, in (0, 1).
        limit: most evaluations of f.

    Returns:
        Every column where its residual first met the tolerance; the residual is the largest of them.

    Raises:
        ValueError: a tolerance or limit out of range.
        NonConvergenceError: some column's residual is not within the tolerance after `limit` evaluations.
    """
    if not (0 < tolerance < 1 and limit >= 1):
        raise ValueError(f"a tolerance in (0, 1) and a limit of at least 1 are accepted, not {tolerance} and {limit}")
    current, found = start, np.empty_like(start)
    waiting = np.ones(start.shape[1], dtype=bool)
    worst = residual = 0.0
    for count in range(1, limit + 1):
        image = step(current)
        residuals = _column_residuals(current, image)
        settled = waiting & (residuals <= tolerance)
        if np.any(settled):
            found[:, settled] = current[:, settled]
            worst = max(worst, float(residuals[settled].max()))
            waiting &= ~settled
        if not np.any(waiting):
            return FixedPoint(found, worst, count)
        residual = float(residuals[waiting].max())
        if not np.isfinite(residual):
            break
        current = image
    raise NonConvergenceError(
        f"no fixed point in {count} steps for {np.count_nonzero(waiting)} of {waiting.size} samples "
        f"({start.shape[0]} neurons): the relative residual is {residual:.3g}, asked for {tolerance:.3g}; more steps, "
        "a smaller sigma_a^2 or a wider network may converge"
    )


def in_batches(solve: Callable[[slice], FixedPoint], rows: int, columns: int) -> FixedPoint:
    """Solve columns that do not depend on each other a few at a time, so that memory does not grow with their number.

    Args:
        solve: the fixed point of some columns, an array of that many.
        rows: m.
        columns: n, of all of them.

    Returns:
        All columns, the largest residual and the most iterations of any batch.
    """
    size = max(1, _BATCH // rows)
    parts = [solve(slice(start, min(start + size, columns))) for start in range(0, columns, size)]
    return FixedPoint(
        np.hstack([part.value for part in parts]),
        max(part.residual for part in parts),
        max(part.iterations for part in parts),
    )


def _column_residuals(current: Array, image: Array) -> Array:
    """||f(x) - x|| relative to the larger of ||f(x)|| and ||x||, by columns."""
    with np.errstate(over="ignore", invalid="ignore"):
        gap = np.linalg.norm(image - current, axis=0)
        size = np.maximum(np.linalg.norm(image, axis=0), np.linalg.norm(current, axis=0))
        return np.asarray(gap / np.where(size == 0, 1.0, size))


def _relative_residual(current: Array, image: Array) -> float:
    return float(np.max(_column_residuals(current, image), initial=0.0))


def _damped(step: Callable[[Array], Array], start: Array, damping: float) -> Iterator[tuple[Array, Array]]:
    current = start
    while True:
        image = step(current)
        yield current, image
        current = current + damping * (image - current)


def _anderson(step: Callable[[Array], Array], start: Array, damping: float) -> Iterator[tuple[Array, Array]]:
    """Anderson's method (type II), a mixture of its own for every column.

    The next point is the one that the plain damped steps would reach from the affine combination of the last points
    whose residual f(x) - x is least.
    """
    m, n = start.shape
    # Differences of consecutive points and residuals: a sample, a slot of the history, a neuron.
    moves, changes = np.zeros((n, _MEMORY, m)), np.zeros((n, _MEMORY, m))
    current = start
    before: tuple[Array, Array] | None = None
    best, since, slot = np.inf, 0, 0
    while True:
        image = step(current)
        yield current, image
        residual = image - current
        size = float(np.linalg.norm(residual))
        best, since = (size, 0) if size < best else (best, since + 1)
        if since >= _PATIENCE:
            changes[...] = 0.0
            moves[...] = 0.0
            before, since = None, 0
        if before is not None:
            moves[:, slot] = (current - before[0]).T
            changes[:, slot] = (residual - before[1]).T
            slot = (slot + 1) % _MEMORY
        before = current, residual
        normal = changes @ changes.transpose(0, 2, 1)
        target = changes @ residual.T[:, :, None]
        mix = np.linalg.pinv(normal, rcond=_NEGLIGIBLE, hermitian=True) @ target
        correction = ((moves + damping * changes).transpose(0, 2, 1) @ mix)[:, :, 0].T
        current = current + damping * residual - correction
