r"""The theory's equations as sets that are typeset together: definitions, system, solution, NTKs, and one activation's.

Every equation keeps the exact expression that its right side is written from, so that what was printed can be checked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import sympy as sp
from sympy.core.parameters import distribute

from theory.activations import Activation
from theory.equations import (
    ck_coefficients,
    ck_equations,
    ntk_coefficients,
    preactivation_equations,
    stability_slope,
    tau_equation,
)
from theory.kernels import Kernel
from theory.latex.constants import exact
from theory.latex.expressions import latex, run
from theory.latex.forms import by_coefficient, in_activation, readable, with_normal_cdf
from theory.latex.layout import aligned, ended, lines, width
from theory.latex.names import COEFFICIENT_SYMBOLS
from theory.moments import GaussianExpectation
from theory.symbols import alpha, d1, d2, d22, dd, mean, sigma_a2, sigma_b2, tau, tau_0, variance

__all__ = [
    "Equation",
    "EquationSet",
    "activation_moments",
    "activation_system",
    "general_sets",
]

#: A moment that is wider than this (hundredths of a point) is not written into the system of its activation.
MAX_INSERTED = 5_500


@dataclass(frozen=True)
class Equation:
    """One relation.

    Attributes:
        left: left side in LaTeX.
        right: the expression that the right side is written from.
        sign: the relation.
        key: short name, used in its label.
    """

    left: str
    right: sp.Expr
    sign: str = "="
    key: str = ""


@dataclass(frozen=True)
class EquationSet:
    """Equations that are set in one display.

    Attributes:
        name: of the set: letters, digits and hyphens.
        equations: in the order in which they are written.
        numbered: whether the equations carry numbers and labels ``eq:deq-KEY``.
        constants: values of named constants that occur, exact.
        end: punctuation behind the last equation; the others end with commas.
    """

    name: str
    equations: tuple[Equation, ...]
    numbered: bool = False
    constants: Mapping[sp.Symbol, sp.Rational] = field(default_factory=dict)
    end: str = "."

    def latex(self, available: int) -> str:
        """Return the display, broken to a width in hundredths of a point, and one more of its constants, if any."""
        marks = [","] * (len(self.equations) - 1) + [self.end]
        rows = [
            (equation.left, equation.sign, ended(run(equation.right), mark))
            for equation, mark in zip(self.equations, marks, strict=True)
        ]
        labels = [f"eq:deq-{equation.key}" for equation in self.equations] if self.numbered else None
        display = aligned(rows, available, labels)
        if self.constants:
            named = ", \\\\\n".join(f"{latex(name)} &= {exact(value)}" for name, value in self.constants.items())
            display += f"\nwhere\n\\begin{{align*}}\n{named}.\n\\end{{align*}}"
        return display


def general_sets() -> dict[str, EquationSet]:
    """Return the system, its solution in terms of the moments, and the NTKs' coefficients (theory sheet, section 3)."""
    equilibrium = tau_equation()
    slope = stability_slope()
    conditions = (slope, sigma_a2 * d1**2, sigma_a2 * dd)
    sets = [
        EquationSet("equilibrium", (Equation(latex(equilibrium.lhs), equilibrium.rhs, key="tau"),), numbered=True),
        EquationSet("system", _numbered(ck_equations()), numbered=True),
        EquationSet("preactivation", _numbered(preactivation_equations()), numbered=True),
        EquationSet("solution", _solved()),
        EquationSet(
            "conditions",
            tuple(
                Equation(latex(condition), sp.S.One, "<", f"condition-{name}")
                for name, condition in zip(("tau", "ck", "ntk"), conditions, strict=True)
            ),
            numbered=True,
        ),
    ]
    for kernel in (kernel for kernel in Kernel if kernel.is_tangent):
        named = zip(kernel.keys, ntk_coefficients(kernel.kind), strict=True)
        equations = tuple(Equation(COEFFICIENT_SYMBOLS[key], by_coefficient(part)) for key, part in named)
        sets.append(EquationSet(kernel.value, equations))
    return {each.name: each for each in sets}


def _numbered(equations: Mapping[str, sp.Eq]) -> tuple[Equation, ...]:
    return tuple(Equation(latex(equation.lhs), equation.rhs, key=key) for key, equation in equations.items())


def _solved() -> tuple[Equation, ...]:
    """Each equation solved for its own unknown, in an order in which the right sides are known."""
    equations = {**ck_equations(), **preactivation_equations()}
    rows = []
    for key in ("alpha1", "alpha4", "alpha2", "alpha3", "lambda1", "lambda2", "lambda3"):
        unknown = equations[key].lhs
        residual = sp.expand(unknown - equations[key].rhs)
        solution = sp.factor(-residual.coeff(unknown, 0)) / sp.factor(residual.coeff(unknown, 1))
        rows.append(Equation(COEFFICIENT_SYMBOLS[key], solution))
    return tuple(rows)


def activation_moments(
    name: str,
    activation: Activation,
    moments: Mapping[str, sp.Expr],
    definitions: Mapping[sp.Symbol, sp.Expr],
    available: int,
    constants: Mapping[sp.Symbol, sp.Rational] | None = None,
) -> EquationSet:
    r"""Return an activation and its moments at tau_*, in closed form or as expectations.

    Where the direct form would need several lines or repeat an activation given by cases, the variance of phi_0 and
    E[(phi^2)''] of the centred phi are written through those of phi_0, and expectations through phi_0 itself.

    Args:
        name: of the set.
        activation: as it is written.
        moments: by name, as in ``GaussianMoments``; ``slope_energy`` is absent where it is infinite.
        definitions: of the moment symbols (``theory.equations.moment_definitions``).
        available: width of the text in hundredths of a point.
        constants: values of the named constants in the activation.
    """
    second, second_slope = r"\mathbb{E}[\phi_0(\tau_*\xi)^2]", r"\mathbb{E}[(\phi_0^2)''(\tau_*\xi)]"
    room = available - width(rf"{second_slope} = ")

    def is_unwieldy(expr: sp.Expr) -> bool:
        means = expr.atoms(GaussianExpectation)
        return any(each.has(sp.Piecewise) for each in means) or len(lines(run(readable(expr)), room * 95 // 100)) > 1

    def derivative(expr: sp.Expr, symbol: sp.Symbol, *, squared: bool = False) -> sp.Expr:
        if expr.has(GaussianExpectation) and is_unwieldy(expr):
            return in_activation(symbol, squared=squared)
        return readable(expr)

    rows = [Equation(r"\phi_0(x)", with_normal_cdf(activation.expr))]
    rows += [Equation(latex(mean), readable(definitions[mean]))]
    if definitions[mean] != 0 and is_unwieldy(definitions[variance]):
        rows.append(Equation(second, readable(moments["second_moment"])))
        rows.append(Equation(latex(variance), sp.Symbol(second) - mean**2))
    else:
        rows.append(Equation(latex(variance), readable(definitions[variance])))
    rows += [Equation(latex(symbol), derivative(definitions[symbol], symbol)) for symbol in (d1, d2)]
    if definitions[mean] * definitions[d2] != 0 and is_unwieldy(definitions[d22]):
        rows.append(Equation(second_slope, derivative(moments["square_second_derivative"], d2, squared=True)))
        rows.append(Equation(latex(d22), sp.Symbol(second_slope) - 2 * mean * d2))
    elif definitions[mean] * definitions[d2] == 0:
        rows.append(Equation(latex(d22), derivative(definitions[d22], d2, squared=True)))
    else:
        rows.append(Equation(latex(d22), readable(definitions[d22])))
    rows.append(Equation(latex(dd), readable(moments.get("slope_energy", sp.oo))))
    constants = dict(constants or {})
    return EquationSet(name, tuple(rows), constants=constants, end="," if constants else ".")


def activation_system(name: str, definitions: Mapping[sp.Symbol, sp.Expr]) -> EquationSet:
    """Return the equations of tau_* and alpha_1 .. alpha_4 with an activation's short moments written in."""
    values = {symbol: readable(definitions[symbol]) for symbol in (variance, d1, d2, d22)}
    short = {symbol: value for symbol, value in values.items() if width(latex(value)) <= MAX_INSERTED}
    equation = tau_equation()
    rows = [Equation(latex(tau**2), _inserted(equation.rhs, short))]
    with distribute(False):
        ratio = definitions[variance] / tau**2
    if not sp.cancel(ratio).has(tau):
        # Homogeneous of degree one: the equation is linear in tau^2.
        factor, rest = (sp.cancel(ratio) if ratio.has(tau) else ratio).as_coeff_Mul()
        with distribute(False):
            solved = factor.q * sigma_b2 * tau_0**2 / (factor.q - factor.p * sigma_a2 * rest)
        rows = [Equation(latex(tau**2), solved)]
    # What vanishes by symmetry is not carried along: alpha_1 of an even activation, alpha_2 and alpha_3 of an odd one.
    vanishing = {alpha[k]: sp.S.Zero for k in alpha if ck_coefficients()[f"alpha{k}"].subs(short) == 0}
    for k, relation in enumerate(ck_equations().values(), start=1):
        right = vanishing.get(alpha[k], _inserted(relation.rhs, short | vanishing))
        rows.append(Equation(latex(alpha[k]), right))
    return EquationSet(name, tuple(rows))


def _inserted(expr: sp.Expr, values: Mapping[sp.Symbol, sp.Expr]) -> sp.Expr:
    """An expression with values for symbols, its products of sums left as they are."""
    with distribute(False):
        return expr.subs(values)
