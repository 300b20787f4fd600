"""Equivalents entry by entry in which every sample keeps its own norm: series in S_ij with moments at each tau_i.

Theory sheet, section 2.  They hold where the squared norms spread too far for powers of delta_i, as on images.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import sympy as sp

from numerics.arithmetic import FloatArithmetic, Pointwise, Program, compile_program
from numerics.arrays import Array
from numerics.moments import gaussian_moment, quiet, select_refinement
from theory.equations import expand_with_kept_norms, pair_moment
from theory.kernels import Kernel
from theory.symbols import dd, sigma_a2, sigma_b2, tau, variance

__all__ = ["KeptNorms", "kept_norms"]

#: Rows and columns of a tile, so that the work arrays stay in the cache.
_TILE = 256
_ARITHMETIC = FloatArithmetic()


@dataclass(frozen=True, eq=False)
class KeptNorms:
    """A kernel's entries as series in S_ij.

    Attributes:
        kernel: which kernel.
        degree: the highest total degree, in which S_ij counts 1 and d_0(tau_i) d_0(tau_j) 2.
        weights: sigma_a^2 and sigma_b^2.
        moments: (k, n) array, E[phi^(k)(tau_i xi)] of sample i in row k.
        diagonal: (n,) array, the entries on the diagonal.
    """

    kernel: Kernel
    degree: int
    weights: tuple[float, float]
    moments: Array
    diagonal: Array

    @quiet
    def matrix(self, gram: Array) -> Array:
        """Return the kernel of the samples, an (n, n) array, symmetric to the last bit.

        Args:
            gram: (n, n) array S.
        """
        n = len(gram)
        found = np.empty((n, n))
        for top in range(0, n, _TILE):
            rows = slice(top, top + _TILE)
            for left in range(top, n, _TILE):
                columns = slice(left, left + _TILE)
                tile = self._entries(gram[rows, columns], rows, columns)
                found[rows, columns] = tile
                found[columns, rows] = tile.T
        found[np.diag_indices_from(found)] = self.diagonal
        return found

    def _entries(self, gram: Array, rows: slice, columns: slice) -> Array:
        pairs = [np.outer(row[rows], row[columns]) for row in self.moments]
        values: list[Any] = [*pairs, *self.weights]
        for program, needed in _programs(self.kernel, self.degree, len(pairs)):
            values += program(*(values[k] for k in needed))
        names, places = _series(self.kernel, self.degree, len(pairs))
        total = np.zeros(gram.shape)
        for (s, m), place in zip(names, places, strict=True):
            total += values[place] * gram**s * pairs[0] ** m
        return total


@cache
def _symbols(kernel: Kernel, degree: int, pairs: int) -> tuple[sp.Symbol, ...]:
    """The inputs, then what is defined one after the other."""
    inputs = (*(pair_moment(k) for k in range(pairs)), sigma_a2, sigma_b2)
    return (*inputs, *expand_with_kept_norms(kernel, degree).definitions)


@cache
def _programs(kernel: Kernel, degree: int, pairs: int) -> tuple[tuple[Program, tuple[int, ...]], ...]:
    """For every definition its program, and the places of what it takes."""
    symbols = _symbols(kernel, degree, pairs)
    found = []
    for expr in expand_with_kept_norms(kernel, degree).definitions.values():
        needed = sorted(symbols.index(symbol) for symbol in expr.free_symbols)
        found.append((compile_program([expr], [symbols[k] for k in needed], _ARITHMETIC), tuple(needed)))
    return tuple(found)


@cache
def _series(kernel: Kernel, degree: int, pairs: int) -> tuple[tuple[tuple[int, int], ...], tuple[int, ...]]:
    """Powers of S_ij and u_0, and the places of their coefficients."""
    symbols, names = _symbols(kernel, degree, pairs), expand_with_kept_norms(kernel, degree).off_diagonal
    return tuple(names), tuple(symbols.index(symbol) for symbol in names.values())


@quiet
def kept_norms(
    phi: Pointwise,
    scales: Array,
    bias: float,
    weights: tuple[float, float],
    kernel: Kernel = Kernel.CK,
    *,
    degree: int,
) -> KeptNorms:
    """Return a kernel's entries to a total degree in S_ij, with every sample's own moments.

    Args:
        phi: the activation, uncentred.
        scales: (n,) array, tau_i of every sample (``numerics.kernels.preactivation_variances`` has the squares).
        bias: E[phi(tau_* xi)].
        weights: sigma_a^2 and sigma_b^2.
        kernel: which kernel; an NTK must exist.
        degree: the highest total degree, in which S_ij counts 1.
    """
    level, _ = select_refinement(phi, scales, bias)

    def projected(derivative: int, power: int, order: int) -> Array:
        f = phi.derivative if derivative else lambda x: phi.value(x) - bias
        return gaussian_moment(lambda x: f(x) ** power, scales, phi.breakpoints, degree=order, refinement=level)

    inverse = np.divide(1, scales, out=np.zeros(scales.shape), where=scales > 0)
    orders = range(degree + 2 if kernel.is_tangent else degree + 1)
    # E[phi^(k)(tau xi)] = E[phi(tau xi) He_k(xi)]/tau^k by Stein's identity, He_k = sqrt(k!) he_k.
    moments = [projected(0, 1, k) * inverse**k * np.sqrt(float(sp.factorial(k))) for k in orders]
    expr = expand_with_kept_norms(kernel, degree).diagonal
    known = {sigma_a2: weights[0], sigma_b2: weights[1], tau: scales}
    known |= {symbol: projected(k, 2, 0) for symbol, k in ((variance, 0), (dd, 1)) if symbol in expr.free_symbols}
    needed = sorted(expr.free_symbols, key=str)
    (diagonal,) = compile_program([expr], needed, _ARITHMETIC)(*(known[symbol] for symbol in needed))
    return KeptNorms(kernel, degree, weights, np.array(moments), np.asarray(diagonal))
