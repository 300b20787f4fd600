"""How a claim is checked: tasks that can run anywhere, and a judge that reads their results.

A task is a function of plain values that returns plain values, so that it can be run in another process, kept in a
file and taken up again.  Claims that need the same task share its result.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from theory.claims import Verdict, VerdictKind

__all__ = [
    "PROFILES",
    "Check",
    "Plan",
    "Profile",
    "Results",
    "Task",
    "with_power",
]

#: Results of tasks, by the task's name.
Results = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Task:
    """A piece of work.

    Attributes:
        function: name of a function in ``numerics.ledger.TASKS``.
        arguments: its arguments, plain JSON values.
        cost: rough size of the work, to start the longest first.
    """

    function: str
    arguments: Mapping[str, Any]
    cost: float = 0.0

    @property
    def name(self) -> str:
        """What its result is found by."""
        return f"{self.function}({', '.join(f'{key}={value!r}' for key, value in sorted(self.arguments.items()))})"


@dataclass(frozen=True)
class Profile:
    """How much work a run of the ledger is given.

    Attributes:
        name: quick, default or full.
        witness_sizes: dimensions p of the witness checks, at least four.
        witness_draws: draws at each of them.
        limit_draws: draws at each of them where an assumption is strained.
        witness_activations: what the equivalents' coefficients are checked on.
        rate_sizes: dimensions p of the operator norms.
        rate_draws: draws at each of them.
        rate_activations: what the norms are computed for.
        spectrum_sizes: dimensions p of the spectra.
        spectrum_draws: draws at each of them.
        widths: widths m of the finite networks.
        width_draws: draws of the weights at each.
        left_out: claims that it leaves out unless they are asked for, and why.
        level: probability that one check refutes a true claim.
    """

    name: str
    witness_sizes: tuple[int, ...]
    witness_draws: tuple[int, ...]
    limit_draws: tuple[int, ...]
    witness_activations: tuple[str, ...]
    rate_sizes: tuple[int, ...]
    rate_draws: int
    rate_activations: tuple[str, ...]
    spectrum_sizes: tuple[int, ...]
    spectrum_draws: tuple[int, ...]
    widths: tuple[int, ...]
    width_draws: int
    left_out: Mapping[str, str] = field(default_factory=dict)
    level: float = 0.001


_NO_TIME = "no time for it"
_NO_POWER = "no power (on its few draws a change of 100 % could go unseen)"
PROFILES = {
    profile.name: profile
    for profile in (
        Profile(
            "quick",
            witness_sizes=(200, 400, 800, 1200),
            witness_draws=(24, 16, 12, 10),
            limit_draws=(9, 6, 5, 4),
            witness_activations=("relu",),
            rate_sizes=(100, 200, 400, 800),
            rate_draws=5,
            rate_activations=("relu",),
            spectrum_sizes=(200, 300, 500, 800),
            spectrum_draws=(10, 8, 6, 4),
            widths=(50, 100, 200, 400),
            width_draws=5,
            left_out={
                "ck-slope": _NO_TIME,
                "finite-width": _NO_POWER,
                "ntk-parameters": _NO_POWER,
                "outliers": _NO_POWER,
                "universality-weights": _NO_TIME,
                "universality-data": _NO_TIME,
                "few-coefficients": _NO_TIME,
                "transition": _NO_TIME,
                "limit-spike": _NO_TIME,
                "limit-jump": _NO_TIME,
                "limit-traces": _NO_TIME,
            },
        ),
        Profile(
            "default",
            witness_sizes=(400, 800, 1600, 2400),
            witness_draws=(48, 32, 20, 12),
            limit_draws=(24, 16, 12, 8),
            witness_activations=("relu", "tanh", "swish"),
            rate_sizes=(200, 400, 800, 1600),
            rate_draws=16,
            rate_activations=("relu", "tanh", "swish"),
            spectrum_sizes=(200, 400, 800, 1600),
            spectrum_draws=(48, 32, 20, 10),
            widths=(250, 500, 1000, 2000),
            width_draws=8,
        ),
        Profile(
            "full",
            witness_sizes=(400, 800, 1600, 3200),
            witness_draws=(120, 72, 48, 20),
            limit_draws=(32, 24, 16, 6),
            witness_activations=("relu", "tanh", "swish", "gelu", "elu"),
            rate_sizes=(200, 400, 800, 1600, 3200),
            rate_draws=10,
            rate_activations=("relu", "tanh", "swish", "gelu", "elu"),
            spectrum_sizes=(200, 400, 800, 1600, 3200),
            spectrum_draws=(160, 100, 64, 40, 16),
            widths=(500, 1000, 2000, 4000),
            width_draws=10,
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
    """

    profile: Profile
    seed: int
    sigma_a2: str = "1/5"
    sigma_b2: str = "4/5"
    activations: tuple[str, ...] = ()

    @property
    def witness_activations(self) -> tuple[str, ...]:
        """Activations of the witness checks."""
        return self.activations or self.profile.witness_activations

    @property
    def rate_activations(self) -> tuple[str, ...]:
        """Activations of the operator norms."""
        return self.activations or self.profile.rate_activations


@dataclass(frozen=True)
class Check:
    """How one or several claims are checked.

    Attributes:
        claims: identifiers of the claims that the judge decides.
        tasks: what has to be computed for a plan.
        judge: verdicts from a plan and the results of its tasks.
    """

    claims: tuple[str, ...]
    tasks: Callable[[Plan], Sequence[Task]]
    judge: Callable[[Plan, Results], Sequence[Verdict]]


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
