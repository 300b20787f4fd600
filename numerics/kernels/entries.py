"""The entrywise fixed points behind every infinite-width kernel, solved tile by tile.

Every entry of the Implicit-CK solves its own equation G_ij = E[phi(u) phi(v)], with (u, v) normal of covariance
L = sigma_a^2 G + sigma_b^2 S (theory sheet, section 2); without recurrence it is one layer of an explicit network.
The diagonal is one equation per sample, solved first.  Off the diagonal E[phi(u) phi(v)] is a Hermite series in the
correlation rho, summed tile by tile to the order that its bound asks for; pairs with |rho| so near 1 that the series
is too slow go through `numerics.kernels.duals`.

The derivative of the right side, which Newton's method needs, is E[phi'(u) phi'(v)] (Price's theorem), so that the
tangent kernels come from the same pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from numerics.arithmetic import Pointwise
from numerics.arrays import EPS, Array, Index, Mask
from numerics.kernels.duals import slow_dual
from numerics.kernels.gram import GramBlock, check_block, check_gram
from numerics.kernels.hermite import dual_by_series, hermite_coefficients, reciprocal, resolved
from numerics.kernels.interpolated_duals import PairDual, PairFunction, blurred
from numerics.moments import gaussian_moment, select_refinement

__all__ = [
    "Diagonal",
    "EntryEquations",
    "Evidence",
    "KernelConvergenceError",
    "Ladder",
    "Tile",
    "check_parameters",
    "entry_equations",
    "preactivation_variances",
    "solve_tiles",
]

#: From rho and the number of the step: the right side, its derivative by rho, and whether both are whole
#: (not a cheap first guess).
Stage = Callable[[Array, int], tuple[Array, Array, bool]]
#: Orders of the Hermite series tried for a tile, the least that the bound allows is taken.
_LADDER = (4, 6, 8, 10, 12, 14, 16, 20, 24, 32, 48, 64)
#: Up to this order a tile is summed whole, however few of its entries need it.
_DENSE = 32
#: Order of the first step of Newton's method.
_ROUGH = 4
#: High orders pay where this part of a tile's entries needs them; the rest is solved pair by pair.
_MOST = 0.98
#: Rows and columns of a tile: its work arrays stay in cache.
_TILE = 128
#: Pairs in hand at once.
_PAIRS = 1 << 12
_MAX_STEPS = 200
#: Hermite coefficients, relative to sqrt(E[phi^2]), are the same up to this.
_ALIKE = 8 * float(np.finfo(np.float64).eps)
#: Newton's step is trusted where 1 - slope is above this.
_LEAST = 1e-6
#: Panels of width 2^-3 and less are not taken everywhere, but where phi needs them.
_STEEP = 3
#: Samples are the same, and correlations are 1, up to this.
_SAME = 64 * EPS
#: Steps after which Newton's method is kept within the bracket of a root.
_FREE_STEPS = 8
#: Smallest positive number; below about 1e-292 numbers have fewer digits and finally none.
_SMALLEST = 5e-324


class KernelConvergenceError(RuntimeError):
    """A fixed point was not reached to the tolerance asked for, or has no stable solution."""


@dataclass(frozen=True)
class Evidence:
    """How well the entries of a kernel were solved: bounds and residuals are the largest, pairs are counted.

    Attributes:
        residual: largest |right side - left side| of the equations for G, each relative to sqrt(G_ii G_jj) (for the
            diagonal, to tau_i^2); 0 without recurrence, where nothing is solved.
        truncation_bound: largest error in an entry of G off the diagonal from cutting the series; for pairs that do
            not use the series, the estimated error of what stands in for it.  Absolute.
        slope_bound: likewise for Gdot = E[phi'(u) phi'(v)].  Near |rho| = 1, where Gdot of a kinked phi changes like
            sqrt(1 - |rho|), it includes what rounding and the residual do to rho.  An entry K of an NTK is in error by
            at most about (truncation_bound + |K| sigma_a^2 slope_bound)/(1 - sigma_a^2 Gdot), and by what the residual
            leaves.
        quadrature_error: estimated error of the one-dimensional integrals, relative to G_ii.
        stability: largest sigma_a^2 |Gdot_ij| off the diagonal; below 1.
        margin: largest sigma_a^2 Gdot_ii; below 1 where an NTK exists, infinite where phi jumps.
        order: highest order of the Hermite series used.
        iterations: most steps that any entry took.
        quadrature_pairs: number of pairs i < j for which the series was too slow.
        coincident_pairs: number of pairs i < j whose samples coincide to rounding.
    """

    residual: float = 0.0
    truncation_bound: float = 0.0
    slope_bound: float = 0.0
    quadrature_error: float = 0.0
    stability: float = 0.0
    margin: float = 0.0
    order: int = 0
    iterations: int = 0
    quadrature_pairs: int = 0
    coincident_pairs: int = 0

    @classmethod
    def of_entries(cls, parts: Sequence[Evidence]) -> Evidence:
        """Return the evidence for entries of one layer from that for parts of them."""
        return cls._combined(parts, _COUNTS)

    @classmethod
    def of_layers(cls, layers: Sequence[Evidence]) -> Evidence:
        """Return the evidence for a network from that for its layers, whose bounds add up."""
        return cls._combined(layers, (*_COUNTS, "truncation_bound", "slope_bound"))

    @classmethod
    def _combined(cls, parts: Sequence[Evidence], sums: tuple[str, ...]) -> Evidence:
        columns = {name: [getattr(part, name) for part in parts] for name in cls.__dataclass_fields__}
        return cls(**{name: sum(column) if name in sums else max(column) for name, column in columns.items()})


_COUNTS = ("quadrature_pairs", "coincident_pairs")


@dataclass(frozen=True)
class Tile:
    """One block of the solution, r rows by c columns, on the diagonal of the Gram matrix or above it.

    Attributes:
        rows: the samples in its rows.
        columns: the samples in its columns: the same as in the rows, or later ones.
        kernel: (r, c) array, G.
        slope: (r, c) array, dG/dL, which is E[phi'(u) phi'(v)]; infinite on the diagonal where phi jumps.
        covariance: (r, c) array, L.
        evidence: for these entries.
        origin: the sample that the first column of the arrays read and written is for: 0 where they are square.
    """

    rows: slice
    columns: slice
    kernel: Array
    slope: Array
    covariance: Array
    evidence: Evidence
    origin: int = 0

    @property
    def place(self) -> tuple[slice, slice]:
        """Rows and columns of the arrays that it covers."""
        return _place(self.rows, self.columns, self.origin)

    def write(self, target: Array, values: Array) -> None:
        """Write (r, c) values into an array at this tile's place, and into an (n, n) array at its mirror image too."""
        target[self.place] = values
        if self.origin == 0 and self.rows != self.columns:
            target[self.columns, self.rows] = values.T


@dataclass(frozen=True)
class Diagonal:
    """The equations on the diagonal, solved.

    Attributes:
        variances: (n,) array, tau_i^2.
        uncertainty: (n,) array, how far each may be off, relative to it.
        refinement: of the panels that integrals need, as for `select_refinement`.
        quadrature_error: relative, of the integrals.
        residual: largest, relative to tau_i^2.
        iterations: steps taken.
    """

    variances: Array
    uncertainty: Array
    refinement: int
    quadrature_error: float
    residual: float
    iterations: int


@dataclass(frozen=True)
class Ladder:
    """The Hermite coefficients of all samples, and the largest |rho| that each order of the series serves.

    Entries G_ij and their slopes are relative to sqrt(G_ii G_jj): samples may be of any size.

    Attributes:
        orders: (k,) orders to choose from, ascending.
        limits: (k,) array, the largest |rho| that each serves.
        tails: of each order, an (n,) array: the square root of the share of E[phi^2] above it.
        slope_tails: of each order, an (n,) array: likewise for phi'; zero where phi jumps.
        shares: (order + 1, n) array, coefficients relative to `norm`.
        shape: (order + 1,) array of coefficients that all samples share, or None.
        used: for every degree whether some sample has it.
        norm: (n,) array, sqrt(G_ii).
        inverse_norm: (n,) array, 1/sqrt(G_ii), 0 for 0.
        ratio: (n,) array, sqrt(G_ii)/tau_i.
        energy: (n,) array, G_ii.
        slope_energy: (n,) array, E[phi'(tau_i xi)^2]; infinite where phi jumps.
    """

    orders: tuple[int, ...]
    limits: Array
    tails: tuple[Array, ...]
    slope_tails: tuple[Array, ...]
    shares: Array
    shape: Array | None
    used: tuple[bool, ...]
    norm: Array
    inverse_norm: Array
    ratio: Array
    energy: Array
    slope_energy: Array

    def factors(self, rows: slice, columns: slice) -> tuple[Array, Array]:
        """Return the coefficients of rows and columns, the degree first, to broadcast over a tile."""
        return self.shares[:, rows, None], self.shares[:, None, columns]

    def choose(self, size: Array) -> tuple[int, Mask]:
        """Return the rung for correlations of given moduli, an array of any shape, and the mask of those beyond it."""
        rung = int(np.searchsorted(self.limits, float(size.max())))
        if rung == len(self.orders) or self.orders[rung] > _DENSE:
            most = int(_MOST * (size.size - 1))
            rung = int(np.searchsorted(self.limits, float(np.partition(size, most, axis=None)[most])))
            rung = min(max(rung, self.orders.index(_DENSE)), len(self.orders) - 1)
        return rung, size > self.limits[rung]

    def stage(self, rows: slice, columns: slice, order: int) -> Stage:
        """Return the series of an order for a tile: a few terms, then all with the first slope, then all of both."""
        left, right = self.factors(rows, columns)
        if self.shape is not None:
            left = right = self.shape[:, None, None]
        used, rough = self.used, np.zeros(0)

        def stage(rho: Array, step: int) -> tuple[Array, Array, bool]:
            nonlocal rough
            if order <= _ROUGH or step >= 2:
                return *dual_by_series(left, right, rho, order, used), True
            if step == 0:
                total, rough = dual_by_series(left, right, rho, _ROUGH, used)
                return total, rough, False
            return dual_by_series(left, right, rho, order, used, slope=False)[0], rough, False

        return stage


@dataclass(frozen=True)
class EntryEquations:
    """The equations of all entries of a kernel, those on the diagonal solved.

    Made by `entry_equations`, whose arguments it keeps; `solve_tiles` solves the others.

    Attributes:
        gram: (n, n) array S, or its (r, n - r) block off the diagonal.
        squared_norms: (n,) array, S_ii.
        origin: the sample that the first column of `gram` is for: 0, or r for a block.
        phi: the activation, uncentred.
        panels: phi with the ends of all panels that integrals in one dimension need.
        sigma_a2: variance of the recurrent weights.
        sigma_b2: variance of the input weights.
        bias: subtracted from phi.
        tolerance: relative to sqrt(G_ii G_jj).
        diagonal: its solution.
        ladder: the series for moderate correlations.
    """

    gram: Array
    squared_norms: Array
    origin: int
    phi: Pointwise
    panels: Pointwise
    sigma_a2: float
    sigma_b2: float
    bias: float
    tolerance: float
    diagonal: Diagonal
    ladder: Ladder

    @cached_property
    def scales(self) -> Array:
        """tau_i, shape (n,)."""
        return np.asarray(np.sqrt(self.diagonal.variances))

    @cached_property
    def inverse_scales(self) -> Array:
        """1/tau_i, shape (n,), 0 for 0."""
        return reciprocal(self.scales)

    @cached_property
    def long_ladder(self) -> Ladder:
        """The series for correlations near 1."""
        return _ladder(self.panels, self.diagonal, self.bias, self.tolerance, _LADDER[-1])

    @cached_property
    def pair_dual(self) -> PairDual:
        """What stands in for the series where it is too slow."""
        refinement = self.diagonal.refinement
        return slow_dual(self.phi, self.scales, self.bias, refinement, self.tolerance, panels=self.panels)

    @property
    def evidence(self) -> Evidence:
        """For the diagonal."""
        return Evidence(
            residual=self.diagonal.residual,
            quadrature_error=self.diagonal.quadrature_error,
            margin=float(self.sigma_a2 * self.ladder.slope_energy.max()) if self.sigma_a2 > 0 else 0.0,
            iterations=self.diagonal.iterations,
        )


def _posed_diagonal(
    squared_norms: Array, phi: Pointwise, sigma_a2: float, sigma_b2: float, bias: float, tolerance: float
) -> tuple[Pointwise, Diagonal]:
    """phi as integrals see it, and the equations on the diagonal, solved."""
    drive = sigma_b2 * squared_norms
    # A steep phi needs panels as narrow as that, but only where it is steep.
    steep = select_refinement(phi, np.sqrt(drive), bias)[0] >= _STEEP
    panels: Pointwise = resolved(phi, max(1.0, 2 * float(np.sqrt(drive.max())))) if steep else phi
    return panels, _solve_diagonal(panels, drive, sigma_a2, bias, tolerance)


def preactivation_variances(
    squared_norms: Array, phi: Pointwise, sigma_a2: float, sigma_b2: float, bias: float, tolerance: float = 1e-12
) -> Array:
    """tau_i^2 = sigma_a^2 E[phi(tau_i xi)^2] + sigma_b^2 ||x_i||^2 of every sample, an (n,) array.

    Args:
        squared_norms: (n,) array, ||x_i||^2.
        phi: the activation, uncentred.
        sigma_a2: variance of the recurrent weights.
        sigma_b2: variance of the input weights.
        bias: subtracted from phi.
        tolerance: of the residual, relative.

    Raises:
        ValueError: a parameter out of range.
        KernelConvergenceError: a variance has no stable fixed point, or none was reached.
    """
    check_parameters(sigma_a2, sigma_b2, bias, tolerance)
    return _posed_diagonal(squared_norms, phi, sigma_a2, sigma_b2, bias, tolerance)[1].variances


def entry_equations(
    gram: Array | GramBlock,
    phi: Pointwise,
    sigma_a2: float,
    sigma_b2: float,
    bias: float,
    tolerance: float,
    *,
    checked: bool = False,
) -> EntryEquations:
    """Pose the equations of a kernel's entries, and solve those on the diagonal.

    Args:
        gram: (n, n) array S, or a block of one.
        phi: the activation, uncentred.
        sigma_a2: variance of the recurrent weights.
        sigma_b2: variance of the input weights.
        bias: subtracted from phi.
        tolerance: relative to sqrt(G_ii G_jj), for the residual and for the truncation of the series.
        checked: whether S is known to be a Gram matrix.

    Raises:
        ValueError: a parameter out of range, or a Gram matrix that cannot be one.
        KernelConvergenceError: a variance has no stable fixed point, or none was reached.
    """
    check_parameters(sigma_a2, sigma_b2, bias, tolerance)
    if isinstance(gram, GramBlock):
        if not checked:
            check_block(gram)
        inner, squared_norms, origin = gram.inner, gram.squared_norms, gram.rows.size
    else:
        inner, squared_norms, origin = gram, np.diagonal(gram).copy() if checked else check_gram(gram), 0
    panels, diagonal = _posed_diagonal(squared_norms, phi, sigma_a2, sigma_b2, bias, tolerance)
    ladder = _ladder(panels, diagonal, bias, tolerance, _LADDER[-3])
    return EntryEquations(
        inner, squared_norms, origin, phi, panels, sigma_a2, sigma_b2, bias, tolerance, diagonal, ladder
    )


def _ladder(panels: Pointwise, diagonal: Diagonal, bias: float, tolerance: float, order: int) -> Ladder:
    """Coefficients up to an order, and what each order below it serves."""
    scales = np.asarray(np.sqrt(diagonal.variances))
    inverse_scales = reciprocal(scales)
    series = hermite_coefficients(panels, scales, order, bias=bias, refinement=diagonal.refinement)
    inverse_norm, shares = reciprocal(series.norm), series.shares
    # Where phi is homogeneous (and bias 0) all samples have the same coefficients up to their size.
    alike = bool(np.all(np.ptp(shares, axis=1) <= _ALIKE))
    orders = tuple(k for k in _LADDER if k <= order)
    smooth = bool(np.all(np.isfinite(series.slope_norm)))
    tails = tuple(np.sqrt(series.tail_share(k)) for k in orders)
    slope_tails = tuple(np.sqrt(series.slope_tail_share(k)) if smooth else np.zeros_like(series.norm) for k in orders)
    inverse_slopes = reciprocal(series.slope_norm * inverse_norm)
    limits = []
    for k, tail, slope_tail in zip(orders, tails, slope_tails, strict=True):
        worst = float(np.max(tail) ** 2)
        limit = min((tolerance / 2 / worst) ** (1 / (k + 1)), 1.0) if worst > 0 else 1.0
        if smooth:
            # The slope's error, relative to the slope on the diagonal, by the same standard.
            worst = float(np.max(slope_tail * inverse_slopes) ** 2)
            limit = min(limit, (tolerance / 2 / worst) ** (1 / k)) if worst > 0 else limit
        limits.append(limit)
    return Ladder(
        orders=orders,
        limits=np.maximum.accumulate(limits),
        tails=tails,
        slope_tails=slope_tails,
        shares=shares,
        shape=shares.mean(axis=1) if alike else None,
        # A degree that no sample has need not be summed: every second one where phi is even or odd.
        used=tuple((np.abs(shares).max(axis=1) > EPS).tolist()),
        norm=series.norm,
        inverse_norm=inverse_norm,
        ratio=series.norm * inverse_scales,
        energy=series.energy,
        slope_energy=(series.slope_norm * inverse_scales) ** 2,
    )


def solve_tiles(equations: EntryEquations) -> Iterator[Tile]:
    """Solve and yield the tiles on and above the diagonal, or those of a block, with the evidence for each.

    Raises:
        KernelConvergenceError: an entry has no stable fixed point, or none was reached.
    """
    n, height, origin = equations.squared_norms.size, equations.gram.shape[0], equations.origin
    # Once a tile has needed the high orders the later ones have them too.
    ladder = equations.ladder
    for top in range(0, height, _TILE):
        rows = slice(top, min(top + _TILE, height))
        for left in range(origin or top, n, _TILE):
            tile, ladder = _solve_tile(equations, ladder, rows, slice(left, min(left + _TILE, n)))
            yield tile


def _solve_tile(equations: EntryEquations, ladder: Ladder, rows: slice, columns: slice) -> tuple[Tile, Ladder]:
    """A tile, and the ladder that it needed."""
    sigma_a2, squared_norms = equations.sigma_a2, equations.squared_norms
    block = equations.gram[_place(rows, columns, equations.origin)]
    diagonal = rows == columns
    # One factor after the other: the product of two small scales may underflow.
    base = block * equations.sigma_b2
    base *= equations.inverse_scales[rows, None]
    base *= equations.inverse_scales[columns]
    # Samples that coincide to rounding have G_ij = G_ii exactly; the correlation 1 would carry
    # a rounding error that a jump or a kink of phi magnifies.
    middle = np.add.outer(squared_norms[rows] / 2, squared_norms[columns] / 2)
    same = block >= middle * (1 - _SAME)
    if diagonal:
        np.fill_diagonal(same, True)
        base = np.triu(base)
    index = np.arange(squared_norms.size)
    ratio = np.multiply.outer(ladder.ratio[rows], ladder.ratio[columns])
    gain = sigma_a2 * ratio if sigma_a2 > 0 else np.broadcast_to(0.0, ratio.shape)
    problem = _Problem(index[rows, None], index[None, columns], base, gain, equations).without(same)
    solved, far, ladder, parts = _by_series(problem, ladder, rows, columns)
    kernel, slope = solved.value, solved.derivative
    if np.any(far):
        parts += _by_pairs(problem, ladder, np.nonzero(far), kernel, slope)
    kernel *= ladder.norm[rows, None]
    kernel *= ladder.norm[columns]
    slope *= ratio
    covariance = block * equations.sigma_b2
    if sigma_a2 > 0:
        covariance += sigma_a2 * kernel
    if np.any(same):
        i, j = np.nonzero(same)
        first, second = i + rows.start, j + columns.start
        parts.append(Evidence(coincident_pairs=int(np.count_nonzero(first < second))))
        if np.any(same & (block != middle)):
            parts.append(_coincidence_errors(equations, ladder, first, second))
        variances = equations.diagonal.variances
        for values, known in ((kernel, ladder.energy), (slope, ladder.slope_energy), (covariance, variances)):
            values[i, j] = (known[first] + known[second]) / 2
    if diagonal:
        below = np.tril_indices(base.shape[0], -1)
        for values in (kernel, slope, covariance):
            values[below] = values.T[below]
    _check_finite(np.isfinite(kernel) & ~np.isnan(slope), sigma_a2)
    evidence = Evidence.of_entries(parts)
    return Tile(rows, columns, kernel, slope, covariance, evidence, equations.origin), ladder


def _place(rows: slice, columns: slice, origin: int) -> tuple[slice, slice]:
    """Where the entries of some samples stand in an array whose first column is for the sample `origin`."""
    return rows, slice(columns.start - origin, columns.stop - origin)


def _check_finite(finite: Mask, sigma_a2: float) -> None:
    if not np.all(finite):
        raise KernelConvergenceError(
            f"{np.count_nonzero(~finite)} kernel entries are not finite at sigma_a^2 = {sigma_a2:g}: the "
            "activation overflows at these norms; samples of smaller norm have a kernel"
        )


def _by_series(
    problem: _Problem, ladder: Ladder, rows: slice, columns: slice
) -> tuple[_Solution, Mask, Ladder, list[Evidence]]:
    """The solution by the series, the mask of the entries it is too slow for, the ladder needed, and the evidence."""
    start = _first_guess(problem, ladder, rows, columns)
    size = np.abs(problem.correlation(start))
    evidence = []
    while True:
        if float(size.max()) > ladder.limits[-1]:
            ladder = problem.equations.long_ladder
        rung, far = ladder.choose(size)
        order = ladder.orders[rung]
        part = problem.without(far) if np.any(far) else problem
        solved = _newton(ladder.stage(rows, columns, order), part, start)
        evidence.append(solved.evidence)
        over = ~far & (np.abs(solved.rho) > ladder.limits[rung])
        if order >= _DENSE or not np.any(over):
            break
        # The solution lies further out than the guess: the next order is higher.
        size = np.maximum(size, np.abs(solved.rho))
    far |= over
    near = ~far
    reach = float(np.max(np.abs(solved.rho), where=near, initial=0.0))
    if reach > 0:
        tail, slope_tail = ladder.tails[rung] * ladder.norm, ladder.slope_tails[rung] * ladder.ratio
        errors = _bounds(
            reach ** (order + 1) * float(tail[rows].max() * tail[columns].max()),
            reach**order * float(slope_tail[rows].max() * slope_tail[columns].max()),
            np.abs(problem.gain * solved.derivative)[near] if problem.equations.sigma_a2 > 0 else np.zeros(0),
        )
        evidence.append(replace(errors, order=order))
    return solved, far, ladder, evidence


def _first_guess(problem: _Problem, ladder: Ladder, rows: slice, columns: slice) -> Array:
    """G to first order in rho, where the equation is linear; anything will do without recurrence."""
    if problem.equations.sigma_a2 == 0:
        return problem.base
    left, right = ladder.factors(rows, columns)
    contraction = 1 - problem.gain * (left[1] * right[1])
    linear = left[0] * right[0] + left[1] * right[1] * problem.base
    return np.asarray(linear / np.where(contraction > _LEAST, contraction, 1.0))


def _by_pairs(
    problem: _Problem, ladder: Ladder, where: tuple[Index, ...], kernel: Array, slope: Array
) -> list[Evidence]:
    """Solve the entries at `where` through `numerics.kernels.duals`, in place."""
    evidence = []
    for start in range(0, where[0].size, _PAIRS):
        chosen = tuple(index[start : start + _PAIRS] for index in where)
        part = problem.at(chosen)
        dual = problem.equations.pair_dual.at(part.rows, part.columns)
        inverse = ladder.inverse_norm[part.rows], ladder.inverse_norm[part.columns]

        def stage(
            rho: Array, _: int, dual: PairFunction = dual, inverse: tuple[Array, Array] = inverse
        ) -> tuple[Array, Array, bool]:
            value, derivative = dual.evaluate(rho)
            return value * inverse[0] * inverse[1], derivative * inverse[0] * inverse[1], True

        solved = _newton(stage, part, kernel[chosen], polished=True)
        kernel[chosen], slope[chosen] = solved.value, solved.derivative
        errors = _bounds(*_pair_errors(dual, part, ladder, solved), np.abs(part.gain * solved.derivative))
        evidence += [solved.evidence, replace(errors, quadrature_pairs=solved.rho.size)]
    return evidence


def _pair_errors(dual: PairFunction, part: _Problem, ladder: Ladder, solved: _Solution) -> tuple[float, float]:
    """Largest errors of G before its magnification by the fixed point, and of dG/dL, near |rho| = 1 too."""
    rows, columns, equations = part.rows, part.columns, part.equations
    contraction = np.maximum(1 - np.abs(part.gain * solved.derivative), EPS)
    uncertainty = equations.diagonal.uncertainty
    of_rho = _SAME + (uncertainty[rows] + uncertainty[columns]) / 2
    value, derivative = dual.own_errors(solved.rho)
    if equations.sigma_a2 > 0:
        # An error of G is one of rho; the fixed point magnifies both.
        gap = np.abs(part.correlation(solved.value) - solved.rho)
        moved = part.gain * value * ladder.inverse_norm[rows] * ladder.inverse_norm[columns]
        of_rho = (of_rho + moved) / contraction + gap
    blur = blurred(dual.evaluate, solved.rho, of_rho)
    of_slope = (derivative + blur[1]) * equations.inverse_scales[rows] * equations.inverse_scales[columns]
    return float((value + blur[0]).max()), float(of_slope.max())


def _coincidence_errors(equations: EntryEquations, ladder: Ladder, first: Index, second: Index) -> Evidence:
    """What may be wrong where two samples are the same but for rounding: 1 - rho may be up to `_SAME`.

    For rho = cos(theta) E[(f(u) - f(v))^2]/2 is at most (sum of |jumps of f|)^2 theta/(2 pi), and what is smooth in
    f adds O(theta^2): P(u < c < v) is largest for c = 0, where it is theta/(2 pi).
    """
    sigma_a2, phi = equations.sigma_a2, equations.phi
    contraction = np.maximum(1 - sigma_a2 * ladder.slope_energy, EPS) if sigma_a2 > 0 else np.ones(1)
    angle = float(np.sqrt(2 * (_SAME + equations.diagonal.uncertainty.max()) / contraction.min()))
    points = np.asarray(phi.breakpoints)
    samples = np.concatenate([first, second])

    def bound(function: Callable[[Array], Array], energy: Array) -> float:
        sides = [function(np.nextafter(points, side)) for side in (-np.inf, np.inf)] if points.size else [0.0, 0.0]
        height = float(np.sum(np.abs(np.subtract(sides[1], sides[0]))))
        smooth = float(np.max(energy[samples])) * angle**2
        return height**2 * angle / (2 * np.pi) + smooth

    return Evidence(
        truncation_bound=bound(phi.value, ladder.energy), slope_bound=bound(phi.derivative, ladder.slope_energy)
    )


def _bounds(error: float, slope_error: float, gains: Array) -> Evidence:
    """From errors of the right side and of its slope dG/dL, and sigma_a^2 times the slopes."""
    gain = float(gains.max(initial=0.0))
    # An error in the right side is magnified by 1/(1 - slope) in the fixed point.
    return Evidence(truncation_bound=error / max(1 - gain, EPS), slope_bound=slope_error, stability=gain)


@dataclass(frozen=True)
class _Solution:
    """Solved entries, in arrays of one shape.

    Attributes:
        value: g.
        rho: at the last step but one; from there g moved by less than the tolerance.
        derivative: of the right side by rho there.
        evidence: residual and steps.
    """

    value: Array
    rho: Array
    derivative: Array
    evidence: Evidence


def _newton(stage: Stage, problem: _Problem, start: Array, *, polished: bool = False) -> _Solution:
    """Solve g = right side at (base + gain g).

    Args:
        stage: the right side and its derivative by rho.
        problem: base and gain.
        start: the first guess.
        polished: go on where |rho| is near 1, down to rounding: an error of rho moves the derivative by as much
            over sqrt(1 - |rho|) there.
    """
    sigma_a2, tolerance = problem.equations.sigma_a2, problem.equations.tolerance
    if sigma_a2 == 0:
        rho = problem.correlation(start)
        total, slope, _ = stage(rho, _MAX_STEPS)
        return _Solution(total, rho, slope, Evidence())
    g = np.clip(start, -1, 1)
    low, high = np.zeros(0), np.zeros(0)
    reached = np.inf
    for step in range(_MAX_STEPS):
        rho = problem.correlation(g)
        total, slope, whole = stage(rho, step)
        gap = total - g
        contraction = problem.gain * slope
        np.subtract(1, contraction, out=contraction)
        # Newton where the map contracts or nearly so, else the plain step.
        move = gap / (contraction if contraction.min() > _LEAST else np.where(contraction > _LEAST, contraction, 1.0))
        worst = float(np.abs(gap).max())
        if not np.isfinite(worst):
            _check_finite(np.isfinite(gap), sigma_a2)
        done = whole and worst <= tolerance
        if done and polished and worst <= reached / 2:
            done = bool(np.all(np.abs(gap) <= np.maximum(tolerance * np.sqrt(1 - np.abs(rho)), 2 * EPS)))
        if done:
            return _Solution(np.clip(g + move, -1, 1), rho, slope, Evidence(residual=worst, iterations=step + 1))
        reached = worst
        if step < _FREE_STEPS:
            g = np.clip(g + move, -1, 1)
            continue
        # |right side| <= 1, so that there is a root between -1 and 1: it is kept in a bracket, which is halved
        # where a step leaves it.
        if step == _FREE_STEPS:
            low, high = np.full(g.shape, -1.0), np.full(g.shape, 1.0)
        np.copyto(low, g, where=gap > 0)
        np.copyto(high, g, where=gap < 0)
        moved = g + move
        g = np.where((moved >= low) & (moved <= high), moved, (low + high) / 2)
    size = np.abs(gap)
    where = np.unravel_index(int(np.argmax(size)), gap.shape)
    i, j = (int(np.broadcast_to(index, gap.shape)[where]) for index in (problem.rows, problem.columns))
    raise KernelConvergenceError(
        f"{np.count_nonzero(~(size <= tolerance))} kernel entries did not converge in {_MAX_STEPS} steps at "
        f"sigma_a^2 = {sigma_a2:g}: worst entry ({i}, {j}), residual {gap[where]:.3g} relative to "
        f"sqrt(G_ii G_jj), correlation {rho[where]:.6g}, slope {(problem.gain * slope)[where]:.4g} (must be below "
        "1)"
    )


@dataclass(frozen=True)
class _Problem:
    """Some entries' equations g = right side at rho = base + gain g, in arrays of one shape or broadcast to it.

    Here g is G_ij/sqrt(G_ii G_jj), which lies in [-1, 1].

    Attributes:
        rows: i of each entry.
        columns: j of each entry.
        base: sigma_b^2 S_ij/(tau_i tau_j).
        gain: sigma_a^2 sqrt(G_ii G_jj)/(tau_i tau_j).
        equations: those of the kernel.
    """

    rows: Index
    columns: Index
    base: Array
    gain: Array
    equations: EntryEquations

    def correlation(self, g: Array) -> Array:
        """Return rho at g, on which it does not depend without recurrence."""
        if self.equations.sigma_a2 == 0:
            return np.clip(self.base, -1, 1)
        rho = self.gain * g
        rho += self.base
        return np.clip(rho, -1, 1, out=rho)

    def without(self, mask: Mask) -> _Problem:
        """Return the same with the entries of the mask replaced by harmless ones."""
        return replace(self, base=np.where(mask, 0.0, self.base), gain=np.where(mask, 0.0, self.gain))

    def at(self, chosen: tuple[Index, ...]) -> _Problem:
        """Return the chosen entries as flat arrays."""
        rows, columns = (np.broadcast_to(index, self.base.shape)[chosen] for index in (self.rows, self.columns))
        return _Problem(rows, columns, self.base[chosen], self.gain[chosen], self.equations)


def check_parameters(sigma_a2: float, sigma_b2: float, bias: float, tolerance: float) -> None:
    """Refuse parameters of a kernel that are out of range.

    Args:
        sigma_a2: variance of the recurrent weights.
        sigma_b2: variance of the input weights.
        bias: subtracted from phi.
        tolerance: relative.

    Raises:
        ValueError: a variance that is negative or infinite, an infinite bias, or a tolerance outside [1e-14, 1).
    """
    for name, number in (("sigma_a2", sigma_a2), ("sigma_b2", sigma_b2)):
        if not (np.isfinite(number) and number >= 0):
            raise ValueError(f"{name} must be finite and not negative, got {number}")
    if not np.isfinite(bias):
        raise ValueError(f"the bias must be finite, got {bias}")
    if not 1e-14 <= tolerance < 1:
        raise ValueError(f"the tolerance must lie in [1e-14, 1), got {tolerance}")


def _solve_diagonal(phi: Pointwise, drive: Array, sigma_a2: float, bias: float, tolerance: float) -> Diagonal:
    """Root of v = sigma_a^2 E[(phi_0(sqrt(v) xi) - bias)^2] + drive_i, reached from drive_i upwards."""

    def square(x: Array) -> Array:
        return np.asarray((phi.value(x) - bias) ** 2)

    variances = drive.copy()
    refinement, error = select_refinement(phi, np.sqrt(variances), bias)
    if sigma_a2 == 0:
        return Diagonal(variances, np.zeros(drive.size), refinement, error, residual=0.0, iterations=0)
    active = np.arange(drive.size)
    residuals, slopes = np.zeros(drive.size), np.zeros(drive.size)
    # Far above any equilibrium of use, and far below overflow.
    ceiling = 1e12 * max(1.0, float(drive.max()))
    for step in range(1, _MAX_STEPS + 1):
        current = variances[active]
        scales = np.sqrt(current)
        energy = gaussian_moment(square, scales, phi.breakpoints, refinement=refinement)
        gap = sigma_a2 * energy + drive[active] - current
        runaway = ~np.isfinite(gap) | (gap > ceiling)
        if np.any(runaway):
            raise KernelConvergenceError(
                f"the variances of {np.count_nonzero(runaway)} pre-activations grow without bound: "
                f"there is no equilibrium at sigma_a^2 = {sigma_a2:g}; a smaller sigma_a^2 has one"
            )
        # A sample of norm 0 starts from 0, where a residual relative to the variance says nothing.
        residuals[active] = np.abs(gap) * reciprocal(np.maximum(current, np.abs(gap)))
        # d/dv E[f(sqrt(v) xi)] = E[f he_2] / (sqrt(2) v): Stein, so that kinks and jumps need no derivative.
        second = gaussian_moment(square, scales, phi.breakpoints, degree=2, refinement=refinement)
        slope = np.where(current > 0, sigma_a2 * second / np.sqrt(2) / np.where(current > 0, current, 1.0), 0.0)
        slopes[active] = slope
        done = (residuals[active] <= max(tolerance / 10, 8 * EPS)) | (np.abs(gap) <= 4 * _SMALLEST)
        if np.any(done & (slope >= 1)):
            raise KernelConvergenceError(
                f"the equilibrium of {np.count_nonzero(done & (slope >= 1))} samples is not stable "
                f"(slope {slope[done].max():.4g}, must be below 1); a smaller sigma_a^2 has a stable one"
            )
        # From below the plain step never passes the first root of an increasing right side; Newton's is
        # the plain step stretched, and is trusted where the stretch is moderate.
        stretch = 1 / (1 - np.clip(slope, -10.0, 0.9))
        # The last step is taken as well: it costs nothing and halves the digits left.
        variances[active] = np.maximum(current + stretch * gap, drive[active])
        active = active[~done]
        if active.size == 0:
            # The panels were chosen for the drive alone: the scales have grown since.
            refined, error = select_refinement(phi, np.sqrt(variances), bias)
            if refined <= refinement:
                energy = gaussian_moment(square, np.sqrt(variances), phi.breakpoints, refinement=refinement)
                left = np.abs(sigma_a2 * energy + drive - variances) + sigma_a2 * energy * error
                uncertainty = left * reciprocal(variances) / np.maximum(1 - slopes, EPS)
                return Diagonal(variances, uncertainty, refinement, error, float(residuals.max()), step)
            refinement, active = refined, np.arange(drive.size)
    raise KernelConvergenceError(
        f"{active.size} of {drive.size} sample variances did not converge in {_MAX_STEPS} steps at "
        f"sigma_a^2 = {sigma_a2:g}: largest relative residual {residuals.max():.3g}, largest variance "
        f"{variances.max():.3g}; there may be no equilibrium"
    )
