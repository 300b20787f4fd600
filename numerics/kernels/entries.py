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

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from numerics.arithmetic import Pointwise
from numerics.arrays import EPS, Array, Index, Mask
from numerics.kernels.duals import slow_dual
from numerics.kernels.hermite import dual_by_series, hermite_coefficients, resolved
from numerics.kernels.interpolated_duals import PairDual, PairFunction, blurred
from numerics.moments import gaussian_moment, select_refinement

__all__ = [
    "Entries",
    "KernelConvergenceError",
    "Tile",
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
class Tile:
    """One block of the solution, r rows by c columns, on the diagonal or above it.

    Attributes:
        rows: the rows it covers.
        columns: the columns it covers: the same as the rows, or later ones.
        kernel: (r, c) array, G.
        slope: (r, c) array, dG/dL, which is E[phi'(u) phi'(v)]; infinite on the diagonal where phi jumps.
        covariance: (r, c) array, L.
    """

    rows: slice
    columns: slice
    kernel: Array
    slope: Array
    covariance: Array

    def write(self, target: Array, values: Array) -> None:
        """Write (r, c) values into an (n, n) array at this tile's place and at its mirror image."""
        target[self.rows, self.columns] = values
        if self.rows != self.columns:
            target[self.columns, self.rows] = values.T


class Entries:
    """The entrywise fixed points of one kernel and an account of how well they were solved.

    The arguments are those of `implicit_ck`.  The variances are solved at once, the rest by `tiles`, during which
    the attributes named as in `ImplicitKernel` grow.

    Attributes:
        variances: (n,) array, tau_i^2.
        energy: (n,) array, G_ii.
        slope_energy: (n,) array, E[phi'(tau_i xi)^2].
        slope_bound: largest error of E[phi'(u) phi'(v)] off the diagonal, as `truncation_bound` for G.  Near |rho| = 1,
            where the slope of a kinked phi changes like sqrt(1 - |rho|), it includes what rounding and the residual do
            to rho.

    Raises:
        ValueError: a parameter out of range, or a Gram matrix that cannot be one.
        KernelConvergenceError: an entry has no stable fixed point, or none was reached.
    """

    def __init__(
        self,
        gram: Array,
        phi: Pointwise,
        sigma_a2: float,
        sigma_b2: float,
        bias: float,
        tolerance: float,
        *,
        checked: bool = False,
    ) -> None:
        _check_parameters(sigma_a2, sigma_b2, bias, tolerance)
        # An earlier layer's kernel is a Gram matrix, symmetric to the last bit.
        diagonal = np.diagonal(gram).copy() if checked else _check_gram(gram)
        drive = sigma_b2 * diagonal
        # A steep phi needs panels as narrow as that, but only where it is steep.
        steep = select_refinement(phi, np.sqrt(drive), bias)[0] >= _STEEP
        self._panels: Pointwise = resolved(phi, max(1.0, 2 * float(np.sqrt(drive.max())))) if steep else phi
        solved = _solve_diagonal(self._panels, drive, sigma_a2, bias, tolerance)
        self._refinement, self.variances, self._doubt, self.quadrature_error, self.iterations, self.residual = solved
        self._gram, self._diagonal, self._phi = gram, diagonal, phi
        self._sigma_a2, self._sigma_b2, self._bias, self._tolerance = sigma_a2, sigma_b2, bias, tolerance
        self._scales = np.sqrt(self.variances)
        self._inverse = _reciprocal(self._scales)
        self.bound = self.slope_bound = self.stability = 0.0
        self.order = self.quadrature_pairs = self.coincident_pairs = 0
        self._slow: PairDual | None = None
        self._extend(_LADDER[-3])

    def _extend(self, order: int) -> None:
        """Have coefficients up to `order`, and the largest |rho| that each order of the ladder serves."""
        series = hermite_coefficients(self._panels, self._scales, order, bias=self._bias, refinement=self._refinement)
        self._norm = series.norm
        self._inverse_norm = _reciprocal(self._norm)
        self.energy = series.energy
        self.slope_energy = (series.slope_norm * self._inverse) ** 2
        # From here on G_ij and its slope are relative to sqrt(G_ii G_jj): samples may be of any size.
        self._ratio = self._norm * self._inverse
        self._shares = series.shares
        # A degree that no sample has need not be summed: every second one where phi is even or odd.
        self._used: list[bool] = list(np.abs(self._shares).max(axis=1) > EPS)
        # Where phi is homogeneous (and bias 0) all samples have the same coefficients up to their size.
        alike = bool(np.all(np.ptp(self._shares, axis=1) <= _ALIKE))
        self._shape: Array | None = self._shares.mean(axis=1) if alike else None
        self._ladder = tuple(k for k in _LADDER if k <= order)
        smooth = bool(np.all(np.isfinite(series.slope_norm)))
        self._tails = [np.sqrt(series.tail_share(k)) for k in self._ladder]
        self._slope_tails = [
            np.sqrt(series.slope_tail_share(k)) if smooth else np.zeros_like(self._norm) for k in self._ladder
        ]
        turns = _reciprocal(series.slope_norm * self._inverse_norm)
        limits = []
        for k, tail, slope_tail in zip(self._ladder, self._tails, self._slope_tails, strict=True):
            worst = float(np.max(tail) ** 2)
            limit = min((self._tolerance / 2 / worst) ** (1 / (k + 1)), 1.0) if worst > 0 else 1.0
            if smooth:
                # The slope's error, relative to the slope on the diagonal, by the same standard.
                worst = float(np.max(slope_tail * turns) ** 2)
                limit = min(limit, (self._tolerance / 2 / worst) ** (1 / k)) if worst > 0 else limit
            limits.append(limit)
        self._limits = np.maximum.accumulate(limits)

    def tiles(self) -> Iterator[Tile]:
        """Solve and yield the tiles on and above the diagonal."""
        n = self._gram.shape[0]
        for top in range(0, n, _TILE):
            rows = slice(top, min(top + _TILE, n))
            for left in range(top, n, _TILE):
                yield self._tile(rows, slice(left, min(left + _TILE, n)))

    def _tile(self, rows: slice, columns: slice) -> Tile:
        block = self._gram[rows, columns]
        diagonal = rows == columns
        # One factor after the other: the product of two small scales may underflow.
        base = block * self._sigma_b2
        base *= self._inverse[rows, None]
        base *= self._inverse[columns]
        # Samples that coincide to rounding have G_ij = G_ii exactly; the correlation 1 would carry
        # a rounding error that a jump or a kink of phi magnifies.
        middle = np.add.outer(self._diagonal[rows] / 2, self._diagonal[columns] / 2)
        same = block >= middle * (1 - _SAME)
        if diagonal:
            np.fill_diagonal(same, True)
            base = np.triu(base)
        index = np.arange(self._gram.shape[0])
        ratio = np.multiply.outer(self._ratio[rows], self._ratio[columns])
        gain = self._sigma_a2 * ratio if self._sigma_a2 > 0 else np.broadcast_to(0.0, ratio.shape)
        problem = _Problem(index[rows, None], index[None, columns], base, gain).without(same)
        kernel, slope, far = self._by_series(problem, rows, columns)
        if np.any(far):
            self._by_pairs(problem, np.nonzero(far), kernel, slope)
        kernel *= self._norm[rows, None]
        kernel *= self._norm[columns]
        slope *= ratio
        covariance = block * self._sigma_b2
        if self._sigma_a2 > 0:
            covariance += self._sigma_a2 * kernel
        if np.any(same):
            i, j = np.nonzero(same)
            first, second = i + rows.start, j + columns.start
            self.coincident_pairs += int(np.count_nonzero(first < second))
            if np.any(same & (block != middle)):
                self._account_coincidence(first, second)
            for values, known in ((kernel, self.energy), (slope, self.slope_energy), (covariance, self.variances)):
                values[i, j] = (known[first] + known[second]) / 2
        if diagonal:
            below = np.tril_indices(base.shape[0], -1)
            for values in (kernel, slope, covariance):
                values[below] = values.T[below]
        lost = ~np.isfinite(kernel) | np.isnan(slope)
        if np.any(lost):
            raise KernelConvergenceError(
                f"{np.count_nonzero(lost)} kernel entries are not finite at sigma_a^2 = {self._sigma_a2:g}: the "
                "activation overflows at these norms; samples of smaller norm have a kernel"
            )
        return Tile(rows, columns, kernel, slope, covariance)

    def _by_series(self, problem: _Problem, rows: slice, columns: slice) -> tuple[Array, Array, Mask]:
        """G and its derivative by rho from the series, and the mask of the entries it is too slow for."""
        start = self._first_guess(problem, rows, columns)
        size = np.abs(self._correlation(problem, start))
        while True:
            rung, far = self._choose_rung(size)
            part = problem.without(far) if np.any(far) else problem
            kernel, rho, slope = self._newton(self._stages(rows, columns, self._ladder[rung]), part, start)
            over = ~far & (np.abs(rho) > self._limits[rung])
            if self._ladder[rung] >= _DENSE or not np.any(over):
                break
            # The solution lies further out than the guess: the next order is higher.
            size = np.maximum(size, np.abs(rho))
        far |= over
        near = ~far
        reach = float(np.max(np.abs(rho), where=near, initial=0.0))
        if reach > 0:
            order = self._ladder[rung]
            self.order = max(self.order, order)
            tail, turn = self._tails[rung] * self._norm, self._slope_tails[rung] * self._ratio
            self._account(
                reach ** (order + 1) * float(tail[rows].max() * tail[columns].max()),
                reach**order * float(turn[rows].max() * turn[columns].max()),
                np.abs(problem.gain * slope)[near] if self._sigma_a2 > 0 else np.zeros(0),
            )
        return kernel, slope, far

    def _correlation(self, problem: _Problem, g: Array) -> Array:
        """Return rho at g, on which it does not depend without recurrence."""
        return np.clip(problem.base, -1, 1) if self._sigma_a2 == 0 else problem.correlation(g)

    def _first_guess(self, problem: _Problem, rows: slice, columns: slice) -> Array:
        """G to first order in rho, where the equation is linear; anything will do without recurrence."""
        if self._sigma_a2 == 0:
            return problem.base
        left, right = self._factors(rows, columns)
        lean = 1 - problem.gain * (left[1] * right[1])
        return np.asarray((left[0] * right[0] + left[1] * right[1] * problem.base) / np.where(lean > _LEAST, lean, 1.0))

    def _choose_rung(self, size: Array) -> tuple[int, Mask]:
        """The rung of the ladder for correlations of the given size, and the mask of those it does not reach."""
        peak = float(size.max())
        if peak > self._limits[-1] and self._ladder[-1] < _LADDER[-1]:
            self._extend(_LADDER[-1])
        rung = int(np.searchsorted(self._limits, peak))
        if rung == len(self._ladder) or self._ladder[rung] > _DENSE:
            most = int(_MOST * (size.size - 1))
            rung = int(np.searchsorted(self._limits, float(np.partition(size, most, axis=None)[most])))
            rung = min(max(rung, self._ladder.index(_DENSE)), len(self._ladder) - 1)
        return rung, size > self._limits[rung]

    def _stages(self, rows: slice, columns: slice, order: int) -> Stage:
        """The series of an order for a tile: a few terms first; then all, with the first slope; then all of both."""
        left, right = self._factors(rows, columns)
        if self._shape is not None:
            left = right = self._shape[:, None, None]
        used, rough = self._used, np.zeros(0)

        def stage(rho: Array, step: int) -> tuple[Array, Array, bool]:
            nonlocal rough
            if order <= _ROUGH or step >= 2:
                return *dual_by_series(left, right, rho, order, used), True
            if step == 0:
                total, rough = dual_by_series(left, right, rho, _ROUGH, used)
                return total, rough, False
            return dual_by_series(left, right, rho, order, used, slope=False)[0], rough, False

        return stage

    def _factors(self, rows: slice, columns: slice) -> tuple[Array, Array]:
        return self._shares[:, rows, None], self._shares[:, None, columns]

    def _by_pairs(self, problem: _Problem, where: tuple[Index, ...], kernel: Array, slope: Array) -> None:
        """Solve the entries at `where` through `numerics.kernels.duals`, in place."""
        if self._slow is None:
            self._slow = slow_dual(
                self._phi, self._scales, self._bias, self._refinement, self._tolerance, panels=self._panels
            )
        for start in range(0, where[0].size, _PAIRS):
            chosen = tuple(index[start : start + _PAIRS] for index in where)
            part = problem.at(chosen)
            dual = self._slow.at(part.rows, part.columns)
            inverse = self._inverse_norm[part.rows], self._inverse_norm[part.columns]

            def stage(
                rho: Array, _: int, dual: PairFunction = dual, inverse: tuple[Array, Array] = inverse
            ) -> tuple[Array, Array, bool]:
                value, turn = dual.evaluate(rho)
                return value * inverse[0] * inverse[1], turn * inverse[0] * inverse[1], True

            found, rho, derivative = self._newton(stage, part, kernel[chosen], polished=True)
            kernel[chosen], slope[chosen] = found, derivative
            self.quadrature_pairs += rho.size
            self._account(*self._pair_errors(dual, part, found, rho, derivative), np.abs(part.gain * derivative))

    def _pair_errors(
        self, dual: PairFunction, part: _Problem, found: Array, rho: Array, derivative: Array
    ) -> tuple[float, float]:
        """Largest errors of G before its magnification by the fixed point, and of dG/dL, near |rho| = 1 too."""
        rows, columns = part.rows, part.columns
        lean = np.maximum(1 - np.abs(part.gain * derivative), EPS)
        doubt = _SAME + (self._doubt[rows] + self._doubt[columns]) / 2
        value, turn = dual.own_errors(rho)
        if self._sigma_a2 > 0:
            # G in doubt puts rho in doubt; the fixed point magnifies both.
            gap = np.abs(part.correlation(found) - rho)
            doubt = (doubt + part.gain * value * self._inverse_norm[rows] * self._inverse_norm[columns]) / lean + gap
        blur = blurred(dual.evaluate, rho, doubt)
        turned = (turn + blur[1]) * self._inverse[rows] * self._inverse[columns]
        return float((value + blur[0]).max()), float(turned.max())

    def _account_coincidence(self, first: Index, second: Index) -> None:
        """Keep what may be wrong where two samples are the same but for rounding: 1 - rho may be up to `_SAME`.

        For rho = cos(theta) E[(f(u) - f(v))^2]/2 is at most (sum of |jumps of f|)^2 theta/(2 pi), and what is smooth in
        f adds O(theta^2): P(u < c < v) is largest for c = 0, where it is theta/(2 pi).
        """
        lean = np.maximum(1 - self._sigma_a2 * self.slope_energy, EPS) if self._sigma_a2 > 0 else np.ones(1)
        angle = float(np.sqrt(2 * (_SAME + self._doubt.max()) / lean.min()))
        points = np.asarray(self._phi.breakpoints)
        for function, kept in ((self._phi.value, "bound"), (self._phi.derivative, "slope_bound")):
            sides = [function(np.nextafter(points, side)) for side in (-np.inf, np.inf)] if points.size else [0.0, 0.0]
            height = float(np.sum(np.abs(np.subtract(sides[1], sides[0]))))
            size = self.energy if kept == "bound" else self.slope_energy
            smooth = float(np.max(size[np.concatenate([first, second])])) * angle**2
            setattr(self, kept, max(getattr(self, kept), height**2 * angle / (2 * np.pi) + smooth))

    def _account(self, error: float, turn: float, gains: Array) -> None:
        """Keep the largest errors: of the right side, of its slope dG/dL, and sigma_a^2 times the slopes."""
        gain = float(gains.max(initial=0.0))
        # An error in the right side is magnified by 1/(1 - slope) in the fixed point.
        self.bound = max(self.bound, error / max(1 - gain, EPS))
        self.slope_bound = max(self.slope_bound, turn)
        self.stability = max(self.stability, gain)

    def _newton(
        self, stage: Stage, problem: _Problem, start: Array, *, polished: bool = False
    ) -> tuple[Array, Array, Array]:
        """Solve g = right side at (base + gain g).

        Args:
            stage: the right side and its derivative by rho.
            problem: base and gain.
            start: the first guess.
            polished: go on where |rho| is near 1, down to rounding: an error of rho moves the derivative by as much
                over sqrt(1 - |rho|) there.

        Returns:
            g, rho at the last step but one (from there g moved by less than the tolerance), and the derivative of
            the right side by rho there.
        """
        if self._sigma_a2 == 0:
            rho = self._correlation(problem, start)
            total, slope, _ = stage(rho, _MAX_STEPS)
            return total, rho, slope
        g = np.clip(start, -1, 1)
        low, high = np.zeros(0), np.zeros(0)
        reached = np.inf
        for step in range(_MAX_STEPS):
            rho = problem.correlation(g)
            total, slope, whole = stage(rho, step)
            gap = total - g
            lean = problem.gain * slope
            np.subtract(1, lean, out=lean)
            # Newton where the map contracts or nearly so, else the plain step.
            move = gap / (lean if lean.min() > _LEAST else np.where(lean > _LEAST, lean, 1.0))
            worst = float(np.abs(gap).max())
            if not np.isfinite(worst):
                raise KernelConvergenceError(
                    f"{np.count_nonzero(~np.isfinite(gap))} kernel entries are not finite at sigma_a^2 = "
                    f"{self._sigma_a2:g}: the activation overflows at these norms; samples of smaller norm have a "
                    "kernel"
                )
            done = whole and worst <= self._tolerance
            if done and polished and worst <= reached / 2:
                done = bool(np.all(np.abs(gap) <= np.maximum(self._tolerance * np.sqrt(1 - np.abs(rho)), 2 * EPS)))
            if done:
                g = np.clip(g + move, -1, 1)
                self.iterations = max(self.iterations, step + 1)
                self.residual = max(self.residual, worst)
                return g, rho, slope
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
            f"{np.count_nonzero(~(size <= self._tolerance))} kernel entries did not converge in {_MAX_STEPS} steps at "
            f"sigma_a^2 = {self._sigma_a2:g}: worst entry ({i}, {j}), residual {gap[where]:.3g} relative to "
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
    """

    rows: Index
    columns: Index
    base: Array
    gain: Array

    def correlation(self, g: Array) -> Array:
        """Return rho at g."""
        rho = self.gain * g
        rho += self.base
        return np.clip(rho, -1, 1, out=rho)

    def without(self, mask: Mask) -> _Problem:
        """Return the same with the entries of the mask replaced by harmless ones."""
        return replace(self, base=np.where(mask, 0.0, self.base), gain=np.where(mask, 0.0, self.gain))

    def at(self, chosen: tuple[Index, ...]) -> _Problem:
        """Return the chosen entries as flat arrays."""
        rows, columns = (np.broadcast_to(index, self.base.shape)[chosen] for index in (self.rows, self.columns))
        return _Problem(rows, columns, self.base[chosen], self.gain[chosen])


def _reciprocal(values: Array) -> Array:
    """1/values, and 0 for 0."""
    return np.asarray(np.where(values > 0, 1 / np.where(values > 0, values, 1.0), 0.0))


def _check_parameters(sigma_a2: float, sigma_b2: float, bias: float, tolerance: float) -> None:
    for name, number in (("sigma_a2", sigma_a2), ("sigma_b2", sigma_b2)):
        if not (np.isfinite(number) and number >= 0):
            raise ValueError(f"{name} must be finite and not negative, got {number}")
    if not np.isfinite(bias):
        raise ValueError(f"the bias must be finite, got {bias}")
    if not 1e-14 <= tolerance < 1:
        raise ValueError(f"the tolerance must lie in [1e-14, 1), got {tolerance}")


def _check_gram(gram: Array) -> Array:
    """The diagonal of a matrix that can be a Gram matrix."""
    if gram.ndim != 2 or gram.shape[0] != gram.shape[1] or gram.shape[0] < 1:
        raise ValueError(f"the Gram matrix must be square and not empty, got shape {gram.shape}")
    diagonal = np.diagonal(gram).astype(np.float64)
    if not np.all(np.isfinite(gram)) or np.any(diagonal < 0):
        raise ValueError("the Gram matrix must be finite with a nonnegative diagonal")
    norms = np.sqrt(diagonal)
    scale = float(diagonal.max())
    for start in range(0, gram.shape[0], 256):
        rows = gram[start : start + 256]
        if np.any(np.abs(rows - gram[:, start : start + 256].T) > 1e-10 * scale):
            raise ValueError("the Gram matrix must be symmetric")
        limit = np.outer(norms[start : start + 256], norms) * (1 + 1e-9) + 1e-12 * scale
        if np.any(np.abs(rows) > limit):
            raise ValueError("the Gram matrix is not positive semidefinite: |S_ij|^2 > S_ii S_jj for some entry")
    return diagonal


def _solve_diagonal(
    phi: Pointwise, drive: Array, sigma_a2: float, bias: float, tolerance: float
) -> tuple[int, Array, Array, float, int, float]:
    """Root of v = sigma_a^2 E[(phi_0(sqrt(v) xi) - bias)^2] + drive_i, reached from drive_i upwards.

    Returns:
        Panel refinement, variances (n,), how far each may be off, relative to it (n,), relative quadrature error, steps
        taken, largest relative residual.
    """

    def square(x: Array) -> Array:
        return np.asarray((phi.value(x) - bias) ** 2)

    variances = drive.copy()
    refinement, error = select_refinement(phi, np.sqrt(variances), bias)
    if sigma_a2 == 0:
        return refinement, variances, np.zeros(drive.size), error, 0, 0.0
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
        residuals[active] = np.abs(gap) * _reciprocal(np.maximum(current, np.abs(gap)))
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
                doubt = left * _reciprocal(variances) / np.maximum(1 - slopes, EPS)
                return refinement, variances, doubt, error, step, float(residuals.max())
            refinement, active = refined, np.arange(drive.size)
    raise KernelConvergenceError(
        f"{active.size} of {drive.size} sample variances did not converge in {_MAX_STEPS} steps at "
        f"sigma_a^2 = {sigma_a2:g}: largest relative residual {residuals.max():.3g}, largest variance "
        f"{variances.max():.3g}; there may be no equilibrium"
    )
