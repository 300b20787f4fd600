"""The constructive family: polynomial layers, or a rational one, that match a DEQ whenever any two layers do (CK).

``theory.matching`` derives when this works: one layer where k_3 = 2 k_2 (CK) or 6 k_2 (NTK); else a first layer with
the right response q = E[(phi_1^2)'']/2, and a second one with the slope, curvature and variance that are left.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import sympy as sp
from flint import arb
from scipy.optimize import minimize

from numerics.balls import BallArithmetic, constant_ball
from numerics.explicit_network import ExplicitLayer
from numerics.forbidden import ck_is_forbidden, ntk_is_forbidden, width_of_rational
from numerics.krawczyk import BallSystem, RootNotCertifiedError, certify_root
from numerics.matches import Decision, Layers, Target, evaluate, infeasible, undecided
from numerics.programs import FloatArithmetic, compile_program
from theory.families import Family, hermite_family, named_family
from theory.matching import TARGETS, chi2, one_layer, rational_layer, rational_width, two_layers
from theory.symbols import tau, tau_0

__all__ = ["match_hermite", "one_layer_excluded"]

#: Odd degrees of the first layer that are tried at most, and its largest degree for the NTKs, in order.
_LARGEST_DEGREE = 401
_NTK_DEGREES = (3, 5, 8)
#: Bits after the point to which coefficients that may be chosen are rounded.
_EXACT_BITS = 40


def match_hermite(target: Target, layers: int = 2) -> Decision:
    """Construct a matching network of polynomial (or rational) layers, or prove that none of any kind exists.

    ``theory.matching`` derives when this works.

    Args:
        target: what to match.
        layers: most hidden layers.
    """
    k1, k2, k3, _ = target.numbers
    if target.one_layer:
        return _one_hermite(target)
    if layers == 1:
        if one_layer_excluded(target):
            ratio = one_layer(target.kernel).ratio
            return infeasible(f"every network with one hidden layer has k_3 = {ratio} k_2, and the DEQ has not")
        return undecided("whether k_3 has one layer's ratio to k_2 is not decided")
    if not (k3 > 0 and k2 > 0 and (k1 > 0 or k1.is_zero())):
        return undecided("whether k_1, k_2 and k_3 are positive is not decided")
    return _two_hermite_ck(target) if target.kernel == "ck" else _two_hermite_ntk(target)


def _one_hermite(target: Target) -> Decision:
    conditions = one_layer(target.kernel)
    linear, quadratic, leftover, weight = evaluate(
        [conditions.linear, conditions.quadratic, conditions.leftover, conditions.cubic_weight], target
    )
    degrees = [k for k, absent in ((1, target.even), (2, target.odd), (3, target.affine)) if not absent]
    if not target.affine and not leftover > 0:
        return undecided("whether the energy of degree >= 3 is positive is not decided")
    values = {"c1": linear, "c2": quadratic, "c3": leftover / weight}
    parameters = {f"c{k}": values[f"c{k}"].nonnegative_part().sqrt() for k in degrees}
    layer = ExplicitLayer(hermite_family(tuple(degrees)), parameters)
    return Decision(
        "exact", ((layer,),), "one layer of Hermite polynomials, its energies those of the kernel by degree"
    )


def _second_layer(target: Target, energy: arb, slopes: arb, share: arb) -> ExplicitLayer | None:
    """The second layer for a first one with the given V, D, chi^2; None unless the leftover is proved positive."""
    forms = two_layers(target.kernel)
    extra = {chi2: share, forms.V: energy, forms.D: slopes}
    slope2, curvature2, leftover, weight = evaluate(
        [forms.slope2, forms.curvature2, forms.leftover, forms.cubic_weight], target, extra
    )
    if not (leftover > 0 and curvature2 > 0):
        return None
    square = target.scale**2 * energy
    values = {} if slope2.is_zero() else {1: (slope2 * square).sqrt()}
    values |= {2: (curvature2 / 2).sqrt() * square, 3: (leftover / weight).sqrt()}
    return ExplicitLayer(hermite_family(tuple(values)), {f"c{k}": value for k, value in values.items()})


def _two_hermite_ck(target: Target) -> Decision:
    """chi = 0; the first layer x + g He_3, else x + g He_m, or the rational one where q < 1."""
    zero = arb(0)
    (response2,) = evaluate([two_layers("ck").response2], target, {chi2: zero})
    response = response2.sqrt()
    inside = 6 + 12 * (response - 1)
    if inside > 0:
        ratio = (inside.sqrt() - arb(6).sqrt()) / 6
        second = _second_layer(target, 1 + ratio**2, 1 + 3 * ratio**2, zero)
        if second is not None:
            first = ExplicitLayer(hermite_family((1, 3)), {"c1": target.scale, "c3": target.scale * ratio})
            return Decision(
                "exact", ((first, second),), "first layer x + g He_3 with the DEQ's response alpha_4/lambda_1"
            )
    if response > 1:
        for degree in range(5, _LARGEST_DEGREE + 1, 2):
            square = (response - 1) / degree
            second = _second_layer(target, 1 + square, 1 + degree * square, zero)
            if second is not None:
                first = ExplicitLayer(
                    hermite_family((1, degree)), {"c1": target.scale, f"c{degree}": target.scale * square.sqrt()}
                )
                return Decision(
                    "exact",
                    ((first, second),),
                    f"first layer x + g He_{degree}: lower degrees leave a negative variance",
                )
        return undecided(f"a first layer x + g He_m needs a degree m above {_LARGEST_DEGREE}")
    if response < 1:
        solved = _rational_first(target, response)
        if solved is not None:
            first, energy, slopes = solved
            second = _second_layer(target, energy, slopes, zero)
            if second is not None:
                return Decision(
                    "exact", ((first, second),), "first layer x/(1 + x^2/w^2), the least energy there is for q < 1"
                )
        if ck_is_forbidden(target.numbers, target.scale):
            return infeasible(
                f"alpha_4/lambda_1 = {response.str(6, radius=False)} < 1 asks for a first layer whose least energy "
                "leaves a negative variance: inequality (1) of theory.matching fails for every first layer",
                universal=True,
            )
    return undecided("the energy left over is not decided")


def _rational_first(target: Target, response: arb) -> tuple[ExplicitLayer, arb, arb] | None:
    """The rational layer with slope 1 and response q, and its V and D."""
    try:
        start = width_of_rational(float(response.mid()))
    except ValueError:
        return None
    slope, form, energy, slopes = rational_layer()
    wanted = sp.Symbol("q", real=True)
    system = BallSystem([form - wanted], [rational_width], [wanted])
    try:
        (width,) = certify_root(system, [arb(start)], [response])
    except RootNotCertifiedError:
        return None
    values = compile_program([slope, energy, slopes], [rational_width], BallArithmetic())(width)
    layer = ExplicitLayer(named_family("rational"), {"a": arb(values[0]), "w": width * target.scale})
    return layer, arb(values[1]), arb(values[2])


def _two_hermite_ntk(target: Target) -> Decision:
    """First layer of degrees 1 .. K, chosen in float64 for the largest leftover, then solved for c_3 in balls."""
    if not target.even and not one_layer_excluded(target):
        return undecided("whether one hidden layer would do is not decided")
    for degree in _NTK_DEGREES:
        for start in _first_layers(target, degree):
            found = _ntk_network(target, start)
            if found is not None:
                return Decision(
                    "exact", (found,), f"first layer of degree {degree}, chosen for a positive variance left over"
                )
        if degree == _NTK_DEGREES[0] and ntk_is_forbidden(target.numbers, target.scale):
            return infeasible(
                "inequality (3) of theory.matching fails for every first layer: its response and slope energy leave a "
                "negative variance",
                universal=True,
            )
    return undecided(
        f"no first layer of degree up to {_NTK_DEGREES[-1]} matches, and it is not proved that no other does",
        digits_help=False,
    )


def one_layer_excluded(target: Target) -> bool:
    """Return whether k_3/k_2 is proved not to be that of every network with one hidden layer."""
    ratio = arb(constant_ball(one_layer(target.kernel).ratio))
    return not (target.numbers[2] - ratio * target.numbers[1]).contains(0)


def _first_layer_forms(degrees: Sequence[int]) -> tuple[Family, dict[str, sp.Expr]]:
    """q, V and D of Hermite coefficients in units of c_1 = tau_0 = 1."""
    family = hermite_family(tuple(degrees))
    at = {family.symbols[0]: 1, tau: 1}
    moments = family.moments
    return family, {"q": (moments.d22 / 2).subs(at), "V": moments.variance.subs(at), "D": moments.dd.subs(at)}


def _first_layers(target: Target, degree: int) -> list[np.ndarray]:
    """Coefficients c_2 .. c_degree of promising first layers, best first, in float64."""
    family, forms = _first_layer_forms(range(1, degree + 1))
    coefficients = family.symbols[1:-1]
    reduced = two_layers(target.kernel)
    known = dict(zip((*TARGETS, tau_0), [float(ball.mid()) for ball in (*target.numbers, target.scale)], strict=True))
    place = {reduced.V: forms["V"], reduced.D: forms["D"], chi2: coefficients[0] ** 2}
    goal, match, positive = (
        expr.subs(place).subs(known)
        for expr in (
            reduced.leftover,
            reduced.curvature2 * (forms["q"] ** 2 - reduced.response2),
            reduced.curvature2,
        )
    )
    symbols = [*coefficients]
    objective = compile_program([goal, *(sp.diff(goal, s) for s in symbols)], symbols, FloatArithmetic())
    match = sp.cancel(match)
    constraint = compile_program([match, *(sp.diff(match, s) for s in symbols)], symbols, FloatArithmetic())
    bound = compile_program([positive], symbols, FloatArithmetic())
    size = known[TARGETS[3]]
    candidates: list[tuple[float, np.ndarray]] = []
    for second in (0.05, 0.25):
        for third in (0.05, 0.3, -0.1):
            start = np.array([second, third, *([0.01] * (degree - 3))])
            with np.errstate(all="ignore"):  # steps that overflow are rejected below
                found = minimize(
                    lambda c: -float(objective(*c)[0]) / size,
                    start,
                    jac=lambda c: -np.array(objective(*c)[1:], dtype=float) / size,
                    method="SLSQP",
                    constraints=[
                        {
                            "type": "eq",
                            "fun": lambda c: float(constraint(*c)[0]) / size,
                            "jac": lambda c: np.array(constraint(*c)[1:], dtype=float) / size,
                        },
                        {"type": "ineq", "fun": lambda c: float(bound(*c)[0]) / size},
                    ],
                    options={"maxiter": 300, "ftol": 1e-12},
                )
            # Only a starting point: what counts is proved afterwards.
            if np.all(np.isfinite(found.x)) and abs(float(constraint(*found.x)[0])) < 1e-6 * size and -found.fun > 0:
                candidates.append((float(found.fun), found.x))
    candidates.sort(key=lambda pair: pair[0])
    return [point for _, point in candidates[:2]]


def _ntk_network(target: Target, start: np.ndarray) -> Layers | None:
    """The network for one choice of coefficients: all but c_3 are rounded to dyadic numbers, c_3 is solved for."""
    degree = len(start) + 1
    exact = [arb(round(float(c) * 2**_EXACT_BITS)) / 2**_EXACT_BITS for c in start]
    family, forms = _first_layer_forms(range(1, degree + 1))
    coefficients = family.symbols[1:-1]
    third = coefficients[1]
    others = [c for c in coefficients if c != third]
    reduced = two_layers(target.kernel)
    equation = forms["q"] ** 2 - reduced.response2.subs(chi2, coefficients[0] ** 2)
    system = BallSystem([equation], [third], [*TARGETS, tau_0, *others])
    fixed = [value for symbol, value in zip(coefficients, exact, strict=True) if symbol != third]
    try:
        (root,) = certify_root(system, [exact[1]], [*target.numbers, target.scale, *fixed])
    except RootNotCertifiedError:
        return None
    values = [root if symbol == third else value for symbol, value in zip(coefficients, exact, strict=True)]
    program = compile_program([forms["V"], forms["D"]], coefficients, BallArithmetic())
    energy, slopes = (arb(value) for value in program(*values))
    second = _second_layer(target, energy, slopes, values[0] ** 2)
    if second is None:
        return None
    parameters = {"c1": target.scale} | {
        symbol.name: target.scale * value for symbol, value in zip(coefficients, values, strict=True)
    }
    return ExplicitLayer(family, parameters), second
