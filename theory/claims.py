"""The claims of the theory that this project checks, stated once."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

__all__ = ["CLAIMS", "Claim", "Verdict", "VerdictKind"]


class VerdictKind(Enum):
    """What the evidence says of a claim."""

    DERIVED = "derived"
    SUPPORTED = "supported"
    REFUTED = "refuted"
    UNDECIDED = "undecided"


@dataclass(frozen=True)
class Claim:
    """One statement of the theory.

    Attributes:
        identifier: short name for the command line and files.
        statement: the statement in words.
        latex: the statement as LaTeX.
        source: where it comes from.
        expected: the verdict that a correct theory gets.
    """

    identifier: str
    statement: str
    latex: str
    source: str
    expected: VerdictKind


@dataclass(frozen=True)
class Verdict:
    """What came out for a claim and one subject, such as an activation.

    Attributes:
        claim: identifier of the claim.
        subject: what it was checked on.
        kind: the verdict.
        evidence: one sentence with the figures that decide it.
    """

    claim: str
    subject: str
    kind: VerdictKind
    evidence: str


CLAIMS: dict[str, Claim] = {
    claim.identifier: claim
    for claim in (
        Claim(
            "equilibrium",
            "tau^2 = sigma_a^2 Var phi_0(tau xi) + sigma_b^2 tau_0^2 has a root tau_* reached from tau_0 at which "
            "the slope sigma_a^2 E[(phi^2)'']/2 and sigma_a^2 E[phi']^2 are below 1: the CK's coefficients exist",
            r"\tau_*^2 = \sigma_a^2 \operatorname{Var}[\phi_0(\tau_*\xi)] + \sigma_b^2 \tau_0^2, \quad "
            r"\tfrac12\sigma_a^2 \mathbb{E}[(\phi^2)''(\tau_*\xi)] < 1, \quad "
            r"\sigma_a^2 \mathbb{E}[\phi'(\tau_*\xi)]^2 < 1",
            "theory sheet, section 3 (well-posedness)",
            VerdictKind.SUPPORTED,
        ),
        Claim(
            "forms",
            "the post-activation and the pre-activation form of the system are the same: lambda_1 = sigma_a^2 alpha_1 "
            "+ sigma_b^2, lambda_2 = sigma_a^2 alpha_2, lambda_3 = sigma_a^2 alpha_3",
            r"\lambda_1 = \sigma_a^2\alpha_1 + \sigma_b^2,\ \lambda_2 = \sigma_a^2\alpha_2,\ "
            r"\lambda_3 = \sigma_a^2\alpha_3",
            "theory sheet, section 3",
            VerdictKind.DERIVED,
        ),
        Claim(
            "ck-rate",
            "the exact Implicit-CK G* of the data and its equivalent Gbar approach each other in operator norm at the "
            "rate p^(-1/2)",
            r"\|G_* - \bar G\| = O(p^{-1/2})",
            "theory sheet, section 4",
            VerdictKind.SUPPORTED,
        ),
        Claim(
            "ck-slope",
            "with class means of norm 2, where the next order of the expansion is small, the slope of log error "
            "against log p, corrected for that order, is -1/2",
            r"\log\|G_* - \bar G\| = c - \tfrac12 \log p + O(p^{-1/2})",
            "theory sheet, section 4",
            VerdictKind.SUPPORTED,
        ),
    )
}
