"""Check the claims of the theory and print a verdict on each, with the figures that decide it.

What algebra can decide is derived, what interval arithmetic can is certified; the rest is tested on exact kernels of
random data.  The check is then run on wrong theories, which it must refute, and says how small a change it would see.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import _campaign
import _cli

from theory.claims import CLAIMS, VerdictKind
from theory.theories import planted_errors, released_variants

if TYPE_CHECKING:
    from rich.console import Console

    from numerics.ledger.checks import Plan
    from numerics.ledger.equivalents import PlantedOutcome
    from theory.claims import Verdict

__all__ = ["main"]

_EXAMPLES = """\
  verify.py --quick
  verify.py --list
  verify.py --profile full --resume runs --html report.html
  verify.py --claims ck ntk-recurrent --activation gelu
  verify.py --variant centred-T
"""
_VERDICTS = """\
  derived     algebra: both sides were reached by different ways, and their difference is 0
  certified   interval arithmetic: proved for the numbers given
  supported   statistics: a test that could have refuted the claim did not; the figures say how sharp it was
  refuted     the claim fails; expected of those that contradict the theory (--list)
  undecided   the evidence cannot tell, and the sentence says what is missing"""
_STYLE: dict[str, Any] = {"box": None, "pad_edge": False, "title_justify": "left", "title_style": "bold"}
_PROFILES = ("quick", "default", "full")
#: The wrong theories are tried on the data of these claims.
_PLANTED_NEEDS = {f"variant-{name}" for name in released_variants()}
_SPECTRAL_NEEDS = {"bulk", "outliers"}


def main(argv: Sequence[str] | None) -> int:
    """Check the claims; leave with 1 when one does not stand as expected or a planted error survives."""
    arguments = _arguments(argv)
    if arguments.list:
        return _list(arguments)
    folder = _campaign.prepare(arguments)
    for text in arguments.activation or ():
        _cli.activation_argument(text)
    plan = _plan(arguments)
    claims = _claims(arguments, plan)
    console = _cli.console(error=arguments.json == "-")

    from numerics.ledger.equivalents import planted_outcomes, variant_verdict
    from numerics.ledger.registry import checks_for, failures, judge, tasks_for
    from numerics.ledger.spectra import planted_spectra

    checks = checks_for(claims)
    tasks = tasks_for(checks, plan)
    cells = [{"function": task.function, "arguments": dict(task.arguments)} for task in tasks]
    found = _campaign.run_campaign(
        compute, cells, {}, folder=folder, jobs=arguments.jobs, backend=arguments.backend, label="checking"
    )
    results = {task.name: result for task, result in zip(tasks, found, strict=True)}
    planted: list[PlantedOutcome] = []
    if arguments.variant is not None:
        verdicts = [variant_verdict(planted_errors()[arguments.variant], plan, results)]
        stands = verdicts[0].kind is not VerdictKind.REFUTED
    else:
        verdicts = judge(checks, plan, results, claims)
        if not failures(checks, plan, results):
            planted += planted_outcomes(plan, results) if _PLANTED_NEEDS & set(claims) else []
            planted += planted_spectra(plan, results) if _SPECTRAL_NEEDS & set(claims) else []
        stands = all(verdict.kind is CLAIMS[verdict.claim].expected for verdict in verdicts)
        # Below the full profile's sizes a wrong theory may escape; the table says which.
        stands = stands and (plan.profile.name != "full" or all(outcome.refuted for outcome in planted))
    record = _record(arguments, plan, verdicts, planted, stands=stands)
    _write_reports(arguments, record)
    _print_verdicts(console, verdicts)
    if planted:
        _print_planted(console, planted)
    console.print(record["status"])
    return 0 if stands else _cli.CLAIM_FAILED


def compute(cell: Mapping[str, Any]) -> dict[str, Any]:
    """Do one task, in whatever process."""
    from numerics.ledger.checks import Task
    from numerics.ledger.tasks import run_task

    return run_task(Task(cell["function"], cell["arguments"]))


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = _cli.Parser(__doc__ or "", _EXAMPLES, _VERDICTS)
    parser.add_argument("--list", action="store_true", help="list the claims and leave")
    parser.add_argument(
        "--claims",
        nargs="+",
        metavar="CLAIM",
        help="check only these, which --list shows (default: those of the profile)",
    )
    parser.add_argument(
        "--profile",
        choices=_PROFILES,
        help="how much work: some 20 s, 4 min or 20 min on two cores (default: the profile of that name)",
    )
    parser.add_argument("--quick", action="store_true", help="the same as --profile quick")
    parser.add_argument(
        "--variant",
        choices=sorted(planted_errors()),
        metavar="NAME",
        help=f"ask whether a formula is right: {', '.join(sorted(released_variants()))}, or a planted error",
    )
    parser.add_argument(
        "--activation",
        action="append",
        help="check this name or expression in x, repeatable (default: those of the profile)",
    )
    parser.add_argument(
        "--p", type=_ladder, metavar="P,P,...", help="dimensions of the operator norms (default: those of the profile)"
    )
    parser.add_argument(
        "--seeds",
        type=_cli.integer_between(2, 10_000),
        help="draws of the data at each of them (default: those of the profile)",
    )
    parser.add_argument("--seed", type=_cli.integer_between(0, 2**63), default=0, help="root seed (default 0)")
    parser.add_argument("--sigma-a2", type=_cli.number, default=_cli.number("0.2"), help="recurrent weight variance")
    parser.add_argument("--sigma-b2", type=_cli.number, default=_cli.number("0.8"), help="input weight variance")
    _campaign.add_arguments(parser)
    parser.add_argument("--json", metavar="PATH", help="write everything to a file, or to standard output for -")
    parser.add_argument("--markdown", metavar="PATH", help="write a report in Markdown")
    parser.add_argument("--html", metavar="PATH", help="write a report with plots as one HTML file")
    arguments = parser.parse_args(argv)
    if arguments.quick and arguments.profile not in (None, "quick"):
        parser.error(f"--quick and --profile {arguments.profile} exclude each other: give one of them")
    arguments.profile = "quick" if arguments.quick else arguments.profile or "default"
    for option in ("json", "markdown", "html"):
        _cli.prepare_output(getattr(arguments, option), f"--{option}")
    for name in ("sigma_a2", "sigma_b2"):
        if not getattr(arguments, name).is_Rational:
            parser.error(f"--{name.replace('_', '-')}: must be a fraction or a decimal here, such as 0.2 or 1/5")
    return arguments


def _ladder(text: str) -> tuple[int, ...]:
    read = _cli.integer_between(1, 100_000)
    return tuple(sorted({read(part.strip()) for part in text.split(",")}))


def _plan(arguments: argparse.Namespace) -> Plan:
    from numerics.equilibrium import check_parameters
    from numerics.ledger.checks import PROFILES, Plan
    from numerics.mixture import GaussianMixture

    check_parameters(arguments.sigma_a2, arguments.sigma_b2, 1)
    profile = PROFILES[arguments.profile]
    for p in arguments.p or ():
        try:
            GaussianMixture.released_experiment(p)
        except ValueError as error:
            raise _cli.UsageError(f"no data for p = {p}: {error}") from error
    profile = replace(
        profile, rate_sizes=arguments.p or profile.rate_sizes, rate_draws=arguments.seeds or profile.rate_draws
    )
    weights = str(arguments.sigma_a2), str(arguments.sigma_b2)
    return Plan(profile, arguments.seed, *weights, activations=tuple(arguments.activation or ()))


def _claims(arguments: argparse.Namespace, plan: Plan) -> tuple[str, ...]:
    if arguments.variant is not None:
        return ("variant-centred-T",)
    chosen = tuple(arguments.claims or (claim for claim in CLAIMS if claim not in plan.profile.left_out))
    unknown = [claim for claim in chosen if claim not in CLAIMS]
    if unknown:
        raise _cli.UsageError(f"--claims {unknown[0]}: there is no such claim; accepted are {', '.join(CLAIMS)}")
    return chosen


# --------------------------------------------------------------------------------------------------------------------


def _list(arguments: argparse.Namespace) -> int:
    from rich.table import Table
    from rich.text import Text

    if arguments.json:
        _cli.write_json(arguments.json, {"claims": _claim_records(), **_cli.provenance()})
    if arguments.json != "-":
        table = Table(**_STYLE)
        for heading in ("claim", "statement", "expected"):
            table.add_column(heading, overflow="fold", no_wrap=heading != "statement")
        for claim in CLAIMS.values():
            table.add_row(claim.identifier, Text(claim.statement), claim.expected.value)
        _cli.console().print(table)
    return 0


def _claim_records() -> list[dict[str, str]]:
    return [
        {
            "id": claim.identifier,
            "statement": claim.statement,
            "latex": claim.latex,
            "assumptions": claim.assumptions,
            "source": claim.source,
            "evidence": claim.evidence,
            "expected": claim.expected.value,
        }
        for claim in CLAIMS.values()
    ]


def _record(
    arguments: argparse.Namespace,
    plan: Plan,
    verdicts: Sequence[Verdict],
    planted: Sequence[PlantedOutcome],
    *,
    stands: bool,
) -> dict[str, Any]:
    status = "every claim stands as expected" if stands else "a claim does not stand as expected"
    if arguments.variant is not None:
        status = f"{arguments.variant}: {verdicts[0].kind.value}"
    return {
        "status": status,
        "as_expected": stands,
        "parameters": {
            "profile": asdict(plan.profile),
            "sigma_a2": plan.sigma_a2,
            "sigma_b2": plan.sigma_b2,
            "activations": list(plan.activations),
            "variant": arguments.variant,
        },
        "claims": _claim_records(),
        "verdicts": [
            {
                "claim": verdict.claim,
                "subject": verdict.subject,
                "verdict": verdict.kind.value,
                "as_expected": arguments.variant is None and verdict.kind is CLAIMS[verdict.claim].expected,
                "evidence": verdict.evidence,
                "details": dict(verdict.details),
            }
            for verdict in verdicts
        ],
        "planted": [
            {
                "id": outcome.theory.identifier,
                "kernel": outcome.theory.kernel,
                "description": outcome.theory.description,
                "refuted": outcome.refuted,
                "witness": outcome.witness,
                "score": outcome.score,
                "detectable": None if outcome.detectable == float("inf") else outcome.detectable,
            }
            for outcome in planted
        ],
        **_cli.provenance(arguments.seed),
    }


def _write_reports(arguments: argparse.Namespace, record: Mapping[str, Any]) -> None:
    if arguments.markdown or arguments.html:
        import _report

        if arguments.markdown:
            _cli.write_text(arguments.markdown, _report.markdown(record))
        if arguments.html:
            _cli.write_text(arguments.html, _report.html(record))
    if arguments.json:
        _cli.write_json(arguments.json, record)


def _print_verdicts(console: Console, verdicts: Sequence[Verdict]) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(title="verdicts", **_STYLE)
    for heading in ("claim", "on", "verdict", "evidence"):
        table.add_column(heading, overflow="fold", no_wrap=heading in ("claim", "verdict"))
    for verdict in verdicts:
        claim = CLAIMS.get(verdict.claim)
        met = claim is not None and verdict.kind is claim.expected
        shown = Text(verdict.kind.value, "green" if met else "bold red")
        table.add_row(verdict.claim, verdict.subject, shown, Text(verdict.evidence))
    console.print(table)


def _print_planted(console: Console, planted: Sequence[PlantedOutcome]) -> None:
    from rich.table import Table
    from rich.text import Text

    refuted = sum(outcome.refuted for outcome in planted)
    table = Table(title=f"wrong theories: {refuted} of {len(planted)} refuted", **_STYLE)
    for heading in ("theory", "", "by the witness", "standard errors", "would see"):
        table.add_column(
            heading, overflow="fold", justify="right" if heading in ("standard errors", "would see") else "left"
        )
    for outcome in planted:
        shown = Text("refuted", "green") if outcome.refuted else Text("not refuted", "bold red")
        fraction = f"{100 * outcome.detectable:.2g} % of it"
        table.add_row(Text(outcome.theory.identifier), shown, outcome.witness, f"{outcome.score:+.1f}", fraction)
    console.print(table)


if __name__ == "__main__":
    _cli.run(main)
