"""Hermite coefficients of an activation at one scale in float64, and the bivariate moments that are series in them.

Theory sheet, sections 2 and 8; ``hermite_balls`` is the same with proof.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from numerics.arrays import Array
from numerics.moments.float64 import FloatMoments
from numerics.moments.quadrature import quiet

__all__ = ["HermiteFloats", "hermite_floats"]

#: Panels of width 1 hold the oscillations of the Hermite polynomials up to this degree, of half the width to four
#: times it.
_HELD_DEGREE = 256


@dataclass(frozen=True)
class HermiteFloats:
    """Hermite coefficients of one activation at one scale.

    Attributes:
        scale: tau.
        coefficients: (N + 1,) array, c_n = E[f(tau xi) he_n(xi)], he_n orthonormal.
        squares: E[f(tau xi)^2 He_m(xi)] for m = 0, 2, 4, He_m monic.
    """

    scale: float
    coefficients: Array
    squares: tuple[float, float, float]

    def pair_moment(self, first: int, second: int, rho: float) -> float:
        """Return E[f^(j)(u) f^(k)(v)] of u and v of variance tau^2.

        Args:
            first: j.
            second: k.
            rho: the correlation, 0 <= rho < 1.
        """
        c = self.coefficients
        n = np.arange(len(c) - max(first, second), dtype=np.float64)
        weights = np.sqrt(_rising(n, first) * _rising(n, second))
        total = np.sum(rho**n * weights * c[first : first + len(n)] * c[second : second + len(n)])
        return float(total / self.scale ** (first + second))

    def square_derivative(self, order: int) -> float:
        """Return E[(f^2)^(m)(tau xi)] for m = 0, 2 or 4, by Stein's identity."""
        return self.squares[order // 2] / self.scale**order

    def centred(self) -> HermiteFloats:
        """Return those of f - E[f], the mean kept at this scale."""
        mean = float(self.coefficients[0])
        # E[(f - mean)^2 He_m] = E[f^2 He_m] - 2 mean E[f He_m] + mean^2 [m = 0].
        squares = [
            square - 2 * mean * math.sqrt(math.factorial(m)) * float(self.coefficients[m]) + (m == 0) * mean**2
            for m, square in zip((0, 2, 4), self.squares, strict=True)
        ]
        coefficients = np.concatenate([[0.0], self.coefficients[1:]])
        return replace(self, coefficients=coefficients, squares=(squares[0], squares[1], squares[2]))


def _rising(n: Array, count: int) -> Array:
    """(n + 1) .. (n + count)."""
    return np.asarray(np.prod([n + k for k in range(1, count + 1)], axis=0)) if count else np.ones_like(n)


@quiet
def hermite_floats(moments: FloatMoments, scale: float, order: int, level: int) -> HermiteFloats:
    """Return the Hermite coefficients up to an order.

    Args:
        moments: of the activation.
        scale: tau > 0.
        order: the highest degree, at least 4.
        level: of panel refinement, as ``select_refinement`` finds it; raised where the order needs it.

    Example:
        >>> from numerics.arithmetic import pointwise
        >>> found = hermite_floats(FloatMoments(pointwise("x**2")), 1.0, 8, 0)
        >>> round(found.pair_moment(0, 0, 0.5), 12), round(found.pair_moment(2, 2, 0.5), 12)
        (1.5, 4.0)
    """
    needed = max(0, math.ceil(math.log2(order / _HELD_DEGREE) / 2))
    xi, weight = moments.nodes(scale, max(level, needed))
    values = moments.phi.value(scale * xi)
    parity = 0 if moments.phi.source is None else moments.phi.source.parity
    found = np.zeros(order + 1)
    current, previous = weight * values, np.zeros_like(values)
    for n in range(order + 1):
        # What is odd or even has no coefficients of the other kind, not even rounding errors.
        found[n] = 0.0 if parity and (-1) ** n != parity else np.sum(current)
        current, previous = (xi * current - math.sqrt(n) * previous) / math.sqrt(n + 1), current
    polynomials = (np.ones_like(xi), xi**2 - 1, xi**4 - 6 * xi**2 + 3)
    square = weight * values**2
    zero, two, four = (float(np.sum(square * polynomial)) for polynomial in polynomials)
    return HermiteFloats(scale, found, (zero, two, four))
