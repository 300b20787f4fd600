"""The networks of the released main.py, whose formulas are solved for other variances than its DEQs have."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import erf, erfc

from numerics.arithmetic import PointwiseActivation
from numerics.equilibrium import solve_float
from numerics.released.designs import PAIRS, released_design
from theory.equations import DEQ

__all__ = ["CENTRED_FOR", "MainNetworks", "main_networks", "shadowed_scale"]

#: sigma_a^2 and sigma_b^2 that the DEQ's ReLU is centred for, whatever --asquare says.
CENTRED_FOR = ("1/10", "9/10")
_CENTRE = 1 / float(np.sqrt(2 * np.pi))


@dataclass(frozen=True, eq=False)
class MainNetworks:
    """A DEQ of main.py and the explicit network beside it, at tau_0 = 1.

    Attributes:
        bias: subtracted from the DEQ's activation.
        layers: activation and bias of the explicit network's layers.
    """

    bias: float
    layers: tuple[tuple[PointwiseActivation, float], ...]


def main_networks(activation: str) -> MainNetworks:
    """Return the pair that main.py compares.

    Args:
        activation: "relu" or "tanh", of the DEQ.

    Raises:
        KeyError: another activation.

    Example:
        >>> main_networks("tanh").bias
        0.0
    """
    design = released_design(activation, PAIRS[activation].accuracy_sigma_a2)
    if activation == "tanh":
        return MainNetworks(0.0, design.layers)
    a1, b1, a2, b2 = map(float, design.parameters)
    first, (second, _) = design.layers
    bias = float(solve_float(DEQ(activation, *CENTRED_FOR)).checked()["bias"])
    return MainNetworks(bias, (first, (second, (a2 - b2) * _CENTRE * shadowed_scale(a1, b1))))


def shadowed_scale(a: float, c: float, tau0: float = 1.0) -> float:
    """The root mean square of a clip(x, -c, c), which main.py takes for that of its centred leaky ReLU max(a x, c x).

    Both of its modules define ``Tau``, and the one of hard tanh is imported last.

    Args:
        a: slope.
        c: half width; for the leaky ReLU its slope for x < 0.
        tau0: scale of x.

    Example:
        >>> round(shadowed_scale(1.0, 100.0), 12)
        1.0
    """
    z = c / np.sqrt(2) / tau0
    square = tau0**2 * erf(z) + c * (c * erfc(z) - np.exp(-(z**2)) * np.sqrt(2 / np.pi) * tau0)
    return float(a * np.sqrt(max(square, 0.0)))
