"""What one hidden layer can match, whatever its activation, and what one odd layer can.

Theory sheet, section 7; targets and kernels as in ``theory.matching.equations``.

One hidden layer.  With c_k the orthonormal Hermite coefficients of phi at tau_0, k_2 and k_3 are multiples of c_2^2:
k_3 = 2 k_2 (CK) or 6 k_2 (NTK), and what k_0 has beyond tau_0^2 k_1 + tau_0^4 k_3 is sum_{j>=3} c_j^2 (CK) or
sum_{j>=3} (1+j) c_j^2 (NTK).  Both conditions are necessary, and a polynomial of degree 3 shows that they suffice.
For every DEQ the second holds: on samples of norm tau_0 its kernel is f(s) = sum f_j s^j with f_j >= 0, f_1 = k_1,
f_2 = k_3 and f(tau_0^2) = k_0.  The first holds iff sigma_a^2 = 0, alpha_2 = alpha_3 = 0, or alpha_4 = lambda_1 (CK).
"NTK" here is that of all weights at one learning rate; with a rate for each, see ``theory.matching.rates``.

One odd layer (k_2 = k_3 = 0).  The amplitude drops out of R = k_0/(tau_0^2 k_1); let y be the width c/tau_0 of a hard
tanh, or 1/(w tau_0) of erf and sin.  CK: R = sinh(v)/v for sin, v = y^-2; R = asin(z)/z for erf, z = 2/(2 + y^2); and
R = (P - y g + y^2 Q)/P^2 for hard tanh, P = 1 - Q = P(|xi| < y) and g = dP/dy, whose derivative is
-2 (g - y Q)(P - y g)/P^3 < 0 by Mills' inequality y Q < g and because the density falls.  NTK: (R + cosh v)/2,
(R + (1 - z^2)^(-1/2))/2 and (R + 1/P)/2.  All fall strictly with y, to 1, from pi/2 (CK of hard tanh and erf) or from
infinity: there is one width where R lies in between, and none otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import sympy as sp

from theory.equations import LayerMoments
from theory.matching.equations import K0, K1, K3, compose, kernel_part
from theory.matching.families import hermite_moments
from theory.symbols import tau, tau_0

__all__ = [
    "OneLayer",
    "odd_ratio_limit",
    "one_layer",
    "slope_weight",
]


@dataclass(frozen=True)
class OneLayer:
    """What one hidden layer can do, whatever its activation, with its weights trained at given rates.

    Attributes:
        ratio: k_3/k_2 of every such network.
        linear: c_1^2, the energy of degree 1, in the targets.
        quadratic: c_2^2.
        leftover: what must be sum_{j>=3} (weight of j) c_j^2, hence nonnegative.
        cubic_weight: weight of degree 3 in it.
        slope_weight: how often E[phi'^2] counts in k_0.
    """

    ratio: sp.Expr
    linear: sp.Expr
    quadratic: sp.Expr
    leftover: sp.Expr
    cubic_weight: sp.Expr
    slope_weight: sp.Expr


@cache
def one_layer(kernel: str, rates: tuple[sp.Expr, sp.Expr] | tuple[()] = ()) -> OneLayer:
    """Derive the necessary and sufficient conditions for one hidden layer (the module's text derives them).

    Args:
        kernel: name of a ``Kernel``.
        rates: learning rates of its weights and of the readout, numbers or symbols; none for the same one.

    Example:
        >>> one_layer("ck").ratio, one_layer("ntk-all").ratio
        (2, 6)
    """
    c1, c2, c3 = sp.symbols("c_1:4", real=True)
    moments = hermite_moments({1: c1, 2: c2, 3: c3}).subs({tau: tau_0})
    a1, a2, a3, diagonal = kernel_part(kernel, compose([moments], rates))
    linear = K1 / sp.cancel(a1 / c1**2)
    quadratic = sp.cancel(K3 / sp.cancel(a3 / c2**2))
    minimum = sp.expand(diagonal).subs(c3, 0).subs({c1: sp.sqrt(linear), c2: sp.sqrt(quadratic)})
    return OneLayer(
        ratio=sp.cancel(a3 / a2),
        linear=linear,
        quadratic=quadratic,
        leftover=sp.expand(sp.cancel(K0 - minimum)),
        cubic_weight=sp.expand(diagonal).coeff(c3, 2),
        slope_weight=slope_weight(kernel, [], rates),
    )


def slope_weight(kernel: str, before: Sequence[LayerMoments], rates: Sequence[sp.Expr] = ()) -> sp.Expr:
    """How often the last layer's E[phi'^2] counts in k_0."""
    last = LayerMoments()
    return sp.expand(kernel_part(kernel, compose([*before, last], rates)).diagonal).coeff(last.dd)


def odd_ratio_limit(kernel: str, family: str) -> sp.Expr:
    """Return what k_0/(tau_0^2 k_1) of one layer of hard_tanh, erf or sin stays below (the module's text says why).

    Example:
        >>> odd_ratio_limit("ck", "erf")
        pi/2
    """
    return sp.pi / 2 if kernel == "ck" and family in ("hard_tanh", "erf") else sp.oo
