"""Check the claims of the theory and print a verdict on each, with the figures that decide it.

What algebra can decide is derived, what interval arithmetic can is certified; the rest is tested on exact kernels of
random data.  The check is then run on wrong theories, which it must refute, and says how small a change it would see.
Exit code 0: every claim stands as expected; 1: one does not; 2: bad use; 3: none fails, but of one the evidence cannot
tell, and the verdict says what is missing.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import median_low
from typing import TYPE_CHECKING, Any

from deqverify.commands import _campaign_options, _cells, _errors, _layout, _options, _outputs, _progress
from deqverify.commands import _verdict_table as shown
from theory.claims import VerdictKind
from theory.named import RELEASED_VARIANTS

if TYPE_CHECKING:
    from numerics.ledger import LedgerOutcome, LedgerRun

__all__ = ["main", "parser"]

_EXAMPLES = """\
  deqverify verify --quick
  deqverify verify --quick --details
  deqverify verify --list
  deqverify verify --profile full --resume runs --html report.html
  deqverify verify --claims ck ntk-recurrent --activation gelu
  deqverify verify --variant centred-T
  deqverify verify --deq cell.toml --quick
"""
_VERDICTS = _options.verdict_lines({kind.value: kind.meaning for kind in VerdictKind})
_PROFILES = ("quick", "default", "full")


def main(argv: Sequence[str] | None) -> int:
    """Check the claims; leave with 1 when one fails or a planted error survives, with 3 when one is undecided."""
    arguments = _arguments(argv)
    if arguments.list:
        return _list(arguments)
    begun = time.monotonic()
    folder = _campaign_options.prepare(arguments)
    for text in arguments.activation or ():
        _options.activation_argument(text)

    from numerics.ledger import Standing, run_cell

    with _progress.progress("finding what to check"):
        run = _run(arguments)
    found = _campaign_options.run_campaign(
        run_cell,
        [task.cell for task in run.tasks],
        {},
        folder=folder,
        jobs=arguments.jobs,
        backend=arguments.backend,
        label="checking",
    )
    with _progress.progress("weighing the evidence, and trying the wrong theories"):
        outcome = run.outcome(found)
    _print(outcome, arguments, time.monotonic() - begun)
    _write_reports(arguments, outcome.record() | _outputs.provenance(arguments.seed))
    return {Standing.AS_EXPECTED: 0, Standing.FAILED: _errors.CLAIM_FAILED, Standing.UNDECIDED: _errors.UNDECIDED}[
        outcome.standing
    ]


def parser() -> _options.Parser:
    """Return the parser of the command's arguments."""
    parser = _options.Parser(__doc__ or "", _EXAMPLES, _VERDICTS, activations=True)
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
        help="how much work: some 40 s, 6 min or 25 min on two cores (default: the profile of that name)",
    )
    parser.add_argument("--quick", action="store_true", help="the same as --profile quick")
    parser.add_argument(
        "--variant",
        type=_variant,
        metavar="NAME",
        help=f"ask whether a formula is right: {', '.join(sorted(RELEASED_VARIANTS))}, or a planted error",
    )
    parser.add_argument(
        "--activation",
        action="append",
        help="check this name or expression in x, repeatable (default: those of the profile)",
    )
    _cells.add_deq(parser)
    parser.add_argument(
        "--p", type=_ladder, metavar="P,P,...", help="dimensions of the operator norms (default: those of the profile)"
    )
    parser.add_argument(
        "--seeds",
        type=_options.integer_between(2, 10_000),
        help="draws of the data at each of them (default: those of the profile)",
    )
    parser.add_argument("--seed", type=_options.integer_between(0, 2**63), default=0, help="root seed (default 0)")
    _options.add_weights(parser, "4/5")
    _campaign_options.add_arguments(parser)
    parser.add_argument("--details", action="store_true", help="print the evidence of every verdict below the table")
    parser.add_argument("--json", metavar="PATH", help="write everything to a file, or to standard output for -")
    parser.add_argument("--markdown", metavar="PATH", help="write a report in Markdown")
    parser.add_argument("--html", metavar="PATH", help="write a report with plots as one HTML file")
    return parser


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    options = parser()
    arguments = options.parse_args(argv)
    if arguments.quick and arguments.profile not in (None, "quick"):
        options.error(f"--quick and --profile {arguments.profile} exclude each other: give one of them")
    if arguments.deq is not None:
        _check_cell(options.given(argv))
    arguments.profile = "quick" if arguments.quick else arguments.profile or "default"
    for name in ("sigma_a2", "sigma_b2"):
        if not getattr(arguments, name).is_Rational:
            options.error(f"--{name.replace('_', '-')}: must be a fraction or a decimal here, such as 0.2 or 1/5")
    return arguments


def _check_cell(given: frozenset[str]) -> None:
    """A file describes the DEQ; there are claims about it, and no variants."""
    described = {"activation", "sigma_a2", "sigma_b2"} & given
    if described:
        raise _errors.UsageError(f"--deq describes the DEQ, and so does {_cells.spelled(described)}: give one of them")
    asked = {"variant", "list"} & given
    if asked:
        raise _errors.UsageError(f"{_cells.spelled(asked)} is not about a DEQ that --deq describes: leave one out")


def _variant(text: str) -> str:
    """Read the name of a wrong theory."""
    from theory.claims import planted_errors

    if text not in planted_errors():
        raise argparse.ArgumentTypeError(f"there is no {text!r}: accepted are {', '.join(sorted(planted_errors()))}")
    return text


def _ladder(text: str) -> tuple[int, ...]:
    read = _options.integer_between(1, 100_000)
    return tuple(sorted({read(part.strip()) for part in text.split(",")}))


def _run(arguments: argparse.Namespace) -> LedgerRun:
    from numerics.data import GaussianMixture
    from numerics.ledger import PROFILES, LedgerRun, Plan, UnknownClaimError
    from numerics.memory import check_memory
    from numerics.moments import UncertifiedError
    from numerics.records import workers
    from theory.equations import exact_numbers

    exact_numbers(arguments.sigma_a2, arguments.sigma_b2, 1)
    cell = None if arguments.deq is None else _cells.read_cell(arguments.deq)
    profile = PROFILES[arguments.profile]
    if arguments.p or arguments.seeds:
        sizes = arguments.p or profile.rate_sizes
        draws = arguments.seeds or median_low(profile.rate_draws)
        profile = replace(profile, rate_sizes=sizes, rate_draws=(draws,) * len(sizes))
    for p in profile.rate_sizes:
        try:
            mixture = GaussianMixture.released_experiment(p)
        except ValueError as error:
            raise _errors.UsageError(f"no data for p = {p}: {error}") from error
        states = 1 if cell is None else len(cell.states)
        check_memory(mixture.samples, p, jobs=states * workers(arguments.jobs, sum(profile.rate_draws)))
    weights = str(arguments.sigma_a2), str(arguments.sigma_b2)
    plan = Plan(profile, arguments.seed, *weights, activations=tuple(arguments.activation or ()), cell=cell)
    try:
        run = LedgerRun(plan, tuple(arguments.claims or ()), arguments.variant or "")
        if cell is not None:
            # Which claims are about it depends on its solution: what it has not is said before anything is drawn.
            _ = run.tasks
        return run
    except UncertifiedError as error:
        raise _errors.UndecidedError(f"not certified: {error}") from error
    except UnknownClaimError as error:
        option = "--variant" if arguments.variant else "--claims"
        raise _errors.UsageError(f"{option} {error}") from error


def _list(arguments: argparse.Namespace) -> int:
    from theory.claims import CLAIMS

    if arguments.json:
        record = {"claims": [claim.record() for claim in CLAIMS.values()], **_outputs.provenance()}
        _outputs.write_json(arguments.json, record, "verify-list")
    if arguments.json != "-":
        console = _progress.console()
        for claim in CLAIMS.values():
            line = f"{claim.identifier}: {claim.title} (expected: {claim.expected.value})"
            _layout.show_line(console, line, below=claim.statement)
    return 0


def _print(outcome: LedgerOutcome, arguments: argparse.Namespace, seconds: float) -> None:
    """The table, one sentence, and the evidence: of all verdicts, or of those that are not as expected."""
    console = _progress.console(error=arguments.json == "-")
    if outcome.run.variant:
        shown.show_blocks(console, outcome.verdicts, expected=False)
        _layout.show_line(console, outcome.status)
        return
    shown.show_table(console, outcome)
    _layout.show_line(console, shown.summary(outcome, seconds), style="bold")
    shown.show_legend(console)
    own = arguments.details or arguments.deq is not None
    blocks = [verdict for verdict in outcome.verdicts if own or not verdict.as_expected]
    shown.show_blocks(console, blocks)
    if arguments.details:
        shown.show_planted(console, outcome.planted)
    else:
        shown.show_escaped(console, outcome.planted)
    missing = outcome.run.missing
    by_profile = {claim: why for claim, why in outcome.run.left_out.items() if claim not in missing}
    shown.show_left_out(console, outcome.run.plan.profile.name, by_profile)
    for why in dict.fromkeys(missing[claim] for claim in outcome.run.left_out if claim in missing):
        names = ", ".join(claim for claim in missing if missing[claim] == why)
        _layout.show_line(console, f"left out for want of data: {names}; {why}")


def _write_reports(arguments: argparse.Namespace, record: Mapping[str, Any]) -> None:
    if arguments.markdown or arguments.html:
        from numerics.publish import html_report, markdown_report

        if arguments.markdown:
            _outputs.write_text(arguments.markdown, markdown_report(record))
        if arguments.html:
            _outputs.write_text(arguments.html, html_report(record))
    if arguments.json:
        _outputs.write_json(arguments.json, record, "verify")
