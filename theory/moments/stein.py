"""The moments of the theory in terms of the raw moments E[xi^k f(tau xi)^j], by Stein's identities.

For xi ~ N(0, 1) and weak derivatives (theory sheet, section 3)

  E[f'(tau xi)] = E[xi f(tau xi)]/tau,     E[f''(tau xi)] = E[(xi^2 - 1) f(tau xi)]/tau^2.

The same identities applied to f^2 give E[(f^2)''].  Where f has no jumps one integration by parts less,

  E[f''(tau xi)] = E[xi f'(tau xi)]/tau,     E[(f^2)''(tau xi)] = 2 E[xi f(tau xi) f'(tau xi)]/tau,

loses fewer digits as tau -> 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import sympy as sp

from theory.symbols import d1, d2, d22, mean, tau, variance

__all__ = [
    "RAW_MOMENTS",
    "SLOPE_FORMS",
    "SLOPE_MOMENTS",
    "STEIN_FORMS",
]

#: Symbols of the raw moments E[xi^k f(tau xi)^j] that the theory needs, by (k, j).
RAW_MOMENTS: Mapping[tuple[int, int], sp.Symbol] = MappingProxyType(
    {key: sp.Symbol("M_{}{}".format(*key), real=True) for key in ((0, 1), (1, 1), (2, 1), (0, 2), (2, 2))}
)
_second_derivative = (RAW_MOMENTS[2, 1] - RAW_MOMENTS[0, 1]) / tau**2
#: What each moment of the centred activation phi = f - E[f] is in terms of the raw moments of f.
STEIN_FORMS: Mapping[sp.Symbol, sp.Expr] = MappingProxyType(
    {
        mean: RAW_MOMENTS[0, 1],
        variance: RAW_MOMENTS[0, 2] - RAW_MOMENTS[0, 1] ** 2,
        d1: RAW_MOMENTS[1, 1] / tau,
        d2: _second_derivative,
        d22: (RAW_MOMENTS[2, 2] - RAW_MOMENTS[0, 2]) / tau**2 - 2 * RAW_MOMENTS[0, 1] * _second_derivative,
    }
)
#: Symbols of E[f'], E[xi f'] and E[xi f f'] for an activation without jumps.
SLOPE_MOMENTS: Mapping[str, sp.Symbol] = MappingProxyType(
    {
        "slope": sp.Symbol("N_1", real=True),
        "xi slope": sp.Symbol("N_xi", real=True),
        "xi value slope": sp.Symbol("N_f", real=True),
    }
)
#: The derivatives' moments of the centred activation in terms of SLOPE_MOMENTS (and of the mean E[f]).
SLOPE_FORMS: Mapping[sp.Symbol, sp.Expr] = MappingProxyType(
    {
        d1: SLOPE_MOMENTS["slope"],
        d2: SLOPE_MOMENTS["xi slope"] / tau,
        d22: 2 * (SLOPE_MOMENTS["xi value slope"] - mean * SLOPE_MOMENTS["xi slope"]) / tau,
    }
)
