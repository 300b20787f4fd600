"""What two hidden layers can match, whatever their activations, and what bounded ones can.

Theory sheet, section 7; targets, kernels and gauge as in ``theory.matching.equations``.

Two hidden layers (CK).  Let E[phi_1'] = 1 (gauge), V = E[phi_1^2]/tau_0^2, q = E[(phi_1^2)'']/2 and
chi = c_2/tau_0 for the first layer.  Layer 2 needs e^2 = E[phi_2']^2 and f^2 = E[phi_2'']^2 with

  e^2 = k_1,   f^2 = 2 (k_3 - k_1 chi^2/tau_0^2),   q^2 = r_s := (r - s)/(1 - s),
  k_0 >= tau_0^2 k_1 V + tau_0^4 k_3 (1 - s) V^2,                                                           (1)

where r = 2 k_2/k_3 = (alpha_4/lambda_1)^2 and s = k_1 chi^2/(tau_0^2 k_3) lies in [0, 1].  So everything depends on how
small V can be for given q and chi:

* q >= 1: V comes as near to 1 as one likes, by a tail (below).  With chi = 0 inequality (1) is strict as soon as
  k_0 > tau_0^2 k_1 + tau_0^4 k_3.  Hence every DEQ with alpha_4 >= lambda_1 is matched by two hidden layers.  The cubic
  x + g He_3 has q = 1 + sqrt(6) z + 3 z^2 and V = 1 + z^2 (z = c_3/c_1).
* q < 1: for 0 <= theta <= 1 and W = 1 - theta + theta xi^2 >= 0 one has, in units of tau_0,
  E[phi^2] = E[phi^2 W] - 2 theta q, and by the Cauchy-Schwarz inequality, for the odd and the even part of phi_1 apart,

    V >= 1/E[xi^2/W] - 2 theta q + h chi^2,  1/h = E[he_2^2/W] - E[he_2/W]^2/E[1/W],                        (2)

  with equality at chi = 0 for phi_1 proportional to xi/W: x/(1 + x^2/w^2), which is bounded, is the best there is.  q
  runs through (-oo, 1) as w does through (0, oo).  A first layer with q = -sqrt(r_s) is bounded by (2) a fortiori.  So
  for alpha_4 < lambda_1 a DEQ can be matched with chi = 0 iff (1) holds for that layer, and if (1) fails in (2) for all
  s in [0, r], no network of one or two hidden layers matches it, whatever its activations.  (For k_1 = 0 there is no s,
  because e = 0; and E[phi_1'] = 0 would need r >= 1.)

Two hidden layers (NTK).  The same elimination gives e^2 = k_1/3, and with X = k_1 chi^2/(3 tau_0^2)

  f^2 = 2 (k_3 - 4 X)/5,   q^2 = 10 (k_2 - X)/(k_3 - 4 X),
  k_0 >= tau_0^2 e^2 (2V + D) + tau_0^4 f^2 (V^2/2 + (V + D) V),   D = E[phi_1'^2],                         (3)

where now the slope energy D counts, so that q > 1 is not free.  For k_1 = 0 there is a second way, E[phi_1'] = 0: with
c_2 = tau_0 as the gauge, (3) holds with e^2 = tau_0^2 k_3/4 and f^2 = (4 k_2 - k_3)/q^2, q free.  How small the right
side of (3) can be, in units of tau_0 and in the squares p_k = c_k^2: V = sum p_k and D = sum k p_k are linear, and so
is q = sum k p_k + sum sqrt((k+1)(k+2)) c_k c_{k+2} but for the products, whose signs are free.  So for q > 1 the
constraint is D + sum sqrt((k+1)(k+2) p_k p_{k+2}) >= q, a convex one (for q < 1 likewise, with the sum subtracted), and
for V between two neighbouring values multipliers find the least D without a gap: ``numerics.matching.impossibility``.

Tails.  Let phi = v x exp(g x^2), E[(xi^2 - 1) phi^2]/2 = t fixed and 4 g tau_0^2 -> 1.  Then E[phi^2] -> 0,
E[phi'^2] -> t/2, and every Hermite coefficient vanishes: a tail adds t to q, t/2 to D and nothing to V.  No function
of small energy adds less to D, because 2 sqrt((k+1)(k+2)) < 2k + 3 gives 2D - q >= -V/2.

All inequalities concern layer 1 only: given e, f and a k_0 that satisfies them, layer 2 is the centred quadratic with
that slope and curvature, and the rest of k_0 in degree 3.  Where the cubic layers match with something left over, the
rational layers (a x + b x^2 + c x^3)/(1 + x^2/w^2)^2 do for all large w, since they and their moments tend to the
cubics': so bounded layers do as well.
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
    """Eliminate the second layer, from the layer recursion: (1) and (3) of the module's text.

    Args:
        kernel: name of a ``Kernel``.
        flat: whether E[phi_1'] = 0 (then k_1 = 0), with the gauge c_2 = tau_0 of the first layer instead.

    Example:
        >>> two_layers("ck").slope2
        k_1
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
