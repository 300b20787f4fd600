"""Does a quantity measured at several p tend to zero?  A test with a stated level, and its power.

The mean over draws is fitted, by weighted least squares, with A_0 + A_1 p^(-1/2) + ... + A_m p^(-m/2); the theory says
that A_0 = 0 (theory sheet, section 4: the error is p^(-1/2) times a series in p^(-1/2)).  Each of W quantities is
tested at level/W (Bonferroni), so that a true theory is refuted with probability at most the level, up to the terms of
the series that are left out: the next one is taken to be at most as large as the last that is fitted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.special
import scipy.stats

from numerics.arithmetic import percent
from numerics.arrays import Array
from theory.claims import Verdict, VerdictKind
from theory.kernels import PARTS

__all__ = [
    "LimitTest",
    "figures",
    "limit_test",
    "limit_tests",
    "limit_verdict",
    "power_list",
    "power_of",
    "predicted_test",
]

#: Changes of a limit below this are rounding.
_ROUNDING = 1e-9
#: Probability with which a change is to be detected before it is called detectable.
_POWER = 0.9


@dataclass(frozen=True)
class LimitTest:
    """The limits of W quantities, tested against zero.

    Attributes:
        names: of the quantities.
        limits: (W,) array, estimated limits A_0.
        errors: (W,) array, their standard errors.
        allowances: (W,) array, by how much the next term of the series may have moved them.
        critical: number of standard errors beyond which a limit is not zero, at level/W.
        level: probability that a true theory is refuted.
        freedom: degrees of freedom of the errors, the fewest of any of them.
    """

    names: tuple[str, ...]
    limits: Array
    errors: Array
    allowances: Array
    critical: float
    level: float
    freedom: int

    @property
    def scores(self) -> Array:
        """Limits beyond the allowance, in standard errors, (W,) array."""
        beyond = np.maximum(np.abs(self.limits) - self.allowances, 0.0)
        return np.asarray(np.sign(self.limits) * beyond / self.errors)

    @property
    def worst(self) -> int:
        """Index of the quantity that is farthest from zero."""
        return int(np.argmax(np.abs(self.scores)))

    @property
    def refuted(self) -> bool:
        """Whether a limit is not zero."""
        return bool(np.abs(self.scores[self.worst]) > self.critical)

    def detectable(self, limits: Array) -> float:
        """Smallest multiple of a change in the limits that is detected with probability 0.9; inf where there is none.

        Args:
            limits: (W,) array, what a change of unit size adds to the limits.
        """
        if not np.abs(limits).max() > _ROUNDING:
            return float("inf")
        quantile = float(scipy.stats.norm.ppf(_POWER))
        with np.errstate(divide="ignore"):
            return float(np.min(((self.critical + quantile) * self.errors + 2 * self.allowances) / np.abs(limits)))

    def sentence(self) -> str:
        """Return the figures that decide."""
        k = self.worst
        verdict = "is not 0" if self.refuted else "is compatible with 0"
        return (
            f"witness {self.names[k]} has the limit {self.limits[k]:+.2e} +- {self.errors[k]:.1e}, "
            f"{abs(self.scores[k]):.1f} standard errors beyond the {self.allowances[k]:.1e} allowed to the next order "
            f"(critical {self.critical:.1f} at level {self.level:g}): it {verdict}"
        )


def limit_test(
    names: Sequence[str],
    sizes: Sequence[int],
    values: Sequence[Array],
    *,
    order: int | Sequence[int] = 2,
    level: float = 0.001,
) -> LimitTest:
    """Estimate the limits of W quantities as p grows, and test them against zero.

    Args:
        names: of the quantities.
        sizes: p, at least ``order`` + 2 of them.
        values: for each p a (draws, W) array, at least two draws.
        order: m, highest power of p^(-1/2), of all quantities or of each.
        level: of the test over all quantities together.

    Raises:
        ValueError: too few sizes or draws.
    """
    (found,) = limit_tests(names, sizes, [rows[:, None, :] for rows in values], order=order, level=level)
    return found


def limit_tests(
    names: Sequence[str],
    sizes: Sequence[int],
    values: Sequence[Array],
    *,
    order: int | Sequence[int] = 2,
    level: float = 0.001,
) -> list[LimitTest]:
    """Do as `limit_test` for T theories at once.

    Args:
        names: of the quantities.
        sizes: p.
        values: for each p a (draws, T, W) array.
        order: as for `limit_test`.
        level: of the test of each theory.

    Raises:
        ValueError: too few sizes or draws.
    """
    ladder = sizes, [len(rows) for rows in values]
    return _tests(names, _fits(names, sizes, values, ladder, order), level)


def predicted_test(
    names: Sequence[str],
    pilot: tuple[Sequence[int], Sequence[Array]],
    planned: tuple[Sequence[int], Sequence[int]],
    *,
    order: int | Sequence[int] = 2,
    level: float = 0.001,
) -> LimitTest:
    """Return the errors, the allowances and the critical value that a test will have, from draws at small p.

    The scatter at the planned sizes follows the pilot's power law, and the allowances its last term.

    Args:
        names: of the quantities.
        pilot: sizes p, and for each a (draws, W) array, as for `limit_test`.
        planned: sizes p, and how many draws there will be at each.
        order: as for `limit_test`.
        level: of the test over all quantities together.

    Raises:
        ValueError: too few sizes or draws.
    """
    sizes, values = pilot
    (found,) = _tests(names, _fits(names, sizes, [rows[:, None, :] for rows in values], planned, order), level)
    return found


@dataclass(frozen=True)
class _Scatter:
    """Variances of one draw that follow a power law of p.

    Attributes:
        law: (2, T, W) array, intercept and slope of the log variance in log p.
    """

    law: Array

    @classmethod
    def of(cls, sizes: Sequence[int], values: Sequence[Array]) -> _Scatter:
        """The law that all sizes fix together, from (draws, T, W) arrays."""
        if min(len(rows) for rows in values) < 2:
            raise ValueError("a test of limits needs at least two draws at each size")
        spare = _spare([len(rows) for rows in values])
        variances = np.stack([rows.var(axis=0, ddof=1) for rows in values])
        # E[log s^2] is below log sigma^2.
        bias = np.log(spare / 2) - scipy.special.digamma(spare / 2)
        logs = np.log(np.maximum(variances, 1e-300)) + bias[:, None, None]
        solver = _covariance(sizes, spare) @ (_line(sizes) * spare[:, None] / 2).T
        return cls(np.tensordot(solver, logs, axes=1))

    def of_quantity(self, k: int) -> _Scatter:
        """That of one quantity, its law a (2, T) array."""
        return _Scatter(self.law[..., k])

    def at(self, sizes: Sequence[int]) -> Array:
        """Variances, the sizes first."""
        return np.asarray(np.exp(np.tensordot(_line(sizes), self.law, axes=1)))


def _spare(draws: Sequence[int]) -> Array:
    """Degrees of freedom of the variances, (m,) array."""
    return np.array(draws, dtype=float) - 1


def _line(sizes: Sequence[int]) -> Array:
    """1 and log p, (m, 2) array."""
    places = np.log(np.array(sizes, dtype=float))
    return np.column_stack([np.ones_like(places), places])


def _covariance(sizes: Sequence[int], spare: Array) -> Array:
    """(2, 2) covariance of the law's intercept and slope, from Var(log s^2) = 2/nu."""
    design = _line(sizes)
    return np.asarray(np.linalg.inv(design.T @ (design * spare[:, None] / 2)))


@dataclass(frozen=True)
class _Fit:
    """One quantity's limit by T theories, all (T,) arrays."""

    limits: Array
    errors: Array
    allowances: Array
    freedoms: Array


def _fits(
    names: Sequence[str],
    sizes: Sequence[int],
    values: Sequence[Array],
    ladder: tuple[Sequence[int], Sequence[int]],
    order: int | Sequence[int],
) -> list[_Fit]:
    """The series of each quantity from (draws, T, W) arrays of values, with the errors of a ladder (sizes, draws)."""
    orders = [order] * len(names) if isinstance(order, int) else list(order)
    fewest, needed = min(len(sizes), len(ladder[0])), max(orders) + 2
    if fewest < needed:
        raise ValueError(f"a fit of order {needed - 2} needs at least {needed} sizes and two draws at each")
    draws = [len(rows) for rows in values]
    scatter = _Scatter.of(sizes, values)
    means = np.stack([rows.mean(axis=0) for rows in values])
    found = []
    for k, highest in enumerate(orders):
        own = scatter.of_quantity(k)
        estimator, _ = _least_squares(sizes, draws, own, highest)
        found.append(_fit(*ladder, np.einsum("tms,st->tm", estimator, means[..., k]), own))
    return found


def _fit(sizes: Sequence[int], draws: Sequence[int], series: Array, scatter: _Scatter) -> _Fit:
    """The errors that a ladder has, and its allowances, for a (T, m + 1) array of coefficients A_0 ... A_m."""
    order = series.shape[1] - 1
    estimator, inverse = _least_squares(sizes, draws, scatter, order)
    following = estimator[:, 0] @ np.array(sizes, dtype=float) ** (-0.5 * (order + 1))
    # A_m is known to its standard error only.
    last = np.abs(series[:, -1]) + np.sqrt(inverse[:, -1, -1])
    # How well the error is known: Satterthwaite's degrees of freedom, 2/Var(log of its square).
    shares = estimator[:, 0] ** 2 * _squared(sizes, draws, scatter) / inverse[:, :1, 0]
    gradients = np.column_stack([np.ones(len(shares)), shares @ np.log(np.array(sizes, dtype=float))])
    line = _covariance(sizes, _spare(draws))
    freedoms = 2 / np.einsum("ti,ij,tj->t", gradients, line, gradients)
    return _Fit(series[:, 0], np.sqrt(inverse[:, 0, 0]), last * np.abs(following), freedoms)


def _squared(sizes: Sequence[int], draws: Sequence[int], scatter: _Scatter) -> Array:
    """Squared standard errors of the means, (T, sizes) array."""
    return np.asarray((scatter.at(sizes) / np.array(draws, dtype=float)[:, None]).T)


def _least_squares(sizes: Sequence[int], draws: Sequence[int], scatter: _Scatter, order: int) -> tuple[Array, Array]:
    """Estimators of A_0 ... A_m, (T, m + 1, sizes) array, and their covariances, (T, m + 1, m + 1) array."""
    powers = np.array(sizes, dtype=float)[:, None] ** (-0.5 * np.arange(order + 1))
    weights = 1 / np.sqrt(_squared(sizes, draws, scatter))
    design = powers * weights[..., None]
    inverse = np.linalg.inv(np.swapaxes(design, 1, 2) @ design)
    return inverse @ np.swapaxes(design, 1, 2) * weights[:, None, :], inverse


def _tests(names: Sequence[str], fits: Sequence[_Fit], level: float) -> list[LimitTest]:
    """The test of each theory, from the fits of all quantities."""
    limits, errors, allowances, freedoms = (
        np.stack([getattr(fit, part) for fit in fits], axis=1)
        for part in ("limits", "errors", "allowances", "freedoms")
    )
    found = []
    for k, freedom in enumerate(freedoms.min(axis=1).astype(int)):
        critical = float(scipy.stats.t.ppf(1 - level / len(names) / 2, freedom))
        found.append(LimitTest(tuple(names), limits[k], errors[k], allowances[k], critical, level, int(freedom)))
    return found


def power_of(
    test: LimitTest, changed: Callable[[str], LimitTest], change: float = 1.0, parts: Sequence[str] = PARTS
) -> dict[str, float | None]:
    """Smallest relative change of each of a theory's numbers that is detected with probability 0.9.

    None stands for a number that has no effect.

    Args:
        test: of the numbers as they are.
        changed: the same test with one of the numbers, by name, larger by the relative change.
        change: that relative change.
        parts: names of the numbers, by default an equivalent's.
    """
    found = {part: test.detectable((changed(part).limits - test.limits) / change) for part in parts}
    return {part: None if np.isinf(value) else value for part, value in found.items()}


def limit_verdict(
    claim: str, subject: str, test: LimitTest, power: Mapping[str, float | None], *, activation: str, before: str = ""
) -> Verdict:
    """The verdict on a claim that all limits are 0.

    Args:
        claim: identifier of the claim.
        subject: what it was checked on.
        test: of the limits.
        power: of the test, by name.
        activation: the one that it is about, or "".
        before: figures to state before the test's.
    """
    kind = VerdictKind.REFUTED if test.refuted else VerdictKind.SUPPORTED
    why = f"{before}{test.sentence()}; would detect: {power_list(power)}"
    return Verdict(claim, subject, kind, why, figures(test) | {"power": dict(power)}, activation)


def figures(test: LimitTest) -> dict[str, Any]:
    """Return a test's figures as plain values."""
    return {
        "witnesses": list(test.names),
        "limits": [float(value) for value in test.limits],
        "errors": [float(value) for value in test.errors],
        "allowances": [float(value) for value in test.allowances],
        "critical": test.critical,
        "level": test.level,
    }


def power_list(power: Mapping[str, float | None], unseen: Sequence[str] = ()) -> str:
    """Return the smallest relative changes that a test detects, as text.

    Args:
        power: by name; None stands for a number that is 0.
        unseen: names of numbers that may change by 100 % unseen.
    """
    ordered = sorted(power.items(), key=lambda item: PARTS.index(item[0]) if item[0] in PARTS else len(PARTS))
    seen = [f"{part} {percent(value)}" for part, value in ordered if value is not None and value <= 1]
    lost = [*unseen, *(part for part, value in ordered if value is not None and value > 1)]
    return ", ".join(seen + ([f"no change of {' or '.join(lost)} below 100 %"] if lost else []))
