"""Random activations: a closed form, if given, is right; identities hold; nothing hangs; errors are clear.

Most examples cost a quadrature: `make soak` draws more of them.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

import pytest
import sympy as sp
from hypothesis import HealthCheck, assume, given, reject
from hypothesis import strategies as st
from mpmath import mp

from tests.oracles import OracleError, evaluate, expectation
from tests.strategies import PARAMETERS, activation_texts, family_texts, parametric_texts
from tests.tiers import examples
from theory.activations import Activation
from theory.analysis import DomainError, GrowthError
from theory.grammar import ActivationSyntaxError, parse_activation, parse_number
from theory.moments import DivergentMomentError, GaussianMoments
from theory.symbols import tau, x

#: The only ways in which a text may fail.
CLEAR_ERRORS = (ActivationSyntaxError, DomainError, GrowthError, DivergentMomentError)
#: Seconds of one derivation.
LIMIT = 60
DIGITS = 30
OPEN_DIGITS = 12

_scales = st.sampled_from([sp.Rational(1, 3), sp.S.One, sp.Rational(9, 5)])
_moments = st.sampled_from([(0, 1), (1, 1), (2, 1), (3, 1), (0, 2), (1, 2), (2, 2), (1, 3)])
_bounded = examples(
    12,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)
_a = sp.Symbol("a", real=True)
_b = sp.Symbol("b", positive=True)


class HangError(AssertionError):
    """A derivation that took longer than the limit."""


@contextmanager
def time_limit() -> Iterator[None]:
    """Fail instead of hanging."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise HangError(f"not done in {LIMIT} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(LIMIT)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def _discard(complaint: str) -> NoReturn:
    """Accept a refusal that says something, and draw another example."""
    assert len(complaint.split()) >= 4
    reject()


def _activation(text: str) -> Activation:
    """The activation of a text; a text that is refused clearly is discarded."""
    with time_limit():
        try:
            return Activation.from_text(text)
        except CLEAR_ERRORS as error:
            _discard(str(error))


def _moment(activation: Activation, power: int, order: int, scale: sp.Expr = tau) -> sp.Expr:
    with time_limit():
        return GaussianMoments(activation, scale).moment(power, order)


def _exists(activation: Activation, order: int, scale: sp.Expr) -> bool:
    """Whether the moment exists at a scale, with some room so that quadrature can see the decay."""
    threshold = activation.threshold(order)
    return threshold is sp.oo or bool(scale < threshold * sp.Rational(9, 10))


def _agree(left: mp.mpc, right: mp.mpc, scale: mp.mpf, digits: int) -> bool:
    with mp.workdps(digits + 20):
        return bool(abs(left - right) <= mp.mpf(10) ** -digits * (scale or 1))


def _check_moment(
    symbolic: Activation, numeric: Activation, values: dict[sp.Symbol, sp.Expr], scale: sp.Expr, key: tuple[int, int]
) -> None:
    power, order = key
    assume(_exists(numeric, order, scale))
    found = _moment(symbolic, power, order)
    digits = DIGITS if GaussianMoments.is_closed(found) else OPEN_DIGITS
    kinks = numeric.breakpoints
    try:
        reference = expectation(numeric.expr, scale, power, order, kinks, digits)
        value = evaluate(found, {**values, tau: scale}, [kink / scale for kink in kinks], digits)
    except OracleError:
        reject()
    assert _agree(value, reference.value, reference.magnitude, digits), (found, value, reference)


@_bounded
@given(family_texts, _scales, _moments)
def test_family_moments_equal_quadrature(text: str, scale: sp.Expr, key: tuple[int, int]) -> None:
    activation = _activation(text)
    _check_moment(activation, activation, {}, scale, key)


@_bounded
@given(activation_texts, _scales, _moments)
def test_moments_of_anything_equal_quadrature(text: str, scale: sp.Expr, key: tuple[int, int]) -> None:
    activation = _activation(text)
    _check_moment(activation, activation, {}, scale, key)


@_bounded
@given(parametric_texts, st.sampled_from(PARAMETERS["a"]), st.sampled_from(PARAMETERS["b"]), _scales, _moments)
def test_symbolic_parameters_may_be_substituted_afterwards(
    text: str, a: str, b: str, scale: sp.Expr, key: tuple[int, int]
) -> None:
    symbolic = Activation(text, parse_activation(text, {"a": _a, "b": _b}))
    values = {_a: parse_number(a), _b: parse_number(b)}
    numeric = Activation(text, symbolic.expr.subs(values))
    try:
        with time_limit():
            symbolic.check()
    except CLEAR_ERRORS as error:
        _discard(str(error))
    _check_moment(symbolic, numeric, values, scale, key)


@_bounded
@given(activation_texts)
def test_claimed_parity_is_true(text: str) -> None:
    activation = _activation(text)
    assume(activation.parity != 0)
    for point in (sp.Rational(83, 71), sp.Rational(19, 97), sp.Rational(7, 2)):
        here, there = (evaluate(activation.expr, {x: sign * point}, (), 30) for sign in (1, -1))
        with mp.workdps(60):
            assert _agree(here, activation.parity * there, abs(here), 25)


@_bounded
@given(family_texts, family_texts, _scales, st.sampled_from([(0, 1), (1, 1), (2, 1)]))
def test_linearity(left: str, right: str, scale: sp.Expr, key: tuple[int, int]) -> None:
    f, g = _activation(left), _activation(right)
    combined = _activation(f"3/2*({left}) - 2*({right})")
    assume(_exists(f, 1, scale) and _exists(g, 1, scale) and _exists(combined, 1, scale))
    values = [_moment(activation, *key, scale) for activation in (f, g, combined)]
    assume(all(GaussianMoments.is_closed(value) for value in values))
    first, second, both = (evaluate(value, {}, (), DIGITS) for value in values)
    with mp.workdps(60):
        assert _agree(both, 3 * first / 2 - 2 * second, abs(first) + abs(second) + 1, DIGITS)


@_bounded
@given(family_texts, st.sampled_from(["1/2", "2", "5/3"]), _moments)
def test_scaling_the_argument_scales_tau(text: str, factor: str, key: tuple[int, int]) -> None:
    activation = _activation(text)
    number = parse_number(factor)
    scaled = Activation(text, activation.expr.subs(x, number * x))
    scale = sp.Rational(3, 7)
    assume(_exists(activation, key[1], scale * number))
    left, right = _moment(scaled, *key, scale), _moment(activation, *key, scale * number)
    assert GaussianMoments.is_closed(left) is GaussianMoments.is_closed(right)
    assume(GaussianMoments.is_closed(left))
    values = [evaluate(value, {}, (), DIGITS) for value in (left, right)]
    with mp.workdps(60):
        assert _agree(values[0], values[1], abs(values[0]) + 1, DIGITS)


@_bounded
@given(family_texts, _scales, st.sampled_from([1, 2]))
def test_steins_identity(text: str, scale: sp.Expr, order: int) -> None:
    """E[xi f(tau xi)^j] = tau E[(f^j)'(tau xi)], the slope taken piece by piece and the jumps added."""
    activation = _activation(text)
    assume(not activation.jumps and _exists(activation, order, scale))
    slope = sp.Piecewise(
        *((sp.diff(piece.expr**order, x), x < piece.upper) for piece in activation.pieces[:-1]),
        (sp.diff(activation.pieces[-1].expr ** order, x), True),
    )
    found = _moment(activation, 1, order)
    assume(GaussianMoments.is_closed(found))
    try:
        reference = expectation(slope, scale, 0, 1, activation.breakpoints, DIGITS)
        value = evaluate(found, {tau: scale}, (), DIGITS)
    except OracleError:
        reject()
    with mp.workdps(60):
        width = mp.mpf(scale.p) / scale.q
        assert _agree(value, width * reference.value, width * reference.magnitude, DIGITS)


@_bounded
@given(activation_texts)
def test_finite_slope_energy_is_positive_and_bounded_by_the_lipschitz_constant(text: str) -> None:
    activation = _activation(text)
    assume(_exists(activation, 2, sp.S.One))
    moments = GaussianMoments(activation, sp.S.One)
    try:
        with time_limit():
            energy = moments.slope_energy
    except DivergentMomentError:
        assert activation.jumps or not activation.has_finite_slope_energy
        return
    with time_limit():
        bound = activation.lipschitz
    try:
        value = evaluate(energy, {}, activation.breakpoints, OPEN_DIGITS).real
    except OracleError:
        reject()
    with mp.workdps(20):
        assert value >= -(mp.mpf(10) ** -10)
        if bound is not None and bound is not sp.oo:
            assert value <= mp.mpf(str(bound.evalf(20))) ** 2 * (1 + mp.mpf(10) ** -10) + mp.mpf(10) ** -10


def test_time_limit_stops_a_hang(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("signal.alarm", lambda seconds: signal.setitimer(signal.ITIMER_REAL, seconds and 0.05))
    with pytest.raises(HangError):
        _wait_for_ever()


def _wait_for_ever() -> None:
    with time_limit():
        while True:
            pass
