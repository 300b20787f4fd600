"""Decimals of balls: more digits than Python's integers are written with."""

from __future__ import annotations

from flint import arb, ctx

from numerics.arithmetic import contains_decimal, rounded_decimal


def test_more_digits_than_python_writes_are_written_and_read_back() -> None:
    with ctx.workprec(20_100):
        text, proved = rounded_decimal(arb(1) / 3, 6000)
        assert proved
        assert text == "0." + 6000 * "3"
        assert contains_decimal(arb(1) / 3, text)
        assert not contains_decimal(arb(1) / 3, text[:-1] + "4")
