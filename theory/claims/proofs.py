"""What is shown by algebra alone: identities whose two sides are reached by different ways.

Each function returns named differences that are zero when its claim of ``theory.claims.statements`` holds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from types import MappingProxyType

import sympy as sp

from theory.equations import (
    PREVIOUS_LAYER,
    LayerCoefficients,
    ck_coefficients,
    ck_equations,
    expand_ck,
    expand_layer,
    expand_ntk,
    expand_preactivation,
    next_layer,
    ntk_coefficients,
    preactivation,
    preactivation_coefficients,
    preactivation_equations,
    stability_slope,
    tau_equation,
    zero_state,
)
from theory.kernels import NTK_KINDS, PARTS
from theory.symbols import sigma_a2, sigma_b2, variance

__all__ = [
    "PROOFS",
    "unproved",
]

Differences = Mapping[str, sp.Expr]


def _sides(equation: sp.Eq) -> sp.Expr:
    return equation.lhs - equation.rhs


def system() -> Differences:
    """The expansion of the CK's recursion against the stated equations of tau_* and alpha_1 .. alpha_4."""
    derived = expand_ck().equations
    stated = {"tau": tau_equation(), **ck_equations()}
    return {name: _sides(derived[name]) - _sides(equation) for name, equation in stated.items()}


def forms() -> Differences:
    """The solved post-activation system against the solved pre-activation one, and its own expansion."""
    alphas, lambdas = ck_coefficients(), preactivation_coefficients()
    derived = expand_preactivation().equations
    differences = {
        "lambda1": lambdas["lambda1"] - (sigma_a2 * alphas["alpha1"] + sigma_b2),
        "lambda2": lambdas["lambda2"] - sigma_a2 * alphas["alpha2"],
        "lambda3": lambdas["lambda3"] - sigma_a2 * alphas["alpha3"],
    }
    expanded = {
        f"{name}, expanded": _sides(derived[name]) - _sides(equation)
        for name, equation in preactivation_equations().items()
    }
    return differences | expanded


def ntk_system() -> Differences:
    """The expansion of the three NTKs' recursions against the coefficients of their entrywise formulas."""
    return {
        f"{kind} {part}": expanded - stated
        for kind in NTK_KINDS
        for part, expanded, stated in zip(PARTS, expand_ntk(kind).coefficients, ntk_coefficients(kind), strict=True)
    }


def layers() -> Differences:
    """The expansion of one layer, plain and weight-tied, against the stated recursion."""
    names = [field.name for field in fields(LayerCoefficients)]
    previous = LayerCoefficients(**{name: PREVIOUS_LAYER[name] for name in names})
    differences: dict[str, sp.Expr] = {}
    for title, weights in (("plain", (sp.S.One, sp.S.Zero)), ("tied", (sigma_a2, sigma_b2))):
        stated = next_layer(previous, *weights)
        expansion = expand_layer(*weights)
        derived = {**expansion.ck.equations, **expansion.ntk.equations}
        differences |= {f"{title} {name}": derived[name].rhs - getattr(stated, name) for name in names}
    return differences


def stability() -> Differences:
    """d/d(tau^2) E[g(tau xi)] = E[g''(tau xi)]/2, on the generating function g(x) = exp(s x) of all powers.

    Then d/d(tau^2) (E[phi_0^2] - E[phi_0]^2) = (E[(phi_0^2)''] - 2 E[phi_0] E[phi_0''])/2 = E[(phi^2)'']/2 for the
    centred phi, which the expansion of the kernel's diagonal finds by another way.
    """
    s, square = sp.Symbol("s", real=True), sp.Symbol("q", positive=True)
    generating = sp.exp(s**2 * square / 2)
    slope = expand_ck().equations["alpha4"].rhs.coeff(expand_ck().equations["alpha4"].lhs)
    return {
        "heat equation": sp.diff(generating, square) - s**2 * generating / 2,
        "slope": slope - stability_slope(),
    }


def tied_layers() -> Differences:
    """The DEQ's coefficients are a fixed point of the weight-tied layer, and its Jacobian there is triangular.

    The moments depend on tau alone, and tau_l^2 on tau_{l-1}^2 alone; given tau, a_4 is linear in a_4 with the gain
    sigma_a^2 d22/2, and a_1, a_2, a_3 each in itself with the gain sigma_a^2 d1^2.
    """
    ck, gains = ck_coefficients(), {}
    symbols = sp.symbols("a_1:5", real=True)
    named = dict(zip(("a1", "a2", "a3", "a4"), symbols, strict=True))
    previous = replace(zero_state(), **named, tau2=variance)
    layer = next_layer(previous, sigma_a2, sigma_b2)
    response = (ck["alpha4"] - sigma_b2) / sigma_a2
    fixed = dict(zip(symbols, (ck["alpha1"], ck["alpha2"], ck["alpha3"], response), strict=True))
    after = dict(zip(symbols, (layer.a1, layer.a2, layer.a3, layer.a4), strict=True))
    differences = {f"fixed point {symbol}": (after[symbol] - symbol).subs(fixed) for symbol in symbols}
    rates = stability_slope(), sigma_a2 * _linear_gain()
    for position, symbol in enumerate(symbols):
        gains[f"gain {symbol}"] = sp.diff(after[symbol], symbol) - (rates[0] if position == 3 else rates[1])
        # a_1 and a_4 first, then a_2 (of a_4) and a_3 (of a_1): nothing feeds back.
        for other in {0: (1, 2, 3), 3: (0, 1, 2), 1: (0, 2), 2: (1, 3)}[position]:
            gains[f"{symbol} of {symbols[other]}"] = sp.diff(after[symbol], symbols[other])
    scale = preactivation(previous, sigma_a2, sigma_b2).tau2 - tau_equation().rhs
    return differences | gains | {"scale": scale}


def _linear_gain() -> sp.Expr:
    """d1^2, read off the expansion's equation of lambda_1."""
    equation = expand_preactivation().equations["lambda1"]
    return sp.cancel(equation.rhs.expand().coeff(equation.lhs) / sigma_a2)


#: By claim, the function that returns its differences.
PROOFS: Mapping[str, Callable[[], Differences]] = MappingProxyType(
    {
        "system": system,
        "forms": forms,
        "ntk-system": ntk_system,
        "layers": layers,
        "stability": stability,
        "tied-layers": tied_layers,
    }
)


def unproved(claim: str) -> tuple[int, tuple[str, ...]]:
    """How many identities a claim's proof has, and the names of those that fail.

    Raises:
        KeyError: the claim has no symbolic proof.

    Example:
        >>> unproved("system")
        (5, ())
    """
    differences = PROOFS[claim]()
    failed = [name for name, difference in differences.items() if not _vanishes(difference)]
    return len(differences), tuple(failed)


def _vanishes(difference: sp.Expr) -> bool:
    return bool(sp.cancel(sp.together(difference)) == 0)
