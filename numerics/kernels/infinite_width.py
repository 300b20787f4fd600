"""Infinite-width conjugate kernels: the Implicit-CK of a DEQ and the CK of an explicit network.

The entries are solved in `numerics.kernels.entries`; with the tangent kernels they come from
`numerics.kernels.infinite_width`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from numerics.arithmetic import Pointwise, as_pointwise
from numerics.kernels.entries import Entries, KernelConvergenceError, Tile
from numerics.moments import quiet
from numerics.parameters import as_array

__all__ = [
    "KERNELS",
    "ExplicitKernel",
    "ExplicitKernels",
    "ImplicitKernel",
    "ImplicitKernels",
    "explicit_ck",
    "explicit_kernels",
    "implicit_ck",
    "implicit_kernels",
]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class ImplicitKernel:
    """An Implicit-CK with the evidence for it.

    Attributes:
        kernel: (n, n) array, G, symmetric to the last bit.
        variances: (n,) array, pre-activation variances tau_i^2 = sigma_a^2 G_ii + sigma_b^2 S_ii.
        order: highest order of the Hermite series used.
        truncation_bound: largest error in an entry of G off the diagonal from cutting the series; for pairs that do
            not use the series, the estimated error of what stands in for it.  Absolute.
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
        quadrature_pairs: pairs for which the series was too slow, summed over layers.
    """

    kernel: Array
    variances: Array
    orders: tuple[int, ...]
    truncation_bound: float
    quadrature_error: float
    quadrature_pairs: int


@quiet
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
        phi: the activation, uncentred; an ``Activation``, a registered name or an expression in x will do.
        sigma_a2: variance of the recurrent weights, nonnegative.
        sigma_b2: variance of the input weights, nonnegative.
        bias: subtracted from phi, E[phi_0(tau_* xi)].
        tolerance: relative to sqrt(G_ii G_jj), for the residual and for the truncation of the series.

    Raises:
        ValueError: a parameter out of range, or a Gram matrix that cannot be one.
        KernelConvergenceError: an entry has no stable fixed point, or none was reached.
    """
    gram, phi = as_array(gram, "the Gram matrix"), as_pointwise(phi)
    entries = Entries(gram, phi, sigma_a2, sigma_b2, bias, tolerance)
    kernel = np.empty(gram.shape)
    for tile in entries.tiles():
        tile.write(kernel, tile.kernel)
    return ImplicitKernel(
        kernel=kernel,
        variances=entries.variances,
        order=entries.order,
        truncation_bound=entries.bound,
        quadrature_error=entries.quadrature_error,
        residual=entries.residual,
        iterations=entries.iterations,
        quadrature_pairs=entries.quadrature_pairs,
        coincident_pairs=entries.coincident_pairs,
        stability=entries.stability,
        converged=True,
    )


@quiet
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
    current = as_array(gram, "the Gram matrix")
    reports = []
    for phi, bias in layers:
        # Without recurrence the fixed point is its own right side.
        report = implicit_ck(current, phi, 0.0, 1.0, bias, tolerance)
        current = report.kernel
        reports.append(report)
    return ExplicitKernel(
        kernel=current,
        variances=np.array([report.variances for report in reports]),
        orders=tuple(report.order for report in reports),
        truncation_bound=float(sum(report.truncation_bound for report in reports)),
        quadrature_error=max(report.quadrature_error for report in reports),
        quadrature_pairs=sum(report.quadrature_pairs for report in reports),
    )


#: The kernels of a DEQ by name, in the order of theory sheet section 2.
KERNELS = ("ck", "recurrent", "preactivation", "all")


@dataclass(frozen=True)
class ImplicitKernels:
    """Kernels of a DEQ in the limit of infinite width, with the evidence for them.

    All are symmetric to the last bit; one that was not asked for is None.

    Attributes:
        ck: (n, n) array, the Implicit-CK G*.
        recurrent: (n, n) array, the NTK of readout and A.
        preactivation: (n, n) array, the NTK of the recursion on pre-activations.
        all: (n, n) array, the NTK of readout, A and B.
        variances: (n,) array, tau_i^2 = L_ii.
        slope_energies: (n,) array, Gdot_ii = E[phi'(tau_i xi)^2]; infinite where phi jumps.
        margin: largest sigma_a^2 Gdot_ii; below 1 where an NTK exists.
        order: highest order of the Hermite series used.
        truncation_bound: largest error in an entry of G off the diagonal from cutting the series; for pairs that do
            not use the series, the estimated error of what stands in for it.  Absolute.
        slope_bound: likewise for sigma_a^2 Gdot.  An entry K of an NTK is then in error by at most about
            (truncation_bound + |K| slope_bound)/(1 - sigma_a^2 Gdot), and by what the residual leaves.  Near
            |rho| = 1, where Gdot of a kinked phi changes like sqrt(1 - |rho|), the bound includes what the residual and
            the rounding of L do to rho.
        quadrature_error: estimated error of the one-dimensional integrals, relative to G_ii.
        residual: largest |right side - left side| of the equations for G, each relative to sqrt(G_ii G_jj) (for the
            diagonal, to tau_i^2).
        iterations: most steps that any entry took.
        quadrature_pairs: number of pairs i < j for which the series was too slow.
        coincident_pairs: number of pairs i < j whose samples coincide to rounding.
        stability: largest sigma_a^2 |Gdot_ij| off the diagonal.
        converged: whether the residual is within the tolerance (always so if no error was raised).
    """

    ck: Array | None
    recurrent: Array | None
    preactivation: Array | None
    all: Array | None
    variances: Array
    slope_energies: Array
    margin: float
    order: int
    truncation_bound: float
    slope_bound: float
    quadrature_error: float
    residual: float
    iterations: int
    quadrature_pairs: int
    coincident_pairs: int
    stability: float
    converged: bool


@dataclass(frozen=True)
class ExplicitKernels:
    """CK and NTK of an explicit network in the limit of infinite width, with the evidence for them.

    Attributes:
        ck: (n, n) array, G_L.
        ntk: (n, n) array, K_L, every layer and the readout trained.
        variances: (L, n) array, pre-activation variances of each layer.
        orders: (L,) highest order of the Hermite series in each layer.
        truncation_bound: sum over layers of the largest truncation error each makes in an entry of G.
        slope_bound: sum over layers of the largest error each makes in an entry of Gdot.
        quadrature_error: largest over layers, relative to G_ii.
        quadrature_pairs: pairs for which the series was too slow, summed over layers.
    """

    ck: Array
    ntk: Array
    variances: Array
    orders: tuple[int, ...]
    truncation_bound: float
    slope_bound: float
    quadrature_error: float
    quadrature_pairs: int


@quiet
def implicit_kernels(
    gram: Array,
    phi: Pointwise,
    sigma_a2: float,
    sigma_b2: float,
    bias: float,
    *,
    kernels: Sequence[str] = KERNELS,
    tolerance: float = 1e-12,
) -> ImplicitKernels:
    """Implicit-CK and Implicit-NTKs of theory sheet section 2 for any Gram matrix.

    Memory is the arrays asked for and a few tiles.

    Args:
        gram: (n, n) array S = X^T X, symmetric positive semidefinite.
        phi: the activation, uncentred; an `Activation`, a registered name or an expression in x will do, and one with
            a field `dual` (see `numerics.kernels.duals`) brings its closed form.
        sigma_a2: variance of the recurrent weights, nonnegative.
        sigma_b2: variance of the input weights, nonnegative.
        bias: subtracted from phi, E[phi_0(tau_* xi)].
        kernels: which to compute, from `KERNELS`.
        tolerance: relative to sqrt(G_ii G_jj), for the residual and for the truncation of the series.

    Raises:
        ValueError: a parameter out of range, a name that is not in `KERNELS`, or a Gram matrix that cannot be one.
        KernelConvergenceError: an entry has no stable fixed point, none was reached, or an NTK was asked for that
            does not exist: phi jumps, or sigma_a^2 E[phi'(tau_i xi)^2] >= 1 for some sample.
    """
    unknown = [name for name in kernels if name not in KERNELS]
    if unknown or not kernels:
        asked = f"not {', '.join(map(repr, unknown))}" if unknown else "and at least one"
        raise ValueError(f"the kernels of a DEQ are {', '.join(KERNELS)}, {asked}")
    gram, phi = as_array(gram, "the Gram matrix"), as_pointwise(phi)
    entries = Entries(gram, phi, sigma_a2, sigma_b2, bias, tolerance)
    if set(kernels) != {"ck"}:
        _require_tangent(entries, sigma_a2)
    found = {name: np.empty(gram.shape) for name in kernels}
    for tile in entries.tiles():
        for name, target in found.items():
            tile.write(target, _entry(name, tile, sigma_a2))
    return ImplicitKernels(
        ck=found.get("ck"),
        recurrent=found.get("recurrent"),
        preactivation=found.get("preactivation"),
        all=found.get("all"),
        variances=entries.variances,
        slope_energies=entries.slope_energy,
        margin=_margin(entries, sigma_a2),
        order=entries.order,
        truncation_bound=entries.bound,
        slope_bound=sigma_a2 * entries.slope_bound,
        quadrature_error=entries.quadrature_error,
        residual=entries.residual,
        iterations=entries.iterations,
        quadrature_pairs=entries.quadrature_pairs,
        coincident_pairs=entries.coincident_pairs,
        stability=entries.stability,
        converged=True,
    )


@quiet
def explicit_kernels(
    gram: Array, layers: Sequence[tuple[Pointwise, float]], tolerance: float = 1e-12
) -> ExplicitKernels:
    """CK and NTK of an explicit network (theory sheet, section 4) for any Gram matrix.

    Layer by layer, with (u, v) of covariance G_{l-1} and G_0 = K_0 = S,

        G_l = E[phi_l(u) phi_l(v)],    K_l = G_l + K_{l-1} E[phi_l'(u) phi_l'(v)]   (entrywise).

    Args:
        gram: (n, n) array S.
        layers: (phi_l, bias_l) in order, at least one; the activation of layer l is phi_l - bias_l.
        tolerance: relative truncation of the series, as for `implicit_kernels`.

    Raises:
        ValueError: no layers, or a Gram matrix that cannot be one.
        KernelConvergenceError: an activation jumps, so that there is no NTK (`numerics.kernels.explicit_ck` gives
            the CK).
    """
    if not layers:
        raise ValueError("an explicit network needs at least one layer")
    gram = as_array(gram, "the Gram matrix")
    layers = [(as_pointwise(phi), bias) for phi, bias in layers]
    current, ck, ntk = gram, np.empty(gram.shape), np.array(gram, dtype=np.float64)
    reports = []
    for phi, bias in layers:
        entries = Entries(current, phi, 0.0, 1.0, bias, tolerance, checked=current is ck)
        _require_tangent(entries, 0.0)
        for tile in entries.tiles():
            # From the second layer on ck is overwritten while it is read: a tile is read before it is written, and
            # its mirror image is not read at all.
            tile.write(ck, tile.kernel)
            tile.write(ntk, tile.kernel + ntk[tile.rows, tile.columns] * tile.slope)
        current = ck
        reports.append(entries)
    return ExplicitKernels(
        ck=ck,
        ntk=ntk,
        variances=np.array([entries.variances for entries in reports]),
        orders=tuple(entries.order for entries in reports),
        truncation_bound=float(sum(entries.bound for entries in reports)),
        slope_bound=float(sum(entries.slope_bound for entries in reports)),
        quadrature_error=max(entries.quadrature_error for entries in reports),
        quadrature_pairs=sum(entries.quadrature_pairs for entries in reports),
    )


def _entry(name: str, tile: Tile, sigma_a2: float) -> Array:
    """The tile of a kernel of theory sheet section 2."""
    if name == "ck":
        return tile.kernel
    rest = 1 - sigma_a2 * tile.slope
    if name == "recurrent":
        return np.asarray(tile.kernel / rest)
    if name == "preactivation":
        return np.asarray(tile.covariance / rest)
    return np.asarray(tile.kernel + tile.covariance * tile.slope / rest)


def _margin(entries: Entries, sigma_a2: float) -> float:
    """The largest sigma_a^2 E[phi'(tau_i xi)^2]."""
    return float(sigma_a2 * entries.slope_energy.max()) if sigma_a2 > 0 else 0.0


def _require_tangent(entries: Entries, sigma_a2: float) -> None:
    """Raise unless every sample has a finite tangent kernel."""
    if not np.all(np.isfinite(entries.slope_energy)):
        raise KernelConvergenceError(
            "there is no tangent kernel: E[phi'(tau xi)^2] is infinite (phi jumps, or its slope is too singular), or "
            "phi is too steep at this tau to be integrated; the conjugate kernel exists"
        )
    sample = int(np.argmax(entries.slope_energy))
    margin = _margin(entries, sigma_a2)
    if margin >= 1:
        raise KernelConvergenceError(
            f"sample {sample} has no tangent kernel: sigma_a^2 E[phi'(tau xi)^2] = {margin:.4g} there "
            f"(tau = {np.sqrt(entries.variances[sample]):.4g}), and it must be below 1; a smaller sigma_a^2 has one"
        )
