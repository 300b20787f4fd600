"""Parametrised families of activations that the layers of a matching network come from.

A family's moments are closed forms in its parameters and in tau, the standard deviation of its pre-activations, so
that one formula serves float64, any number of digits and balls.  Three kinds:

* anything whose moments ``theory.expectations`` finds in closed form, such as leaky ReLU pairs, a erf(w x), sums;
* Hermite polynomials sum_k c_k he_k(x/tau), he_k orthonormal, each layer centred at its own tau.  With

    tau dc_k/dtau = k c_k + sqrt((k+1)(k+2)) c_{k+2}                                                            (*)

  for any activation at a fixed x-scale (from x phi'(x) = sum_k sqrt(k) c_k xi he_{k-1} and the recurrence of he_k),

    d1 = c_1/tau,   d2 = sqrt(2) c_2/tau^2,   E[phi^2] = sum c_k^2,   tau^2 E[phi'^2] = sum k c_k^2,
    tau^2 E[(phi^2)'']/2 = sum_k k c_k^2 + sum_k sqrt((k+1)(k+2)) c_k c_{k+2};

* the rational a x/(1 + x^2/w^2), bounded, with I_n = E[(b^2 + xi^2)^-n], b = w/tau:
  I_1 = sqrt(pi/2) exp(b^2/2) erfc(b/sqrt 2)/b and I_{n+1} = -I_n'(b)/(2 n b).

Source: theory sheet, sections 4 and 7.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import product
from types import MappingProxyType

import sympy as sp

from theory.activations import Activation, Parameter
from theory.expectations import GaussianMoments
from theory.explicit import LayerMoments
from theory.parsing import parse_activation
from theory.structure import vanishes
from theory.symbols import tau, x

__all__ = [
    "FAMILY_NAMES",
    "Family",
    "FamilyError",
    "Scaling",
    "family_of",
    "hermite_family",
    "hermite_function",
    "inverse_square_moment",
    "named_family",
    "scaling_exponents",
]

#: The families that a person may ask for by name.
FAMILY_NAMES = ("leaky_relu", "hard_tanh", "hermite", "erf", "sin")

#: Exponents that are tried for a parameter under a change of scale of the layer's input.
_EXPONENTS = (0, -1, 1, -2, 2, -3)
_MOST_PARAMETERS = 3


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
    found = GaussianMoments(activation)
    square = found.square_second_derivative - 2 * found.mean * found.second_derivative
    values = (found.first_derivative, found.second_derivative, square, found.slope_energy, found.variance)
    if not all(GaussianMoments.is_closed(value) for value in values):
        raise FamilyError(f"the moments of {activation.name} have no closed form in its parameters")
    return Family(name or activation.name, activation, LayerMoments(*values), found.mean, bounded=bounded)


def scaling_exponents(activation: Activation) -> Scaling | None:
    """Derive how an activation's parameters absorb changes of scale, or return None.

    The infinitesimal identities sum_i m_i theta_i dphi/dtheta_i = phi and sum_i n_i theta_i dphi/dtheta_i = -x dphi/dx
    must hold on every piece; breakpoints move with the input's scale and not with the output's.  Exponents are
    searched among small integers, for at most three parameters.
    """
    symbols = [parameter.symbol for parameter in activation.parameters]
    if not 1 <= len(symbols) <= _MOST_PARAMETERS:
        return None

    def moved(expr: sp.Expr, exponents: Sequence[int]) -> sp.Expr:
        return sum((n * s * sp.diff(expr, s) for n, s in zip(exponents, symbols, strict=True)), sp.S.Zero)

    def fits(exponents: tuple[int, ...], *, output: bool) -> bool:
        for point in activation.breakpoints:
            if sp.simplify(moved(point, exponents) - (0 if output else point)) != 0:
                return False
        return all(
            vanishes(moved(piece.expr, exponents) + (-piece.expr if output else x * sp.diff(piece.expr, x)))
            for piece in activation.pieces
        )

    names = [symbol.name for symbol in symbols]
    found = []
    for output, choices in ((True, (1, 0)), (False, _EXPONENTS)):
        fitting = (c for c in product(choices, repeat=len(symbols)) if fits(c, output=output))
        exponents = next(fitting, None)
        if exponents is None:
            return None
        found.append(MappingProxyType(dict(zip(names, exponents, strict=True))))
    return Scaling(*found)


def hermite_function(degree: int, argument: sp.Expr) -> sp.Expr:
    """Return the orthonormal Hermite polynomial he_k = He_k/sqrt(k!) of an argument."""
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


def _rational_family() -> Family:
    a, w = sp.Symbol("a", real=True), sp.Symbol("w", positive=True)
    b = sp.Dummy("b", positive=True)
    i1, i2, i3, i4 = (inverse_square_moment(n, b) for n in range(1, 5))
    # phi(tau xi) = a tau b^2 xi/(b^2 + xi^2); xi^2 = (b^2 + xi^2) - b^2 reduces every moment to the I_n.
    square = i1 - b**2 * i2
    fourth = 1 - 2 * b**2 * i1 + b**4 * i2
    values = (
        a * b**2 * (1 - b**2 * i1),
        sp.S.Zero,
        a**2 * b**4 * (fourth - square),
        a**2 * b**4 * (4 * b**4 * i4 - 4 * b**2 * i3 + i2),
        a**2 * tau**2 * b**4 * square,
    )
    activation = Activation(
        "rational",
        a * x / (1 + (x / w) ** 2),
        (Parameter(a, sp.S.One, "slope at 0"), Parameter(w, sp.S.One, "where |phi| is largest")),
        "a x/(1 + x^2/w^2)",
    )
    return Family(
        "rational", activation, LayerMoments(*(value.subs(b, w / tau) for value in values)), sp.S.Zero, bounded=True
    )


#: Texts in the grammar of ``theory.parsing``, parameters with their assumption and meaning, and whether bounded.
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
}


@cache
def named_family(name: str) -> Family:
    """Return a family by name: one of ``FAMILY_NAMES``, or "rational"; "hermite" is that of degrees 1, 2, 3.

    Raises:
        FamilyError: another name.
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
