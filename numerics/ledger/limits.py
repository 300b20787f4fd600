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
    "limit_verdict",
    "power_list",
    "power_of",
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
    names: Sequence[str], sizes: Sequence[int], values: Sequence[Array], *, order: int = 2, level: float = 0.001
) -> LimitTest:
    """Estimate the limits of W quantities as p grows, and test them against zero.

    Args:
        names: of the quantities.
        sizes: p, at least ``order`` + 2 of them.
        values: for each p a (draws, W) array, at least two draws.
        order: m, highest power of p^(-1/2).
        level: of the test over all quantities together.

    Raises:
        ValueError: too few sizes or draws.
    """
    if len(sizes) < order + 2 or min(len(rows) for rows in values) < 2:
        raise ValueError(f"a fit of order {order} needs at least {order + 2} sizes and two draws at each")
    means = np.stack([rows.mean(axis=0) for rows in values])
    spare = np.array([len(rows) - 1.0 for rows in values])
    places = np.log(np.array(sizes, dtype=float))
    variances, line = _smooth_variances(places, np.stack([rows.var(axis=0, ddof=1) for rows in values]), spare)
    squared = variances / (spare + 1)[:, None]
    powers = np.array(sizes, dtype=float)[:, None] ** (-0.5 * np.arange(order + 1))
    following = np.array(sizes, dtype=float) ** (-0.5 * (order + 1))
    limits, errors, allowances, freedoms = (np.empty(len(names)) for _ in range(4))
    for k in range(len(names)):
        weights = 1 / np.sqrt(squared[:, k])
        design = powers * weights[:, None]
        inverse = np.linalg.inv(design.T @ design)
        estimator = inverse @ design.T * weights
        found = estimator @ means[:, k]
        limits[k], errors[k] = found[0], np.sqrt(inverse[0, 0])
        # A_m is known to its standard error only.
        last = abs(found[-1]) + np.sqrt(inverse[-1, -1])
        allowances[k] = last * abs(estimator[0] @ following)
        # How well the error is known: Satterthwaite's degrees of freedom, 2/Var(log of its square).
        shares = estimator[0] ** 2 * squared[:, k] / inverse[0, 0]
        gradient = np.array([1.0, shares @ places])
        freedoms[k] = 2 / (gradient @ line @ gradient)
    freedom = int(freedoms.min())
    critical = float(scipy.stats.t.ppf(1 - level / len(names) / 2, freedom))
    return LimitTest(tuple(names), limits, errors, allowances, critical, level, freedom)


def _smooth_variances(places: Array, variances: Array, spare: Array) -> tuple[Array, Array]:
    """Variances of one draw that follow a power law of p, which all sizes fix together, and the law's covariance.

    Args:
        places: (m,) array, log p.
        variances: (m, W) array, sample variances.
        spare: (m,) array, their degrees of freedom nu.

    Returns:
        The (m, W) array of smoothed variances, and the (2, 2) covariance of the law's intercept and slope, from
        Var(log s^2) = 2/nu.
    """
    # E[log s^2] is below log sigma^2.
    bias = np.log(spare / 2) - scipy.special.digamma(spare / 2)
    logs = np.log(np.maximum(variances, 1e-300)) + bias[:, None]
    design = np.column_stack([np.ones_like(places), places])
    covariance = np.linalg.inv(design.T @ (design * spare[:, None] / 2))
    found = covariance @ design.T @ (logs * spare[:, None] / 2)
    return np.asarray(np.exp(design @ found)), np.asarray(covariance)


def power_of(test: LimitTest, changed: Callable[[str], LimitTest], change: float = 1.0) -> dict[str, float | None]:
    """Smallest relative change of each of an equivalent's numbers that is detected with probability 0.9.

    None stands for a number that has no effect.

    Args:
        test: of the numbers as they are.
        changed: the same test with one of the numbers, by name, larger by the relative change.
        change: that relative change.
    """
    found = {part: test.detectable((changed(part).limits - test.limits) / change) for part in PARTS}
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
