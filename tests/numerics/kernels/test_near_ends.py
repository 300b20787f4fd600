"""Pairs of nearly parallel samples, and samples of any size: entries against mpmath, and the bounds that they report.

The reference knows nothing of the float64 path: variances and entries are solved in 40 digits for the Gram matrix as it
is given, the inner integral over pieces of polynomials by incomplete moments of the normal law.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import mpmath as mp
import numpy as np
import pytest

from numerics.arithmetic import pointwise
from numerics.equilibrium import solve_float
from numerics.kernels import implicit_ck, implicit_kernels, with_dual
from theory.activations import registry


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


def pair(gap: float, sign: int = 1, size: float = 1.0) -> np.ndarray:
    return np.array([[1.0, sign * size * (1 - gap)], [sign * size * (1 - gap), size * size]])


@pytest.mark.parametrize(
    ("case", "gap", "sign", "size"),
    [
        (CASES[0], 1e-12, 1, 1.0),
        (CASES[1], 1e-15, 1, 1.0),
        *(
            pytest.param(case, gap, sign, size, marks=pytest.mark.slow)
            for case in CASES
            for gap, sign, size in (
                (1e-6, 1, 1.0),
                (1e-9, 1, 1.0),
                (1e-7, 1, 1.0003),
                (1e-12, 1, 1 + 1e-7),
                (1e-12, -1, 1.0),
                (1e-15, 1, 1.0),
            )
        ),
    ],
    ids=lambda value: value.text if isinstance(value, Pieces) else f"{value:.8g}",
)
def test_nearly_parallel_pairs_are_within_their_bounds(case: Pieces, gap: float, sign: int, size: float) -> None:
    gram, sa, sb, bias = pair(gap, sign, size), 0.4, 0.6, 0.1
    found = implicit_kernels(gram, with_dual(registry.resolve(case.text).with_parameters()), sa, sb, bias)
    assert found.ck is not None
    assert found.recurrent is not None
    with mp.workdps(30):
        value, turn = reference(case, gram, sa, sb, bias)
        ntk = value / (1 - sa * turn)
    # One rounding of the result itself is not in the bounds.
    assert abs(found.ck[0, 1] - value) <= found.truncation_bound + 2e-16
    allowed = (found.truncation_bound + abs(ntk) * found.slope_bound) / (1 - sa * turn)
    assert abs(found.recurrent[0, 1] - ntk) <= allowed + 4e-16
    # And they say something.
    assert found.truncation_bound < 1e-12
    assert found.slope_bound < 2e-13 / np.sqrt(gap) + 1e-15 if gap > 1e-14 else found.slope_bound < 1e-6


def test_the_entry_that_was_wrong_in_the_ninth_digit() -> None:
    """clip(x, -1/3, 2) + x/5 at its own equilibrium; the right value is from the two-dimensional quadrature."""
    phi = pointwise(registry.resolve(CASES[0].text).with_parameters())
    bias = solve_float(phi, 0.4, 0.6, 1.0)["bias"]
    found = implicit_kernels(pair(1e-12), phi, 0.4, 0.6, bias)
    assert found.recurrent is not None
    error = abs(found.recurrent[0, 1] - 1.02832720602)
    assert error < 1e-10
    assert error < found.slope_bound * 2


def sine_pair(first: float, second: float, inner: float, sa: float, sb: float, bias: float) -> list[mp.mpf]:
    """G_11, G_12 and G_22 for sin - bias: E[sin u sin v] = exp(-(a + b)/2) sinh(c) for variances a, b, covariance c."""
    a2, b2, shift = mp.mpf(sa), mp.mpf(sb), mp.mpf(bias)

    def energy(v: mp.mpf) -> mp.mpf:
        return (1 - mp.exp(-2 * v)) / 2 + shift**2

    def settled(step: Callable[[mp.mpf], mp.mpf]) -> mp.mpf:
        value = mp.mpf(0)
        for _ in range(3000):
            value = step(value)
        return value

    variances = [settled(lambda v, s=s: a2 * energy(v) + b2 * mp.mpf(s)) for s in (first, second)]
    damping = mp.exp(-sum(variances) / 2)
    cross = settled(lambda g: damping * mp.sinh(a2 * g + b2 * mp.mpf(inner)) + shift**2)
    return [energy(variances[0]), cross, energy(variances[1])]


@pytest.mark.parametrize("bias", [0.0, 1e-18, 1e-12, 0.1])
@pytest.mark.parametrize("norm", [0.0, 1e-40, 1e-30, 1e-12])
def test_samples_of_norm_zero_and_nearly(norm: float, bias: float) -> None:
    """Whatever the bias is, every entry is right relative to sqrt(G_ii G_jj)."""
    inner = 0.5 * np.sqrt(norm)
    gram = np.array([[1.0, 0.0, inner], [0.0, 0.0, 0.0], [inner, 0.0, norm]])
    phi = pointwise(registry.registered("sin").with_parameters())
    found = implicit_ck(gram, phi, 0.9, 0.8, bias).kernel
    with mp.workdps(60):
        for i, j in ((0, 1), (0, 2), (1, 2)):
            exact = sine_pair(gram[i, i], gram[j, j], gram[i, j], 0.9, 0.8, bias)
            # The fixed points of slope 0.9 magnify rounding tenfold.
            sizes = (exact[0], mp.sqrt(exact[0] * exact[2]), exact[2])
            for value, right, size in zip((found[i, i], found[i, j], found[j, j]), exact, sizes, strict=True):
                assert abs(value - right) <= 2e-11 * size


def scaled(gram: np.ndarray, factors: list[float]) -> np.ndarray:
    """S of samples multiplied by factors, where that may underflow."""
    with np.errstate(all="ignore"):
        return np.asarray(gram * np.array(factors)[:, None] * np.array(factors))


@pytest.mark.parametrize("name", ["relu", "leaky_relu"])
@pytest.mark.parametrize("size", [1e-150, 1e-100, 1e-8, 1e30, 1e140])
def test_homogeneous_kernels_of_samples_of_any_size(name: str, size: float) -> None:
    """K(c x, y) = c K(x, y), and the caller's error settings change nothing."""
    gram = np.array([[1.0, 0.3, 0.2, 0.1], [0.3, 0.5, 0.5, 0.4], [0.2, 0.5, 1.0, 0.999], [0.1, 0.4, 0.999, 4.0]])
    phi = pointwise(registry.registered(name).with_parameters())
    plain = implicit_kernels(gram, phi, 0.4, 0.6, 0.0)
    factors = [1.0, 1.0, size, size]
    with np.errstate(all="raise"):
        found = implicit_kernels(scaled(gram, factors), phi, 0.4, 0.6, 0.0)
    for kernel in ("ck", "recurrent", "preactivation", "all"):
        with np.errstate(under="ignore"):
            expected = scaled(getattr(plain, kernel), factors)
        np.testing.assert_allclose(getattr(found, kernel), expected, rtol=1e-13, atol=0)


@pytest.mark.parametrize("size", [1e-160, 1e-200, 1e-320])
@pytest.mark.parametrize("name", ["relu", "tanh", "hard_tanh", "elu"])
def test_samples_whose_norm_underflows_leave_the_others_alone(name: str, size: float) -> None:
    """Their squared norm has few digits or none left; no entry is further off than sqrt(G_ii G_jj)."""
    gram = np.array([[1.0, 0.3, 0.2], [0.3, 0.5, 0.5], [0.2, 0.5, 1.0]])
    phi = pointwise(registry.registered(name).with_parameters())
    with np.errstate(all="raise"):
        found = implicit_kernels(scaled(gram, [1.0, 1.0, size]), phi, 0.4, 0.6, 0.0).recurrent
    two = implicit_kernels(gram[:2, :2], phi, 0.4, 0.6, 0.0).recurrent
    assert found is not None
    assert two is not None
    np.testing.assert_allclose(found[:2, :2], two, rtol=1e-13)
    assert np.all(np.abs(found[2]) <= 10 * size)


def test_many_steep_nearly_parallel_pairs_agree_with_the_series() -> None:
    """tanh(100 (x - 0.3)) of pairs on both sides of where the long series gives up: G is smooth in rho there."""
    phi = pointwise(registry.resolve("tanh(100*(x - 3/10))").with_parameters())
    rho = 1 - 0.02 * np.arange(1, 6) ** 2 / 25
    found = []
    for r in rho:
        report = implicit_ck(np.array([[1.0, r], [r, 1.0]]), phi, 0.0, 1.0, 0.0)
        assert report.truncation_bound < 1e-11
        found.append(report.kernel[0, 1])
    # sign(x - 0.3) up to the width of the step: P(one is above and the other below 0.3), by the angle's integral.
    for r, value in zip(rho, found, strict=True):
        nodes, weights = np.polynomial.legendre.leggauss(60)
        angles = np.arccos(r) * (nodes + 1) / 2
        apart = np.sum(weights * np.exp(-(0.09) / (1 + np.cos(angles)))) * np.arccos(r) / 4 / np.pi
        assert value == pytest.approx(1 - 4 * apart, abs=0.04)
