"""Evidence on real data: what of the theory holds on images, and what does not.

Samples are drawn anew from a data set for every draw, and an error is its mean over the draws: a bound on it is
supported or refuted where the interval of Student's t at the profile's level lies on one side of the bound.  A data set
that is not on the machine is left out; where a claim has none, the claim is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import scipy.stats
import sympy as sp
import threadpoolctl

from numerics.arithmetic import pointwise
from numerics.arrays import Array
from numerics.data import (
    Dataset,
    GaussianMixture,
    Preprocessing,
    estimate_statistics,
    load_dataset,
    missing_dataset,
)
from numerics.equilibrium import solve_float
from numerics.equivalents import EntryPolynomial
from numerics.experiments import TRUSTED, Equivalent, EquivalentsOnData, diagnose, exact_kernel
from numerics.kernels import explicit_kernels, implicit_kernels
from numerics.ledger.checks import Check, Plan, PlantedOutcome, Results, Task
from numerics.ledger.rates import CHANGES, MAGNITUDES
from numerics.ledger.witnesses import coefficients_of
from numerics.linalg import gram_matrix, operator_norm
from numerics.matching import DEQKernels, design_for_data
from numerics.named import Normalisation
from numerics.released import PAIRS, main_networks, released_design
from theory.claims import Theory, Verdict, VerdictKind, planted_errors, true_theory
from theory.equations import DEQ
from theory.kernels import PARTS, Kernel
from theory.symbols import tau_0

__all__ = ["CHECKS", "missing_data"]

#: Data sets and the classes that are told apart.
_SETS = {"fashion-mnist": ("1", "9"), "mnist": ("6", "8")}
#: Claims that need one of them.
_CLAIMS = ("real-gbar", "real-second-order", "real-design", "real-accuracy")
#: Samples of a draw, and draws: of the full profile, and of the others.
_SAMPLES, _FULL_DRAWS, _DRAWS = 200, 12, 6
#: Bounds on relative errors, chosen after other draws of the same sets were seen.
_ENTRYWISE, _MATCHED, _PAIR = 0.02, 0.005, 0.02
#: sigma_a^2 and sigma_b^2 where one layer of the DEQ's activation, times a number, is no good match.
_DEEP = ("4/5", "1/5")
#: Samples of ten classes, and the share that is trained on.
_ACCURACY_SAMPLES, _TRAINED = 5000, 0.2
_MIXTURE = "mixture"
#: Coefficients that are 0 but for rounding.
_NOTHING = 1e-12


def missing_data() -> dict[str, str]:
    """By claim that needs data of which none is on this machine, how to get them."""
    sentences = [missing_dataset(name) for name in _SETS]
    return dict.fromkeys(_CLAIMS, "; ".join(sentences)) if all(sentences) else {}


def _activations(plan: Plan) -> tuple[str, ...]:
    """Of the claims on equivalents: the full profile has time for all."""
    return plan.rate_activations if plan.activations or plan.profile.name == "full" else ("relu",)


def _present() -> list[str]:
    return [name for name in _SETS if not missing_dataset(name)]


def _drawn(data: str, n: int, how: Normalisation, rng: np.random.Generator) -> Dataset:
    """Images of two classes, those of all samples of the split centred together."""
    found = load_dataset(data, test=data == "fashion-mnist").select(_SETS[data])
    return found.normalise(how).subsample(n, rng)


# --- a bound on a mean -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Bounded:
    """A mean against a bound.

    Attributes:
        values: one a draw.
        bound: of the mean.
        level: of each side.
    """

    values: Sequence[float]
    bound: float
    level: float

    @property
    def mean(self) -> float:
        return float(np.mean(self.values))

    @property
    def error(self) -> float:
        return float(np.std(self.values, ddof=1) / np.sqrt(len(self.values)))

    @property
    def score(self) -> float:
        """Distance from the bound in standard errors."""
        return (self.mean - self.bound) / max(self.error, 1e-300)

    @property
    def kind(self) -> VerdictKind:
        """Whether the mean is below the bound."""
        reach = float(scipy.stats.t.ppf(1 - self.level, len(self.values) - 1))
        if abs(self.score) <= reach:
            return VerdictKind.UNDECIDED
        return VerdictKind.SUPPORTED if self.score < 0 else VerdictKind.REFUTED

    @property
    def sentence(self) -> str:
        return (
            f"{100 * self.mean:.2g} +- {100 * self.error:.1g} % of the kernel's norm over {len(self.values)} draws, "
            f"bound {100 * self.bound:g} %"
        )


def _tasks(plan: Plan, function: Any, data: Sequence[str], activations: Sequence[str], cost: float) -> list[Task]:
    return [
        Task(function, {"data": name, "activation": each, **plan.weights, "index": index, "seed": plan.seed}, cost)
        for name in data
        for each in activations
        for index in range(_FULL_DRAWS if plan.profile.name == "full" else _DRAWS)
    ]


def _by_subject(tasks: Sequence[Task], results: Results) -> dict[tuple[str, str], list[Mapping[str, Any]]]:
    """Results of the draws by data set and activation."""
    found: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for task in tasks:
        found.setdefault((task.arguments["data"], task.arguments["activation"]), []).append(results[task.name])
    return found


def _each(rows: Sequence[Mapping[str, Any]], *keys: str) -> list[Any]:
    """One figure of every draw."""
    values: list[Any] = []
    for row in rows:
        value: Any = row
        for key in keys:
            value = value[key]
        values.append(value)
    return values


def _bounded(rows: Sequence[Mapping[str, Any]], bound: float, plan: Plan, *keys: str) -> _Bounded:
    return _Bounded(_each(rows, *keys), bound, plan.profile.level)


# --- Gbar, and the entrywise equivalent ------------------------------------------------------------------------------


def gbar_task(data: str, activation: str, sigma_a2: str, sigma_b2: str, index: int, seed: int) -> dict[str, Any]:
    """Gbar's relative error on centred images or on a mixture of as many dimensions, and what explains it."""
    with threadpoolctl.threadpool_limits(limits=1):
        rng = np.random.default_rng([seed, index])
        if data == _MIXTURE:
            drawn = GaussianMixture.released_experiment(784, ratio=_SAMPLES / 784).sample(rng)
            samples, labels = drawn.data.T, drawn.statistics().indicator.argmax(axis=1)
        else:
            found = _drawn(data, _SAMPLES, "center", rng)
            samples, labels = found.samples, found.labels
        on_data, exact = _on_data(samples, labels, activation, (sigma_a2, sigma_b2))
        errors = {
            name: _relative(exact, on_data.matrix(each), rng)
            for name, each in (("error", Equivalent.GBAR), ("with_means", Equivalent.WITH_MEANS))
        }
        diagnostics = diagnose(samples, labels, on_data.gram, on_data.statistics)
        dimensions, share = diagnostics.effective_dimension.tolist(), diagnostics.mean_energy_share
        return {**errors, "dimensions": dimensions, "share": share}


def entrywise_task(data: str, activation: str, sigma_a2: str, sigma_b2: str, index: int, seed: int) -> dict[str, Any]:
    """The entrywise equivalent's relative error on images of norm 1, also with its numbers changed, and Gbar's.

    It is the larger of that in operator norm and that of the diagonal, which images hide: their kernels have a norm of
    order n, and a multiple of I has not.
    """
    with threadpoolctl.threadpool_limits(limits=1):
        rng = np.random.default_rng([seed, index])
        found = _drawn(data, _SAMPLES, "sample", rng)
        on_data, exact = _on_data(found.samples, found.labels, activation, (sigma_a2, sigma_b2))
        four, tau0 = on_data.solution.kernel(Kernel.CK), on_data.statistics.tau0_empirical
        # An odd activation has no terms of second order.
        odd = abs(four.square) < _NOTHING
        right = on_data.matrix(Equivalent.THIRD_ORDER if odd else Equivalent.SECOND_ORDER)
        plain = EntryPolynomial.of_four(four).matrix(on_data.gram, tau0)

        def error(changed: Any) -> float:
            """Of four other numbers, the rest being as it is."""
            other = right + EntryPolynomial.of_four(changed).matrix(on_data.gram, tau0) - plain
            return max(_relative(exact, other, rng), _diagonal_error(exact, other))

        changed = {
            part: [error(replace(four, **{part: (1 + c) * getattr(four, part)})) for c in CHANGES]
            for part in PARTS
            if abs(getattr(four, part)) > _NOTHING
        }
        weights = float(sp.Rational(sigma_a2)), float(sp.Rational(sigma_b2))
        planted = {
            name: error(coefficients_of(theory, activation, *weights, tau0))
            for name, theory in _wrong_coefficients().items()
        }
        return {
            "error": error(four),
            "changed": changed,
            "planted": planted,
            "gbar": _relative(exact, on_data.matrix(Equivalent.GBAR), rng),
            "odd": odd,
        }


def _on_data(samples: Array, labels: Any, activation: str, weights: tuple[str, str]) -> tuple[EquivalentsOnData, Array]:
    """Everything that stands in for the CK of some samples, and the CK."""
    gram, statistics = gram_matrix(samples.T), estimate_statistics(samples.T, labels)
    deq = DEQ(activation, *weights, statistics.tau0_empirical)
    solution, numbers = solve_float(deq).checked(), (float(deq.sigma_a2), float(deq.sigma_b2))
    on_data = EquivalentsOnData(gram, statistics, labels, solution, pointwise(deq.activation), numbers, Kernel.CK)
    return on_data, exact_kernel(Kernel.CK, deq, solution, gram)[0]


def _relative(kernel: Array, other: Array, rng: np.random.Generator) -> float:
    return operator_norm(kernel - other, rng).value / operator_norm(kernel, rng).value


def _diagonal_error(kernel: Array, other: Array) -> float:
    diagonal = np.diagonal(kernel)
    return float(np.abs(diagonal - np.diagonal(other)).mean() / diagonal.mean())


def _wrong_coefficients() -> dict[str, Theory]:
    """Wrong formulas of the CK that samples of norm tau_0 = 1 show.

    The coefficient of the norms' fluctuations has nothing to act on there, and numbers off by a factor are what the
    power is about.
    """
    right = true_theory("ck").coefficients.map(_at_unit_scale)
    found = {}
    for name, theory in planted_errors().items():
        if theory.kernel is Kernel.CK and not theory.statistics and not name.startswith("ck "):
            wrong = theory.coefficients.map(_at_unit_scale)
            if any(getattr(wrong, part) != getattr(right, part) for part in PARTS if part != "variance"):
                found[name] = theory
    return found


def _at_unit_scale(expression: sp.Expr) -> sp.Expr:
    return expression.subs(tau_0, 1)


def _gbar_tasks(plan: Plan) -> list[Task]:
    return _tasks(plan, gbar_task, [*_present(), _MIXTURE], _activations(plan), 1e6) if _present() else []


def _judge_gbar(plan: Plan, results: Results) -> list[Verdict]:
    found = _by_subject(_gbar_tasks(plan), results)
    verdicts = []
    for (data, activation), rows in found.items():
        if data == _MIXTURE:
            continue
        test = _bounded(rows, TRUSTED, plan, "error")
        control = _bounded(found[_MIXTURE, activation], TRUSTED, plan, "error")
        dimensions = np.mean(_each(rows, "dimensions"), axis=0)
        expected = np.mean(_each(found[_MIXTURE, activation], "dimensions"), axis=0)
        means = _bounded(rows, TRUSTED, plan, "with_means")
        why = (
            f"{test.sentence}; the means carry {100 * np.mean(_each(rows, 'share')):.2g} % of the energy, and with "
            f"them in T it is {100 * means.mean:.2g} %; the effective dimension of the classes is "
            f"{_joined(dimensions)}, on a mixture of as many dimensions {_joined(expected)}, and the error there "
            f"{100 * control.mean:.2g} %"
        )
        details = {"errors": list(test.values), "mixture": list(control.values), "bound": test.bound}
        details |= {"effective_dimension": dimensions.tolist(), "power": {"error": _seen(test)}}
        verdicts.append(Verdict("real-gbar", f"{activation}, {data}", test.kind, why, details, activation))
    return verdicts


def _seen(test: _Bounded) -> float:
    """Relative error that the test would have told from the bound, on these draws."""
    reach = float(scipy.stats.t.ppf(1 - test.level, len(test.values) - 1))
    return test.bound + 2 * reach * test.error


def _joined(numbers: Array) -> str:
    return " and ".join(f"{number:.3g}" for number in numbers)


def _entrywise_tasks(plan: Plan) -> list[Task]:
    return _tasks(plan, entrywise_task, _present(), _activations(plan), 1e6)


def _judge_entrywise(plan: Plan, results: Results) -> list[Verdict]:
    verdicts = []
    for (data, activation), rows in _by_subject(_entrywise_tasks(plan), results).items():
        test, bar = _bounded(rows, _ENTRYWISE, plan, "error"), _bounded(rows, _ENTRYWISE, plan, "gbar")
        power, unseen = _power(rows, plan)
        order = "third" if rows[0]["odd"] else "second"
        shown = ", ".join(f"{part} {100 * size:.3g} %" for part, size in power.items())
        why = f"{order} order: {test.sentence}; Gbar is off by {100 * bar.mean:.2g} %; would detect: {shown}"
        details = {"errors": list(test.values), "gbar": list(bar.values), "bound": test.bound, "order": order}
        details |= {"power": power, "unseen": unseen}
        verdicts.append(Verdict("real-second-order", f"{activation}, {data}", test.kind, why, details, activation))
    return verdicts


def _power(rows: Sequence[Mapping[str, Any]], plan: Plan) -> tuple[dict[str, float], list[str]]:
    """The smallest change of each number from which on the same draws refute every larger one, up or down."""
    power, unseen = {}, []
    for part in rows[0]["changed"]:
        columns = np.array(_each(rows, "changed", part)).T
        refuted = [_Bounded(column.tolist(), _ENTRYWISE, plan.profile.level).kind for column in columns]
        both = [
            up is VerdictKind.REFUTED and down is VerdictKind.REFUTED
            for up, down in zip(refuted[::2], refuted[1::2], strict=True)
        ]
        kept = next((k for k in range(len(both)) if all(both[k:])), None)
        if kept is None:
            unseen.append(part)
        else:
            power[part] = MAGNITUDES[kept]
    return power, unseen


def _planted_entrywise(plan: Plan, results: Results) -> list[PlantedOutcome]:
    """What the first set says of ReLU's wrong numbers."""
    found = _by_subject(_entrywise_tasks(plan), results)
    data, activation = next(((d, a) for d, a in found if a == "relu"), ("", ""))
    outcomes = []
    for name, theory in _wrong_coefficients().items() if activation else ():
        test = _bounded(found[data, activation], _ENTRYWISE, plan, "planted", name)
        right = _bounded(found[data, activation], _ENTRYWISE, plan, "error")
        share = (_seen(right) - right.mean) / max(test.mean - right.mean, 1e-300)
        outcomes.append(
            PlantedOutcome(
                replace(theory, identifier=f"{data}: {name}"),
                test.kind is VerdictKind.REFUTED,
                "relative error",
                test.score,
                share if test.mean > right.mean else float("inf"),
            )
        )
    return outcomes


# --- networks --------------------------------------------------------------------------------------------------------


def design_task(data: str, activation: str, sigma_a2: str, sigma_b2: str, index: int, seed: int) -> dict[str, Any]:
    """Relative errors of the network chosen for images of norm 1 and of what needs no design, and what was chosen."""
    with threadpoolctl.threadpool_limits(limits=1):
        found = _drawn(data, _SAMPLES, "sample", np.random.default_rng([seed, index]))
        chosen = design_for_data(DEQ(activation, sigma_a2, sigma_b2), found.gram())
        rivals = {fit.name.partition(" times")[0] + " scaled" * (fit.scalar != 1): fit for fit in chosen.rivals}
        return {
            "error": chosen.chosen.operator,
            "name": chosen.chosen.name,
            "rivals": {name: fit.operator for name, fit in rivals.items()},
        }


def _deep(plan: Plan) -> Plan:
    """The plan at the variances where one layer is no good match."""
    return replace(plan, sigma_a2=_DEEP[0], sigma_b2=_DEEP[1])


def _design_tasks(plan: Plan) -> list[Task]:
    return _tasks(_deep(plan), design_task, _present(), plan.activations or ("relu", "tanh", "swish"), 1e7)


def _judge_design(plan: Plan, results: Results) -> list[Verdict]:
    verdicts = []
    for (data, activation), rows in _by_subject(_design_tasks(plan), results).items():
        test = _bounded(rows, _MATCHED, plan, "error")
        rivals = {name: _bounded(rows, _MATCHED, plan, "rivals", name) for name in rows[0]["rivals"]}
        nearest = min(rivals, key=lambda name: rivals[name].mean)
        gains = [there / here for here, there in zip(test.values, rivals[nearest].values, strict=True)]
        # The network must be nearer than what needs no design, or the design gains nothing.
        nearer = _Bounded([1 / gain for gain in gains], 1.0, plan.profile.level)
        kind = test.kind if nearer.kind is VerdictKind.SUPPORTED else nearer.kind
        shown = ", ".join(f"{name} {100 * rival.mean:.2g} %" for name, rival in rivals.items())
        why = (
            f"{rows[0]['name']}: {test.sentence}; without design: {shown}; the nearest of these is "
            f"{np.mean(gains):.2g} times further off"
        )
        details: dict[str, Any] = {
            "errors": list(test.values),
            "rivals": {name: list(r.values) for name, r in rivals.items()},
        }
        details |= {"bound": test.bound, "power": {"kernel": _seen(test)}}
        verdicts.append(Verdict("real-design", f"{activation}, {data}", kind, why, details, activation))
    return verdicts


def accuracy_task(data: str, activation: str, sigma_a2: str, sigma_b2: str, index: int, seed: int) -> dict[str, Any]:
    """The test of equivalence of exact kernels on ten classes."""
    from numerics.learning import study_kernels

    with threadpoolctl.threadpool_limits(limits=1):
        rng = np.random.default_rng([seed, index])
        found = load_dataset(data, test=data == "fashion-mnist").subsample(_ACCURACY_SAMPLES, rng)
        training, testing = found.split(_TRAINED, rng)
        fitted = Preprocessing.fit(training, "sample")
        training, testing = fitted.apply(training), fitted.apply(testing)
        study = study_kernels(
            DEQ(activation, sigma_a2, sigma_b2),
            (training.samples, training.labels),
            (testing.samples, testing.labels),
            rng,
            networks=("deq", "matched", "naive"),
        )
        test = study.verdict.matched
        return {
            "kind": study.verdict.kind.value,
            "evidence": study.verdict.evidence,
            "accuracies": dict(study.accuracies),
            "power": (test.margin + test.high - test.low) / study.accuracies["deq"],
        }


def _accuracy_tasks(plan: Plan) -> list[Task]:
    tasks = _tasks(_deep(plan), accuracy_task, _present(), plan.activations or ("relu",), 1e8)
    return [task for task in tasks if task.arguments["index"] == 0]


def _judge_accuracy(plan: Plan, results: Results) -> list[Verdict]:
    verdicts = []
    for (data, activation), (row,) in _by_subject(_accuracy_tasks(plan), results).items():
        shown = ", ".join(f"{name} {100 * value:.2f} %" for name, value in row["accuracies"].items())
        details = {"accuracies": row["accuracies"], "power": {"accuracy": row["power"]}}
        why = f"{row['evidence']}; accuracies: {shown}"
        verdicts.append(
            Verdict("real-accuracy", f"{activation}, {data}", VerdictKind(row["kind"]), why, details, activation)
        )
    return verdicts


def released_task(data: str, activation: str, sigma_a2: str, sigma_b2: str, index: int, seed: int) -> dict[str, Any]:
    """Relative distance of the exact CKs of main.py's DEQ and explicit network, and of a pair of one variance."""
    with threadpoolctl.threadpool_limits(limits=1):
        rng = np.random.default_rng([seed, index])
        if data == _MIXTURE:
            samples = GaussianMixture.released_experiment(784, ratio=_SAMPLES / 784).sample(rng).data.T
        else:
            samples = _drawn(data, _SAMPLES, "center", rng).samples
        gram, networks = gram_matrix(samples.T), main_networks(activation)
        deq = DEQ(activation, sigma_a2, sigma_b2)
        exact = DEQKernels(deq)
        as_released = implicit_kernels(gram, exact.phi, *exact.variances, networks.bias)[Kernel.CK]
        explicit = explicit_kernels(gram, networks.layers)[Kernel.CK]
        proper = explicit_kernels(gram, released_design(activation, sigma_a2).layers)[Kernel.CK]
        return {
            "error": _relative(as_released, explicit, rng),
            "proper": _relative(exact.kernel(gram), proper, rng),
        }


def _released_tasks(plan: Plan) -> list[Task]:
    # Its variances are those of main.py, whatever the plan's are.
    return _tasks(
        replace(plan, sigma_a2="1/5", sigma_b2="4/5"), released_task, [_MIXTURE, *_present()], tuple(PAIRS), 1e6
    )


def _judge_released(plan: Plan, results: Results) -> list[Verdict]:
    verdicts = []
    for (data, activation), rows in _by_subject(_released_tasks(plan), results).items():
        test, proper = _bounded(rows, _PAIR, plan, "error"), _bounded(rows, _PAIR, plan, "proper")
        # The same test must let the right pair pass, or it tells nothing.
        kind = test.kind if proper.kind is VerdictKind.SUPPORTED else VerdictKind.UNDECIDED
        why = f"{test.sentence}; solved for the DEQ's own variance and centred so: {100 * proper.mean:.2g} %"
        details = {"errors": list(test.values), "proper": list(proper.values), "bound": test.bound}
        details |= {"power": {"kernel": _seen(test)}}
        verdicts.append(Verdict("released-pairs", f"{activation}, {data}", kind, why, details, activation))
    return verdicts


CHECKS = (
    Check(("real-gbar",), _gbar_tasks, _judge_gbar),
    Check(("real-second-order",), _entrywise_tasks, _judge_entrywise, _planted_entrywise),
    Check(("real-design",), _design_tasks, _judge_design),
    Check(("real-accuracy",), _accuracy_tasks, _judge_accuracy),
    Check(("released-pairs",), _released_tasks, _judge_released),
)
