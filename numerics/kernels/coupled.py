"""The exact kernels of several coupled states in the limit of infinite width, entry by entry.

Theory sheet, section 8.  With L^(r) = sum_s sigma_rs^2 G^(s) + sigma_{b,r}^2 S + sigma_{c,r}^2, every pair of samples
solves R equations G^(r)_ij = E[phi_r(u) phi_r(v)], (u, v) of covariance L^(r).  On the diagonal they are equations of
the variances, solved first; off it each state's expectation is its Hermite series, and Newton's method solves for all
states of a pair together, tile by tile.  Pairs whose correlations are too near 1 for the series go through
``numerics.kernels.duals``, as for one state.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from numerics.arithmetic import Pointwise, pointwise
from numerics.arrays import EPS, Array, Index, Mask
from numerics.kernels.entries import (
    Diagonal,
    EntryEquations,
    Evidence,
    KernelConvergenceError,
    Ladder,
    check_parameters,
    posed_layer,
)
from numerics.kernels.gram import check_gram
from numerics.kernels.hermite import dual_by_series
from numerics.moments import gaussian_moment, quiet, select_refinement
from numerics.parameters import as_array
from theory.equations import CoupledDEQ, TrainedWeights

__all__ = ["CoupledKernels", "coupled_kernels"]

_TILE = 128
_MOST_STEPS = 60
_DIAGONAL_STEPS = 400
#: Order of the first steps of Newton's method.
_ROUGH = 6
#: Samples are the same up to this.
_SAME = 64 * EPS
#: Pairs in hand at once.
_PAIRS = 1 << 12


@dataclass(frozen=True, eq=False)
class CoupledKernels:
    """Kernels of R coupled states.

    Attributes:
        ck: (R, n, n) array, G^(r), each symmetric to the last bit.
        ntk: (n, n) array, that of the state that is read out, or None where it was not asked for.
        variances: (R, n) array, tau_{r,i}^2.
        evidence: residual, bounds and counts, of all states together.
    """

    ck: Array
    ntk: Array | None
    variances: Array
    evidence: Evidence


@quiet
def coupled_kernels(
    gram: Array,
    cell: CoupledDEQ,
    means: Sequence[float],
    *,
    trained: TrainedWeights | Iterable[str] | None = None,
    tolerance: float = 1e-12,
) -> CoupledKernels:
    """The conjugate kernels of all states of a cell for any Gram matrix, and the NTK of the one that is read out.

    With Gdot^(r)_ij = E[phi_r'(u) phi_r'(v)] and B^(r) = Gdot^(r) (1[r is read out] + sum_q sigma_qr^2 B^(q)) entrywise
    the NTK is G of the readout, and B^(r) times the part of L^(r) whose weights are trained, added up.

    Args:
        gram: (n, n) array S.
        cell: the cell.
        means: (R,) numbers subtracted from the activations, E[phi_r(tau_r xi)] at equilibrium where they are centred.
        trained: weights block by block, or kinds of them (``theory.equations.TRAINED``), which are trained beside the
            readout; None for no NTK.
        tolerance: relative to sqrt(G_ii G_jj), for the residual and for the truncation of the series.

    Raises:
        ValueError: a parameter out of range, or a Gram matrix that cannot be one.
        KernelConvergenceError: an entry has no stable fixed point, none was reached, or there is no NTK.

    Example:
        >>> from theory.equations import DEQ
        >>> found = coupled_kernels(np.eye(2), CoupledDEQ.of(DEQ("relu", 0, 1)), [0])
        >>> found.ck[0].round(6).tolist()
        [[0.5, 0.159155], [0.159155, 0.5]]
    """
    gram = as_array(gram, "the Gram matrix")
    system = _System.of(cell, means, check_gram(gram), tolerance)
    asked = None if trained is None else _Trained.of(cell, trained)
    if asked is not None and not all(np.all(np.isfinite(one.ladder.slope_energy)) for one in system.states):
        raise KernelConvergenceError("there is no NTK: E[phi'^2] of a state is infinite; the conjugate kernels exist")
    n, count = len(gram), len(cell.states)
    ck, ntk = np.empty((count, n, n)), None if asked is None else np.empty((n, n))
    parts = [one.evidence for one in system.states]
    for top in range(0, n, _TILE):
        rows = slice(top, min(top + _TILE, n))
        for left in range(top, n, _TILE):
            columns = slice(left, min(left + _TILE, n))
            kernel, slope, evidence = _solve_tile(system, gram, rows, columns)
            _write(ck, kernel, rows, columns)
            if asked is not None and ntk is not None:
                _write(ntk, _tangent(system, cell.readout, gram[rows, columns], kernel, slope, asked), rows, columns)
            parts.append(evidence)
    variances = np.array([one.diagonal.variances for one in system.states])
    return CoupledKernels(ck, ntk, variances, Evidence.of_entries(parts))


@dataclass(frozen=True)
class _Trained:
    """Variances of the weights that are trained, 0 for the others: arrays (R, R), (R,), (R,); of the readout 1 or 0."""

    sigma_a2: Array
    sigma_b2: Array
    sigma_c2: Array
    readout: float

    @classmethod
    def of(cls, cell: CoupledDEQ, trained: TrainedWeights | Iterable[str]) -> _Trained:
        chosen = TrainedWeights.of(cell, trained)
        matrix, inputs, biases = (np.array(part, dtype=np.float64) for part in chosen.variances(cell))
        return cls(matrix, inputs, biases, float(chosen.readout))


def _write(target: Array, values: Array, rows: slice, columns: slice) -> None:
    """Write a tile, and its mirror image: into the last two axes."""
    target[..., rows, columns] = values
    if rows == columns:
        lower = np.tril_indices(rows.stop - rows.start, -1)
        target[..., rows, columns][..., lower[0], lower[1]] = values[..., lower[1], lower[0]]
    else:
        target[..., columns, rows] = np.swapaxes(values, -1, -2)


@dataclass(frozen=True)
class _System:
    """The equations of all pairs, those of the diagonal solved.

    Attributes:
        states: for each, its expectation as one layer: scales, series, and what stands in for them.
        sigma_a2: (R, R) array.
        sigma_b2: (R,) array.
        sigma_c2: (R,) array.
        squared_norms: (n,) array.
        tolerance: see ``coupled_kernels``.
    """

    states: tuple[EntryEquations, ...]
    sigma_a2: Array
    sigma_b2: Array
    sigma_c2: Array
    squared_norms: Array
    tolerance: float

    @classmethod
    def of(cls, cell: CoupledDEQ, means: Sequence[float], squared_norms: Array, tolerance: float) -> _System:
        """Pose the equations, and solve those of the variances."""
        weights = np.array([[float(value) for value in row] for row in cell.sigma_a2])
        inputs, biases = (
            np.array([float(getattr(state, name)) for state in cell.states]) for name in ("sigma_b2", "sigma_c2")
        )
        if len(means) != len(cell.states):
            raise ValueError(f"means must be {len(cell.states)} numbers, one for each state, not {len(means)}")
        for mean in means:
            check_parameters(0.0, 0.0, mean, tolerance)
        functions = [pointwise(state.activation) for state in cell.states]
        drive = np.multiply.outer(inputs, squared_norms) + biases[:, None]
        diagonals = _diagonals(functions, means, weights, drive, tolerance)
        states = tuple(
            posed_layer(squared_norms, phi, float(mean), tolerance, diagonal)
            for phi, mean, diagonal in zip(functions, means, diagonals, strict=True)
        )
        return cls(states, weights, inputs, biases, squared_norms, tolerance)


def _diagonals(
    functions: Sequence[Pointwise], means: Sequence[float], weights: Array, drive: Array, tolerance: float
) -> list[Diagonal]:
    """The variances of all states: iteration from what the input gives, then Newton's method."""
    count = len(functions)

    def energies(r: int, scales: Array, level: int, degree: int) -> Array:
        phi, mean = functions[r], means[r]
        return gaussian_moment(
            lambda x: np.asarray((phi.value(x) - mean) ** 2), scales, phi.breakpoints, degree=degree, refinement=level
        )

    variances = np.maximum(drive, drive.max() * EPS)
    levels: list[tuple[int, float]] = [(0, 0.0)] * count
    ceiling = 1e12 * max(1.0, float(drive.max()))
    for step in range(1, _DIAGONAL_STEPS + 1):
        if step in (1, 8):
            scales = np.sqrt(variances)
            levels = [select_refinement(functions[r], scales[r], means[r]) for r in range(count)]
        scales = np.sqrt(variances)
        values = np.array([energies(r, scales[r], levels[r][0], 0) for r in range(count)])
        gap = weights @ values + drive - variances
        if not np.all(np.isfinite(gap)) or np.any(gap > ceiling):
            raise KernelConvergenceError("the variances of some pre-activations grow without bound: smaller weights do")
        residual = float(np.max(np.abs(gap) / variances))
        if residual <= max(tolerance / 10, 8 * EPS) and step > 8:
            variances = variances + gap
            sizes = np.abs(gap) / variances
            return [Diagonal(variances[r], sizes[r], *levels[r], residual, step) for r in range(count)]
        if residual < 1e-3:
            second = np.array([energies(r, scales[r], levels[r][0], 2) for r in range(count)])
            slopes = second / np.sqrt(2) / variances
            gap = _solved(weights, slopes, gap)
        variances = np.maximum(variances + gap, drive)
    raise KernelConvergenceError(
        f"the variances did not converge in {_DIAGONAL_STEPS} steps: largest relative residual {residual:.3g}; there "
        "may be no equilibrium"
    )


def _solved(weights: Array, slopes: Array, right: Array) -> Array:
    """Solve (I - Sigma2 diag(slopes)) x = right for every entry: elimination over the states, (R, ...) arrays.

    Without exchanges of rows: the matrix is near I, or Newton's method does not settle and says so.
    """
    count, found = len(weights), [part.copy() for part in right]
    left = {(r, r): 1.0 - weights[r, r] * slopes[r] for r in range(count)}
    left |= {(r, s): -weights[r, s] * slopes[s] for r in range(count) for s in range(count) if r != s and weights[r, s]}
    for k in range(count):
        for r in range(k + 1, count):
            if (r, k) not in left:
                continue
            factor = left[r, k] / left[k, k]
            for s in range(k + 1, count):
                if (k, s) in left:
                    left[r, s] = left.get((r, s), 0.0) - factor * left[k, s]
            found[r] -= factor * found[k]
    for k in range(count - 1, -1, -1):
        for s in range(k + 1, count):
            if (k, s) in left:
                found[k] -= left[k, s] * found[s]
        found[k] /= left[k, k]
    return np.array(found)


# --- one tile -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Pairs:
    """Some pairs of samples, arrays of one shape or to be broadcast to it.

    Attributes:
        drive: (R, ...) array, sigma_{b,r}^2 S_ij + sigma_{c,r}^2.
        scales: (R, ...) array, tau_{r,i} tau_{r,j}.
    """

    drive: Array
    scales: Array


def _solve_tile(system: _System, gram: Array, rows: slice, columns: slice) -> tuple[Array, Array, Evidence]:
    """G and E[phi' phi'] of all states on a tile, (R, r, c) arrays, and the evidence."""
    block, count = gram[rows, columns], len(system.states)
    drive = np.multiply.outer(system.sigma_b2, block) + system.sigma_c2[:, None, None]
    scales = np.array([np.multiply.outer(one.scales[rows], one.scales[columns]) for one in system.states])
    middle = np.add.outer(system.squared_norms[rows] / 2, system.squared_norms[columns] / 2)
    same = block >= middle * (1 - _SAME)
    if rows == columns:
        np.fill_diagonal(same, True)
    pairs = _Pairs(np.where(same, 0.0, drive), scales)
    solved, far, evidence = _by_series(system, pairs, same, rows, columns)
    kernel, slope = solved
    parts = [evidence]
    if np.any(far):
        parts.append(_by_pairs(system, pairs, np.nonzero(far), (rows.start, columns.start), kernel, slope))
    i, j = np.nonzero(same)
    for r in range(count):
        ladder = system.states[r].ladder
        first, second = i + rows.start, j + columns.start
        kernel[r][i, j] = (ladder.energy[first] + ladder.energy[second]) / 2
        slope[r][i, j] = (ladder.slope_energy[first] + ladder.slope_energy[second]) / 2
    if not np.all(np.isfinite(kernel)):
        raise KernelConvergenceError("kernel entries are not finite: an activation overflows at these norms")
    coincident = int(np.count_nonzero(i + rows.start < j + columns.start))
    return kernel, slope, Evidence.of_entries([*parts, Evidence(coincident_pairs=coincident)])


def _by_series(
    system: _System, pairs: _Pairs, same: Mask, rows: slice, columns: slice
) -> tuple[tuple[Array, Array], Mask, Evidence]:
    """G and the slopes by the series, the mask of pairs that it is too slow for, and the evidence."""
    count = len(system.states)
    rho = np.clip(pairs.drive / pairs.scales, -1, 1)
    values, slopes, far = pairs.drive, pairs.drive, np.zeros(same.shape, dtype=bool)
    ladders = [one.ladder for one in system.states]
    rungs = [0] * count
    worst, final = np.inf, False
    for step in range(_MOST_STEPS):
        orders = [_ROUGH if step < 2 else ladders[r].orders[rungs[r]] for r in range(count)]
        values, slopes = _series(system, ladders, orders, rho, rows, columns)
        gap = _right_side(system, pairs, values) / pairs.scales - rho
        gap[:, same | far] = 0.0
        worst = float(np.abs(gap).max())
        if final and worst <= system.tolerance:
            break
        # In rho the slopes are relative to tau_i tau_j: G moves by slope d(rho tau_i tau_j).
        move = _solved(system.sigma_a2, slopes, gap * pairs.scales) / pairs.scales
        rho = np.clip(rho + move, -1, 1)
        if step >= 1:
            # The slack is for what the next steps still move.
            reach = np.max(np.abs(rho), axis=(1, 2), where=~(same | far), initial=0.0) * 1.01
            ladders, rungs, far = _chosen(system, ladders, reach, rho, far)
            final = True
    else:
        raise KernelConvergenceError(
            f"kernel entries did not converge in {_MOST_STEPS} steps: largest residual {worst:.3g}, relative to "
            "tau_i tau_j; a cell with smaller weights would be accepted"
        )
    evidence = _series_evidence(system, ladders, rungs, rho, slopes, same | far, rows, columns)
    return (values, slopes), far & ~same, Evidence.of_entries([evidence, Evidence(residual=worst, iterations=step + 1)])


def _chosen(
    system: _System, ladders: list[Ladder], reach: Array, rho: Array, far: Mask
) -> tuple[list[Ladder], list[int], Mask]:
    """The ladders and rungs that correlations of given sizes need, and the pairs beyond them."""
    rungs = []
    for r, size in enumerate(reach):
        if size > ladders[r].limits[-1]:
            ladders = [*ladders[:r], system.states[r].long_ladder, *ladders[r + 1 :]]
        limits = ladders[r].limits
        if size > limits[-1]:
            far = far | (np.abs(rho[r]) > limits[-1] / 1.01)
        rungs.append(min(int(np.searchsorted(limits, size)), len(limits) - 1))
    return ladders, rungs, far


def _series(
    system: _System, ladders: Sequence[Ladder], orders: Sequence[int], rho: Array, rows: slice, columns: slice
) -> tuple[Array, Array]:
    """G and its derivative by L of every state, (R, r, c) arrays."""
    values, slopes = np.empty(rho.shape), np.empty(rho.shape)
    for r, (ladder, order) in enumerate(zip(ladders, orders, strict=True)):
        left, right = ladder.factors(rows, columns)
        if ladder.shape is not None:
            left = right = ladder.shape[:, None, None]
        total, slope = dual_by_series(left, right, rho[r], order, ladder.used)
        values[r] = total * ladder.norm[rows, None] * ladder.norm[columns]
        slopes[r] = slope * np.multiply.outer(ladder.ratio[rows], ladder.ratio[columns])
    return values, slopes


def _right_side(system: _System, pairs: _Pairs, values: Array) -> Array:
    """L of every state."""
    found = pairs.drive.copy()
    for r, row in enumerate(system.sigma_a2):
        for s, weight in enumerate(row):
            if weight:
                found[r] += weight * values[s]
    return found


def _series_evidence(
    system: _System,
    ladders: Sequence[Ladder],
    rungs: Sequence[int],
    rho: Array,
    slopes: Array,
    left_out: Mask,
    rows: slice,
    columns: slice,
) -> Evidence:
    """What cutting the series may be wrong by: each state's remainder, through the equations of all."""
    if np.all(left_out):
        return Evidence()
    errors, slope_errors, largest = [], [], []
    for r, (ladder, rung) in enumerate(zip(ladders, rungs, strict=True)):
        order = ladder.orders[rung]
        reach = float(np.max(np.abs(rho[r]), where=~left_out, initial=0.0))
        tail, slope_tail = ladder.tails[rung] * ladder.norm, ladder.slope_tails[rung] * ladder.ratio
        errors.append(reach ** (order + 1) * float(tail[rows].max() * tail[columns].max()))
        slope_errors.append(reach**order * float(slope_tail[rows].max() * slope_tail[columns].max()))
        largest.append(float(np.max(np.abs(slopes[r]), where=~left_out, initial=0.0)))
    gains = system.sigma_a2 * np.array(largest)
    radius = float(np.max(np.abs(np.linalg.eigvals(gains))))
    bound = np.inf
    if radius < 1:
        spread = np.linalg.solve(np.eye(len(gains)) - gains, system.sigma_a2 @ np.array(errors))
        bound = float(np.max(np.array(errors) + np.array(largest) * spread))
    order = max(ladder.orders[rung] for ladder, rung in zip(ladders, rungs, strict=True))
    return Evidence(truncation_bound=bound, slope_bound=max(slope_errors), stability=radius, order=order)


def _by_pairs(
    system: _System, pairs: _Pairs, where: tuple[Index, ...], origin: tuple[int, int], kernel: Array, slope: Array
) -> Evidence:
    """Solve the pairs at ``where`` through the duals, in place."""
    parts = []
    for start in range(0, where[0].size, _PAIRS):
        i, j = (index[start : start + _PAIRS] for index in where)
        part = _Pairs(pairs.drive[:, i, j], pairs.scales[:, i, j])
        duals = [one.pair_dual.at(i + origin[0], j + origin[1]) for one in system.states]
        rho = np.clip(_right_side(system, part, kernel[:, i, j]) / part.scales, -1, 1)
        reached = np.inf
        for steps in range(1, _MOST_STEPS + 1):
            found = [dual.evaluate(rho[r]) for r, dual in enumerate(duals)]
            values = np.array([value for value, _ in found])
            # Those of duals are by rho.
            slopes = np.array([derivative for _, derivative in found]) / part.scales
            gap = _right_side(system, part, values) / part.scales - rho
            worst = float(np.abs(gap).max())
            # An error of rho moves the slope of a kinked phi by as much over sqrt(1 - |rho|): down to rounding.
            if worst <= system.tolerance and (worst > reached / 2 or worst <= 2 * EPS):
                break
            if steps == _MOST_STEPS:
                raise KernelConvergenceError(
                    f"kernel entries of samples that nearly coincide did not converge: residual {worst:.3g}"
                )
            reached = worst
            rho = np.clip(rho + _solved(system.sigma_a2, slopes, gap * part.scales) / part.scales, -1, 1)
        kernel[:, i, j], slope[:, i, j] = values, slopes
        errors = [dual.own_errors(rho[r]) for r, dual in enumerate(duals)]
        parts.append(
            Evidence(
                residual=worst,
                truncation_bound=max(float(value.max()) for value, _ in errors),
                slope_bound=float(np.max(np.array([derivative for _, derivative in errors]) / part.scales)),
                iterations=steps,
                quadrature_pairs=i.size,
            )
        )
    return Evidence.of_entries(parts)


def _tangent(system: _System, readout: int, block: Array, kernel: Array, slope: Array, trained: _Trained) -> Array:
    """The NTK's tile: G of the readout, and every state's adjoint kernel times what of L is trained."""
    right = np.zeros(kernel.shape)
    right[readout] = 1.0
    # B = Gdot y with y = e + Sigma2^T diag(Gdot) y.
    adjoint = slope * _solved(system.sigma_a2.T, slope, right)
    total = trained.readout * kernel[readout]
    for r, row in enumerate(trained.sigma_a2):
        covariance = trained.sigma_b2[r] * block + trained.sigma_c2[r]
        covariance += sum(weight * kernel[s] for s, weight in enumerate(row) if weight)
        total += adjoint[r] * covariance
    if not np.all(np.isfinite(total)):
        raise KernelConvergenceError("there is no NTK: its entries are not finite")
    return np.asarray(total)
