"""What one hidden layer can match.

Theory sheet, section 7.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import sympy as sp

from theory.equations import LayerMoments
from theory.matching.equations import K0, K1, K3, compose, kernel_part
from theory.matching.families import named_family
from theory.symbols import tau, tau_0

__all__ = [
    "OneLayer",
    "odd_ratio_limit",
    "one_layer",
    "slope_weight",
]


@dataclass(frozen=True)
class OneLayer:
    """What one hidden layer can do, whatever its activation.

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
def one_layer(kernel: str) -> OneLayer:
    """Derive the necessary and sufficient conditions for one hidden layer (see the module's text)."""
    c1, c2, c3 = sp.symbols("c_1:4", real=True)
    hermite = named_family("hermite").moments
    place = dict(zip(named_family("hermite").symbols, (c1, c2, c3), strict=False)) | {tau: tau_0}
    fields = {name: getattr(hermite, name).subs(place) for name in LayerMoments.__dataclass_fields__}
    a1, a2, a3, diagonal = kernel_part(kernel, compose([LayerMoments(**fields)]))
    linear = K1 / sp.cancel(a1 / c1**2)
    quadratic = K3 / sp.cancel(a3 / c2**2)
    minimum = sp.expand(diagonal).subs(c3, 0).subs({c1: sp.sqrt(linear), c2: sp.sqrt(quadratic)})
    return OneLayer(
        ratio=sp.cancel(a3 / a2),
        linear=linear,
        quadratic=quadratic,
        leftover=sp.expand(K0 - minimum),
        cubic_weight=sp.expand(diagonal).coeff(c3, 2),
        slope_weight=slope_weight(kernel, []),
    )


def slope_weight(kernel: str, before: Sequence[LayerMoments]) -> sp.Expr:
    """How often the last layer's E[phi'^2] counts in k_0."""
    last = LayerMoments()
    return sp.expand(kernel_part(kernel, compose([*before, last]))[3]).coeff(last.dd)


def odd_ratio_limit(kernel: str, family: str) -> sp.Expr:
    """Return what k_0/(tau_0^2 k_1) of one layer of hard_tanh, erf or sin stays below (see the module's text)."""
    return sp.pi / 2 if kernel == "ck" and family in ("hard_tanh", "erf") else sp.oo
