"""What can be found of the question whether a family has a network with a DEQ's kernel."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["MatchStatus"]


class MatchStatus(StrEnum):
    """Whether a family has a network with a DEQ's kernel; a member is its own name as text.

    Example:
        >>> MatchStatus("exact").sentence
        'proved: a network that matches lies within the radius shown of the parameters'
    """

    EXACT = "exact"
    INFEASIBLE = "infeasible"
    UNDECIDED = "undecided"

    @property
    def sentence(self) -> str:
        """What it means, in one sentence."""
        return _SENTENCES[self]


_SENTENCES = {
    MatchStatus.EXACT: "proved: a network that matches lies within the radius shown of the parameters",
    MatchStatus.INFEASIBLE: "proved: no network of the family matches, and each is off by more than the bound shown",
    MatchStatus.UNDECIDED: "neither a network nor a proof that there is none was found",
}
