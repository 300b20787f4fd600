"""Laws of independent entries with mean 0 and variance 1, for the weights of networks and the noise of data.

The theory (theory sheet, sections 1 and 2) is written for normal entries.  The other laws test its universality: they
share the first two moments, and differ in the fourth.
"""

from __future__ import annotations

import numpy as np

from numerics.arrays import Array
from numerics.named import ENTRY_LAWS, EntryLaw

__all__ = [
    "ENTRY_LAWS",
    "FOURTH_MOMENTS",
    "STUDENT_DEGREES",
    "EntryLaw",
    "draw_entries",
]

#: Of "student", Student's t, standardised.  The fewest whole degrees of freedom with a finite fourth moment, without
#: which the operator norm of a matrix of such entries over sqrt(m) grows without bound (Bai and Yin, 1988): then the
#: DEQ has no equilibrium for large m.
STUDENT_DEGREES = 5
#: E[x^4] of each law.
FOURTH_MOMENTS: dict[EntryLaw, float] = {
    "gaussian": 3.0,
    "rademacher": 1.0,
    "uniform": 9 / 5,
    "student": 3 * (STUDENT_DEGREES - 2) / (STUDENT_DEGREES - 4),
}


def draw_entries(law: EntryLaw, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    """Array of independent entries with mean 0 and variance 1.

    Args:
        law: name of the law, one of ENTRY_LAWS.
        shape: shape of the array.
        rng: every entry comes from it.

    Raises:
        ValueError: an unknown law.
    """
    if law == "gaussian":
        return rng.standard_normal(shape)
    if law == "rademacher":
        return np.asarray(2.0 * rng.integers(0, 2, shape, dtype=np.int8) - 1.0)
    if law == "uniform":
        return np.asarray(rng.uniform(-np.sqrt(3), np.sqrt(3), shape))
    if law == "student":
        return np.asarray(rng.standard_t(STUDENT_DEGREES, shape) * np.sqrt((STUDENT_DEGREES - 2) / STUDENT_DEGREES))
    raise ValueError(f"entries are drawn from {', '.join(ENTRY_LAWS)}, not {law!r}")
