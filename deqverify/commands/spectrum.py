"""Compare the spectrum of a kernel with its limiting law: density, edges of the support, isolated eigenvalues.

The data are K classes of p-dimensional samples x_i = mu_a/sqrt(p) + w_i: means of norm --means along the axes 0, 8, 16,
..., covariances (1 + shift a/sqrt(p)) C for a = 0..K-1, n = ratio p samples in shares --proportions.  --covariance is
the shape of C, given once for all classes or once for each; nothing is normalised, and tau_0^2 = tr C/p over all:
isotropic; diagonal:V,V,... (variances of equal runs of coordinates); toeplitz:DECAY (DECAY^|j-k|); low-rank:R,STRENGTH
(I, plus STRENGTH on the last R axes).

The law comes from these numbers alone, no kernel in it; the histogram is that of the exact infinite-width kernel of one
draw (or of several, --draws), or of finite networks of --width neurons.  Their conjugate kernels have a law of their
own, a conjecture; that of their NTKs is not known, and the law drawn is that of infinite width.  With more than 8192
samples the bulk is estimated by stochastic Lanczos quadrature.  An eigenvalue is counted as isolated when it lies
outside the predicted support by more than four units (k n)^(-2/3) of the edge's own fluctuations, with a gap as wide
between it and the rest (and, where the law of infinite width has a point mass, further from that than the operator-norm
error).

With --deq the DEQ is that of a file: the kernel is that of the state that is read out.  Where one of the states that
lead to it has a bias or a mean, the law has an eigenvalue of order n.

With --data the samples are real: there is no law, and the kernel is compared with every equivalent, on the data and on
a Gaussian twin of the same class means and covariances.  What the data are like, and which equivalent can be trusted,
comes first.  Exit code 0: compared; 2: bad use.
"""

from __future__ import annotations

import argparse
from collections.abc import Container, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from deqverify.commands import (
    _campaign_options,
    _cells,
    _data_options,
    _data_study,
    _errors,
    _figures,
    _mixture_options,
    _options,
    _outputs,
    _processes,
    _progress,
    _spectrum_output,
    _spectrum_states,
)
from theory.kernels import Kernel

if TYPE_CHECKING:
    from rich.console import Console

    from numerics.data import CovarianceShape
    from numerics.equilibrium import FloatEquilibrium
    from numerics.experiments import Experiment, MeasuredSpectrum, Network
    from numerics.spectrum import LawOfKernel
    from theory.activations import Activation

__all__ = ["main", "parser"]

_EXAMPLES = """\
  deqverify spectrum --activation relu --p 1600 --means 2 --cov-shift 20 --png spectrum.png
  deqverify spectrum --activation tanh --p 800 --means 3 --draws 8 --jobs 4 --resume runs --json -
  deqverify spectrum --activation gelu --kernel ntk-all --ratio 2 --pdf spectrum.pdf
  deqverify spectrum --activation relu --p 400 --width 20000 --weights rademacher --png finite.png
  deqverify spectrum --covariance toeplitz:0.4 --proportions 1/4,3/4 --noise student --png toeplitz.png
  deqverify spectrum --covariance isotropic --covariance diagonal:0.5,1.5 --json -
  deqverify spectrum --deq cell.toml --p 800 --cov-shift 20 --kernel ntk-all --draws 4 --json -
  deqverify spectrum --data fashion-mnist --classes 1,9 --samples 1000 --normalise sample --png data.png
  deqverify spectrum --data points.csv --normalise center --draws 10 --samples 500 --json -
  deqverify spectrum --p 25000 --ratio 0.8 --png large.png  # n = 20,000: ten minutes and 12 GB of memory
"""

_FEWEST_SAMPLES = 16
#: An n x n kernel and the Gram matrix beside it: beyond this they are more than 10 GB.
_MOST_SAMPLES = 25_000
#: A network of this many neurons holds 3.2 GB of recurrent weights.
_WIDEST = 20_000
#: Samples for which a finite network is solved.
_MOST_NETWORK_SAMPLES = 8192
#: Numbers in the data, which are in memory twice while they are drawn, or in a network's input weights.
_MOST_NUMBERS = 640_000_000
#: Options of simulated data and of networks.
_SIMULATED = ("p", "ratio", "means", "cov_shift", "covariance", "proportions", "noise", "width", "weights")
#: n x n arrays of a draw: S, the kernel and what diagonalising it takes; where the spectrum is estimated the first two.
_SQUARES, _LARGE_SQUARES = 4, 2
#: Numbers in a draw's largest array from which on draws are made one at a time: several such arrays are needed.
_LARGE_DRAW = 1 << 26


def main(argv: Sequence[str] | None) -> int:
    """Parse the arguments, predict, measure, show."""
    arguments = _arguments(argv)
    _figures.prepare_figure("--png", arguments.png)
    _figures.prepare_figure("--pdf", arguments.pdf)
    folder = _campaign_options.prepare(arguments)
    with _processes.one_blas_thread():
        found, schema = _studied(arguments, folder)
        if arguments.json != "-":
            found.show(_progress.console())
        for option, target in (("--png", arguments.png), ("--pdf", arguments.pdf)):
            if target:
                found.draw(target, option)
        if arguments.json:
            _outputs.write_json(arguments.json, found.record(), schema)
    return 0


class _Found(Protocol):
    """What a study shows: of simulated data, or of data of one's own."""

    def show(self, console: Console) -> None: ...

    def draw(self, target: str, option: str) -> None: ...

    def record(self) -> dict[str, Any]: ...


def _studied(arguments: argparse.Namespace, folder: Path | None) -> tuple[_Found, str]:
    """What was asked for, and the name of its record's schema."""
    if arguments.deq is not None:
        cell = _cells.read_cell(arguments.deq)
        _check_sizes(arguments, len(cell.states))
        return _spectrum_states.compared(arguments, cell, _experiment(arguments), folder), "spectrum-states"
    activation = _options.activation_argument(arguments.activation, dict(arguments.parameter))
    if arguments.data is not None:
        return _data_study.studied(arguments, activation, folder), "spectrum-data"
    _check_sizes(arguments)
    return _compared(arguments, activation, folder), "spectrum"


def _compared(
    arguments: argparse.Namespace, activation: Activation, folder: Path | None
) -> _spectrum_output.Comparison:
    """The law, and the spectra of all draws beside it."""
    with _progress.console(error=True).status("the spectral law"):
        experiment = _experiment(arguments)
        law, solution = _predict(arguments, experiment, activation)
    draws = _measure(arguments, experiment, activation, law, solution, folder)

    from numerics.experiments import summarise_outliers

    return _spectrum_output.Comparison(arguments, activation, law, draws, summarise_outliers(law, draws))


def parser() -> _options.Parser:
    """Return the parser of the command's arguments."""
    parser = _options.Parser(__doc__ or "", _EXAMPLES, activations=True)
    parser.add_argument("--activation", default="relu", help="name or expression in x (default relu)")
    _options.add_parameter(parser)
    _cells.add_deq(parser)
    parser.add_argument("--p", type=_options.integer_between(1, 1_000_000), default=800, help="dimension (default 800)")
    _mixture_options.add_arguments(parser, means="2", noise="noise", shape="C")
    _data_options.add_arguments(parser, classes="without --data their number K, default 2")
    parser.add_argument(
        "--covariance",
        action="append",
        type=_shape,
        metavar="SHAPE",
        help="C: isotropic (default), diagonal:V,V,..., toeplitz:DECAY or low-rank:R,STRENGTH; once, or for each class",
    )
    parser.add_argument(
        "--proportions", type=_shares, metavar="S,S,...", help="share of each class, adding up to 1 (default equal)"
    )
    _options.add_kernel(parser)
    parser.add_argument(
        "--width",
        type=_options.integer_between(1, _WIDEST),
        metavar="M",
        help="finite networks of M neurons (default: the exact kernel)",
    )
    parser.add_argument("--seed", type=_options.integer_between(0, 2**63), default=0, help="root seed (default 0)")
    parser.add_argument(
        "--draws", type=_options.integer_between(1, 1000), default=1, help="draws of the data (default 1)"
    )
    _campaign_options.add_arguments(parser)
    parser.add_argument("--png", metavar="PATH", help="write the picture as PNG")
    parser.add_argument("--pdf", metavar="PATH", help="write the picture as PDF")
    parser.add_argument("--json", metavar="PATH", help="write everything to a file, or to standard output for -")
    return parser


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    arguments = parser().parse_args(argv)
    if arguments.deq is not None:
        _spectrum_states.check(parser().given(argv), arguments)
    if arguments.width is None and arguments.weights is not None:
        raise _errors.UsageError("--weights is of finite networks: give it with --width")
    if arguments.width is not None:
        arguments.weights = arguments.weights or "gaussian"
    if arguments.data is not None:
        _refuse_with_data(parser().given(argv))
    else:
        _data_options.load(arguments)
        arguments.classes = _data_options.class_count(arguments)
    arguments.covariance = tuple(arguments.covariance or [_shape("isotropic")])
    _mixture_options.read(arguments)
    return arguments


def _refuse_with_data(given: Container[str]) -> None:
    """Refuse options of simulated data."""
    for name in _SIMULATED:
        if name in given:
            raise _errors.UsageError(f"--{name.replace('_', '-')} is of simulated data: leave it out with --data")


def _shape(text: str) -> CovarianceShape:
    """Read the shape of a covariance, NAME or NAME:NUMBER,NUMBER,..."""
    from numerics.data import SHAPES, CovarianceShape

    name, colon, rest = text.partition(":")
    for kind in SHAPES:
        if name == kind:
            return CovarianceShape(kind, tuple(float(_options.number(part)) for part in rest.split(",") if colon))
    raise argparse.ArgumentTypeError(
        f"must be isotropic, diagonal:V,V,..., toeplitz:DECAY or low-rank:R,STRENGTH, not {text!r}"
    )


def _shares(text: str) -> tuple[float, ...]:
    """Read positive numbers that add up to 1."""
    exact = [_options.number(part) for part in text.split(",")]
    if not (all(share > 0 for share in exact) and sum(exact) == 1):
        raise argparse.ArgumentTypeError(f"must be positive numbers that add up to 1, such as 1/4,3/4, not {text!r}")
    return tuple(map(float, exact))


def _check_sizes(arguments: argparse.Namespace, states: int = 0) -> None:
    """Refuse, in a sentence, numbers that cannot be and sizes that do not fit into memory.

    Args:
        arguments: of the command.
        states: of a cell, which has as many kernels more; 0 without --deq.

    Raises:
        UsageError: a number out of range.
        NotEnoughMemoryError: sizes beyond this machine's memory.
    """
    from numerics.memory import check_memory
    from numerics.records import workers

    p, width, samples = arguments.p, arguments.width, arguments.ratio * arguments.p
    made = f"--p {p} --ratio {arguments.ratio:g} make {samples:.6g} samples"
    if not _FEWEST_SAMPLES <= samples <= _MOST_SAMPLES:
        raise _errors.UsageError(
            f"{made}; from {_FEWEST_SAMPLES} to {_MOST_SAMPLES} are accepted, since the kernel of n samples is an "
            "n x n matrix"
        )
    if p * samples > _MOST_NUMBERS:
        raise _errors.UsageError(f"{made} of {p} numbers; up to {_MOST_NUMBERS:.3g} numbers are accepted")
    largest = max(samples, p, width or 0) * max(samples, width or 0)
    jobs = 1 if arguments.jobs is None and largest > _LARGE_DRAW else workers(arguments.jobs, arguments.draws)
    if states and samples > _MOST_NETWORK_SAMPLES:
        raise _errors.UsageError(f"{made}; with --deq up to {_MOST_NETWORK_SAMPLES} are accepted")
    if width is None:
        # A large kernel is not diagonalised, and its equivalent stays an operator.
        squares = _LARGE_SQUARES if samples > _MOST_NETWORK_SAMPLES else _SQUARES
        check_memory(round(samples), p, squares=squares + states, jobs=jobs)
        return
    if samples > _MOST_NETWORK_SAMPLES:
        raise _errors.UsageError(f"{made}; with --width up to {_MOST_NETWORK_SAMPLES} are accepted")
    if p * width > _MOST_NUMBERS:
        raise _errors.UsageError(
            f"--p {p} --width {width} make {p * width:.3g} input weights; up to {_MOST_NUMBERS:.3g} are accepted"
        )
    check_memory(round(samples), p, width, squares=_SQUARES, jobs=jobs)


def _experiment(arguments: argparse.Namespace) -> Experiment:
    shapes = {name: getattr(arguments, name) for name in ("classes", "proportions")}
    return _mixture_options.experiment(arguments, [arguments.p], covariances=arguments.covariance, **shapes)


def _predict(
    arguments: argparse.Namespace, experiment: Experiment, activation: Activation
) -> tuple[LawOfKernel, FloatEquilibrium]:
    from numerics.experiments import check_network, predict, predict_network
    from numerics.spectrum import SpectralLawError
    from theory.equations import EquilibriumError

    try:
        if arguments.width is None:
            return predict(experiment, activation, arguments.kernel, arguments.p)
        law, solution = predict_network(experiment, activation, arguments.kernel, arguments.p, arguments.width)
        check_network(solution)
        return law, solution
    except EquilibriumError:
        raise
    except (SpectralLawError, ValueError) as error:
        raise _errors.UsageError(f"no spectral law: {error}") from error


def _measure_cell(
    experiment: Experiment,
    activation: Activation,
    kernel: Kernel,
    law: LawOfKernel,
    solution: FloatEquilibrium,
    network: Network | None,
    cell: Mapping[str, Any],
) -> dict[str, Any]:
    """One draw, in a worker."""
    from numerics.experiments import measure

    return measure(experiment, activation, kernel, cell["p"], cell["index"], law, solution, network=network).record()


def _measure(
    arguments: argparse.Namespace,
    experiment: Experiment,
    activation: Activation,
    law: LawOfKernel,
    solution: FloatEquilibrium,
    folder: Path | None,
) -> list[MeasuredSpectrum]:
    """The spectra of all draws, those that are not recorded yet computed."""
    from numerics.experiments import MeasuredSpectrum, Network, experiment_question
    from numerics.linalg import SpectrumConvergenceError
    from numerics.networks import NonConvergenceError

    n, width = law.population.samples, arguments.width
    network = None if width is None else Network(width, arguments.weights)
    largest = max(n, arguments.p, width or 0) * max(n, width or 0)
    what = "exact kernels" if network is None else f"networks of {width} neurons"
    try:
        found = _campaign_options.run_campaign(
            partial(_measure_cell, experiment, activation, arguments.kernel, law, solution, network),
            [{"p": arguments.p, "width": width, "index": index} for index in range(arguments.draws)],
            experiment_question(experiment, activation, kernel=arguments.kernel, weights=arguments.weights),
            folder=folder,
            jobs=arguments.jobs or (1 if largest > _LARGE_DRAW else None),
            backend=arguments.backend,
            label=f"{what}, n = {n}",
        )
    except (NonConvergenceError, SpectrumConvergenceError) as error:
        raise _errors.UsageError(str(error)) from error
    return [MeasuredSpectrum.from_record(record) for record in found]
