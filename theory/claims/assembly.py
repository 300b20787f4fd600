"""How four coefficients and the data's statistics make an equivalent, as expressions.

Theory sheet, section 4: Kbar = k_1 S + V C V^T + (k_0 - tau_0^2 k_1) I_n with
C = [[k_2 t t^T + k_3 T, k_2 t], [k_2 t^T, k_2]].  ``numerics.equivalents`` computes it; a wrong theory changes it here.
"""

from __future__ import annotations

from dataclasses import dataclass

import sympy as sp

from theory.symbols import tau_0

__all__ = [
    "ASSEMBLY",
    "NUMBERS",
    "Assembly",
    "T_ab",
    "t",
    "t_a",
    "t_b",
]

#: The coefficients k_1, k_2, k_3 and k_0, in the order of ``KernelCoefficients``.
NUMBERS: tuple[sp.Symbol, ...] = sp.symbols("k_1 k_2 k_3 k_0", real=True)
#: Entries of t and T for the classes a and b, and of t where no second class is near.
t_a, t_b, T_ab, t = sp.symbols("t_a t_b T_ab t", real=True)
_k1, _k2, _k3, _k0 = NUMBERS


@dataclass(frozen=True)
class Assembly:
    """The terms of an equivalent, in ``NUMBERS``, tau_0, t_a, t_b, T_ab and t.

    Attributes:
        gram: what multiplies S.
        identity: what multiplies I_n.
        classes: entry (a, b) of C.
        cross: entry (a, K+1) of C, in t.
        norms: entry (K+1, K+1) of C.
    """

    gram: sp.Expr = _k1
    identity: sp.Expr = _k0 - tau_0**2 * _k1
    classes: sp.Expr = _k2 * t_a * t_b + _k3 * T_ab
    cross: sp.Expr = _k2 * t
    norms: sp.Expr = _k2


#: The equivalent of the theory sheet.
ASSEMBLY = Assembly()
