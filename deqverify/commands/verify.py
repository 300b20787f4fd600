"""Check the claims of the theory and print a verdict on each, with the figures that decide it.

What algebra can decide is derived, what interval arithmetic can is certified; the rest is tested on exact kernels of
random data.  The check is then run on wrong theories, which it must refute, and says how small a change it would see.
Exit code 0: every claim stands as expected; 1: one does not; 2: bad use; 3: none fails, but of one the evidence cannot
tell, and the verdict says what is missing.
"""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Mapping, Sequence, Set
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from deqverify.commands import _campaign, _cli
from theory.claims import CLAIMS, VerdictKind, planted_errors, released_variants

if TYPE_CHECKING:
    from rich.console import Console

    from numerics.ledger import Plan, PlantedOutcome
    from theory.claims import Verdict

__all__ = ["main"]

_EXAMPLES = """\
  verify.py --quick
  verify.py --list
  verify.py --profile full --resume runs --html report.html
  verify.py --claims ck ntk-recurrent --activation gelu
  verify.py --variant centred-T
"""
#: How far what belongs to a line is moved to the right below it.
_INDENT = "    "
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
    """Check the claims; leave with 1 when one fails or a planted error survives, with 3 when one is undecided."""
    arguments = _arguments(argv)
    if arguments.list:
        return _list(arguments)
    folder = _campaign.prepare(arguments)
    for text in arguments.activation or ():
        _cli.activation_argument(text)
    plan = _plan(arguments)
    claims = _claims(arguments, plan)
    console = _cli.console(error=arguments.json == "-")

    from numerics.ledger import (
        checks_for,
        failures,
        judge,
        planted_outcomes,
        planted_spectra,
        tasks_for,
        variant_verdict,
        with_power,
    )

    checks = checks_for(claims)
    tasks = tasks_for(checks, plan)
    cells = [{"function": task.function, "arguments": dict(task.arguments)} for task in tasks]
    found = _campaign.run_campaign(
        compute, cells, {}, folder=folder, jobs=arguments.jobs, backend=arguments.backend, label="checking"
    )
    results = {task.name: result for task, result in zip(tasks, found, strict=True)}
    planted: list[PlantedOutcome] = []
    if arguments.variant is not None:
        verdicts = [with_power(variant_verdict(planted_errors()[arguments.variant], plan, results))]
        code = _code({verdict.kind for verdict in verdicts})
    else:
        verdicts = judge(checks, plan, results, claims)
        if not failures(checks, plan, results):
            planted += planted_outcomes(plan, results) if _PLANTED_NEEDS & set(claims) else []
            planted += planted_spectra(plan, results) if _SPECTRAL_NEEDS & set(claims) else []
        unexpected = {one.kind for one in verdicts if one.kind is not CLAIMS[one.claim].expected}
        # Whatever is not as expected fails, unless it is undecided.
        code = _code({one if one is VerdictKind.UNDECIDED else VerdictKind.REFUTED for one in unexpected})
        # Below the full profile's sizes a wrong theory may escape; the list says which.
        if plan.profile.name == "full" and not all(outcome.refuted for outcome in planted):
            code = _cli.CLAIM_FAILED
    record = _record(arguments, plan, claims, verdicts, planted, code=code)
    _print_verdicts(console, verdicts, expected=arguments.variant is None)
    if planted:
        _print_planted(console, planted)
    _print_left_out(console, plan.profile.name, record["left_out"])
    _print_block(console, record["status"])
    _write_reports(arguments, record)
    return code


def _code(kinds: Set[VerdictKind]) -> int:
    """The exit code of some verdicts none of which is what was hoped for, unless it is neither of these."""
    if VerdictKind.REFUTED in kinds:
        return _cli.CLAIM_FAILED
    return _cli.UNDECIDED if VerdictKind.UNDECIDED in kinds else 0


def compute(cell: Mapping[str, Any]) -> dict[str, Any]:
    """Do one task, in whatever process."""
    from numerics.ledger import Task, run_task

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
    for name in ("sigma_a2", "sigma_b2"):
        if not getattr(arguments, name).is_Rational:
            parser.error(f"--{name.replace('_', '-')}: must be a fraction or a decimal here, such as 0.2 or 1/5")
    return arguments


def _ladder(text: str) -> tuple[int, ...]:
    read = _cli.integer_between(1, 100_000)
    return tuple(sorted({read(part.strip()) for part in text.split(",")}))


def _plan(arguments: argparse.Namespace) -> Plan:
    from numerics.data import GaussianMixture
    from numerics.ledger import PROFILES, Plan
    from numerics.memory import check_memory
    from theory.equations import exact_numbers

    exact_numbers(arguments.sigma_a2, arguments.sigma_b2, 1)
    profile = PROFILES[arguments.profile]
    for p in arguments.p or ():
        try:
            mixture = GaussianMixture.released_experiment(p)
        except ValueError as error:
            raise _cli.UsageError(f"no data for p = {p}: {error}") from error
        check_memory(mixture.samples, p, jobs=_campaign.workers(arguments.jobs, 1))
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
    if arguments.json:
        _cli.write_json(arguments.json, {"claims": _claim_records(), **_cli.provenance()})
    if arguments.json != "-":
        console = _cli.console()
        for claim in CLAIMS.values():
            _print_block(console, f"{claim.identifier}  expected: {claim.expected.value}", below=claim.statement)
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
    claims: Sequence[str],
    verdicts: Sequence[Verdict],
    planted: Sequence[PlantedOutcome],
    *,
    code: int,
) -> dict[str, Any]:
    status = {
        0: "every claim stands as expected",
        _cli.UNDECIDED: "no claim fails, but the evidence on one cannot tell",
    }.get(code, "a claim does not stand as expected")
    chosen = arguments.variant is not None or arguments.claims
    left_out = {} if chosen else {name: why for name, why in plan.profile.left_out.items() if name not in claims}
    if arguments.variant is not None:
        status = f"{arguments.variant}: {verdicts[0].kind.value}"
    return {
        "status": status,
        "as_expected": code == 0,
        "parameters": {
            "profile": asdict(plan.profile),
            "sigma_a2": plan.sigma_a2,
            "sigma_b2": plan.sigma_b2,
            "activations": list(plan.activations),
            "variant": arguments.variant,
        },
        "claims": _claim_records(),
        "left_out": left_out,
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
        from numerics.publish import report

        if arguments.markdown:
            _cli.write_text(arguments.markdown, report.markdown(record))
        if arguments.html:
            _cli.write_text(arguments.html, report.html(record))
    if arguments.json:
        _cli.write_json(arguments.json, record)


def _print_verdicts(console: Console, verdicts: Sequence[Verdict], *, expected: bool) -> None:
    """A block for each verdict: what it is and of what on a line, and the evidence below."""
    kinds = max(len(verdict.kind.value) for verdict in verdicts)
    names = max(len(verdict.claim) for verdict in verdicts)
    for verdict in verdicts:
        met = expected and verdict.kind is CLAIMS[verdict.claim].expected
        open_ = not expected or verdict.kind is VerdictKind.UNDECIDED
        subject = f"  on {verdict.subject}" if verdict.subject else ""
        line = f"{verdict.kind.value:<{kinds}}  {verdict.claim:<{names}}{subject}"
        style = "green" if met else "yellow" if open_ else "bold red"
        _print_block(console, f"{_mark(console, met, open_)} {line.rstrip()}", below=verdict.evidence, style=style)


def _print_planted(console: Console, planted: Sequence[PlantedOutcome]) -> None:
    refuted = sum(outcome.refuted for outcome in planted)
    _print_block(console, f"wrong theories: {refuted} of {len(planted)} refuted", style="bold")
    for outcome in planted:
        told = "refuted" if outcome.refuted else "not refuted"
        mark = _mark(console, outcome.refuted, outcome.detectable > 1)
        line = (
            f"{mark} {told}  {outcome.theory.identifier}: by {outcome.witness}, {outcome.score:+.1f} standard errors; "
            f"would see {100 * outcome.detectable:.2g} % of it"
        )
        _print_block(console, line, style="" if outcome.refuted else "bold red")


def _print_left_out(console: Console, profile: str, left_out: Mapping[str, str]) -> None:
    if not left_out:
        return
    _print_block(console, f"left out by the {profile} profile, unless --claims asks for them:", style="bold")
    for why in dict.fromkeys(left_out.values()):
        names = ", ".join(name for name, reason in left_out.items() if reason == why)
        _print_block(console, f"{why}: {names}")


def _mark(console: Console, met: bool, open_: bool) -> str:
    """A sign before a verdict, from the letters that the output's encoding has."""
    signs = "\N{CHECK MARK}\N{BALLOT X}?"
    try:
        signs.encode(console.encoding)
    except (UnicodeEncodeError, LookupError):
        signs = "+x?"
    return signs[0] if met else signs[2] if open_ else signs[1]


def _print_block(console: Console, line: str, *, below: str = "", style: str = "") -> None:
    """Print a line, and indented below it what belongs to it, both as wide as the terminal and no wider."""
    from rich.text import Text

    width = max(console.width, 4 * len(_INDENT))
    # A number and its per cent sign stay together.
    line, below = (text.replace(" %", "\N{NO-BREAK SPACE}%") for text in (line, below))
    for text, first, rest, look in ((line, "", 2 * _INDENT, style), (below, _INDENT, _INDENT, "")):
        for part in textwrap.wrap(text, width, initial_indent=first, subsequent_indent=rest, break_on_hyphens=False):
            console.print(Text(part.replace("\N{NO-BREAK SPACE}", " "), look), soft_wrap=True)
