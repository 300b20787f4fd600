"""The array types that everything with digits speaks in."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "EPS",
    "Array",
    "Index",
    "Mask",
]

EPS = float(np.finfo(np.float64).eps)
Array = NDArray[np.float64]
Index = NDArray[np.intp]
Mask = NDArray[np.bool_]
