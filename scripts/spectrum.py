"""Compare the spectrum of an exact kernel with its limiting law: density, edges of the support, isolated eigenvalues.

The data are K classes of p-dimensional Gaussian samples x_i = mu_a/sqrt(p) + w_i: means of norm --means along the axes
0, 8, 16, ..., covariances (1 + shift a/sqrt(p)) I for a = 0..K-1, n = ratio p samples in equal shares.  The law comes
from these numbers alone, no matrix in it; the histogram is that of the exact infinite-width kernel of one draw (or of
several, --draws).  An eigenvalue is counted as isolated when it lies outside the predicted support by more than four
units (k n)^(-2/3) of the edge's own fluctuations, with a gap as wide between it and the rest (and, where the law has a
point mass, further from that than the operator-norm error).  Exit code 0: compared; 2: bad use.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import _cli
import _figures

from theory.theories import KERNELS

if TYPE_CHECKING:
    from rich.console import Console

    from numerics.equilibrium import FloatEquilibrium
    from numerics.experiments import Experiment
    from numerics.spectral_law import SpectralLaw
    from numerics.spectral_study import MeasuredSpectrum, OutlierSummary
    from theory.activations import Activation

__all__ = ["main"]

_EXAMPLES = """\
  spectrum.py --activation relu --p 1600 --means 2 --cov-shift 20 --png spectrum.png
  spectrum.py --activation tanh --p 800 --means 3 --draws 8 --json -
  spectrum.py --activation gelu --kernel ntk-all --ratio 2 --pdf spectrum.pdf
"""

#: An n x n kernel and its eigenvalues: beyond this it is gigabytes and many minutes.
_MOST_SAMPLES = 8192
_FEWEST_SAMPLES = 16
#: Points at which the JSON gives the density.
_POINTS = 400


def main(argv: Sequence[str] | None) -> int:
    """Parse the arguments, predict, measure, draw."""
    arguments = _arguments(argv)
    _cli.prepare_output(arguments.json)
    _figures.prepare_figure("--png", arguments.png)
    _figures.prepare_figure("--pdf", arguments.pdf)
    activation = _cli.activation_argument(arguments.activation, dict(arguments.parameter))
    experiment = _experiment(arguments, activation)
    law, solution = _predict(arguments, experiment, activation)

    from numerics.spectral_study import summarise_outliers

    draws = _measure(arguments, experiment, activation, law, solution)
    summary = summarise_outliers(law, draws)
    for target in (arguments.png, arguments.pdf):
        if target:
            _draw(target, arguments, activation, law, draws)
    if arguments.json:
        _cli.write_json(arguments.json, _record(arguments, activation, law, draws, summary))
    if arguments.json != "-":
        _print(_cli.console(), arguments, activation, law, draws, summary)
    return 0


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = _cli.Parser(__doc__ or "", _EXAMPLES)
    parser.add_argument("--activation", default="relu", help="name or expression in x (default relu)")
    parser.add_argument(
        "--parameter", action="append", type=_cli.parameter, default=[], metavar="NAME=NUMBER", help="repeatable"
    )
    parser.add_argument("--p", type=_cli.integer_between(1, 1_000_000), default=800, help="dimension (default 800)")
    parser.add_argument("--ratio", type=_cli.number, default=_cli.number("0.8"), help="n/p (default 0.8)")
    parser.add_argument("--sigma-a2", type=_cli.number, default=_cli.number("0.2"), help="recurrent weight variance")
    parser.add_argument("--sigma-b2", type=_cli.number, help="input weight variance (default 1 - sigma_a2)")
    parser.add_argument("--means", type=_cli.number, default=_cli.number("2"), help="norm of the class means")
    parser.add_argument("--cov-shift", type=_cli.number, default=_cli.number("8"), help="C_a = (1 + shift a/sqrt p) I")
    parser.add_argument(
        "--classes", type=_cli.integer_between(1, 64), default=2, help="number of classes K (default 2)"
    )
    parser.add_argument("--kernel", choices=KERNELS, default="ck", help="which kernel (default ck)")
    parser.add_argument("--seed", type=_cli.integer_between(0, 2**63), default=0, help="root seed (default 0)")
    parser.add_argument("--draws", type=_cli.integer_between(1, 1000), default=1, help="draws of the data (default 1)")
    parser.add_argument("--png", metavar="PATH", help="write the picture as PNG")
    parser.add_argument("--pdf", metavar="PATH", help="write the picture as PDF")
    parser.add_argument("--json", metavar="PATH", help="write everything to a file, or to standard output for -")
    arguments = parser.parse_args(argv)
    if arguments.sigma_b2 is None:
        arguments.sigma_b2 = 1 - arguments.sigma_a2
        if not arguments.sigma_b2 > 0:
            raise _cli.UsageError(
                f"--sigma-a2 {arguments.sigma_a2} leaves no 1 - sigma_a2 > 0: give --sigma-b2 as well"
            )
    for name in ("sigma_a2", "sigma_b2", "ratio", "means", "cov_shift"):
        setattr(arguments, name, float(getattr(arguments, name)))
    return arguments


def _experiment(arguments: argparse.Namespace, activation: Activation) -> Experiment:
    """The data model; every number that cannot be is refused in a sentence."""
    for option, value in (("--means", arguments.means), ("--cov-shift", arguments.cov_shift)):
        if not (math.isfinite(value) and value >= 0):
            raise _cli.UsageError(f"{option} must be a finite number >= 0, not {value:g}")
    if not arguments.ratio > 0:
        raise _cli.UsageError(f"--ratio must be a number > 0, not {arguments.ratio:g}")
    samples = arguments.ratio * arguments.p
    if not _FEWEST_SAMPLES <= samples <= _MOST_SAMPLES:
        raise _cli.UsageError(
            f"--p {arguments.p} --ratio {arguments.ratio:g} make {samples:.6g} samples; from {_FEWEST_SAMPLES} to "
            f"{_MOST_SAMPLES} are accepted, since the kernel of n samples is an n x n matrix"
        )

    from numerics.experiments import Experiment

    experiment = Experiment(
        activations=(activation,),
        sigma_a2=arguments.sigma_a2,
        sigma_b2=arguments.sigma_b2,
        ratio=arguments.ratio,
        means=arguments.means,
        cov_shift=arguments.cov_shift,
        classes=arguments.classes,
        seed=arguments.seed,
    )
    try:
        experiment.mixture(arguments.p)
    except ValueError as error:
        raise _cli.UsageError(f"no data for p = {arguments.p}: {error}") from error
    return experiment


def _predict(
    arguments: argparse.Namespace, experiment: Experiment, activation: Activation
) -> tuple[SpectralLaw, FloatEquilibrium]:
    from numerics.equilibrium import EquilibriumError
    from numerics.fixed_point import SpectralLawError
    from numerics.spectral_study import predict

    try:
        return predict(experiment, activation, arguments.kernel, arguments.p)
    except EquilibriumError:
        raise
    except (SpectralLawError, ValueError) as error:
        raise _cli.UsageError(f"no spectral law: {error}") from error


def _measure(
    arguments: argparse.Namespace,
    experiment: Experiment,
    activation: Activation,
    law: SpectralLaw,
    solution: FloatEquilibrium,
) -> list[MeasuredSpectrum]:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from numerics.spectral_study import measure

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    draws = []
    with Progress(*columns, console=_cli.console(error=True), transient=True) as progress:
        work = progress.add_task(f"exact kernels, n = {law.population.samples}", total=arguments.draws)
        for index in range(arguments.draws):
            draws.append(measure(experiment, activation, arguments.kernel, arguments.p, index, law, solution))
            progress.advance(work)
    return draws


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _finite(values: Sequence[float]) -> list[float | None]:
    return [value if math.isfinite(value) else None for value in map(float, values)]


def _record(
    arguments: argparse.Namespace,
    activation: Activation,
    law: SpectralLaw,
    draws: list[MeasuredSpectrum],
    summary: OutlierSummary,
) -> dict[str, Any]:
    from numerics.spectral_study import MARGIN_UNITS, isolation_margin

    kept = ("p", "ratio", "sigma_a2", "sigma_b2", "means", "cov_shift", "classes", "kernel", "seed", "draws")
    places = law.density_points(_POINTS)
    distances = ("ks_distance", "levy_distance", "wasserstein_distance", "opnorm_error")
    return {
        "outliers_predicted": law.outlier_values.tolist(),
        "outliers_measured": summary.mean.tolist(),
        "outliers_standard_error": _finite(summary.standard_error.tolist()),
        "outliers_relative_error": summary.match.relative_errors.tolist(),
        "outliers_missing": summary.match.missing.tolist(),
        "outliers_unexpected": summary.match.unexpected.tolist(),
        "alignments_predicted": [
            {"eigenvalue": o.value, "multiplicity": o.multiplicity, "with_classes": o.alignment.tolist()}
            for o in law.outliers
        ],
        "edges_predicted": [list(pair) for pair in law.edges],
        "masses_predicted": list(law.masses),
        "point_mass_predicted": None if law.point is None else {"place": law.point, "share": law.point_mass},
        **{name: _mean([getattr(draw, name) for draw in draws]) for name in distances},
        "density": {"x": places.tolist(), "y": law.density(places).tolist()},
        "coefficients": {
            "linear": law.coefficients.linear,
            "variance": law.coefficients.variance,
            "square": law.coefficients.square,
            "diagonal": law.coefficients.diagonal,
        },
        "per_draw": [
            {name: getattr(draw, name) for name in (*distances, "norm_residual", "kernel_residual")}
            | {"isolated": draw.isolated.tolist(), "largest": float(draw.eigenvalues[0])}
            for draw in draws
        ],
        "params": {name: getattr(arguments, name) for name in kept}
        | {
            "activation": activation.name,
            "expression": str(activation.expr),
            "n": law.population.samples,
            "tau0": law.population.tau0,
            "tau0_reading": "population",
            "outlier_margin": isolation_margin(law),
            "outlier_rule": f"outside the predicted support by more than {MARGIN_UNITS:g} (k n)^(-2/3), the scale of "
            "the edge's fluctuations, with a gap as wide before the rest, and further from a point mass than "
            "opnorm_error; means over draws by rank; the distances are those of the other eigenvalues to the law",
        },
        **_cli.provenance(arguments.seed),
    }


def _print(
    console: Console,
    arguments: argparse.Namespace,
    activation: Activation,
    law: SpectralLaw,
    draws: list[MeasuredSpectrum],
    summary: OutlierSummary,
) -> None:
    from rich.table import Table
    from rich.text import Text

    console.print(Text(_title(arguments, activation, law)))
    support = ", ".join(f"[{left:.6g}, {right:.6g}]" for left, right in law.edges)
    point = "" if law.point is None else f", and the share {law.point_mass:.4g} at {law.point:.6g}"
    console.print(Text(f"support: {support}{point}"))
    table = Table(box=None, pad_edge=False, title="isolated eigenvalues", title_justify="left", title_style="bold")
    for heading in ("predicted", "measured", "relative error", "alignment with the classes"):
        table.add_column(heading, justify="right")
    aligned = {o.value: float(o.alignment.trace()) / o.multiplicity for o in law.outliers}
    errors = summary.match.relative_errors
    for (predicted, measured), error in zip(summary.match.pairs, errors, strict=True):
        table.add_row(f"{predicted:.6g}", f"{measured:.6g}", f"{error:+.2%}", f"{aligned[predicted]:.3f}")
    for predicted in summary.match.missing:
        table.add_row(f"{predicted:.6g}", "-", "-", f"{aligned[predicted]:.3f}")
    for measured in summary.match.unexpected:
        table.add_row("-", f"{measured:.6g}", "-", "-")
    console.print(table if table.row_count else "no isolated eigenvalues, predicted or measured")
    for name, label in (
        ("ks_distance", "Kolmogorov distance of the bulk to the law"),
        ("wasserstein_distance", "Wasserstein distance of the bulk to the law"),
        ("opnorm_error", "operator norm of kernel less equivalent"),
    ):
        console.print(Text(f"{label}: {_mean([getattr(draw, name) for draw in draws]):.4g}"))


def _title(arguments: argparse.Namespace, activation: Activation, law: SpectralLaw) -> str:
    return (
        f"{activation.name}, {arguments.kernel.upper()}: p = {arguments.p}, n = {law.population.samples}, "
        f"K = {arguments.classes}, σa² = {arguments.sigma_a2:g}, σb² = {arguments.sigma_b2:g}"
    )


def _draw(
    target: str,
    arguments: argparse.Namespace,
    activation: Activation,
    law: SpectralLaw,
    draws: list[MeasuredSpectrum],
) -> None:
    """Histogram of the eigenvalues, the predicted density over it, isolated eigenvalues as marks."""
    import numpy as np

    from numerics.figures import spectrum_figure

    figure = spectrum_figure(
        law,
        np.concatenate([draw.eigenvalues for draw in draws]),
        isolated=np.concatenate([draw.isolated for draw in draws]),
        label="exact kernel" + ("" if len(draws) == 1 else f", {len(draws)} draws"),
        title=_title(arguments, activation, law),
    )
    _figures.write_figure(target, figure)


if __name__ == "__main__":
    _cli.run(main)
