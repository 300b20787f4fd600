"""Exact constants in LaTeX: integers, fractions, decimals that end, powers of pi, one root."""

from __future__ import annotations

import re

import sympy as sp

from theory.latex.layout import joined

__all__ = [
    "constant",
    "decimal",
    "exact",
    "number",
    "script",
]

#: Rationals with a larger numerator or denominator than the first are written as decimals where these end: 1.702, not
#: 851/500.  Up to the second that is done for short decimals only, beside another denominator only beyond the third.
MAX_FRACTION, MAX_PLAIN_FRACTION, MAX_DIVIDED_FRACTION = 200, 100_000, 1_000_000
SHORT_DECIMAL, MAX_DECIMAL = 3, 12
_MAX_EXACT = 60
_LARGE = re.compile(r"\\[bB]igg?[lr](?![A-Za-z])")


def number(value: sp.Rational) -> str:
    """Return a rational number exactly: an integer, a fraction, or a decimal that ends."""
    text = decimal(value)
    if text is not None:
        return text
    sign = "-" if value < 0 else ""
    return str(value) if value.is_Integer else rf"{sign}\frac{{{abs(value.p)}}}{{{value.q}}}"


def decimal(value: sp.Rational, *, divided: bool = False) -> str | None:
    """Return a decimal that ends, where it is clearer than a fraction of long numbers, else None.

    Args:
        value: the number.
        divided: whether it stands beside another denominator, which it could share.
    """
    size = max(abs(value.p), value.q)
    if value.is_Integer or size <= (MAX_DIVIDED_FRACTION if divided else MAX_FRACTION):
        return None
    for places in range(1, (MAX_DECIMAL if size > MAX_PLAIN_FRACTION else SHORT_DECIMAL) + 1):
        scaled = abs(value) * 10**places
        if scaled.is_Integer:
            digits = str(scaled).rjust(places + 1, "0")
            return ("-" if value < 0 else "") + digits[:-places] + "." + digits[-places:]
    return None


def exact(value: sp.Rational) -> str:
    """Return a rational number in full: its decimal where that ends within 60 places, otherwise a fraction."""
    for places in range(_MAX_EXACT):
        scaled = abs(value) * sp.Integer(10) ** places
        if scaled.is_Integer:
            digits = str(scaled).rjust(places + 1, "0")
            point = "." + digits[len(digits) - places :] if places else ""
            return ("-" if value < 0 else "") + digits[: len(digits) - places] + point
    return rf"{value.p}/{value.q}"


def constant(rational: sp.Rational, root: sp.Rational, pi: int, divided: bool) -> tuple[list[str], list[str]]:
    """Return the factors of rational * sqrt(root) * pi^(pi/2) above and below the fraction line.

    There is one root, sqrt(2/pi) rather than sqrt(2)/sqrt(pi), below the line where that is simpler.

    Args:
        rational: positive.
        root: positive.
        pi: twice the exponent of pi.
        divided: whether something else stands below the line.
    """
    p, q, over, under = rational.p, rational.q, root.p, root.q
    if q % over == 0 and over > 1:
        q, under, over = q // over, under * over, 1
    whole, half = divmod(abs(pi), 2)
    above, below = [], []
    text = decimal(sp.Rational(p, q), divided=divided or pi < 0 or under > 1)
    if text is not None:
        above.append(text)
    else:
        above += [str(p)] if p > 1 else []
        below += [str(q)] if q > 1 else []
    if whole:
        (above if pi > 0 else below).append(r"\pi" if whole == 1 else rf"\pi^{script(str(whole))}")
    top, bottom = _radicand(over, bool(half) and pi > 0), _radicand(under, bool(half) and pi < 0)
    if top and bottom:
        above.append(rf"\sqrt{{{top}/({bottom})}}" if r"\pi" in bottom[1:] else rf"\sqrt{{{top}/{bottom}}}")
    elif top:
        above.append(rf"\sqrt{{{top}}}")
    elif bottom:
        below.append(rf"\sqrt{{{bottom}}}")
    return above, below


def _radicand(integer: int, has_pi: bool) -> str:
    """What stands under a root, or nothing."""
    return joined(str(integer) if integer > 1 else "", r"\pi" if has_pi else "")


def script(text: str) -> str:
    """Return what stands behind ^ or _: braces where it needs them, and no large parentheses."""
    text = _LARGE.sub("", text)
    return text if len(text) == 1 else f"{{{text}}}"
