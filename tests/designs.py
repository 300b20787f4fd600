"""Designs for tests, and the check of what they claim by the path that certifies nothing."""

from __future__ import annotations

from functools import cache

import mpmath
import sympy as sp

from numerics.equilibrium import ImplicitCoefficients, solve
from numerics.matching import Design, design
from theory.activations import Activation, resolve
from theory.equations import NTK_KEYS

__all__ = ["DEFAULT", "assert_matches", "made"]

DEFAULT = sp.Rational(1, 5)
_PLAIN_DIGITS = 30
_KEYS = {"ck": ("alpha1", "alpha2", "alpha3", "gamma2"), **{f"ntk-{kind}": keys for kind, keys in NTK_KEYS.items()}}


def made(text: str, sigma_a2: sp.Expr = DEFAULT, digits: int = 20, **options: object) -> Design:
    """The design for an activation with sigma_b^2 = 1 - sigma_a^2 and tau_0 = 1."""
    activation = resolve(text).with_parameters()
    return design(activation, sigma_a2, 1 - sigma_a2, sp.S.One, digits=digits, **options)  # type: ignore[arg-type]


@cache
def _plain(activation: Activation, sigma_a2: sp.Expr, sigma_b2: sp.Expr, tau0: sp.Expr) -> ImplicitCoefficients:
    return solve(activation, sigma_a2, sigma_b2, tau0, _PLAIN_DIGITS)


def assert_matches(outcome: Design, digits: int) -> None:
    """Every branch has the DEQ's numbers, both computed by the plain mpmath path from the midpoints."""
    assert outcome.status == "exact"
    assert outcome.branches
    deq = _plain(outcome.deq.activation, outcome.deq.sigma_a2, outcome.deq.sigma_b2, outcome.deq.tau0)
    for network in outcome.branches:
        last = network.mp_reports(digits + 15)[-1].coefficients
        keys = ("a1", "a2", "a3", "tau2") if outcome.kernel == "ck" else ("b1", "b2", "b3", "kappa2")
        with mpmath.mp.workdps(digits + 15):
            for have, want in zip(keys, _KEYS[outcome.kernel], strict=True):
                gap = abs(mpmath.mpf(last[have]) - deq.values[want])
                assert gap < mpmath.mpf(10) ** (2 - digits) * deq.values["gamma2"], (have, gap)
