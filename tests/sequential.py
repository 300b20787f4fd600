"""Statistical tests that are repeated until they are sure: looks at fresh data, at levels whose product is the test's.

A statement is looked at with data of its own (look 0).  Where they speak for it at the look's level, it is cleared.
Where they do not, it is looked at again, with fresh seeds and at larger sizes, and so on; it is condemned where every
look spoke against it.  Look k has a p-value p_k and a level a_k; the e-value E_k = 1{p_k <= a_k}/a_k has a mean of at
most 1 under the statement, whatever was seen before, since the data of look k are fresh (an all-or-nothing calibrator:
Vovk and Wang, "E-values: calibration, combination and applications", Annals of Statistics 49 (2021), section 2).  So
the wealth E_0 E_1 ... E_k is a test martingale (or a supermartingale) that starts at 1, and by Ville's inequality
(Ville, "Etude critique de la notion de collectif", 1939; Shafer, "Testing by betting", Journal of the Royal Statistical
Society A 184, 2021) it ever reaches 1/a with probability at most a = a_0 a_1 ... a_m.  A statement is condemned where
it does.  Looking again therefore costs no level, and nothing is condemned on small sizes alone, where what is
asymptotic need not hold yet.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod

import numpy as np
import scipy.special
import scipy.stats
from numpy.typing import NDArray

from numerics.ledger import limit_test

__all__ = ["Look", "Ruling", "SequentialTest", "look_at_limits"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Look:
    """What one look at fresh data says of a statement.

    Attributes:
        p_value: probability, at most, of data that speak as much against the statement, if it is true.
        figures: what was seen, for a person to read.
    """

    p_value: float
    figures: str = ""


@dataclass(frozen=True)
class Ruling:
    """What all looks together say.

    Attributes:
        level: probability, at most, that a true statement is condemned.
        looks: those that were taken.
        wealth: product of the e-values.
    """

    level: float
    looks: tuple[Look, ...]
    wealth: float

    @cached_property
    def condemned(self) -> bool:
        """Whether the wealth reached 1/level."""
        # The wealth is 0 or a product of 1/a_k: half of 1/level is above every product that lacks a look.
        return self.wealth > 0.5 / self.level

    def __str__(self) -> str:
        said = "; ".join(f"look {k}: p = {look.p_value:.2g}, {look.figures}" for k, look in enumerate(self.looks))
        return f"{'condemned' if self.condemned else 'cleared'} at level {self.level:.2g}: {said}"


@dataclass(frozen=True)
class SequentialTest:
    """Looks at the levels a_0, a_1, ..., each at most 1/2; the level of all together is their product."""

    levels: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.levels or not all(0 < level <= 0.5 for level in self.levels):
            raise ValueError(f"the levels of the looks lie between 0 and 1/2, not {self.levels}")

    @classmethod
    def of_level(cls, level: float, looks: int) -> SequentialTest:
        """A number of looks at equal levels."""
        return cls((level ** (1 / looks),) * looks)

    @property
    def level(self) -> float:
        """Of the whole test."""
        return prod(self.levels)

    def rule(self, look: Callable[[int], Look]) -> Ruling:
        """Look until the statement is cleared or condemned.

        Args:
            look: called with 0, 1, ...: each time at data that are independent of all before.
        """
        looks: list[Look] = []
        wealth = 1.0
        for number, level in enumerate(self.levels):
            looks.append(look(number))
            if not looks[-1].p_value <= level:
                return Ruling(self.level, tuple(looks), 0.0)
            wealth /= level
        return Ruling(self.level, tuple(looks), wealth)


def look_at_limits(
    names: Sequence[str],
    sizes: Sequence[int],
    values: Sequence[Array],
    *,
    order: int = 2,
    power: float = 0.5,
    rate: float = 0.5,
    floor: float = 0.0,
) -> Look:
    """Do quantities measured at several sizes tend to 0, at least like p^(-rate)?

    Only what fails in both of two ways speaks against that, so that the p-value of a quantity is the larger of two.

    - *limit*: the means are followed to infinite size along a series in p^(-power), and the next term of the series is
      allowed for (`numerics.ledger.limit_test`).  It alone would take higher terms for a limit, where the first are 0.
    - *fall*: from one of the sizes to the largest, |mean| falls by less than the factor (p_k/p_m)^rate.  It alone would
      take quantities for constant whose first two terms have opposite signs.

    The p-value is that of the quantity for which it is least, times their number (Bonferroni).

    Args:
        names: of the W quantities.
        sizes: p, ascending, two more than the order at least.
        values: for each p a (draws, W) array.
        order: of the last term of the series that is fitted.
        power: of 1/p in the first term of the series.
        rate: power of 1/p with which the quantities fall at least.
        floor: what rounding, or the tolerance of a solver, may leave of a quantity that is 0.
    """
    kept = [k for k in range(len(names)) if max(float(np.abs(rows[:, k]).max()) for rows in values) > floor]
    if not kept:
        return Look(1.0, "nothing is beyond rounding")
    # A scatter of that size lets numbers pass that are the same in all draws.
    rows = [np.asarray(part[:, kept] + floor * (-1.0) ** np.arange(len(part))[:, None]) for part in values]
    # The test's series is in p^(-1/2).
    test = limit_test([names[k] for k in kept], [round(p ** (2 * power)) for p in sizes], rows, order=order)
    beyond = np.maximum(np.abs(test.limits) - test.allowances - floor, 0.0) / test.errors
    of_limit = 2 * scipy.stats.t.sf(beyond, test.freedom)
    of_fall = _fall_p_values(sizes, rows, rate, floor)
    p_values = np.maximum(of_limit, of_fall)
    worst = int(np.argmin(p_values))
    means = ", ".join(f"{part[:, worst].mean():.3g}" for part in rows)
    figures = (
        f"{test.names[worst]} is {means} at p = {', '.join(map(str, sizes))} and tends to {test.limits[worst]:.3g} +- "
        f"{test.errors[worst]:.2g}, of which {test.allowances[worst]:.2g} are allowed to the next order "
        f"(p = {of_limit[worst]:.2g}); that it falls like p^(-{rate:g}) at least has p = {of_fall[worst]:.2g}"
    )
    return Look(min(1.0, len(kept) * float(p_values[worst])), figures)


def _fall_p_values(sizes: Sequence[int], values: Sequence[Array], rate: float, floor: float) -> Array:
    """One-sided, of |mean at p_m| <= (p_k/p_m)^rate |mean at p_k| for all k, for each column (Bonferroni over k).

    The scatter between draws is a power law of p that all sizes fix together, as few draws at one size do not.
    """
    p, count = np.array(sizes, dtype=np.float64), np.array([len(rows) for rows in values])
    spare = count - 1.0
    logs = np.log(np.array([rows.var(axis=0, ddof=1) for rows in values]) + 1e-300)
    # E[log s^2] is below log sigma^2.
    logs -= (scipy.special.digamma(spare / 2) - np.log(spare / 2))[:, None]
    places = np.column_stack([np.ones(p.size), np.log(p)])
    weighted = places.T * spare
    squared = np.exp(places @ np.linalg.solve(weighted @ places, weighted @ logs)) / count[:, None]
    means = np.abs([rows.mean(axis=0) for rows in values])
    factors = ((p[:-1] / p[-1]) ** rate)[:, None]
    excess = (means[-1] - factors * means[:-1] - floor) / np.sqrt(factors**2 * squared[:-1] + squared[-1])
    # Of means near 0 both tails count.
    found = 2 * (p.size - 1) * scipy.stats.t.sf(excess.max(axis=0), spare.sum() - 2)
    return np.asarray(np.minimum(found, 1.0))
