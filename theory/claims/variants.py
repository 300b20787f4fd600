"""The theory of a kernel's equivalent as data, and wrong theories next to it.

The equivalent of theory sheet section 4 is  linear S + V C V^T + (diagonal - tau_0^2 linear) I  with
C = [[variance t t^T + square T, variance t], [variance t^T, variance]]: four expressions in the moments at tau_*, and
the statistics t, T, psi and J of the data.  A wrong theory changes an expression or a statistic.  A check of the theory
is worth what it refutes: every one of these must be refuted, and the true one must not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from functools import cache
from types import MappingProxyType
from typing import Any

import sympy as sp

from theory.claims.assembly import ASSEMBLY, Assembly
from theory.equations import ck_coefficients, kernel_coefficients, preactivation_coefficients, tau_equation
from theory.kernels import PARTS, Kernel, KernelCoefficients
from theory.named import RELEASED_VARIANTS
from theory.symbols import d1, d2, d22, dd, mean, sigma_a2, sigma_b2, tau_0, variance

__all__ = [
    "AT_TAU_0",
    "RELEASED_VARIANTS",
    "PopulationChange",
    "Statistic",
    "Theory",
    "planted_errors",
    "planted_spectral_errors",
    "released_variants",
    "true_theory",
]


#: By moment at tau_*, the same moment at tau_0, which only a wrong theory needs.
AT_TAU_0: Mapping[sp.Symbol, sp.Symbol] = MappingProxyType(
    {moment: sp.Symbol(f"{moment}(tau_0)", real=True) for moment in (d1, d2, d22, dd, variance)}
)


class Statistic(Enum):
    """A change of the data's statistics that a wrong theory makes."""

    T_CENTRED = "T from centred covariances, T_ab = tr(C_a° C_b°)/p"
    T_ELEMENTWISE = "T from the product of the diagonals, which is right only for diagonal covariances"
    T_ABSENT = "T left out"
    T_CLASSES_SWAPPED = "T with the classes in reverse order"
    TRACE_ABSENT = "t left out"
    TRACE_SWAPPED = "t with the classes in reverse order"
    PSI_ABSENT = "psi left out of V"
    INDICATOR_BY_SAMPLES = "V = [J/sqrt n, psi] instead of [J/sqrt p, psi]"


class PopulationChange(Enum):
    """A change of the population's numbers that a wrong law of the spectrum makes (theory sheet, section 5)."""

    MEANS_ABSENT = "class means left out"
    MEANS_SWAPPED = "class means exchanged between the classes"
    SIZES_SWAPPED = "class sizes exchanged"
    TRACE_ABSENT = "t left out"
    TRACE_SWAPPED = "t with the classes in reverse order"
    T_ABSENT = "T left out"
    T_CENTRED = "T from centred covariances"


@dataclass(frozen=True)
class Theory:
    """One theory of one kernel's equivalent.

    Attributes:
        identifier: short name.
        kernel: which kernel's.
        description: what it says, or what is wrong with it, in words.
        source: where it comes from.
        coefficients: of the kernel, in the moments at tau_* and at tau_0, the weight variances and tau_0.
        statistics: changes of the data's statistics.
        population: changes of the population's numbers, for the law of the spectrum.
        assembly: how the coefficients and the statistics make the equivalent.
        scale: tau^2 at equilibrium, the right side of the equation of tau_*.
    """

    identifier: str
    kernel: Kernel
    description: str
    source: str
    coefficients: KernelCoefficients[sp.Expr]
    statistics: frozenset[Statistic] = field(default_factory=frozenset)
    population: frozenset[PopulationChange] = field(default_factory=frozenset)
    assembly: Assembly = ASSEMBLY
    scale: sp.Expr = field(default_factory=lambda: tau_equation().rhs)


@cache
def true_theory(kernel: str) -> Theory:
    """The equivalent of theory sheet section 4, as expressions in the moments, the weight variances and tau_0.

    Raises:
        UnknownKernelError: not the name of a kernel.

    Example:
        >>> true_theory("ck").coefficients.linear
        d_1**2*sigma_b^2/(-d_1**2*sigma_a^2 + 1)
    """
    which = Kernel.read(kernel)
    return Theory("true", which, "the theory", "theory sheet, section 4", kernel_coefficients(which))


@cache
def released_variants() -> Mapping[str, Theory]:
    """What released codes compute where it differs from the theory (theory sheet, section 6)."""
    true = true_theory("ck")
    paper_2022 = "Model-Compression/Lossless_Compression (NeurIPS 2022)"
    paper_2024 = "StephenLi24/INN_eqvi_ENN (ICML 2024)"
    variants = (
        replace(
            true,
            description="the diagonal has an extra - tau_0^4 alpha_3",
            source=paper_2022,
            coefficients=replace(
                true.coefficients, diagonal=true.coefficients.diagonal - tau_0**4 * true.coefficients.square
            ),
        ),
        replace(
            true,
            description=Statistic.T_CENTRED.value,
            source=paper_2024,
            statistics=frozenset({Statistic.T_CENTRED}),
        ),
        replace(
            true,
            description=Statistic.T_ELEMENTWISE.value,
            source=paper_2024,
            statistics=frozenset({Statistic.T_ELEMENTWISE}),
        ),
    )
    named = zip(RELEASED_VARIANTS, variants, strict=True)
    return MappingProxyType({name: replace(variant, identifier=name) for name, variant in named})


@cache
def planted_errors() -> Mapping[str, Theory]:
    """Wrong theories that every check of the equivalents must refute, the released variants among them.

    Example:
        >>> planted_errors()["lambda_1 for alpha_1"].description
        'the pre-activation coefficient of S'
    """
    variants = [*released_variants().values(), *_scaled("ck"), *_scaled("ntk-recurrent")]
    variants += _wrong_formulas() + _wrong_statistics() + _wrong_ntk()
    return MappingProxyType({theory.identifier: theory for theory in variants})


#: Errors of the CK's coefficients that its spectrum shows: 10 % of alpha_2 or alpha_3 are less than isolated
#: eigenvalues scatter.
_SPECTRAL = (
    *("ck linear +10 %", "ck linear -10 %", "ck diagonal +10 %", "ck diagonal -10 %", "extra-diagonal"),
    *("no recursion in alpha_1", "lambda_1 for alpha_1", "lambda_2 for alpha_2", "lambda_3 for alpha_3"),
    *("alpha_2 by 1/2", "alpha_3 by 1/4", "alpha_2 absent", "alpha_3 absent", "alpha_2 negative", "alpha_3 negative"),
    *("alpha_2 and alpha_3 exchanged", "no subtraction on the diagonal", "uncentred diagonal"),
)


@cache
def planted_spectral_errors() -> Mapping[str, Theory]:
    """Wrong theories of the CK's spectrum, which the checks of bulk and isolated eigenvalues must refute."""
    true = true_theory("ck")
    variants = [planted_errors()[name] for name in _SPECTRAL]
    variants += [_planted(true, kind.value, kind.value, population=frozenset({kind})) for kind in PopulationChange]
    named = {f"spectrum: {theory.identifier}": theory for theory in variants}
    return MappingProxyType({name: replace(theory, identifier=name) for name, theory in named.items()})


def _planted(base: Theory, identifier: str, description: str, **changes: Any) -> Theory:
    """The theory with some of its coefficients, by name, or of its other fields changed."""
    coefficients = {part: changes.pop(part) for part in PARTS if part in changes}
    return replace(
        base,
        identifier=identifier,
        description=description,
        source="planted",
        coefficients=replace(base.coefficients, **coefficients),
        **changes,
    )


def _scaled(kernel: str) -> list[Theory]:
    """Each coefficient off by 10 % either way."""
    true = true_theory(kernel)
    meanings = ("coefficient of S", "coefficient of t, psi", "coefficient of T", "diagonal value")
    return [
        _planted(
            true,
            f"{kernel} {part} {sign}10 %",
            f"{meaning} {sign}10 %",
            **{part: factor * getattr(true.coefficients, part)},
        )
        for sign, factor in (("+", sp.Rational(11, 10)), ("-", sp.Rational(9, 10)))
        for part, meaning in zip(PARTS, meanings, strict=True)
    ]


def _wrong_formulas() -> list[Theory]:
    """Formulas of the CK with a term, a factor or a sign wrong."""
    true = true_theory("ck")
    right = true.coefficients
    lost = 1 - sigma_a2 * d1**2
    slope = sigma_b2 / lost
    second = d2**2 / (4 * lost)
    response = sigma_b2 / (1 - sigma_a2 * d22 / 2)
    pre = preactivation_coefficients()

    return [
        _planted(true, "no recursion in alpha_1", "alpha_1 = sigma_b^2 d1^2", linear=sigma_b2 * d1**2),
        _planted(true, "lambda_1 for alpha_1", "the pre-activation coefficient of S", linear=pre["lambda1"]),
        _planted(true, "lambda_2 for alpha_2", "the pre-activation coefficient", variance=pre["lambda2"]),
        _planted(true, "lambda_3 for alpha_3", "the pre-activation coefficient", square=pre["lambda3"]),
        _planted(true, "alpha_4 = sigma_b^2", "no response of tau_i to itself", variance=second * sigma_b2**2),
        _planted(
            true,
            "d22 doubled in alpha_4",
            "alpha_4 = sigma_b^2/(1 - sigma_a^2 d22)",
            variance=second * (sigma_b2 / (1 - sigma_a2 * d22)) ** 2,
        ),
        _planted(
            true,
            "d22 of the uncentred activation",
            "E[(phi_0^2)''] for E[(phi^2)'']",
            variance=second * (sigma_b2 / (1 - sigma_a2 * (d22 + 2 * mean * d2) / 2)) ** 2,
        ),
        _planted(true, "alpha_4 not squared", "alpha_4 for alpha_4^2 in alpha_2", variance=second * response),
        _planted(true, "alpha_2 by 1/2", "1/2 for 1/4 in alpha_2", variance=2 * right.variance),
        _planted(true, "alpha_3 by 1/4", "1/4 for 1/2 in alpha_3", square=right.square / 2),
        _planted(true, "sigma_b^2 for lambda_1 in alpha_3", "no recursion", square=d2**2 * sigma_b2**2 / (2 * lost)),
        _planted(true, "lambda_1 not squared in alpha_3", "lambda_1 for its square", square=d2**2 * slope / (2 * lost)),
        _planted(true, "alpha_2 absent", "no fluctuation of the norms", variance=sp.S.Zero),
        _planted(true, "alpha_3 absent", "no entrywise square of S", square=sp.S.Zero),
        _planted(true, "alpha_2 negative", "sign of alpha_2", variance=-right.variance),
        _planted(true, "alpha_3 negative", "sign of alpha_3", square=-right.square),
        _planted(true, "alpha_2 and alpha_3 exchanged", "", variance=right.square, square=right.variance),
        _planted(
            true, "no subtraction on the diagonal", "gamma_*^2 I alone", diagonal=variance + tau_0**2 * right.linear
        ),
        _planted(
            true,
            "tau_0 not squared on the diagonal",
            "gamma_*^2 - tau_0 alpha_1",
            diagonal=variance + (tau_0**2 - tau_0) * right.linear,
        ),
        _planted(
            true,
            "uncentred diagonal",
            "E[phi_0^2] for its variance",
            diagonal=variance + mean**2,
        ),
    ]


def _wrong_statistics() -> list[Theory]:
    true = true_theory("ck")
    wrong = [kind for kind in Statistic if kind not in (Statistic.T_CENTRED, Statistic.T_ELEMENTWISE)]
    return [_planted(true, f"statistics: {kind.value}", kind.value, statistics=frozenset({kind})) for kind in wrong]


def _wrong_ntk() -> list[Theory]:
    """NTKs with a term missing, or with another NTK's coefficients."""
    recurrent = true_theory("ntk-recurrent")
    ck = ck_coefficients()
    lost = 1 - sigma_a2 * d1**2
    all_weights = true_theory("ntk-all")
    return [
        _planted(recurrent, "beta_3 without its second term", "alpha_3/D alone", square=ck["alpha3"] / lost),
        _planted(
            recurrent,
            "kappa_*^2 with d1^2 for E[phi'^2]",
            "gamma_*^2/(1 - sigma_a^2 d1^2)",
            diagonal=variance / lost,
        ),
        _planted(
            recurrent,
            "beta_1 without its denominator",
            "alpha_1 for beta_1",
            linear=ck["alpha1"],
        ),
        _planted(
            recurrent,
            "NTK of all weights for the recurrent one",
            "another parameter set's coefficients",
            **vars(all_weights.coefficients),
        ),
    ]
