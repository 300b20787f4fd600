"""First layers of two: float64 looks for the one that leaves most variance, balls solve for its last coefficient.

A candidate is, in units of tau_0, sum_{k<=4} c_k he_k(x) + v x exp(g x^2): a polynomial, or one with a tail, which is
the cheapest way to a large q = E[(phi_1^2)'']/2 (``theory.matching.two_layers``).  Its gauge is E[phi_1'] = 1, or c_2 =
1 where E[phi_1'] = 0 (``flat``).  What float64 finds is a starting point only: every coefficient is rounded but one,
which is solved for in balls.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache

import numpy as np
import sympy as sp
from flint import arb
from scipy.optimize import minimize

from numerics.arithmetic import (
    BallArithmetic,
    BallSystem,
    FloatArithmetic,
    Program,
    RootNotCertifiedError,
    certify_root,
    compile_program,
)
from numerics.matching.explicit_network import ExplicitLayer
from numerics.matching.targets import Target, evaluate
from theory.matching import TARGETS, chi2, hermite_family, hermite_function, named_family, one_layer, two_layers
from theory.symbols import tau, tau_0, x

__all__ = [
    "FirstLayer",
    "first_layers",
]

#: Bits to which coefficients that may be chosen are rounded.
_EXACT_BITS = 40
#: The tails that are tried have 4 g = 1 - 2^-k, in units of tau_0; for the CK some k always does.
_TAILS = range(1, 17)
_CK_TAILS = range(1, 200)
_STARTS = tuple((second, third) for second in (0.05, 0.25) for third in (0.05, 0.3, -0.1))
#: Residual of the equation for k_2, relative to the variance to spare, at which a float64 solution is a starting point.
_NEAR = 1e-6
#: Part of k_0 to spare that float64 still sees.
_NOISE = 1e-13
_C2, _C3, _C4, _TAIL = sp.symbols("c_2 c_3 c_4 v", real=True)
_RATE = sp.Symbol("g", positive=True)


@dataclass(frozen=True)
class FirstLayer:
    """A first layer, and balls of what the second one needs of it.

    Attributes:
        layer: the layer.
        share: chi^2 = (c_2/c_1)^2, 0 where c_1 = 0.
        response2: q^2.
        energy: V = E[phi_1^2]/tau_0^2.
        slopes: D = E[phi_1'^2].
        flat: whether E[phi_1'] = 0.
    """

    layer: ExplicitLayer
    share: arb
    response2: arb
    energy: arb
    slopes: arb
    flat: bool = False


@dataclass(frozen=True)
class _Kind:
    """A kind of candidate.

    Attributes:
        free: the coefficients that are chosen; the others are 0.  The last one solves for q, unless flat.
        flat: whether E[phi_1'] = 0.
    """

    free: tuple[sp.Symbol, ...]
    flat: bool


@cache
def _forms(kind: _Kind) -> tuple[tuple[sp.Expr, ...], sp.Expr, sp.Expr, sp.Expr]:
    """Coefficients of x, x^2, x^3, x^4, and q, V, D, in the free coefficients and g (tau_0 = 1)."""
    family = named_family("tail")
    *powers, tail, rate = family.symbols
    slope = sp.Dummy("c_1")
    coefficients = (slope, sp.S.One if kind.flat else _C2, _C3, _C4)
    polynomial = sp.Poly(sum((c * hermite_function(k, x) for k, c in enumerate(coefficients, 1)), sp.S.Zero), x)
    place = {s: polynomial.coeff_monomial(x**k) for k, s in enumerate(powers, 1)} | {tail: _TAIL, rate: _RATE, tau: 1}
    moments = family.moments
    (fixed,) = sp.solve(moments.d1.subs(place, simultaneous=True) - (0 if kind.flat else 1), slope)
    absent = {s: 0 for s in (_C2, _C3, _C4, _TAIL) if s not in kind.free}

    def at(form: sp.Expr) -> sp.Expr:
        return form.subs(place, simultaneous=True).subs(slope, fixed).subs(absent)

    return tuple(map(at, powers)), at(moments.d22 / 2), at(moments.variance), at(moments.dd)


@cache
def _programs(kernel: str, kind: _Kind) -> tuple[Program, Program]:
    """Leftover and equation for k_2 with their slopes, and f^2; of the free coefficients, g, the targets and tau_0."""
    _, response, energy, slopes = _forms(kind)
    reduced = two_layers(kernel, flat=kind.flat)
    place = {
        reduced.V: energy,
        reduced.D: slopes,
        reduced.Q2: response**2,
        chi2: 0 if kind.flat else _C2**2 if _C2 in kind.free else 0,
    }
    leftover = reduced.leftover.subs(place)
    curvature2 = reduced.curvature2.subs(place)
    equation = (
        sp.S.Zero
        if kind.flat
        else sp.cancel(curvature2) * response**2 - sp.cancel(reduced.curvature2 * reduced.response2).subs(place)
    )
    symbols = [*kind.free, _RATE, *TARGETS, tau_0]
    forms = [leftover, *(sp.diff(leftover, s) for s in kind.free), equation, *(sp.diff(equation, s) for s in kind.free)]
    return (
        compile_program(forms, symbols, FloatArithmetic()),
        compile_program([curvature2], symbols, FloatArithmetic()),
    )


def first_layers(target: Target, *, tailed: bool) -> Iterator[FirstLayer]:
    """Yield first layers that may leave a positive variance, the mildest tails first.

    Args:
        target: what to match, with k_2, k_3 > 0 and k_1 >= 0.
        tailed: whether with a tail (degree 4 besides) or polynomials of degree 3 (4 where E[phi_1'] = 0).
    """
    if tailed and target.kernel == "ck":
        yield from _plain_tails(target)
        return
    if _spare(target) < _NOISE:
        return
    kinds = [_Kind((_C2, _C3, _C4, _TAIL) if tailed else (_C2, _C3), flat=False)]
    if target.even and target.kernel != "ck":
        # The second way to k_1 = 0.
        kinds.append(_Kind((_C4, _TAIL) if tailed else (_C4,), flat=True))
    if not tailed:
        for kind in kinds:
            yield from _realised(target, kind, None, _best_coefficients(target, kind, 0.0, _starts(target, kind)))
        return
    last: dict[_Kind, list[np.ndarray]] = {}
    for level in _TAILS:
        rate = _rate(level)
        # The tail's part of q is of order v^2 (1 - 4g)^(-5/2).
        shrink = 1.0 if level == _TAILS[0] else 2.0**-1.25
        for kind in kinds:
            starts = [np.append(point[:-1], point[-1] * shrink) for point in last.get(kind, _starts(target, kind)[::2])]
            points = _best_coefficients(target, kind, float(rate), starts)
            last[kind] = points or starts
            yield from _realised(target, kind, rate, points)


def _plain_tails(target: Target) -> Iterator[FirstLayer]:
    """Layers x + v x exp(g x^2) with the q > 1 that chi = 0 asks for, their energy as near to 1 as need be."""
    (response2,) = evaluate([two_layers(target.kernel).response2], target, {chi2: arb(0)})
    if not response2 > 1:
        return
    for level in _CK_TAILS:
        # To first order q = 1 + 3/2 v^2 (1 - 4g)^(-5/2).
        start = (2 * (float(response2.mid()) ** 0.5 - 1) / 3) ** 0.5 * 2.0 ** (-1.25 * level)
        yield from _realised(target, _Kind((_TAIL,), flat=False), _rate(level), [np.array([start])])


def _rate(level: int) -> Fraction:
    """g of a tail."""
    return Fraction(2**level - 1, 4 * 2**level)


def _spare(target: Target) -> float:
    """What k_0 has beyond the least of any network with the other three numbers, relative to k_0."""
    (left,) = evaluate([one_layer(target.kernel).leftover / TARGETS.diagonal], target)
    return float(left.mid())


def _starts(target: Target, kind: _Kind) -> list[np.ndarray]:
    """Starting points; where little can be spared the layer is nearly linear."""
    if kind.flat:
        return [np.full(len(kind.free), size) for size in (0.05, 0.3)]
    size = min(1.0, 3 * _spare(target) ** 0.5)
    return [size * np.array([second, third, *([0.05] * (len(kind.free) - 2))]) for second, third in _STARTS]


def _best_coefficients(target: Target, kind: _Kind, rate: float, starts: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Free coefficients that leave most variance, best first, in float64."""
    both, positive = _programs(target.kernel, kind)
    known = (rate, *(float(ball.mid()) for ball in (*target.coefficients, target.scale)))
    spare, count = _spare(target), len(kind.free)
    # Coefficients and forms are scaled to order 1.
    unit, size = (1.0 if kind.flat else min(1.0, 3 * spare**0.5)), known[4] * spare

    seen: dict[bytes, np.ndarray] = {}

    def values(point: np.ndarray) -> np.ndarray:
        """The forms at a point, which the optimiser asks for four times each."""
        key = point.tobytes()
        if key not in seen:
            forms = np.array([float(part) for part in both(*map(float, unit * point), *known)]) / size
            forms[1 : count + 1] *= unit
            forms[count + 2 :] *= unit
            seen.clear()
            seen[key] = forms
        return seen[key]

    constraints = (
        []
        if kind.flat
        else [{"type": "eq", "fun": lambda c: values(c)[count + 1], "jac": lambda c: values(c)[count + 2 :]}]
    )
    constraints.append({"type": "ineq", "fun": lambda c: float(positive(*map(float, unit * c), *known)[0]) / size})
    candidates: list[tuple[float, np.ndarray]] = []
    for start in starts:
        with np.errstate(all="ignore"):  # steps that overflow are rejected below
            optimum = minimize(
                lambda c: -values(c)[0], start / unit, jac=lambda c: -values(c)[1 : count + 1], method="SLSQP",
                constraints=constraints, options={"maxiter": 100, "ftol": 1e-12},
            )  # fmt: skip
            reached = values(optimum.x)
        if np.all(np.isfinite(optimum.x)) and np.all(np.isfinite(reached)) and abs(reached[count + 1]) < _NEAR:
            candidates.append((float(optimum.fun), unit * optimum.x))
    candidates.sort(key=lambda pair: pair[0])
    return [point for _, point in candidates[:2]]


def _rounded(value: float) -> arb:
    """A number of few bits near a float64 number, as an exact ball."""
    mantissa, exponent = math.frexp(value)
    return arb(round(mantissa * 2**_EXACT_BITS)) * arb(2) ** (exponent - _EXACT_BITS)


def _realised(target: Target, kind: _Kind, rate: Fraction | None, points: Sequence[np.ndarray]) -> Iterator[FirstLayer]:
    """The layers with rounded coefficients, the last one solved for."""
    powers, *moments = _forms(kind)
    reduced = two_layers(target.kernel, flat=kind.flat)
    tail = [] if rate is None else [arb(rate.numerator) / rate.denominator]
    parameters = [] if rate is None else [_RATE]
    for point in points:
        values = [_rounded(float(c)) for c in point]
        if not kind.flat:
            equation = moments[0] ** 2 - reduced.response2.subs(chi2, _C2**2 if _C2 in kind.free else 0)
            system = BallSystem([equation], [kind.free[-1]], [*kind.free[:-1], *parameters, *TARGETS, tau_0])
            data = [*values[:-1], *tail, *target.coefficients, target.scale]
            try:
                (values[-1],) = certify_root(system, values[-1:], data)
            except RootNotCertifiedError:
                continue
        program = compile_program([*powers, *moments], [*kind.free, *parameters], BallArithmetic())
        *parts, response, energy, slopes = map(arb, program(*values, *tail))
        scale = target.scale
        if rate is None:
            names = [symbol.name.replace("_", "") for symbol in kind.free]
            first = {"c2": scale} if kind.flat else {"c1": scale}
            coefficients = first | {name: scale * value for name, value in zip(names, values, strict=True)}
            layer = ExplicitLayer(hermite_family(tuple(int(name[1:]) for name in coefficients)), coefficients)
        else:
            coefficients = {name: part / scale**k for k, (name, part) in enumerate(zip("abcd", parts, strict=True))}
            layer = ExplicitLayer(named_family("tail"), coefficients | {"v": values[-1], "g": tail[0] / scale**2})
        share = values[0] ** 2 if kind.free[0] == _C2 else arb(0)
        yield FirstLayer(layer, share, response**2, energy, slopes, kind.flat)
