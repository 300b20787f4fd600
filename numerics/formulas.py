"""The coefficients of a DEQ's kernels as functions of the moments at tau_*: theory's formulas, compiled.

Theory sheet, section 3.  Nothing is stated here: the expressions come from ``theory.implicit``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Any

import sympy as sp

from numerics.programs import Arithmetic, Program, compile_program
from theory import implicit
from theory.symbols import d1, d2, d22, dd, sigma_a2, sigma_b2, tau, variance

__all__ = [
    "COEFFICIENTS",
    "FORMULA_INPUTS",
    "NTK_COEFFICIENTS",
    "NTK_KEYS",
    "CompiledFormulas",
    "formulas",
    "margin_formulas",
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


@cache
def formulas() -> MappingProxyType[str, sp.Expr]:
    """Every coefficient as a function of the moments and the weight variances, from ``theory.implicit``."""
    ck = implicit.ck_coefficients()
    pre = implicit.preactivation_coefficients()
    found: dict[str, sp.Expr] = {"gamma2": variance, **ck, **pre}
    for kind, keys in NTK_KEYS.items():
        ntk = implicit.ntk_coefficients(kind)
        parts = (ntk.linear, ntk.variance, ntk.square, ntk.diagonal)
        for key, part in zip(keys, parts, strict=True):
            found[key] = implicit.in_moments(part)
    return MappingProxyType(found)


@cache
def margin_formulas() -> MappingProxyType[str, sp.Expr]:
    """What must be below 1: ``tau`` for stability, ``ck`` and ``ntk`` for the CK's and NTKs' coefficients to exist."""
    return MappingProxyType({"tau": implicit.stability_slope(), "ck": sigma_a2 * d1**2, "ntk": sigma_a2 * dd})


#: The symbols that all formulas are functions of, in the order in which a compiled program takes them.
FORMULA_INPUTS = (tau, variance, d1, d2, d22, dd, sigma_a2, sigma_b2)


@dataclass(frozen=True)
class CompiledFormulas:
    """``formulas`` and ``margin_formulas`` over an arithmetic, as programs of ``FORMULA_INPUTS``.

    Attributes:
        margins: the margins' program.
        ck: that of the coefficients that are no NTK's.
        ntk: that of the NTKs' coefficients.
    """

    margins: Program
    ck: Program
    ntk: Program

    @classmethod
    def over(cls, arithmetic: Arithmetic) -> CompiledFormulas:
        """Compile for an arithmetic, at its precision."""
        groups = (margin_formulas().values(), *([formulas()[key] for key in _keys(ntk=ntk)] for ntk in (False, True)))
        return cls(*(compile_program(list(group), FORMULA_INPUTS, arithmetic) for group in groups))

    def renewed(self, arithmetic: Arithmetic) -> CompiledFormulas:
        """Return the programs with constants at another precision of the same arithmetic."""
        return CompiledFormulas(*(program.renewed(arithmetic) for program in (self.margins, self.ck, self.ntk)))

    def margins_at(self, inputs: Sequence[Any], *, with_energy: bool) -> dict[str, Any]:
        """Return the margins, that of the NTKs only where E[phi'^2] is finite."""
        found = dict(zip(margin_formulas(), self.margins(*inputs), strict=True))
        return found if with_energy else {key: value for key, value in found.items() if key != "ntk"}

    def coefficients_at(self, inputs: Sequence[Any], *, with_ntk: bool) -> dict[str, Any]:
        """Return the coefficients by key; the NTKs' divide by 0 where their margin is 1."""
        found = dict(zip(_keys(ntk=False), self.ck(*inputs), strict=True))
        return found | (dict(zip(_keys(ntk=True), self.ntk(*inputs), strict=True)) if with_ntk else {})


@cache
def _keys(*, ntk: bool) -> tuple[str, ...]:
    return tuple(key for key in formulas() if (key in NTK_COEFFICIENTS) == ntk)
