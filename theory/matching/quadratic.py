"""Two layers of quadratic polynomials: which conjugate kernels they have.

With u = c_1^2 of the first layer, scaled to variance 1 (a scale that the second layer undoes), and e = c_1^2, f = c_2^2
of the second, c_k the orthonormal Hermite coefficients, at tau_0 = 1

  k_1 = e u,   k_2 = e (1 - u)/2 + f (2 - u)^2/2,   k_3 = e (1 - u) + f u^2,   k_0 = e + f.

That is three parameters for four numbers: e and f follow from k_1 and k_0, and two polynomials in u remain, which have
a common root only where their resultant vanishes.  The theory's four numbers satisfy no such relation.
"""

from __future__ import annotations

from functools import cache

import sympy as sp

from theory.equations import LayerCoefficients
from theory.matching.equations import TARGETS, compose
from theory.matching.families import hermite_moments
from theory.symbols import tau, tau_0

__all__ = ["quadratic_layers", "quadratic_relation"]

#: c_1^2 of the first layer; c_1^2 and c_2^2 of the second.
SHARE, SLOPE, CURVATURE = sp.symbols("u e f", nonnegative=True)


@cache
def quadratic_layers() -> LayerCoefficients:
    """Return what two quadratic layers have, in the parameters of the module's text, at tau_0 = 1.

    Example:
        >>> quadratic_layers().a1
        e*u
    """
    first = hermite_moments({1: sp.sqrt(SHARE), 2: sp.sqrt(1 - SHARE)})
    second = hermite_moments({1: sp.sqrt(SLOPE), 2: sp.sqrt(CURVATURE)})
    # Both layers are at scale 1.
    found = compose([moments.map(lambda value: value.subs(tau, 1)) for moments in (first, second)])
    return LayerCoefficients(**{name: sp.expand(value.subs(tau_0, 1)) for name, value in vars(found).items()})


@cache
def quadratic_relation() -> sp.Expr:
    """Return what vanishes, at tau_0 = 1 and for k_1 > 0, for every kernel that two quadratic layers have.

    Example:
        >>> from theory.matching import TARGETS
        >>> quadratic_relation().free_symbols == {*TARGETS}
        True
    """
    layers = quadratic_layers()
    k1, k2, k3, k0 = TARGETS
    slope = k1 / SHARE
    known = {SLOPE: slope, CURVATURE: k0 - slope}
    parts = [
        sp.numer(sp.together((value - wanted).subs(known))) for value, wanted in ((layers.a2, k2), (layers.a3, k3))
    ]
    factors = [factor for factor, _ in sp.factor_list(sp.resultant(*parts, SHARE))[1]]
    # Powers of single targets vanish for none of these kernels.
    return sp.Mul(*(factor for factor in factors if factor not in TARGETS))
