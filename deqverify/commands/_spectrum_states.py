"""What the command spectrum does with a DEQ of several states, biases or uncentred states: the option --deq."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deqverify.commands import _campaign_options, _cells, _errors, _figures, _progress
from deqverify.commands._spectrum_output import Comparison
from theory.kernels import Kernel

if TYPE_CHECKING:
    import argparse

    from rich.console import Console

    from numerics.experiments import CellKernel, Experiment
    from numerics.spectrum import SpectralLaw
    from theory.equations import CoupledDEQ

__all__ = ["CellComparison", "check", "compared"]

#: Options that describe a DEQ, and those of what there is of one centred state only.
_DESCRIBED = ("activation", "parameter", "sigma_a2", "sigma_b2")
_ONE_STATE = ("data", "width", "weights")
#: Weights that are trained beside the readout, by the NTK's name.
_TRAINED = {Kernel.NTK_RECURRENT: ("recurrent",), Kernel.NTK_ALL: ("recurrent", "input", "bias")}
#: What is no parameter of a cell in the JSON.
_OF_ONE_STATE = ("sigma_a2", "sigma_b2", "width", "weights", "activation", "expression")


def check(given: Container[str], arguments: argparse.Namespace) -> None:
    """Refuse options that do not go with --deq.

    Raises:
        UsageError: there is one.
    """
    described = [name for name in _DESCRIBED if name in given]
    if described:
        raise _errors.UsageError(f"--deq describes the DEQ, and so does {_cells.spelled(described)}: give one of them")
    asked = [name for name in _ONE_STATE if name in given]
    if asked:
        raise _errors.UsageError(
            f"{_cells.spelled(asked)} is for one centred state: with --deq the exact kernels of simulated data are "
            "compared with their law"
        )
    if arguments.kernel not in (Kernel.CK, *_TRAINED):
        accepted = ", ".join((Kernel.CK, *_TRAINED))
        raise _errors.UsageError(
            f"--kernel {arguments.kernel} is of one centred state: with --deq there are {accepted}"
        )


def compared(
    arguments: argparse.Namespace, cell: CoupledDEQ, experiment: Experiment, folder: Path | None
) -> CellComparison:
    """The law of the state that is read out, and the spectra of all draws beside it.

    Raises:
        UsageError: no law.
        UndecidedError: the numbers of the cell are not certified.
    """
    from numerics.experiments import CoupledStudy, MeasuredSpectrum, cell_numbers, predict_cell, summarise_outliers
    from numerics.moments import UncertifiedError
    from numerics.spectrum import SpectralLawError
    from theory.equations import EquilibriumError, TrainedWeights

    weights = _TRAINED.get(arguments.kernel)
    trained = None if weights is None else TrainedWeights.of(cell, weights)
    kernel: CellKernel = cell.readout if trained is None else trained
    try:
        with _progress.console(error=True).status("the spectral law"):
            law = predict_cell(experiment, cell, kernel, arguments.p)
    except EquilibriumError:
        raise
    except UncertifiedError as error:
        raise _errors.UndecidedError(f"not certified: {error}") from error
    except (SpectralLawError, ValueError) as error:
        raise _errors.UsageError(f"no spectral law: {error}") from error
    question = CoupledStudy(experiment, cell, trained=trained).question()
    found = _campaign_options.run_campaign(
        partial(_measured, experiment, cell, kernel, law),
        [{"p": arguments.p, "index": index} for index in range(arguments.draws)],
        question | {"readout": cell.readout, "kernel": arguments.kernel, "what": "spectrum"},
        folder=folder,
        jobs=arguments.jobs,
        backend=arguments.backend,
        label=f"exact kernels, n = {law.population.samples}",
    )
    draws = [MeasuredSpectrum.from_record(record) for record in found]
    numbers = cell_numbers(cell.at(law.population.tau0), kernel)
    readout = cell.states[cell.readout].activation
    return CellComparison(arguments, readout, law, draws, summarise_outliers(law, draws), cell, numbers)


def _measured(
    experiment: Experiment, cell: CoupledDEQ, kernel: CellKernel, law: SpectralLaw, draw: Mapping[str, Any]
) -> dict[str, Any]:
    """One draw, in a worker."""
    from numerics.experiments import measure_cell

    return measure_cell(experiment, cell, kernel, draw["p"], draw["index"], law).record()


@dataclass(frozen=True)
class CellComparison(Comparison):
    """The law of a cell's kernel and what was measured.

    Attributes:
        cell: the DEQ.
        numbers: of its kernel, by key of section 8.
    """

    cell: CoupledDEQ
    numbers: Mapping[str, float]

    @property
    def _name(self) -> str:
        """What is read out."""
        return (
            self.activation.name if len(self.cell.states) == 1 else f"state {self.cell.readout}: {self.activation.name}"
        )

    @property
    def title(self) -> str:
        """One line: what this is the spectrum of."""
        given = self.arguments
        sizes = f"p = {given.p}, n = {self.law.population.samples}, K = {given.classes}"
        return f"{self._name}, {given.kernel.upper()}: {sizes}"

    @property
    def _picture_title(self) -> str:
        first = f"{self._name}, {_figures.KERNEL_NAMES[self.arguments.kernel]}: $K = {self.arguments.classes}$"
        return "\n".join(filter(None, (first, self.details)))

    @property
    def _over_n(self) -> dict[str, float] | None:
        """The eigenvalue of order n relative to n, predicted and measured; None where there is none."""
        if getattr(self.law, "limit", None) is None or not self.law.outlier_values.size:
            return None
        n = self.law.population.samples
        measured = sum(float(draw.eigenvalues[0]) for draw in self.draws) / len(self.draws)
        return {"predicted": float(self.law.outlier_values[0]) / n, "measured": measured / n}

    def show(self, console: Console) -> None:
        """Print what is printed of one state, and the eigenvalue of order n."""
        from rich.text import Text

        super().show(console)
        found = self._over_n
        if found is not None:
            pair = f"predicted {found['predicted']:.6g}, measured {found['measured']:.6g}"
            console.print(Text(f"the largest is of order n: over n, {pair}"))

    def record(self) -> dict[str, Any]:
        """Everything as plain JSON values."""
        names = {"g0": "constant", "gS": "linear", "gd": "sum", "gdd": "variance", "gSS": "square", "ge": "squares"}
        coefficients = {name: self.numbers[key] for key, name in names.items()}
        return super().record() | {
            "coefficients": coefficients | {"diagonal": self.numbers["diagonal"]},
            "largest_over_n": self._over_n,
        }

    def _parameters(self) -> dict[str, Any]:
        kept = {name: value for name, value in super()._parameters().items() if name not in _OF_ONE_STATE}
        return kept | _cells.description(self.cell)
