"""Evidence on what readouts learn: class means and variances of their outputs, and their errors, against the law.

Theory sheet, sections 9 and 10.  Every draw has training and fresh samples of the same mixture, and serves the true law
and all wrong ones.  Readouts do not see by what a kernel is multiplied, so that the four coefficients show up to a
factor.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
import sympy as sp
import threadpoolctl

from numerics.arrays import Array
from numerics.data import GaussianMixture
from numerics.equilibrium import solve_float
from numerics.experiments import Draw, Experiment, LearningStudy, Readout
from numerics.ledger.checks import Check, Plan, PlantedOutcome, Results, Task, by_size, ladder
from numerics.ledger.limits import LimitTest, figures, limit_test, limit_verdict, power_list, power_of
from numerics.ledger.witnesses import coefficients_of
from numerics.spectrum import Learned, LearningLaw, Population, class_targets, deq_rows
from theory.activations import resolve
from theory.claims import LearningChange, LearningTheory, Verdict, VerdictKind, learning_theories
from theory.kernels import PARTS, Kernel

__all__ = ["CHECKS", "learning_task"]

_CK, _NTK, _MATCHED, _FEATURES = "learning-ck", "learning-ntk", "learning-matched", "learning-features"
#: The data: classes that differ in size and trace.  A larger shift would make a longer series in p^(-1/2).
_MEANS, _SHIFT, _SHARES = 1.5, 4.0, (0.3, 0.7)
#: Fresh samples for each training sample, and where networks have to be solved for them.
_FRESH, _FRESH_NARROW = 2, 1
#: What is computed of every readout, and the highest power of p^(-1/2) that it is fitted with: the leverage, which
#: averages over all eigenvalues, scatters so little that one term more shows.
_NAMES = ("mean output 1", "mean output 2", "variance 1", "variance 2", "training mse", "leverage", "test error")
_ORDERS = (1, 1, 1, 1, 1, 2, 1)
#: The same of differences between two learners on the same samples: outputs that differ by little misjudge the same
#: samples, so that errors are not among them, and scatter so little that one term more shows.
_PAIRED, _PAIRED_ORDER = _NAMES[:6], 2
#: What the wrong theories are tried on beside ReLU: alpha_2 and alpha_3 count where alpha_1 is small.
_PLANTED_ACTIVATIONS = ("relu", "Abs(x) + x/5")
#: Relative change of a number by which its effect is found, and the numbers besides the coefficients.
_CHANGE = 0.01
_PENALTY, _FEEDBACK = "penalty", "s^2"


@dataclass(frozen=True)
class _Case:
    """What is drawn.

    Attributes:
        activation: registered name, or an expression in x.
        sigma_a2: variance of the recurrent weights, as text that is an exact number.
        sigma_b2: variance of the input weights, as text.
        kernel: what is learned on.
        readouts: kind and value of each.
        learners: of ``numerics.experiments.LEARNERS``.
        narrow: whether networks of as many neurons as samples are drawn, or their kernel is the exact one.
    """

    activation: str
    sigma_a2: str
    sigma_b2: str
    kernel: str = "ck"
    readouts: tuple[tuple[Any, float], ...] = (("ridge", 0.3),)
    learners: tuple[str, ...] = ("deq",)
    narrow: bool = False

    @property
    def arguments(self) -> dict[str, Any]:
        """Its fields as plain JSON values."""
        return {**vars(self), "readouts": [list(one) for one in self.readouts], "learners": list(self.learners)}

    @property
    def weights(self) -> tuple[float, float]:
        """sigma_a^2 and sigma_b^2 in float64."""
        return float(sp.Rational(self.sigma_a2)), float(sp.Rational(self.sigma_b2))

    def study(self, p: int, seed: int = 0) -> LearningStudy:
        """The learners in dimension p."""
        weights = self.weights
        data = Experiment((), *weights, means=_MEANS, cov_shift=_SHIFT, proportions=_SHARES, seed=seed)
        width = data.mixture(p).samples if self.narrow else None
        return LearningStudy(data, resolve(self.activation).with_parameters({}), Kernel.read(self.kernel), p, width)

    def subject(self, learner: str, number: int) -> str:
        """What verdicts on a readout are headed by."""
        kind, value = self.readouts[number]
        layer = ", one layer" if learner == "naive" else ""
        width = ", M = n" if self.narrow else ""
        return f"{self.activation}{layer}{width}, {kind} {value:g}"


def _of_plan(plan: Plan, activation: str) -> _Case:
    """A DEQ with the weights that are asked for."""
    return _Case(activation, plan.sigma_a2, plan.sigma_b2)


def learning_task(
    activation: str, sigma_a2: str, sigma_b2: str, kernel: str, readouts: Sequence[tuple[Any, float]],
    learners: Sequence[str], narrow: bool, p: int, index: int, seed: int,
) -> dict[str, Any]:  # fmt: skip
    """Draw samples (and networks), and return what is computed of every readout, by learner.

    Args:
        activation: registered name, or an expression in x.
        sigma_a2: variance of the recurrent weights, as text.
        sigma_b2: variance of the input weights, as text.
        kernel: what is learned on.
        readouts: kind and value of each.
        learners: of ``numerics.experiments.LEARNERS``.
        narrow: whether networks of as many neurons as samples are drawn.
        p: dimension.
        index: number of the draw.
        seed: root seed; with p and the index it fixes the draw.

    Raises:
        EquilibriumError: no stable equilibrium.
        KernelConvergenceError: an entry of an exact kernel has no stable fixed point.
        NoMatchError: no matched network.
        NonConvergenceError: a network has no equilibrium that the iteration reaches.
    """
    wanted = tuple((kind, float(value)) for kind, value in readouts)
    study = _Case(activation, sigma_a2, sigma_b2, kernel, wanted, tuple(learners), narrow).study(p, seed)
    chosen = [Readout(*one) for one in wanted]
    tests = (_FRESH_NARROW if narrow else _FRESH) * study.mixture.samples
    drawn = study.draw(index, dict.fromkeys(learners, chosen), tests)
    return {"learned": {learner: _measured(drawn, learner) for learner in learners}}


def _measured(drawn: Draw, learner: str) -> list[list[float]]:
    """The numbers of ``_NAMES`` of every readout."""
    targets = class_targets(2)[:, 0]
    fresh, train = drawn.labels
    found = []
    for fitted in drawn.fitted[learner]:
        outputs = fitted.fresh[:, 0]
        classes = [outputs[fresh == a] for a in range(2)]
        mse = np.mean((fitted.train[:, 0] - targets[train]) ** 2)
        error = np.mean(np.sign(outputs) != targets[fresh])
        moments = [*(one.mean() for one in classes), *(one.var(ddof=1) for one in classes)]
        found.append([*map(float, moments), float(mse), fitted.leverage, float(error)])
    return found


# --- what a theory predicts ----------------------------------------------------------------------


def _numbers(learned: Learned) -> Array:
    """The numbers of ``_NAMES``."""
    test = learned.test
    parts = test.mean[:, 0], test.covariance[:, 0, 0], [learned.train.mse], [test.shares @ learned.leverage]
    return np.concatenate([*parts, [test.error]])


@lru_cache(maxsize=4096)
def _predicted(
    theory: LearningTheory, case: _Case, learner: str, number: int, p: int, part: str = "", change: float = 0.0
) -> tuple[float, ...]:
    """The numbers of ``_NAMES`` by a theory, with one of its own numbers changed or not.

    Args:
        theory: right or wrong.
        case: what is drawn.
        learner: whose readout; the matched network has the DEQ's law.
        number: of the readout.
        p: dimension.
        part: attribute of ``KernelCoefficients``, "penalty" or "s^2", or an empty string.
        change: relative change of it.
    """
    study = case.study(p)
    kind, value = case.readouts[number]
    value *= float(theory.penalty) * (1 + change * (part == _PENALTY))
    population = _population(study.mixture, theory.change)
    if learner == "naive" or theory.change is LearningChange.NAIVE:
        coefficients = study.coefficients("naive")
    else:
        coefficients = coefficients_of(theory.equivalent, case.activation, *case.weights, population.tau0)
    feedback = 0.0
    if case.narrow and learner == "deq":
        rows = deq_rows(population, study.deq, solve_float(study.deq).checked(), population.samples)
        if theory.change is not LearningChange.INFINITE_WIDTH:
            population, coefficients, feedback = rows.population, rows.coefficients, rows.feedback
    if part in PARTS:
        coefficients = replace(coefficients, **{part: (1 + change) * getattr(coefficients, part)})
    if part == _FEEDBACK:
        feedback *= float(np.sqrt(1 + change))
    if theory.change is LearningChange.UNTIED:
        feedback = 0.0
    with threadpoolctl.threadpool_limits(limits=1):
        law = LearningLaw(population, coefficients)
        if case.narrow and theory.change is not LearningChange.INFINITE_WIDTH:
            learned = law.features(value, population.samples, feedback)
        elif kind == "time":
            learned = law.flow(value)
        else:
            learned = law.ridge(value, _fresh_shifts(population, theory.change))
    return tuple(map(float, _numbers(learned)))


def _population(mixture: GaussianMixture, change: LearningChange | None) -> Population:
    if change is LearningChange.SIZES_SWAPPED:
        mixture = replace(mixture, sizes=mixture.sizes[::-1])
    found = Population.from_mixture(mixture)
    if change is LearningChange.T_ABSENT:
        found = replace(found, T=np.zeros_like(found.T))
    if change is LearningChange.PSI_ABSENT:
        found = replace(found, norm_energies=np.zeros_like(found.norm_energies))
    if change is LearningChange.TRACE_ABSENT:
        found = replace(found, t=np.zeros_like(found.t))
    return found


def _fresh_shifts(population: Population, change: LearningChange | None) -> Array | None:
    """t of the fresh samples by a theory that centres them in another way."""
    if change is LearningChange.FRESH_ALONE:
        return np.zeros_like(population.t)
    if change is LearningChange.FRESH_EVEN:
        return np.asarray(population.t - population.t.mean())
    return None


# --- tests ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Measured:
    """What was measured of one readout, to put theories to the test.

    Attributes:
        case: what was drawn.
        learner: whose readout.
        number: of the readout.
        rows: by p, (draws, W) array of the numbers of ``_NAMES``.
        level: of the tests.
        beside: the learner whose numbers on the same draws are subtracted, or "".
    """

    case: _Case
    learner: str
    number: int
    rows: Mapping[int, Array]
    level: float
    beside: str = ""

    @property
    def subject(self) -> str:
        """What verdicts on it are headed by."""
        return self.case.subject(self.learner, self.number)

    def predicted(self, theory: LearningTheory, p: int, part: str = "") -> Array:
        """By a theory, with one of its numbers changed by `_CHANGE` or not."""
        change = _CHANGE if part else 0.0
        found = np.array(_predicted(theory, self.case, self.learner, self.number, p, part, change))
        if self.beside:
            found -= _predicted(learning_theories(_MATCHED)["true"], self.case, self.beside, self.number, p)
        return found

    def test(self, theory: LearningTheory, part: str = "") -> LimitTest:
        """Whether measured less predicted tends to 0."""
        names, orders = (_PAIRED, [_PAIRED_ORDER] * len(_PAIRED)) if self.beside else (_NAMES, _ORDERS)
        values = [(rows - self.predicted(theory, p, part))[:, : len(names)] for p, rows in self.rows.items()]
        # The leverage of networks scatters more than that of exact kernels.
        most = len(values) - (3 if self.case.narrow else 2)
        orders = [min(order, max(most, 1)) for order in orders]
        return limit_test(names, list(self.rows), values, order=orders, level=self.level)

    def power(self, theory: LearningTheory, test: LimitTest, parts: Sequence[str]) -> dict[str, float | None]:
        """Smallest relative change of each number that is detected with probability 0.9."""
        return power_of(test, lambda part: self.test(theory, part), _CHANGE, parts)


def _ladder(plan: Plan, case: _Case) -> list[Task]:
    """Half the sizes of the spectra; networks have their own, and below the full profile half as many draws."""
    profile = plan.profile
    if case.narrow:
        share = 1 if profile.name == "full" else 2
        sizes, draws = profile.law_sizes, tuple(-(-count // share) for count in profile.law_draws)
    else:
        sizes, draws = tuple(p // 2 for p in profile.spectrum_sizes), profile.spectrum_draws
    return ladder(learning_task, {**case.arguments, "seed": plan.seed}, sizes, draws, cost=20.0)


def _read(
    plan: Plan, results: Results, case: _Case, learner: str = "deq", number: int = 0, level: float | None = None
) -> _Measured:
    found = by_size(_ladder(plan, case), lambda task: results[task.name]["learned"][learner][number])
    rows = {p: np.array(values) for p, values in found.items()}
    return _Measured(case, learner, number, rows, plan.profile.level if level is None else level)


def _verdict(claim: str, measured: _Measured, parts: Sequence[str], activation: str) -> Verdict:
    true = learning_theories(claim)["true"]
    test = measured.test(true)
    last = max(measured.rows)
    errors = measured.rows[last][:, -1]
    before = (
        f"at p = {last} the test error is predicted {measured.predicted(true, last)[-1]:.3g}, measured "
        f"{errors.mean():.3g} +- {errors.std(ddof=1) / np.sqrt(errors.size):.1g}; "
    )
    power = measured.power(true, test, parts)
    return limit_verdict(claim, measured.subject, test, power, activation=activation, before=before)


def _outcome(theory: LearningTheory, claim: str, tried: Iterable[_Measured]) -> PlantedOutcome:
    """What the draws say of a wrong theory, of the readout that says most."""
    true = learning_theories(claim)["true"]
    found = []
    for measured in tried:
        base, test = measured.test(true), measured.test(theory)
        by = f"{test.names[test.worst]}, {measured.subject}"
        seen = base.detectable(test.limits - base.limits)
        found.append(PlantedOutcome(theory, test.refuted, by, float(test.scores[test.worst]), seen))
    best = max(found, key=lambda one: (one.refuted, abs(one.score)))
    return replace(best, detectable=min(one.detectable for one in found))


def _outcomes(claim: str, tried: Sequence[_Measured]) -> list[PlantedOutcome]:
    return [_outcome(theory, claim, tried) for name, theory in learning_theories(claim).items() if name != "true"]


# --- exact kernels -------------------------------------------------------------------------------


def _kernel_case(plan: Plan, claim: str, activation: str) -> _Case:
    if claim == _CK:
        return _of_plan(plan, activation)
    return replace(_of_plan(plan, activation), kernel="ntk-recurrent", readouts=(("ridge", 0.3), ("time", 2.0)))


def _kernel_names(plan: Plan, claim: str) -> tuple[str, ...]:
    """The activations that decide; for the NTK one, unless the user gives others."""
    return plan.rate_activations if claim == _CK or plan.activations else plan.rate_activations[:1]


def _kernel_tasks(plan: Plan, claim: str) -> list[Task]:
    names = _kernel_names(plan, claim) if plan.activations else (*_kernel_names(plan, claim), *_PLANTED_ACTIVATIONS)
    return [task for name in dict.fromkeys(names) for task in _ladder(plan, _kernel_case(plan, claim, name))]


def _judge_kernel(plan: Plan, results: Results, claim: str) -> list[Verdict]:
    verdicts = []
    for name in _kernel_names(plan, claim):
        case = _kernel_case(plan, claim, name)
        for number, (kind, _) in enumerate(case.readouts):
            parts = (*PARTS, _PENALTY) if kind == "ridge" else PARTS
            verdicts.append(_verdict(claim, _read(plan, results, case, number=number), parts, name))
    return verdicts


def _planted_kernel(plan: Plan, results: Results, claim: str) -> Sequence[PlantedOutcome]:
    if plan.activations:
        return ()
    level = plan.profile.level / len(_PLANTED_ACTIVATIONS)
    cases = [_kernel_case(plan, claim, name) for name in _PLANTED_ACTIVATIONS]
    return _outcomes(claim, [_read(plan, results, case, level=level) for case in cases])


def _kernel_check(claim: str) -> Check:
    return Check(
        (claim,),
        lambda plan: _kernel_tasks(plan, claim),
        lambda plan, results: _judge_kernel(plan, results, claim),
        lambda plan, results: _planted_kernel(plan, results, claim),
    )


# --- features ------------------------------------------------------------------------------------


def _feature_cases(plan: Plan) -> list[tuple[_Case, str]]:
    """Networks, and whose features are learned on; the first is what wrong theories are tried on."""
    ridge = (("ridge", 0.02),)
    if plan.activations:
        chosen = [replace(_of_plan(plan, name), readouts=ridge, narrow=True) for name in plan.activations]
        return [(case, "deq") for case in chosen]
    tanh = _Case("tanh", "4/5", "1/5", readouts=ridge, narrow=True)
    if plan.profile.name == "quick":
        return [(tanh, "deq")]
    both = replace(tanh, learners=("deq", "naive"))
    return [(both, "deq"), (both, "naive"), (_Case("relu", "1/2", "1/2", readouts=ridge, narrow=True), "deq")]


def _feature_tasks(plan: Plan) -> list[Task]:
    cases = dict.fromkeys(case for case, _ in _feature_cases(plan))
    return [task for case in cases for task in _ladder(plan, case)]


def _judge_features(plan: Plan, results: Results) -> list[Verdict]:
    verdicts = []
    for case, learner in _feature_cases(plan):
        measured = _read(plan, results, case, learner)
        parts = (*PARTS, _PENALTY) if learner == "naive" else (*PARTS, _PENALTY, _FEEDBACK)
        verdicts.append(_verdict(_FEATURES, measured, parts, case.activation if plan.activations else ""))
    return verdicts


def _planted_features(plan: Plan, results: Results) -> Sequence[PlantedOutcome]:
    if plan.activations:
        return ()
    return _outcomes(_FEATURES, [_read(plan, results, _feature_cases(plan)[0][0])])


# --- the matched network -------------------------------------------------------------------------


def _matched_case(plan: Plan, activation: str) -> _Case:
    return replace(_of_plan(plan, activation), learners=("deq", "matched", "naive"))


def _matched_names(plan: Plan) -> tuple[str, ...]:
    """The user's activations, or two: designs take their time."""
    return plan.activations or plan.rate_activations[:2]


def _less_deq(plan: Plan, results: Results, activation: str, learner: str) -> _Measured:
    """What a network learns less what the DEQ learns from the same samples."""
    case = _matched_case(plan, activation)
    network, deq = (_read(plan, results, case, one) for one in (learner, "deq"))
    return replace(network, rows={p: rows - deq.rows[p] for p, rows in network.rows.items()}, beside="deq")


def _judge_matched(plan: Plan, results: Results) -> list[Verdict]:
    return [_matched(plan, results, name) for name in _matched_names(plan)]


def _matched(plan: Plan, results: Results, activation: str) -> Verdict:
    theories = learning_theories(_MATCHED)
    true, naive = theories["true"], theories[f"{_MATCHED}: {LearningChange.NAIVE.value}"]
    matched, other = (_less_deq(plan, results, activation, learner) for learner in ("matched", "naive"))
    test, own = matched.test(true), other.test(naive)
    # The naive network by the law of the DEQ: a difference of 0.
    apart = replace(other, learner="deq").test(true)
    seen = own.detectable(apart.limits - own.limits)
    power = matched.power(true, test, (*PARTS, _PENALTY))
    kind = VerdictKind.SUPPORTED
    if test.refuted or own.refuted or (not apart.refuted and seen <= 1):
        kind = VerdictKind.REFUTED
    elif not apart.refuted:
        kind = VerdictKind.UNDECIDED
    last = max(matched.rows)
    gaps = [rows[:, -1] for rows in (matched.rows[last], other.rows[last])]
    shown = [f"{gap.mean():+.2g} +- {gap.std(ddof=1) / np.sqrt(gap.size):.1g}" for gap in gaps]
    why = (
        f"at p = {last} the test error of the matched network differs from the DEQ's by {shown[0]}, that of one layer "
        f"of its activation by {shown[1]}; of the matched network {test.sentence()}; of the other, by the DEQ's law, "
        f"{apart.sentence()}, and by its own law {own.sentence()}; would detect: {power_list(power)}"
    )
    why += "" if kind is not VerdictKind.UNDECIDED else "; missing: more draws, to tell the other network apart"
    return Verdict(_MATCHED, activation, kind, why, figures(test) | {"power": dict(power)}, activation)


def _planted_matched(plan: Plan, results: Results) -> Sequence[PlantedOutcome]:
    if plan.activations:
        return ()
    return _outcomes(_MATCHED, [_less_deq(plan, results, name, "matched") for name in _matched_names(plan)])


CHECKS = (
    _kernel_check(_CK),
    _kernel_check(_NTK),
    Check(
        (_MATCHED,),
        lambda plan: [task for name in _matched_names(plan) for task in _ladder(plan, _matched_case(plan, name))],
        _judge_matched,
        _planted_matched,
    ),
    Check((_FEATURES,), _feature_tasks, _judge_features, _planted_features),
)
