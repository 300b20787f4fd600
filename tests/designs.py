"""Designs for tests, and the check of what they claim by the path that certifies nothing."""

from __future__ import annotations

from functools import cache

import mpmath
import sympy as sp

from numerics.equilibrium import ImplicitCoefficients, solve
from numerics.matching import Design, design
from theory.equations import DEQ
from theory.kernels import Kernel
from theory.matching import MatchStatus

__all__ = ["DEFAULT", "assert_matches", "made"]

DEFAULT = sp.Rational(1, 5)
_PLAIN_DIGITS = 30


def made(text: str, sigma_a2: sp.Expr = DEFAULT, digits: int = 20, **options: object) -> Design:
    """The design for an activation with sigma_b^2 = 1 - sigma_a^2 and tau_0 = 1."""
    return design(DEQ(text, sigma_a2), digits=digits, **options)  # type: ignore[arg-type]


@cache
def _plain(deq: DEQ) -> ImplicitCoefficients:
    return solve(deq, _PLAIN_DIGITS)


def assert_matches(outcome: Design, digits: int) -> None:
    """Every branch has the DEQ's numbers, both computed by the plain mpmath path from the midpoints."""
    assert outcome.status is MatchStatus.EXACT
    assert outcome.branches
    plain = _plain(outcome.solution.deq)
    for network in outcome.branches:
        last = network.mp_reports(digits + 15)[-1].coefficients
        keys = ("a1", "a2", "a3", "tau2") if outcome.kernel == "ck" else ("b1", "b2", "b3", "kappa2")
        with mpmath.mp.workdps(digits + 15):
            for have, want in zip(keys, Kernel(outcome.kernel).keys, strict=True):
                gap = abs(mpmath.mpf(last[have]) - plain.values[want])
                assert gap < mpmath.mpf(10) ** (2 - digits) * plain.values["gamma2"], (have, gap)
