"""Rates of convergence: what errors measured over a ladder of sizes and several seeds support.

A plain power law log e = c + s log p answers wrongly here, and with a narrow interval: the next order of
the expansion is of relative size p^(-1/2) with a large factor (the class means add terms such as
||mu||^4/p), so the slope at every size within reach differs from its limit.  `fit_rate` shows that slope,
without and with corrections to scaling.  `check_rate` asks the sharper question, whether the errors are

    e(p) = p^s (A_0 + A_1 p^(-1/2) + A_2 p^(-1) + ...)        for a slope s named beforehand,

with A_0 > 0 (no faster) and no floor F under it (no slower).  It is a test of compatibility: it exposes a floor or a
rate far off, but does not tell s from its neighbours.  A true law is refuted with at most the stated probability;
between that and "supported" lies "undecided", with what is missing.  For the exponent itself the intervals of
`fit_rate` are the answer, on data whose corrections are small (class means of norm 2 in place of 8), where the power
law passes its test of lack of fit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import f as f_distribution
from scipy.stats import t as t_distribution

from numerics.arrays import Array
from theory.claims import RateVerdict

__all__ = [
    "FALSE_ALARM",
    "ROUNDING",
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
        false_alarm: as `check_rate` was given it.
        amplitudes: (A_0, A_1, ...) of the curve that was chosen.
        amplitude_interval: (low, high) for A_0, each end one-sided at a third of the false alarms.
        lack_of_fit: probability that the means lie so far off the curve if it were right.
        floor: F when a constant is added to the same terms.
        floor_interval: (low, high) for F, each end one-sided at a third of the false alarms.
        decays: A_0 is above 0: the error falls no faster than p^slope.
        fits: the curve passes the test of lack of fit.
        floor_free: the interval of F reaches down to 0.
        compatible: all three.
        longest: number of terms of the longest curve, which alone can refute.
        shown_floor: what is left of F in the longest curve beyond chance and the next term: above 0 it refutes.
        share: the most of the error at the largest size that can be of the order p^slope, by the longest curve.
        detectable: the smallest floor that would be found with probability 0.9, as a share of the error, if the errors
            did not fall at all; 1 and more is no power.
        verdict: supported, refuted or undecided.
        missing: what would decide it, where it is undecided; otherwise empty.
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
    longest: int = 0
    shown_floor: float = 0.0
    share: float = 1.0
    detectable: float = float("inf")
    verdict: RateVerdict = RateVerdict.UNDECIDED
    missing: str = ""

    @property
    def faster(self) -> bool:
        """The errors fall faster than p^slope: too little of them can be of that order."""
        return self.share < _TOO_LITTLE

    def law(self, sizes: ArrayLike) -> Array:
        """Return the chosen curve p^slope (A_0 + A_1 p^(-1/2) + ...), (k,) array, at k sizes, (k,) array."""
        p = np.asarray(sizes, dtype=np.float64)
        return np.asarray(sum(a * p ** (self.slope - k / 2) for k, a in enumerate(self.amplitudes)))


@dataclass(frozen=True)
class RateReport:
    """What a ladder of errors says of a rate named beforehand, and what it cannot say.

    Attributes:
        fit: slope of log error against log size with its intervals, or None with too little data.
        check: test of the rate, or None with too little data.
        also_accepted: the other exponents that the same test accepts.
        verdict: supported, refuted, or undecided: the sentence says what is missing.
        sentence: the figures that decide it.
        limits: what these data cannot tell.
    """

    fit: RateFit | None
    check: RateCheck | None
    also_accepted: tuple[float, ...]
    verdict: RateVerdict
    sentence: str
    limits: str

    @property
    def faster(self) -> bool:
        """The errors are shown to fall faster than the rate named beforehand, and to leave no floor."""
        return (
            self.check is not None
            and self.verdict is RateVerdict.REFUTED
            and self.check.shown_floor <= 0
            and self.check.faster
        )


#: Probability with which `check_rate` refutes a true law, if nothing else is asked for.
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
#: Probability with which a floor is to be found before it is called detectable.
_POWER = 0.9
#: Errors fall faster than claimed where less than this share of them, at the largest size, can be of the order claimed.
_TOO_LITTLE = 0.2
#: More draws of every size than this are not asked for.
_MOST_DRAWS = 1000


def check_rate(
    sizes: ArrayLike,
    errors: Errors,
    *,
    slope: float = -0.5,
    false_alarm: float = FALSE_ALARM,
    most_terms: int = 3,
    needs_power: bool = True,
) -> RateCheck:
    """Test whether e(p) = p^slope (A_0 + A_1 p^(-1/2) + ...) for some number of terms, with A_0 > 0 and no floor.

    How many terms the errors need nobody knows. So a curve that does not fit is no evidence against the rate, nor is a
    floor that stands in for terms left out. The rate is refuted by the longest curve alone: by a floor in it beyond
    chance and beyond what the next term could have done, or by an A_0 that is too small. The next term is taken to be
    at most as large, at the smallest size, as the last one that is fitted (and its standard error). The rate is
    supported where a curve fits with A_0 > 0 and no floor, and the test would have refuted errors that do not fall.

    The scatter between seeds, relative to the error, is taken to follow a power law of the size; it alone sets the
    intervals, so at least two seeds are needed. How well it is known gives Student's t its degrees of freedom, by
    Satterthwaite. Of the curves that pass, the one with the fewest terms that fits well is returned, or the best;
    where none passes, the one with the fewest terms that fits, or the last.

    Args:
        sizes: (m,) p, distinct, at least two.
        errors: (m, seeds) positive errors, or one sequence for each size.
        slope: the exponent to test.
        false_alarm: probability that a true law is refuted, in equal parts by a floor and by an A_0 that is too small.
            True is a law of which at least a fifth of the error at the largest size is of the order p^slope.
        most_terms: largest number of terms tried; also at most m - 2, for with a floor beside them m - 1 terms fit
            anything (but two where m is 3: such a ladder has little power).
        needs_power: leave the rate undecided where errors that do not fall would not be refuted; False where the caller
            measures the power otherwise, as the ledger does by changing coefficients.

    Raises:
        ValueError: sizes and errors that do not fit together, or no size with two seeds.
    """
    p, table = _validate(sizes, errors)
    ladder = _Ladder.of(p, table)
    terms = np.column_stack([p ** (slope - k / 2) for k in range(most_terms + 1)])
    longest = min(most_terms, max(2, p.size - 2), p.size - 1)
    tried = [_check_curve(terms[:, :count], ladder, slope, false_alarm) for count in range(1, longest + 1)]
    passed = [check for check in tried if check.compatible]
    if passed:
        good = (check for check in passed if check.lack_of_fit >= _GOOD_FIT)
        chosen = next(good, max(passed, key=lambda check: check.lack_of_fit))
    else:
        chosen = next((check for check in tried if check.fits), tried[-1])
    return _decide(chosen, ladder, terms[:, : longest + 1], false_alarm, needs_power)


@dataclass(frozen=True)
class _Ladder:
    """Means over draws at every size, and how well they are known.

    Attributes:
        sizes: (m,) array, p.
        draws: (m,) array.
        means: (m,) array.
        relative: (m,) array, the standard deviation of one draw over the mean, smoothed over the sizes.
        places: (m, 2) array, the design of the law of log relative^2: 1 and log p.
        covariance: (2, 2) array, of that law's coefficients.
    """

    sizes: Array
    draws: Array
    means: Array
    relative: Array
    places: Array
    covariance: Array

    @classmethod
    def of(cls, p: Array, table: list[Array]) -> _Ladder:
        draws = np.array([row.size for row in table], dtype=np.float64)
        if draws.max() < 2:
            raise ValueError("the test needs at least two seeds at some size")
        means = np.array([row.mean() for row in table])
        squares = np.array([np.sum((row / row.mean() - 1) ** 2) for row in table])
        if not squares.max() > _SAME**2:
            raise ValueError("the errors do not vary between seeds: there is nothing to test against")
        variances, places, covariance = _smooth_variances(p, squares, draws - 1)
        return cls(p, draws, means, np.sqrt(variances), places, covariance)

    def fit(self, design: Array, values: Array) -> _Fit:
        """Fit values that scatter like these means, by weighted least squares."""
        spread = np.abs(values) * self.relative / np.sqrt(self.draws)
        found, estimator, squares = _weighted(design, values, spread)
        parts = (estimator * spread) ** 2
        deviations = np.sqrt(parts.sum(axis=1))
        excess = values.size - design.shape[1]
        scaled = design / spread[:, None]
        q, _ = np.linalg.qr(scaled / np.linalg.norm(scaled, axis=0))
        spare = 1 - np.sum(q**2, axis=1)
        lack = float("nan")
        if excess:
            lack = float(f_distribution.sf(squares / excess, excess, self.freedom(spare / excess)))
        freedoms = np.array([self.freedom(part) for part in parts / parts.sum(axis=1, keepdims=True)])
        return _Fit(found, deviations, freedoms, estimator, lack)

    def freedom(self, shares: Array) -> float:
        """Satterthwaite's degrees of freedom, 2/Var(log v), of a variance to which the sizes contribute in shares."""
        gradient = shares @ self.places
        return float(2 / (gradient @ self.covariance @ gradient))


@dataclass(frozen=True)
class _Fit:
    """Coefficients of a curve, their deviations and degrees of freedom, the map from means to them, lack of fit."""

    found: Array
    deviations: Array
    freedoms: Array
    estimator: Array
    lack_of_fit: float

    def reach(self, k: int, probability: float) -> float:
        """How far coefficient k may lie off, on one side, with a probability."""
        return float(t_distribution.isf(probability, self.freedoms[k]) * self.deviations[k])

    def allowance(self, k: int, following: Array, last: Array) -> float:
        """How much the next term may have moved coefficient k.

        Args:
            k: index of the coefficient.
            following: (m,) array, the next term's power of p, by ascending p.
            last: (m,) array, the last fitted one's.
        """
        largest = (abs(self.found[-1]) + self.deviations[-1]) * last[0]
        return float(largest / following[0] * abs(self.estimator[k] @ following))


#: Relative deviations below this are rounding.
_SAME = 1e-12


def _smooth_variances(p: Array, squares: Array, spare: Array) -> tuple[Array, Array, Array]:
    """Variances that follow a power law of p, which all sizes fix together, by maximum likelihood.

    With few draws a variance of its own for every size would be known too badly to weigh the means by, and one for all
    sizes would be wrong where large kernels scatter less. A weak prior keeps the exponent finite.

    Args:
        p: (m,) array, sizes.
        squares: (m,) array, sums of squared deviations: variance times chi square.
        spare: (m,) array, their degrees of freedom nu.

    Returns:
        (m,) variances, the (m, 2) design of their logarithms, and the covariance of its coefficients, from the
        information nu/2 that chi square holds on the log of a variance.
    """
    places = np.column_stack([np.ones_like(p), np.log(p) - np.average(np.log(p), weights=spare)])
    found = np.array([np.log(squares.sum() / spare.sum()), 0.0])
    prior = np.diag([0.0, _STEEPEST**-2])
    covariance = np.linalg.inv(places.T @ (places * spare[:, None] / 2) + prior)
    # The likelihood is strictly concave in the coefficients: Newton's steps, kept short, cannot miss.
    for _ in range(_STEPS):
        ratio = squares * np.exp(-places @ found)
        curvature = places.T @ (places * ratio[:, None] / 2) + prior
        step = np.linalg.solve(curvature, places.T @ (ratio - spare) / 2 - prior @ found)
        length = float(np.max(np.abs(places @ step)))
        found = found + step * min(1.0, 1.0 / length if length else 1.0)
        if length < _STILL:
            break
    else:
        raise ValueError("no power law of the size was found that the scatter between seeds follows")
    return np.asarray(np.exp(places @ found)), places, np.asarray(covariance)


#: Newton's steps, and when they have converged.
_STEPS, _STILL = 500, 1e-10
#: Standard deviation, before the draws are seen, of the exponent of p in the relative variance: draws that happen to be
#: equal at some size make no law infinitely steep.
_STEEPEST = 2.0


def _check_curve(terms: Array, ladder: _Ladder, slope: float, false_alarm: float) -> RateCheck:
    """The test of one curve, whose terms are the columns: their amplitudes, lack of fit, and a floor beside them."""
    significance = false_alarm / 3
    alone = ladder.fit(terms, ladder.means)
    reach, found = alone.reach(0, significance), alone.found
    beside = ladder.fit(np.column_stack([np.ones(len(terms)), terms]), ladder.means)
    floor, floor_reach = float(beside.found[0]), beside.reach(0, significance)
    decays, fits, floor_free = found[0] > reach, alone.lack_of_fit >= significance, floor <= floor_reach
    return RateCheck(
        slope=slope,
        false_alarm=false_alarm,
        amplitudes=tuple(float(a) for a in found),
        amplitude_interval=(float(found[0] - reach), float(found[0] + reach)),
        lack_of_fit=alone.lack_of_fit,
        floor=floor,
        floor_interval=(floor - floor_reach, floor + floor_reach),
        decays=bool(decays),
        fits=fits,
        floor_free=floor_free,
        compatible=bool(decays and fits and floor_free),
    )


def _decide(chosen: RateCheck, ladder: _Ladder, terms: Array, false_alarm: float, needs_power: bool) -> RateCheck:
    """Complete a check with what the longest curve shows, and the verdict.

    Args:
        chosen: the curve to return.
        ladder: means and their scatter.
        terms: (m, k + 1) array, the terms of the longest curve and the next one.
        false_alarm: half of it for a floor, half of it for an A_0 too small.
        needs_power: as for `check_rate`.
    """
    fitted, following = terms[:, :-1], terms[:, -1]
    last, half = fitted[:, -1], false_alarm / 2
    floored = np.column_stack([np.ones(len(terms)), fitted])
    beside = ladder.fit(floored, ladder.means)
    chance = beside.reach(0, half)
    excess = float(beside.found[0]) - beside.allowance(0, following, last)
    alone = ladder.fit(fitted, ladder.means)
    most = float(alone.found[0]) + alone.reach(0, half) + alone.allowance(0, following, last)
    share = most * terms[-1, 0] / float(ladder.means[-1])
    # What if the errors did not fall?
    level = ladder.fit(floored, np.ones(len(terms)))
    blind = 2 * level.allowance(0, following, last)
    noise = level.reach(0, half) + level.reach(0, 1 - _POWER)
    complete = replace(
        chosen, longest=fitted.shape[1], shown_floor=excess - chance, share=float(share), detectable=blind + noise
    )
    if chosen.compatible:
        if complete.detectable < 1 or not needs_power:
            return replace(complete, verdict=RateVerdict.SUPPORTED)
        # Both of its parts are chance, for the law that is tried here has no next terms.
        return replace(complete, missing=_missing(ladder, complete.detectable))
    if complete.shown_floor > 0 or complete.faster:
        return replace(complete, verdict=RateVerdict.REFUTED)
    # More draws help where chance hides a floor, or an A_0 above 0; next to lack of fit only further terms do.
    factor = float("inf")
    if chosen.fits and not chosen.floor_free and excess > 0:
        factor = chance / excess
    elif chosen.fits and chosen.floor_free and chosen.amplitudes[0] > 0:
        factor = (chosen.amplitude_interval[1] - chosen.amplitudes[0]) / chosen.amplitudes[0]
    return replace(complete, missing=_missing(ladder, factor))


def _missing(ladder: _Ladder, factor: float) -> str:
    """What is asked for: so many draws that errors of means shrink by a factor, or more sizes."""
    fewest = float(ladder.draws.min())
    wanted = fewest * factor**2
    if wanted < _MOST_DRAWS:
        return f"some {max(math.ceil(wanted), int(fewest) + 1)} draws of every size in place of {fewest:.0f}"
    count = max(4, ladder.sizes.size + 1)
    return f"at least {count} sizes in place of {ladder.sizes.size}, of which the largest is larger"


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
    needs_power: bool = True,
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
        needs_power: as for `check_rate`.

    Raises:
        ValueError: sizes and errors that do not fit together.
    """
    rows = [np.atleast_1d(np.asarray(row, dtype=np.float64)) for row in np.asarray(errors, dtype=object)]
    largest = max((float(row.max(initial=0.0)) for row in rows), default=0.0)
    if rows and largest <= ROUNDING:
        sentence = f"the two kernels are equal to within rounding at every {symbol} (largest distance {largest:.1e})"
        return RateReport(None, None, (), RateVerdict.SUPPORTED, sentence, "no rate can be read off rounding errors")
    if len(rows) < 3 or min(row.size for row in rows) < 2:
        sentence = f"a rate in {symbol} needs at least three sizes and two draws of each"
        return RateReport(None, None, (), RateVerdict.UNDECIDED, sentence, "nothing was fitted")
    if max(float(np.ptp(row)) / largest for row in rows) <= _SAME:
        sentence = f"the errors at every {symbol} do not vary between draws: there is no scatter to test a rate against"
        return RateReport(None, None, (), RateVerdict.UNDECIDED, sentence, "nothing was fitted")
    fit = fit_rate(sizes, rows, rng, level=level)
    check = check_rate(sizes, rows, slope=slope, false_alarm=false_alarm, needs_power=needs_power)
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
    law = f"{symbol}^({slope:g}) ({_law_terms(len(check.amplitudes), symbol)})"
    faster = "fall" if check.verdict is RateVerdict.REFUTED and check.faster else "may fall"
    reasons = (
        (check.fits, f"{law} does not fit (probability {check.lack_of_fit:.1e})"),
        (check.decays, f"A_0 is not shown positive: the errors {faster} faster than {symbol}^({slope:g})"),
        (
            check.floor_free and check.shown_floor <= 0,
            "the fit needs a constant of {:.3g} [{:.3g}, {:.3g}] under it".format(check.floor, *check.floor_interval),
        ),
    )
    outcome = (
        f"{law}, fits (probability {check.lack_of_fit:.2g}) with A_0 > 0 and no floor"
        if check.compatible
        else "; ".join(reason for held, reason in reasons if not held)
    )
    if check.compatible and check.verdict is RateVerdict.UNDECIDED:
        outcome += "; no power here: errors that did not fall at all would not be told from it"
    if check.missing:
        outcome += f"; missing: {check.missing}"
    accepted = ", ".join(f"{other:g}" for other in also) or "none"
    limits = (
        f"A finite ladder shows no limit: nothing is said beyond {symbol} = {fit.sizes[-1]:g}. The largest floor that "
        f"the fit allows is {max(check.floor_interval[1], 0.0):.2g}. Other exponents that pass the same test: "
        f"{accepted} (of {', '.join(f'{other:g}' for other in alternatives)}). A slope's interval knows the scatter "
        "between draws and not the next order of the expansion, so it may exclude the limit's slope while the law fits."
    )
    return RateReport(fit, check, also, check.verdict, f"{shown}; {outcome}", limits)


def _law_terms(count: int, symbol: str) -> str:
    powers = ("", f" {symbol}^(-1/2)", f" {symbol}^(-1)", f" {symbol}^(-3/2)")
    return " + ".join(f"A_{k}{powers[k]}" for k in range(count))


def _weighted(design: Array, values: Array, spread: Array) -> tuple[Array, Array, float]:
    """Least squares with known standard deviations: coefficients, the map from values to them, chi square."""
    # Columns of unit length keep the normal equations well conditioned over the powers of p.
    scaled = design / spread[:, None]
    lengths = np.linalg.norm(scaled, axis=0)
    q, r = np.linalg.qr(scaled / lengths)
    estimator = np.linalg.solve(r, q.T) / lengths[:, None] / spread
    found = estimator @ values
    return found, np.asarray(estimator), float(np.sum((values / spread - scaled @ found) ** 2))


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
    found, estimator, squares = _weighted(design, values, np.ones_like(values))
    variance = squares / degrees if degrees else float("nan")
    error = float(np.linalg.norm(estimator[0]) * np.sqrt(variance))
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
