"""Dual activations interpolated between values by polar quadrature, at any correlation and over many scales.

For (u, v) ~ N(0, [[a^2, rho a b], [rho a b, b^2]]) the functions are E[phi(u) phi(v)] and its derivative by rho, which
is a b E[phi'(u) phi'(v)] (Price's theorem).  Where phi is smooth, or kinked at 0 only, both are smooth in the angle
arccos(rho) up to its ends, and in the logarithms of a and b.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import threadpoolctl

from numerics.arithmetic import Pointwise
from numerics.arrays import Array, Index
from numerics.moments import legendre_rule, slope_energies

__all__ = [
    "BLUR",
    "InterpolatedDual",
    "PairDual",
    "PairFunction",
    "UnresolvedDualError",
    "blurred",
]

#: Correlations are as uncertain as this: it is what rounding does to a Gram matrix.
BLUR = 64 * float(np.finfo(np.float64).eps)
#: Angles (in all of [0, pi]) and scales between which to interpolate, tried upwards.
_ANGLES = (24, 32, 48, 64, 96, 128)
_SCALES = (2, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96)
#: The polar rule's angles in a sector, and how often its radial panels are halved, both raised as needed.
_SECTOR = (24, 36, 54, 80, 120, 180)
_HALVINGS = (0, 1, 2, 3)
#: So few different scales are interpolated between as they are.
_FEW = 16


class UnresolvedDualError(ArithmeticError):
    """A scheme that does not reach the accuracy asked for."""


@dataclass(frozen=True)
class PairFunction:
    """The dual activation of some pairs as a function of their correlations, elementwise.

    Attributes:
        evaluate: from rho, an array of any shape, to E[phi(u) phi(v)] and its derivative by rho (arrays of that shape).
        own_errors: from rho to estimates of the absolute errors of both (arrays of that shape), rho taken as exact.
    """

    evaluate: Callable[[Array], tuple[Array, Array]]
    own_errors: Callable[[Array], tuple[Array, Array]]

    def errors(self, rho: Array) -> tuple[Array, Array]:
        """Return the errors of both where rho is rounded, arrays of the shape of rho."""
        own, blur = self.own_errors(rho), blurred(self.evaluate, rho, np.full(rho.shape, BLUR))
        return own[0] + blur[0], own[1] + blur[1]


class PairDual(Protocol):
    """A dual activation over the scales of n samples."""

    def at(self, i: Index, j: Index) -> PairFunction:
        """Return the dual activation of the pairs (i, j), flat arrays."""
        ...


def blurred(evaluate: Callable[[Array], tuple[Array, Array]], rho: Array, doubt: Array) -> tuple[Array, Array]:
    """What an error of rho does to a dual: near |rho| = 1 the slope of a kinked phi changes like sqrt(1 - |rho|).

    Args:
        evaluate: the dual and its derivative, elementwise.
        rho: correlations, an array of any shape.
        doubt: how far they may be off, an array of that shape.

    Returns:
        What that may change in both, arrays of that shape.
    """
    # Within BLUR of the end a dual is what it is at the end: the doubt reaches to where it is not.
    inwards = doubt + np.where(1 - np.abs(rho) <= 2 * BLUR, 2 * BLUR, 0.0)
    here = evaluate(rho)
    changes = []
    with np.errstate(invalid="ignore"):
        for other in (rho - np.copysign(inwards, rho), rho + np.copysign(doubt, rho)):
            there = evaluate(np.clip(other, -1, 1))
            changes.append([np.abs(x - y) for x, y in zip(here, there, strict=True)])
    value, slope = (np.maximum(x, y) for x, y in zip(*changes, strict=True))
    # Two infinities: the slope of a jump at |rho| = 1.
    return np.asarray(value), np.asarray(np.where(np.isnan(slope), np.inf, slope))


def _polar_rule(angle: float, largest: float, rule: tuple[int, int]) -> list[tuple[Array, Array, int]]:
    """Nodes and weights for E[f(u) g(v)], u and v standard normal with rho = cos(angle).

    In polar coordinates, u = r cos(psi - angle/2) and v = r cos(psi + angle/2), kinks of f and g at 0 lie on rays.
    Between them are a sector where u and v have one sign, mirrored by psi -> -psi, which exchanges u and v; a sector
    where they have opposite signs, mirrored by psi -> pi - psi, which exchanges u and -v; and the opposite sectors,
    where (u, v) is replaced by (-u, -v).

    Args:
        angle: float, in [0, pi].
        largest: float, the largest scale by which f and g stretch their argument.
        rule: (angles in a sector, halvings of the radial panels); the Gaussian weight is cut at a radius of 9 and more.

    Returns:
        For each of the first two sectors: u at the nodes, the weights (for half of the plane: the opposite sector has
        the same), both of shape (angles, radii), and the sign with which v at a node is u at the mirrored one, the
        one with the angles in reverse order.
    """
    count, halvings = rule
    coarse = np.linspace(0.0, 9.0 + 1.5 * halvings, 5 * 2**halvings + 1)
    octaves = 2.0 ** np.arange(0, -np.ceil(np.log2(max(largest, 1.0))) - 1, -1)
    edges = np.unique(np.concatenate([coarse, octaves]))
    x, w = legendre_rule(16)
    half = np.diff(edges)[:, None] / 2
    radius = ((edges[1:] + edges[:-1])[:, None] / 2 + half * x).ravel()
    radial = (half * w).ravel() * radius * np.exp(-(radius**2) / 2) / (2 * np.pi)
    y, wy = legendre_rule(count)
    sectors = []
    for centre, width, sign in ((0.0, (np.pi - angle) / 2, 1), (np.pi / 2, angle / 2, -1)):
        u = np.multiply.outer(np.cos(centre + width * y - angle / 2), radius)
        sectors.append((u, np.multiply.outer(width * wy, radial), sign))
    return sectors


def _table(function: Callable[[Array], Array], scales: Array, angle: float, rule: tuple[int, int]) -> Array:
    """E[f(a u) f(b v)] for all scales a and b, shape (m, m)."""
    m = scales.size
    total = np.zeros((m, m))
    for u, weight, sign in _polar_rule(angle, float(scales.max()), rule):
        here = function(np.multiply.outer(scales, u))
        there = function(-np.multiply.outer(scales, u))
        for left, right in ((here, here if sign > 0 else there), (there, there if sign > 0 else here)):
            total += (left * weight).reshape(m, -1) @ right[:, ::-1].reshape(m, -1).T
    return (total + total.T) / 2


class InterpolatedDual:
    """A dual activation interpolated in the angle arccos(rho) (Chebyshev) and in the logarithms of the scales.

    It is smooth in both as long as phi has kinks at 0 only.

    Args:
        phi: the activation, uncentred.
        scales: (n,) array, tau_i; those that are 0 are left out.
        bias: float, subtracted from phi_0.
        tolerance: largest error, relative to sqrt(E[phi(u)^2] E[phi(v)^2]), and likewise for the slope.

    Attributes:
        error: the error estimated, on that scale: the largest of those of quadrature and interpolation.

    Raises:
        UnresolvedDualError: a kink elsewhere or a jump, or the tolerance is not reached.
    """

    def __init__(self, phi: Pointwise, scales: Array, bias: float, tolerance: float) -> None:
        if any(point != 0 for point in phi.breakpoints):
            raise UnresolvedDualError("phi is not smooth elsewhere than at 0")
        self._phi, self._bias, self._scales = phi, bias, scales
        positive = np.unique(scales[scales > 0])
        if positive.size == 0 or not np.all(np.isfinite(slope_energies(phi, positive[[0, -1]], 3))):
            raise UnresolvedDualError("there is no scale to interpolate at, or phi jumps")
        # The matrices are thin: more threads would only wait for one another.
        with threadpoolctl.threadpool_limits(limits=1, user_api="blas"):
            self._rule, rule_error = self._choose_rule(positive[[0, -1]], tolerance)
            self._nodes, self._basis, scale_error = self._choose_nodes(positive, tolerance)
            self._series, angle_error = self._choose_angles(tolerance)
        self.error = max(rule_error, scale_error, angle_error)
        whole = self._series.sum(axis=-1)
        self._sizes = np.sqrt(np.abs(np.einsum("nm,mlf,nl->fn", self._basis, whole, self._basis, optimize=True)))

    @cached_property
    def _functions(self) -> tuple[Callable[[Array], Array], ...]:
        def value(x: Array) -> Array:
            return np.asarray(self._phi.value(x) - self._bias)

        return value, self._phi.derivative

    def _choose_rule(self, extremes: Array, tolerance: float) -> tuple[tuple[int, int], float]:
        """The polar rule that refining changes no more, at the extreme scales, and by how much it still does."""

        def change(rule: tuple[int, int], finer: tuple[int, int]) -> float:
            largest = 0.0
            for function in self._functions:
                size = np.sqrt(np.diag(_table(function, extremes, 0.0, finer)))
                unit = np.multiply.outer(size, size)
                for angle in (0.0, 0.03, 0.7, np.pi - 0.3):
                    difference = np.abs(
                        _table(function, extremes, angle, rule) - _table(function, extremes, angle, finer)
                    )
                    largest = max(largest, float(np.max(difference / np.where(unit > 0, unit, 1.0))))
            return largest

        sector = halving = 0
        while sector + 1 < len(_SECTOR) and halving + 1 < len(_HALVINGS):
            rule = _SECTOR[sector], _HALVINGS[halving]
            of_angles = change(rule, (_SECTOR[sector + 1], rule[1]))
            of_radii = change(rule, (rule[0], _HALVINGS[halving + 1]))
            if max(of_angles, of_radii) <= tolerance:
                return rule, max(of_angles, of_radii)
            sector += of_angles > tolerance
            halving += of_radii > tolerance
        raise UnresolvedDualError(f"polar quadrature leaves an error of {max(of_angles, of_radii):.2g}")

    def _choose_nodes(self, positive: Array, tolerance: float) -> tuple[Array, Array, float]:
        """Scales to interpolate between, (m,), and what each counts for the samples, (n, m)."""
        logs = np.log(np.where(self._scales > 0, self._scales, positive[0]))
        if positive.size <= _FEW:
            return positive, np.asarray(self._scales[:, None] == positive, dtype=np.float64), 0.0
        low, high = float(np.log(positive[0])), float(np.log(positive[-1]))
        # At the angle 0 there is one sector and its opposite.
        u, weight, _ = _polar_rule(0.0, float(positive[-1]), self._rule)[0]
        x, weight = np.concatenate([u.ravel(), -u.ravel()]), np.concatenate([weight.ravel(), weight.ravel()])
        error = np.inf
        for count in _SCALES:
            nodes = (low + high) / 2 + (high - low) / 2 * np.cos(np.pi * (np.arange(count) + 0.5) / count)
            # By Cauchy-Schwarz the error in a dual is at most that of phi(tau x) in mean square, whatever rho is.
            probes = np.linspace(low, high, 2 * count + 1)
            basis, stretched = _lagrange(nodes, probes), np.multiply.outer(np.exp(nodes), x)
            error = 0.0
            for degree, function in enumerate(self._functions):
                exact = function(np.multiply.outer(np.exp(probes), x)) * np.exp(degree * probes)[:, None]
                guess = basis @ (function(stretched) * np.exp(degree * nodes)[:, None])
                size = exact**2 @ weight
                off = (guess - exact) ** 2 @ weight
                error = max(error, 2 * float(np.sqrt(np.max(off / np.where(size > 0, size, 1.0)))))
            if error <= tolerance:
                return np.exp(nodes), _lagrange(nodes, logs), error
        raise UnresolvedDualError(f"{_SCALES[-1]} scales leave an error of {error:.2g}")

    def _choose_angles(self, tolerance: float) -> tuple[Array, float]:
        """Chebyshev coefficients over [0, pi] of the dual and its derivative by rho, shape (m, m, 2, angles)."""
        error = np.inf
        for count in _ANGLES:
            # Two scales tell at little cost whether these angles can be enough.
            _, error = self._chebyshev(self._nodes[[0, -1]], count)
            if error <= tolerance:
                series, error = self._chebyshev(self._nodes, count)
                if error <= tolerance:
                    return series, error
        raise UnresolvedDualError(f"{_ANGLES[-1]} angles leave an error of {error:.2g}")

    def _chebyshev(self, nodes: Array, count: int) -> tuple[Array, float]:
        """The coefficients of `_choose_angles` from that many angles, and how small the last ones are."""
        # x_k = cos((k + 1/2) pi/count) and theta = (1 - x) pi/2.
        place = np.pi * (np.arange(count) + 0.5) / count
        angles = (1 - np.cos(place)) * np.pi / 2
        values = np.array(
            [[_table(function, nodes, float(angle), self._rule) for angle in angles] for function in self._functions]
        )
        values[1] *= np.multiply.outer(nodes, nodes)
        transform = 2 / count * np.cos(np.outer(np.arange(count), place))
        transform[0] /= 2
        series = np.einsum("kc,fcij->ijfk", transform, values)
        # At rho = 1 all terms add up: the energies.
        size = np.sqrt(np.abs(np.einsum("iifk->if", series)))
        unit = size[:, None, :] * size[None, :, :]
        last = np.abs(series[..., -max(4, count // 6) :]).sum(axis=-1)
        return series, float(np.max(last / np.where(unit > 0, unit, 1.0)))

    def at(self, i: Index, j: Index) -> PairFunction:
        """Return the dual activation of the pairs (i, j)."""
        count = self._series.shape[-1]
        coefficients = np.empty((2, count, i.size))
        for row in np.unique(i):
            of_row = np.nonzero(i == row)[0]
            mixed = np.einsum("m,mlfk->fkl", self._basis[row], self._series)
            coefficients[:, :, of_row] = mixed @ self._basis[j[of_row]].T
        sizes = self._sizes[:, i] * self._sizes[:, j]

        def evaluate(rho: Array) -> tuple[Array, Array]:
            x = 1 - 2 / np.pi * np.arccos(np.where(1 - np.abs(rho) <= BLUR, np.sign(rho), rho))
            return _clenshaw(coefficients[0], x), _clenshaw(coefficients[1], x)

        def own_errors(rho: Array) -> tuple[Array, Array]:
            return self.error * sizes[0] + 0 * rho, self.error * sizes[1] + 0 * rho

        return PairFunction(evaluate, own_errors)


def _lagrange(nodes: Array, points: Array) -> Array:
    """Values of the Lagrange polynomials of Chebyshev nodes at some points, shape (points, nodes), barycentric."""
    count = nodes.size
    weights = (-1.0) ** np.arange(count) * np.sin(np.pi * (np.arange(count) + 0.5) / count)
    difference = np.subtract.outer(points, nodes)
    hit = difference == 0
    ratio = weights / np.where(hit, 1.0, difference)
    basis = ratio / ratio.sum(axis=1, keepdims=True)
    basis[hit.any(axis=1)] = hit[hit.any(axis=1)]
    return np.asarray(basis)


def _clenshaw(coefficients: Array, x: Array) -> Array:
    """Chebyshev sums, coefficients of shape (degrees, pairs) at x of shape (pairs,)."""
    double = 2 * x
    ahead, further = np.zeros_like(x), np.zeros_like(x)
    for row in coefficients[:0:-1]:
        further *= -1
        further += row
        further += double * ahead
        ahead, further = further, ahead
    return np.asarray(coefficients[0] + x * ahead - further)
