"""What a benchmark is made of: a timing against a target, and a function that makes some of them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

__all__ = ["Benchmark", "Measurement", "Say", "timed"]


@dataclass(frozen=True)
class Measurement:
    """One timing.

    Attributes:
        name: what was computed.
        seconds: processor time of the project's way.
        reference_seconds: processor time of the plain way, or None where there is none.
        ratio: reference_seconds/seconds, or None.
        target: what is asked for, in words.
        met: whether it was reached.
        detail: how the two were measured.
    """

    name: str
    seconds: float
    reference_seconds: float | None
    ratio: float | None
    target: str
    met: bool
    detail: str


#: Says what is being done now.
Say = Callable[[str], None]


@dataclass(frozen=True)
class Benchmark:
    """One sub-benchmark: a function that says its progress and returns its measurements.

    Attributes:
        run: the function.
        meaning: one phrase.
        slow: whether it takes minutes: then it runs with --all or by name only.
    """

    run: Callable[[Say], list[Measurement]]
    meaning: str
    slow: bool = False


def timed(function: Callable[[], Any]) -> tuple[float, Any]:
    """Return the processor time of a call, in seconds, and its result."""
    begin = time.process_time()
    result = function()
    return time.process_time() - begin, result
