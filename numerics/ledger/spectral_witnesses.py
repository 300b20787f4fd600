"""Witnesses of a spectrum: its extreme eigenvalues, and traces of smooth functions of the kernel, against the law.

Theory sheet, section 5.  The isolated eigenvalues tend to the zeros of the determinant equation, and tr f(G)/n to the
law's integral of f; f are the resolvent at points left of the spectrum, which determine the law, and the square.  (The
shares below fixed places would do, but are no smooth functions of the kernel: at the edges their limits are not reached
along a series in p^(-1/2).)  Both depend on the equivalent's four numbers and the population only, so that one spectrum
serves every theory, right or wrong.  Where a theory predicts fewer isolated eigenvalues than another, the next one's
limit is the edge of its bulk.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
import threadpoolctl

from numerics.arrays import Array
from numerics.equilibrium import solve_float
from numerics.kernels import implicit_ck, with_dual
from numerics.ledger.populations import mixture, population
from numerics.ledger.witnesses import coefficients_of
from numerics.linalg import eigenvalues
from numerics.spectrum import Bulk, Population, SpectralLaw, hull, isolation_margin, kolmogorov_distance, solve_bulk
from theory.claims import PopulationChange, Theory, true_theory
from theory.equations import DEQ

__all__ = [
    "Setting",
    "SpectrumRecord",
    "law_of",
    "ranks_of",
    "spectral_residuals",
    "spectrum_cell",
    "spectrum_names",
    "spectrum_walls",
]

#: Eigenvalues kept at either end: more than any theory here predicts to be isolated.
_EXTREMES = 6
#: Bins of the histogram that reports draw.
_BINS = 60
#: Where the resolvent is taken: to the left of 0 by these multiples of the true diagonal.
_DISTANCES = (0.25, 1.0, 4.0)


@dataclass(frozen=True)
class Setting:
    """What a spectrum is of.

    Attributes:
        data: name of ``numerics.ledger.MIXTURES``.
        activation: registered name, or an expression in x.
        sigma_a2: variance of the recurrent weights.
        sigma_b2: variance of the input weights.
    """

    data: str
    activation: str
    sigma_a2: float
    sigma_b2: float


@dataclass(frozen=True)
class SpectrumRecord:
    """The witnesses of one draw's exact CK.

    Attributes:
        largest: (k,) array, the largest eigenvalues, descending.
        smallest: (k,) array, the smallest, ascending.
        traces: (4,) array, tr f(G)/n for the functions of ``_functions``.
        ks: Kolmogorov distance of all eigenvalues to the true law.
        counts: (bins,) array, eigenvalues in each of the bins of `spectrum_walls`.
    """

    largest: Array
    smallest: Array
    traces: Array
    ks: float
    counts: Array

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> SpectrumRecord:
        """Read what ``spectrum_cell`` returned."""
        names = ("largest", "smallest", "traces", "counts")
        largest, smallest, traces, counts = (np.array(record[key], np.float64) for key in names)
        return cls(largest, smallest, traces, float(record["ks"]), counts)


def spectrum_cell(
    data: str, activation: str, sigma_a2: float, sigma_b2: float, p: int, index: int, seed: int
) -> dict[str, Any]:
    """Draw data, and return the witnesses of the spectrum of the DEQ's exact CK, as plain numbers.

    Args:
        data: name of ``numerics.ledger.MIXTURES``.
        activation: registered name, or an expression in x.
        sigma_a2: variance of the recurrent weights.
        sigma_b2: variance of the input weights.
        p: dimension.
        index: number of the draw.
        seed: root seed; with p and the index it fixes the draw.

    Raises:
        EquilibriumError: no stable equilibrium.
        KernelConvergenceError: an entry of the kernel has no stable fixed point.
        SpectralLawError: the law was not found to the accuracy asked for.
    """
    setting = Setting(data, activation, sigma_a2, sigma_b2)
    with threadpoolctl.threadpool_limits(limits=1):
        sample = mixture(data, p).sample(np.random.default_rng([seed, p, index]))
        deq = DEQ(activation, sigma_a2, sigma_b2, sample.mixture.tau0)
        phi, bias = with_dual(deq.activation), solve_float(deq).checked()["bias"]
        spectrum = eigenvalues(implicit_ck(sample.gram(), phi, sigma_a2, sigma_b2, bias).kernel)
    law = law_of(true_theory("ck"), setting, p)
    return {
        "counts": np.histogram(spectrum, spectrum_walls(law))[0].tolist(),
        "largest": spectrum[::-1][:_EXTREMES].tolist(),
        "smallest": spectrum[:_EXTREMES].tolist(),
        "traces": [float(np.mean(function(spectrum))) for function in _functions(setting, p)],
        "ks": kolmogorov_distance(spectrum, law),
    }


def spectrum_walls(law: SpectralLaw) -> Array:
    """Walls of equal bins that hold the bulk and what fluctuates out of it, in the kernel's units."""
    left, right = hull(law)
    margin = isolation_margin(law)
    return np.linspace(left - margin, right + margin, _BINS + 1)


# --- what a theory predicts ----------------------------------------------------------------------


@lru_cache(maxsize=512)
def law_of(theory: Theory, setting: Setting, p: int, part: str = "", change: float = 0.0) -> SpectralLaw:
    """Return the law of the CK's spectrum by a theory, with one of its numbers changed or not.

    Args:
        theory: of the CK, right or wrong.
        setting: data, activation and weights.
        p: dimension.
        part: attribute of ``KernelCoefficients`` that is changed, or an empty string.
        change: relative change of it.

    Raises:
        EquilibriumError: no stable equilibrium.
        SpectralLawError: the law was not found to the accuracy asked for.
    """
    held = _population(setting.data, p, theory.population)
    coefficients = coefficients_of(theory, setting.activation, setting.sigma_a2, setting.sigma_b2, held.tau0)
    if part:
        coefficients = replace(coefficients, **{part: (1 + change) * getattr(coefficients, part)})
    return SpectralLaw.of(
        held, coefficients, _bulk(setting.data, p, PopulationChange.SIZES_SWAPPED in theory.population)
    )


@lru_cache(maxsize=64)
def _bulk(data: str, p: int, swapped: bool) -> Bulk:
    """The bulk, which no kernel and no change of means, t or T alters; ``Population`` has no spikes set apart."""
    changes = frozenset({PopulationChange.SIZES_SWAPPED} if swapped else ())
    return solve_bulk(_population(data, p, changes))


def _population(data: str, p: int, changes: frozenset[PopulationChange]) -> Population:
    """The population of a mixture, as a wrong theory has it."""
    held = mixture(data, p)
    if PopulationChange.MEANS_ABSENT in changes:
        held = replace(held, means=np.zeros_like(held.means))
    if PopulationChange.MEANS_SWAPPED in changes:
        held = replace(held, means=held.means[::-1].copy())
    if PopulationChange.SIZES_SWAPPED in changes:
        held = replace(held, sizes=held.sizes[::-1])
    found = Population.from_mixture(held)
    if PopulationChange.TRACE_ABSENT in changes:
        found = replace(found, t=np.zeros_like(found.t))
    if PopulationChange.TRACE_SWAPPED in changes:
        found = replace(found, t=found.t[::-1].copy())
    if PopulationChange.T_ABSENT in changes:
        found = replace(found, T=np.zeros_like(found.T))
    if PopulationChange.T_CENTRED in changes:
        found = replace(found, T=population(data, p).T_centred)
    return found


def _functions(setting: Setting, p: int) -> list[Callable[[Array], Array]]:
    """The functions whose traces are compared, in units of the true diagonal D: D/(x + d D) and (x/D)^2."""
    diagonal = law_of(true_theory("ck"), setting, p).coefficients.diagonal

    def resolvent(distance: float) -> Callable[[Array], Array]:
        return lambda x: diagonal / (x + distance * diagonal)

    return [*map(resolvent, _DISTANCES), lambda x: (x / diagonal) ** 2]


def ranks_of(laws: Sequence[SpectralLaw]) -> tuple[int, int]:
    """How many isolated eigenvalues every one of some laws has, right and left of the bulk."""
    right = min(int(np.count_nonzero(law.outlier_values > law.edges[-1][1])) for law in laws)
    left = min(int(np.count_nonzero(law.outlier_values < law.edges[0][0])) for law in laws)
    return right, left


def _predicted(law: SpectralLaw, ranks: tuple[int, int]) -> tuple[Array, Array]:
    """Limits of the outermost eigenvalues on the right and on the left."""
    values = law.outlier_values
    above = [*values[values > law.edges[-1][1]], *[law.edges[-1][1]] * ranks[0]]
    below = [*values[values < law.edges[0][0]][::-1], *[law.edges[0][0]] * ranks[1]]
    return np.array(above[: ranks[0]]), np.array(below[: ranks[1]])


def spectrum_names(ranks: tuple[int, int], *, bulk: bool) -> tuple[str, ...]:
    """Names of the witnesses, in the order of ``spectral_residuals``."""
    sides = [f"{side} {k + 1}" for side, count in zip(("right", "left"), ranks, strict=True) for k in range(count)]
    traces = [f"resolvent at -{distance:g}" for distance in _DISTANCES] + ["square"]
    return (*sides, *(traces if bulk else ()))


def spectral_residuals(
    law: SpectralLaw, setting: Setting, p: int, records: Sequence[SpectrumRecord], ranks: tuple[int, int], *, bulk: bool
) -> Array:
    """Measured less predicted, of every draw (rows) and witness (columns).

    Args:
        law: a theory's.
        setting: data, activation and weights.
        p: dimension.
        records: of the draws.
        ranks: how many eigenvalues on the right and on the left.
        bulk: whether the traces are witnesses too.
    """
    right, left = _predicted(law, ranks)
    traces = [law.integrate(function) for function in _functions(setting, p)] if bulk else []
    rows = []
    for record in records:
        ends = [*(record.largest[: ranks[0]] - right), *(record.smallest[: ranks[1]] - left)]
        rows.append([*ends, *(record.traces - traces if bulk else ())])
    return np.array(rows)
