"""The names of the kernels and of their coefficients."""

from __future__ import annotations

from dataclasses import dataclass

import sympy as sp

__all__ = [
    "COEFFICIENTS",
    "KERNELS",
    "NTK_COEFFICIENTS",
    "NTK_KEYS",
    "NTK_KINDS",
    "NTKCoefficients",
]

#: The reported quantities in order: the recurrent NTK's are beta, the pre-activation NTK's eta, that of all theta.
COEFFICIENTS = (
    *("tau", "bias", "gamma2", "alpha1", "alpha2", "alpha3", "alpha4", "lambda1", "lambda2", "lambda3"),
    *("beta1", "beta2", "beta3", "kappa2"),
    *("eta1", "eta2", "eta3", "eta_diag"),
    *("theta1", "theta2", "theta3", "theta_diag"),
)
#: The NTKs' coefficients by kind: of S, of delta_i delta_j, of S entrywise squared, and the diagonal value.
NTK_KEYS = {
    "recurrent": ("beta1", "beta2", "beta3", "kappa2"),
    "preactivation": ("eta1", "eta2", "eta3", "eta_diag"),
    "all": ("theta1", "theta2", "theta3", "theta_diag"),
}
#: All of them.
NTK_COEFFICIENTS = frozenset(key for keys in NTK_KEYS.values() for key in keys)
#: The three NTKs of theory sheet section 2, by the parameters that are trained.
NTK_KINDS = ("recurrent", "preactivation", "all")


@dataclass(frozen=True)
class NTKCoefficients:
    """Coefficients of the equivalent of one NTK, as expressions in alpha_k, lambda_k and the moments.

    Attributes:
        linear: coefficient of S.
        variance: coefficient of the product of the norms' fluctuations, delta_i delta_j.
        square: coefficient of the entrywise square of S.
        diagonal: the diagonal value.
    """

    linear: sp.Expr
    variance: sp.Expr
    square: sp.Expr
    diagonal: sp.Expr


#: The kernels that have an equivalent: the CK and the three NTKs.
KERNELS = ("ck", *(f"ntk-{kind}" for kind in NTK_KINDS))
