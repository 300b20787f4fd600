"""The sequential judge has the level that it states on true statements, and power on false ones."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
from numpy.typing import NDArray

from tests.sequential import Look, SequentialTest, look_at_limits

Array = NDArray[np.float64]
SIZES = (64, 128, 256, 512)
DRAWS = (8, 6, 5, 4)


def seen(
    rng: np.random.Generator,
    limit: float,
    scatter: float,
    sizes: tuple[int, ...] = SIZES,
    powers: tuple[float, float, float] = (0.5, 1.0, 1.5),
) -> list[Array]:
    """Three quantities that tend to a limit along a series of three terms, with a scatter of p^(-1/2)."""
    series = rng.uniform(-1, 1, (3, 3))
    rows = []
    for p, draws in zip(sizes, DRAWS, strict=True):
        bias = limit + series.T @ np.power(float(p), -np.array(powers))
        rows.append(bias + scatter / np.sqrt(p) * rng.standard_normal((draws, 3)))
    return rows


def larger(look: int) -> tuple[int, ...]:
    return tuple(p * 2**look for p in SIZES)


def test_uniform_p_values_are_condemned_at_the_level() -> None:
    """The worst that a true statement can do: P(p_k <= a) = a at every look."""
    rng = np.random.default_rng(1)
    test = SequentialTest((0.2, 0.1, 0.25))
    condemned = sum(test.rule(lambda _: Look(float(rng.random()))).condemned for _ in range(40_000))
    assert test.level == pytest.approx(0.005)
    # Binomial with mean 200: two tails of 1e-5 each.
    low, high = scipy.stats.binom.ppf([1e-5, 1 - 1e-5], 40_000, test.level)
    assert low <= condemned <= high


def test_looks_end_where_the_statement_is_cleared() -> None:
    asked: list[int] = []

    def look(number: int) -> Look:
        asked.append(number)
        return Look([0.001, 0.3, 0.0][number])

    ruling = SequentialTest((0.01, 0.01, 0.01)).rule(look)
    assert (ruling.condemned, asked) == (False, [0, 1])
    assert "cleared" in str(ruling)


def test_one_look_however_certain_condemns_nothing() -> None:
    test = SequentialTest.of_level(1e-6, 3)
    assert not test.rule(lambda number: Look(0.0 if number < 2 else 0.5)).condemned
    assert test.rule(lambda number: Look(0.0)).condemned


def test_a_p_value_that_is_no_number_clears() -> None:
    assert not SequentialTest((0.01,)).rule(lambda _: Look(float("nan"))).condemned


@pytest.mark.parametrize("levels", [(), (0.0,), (0.6,), (0.01, float("nan"))])
def test_levels_that_are_none_are_refused(levels: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="between 0 and 1/2"):
        SequentialTest(levels)


@pytest.mark.parametrize("scatter", [0.001, 0.02, 1.0])
@pytest.mark.parametrize(("order", "powers"), [(2, (0.5, 1.0, 1.5)), (1, (1.0, 1.5, 2.0))])
def test_a_look_at_limits_that_are_0_has_its_level(
    order: int, powers: tuple[float, float, float], scatter: float
) -> None:
    """Series of the kinds that theory speaks of, all three terms as large: p-values are not too small."""
    rng = np.random.default_rng(2)
    names = ("a", "b", "c")
    found = [
        look_at_limits(names, SIZES, seen(rng, 0.0, scatter, powers=powers), order=order, power=powers[0]).p_value
        for _ in range(600)
    ]
    for level in (0.1, 0.01):
        assert np.count_nonzero(np.array(found) <= level) <= scipy.stats.binom.ppf(1 - 1e-5, len(found), level)


def test_limits_that_are_not_0_are_condemned_and_such_that_are_0_are_not() -> None:
    rng = np.random.default_rng(3)
    test = SequentialTest.of_level(1e-6, 3)

    def condemned(limit: float) -> int:
        def look(number: int) -> Look:
            sizes = larger(number)
            return look_at_limits(("a", "b", "c"), sizes, seen(rng, limit, 0.1, sizes))

        return sum(test.rule(look).condemned for _ in range(100))

    assert condemned(0.0) == 0
    assert condemned(0.5) >= 95


def test_what_rounding_leaves_is_not_a_limit() -> None:
    rounding = [1e-12 + 1e-15 * np.random.default_rng(4).standard_normal((draws, 1)) for draws in DRAWS]
    assert look_at_limits(("a",), SIZES, rounding).p_value < 1e-6
    assert look_at_limits(("a",), SIZES, rounding, floor=1e-10).p_value == 1
