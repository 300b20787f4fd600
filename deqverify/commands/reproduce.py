"""Repeat the experiments of the released code StephenLi24/INN_eqvi_ENN, as released and as corrected.

Each experiment is repeated on fresh draws of data and weights: once with the formulas, variances and scales that the
released code has, once with those that the theory asks for.  Figures are means, with their standard errors in units of
the last digit in brackets; errors are operator norms of differences over that of the kernel.  Sizes are smaller than
those of the released code.  An experiment whose data set is not on this machine is left out, and the sentence says how
to get it.  Exit code 0: repeated; 2: bad use.
"""

from __future__ import annotations

import argparse
import math
import textwrap
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from deqverify.commands import _campaign_options, _errors, _layout, _options, _outputs, _processes, _progress

if TYPE_CHECKING:
    from rich.console import Console

    from numerics.released import Mean, ReleasedExperiment, Row, Scale

__all__ = ["main", "parser"]

_EXAMPLES = """\
  deqverify reproduce --quick
  deqverify reproduce --only ck-mnist --only pairs-mnist --draws 20
  deqverify reproduce --resume runs --json figures.json
"""
#: In the order in which they are shown; ``numerics.released`` says what they are.
_EXPERIMENTS = (
    "ck-mixture",
    "ntk-mixture",
    "ck-mnist",
    "ntk-mnist",
    "pairs-mixture",
    "pairs-mnist",
    "accuracy-mnist",
    "accuracy-fashion-mnist",
    "accuracy-cifar-10",
)
_HEADINGS = ("as released", "corrected")


def main(argv: Sequence[str] | None) -> int:
    """Parse the arguments, repeat the experiments, show."""
    arguments = parser().parse_args(argv)
    folder = _campaign_options.prepare(arguments)

    from numerics.data import DatasetError
    from numerics.released import EXPERIMENTS, measure_cell

    scale = _scale(arguments)
    asked = [name for name in _EXPERIMENTS if not arguments.only or name in arguments.only]
    left_out = _left_out(asked)
    chosen = [name for name in asked if name not in left_out]
    if not chosen:
        raise _errors.UsageError(next(iter(left_out.values())))
    cells = [{"experiment": name, "index": index} for name in chosen for index in range(scale.draws)]
    try:
        with _processes.one_blas_thread():
            found = _campaign_options.run_campaign(
                partial(measure_cell, scale, arguments.seed),
                cells,
                {"seed": arguments.seed, "scale": asdict(scale) | {"draws": None}},
                folder=folder,
                jobs=arguments.jobs,
                backend=arguments.backend,
                label="draws of experiments",
            )
    except DatasetError as error:
        raise _errors.UsageError(str(error)) from error
    rows = _rows(chosen, cells, found)
    if arguments.json != "-":
        console = _progress.console()
        for name in chosen:
            _show(console, EXPERIMENTS[name], rows[name])
        for name, sentence in left_out.items():
            _words(console, f"{EXPERIMENTS[name].title}: left out; {sentence}")
        _words(console, f"{scale.draws} draw{'s' if scale.draws > 1 else ''}, seed {arguments.seed}.")
    if arguments.json:
        _outputs.write_json(arguments.json, _record(arguments, scale, rows, left_out), "reproduce")
    return 0


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command's arguments."""
    parser = _options.Parser(__doc__ or "", _EXAMPLES)
    parser.add_argument("--quick", action="store_true", help="three draws at small sizes, in less than a minute")
    parser.add_argument(
        "--only",
        action="append",
        choices=_EXPERIMENTS,
        metavar="NAME",
        help=f"repeat only this experiment, repeatable: {', '.join(_EXPERIMENTS)}",
    )
    parser.add_argument(
        "--draws",
        type=_options.integer_between(1, 1000),
        help="draws of data and weights (default 10, with --quick 3)",
    )
    parser.add_argument("--seed", type=_options.integer_between(0, 2**63), default=0, help="root seed (default 0)")
    _campaign_options.add_arguments(parser)
    parser.add_argument("--json", metavar="PATH", help="write everything to a file, or to standard output for -")
    return parser


def _scale(arguments: argparse.Namespace) -> Scale:
    from numerics.released import SCALES

    scale = SCALES["quick" if arguments.quick else "default"]
    return scale if arguments.draws is None else replace(scale, draws=arguments.draws)


def _left_out(asked: Sequence[str]) -> dict[str, str]:
    """By experiment, how to get the data set that it lacks."""
    from numerics.data import missing_dataset
    from numerics.released import EXPERIMENTS

    sentences = {name: missing_dataset(EXPERIMENTS[name].dataset) for name in asked if EXPERIMENTS[name].dataset}
    return {name: sentence for name, sentence in sentences.items() if sentence}


def _rows(
    chosen: Sequence[str], cells: Sequence[dict[str, Any]], found: Sequence[dict[str, Any]]
) -> dict[str, list[Row]]:
    from numerics.released import summarise

    by_name: dict[str, list[dict[str, Any]]] = {name: [] for name in chosen}
    for cell, one in zip(cells, found, strict=True):
        by_name[cell["experiment"]].append(one)
    return {name: summarise(draws) for name, draws in by_name.items()}


def _show(console: Console, experiment: ReleasedExperiment, rows: Sequence[Row]) -> None:
    _words(console, f"{experiment.title} ({experiment.scripts})", style="bold")
    _layout.show_columns(
        console,
        (experiment.quantity, *_HEADINGS),
        [(row.name, _shown(row.released), _shown(row.corrected)) for row in rows],
        left=(0,),
    )
    _words(console, f"{experiment.differs[0].upper()}{experiment.differs[1:]}.")
    console.print()


def _shown(mean: Mean | None) -> str:
    """A mean with its standard error in units of the last digit, such as 0.123(4)."""
    if mean is None:
        return "-"
    if not mean.error > 0:
        return f"{mean.value:.3g}"
    order = math.floor(math.log10(mean.error))
    # A leading 1 is given with the digit after it.
    places = max(0, (1 if mean.error < 2 * 10**order else 0) - order)
    return f"{mean.value:.{places}f}({round(mean.error * 10**places)})"


def _words(console: Console, text: str, style: str = "") -> None:
    for line in textwrap.wrap(text, console.width, break_on_hyphens=False):
        _layout.print_parts(console, [(0, line, style)])


def _record(
    arguments: argparse.Namespace, scale: Scale, rows: dict[str, list[Row]], left_out: dict[str, str]
) -> dict[str, Any]:
    from numerics.released import EXPERIMENTS

    def plain(mean: Mean | None) -> dict[str, Any] | None:
        return None if mean is None else asdict(mean) | {"error": None if math.isnan(mean.error) else mean.error}

    experiments = [
        {
            "name": name,
            "title": EXPERIMENTS[name].title,
            "scripts": EXPERIMENTS[name].scripts,
            "quantity": EXPERIMENTS[name].quantity,
            "dataset": EXPERIMENTS[name].dataset or None,
            "differs": EXPERIMENTS[name].differs,
            "rows": [
                {"name": row.name, "released": plain(row.released), "corrected": plain(row.corrected)} for row in found
            ],
        }
        for name, found in rows.items()
    ]
    return {
        "experiments": experiments,
        "left_out": left_out,
        "parameters": asdict(scale) | {"quick": arguments.quick},
    } | _outputs.provenance(arguments.seed)
