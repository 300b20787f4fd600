"""Watch the theory become true: errors against size, log-log, with the slopes that they support.

--against p: operator-norm distance between the exact infinite-width kernel of a draw and its high-dimensional
equivalent, over dimensions p with n = ratio p samples.  --against m: distance between the kernel of one finite
network of m neurons and the infinite-width kernel of the same samples, at one p.  Theory: both fall like the
size to the power -1/2.  With --explicit the DEQ's kernel is compared with those of two explicit networks instead: the
one that deqverify design finds (theory: the same fall with p) and a naive one, one layer of the DEQ's own activation
(a floor is left); with --against m these are pairs of finite networks of equal width.
Exit code 0: the rate is supported; 1: it is refuted; 2: bad use; 3: the data cannot tell, and the verdict says what is
missing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from deqverify.commands import (
    _campaign_options,
    _cells,
    _errors,
    _figures,
    _layout,
    _mixture_options,
    _options,
    _outputs,
    _processes,
    _progress,
)
from theory.claims import RateVerdict

if TYPE_CHECKING:
    import argparse

    from rich.console import Console

    from numerics.experiments import Experiment, Ladder
    from theory.activations import Activation
    from theory.equations import CoupledDEQ

__all__ = ["main", "parser"]

_EXAMPLES = """\
  deqverify converge  # ReLU, CK, p = 200 ... 1600
  deqverify converge --against m --activation tanh --p 100 --png width.png
  deqverify converge --against m --weights rademacher --data student --activation relu --activation tanh
  deqverify converge --sizes 400,800,1600,3200 --draws 20 --resume runs --json result.json
  deqverify converge --deq cell.toml --means 3
  deqverify converge --explicit --activation elu --means 2 --png pair.png
"""

_VERDICTS = _options.verdict_lines({verdict.value: verdict.meaning for verdict in RateVerdict if verdict})

_SIZES = {"p": [200, 400, 800, 1600], "m": [200, 400, 800, 1600]}
#: A network of this many neurons holds 3.2 GB of recurrent weights.
_LARGEST = 20_000


def main(argv: Sequence[str] | None) -> int:
    """Parse the arguments, run the campaign, show and write what came out."""
    arguments = _arguments(argv)
    for option in ("png", "pdf"):
        _prepare_picture(option, getattr(arguments, option))
    folder = _campaign_options.prepare(arguments)
    if arguments.deq is not None:
        cell = _cells.read_cell(arguments.deq)
        with _processes.one_blas_thread():
            results = list(_study_states(arguments, cell, folder))
        return _shown(results, arguments, [], cell)
    activations = [_options.activation_argument(name, dict(arguments.parameter)) for name in arguments.activation]
    experiment = _experiment(arguments)

    from numerics.experiments import NoMatchError
    from numerics.networks import NonConvergenceError

    try:
        with _processes.one_blas_thread():
            results = [row for activation in activations for row in _study(arguments, experiment, activation, folder)]
    except (NonConvergenceError, NoMatchError) as error:
        raise _errors.UsageError(str(error)) from error
    return _shown(results, arguments, activations)


def _shown(
    results: Sequence[Ladder],
    arguments: argparse.Namespace,
    activations: Sequence[Activation],
    cell: CoupledDEQ | None = None,
) -> int:
    """Print, draw and write what came out; the exit code."""
    console = _progress.console(error=arguments.json == "-")
    _print(results, arguments, console)
    for option, target in (("--png", arguments.png), ("--pdf", arguments.pdf)):
        if target:
            _draw(results, arguments, target, option)
    if arguments.json:
        record = _record(results, arguments, activations, cell)
        _outputs.write_json(arguments.json, record, "converge" if cell is None else "converge-states")
    verdicts = {result.verdict for result in results}
    if RateVerdict.REFUTED in verdicts:
        return _errors.CLAIM_FAILED
    return _errors.UNDECIDED if RateVerdict.UNDECIDED in verdicts else 0


def parser() -> _options.Parser:
    """Return the parser of the command's arguments."""
    parser = _options.Parser(__doc__ or "", _EXAMPLES, _VERDICTS, activations=True)
    parser.add_argument("--against", choices=("p", "m"), default="p", help="dimension p (default) or width m")
    parser.add_argument(
        "--explicit", action="store_true", help="compare with a matched and a naive explicit network instead"
    )
    parser.add_argument("--activation", action="append", help="name or expression in x, repeatable (default relu)")
    _options.add_parameter(parser)
    _cells.add_deq(parser)
    parser.add_argument("--sizes", type=_ladder, metavar="N,N,...", help="values of p or m (default 200,400,800,1600)")
    parser.add_argument(
        "--p", type=_options.integer_between(1, _LARGEST), help="dimension for --against m (default 100)"
    )
    parser.add_argument(
        "--draws", type=_options.integer_between(1, 10_000), default=16, help="of every size (default 16)"
    )
    _options.add_kernel(parser)
    _mixture_options.add_arguments(parser, means="8", noise="data", shape="I")
    parser.add_argument(
        "--tau0-reading", choices=("population", "empirical"), default="population", help="tr C/p or tr S/n"
    )
    parser.add_argument("--seed", type=_options.integer_between(0, 2**63), default=0, help="root seed (default 0)")
    _campaign_options.add_arguments(parser)
    parser.add_argument("--png", metavar="PATH", help="draw the errors, the law that was tested and its verdict")
    parser.add_argument("--pdf", metavar="PATH", help="the same as PDF")
    parser.add_argument("--json", metavar="PATH", help="write everything to a file, or to standard output for -")
    return parser


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    options = parser()
    arguments = options.parse_args(argv)
    if arguments.deq is not None:
        _check_states(options.given(argv), arguments)
    if arguments.against == "p":
        for option in ("p", "weights"):
            if getattr(arguments, option) is not None:
                raise _errors.UsageError(
                    f"--{option} is of finite networks: give it with --against m, or --sizes for the dimensions"
                )
    if arguments.explicit and arguments.weights is not None:
        raise _errors.UsageError("--weights is not for --explicit, whose networks have Gaussian weights: leave one out")
    arguments.activation = arguments.activation or ["relu"]
    arguments.sizes = arguments.sizes or _SIZES[arguments.against]
    arguments.p = arguments.p or 100
    arguments.weights = arguments.weights or "gaussian"
    _mixture_options.read(arguments)
    return arguments


def _check_states(given: frozenset[str], arguments: argparse.Namespace) -> None:
    """A file describes the DEQ; of its states there is the CK against its equivalent."""
    described = {"activation", "parameter", "sigma_a2", "sigma_b2"} & given
    if described:
        raise _errors.UsageError(f"--deq describes the DEQ, and so does {_cells.spelled(described)}: give one of them")
    asked = {"explicit", "kernel"} & given | ({"against"} if arguments.against == "m" else set())
    if asked:
        raise _errors.UsageError(
            f"{_cells.spelled(asked)} is for one centred state: with --deq the CKs of all states are compared with "
            "their equivalents"
        )


def _ladder(text: str) -> list[int]:
    read = _options.integer_between(1, _LARGEST)
    return sorted({read(part.strip()) for part in text.split(",")})


def _prepare_picture(option: str, target: str | None) -> None:
    if target is not None and not target.lower().endswith(f".{option}") and not _figures.is_device(target):
        raise _errors.UsageError(f"--{option} {target}: give a file that ends in .{option}")
    _figures.prepare_figure(f"--{option}", target)


def _experiment(arguments: argparse.Namespace, kernels: int = 1) -> Experiment:
    """The data; of so many kernels at a time, as many states have."""
    from numerics.memory import check_memory
    from numerics.records import workers

    largest = max(arguments.sizes)
    dimension, width = (largest, 0) if arguments.against == "p" else (arguments.p, largest)
    jobs = workers(arguments.jobs, arguments.draws)
    check_memory(round(arguments.ratio * dimension), dimension, width, jobs=jobs * kernels)
    dimensions = arguments.sizes if arguments.against == "p" else [arguments.p]
    return _mixture_options.experiment(arguments, dimensions, reading=arguments.tau0_reading)


def _study(
    arguments: argparse.Namespace, experiment: Experiment, activation: Activation, folder: Any
) -> tuple[Ladder, ...]:
    """Compute every cell of one activation that is not recorded yet, and put the errors to the test."""
    from numerics.experiments import ConvergenceStudy, experiment_question

    study = ConvergenceStudy(
        experiment,
        activation,
        arguments.kernel,
        tuple(arguments.sizes),
        arguments.draws,
        width_dimension=None if arguments.against == "p" else arguments.p,
        weights=arguments.weights,
        explicit=arguments.explicit,
    )
    question = experiment_question(
        experiment, activation, kernel=arguments.kernel, weights=arguments.weights, explicit=arguments.explicit
    )
    found = _campaign_options.run_campaign(
        study.measure,
        study.cells(),
        question,
        folder=folder,
        jobs=arguments.jobs,
        backend=arguments.backend,
        label=f"{activation.name}, {arguments.kernel}: draws",
    )
    return study.ladders(found)


def _study_states(arguments: argparse.Namespace, cell: CoupledDEQ, folder: Any) -> tuple[Ladder, ...]:
    """The same for every state of a DEQ that a file describes."""
    from numerics.experiments import CoupledStudy
    from numerics.moments import UncertifiedError

    study = CoupledStudy(_experiment(arguments, len(cell.states)), cell, tuple(arguments.sizes), arguments.draws)
    try:
        found = _campaign_options.run_campaign(
            study.measure,
            study.cells(),
            study.question(),
            folder=folder,
            jobs=arguments.jobs,
            backend=arguments.backend,
            label="states of the DEQ, ck: draws",
        )
    except UncertifiedError as error:
        raise _errors.UndecidedError(f"not certified: {error}") from error
    return study.ladders(found)


def _distance(arguments: argparse.Namespace) -> str:
    letter = "G" if arguments.kernel == "ck" else "K"
    if arguments.explicit:
        return f"‖{letter}_DEQ − {letter}_explicit‖"
    return f"‖{letter}* − {letter}̄‖" if arguments.against == "p" else f"‖{letter}ₘ − {letter}*‖"


def _print(results: Sequence[Ladder], arguments: argparse.Namespace, console: Console) -> None:
    from numerics.experiments import summary

    at = "" if arguments.against == "p" else f" at p = {arguments.p}"
    kernel = _figures.KERNEL_NAMES[arguments.kernel]
    title = f"{_distance(arguments)}{at}, {kernel}, {_of(arguments.draws)}"
    # Not the table's own title, which would be broken to the width of the table.
    console.print(title, style="bold")
    headings = ["", *(f"{arguments.against} = {size}" for size in arguments.sizes)]
    if results[0].limit:
        headings.append(f"{arguments.against} = ∞")
    rows = []
    for result in results:
        shown = []
        for mean, spread in [*result.means, *([summary(result.limit)] if result.limit else [])]:
            shown.append(f"{mean:.3g}" if spread is None else f"{mean:.3g} ± {spread:.1g}")
        rows.append((result.label, *shown, *[""] * (len(headings) - 1 - len(shown))))
        if result.floor:
            floors = [f"{summary(row)[0]:.3g}" for row in result.floor]
            rows.append((f"{result.activation}, floor", *floors, *[""] * (len(headings) - 1 - len(floors))))
    _layout.show_columns(console, headings, rows, left=(0,))
    for result in results:
        verdict = f"{result.verdict}. " if result.verdict else ""
        _layout.show_line(console, f"{result.label}: {verdict}{result.report.sentence}.", below=result.report.limits)


def _of(draws: int) -> str:
    return "1 draw" if draws == 1 else f"mean of {draws} draws ± standard error"


def _draw(results: Sequence[Ladder], arguments: argparse.Namespace, target: str, option: str) -> None:
    """Errors of every draw, their means, and the law that was tested, with its verdict."""
    from numerics.experiments import summary
    from numerics.publish import convergence_figure, made_from

    at = "" if arguments.against == "p" else f", $p = {arguments.p}$"
    weights = rf"$\sigma_a^2 = {arguments.sigma_a2:g}$, $\sigma_b^2 = {arguments.sigma_b2:g}$"
    weights = weights if arguments.deq is None else "all states"
    figure = convergence_figure(
        arguments.sizes,
        {result.label: result.errors for result in results},
        {result.label: result.report for result in results},
        verdicts={result.label: result.verdict for result in results},
        floors={r.label: [summary(row)[0] for row in r.floor] for r in results if r.floor},
        limits={r.label: summary(r.limit)[0] for r in results if r.limit},
        symbol=arguments.against,
        ylabel=_mathtext_distance(arguments),
        title=f"{_figures.KERNEL_NAMES[arguments.kernel]}: $n = {arguments.ratio:g}\\,p${at}, {weights}",
        caption=made_from(
            rf"$\|\mu\| = {arguments.means:g}$",
            f"{arguments.draws} draws of every size" + (" (mean ± standard error)" if arguments.draws > 1 else ""),
            f"seed {arguments.seed}",
        ),
    )
    _figures.write_figure(target, figure, option)


def _mathtext_distance(arguments: argparse.Namespace) -> str:
    """The distance measured, as a formula."""
    letter = "G" if arguments.kernel == "ck" else "K"
    if arguments.explicit:
        return rf"$\|{letter}_{{\mathrm{{DEQ}}}} - {letter}_{{\mathrm{{explicit}}}}\|$"
    first, second = (
        (f"{letter}^*", rf"\bar{{{letter}}}") if arguments.against == "p" else (f"{letter}_m", f"{letter}^*")
    )
    return rf"$\|{first} - {second}\|$"


def _record(
    results: Sequence[Ladder],
    arguments: argparse.Namespace,
    activations: Sequence[Activation],
    cell: CoupledDEQ | None = None,
) -> dict[str, Any]:
    if cell is not None:
        names = ("sizes", "draws", "ratio", "means", "cov_shift", "tau0_reading")
        params = {name: getattr(arguments, name) for name in names} | {"data": arguments.noise}
        return {
            "params": params | _cells.description(cell),
            "results": [result.record() for result in results],
            **_outputs.provenance(arguments.seed),
        }
    kept = (
        "against",
        "sizes",
        "draws",
        "kernel",
        "sigma_a2",
        "sigma_b2",
        "ratio",
        "means",
        "cov_shift",
        "tau0_reading",
    )
    params = {name: getattr(arguments, name) for name in (*kept, "explicit")} | {"data": arguments.noise}
    if arguments.against == "m":
        params |= {"p": arguments.p, "weights": arguments.weights}
    return {
        "params": params | {"activations": {a.name: str(a.expr) for a in activations}},
        "results": [result.record() for result in results],
        **_outputs.provenance(arguments.seed),
    }
