"""Rates of convergence: what errors measured over a ladder of sizes and several seeds support.

A plain power law log e = c + s log p answers wrongly here, and with a narrow interval: the next order of
the expansion is of relative size p^(-1/2) with a large factor (the class means add terms such as
||mu||^4/p), so the slope at every size within reach differs from its limit.  `fit_rate` shows that slope,
without and with corrections to scaling.  `check_rate` asks the sharper question, whether the errors are

    e(p) = p^s (A_0 + A_1 p^(-1/2) + A_2 p^(-1) + ...)        for a slope s named beforehand,

with A_0 > 0 (no faster) and no floor F under it (no slower).  It is a test of compatibility: it exposes a
floor or a rate far off, but does not tell s from its neighbours.  Measured on the released experiment (three
activations, both readings of tau_0, p to 3200, 20 seeds): -1/2 is accepted in six cases of six, -1 in one,
-3/4 in two and -1/4 in four.  For the exponent itself the intervals of `fit_rate` are the answer, on data whose
corrections are small (class means of norm 2 in place of 8), where the power law passes its test of lack of fit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import f as f_distribution
from scipy.stats import t as t_distribution

from numerics.arrays import Array

__all__ = [
    "FALSE_ALARM",
    "FittedLine",
    "RateCheck",
    "RateFit",
    "RateReport",
    "check_rate",
    "fit_rate",
    "local_slopes",
    "report_rate",
]

#: Ladder of errors: (sizes, seeds), or one sequence of any length for each size.
Errors = ArrayLike | Sequence[ArrayLike]


@dataclass(frozen=True)
class FittedLine:
    """Least-squares fit of log e = c + s log p + b_1 p^(-1/2) + b_2 p^(-1) + ....

    Attributes:
        slope: s.
        standard_error: of the slope, from the scatter of all points about the fit.
        interval: (low, high), interval of the slope by Student's t over all seeds.
        bootstrap: (low, high), percentile interval of the slope, seeds resampled within each size.
        intercept: c.
        corrections: (b_1, b_2, ...), empty for the plain power law.
        degrees: degrees of freedom left.
        lack_of_fit: probability that the means lie so far off the curve if it were right, by an F
            test against the scatter between seeds; nan where no size is to spare.
    """

    slope: float
    standard_error: float
    interval: tuple[float, float]
    bootstrap: tuple[float, float]
    intercept: float
    corrections: tuple[float, ...]
    degrees: int
    lack_of_fit: float


@dataclass(frozen=True)
class RateFit:
    """Slope of log error on log p.

    Attributes:
        sizes: (m,) array, p, ascending.
        means: (m,) array, mean error at each size.
        level: confidence level of the intervals.
        plain: the power law.
        corrected: with b_1 p^(-1/2); None for fewer than three sizes.
        twice_corrected: with b_2 p^(-1) too; None for fewer than four sizes.
    """

    sizes: Array
    means: Array
    level: float
    plain: FittedLine
    corrected: FittedLine | None
    twice_corrected: FittedLine | None


@dataclass(frozen=True)
class RateCheck:
    """Whether errors are compatible with a leading power p^slope.

    Attributes:
        slope: the exponent tested.
        false_alarm: as `check_rate` was given it; intervals are one-sided at a third of it.
        amplitudes: (A_0, A_1, ...) of the curve that was chosen.
        amplitude_interval: (low, high) for A_0.
        lack_of_fit: probability that the means lie so far off the curve if it were right.
        floor: F when a constant is added to the same terms.
        floor_interval: (low, high) for F.
        decays: A_0 is above 0: the error falls no faster than p^slope.
        fits: the curve passes the test of lack of fit.
        floor_free: the interval of F reaches down to 0.
        compatible: all three.
    """

    slope: float
    false_alarm: float
    amplitudes: tuple[float, ...]
    amplitude_interval: tuple[float, float]
    lack_of_fit: float
    floor: float
    floor_interval: tuple[float, float]
    decays: bool
    fits: bool
    floor_free: bool
    compatible: bool


@dataclass(frozen=True)
class RateReport:
    """What a ladder of errors says of a rate named beforehand, and what it cannot say.

    Attributes:
        fit: slope of log error against log size with its intervals, or None with too little data.
        check: test of the rate, or None with too little data.
        also_accepted: the other exponents that the same test accepts.
        verdict: "supported", "refuted", or "undecided" with too little data: too few sizes or draws, or a scatter in
            which neither an A_0 above 0 is shown nor that the errors fall faster.
        sentence: the figures that decide it.
        limits: what these data cannot tell.
    """

    fit: RateFit | None
    check: RateCheck | None
    also_accepted: tuple[float, ...]
    verdict: str
    sentence: str
    limits: str


#: Probability with which `check_rate` refuses a true law, if nothing else is asked for.
FALSE_ALARM = 0.02


def local_slopes(sizes: ArrayLike, errors: Errors) -> Array:
    """Slope of the log of the mean error between neighbouring sizes, shape (m - 1,)."""
    p, table = _validate(sizes, errors)
    means = np.array([row.mean() for row in table])
    return np.asarray(np.diff(np.log(means)) / np.diff(np.log(p)))


def fit_rate(
    sizes: ArrayLike,
    errors: Errors,
    rng: np.random.Generator,
    *,
    level: float = 0.95,
    resamples: int = 1000,
) -> RateFit:
    """Slope of log error on log p, with t and bootstrap intervals, without and with corrections.

    Args:
        sizes: (m,) p, distinct, at least two.
        errors: (m, seeds) positive errors, or one sequence for each size.
        rng: resamples the seeds for the bootstrap.
        level: confidence level of the intervals.
        resamples: bootstrap samples, at least 10.

    Raises:
        ValueError: sizes and errors that do not fit together, or too few of them.
    """
    p, table = _validate(sizes, errors)
    if not 0 < level < 1:
        raise ValueError(f"the confidence level must lie in (0, 1), got {level}")
    if resamples < 10:
        raise ValueError(f"the bootstrap needs at least 10 resamples, got {resamples}")
    if sum(row.size for row in table) < 3:
        raise ValueError("a slope with an interval needs at least three errors")
    lines = [
        _fit_line(p, table, corrections, rng, level, resamples) if p.size >= 2 + corrections else None
        for corrections in range(3)
    ]
    plain = lines[0]
    if plain is None:
        raise ValueError("a slope needs at least two sizes")
    means = np.array([row.mean() for row in table])
    return RateFit(p, means, level, plain, lines[1], lines[2])


#: Probability of lack of fit from which on a curve is called a good description.
_GOOD_FIT = 0.05


def check_rate(
    sizes: ArrayLike,
    errors: Errors,
    *,
    slope: float = -0.5,
    false_alarm: float = FALSE_ALARM,
    most_terms: int = 3,
) -> RateCheck:
    """Test whether e(p) = p^slope (A_0 + A_1 p^(-1/2) + ...) for some number of terms, with A_0 > 0 and no floor.

    The scatter between seeds is taken as proportional to the error and pooled over sizes; it alone sets
    the intervals, so at least two seeds are needed.  Of the curves that pass, the one with the fewest terms that fits
    well is returned, or the best; where none passes, the one with the fewest terms that fits, or the last.

    Args:
        sizes: (m,) p, distinct, at least two.
        errors: (m, seeds) positive errors, or one sequence for each size.
        slope: the exponent to test.
        false_alarm: probability that a true law is refused by lack of fit or by a floor above 0, in equal parts with
            that of an A_0 taken for positive that is not. A law whose A_0 the draws do not show is not accepted either.
        most_terms: largest number of terms tried; also at most m - 2, for with a floor beside them m - 1 terms fit
            anything (but two where m is 3: such a ladder has little power).

    Raises:
        ValueError: sizes and errors that do not fit together, or no size with two seeds.
    """
    p, table = _validate(sizes, errors)
    seeds = np.array([row.size for row in table])
    spare = int(np.sum(seeds - 1))
    if spare < 1:
        raise ValueError("the test needs at least two seeds at some size")
    means = np.array([row.mean() for row in table])
    scatter = sum(float(np.sum((row / row.mean() - 1) ** 2)) for row in table) / spare
    if scatter == 0:
        raise ValueError("the errors do not vary between seeds: there is nothing to test against")
    spread = means * np.sqrt(scatter / seeds)
    terms = np.column_stack([p ** (slope - k / 2) for k in range(min(most_terms, max(2, p.size - 2), p.size - 1))])
    tried = [
        _check_curve(terms[:, :count], means, spread, spare, slope, false_alarm)
        for count in range(1, terms.shape[1] + 1)
    ]
    passed = [check for check in tried if check.compatible]
    if passed:
        good = (check for check in passed if check.lack_of_fit >= _GOOD_FIT)
        return next(good, max(passed, key=lambda check: check.lack_of_fit))
    return next((check for check in tried if check.fits), tried[-1])


def _check_curve(terms: Array, means: Array, spread: Array, spare: int, slope: float, false_alarm: float) -> RateCheck:
    """The test of one curve, whose terms are the columns: their amplitudes, lack of fit, and a floor beside them."""
    size, count = terms.shape
    significance = false_alarm / 3
    quantile = float(t_distribution.ppf(1 - significance, spare))
    found, deviations, squares = _weighted(terms, means, spread)
    excess = size - count
    fit = float(f_distribution.sf(squares / excess, excess, spare))
    reach = quantile * deviations[0]
    interval = (float(found[0] - reach), float(found[0] + reach))
    with_floor, floor_deviations, _ = _weighted(np.column_stack([np.ones(size), terms]), means, spread)
    floor, floor_reach = float(with_floor[0]), quantile * float(floor_deviations[0])
    decays, fits, floor_free = interval[0] > 0, fit >= significance, floor - floor_reach <= 0
    return RateCheck(
        slope=slope,
        false_alarm=false_alarm,
        amplitudes=tuple(float(a) for a in found),
        amplitude_interval=interval,
        lack_of_fit=fit,
        floor=floor,
        floor_interval=(floor - floor_reach, floor + floor_reach),
        decays=decays,
        fits=fits,
        floor_free=floor_free,
        compatible=decays and fits and floor_free,
    )


#: Errors fall faster than claimed where at most this share of them, at the largest size, can be of the order claimed.
_TOO_LITTLE = 0.5
#: Errors below this are rounding: the kernels' own tolerance is 1e-12 an entry.
ROUNDING = 1e-8


def report_rate(
    sizes: ArrayLike,
    errors: Errors,
    rng: np.random.Generator,
    *,
    slope: float = -0.5,
    symbol: str = "p",
    level: float = 0.95,
    false_alarm: float = FALSE_ALARM,
    alternatives: Sequence[float] = (-0.25, -0.75, -1.0),
) -> RateReport:
    """Decide a rate by `check_rate`, with the slopes of `fit_rate`, and say how sharp the decision is.

    Args:
        sizes: (m,) distinct sizes.
        errors: (m, draws) errors, or one sequence for each size.
        rng: resamples the draws for the bootstrap.
        slope: the exponent to test.
        symbol: name of the size in the sentences.
        level: confidence level of the slopes' intervals.
        false_alarm: of the test, as for `check_rate`.
        alternatives: exponents that are put to the same test, to show its power.

    Raises:
        ValueError: sizes and errors that do not fit together.
    """
    rows = [np.atleast_1d(np.asarray(row, dtype=np.float64)) for row in np.asarray(errors, dtype=object)]
    largest = max((float(row.max(initial=0.0)) for row in rows), default=0.0)
    if rows and largest <= ROUNDING:
        sentence = f"the two kernels are equal to within rounding at every {symbol} (largest distance {largest:.1e})"
        return RateReport(None, None, (), "supported", sentence, "no rate can be read off rounding errors")
    if len(rows) < 3 or min(row.size for row in rows) < 2:
        sentence = f"a rate in {symbol} needs at least three sizes and two draws of each"
        return RateReport(None, None, (), "undecided", sentence, "nothing was fitted")
    fit = fit_rate(sizes, rows, rng, level=level)
    check = check_rate(sizes, rows, slope=slope, false_alarm=false_alarm)
    also = tuple(
        other for other in alternatives if check_rate(sizes, rows, slope=other, false_alarm=false_alarm).compatible
    )
    shown = (
        f"slope of log error against log {symbol} over {fit.sizes[0]:g}..{fit.sizes[-1]:g}: {fit.plain.slope:.3f} "
        f"[{fit.plain.interval[0]:.3f}, {fit.plain.interval[1]:.3f}], bootstrap over draws "
        f"[{fit.plain.bootstrap[0]:.3f}, {fit.plain.bootstrap[1]:.3f}] ({level:.0%})"
    )
    if fit.corrected is not None:
        low, high = fit.corrected.interval
        shown += f"; with one correction {fit.corrected.slope:.3f} [{low:.3f}, {high:.3f}]"
    count = len(check.amplitudes)
    law = f"{symbol}^({slope:g}) ({_law_terms(count, symbol)})"
    # How much of the errors at the largest size may be of the order claimed.
    share = check.amplitude_interval[1] * float(fit.sizes[-1]) ** slope / float(fit.means[-1])
    untold = check.fits and check.floor_free and share > _TOO_LITTLE
    faster = "may fall" if untold else "fall"
    reasons = (
        (check.fits, f"{law} does not fit (probability {check.lack_of_fit:.1e})"),
        (check.decays, f"A_0 is not shown positive: the errors {faster} faster than {symbol}^({slope:g})"),
        (check.floor_free, "a floor {:.3g} [{:.3g}, {:.3g}] is left".format(check.floor, *check.floor_interval)),
    )
    outcome = (
        f"{law}, fits (probability {check.lack_of_fit:.2g}) with A_0 > 0 and no floor"
        if check.compatible
        else "; ".join(reason for held, reason in reasons if not held)
    )
    verdict = "supported" if check.compatible else "undecided" if untold else "refuted"
    accepted = ", ".join(f"{other:g}" for other in also) or "none"
    limits = (
        f"A finite ladder shows no limit: nothing is said beyond {symbol} = {fit.sizes[-1]:g}. The largest floor that "
        f"the fit allows is {max(check.floor_interval[1], 0.0):.2g}. Other exponents that pass the same test: "
        f"{accepted} (of {', '.join(f'{other:g}' for other in alternatives)}). A slope's interval knows the scatter "
        "between draws and not the next order of the expansion, so it may exclude the limit's slope while the law fits."
    )
    return RateReport(fit, check, also, verdict, f"{shown}; {outcome}", limits)


def _law_terms(count: int, symbol: str) -> str:
    powers = ("", f" {symbol}^(-1/2)", f" {symbol}^(-1)", f" {symbol}^(-3/2)")
    return " + ".join(f"A_{k}{powers[k]}" for k in range(count))


def _weighted(design: Array, values: Array, spread: Array) -> tuple[Array, Array, float]:
    """Least squares with known standard deviations: coefficients, their deviations, chi square."""
    # Columns of unit length keep the normal equations well conditioned over the powers of p.
    scaled = design / spread[:, None]
    lengths = np.linalg.norm(scaled, axis=0)
    q, r = np.linalg.qr(scaled / lengths)
    target = values / spread
    inverse = np.linalg.inv(r)
    found = inverse @ (q.T @ target) / lengths
    deviations = np.linalg.norm(inverse, axis=1) / lengths
    return found, deviations, float(np.sum((target - scaled @ found) ** 2))


def _design(p: Array, corrections: int) -> Array:
    columns = [np.log(p), np.ones_like(p)]
    columns += [p ** (-k / 2) for k in range(1, corrections + 1)]
    return np.column_stack(columns)


def _fit_line(
    p: Array,
    table: list[Array],
    corrections: int,
    rng: np.random.Generator,
    level: float,
    resamples: int,
) -> FittedLine:
    logs = [np.log(row) for row in table]
    seeds = np.array([row.size for row in logs])
    sizes = np.repeat(p, seeds)
    values = np.concatenate(logs)
    design = _design(sizes, corrections)
    count = design.shape[1]
    degrees = values.size - count
    found, inverse_norms, squares = _weighted(design, values, np.ones_like(values))
    variance = squares / degrees if degrees else float("nan")
    error = float(inverse_norms[0] * np.sqrt(variance))
    reach = float(t_distribution.ppf((1 + level) / 2, degrees)) * error if degrees else float("inf")
    pure = sum(float(np.sum((row - row.mean()) ** 2)) for row in logs)
    spare, excess = values.size - p.size, p.size - count
    lack = float("nan")
    if spare > 0 and excess > 0 and pure > 0:
        lack = float(f_distribution.sf((squares - pure) / excess / (pure / spare), excess, spare))
    # The slope is linear in the values, so a bootstrap sample needs only its means at each size.
    weights = np.linalg.pinv(design)[0]
    by_size = np.array([weights[sizes == size].sum() for size in p])
    slopes = np.zeros(resamples)
    for row, weight in zip(logs, by_size, strict=True):
        slopes += weight * rng.choice(row, size=(resamples, row.size)).mean(axis=1)
    low, high = np.quantile(slopes, [(1 - level) / 2, (1 + level) / 2])
    slope = float(found[0])
    return FittedLine(
        slope=slope,
        standard_error=error,
        interval=(slope - reach, slope + reach),
        bootstrap=(float(low), float(high)),
        intercept=float(found[1]),
        corrections=tuple(float(b) for b in found[2:]),
        degrees=degrees,
        lack_of_fit=lack,
    )


def _validate(sizes: ArrayLike, errors: Errors) -> tuple[Array, list[Array]]:
    """Sizes ascending, and an array of errors for each."""
    p = np.asarray(sizes, dtype=np.float64)
    if p.ndim != 1 or p.size < 2 or not np.all(np.isfinite(p)) or np.any(p <= 0):
        raise ValueError("sizes must be at least two positive numbers")
    if np.unique(p).size != p.size:
        raise ValueError("sizes must be distinct")
    table = [np.atleast_1d(np.asarray(row, dtype=np.float64)) for row in np.asarray(errors, dtype=object)]
    if len(table) != p.size:
        raise ValueError(f"{p.size} sizes need as many rows of errors, got {len(table)}")
    for row in table:
        if row.ndim != 1 or row.size < 1 or not np.all(np.isfinite(row)) or np.any(row <= 0):
            raise ValueError("errors must be positive and finite, at least one for each size")
    order = np.argsort(p)
    return p[order], [table[k] for k in order]
