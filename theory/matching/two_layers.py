"""What two hidden layers can match, bounded ones among them.

Theory sheet, section 7.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import sympy as sp

from theory.equations import LayerMoments
from theory.matching.equations import K0, K1, K2, K3, compose, kernel_part
from theory.matching.families import inverse_square_moment, named_family
from theory.matching.one_layer import slope_weight
from theory.symbols import tau, tau_0

__all__ = [
    "TwoLayers",
    "chi2",
    "rational_layer",
    "rational_width",
    "two_layers",
    "weighted_bound",
]

#: chi^2 = (c_2/c_1)^2 of the first layer.
chi2 = sp.Symbol("chi^2", nonnegative=True)
#: Squared slope and curvature of the second layer, E[phi_2']^2 and E[phi_2'']^2.
_E, _F = sp.symbols("e^2 f^2", nonnegative=True)
#: Of the first layer: q, V = E[phi_1^2]/tau_0^2, and D = E[phi_1'^2].
_Q2, _V, _D = sp.symbols("q^2 V D", nonnegative=True)
#: b = w/tau_0 of the rational layer.
rational_width = sp.Symbol("b", positive=True)


@dataclass(frozen=True)
class TwoLayers:
    """What two hidden layers need, in terms of the first layer's chi^2, q^2, V and D (gauge E[phi_1'] = 1).

    Attributes:
        slope2: E[phi_2']^2.
        curvature2: E[phi_2'']^2, which must not be negative.
        response2: q^2, the square of E[(phi_1^2)'']/2; the symbol ``Q2`` where it is free.
        leftover: what k_0 has beyond degrees 1 and 2 of layer 2, hence nonnegative; in chi^2, V and D.
        cubic_weight: how often c_3^2 of layer 2 counts in k_0; in V and D.
        slope_weight: how often E[phi_2'^2] counts in k_0; in V and D.
        Q2: the symbol of q^2.
        V: the symbol of E[phi_1^2]/tau_0^2.
        D: the symbol of E[phi_1'^2].
    """

    slope2: sp.Expr
    curvature2: sp.Expr
    response2: sp.Expr
    leftover: sp.Expr
    cubic_weight: sp.Expr
    slope_weight: sp.Expr
    Q2: sp.Symbol = _Q2
    V: sp.Symbol = _V
    D: sp.Symbol = _D


@cache
def two_layers(kernel: str, *, flat: bool = False) -> TwoLayers:
    """Eliminate the second layer, from the layer recursion (see the module's text).

    Args:
        kernel: one of ``KERNELS``.
        flat: whether E[phi_1'] = 0 (then k_1 = 0), with the gauge c_2 = tau_0 of the first layer instead.
    """
    c3 = sp.Symbol("c_3", real=True)
    scale2 = tau_0**2 * _V
    slope1, bend1 = (sp.S.Zero, sp.sqrt(2) / tau_0) if flat else (sp.S.One, sp.sqrt(2 * chi2) / tau_0)
    first = LayerMoments(slope1, bend1, 2 * sp.sqrt(_Q2), _D, scale2)
    # Energies of degrees 1, 2, 3 of layer 2: e^2 tau^2, f^2 tau^4/2, c_3^2.
    energy = {1: _E * scale2, 2: _F * scale2**2 / 2, 3: c3**2}
    second = LayerMoments(
        d1=sp.sqrt(_E),
        d2=sp.sqrt(_F),
        d22=sp.S.Zero,  # the last layer's response enters no kernel
        dd=sum((k * part for k, part in energy.items()), sp.S.Zero) / scale2,
        variance=sum(energy.values(), sp.S.Zero),
    )
    a1, a2, a3, diagonal = (sp.expand(part) for part in kernel_part(kernel, compose([first, second])))
    if flat:
        slope2 = sp.solve(a3 - K3, _E)[0]
        curvature2 = sp.factor(sp.solve((a2 - K2).subs(_E, slope2), _F)[0])
        response2 = _Q2
    else:
        slope2 = sp.solve(a1 - K1, _E)[0]
        curvature2 = sp.factor(sp.solve((a3 - K3).subs(_E, slope2), _F)[0])
        response2 = sp.factor(sp.solve((a2 - K2).subs({_E: slope2, _F: curvature2}), _Q2)[0])
    minimum = diagonal.coeff(c3, 0).subs({_E: slope2, _F: curvature2})
    return TwoLayers(
        slope2,
        curvature2,
        response2,
        sp.expand(K0 - minimum),
        sp.factor(diagonal.coeff(c3, 2)),
        slope_weight(kernel, [first]),
    )


@cache
def rational_layer() -> tuple[sp.Expr, sp.Expr, sp.Expr, sp.Expr]:
    """Return (slope a, q, V, D) of the layer a x/(1 + x^2/w^2) with E[phi'] = 1, in b = w/tau_0."""
    family = named_family("rational")
    a, bend, cubic, w = family.symbols
    # x/(1 + y) = (x + x y)/(1 + y)^2.
    at = {bend: 0, cubic: a / w**2}
    units = {w: rational_width, tau: 1}
    d1, response, energy, slopes = (
        sp.expand(form.subs(at).subs(units))
        for form in (family.moments.d1, family.moments.d22 / 2, family.moments.variance, family.moments.dd)
    )
    slope = 1 / sp.cancel(d1 / a)
    return slope, response.subs(a, slope), energy.subs(a, slope), slopes.subs(a, slope)


@cache
def weighted_bound() -> tuple[sp.Expr, sp.Expr, sp.Expr]:
    """Return (theta, 1/E[xi^2/W], h) of inequality (2) in b, where theta = 1/(1 + b^2), so W = theta (b^2 + xi^2)."""
    b = rational_width
    theta = 1 / (1 + b**2)
    zeroth = inverse_square_moment(1, b) / theta
    second = (1 - b**2 * inverse_square_moment(1, b)) / theta
    fourth = (1 - b**2 * theta * second) / theta
    cross = (second - zeroth) / sp.sqrt(2)
    square = (fourth - 2 * second + zeroth) / 2
    return theta, 1 / second, 1 / (square - cross**2 / zeroth)
