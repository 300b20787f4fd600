"""Spectra of matrices too large to diagonalise: stochastic Lanczos quadrature, from products with blocks of vectors.

For a unit vector v the spectral measure sum_i (v . u_i)^2 delta(lambda_i) has the m-point Gauss quadrature whose nodes
are the eigenvalues of the Lanczos matrix and whose weights are the squared first components of its eigenvectors; it is
exact for polynomials of degree 2m - 1.  The mean over random v estimates the spectral distribution, and the scatter
over them its error.  The extreme nodes are eigenvalues to within the residuals given: isolated ones converge first.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import eigh_tridiagonal
from scipy.sparse.linalg import LinearOperator
from scipy.special import ndtr

from numerics.arrays import Array

__all__ = [
    "LanczosSpectrum",
    "lanczos_spectrum",
]

#: A new direction this small, relative to the operator, is rounding: the vectors so far span an invariant subspace.
_BREAKDOWN = 1e-13


@dataclass(frozen=True)
class LanczosSpectrum:
    """Estimate of a spectral distribution.

    Attributes:
        size: int, n.
        nodes: (k, m) array, quadrature nodes of each probe, ascending.
        weights: (k, m) array, their weights; every row adds up to 1.
        residuals: (k, m) array, ||A y - node y|| of the Ritz vector of each node: an eigenvalue is that near.
    """

    size: int
    nodes: Array
    weights: Array
    residuals: Array

    def integrate(self, function: Callable[[Array], Array]) -> tuple[float, float]:
        """Estimate tr f(A) / n, with its standard error over the probes (nan for a single one)."""
        values = np.sum(self.weights * function(self.nodes), axis=1)
        probes = values.size
        error = float(np.std(values, ddof=1) / np.sqrt(probes)) if probes > 1 else np.nan
        return float(values.mean()), error

    def cumulative(self, x: ArrayLike, width: float = 0.0) -> Array:
        """Estimated distribution function, smoothed by a normal law of standard deviation `width`.

        Args:
            x: points, an array of any shape; the result has that shape.
            width: of the smoothing; 0 is none.
        """
        points = np.array(x, dtype=np.float64)
        gap = points[..., None] - self.nodes.reshape(-1)
        steps = ndtr(gap / width) if width > 0 else (gap >= 0).astype(np.float64)
        return np.asarray(steps @ self.weights.reshape(-1) / self.nodes.shape[0])

    def density(self, x: ArrayLike, width: float) -> Array:
        """Estimated density, smoothed by a normal law of standard deviation `width`.

        Args:
            x: points, an array of any shape; the result has that shape.
            width: of the smoothing, positive.

        Raises:
            ValueError: a width that is not positive.
        """
        if not width > 0:
            raise ValueError(f"the width of the smoothing must be positive, got {width}")
        points = np.array(x, dtype=np.float64)
        bells = np.exp(-(((points[..., None] - self.nodes.reshape(-1)) / width) ** 2) / 2)
        return np.asarray(bells @ self.weights.reshape(-1) / (np.sqrt(2 * np.pi) * width * self.nodes.shape[0]))

    def levels(self) -> Array:
        """Each probe's distribution function at its nodes, shape (k, m): halfway up the steps.

        The distribution that the quadrature stands for takes a value between the two ends of the step there (Chebyshev,
        Markov and Stieltjes), so that this is within half of the node's weight of it, and much nearer where the
        density is smooth.
        """
        return np.asarray(np.cumsum(self.weights, axis=1) - self.weights / 2)

    def without(self, dropped: NDArray[np.bool_]) -> LanczosSpectrum:
        """The same for the rest of the spectrum: some nodes, a (k, m) mask, have no weight, the others all of it.

        Raises:
            ValueError: a probe with no weight left.
        """
        kept = np.where(dropped, 0.0, self.weights)
        total = kept.sum(axis=1, keepdims=True)
        if not np.all(total > 0):
            raise ValueError("a probe has no nodes left")
        return replace(self, weights=kept / total)

    def found(self, reach: float) -> Array:
        """Eigenvalues, descending, that some probe has found to a residual of at most `reach`.

        Nodes of several probes within twice that are one eigenvalue: multiplicities are not seen.
        """
        distinct: list[float] = []
        for value in np.sort(self.nodes[self.residuals <= reach])[::-1]:
            if not distinct or distinct[-1] - value > 2 * reach:
                distinct.append(float(value))
        return np.array(distinct)

    def extreme(self, count: int, tolerance: float = 1e-6) -> Array:
        """Largest eigenvalues, a descending array of at most `count`, that some probe has found to a residual.

        Args:
            count: how many at most.
            tolerance: largest residual accepted, relative to the largest node in modulus.
        """
        return self.found(tolerance * float(np.abs(self.nodes).max()))[:count]


def lanczos_spectrum(
    operator: Array | LinearOperator, rng: np.random.Generator, *, steps: int = 80, probes: int = 8
) -> LanczosSpectrum:
    """Run Lanczos from several random vectors at once, with full reorthogonalisation.

    Costs `steps` products of the operator with an (n, probes) block, and steps x probes vectors of memory.

    Args:
        operator: (n, n) symmetric matrix or operator, only multiplied with; it is trusted to be symmetric.
        rng: gives the Gaussian probes.
        steps: m, at most n are taken.
        probes: k.

    Raises:
        ValueError: not square, or no steps or probes.
        FloatingPointError: a product that is not finite.
    """
    n = operator.shape[0]
    if operator.shape != (n, n) or n < 1:
        raise ValueError(f"a square operator is needed, got shape {operator.shape}")
    if steps < 1 or probes < 1:
        raise ValueError(f"at least one step and one probe are needed, got {steps} and {probes}")
    steps = min(steps, n)
    basis = np.zeros((steps, n, probes))
    diagonal, side = np.zeros((steps, probes)), np.zeros((steps, probes))
    vectors = rng.standard_normal((n, probes))
    vectors /= np.linalg.norm(vectors, axis=0)
    scale = np.zeros(probes)
    for step in range(steps):
        basis[step] = vectors
        product = np.asarray(operator @ vectors)
        if not np.all(np.isfinite(product)):
            raise FloatingPointError(f"the operator's product in step {step} is not finite")
        diagonal[step] = np.einsum("np,np->p", vectors, product)
        scale = np.maximum(scale, np.linalg.norm(product, axis=0))
        # Twice is enough.
        for _ in range(2):
            product -= np.einsum("snp,sp->np", basis[: step + 1], np.einsum("snp,np->sp", basis[: step + 1], product))
        length = np.linalg.norm(product, axis=0)
        side[step] = np.where(length > _BREAKDOWN * scale, length, 0.0)
        vectors = np.where(side[step] > 0, product / np.where(side[step] > 0, side[step], 1.0), 0.0)
    nodes, weights, residuals = (np.empty((probes, steps)) for _ in range(3))
    for probe in range(probes):
        values, rotation = eigh_tridiagonal(diagonal[:, probe], side[:-1, probe])
        nodes[probe], weights[probe] = values, rotation[0] ** 2
        residuals[probe] = np.abs(side[-1, probe] * rotation[-1])
    # Steps after an invariant subspace was found are zero rows: their nodes have no weight, and are no eigenvalues.
    residuals[weights == 0] = np.inf
    return LanczosSpectrum(n, nodes, weights, residuals)
