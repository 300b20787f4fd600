"""What the command spectrum does with data of one's own: diagnostics, advice, errors, eigenvalues, a picture."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deqverify.commands import _campaign_options, _data_options, _errors, _figures, _layout, _outputs

if TYPE_CHECKING:
    import argparse

    import numpy as np
    from rich.console import Console

    from numerics.data import Dataset
    from numerics.experiments import DataDiagnostics, DataSummary
    from theory.activations import Activation
    from theory.equations import DEQ

__all__ = ["DataComparison", "studied"]

#: Samples whose kernels are diagonalised.
_MOST_SAMPLES = 8192
#: Samples of a class from which its statistics are estimated, at least.
_PER_CLASS = 4
#: n x n arrays of a draw: S, the kernel, what stands in for it, an equivalent, their difference and its work arrays.
_SQUARES = 7
#: Eigenvalues that the JSON gives of every spectrum, and that the table shows.
_KEPT, _SHOWN = 20, 5


def studied(arguments: argparse.Namespace, activation: Activation, folder: Path | None) -> DataComparison:
    """Read the data, and study all draws of samples.

    Raises:
        UsageError: data that cannot be had or used so.
        NotEnoughMemoryError: sizes beyond this machine's memory.
    """
    from numerics.experiments import DataStudy, DataSummary
    from theory.equations import DEQ

    found = _data_options.load(arguments)
    assert found is not None  # noqa: S101
    _check_sizes(arguments, found)
    deq = DEQ(activation, arguments.sigma_a2, arguments.sigma_b2)
    try:
        records = _campaign_options.run_campaign(
            partial(_draw_cell, arguments, found, deq),
            [{"draw": index} for index in range(arguments.draws)],
            _question(arguments, found, deq),
            folder=folder,
            jobs=arguments.jobs or 1,
            backend=arguments.backend,
            label="draws of samples",
        )
    except ValueError as error:
        if isinstance(error, _errors.UsageError):
            raise
        raise _errors.UsageError(f"--data: {error}") from error
    summary = DataSummary(tuple(DataStudy.from_record(record) for record in records))
    return DataComparison(arguments, activation, found, summary)


def _check_sizes(arguments: argparse.Namespace, found: Dataset) -> None:
    from numerics.memory import check_memory

    n = arguments.samples or found.n
    if n > _MOST_SAMPLES:
        asked = f"--samples {n}" if arguments.samples else f"{found.name} has {n} samples"
        raise _errors.UsageError(
            f"{asked}; up to {_MOST_SAMPLES} are accepted, since all eigenvalues of n x n matrices are computed: give "
            "--samples"
        )
    if arguments.draws > 1 and n == found.n:
        raise _errors.UsageError(
            f"--draws {arguments.draws} of all {n} samples would be the same samples: give --samples, fewer than there "
            "are"
        )
    check_memory(n, found.p, squares=_SQUARES, jobs=arguments.jobs or 1)


def _draw_cell(arguments: argparse.Namespace, found: Dataset, deq: DEQ, cell: Mapping[str, Any]) -> dict[str, Any]:
    """One draw, in a worker."""
    import numpy as np

    from numerics.experiments import study_data

    rng = np.random.default_rng([arguments.seed, cell["draw"]])
    drawn = _data_options.draw(arguments, found, rng, per_class=_PER_CLASS, most=_MOST_SAMPLES)
    return study_data(deq, drawn, arguments.kernel, rng).record()


def _question(arguments: argparse.Namespace, found: Dataset, deq: DEQ) -> dict[str, Any]:
    """What the draws depend on besides their number."""
    import sympy as sp

    samples = hashlib.sha256(found.samples.tobytes() + found.labels.tobytes()).hexdigest()
    return {
        "data": [samples, list(found.samples.shape), list(found.classes)],
        "deq": [sp.srepr(deq.activation.expr), str(deq.sigma_a2), str(deq.sigma_b2)],
        "kernel": str(arguments.kernel),
        "draw": [arguments.seed, arguments.samples, _data_options.normalisation(arguments)],
    }


@dataclass(frozen=True)
class DataComparison:
    """Data, and what was measured on them.

    Attributes:
        arguments: the options of the command.
        activation: of the DEQ.
        source: the data set, its classes chosen.
        summary: over the draws.
    """

    arguments: argparse.Namespace
    activation: Activation
    source: Dataset
    summary: DataSummary

    @property
    def _samples(self) -> int:
        return int(self.summary.diagnostics().sizes.sum())

    @property
    def title(self) -> str:
        """One line: what was studied."""
        from numerics.data import listed

        given, count = self.arguments, len(self.summary.studies)
        draws = "" if count == 1 else f", {count} draws"
        return (
            f"{self.activation.name}, {given.kernel.upper()} on {self.source.name}, classes "
            f"{listed(self.source.classes)}: n = {self._samples}, p = {self.source.p}, normalised "
            f"{_data_options.normalisation(given)}, σa² = {given.sigma_a2:g}, σb² = {given.sigma_b2:g}{draws}"
        )

    def record(self) -> dict[str, Any]:
        """Everything as plain JSON values."""
        from numerics.experiments import Equivalent

        summary, found = self.summary, self.summary.diagnostics()
        errors, twin = summary.errors(), summary.errors("twin")
        keys = {each: "" if each is Equivalent.GBAR else f"_{each}" for each in Equivalent}
        return {
            "advice": summary.advice,
            **{f"relative_opnorm_error{key}": errors[each] for each, key in keys.items()},
            **{f"relative_opnorm_error_twin{key}": twin[each] for each, key in keys.items()},
            "standard_errors": {which: _finite(summary.standard_errors(which)) for which in ("data", "twin")},
            "predicted_errors": {which: _finite(summary.predicted(which)) for which in ("data", "twin")},
            "predicted_parts": _finite(summary.parts),
            **_diagnostics_record(found),
            "twin": _diagnostics_record(summary.diagnostics("twin")),
            "eigenvalues": {name: values[:_KEPT].tolist() for name, values in self._spectra().items()},
            "per_draw": [
                {"data": _finite(study.data.errors), "twin": _finite(study.twin.errors), "advice": study.advice}
                for study in summary.studies
            ],
            "params": self._parameters(),
            **_outputs.provenance(self.arguments.seed),
        }

    def _parameters(self) -> dict[str, Any]:
        given = self.arguments
        names = ("sigma_a2", "sigma_b2", "kernel", "draws")
        return {name: getattr(given, name) for name in names} | {
            "data": str(given.data),
            "name": self.source.name,
            "classes": list(self.source.classes),
            "preprocessing": list(self.source.preprocessing),
            "normalise": _data_options.normalisation(given),
            "n": self._samples,
            "p": self.source.p,
            "tau0": [study.data.tau0 for study in self.summary.studies],
            "tau0_reading": "empirical",
            "activation": self.activation.name,
            "expression": str(self.activation.expr),
            "kernel_residual": max(study.data.kernel_residual for study in self.summary.studies),
        }

    def _spectra(self) -> dict[str, np.ndarray]:
        """Means over the draws, by rank."""
        import numpy as np

        studies = self.summary.studies
        spectra = {"data": [one.data.spectrum for one in studies], "twin": [one.twin.spectrum for one in studies]}
        spectra |= {str(each): [one.data.spectra[each] for one in studies] for each in studies[0].data.spectra}
        return {name: np.mean(values, axis=0) for name, values in spectra.items()}

    def show(self, console: Console) -> None:
        """Print the advice and the diagnostics, then errors and eigenvalues."""
        _layout.show_text(console, self.title)
        _layout.show_text(console, self.summary.advice, "bold")
        _layout.show_rows(console, _diagnostic_rows(self.summary))
        _layout.show_text(console, "error relative to the norm of the exact kernel", "bold")
        headings = ("equivalent", "predicted", "data", "Gaussian twin")
        _layout.show_columns(console, headings, self._error_rows(), left=(0,))
        _layout.show_text(console, "largest eigenvalues", "bold")
        spectra = {_spectrum_label(name, self.arguments): values for name, values in self._spectra().items()}
        rows = [(label, *(f"{value:.6g}" for value in values[:_SHOWN])) for label, values in spectra.items()]
        _layout.show_columns(console, ("of", *map(str, range(1, _SHOWN + 1))), rows, left=(0,))

    def _error_rows(self) -> list[tuple[str, ...]]:
        from numerics.experiments import Equivalent, equivalent_name

        summary = self.summary
        columns = [(summary.errors(which), summary.standard_errors(which)) for which in ("data", "twin")]
        return [
            (
                equivalent_name(each, summary.kernel).removeprefix("the "),
                f"{summary.predicted()[each]:.2%}",
                *(_with_error(means[each], errors[each]) for means, errors in columns),
            )
            for each in Equivalent
        ]

    def draw(self, target: str, option: str) -> None:
        """Write the picture: eigenvalues of data, twin and equivalents by rank."""
        from numerics.publish import eigenvalue_figure, made_from, short_name

        given, spectra = self.arguments, self._spectra()
        labelled = {_spectrum_label(name, given): values for name, values in spectra.items()}
        measured = dict(list(labelled.items())[:2])
        predicted = dict(list(labelled.items())[2:])
        weights = rf"$\sigma_a^2 = {given.sigma_a2:g}$, $\sigma_b^2 = {given.sigma_b2:g}$"
        classes = ", ".join(self.source.classes)
        figure = eigenvalue_figure(
            measured,
            predicted,
            title=f"{short_name(self.activation.name)}, {_figures.KERNEL_NAMES[given.kernel]} on "
            f"{short_name(self.source.name)} ({short_name(classes)}), {weights}",
            caption=made_from(
                f"$p = {self.source.p}$",
                f"$n = {self._samples}$",
                f"normalised {_data_options.normalisation(given)}",
                f"{len(self.summary.studies)} draws" if len(self.summary.studies) > 1 else "1 draw",
                f"seed {given.seed}",
            ),
        )
        _figures.write_figure(target, figure, option)


def _spectrum_label(name: str, arguments: argparse.Namespace) -> str:
    from numerics.experiments import Equivalent, equivalent_name

    own = {"data": "data, exact kernel", "twin": "Gaussian twin, exact kernel"}
    return own.get(name) or equivalent_name(Equivalent(name), arguments.kernel).removeprefix("the ")


def _diagnostics_record(found: DataDiagnostics) -> dict[str, Any]:
    return {
        "effective_dimension": [_known(value) for value in found.effective_dimension],
        "effective_dimension_note": found.effective_dimension_note,
        "mean_energy_share": found.mean_energy_share,
        "norm_spread": found.norm_spread,
        "norm_spread_gaussian": found.gaussian_norm_spread,
        "largest_correlation": found.largest_correlation,
        "t": found.t.tolist(),
        "t_standard_error": found.t_error.tolist(),
    }


def _diagnostic_rows(summary: DataSummary) -> list[tuple[str, str, str]]:
    """Label, value, and what the theory takes it to be."""
    found, twin = summary.diagnostics(), summary.diagnostics("twin")
    t = ", ".join(f"{value:.2g} ± {error:.1g}" for value, error in zip(found.t, found.t_error, strict=True))
    dimensions = ", ".join("unknown" if math.isnan(value) else f"{value:.3g}" for value in found.effective_dimension)
    theory, gaussian = f"the theory takes it to be of order p = {found.dimension}", f"{found.gaussian_norm_spread:.1%}"
    in_twin = f"of two samples; {twin.largest_correlation:.3g} in the twin"
    note = found.effective_dimension_note or f"tr(C)²/tr(C²) by class; {theory}"
    return [
        ("effective dimension", dimensions, note),
        ("energy in the means", f"{found.mean_energy_share:.1%}", "of order 1/p in the theory"),
        ("spread of ||x||²", f"{found.norm_spread:.1%}", f"of its mean; {gaussian} were it Gaussian"),
        ("largest correlation", f"{found.largest_correlation:.3g}", in_twin),
        ("t", t, "by class, tr(C_a - C°)/sqrt(p), ± standard error"),
    ]


def _with_error(mean: float, error: float) -> str:
    return f"{mean:.2%}" if math.isnan(error) else f"{mean:.2%} ± {error:.2%}"


def _finite(values: Mapping[Any, float]) -> dict[str, float | None]:
    return {str(name): _known(value) for name, value in values.items()}


def _known(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
