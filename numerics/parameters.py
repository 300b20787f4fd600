"""What library calls share: arrays that are read, and margins that are shown.

What describes a DEQ is read by ``theory.equations.DEQ``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "as_array",
    "learning_rates",
    "margin_text",
]


def as_array(value: Any, name: str) -> NDArray[np.float64]:
    """Return a float64 array of any shape; lists and tuples of numbers are accepted.

    Args:
        value: an array, of any shape, or what becomes one.
        name: what it is called in an error.

    Raises:
        ValueError: it is no array of real numbers.
    """
    try:
        found = np.asarray(value)
        return found if found.dtype == np.float64 else found.astype(np.float64, casting="safe")
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{name} must be an array of real numbers, or lists of equal lengths, not {type(value).__name__}"
        ) from error


def learning_rates(rates: Sequence[float] | None, layers: int) -> tuple[float, ...]:
    """Return the learning rates of an explicit network's weight matrices, 1 each where none are given.

    Args:
        rates: of W_1, W_2, ... and of the readout, 0 where they are frozen; or None.
        layers: number of hidden layers.

    Raises:
        ValueError: another number of them, or one that is negative or not finite.

    Example:
        >>> learning_rates(None, 1)
        (1.0, 1.0)
    """
    found = (1.0,) * (layers + 1) if rates is None else tuple(map(float, rates))
    if len(found) != layers + 1 or not all(np.isfinite(rate) and rate >= 0 for rate in found):
        raise ValueError(f"{layers} hidden layers have {layers + 1} learning rates, none negative, not {found}")
    return found


def margin_text(margin: Any, digits: int = 6, resolution: float = 0.0) -> str:
    """Return what must be below 1 as a text that tells it from 1: ``0.2``, ``1.5``, or ``1 - 5.0e-11`` next to 1.

    Args:
        margin: a float, an mpmath number or an Arb ball, whose midpoint is shown.
        digits: significant digits away from 1.
        resolution: distance from 1 that is rounding.
    """
    left = float(1 - (margin.mid() if hasattr(margin, "mid") else margin))
    if abs(left) <= resolution:
        return "1"
    if abs(left) >= 10.0 ** (2 - digits):
        return f"{float(margin):.{digits}g}"
    return f"1 {'-' if left > 0 else '+'} {abs(left):.1e}"
