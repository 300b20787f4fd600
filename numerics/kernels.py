"""Infinite-width conjugate kernels: the Implicit-CK of a DEQ and the CK of an explicit network.

The entries are solved in `numerics.entries`; with the tangent kernels they come from `numerics.ntk`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from numerics.entries import Entries, KernelConvergenceError
from numerics.hermite import Pointwise, quiet
from numerics.parameters import as_array
from numerics.pointwise import as_pointwise

__all__ = [
    "ExplicitKernel",
    "ImplicitKernel",
    "KernelConvergenceError",
    "explicit_ck",
    "implicit_ck",
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
