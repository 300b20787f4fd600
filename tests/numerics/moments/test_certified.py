"""Certified moments against an independent quadrature, and the bounds that they rest on against samples."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import FrozenInstanceError

import flint
import mpmath
import numpy as np
import pytest
import sympy as sp
from flint import acb, arb

from numerics.arithmetic import ComplexBallArithmetic, compile_program, exact_bounds
from numerics.moments import (
    CertifiedMoments,
    Majorant,
    PieceBounds,
    UncertifiedError,
    gaussian_tail,
    half_strip_majorant,
)
from tests.oracles import expectation
from theory.activations import Activation, registered, registered_names
from theory.symbols import x

R = sp.Rational
DIGITS = 35

TEXTS = [
    "tanh",
    "swish",
    "gelu",
    "elu",
    "relu",
    "mish",
    "atan",
    "softplus",
    "gelu_tanh",
    "hard_swish",
    "softsign",
    "sin(x)*tanh(x)",
    "log(1 + x**2)",
    "sqrt(1 + x**2)",
    "Max(tanh(x), -1/2) + sin(x)/3",
    "Piecewise((tanh(x), x < 1), (2 - x, True))",
    "tanh(20*x)",
    "1/(1 + 100*(x - 1)**2)",
    "exp(x/3)*tanh(x)",
]


def activation(text: str) -> Activation:
    return (registered(text) if text in registered_names() else Activation.from_text(text)).with_parameters()


def test_a_scale_without_ends_is_not_enclosed() -> None:
    """As the square root of a ball that reaches below 0: the caller then looks at narrower ones."""
    with pytest.raises(UncertifiedError, match="no finite ends"):
        CertifiedMoments(activation("tanh")).tails(arb("nan"), 64)


def number(value: mpmath.mpf) -> arb:
    """A tiny ball round an oracle's value."""
    with mpmath.workdps(60):
        return arb(mpmath.nstr(value, 55))


@pytest.mark.parametrize("scale", [R(1, 10), R(1), R(5, 2)], ids=str)
@pytest.mark.parametrize("text", TEXTS)
def test_balls_contain_an_independent_quadrature(text: str, scale: sp.Expr) -> None:
    """Another rule (Gauss-Legendre panels, mpmath), another evaluator (lambdify): the balls hold its values."""
    phi = activation(text)
    moments = CertifiedMoments(phi)
    with flint.ctx.workprec(85):
        # Radii far above the oracle's error: here the ball's own bounds are put to the test.
        coarse = moments.enclose(arb(int(scale.p)) / int(scale.q))
    with flint.ctx.workprec(160):
        found = moments.enclose(arb(int(scale.p)) / int(scale.q))
        slopes = sp.Piecewise(*((piece.expr, x < piece.upper) for piece in phi.slope_pieces))
        for (power, order), ball in found.items():
            if (power, order) in {(2, 1), (1, 1)}:
                continue
            expr = phi.expr if order else slopes
            oracle = expectation(expr, scale, power, order or 2, phi.breakpoints, DIGITS)
            tolerance = number(oracle.error + oracle.magnitude * mpmath.mpf(10) ** -DIGITS).upper()
            assert ball.overlaps(arb(number(oracle.value).mid(), tolerance)), (power, order)
            assert coarse[power, order].overlaps(arb(number(oracle.value).mid(), tolerance)), (power, order)
            assert coarse[power, order].rad() <= (1 + abs(ball)) * arb(10) ** -18
            assert ball.rad() <= (1 + abs(ball)) * arb(10) ** -DIGITS


@pytest.mark.parametrize("text", ["tanh", "swish", "gelu", "softsign", "Max(tanh(x), -1/2) + sin(x)/3"])
def test_every_way_over_a_ball_of_scales_contains_the_thin_values(text: str) -> None:
    moments = CertifiedMoments(activation(text))
    with flint.ctx.workprec(150):
        centre = arb(9) / 8
        wide = arb(centre, arb(10) ** -12)
        expansion = moments.expand(centre, wide)
        over = [moments.enclose(wide), expansion.at(wide, moments.keys)]
        coarse = moments.enclose_by_mean_value(arb(centre, arb("0.05")))
        for point in (centre, wide.lower().mid(), wide.upper().mid(), centre + arb(3) * arb(10) ** -13):
            thin = moments.enclose(point)
            for key, ball in thin.items():
                assert all(found[key].overlaps(ball) for found in over), key
                assert key[1] == 0 or coarse[key].overlaps(ball), key
        for key, ball in over[1].items():
            assert ball.rad() < arb(10) ** -10
            assert abs(over[0][key] - ball).contains(0)


def test_outside_a_ball_of_scales_the_moments_are_others() -> None:
    """The Taylor form is not just wide: a scale beyond the ball has moments beyond its image."""
    moments = CertifiedMoments(activation("tanh"))
    with flint.ctx.workprec(150):
        ball = arb(arb(1), arb(10) ** -20)
        image = moments.expand(arb(1), ball).at(ball, [(0, 2)])[0, 2]
        beyond = moments.enclose(1 + 3 * arb(10) ** -20)[0, 2]
    assert not image.overlaps(beyond)


def test_vanishing_moments_are_exactly_zero() -> None:
    with flint.ctx.workprec(100):
        found = CertifiedMoments(activation("tanh(x) + atan(x)")).enclose(arb(1))
    assert found[0, 1].is_zero()
    assert found[2, 1].is_zero()
    assert not found[1, 1].contains(0)


#: The exponent tau^2 - 1 of its middle piece vanishes at tau = 1, where E[f] = 0/0 in closed form.
REMOVABLE = "Piecewise((0, x < 0), (exp(x**2/2), x < 1), (exp(1/2), True))"


def test_closed_forms_of_no_use_at_a_scale_are_left_out() -> None:
    moments = CertifiedMoments(activation(REMOVABLE))
    with flint.ctx.workprec(100):
        assert moments.closed_forms_at(arb(1)) == {(0, 2), (2, 2)}
        assert moments.closed_forms_at(arb(1) / 2) == set(moments.keys)
        assert not moments.enclose(arb(1))[0, 1].is_finite()
        found = moments.enclose(arb(1), closed=moments.closed_forms_at(arb(1)))
        # 1/sqrt(2 pi) from the middle piece, e^(1/2) P(xi > 1) from the last.
        exact = 1 / (2 * arb.pi()).sqrt() + (arb(1) / 2).exp() * (1 / arb(2).sqrt()).erfc() / 2
        assert found[0, 1].overlaps(exact)
        assert found[0, 1].rad() < 1e-25


def test_the_precision_is_an_argument_and_is_put_back() -> None:
    moments = CertifiedMoments(activation("tanh"))
    before = flint.ctx.prec
    found = {bits: moments.enclose(arb(1), [(0, 2)], precision=bits)[0, 2] for bits in (80, 300)}
    assert flint.ctx.prec == before
    assert found[300].rad() < arb(2) ** -280 < arb(2) ** -90 < found[80].rad() < arb(2) ** -70
    assert found[80].contains(found[300])


def test_threads_share_moments_and_not_their_choice_of_closed_forms() -> None:
    """Two threads take turns on one object: what one chooses is not what the other one gets."""
    shared = CertifiedMoments(activation(REMOVABLE))
    scales = {1: arb(1), 2: arb(1) / 2}
    with flint.ctx.workprec(100):
        alone = {
            number: moments.enclose(scale, closed=moments.closed_forms_at(scale))
            for number, scale in scales.items()
            for moments in [CertifiedMoments(activation(REMOVABLE))]
        }
        turns = threading.Barrier(2, timeout=60)

        def work(number: int) -> dict[tuple[int, int], arb]:
            # python-flint's precision is one for all threads, so that they do not compute at the same time.
            chosen = None
            found = {}
            for turn in range(4):
                turns.wait()
                if turn % 2 == number - 1:
                    if chosen is None:
                        chosen = shared.closed_forms_at(scales[number])
                    else:
                        found = shared.enclose(scales[number], closed=chosen)
                turns.wait()
            return found

        with ThreadPoolExecutor(2) as pool:
            together = dict(zip(scales, pool.map(work, scales), strict=True))
    for number, balls in alone.items():
        assert balls.keys() == together[number].keys()
        for key, ball in balls.items():
            # FLINT remembers pi and log 2 thread by thread, which moves the last bits of a radius.
            other = together[number][key]
            assert ball.overlaps(other), (number, key)
            assert 0 < other.rad() < ball.rad() * arb("1.001"), (number, key)
    with pytest.raises(FrozenInstanceError):
        shared.activation = activation("tanh")  # type: ignore[misc]


def test_jumps_have_no_slope_energy() -> None:
    moments = CertifiedMoments(activation("tanh(x) + sign(x)"))
    assert (0, 0) not in moments.keys
    with flint.ctx.workprec(100):
        assert set(moments.enclose(arb(1))) == set(moments.keys)


def test_moments_that_do_not_exist_are_refused() -> None:
    moments = CertifiedMoments(activation("exp(x**2/4)*tanh(x)"))
    with flint.ctx.workprec(80):
        assert moments.enclose(arb("0.7"))[0, 2].is_finite()
        with pytest.raises(UncertifiedError, match=r"exist only for tau < 1$"):
            moments.enclose(arb("1.1"), [(0, 2)])


@pytest.mark.parametrize(
    ("text", "pole"),
    [
        ("tanh", np.pi / 2),
        ("atan", 1.0),
        ("asinh(x)", 1.0),
        ("sigmoid", np.pi),
        ("1/(1 + 10000*x**2)", 0.01),
        ("sqrt(1/4 + x**2)", 0.5),
    ],
)
def test_strips_end_before_the_singularity(text: str, pole: float) -> None:
    phi = activation(text)
    with flint.ctx.workprec(64):
        tables = PieceBounds(phi.pieces[0].expr, phi.slope_pieces[0].expr).strips()
        assert tables
        assert all(table.half_width < arb(pole) for table in tables)
        assert tables[0].half_width > arb(pole) * arb("0.8")
        assert PieceBounds(phi.pieces[0].expr, phi.slope_pieces[0].expr).table(arb(pole * 1.0001)) is None


def bound_at(majorant: Majorant, distance: arb) -> arb:
    poly = sum((c * distance**n for n, c in enumerate(majorant.poly[1:], start=1)), majorant.poly[0])
    return poly * (majorant.linear * distance + majorant.quadratic * distance * distance).exp()


@pytest.mark.parametrize(
    "text",
    [
        *("tanh", "swish", "gelu", "erf", "softplus", "mish", "atan", "gelu_tanh", "sin", "exp_bump", "cubic"),
        *("log(1 + x**2)", "sqrt(1 + x**2)", "1/(1 + exp(-x))", "exp(tanh(x))", "sech(x)*x**3", "erfc(x)*exp(x)"),
        *(
            "x/(1 + x**2)",
            "sinh(x/3)",
            "sin(x**2)",
            "(1 + x**2)**(1/3)",
            "atan(x**2 + x)",
            "asinh(2*x - 1)",
            "exp(-x**2/3 + x)",
        ),
    ],
)
def test_majorants_hold_at_random_points(text: str) -> None:
    rng = np.random.default_rng(20)
    phi = activation(text)
    checked = 0
    with flint.ctx.workprec(64):
        for expr in (phi.pieces[0].expr, phi.slope_pieces[0].expr):
            program = compile_program([expr], [x], ComplexBallArithmetic(analytic=True))
            for side in (-1, 1):
                for start, width in ((arb(2), arb("0.25")), (arb(9), arb("0.75")), (arb(5), arb(0))):
                    majorant = half_strip_majorant(expr, side, start, width)
                    if majorant is None:
                        continue
                    for _ in range(25):
                        distance = arb(float(rng.exponential(3.0)))
                        point = acb(side * (start + distance), width * float(rng.uniform(-1, 1)))
                        (value,) = program(point)
                        assert value.is_finite()
                        assert not abs(value) > bound_at(majorant, distance)
                        checked += 1
    assert checked >= 100


@pytest.mark.parametrize("start", [0.0, 0.5, 3.0, 12.0])
@pytest.mark.parametrize("order", [1, 2])
def test_tails_bound_the_integral_they_are_for(start: float, order: int) -> None:
    with flint.ctx.workprec(64):
        majorant = Majorant(arb(start) * 2, (arb(1), arb(3)), arb("0.5"), arb("0.02"))
        bound = gaussian_tail(majorant, order, arb(2), arb(start), 4, arb("0.5"))
        stepped = gaussian_tail(majorant, order, arb(2), arb(start), 4, arb("0.5"), arb("0.3"))

    def integrand(xi: mpmath.mpf) -> mpmath.mpf:
        t = 2 * (xi - start)
        value = (1 + 3 * t) * mpmath.exp(t / 2 + t * t / 50)
        return (1.5 + xi) ** 4 * value**order * mpmath.exp(-(xi**2) / 2) / mpmath.sqrt(2 * mpmath.pi)

    exact = mpmath.quad(integrand, [start, start + 1, start + 5, start + 10, start + 30])
    total = 0.3 * sum(integrand(start + 0.3 * k) for k in range(300))
    low, high = (mpmath.mpf(end.numerator) / end.denominator for end in exact_bounds(bound))
    assert exact <= high
    assert high <= 1e6 * exact
    assert total <= mpmath.mpf(float(stepped.upper())) * (1 + mpmath.mpf(10) ** -9) or float(stepped.upper()) == 0
    assert low > 0
