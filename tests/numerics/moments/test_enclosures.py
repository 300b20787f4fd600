"""Integrals in balls that are interrupted, wherever that happens."""

from __future__ import annotations

import sys
from types import FrameType
from typing import Any

import pytest
from flint import arb

from numerics.moments import enclosures


@pytest.mark.parametrize("line", [1, 3, 4, 5])
def test_an_interruption_between_any_two_lines_comes_through(line: int) -> None:
    """Also one that Arb's own callback has no handler for, which Python reports as SystemError."""
    seen = [0]

    def interrupt(frame: FrameType, event: str, _: object) -> Any:
        if event == "line" and frame.f_lineno == frame.f_code.co_firstlineno + line:
            seen[0] += 1
            if seen[0] == 3:
                raise KeyboardInterrupt
        return interrupt

    def enter(frame: FrameType, _: str, __: object) -> Any:
        return interrupt if frame.f_code.co_name == "guarded" else None

    before = sys.gettrace()
    sys.settrace(enter)
    try:
        with pytest.raises(KeyboardInterrupt):
            enclosures._arb_integral(lambda point, _: point.exp(), arb(0), arb(1), arb("1e-10"))
    finally:
        sys.settrace(before)
