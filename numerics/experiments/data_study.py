"""A kernel on data of one's own: what the data are like, how far each equivalent is, and the same of a twin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from typing import Any, Literal, TypeVar

import numpy as np
import threadpoolctl
from numpy.typing import NDArray

from numerics.arithmetic import pointwise
from numerics.arrays import Array
from numerics.data import Dataset, estimate_statistics
from numerics.equilibrium import solve_float
from numerics.experiments.advice import advise
from numerics.experiments.diagnostics import DataDiagnostics, diagnose
from numerics.experiments.equivalents_on_data import Equivalent, EquivalentsOnData, Prediction, Reason
from numerics.experiments.experiment import exact_kernel
from numerics.experiments.twins import gaussian_twin
from numerics.linalg import eigenvalues
from theory.activations import Activation
from theory.equations import DEQ
from theory.kernels import Kernel

__all__ = ["DataStudy", "DataSummary", "SampleSource", "SampleStudy", "study_data"]

#: Whose numbers: the data's, or those of the Gaussian twins.
SampleSource = Literal["data", "twin"]
Name = TypeVar("Name", bound=StrEnum)
#: Equivalents whose spectra stand beside the data's.
_SPECTRA = (Equivalent.GBAR, Equivalent.KEPT_NORMS)


@dataclass(frozen=True, eq=False)
class SampleStudy:
    """One set of samples: diagnostics, errors and spectra.

    Attributes:
        diagnostics: of the samples.
        prediction: errors of the equivalents that the samples predict, and the parts of Gbar's.
        errors: measured, ||K - equivalent||/||K|| by equivalent.
        spectrum: (n,) array, eigenvalues of the exact kernel, descending.
        spectra: (n,) arrays, those of some equivalents; of a twin none.
        tau0: sqrt(tr S/n).
        kernel_residual: of the entrywise fixed point, the largest.
    """

    diagnostics: DataDiagnostics
    prediction: Prediction
    errors: Mapping[Equivalent, float]
    spectrum: Array
    spectra: Mapping[Equivalent, Array]
    tau0: float
    kernel_residual: float


@dataclass(frozen=True, eq=False)
class DataStudy:
    """A data set and its Gaussian twin, side by side.

    Attributes:
        kernel: which kernel.
        data: of the data set.
        twin: of Gaussian samples with the same class means and covariances.
        advice: which equivalent can be trusted, in one sentence.
    """

    kernel: Kernel
    data: SampleStudy
    twin: SampleStudy
    advice: str

    def record(self) -> dict[str, Any]:
        """Return the fields as plain JSON values."""
        return {"kernel": str(self.kernel), "advice": self.advice} | {
            name: _plain(asdict(getattr(self, name))) for name in ("data", "twin")
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> DataStudy:
        """Return the study that gave a record."""
        data, twin = (_study_of(record[name]) for name in ("data", "twin"))
        return cls(Kernel(record["kernel"]), data, twin, record["advice"])


@dataclass(frozen=True, eq=False)
class DataSummary:
    """Studies of several draws of samples from one data set.

    Attributes:
        studies: one a draw.

    Raises:
        ValueError: no draws.
    """

    studies: tuple[DataStudy, ...]

    def __post_init__(self) -> None:
        if not self.studies:
            raise ValueError("at least one draw is needed")

    @property
    def kernel(self) -> Kernel:
        """Which kernel."""
        return self.studies[0].kernel

    @property
    def advice(self) -> str:
        """Which equivalent can be trusted, of the means over the draws."""
        return advise(self.diagnostics(), self._prediction, self.errors(), self.kernel)

    def diagnostics(self, which: SampleSource = "data") -> DataDiagnostics:
        """Return the means of the diagnostics, of the data or of the twins; nan where one draw does not tell."""
        found = [getattr(study, which).diagnostics for study in self.studies]
        means = {field.name: _mean([getattr(one, field.name) for one in found]) for field in fields(DataDiagnostics)}
        return DataDiagnostics(**{**means, "dimension": found[0].dimension, "sizes": found[0].sizes})

    def errors(self, which: SampleSource = "data") -> dict[Equivalent, float]:
        """Return the mean error of every equivalent."""
        return {each: float(_mean(self._values(which, each))) for each in Equivalent}

    def standard_errors(self, which: SampleSource = "data") -> dict[Equivalent, float]:
        """Return the standard error of every mean; nan for a single draw."""
        count = len(self.studies)
        if count == 1:
            return dict.fromkeys(Equivalent, float("nan"))
        return {each: float(np.std(self._values(which, each), ddof=1) / np.sqrt(count)) for each in Equivalent}

    def predicted(self, which: SampleSource = "data") -> dict[Equivalent, float]:
        """Return the mean of what the samples predict of every error."""
        found = [getattr(study, which).prediction.errors for study in self.studies]
        return {each: float(_mean([one[each] for one in found])) for each in Equivalent}

    @property
    def parts(self) -> dict[Reason, float]:
        """The mean norm of every part of Gbar's error on the data."""
        found = [study.data.prediction.parts for study in self.studies]
        return {each: float(_mean([one[each] for one in found])) for each in Reason}

    @property
    def _prediction(self) -> Prediction:
        return Prediction(self.predicted(), self.parts)

    def _values(self, which: SampleSource, equivalent: Equivalent) -> list[float]:
        return [getattr(study, which).errors[equivalent] for study in self.studies]


def study_data(deq: DEQ, data: Dataset, kernel: Kernel, rng: np.random.Generator) -> DataStudy:
    """Measure the equivalents of a kernel on a data set and on its Gaussian twin.

    Args:
        deq: activation and weights; tau_0 is the samples' own, sqrt(tr S/n).
        data: samples with ||x||^2 of order 1, and their classes.
        kernel: which kernel.
        rng: draws the twin, and the start vectors of the norms.

    Raises:
        ValueError: a class with fewer than four samples, or without spread.
        EquilibriumError: no stable equilibrium, or an NTK that does not exist.
        KernelConvergenceError: an entry of the kernel has no stable fixed point.
    """
    with threadpoolctl.threadpool_limits(limits=1):
        found = _study_samples(deq, data, kernel, rng, spectra=_SPECTRA)
        twin = data.transformed(gaussian_twin(data.samples, data.labels, rng))
        beside = _study_samples(deq, twin, kernel, rng)
    advice = advise(found.diagnostics, found.prediction, found.errors, kernel)
    return DataStudy(kernel, found, beside, advice)


def _study_samples(
    deq: DEQ,
    data: Dataset,
    kernel: Kernel,
    rng: np.random.Generator,
    spectra: Sequence[Equivalent] = (),
) -> SampleStudy:
    samples, labels = data.samples, data.labels
    gram, statistics = data.gram(), estimate_statistics(samples.T, labels)
    centred = _at(deq, statistics.tau0_empirical)
    solution, weights = solve_float(centred).checked(kernel), (float(deq.sigma_a2), float(deq.sigma_b2))
    diagnostics = diagnose(samples, labels, gram, statistics, data.classes)
    phi = pointwise(deq.activation)
    equivalents = EquivalentsOnData(gram, statistics, labels, solution, phi, weights, kernel)
    prediction = equivalents.predict(rng)
    exact, residual = exact_kernel(kernel, centred, solution, gram)
    return SampleStudy(
        diagnostics=diagnostics,
        prediction=prediction,
        errors=equivalents.errors(exact, rng),
        spectrum=eigenvalues(exact)[::-1],
        spectra={each: eigenvalues(equivalents.matrix(each))[::-1] for each in spectra},
        tau0=statistics.tau0_empirical,
        kernel_residual=residual,
    )


def _at(deq: DEQ, tau0: float) -> DEQ:
    activation: Activation = deq.activation
    return DEQ(activation, deq.sigma_a2, deq.sigma_b2, tau0)


def _plain(value: Any) -> Any:
    """Arrays as lists with None for nan, members of enumerations as texts."""
    if isinstance(value, Mapping):
        return {str(key): _plain(part) for key, part in value.items()}
    if isinstance(value, np.ndarray):
        return [None if number != number else number for number in value.tolist()]
    return value


def _study_of(record: Mapping[str, Any]) -> SampleStudy:
    """The study of samples that gave a record."""
    diagnostics: dict[str, Any] = {
        name: _array_of(value) if isinstance(value, list) else value for name, value in record["diagnostics"].items()
    }
    prediction = record["prediction"]
    return SampleStudy(
        diagnostics=DataDiagnostics(**diagnostics),
        prediction=Prediction(_by(Equivalent, prediction["errors"]), _by(Reason, prediction["parts"])),
        errors=_by(Equivalent, record["errors"]),
        spectrum=np.array(record["spectrum"]),
        spectra={name: np.array(values) for name, values in _by(Equivalent, record["spectra"]).items()},
        tau0=record["tau0"],
        kernel_residual=record["kernel_residual"],
    )


def _array_of(values: list[Any]) -> NDArray[Any]:
    return np.array([np.nan if value is None else value for value in values])


def _by(names: type[Name], values: Mapping[str, Any]) -> dict[Name, Any]:
    return {names(name): value for name, value in values.items()}


def _mean(values: Sequence[Any]) -> Any:
    mean = np.mean(values, axis=0)
    return mean if np.ndim(mean) else float(mean)
