"""Random activations: what is proved of their ranges, growth, limits and slopes holds where they are evaluated."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import sympy as sp
from hypothesis import HealthCheck, given, reject
from mpmath import mp

from tests.oracles import function_of
from tests.strategies import activation_texts
from tests.tiers import examples
from theory.activations import Activation
from theory.analysis import DomainError, GrowthError, Piece, UndecidedError, enclosure, limit_at, upper_rate
from theory.grammar import ActivationSyntaxError
from theory.symbols import x

_few = examples(25, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
#: How far out limits and rates are looked at, and with how many digits: rates that decay are met by cancellation.
LIMITS_AT, RATES_AT, DIGITS = (200, 2000), (5, 10, 30), 2000


def _activation(text: str) -> Activation:
    try:
        return Activation.from_text(text)
    except (ActivationSyntaxError, DomainError, GrowthError):
        reject()


def _number(value: sp.Expr) -> Any:
    return mp.mpf(str(value).replace("oo", "inf")) if value.is_infinite else mp.mpf(sp.N(value, 30))


def _places(piece: Piece, count: int) -> list[Any]:
    """Points inside a piece, no further out than 8, closest to its ends."""
    low, high = (mp.mpf(sp.N(end, 30)) for end in (sp.Max(piece.lower, -8), sp.Min(piece.upper, 8)))
    parts = ((k + mp.mpf(1) / 2) / count for k in range(count))
    return [low + (high - low) * t * t * (3 - 2 * t) for t in parts] if low < high else []


def _real(function: Callable[[Any], Any], place: Any) -> Any:
    return mp.re(function(mp.mpf(place)))


@_few
@given(activation_texts)
def test_values_lie_in_their_range(text: str) -> None:
    for piece in _activation(text).pieces:
        try:
            bounds = enclosure(piece.expr, piece.lower, piece.upper)
        except UndecidedError:
            continue
        low, high = (_number(bound) for bound in bounds)
        function = function_of(piece.expr, x)
        for value in (_real(function, place) for place in _places(piece, 40)):
            assert low - abs(value) * mp.mpf(10) ** -10 <= value <= high + abs(value) * mp.mpf(10) ** -10


@_few
@given(activation_texts)
def test_slopes_stay_below_the_lipschitz_constant_and_come_near_it(text: str) -> None:
    activation = _activation(text)
    constant = activation.lipschitz
    if constant is None or constant is sp.oo or constant == 0:
        return
    reached = mp.mpf(0)
    for piece in activation.pieces:
        slope = function_of(sp.diff(piece.expr, x), x)
        reached = max([reached, *(abs(_real(slope, place)) for place in _places(piece, 200))])
    assert sp.N(constant, 30) * sp.Rational(9, 10) <= reached <= sp.N(constant, 30) * (1 + sp.Float("1e-12"))


@_few
@given(activation_texts)
def test_limits_are_approached(text: str) -> None:
    pieces = _activation(text).pieces
    for piece, side in ((pieces[0], -1), (pieces[-1], 1)):
        function = function_of(piece.expr, x)
        try:
            limit = limit_at(piece.expr, side)
        except (GrowthError, UndecidedError):
            continue
        with mp.workdps(60):
            near, far = (_real(function, side * place) for place in LIMITS_AT)
        if limit.is_infinite:
            assert (far if limit is sp.oo else -far) > abs(near)
        else:
            assert abs(far - mp.mpf(sp.N(limit, 30))) < mp.mpf("0.01") * max(1, abs(far))


@_few
@given(activation_texts)
def test_nothing_grows_faster_than_its_rate(text: str) -> None:
    pieces = _activation(text).pieces
    for piece, side in ((pieces[0], -1), (pieces[-1], 1)):
        rate = upper_rate(piece.expr, side)
        if any(part.is_infinite for part in rate.parts):
            continue
        parts = [mp.mpf(sp.N(part, 30)) for part in rate.parts]
        function, excess = function_of(piece.expr, x), []
        for far in RATES_AT:
            with mp.workdps(DIGITS):
                size = abs(_real(function, side * far)) or mp.mpf(10) ** -DIGITS
            excess.append(mp.log(size) - mp.fdot(parts, (far**2, far, mp.log(far), mp.log(mp.log(far)))))
        assert excess[-1] < max(excess[:-1]) + 5
