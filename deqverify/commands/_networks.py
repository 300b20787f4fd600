"""Explicit networks as JSON and on the terminal: their layers, and which weights are trained at which rates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flint import arb

    from numerics.matching import ExplicitNetwork

__all__ = ["layers_record", "rates_line", "weights_record"]

#: Digits by which biases and scales are computed beyond those that are shown.
_GUARD = 20


def layers_record(network: ExplicitNetwork, digits: int) -> list[dict[str, Any]]:
    """Return family, parameters, bias and scale of each layer, as decimals.

    Args:
        network: the network.
        digits: significant digits.
    """
    from flint import arb

    from numerics.arithmetic import radius_text

    found = []
    for layer, report in zip(network.layers, network.ball_reports(digits + _GUARD), strict=True):
        found.append(
            {
                "family": layer.family.name,
                "expression": str(layer.family.activation.expr),
                "parameters": {name: _decimal(ball, digits) for name, ball in layer.parameters.items()},
                "radius": {name: radius_text(ball) for name, ball in layer.parameters.items()},
                "bias": _decimal(arb(report.bias), digits),
                "scale": _decimal(arb(report.scale), digits),
            }
        )
    return found


def weights_record(network: ExplicitNetwork, digits: int) -> list[dict[str, Any]]:
    """Return name and learning rate of each weight matrix, the readout last, and whether it is trained.

    Args:
        network: the network.
        digits: significant digits.
    """
    from numerics.arithmetic import radius_text

    return [
        {"name": name, "trained": not rate.is_zero(), "rate": _decimal(rate, digits), "radius": radius_text(rate)}
        for name, rate in zip(network.weights, network.all_rates, strict=True)
    ]


def rates_line(weights: Sequence[dict[str, Any]]) -> str:
    """Return the learning rates in one line; frozen weights are called so."""
    shown = (f"{each['name']} {each['rate']}" if each["trained"] else f"{each['name']} frozen" for each in weights)
    return f"learning rates: {', '.join(shown)}"


def _decimal(ball: arb, digits: int) -> str:
    from flint import arb

    from numerics.arithmetic import rounded_decimal

    return rounded_decimal(arb(0) if ball.contains(0) else ball, digits)[0]
