"""Processor time: who stops, when, and what is left."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import mpmath
import pytest
import sympy as sp
from flint import arb

from numerics import budget
from numerics.arithmetic import MpArithmetic, compile_program
from numerics.equilibrium import find_equilibria
from numerics.moments import CertifiedMoments
from numerics.records import derivations
from theory.activations import resolve
from theory.equations import DEQ
from theory.moments import GaussianExpectation, GaussianMoments
from theory.symbols import tau, xi


class Clock:
    """Seconds of processor time that pass when they are told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    ticking = Clock()
    monkeypatch.setattr(budget, "_clock", ticking)
    yield ticking
    assert not budget.spent()


def test_without_a_limit_nothing_stops(clock: Clock) -> None:
    clock.now += 1e9
    budget.checkpoint()
    budget.tick()
    with budget.share(0.5, interrupt=True):
        clock.now += 1e9
        budget.checkpoint()
        budget.tick()


def test_a_block_stops_at_its_deadline_and_says_what_it_did(clock: Clock) -> None:
    reached = []

    def count() -> None:
        with budget.limited(10), budget.stage("counting"):
            for step in range(3):
                budget.checkpoint()
                reached.append(step)
                clock.now += 5.5

    with pytest.raises(budget.OverBudgetError, match=r"^10 s of processor time were spent while counting$"):
        count()
    assert reached == [0, 1]
    assert budget.current_stage() is None


def test_inner_blocks_have_no_more_than_is_left(clock: Clock) -> None:
    with budget.limited(10):
        clock.now += 4
        with budget.share(0.5):
            clock.now += 2.5
            assert not budget.spent()
            clock.now += 0.6
            assert budget.spent()
        assert not budget.spent()
        with budget.limited(1000):
            clock.now += 3
            assert budget.spent()


def test_ticks_stop_the_outermost_block_that_is_over_and_may_be_stopped(clock: Clock) -> None:
    reached = []

    def library() -> None:
        with suppress(Exception):
            budget.tick()
        reached.append("swallowed")

    def work() -> None:
        with budget.limited(10, interrupt=True):
            with budget.limited(5):
                clock.now += 6
                budget.tick()  # the inner one stops at checkpoints only
                reached.append("inner")
            with suppress(budget.OverBudgetError), budget.share(0.5, interrupt=True):
                clock.now += 5
                library()
            reached.append("taken for the inner block's")

    with pytest.raises(budget.OverBudgetError):
        work()
    assert reached == ["inner"]


def test_a_lack_of_memory_stops_the_innermost_block(clock: Clock) -> None:
    with (
        budget.limited(10, interrupt=True),
        pytest.raises(budget.OverBudgetError, match="too much memory while searching"),
        budget.share(0.5, interrupt=True),
        budget.stage("searching"),
    ):
        budget.tick("too much memory")


def _slow(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every search for a closed form take six seconds, and find nothing."""

    def closed(*_arguments: Any, **_options: Any) -> None:
        clock.now += 6
        budget.tick()

    monkeypatch.setattr(GaussianMoments, "_closed", closed)


def test_a_closed_form_that_is_not_found_in_time_stays_an_integral(
    clock: Clock, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DEQVERIFY_CACHE", str(tmp_path))
    activation = resolve("exp(-x**2/2) + x")
    expected = derivations.derive(activation, use_cache=False)
    assert GaussianMoments.is_closed(expected.values["second_moment"])
    _slow(clock, monkeypatch)
    with budget.limited(10, interrupt=True):
        derived = derivations.derive(activation)
    assert not derived.finished
    assert not list(tmp_path.rglob("*.json"))
    assert set(derived.values) == set(expected.values)
    scale = mpmath.mpf(3) / 5
    arithmetic = MpArithmetic(mpmath.mp)
    for name, value in derived.values.items():
        integrals = {
            node: sp.Float(
                str(
                    mpmath.quad(
                        lambda point, node=node: (
                            compile_program([node.integrand], [xi, tau], arithmetic)(point, scale)[0]
                            * mpmath.npdf(point)
                        ),
                        [-12, 0, 12],
                    )
                )
            )
            for node in value.atoms(GaussianExpectation)
        }
        found = value.xreplace(integrals).subs(tau, sp.Rational(3, 5)).evalf()
        assert abs(found - expected.values[name].subs(tau, sp.Rational(3, 5)).evalf()) < 1e-10, name


def test_balls_take_the_integral_where_there_was_no_time(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    activation = resolve("exp(-x**2/2) + x")
    exact = CertifiedMoments(activation).values(arb("0.6"))
    _slow(clock, monkeypatch)
    with budget.limited(10, interrupt=True):
        moments = CertifiedMoments(activation)
        assert not moments._closed
    found = moments.values(arb("0.6"))
    assert all(found[key].overlaps(exact[key]) and found[key].rad() < 1e-12 for key in exact)


def test_the_search_for_all_equilibria_leaves_the_rest_unresolved(clock: Clock) -> None:
    activation = resolve("tanh(x)")
    with budget.limited(10):
        clock.now += 11
        found = find_equilibria(DEQ(activation, sp.Rational(1, 5), sp.Rational(4, 5), sp.S.One))
        assert not found.complete
        assert found.unresolved[0][0] < 0.934871 < found.unresolved[-1][1]
