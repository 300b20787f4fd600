"""Equivalents entry by entry: polynomials in S_ij, delta_i and delta_j, with theory's coefficients.

Theory sheet, sections 2 to 4.  They hold where S_ij^2 does not concentrate on T_ab/p, as on images: nothing is said of
the samples' law, only that the S_ij and delta_i = ||x_i||^2 - tau_0^2 are small.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import sympy as sp

from numerics.arithmetic import FloatArithmetic, Pointwise, compile_program
from numerics.arrays import Array
from numerics.moments import gaussian_moment, quiet, select_refinement
from theory.equations import Monomial, entry_moments, expand_entries
from theory.kernels import Kernel, KernelCoefficients
from theory.symbols import sigma_a2, sigma_b2, tau

__all__ = ["EntryPolynomial", "entry_polynomial"]

#: Rows that are evaluated together, so that the work arrays stay small beside the matrix.
_ROWS = 256


@dataclass(frozen=True)
class EntryPolynomial:
    """A kernel's entries as a polynomial in S_ij, delta_i and delta_j.

    Attributes:
        off_diagonal: coefficients by powers (s, a, b) of S_ij, delta_i, delta_j; a >= b stands for both orders.
        diagonal: coefficients of 1, delta_i, delta_i^2, ... of the entries on the diagonal.

    Example:
        >>> EntryPolynomial({(2, 0, 0): 3.0}, (5.0,)).matrix(np.array([[1.0, 0.5], [0.5, 1.0]])).tolist()
        [[5.0, 0.75], [0.75, 5.0]]
    """

    off_diagonal: Mapping[Monomial, float]
    diagonal: tuple[float, ...]

    @classmethod
    def of_four(cls, coefficients: KernelCoefficients[float]) -> EntryPolynomial:
        """Return alpha_1 S + alpha_2 delta delta^T + alpha_3 S o S off the diagonal, gamma_*^2 on it.

        Args:
            coefficients: of the kernel, the four numbers of its high-dimensional equivalent.
        """
        linear, variance, square, diagonal = coefficients
        return cls(MappingProxyType({(1, 0, 0): linear, (0, 1, 1): variance, (2, 0, 0): square}), (diagonal,))

    def matrix(self, gram: Array, tau0: float | None = None) -> Array:
        """Return the kernel of samples, an (n, n) array, symmetric to the last bit.

        Args:
            gram: (n, n) array S = X X^T, symmetric to the last bit.
            tau0: input scale for which the coefficients were solved; sqrt(tr S/n) by default.
        """
        norms = np.diagonal(gram)
        delta = norms - (norms.mean() if tau0 is None else tau0**2)
        found = np.empty(gram.shape)
        for start in range(0, len(gram), _ROWS):
            rows = slice(start, start + _ROWS)
            found[rows] = self._entries(gram[rows], delta[rows], delta)
        found[np.diag_indices_from(found)] = np.polynomial.polynomial.polyval(delta, self.diagonal)
        return found

    def _entries(self, gram: Array, left: Array, right: Array) -> Array:
        """A block off the diagonal, by Horner's rule in S_ij."""
        found = np.zeros(gram.shape)
        for power in range(max(s for s, _, _ in self.off_diagonal), -1, -1):
            found *= gram
            for (s, a, b), factor in self.off_diagonal.items():
                if s == power:
                    found += factor * _norm_factor(left, right, a, b)
        return found


def _norm_factor(left: Array, right: Array, a: int, b: int) -> Array | float:
    """delta_i^a delta_j^b, and with a and b exchanged where they differ."""
    if a == b == 0:
        return 1.0
    product = np.outer(left**a, right**b)
    return product if a == b else product + np.outer(left**b, right**a)


@quiet
def entry_polynomial(
    phi: Pointwise,
    scale: float,
    bias: float,
    weights: tuple[float, float],
    kernel: Kernel = Kernel.CK,
    *,
    degree: int,
    norms: bool = True,
) -> EntryPolynomial:
    """Return a kernel's entries to a total degree in S_ij, delta_i and delta_j.

    Args:
        phi: the activation, uncentred.
        scale: tau_*.
        bias: E[phi(tau_* xi)].
        weights: sigma_a^2 and sigma_b^2.
        kernel: which kernel; an NTK must exist.
        degree: the highest total degree.
        norms: whether the samples' norms differ; without it only powers of S_ij are returned.
    """
    expansion = expand_entries(kernel, degree, norms=norms)
    values = _inputs(phi, scale, bias, degree) | dict(zip((sigma_a2, sigma_b2, tau), (*weights, scale), strict=True))
    for symbol, expr in expansion.definitions.items():
        needed = sorted(expr.free_symbols, key=str)
        (values[symbol],) = compile_program([expr], needed, _ARITHMETIC)(*(values[each] for each in needed))
    off_diagonal = {monomial: float(values[symbol]) for monomial, symbol in expansion.off_diagonal.items()}
    return EntryPolynomial(MappingProxyType(off_diagonal), tuple(float(values[each]) for each in expansion.diagonal))


_ARITHMETIC = FloatArithmetic()


def _inputs(phi: Pointwise, scale: float, bias: float, degree: int) -> dict[sp.Symbol, float]:
    """The moments: E[f^(k)(tau xi)] = E[f(tau xi) He_k(xi)]/tau^k by Stein's identity, He_k = sqrt(k!) he_k."""
    scales = np.array([scale])
    level, _ = select_refinement(phi, scales, bias)
    functions = {
        (0, 1): lambda x: phi.value(x) - bias,
        (0, 2): lambda x: (phi.value(x) - bias) ** 2,
        (1, 2): lambda x: phi.derivative(x) ** 2,
    }
    found = {}
    for symbol, (derivative, power, order) in entry_moments(degree).items():
        f = functions[derivative, power]
        (projected,) = gaussian_moment(f, scales, phi.breakpoints, degree=order, refinement=level)
        found[symbol] = float(projected) * float(np.sqrt(float(sp.factorial(order)))) / scale**order
    return found
