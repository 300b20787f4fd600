"""NTKs at one learning rate that three or more hidden layers have, and two have not.

Theory sheet, section 7; targets and kernels as in ``theory.matching.equations``.

In a network of L layers let A_l and R_l be the coefficients a_1 and a_4 of layer l.  A quadratic part in layer l adds
to k_2 and k_3 in the ratio

  k_3/k_2 = 2 (L + 1 + l)/(L + 1 - l) (A_{l-1}/R_{l-1})^2,                                                  (6)

whatever the other layers are, so that k_3/k_2 is a mean of these ratios and some are at most k_3/k_2.  In layer 1,
where A = R = 1, the ratio is 2 (L + 2)/L and tends to 2 as the depth grows.  In later layers it falls as the responses
q = (R_l/A_l)/(R_{l-1}/A_{l-1}) of the layers before grow, which cost energy of degree 3 and more.

The networks here have one quadratic part, in layer l, behind l - 1 equal cubic layers x + g He_3 with q^(l-1) as (6)
asks, V = 1 + z^2 and D = 1 + 3 z^2 (z = c_3/c_1, q = 1 + sqrt(6) z + 3 z^2); the layers between are linear, and the
last one takes the rest of k_0 in degree 3.  They match iff that rest is positive.  They are not all the networks of
that depth: that they fail excludes nothing, and the least depth found this way is not proved to be the least.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import sympy as sp

from theory.equations import LayerMoments
from theory.kernels import Kernel
from theory.matching.equations import K0, K1, K2, K3, compose, kernel_part
from theory.symbols import tau_0

__all__ = ["DeepNetwork", "cubic_share", "deep_network", "quadratic_ratio"]

#: z^2 of the cubic layers, with z = c_3/c_1.
cubic_share = sp.Symbol("z^2", nonnegative=True)


@dataclass(frozen=True)
class DeepNetwork:
    """What one quadratic layer among linear ones needs, behind equal cubic layers of z^2 = ``cubic_share``.

    All layers but the last have E[phi'] = 1.

    Attributes:
        response2: (R/A)^2 before the quadratic layer, in the targets.
        slope2: E[phi'^2] of the last layer's slope, E[phi_L']^2, in the targets.
        curvature2: E[phi_l'']^2 of the quadratic layer, in the targets.
        scale2: square of the pre-activations' standard deviation, for each layer, in z^2 and the targets.
        leftover: what k_0 has beyond all that, which must not be negative.
        cubic_weight: how often c_3^2 of the last layer counts in k_0, in z^2 and the targets.
    """

    response2: sp.Expr
    slope2: sp.Expr
    curvature2: sp.Expr
    scale2: tuple[sp.Expr, ...]
    leftover: sp.Expr
    cubic_weight: sp.Expr


@cache
def quadratic_ratio(layers: int, place: int) -> sp.Expr:
    """Return k_3/k_2 of a quadratic part in a layer of a network with A = R before it, all weights at one rate: (6).

    Args:
        layers: L.
        place: l, from 1 to L.

    Example:
        >>> [quadratic_ratio(2, place) for place in (1, 2)]
        [4, 10]
    """
    bend = sp.Symbol("f", positive=True)
    one = sp.S.One
    moments = [LayerMoments(one, bend if number == place else sp.S.Zero, sp.Integer(2)) for number in _numbers(layers)]
    part = kernel_part(Kernel.NTK_ALL, compose(moments))
    return sp.cancel(part.square / part.variance)


def _numbers(layers: int) -> range:
    return range(1, layers + 1)


@cache
def deep_network(layers: int, place: int) -> DeepNetwork:
    """Eliminate the parameters of the network with its quadratic part in a given layer.

    Args:
        layers: L, at least 2.
        place: l, from 2 to L.
    """
    slope2, bend2, rest = sp.symbols("e^2 f^2 c_3^2", nonnegative=True)
    scale2, scales, moments = tau_0**2, [], []
    for number in _numbers(layers):
        # Energies by degree, in units of the pre-activations' variance.
        shares = {1: slope2 if number == layers else sp.S.One}
        if number == place:
            shares[2] = bend2 * scale2 / 2
        if number < place or number == layers:
            shares[3] = rest if number == layers else cubic_share
        moments.append(
            LayerMoments(
                d1=sp.sqrt(shares[1]),
                d2=sp.sqrt(bend2) if number == place else sp.S.Zero,
                d22=sp.Integer(2),  # what responses do is in response2
                dd=sp.expand(sum((k * share for k, share in shares.items()), sp.S.Zero)),
                variance=sp.expand(scale2 * sum(shares.values(), sp.S.Zero)),
            )
        )
        scales.append(scale2)
        scale2 = moments[-1].variance
    part = kernel_part(Kernel.NTK_ALL, compose(moments))
    solved_slope2 = sp.solve(part.linear - K1, slope2)[0]
    solved_bend2 = sp.solve(part.square.subs(slope2, solved_slope2) - K3, bend2)[0]
    solved = {slope2: solved_slope2, bend2: solved_bend2}
    minimum = part.diagonal.subs(rest, 0)
    return DeepNetwork(
        response2=quadratic_ratio(layers, place) * K2 / K3,
        slope2=solved_slope2,
        curvature2=solved_bend2,
        scale2=tuple(each.subs(solved) for each in scales),
        leftover=K0 - minimum.subs(solved),
        cubic_weight=(part.diagonal - minimum).subs(rest, 1).subs(solved) / scales[-1].subs(solved),
    )
