"""The nonlinear system that a DEQ's kernels depend on, and its solution in terms of the moments.

Theory sheet, sections 2 and 3.  tau_* is the root of one scalar equation; given the moments at tau_* the other
equations are linear one after the other, and SymPy solves them here.  The NTK's coefficients come from expanding
its entrywise formula to the order that survives in operator norm.
"""

from __future__ import annotations

from functools import cache
from types import MappingProxyType

import sympy as sp

from theory.kernels import Kernel, KernelCoefficients
from theory.moments import GaussianMoments
from theory.symbols import alpha, d1, d2, d22, dd, gamma2, lambda_, mean, sigma_a2, sigma_b2, tau, tau_0, variance

__all__ = [
    "ck_coefficients",
    "ck_equations",
    "kernel_coefficients",
    "moment_definitions",
    "ntk_coefficients",
    "preactivation_coefficients",
    "preactivation_equations",
    "stability_slope",
    "tau_equation",
]


def tau_equation() -> sp.Eq:
    """The equation of tau_*, tau^2 = sigma_a^2 Var phi_0(tau xi) + sigma_b^2 tau_0^2 (theory sheet, section 3).

    Example:
        >>> tau_equation()
        Eq(tau**2, sigma_a^2*v + sigma_b^2*tau_0**2)
    """
    return sp.Eq(tau**2, sigma_a2 * variance + sigma_b2 * tau_0**2)


def stability_slope() -> sp.Expr:
    """Derivative of the right side of the tau equation with respect to tau^2: sigma_a^2 E[(phi^2)'']/2.

    d/dtau^2 E[g(tau xi)] = E[g''(tau xi)]/2 (heat equation), and the centring's own motion drops out because
    d Var = d E[phi_0^2] - 2 E[phi_0] d E[phi_0].

    Example:
        >>> stability_slope()
        d_22*sigma_a^2/2
    """
    return sigma_a2 * d22 / 2


@cache
def ck_equations() -> MappingProxyType[str, sp.Eq]:
    """The equations of alpha_1 .. alpha_4 in post-activation form (theory sheet, section 3).

    Example:
        >>> ck_equations()["alpha1"]
        Eq(alpha_1, d_1**2*(alpha_1*sigma_a^2 + sigma_b^2))
    """
    preactivation_slope = sigma_a2 * alpha[1] + sigma_b2
    return MappingProxyType(
        {
            "alpha1": sp.Eq(alpha[1], d1**2 * preactivation_slope),
            "alpha2": sp.Eq(alpha[2], sigma_a2 * d1**2 * alpha[2] + d2**2 * alpha[4] ** 2 / 4),
            "alpha3": sp.Eq(alpha[3], sigma_a2 * d1**2 * alpha[3] + d2**2 * preactivation_slope**2 / 2),
            "alpha4": sp.Eq(alpha[4], sigma_a2 * (d22 / 2) * alpha[4] + sigma_b2),
        }
    )


@cache
def preactivation_equations() -> MappingProxyType[str, sp.Eq]:
    """The equations of lambda_1 .. lambda_3, for the kernel L = sigma_a^2 G + sigma_b^2 S (theory sheet, section 3)."""
    return MappingProxyType(
        {
            "lambda1": sp.Eq(lambda_[1], sigma_a2 * d1**2 * lambda_[1] + sigma_b2),
            "lambda2": sp.Eq(lambda_[2], sigma_a2 * (d1**2 * lambda_[2] + d2**2 * alpha[4] ** 2 / 4)),
            "lambda3": sp.Eq(lambda_[3], sigma_a2 * (d1**2 * lambda_[3] + d2**2 * lambda_[1] ** 2 / 2)),
        }
    )


def _solve_in_turn(equations: list[tuple[sp.Eq, sp.Symbol]]) -> dict[sp.Symbol, sp.Expr]:
    solved: dict[sp.Symbol, sp.Expr] = {}
    for equation, unknown in equations:
        residual = sp.expand((equation.lhs - equation.rhs).subs(solved))
        linear = residual.coeff(unknown, 1)
        solved[unknown] = sp.factor(-residual.coeff(unknown, 0)) / sp.factor(linear)
    return solved


@cache
def ck_coefficients() -> MappingProxyType[str, sp.Expr]:
    """alpha_1 .. alpha_4 as functions of the moments and the weight variances.

    Example:
        >>> ck_coefficients()["alpha4"]
        -2*sigma_b^2/(d_22*sigma_a^2 - 2)
    """
    equations = ck_equations()
    solved = _solve_in_turn([(equations[f"alpha{k}"], alpha[k]) for k in (1, 4, 2, 3)])
    return MappingProxyType({f"alpha{k}": solved[alpha[k]] for k in (1, 2, 3, 4)})


@cache
def preactivation_coefficients() -> MappingProxyType[str, sp.Expr]:
    """lambda_1 .. lambda_3 as functions of the moments and the weight variances.

    Example:
        >>> preactivation_coefficients()["lambda1"]
        sigma_b^2/(-d_1**2*sigma_a^2 + 1)
    """
    equations = preactivation_equations()
    known = [(ck_equations()["alpha4"], alpha[4])]
    solved = _solve_in_turn(known + [(equations[f"lambda{k}"], lambda_[k]) for k in (1, 2, 3)])
    return MappingProxyType({f"lambda{k}": solved[lambda_[k]] for k in (1, 2, 3)})


def _in_moments(expression: sp.Expr) -> sp.Expr:
    """Write an expression in alpha_k, lambda_k and gamma_*^2 as one in the moments and the weight variances."""
    ck, pre = ck_coefficients(), preactivation_coefficients()
    known = {alpha[k]: ck[f"alpha{k}"] for k in alpha} | {lambda_[k]: pre[f"lambda{k}"] for k in lambda_}
    return expression.subs(gamma2, variance).subs(known)


@cache
def ntk_coefficients(kind: str) -> KernelCoefficients[sp.Expr]:
    """Derive the coefficients of an NTK, in alpha_k and lambda_k, from its entrywise formula (theory sheet, section 2).

    Off the diagonal S_ij and the delta_i are O(p^{-1/2}), so G, L and Gdot = E[phi' phi'] are expanded to second
    order.  The terms of Gdot linear in delta multiply S entrywise, that is by diagonal matrices of norm O(p^{-1/2}):
    they vanish in operator norm and are left out from the start.

    Args:
        kind: ``"recurrent"`` (readout and A trained), ``"preactivation"`` or ``"all"`` (readout, A and B trained).

    Raises:
        UnknownKernelError: another kind.

    Example:
        >>> ntk_coefficients("recurrent").diagonal
        gamma_*^2/(-d_d*sigma_a^2 + 1)
    """
    which = Kernel.ntk(kind)
    s, q = sp.symbols("S q")  # entry of S, and delta_i delta_j: orders 1 and 2 in p^{-1/2}
    g = alpha[1] * s + alpha[2] * q + alpha[3] * s**2
    preactivation = lambda_[1] * s + lambda_[2] * q + lambda_[3] * s**2
    slopes = d1**2 + d2**2 * lambda_[1] * s

    def kernel(ck: sp.Expr, gram: sp.Expr, gdot: sp.Expr) -> sp.Expr:
        match which:
            case Kernel.CK:
                return ck
            case Kernel.NTK_RECURRENT:
                return ck / (1 - sigma_a2 * gdot)
            case Kernel.NTK_PREACTIVATION:
                return gram / (1 - sigma_a2 * gdot)
            case Kernel.NTK_ALL:
                return ck + gram * gdot / (1 - sigma_a2 * gdot)

    entry = kernel(g, preactivation, slopes)
    at_zero = {s: 0, q: 0}
    return KernelCoefficients(
        linear=sp.factor(sp.diff(entry, s).subs(at_zero)),
        variance=sp.factor(sp.diff(entry, q).subs(at_zero)),
        square=sp.factor(sp.diff(entry, s, 2).subs(at_zero) / 2),
        diagonal=kernel(gamma2, tau**2, dd),
    )


@cache
def kernel_coefficients(kernel: Kernel) -> KernelCoefficients[sp.Expr]:
    """The coefficients of a kernel's equivalent as functions of the moments and the weight variances.

    Theory sheet, sections 3 and 4.

    Example:
        >>> kernel_coefficients(Kernel.CK).linear
        d_1**2*sigma_b^2/(-d_1**2*sigma_a^2 + 1)
    """
    if kernel.is_tangent:
        return ntk_coefficients(kernel.kind).map(_in_moments)
    return KernelCoefficients.of({"gamma2": variance, **ck_coefficients()}, kernel)


def moment_definitions(moments: GaussianMoments) -> MappingProxyType[sp.Symbol, sp.Expr]:
    """What the moment symbols of this module stand for, of one activation (dd is left out: it may be infinite).

    Example:
        >>> from theory.activations import resolve
        >>> moment_definitions(GaussianMoments(resolve("relu")))[d1]
        1/2
    """
    return MappingProxyType(
        {
            mean: moments.mean,
            variance: moments.variance,
            d1: moments.first_derivative,
            d2: moments.second_derivative,
            d22: moments.centred_square_second_derivative,
        }
    )
