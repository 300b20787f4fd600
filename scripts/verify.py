"""Check the theory's claims: derive, solve, simulate, and give every claim a verdict.

The data are the released default experiment's: K = 2 classes with means 8 e_{8a} and covariances
(1 + 8a/sqrt p) I, n = 0.8 p.  For every activation the exact infinite-width kernel G* of a draw is
compared in operator norm with its high-dimensional equivalent, over a ladder of dimensions p and
several draws.  Exit code 0: every claim stands as expected; 1: one does not; 2: bad use.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import _cli

if TYPE_CHECKING:
    import argparse

    from rich.console import Console

    from numerics.experiments import CellResult, Experiment
    from numerics.verification import RateEvidence
    from theory.activations import Activation
    from theory.claims import Verdict

__all__ = ["main"]

_EXAMPLES = """\
  verify.py                       ReLU, tanh and swish on the default ladder
  verify.py --quick               the same, smaller: seconds
  verify.py --activation gelu --activation "sin(2*x)" --p 200,400,800,1600 --seeds 10
  verify.py --tau0-reading empirical --json result.json
"""

#: Norm of the class means in the companion experiment, whose next order is 256 times smaller.
_SMALL_MEANS = 2.0

#: Look of the tables.
_STYLE: dict[str, Any] = {"title_justify": "left", "title_style": "bold", "box": None, "pad_edge": False}


def main(argv: Sequence[str] | None) -> int:
    """Parse the arguments, run the experiments, print the verdicts."""
    arguments = _arguments(argv)
    _cli.prepare_output(arguments.json)
    names = arguments.activation or ["relu", "tanh", "swish"]
    activations = tuple(_cli.activation_argument(name) for name in names)

    from numerics.verification import equilibrium_verdict, forms_verdict, rate_verdict, slope_verdict

    released = _experiment(arguments, activations, arguments.means)
    console = _cli.console(error=arguments.json == "-")
    verdicts: list[Verdict] = [forms_verdict()]
    verdicts += [equilibrium_verdict(released, a, released.mixture(arguments.p[-1]).tau0) for a in activations]
    sections: list[dict[str, Any]] = []
    if all(verdict.kind.value != "refuted" for verdict in verdicts):
        evidence, section = _study("released experiment", released, arguments, console)
        sections.append(section)
        verdicts += [rate_verdict(part) for part in evidence]
        if not arguments.quick and arguments.means != _SMALL_MEANS:
            small = _experiment(arguments, activations, _SMALL_MEANS)
            evidence, section = _study("class means of norm 2", small, arguments, console)
            sections.append(section)
            verdicts += [slope_verdict(part) for part in evidence]
    stands = _print_verdicts(verdicts, console)
    if arguments.json:
        _cli.write_json(arguments.json, _record(arguments, activations, verdicts, sections, stands=stands))
    return 0 if stands else _cli.CLAIM_FAILED


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = _cli.Parser(__doc__ or "", _EXAMPLES)
    parser.add_argument("--activation", action="append", help="name or expression in x, repeatable")
    parser.add_argument("--quick", action="store_true", help="a smaller ladder, the released experiment only")
    parser.add_argument("--p", type=_ladder, metavar="P,P,...", help="dimensions (default 200,400,800,1600)")
    parser.add_argument(
        "--seeds", type=_cli.integer_between(1, 10_000), help="draws of the data at every p (default 16)"
    )
    parser.add_argument("--seed", type=_cli.integer_between(0, 2**63), default=0, help="root seed (default 0)")
    parser.add_argument("--sigma-a2", type=_cli.number, default=_cli.number("0.2"), help="recurrent weight variance")
    parser.add_argument("--sigma-b2", type=_cli.number, default=_cli.number("0.8"), help="input weight variance")
    parser.add_argument("--ratio", type=_cli.number, default=_cli.number("0.8"), help="n/p")
    parser.add_argument("--means", type=_cli.number, default=_cli.number("8"), help="norm of the class means")
    parser.add_argument("--cov-shift", type=_cli.number, default=_cli.number("8"), help="C_a = (1 + shift a/sqrt p) I")
    parser.add_argument(
        "--tau0-reading", choices=("population", "empirical"), default="population", help="tr C/p or tr S/n"
    )
    parser.add_argument("--jobs", type=_cli.integer_between(1, 1024), help="processes (default: one a core)")
    parser.add_argument("--json", metavar="PATH", help="write everything to a file, or to standard output for -")
    arguments = parser.parse_args(argv)
    arguments.p = arguments.p or ([200, 400, 800] if arguments.quick else [200, 400, 800, 1600])
    arguments.seeds = arguments.seeds or (6 if arguments.quick else 16)
    for name in ("sigma_a2", "sigma_b2", "ratio", "means", "cov_shift"):
        setattr(arguments, name, float(getattr(arguments, name)))
    return arguments


def _ladder(text: str) -> list[int]:
    read = _cli.integer_between(1, 100_000)
    return sorted({read(part.strip()) for part in text.split(",")})


def _experiment(arguments: argparse.Namespace, activations: tuple[Activation, ...], means: float) -> Experiment:
    from numerics.experiments import Experiment

    experiment = Experiment(
        activations=activations,
        sigma_a2=arguments.sigma_a2,
        sigma_b2=arguments.sigma_b2,
        ratio=arguments.ratio,
        means=means,
        cov_shift=arguments.cov_shift,
        reading=arguments.tau0_reading,
        seed=arguments.seed,
    )
    for p in arguments.p:
        try:
            experiment.mixture(p)
        except ValueError as error:
            raise _cli.UsageError(f"no data for p = {p}: {error}") from error
    return experiment


def _study(
    title: str, experiment: Experiment, arguments: argparse.Namespace, console: Console
) -> tuple[list[RateEvidence], dict[str, Any]]:
    """Run one experiment over the ladder, print its table, and return the evidence and the record for JSON."""
    import joblib
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from numerics.experiments import Cell, run_cells
    from numerics.verification import rate_evidence

    cells = [Cell(p, index) for p in arguments.p for index in range(arguments.seeds)]
    jobs = arguments.jobs or joblib.cpu_count()
    results: list[CellResult] = []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=_cli.console(error=True), transient=True) as progress:
        work = progress.add_task(f"{title}: draws", total=len(cells))
        for finished in run_cells(experiment, cells, jobs):
            results += finished
            progress.advance(work)
    results.sort(key=lambda r: (r.activation, r.p, r.index))
    evidence = [rate_evidence(a.name, results, arguments.seed) for a in experiment.activations]
    _print_errors(title, evidence, arguments, console)
    record = {
        "title": title,
        "means": experiment.means,
        "errors": [result.record() for result in results],
        "rates": [_rate_record(part) for part in evidence],
    }
    return evidence, record


def _rate_record(evidence: RateEvidence) -> dict[str, Any]:
    record: dict[str, Any] = {"activation": evidence.activation, "p": list(evidence.sizes)}
    record["mean_error"] = [sum(row) / len(row) for row in evidence.errors]
    if evidence.fit is not None:
        lines = (("plain", evidence.fit.plain), ("corrected", evidence.fit.corrected))
        for name, line in lines:
            if line is not None:
                record[f"slope_{name}"] = line.slope
                record[f"slope_{name}_interval"] = list(line.interval)
                record[f"slope_{name}_bootstrap"] = list(line.bootstrap)
        record["level"] = evidence.fit.level
    if evidence.check is not None:
        record["amplitudes_of_p^(-1/2)"] = list(evidence.check.amplitudes)
        record["lack_of_fit"] = evidence.check.lack_of_fit
        record["compatible"] = evidence.check.compatible
    return record


def _print_errors(title: str, evidence: list[RateEvidence], arguments: argparse.Namespace, console: Console) -> None:
    from rich.table import Table

    table = Table(title=f"‖G* − Ḡ‖, {title}, mean of {arguments.seeds} draws; slopes ± 95 %", **_STYLE)
    table.add_column("")
    for p in arguments.p:
        table.add_column(f"p = {p}", justify="right")
    table.add_column("slope", justify="right")
    table.add_column("corrected slope", justify="right")
    for part in evidence:
        means = [f"{sum(row) / len(row):.4g}" for row in part.errors]
        lines = (None, None) if part.fit is None else (part.fit.plain, part.fit.corrected)
        slopes = ["-" if x is None else f"{x.slope:.2f} ± {x.interval[1] - x.slope:.2f}" for x in lines]
        table.add_row(part.activation, *means, *slopes)
    console.print(table)


def _print_verdicts(verdicts: list[Verdict], console: Console) -> bool:
    """Print a line for every verdict and return whether all are as expected."""
    from rich.table import Table
    from rich.text import Text

    from theory.claims import CLAIMS

    table = Table(title="verdicts", **_STYLE)
    for heading in ("claim", "on", "verdict", "evidence"):
        table.add_column(heading, overflow="fold", no_wrap=heading != "evidence")
    stands = True
    for verdict in verdicts:
        met = verdict.kind == CLAIMS[verdict.claim].expected
        stands = stands and met
        style = "green" if met else "bold red"
        table.add_row(verdict.claim, verdict.subject, Text(verdict.kind.value, style), Text(verdict.evidence))
    console.print(table)
    console.print("every claim stands as expected" if stands else "a claim does not stand as expected")
    return stands


def _record(
    arguments: argparse.Namespace,
    activations: tuple[Activation, ...],
    verdicts: list[Verdict],
    sections: list[dict[str, Any]],
    *,
    stands: bool,
) -> dict[str, Any]:
    from theory.claims import CLAIMS

    kept = ("p", "seeds", "sigma_a2", "sigma_b2", "ratio", "means", "cov_shift", "tau0_reading", "quick")
    return {
        "status": "as expected" if stands else "not as expected",
        "parameters": {name: getattr(arguments, name) for name in kept}
        | {"activations": {a.name: str(a.expr) for a in activations}},
        "claims": [
            {"id": c.identifier, "statement": c.statement, "source": c.source, "expected": c.expected.value}
            for c in CLAIMS.values()
        ],
        "verdicts": [
            {"claim": v.claim, "subject": v.subject, "verdict": v.kind.value, "evidence": v.evidence} for v in verdicts
        ],
        "experiments": sections,
        **_cli.provenance(arguments.seed),
    }


if __name__ == "__main__":
    _cli.run(main)
