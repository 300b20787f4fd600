"""The ranges of a DEQ's parameters, and the error of what has no equilibrium."""

from __future__ import annotations

from typing import Any

__all__ = [
    "EquilibriumError",
    "check_parameters",
]


class EquilibriumError(ValueError):
    """Parameters for which there is no stable equilibrium, or which are out of range."""


def check_parameters(weight_a: Any, weight_b: Any, scale: Any) -> None:
    """Check that the parameters are in their ranges.

    Args:
        weight_a: sigma_a^2, a number or an exact expression.
        weight_b: sigma_b^2, likewise.
        scale: tau_0, likewise.

    Raises:
        EquilibriumError: not sigma_a^2 >= 0, sigma_b^2 > 0 and tau_0 > 0.
    """
    if not weight_a >= 0:
        raise EquilibriumError(f"sigma_a2 must be a number >= 0, not {weight_a}")
    if not weight_b > 0:
        raise EquilibriumError(f"sigma_b2 must be a number > 0, not {weight_b}")
    if not scale > 0:
        raise EquilibriumError(f"tau0 must be a number > 0, not {scale}")
