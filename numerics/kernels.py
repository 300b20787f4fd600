"""Infinite-width conjugate kernels, entry by entry: the Implicit-CK of a DEQ and explicit CKs.

Every entry of the Implicit-CK solves its own fixed point G_ij = E[phi(u) phi(v)], with (u, v) normal of covariance
L = sigma_a^2 G + sigma_b^2 S (theory sheet, section 2).  The diagonal is one equation per sample, solved exactly.  Off
the diagonal E[phi(u) phi(v)] is a Hermite series in the correlation rho, of the order that its bound asks for; where no
order is enough (|rho| near 1 and a kink), it is a two-dimensional quadrature.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from numerics.hermite import (
    HermiteCoefficients,
    Pointwise,
    dual_by_quadrature,
    gaussian_moment,
    hermite_coefficients,
    select_refinement,
)

__all__ = [
    "ExplicitKernel",
    "ImplicitKernel",
    "KernelConvergenceError",
    "explicit_ck",
    "implicit_ck",
]

Array = NDArray[np.float64]
Index = NDArray[np.intp]
#: Right side and its derivative by rho at the given correlations, for the pairs chosen (None: all).
Dual = Callable[[Array, NDArray[np.bool_] | None], tuple[Array, Array]]

#: Orders of the Hermite series tried, each pair with the least that its bound allows.
_LADDER = (4, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256)
#: Pairs solved together: small enough that their coefficients stay in cache.
_CHUNK = 4096
#: Rows of the kernel in hand at once times n.
_TILE = 1 << 18
_MAX_STEPS = 200
_EPS = float(np.finfo(np.float64).eps)


class KernelConvergenceError(RuntimeError):
    """A fixed point was not reached to the tolerance asked for, or has no stable solution."""


@dataclass(frozen=True)
class ImplicitKernel:
    """An Implicit-CK with the evidence for it.

    Attributes:
        kernel: (n, n) array, G, symmetric to the last bit.
        variances: (n,) array, pre-activation variances tau_i^2 = sigma_a^2 G_ii + sigma_b^2 S_ii.
        order: highest order of the Hermite series used.
        truncation_bound: largest error in an entry of G off the diagonal from cutting the series; for
            pairs done by two-dimensional quadrature, its estimated error.  Absolute.
        quadrature_error: estimated error of the one-dimensional integrals, relative to G_ii.
        residual: largest |right side - left side| over all entries, each relative to sqrt(G_ii G_jj)
            (for the diagonal, to tau_i^2).
        iterations: most steps any entry took.
        quadrature_pairs: number of pairs i < j for which the series was too slow.
        coincident_pairs: number of pairs i < j whose samples coincide to rounding.
        stability: largest sigma_a^2 dE[phi(u) phi(v)]/dL_ij off the diagonal, in modulus; below 1.
        converged: whether the residual is within the tolerance (always so if no error was raised).
    """

    kernel: Array
    variances: Array
    order: int
    truncation_bound: float
    quadrature_error: float
    residual: float
    iterations: int
    quadrature_pairs: int
    coincident_pairs: int
    stability: float
    converged: bool


@dataclass(frozen=True)
class ExplicitKernel:
    """CK of an explicit network with the evidence for it.

    Attributes:
        kernel: (n, n) array, G_L.
        variances: (L, n) array, pre-activation variances of each layer.
        orders: (L,) highest order of the Hermite series in each layer.
        truncation_bound: sum over layers of the largest truncation error each makes in an entry.
        quadrature_error: largest over layers, as for `ImplicitKernel`.
        quadrature_pairs: pairs done by two-dimensional quadrature, summed over layers.
    """

    kernel: Array
    variances: Array
    orders: tuple[int, ...]
    truncation_bound: float
    quadrature_error: float
    quadrature_pairs: int


def implicit_ck(
    gram: Array,
    phi: Pointwise,
    sigma_a2: float,
    sigma_b2: float,
    bias: float,
    tolerance: float = 1e-12,
) -> ImplicitKernel:
    """Implicit-CK G* of theory sheet section 2 for any Gram matrix.

    Args:
        gram: (n, n) array S = X^T X, symmetric positive semidefinite.
        phi: the activation, uncentred.
        sigma_a2: variance of the recurrent weights, nonnegative.
        sigma_b2: variance of the input weights, nonnegative.
        bias: subtracted from phi, E[phi_0(tau_* xi)].
        tolerance: relative to sqrt(G_ii G_jj), for the residual and for the truncation of the series.

    Raises:
        ValueError: a parameter out of range, or a Gram matrix that cannot be one.
        KernelConvergenceError: an entry has no stable fixed point, or none was reached.
    """
    _check_parameters(sigma_a2, sigma_b2, bias, tolerance)
    diagonal = _check_gram(gram)
    drive = sigma_b2 * diagonal
    refinement, variances, quadrature_error, steps, residual = _solve_diagonal(phi, drive, sigma_a2, bias, tolerance)
    solver = _PairSolver(phi, np.sqrt(variances), sigma_a2, bias, tolerance, refinement)
    kernel = solver.fill(gram, sigma_b2)
    return ImplicitKernel(
        kernel=kernel,
        variances=variances,
        order=solver.order,
        truncation_bound=solver.bound,
        quadrature_error=quadrature_error,
        residual=max(residual, solver.residual),
        iterations=max(steps, solver.iterations),
        quadrature_pairs=solver.quadrature_pairs,
        coincident_pairs=solver.coincident_pairs,
        stability=solver.stability,
        converged=True,
    )


def explicit_ck(gram: Array, layers: Sequence[tuple[Pointwise, float]], tolerance: float = 1e-12) -> ExplicitKernel:
    """CK of an explicit network: G_l = E[phi_l(u) phi_l(v)], (u, v) of covariance G_{l-1}, G_0 = S.

    Args:
        gram: (n, n) array S.
        layers: (phi_l, bias_l) in order, at least one; the activation of layer l is phi_l - bias_l.
        tolerance: relative truncation of the series, as for `implicit_ck`.

    Raises:
        ValueError: no layers, or a Gram matrix that cannot be one.
    """
    if not layers:
        raise ValueError("an explicit network needs at least one layer")
    current = gram
    reports = []
    for phi, bias in layers:
        # Without recurrence the fixed point is its own right side.
        report = implicit_ck(current, phi, 0.0, 1.0, bias, tolerance)
        current = report.kernel
        reports.append(
            (report.variances, report.order, report.truncation_bound, report.quadrature_error, report.quadrature_pairs)
        )
    variances, orders, bounds, errors, pairs = zip(*reports, strict=True)
    return ExplicitKernel(
        kernel=current,
        variances=np.array(variances),
        orders=orders,
        truncation_bound=float(sum(bounds)),
        quadrature_error=max(errors),
        quadrature_pairs=sum(pairs),
    )


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
) -> tuple[int, Array, float, int, float]:
    """Root of v = sigma_a^2 E[(phi_0(sqrt(v) xi) - bias)^2] + drive_i, reached from drive_i upwards.

    Returns:
        Panel refinement, variances (n,), relative quadrature error, steps taken, largest relative residual.
    """

    def square(x: Array) -> Array:
        return np.asarray((phi.value(x) - bias) ** 2)

    variances = drive.copy()
    refinement, error = select_refinement(phi, np.sqrt(variances), bias)
    if sigma_a2 == 0:
        return refinement, variances, error, 0, 0.0
    active = np.arange(drive.size)
    residuals = np.zeros(drive.size)
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
        residuals[active] = np.abs(gap) / np.where(current > 0, current, 1.0)
        # d/dv E[f(sqrt(v) xi)] = E[f he_2] / (sqrt(2) v): Stein, so that kinks and jumps need no derivative.
        second = gaussian_moment(square, scales, phi.breakpoints, degree=2, refinement=refinement)
        slope = np.where(current > 0, sigma_a2 * second / np.sqrt(2) / np.where(current > 0, current, 1.0), 0.0)
        done = residuals[active] <= max(tolerance / 10, 8 * _EPS)
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
                return refinement, variances, error, step, float(residuals.max())
            refinement, active = refined, np.arange(drive.size)
    raise KernelConvergenceError(
        f"{active.size} of {drive.size} sample variances did not converge in {_MAX_STEPS} steps at "
        f"sigma_a^2 = {sigma_a2:g}: largest relative residual {residuals.max():.3g}, largest variance "
        f"{variances.max():.3g}; there may be no equilibrium"
    )


class _PairSolver:
    """Solves the off-diagonal fixed points and keeps account of how well."""

    def __init__(
        self,
        phi: Pointwise,
        scales: Array,
        sigma_a2: float,
        bias: float,
        tolerance: float,
        refinement: int,
    ) -> None:
        self.phi, self.scales, self.sigma_a2, self.bias = phi, scales, sigma_a2, bias
        self.tolerance, self.refinement = tolerance, refinement
        self.bound = self.residual = self.stability = 0.0
        self.order = self.iterations = self.quadrature_pairs = self.coincident_pairs = 0
        self._extend(_LADDER[6])

    def _extend(self, order: int) -> None:
        """Have coefficients up to `order`, and the largest |rho| that each order of the ladder serves."""
        self.series: HermiteCoefficients = hermite_coefficients(
            self.phi, self.scales, order, bias=self.bias, refinement=self.refinement
        )
        self.energy = self.series.energy
        self.ladder = tuple(k for k in _LADDER if k <= order)
        positive = np.where(self.energy > 0, self.energy, 1.0)
        self.tails = [np.sqrt(self.series.tail(k)) for k in self.ladder]
        limits = []
        for k, tail in zip(self.ladder, self.tails, strict=True):
            worst = float(np.max(tail**2 / positive))
            limits.append(min((self.tolerance / 2 / worst) ** (1 / (k + 1)), 1.0) if worst > 0 else 1.0)
        self.limits = np.maximum.accumulate(limits)

    def fill(self, gram: Array, sigma_b2: float) -> Array:
        """The kernel, (n, n), a block of rows at a time."""
        n = gram.shape[0]
        kernel = np.empty((n, n))
        rows_at_once = max(1, _TILE // n)
        diagonal = np.diagonal(gram)
        for top in range(0, n, rows_at_once):
            bottom = min(top + rows_at_once, n)
            # Pairs (i, j) of this block with j > i, as flat arrays.
            i, j = np.nonzero(np.arange(top, n)[None, :] > np.arange(top, bottom)[:, None])
            i += top
            j += top
            entries = gram[i, j]
            # Samples that coincide to rounding have G_ij = G_ii exactly; the correlation 1 would carry
            # a rounding error that a jump or a kink of phi magnifies.
            total = diagonal[i] + diagonal[j]
            same = total - 2 * entries <= 64 * _EPS * total
            other = ~same
            values = np.empty(i.size)
            values[same] = (self.energy[i[same]] + self.energy[j[same]]) / 2
            values[other] = self._solve(i[other], j[other], sigma_b2 * entries[other])
            self.coincident_pairs += int(np.count_nonzero(same))
            kernel[i, j] = values
            kernel[j, i] = values
        kernel[np.diag_indices(n)] = self.energy
        return kernel

    def _solve(self, i: Index, j: Index, drive: Array) -> Array:
        """G for the pairs (i, j), given sigma_b^2 S_ij."""
        width = self.scales[i] * self.scales[j]
        inverse = np.where(width > 0, 1 / np.where(width > 0, width, 1.0), 0.0)
        values = np.empty(i.size)
        known = np.clip(drive * inverse, -1, 1)
        pending = np.arange(i.size)
        level = np.searchsorted(self.limits, np.abs(known))
        while pending.size:
            if level.max() >= len(self.ladder) and self.ladder[-1] < _LADDER[-1]:
                self._extend(_LADDER[-1])
                level = np.searchsorted(self.limits, np.abs(known[pending]))
            left, left_level = [], []
            for rung in np.unique(level):
                members = pending[level == rung]
                if rung >= len(self.ladder):
                    self._by_quadrature(members, i, j, drive, inverse, values)
                    continue
                for start in range(0, members.size, _CHUNK):
                    part = members[start : start + _CHUNK]
                    rho = self._by_series(rung, part, i[part], j[part], drive[part], inverse[part], values)
                    # The order was chosen for a guess of rho: go up where the guess was low.
                    short = np.abs(rho) > self.limits[rung]
                    if np.any(short):
                        known[part[short]] = rho[short]
                        left.append(part[short])
                        needed = np.searchsorted(self.limits, np.abs(rho[short]))
                        left_level.append(np.maximum(needed, rung + 1))
            pending = np.concatenate(left) if left else np.zeros(0, dtype=np.intp)
            level = np.concatenate(left_level) if left_level else np.zeros(0, dtype=np.intp)
        return values

    def _series_dual(self, order: int, i: Index, j: Index) -> Dual:
        """The right side for the pairs (i, j) as the series cut at `order`, by Horner's rule."""
        products = self.series.coefficients[: order + 1, i] * self.series.coefficients[: order + 1, j]

        def dual(rho: Array, active: NDArray[np.bool_] | None) -> tuple[Array, Array]:
            chosen = products if active is None else products[:, active]
            total = chosen[order].copy()
            slope = np.zeros_like(total)
            for k in range(order - 1, -1, -1):
                slope *= rho
                slope += total
                total *= rho
                total += chosen[k]
            return total, slope

        return dual

    def _by_series(
        self, rung: int, part: Index, i: Index, j: Index, drive: Array, inverse: Array, values: Array
    ) -> Array:
        """Solve one chunk with the series of one order, write into `values`, return the correlations."""
        order = self.ladder[rung]
        found, rho, gain = self._fixed_point(self._series_dual(order, i, j), i, j, drive, inverse)
        values[part] = found
        within = np.abs(rho) <= self.limits[rung]
        if np.any(within):
            self.order = max(self.order, order)
            tail = self.tails[rung]
            cut = np.abs(rho) ** (order + 1) * tail[i] * tail[j]
            # An error in the right side is magnified by 1/(1 - slope) in the fixed point.
            self._account((cut / np.maximum(1 - gain, _EPS))[within], gain[within])
        return rho

    def _by_quadrature(self, members: Index, i: Index, j: Index, drive: Array, inverse: Array, values: Array) -> None:
        """Solve pairs one at a time by two-dimensional quadrature, and check it with a finer rule."""
        self.quadrature_pairs += members.size
        # The longest series is too inaccurate here, but a good first guess.
        guesses = np.empty(members.size)
        for start in range(0, members.size, _CHUNK):
            part = members[start : start + _CHUNK]
            rough = self._series_dual(self.ladder[-1], i[part], j[part])
            guesses[start : start + _CHUNK], _, _ = self._fixed_point(
                rough, i[part], j[part], drive[part], inverse[part]
            )
        for pair, guess in zip(members, guesses, strict=True):
            one = np.array([pair])
            first, second = float(self.scales[i[pair]]), float(self.scales[j[pair]])

            def dual(
                rho: Array,
                _: NDArray[np.bool_] | None,
                nodes: int = 16,
                first: float = first,
                second: float = second,
            ) -> tuple[Array, Array]:
                value, derivative = dual_by_quadrature(
                    self.phi,
                    first,
                    second,
                    float(rho[0]),
                    bias=self.bias,
                    nodes=nodes,
                    refinement=self.refinement,
                )
                return np.array([value]), np.array([derivative * first * second])

            found, rho, gain = self._fixed_point(dual, i[one], j[one], drive[one], inverse[one], np.array([guess]))
            finer, _ = dual(rho, None, 24)
            values[pair] = found[0]
            self._account(np.abs(finer - found) / np.maximum(1 - gain, _EPS), gain)

    def _account(self, bounds: Array, gain: Array) -> None:
        self.bound = max(self.bound, float(bounds.max()))
        self.stability = max(self.stability, float(np.abs(gain).max()))

    def _fixed_point(
        self,
        dual: Dual,
        i: Index,
        j: Index,
        drive: Array,
        inverse: Array,
        guess: Array | None = None,
    ) -> tuple[Array, Array, Array]:
        """Newton from `guess`, by default G = 0, that is L = sigma_b^2 S, for g = dual((drive + sigma_a^2 g) inverse).

        `dual` gives the right side and its derivative by rho for the pairs still active (None: all).

        Returns:
            g, rho and sigma_a^2 dE/dL at the solution.
        """
        scale = np.sqrt(self.energy[i] * self.energy[j])
        gain = self.sigma_a2 * inverse
        base = drive * inverse
        g = np.zeros(i.size) if guess is None else guess.copy()
        start = np.clip(base + gain * g, -1, 1)
        total, slope = dual(start, None)
        if self.sigma_a2 == 0:
            return total, start, np.zeros_like(total)
        goal = np.maximum(self.tolerance * scale, 1e-300)
        rho_all, slope_all = start.copy(), gain * slope
        residual_all = np.abs(total - g)
        active: NDArray[np.bool_] | None = None
        where = np.arange(i.size)
        for step in range(1, _MAX_STEPS + 1):
            gap = total - g[where]
            local = gain[where] * slope
            # Newton where the map contracts or nearly so, else the plain step.
            g[where] += gap / np.where(local < 1 - 1e-6, 1 - local, 1.0)
            g[where] = np.clip(g[where], -scale[where], scale[where])
            rho = np.clip(base[where] + gain[where] * g[where], -1, 1)
            total, slope = dual(rho, active)
            residual = np.abs(total - g[where])
            rho_all[where], slope_all[where], residual_all[where] = rho, gain[where] * slope, residual
            unfinished = residual > goal[where]
            if not np.any(unfinished):
                self.iterations = max(self.iterations, step)
                relative = residual_all / np.where(scale > 0, scale, 1.0)
                self.residual = max(self.residual, float(relative.max()))
                return g, rho_all, slope_all
            if np.count_nonzero(unfinished) < 0.7 * where.size:
                where = where[unfinished]
                total, slope = total[unfinished], slope[unfinished]
                active = np.zeros(i.size, dtype=np.bool_)
                active[where] = True
        worst = int(np.argmax(residual_all / np.where(scale > 0, scale, 1.0)))
        raise KernelConvergenceError(
            f"{where.size} kernel entries did not converge in {_MAX_STEPS} steps at sigma_a^2 = "
            f"{self.sigma_a2:g}: worst entry ({i[worst]}, {j[worst]}), residual {residual_all[worst]:.3g}, "
            f"correlation {rho_all[worst]:.6g}, slope {slope_all[worst]:.4g} (must be below 1)"
        )
