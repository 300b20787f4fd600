"""Explicit networks whose kernel has the coefficients of a DEQ's: equations, gauge, and what can be matched at all.

Theory sheet, section 7.  Two networks have the same CK equivalent iff their (a_1, a_2, a_3, tau^2) agree with
(alpha_1, alpha_2, alpha_3, gamma_*^2), and the same NTK equivalent iff (b_1, b_2, b_3, kappa^2) agree with the NTK's
own four numbers.  Here the targets are k_1, k_2, k_3 and k_0 (the diagonal), whichever kernel is meant.

Gauge.  Multiplying layer 1 by k > 0 and giving layer 2 the input x/k changes no kernel, so the parameters of two
layers are determined up to one scale (and signs: phi_1 -> -phi_1, x -> -x).

One hidden layer.  With c_k the orthonormal Hermite coefficients of phi at tau_0, k_2 and k_3 are multiples of c_2^2:
k_3 = 2 k_2 (CK) or 6 k_2 (NTK), and what k_0 has beyond tau_0^2 k_1 + tau_0^4 k_3 is sum_{j>=3} c_j^2 (CK) or
sum_{j>=3} (1+j) c_j^2 (NTK).  Both conditions are necessary, and a polynomial of degree 3 shows that they suffice.
For every DEQ the second holds: on samples of norm tau_0 its kernel is f(s) = sum f_j s^j with f_j >= 0, f_1 = k_1,
f_2 = k_3 and f(tau_0^2) = k_0.  The first holds iff sigma_a^2 = 0, alpha_2 = alpha_3 = 0, or alpha_4 = lambda_1 (CK).

One odd layer (k_2 = k_3 = 0).  The amplitude drops out of R = k_0/(tau_0^2 k_1); let y be the width c/tau_0 of a hard
tanh, or 1/(w tau_0) of erf and sin.  CK: R = sinh(v)/v for sin, v = y^-2; R = asin(z)/z for erf, z = 2/(2 + y^2); and
R = (P - y g + y^2 Q)/P^2 for hard tanh, P = 1 - Q = P(|xi| < y) and g = dP/dy, whose derivative is
-2 (g - y Q)(P - y g)/P^3 < 0 by Mills' inequality y Q < g and because the density falls.  NTK: (R + cosh v)/2,
(R + (1 - z^2)^(-1/2))/2 and (R + 1/P)/2.  All fall strictly with y, to 1, from pi/2 (CK of hard tanh and erf) or from
infinity: there is one width where R lies in between, and none otherwise.

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

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import sympy as sp

from theory.equations import KERNELS, LayerCoefficients, LayerMoments, input_layer, next_layer
from theory.matching.families import Family
from theory.symbols import tau

__all__ = [
    "K0",
    "K1",
    "K2",
    "K3",
    "TARGETS",
    "MatchingSystem",
    "compose",
    "kernel_part",
    "linear_relations",
    "matching_system",
]

#: The target's numbers: of S, of delta_i delta_j, of S_ij^2, and the diagonal.
TARGETS = (*sp.symbols("k_1:4", nonnegative=True), sp.Symbol("k_0", positive=True))
K1, K2, K3, K0 = TARGETS


def kernel_part(kernel: str, layer: LayerCoefficients) -> tuple[sp.Expr, sp.Expr, sp.Expr, sp.Expr]:
    """Return the coefficients of S, delta_i delta_j, S_ij^2 and the diagonal value of a kernel of a network.

    Raises:
        ValueError: an unknown kernel.
    """
    if kernel not in KERNELS:
        raise ValueError(f"unknown kernel {kernel!r}: accepted are {', '.join(KERNELS)}")
    if kernel == "ck":
        return layer.a1, layer.a2, layer.a3, layer.tau2
    return layer.b1, layer.b2, layer.b3, layer.kappa2


def compose(layers: Sequence[LayerMoments]) -> LayerCoefficients:
    """Return the coefficients of the plain network with the given layers."""
    state = input_layer()
    for moments in layers:
        state = next_layer(state, moments=moments)
    return state


@dataclass(frozen=True)
class MatchingSystem:
    """The equations of a network from given families.

    Attributes:
        kernel: which kernel is matched.
        unknowns: the layers' parameters, layer after layer; parameter a of layer 2 is ``a_2``.
        equations: achieved minus target, which must vanish; in the unknowns, ``TARGETS`` and tau_0.
        gauge: by unknown, the exponent of k under "multiply layer 1 by k, undo it in layer 2"; empty for one layer and
            where the families cannot absorb it.
        relations: coefficients of (k_1, k_2, k_3, k_0) in the linear relations that every such network satisfies, in
            tau_0: where the target satisfies one too, an equation is redundant; where not, there is no solution.
    """

    kernel: str
    unknowns: tuple[sp.Symbol, ...]
    equations: tuple[sp.Expr, ...]
    gauge: Mapping[sp.Symbol, int]
    relations: tuple[tuple[sp.Expr, ...], ...]


def _of_layer(symbol: sp.Symbol, layer: int) -> sp.Symbol:
    return sp.Symbol(f"{symbol.name}_{layer}", **symbol.assumptions0)


def matching_system(kernel: str, families: Sequence[Family]) -> MatchingSystem:
    """Derive the equations, the gauge and a redundancy of the networks with one layer of each family.

    Raises:
        ValueError: an unknown kernel, or no families.
    """
    if not families:
        raise ValueError("an explicit network needs at least one layer")
    state = input_layer()
    unknowns: list[sp.Symbol] = []
    renamed: list[dict[sp.Symbol, sp.Symbol]] = []
    for number, family in enumerate(families, 1):
        names = {symbol: _of_layer(symbol, number) for symbol in family.symbols if symbol.name != family.own_scale}
        place = {tau: sp.sqrt(state.tau2)} | names
        fields = {name: getattr(family.moments, name) for name in LayerMoments.__dataclass_fields__}
        moments = LayerMoments(**{name: value.subs(place, simultaneous=True) for name, value in fields.items()})
        state = next_layer(state, moments=moments)
        unknowns += names.values()
        renamed.append(names)
    achieved = kernel_part(kernel, state)
    gauge: dict[sp.Symbol, int] = {}
    if len(families) == 2:
        scalings = [family.scaling for family in families]
        if scalings[0] is not None and scalings[1] is not None:
            gauge = {new: scalings[0].output[old.name] for old, new in renamed[0].items()}
            gauge |= {new: scalings[1].input[old.name] for old, new in renamed[1].items()}
    return MatchingSystem(
        kernel,
        tuple(unknowns),
        tuple(have - want for have, want in zip(achieved, TARGETS, strict=True)),
        MappingProxyType(gauge),
        linear_relations(achieved, unknowns),
    )


def linear_relations(expressions: Sequence[sp.Expr], unknowns: Sequence[sp.Symbol]) -> tuple[tuple[sp.Expr, ...], ...]:
    """Return a basis of the constants x_i with sum_i x_i expressions_i = 0 for all values of the unknowns.

    Only rational functions of the unknowns are looked at (else the basis is empty); the constants may contain tau_0.
    """
    if not all(expr.is_rational_function(*unknowns) for expr in expressions):
        return ()
    weights = sp.symbols(f"x_0:{len(expressions)}")
    total = sum((weight * expr for weight, expr in zip(weights, expressions, strict=True)), sp.S.Zero)
    conditions = sp.Poly(sp.expand(sp.numer(sp.together(total))), *unknowns).coeffs()
    matrix, _ = sp.linear_eq_to_matrix(conditions, weights)
    return tuple(tuple(map(sp.factor, vector)) for vector in matrix.nullspace(simplify=True))


# --------------------------------------------------------------------------------------------------------------------
# One hidden layer, any activation


# --------------------------------------------------------------------------------------------------------------------
# Two hidden layers, any activation


# --------------------------------------------------------------------------------------------------------------------
# Two leaky-ReLU layers
