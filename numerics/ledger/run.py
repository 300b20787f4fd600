"""One run of the ledger: what is asked, the tasks that it needs, and what their results say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import Enum
from functools import cached_property
from typing import Any

from numerics.ledger.checks import Check, Plan, PlantedOutcome, Results, Task, with_power
from numerics.ledger.coefficients import variant_verdict
from numerics.ledger.coupled import cell_claims
from numerics.ledger.real import missing_data
from numerics.ledger.registry import checks_for, failures, judge, run_task, tasks_for
from theory.claims import CLAIMS, Verdict, VerdictKind, planted_errors

__all__ = [
    "LedgerOutcome",
    "LedgerRun",
    "Standing",
    "UnknownClaimError",
]

#: What the run of a variant computes: the draws that this claim needs serve every variant and planted error.
_VARIANT_CLAIMS = ("variant-centred-T",)


class UnknownClaimError(ValueError):
    """A claim or a wrong theory that the ledger does not have, or a claim whose data are not on this machine."""


class Standing(Enum):
    """How the claims of a run stand, in a sentence."""

    AS_EXPECTED = "every claim stands as expected"
    FAILED = "a claim does not stand as expected"
    UNDECIDED = "no claim fails, but the evidence on one cannot tell"


@dataclass(frozen=True)
class LedgerRun:
    """What is asked of the ledger.

    Attributes:
        plan: how much work, on which DEQs.
        chosen: identifiers of the claims; empty for all that the plan's profile has time for.
        variant: identifier of a released variant or a planted error that is asked about in place of claims, or "".

    Raises:
        UnknownClaimError: there is no such claim, or no such theory, or its data are missing.
    """

    plan: Plan
    chosen: tuple[str, ...] = ()
    variant: str = ""

    def __post_init__(self) -> None:
        unknown = [claim for claim in self.chosen if claim not in CLAIMS]
        if unknown:
            raise UnknownClaimError(f"{unknown[0]}: there is no such claim; accepted are {', '.join(CLAIMS)}")
        for claim in self.chosen:
            if claim in self.missing:
                raise UnknownClaimError(f"{claim}: {self.missing[claim]}")
            if self.plan.cell is not None and claim not in cell_claims(self.plan, self.plan.cell):
                accepted = ", ".join(cell_claims(self.plan, self.plan.cell))
                raise UnknownClaimError(f"{claim}: it is not about this cell; accepted are {accepted}")
        if self.variant and self.variant not in planted_errors():
            raise UnknownClaimError(
                f"{self.variant}: there is no such theory; accepted are {', '.join(sorted(planted_errors()))}"
            )

    @property
    def claims(self) -> tuple[str, ...]:
        """Identifiers of the claims that are checked."""
        if self.variant:
            return _VARIANT_CLAIMS
        if self.plan.cell is not None:
            return self.chosen or cell_claims(self.plan, self.plan.cell)
        return self.chosen or tuple(claim for claim in CLAIMS if claim not in self.left_out)

    @property
    def left_out(self) -> dict[str, str]:
        """By claim, why it is left out, where no claims were chosen: the profile does so, or its data are missing."""
        if self.plan.cell is not None:
            return {}
        return {} if self.variant or self.chosen else {**self.plan.profile.left_out, **self.missing}

    @cached_property
    def missing(self) -> dict[str, str]:
        """By claim, how to get the data that it needs."""
        return missing_data()

    @cached_property
    def checks(self) -> tuple[Check, ...]:
        """The checks that decide the claims."""
        return checks_for(self.claims)

    @cached_property
    def tasks(self) -> tuple[Task, ...]:
        """What has to be computed, the longest first; `run_task` computes one."""
        return tuple(tasks_for(self.checks, self.plan))

    def compute(self) -> LedgerOutcome:
        """Do all tasks in this process, one after another, and judge."""
        return self.outcome([run_task(task) for task in self.tasks])

    def outcome(self, computed: Sequence[Mapping[str, Any]]) -> LedgerOutcome:
        """Judge.

        Args:
            computed: what `run_task` returned for every one of `tasks`, in their order.
        """
        results: Results = {task.name: result for task, result in zip(self.tasks, computed, strict=True)}
        if self.variant:
            verdict = with_power(variant_verdict(planted_errors()[self.variant], self.plan, results))
            return LedgerOutcome(self, (verdict,))
        verdicts = judge(self.checks, self.plan, results, self.claims)
        planted: list[PlantedOutcome] = []
        if not failures(self.checks, self.plan, results):
            planted += [outcome for check in self.checks for outcome in check.planted(self.plan, results)]
        return LedgerOutcome(self, tuple(verdicts), tuple(planted))


@dataclass(frozen=True)
class LedgerOutcome:
    """What a run found.

    Attributes:
        run: what was asked.
        verdicts: in the ledger's order.
        planted: what the checks said of the wrong theories that were put to them.
    """

    run: LedgerRun
    verdicts: tuple[Verdict, ...]
    planted: tuple[PlantedOutcome, ...] = ()

    @property
    def standing(self) -> Standing:
        """How the claims stand, or of a variant whether it does.

        A verdict that is not the expected one fails, unless it is "undecided".  Below the full profile's sizes a wrong
        theory may escape; there none may.
        """
        if self.run.variant:
            (verdict,) = self.verdicts
            failed, open_ = verdict.kind is VerdictKind.REFUTED, verdict.kind is VerdictKind.UNDECIDED
        else:
            kinds = {verdict.kind for verdict in self.verdicts if not verdict.as_expected}
            escaped = self.run.plan.profile.name == "full" and not all(one.refuted for one in self.planted)
            failed, open_ = bool(kinds - {VerdictKind.UNDECIDED}) or escaped, bool(kinds)
        return Standing.FAILED if failed else Standing.UNDECIDED if open_ else Standing.AS_EXPECTED

    @property
    def status(self) -> str:
        """The standing as a sentence; of a variant, its verdict."""
        if self.run.variant:
            return f"{self.run.variant}: {self.verdicts[0].kind.value}"
        return self.standing.value

    def record(self) -> dict[str, Any]:
        """Return everything as plain JSON values."""
        plan = self.run.plan
        return {
            "status": self.status,
            "as_expected": self.standing is Standing.AS_EXPECTED,
            "parameters": {
                "profile": asdict(plan.profile),
                "sigma_a2": plan.sigma_a2,
                "sigma_b2": plan.sigma_b2,
                "activations": list(plan.activations),
                "variant": self.run.variant or None,
                **({} if plan.cell is None else {"deq": plan.cell.mapping}),
            },
            "claims": [claim.record() for claim in CLAIMS.values()],
            "left_out": self.run.left_out,
            "verdicts": [
                {
                    "claim": verdict.claim,
                    "subject": verdict.subject,
                    "verdict": verdict.kind.value,
                    "as_expected": not self.run.variant and verdict.as_expected,
                    "evidence": verdict.evidence,
                    "details": dict(verdict.details),
                }
                for verdict in self.verdicts
            ],
            "planted": [outcome.record() for outcome in self.planted],
        }
