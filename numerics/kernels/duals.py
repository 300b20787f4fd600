"""Dual activations at any correlation, for the pairs of samples whose Hermite series is too slow.

The functions are E[phi(u) phi(v)] and its derivative by rho, for (u, v) ~ N(0, [[a^2, rho a b], [rho a b, b^2]]) with
a and b the scales of two samples.  There are several ways to them, tried in this order by `slow_dual`:

- the closed form that `theory.moments` derives, brought along by an activation made by `with_dual` or derived when it
  is needed;
- a series of order 256 as far as it reaches, and beyond
- for phi smooth or kinked at 0 only, interpolation in the angle arccos(rho) and in the scales;
- for any phi, two-dimensional quadrature pair by pair, which is slow.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property, lru_cache

import numpy as np
import sympy as sp
from numpy.typing import NDArray
from scipy.special import ndtr, owens_t

from numerics.arithmetic import (
    FloatArithmetic,
    Pointwise,
    PointwiseActivation,
    Program,
    UnsupportedExpressionError,
    compile_program,
    pointwise,
)
from numerics.arrays import EPS, Array, Index
from numerics.kernels.hermite import dual_by_quadrature, dual_by_series, hermite_coefficients, resolving_edges
from numerics.kernels.interpolated_duals import BLUR, InterpolatedDual, PairDual, PairFunction, UnresolvedDualError
from numerics.moments import gaussian_moment, legendre_rule, quiet
from theory.activations import Activation
from theory.moments import DualForm, bivariate_normal, correlation, dual_form, left_scale, right_scale, sine

__all__ = [
    "ClosedDual",
    "ClosedForm",
    "DualActivation",
    "LongSeriesDual",
    "QuadratureDual",
    "bivariate_normal_cdf",
    "slow_dual",
    "with_dual",
]

#: Stands for sqrt(1 - rho^2) = 0, where the formulas divide by it; its square is still a number.
_TINY = 1e-100
#: Rounding errors of a closed form that are worth its speed, relative to E[phi(u)^2].
_CANCELLED = 1e-12
#: So near to 1 the dual is integrated from the end, with so many nodes; their error is the difference to fewer.
_NEAR = 2e-6
_NEAR_NODES, _FEWER_NODES = 12, 8


# --- closed forms ---------------------------------------------------------------------------------


class ClosedForm:
    """A closed form of theory in float64.

    Args:
        form: the closed form, its parameters all given values.
        jumps: whether phi jumps.

    Attributes:
        tilted: whether terms much larger than their sum may cancel.

    Raises:
        UnsupportedExpressionError: a function that float64 evaluation does not have.
    """

    def __init__(self, form: DualForm, *, jumps: bool) -> None:
        parts = [sp.Add.make_args(expression) for expression in (form.value, form.slope)]
        nodes = sorted(form.value.atoms(bivariate_normal) | form.slope.atoms(bivariate_normal), key=str)
        names = {node: sp.Dummy() for node in nodes}
        inputs = [left_scale, right_scale, correlation, sine]
        arithmetic = FloatArithmetic()
        self.tilted = form.tilted
        self._count = len(parts[0])
        # Where the slope is finite, it leads from the end of the correlations to near it.
        self._bivariate = bool(nodes)
        self._from_end = bool(nodes) and not jumps
        self._arguments: Program = compile_program([a for node in nodes for a in node.args], inputs, arithmetic)
        self._parts: Program = compile_program(
            [part.xreplace(names) for terms in parts for part in terms], [*inputs, *names.values()], arithmetic
        )

    @quiet
    def parts(self, a: Array, b: Array, rho: Array, sin: Array | None = None) -> tuple[list[Array], list[Array]]:
        """Return the terms of E[phi_0(u) phi_0(v)] and those of E[phi_0'(u) phi_0'(v)].

        Args:
            a: scale of u, positive: an array of any shape that broadcasts with the others.
            b: scale of v, positive: an array likewise.
            rho: correlation: an array likewise.
            sin: sqrt(1 - rho^2) where it is known better than from rho: an array likewise.
        """
        if sin is None:
            edge = 1 - np.abs(rho) <= BLUR
            rho = np.where(edge, np.sign(rho), rho)
            sin = np.where(edge, _TINY, np.sqrt((1 - rho) * (1 + rho)))
        levels = self._arguments(a, b, rho, sin)
        chances = [bivariate_normal_cdf(*levels[k : k + 4]) for k in range(0, len(levels), 4)]
        found = [np.broadcast_to(part, rho.shape) for part in self._parts(a, b, rho, sin, *chances)]
        return found[: self._count], found[self._count :]

    def values(self, a: Array, b: Array, rho: Array) -> tuple[Array, Array]:
        """Return E[phi_0(u) phi_0(v)] and E[phi_0'(u) phi_0'(v)].

        Args:
            a: scale of u, positive: an array of any shape that broadcasts with the others.
            b: scale of v, positive: an array likewise.
            rho: correlation: an array likewise.
        """
        value, slope = (_sum(parts) for parts in self.parts(a, b, rho))
        near = 1 - np.abs(rho) <= _NEAR
        if self._from_end and np.any(near):
            value[near] = self._near_end(a[near], b[near], rho[near], _NEAR_NODES)
        return value, slope

    def errors(self, a: Array, b: Array, rho: Array) -> tuple[Array, Array]:
        """Return bounds on the rounding errors of `values`, from the sizes of the terms that are added.

        Args:
            a: scale of u, positive: an array of any shape that broadcasts with the others.
            b: scale of v, positive: an array likewise.
            rho: correlation: an array likewise.
        """
        value, slope = (16 * EPS * _sum([np.abs(part) for part in parts]) for parts in self.parts(a, b, rho))
        if self._bivariate:
            near = 1 - np.abs(rho) <= _NEAR
            # An argument of the distribution function is a difference divided by sqrt(1 - rho^2).
            far = ~near if self._from_end else 1 - np.abs(rho) > BLUR
            value[far] += value[far] / (16 * np.sqrt((1 - rho[far]) * (1 + rho[far])))
            if self._from_end and np.any(near):
                ends = a[near], b[near], rho[near]
                value[near] += np.abs(self._near_end(*ends, _NEAR_NODES) - self._near_end(*ends, _FEWER_NODES))
        return value, slope

    def _near_end(self, a: Array, b: Array, rho: Array, count: int) -> Array:
        """E[phi_0(u) phi_0(v)] from its value at rho = +-1 and the integral of its slope (Price's theorem).

        With kinks off 0, terms of the closed form cancel to eps/sqrt(1 - rho^2) only; the slope does not, and is
        needed to a few digits here.
        """
        end = np.sign(rho)
        angle = np.arcsin(np.sqrt((1 - rho) * (1 + rho)))
        value = _sum(self.parts(a, b, end)[0])
        nodes, weights = legendre_rule(count)
        for node, weight in zip((nodes + 1) / 2, weights / 2, strict=True):
            sin = np.maximum(np.sin(node * angle), _TINY)
            slope = _sum(self.parts(a, b, end * np.cos(node * angle), sin)[1])
            value -= end * a * b * weight * angle * sin * slope
        return value


@dataclass(frozen=True)
class DualActivation(PointwiseActivation):
    """An activation in float64 that brings the closed form of its dual along.

    Attributes:
        dual: the closed form.
    """

    dual: ClosedForm = field(kw_only=True)


def with_dual(activation: Activation) -> PointwiseActivation:
    """Compile an activation, with its dual where theory has a closed form.

    Raises:
        ValueError: the activation has free parameters.
        UnsupportedExpressionError: a function that float64 evaluation does not have.
    """
    plain = pointwise(activation)
    closed = _closed_form(activation)
    if closed is None:
        return plain
    return DualActivation(plain.name, plain.value, plain.derivative, plain.breakpoints, dual=closed, source=activation)


@lru_cache(maxsize=256)
def _closed_form(activation: Activation) -> ClosedForm | None:
    """The closed form of an activation's dual in float64, or None."""
    form = dual_form(activation)
    try:
        return None if form is None else ClosedForm(form, jumps=bool(activation.jumps))
    except UnsupportedExpressionError:
        return None


@quiet
def bivariate_normal_cdf(h: Array, k: Array, r: Array, c: Array) -> Array:
    """P(Y_1 < h, Y_2 < k) for standard normal variables of correlation r, by Owen's T function (Owen 1956).

    Args:
        h: first level, finite: an array of any shape.
        k: second level, finite: an array of that shape.
        r: correlation, in [-1, 1]: an array of that shape.
        c: sqrt(1 - r^2), positive: an array of that shape, given because it cannot be had from r near |r| = 1.
    """
    h, k, r, c = np.broadcast_arrays(*(np.asarray(value, dtype=np.float64) for value in (h, k, r, c)))

    def slope(first: Array, second: Array) -> Array:
        # (second - r first)/(first c), with 1 - |r| = c^2/(1 + |r|) so that near levels do not cancel.
        sign = np.where(r < 0, -1.0, 1.0)
        rise = (second - sign * first) + sign * first * (c**2 / (1 + np.abs(r)))
        ratio = rise / c / first
        return np.asarray(np.where(first == 0, np.copysign(np.inf, rise), ratio))

    opposed = (h * k < 0) | ((h * k == 0) & (h + k < 0))
    found = (ndtr(h) + ndtr(k)) / 2 - owens_t(h, slope(h, k)) - owens_t(k, slope(k, h)) - np.where(opposed, 0.5, 0.0)
    return np.asarray(np.where((h == 0) & (k == 0), 0.25 + np.arcsin(r) / (2 * np.pi), found))


class ClosedDual:
    """The closed form over the scales of n samples, for phi_0 - bias.

    Args:
        phi: the activation with its closed form.
        scales: (n,) array, tau_i.
        bias: float, subtracted from phi_0.
        refinement: int, of the panels that E[phi_0(tau_i xi)] is integrated on.

    Attributes:
        tilted: as for `ClosedForm`.
    """

    def __init__(self, phi: DualActivation, scales: Array, bias: float, refinement: int) -> None:
        # A scale of 0 has a correlation with nothing: any other stands in.
        self._form, self._scales, self._bias = phi.dual, np.where(scales > 0, scales, 1.0), bias
        self._means = gaussian_moment(phi.value, self._scales, phi.breakpoints, refinement=refinement)
        self.tilted = phi.dual.tilted

    def rounding(self) -> float:
        """Return the largest rounding error in the value at the extreme scales, relative to E[phi(u)^2]."""
        sample = np.array([np.argmin(self._scales), np.argmax(self._scales)])
        rho = np.ones(2)
        # Away from the end, where there would be the doubt about rho as well.
        error, _ = self.at(sample, sample).own_errors(0.9 * rho)
        energy, _ = self.at(sample, sample).evaluate(rho)
        if not np.all(energy > 0):
            return np.inf
        ratio = float(np.max(error / energy))
        return ratio if np.isfinite(ratio) else np.inf

    def at(self, i: Index, j: Index) -> PairFunction:
        """Return the dual activation of the pairs (i, j)."""
        a, b = self._scales[i], self._scales[j]
        shift = self._bias**2 - self._bias * (self._means[i] + self._means[j])

        def evaluate(rho: Array) -> tuple[Array, Array]:
            value, slope = self._form.values(a, b, rho)
            return value + shift, slope * (a * b)

        def own_errors(rho: Array) -> tuple[Array, Array]:
            value, slope = self._form.errors(a, b, rho)
            return value + 16 * EPS * np.abs(shift), slope * (a * b)

        return PairFunction(evaluate, own_errors)


def _sum(parts: list[Array]) -> Array:
    total = parts[0].copy()
    for part in parts[1:]:
        total = total + part
    return total


# --- any activation -------------------------------------------------------------------------------

#: Order of the long series.
_LONG = 256


class QuadratureDual:
    """Two-dimensional quadrature, one pair at a time.

    Args:
        phi: the activation, uncentred.
        scales: (n,) array, tau_i.
        bias: float, subtracted from phi_0.
        refinement: int, panel refinement of the quadrature.
    """

    def __init__(self, phi: Pointwise, scales: Array, bias: float, refinement: int) -> None:
        self._phi, self._scales, self._bias, self._refinement = phi, scales, bias, refinement
        self._edges = resolving_edges(phi, float(scales.max(initial=1.0)))

    def at(self, i: Index, j: Index) -> PairFunction:
        """Return the dual activation of the pairs (i, j)."""
        first, second = self._scales[i], self._scales[j]

        def by_rule(rho: Array, nodes: int) -> tuple[Array, Array]:
            value, slope = np.empty_like(rho), np.empty_like(rho)
            for pair, (a, b, r) in enumerate(zip(first.tolist(), second.tolist(), rho.tolist(), strict=True)):
                value[pair], slope[pair] = dual_by_quadrature(
                    self._phi, a, b, r, bias=self._bias, nodes=nodes, edges=self._edges
                )
            return value, slope * first * second

        def evaluate(rho: Array) -> tuple[Array, Array]:
            return by_rule(rho, 16)

        def own_errors(rho: Array) -> tuple[Array, Array]:
            coarse, fine = by_rule(rho, 16), by_rule(rho, 24)
            # The rule's own rounding: sums of thousands of terms.
            value, slope = (np.abs(x - y) + 16 * EPS * np.abs(y) for x, y in zip(coarse, fine, strict=True))
            return value, slope

        return PairFunction(evaluate, own_errors)


class LongSeriesDual:
    """A series of order 256 as far as its bound allows, and another dual beyond.

    Args:
        phi: the activation, uncentred.
        scales: (n,) array, tau_i.
        bias: float, subtracted from phi_0.
        refinement: int, panel refinement of the quadrature.
        tolerance: of the series, relative to sqrt(E[phi(u)^2] E[phi(v)^2]).
        beyond: makes the other dual, when it is first needed.
    """

    def __init__(
        self,
        phi: Pointwise,
        scales: Array,
        bias: float,
        refinement: int,
        tolerance: float,
        beyond: Callable[[], PairDual],
    ) -> None:
        self._series = hermite_coefficients(phi, scales, _LONG, bias=bias, refinement=refinement)
        self._tail, self._size = np.sqrt(self._series.tail(_LONG)), np.sqrt(self._series.energy)
        self._tolerance, self._make_beyond = tolerance, beyond

    @cached_property
    def beyond(self) -> PairDual:
        """The dual for the correlations that the series does not reach."""
        return self._make_beyond()

    def at(self, i: Index, j: Index) -> PairFunction:
        """Return the dual activation of the pairs (i, j)."""
        left, right = self._series.coefficients[:, i], self._series.coefficients[:, j]
        size, remainder = self._size[i] * self._size[j], self._tail[i] * self._tail[j]
        used = [True] * (_LONG + 1)

        def cut(rho: Array) -> tuple[Array, NDArray[np.bool_]]:
            # The remainder of the slope has factors k > 256, unless it is rounding.
            bound = np.abs(rho) ** _LONG * remainder
            return bound, _LONG * bound > self._tolerance / 2 * size

        def evaluate(rho: Array) -> tuple[Array, Array]:
            value, slope = dual_by_series(left, right, rho, _LONG, used)
            _, far = cut(rho)
            if np.any(far):
                value[far], slope[far] = self.beyond.at(i[far], j[far]).evaluate(rho[far])
            return value, slope

        def own_errors(rho: Array) -> tuple[Array, Array]:
            bound, far = cut(rho)
            error, slope_error = bound.copy(), _LONG * bound
            if np.any(far):
                error[far], slope_error[far] = self.beyond.at(i[far], j[far]).own_errors(rho[far])
            return error, slope_error

        return PairFunction(evaluate, own_errors)


def slow_dual(
    phi: Pointwise,
    scales: Array,
    bias: float,
    refinement: int,
    tolerance: float,
    *,
    panels: Pointwise | None = None,
) -> PairDual:
    """Return the fastest way to the dual of phi_0 - bias that reaches the tolerance at the given scales.

    Args:
        phi: the activation, uncentred; the closed form of one made by ``numerics.arithmetic.pointwise`` is derived
            here, where it is needed.
        scales: (n,) array of standard deviations.
        bias: subtracted from phi.
        refinement: of the panels of Gauss-Legendre nodes, see ``numerics.moments.select_refinement``.
        tolerance: of the dual, relative.
        panels: the activation with all ends of panels that integrals in one dimension need, itself by default.
    """
    if isinstance(phi, PointwiseActivation) and not isinstance(phi, DualActivation) and phi.source is not None:
        phi = with_dual(phi.source)
    closed = ClosedDual(phi, scales, bias, refinement) if isinstance(phi, DualActivation) else None
    # At large scales terms of any closed form may cancel.
    exact = closed is not None and closed.rounding() <= max(tolerance, _CANCELLED)
    if closed is not None and exact and not closed.tilted:
        return closed

    def beyond() -> PairDual:
        try:
            return InterpolatedDual(phi, scales, bias, max(tolerance, 1e-13))
        except UnresolvedDualError:
            if closed is not None and exact:
                return closed
            return QuadratureDual(phi, scales, bias, refinement)

    return LongSeriesDual(panels or phi, scales, bias, refinement, tolerance, beyond)
