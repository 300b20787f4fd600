"""Entries of pairs of nearly parallel samples in 30 digits, for ``near_ends.json``, which the tests read.

The reference knows nothing of the float64 path: variances and entries are solved in 40 digits for the Gram matrix as it
is given, the inner integral over pieces of polynomials by incomplete moments of the normal law.  It takes minutes:
``python -m tests.numerics.kernels.near_ends`` writes the file anew.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import mpmath as mp
import numpy as np

__all__ = ["BIAS", "CASES", "FILE", "SETTINGS", "SIGMA_A2", "SIGMA_B2", "Pieces", "pair", "reference"]

FILE = Path(__file__).with_name("near_ends.json")
SIGMA_A2, SIGMA_B2, BIAS = 0.4, 0.6, 0.1


@dataclass(frozen=True)
class Pieces:
    """Polynomials between breakpoints, coefficients from the lowest power upwards."""

    text: str
    breaks: tuple[str, ...]
    polynomials: tuple[tuple[str, ...], ...]

    def each(self) -> list[tuple[mp.mpf, mp.mpf, list[mp.mpf]]]:
        ends = [-mp.inf, *(fraction(point) for point in self.breaks), mp.inf]
        values = [[fraction(number) for number in polynomial] for polynomial in self.polynomials]
        return list(zip(ends, ends[1:], values, strict=False))


def fraction(text: str) -> mp.mpf:
    """A fraction such as -1/3 in the precision that is set."""
    top, _, bottom = text.partition("/")
    return mp.mpf(top) / mp.mpf(bottom or 1)


CASES = (
    Pieces("clip(x,-1/3,2)+x/5", ("-1/3", "2"), (("-1/3", "1/5"), ("0", "6/5"), ("2", "1/5"))),
    Pieces("Max(x, 0)", ("0",), (("0",), ("0", "1"))),
    Pieces("Max(x - 1/2, 0) - Min(x + 1, 0)/3", ("-1", "1/2"), (("-1/3", "-1/3"), ("0",), ("-1/2", "1"))),
    Pieces("Abs(x - 1/4) + Max(x, 0)**2/4", ("0", "1/4"), (("1/4", "-1"), ("1/4", "-1", "1/4"), ("-1/4", "1", "1/4"))),
    Pieces("clip(x, -1, 1)", ("-1", "1"), (("-1",), ("0", "1"), ("1",))),
)


def mean(pieces: list[tuple[mp.mpf, mp.mpf, list[mp.mpf]]], centre: mp.mpf, spread: mp.mpf) -> mp.mpf:
    """E[f(centre + spread w)], w normal, by incomplete moments."""
    total = mp.mpf(0)
    for low, high, polynomial in pieces:
        below, above = (low - centre) / spread, (high - centre) / spread
        moments = [mp.ncdf(above) - mp.ncdf(below), mp.npdf(below) - mp.npdf(above)]
        for power in range(2, len(polynomial)):
            ends = [end ** (power - 1) * mp.npdf(end) if mp.isfinite(end) else mp.mpf(0) for end in (below, above)]
            moments.append((power - 1) * moments[power - 2] + ends[0] - ends[1])
        for power, number in enumerate(polynomial):
            total += number * sum(
                mp.binomial(power, k) * centre ** (power - k) * spread**k * moments[k] for k in range(power + 1)
            )
    return total


def products(left: list[mp.mpf], right: list[mp.mpf]) -> list[mp.mpf]:
    found = [mp.mpf(0)] * (len(left) + len(right) - 1)
    for i, x in enumerate(left):
        for j, y in enumerate(right):
            found[i + j] += x * y
    return found


def slope(polynomial: list[mp.mpf]) -> list[mp.mpf]:
    return [k * number for k, number in enumerate(polynomial)][1:] or [mp.mpf(0)]


def value_at(pieces: list[tuple[mp.mpf, mp.mpf, list[mp.mpf]]], point: mp.mpf) -> mp.mpf:
    polynomial = next(coefficients for low, high, coefficients in pieces if low <= point < high)
    return mp.polyval(polynomial[::-1], point)


def bivariate(
    pieces: list[tuple[mp.mpf, mp.mpf, list[mp.mpf]]], a: mp.mpf, b: mp.mpf, rho: mp.mpf, spread: mp.mpf
) -> mp.mpf:
    """E[f(u) f(v)], u = a x and v = b (rho x + spread w)."""
    kinks = [low for low, _, _ in pieces[1:]]
    cuts = {mp.mpf(k) for k in range(-10, 11)} | {kink / a for kink in kinks}
    if spread < mp.mpf("0.1"):
        # Round a kink of v the inner integral changes on the scale of the spread.
        cuts |= {kink / (b * rho) + k * spread for kink in kinks for k in (-12, -6, -3, 0, 3, 6, 12)}
    ends = sorted(cut for cut in cuts if abs(cut) <= 10)

    def integrand(x: mp.mpf) -> mp.mpf:
        return value_at(pieces, a * x) * mean(pieces, b * rho * x, b * spread) * mp.npdf(x)

    return mp.quad(integrand, ends, method="gauss-legendre", maxdegree=4)


def root(function: Callable[[mp.mpf], mp.mpf], start: mp.mpf, step: mp.mpf) -> mp.mpf:
    """The root of a nearly linear function, by the secant method."""
    x, y = start, start + step
    fx, fy = function(x), function(y)
    for _ in range(30):
        if fy == fx or abs(y - x) < mp.mpf(10) ** -28 * abs(y):
            return y
        x, y = y, y - fy * (y - x) / (fy - fx)
        fx, fy = fy, function(y)
    raise ArithmeticError("the secant method did not converge")


def reference(case: Pieces, gram: np.ndarray, sa: float, sb: float, bias: float) -> tuple[mp.mpf, mp.mpf]:
    """G_12 and Gdot_12 in 30 digits and more."""
    a2, b2 = mp.mpf(sa), mp.mpf(sb)
    s11, s12, s22 = (mp.mpf(float(gram[k])) for k in ((0, 0), (0, 1), (1, 1)))
    centred = [(low, high, [c[0] - mp.mpf(bias), *c[1:]]) for low, high, c in case.each()]
    squares = [(low, high, products(c, c)) for low, high, c in centred]
    slopes = [(low, high, slope(c)) for low, high, c in centred]
    variances = [
        root(lambda v, s=s: a2 * mean(squares, mp.mpf(0), mp.sqrt(v)) + b2 * s - v, s, s / 7) for s in (s11, s22)
    ]
    a, b = (mp.sqrt(v) for v in variances)

    def at(g: mp.mpf) -> tuple[mp.mpf, mp.mpf]:
        rho = (a2 * g + b2 * s12) / (a * b)
        return rho, mp.sqrt((1 - rho) * (1 + rho))

    end = (variances[0] - b2 * s11) / a2
    start = mp.sign(s12) * end * (1 - mp.mpf("1e-6"))
    g = root(lambda g: bivariate(centred, a, b, *at(g)) - g, start * (1 - mp.mpf("1e-7")), start * mp.mpf("1e-8"))
    return g, bivariate(slopes, a, b, *at(g))


#: 1 - |rho|, the sign of rho, and the second sample's norm.
SETTINGS = (
    *((gap, 1, 1.0) for gap in (1e-6, 1e-9, 1e-12, 1e-15)),
    (1e-7, 1, 1.0003),
    (1e-12, 1, 1 + 1e-7),
    (1e-12, -1, 1.0),
)


def pair(gap: float, sign: int = 1, size: float = 1.0) -> np.ndarray:
    return np.array([[1.0, sign * size * (1 - gap)], [sign * size * (1 - gap), size * size]])


def main() -> None:
    """Write the file."""
    entries = []
    with mp.workdps(30):
        for case in CASES:
            for gap, sign, size in SETTINGS:
                value, slopes = reference(case, pair(gap, sign, size), SIGMA_A2, SIGMA_B2, BIAS)
                entries.append(
                    {
                        "activation": case.text, "gap": gap, "sign": sign, "size": size,
                        "entry": mp.nstr(value, 28), "slope": mp.nstr(slopes, 28),
                    }
                )  # fmt: skip
    header = {"made by": "tests/numerics/kernels/near_ends.py", "digits": 30, "mpmath": mp.__version__}
    FILE.write_text(json.dumps({"header": header, "entries": entries}, indent=1) + "\n")


if __name__ == "__main__":
    main()
