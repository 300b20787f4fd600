"""Wrong theories of what a readout learns, as data beside the true one.

Theory sheet, sections 9 and 10.  A theory takes the coefficients of an equivalent and the population; it may leave
terms out, centre fresh samples by another mean, or take another penalty or width.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from functools import cache
from types import MappingProxyType

import sympy as sp

from theory.claims.variants import Theory, planted_errors, true_theory
from theory.kernels import Kernel

__all__ = ["LEARNING_CLAIMS", "LearningChange", "LearningTheory", "learning_theories"]

#: Claims that wrong theories stand beside.
LEARNING_CLAIMS = ("learning-ck", "learning-ntk", "learning-matched", "learning-features")


class LearningChange(Enum):
    """A change that a wrong theory of what is learned makes."""

    T_ABSENT = "T left out"
    PSI_ABSENT = "psi left out"
    TRACE_ABSENT = "t left out of training and of fresh samples"
    SIZES_SWAPPED = "class sizes exchanged"
    FRESH_ALONE = "fresh samples centred class by class, t = 0"
    FRESH_EVEN = "fresh samples centred by the mean over the classes in place of that over the samples"
    UNTIED = "weights drawn anew at every step, s = 0"
    INFINITE_WIDTH = "width infinite"
    NAIVE = "one layer of the DEQ's activation in place of the matched network"


@dataclass(frozen=True)
class LearningTheory:
    """One theory of what a readout learns.

    Attributes:
        identifier: short name.
        description: what it says, or what is wrong with it, in words.
        equivalent: the theory of the kernel's equivalent, right or wrong.
        change: of the law, or None.
        penalty: the penalty over the true one.
        source: where it comes from.
    """

    identifier: str
    description: str
    equivalent: Theory
    change: LearningChange | None = None
    penalty: sp.Rational = sp.S.One
    source: str = "planted"

    @property
    def kernel(self) -> Kernel:
        """Whose readout."""
        return self.equivalent.kernel


_OF_DATA = (
    *(LearningChange.T_ABSENT, LearningChange.PSI_ABSENT, LearningChange.TRACE_ABSENT, LearningChange.SIZES_SWAPPED),
    *(LearningChange.FRESH_ALONE, LearningChange.FRESH_EVEN),
)
_CHANGES: Mapping[str, tuple[LearningChange, ...]] = MappingProxyType(
    {
        "learning-ck": _OF_DATA,
        "learning-ntk": _OF_DATA,
        "learning-matched": (LearningChange.NAIVE,),
        "learning-features": (LearningChange.UNTIED, LearningChange.INFINITE_WIDTH),
    }
)
#: Wrong equivalents that outputs show: readouts do not see by what a kernel is multiplied.
_EQUIVALENTS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "learning-ck": (
            *("ck linear +10 %", "ck linear -10 %", "ck diagonal +10 %", "ck diagonal -10 %"),
            *("alpha_2 absent", "alpha_3 absent", "alpha_2 negative", "alpha_3 negative"),
            *("alpha_2 and alpha_3 exchanged", "no recursion in alpha_1", "no subtraction on the diagonal"),
        ),
        "learning-ntk": (
            *("ntk-recurrent linear +10 %", "ntk-recurrent diagonal -10 %", "beta_1 without its denominator"),
            *("kappa_*^2 with d1^2 for E[phi'^2]", "NTK of all weights for the recurrent one"),
        ),
    }
)
#: The penalties that are wrong.
_PENALTIES = (("ridge +10 %", sp.Rational(11, 10)), ("ridge -10 %", sp.Rational(9, 10)))


@cache
def learning_theories(claim: str) -> Mapping[str, LearningTheory]:
    """The true theory, and wrong ones that the check of a claim must refute, by identifier.

    Args:
        claim: one of ``LEARNING_CLAIMS``.

    Raises:
        KeyError: another claim.

    Example:
        >>> learning_theories("learning-features")["learning-features: width infinite"].change
        <LearningChange.INFINITE_WIDTH: 'width infinite'>
    """
    true = LearningTheory(
        "true",
        "the theory",
        true_theory(Kernel.NTK_RECURRENT if claim == "learning-ntk" else Kernel.CK),
        source="theory sheet, section 10",
    )
    theories = (true, *_wrong(claim, true))
    return MappingProxyType({theory.identifier: theory for theory in theories})


def _wrong(claim: str, true: LearningTheory) -> Iterator[LearningTheory]:
    def named(name: str, description: str) -> LearningTheory:
        return replace(true, identifier=f"{claim}: {name}", description=description, source="planted")

    for change in _CHANGES[claim]:
        yield replace(named(change.value, change.value), change=change)
    if LearningChange.NAIVE not in _CHANGES[claim]:
        for name, factor in _PENALTIES:
            yield replace(named(name, name), penalty=factor)
    for name in _EQUIVALENTS.get(claim, ()):
        wrong = planted_errors()[name]
        yield replace(named(name, wrong.description), equivalent=wrong)
