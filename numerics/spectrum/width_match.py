"""Widths at which an explicit network's conjugate kernel has nearly the spectrum of a DEQ's of finite width.

Theory sheet, section 9.  An explicit network with the DEQ's kernel of infinite width has another law at equal width.
The second moments of the bulks say how they differ.  To that of Gbar, a DEQ of M neurons adds

    (n/M) gamma_*^4/(1 - s^2)^2,

since with R = (I - s A/sqrt(M))^{-1} tr R^T R/M tends to 1/(1 - s^2) and tr (R^T R)^2/M to 1/(1 - s^2)^4.  An explicit
network with W neurons in each of its layers l = 1..L adds

    (n/W) sum_l (k_L/k_l)^2 gamma_l^4,

k_l being the coefficient of X^T X and gamma_l^2 the diagonal of layer l's kernel: the layers above multiply what a
layer adds by k_L/k_l.  The two are equal at one W, about which the nearest law is searched for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq, minimize, minimize_scalar

from numerics.arrays import Array
from numerics.spectrum.law import LawOfKernel, SpectralLaw
from numerics.spectrum.population import Population
from numerics.spectrum.width_law import FiniteWidthLaw, explicit_width_law
from theory.kernels import KernelCoefficients

__all__ = ["WidthMatch", "equal_second_moment", "law_distance", "match_widths"]

#: Points on every interval of a support, at which two distribution functions are compared, closer near its ends.
_POINTS = 2000
#: How far from the width of equal second moment is looked, as a factor, and how finely, relative to the width.
_FARTHEST, _FINENESS = 8.0, 0.02
#: Laws computed to improve on one width for all layers.
_TRIALS = 40


@dataclass(frozen=True)
class WidthMatch:
    """How near explicit networks of finite width come to a DEQ's law.

    Attributes:
        widths: of every layer, from the data upwards, of the nearest network that was found.
        distance: Kolmogorov distance of its law to the DEQ's.
        at_equal_width: that of the network all of whose layers have the DEQ's width.
        second_moment: the width, the same in all layers, at which both laws have one second moment.
        tolerance: the distance that was asked for.
        range: least and greatest width, the same in all layers, within that distance, next to the nearest one; the
            greatest is None where the widest networks that were tried are within it; None where none was found.
    """

    widths: tuple[int, ...]
    distance: float
    at_equal_width: float
    second_moment: float
    tolerance: float
    range: tuple[int, int | None] | None


def law_distance(law: LawOfKernel, other: LawOfKernel) -> float:
    """The Kolmogorov distance of two laws' bulks, from below: the largest difference at some thousand points.

    Args:
        law: one of them.
        other: the other.
    """
    ends = [edge for each in (law, other) for pair in each.edges for edge in pair]
    angle = np.linspace(0, np.pi, _POINTS)
    parts: list[Array] = [np.array([0.0, *ends])]
    for left, right in (*law.edges, *other.edges):
        low, high = np.sqrt(max(left, 0.0)), np.sqrt(right)
        parts.append(((low + high) / 2 - (high - low) / 2 * np.cos(angle)) ** 2)
    places = np.unique(np.concatenate(parts))
    gaps = [np.abs(law.cumulative(places, left=left) - other.cumulative(places, left=left)) for left in (False, True)]
    return float(np.max(gaps))


def match_widths(
    target: FiniteWidthLaw, coefficients: Sequence[KernelCoefficients[float]], width: int, tolerance: float
) -> WidthMatch:
    """Look for the widths of a matching network whose law is nearest to a DEQ's.

    One width for all layers is looked for first, and then one for each.  The distance is taken to have one minimum;
    that the network found is the nearest of all is not proved.

    Args:
        target: the DEQ's law.
        coefficients: of the equivalent of every layer's kernel at infinite width; the last are the DEQ's.
        width: M, of the DEQ.
        tolerance: Kolmogorov distance within which widths are asked for.

    Raises:
        ValueError: a tolerance that is not between 0 and 1, or a kernel below the last layer without X^T X.
        SpectralLawError: a law was not found to the accuracy asked for.
    """
    if not 0 < tolerance < 1:
        raise ValueError(f"a Kolmogorov distance lies between 0 and 1, got {tolerance:g}")
    layers, population = len(coefficients), target.population
    distance = _Distance(target, population, coefficients)
    second_moment = equal_second_moment(target, coefficients, width)
    centre = float(np.log(second_moment))
    reach = float(np.log(_FARTHEST))

    def common(log_width: float) -> float:
        return distance((_whole(log_width),) * layers)

    found = minimize_scalar(
        common, bounds=(centre - reach, centre + reach), method="bounded", options={"xatol": _FINENESS}
    )
    best = (_whole(found.x),) * layers
    middle, between = float(found.x), None
    if distance(best) <= tolerance:
        least = _crossing(common, tolerance, middle, middle - 2 * reach)
        greatest = _crossing(common, tolerance, middle, middle + 2 * reach)
        between = (
            1 if least is None else _whole(least, up=True),
            None if greatest is None else _whole(greatest, up=False),
        )
    if layers > 1:
        improved = minimize(
            lambda logs: distance(tuple(map(_whole, logs))),
            np.full(layers, middle),
            method="Nelder-Mead",
            options={"maxfev": _TRIALS, "xatol": _FINENESS, "initial_simplex": _simplex(middle, layers)},
        )
        best = min(best, tuple(map(_whole, improved.x)), key=distance)
    return WidthMatch(best, distance(best), distance((width,) * layers), second_moment, tolerance, between)


def equal_second_moment(target: FiniteWidthLaw, coefficients: Sequence[KernelCoefficients[float]], width: int) -> float:
    """The width, the same in all layers, at which the bulk has the second moment of a DEQ's law.

    Args:
        target: the DEQ's law.
        coefficients: of the equivalent of every layer's kernel at infinite width; the last are the DEQ's.
        width: M, of the DEQ.
    """
    last = coefficients[-1]
    energies = sum(
        (last.linear / layer.linear if layer is not last else 1.0) ** 2 * layer.diagonal**2 for layer in coefficients
    )
    return (1 - target.layers[-1].feedback ** 2) ** 2 * width * energies / last.diagonal**2


class _Distance:
    """The distance to a law, by the widths of an explicit network; every law is computed once."""

    def __init__(
        self, target: FiniteWidthLaw, population: Population, coefficients: Sequence[KernelCoefficients[float]]
    ) -> None:
        self._target, self._population, self._coefficients = target, population, coefficients
        self._noise = SpectralLaw.of(population, coefficients[-1]).bulk
        self._known: dict[tuple[int, ...], float] = {}

    def __call__(self, widths: tuple[int, ...]) -> float:
        if widths not in self._known:
            law = explicit_width_law(self._population, self._coefficients, widths, self._noise)
            self._known[widths] = law_distance(law, self._target)
        return self._known[widths]


def _whole(log_width: float, *, up: bool | None = None) -> int:
    """The width of a logarithm: the nearest whole number, or the next one up or down."""
    width = float(np.exp(log_width))
    rounded = round(width) if up is None else np.ceil(width) if up else np.floor(width)
    return max(1, int(rounded))


def _crossing(distance: Callable[[float], float], tolerance: float, inside: float, outside: float) -> float | None:
    """Where the distance passes the tolerance, between a place where it is within and one far out; None if nowhere."""
    if distance(outside) <= tolerance:
        return None
    return float(brentq(lambda place: distance(place) - tolerance, inside, outside, xtol=_FINENESS / 4))


def _simplex(centre: float, layers: int) -> Array:
    """Corners of the search for a width of each layer: half as many neurons in each in turn, and more in the others."""
    corners = np.full((layers + 1, layers), centre)
    for row in range(layers):
        corners[row + 1] += 0.7
        corners[row + 1, row] -= 1.4
    return corners
