"""A kernel on data of one's own: what the data are like, how far each equivalent is, and the same of a Gaussian twin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import threadpoolctl
from numpy.typing import NDArray

from numerics.arithmetic import pointwise
from numerics.arrays import Array
from numerics.data import Dataset, estimate_statistics
from numerics.equilibrium import solve_float
from numerics.experiments.advice import advise
from numerics.experiments.diagnostics import DataDiagnostics, diagnose
from numerics.experiments.equivalents_on_data import Equivalent, EquivalentsOnData, Prediction
from numerics.experiments.experiment import exact_kernel
from numerics.experiments.twins import gaussian_twin
from numerics.linalg import eigenvalues, gram_matrix
from theory.activations import Activation
from theory.equations import DEQ
from theory.kernels import Kernel

__all__ = ["DataStudy", "SampleStudy", "mean_errors", "study_data"]

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
        return {
            "kernel": str(self.kernel),
            "data": _plain(asdict(self.data)),
            "twin": _plain(asdict(self.twin)),
            "advice": self.advice,
        }


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
        found = _study_samples(deq, data.samples, data.labels, kernel, rng, spectra=_SPECTRA)
        twin = gaussian_twin(data.samples, data.labels, rng)
        beside = _study_samples(deq, twin, data.labels, kernel, rng)
    advice = advise(found.diagnostics, found.prediction, found.errors, kernel)
    return DataStudy(kernel, found, beside, advice)


def _study_samples(
    deq: DEQ,
    samples: Array,
    labels: NDArray[np.intp],
    kernel: Kernel,
    rng: np.random.Generator,
    spectra: Sequence[Equivalent] = (),
) -> SampleStudy:
    gram, statistics = gram_matrix(samples.T), estimate_statistics(samples.T, labels)
    centred = _at(deq, statistics.tau0_empirical)
    solution, weights = solve_float(centred).checked(kernel), (float(deq.sigma_a2), float(deq.sigma_b2))
    diagnostics = diagnose(samples, labels, gram, statistics)
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
    """Arrays as lists, members of enumerations as texts."""
    if isinstance(value, Mapping):
        return {str(key): _plain(part) for key, part in value.items()}
    return value.tolist() if isinstance(value, np.ndarray) else value


def mean_errors(studies: Sequence[Mapping[str, Any]], which: str) -> dict[str, tuple[float, float | None]]:
    """Mean and standard error over draws of every equivalent's error, None for a single draw.

    Args:
        studies: records of ``DataStudy``, one a draw.
        which: "data" or "twin".

    Raises:
        ValueError: no draws.
    """
    if not studies:
        raise ValueError("at least one draw is needed")
    found = {}
    for each in Equivalent:
        values = np.array([study[which]["errors"][each] for study in studies])
        error = float(values.std(ddof=1) / np.sqrt(values.size)) if values.size > 1 else None
        found[str(each)] = float(values.mean()), error
    return found
