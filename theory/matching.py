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
for V between two neighbouring values multipliers find the least D without a gap: ``numerics.forbidden``.

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
from functools import cache
from types import MappingProxyType

import sympy as sp

from theory.explicit import LayerCoefficients, LayerMoments, input_layer, next_layer
from theory.families import Family, inverse_square_moment, named_family
from theory.symbols import tau, tau_0
from theory.theories import KERNELS

__all__ = [
    "TARGETS",
    "LeakyReduction",
    "MatchingSystem",
    "OneLayer",
    "TwoLayers",
    "chi2",
    "compose",
    "kernel_part",
    "leaky_kernel",
    "leaky_reductions",
    "leaky_relations",
    "linear_relations",
    "matching_system",
    "necessary_conditions",
    "odd_ratio_limit",
    "one_layer",
    "rational_layer",
    "rational_width",
    "two_layers",
    "weighted_bound",
]

#: The target's numbers: of S, of delta_i delta_j, of S_ij^2, and the diagonal.
TARGETS = (*sp.symbols("k_1:4", nonnegative=True), sp.Symbol("k_0", positive=True))
_K1, _K2, _K3, _K0 = TARGETS

#: chi^2 = (c_2/c_1)^2 of the first layer.
chi2 = sp.Symbol("chi^2", nonnegative=True)
#: Squared slope and curvature of the second layer, E[phi_2']^2 and E[phi_2'']^2.
_E, _F = sp.symbols("e^2 f^2", nonnegative=True)
#: Of the first layer: q, V = E[phi_1^2]/tau_0^2, and D = E[phi_1'^2].
_Q2, _V, _D = sp.symbols("q^2 V D", nonnegative=True)
#: b = w/tau_0 of the rational layer.
rational_width = sp.Symbol("b", positive=True)


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
    linear = _K1 / sp.cancel(a1 / c1**2)
    quadratic = _K3 / sp.cancel(a3 / c2**2)
    minimum = sp.expand(diagonal).subs(c3, 0).subs({c1: sp.sqrt(linear), c2: sp.sqrt(quadratic)})
    return OneLayer(
        ratio=sp.cancel(a3 / a2),
        linear=linear,
        quadratic=quadratic,
        leftover=sp.expand(_K0 - minimum),
        cubic_weight=sp.expand(diagonal).coeff(c3, 2),
        slope_weight=_slope_weight(kernel, []),
    )


def _slope_weight(kernel: str, before: Sequence[LayerMoments]) -> sp.Expr:
    """How often the last layer's E[phi'^2] counts in k_0."""
    last = LayerMoments()
    return sp.expand(kernel_part(kernel, compose([*before, last]))[3]).coeff(last.dd)


def necessary_conditions(kernel: str, layers: int, family: str) -> tuple[sp.Rel, ...]:
    """Return what a target must satisfy to be the kernel of a network with so many layers of a family, in ``TARGETS``.

    The energy of degree >= 3 is never negative; one layer fixes k_3/k_2; odd families have neither; and leaky-ReLU
    networks satisfy linear relations, each of which makes an equation redundant for the DEQs that satisfy it too.
    """
    one = one_layer(kernel)
    found: list[sp.Rel] = [sp.Ge(one.leftover, 0, evaluate=False)]
    if family in ("hard_tanh", "erf", "sin"):
        found += [sp.Eq(_K2, 0, evaluate=False), sp.Eq(_K3, 0, evaluate=False)]
        if odd_ratio_limit(kernel, family).is_finite:
            found.append(sp.Lt(_K0, odd_ratio_limit(kernel, family) * tau_0**2 * _K1, evaluate=False))
    elif layers == 1:
        found.append(sp.Eq(_K3, one.ratio * _K2, evaluate=False))
    if family == "leaky_relu":
        for relation in leaky_relations(kernel, layers):
            unit = next(c for c in reversed(relation) if c != 0)
            total = sum((sp.cancel(c / unit) * k for c, k in zip(relation, TARGETS, strict=True)), sp.S.Zero)
            found.append(sp.Eq(sp.expand(total), 0, evaluate=False))
    return tuple(found)


def odd_ratio_limit(kernel: str, family: str) -> sp.Expr:
    """Return what k_0/(tau_0^2 k_1) of one layer of hard_tanh, erf or sin stays below (see the module's text)."""
    return sp.pi / 2 if kernel == "ck" and family in ("hard_tanh", "erf") else sp.oo


# --------------------------------------------------------------------------------------------------------------------
# Two hidden layers, any activation


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
        slope2 = sp.solve(a3 - _K3, _E)[0]
        curvature2 = sp.factor(sp.solve((a2 - _K2).subs(_E, slope2), _F)[0])
        response2 = _Q2
    else:
        slope2 = sp.solve(a1 - _K1, _E)[0]
        curvature2 = sp.factor(sp.solve((a3 - _K3).subs(_E, slope2), _F)[0])
        response2 = sp.factor(sp.solve((a2 - _K2).subs({_E: slope2, _F: curvature2}), _Q2)[0])
    minimum = diagonal.coeff(c3, 0).subs({_E: slope2, _F: curvature2})
    return TwoLayers(
        slope2,
        curvature2,
        response2,
        sp.expand(_K0 - minimum),
        sp.factor(diagonal.coeff(c3, 2)),
        _slope_weight(kernel, [first]),
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


# --------------------------------------------------------------------------------------------------------------------
# Two leaky-ReLU layers


@dataclass(frozen=True)
class LeakyReduction:
    """Two layers max(a x, b x) with everything but one unknown eliminated.

    Layer l is u_l x + w_l |x|, a = u + w, b = u - w; only squares of u_l and w_l enter, so the four signs are free.

    Attributes:
        unknown: t = (w_1/u_1)^2, or None where nothing is left to solve.
        squares: (u_1^2, w_1^2, u_2^2, w_2^2) in the unknown and the targets; all must be nonnegative.
        equations: what remains to vanish (polynomials in the unknown, where there is one), with the diagonal's last.
        upper: the largest t with w_2^2 >= 0, so that 0 <= t <= upper is a complete search; None without an unknown.
    """

    unknown: sp.Symbol | None
    squares: tuple[sp.Expr, sp.Expr, sp.Expr, sp.Expr]
    equations: tuple[sp.Expr, ...]
    upper: sp.Expr | None


_T = sp.Symbol("t", nonnegative=True)


def _leaky_moments(u2: sp.Expr, w2: sp.Expr, scale2: sp.Expr) -> LayerMoments:
    """Moments of u x + w |x| from its squares, by the family's own formulas (which are even in u and in w)."""
    u, w = sp.symbols("u w", nonnegative=True)
    family = named_family("leaky_relu")
    place = dict(zip(family.symbols, (u + w, u - w), strict=True)) | {tau: sp.sqrt(scale2)}
    fields = {name: getattr(family.moments, name).subs(place) for name in LayerMoments.__dataclass_fields__}
    fields = {name: sp.simplify(value) if name in ("d1", "d2") else sp.expand(value) for name, value in fields.items()}
    return LayerMoments(**{name: value.subs({u: sp.sqrt(u2), w: sp.sqrt(w2)}) for name, value in fields.items()})


@cache
def leaky_reductions(kernel: str, *, even: bool = False) -> tuple[LeakyReduction, ...]:
    """Return the cases of two leaky-ReLU layers: one where k_1 > 0; for k_1 = 0 (``even``), u_2 = 0 or u_1 = 0."""
    u2, w2 = sp.symbols("u_2^2 w_2^2", nonnegative=True)
    one, zero = sp.S.One, sp.S.Zero
    cases = [(one, _T, zero, w2), (zero, one, u2, w2)] if even else [(one, _T, u2, w2)]
    found = []
    for squares in cases:
        scale2 = tau_0**2
        state = input_layer()
        for u, w in (squares[:2], squares[2:]):
            moments = _leaky_moments(u, w, scale2)
            state = next_layer(state, moments=moments)
            scale2 = moments.variance
        k1, k2, k3, k0 = (sp.expand(part) for part in kernel_part(kernel, state))
        solution: dict[sp.Symbol, sp.Expr] = {}
        # Linear in the squares, one after the other.
        order = [(k1, _K1, u2)] if not even else []
        order += [(k2, _K2, w2)] if squares[0] == one else [(k3, _K3, u2), (k2, _K2, w2)]
        for have, want, unknown in order:
            difference = sp.expand((have - want).subs(solution))
            solution[unknown] = sp.factor(-difference.coeff(unknown, 0) / difference.coeff(unknown, 1))
        left = [] if squares[0] == zero else [sp.numer(sp.together((k3 - _K3).subs(solution)))]
        left.append(sp.numer(sp.together((k0 - _K0).subs(solution))))
        solved = tuple(square.subs(solution) for square in squares)
        has_unknown = squares[0] == one
        upper = None
        if has_unknown and not even:
            upper = sp.factor(sp.solve(sp.numer(sp.together(solution[w2])), _T)[0])
        found.append(LeakyReduction(_T if has_unknown else None, solved, tuple(map(sp.expand, left)), upper))
    return tuple(found)


@cache
def leaky_kernel(kernel: str, layers: int) -> tuple[tuple[sp.Symbol, ...], tuple[sp.Expr, ...]]:
    """Return the symbols u_1^2, w_1^2, ... of one or two leaky-ReLU layers, and (k_1, k_2, k_3, k_0) in them."""
    scale2 = tau_0**2
    state = input_layer()
    squares: list[sp.Symbol] = []
    for number in range(1, layers + 1):
        u, w = sp.symbols(f"u_{number}^2 w_{number}^2", positive=True)
        moments = _leaky_moments(u, w, scale2)
        state = next_layer(state, moments=moments)
        scale2 = moments.variance
        squares += [u, w]
    return tuple(squares), tuple(sp.expand(part) for part in kernel_part(kernel, state))


@cache
def leaky_relations(kernel: str, layers: int = 2) -> tuple[tuple[sp.Expr, ...], ...]:
    """Return the linear relations between k_1, k_2, k_3, k_0 of leaky-ReLU networks (none for the NTKs of two)."""
    squares, parts = leaky_kernel(kernel, layers)
    return linear_relations(parts, squares)
