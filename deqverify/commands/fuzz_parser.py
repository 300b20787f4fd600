"""Fuzz the activation parser: many odd texts, each of which must be read or refused, and quickly.

Seven kinds of text are drawn from one seed: random sentences of the grammar, the same without x, calls as in libraries,
mutations of valid activations, shuffled tokens, towers (deep, long and large on purpose) and noise.

With --to derive or --to solve the texts that are read go on to their moments or certified coefficients, in processes
that are watched: no traceback, nothing beyond the budget of time and memory, no wrong certified number.
Exit code 0: every text was read or refused in time; 1: one was not; 2: bad use.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from deqverify.commands import _budgets, _errors, _fuzz_way, _options, _outputs

if TYPE_CHECKING:
    from deqverify.commands._fuzzing import FuzzReport

__all__ = ["main", "parser"]

_EXAMPLES = """\
  deqverify fuzz-parser --inputs 2000
  deqverify fuzz-parser --seed 1 --json -
  deqverify fuzz-parser --to solve --inputs 100
"""


def main(argv: Sequence[str] | None) -> int:
    """Parse the arguments, try the texts, print."""
    options = parser().parse_args(argv)
    if options.to != "parse":
        return _whole_way(options)
    from deqverify.commands._fuzzing import fuzz

    options.inputs = options.inputs or 200_000
    report = fuzz(options.inputs, options.seed, progress=_progress_to_stderr(options.inputs))
    if options.json != "-":
        print("\n".join(_table(report)))
    if options.json:
        _outputs.write_json(options.json, vars(report), "fuzz-parser")
    return _errors.CLAIM_FAILED if report.failures else 0


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command's arguments."""
    parser = _options.Parser(__doc__ or "", _EXAMPLES)
    parser.add_argument(
        "--inputs", type=_options.integer_between(1, 10**9), help="number of texts (default 200000, or 200)"
    )
    parser.add_argument(
        "--seed", type=_options.integer_between(0, 2**63), default=0, help="seed of the texts (default 0)"
    )
    parser.add_argument("--json", metavar="PATH", help="write the report to a file, or to standard output for -")
    parser.add_argument(
        "--to", choices=("parse", *_fuzz_way.GOALS), default="parse",
        help="how far texts are taken: the parser alone, the moments, or certified coefficients (default parse)",
    )  # fmt: skip
    parser.add_argument(
        "--jobs", type=_options.integer_between(1, 256), default=2, help="processes, but for the parser (default 2)"
    )
    parser.add_argument(
        "--compare", type=_options.integer_between(0, 100), default=20, metavar="PERCENT",
        help="part of the texts whose certified numbers are compared with plain quadrature (default 20)",
    )  # fmt: skip
    _budgets.add_budget(parser)
    return parser


def _progress_to_stderr(inputs: int) -> Callable[[int, FuzzReport], None]:
    last = [time.perf_counter()]

    def show(done: int, report: FuzzReport) -> None:
        if time.perf_counter() - last[0] < 5.0 and done < inputs:
            return
        last[0] = time.perf_counter()
        print(
            f"{done}/{inputs} texts, {done / report.seconds:.0f} a second, "
            f"{len(report.failures)} failures, slowest {report.slowest_seconds:.2f} s",
            file=sys.stderr,
        )

    return show


def _table(report: FuzzReport) -> Iterator[str]:
    yield f"{'kind':<12}{'accepted':>10}{'refused':>10}"
    for kind in sorted({*report.accepted, *report.refused}):
        yield f"{kind:<12}{report.accepted[kind]:>10}{report.refused[kind]:>10}"
    yield f"{'all':<12}{report.accepted.total():>10}{report.refused.total():>10}"
    yield ""
    yield "refused because"
    for reason, count in report.reasons.most_common():
        yield f"{count:>9}  {reason}"
    yield ""
    yield f"slowest text: {report.slowest_seconds:.3f} s (limit {report.limit_seconds:g} s)"
    yield f"    {report.slowest_text!r}"
    yield f"failures: {len(report.failures)} of {report.inputs} texts, in {report.seconds:.0f} s"
    for failure in report.failures[:20]:
        yield f"    {failure['text']!r}: {failure['failure']}"


def _whole_way(options: argparse.Namespace) -> int:
    """Take texts to the moments or the coefficients; print and write what came of them."""
    from deqverify.commands._fuzzing import activation_texts

    begun = last = time.perf_counter()
    inputs = options.inputs or 200

    def show(done: int, results: Sequence[dict[str, Any]]) -> None:
        nonlocal last
        if time.perf_counter() - last < 5.0 and done < inputs:
            return
        last = time.perf_counter()
        failed = sum(result["outcome"] == "failure" for result in results)
        slowest = max(result["seconds"] for result in results)
        print(f"{done}/{inputs} texts, {failed} failures, slowest {slowest:.1f} s", file=sys.stderr)

    texts = activation_texts(inputs, options.seed)
    results = _fuzz_way.walk_all(texts, options.to, options.budget, options.jobs, options.compare / 100, show)
    failures = [result for result in results if result["outcome"] == "failure"]
    if options.json != "-":
        outcomes = Counter(result["outcome"] for result in results)
        print("; ".join(f"{outcome}: {count}" for outcome, count in outcomes.most_common()))
        print(f"compared with quadrature: {sum(result['compared'] for result in results)}")
        print(f"largest memory: {max(result['memory'] for result in results):.2f} GiB; slowest:")
        for result in sorted(results, key=lambda result: -float(result["seconds"]))[:5]:
            print(f"{result['seconds']:8.1f} s  {result['text']!r}: {result['outcome']} {result['what']}")
        print(f"failures: {len(failures)} of {len(results)} texts")
        for result in failures[:20]:
            print(f"    {result['text']!r}: {result['what']}")
    if options.json:
        record = {"inputs": inputs, "seed": options.seed, "to": options.to, "budget": options.budget}
        record |= {"seconds": time.perf_counter() - begun, "results": results} | _outputs.provenance(options.seed)
        _outputs.write_json(options.json, record, "fuzz-parser-to")
    return _errors.CLAIM_FAILED if failures else 0
