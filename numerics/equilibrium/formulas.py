"""The coefficients of a DEQ's kernels as functions of the moments at tau_*: theory's formulas, compiled.

Theory sheet, section 3.  Nothing is stated here: the expressions come from ``theory.equations.deq``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Any

import sympy as sp

from numerics.arithmetic import Arithmetic, Program, compile_program
from numerics.arrays import EPS
from numerics.moments import MomentValues
from numerics.parameters import margin_text
from theory.equations import (
    EquilibriumError,
    ck_coefficients,
    kernel_coefficients,
    preactivation_coefficients,
    stability_slope,
)
from theory.kernels import COEFFICIENTS, NTK_COEFFICIENTS, Kernel, KernelCoefficients
from theory.symbols import d1, d2, d22, dd, sigma_a2, sigma_b2, tau, variance

__all__ = [
    "FORMULA_INPUTS",
    "CompiledFormulas",
    "check_stability",
    "evaluate_formulas",
    "formulas",
    "kernel_of",
    "margin_formulas",
]


@cache
def formulas() -> MappingProxyType[str, sp.Expr]:
    """Every coefficient as a function of the moments and the weight variances, from ``theory.equations.deq``."""
    ck = ck_coefficients()
    pre = preactivation_coefficients()
    found: dict[str, sp.Expr] = {"gamma2": variance, **ck, **pre}
    for kernel in Kernel:
        found |= dict(zip(kernel.keys, kernel_coefficients(kernel), strict=True))
    return MappingProxyType(found)


@cache
def margin_formulas() -> MappingProxyType[str, sp.Expr]:
    """What must be below 1: ``tau`` for stability, ``ck`` and ``ntk`` for the CK's and NTKs' coefficients to exist."""
    return MappingProxyType({"tau": stability_slope(), "ck": sigma_a2 * d1**2, "ntk": sigma_a2 * dd})


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


def evaluate_formulas(
    compiled: CompiledFormulas, scale: Any, moments: MomentValues[Any], weights: tuple[Any, Any], resolution: Any
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Coefficients and margins from the moments at tau_*; an NTK's are left out where its margin is not below 1.

    Margins nearer to 1 than the resolution count as 1: the coefficients divide by what is left, which is rounding.

    Raises:
        EquilibriumError: the equilibrium is not stable, or the CK's coefficients do not exist.
    """
    has_energy = moments.slope_energy is not None
    energy = moments.slope_energy if has_energy else 0
    inputs = (scale, moments.variance, moments.d1, moments.d2, moments.d22, energy, *weights)
    margins = compiled.margins_at(inputs, with_energy=has_energy)
    check_stability(margins["tau"], scale)
    if margins["ck"] >= 1 - resolution:
        raise EquilibriumError(
            f"the CK's coefficients do not exist: sigma_a^2 E[phi']^2 = "
            f"{margin_text(margins['ck'], resolution=float(resolution))} at tau_* = "
            f"{float(scale):.6g}, and it must be below 1; a smaller sigma_a2 would be accepted"
        )
    found = compiled.coefficients_at(inputs, with_ntk=has_energy and bool(margins["ntk"] < 1 - resolution))
    ordered = {"tau": scale, "bias": moments.mean, **found}
    return {key: ordered[key] for key in COEFFICIENTS if key in ordered}, margins


def kernel_of(values: Mapping[str, Any], kernel: Kernel, missing: str) -> KernelCoefficients[Any]:
    """Return a kernel's coefficients among those of all kernels.

    Args:
        values: coefficients by key of ``COEFFICIENTS``, an NTK's absent where it does not exist.
        kernel: which kernel.
        missing: why it is absent.

    Raises:
        EquilibriumError: it is absent.
    """
    if any(key not in values for key in kernel.keys):
        raise EquilibriumError(f"this DEQ has no {kernel}: {missing}")
    return KernelCoefficients.of(values, kernel)


def check_stability(slope: Any, scale: Any) -> None:
    """Raise EquilibriumError unless the slope of the map of tau^2 at tau_* is below 1."""
    if 1 <= slope <= 1 + 4 * EPS:
        raise EquilibriumError(
            f"no stable equilibrium is found: about tau = {float(scale):.6g} the slope sigma_a^2 E[(phi^2)'']/2 is 1 "
            "to within rounding, which decides whether there is one; a smaller sigma_a2 would be accepted"
        )
    if not slope < 1:
        raise EquilibriumError(
            f"no stable equilibrium: at tau_* = {float(scale):.6g} the slope sigma_a^2 E[(phi^2)'']/2 is "
            f"{margin_text(slope, 12)}, and it must be below 1; a smaller sigma_a2 would be accepted"
        )
