"""Gauss-Legendre panels for Gaussian moments in float64, split where an activation has kinks."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np

from numerics.arithmetic import Pointwise
from numerics.arrays import EPS, Array
from numerics.moments.reference import reference_energy
from numerics.moments.values import MomentAccuracyError

__all__ = [
    "HALF_WIDTH",
    "NODES",
    "gaussian_moment",
    "gaussian_rule",
    "legendre_rule",
    "quiet",
    "select_refinement",
    "slope_energies",
]

#: The Gaussian weight is cut at |xi| = 14, where exp(-xi^2/2) < 3e-43: safe for products with he_k and with
#: activations that grow up to exponentially.
HALF_WIDTH = 14
#: Nodes in each Gauss-Legendre panel.
NODES = 16
#: Samples handled at once, so that the work arrays stay in cache.
_CHUNK = 128
#: Decorates what must not depend on the caller's error settings, under which NumPy may warn or raise: underflow is
#: harmless in kernels, and what overflows is found by looking whether the result is finite.
quiet = np.errstate(all="ignore")
#: How far, relatively, E[phi^2] and E[phi'^2] by quadrature may be from what is proved of them.
_ENERGY = 1e-6
#: Levels beyond the finest usual one that are tried where the energy is not right yet.
_MORE_LEVELS = 3
#: Below this an energy has lost digits to underflow, and is not compared.
_LEAST_ENERGY = float(np.finfo(np.float64).tiny) / EPS
#: Two neighbouring numbers at which phi differs by more than this, relative to phi or 1, are the sides of a jump: a
#: square root's singularity makes 1e-8 of it.
_JUMP = 1e-7
#: Relative rounding error of an energy less the squares of its coefficients.
_ROUNDING = 32 * EPS


@lru_cache(maxsize=16)
def legendre_rule(nodes: int) -> tuple[Array, Array]:
    """Nodes and weights of the Gauss-Legendre rule on [-1, 1], both of shape (nodes,); not to be written to."""
    x, w = np.polynomial.legendre.leggauss(nodes)
    return x, w


@quiet
def gaussian_rule(
    scales: Array,
    breakpoints: tuple[float, ...],
    *,
    shifts: Array | None = None,
    extra_edges: Array | None = None,
    refinement: int = 0,
    nodes: int = NODES,
) -> tuple[Array, Array]:
    """Nodes and weights for E[f(shift_i + scale_i xi)], f smooth between breakpoints.

    Args:
        scales: (n,) array, Scales, nonnegative.
        breakpoints: tuple of float, where f has a kink or a jump, in its own argument.
        shifts: (n,) array, optional, shifts of the argument, zero by default.
        extra_edges: (n, m) array, optional, further panel ends, in xi.
        refinement: int, base panels have width 2^-refinement in xi.
        nodes: int, Gauss-Legendre nodes in each panel.

    Returns:
        Nodes in xi and weights that include the normal density: (n, M) arrays, or (1, M) where one
        row serves all scales.
    """
    base = np.linspace(-HALF_WIDTH, HALF_WIDTH, 2 * HALF_WIDTH * 2**refinement + 1)
    n = scales.shape[0]
    shift = np.zeros(n) if shifts is None else shifts
    # Edges in the argument of f: its breakpoints and, where it is stretched, octaves round the origin, since
    # an activation varies on the scale 1 of its argument, which is 1/scale in xi.
    largest = float(scales.max(initial=0.0))
    octaves = 2.0 ** np.arange(0, int(np.ceil(np.log2(largest))) + 1) if largest > 1.5 else np.zeros(0)
    origin = np.zeros(1 if octaves.size else 0)
    targets = np.concatenate([np.asarray(breakpoints, dtype=np.float64), octaves, -octaves, origin])
    pieces = [np.broadcast_to(base, (n, base.size))]
    if targets.size:
        mapped = (targets[None, :] - shift[:, None]) / scales[:, None]
        mapped = np.nan_to_num(mapped, nan=HALF_WIDTH, posinf=HALF_WIDTH, neginf=-HALF_WIDTH)
        pieces.append(mapped)
    if extra_edges is not None:
        pieces.append(extra_edges)
    edges = np.clip(np.concatenate(pieces, axis=1), -HALF_WIDTH, HALF_WIDTH)
    if n > 1 and np.all(edges == edges[:1]):
        edges = edges[:1]
    edges = np.sort(edges, axis=1)
    x, w = legendre_rule(nodes)
    half = np.diff(edges, axis=1)[:, :, None] / 2
    centre = (edges[:, 1:] + edges[:, :-1])[:, :, None] / 2
    rows = edges.shape[0]
    xi = (centre + half * x).reshape(rows, -1)
    weight = (half * w).reshape(rows, -1) * np.exp(-(xi**2) / 2) / np.sqrt(2 * np.pi)
    return xi, weight


@quiet
def gaussian_moment(
    function: Callable[[Array], Array],
    scales: Array,
    breakpoints: tuple[float, ...],
    *,
    degree: int = 0,
    refinement: int = 0,
    nodes: int = NODES,
) -> Array:
    """E[f(scale_i xi) he_degree(xi)] for every scale, shape (n,).

    Args:
        function: f, elementwise.
        scales: (n,) array of standard deviations.
        breakpoints: kinks and jumps of f, ascending.
        degree: of the orthonormal Hermite polynomial.
        refinement: how often the panels are halved.
        nodes: Gauss-Legendre nodes in a panel.
    """
    result = np.empty(scales.shape[0])
    for start in range(0, scales.shape[0], _CHUNK):
        part = scales[start : start + _CHUNK]
        xi, weight = gaussian_rule(part, breakpoints, refinement=refinement, nodes=nodes)
        polynomial = np.ones_like(xi)
        previous = np.zeros_like(xi)
        for k in range(degree):
            polynomial, previous = (xi * polynomial - np.sqrt(k) * previous) / np.sqrt(k + 1), polynomial
        values = function(part[:, None] * xi)
        result[start : start + _CHUNK] = np.sum(values * (weight * polynomial), axis=1)
    return result


@quiet
def select_refinement(
    phi: Pointwise,
    scales: Array,
    bias: float = 0.0,
    *,
    tolerance: float = 1e-13,
    most: int = 5,
    checked: bool = True,
) -> tuple[int, float]:
    """Coarsest panel refinement that integrates phi to `tolerance`, and the error left.

    The error is the larger difference, relative to E[phi^2], between one level and the next in E[phi^2] and in
    the coefficient of degree 8, at the smallest, middle and largest scale.  What is narrower than the nodes are apart
    is seen by no two levels, so that E[phi^2] is also compared with balls of it, where phi knows its formula: the level
    is raised until they agree.

    Args:
        phi: the activation, uncentred.
        scales: (n,) array of standard deviations.
        bias: subtracted from phi.
        tolerance: of the error, relative.
        most: the finest level that is tried.
        checked: whether E[phi^2] is compared with balls.

    Returns:
        The level, and its estimated relative error, which exceeds `tolerance` if no level up to
        `most` met it.

    Raises:
        MomentAccuracyError: at no level the quadrature agrees with what is proved.
    """
    probes = np.unique(np.quantile(scales, [0.0, 0.5, 1.0], method="nearest"))

    def square(x: Array) -> Array:
        return np.asarray((phi.value(x) - bias) ** 2)

    def centred(x: Array) -> Array:
        return np.asarray(phi.value(x) - bias)

    def probe(level: int) -> tuple[Array, Array]:
        energy = gaussian_moment(square, probes, phi.breakpoints, refinement=level)
        high = gaussian_moment(centred, probes, phi.breakpoints, degree=8, refinement=level)
        return energy, high

    def distance(coarse: tuple[Array, Array], fine: tuple[Array, Array]) -> float:
        scale = np.where(fine[0] > 0, fine[0], 1.0)
        return float(np.max([np.abs(coarse[0] - fine[0]) / scale, np.abs(coarse[1] - fine[1]) / np.sqrt(scale)]))

    # Where phi overflows no level is fine enough: its moments are not finite, which the caller sees.
    coarse = probe(0)
    error, chosen = np.inf, most
    for level in range(most):
        fine = probe(level + 1)
        error = distance(coarse, fine)
        if error <= tolerance:
            chosen = level
            break
        coarse = fine
    if not checked:
        return chosen, error
    # Roots have a slow end: a few levels more are tried before the activation is refused.
    for level in range(chosen, most + 1 + _MORE_LEVELS):
        if level > most:
            coarse, fine = fine, probe(level + 1)
            error = distance(coarse, fine)
        gap = _energy_gap(phi, probes, bias, gaussian_moment(square, probes, phi.breakpoints, refinement=level))
        if gap <= _ENERGY and (level <= most or error <= _ENERGY):
            return level, max(error, gap)
    raise MomentAccuracyError(
        f"float64 quadrature does not see all of the activation: E[phi^2] is off by {gap:.1g} of itself on the finest "
        "panels, so no kernel is computed; an activation without narrow peaks or hidden kinks would be accepted"
    )


def _energy_gap(phi: Pointwise, scales: Array, bias: float, energies: Array) -> float:
    """Largest relative distance of E[phi^2] from what is proved of it; 0 where nothing is, or to within rounding."""
    source, largest = getattr(phi, "source", None), 0.0
    for scale, energy in zip(scales.tolist(), energies.tolist(), strict=True):
        right = reference_energy(source, scale, bias) if source is not None and scale > 0 else None
        if right is None or right[1] < _LEAST_ENERGY:
            continue
        if not abs(energy - right[0]) <= _ROUNDING * right[1]:
            gap = abs(energy - right[0]) / right[0] if right[0] > 0 else np.inf
            largest = max(largest, gap if gap == gap else np.inf)
    return largest


@quiet
def slope_energies(phi: Pointwise, scales: Array, refinement: int = 0) -> Array:
    """E[phi'(tau_i xi)^2] at every scale (dd of theory sheet section 3), shape (n,).

    Args:
        phi: the activation.
        scales: (n,) array, tau_i.
        refinement: how often the panels are halved.

    At a scale of zero it is the value that phi' has at 0 (from the right, where there is a kink), squared.  All are
    infinite where phi jumps, and where its slope is so singular that one refinement of the panels more moves
    the integral by over 1e-6.
    """

    def square(x: Array) -> Array:
        return np.asarray(phi.derivative(x) ** 2)

    infinite = np.full(scales.shape[0], np.inf)
    for point in phi.breakpoints:
        sides = phi.value(np.nextafter(point, np.array([-np.inf, np.inf])))
        if abs(sides[1] - sides[0]) > _JUMP * max(1.0, float(np.abs(sides).max())):
            return infinite
    probes = np.unique(np.quantile(scales, [0.0, 1.0], method="nearest"))
    energies = gaussian_moment(square, scales, phi.breakpoints, refinement=refinement)
    coarse = gaussian_moment(square, probes, phi.breakpoints, refinement=refinement)
    fine = gaussian_moment(square, probes, phi.breakpoints, refinement=refinement + 1)
    return energies if np.all(np.abs(fine - coarse) <= 1e-6 * np.abs(fine)) else infinite
