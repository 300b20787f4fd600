"""How a claim is checked: tasks that can run anywhere, and a judge that reads their results.

A task is a function of plain values that returns plain values, so that it can be run in another process, kept in a
file and taken up again.  Claims that need the same task share its result.  Each module of evidence declares its checks
in ``CHECKS``; ``numerics.ledger.registry`` puts them together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import import_module
from typing import Any, TypeVar

import sympy as sp

from theory.claims import CoupledTheory, LearningTheory, Theory, Verdict, VerdictKind, WidthTheory
from theory.equations import CoupledDEQ

__all__ = [
    "PROFILES",
    "Check",
    "Plan",
    "PlantedOutcome",
    "PlantedSetting",
    "Profile",
    "Results",
    "Task",
    "by_size",
    "ladder",
    "with_power",
]

_Value = TypeVar("_Value")

#: Results of tasks, by the task's name.
Results = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Task:
    """A piece of work.

    Attributes:
        function: of a module of evidence: of plain JSON values, which returns such values by name.
        arguments: its arguments.
        cost: rough size of the work, to start the longest first.
    """

    function: Callable[..., dict[str, Any]]
    arguments: Mapping[str, Any]
    cost: float = 0.0

    @property
    def name(self) -> str:
        """What its result is found by."""
        shown = ", ".join(f"{key}={value!r}" for key, value in sorted(self.arguments.items()))
        return f"{self.cell['function']}({shown})"

    @property
    def cell(self) -> dict[str, Any]:
        """The task as plain JSON values, the function by its dotted name."""
        function = f"{self.function.__module__}.{self.function.__qualname__}"
        return {"function": function, "arguments": dict(self.arguments)}

    @classmethod
    def from_cell(cls, cell: Mapping[str, Any]) -> Task:
        """The task of a cell; its cost, which only decides when it is started, is not kept.

        Raises:
            KeyError: its function is not one of the ledger's.
        """
        module, _, name = str(cell["function"]).rpartition(".")
        if module.rpartition(".")[0] != __package__:
            raise KeyError(f"{cell['function']} is not a function of {__package__}")
        return cls(getattr(import_module(module), name), cell["arguments"])


def ladder(
    function: Callable[..., dict[str, Any]],
    arguments: Mapping[str, Any],
    sizes: Sequence[int],
    draws: Sequence[int],
    *,
    size: str = "p",
    cost: float = 1.0,
) -> list[Task]:
    """One task for each draw at each size.

    Args:
        function: of the arguments, the size and the draw's number, called ``index``.
        arguments: all others.
        sizes: dimensions or widths.
        draws: how many there are at each size.
        size: name of the argument that is the size.
        cost: of a task, over the square of its size.
    """
    return [
        Task(function, {**arguments, size: value, "index": index}, cost=cost * float(value) ** 2)
        for value, count in zip(sizes, draws, strict=True)
        for index in range(count)
    ]


def by_size(tasks: Sequence[Task], value: Callable[[Task], _Value], size: str = "p") -> dict[int, list[_Value]]:
    """Values of tasks, one list for each size."""
    found: dict[int, list[_Value]] = {}
    for task in tasks:
        found.setdefault(int(task.arguments[size]), []).append(value(task))
    return found


@dataclass(frozen=True)
class PlantedSetting:
    """A DEQ and data on which wrong theories are tried.

    Attributes:
        activation: registered name, or an expression in x.
        sigma_a2: variance of the recurrent weights, as text that is an exact number.
        sigma_b2: variance of the input weights, as text.
        data: name of ``numerics.ledger.MIXTURES``.
        sizes: dimensions p.
        draws: how many there are at each.
    """

    activation: str
    sigma_a2: str
    sigma_b2: str
    data: str
    sizes: tuple[int, ...]
    draws: tuple[int, ...]

    @property
    def weights(self) -> tuple[float, float]:
        """sigma_a^2 and sigma_b^2 in float64."""
        return float(sp.Rational(self.sigma_a2)), float(sp.Rational(self.sigma_b2))

    @property
    def arguments(self) -> dict[str, Any]:
        """What a draw needs besides its size, number and seed."""
        sigma_a2, sigma_b2 = self.weights
        return {"data": self.data, "activation": self.activation, "sigma_a2": sigma_a2, "sigma_b2": sigma_b2}

    @property
    def subject(self) -> str:
        """What verdicts on it are headed by."""
        return f"{self.activation}, sigma_a^2 = {self.sigma_a2}, sigma_b^2 = {self.sigma_b2}"


@dataclass(frozen=True)
class Profile:
    """How much work a run of the ledger is given.

    Attributes:
        name: quick, default or full.
        witness_sizes: dimensions p of the witness checks, at least five.
        witness_draws: draws at each of them.
        limit_sizes: dimensions p where an assumption is strained, at least four.
        limit_draws: draws at each of them.
        witness_activations: what the equivalents' coefficients are checked on.
        planted: what the wrong theories are tried on, and the true ones beside them.
        rate_sizes: dimensions p of the operator norms.
        rate_draws: draws at each of them.
        rate_activations: what the norms are computed for.
        spectrum_sizes: dimensions p of the spectra.
        spectrum_draws: draws at each of them.
        law_sizes: dimensions p of the spectra at finite width, where the width grows with p.
        law_draws: draws of data and weights at each of them.
        widths: widths m of the finite networks.
        width_draws: draws of data and weights at each.
        left_out: claims that it leaves out unless they are asked for, and why.
        level: probability that one check refutes a true claim.
    """

    name: str
    witness_sizes: tuple[int, ...]
    witness_draws: tuple[int, ...]
    limit_sizes: tuple[int, ...]
    limit_draws: tuple[int, ...]
    witness_activations: tuple[str, ...]
    planted: tuple[PlantedSetting, ...]
    rate_sizes: tuple[int, ...]
    rate_draws: tuple[int, ...]
    rate_activations: tuple[str, ...]
    spectrum_sizes: tuple[int, ...]
    spectrum_draws: tuple[int, ...]
    law_sizes: tuple[int, ...]
    law_draws: tuple[int, ...]
    widths: tuple[int, ...]
    width_draws: tuple[int, ...]
    left_out: Mapping[str, str] = field(default_factory=dict)
    level: float = 0.001


def _planted(sizes: tuple[int, ...], draws: tuple[int, ...]) -> tuple[PlantedSetting, ...]:
    """The settings in which the wrong theories are tried, at a profile's sizes.

    d1, d2, d22 and d_d are far from 0, from each other and from what they are at tau_0, and sigma_a^2 is at 0.7 of
    the NTKs' margin: of the activations that were searched these two leave the fewest wrong theories without power.
    """
    deqs = (("7*sin(x/2)/4 + cos(x/2)", "5/4", "1"), ("x + 2*sin(x/2) + cos(5*x/4)", "3/20", "3/8"))
    return tuple(PlantedSetting(*deq, "rich", sizes, draws) for deq in deqs)


_NO_TIME = "no time for it"
_NO_POWER = "no power (on its few draws a change of 100 % could go unseen)"
PROFILES = {
    profile.name: profile
    for profile in (
        Profile(
            "quick",
            witness_sizes=(120, 200, 300, 600, 1200),
            witness_draws=(12, 16, 14, 14, 8),
            limit_sizes=(200, 400, 800, 1200),
            limit_draws=(9, 6, 5, 4),
            witness_activations=("relu",),
            planted=_planted((120, 200, 300, 600, 1200), (12, 16, 14, 14, 8)),
            rate_sizes=(100, 200, 400, 800),
            rate_draws=(5, 5, 5, 5),
            rate_activations=("relu",),
            spectrum_sizes=(200, 300, 500, 800),
            spectrum_draws=(10, 8, 6, 4),
            law_sizes=(64, 100, 160, 260),
            law_draws=(24, 12, 10, 9),
            widths=(50, 100, 200, 400),
            width_draws=(5, 5, 5, 5),
            left_out={
                "ck-slope": _NO_TIME,
                "finite-width": _NO_POWER,
                "ntk-parameters": _NO_POWER,
                "outliers": _NO_POWER,
                "universality-weights": _NO_TIME,
                "universality-data": _NO_TIME,
                "few-coefficients": _NO_TIME,
                "states-rate": _NO_TIME,
                "uncentred-rate": _NO_TIME,
                "states-ntk-rate": _NO_TIME,
                "transition": _NO_TIME,
                "width-law-universal": _NO_TIME,
                "learning-ntk": _NO_TIME,
                "learning-matched": _NO_TIME,
                "limit-spike": _NO_TIME,
                "limit-jump": _NO_TIME,
                "limit-traces": _NO_TIME,
                "real-gbar": _NO_TIME,
                "real-second-order": _NO_TIME,
                "real-design": _NO_TIME,
                "real-accuracy": _NO_TIME,
                "released-pairs": _NO_TIME,
            },
        ),
        Profile(
            "default",
            witness_sizes=(200, 280, 500, 900, 2000),
            witness_draws=(16, 20, 24, 10, 6),
            limit_sizes=(400, 800, 1600, 2400),
            limit_draws=(30, 26, 6, 5),
            witness_activations=("relu", "tanh", "swish"),
            planted=_planted((140, 250, 500, 1000, 2400), (24, 36, 36, 16, 10)),
            rate_sizes=(200, 400, 800, 1600),
            rate_draws=(24, 20, 16, 12),
            rate_activations=("relu", "tanh", "swish"),
            spectrum_sizes=(200, 400, 800, 1600),
            spectrum_draws=(48, 32, 20, 10),
            law_sizes=(100, 180, 320, 560),
            law_draws=(32, 24, 14, 8),
            widths=(200, 400, 800, 1600),
            width_draws=(40, 40, 24, 16),
            left_out={"real-design": _NO_TIME, "real-accuracy": _NO_TIME},
        ),
        Profile(
            "full",
            witness_sizes=(280, 400, 700, 1400, 3200),
            witness_draws=(60, 80, 60, 30, 16),
            limit_sizes=(400, 800, 1600, 3200),
            limit_draws=(32, 24, 16, 6),
            witness_activations=("relu", "tanh", "swish", "gelu", "elu"),
            planted=_planted((140, 250, 500, 1200, 3200), (48, 96, 80, 40, 16)),
            rate_sizes=(200, 400, 800, 1600, 3200),
            rate_draws=(10, 10, 10, 10, 10),
            rate_activations=("relu", "tanh", "swish", "gelu", "elu"),
            spectrum_sizes=(200, 400, 800, 1600, 3200),
            spectrum_draws=(160, 100, 64, 40, 16),
            law_sizes=(100, 200, 400, 800, 1600),
            law_draws=(80, 60, 40, 20, 6),
            widths=(500, 1000, 2000, 4000),
            width_draws=(60, 60, 40, 24),
        ),
    )
}


@dataclass(frozen=True)
class Plan:
    """What is asked of the ledger.

    Attributes:
        profile: how much work.
        seed: root of all random numbers.
        sigma_a2: variance of the recurrent weights, as text that is an exact number.
        sigma_b2: variance of the input weights, as text.
        activations: what to check instead of the profile's activations, or an empty tuple.
        cell: a DEQ of several states, biases or uncentred states to check instead of the ledger's own, or None.
    """

    profile: Profile
    seed: int
    sigma_a2: str = "1/5"
    sigma_b2: str = "4/5"
    activations: tuple[str, ...] = ()
    cell: CoupledDEQ | None = None

    @property
    def weights(self) -> dict[str, str]:
        """The weight variances by name, as tasks that take exact numbers have them."""
        return {"sigma_a2": self.sigma_a2, "sigma_b2": self.sigma_b2}

    @property
    def float_weights(self) -> dict[str, float]:
        """The weight variances by name, in float64."""
        return {name: float(sp.Rational(value)) for name, value in self.weights.items()}

    @property
    def planted(self) -> tuple[PlantedSetting, ...]:
        """What the wrong theories are tried on: nothing where the user's own DEQs are asked about."""
        return () if self.activations or self.cell else self.profile.planted

    @property
    def witness_activations(self) -> tuple[str, ...]:
        """Activations of the witness checks."""
        return self.activations or self.profile.witness_activations

    @property
    def rate_activations(self) -> tuple[str, ...]:
        """Activations of the operator norms."""
        return self.activations or self.profile.rate_activations


@dataclass(frozen=True)
class PlantedOutcome:
    """What a check says of a wrong theory.

    Attributes:
        theory: the wrong theory.
        refuted: whether it is refuted, as it must be.
        witness: the functional that says so.
        score: its limit in standard errors.
        detectable: smallest fraction of the error that would be detected with probability 0.9; inf where there is none.
        predicted: the same as it was predicted before the draws, or None where nothing was.
    """

    theory: Theory | CoupledTheory | LearningTheory | WidthTheory
    refuted: bool
    witness: str
    score: float
    detectable: float
    predicted: float | None = None

    @property
    def without_power(self) -> bool:
        """Whether it was not refuted, and that was to be expected: its error is too small for these draws."""
        return not self.refuted and self.predicted is not None and self.predicted > 1

    def record(self) -> dict[str, Any]:
        """Return the outcome as plain JSON values."""
        return {
            "id": self.theory.identifier,
            "kernel": self.theory.kernel.value,
            "description": self.theory.description,
            "refuted": self.refuted,
            "witness": self.witness,
            "score": self.score,
            "detectable": _finite(self.detectable),
            "predicted": _finite(self.predicted),
            "without_power": self.without_power,
            "generated": self.theory.source == "generated",
        }


def _finite(value: float | None) -> float | None:
    """None for inf, which JSON does not have."""
    return None if value == float("inf") else value


def _none_planted(plan: Plan, results: Results) -> Sequence[PlantedOutcome]:
    """What a check has to say of wrong theories that it is not tried on."""
    return ()


@dataclass(frozen=True)
class Check:
    """How one or several claims are checked.

    Attributes:
        claims: identifiers of the claims that the judge decides.
        tasks: what has to be computed for a plan.
        judge: verdicts from a plan and the results of its tasks.
        planted: what the same tasks say of wrong theories, which they must refute.
    """

    claims: tuple[str, ...]
    tasks: Callable[[Plan], Sequence[Task]]
    judge: Callable[[Plan, Results], Sequence[Verdict]]
    planted: Callable[[Plan, Results], Sequence[PlantedOutcome]] = _none_planted


def with_power(verdict: Verdict) -> Verdict:
    """Return a verdict as it is, or "undecided" where statistics support the claim by a test without power.

    Every check whose verdict is "supported" states its power in the details: by name, the smallest relative change of a
    number that the test would have refuted (None for a number that is 0).  At least one must be below 100 %.
    """
    if verdict.kind is not VerdictKind.SUPPORTED:
        return verdict
    power: Mapping[str, float | None] = verdict.details.get("power", {})
    if any(value is not None and value <= 1 for value in power.values()):
        return verdict
    why = f"no power here: a test that sees no change below 100 % supports nothing; {verdict.evidence}"
    return replace(verdict, kind=VerdictKind.UNDECIDED, evidence=f"{why}; missing: more draws, or larger sizes")
