"""The explicit networks of the released code: its equations, and what its minimiser makes of them.

StephenLi24/INN_eqvi_ENN minimises the sum of the squares of four residuals, with SLSQP to 1e-10 from a fixed start.
Two leaky ReLUs have a free scale between them (theory sheet, section 7), which the start decides.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import scipy.optimize
import sympy as sp
from flint import arb

from numerics.arithmetic import PointwiseActivation
from numerics.arrays import Array
from numerics.equilibrium import solve_float
from numerics.matching import ExplicitLayer, ExplicitNetwork
from theory.equations import DEQ, LayerCoefficients
from theory.kernels import Kernel, KernelCoefficients
from theory.matching import kernel_part, named_family

__all__ = ["PAIRS", "ReleasedDesign", "ReleasedPair", "released_design", "released_difference"]

_TOLERANCE = 1e-10


@dataclass(frozen=True)
class ReleasedPair:
    """A DEQ of the released code and the family of the network that is to stand for it.

    Attributes:
        activation: of the DEQ.
        family: of the layers.
        layers: how many.
        start: of the minimiser, parameter by parameter.
        accuracy_sigma_a2: the variance that the network of the accuracy experiments is solved for.
    """

    activation: str
    family: str
    layers: int
    start: tuple[float, ...]
    accuracy_sigma_a2: str


#: By the activation of the DEQ.
PAIRS = {
    "relu": ReleasedPair("relu", "leaky_relu", 2, (1.0, 0.1, 1.0, 0.1), "3/10"),
    "tanh": ReleasedPair("tanh", "hard_tanh", 1, (0.1, 0.1), "1/10"),
}


@dataclass(frozen=True, eq=False)
class ReleasedDesign:
    """A network that the minimiser found.

    Attributes:
        parameters: (k,) array, those of the first layer first.
        layers: activation and bias of each layer.
        residual: the largest of the four, in absolute value.
    """

    parameters: Array
    layers: tuple[tuple[PointwiseActivation, float], ...]
    residual: float


@lru_cache(maxsize=64)
def released_design(activation: str, sigma_a2: str, tau0: float = 1.0) -> ReleasedDesign:
    """Solve as the released code does for the network that has a DEQ's CK, sigma_b^2 being 1 - sigma_a^2.

    Args:
        activation: "relu" or "tanh".
        sigma_a2: of the DEQ, an exact number as text.
        tau0: of the data.

    Raises:
        KeyError: another activation.
        EquilibriumError: the DEQ has no stable equilibrium.

    Example:
        >>> released_design("tanh", "1/5").parameters.round(3).tolist()
        [0.764, 1.196]
    """
    pair, weight = PAIRS[activation], sp.Rational(sigma_a2)
    wanted = solve_float(DEQ(activation, weight, 1 - weight, tau0)).checked().kernel(Kernel.CK)

    def residuals(values: Array) -> Array:
        found: KernelCoefficients[float] = _coefficients(_network(pair, values, tau0))
        return np.array(_four(found, tau0)) - _four(wanted, tau0)

    found = scipy.optimize.minimize(
        lambda values: float(np.sum(residuals(values) ** 2)), pair.start, method="SLSQP", tol=_TOLERANCE
    ).x
    layers = tuple(_network(pair, found, tau0).pointwise())
    return ReleasedDesign(found, layers, float(np.abs(residuals(found)).max()))


def released_difference(activation: str, solved_for: str, sigma_a2: str) -> float:
    """Return by how much the released network that is solved for one DEQ misses the four numbers of another.

    Args:
        activation: "relu" or "tanh", of both.
        solved_for: sigma_a^2 of the first, an exact number as text.
        sigma_a2: that of the second.

    Raises:
        KeyError: another activation.
        EquilibriumError: a DEQ has no stable equilibrium.

    Example:
        >>> released_difference("tanh", "1/10", "1/10") < 1e-5 < released_difference("tanh", "1/10", "1/5")
        True
    """
    weight = sp.Rational(sigma_a2)
    wanted = solve_float(DEQ(activation, weight, 1 - weight)).checked().kernel(Kernel.CK)
    reached = _coefficients(_network(PAIRS[activation], released_design(activation, solved_for).parameters, 1.0))
    return float(np.abs(np.array(_four(reached, 1.0)) - _four(wanted, 1.0)).max())


def _network(pair: ReleasedPair, values: Array, tau0: float) -> ExplicitNetwork:
    """The network with given parameters."""
    family = named_family(pair.family)
    names = [symbol.name for symbol in family.symbols]
    rows = np.reshape(values, (pair.layers, len(names)))
    layers = [ExplicitLayer(family, {name: arb(float(x)) for name, x in zip(names, row, strict=True)}) for row in rows]
    return ExplicitNetwork(tuple(layers), sp.Rational(str(tau0)))


def _coefficients(network: ExplicitNetwork) -> KernelCoefficients[float]:
    last = LayerCoefficients(**network.float_reports()[-1].coefficients)
    return kernel_part("ck", last).map(float)


def _four(coefficients: KernelCoefficients[float], tau0: float) -> tuple[float, float, float, float]:
    """The numbers that the released code equates: the last is the identity's coefficient."""
    return coefficients.linear, coefficients.variance, coefficients.square, coefficients.identity(tau0)
