"""Are two classifiers equivalent?  Two one-sided tests on paired resamplings, with a control that must fail them.

The difference in accuracy of two models on the same test samples is D = mean of d_i, d_i in {-1, 0, 1}.  Equivalence
is accepted where both H0: D <= -margin and H0: D >= margin are rejected at the level (Schuirmann 1987), that is where
the (1 - 2 level) interval lies within the margin, and where an upper bound of their disagreement at the same level is
within its limit.  Acceptance needs all of them, so that it is wrong with probability at most the level.

One training set, exact kernels.  Test samples are resampled, the same ones for all models.  A bootstrap does not see
what no sample showed: with few disagreements its interval is too short.  So the score test of a difference of paired
proportions (Tango 1998), whose variance is the one at the margin, must reject too; and the disagreement has an exact
binomial bound (Clopper and Pearson 1934).

Draws of random features.  Draws and test samples are both resampled (the pigeonhole bootstrap of Owen 2007, which errs
on the side of too wide), and as draws are few, the interval is Student's with their number less one degrees of freedom.
The margin is what a DEQ drawn anew differs from itself by: a lower confidence bound of that standard deviation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import beta, chi2, norm, t

from numerics.arrays import Array
from theory.claims import VerdictKind

__all__ = [
    "DISAGREEMENT",
    "FEWEST_DRAWS",
    "LEVEL",
    "MARGIN",
    "EquivalenceTest",
    "EquivalenceVerdict",
    "compare_draws",
    "compare_predictions",
    "judge_equivalence",
]

#: A quarter of a point of accuracy, half a percent of the test samples, and the level, of the issue's protocol.
MARGIN, DISAGREEMENT, LEVEL = 0.0025, 0.005, 0.05
#: Draws of weights whose spread can be told.
FEWEST_DRAWS = 3
_RESAMPLINGS = 2000
#: Numbers of resampled weights in memory at a time.
_CHUNK = 1 << 22


@dataclass(frozen=True)
class EquivalenceTest:
    """The comparison of one model with the reference.

    Attributes:
        difference: accuracy of the reference less that of the model.
        low: lower end of the (1 - 2 level) interval of the difference.
        high: its upper end.
        margin: what the interval must lie within for equivalence.
        far: what it must lie beyond for a difference: the margin, or where that is estimated, its upper bound.
        score: larger p-value of the two one-sided score tests; nan for draws of features.
        disagreement: share of the test samples on which the predictions differ; for draws of features, that share less
            the one of the DEQ drawn anew.
        disagreement_low: lower bound of it at the level.
        disagreement_high: upper bound of it at the level.
        limit: what the upper bound must be within.
        level: of every bound.
        power: chance to accept models of no difference in accuracy with this spread, as far as the difference decides.
    """

    difference: float
    low: float
    high: float
    margin: float
    far: float
    score: float
    disagreement: float
    disagreement_low: float
    disagreement_high: float
    limit: float
    level: float
    power: float

    @property
    def equivalent(self) -> bool:
        """Whether equivalence is accepted."""
        within = -self.margin < self.low and self.high < self.margin
        return within and not self.score > self.level and self.disagreement_high <= self.limit

    @property
    def different(self) -> bool:
        """Whether a difference beyond the margin, or a disagreement beyond the limit, is established."""
        beyond = self.low >= self.far or self.high <= -self.far
        return beyond or self.disagreement_low > self.limit

    @property
    def sentence(self) -> str:
        """The figures, in points and percent."""
        return (
            f"{100 * self.difference:+.2f} points ({100 * self.low:+.2f} to {100 * self.high:+.2f}, margin "
            f"{100 * self.margin:.2f}), disagreement {100 * self.disagreement:.2f} % (at most "
            f"{100 * self.disagreement_high:.2f}, limit {100 * self.limit:.2f})"
        )


@dataclass(frozen=True)
class EquivalenceVerdict:
    """What the comparisons of a matched network and of a control say together.

    Attributes:
        kind: supported, refuted or undecided.
        evidence: one sentence with the figures that decide it.
        matched: of the network that is claimed to be equivalent.
        control: of one that is not.
    """

    kind: VerdictKind
    evidence: str
    matched: EquivalenceTest
    control: EquivalenceTest


def compare_predictions(
    reference: Any,
    others: Mapping[str, Any],
    truth: Any,
    rng: np.random.Generator,
    *,
    margin: float = MARGIN,
    limit: float = DISAGREEMENT,
    level: float = LEVEL,
    resamplings: int = _RESAMPLINGS,
) -> dict[str, EquivalenceTest]:
    """Compare models that were trained once, on resampled test samples, the same ones for all of them.

    Args:
        reference: (n,) array of predicted labels.
        others: (n,) arrays of predicted labels by name.
        truth: (n,) array of labels.
        rng: resamples.
        margin: of the difference in accuracy, a share.
        limit: of the disagreement, a share.
        level: of each one-sided test.
        resamplings: how many.

    Raises:
        ValueError: arrays of different lengths, or a number out of range.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> truth = rng.integers(0, 2, 20_000)
        >>> other = truth.copy()
        >>> other[:10] = 1 - other[:10]
        >>> compare_predictions(truth, {"other": other}, truth, rng)["other"].equivalent
        True
    """
    truth, reference = np.asarray(truth), np.asarray(reference)
    labels = {name: np.asarray(found) for name, found in others.items()}
    _check_shapes(truth.shape, [reference.shape, *(found.shape for found in labels.values())], 1)
    _check_numbers(margin, limit, level, resamplings)
    right = (reference == truth).astype(np.float64)
    # (n, models)
    differences = np.array([right - (found == truth) for found in labels.values()]).T
    means = _resampled_means(differences, rng, resamplings)
    tests = {}
    for name, difference, resampled in zip(labels, differences.T, means, strict=True):
        low, high = np.quantile(resampled, [level, 1 - level])
        score, at_margin = _score_test(difference, margin)
        count, n = int(np.count_nonzero(labels[name] != reference)), truth.size
        tests[name] = EquivalenceTest(
            difference=float(difference.mean()),
            low=float(low),
            high=float(high),
            margin=margin,
            far=margin,
            score=score,
            disagreement=count / n,
            disagreement_low=_binomial_bound(count, n, level, upper=False),
            disagreement_high=_binomial_bound(count, n, level, upper=True),
            limit=limit,
            level=level,
            power=_power(margin, max(float(difference.std()) / np.sqrt(n), at_margin), float(norm.ppf(1 - level))),
        )
    return tests


def compare_draws(
    reference: Any,
    redrawn: Any,
    others: Mapping[str, Any],
    truth: Any,
    rng: np.random.Generator,
    *,
    limit: float = DISAGREEMENT,
    level: float = LEVEL,
    resamplings: int = _RESAMPLINGS,
) -> dict[str, EquivalenceTest]:
    """Compare models of random features over draws of their weights, on the same test samples in every draw.

    The margin and the tests have half the level each: the margin is estimated.  The disagreement is that with the
    reference beyond the disagreement of the reference with itself drawn anew, draw by draw.

    Args:
        reference: (r, n) array of predicted labels of the DEQ, a draw in each row.
        redrawn: (r, n) array of those of the DEQ drawn anew.
        others: (r, n) arrays of predicted labels by name.
        truth: (n,) array of labels.
        rng: resamples.
        limit: of the disagreement, a share.
        level: of the whole.
        resamplings: how many.

    Raises:
        ValueError: fewer than 3 draws, arrays of different sizes, or a number out of range.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> truth = rng.integers(0, 2, 500)
        >>> noisy = [np.where(rng.random((8, 500)) < 0.1, 1 - truth, truth) for _ in range(3)]
        >>> compare_draws(noisy[0], noisy[1], {"other": noisy[2]}, truth, rng)["other"].margin > 0
        True
    """
    truth, reference, redrawn = np.asarray(truth), np.asarray(reference), np.asarray(redrawn)
    labels = {name: np.asarray(found) for name, found in others.items()}
    shape = (reference.shape[0], truth.size)
    _check_shapes(shape, [reference.shape, redrawn.shape, *(found.shape for found in labels.values())], FEWEST_DRAWS)
    _check_numbers(1.0, limit, level, resamplings)
    right = reference == truth
    margin, far = _noise_bounds(right.mean(axis=1) - (redrawn == truth).mean(axis=1), level / 2)
    # (r, n, models)
    differences = np.stack([right.astype(np.float64) - (found == truth) for found in labels.values()], axis=-1)
    means = _resampled_means_of_draws(differences, rng, resamplings)
    own = (redrawn != reference).mean(axis=1)
    tests = {}
    for position, (name, found) in enumerate(labels.items()):
        centre = float(differences[..., position].mean())
        # A bootstrap of r draws has (r - 1)/r of their variance.
        error = float(means[position].std()) * np.sqrt(shape[0] / (shape[0] - 1))
        quantile = float(t.ppf(1 - level / 2, shape[0] - 1))
        excess = (found != reference).mean(axis=1) - own
        reach = quantile * float(excess.std(ddof=1)) / np.sqrt(shape[0])
        tests[name] = EquivalenceTest(
            difference=centre,
            low=centre - quantile * error,
            high=centre + quantile * error,
            margin=margin,
            far=far,
            score=np.nan,
            disagreement=float(excess.mean()),
            disagreement_low=float(excess.mean()) - reach,
            disagreement_high=float(excess.mean()) + reach,
            limit=limit,
            level=level,
            power=_power(margin, error, quantile),
        )
    return tests


def judge_equivalence(matched: EquivalenceTest, control: EquivalenceTest) -> EquivalenceVerdict:
    """What both comparisons say: a network is equivalent only where a control is not, by the same test.

    Args:
        matched: of the network that is claimed to be equivalent.
        control: of one that is not, such as the naive network.

    Example:
        >>> test = EquivalenceTest(0, -0.001, 0.001, 0.0025, 0.0025, 0.01, 0.001, 0.0005, 0.002, 0.005, 0.05, 0.9)
        >>> judge_equivalence(test, test).kind.value
        'undecided'
    """
    said = f"matched: {matched.sentence}; control: {control.sentence}"
    if matched.different:
        return EquivalenceVerdict(VerdictKind.REFUTED, f"the matched network differs; {said}", matched, control)
    if not matched.equivalent:
        reason = f"equivalence is not shown (power {matched.power:.0%} where there is no difference)"
        return EquivalenceVerdict(VerdictKind.UNDECIDED, f"{reason}; {said}", matched, control)
    if control.equivalent:
        reason = "the control passes the same test, which therefore tells nothing"
        return EquivalenceVerdict(VerdictKind.UNDECIDED, f"{reason}; {said}", matched, control)
    reason = f"equivalent at level {matched.level:g}, and the control is not"
    return EquivalenceVerdict(VerdictKind.SUPPORTED, f"{reason}; {said}", matched, control)


def _resampled_means(differences: Array, rng: np.random.Generator, resamplings: int) -> Array:
    """Means over resampled test samples: (models, resamplings), paired over the models.

    Samples on which all models do alike are drawn together: how often each kind is drawn is multinomial.

    Args:
        differences: (n, models) array.
        rng: resamples.
        resamplings: how many.
    """
    n, models = differences.shape
    # A sample's differences, each -1, 0 or 1, are the digits of a number.
    numbers = (differences + 1) @ 3.0 ** np.arange(models)
    _, places, counts = np.unique(numbers, return_index=True, return_counts=True)
    return np.asarray((rng.multinomial(n, counts / n, size=resamplings) @ differences[places] / n).T)


def _resampled_means_of_draws(differences: Array, rng: np.random.Generator, resamplings: int) -> Array:
    """Means over resampled draws and test samples: (models, resamplings), paired over the models.

    Args:
        differences: (r, n, models) array.
        rng: resamples.
        resamplings: how many.
    """
    r, n, models = differences.shape
    found = np.empty((models, resamplings))
    step = max(1, _CHUNK // n)
    for start in range(0, resamplings, step):
        count = min(step, resamplings - start)
        samples = _shares(rng, count, n)
        rows = _shares(rng, count, r)
        for model in range(models):
            found[model, start : start + count] = np.einsum("bi,bi->b", rows @ differences[:, :, model], samples)
    return found


def _shares(rng: np.random.Generator, count: int, n: int) -> Array:
    """How often each of n things is drawn in n draws with replacement, as shares, shape (count, n)."""
    places = rng.integers(0, n, size=(count, n)) + n * np.arange(count)[:, None]
    return np.bincount(places.ravel(), minlength=count * n).reshape(count, n) / n


def _score_test(difference: Array, margin: float) -> tuple[float, float]:
    """The larger p-value of the score tests of D = -margin and D = margin, and the larger standard error of D there.

    With b samples of d = 1, c of d = -1 and the share q of c estimated under D = delta (Tango 1998),
    z = (b - c - n delta)/sqrt(n (2 q + delta - delta^2)).
    """
    n, first, second = difference.size, int(np.count_nonzero(difference > 0)), int(np.count_nonzero(difference < 0))
    p_values, errors = [], []
    # By symmetry D = -margin is D = margin with the models exchanged.
    for b, c in ((first, second), (second, first)):
        # The likelihood's root: 2 n q^2 + linear q + constant = 0.
        linear, constant = -b - c + (2 * n - b + c) * margin, -c * margin * (1 - margin)
        q = (np.sqrt(max(linear**2 - 8 * n * constant, 0.0)) - linear) / (4 * n)
        errors.append(float(np.sqrt((2 * q + margin - margin**2) / n)))
        p_values.append(float(norm.cdf(((b - c) / n - margin) / errors[-1])) if errors[-1] > 0 else 0.5)
    return max(p_values), max(errors)


def _binomial_bound(count: int, n: int, level: float, *, upper: bool) -> float:
    """The exact one-sided bound of a share."""
    if upper:
        return 1.0 if count == n else float(beta.ppf(1 - level, count + 1, n - count))
    return 0.0 if count == 0 else float(beta.ppf(level, count, n - count + 1))


def _noise_bounds(differences: Array, level: float) -> tuple[float, float]:
    """Lower and upper confidence bounds of the standard deviation of normal differences."""
    freedom = differences.size - 1
    low, high = np.sqrt(freedom / chi2.ppf([1 - level, level], freedom)) * differences.std(ddof=1)
    return float(low), float(high)


def _power(margin: float, error: float, quantile: float) -> float:
    """Chance that the interval lies within the margin where there is no difference, normal."""
    if error == 0:
        return 1.0 if margin > 0 else 0.0
    return max(0.0, 2 * float(norm.cdf(margin / error - quantile)) - 1)


def _check_shapes(wanted: tuple[int, ...], shapes: list[tuple[int, ...]], fewest: int) -> None:
    if any(shape != wanted for shape in shapes) or wanted[0] < fewest or 0 in wanted:
        raise ValueError(
            f"predictions must all have the shape {wanted}, with {fewest} rows or more: got "
            f"{', '.join(map(str, shapes))}"
        )


def _check_numbers(margin: float, limit: float, level: float, resamplings: int) -> None:
    if not (0 < margin <= 1 and 0 <= limit <= 1 and 0 < level < 0.5 and resamplings >= 100):
        raise ValueError(
            "a margin in (0, 1], a limit in [0, 1], a level in (0, 1/2) and at least 100 resamplings are accepted, "
            f"not {margin}, {limit}, {level} and {resamplings}"
        )
