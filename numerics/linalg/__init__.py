"""Symmetric matrices: products, eigenvalues, norms, spectra of what is too large to diagonalise."""

from numerics.linalg.eigenvalues import (
    ExtremeEigenvalues,
    OperatorNorm,
    SpectrumConvergenceError,
    eigenvalues,
    extreme_eigenvalues,
    operator_norm,
)
from numerics.linalg.lanczos import LanczosSpectrum, lanczos_spectrum
from numerics.linalg.perturbed_norms import perturbed_norms
from numerics.linalg.symmetric import gram_matrix, symmetrise

__all__ = [
    "ExtremeEigenvalues",
    "LanczosSpectrum",
    "OperatorNorm",
    "SpectrumConvergenceError",
    "eigenvalues",
    "extreme_eigenvalues",
    "gram_matrix",
    "lanczos_spectrum",
    "operator_norm",
    "perturbed_norms",
    "symmetrise",
]
