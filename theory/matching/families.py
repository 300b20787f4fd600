"""Parametrised families of activations that the layers of a matching network come from.

A family's moments are closed forms in its parameters and in tau, the standard deviation of its pre-activations, so
that one formula serves float64, any number of digits and balls.  Three kinds:

* anything whose moments ``theory.moments.expectations`` finds in closed form, such as leaky ReLU pairs, a erf(w x),
sums; * Hermite polynomials sum_k c_k he_k(x/tau), he_k orthonormal, each layer centred at its own tau.  With

    tau dc_k/dtau = k c_k + sqrt((k+1)(k+2)) c_{k+2}                                                            (*)

  for any activation at a fixed x-scale (from x phi'(x) = sum_k sqrt(k) c_k xi he_{k-1} and the recurrence of he_k),

    d1 = c_1/tau,   d2 = sqrt(2) c_2/tau^2,   E[phi^2] = sum c_k^2,   tau^2 E[phi'^2] = sum k c_k^2,
    tau^2 E[(phi^2)'']/2 = sum_k k c_k^2 + sum_k sqrt((k+1)(k+2)) c_k c_{k+2};

* the rational (a x + b x^2 + c x^3)/(1 + x^2/w^2)^2, bounded, a cubic polynomial in the limit of large w.  Its moments
  are E[N(xi)/u^n] with u = beta^2 + xi^2, beta = w/tau, and xi^2 = u - beta^2 reduces them to I_n = E[u^-n]:
  I_1 = sqrt(pi/2) exp(beta^2/2) erfc(beta/sqrt 2)/beta and I_{n+1} = -I_n'(beta)/(2 n beta).

Source: theory sheet, sections 4 and 7.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from types import MappingProxyType

import sympy as sp

from theory.activations import Activation, Parameter
from theory.equations import LayerMoments
from theory.grammar import parse_activation
from theory.moments import GaussianMoments
from theory.named import FAMILY_NAMES
from theory.symbols import tau, x, xi

__all__ = [
    "FAMILY_NAMES",
    "Family",
    "FamilyError",
    "Scaling",
    "family_of",
    "hermite_family",
    "hermite_function",
    "hermite_moments",
    "inverse_square_moment",
    "named_family",
    "scaling_exponents",
]


class FamilyError(ValueError):
    """A family that a matching network cannot be made of."""


@dataclass(frozen=True)
class Scaling:
    """How a family's parameters absorb a change of scale: phi(x; theta') = k phi(x/g; theta).

    Attributes:
        output: by parameter, the m with theta' = k^m theta.
        input: by parameter, the n with theta' = g^n theta.
    """

    output: Mapping[str, int]
    input: Mapping[str, int]


@dataclass(frozen=True)
class Family:
    """A parametrised activation with closed-form moments.

    Attributes:
        name: name of the family.
        activation: its activation, parameters symbolic.
        moments: of the centred activation, in ``theory.symbols.tau`` and the parameters.
        bias: E[phi_0(tau xi)], subtracted to centre it.
        own_scale: the parameter that equals tau itself (Hermite layers are centred at their own tau), or "".
        bounded: whether the activation is.
    """

    name: str
    activation: Activation
    moments: LayerMoments
    bias: sp.Expr
    own_scale: str = ""
    bounded: bool = field(default=False, compare=False)

    @property
    def symbols(self) -> tuple[sp.Symbol, ...]:
        """The parameters' symbols, in order."""
        return tuple(parameter.symbol for parameter in self.activation.parameters)

    @property
    def scaling(self) -> Scaling | None:
        """How the parameters absorb changes of scale, or None where they cannot."""
        if self.own_scale:
            names = [symbol.name for symbol in self.symbols]
            return Scaling(
                {name: 0 if name == self.own_scale else 1 for name in names},
                {name: 1 if name == self.own_scale else 0 for name in names},
            )
        return scaling_exponents(self.activation)


def family_of(activation: Activation, name: str | None = None, *, bounded: bool = False) -> Family:
    """Make a family of any activation with symbolic parameters, such as a sum of others.

    Args:
        activation: with its parameters as symbols.
        name: of the family; by default the activation's.
        bounded: whether its activations are.

    Raises:
        FamilyError: it has no free parameter, jumps, or has a moment without a closed form.
        DomainError, DivergentMomentError: it is not an activation with finite moments.
    """
    if not activation.parameters:
        raise FamilyError(f"{activation.name} has no symbolic parameter, so there is nothing to choose")
    if activation.jumps:
        raise FamilyError(f"{activation.name} jumps, so it has no NTK; a family must be continuous")
    moments = GaussianMoments(activation)
    square = moments.square_second_derivative - 2 * moments.mean * moments.second_derivative
    values = (moments.first_derivative, moments.second_derivative, square, moments.slope_energy, moments.variance)
    if not all(GaussianMoments.is_closed(value) for value in values):
        raise FamilyError(f"the moments of {activation.name} have no closed form in its parameters")
    return Family(name or activation.name, activation, LayerMoments(*values), moments.mean, bounded=bounded)


def scaling_exponents(activation: Activation) -> Scaling | None:
    """Derive how an activation's parameters absorb changes of scale, or return None.

    The infinitesimal identities sum_i m_i theta_i dphi/dtheta_i = phi and sum_i n_i theta_i dphi/dtheta_i = -x dphi/dx
    must hold on every piece; breakpoints move with the input's scale and not with the output's.  Both are linear in the
    exponents; functions such as exp(g x^2) count as variables of their own, so what is found holds.
    """
    symbols = [parameter.symbol for parameter in activation.parameters]
    names = [symbol.name for symbol in symbols]
    unknowns = sp.symbols(f"exponent_0:{len(symbols)}")

    def moved(expr: sp.Expr) -> sp.Expr:
        return sum((n * s * sp.diff(expr, s) for n, s in zip(unknowns, symbols, strict=True)), sp.S.Zero)

    exponents_by_side = []
    for output in (True, False):
        conditions = [moved(point) - (0 if output else point) for point in activation.breakpoints]
        for piece in activation.pieces:
            conditions.append(moved(piece.expr) + (-piece.expr if output else x * sp.diff(piece.expr, x)))
        solution = sp.linsolve([c for total in conditions for c in _coefficients(total, unknowns)], *unknowns)
        exponents = [value.subs(dict.fromkeys(unknowns, 0)) for values in solution for value in values]
        if not exponents or not all(value.is_Integer for value in exponents):
            return None
        exponents_by_side.append(MappingProxyType(dict(zip(names, map(int, exponents), strict=True))))
    return Scaling(*exponents_by_side)


def _coefficients(total: sp.Expr, unknowns: Sequence[sp.Symbol]) -> list[sp.Expr]:
    """What must vanish for an expression, linear in the unknowns, to vanish whatever the value of all else in it."""
    numerator = sp.expand(sp.numer(sp.together(total)))
    if numerator == 0 or not numerator.free_symbols - {*unknowns}:
        return [numerator]
    variables = [generator for generator in sp.Poly(numerator).gens if generator not in unknowns]
    return list(sp.Poly(numerator, *variables).coeffs())


def hermite_function(degree: int, argument: sp.Expr) -> sp.Expr:
    """Return the orthonormal Hermite polynomial he_k = He_k/sqrt(k!) of an argument.

    Example:
        >>> hermite_function(3, x)
        sqrt(6)*(x**3 - 3*x)/6
    """
    variable = sp.Dummy("y")
    probabilists = sp.expand(2 ** sp.Rational(-degree, 2) * sp.hermite(degree, variable / sp.sqrt(2)))
    return (probabilists / sp.sqrt(sp.factorial(degree))).subs(variable, argument)


@cache
def hermite_family(degrees: tuple[int, ...]) -> Family:
    """Return sum_k c_k he_k(x/tau) over the given degrees, centred at its own tau (parameter ``tau``).

    Args:
        degrees: increasing degrees, each at least 1.

    Raises:
        FamilyError: no degrees, or one below 1.
    """
    if not degrees or min(degrees) < 1:
        raise FamilyError(f"Hermite layers have degrees from 1 on, not {degrees}")
    coefficients = {k: sp.Symbol(f"c{k}", real=True) for k in degrees}
    scale = sp.Symbol("tau", positive=True)
    expr = sum((c * hermite_function(k, x / scale) for k, c in coefficients.items()), sp.S.Zero)
    parameters = [Parameter(c, sp.S.One, f"coefficient of degree {k}") for k, c in coefficients.items()]
    parameters.append(Parameter(scale, sp.S.One, "standard deviation of the pre-activations"))
    return Family(
        "hermite",
        Activation("hermite", expr, tuple(parameters), "Hermite polynomials of x/tau"),
        hermite_moments(coefficients),
        sp.S.Zero,
        own_scale=scale.name,
    )


def hermite_moments(coefficients: Mapping[int, sp.Expr]) -> LayerMoments:
    """Return the moments of sum_k c_k he_k(x/tau) at scale tau, as the module's text derives them."""
    c = {k: coefficients.get(k, sp.S.Zero) for k in range(1, max(coefficients) + 3)}
    energy = sum((k * c[k] ** 2 for k in coefficients), sp.S.Zero)
    coupling = sum((sp.sqrt((k + 1) * (k + 2)) * c[k] * c[k + 2] for k in coefficients), sp.S.Zero)
    return LayerMoments(
        d1=c[1] / tau,
        d2=sp.sqrt(2) * c[2] / tau**2,
        d22=2 * (energy + coupling) / tau**2,
        dd=energy / tau**2,
        variance=sum((c[k] ** 2 for k in coefficients), sp.S.Zero),
    )


def inverse_square_moment(order: int, width: sp.Symbol) -> sp.Expr:
    """Return I_n = E[(b^2 + xi^2)^-n] for b = ``width`` > 0, by differentiating I_1 under the expectation."""
    value = sp.sqrt(sp.pi / 2) * sp.exp(width**2 / 2) * sp.erfc(width / sp.sqrt(2)) / width
    for n in range(1, order):
        value = sp.expand(-sp.diff(value, width) / (2 * n * width))
    return value


def _inverse_square_mean(numerator: sp.Expr, order: int, width: sp.Symbol) -> sp.Expr:
    """E[N(xi)/(b^2 + xi^2)^n] of a polynomial N of degree at most 2n in ``theory.symbols.xi``."""
    square = sp.Dummy("u")
    even = {k // 2: c for (k,), c in sp.Poly(numerator, xi).terms() if k % 2 == 0}
    reduced = sp.Poly(sum((c * (square - width**2) ** k for k, c in even.items()), sp.S.Zero), square)
    return sum(
        (c * (inverse_square_moment(order - k, width) if k < order else 1) for (k,), c in reduced.terms()), sp.S.Zero
    )


def _rational_family() -> Family:
    a, b, c = sp.symbols("a b c", real=True)
    w, width = sp.Symbol("w", positive=True), sp.Dummy("beta", positive=True)
    # phi(tau xi) = P/u^2 and tau phi'(tau xi) = (P' u - 4 xi P)/u^3 with u = beta^2 + xi^2.
    top = sp.expand(width**4 * (a * tau * xi + b * tau**2 * xi**2 + c * tau**3 * xi**3))
    slope = sp.expand(sp.diff(top, xi) * (width**2 + xi**2) - 4 * xi * top)
    bias = _inverse_square_mean(top, 2, width)
    second = _inverse_square_mean((xi**2 - 1) * top, 2, width)
    values = (
        _inverse_square_mean(xi * top, 2, width) / tau,
        second / tau**2,
        (_inverse_square_mean((xi**2 - 1) * top**2, 4, width) - 2 * bias * second) / tau**2,
        _inverse_square_mean(slope**2, 6, width) / tau**2,
        _inverse_square_mean(top**2, 4, width) - bias**2,
    )
    parameters = (
        Parameter(a, sp.S.One, "slope at 0"),
        Parameter(b, sp.S.Zero, "half the curvature at 0"),
        Parameter(c, sp.S.Zero, "coefficient of x^3"),
        Parameter(w, sp.S.One, "where the layer bends back"),
    )
    activation = Activation(
        "rational",
        (a * x + b * x**2 + c * x**3) / (1 + (x / w) ** 2) ** 2,
        parameters,
        "(a x + b x^2 + c x^3)/(1 + x^2/w^2)^2",
    )
    at = {width: w / tau}
    return Family("rational", activation, LayerMoments(*(v.subs(at) for v in values)), bias.subs(at), bounded=True)


#: Texts in the grammar of ``theory.grammar.parsing``, parameters with their assumption and meaning, and whether
#: bounded.
_TEXTS: dict[str, tuple[str, dict[str, tuple[str, str]], bool]] = {
    "leaky_relu": (
        "Piecewise((a*x, x > 0), (b*x, True))",
        {"a": ("real", "slope for x > 0"), "b": ("real", "slope for x < 0")},
        False,
    ),
    "hard_tanh": (
        "a*clip(x, -c, c)",
        {"a": ("real", "slope"), "c": ("positive", "half width of the linear part")},
        True,
    ),
    "erf": ("a*erf(w*x)", {"a": ("real", "limit"), "w": ("positive", "frequency")}, True),
    "sin": ("a*sin(w*x)", {"a": ("real", "amplitude"), "w": ("positive", "frequency")}, True),
    # Almost all of the tail's energy lies far out as 4 g tau^2 -> 1: see ``theory.matching.two_layers``.
    "tail": (
        "a*x + b*x**2 + c*x**3 + d*x**4 + v*x*exp(g*x**2)",
        {name: ("real", f"coefficient of x^{k}") for k, name in enumerate("abcd", 1)}
        | {"v": ("real", "coefficient of the tail"), "g": ("positive", "rate of the tail, below 1/(4 tau^2)")},
        False,
    ),
}


@cache
def named_family(name: str) -> Family:
    """Return a family by name: one of ``FAMILY_NAMES``, or "tail"; "hermite" is that of degrees 1, 2, 3.

    Raises:
        FamilyError: another name.

    Example:
        >>> named_family("leaky_relu").moments.d1
        (a + b)/2
    """
    if name == "hermite":
        return hermite_family((1, 2, 3))
    if name == "rational":
        return _rational_family()
    if name not in _TEXTS:
        raise FamilyError(f"no family is named {name!r}; the families are: {', '.join(FAMILY_NAMES)}")
    text, raw, bounded = _TEXTS[name]
    symbols = {label: sp.Symbol(label, **{"real": True, fact: True}) for label, (fact, _) in raw.items()}
    parameters = tuple(Parameter(symbols[label], sp.S.One, meaning) for label, (_, meaning) in raw.items())
    return family_of(Activation(name, parse_activation(text, symbols), parameters), bounded=bounded)
