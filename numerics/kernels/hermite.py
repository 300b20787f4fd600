"""Orthonormal Hermite coefficients of an activation at many scales, in float64.

For every scale tau_i the coefficients are c_k(tau_i) = E[phi(tau_i xi) he_k(xi)], xi ~ N(0, 1), with he_k the
orthonormal (probabilists') Hermite polynomials; then for jointly normal u, v of unit variance and correlation rho

    E[phi(tau_i u) phi(tau_j v)] = sum_k c_k(tau_i) c_k(tau_j) rho^k        (theory sheet, section 2).

The integrals run over Gauss-Legendre panels that end at the activation's kinks and jumps: Gauss-Hermite rules
converge only algebraically across a kink.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from numerics.arithmetic import Pointwise
from numerics.arrays import EPS, Array
from numerics.kernels.chebyshev import at_many_points
from numerics.moments import (
    HALF_WIDTH,
    NODES,
    MomentAccuracyError,
    gaussian_rule,
    legendre_rule,
    quiet,
    reference_slope_energy,
    slope_energies,
)

__all__ = [
    "HermiteCoefficients",
    "ResolvedActivation",
    "dual_by_quadrature",
    "dual_by_series",
    "hermite_coefficients",
    "reciprocal",
    "resolved",
    "resolving_edges",
]

#: Relative rounding error of an energy less the squares of its coefficients.
_ROUNDING = 32 * EPS
_SLOPE_ENERGY = 1e-6
#: A panel holds phi and phi' where the last Legendre coefficients are below this, relative to the largest value.
_HELD = 1e-14
#: Panels that are halved at most, all together.
_MOST_PANELS = 1 << 14
#: Nodes of the double integral with a smaller part in E[phi^2] than this are left out.
_NEGLIGIBLE = 1e-20


@dataclass(frozen=True)
class HermiteCoefficients:
    """Hermite coefficients of phi = phi_0 - bias at n scales.

    Attributes:
        scales: (n,) array, the scales tau_i >= 0.
        coefficients: (order + 1, n) array, c_k(tau_i) in row k, column i.
        norm: (n,) array, sqrt(E[phi(tau_i xi)^2]), the norm of all coefficients; no square of it is taken on the way,
            so that it keeps its digits where the square underflows.
        slope_norm: (n,) array, tau_i sqrt(E[phi'(tau_i xi)^2]), whose square is the sum of all k c_k^2; infinite where
            phi jumps.
        refinement: int, level of panel refinement used (panels of width 2^-refinement).
    """

    scales: Array
    coefficients: Array
    norm: Array
    slope_norm: Array
    refinement: int

    @property
    def energy(self) -> Array:
        """E[phi(tau_i xi)^2], shape (n,)."""
        return np.asarray(self.norm**2)

    @property
    def slope_energy(self) -> Array:
        """tau_i^2 E[phi'(tau_i xi)^2], shape (n,); infinite where phi jumps."""
        return np.asarray(self.slope_norm**2)

    @property
    def order(self) -> int:
        """Highest degree kept."""
        return int(self.coefficients.shape[0]) - 1

    @property
    def shares(self) -> Array:
        """Coefficients relative to the norm, shape (order + 1, n); 0 where the norm is."""
        return np.asarray(self.coefficients * reciprocal(self.norm))

    def tail(self, order: int) -> Array:
        """Energy above degree `order`, shape (n,), never reported below its own rounding error.

        With it |sum_{k > order} c_k(tau_i) c_k(tau_j) rho^k| <= |rho|^(order+1) sqrt(tail_i tail_j), by
        Cauchy-Schwarz.
        """
        return self.tail_share(order) * self.energy

    def slope_tail(self, order: int) -> Array:
        """What the degrees above `order` add to `slope_energy`, shape (n,), likewise never below rounding.

        With it |sum_{k > order} k c_k(tau_i) c_k(tau_j) rho^(k-1)| <= |rho|^order sqrt(tail_i tail_j): the error of
        the cut series' derivative by rho.
        """
        return self.slope_tail_share(order) * self.energy

    @quiet
    def tail_share(self, order: int) -> Array:
        """`tail` relative to `energy`, shape (n,)."""
        self._check(order)
        kept = np.sum(self.shares[: order + 1] ** 2, axis=0)
        return np.asarray(np.where(self.norm > 0, np.maximum(1 - kept, _ROUNDING), 0.0))

    @quiet
    def slope_tail_share(self, order: int) -> Array:
        """`slope_tail` relative to `energy`, shape (n,)."""
        self._check(order)
        degrees = np.arange(order + 1)
        kept = np.sum(degrees[:, None] * self.shares[: order + 1] ** 2, axis=0)
        whole = (self.slope_norm * reciprocal(self.norm)) ** 2
        floor = _ROUNDING * np.maximum(whole, 1.0)
        return np.asarray(np.where(self.norm > 0, np.maximum(whole - kept, floor), 0.0))

    def _check(self, order: int) -> None:
        if not 0 <= order <= self.order:
            raise ValueError(f"order must lie in 0..{self.order}, got {order}")

    def truncation_bound(self, rho: Array, i: NDArray[np.intp], j: NDArray[np.intp]) -> Array:
        """Bound on the series' remainder.

        Args:
            rho: correlations, an array of any shape.
            i: numbers of the first scales, an array of that shape.
            j: numbers of the second scales, an array of that shape.

        Returns:
            An array of that shape.
        """
        tail = np.sqrt(self.tail(self.order))
        return np.asarray(np.abs(rho) ** (self.order + 1) * tail[i] * tail[j])


@quiet
def hermite_coefficients(
    phi: Pointwise, scales: Array, order: int, *, bias: float = 0.0, refinement: int = 0
) -> HermiteCoefficients:
    """Orthonormal Hermite coefficients of phi_0 - bias up to `order` at every scale.

    Args:
        phi: pointwise, the activation, uncentred.
        scales: (n,) array, standard deviations tau_i >= 0 of the pre-activations.
        order: int, highest degree, at least 0.
        bias: float, subtracted from phi_0: the centring E[phi_0(tau_* xi)].
        refinement: int, panel refinement, see `select_refinement`.

    Raises:
        ValueError: A negative order, or scales that are negative, not finite or not one-dimensional.
        FloatingPointError: the activation is not finite where it is needed.
        MomentAccuracyError: E[phi'^2] by quadrature is not what is proved of it.
    """
    scales = np.asarray(scales, dtype=np.float64)
    if order < 0:
        raise ValueError(f"order must be at least 0, got {order}")
    if scales.ndim != 1 or not np.all(np.isfinite(scales)) or np.any(scales < 0):
        raise ValueError("scales must be a one-dimensional array of finite nonnegative numbers")

    def rows(some: Array) -> Array:
        """Coefficients, norm and slope norm, one below the other."""
        coefficients, norm = _project(phi, some, order, bias, refinement)
        energies = slope_energies(phi, some, refinement)
        _check_slopes(phi, some, energies)
        slopes = np.where(some > 0, some, 1.0) * np.sqrt(energies)
        slopes[some == 0] = 0.0
        return np.vstack([coefficients, norm, slopes])

    found = at_many_points(rows, scales)
    # An interpolant may fall below 0 by rounding.
    norm, slopes = np.maximum(found[-2:], 0.0)
    return HermiteCoefficients(scales, found[:-2], norm, slopes, refinement)


def _check_slopes(phi: Pointwise, scales: Array, energies: Array) -> None:
    """Compare E[phi'^2] with what is proved of it, at the smallest and the largest scale."""
    source = getattr(phi, "source", None)
    if source is None or not scales.size:
        return
    for k in {int(np.argmin(scales)), int(np.argmax(scales))}:
        right = reference_slope_energy(source, float(scales[k])) if scales[k] > 0 else None
        if right is not None and np.isfinite(energies[k]) and abs(energies[k] - right) > _SLOPE_ENERGY * right:
            raise MomentAccuracyError(
                f"float64 quadrature does not see all of the activation: E[phi'^2] = {energies[k]:.6g} instead of "
                f"{right:.6g}, so no kernel is computed; an activation without narrow peaks or hidden kinks would be "
                "accepted"
            )


#: Samples handled at once, so that the work arrays stay in cache.
_CHUNK = 128


def _project(phi: Pointwise, scales: Array, order: int, bias: float, refinement: int) -> tuple[Array, Array]:
    """c_k(tau_i), shape (order + 1, n), and sqrt(E[phi(tau_i xi)^2]), by quadrature at every scale."""
    n = scales.shape[0]
    coefficients = np.empty((order + 1, n))
    norm = np.empty(n)
    for start in range(0, n, _CHUNK):
        stop = min(start + _CHUNK, n)
        part = scales[start:stop]
        # High degrees oscillate like cos(sqrt(k) xi): width-1 panels of 16 nodes hold them up to k = 256.
        xi, weight = gaussian_rule(part, phi.breakpoints, refinement=refinement)
        values = phi.value(part[:, None] * xi) - bias
        if not np.all(np.isfinite(values)):
            raise FloatingPointError(
                f"the activation is not finite on the range |x| <= {HALF_WIDTH * part.max():.3g} it is needed on; "
                "smaller sigma_a2, sigma_b2 or tau0 would be accepted"
            )
        peak = np.abs(values).max(axis=1)
        unit = values / np.where(peak > 0, peak, 1.0)[:, None]
        norm[start:stop] = peak * np.sqrt(np.sum(unit**2 * weight, axis=1))
        if xi.shape[0] == 1:
            basis = np.empty((order + 1, xi.shape[1]))
            current, previous = weight[0].copy(), np.zeros_like(weight[0])
            for k in range(order + 1):
                basis[k] = current
                current, previous = _next(xi[0], current, previous, k), current
            coefficients[:, start:stop] = basis @ values.T
        else:
            current, previous = weight * values, np.zeros_like(values)
            for k in range(order + 1):
                coefficients[k, start:stop] = np.sum(current, axis=1)
                current, previous = _next(xi, current, previous, k), current
    return coefficients, norm


def reciprocal(values: Array) -> Array:
    """Return 1/values, and 0 for 0, an array of the same shape."""
    return np.asarray(np.where(values > 0, 1 / np.where(values > 0, values, 1.0), 0.0))


def _next(xi: Array, current: Array, previous: Array, k: int) -> Array:
    """One step of the recurrence of the orthonormal Hermite polynomials, from degree k to k + 1."""
    return np.asarray((xi * current - np.sqrt(k) * previous) / np.sqrt(k + 1))


@quiet
def dual_by_series(
    left: Array, right: Array, rho: Array, order: int, used: Sequence[bool], *, slope: bool = True
) -> tuple[Array, Array]:
    """sum_k c_k(tau_i) c_k(tau_j) rho^k up to `order` by Horner's rule, and its derivative by rho.

    Args:
        left: coefficients c_k(tau_i), the degree first; the rest must broadcast with `right` to the shape of rho.
        right: coefficients c_k(tau_j), an array likewise.
        rho: correlations, any shape.
        order: int, highest degree summed.
        used: for every degree whether its coefficients are not all negligible.
        slope: whether the derivative is wanted; the second result is zero otherwise.
    """
    parities = {k % 2 for k in range(2, order + 1) if used[k]}
    if len(parities) == 2:
        return _horner(left, right, rho, range(order, -1, -1), used, slope=slope)
    # Half of the degrees are absent: a polynomial in rho^2, of half the degree, and what is left of degrees 0 and 1.
    odd = parities.pop() if parities else order % 2
    square = rho * rho
    total, rate = _horner(left, right, square, range(order - (order - odd) % 2, odd - 1, -2), used, slope=slope)
    derivative = 2 * rho * rate if slope else rate
    if odd:
        derivative = rho * derivative + total if slope else rate
        total *= rho
        if used[0]:
            total += left[0] * right[0]
    elif order > 0 and used[1]:
        linear = left[1] * right[1]
        total += linear * rho
        if slope:
            derivative += linear
    return total, derivative


def _horner(
    left: Array, right: Array, x: Array, degrees: range, used: Sequence[bool], *, slope: bool
) -> tuple[Array, Array]:
    """The sum of left[k] right[k] x^m over degrees k, m = 0 for the last one, and its derivative by x."""
    total = np.empty(x.shape)
    total[...] = left[degrees[0]] * right[degrees[0]]
    derivative = np.zeros(x.shape)
    term = np.empty(np.broadcast_shapes(left.shape[1:], right.shape[1:]))
    for step, k in enumerate(degrees[1:]):
        if slope:
            if step:
                derivative *= x
            derivative += total
        total *= x
        if used[k]:
            np.multiply(left[k], right[k], out=term)
            total += term
    return total, derivative


@quiet
def resolving_edges(phi: Pointwise, scale: float, *, nodes: int = NODES) -> Array:
    """Where the panels of `gaussian_rule` are to be halved so that they hold phi and its derivative: steep places.

    Args:
        phi: the activation.
        scale: the largest standard deviation that phi is needed for, positive.
        nodes: Gauss-Legendre nodes in a panel.

    Returns:
        (m,) array, ascending, in the argument of phi: ends of panels beyond those that the rule has by itself.
    """
    reach = HALF_WIDTH * scale
    octaves = reach * 2.0 ** -np.arange(8)
    start = np.concatenate([np.linspace(-reach, reach, 2 * HALF_WIDTH + 1), octaves, -octaves, phi.breakpoints])
    edges = np.unique(np.clip(start, -reach, reach))
    x, w = legendre_rule(nodes)
    # Values at the nodes to the last three Legendre coefficients.
    last = np.arange(nodes - 3, nodes)
    project = np.polynomial.legendre.legvander(x, nodes - 1)[:, last] * w[:, None] * (last + 0.5)
    low, high = edges[:-1], edges[1:]
    found = [np.zeros(0)]
    largest = np.zeros(2)
    while low.size and sum(part.size for part in found) < _MOST_PANELS:
        points = (low + high)[:, None] / 2 + (high - low)[:, None] / 2 * x
        values = np.array([phi.value(points), phi.derivative(points)])
        size = np.abs(values).max(axis=2)
        largest = np.maximum(largest, np.where(np.abs(low + high) / 2 < 4 * scale, size, 0).max(axis=1))
        loose = np.abs(values @ project).max(axis=2) > _HELD * np.maximum(size, largest[:, None])
        # A panel of neighbouring numbers cannot be halved.
        open_ = loose.any(axis=0) & (high - low > 1e-13 * np.maximum(np.abs(low), np.abs(high)))
        middle = (low[open_] + high[open_]) / 2
        found.extend([low[open_], middle, high[open_]])
        low, high = np.concatenate([low[open_], middle]), np.concatenate([middle, high[open_]])
    return np.unique(np.concatenate(found))


@dataclass(frozen=True)
class ResolvedActivation:
    """An activation with the ends of panels that hold it among its breakpoints, for integrals in one dimension.

    Attributes:
        value: phi_0, elementwise.
        derivative: of phi_0, elementwise.
        breakpoints: kinks, jumps, and `resolving_edges`.
    """

    value: Callable[[Array], Array]
    derivative: Callable[[Array], Array]
    breakpoints: tuple[float, ...]


def resolved(phi: Pointwise, scale: float) -> ResolvedActivation:
    """Return an activation with panels that hold it at scales up to the given one.

    Args:
        phi: the activation.
        scale: the largest standard deviation that it is needed for, positive.
    """
    points = np.union1d(phi.breakpoints, resolving_edges(phi, scale))
    return ResolvedActivation(phi.value, phi.derivative, tuple(points.tolist()))


@quiet
def dual_by_quadrature(
    phi: Pointwise,
    first: float,
    second: float,
    rho: float,
    *,
    bias: float = 0.0,
    nodes: int = 16,
    refinement: int = 0,
    edges: Array | None = None,
) -> tuple[float, float]:
    """E[phi(u) phi(v)] and E[phi'(u) phi'(v)] for scales `first`, `second` and any correlation in [-1, 1].

    The inner integral, over v given u, is split at the breakpoints of phi; the outer one at those in u and,
    graded, at those in v, round which the inner integral changes on the scale sqrt(1 - rho^2).  The second
    value takes phi' almost everywhere, so it lacks what a jump of phi adds.

    Args:
        phi: the activation, uncentred.
        first: standard deviation of u.
        second: standard deviation of v.
        rho: correlation of u and v.
        bias: subtracted from phi.
        nodes: Gauss-Legendre nodes in a panel.
        refinement: how often the panels are halved.
        edges: (m,) array, optional, more ends of panels in the argument of phi, see `resolving_edges`.
    """
    spread = float(np.sqrt(max((1 - rho) * (1 + rho), 0.0)))
    breaks = np.asarray(phi.breakpoints, dtype=np.float64)
    ends = breaks if edges is None else np.union1d(edges, breaks)
    extra = np.zeros(0)
    if rho != 0 and second > 0 and breaks.size:
        centres = breaks / (second * rho)
        reach = max(spread / abs(rho), 1e-8)
        octaves = reach * 2.0 ** np.arange(-1, max(1, int(np.ceil(np.log2(4 / reach)))))
        offsets = np.concatenate([-octaves, [0.0], octaves])
        extra = (centres[:, None] + offsets).ravel()
    if rho != 0 and second > 0:
        # The inner integral is phi smoothed: where phi is steep it may be.
        extra = np.concatenate([extra, np.setdiff1d(ends, breaks) / (second * rho)])
    u, weight = _panels(first, ends, 0.0, extra, refinement, nodes)
    left = np.array([phi.value(first * u) - bias, phi.derivative(first * u)])
    size = weight * np.maximum(left**2, 1.0)
    kept = np.any(size > _NEGLIGIBLE * size.max(axis=1, keepdims=True), axis=0)
    u, weight, left = u[kept], weight[kept], left[:, kept]
    if spread * second <= 1e-12:
        right = np.array([phi.value(second * rho * u) - bias, phi.derivative(second * rho * u)])
    else:
        right = np.empty((2, u.size))
        for begin in range(0, u.size, nodes):
            shifts = second * rho * u[begin : begin + nodes]
            inside = _within(ends, shifts, second * spread)
            inner, inner_weight = gaussian_rule(
                np.full(shifts.size, second * spread),
                tuple(inside),
                shifts=shifts,
                refinement=refinement,
                nodes=nodes,
            )
            argument = shifts[:, None] + second * spread * inner
            right[0, begin : begin + nodes] = np.sum((phi.value(argument) - bias) * inner_weight, axis=1)
            right[1, begin : begin + nodes] = np.sum(phi.derivative(argument) * inner_weight, axis=1)
    totals = np.sum(weight * left * right, axis=1)
    return float(totals[0]), float(totals[1])


def _panels(scale: float, ends: Array, shift: float, extra: Array, refinement: int, nodes: int) -> tuple[Array, Array]:
    """Nodes and weights of one `gaussian_rule`, those of empty panels left out."""
    xi, weight = gaussian_rule(
        np.array([scale]),
        tuple(_within(ends, np.array([shift]), scale)),
        shifts=np.array([shift]),
        extra_edges=extra[None, np.abs(extra) < HALF_WIDTH],
        refinement=refinement,
        nodes=nodes,
    )
    kept = weight[0] > 0
    return xi[0][kept], weight[0][kept]


def _within(ends: Array, shifts: Array, scale: float) -> Array:
    """The ends that the rule reaches from some of the shifts."""
    reach = HALF_WIDTH * scale
    return np.asarray(ends[(ends > shifts.min() - reach) & (ends < shifts.max() + reach)])
