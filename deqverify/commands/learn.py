"""Predict what a readout on a kernel learns, from the population alone, and measure it on draws of the data.

The data are K classes of p-dimensional samples, as in deqverify spectrum; labels are +1 and -1 for two classes, else
one output a class, 1 against -1.  The readout has no intercept.  It is ridge regression with a penalty relative to
tr(kernel)/n, or with --time gradient flow from 0, stopped at a time in units of n/tr(kernel).  Four learners see the
same samples: the DEQ, the explicit network with its kernel (matched), one layer of its activation (naive), and S itself
(linear).

The kernels are the exact ones of infinite width; with --width M the features are the states of finite networks of M
neurons.  Predictions for finite DEQs rest on a conjecture; for more than one explicit layer nothing is predicted then.
--against draws errors along a penalty, n/p, time or width.
Exit code 0: compared; 2: bad use.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import astuple
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deqverify.commands import (
    _campaign_options,
    _errors,
    _figures,
    _learn_output,
    _mixture_options,
    _options,
    _outputs,
    _processes,
    _progress,
)

if TYPE_CHECKING:
    from numerics.experiments import LearningStudy, Readout
    from theory.activations import Activation

__all__ = ["main", "parser"]

_EXAMPLES = """\
  deqverify learn --activation relu --means 2 --ridge 0.1
  deqverify learn --activation tanh --kernel ntk-all --time 10 --json -
  deqverify learn --activation swish --means 3 --against ridge --png ridge.png
  deqverify learn --activation relu --p 400 --ridge 1e-4 --against width --png descent.png
  deqverify learn --activation "max(x, x/10)" --classes 3 --means 4 --draws 20 --resume runs
"""

_FEWEST_SAMPLES, _MOST_SAMPLES = 16, 10_000
_WIDEST = 20_000
#: Numbers in the kernel of fresh samples with the training samples.
_MOST_PAIRS = 400_000_000
#: n x n arrays of a draw.
_SQUARES = 5
#: Values along which errors are measured, as multiples: of 1 for penalty, ratio and time, of n for the width.
_GRIDS = {
    "ridge": (1e-3, 1e-2, 1e-1, 1.0, 10.0),
    "ratio": (0.2, 0.4, 0.8, 1.6),
    "time": (0.1, 1.0, 10.0, 100.0, 1000.0),
    "width": (0.25, 0.5, 0.8, 1.0, 1.25, 2.0, 4.0),
}


def main(argv: Sequence[str] | None) -> int:
    """Parse the arguments, predict, measure, show."""
    arguments = _arguments(argv)
    _figures.prepare_figure("--png", arguments.png)
    _figures.prepare_figure("--pdf", arguments.pdf)
    folder = _campaign_options.prepare(arguments)
    activation = _options.activation_argument(arguments.activation, dict(arguments.parameter))
    with _processes.one_blas_thread():
        _check_sizes(arguments)
        found = _compared(arguments, activation, folder)
    if arguments.json != "-":
        found.show(_progress.console())
    for option, target in (("--png", arguments.png), ("--pdf", arguments.pdf)):
        if target:
            found.draw(target, option)
    if arguments.json:
        _outputs.write_json(arguments.json, found.record(), "learn")
    return 0


def parser() -> _options.Parser:
    """Return the parser of the command's arguments."""
    parser = _options.Parser(__doc__ or "", _EXAMPLES, activations=True)
    parser.add_argument("--activation", default="relu", help="name or expression in x (default relu)")
    _options.add_parameter(parser)
    parser.add_argument("--p", type=_options.integer_between(1, 100_000), default=800, help="dimension (default 800)")
    _mixture_options.add_arguments(parser, means="2", noise="noise", shape="I")
    parser.add_argument(
        "--classes", type=_options.integer_between(2, 20), default=2, metavar="K", help="classes (default 2)"
    )
    _options.add_kernel(parser)
    parser.add_argument("--ridge", type=_options.number, help="penalty, relative to tr(kernel)/n (default 1/10)")
    parser.add_argument("--time", type=_options.number, help="of gradient flow, in units of n/tr(kernel)")
    parser.add_argument(
        "--width", type=_options.integer_between(1, _WIDEST), metavar="M", help="finite networks of M neurons"
    )
    parser.add_argument(
        "--learners", type=_learners, default="deq,matched,naive,linear", metavar="L,L,...", help="which (default all)"
    )
    parser.add_argument("--against", choices=tuple(_GRIDS), help="draw errors along this")
    parser.add_argument(
        "--values", type=_values, metavar="V,V,...", help="where along it errors are measured (default: five or so)"
    )
    parser.add_argument("--draws", type=_options.integer_between(1, 1000), default=8, help="of the data (default 8)")
    parser.add_argument(
        "--tests", type=_options.integer_between(100, 1_000_000), default=4000, help="fresh samples (default 4000)"
    )
    parser.add_argument("--seed", type=_options.integer_between(0, 2**63), default=0, help="root seed (default 0)")
    _campaign_options.add_arguments(parser)
    parser.add_argument("--png", metavar="PATH", help="with --against: write the picture as PNG")
    parser.add_argument("--pdf", metavar="PATH", help="with --against: write the picture as PDF")
    parser.add_argument("--json", metavar="PATH", help="write everything to a file, or to standard output for -")
    return parser


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    options = parser()
    arguments = options.parse_args(argv)
    against = arguments.against
    if arguments.ridge is not None and arguments.time is not None:
        raise _errors.UsageError("--ridge is of ridge regression and --time of gradient flow: give one of them")
    for option in ("ridge", "time"):
        value = getattr(arguments, option)
        if value is not None and not value > 0:
            raise _errors.UsageError(f"--{option} must be a finite number > 0, not {float(value):g}")
    if against in ("ridge", "time"):
        for option in ("ridge", "time"):
            if getattr(arguments, option) is not None:
                raise _errors.UsageError(f"--against {against} takes its values from --values: leave --{option} out")
    if against == "width" and arguments.width is not None:
        raise _errors.UsageError("--against width takes its values from --values: leave --width out")
    if against is None:
        for option in ("values", "png", "pdf"):
            if getattr(arguments, option) is not None:
                raise _errors.UsageError(
                    f"--{option} is of a curve: give it with --against ridge, ratio, time or width"
                )
    at_width = arguments.width is not None or against == "width"
    if at_width and arguments.kernel != "ck":
        raise _errors.UsageError(
            "what is learned on the NTK of finite networks is not known: --width and --against width take --kernel ck"
        )
    if at_width and (arguments.time is not None or against == "time"):
        raise _errors.UsageError("gradient flow on finite networks is not predicted: leave --width or --time out")
    if arguments.weights is not None:
        raise _errors.UsageError("the finite networks have Gaussian weights: leave --weights out")
    if arguments.ridge is None and arguments.time is None:
        arguments.ridge = 0.1
    arguments.ridge, arguments.time = (
        None if value is None else float(value) for value in (arguments.ridge, arguments.time)
    )
    if arguments.time is not None:
        arguments.ridge = None
    _mixture_options.read(arguments)
    if against is not None:
        arguments.values = _placed(arguments)
    return arguments


def _placed(arguments: argparse.Namespace) -> tuple[float, ...]:
    """The values of the curve, ascending, whole numbers for widths."""
    samples = round(arguments.ratio * arguments.p)
    unit = samples if arguments.against == "width" and arguments.values is None else 1
    values = [unit * value for value in arguments.values or _GRIDS[arguments.against]]
    if arguments.against != "width":
        return tuple(sorted(set(values)))
    widths = sorted({round(value) for value in values})
    if widths[0] < 1 or widths[-1] > _WIDEST or (arguments.values and any(v % 1 for v in values)):
        raise _errors.UsageError(f"--values are widths here: whole numbers from 1 to {_WIDEST} are accepted")
    return tuple(map(float, widths))


def _learners(text: str) -> tuple[str, ...]:
    """Read names of learners."""
    known = ("deq", "matched", "naive", "linear")
    names = [part.strip() for part in text.split(",")]
    if "deq" not in names or not set(names) <= set(known):
        raise argparse.ArgumentTypeError(f"must be deq and some of {', '.join(known[1:])}, not {text!r}")
    return tuple(name for name in known if name in names)


def _values(text: str) -> tuple[float, ...]:
    """Read positive numbers."""
    values = tuple(float(_options.number(part)) for part in text.split(","))
    if not all(0 < value < float("inf") for value in values):
        raise argparse.ArgumentTypeError(f"must be positive numbers, such as 0.01,0.1,1, not {text!r}")
    return values


def _check_sizes(arguments: argparse.Namespace) -> None:
    """Refuse, in a sentence, sizes that cannot be or do not fit into memory.

    Raises:
        UsageError: a number out of range.
        NotEnoughMemoryError: sizes beyond this machine's memory.
    """
    from numerics.memory import check_memory
    from numerics.records import workers

    ratio = max(arguments.values) if arguments.against == "ratio" else arguments.ratio
    least = min(arguments.values) if arguments.against == "ratio" else arguments.ratio
    width = int(max(arguments.values)) if arguments.against == "width" else arguments.width or 0
    for samples, given in ((least * arguments.p, least), (ratio * arguments.p, ratio)):
        if not _FEWEST_SAMPLES <= samples <= _MOST_SAMPLES:
            raise _errors.UsageError(
                f"--p {arguments.p} and n/p = {given:g} make {samples:.6g} samples; from {_FEWEST_SAMPLES} to "
                f"{_MOST_SAMPLES} are accepted, since the kernel of n samples is an n x n matrix"
            )
    samples = round(ratio * arguments.p)
    if max(samples, arguments.p, width) * arguments.tests > _MOST_PAIRS:
        raise _errors.UsageError(
            f"--tests {arguments.tests} beside {max(samples, arguments.p, width)} samples, dimensions or neurons make "
            f"more than {_MOST_PAIRS:.3g} numbers; fewer fresh samples are accepted"
        )
    # The kernel of fresh samples is a few more of such squares.
    squares = _SQUARES + -(-4 * arguments.tests // samples)
    check_memory(samples, arguments.p, width, squares=squares, jobs=workers(arguments.jobs, arguments.draws))


def _compared(
    arguments: argparse.Namespace, activation: Activation, folder: Path | None
) -> _learn_output.LearningComparison:
    """Predictions, and the scores of all draws beside them."""
    from numerics.experiments import NoMatchError, Readout, best_ridge
    from numerics.networks import NonConvergenceError
    from numerics.spectrum import SpectralLawError
    from theory.equations import EquilibriumError

    kind = "time" if arguments.time is not None or arguments.against == "time" else "ridge"
    base = arguments.time if kind == "time" else arguments.ridge
    values: tuple[float | None, ...] = arguments.values if arguments.against else (None,)
    learners, notes = arguments.learners, list[str]()
    try:
        with _progress.console(error=True).status("the law of what is learned"):
            study = _study(arguments, activation, values[0])
            learners = _possible(study, learners, notes)
            readouts = _readouts(kind, base, arguments, values)
            linear = best_ridge(study.law("linear")) if "linear" in learners else None
            predicted = {
                learner: [
                    _study(arguments, activation, value).predict(learner, readout)
                    for value, readout in zip(values, readouts, strict=True)
                ]
                for learner in learners
            }
            fine = _fine(arguments, activation, learners, kind, base) if arguments.against else None
            best = None
            if linear is not None and (scores := study.predict("linear", Readout("ridge", linear))) is not None:
                best = linear, scores
        measured = _measure(arguments, activation, learners, values, readouts, linear, folder)
    except EquilibriumError:
        raise
    except (NoMatchError, NonConvergenceError, SpectralLawError) as error:
        raise _errors.UsageError(str(error)) from error
    except ValueError as error:
        raise _errors.UsageError(f"nothing is predicted: {error}") from error
    return _learn_output.LearningComparison(
        arguments, activation, study.mixture.samples, learners, values, predicted, measured, best, fine, tuple(notes)
    )


def _readouts(kind: Any, base: float, arguments: argparse.Namespace, values: Sequence[float | None]) -> list[Readout]:
    from numerics.experiments import Readout

    along = arguments.against in ("ridge", "time")
    return [Readout(kind, value if along and value is not None else base) for value in values]


def _possible(study: LearningStudy, learners: Sequence[str], notes: list[str]) -> tuple[str, ...]:
    """Learners that there are: some DEQs have no matched network."""
    from numerics.experiments import NoMatchError, designed

    if "matched" not in learners:
        return tuple(learners)
    try:
        designed(study.deq, study.kernel)
    except NoMatchError as error:
        notes.append(f"no matched network: {error}")
        return tuple(learner for learner in learners if learner != "matched")
    return tuple(learners)


def _study(arguments: argparse.Namespace, activation: Activation, value: float | None) -> LearningStudy:
    """The study at one value of what errors are drawn along."""
    from numerics.experiments import LearningStudy
    from theory.kernels import Kernel

    changed = argparse.Namespace(**vars(arguments))
    if arguments.against == "ratio" and value is not None:
        changed.ratio = value
    width = int(value) if arguments.against == "width" and value is not None else arguments.width
    experiment = _mixture_options.experiment(changed, [arguments.p], classes=arguments.classes)
    return LearningStudy(experiment, activation, Kernel.read(arguments.kernel), arguments.p, width)


def _fine(
    arguments: argparse.Namespace, activation: Activation, learners: Sequence[str], kind: Any, base: float
) -> _learn_output.Fine:
    """Predictions between the values, for the picture."""
    import numpy as np

    low, high = min(arguments.values), max(arguments.values)
    places = np.geomspace(low, high, 25) if high > low else np.array([low])
    if arguments.against == "width":
        places = np.unique(np.round(places))
    if arguments.against == "ratio":
        # Whole numbers of samples.
        places = np.unique(np.round(places * arguments.p)) / arguments.p
    readouts = _readouts(kind, base, arguments, places.tolist())
    found = {
        learner: [
            _study(arguments, activation, value).predict(learner, readout)
            for value, readout in zip(places.tolist(), readouts, strict=True)
        ]
        for learner in learners
    }
    return _learn_output.Fine(places, found)


def _measure_cell(study: LearningStudy, readouts: Mapping[str, Sequence[Readout]], tests: int, cell: Any) -> Any:
    """One draw, in a worker."""
    found = study.measure(cell["index"], readouts, tests)
    return {learner: [list(astuple(one)) for one in several] for learner, several in found.items()}


def _measure(
    arguments: argparse.Namespace,
    activation: Activation,
    learners: Sequence[str],
    values: Sequence[float | None],
    readouts: Sequence[Readout],
    linear: float | None,
    folder: Path | None,
) -> _learn_output.Measured:
    """Scores of all draws, those that are not recorded yet computed.

    Along a penalty or time one draw serves all values; else every value has draws of its own.
    """
    import numpy as np

    from numerics.experiments import Readout, experiment_question

    shared = arguments.against in ("ridge", "time") or len(values) == 1
    groups = [(values[0], list(readouts))] if shared else [(v, [r]) for v, r in zip(values, readouts, strict=True)]
    tables: dict[str, list[Any]] = {learner: [] for learner in learners}
    best = []
    for value, asked in groups:
        study = _study(arguments, activation, value)
        wanted = {learner: list(asked) for learner in learners}
        if linear is not None and arguments.against is None:
            wanted["linear"].append(Readout("ridge", linear))
        question = experiment_question(
            study.experiment,
            activation,
            kernel=arguments.kernel,
            readouts={learner: [[one.kind, one.value] for one in some] for learner, some in wanted.items()},
            tests=arguments.tests,
        )
        where = "" if shared else f", {arguments.against} = {value:g}"
        found = _campaign_options.run_campaign(
            partial(_measure_cell, study, wanted, arguments.tests),
            [{"p": arguments.p, "width": study.width, "index": index} for index in range(arguments.draws)],
            question,
            folder=folder,
            jobs=arguments.jobs,
            backend=arguments.backend,
            label=f"draws, n = {study.mixture.samples}{where}",
        )
        for learner in learners:
            table = np.array([draw[learner] for draw in found])
            if learner == "linear" and len(wanted[learner]) > len(asked):
                best = [table[:, -1]]
                table = table[:, :-1]
            tables[learner].append(table)
    return _learn_output.Measured(
        {learner: np.concatenate(parts, axis=1) for learner, parts in tables.items()}, best[0] if best else None
    )
