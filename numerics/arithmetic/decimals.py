"""Decimal digits of Arb balls: what is proved, what is rounded, and texts that hold a ball exactly."""

from __future__ import annotations

from fractions import Fraction

from flint import arb, ctx, fmpz

__all__ = [
    "BITS_PER_DIGIT",
    "ball_from_text",
    "ball_to_text",
    "contains_decimal",
    "exact_bounds",
    "percent",
    "proved_decimal",
    "radius_text",
    "rounded_decimal",
]

#: Bits in a decimal digit: log2(10), rounded up.
BITS_PER_DIGIT = 3.3219281
#: Exponents in bits beyond which numbers are not written out as exact fractions.
_MOST_BITS = 100_000


def exact_bounds(ball: arb) -> tuple[Fraction, Fraction]:
    """Return both ends of a finite ball as exact fractions."""
    middle, radius = _dyadic(ball.mid()), _dyadic(_coarse_radius(ball))
    return middle - radius, middle + radius


def _coarse_radius(ball: arb) -> arb:
    """The radius, or a larger one where its fraction would be too long: a neighbour far below the ball's digits."""
    radius = ball.rad()
    least = arb((1, -4 * _MOST_BITS))
    return least if not radius.is_zero() and radius < least else radius


def _dyadic(value: arb) -> Fraction:
    mantissa, exponent = (int(part) for part in value.man_exp())
    return Fraction(mantissa * 2**exponent) if exponent >= 0 else Fraction(mantissa, 2**-exponent)


def ball_to_text(ball: arb) -> str:
    """Return a finite ball exactly as text (balls do not pickle): mantissa and exponent of midpoint and radius."""
    parts = (*ball.mid().man_exp(), *ball.rad().man_exp())
    return " ".join(format(int(part), "x") for part in parts)


def ball_from_text(text: str) -> arb:
    """Return the ball that ``ball_to_text`` wrote: its midpoint, and its radius or one up to 2^-28 of it larger."""
    middle, shift, radius, spread = (int(part, 16) for part in text.split())
    return arb((middle, shift), (radius, spread))


def _extreme(ball: arb) -> bool:
    """Whether a ball's exponents are too far from 0 for exact fractions."""
    if ball.mid().is_zero():
        return False
    mantissa, exponent = ball.mid().man_exp()
    return abs(int(exponent)) > _MOST_BITS + int(mantissa).bit_length()


def _decimal_exponent(value: Fraction) -> int:
    """floor(log10 |value|) of a non-zero fraction."""
    bits = value.numerator.bit_length() - value.denominator.bit_length()
    exponent = bits * 30103 // 100000 - 2
    while abs(value) >= Fraction(10) ** (exponent + 1):
        exponent += 1
    return exponent


def _rounded(value: Fraction, digits: int) -> tuple[int, int]:
    """(m, e) with m of ``digits`` digits and m 10^e the number rounded to nearest, ties to even."""
    if value == 0:
        return 0, 0
    exponent = _decimal_exponent(value) - digits + 1
    mantissa = round(value / Fraction(10) ** exponent)
    if abs(mantissa) == 10**digits:
        mantissa, exponent = mantissa // 10, exponent + 1
    return mantissa, exponent


def rounded_decimal(ball: arb, digits: int) -> tuple[str, bool]:
    """Return a decimal of ``digits`` significant digits, and whether it is proved to be the correctly rounded value.

    Where it is not proved, both ends of the ball round to different decimals; then the midpoint's is given.
    """
    if _extreme(ball):
        return ball.mid().str(digits, radius=False), not ball.contains(0) and ball.rel_accuracy_bits() > 4 * digits
    low, high = exact_bounds(ball)
    first, second = _rounded(low, digits), _rounded(high, digits)
    return _written(*_rounded((low + high) / 2, digits), digits), first == second


def proved_decimal(ball: arb, digits: int) -> str:
    """Return the longest correctly rounded decimal of at most ``digits`` significant digits that a ball proves.

    A ball that is exactly 0 gives "0"; one that merely contains 0 gives the zeros that its radius proves: 0.000 says
    that the number is below half a unit of its last digit.

    Raises:
        ValueError: not one digit is proved.
    """
    if ball.is_zero():
        return "0"
    if ball.contains(0):
        for places in range(digits - 1, 0, -1):
            if abs(ball) < arb(10) ** -places / 2:
                return "0." + "0" * places
        raise ValueError(f"not one digit of {ball} is proved")
    for kept in range(digits, 0, -1):
        text, proved = rounded_decimal(ball, kept)
        if proved:
            return text
    raise ValueError(f"not one digit of {ball} is proved")


def radius_text(ball: arb) -> str:
    """Return the radius rounded up to two digits, such as ``3.1e-57`` (a float would underflow)."""
    if _extreme(ball.rad()):
        return str((ball.rad() * arb("1.06")).str(2, radius=False))
    radius = _dyadic(ball.rad())
    if radius == 0:
        return "0"
    exponent = _decimal_exponent(radius) - 1
    scaled = radius / Fraction(10) ** exponent
    mantissa = -(-scaled.numerator // scaled.denominator)
    if mantissa == 100:
        mantissa, exponent = 10, exponent + 1
    return f"{mantissa // 10}.{mantissa % 10}e{exponent + 1:+d}"


def _written(mantissa: int, exponent: int, digits: int) -> str:
    if mantissa == 0:
        return "0." + "0" * (digits - 1) if digits > 1 else "0"
    sign, body = "-" if mantissa < 0 else "", str(fmpz(abs(mantissa)))  # Python's own stops at 4300 digits
    leading = exponent + digits - 1
    if -20 < leading < 0:
        return f"{sign}0.{'0' * (-leading - 1)}{body}"
    if 0 <= leading < digits:
        whole, rest = body[: leading + 1], body[leading + 1 :]
        return f"{sign}{whole}.{rest}" if rest else sign + whole
    rest = f".{body[1:]}" if digits > 1 else ""
    return f"{sign}{body[0]}{rest}e{leading:+d}"


def contains_decimal(ball: arb, text: str) -> bool:
    """Return whether a decimal text can be the number in the ball rounded to the digits of the text.

    True when the ball meets the numbers that lie within half a unit of the text's last digit.  A text that is off by
    one unit is refused, as soon as the ball's radius is far below a unit (and the number is not itself half way).
    """
    if _extreme(ball):
        return _contains_extreme(ball, text)
    mantissa, _, tail = text.lower().partition("e")
    places = len(mantissa.partition(".")[2])
    unit = Fraction(10) ** (int(tail or 0) - places)
    value = int(fmpz(mantissa.replace(".", ""))) * unit
    low, high = exact_bounds(ball)
    if value == 0:
        return low <= 0 <= high
    return low <= value + unit / 2 and value - unit / 2 <= high


def _contains_extreme(ball: arb, text: str) -> bool:
    """Compare as ``contains_decimal`` does, in balls: for numbers whose exponents have many digits themselves."""
    mantissa, _, tail = text.lower().partition("e")
    with ctx.workprec(4 * len(text) + 256):
        value = arb(text)
        half_unit = arb(10) ** (int(tail or 0) - len(mantissa.partition(".")[2])) / 2
        return ball.overlaps(arb(value.mid(), (value.rad() + half_unit).upper()))


def percent(share: float) -> str:
    """Return a share as a percentage of two digits, or a whole number of per cent from 100 on.

    Args:
        share: finite, at least 0.

    Example:
        >>> percent(0.0852), percent(0.999), percent(1.5)
        ('8.5 %', '100 %', '150 %')
    """
    return f"{100 * share:.2g} %" if share < 0.995 else f"{100 * share:.0f} %"
